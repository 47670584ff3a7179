//! A transport: RTP and RTCP to and from one remote side. A plain one (mediasoup's PlainTransport) has UDP sockets of
//! its own, with or without SRTP; what a WebRTC one has beyond that is in `webrtc`.

mod reference_time;
mod rtcp_out;
mod security;
mod traffic;
mod webrtc;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use corecast_wire::{Discard, Discards, RouterId, TransportId};

use crate::congestion::{Arrivals, Remb};
use crate::io::{Endpoint, EndpointId, Path};
use crate::key::{ConsumerKey, ProducerKey, StreamKey};
use crate::time::Instant;

pub(crate) use reference_time::ReferenceTime;
pub(crate) use rtcp_out::{push_counted, send_rtcp};
pub(crate) use security::Security;
pub(crate) use traffic::Traffic;
pub(crate) use webrtc::WebRtc;

/// An SSRC that a producer's sender uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inbound {
    pub(crate) ssrc: u32,
    pub(crate) stream: StreamKey,
    pub(crate) rtx: bool,
}

/// A transport. What every train needs comes first (see [`crate::consumer::Consumer`]).
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Transport {
    /// (consumer, stream) with packets to forward in the current round.
    pub(crate) pending: Vec<(ConsumerKey, StreamKey)>,
    pub(crate) sent: Traffic,
    /// Transport-wide sequence number of the next packet that has one. One that the kernel refuses was never sent.
    pub(crate) next_transport_cc: u16,
    remote: Option<SocketAddr>,
    pub(crate) local: Endpoint,
    pub(crate) security: Option<Security>,
    pub(crate) id: TransportId,
    pub(crate) router: RouterId,
    /// `None` with RTCP on the RTP port (RFC 5761).
    pub(crate) rtcp_local: Option<Endpoint>,
    pub(crate) comedia: bool,
    /// What a WebRTC transport has beyond a plain one. Its remote side is known only while a path is nominated and
    /// there are keys: without them nothing can be sent, and so nothing in the clear.
    pub(crate) webrtc: Option<Box<WebRtc>>,
    pub(crate) connected: bool,
    rtcp_remote: Option<SocketAddr>,
    pub(crate) rtcp_ssrc: u32,
    pub(crate) producers: Vec<ProducerKey>,
    pub(crate) inbound: Vec<Inbound>,
    pub(crate) consumers: Vec<ConsumerKey>,
    /// Consumer by SSRC, media and RTX; ordered, for reports and feedback.
    pub(crate) outbound: BTreeMap<u32, ConsumerKey>,
    pub(crate) reports_due: Option<Instant>,
    /// Clocks of its receivers, to be answered with the next reports.
    pub(crate) reference_times: Vec<ReferenceTime>,
    /// What its senders are told about congestion.
    pub(crate) arrivals: Option<Box<Arrivals>>,
    pub(crate) remb: Option<Box<Remb>>,
    /// Most that its producers should send together; 0 for no limit.
    pub(crate) max_incoming_bitrate_bps: u64,
    pub(crate) received: Traffic,
    pub(crate) discards: Discards,
}

/// Which of a transport's two flows an endpoint carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// RTP, and RTCP if multiplexed.
    Rtp,
    /// RTCP alone.
    Rtcp,
}

impl Transport {
    pub(crate) fn new(id: TransportId, router: RouterId, rtcp_ssrc: u32, local: Endpoint) -> Self {
        Self {
            id,
            router,
            local,
            rtcp_local: None,
            comedia: false,
            webrtc: None,
            connected: false,
            remote: None,
            rtcp_remote: None,
            security: None,
            rtcp_ssrc,
            producers: Vec::new(),
            inbound: Vec::new(),
            consumers: Vec::new(),
            outbound: BTreeMap::new(),
            pending: Vec::new(),
            next_transport_cc: 0,
            reports_due: None,
            reference_times: Vec::new(),
            arrivals: None,
            remb: None,
            max_incoming_bitrate_bps: 0,
            received: Traffic::default(),
            sent: Traffic::default(),
            discards: Discards::default(),
        }
    }

    pub(crate) const fn remote(&self, flow: Flow) -> Option<SocketAddr> {
        match flow {
            Flow::Rtp => self.remote,
            Flow::Rtcp => self.rtcp_remote,
        }
    }

    pub(crate) const fn set_remote(&mut self, flow: Flow, remote: SocketAddr) {
        match flow {
            Flow::Rtp => self.remote = Some(remote),
            Flow::Rtcp => self.rtcp_remote = Some(remote),
        }
    }

    /// Nothing is sent any more.
    pub(crate) const fn clear_remote(&mut self) {
        self.remote = None;
    }

    /// The flow that carries our RTCP.
    pub(crate) const fn rtcp_flow(&self) -> Flow {
        match self.rtcp_local {
            Some(_) => Flow::Rtcp,
            None => Flow::Rtp,
        }
    }

    /// Where a flow leaves; `None` while the remote side is unknown or, with SRTP, cannot be authenticated yet.
    pub(crate) fn path(&self, flow: Flow) -> Option<Path> {
        let local = match flow {
            Flow::Rtp => Some(self.local.id),
            Flow::Rtcp => self.rtcp_local.map(|endpoint| endpoint.id),
        };
        let remote = self.remote(flow)?;
        local.map(|local| Path { local, remote })
    }

    /// Whether a datagram of a flow may come from here. Does not learn.
    pub(crate) fn check_remote(&self, flow: Flow, from: SocketAddr) -> Result<(), Discard> {
        match self.remote(flow) {
            Some(remote) if remote == from => Ok(()),
            None if self.comedia => Ok(()),
            Some(_) | None => Err(Discard::WrongRemote),
        }
    }

    pub(crate) fn inbound(&self, ssrc: u32) -> Option<Inbound> {
        self.inbound.iter().find(|inbound| inbound.ssrc == ssrc).copied()
    }

    /// The endpoints that it has for itself.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (EndpointId, Flow)> {
        let rtp = self.webrtc.is_none().then_some((self.local.id, Flow::Rtp));
        rtp.into_iter().chain(self.rtcp_local.map(|endpoint| (endpoint.id, Flow::Rtcp)))
    }
}
