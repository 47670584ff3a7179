//! The path to one receiver: what was sent along it, what the receiver says of that, and what the path is therefore
//! taken to carry.

use std::time::Duration;

use corecast_wire::{Decided, Discard, OutgoingCause, OutgoingStats};

use super::allocation::Allocation;
use super::decisions::Decisions;
use super::lost::LostShare;
use super::names::Names;
use super::send::{Cause, ClusterId, Estimator, PacketResult, Probe, Settings};
use super::trains::{Train, Trains};
use crate::io::Deadline;
use crate::limits::{
    ALLOCATION_INTERVAL, CROWD, CROWD_INTERVAL, FEEDBACK_INTERVAL, FEEDBACKS_AT_ONCE, MAX_FEEDBACK_STATUSES,
};
use crate::ration::Ration;
use crate::rtcp::{Ccfb, TransportCc};
use crate::time::Instant;

/// A receiver that has been sent packets for so long and has said nothing of them estimates nothing.
const SILENT: Duration = Duration::from_secs(2);
/// What left so long ago, and before what feedback tells of, is told of no longer.
const TOLD: Duration = Duration::from_millis(500);
/// Unit of a feedback's reference time, and of what it adds to that, in microseconds.
const REFERENCE_US: i64 = 64_000;
const DELTA_US: i64 = 250;
/// Bits of a feedback's reference time, and of the time of one of RFC 8888.
const REFERENCE_BITS: u32 = 24;
const CCFB_BITS: u32 = 32;
/// ECN bits of a packet that a router has marked (RFC 3168 section 5).
const ECN_CE: u8 = 3;

/// A probe leaves in groups, so long apart.
const GROUP: Duration = Duration::from_millis(3);

/// A probe that is under way.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    probe: Probe,
    bytes_left: u32,
    packets_left: u32,
    next_at: Instant,
}

/// What is known of the path to a receiver.
#[derive(Debug)]
pub(crate) struct Sending {
    estimator: Estimator,
    trains: Trains,
    names: Names,
    arrivals: ArrivalClock,
    deadline: Deadline,
    /// When the first packet left.
    begun: Option<Instant>,
    /// The receiver has said what came, or what it estimates.
    is_heard: bool,
    /// It has said so of single packets: what has no number does not count.
    hears_numbers: bool,
    /// Share of packets that it has said not to have.
    lost_share: LostShare,
    /// Feedback that it may still send.
    feedbacks: Ration,
    allocation: Allocation,
    decisions: Decisions,
    wanted_bps: u64,
    /// They do not have all that.
    is_unmet: bool,
    probe: Option<UnderWay>,
    /// What leaves now is part of this probe.
    cluster: Option<ClusterId>,
    /// When what is sent is looked at next, if something comes; or by itself, since something has changed.
    look_at: Instant,
    has_changed: bool,
    /// Then all that the path carries is shared out again.
    shares_out: bool,
    /// When it was looked at last.
    looked_at: Option<Instant>,
}

impl Sending {
    /// Nothing is known; the next packet has this transport-wide number.
    pub(crate) fn new(now: Instant, next_transport_cc: u16, settings: Settings) -> Self {
        Self {
            estimator: Estimator::new(now, settings),
            trains: Trains::new(next_transport_cc),
            names: Names::default(),
            arrivals: ArrivalClock::default(),
            deadline: Deadline::default(),
            begun: None,
            is_heard: false,
            hears_numbers: false,
            lost_share: LostShare::default(),
            feedbacks: Ration::default(),
            allocation: Allocation::default(),
            decisions: Decisions::default(),
            wanted_bps: 0,
            is_unmet: false,
            probe: None,
            cluster: None,
            look_at: now,
            has_changed: false,
            shares_out: false,
            looked_at: None,
        }
    }

    /// Other bounds of the estimate.
    pub(crate) fn set_bounds(&mut self, now: Instant, settings: Settings) {
        self.estimator.set_bounds(settings);
        self.look_at = now;
    }

    /// The packet with the next transport-wide number has left, with so many bytes of UDP and IP; with its SSRC and
    /// sequence number if its receiver names it by them.
    #[inline]
    pub(crate) fn sent(&mut self, now: Instant, bytes: usize, name: Option<(u32, u16)>) {
        if let Some(name) = name {
            self.names.record(self.trains.next(), name);
        }
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        if let Some(train) = self.trains.record(now, bytes, self.cluster) {
            self.tell(train);
        }
    }

    #[inline(never)]
    fn tell(&mut self, train: Train) {
        self.begun.get_or_insert(train.at);
        self.estimator.sent(train.at, u32::from(train.packets), u32::from(train.bytes), train.cluster);
    }

    /// Takes in transport-wide feedback. What it says of packets that were not sent, or long ago, is passed over.
    ///
    /// # Errors
    /// The reason if it comes too often, or begins with a packet that was not sent.
    pub(crate) fn take_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>) -> Result<(), Discard> {
        self.take_in(now)?;
        if let Some(train) = self.trains.take_ended() {
            self.tell(train);
        }
        let base = self.trains.unwrap(feedback.base_sequence).ok_or(Discard::UnknownFeedback)?;
        (self.is_heard, self.hears_numbers) = (true, true);
        self.trains.forget(base, now - TOLD);
        let mut walk = self.trains.from(base);
        let mut arrival_us = REFERENCE_US * self.arrivals.unwrap(feedback.reference_time.into(), REFERENCE_BITS);
        let mut statuses = (base..).zip(feedback.statuses()).take(MAX_FEEDBACK_STATUSES);
        let results = std::iter::from_fn(|| {
            loop {
                let (number, status) = statuses.next()?;
                let arrived_at = status.delta.map(|delta| {
                    arrival_us += i64::from(delta) * DELTA_US;
                    Duration::from_micros(u64::try_from(arrival_us).unwrap_or(0))
                });
                if let Some(train) = walk.train_of(number) {
                    let (bytes, cluster) = (u32::from(train.bytes), train.cluster);
                    return Some(PacketResult { sent_at: train.at, bytes, arrived_at, cluster, ecn_ce: false });
                }
                if walk.is_over() {
                    return None;
                }
            }
        });
        let (mut told, mut lost) = (0, 0);
        let results = results.inspect(|result| {
            told += 1;
            lost += u32::from(result.arrived_at.is_none());
        });
        self.estimator.feedback(now, results);
        self.lost_share.note(lost, told);
        Ok(())
    }

    /// Takes in feedback of RFC 8888. What it says of packets that were not sent, or long ago, is passed over, and what
    /// it says again.
    ///
    /// # Errors
    /// The reason if it comes too often, or tells of no packet that was sent.
    pub(crate) fn take_ccfb(&mut self, now: Instant, feedback: &Ccfb<'_>) -> Result<(), Discard> {
        self.take_in(now)?;
        if let Some(train) = self.trains.take_ended() {
            self.tell(train);
        }
        self.names.forget_before(self.trains.first());
        let first = self.names.first().ok_or(Discard::UnknownFeedback)?;
        let mut walk = self.trains.from(first);
        let written = self.arrivals.unwrap(feedback.timestamp.into(), CCFB_BITS);
        let mut results = Vec::new();
        self.names.take(feedback, |number, came| {
            let Some(train) = walk.train_of(number) else { return };
            let arrived_at = came.map(|came| {
                // In 1/65,536 s.
                let arrived = u64::try_from(written - (i64::from(came.before) << 6)).unwrap_or(0);
                Duration::from_micros(u64::try_from((u128::from(arrived) * 1_000_000) >> 16).unwrap_or(u64::MAX))
            });
            let (bytes, cluster) = (u32::from(train.bytes), train.cluster);
            let ecn_ce = came.is_some_and(|came| came.ecn == ECN_CE);
            results.push(PacketResult { sent_at: train.at, bytes, arrived_at, cluster, ecn_ce });
        });
        if results.is_empty() {
            return Err(Discard::UnknownFeedback);
        }
        let lost = results.iter().filter(|result| result.arrived_at.is_none()).count();
        self.lost_share.note(u32::try_from(lost).unwrap_or(0), u32::try_from(results.len()).unwrap_or(0));
        (self.is_heard, self.hears_numbers) = (true, true);
        self.estimator.feedback(now, results);
        Ok(())
    }

    /// Takes in an estimate of the receiver's own.
    ///
    /// # Errors
    /// The reason if it comes too often.
    pub(crate) fn take_remb(&mut self, now: Instant, bitrate_bps: u64) -> Result<(), Discard> {
        self.take_in(now)?;
        self.is_heard = true;
        self.estimator.remb(now, bitrate_bps);
        Ok(())
    }

    /// Takes in the loss of a receiver report. It says something only of a receiver that estimates.
    pub(crate) fn take_loss(&mut self, now: Instant, fraction_lost: u8, round_trip: Option<Duration>) {
        if self.is_heard {
            self.estimator.loss_report(now, fraction_lost, round_trip);
        }
    }

    fn take_in(&mut self, now: Instant) -> Result<(), Discard> {
        if !self.feedbacks.is_left(now, FEEDBACK_INTERVAL, FEEDBACKS_AT_ONCE) {
            return Err(Discard::FeedbackTooOften);
        }
        self.feedbacks.take(now, FEEDBACK_INTERVAL);
        Ok(())
    }

    /// What the path carries, in bits per second of UDP and IP; `None` if the receiver does not say anything of which
    /// that could be estimated.
    pub(crate) fn available_bps(&self, now: Instant) -> Option<u64> {
        let is_silent = !self.is_heard && self.begun.is_some_and(|begun| now.since(begun) > SILENT);
        (!is_silent).then(|| self.estimator.bitrate_bps())
    }

    /// Whether the receiver has said what came, or what it estimates.
    pub(crate) const fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// Whether the receiver says so of single packets: what is estimated is what those with a number may take.
    pub(crate) const fn hears_numbers(&self) -> bool {
        self.hears_numbers
    }

    /// The estimate, and why it is what it is.
    pub(crate) const fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    pub(crate) const fn estimator_mut(&mut self) -> &mut Estimator {
        &mut self.estimator
    }

    /// What control is told of the path.
    pub(crate) fn stats(&self, now: Instant) -> OutgoingStats {
        let cause = match self.estimator.cause() {
            Cause::Start => OutgoingCause::Start,
            Cause::Increase => OutgoingCause::Increase,
            Cause::Delay => OutgoingCause::Delay,
            Cause::Ecn => OutgoingCause::Ecn,
            Cause::Loss => OutgoingCause::Loss,
            Cause::Probe => OutgoingCause::Probe,
            Cause::Remb => OutgoingCause::Remb,
            Cause::Silence => OutgoingCause::Silence,
        };
        let queue_us = u32::try_from(self.estimator.queueing_delay().as_micros()).unwrap_or(u32::MAX);
        let (available_bps, lost_share) = (self.available_bps(now), self.lost_share.get());
        OutgoingStats { available_bps, cause, queue_us, wanted_bps: self.wanted_bps, lost_share }
    }

    /// What the receiver's consumers would take if all of it were there. The path is probed for it if that can be done.
    pub(crate) fn set_wanted(&mut self, bitrate_bps: u64, can_probe: bool) {
        self.wanted_bps = bitrate_bps;
        // A step up needs more than it costs: the estimator must look for that much.
        self.estimator.set_wanted(if can_probe { bitrate_bps / 5 * 6 } else { 0 });
    }

    /// Whether they do not have all that: what is sent is looked at again although nothing comes.
    pub(crate) const fn set_unmet(&mut self, is_unmet: bool) {
        self.is_unmet = is_unmet;
    }

    /// What each of the receiver's consumers gets.
    pub(crate) const fn allocation_mut(&mut self) -> &mut Allocation {
        &mut self.allocation
    }

    /// The consumers may take so much.
    pub(crate) fn note_given(&mut self, now: Instant, given_bps: u64) {
        let OutgoingStats { available_bps, cause, queue_us, wanted_bps, .. } = self.stats(now);
        let queue_ms = queue_us / 1_000;
        self.decisions.push_path(now, Decided::Path { available_bps, given_bps, wanted_bps, queue_ms, cause });
    }

    /// What was seen of the path, and decided.
    pub(crate) const fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub(crate) const fn decisions_mut(&mut self) -> &mut Decisions {
        &mut self.decisions
    }

    /// Whether it is time to look at what is sent. It is then not for a while.
    pub(crate) fn is_look_due(&mut self, now: Instant) -> bool {
        let is_due = self.look_at <= now;
        if is_due {
            self.look_at = now + ALLOCATION_INTERVAL;
            (self.has_changed, self.looked_at) = (false, Some(now));
        }
        is_due
    }

    /// Something has changed for one of so many consumers. A look takes as long as there are many of them, so what is
    /// sent to a crowd is not looked at for each: at once, or by itself when it may be.
    pub(crate) fn look_soon(&mut self, now: Instant, consumers: usize) {
        let crowds = u32::try_from(consumers / CROWD).unwrap_or(u32::MAX);
        let rest = CROWD_INTERVAL.saturating_mul(crowds).min(ALLOCATION_INTERVAL);
        self.look_at = self.looked_at.map_or(now, |at| (at + rest).max(now)).min(self.look_at.max(now));
        self.has_changed = true;
    }

    /// With the next look, what the path carries is shared out again: one that comes first from now on takes from those
    /// that had it.
    pub(crate) const fn share_out_again(&mut self) {
        self.shares_out = true;
    }

    /// Whether that is to be done. It is no more.
    pub(crate) const fn take_share_out(&mut self) -> bool {
        std::mem::replace(&mut self.shares_out, false)
    }

    /// When something is to be done next, if nothing comes.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let probe = self.probe.map(|probe| probe.next_at);
        let look = (self.is_unmet || self.has_changed).then_some(self.look_at);
        [self.estimator.next_timeout(), probe, look].into_iter().flatten().min()
    }

    /// So many bytes are to leave now, as part of a probe: of one that is under way, or that is due. Call
    /// [`Self::end_probe`] when they have.
    pub(crate) fn begin_probe(&mut self, now: Instant) -> Option<usize> {
        if self.probe.is_none() {
            let probe = self.estimator.poll_probe(now)?;
            let (bytes_left, packets_left) = (probe.bytes, probe.packets);
            self.probe = Some(UnderWay { probe, bytes_left, packets_left, next_at: now });
        }
        let under_way = self.probe.filter(|probe| probe.next_at <= now)?;
        self.cluster = Some(under_way.probe.cluster);
        // A timer that is late must not make the probe slower; nor the next one, if hardly anything is left for it.
        let (late, left) = (now.since(under_way.next_at), u64::from(under_way.bytes_left));
        let micros = u64::try_from((GROUP + late).as_micros()).unwrap_or(u64::MAX);
        let group = under_way.probe.bitrate_bps.saturating_mul(micros) / 8_000_000;
        let is_last = late > GROUP && group.saturating_mul(2) > left;
        usize::try_from(if is_last { left } else { group.min(left) }.max(1)).ok()
    }

    /// So much has left as part of the probe; if nothing could, then it is over.
    pub(crate) fn end_probe(&mut self, bytes: usize, packets: u32) {
        self.cluster = None;
        let Some(under_way) = &mut self.probe else { return };
        under_way.bytes_left = under_way.bytes_left.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
        under_way.packets_left = under_way.packets_left.saturating_sub(packets);
        // At the rate that it is to have, whatever the last group was.
        let nanos = (bytes as u64).saturating_mul(8_000_000_000) / under_way.probe.bitrate_bps.max(1);
        under_way.next_at = under_way.next_at + Duration::from_nanos(nanos);
        if bytes == 0 || (under_way.bytes_left == 0 && under_way.packets_left == 0) {
            self.probe = None;
        }
    }

    /// When the estimator is to be called next.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

/// A receiver's clock, of which feedback tells the lower bits, unwrapped.
#[derive(Debug, Default)]
struct ArrivalClock {
    /// Time of the last feedback.
    last: Option<i64>,
}

impl ArrivalClock {
    /// The time of a feedback, in its own unit. The clock begins one cycle up, so that what comes from before the first
    /// feedback has a time as well.
    fn unwrap(&mut self, lower: i64, bits: u32) -> i64 {
        let cycle = 1_i64 << bits;
        let last = self.last.unwrap_or_else(|| cycle + lower.rem_euclid(cycle));
        let ahead = (lower - last).rem_euclid(cycle);
        let ahead = if ahead < cycle / 2 { ahead } else { ahead - cycle };
        let now = last + ahead;
        self.last = Some(now);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{self, Packet, TransportCcHead, Writer};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const SETTINGS: Settings = Settings { initial_bps: 600_000, minimum_bps: 30_000, maximum_bps: 20_000_000 };

    #[test]
    fn a_receivers_clock_wraps() {
        let mut clock = ArrivalClock::default();
        let first = clock.unwrap(0x7f_ffff, REFERENCE_BITS);
        assert_eq!(clock.unwrap(-0x80_0000, REFERENCE_BITS) - first, 1, "24 bits, signed");
        assert_eq!(clock.unwrap(0x7f_fffe, REFERENCE_BITS) - first, -1);
        let mut clock = ArrivalClock::default();
        let first = clock.unwrap(-1, REFERENCE_BITS);
        assert_eq!(clock.unwrap(1, REFERENCE_BITS) - first, 2);
        assert!(first > 0);
        let mut clock = ArrivalClock::default();
        let first = clock.unwrap(0xffff_ffff, CCFB_BITS);
        assert_eq!(clock.unwrap(5, CCFB_BITS) - first, 6);
    }

    /// Looks during one second in which something changes every millisecond for one of so many consumers.
    fn looks(sending: &mut Sending, consumers: usize) -> usize {
        let changes = (1_000..2_000).map(|millis| {
            sending.look_soon(at(millis), consumers);
            usize::from(sending.is_look_due(at(millis)))
        });
        changes.sum()
    }

    #[test]
    fn a_crowd_is_not_looked_at_for_each_of_it() {
        for (consumers, most) in [(1, 1_000), (CROWD - 1, 1_000), (1_000, 67), (20_000, 5), (usize::MAX, 5)] {
            let mut sending = Sending::new(at(1_000), 0, SETTINGS);
            assert_eq!(looks(&mut sending, consumers), most, "{consumers} consumers");
            // What came last is looked at although nothing comes.
            sending.look_soon(at(1_999), consumers);
            let due = sending.next_timeout().expect("something has changed");
            assert!(due <= at(1_999) + ALLOCATION_INTERVAL && sending.is_look_due(due), "{consumers} consumers");
            assert_ne!(sending.next_timeout(), Some(due), "once");
        }
    }

    /// A feedback as the worker gets it: `deltas` in 250 µs.
    fn feed(sending: &mut Sending, now: Instant, base: (u16, u64), deltas: &[Option<i16>]) -> Result<(), Discard> {
        let (base_sequence, arrived_ms) = base;
        let mut bytes = [0; 1_200];
        let mut writer = Writer::new(&mut bytes);
        let reference_time = i32::try_from(arrived_ms / 64).expect("soon");
        let head = TransportCcHead { sender_ssrc: 1, media_ssrc: 2, base_sequence, reference_time, feedback_count: 0 };
        assert!(writer.push_transport_cc(&head, deltas.iter().copied()));
        let len = writer.len();
        let Ok(mut packets) = rtcp::parse(&bytes[..len]) else { panic!("lawful") };
        let Some(Packet::TransportCc(feedback)) = packets.next() else { panic!("what was written") };
        sending.take_feedback(now, &feedback)
    }

    /// Ten packets of 1,000 bytes every 20 ms, 4 Mbit/s, which arrive 30 ms later and of which the receiver tells every
    /// 60 ms; `lost` are not there.
    fn run(sending: &mut Sending, seconds: u64, lost: impl Fn(u64) -> bool) {
        let mut number = 0;
        for frame in 1..=seconds * 50 {
            let now = at(frame * 20);
            (0..10).for_each(|_| sending.sent(now, 1_000, None));
            number += 10;
            if frame % 3 == 0 {
                let (base, first_ms) = (number - 30, frame * 20 - 40 + 30);
                let (mut last_ms, mut deltas) = (first_ms / 64 * 64, Vec::new());
                for n in 0..30 {
                    let arrived_ms = first_ms + n / 10 * 20;
                    let delta = i16::try_from((arrived_ms - last_ms) * 4).expect("short");
                    let is_there = !lost(base + n);
                    last_ms = if is_there { arrived_ms } else { last_ms };
                    deltas.push(Some(delta).filter(|_| is_there));
                }
                assert_eq!(feed(sending, at(frame * 20 + 40), (base as u16, first_ms), &deltas), Ok(()));
            }
        }
    }

    #[test]
    fn the_estimate_follows_what_the_receiver_says() {
        let mut sending = Sending::new(at(0), 0, SETTINGS);
        assert!(!sending.is_heard());
        assert_eq!(sending.available_bps(at(0)), Some(600_000), "what it begins with");
        run(&mut sending, 10, |_| false);
        let wide = sending.available_bps(at(10_000)).expect("it is heard");
        assert!(wide > 3_500_000, "{wide}");
        assert!(sending.estimator().acknowledged_bps().is_some_and(|bps| bps > 3_500_000));
        assert_eq!(sending.stats(at(10_000)).lost_share, 0);
        let mut sending = Sending::new(at(0), 0, SETTINGS);
        run(&mut sending, 10, |number| number.is_multiple_of(3));
        let lossy = sending.available_bps(at(10_000)).expect("it is heard");
        assert!(lossy < wide / 2, "{lossy} of {wide}");
        let stats = sending.stats(at(10_000));
        assert_eq!(stats.cause, OutgoingCause::Loss);
        assert!(stats.lost_share.abs_diff(u16::MAX / 3) < 100, "{stats:?}");
    }

    /// However slow it is: a packet may be longer than what is to leave at once.
    #[test]
    fn a_probe_ends() {
        for bps in [30_000, 600_000, 5_000_000] {
            let settings = Settings { initial_bps: bps, ..SETTINGS };
            let mut sending = Sending::new(at(0), 0, settings);
            sending.set_wanted(30_000_000, true);
            sending.sent(at(0), 1_000, None);
            sending.sent(at(1), 500, None);
            let (mut bytes, mut now) = (0, at(2));
            while let Some(group) = sending.begin_probe(now) {
                let packets = group.div_ceil(300);
                (0..packets).for_each(|_| sending.sent(now, 300, None));
                sending.end_probe(packets * 300, u32::try_from(packets).expect("few"));
                bytes += packets * 300;
                now = sending.next_timeout().expect("goes on").max(now + Duration::from_millis(1));
                assert!(bytes < 200_000, "{bps}: {sending:?}");
            }
            assert!(bytes >= 5_000, "{bps}: {bytes}");
        }
    }

    /// Timers of a busy worker are milliseconds late: a probe has the rate that it is to have all the same.
    #[test]
    fn a_probe_is_as_fast_as_it_should_be_though_timers_are_late() {
        for late_ms in [0, 1, 5, 12] {
            let mut sending = Sending::new(at(0), 0, SETTINGS);
            sending.set_wanted(30_000_000, true);
            sending.sent(at(0), 1_000, None);
            sending.sent(at(1), 500, None);
            let (mut now, mut sizes) = (at(2), Vec::new());
            while let Some(group) = sending.begin_probe(now) {
                let packets = group.div_ceil(300);
                sizes.push((now, packets * 300));
                sending.end_probe(packets * 300, u32::try_from(packets).expect("few"));
                now = sending.next_timeout().expect("goes on").max(now) + Duration::from_millis(late_ms);
            }
            // The first group's time is before the last one's, and so are the bytes that count.
            let (first, last) = (sizes.first().expect("some"), sizes.last().expect("some"));
            let bytes: usize = sizes.iter().map(|(_, bytes)| bytes).sum();
            let bps = (bytes - first.1) as f64 * 8.0 / last.0.since(first.0).as_secs_f64();
            assert!(bps > 0.8 * 1_800_000.0, "{late_ms} ms late: {bps} of 1,800,000, {sizes:?}");
        }
    }

    #[test]
    fn who_says_nothing_is_estimated_nothing() {
        let mut sending = Sending::new(at(0), 0, SETTINGS);
        (0..200).for_each(|n| sending.sent(at(n * 20), 1_000, None));
        assert_eq!(sending.available_bps(at(1_000)), Some(600_000));
        assert_eq!(sending.available_bps(at(4_000)), None);
        assert_eq!(sending.take_remb(at(4_000), 900_000), Ok(()));
        assert_eq!(sending.available_bps(at(4_000)), Some(900_000));
    }

    #[test]
    fn feedback_of_what_was_not_sent_or_too_often_changes_nothing() {
        let mut sending = Sending::new(at(0), 0, SETTINGS);
        run(&mut sending, 2, |_| false);
        let before = sending.available_bps(at(2_000));
        assert_eq!(feed(&mut sending, at(2_100), (20_000, 2_000), &[Some(1); 100]), Err(Discard::UnknownFeedback));
        // The last ten packets, and 90 that were not sent.
        assert_eq!(feed(&mut sending, at(2_100), (990, 2_000), &[Some(0); 100]), Ok(()));
        let results: Vec<_> = (0..1_000).map(|_| feed(&mut sending, at(2_101), (990, 2_000), &[Some(0); 10])).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 48, "of a thousand in a millisecond");
        assert_eq!(results.last(), Some(&Err(Discard::FeedbackTooOften)));
        assert!(sending.available_bps(at(2_001)) <= before.map(|bps| bps * 2));
    }
}
