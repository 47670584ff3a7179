//! The rate that the delay allows: increase while nothing speaks against it, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02 section 5.5), with these changes.
//!
//! - A decrease goes deeper the longer the queue is. When the queue is empty, the rate goes back to 90 percent of what
//!   arrived while it was full.
//! - Near the capacity that was last seen the rate grows by a fixed number of bits per second, equal for all, so that
//!   flows in one queue come to equal shares whatever their rates and round trips are. Beyond it that number doubles
//!   three times a second while the queue stays empty: a capacity that comes back is found in seconds.
//! - A queue that does not shorten although the rate was decreased again and again is filled by others, or the path has
//!   become longer. Then the flow *competes*: it ignores the delay, grows by a fixed number and falls at losses, as TCP
//!   does, until the queue is empty for a while.

use std::time::Duration;

use super::{Cause, Usage};
use crate::time::Instant;

/// What is left of the acknowledged rate after a decrease (section 5.5: 0.85), and when the queue is empty again.
const DECREASE: f64 = 0.85;
const RESUME: f64 = 0.9;
/// A queue of a second would take this much more; at most so much is taken.
const DRAIN_PER_S: f64 = 1.0;
const MOST_DRAIN: f64 = 0.35;
/// Growth near the capacity, in bits per second each second, and how often a second it doubles beyond it.
const ADDITIVE_BPS: f64 = 80_000.0;
const DOUBLINGS_PER_S: f64 = 3.0;
/// More doublings are not counted: [`MOST_GROWTH`] is reached long before.
const MOST_DOUBLINGS: f64 = 20.0;
/// Most growth, a share of the rate each second; and that of a beginning.
const MOST_GROWTH: f64 = 1.0;
/// The rate stays below so many times the acknowledged rate (section 5.5: 1.5).
const AHEAD: f64 = 1.5;
const AHEAD_BPS: f64 = 10_000.0;
/// The capacity is known to so many deviations (libwebrtc: 3), and how much a sample moves it (libwebrtc).
const DEVIATIONS: f64 = 2.0;
const CAPACITY_SHARE: f64 = 0.05;
/// Bounds of the variance of the capacity in kbit/s, divided by the capacity (libwebrtc).
const VARIANCE_BOUNDS: (f64, f64) = (0.4, 2.5);
/// Between two decreases lies at least the response time, within these bounds.
const RESPONSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// After a decrease the queue is given so long to empty.
const DRAIN: Duration = Duration::from_secs(2);
/// More decreases in a row than this, over at least this time, of which none left less than this share of the queue,
/// say that the queue is not ours.
const VAIN_DECREASES: u32 = 4;
const VAIN_TIME: Duration = Duration::from_secs(2);
const VAIN_SHARE: f64 = 0.9;
/// Growth of a flow that competes, in bits per second each second; what a loss leaves; and how long the queue must be
/// empty to end that.
const COMPETING_BPS: f64 = 60_000.0;
const COMPETING_DECREASE: f64 = 0.6;
const COMPETING_END: Duration = Duration::from_secs(1);
/// The rate is not looked at more coarsely than this.
const LONGEST_STEP_S: f64 = 0.2;

/// What a feedback said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    pub(super) usage: Usage,
    pub(super) queue_ms: f64,
    pub(super) is_empty: bool,
    /// The feedback told of losses.
    pub(super) has_loss: bool,
    /// Bits per second that arrived, over half a second and over the last moments.
    pub(super) acknowledged_bps: Option<f64>,
    pub(super) arriving_bps: Option<f64>,
    /// Round trip and feedback: after this time a change can be seen.
    pub(super) response: Duration,
}

impl Signal {
    fn response(&self) -> Duration {
        self.response.clamp(RESPONSE.0, RESPONSE.1)
    }
}

/// Mean and variance of the rates at which the path was full.
#[derive(Clone, Copy, Debug)]
struct Capacity {
    bps: f64,
    /// The variance of the capacity in kbit/s, divided by it.
    variance: f64,
}

/// Decreases in a row that did not shorten the queue: how many, since when, and rate and queue before the first.
#[derive(Clone, Copy, Debug)]
struct Vain {
    decreases: u32,
    since: Instant,
    bps: f64,
    queue_ms: f64,
}

/// Whose the queue is.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Ours, and that of flows that yield as we do.
    Alone,
    /// It is filled by others. It may have been empty for a while nevertheless.
    Competing { empty_since: Option<Instant> },
}

/// The controller.
#[derive(Debug)]
pub(super) struct Rate {
    bps: f64,
    capacity: Option<Capacity>,
    updated_at: Option<Instant>,
    decreased_at: Option<Instant>,
    /// What the rate becomes when the queue is empty.
    resumes_at_bps: Option<f64>,
    free_since: Option<Instant>,
    mode: Mode,
    vain: Option<Vain>,
}

impl Rate {
    pub(super) const fn new(bps: f64) -> Self {
        Self {
            bps,
            capacity: None,
            updated_at: None,
            decreased_at: None,
            resumes_at_bps: None,
            free_since: None,
            mode: Mode::Alone,
            vain: None,
        }
    }

    pub(super) const fn bps(&self) -> f64 {
        self.bps
    }

    /// No overuse has been seen so far.
    pub(super) const fn is_starting(&self) -> bool {
        self.capacity.is_none()
    }

    /// The queue is being emptied.
    pub(super) const fn is_draining(&self) -> bool {
        self.resumes_at_bps.is_some()
    }

    /// Sets the rate from outside: a probe, a bound, silence.
    pub(super) const fn set(&mut self, bps: f64) {
        self.bps = bps;
    }

    /// A rate at which the path was seen to be full.
    fn learn(&mut self, bps: f64) {
        let kbps = (bps / 1e3).max(1.0);
        let Some(known) = self.capacity.filter(|known| !known.is_exceeded_by(bps) && !known.is_missed_by(bps)) else {
            self.capacity = Some(Capacity { bps, variance: VARIANCE_BOUNDS.0 });
            return;
        };
        let error_kbps = known.bps / 1e3 - kbps;
        let mean = (1.0 - CAPACITY_SHARE) * known.bps + CAPACITY_SHARE * bps;
        let norm = (mean / 1e3).max(1.0);
        let variance = (1.0 - CAPACITY_SHARE) * known.variance + CAPACITY_SHARE * error_kbps * error_kbps / norm;
        self.capacity = Some(Capacity { bps: mean, variance: variance.clamp(VARIANCE_BOUNDS.0, VARIANCE_BOUNDS.1) });
    }

    /// Takes a feedback. Says why the rate changed, if it did, and whether the queue is not ours.
    pub(super) fn update(&mut self, now: Instant, signal: &Signal) -> (Option<Cause>, bool) {
        let step_s = now.since(self.updated_at.unwrap_or(now)).as_secs_f64().min(LONGEST_STEP_S);
        self.updated_at = Some(now);
        if let Mode::Competing { empty_since } = self.mode {
            return (self.compete(now, step_s, empty_since, signal), false);
        }
        match signal.usage {
            Usage::Over => self.overuse(now, signal),
            Usage::Under => {
                self.free_since = None;
                (self.resume(now, signal), false)
            }
            Usage::Normal if self.is_draining() => (self.resume(now, signal), false),
            Usage::Normal => (self.increase(now, step_s, signal), false),
        }
    }

    fn overuse(&mut self, now: Instant, signal: &Signal) -> (Option<Cause>, bool) {
        self.free_since = None;
        let Some(arriving_bps) = signal.arriving_bps.or(signal.acknowledged_bps) else {
            return (None, false);
        };
        let is_soon = self.decreased_at.is_some_and(|at| now.since(at) < signal.response());
        if is_soon && arriving_bps > self.bps / 2.0 {
            return (None, false);
        }
        self.learn(arriving_bps);
        let before_bps = self.bps.min(arriving_bps);
        let drain = (signal.queue_ms / 1e3 * DRAIN_PER_S).min(MOST_DRAIN);
        self.bps = self.bps.min(arriving_bps * (DECREASE - drain).max(0.0));
        self.decreased_at = Some(now);
        self.resumes_at_bps = Some(arriving_bps * RESUME);
        let vain = match self.vain {
            Some(vain) if signal.queue_ms > vain.queue_ms * VAIN_SHARE => {
                Vain { decreases: vain.decreases + 1, ..vain }
            }
            _ => Vain { decreases: 1, since: now, bps: before_bps, queue_ms: signal.queue_ms },
        };
        let is_foreign = vain.decreases > VAIN_DECREASES && now.since(vain.since) >= VAIN_TIME;
        self.vain = (!is_foreign).then_some(vain);
        if is_foreign {
            self.mode = Mode::Competing { empty_since: None };
            (self.bps, self.resumes_at_bps) = (vain.bps * DECREASE, None);
        }
        (Some(Cause::Delay), is_foreign)
    }

    /// The queue is empty, or takes too long to become so: the rate goes back to just below the capacity.
    fn resume(&mut self, now: Instant, signal: &Signal) -> Option<Cause> {
        let since = self.decreased_at.unwrap_or(now);
        if !signal.is_empty && now.since(since) < DRAIN {
            return None;
        }
        let bps = self.resumes_at_bps.take()?;
        if signal.is_empty {
            self.vain = None;
        }
        self.bps = self.bps.max(bps);
        Some(Cause::Increase)
    }

    /// Grows and falls as TCP does.
    fn compete(&mut self, now: Instant, step_s: f64, empty_since: Option<Instant>, signal: &Signal) -> Option<Cause> {
        let empty_since = signal.is_empty.then(|| empty_since.unwrap_or(now));
        if empty_since.is_some_and(|since| now.since(since) >= COMPETING_END) {
            self.mode = Mode::Alone;
            return None;
        }
        self.mode = Mode::Competing { empty_since };
        if signal.has_loss {
            let is_soon = self.decreased_at.is_some_and(|at| now.since(at) < signal.response());
            if is_soon {
                return None;
            }
            self.decreased_at = Some(now);
            let arriving_bps = signal.arriving_bps.unwrap_or(0.0);
            self.bps = self.bps.min(self.bps.max(arriving_bps) * COMPETING_DECREASE);
            return Some(Cause::Loss);
        }
        let ceiling = signal.acknowledged_bps? * AHEAD + AHEAD_BPS;
        if self.bps < ceiling {
            self.bps = (self.bps + COMPETING_BPS * step_s).min(ceiling);
        }
        Some(Cause::Increase)
    }

    fn increase(&mut self, now: Instant, step_s: f64, signal: &Signal) -> Option<Cause> {
        let acknowledged_bps = signal.acknowledged_bps?;
        let ceiling = acknowledged_bps * AHEAD + AHEAD_BPS;
        if self.bps >= ceiling {
            return None;
        }
        let is_near = self.capacity.is_some_and(|known| !known.is_exceeded_by(self.bps));
        let growth_bps = if is_near || !signal.is_empty {
            self.free_since = None;
            ADDITIVE_BPS
        } else if self.is_starting() {
            MOST_GROWTH * self.bps
        } else {
            let since = *self.free_since.get_or_insert(now);
            let doublings = (now.since(since).as_secs_f64() * DOUBLINGS_PER_S).min(MOST_DOUBLINGS);
            (ADDITIVE_BPS * doublings.exp2()).min(MOST_GROWTH * self.bps)
        };
        self.bps = (self.bps + growth_bps * step_s).min(ceiling);
        Some(Cause::Increase)
    }
}

impl Capacity {
    fn deviation_bps(&self) -> f64 {
        (self.variance * self.bps / 1e3).max(0.0).sqrt() * 1e3
    }

    fn is_exceeded_by(&self, bps: f64) -> bool {
        bps > self.bps + DEVIATIONS * self.deviation_bps()
    }

    fn is_missed_by(&self, bps: f64) -> bool {
        bps < self.bps - DEVIATIONS * self.deviation_bps()
    }
}
