//! Who was removed by an operator. It stays out, by its name and by what was its alone to show, until it is invited
//! again: also when its room has closed meanwhile, and when the server has died.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::{Code, Error};
use super::peer::Credential;
use crate::ledger::{About, Key, Ledger, Rows};

/// Most that are remembered of a room, and of all rooms; then the oldest of the room, or of all, is forgotten.
const MAX_OF_ROOM: usize = 256;
const MAX_OF_ALL: usize = 4_096;

/// Somebody who was removed from a room.
#[derive(Clone, Debug)]
struct Removal {
    room: String,
    name: String,
    /// What it came with, if nobody else has the same.
    credential: Option<Credential>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedRemoval {
    credential: Option<Credential>,
}

/// All who were removed, the oldest first.
#[derive(Debug)]
pub(super) struct Removed {
    table: Mutex<VecDeque<Removal>>,
    /// Where is kept what outlives the server.
    ledger: Arc<Ledger>,
}

impl Removed {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { table: Mutex::default(), ledger }
    }

    fn table(&self) -> MutexGuard<'_, VecDeque<Removal>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server before has left.
    pub(super) fn restore(&self, rows: &Rows) {
        let rows = rows.of::<SavedRemoval>(About::Removed, None).into_iter();
        let removal = |(key, row): (Key, SavedRemoval)| (key.room, key.name, row.credential);
        self.table().extend(rows.map(removal).map(|(room, name, credential)| Removal { room, name, credential }));
    }

    /// Has this peer stay out of a room from now on.
    pub(super) fn put(&self, room: &str, name: &str, credential: Option<Credential>) {
        let credential = credential.filter(|credential| credential.is_personal);
        self.invite(room, name);
        let mut table = self.table();
        let of_room = table.iter().filter(|removal| removal.room == room).count();
        let oldest = match of_room >= MAX_OF_ROOM {
            true => table.iter().position(|removal| removal.room == room),
            false => (table.len() >= MAX_OF_ALL).then_some(0),
        };
        if let Some(forgotten) = oldest.and_then(|index| table.remove(index)) {
            tracing::warn!("{:?} may come to room {:?} again: too many are out", forgotten.name, forgotten.room);
            self.ledger.remove(Key::new(About::Removed, &forgotten.room, &forgotten.name));
        }
        table.push_back(Removal { room: room.to_owned(), name: name.to_owned(), credential });
        self.ledger.put(Key::new(About::Removed, room, name), &SavedRemoval { credential });
    }

    /// Lets this peer come again. False if it was not out.
    pub(super) fn invite(&self, room: &str, name: &str) -> bool {
        let mut table = self.table();
        let before = table.len();
        table.retain(|removal| removal.room != room || removal.name != name);
        self.ledger.remove(Key::new(About::Removed, room, name));
        table.len() < before
    }

    /// Names of those who are out of a room, the oldest first.
    pub(super) fn of_room(&self, room: &str) -> Vec<String> {
        let table = self.table();
        table.iter().filter(|removal| removal.room == room).map(|removal| removal.name.clone()).collect()
    }

    /// An error if this peer is out of a room.
    pub(super) fn check(&self, room: &str, name: &str, credential: Option<Credential>) -> Result<(), Error> {
        let shown = credential.filter(|credential| credential.is_personal);
        let is_it = |removal: &Removal| {
            let is_same = shown.is_some() && removal.credential == shown;
            removal.room == room && (removal.name == name || is_same)
        };
        match self.table().iter().any(is_it) {
            false => Ok(()),
            true => {
                Err(Error::new(Code::Removed, "an operator has removed you from this room; wait for an invitation"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(digest: u8, is_personal: bool) -> Option<Credential> {
        Some(Credential { digest: [digest; 32], is_personal })
    }

    #[test]
    fn who_was_removed_stays_out_by_name_and_by_a_token_of_its_own() {
        let removed = Removed::new(Arc::default());
        removed.put("r", "ann", shown(1, true));
        removed.put("r", "ben", shown(2, false));
        for (room, name, credential, is_out) in [
            ("r", "ann", None, true),
            ("r", "ann", shown(7, true), true),
            ("r", "another name", shown(1, true), true),
            ("s", "ann", shown(1, true), false),
            ("r", "cid", shown(3, true), false),
            ("r", "cid", None, false),
            ("r", "ben", None, true),
            ("r", "cid", shown(2, false), false),
        ] {
            let result = removed.check(room, name, credential);
            assert_eq!(result.is_err(), is_out, "{name} in {room}: {result:?}");
        }
        assert_eq!(removed.of_room("r"), ["ann", "ben"]);
        assert!(removed.invite("r", "ann") && !removed.invite("r", "ann"));
        assert_eq!(removed.check("r", "another name", shown(1, true)), Ok(()));
    }

    #[test]
    fn the_list_is_bounded_and_forgets_the_oldest() {
        let removed = Removed::new(Arc::default());
        for number in 0..MAX_OF_ROOM + 2 {
            removed.put("r", &number.to_string(), None);
        }
        assert_eq!(removed.of_room("r").len(), MAX_OF_ROOM);
        assert_eq!(removed.check("r", "1", None), Ok(()));
        assert!(removed.check("r", "2", None).is_err());
        for number in 0..MAX_OF_ALL {
            removed.put(&format!("room {number}"), "x", None);
        }
        assert_eq!(removed.table().len(), MAX_OF_ALL);
        assert_eq!(removed.of_room("r"), Vec::<String>::new());
    }

    #[test]
    fn the_list_outlives_the_server() {
        let memory = Ledger::memory().expect("is made");
        let (ledger, _) = Ledger::open(memory.try_clone().expect("is cloned")).expect("opens");
        let removed = Removed::new(ledger);
        removed.put("r", "ann", shown(1, true));
        removed.put("r", "ben", None);
        removed.invite("r", "ben");
        let (ledger, rows) = Ledger::open(memory).expect("opens");
        let next = Removed::new(ledger);
        next.restore(&rows);
        assert_eq!(next.of_room("r"), ["ann"]);
        assert!(next.check("r", "cid", shown(1, true)).is_err());
    }
}
