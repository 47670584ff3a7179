//! Receiver estimated maximum bitrate to senders (draft-alvestrand-rmcat-remb-03), for senders without
//! transport-wide feedback, which have no other estimate; and the limit that a transport was made with, for all.
//!
//! A sender keeps to what it was told last for as long as it lives. So when neither holds any longer (the producer for
//! which it was estimated has gone), the cap is *lifted*: a value that caps nothing is announced, a few times.
//!
//! The estimate is simple: half as much again as has arrived, at least [`MIN_BPS`], so that a sender can double in two
//! seconds. It rises while at most 2 percent are lost and falls while more than 10 percent are, to what has arrived
//! less half of the loss (the loss controller of draft-ietf-rmcat-gcc-02 section 6). It does not fall when a sender
//! merely sends little.

use std::time::Duration;

use crate::io::Deadline;
use crate::limits::REMB_INTERVAL;
use crate::time::Instant;

/// Least that is announced, unless the transport's limit is lower.
const MIN_BPS: u64 = 300_000;
/// Between two looks; twice that between two messages, unless the value falls.
const LOOK: Duration = Duration::from_millis(500);
/// What caps no sender, and how many times it is announced: messages are lost.
const LIFTED_BPS: u64 = 10_000_000_000;
const LIFTED_TIMES: u8 = 3;
const _: () = assert!(LOOK.as_millis() * 2 == REMB_INTERVAL.as_millis());

/// What a transport's senders are told.
#[derive(Debug)]
pub(crate) struct Remb {
    bytes: u64,
    since: Instant,
    /// Packets that should have come, and that came, when they were last looked at.
    expected: u64,
    received: u64,
    estimate_bps: u64,
    announced: Option<(u64, Instant)>,
    /// Times that the last cap has still to be lifted.
    to_lift: u8,
    deadline: Deadline,
}

impl Remb {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bytes: 0,
            since: now,
            expected: 0,
            received: 0,
            estimate_bps: MIN_BPS,
            announced: None,
            to_lift: 0,
            deadline: Deadline::default(),
        }
    }

    /// Records a packet of so many bytes. Returns when to look next.
    pub(crate) fn record(&mut self, now: Instant, bytes: usize) -> Instant {
        self.bytes += bytes as u64;
        now + LOOK
    }

    /// When to look at what has come.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Bits per second that should get through.
    pub(crate) const fn estimate_bps(&self) -> u64 {
        self.estimate_bps
    }

    /// A value was announced.
    pub(crate) const fn announced(&mut self, now: Instant, bps: u64) {
        self.announced = Some((bps, now));
        self.to_lift = if bps < LIFTED_BPS { LIFTED_TIMES } else { self.to_lift.saturating_sub(1) };
    }

    /// What to announce where nothing limits the senders: what lifts a cap that they were told.
    pub(crate) const fn lifted(&self) -> Option<u64> {
        if self.to_lift > 0 { Some(LIFTED_BPS) } else { None }
    }

    /// Senders keep to a cap that they were told.
    pub(crate) const fn is_capping(&self) -> bool {
        self.to_lift > 0
    }

    /// Looks at what has come since the last time.
    pub(crate) fn estimate(&mut self, now: Instant, expected: u64, received: u64) {
        let elapsed_us = u64::try_from(now.since(self.since).as_micros()).unwrap_or(u64::MAX).max(1);
        let rate_bps = self.bytes.saturating_mul(8_000_000) / elapsed_us;
        let expected_now = expected.saturating_sub(self.expected);
        let lost_now = expected_now.saturating_sub(received.saturating_sub(self.received));
        (self.bytes, self.since, self.expected, self.received) = (0, now, expected, received);
        let permille = (lost_now * 1_000).checked_div(expected_now).unwrap_or(0);
        if permille > 100 {
            self.estimate_bps = (rate_bps / 2_000).saturating_mul(2_000 - permille).max(MIN_BPS);
        } else if permille <= 20 {
            self.estimate_bps = self.estimate_bps.max(rate_bps.saturating_add(rate_bps / 2));
        }
    }

    /// Whether to announce a value now: once per interval, at once if it has fallen by more than 3 percent.
    pub(crate) fn is_news(&self, now: Instant, bps: u64) -> bool {
        self.announced
            .is_none_or(|(before, at)| bps < before.saturating_sub(before / 100 * 3) || now.since(at) >= REMB_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Half a second of so many kilobits per second, of 100 packets of which some are lost.
    fn half_a_second(remb: &mut Remb, kbps: u64, lost: u64) -> u64 {
        remb.bytes = kbps * 1_000 / 16;
        remb.estimate(remb.since + LOOK, remb.expected + 100, remb.received + 100 - lost);
        remb.estimate_bps
    }

    #[test]
    fn a_sender_can_ramp_up_and_is_not_held_by_a_pause() {
        let mut remb = Remb::new(at(0));
        assert_eq!(half_a_second(&mut remb, 50, 0), 300_000);
        assert_eq!(half_a_second(&mut remb, 300, 0), 450_000);
        assert_eq!(half_a_second(&mut remb, 450, 0), 675_000);
        assert_eq!(half_a_second(&mut remb, 10, 0), 675_000);
    }

    #[test]
    fn loss_holds_it_and_much_loss_lowers_it() {
        let mut remb = Remb::new(at(0));
        assert_eq!(half_a_second(&mut remb, 2_000, 0), 3_000_000);
        assert_eq!(half_a_second(&mut remb, 3_000, 5), 3_000_000);
        assert_eq!(half_a_second(&mut remb, 2_000, 20), 1_800_000);
        assert_eq!(half_a_second(&mut remb, 100, 100), 300_000);
    }

    #[test]
    fn a_fall_is_told_at_once_and_the_rest_once_a_second() {
        let mut remb = Remb::new(at(0));
        assert!(remb.is_news(at(0), 1_000_000));
        remb.announced = Some((1_000_000, at(0)));
        assert!(!remb.is_news(at(500), 2_000_000) && !remb.is_news(at(500), 980_000));
        assert!(remb.is_news(at(500), 960_000) && remb.is_news(at(1_000), 2_000_000));
    }

    #[test]
    fn a_stream_that_began_again_counts_nothing_twice() {
        let mut remb = Remb::new(at(0));
        remb.estimate(at(500), 1_000, 1_000);
        remb.estimate(at(1_000), 10, 10);
        assert_eq!(remb.estimate_bps, MIN_BPS);
        remb.estimate(at(1_000), 10, 10);
        assert_eq!(remb.estimate_bps, MIN_BPS, "no time has passed");
    }
}
