//! `corecast-bench`: drives corecast with real RTP and says what a forwarded packet costs.

use clap::{Parser, Subcommand};
use corecast_bench::{floor_loop, floor_table, target};

/// RTP load generator for corecast
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the least that forwarding can cost on this machine
    Floor(floor_table::FloorArgs),
    /// The floor's loop itself
    #[command(name = "__floor", hide = true)]
    FloorLoop,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Floor(args) => floor_table::run(&args),
        Command::FloorLoop => floor_loop::run(target::child_link()?),
    }
}
