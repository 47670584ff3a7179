//! Peers come, join and leave.

use std::sync::Arc;

use super::error::{Code, Error};
use super::media::Producer;
use super::peer::{Left, NewPeer, Peer, PeerHandle, PeerKind};
use super::room::Room;
use super::state::State;
use crate::ortc::{Kind, RtpParameters};
use serde_json::Value;

/// Most peers of one kind in a room. Viewers are bounded by the worker's transports.
const MAX_PEERS: usize = 10_000;

/// A peer that others may know of, as it is just now.
#[derive(Clone, Debug)]
pub(crate) struct PeerInfo {
    pub(crate) name: String,
    pub(crate) kind: PeerKind,
    pub(crate) display_name: String,
    pub(crate) app_data: Value,
    pub(crate) joined: bool,
    pub(crate) producers: Vec<ProducerInfo>,
}

/// A producer as it is just now.
#[derive(Clone, Debug)]
pub(crate) struct ProducerInfo {
    pub(crate) name: String,
    /// The order of coming.
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) app_data: Option<Value>,
    /// What consumers choose from.
    pub(crate) consumable: Arc<RtpParameters>,
}

impl Room {
    /// A new peer, and what tells that it has left.
    pub(crate) async fn add_peer(&self, new: NewPeer) -> Result<(PeerHandle, Left), Error> {
        let mut state = self.state().await;
        state.check_open()?;
        self.removals().check(self.id(), &new.name, new.credential)?;
        if state.peers.contains_key(&new.name) {
            return Err(Error::new(Code::NameTaken, format!("there is {:?} in the room already", new.name)));
        }
        let alike = |peer: &&Peer| peer.kind.plural() == new.kind.plural();
        if !new.kind.is_viewer() && state.peers.values().filter(alike).count() >= MAX_PEERS {
            let reason = format!("the room has {MAX_PEERS} {} already", new.kind.plural());
            return Err(Error::unavailable(reason));
        }
        let (mut peer, left) = Peer::new(new);
        if peer.kind.is_broadcaster() {
            // Others come with a transport, and are told of when it is there.
            peer.begins(self.id(), None);
        }
        let handle = peer.handle.clone();
        state.add_peer(peer);
        state.tell_joined(handle.name());
        Ok((handle, left))
    }

    /// The peer of that name, and by which signaling it came.
    pub(crate) async fn find_peer(&self, name: &str) -> Option<(PeerHandle, PeerKind)> {
        self.state().await.peers.get(name).map(|peer| (peer.handle.clone(), peer.kind))
    }

    /// An error if the peer has left.
    pub(crate) async fn check_present(&self, peer: &PeerHandle) -> Result<(), Error> {
        self.state().await.peer(peer).map(|_| ())
    }

    /// The peer has joined: listeners are told of it from now on.
    pub(crate) async fn join(&self, peer: &PeerHandle) -> Result<(), Error> {
        let mut state = self.state().await;
        let joined = &mut state.peer_mut(peer)?.joined;
        if std::mem::replace(joined, true) {
            return Err(Error::wrong_state("the peer has joined already"));
        }
        state.tell_joined(peer.name());
        Ok(())
    }

    /// A peer leaves with everything that it has. Viewers go on with another one, or wait for the grace. False if it
    /// had left before.
    pub(crate) async fn remove_peer(&self, peer: &PeerHandle, why: &'static str) -> Result<bool, Error> {
        let mut state = self.state().await;
        self.remove_locked(&mut state, peer, why).await
    }

    pub(super) async fn remove_locked(
        &self,
        state: &mut State,
        peer: &PeerHandle,
        why: &'static str,
    ) -> Result<bool, Error> {
        if state.peer(peer).is_err() {
            return Ok(false);
        }
        let gone = std::slice::from_ref(peer);
        state.close_transports(gone).await?;
        state.remove_peers(gone, why);
        self.settle(state).await?;
        Ok(true)
    }

    /// Every peer but viewers, by name.
    pub(crate) async fn peers(&self) -> Vec<PeerInfo> {
        self.state().await.peer_infos()
    }
}

impl State {
    pub(super) fn peer_infos(&self) -> Vec<PeerInfo> {
        let known = self.peers.values().filter(|peer| peer.kind.is_named());
        let info = |peer: &Peer| PeerInfo {
            name: peer.handle.name().to_owned(),
            kind: peer.kind,
            display_name: peer.display_name.clone(),
            app_data: peer.app_data.clone(),
            joined: peer.joined,
            producers: self.producer_infos(peer.handle.name()),
        };
        known.map(info).collect()
    }

    /// What a peer publishes, in the order in which it came.
    pub(super) fn producer_infos(&self, owner: &str) -> Vec<ProducerInfo> {
        let mut own: Vec<_> = self.producers.iter().filter(|(_, producer)| *producer.owner == *owner).collect();
        own.sort_unstable_by_key(|(_, producer)| producer.id);
        let info = |(name, producer): (&String, &Producer)| ProducerInfo {
            name: name.clone(),
            number: producer.id.0,
            kind: producer.kind,
            app_data: producer.app_data.clone(),
            consumable: Arc::clone(&producer.consumable),
        };
        own.into_iter().map(info).collect()
    }
}
