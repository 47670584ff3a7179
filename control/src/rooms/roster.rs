//! Who has what in a room, for those who look at the worker's counters: they have the numbers of the link alone.

use std::collections::HashMap;
use std::sync::Arc;

use corecast_wire::{Command, Object, ObjectStats, ProducerId, Reply, TransportId};

use super::error::Error;
use super::peer::PeerKind;
use super::room::Room;
use super::state::State;

/// Objects of one peer that its worker is asked about.
const MAX_OBJECTS: usize = 500;
/// Objects that it is asked about before media has its turn again.
const AT_ONCE: usize = 64;

/// Whose transport it is.
#[derive(Clone, Debug)]
pub(crate) struct Occupant {
    /// The peer's name.
    pub(crate) peer: Arc<str>,
    /// What people call the peer; empty if it has not said.
    pub(crate) display_name: String,
    /// The transport's name.
    pub(crate) transport: String,
}

/// Transports and producers of a room, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    /// The room's name.
    pub(crate) room: String,
    /// Index of its worker.
    pub(crate) worker: u32,
    pub(crate) transports: HashMap<TransportId, Occupant>,
    /// What people call the peer of each producer.
    pub(crate) producers: HashMap<ProducerId, String>,
}

/// What the worker has counted of one peer's objects.
#[derive(Clone, Debug)]
pub(crate) struct PeerCounters {
    pub(crate) kind: PeerKind,
    pub(crate) display_name: String,
    /// Index of the worker.
    pub(crate) worker: u32,
    pub(crate) objects: Vec<ObjectStats>,
    /// Objects of the peer beyond those.
    pub(crate) left_out: usize,
}

impl State {
    /// What people call a peer: the name that it gave itself, or else its name in the room.
    fn called(&self, peer: &str) -> String {
        let given = self.peers.get(peer).map(|peer| peer.display_name.as_str()).filter(|name| !name.is_empty());
        given.unwrap_or(peer).to_owned()
    }

    /// Every object of a peer, transports first.
    fn objects_of(&self, peer: &str) -> Vec<Object> {
        let is_own = |owner: &str| owner == peer;
        let transports = self.transports.values().filter(|of| is_own(&of.owner)).map(|of| Object::Transport(of.id));
        let producers = self.producers.values().filter(|of| is_own(&of.owner)).map(|of| Object::Producer(of.id));
        let consumers = self.consumers.values().filter(|of| is_own(&of.owner)).map(|of| Object::Consumer(of.id));
        let data = self.data_producers.values().filter(|of| of.owner.as_deref().is_some_and(is_own));
        let data = data.map(|of| Object::DataProducer(of.id));
        let data_consumers = self.data_consumers.values().filter(|of| is_own(&of.owner));
        let data_consumers = data_consumers.map(|of| Object::DataConsumer(of.id));
        transports.chain(producers).chain(consumers).chain(data).chain(data_consumers).collect()
    }
}

impl Room {
    /// Transports and producers that are there just now.
    pub(crate) async fn roster(&self) -> Roster {
        let state = self.state().await;
        let transports = state.transports.iter().map(|(name, of)| {
            let display_name = state.peers.get(&*of.owner).map(|peer| peer.display_name.clone()).unwrap_or_default();
            (of.id, Occupant { peer: Arc::clone(&of.owner), display_name, transport: name.clone() })
        });
        Roster {
            room: self.id().to_owned(),
            worker: self.worker().index(),
            transports: transports.collect(),
            producers: state.producers.values().map(|of| (of.id, state.called(&of.owner))).collect(),
        }
    }

    /// Counters of everything that a peer has.
    pub(crate) async fn peer_counters(&self, name: &str) -> Result<PeerCounters, Error> {
        let (kind, display_name, mut objects) = {
            let state = self.state().await;
            let peer = state.peers.get(name).ok_or_else(|| Error::not_found("peer", name))?;
            (peer.kind, peer.display_name.clone(), state.objects_of(name))
        };
        let left_out = objects.len().saturating_sub(MAX_OBJECTS);
        objects.truncate(MAX_OBJECTS);
        let mut counted = Vec::new();
        for some in objects.chunks(AT_ONCE) {
            let commands = some.iter().map(|object| Command::ObjectStats { object: *object }).collect();
            // One that is refused has closed meanwhile.
            counted.extend(self.worker().try_all(commands).await?.into_iter().filter_map(|reply| match reply {
                Ok(Reply::ObjectStats(stats)) => Some(*stats),
                _ => None,
            }));
        }
        Ok(PeerCounters { kind, display_name, worker: self.worker().index(), objects: counted, left_out })
    }
}
