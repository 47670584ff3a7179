//! ICE-TCP (RFC 6544), passive candidates only: listeners, connections, and the packets on them (`framing`).
//!
//! Owns them, and an epoll descriptor over all of them, which the driver watches beside its sockets: so UDP knows
//! nothing of TCP. Never waits and never reads the clock. A connection is an endpoint with a number of its own. It is
//! *unauthenticated* until the machine says that its peer has authenticated: there are few such connections, and none
//! for long. The machine closes idle connections of authenticated peers.

mod framing;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use corecast_core::{Endpoint, EndpointId, Instant, Path};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{Backlog, listen};

use super::outgoing::SegmentedSend;
use super::sockets::Sockets;
use framing::{Appended, Cut, LENGTH_BYTES, MAX_PACKET_BYTES, append, cut, framed_len};

/// Connections of a worker at most; fewer where it may hold few sockets.
pub(crate) const MAX_CONNECTIONS: usize = 4_096;
/// Connections whose peers have not authenticated: in all, from one source (an IPv4 address, or a network of IPv6), and
/// their age. The oldest makes room, because a real peer needs a single round trip to authenticate.
const MAX_UNAUTHENTICATED: usize = 256;
const MAX_UNAUTHENTICATED_OF_SOURCE: usize = 16;
const MAX_UNAUTHENTICATED_AGE: Duration = Duration::from_secs(10);
/// Unsent bytes of a connection, besides what the kernel holds. A packet that does not fit is refused.
const MAX_QUEUE_BYTES: usize = 256 * 1024;
/// A queue that once was longer than this gives its memory back when it is empty.
const KEPT_QUEUE_BYTES: usize = 16 * 1024;
/// Bytes that are read from one connection before the next has its turn.
const READ_BYTES: usize = 32 * 1024;
/// Connections accepted from one listener, and descriptors reported, in one turn.
const MAX_ACCEPTED: usize = 64;
const MAX_READY: usize = 64;
/// Listeners are told from connections by this bit.
const LISTENER: u64 = 1 << 32;

/// A change of the set of connections, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A connection was accepted.
    Accepted(Endpoint),
    /// A connection has ended by itself.
    Gone(EndpointId),
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    accepted_at: Instant,
    /// The beginning of a packet whose end has not arrived.
    begun: Vec<u8>,
    /// Bytes for the kernel; those before `written` have been taken.
    queue: Vec<u8>,
    written: usize,
    /// The kernel is full; epoll tells when it is not.
    full: bool,
}

/// Bytes that were read from a connection, in the memory of [`Tcp`].
#[derive(Debug)]
struct Reading {
    id: EndpointId,
    remote: SocketAddr,
    bytes: Range<usize>,
}

/// Listeners and connections of a worker.
#[derive(Debug)]
pub(super) struct Tcp {
    epoll: Epoll,
    /// By the number by which epoll names them; those that were closed leave their place.
    listeners: Vec<Option<TcpListener>>,
    /// Listeners rest until the next tick, because the system could not accept.
    resting: bool,
    /// The operator has been warned that listeners rest.
    warned: bool,
    max: usize,
    connections: BTreeMap<EndpointId, Connection>,
    /// Oldest first.
    unauthenticated: VecDeque<EndpointId>,
    changes: VecDeque<Change>,
    /// Connections to be read, and the one that is being read.
    readable: VecDeque<EndpointId>,
    reading: Option<Reading>,
    memory: Box<[u8]>,
    /// Connections to be written to.
    dirty: Vec<EndpointId>,
    now: Instant,
}

impl Tcp {
    /// Makes one without listeners, for a worker of at most `max_sockets` sockets.
    ///
    /// # Errors
    /// If the system refuses an epoll descriptor.
    pub(super) fn new(max_sockets: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            listeners: Vec::new(),
            resting: false,
            warned: false,
            // Not so many that transports with ports of their own find no number.
            max: MAX_CONNECTIONS.min(max_sockets / 4),
            connections: BTreeMap::new(),
            unauthenticated: VecDeque::new(),
            changes: VecDeque::new(),
            readable: VecDeque::new(),
            reading: None,
            memory: vec![0; LENGTH_BYTES + MAX_PACKET_BYTES + READ_BYTES].into_boxed_slice(),
            dirty: Vec::new(),
            now: Instant::default(),
        })
    }

    /// Readable when there is something to [`Self::collect`].
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        // The standard library sets SO_REUSEADDR: connections that a worker before us closed do not keep the port.
        let listener = TcpListener::bind(address)?;
        // The library's 128 are few: after a restart of the server all clients come at once, and who finds no room is
        // silent for a second.
        listen(&listener, Backlog::MAXCONN)?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        let free = self.listeners.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.listeners.push(None);
            self.listeners.len() - 1
        });
        self.epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER | place as u64))?;
        if let Some(entry) = self.listeners.get_mut(place) {
            *entry = Some(listener);
        }
        Ok(local)
    }

    /// Closes the listener at this address, if there is one.
    pub(super) fn stop_listening(&mut self, local: SocketAddr) {
        for entry in &mut self.listeners {
            let is_it = |listener: &TcpListener| listener.local_addr().is_ok_and(|address| address == local);
            if entry.as_ref().is_some_and(is_it) {
                *entry = None;
            }
        }
    }

    /// Something was read, or is to be read, that has not been handed out.
    pub(super) fn is_pending(&self) -> bool {
        self.reading.is_some() || !self.readable.is_empty()
    }

    /// Accepts connections, writes to those that have room again, and records which are to be read. Nothing while there
    /// are packets to hand out.
    pub(super) fn collect(&mut self, sockets: &mut Sockets) {
        if self.is_pending() {
            return;
        }
        let mut events = [EpollEvent::empty(); MAX_READY];
        // An error is EINTR: epoll reports ready descriptors again.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in events.iter().take(count) {
            if event.data() & LISTENER != 0 {
                self.accept(event.data() ^ LISTENER, sockets);
            } else if let Ok(number) = u32::try_from(event.data()) {
                self.ready(EndpointId(number), event.events());
            }
        }
    }

    fn ready(&mut self, id: EndpointId, flags: EpollFlags) {
        if flags.contains(EpollFlags::EPOLLOUT) {
            self.write(id);
        }
        // Errors and the end are found by reading.
        if self.connections.contains_key(&id) && flags.intersects(!EpollFlags::EPOLLOUT) {
            self.readable.push_back(id);
        }
    }

    fn accept(&mut self, listener: u64, sockets: &mut Sockets) {
        for _ in 0..MAX_ACCEPTED {
            let listener = usize::try_from(listener).ok().and_then(|index| self.listeners.get(index)?.as_ref());
            let Some(accepted) = listener.map(TcpListener::accept) else { return };
            match accepted {
                Ok((stream, remote)) => {
                    if let Err(error) = self.admit(stream, remote, sockets) {
                        tracing::debug!(%remote, %error, "TCP connection not taken");
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => return self.rest(&error),
                },
            }
        }
    }

    /// Leaves connections in the listeners' queues for a while: a system that is out of descriptors would wake the
    /// worker for each of them again and again.
    fn rest(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%error, "cannot accept TCP connections; RLIMIT_NOFILE may be too low (ulimit -n)");
        }
        self.resting = true;
        self.watch_listeners(EpollFlags::empty());
    }

    fn watch_listeners(&self, flags: EpollFlags) {
        for (index, listener) in self.listeners.iter().enumerate() {
            let Some(listener) = listener else { continue };
            // Cannot fail: it was added when it was made.
            let _ = self.epoll.modify(listener, &mut EpollEvent::new(flags, LISTENER | index as u64));
        }
    }

    fn admit(&mut self, stream: TcpStream, remote: SocketAddr, sockets: &mut Sockets) -> io::Result<()> {
        if self.connections.len() >= self.max {
            return Err(io::Error::other("as many as there may be"));
        }
        stream.set_nonblocking(true)?;
        // Media does not wait to share a segment with media to come.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        self.make_room_for(source(remote.ip()));
        let id = sockets.number().ok_or_else(|| io::Error::other("the worker holds no more sockets"))?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(id.0));
        self.epoll.add(&stream, event).inspect_err(|_| sockets.free(id))?;
        let connection = Connection {
            stream,
            remote,
            accepted_at: self.now,
            begun: Vec::new(),
            queue: Vec::new(),
            written: 0,
            full: false,
        };
        self.connections.insert(id, connection);
        self.unauthenticated.push_back(id);
        self.changes.push_back(Change::Accepted(Endpoint { id, local }));
        Ok(())
    }

    fn make_room_for(&mut self, from: IpAddr) {
        let remote = |id: &EndpointId| self.connections.get(id).map(|connection| connection.remote.ip());
        let mut neighbours = self.unauthenticated.iter().filter(|id| remote(id).map(source) == Some(from));
        let oldest_neighbour = neighbours.next().copied();
        let oldest = if 1 + neighbours.count() >= MAX_UNAUTHENTICATED_OF_SOURCE {
            oldest_neighbour
        } else if self.unauthenticated.len() >= MAX_UNAUTHENTICATED {
            self.unauthenticated.front().copied()
        } else {
            None
        };
        if let Some(oldest) = oldest {
            self.lose(oldest, "too many that have not authenticated");
        }
    }

    /// The peer of this connection has authenticated.
    pub(super) fn authenticated(&mut self, id: EndpointId) {
        self.unauthenticated.retain(|other| *other != id);
    }

    /// Closes connections that have been unauthenticated for too long. To be called several times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = now;
        while let Some(id) = self.unauthenticated.front().copied() {
            let age = self.connections.get(&id).map(|connection| now.since(connection.accepted_at));
            if age.is_some_and(|age| age < MAX_UNAUTHENTICATED_AGE) {
                break;
            }
            self.unauthenticated.pop_front();
            self.lose(id, "not authenticated in time");
        }
        if std::mem::take(&mut self.resting) {
            self.watch_listeners(EpollFlags::EPOLLIN);
        }
    }

    /// The oldest change that has not been told. The number of a connection that has gone is free from then on.
    pub(super) fn next_change(&mut self, sockets: &mut Sockets) -> Option<Change> {
        let change = self.changes.pop_front()?;
        if let Change::Gone(id) = change {
            sockets.free(id);
        }
        Some(change)
    }

    /// Closes a connection that the machine has not asked to close.
    fn lose(&mut self, id: EndpointId, why: &str) {
        if let Some(connection) = self.remove(id) {
            tracing::debug!(remote = %connection.remote, why, "TCP connection closed");
            self.changes.push_back(Change::Gone(id));
        }
    }

    /// Closes a connection. False if no connection has this number: there never was one, or [`Change::Gone`] tells of
    /// its end.
    pub(super) fn close(&mut self, id: EndpointId) -> bool {
        self.remove(id).is_some()
    }

    /// Takes a connection out; it is closed when it is dropped, which takes it out of the epoll set.
    fn remove(&mut self, id: EndpointId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.unauthenticated.retain(|other| *other != id);
        self.readable.retain(|readable| *readable != id);
        self.reading.take_if(|reading| reading.id == id);
        Some(connection)
    }

    /// The next packet, and where it came from.
    pub(super) fn next_packet(&mut self) -> Option<(Path, &[u8])> {
        let (path, packet) = self.find_packet()?;
        Some((path, self.memory.get(packet)?))
    }

    fn find_packet(&mut self) -> Option<(Path, Range<usize>)> {
        loop {
            let Some(reading) = &mut self.reading else {
                let id = self.readable.pop_front()?;
                self.read(id);
                continue;
            };
            let bytes = self.memory.get(reading.bytes.clone()).unwrap_or_default();
            match cut(bytes) {
                Cut::Packet(len) => {
                    let from = reading.bytes.start + LENGTH_BYTES;
                    reading.bytes.start = from + len;
                    if len > 0 {
                        let path = Path { local: reading.id, remote: reading.remote };
                        return Some((path, from..from + len));
                    }
                }
                Cut::Part => {
                    if let Some(connection) = self.connections.get_mut(&reading.id) {
                        connection.begun.extend_from_slice(bytes);
                    }
                    self.reading = None;
                }
                Cut::TooLong => {
                    let id = reading.id;
                    self.lose(id, "it sent a packet that is too long");
                }
            }
        }
    }

    /// Reads once from a connection, behind the beginning of a packet that has arrived before.
    fn read(&mut self, id: EndpointId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let begun = connection.begun.len();
        let Some((before, rest)) = self.memory.split_at_mut_checked(begun) else { return };
        let why = match connection.stream.read(rest) {
            Ok(0) => "its peer closed it".into(),
            Ok(count) => {
                before.copy_from_slice(&connection.begun);
                connection.begun.clear();
                self.reading = Some(Reading { id, remote: connection.remote, bytes: 0..begun + count });
                return;
            }
            // Level-triggered: epoll reports the bytes again.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(error) => error.to_string(),
        };
        self.lose(id, &why);
    }

    /// Queues the packets of a train, as many as there is room for; [`Self::flush`] sends them. `None` if the path is
    /// no connection.
    pub(super) fn send<'a, P>(&mut self, train: SegmentedSend<P>) -> Option<Appended>
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let id = train.path.local;
        let needed = framed_len(&train);
        if needed > self.room_of(train.path)? && !self.connections.get(&id)?.full {
            // The train may be longer than the queue's room, and the kernel may take some of the queue.
            self.write(id);
        }
        let room = self.room_of(train.path)?;
        let connection = self.connections.get_mut(&id)?;
        if !connection.full && self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
        Some(append(&mut connection.queue, room, train))
    }

    /// The remote address says that the number has not become another connection's.
    fn room_of(&self, path: Path) -> Option<usize> {
        let connection = self.connections.get(&path.local).filter(|connection| connection.remote == path.remote)?;
        Some(MAX_QUEUE_BYTES.saturating_sub(connection.queue.len() - connection.written))
    }

    /// Hands queued bytes to the kernel, as many as it takes.
    pub(super) fn flush(&mut self) {
        while let Some(id) = self.dirty.pop() {
            self.write(id);
        }
    }

    fn write(&mut self, id: EndpointId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Err(error) = connection.write().and_then(|full| connection.watch(&self.epoll, id, full)) {
            self.lose(id, &error.to_string());
        }
    }
}

impl Connection {
    /// Writes as many bytes as the kernel takes. True if bytes are left.
    fn write(&mut self) -> io::Result<bool> {
        while let Some(rest) = self.queue.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.queue.drain(..std::mem::take(&mut self.written));
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        self.queue.clear();
        self.queue.shrink_to(KEPT_QUEUE_BYTES);
        Ok(false)
    }

    /// Has epoll tell when there is room again, if the kernel is full.
    fn watch(&mut self, epoll: &Epoll, id: EndpointId, full: bool) -> io::Result<()> {
        if full != std::mem::replace(&mut self.full, full) {
            let room = if full { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            epoll.modify(&self.stream, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, u64::from(id.0)))?;
        }
        Ok(())
    }
}

/// The source that a remote address counts for: the address, or for IPv6 its network of 64 bits, because one host has
/// all of it.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}
