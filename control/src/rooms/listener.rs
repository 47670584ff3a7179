//! Listeners of a room's events.
//!
//! Events are sent under the room's lock, so that a listener that begins with the list misses nothing.

use std::sync::{Arc, Weak};

use tokio::sync::broadcast::{self, error::RecvError};

use super::error::Error;
use super::events::RoomEvent;
use super::room::Room;

/// Listeners of one room.
const MAX_LISTENERS: usize = 1_000;

/// A listener. It does not keep the room.
#[derive(Debug)]
pub(crate) struct Listener {
    room: Weak<Room>,
    first: Option<Arc<RoomEvent>>,
    events: broadcast::Receiver<Arc<RoomEvent>>,
}

impl Listener {
    /// The list first, then what happens; none once the room has closed.
    pub(crate) async fn next(&mut self) -> Option<Arc<RoomEvent>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Closed) => None,
            Err(RecvError::Lagged(_)) => {
                let room = self.room.upgrade()?;
                let state = room.state().await;
                self.events = state.events.subscribe();
                Some(Arc::new(state.list()))
            }
        }
    }
}

impl Room {
    /// A new listener.
    pub(crate) async fn listen(self: &Arc<Self>) -> Result<Listener, Error> {
        let state = self.state().await;
        state.check_open()?;
        if state.events.listeners() >= MAX_LISTENERS {
            return Err(Error::unavailable(format!("the room has {MAX_LISTENERS} listeners already")));
        }
        let events = state.events.subscribe();
        Ok(Listener { room: Arc::downgrade(self), first: Some(Arc::new(state.list())), events })
    }
}
