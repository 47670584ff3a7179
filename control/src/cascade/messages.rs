//! What machines ask each other, as JSON. All of it goes from the machine with the viewers to that of the room.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::rooms::{Crossed, Crosser, PipeEnd};

/// A publisher that somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) room: String,
    /// Its name; none for any of the room.
    pub(crate) peer: Option<String>,
}

/// Whether it publishes at the machine that is asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) found: bool,
}

/// A pipe is wanted on which this publisher comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    pub(crate) wanted: Wanted,
    /// The side of the machine that asks.
    pub(crate) end: PipeEnd,
}

/// It is open, and stays so for as long as it is renewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) pipe: String,
    pub(crate) publisher: Crosser,
    /// The side of the machine that was asked.
    pub(crate) end: PipeEnd,
    pub(crate) producers: Vec<Crossed>,
}

/// These pipes are wanted on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renew {
    /// For each what is known of its producers: whether they are paused.
    pub(crate) pipes: BTreeMap<String, BTreeMap<String, bool>>,
}

/// What crosses on each of them; one that is missing has closed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Renewed {
    pub(crate) pipes: BTreeMap<String, Vec<Crossed>>,
}

/// A pipe is not wanted any longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) pipe: String,
}

impl Renew {
    /// Whether this says something else than what is known.
    pub(crate) fn differs(&self, renewed: &Renewed) -> bool {
        self.pipes.iter().any(|(pipe, known)| match renewed.pipes.get(pipe) {
            None => true,
            Some(crossed) => {
                let ids: HashSet<&str> = crossed.iter().map(|one| &*one.id).collect();
                known.keys().any(|id| !ids.contains(&**id))
                    || crossed.iter().any(|one| known.get(&one.id) != Some(&one.paused))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossed(id: &str, paused: bool) -> Crossed {
        Crossed { id: id.to_owned(), paused, details: None }
    }

    #[test]
    fn what_is_new_is_noticed_and_nothing_else() {
        let known = BTreeMap::from([("a".to_owned(), false), ("b".to_owned(), true)]);
        let renew = Renew { pipes: BTreeMap::from([("p".to_owned(), known)]) };
        let says = |crossed| renew.differs(&Renewed { pipes: BTreeMap::from([("p".to_owned(), crossed)]) });
        assert!(!says(vec![crossed("b", true), crossed("a", false)]));
        assert!(says(vec![crossed("a", false)]), "one has gone");
        assert!(says(vec![crossed("a", true), crossed("b", true)]), "one has been paused");
        assert!(says(vec![crossed("a", false), crossed("b", true), crossed("c", false)]), "one has come");
        assert!(renew.differs(&Renewed::default()), "the pipe has closed");
    }
}
