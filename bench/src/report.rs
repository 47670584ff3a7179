//! Figures as people and as programs read them.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// The one line that `fanout --json` prints. What could not be measured is null.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Packets that publishers sent.
    pub sent: u64,
    /// Packets that subscribers should have received.
    pub expected: u64,
    /// Packets that they received.
    pub received: u64,
    /// Packets that they did not.
    pub lost: u64,
    /// Lost packets that the server discarded, was refused or never received.
    pub lost_server: u64,
    /// Lost packets that overflowed a subscriber's socket.
    pub lost_receiver: u64,
    /// Lost of expected, in percent.
    pub loss_pct: f64,
    /// Packets received, per second of sending.
    pub fwd_pps: f64,
    /// Median latency, in microseconds.
    pub p50_us: f64,
    /// 99th percentile of latency, in microseconds.
    pub p99_us: f64,
    /// 99.9th percentile of latency, in microseconds.
    pub p999_us: f64,
    /// Longest latency, in microseconds.
    pub max_us: f64,
    /// CPU time of the server's thread per packet that it sent, in nanoseconds.
    pub cpu_ns_per_packet: Option<f64>,
    /// The same of the floor: the mean of its runs before and after.
    pub floor_ns_per_packet: Option<f64>,
    /// The quotient of the two, if trains were equally long within 5 percent.
    pub ratio_to_floor: Option<f64>,
    /// Packets per send.
    pub train_mean: Option<f64>,
    /// Packets per send of the floor.
    pub floor_train_mean: Option<f64>,
    /// 99th percentile of the floor's latency, in microseconds.
    pub floor_p99_us: Option<f64>,
    /// Time that the hypervisor took, in percent.
    pub steal_pct: f64,
    /// Driver: uring or syscalls.
    pub io: String,
    /// As on the command line.
    pub crypto: String,
    /// As on the command line.
    pub subscribers: usize,
    /// As on the command line.
    pub publishers: u16,
}

/// A table in the one style of this program; every column but the first is of numbers.
#[must_use]
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A number with thin groups of three digits, so that it can be read at a glance.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rounded to `places` decimal places, so that JSON shows what is meaningful.
#[must_use]
pub fn rounded(number: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (number * scale).round() / scale
}

/// A number of nanoseconds as microseconds or milliseconds.
#[must_use]
pub fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e4 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
