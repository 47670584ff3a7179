//! Figures that several measurements have.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::generator::Window;

/// Quantiles of a time, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Longest.
    pub max_us: u64,
}

impl Quantiles {
    /// Those of a distribution in microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: histogram.max() }
    }
}

/// What the server's workers used beyond what the same packets cost without, or the same time if there was no media.
#[must_use]
pub fn added_cpu_ns(without: &Window, with: &Window) -> Option<f64> {
    let used = |window: &Window| Some(window.counters.cpu?.as_nanos() as f64);
    let base = match without.cpu_ns_per_packet() {
        Some(ns) => ns * with.counters.packets_sent as f64,
        None => used(without)? / without.seconds * with.seconds,
    };
    Some(used(with)? - base)
}
