//! Round trips of senders and receivers (RFC 3550 section 6.4.1; RFC 3611 sections 4.4 and 4.5).
//!
//! A receiver's round trip is in the report that answers our sender report. A sender's is in its answer to our
//! reference time, because a sender need not report anything else; and we answer the reference times of others.

use super::Worker;
use crate::key::TransportKey;
use crate::rtcp::{DlrrBlock, Xr, XrBlock};
use crate::time::{Instant, middle, ntp_time, round_trip};
use crate::transport::ReferenceTime;

impl Worker {
    pub(crate) fn take_extended_report(&mut self, now: Instant, key: TransportKey, report: Xr<'_>) {
        for block in report.blocks() {
            match block {
                XrBlock::ReceiverReferenceTime { ntp } => {
                    if let Some(transport) = self.transports.get_mut(key) {
                        transport.clocks_mut().record(ReferenceTime::new(report.sender_ssrc, middle(ntp), now));
                    }
                }
                XrBlock::Dlrr(blocks) => blocks.for_each(|block| self.take_dlrr(now, key, block)),
                XrBlock::Other { .. } => {}
            }
        }
    }

    /// A sender's answer to our reference time. Whichever of its SSRCs it comes under, it has come the way that all
    /// take (str0m answers under one of them).
    fn take_dlrr(&mut self, now: Instant, key: TransportKey, block: DlrrBlock) {
        let Some(transport) = self.transports.get(key).filter(|transport| transport.rtcp_ssrc() == block.ssrc) else {
            return;
        };
        let ntp = middle(ntp_time(self.config.unix_time_ns, now));
        let Some(time) = round_trip(ntp, block.last_rr, block.delay_since_last_rr) else { return };
        for inbound in transport.inbound() {
            if let Some(stream) = self.streams.get_mut(inbound.stream) {
                stream.reception_mut().set_round_trip(time);
            }
        }
    }
}
