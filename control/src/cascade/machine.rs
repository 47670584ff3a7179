//! Another machine, and its publishers that this one sends to viewers of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::client::{Client, Failure};
use super::messages::{Open, Opened, Renew, Renewed, Wanted};
use crate::rooms::{Code, Error, Incoming, Room, Rooms};

/// Between two renewals, so that a machine that answers at once is not asked all the time.
const PAUSE: Duration = Duration::from_millis(100);
/// The same after one that was not answered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// A machine that has not answered for so long has vanished.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that has not answered is not asked for rooms for so long, so that viewers do not wait for it.
const AVOIDED: Duration = Duration::from_secs(2);
/// A publisher whom nobody here has watched for so long is not sent on any longer.
const UNWATCHED: Duration = Duration::from_secs(5);
/// Most publishers of one machine at a time.
const MAX_BRANCHES: usize = 100;

/// Why a publisher of another machine leaves.
const LEFT_THERE: &str = "it left at the other machine";
const VANISHED: &str = "the other machine does not answer";
const NOT_WATCHED: &str = "nobody watches it here";

/// Another machine.
#[derive(Debug)]
pub(super) struct Machine {
    client: Client,
    /// By the names of their pipes.
    branches: Mutex<BTreeMap<String, Arc<Branch>>>,
    /// One has come.
    changed: Notify,
    /// When it did not answer last, if it has not since.
    silent: Mutex<Option<Instant>>,
}

/// One of its publishers in a room here.
#[derive(Debug)]
struct Branch {
    room: Arc<Room>,
    incoming: tokio::sync::Mutex<Incoming>,
    watched: Mutex<Instant>,
}

impl Machine {
    pub(super) fn new(client: Client) -> Self {
        Self { client, branches: Mutex::default(), changed: Notify::new(), silent: Mutex::default() }
    }

    fn branches(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Branch>>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log tells when it stops to answer, and when it begins again.
    fn note<T>(&self, answer: Result<T, Failure>) -> Option<T> {
        let machine = self.client.machine();
        match answer {
            Ok(answer) => {
                if self.silent().take().is_some() {
                    tracing::info!("machine {machine} answers again");
                }
                Some(answer)
            }
            Err(failure) => {
                if self.silent().replace(Instant::now()).is_none() {
                    tracing::warn!("machine {machine} cannot be asked for rooms: {failure}");
                }
                None
            }
        }
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is published there. One that has just not answered is not asked.
    pub(super) async fn has(&self, wanted: &Wanted) -> bool {
        let since = *self.silent();
        if since.is_some_and(|since| since.elapsed() < AVOIDED) {
            return false;
        }
        self.note(self.client.look(wanted).await).unwrap_or(false)
    }

    /// Has a publisher come into a room here. What was made for it is taken back if it does not.
    pub(super) async fn bring(&self, rooms: &Rooms, wanted: &Wanted, client: IpAddr) -> Result<(), Error> {
        if self.branches().len() >= MAX_BRANCHES {
            let reason = format!("{MAX_BRANCHES} publishers of that machine are watched here already");
            return Err(Error::new(Code::Unavailable, reason));
        }
        let room = rooms.get_or_create(&wanted.room, client).await?;
        let pipe = room.open_pipe_out(None).await?;
        let open = Open { wanted: wanted.clone(), end: pipe.own().clone() };
        let Opened { pipe: name, publisher, end, producers } = match self.client.open(&open).await {
            Ok(opened) => opened,
            Err(failure) => {
                room.close_pipe_out(&pipe).await?;
                let reason = format!("machine {} does not send it: {failure}", self.client.machine());
                return Err(Error::new(Code::Unavailable, reason));
            }
        };
        let taken = match room.take_in(&pipe, &publisher, &end).await {
            Ok(mut incoming) => match room.take_on(&mut incoming, producers).await {
                Ok(()) => Ok(incoming),
                Err(error) => room.take_out(&incoming, VANISHED).await.and(Err(error)),
            },
            Err(error) => Err(error),
        };
        let incoming = match taken {
            Ok(incoming) => incoming,
            Err(error) => {
                self.note(self.client.end(&name).await);
                // Somebody else has its name here, or an operator has removed it: that is not the viewer's affair.
                return Err(match error.code() {
                    Code::NameTaken | Code::Removed => Error::no_stream(&wanted.room, wanted.peer.as_deref()),
                    _ => error,
                });
            }
        };
        let (room_id, machine) = (room.id(), self.client.machine());
        tracing::info!("{:?} in room {room_id:?} comes from machine {machine}", publisher.name);
        let incoming = tokio::sync::Mutex::new(incoming);
        let watched = Mutex::new(Instant::now());
        self.branches().insert(name, Arc::new(Branch { room, incoming, watched }));
        self.changed.notify_one();
        Ok(())
    }

    /// Keeps what has come for as long as it is watched here and published there. Does not return.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut heard = Instant::now();
        loop {
            self.drop_unwatched().await;
            let renew = self.known().await;
            if renew.pipes.is_empty() {
                self.changed.notified().await;
                heard = Instant::now();
                continue;
            }
            let answer = tokio::select! {
                biased;
                // The one that has come flows at once.
                () = self.changed.notified() => continue,
                answer = self.client.renew(&renew) => answer,
            };
            match self.note(answer) {
                Some(renewed) => {
                    heard = Instant::now();
                    self.take_on(&renew, renewed).await;
                    tokio::time::sleep(PAUSE).await;
                }
                None if heard.elapsed() >= PATIENCE => self.drop_all(renew, VANISHED).await,
                None => tokio::time::sleep(PAUSE_AFTER_FAILURE).await,
            }
        }
    }

    /// What is known here of everything that has come.
    async fn known(&self) -> Renew {
        let mut pipes = BTreeMap::new();
        let branches: Vec<_> = self.branches().iter().map(|(name, of)| (name.clone(), Arc::clone(of))).collect();
        for (name, branch) in branches {
            // One that has left here is closed when it is looked at next.
            let known = branch.room.known(&*branch.incoming.lock().await).await;
            pipes.insert(name, known.unwrap_or_default());
        }
        Renew { pipes }
    }

    async fn take_on(self: &Arc<Self>, renew: &Renew, mut renewed: Renewed) {
        for name in renew.pipes.keys() {
            let Some(branch) = self.branches().get(name).cloned() else { continue };
            let Some(producers) = renewed.pipes.remove(name) else {
                self.drop_branch(name, LEFT_THERE).await;
                continue;
            };
            let taken = branch.room.take_on(&mut *branch.incoming.lock().await, producers).await;
            if let Err(error) = taken {
                tracing::debug!("a publisher of another machine in room {:?} leaves: {error}", branch.room.id());
                self.end(name, NOT_WATCHED).await;
            }
        }
    }

    async fn drop_unwatched(self: &Arc<Self>) {
        let branches: Vec<_> = self.branches().iter().map(|(name, of)| (name.clone(), Arc::clone(of))).collect();
        for (name, branch) in branches {
            let is_over = match branch.room.is_watched(&*branch.incoming.lock().await).await {
                // An operator has removed it, or the room has closed.
                Err(_) => true,
                Ok(is_watched) => {
                    let mut watched = branch.watched.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_watched {
                        *watched = Instant::now();
                    }
                    watched.elapsed() >= UNWATCHED
                }
            };
            if is_over {
                self.end(&name, NOT_WATCHED).await;
            }
        }
    }

    /// Ends one here, and there. That is not waited for: if it fails, the pipe there closes since nobody renews it.
    async fn end(self: &Arc<Self>, name: &str, why: &'static str) {
        self.drop_branch(name, why).await;
        let (machine, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move { machine.note(machine.client.end(&name).await) });
    }

    async fn drop_all(&self, renew: Renew, why: &'static str) {
        for name in renew.pipes.into_keys() {
            self.drop_branch(&name, why).await;
        }
    }

    async fn drop_branch(&self, name: &str, why: &'static str) {
        let removed = self.branches().remove(name);
        let Some(branch) = removed else { return };
        if let Err(error) = branch.room.take_out(&*branch.incoming.lock().await, why).await {
            tracing::warn!("a publisher of another machine stays in room {:?}: {error}", branch.room.id());
        }
    }
}
