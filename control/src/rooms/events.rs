//! What a room tells its listeners: who is there, who joins, leaves, or changes what it publishes.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::broadcast;

/// Events that a slow listener may be behind; after that it begins again with the list.
const BACKLOG: usize = 64;

/// A peer as listeners know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) name: String,
    pub(crate) display_name: String,
    /// Kinds of what it publishes, in the order in which it came.
    pub(crate) tracks: Vec<&'static str>,
}

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoomEvent {
    /// Who is there: the first event of every listener.
    List(Vec<Presence>),
    Joined(Presence),
    /// It publishes something else than before.
    Changed(Presence),
    /// The peer of this name.
    Left(String),
    /// The server stops, at this time at the latest.
    Closing(Instant),
}

/// Where a room sends its events.
#[derive(Debug)]
pub(super) struct EventSender(broadcast::Sender<Arc<RoomEvent>>);

impl Default for EventSender {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl EventSender {
    pub(super) fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<RoomEvent>> {
        self.0.subscribe()
    }

    pub(super) fn send(&self, event: RoomEvent) {
        // Fails without listeners, and then there is nothing to do.
        let _ = self.0.send(Arc::new(event));
    }
}
