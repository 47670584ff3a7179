//! `corecast-bench meeting`: everybody sends sound, and pictures, and gets those of all the others.

use serde::Serialize;

use crate::generator::{Load, Shape};
use crate::outcome::Outcome;
use crate::report::{Figures, duration, rounded};
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
    #[command(flatten)]
    setting: Setting,
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
