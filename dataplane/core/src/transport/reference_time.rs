//! Clocks of receivers, which are answered with the next reports (RFC 3611 sections 4.4 and 4.5).

use crate::rtcp::DlrrBlock;
use crate::time::Instant;

/// A receiver's clock, as it said last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferenceTime {
    ssrc: u32,
    ntp: u32,
    at: Instant,
}

impl ReferenceTime {
    /// The clock of the receiver `ssrc` showed `ntp` (the middle 32 bits) when its report came, `at`.
    pub(crate) const fn new(ssrc: u32, ntp: u32, at: Instant) -> Self {
        Self { ssrc, ntp, at }
    }

    /// Whether both are of one receiver.
    pub(super) const fn is_of(self, other: Self) -> bool {
        self.ssrc == other.ssrc
    }

    /// What it is answered at `now`.
    pub(super) fn answer(self, now: Instant) -> DlrrBlock {
        let delay = now.since(self.at).as_nanos() * 65_536 / 1_000_000_000;
        let delay_since_last_rr = u32::try_from(delay).unwrap_or(u32::MAX);
        DlrrBlock { ssrc: self.ssrc, last_rr: self.ntp, delay_since_last_rr }
    }
}
