//! Rooms wider than a machine: viewers who come to this machine for a room that is at home on another one, and
//! publishers of this machine whom others send to theirs.
//!
//! The machine with the viewers asks: whether another one has the stream, for a pipe on which it comes, and then again
//! and again what crosses, which also renews the pipe. The machine that is asked answers of what is published there,
//! and never asks a third. `pipes` is the side that sends, `machine` and its `client` the one that asks, `messages`
//! what they say.

mod client;
mod machine;
mod messages;
mod pipes;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::config;
use crate::outbound;
use crate::rooms::{Code, Error, Rooms};
use client::Client;
use machine::Machine;
use pipes::Pipes;

pub(crate) use messages::{End, Found, Open, Opened, Renew, Renewed, Wanted};

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Interval at which pipes out are looked at, and viewers that have nothing to see.
const LOOK: Duration = Duration::from_secs(1);
/// Most streams that are looked for at a time.
const MAX_SEARCHES: usize = 32;
/// Who looks for what viewers miss: their room is there, and counts for those who have made it.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// What this machine has to do with others.
#[derive(Debug)]
pub(crate) struct Cascade {
    rooms: Arc<Rooms>,
    machines: Vec<Arc<Machine>>,
    pipes: Pipes,
    /// Rooms that somebody looks for, so that many viewers who come at once bring one publisher.
    searches: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    places: Semaphore,
}

impl Cascade {
    /// With the machines of the settings. Nothing is asked yet.
    pub(crate) fn new(config: &config::Cascade, rooms: Arc<Rooms>) -> Self {
        let wants_tls = config.machines.iter().any(|url| url.starts_with("https:"));
        let machines = match outbound::client(wants_tls, CONNECT_LIMIT) {
            Ok(client) => {
                let machine = |url: &String| Machine::new(Client::new(client.clone(), url, &config.token));
                config.machines.iter().map(machine).map(Arc::new).collect()
            }
            Err(error) => {
                tracing::error!("no other machine is asked for rooms: {error}");
                Vec::new()
            }
        };
        let (pipes, searches) = (Pipes::new(Arc::clone(&rooms)), Mutex::default());
        Self { rooms, machines, pipes, searches, places: Semaphore::new(MAX_SEARCHES) }
    }

    /// Keeps what crosses, and looks for what viewers miss. Does not return.
    pub(crate) async fn keep(self: Arc<Self>) {
        for machine in &self.machines {
            tokio::spawn(Arc::clone(machine).keep());
        }
        loop {
            tokio::time::sleep(LOOK).await;
            self.pipes.sweep().await;
            if !self.machines.is_empty() {
                self.look_for_missing().await;
            }
        }
    }

    /// Viewers whose publisher has left get it back, or another one, when there is one again on any machine.
    async fn look_for_missing(self: &Arc<Self>) {
        for room in self.rooms.all().await {
            for peer in room.missing().await {
                let (cascade, wanted) = (Arc::clone(self), Wanted { room: room.id().to_owned(), peer });
                tokio::spawn(async move {
                    let Ok(_turn) = cascade.search(&wanted.room).try_lock_owned() else { return };
                    if let Err(error) = cascade.bring_now(&wanted, NOBODY).await {
                        tracing::debug!("viewers in room {:?} wait on: {error}", wanted.room);
                    }
                });
            }
        }
    }

    fn search(&self, room: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        searches.retain(|name, search| name == room || Arc::strong_count(search) > 1);
        Arc::clone(searches.entry(room.to_owned()).or_default())
    }

    /// A viewer wants to see this. If it is not to be seen here, and another machine has it, it is when this returns.
    /// An error if it is there, but does not come.
    pub(crate) async fn bring(&self, room: &str, peer: Option<&str>, client: IpAddr) -> Result<(), Error> {
        let wanted = Wanted { room: room.to_owned(), peer: peer.map(str::to_owned) };
        if self.machines.is_empty() || self.is_here(&wanted).await {
            return Ok(());
        }
        let _turn: OwnedMutexGuard<()> = self.search(room).lock_owned().await;
        self.bring_now(&wanted, client).await
    }

    /// Whether viewers are given what there is here: it is to be seen, or the room is at home on this machine.
    async fn is_here(&self, wanted: &Wanted) -> bool {
        let Ok(room) = self.rooms.get(&wanted.room).await else { return false };
        room.streams(wanted.peer.as_deref()).await.is_ok() || room.has_own_stream(None).await
    }

    async fn bring_now(&self, wanted: &Wanted, client: IpAddr) -> Result<(), Error> {
        if self.is_here(wanted).await {
            return Ok(());
        }
        let busy = || Error::new(Code::Unavailable, "other machines are asked for too much already; try again");
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let looks = self.machines.iter().map(async |machine| (machine, machine.has(wanted).await));
        let mut looks: FuturesUnordered<_> = looks.collect();
        let mut result = Ok(());
        // The first that has it; who does not answer is not waited for.
        while let Some((machine, has)) = looks.next().await {
            if !has {
                continue;
            }
            result = machine.bring(&self.rooms, wanted, client).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Whether this is published here.
    pub(crate) async fn has(&self, wanted: &Wanted) -> Result<Found, Error> {
        match self.pipes.find(wanted).await {
            Ok(_) => Ok(Found { found: true }),
            Err(error) if error.code() == Code::NoStream => Ok(Found { found: false }),
            Err(error) => Err(error),
        }
    }

    /// Opens a pipe for another machine.
    pub(crate) async fn open(&self, open: &Open, client: IpAddr) -> Result<Opened, Error> {
        self.pipes.open(open, client).await
    }

    /// Renews pipes of another machine.
    pub(crate) async fn renew(&self, renew: &Renew) -> Renewed {
        self.pipes.renew(renew).await
    }

    /// Closes a pipe of another machine.
    pub(crate) async fn end(&self, end: &End) {
        self.pipes.end(&end.pipe).await;
    }
}
