//! `corecast-bench fanout`: one worker in a process of its own, driven from another core, and the floor beside it.

use crate::generator::{Load, Shape};
use crate::keeping;
use crate::schedule::{Payload, Profile};
use crate::setting::{Setting, Stream};

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
    /// Do not measure the floor
    #[arg(long)]
    no_floor: bool,
    /// Instead: measure so many times in turn a worker that keeps what outlives it, and one that keeps nothing
    #[arg(long, value_name = "TIMES", conflicts_with = "plot")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    keep: Option<u16>,
    #[command(flatten)]
    setting: Setting,
}

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured, or a subscriber got what it should not have.
pub fn run(args: &FanoutArgs) -> anyhow::Result<()> {
    let load = args.load();
    if let Some(pairs) = args.keep {
        args.setting.refuse_target()?;
        return keeping::measure(&args.setting, load, pairs)?.print(args.setting.json);
    }
    let outcome = args.setting.measure(load, !args.no_floor)?;
    let (figures, title) = (outcome.figures(&load), load.title(outcome.io));
    if let Some(path) = &args.setting.plot {
        outcome.draw(&title, path)?;
    }
    if args.setting.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        outcome.print(&title, &figures);
    }
    Ok(())
}

impl FanoutArgs {
    const fn load(&self) -> Load {
        let stream = Stream { pps: self.pps, profile: self.profile, payload: self.payload };
        self.setting.load(Shape::Broadcast, (self.publishers, self.subscribers as usize), &stream)
    }
}
