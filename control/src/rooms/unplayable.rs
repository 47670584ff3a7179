//! Producers that a participant is not sent, since its client has none of their codecs: it is told which these are, so
//! that it can say so to people, and when that changes.

use super::ear::{PeerEvent, Unplayable};
use super::state::State;
use crate::ortc;

impl State {
    /// A participant cannot be sent a producer. It is told so once.
    pub(super) fn note_unplayable(&mut self, producer: &str, viewer: &str) {
        let hears = self.peers.get(viewer).is_some_and(|peer| peer.ear.is_some());
        if hears && self.unplayable.insert((producer.to_owned(), viewer.to_owned())) {
            self.tell_unplayable(producer, viewer);
        }
    }

    /// Tells those who cannot be sent a producer how it is now.
    pub(super) fn tell_unplayable_changed(&self, producer: &str) {
        let viewers = self.unplayable.iter().filter(|(of, _)| of == producer);
        viewers.for_each(|(_, viewer)| self.tell_unplayable(producer, viewer));
    }

    fn tell_unplayable(&self, name: &str, viewer: &str) {
        let Some(of) = self.producers.get(name) else { return };
        let codec = of.consumable.codecs.iter().find(|codec| ortc::is_media(codec));
        let unplayable = Unplayable {
            producer: name.to_owned(),
            peer: of.owner.to_string(),
            kind: of.kind,
            mime_type: codec.map(|codec| codec.mime_type.clone()).unwrap_or_default(),
            paused: of.is_paused(),
            app_data: of.app_data.clone(),
        };
        self.tell(viewer, PeerEvent::Unplayable(Box::new(unplayable)));
    }

    /// A client that comes back is told of them again.
    pub(super) fn forget_unplayable_of(&mut self, viewer: &str) {
        self.unplayable.retain(|(_, of)| of != viewer);
    }

    /// Participants are told which of these have closed.
    pub(super) fn remove_unplayable_without_producer(&mut self) {
        let Self { peers, producers, unplayable, .. } = self;
        unplayable.retain(|(producer, viewer)| {
            let Some(ear) = peers.get(viewer).and_then(|peer| peer.ear.as_ref()) else { return false };
            let stays = producers.contains_key(producer);
            if !stays {
                ear.tell(PeerEvent::UnplayableClosed(producer.clone()));
            }
            stays
        });
    }
}
