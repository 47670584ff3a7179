//! By how much a sender's clock is behind ours, as far as its reports show it: the least that came in a while. What is
//! more than that is time that a report spent on its way. (RFC 3550 section 6.4.1 has the reports.)

use std::time::Duration;

use crate::time::Instant;

/// A sample counts for so long, and at least half of that.
const WINDOW: Duration = Duration::from_secs(60);
/// A clock that is further away than this from what it was has been set.
const STEP: i64 = 5 << 32;

/// The NTP clock of a sender, which all of its streams refer to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SenderClock {
    least: Option<Sample>,
    /// The least that came after that, within half of the time.
    later: Option<Sample>,
}

/// What one report shows.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Our NTP time when the report came, less the sender's when it left: seconds in 32.32 bits.
    offset: i64,
    at: Instant,
}

impl SenderClock {
    /// A report has come at `now`, `ours` by our NTP clock, which left at `theirs` by the sender's.
    pub(crate) fn record(&mut self, now: Instant, ours: u64, theirs: u64) {
        let sample = Sample { offset: ours.wrapping_sub(theirs).cast_signed(), at: now };
        if self.least.is_some_and(|least| least.offset.wrapping_sub(sample.offset).wrapping_abs() > STEP) {
            *self = Self::default();
        }
        if self.least.is_some_and(|least| now.since(least.at) > WINDOW) {
            self.least = self.later.take();
        }
        let is_less = |known: &Option<Sample>| known.is_none_or(|known| sample.offset <= known.offset);
        if is_less(&self.least) {
            (self.least, self.later) = (Some(sample), None);
        } else if is_less(&self.later) || self.later.is_some_and(|later| now.since(later.at) > WINDOW / 2) {
            self.later = Some(sample);
        }
    }

    /// What the sender's clock shows when ours shows `ours`; `None` before it has sent a report.
    pub(crate) fn at(&self, ours: u64) -> Option<u64> {
        self.least.map(|least| ours.wrapping_sub(least.offset.cast_unsigned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 32;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A report that came after so many milliseconds, of which it was on its way for some, of a clock 1,000 s behind.
    fn record(clock: &mut SenderClock, millis: u64, way: u64) {
        let ntp = |millis: u64| 10_000 * SECOND + millis * SECOND / 1_000;
        clock.record(at(millis), ntp(millis), ntp(millis - way) - 1_000 * SECOND);
    }

    /// By how many milliseconds what it takes for the sender's clock is behind that.
    fn behind(clock: &SenderClock) -> u64 {
        let shown = clock.at(10_000 * SECOND).expect("a report");
        (9_000 * SECOND - shown) * 1_000 / SECOND
    }

    #[test]
    fn the_report_that_was_least_on_its_way_counts() {
        let mut clock = SenderClock::default();
        assert_eq!(clock.at(0), None);
        for (millis, way, expected) in [(1_000, 80, 79), (2_000, 20, 19), (3_000, 200, 19), (50_000, 90, 19)] {
            record(&mut clock, millis, way);
            assert!(behind(&clock).abs_diff(expected) <= 1, "{millis}: {}", behind(&clock));
        }
    }

    #[test]
    fn a_path_that_got_longer_is_believed_after_a_while() {
        let mut clock = SenderClock::default();
        record(&mut clock, 1_000, 20);
        (2..=62).for_each(|second| record(&mut clock, second * 1_000, 100));
        assert!(behind(&clock) >= 99, "{}", behind(&clock));
    }

    #[test]
    fn a_clock_that_was_set_counts_at_once() {
        let mut clock = SenderClock::default();
        clock.record(at(1_000), 100 * SECOND, 50 * SECOND);
        clock.record(at(2_000), 101 * SECOND, 11 * SECOND);
        assert_eq!(clock.at(101 * SECOND), Some(11 * SECOND));
    }
}
