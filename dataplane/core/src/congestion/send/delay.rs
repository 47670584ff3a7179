//! What the arrival times say: whether the queue before the bottleneck grows (the trendline of
//! draft-ietf-rmcat-gcc-02 section 5, in the form that libwebrtc has today), and how long it is.
//!
//! Packets that were sent within 5 ms are one *group*. The line through the last 20 groups' delays tells the direction;
//! its threshold adapts, so that a flow of another kind in the same queue does not starve this one (section 5.4 of the
//! draft). The length of the queue is the smallest delay of a feedback above the smallest of the last minute: jitter
//! only adds, so that a minimum is free of it. The line is believed only if the queue is not empty, and a queue that
//! stands is overuse even if it no longer grows.

use std::time::Duration;

use super::Usage;
use crate::time::Instant;

/// Packets sent within this time are one group (section 5.2: 5 ms).
const BURST_US: i64 = 5_000;
/// Groups of a line (libwebrtc: 20), and how many it needs at least.
const LINE_POINTS: usize = 20;
const LEAST_POINTS: usize = 10;
/// Share of the old value in the smoothed delay (libwebrtc: 0.9).
const SMOOTHING: f64 = 0.9;
/// What the slope is multiplied with before it is compared, beside the number of groups, 60 at most (libwebrtc).
const GAIN: f64 = 4.0;
const MAX_GROUPS: u32 = 60;
/// Threshold in milliseconds: at first, and its bounds (section 5.4).
const THRESHOLD_MS: f64 = 12.5;
const THRESHOLD_BOUNDS_MS: (f64, f64) = (6.0, 600.0);
/// How fast the threshold follows, per millisecond, up and down, and from how far off it follows nothing (libwebrtc).
const THRESHOLD_UP: f64 = 0.008_7;
const THRESHOLD_DOWN: f64 = 0.039;
const THRESHOLD_SPIKE_MS: f64 = 15.0;
/// The line must show overuse for this long (section 5.4).
const OVERUSE_MS: f64 = 10.0;
/// A shorter queue is none: the line may be noise.
const EMPTY_QUEUE_MS: f64 = 12.0;
/// A queue that stands at this length is overuse.
const STANDING_QUEUE_MS: f64 = 50.0;
/// Delays that are this far from the last one belong to another clock or another path: everything begins again.
const JUMP_US: i64 = 10_000_000;
/// The smallest delay is kept for each ten seconds of the last minute.
const BASE_SLICE_US: i64 = 10_000_000;
const BASE_SLICES: usize = 6;
/// Packets that make the minimum of one feedback safe from jitter.
const SAFE_PACKETS: u32 = 5;
/// How much one feedback moves the mean of the jitter.
const JITTER_SHARE: f64 = 0.1;

/// Packets that were sent together.
#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent_us: i64,
    last_sent_us: i64,
    first_arrived_us: i64,
    last_arrived_us: i64,
}

/// The detector of one path.
#[derive(Debug)]
pub(super) struct Delay {
    group: Option<Group>,
    before: Option<Group>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    /// Arrival and smoothed delay of the last groups, in milliseconds.
    points: [(f64, f64); LINE_POINTS],
    groups: u32,
    origin_us: i64,
    slope: f64,
    threshold_ms: f64,
    threshold_at_ms: Option<f64>,
    over_for_ms: Option<f64>,
    over_count: u32,
    line: Usage,
    base: Base,
    /// The last packet's delay; its origin is the difference of two clocks.
    last_delay_us: Option<i64>,
    /// Smallest delay of this feedback and of the one before, and how many packets gave it.
    least: Option<(i64, u32)>,
    least_before: Option<(i64, u32)>,
    /// Largest delay of this feedback.
    most: i64,
    queue_ms: f64,
    /// How far the delays of one feedback lie apart.
    jitter_ms: f64,
}

/// The smallest delay of the last minute.
#[derive(Debug)]
struct Base {
    slices: [i64; BASE_SLICES],
    slice: i64,
}

impl Delay {
    pub(super) const fn new() -> Self {
        Self {
            group: None,
            before: None,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            points: [(0.0, 0.0); LINE_POINTS],
            groups: 0,
            origin_us: 0,
            slope: 0.0,
            threshold_ms: THRESHOLD_MS,
            threshold_at_ms: None,
            over_for_ms: None,
            over_count: 0,
            line: Usage::Normal,
            base: Base { slices: [i64::MAX; BASE_SLICES], slice: i64::MIN },
            last_delay_us: None,
            least: None,
            least_before: None,
            most: i64::MIN,
            queue_ms: 0.0,
            jitter_ms: 0.0,
        }
    }

    /// A packet arrived. In order of sending. Returns whether the receiver's clock jumped.
    pub(super) fn record(&mut self, sent_at: Instant, arrived_at: Duration) -> bool {
        let (sent_us, arrived_us) = (micros(u128::from(sent_at.as_nanos() / 1_000)), micros(arrived_at.as_micros()));
        let delay_us = arrived_us - sent_us;
        let jumped = self.last_delay_us.is_some_and(|last| (delay_us - last).abs() > JUMP_US);
        if jumped {
            *self = Self::new();
        }
        self.last_delay_us = Some(delay_us);
        self.base.record(sent_us, delay_us);
        let (least, count) = self.least.unwrap_or((i64::MAX, 0));
        self.least = Some((least.min(delay_us), count.saturating_add(1)));
        self.most = self.most.max(delay_us);
        self.add_to_group(sent_us, arrived_us);
        jumped
    }

    fn add_to_group(&mut self, sent_us: i64, arrived_us: i64) {
        let alone = Group {
            first_sent_us: sent_us,
            last_sent_us: sent_us,
            first_arrived_us: arrived_us,
            last_arrived_us: arrived_us,
        };
        let Some(group) = &mut self.group else {
            (self.group, self.origin_us) = (Some(alone), arrived_us);
            return;
        };
        if sent_us < group.first_sent_us {
            return;
        }
        // What piles up on the way and arrives together says nothing about the queue (libwebrtc's `BelongsToBurst`).
        let is_burst = arrived_us - group.last_arrived_us <= BURST_US
            && arrived_us - group.last_arrived_us < sent_us - group.last_sent_us
            && arrived_us - group.first_arrived_us < 100_000;
        if sent_us - group.first_sent_us <= BURST_US || is_burst {
            group.last_sent_us = group.last_sent_us.max(sent_us);
            group.last_arrived_us = group.last_arrived_us.max(arrived_us);
            return;
        }
        let done = *group;
        *group = alone;
        if let Some(before) = self.before.replace(done) {
            self.add_point(before, done);
        }
    }

    /// Moves the line on by one group.
    fn add_point(&mut self, before: Group, group: Group) {
        let sent_ms = (group.last_sent_us - before.last_sent_us) as f64 / 1e3;
        let arrived_ms = (group.last_arrived_us - before.last_arrived_us) as f64 / 1e3;
        self.accumulated_ms += arrived_ms - sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        let at_ms = (group.last_arrived_us - self.origin_us) as f64 / 1e3;
        if let Some(point) = self.points.get_mut(self.groups as usize % LINE_POINTS) {
            *point = (at_ms, self.smoothed_ms);
        }
        self.groups = self.groups.saturating_add(1);
        let count = (self.groups as usize).min(LINE_POINTS);
        if count >= LEAST_POINTS {
            let slope = self.points.get(..count).and_then(slope).unwrap_or(self.slope);
            self.detect(slope, sent_ms, at_ms);
        }
    }

    /// Compares the line with its threshold (section 5.4).
    fn detect(&mut self, slope: f64, sent_ms: f64, at_ms: f64) {
        let trend = f64::from(self.groups.min(MAX_GROUPS)) * slope * GAIN;
        if trend > self.threshold_ms {
            let over_for = self.over_for_ms.map_or(sent_ms / 2.0, |for_ms| for_ms + sent_ms);
            self.over_for_ms = Some(over_for);
            self.over_count = self.over_count.saturating_add(1);
            if over_for > OVERUSE_MS && self.over_count > 1 && slope >= self.slope {
                (self.over_for_ms, self.over_count) = (Some(0.0), 0);
                self.line = Usage::Over;
            }
        } else {
            (self.over_for_ms, self.over_count) = (None, 0);
            self.line = if trend < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.slope = slope;
        self.adapt(trend, at_ms);
    }

    fn adapt(&mut self, trend: f64, at_ms: f64) {
        let elapsed_ms = (at_ms - self.threshold_at_ms.unwrap_or(at_ms)).clamp(0.0, 100.0);
        self.threshold_at_ms = Some(at_ms);
        if trend.abs() > self.threshold_ms + THRESHOLD_SPIKE_MS {
            return;
        }
        let gain = if trend.abs() < self.threshold_ms { THRESHOLD_DOWN } else { THRESHOLD_UP };
        self.threshold_ms += gain * (trend.abs() - self.threshold_ms) * elapsed_ms;
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_BOUNDS_MS.0, THRESHOLD_BOUNDS_MS.1);
    }

    /// A feedback ends: how long the queue is now.
    pub(super) fn end_feedback(&mut self) {
        let Some((least, count)) = self.least.take() else { return };
        let sample = match self.least_before {
            Some((before, _)) if count < SAFE_PACKETS => least.min(before),
            _ => least,
        };
        let spread_ms = std::mem::replace(&mut self.most, i64::MIN).saturating_sub(least).max(0) as f64 / 1e3;
        self.jitter_ms += JITTER_SHARE * (spread_ms - self.jitter_ms);
        self.least_before = Some((least, count));
        self.queue_ms = sample.saturating_sub(self.base.least()).max(0) as f64 / 1e3;
    }

    /// The queue that was seen is not ours: the smallest delay of the last minute is no longer known.
    pub(super) fn forget_base(&mut self) {
        self.base = Base { slices: [i64::MAX; BASE_SLICES], slice: i64::MIN };
        if let (Some((least, _)), Some(sent)) = (self.least_before, self.group) {
            self.base.record(sent.last_sent_us, least);
        }
    }

    /// Milliseconds that packets wait in the queue.
    pub(super) const fn queue_ms(&self) -> f64 {
        self.queue_ms
    }

    /// Milliseconds that the delays of one feedback lie apart, in the mean.
    pub(super) const fn jitter_ms(&self) -> f64 {
        self.jitter_ms
    }

    /// The queue is as good as empty.
    pub(super) fn is_empty(&self) -> bool {
        self.queue_ms < EMPTY_QUEUE_MS
    }

    /// What the line and the queue say together.
    pub(super) fn usage(&self) -> Usage {
        match self.line {
            _ if self.queue_ms > STANDING_QUEUE_MS => Usage::Over,
            Usage::Over if self.is_empty() => Usage::Normal,
            line => line,
        }
    }
}

impl Base {
    fn record(&mut self, sent_us: i64, delay_us: i64) {
        let slice = sent_us / BASE_SLICE_US;
        if self.slice == i64::MIN || slice - self.slice >= BASE_SLICES as i64 {
            (self.slices, self.slice) = ([i64::MAX; BASE_SLICES], slice);
        }
        while self.slice < slice {
            self.slice += 1;
            if let Some(least) = self.current() {
                *least = i64::MAX;
            }
        }
        if let Some(least) = self.current() {
            *least = (*least).min(delay_us);
        }
    }

    fn current(&mut self) -> Option<&mut i64> {
        self.slices.get_mut(self.slice.unsigned_abs() as usize % BASE_SLICES)
    }

    fn least(&self) -> i64 {
        self.slices.iter().copied().fold(i64::MAX, i64::min)
    }
}

/// Microseconds that two of can be subtracted safely.
fn micros(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// Slope of the line through the points with the least squares; `None` if they all arrived at once.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points
        .iter()
        .fold((0.0, 0.0), |sum, (x, y)| (sum.0 + (x - mean_x) * (y - mean_y), sum.1 + (x - mean_x) * (x - mean_x)));
    if under > 0.0 { Some(over / under) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a packet each 10 ms for a second. The queue grows by so many milliseconds a packet.
    fn a_second(delay: &mut Delay, from_ms: u64, grows_ms: u64, jitter_ms: u64) -> Vec<Usage> {
        let mut usages = Vec::new();
        for index in 0..100 {
            let sent = from_ms + index * 10;
            let arrived = sent + 50 + index * grows_ms + (index * 7 % 5) * jitter_ms;
            delay.record(Instant::from_nanos(sent * 1_000_000), Duration::from_millis(arrived));
            if index % 5 == 4 {
                delay.end_feedback();
                usages.push(delay.usage());
            }
        }
        usages
    }

    #[test]
    fn a_growing_queue_is_overuse_and_an_even_one_with_jitter_is_not() {
        let mut delay = Delay::new();
        assert!(a_second(&mut delay, 0, 0, 3).iter().all(|usage| *usage == Usage::Normal), "jitter only");
        assert!(delay.is_empty());
        let growing = a_second(&mut delay, 1_000, 1, 3);
        let first = growing.iter().position(|usage| *usage == Usage::Over).expect("seen");
        assert!(first < 8, "after {first} feedbacks");
        assert!((delay.queue_ms() - 95.0).abs() < 5.0, "{} ms", delay.queue_ms());
    }

    #[test]
    fn another_clock_begins_again() {
        let mut delay = Delay::new();
        a_second(&mut delay, 0, 1, 0);
        assert!(delay.record(Instant::from_nanos(1_000_000_000), Duration::from_secs(3_600)));
        delay.end_feedback();
        assert_eq!((delay.usage(), delay.queue_ms()), (Usage::Normal, 0.0));
    }

    #[test]
    fn a_delay_that_stays_becomes_the_base_when_the_old_one_is_forgotten() {
        let mut delay = Delay::new();
        a_second(&mut delay, 0, 0, 0);
        for index in 0..10 {
            let sent = 1_000 + index * 10;
            delay.record(Instant::from_nanos(sent * 1_000_000), Duration::from_millis(sent + 250));
        }
        delay.end_feedback();
        assert_eq!((delay.queue_ms(), delay.usage()), (200.0, Usage::Over));
        delay.forget_base();
        delay.record(Instant::from_nanos(1_110_000_000), Duration::from_millis(1_360));
        delay.end_feedback();
        assert_eq!(delay.queue_ms(), 0.0);
    }
}
