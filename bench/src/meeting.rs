//! `corecast-bench meeting`: everybody sends sound, and pictures, and gets those of all the others.

use serde::Serialize;

use crate::generator::{Load, SOUND_BYTES, Shape};
use crate::outcome::Outcome;
use crate::packet::HEADER_BYTES;
use crate::report::{Figures, duration, grouped, rounded, table};
use crate::schedule::{Payload, Profile};
use crate::setting::{Setting, Stream};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct MeetingArgs {
    /// How many take part: each sends 50 packets of sound a second, each on a transport of its own, and gets
    /// everybody else's streams on another one
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    peers: u16,
    /// Nobody sends pictures
    #[arg(long)]
    audio_only: bool,
    /// Packets of pictures per second of each
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// RTP payload of pictures: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// Only the loudest of so many who speak in turn are heard; and beside it the same meeting in which all are
    #[arg(long, value_name = "N", requires = "audio_only", conflicts_with_all = ["target", "plot"],
        value_parser = clap::value_parser!(u16).range(1..=1_000))]
    loudest: Option<u16>,
    #[command(flatten)]
    setting: Setting,
}

/// What a meeting takes in which so many are heard.
#[derive(Debug, Serialize)]
struct Heard {
    peers: u16,
    /// 0 for all.
    loudest: u16,
    /// Packets of sound that arrive per second, of all peers together.
    fwd_pps: f64,
    /// What one peer is sent, RTP headers and payloads, in kbit/s.
    kbps_each: f64,
    /// CPU time of the worker, in percent of its core.
    cpu_percent: f64,
    p50_us: f64,
    p99_us: f64,
}

/// The figures of `fanout`, of which `p50_us` and the like are of all packets, and those of sound and pictures.
#[derive(Debug, Serialize)]
struct MeetingFigures {
    #[serde(flatten)]
    all: Figures,
    sound_p50_us: f64,
    sound_p99_us: f64,
    pictures_p50_us: Option<f64>,
    pictures_p99_us: Option<f64>,
}

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured, or somebody got what it should not have.
pub fn run(args: &MeetingArgs) -> anyhow::Result<()> {
    if let Some(loudest) = args.loudest {
        return args.compare(loudest);
    }
    let load = args.load();
    let outcome = args.setting.measure(load, false)?;
    let (figures, title) = (args.figures(&outcome, &load)?, load.title(outcome.io));
    if let Some(path) = &args.setting.plot {
        outcome.draw(&title, path)?;
    }
    if args.setting.json {
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    outcome.print(&title, &figures.all);
    let us = |us: f64| duration(us * 1e3);
    println!("latency of sound: p50 {}, p99 {}", us(figures.sound_p50_us), us(figures.sound_p99_us));
    if let (Some(p50), Some(p99)) = (figures.pictures_p50_us, figures.pictures_p99_us) {
        println!("latency of pictures: p50 {}, p99 {}", us(p50), us(p99));
    }
    Ok(())
}

impl MeetingArgs {
    fn load(&self) -> Load {
        let pictures = Stream { pps: self.pps, profile: Profile::Pacer, payload: self.payload };
        let shape = Shape::Meeting { pictures: !self.audio_only };
        self.setting.load(shape, (self.peers, usize::from(self.peers)), &pictures)
    }

    /// The same meeting, all heard and the loudest alone.
    fn compare(&self, loudest: u16) -> anyhow::Result<()> {
        let measured = [0, loudest].map(|loudest| self.heard(loudest));
        let [all, few] = measured;
        let both = [all?, few?];
        if self.setting.json {
            for heard in &both {
                println!("{}", serde_json::to_string(heard)?);
            }
            return Ok(());
        }
        println!("a meeting of {}, sound alone", self.peers);
        let mut rows = table(["", "all are heard", "the loudest"]);
        let mut row = |name: &str, value: &dyn Fn(&Heard) -> String| {
            rows.add_row(std::iter::once(name.to_owned()).chain(both.iter().map(value)));
        };
        row("packets per second, all together", &|of| grouped(of.fwd_pps as u64));
        row("kbit/s to each", &|of| format!("{:.0}", of.kbps_each));
        row("CPU of the worker, % of a core", &|of| format!("{:.2}", of.cpu_percent));
        row("latency p50", &|of| duration(of.p50_us * 1e3));
        row("latency p99", &|of| duration(of.p99_us * 1e3));
        println!("{rows}");
        Ok(())
    }

    fn heard(&self, loudest: u16) -> anyhow::Result<Heard> {
        let load = Load { loudest, ..self.load() };
        let Outcome { window, io, .. } = self.setting.measure(load, false)?;
        let cpu = window.counters.cpu.unwrap_or_default().as_secs_f64();
        let (cpu_percent, pps) = (100.0 * cpu / window.seconds, window.arrivals.packets as f64 / window.seconds);
        let figures = Outcome { window, floors: Vec::new(), io, warnings: Vec::new() }.figures(&load);
        let bits = 8.0 * (HEADER_BYTES + SOUND_BYTES) as f64;
        Ok(Heard {
            peers: self.peers,
            loudest,
            fwd_pps: rounded(pps, 0),
            kbps_each: rounded(pps * bits / 1e3 / f64::from(self.peers), 1),
            cpu_percent: rounded(cpu_percent, 2),
            p50_us: figures.p50_us,
            p99_us: figures.p99_us,
        })
    }

    fn figures(&self, outcome: &Outcome, load: &Load) -> anyhow::Result<MeetingFigures> {
        let sound = &outcome.window.sound_latency;
        let mut pictures = outcome.window.latency.clone();
        pictures.subtract(sound)?;
        let us = |of: &hdrhistogram::Histogram<u64>, quantile| rounded(of.value_at_quantile(quantile) as f64 / 1e3, 1);
        let of_pictures = |quantile| (!self.audio_only).then(|| us(&pictures, quantile));
        Ok(MeetingFigures {
            all: outcome.figures(load),
            sound_p50_us: us(sound, 0.5),
            sound_p99_us: us(sound, 0.99),
            pictures_p50_us: of_pictures(0.5),
            pictures_p99_us: of_pictures(0.99),
        })
    }
}
