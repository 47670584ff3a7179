//! What the datagrams of a run are, in either direction.

use std::net::SocketAddr;

use bytes::Bytes;

use super::feedback::Asked;
use super::webrtc::paths::Check;

/// What a datagram to the server is.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// A packet of a source, as it was first sent, or in a retransmission.
    Media { source: usize, index: u64, rtx: bool },
    /// Feedback that asks consumers for packets again.
    Asks(Vec<(usize, Vec<u16>)>),
    /// A connectivity check of a WebRTC participant.
    Check { peer: usize, check: Check },
    /// Anything else.
    Other,
}

/// What a packet to a participant is.
#[derive(Clone, Debug)]
pub(super) enum Delivered {
    /// Media of a consumer, the first time or again, by its own sequence number.
    Media { consumer: usize, sequence: u16, key_start: bool },
    /// Padding on a retransmission stream.
    Padding,
    /// RTCP.
    Asked(Asked),
    /// To a WebRTC participant: as it is.
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Bytes },
}
