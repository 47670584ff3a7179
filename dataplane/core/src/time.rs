//! Time as the machine is told it.

use std::ops::{Add, Sub};
use std::time::Duration;

/// The system clock's own instant. Never read here: the shell gives one, from which the DTLS library counts.
#[expect(clippy::disallowed_types, reason = "handed through, not read")]
pub type SystemInstant = std::time::Instant;

/// A point in time: nanoseconds since the worker started, on a clock that never goes back. Read by the shell, once per
/// batch, and handed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// From nanoseconds since the worker started.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the worker started.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, or zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time since the worker started in ticks of a clock of so many hertz, rounded down, modulo 2^64.
    #[inline]
    pub(crate) const fn ticks(self, clock_rate_hz: u32) -> u64 {
        let (seconds, rest, rate) = (self.0 / NANOS_PER_S, self.0 % NANOS_PER_S, clock_rate_hz as u64);
        seconds.wrapping_mul(rate).wrapping_add(rest * rate / NANOS_PER_S)
    }

    /// Time since `earlier`, or zero if that is later, in the same ticks.
    #[inline]
    pub(crate) const fn ticks_since(self, earlier: Self, clock_rate_hz: u32) -> u64 {
        Self(self.0.saturating_sub(earlier.0)).ticks(clock_rate_hz)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

const NANOS_PER_S: u64 = 1_000_000_000;

/// Seconds from the NTP epoch to the Unix epoch.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// NTP timestamp of `now` (RFC 3550 section 4).
pub(crate) const fn ntp_time(unix_time_ns: u64, now: Instant) -> u64 {
    let unix_ns = unix_time_ns.saturating_add(now.as_nanos());
    let seconds = unix_ns / 1_000_000_000 + NTP_TO_UNIX_S;
    let fraction = ((unix_ns % 1_000_000_000) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

/// Middle 32 bits of an NTP timestamp: seconds in 16.16 bits (RFC 3550 section 4).
pub(crate) const fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The round trip of what left at `sent`, waited for `delay` and has come back `now`, all of them in 1/65,536 s. `None`
/// if nothing is answered, or what cannot be.
pub(crate) fn round_trip(now: u32, sent: u32, delay: u32) -> Option<Duration> {
    let elapsed = now.wrapping_sub(sent).wrapping_sub(delay).cast_signed();
    let elapsed = u64::try_from(elapsed).ok().filter(|_| sent != 0)?;
    Some(Duration::from_nanos(elapsed.max(1) * 1_000_000_000 / 65_536))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_nanoseconds_on_another_clock_rounded_down() {
        for nanos in [0, 1, 11_111, 999_999_999, 1_000_000_000, 3_600_000_000_001, u64::MAX / 7] {
            for clock_rate_hz in [1, 8_000, 48_000, 90_000, u32::MAX] {
                let exact = u128::from(nanos) * u128::from(clock_rate_hz) / 1_000_000_000;
                let (now, start) = (Instant::from_nanos(nanos), Instant::default());
                assert_eq!(u128::from(now.ticks(clock_rate_hz)), exact & u128::from(u64::MAX));
                assert_eq!(now.ticks_since(start, clock_rate_hz), now.ticks(clock_rate_hz));
                assert_eq!(start.ticks_since(now, clock_rate_hz), 0, "that is later");
            }
        }
    }

    #[test]
    fn a_round_trip_is_what_is_left_of_the_time_since() {
        assert_eq!(round_trip(65_536 * 3, 65_536, 65_536), Some(Duration::from_secs(1)));
        assert_eq!(round_trip(10, u32::MAX - 9, 10), Some(Duration::from_nanos(10 * 1_000_000_000 / 65_536)));
        assert_eq!(round_trip(65_536, 0, 0), None, "nothing was answered");
        assert_eq!(round_trip(65_536, 65_000, 1_000), None, "waited for longer than it was away");
    }
}
