//! Rooms that matter more than others, by name, as operators say: before they are made, too. Outlives rooms and
//! servers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use super::names::check_name;
use crate::ledger::{About, Key, Ledger, Rows};
use crate::settings::Priority;

/// Most rooms of high priority.
const MAX: usize = 4_096;

/// Names of the rooms of high priority.
#[derive(Debug)]
pub(super) struct Priorities {
    high: Mutex<BTreeSet<String>>,
    /// Where is kept what outlives the server.
    ledger: Arc<Ledger>,
}

impl Priorities {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { high: Mutex::default(), ledger }
    }

    fn high(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.high.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server before has left.
    pub(super) fn restore(&self, rows: &Rows) {
        let rows = rows.of::<Priority>(About::Priority, None).into_iter();
        self.high().extend(rows.filter(|(_, priority)| *priority == Priority::High).map(|(key, _)| key.room));
    }

    /// A room's, whether or not it is there.
    pub(super) fn of(&self, room: &str) -> Priority {
        if self.high().contains(room) { Priority::High } else { Priority::Normal }
    }

    /// A room has this priority from now on. An error if too many are of high priority, or the name is none.
    pub(super) fn put(&self, room: &str, priority: Priority) -> Result<(), Error> {
        check_name("room", room)?;
        let (key, mut high) = (Key::new(About::Priority, room, ""), self.high());
        match priority {
            Priority::Normal => {
                high.remove(room);
                self.ledger.remove(key);
            }
            Priority::High if high.len() >= MAX && !high.contains(room) => {
                return Err(Error::unavailable(format!("{MAX} rooms are of high priority already")));
            }
            Priority::High => {
                high.insert(room.to_owned());
                self.ledger.put(key, &priority);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_bounded_and_outlive_the_server() {
        let memory = Ledger::memory().expect("is made");
        let (ledger, _) = Ledger::open(memory.try_clone().expect("is cloned")).expect("opens");
        let priorities = Priorities::new(ledger);
        for number in 0..MAX {
            priorities.put(&format!("room {number}"), Priority::High).expect("there is room");
        }
        assert!(priorities.put("one more", Priority::High).expect_err("full").to_string().contains("4096"));
        priorities.put("room 7", Priority::High).expect("is of high priority already");
        priorities.put("room 7", Priority::Normal).expect("may always be");
        priorities.put("one more", Priority::High).expect("there is room again");
        assert!(priorities.put("", Priority::High).is_err(), "no name");
        let (ledger, rows) = Ledger::open(memory).expect("opens");
        let next = Priorities::new(ledger);
        next.restore(&rows);
        assert_eq!(
            ["room 6", "room 7", "one more", "x"].map(|room| next.of(room) == Priority::High),
            [true, false, true, false]
        );
    }
}
