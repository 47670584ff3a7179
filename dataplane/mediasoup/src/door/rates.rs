//! Rates, from counters that are looked at when statistics are asked for.

use std::time::{Duration, Instant};

/// A rate is made of what was counted in this time at least.
const WINDOW: Duration = Duration::from_secs(1);

/// Bits per second of a counter of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    since: Instant,
    bytes: u64,
    bps: u64,
}

impl Rate {
    /// The counter is 0 now.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, bps: 0 }
    }

    /// The rate, now that so many bytes have been counted.
    pub(super) fn of(&mut self, bytes: u64) -> u64 {
        let now = Instant::now();
        let elapsed = now - self.since;
        if elapsed >= WINDOW {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
            self.bps = bytes.saturating_sub(self.bytes).saturating_mul(8_000) / millis;
            (self.since, self.bytes) = (now, bytes);
        }
        self.bps
    }
}
