//! What control does in a run: joins and leaves, producers and consumers, pauses, commands that must fail; and what
//! must be true in the end.

use corecast_core::{Endpoint, EndpointId};
use corecast_wire::{
    Command, CommandError, ConsumeOptions, ConsumerExtension, ConsumerId, ExtensionMapping, Object, ObjectStats,
    PayloadTypeMapping, PlainTransportOptions, ProducerId, Reply, RouterId, RtxOptions, SpatialLayer, TransportId,
};

use super::consumer::{Broken, Consumer, check};
use super::machine::Machine;
use super::numbers::MS;
use super::sink::Sink;
use super::world::{Act, State, World};

/// How long a consumer may be without media once the links have healed.
const SILENCE_NS: u64 = 1_200 * MS;
/// The same where layers within one encoding are withheld.
const LAYER_SILENCE_NS: u64 = 2_500 * MS;
/// After this time on good links nothing that they carry is suspended.
const RECOVERY_NS: u64 = 4_500 * MS;
/// What probes must be able to leave at to show that there is room for one more picture beside others.
const LEAST_PROBE_BPS: u64 = 2_000_000;
/// SSRC of the server's own RTCP.
pub(super) const SERVER_SSRC: u32 = 0x5E_4E_4E_01;

impl<M: Machine> World<M> {
    pub(super) fn begin(&mut self) -> Result<(), Broken> {
        for router in 0..self.plan.routers {
            self.must(&Command::CreateRouter { router: RouterId(router) })?;
        }
        for at in 0..self.peers.len() {
            let plan = &self.peers[at].plan;
            let (join_ns, leave_ns) = (plan.join_ns, plan.leave_ns);
            self.act_in(join_ns, Act::Join(at));
            if let Some(leave_ns) = leave_ns {
                self.act_in(leave_ns + 1, Act::Leave(at));
            }
        }
        if self.plan.churn_ms > 0 {
            self.act_in(self.plan.churn_ms * MS, Act::Churn);
        }
        if self.plan.hostile {
            self.act_in(100 * MS, Act::Hostile);
        }
        for crash_ns in self.plan.crashes_ns.clone() {
            self.act_in(crash_ns, Act::Crash);
        }
        let (heal_ns, quiet_ns, close_ns) = (self.plan.heal_ns, self.plan.quiet_ns, self.plan.close_ns);
        self.act_in(heal_ns, Act::Heal);
        self.act_in(quiet_ns, Act::Quiet);
        self.act_in(close_ns, Act::Close);
        Ok(())
    }

    pub(super) fn act(&mut self, act: Act) -> Result<(), Broken> {
        match act {
            Act::Media(source) => return self.media(source),
            Act::Tick(peer) => return self.tick(peer),
            Act::Web(peer, act) => return self.web_act(peer, act),
            Act::Crash => return self.plan_death(),
            Act::Hostile => self.hostile(),
            Act::Join(peer) => return self.join(peer),
            Act::Connect(peer) => return self.connect(peer),
            Act::Produce(source) => return self.produce(source),
            Act::Subscribe(peer) => return self.subscribe(peer),
            Act::Leave(peer) => return self.leave(peer),
            Act::HangUp(peer) => return self.hang_up(peer),
            Act::Churn => return self.churn(),
            Act::Change => return self.change(),
            Act::Heal => {
                for peer in &mut self.peers {
                    peer.up.heal();
                    peer.down.heal();
                }
            }
            Act::Quiet => {
                self.check_suspended()?;
                return self.check_alive();
            }
            Act::Close => return self.close(),
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, opened: &[Endpoint]) -> Result<Result<Reply, CommandError>, Broken> {
        let now = self.now();
        self.coverage.between_parts += u64::from(self.full_in_a_row > 0);
        let result = self.machine.handle_command(now, command, opened);
        self.trace.note(self.now_ns, "command", u64::from(result.is_ok()), 0, 0);
        self.flush()?;
        self.poll()?;
        self.refresh();
        Ok(result)
    }

    pub(super) fn must(&mut self, command: &Command) -> Result<(), Broken> {
        match self.command(command, &[])? {
            Ok(Reply::Done) => Ok(()),
            other => Err(format!("{command:?} was answered {other:?}")),
        }
    }

    pub(super) fn must_fail(&mut self, command: &Command, opened: &[Endpoint]) -> Result<(), Broken> {
        let before = self.machine.totals();
        let result = self.command(command, opened)?;
        check!(result.is_err(), "{command:?} was answered {result:?}");
        let after = self.machine.totals();
        let counts = |t: &corecast_core::Totals| (t.routers, t.transports, t.producers, t.consumers);
        check!(counts(&before) == counts(&after), "{command:?} failed and changed something");
        self.coverage.refused_commands += 1;
        Ok(())
    }

    fn join(&mut self, at: usize) -> Result<(), Broken> {
        let plan = self.peers[at].plan.clone();
        if plan.webrtc.is_some() {
            self.join_webrtc(at)?;
            self.begin_media(at);
            return Ok(());
        }
        let mut opened = vec![self.open_socket(at, false)];
        if !plan.mux {
            opened.push(self.open_socket(at, true));
        }
        let endpoint = |id: &EndpointId| Some(Endpoint { id: *id, local: self.socket(*id)?.local });
        let opened: Vec<_> = opened.iter().filter_map(endpoint).collect();
        let locals: Vec<_> = opened.iter().map(|endpoint| endpoint.local).collect();
        let options = PlainTransportOptions {
            rtcp_mux: plan.mux,
            comedia: plan.comedia,
            srtp: plan.srtp.as_ref().map(|(_, theirs)| theirs.clone()),
            ..PlainTransportOptions::new(locals[0].ip(), SERVER_SSRC)
        };
        let transport = TransportId(at as u64);
        let command = Command::CreatePlainTransport { router: RouterId(plan.router), transport, options };
        if self.random.percent(5) {
            let Command::CreatePlainTransport { transport, options, .. } = command.clone() else { return Ok(()) };
            self.must_fail(&Command::CreatePlainTransport { router: RouterId(99), transport, options }, &opened)?;
        }
        let expected = Reply::PlainTransport { local: locals[0], rtcp_local: locals.get(1).copied() };
        let reply = self.command(&command, &opened)?;
        check!(reply == Ok(expected), "{command:?} was answered {reply:?}");
        let peer = &mut self.peers[at];
        peer.state = State::Joined;
        (peer.local, peer.rtcp_local) = (Some(locals[0]), locals.get(1).copied());
        if !plan.comedia || plan.srtp.is_some() {
            self.act_in(plan.connect_after_ns, Act::Connect(at));
        }
        self.begin_media(at);
        Ok(())
    }

    fn begin_media(&mut self, at: usize) {
        for source in self.peers[at].sources.clone() {
            let wait_ns = self.random.range(0..=100) * MS;
            self.act_in(wait_ns, Act::Produce(source));
            self.act_in(wait_ns.saturating_sub(20 * MS), Act::Media(source));
        }
        self.act_in(1, Act::Tick(at));
        if self.peers[at].plan.subscribes {
            let wait_ns = self.random.range(0..=100) * MS;
            self.act_in(wait_ns, Act::Subscribe(at));
        }
    }

    fn connect(&mut self, at: usize) -> Result<(), Broken> {
        let peer = &self.peers[at];
        if peer.state != State::Joined {
            return Ok(());
        }
        if peer.web.is_some() {
            return self.connect_webrtc(at);
        }
        let plan = peer.plan.clone();
        let command = Command::ConnectPlainTransport {
            transport: TransportId(at as u64),
            remote: (!plan.comedia).then_some(plan.rtp),
            rtcp_remote: (!plan.comedia && !plan.mux).then_some(plan.rtcp),
            srtp: plan.srtp.as_ref().map(|(ours, _)| ours.clone()),
        };
        let peer = &mut self.peers[at];
        peer.key_known = true;
        if !plan.comedia {
            (peer.connected, peer.rtcp_connected) = (true, true);
        }
        self.must(&command)?;
        self.must_fail(&command, &[])
    }

    fn produce(&mut self, source: usize) -> Result<(), Broken> {
        let at = self.sources[source].peer;
        if self.peers[at].state != State::Joined {
            return Ok(());
        }
        let options = self.sources[source].plan.options.clone();
        let (transport, producer) = (TransportId(at as u64), ProducerId(source as u64));
        let command = Command::Produce { transport, producer, options };
        self.must(&command)?;
        self.sources[source].produced = true;
        self.must_fail(&command, &[])?;
        for peer in 0..self.peers.len() {
            if self.peers[peer].subscribed {
                self.consume(peer, source)?;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, at: usize) -> Result<(), Broken> {
        if self.peers[at].state != State::Joined {
            return Ok(());
        }
        self.peers[at].subscribed = true;
        for source in 0..self.sources.len() {
            self.consume(at, source)?;
        }
        Ok(())
    }

    /// As many consumers of a source as the plan says, if both are of one room.
    fn consume(&mut self, at: usize, source: usize) -> Result<(), Broken> {
        let from = &self.sources[source];
        let (publisher, receiver) = (&self.peers[from.peer], &self.peers[at]);
        if !from.produced || from.closed || receiver.state != State::Joined || from.peer == at {
            return Ok(());
        }
        if publisher.plan.router != receiver.plan.router {
            let options = self.consume_options(at, source);
            let (transport, consumer) = (TransportId(at as u64), ConsumerId(1 << 40));
            let producer = ProducerId(source as u64);
            return self.must_fail(&Command::Consume { transport, consumer, producer, options }, &[]);
        }
        for _ in 0..self.plan.replicas {
            let options = self.consume_options(at, source);
            let number = self.consumers.len() as u64;
            let sink = Sink::new(self.sources[source].plan.is_video(), self.now_ns);
            let command = Command::Consume {
                transport: TransportId(at as u64),
                consumer: ConsumerId(number),
                producer: ProducerId(source as u64),
                options: options.clone(),
            };
            let key = self.consumers.len();
            self.await_webrtc(at, &options, self.sources[source].plan.is_video());
            self.consumer_by_ssrc.insert((at, options.ssrc), key);
            if let Some(rtx) = &options.rtx {
                self.consumer_by_ssrc.insert((at, rtx.ssrc), key);
            }
            let mut consumer = Consumer::new(number, at, source, options, sink);
            consumer.is_paced = self.peers[at].web.is_some();
            self.consumers.push(consumer);
            self.peers[at].consumers.push(key);
            self.must(&command)?;
        }
        Ok(())
    }

    fn consume_options(&mut self, at: usize, source: usize) -> ConsumeOptions {
        let (peer, from) = (&self.peers[at].plan, &self.sources[source].plan);
        let number = u32::try_from(self.consumers.len()).expect("few consumers");
        let ssrc = 0x4000_0000 + number * 2;
        let mapped = from.mapped_payload_type();
        let renumber = self.random.percent(40);
        let receiver_id = |one: &ExtensionMapping| match &peer.webrtc {
            Some(webrtc) => webrtc.extension(one.extension),
            None => Some(if renumber { 15 - one.mapped_id } else { one.mapped_id }),
        };
        let known = |one: &ExtensionMapping| {
            let receiver_id = receiver_id(one)?;
            Some(ConsumerExtension { extension: one.extension, router_id: one.mapped_id, receiver_id })
        };
        let payload_type = |router: u8| peer.webrtc.as_ref().map_or(router, |webrtc| webrtc.payload_type(router));
        let (media_type, rtx_type) = (payload_type(mapped), payload_type(mapped + 1));
        let mut header_extensions: Vec<_> = from.extensions.iter().filter_map(known).collect();
        let peer_is_webrtc = peer.webrtc.is_some();
        let (extensions, rtx, nack) = (peer.extensions, peer.rtx && from.is_video(), peer.nack && from.is_video());
        header_extensions.retain(|_| extensions && self.random.percent(70));
        let mid = (self.random.percent(50) || peer_is_webrtc).then(|| format!("mid-{number}"));
        let mut first_sequence = || u16::try_from(self.random.range(0..=0x7FFF)).expect("15 bits");
        ConsumeOptions {
            rtx: rtx.then(|| RtxOptions {
                ssrc: ssrc + 1,
                payload_types: vec![(mapped, rtx_type)],
                first_sequence: first_sequence(),
            }),
            header_extensions,
            mid,
            nack,
            first_sequence: first_sequence(),
            paused: self.plan.churn_ms > 0 && self.random.percent(10),
            ..ConsumeOptions::new(
                ssrc,
                vec![PayloadTypeMapping { router: mapped, receiver: media_type }],
                format!("peer-{at}"),
            )
        }
    }

    fn leave(&mut self, at: usize) -> Result<(), Broken> {
        if self.peers[at].state == State::Joined && self.web_leaves(at)? {
            return Ok(());
        }
        self.hang_up(at)
    }

    /// A participant leaves: its transport is closed with everything in it.
    fn hang_up(&mut self, at: usize) -> Result<(), Broken> {
        if self.peers[at].state != State::Joined {
            return Ok(());
        }
        self.forget(at);
        self.must(&Command::CloseTransport { transport: TransportId(at as u64) })
    }

    fn forget(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        peer.state = State::Left;
        peer.subscribed = false;
        for source in peer.sources.clone() {
            self.forget_source(source);
        }
        self.consumers.iter_mut().filter(|consumer| consumer.peer == at).for_each(|consumer| consumer.closed = true);
    }

    fn forget_source(&mut self, source: usize) {
        self.sources[source].closed = true;
        let its = self.consumers.iter_mut().filter(|consumer| consumer.source == source);
        its.for_each(|consumer| consumer.closed = true);
    }

    /// Something changes now and then, as long as the links have not healed.
    fn churn(&mut self) -> Result<(), Broken> {
        if self.now_ns >= self.plan.heal_ns {
            return self.resume_all();
        }
        let wait_ns = self.random.range(1..=2 * self.plan.churn_ms) * MS;
        self.act_in(wait_ns, Act::Churn);
        self.change()
    }

    /// Something changes at random.
    fn change(&mut self) -> Result<(), Broken> {
        let open: Vec<usize> = (0..self.consumers.len()).filter(|at| !self.consumers[*at].closed).collect();
        let producing: Vec<usize> =
            (0..self.sources.len()).filter(|at| self.sources[*at].produced && !self.sources[*at].closed).collect();
        if open.is_empty() || producing.is_empty() {
            return Ok(());
        }
        let (consumer, source) = (self.random.pick(&open), self.random.pick(&producing));
        if self.sources[self.consumers[consumer].source].plan.svc.is_some() && self.random.percent(50) {
            return self.prefer_layers(consumer);
        }
        match self.random.range(0..=12) {
            0..=4 => self.pause_consumer(consumer, !self.consumers[consumer].paused),
            5..=6 => self.pause_source(source, !self.sources[source].paused),
            7 => self.close_consumer(consumer),
            // Another one in its place.
            11 => {
                let at = self.consumers[self.random.pick(&open)].peer;
                self.close_consumer(consumer)?;
                self.consume(at, self.consumers[consumer].source)
            }
            8 => {
                let at = self.consumers[consumer].peer;
                self.consume(at, source)
            }
            9 if producing.len() > 1 => {
                self.forget_source(source);
                self.must(&Command::CloseProducer { producer: ProducerId(source as u64) })
            }
            10 => self.must(&Command::RequestKeyFrame { consumer: ConsumerId(self.consumers[consumer].number) }),
            12 if self.plan.limits_sound => {
                let router = RouterId(self.peers[self.sources[source].peer].plan.router);
                self.limit_sound(router)
            }
            _ => self.must_fail(&Command::CloseConsumer { consumer: ConsumerId(1 << 40) }, &[]),
        }
    }

    /// A receiver would like other layers, where there are any.
    fn prefer_layers(&mut self, at: usize) -> Result<(), Broken> {
        let Some(svc) = self.sources[self.consumers[at].source].plan.svc else { return Ok(()) };
        let mut up_to = |layers: u8| u8::try_from(self.random.range(0..=layers.into())).expect("few");
        let (spatial, temporal) = (SpatialLayer::Quality(up_to(svc.spatial)), Some(up_to(svc.temporal)));
        let consumer = ConsumerId(self.consumers[at].number);
        self.must(&Command::SetPreferredLayers { consumer, spatial, temporal })
    }

    fn close_consumer(&mut self, at: usize) -> Result<(), Broken> {
        self.consumers[at].closed = true;
        self.must(&Command::CloseConsumer { consumer: ConsumerId(self.consumers[at].number) })
    }

    fn resume_all(&mut self) -> Result<(), Broken> {
        for at in 0..self.sources.len() {
            if self.sources[at].paused && !self.sources[at].closed {
                self.pause_source(at, false)?;
            }
        }
        for at in 0..self.consumers.len() {
            if self.consumers[at].paused && !self.consumers[at].closed && self.random.percent(80) {
                self.pause_consumer(at, false)?;
            }
        }
        Ok(())
    }

    fn pause_consumer(&mut self, at: usize, paused: bool) -> Result<(), Broken> {
        self.consumers[at].paused = paused;
        let consumer = ConsumerId(self.consumers[at].number);
        self.must(&Command::PauseConsumer { consumer, paused })
    }

    fn pause_source(&mut self, at: usize, paused: bool) -> Result<(), Broken> {
        self.sources[at].paused = paused;
        self.must(&Command::PauseProducer { producer: ProducerId(at as u64), paused })
    }

    /// So many are to be heard of a room from now on, or all.
    fn limit_sound(&mut self, router: RouterId) -> Result<(), Broken> {
        let speakers = u16::try_from(self.now_ns / MS % 3).expect("small");
        self.is_limited = true;
        self.must(&Command::SetLoudest { router, speakers })
    }

    /// Asks the machine whom it withholds, if it may withhold anybody.
    pub(super) fn find_withheld(&mut self) {
        if self.is_limited {
            self.refresh();
        }
    }

    fn ask_who_is_withheld(&mut self) {
        let now = self.now();
        for (number, source) in self.sources.iter_mut().enumerate().filter(|(_, one)| one.produced && !one.closed) {
            let object = Object::Producer(ProducerId(number as u64));
            let answer = self.machine.handle_command(now, &Command::ObjectStats { object }, &[]);
            let Ok(Reply::ObjectStats(stats)) = answer else { continue };
            if let ObjectStats::Producer(stats) = *stats {
                self.coverage.withheld += u64::from(stats.withheld && !source.withheld);
                source.withheld = stats.withheld;
            }
        }
    }

    /// Notes which consumers are ready to send, and since when. A consumer that was interrupted begins again.
    pub(super) fn refresh(&mut self) {
        self.refresh_webrtc();
        if self.is_limited {
            self.ask_who_is_withheld();
        }
        for consumer in &mut self.consumers {
            let ready = !consumer.paused
                && consumer.suspended_ns.is_none()
                && !consumer.closed
                && self.sources[consumer.source].is_live()
                && self.peers[consumer.peer].connected
                && self.peers[consumer.peer].web.as_ref().is_none_or(|web| web.paths.has_proven());
            if ready && consumer.ready_since_ns.is_none() {
                self.coverage.resumed += u64::from(consumer.media_packets() > 0);
                consumer.begin_era(&self.sources[consumer.source], self.forwarded);
                if self.machine.is_behind(ConsumerId(consumer.number)) {
                    consumer.blur_era();
                }
                consumer.sink.interrupted(self.now_ns);
                consumer.ready_since_ns = Some(self.now_ns);
            } else if !ready {
                consumer.ready_since_ns = None;
            }
        }
    }

    /// The machine says that a path no longer carries a consumer, or does again.
    pub(super) fn suspended(&mut self, consumer: ConsumerId, suspended: bool) -> Result<(), Broken> {
        let found = self.consumers.iter_mut().find(|one| one.number == consumer.0 && !one.closed);
        let Some(found) = found else { return Err(format!("suspended consumer {}, which there is not", consumer.0)) };
        let source = &self.sources[found.source];
        check!(source.plan.is_video(), "suspended consumer {} of sound", consumer.0);
        check!(found.suspended_ns.is_some() != suspended, "suspended consumer {} twice", consumer.0);
        found.suspended_ns = suspended.then_some(self.now_ns);
        self.web.suspended += u64::from(suspended);
        self.refresh();
        Ok(())
    }

    /// The links have been good for a while: what they carry is no longer suspended. Where the path cannot be probed,
    /// what it carries is tried ever more rarely.
    fn check_suspended(&mut self) -> Result<(), Broken> {
        let late = self.consumers.iter().find(|one| {
            let is_wanted = !one.closed && !one.paused && self.sources[one.source].is_live();
            let is_probed = self.plan.probe_bps() >= LEAST_PROBE_BPS || !self.has_pictures(one.peer);
            let in_place_ns = self.reachable_since_ns(one.peer).map(|since| since.max(self.plan.heal_ns));
            let is_soon = in_place_ns.is_none_or(|since| self.now_ns < since + RECOVERY_NS);
            let is_found_out = is_wanted && is_probed && one.takes_padding() && !is_soon;
            is_found_out && one.suspended_ns.is_some_and(|since| since <= self.plan.heal_ns + 500 * MS)
        });
        let Some(Consumer { number, peer, source, .. }) = late else { return Ok(()) };
        let (number, peer, source) = (*number, *peer, *source);
        let now = self.now();
        let trace = Command::Trace { transport: TransportId(peer as u64) };
        let trace = self.machine.handle_command(now, &trace, &[]);
        let who = format!("consumer {number} of source {source} to peer {peer}");
        Err(format!("{who} is suspended, though the links are good again: {trace:#?}"))
    }

    /// The links have been good for a while: every consumer that is ready has media, video from a key frame on.
    fn check_alive(&self) -> Result<(), Broken> {
        for consumer in &self.consumers {
            let Consumer { number, peer, source, .. } = consumer;
            let ready = consumer.ready_since_ns.is_some_and(|since| since <= self.plan.heal_ns + 500 * MS);
            if !ready || !self.is_reachable(self.sources[*source].peer) || !self.is_reachable(*peer) {
                continue;
            }
            check!(consumer.is_synced(), "consumer {number} of source {source} to peer {peer} has not begun to send");
            // A spatial layer that its sender leaves out is waited for.
            let most_ns = if self.sources[*source].plan.svc.is_some() { LAYER_SILENCE_NS } else { SILENCE_NS };
            let recently = consumer.last_sent_ns.is_some_and(|at| self.now_ns - at < most_ns);
            check!(recently, "consumer {number} of source {source} to peer {peer} has fallen silent");
            self.check_alive_webrtc(consumer)?;
        }
        for (at, peer) in self.peers.iter().enumerate() {
            let learnt = peer.connected || peer.web.is_some();
            check!(peer.state != State::Joined || learnt, "peer {at} was never learnt");
        }
        self.check_settled()
    }

    /// A participant is sent pictures.
    fn has_pictures(&self, at: usize) -> bool {
        let mut ready = self.consumers.iter().filter(|one| one.peer == at && one.ready_since_ns.is_some());
        ready.any(|one| self.sources[one.source].plan.is_video())
    }

    /// Everything is closed, by room or by transport.
    fn close(&mut self) -> Result<(), Broken> {
        self.check_noticed()?;
        let by_room = self.random.percent(50);
        for at in 0..self.peers.len() {
            if by_room {
                self.forget(at);
            } else {
                self.hang_up(at)?;
            }
        }
        (0..self.plan.routers).try_for_each(|router| self.must(&Command::CloseRouter { router: RouterId(router) }))
    }

    /// Nothing is left behind, and what was counted adds up.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        for _ in 0..100 {
            let Some(at) = self.machine.next_timeout() else { break };
            self.now_ns = self.now_ns.max(at.as_nanos());
            let now = self.now();
            self.machine.handle_timeout(now);
            self.machine.forward(now);
            self.flush()?;
        }
        check!(self.machine.next_timeout().is_none(), "a timer is left when everything is closed");
        let totals = self.machine.totals();
        let counts = [totals.routers, totals.transports, totals.producers, totals.consumers];
        check!(counts == [0; 4], "left when everything is closed: {counts:?}");
        check!(
            self.sockets.iter().flatten().all(|socket| socket.peer.is_none()),
            "an endpoint is left when everything is closed"
        );
        // One slot may be held ready for the next packet.
        let slots = self.machine.slots_in_use();
        check!(slots <= 1, "{slots} slots of history are left when everything is closed");
        let refused = totals.discards.get(corecast_wire::Discard::SendRefused);
        let expected = self.coverage.refused - self.refused_before + self.machine.refused_between();
        check!(refused == expected, "{refused} refused sends counted of {expected}");
        for consumer in &self.consumers {
            let (number, source) = (consumer.number, &self.sources[consumer.source]);
            if let Some(svc) = source.plan.svc {
                let figures = consumer.check_layers(svc, source);
                let figures = figures.map_err(|broken| format!("consumer {number} of {svc:?}: {broken}"))?;
                self.layers.add(figures);
            }
            self.coverage.consumers += u64::from(consumer.media_packets() > 0);
            self.coverage.repaired += consumer.sink.repaired;
        }
        let wraps = |source: &&super::source::Source| {
            let arrived = source.newest_arrived.unwrap_or_default();
            u64::from(source.plan.first_sequence) + arrived > 0xFFFF
        };
        self.coverage.wrapped = self.sources.iter().filter(wraps).count() as u64;
        Ok(())
    }
}
