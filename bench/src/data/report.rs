//! What messages came to, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::talk::{Pace, Talk};
use super::{DataArgs, Order};
use crate::calls::report::Comparison;
use crate::generator::Window;
use crate::report::{duration, grouped, rounded, table};

/// The line that `data --json` prints for each order.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DataFigures {
    /// As on the command line.
    order: Order,
    /// As on the command line.
    subscribers: usize,
    /// Bytes of a message.
    size: u32,
    /// Messages that were sent.
    sent: u64,
    /// Messages that were delivered, at all receivers together.
    delivered: u64,
    /// Messages that should have been and were not.
    lost: u64,
    /// Messages that arrived more than once.
    repeated: u64,
    /// Messages that arrived behind a later one.
    overtaken: u64,
    /// Median of the time from being sent to having come whole, in microseconds.
    p50_us: f64,
    /// 99th percentile of the same.
    p99_us: f64,
    /// 99.9th percentile of the same.
    p999_us: f64,
    /// Longest of the same.
    max_us: f64,
    /// Payload that arrived, in bits per second.
    delivered_bps: f64,
    /// CPU time of the server's workers per message delivered, in microseconds.
    cpu_us_per_message: Option<f64>,
    /// Payload that could be delivered in a second of one core, in bits, at this cost.
    bits_per_core_second: Option<f64>,
    /// Part of a core that the server's workers used meanwhile.
    cores: Option<f64>,
    /// The longest that a message was sent after its time, in microseconds: the generator's own lateness.
    latest_send_us: f64,
    /// Time that the hypervisor took, in percent.
    steal_pct: f64,
    /// What the server discarded meanwhile, by name.
    discards: BTreeMap<String, u64>,
    /// The media beside, if there was some.
    media: Option<Comparison>,
}

impl DataFigures {
    pub(super) fn new(order: Order, talk: &Talk, window: &Window, alone: Option<&Window>) -> Self {
        let tally = talk.tally();
        let quantile = |quantile| rounded(tally.latency.value_at_quantile(quantile) as f64 / 1e3, 1);
        let bits = (tally.delivered * u64::from(tally.size) * 8) as f64;
        let seconds = (tally.span_ns.max(1)) as f64 / 1e9;
        // Media costs beside messages what it costs alone.
        let media_ns = alone.and_then(Window::cpu_ns_per_packet).unwrap_or(0.0) * window.expected as f64;
        let cpu_ns = window.counters.cpu.map(|cpu| (cpu.as_nanos() as f64 - media_ns).max(0.0));
        Self {
            order,
            subscribers: talk.listeners(),
            size: tally.size,
            sent: tally.sent,
            delivered: tally.delivered,
            lost: (tally.sent * talk.listeners() as u64).saturating_sub(tally.delivered),
            repeated: tally.repeated,
            overtaken: tally.overtaken,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: rounded(tally.latency.max() as f64 / 1e3, 1),
            delivered_bps: rounded(bits / seconds, 0),
            cpu_us_per_message: cpu_ns.map(|ns| rounded(ns / 1e3 / tally.delivered.max(1) as f64, 2)),
            bits_per_core_second: cpu_ns.filter(|ns| *ns > 0.0).map(|ns| rounded(bits * 1e9 / ns, 0)),
            cores: cpu_ns.map(|ns| rounded(ns / 1e9 / seconds, 3)),
            latest_send_us: rounded(tally.latest_send_ns as f64 / 1e3, 1),
            steal_pct: rounded(window.steal_pct, 2),
            discards: window.counters.discards.iter().cloned().collect(),
            media: alone.map(|alone| Comparison::new(alone, window)),
        }
    }
}

/// Prints them.
pub(super) fn print(args: &DataArgs, figures: &[DataFigures]) -> anyhow::Result<()> {
    if args.json {
        for figures in figures {
            println!("{}", serde_json::to_string(figures)?);
        }
        return Ok(());
    }
    let pace = match args.pace() {
        Pace::Rate(rate) => format!("{rate} a second"),
        Pace::InFlight(count) => format!("{count} under way at a time"),
    };
    println!("data channels: 1 publisher → {}, messages of {} bytes, {pace}", args.subscribers, args.size);
    let mut rows =
        table(["order", "sent", "delivered", "lost", "p50", "p99", "longest", "Mbit/s", "CPU each", "cores"]);
    for of in figures {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        rows.add_row([
            format!("{:?}", of.order).to_lowercase(),
            grouped(of.sent),
            grouped(of.delivered),
            grouped(of.lost),
            duration(of.p50_us * 1e3),
            duration(of.p99_us * 1e3),
            duration(of.max_us * 1e3),
            format!("{:.1}", of.delivered_bps / 1e6),
            of.cpu_us_per_message.map_or_else(|| "-".to_owned(), |us| format!("{us:.1} µs")),
            number(of.cores),
        ]);
    }
    println!("{rows}");
    for of in figures {
        if let Some(media) = &of.media {
            media.print();
        }
        for (name, count) in &of.discards {
            println!("the server discarded {}: {name}", grouped(*count));
        }
    }
    Ok(())
}
