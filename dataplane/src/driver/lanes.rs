//! Endpoints at which other workers of the same server are reached, and the lanes that lead there and from there.
//!
//! Owns the lanes of a worker, its bell, and the ports at its address ([`corecast_wire::worker_ip`]), which are no
//! sockets'. An endpoint here is one of the driver's like any other: a datagram that it sends is written into the lane
//! of the worker to which the remote address belongs, and one that has come is handed out after those of sockets.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use corecast_core::{EndpointId, Path};
use corecast_wire::{worker_at, worker_ip};

use super::Datagram;
use super::outgoing::SegmentedSend;
use super::sockets::{OpenError, Port};
use crate::lane::{Label, MAX_PACKET_BYTES, Reader, Writer};
use crate::mesh::Ends;

/// Another worker of the server.
struct Other {
    worker: u32,
    to: Writer,
    from: Reader,
    bell: OwnedFd,
}

/// Lanes of a worker.
pub(super) struct Lanes {
    worker: u32,
    bell: OwnedFd,
    others: Vec<Other>,
    /// Places among the others of those from whom there is something.
    ready: VecDeque<usize>,
    open: BTreeMap<u16, EndpointId>,
    ports: BTreeMap<EndpointId, u16>,
    next_port: u16,
    /// One packet, on its way in or out.
    room: Box<[u8; MAX_PACKET_BYTES]>,
    unix_time_ns: u64,
}

impl Lanes {
    /// Those of this worker, from its ends; `None` if nothing joins it to others.
    ///
    /// # Errors
    /// If the system does not map their memory.
    pub(super) fn new(worker: u32, ends: Ends) -> io::Result<Option<Self>> {
        Ok(ends.open(worker)?.map(|(bell, others)| Self {
            worker,
            bell,
            others: others.into_iter().map(|(worker, to, from, bell)| Other { worker, to, from, bell }).collect(),
            ready: VecDeque::new(),
            open: BTreeMap::new(),
            ports: BTreeMap::new(),
            next_port: 1,
            room: Box::new([0; MAX_PACKET_BYTES]),
            unix_time_ns: 0,
        }))
    }

    /// Can be read when another worker has rung.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Whether this is where the others reach this worker.
    pub(super) fn is_at(&self, ip: IpAddr) -> bool {
        ip == worker_ip(self.worker)
    }

    /// Where an endpoint is reached from now on. A port rests before it is used again, unless it is asked for.
    ///
    /// # Errors
    /// The port is taken, or all are.
    pub(super) fn open(&mut self, id: EndpointId, port: Port) -> Result<SocketAddr, OpenError> {
        let ip = worker_ip(self.worker);
        let port = match port {
            Port::Given(port @ 1..) => Some(port).filter(|port| !self.open.contains_key(port)).ok_or_else(|| {
                OpenError::Refused { address: SocketAddr::new(ip, port), cause: io::ErrorKind::AddrInUse.into() }
            })?,
            _ => {
                let next = self.next_port;
                let free = (next..=u16::MAX).chain(1..next).find(|port| !self.open.contains_key(port));
                let port = free.ok_or(OpenError::RangeExhausted { ip, min: 1, max: u16::MAX })?;
                self.next_port = port.checked_add(1).unwrap_or(1);
                port
            }
        };
        self.open.insert(port, id);
        self.ports.insert(id, port);
        Ok(SocketAddr::new(ip, port))
    }

    /// False if there is no such endpoint here.
    pub(super) fn close(&mut self, id: EndpointId) -> bool {
        let port = self.ports.remove(&id);
        port.is_some_and(|port| self.open.remove(&port).is_some())
    }

    /// What is sent from now on is made of what has come by this time, in nanoseconds of Unix time.
    pub(super) const fn set_time(&mut self, unix_time_ns: u64) {
        self.unix_time_ns = unix_time_ns;
    }

    /// Looks what has come. True if there is something to be handed out.
    pub(super) fn look(&mut self) -> bool {
        if !self.open.is_empty() {
            for (place, other) in self.others.iter_mut().enumerate() {
                if !other.from.has_packets() && other.from.look() {
                    self.ready.push_back(place);
                }
            }
        }
        self.has_packets()
    }

    /// There is something to be handed out.
    pub(super) fn has_packets(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The worker is about to sleep, and will be woken when something comes. False if something is there already.
    pub(super) fn may_sleep(&mut self) -> bool {
        if self.open.is_empty() {
            return true;
        }
        self.others.iter().for_each(|other| other.from.fall_asleep());
        // Either it is seen here what another has written, or that one sees that we sleep.
        fence(Ordering::SeqCst);
        !self.look()
    }

    /// The worker has slept; `rung` if its bell can be read.
    pub(super) fn wake_up(&mut self, rung: bool) {
        if rung {
            // It counts how often it was rung, which nobody wants to know.
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
        if !self.open.is_empty() {
            self.others.iter().for_each(|other| other.from.wake_up());
        }
    }

    /// The next datagram that has come, of each worker in turn. What is for nobody here is left out.
    pub(super) fn next_datagram(&mut self) -> Option<Datagram<'_>> {
        let (label, worker, length) = loop {
            let place = self.ready.pop_front()?;
            let other = self.others.get_mut(place)?;
            let popped = other.from.pop(&mut self.room);
            if other.from.has_packets() {
                self.ready.push_back(place);
            }
            if other.from.is_broken() {
                tracing::error!("worker {} has written what makes no sense: nothing of it is read", other.worker);
            }
            let Some((label, length)) = popped else { continue };
            if self.open.contains_key(&label.to) {
                break (label, other.worker, length);
            }
        };
        let local = *self.open.get(&label.to)?;
        let path = Path { local, remote: SocketAddr::new(worker_ip(worker), label.from) };
        let bytes = self.room.get(..length)?;
        Some(Datagram { path, taken_in_ns: Some(label.came_ns), bytes })
    }

    /// Whether this endpoint is one of these.
    pub(super) fn has(&self, id: EndpointId) -> bool {
        self.ports.contains_key(&id)
    }

    /// Writes the packets of a train into the lane of the worker that it is for, as many as there is room for;
    /// [`Self::ring`] shows them. Returns how many they are, and how many bytes.
    pub(super) fn send<'a, P>(&mut self, train: SegmentedSend<P>) -> (u64, u64)
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let SegmentedSend { path, segment_len, pieces, .. } = train;
        let worker = worker_at(path.remote.ip());
        let to = self.others.iter_mut().find(|other| Some(other.worker) == worker);
        let segment = self.room.get_mut(..usize::from(segment_len));
        let (Some(from), Some(Other { to, .. }), Some(segment)) = (self.ports.get(&path.local), to, segment) else {
            return (0, 0);
        };
        let label = Label { from: *from, to: path.remote.port(), came_ns: self.unix_time_ns };
        let (mut packets, mut bytes) = (0, 0);
        let mut write = |packet: &[u8]| {
            if to.push(label, packet) {
                packets += 1;
                bytes += packet.len() as u64;
            }
        };
        let mut filled = 0;
        for mut piece in pieces {
            while !piece.is_empty() {
                let (now, later) = piece.split_at(piece.len().min(segment.len() - filled));
                let Some(room) = segment.get_mut(filled..).and_then(|room| room.get_mut(..now.len())) else { break };
                room.copy_from_slice(now);
                (filled, piece) = (filled + now.len(), later);
                if filled == segment.len() {
                    write(segment);
                    filled = 0;
                }
            }
        }
        if filled > 0 {
            write(segment.get(..filled).unwrap_or_default());
        }
        (packets, bytes)
    }

    /// Shows the others what was written for them, and wakes those who sleep.
    pub(super) fn ring(&mut self) {
        for other in &mut self.others {
            if other.to.publish() {
                // It fails only if it has been rung so often that it can be read.
                let _ = rustix::io::write(&other.bell, &1_u64.to_ne_bytes());
            }
        }
    }
}
