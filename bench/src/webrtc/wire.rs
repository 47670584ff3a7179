//! A connected socket that an async runtime waits for.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::dtls::{Feed, is_dtls};
use super::ice::{CheckEvent, Checks};
use crate::sockets;

/// Longest datagram that is read.
pub(super) const DATAGRAM_BYTES: usize = 2_048;

/// A connected socket that is awaited.
pub(super) struct Wire {
    fd: AsyncFd<Arc<UdpSocket>>,
    pub(super) remote: SocketAddr,
}

impl Wire {
    pub(super) fn open(bind: Option<IpAddr>, remote: SocketAddr) -> io::Result<Self> {
        let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((bind.unwrap_or(any), 0))?;
        Self::over(socket, remote)
    }

    /// Over a socket that is bound already.
    pub(super) fn over(socket: UdpSocket, remote: SocketAddr) -> io::Result<Self> {
        socket.connect(remote)?;
        socket.set_nonblocking(true)?;
        Ok(Self { fd: sockets::awaited(Arc::new(socket))?, remote })
    }

    pub(super) fn socket(&self) -> &Arc<UdpSocket> {
        self.fd.get_ref()
    }

    /// A closed port on the other side (ICMP) is silence: it may open yet.
    pub(super) async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.fd.async_io(Interest::READABLE, |socket| socket.recv(buffer)).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                result => return result,
            }
        }
    }

    /// What the socket does not take is lost, as on a network.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match self.socket().send(datagram) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {
                Ok(())
            }
            result => result.map(drop),
        }
    }

    /// Gives the socket back; the runtime forgets it.
    pub(super) fn into_socket(self) -> Arc<UdpSocket> {
        self.fd.into_inner()
    }
}

/// Hands DTLS what arrives, and answers checks; ends only if the socket fails.
pub(super) async fn feed_all(wire: &Wire, checks: &mut Checks, feed: &Feed) -> io::Result<Infallible> {
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        let len = wire.recv(&mut buffer).await?;
        let datagram = &buffer[..len];
        if is_dtls(datagram) {
            feed.take(datagram);
        } else if let CheckEvent::Request(answer) = checks.take(datagram, wire.remote) {
            wire.send(&answer)?;
        }
    }
}
