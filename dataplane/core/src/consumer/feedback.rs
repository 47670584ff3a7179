//! What a consumer's receiver has said of its media.

use std::time::Duration;

use crate::rtcp::ReportBlock;
use crate::time::round_trip;

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

    /// To the receiver and back, once a report has told.
    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}
