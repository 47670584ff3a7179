//! Warnings that may be due very often.

use std::time::Duration;

use tokio::time::Instant;

/// Between two warnings of the same kind.
const QUIET: Duration = Duration::from_secs(10);

/// A warning that may be due very often.
#[derive(Debug, Default)]
pub(crate) struct Warning {
    last: Option<Instant>,
    since: u32,
}

impl Warning {
    /// How many there were since the last that was told, if one may be told now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u32> {
        self.since = self.since.saturating_add(1);
        if self.last.is_some_and(|last| now.duration_since(last) < QUIET) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_once_in_a_while() {
        let (mut warning, start) = (Warning::default(), Instant::now());
        assert_eq!(warning.due(start), Some(1));
        for _ in 0..20 {
            assert_eq!(warning.due(start + QUIET / 2), None);
        }
        assert_eq!(warning.due(start + QUIET), Some(21));
    }
}
