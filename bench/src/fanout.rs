//! `corecast-bench fanout`: one worker in a process of its own, driven from another core, and the floor beside it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use corecast_wire::{Coalesce, Executor, Io};

use crate::cpu;
use crate::crypto::Crypto;
use crate::generator::Load;
use crate::http::Server;
use crate::outcome::{GENERATOR_CORE, Outcome, Run};
use crate::plot;
use crate::progress::Progress;
use crate::schedule::{Payload, Profile};
use crate::target::WorkerSetup;
use crate::worker::LinkedWorker;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct FanoutArgs {
    /// How many receive every publisher, each on a transport of its own with a key of its own
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// How many send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    publishers: u16,
    /// Packets per second of each publisher
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// RTP payload: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// How packets are spread over time
    #[arg(long, value_enum, default_value = "pacer")]
    profile: Profile,
    /// How packets are encrypted, in both directions
    #[arg(long, value_enum, default_value = "gcm128")]
    crypto: Crypto,
    /// The worker's driver: auto, uring or syscalls
    #[arg(long, default_value = "auto", value_parser = crate::args::io)]
    io: Io,
    /// What runs the worker's loop: glommio or thread
    #[arg(long, default_value = "glommio", value_parser = crate::args::executor)]
    executor: Executor,
    /// Whether the worker waits a moment for more datagrams: auto, off or microseconds
    #[arg(long, default_value = "auto", value_parser = crate::args::coalesce)]
    coalesce: Coalesce,
    /// Subscribers receive with UDP_GRO
    #[arg(long)]
    gro: bool,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// Seconds before, which are not measured
    #[arg(long, default_value_t = 1.0, value_parser = crate::args::seconds)]
    warm_up: f64,
    /// Core of the worker; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Measure the server that runs at this address (http://…) instead of a worker of our own; floor and steal
    /// time are still this machine's
    #[arg(long, value_name = "URL", conflicts_with_all = ["io", "executor", "coalesce"])]
    target: Option<String>,
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

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured, or a subscriber got what it should not have.
pub fn run(args: &FanoutArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    cpu::pin(GENERATOR_CORE)?;
    let progress = Progress::new(if args.no_floor { 1 } else { 3 });
    let (load, outcome) = measure(args, core, &progress)?;
    progress.finish();
    let (figures, title) = (outcome.figures(&load), load.title(outcome.io));
    if let Some(path) = &args.plot {
        outcome.draw(&title, path)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        outcome.print(&title, &figures);
    }
    Ok(())
}

impl FanoutArgs {
    fn run<'a>(&self, core: u32, io: Io, progress: &'a Progress) -> Run<'a> {
        let load = Load {
            publishers: self.publishers,
            subscribers: self.subscribers as usize,
            pps: self.pps,
            profile: self.profile,
            payload: self.payload,
            crypto: self.crypto,
            publisher_crypto: self.crypto,
            gro: self.gro,
            seed: self.seed,
            ip: Ipv4Addr::LOCALHOST,
        };
        let setup = WorkerSetup { core, io, executor: self.executor, coalesce: self.coalesce };
        let (warm_up, measured) = (Duration::from_secs_f64(self.warm_up), Duration::from_secs_f64(self.seconds));
        Run { load, setup, warm_up, measured, retries: self.retries, progress }
    }
}

fn measure(args: &FanoutArgs, core: u32, progress: &Progress) -> anyhow::Result<(Load, Outcome)> {
    let setup = WorkerSetup { core, io: args.io, executor: args.executor, coalesce: args.coalesce };
    let (io, warnings) = drivers(args, setup)?;
    let run = args.run(core, io, progress);
    let mut floors = Vec::new();
    if !args.no_floor {
        floors.push(run.floor("the floor, before")?);
    }
    let window = match &args.target {
        Some(url) => run.target(url, || Server::reach(url))?,
        None => run.target("the worker", || LinkedWorker::start(run.setup))?,
    };
    if !args.no_floor {
        floors.push(run.floor("the floor, after")?);
    }
    Ok((run.load, Outcome { window, floors, io, warnings }))
}

/// The driver that is going to run, and what is to be said about it. The floor runs on the same one, and a refusal
/// shows at once.
fn drivers(args: &FanoutArgs, setup: WorkerSetup) -> anyhow::Result<(Io, Vec<String>)> {
    if let Some(url) = &args.target {
        return Ok((Server::reach(url)?.io()?, Vec::new()));
    }
    let probe = LinkedWorker::start(setup)?;
    Ok((probe.io(), probe.warnings().to_vec()))
}
