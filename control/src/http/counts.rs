//! Sessions of WHIP and WHEP, counted: made, connected and after how long, ended and why.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the times of setting up, in seconds.
pub(crate) const SETUP_BOUNDS_S: [f64; 9] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// A kind of sessions ("publisher", "viewer"), and how many of them.
type ByKind = BTreeMap<&'static str, u64>;

/// What was counted so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) begun: ByKind,
    pub(crate) connected: ByKind,
    /// By kind and cause.
    pub(crate) ended: BTreeMap<(&'static str, &'static str), u64>,
    /// Sessions that were connected within each of [`SETUP_BOUNDS_S`] and not within the one before; then those that
    /// took longer.
    pub(crate) setup: [u64; SETUP_BOUNDS_S.len() + 1],
    /// All these times together, in seconds.
    pub(crate) setup_sum_s: f64,
}

/// Counters of the whole server.
#[derive(Debug, Default)]
pub(crate) struct SessionCounts(Mutex<Sessions>);

impl SessionCounts {
    fn counts(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they are now.
    pub(crate) fn now(&self) -> Sessions {
        self.counts().clone()
    }

    pub(super) fn begins(&self, kind: &'static str) {
        *self.counts().begun.entry(kind).or_default() += 1;
    }

    pub(super) fn connects(&self, kind: &'static str, setup: Duration) {
        let seconds = setup.as_secs_f64();
        let at = SETUP_BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap_or(SETUP_BOUNDS_S.len());
        let mut counts = self.counts();
        *counts.connected.entry(kind).or_default() += 1;
        counts.setup_sum_s += seconds;
        if let Some(bucket) = counts.setup.get_mut(at) {
            *bucket += 1;
        }
    }

    pub(super) fn ends(&self, kind: &'static str, cause: &'static str) {
        *self.counts().ended.entry((kind, cause)).or_default() += 1;
    }
}
