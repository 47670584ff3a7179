//! The sockets of a worker: opening them, their options, and the dense numbers under which everybody knows them.
//!
//! Owns the file descriptors. Never reads or writes a datagram; that is the driver's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use corecast_core::{Endpoint, EndpointId};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockname, getsockopt, setsockopt, socket,
    sockopt,
};

/// Options of every media socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Receive with `UDP_GRO`: datagrams of one sender may come coalesced.
    pub gro: bool,
    /// Wanted `SO_RCVBUF`, in bytes.
    pub recv_buffer_bytes: usize,
    /// Wanted `SO_SNDBUF`, in bytes.
    pub send_buffer_bytes: usize,
}

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
        /// What was tried.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// An open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    pub(crate) connected: Option<SocketAddr>,
    /// The device cannot segment (EIO): send every packet on its own.
    pub(crate) singly: bool,
    /// Longest segment that may travel in a train; lowered by EMSGSIZE.
    pub(crate) segment_limit: u16,
    /// Last `SO_RXQ_OVFL` count seen.
    pub(crate) overflows: u32,
}

impl Socket {
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// All sockets of a worker, by [`EndpointId`].
#[derive(Debug)]
pub(crate) struct Sockets {
    entries: Vec<Option<Socket>>,
    free: Vec<u32>,
    options: SocketOptions,
    next_port: u16,
    max: usize,
    warning: Option<String>,
}

impl Sockets {
    /// At most `max` of them.
    pub(crate) const fn new(options: SocketOptions, max: usize) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), options, next_port: 0, max, warning: None }
    }

    /// Opens a socket. Its number is the smallest that is free, or close to it.
    pub(crate) fn open(&mut self, ip: IpAddr, port: Port) -> Result<Endpoint, OpenError> {
        if self.free.is_empty() && self.entries.len() >= self.max {
            let cause = io::Error::other(format!("a worker holds at most {} sockets: raise RLIMIT_NOFILE", self.max));
            return Err(OpenError::Refused { address: SocketAddr::new(ip, 0), cause });
        }
        let (fd, local) = match port {
            Port::Given(port) => {
                let address = SocketAddr::new(ip, port);
                self.bind(address).map_err(|cause| OpenError::Refused { address, cause: cause.into() })?
            }
            Port::Range(min, max) => self.bind_in_range(ip, min, max)?,
        };
        let socket = Socket { fd, connected: None, singly: false, segment_limit: u16::MAX, overflows: 0 };
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(entry) = self.entries.get_mut(id as usize) {
            *entry = Some(socket);
        }
        Ok(Endpoint { id: EndpointId(id), local })
    }

    /// Takes the next free port after the one given last, so that a port rests before it is used again.
    fn bind_in_range(&mut self, ip: IpAddr, min: u16, max: u16) -> Result<(OwnedFd, SocketAddr), OpenError> {
        let ports = usize::from(max.saturating_sub(min)) + 1;
        let from = if (min..=max).contains(&self.next_port) { self.next_port } else { min };
        for port in (min..=max).cycle().skip(usize::from(from - min)).take(ports) {
            let address = SocketAddr::new(ip, port);
            match self.bind(address) {
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

    fn bind(&mut self, address: SocketAddr) -> nix::Result<(OwnedFd, SocketAddr)> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Datagram, flags, None)?;
        if address.is_ipv6() {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        }
        self.set_buffers(&fd)?;
        // Refused by kernels before 5.0: datagrams then come one by one, which is correct as well.
        let _ = self.options.gro.then(|| setsockopt(&fd, sockopt::UdpGroSegment, &true));
        setsockopt(&fd, sockopt::RxqOvfl, &1)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        let local = local_address(&fd)?;
        Ok((fd, local))
    }

    /// Beyond the system's maximum where we may (CAP_NET_ADMIN), up to it otherwise. Linux doubles what it is given and
    /// reports the double.
    fn set_buffers(&mut self, fd: &OwnedFd) -> nix::Result<()> {
        let SocketOptions { recv_buffer_bytes: recv, send_buffer_bytes: send, .. } = self.options;
        if setsockopt(fd, sockopt::RcvBufForce, &recv).is_err() {
            setsockopt(fd, sockopt::RcvBuf, &recv)?;
        }
        if setsockopt(fd, sockopt::SndBufForce, &send).is_err() {
            setsockopt(fd, sockopt::SndBuf, &send)?;
        }
        let (got_recv, got_send) = (getsockopt(fd, sockopt::RcvBuf)? / 2, getsockopt(fd, sockopt::SndBuf)? / 2);
        if got_recv < recv {
            self.warning =
                Some(format!("receive buffers are {got_recv} bytes, not {recv}: set net.core.rmem_max={recv}"));
        } else if got_send < send {
            self.warning = Some(format!("send buffers are {got_send} bytes, not {send}: set net.core.wmem_max={send}"));
        }
        Ok(())
    }

    /// A sentence for the operator, if the system gave smaller buffers than were asked for. Once.
    pub(crate) const fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Names the only remote side, which saves the route lookup of every send.
    pub(crate) fn connect(&mut self, id: EndpointId, remote: SocketAddr) -> io::Result<()> {
        let socket = self.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        connect(socket.raw_fd(), &SockaddrStorage::from(remote))?;
        socket.connected = Some(remote);
        socket.segment_limit = u16::MAX;
        Ok(())
    }

    pub(crate) fn get(&self, id: EndpointId) -> Option<&Socket> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Socket> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    /// Takes a socket out; it is closed when it is dropped. Its number is not used again before [`Self::free`].
    pub(crate) fn take(&mut self, id: EndpointId) -> Option<Socket> {
        self.entries.get_mut(id.0 as usize)?.take()
    }

    /// The number may be used again.
    pub(crate) fn free(&mut self, id: EndpointId) {
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
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn sockets() -> Sockets {
        Sockets::new(SocketOptions { gro: true, recv_buffer_bytes: 65_536, send_buffer_bytes: 65_536 }, 8)
    }

    #[test]
    fn ports_rotate_numbers_are_reused_and_an_exhausted_range_says_so() {
        let mut sockets = sockets();
        let range = Port::Range(42_100, 42_102);
        let first = sockets.open(LOOPBACK, range).expect("a free port");
        assert_eq!((first.id, first.local.port()), (EndpointId(0), 42_100));
        sockets.take(first.id);
        sockets.free(first.id);
        let ports: Vec<_> = (0..3).map(|_| sockets.open(LOOPBACK, range).expect("a free port")).collect();
        let numbers: Vec<_> = ports.iter().map(|endpoint| (endpoint.id.0, endpoint.local.port())).collect();
        assert_eq!(numbers, [(0, 42_101), (1, 42_102), (2, 42_100)], "a port rests, a number is reused at once");
        let exhausted = sockets.open(LOOPBACK, range).expect_err("all three are taken");
        assert!(matches!(exhausted, OpenError::RangeExhausted { min: 42_100, max: 42_102, .. }));
        let taken = sockets.open(LOOPBACK, Port::Given(42_101)).expect_err("taken");
        assert!(matches!(taken, OpenError::Refused { address, .. } if address.port() == 42_101));
    }

    #[test]
    fn there_is_a_most() {
        let mut sockets = sockets();
        for _ in 0..8 {
            sockets.open(LOOPBACK, Port::Given(0)).expect("a socket");
        }
        assert!(matches!(sockets.open(LOOPBACK, Port::Given(0)), Err(OpenError::Refused { .. })));
    }
}
