//! `corecast-bench`: drives corecast with real RTP and says what a forwarded packet costs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use corecast_bench::calls::overload;
use corecast_bench::{
    browsers, calls, crash, crowd, data, fanout, flood, floor_loop, floor_table, meeting, network, node, room, rtp,
    soak, target, wide,
};
use corecast_dataplane::{Ends, Keep, WaitForKeep, take_over};

/// RTP load generator for corecast
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure one worker: real RTP in once, out to many
    Fanout(fanout::FanoutArgs),
    /// Measure one worker: everybody sends and gets what all the others send
    Meeting(meeting::MeetingArgs),
    /// Measure a room whose participants come by protoo, beside a meeting
    Room(room::RoomArgs),
    /// Measure the server when many participants join, or are there and say nothing
    Crowd(crowd::CrowdArgs),
    /// Measure what people in browsers see: times to the first picture, and switches between layers
    Browsers(browsers::BrowsersArgs),
    /// Measure corecast as mediasoup's worker, through mediasoup's Node library, beside another worker
    Mediasoup(node::MediasoupArgs),
    /// Measure the least that forwarding can cost on this machine
    Floor(floor_table::FloorArgs),
    /// Send RTP to an address
    Rtp(rtp::RtpArgs),
    /// Measure a server with publishers and subscribers that join as browsers do
    #[command(name = "webrtc")]
    WebRtc(calls::WebRtcArgs),
    /// Measure the data channels of a server: one publisher's messages to all who watch it
    Data(data::DataArgs),
    /// Ask a worker for more than it can do: offered load against what leaves and how late
    Overload(overload::OverloadArgs),
    /// Measure one room on several workers, beside the same load on one
    Wide(wide::WideArgs),
    /// Let a worker die beside calls that are under way: how many are lost, how long the others stand still
    Crash(crash::CrashArgs),
    /// Simulate the estimator of the path to a receiver in the cases of RFC 8867
    Network(network::NetworkArgs),
    /// Send what attackers send to a server on this machine
    Flood(flood::FloodArgs),
    /// Keep a server under load for hours: what it holds must not grow
    Soak(soak::SoakArgs),
    /// The server that is started for `webrtc`
    #[command(name = "__exec", hide = true)]
    Exec {
        /// Program and arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The floor's loop itself
    #[command(name = "__floor", hide = true)]
    FloorLoop,
    /// The worker itself
    #[command(name = "__worker", hide = true)]
    Worker,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corecast-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Fanout(args) => fanout::run(&args),
        Command::Meeting(args) => meeting::run(&args),
        Command::Room(args) => room::run(&args),
        Command::Crowd(args) => crowd::run(&args),
        Command::Browsers(args) => browsers::run(&args),
        Command::Mediasoup(args) => node::run(&args),
        Command::Floor(args) => floor_table::run(&args),
        Command::Rtp(args) => rtp::run(&args),
        Command::WebRtc(args) => calls::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Overload(args) => overload::run(&args),
        Command::Wide(args) => wide::run(&args),
        Command::Crash(args) => crash::run(&args),
        Command::Network(args) => network::run(&args),
        Command::Flood(args) => flood::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Exec { arguments } => calls::launch::become_program(&arguments),
        Command::FloorLoop => floor_loop::run(target::child_link()?),
        Command::Worker => {
            let link = target::child_link()?;
            let mut groups = take_over(&link)?.into_iter();
            let (ends, keep) = (groups.next().unwrap_or_default(), groups.next().into_iter().flatten().next());
            let keep = keep.map(|memory| -> WaitForKeep { Box::new(|| Ok(Keep::of_memory(memory))) });
            Ok(corecast_dataplane::run_among(link, Ends::of(ends), keep)?)
        }
    }
}
