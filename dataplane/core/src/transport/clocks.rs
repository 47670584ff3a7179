//! Clocks of a transport's peer: that of what it sends, and those of receivers, which are answered with the next
//! reports (RFC 3611 sections 4.4 and 4.5).

use crate::limits::MAX_REFERENCE_TIMES;
use crate::media::SenderClock;
use crate::rtcp::DlrrBlock;
use crate::time::Instant;

/// What is known of the peer's clocks.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    sender: SenderClock,
    reference_times: Vec<ReferenceTime>,
}

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

impl Clocks {
    /// The clock of the peer, to which the reports of all its streams refer.
    pub(crate) const fn sender(&self) -> &SenderClock {
        &self.sender
    }

    pub(crate) const fn sender_mut(&mut self) -> &mut SenderClock {
        &mut self.sender
    }

    /// Keeps a receiver's clock, to be answered with the next reports: the last one of each receiver, and of a few
    /// receivers only.
    pub(crate) fn record(&mut self, time: ReferenceTime) {
        if let Some(known) = self.reference_times.iter_mut().find(|known| known.is_of(time)) {
            *known = time;
        } else if self.reference_times.len() < MAX_REFERENCE_TIMES {
            self.reference_times.push(time);
        }
    }

    /// Answers to the clocks of receivers.
    pub(crate) fn answers(&self, now: Instant) -> Vec<DlrrBlock> {
        self.reference_times.iter().map(|time| time.answer(now)).collect()
    }

    /// The clocks of receivers have been answered.
    pub(crate) fn clear(&mut self) {
        self.reference_times.clear();
    }
}
