//! A transport: RTP and RTCP to and from one remote side. A plain one (mediasoup's PlainTransport) has UDP sockets of
//! its own, with or without SRTP; what a WebRTC one has beyond that is in `webrtc`.

mod channels;
mod clocks;
mod data_queue;
mod direct;
mod exit;
mod queue;
mod security;
mod ssrcs;
mod traffic;
mod webrtc;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use corecast_wire::{
    Discard, Discards, IncomingStats, Maxima, OutgoingBitrates, RouterId, RtpBytes, TransportId, TransportStats,
};

use crate::congestion::send::{MINIMUM_BPS, Settings};
use crate::congestion::{Arrivals, Remb, Sending};
use crate::io::{Deadline, Endpoint, EndpointId, Path};
use crate::key::{ConsumerKey, ProducerKey, StreamKey};
use crate::limits::{INITIAL_OUTGOING_BPS, MAX_OUTGOING_BPS, MAX_PRODUCERS_PER_PIPE, MAX_SSRCS_PER_PIPE};
use crate::memory::{Name, What, Word, Words};
use crate::srtp::Opener;
use crate::time::Instant;

pub(crate) use channels::{Channels, Opened};
pub(crate) use clocks::{Clocks, ReferenceTime};
pub(crate) use direct::Direct;
pub(crate) use exit::Exit;
pub(crate) use queue::{Budget, Queue, Queued};
pub(crate) use security::Security;
pub(crate) use ssrcs::Inbound;
pub(crate) use traffic::Traffic;
pub(crate) use webrtc::WebRtc;

/// A transport. What every train needs comes first (see [`crate::consumer::Consumer`]).
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Transport {
    /// (consumer, stream) with packets to forward in the current round.
    pending: Vec<(ConsumerKey, StreamKey)>,
    sent: Traffic,
    /// Bytes of media that was sent, as [`RtpBytes`] has them.
    rtp_sent: u64,
    /// Packets that wait to be sealed, while something limits what leaves.
    queue: Option<Box<Queue>>,
    /// The path to its receivers, if they say what it does.
    sending: Option<Box<Sending>>,
    outgoing: Settings,
    /// Transport-wide sequence number of the next packet that has one. One that the kernel refuses was never sent.
    next_transport_cc: Word,
    /// What the path to its receivers was last taken to carry, in bits per second; 0 if they have not said.
    estimate: Word,
    remote: Option<SocketAddr>,
    local: Endpoint,
    security: Option<Security>,
    id: TransportId,
    router: RouterId,
    /// `None` with RTCP on the RTP port (RFC 5761).
    rtcp_local: Option<Endpoint>,
    comedia: bool,
    /// It joins two routers.
    pipe: bool,
    /// What a WebRTC transport has beyond a plain one. Its remote side is known only while a path is nominated and
    /// there are keys: without them nothing can be sent, and so nothing in the clear.
    webrtc: Option<Box<WebRtc>>,
    /// What a transport without sockets has.
    direct: Option<Box<Direct>>,
    /// Its SCTP association and what uses it, if it may have one.
    channels: Option<Box<Channels>>,
    connected: bool,
    /// Control is told of packets of its consumers.
    traced: bool,
    /// Control is told of padding that probes its path.
    probes_traced: bool,
    rtcp_remote: Option<SocketAddr>,
    rtcp_ssrc: u32,
    producers: Vec<ProducerKey>,
    /// By SSRC.
    inbound: Vec<Inbound>,
    /// SSRCs that have lost their place to others. Under SRTP they do not come back: their replay windows are gone.
    retired: Vec<u32>,
    /// SSRCs of producers that were closed, the newest last.
    left: Vec<u32>,
    consumers: Vec<ConsumerKey>,
    /// Consumer by SSRC, media and RTX; ordered, for reports and feedback.
    outbound: BTreeMap<u32, ConsumerKey>,
    reports_deadline: Deadline,
    /// Clocks of its receivers, to be answered with the next reports.
    clocks: Clocks,
    /// What its senders are told about congestion.
    arrivals: Option<Box<Arrivals>>,
    remb: Option<Box<Remb>>,
    /// Most that its producers should send together; 0 for no limit.
    max_incoming_bitrate_bps: u64,
    received: Traffic,
    /// What else is counted of RTP.
    rtp_bytes: RtpBytes,
    /// Until when the RTP that came is within what may come per second.
    paid_until: Instant,
    discards: Discards,
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
            pipe: false,
            webrtc: None,
            direct: None,
            channels: None,
            connected: false,
            traced: false,
            probes_traced: false,
            remote: None,
            rtcp_remote: None,
            security: None,
            rtcp_ssrc,
            producers: Vec::new(),
            inbound: Vec::new(),
            retired: Vec::new(),
            left: Vec::new(),
            consumers: Vec::new(),
            outbound: BTreeMap::new(),
            pending: Vec::new(),
            queue: None,
            sending: None,
            outgoing: Settings {
                initial_bps: INITIAL_OUTGOING_BPS,
                minimum_bps: MINIMUM_BPS,
                maximum_bps: MAX_OUTGOING_BPS,
            },
            next_transport_cc: Word::default(),
            estimate: Word::default(),
            reports_deadline: Deadline::default(),
            clocks: Clocks::default(),
            arrivals: None,
            remb: None,
            max_incoming_bitrate_bps: 0,
            received: Traffic::default(),
            paid_until: Instant::default(),
            sent: Traffic::default(),
            rtp_sent: 0,
            rtp_bytes: RtpBytes::default(),
            discards: Discards::default(),
        }
    }

    /// A plain transport, or what it is made of: with `comedia` its remote side is learnt, without `rtcp_local` RTCP
    /// shares the RTP port.
    #[must_use]
    pub(crate) fn plain(mut self, comedia: bool, rtcp_local: Option<Endpoint>, security: Option<Security>) -> Self {
        (self.comedia, self.rtcp_local, self.security) = (comedia, rtcp_local, security);
        self
    }

    /// A WebRTC transport, whose producers should together send at most so much (0 for no limit).
    #[must_use]
    pub(crate) fn webrtc_with(mut self, webrtc: WebRtc, max_incoming_bitrate_bps: u64) -> Self {
        self.webrtc = Some(Box::new(webrtc));
        self.max_incoming_bitrate_bps = max_incoming_bitrate_bps;
        self
    }

    /// Whether it joins two routers, and so may have many producers.
    #[must_use]
    pub(crate) const fn piping(mut self, pipe: bool) -> Self {
        self.pipe = pipe;
        self
    }

    /// Producers that it may have, and SSRCs from which they may receive.
    pub(crate) fn maxima(&self, maxima: &Maxima) -> (usize, usize) {
        let (producers, ssrcs) = (maxima.producers_per_transport, maxima.ssrcs_per_transport);
        if self.pipe {
            return (producers.max(MAX_PRODUCERS_PER_PIPE), ssrcs.max(MAX_SSRCS_PER_PIPE));
        }
        (producers, ssrcs)
    }

    /// A transport without sockets.
    #[must_use]
    pub(crate) fn direct(mut self) -> Self {
        self.direct = Some(Box::default());
        self
    }

    /// What only a transport without sockets has.
    pub(crate) fn direct_ref(&self) -> Option<&Direct> {
        self.direct.as_deref()
    }

    /// The same, to change it.
    pub(crate) fn direct_mut(&mut self) -> Option<&mut Direct> {
        self.direct.as_deref_mut()
    }

    /// Within what bounds the path to its receivers is estimated.
    #[must_use]
    pub(crate) const fn with_outgoing(mut self, asked: &OutgoingBitrates) -> Self {
        self.outgoing = settings(asked);
        self
    }

    /// Changes them.
    pub(crate) fn set_outgoing(&mut self, now: Instant, asked: &OutgoingBitrates) {
        self.outgoing = settings(asked);
        if let Some(sending) = &mut self.sending {
            sending.set_bounds(now, self.outgoing);
        }
    }

    /// Keeps its next transport-wide number among the worker's words, and what its receivers' path carries.
    pub(crate) fn keep(&mut self, words: &mut Words) {
        words.keep(&mut self.next_transport_cc, Name::new(What::TransportCc, self.id.0, 0));
        words.keep(&mut self.estimate, Name::new(What::Estimate, self.id.0, 0));
    }

    /// Identifier, as control knows it.
    pub(crate) const fn id(&self) -> TransportId {
        self.id
    }

    /// The router that it belongs to.
    pub(crate) const fn router(&self) -> RouterId {
        self.router
    }

    /// SSRC of our RTCP.
    pub(crate) const fn rtcp_ssrc(&self) -> u32 {
        self.rtcp_ssrc
    }

    /// The endpoint of its RTP.
    pub(crate) const fn local(&self) -> Endpoint {
        self.local
    }

    /// Its packets leave from another endpoint from now on.
    pub(crate) const fn set_local(&mut self, local: Endpoint) {
        self.local = local;
    }

    /// The endpoint of its RTCP; `None` with RTCP on the RTP port (RFC 5761).
    pub(crate) const fn rtcp_local(&self) -> Option<Endpoint> {
        self.rtcp_local
    }

    /// Its remote side is learnt from its first authentic packet.
    pub(crate) const fn is_comedia(&self) -> bool {
        self.comedia
    }

    /// It was told its remote side, or the remote side's key.
    pub(crate) const fn is_connected(&self) -> bool {
        self.connected
    }

    pub(crate) const fn set_connected(&mut self) {
        self.connected = true;
    }

    /// Whether control is told of padding that probes its path.
    pub(crate) const fn has_traced_probes(&self) -> bool {
        self.probes_traced
    }

    pub(crate) const fn set_probes_traced(&mut self, traced: bool) {
        self.probes_traced = traced;
    }

    /// Whether control is told of packets of its consumers.
    pub(crate) const fn set_traced(&mut self, traced: bool) {
        self.traced = traced;
    }

    /// What a WebRTC transport has beyond a plain one.
    pub(crate) fn webrtc(&self) -> Option<&WebRtc> {
        self.webrtc.as_deref()
    }

    pub(crate) fn webrtc_mut(&mut self) -> Option<&mut WebRtc> {
        self.webrtc.as_deref_mut()
    }

    /// The same, with the counter of what it sends.
    pub(crate) fn webrtc_and_sent(&mut self) -> Option<(&mut WebRtc, &mut Traffic)> {
        Some((self.webrtc.as_deref_mut()?, &mut self.sent))
    }

    /// Its keys; `None` for plain RTP, and before a handshake.
    pub(crate) const fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    pub(crate) const fn security_mut(&mut self) -> Option<&mut Security> {
        self.security.as_mut()
    }

    /// A handshake has made keys. What the transport's consumers send is sealed with them.
    pub(crate) fn set_security(&mut self, mut security: Security) {
        self.outbound.keys().for_each(|ssrc| security.use_ssrc(*ssrc));
        self.security = Some(security);
    }

    /// What opens packets that arrive; `None` for plain RTP.
    ///
    /// # Errors
    /// The remote side's key is not known yet.
    pub(crate) fn opener(&self) -> Result<Option<&Opener>, Discard> {
        self.security.as_ref().map(|security| security.opener().ok_or(Discard::NoKey)).transpose()
    }

    /// Its producers.
    pub(crate) fn producers(&self) -> &[ProducerKey] {
        &self.producers
    }

    pub(crate) fn add_producer(&mut self, key: ProducerKey) {
        self.producers.push(key);
    }

    /// Its consumers.
    pub(crate) fn consumers(&self) -> &[ConsumerKey] {
        &self.consumers
    }

    /// A consumer has packets of a stream to send in the current round. True if it is the transport's first.
    pub(crate) fn add_pending(&mut self, consumer: ConsumerKey, stream: StreamKey) -> bool {
        self.pending.push((consumer, stream));
        self.pending.len() == 1
    }

    /// Who has packets of which stream to send in the current round.
    pub(crate) fn pending(&self) -> &[(ConsumerKey, StreamKey)] {
        &self.pending
    }

    /// The round is over.
    pub(crate) fn clear_pending(&mut self) {
        self.pending.clear();
    }

    /// What leaves is limited from now on: packets of consumers that have packets waiting wait as well. What is paced
    /// anyway is paced as it was.
    pub(crate) fn limit(&mut self, now: Instant, rate_bps: u64) {
        match &mut self.queue {
            Some(queue) => queue.add_rate(rate_bps),
            None => self.queue = Some(Box::new(Queue::new(Budget::new(now, rate_bps)))),
        }
    }

    /// What leaves is paced from now on: pictures take turns at this rate.
    pub(crate) fn pace(&mut self, now: Instant, rate_bps: u64) {
        let new = || Box::new(Queue::new(Budget::new(now, rate_bps)));
        self.queue.get_or_insert_with(new).pace(rate_bps);
    }

    /// Packets that wait to be sealed, while something limits what leaves.
    pub(crate) fn queue(&mut self) -> Option<&mut Queue> {
        self.queue.as_deref_mut()
    }

    /// Nothing waits: nothing is limited, unless all is paced.
    pub(crate) fn end_limit(&mut self) {
        self.queue = self.queue.take().filter(|queue| queue.is_paced());
    }

    /// When its next reports are due.
    pub(crate) const fn reports_deadline(&mut self) -> &mut Deadline {
        &mut self.reports_deadline
    }

    /// The clocks of its peer and of those whom it is sent reports of.
    pub(crate) const fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    pub(crate) const fn clocks_mut(&mut self) -> &mut Clocks {
        &mut self.clocks
    }

    /// When what arrived with transport-wide sequence numbers did, for feedback to its senders.
    pub(crate) const fn arrivals(&mut self) -> &mut Option<Box<Arrivals>> {
        &mut self.arrivals
    }

    /// The path to its receivers, if they say what it does.
    pub(crate) fn sending(&mut self) -> Option<&mut Sending> {
        self.sending.as_deref_mut()
    }

    /// The same, made if it is not there: its receivers may be about to say something.
    pub(crate) fn sending_or_new(&mut self, now: Instant) -> &mut Sending {
        #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
        let (next, mut settings) = (self.next_transport_cc.get() as u16, self.outgoing);
        // A worker before this one knew the path, some moments ago.
        if let known @ 1.. = self.estimate.get() {
            settings.initial_bps = known / 5 * 4;
        }
        self.sending.get_or_insert_with(|| Box::new(Sending::new(now, next, settings)))
    }

    /// Its receivers have said what the path to them does, which is taken to carry so much.
    pub(crate) fn note_estimate(&mut self, bps: u64) {
        self.estimate.set(bps);
    }

    /// What its senders are told of the bitrate that gets through.
    pub(crate) const fn remb(&mut self) -> &mut Option<Box<Remb>> {
        &mut self.remb
    }

    /// Most that its producers should send together, in bit/s; `None` for no limit.
    pub(crate) fn max_incoming_bitrate_bps(&self) -> Option<u64> {
        Some(self.max_incoming_bitrate_bps).filter(|limit| *limit > 0)
    }

    /// Changes it; 0 for no limit.
    pub(crate) const fn set_max_incoming_bitrate_bps(&mut self, bps: u64) {
        self.max_incoming_bitrate_bps = bps;
    }

    /// Whether an RTP packet may be taken in, of which one may come per `interval` on average over a second.
    pub(crate) fn take_in_packet(&mut self, now: Instant, interval: Duration) -> bool {
        let may = self.paid_until < now + Duration::from_secs(1);
        if may {
            self.paid_until = self.paid_until.max(now) + interval;
        }
        may
    }

    /// Counts a datagram that arrived.
    pub(crate) const fn count_received(&mut self, bytes: usize) {
        self.received.count(bytes);
    }

    /// Counts a datagram that was an RTP packet of a stream, a retransmission or not.
    pub(crate) fn count_rtp(&mut self, bytes: usize, is_rtx: bool) {
        let overhead = self.security.as_ref().map_or(0, |security| security.sealer().rtp_overhead());
        let bytes = bytes.saturating_sub(overhead) as u64;
        let counter = if is_rtx { &mut self.rtp_bytes.rtx_received } else { &mut self.rtp_bytes.received };
        *counter += bytes;
    }

    /// Counts packets that were discarded.
    pub(crate) fn discard(&mut self, why: Discard, packets: u64) {
        self.discards.add(why, packets);
    }

    /// Its counters, for control.
    pub(crate) fn stats(&self, now: Instant) -> TransportStats {
        TransportStats {
            transport: self.id,
            router: self.router,
            local: self.local.local,
            remote: self.remote(Flow::Rtp).filter(|_| self.direct.is_none()),
            packets_received: self.received.packets,
            bytes_received: self.received.bytes,
            packets_sent: self.sent.packets,
            bytes_sent: self.sent.bytes,
            rtp: RtpBytes { sent: self.rtp_sent, ..self.rtp_bytes },
            discards: self.discards.clone(),
            outgoing: self.sending.as_deref().map(|sending| sending.stats(now)),
            incoming: self.incoming(),
            webrtc: self.webrtc().map(|webrtc| webrtc.stats(self.security().map(Security::suite))),
        }
    }

    fn incoming(&self) -> Option<IncomingStats> {
        let (arrivals, remb) = (self.arrivals.as_deref(), self.remb.as_deref());
        (arrivals.is_some() || remb.is_some()).then(|| IncomingStats {
            available_bps: remb.filter(|_| arrivals.is_none()).map(Remb::estimate_bps),
            lost_share: arrivals.map_or(0, Arrivals::lost_share),
        })
    }

    pub(crate) const fn remote(&self, flow: Flow) -> Option<SocketAddr> {
        match flow {
            Flow::Rtp => self.remote,
            Flow::Rtcp => self.rtcp_remote,
        }
    }

    /// It is told by the first authentic packet of a flow where that one's remote side is (mediasoup's `comedia`).
    pub(crate) fn learns_remote(&self, flow: Flow) -> bool {
        self.comedia && self.remote(flow).is_none()
    }

    pub(crate) const fn set_remote(&mut self, flow: Flow, remote: SocketAddr) {
        match flow {
            Flow::Rtp => self.remote = Some(remote),
            Flow::Rtcp => self.rtcp_remote = Some(remote),
        }
    }

    /// Stops sending.
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

    /// The endpoints that it has for itself.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (EndpointId, Flow)> {
        let has_own = self.webrtc.is_none() && self.direct.is_none();
        let rtp = has_own.then_some((self.local.id, Flow::Rtp));
        rtp.into_iter().chain(self.rtcp_local.map(|endpoint| (endpoint.id, Flow::Rtcp)))
    }
}

const fn settings(asked: &OutgoingBitrates) -> Settings {
    const fn or(asked: u64, default: u64) -> u64 {
        if asked == 0 { default } else { asked }
    }
    Settings {
        initial_bps: or(asked.initial_bps, INITIAL_OUTGOING_BPS),
        minimum_bps: or(asked.min_bps, MINIMUM_BPS),
        maximum_bps: or(asked.max_bps, MAX_OUTGOING_BPS),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::memory::PLACES;

    #[test]
    fn who_follows_begins_at_four_fifths_of_what_the_path_carried() {
        let block: &'static [AtomicU64] = Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect());
        let mut given = Some(block);
        let made = |words: &mut Words| {
            let local = Endpoint { id: EndpointId(0), local: SocketAddr::from(([127, 0, 0, 1], 1)) };
            let mut transport = Transport::new(TransportId(7), RouterId(1), 1, local);
            transport.keep(words);
            transport
        };
        let mut transport = made(&mut Words::new(move || given.take()));
        let begins_at =
            |transport: &mut Transport| transport.sending_or_new(Instant::default()).estimator().bitrate_bps();
        assert_eq!(begins_at(&mut transport), INITIAL_OUTGOING_BPS, "nothing is known");
        transport.note_estimate(5_000_000);
        // Its worker dies: nothing is dropped.
        std::mem::forget(transport);
        let mut words = Words::default().following([block]);
        assert_eq!(begins_at(&mut made(&mut words)), 4_000_000);
    }
}
