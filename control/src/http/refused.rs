//! What was refused so far: origins, and how often each cause came up.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::connections::Warning;

/// Origins that were refused, so that each is logged once.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Vec<String>>);

/// Origins that are remembered. Anybody can make up more: those are not logged.
const MAX_REFUSED: usize = 16;

impl Refused {
    /// Whether it has not been refused before.
    pub(super) fn is_new(&self, origin: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.len() < MAX_REFUSED && !known.iter().any(|known| known == origin);
        if is_new {
            known.push(origin.to_owned());
        }
        is_new
    }
}

/// The refusals of one cause.
#[derive(Debug, Default)]
struct Cause {
    times: u64,
    warning: Warning,
}

/// All refusals since the start. Causes are words of the program, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<&'static str, Cause>>);

impl Refusals {
    /// How often each cause came up.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        causes.iter().map(|(cause, of)| (*cause, of.times)).collect()
    }

    /// Counts one. How many there were since the last that was told, if this one may be told.
    pub(super) fn count(&self, cause: &'static str, now: Instant) -> Option<u32> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = causes.entry(cause).or_default();
        of.times += 1;
        of.warning.due(now)
    }
}
