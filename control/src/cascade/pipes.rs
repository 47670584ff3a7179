//! Pipes that other machines have asked for: what is published here goes out on them for as long as they are renewed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::messages::{Open, Opened, Renew, Renewed, Wanted};
use crate::rooms::{Code, Error, Outgoing, Room, Rooms, check_name};

/// A pipe that has not been renewed for so long is closed: the other machine has vanished. It renews several times in
/// that time.
const LEASE: Duration = Duration::from_secs(10);
/// Most pipes at a time, to all machines.
const MAX_PIPES: usize = 1_000;

/// Why what stands for another machine leaves.
const NOT_WANTED: &str = "the other machine wants it no longer";
const NOT_RENEWED: &str = "the other machine is silent";
const NOTHING_THERE: &str = "what it was sent is not published any longer";

/// All of them, by names that cannot be guessed.
#[derive(Debug)]
pub(super) struct Pipes {
    rooms: Arc<Rooms>,
    table: Mutex<HashMap<String, Arc<Pipe>>>,
}

#[derive(Debug)]
struct Pipe {
    room: Arc<Room>,
    outgoing: tokio::sync::Mutex<Outgoing>,
    renewed: Mutex<Instant>,
}

impl Pipe {
    fn renew(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_over(&self) -> bool {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= LEASE
    }
}

impl Pipes {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self { rooms, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<Pipe>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room in which this publishes here; an error if nobody of that name does.
    pub(super) async fn find(&self, wanted: &Wanted) -> Result<Arc<Room>, Error> {
        check_name("room", &wanted.room)?;
        let peer = wanted.peer.as_deref();
        peer.map_or(Ok(()), |peer| check_name("peer", peer))?;
        let no_stream = || Error::no_stream(&wanted.room, peer);
        let room = self.rooms.get(&wanted.room).await.map_err(|_| no_stream())?;
        if room.has_own_stream(peer).await { Ok(room) } else { Err(no_stream()) }
    }

    pub(super) async fn open(&self, open: &Open, client: IpAddr) -> Result<Opened, Error> {
        if self.table().len() >= MAX_PIPES {
            return Err(Error::new(Code::Unavailable, format!("{MAX_PIPES} pipes lead to other machines already")));
        }
        let room = self.find(&open.wanted).await?;
        let (mut outgoing, publisher, end) = room.send_out(open.wanted.peer.as_deref(), &open.end, client).await?;
        let producers = match room.send_on(&mut outgoing, &HashSet::new()).await {
            Ok(producers) => producers,
            Err(error) => {
                room.end_sending(&outgoing, NOTHING_THERE).await?;
                return Err(error);
            }
        };
        let pipe = Uuid::new_v4().to_string();
        let renewed = Mutex::new(Instant::now());
        let row = Pipe { room, outgoing: tokio::sync::Mutex::new(outgoing), renewed };
        self.table().insert(pipe.clone(), Arc::new(row));
        Ok(Opened { pipe, publisher, end, producers })
    }

    /// What crosses on each of these just now.
    pub(super) async fn renew(&self, renew: &Renew) -> Renewed {
        let mut pipes = BTreeMap::new();
        for (name, known) in &renew.pipes {
            let Some(pipe) = self.table().get(name).cloned() else { continue };
            let known: HashSet<&str> = known.keys().map(String::as_str).collect();
            let crossed = pipe.room.send_on(&mut *pipe.outgoing.lock().await, &known).await;
            match crossed {
                Ok(crossed) => {
                    pipe.renew();
                    pipes.insert(name.clone(), crossed);
                }
                Err(error) => {
                    tracing::debug!("a pipe out of room {:?} closes: {error}", pipe.room.id());
                    self.close(name, NOTHING_THERE).await;
                }
            }
        }
        Renewed { pipes }
    }

    /// Closes one that is not wanted any longer; one that is not there has closed before.
    pub(super) async fn end(&self, name: &str) {
        self.close(name, NOT_WANTED).await;
    }

    async fn close(&self, name: &str, why: &'static str) {
        let removed = self.table().remove(name);
        let Some(pipe) = removed else { return };
        if let Err(error) = pipe.room.end_sending(&*pipe.outgoing.lock().await, why).await {
            tracing::warn!("a pipe out of room {:?} cannot be closed: {error}", pipe.room.id());
        }
    }

    /// Closes those that are not renewed any longer. To be called once a second.
    pub(super) async fn sweep(&self) {
        let over: Vec<_> =
            self.table().iter().filter(|(_, pipe)| pipe.is_over()).map(|(name, _)| name.clone()).collect();
        for name in over {
            self.close(&name, NOT_RENEWED).await;
        }
    }
}
