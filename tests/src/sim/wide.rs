//! A room on two workers, as control joins them: who only receives is on a branch, and what it is sent crosses a pipe.
//! To the world it is one machine, and the rules are those of one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use corecast_core::{Endpoint, EndpointId, EndpointOp, Forward, Instant, Path, Totals};
use corecast_wire::{
    Codec, CodecMapping, Command, CommandError, ConsumeOptions, ConsumerExtension, ConsumerId, Discard,
    EncodingMapping, Event, ExtensionMapping, MediaKind, PayloadTypeMapping, PlainTransportOptions, ProduceOptions,
    ProducerId, Reply, RouterId, TransportId,
};

use super::lane::Lane;
use super::machine::{Machine, RealWorker};
use super::random::Random;
use super::scenario::Plan;

/// Numbers of what only the pipes have begin here: participants' are small.
const PIPES: u64 = 1 << 41;
const PIPE_ENDPOINTS: u32 = 1 << 12;
const PIPE_SSRCS: u32 = 0x7000_0000;
/// Rounds of packets that cause each other at one moment.
const MAX_ROUNDS: u32 = 1_000;

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Home,
    Branch,
}

impl Place {
    const fn other(self) -> Self {
        match self {
            Self::Home => Self::Branch,
            Self::Branch => Self::Home,
        }
    }
}

/// A producer that crosses, and what it is at home.
#[derive(Debug)]
struct Source {
    transport: TransportId,
    router: RouterId,
    options: ProduceOptions,
    crosses: bool,
}

/// Two workers.
#[derive(Debug)]
pub struct WideRoom {
    home: RealWorker,
    branch: RealWorker,
    /// Participants that are on the branch.
    far: BTreeSet<TransportId>,
    routers: BTreeSet<RouterId>,
    endpoints: HashMap<u32, Place>,
    routers_of: HashMap<TransportId, RouterId>,
    sources: BTreeMap<ProducerId, Source>,
    consumers: HashMap<ConsumerId, Place>,
    /// What has left for participants and was not taken out yet.
    out: Vec<(Path, Vec<u8>)>,
    /// To the branch, and to the home.
    lanes: [Lane; 2],
    /// When something was left on its way.
    owed: Option<Instant>,
    /// The time of the last call.
    now: Instant,
    crossed: u64,
    /// Packets that lanes have not taken since the workers were made.
    refused: u64,
    /// How far each gets before both die; nothing more, if nothing is drawn.
    deaths: Option<Random>,
}

impl WideRoom {
    /// For a plan without WebRTC. Every other one who sends nothing is on the branch.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let receives = plan.peers.iter().enumerate().filter(|(_, peer)| peer.sources.is_empty());
        let far = receives.step_by(2).map(|(number, _)| TransportId(number as u64)).collect();
        Self {
            home: RealWorker::of(plan),
            branch: RealWorker::of(plan),
            far,
            routers: BTreeSet::new(),
            endpoints: HashMap::new(),
            routers_of: HashMap::new(),
            sources: BTreeMap::new(),
            consumers: HashMap::new(),
            out: Vec::new(),
            lanes: [Lane::default(), Lane::default()],
            owed: None,
            now: Instant::default(),
            crossed: 0,
            refused: 0,
            deaths: None,
        }
    }

    /// The same with lanes that are full for a while, until the links heal. If the workers die, one of them has got
    /// further than the other.
    #[must_use]
    pub fn with_full_lanes(plan: &Plan, mut random: Random) -> Self {
        let lanes = [Lane::draw(&mut random, plan.heal_ns), Lane::draw(&mut random, plan.heal_ns)];
        Self { lanes, deaths: Some(random), ..Self::of(plan) }
    }

    /// The lane in which a place writes.
    fn lane(&mut self, from: Place) -> &mut Lane {
        let [to_branch, to_home] = &mut self.lanes;
        if from == Place::Home { to_branch } else { to_home }
    }

    fn at(&mut self, place: Place) -> &mut RealWorker {
        match place {
            Place::Home => &mut self.home,
            Place::Branch => &mut self.branch,
        }
    }

    fn place(&self, transport: TransportId) -> Place {
        if self.far.contains(&transport) { Place::Branch } else { Place::Home }
    }

    /// Joins a router of each worker.
    fn join(&mut self, now: Instant, router: RouterId) -> Result<(), CommandError> {
        let transport = TransportId(PIPES + router.0);
        for place in [Place::Home, Place::Branch] {
            let (own, other) = ends(router, place);
            let options =
                PlainTransportOptions { pipe: true, ..PlainTransportOptions::new(own.local.ip(), PIPE_SSRCS - 1) };
            let create = Command::CreatePlainTransport { router, transport, options };
            self.at(place).handle_command(now, &create, &[own])?;
            let remote = Some(other.local);
            let connect = Command::ConnectPlainTransport { transport, remote, rtcp_remote: None, srtp: None };
            self.at(place).handle_command(now, &connect, &[])?;
        }
        Ok(())
    }

    /// A producer crosses from now on.
    fn cross(&mut self, now: Instant, id: ProducerId) -> Result<(), CommandError> {
        let Some(source) = self.sources.get_mut(&id).filter(|source| !source.crosses) else { return Ok(()) };
        source.crosses = true;
        let transport = TransportId(PIPES + source.router.0);
        let ssrc = PIPE_SSRCS + u32::try_from(id.0).expect("few sources");
        let (consume, produce) = crossing(&source.options, ssrc);
        let far = Command::Produce { transport, producer: on_branch(id), options: produce };
        self.branch.handle_command(now, &far, &[])?;
        let near = Command::Consume { transport, consumer: crossing_of(id), producer: id, options: consume };
        self.home.handle_command(now, &near, &[]).map(drop)
    }

    /// Producers have closed at home.
    fn closed(&mut self, now: Instant, gone: impl Fn(ProducerId, &Source) -> bool) {
        let gone: Vec<_> = self.sources.extract_if(.., |id, source| gone(*id, source)).collect();
        for (id, source) in gone {
            if source.crosses {
                let close = Command::CloseProducer { producer: on_branch(id) };
                self.branch.handle_command(now, &close, &[]).expect("it crossed");
            }
        }
    }

    /// Something waits in a lane that is read now.
    fn crosses(&self, now: Instant) -> bool {
        self.lanes.iter().any(|lane| lane.is_read_at(now) == Some(now))
    }

    fn apply(&mut self, now: Instant, command: &Command, opened: &[Endpoint]) -> Result<Reply, CommandError> {
        match command {
            Command::CreateRouter { router } => {
                let reply = self.home.handle_command(now, command, &[])?;
                self.branch.handle_command(now, command, &[])?;
                self.join(now, *router)?;
                self.routers.insert(*router);
                Ok(reply)
            }
            Command::CloseRouter { router } => {
                let reply = self.home.handle_command(now, command, &[])?;
                self.branch.handle_command(now, command, &[])?;
                self.sources.retain(|_, source| source.router != *router);
                self.routers.remove(router);
                Ok(reply)
            }
            Command::CreatePlainTransport { router, transport, .. } => {
                let place = self.place(*transport);
                let reply = self.at(place).handle_command(now, command, opened)?;
                self.endpoints.extend(opened.iter().map(|endpoint| (endpoint.id.0, place)));
                self.routers_of.insert(*transport, *router);
                Ok(reply)
            }
            Command::CloseTransport { transport } => {
                let place = self.place(*transport);
                let reply = self.at(place).handle_command(now, command, &[])?;
                self.closed(now, |_, source| source.transport == *transport);
                Ok(reply)
            }
            Command::ConnectPlainTransport { transport, .. } => {
                let place = self.place(*transport);
                self.at(place).handle_command(now, command, &[])
            }
            Command::Produce { .. } | Command::PauseProducer { .. } | Command::CloseProducer { .. } => {
                self.apply_to_producer(now, command)
            }
            Command::Consume { transport, consumer, producer, options } if self.place(*transport) == Place::Branch => {
                let router = self.sources.get(producer).map(|source| source.router);
                if router == self.routers_of.get(transport).copied() {
                    self.cross(now, *producer)?;
                }
                let (transport, consumer, options) = (*transport, *consumer, options.clone());
                let there = Command::Consume { transport, consumer, producer: on_branch(*producer), options };
                let reply = self.branch.handle_command(now, &there, &[])?;
                self.consumers.insert(consumer, Place::Branch);
                Ok(reply)
            }
            Command::PauseConsumer { consumer, .. }
            | Command::CloseConsumer { consumer }
            | Command::RequestKeyFrame { consumer } => {
                let place = self.consumers.get(consumer).copied().unwrap_or(Place::Home);
                self.at(place).handle_command(now, command, &[])
            }
            _ => self.home.handle_command(now, command, opened),
        }
    }

    fn apply_to_producer(&mut self, now: Instant, command: &Command) -> Result<Reply, CommandError> {
        let reply = self.home.handle_command(now, command, &[])?;
        match command {
            Command::Produce { transport, producer, options } => {
                let router = self.routers_of.get(transport).copied().expect("it has a transport");
                let source = Source { transport: *transport, router, options: options.clone(), crosses: false };
                self.sources.insert(*producer, source);
            }
            Command::PauseProducer { producer, paused } => {
                let source = self.sources.get_mut(producer).expect("home has it");
                source.options.paused = *paused;
                if source.crosses {
                    let there = Command::PauseProducer { producer: on_branch(*producer), paused: *paused };
                    self.branch.handle_command(now, &there, &[])?;
                }
            }
            Command::CloseProducer { producer } => self.closed(now, |id, _| id == *producer),
            _ => {}
        }
        Ok(reply)
    }

    /// Takes out what has left for participants; what crosses waits in a lane, or is refused there.
    fn take_out(&mut self, now: Instant) {
        for place in [Place::Home, Place::Branch] {
            let mut taken = Vec::new();
            self.at(place).drain(&mut |path, bytes| taken.push((path, bytes.to_vec())));
            for (path, bytes) in taken {
                if path.local.0 < PIPE_ENDPOINTS {
                    self.out.push((path, bytes));
                } else if !self.lane(place).write(now, path.local, bytes) {
                    self.refused += 1;
                    self.at(place).send_refused(path, 1);
                }
            }
        }
    }

    /// Has what waits in a lane arrive. False if there is nothing.
    fn arrive(&mut self, now: Instant, from: Place) -> bool {
        let packets = self.lane(from).read(now);
        self.crossed += packets.len() as u64;
        for (end, bytes) in &packets {
            let path = Path { local: *end, remote: end_address(*end, from) };
            self.at(from.other()).handle_datagram(now, path, bytes);
        }
        !packets.is_empty()
    }

    /// Has what crosses arrive, until nothing crosses any longer. What arrives at the other side is forwarded at once:
    /// if that worker was asleep, it is awake now.
    fn settle(&mut self, now: Instant) {
        self.now = now;
        self.take_out(now);
        for _ in 0..MAX_ROUNDS {
            let reached = [Place::Home, Place::Branch].map(|from| (from.other(), self.arrive(now, from)));
            if reached.iter().all(|(_, is_reached)| !is_reached) {
                return;
            }
            for (place, _) in reached.into_iter().filter(|(_, is_reached)| *is_reached) {
                while self.at(place).forward(now) == Forward::Full {
                    self.take_out(now);
                }
            }
            self.take_out(now);
        }
        panic!("two workers do not come to rest");
    }
}

fn on_branch(producer: ProducerId) -> ProducerId {
    ProducerId(PIPES + producer.0)
}

fn crossing_of(producer: ProducerId) -> ConsumerId {
    ConsumerId(PIPES + producer.0)
}

/// The end of a router's pipe at a place, and the other one. Both have the same number on their worker.
fn ends(router: RouterId, place: Place) -> (Endpoint, Endpoint) {
    let id = EndpointId(PIPE_ENDPOINTS + u32::try_from(router.0).expect("few routers"));
    let end = |place| Endpoint { id, local: end_address(id, place) };
    match place {
        Place::Home => (end(Place::Home), end(Place::Branch)),
        Place::Branch => (end(Place::Branch), end(Place::Home)),
    }
}

fn end_address(endpoint: EndpointId, place: Place) -> SocketAddr {
    let port = u16::try_from(endpoint.0 - PIPE_ENDPOINTS).expect("few routers");
    let host = if place == Place::Home { 1 } else { 2 };
    SocketAddr::from(([127, 0, 0, host], 1_000 + port))
}

/// How a producer with one encoding crosses: what consumes it at home, and what it is on the branch.
fn crossing(options: &ProduceOptions, ssrc: u32) -> (ConsumeOptions, ProduceOptions) {
    let media = options.codecs.iter().filter(|codec| !matches!(codec.codec, Codec::Rtx { .. }));
    let codecs: Vec<_> =
        media.map(|codec| CodecMapping { payload_type: codec.mapped_payload_type, ..*codec }).collect();
    let extensions = options.header_extensions.iter().filter(|one| !one.extension.is_hop_local());
    let extensions: Vec<_> = extensions.map(|one| ExtensionMapping { id: one.mapped_id, ..*one }).collect();
    let is_video = options.kind == MediaKind::Video;
    let payload_types = codecs.iter().map(|codec| PayloadTypeMapping::same(codec.payload_type)).collect();
    let consume = ConsumeOptions {
        nack: true,
        header_extensions: extensions.iter().map(|one| ConsumerExtension::same(one.extension, one.id)).collect(),
        ..ConsumeOptions::new(ssrc, payload_types, "pipe".into())
    };
    let produce = ProduceOptions {
        header_extensions: extensions,
        nack: true,
        pli: is_video,
        fir: is_video,
        paused: options.paused,
        ..ProduceOptions::new(options.kind, codecs, vec![EncodingMapping::announced(ssrc)])
    };
    (consume, produce)
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

impl Machine for WideRoom {
    fn open_webrtc(&mut self, _endpoint: Endpoint) {
        unreachable!("a plan without WebRTC");
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let place = self.endpoints.get(&path.local.0).copied().unwrap_or(Place::Home);
        self.at(place).handle_datagram(now, path, datagram);
        self.settle(now);
    }

    fn wants_flush(&self) -> bool {
        !self.out.is_empty()
    }

    fn forward(&mut self, now: Instant) -> Forward {
        let forward = self.home.forward(now);
        let there = self.branch.forward(now);
        self.settle(now);
        if [forward, there].contains(&Forward::Full) { Forward::Full } else { Forward::Done }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for place in [Place::Home, Place::Branch] {
            if self.at(place).next_timeout().is_some_and(|at| at <= now) {
                self.at(place).handle_timeout(now);
            }
        }
        self.owed = None;
        self.settle(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let read_at = self.lanes.iter().filter_map(|lane| lane.is_read_at(self.now)).min();
        earlier(earlier(self.owed, read_at), earlier(self.home.next_timeout(), self.branch.next_timeout()))
    }

    fn sound_due(&self) -> Option<Instant> {
        earlier(self.home.sound_due(), self.branch.sound_due())
    }

    fn handle_command(&mut self, now: Instant, command: &Command, opened: &[Endpoint]) -> Result<Reply, CommandError> {
        let reply = self.apply(now, command, opened);
        // Nothing of it arrives before the command is answered.
        self.now = now;
        self.take_out(now);
        self.owed = self.owed.or_else(|| Some(now).filter(|_| self.crosses(now)));
        reply
    }

    fn drain(&mut self, packet: &mut dyn FnMut(Path, &[u8])) {
        for (path, bytes) in self.out.drain(..) {
            packet(path, &bytes);
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        std::iter::from_fn(|| self.home.poll_event().or_else(|| self.branch.poll_event())).find(|event| match event {
            Event::RemoteLearnt { transport, .. } => transport.0 < PIPES,
            Event::ConsumerSuspended { consumer, .. } => consumer.0 < PIPES,
            _ => true,
        })
    }

    fn poll_endpoint_op(&mut self) -> Option<EndpointOp> {
        std::iter::from_fn(|| self.home.poll_endpoint_op().or_else(|| self.branch.poll_endpoint_op())).find(|op| {
            let (EndpointOp::Connect(endpoint, _) | EndpointOp::Authenticated(endpoint) | EndpointOp::Close(endpoint)) =
                op;
            endpoint.0 < PIPE_ENDPOINTS
        })
    }

    fn send_refused(&mut self, path: Path, packets: u64) {
        let place = self.endpoints.get(&path.local.0).copied().unwrap_or(Place::Home);
        self.at(place).send_refused(path, packets);
    }

    fn totals(&self) -> Totals {
        let (mut home, branch) = (self.home.totals(), self.branch.totals());
        let pipes = u32::try_from(self.routers.len()).expect("few routers");
        let crossing = self.sources.values().filter(|source| source.crosses).count();
        let crossing = u32::try_from(crossing).expect("few sources");
        home.discards.add(Discard::SendRefused, branch.discards.get(Discard::SendRefused));
        Totals {
            transports: home.transports + branch.transports - 2 * pipes,
            producers: home.producers + branch.producers - crossing,
            consumers: home.consumers + branch.consumers - crossing,
            ..home
        }
    }

    fn slots_in_use(&self) -> usize {
        self.home.slots_in_use().max(self.branch.slots_in_use())
    }

    fn crash(&mut self, now: Instant, opened: &dyn Fn(TransportId) -> Vec<Endpoint>) -> Result<(), String> {
        for place in [Place::Home, Place::Branch] {
            let known: HashSet<_> = self.routers.iter().copied().collect();
            let opened = |transport: TransportId| match transport.0.checked_sub(PIPES).map(RouterId) {
                Some(router) if known.contains(&router) => vec![ends(router, place).0],
                _ => opened(transport),
            };
            self.at(place).crash(now, &opened)?;
        }
        self.lanes.iter_mut().for_each(Lane::clear);
        (self.now, self.refused) = (now, 0);
        self.take_out(now);
        self.owed = Some(now).filter(|_| self.crosses(now));
        Ok(())
    }

    fn die(&mut self, now: Instant) {
        let steps = self.deaths.as_mut().map_or(0, |random| random.range(0..=3));
        if steps > 0 {
            self.home.forward(now);
            self.take_out(now);
        }
        if steps > 1 {
            self.arrive(now, Place::Home);
        }
        if steps > 2 {
            self.branch.forward(now);
            self.take_out(now);
        }
    }

    fn refused_between(&self) -> u64 {
        self.refused
    }

    fn is_behind(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains_key(&consumer) && self.lanes.iter().any(|lane| lane.is_behind(self.now))
    }

    fn crossed(&self) -> u64 {
        self.crossed
    }
}
