//! What operators do to those who are in a room: they are listed, muted, and removed.

use std::net::IpAddr;
use std::time::Duration;

use corecast_wire::Command;

use super::ear::PeerEvent;
use super::error::{Code, Error};
use super::muted::Muted;
use super::peer::{Peer, PeerKind};
use super::room::Room;
use super::state::State;
use crate::ortc::Kind;
use crate::workers::RequestError;

/// Why a peer leaves whom an operator does not want there.
pub(crate) const REMOVED: &str = "an operator removed it";

/// A peer as operators see it, viewers included.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: PeerKind,
    pub(crate) display_name: String,
    /// Others are told of it.
    pub(crate) joined: bool,
    pub(crate) muted: Muted,
    /// Address of its client.
    pub(crate) client: IpAddr,
    /// Since it came.
    pub(crate) age: Duration,
    /// What it publishes, in the order in which it came.
    pub(crate) producers: Vec<MemberProducer>,
    pub(crate) transports: usize,
    pub(crate) consumers: usize,
}

/// A producer as operators see it.
#[derive(Clone, Debug)]
pub(crate) struct MemberProducer {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// By its client.
    pub(crate) paused: bool,
}

impl Room {
    /// Everybody who is there, in the order of coming.
    pub(crate) async fn members(&self) -> Vec<Member> {
        let state = self.state().await;
        let mut peers: Vec<&Peer> = state.peers.values().collect();
        peers.sort_unstable_by_key(|peer| peer.number());
        peers.into_iter().map(|peer| state.member(peer)).collect()
    }

    /// Names of those who are out of the room.
    pub(crate) fn removed(&self) -> Vec<String> {
        self.removals().of_room(self.id())
    }

    /// A peer leaves with everything that it has. It stays out until it is invited again, unless it may return.
    pub(crate) async fn expel(&self, name: &str, may_return: bool) -> Result<(), Error> {
        let (peer, stays_out, credential) = {
            let state = self.state().await;
            let peer = state.peers.get(name).ok_or_else(|| Error::not_found("peer", name))?;
            // A viewer's name is drawn for each coming: it tells nothing of who it is.
            let is_known = peer.kind.is_named() || peer.credential.is_some_and(|shown| shown.is_personal);
            (peer.handle.clone(), is_known && !may_return, peer.credential)
        };
        // First, so that it cannot come again meanwhile.
        if stays_out {
            self.removals().put(self.id(), name, credential);
        }
        match self.remove_peer(&peer, REMOVED).await? {
            true => Ok(()),
            false => Err(Error::not_found("peer", name)),
        }
    }

    /// What a peer sends of these kinds, now and later, reaches nobody; or does again as far as its client has not
    /// paused it. Its client and those who are sent it are told.
    pub(crate) async fn mute(&self, name: &str, kinds: &[Kind], muted: bool) -> Result<Muted, Error> {
        let mut guard = self.state().await;
        let state = &mut *guard;
        let peer = state.peers.get(name).ok_or_else(|| Error::not_found("peer", name))?;
        if peer.kind.is_viewer() {
            return Err(Error::new(Code::WrongState, format!("{name:?} only watches: there is nothing to mute")));
        }
        let own = state.producers.iter().filter(|(_, of)| *of.owner == *name && kinds.contains(&of.kind));
        let own: Vec<_> = own.map(|(name, _)| name.clone()).collect();
        let pauses = own.iter().filter_map(|producer| state.producers.get(producer));
        let pauses = pauses.map(|of| Command::PauseProducer { producer: of.id, paused: muted || of.paused });
        for result in self.worker().try_all(pauses.collect()).await? {
            result.map_err(RequestError::from)?;
        }
        for producer in own {
            state.change_pause(&producer, |of| of.muted = muted);
        }
        let peer = state.peers.get_mut(name).ok_or_else(|| Error::not_found("peer", name))?;
        kinds.iter().for_each(|kind| peer.muted.set(*kind, muted));
        let now = peer.muted;
        state.tell(name, PeerEvent::Muted(now));
        let what = if muted { "muted" } else { "no longer muted" };
        tracing::info!("{name:?} in room {:?} is {what} by an operator", self.id());
        Ok(now)
    }
}

impl State {
    fn member(&self, peer: &Peer) -> Member {
        let name = peer.handle.name();
        let mut producers: Vec<_> = self.producers.iter().filter(|(_, of)| *of.owner == *name).collect();
        producers.sort_unstable_by_key(|(_, of)| of.id);
        let producers = producers.into_iter();
        Member {
            name: name.to_owned(),
            kind: peer.kind,
            display_name: peer.display_name.clone(),
            joined: peer.joined,
            muted: peer.muted,
            client: peer.client(),
            age: peer.since.elapsed(),
            producers: producers
                .map(|(name, of)| MemberProducer { name: name.clone(), kind: of.kind, paused: of.paused })
                .collect(),
            transports: self.transports.values().filter(|of| *of.owner == *name).count(),
            consumers: self.consumers.values().filter(|of| *of.owner == *name).count(),
        }
    }
}
