//! `corecast-bench mediasoup`: corecast as mediasoup's worker, driven through mediasoup's Node library as an
//! application does, and another worker in its place, with the same load.

mod most;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::generator::{Generator, Load, Shape, Window};
use crate::outcome::{Outcome, Run};
use crate::plot::{self, Series};
use crate::report::{Figures, duration, grouped, rounded, table};
use crate::schedule::{Payload, Profile};
use crate::setting::{Setting, Stream};
use worker::{Calls, NodeWorker};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct MediasoupArgs {
    /// corecast-mediasoup-worker; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    /// Another worker that is measured after it, with the same load: mediasoup's own
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Folder with mediasoup's Node library in its `node_modules`
    #[arg(long, value_name = "DIR", default_value = "tests/mediasoup")]
    modules: PathBuf,
    /// A meeting of so many instead: each sends sound and pictures and gets those of the others
    #[arg(long, value_name = "PEERS", value_parser = clap::value_parser!(u16).range(2..=1_000))]
    meeting: Option<u16>,
    /// Nobody in the meeting sends pictures
    #[arg(long, requires = "meeting")]
    audio_only: bool,
    /// How many receive every publisher
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// How many send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    publishers: u16,
    /// Packets per second of each publisher, in a meeting of its pictures
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// RTP payload: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// How packets are spread over time
    #[arg(long, value_enum, default_value = "pacer")]
    profile: Profile,
    /// WebRTC transports that are made, connected and given a consumer, for the time of these calls
    #[arg(
        long,
        value_name = "VIEWERS",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    joins: u32,
    /// How often that is done, each time in a new Node process; with `--beside`, each viewer with both workers in turn
    #[arg(
        long,
        value_name = "RUNS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    join_runs: u32,
    /// In these, workers run where they like, as mediasoup's library starts them, instead of all on one core
    #[arg(long)]
    joins_unpinned: bool,
    /// Look for the most packets a second that are forwarded without loss, after the load that is measured
    #[arg(long, conflicts_with = "meeting")]
    most: bool,
    /// Seconds after which that search takes no further step
    #[arg(long, requires = "most", default_value_t = 20.0, value_parser = crate::args::seconds)]
    most_within: f64,
    #[command(flatten)]
    setting: Setting,
}

/// What is told of one worker: the figures of `fanout`, without those of the floor and of trains, which the library
/// does not tell; the time of its calls, and its memory.
#[derive(Debug, Serialize)]
struct MediasoupFigures {
    worker: String,
    #[serde(flatten)]
    media: Figures,
    create_p50_us: f64,
    create_p99_us: f64,
    connect_p50_us: f64,
    connect_p99_us: f64,
    consume_p50_us: f64,
    consume_p99_us: f64,
    create_webrtc_p50_us: f64,
    create_webrtc_p99_us: f64,
    connect_webrtc_p50_us: f64,
    connect_webrtc_p99_us: f64,
    consume_webrtc_p50_us: f64,
    consume_webrtc_p99_us: f64,
    /// Most packets a second without loss, if they were looked for.
    most_pps: Option<u64>,
    /// Resident memory that a transport and its consumers have added, in bytes.
    bytes_per_transport: u64,
}

/// What was measured of one worker, and its latencies in nanoseconds.
type Measured = (MediasoupFigures, Histogram<u64>);

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured, or a subscriber got what it should not have.
pub fn run(args: &MediasoupArgs) -> anyhow::Result<()> {
    args.setting.refuse_target()?;
    let load = args.load();
    let own = match &args.worker {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("corecast-mediasoup-worker"),
    };
    let others = args.beside.iter().map(|path| ("the other worker", path.as_path()));
    let workers: Vec<_> = std::iter::once(("corecast's worker", own.as_path())).chain(others).collect();
    let steps = workers.len() as u64 + u64::from(args.join_runs);
    let measured = args.setting.measure_beside(load, steps, |run| {
        let paths: Vec<_> = workers.iter().map(|(_, path)| *path).collect();
        let mut joins = vec![Calls::default(); paths.len()];
        for first in 0..args.join_runs {
            run.progress.step("calls of viewers");
            let pinned = !args.joins_unpinned;
            let took = worker::join(&paths, &args.modules, (run.setup.core, pinned), (args.joins, first))?;
            joins.iter_mut().zip(took).for_each(|(joins, took)| joins.add(took));
        }
        let each = workers.iter().zip(&joins);
        each.map(|((name, path), joins)| measure(args, run, (name, path), joins)).collect::<anyhow::Result<Vec<_>>>()
    })?;
    if let Some(path) = &args.setting.plot {
        let series = measured.iter().map(|(figures, latency)| Series { name: &figures.worker, latency });
        plot::draw(path, &args.title(&load), &series.collect::<Vec<_>>())?;
    }
    let measured: Vec<_> = measured.into_iter().map(|(figures, _)| figures).collect();
    if args.setting.json {
        for figures in &measured {
            println!("{}", serde_json::to_string(figures)?);
        }
    } else {
        println!("{}", args.title(&load));
        print(&measured);
    }
    Ok(())
}

fn measure(
    args: &MediasoupArgs,
    run: &Run<'_>,
    (name, path): (&str, &Path),
    joins: &Calls,
) -> anyhow::Result<Measured> {
    let (mut calls, mut grown, mut most) = (Calls::default(), 0, None);
    let window = run.attempt(name, |show| {
        let mut worker = NodeWorker::start(path, &args.modules, run.setup.core)?;
        let before = worker.resident_bytes()?;
        let mut generator = Generator::connect(&run.load, &mut worker)?;
        grown = worker.resident_bytes()?.saturating_sub(before);
        calls.clone_from(worker.calls());
        let window = generator.measure(&mut worker, run.timing(), show)?;
        if args.most {
            let within = Duration::from_secs_f64(args.most_within);
            most = Some(most::look(&mut generator, &mut worker, run, (&window, within))?);
        }
        Ok(window)
    })?;
    let latency = window.latency.clone();
    let of_calls = figures(name, run, window, (&calls, joins));
    let bytes_per_transport = grown / calls.create.len().max(1) as u64;
    Ok((MediasoupFigures { bytes_per_transport, most_pps: most, ..of_calls }, latency))
}

fn figures(name: &str, run: &Run<'_>, window: Window, (calls, joins): (&Calls, &Calls)) -> MediasoupFigures {
    let outcome = Outcome { window, floors: Vec::new(), io: run.setup.io, warnings: Vec::new() };
    let quantile = |of: &[f64], quantile: f64| {
        let mut sorted = of.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len().saturating_sub(1) as f64 * quantile).round() as usize;
        rounded(sorted.get(at).copied().unwrap_or_default(), 0)
    };
    MediasoupFigures {
        worker: name.to_owned(),
        media: outcome.figures(&run.load),
        create_p50_us: quantile(&calls.create, 0.5),
        create_p99_us: quantile(&calls.create, 0.99),
        connect_p50_us: quantile(&calls.connect, 0.5),
        connect_p99_us: quantile(&calls.connect, 0.99),
        consume_p50_us: quantile(&calls.consume, 0.5),
        consume_p99_us: quantile(&calls.consume, 0.99),
        create_webrtc_p50_us: quantile(&joins.create, 0.5),
        create_webrtc_p99_us: quantile(&joins.create, 0.99),
        connect_webrtc_p50_us: quantile(&joins.connect, 0.5),
        connect_webrtc_p99_us: quantile(&joins.connect, 0.99),
        consume_webrtc_p50_us: quantile(&joins.consume, 0.5),
        consume_webrtc_p99_us: quantile(&joins.consume, 0.99),
        most_pps: None,
        bytes_per_transport: 0,
    }
}

fn print(measured: &[MediasoupFigures]) {
    let header = std::iter::once(String::new()).chain(measured.iter().map(|of| of.worker.clone()));
    let mut rows = table(["", "", ""]);
    rows.set_header(header);
    let mut row = |name: &str, value: &dyn Fn(&MediasoupFigures) -> String| {
        rows.add_row(std::iter::once(name.to_owned()).chain(measured.iter().map(value)));
    };
    row("CPU per packet sent, ns", &|of| {
        of.media.cpu_ns_per_packet.map_or_else(|| "-".into(), |ns| format!("{ns:.0}"))
    });
    row("forwarded per second", &|of| grouped(of.media.fwd_pps as u64));
    row("latency p50", &|of| duration(of.media.p50_us * 1e3));
    row("latency p99", &|of| duration(of.media.p99_us * 1e3));
    row("lost by the server", &|of| grouped(of.media.lost_server));
    row("lost by subscribers' sockets", &|of| grouped(of.media.lost_receiver));
    row("steal, %", &|of| format!("{:.1}", of.media.steal_pct));
    let both = |p50: f64, p99: f64| format!("{}, {}", duration(p50 * 1e3), duration(p99 * 1e3));
    row("createPlainTransport p50, p99", &|of| both(of.create_p50_us, of.create_p99_us));
    row("connect p50, p99", &|of| both(of.connect_p50_us, of.connect_p99_us));
    row("consume p50, p99", &|of| both(of.consume_p50_us, of.consume_p99_us));
    row("createWebRtcTransport p50, p99", &|of| both(of.create_webrtc_p50_us, of.create_webrtc_p99_us));
    row("its connect p50, p99", &|of| both(of.connect_webrtc_p50_us, of.connect_webrtc_p99_us));
    row("its consume p50, p99", &|of| both(of.consume_webrtc_p50_us, of.consume_webrtc_p99_us));
    if measured.iter().any(|of| of.most_pps.is_some()) {
        row("most without loss, per second", &|of| of.most_pps.map_or_else(|| "-".into(), grouped));
    }
    row("memory per transport, bytes", &|of| grouped(of.bytes_per_transport));
    println!("{rows}");
    if let [own, other] = measured
        && let Some((own, other)) = own.media.cpu_ns_per_packet.zip(other.media.cpu_ns_per_packet)
    {
        println!("corecast spends {:.2} times what the other worker does", own / other);
    }
}

impl MediasoupArgs {
    fn load(&self) -> Load {
        let stream = Stream { pps: self.pps, profile: self.profile, payload: self.payload };
        match self.meeting {
            Some(peers) => {
                let shape = Shape::Meeting { pictures: !self.audio_only };
                self.setting.load(shape, (peers, usize::from(peers)), &stream)
            }
            None => self.setting.load(Shape::Broadcast, (self.publishers, self.subscribers as usize), &stream),
        }
    }

    fn title(&self, load: &Load) -> String {
        let title = load.title(corecast_wire::Io::Auto);
        title.replace(", auto,", ",")
    }
}
