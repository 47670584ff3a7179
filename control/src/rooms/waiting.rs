//! Listeners of rooms that are not there yet: to listen makes no room, so they wait until somebody makes it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// As many names as there are listeners at most.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// No room will be made any longer.
    closed: bool,
    names: HashMap<String, watch::Sender<()>>,
}

/// One who waits for a room.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    waiting: &'a Waiting,
    name: String,
    told: watch::Receiver<()>,
}

impl Waiting {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits from now on, or not at all if everything ends.
    pub(super) fn join(&self, name: &str) -> Option<Wait<'_>> {
        let mut table = self.table();
        if table.closed {
            return None;
        }
        let told = table.names.entry(name.to_owned()).or_insert_with(|| watch::channel(()).0).subscribe();
        Some(Wait { waiting: self, name: name.to_owned(), told })
    }

    /// The room is there: those who wait for it see the end of their channel.
    pub(super) fn tell(&self, name: &str) {
        self.table().names.remove(name);
    }

    /// Nobody shall wait any longer.
    pub(super) fn close(&self) {
        *self.table() = Table { closed: true, names: HashMap::new() };
    }
}

impl Wait<'_> {
    /// Returns when the room is there, or everything ends.
    pub(super) async fn over(&mut self) {
        while self.told.changed().await.is_ok() {}
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut table = self.waiting.table();
        // Once it has been told, an entry of this name is another's. Until then this one is counted.
        let is_last = table.names.get(&self.name).is_some_and(|tell| tell.receiver_count() == 1);
        if is_last && self.told.has_changed().is_ok() {
            table.names.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_told_and_leave_nothing() {
        let waiting = Waiting::default();
        let (mut one, two, other) = (waiting.join("a"), waiting.join("a"), waiting.join("b"));
        assert_eq!(waiting.table().names.len(), 2);
        drop((two, other));
        assert_eq!(waiting.table().names.len(), 1, "somebody waits for the first still");
        waiting.tell("a");
        one.as_mut().expect("waits").over().await;
        let again = waiting.join("a");
        drop(one);
        assert_eq!(waiting.table().names.len(), 1, "another's entry");
        waiting.close();
        again.expect("waits").over().await;
        assert!(waiting.join("a").is_none());
        assert!(waiting.table().names.is_empty());
    }
}
