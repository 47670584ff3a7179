//! Transports of a room's peers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use corecast_wire::{SrtpCryptoSuite, SrtpParameters, TransportId};

use crate::ortc::Carrier;
use crate::workers::TransportStates;

/// A transport of any kind.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) id: TransportId,
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    pub(super) kind: TransportKind,
    /// CNAME of its first producer, and so of all.
    pub(super) cname: Option<String>,
    pub(super) next_mid: u32,
    /// Every SSRC that ever was the server's on it.
    pub(super) ssrcs: HashSet<u32>,
}

impl Transport {
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
    /// Receivers of its states see their end when this is dropped.
    WebRtc {
        _states: TransportStates,
    },
}

/// A transport of plain RTP or SRTP.
#[derive(Debug)]
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
