//! `corecast-bench floor`: what a forwarded packet must cost here, for both drivers and several train lengths.

use std::net::Ipv4Addr;
use std::time::Duration;

use corecast_wire::{Coalesce, Executor, Io, Sandbox};
use serde::Serialize;

use crate::cpu;
use crate::crypto::Crypto;
use crate::floor::{Floor, Gather};
use crate::generator::{Generator, Load, Shape, Timing, Window};
use crate::progress::Progress;
use crate::report::{duration, grouped, rounded, table};
use crate::schedule::{Payload, Profile};
use crate::target::WorkerSetup;

/// Train lengths of the table.
const TRAINS: [u32; 5] = [1, 2, 4, 10, 40];
const MOST_TRIES: u32 = 3;
/// Runs from which the hypervisor took more than this, in percent, are repeated.
pub const MAX_STEAL_PCT: f64 = 2.0;

/// What the table is made of.
#[derive(Clone, Debug, clap::Args)]
pub struct FloorArgs {
    /// How many receive each packet
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// Packets that come in per second
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pps: u32,
    /// RTP payload, in bytes
    #[arg(long, default_value = "1200")]
    payload: Payload,
    /// Cipher of the rows with one
    #[arg(long, value_enum, default_value = "gcm128")]
    crypto: Crypto,
    /// Receive with UDP_GRO
    #[arg(long)]
    gro: bool,
    /// Seconds per row
    #[arg(long, default_value_t = 2.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// Core of the loop; by default the last one. This program itself runs on core 0
    #[arg(long)]
    worker_core: Option<u32>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    io: &'static str,
    crypto: &'static str,
    train: u32,
    train_mean: Option<f64>,
    cpu_ns_per_packet: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    lost: u64,
    steal_pct: f64,
}

#[derive(Debug, Serialize)]
struct Rows {
    subscribers: u32,
    gro: bool,
    floor: Vec<Row>,
}

/// Runs the subcommand.
///
/// # Errors
/// Something could not be measured.
pub fn run(args: &FloorArgs) -> anyhow::Result<()> {
    let core = args.worker_core.map_or_else(cpu::last_core, Ok)?;
    cpu::pin(0)?;
    let mut rows = Vec::new();
    let mut ciphers = vec![Crypto::None];
    ciphers.extend((args.crypto != Crypto::None).then_some(args.crypto));
    let progress = Progress::new((2 * ciphers.len() * TRAINS.len()) as u64);
    for io in [Io::Syscalls, Io::Uring] {
        for crypto in &ciphers {
            for train in TRAINS {
                let name = crate::args::io_name(io);
                progress.step(&format!("{name}, {}, trains of {train}", crypto.name()));
                let window = measure(args, io, *crypto, train, core)?;
                rows.push(row(name, *crypto, train, &window));
            }
        }
    }
    progress.finish();
    let rows = Rows { subscribers: args.subscribers, gro: args.gro, floor: rows };
    if args.json {
        println!("{}", serde_json::to_string(&rows)?);
    } else {
        print_table(&rows, args);
    }
    Ok(())
}

fn measure(args: &FloorArgs, io: Io, crypto: Crypto, train: u32, core: u32) -> anyhow::Result<Window> {
    let load = Load {
        shape: Shape::Broadcast,
        publishers: 1,
        subscribers: args.subscribers as usize,
        // Whole bursts only: the loop waits for exactly one train.
        pps: (args.pps / train).max(1) * train,
        profile: Profile::Burst(train),
        payload: args.payload,
        loudest: 0,
        crypto,
        publisher_crypto: Crypto::None,
        gro: args.gro,
        seed: 1,
        ip: Ipv4Addr::LOCALHOST,
    };
    let timing = Timing {
        warm_up: Duration::from_millis(300),
        measured: Duration::from_secs_f64(args.seconds),
        cores: [0, core],
    };
    let mut tries = 0;
    loop {
        let mut floor = Floor::start(
            WorkerSetup {
                core,
                io,
                executor: Executor::Thread,
                coalesce: Coalesce::Off,
                sound_wait_us: 0,
                sandbox: Sandbox::On,
            },
            Gather::Count(train),
        )?;
        let window = Generator::connect(&load, &mut floor)?.measure(&mut floor, timing, &mut |_| {})?;
        tries += 1;
        if window.steal_pct <= MAX_STEAL_PCT || tries == MOST_TRIES {
            return Ok(window);
        }
    }
}

fn row(io: &'static str, crypto: Crypto, train: u32, window: &Window) -> Row {
    let quantile_us = |quantile| rounded(window.latency.value_at_quantile(quantile) as f64 / 1e3, 1);
    Row {
        io,
        crypto: crypto.name(),
        train,
        train_mean: window.train_mean().map(|mean| rounded(mean, 2)),
        cpu_ns_per_packet: window.cpu_ns_per_packet().map(|ns| rounded(ns, 1)),
        p50_us: quantile_us(0.5),
        p99_us: quantile_us(0.99),
        lost: window.lost(),
        steal_pct: rounded(window.steal_pct, 2),
    }
}

fn print_table(rows: &Rows, args: &FloorArgs) {
    let gro = if args.gro { "with" } else { "without" };
    println!(
        "The floor: CPU time per packet of a bare loop, {} subscribers {gro} UDP_GRO",
        grouped(args.subscribers.into())
    );
    let mut table = table(["driver", "crypto", "train", "ns/packet", "p50", "p99", "lost", "steal"]);
    for row in &rows.floor {
        let ns = row.cpu_ns_per_packet.map_or_else(|| "-".into(), |ns| grouped(ns.round() as u64));
        table.add_row([
            row.io.to_owned(),
            row.crypto.to_owned(),
            row.train_mean.map_or_else(|| "-".into(), |mean| format!("{mean:.1}")),
            ns,
            duration(row.p50_us * 1e3),
            duration(row.p99_us * 1e3),
            grouped(row.lost),
            format!("{:.1} %", row.steal_pct),
        ]);
    }
    println!("{table}");
}
