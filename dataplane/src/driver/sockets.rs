//! The UDP sockets of a worker: opening them, their options, and the dense numbers that identify all endpoints.
//!
//! Owns the file descriptors. Hands out the numbers of TCP connections as well, because UDP sockets and connections are
//! numbered together. Never reads or writes a datagram: the backends do that.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use corecast_core::{Endpoint, EndpointId};
use corecast_wire::SocketSettings;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockname, getsockopt, setsockopt, socket,
    sockopt,
};

use crate::keeper::Keeper;

/// Options of every media socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Receive with `UDP_GRO`: datagrams of one sender may come coalesced.
    pub gro: bool,
    /// Wanted `SO_RCVBUF`, in bytes.
    pub recv_buffer_bytes: usize,
    /// Wanted `SO_SNDBUF`, in bytes.
    pub send_buffer_bytes: usize,
    /// Others may bind the same address.
    pub reuse_port: bool,
    /// One on `::` takes IPv4 as well.
    pub dual_stack: bool,
}

impl SocketOptions {
    /// These options, but for what one socket is to have otherwise.
    fn with(self, settings: SocketSettings) -> Self {
        let or = |bytes: u32, configured: usize| match usize::try_from(bytes) {
            Ok(bytes) if bytes > 0 => bytes.min(MAX_BUFFER_BYTES),
            _ => configured,
        };
        Self {
            recv_buffer_bytes: or(settings.recv_buffer_bytes, self.recv_buffer_bytes),
            send_buffer_bytes: or(settings.send_buffer_bytes, self.send_buffer_bytes),
            reuse_port: settings.reuse_port,
            dual_stack: settings.dual_stack,
            ..self
        }
    }
}

/// Largest buffer that is asked of the system for one socket, in bytes.
const MAX_BUFFER_BYTES: usize = 64 << 20;

/// Wanted buffers of a socket that many remote sides share, in bytes, if no more is configured.
const SHARED_BUFFER_BYTES: usize = 8 << 20;
/// Remote addresses per socket whose segment limits are cached; the cache is cleared when it is full.
const MAX_LIMITS: usize = 1_024;

/// Which port to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// This one; 0 lets the system choose.
    Given(u16),
    /// The next free one from first to last.
    Range(u16, u16),
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Every port of the range is taken.
    #[error("no free port between {min} and {max} on {ip}")]
    RangeExhausted {
        /// Address that was to be bound.
        ip: IpAddr,
        /// First port.
        min: u16,
        /// Last port.
        max: u16,
    },
    /// The system refused.
    #[error("cannot listen on {address}: {cause}")]
    Refused {
        /// Address that was to be bound.
        address: SocketAddr,
        /// Error of the system.
        cause: io::Error,
    },
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    local: SocketAddr,
    /// Has any number of remote sides, and so is never connected.
    shared: bool,
    connected: Option<SocketAddr>,
    limits: Limits,
    /// Last `SO_RXQ_OVFL` count seen.
    overflows: u32,
}

/// Longest segments that may travel in a train, of the remote addresses for which the kernel has refused longer ones.
/// By address, because one path's MTU must not cost the others of a shared socket their trains.
#[derive(Debug, Default)]
struct Limits(BTreeMap<IpAddr, u16>);

impl Limits {
    fn of(&self, remote: IpAddr) -> u16 {
        // Nearly always there are none.
        if self.0.is_empty() { u16::MAX } else { self.0.get(&remote).copied().unwrap_or(u16::MAX) }
    }

    fn lower(&mut self, remote: IpAddr, limit: u16) {
        if self.0.len() >= MAX_LIMITS && !self.0.contains_key(&remote) {
            // A remote address that still needs a limit has it again after one refused train.
            self.0.clear();
        }
        let known = self.0.entry(remote).or_insert(u16::MAX);
        *known = limit.min(*known);
    }
}

impl Socket {
    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Sends to `remote` need not name it.
    pub(super) fn is_connected_to(&self, remote: SocketAddr) -> bool {
        self.connected == Some(remote)
    }

    /// Last `SO_RXQ_OVFL` count seen.
    pub(super) const fn overflows_mut(&mut self) -> &mut u32 {
        &mut self.overflows
    }

    /// Longest segment that may travel in a train to this address, in bytes; 0 if none may.
    pub(super) fn segment_limit(&self, remote: IpAddr) -> u16 {
        self.limits.of(remote)
    }

    /// From now on trains to this address have no longer segments than `limit`: the path's MTU is lower than it seemed
    /// (EMSGSIZE), or, with 0, the device cannot segment (EIO).
    pub(super) fn lower_segment_limit(&mut self, remote: IpAddr, limit: u16) {
        self.limits.lower(remote, limit);
    }
}

/// All sockets of a worker, by [`EndpointId`].
#[derive(Debug)]
pub(super) struct Sockets {
    entries: Vec<Option<Socket>>,
    free: Vec<u32>,
    options: SocketOptions,
    next_port: u16,
    max: usize,
    warning: Option<String>,
    /// The latest of those sentences.
    warned: Option<String>,
    /// Sockets that are bound already, by their address: somebody else keeps them open when this process ends.
    inherited: BTreeMap<SocketAddr, OwnedFd>,
    /// Who holds them.
    keeper: Option<Keeper>,
}

impl Sockets {
    /// Holds at most `max` sockets.
    pub(super) const fn new(options: SocketOptions, max: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            options,
            next_port: 0,
            max,
            warning: None,
            warned: None,
            inherited: BTreeMap::new(),
            keeper: None,
        }
    }

    /// Sockets that are bound already: who opens the address of one gets it. What it has received waits in it. The one
    /// that holds them is told of those that are opened and closed from now on.
    ///
    /// # Errors
    /// If one of them is not bound.
    pub(super) fn inherit(&mut self, sockets: Vec<OwnedFd>, keeper: Option<Keeper>) -> io::Result<()> {
        self.keeper = keeper;
        for fd in sockets {
            let local = local_address(&fd)?;
            self.inherited.insert(local, fd);
        }
        Ok(())
    }

    /// Closes those whose address nobody has opened.
    pub(super) fn forget_inherited(&mut self) {
        for (local, _) in std::mem::take(&mut self.inherited) {
            self.release(local);
        }
    }

    fn release(&self, local: SocketAddr) {
        if let Some(keeper) = &self.keeper {
            keeper.release(local);
        }
    }

    /// Most endpoints that there may be.
    pub(super) const fn max(&self) -> usize {
        self.max
    }

    /// Opens a socket. Its number is the smallest that is free, or close to it.
    pub(super) fn open(&mut self, ip: IpAddr, port: Port, settings: SocketSettings) -> Result<Endpoint, OpenError> {
        let id = self.number_at(SocketAddr::new(ip, 0))?;
        let options = self.options.with(settings);
        let bound = match port {
            Port::Given(port) => self.bind_given(SocketAddr::new(ip, port), options),
            Port::Range(min, max) => self.bind_in_range(ip, (min, max), options),
        };
        self.keep(id, bound, false)
    }

    /// Opens a socket for any number of remote sides, with buffers for all of them.
    pub(super) fn open_shared(
        &mut self,
        ip: IpAddr,
        port: Port,
        settings: SocketSettings,
    ) -> Result<Endpoint, OpenError> {
        let id = self.number_at(SocketAddr::new(ip, 0))?;
        let options = SocketOptions {
            recv_buffer_bytes: self.options.recv_buffer_bytes.max(SHARED_BUFFER_BYTES),
            send_buffer_bytes: self.options.send_buffer_bytes.max(SHARED_BUFFER_BYTES),
            ..self.options
        }
        .with(settings);
        let bound = match port {
            Port::Given(port) => self.bind_given(SocketAddr::new(ip, port), options),
            Port::Range(min, max) => self.bind_in_range(ip, (min, max), options),
        };
        self.keep(id, bound, true)
    }

    /// Takes a free number, for an endpoint that is kept elsewhere; [`Self::free`] gives it back. `None` if there are
    /// too many.
    pub(super) fn number(&mut self) -> Option<EndpointId> {
        if let Some(id) = self.free.pop() {
            return Some(EndpointId(id));
        }
        let id = u32::try_from(self.entries.len()).ok().filter(|_| self.entries.len() < self.max)?;
        self.entries.push(None);
        Some(EndpointId(id))
    }

    /// The same, for an endpoint at this address.
    pub(super) fn number_at(&mut self, address: SocketAddr) -> Result<EndpointId, OpenError> {
        self.number().ok_or_else(|| self.too_many(address))
    }

    fn too_many(&self, address: SocketAddr) -> OpenError {
        let cause = io::Error::other(format!("a worker holds at most {} sockets: raise RLIMIT_NOFILE", self.max));
        OpenError::Refused { address, cause }
    }

    fn keep(
        &mut self,
        id: EndpointId,
        bound: Result<(OwnedFd, SocketAddr), OpenError>,
        shared: bool,
    ) -> Result<Endpoint, OpenError> {
        let (fd, local) = bound.inspect_err(|_| self.free(id))?;
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            *entry = Some(Socket { fd, local, shared, connected: None, limits: Limits::default(), overflows: 0 });
        }
        Ok(Endpoint { id, local })
    }

    fn bind_given(&mut self, address: SocketAddr, options: SocketOptions) -> Result<(OwnedFd, SocketAddr), OpenError> {
        self.bind(address, options).map_err(|cause| OpenError::Refused { address, cause: cause.into() })
    }

    /// Takes the next free port after the one given last, so that a port rests before it is used again.
    fn bind_in_range(
        &mut self,
        ip: IpAddr,
        (min, max): (u16, u16),
        options: SocketOptions,
    ) -> Result<(OwnedFd, SocketAddr), OpenError> {
        let ports = usize::from(max.saturating_sub(min)) + 1;
        let from = if (min..=max).contains(&self.next_port) { self.next_port } else { min };
        for port in (min..=max).cycle().skip(usize::from(from - min)).take(ports) {
            let address = SocketAddr::new(ip, port);
            match self.bind(address, options) {
                Ok(bound) => {
                    self.next_port = port.wrapping_add(1);
                    return Ok(bound);
                }
                Err(Errno::EADDRINUSE) => {}
                Err(cause) => return Err(OpenError::Refused { address, cause: cause.into() }),
            }
        }
        Err(OpenError::RangeExhausted { ip, min, max })
    }

    fn bind(&mut self, address: SocketAddr, options: SocketOptions) -> nix::Result<(OwnedFd, SocketAddr)> {
        if let Some(fd) = self.inherited.remove(&address) {
            self.set_options(&fd, options)?;
            return Ok((fd, address));
        }
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Datagram, flags, None)?;
        if address.is_ipv6() {
            setsockopt(&fd, sockopt::Ipv6V6Only, &!options.dual_stack)?;
        }
        if options.reuse_port {
            setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        }
        self.set_options(&fd, options)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        let local = local_address(&fd)?;
        if let Some(keeper) = &self.keeper {
            keeper.hold(fd.as_fd(), local);
        }
        Ok((fd, local))
    }

    fn set_options(&mut self, fd: &OwnedFd, options: SocketOptions) -> nix::Result<()> {
        self.set_buffers(fd, options)?;
        // Refused by kernels before 5.0: datagrams then come one by one, which is correct as well.
        let _ = options.gro.then(|| setsockopt(fd, sockopt::UdpGroSegment, &true));
        setsockopt(fd, sockopt::RxqOvfl, &1)?;
        // How long a datagram has waited says whether the worker is behind.
        setsockopt(fd, sockopt::ReceiveTimestampns, &true)
    }

    /// Beyond the system's maximum where we may (CAP_NET_ADMIN), up to it otherwise. Linux doubles what it is given and
    /// reports the double.
    fn set_buffers(&mut self, fd: &OwnedFd, options: SocketOptions) -> nix::Result<()> {
        let SocketOptions { recv_buffer_bytes: recv, send_buffer_bytes: send, .. } = options;
        if setsockopt(fd, sockopt::RcvBufForce, &recv).is_err() {
            setsockopt(fd, sockopt::RcvBuf, &recv)?;
        }
        if setsockopt(fd, sockopt::SndBufForce, &send).is_err() {
            setsockopt(fd, sockopt::SndBuf, &send)?;
        }
        let (got_recv, got_send) = (getsockopt(fd, sockopt::RcvBuf)? / 2, getsockopt(fd, sockopt::SndBuf)? / 2);
        if got_recv < recv {
            self.warn(format!("receive buffers are {got_recv} bytes, not {recv}: set net.core.rmem_max={recv}"));
        } else if got_send < send {
            self.warn(format!("send buffers are {got_send} bytes, not {send}: set net.core.wmem_max={send}"));
        }
        Ok(())
    }

    /// Once, and not for each of thousands of sockets.
    fn warn(&mut self, sentence: String) {
        if self.warned.as_ref() != Some(&sentence) {
            self.warned = Some(sentence.clone());
            self.warning = Some(sentence);
        }
    }

    /// A sentence for the operator, if the system gave smaller buffers than were asked for. Returned once.
    pub(super) const fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Names the only remote side of a socket that is not shared, which saves the route lookup of every send.
    pub(super) fn connect(&mut self, id: EndpointId, remote: SocketAddr) -> io::Result<()> {
        let socket = self.get_mut(id).filter(|socket| !socket.shared).ok_or(io::ErrorKind::NotFound)?;
        connect(socket.raw_fd(), &SockaddrStorage::from(remote))?;
        socket.connected = Some(remote);
        socket.limits = Limits::default();
        Ok(())
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<&Socket> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Socket> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    /// Takes a socket out; it is closed when it is dropped. Its number is not used again before [`Self::free`].
    pub(super) fn take(&mut self, id: EndpointId) -> Option<Socket> {
        let socket = self.entries.get_mut(id.0 as usize)?.take()?;
        self.release(socket.local);
        Some(socket)
    }

    /// The number may be used again.
    pub(super) fn free(&mut self, id: EndpointId) {
        self.free.push(id.0);
    }
}

fn local_address(fd: &OwnedFd) -> nix::Result<SocketAddr> {
    let name: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    let v6 = || name.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()));
    v4.or_else(v6).ok_or(Errno::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    const AS_CONFIGURED: SocketSettings = SocketSettings::AS_CONFIGURED;
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn sockets() -> Sockets {
        Sockets::new(
            SocketOptions {
                gro: true,
                recv_buffer_bytes: 65_536,
                send_buffer_bytes: 65_536,
                reuse_port: false,
                dual_stack: false,
            },
            8,
        )
    }

    #[test]
    fn ports_rotate_numbers_are_reused_and_an_exhausted_range_says_so() {
        let mut sockets = sockets();
        let range = Port::Range(31_100, 31_102);
        let first = sockets.open(LOOPBACK, range, AS_CONFIGURED).expect("a free port");
        assert_eq!((first.id, first.local.port()), (EndpointId(0), 31_100));
        sockets.take(first.id);
        sockets.free(first.id);
        let ports: Vec<_> =
            (0..3).map(|_| sockets.open(LOOPBACK, range, AS_CONFIGURED).expect("a free port")).collect();
        let numbers: Vec<_> = ports.iter().map(|endpoint| (endpoint.id.0, endpoint.local.port())).collect();
        assert_eq!(numbers, [(0, 31_101), (1, 31_102), (2, 31_100)], "a port rests, a number is reused at once");
        let exhausted = sockets.open(LOOPBACK, range, AS_CONFIGURED).expect_err("all three are taken");
        assert!(matches!(exhausted, OpenError::RangeExhausted { min: 31_100, max: 31_102, .. }));
        let taken = sockets.open(LOOPBACK, Port::Given(31_101), AS_CONFIGURED).expect_err("taken");
        assert!(matches!(taken, OpenError::Refused { address, .. } if address.port() == 31_101));
    }

    #[test]
    fn one_remote_addresss_limit_is_not_anothers_and_as_many_are_known_as_there_may_be() {
        let mut limits = Limits::default();
        let ip = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
        limits.lower(ip(0), 1_200);
        limits.lower(ip(0), 1_300);
        assert_eq!((limits.of(ip(0)), limits.of(ip(1))), (1_200, u16::MAX), "the lowest counts");
        for number in 1..10_000 {
            limits.lower(ip(number), 0);
            assert_eq!(limits.of(ip(number)), 0);
            assert!(limits.0.len() <= MAX_LIMITS);
        }
    }

    #[test]
    fn a_shared_socket_is_not_connected() {
        let mut sockets = sockets();
        let shared = sockets.open_shared(LOOPBACK, Port::Given(0), AS_CONFIGURED).expect("a socket");
        sockets.connect(shared.id, shared.local).expect_err("it has many remote sides");
        let twice =
            sockets.open_shared(shared.local.ip(), Port::Given(shared.local.port()), AS_CONFIGURED).expect_err("taken");
        assert!(matches!(twice, OpenError::Refused { address, .. } if address == shared.local));
        assert_eq!(sockets.number(), Some(EndpointId(1)), "a socket that is refused keeps no number");
    }

    #[test]
    fn who_opens_the_address_of_an_inherited_socket_gets_it_with_what_it_has_received() {
        let before = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
        let local = before.local_addr().expect("bound");
        UdpSocket::bind((LOOPBACK, 0)).expect("a socket").send_to(b"meanwhile", local).expect("loopback");
        let mut sockets = sockets();
        let unused = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
        let address = unused.local_addr().expect("bound");
        sockets
            .inherit(vec![before.try_clone().expect("a descriptor").into(), unused.into()], None)
            .expect("they are bound");
        let other = sockets.open(LOOPBACK, Port::Given(0), AS_CONFIGURED).expect("a socket");
        assert_ne!(other.local, local);
        let opened = sockets.open_shared(LOOPBACK, Port::Given(local.port()), AS_CONFIGURED).expect("the same");
        assert_eq!(opened.local, local);
        let socket = UdpSocket::from(sockets.take(opened.id).expect("open").fd().try_clone().expect("a descriptor"));
        let mut room = [0; 20];
        assert_eq!(socket.recv(&mut room).expect("it waits"), 9);
        UdpSocket::bind(address).expect_err("it is open still");
        sockets.forget_inherited();
        UdpSocket::bind(address).expect("it is closed");
    }

    #[test]
    fn there_is_a_most() {
        let mut sockets = sockets();
        for _ in 0..8 {
            sockets.open(LOOPBACK, Port::Given(0), AS_CONFIGURED).expect("a socket");
        }
        assert!(matches!(sockets.open(LOOPBACK, Port::Given(0), AS_CONFIGURED), Err(OpenError::Refused { .. })));
    }
}
