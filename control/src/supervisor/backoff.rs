//! How long to wait before the next start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::Restart;

/// Deaths so far.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: Restart,
    deaths: VecDeque<Instant>,
    never_ready: u32,
    /// A server has been ready: whatever keeps the next one from it may pass.
    was_ready: bool,
}

impl Backoff {
    pub(super) fn new(settings: Restart) -> Self {
        Self { settings, deaths: VecDeque::new(), never_ready: 0, was_ready: false }
    }

    /// A server died. The wait before the next start, or none if there shall not be one.
    pub(super) fn after_death(&mut self, now: Instant, was_ready: bool) -> Option<Duration> {
        self.was_ready |= was_ready;
        self.never_ready = self.never_ready.saturating_add(1);
        if !self.was_ready && self.never_ready >= self.settings.attempts {
            return None;
        }
        while self.deaths.front().is_some_and(|death| now.duration_since(*death) > self.settings.window.0) {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        let beyond = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX).saturating_sub(self.settings.free);
        Some(match beyond {
            0 => Duration::ZERO,
            _ => {
                let doubled = self.settings.backoff_min.0.saturating_mul(1 << (beyond - 1).min(16));
                doubled.min(self.settings.backoff_max.0)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_slows_down_and_recovers() {
        let mut backoff = Backoff::new(Restart::default());
        let start = Instant::now();
        let mut waits =
            |at: u64| backoff.after_death(start + Duration::from_secs(at), true).expect("goes on").as_secs();
        let seen: Vec<u64> = [0, 1, 2, 3, 5, 9, 17].map(&mut waits).to_vec();
        assert_eq!(seen, [0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(waits(200), 0, "a minute without a death forgets them");
    }

    #[test]
    fn what_never_comes_up_is_given_up() {
        let mut backoff = Backoff::new(Restart { attempts: 3, ..Restart::default() });
        let now = Instant::now();
        assert!(backoff.after_death(now, false).is_some());
        assert!(backoff.after_death(now, false).is_some());
        assert_eq!(backoff.after_death(now, false), None);
    }

    #[test]
    fn what_came_up_once_is_never_given_up() {
        let mut backoff = Backoff::new(Restart { attempts: 2, ..Restart::default() });
        let start = Instant::now();
        assert!(backoff.after_death(start, true).is_some());
        for attempt in 1..100 {
            let wait = backoff.after_death(start + Duration::from_secs(attempt), false).expect("goes on");
            assert!(wait <= Restart::default().backoff_max.0);
        }
    }
}
