//! A table of a room, which knows which of its rows may have changed since they were last kept in the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// Rows by name. It is read as the map that it is.
#[derive(Debug)]
pub(super) struct Table<V> {
    rows: BTreeMap<String, V>,
    changed: BTreeSet<String>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl<V> Deref for Table<V> {
    type Target = BTreeMap<String, V>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl<V> Table<V> {
    pub(super) fn insert(&mut self, name: String, row: V) {
        self.changed.insert(name.clone());
        self.rows.insert(name, row);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        let removed = self.rows.remove(name)?;
        self.changed.insert(name.to_owned());
        Some(removed)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        let found = self.rows.get_mut(name)?;
        self.changed.insert(name.to_owned());
        Some(found)
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&String, &mut V) -> bool) {
        let Self { rows, changed } = self;
        rows.retain(|name, row| {
            let stays = stays(name, row);
            if !stays {
                changed.insert(name.clone());
            }
            stays
        });
    }

    /// Every row, for changes that are not kept.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut V)> {
        self.rows.iter_mut()
    }

    pub(super) fn clear(&mut self) {
        self.changed.extend(std::mem::take(&mut self.rows).into_keys());
    }

    /// Names of rows that may have changed since this was asked for the last time, with what stands there now.
    pub(super) fn take_changed(&mut self) -> impl Iterator<Item = (String, Option<&V>)> {
        let Self { rows, changed } = self;
        std::mem::take(changed).into_iter().map(|name| {
            let row = rows.get(&name);
            (name, row)
        })
    }
}

impl<V> Extend<(String, V)> for Table<V> {
    fn extend<T: IntoIterator<Item = (String, V)>>(&mut self, rows: T) {
        rows.into_iter().for_each(|(name, row)| self.insert(name, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_changed_is_told_once() {
        let mut table = Table::default();
        table.extend([("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 3)]);
        let changed = |table: &mut Table<i32>| -> Vec<_> {
            table.take_changed().map(|(name, row)| (name, row.copied())).collect()
        };
        assert_eq!(changed(&mut table).len(), 3);
        *table.get_mut("a").expect("there") = 5;
        table.retain(|name, _| name != "b");
        assert_eq!(table.remove("nobody"), None);
        assert_eq!(changed(&mut table), [("a".to_owned(), Some(5)), ("b".to_owned(), None)]);
        table.iter_mut().for_each(|(_, row)| *row += 1);
        assert!(changed(&mut table).is_empty());
        table.clear();
        assert_eq!(changed(&mut table), [("a".to_owned(), None), ("c".to_owned(), None)]);
        assert!(table.is_empty());
    }
}
