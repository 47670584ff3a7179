//! Clocks of receivers, which are answered with the next reports (RFC 3611 sections 4.4 and 4.5).

use crate::rtcp::DlrrBlock;
use crate::time::Instant;

/// A receiver's clock, as it said last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferenceTime {
    pub(crate) ssrc: u32,
    pub(crate) ntp: u32,
    pub(crate) at: Instant,
}

impl ReferenceTime {
    /// What it is answered at `now`.
    pub(crate) fn answer(self, now: Instant) -> DlrrBlock {
        let delay = now.since(self.at).as_nanos() * 65_536 / 1_000_000_000;
        let delay_since_last_rr = u32::try_from(delay).unwrap_or(u32::MAX);
        DlrrBlock { ssrc: self.ssrc, last_rr: self.ntp, delay_since_last_rr }
    }
}
