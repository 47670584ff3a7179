//! The driver: everything between the worker's machine and the kernel's sockets, with one face and two backends.
//!
//! The driver opens sockets, sleeps, receives and sends. It knows nothing of RTP, so that a bare measuring loop can
//! stand on it as well. The calls of one turn, in order:
//!
//! 1. [`Driver::wait`] sleeps (nowhere else does a worker sleep), and [`Driver::linger`] a moment more if that pays;
//! 2. [`Driver::collect`] takes in the messages that have arrived, without waiting;
//! 3. [`Driver::next_datagram`] hands out one datagram at a time, and gives each buffer back when it is through;
//!    [`Driver::next_packet`] does the same for TCP connections, and [`Driver::next_change`] tells of connections that
//!    were accepted or have ended;
//! 4. [`Driver::send`] sends trains. Nothing is in flight when it returns: the caller may change the memory it sent.
//!
//! The backends are `ring` (io_uring, with receive buffers that the kernel picks) and `mmsg` (system calls). Both fill
//! the receive buffers of `intake`, and send what `outgoing` has gathered for the `sockets`. `tcp` holds connections,
//! `lanes` what leads to other workers of the server; `sending` is what becomes of a train. `arena` has the memory of
//! receive buffers; `address` knows the kernel's layout of addresses and control messages.

mod address;
#[allow(unsafe_code, reason = "memory that the kernel writes to")]
pub(crate) mod arena;
mod intake;
mod lanes;
#[allow(unsafe_code, reason = "system calls that take pointers")]
mod mmsg;
mod outgoing;
#[allow(unsafe_code, reason = "submissions that hold pointers, and buffers that the kernel picks")]
mod ring;
mod sending;
mod sockets;
mod tcp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use corecast_core::{Endpoint, EndpointId, Instant, Path};
use corecast_wire::{HugePages, SocketSettings};

use crate::keeper::Keeper;
use crate::mesh::Ends;
use arena::Region;
use intake::{ReceiveBuffers, Watch};
use lanes::Lanes;
use mmsg::Mmsg;
use outgoing::SendMemory;
use ring::Ring;
use sending::SendQueue;
use sockets::Sockets;
use tcp::Tcp;

pub use intake::Wakeup;
pub use outgoing::SegmentedSend;
pub use sockets::{OpenError, Port, SocketOptions};
pub use tcp::Change;
pub(crate) use tcp::MAX_CONNECTIONS;

/// Sockets of a worker at most, TCP connections included; RLIMIT_NOFILE may allow fewer.
pub const MAX_SOCKETS: usize = 32_768;

/// Settings of a driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverOptions {
    /// Options of every socket.
    pub sockets: SocketOptions,
    /// Most sockets, TCP connections included.
    pub max_sockets: usize,
    /// Pages of the receive buffers.
    pub huge_pages: HugePages,
}

/// Counters of a driver, since it was made. A packet on a TCP connection counts as a datagram without its length, one
/// between two workers as a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams received.
    pub packets_received: u64,
    /// UDP payload of the datagrams received, in bytes.
    pub bytes_received: u64,
    /// Datagrams that the kernel accepted.
    pub packets_sent: u64,
    /// UDP payload of the datagrams that the kernel accepted, in bytes.
    pub bytes_sent: u64,
    /// Sends that the kernel accepted, however many packets each of them was.
    pub trains_sent: u64,
    /// Packets that the kernel refused, or that found no room on their way to another worker.
    pub packets_refused: u64,
    /// What was lost in our sockets' receive queues (`SO_RXQ_OVFL`), as far as datagrams received since have told. The
    /// kernel counts what it queues: datagrams that it has merged (`UDP_GRO`) are one.
    pub receive_overflows: u64,
    /// Messages that did not fit their buffer and were discarded.
    pub truncated: u64,
    /// How often the thread woke up from [`Driver::wait`].
    pub wakeups: u64,
    /// Receives that had to be armed again because every buffer was in use. Always 0 with system calls.
    pub rearmed: u64,
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Between which addresses it came.
    pub path: Path,
    /// Unix time at which the kernel took it in, in nanoseconds, if it says so. Those that came coalesced have the time
    /// of the first, those from another worker that of what they were made of.
    pub taken_in_ns: Option<u64>,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// One of two ways to use sockets.
enum Backend {
    Mmsg(Box<Mmsg>),
    Ring(Box<Ring>),
}

/// Sockets, and one of two ways to use them.
pub struct Driver {
    sockets: Sockets,
    send_memory: SendMemory,
    receive_buffers: ReceiveBuffers,
    traffic: Traffic,
    /// Made with the first listener.
    tcp: Option<Box<Tcp>>,
    /// TCP has something to collect.
    tcp_ready: bool,
    /// To the other workers of the server, if there are any.
    lanes: Option<Box<Lanes>>,
    /// Whose turn it is where sockets and lanes have something: the lanes'.
    lanes_turn: bool,
    backend: Backend,
}

impl Driver {
    /// A driver over `recvmmsg` and `sendmmsg`.
    ///
    /// # Errors
    /// If the system refuses an epoll descriptor, or memory.
    pub fn syscalls(options: DriverOptions) -> io::Result<Self> {
        let memory = Region::new(Mmsg::memory_bytes(options.sockets.gro), options.huge_pages)?;
        let backend = Backend::Mmsg(Box::new(Mmsg::new(options.sockets.gro, memory)?));
        Ok(Self::over(backend, options))
    }

    /// A driver over io_uring. To be used on the thread that made it.
    ///
    /// # Errors
    /// Where the host refuses io_uring (`kernel.io_uring_disabled`, a seccomp profile) or its kernel is older than 6.1.
    pub fn ring(options: DriverOptions) -> io::Result<Self> {
        let memory = Region::new(Ring::memory_bytes(options.sockets.gro), options.huge_pages)?;
        let backend = Backend::Ring(Box::new(Ring::new(options.sockets.gro, options.max_sockets, memory)?));
        Ok(Self::over(backend, options))
    }

    fn over(backend: Backend, options: DriverOptions) -> Self {
        Self {
            sockets: Sockets::new(options.sockets, options.max_sockets),
            send_memory: SendMemory::new(),
            receive_buffers: ReceiveBuffers::default(),
            traffic: Traffic::default(),
            tcp: None,
            tcp_ready: false,
            lanes: None,
            lanes_turn: false,
            backend,
        }
    }

    /// UDP sockets that are bound already, which somebody else keeps open when this process ends: who opens the address
    /// of one gets it, with what it has received meanwhile. That one is the keeper, who is told of others from now on.
    ///
    /// # Errors
    /// If one of them is not bound.
    pub fn inherit(&mut self, sockets: Vec<OwnedFd>, keeper: Option<Keeper>) -> io::Result<()> {
        self.sockets.inherit(sockets, keeper)
    }

    /// Closes those whose address nobody has opened.
    pub fn forget_inherited(&mut self) {
        self.sockets.forget_inherited();
    }

    /// Joins this worker to the others of its server: who opens its [`corecast_wire::worker_ip`] is reached by them
    /// from then on.
    ///
    /// # Errors
    /// If the system does not map the memory that joins them, or does not watch the bell.
    pub fn join(&mut self, worker: u32, ends: Ends) -> io::Result<()> {
        let Some(lanes) = Lanes::new(worker, ends)? else { return Ok(()) };
        self.watch(Watch::Bell, lanes.bell())?;
        self.lanes = Some(Box::new(lanes));
        Ok(())
    }

    /// Opens a UDP socket and receives from it. IPv6 sockets take IPv6 only. At the address of a worker, an endpoint
    /// for its lanes.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed.
    pub fn open(&mut self, ip: IpAddr, port: Port, settings: SocketSettings) -> Result<Endpoint, OpenError> {
        if let Some(lanes) = self.lanes.as_mut().filter(|lanes| lanes.is_at(ip)) {
            let id = self.sockets.number_at(SocketAddr::new(ip, 0))?;
            let opened = lanes.open(id, port).map(|local| Endpoint { id, local });
            return opened.inspect_err(|_| self.sockets.free(id));
        }
        let endpoint = self.sockets.open(ip, port, settings)?;
        self.receive_from(endpoint)
    }

    /// Opens a UDP socket that any number of remote sides share: with larger buffers, and never connected.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed.
    pub fn open_shared(&mut self, ip: IpAddr, port: Port, settings: SocketSettings) -> Result<Endpoint, OpenError> {
        let endpoint = self.sockets.open_shared(ip, port, settings)?;
        self.receive_from(endpoint)
    }

    fn receive_from(&mut self, endpoint: Endpoint) -> Result<Endpoint, OpenError> {
        let Some(socket) = self.sockets.get(endpoint.id) else { return Ok(endpoint) };
        let armed = match &mut self.backend {
            Backend::Mmsg(mmsg) => mmsg.add(endpoint.id, socket.fd()),
            Backend::Ring(ring) => ring.add(endpoint.id, socket.fd()),
        };
        if let Err(cause) = armed {
            self.sockets.take(endpoint.id);
            self.sockets.free(endpoint.id);
            return Err(OpenError::Refused { address: endpoint.local, cause });
        }
        Ok(endpoint)
    }

    /// Listens for TCP connections, which carry packets, each behind its length (RFC 4571).
    ///
    /// # Errors
    /// [`OpenError::Refused`]; nothing has changed.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, OpenError> {
        let refused = |cause| OpenError::Refused { address, cause };
        if self.tcp.is_none() {
            let tcp = Tcp::new(self.sockets.max()).map_err(refused)?;
            self.watch(Watch::Connections, tcp.fd()).map_err(refused)?;
            self.tcp = Some(Box::new(tcp));
        }
        self.tcp.as_mut().map_or(Ok(address), |tcp| tcp.listen(address).map_err(refused))
    }

    /// Listens no longer. Connections that were accepted stay.
    pub fn stop_listening(&mut self, local: SocketAddr) {
        if let Some(tcp) = &mut self.tcp {
            tcp.stop_listening(local);
        }
    }

    /// From now on the endpoint exchanges datagrams with `remote` only. Optional: sends become cheaper.
    ///
    /// # Errors
    /// The error of `connect`, or that the endpoint is shared or a TCP connection. The endpoint works on as it was.
    pub fn connect(&mut self, id: EndpointId, remote: SocketAddr) -> io::Result<()> {
        self.sockets.connect(id, remote)
    }

    /// Closes an endpoint. Datagrams that arrived on it and have not been handed out are dropped.
    pub fn close(&mut self, id: EndpointId) {
        let Some(socket) = self.sockets.take(id) else {
            let was_lane = self.lanes.as_mut().is_some_and(|lanes| lanes.close(id));
            if was_lane || self.tcp.as_mut().is_some_and(|tcp| tcp.close(id)) {
                self.sockets.free(id);
            }
            return;
        };
        match &mut self.backend {
            Backend::Mmsg(mmsg) => {
                self.receive_buffers.drop_socket(id, |_| {});
                mmsg.remove(socket.fd());
                self.sockets.free(id);
            }
            Backend::Ring(ring) => {
                self.receive_buffers.drop_socket(id, |buffer| ring.give_back(buffer));
                // The socket's number is free when its receive has ended.
                ring.close(id);
            }
        }
    }

    /// [`Self::wait`] returns when `link` can be read, too.
    ///
    /// # Errors
    /// The error of the system.
    pub fn watch_link(&mut self, link: BorrowedFd<'_>) -> io::Result<()> {
        self.watch(Watch::Link, link)
    }

    fn watch(&mut self, what: Watch, fd: BorrowedFd<'_>) -> io::Result<()> {
        match &mut self.backend {
            Backend::Mmsg(mmsg) => mmsg.watch(what, fd),
            Backend::Ring(ring) => {
                ring.watch(what, fd);
                Ok(())
            }
        }
    }

    /// Sleeps until something has arrived or the link can be read, at most `at_most`; but at least for `gather`, so
    /// that datagrams which arrive meanwhile share the batch. Zero for both looks without sleeping.
    ///
    /// # Errors
    /// The error of the system; the driver cannot be used again.
    pub fn wait(&mut self, at_most: Duration, gather: Duration) -> io::Result<Wakeup> {
        if !self.receive_buffers.is_empty() {
            return Ok(Wakeup { datagrams: true, ..Wakeup::default() });
        }
        // While there are packets of connections or lanes, datagrams are looked for without sleeping.
        let sleeps = !at_most.is_zero() && !self.has_packets() && self.lanes.as_mut().is_none_or(|it| it.may_sleep());
        let at_most = if sleeps { at_most } else { Duration::ZERO };
        let gather = gather.min(at_most);
        self.traffic.wakeups += u64::from(!at_most.is_zero());
        let wakeup = match &mut self.backend {
            Backend::Mmsg(mmsg) => {
                std::thread::sleep(gather);
                mmsg.wait(at_most.saturating_sub(gather))
            }
            Backend::Ring(ring) => {
                let wakeup = ring.wait(at_most, gather, &mut self.receive_buffers);
                while let Some(id) = ring.next_closed() {
                    self.sockets.free(id);
                }
                wakeup
            }
        }?;
        Ok(self.woke(wakeup))
    }

    fn has_packets(&self) -> bool {
        self.tcp.as_ref().is_some_and(|tcp| tcp.is_pending()) || self.lanes.as_ref().is_some_and(|it| it.has_packets())
    }

    /// The backend has waited; what comes of it.
    fn woke(&mut self, wakeup: Wakeup) -> Wakeup {
        self.tcp_ready |= wakeup.connections;
        let Some(lanes) = &mut self.lanes else { return wakeup };
        lanes.wake_up(wakeup.bell);
        Wakeup { datagrams: wakeup.datagrams | lanes.look(), ..wakeup }
    }

    /// Sleeps for `window`, whatever arrives: datagrams that come meanwhile share the batch.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn linger(&mut self, window: Duration) -> io::Result<Wakeup> {
        let wakeup = match &mut self.backend {
            Backend::Mmsg(mmsg) => {
                std::thread::sleep(window);
                mmsg.wait(Duration::ZERO)
            }
            Backend::Ring(ring) => ring.linger(window, &mut self.receive_buffers),
        }?;
        Ok(self.woke(wakeup))
    }

    /// Takes in the messages that the last [`Self::wait`] found, as many as there are buffers. Takes nothing while
    /// there are datagrams to hand out, and nothing from connections while there are packets. True if anything is to be
    /// handed out.
    pub fn collect(&mut self) -> bool {
        // The ring's completions have been taken in where they were found.
        if let (Backend::Mmsg(mmsg), true) = (&mut self.backend, self.receive_buffers.is_empty()) {
            mmsg.collect(&mut self.sockets, &mut self.receive_buffers);
        }
        if let (Some(tcp), true) = (&mut self.tcp, std::mem::take(&mut self.tcp_ready)) {
            tcp.collect(&mut self.sockets);
        }
        if let Some(lanes) = &mut self.lanes {
            lanes.look();
        }
        !self.receive_buffers.is_empty() || self.has_packets()
    }

    /// Receives no more datagrams: those that arrive from now on stay in their sockets. What has been received is there
    /// to be collected. To be called when nothing is waited for any longer.
    pub fn stop(&mut self) {
        if let Backend::Ring(ring) = &mut self.backend {
            ring.stop(&mut self.receive_buffers);
        }
    }

    /// The next datagram. `None` when all have been handed out.
    pub fn next_datagram(&mut self) -> Option<Datagram<'_>> {
        while let Some(buffer) = self.receive_buffers.pop_finished() {
            // The caller has seen its last datagram: this call proves that nobody holds the bytes any longer.
            if let Backend::Ring(ring) = &mut self.backend {
                ring.give_back(buffer);
            }
        }
        let has_lanes = self.lanes.as_ref().is_some_and(|lanes| lanes.has_packets());
        self.lanes_turn = has_lanes && (self.receive_buffers.is_empty() || !self.lanes_turn);
        if self.lanes_turn {
            let datagram = self.lanes.as_mut()?.next_datagram()?;
            self.traffic.packets_received += 1;
            self.traffic.bytes_received += datagram.bytes.len() as u64;
            return Some(datagram);
        }
        let (path, taken_in_ns, buffer, range) = self.receive_buffers.next_datagram()?;
        let bytes = match &self.backend {
            Backend::Mmsg(mmsg) => mmsg.bytes(buffer),
            Backend::Ring(ring) => ring.bytes(buffer),
        };
        let bytes = bytes.get(range).unwrap_or_default();
        self.traffic.packets_received += 1;
        self.traffic.bytes_received += bytes.len() as u64;
        Some(Datagram { path, taken_in_ns, bytes })
    }

    /// The next packet of a TCP connection: its path and its bytes. `None` when all have been handed out.
    pub fn next_packet(&mut self) -> Option<(Path, &[u8])> {
        let (path, packet) = self.tcp.as_mut()?.next_packet()?;
        self.traffic.packets_received += 1;
        self.traffic.bytes_received += packet.len() as u64;
        Some((path, packet))
    }

    /// A TCP connection that was accepted, or that has ended by itself. To be asked after each call that may change
    /// the connections: [`Self::collect`], [`Self::next_packet`], [`Self::send`] and [`Self::tick`]; and first of all
    /// after `collect`, so that every connection is known before its packets, and before another has its number.
    pub fn next_change(&mut self) -> Option<Change> {
        self.tcp.as_mut()?.next_change(&mut self.sockets)
    }

    /// The peer of this TCP connection has authenticated. Unauthenticated connections are limited in number and time.
    pub fn authenticated(&mut self, id: EndpointId) {
        if let Some(tcp) = &mut self.tcp {
            tcp.authenticated(id);
        }
    }

    /// Closes TCP connections that have not authenticated in time. To be called several times a second.
    pub fn tick(&mut self, now: Instant) {
        if let Some(tcp) = &mut self.tcp {
            tcp.tick(now);
        }
    }

    /// The Unix time at which the datagrams came in of which what is sent from now on is made.
    pub fn set_time(&mut self, unix_time: Duration) {
        if let Some(lanes) = &mut self.lanes {
            lanes.set_time(u64::try_from(unix_time.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// The path of a message that did not fit its buffer and was discarded.
    pub fn next_truncated(&mut self) -> Option<Path> {
        self.receive_buffers.next_truncated()
    }

    /// Sends trains, in order. The kernel has accepted or refused every packet when this returns; `refused` is told
    /// the path of refused packets and how many.
    pub fn send<'a, P>(
        &mut self,
        trains: impl IntoIterator<Item = SegmentedSend<P>>,
        mut refused: impl FnMut(Path, u64),
    ) where
        P: Iterator<Item = &'a [u8]>,
    {
        let Self { sockets, send_memory, receive_buffers, traffic, backend, tcp, lanes, .. } = self;
        let batch = send_memory.batch();
        let mut queue = SendQueue { batch, sockets, traffic, backend, receive_buffers, tcp, lanes };
        for train in trains {
            queue.push(train, &mut refused);
        }
        queue.finish(&mut refused);
        if let Some(tcp) = tcp {
            tcp.flush();
        }
    }

    /// Counters.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let (truncated, receive_overflows, rearmed) = self.receive_buffers.counts();
        Traffic { truncated, receive_overflows, rearmed, ..self.traffic }
    }

    /// A sentence for the operator if the system gave smaller socket buffers than were asked for. Returned once.
    pub const fn take_warning(&mut self) -> Option<String> {
        self.sockets.take_warning()
    }
}
