//! What joins, handshakes and floods came to, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::feedback::FeedbackFigures;
use super::figures::{Quantiles, added_cpu_ns};
use super::joins::{PHASES, Setups};
use super::scrapes::ScrapeFigures;
use crate::flood::{FloodCounts, FloodKind};
use crate::generator::Window;
use crate::outcome::quantile_us;
use crate::report::{Figures, duration, grouped, rounded, table};

/// The one line that `webrtc --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct CallFigures {
    /// As `fanout` has them.
    #[serde(flatten)]
    pub media: Figures,
    /// How subscribers joined.
    pub joins: JoinFigures,
    /// Consent checks of all who have joined, over the whole run.
    pub consent_asked: u64,
    /// Checks that were answered. At the end some may still be on their way.
    pub consent_answered: u64,
    /// Sessions that the server no longer knew when they left.
    pub lost_sessions: usize,
    /// By how much each of those who joined made the server's processes grow, in bytes of resident memory, when the
    /// media had ended; none of a server elsewhere.
    pub memory_bytes_at_end: Option<u64>,
    /// What subscribers said of what arrived, if they said anything.
    pub feedback: Option<FeedbackFigures>,
    /// Joins beside the media, if any were asked for.
    pub handshakes: Option<HandshakeFigures>,
    /// A flood beside the media, if one was asked for.
    pub flood: Option<FloodFigures>,
    /// Scrapes beside the media, if they were asked for.
    pub scrapes: Option<ScrapeFigures>,
}

/// How endpoints joined.
#[derive(Clone, Debug, Serialize)]
pub struct JoinFigures {
    /// Joins per second that were asked for.
    pub asked_per_second: f64,
    /// Joins per second that there were.
    pub reached_per_second: f64,
    /// Endpoints that are in.
    pub joined: u64,
    /// Endpoints that failed to join.
    pub failed: u64,
    /// Why not, and how many each.
    pub failures: BTreeMap<String, u64>,
    /// Offer and answer.
    pub http: Quantiles,
    /// First check to its answer.
    pub ice: Quantiles,
    /// ClientHello to Finished.
    pub dtls: Quantiles,
    /// From there to the first RTP packet.
    pub first_rtp: Quantiles,
    /// From sending the offer to the first RTP packet.
    pub total: Quantiles,
    /// By how much each made the server's processes grow, in bytes of resident memory; none of a server elsewhere.
    pub memory_bytes: Option<u64>,
}

impl JoinFigures {
    /// Figures of these joins.
    #[must_use]
    pub fn new(setups: &Setups, asked_per_second: f64) -> Self {
        let [http, ice, dtls, first_rtp, total] = setups.phases.each_ref().map(Quantiles::of);
        Self {
            asked_per_second,
            reached_per_second: rounded(setups.per_second(), 1),
            joined: setups.joined,
            failed: setups.failed(),
            failures: setups.failures.clone(),
            http,
            ice,
            dtls,
            first_rtp,
            total,
            memory_bytes: None,
        }
    }

    /// Prints them.
    pub fn print(&self, what: &str) {
        println!(
            "{what}: {} joined at {:.1} per second ({:.1} asked for), {} failed",
            grouped(self.joined),
            self.reached_per_second,
            self.asked_per_second,
            grouped(self.failed)
        );
        let mut times = table(["set-up", "p50", "p90", "p99", "longest"]);
        let phases = [self.http, self.ice, self.dtls, self.first_rtp, self.total];
        for (name, Quantiles { p50_us, p90_us, p99_us, max_us }) in PHASES.iter().zip(phases) {
            let row = [p50_us, p90_us, p99_us, max_us].map(|us| duration(us as f64 * 1e3));
            times.add_row(std::iter::once(name.replace('_', " ")).chain(row));
        }
        println!("{times}");
        if let Some(bytes) = self.memory_bytes {
            println!("memory of the server: {:.1} KiB for each", bytes as f64 / 1_024.0);
        }
        for (reason, count) in &self.failures {
            println!("{} failed: {reason}", grouped(*count));
        }
    }
}

/// Media without and with something beside it, in one run. Latency ends when the kernel takes a packet in.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Comparison {
    /// 99th percentile of latency without it, in microseconds.
    pub p99_us_without: f64,
    /// 99th percentile of latency with it, in microseconds.
    pub p99_us_with: f64,
    /// The difference.
    pub added_p99_us: f64,
    /// Packets that the server lost without it.
    pub lost_server_without: u64,
    /// Packets that the server lost with it.
    pub lost_server_with: u64,
    /// Lost of expected packets with it, in percent, whether the server or a receiver lost it.
    pub loss_pct_with: f64,
    /// CPU time that the server's workers used for it, beyond what the media cost without, in milliseconds.
    pub added_cpu_ms: Option<f64>,
}

impl Comparison {
    /// Compares two windows.
    #[must_use]
    pub fn new(without: &Window, with: &Window) -> Self {
        let (p99_us_without, p99_us_with) = (quantile_us(without, 0.99), quantile_us(with, 0.99));
        Self {
            p99_us_without,
            p99_us_with,
            added_p99_us: rounded(p99_us_with - p99_us_without, 1),
            lost_server_without: without.lost_server(),
            lost_server_with: with.lost_server(),
            loss_pct_with: rounded(100.0 * with.lost() as f64 / with.expected.max(1) as f64, 4),
            added_cpu_ms: added_cpu_ns(without, with).map(|ns| rounded(ns / 1e6, 3)),
        }
    }

    /// Prints it.
    pub fn print(&self) {
        println!(
            "media beside it: p99 {} without, {} with; lost by the server {} without, {} with",
            duration(self.p99_us_without * 1e3),
            duration(self.p99_us_with * 1e3),
            grouped(self.lost_server_without),
            grouped(self.lost_server_with)
        );
    }
}

/// Joins beside the media whose endpoints leave again.
#[derive(Clone, Debug, Serialize)]
pub struct HandshakeFigures {
    /// How they joined.
    pub joins: JoinFigures,
    /// What it did to the media.
    #[serde(flatten)]
    pub beside: Comparison,
    /// CPU time of a worker per join (checks, handshake, leaving; not HTTP, which is control's), in microseconds.
    pub cpu_us_per_handshake: Option<f64>,
    /// Joins that one core of a worker could do in a second.
    pub handshakes_per_core_second: Option<f64>,
}

impl HandshakeFigures {
    /// Figures of joins beside the second window.
    #[must_use]
    pub fn new(setups: &Setups, asked_per_second: f64, without: &Window, with: &Window) -> Self {
        let joins = setups.joined.max(1) as f64;
        let each_us = added_cpu_ns(without, with).map(|ns| ns / 1e3 / joins).filter(|us| *us > 0.0);
        Self {
            joins: JoinFigures::new(setups, asked_per_second),
            beside: Comparison::new(without, with),
            cpu_us_per_handshake: each_us.map(|us| rounded(us, 1)),
            handshakes_per_core_second: each_us.map(|us| rounded(1e6 / us, 0)),
        }
    }

    /// Prints them.
    pub fn print(&self) {
        self.joins.print("beside the media");
        self.beside.print();
        if let (Some(us), Some(per_second)) = (self.cpu_us_per_handshake, self.handshakes_per_core_second) {
            println!("CPU of the worker per join: {us:.0} µs, that is {per_second:.0} joins per second of one core");
        }
    }
}

/// A flood beside the media.
#[derive(Clone, Debug, Serialize)]
pub struct FloodFigures {
    /// What was sent.
    pub kind: FloodKind,
    /// Packets per second that were asked for.
    pub asked_pps: u32,
    /// Packets per second that there were.
    pub pps: f64,
    /// Packets.
    pub sent: u64,
    /// Datagrams that came back to the attacker.
    pub replies: u64,
    /// Their bytes.
    pub reply_bytes: u64,
    /// What it did to the media.
    #[serde(flatten)]
    pub beside: Comparison,
    /// CPU time of the server's workers per packet of the flood, in nanoseconds.
    pub cpu_ns_per_flood_packet: Option<f64>,
    /// What the server discarded meanwhile, by name.
    pub discards: BTreeMap<String, u64>,
}

impl FloodFigures {
    /// Figures of a flood beside the second window.
    #[must_use]
    pub fn new(kind: FloodKind, asked_pps: u32, flood: FloodCounts, without: &Window, with: &Window) -> Self {
        let each = added_cpu_ns(without, with).map(|ns| rounded(ns / flood.sent.max(1) as f64, 1));
        Self {
            kind,
            asked_pps,
            pps: rounded(flood.sent as f64 / with.seconds, 0),
            sent: flood.sent,
            replies: flood.replies,
            reply_bytes: flood.reply_bytes,
            beside: Comparison::new(without, with),
            cpu_ns_per_flood_packet: each,
            discards: with.counters.discards.iter().cloned().collect(),
        }
    }

    /// Prints them.
    pub fn print(&self) {
        println!(
            "flood of {:?}: {} packets at {} per second ({} asked for), {} answers of {} bytes together",
            self.kind,
            grouped(self.sent),
            grouped(self.pps as u64),
            grouped(self.asked_pps.into()),
            grouped(self.replies),
            grouped(self.reply_bytes)
        );
        self.beside.print();
        if let Some(ns) = self.cpu_ns_per_flood_packet {
            println!("CPU of the worker per packet of the flood: {ns:.0} ns");
        }
        for (name, packets) in &self.discards {
            println!("the server discarded {} packets: {name}", grouped(*packets));
        }
    }
}
