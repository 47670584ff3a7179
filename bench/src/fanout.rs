//! `corecast-bench fanout`: one worker in a process of its own, driven from another core, and the floor beside it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use corecast_wire::{Coalesce, Io};

use crate::cpu;
use crate::crypto::Crypto;
use crate::floor::{Floor, Gather};
use crate::floor_table::MAX_STEAL_PCT;
use crate::generator::{Generator, Load, Timing, Window};
use crate::http::Server;
use crate::plot::{self, Series};
use crate::progress::Progress;
use crate::report::{Figures, duration, grouped, rounded, table};
use crate::schedule::{Payload, Profile};
use crate::target::{Setup, Target};
use crate::worker::LinkedWorker;

/// The ratio to the floor says something only while trains are equally long within this part.
const MAX_TRAIN_DIFFERENCE: f64 = 0.05;
const GENERATOR_CORE: u32 = 0;
const FLOOR_SECONDS: f64 = 5.0;

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
    #[arg(long, value_name = "URL", conflicts_with_all = ["io", "coalesce"])]
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

/// One measurement with the floor on both sides of it.
struct Outcome {
    window: Window,
    floors: Vec<Window>,
    io: Io,
    warnings: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured, or a subscriber got what it should not have.
pub fn run(args: &FanoutArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    cpu::pin(GENERATOR_CORE)?;
    let progress = Progress::new(if args.no_floor { 1 } else { 3 });
    let outcome = measure(args, core, &progress)?;
    progress.finish();
    let figures = figures(args, &outcome);
    if let Some(path) = &args.plot {
        draw(args, &outcome, path).with_context(|| path.display().to_string())?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(args, &outcome, &figures);
    }
    Ok(())
}

impl FanoutArgs {
    fn load(&self) -> Load {
        Load {
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
        }
    }

    fn timing(&self, core: u32, seconds: f64) -> Timing {
        Timing {
            warm_up: Duration::from_secs_f64(self.warm_up),
            measured: Duration::from_secs_f64(seconds),
            cores: [GENERATOR_CORE, core],
        }
    }
}

fn measure(args: &FanoutArgs, core: u32, progress: &Progress) -> anyhow::Result<Outcome> {
    let mut setup = Setup { core, io: args.io, coalesce: args.coalesce };
    let (io, warnings) = drivers(args, setup)?;
    setup.io = io;
    let floor = |what: &str| -> anyhow::Result<Window> {
        // The floor opens nothing, so it gets plain RTP; what leaves is encrypted alike.
        let load = Load { publisher_crypto: Crypto::None, ..args.load() };
        let timing = args.timing(core, args.seconds.min(FLOOR_SECONDS));
        let start = || Floor::start(setup, Gather::Coalesced(args.coalesce));
        attempt(args, &load, timing, progress, what, start)
    };
    let mut floors = Vec::new();
    if !args.no_floor {
        floors.push(floor("the floor, before")?);
    }
    let timing = args.timing(core, args.seconds);
    let window = match &args.target {
        Some(url) => attempt(args, &args.load(), timing, progress, url, || Server::reach(url))?,
        None => attempt(args, &args.load(), timing, progress, "the worker", || LinkedWorker::start(setup))?,
    };
    if !args.no_floor {
        floors.push(floor("the floor, after")?);
    }
    Ok(Outcome { window, floors, io, warnings })
}

/// The driver that is going to run, and what is to be said about it. The floor runs on the same one, and a refusal
/// shows at once.
fn drivers(args: &FanoutArgs, setup: Setup) -> anyhow::Result<(Io, Vec<String>)> {
    if let Some(url) = &args.target {
        return Ok((Server::reach(url)?.io()?, Vec::new()));
    }
    let probe = LinkedWorker::start(setup)?;
    Ok((probe.io, probe.warnings.clone()))
}

/// Measures, and measures again if the hypervisor took too much time away.
fn attempt<T: Target>(
    args: &FanoutArgs,
    load: &Load,
    timing: Timing,
    progress: &Progress,
    what: &str,
    start: impl Fn() -> anyhow::Result<T>,
) -> anyhow::Result<Window> {
    progress.step(what);
    let mut repeated = 0;
    loop {
        let mut target = start()?;
        let mut show = |done| progress.within(what, done, timing.measured);
        let mut generator = Generator::connect(load, &mut target).context(what.to_owned())?;
        let window = generator.measure(&mut target, timing, &mut show).context(what.to_owned())?;
        if window.steal_pct <= MAX_STEAL_PCT || repeated >= args.retries {
            return Ok(window);
        }
        repeated += 1;
        progress.note(&format!("{what}: the hypervisor took {:.1} % of the time; once more", window.steal_pct));
    }
}

fn mean(floors: &[Window], value: impl Fn(&Window) -> Option<f64>) -> Option<f64> {
    let values: Vec<_> = floors.iter().map(value).collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn quantile_us(window: &Window, quantile: f64) -> f64 {
    rounded(window.latency.value_at_quantile(quantile) as f64 / 1e3, 1)
}

fn figures(args: &FanoutArgs, outcome: &Outcome) -> Figures {
    let window = &outcome.window;
    let floor_ns = mean(&outcome.floors, Window::cpu_ns_per_packet);
    let (train, floor_train) = (window.train_mean(), mean(&outcome.floors, Window::train_mean));
    let comparable =
        (train.zip(floor_train)).is_some_and(|(ours, floor)| (ours / floor - 1.0).abs() <= MAX_TRAIN_DIFFERENCE);
    let ratio = window.cpu_ns_per_packet().zip(floor_ns).map(|(ours, floor)| ours / floor).filter(|_| comparable);
    let received = window.arrivals.packets;
    Figures {
        sent: window.sent,
        expected: window.expected,
        received,
        lost: window.lost(),
        lost_server: window.lost_server(),
        lost_receiver: window.lost_receiver,
        loss_pct: rounded(100.0 * window.lost() as f64 / window.expected.max(1) as f64, 4),
        fwd_pps: rounded(received as f64 / window.seconds, 0),
        p50_us: quantile_us(window, 0.5),
        p99_us: quantile_us(window, 0.99),
        p999_us: quantile_us(window, 0.999),
        max_us: rounded(window.latency.max() as f64 / 1e3, 1),
        cpu_ns_per_packet: window.cpu_ns_per_packet().map(|ns| rounded(ns, 1)),
        floor_ns_per_packet: floor_ns.map(|ns| rounded(ns, 1)),
        ratio_to_floor: ratio.map(|ratio| rounded(ratio, 3)),
        train_mean: train.map(|mean| rounded(mean, 3)),
        floor_train_mean: floor_train.map(|mean| rounded(mean, 3)),
        floor_p99_us: mean(&outcome.floors, |floor| Some(quantile_us(floor, 0.99))).map(|us| rounded(us, 1)),
        steal_pct: rounded(window.steal_pct, 2),
        io: crate::args::io_name(outcome.io).to_owned(),
        crypto: args.crypto.name().to_owned(),
        subscribers: args.subscribers as usize,
        publishers: args.publishers,
    }
}

/// What was measured, in a few words.
fn title(args: &FanoutArgs, io: Io) -> String {
    format!(
        "{} publisher{} × {} subscribers, {} pps each, payload {}, {:?}, {}, {}, {} UDP_GRO",
        args.publishers,
        if args.publishers == 1 { "" } else { "s" },
        args.subscribers,
        args.pps,
        args.payload,
        args.profile,
        args.crypto.name(),
        crate::args::io_name(io),
        if args.gro { "with" } else { "without" },
    )
    .to_lowercase()
    .replace("udp_gro", "UDP_GRO")
}

fn draw(args: &FanoutArgs, outcome: &Outcome, path: &std::path::Path) -> anyhow::Result<()> {
    let mut floor: Option<hdrhistogram::Histogram<u64>> = None;
    for window in &outcome.floors {
        match &mut floor {
            None => floor = Some(window.latency.clone()),
            Some(sum) => sum.add(&window.latency)?,
        }
    }
    let mut series = vec![Series { name: "corecast", latency: &outcome.window.latency }];
    series.extend(floor.as_ref().map(|latency| Series { name: "floor", latency }));
    plot::draw(path, &title(args, outcome.io), &series)
}

fn print(args: &FanoutArgs, outcome: &Outcome, figures: &Figures) {
    let window = &outcome.window;
    println!("{}", title(args, outcome.io));
    let mut header = table(["", "corecast", "floor before", "floor after"]);
    let mut row = |name: &str, value: &dyn Fn(&Window) -> String| {
        let floors = outcome.floors.iter().map(value);
        header.add_row([name.to_owned(), value(window)].into_iter().chain(floors));
    };
    let number =
        |value: Option<f64>, places: usize| value.map_or_else(|| "-".into(), |value| format!("{value:.places$}"));
    row("CPU per packet sent, ns", &|of| number(of.cpu_ns_per_packet(), 0));
    row("packets per train", &|of| number(of.train_mean(), 2));
    row("forwarded per second", &|of| grouped((of.arrivals.packets as f64 / of.seconds) as u64));
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)] {
        row(&format!("latency {name}"), &|of| duration(of.latency.value_at_quantile(quantile) as f64));
    }
    row("lost by the server", &|of| grouped(of.lost_server()));
    row("lost by subscribers' sockets", &|of| grouped(of.lost_receiver));
    row("compared byte by byte", &|of| grouped(of.arrivals.compared));
    row("generator late by at most", &|of| duration(of.latest_send_ns as f64));
    row("steal, %", &|of| format!("{:.1}", of.steal_pct));
    println!("{header}");
    match (figures.ratio_to_floor, figures.floor_ns_per_packet) {
        (Some(ratio), _) => println!("ratio to floor: {ratio:.2}"),
        (None, Some(_)) => println!("ratio to floor: invalid, the trains differ by more than 5 percent"),
        (None, None) => {}
    }
    if window.arrivals.repeated + window.arrivals.reordered > 0 {
        println!("repeated: {}, reordered: {}", window.arrivals.repeated, window.arrivals.reordered);
    }
    for (name, packets) in &window.counters.discards {
        println!("the server discarded {} packets: {name}", grouped(*packets));
    }
    for warning in &outcome.warnings {
        println!("the worker warns: {warning}");
    }
}
