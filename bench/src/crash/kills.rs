//! `corecast-bench crash --kills N`: a server is killed again and again, at random moments, also while it takes over
//! from the one before, and all that viewers are sent is captured: whether a number is used twice under one key, and
//! whether what publishers send a second time after a death is forwarded a second time.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::calls::{Call, INTERVAL, Isolation, PAYLOAD_BYTES, Pids, header, signal};
use crate::calls::launch::Launched;
use crate::progress::Progress;
use crate::webrtc::{Capture, Event, Identity, Session};

/// Every other kill comes at a moment of this time after the kill before, in which the server takes over.
const SOON: Duration = Duration::from_millis(1_500);
/// The others come when the server has lived for this long, and up to a second longer: calls are given up after two in
/// a row that live for less than 5 s.
const SETTLED: Duration = Duration::from_secs(6);
const SPREAD: Duration = Duration::from_secs(1);
/// For the server to come again.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Packets that a publisher sends again after each kill: those of the last ten seconds.
const SENT_AGAIN: usize = 500;
/// A call in which nothing has come for so long when it is over is lost.
const LOST: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    isolation: Option<Isolation>,
    calls: usize,
    lost: usize,
    kills: u32,
    /// Packets of RTP and RTCP that viewers were sent.
    captured: u64,
    /// Those whose number had come before under the same key and SSRC.
    twice: u64,
    /// Those that do not open.
    unopened: u64,
    /// Packets that publishers sent a second time.
    sent_again: u64,
    /// What viewers got a second time.
    replayed: u64,
}

impl Figures {
    /// Whether every rule was kept.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.lost == 0, "{} of {} calls are lost", self.lost, self.calls);
        ensure!(self.twice == 0, "{} packets have a number that another had before", self.twice);
        ensure!(self.replayed == 0, "{} packets were forwarded a second time", self.replayed);
        ensure!(self.unopened == 0, "{} packets do not open", self.unopened);
        Ok(())
    }

    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", json!(self));
            return;
        }
        let Self { isolation, calls, lost, kills, captured, twice, unopened, sent_again, replayed } = self;
        println!(
            "{}: {kills} kills, {lost} of {calls} calls lost; of {captured} packets {twice} with a number that was \
             used before, {unopened} that do not open; of {sent_again} that were sent again {replayed} forwarded again",
            isolation.map_or("", Isolation::name)
        );
    }
}

/// What a call is told: kills so far, and whether it is over.
type Told = watch::Receiver<(u32, bool)>;

/// Has the server killed so many times beside so many calls.
pub(super) async fn run(
    launched: &Launched,
    (isolation, room): (Isolation, &str),
    (calls, kills): (u32, u32),
    progress: &Progress,
) -> anyhow::Result<Figures> {
    let url = format!("{}/{{}}/{room}", launched.site().base());
    let client = launched.site().client().build()?;
    let identity = Arc::new(Identity::new()?);
    let (tell, told) = watch::channel((0, false));
    let (mut senders, mut viewers) = (JoinSet::new(), JoinSet::new());
    for number in 0..calls {
        let Call { sender, viewer, ssrc } =
            Call::join(client.clone(), Arc::clone(&identity), url.clone(), number).await?;
        senders.spawn(send(sender, ssrc, told.clone()));
        viewers.spawn(watch(viewer, told.clone()));
    }
    sleep(SPREAD).await;
    for number in 1..=kills {
        kill(launched, isolation, number).await?;
        tell.send_replace((number, false));
        progress.step(&format!("kill {number} of {kills}"));
    }
    back(launched).await?;
    tell.send_replace((kills + 1, false));
    sleep(LOST + SPREAD).await;
    tell.send_replace((kills + 1, true));
    let mut figures = Figures { isolation: Some(isolation), calls: calls as usize, kills, ..Figures::default() };
    for seen in viewers.join_all().await {
        let seen = seen?;
        figures.lost += usize::from(seen.is_lost);
        figures.captured += seen.capture.packets;
        figures.twice += seen.capture.twice;
        figures.unopened += seen.unopened;
        figures.replayed += seen.replayed;
    }
    for sent_again in senders.join_all().await {
        figures.sent_again += sent_again?;
    }
    Ok(figures)
}

/// Waits for a random moment and kills.
async fn kill(launched: &Launched, isolation: Isolation, number: u32) -> anyhow::Result<()> {
    if number.is_multiple_of(2) {
        sleep(SOON.mul_f64(rand::random())).await;
        // What there is of the next server: it may not have its worker yet.
        let next = async {
            loop {
                if let Some(server) = children(launched.supervisor_pid().into()).first() {
                    break *server;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let server = timeout(BACK_WITHIN, next).await.context("there is no next server")?;
        // It may have ended by itself.
        let _ = signal("KILL", children(server).first().copied().unwrap_or(server));
        return Ok(());
    }
    back(launched).await?;
    // The first server has taken over from nobody.
    let settled = if number == 1 { Duration::ZERO } else { SETTLED };
    sleep(settled + SPREAD.mul_f64(rand::random())).await;
    // It may have been the last word of one whose worker had died.
    let pids = back(launched).await?;
    let pid = match isolation {
        Isolation::Thread => pids.server,
        Isolation::Process => pids.worker.context("the worker has no process of its own")?,
    };
    signal("KILL", pid)
}

/// The server that answers, once one does.
async fn back(launched: &Launched) -> anyhow::Result<Pids> {
    let answer = async {
        loop {
            if let Ok(pids) = Pids::of(launched.site()).await {
                break pids;
            }
            sleep(INTERVAL).await;
        }
    };
    timeout(BACK_WITHIN, answer).await.context("the server does not come again")
}

/// Processes that a process has started.
fn children(pid: u64) -> Vec<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Publishes, and sends the newest packets again after each kill. Returns how many those were.
async fn send(mut session: Session, ssrc: u32, mut told: Told) -> anyhow::Result<u64> {
    let (mut next, mut sent_again) = (Instant::now(), 0);
    let mut newest: VecDeque<Bytes> = VecDeque::new();
    for number in 0.. {
        if told.has_changed()? {
            let (_, is_over) = *told.borrow_and_update();
            if is_over {
                break;
            }
            // They wait in the server's socket if nobody listens.
            for packet in &newest {
                session.send_raw(packet)?;
                sent_again += 1;
            }
        }
        if number % 100 == 99 {
            for packet in newest.iter().take(SENT_AGAIN / 10) {
                session.send_raw(packet)?;
                sent_again += 1;
            }
        }
        let mut packet = header(ssrc, number);
        packet.extend(number.to_be_bytes());
        packet.resize(12 + PAYLOAD_BYTES, 7);
        let sealed = session.seal_rtp(&packet)?;
        session.send_raw(&sealed)?;
        newest.push_back(sealed);
        if newest.len() > SENT_AGAIN {
            newest.pop_front();
        }
        next += INTERVAL;
        while Instant::now() < next {
            match session.recv(next - Instant::now()).await {
                Ok(Some(Event::Closed)) => return Ok(sent_again),
                Ok(_) => {}
                Err(_) => sleep_until(next).await,
            }
        }
    }
    Ok(sent_again)
}

/// What a viewer has seen.
#[derive(Debug, Default)]
struct Seen {
    capture: Capture,
    unopened: u64,
    replayed: u64,
    is_lost: bool,
}

async fn watch(mut session: Session, told: Told) -> anyhow::Result<Seen> {
    session.capture();
    let (mut seen, mut numbers, mut last) = (Seen::default(), HashSet::new(), Instant::now());
    while !told.borrow().1 {
        match session.recv(Duration::from_millis(100)).await {
            Ok(Some(Event::Rtp(packet))) => {
                last = Instant::now();
                if let Some(number) = packet.payload.first_chunk::<4>() {
                    seen.replayed += u64::from(!numbers.insert(*number));
                }
            }
            Ok(Some(Event::Unopened(..))) => seen.unopened += 1,
            Ok(Some(Event::Closed)) => break,
            Ok(Some(Event::Rtcp(_)) | None) => {}
            // Nobody listens for a moment, perhaps.
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
    seen.is_lost = last.elapsed() >= LOST;
    seen.capture = session.take_capture();
    Ok(seen)
}
