//! The worker: one state machine that owns everything of one core. Told what arrived and what time it is, it says what
//! to send. It has no sockets, threads, clock or randomness of its own.
//!
//! All state is here, in tables, addressed by key (`key.rs`). A producer lists its consumers; a consumer names its
//! transport. What is done to it stands in the modules beside this one: `receive` (RTP in), `forward` (RTP out),
//! `feedback` (RTCP in), `retransmit`, `reports` (RTCP out), `layers` (simulcast), `commands`, `stats`, `restore` (in
//! the place of a worker that has died).

mod allocation;
mod blame;
mod checks;
mod commands;
mod congestion;
mod connect;
mod credentials;
mod data_commands;
mod data_packets;
mod direct;
mod drain;
mod feedback;
mod forward;
mod gather;
mod handshakes;
mod key_frames;
mod layers;
mod loudest;
mod messages;
mod observe;
mod overload;
mod probe;
mod receive;
mod redundancy;
mod refused;
mod reports;
mod resolve;
mod restore;
mod retransmit;
mod round;
mod round_trip;
mod seal;
mod shut_out;
mod stats;
mod traces;
mod wanted;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use corecast_wire::{
    ConsumerId, Discard, Discards, Event, IceProtocol, ProducerId, Record, RouterId, RtpObserverId, TransportId, Waits,
};

use crate::config::Config;
use crate::consumer::Consumer;
use crate::io::{Endpoint, EndpointId, EndpointOp, Outbox, Path, Timer, Timers};
use crate::key::{
    ConsumerKey, OfConsumer, OfProducer, OfStream, OfTransport, ProducerKey, StreamKey, Table, TransportKey,
};
use crate::limits::{KEPT_EVENTS, MAX_EVENTS, MAX_LAYER_EVENTS, MAX_PAYLOAD_BYTES, MAX_SLOTS};
use crate::media::{Before, History, Producer, Stream};
use crate::memory::{MemorySource, Word, Words};
use crate::observers::{Loudest, Observer};
use crate::time::Instant;
use crate::transport::{Flow, Transport};
use blame::Blame;
use connect::WebRtcServer;
use gather::Gather;
use messages::Messages;
use overload::Overload;
use round::Cursor;
use shut_out::ShutOut;

pub use round::Forward;

/// Whose an endpoint is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// A plain transport's, by its key.
    Plain(TransportKey, Flow),
    /// Every WebRTC transport's.
    WebRtc(IceProtocol, SocketAddr),
}

/// Totals of a worker.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Everything that was discarded, by reason.
    pub discards: Discards,
    /// How long packets waited in the queues of their transports before they left.
    pub queue_waits: Waits,
    /// Routers alive.
    pub routers: u32,
    /// Transports alive.
    pub transports: u32,
    /// Producers alive.
    pub producers: u32,
    /// Consumers alive.
    pub consumers: u32,
    /// Timers that wait, those included that no longer count when their time comes.
    pub timers: u32,
    /// Memory of the packet history, in bytes.
    pub history_bytes: usize,
}

/// The state machine of one worker.
#[derive(Debug)]
pub struct Worker {
    config: Config,
    history: History,
    /// Where next indexes out and highest indexes in lie.
    words: Words,
    /// Unix time at which its clock began, and the worker whose place it takes.
    _started: Word,
    /// Whose packets it may be about to die of.
    blame: Blame,
    /// From where nobody new is taken in.
    shut_out: ShutOut,
    before: Option<Before>,
    /// What it has learnt that the worker that takes its place is to be told.
    records: VecDeque<Record>,
    /// When the datagram came that is being taken in.
    arrived: Instant,
    overload: Overload,
    gather: Gather,
    /// A slot into which the next packet is opened.
    spare: Option<u32>,
    routers: BTreeMap<RouterId, Vec<TransportKey>>,
    transports: Table<OfTransport, Transport>,
    /// Boxed, as streams are.
    producers: Table<OfProducer, Box<Producer>>,
    consumers: Table<OfConsumer, Consumer>,
    /// Boxed: sessions that never send may have many, and give their memory back when they end.
    streams: Table<OfStream, Box<Stream>>,
    transport_by_id: BTreeMap<TransportId, TransportKey>,
    /// Transports without sockets.
    directs: usize,
    producer_by_id: BTreeMap<ProducerId, ProducerKey>,
    consumer_by_id: BTreeMap<ConsumerId, ConsumerKey>,
    /// Observers of sound.
    observers: BTreeMap<RtpObserverId, Observer>,
    /// Routers of which only the loudest are heard.
    loudest: BTreeMap<RouterId, Loudest>,
    /// By endpoint number.
    endpoints: Vec<Option<Owner>>,
    /// Streams with packets of the current batch, of the round that is being forwarded, and the round's transports.
    fresh: Vec<StreamKey>,
    round: Vec<StreamKey>,
    round_transports: Vec<TransportKey>,
    /// Consumers that begin with the next round, and with what came before it.
    starting: Vec<ConsumerKey>,
    /// Transports that limit what leaves since this round.
    limited: Vec<TransportKey>,
    cursor: Cursor,
    timers: Timers,
    /// `None` if WebRTC transports are not configured.
    webrtc: Option<WebRtcServer>,
    /// Data channels.
    messages: Messages,
    events: VecDeque<Event>,
    endpoint_ops: VecDeque<EndpointOp>,
    discards: Discards,
    queue_waits: Waits,
    /// Scratch: an opened RTCP packet; sequence numbers to ask for.
    rtcp: Box<[u8]>,
    nack: Vec<u16>,
}

/// Longest RTCP packet that is taken in, in bytes.
const MAX_RTCP_BYTES: usize = MAX_PAYLOAD_BYTES;

impl Worker {
    /// A worker with nothing in it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_memory(config, MemorySource::default(), Words::default())
    }

    /// The same, with a history that gets its memory from `memory`, and with `words` for the numbers on which calls
    /// depend.
    #[must_use]
    pub fn with_memory(config: Config, memory: MemorySource, mut words: Words) -> Self {
        let (started, before) = restore::begin(&mut words, config.unix_time_ns);
        let blame = Blame::begin(&mut words, config.is_blamed);
        Self {
            history: History::new(config.history_slots.min(MAX_SLOTS), memory),
            words,
            _started: started,
            blame,
            shut_out: ShutOut::default(),
            before,
            records: VecDeque::new(),
            arrived: Instant::default(),
            overload: Overload::new(config.max_media_age, config.max_packets_per_s),
            gather: Gather::new(config.max_sound_wait),
            spare: None,
            routers: BTreeMap::new(),
            transports: Table::default(),
            producers: Table::default(),
            consumers: Table::default(),
            streams: Table::default(),
            transport_by_id: BTreeMap::new(),
            directs: 0,
            producer_by_id: BTreeMap::new(),
            consumer_by_id: BTreeMap::new(),
            observers: BTreeMap::new(),
            loudest: BTreeMap::new(),
            endpoints: Vec::new(),
            fresh: Vec::new(),
            round: Vec::new(),
            round_transports: Vec::new(),
            starting: Vec::new(),
            limited: Vec::new(),
            cursor: Cursor::default(),
            timers: Timers::default(),
            webrtc: config.webrtc.as_ref().and_then(|webrtc| WebRtcServer::new(webrtc, &config)),
            messages: Messages::default(),
            events: VecDeque::new(),
            endpoint_ops: VecDeque::new(),
            discards: Discards::default(),
            queue_waits: Waits::default(),
            rtcp: vec![0; MAX_RTCP_BYTES].into_boxed_slice(),
            nack: Vec::new(),
            config,
        }
    }

    /// Takes in one datagram of a batch, which came at `arrived` and has waited since. RTP is noted and leaves with the
    /// next [`Self::forward`]; answers to RTCP (retransmissions) go straight to the outbox.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        arrived: Instant,
        path: Path,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) {
        self.arrived = arrived;
        let (key, flow) = match self.endpoints.get(path.local.0 as usize).copied().flatten() {
            Some(Owner::Plain(key, flow)) => {
                self.blame.serve(self.transports.get(key));
                (key, flow)
            }
            Some(Owner::WebRtc(protocol, local)) => {
                self.receive_webrtc(now, path, (protocol, local), datagram, outbox);
                self.tell_direct(outbox);
                return;
            }
            None => {
                self.discards.count(Discard::NoTransport);
                return;
            }
        };
        if let Err(why) = self.receive(now, key, flow, path, datagram, outbox) {
            self.discard(key, why);
        }
        self.tell_direct(outbox);
    }

    /// Does what is due: reports, NACKs, key frame requests, choice of layers. If very many events wait to be polled,
    /// or the outbox is half full, the rest stays due, so that nothing is lost: poll, send and call again.
    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        self.blame.rest();
        while self.events.len() + MAX_LAYER_EVENTS <= MAX_EVENTS && !outbox.wants_flush() {
            let Some((at, timer)) = self.timers.pop(now) else { break };
            match timer {
                Timer::Reports(key) => self.reports_timeout(now, at, key, outbox),
                Timer::Consent(key) => self.consent_timeout(now, at, key),
                Timer::Dtls(key) => self.dtls_timeout(now, at, key, outbox),
                Timer::Sctp(key) => self.sctp_timeout(now, at, key),
                Timer::TransportCc(key) => self.transport_cc_timeout(at, key, outbox),
                Timer::Remb(key) => self.remb_timeout(now, at, key, outbox),
                Timer::Sending(key) => self.sending_timeout(now, at, key, outbox),
                Timer::Nack(key) => self.nack_timeout(now, at, key, outbox),
                Timer::Layers(key) => self.layers_timeout(now, at, key, outbox),
                Timer::Queue(key) => self.queue_timeout(now, at, key, outbox),
                Timer::KeyFrame(key) => self.key_frame_timeout(now, at, key, outbox),
                Timer::Observer(id) => self.observer_timeout(now, at, id),
                Timer::Loudest(router) => self.loudest_timeout(now, at, router),
                Timer::Idle(key) => self.idle_timeout(now, at, key),
            }
        }
        self.tell_direct(outbox);
    }

    /// When [`Self::handle_timeout`] or, for sound that waits and for messages, [`Self::forward`] is next due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let fresh = (self.directs > 0 && !self.fresh.is_empty()).then(Instant::default);
        [self.timers.next(), self.sound_due(), self.messages_due(), fresh].into_iter().flatten().min()
    }

    /// The shell has an endpoint for WebRTC transports: a UDP socket, or an ICE-TCP connection that it has accepted
    /// (the path's remote side is then always the same).
    pub fn open_webrtc(&mut self, endpoint: Endpoint, protocol: IceProtocol) {
        self.own(endpoint.id, Some(Owner::WebRtc(protocol, endpoint.local)));
    }

    /// An endpoint has gone without the machine's asking: an ICE-TCP connection was closed by the other side or broke,
    /// or control has closed the sockets of a WebRTC server.
    pub fn endpoint_closed(&mut self, endpoint: EndpointId) {
        self.own(endpoint, None);
        self.webrtc_endpoint_closed(endpoint);
    }

    pub(crate) fn own(&mut self, endpoint: EndpointId, owner: Option<Owner>) {
        let position = endpoint.0 as usize;
        if self.endpoints.len() <= position {
            self.endpoints.resize(position + 1, None);
        }
        if let Some(place) = self.endpoints.get_mut(position) {
            *place = owner;
        }
    }

    /// What happened without being asked for.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        // What a burst took is given back.
        if event.is_none() && self.events.capacity() > KEPT_EVENTS {
            self.events.shrink_to(KEPT_EVENTS);
        }
        event
    }

    /// What is to be done to the shell's endpoints.
    pub fn poll_endpoint_op(&mut self) -> Option<EndpointOp> {
        self.endpoint_ops.pop_front()
    }

    /// Payloads that the outbox refers to.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Records that the kernel refused `packets` packets of a path.
    pub fn send_refused(&mut self, path: Path, packets: u64) {
        self.discards.add(Discard::SendRefused, packets);
        if let Some(transport) = self.owner_of(path).and_then(|key| self.transports.get_mut(key)) {
            transport.discard(Discard::SendRefused, packets);
        }
    }

    /// Records a datagram that the shell could not take in (truncated by the kernel).
    pub fn receive_truncated(&mut self, path: Path) {
        match self.owner_of(path) {
            Some(key) => self.discard(key, Discard::TooLong),
            None => self.discards.count(Discard::TooLong),
        }
    }

    /// Counters of the whole worker.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Totals {
            discards: self.discards.clone(),
            queue_waits: self.queue_waits,
            routers: count(self.routers.len()),
            transports: count(self.transports.len()),
            producers: count(self.producers.len()),
            consumers: count(self.consumers.len()),
            timers: count(self.timers.len()),
            history_bytes: self.history.memory_bytes(),
        }
    }

    pub(crate) fn discard(&mut self, transport: TransportKey, why: Discard) {
        self.discards.count(why);
        if let Some(transport) = self.transports.get_mut(transport) {
            transport.discard(why, 1);
        }
    }

    /// Has control told. What an object has become is always told: control would keep a session for ever if it missed
    /// its end. What only passes by is dropped if very much waits.
    pub(crate) fn push_event(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS || !passes_by(&event) {
            self.events.push_back(event);
        }
    }
}

/// Whether an event says nothing that stays true: the next one of its kind makes up for it, or nothing does.
const fn passes_by(event: &Event) -> bool {
    matches!(
        event,
        Event::DirectPacket { .. }
            | Event::DataMessage { .. }
            | Event::DataConsumerSendBufferFull { .. }
            | Event::AudioLevels { .. }
            | Event::ProducerTraced { .. }
            | Event::ConsumerTraced { .. }
            | Event::Probed { .. }
    )
}

#[cfg(test)]
mod tests;
