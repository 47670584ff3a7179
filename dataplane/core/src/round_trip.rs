//! Round trips of those who send and those who receive (RFC 3550 section 6.4.1; RFC 3611 sections 4.4 and 4.5).
//!
//! To a receiver, a sender report and the receiver report that answers it tell. To a sender, which reports nothing that
//! we could answer ourselves, our reference time and its DLRR do; and we answer the reference times of others.

use std::time::Duration;

use crate::limits::MAX_REFERENCE_TIMES;
use crate::reports::ntp_time;
use crate::rtcp::{DlrrBlock, Xr, XrBlock};
use crate::time::Instant;
use crate::worker::Worker;

/// Middle 32 bits of an NTP timestamp: seconds in 16.16 bits (RFC 3550 section 4).
pub(crate) const fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The round trip of what left at `sent`, waited for `delay` and has come back `now`, all of them in 1/65,536 s. `None`
/// if nothing is answered, or what cannot be.
pub(crate) fn round_trip(now: u32, sent: u32, delay: u32) -> Option<Duration> {
    let elapsed = now.wrapping_sub(sent).wrapping_sub(delay).cast_signed();
    let elapsed = u64::try_from(elapsed).ok().filter(|_| sent != 0)?;
    Some(Duration::from_nanos(elapsed.max(1) * 1_000_000_000 / 65_536))
}

/// A receiver's clock, as it said last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferenceTime {
    ssrc: u32,
    ntp: u32,
    at: Instant,
}

impl ReferenceTime {
    /// What it is answered at `now`.
    pub(crate) fn answer(self, now: Instant) -> DlrrBlock {
        let delay = now.since(self.at).as_nanos() * 65_536 / 1_000_000_000;
        let delay_since_last_rr = u32::try_from(delay).unwrap_or(u32::MAX);
        DlrrBlock { ssrc: self.ssrc, last_rr: self.ntp, delay_since_last_rr }
    }
}

impl Worker {
    pub(crate) fn take_extended_report(&mut self, now: Instant, key: usize, report: Xr<'_>) {
        for block in report.blocks() {
            match block {
                XrBlock::ReceiverReferenceTime { ntp } => {
                    let time = ReferenceTime { ssrc: report.sender_ssrc, ntp: middle(ntp), at: now };
                    self.note_reference_time(key, time);
                }
                XrBlock::Dlrr(blocks) => blocks.for_each(|block| self.take_dlrr(now, key, block)),
                XrBlock::Other { .. } => {}
            }
        }
    }

    /// To be answered with the next reports: the last time of each receiver, and no more receivers than a few.
    fn note_reference_time(&mut self, key: usize, time: ReferenceTime) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let times = &mut transport.reference_times;
        if let Some(known) = times.iter_mut().find(|known| known.ssrc == time.ssrc) {
            *known = time;
        } else if times.len() < MAX_REFERENCE_TIMES {
            times.push(time);
        }
    }

    /// A sender's answer to our reference time. Whichever of its SSRCs it comes under, it has come the way that all
    /// take (str0m answers under one of them).
    fn take_dlrr(&mut self, now: Instant, key: usize, block: DlrrBlock) {
        let Some(transport) = self.transports.get(key).filter(|transport| transport.rtcp_ssrc == block.ssrc) else {
            return;
        };
        let ntp = middle(ntp_time(self.config.unix_time_ns, now));
        let Some(time) = round_trip(ntp, block.last_rr, block.delay_since_last_rr) else { return };
        for inbound in &transport.inbound {
            if let Some(stream) = self.streams.get_mut(inbound.stream) {
                stream.reception.round_trip = Some(time);
            }
        }
    }

    /// A source leaves (RFC 3550 section 6.6): its stream is not reported on any more, nor anything asked for that it
    /// still misses. If it sends again, it goes on as if nothing had been: a forged BYE on a plain transport does no
    /// harm.
    pub(crate) fn take_bye(&mut self, key: usize, ssrc: u32) {
        let inbound = self.transports.get(key).and_then(|transport| transport.inbound(ssrc));
        let stream = inbound.filter(|inbound| !inbound.rtx).and_then(|inbound| self.streams.get_mut(inbound.stream));
        if let Some(stream) = stream {
            stream.has_ended = true;
            stream.missing.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_what_is_left_of_the_time_since() {
        assert_eq!(round_trip(65_536 * 3, 65_536, 65_536), Some(Duration::from_secs(1)));
        assert_eq!(round_trip(10, u32::MAX - 9, 10), Some(Duration::from_nanos(10 * 1_000_000_000 / 65_536)));
        assert_eq!(round_trip(65_536, 0, 0), None, "nothing was answered");
        assert_eq!(round_trip(65_536, 65_000, 1_000), None, "waited for longer than it was away");
    }
}
