//! Transports of a room's peers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use corecast_wire::{SrtpCryptoSuite, SrtpParameters, TransportId};
use serde::{Deserialize, Serialize};

use super::rate::Rate;
use super::site::Site;
use crate::ortc::Carrier;
use crate::workers::TransportStates;

/// A transport of any kind.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) id: TransportId,
    pub(super) site: Site,
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    pub(super) kind: TransportKind,
    /// CNAME of its first producer, and so of all.
    pub(super) cname: Option<String>,
    pub(super) next_mid: u32,
    /// Every SSRC that ever was the server's on it.
    pub(super) ssrcs: HashSet<u32>,
    /// Bit rates of what it is sent and what it sends.
    pub(super) received: Rate,
    pub(super) sent: Rate,
}

impl Transport {
    /// A transport with nothing on it.
    pub(super) fn new(id: TransportId, site: Site, owner: Arc<str>, kind: TransportKind, ssrcs: HashSet<u32>) -> Self {
        let (received, sent) = (Rate::default(), Rate::default());
        Self { id, site, owner, kind, cname: None, next_mid: 0, ssrcs, received, sent }
    }

    /// Whether it is a WebRTC transport that was made empty.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.kind, TransportKind::WebRtc { own: Some(_), .. })
    }

    /// What a producer's packets arrive on.
    pub(super) fn carrier(&self) -> Carrier {
        match self.kind {
            TransportKind::Plain(_) => Carrier::Plain,
            TransportKind::WebRtc { .. } => Carrier::WebRtc,
        }
    }
}

/// What differs between the kinds.
#[derive(Debug)]
pub(super) enum TransportKind {
    Plain(Plain),
    WebRtc {
        /// Their receivers see the end when this is dropped.
        states: TransportStates,
        /// What one has that was made empty.
        own: Option<Box<OwnWebRtc>>,
    },
}

/// What a WebRTC transport has that was made empty: everything comes step by step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct OwnWebRtc {
    /// It has been told the client's DTLS parameters.
    pub(super) connected: bool,
    /// It can carry data channels.
    pub(super) has_sctp: bool,
    /// The next stream for a data consumer.
    pub(super) next_stream: u16,
}

/// A transport of plain RTP or SRTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plain {
    /// The remote address is learnt from the first packets.
    pub(super) comedia: bool,
    pub(super) rtcp_mux: bool,
    pub(super) suite: Option<SrtpCryptoSuite>,
    /// Key of the remote side, given at creation and kept until the transport is connected.
    pub(super) remote_srtp: Option<SrtpParameters>,
    pub(super) connected: bool,
    pub(super) local: SocketAddr,
}
