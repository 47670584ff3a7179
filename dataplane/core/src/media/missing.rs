//! Packets that a stream misses and asks its sender for (RFC 4585 section 6.2.1): once as soon as the gap is seen, then
//! once per round trip, at most [`MAX_NACK_TRIES`] times (mediasoup's numbers).

use std::time::Duration;

use crate::limits::{MAX_MISSING, MAX_NACK_AGE, MAX_NACK_TRIES};
use crate::time::Instant;

/// Round trip assumed where it is not known, as of senders without extended reports (mediasoup: 100 ms).
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);
/// What is taken for one at least and at most, whatever a sender says.
const ROUND_TRIPS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: u64,
    asked: Option<Instant>,
    tries: u8,
}

/// The missing packets of one stream, lowest first.
#[derive(Debug, Default)]
pub(crate) struct MissingList {
    list: Vec<Missing>,
}

/// The gap is wider than can be asked for; a key frame is needed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl MissingList {
    /// Notes that `first..next` were skipped. On [`TooMany`] the list is empty.
    pub(crate) fn skipped(&mut self, first: u64, next: u64) -> Result<(), TooMany> {
        if next.saturating_sub(first) + self.list.len() as u64 > MAX_MISSING as u64 {
            self.list.clear();
            return Err(TooMany);
        }
        self.list.extend((first..next).map(|sequence| Missing { sequence, asked: None, tries: 0 }));
        Ok(())
    }

    /// A late packet has come. True if it had been asked for.
    pub(crate) fn found(&mut self, sequence: u64) -> bool {
        match self.list.binary_search_by_key(&sequence, |missing| missing.sequence) {
            Ok(at) => self.list.remove(at).tries > 0,
            Err(_) => false,
        }
    }

    /// Nothing to ask for.
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Some packet was never asked for.
    pub(crate) fn has_new(&self) -> bool {
        self.list.last().is_some_and(|missing| missing.tries == 0)
    }

    /// Sequence numbers to ask for now, lowest first, into `due`. Forgets what is too old or was asked for too often.
    pub(crate) fn due(&mut self, now: Instant, round_trip: Option<Duration>, highest: u64, due: &mut Vec<u16>) {
        due.clear();
        let (least, most) = ROUND_TRIPS;
        let round_trip = round_trip.unwrap_or(DEFAULT_ROUND_TRIP).clamp(least, most);
        self.list.retain_mut(|missing| {
            if missing.sequence + MAX_NACK_AGE < highest || missing.tries >= MAX_NACK_TRIES {
                return false;
            }
            if missing.asked.is_none_or(|asked| now.since(asked) >= round_trip) {
                missing.asked = Some(now);
                missing.tries += 1;
                #[expect(clippy::cast_possible_truncation, reason = "RTCP carries the lower 16 bits")]
                due.push(missing.sequence as u16);
            }
            true
        });
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn asks_at_once_then_once_per_round_trip_ten_times() {
        let mut missing = MissingList::default();
        missing.skipped(70_000, 70_002).expect("small gap");
        let mut due = Vec::new();
        let mut asked = 0;
        for millis in (0..3_000).step_by(40) {
            missing.due(at(millis), None, 70_002, &mut due);
            asked += due.len();
        }
        assert_eq!(asked, 20);
        assert!(missing.is_empty());
    }

    #[test]
    fn what_came_late_is_not_asked_for_again() {
        let mut missing = MissingList::default();
        missing.skipped(70_000, 70_003).expect("small gap");
        assert!(!missing.found(70_001), "came before it was asked for");
        let mut due = Vec::new();
        missing.due(at(0), None, 70_003, &mut due);
        assert_eq!(due, [70_000_u64 as u16, 70_002_u64 as u16]);
        assert!(missing.found(70_000));
        assert!(!missing.found(70_000));
    }

    #[test]
    fn a_gap_too_wide_empties_the_list() {
        let mut missing = MissingList::default();
        missing.skipped(1, 3).expect("small gap");
        assert_eq!(missing.skipped(10, 2_000), Err(TooMany));
        assert!(missing.is_empty());
    }

    #[test]
    fn the_old_are_forgotten() {
        let mut missing = MissingList::default();
        missing.skipped(100, 101).expect("small gap");
        let mut due = Vec::new();
        missing.due(at(0), None, 101 + MAX_NACK_AGE, &mut due);
        assert!(due.is_empty() && missing.is_empty());
    }
}
