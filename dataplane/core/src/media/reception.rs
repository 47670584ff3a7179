//! Reception statistics of a stream (RFC 3550 appendix A.3, A.8).

use std::time::Duration;

use corecast_wire::StreamStats;

use super::history::PacketMeta;
use super::sequence::FIRST_CYCLE;
use crate::codec::PictureIds;
use crate::rtcp::ReportBlock;
use crate::time::{Instant, middle};

/// A sender's word on its clocks (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderReport {
    /// NTP time, and RTP time of the same moment.
    pub(crate) ntp: u64,
    pub(crate) rtp_timestamp: u32,
    /// When it came.
    pub(crate) at: Instant,
}

/// How a packet came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// By the retransmission stream.
    pub(crate) rtx: bool,
    /// Its sender has started again, with other sequence numbers.
    pub(crate) restart: bool,
    /// RTP clock of its media, in Hz.
    pub(crate) clock_rate_hz: u32,
    /// It is sound.
    pub(crate) sound: bool,
    /// Bytes of the packet with its headers and padding, without what SRTP and retransmission add.
    pub(crate) rtp_len: u16,
}

/// A packet with the highest sequence number so far.
#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: u64,
    timestamp: u32,
    /// When the first packet with this timestamp came.
    at: Instant,
}

/// A timestamp further behind the one before than this, or further ahead of the time that has passed, is a jump of the
/// sender's clock. What is less may be pictures that are not sent in the order in which they are shown.
const CLOCK_JUMP_S: i64 = 1;

/// Sender reports of two streams that disagree with their packets' arrival by more than this are not believed.
const MAX_DISAGREEMENT_S: u32 = 5;

/// Reception statistics of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reception {
    packets: u64,
    bytes: u64,
    repeated: u64,
    repaired: u64,
    nacks: u64,
    nacked_packets: u64,
    plis: u64,
    firs: u64,
    key_frames: u64,
    fraction_lost: u8,
    base: Option<u64>,
    received_since_base: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Interarrival jitter times 16.
    jitter_16: u32,
    transit: Option<u32>,
    /// What sender reports extrapolate from.
    newest: Option<Newest>,
    /// The numbers of the newest packet's picture, of one stream among several.
    picture_ids: PictureIds,
    sender_report: Option<SenderReport>,
    /// To its sender and back, if it answers reference times.
    round_trip: Option<Duration>,
}

impl Reception {
    /// One packet of the stream, first come, late, or by RTX: what that repairs was lost all the same, and its time of
    /// arrival says nothing (RFC 4588 section 4).
    pub(crate) fn packet(&mut self, meta: &PacketMeta, clock_rate_hz: u32, rtx: bool) {
        self.packets += 1;
        self.bytes += u64::from(meta.payload_len);
        if rtx {
            return;
        }
        self.received_since_base += 1;
        self.base = Some(self.base.map_or(meta.sequence, |base| base.min(meta.sequence)));
        self.follow_clock(meta, clock_rate_hz);
        self.measure_jitter(meta, clock_rate_hz);
    }

    /// A packet came that was there already.
    pub(super) const fn count_repeated(&mut self) {
        self.repeated += 1;
    }

    /// A packet came that had been asked for, if so.
    pub(super) fn count_repaired(&mut self, repaired: bool) {
        self.repaired += u64::from(repaired);
    }

    pub(super) const fn count_key_frame(&mut self) {
        self.key_frames += 1;
    }

    /// The sender was asked for so many packets.
    pub(super) const fn count_nack(&mut self, packets: usize) {
        self.nacks += 1;
        self.nacked_packets += packets as u64;
    }

    pub(super) fn count_key_frame_request(&mut self, fir: bool) {
        self.plis += u64::from(!fir);
        self.firs += u64::from(fir);
    }

    pub(super) const fn set_picture_ids(&mut self, ids: PictureIds) {
        self.picture_ids = ids;
    }

    /// The numbers of the newest packet's picture, of one stream among several.
    pub(crate) const fn picture_ids(&self) -> PictureIds {
        self.picture_ids
    }

    /// What one was at `now` whose newest timestamp was this, of a picture with these numbers.
    pub(super) fn ended(now: Instant, timestamp: u32, picture_ids: PictureIds) -> Self {
        Self { newest: Some(Newest { sequence: 0, timestamp, at: now }), picture_ids, ..Self::default() }
    }

    /// The same without what the sender said of its clocks.
    pub(super) const fn without_report(mut self) -> Self {
        self.sender_report = None;
        self
    }

    /// Newest RTP timestamp and when it came: what sender reports extrapolate from.
    pub(crate) fn newest(&self) -> Option<(u32, Instant)> {
        self.newest.map(|newest| (newest.timestamp, newest.at))
    }

    /// The highest timestamp since the sender's clock last jumped.
    pub(crate) fn highest_timestamp(&self) -> Option<u32> {
        self.newest.map(|newest| newest.timestamp)
    }

    /// The sender has reported on its clocks.
    pub(crate) const fn set_sender_report(&mut self, report: SenderReport) {
        self.sender_report = Some(report);
    }

    /// To the sender and back, if it answers reference times.
    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) const fn set_round_trip(&mut self, time: Duration) {
        self.round_trip = Some(time);
    }

    /// Counters, for control; `highest` is the stream's highest sequence number.
    pub(super) fn stats(&self, highest: Option<u64>) -> StreamStats {
        StreamStats {
            packet_count: self.packets,
            byte_count: self.bytes,
            packets_lost: self.lost(highest),
            fraction_lost: self.fraction_lost,
            jitter: self.jitter(),
            packets_repeated: self.repeated,
            packets_repaired: self.repaired,
            nack_count: self.nacks,
            nack_packet_count: self.nacked_packets,
            pli_count: self.plis,
            fir_count: self.firs,
            key_frames: self.key_frames,
            round_trip_us: self.round_trip.map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)),
            ..StreamStats::default()
        }
    }

    /// The sender's clock is what packets in the order of their sequence numbers say. Where it jumps, what was known of
    /// it before no longer holds.
    fn follow_clock(&mut self, meta: &PacketMeta, clock_rate_hz: u32) {
        let PacketMeta { sequence, timestamp, arrived: at, .. } = *meta;
        let Some(newest) = self.newest.as_mut() else {
            self.newest = Some(Newest { sequence, timestamp, at });
            return;
        };
        if sequence <= newest.sequence {
            return;
        }
        newest.sequence = sequence;
        let ahead = i64::from(timestamp.wrapping_sub(newest.timestamp).cast_signed());
        let limit = CLOCK_JUMP_S * i64::from(clock_rate_hz);
        let passed = || i64::try_from(at.ticks_since(newest.at, clock_rate_hz)).unwrap_or(i64::MAX);
        let has_jumped = ahead < -limit || (ahead > limit && ahead.saturating_sub(passed()) > limit);
        if ahead > 0 || has_jumped {
            (newest.timestamp, newest.at) = (timestamp, at);
        }
        if has_jumped {
            self.sender_report = None;
            self.transit = None;
        }
    }

    /// RFC 3550 appendix A.8.
    fn measure_jitter(&mut self, meta: &PacketMeta, clock_rate_hz: u32) {
        let arrival = meta.arrived.ticks(clock_rate_hz);
        #[expect(clippy::cast_possible_truncation, reason = "RTP time wraps")]
        let transit = (arrival as u32).wrapping_sub(meta.timestamp);
        if let Some(previous) = self.transit.replace(transit) {
            let deviation = transit.wrapping_sub(previous).cast_signed().unsigned_abs();
            let decay = self.jitter_16.saturating_add(8) >> 4;
            self.jitter_16 = self.jitter_16.saturating_sub(decay).saturating_add(deviation);
        }
    }

    const fn jitter(&self) -> u32 {
        self.jitter_16 >> 4
    }

    pub(super) fn restart(&mut self) {
        self.base = None;
        self.received_since_base = 0;
        self.expected_prior = 0;
        self.received_prior = 0;
        self.transit = None;
        self.newest = None;
        self.sender_report = None;
    }

    /// By how much RTP time here is ahead of RTP time there, at any one moment. Both senders' reports tell, or else the
    /// arrival of the newest packets of both.
    pub(crate) fn ahead_of(&self, other: &Self, clock_rate_hz: u32) -> Option<u32> {
        #[expect(clippy::cast_possible_truncation, reason = "RTP time wraps")]
        let ticks = |elapsed: i128, per_s: u32| (elapsed * i128::from(clock_rate_hz) / i128::from(per_s)) as u32;
        let (ours, theirs) = (self.newest()?, other.newest()?);
        let later = i128::from(theirs.1.as_nanos()) - i128::from(ours.1.as_nanos());
        let by_arrival = ours.0.wrapping_sub(theirs.0).wrapping_add(ticks(later, 1_000_000_000));
        let (Some(ours), Some(theirs)) = (self.sender_report, other.sender_report) else { return Some(by_arrival) };
        let later = i128::from(theirs.ntp.wrapping_sub(ours.ntp).cast_signed());
        let elapsed = (later * 1_000_000_000) >> 32;
        let by_report =
            ours.rtp_timestamp.wrapping_sub(theirs.rtp_timestamp).wrapping_add(ticks(elapsed, 1_000_000_000));
        let disagreement = by_report.wrapping_sub(by_arrival).cast_signed().unsigned_abs();
        let is_believed = disagreement <= clock_rate_hz.saturating_mul(MAX_DISAGREEMENT_S);
        Some(if is_believed { by_report } else { by_arrival })
    }

    /// RTP time at `now`, when the sender's NTP clock shows `ntp`: as its report tells or, if there is none, as the
    /// newest packet's arrival does.
    pub(crate) fn timestamp_at(&self, now: Instant, ntp: Option<u64>, clock_rate_hz: u32) -> Option<u32> {
        let (timestamp, at) = self.newest()?;
        #[expect(clippy::cast_possible_truncation, reason = "RTP time wraps")]
        let by_arrival = timestamp.wrapping_add(now.ticks_since(at, clock_rate_hz) as u32);
        let Some((report, ntp)) = self.sender_report.zip(ntp) else { return Some(by_arrival) };
        let later = i128::from(ntp.wrapping_sub(report.ntp).cast_signed());
        #[expect(clippy::cast_possible_truncation, reason = "RTP time wraps")]
        let by_report = report.rtp_timestamp.wrapping_add(((later * i128::from(clock_rate_hz)) >> 32) as u32);
        let disagreement = by_report.wrapping_sub(by_arrival).cast_signed().unsigned_abs();
        let is_believed = disagreement <= clock_rate_hz.saturating_mul(MAX_DISAGREEMENT_S);
        Some(if is_believed { by_report } else { by_arrival })
    }

    /// Packets that should have come since the first.
    fn expected(&self, highest: u64) -> u64 {
        self.base.map_or(0, |base| highest.saturating_sub(base) + 1)
    }

    /// Packets that should have come, and that came.
    pub(crate) fn counts(&self, highest: Option<u64>) -> (u64, u64) {
        (highest.map_or(0, |highest| self.expected(highest)), self.received_since_base)
    }

    fn lost(&self, highest: Option<u64>) -> i64 {
        let (expected, received) = self.counts(highest);
        expected.cast_signed().saturating_sub(received.cast_signed())
    }

    /// The block of the next receiver report (RFC 3550 section 6.4.1, appendix A.3).
    pub(crate) fn report(&mut self, now: Instant, ssrc: u32, highest: u64) -> ReportBlock {
        let expected = self.expected(highest);
        let expected_now = expected.saturating_sub(self.expected_prior);
        let received_now = self.received_since_base.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received_since_base;
        let lost_now = expected_now.saturating_sub(received_now);
        self.fraction_lost = (lost_now * 256).checked_div(expected_now).map_or(0, |lost| lost.min(255) as u8);
        let (last_sr, delay) = self.sender_report.map_or((0, 0), |report| {
            let delay = now.since(report.at).as_nanos() * 65_536 / 1_000_000_000;
            (middle(report.ntp), u32::try_from(delay).unwrap_or(u32::MAX))
        });
        #[expect(clippy::cast_possible_truncation, reason = "clamped to 24 bits; 16 + 16 bits of an extended number")]
        ReportBlock {
            ssrc,
            fraction_lost: self.fraction_lost,
            cumulative_lost: self.lost(Some(highest)).clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: highest.wrapping_sub(FIRST_CYCLE) as u32,
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr: delay,
        }
    }
}
