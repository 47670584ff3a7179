//! How well media arrives, as mediasoup tells it: 0 (nothing comes) to 10 (nothing is lost). A look at it comes to the
//! fourth power of the share of packets that arrive, less those that are lost; the score is the mean of the last
//! looks, in which the newest weighs most. A stream that is one of several encodings and stops has 0 at once.

use std::collections::VecDeque;

use crate::stats::StreamStats;

/// Score of a stream of which nothing is lost.
pub const BEST_SCORE: u8 = 10;

/// Looks that count.
const LOOKS: usize = 24;

/// What is known of a stream, or of a consumer, from the last looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    received: u64,
    lost: i64,
    /// What each look came to, the oldest first. None before it has come, and after it has stopped.
    looks: VecDeque<u8>,
}

impl Scores {
    /// Looks at a stream that comes, one `of_several` encodings or the only one: how well it arrives. 0 before it has
    /// begun.
    pub fn of_stream(&mut self, stats: &StreamStats, of_several: bool) -> u8 {
        let received = stats.packet_count.saturating_sub(self.received);
        let lost = u64::try_from(stats.packets_lost.saturating_sub(self.lost)).unwrap_or(0);
        (self.received, self.lost) = (stats.packet_count, stats.packets_lost);
        if stats.ssrc.is_none() || stats.packet_count == 0 || of_several && !stats.active {
            self.looks.clear();
            return 0;
        }
        let look = match (received, lost) {
            // It begins, or begins again: what did not come in between is not lost.
            _ if self.looks.is_empty() => BEST_SCORE,
            (0, 0) => BEST_SCORE,
            (0, _) => 0,
            #[expect(clippy::cast_precision_loss, reason = "packets of seconds")]
            _ => of_share(received.saturating_sub(lost) as f64 / received as f64),
        };
        self.add(look)
    }

    /// Looks at a consumer, of whose packets its receiver reports this loss, in 1/256: how well it arrives.
    pub fn of_report(&mut self, fraction_lost: u8) -> u8 {
        self.add(of_share(1.0 - f64::from(fraction_lost) / 256.0))
    }

    fn add(&mut self, look: u8) -> u8 {
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
        let weighed = (1..).zip(&self.looks).map(|(weight, look)| weight * u32::from(*look));
        let (sum, looks) = (weighed.sum::<u32>(), self.looks.len() as u32);
        let weights = looks * (looks + 1) / 2;
        // Rounded. What comes is never told as nothing.
        u8::try_from((sum + weights / 2) / weights).unwrap_or(BEST_SCORE).clamp(1, BEST_SCORE)
    }
}

/// The score of a share of packets that arrive, 0 to 1.
fn of_share(arrived: f64) -> u8 {
    let score = arrived.clamp(0.0, 1.0).powi(4) * f64::from(BEST_SCORE);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let score = score.round() as u8;
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(packet_count: u64, packets_lost: i64) -> StreamStats {
        StreamStats { ssrc: Some(1), active: true, packet_count, packets_lost, ..StreamStats::default() }
    }

    #[test]
    fn scores_are_by_what_was_lost_lately() {
        let mut scores = Scores::default();
        let mut look = |received, lost| scores.of_stream(&stream(received, lost), false);
        assert_eq!(look(0, 0), 0, "nothing has come yet");
        assert_eq!(look(100, 50), 10, "it begins");
        assert_eq!(look(200, 50), 10);
        // 84 came and 16 did not: 4. (10 + 2 * 10 + 3 * 4) / 6.
        assert_eq!(look(284, 66), 7);
        let worse: Vec<u8> = (1..=30).map(|second| look(284 + 84 * second, 66 + 16 * second as i64)).collect();
        assert!(worse.windows(2).all(|two| two[1] <= two[0]), "{worse:?}");
        assert_eq!(worse.last(), Some(&4), "0.81 to the fourth, of ten");
        let better: Vec<u8> = (1..=30).map(|second| look(2_804 + 100 * second, 546)).collect();
        assert!(better.windows(2).all(|two| two[1] >= two[0]) && better.last() == Some(&10), "{better:?}");
        assert_eq!(look(5_804, 546), 10, "silence is no loss");
        assert_eq!(look(5_804, 600), 9, "one look among many");
        assert_eq!(look(5_904, 540), 9, "what was lost came late");
    }

    #[test]
    fn one_of_several_that_stops_has_none() {
        let (mut one, mut only) = (Scores::default(), Scores::default());
        let stopped = StreamStats { active: false, ..stream(100, 0) };
        assert_eq!((one.of_stream(&stream(100, 0), true), only.of_stream(&stream(100, 0), false)), (10, 10));
        assert_eq!((one.of_stream(&stopped, true), only.of_stream(&stopped, false)), (0, 10));
        assert_eq!(one.of_stream(&stream(200, 900), true), 10, "it begins again");
        assert_eq!(one.of_stream(&StreamStats { ssrc: None, ..stream(0, 0) }, true), 0);
    }

    #[test]
    fn what_a_receiver_reports_counts_like_it() {
        let mut scores = Scores::default();
        assert_eq!(scores.of_report(0), 10);
        assert_eq!(scores.of_report(41), 7, "(10 + 2 * 5) / 3");
        let later: Vec<u8> = (0..30).map(|_| scores.of_report(41)).collect();
        assert_eq!(later.last(), Some(&5));
    }
}
