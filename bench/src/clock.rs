//! The one clock of a run.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the run began, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What is to be taken from a time stamp of the kernel's (nanoseconds since 1970) for one of this clock. The wall
    /// clock is adjusted now and then: ask before each measurement.
    #[must_use]
    pub fn wall_offset_ns(&self) -> u64 {
        // The try that was interrupted least is taken.
        let tries = (0..16).filter_map(|_| {
            let before = self.now_ns();
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            let after = self.now_ns();
            let wall_ns = u64::try_from(wall.as_nanos()).ok()?;
            Some((after - before, wall_ns.saturating_sub(before.midpoint(after))))
        });
        tries.min().map_or(0, |(_, offset)| offset)
    }
}
