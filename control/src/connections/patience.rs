//! Connections that wait for their client. There are two kinds: those that hold what HTTP and TLS take, and wait for
//! the rest of a handshake or a body, for an answer to be taken, or for the next request; and those that hold a socket
//! alone, and wait for the first.
//!
//! Owns the bound on how many those may be. Beyond it the one that has waited longest ends: who is honest does not wait
//! for long. Beyond half of it connections end with their answers, so that none waits for its next request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All connections that wait, the one that has waited longest first.
#[derive(Debug)]
pub(super) struct Patience {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Patience {
    /// For so many connections.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place among those that wait.
#[derive(Debug)]
pub(super) struct Turn {
    all: Arc<Patience>,
    /// If it waits.
    number: Mutex<Option<u64>>,
    over: Arc<Notify>,
}

impl Turn {
    /// A connection waits from now on.
    pub(super) fn new(all: Arc<Patience>) -> Arc<Self> {
        let turn = Arc::new(Self { all, number: Mutex::default(), over: Arc::default() });
        turn.waits();
        turn
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is to do something, and has all of its patience again.
    pub(super) fn waits(&self) {
        self.works();
        let mut table = self.all.table();
        let number = table.next;
        table.next += 1;
        table.waiting.insert(number, Arc::clone(&self.over));
        *self.number() = Some(number);
        if table.waiting.len() > self.all.most
            && let Some((_, longest)) = table.waiting.pop_first()
        {
            longest.notify_one();
        }
    }

    /// Whether half as many wait as may.
    pub(super) fn are_many(&self) -> bool {
        self.all.table().waiting.len() > self.all.most / 2
    }

    /// The client is not waited for.
    pub(super) fn works(&self) {
        if let Some(number) = self.number().take() {
            self.all.table().waiting.remove(&number);
        }
    }

    /// Returns when it has waited for too long.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.works();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn of_too_many_the_one_that_has_waited_longest_ends_and_who_works_is_left_alone() {
        let all = Patience::new(2);
        let is_over = |turn: &Turn| turn.over().now_or_never().is_some();
        let [works, first, second] = [(); 3].map(|()| {
            let turn = Turn::new(Arc::clone(&all));
            turn.works();
            turn
        });
        first.waits();
        second.waits();
        // Once more: it waits for something else.
        first.waits();
        let third = Turn::new(Arc::clone(&all));
        assert_eq!([&works, &first, &second, &third].map(|turn| is_over(turn)), [false, false, true, false]);
        drop(third);
        let fourth = Turn::new(Arc::clone(&all));
        assert_eq!([&works, &first, &fourth].map(|turn| is_over(turn)), [false; 3]);
        works.waits();
        assert_eq!([&works, &first, &fourth].map(|turn| is_over(turn)), [false, true, false]);
        drop([works, first, second, fourth]);
        assert!(all.table().waiting.is_empty());
    }
}
