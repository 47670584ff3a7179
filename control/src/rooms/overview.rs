//! A room as operators see it.

use std::collections::{HashMap, HashSet};

use corecast_wire::SrtpCryptoSuite;

use super::media::{BOT, Producer};
use super::peer::PeerKind;
use super::peers::PeerInfo;
use super::pipe::Branch;
use super::room::Room;
use super::state::State;
use super::transport::TransportKind;

/// What is in a room just now.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    pub(crate) id: String,
    /// Index of its home's worker.
    pub(crate) worker: u32,
    /// So many of those who speak are heard; 0 for all.
    pub(crate) loudest: u16,
    /// Those of the workers on which it has branches.
    pub(crate) branches: Vec<u32>,
    /// All but viewers, by name.
    pub(crate) peers: Vec<PeerInfo>,
    /// How many watch each of the peers.
    pub(crate) viewers_of: HashMap<String, usize>,
    pub(crate) viewers: usize,
    pub(crate) transports: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    /// Transports, producers, consumers, data producers and data consumers by their number on the link, which is unique
    /// over all kinds.
    pub(crate) objects: HashMap<u64, Named>,
}

/// What an object of the link is called, and what only the room knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// Name of its peer.
    pub(crate) peer: String,
    /// MIME type of what a producer sends, or a consumer is sent.
    pub(crate) codec: Option<String>,
    /// SRTP suite of a plain transport that has one.
    pub(crate) suite: Option<SrtpCryptoSuite>,
}

impl Named {
    pub(super) fn new(name: &str, peer: &str) -> Self {
        Self { name: name.to_owned(), peer: peer.to_owned(), codec: None, suite: None }
    }
}

impl State {
    fn objects(&self) -> HashMap<u64, Named> {
        let codec = |producer: Option<&Producer>| {
            producer.and_then(|producer| Some(producer.consumable.codecs.first()?.mime_type.clone()))
        };
        let transports = self.transports.iter().map(|(name, of)| {
            let suite = match &of.kind {
                TransportKind::Plain(plain) => plain.suite,
                TransportKind::WebRtc { .. } => None,
            };
            (of.id.0, Named { suite, ..Named::new(name, &of.owner) })
        });
        let producers = self.producers.iter();
        let producers =
            producers.map(|(name, of)| (of.id.0, Named { codec: codec(Some(of)), ..Named::new(name, &of.owner) }));
        let consumers = self.consumers.iter().map(|(name, of)| {
            let codec = codec(self.producers.get(&of.producer));
            (of.id.0, Named { codec, ..Named::new(name, &of.owner) })
        });
        let data_producers = self.data_producers.iter();
        let data_producers =
            data_producers.map(|(name, of)| (of.id.0, Named::new(name, of.owner.as_deref().unwrap_or(BOT))));
        let data_consumers = self.data_consumers.iter().map(|(name, of)| (of.id.0, Named::new(name, &of.owner)));
        let data = data_producers.chain(data_consumers).chain(self.data_names());
        let pipes = self.branches.values().flat_map(Branch::names);
        transports.chain(producers).chain(consumers).chain(data).chain(pipes).collect()
    }
}

impl Branch {
    /// What its pipe and what crosses it are called, by their numbers on the link. Nobody owns them.
    fn names(&self) -> impl Iterator<Item = (u64, Named)> {
        let worker = self.site.worker().index();
        let named = move |id: u64, what: String| (id, Named::new(&what, ""));
        let ends = [self.pipe.ends].into_iter().chain(self.messages.as_ref().map(|pipe| pipe.ends));
        let ends = ends.flat_map(|ends| [ends.near.0, ends.far.0]);
        let ends = ends.map(move |id| named(id, format!("pipe to worker {worker}")));
        let crossing = self.crossing.iter().flat_map(move |(name, of)| {
            let numbers = of.consumers.iter().map(|consumer| consumer.0).chain([of.producer.0]);
            numbers.map(move |id| named(id, format!("{name} on worker {worker}"))).collect::<Vec<_>>()
        });
        ends.chain(crossing)
    }
}

/// How much is in a room just now.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    /// The room's name.
    pub(crate) name: String,
    pub(crate) worker: u32,
    /// So many of those who speak are heard; 0 for all.
    pub(crate) loudest: u16,
    pub(crate) broadcasters: usize,
    pub(crate) publishers: usize,
    pub(crate) viewers: usize,
    pub(crate) participants: usize,
    pub(crate) consumers: usize,
}

impl Room {
    /// How much is in it.
    pub(crate) async fn size(&self) -> Size {
        let state = self.state().await;
        let mut size = Size {
            name: self.id().to_owned(),
            worker: self.worker().index(),
            loudest: state.loudest,
            broadcasters: 0,
            publishers: 0,
            viewers: 0,
            participants: 0,
            consumers: state.consumers.len(),
        };
        for peer in state.peers.values() {
            match peer.kind {
                PeerKind::LegacyBroadcaster | PeerKind::TypedBroadcaster => size.broadcasters += 1,
                PeerKind::Whip | PeerKind::Remote => size.publishers += 1,
                PeerKind::Whep => size.viewers += 1,
                PeerKind::Participant => size.participants += 1,
                PeerKind::Machine => {}
            }
        }
        size
    }

    /// What is in it.
    pub(crate) async fn overview(&self) -> Overview {
        let state = self.state().await;
        let mut watching: HashMap<&str, HashSet<&str>> = HashMap::new();
        let is_viewer = |name: &str| state.peers.get(name).is_some_and(|peer| peer.kind.is_viewer());
        for consumer in state.consumers.values().filter(|consumer| is_viewer(&consumer.owner)) {
            if let Some(producer) = state.producers.get(&consumer.producer) {
                watching.entry(&*producer.owner).or_default().insert(&*consumer.owner);
            }
        }
        Overview {
            id: self.id().to_owned(),
            worker: self.worker().index(),
            loudest: state.loudest,
            branches: state.branches.values().map(|branch| branch.site.worker().index()).collect(),
            peers: state.peer_infos(),
            viewers_of: watching.into_iter().map(|(name, viewers)| (name.to_owned(), viewers.len())).collect(),
            viewers: state.peers.values().filter(|peer| peer.kind.is_viewer()).count(),
            transports: state.transports.len(),
            producers: state.producers.len(),
            consumers: state.consumers.len(),
            objects: state.objects(),
        }
    }
}
