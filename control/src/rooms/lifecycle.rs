//! What the outside is told of rooms and peers. What happens is noted in the tables, under their lock, and told when
//! the lock is given back: in the order in which it happened, and after it was kept.

use crate::lifecycle::{Begun, Happened, Participant, RoomId, Track};
use crate::ortc::Kind;

use super::media::Producer;
use super::peer::Peer;
use super::registry::Rooms;
use super::room::Room;
use super::state::State;

impl Peer {
    fn told(&self) -> Participant {
        Participant {
            identity: self.handle.name().to_owned(),
            display_name: self.display_name.clone(),
            number: self.number(),
            kind: self.kind.name(),
        }
    }
}

impl Producer {
    /// What it is called outside.
    pub(super) fn told(&self, name: &str) -> Track {
        Track {
            name: name.to_owned(),
            is_video: self.kind == Kind::Video,
            source: self.app_data.as_ref().and_then(|data| Some(data["source"].as_str()?.to_owned())),
            mime_type: self.consumable.codecs.first().map(|codec| codec.mime_type.clone()),
            is_simulcast: self.streams == "simulcast",
            is_paused: self.paused,
        }
    }
}

impl State {
    pub(super) fn note_started(&mut self) {
        self.happened.push(Happened::RoomStarted);
    }

    /// The room closes: everybody leaves.
    pub(super) fn note_finished(&mut self, why: &'static str) {
        let mut numbers: Vec<_> = self.peers.iter().map(|(name, peer)| (peer.number(), name.clone())).collect();
        numbers.sort_unstable();
        for (_, name) in numbers {
            self.note_left(&name, why);
        }
        self.happened.push(Happened::RoomFinished);
    }

    /// A peer that others may know of.
    fn participant(&self, name: &str) -> Option<Participant> {
        self.peers.get(name).filter(|peer| peer.is_shown()).map(Peer::told)
    }

    /// What a peer publishes, in the order in which it came.
    fn own_tracks(&self, owner: &str) -> Vec<Track> {
        let mut own: Vec<_> = self.producers.iter().filter(|(_, producer)| *producer.owner == *owner).collect();
        own.sort_unstable_by_key(|(_, producer)| producer.id);
        own.into_iter().map(|(name, producer)| producer.told(name)).collect()
    }

    /// Others may know of the peer from now on, and of what it has.
    pub(super) fn note_joined(&mut self, name: &str) {
        let Some(peer) = self.participant(name) else { return };
        self.happened.push(Happened::Joined(peer.clone()));
        let own = self.own_tracks(name);
        self.happened.extend(own.into_iter().map(|track| Happened::Published(peer.clone(), track)));
    }

    /// The peer is about to leave, with what it has.
    pub(super) fn note_left(&mut self, name: &str, why: &'static str) {
        let Some(peer) = self.participant(name) else { return };
        let own = self.own_tracks(name);
        self.happened.extend(own.into_iter().map(|track| Happened::Unpublished(peer.clone(), track)));
        self.happened.push(Happened::Left(peer, why));
    }

    /// A peer that is there publishes this.
    pub(super) fn note_published(&mut self, producer: &str) {
        let Some(of) = self.producers.get(producer) else { return };
        let Some(peer) = self.participant(&of.owner) else { return };
        let track = of.told(producer);
        self.happened.push(Happened::Published(peer, track));
    }

    /// A peer that stays has this no longer.
    pub(super) fn note_unpublished(&mut self, owner: &str, track: Track) {
        let Some(peer) = self.participant(owner) else { return };
        self.happened.push(Happened::Unpublished(peer, track));
    }
}

impl Room {
    fn told(&self) -> RoomId {
        RoomId { name: self.id().to_owned(), number: self.home().router().0 }
    }

    /// Tells what has happened since the last time.
    pub(super) fn tell_happened(&self, state: &mut State) {
        if state.happened.is_empty() {
            return;
        }
        let room = self.told();
        for happened in std::mem::take(&mut state.happened) {
            self.journal().tell(&room, &happened);
        }
    }
}

impl Rooms {
    /// The server has begun, and has these rooms. `again`: in place of another.
    pub(crate) async fn tell_begun(&self, again: bool) {
        let mut rooms = Vec::new();
        for room in self.all().await {
            let state = room.state().await;
            rooms.push((room.told(), state.peers.values().filter(|peer| peer.is_shown()).count()));
        }
        self.journal().tell_begun(&Begun { again, rooms });
    }
}
