//! What losses say: how much of them the path has by itself, whatever is sent, and from which rate on it discards more.
//!
//! A simple form of libwebrtc's `LossBasedBweV2`. An observation is a quarter of a second: packets, losses, and the
//! rate at which they were sent. A candidate is a rate `B` and an inherent loss `p`; it predicts that of what is sent
//! at `r` the share `p` is lost, and of the rest the part of `r` above `B`. The candidate that explains the last 20
//! observations best wins; of two that explain them equally the higher rate. So 5 percent of losses on a radio link
//! cost nothing, and a shallow queue that overflows does.

use super::micros;
use crate::time::Instant;

/// Observations that count, how long each takes at least in microseconds, and how much less each counts than the next.
const OBSERVATIONS: usize = 20;
const OBSERVATION_US: u64 = 250_000;
const AGEING: f64 = 0.9;
/// Factors of the current limit that are candidates (libwebrtc: 1.02, 1, 0.95).
const FACTORS: [f64; 3] = [1.02, 1.0, 0.95];
/// The acknowledged rate is one as well, times this.
const BACKOFF: f64 = 0.85;
/// Inherent losses that are tried.
const INHERENT: [f64; 12] = [0.0001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4];
/// Most inherent loss that is believed: this, and more of a low rate (libwebrtc: 0.05, 75 kbit/s).
const INHERENT_BOUND: f64 = 0.05;
const INHERENT_BALANCE_BPS: f64 = 75_000.0;
/// How much a higher rate is preferred, per packet and factor of e.
const BIAS: f64 = 0.001;
/// From this share of losses on nothing is probed.
const MUCH: f64 = 0.02;

#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    packets: f64,
    lost: f64,
    rate_bps: f64,
}

/// The controller of one path.
#[derive(Debug)]
pub(super) struct Loss {
    observations: [Observation; OBSERVATIONS],
    /// How many there were.
    count: usize,
    since: Option<Instant>,
    packets: u64,
    lost: u64,
    bytes: u64,
    limit_bps: Option<f64>,
}

impl Loss {
    pub(super) const fn new() -> Self {
        Self {
            observations: [Observation { packets: 0.0, lost: 0.0, rate_bps: 0.0 }; OBSERVATIONS],
            count: 0,
            since: None,
            packets: 0,
            lost: 0,
            bytes: 0,
            limit_bps: None,
        }
    }

    /// What became of one packet. In order of sending. Returns whether an observation is complete.
    pub(super) fn record(&mut self, sent_at: Instant, bytes: u32, is_lost: bool) -> bool {
        let since = *self.since.get_or_insert(sent_at);
        let elapsed_us = micros(sent_at.since(since));
        let is_complete = elapsed_us >= OBSERVATION_US && self.packets > 0;
        if is_complete {
            if let Some(place) = self.observations.get_mut(self.count % OBSERVATIONS) {
                let rate_bps = self.bytes as f64 * 8e6 / elapsed_us as f64;
                *place = Observation { packets: self.packets as f64, lost: self.lost as f64, rate_bps };
            }
            self.count = self.count.wrapping_add(1);
            (self.since, self.packets, self.lost, self.bytes) = (Some(sent_at), 0, 0, 0);
        }
        self.packets += 1;
        self.lost += u64::from(is_lost);
        self.bytes = self.bytes.saturating_add(u64::from(bytes));
        is_complete
    }

    /// Observations that count, the newest first, each with its weight.
    fn weighted(&self) -> impl Iterator<Item = (f64, Observation)> {
        let held = self.count.min(OBSERVATIONS);
        let place = |age: usize| self.count.wrapping_sub(age) % OBSERVATIONS;
        let newest_first = (1..=held).filter_map(move |age| self.observations.get(place(age)).copied());
        newest_first.scan(1.0, |weight, observation| Some((std::mem::replace(weight, *weight * AGEING), observation)))
    }

    /// An observation is complete: finds the limit. `unlimited_bps` is what the delay allows.
    pub(super) fn update(&mut self, unlimited_bps: f64, acknowledged_bps: Option<f64>) {
        let current = self.limit_bps.unwrap_or(unlimited_bps).min(unlimited_bps);
        let is_lossless = self.weighted().all(|(_, observation)| observation.lost == 0.0);
        let backed_off = acknowledged_bps.map_or(current, |bps| bps * BACKOFF).min(current);
        let candidates = FACTORS.map(|factor| factor * current).into_iter().chain([unlimited_bps, backed_off]);
        let best = if is_lossless {
            current * FACTORS[0]
        } else {
            let scored = candidates.map(|bps| (self.score(bps), bps));
            scored.fold((f64::NEG_INFINITY, current), |best, next| if next.0 > best.0 { next } else { best }).1
        };
        // A limit is never below what gets through, and goes up no faster than its candidates do: the best explanation
        // may change its mind.
        let best = best.max(backed_off);
        let best = if self.limit_bps.is_some() { best.min(current * 1.1) } else { best };
        self.limit_bps = (best < unlimited_bps).then_some(best);
    }

    /// A probe at this rate has arrived without losses: so much is carried, whatever was lost before it.
    pub(super) fn prove(&mut self, bps: f64) {
        self.limit_bps = self.limit_bps.map(|limit| limit.max(bps));
    }

    /// How well a rate explains what was seen, with the inherent loss that suits it best.
    fn score(&self, bps: f64) -> f64 {
        let bound = INHERENT_BOUND + INHERENT_BALANCE_BPS / bps.max(1.0);
        // What was sent below the rate is explained by the inherent loss alone, and can be summed before.
        let is_below = |seen: &Observation| seen.rate_bps <= bps;
        let below = self.weighted().filter(|(_, seen)| is_below(seen)).fold((0.0, 0.0), |sum, (weight, seen)| {
            (sum.0 + weight * seen.lost, sum.1 + weight * (seen.packets - seen.lost))
        });
        let likelihood = |inherent: f64| -> f64 {
            let above = self.weighted().filter(|(_, seen)| !is_below(seen)).map(|(weight, seen)| {
                let excess = (seen.rate_bps - bps) / seen.rate_bps;
                weight * log_of(seen.lost, seen.packets - seen.lost, inherent + (1.0 - inherent) * excess)
            });
            above.sum::<f64>() + log_of(below.0, below.1, inherent)
        };
        // The likelihood has one maximum: beyond it there is nothing to look for.
        let mut best = f64::NEG_INFINITY;
        for inherent in INHERENT.into_iter().filter(|inherent| *inherent <= bound) {
            let next = likelihood(inherent);
            if next < best {
                break;
            }
            best = next;
        }
        let packets: f64 = self.weighted().map(|(weight, seen)| weight * seen.packets).sum();
        best + BIAS * packets * bps.max(1.0).ln()
    }

    /// Bits per second that losses allow; `None` if they limit nothing.
    pub(super) const fn limit_bps(&self) -> Option<f64> {
        self.limit_bps
    }

    /// More than 2 percent of the last second were lost.
    pub(super) fn is_much(&self) -> bool {
        let (packets, lost) = self
            .weighted()
            .take(4)
            .fold((0.0, 0.0), |sum, (_, observation)| (sum.0 + observation.packets, sum.1 + observation.lost));
        lost > MUCH * packets
    }
}

/// Logarithm of the likelihood that of packets so many are lost and so many arrive, if each is lost with this
/// probability.
fn log_of(lost: f64, arrived: f64, probability: f64) -> f64 {
    let probability = probability.clamp(1e-6, 1.0 - 1e-6);
    lost * probability.ln() + arrived * (1.0 - probability).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at a rate over a path that loses a share by itself, and all above its capacity, for so many seconds.
    fn sent(loss: &mut Loss, from_s: u64, seconds: u64, rate: impl Fn(&Loss) -> f64, lost: f64, capacity: f64) {
        let (mut at_us, mut owed) = (from_s * 1_000_000, 0.0);
        while at_us < (from_s + seconds) * 1_000_000 {
            let bps = rate(loss);
            owed += lost + (1.0 - lost) * ((bps - capacity) / bps).max(0.0);
            let is_lost = owed >= 1.0;
            owed -= if is_lost { 1.0 } else { 0.0 };
            if loss.record(Instant::from_nanos(at_us * 1_000), 1_250, is_lost) {
                loss.update(2e6, Some(bps.min(capacity)));
            }
            at_us += (1e10 / bps) as u64;
        }
    }

    #[test]
    fn inherent_losses_limit_nothing() {
        let mut loss = Loss::new();
        sent(&mut loss, 0, 20, |loss| loss.limit_bps().unwrap_or(2e6), 0.04, 1e9);
        assert_eq!(loss.limit_bps(), None);
        assert!(loss.is_much());
    }

    #[test]
    fn an_overflowing_queue_limits_and_is_left_again() {
        let mut loss = Loss::new();
        let rate = |loss: &Loss| loss.limit_bps().unwrap_or(2e6);
        sent(&mut loss, 0, 10, rate, 0.0, 1e6);
        let limit = loss.limit_bps().expect("limits");
        assert!((0.7e6..1.15e6).contains(&limit), "{limit}");
        sent(&mut loss, 10, 25, rate, 0.0, 1e9);
        assert_eq!(loss.limit_bps(), None, "the capacity has come back");
    }
}
