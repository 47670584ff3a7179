//! Sockets that WebRTC transports share and that control opens and closes while the worker runs (mediasoup's
//! WebRtcServer): which there are, and how they are opened.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use corecast_core::{Endpoint, EndpointId};
use corecast_wire::{CommandError, IceProtocol, ListenInfo, MAX_LISTEN_INFOS, WebRtcServerId};

use crate::driver::{Driver, OpenError, Port};

/// Servers of a worker at most: a transport with sockets of its own has one.
const MAX_SERVERS: usize = 10_000;

/// A socket of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opened {
    /// A UDP socket.
    Udp(Endpoint),
    /// A TCP listener at this address.
    Tcp(SocketAddr),
}

impl Opened {
    /// Where it listens.
    pub(crate) const fn local(self) -> SocketAddr {
        match self {
            Self::Udp(endpoint) => endpoint.local,
            Self::Tcp(local) => local,
        }
    }

    /// Its number, if it is a UDP socket.
    pub(crate) const fn endpoint(self) -> Option<EndpointId> {
        match self {
            Self::Udp(endpoint) => Some(endpoint.id),
            Self::Tcp(_) => None,
        }
    }
}

/// All servers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Servers(BTreeMap<WebRtcServerId, Vec<Opened>>);

impl Servers {
    /// Opens every socket of a server, or none.
    ///
    /// # Errors
    /// The identifier is in use, there are too many, or an address cannot be bound.
    pub(crate) fn open(
        &mut self,
        driver: &mut Driver,
        server: WebRtcServerId,
        listen: &[ListenInfo],
    ) -> Result<&[Opened], CommandError> {
        if self.0.contains_key(&server) {
            return Err(CommandError::Exists { kind: "webRtcServer".into(), id: server.0 });
        }
        if self.0.len() >= MAX_SERVERS {
            return Err(CommandError::Limit { what: "WebRTC servers on a worker".into(), max: MAX_SERVERS as u64 });
        }
        if listen.is_empty() || listen.len() > MAX_LISTEN_INFOS {
            let cause = format!("must be 1 to {MAX_LISTEN_INFOS}");
            return Err(CommandError::Invalid { field: "listenInfos".into(), cause });
        }
        let mut opened = Vec::new();
        for info in listen {
            match open(driver, info) {
                Ok(one) => opened.push(one),
                Err(error) => {
                    opened.into_iter().for_each(|one| close(driver, one));
                    return Err(command_error(error));
                }
            }
        }
        Ok(self.0.entry(server).or_insert(opened))
    }

    /// Takes a server out. Its sockets are open until [`close`] is called for each.
    ///
    /// # Errors
    /// There is no such server.
    pub(crate) fn take(&mut self, server: WebRtcServerId) -> Result<Vec<Opened>, CommandError> {
        self.0.remove(&server).ok_or_else(|| CommandError::NotFound { kind: "webRtcServer".into(), id: server.0 })
    }
}

fn open(driver: &mut Driver, info: &ListenInfo) -> Result<Opened, OpenError> {
    let (min, max) = info.ports;
    match info.protocol {
        IceProtocol::Udp if min == max => driver.open_shared(info.ip, Port::Given(min), info.socket).map(Opened::Udp),
        IceProtocol::Udp => driver.open_shared(info.ip, Port::Range(min, max), info.socket).map(Opened::Udp),
        IceProtocol::Tcp => {
            for port in min..=max {
                match driver.listen(SocketAddr::new(info.ip, port)) {
                    Err(OpenError::Refused { cause, .. })
                        if min != max && cause.kind() == std::io::ErrorKind::AddrInUse => {}
                    done => return done.map(Opened::Tcp),
                }
            }
            Err(OpenError::RangeExhausted { ip: info.ip, min, max })
        }
    }
}

/// Closes a socket of a server.
pub(crate) fn close(driver: &mut Driver, opened: Opened) {
    match opened {
        Opened::Udp(endpoint) => driver.close(endpoint.id),
        Opened::Tcp(local) => driver.stop_listening(local),
    }
}

/// What control is told of a socket that cannot be opened.
pub(crate) fn command_error(error: OpenError) -> CommandError {
    match error {
        OpenError::RangeExhausted { ip, min, max } => CommandError::PortRangeExhausted { ip, min, max },
        OpenError::Refused { address, cause } => CommandError::CannotListen { address, cause: cause.to_string() },
    }
}
