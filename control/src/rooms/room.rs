//! One room: its home, a router on one worker, and the tables of what is in it.
//!
//! Whatever changes here changes after the worker has agreed: a request applies completely or not at all. The tables'
//! lock is held while one command is under way for something that is in them; a batch that makes something new is
//! awaited without it.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::ear::PeerEvent;
use super::error::Error;
use super::events::RoomEvent;
use super::removed::Removed;
use super::site::Site;
use super::state::State;
use super::webrtc::WebRtc;
use crate::addresses::Addresses;
use crate::ledger::Ledger;
use crate::lifecycle::Journal;
use crate::ortc::{self, RtpParameters};
use crate::workers::{Pool, Worker};

/// A room.
#[derive(Debug)]
pub(crate) struct Room {
    id: String,
    home: Site,
    pool: Arc<Pool>,
    addresses: Addresses,
    webrtc: Arc<WebRtc>,
    /// For so long a viewer waits that has nothing to see.
    viewer_grace: Duration,
    /// For so long a participant is waited for whose client is away.
    resume_grace: Duration,
    /// Sound may be made redundant for those who lose much of it.
    makes_redundancy: bool,
    /// Further consumers of the same producer that each participant is given, to make load.
    consumer_replicas: usize,
    /// Address of the client that has made it.
    client: IpAddr,
    /// Where is kept what outlives the server.
    ledger: Arc<Ledger>,
    removed: Arc<Removed>,
    /// Where is told what happens.
    journal: Arc<Journal>,
    state: Mutex<State>,
}

/// What a room has in common with the others of its server.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) pool: Arc<Pool>,
    pub(super) addresses: Addresses,
    pub(super) webrtc: Arc<WebRtc>,
    pub(super) viewer_grace: Duration,
    pub(super) resume_grace: Duration,
    pub(super) makes_redundancy: bool,
    pub(super) ledger: Arc<Ledger>,
    /// Who was removed from which room.
    pub(super) removed: Arc<Removed>,
    pub(super) journal: Arc<Journal>,
}

/// The tables, locked. What has changed is kept before the lock is given back, and so before a client is told, and then
/// the outside is.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    room: &'a Room,
    state: MutexGuard<'a, State>,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.room.save(&mut self.state);
        self.room.tell_happened(&mut self.state);
    }
}

impl Room {
    pub(super) fn new(id: &str, home: Site, common: Common, client: IpAddr, consumer_replicas: usize) -> Self {
        let Common { pool, addresses, webrtc, viewer_grace, resume_grace, makes_redundancy, ledger, removed, journal } =
            common;
        let (id, state) = (id.to_owned(), Mutex::new(State::new()));
        Self {
            id,
            home,
            pool,
            addresses,
            webrtc,
            viewer_grace,
            resume_grace,
            makes_redundancy,
            consumer_replicas,
            client,
            ledger,
            removed,
            journal,
            state,
        }
    }

    /// Further consumers of the same producer that each participant is given.
    pub(crate) fn consumer_replicas(&self) -> usize {
        self.consumer_replicas
    }

    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where everybody is but those who are sent from its branches.
    pub(super) fn home(&self) -> &Site {
        &self.home
    }

    /// The worker of its home.
    pub(super) fn worker(&self) -> &Arc<Worker> {
        self.home.worker()
    }

    /// An error if what is there cannot send: only who receives is sent from branches.
    pub(super) fn check_home(&self, site: &Site) -> Result<(), Error> {
        match *site == self.home {
            true => Ok(()),
            false => Err(Error::wrong_state("the transport was made to receive only")),
        }
    }

    /// All workers.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Where plain transports listen.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(super) fn viewer_grace(&self) -> Duration {
        self.viewer_grace
    }

    pub(super) fn resume_grace(&self) -> Duration {
        self.resume_grace
    }

    /// What receivers of a new producer may have.
    pub(super) fn allow_redundancy(&self, consumable: &mut RtpParameters) {
        if self.makes_redundancy {
            ortc::allow_redundancy(consumable);
        }
    }

    pub(super) fn webrtc(&self) -> &WebRtc {
        &self.webrtc
    }

    /// Address of the client that has made it.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn removals(&self) -> &Removed {
        &self.removed
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) async fn state(&self) -> Locked<'_> {
        Locked { room: self, state: self.state.lock().await }
    }

    pub(super) async fn close(&self) -> Result<(), Error> {
        let mut state = self.state().await;
        self.close_locked(&mut state).await
    }

    pub(super) async fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        self.state().await.is_idle(now, idle)
    }

    /// It has closed: another one may have its name.
    pub(crate) async fn is_closed(&self) -> bool {
        self.state().await.check_open().is_err()
    }

    /// Nobody is in it.
    pub(super) async fn is_empty(&self) -> bool {
        self.state().await.peers.is_empty()
    }

    /// True if it is closed now, since nobody is in it and nobody listens.
    pub(super) async fn close_if_left(&self) -> Result<bool, Error> {
        self.close_if_idle(Instant::now(), Duration::ZERO).await
    }

    /// Tells those who listen that it will close.
    pub(super) async fn tell_closing(&self, at: Instant) {
        let state = self.state().await;
        state.events.send(RoomEvent::Closing(at));
        state.tell_all(|| PeerEvent::Closing(at));
    }

    /// True if it is closed now.
    pub(super) async fn close_if_idle(&self, now: Instant, idle: Duration) -> Result<bool, Error> {
        let mut state = self.state().await;
        if !state.is_idle(now, idle) {
            return Ok(false);
        }
        self.close_locked(&mut state).await.map(|()| true)
    }

    pub(super) async fn close_locked(&self, state: &mut State) -> Result<(), Error> {
        for site in state.branches.values().map(|branch| &branch.site).chain([&self.home]) {
            site.worker().close(vec![site.close()]).await?;
        }
        tracing::info!("room {:?} is closed", self.id);
        state.close();
        Ok(())
    }
}
