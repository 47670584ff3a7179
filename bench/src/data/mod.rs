//! `corecast-bench data`: messages of a publisher's data channel to all who watch it, over real WebRTC sessions with a
//! real server, in both orders, and what they do to media beside them.

mod report;
mod talk;

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use corecast_wire::{Coalesce, Executor, Io, Sandbox};

use self::report::DataFigures;
use self::talk::{Pace, Talk};
use crate::calls::joins::{Joiner, Joins, Stay};
use crate::calls::launch::Launched;
use crate::clock::Clock;
use crate::cpu;
use crate::crypto::Crypto;
use crate::generator::{Ends, Generator, Load, Shape, Window};
use crate::http::Server;
use crate::outcome::{GENERATOR_CORE, Run};
use crate::progress::Progress;
use crate::publishers::Publisher;
use crate::schedule::{Payload, Profile, Source};
use crate::site::Named;
use crate::subscribers::Subscribers;
use crate::target::WorkerSetup;
use crate::webrtc::channels::MAX_MESSAGE_BYTES;
use crate::webrtc::sdp::Kind;

/// Packets a second and payload of the media beside: pictures of a call.
const MEDIA_PPS: u32 = 300;
const MEDIA_BYTES: usize = 1_200;
const MEDIA_JOINS_PER_SECOND: f64 = 50.0;

/// Bytes that a message may have.
const SIZES: RangeInclusive<i64> = talk::HEADER_BYTES as i64..=MAX_MESSAGE_BYTES as i64;

/// Whether messages may overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// They arrive as they were sent.
    Ordered,
    /// They arrive as they come.
    Unordered,
}

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct DataArgs {
    /// How many watch the publisher, each with a session of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    subscribers: u32,
    /// Bytes of a message
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(SIZES))]
    size: u32,
    /// Messages per second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Instead of a rate, so many messages are under way to the slowest receiver at a time
    #[arg(long, value_name = "N", conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    in_flight: Option<u32>,
    /// One order alone; by default one after the other
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// So many watch a publisher of pictures meanwhile: their latency alone is measured first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_000))]
    media: Option<u32>,
    #[command(flatten)]
    named: Named,
    /// Bearer token for WHIP and WHEP
    #[arg(long)]
    token: Option<String>,
    /// Driver of the server that is started: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io, conflicts_with = "target")]
    io: Io,
    /// Core of its worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Seconds that are measured in each order
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// For the media's phase
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON for each order
    #[arg(long)]
    json: bool,
}

impl DataArgs {
    fn orders(&self) -> Vec<Order> {
        self.order.map_or_else(|| vec![Order::Ordered, Order::Unordered], |order| vec![order])
    }

    fn pace(&self) -> Pace {
        self.in_flight.map_or(Pace::Rate(self.rate), Pace::InFlight)
    }

    fn load(&self) -> Load {
        Load {
            shape: Shape::Broadcast,
            publishers: u16::from(self.media.is_some()),
            subscribers: self.media.unwrap_or(0) as usize,
            pps: MEDIA_PPS,
            profile: Profile::Frame,
            payload: Payload::Fixed(MEDIA_BYTES),
            loudest: 0,
            crypto: Crypto::Gcm128,
            publisher_crypto: Crypto::Gcm128,
            gro: true,
            seed: self.seed,
            ip: std::net::Ipv4Addr::LOCALHOST,
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// Somebody cannot join, something cannot be measured, or a receiver got what it should not have.
pub fn run(args: &DataArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    // The server may use every core; we may not.
    let launched = match args.named.is_given() {
        true => None,
        false => Some(Launched::start(core, args.io, Coalesce::Auto)?),
    };
    cpu::pin(GENERATOR_CORE)?;
    let site = args.named.site()?.or_else(|| launched.as_ref().map(|of| of.site().clone())).context("a server")?;
    let mut server = Server::reach(&site)?;
    let setup = WorkerSetup {
        core,
        io: server.io()?,
        executor: Executor::Thread,
        coalesce: Coalesce::Auto,
        sound_wait_us: 0,
        sandbox: Sandbox::On,
    };
    let orders = args.orders();
    let progress = Progress::new(orders.len() as u64 + if args.media.is_some() { 3 } else { 1 });
    let run = Run {
        load: args.load(),
        setup,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs_f64(args.seconds),
        retries: 0,
        progress: &progress,
    };
    let suite = Crypto::Gcm128.suite().context("a suite")?;
    let joiner = Joiner::new(&site, server.room(), args.token.as_deref(), suite, Kind::Video)?;
    let clock = Clock::default();
    let mut generator = media(args, &run, &joiner, clock)?;
    let alone = match args.media {
        Some(_) => Some(run.attempt("media alone", |show| generator.measure(&mut server, run.timing(), show))?),
        None => None,
    };
    progress.step(&format!("{} who talk join", args.subscribers));
    let mut talk = Talk::join(&joiner, args.subscribers, clock)?;
    let mut figures = Vec::new();
    for order in orders {
        figures.push(measure(args, order, &run, &mut generator, &mut server, &mut talk, alone.as_ref())?);
    }
    let _ = joiner.leave(generator.dissolve());
    let _ = joiner.leave(talk.into_upkeep());
    progress.finish();
    report::print(args, &figures)
}

/// Who publishes pictures, and who watches them.
fn media(args: &DataArgs, run: &Run<'_>, joiner: &Joiner, clock: Clock) -> anyhow::Result<Generator> {
    let mut publishers = Vec::new();
    if args.media.is_some() {
        let session = joiner.publish(0).context("the publisher of pictures cannot join")?;
        let Load { profile, payload, pps, .. } = run.load;
        let source = Source::new(profile, payload, pps, 0, args.seed).key_frames_on_demand();
        let publisher = Publisher::joined(0, source, session.into_parts(), clock.now_ns())?;
        publishers.push(publisher.with_payload_type(joiner.payload_type()));
    }
    let subscribers = Subscribers::new(Vec::new(), run.load.gro, run.load.ip)?;
    let mut generator = Generator::between(Ends::new(clock, publishers, subscribers), args.seed);
    if let Some(watchers) = args.media {
        run.progress.step(&format!("{watchers} who watch join"));
        let mut joins = Joins::new(joiner, 1, watchers.into(), MEDIA_JOINS_PER_SECOND, Stay::ForGood)?;
        generator.run(&mut joins)?;
        let setups = joins.into_setups();
        ensure!(setups.failed() == 0, "some could not join: {:?}", setups.failures);
        generator.expect_shedding();
        // Who talks keeps this thread from reading: the latency of media is the kernel's to tell.
        generator.trust_time_stamps()?;
    }
    Ok(generator)
}

fn measure(
    args: &DataArgs,
    order: Order,
    run: &Run<'_>,
    generator: &mut Generator,
    server: &mut Server,
    talk: &mut Talk,
    alone: Option<&Window>,
) -> anyhow::Result<DataFigures> {
    let what = format!("{order:?}");
    talk.open(order)?;
    let window = run.attempt(&what, |show| {
        talk.prepare(args.pace(), args.size, run.measured);
        generator.measure_beside(server, run.timing(), show, talk)
    })?;
    Ok(DataFigures::new(order, talk, &window, alone))
}
