//! A run: the clock, the queue of events, and the shell around the machine, which it drives as the real one does: it
//! reads the clock once per batch, sends before it takes in more, and calls `forward` until it is done. While a round
//! waits because the outbox is full, timers, commands and datagrams come.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use bytes::Bytes;
use corecast_core::{EndpointId, EndpointOp, Forward, Instant, Path};
use corecast_wire::{Command, ConsumerId, Discard, Event as WorkerEvent, Object, ObjectStats, Reply, TransportId};

use super::consumer::{Broken, Consumer, check};
use super::delivery::{About, Delivered};
use super::link::Link;
use super::machine::Machine;
use super::random::{Random, fingerprint};
use super::scenario::{PeerPlan, Plan};
use super::source::Source;
use super::svc::checker::Figures;
use super::trace::{Coverage, Trace, WebRtcCoverage};
use super::webrtc::{Web, WebAct, order, wire_len};
use super::wire::Wire;

/// Calls of `forward` in a row, each with a full outbox, after which it is taken to be stuck.
const MAX_FULL: u32 = 10_000;
/// Chance that control does something before `forward` goes on.
const CHANGE_PERCENT: u32 = 30;
/// What waits is looked at every millisecond, and later while the outbox is full.
const LATE_NS: u64 = 20_000_000;
/// Timeouts at one moment after which the timer is taken to be stuck.
const MAX_TIMEOUTS: u32 = 1_000;

/// What is to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A datagram reaches the server's network card.
    ToServer { to: SocketAddr, from: SocketAddr, bytes: Bytes, about: About },
    /// A packet reaches a participant.
    ToPeer { peer: usize, packet: Delivered },
    /// The shell works on what has come.
    Run,
    /// A participant or control does something.
    Act(Act),
}

/// What participants and control do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Join(usize),
    Connect(usize),
    Produce(usize),
    Subscribe(usize),
    Leave(usize),
    /// Control closes a participant's transport.
    HangUp(usize),
    /// Something that only WebRTC participants do.
    Web(usize, WebAct),
    Churn,
    Change,
    Crash,
    Media(usize),
    Tick(usize),
    Hostile,
    Heal,
    Quiet,
    Close,
}

/// Where a participant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Joined,
    Left,
}

/// Where in its work the worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// While nothing is to be done.
    Idle,
    /// With packets that it has taken in and not sent on.
    TakenIn,
    /// With packets in the outbox.
    Forwarded,
}

/// A participant at work.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) plan: PeerPlan,
    pub(super) state: State,
    pub(super) wire: Wire,
    pub(super) up: Link,
    pub(super) down: Link,
    /// The server's addresses for it.
    pub(super) local: Option<SocketAddr>,
    pub(super) rtcp_local: Option<SocketAddr>,
    /// The server knows its key, or needs none.
    pub(super) key_known: bool,
    /// The server knows where its RTP and its RTCP go.
    pub(super) connected: bool,
    pub(super) rtcp_connected: bool,
    pub(super) subscribed: bool,
    pub(super) sources: Vec<usize>,
    pub(super) consumers: Vec<usize>,
    /// Its last datagrams, for strangers who replay them; true for RTCP.
    pub(super) recent: Vec<(bool, Bytes, About)>,
    pub(super) ticks: u64,
    pub(super) fir_number: u8,
    /// Transport-wide sequence number of the next packet to it that has one.
    pub(super) next_transport_cc: u16,
    /// What it has if it is a WebRTC participant.
    pub(super) web: Option<Box<Web>>,
}

/// A socket of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    /// The participant that it is for; none if all WebRTC transports share it.
    pub(super) peer: Option<usize>,
    pub(super) rtcp: bool,
    connected: Option<SocketAddr>,
}

impl Socket {
    /// One that all WebRTC transports share.
    pub(super) const fn shared(local: SocketAddr) -> Self {
        Self { local, peer: None, rtcp: false, connected: None }
    }
}

#[derive(Debug)]
struct Datagram {
    path: Path,
    bytes: Bytes,
    about: About,
}

/// A run.
pub(super) struct World<M> {
    pub(super) plan: Plan,
    pub(super) machine: M,
    pub(super) random: Random,
    pub(super) now_ns: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    pub(super) peers: Vec<Peer>,
    pub(super) sources: Vec<Source>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) consumer_by_ssrc: HashMap<(usize, u32), usize>,
    pub(super) sockets: Vec<Option<Socket>>,
    socket_by_address: HashMap<SocketAddr, usize>,
    /// WebRTC participants by every address that they have had, and by the address of the stranger who overhears them.
    pub(super) peer_by_address: HashMap<SocketAddr, usize>,
    next_port: u16,
    batch: Vec<Datagram>,
    run_is_due: bool,
    /// Calls of `forward` that found the outbox full: the round is not over.
    pub(super) full_in_a_row: u32,
    pub(super) arrivals: u64,
    /// Packets that had arrived when `forward` was last called: those that a round may hold.
    pub(super) forwarded: u64,
    /// (source, index, order, time in ns) of packets that arrived and must have been forwarded when `forward` is done.
    pub(super) fresh: Vec<(usize, u64, u64, u64)>,
    /// Only the loudest have been to be heard: some may be withheld.
    pub(super) is_limited: bool,
    /// Where the worker is to die.
    pub(super) dies: Option<Death>,
    pub(super) crashes: u64,
    /// Packets that found no room between workers before the last crash.
    pub(super) refused_between_before: u64,
    /// Sends of workers before this one that were refused.
    pub(super) refused_before: u64,
    pub(super) trace: Trace,
    pub(super) coverage: Coverage,
    pub(super) web: WebRtcCoverage,
    pub(super) layers: Figures,
    /// Packets that the worker says it has given up since they waited for too long.
    given_up: u64,
}

impl<M: Machine> World<M> {
    /// All participants in place, nothing begun.
    pub(super) fn new(plan: Plan, machine: M, mut random: Random) -> Self {
        let mut sources = Vec::new();
        let mut peers = Vec::new();
        for (number, plan) in plan.peers.iter().enumerate() {
            let mut own = Vec::new();
            for source in &plan.sources {
                own.push(sources.len());
                let number_of_source = u32::try_from(sources.len()).expect("few sources");
                sources.push(Source::new(source.clone(), number, number_of_source, &mut random));
            }
            peers.push(Peer {
                state: State::Absent,
                wire: Wire::new(plan.srtp.as_ref()),
                up: Link::new(plan.up),
                down: Link::new(plan.down),
                local: None,
                rtcp_local: None,
                key_known: plan.srtp.is_none(),
                connected: false,
                rtcp_connected: false,
                subscribed: false,
                sources: own,
                consumers: Vec::new(),
                recent: Vec::new(),
                ticks: 0,
                fir_number: 0,
                next_transport_cc: 0,
                web: None,
                plan: plan.clone(),
            });
        }
        let mut world = Self {
            plan,
            machine,
            random,
            now_ns: 0,
            queue: BTreeMap::new(),
            events: 0,
            peers,
            sources,
            consumers: Vec::new(),
            consumer_by_ssrc: HashMap::new(),
            sockets: Vec::new(),
            socket_by_address: HashMap::new(),
            peer_by_address: HashMap::new(),
            next_port: 10_000,
            batch: Vec::new(),
            run_is_due: false,
            full_in_a_row: 0,
            arrivals: 0,
            forwarded: 0,
            fresh: Vec::new(),
            is_limited: false,
            dies: None,
            crashes: 0,
            refused_between_before: 0,
            refused_before: 0,
            trace: Trace::default(),
            coverage: Coverage::default(),
            web: WebRtcCoverage::default(),
            layers: Figures::default(),
            given_up: 0,
        };
        if world.plan.webrtc.is_some() {
            world.open_webrtc();
        }
        world
    }

    /// Runs to the end.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        self.begin()?;
        let end_ns = self.plan.close_ns + 400_000_000;
        loop {
            let event_at = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timer_at = self.machine.next_timeout().map(|at| at.as_nanos() + self.plan.timer_slack_us * 1_000);
            let Some(next) = [event_at, timer_at].into_iter().flatten().min().filter(|at| *at <= end_ns) else {
                break;
            };
            self.now_ns = self.now_ns.max(next);
            if timer_at.is_some_and(|at| at <= self.now_ns) {
                self.serve_timers()?;
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.happen(event)?;
            }
        }
        self.finish()
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ns)
    }

    pub(super) fn at(&mut self, at_ns: u64, event: Event) {
        self.events += 1;
        self.queue.insert((at_ns, self.events), event);
    }

    pub(super) fn act_in(&mut self, wait_ns: u64, act: Act) {
        self.at(self.now_ns + wait_ns, Event::Act(act));
    }

    fn serve_timers(&mut self) -> Result<(), Broken> {
        let now = self.now();
        let mut served = 0;
        while self.machine.next_timeout().is_some_and(|at| at <= now) {
            served += 1;
            check!(served < MAX_TIMEOUTS, "timer does not advance");
            self.machine.handle_timeout(now);
            self.find_withheld();
            self.flush()?;
            self.poll()?;
            if self.machine.sound_due().is_some_and(|at| at <= now) {
                self.run_batch()?;
            }
        }
        self.coverage.timeouts += 1;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::ToServer { to, from, bytes, about } => {
                self.arrive(to, from, bytes, about);
                Ok(())
            }
            Event::ToPeer { peer, packet } => self.deliver(peer, packet),
            Event::Run => self.run_batch(),
            Event::Act(act) => self.act(act),
        }
    }

    /// The kernel's part: to which socket, if any.
    fn arrive(&mut self, to: SocketAddr, from: SocketAddr, bytes: Bytes, about: About) {
        let Some(number) = self.socket_by_address.get(&to).copied() else { return };
        let Some(socket) = self.sockets.get(number).copied().flatten() else { return };
        if socket.connected.is_some_and(|remote| remote != from) {
            return;
        }
        let local = EndpointId(u32::try_from(number).expect("few sockets"));
        self.batch.push(Datagram { path: Path { local, remote: from }, bytes, about });
        if !self.run_is_due {
            self.run_is_due = true;
            let wait_ns = self.random.range(0..=self.plan.batch_wait_us) * 1_000;
            self.at(self.now_ns + wait_ns, Event::Run);
        }
    }

    /// One turn of the shell.
    fn run_batch(&mut self) -> Result<(), Broken> {
        self.run_is_due = false;
        let now = self.now();
        for datagram in std::mem::take(&mut self.batch) {
            let Datagram { path, bytes, about } = datagram;
            self.coverage.datagrams += 1;
            let shared = self.socket(path.local).is_some_and(|socket| socket.peer.is_none());
            // Keys, and so what they protect, are new in every run.
            let print = if shared { u64::from(path.remote.port()) } else { fingerprint(&bytes) };
            self.trace.note(self.now_ns, "in", u64::from(path.local.0), wire_len(&bytes) as u64, print);
            let expected = self.arriving(path, &about, &bytes);
            self.machine.handle_datagram(now, path, &bytes);
            self.find_withheld();
            self.poll()?;
            self.check_selected(expected)?;
            self.note_arrival(path, about);
            if self.machine.wants_flush() {
                self.flush()?;
            }
        }
        if self.dies_at(Death::TakenIn) {
            return self.crash(Death::TakenIn);
        }
        self.forwarded = self.arrivals;
        let forward = self.machine.forward(now);
        if self.dies_at(Death::Forwarded) {
            return self.crash(Death::Forwarded);
        }
        self.flush()?;
        self.poll()?;
        if forward == Forward::Full {
            self.full_in_a_row += 1;
            self.coverage.outbox_full += 1;
            check!(self.full_in_a_row < MAX_FULL, "forward is never done");
            self.run_is_due = true;
            if self.plan.churn_ms > 0 && self.now_ns < self.plan.heal_ns && self.random.percent(CHANGE_PERCENT) {
                self.act_in(0, Act::Change);
            }
            let wait_ns = self.random.range(1..=self.plan.pause_us) * 1_000;
            self.at(self.now_ns + wait_ns, Event::Run);
            return Ok(());
        }
        self.full_in_a_row = 0;
        self.check_fresh()
    }

    /// Every packet that arrived has been forwarded to each consumer that was ready for it.
    fn check_fresh(&mut self) -> Result<(), Broken> {
        let sound_waits = self.machine.sound_due().is_some();
        // Sound may wait so long; timers are served late.
        let wait_ns = self.plan.sound_wait_ms * 1_000_000 + self.plan.timer_slack_us * 1_000;
        for (source, index, order, came_ns) in std::mem::take(&mut self.fresh) {
            let from = &self.sources[source];
            if sound_waits && !from.plan.is_video() && self.now_ns < came_ns + wait_ns {
                self.coverage.sound_waited += 1;
                self.fresh.push((source, index, order, came_ns));
                continue;
            }
            if !from.is_remembered(index) {
                continue;
            }
            for consumer in self.consumers.iter_mut().filter(|consumer| consumer.source == source) {
                let web = self.peers[consumer.peer].web.as_ref();
                let is_doubtful = web.is_some_and(|web| web.paths.is_doubtful());
                // What came before a producer began to cross, and comes late, does not cross.
                let may_not_cross = self.machine.crossed() > 0
                    && !consumer.is_synced()
                    && from.newest_arrived.is_some_and(|newest| index < newest);
                let is_behind = self.machine.is_behind(ConsumerId(consumer.number));
                if consumer.ready_since_ns.is_some() && !is_doubtful && !may_not_cross && !is_behind {
                    let number = consumer.number;
                    consumer
                        .must_have_sent(from, index, order, self.now_ns)
                        .map_err(|broken| format!("consumer {number} of source {source}: {broken}"))?;
                }
            }
        }
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.ready_since_ns.is_some()) {
            let (number, source) = (consumer.number, consumer.source);
            if self.machine.is_behind(ConsumerId(number)) {
                consumer.need_not_catch_up();
                continue;
            }
            consumer
                .must_have_caught_up(self.now_ns, LATE_NS + self.plan.timer_slack_us * 1_000)
                .map_err(|broken| format!("consumer {number} of source {source}: {broken}"))?;
        }
        Ok(())
    }

    /// Sends what is in the outbox: checks it, then lets the kernel refuse some of it.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        for (path, peer, len, packet) in self.check_outbox()? {
            if self.random.chance_ppm(self.plan.refuse_ppm) {
                self.machine.send_refused(path, 1);
                self.coverage.refused += 1;
                continue;
            }
            let arrivals = self.peers[peer].down.send(self.now_ns, len, &mut self.random);
            for at_ns in arrivals.into_iter().flatten() {
                self.at(at_ns, Event::ToPeer { peer, packet: packet.clone() });
            }
        }
        Ok(())
    }

    /// What is in the outbox is lost with its worker. It has numbers all the same.
    pub(super) fn lose_outbox(&mut self) -> Result<(), Broken> {
        self.check_outbox().map(drop)
    }

    /// Takes out what is in the outbox, and checks it: where it goes, to whom, how long it is.
    fn check_outbox(&mut self) -> Result<Vec<(Path, usize, usize, Delivered)>, Broken> {
        let mut packets = Vec::new();
        self.machine.drain(&mut |path, bytes| packets.push((path, Bytes::copy_from_slice(bytes))));
        let mut leaving = Vec::new();
        for (path, bytes) in packets {
            let Some(socket) = self.socket(path.local) else {
                return Err(format!("sent from endpoint {}, which is closed", path.local.0));
            };
            let len = wire_len(&bytes);
            let (peer, packet, order) = match socket.peer {
                None => {
                    let (peer, packet) = self.check_leaving_webrtc(path, &bytes)?;
                    (peer, packet, order(peer, &bytes))
                }
                Some(peer) => {
                    self.trace.note(self.now_ns, "out", peer as u64, len as u64, fingerprint(&bytes));
                    let packet = self.check_leaving((peer, socket.rtcp), path, &bytes);
                    (peer, packet.map_err(|broken| format!("to peer {peer}: {broken}"))?, (0, 0))
                }
            };
            leaving.push((order, path, peer, len, packet));
        }
        leaving.sort_by_key(|(order, ..)| *order);
        for (_, _, peer, len, packet) in &leaving {
            if let Delivered::Datagram { to, .. } = packet {
                self.trace.note(self.now_ns, "out", *peer as u64, *len as u64, u64::from(to.port()));
            }
        }
        Ok(leaving.into_iter().map(|(_, path, peer, len, packet)| (path, peer, len, packet)).collect())
    }

    pub(super) fn socket(&self, endpoint: EndpointId) -> Option<Socket> {
        self.sockets.get(usize::try_from(endpoint.0).ok()?).copied().flatten()
    }

    /// What the machine tells and wants done.
    pub(super) fn poll(&mut self) -> Result<(), Broken> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                WorkerEvent::RemoteLearnt { transport, remote, rtcp } => self.learnt(transport, remote, rtcp)?,
                WorkerEvent::IceStateChanged { transport, state, tuple } => self.ice_told(transport, state, tuple)?,
                WorkerEvent::DtlsStateChanged { transport, state, detail, .. } => {
                    self.dtls_told(transport, state, &detail)?;
                }
                WorkerEvent::ConsumerSuspended { consumer, suspended } => self.suspended(consumer, suspended)?,
                _ => {}
            }
        }
        self.note_given_up()?;
        while let Some(operation) = self.machine.poll_endpoint_op() {
            match operation {
                EndpointOp::Connect(endpoint, remote) => {
                    let connect = self.plan.connect_sockets;
                    let place = self.sockets.get_mut(endpoint.0 as usize).and_then(Option::as_mut);
                    let Some(socket) = place else { return Err("connects a closed endpoint".to_owned()) };
                    socket.connected = connect.then_some(remote);
                }
                EndpointOp::Authenticated(_) => return Err("authenticates a plain transport's endpoint".to_owned()),
                EndpointOp::Close(endpoint) => {
                    let socket = self.sockets.get_mut(endpoint.0 as usize).and_then(Option::take);
                    let Some(socket) = socket else { return Err("closes an endpoint twice".to_owned()) };
                    let Some(peer) = socket.peer else { return Err("closes the endpoint of all".to_owned()) };
                    check!(self.peers[peer].state == State::Left, "closes an endpoint of peer {peer}");
                    self.socket_by_address.remove(&socket.local);
                }
            }
        }
        Ok(())
    }

    /// Whose packets have waited for too long, if any have since the last look.
    fn note_given_up(&mut self) -> Result<(), Broken> {
        let given_up = self.machine.totals().discards.get(Discard::WaitedTooLong);
        if self.plan.webrtc.is_none() || given_up == std::mem::replace(&mut self.given_up, given_up) {
            return Ok(());
        }
        let now = self.now();
        for consumer in self.consumers.iter_mut().filter(|consumer| !consumer.closed) {
            let object = Object::Consumer(ConsumerId(consumer.number));
            let reply = self.machine.handle_command(now, &Command::ObjectStats { object }, &[]);
            let Ok(Reply::ObjectStats(stats)) = reply else { continue };
            let ObjectStats::Consumer(stats) = *stats else { continue };
            let packets = stats.discards.get(Discard::WaitedTooLong);
            consumer
                .gave_up(&self.sources[consumer.source], packets, self.forwarded, self.now_ns)
                .map_err(|broken| format!("consumer {}: {broken}", consumer.number))?;
        }
        Ok(())
    }

    fn learnt(&mut self, transport: TransportId, remote: SocketAddr, rtcp: bool) -> Result<(), Broken> {
        self.coverage.learnt += 1;
        let at = usize::try_from(transport.0).expect("a peer's number");
        self.trace.note(self.now_ns, "learnt", transport.0, u64::from(rtcp), 0);
        let peer = &mut self.peers[at];
        check!(peer.plan.comedia, "learnt the address of peer {at}, which is not comedia");
        let expected = if rtcp { peer.plan.rtcp } else { peer.plan.rtp };
        check!(remote == expected, "learnt {remote} for peer {at}, which is at {expected}");
        peer.rtcp_connected |= rtcp || peer.plan.mux;
        peer.connected |= !rtcp;
        self.refresh();
        Ok(())
    }

    /// A new socket, under the lowest free number that no waiting datagram bears.
    pub(super) fn open_socket(&mut self, peer: usize, rtcp: bool) -> EndpointId {
        let waiting = |number: usize| self.batch.iter().any(|datagram| datagram.path.local.0 as usize == number);
        let free = |number: &usize| self.sockets.get(*number).is_none_or(Option::is_none) && !waiting(*number);
        let number = (0..).find(free).expect("numbers do not end");
        let ip = match self.peers[peer].plan.rtp {
            SocketAddr::V4(_) => std::net::IpAddr::from([10, 0, 0, 1]),
            SocketAddr::V6(_) => std::net::IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        };
        let local = SocketAddr::new(ip, self.next_port);
        self.next_port += 1;
        self.place_socket(number, Socket { local, peer: Some(peer), rtcp, connected: None });
        EndpointId(u32::try_from(number).expect("few sockets"))
    }

    pub(super) fn place_socket(&mut self, number: usize, socket: Socket) {
        if self.sockets.len() <= number {
            self.sockets.resize(number + 1, None);
        }
        self.sockets[number] = Some(socket);
        self.socket_by_address.insert(socket.local, number);
    }
}
