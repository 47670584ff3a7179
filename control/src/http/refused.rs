//! Which origins were refused.

use std::sync::{Mutex, PoisonError};

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
