//! A worker for tests: speaks the frames of the link, keeps the objects' identifiers, forwards nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corecast_wire::{
    Coalesce, Command, CommandError, ConsumerId, ConsumerStats, CurrentLayer, DataLimits, DtlsFailure, DtlsParameters,
    DtlsState, EncodingMapping, Event, Executor, Frame, FrameDecoder, HugePages, IceState, Io, Maxima, MediaKind,
    Object, ObjectStats, OutgoingCause, OutgoingStats, ProducerId, ProducerStats, Reply, RouterId, Sandbox, Silence,
    SpatialLayer, StatsPage, StreamStats, TransportId, TransportStats, Usage, WebRtcTransportOptions, WorkerConfig,
    encode,
};
use tokio::sync::mpsc;

pub(crate) use super::fake_sound_and_data::LOUD_DBOV;
use super::fake_sound_and_data::{SoundAndData, consumer_stats};
use super::link::{Link, LinkEvent};
use super::pool::Spawned;

/// What a worker is told in tests.
pub(crate) fn config(index: u32) -> WorkerConfig {
    WorkerConfig {
        index,
        core: index,
        io: Io::Auto,
        executor: Executor::Glommio,
        coalesce: Coalesce::Auto,
        gro: true,
        huge_pages: HugePages::Auto,
        sandbox: Sandbox::Off,
        port_range: (40_000, 40_099),
        recv_buffer_bytes: 1,
        send_buffer_bytes: 1,
        max_sound_wait_us: 0,
        max_media_age_ms: 200,
        max_packets_per_s: 20_000,
        data: DataLimits::DEFAULT,
        maxima: Maxima::DEFAULT,
        webrtc: None,
        is_blamed: false,
        test_hooks: false,
    }
}

/// Starts a fake worker on a thread of its own.
pub(crate) fn spawn(index: u32) -> Spawned {
    let (link, theirs) = UnixStream::pair().expect("socket pair");
    std::thread::spawn(move || run(theirs, None));
    Spawned { config: config(index), link, child: None, filters: None }
}

/// Starts a fake worker and opens its link.
pub(crate) fn open(config: WorkerConfig) -> (Link, mpsc::UnboundedReceiver<LinkEvent>) {
    let ours = spawn(0).link;
    ours.set_nonblocking(true).expect("set");
    Link::open(tokio::net::UnixStream::from_std(ours).expect("registers"), config)
}

#[derive(Default)]
struct FakeWorker {
    config: Option<WorkerConfig>,
    routers: BTreeSet<RouterId>,
    transports: BTreeMap<TransportId, (RouterId, SocketAddr)>,
    connected: BTreeSet<TransportId>,
    producers: BTreeMap<ProducerId, (TransportId, Option<u32>)>,
    encodings: BTreeMap<ProducerId, Vec<EncodingMapping>>,
    /// Questions about counters so far, and about usage.
    asked: u64,
    heartbeats: Cell<u64>,
    consumers: BTreeMap<ConsumerId, (TransportId, ProducerId)>,
    /// Transports whose clients lose packets.
    losing: BTreeSet<TransportId>,
    /// Consumers that outlive their producers.
    outlive: BTreeSet<ConsumerId>,
    ufrags: BTreeMap<String, TransportId>,
    sound_and_data: SoundAndData,
    next_port: u16,
    /// What is told after the reply.
    events: Vec<Event>,
}

/// First byte of the fingerprint of a client that comes no further than its offer.
pub(crate) const NEVER_COMES: u8 = 0x01;
/// First byte for a client whose handshake fails.
pub(crate) const FAILS: u8 = 0x02;
/// Its handshake stumbles, and it says nothing more.
pub(crate) const STUMBLES: u8 = 0x06;
/// First byte for a client that connects and is then silent.
pub(crate) const FALLS_SILENT: u8 = 0x03;
/// First byte for a client that connects and closes.
pub(crate) const CLOSES: u8 = 0x04;
/// First byte for a client that stays, and loses a quarter of its packets.
pub(crate) const LOSES: u8 = 0x05;
/// Where WebRTC transports are, to `/stats`.
const WEBRTC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3_480);
/// Producers that a transport may have.
const MAX_PRODUCERS: usize = 16;

/// A worker that is slow on purpose: from the first command that is `from` on it keeps its replies, until it has been
/// sent `times` commands that are `until`. So who waits for a reply before it sends the rest waits for ever.
#[derive(Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) from: fn(&Command) -> bool,
    pub(crate) until: fn(&Command) -> bool,
    pub(crate) times: usize,
}

/// What is kept back, and how long still.
struct Holding {
    hold: Hold,
    began: bool,
    seen: usize,
    kept: Vec<u8>,
    /// Replies that are kept just now.
    count: Arc<AtomicUsize>,
}

impl Holding {
    fn note(&mut self, command: &Command) {
        self.began |= (self.hold.from)(command);
        self.seen += usize::from(self.began && (self.hold.until)(command));
    }

    /// What may leave now.
    fn pass(&mut self, frames: Vec<u8>) -> Vec<u8> {
        if !self.began || self.seen >= self.hold.times {
            self.count.store(0, Ordering::SeqCst);
            return [std::mem::take(&mut self.kept), frames].concat();
        }
        self.kept.extend(frames);
        self.count.fetch_add(1, Ordering::SeqCst);
        Vec::new()
    }
}

/// Starts a fake worker that keeps replies back, and tells how many it keeps.
pub(crate) fn spawn_holding(index: u32, hold: Hold) -> (Spawned, Arc<AtomicUsize>) {
    let (link, theirs) = UnixStream::pair().expect("socket pair");
    let count = Arc::new(AtomicUsize::new(0));
    let holding = Holding { hold, began: false, seen: 0, kept: Vec::new(), count: Arc::clone(&count) };
    std::thread::spawn(move || run(theirs, Some(holding)));
    (Spawned { config: config(index), link, child: None, filters: None }, count)
}

fn run(mut link: UnixStream, mut holding: Option<Holding>) {
    let mut worker = FakeWorker::default();
    let mut decoder = FrameDecoder::default();
    let mut bytes = [0; 4_096];
    while let Ok(length @ 1..) = link.read(&mut bytes) {
        decoder.push(&bytes[..length]);
        while let Some(frame) = decoder.next_frame().expect("control sends well-formed frames") {
            let mut out = Vec::new();
            match frame {
                Frame::Config(config) => {
                    worker.next_port = config.port_range.0;
                    worker.config = Some(config);
                    let started =
                        Event::Started { io: Io::Syscalls, reason: "a fake worker".into(), warnings: Vec::new() };
                    encode(&Frame::Event(started), &mut out).expect("short");
                }
                Frame::Request { id, command } => {
                    let shutdown = command == Command::Shutdown;
                    if let Some(holding) = &mut holding {
                        holding.note(&command);
                    }
                    let result = worker.handle(command);
                    encode(&Frame::Reply { id, result }, &mut out).expect("short");
                    for event in worker.events.drain(..) {
                        encode(&Frame::Event(event), &mut out).expect("short");
                    }
                    if let Some(holding) = &mut holding {
                        out = holding.pass(out);
                    }
                    if shutdown {
                        let _ = link.write_all(&out);
                        return;
                    }
                }
                _ => panic!("not for a worker"),
            }
            if link.write_all(&out).is_err() {
                return;
            }
        }
    }
}

fn not_found(kind: &str, id: u64) -> CommandError {
    CommandError::NotFound { kind: kind.into(), id }
}

impl FakeWorker {
    fn handle(&mut self, command: Command) -> Result<Reply, CommandError> {
        match command {
            Command::Usage => return Ok(Reply::Usage(Box::new(self.usage()))),
            Command::Silences { producers } => return Ok(Reply::Silences(vec![Silence::default(); producers.len()])),
            Command::Stats { from } => return Ok(Reply::Stats(self.stats(from))),
            Command::ObjectStats { object } => return self.object_stats(object),
            Command::CreateRouter { router } if !self.routers.insert(router) => {
                return Err(CommandError::Exists { kind: "router".into(), id: router.0 });
            }
            Command::CloseRouter { router } => {
                self.routers.remove(&router).then_some(()).ok_or_else(|| not_found("router", router.0))?;
                let gone: Vec<_> =
                    self.transports.iter().filter(|(_, (of, _))| *of == router).map(|(id, _)| *id).collect();
                gone.into_iter().for_each(|transport| self.close_transport(transport));
            }
            Command::CreatePlainTransport { router, transport, options } => {
                self.routers.get(&router).ok_or_else(|| not_found("router", router.0))?;
                return self.create_transport(router, transport, &options);
            }
            Command::ConnectPlainTransport { transport, .. } => {
                self.transports.get(&transport).ok_or_else(|| not_found("transport", transport.0))?;
                if !self.connected.insert(transport) {
                    return Err(CommandError::AlreadyConnected);
                }
            }
            Command::CreateWebRtcTransport { router, transport, options } => {
                self.routers.get(&router).ok_or_else(|| not_found("router", router.0))?;
                self.create_webrtc(router, transport, options)?;
            }
            Command::ConnectWebRtcTransport { transport, dtls } => {
                self.transports.get(&transport).ok_or_else(|| not_found("transport", transport.0))?;
                if !self.connected.insert(transport) {
                    return Err(CommandError::AlreadyConnected);
                }
                self.play_client(transport, &dtls);
            }
            Command::RestartIce { transport, ice } => {
                self.transports.get(&transport).ok_or_else(|| not_found("transport", transport.0))?;
                self.name(transport, ice.username_fragment)?;
            }
            Command::CloseTransport { transport } => {
                self.transports.get(&transport).ok_or_else(|| not_found("transport", transport.0))?;
                self.close_transport(transport);
            }
            Command::Produce { transport, producer, options } => {
                self.produce(transport, producer, options.encodings.first().and_then(|encoding| encoding.ssrc))?;
                self.encodings.insert(producer, options.encodings);
            }
            Command::Consume { transport, consumer, producer, options } => {
                self.consume(transport, consumer, producer, options.outlives_producer)?;
            }
            Command::MoveConsumer { consumer, producer } => self.move_consumer(consumer, producer)?,
            Command::CloseProducer { producer } => self.close_producer(producer)?,
            Command::PauseProducer { producer, .. } if self.producers.contains_key(&producer) => {}
            Command::PauseProducer { producer, .. } => return Err(not_found("producer", producer.0)),
            Command::CloseConsumer { consumer } => {
                self.consumers.remove(&consumer).ok_or_else(|| not_found("consumer", consumer.0))?;
            }
            Command::PauseConsumer { consumer, .. }
            | Command::RequestKeyFrame { consumer }
            | Command::SetPriority { consumer, .. } => {
                self.consumers.get(&consumer).ok_or_else(|| not_found("consumer", consumer.0))?;
            }
            Command::SetPreferredLayers { consumer, spatial, .. } => self.set_preferred_layers(consumer, spatial)?,
            Command::TestHook(_) => return Err(CommandError::HooksOff),
            Command::CreateRouter { .. } | Command::Shutdown => {}
            other => self.sound_and_data.handle(other, &mut self.events)?,
        }
        Ok(Reply::Done)
    }

    fn object_stats(&mut self, object: Object) -> Result<Reply, CommandError> {
        self.asked += 1;
        let stats = match object {
            Object::Producer(id) if self.producers.contains_key(&id) => Some(self.producer_stats(id)),
            Object::Consumer(id) if self.consumers.contains_key(&id) => Some(self.consumer_stats(id)),
            Object::Transport(id) if self.transports.contains_key(&id) => Some(self.transport_stats(id)),
            _ => self.sound_and_data.stats(object),
        };
        let id = match object {
            Object::Transport(id) => id.0,
            Object::Producer(id) => id.0,
            Object::Consumer(id) => id.0,
            Object::DataProducer(id) => id.0,
            Object::DataConsumer(id) => id.0,
        };
        stats.map(|stats| Reply::ObjectStats(Box::new(stats))).ok_or_else(|| not_found("object", id))
    }

    fn produce(&mut self, transport: TransportId, producer: ProducerId, ssrc: Option<u32>) -> Result<(), CommandError> {
        self.transports.get(&transport).ok_or_else(|| not_found("transport", transport.0))?;
        if self.producers.values().filter(|(of, _)| *of == transport).count() >= MAX_PRODUCERS {
            return Err(CommandError::Limit { what: "producers".into(), max: MAX_PRODUCERS as u64 });
        }
        if let Some(taken) = ssrc.filter(|_| self.producers.values().any(|of| *of == (transport, ssrc))) {
            return Err(CommandError::SsrcTaken(taken));
        }
        self.producers.insert(producer, (transport, ssrc));
        Ok(())
    }

    fn consume(
        &mut self,
        transport: TransportId,
        consumer: ConsumerId,
        producer: ProducerId,
        outlives_producer: bool,
    ) -> Result<(), CommandError> {
        self.transports.get(&transport).ok_or_else(|| not_found("transport", transport.0))?;
        self.producers.get(&producer).ok_or_else(|| not_found("producer", producer.0))?;
        self.consumers.insert(consumer, (transport, producer));
        if outlives_producer {
            self.outlive.insert(consumer);
        }
        Ok(())
    }

    fn move_consumer(&mut self, consumer: ConsumerId, producer: ProducerId) -> Result<(), CommandError> {
        self.producers.get(&producer).ok_or_else(|| not_found("producer", producer.0))?;
        let moved = self.consumers.get_mut(&consumer).ok_or_else(|| not_found("consumer", consumer.0))?;
        moved.1 = producer;
        Ok(())
    }

    fn close_producer(&mut self, producer: ProducerId) -> Result<(), CommandError> {
        self.producers.remove(&producer).ok_or_else(|| not_found("producer", producer.0))?;
        let outlive = &self.outlive;
        self.consumers.retain(|consumer, (_, of)| *of != producer || outlive.contains(consumer));
        Ok(())
    }

    /// The switch is made at once.
    fn set_preferred_layers(&mut self, consumer: ConsumerId, spatial: SpatialLayer) -> Result<(), CommandError> {
        let (SpatialLayer::Quality(encoding) | SpatialLayer::Encoding(encoding)) = spatial;
        let (_, producer) = self.consumers.get(&consumer).ok_or_else(|| not_found("consumer", consumer.0))?;
        let count = self.encodings[producer].len();
        // One encoding has three layers within it.
        let current = match spatial {
            SpatialLayer::Quality(spatial) if count == 1 => CurrentLayer { encoding: 0, spatial: spatial.min(2) },
            _ => CurrentLayer { encoding, spatial: encoding },
        };
        if usize::from(current.encoding) >= count {
            return Err(CommandError::Invalid { field: "spatialLayer".into(), cause: "is too high".into() });
        }
        let current = Some(current);
        self.events.push(Event::ConsumerLayersChanged { consumer, current, temporal: None });
        // As if nobody else watched.
        let (_, producer) = self.consumers[&consumer];
        let encodings = (encoding.saturating_add(1)..u8::try_from(count).expect("few")).collect();
        self.events.push(Event::ProducerLayersUnwanted { producer, encodings });
        Ok(())
    }

    fn create_transport(
        &mut self,
        router: RouterId,
        transport: TransportId,
        options: &corecast_wire::PlainTransportOptions,
    ) -> Result<Reply, CommandError> {
        let (min, max) = self.config.as_ref().map_or((0, 0), |config| config.port_range);
        let needed = if options.rtcp_mux { 1 } else { 2 };
        if self.next_port + needed - 1 > max {
            return Err(CommandError::PortRangeExhausted { ip: options.listen_ip, min, max });
        }
        let local = SocketAddr::new(options.listen_ip, self.next_port);
        let rtcp_local = (!options.rtcp_mux).then(|| SocketAddr::new(options.listen_ip, self.next_port + 1));
        self.next_port += needed;
        self.transports.insert(transport, (router, local));
        Ok(Reply::PlainTransport { local, rtcp_local })
    }

    fn create_webrtc(
        &mut self,
        router: RouterId,
        transport: TransportId,
        options: WebRtcTransportOptions,
    ) -> Result<(), CommandError> {
        self.name(transport, options.ice.username_fragment)?;
        self.transports.insert(transport, (router, WEBRTC));
        Ok(())
    }

    fn name(&mut self, transport: TransportId, ufrag: String) -> Result<(), CommandError> {
        if self.ufrags.contains_key(&ufrag) {
            return Err(CommandError::Invalid { field: "usernameFragment".into(), cause: "is in use".into() });
        }
        self.ufrags.insert(ufrag, transport);
        Ok(())
    }

    /// What the client does, by the first byte of its fingerprint.
    fn play_client(&mut self, transport: TransportId, dtls: &DtlsParameters) {
        let ice = |state| Event::IceStateChanged { transport, state, tuple: None };
        let dtls_is = |state| {
            let failure = (state == DtlsState::Failed).then_some(DtlsFailure::Certificate);
            Event::DtlsStateChanged { transport, state, failure, detail: "a fake".into(), certificate: Vec::new() }
        };
        let connected = [ice(IceState::Completed), dtls_is(DtlsState::Connected)];
        match dtls.fingerprints.first().and_then(|fingerprint| fingerprint.value.first()).copied() {
            Some(NEVER_COMES) => {}
            Some(FAILS) => self.events.extend([ice(IceState::Completed), dtls_is(DtlsState::Failed)]),
            Some(STUMBLES) => {
                let troubled = Event::HandshakeTroubled { transport, trouble: "a fake stumbles".into() };
                self.events.extend([ice(IceState::Completed), dtls_is(DtlsState::Connecting), troubled]);
            }
            Some(FALLS_SILENT) => self.events.extend(connected.into_iter().chain([ice(IceState::Disconnected)])),
            Some(CLOSES) => self.events.extend(connected.into_iter().chain([dtls_is(DtlsState::Closed)])),
            Some(LOSES) => {
                self.losing.insert(transport);
                self.events.extend(connected);
            }
            _ => self.events.extend(connected),
        }
    }

    fn close_transport(&mut self, transport: TransportId) {
        self.transports.remove(&transport);
        self.ufrags.retain(|_, of| *of != transport);
        self.producers.retain(|_, (of, _)| *of != transport);
        let Self { producers, outlive, .. } = self;
        self.consumers.retain(|consumer, (of, producer)| {
            *of != transport && (producers.contains_key(producer) || outlive.contains(consumer))
        });
    }

    /// All encodings but the last are sending, more with each question; the last is the best.
    fn producer_stats(&self, producer: ProducerId) -> ObjectStats {
        let encodings = &self.encodings[&producer];
        let stream = |(index, encoding): (usize, &EncodingMapping)| StreamStats {
            rid: encoding.rid.clone(),
            spatial: u8::try_from(index).expect("few"),
            active: index + 1 < encodings.len(),
            picture: (index == 0).then_some((160, 90)),
            byte_count: self.asked * 1_000,
            ..StreamStats::default()
        };
        ObjectStats::Producer(ProducerStats {
            producer,
            transport: self.producers[&producer].0,
            kind: MediaKind::Video,
            paused: false,
            streams: encodings.iter().enumerate().map(stream).collect(),
            withheld: false,
        })
    }

    /// A hundred packets more with each question.
    fn consumer_stats(&self, consumer: ConsumerId) -> ObjectStats {
        let (transport, producer) = self.consumers[&consumer];
        let fraction_lost = if self.losing.contains(&transport) { 64 } else { 0 };
        let packet_count = self.asked * 100;
        let stats = consumer_stats(consumer, transport, producer);
        ObjectStats::Consumer(ConsumerStats { fraction_lost, packet_count, ..stats })
    }

    fn transport_stats(&self, transport: TransportId) -> ObjectStats {
        let (router, local) = self.transports[&transport];
        let available_bps = Some(1_000_000);
        let (cause, wanted_bps) = (OutgoingCause::Start, 2_000_000);
        let outgoing = OutgoingStats { available_bps, cause, queue_us: 0, wanted_bps, lost_share: 0 };
        ObjectStats::Transport(TransportStats {
            transport,
            router,
            local,
            remote: None,
            packets_received: transport.0,
            bytes_received: 0,
            packets_sent: self.asked * 100,
            bytes_sent: self.asked * 100_000,
            rtp: corecast_wire::RtpBytes::default(),
            discards: corecast_wire::Discards::default(),
            outgoing: self.losing.contains(&transport).then_some(outgoing),
            incoming: None,
            webrtc: None,
        })
    }

    /// A tenth of the core from one heartbeat to the next.
    fn usage(&self) -> Usage {
        self.heartbeats.set(self.heartbeats.get() + 1);
        Usage {
            at_ns: self.heartbeats.get() * 1_000_000_000,
            user_ns: self.heartbeats.get() * 100_000_000,
            routers: self.routers.len() as u32,
            transports: self.transports.len() as u32,
            producers: self.producers.len() as u32,
            consumers: self.consumers.len() as u32,
            ..Usage::default()
        }
    }

    /// Two objects to a page, so that tests see several pages. No data.
    fn stats(&mut self, from: Option<Object>) -> StatsPage {
        self.asked += 1;
        let transports = self.transports.keys().map(|id| (Object::Transport(*id), self.transport_stats(*id)));
        let producers = self.producers.keys().map(|id| (Object::Producer(*id), self.producer_stats(*id)));
        let consumers = self.consumers.keys().map(|id| (Object::Consumer(*id), self.consumer_stats(*id)));
        let all = transports.chain(producers).chain(consumers);
        let mut left = all.skip_while(|(object, _)| from.is_some_and(|from| *object < from));
        let objects = left.by_ref().take(2).map(|(_, stats)| stats).collect();
        StatsPage { objects, next: left.next().map(|(object, _)| object) }
    }
}
