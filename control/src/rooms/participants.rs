//! Participants: peers whose signaling carries messages both ways. Each enters the room without others knowing of it,
//! makes its transports, and joins: from then on it is told of the others, and they of it.

use std::sync::Arc;

use serde_json::Value;

use super::ear::PeerEvent;
use super::ear::{Ear, PeerEvents, PeerView};
use super::error::{Code, Error};
use super::peer::{Left, NewPeer, Peer, PeerHandle};
use super::room::Room;
use super::state::State;
use crate::ortc::RtpCapabilities;

/// Most participants in a room: each is told of all others.
const MAX_PARTICIPANTS: usize = 1_000;

/// Why a participant leaves whose client has come again.
pub(crate) const CAME_AGAIN: &str = "its client came again";

/// A participant that has entered: it, what tells that it has left, and its events.
pub(crate) type Entered = (PeerHandle, Left, PeerEvents);

/// What a participant says of itself when it joins.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) display_name: String,
    /// What its signaling tells others of it.
    pub(crate) app_data: Value,
    /// What it can receive. Without it, it is sent no media.
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
}

/// Who and what is there when a participant joins.
#[derive(Clone, Debug, Default)]
pub(crate) struct There {
    /// The others, in the order of coming.
    pub(crate) peers: Vec<PeerView>,
    /// Names of what they publish.
    pub(crate) producers: Vec<String>,
    /// Names of their data producers, and of the bot's.
    pub(crate) data_producers: Vec<String>,
}

impl Room {
    /// A participant comes. One of the same name makes place for it, if it came with the same credential: its client
    /// has come again.
    pub(crate) async fn enter(self: &Arc<Self>, new: NewPeer) -> Result<Entered, Error> {
        let mut state = self.state().await;
        state.check_open()?;
        self.removals().check(self.id(), &new.name, new.credential)?;
        if let Some(holder) = state.peers.get(&new.name) {
            if holder.kind != new.kind || holder.credential != new.credential {
                return Err(Error::new(Code::NameTaken, format!("there is {:?} in the room already", new.name)));
            }
            let gone = [holder.handle.clone()];
            state.close_transports(&gone).await?;
            state.remove_peers(&gone, CAME_AGAIN);
            self.succeed(&mut state).await;
        }
        state.check_place()?;
        let (mut peer, left) = Peer::new(new);
        let (ear, events) = Ear::new();
        peer.ear = Some(ear);
        peer.begins(self.id(), None);
        let handle = peer.handle.clone();
        state.add_peer(peer);
        self.attend(&mut state).await;
        Ok((handle, left, events))
    }

    /// An error if the room has as many participants as it may have.
    pub(crate) async fn check_place(&self) -> Result<(), Error> {
        self.state().await.check_place()
    }

    /// A participant joins: others are told of it from now on, and it is told of them.
    pub(crate) async fn join_as(&self, peer: &PeerHandle, profile: Profile) -> Result<There, Error> {
        profile.rtp_capabilities.as_ref().map_or(Ok(()), RtpCapabilities::check)?;
        let mut state = self.state().await;
        let joining = state.peer_mut(peer)?;
        if joining.joined {
            return Err(Error::wrong_state("the peer has joined already"));
        }
        joining.joined = true;
        joining.display_name = profile.display_name;
        joining.app_data = profile.app_data;
        joining.rtp_capabilities = profile.rtp_capabilities.map(Arc::new);
        state.tell_joined(peer.name());
        Ok(state.there(peer))
    }

    /// A participant is called by another name from now on.
    pub(crate) async fn rename(&self, peer: &PeerHandle, display_name: String) -> Result<(), Error> {
        let mut state = self.state().await;
        state.joined_peer(peer)?;
        let renamed = state.peer_mut(peer)?;
        let old = std::mem::replace(&mut renamed.display_name, display_name.clone());
        let event = || PeerEvent::Renamed {
            peer: peer.name().to_owned(),
            display_name: display_name.clone(),
            old: old.clone(),
        };
        state.tell_others(peer.name(), event);
        state.tell_changed(peer.name());
        Ok(())
    }
}

impl State {
    fn check_place(&self) -> Result<(), Error> {
        if self.peers.values().filter(|peer| peer.ear.is_some()).count() >= MAX_PARTICIPANTS {
            return Err(Error::unavailable(format!("the room has {MAX_PARTICIPANTS} participants already")));
        }
        Ok(())
    }

    pub(super) fn there(&self, peer: &PeerHandle) -> There {
        let mut others: Vec<&Peer> =
            self.peers.values().filter(|other| other.is_shown() && other.handle != *peer).collect();
        others.sort_unstable_by_key(|other| other.number());
        let mut there = There::default();
        for other in others {
            there.peers.push(other.view());
            let producers = self.producer_infos(other.handle.name());
            there.producers.extend(producers.into_iter().map(|producer| producer.name));
        }
        let data = self.data_producers.iter().filter(|(_, one)| self.is_for_others(one, peer.name()));
        let mut data: Vec<_> = data.map(|(name, one)| (one.id, name)).collect();
        data.sort_unstable_by_key(|(id, _)| *id);
        there.data_producers = data.into_iter().map(|(_, name)| name.clone()).collect();
        there
    }
}
