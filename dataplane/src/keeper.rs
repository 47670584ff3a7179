//! The one that keeps a worker's UDP sockets open when the worker ends, so that what arrives meanwhile waits in them:
//! a process that only watches. A worker hands each socket to it as it opens it, and says when it is closed.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};

use crate::handing::{receive_with, send_with};

/// Longest message, in bytes.
const MESSAGE_BYTES: usize = 64;
/// For the keeper to take what waits for it.
const PATIENCE: Duration = Duration::from_millis(20);
/// Sockets that are held: no worker has more, and a machine not many workers.
const MOST_HELD: usize = 1 << 17;

/// What a worker tells; with the socket, if it has opened it.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    worker: u32,
    local: SocketAddr,
    is_open: bool,
}

/// A worker's way to the keeper.
#[derive(Debug)]
pub struct Keeper {
    socket: OwnedFd,
    worker: u32,
}

impl Keeper {
    /// The way of one worker, by what [`HeldSockets::connect`] gave.
    #[must_use]
    pub const fn new(socket: OwnedFd, worker: u32) -> Self {
        Self { socket, worker }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, worker: self.worker })
    }

    /// Hands a socket over that has been opened.
    pub(crate) fn hold(&self, socket: BorrowedFd<'_>, local: SocketAddr) {
        if let Err(error) = self.tell(local, &[socket]) {
            tracing::warn!("the socket at {local} will not outlive this worker: {error}");
        }
    }

    /// Says that a socket is closed.
    pub(crate) fn release(&self, local: SocketAddr) {
        if let Err(error) = self.tell(local, &[]) {
            tracing::warn!("the socket at {local} stays open: {error}");
        }
    }

    fn tell(&self, local: SocketAddr, socket: &[BorrowedFd<'_>]) -> io::Result<()> {
        let told = Told { worker: self.worker, local, is_open: !socket.is_empty() };
        let bytes = postcard::to_stdvec(&told).map_err(io::Error::other)?;
        loop {
            match send_with(&self.socket, &bytes, socket, SendFlags::DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                done => return done,
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let patience = PATIENCE.try_into().map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.socket, PollFlags::OUT)];
        match rustix::io::retry_on_intr(|| poll(&mut polled, Some(&patience)))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

/// The sockets that the keeper holds open.
#[derive(Debug)]
pub struct HeldSockets {
    inbox: OwnedFd,
    /// Where workers tell that nobody listens to yet.
    newest: Option<OwnedFd>,
    sockets: BTreeMap<(u32, SocketAddr), OwnedFd>,
}

impl HeldSockets {
    /// With none yet, and the end by which workers reach it.
    ///
    /// # Errors
    /// If the system refuses a pair of sockets.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (inbox, theirs) = inbox()?;
        Ok((Self { inbox, newest: None, sockets: BTreeMap::new() }, theirs))
    }

    /// A new end by which workers reach it, from [`Self::turn_to_newest`] on.
    ///
    /// # Errors
    /// If the system refuses a pair of sockets.
    pub fn connect(&mut self) -> io::Result<OwnedFd> {
        let (inbox, theirs) = inbox()?;
        self.newest = Some(inbox);
        Ok(theirs)
    }

    /// Takes what is told by the newest end that was given. From those who reach it by an earlier one nothing more is
    /// taken.
    pub fn turn_to_newest(&mut self) {
        if let Some(newest) = self.newest.take() {
            self.inbox = newest;
        }
    }

    /// Can be read when a worker has told something.
    #[must_use]
    pub fn inbox(&self) -> BorrowedFd<'_> {
        self.inbox.as_fd()
    }

    /// Takes what workers have told. Never waits.
    pub fn take(&mut self) {
        let mut bytes = [0; MESSAGE_BYTES];
        loop {
            let mut sockets = Vec::new();
            match receive_with(&self.inbox, &mut bytes, &mut sockets, RecvFlags::DONTWAIT) {
                Ok(length @ 1..) => self.note(bytes.get(..length).unwrap_or_default(), sockets.pop()),
                // Without descriptors left, a socket is not held; others may be.
                Err(error) if error.kind() == io::ErrorKind::Other => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn note(&mut self, bytes: &[u8], socket: Option<OwnedFd>) {
        let Ok(Told { worker, local, is_open }) = postcard::from_bytes(bytes) else { return };
        match socket {
            Some(socket) if is_open && self.sockets.len() < MOST_HELD => {
                self.sockets.insert((worker, local), socket);
            }
            Some(_) => {}
            None => drop(self.sockets.remove(&(worker, local))),
        }
    }

    /// The sockets by their worker and address, for a process that goes on holding them.
    pub fn all(&self) -> impl Iterator<Item = ((u32, SocketAddr), BorrowedFd<'_>)> {
        self.sockets.iter().map(|(key, socket)| (*key, socket.as_fd()))
    }

    /// Made again of its inbox and the sockets.
    #[must_use]
    pub fn of_parts(inbox: OwnedFd, sockets: impl IntoIterator<Item = ((u32, SocketAddr), OwnedFd)>) -> Self {
        Self { inbox, newest: None, sockets: sockets.into_iter().collect() }
    }

    /// Those of one worker.
    pub fn of(&self, worker: u32) -> impl Iterator<Item = BorrowedFd<'_>> {
        let first = (worker, SocketAddr::from(([0, 0, 0, 0], 0)));
        self.sockets.range(first..).take_while(move |((of, _), _)| *of == worker).map(|(_, socket)| socket.as_fd())
    }

    /// Holds none any longer.
    pub fn clear(&mut self) {
        self.sockets.clear();
    }
}

/// Messages stay apart, and arrive in the order in which they were sent.
fn inbox() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_socket_is_held_until_it_is_released() {
        let (mut held, theirs) = HeldSockets::new().expect("sockets");
        let (one, other) = (Keeper::new(theirs.try_clone().expect("a descriptor"), 1), Keeper::new(theirs, 2));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let local = socket.local_addr().expect("bound");
        one.hold(socket.as_fd(), local);
        drop(socket);
        held.take();
        assert_eq!((held.of(1).count(), held.of(2).count(), held.of(0).count()), (1, 0, 0));
        UdpSocket::bind(local).expect_err("it is open");
        other.release(local);
        held.take();
        assert_eq!(held.of(1).count(), 1, "it is not the other's");
        // An end that is no longer listened to.
        let later = held.connect().expect("sockets");
        held.turn_to_newest();
        one.release(local);
        held.take();
        assert_eq!(held.of(1).count(), 1);
        Keeper::new(later, 1).release(local);
        held.take();
        UdpSocket::bind(local).expect("it is closed");
    }
}
