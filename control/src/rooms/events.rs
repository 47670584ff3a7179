//! Who is there: a room tells its listeners who joins, leaves, or changes what it publishes.
//!
//! What is told is told under the room's lock, so that a listener that begins with the list misses nothing.

use std::sync::{Arc, Weak};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

use super::room::State;
use super::{ApiError, Room};

/// Events that a slow listener may be behind; after that it begins anew with the list.
const BACKLOG: usize = 64;
/// Listeners of one room.
const MAX_LISTENERS: usize = 1_000;

/// One event: its name and its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomEvent {
    pub(crate) name: &'static str,
    pub(crate) data: String,
}

/// Where a room tells.
#[derive(Debug)]
pub(super) struct Teller(broadcast::Sender<Arc<RoomEvent>>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Teller {
    pub(super) fn has_listeners(&self) -> bool {
        self.0.receiver_count() > 0
    }

    fn tell(&self, name: &'static str, data: &Value) {
        // Without listeners there is nobody to be told.
        let _ = self.0.send(Arc::new(RoomEvent { name, data: data.to_string() }));
    }
}

/// Somebody who listens. Does not keep the room.
#[derive(Debug)]
pub(crate) struct Listener {
    room: Weak<Room>,
    first: Option<RoomEvent>,
    events: broadcast::Receiver<Arc<RoomEvent>>,
}

impl Listener {
    /// The list first, then what happens; none once the room has closed.
    pub(crate) async fn next(&mut self) -> Option<RoomEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.events.recv().await {
            Ok(event) => Some(RoomEvent::clone(&event)),
            Err(RecvError::Closed) => None,
            Err(RecvError::Lagged(_)) => {
                let room = self.room.upgrade()?;
                let state = room.state().await;
                self.events = state.teller.0.subscribe();
                Some(state.list())
            }
        }
    }
}

impl Room {
    /// A new listener.
    pub(crate) async fn listen(self: &Arc<Self>) -> Result<Listener, ApiError> {
        let state = self.open_state().await?;
        if state.teller.0.receiver_count() >= MAX_LISTENERS {
            let sentence = format!("the room has {MAX_LISTENERS} listeners already");
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        let events = state.teller.0.subscribe();
        Ok(Listener { room: Arc::downgrade(self), first: Some(state.list()), events })
    }
}

impl State {
    fn list(&self) -> RoomEvent {
        let mut present: Vec<_> =
            self.broadcasters.iter().filter(|(_, of)| of.joined).map(|(name, of)| (of.number, name)).collect();
        present.extend(self.peers.iter().filter(|(_, of)| of.live).map(|(name, of)| (of.number, name)));
        present.sort_unstable();
        let list: Vec<_> = present.into_iter().map(|(_, name)| self.describe(name)).collect();
        RoomEvent { name: "peers", data: Value::Array(list).to_string() }
    }

    /// Kinds of what somebody publishes, in the order of its coming.
    pub(crate) fn tracks(&self, owner: &str) -> Vec<&'static str> {
        let mut tracks: Vec<_> =
            self.producers.values().filter(|of| of.owner == owner).map(|of| (of.id.0, of.kind.name())).collect();
        tracks.sort_unstable();
        tracks.into_iter().map(|(_, kind)| kind).collect()
    }

    fn describe(&self, name: &str) -> Value {
        let broadcaster = self.broadcasters.get(name).map(|of| &of.display_name);
        let display_name = broadcaster.or_else(|| self.peers.get(name).map(|of| &of.display_name));
        json!({ "peer": name, "name": display_name, "tracks": self.tracks(name) })
    }

    /// "joined" or "changed".
    pub(super) fn tell_of(&self, event: &'static str, name: &str) {
        let present =
            self.broadcasters.get(name).is_some_and(|of| of.joined) || self.peers.get(name).is_some_and(|of| of.live);
        if present {
            self.teller.tell(event, &self.describe(name));
        }
    }

    pub(super) fn tell_left(&self, name: &str) {
        self.teller.tell("left", &json!({ "peer": name }));
    }
}
