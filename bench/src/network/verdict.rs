//! What a run comes to: the measures, and the lines that it holds.

use super::cases::{Case, FlowKind};
use super::trace::{BIN_US, Bin, Trace};

/// Lines of every case: use of the bottleneck in steady state, queueing delay in milliseconds, recovery in seconds.
pub(super) const LEAST_USE: f64 = 0.85;
pub(super) const MOST_DELAY_MS: f64 = 60.0;
pub(super) const MOST_RECOVERY_S: f64 = 5.0;
/// After a change of the capacity or of the flows the state is not steady for so many bins; shares count from so many
/// bins after the last flow came.
const UNSTEADY_BINS: usize = (5_000_000 / BIN_US) as usize;
const SETTLED_BINS: usize = (30_000_000 / BIN_US) as usize;
/// Recovered is what uses the bottleneck so much over this many bins.
const RECOVERY_BINS: usize = (1_000_000 / BIN_US) as usize;

/// The measures of one run. What a case does not have is not a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measures {
    pub(super) use_of: f64,
    pub(super) delay_p95_ms: f64,
    pub(super) loss_pct: f64,
    pub(super) share_min: f64,
    pub(super) recovery_s: f64,
}

impl Measures {
    pub(super) fn of(case: &Case, trace: &Trace) -> Self {
        let bins = &trace.bins;
        let steady = steady(bins);
        let directions: Vec<usize> = (0..2).filter(|way| case.flows.iter().any(|f| f.direction == *way)).collect();
        let used = |way: &usize| {
            let (bytes, capacity) = bins
                .iter()
                .zip(&steady)
                .filter(|(_, is_steady)| **is_steady)
                .fold((0.0, 0.0), |sum, (bin, _)| (sum.0 + bin.bytes[*way] as f64, sum.1 + bin.capacity_bps[*way]));
            bytes * 8e6 / BIN_US as f64 / capacity
        };
        let (lost, all) = bins
            .iter()
            .zip(&steady)
            .filter(|(_, is_steady)| **is_steady)
            .fold((0, 0), |sum, (bin, _)| (sum.0 + bin.lost, sum.1 + bin.lost + bin.passed));
        Self {
            use_of: directions.iter().map(used).fold(f64::INFINITY, f64::min),
            delay_p95_ms: trace.wait_ms(0.95),
            loss_pct: 100.0 * lost as f64 / (all as f64).max(1.0),
            share_min: if case.lines.share.is_some() { share_min(case, bins) } else { f64::NAN },
            recovery_s: if case.lines.has_recovery { recovery_s(bins, &directions) } else { f64::NAN },
        }
    }

    /// Names of the lines that do not hold.
    pub(super) fn missed(&self, case: &Case) -> Vec<&'static str> {
        let lines = &case.lines;
        [
            ("use", lines.has_use && self.use_of < LEAST_USE),
            ("delay", self.delay_p95_ms > MOST_DELAY_MS),
            ("loss", self.loss_pct > lines.loss_pct),
            ("share", lines.share.is_some_and(|least| self.share_min < least)),
            ("recovery", lines.has_recovery && self.recovery_s > MOST_RECOVERY_S),
        ]
        .into_iter()
        .filter_map(|(name, is_missed)| is_missed.then_some(name))
        .collect()
    }
}

/// Whether the capacity and the flows of each bin are those of the last seconds. Short transfers come and go.
fn steady(bins: &[Bin]) -> Vec<bool> {
    let mut since = 0;
    let mut steady = Vec::new();
    for (index, bin) in bins.iter().enumerate() {
        if index > 0 && is_change(&bins[index - 1], bin) {
            since = index;
        }
        steady.push(index >= since + UNSTEADY_BINS);
    }
    steady
}

fn is_change(before: &Bin, bin: &Bin) -> bool {
    let media = |bin: &Bin| bin.flows.iter().map(|f| f.is_active && f.estimate_bps > 0.0).collect::<Vec<_>>();
    before.capacity_bps != bin.capacity_bps || media(before) != media(bin)
}

/// The least that a media flow got of its fair share, once all had been there for 30 s.
fn share_min(case: &Case, bins: &[Bin]) -> f64 {
    let all_there = |bin: &Bin| bin.flows.iter().zip(&case.flows).all(|(f, of)| f.is_active || !is_media(of.kind));
    let settled = bins.iter().scan(0, |since, bin| {
        *since = if all_there(bin) { *since + 1 } else { 0 };
        Some((*since > SETTLED_BINS, bin))
    });
    let settled: Vec<&Bin> = settled.filter_map(|(is_settled, bin)| is_settled.then_some(bin)).collect();
    let shares = case.flows.iter().enumerate().filter(|(_, of)| is_media(of.kind)).map(|(index, of)| {
        let fair = |bin: &&Bin| {
            let rivals =
                bin.flows.iter().zip(&case.flows).filter(|(f, other)| f.is_active && other.direction == of.direction);
            bin.capacity_bps[of.direction] * BIN_US as f64 / 8e6 / rivals.count().max(1) as f64
        };
        let got: u64 = settled.iter().map(|bin| bin.flows[index].bytes).sum();
        got as f64 / settled.iter().map(fair).sum::<f64>().max(1.0)
    });
    shares.fold(f64::INFINITY, f64::min)
}

const fn is_media(kind: FlowKind) -> bool {
    matches!(kind, FlowKind::Media { .. })
}

/// The longest time from an increase of a capacity, or the start, until the bottleneck is used again.
fn recovery_s(bins: &[Bin], directions: &[usize]) -> f64 {
    let mut longest = 0.0_f64;
    for way in directions {
        let rises = (0..bins.len()).filter(|index| {
            let before = index.checked_sub(1).map_or(0.0, |before| bins[before].capacity_bps[*way]);
            bins[*index].capacity_bps[*way] > before
        });
        for rise in rises {
            let capacity_bps = bins[rise].capacity_bps[*way];
            let until = bins[rise..].iter().position(|bin| bin.capacity_bps[*way] != capacity_bps);
            let span = &bins[rise..until.map_or(bins.len(), |len| rise + len)];
            let is_used = |window: &[Bin]| {
                let bytes: u64 = window.iter().map(|bin| bin.bytes[*way]).sum();
                bytes as f64 * 8e6 / BIN_US as f64 >= LEAST_USE * capacity_bps * window.len() as f64
            };
            let found = span.windows(RECOVERY_BINS).position(is_used).map_or(span.len(), |at| at + RECOVERY_BINS);
            longest = longest.max(found as f64 * BIN_US as f64 / 1e6);
        }
    }
    longest
}
