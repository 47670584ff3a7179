//! `corecast-bench crowd`: many participants at once, by protoo. They join at a rate, each with both of its transports
//! and consumers of the one that publishes in its room, or they have joined and say nothing: what the server holds for
//! each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use corecast_wire::{Coalesce, Io, SrtpCryptoSuite};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::calls::launch::Launched;
use crate::cpu;
use crate::http::Server;
use crate::outcome::GENERATOR_CORE;
use crate::packet::FIRST_SSRC;
use crate::report::{duration, grouped, rounded, table};
use crate::room::participant::{Common, Participant};
use crate::room::signaling::Signaling;
use crate::target::Target as _;
use crate::webrtc::Identity;

/// After everybody has joined, before memory is looked at.
const REST: Duration = Duration::from_secs(2);
/// More than it needs.
const CONNECTIONS: &str = "100000";
/// Sound, and pictures in three encodings.
const STREAMS: u32 = 4;
/// Longest reason that is reported, in characters.
const REASON_CHARS: usize = 160;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct CrowdArgs {
    /// How many join
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    peers: u32,
    /// How many of them a second
    #[arg(long, default_value_t = 1_000.0, value_parser = per_second)]
    joins_per_second: f64,
    /// How many share a room: one of them publishes sound and pictures, all others are offered both
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    room: u32,
    /// They make no transports, and say nothing once they have joined
    #[arg(long)]
    idle: bool,
    /// Driver of the server: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io)]
    io: Io,
    /// Core of its worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

fn per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| "give joins per second, from 0.1 to 100000".into())
}

/// What is printed.
#[derive(Debug, Serialize)]
struct CrowdFigures {
    joined: u64,
    failed: u64,
    /// Why, and how many each.
    failures: BTreeMap<String, u64>,
    asked_per_second: f64,
    reached_per_second: f64,
    /// From opening the WebSocket to having taken what is offered, in microseconds.
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    /// Cores that everything but the workers took while they joined.
    control_cores: f64,
    /// CPU time of a join in control, and in its worker, in microseconds.
    control_us_per_join: f64,
    worker_us_per_join: f64,
    /// Resident memory of all of the server's processes for each that is there.
    bytes_each: u64,
}

/// How joins went.
struct Joined {
    times: Histogram<u64>,
    failures: BTreeMap<String, u64>,
    elapsed: Duration,
}

/// Runs the subcommand.
///
/// # Errors
/// The server does not start, or nobody can join.
pub fn run(args: &CrowdArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    // A server whose workers are threads leaves them three quarters of the files that it may open.
    let more = [("--limits-connections", CONNECTIONS), ("--isolation", "process")];
    let launched = Launched::start_with(core, args.io, Coalesce::Auto, &more)?;
    cpu::pin(GENERATOR_CORE)?;
    let mut server = Server::reach(launched.site())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let common = Common::new(launched.site().clone(), "", Arc::new(Identity::new()?), SrtpCryptoSuite::AeadAes128Gcm);
    let workers_before = server.counters()?.cpu.unwrap_or_default();
    let before = launched.held().context("the server has ended")?;
    let (joined, crowd) = runtime.block_on(join_all(args, &common))?;
    let after = launched.held().context("the server has ended")?;
    let workers = server.counters()?.cpu.unwrap_or_default().saturating_sub(workers_before);
    runtime.block_on(async { tokio::time::sleep(REST).await });
    let grown = launched.held().context("the server has ended")?.resident_bytes.saturating_sub(before.resident_bytes);
    drop(crowd);
    let control = after.cpu.saturating_sub(before.cpu).saturating_sub(workers);
    let count = joined.times.len().max(1);
    let each = |of: Duration| rounded(of.as_secs_f64() * 1e6 / count as f64, 1);
    let figures = CrowdFigures {
        joined: joined.times.len(),
        failed: joined.failures.values().sum(),
        failures: joined.failures,
        asked_per_second: args.joins_per_second,
        reached_per_second: rounded(joined.times.len() as f64 / joined.elapsed.as_secs_f64(), 1),
        p50_us: joined.times.value_at_quantile(0.5),
        p99_us: joined.times.value_at_quantile(0.99),
        max_us: joined.times.max(),
        control_cores: rounded(control.as_secs_f64() / joined.elapsed.as_secs_f64(), 3),
        control_us_per_join: each(control),
        worker_us_per_join: each(workers),
        bytes_each: grown / count,
    };
    match args.json {
        true => println!("{}", serde_json::to_string(&figures)?),
        false => figures.print(),
    }
    Ok(())
}

/// Has everybody join, and stay until what is returned is dropped.
async fn join_all(args: &CrowdArgs, common: &Common) -> anyhow::Result<(Joined, JoinSet<()>)> {
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / args.joins_per_second));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (done, mut results) = mpsc::unbounded_channel();
    let (mut crowd, began) = (JoinSet::new(), Instant::now());
    for number in 0..args.peers {
        pace.tick().await;
        let (common, done, idle, room) = (common.in_room(number / args.room), done.clone(), args.idle, args.room);
        crowd.spawn(async move {
            let began = Instant::now();
            let joined = join(&common, number, room, idle).await;
            let (signaling, result) = match joined {
                Ok(signaling) => (Some(signaling), Ok(began.elapsed())),
                Err(error) => (None, Err(error)),
            };
            // Fails if nobody counts any longer.
            let _ = done.send(result);
            drop(done);
            if let Some(signaling) = signaling {
                signaling.listen().await;
            }
        });
    }
    drop(done);
    let empty = Histogram::new_with_bounds(1, 600_000_000, 3).context("histogram")?;
    let mut joined = Joined { times: empty, failures: BTreeMap::new(), elapsed: Duration::ZERO };
    while let Some(result) = results.recv().await {
        match result {
            Ok(time) => joined.times.saturating_record(u64::try_from(time.as_micros())?.max(1)),
            Err(error) => {
                let reason = format!("{error:#}").chars().take(REASON_CHARS).collect();
                *joined.failures.entry(reason).or_default() += 1;
            }
        }
        joined.elapsed = began.elapsed();
    }
    anyhow::ensure!(!joined.times.is_empty(), "nobody has joined: {:?}", joined.failures);
    Ok((joined, crowd))
}

/// Joins as participant `number`, of which so many share a room.
async fn join(common: &Common, number: u32, room: u32, idle: bool) -> anyhow::Result<Signaling> {
    let name = format!("peer-{number}");
    if idle {
        return Participant::join_idle(common, &name).await;
    }
    let mut participant = Participant::join(common, &name).await?;
    match number % room {
        0 => {
            let ssrcs: Vec<_> = (0..STREAMS).map(|stream| FIRST_SSRC + number * STREAMS + stream).collect();
            participant.produce(&ssrcs).await?;
        }
        _ => participant.take_all(2).await?,
    }
    Ok(participant.into_signaling())
}

impl CrowdFigures {
    fn print(&self) {
        println!(
            "{} joined at {:.0} per second ({:.0} asked for), {} failed",
            grouped(self.joined),
            self.reached_per_second,
            self.asked_per_second,
            grouped(self.failed)
        );
        let mut rows = table(["", ""]);
        let us = |us: u64| duration(us as f64 * 1e3);
        rows.add_row(["time of a join, p50, p99, longest".to_owned(), {
            format!("{}, {}, {}", us(self.p50_us), us(self.p99_us), us(self.max_us))
        }]);
        rows.add_row(["cores that control took".to_owned(), format!("{:.2}", self.control_cores)]);
        rows.add_row(["CPU of a join in control".to_owned(), duration(self.control_us_per_join * 1e3)]);
        rows.add_row(["CPU of a join in its worker".to_owned(), duration(self.worker_us_per_join * 1e3)]);
        rows.add_row(["memory of each".to_owned(), format!("{:.1} KiB", self.bytes_each as f64 / 1_024.0)]);
        println!("{rows}");
        for (reason, count) in &self.failures {
            println!("{} failed: {reason}", grouped(*count));
        }
    }
}
