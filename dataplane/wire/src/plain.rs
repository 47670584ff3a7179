//! Plain transports: RTP over UDP, as it is or with SRTP.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{SctpOptions, SocketSettings, SrtpCryptoSuite, SrtpParameters};

/// How a plain transport is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainTransportOptions {
    /// Local address to bind. Not a wildcard: control names one.
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
