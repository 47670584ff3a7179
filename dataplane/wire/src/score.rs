//! How well media arrives, as mediasoup tells it: 0 (nothing comes) to 10 (nothing is lost). A score is the fourth
//! power of the share of packets that arrive, as in mediasoup: 5 percent of loss make 8, 16 percent 5.

use crate::stats::{ConsumerStats, StreamStats};

/// Score of a stream of which nothing is lost.
pub const BEST_SCORE: u8 = 10;

/// Packets of a stream, as they were when it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    received: u64,
    lost: i64,
}

impl StreamStats {
    /// What it has counted until now, for the next score.
    #[must_use]
    pub const fn counted(&self) -> Counted {
        Counted { received: self.packet_count, lost: self.packets_lost }
    }

    /// How well it has arrived since it was counted before; 0 if it does not send.
    #[must_use]
    pub fn score(&self, before: Counted) -> u8 {
        if self.ssrc.is_none() || !self.active {
            return 0;
        }
        let received = self.packet_count.saturating_sub(before.received);
        let lost = u64::try_from(self.packets_lost.saturating_sub(before.lost)).unwrap_or(0);
        match received + lost {
            0 => BEST_SCORE,
            #[expect(clippy::cast_precision_loss, reason = "packets of seconds")]
            expected => of_share(received as f64 / expected as f64),
        }
    }
}

impl ConsumerStats {
    /// How well it arrives, as its receiver last reported.
    #[must_use]
    pub fn score(&self) -> u8 {
        of_share(1.0 - f64::from(self.fraction_lost) / 256.0)
    }
}

/// The score of a share of packets that arrive, 0 to 1.
fn of_share(arrived: f64) -> u8 {
    let score = arrived.clamp(0.0, 1.0).powi(4) * f64::from(BEST_SCORE);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let score = score.round() as u8;
    // What comes is never told as nothing.
    score.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(packet_count: u64, packets_lost: i64) -> StreamStats {
        StreamStats { ssrc: Some(1), active: true, packet_count, packets_lost, ..StreamStats::default() }
    }

    #[test]
    fn scores_are_by_what_is_lost_since_the_look_before() {
        let none = Counted::default();
        assert_eq!(stream(100, 0).score(none), 10);
        assert_eq!(stream(95, 5).score(none), 8);
        assert_eq!(stream(84, 16).score(none), 5);
        assert_eq!(stream(10, 90).score(none), 1, "something comes");
        let before = stream(100, 16).counted();
        assert_eq!(stream(200, 16).score(before), 10);
        assert_eq!(stream(200, 10).score(before), 10, "what was lost came late");
        assert_eq!(StreamStats { active: false, ..stream(100, 0) }.score(none), 0);
        assert_eq!(StreamStats { ssrc: None, ..stream(0, 0) }.score(none), 0);
    }
}
