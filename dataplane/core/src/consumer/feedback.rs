//! What a consumer's receiver has said of its media.

use std::time::Duration;

use crate::limits::{
    KEY_FRAME_RATION, KEY_FRAMES_AT_ONCE, KEY_FRAMES_SELDOM, VAIN_REQUEST_RATION, VAIN_REQUESTS_AT_ONCE,
};
use crate::ration::Ration;
use crate::rtcp::ReportBlock;
use crate::time::{Instant, round_trip};

/// What a consumer's receiver has said.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    pub(super) nacks: u64,
    pub(super) nacked_packets: u64,
    pub(super) plis: u64,
    pub(super) firs: u64,
    pub(super) packets_lost: i32,
    pub(super) fraction_lost: u8,
    pub(super) jitter: u32,
    pub(super) round_trip: Option<Duration>,
    /// Key frames that it may still cause, and packets for which it may still ask in vain.
    key_frames: Ration,
    vain_requests: Ration,
    /// When it last caused a key frame.
    caused: Option<Instant>,
}

impl Feedback {
    /// Takes a block of a receiver report, at NTP time `now` (its middle 32 bits; RFC 3550 section 6.4.1).
    pub(crate) fn report(&mut self, now: u32, report: &ReportBlock) {
        self.fraction_lost = report.fraction_lost;
        self.packets_lost = report.cumulative_lost;
        self.jitter = report.jitter;
        if let Some(time) = round_trip(now, report.last_sr, report.delay_since_last_sr) {
            self.round_trip = Some(time);
        }
    }

    /// Counts a message that asks for packets again.
    pub(crate) const fn count_nack(&mut self) {
        self.nacks += 1;
    }

    /// Counts a packet that was asked for again.
    pub(crate) const fn count_nacked_packet(&mut self) {
        self.nacked_packets += 1;
    }

    /// Counts a request for a key frame.
    pub(crate) fn count_key_frame_request(&mut self, fir: bool) {
        self.plis += u64::from(!fir);
        self.firs += u64::from(fir);
    }

    /// Whether the receiver may cause one more key frame, which everybody pays for. Counts it if so. Those who ask
    /// often have one ration together, `shared`: several bad paths cost hardly more than one, and who asks seldom does
    /// not wait for them.
    pub(crate) fn may_cause_key_frame(&mut self, now: Instant, shared: &mut Ration) -> bool {
        let is_left = |ration: &Ration| ration.is_left(now, KEY_FRAME_RATION, KEY_FRAMES_AT_ONCE);
        let asks_often = self.caused.is_some_and(|at| now.since(at) < KEY_FRAMES_SELDOM);
        if !is_left(&self.key_frames) || (asks_often && !is_left(shared)) {
            return false;
        }
        self.key_frames.take(now, KEY_FRAME_RATION);
        if asks_often {
            shared.take(now, KEY_FRAME_RATION);
        }
        self.caused = Some(now);
        true
    }

    /// Whether packets are looked for that the receiver asks for.
    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        self.vain_requests.is_left(now, VAIN_REQUEST_RATION, VAIN_REQUESTS_AT_ONCE)
    }

    /// The receiver has asked for a packet that is not there.
    pub(crate) fn count_vain_request(&mut self, now: Instant) {
        self.vain_requests.take(now, VAIN_REQUEST_RATION);
    }

    /// To the receiver and back, once a report has told.
    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}
