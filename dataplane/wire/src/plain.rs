//! Plain transports: RTP over UDP, as it is or with SRTP.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{SctpOptions, SocketSettings, SrtpCryptoSuite, SrtpParameters};

/// How a plain transport is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainTransportOptions {
    /// Local address to bind. Control names none that is a wildcard; applications of mediasoup may.
    pub listen_ip: IpAddr,
    /// Port to bind; without one the worker picks from the range.
    pub port: Option<u16>,
    /// The same for RTCP, where it has a port of its own.
    pub rtcp_port: Option<u16>,
    /// First and last port of the range; without it the worker's own.
    pub port_range: Option<(u16, u16)>,
    /// How the socket is made.
    pub socket: SocketSettings,
    /// The same for RTCP, where it has a port of its own.
    pub rtcp_socket: SocketSettings,
    /// RTP and RTCP on one port (RFC 5761). Otherwise RTCP gets a port of its own.
    pub rtcp_mux: bool,
    /// The remote address is learnt from the first valid packet (with SRTP: the first authenticated one).
    pub comedia: bool,
    /// It joins two routers: it may have many producers.
    pub pipe: bool,
    /// With SRTP: the suite and the key with which we send.
    pub srtp: Option<SrtpParameters>,
    /// With messages by SCTP, which nothing protects, not even where RTP is protected (mediasoup).
    pub sctp: Option<SctpOptions>,
    /// SSRC under which we send RTCP that belongs to no consumer (receiver reports, NACK, PLI).
    pub rtcp_ssrc: u32,
}

impl PlainTransportOptions {
    /// A transport with one port for RTP and RTCP, whose remote side is told later. Callers set the rest by name.
    #[must_use]
    pub const fn new(listen_ip: IpAddr, rtcp_ssrc: u32) -> Self {
        Self {
            listen_ip,
            port: None,
            rtcp_port: None,
            port_range: None,
            socket: SocketSettings::AS_CONFIGURED,
            rtcp_socket: SocketSettings::AS_CONFIGURED,
            rtcp_mux: true,
            comedia: false,
            pipe: false,
            srtp: None,
            sctp: None,
            rtcp_ssrc,
        }
    }

    /// The suite, if SRTP is on.
    #[must_use]
    pub fn suite(&self) -> Option<SrtpCryptoSuite> {
        self.srtp.as_ref().map(|srtp| srtp.suite)
    }
}

/// The network of [`worker_ip`]. Every router discards what is sent there (RFC 6666), so nobody has an address in it.
const WORKERS: [u16; 6] = [0x100, 0, 0, 0, 0, 0];

/// Where a worker is reached by the other workers of its server, through memory and not through the network: for both
/// sides of a pipe between two of them. Ports are the worker's own affair, and no socket's.
#[must_use]
pub const fn worker_ip(worker: u32) -> IpAddr {
    let [a, b, c, d, e, f] = WORKERS;
    let (high, low) = ((worker >> 16) as u16, (worker & 0xffff) as u16);
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, high, low))
}

/// The worker that is reached there. `None` if it is an address of the network.
#[must_use]
pub const fn worker_at(ip: IpAddr) -> Option<u32> {
    let IpAddr::V6(ip) = ip else { return None };
    let worker = (ip.to_bits() & 0xffff_ffff) as u32;
    match worker_ip(worker) {
        IpAddr::V6(same) if same.to_bits() == ip.to_bits() => Some(worker),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_have_addresses_that_are_nobody_elses() {
        for worker in [0, 1, 70_000, u32::MAX] {
            assert_eq!(worker_at(worker_ip(worker)), Some(worker));
        }
        assert_eq!(worker_ip(1).to_string(), "100::1");
        for other in ["127.0.0.1", "::1", "100::1:0:0:1", "2001:db8::1"] {
            assert_eq!(worker_at(other.parse().expect("an address")), None, "{other}");
        }
    }
}
