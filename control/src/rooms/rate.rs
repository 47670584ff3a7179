//! Bit rates, from counters that are looked at once in a while.

use std::time::{Duration, Instant};

/// A rate over less than this says little: the one before stands.
const SHORTEST: Duration = Duration::from_millis(250);

/// The rate of a counter of bytes between two looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    before: Option<(Instant, u64)>,
    bps: u64,
}

impl Rate {
    /// Bits per second since the look before; 0 at the first.
    pub(super) fn of(&mut self, bytes: u64, now: Instant) -> u64 {
        match self.before {
            Some((at, _)) if now.duration_since(at) < SHORTEST => {}
            before => {
                let since = before.and_then(|(at, old)| {
                    let ms = u64::try_from(now.duration_since(at).as_millis()).ok()?;
                    bytes.saturating_sub(old).saturating_mul(8_000).checked_div(ms)
                });
                self.bps = since.unwrap_or(0);
                self.before = Some((now, bytes));
            }
        }
        self.bps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_since_the_look_before() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.of(1_000, start), 0);
        assert_eq!(rate.of(2_000, start + Duration::from_secs(1)), 8_000);
        assert_eq!(rate.of(9_000, start + Duration::from_millis(1_100)), 8_000, "too soon");
        assert_eq!(rate.of(2_000, start + Duration::from_secs(3)), 0);
    }
}
