//! What a server holds at a moment, and whether it holds more and more.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::calls::launch::Launched;
use crate::http::Server;

/// Looks that are left out at the beginning: buffers are filled, and the allocator gets what it keeps.
const SETTLES_WITHIN: f64 = 0.2;
/// What is compared: this part after that, and the last.
const COMPARED: f64 = 0.2;

/// What the server held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Seconds since the beginning.
    pub(super) at_s: f64,
    /// Resident memory of all processes.
    pub(super) memory_mb: f64,
    /// Open descriptors of all processes.
    pub(super) descriptors: f64,
    pub(super) threads: f64,
    /// Transports, producers and consumers of all workers.
    pub(super) objects: f64,
    /// Timers that wait in all workers.
    pub(super) timers: f64,
}

impl Sample {
    /// # Errors
    /// The server does not answer, or is no more.
    pub(super) fn take(launched: &Launched, server: &Server, at: Duration) -> anyhow::Result<Self> {
        let (objects, timers) = server.objects_and_timers()?;
        let held = launched.held().context("the server has ended")?;
        Ok(Self {
            at_s: at.as_secs_f64(),
            memory_mb: held.resident_bytes as f64 / 1e6,
            descriptors: held.descriptors as f64,
            threads: held.threads as f64,
            objects: objects as f64,
            timers: timers as f64,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_s, memory_mb, descriptors, threads, objects, timers } = self;
        write!(f, "{at_s:>8.0} s: {memory_mb:.1} MB, {descriptors} descriptors, {threads} threads, ")?;
        write!(f, "{objects} objects, {timers} timers")
    }
}

/// A figure of [`Sample`], with what it may grow by at most.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) of: fn(&Sample) -> f64,
    /// Part of what it was, and beyond that.
    may_grow: (f64, f64),
}

/// All figures. Guests who have left may be there for a moment longer; hence what they may grow by.
pub(super) const FIGURES: [Figure; 5] = [
    Figure { name: "memory", unit: "MB", of: |sample| sample.memory_mb, may_grow: (0.05, 4.0) },
    Figure { name: "descriptors", unit: "", of: |sample| sample.descriptors, may_grow: (0.05, 5.0) },
    Figure { name: "threads", unit: "", of: |sample| sample.threads, may_grow: (0.0, 1.0) },
    Figure { name: "objects", unit: "", of: |sample| sample.objects, may_grow: (0.05, 5.0) },
    // Each object has some, and one that is set again leaves a stale one behind until its time comes.
    Figure { name: "timers", unit: "", of: |sample| sample.timers, may_grow: (0.1, 50.0) },
];

/// From an early part to the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Growth {
    name: &'static str,
    unit: &'static str,
    from: f64,
    to: f64,
    most: f64,
}

impl Growth {
    pub(super) fn is_too_much(&self) -> bool {
        self.to > self.most
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, from, to, most } = self;
        write!(f, "{name:<12} {from:>8.1} then, {to:>8.1} {unit} in the end; {most:.1} would be too much")
    }
}

/// How each figure has grown: means of a part after the server has settled, and of the last part.
pub(super) fn growth(samples: &[Sample]) -> Vec<Growth> {
    let part = |from: f64, to: f64| {
        let at = |part: f64| (samples.len() as f64 * part) as usize;
        let part = samples.get(at(from)..at(to)).unwrap_or_default();
        if part.is_empty() { samples } else { part }
    };
    let mean = |part: &[Sample], of: fn(&Sample) -> f64| part.iter().map(of).sum::<f64>() / part.len().max(1) as f64;
    let of = |figure: &Figure| {
        let from = mean(part(SETTLES_WITHIN, SETTLES_WITHIN + COMPARED), figure.of);
        let to = mean(part(1.0 - COMPARED, 1.0), figure.of);
        let most = from * (1.0 + figure.may_grow.0) + figure.may_grow.1;
        Growth { name: figure.name, unit: figure.unit, from, to, most }
    };
    FIGURES.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory_mb: impl Fn(f64) -> f64) -> Vec<Sample> {
        let sample = |at_s: f64| Sample {
            at_s,
            memory_mb: memory_mb(at_s),
            descriptors: 100.0,
            threads: 9.0,
            objects: 80.0 + at_s % 3.0,
            timers: 400.0,
        };
        (0..100).map(|at| sample(f64::from(at))).collect()
    }

    #[test]
    fn what_grows_at_the_beginning_alone_is_no_leak_and_what_goes_on_growing_is() {
        let settles = samples(|at| 100.0 + at.min(15.0));
        assert!(growth(&settles).iter().all(|growth| !growth.is_too_much()));
        let leaks = samples(|at| 100.0 + at / 2.0);
        let grown: Vec<_> = growth(&leaks).into_iter().filter(Growth::is_too_much).map(|growth| growth.name).collect();
        assert_eq!(grown, ["memory"]);
        assert_eq!(growth(&[]).len(), FIGURES.len());
    }
}
