//! Bytes over the last second, in buckets of 25 ms: what was sent, by our clock, and what arrived, by the receiver's.

/// Length of a bucket in microseconds.
const BUCKET_US: u64 = 25_000;
/// Buckets that are kept: one second, and the one that fills.
const BUCKETS: usize = 41;

/// A sliding sum of bytes. Its memory and the work for each record are bounded, whatever times it is told.
#[derive(Debug)]
pub(super) struct ByteWindow {
    buckets: [u64; BUCKETS],
    /// The bucket that fills, and the first one since the window was empty, both counted from time zero.
    newest: u64,
    first: u64,
    is_empty: bool,
}

impl ByteWindow {
    pub(super) const fn new() -> Self {
        Self { buckets: [0; BUCKETS], newest: 0, first: 0, is_empty: true }
    }

    /// Forgets everything.
    pub(super) const fn clear(&mut self) {
        *self = Self::new();
    }

    /// Moves on to this time. A gap longer than the window empties it.
    pub(super) fn advance(&mut self, at_us: u64) {
        let bucket = at_us / BUCKET_US;
        if self.is_empty || bucket >= self.newest.saturating_add(BUCKETS as u64) {
            self.buckets = [0; BUCKETS];
            (self.newest, self.first, self.is_empty) = (bucket, bucket, false);
            return;
        }
        while self.newest < bucket {
            self.newest += 1;
            if let Some(held) = self.buckets.get_mut(place(self.newest)) {
                *held = 0;
            }
        }
    }

    /// Counts bytes. What is older than the window is left out.
    pub(super) fn record(&mut self, at_us: u64, bytes: u64) {
        let bucket = at_us / BUCKET_US;
        if self.is_empty || bucket > self.newest {
            self.advance(at_us);
        }
        if bucket.saturating_add(BUCKETS as u64) > self.newest
            && let Some(held) = self.buckets.get_mut(place(bucket))
        {
            *held = held.saturating_add(bytes);
        }
    }

    /// Bits per second over the last complete buckets of so many milliseconds; `None` if the window does not reach back
    /// that far.
    pub(super) fn rate_bps(&self, millis: u64) -> Option<f64> {
        let count = (millis * 1_000 / BUCKET_US).clamp(1, BUCKETS as u64 - 1);
        if self.is_empty || self.newest < self.first.saturating_add(count) {
            return None;
        }
        let bytes = (self.newest - count..self.newest).filter_map(|bucket| self.buckets.get(place(bucket)).copied());
        let bytes = bytes.fold(0_u64, u64::saturating_add);
        Some(bytes as f64 * 8e6 / (count * BUCKET_US) as f64)
    }
}

/// Place of a bucket.
const fn place(bucket: u64) -> usize {
    (bucket % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_complete_buckets() {
        let mut window = ByteWindow::new();
        assert_eq!(window.rate_bps(200), None, "nothing was recorded");
        for millisecond in 0..=1_000 {
            window.record(millisecond * 1_000, 125);
        }
        assert_eq!(window.rate_bps(200), Some(1e6));
        assert_eq!(window.rate_bps(1_000), Some(1e6));
        window.advance(1_100_000);
        assert_eq!(window.rate_bps(100).map(f64::round), Some(125.0 * 8.0 / 0.1), "one record in the last 100 ms");
        window.record(9_000_000, 125);
        assert_eq!(window.rate_bps(200), None, "a gap empties the window");
        window.record(8_990_000, 125);
        window.record(100, 125);
        window.record(u64::MAX, u64::MAX);
        window.record(u64::MAX, u64::MAX);
        assert_eq!(window.rate_bps(200), None);
    }
}
