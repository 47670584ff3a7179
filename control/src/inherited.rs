//! What a server is handed that takes the place of another: the ledger, and what the workers before have left.

use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use corecast_dataplane::{Keep, Keeper, WaitForKeep, take_over};

/// A worker is prepared, and waits for what it takes over.
const PREPARED: u8 = 1;

/// What a server is handed, each with the way to the one that holds it; nothing if calls end with a server.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    keeper: Option<OwnedFd>,
    ledger: Option<OwnedFd>,
    /// By the worker's number: where it is handed the file of its memory, then its sockets, once the worker before has
    /// ended. Who writes there says that it is prepared.
    workers: Vec<Vec<OwnedFd>>,
    /// The worker that the server before died of, if it died of something that it did itself.
    blamed: Option<u32>,
}

impl Inherited {
    /// From the descriptors that were handed over.
    pub(crate) fn of(groups: Vec<Vec<OwnedFd>>) -> Self {
        let mut groups = groups.into_iter();
        let mut own = groups.next().unwrap_or_default().into_iter();
        Self { keeper: own.next(), ledger: own.next(), workers: groups.collect(), blamed: None }
    }

    /// The same after the death of a server by this worker.
    pub(crate) fn blaming(self, blamed: Option<u32>) -> Self {
        Self { blamed, ..self }
    }

    /// Whether the server before died of this worker.
    pub(crate) fn is_blamed(&self, worker: u32) -> bool {
        self.blamed == Some(worker)
    }

    /// The file of the ledger, in which the server before may still write. Once.
    pub(crate) fn take_ledger(&mut self) -> Option<OwnedFd> {
        self.ledger.take()
    }

    /// How a worker of this process waits for what it takes over. Once.
    pub(crate) fn take_keep(&mut self, worker: u32) -> io::Result<Option<WaitForKeep>> {
        let (Some(keeper), Some(own)) = (&self.keeper, self.workers.get_mut(worker as usize)) else { return Ok(None) };
        let Some(way) = own.pop().map(UnixStream::from) else { return Ok(None) };
        let keeper = Keeper::new(keeper.try_clone()?, worker);
        Ok(Some(Box::new(move || {
            // If nobody is waited for, nobody waits for this one either, and all is there already.
            let _ = (&way).write_all(&[PREPARED]);
            let mut own = take_over(&way)?.into_iter().flatten();
            let memory = own.next().ok_or(ErrorKind::UnexpectedEof)?;
            Ok(Keep::of_memory(memory).with_sockets(own.collect()).held_by(keeper))
        })))
    }

    /// The same for a worker that has a process of its own: what is handed over to it, in the order of [`Self::of`].
    pub(crate) fn groups_of(&self, worker: u32) -> Vec<Vec<BorrowedFd<'_>>> {
        let (Some(keeper), Some(own)) = (&self.keeper, self.workers.get(worker as usize)) else { return Vec::new() };
        let mut groups = vec![vec![keeper.as_fd()]];
        groups.resize_with(worker as usize + 1, Vec::new);
        groups.push(own.iter().map(AsFd::as_fd).collect());
        groups
    }
}
