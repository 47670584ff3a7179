//! All rooms by name: made when somebody comes, closed when nobody has been there for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use corecast_wire::RouterId;
use tokio::sync::Mutex;

use super::draw::next_id;
use super::error::{Code, Error};
use super::load::Marks;
use super::names::check_name;
use super::peer::Credential;
use super::priorities::Priorities;
use super::removed::Removed;
use super::room::{Common, Room};
use super::saved::SavedRoom;
use super::site::Site;
use super::waiting::Waiting;
use super::webrtc::WebRtc;
use crate::addresses::Addresses;
use crate::config;
use crate::ledger::{About, Key, Ledger, Rows};
use crate::lifecycle::Journal;
use crate::settings::{Priority, Redundancy};
use crate::shares::{Share, Shares, TooMany};
use crate::workers::Pool;

/// Interval at which rooms without peers are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// Interval at which it is looked whether rooms are empty, once the server is to stop.
const DRAIN_CHECK: Duration = Duration::from_millis(50);

/// All rooms.
#[derive(Debug)]
pub(crate) struct Rooms {
    pool: Arc<Pool>,
    common: Common,
    settings: config::Rooms,
    marks: Marks,
    /// Locked while a room is made, so that two first comers do not make two.
    rooms: Mutex<HashMap<String, Entry>>,
    /// Who has made how many of them.
    shares: Arc<Shares>,
    waiting: Waiting,
    /// Those who come are sent elsewhere, and the rooms that are there go on until this.
    drained_at: OnceLock<Instant>,
    /// No rooms are made until an operator says otherwise.
    cordoned: AtomicBool,
    priorities: Priorities,
}

/// A room, and its place among those that one address has made.
#[derive(Debug)]
struct Entry {
    room: Arc<Room>,
    _share: Share,
}

impl Rooms {
    pub(crate) fn new(
        pool: Arc<Pool>,
        (addresses, webrtc): (Addresses, WebRtc),
        settings: config::Rooms,
        marks: Marks,
        (ledger, journal): (Arc<Ledger>, Arc<Journal>),
    ) -> Self {
        let of_one = if settings.max_per_ip == 0 { settings.max } else { settings.max_per_ip };
        let shares = Shares::new(settings.max, of_one);
        let (rooms, waiting) = (Mutex::default(), Waiting::default());
        let common = Common {
            pool: Arc::clone(&pool),
            addresses,
            webrtc: Arc::new(webrtc),
            viewer_grace: settings.viewer_grace.0,
            resume_grace: settings.resume_grace.0,
            makes_redundancy: settings.red != Redundancy::Off,
            removed: Arc::new(Removed::new(Arc::clone(&ledger))),
            ledger: Arc::clone(&ledger),
            journal,
        };
        let (drained_at, cordoned) = (OnceLock::new(), AtomicBool::new(false));
        let priorities = Priorities::new(ledger);
        Self { pool, common, settings, marks, rooms, shares, waiting, drained_at, cordoned, priorities }
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.common.journal
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A room of the server before, with nothing in it yet; none if its worker is not there.
    pub(super) async fn make_again(&self, id: &str, saved: &SavedRoom) -> Option<Arc<Room>> {
        let worker = self.pool.workers().get(saved.worker as usize)?;
        let home = Site::new(Arc::clone(worker), saved.router);
        let room = Room::new(id, home, self.common.clone(), saved.client, saved.consumer_replicas);
        let (room, share) = (Arc::new(room), self.shares.take_over(saved.client));
        self.rooms.lock().await.insert(id.to_owned(), Entry { room: Arc::clone(&room), _share: share });
        Some(room)
    }

    /// The room of that name. If there is none yet it is made, on the worker that its priority gets, and counts as this
    /// client's for as long as it is there.
    pub(crate) async fn get_or_create(&self, id: &str, client: IpAddr) -> Result<Arc<Room>, Error> {
        self.get_or_create_with(id, client, 0).await
    }

    /// The same; if it is made, each participant gets so many further consumers of each producer.
    pub(crate) async fn get_or_create_with(
        &self,
        id: &str,
        client: IpAddr,
        consumer_replicas: usize,
    ) -> Result<Arc<Room>, Error> {
        check_name("roomId", id)?;
        let mut rooms = self.rooms.lock().await;
        if let Some(Entry { room, .. }) = rooms.get(id) {
            return Ok(Arc::clone(room));
        }
        let priority = self.priority(id);
        let share = self.may_make(rooms.len(), client, priority)?;
        let gone = || Error::unavailable("there is no worker");
        let worker = self.pool.take_turn(priority).ok_or_else(gone)?;
        let home = Site::new(Arc::clone(&worker), RouterId(next_id()));
        worker.apply(home.create()).await?;
        tracing::info!("room {id:?} is on worker {}", worker.index());
        let room = Arc::new(Room::new(id, home, self.common.clone(), client, consumer_replicas));
        if self.settings.loudest > 0 {
            room.set_loudest(self.settings.loudest).await?;
        }
        // It is kept from its beginning.
        room.state().await.note_started();
        rooms.insert(id.to_owned(), Entry { room: Arc::clone(&room), _share: share });
        self.waiting.tell(id);
        Ok(room)
    }

    /// The right to make a room beside so many that are there.
    fn may_make(&self, there: usize, client: IpAddr, priority: Priority) -> Result<Share, Error> {
        if self.is_draining() {
            return Err(Error::unavailable("the server is about to stop and makes no new rooms"));
        }
        if self.is_cordoned() {
            return Err(Error::unavailable("the server makes no new rooms just now: an operator has cordoned it"));
        }
        self.marks.check(&self.pool, priority)?;
        self.shares.take(client).map_err(|full| match full {
            TooMany::OfOne => {
                Error::new(Code::TooMany, "your address has made too many rooms already (rooms.max_per_ip)")
            }
            TooMany::OfAll => Error::unavailable(format!("there are {there} rooms already (rooms.max)")),
        })
    }

    /// An error if a participant could not come to this room just now: it is full, or there is none and it would not be
    /// made.
    pub(crate) async fn check_room(&self, id: &str, client: IpAddr) -> Result<(), Error> {
        let rooms = self.rooms.lock().await;
        let Some(Entry { room, .. }) = rooms.get(id) else {
            return self.may_make(rooms.len(), client, self.priority(id)).map(drop);
        };
        let room = Arc::clone(room);
        drop(rooms);
        room.check_place().await
    }

    /// The room of that name.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Room>, Error> {
        let rooms = self.rooms.lock().await;
        rooms.get(id).map(|entry| Arc::clone(&entry.room)).ok_or_else(|| Error::not_found("room", id))
    }

    /// Waits for the room of that name, which others make. None if everything ends.
    pub(crate) async fn appears(&self, id: &str) -> Option<Arc<Room>> {
        loop {
            let mut wait = self.waiting.join(id)?;
            if let Ok(room) = self.get(id).await {
                return Some(room);
            }
            wait.over().await;
        }
    }

    /// Every room, by name.
    pub(crate) async fn all(&self) -> Vec<Arc<Room>> {
        let mut rooms: Vec<_> = self.rooms.lock().await.values().map(|entry| Arc::clone(&entry.room)).collect();
        rooms.sort_by(|a, b| a.id().cmp(b.id()));
        rooms
    }

    /// Closes a room and everything in it.
    pub(crate) async fn close(&self, id: &str) -> Result<(), Error> {
        let mut rooms = self.rooms.lock().await;
        let entry = rooms.get(id).ok_or_else(|| Error::not_found("room", id))?;
        entry.room.close().await?;
        rooms.remove(id);
        Ok(())
    }

    /// Closes a room that a participant has left, if it was the last one there. A room that another one has taken since
    /// stays.
    pub(crate) async fn close_if_left(&self, room: &Arc<Room>) -> Result<(), Error> {
        let mut rooms = self.rooms.lock().await;
        let is_it = rooms.get(room.id()).is_some_and(|entry| Arc::ptr_eq(&entry.room, room));
        if is_it && room.close_if_left().await? {
            rooms.remove(room.id());
        }
        Ok(())
    }

    /// Takes over what the server before was told by operators.
    pub(super) fn restore_orders(&self, rows: &Rows) {
        self.common.removed.restore(rows);
        self.priorities.restore(rows);
        let cordoned = rows.of::<bool>(About::Cordon, None).first().is_some_and(|(_, cordoned)| *cordoned);
        self.cordoned.store(cordoned, Ordering::Relaxed);
    }

    /// How much a room matters, whether or not it is there.
    pub(crate) fn priority(&self, room: &str) -> Priority {
        self.priorities.of(room)
    }

    /// A room matters so much from now on: where it is made, and whether it still is, if it is not there yet.
    pub(crate) fn set_priority(&self, room: &str, priority: Priority) -> Result<(), Error> {
        self.priorities.put(room, priority)
    }

    /// Makes no new rooms from now on, or makes some again. Rooms that are there go on and grow.
    pub(crate) fn cordon(&self, cordoned: bool) {
        self.cordoned.store(cordoned, Ordering::Relaxed);
        self.common.ledger.put(Key::new(About::Cordon, "", ""), &cordoned);
        tracing::info!("an operator wants {}", if cordoned { "no new rooms" } else { "new rooms again" });
    }

    /// Whether an operator wants no new rooms.
    pub(crate) fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::Relaxed)
    }

    /// An error if an operator has removed this peer from a room.
    pub(crate) fn check_may_come(&self, room: &str, name: &str, shown: Option<Credential>) -> Result<(), Error> {
        self.common.removed.check(room, name, shown)
    }

    /// Lets a peer come again that an operator has removed. An error if it was not out.
    pub(crate) fn invite(&self, room: &str, name: &str) -> Result<(), Error> {
        match self.common.removed.invite(room, name) {
            true => Ok(()),
            false => Err(Error::not_found("removed peer", name)),
        }
    }

    /// Whether the server is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.drained_at.get().is_some()
    }

    /// Makes no new rooms from now on and tells those who listen. Returns when nobody is in a room any longer, or after
    /// this time.
    pub(crate) async fn drain(&self, limit: Duration) {
        let until = *self.drained_at.get_or_init(|| Instant::now() + limit);
        for room in self.all().await {
            room.tell_closing(until).await;
        }
        while Instant::now() < until {
            let mut is_empty = true;
            for room in self.all().await {
                is_empty &= room.is_empty().await;
            }
            if is_empty {
                return;
            }
            tokio::time::sleep(DRAIN_CHECK).await;
        }
    }

    /// Closes every room: peers and listeners are told at once, and not by silence.
    pub(crate) async fn close_all(&self) {
        self.drained_at.get_or_init(Instant::now);
        let mut rooms = self.rooms.lock().await;
        self.waiting.close();
        for (id, entry) in rooms.drain() {
            if let Err(error) = entry.room.close().await {
                tracing::warn!("room {id:?} cannot be closed: {error}");
            }
        }
    }

    /// Closes rooms that no peer has used for a while, or whose broadcasters have fallen silent, and ends what waits in
    /// the others. Does not return.
    pub(crate) async fn close_idle(self: Arc<Self>) {
        let (idle, silence) = (self.settings.idle.0, self.settings.silence.0);
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            for room in self.all().await {
                if let Err(error) = room.end_grace().await {
                    tracing::warn!("viewers in room {:?} cannot be ended: {error}", room.id());
                }
                let is_silent = room.is_silent(silence).await.unwrap_or(false);
                if !is_silent && !room.is_idle(Instant::now(), idle).await {
                    continue;
                }
                let mut rooms = self.rooms.lock().await;
                // Somebody may have come meanwhile; nobody can while the rooms are locked and the room is closed.
                let closed = match is_silent {
                    true => room.close_if_silent(silence).await,
                    false => room.close_if_idle(Instant::now(), idle).await,
                };
                match closed {
                    Ok(true) => drop(rooms.remove(room.id())),
                    Ok(false) => {}
                    Err(error) => tracing::warn!("room {:?} cannot be closed: {error}", room.id()),
                }
            }
        }
    }
}
