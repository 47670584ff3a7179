//! Probes: a few packets sent faster than the estimate, to learn whether the path carries more. When, how fast and how
//! long is decided here, and what a probe's arrival means; others find the bytes for it.
//!
//! One probe is under way at a time. The first goes out with the first packets at three times the initial rate
//! (libwebrtc), and while the path carries at least 70 percent of a probe the next one is twice as fast. Later a probe
//! asks for a wish that is not met, if less is sent than the estimate allows: two seconds after the last fall, then
//! more rarely; and after a drop for 85 percent of what there was before, since a drop may have been short. A source
//! that uses all that is estimated needs no probes, since the rate grows by itself. Nothing is probed while the queue
//! is not empty or much is lost, and probes take at most 5 percent of what is sent.

use std::time::Duration;

use super::{ClusterId, PacketResult, Usage, micros};
use crate::time::Instant;

/// How long a probe takes, in seconds: so many times the jitter, which falsifies it, within these bounds (libwebrtc:
/// 15 ms). And how many packets it has at least (libwebrtc: 5).
const JITTERS: f64 = 2.0;
const LENGTH_S: (f64, f64) = (0.025, 0.08);
const LEAST_PACKETS: u32 = 5;
/// Bytes of one packet of a probe, for its least number of bytes.
const PACKET_BYTES: u32 = 1_000;
/// Faster than the estimate: the first one, and those that follow one that arrived.
const FIRST_SCALE: f64 = 3.0;
const FURTHER_SCALE: f64 = 2.0;
/// No probe is slower, so that it is over soon (LiveKit: 200 kbit/s more than the estimate).
const LEAST_BPS: f64 = 200_000.0;
/// More than this share of the wish is not probed for.
const WISH_SCALE: f64 = 1.2;
/// A probe goes on if the rate has become this share of it (libwebrtc: 0.7).
const FURTHER_THRESHOLD: f64 = 0.7;
/// A wish is met if it exceeds the estimate by no more than this.
const MET: f64 = 1.05;
/// A fall of the estimate delays a probe for a wish by this.
const STABLE: Duration = Duration::from_secs(2);
/// Between two probes for a wish: at first, the factor after each in vain, and at most.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_GROWTH: f64 = 1.5;
const LAST_INTERVAL: Duration = Duration::from_secs(4);
/// A probe that was due when the path was busy is looked at again after this time.
const RETRY: Duration = Duration::from_millis(50);
/// A fall below this share is a drop (libwebrtc: 0.66). It is forgotten after five seconds.
const DROP: f64 = 0.66;
const DROP_TIME: Duration = Duration::from_secs(5);
const AFTER_DROP: f64 = 0.85;
/// This share of a probe's packets must arrive (libwebrtc: 0.8).
const LEAST_ARRIVED: f64 = 0.8;
/// A probe that arrives this much slower than it was sent found the capacity, of which this share is used (libwebrtc).
const SATURATED: f64 = 0.9;
const SATURATED_SHARE: f64 = 0.95;
/// A probe that arrives so much faster than it was sent was held up on its way, and says nothing (libwebrtc: 2).
const TOO_FAST: f64 = 2.0;
/// So long after its end nothing more is expected of a probe (libwebrtc: 1 s).
const PATIENCE: Duration = Duration::from_secs(1);
/// Share of what is sent that probes may take, and what they may take at once: a minute's share, and enough to start.
const SHARE: f64 = 0.05;
const SHARE_TIME_S: f64 = 60.0;
const START_BYTES: f64 = 150_000.0;
/// What they may take each second even if nothing is sent: otherwise a receiver whose media are all paused for want of
/// capacity could never learn that it has come back. It is one probe of the least size in four seconds.
const IDLE_BYTES_PER_S: f64 = 1_250.0;

/// A probe that is to be sent now: packets of one cluster, at this rate, until both numbers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name in [`PacketResult`] and in `Estimator::sent`.
    pub cluster: ClusterId,
    /// Bits per second at which it is to leave.
    pub bitrate_bps: u64,
    /// Bytes that it has at least, with headers of UDP and IP.
    pub bytes: u32,
    /// Packets that it has at least.
    pub packets: u32,
}

/// What the estimator knows when it is asked for a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) estimate_bps: f64,
    pub(super) wanted_bps: f64,
    pub(super) maximum_bps: f64,
    pub(super) usage: Usage,
    pub(super) is_empty: bool,
    pub(super) is_lossy: bool,
    pub(super) is_draining: bool,
    pub(super) is_starting: bool,
    /// Nothing has been sent for a while.
    pub(super) is_idle: bool,
    /// Less is sent than the estimate allows.
    pub(super) is_limited: bool,
    pub(super) jitter_ms: f64,
}

/// A probe that is under way. The sums are those of a line of arrival times over bytes.
#[derive(Debug)]
struct Cluster {
    probe: Probe,
    made_at: Instant,
    is_further: bool,
    is_idle: bool,
    arrived: u32,
    has_lost: bool,
    bytes: u64,
    first_bytes: u32,
    last_bytes: u32,
    first_sent: Instant,
    last_sent: Instant,
    first_arrived: Duration,
    last_arrived: Duration,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) bps: f64,
    /// The path carries no more than this; otherwise it carries at least this.
    pub(super) is_saturated: bool,
    /// Nothing else was sent when it left.
    pub(super) is_idle: bool,
    /// None of its packets was lost.
    pub(super) is_lossless: bool,
}

/// The decider of one path.
#[derive(Debug)]
pub(super) struct Probing {
    cluster: Option<Cluster>,
    next_id: u16,
    has_started: bool,
    /// The next probe is to be twice as fast as this one was.
    further: Option<f64>,
    /// When the next probe for a wish may leave, and how long to wait after it.
    wish_at: Option<Instant>,
    interval: Duration,
    /// The highest estimate of late, and when it was.
    before_drop: Option<(f64, Instant)>,
    budget_bytes: f64,
    polled_at: Option<Instant>,
}

impl Probing {
    pub(super) const fn new() -> Self {
        Self {
            cluster: None,
            next_id: 0,
            has_started: false,
            further: None,
            wish_at: None,
            interval: FIRST_INTERVAL,
            before_drop: None,
            budget_bytes: START_BYTES,
            polled_at: None,
        }
    }

    /// Bytes left: a share of them may be spent on probes, and those of probes are spent.
    pub(super) fn sent(&mut self, bytes: u64, is_probe: bool, estimate_bps: f64) {
        let most = (estimate_bps / 8.0 * SHARE_TIME_S * SHARE).max(START_BYTES);
        let change = if is_probe { -(bytes as f64) } else { bytes as f64 * SHARE };
        self.budget_bytes = (self.budget_bytes + change).clamp(-most, most);
    }

    /// The estimate fell from `before_bps` because of delay or loss.
    pub(super) fn fell(&mut self, now: Instant, before_bps: f64) {
        let known = self.before_drop.filter(|(_, at)| now.since(*at) < DROP_TIME);
        if known.is_none_or(|(bps, _)| bps < before_bps) {
            self.before_drop = Some((before_bps, now));
        }
        self.wait(now);
    }

    /// The rate is not stable: a probe for a wish waits.
    fn wait(&mut self, now: Instant) {
        let due = now + STABLE;
        self.wish_at = Some(self.wish_at.map_or(due, |at| at.max(due)));
    }

    /// The wish was raised: no wait for it.
    pub(super) const fn wish_rose(&mut self) {
        self.interval = FIRST_INTERVAL;
        self.wish_at = None;
    }

    /// When to ask again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.cluster {
            Some(cluster) => Some(cluster.gives_up_at()),
            None => self.wish_at,
        }
    }

    /// A probe to send now, if one is due. Otherwise it is looked at again after a while.
    pub(super) fn poll(&mut self, now: Instant, view: &View) -> Option<Probe> {
        let elapsed_s = self.polled_at.map_or(0.0, |at| now.since(at).as_secs_f64());
        self.polled_at = Some(now);
        if self.budget_bytes < START_BYTES {
            self.budget_bytes = (self.budget_bytes + elapsed_s * IDLE_BYTES_PER_S).min(START_BYTES);
        }
        let probe = self.decide(now, view);
        if probe.is_none() {
            self.wish_at = self.wish_at.map(|at| if at <= now { now + RETRY } else { at });
        }
        probe
    }

    fn decide(&mut self, now: Instant, view: &View) -> Option<Probe> {
        if self.cluster.as_ref().is_some_and(|cluster| now > cluster.gives_up_at()) {
            self.cluster = None;
            self.in_vain(now);
        }
        let is_calm = view.usage == Usage::Normal && view.is_empty && !view.is_lossy && !view.is_draining;
        let is_met = view.wanted_bps <= view.estimate_bps * MET || view.estimate_bps >= view.maximum_bps;
        if self.cluster.is_some() || !is_calm || is_met || self.budget_bytes <= 0.0 {
            return None;
        }
        let (bps, is_further) = self.due(now, view)?;
        let bps = if bps > 0.0 { bps.max(LEAST_BPS) } else { 0.0 };
        let bps = bps.min(view.wanted_bps * WISH_SCALE).min(view.maximum_bps);
        if bps <= view.estimate_bps * MET {
            return None;
        }
        (self.has_started, self.next_id) = (true, self.next_id.wrapping_add(1));
        let least_bytes = LEAST_PACKETS * PACKET_BYTES;
        let length_s = (view.jitter_ms / 1e3 * JITTERS).clamp(LENGTH_S.0, LENGTH_S.1);
        let bytes = (bps / 8.0 * length_s).min(f64::from(u32::MAX)) as u32;
        let probe = Probe {
            cluster: ClusterId(self.next_id),
            bitrate_bps: bps as u64,
            bytes: bytes.max(least_bytes),
            packets: LEAST_PACKETS,
        };
        self.cluster = Some(Cluster::new(probe, now, is_further, view.is_idle));
        self.wish_at = Some(now + self.interval);
        Some(probe)
    }

    /// The rate of the probe that is due, and whether it is one of a series.
    fn due(&mut self, now: Instant, view: &View) -> Option<(f64, bool)> {
        if !self.has_started {
            return Some((view.estimate_bps * FIRST_SCALE, true));
        }
        // A source that uses what is estimated finds out by that whether there is more.
        let is_useful = view.is_limited || view.is_starting;
        let has_arrived = self.further.take().is_some_and(|probed| view.estimate_bps >= probed * FURTHER_THRESHOLD);
        if has_arrived && is_useful {
            return Some((view.estimate_bps * FURTHER_SCALE, true));
        }
        if self.wish_at.is_some_and(|at| now < at) {
            return None;
        }
        let dropped = self
            .before_drop
            .take()
            .filter(|(before, at)| now.since(*at) < DROP_TIME && view.estimate_bps < before * DROP);
        let after_drop = dropped.map_or(0.0, |(before, _)| before * AFTER_DROP);
        let for_wish = if is_useful { view.estimate_bps * FURTHER_SCALE } else { 0.0 };
        Some((after_drop.max(for_wish), view.is_starting))
    }

    fn in_vain(&mut self, now: Instant) {
        let longer = self.interval.mul_f64(INTERVAL_GROWTH).min(LAST_INTERVAL);
        self.interval = longer;
        self.wish_at = Some(now + longer);
    }

    /// A packet of a cluster arrived, or was lost.
    pub(super) fn record(&mut self, result: &PacketResult) {
        let Some(cluster) = self.cluster.as_mut().filter(|held| Some(held.probe.cluster) == result.cluster) else {
            return;
        };
        match result.arrived_at {
            Some(arrived_at) => cluster.record(result.sent_at, arrived_at, result.bytes),
            None => cluster.has_lost = true,
        }
    }

    /// A feedback ends: what the probe found, if enough of it has arrived.
    pub(super) fn found(&mut self, now: Instant) -> Option<Found> {
        let found = self.cluster.as_ref().filter(|cluster| cluster.is_whole())?.found();
        let cluster = self.cluster.take()?;
        match found {
            Some(found) if !found.is_saturated && cluster.has_had_its_rate(found.bps) => {
                self.further = Some(found.bps);
                self.interval = FIRST_INTERVAL;
            }
            // It left too slowly: to go on like that would find nothing, time and again.
            Some(found) if !found.is_saturated => self.in_vain(now),
            Some(_) if cluster.is_further => self.in_vain(now),
            // What a probe outside of a series found is the share of a flow that sends twice its share: too much. Only
            // that it failed counts.
            _ => {
                self.in_vain(now);
                return None;
            }
        }
        found
    }
}

impl Cluster {
    fn new(probe: Probe, now: Instant, is_further: bool, is_idle: bool) -> Self {
        Self {
            probe,
            made_at: now,
            is_further,
            is_idle,
            arrived: 0,
            has_lost: false,
            bytes: 0,
            first_bytes: 0,
            last_bytes: 0,
            first_sent: now,
            last_sent: now,
            first_arrived: Duration::ZERO,
            last_arrived: Duration::ZERO,
        }
    }

    fn record(&mut self, sent_at: Instant, arrived_at: Duration, bytes: u32) {
        if self.arrived == 0 {
            (self.first_sent, self.first_arrived, self.first_bytes) = (sent_at, arrived_at, bytes);
        }
        self.arrived = self.arrived.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(bytes));
        if sent_at >= self.last_sent {
            (self.last_sent, self.last_bytes) = (sent_at, bytes);
        }
        self.last_arrived = self.last_arrived.max(arrived_at);
    }

    fn gives_up_at(&self) -> Instant {
        let length_s = f64::from(self.probe.bytes) * 8.0 / (self.probe.bitrate_bps as f64).max(1.0);
        self.made_at + PATIENCE + Duration::from_secs_f64(length_s.min(PATIENCE.as_secs_f64()))
    }

    /// Whether what was found is about the rate at which it was to leave.
    fn has_had_its_rate(&self, found_bps: f64) -> bool {
        found_bps >= self.probe.bitrate_bps as f64 * FURTHER_THRESHOLD
    }

    /// Enough has arrived for a verdict.
    fn is_whole(&self) -> bool {
        f64::from(self.arrived) >= f64::from(self.probe.packets) * LEAST_ARRIVED
            && self.bytes as f64 >= f64::from(self.probe.bytes) * LEAST_ARRIVED
    }

    fn found(&self) -> Option<Found> {
        let sent_us = micros(self.last_sent.since(self.first_sent)) as f64;
        let arrived_us = micros(self.last_arrived.saturating_sub(self.first_arrived)) as f64;
        let sent_bytes = self.bytes.saturating_sub(u64::from(self.last_bytes)) as f64;
        let arrived_bytes = self.bytes.saturating_sub(u64::from(self.first_bytes)) as f64;
        if sent_us < 1.0 || arrived_us < 1.0 {
            return None;
        }
        let (sent_bps, arrived_bps) = (sent_bytes * 8e6 / sent_us, arrived_bytes * 8e6 / arrived_us);
        let (is_idle, is_lossless, most_bps) = (self.is_idle, !self.has_lost, self.probe.bitrate_bps as f64);
        match arrived_bps / sent_bps {
            ratio if !ratio.is_finite() || ratio > TOO_FAST => None,
            ratio if ratio < SATURATED => {
                Some(Found { bps: arrived_bps * SATURATED_SHARE, is_saturated: true, is_idle, is_lossless })
            }
            // What left in one piece at the end, because it was late, proves no more than the probe was to.
            _ => {
                let bps = sent_bps.min(arrived_bps).min(most_bps);
                Some(Found { bps, is_saturated: false, is_idle, is_lossless })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: View = View {
        estimate_bps: 1e6,
        wanted_bps: 1e7,
        maximum_bps: 1e9,
        usage: Usage::Normal,
        is_empty: true,
        is_lossy: false,
        is_draining: false,
        is_starting: false,
        is_idle: false,
        is_limited: true,
        jitter_ms: 0.0,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Sends a probe over a path of a capacity, and returns what it found.
    fn sent(probing: &mut Probing, probe: Probe, from: Instant, capacity_bps: f64) -> Option<Found> {
        let mut free_at_us = 0.0_f64;
        for index in 0..(probe.bytes / 1_000).max(probe.packets) {
            let sent_us = f64::from(index) * 8e9 / probe.bitrate_bps as f64;
            free_at_us = free_at_us.max(sent_us) + 8e9 / capacity_bps;
            probing.sent(1_000, true, 1e6);
            probing.record(&PacketResult {
                sent_at: from + Duration::from_micros(sent_us as u64),
                bytes: 1_000,
                arrived_at: Some(Duration::from_micros(free_at_us as u64)),
                cluster: Some(probe.cluster),
                ecn_ce: false,
            });
        }
        probing.found(from + Duration::from_millis(200))
    }

    #[test]
    fn a_probe_that_arrives_is_followed_by_a_faster_one_and_one_that_does_not_tells_the_capacity() {
        let mut probing = Probing::new();
        let first = probing.poll(at(0), &CALM).expect("at once");
        assert_eq!((first.bitrate_bps, first.packets), (3_000_000, 5));
        assert_eq!(probing.poll(at(1), &CALM), None, "one at a time");
        let found = sent(&mut probing, first, at(0), 4e6).expect("arrived");
        assert!(!found.is_saturated && (2.9e6..3.1e6).contains(&found.bps), "{found:?}");
        let second = probing.poll(at(201), &View { estimate_bps: found.bps, ..CALM }).expect("twice as fast");
        assert!((5.8e6..6.1e6).contains(&(second.bitrate_bps as f64)), "{second:?}");
        let found = sent(&mut probing, second, at(201), 4e6).expect("arrived");
        assert!(found.is_saturated && (3.7e6..3.9e6).contains(&found.bps), "{found:?}");
        let next = probing.poll(at(500), &View { estimate_bps: found.bps, ..CALM });
        assert_eq!(next, None, "the path is full");
    }

    #[test]
    fn nothing_is_probed_that_is_not_wanted_or_while_the_path_is_busy() {
        let probe = |view: View| Probing::new().poll(at(0), &view);
        assert!(probe(CALM).is_some());
        assert_eq!(probe(View { wanted_bps: 0.0, ..CALM }), None);
        assert_eq!(probe(View { wanted_bps: 1.02e6, ..CALM }), None);
        assert_eq!(probe(View { usage: Usage::Over, ..CALM }), None);
        assert_eq!(probe(View { is_empty: false, ..CALM }), None);
        assert_eq!(probe(View { is_lossy: true, ..CALM }), None);
        assert_eq!(probe(View { maximum_bps: 1e6, ..CALM }), None);
        assert_eq!(probe(View { wanted_bps: 2e6, ..CALM }).map(|probe| probe.bitrate_bps), Some(2_400_000));
    }

    #[test]
    fn probes_take_at_most_a_twentieth_of_what_is_sent_and_a_little() {
        let mut probing = Probing::new();
        let (mut media, mut probes) = (0_u64, 0_u64);
        for millis in 0..300_000 {
            probing.sent(125, false, 1e6);
            media += 125;
            if let Some(probe) = probing.poll(at(millis), &CALM) {
                probing.sent(u64::from(probe.bytes), true, 1e6);
                probes += u64::from(probe.bytes);
                // It never arrives.
            }
        }
        assert!(probes > 100_000, "{probes}");
        assert!(probes as f64 <= media as f64 * 0.05 + 150_000.0 + 300.0 * 1_250.0, "{probes} of {media}");
    }
}
