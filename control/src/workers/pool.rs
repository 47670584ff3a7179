//! The workers: their links, their heartbeat, and whose turn it is.
//!
//! Owns what is known of each worker. A death is told once, to the one that started the pool; what follows from it is
//! the supervisor's affair.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use corecast_wire::{Command, DtlsFailure, Event, Io, Reply, StartError, Usage, WorkerConfig};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

use super::events::EventRouter;
use super::link::{Link, LinkEvent, RequestError};
use super::placement::{self, Load};
use super::usage::Rates;
use crate::settings::{Placement, Priority};

/// Time after the timeout in which a reply that has long arrived may still be read: perhaps it was control that slept.
const LAST_CHANCE: Duration = Duration::from_millis(50);
/// How long a dead child may take to be reaped.
const REAP: Duration = Duration::from_millis(300);

/// A worker that no longer lives, or never did.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) worker: u32,
    pub(crate) core: u32,
    pub(crate) pid: Option<u32>,
    pub(crate) cause: DeathCause,
}

/// Why a worker died.
#[derive(Clone, Debug)]
pub(crate) enum DeathCause {
    /// The worker said that it could not start.
    StartFailed(StartError),
    /// Its link ended. If it had a process of its own, the text says what became of that.
    Ended(String),
    /// The worker has not answered for this long.
    Stalled(Duration),
}

/// What a worker said when it started.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) io: Io,
    pub(crate) reason: String,
    pub(crate) warnings: Vec<String>,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    index: u32,
    core: u32,
    /// Process id, if it has a process of its own.
    pid: Option<u32>,
    ports: (u16, u16),
    link: Link,
    events: EventRouter,
    /// Where it is told filters of its log, if it has a process of its own.
    filters: Option<UnixStream>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: Option<Started>,
    /// The two latest heartbeats: what the status page shows lies between them.
    latest: Option<Usage>,
    before: Option<Usage>,
    /// Where the interval of the usage log began.
    logged: Option<Usage>,
    /// Rooms that were made there since the latest heartbeat.
    new_rooms: u32,
    /// The same for viewers.
    new_viewers: u32,
    /// Handshakes that came to nothing.
    dtls_failures: BTreeMap<DtlsFailure, u64>,
}

/// How the pool watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) heartbeat: Duration,
    pub(crate) timeout: Duration,
    pub(crate) usage_interval: Duration,
}

/// A worker that has been started, seen from outside a runtime.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(super) config: WorkerConfig,
    pub(super) link: UnixStream,
    pub(super) child: Option<Child>,
    /// Where a worker that has a process of its own is told filters of its log.
    pub(super) filters: Option<UnixStream>,
}

/// All workers.
#[derive(Debug)]
pub(crate) struct Pool {
    workers: Vec<Arc<Worker>>,
    turn: AtomicUsize,
    placement: Placement,
    /// How much each worker's core can do beside the others; 1 for those that are not there.
    weights: Vec<u32>,
    /// Past this a room's viewers go to further workers, in percent of its home's core; 0 for never.
    widen_percent: u8,
}

impl Worker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its place among the workers.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Handshakes that came to nothing, by what was wrong.
    pub(crate) fn dtls_failures(&self) -> BTreeMap<DtlsFailure, u64> {
        self.state().dtls_failures.clone()
    }

    /// The core that it is pinned to.
    pub(crate) fn core(&self) -> u32 {
        self.core
    }

    /// Process id, if it has a process of its own.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// First and last media port.
    pub(crate) fn ports(&self) -> (u16, u16) {
        self.ports
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Has it log by this filter. One that is a thread logs as the server does.
    pub(crate) fn set_log_filter(&self, filter: &str) -> std::io::Result<()> {
        let Some(mut filters) = self.filters.as_ref() else { return Ok(()) };
        // In one line, whatever white space it came with.
        let filter: Vec<_> = filter.split_whitespace().collect();
        filters.write_all(format!("{}\n", filter.join(" ")).as_bytes())
    }

    /// What it tells of its objects.
    pub(crate) fn events(&self) -> &EventRouter {
        &self.events
    }

    /// What it said when it started.
    pub(crate) fn started(&self) -> Option<Started> {
        self.state().started.clone()
    }

    /// The latest heartbeat, and what lies between it and the one before.
    pub(crate) fn usage(&self) -> Option<(Usage, Rates)> {
        let state = self.state();
        let latest = state.latest.as_ref()?;
        let before = state.before.as_ref().unwrap_or(latest);
        Some((latest.clone(), Rates::between(before, latest)))
    }

    /// How busy it is, as far as the latest heartbeats tell.
    fn load(&self, weight: u32) -> Load {
        let cpu_percent = self.usage().map_or(0.0, |(_, rates)| rates.cpu_percent);
        let state = self.state();
        Load { cpu_percent, new_rooms: state.new_rooms, new_viewers: state.new_viewers, weight }
    }

    fn death(&self, cause: DeathCause) -> Death {
        Death { worker: self.index, core: self.core, pid: self.pid, cause }
    }
}

impl Pool {
    /// Opens the links. Deaths are told on the first channel, the start of each worker on the second.
    pub(crate) fn open(
        spawned: Vec<Spawned>,
        watch: Watch,
    ) -> std::io::Result<(Self, mpsc::UnboundedReceiver<Death>, mpsc::UnboundedReceiver<u32>)> {
        let (deaths, died) = mpsc::unbounded_channel();
        let (starts, started) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for Spawned { config, link, child, filters } in spawned {
            link.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(link)?;
            let (index, core, ports) = (config.index, config.core, config.port_range);
            let (link, events) = Link::open(stream, config);
            let pid = child.as_ref().map(Child::id);
            let worker = Arc::new(Worker {
                index,
                core,
                pid,
                ports,
                link,
                events: EventRouter::default(),
                filters,
                state: Mutex::default(),
            });
            tokio::spawn(listen(Arc::clone(&worker), events, child, starts.clone(), deaths.clone()));
            tokio::spawn(beat(Arc::clone(&worker), watch, deaths.clone()));
            workers.push(worker);
        }
        Ok((
            Self {
                workers,
                turn: AtomicUsize::new(0),
                placement: Placement::default(),
                weights: Vec::new(),
                widen_percent: 0,
            },
            died,
            started,
        ))
    }

    pub(crate) fn workers(&self) -> &[Arc<Worker>] {
        &self.workers
    }

    /// The same, in which rooms are made on workers as these two say, and grow to others past this mark.
    #[must_use]
    pub(crate) fn placing(self, placement: Placement, weights: Vec<u32>, widen_percent: u8) -> Self {
        Self { placement, weights, widen_percent, ..self }
    }

    /// The worker on which the next room is made, if it matters so much.
    pub(crate) fn take_turn(&self, priority: Priority) -> Option<Arc<Worker>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (loads, placement) = (self.loads(), placement::of(self.placement, priority));
        let draw = std::array::from_fn(|_| usize::try_from(rand::random::<u32>()).unwrap_or_default());
        let worker = self.workers.get(placement::choose(placement, turn, draw, &loads)?)?;
        worker.state().new_rooms += 1;
        Some(Arc::clone(worker))
    }

    /// The worker from which the next viewer is sent of a room whose home is on this one, with branches on these.
    pub(crate) fn place_viewer(&self, home: u32, branches: &[u32]) -> Option<Arc<Worker>> {
        let at = |index: &u32| usize::try_from(*index).unwrap_or(usize::MAX);
        let branches: Vec<_> = branches.iter().map(at).collect();
        let chosen = placement::choose_for_viewer(self.widen_percent, at(&home), &branches, &self.loads())?;
        let worker = self.workers.get(chosen)?;
        worker.state().new_viewers += 1;
        Some(Arc::clone(worker))
    }

    fn loads(&self) -> Vec<Load> {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1));
        self.workers.iter().zip(weights).map(|(worker, weight)| worker.load(weight)).collect()
    }

    /// Asks every worker to end in good order.
    pub(crate) async fn shut_down(&self, limit: Duration) {
        let asks = self.workers.iter().map(|worker| worker.link.request(Command::Shutdown));
        let all = async {
            for ask in asks.map(Box::pin).collect::<Vec<_>>() {
                let _ = ask.await;
            }
        };
        if timeout(limit, all).await.is_err() {
            tracing::warn!("workers did not end within {} s", limit.as_secs_f32());
        }
    }
}

async fn listen(
    worker: Arc<Worker>,
    mut events: mpsc::UnboundedReceiver<LinkEvent>,
    child: Option<Child>,
    starts: mpsc::UnboundedSender<u32>,
    deaths: mpsc::UnboundedSender<Death>,
) {
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Event(Event::Started { io, reason, warnings }) => {
                worker.state().started = Some(Started { io, reason, warnings });
                let _ = starts.send(worker.index);
            }
            LinkEvent::Event(Event::StartFailed(error)) => {
                let _ = deaths.send(worker.death(DeathCause::StartFailed(error)));
            }
            LinkEvent::Event(event) => {
                log(&event);
                if let Event::DtlsStateChanged { failure: Some(failure), .. } = &event {
                    *worker.state().dtls_failures.entry(*failure).or_default() += 1;
                }
                worker.events.route(&event);
            }
            LinkEvent::Ended(why) => {
                let why = match child {
                    Some(child) => reap(child).await.unwrap_or(why),
                    None => why,
                };
                let _ = deaths.send(worker.death(DeathCause::Ended(why)));
                return;
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::RemoteLearnt { transport, remote, rtcp } => {
            tracing::debug!("transport {transport} sends to {remote}{}", if *rtcp { " (RTCP)" } else { "" });
        }
        Event::IceStateChanged { transport, state, .. } => tracing::debug!("transport {transport}: ICE is {state:?}"),
        Event::DtlsStateChanged { transport, state, detail, .. } => {
            tracing::debug!("transport {transport}: DTLS is {state:?} {detail}");
        }
        Event::HandshakeTroubled { transport, trouble } => {
            tracing::debug!("transport {transport}: DTLS has stumbled: {trouble}");
        }
        _ => {}
    }
}

/// What became of a worker's process, if it can be known soon.
async fn reap(mut child: Child) -> Option<String> {
    let since = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(format!("its process ended: {status}")),
            Ok(None) if since.elapsed() < REAP => sleep(Duration::from_millis(2)).await,
            _ => return None,
        }
    }
}

async fn beat(worker: Arc<Worker>, watch: Watch, deaths: mpsc::UnboundedSender<Death>) {
    let mut ticks = interval_at(tokio::time::Instant::now(), watch.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let mut ask = Box::pin(worker.link.request(Command::Usage));
        let answer = match timeout(watch.timeout, &mut ask).await {
            Ok(answer) => answer,
            Err(_) => match timeout(LAST_CHANCE, ask).await {
                Ok(answer) => answer,
                Err(_) => {
                    let _ = deaths.send(worker.death(DeathCause::Stalled(watch.timeout)));
                    return;
                }
            },
        };
        match answer {
            Ok(Reply::Usage(usage)) => note(&worker, *usage, watch),
            Ok(_) | Err(RequestError::WrongReply) => {
                tracing::warn!("worker {} answered a heartbeat oddly", worker.index)
            }
            Err(RequestError::Refused(error)) => tracing::warn!("worker {} refused a heartbeat: {error}", worker.index),
            // Its link has ended, which `listen` tells.
            Err(RequestError::Gone) => return,
        }
    }
}

/// Keeps a heartbeat; at its time it becomes a line of the usage log.
fn note(worker: &Worker, usage: Usage, watch: Watch) {
    let mut state = worker.state();
    let logged = state.logged.get_or_insert_with(|| usage.clone());
    let since = Duration::from_nanos(usage.at_ns.saturating_sub(logged.at_ns));
    // The heartbeat that is nearest to the end of the interval.
    if since + watch.heartbeat / 2 >= watch.usage_interval {
        let line = Rates::between(logged, &usage).line(worker.index, worker.core, &usage);
        tracing::info!("{line}");
        *logged = usage.clone();
    }
    state.before = state.latest.replace(usage);
    (state.new_rooms, state.new_viewers) = (0, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::fake_worker;

    const WATCH: Watch = Watch {
        heartbeat: Duration::from_millis(20),
        timeout: Duration::from_millis(100),
        usage_interval: Duration::from_secs(120),
    };

    fn silent(index: u32) -> (Spawned, UnixStream) {
        let (link, theirs) = UnixStream::pair().expect("socket pair");
        (Spawned { config: fake_worker::config(index), link, child: None, filters: None }, theirs)
    }

    #[tokio::test]
    async fn turns_are_taken_exactly() {
        let (spawned, _ends): (Vec<_>, Vec<_>) = (0..3).map(silent).unzip();
        let (pool, ..) = Pool::open(spawned, WATCH).expect("opens");
        let turns: Vec<u32> =
            (0..7).filter_map(|_| pool.take_turn(Priority::Normal)).map(|worker| worker.index).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[tokio::test]
    async fn a_worker_that_does_not_answer_is_declared_dead() {
        let (spawned, _end) = silent(4);
        let (_pool, mut died, _started) = Pool::open(vec![spawned], WATCH).expect("opens");
        let death = died.recv().await.expect("is told");
        assert_eq!((death.worker, death.core), (4, 4));
        assert!(matches!(death.cause, DeathCause::Stalled(_)));
    }

    #[tokio::test]
    async fn the_end_of_a_link_is_a_death() {
        let (spawned, end) = silent(1);
        let (_pool, mut died, _started) = Pool::open(vec![spawned], WATCH).expect("opens");
        drop(end);
        assert!(matches!(died.recv().await.expect("is told").cause, DeathCause::Ended(_)));
    }

    #[tokio::test]
    async fn a_child_process_is_told_apart_by_its_end() {
        let (mut spawned, end) = silent(0);
        let child = std::process::Command::new("sh").args(["-c", "kill -KILL $$"]).spawn().expect("runs");
        spawned.child = Some(child);
        let (_pool, mut died, _started) = Pool::open(vec![spawned], WATCH).expect("opens");
        drop(end);
        let DeathCause::Ended(why) = died.recv().await.expect("is told").cause else { panic!("not an end") };
        assert!(why.contains("signal: 9"), "{why}");
    }
}
