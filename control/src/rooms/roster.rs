//! Who has what in a room, for those who look at the worker's counters: they have the numbers of the link alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use corecast_wire::{Command, Object, ObjectStats, ProducerId, Reply, TransportId};

use super::error::Error;
use super::peer::PeerKind;
use super::room::Room;
use super::site::Site;
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
    /// Index of its worker.
    pub(crate) worker: u32,
}

/// Transports and producers of a room, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    /// The room's name.
    pub(crate) room: String,
    /// Index of the worker that it was made on.
    pub(crate) worker: u32,
    /// Those of the workers on which it has branches.
    pub(crate) branches: Vec<u32>,
    pub(crate) transports: HashMap<TransportId, Occupant>,
    /// What people call the peer of each producer.
    pub(crate) producers: HashMap<ProducerId, String>,
    /// On branches, what stands for a producer that crosses, and that producer.
    pub(crate) crossing: HashMap<ProducerId, ProducerId>,
}

/// What the worker has counted of one peer's objects.
#[derive(Clone, Debug)]
pub(crate) struct PeerCounters {
    pub(crate) kind: PeerKind,
    pub(crate) display_name: String,
    /// With the index of its worker each.
    pub(crate) objects: Vec<(u32, ObjectStats)>,
    /// Objects of the peer beyond those.
    pub(crate) left_out: usize,
}

impl Roster {
    /// What the publisher sends that a consumer is sent: its own producer, even if the consumer is on a branch.
    pub(crate) fn origin(&self, producer: ProducerId) -> ProducerId {
        self.crossing.get(&producer).copied().unwrap_or(producer)
    }
}

impl State {
    /// What people call a peer: the name that it gave itself, or else its name in the room.
    fn called(&self, peer: &str) -> String {
        let given = self.peers.get(peer).map(|peer| peer.display_name.as_str()).filter(|name| !name.is_empty());
        given.unwrap_or(peer).to_owned()
    }

    /// Every object of a peer by the index of its worker, transports first.
    fn objects_of(&self, peer: &str, home: &Site) -> BTreeMap<u32, (Site, Vec<Object>)> {
        let is_own = |owner: &str| owner == peer;
        let transports = self.transports.values().filter(|of| is_own(&of.owner));
        let transports = transports.map(|of| (&of.site, Object::Transport(of.id)));
        let producers = self.producers.values().filter(|of| is_own(&of.owner));
        let producers = producers.map(|of| (home, Object::Producer(of.id)));
        let consumers = self.consumers.values().filter(|of| is_own(&of.owner));
        let consumers = consumers.map(|of| (&of.site, Object::Consumer(of.id)));
        let data = self.data_producers.values().filter(|of| of.owner.as_deref().is_some_and(is_own));
        let data = data.map(|of| (home, Object::DataProducer(of.id)));
        let data_consumers = self.data_consumers.values().filter(|of| is_own(&of.owner));
        let data_consumers = data_consumers.map(|of| (&of.site, Object::DataConsumer(of.id)));
        let mut objects = BTreeMap::new();
        for (site, object) in transports.chain(producers).chain(consumers).chain(data).chain(data_consumers) {
            let of_worker = objects.entry(site.worker().index());
            of_worker.or_insert_with(|| (site.clone(), Vec::new())).1.push(object);
        }
        objects
    }
}

impl Room {
    /// Transports and producers that are there just now.
    pub(crate) async fn roster(&self) -> Roster {
        let state = self.state().await;
        let transports = state.transports.iter().map(|(name, of)| {
            let display_name = state.peers.get(&*of.owner).map(|peer| peer.display_name.clone()).unwrap_or_default();
            let (peer, worker) = (Arc::clone(&of.owner), of.site.worker().index());
            (of.id, Occupant { peer, display_name, transport: name.clone(), worker })
        });
        let crossing = state.branches.values().flat_map(|branch| &branch.crossing);
        let crossing = crossing.filter_map(|(name, of)| Some((of.producer, state.producers.get(name)?.id)));
        Roster {
            room: self.id().to_owned(),
            worker: self.home().worker().index(),
            branches: state.branches.values().map(|branch| branch.site.worker().index()).collect(),
            transports: transports.collect(),
            producers: state.producers.values().map(|of| (of.id, state.called(&of.owner))).collect(),
            crossing: crossing.collect(),
        }
    }

    /// Counters of everything that a peer has.
    pub(crate) async fn peer_counters(&self, name: &str) -> Result<PeerCounters, Error> {
        let (kind, display_name, objects) = {
            let state = self.state().await;
            let peer = state.peers.get(name).ok_or_else(|| Error::not_found("peer", name))?;
            (peer.kind, peer.display_name.clone(), state.objects_of(name, self.home()))
        };
        let (mut counted, mut left, mut left_out) = (Vec::new(), MAX_OBJECTS, 0);
        for (worker, (site, objects)) in objects {
            let asked = objects.len().min(left);
            left -= asked;
            left_out += objects.len() - asked;
            for some in objects.get(..asked).unwrap_or_default().chunks(AT_ONCE) {
                let commands = some.iter().map(|object| Command::ObjectStats { object: *object }).collect();
                // One that is refused has closed meanwhile.
                counted.extend(site.worker().try_all(commands).await?.into_iter().filter_map(|reply| match reply {
                    Ok(Reply::ObjectStats(stats)) => Some((worker, *stats)),
                    _ => None,
                }));
            }
        }
        Ok(PeerCounters { kind, display_name, objects: counted, left_out })
    }
}
