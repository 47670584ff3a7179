//! WebRTC transports: what control and a worker tell each other about ICE (RFC 8445, lite) and DTLS (RFC 8842).

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::SctpOptions;

/// ICE credentials of our side (RFC 8839 section 5.4). Drawn by control.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceParameters {
    /// `ice-ufrag`, 4 to 32 ice-chars. Unique on the worker: it says whose a first check is.
    pub username_fragment: String,
    /// `ice-pwd`, 22 to 256 ice-chars.
    pub password: String,
}

impl std::fmt::Debug for IceParameters {
    /// Passwords are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceParameters").field("username_fragment", &self.username_fragment).finish_non_exhaustive()
    }
}

/// Who begins a DTLS handshake (RFC 8842 section 5.3: `a=setup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DtlsRole {
    /// Sends the ClientHello (`active`).
    Client,
    /// Waits for it (`passive`).
    Server,
}

/// Hash functions of certificate fingerprints that are accepted (RFC 8122 section 5; weaker ones are not).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FingerprintAlgorithm {
    /// `sha-256`, 32 bytes.
    Sha256,
    /// `sha-384`, 48 bytes.
    Sha384,
    /// `sha-512`, 64 bytes.
    Sha512,
}

/// A certificate's fingerprint (`a=fingerprint`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Hash function.
    pub algorithm: FingerprintAlgorithm,
    /// The hash of the certificate in DER.
    pub value: Vec<u8>,
}

/// What the remote side of a WebRTC transport said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// The remote side's role; we take the other one.
    pub role: DtlsRole,
    /// Its certificate has one of these. At least one.
    pub fingerprints: Vec<Fingerprint>,
}

/// How a WebRTC transport is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebRtcTransportOptions {
    /// Our ICE credentials.
    pub ice: IceParameters,
    /// SSRC under which we send RTCP that belongs to no consumer (receiver reports, NACK, PLI, feedback).
    pub rtcp_ssrc: u32,
    /// Most that its producers should send together, in bits per second: what REMB tells them. 0 for no limit.
    pub max_incoming_bitrate_bps: u64,
    /// What the path to its receivers is taken to carry.
    pub outgoing: OutgoingBitrates,
    /// Without a sign of life (a valid check, or authentic media) for this long it is disconnected, in milliseconds: 0
    /// for never, `None` for the worker's own ([`WebRtcConfig::consent_timeout_ms`]).
    pub consent_timeout_ms: Option<u32>,
    /// Data channels; without it the transport has none.
    pub sctp: Option<SctpOptions>,
}

/// Bounds of what the path to a transport's receivers is taken to carry, in bits per second; 0 for the worker's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingBitrates {
    /// Before the receiver has said anything (mediasoup's `initialAvailableOutgoingBitrate`).
    pub initial_bps: u64,
    /// At least (`minOutgoingBitrate`).
    pub min_bps: u64,
    /// At most (`maxOutgoingBitrate`).
    pub max_bps: u64,
}

/// ICE states of a transport (mediasoup's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IceState {
    /// No valid check yet.
    New,
    /// A valid check came; nothing is nominated.
    Connected,
    /// A pair is nominated.
    Completed,
    /// No sign of life for the consent timeout (RFC 7675: 30 s). The worker no longer sends anything.
    Disconnected,
}

/// DTLS states of a transport (mediasoup's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DtlsState {
    /// Not begun.
    New,
    /// Handshake.
    Connecting,
    /// Keys are in use.
    Connected,
    /// Handshake or fingerprint failed.
    Failed,
    /// The remote side has closed.
    Closed,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DtlsFailure {
    /// It did not end in time, and nothing that came was wrong.
    Timeout,
    /// The certificate is not the one that was announced.
    Fingerprint,
    /// There is no certificate, or none that is taken (another curve, a short RSA key), or it has not signed what it
    /// should have.
    Certificate,
    /// No version, cipher suite, group or signature scheme is common to both.
    Negotiation,
    /// No SRTP profile is common to both.
    SrtpProfile,
    /// The other side has refused it.
    Alert,
    /// Anything else that is against the protocol.
    Protocol,
}

impl DtlsFailure {
    /// One word, for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Fingerprint => "fingerprint",
            Self::Certificate => "certificate",
            Self::Negotiation => "negotiation",
            Self::SrtpProfile => "srtp_profile",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
        }
    }
}

/// What carries datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IceProtocol {
    /// UDP.
    Udp,
    /// TCP, framed (RFC 4571, RFC 6544).
    Tcp,
}

/// Where something listens (mediasoup's `listenInfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenInfo {
    /// What comes there.
    pub protocol: IceProtocol,
    /// Local address.
    pub ip: IpAddr,
    /// First and last port: the next free one of them is bound.
    pub ports: (u16, u16),
    /// How the socket is made.
    pub socket: SocketSettings,
}

/// How a socket is made (mediasoup's `flags` and buffer sizes); the default is as the worker is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketSettings {
    /// Others may bind the same address: several take what is sent to one multicast group. UDP alone.
    pub reuse_port: bool,
    /// A socket on `::` takes IPv4 as well, whose addresses are seen as `::ffff:192.0.2.1`. UDP alone.
    pub dual_stack: bool,
    /// `SO_RCVBUF`, in bytes; 0 for what is configured.
    pub recv_buffer_bytes: u32,
    /// `SO_SNDBUF`, in bytes; 0 for what is configured.
    pub send_buffer_bytes: u32,
}

impl SocketSettings {
    /// What is configured, and nothing else.
    pub const AS_CONFIGURED: Self =
        Self { reuse_port: false, dual_stack: false, recv_buffer_bytes: 0, send_buffer_bytes: 0 };
}

/// A pair of addresses that checks have validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceTuple {
    /// Ours.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// What is between them.
    pub protocol: IceProtocol,
}

/// Versions of DTLS that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DtlsVersions {
    /// 1.2 alone (RFC 6347).
    V12,
    /// 1.3 alone (RFC 9147).
    V13,
    /// What the remote side prefers. As a client we offer 1.2.
    Both,
}

/// Where a worker's WebRTC transports are reached, all of them on one port, and with which certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebRtcConfig {
    /// Local addresses, none of them a wildcard; each is bound for UDP.
    pub listen: Vec<SocketAddr>,
    /// Listen for ICE-TCP on the same addresses.
    pub tcp: bool,
    /// Certificate in DER, of all transports; its key is on P-256.
    pub certificate: Vec<u8>,
    /// Its private key in PKCS #8 DER.
    pub private_key: Vec<u8>,
    /// Versions of DTLS.
    pub dtls_versions: DtlsVersions,
    /// A transport without a sign of life for this long is disconnected, in milliseconds.
    pub consent_timeout_ms: u32,
}

impl std::fmt::Debug for WebRtcConfig {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtcConfig").field("listen", &self.listen).field("tcp", &self.tcp).finish_non_exhaustive()
    }
}
