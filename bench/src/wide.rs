//! `corecast-bench wide`: one room on several workers. Publishers are at home; every worker sends to its share of the
//! subscribers, and what comes to the others crosses a pipe, as the server joins them. Beside it the same load on one
//! worker.
//!
//! No generator keeps many cores busy. So what so many cores carry is told by CPU time: the busiest worker is the one
//! that would be full first.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use corecast_dataplane::Mesh;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, EncodingMapping, Io, MediaKind, PayloadTypeMapping,
    PlainTransportOptions, ProduceOptions, ProducerId, Reply, TransportId, worker_ip,
};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::generator::{Generator, Load, Shape, Window};
use crate::outcome::{GENERATOR_CORE, Run};
use crate::plot::{self, Series};
use crate::report::{duration, grouped, rounded, table};
use crate::schedule::{Payload, Profile};
use crate::setting::{Setting, Stream};
use crate::target::{Counters, Plan, Route, Target, WorkerSetup};
use crate::worker::{LinkedWorker, MAPPED_PAYLOAD_TYPE, ROUTER};

/// Transports of pipes, and SSRCs on them, are counted from here.
const FIRST_PIPE: u64 = 1 << 32;
const FIRST_PIPE_SSRC: u32 = 0x7000_0000;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct WideArgs {
    /// Workers that the room is on
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=64))]
    workers: u32,
    /// Their cores, the home's first; by default from the last one down. What there are too few of are shared
    #[arg(long, value_delimiter = ',')]
    cores: Vec<u32>,
    /// How many receive every publisher, on all workers together
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(2..=10_000))]
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
    /// Measure beside it what crosses pipes over UDP on loopback, as pipes between machines do
    #[arg(long)]
    udp: bool,
    #[command(flatten)]
    setting: Setting,
}

/// What JSON has of it.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    /// Workers.
    cores: u32,
    /// Packets that all of them forwarded, per second.
    pps: f64,
    /// What they could carry beside what one could, by the CPU time of the busiest one.
    ratio_to_one_core: Option<f64>,
    /// Packets that did not arrive.
    lost: u64,
    /// How much later the 99th percentile is behind the pipe than at home, in microseconds.
    added_p99_us: f64,
    /// The same of the median.
    added_p50_us: f64,
    /// CPU time per forwarded packet: of one worker alone, and of all together.
    one_ns_per_packet: Option<f64>,
    wide_ns_per_packet: Option<f64>,
    /// The latter through the former: what it costs to be on so many workers.
    cpu_ratio: Option<f64>,
    steal_pct: f64,
    /// The same with pipes over UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<Box<Self>>,
}

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured, or a subscriber got what it should not have.
pub fn run(args: &WideArgs) -> anyhow::Result<()> {
    args.setting.refuse_target()?;
    let stream = Stream { pps: args.pps, profile: args.profile, payload: args.payload };
    let load = args.setting.load(Shape::Broadcast, (args.publishers, args.subscribers as usize), &stream);
    let cores = args.cores()?;
    let (one, wide, udp) = args.setting.measure_beside(load, 2 + u64::from(args.udp), |run| {
        let one = run.target("one worker", || LinkedWorker::start(run.setup))?;
        let wide = window(run, &cores, Pipes::Lanes)?;
        let udp = if args.udp { Some(window(run, &cores, Pipes::Udp)?) } else { None };
        Ok((one, wide, udp))
    })?;
    let mut figures = figures(args, &one, &wide);
    figures.udp = udp.map(|udp| Box::new(self::figures(args, &one, &udp)));
    if let (Some(path), [home, branches @ ..]) = (&args.setting.plot, &wide.latency[..]) {
        let mut far = home.clone();
        far.reset();
        branches.iter().try_for_each(|branch| far.add(branch))?;
        let series = [("at home", home), ("on a branch", &far)];
        let title = format!("{}, on {} workers", load.title(wide.io), args.workers);
        plot::draw(path, &title, &series.map(|(name, latency)| Series { name, latency }))?;
    }
    if args.setting.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&load, &figures, &wide);
    }
    Ok(())
}

impl WideArgs {
    /// A core for each worker, the home's first.
    fn cores(&self) -> anyhow::Result<Vec<u32>> {
        let last = crate::cpu::last_core()?;
        // The generator has the first one for itself, unless it is the only one.
        let free: Vec<u32> = match &self.cores[..] {
            [] if last == GENERATOR_CORE => vec![last],
            [] => (GENERATOR_CORE + 1..=last).rev().collect(),
            given => given.to_vec(),
        };
        Ok(free.into_iter().cycle().take(self.workers as usize).collect())
    }
}

/// How what crosses gets to the other worker.
#[derive(Clone, Copy, Debug)]
enum Pipes {
    /// Through memory that both share, as in the server.
    Lanes,
    /// Over UDP on loopback.
    Udp,
}

/// What was measured of all workers together, and of each.
struct Wide {
    window: Window,
    /// CPU time of each worker.
    cpu: Vec<Duration>,
    /// Latencies of the subscribers of each.
    latency: Vec<Histogram<u64>>,
    io: Io,
}

fn window(run: &Run<'_>, cores: &[u32], pipes: Pipes) -> anyhow::Result<Wide> {
    let (mut cpu, mut latency) = (Vec::new(), Vec::new());
    let what = match pipes {
        Pipes::Lanes => "as many workers",
        Pipes::Udp => "as many workers, over UDP",
    };
    let window = run.attempt(what, |show| {
        let mut target = WideRoom::start(run.setup, cores, pipes)?;
        let mut generator = Generator::connect(&run.load, &mut target)?;
        generator.tell_apart(cores.len())?;
        let window = generator.measure(&mut target, run.timing(), show)?;
        cpu = target.spent();
        latency = generator.latency_of().to_vec();
        Ok(window)
    })?;
    Ok(Wide { window, cpu, latency, io: run.setup.io })
}

fn figures(args: &WideArgs, one: &Window, wide: &Wide) -> Figures {
    let window = &wide.window;
    let (spent, packets) = (one.counters.cpu, one.counters.packets_sent.max(1) as f64);
    let per_packet = spent.map(|cpu| cpu.as_nanos() as f64 / packets);
    let forwarded = window.arrivals.packets.max(1) as f64;
    let busiest = wide.cpu.iter().max().map(|cpu| cpu.as_nanos() as f64 / forwarded);
    let all = wide.cpu.iter().sum::<Duration>().as_nanos() as f64 / forwarded;
    let at = |index: usize, quantile| wide.latency.get(index).map(|of| of.value_at_quantile(quantile) as f64 / 1e3);
    let added = |quantile| {
        let far = (1..wide.latency.len()).filter_map(|index| at(index, quantile)).fold(0.0, f64::max);
        rounded(far - at(0, quantile).unwrap_or_default(), 1)
    };
    Figures {
        cores: args.workers,
        pps: rounded(window.arrivals.packets as f64 / window.seconds, 0),
        ratio_to_one_core: per_packet.zip(busiest).map(|(one, busiest)| rounded(one / busiest, 3)),
        lost: window.lost(),
        added_p99_us: added(0.99),
        added_p50_us: added(0.5),
        one_ns_per_packet: per_packet.map(|ns| rounded(ns, 1)),
        wide_ns_per_packet: Some(rounded(all, 1)),
        cpu_ratio: per_packet.map(|one| rounded(all / one, 3)),
        steal_pct: rounded(window.steal_pct.max(one.steal_pct), 2),
        udp: None,
    }
}

fn print(load: &Load, figures: &Figures, wide: &Wide) {
    println!("{} publishers × {} subscribers on {} workers", load.publishers, load.subscribers, figures.cores);
    let mut rows = table(["worker", "CPU per packet of all, ns", "p50", "p99"]);
    let forwarded = wide.window.arrivals.packets.max(1) as f64;
    for (index, (cpu, latency)) in wide.cpu.iter().zip(&wide.latency).enumerate() {
        let quantile = |quantile| duration(latency.value_at_quantile(quantile) as f64);
        let name = if index == 0 { "home".to_owned() } else { format!("branch {index}") };
        rows.add_row([name, format!("{:.0}", cpu.as_nanos() as f64 / forwarded), quantile(0.5), quantile(0.99)]);
    }
    println!("{rows}");
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    println!("forwarded per second: {}, lost: {}", grouped(figures.pps as u64), grouped(figures.lost));
    println!(
        "CPU per forwarded packet: {} ns on one worker, {} ns on {}: {} times as much",
        number(figures.one_ns_per_packet),
        number(figures.wide_ns_per_packet),
        figures.cores,
        number(figures.cpu_ratio)
    );
    println!(
        "a crossing adds {} us at the median, {} at the 99th percentile",
        figures.added_p50_us, figures.added_p99_us
    );
    println!("{} workers carry {} times what one does", figures.cores, number(figures.ratio_to_one_core));
    if let Some(udp) = &figures.udp {
        println!(
            "over UDP: {} times the CPU of one worker; added: {} us, {} us; lost: {}",
            number(udp.cpu_ratio),
            udp.added_p50_us,
            udp.added_p99_us,
            grouped(udp.lost)
        );
    }
    for (name, packets) in &wide.window.counters.discards {
        println!("the workers discarded {} packets: {name}", grouped(*packets));
    }
}

/// A room on several workers. Subscribers are on them in turn.
struct WideRoom {
    workers: Vec<LinkedWorker>,
    pipes: Pipes,
    /// CPU time of each at the last two looks.
    cpu: Vec<[Duration; 2]>,
}

impl WideRoom {
    fn start(setup: WorkerSetup, cores: &[u32], pipes: Pipes) -> anyhow::Result<Self> {
        let mesh = Mesh::new(u32::try_from(cores.len())?)?;
        let start = |(index, core)| LinkedWorker::start_among(WorkerSetup { core, ..setup }, index, &mesh);
        let workers = (0..).zip(cores.iter().copied()).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { cpu: vec![[Duration::ZERO; 2]; workers.len()], workers, pipes })
    }

    /// What each worker used between the last two looks.
    fn spent(&self) -> Vec<Duration> {
        self.cpu.iter().map(|[before, after]| after.saturating_sub(*before)).collect()
    }

    /// Joins a worker to the home: everything that is published crosses.
    fn join(&mut self, index: usize, plan: &Plan) -> anyhow::Result<()> {
        let transport = TransportId(FIRST_PIPE + index as u64);
        let ip = |worker: usize| match self.pipes {
            Pipes::Lanes => worker_ip(worker as u32),
            Pipes::Udp => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let (home_ip, far_ip) = (ip(0), ip(index));
        let [home, far] = self.workers.get_disjoint_mut([0, index]).context("two workers")?;
        let (here, there) = (open_end(home, transport, home_ip)?, open_end(far, transport, far_ip)?);
        for (worker, remote) in [(&mut *home, there), (&mut *far, here)] {
            let remote = Some(remote);
            worker.request(Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp: None })?;
        }
        for (number, published) in (0_u32..).zip(&plan.publishers) {
            let ssrc = FIRST_PIPE_SSRC + number;
            let (kind, codec, clock_rate_hz) = match published.video {
                true => (MediaKind::Video, Codec::Vp8, 90_000),
                false => (MediaKind::Audio, Codec::Other, 48_000),
            };
            let (payload_type, mapped_payload_type) = (MAPPED_PAYLOAD_TYPE, MAPPED_PAYLOAD_TYPE);
            let mapping = CodecMapping { payload_type, mapped_payload_type, codec, clock_rate_hz };
            let options = ProduceOptions {
                nack: true,
                pli: published.video,
                ..ProduceOptions::new(kind, vec![mapping], vec![EncodingMapping::announced(ssrc)])
            };
            far.request(Command::Produce { transport, producer: ProducerId(number.into()), options })?;
            let payload_types = vec![PayloadTypeMapping::same(MAPPED_PAYLOAD_TYPE)];
            let options = ConsumeOptions { nack: true, ..ConsumeOptions::new(ssrc, payload_types, "bench".into()) };
            let consumer = ConsumerId(u64::from(ssrc) + ((index as u64) << 32));
            home.request(Command::Consume { transport, consumer, producer: ProducerId(number.into()), options })?;
        }
        Ok(())
    }
}

fn open_end(worker: &mut LinkedWorker, transport: TransportId, listen: IpAddr) -> anyhow::Result<SocketAddr> {
    let ssrc = u32::try_from(transport.0 - FIRST_PIPE).context("few workers")? + 1;
    let options = PlainTransportOptions { pipe: true, ..PlainTransportOptions::new(listen, ssrc) };
    let reply = worker.request(Command::CreatePlainTransport { router: ROUTER, transport, options })?;
    let Reply::PlainTransport { local, .. } = reply else { anyhow::bail!("the worker answers {reply:?}") };
    Ok(local)
}

impl Target for WideRoom {
    fn connect(&mut self, plan: &Plan) -> anyhow::Result<Route> {
        ensure!(plan.subscribers.len() >= self.workers.len(), "give each worker a subscriber");
        let mut route = Route::default();
        for index in 0..self.workers.len() {
            self.workers[index].request(Command::CreateRouter { router: ROUTER })?;
            if index == 0 {
                route.publish_to = self.workers[0].publish(plan)?;
            } else {
                self.join(index, plan)?;
            }
        }
        let count = self.workers.len();
        for (index, peer) in plan.subscribers.iter().enumerate() {
            let (address, promised) = self.workers[index % count].subscribe(plan, index, peer)?;
            route.send_from.push(address);
            route.promised.push(promised);
        }
        Ok(route)
    }

    /// Those of all workers, but for what crossed the pipes.
    fn counters(&mut self) -> anyhow::Result<Counters> {
        let mut sum = Counters { cpu: Some(Duration::ZERO), ..Counters::default() };
        for (worker, cpu) in self.workers.iter_mut().zip(&mut self.cpu) {
            let counters = worker.counters()?;
            let spent = counters.cpu.context("the CPU time of our own worker")?;
            *cpu = [cpu[1], spent];
            sum.cpu = sum.cpu.map(|sum| sum + spent);
            sum.packets_sent += counters.packets_sent;
            sum.trains_sent += counters.trains_sent;
            sum.packets_received += counters.packets_received;
            for (name, packets) in counters.discards {
                match sum.discards.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known += packets,
                    None => sum.discards.push((name, packets)),
                }
            }
        }
        Ok(sum)
    }
}
