//! What one receiver may ask for at others' cost: some at once, and then one more each interval.

use std::time::Duration;

use crate::time::Instant;

/// A ration. Full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ration {
    /// When all of it will be there again.
    full_at: Instant,
}

impl Ration {
    /// Whether something is left of a ration of so many at once.
    pub(crate) fn is_left(self, now: Instant, interval: Duration, at_once: u32) -> bool {
        self.full_at.since(now) <= interval * at_once.saturating_sub(1)
    }

    /// Takes one, whether it is there or not.
    pub(crate) fn take(&mut self, now: Instant, interval: Duration) {
        self.full_at = self.full_at.max(now) + interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_and_then_one_each_interval() {
        let second = Duration::from_secs(1);
        let mut ration = Ration::default();
        let mut taken = Vec::new();
        for now in (1_000..6_000).step_by(100) {
            let at = Instant::from_nanos(now * 1_000_000);
            if ration.is_left(at, second, 3) {
                ration.take(at, second);
                taken.push(now);
            }
        }
        assert_eq!(taken, [1_000, 1_100, 1_200, 2_000, 3_000, 4_000, 5_000]);
        let later = Instant::from_nanos(60_000_000_000);
        for _ in 0..3 {
            assert!(ration.is_left(later, second, 3));
            ration.take(later, second);
        }
        assert!(!ration.is_left(later, second, 3), "a pause saves no more than that");
    }
}
