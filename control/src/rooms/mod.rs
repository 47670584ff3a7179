//! Rooms and what is in them. A room is one router on one worker.
//!
//! Owns the identifiers that the API uses and their translation to those of the link. Whatever a request changes here
//! it changes after the worker has agreed, under the room's lock: a request applies completely or not at all.

mod error;
mod events;
mod layers;
mod media;
mod names;
mod room;
mod sessions;
mod srtp;
mod transports;
mod webrtc;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use corecast_wire::{Command, RouterId};
use tokio::sync::Mutex;

use crate::addresses::Addresses;
use crate::config;
use crate::workers::pool::Pool;

pub(crate) use error::ApiError;
pub(crate) use events::Listener;
pub(crate) use layers::LayerBody;
pub(crate) use media::{ConsumeBody, ConsumeTarget, PreferredLayersBody, ProduceBody};
pub(crate) use names::{check_name, path_segment};
pub(crate) use room::{BroadcasterBody, Form, Room};
pub(crate) use sessions::{Made, Publishing, Viewing, no_stream};
pub(crate) use transports::{ConnectBody, TransportBody};
pub(crate) use webrtc::{WebRtc, draw_ice};

/// Interval at which rooms without broadcasters are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// A number that no other object of any worker has.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// All rooms.
#[derive(Debug)]
pub(crate) struct Rooms {
    pool: Arc<Pool>,
    addresses: Addresses,
    webrtc: Arc<WebRtc>,
    settings: config::Rooms,
    /// Locked while a room is made, so that two first comers do not make two.
    rooms: Mutex<HashMap<String, Arc<Room>>>,
}

impl Rooms {
    pub(crate) fn new(pool: Arc<Pool>, addresses: Addresses, webrtc: WebRtc, settings: config::Rooms) -> Self {
        Self { pool, addresses, webrtc: Arc::new(webrtc), settings, rooms: Mutex::default() }
    }

    /// The room of that name, made on the worker whose turn it is if there is none yet.
    pub(crate) async fn get_or_create(&self, id: &str) -> Result<Arc<Room>, ApiError> {
        check_name("roomId", id)?;
        let mut rooms = self.rooms.lock().await;
        if let Some(room) = rooms.get(id) {
            return Ok(Arc::clone(room));
        }
        if rooms.len() >= self.settings.max {
            let sentence = format!("there are {} rooms already (rooms.max)", rooms.len());
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        let gone = || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "there is no worker");
        let worker = self.pool.take_turn().ok_or_else(gone)?;
        let router = RouterId(next_id());
        worker.link.apply(Command::CreateRouter { router }).await?;
        tracing::info!("room {id:?} is on worker {}", worker.index);
        let room = Arc::new(Room::new(id, worker, router, self.addresses.clone(), Arc::clone(&self.webrtc)));
        rooms.insert(id.to_owned(), Arc::clone(&room));
        Ok(room)
    }

    /// The room of that name.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Room>, ApiError> {
        self.rooms.lock().await.get(id).cloned().ok_or_else(|| ApiError::not_found("room", id))
    }

    /// Every room, by name.
    pub(crate) async fn all(&self) -> Vec<Arc<Room>> {
        let mut rooms: Vec<_> = self.rooms.lock().await.values().cloned().collect();
        rooms.sort_by(|a, b| a.id.cmp(&b.id));
        rooms
    }

    /// Closes a room and everything in it.
    pub(crate) async fn close(&self, id: &str) -> Result<(), ApiError> {
        let mut rooms = self.rooms.lock().await;
        let room = rooms.get(id).ok_or_else(|| ApiError::not_found("room", id))?;
        room.close().await?;
        rooms.remove(id);
        Ok(())
    }

    /// Closes every room: whoever is in one is told at once, and not by silence.
    pub(crate) async fn close_all(&self) {
        let mut rooms = self.rooms.lock().await;
        for (id, room) in rooms.drain() {
            if let Err(error) = room.close().await {
                tracing::warn!("room {id:?} cannot be closed: {error}");
            }
        }
    }

    /// Closes rooms that nobody has used for a while. For ever.
    pub(crate) async fn close_idle(self: Arc<Self>) {
        let idle = self.settings.idle.0;
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            for room in self.all().await {
                if !room.is_idle(Instant::now(), idle).await {
                    continue;
                }
                let mut rooms = self.rooms.lock().await;
                // Somebody may have come meanwhile; nobody can while the rooms are locked and the room is closed.
                match room.close_if_idle(Instant::now(), idle).await {
                    Ok(true) => drop(rooms.remove(&room.id)),
                    Ok(false) => {}
                    Err(error) => tracing::warn!("room {:?} cannot be closed: {error}", room.id),
                }
            }
        }
    }
}
