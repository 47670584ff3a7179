//! `corecast-bench overload`: one worker that is asked for more than it can do, by publishers and subscribers that
//! joined as browsers do. Every step offers some times its capacity: what leaves of that, how late, what was shed as
//! stale, and whether anything that keeps sessions alive was lost.

mod picture;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use corecast_wire::{Coalesce, Executor, Io, Sandbox};
use serde::Serialize;

use super::joins::{Joiner, Joins, Stay};
use super::launch::Launched;
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::generator::{Ends, Generator, Load, Shape, Window};
use crate::http::Server;
use crate::outcome::{GENERATOR_CORE, Run, quantile_us};
use crate::progress::Progress;
use crate::publishers::Publisher;
use crate::report::{duration, grouped, rounded, table};
use crate::schedule::{Payload, Profile, Source};
use crate::subscribers::Subscribers;
use crate::target::WorkerSetup;
use crate::webrtc::sdp::Kind;
use crate::{cpu, plot};

/// Packets per second of each publisher while subscribers join.
const JOINING_PPS: u32 = 30;
/// The load rises by this factor until it no longer leaves as a whole, [`ENOUGH`] of it, twice in a row: once may
/// be the machine's other work.
const RISE: f64 = 1.12;
const ENOUGH: f64 = 0.985;
const MAX_RISES: u32 = 30;
const RISE_SECONDS: f64 = 2.0;
/// After more than the capacity was offered, what leaves is looked at over and over for so long,
const LOOK: Duration = Duration::from_millis(100);
/// so many times at most,
const MAX_LOOKS: u32 = 50;
/// until so much of what is offered leaves again, no later than this.
const NORMAL: f64 = 0.95;
const NORMAL_US: f64 = 250e3;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct OverloadArgs {
    /// How many publish
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    publishers: u16,
    /// How many watch each publisher, each with a session of its own
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// Loads that are offered, in times of the capacity
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.8,1,1.2,1.5,2,0.5", value_parser = ratio)]
    ratios: Vec<f64>,
    /// Packets per second that the worker can send; otherwise that is looked for first
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    capacity: Option<u64>,
    /// RTP payload: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// How packets are spread over time; "single" is offered as sound, the others as pictures
    #[arg(long, value_enum, default_value = "frame")]
    profile: Profile,
    /// Subscribers that join per second
    #[arg(long, default_value_t = 50.0, value_parser = super::per_second)]
    joins_per_second: f64,
    /// Driver of the server: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io)]
    io: Io,
    /// Core of its worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Seconds of every step
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// For the publishers' phases and the sizes of frames
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw goodput and latency over the offered load into this file (.svg)
    #[arg(long, value_name = "FILE", value_parser = plot::file)]
    plot: Option<PathBuf>,
    /// Print one line of JSON for every step
    #[arg(long)]
    json: bool,
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.05..=10.0).contains(ratio));
    ratio.ok_or_else(|| "give numbers from 0.05 to 10".into())
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Packets per second that were to leave, in times of the capacity.
    pub offered_ratio: f64,
    /// Packets per second that left, in times of the capacity.
    pub goodput_ratio: f64,
    /// 99th percentile of the latency of what left, in microseconds: from being sent to being taken in by the
    /// subscriber's kernel.
    pub p99_us: f64,
    /// Packets that came and were too old to be forwarded.
    pub stale: u64,
    /// If more than the capacity was offered before: milliseconds from the end of that until what is offered leaves
    /// again, of which 95 percent, and 99 percent of that within 250 ms. What the worker took to send what it still
    /// had is in it. Absent too if it was not seen within 5 s.
    pub recovery_ms: Option<f64>,
    /// Consent checks without an answer within a second, and sessions that the server no longer knew when they left.
    pub lost_control: u64,
}

/// Runs the subcommand.
///
/// # Errors
/// Nobody can join, something cannot be measured, or a subscriber got what it should not have.
pub fn run(args: &OverloadArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    let launched = Launched::start(core, args.io, Coalesce::Auto)?;
    cpu::pin(GENERATOR_CORE)?;
    let server = Server::reach(launched.site())?;
    let setup = WorkerSetup {
        core,
        io: server.io()?,
        executor: Executor::Thread,
        coalesce: Coalesce::Auto,
        sound_wait_us: 0,
        sandbox: Sandbox::On,
    };
    let progress = Progress::new(args.ratios.len() as u64 + if args.capacity.is_some() { 2 } else { 3 });
    let run = Run {
        load: args.load(),
        setup,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs_f64(args.seconds),
        retries: 2,
        progress: &progress,
    };
    let kind = if args.profile == Profile::Single { Kind::Audio } else { Kind::Video };
    let suite = Crypto::Gcm128.suite().context("a suite")?;
    let joiner = Joiner::new(launched.site(), server.room(), None, suite, kind)?;
    let mut overload = Overload::join(args, run, &joiner, server)?;
    let capacity = match args.capacity {
        Some(capacity) => capacity as f64,
        None => overload.capacity()?,
    };
    let mut steps = Vec::new();
    for offered in &args.ratios {
        steps.push(overload.step(*offered, capacity)?);
    }
    let lost_sessions = joiner.leave(overload.generator.dissolve());
    if let Some(last) = steps.last_mut() {
        last.lost_control += lost_sessions as u64;
    }
    progress.finish();
    let title = format!(
        "{} publishers × {} subscribers, {} bytes, capacity {} packets per second",
        args.publishers,
        args.subscribers,
        args.payload,
        grouped(capacity as u64)
    );
    if let Some(path) = &args.plot {
        picture::draw(path, &title, &steps).with_context(|| path.display().to_string())?;
    }
    print(&title, &steps, args.json)
}

impl OverloadArgs {
    const fn load(&self) -> Load {
        Load {
            shape: Shape::Broadcast,
            publishers: self.publishers,
            subscribers: self.subscribers as usize,
            pps: JOINING_PPS,
            profile: self.profile,
            payload: self.payload,
            loudest: 0,
            crypto: Crypto::Gcm128,
            publisher_crypto: Crypto::Gcm128,
            gro: true,
            seed: self.seed,
            ip: Ipv4Addr::LOCALHOST,
        }
    }
}

/// All endpoints, and the server that they have joined.
struct Overload<'a> {
    run: Run<'a>,
    server: Server,
    generator: Generator,
    /// After more than the capacity was offered: how long the worker sent what it still had.
    overloaded: Option<Duration>,
}

impl<'a> Overload<'a> {
    fn join(args: &OverloadArgs, run: Run<'a>, joiner: &Joiner, server: Server) -> anyhow::Result<Self> {
        run.progress.step("publishers join");
        let (clock, mut publishers) = (Clock::default(), Vec::new());
        for number in 0..args.publishers {
            let session = joiner.publish(number).with_context(|| format!("publisher {number} cannot join"))?;
            let seed = args.seed.wrapping_add(number.into());
            let source = Source::new(args.profile, args.payload, JOINING_PPS, 0, seed).key_frames_on_demand();
            let publisher = Publisher::joined(number, source, session.into_parts(), clock.now_ns())?;
            publishers.push(publisher.with_payload_type(joiner.payload_type()));
        }
        let subscribers = Subscribers::new(Vec::new(), run.load.gro, Ipv4Addr::LOCALHOST)?;
        let mut generator = Generator::between(Ends::new(clock, publishers, subscribers), args.seed);
        let total = u64::from(args.subscribers) * u64::from(args.publishers);
        run.progress.step(&format!("{total} subscribers join"));
        let mut joins = Joins::new(joiner, args.publishers.into(), total, args.joins_per_second, Stay::ForGood)?;
        generator.run(&mut joins)?;
        let setups = joins.into_setups();
        ensure!(setups.joined == total, "{} of {total} have joined: {:?}", setups.joined, setups.failures);
        generator.trust_time_stamps()?;
        generator.expect_gaps_closed();
        Ok(Self { run, server, generator, overloaded: None })
    }

    /// Packets per second that are to leave for each packet per second of a publisher.
    fn fan_out(&self) -> f64 {
        f64::from(self.run.load.publishers) * self.run.load.subscribers as f64
    }

    fn offer(&mut self, what: &str, per_second: f64, measured: Duration) -> anyhow::Result<Window> {
        self.generator.set_pps((per_second / self.fan_out()).round() as u32);
        let mut timing = self.run.timing();
        timing.measured = measured;
        let run = Run { measured, ..self.run };
        run.part(what, |show| self.generator.measure(&mut self.server, timing, show))
    }

    /// Packets per second that the worker can send: the most of the loads that leave as a whole, or what leaves of a
    /// little more for as long as a step takes, if that is more.
    fn capacity(&mut self) -> anyhow::Result<f64> {
        self.run.progress.step("looking for the capacity");
        let measured = Duration::from_secs_f64(RISE_SECONDS);
        let light = self.offer("capacity", 100.0 * self.fan_out(), measured)?;
        let cpu_ns = light.cpu_ns_per_packet().context("the server does not say what it used")?;
        let (mut offered, mut whole) = (0.5e9 / cpu_ns, 0.0_f64);
        let mut fell_short = false;
        for _ in 0..MAX_RISES {
            let window = self.offer("capacity", offered, measured)?;
            let left = left_per_second(&window);
            let falls_short = left < ENOUGH * window.expected as f64 / window.seconds;
            if falls_short && fell_short {
                break;
            }
            if !falls_short {
                whole = whole.max(left);
            }
            fell_short = falls_short;
            offered *= RISE;
        }
        let window = self.offer("capacity", whole * RISE, self.run.measured)?;
        Ok(whole.max(left_per_second(&window)))
    }

    fn step(&mut self, offered: f64, capacity: f64) -> anyhow::Result<Step> {
        let what = format!("{offered} times the capacity");
        self.run.progress.step(&what);
        let recovery_ms = match self.overloaded.take() {
            Some(drained) if offered <= 1.0 => self.recovery(drained, offered * capacity)?,
            _ => None,
        };
        let lost_checks = self.generator.lost_checks();
        let window = self.offer(&what, offered * capacity, self.run.measured)?;
        let lost_checks = self.generator.lost_checks().saturating_sub(lost_checks);
        self.overloaded = (offered > 1.0).then_some(window.drained);
        let stale = window.counters.discards.iter().find(|(name, _)| name == "stale");
        Ok(Step {
            offered_ratio: rounded(window.expected as f64 / window.seconds / capacity, 3),
            goodput_ratio: rounded(left_per_second(&window) / capacity, 3),
            p99_us: quantile_us(&window, 0.99),
            stale: stale.map_or(0, |(_, packets)| *packets),
            recovery_ms,
            lost_control: lost_checks,
        })
    }

    /// Offers so much, and looks when it leaves again: [`Step::recovery_ms`].
    fn recovery(&mut self, drained: Duration, per_second: f64) -> anyhow::Result<Option<f64>> {
        let mut passed = drained;
        for _ in 0..MAX_LOOKS {
            let window = self.offer("recovery", per_second, LOOK)?;
            passed += Duration::from_secs_f64(window.seconds);
            let left = window.counters.packets_sent as f64 / window.expected as f64;
            if left >= NORMAL && quantile_us(&window, 0.99) <= NORMAL_US {
                return Ok(Some(rounded(passed.as_secs_f64() * 1e3, 0)));
            }
        }
        Ok(None)
    }
}

fn left_per_second(window: &Window) -> f64 {
    window.counters.packets_sent as f64 / window.seconds
}

fn print(title: &str, steps: &[Step], json: bool) -> anyhow::Result<()> {
    if json {
        for step in steps {
            println!("{}", serde_json::to_string(step)?);
        }
        return Ok(());
    }
    println!("{title}");
    let mut rows = table(["offered", "goodput", "latency p99", "stale", "normal after", "lost control"]);
    for step in steps {
        rows.add_row([
            format!("{:.2}", step.offered_ratio),
            format!("{:.2}", step.goodput_ratio),
            duration(step.p99_us * 1e3),
            grouped(step.stale),
            step.recovery_ms.map_or_else(String::new, |ms| duration(ms * 1e6)),
            grouped(step.lost_control),
        ]);
    }
    println!("{rows}");
    Ok(())
}
