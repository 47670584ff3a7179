//! The driver: everything between the worker's machine and the kernel's sockets, with one face and two backs.
//!
//! It opens sockets, sleeps, receives and sends. It knows nothing of RTP, so that a bare measuring loop can stand on it
//! as well. The calls of one turn, in order:
//!
//! 1. [`Driver::wait`] sleeps (nowhere else does a worker sleep), and [`Driver::linger`] a moment more if that pays;
//! 2. [`Driver::collect`] takes in what has arrived, without waiting;
//! 3. [`Driver::next_datagram`] hands it out, one datagram at a time, and gives each buffer back when it is through;
//!    [`Driver::next_packet`] does the same for TCP connections, whose coming and going [`Driver::next_change`] tells;
//! 4. [`Driver::send`] sends trains. Nothing is in flight when it returns: what it was given may change.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use corecast_core::{Endpoint, EndpointId, Instant, Path};

use crate::mmsg::{Mmsg, send_again, send_segment};
use crate::outgoing::{Batch, Outgoing};
use crate::ring::Ring;
use crate::sockets::Sockets;
use crate::tcp::Tcp;

pub use crate::outgoing::Departure;
pub use crate::sockets::{OpenError, Port, SocketOptions};
pub use crate::tcp::Change;

/// Sockets of a worker at most, TCP connections included; RLIMIT_NOFILE may allow fewer.
pub const MAX_SOCKETS: usize = 32_768;

/// What there was when the thread woke up. All false: the time was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// The link can be read.
    pub link: bool,
    /// There are datagrams to [`Driver::collect`].
    pub datagrams: bool,
    /// There is something to collect from TCP connections, or from their listeners.
    pub connections: bool,
}

/// What is watched besides the sockets: a wait ends when it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Link,
    Connections,
}

/// Counters of a driver, since it was made. A packet on a TCP connection counts as a datagram without its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams received.
    pub packets_received: u64,
    /// Their UDP payload, in bytes.
    pub bytes_received: u64,
    /// Datagrams that the kernel accepted.
    pub packets_sent: u64,
    /// Their UDP payload, in bytes.
    pub bytes_sent: u64,
    /// Sends that the kernel accepted, however many packets each of them was.
    pub trains_sent: u64,
    /// Packets that the kernel refused.
    pub packets_refused: u64,
    /// Datagrams lost in our sockets' receive queues (`SO_RXQ_OVFL`), as far as datagrams received since have told.
    pub receive_overflows: u64,
    /// Messages that did not fit their buffer and were discarded.
    pub truncated: u64,
    /// Times that the thread woke up from [`Driver::wait`].
    pub wakeups: u64,
    /// Receives that had to be armed again because every buffer was in use. Always 0 with system calls.
    pub rearmed: u64,
}

/// A message in a receive buffer: one datagram, or several of one length that the kernel has coalesced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) slot: u16,
    pub(crate) local: EndpointId,
    pub(crate) remote: SocketAddr,
    /// Where in the slot the next datagram begins, and where the last one ends.
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) segment_len: usize,
}

/// What has arrived and has not been handed out.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) arrived: VecDeque<Arrival>,
    truncated_from: Vec<Path>,
    truncated: u64,
    overflows: u64,
    pub(crate) rearmed: u64,
}

/// Truncated messages that are remembered until somebody asks; more are counted only.
const MAX_TRUNCATED: usize = 256;

impl Intake {
    /// A message did not fit its buffer.
    pub(crate) fn truncated(&mut self, path: Path) {
        self.truncated += 1;
        if self.truncated_from.len() < MAX_TRUNCATED {
            self.truncated_from.push(path);
        }
    }

    /// `seen` is what the socket said last, `said` what it says now; it counts modulo 2^32.
    pub(crate) fn note_overflows(&mut self, seen: &mut u32, said: Option<u32>) {
        if let Some(said) = said {
            self.overflows += u64::from(said.wrapping_sub(*seen));
            *seen = said;
        }
    }
}

enum Backend {
    Mmsg(Box<Mmsg>),
    Ring(Box<Ring>),
}

/// Sockets, and one of two ways to use them.
pub struct Driver {
    sockets: Sockets,
    outgoing: Outgoing,
    intake: Intake,
    traffic: Traffic,
    /// Once there is a listener.
    tcp: Option<Box<Tcp>>,
    /// It has something to collect.
    tcp_ready: bool,
    backend: Backend,
}

impl Driver {
    /// A driver over `recvmmsg` and `sendmmsg`.
    ///
    /// # Errors
    /// If the system refuses an epoll descriptor.
    pub fn syscalls(options: SocketOptions, max_sockets: usize) -> io::Result<Self> {
        let backend = Backend::Mmsg(Box::new(Mmsg::new(options.gro)?));
        Ok(Self::over(backend, options, max_sockets))
    }

    /// A driver over io_uring. To be used on the thread that made it.
    ///
    /// # Errors
    /// Where the host refuses io_uring (`kernel.io_uring_disabled`, a seccomp profile) or its kernel is older than 6.1.
    pub fn ring(options: SocketOptions, max_sockets: usize) -> io::Result<Self> {
        let backend = Backend::Ring(Box::new(Ring::new(options.gro, max_sockets)?));
        Ok(Self::over(backend, options, max_sockets))
    }

    fn over(backend: Backend, options: SocketOptions, max_sockets: usize) -> Self {
        Self {
            sockets: Sockets::new(options, max_sockets),
            outgoing: Outgoing::new(),
            intake: Intake::default(),
            traffic: Traffic::default(),
            tcp: None,
            tcp_ready: false,
            backend,
        }
    }

    /// Opens a UDP socket and receives from it. IPv6 sockets take IPv6 only.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed.
    pub fn open(&mut self, ip: IpAddr, port: Port) -> Result<Endpoint, OpenError> {
        let endpoint = self.sockets.open(ip, port)?;
        self.receive_from(endpoint)
    }

    /// Opens a UDP socket that any number of remote sides share: with larger buffers, and never connected.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed.
    pub fn open_shared(&mut self, address: SocketAddr) -> Result<Endpoint, OpenError> {
        let endpoint = self.sockets.open_shared(address)?;
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

    /// Listens for TCP connections. What they carry are packets, each behind its length (RFC 4571).
    ///
    /// # Errors
    /// [`OpenError::Refused`]; nothing has changed.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, OpenError> {
        let refused = |cause| OpenError::Refused { address, cause };
        if self.tcp.is_none() {
            let tcp = Tcp::new(self.sockets.max()).map_err(refused)?;
            match &mut self.backend {
                Backend::Mmsg(mmsg) => mmsg.watch(Watch::Connections, tcp.fd()).map_err(refused)?,
                Backend::Ring(ring) => ring.watch(Watch::Connections, tcp.fd()),
            }
            self.tcp = Some(Box::new(tcp));
        }
        self.tcp.as_mut().map_or(Ok(address), |tcp| tcp.listen(address).map_err(refused))
    }

    /// From now on all traffic of the endpoint is with `remote`. Optional: sends become cheaper.
    ///
    /// # Errors
    /// What `connect` says, or that the endpoint is shared or a TCP connection; it works on as it was.
    pub fn connect(&mut self, id: EndpointId, remote: SocketAddr) -> io::Result<()> {
        self.sockets.connect(id, remote)
    }

    /// Closes an endpoint. What has arrived on it and has not been handed out is dropped.
    pub fn close(&mut self, id: EndpointId) {
        let Some(socket) = self.sockets.take(id) else {
            if self.tcp.as_mut().is_some_and(|tcp| tcp.close(id)) {
                self.sockets.free(id);
            }
            return;
        };
        self.drop_arrivals(id);
        match &mut self.backend {
            Backend::Mmsg(mmsg) => {
                mmsg.remove(socket.fd());
                self.sockets.free(id);
            }
            // Its number is free when its receive has ended.
            Backend::Ring(ring) => ring.close(id),
        }
    }

    fn drop_arrivals(&mut self, id: EndpointId) {
        let backend = &mut self.backend;
        self.intake.arrived.retain(|arrival| {
            let keep = arrival.local != id;
            if let (Backend::Ring(ring), false) = (&mut *backend, keep) {
                ring.give_back(arrival.slot);
            }
            keep
        });
    }

    /// [`Self::wait`] returns when `link` can be read, too.
    ///
    /// # Errors
    /// What the system says.
    pub fn watch_link(&mut self, link: BorrowedFd<'_>) -> io::Result<()> {
        match &mut self.backend {
            Backend::Mmsg(mmsg) => mmsg.watch(Watch::Link, link),
            Backend::Ring(ring) => {
                ring.watch(Watch::Link, link);
                Ok(())
            }
        }
    }

    /// Sleeps until something has arrived or the link can be read, at most `at_most`; but at least for `gather`, so
    /// that what arrives meanwhile shares the batch. Zero for both looks without sleeping.
    ///
    /// # Errors
    /// What the system says; the driver is of no more use.
    pub fn wait(&mut self, at_most: Duration, gather: Duration) -> io::Result<Woken> {
        if !self.intake.arrived.is_empty() {
            return Ok(Woken { datagrams: true, ..Woken::default() });
        }
        // Datagrams are looked for between packets of connections.
        let at_most = if self.has_packets() { Duration::ZERO } else { at_most };
        let gather = gather.min(at_most);
        self.traffic.wakeups += u64::from(!at_most.is_zero());
        let woken = match &mut self.backend {
            Backend::Mmsg(mmsg) => {
                std::thread::sleep(gather);
                mmsg.wait(at_most.saturating_sub(gather))
            }
            Backend::Ring(ring) => {
                let woken = ring.wait(at_most, gather, &mut self.intake);
                while let Some(id) = ring.next_closed() {
                    self.sockets.free(id);
                }
                woken
            }
        }?;
        self.tcp_ready |= woken.connections;
        Ok(woken)
    }

    fn has_packets(&self) -> bool {
        self.tcp.as_ref().is_some_and(|tcp| tcp.is_pending())
    }

    /// Sleeps for `window`, whatever arrives: what comes meanwhile shares the batch.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn linger(&mut self, window: Duration) -> io::Result<Woken> {
        let woken = match &mut self.backend {
            Backend::Mmsg(mmsg) => {
                std::thread::sleep(window);
                mmsg.wait(Duration::ZERO)
            }
            Backend::Ring(ring) => ring.linger(window, &mut self.intake),
        }?;
        self.tcp_ready |= woken.connections;
        Ok(woken)
    }

    /// Takes in what the last [`Self::wait`] found, as many messages as there are buffers. Nothing if there are still
    /// datagrams to hand out, and from connections nothing if there are still packets. True if there is something to
    /// hand out.
    pub fn collect(&mut self) -> bool {
        // The ring's completions have been taken in where they were found.
        if let (Backend::Mmsg(mmsg), true) = (&mut self.backend, self.intake.arrived.is_empty()) {
            mmsg.collect(&mut self.sockets, &mut self.intake);
        }
        if let (Some(tcp), true) = (&mut self.tcp, std::mem::take(&mut self.tcp_ready)) {
            tcp.collect(&mut self.sockets);
        }
        !self.intake.arrived.is_empty() || self.has_packets()
    }

    /// The next datagram: where it came from, where to, and its bytes. `None` when all have been handed out.
    pub fn next_datagram(&mut self) -> Option<(Path, &[u8])> {
        while self.intake.arrived.front().is_some_and(|arrival| arrival.at >= arrival.end) {
            // Its last datagram has been seen: this call proves that nobody holds it any more.
            if let (Some(done), Backend::Ring(ring)) = (self.intake.arrived.pop_front(), &mut self.backend) {
                ring.give_back(done.slot);
            }
        }
        let arrival = self.intake.arrived.front_mut()?;
        let from = arrival.at;
        let to = arrival.end.min(from.saturating_add(arrival.segment_len));
        arrival.at = to;
        let path = Path { local: arrival.local, remote: arrival.remote };
        let slot = match &self.backend {
            Backend::Mmsg(mmsg) => mmsg.bytes(arrival.slot),
            Backend::Ring(ring) => ring.bytes(arrival.slot),
        };
        let datagram = slot.get(from..to).unwrap_or_default();
        self.traffic.packets_received += 1;
        self.traffic.bytes_received += datagram.len() as u64;
        Some((path, datagram))
    }

    /// The next packet of a TCP connection: as [`Self::next_datagram`].
    pub fn next_packet(&mut self) -> Option<(Path, &[u8])> {
        let (path, packet) = self.tcp.as_mut()?.next_packet()?;
        self.traffic.packets_received += 1;
        self.traffic.bytes_received += packet.len() as u64;
        Some((path, packet))
    }

    /// A TCP connection that was accepted, or that has ended by itself. To be asked after each call that may change
    /// that: [`Self::collect`], [`Self::next_packet`], [`Self::send`] and [`Self::tick`]; and first of all after
    /// `collect`, so that every connection is known before its packets, and before its number has another.
    pub fn next_change(&mut self) -> Option<Change> {
        self.tcp.as_mut()?.next_change(&mut self.sockets)
    }

    /// The peer of this TCP connection has authenticated. Connections of which nobody says so are limited.
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

    /// The path of a message that did not fit its buffer and was discarded.
    pub fn next_truncated(&mut self) -> Option<Path> {
        self.intake.truncated_from.pop()
    }

    /// Sends trains, in order. Every packet has been accepted or refused when it returns; of those refused, `refused`
    /// is told the path and how many.
    pub fn send<'a, P>(&mut self, trains: impl IntoIterator<Item = Departure<P>>, mut refused: impl FnMut(Path, u64))
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let Self { sockets, outgoing, intake, traffic, backend, tcp, .. } = self;
        let mut crew = Crew { sockets, traffic, backend, intake, tcp };
        let mut batch = outgoing.batch();
        for train in trains {
            if !batch.has_room() {
                crew.transmit(&mut batch, &mut refused);
            }
            let (path, packets) = (train.path, train.packets());
            let Some(socket) = crew.sockets.get(path.local) else {
                crew.send_by_tcp(train, &mut refused);
                continue;
            };
            let named = socket.connected != Some(path.remote);
            let singly = train.segment_len > socket.segment_limit(path.remote.ip());
            if !batch.push(train, named, singly) {
                debug_assert!(false, "a train whose pieces do not add up");
                crew.refuse(path, packets, &mut refused);
            }
        }
        crew.transmit(&mut batch, &mut refused);
        if let Some(tcp) = tcp {
            tcp.flush();
        }
    }

    /// Counters.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let Intake { truncated, overflows, rearmed, .. } = self.intake;
        Traffic { truncated, receive_overflows: overflows, rearmed, ..self.traffic }
    }

    /// A sentence for the operator if the system gave smaller socket buffers than were asked for. Told once.
    pub const fn take_warning(&mut self) -> Option<String> {
        self.sockets.take_warning()
    }
}

/// What it takes to send, apart from the memory of the batch.
struct Crew<'d> {
    sockets: &'d mut Sockets,
    traffic: &'d mut Traffic,
    backend: &'d mut Backend,
    intake: &'d mut Intake,
    tcp: &'d mut Option<Box<Tcp>>,
}

impl Crew<'_> {
    fn refuse(&mut self, path: Path, packets: u64, refused: &mut impl FnMut(Path, u64)) {
        self.traffic.packets_refused += packets;
        refused(path, packets);
    }

    /// Sends a train from an endpoint that is no UDP socket.
    fn send_by_tcp<'a, P>(&mut self, train: Departure<P>, refused: &mut impl FnMut(Path, u64))
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let (path, packets) = (train.path, train.packets());
        let taken = self.tcp.as_mut().and_then(|tcp| tcp.send(train)).unwrap_or_default();
        self.traffic.packets_sent += taken.packets;
        self.traffic.bytes_sent += taken.bytes;
        self.traffic.trains_sent += u64::from(taken.packets > 0);
        if taken.packets < packets {
            self.refuse(path, packets - taken.packets, refused);
        }
    }

    /// Sends what has been gathered and sees to what was refused.
    fn transmit(&mut self, batch: &mut Batch<'_, '_>, refused: &mut impl FnMut(Path, u64)) {
        match &mut self.backend {
            Backend::Mmsg(_) => Mmsg::transmit(self.sockets, batch),
            Backend::Ring(ring) => ring.transmit(batch, self.intake),
        }
        for message in batch.messages() {
            self.traffic.packets_sent += u64::from(message.packets);
            self.traffic.bytes_sent += u64::from(message.bytes);
        }
        self.traffic.trains_sent += batch.messages().len() as u64;
        while let Some(refusal) = batch.next_refusal() {
            let Some(message) = batch.messages().get(refusal.index).copied() else { continue };
            self.traffic.trains_sent -= 1;
            let accepted = self.send_refused_again(batch, refusal.index, refusal.errno);
            let lost = message.packets - accepted.packets;
            self.traffic.packets_sent -= u64::from(lost);
            self.traffic.bytes_sent -= u64::from(message.bytes) - accepted.bytes;
            self.traffic.trains_sent += accepted.sends;
            if lost > 0 {
                self.refuse(message.path, u64::from(lost), refused);
            }
        }
        batch.clear();
    }

    /// Tries once more where that makes sense; says what was accepted in the end.
    fn send_refused_again(&mut self, batch: &mut Batch<'_, '_>, index: usize, errno: i32) -> Accepted {
        let nothing = Accepted::default();
        let Some(message) = batch.messages().get(index).copied() else { return nothing };
        let Some(socket) = self.sockets.get_mut(message.path.local) else { return nothing };
        match errno {
            // Full queues. Media that would have to wait is media that nobody wants.
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => return nothing,
            // The device or route cannot take trains.
            libc::EIO if message.packets > 1 => socket.lower_segment_limit(message.path.remote.ip(), 0),
            // Longer than the path's MTU allows in a train (EINVAL: kernels before 6.2 say it so, and for nothing else
            // that we send). On their own such packets are fragmented by IP.
            libc::EMSGSIZE | libc::EINVAL if message.packets > 1 => {
                socket.lower_segment_limit(message.path.remote.ip(), message.segment_len - 1);
            }
            _ => {
                // A connected socket reports ICMP errors of earlier packets once, in place of a later send.
                let sent = send_again(socket.raw_fd(), batch, index).is_ok();
                let (packets, sends) = (message.packets, 1);
                return if sent { Accepted { packets, bytes: u64::from(message.bytes), sends } } else { nothing };
            }
        }
        let fd = socket.raw_fd();
        let mut accepted = nothing;
        for segment in 0..message.packets {
            let sent = send_segment(fd, batch, index, segment)
                .or_else(|again| if is_pending(again) { send_segment(fd, batch, index, segment) } else { Err(again) });
            debug_assert!(sent != Err(libc::EINVAL), "a packet that the kernel does not understand");
            if sent.is_ok() {
                let before = u32::from(segment) * u32::from(message.segment_len);
                accepted.packets += 1;
                accepted.bytes += u64::from((message.bytes - before).min(u32::from(message.segment_len)));
                accepted.sends += 1;
            }
        }
        accepted
    }
}

/// What came of a second try.
#[derive(Clone, Copy, Default)]
struct Accepted {
    packets: u16,
    bytes: u64,
    sends: u64,
}

/// Errors that may be the echo of an earlier packet.
const fn is_pending(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EPROTO | libc::EHOSTDOWN | libc::EMSGSIZE
    )
}
