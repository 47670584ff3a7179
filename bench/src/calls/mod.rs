//! `corecast-bench webrtc`: publishers and subscribers that join a real server as browsers do, their media measured as
//! `fanout` measures it, and joins or floods beside it.

pub mod feedback;
pub mod figures;
pub mod joins;
pub mod launch;
pub mod overload;
pub mod report;
pub mod scrapes;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use corecast_wire::{Coalesce, Executor, Io, Sandbox};

use self::feedback::FeedbackFigures;
use self::joins::{Joiner, Joins, Setups, Stay};
use self::launch::Launched;
use self::report::{CallFigures, FloodFigures, HandshakeFigures, JoinFigures};
use self::scrapes::{ScrapeFigures, Scraper};
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::flood::{self, Flood};
use crate::generator::{Beside, Ends, Generator, Load, Shape, Window};
use crate::http::Server;
use crate::outcome::{GENERATOR_CORE, Outcome, Run};
use crate::packet::FIRST_SSRC;
use crate::progress::Progress;
use crate::publishers::Publisher;
use crate::report::grouped;
use crate::schedule::{Payload, Profile, Source};
use crate::site::{Named, Site};
use crate::subscribers::Subscribers;
use crate::target::WorkerSetup;
use crate::webrtc::sdp::Kind;
use crate::{cpu, plot};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct WebRtcArgs {
    /// How many watch each publisher, each with a session of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    subscribers: u32,
    /// How many publish
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    publishers: u16,
    /// Subscribers that join per second
    #[arg(long, default_value_t = 20.0, value_parser = per_second)]
    joins_per_second: f64,
    /// Packets per second of each publisher
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// RTP payload: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// How packets are spread over time; "single" is offered as sound, the others as pictures
    #[arg(long, value_enum, default_value = "pacer")]
    profile: Profile,
    /// SRTP profile that is offered: gcm128, gcm256 or cm80
    #[arg(long, default_value = "gcm128", value_parser = suite)]
    suite: Crypto,
    #[command(flatten)]
    named: Named,
    /// Bearer token for WHIP and WHEP
    #[arg(long)]
    token: Option<String>,
    /// Driver of the server that is started: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io, conflicts_with = "target")]
    io: Io,
    /// Whether its worker waits a moment for more datagrams: auto, off or microseconds
    #[arg(long, default_value = "auto", value_parser = crate::args::coalesce, conflicts_with = "target")]
    coalesce: Coalesce,
    /// Core of its worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Subscribers say what arrives, as browsers do (transport-wide feedback, each 50 to 100 ms), so that their paths
    /// are estimated and probed, and pictures paced
    #[arg(long)]
    feedback: bool,
    /// Pictures leave at no more than so many times their rate: no path may be taken to carry more than that takes
    #[arg(long, value_name = "TIMES", value_parser = times, requires = "feedback", conflicts_with = "target")]
    paced: Option<f64>,
    /// Then so many more join at that rate, beside the media, and leave again
    #[arg(long, value_name = "N", conflicts_with = "flood")]
    handshakes: Option<u32>,
    /// Then flood the server beside the media; it must be on this machine
    #[arg(long, value_enum)]
    flood: Option<flood::FloodKind>,
    /// Then ask for /metrics and /stats so often per second beside the media, in turn with media alone
    #[arg(long, value_name = "PER_SECOND", value_parser = per_second, conflicts_with_all = ["flood", "handshakes"])]
    scrapes: Option<f64>,
    /// Packets per second of the flood
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flood_pps: u32,
    /// Subscribers receive with UDP_GRO
    #[arg(long)]
    gro: bool,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// Seconds before, which are not measured
    #[arg(long, default_value_t = 1.0, value_parser = crate::args::seconds)]
    warm_up: f64,
    /// Do not measure the floor
    #[arg(long)]
    no_floor: bool,
    /// Times that a run is repeated from whose time the hypervisor took more than 2 percent
    #[arg(long, default_value_t = 3)]
    retries: u32,
    /// For the publishers' phases and the sizes of frames
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw the distribution of latency into this file (.svg)
    #[arg(long, value_name = "FILE", value_parser = plot::file)]
    plot: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

fn per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=10_000.0).contains(rate));
    rate.ok_or_else(|| "give joins per second, from 0.1 to 10000".into())
}

fn times(text: &str) -> Result<f64, String> {
    let times = text.parse().ok().filter(|times| (1.2..=100.0).contains(times));
    times.ok_or_else(|| "give times of a stream's rate, from 1.2 (less is suspended) to 100".into())
}

fn suite(text: &str) -> Result<Crypto, String> {
    match text {
        "gcm128" => Ok(Crypto::Gcm128),
        "gcm256" => Ok(Crypto::Gcm256),
        "cm80" => Ok(Crypto::Cm80),
        _ => Err("give gcm128, gcm256 or cm80".into()),
    }
}

impl WebRtcArgs {
    fn load(&self) -> Load {
        Load {
            shape: Shape::Broadcast,
            publishers: self.publishers,
            subscribers: self.subscribers as usize,
            pps: self.pps,
            profile: self.profile,
            payload: self.payload,
            loudest: 0,
            crypto: self.suite,
            publisher_crypto: self.suite,
            gro: self.gro,
            seed: self.seed,
            ip: Ipv4Addr::LOCALHOST,
        }
    }

    /// Most that a path may be taken to carry, if anything was asked for.
    fn limit_bps(&self) -> Option<u64> {
        self.paced.map(|times| feedback::limit_bps(&self.load(), times))
    }

    fn launch(&self, core: u32) -> anyhow::Result<Launched> {
        let limit = self.limit_bps().map(|bps| bps.to_string());
        let flags =
            limit.as_deref().map(|bps| [("--rtc-initial-outgoing-bitrate", bps), ("--rtc-max-outgoing-bitrate", bps)]);
        Launched::start_with(core, self.io, self.coalesce, flags.as_ref().map_or(&[][..], |flags| &flags[..]))
    }

    /// Whether anything goes on beside the media.
    const fn has_beside(&self) -> bool {
        self.handshakes.is_some() || self.flood.is_some() || self.scrapes.is_some()
    }

    /// The floor has the same shape only where every subscriber gets every publisher.
    const fn has_floor(&self) -> bool {
        !self.no_floor && self.publishers == 1 && self.subscribers > 0
    }

    fn steps(&self) -> u64 {
        let floors = if self.has_floor() { 2 } else { 0 };
        let beside = u64::from(self.handshakes.is_some()) + u64::from(self.flood.is_some());
        let beside = beside + if self.scrapes.is_some() { 3 } else { 0 };
        3 + floors + beside
    }
}

/// Runs the subcommand.
///
/// # Errors
/// Publishers cannot join, nobody else can, something cannot be measured, or a subscriber got what it should not have.
pub fn run(args: &WebRtcArgs) -> anyhow::Result<()> {
    let kind = if args.profile == Profile::Single { Kind::Audio } else { Kind::Video };
    ensure!(
        !args.feedback || kind == Kind::Video,
        "sound is not numbered for viewers: no --feedback with --profile single"
    );
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    // The server may use every core; we may not.
    let launched = if args.named.is_given() { None } else { Some(args.launch(core)?) };
    cpu::pin(GENERATOR_CORE)?;
    let site = args.named.site()?.or_else(|| launched.as_ref().map(|of| of.site().clone())).context("a server")?;
    let server = Server::reach(&site)?;
    let setup = WorkerSetup {
        core,
        io: server.io()?,
        executor: Executor::Thread,
        coalesce: args.coalesce,
        sound_wait_us: 0,
        sandbox: Sandbox::On,
    };
    let progress = Progress::new(args.steps());
    let (warm_up, measured) = (Duration::from_secs_f64(args.warm_up), Duration::from_secs_f64(args.seconds));
    let run = Run { load: args.load(), setup, warm_up, measured, retries: args.retries, progress: &progress };
    let suite = args.suite.suite().context("a suite")?;
    let joiner = Joiner::new(&site, server.room(), args.token.as_deref(), suite, kind)?.with_feedback(args.feedback);
    let mut calls = Calls::begin(args, run, &joiner, (server, &site))?;
    calls.launched = launched.as_ref();
    let (outcome, figures) = calls.measure()?;
    progress.finish();
    print(args, &run, &outcome, &figures)
}

/// All endpoints that have joined, and the server that they joined.
struct Calls<'a> {
    args: &'a WebRtcArgs,
    run: Run<'a>,
    server: Server,
    /// The server, if it is ours.
    launched: Option<&'a Launched>,
    /// Where it answers.
    site: &'a Site,
    joiner: &'a Joiner,
    generator: Generator,
    /// The server's WebRTC address and user name fragment, for floods.
    webrtc: SocketAddr,
    ufrag: String,
}

impl<'a> Calls<'a> {
    /// Has the publishers join.
    fn begin(
        args: &'a WebRtcArgs,
        run: Run<'a>,
        joiner: &'a Joiner,
        (server, site): (Server, &'a Site),
    ) -> anyhow::Result<Self> {
        run.progress.step("publishers join");
        let (clock, mut publishers) = (Clock::default(), Vec::new());
        let mut reached = None;
        for number in 0..args.publishers {
            let session = joiner.publish(number).with_context(|| format!("publisher {number} cannot join"))?;
            reached = Some((session.socket().peer_addr()?, session.remote_ufrag().to_owned()));
            let seed = args.seed.wrapping_add(number.into());
            let source = Source::new(args.profile, args.payload, args.pps, 0, seed).key_frames_on_demand();
            let publisher = Publisher::joined(number, source, session.into_parts(), clock.now_ns())?;
            publishers.push(publisher.with_payload_type(joiner.payload_type()));
        }
        let (webrtc, ufrag) = reached.context("a publisher")?;
        let subscribers = Subscribers::new(Vec::new(), args.gro, Ipv4Addr::LOCALHOST)?;
        let mut generator = Generator::between(Ends::new(clock, publishers, subscribers), args.seed);
        // On a machine that has other work to do the server is late, too.
        generator.expect_shedding();
        if args.feedback {
            // Times that the server is told are the kernel's; and it may leave packets out.
            generator.trust_time_stamps()?;
            generator.expect_gaps_closed();
        }
        Ok(Self { args, run, server, launched: None, site, joiner, generator, webrtc, ufrag })
    }

    fn measure(&mut self) -> anyhow::Result<(Outcome, CallFigures)> {
        let before = self.launched.and_then(Launched::resident_bytes);
        let setups = self.join()?;
        let after = self.launched.and_then(Launched::resident_bytes);
        let mut floors = Vec::new();
        if self.args.has_floor() {
            floors.push(self.run.floor("the floor, before")?);
        }
        let window = match self.args.has_beside() {
            true => self.window("media alone", &mut ())?,
            false => self.window("media", &mut ())?,
        };
        let feedback = match self.args.feedback {
            true => {
                let paths = self.server.paths()?;
                Some(FeedbackFigures::new(&self.run.load, self.args.limit_bps(), &window, &paths))
            }
            false => None,
        };
        let at_end = self.launched.and_then(Launched::resident_bytes);
        let handshakes = match self.args.handshakes {
            Some(count) => Some(self.handshakes(count, &window)?),
            None => None,
        };
        let flood = match self.args.flood {
            Some(kind) => Some(self.flood(kind, &window)?),
            None => None,
        };
        let scrapes = match self.args.scrapes {
            Some(per_second) => Some(self.scrapes(per_second, &window)?),
            None => None,
        };
        if self.args.has_floor() {
            floors.push(self.run.floor("the floor, after")?);
        }
        let (consent_asked, consent_answered) = self.generator.consent();
        let lost_sessions = self.joiner.leave(self.generator.dissolve());
        let grown = |bytes: Option<u64>| bytes?.saturating_sub(before?).checked_div(setups.joined);
        let outcome = Outcome { window, floors, io: self.run.setup.io, warnings: Vec::new() };
        let figures = CallFigures {
            media: outcome.figures(&self.run.load),
            joins: JoinFigures { memory_bytes: grown(after), ..JoinFigures::new(&setups, self.args.joins_per_second) },
            consent_asked,
            consent_answered,
            lost_sessions,
            memory_bytes_at_end: grown(at_end),
            feedback,
            handshakes,
            flood,
            scrapes,
        };
        Ok((outcome, figures))
    }

    /// Has the subscribers join while media flows.
    fn join(&mut self) -> anyhow::Result<Setups> {
        let total = u64::from(self.args.subscribers) * u64::from(self.args.publishers);
        self.run.progress.step(&format!("{total} subscribers join"));
        let publishers = usize::from(self.args.publishers);
        let mut joins = Joins::new(self.joiner, publishers, total, self.args.joins_per_second, Stay::ForGood)?;
        self.generator.run(&mut joins)?;
        let setups = joins.into_setups();
        ensure!(setups.joined > 0 || total == 0, "nobody has joined: {:?}", setups.failures);
        Ok(setups)
    }

    fn window(&mut self, what: &str, beside: &mut dyn Beside) -> anyhow::Result<Window> {
        // Joins and floods keep this thread from reading: their latency is the kernel's to tell, and so that the two
        // can be compared, also that of the media alone.
        if self.args.has_beside() || self.args.feedback {
            self.generator.trust_time_stamps()?;
        }
        let timing = self.run.timing();
        let run = self.run;
        run.attempt(what, |show| self.generator.measure_beside(&mut self.server, timing, show, beside))
    }

    fn handshakes(&mut self, count: u32, alone: &Window) -> anyhow::Result<HandshakeFigures> {
        let rate = self.args.joins_per_second;
        // For a second try no endpoint would be left to join.
        self.run.retries = 0;
        let mut joins = Joins::new(self.joiner, usize::from(self.args.publishers), count.into(), rate, Stay::Not)?;
        let window = self.window("media beside joins", &mut joins)?;
        Ok(HandshakeFigures::new(&joins.into_setups(), rate, alone, &window))
    }

    fn flood(&mut self, kind: flood::FloodKind, alone: &Window) -> anyhow::Result<FloodFigures> {
        let pps = self.args.flood_pps;
        let mut flood = match kind {
            flood::FloodKind::Srtp => Flood::from_within(self.generator.publisher_sockets(), pps, FIRST_SSRC)?,
            _ => Flood::from_strangers(kind, self.webrtc, pps, Some(&self.ufrag), None)?,
        };
        self.run.retries = 0;
        let window = self.window("media beside the flood", &mut flood)?;
        Ok(FloodFigures::new(kind, pps, flood.counts(), alone, &window))
    }

    fn scrapes(&mut self, per_second: f64, alone: &Window) -> anyhow::Result<ScrapeFigures> {
        let (site, token) = (self.site, self.args.token.as_deref());
        ScrapeFigures::measure(|| Scraper::start(site, token, per_second), alone, |what| self.window(what, &mut ()))
    }
}

fn print(args: &WebRtcArgs, run: &Run<'_>, outcome: &Outcome, figures: &CallFigures) -> anyhow::Result<()> {
    if let Some((_, packets)) = outcome.window.counters.discards.iter().find(|(name, _)| name == "stale") {
        eprintln!(
            "the server was late for {} packets, and left out pictures up to the next key frame: other work on its \
             machine, or more than its core can do (--pps, --payload, --subscribers)",
            grouped(*packets)
        );
    }
    let title = format!("WebRTC: {}", run.load.title(outcome.io));
    if let Some(path) = &args.plot {
        outcome.draw(&title, path)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    figures.joins.print("subscribers");
    outcome.print(&title, &figures.media);
    println!("consent: {} of {} checks answered", figures.consent_answered, figures.consent_asked);
    if figures.lost_sessions > 0 {
        println!("{} sessions were unknown to the server when they left", figures.lost_sessions);
    }
    if let Some(bytes) = figures.memory_bytes_at_end {
        println!("memory of the server when the media had ended: {:.1} KiB for each", bytes as f64 / 1_024.0);
    }
    if let Some(feedback) = &figures.feedback {
        feedback.print();
    }
    if let Some(handshakes) = &figures.handshakes {
        handshakes.print();
    }
    if let Some(flood) = &figures.flood {
        flood.print();
    }
    if let Some(scrapes) = &figures.scrapes {
        scrapes.print();
    }
    Ok(())
}
