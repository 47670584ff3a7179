//! `corecast-bench room`: a room as an application on mediasoup-client makes it. Participants join by protoo, each
//! sends sound and pictures in three sizes and gets what all others send; and beside it the same load as `meeting`.

pub mod participant;
pub mod signaling;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use self::participant::{Common, OPUS, Participant, VP8};
use self::signaling::Signaling;
use crate::clock::Clock;
use crate::generator::{Ends, Generator, SOUND_BYTES, SOUND_PPS, Shape};
use crate::http::Server;
use crate::outcome::{Outcome, Run};
use crate::packet::FIRST_SSRC;
use crate::publishers::Publisher;
use crate::report::{Figures, rounded};
use crate::schedule::{Payload, Profile, Source};
use crate::setting::{Setting, Stream};
use crate::site::Site;
use crate::subscribers::{Promised, Subscribers};
use crate::webrtc::{Identity, Session};

/// Until everybody is sent the best encoding: a viewer goes up to one that has been there for 2 s.
const SETTLE: Duration = Duration::from_secs(4);
/// The packets of the lower encodings, of a hundred of the best's; a frame is one packet at least.
const OF_HUNDRED: [u32; 2] = [30, 10];
const ENCODINGS: u16 = 3;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct RoomArgs {
    /// How many take part
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=200))]
    peers: u16,
    /// Nobody sends pictures
    #[arg(long)]
    audio_only: bool,
    /// Packets of pictures per second in the best encoding; the others have 30 and 10 percent of it
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// RTP payload of pictures: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// Do not measure the meeting beside it
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    setting: Setting,
}

/// The figures of `fanout`, and those of `meeting` beside them.
#[derive(Debug, Serialize)]
struct RoomFigures {
    #[serde(flatten)]
    all: Figures,
    /// CPU time per packet of the meeting, in nanoseconds.
    meeting_cpu_ns_per_packet: Option<f64>,
    /// Packets per send of the meeting.
    meeting_train_mean: Option<f64>,
    /// What a packet of the room costs, through what one of the meeting does.
    ratio_to_meeting: Option<f64>,
}

/// Runs the subcommand.
///
/// # Errors
/// Somebody cannot join, something cannot be measured, or somebody got what it should not have.
pub fn run(args: &RoomArgs) -> anyhow::Result<()> {
    let pictures = Stream { pps: args.pps, profile: Profile::Pacer, payload: args.payload };
    let shape = Shape::Meeting { pictures: !args.audio_only };
    let load = args.setting.load(shape, (args.peers, usize::from(args.peers)), &pictures);
    // The server may use every core; we may not.
    let launched = args.setting.launch()?;
    let site = args.setting.site(launched.as_ref())?;
    let (outcome, meeting) = args.setting.measure_beside(load, if args.alone { 1 } else { 2 }, |run| {
        let outcome = measure(args, run, &site)?;
        let meeting = if args.alone { None } else { Some(args.setting.window(run)?) };
        Ok((outcome, meeting))
    })?;
    let all = outcome.figures(&load);
    let beside = meeting.as_ref().and_then(crate::generator::Window::cpu_ns_per_packet);
    let ratio = all.cpu_ns_per_packet.zip(beside).map(|(room, meeting)| rounded(room / meeting, 3));
    let figures = RoomFigures {
        meeting_cpu_ns_per_packet: beside.map(|ns| rounded(ns, 1)),
        meeting_train_mean: meeting.as_ref().and_then(|of| of.train_mean()).map(|mean| rounded(mean, 3)),
        ratio_to_meeting: ratio,
        all,
    };
    let title = load.title(outcome.io).replacen("a meeting", "a room", 1);
    if let Some(path) = &args.setting.plot {
        outcome.draw(&title, path)?;
    }
    if args.setting.json {
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    outcome.print(&title, &figures.all);
    if let (Some(ns), Some(train), Some(ratio)) =
        (figures.meeting_cpu_ns_per_packet, figures.meeting_train_mean, figures.ratio_to_meeting)
    {
        println!(
            "the meeting: {ns:.0} ns per packet, {train:.2} packets per train; the room takes {ratio:.2} times that"
        );
    }
    Ok(())
}

fn measure(args: &RoomArgs, run: &Run<'_>, site: &Site) -> anyhow::Result<Outcome> {
    let mut server = Server::reach(site)?;
    run.progress.note(&format!("{} participants join", args.peers));
    let suite = run.load.crypto.suite().context("WebRTC is always encrypted: choose another --crypto")?;
    let common = Common::new(site.clone(), server.room(), Arc::new(Identity::new()?), suite);
    let (ends, listening) = join(args, common)?;
    let mut generator = Generator::between(ends, run.load.seed);
    generator.settle(SETTLE)?;
    let window = run.attempt("the room", |show| generator.measure(&mut server, run.timing(), show))?;
    drop(generator.dissolve());
    drop(listening);
    Ok(Outcome { window, floors: Vec::new(), io: run.setup.io, warnings: Vec::new() })
}

impl RoomArgs {
    /// What one participant sends: sound, and pictures from the best encoding to the lowest, by the numbers of
    /// publishers.
    fn streams(&self, peer: u16) -> Vec<(u16, Profile, Payload, u32)> {
        let mut all = vec![(peer, Profile::Single, Payload::Fixed(SOUND_BYTES), SOUND_PPS)];
        if !self.audio_only {
            let lower = OF_HUNDRED.map(|of_hundred| (self.pps * of_hundred / 100).max(1));
            let rates = std::iter::once(self.pps).chain(lower);
            let number = |encoding| peer + (1 + encoding) * self.peers;
            all.extend((0..ENCODINGS).zip(rates).map(|(at, pps)| (number(at), Profile::Pacer, self.payload, pps)));
        }
        all
    }

    fn publishers(&self, peer: u16, session: Session, clock: &Clock) -> anyhow::Result<Vec<Publisher>> {
        let (key, mut made) = (session.keys().local.clone(), Vec::new());
        let mut parts = Some(session.into_parts());
        let mut socket = None;
        for (number, profile, payload, pps) in self.streams(peer) {
            let source = Source::new(profile, payload, pps, 0, u64::from(number));
            let publisher = match (parts.take(), &socket) {
                (Some(parts), _) => Publisher::joined(number, source, parts, clock.now_ns())?,
                (None, Some(socket)) => Publisher::beside(number, source, &key, Arc::clone(socket))?,
                (None, None) => unreachable!("the first stream opens the socket"),
            };
            socket = Some(Arc::clone(publisher.socket()));
            made.push(publisher.with_payload_type(if profile == Profile::Single { OPUS } else { VP8 }));
        }
        Ok(made)
    }
}

/// Has everybody join, announce what it sends and take what it is offered, and connects all transports.
fn join(args: &RoomArgs, common: Common) -> anyhow::Result<(Ends, Listening)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (clock, mut publishers) = (Clock::default(), Vec::new());
    let mut subscribers = Subscribers::new(Vec::new(), args.setting.gro(), Ipv4Addr::LOCALHOST)?;
    let joined = runtime.block_on(async {
        let mut all = Vec::new();
        for peer in 0..args.peers {
            let joined = Participant::join(&common, &format!("peer-{peer}")).await;
            all.push(joined.with_context(|| format!("participant {peer} cannot join"))?);
        }
        // By name: the publisher whose packets a consumer of it gets.
        let mut producers = std::collections::HashMap::new();
        for (peer, participant) in (0..args.peers).zip(&mut all) {
            let streams = args.streams(peer);
            let ssrcs: Vec<_> = streams.iter().map(|(number, ..)| FIRST_SSRC + u32::from(*number)).collect();
            let names = participant.produce(&ssrcs).await?;
            producers.extend(names.into_iter().zip(streams.iter().map(|(number, ..)| usize::from(*number))));
            let session = participant.connect(true).await?;
            publishers.extend(args.publishers(peer, session, &clock)?);
        }
        let others = usize::from(args.peers - 1) * if args.audio_only { 1 } else { 2 };
        for participant in &mut all {
            let consumed = participant.take(others).await?;
            let promised = consumed.iter().map(|of| {
                let publisher = *producers.get(&of.producer).context("an unknown producer")?;
                Ok(Promised { publisher, ssrc: of.ssrc, payload_type: of.payload_type })
            });
            let promised = promised.collect::<anyhow::Result<Vec<_>>>()?;
            let session = participant.connect(false).await?;
            subscribers.join(session.into_parts(), promised, clock.now_ns())?;
        }
        anyhow::Ok(all)
    })?;
    // By number, as they are looked up.
    publishers.sort_by_key(Publisher::number);
    let listening = Listening::begin(runtime, joined.into_iter().map(Participant::into_signaling).collect());
    Ok((Ends::new(clock, publishers, subscribers), listening))
}

/// A thread that reads what participants are told, so that the server does not take them for slow. It ends, and they
/// leave, with this value.
#[derive(Debug)]
struct Listening {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    fn begin(runtime: Runtime, all: Vec<Signaling>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let reading: tokio::task::JoinSet<_> = all.into_iter().map(Signaling::listen).collect();
                let _ = stopped.await;
                drop(reading);
            });
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
