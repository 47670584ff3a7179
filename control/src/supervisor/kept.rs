//! What outlives a server, if calls are to go on after its death: the ledger of the control plane, what each worker
//! keeps, and their sockets. It is held here and handed from one server to the next.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use corecast_dataplane::{HeldSockets, Keep, hand_over};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::readable;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::settings::Calls;

/// A server that dies so soon after it was ready may have died of what it was handed.
const SOON: Duration = Duration::from_secs(5);
/// After so many such deaths in a row calls are given up.
const SOON_DEATHS: u32 = 2;

/// What outlives a server. Empty if nothing does.
#[derive(Debug)]
pub(super) struct Kept {
    memory: Option<Memory>,
    sockets: HeldSockets,
    /// To the workers of the newest server, by their number, until they have been given what the ones before left.
    ways: Vec<UnixStream>,
    /// Servers that were handed it, since it was empty.
    servers: u32,
    /// Deaths in a row of servers that had just taken over from another.
    soon_deaths: u32,
    /// The worker that the last server died of, if that died of something that it did itself.
    blamed: Option<u32>,
}

/// What is to be known of the descriptors, and how the last servers ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptParts {
    sockets: Vec<(u32, SocketAddr)>,
    servers: u32,
    soon_deaths: u32,
}

#[derive(Debug)]
struct Memory {
    ledger: OwnedFd,
    workers: Vec<Keep>,
}

impl Memory {
    fn new(workers: usize) -> io::Result<Self> {
        let workers = (0..workers).map(|_| Keep::new()).collect::<io::Result<_>>()?;
        Ok(Self { ledger: Ledger::memory()?, workers })
    }
}

impl Kept {
    /// Empty yet.
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        let (sockets, _) = HeldSockets::new()?;
        let memory = match config.failover.calls {
            // Without cores no server comes up, and it says why.
            Calls::Keep => {
                // Each socket of each worker is one here.
                let _ = getrlimit(Resource::RLIMIT_NOFILE)
                    .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
                memory(config.cores().map_or(0, |cores| cores.len()))
            }
            Calls::Drop => None,
        };
        Ok(Self { memory, sockets, ways: Vec::new(), servers: 0, soon_deaths: 0, blamed: None })
    }

    /// Hands a new server the ledger, and the ways by which its workers get what the ones before leave: see
    /// [`Self::give`].
    pub(super) fn hand_over(&mut self, server: &UnixStream) -> io::Result<()> {
        self.ways.clear();
        let keeper = self.sockets.connect();
        let (Some(Memory { ledger, workers }), Ok(keeper)) = (&self.memory, &keeper) else {
            let told = hand_over(server, &[]);
            return keeper.and(told);
        };
        self.servers += 1;
        let mut groups = vec![vec![keeper.as_fd(), ledger.as_fd()]];
        let mut theirs = Vec::new();
        for _ in workers {
            let (way, end) = UnixStream::pair()?;
            // What does not fit at once never will.
            way.set_nonblocking(true)?;
            self.ways.push(way);
            theirs.push(end);
        }
        groups.extend(theirs.iter().map(|end| vec![end.as_fd()]));
        hand_over(server, &groups)
    }

    /// Waits until every worker of the new server is prepared, or has ended, at most for `limit`.
    pub(super) fn await_workers(&self, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        for mut way in &self.ways {
            while way.read(&mut [0]).is_err() {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(());
                }
                readable(&[way.as_fd()], left)?;
            }
        }
        Ok(())
    }

    /// The server before has ended: the workers of the new one get what it has left, and tell of their sockets from now
    /// on. Nobody else does.
    pub(super) fn give(&mut self) {
        self.sockets.take();
        self.sockets.turn_to_newest();
        let Some(Memory { workers, .. }) = &self.memory else { return };
        for ((way, worker), index) in self.ways.drain(..).zip(workers).zip(0..) {
            let group = [worker.memory()].into_iter().chain(self.sockets.of(index)).collect();
            // There may be fewer workers than before, and one that has died by now is noticed in other ways.
            if let Err(error) = hand_over(&way, &[group]) {
                tracing::debug!("worker {index} is not given what the one before left: {error}");
            }
        }
    }

    /// What it takes to go on in another process: descriptors, and what is to be known of them.
    pub(super) fn parts(&self) -> (Vec<Vec<BorrowedFd<'_>>>, KeptParts) {
        let memory = self.memory.iter().flat_map(|memory| {
            [memory.ledger.as_fd()].into_iter().chain(memory.workers.iter().map(Keep::memory)).collect::<Vec<_>>()
        });
        let (keys, held) = self.sockets.all().unzip();
        let parts = KeptParts { sockets: keys, servers: self.servers, soon_deaths: self.soon_deaths };
        (vec![vec![self.sockets.inbox()], memory.collect(), held], parts)
    }

    /// Goes on with what another process has held, for as many workers as there are to be.
    pub(super) fn of_parts(groups: Vec<Vec<OwnedFd>>, parts: KeptParts, config: &Config) -> io::Result<Self> {
        let missing = || io::Error::other("descriptors are missing");
        let mut groups = groups.into_iter();
        let (inbox, memory, held) = (groups.next(), groups.next(), groups.next());
        let inbox = inbox.and_then(|group| group.into_iter().next()).ok_or_else(missing)?;
        let sockets = parts.sockets.into_iter().zip(held.ok_or_else(missing)?);
        let mut fresh = Self::new(config)?;
        fresh.sockets = HeldSockets::of_parts(inbox, sockets);
        let mut memory = memory.ok_or_else(missing)?.into_iter();
        if let (Some(ledger), Some(new)) = (memory.next(), fresh.memory.as_mut()) {
            new.ledger = ledger;
            // Where there are more workers than before, those have nothing in them yet.
            new.workers.iter_mut().zip(memory).for_each(|(keep, memory)| *keep = Keep::of_memory(memory));
            (fresh.servers, fresh.soon_deaths) = (parts.servers, parts.soon_deaths);
        }
        Ok(fresh)
    }

    /// The worker that the last server died of, if that died of something that it did itself. Once.
    pub(super) fn take_blamed(&mut self) -> Option<u32> {
        self.blamed.take()
    }

    /// Can be read when a worker has told of a socket.
    pub(super) fn inbox(&self) -> BorrowedFd<'_> {
        self.sockets.inbox()
    }

    /// Takes what workers have told of sockets.
    pub(super) fn take(&mut self) {
        self.sockets.take();
    }

    /// Whether sockets stay bound after the end of the server.
    pub(super) fn holds_sockets(&self) -> bool {
        self.memory.is_some()
    }

    /// A server has died that had been ready for so long. If several have died as soon as they had taken over, the next
    /// one begins with nothing.
    pub(super) fn server_died(&mut self, ready_for: Option<Duration>, blamed: Option<u32>) {
        self.take();
        self.blamed = blamed;
        let soon = self.servers > 1 && ready_for.is_none_or(|lived| lived < SOON);
        self.soon_deaths = if soon { self.soon_deaths + 1 } else { 0 };
        let Some(before) = self.memory.as_ref().filter(|_| self.soon_deaths >= SOON_DEATHS) else { return };
        tracing::warn!("{SOON_DEATHS} servers died as soon as they had taken over the calls: those are given up");
        self.memory = memory(before.workers.len());
        self.sockets.clear();
        (self.servers, self.soon_deaths) = (0, 0);
    }
}

/// Memory for so many workers; none if the system has none.
fn memory(workers: usize) -> Option<Memory> {
    let made = Memory::new(workers);
    made.inspect_err(|error| tracing::error!("calls will not outlive the server: {error}")).ok()
}
