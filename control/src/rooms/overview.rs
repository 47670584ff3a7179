//! A room as operators see it.

use std::collections::{HashMap, HashSet};

use super::peers::PeerInfo;
use super::room::Room;

/// What is in a room just now.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    pub(crate) id: String,
    pub(crate) worker: u32,
    /// All but viewers, by name.
    pub(crate) peers: Vec<PeerInfo>,
    /// How many watch each of the peers.
    pub(crate) viewers_of: HashMap<String, usize>,
    pub(crate) viewers: usize,
    pub(crate) transports: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    /// Names of transports, producers, consumers, data producers and data consumers by their number on the link, which
    /// is unique over all kinds.
    pub(crate) names: HashMap<u64, String>,
}

impl Room {
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
        let transports = state.transports.iter().map(|(name, of)| (of.id.0, name.clone()));
        let producers = state.producers.iter().map(|(name, of)| (of.id.0, name.clone()));
        let consumers = state.consumers.iter().map(|(name, of)| (of.id.0, name.clone()));
        Overview {
            id: self.id().to_owned(),
            worker: self.worker().index(),
            peers: state.peer_infos(),
            viewers_of: watching.into_iter().map(|(name, viewers)| (name.to_owned(), viewers.len())).collect(),
            viewers: state.peers.values().filter(|peer| peer.kind.is_viewer()).count(),
            transports: state.transports.len(),
            producers: state.producers.len(),
            consumers: state.consumers.len(),
            names: transports.chain(producers).chain(consumers).chain(state.data_names()).collect(),
        }
    }
}
