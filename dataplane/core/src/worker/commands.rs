//! Commands from control. Each is checked first and applied then, completely or not at all. Closing something closes
//! what is inside it.

use std::net::SocketAddr;

use corecast_wire::{
    Command, CommandError, ConsumeOptions, ConsumerId, Discard, FormerSsrc, PlainTransportOptions, ProduceOptions,
    ProducerId, Reply, RouterId, SrtpParameters, TransportId,
};

use super::checks::{check_consume, check_produce, check_remotes, security};
use super::refused::{Applied, exists, invalid, limit, not_found};
use super::resolve::check_names;
use super::{Owner, Worker};
use crate::consumer::Consumer;
use crate::io::{Endpoint, EndpointOp, Outbox};
use crate::key::{ConsumerKey, ProducerKey, StreamKey, TransportKey, take_out};
use crate::media::{KeyFrameRequests, Producer, Stream};
use crate::memory::{Name, What};
use crate::srtp::Opener;
use crate::time::Instant;
use crate::transport::{Flow, Inbound, Transport};

impl Worker {
    /// Applies a command completely or not at all. `opened` are the endpoints that the shell has opened for it, in the
    /// order RTP, RTCP; on an error the shell closes them again.
    ///
    /// # Errors
    /// Every error leaves the machine as it was.
    pub fn handle_command(
        &mut self,
        now: Instant,
        command: &Command,
        opened: &[Endpoint],
        outbox: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        self.blame.rest();
        let result = self.apply(now, command, opened, outbox);
        self.tell_direct(outbox);
        result
    }

    fn apply(
        &mut self,
        now: Instant,
        command: &Command,
        opened: &[Endpoint],
        outbox: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        if let Some(applied) = self.data_command(now, command) {
            return applied.map(|()| Reply::Done);
        }
        if let Some(answered) = self.answer(now, command) {
            return answered;
        }
        if let Some(applied) = self.sound_command(now, command) {
            return applied.map(|()| Reply::Done);
        }
        if let Some(reply) = self.poison_command(now, command) {
            return Ok(reply);
        }
        match command {
            Command::CreatePlainTransport { router, transport, options } => {
                return self.create_plain_transport(now, *router, *transport, options, opened);
            }
            Command::CreateRouter { router } => self.create_router(*router)?,
            Command::CloseRouter { router } => self.close_router(now, *router, outbox)?,
            Command::ConnectPlainTransport { transport, remote, rtcp_remote, srtp } => {
                self.connect_plain_transport(now, *transport, *remote, *rtcp_remote, srtp.as_ref())?;
            }
            Command::RekeyPlainTransport { transport, srtp } => self.rekey_plain_transport(*transport, srtp)?,
            Command::SendPacket { transport, packet } => self.send_packet(now, *transport, packet, outbox)?,
            Command::CloseTransport { transport } => {
                let key = self.transport_key(*transport)?;
                self.say_goodbye(now, key, outbox);
                self.close_transport(key);
            }
            Command::Produce { transport, producer, options } => self.produce(now, *transport, *producer, options)?,
            Command::CloseProducer { producer } => self.close_producer(self.producer_key(*producer)?),
            Command::PauseProducer { producer, paused } => self.pause_producer(now, *producer, *paused, outbox)?,
            Command::Consume { transport, consumer, producer, options } => {
                self.consume(now, *transport, *consumer, *producer, options, outbox)?;
            }
            Command::MoveConsumer { consumer, producer } => self.move_consumer(now, *consumer, *producer, outbox)?,
            Command::CloseConsumer { consumer } => self.close_consumer(self.consumer_key(*consumer)?),
            Command::PauseConsumer { consumer, paused } => self.pause_consumer(now, *consumer, *paused, outbox)?,
            Command::RequestKeyFrame { consumer } => {
                let key = self.consumer_key(*consumer)?;
                self.want_key_frame_for(now, key, outbox);
            }
            Command::SetPriority { consumer, priority } => self.set_priority(now, *consumer, *priority, outbox)?,
            Command::SetPreferredLayers { consumer, spatial, temporal } => {
                self.set_preferred_layers(now, *consumer, (*spatial, *temporal), outbox)?;
            }
            Command::CreateWebRtcTransport { router, transport, options } => {
                self.create_webrtc_transport(*router, *transport, options)?;
            }
            Command::ConnectWebRtcTransport { transport, dtls } => {
                self.connect_webrtc_transport(now, *transport, dtls, outbox)?;
            }
            Command::SetMaxIncomingBitrate { transport, bps } => self.set_max_incoming_bitrate(*transport, *bps)?,
            Command::SetOutgoingBitrates { transport, outgoing } => {
                self.set_outgoing_bitrates(now, *transport, outgoing)?;
            }
            Command::RestartIce { transport, ice } => self.restart_ice(*transport, ice)?,
            // Those of the shell; questions and those about data have been answered.
            _ => return Err(invalid("command", "is the shell's to answer")),
        }
        Ok(Reply::Done)
    }

    /// Answers a question, or one of those commands that change what is told alone; nothing if it is another.
    fn answer(&mut self, now: Instant, command: &Command) -> Option<Result<Reply, CommandError>> {
        Some(match command {
            Command::Stats { from } => Ok(Reply::Stats(self.stats_page(now, *from))),
            Command::ObjectStats { object } => {
                self.object_stats(now, *object).map(|stats| Reply::ObjectStats(Box::new(stats)))
            }
            Command::Silences { producers } => self.silences(now, producers).map(Reply::Silences),
            Command::Trace { transport } => self.trace(now, *transport).map(Reply::Trace),
            Command::TraceProducer { producer, events } => {
                self.trace_producer(*producer, *events).map(|()| Reply::Done)
            }
            Command::TraceProbes { transport, traced } => self.trace_probes(*transport, *traced).map(|()| Reply::Done),
            Command::TraceConsumer { consumer, events } => {
                self.trace_consumer(*consumer, *events).map(|()| Reply::Done)
            }
            _ => return None,
        })
    }

    pub(crate) fn transport_key(&self, id: TransportId) -> Applied<TransportKey> {
        self.transport_by_id.get(&id).copied().ok_or_else(|| not_found("transport", id.0))
    }

    fn producer_key(&self, id: ProducerId) -> Applied<ProducerKey> {
        self.producer_by_id.get(&id).copied().ok_or_else(|| not_found("producer", id.0))
    }

    pub(crate) fn consumer_key(&self, id: ConsumerId) -> Applied<ConsumerKey> {
        self.consumer_by_id.get(&id).copied().ok_or_else(|| not_found("consumer", id.0))
    }

    fn create_router(&mut self, id: RouterId) -> Applied {
        if self.routers.contains_key(&id) {
            return Err(exists("router", id.0));
        }
        limit(self.routers.len(), self.config.maxima.routers, "routers on a worker")?;
        self.routers.insert(id, Vec::new());
        Ok(())
    }

    fn close_router(&mut self, now: Instant, id: RouterId, outbox: &mut Outbox) -> Applied {
        let transports = self.routers.remove(&id).ok_or_else(|| not_found("router", id.0))?;
        for key in transports {
            self.say_goodbye(now, key, outbox);
            self.close_transport(key);
        }
        self.close_observers_of(id);
        self.forget_loudest(id);
        Ok(())
    }

    pub(super) fn create_plain_transport(
        &mut self,
        now: Instant,
        router: RouterId,
        id: TransportId,
        options: &PlainTransportOptions,
        opened: &[Endpoint],
    ) -> Applied<Reply> {
        limit(self.transports.len(), self.config.maxima.transports, "transports on a worker")?;
        if self.transport_by_id.contains_key(&id) {
            return Err(exists("transport", id.0));
        }
        if options.srtp.is_some() {
            self.check_number(Name::new(What::NextRtcpOut, id.0, 0))?;
        }
        let siblings = self.routers.get_mut(&router).ok_or_else(|| not_found("router", router.0))?;
        let (local, rtcp_local) = match (opened, options.rtcp_mux) {
            ([local], true) => (*local, None),
            ([local, rtcp_local], false) => (*local, Some(*rtcp_local)),
            _ => return Err(invalid("rtcpMux", "needs another number of endpoints than were opened")),
        };
        let security = options.srtp.as_ref().map(|srtp| security(srtp, &mut self.words, id)).transpose()?;
        let mut transport = Transport::new(id, router, options.rtcp_ssrc, local);
        transport.keep(&mut self.words);
        let transport =
            transport.plain(options.comedia, rtcp_local, security).piping(options.pipe).with_sctp(options.sctp);
        let endpoints: Vec<_> = transport.endpoints().collect();
        let key = self.transports.insert(transport);
        siblings.push(key);
        self.transport_by_id.insert(id, key);
        for (endpoint, flow) in endpoints {
            self.own(endpoint, Some(Owner::Plain(key, flow)));
        }
        self.arm_reports(now, key);
        Ok(Reply::PlainTransport { local: local.local, rtcp_local: rtcp_local.map(|endpoint| endpoint.local) })
    }

    fn rekey_plain_transport(&mut self, id: TransportId, srtp: &SrtpParameters) -> Applied {
        let key = self.transport_key(id)?;
        let Some(transport) = self.transports.get_mut(key) else { return Err(not_found("transport", id.0)) };
        if transport.webrtc().is_some() || transport.security().is_none() {
            return Err(invalid("srtpParameters", "the transport was made without enableSrtp"));
        }
        if transport.is_connected() {
            return Err(CommandError::AlreadyConnected);
        }
        let security = security(srtp, &mut self.words, id)?;
        transport.set_security(security);
        Ok(())
    }

    fn connect_plain_transport(
        &mut self,
        now: Instant,
        id: TransportId,
        remote: Option<SocketAddr>,
        rtcp_remote: Option<SocketAddr>,
        srtp: Option<&SrtpParameters>,
    ) -> Applied {
        let key = self.transport_key(id)?;
        let Some(transport) = self.transports.get_mut(key) else { return Err(not_found("transport", id.0)) };
        if transport.webrtc().is_some() {
            return Err(invalid("transportId", "is a WebRTC transport: it is connected with dtlsParameters"));
        }
        if transport.direct_ref().is_some() {
            return Err(invalid("transportId", "is a direct transport, which is never connected"));
        }
        if transport.is_connected() {
            return Err(CommandError::AlreadyConnected);
        }
        check_remotes(transport, remote, rtcp_remote)?;
        let opener = match (transport.security(), srtp) {
            (None, None) => None,
            (None, Some(_)) => return Err(invalid("srtpParameters", "the transport was made without enableSrtp")),
            (Some(_), None) => {
                return Err(invalid("srtpParameters", "missing: the transport was made with enableSrtp"));
            }
            (Some(security), Some(srtp)) if security.suite() != srtp.suite => {
                return Err(invalid("srtpParameters.cryptoSuite", format!("must be {}", security.suite().name())));
            }
            (Some(_), Some(srtp)) => {
                Some(Opener::new(srtp).map_err(|error| invalid("srtpParameters.keyBase64", error.to_string()))?)
            }
        };
        if let (Some(security), Some(mut opener)) = (transport.security_mut(), opener) {
            opener.follow(&mut self.words, id);
            security.set_opener(opener);
        }
        transport.set_connected();
        let rtcp_local = transport.rtcp_local();
        for (flow, endpoint, remote) in
            [(Flow::Rtp, Some(transport.local()), remote), (Flow::Rtcp, rtcp_local, rtcp_remote)]
        {
            if let (Some(endpoint), Some(remote)) = (endpoint, remote) {
                transport.set_remote(flow, remote);
                self.endpoint_ops.push_back(EndpointOp::Connect(endpoint.id, remote));
            }
        }
        self.connect_association(now, key);
        Ok(())
    }

    pub(crate) fn close_transport(&mut self, key: TransportKey) {
        self.close_channels(key);
        let Some(transport) = self.transports.get_mut(key) else { return };
        // Taken out of the lists here, not one by one; the newest first, which their producers find soonest.
        let (producers, consumers) = transport.take_media();
        producers.into_iter().for_each(|key| self.close_producer(key));
        consumers.into_iter().rev().for_each(|key| self.close_consumer(key));
        let Some(transport) = self.transports.remove(key) else { return };
        self.transport_by_id.remove(&transport.id());
        self.directs -= usize::from(transport.direct_ref().is_some());
        if let Some(siblings) = self.routers.get_mut(&transport.router()) {
            take_out(siblings, |sibling| *sibling == key);
        }
        if let Some(webrtc) = transport.webrtc() {
            self.close_webrtc(key, webrtc);
        }
        for (endpoint, _) in transport.endpoints() {
            self.own(endpoint, None);
            self.endpoint_ops.push_back(EndpointOp::Close(endpoint));
        }
    }

    fn produce(&mut self, now: Instant, transport: TransportId, id: ProducerId, options: &ProduceOptions) -> Applied {
        let transport_key = self.transport_key(transport)?;
        if self.producer_by_id.contains_key(&id) {
            return Err(exists("producer", id.0));
        }
        let Some(transport) = self.transports.get_mut(transport_key) else {
            return Err(not_found("transport", transport.0));
        };
        let maxima = &self.config.maxima;
        limit(transport.producers().len(), transport.maxima(maxima).0, "producers on a transport")?;
        check_produce(transport, options)?;
        check_names(transport, &self.producers, options, maxima)?;
        if !self.history.has_room(options.kind, options.encodings.len()) {
            let max = self.history.max_streams(options.kind);
            return Err(CommandError::Limit {
                what: "streams with a share of history on a worker".into(),
                max: max as u64,
            });
        }
        let key = self.producers.insert(Box::new(Producer::new(id, transport_key, options)));
        for (place, encoding) in (0..).zip(&options.encodings) {
            let mut stream = Stream::new((key, transport.id()), options.kind, (place, encoding));
            stream.keep(&mut self.words, id, now);
            *stream.key_frames() = KeyFrameRequests::every(options.key_frame_request_delay_ms);
            if options.encodings.len() > 1 {
                stream = stream.among_others();
            }
            let ssrcs = stream.ssrcs();
            let stream = self.streams.insert(Box::new(stream));
            for (ssrc, rtx) in ssrcs {
                transport.add_inbound(Inbound { ssrc, stream, rtx });
            }
            if let Some(producer) = self.producers.get_mut(key) {
                producer.add_stream(stream);
            }
        }
        transport.add_producer(key);
        self.producer_by_id.insert(id, key);
        self.rank_producer(key);
        self.arm_reports(now, transport_key);
        Ok(())
    }

    pub(crate) fn close_producer(&mut self, key: ProducerKey) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        // Taken out of the lists here, not one by one.
        let consumers = producer.take_consumers();
        for stream in producer.streams() {
            if let Some(stream) = self.streams.get_mut(*stream) {
                stream.clear_subscribers();
            }
        }
        consumers.into_iter().for_each(|key| self.part(key));
        let Some(producer) = self.producers.remove(key) else { return };
        self.producer_by_id.remove(&producer.id());
        self.hear_end(key, producer.observers());
        for key in producer.streams() {
            if let Some(mut stream) = self.streams.remove(*key) {
                stream.close_history(&mut self.history);
            }
        }
        self.fresh.retain(|key| !producer.streams().contains(key));
        producer.streams().iter().for_each(|key| self.gather.forget(*key));
        self.round.retain(|key| !producer.streams().contains(key));
        if let Some(transport) = self.transports.get_mut(producer.transport()) {
            let (id, left) = (transport.id(), transport.remove_producer(key, producer.streams()));
            self.push_ssrcs(id, left, FormerSsrc::Left);
        }
    }

    fn pause_producer(&mut self, now: Instant, id: ProducerId, paused: bool, outbox: &mut Outbox) -> Applied {
        let key = self.producer_key(id)?;
        let Some(producer) = self.producers.get_mut(key) else { return Err(not_found("producer", id.0)) };
        if !producer.set_paused(paused) {
            return Ok(());
        }
        producer.set_layers_dirty();
        self.hear_pause(key);
        let Some(producer) = self.producers.get_mut(key) else { return Err(not_found("producer", id.0)) };
        // What came during a pause was meant for nobody, and what a round has not sent yet no longer is.
        for stream in producer.streams() {
            if let Some(stream) = self.streams.get_mut(*stream) {
                stream.forget_key_frame();
                self.discards.add(Discard::ProducerPaused, stream.round().len() as u64);
                stream.end_round();
            }
        }
        for consumer in producer.consumers() {
            if let Some(consumer) = self.consumers.get_mut(*consumer) {
                consumer.resynchronise();
            }
        }
        if !paused {
            self.want_awaited(now, key, outbox);
        }
        Ok(())
    }

    fn consume(
        &mut self,
        now: Instant,
        transport: TransportId,
        id: ConsumerId,
        producer: ProducerId,
        options: &ConsumeOptions,
        outbox: &mut Outbox,
    ) -> Applied {
        let (transport_key, producer_key) = (self.transport_key(transport)?, self.producer_key(producer)?);
        if self.consumer_by_id.contains_key(&id) {
            return Err(exists("consumer", id.0));
        }
        limit(self.consumers.len(), self.config.maxima.consumers, "consumers on a worker")?;
        self.check_number(Name::new(What::NextOut, id.0, 0))?;
        self.rank_layers(producer_key);
        let Some(source) = self.producers.get(producer_key) else { return Err(not_found("producer", producer.0)) };
        let source_router = self.transports.get(source.transport()).map(|transport| transport.router());
        let chosen = options.encoding.map_or_else(|| source.best(), |encoding| source.encoding(encoding));
        let missing = || invalid("encoding", "the producer has no such encoding");
        let (stream, highest_layer) = chosen.ok_or_else(missing)?;
        let Some(transport) = self.transports.get_mut(transport_key) else {
            return Err(not_found("transport", transport.0));
        };
        if source_router != Some(transport.router()) {
            return Err(invalid("producerId", "belongs to another router"));
        }
        let maxima = &self.config.maxima;
        limit(transport.consumers().len(), maxima.consumers_per_transport, "consumers on a transport")?;
        check_consume(transport, options, maxima)?;
        let from = (producer_key, stream, highest_layer);
        let mut consumer = Consumer::new(id, transport_key, from, source, options);
        consumer.keep(&mut self.words, |place| {
            let key = *source.streams().get(usize::from(place))?;
            let last = || self.streams.get(key)?.last_before(now, self.before?, source.clock_rate_hz());
            Some((key, last()))
        });
        let key = self.consumers.insert(consumer);
        transport.add_consumer(key, std::iter::once(options.ssrc).chain(options.rtx.as_ref().map(|rtx| rtx.ssrc)));
        self.consumer_by_id.insert(id, key);
        self.arm_reports(now, transport_key);
        self.expect_feedback(now, key);
        self.begin_consuming(now, key, (producer_key, stream), outbox);
        Ok(())
    }

    /// A consumer is of this producer from now on.
    fn begin_consuming(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        (producer, stream): (ProducerKey, StreamKey),
        outbox: &mut Outbox,
    ) {
        if let Some(producer) = self.producers.get_mut(producer) {
            producer.add_consumer(key);
        }
        self.subscribe(key, stream);
        self.take_layer(now, key);
        self.want_key_frame_for(now, key, outbox);
        self.reallocate_of(now, key, outbox);
    }

    fn move_consumer(&mut self, now: Instant, id: ConsumerId, producer: ProducerId, outbox: &mut Outbox) -> Applied {
        let (key, producer_key) = (self.consumer_key(id)?, self.producer_key(producer)?);
        self.rank_layers(producer_key);
        let Some(source) = self.producers.get(producer_key) else { return Err(not_found("producer", producer.0)) };
        let Some(consumer) = self.consumers.get_mut(key) else { return Err(not_found("consumer", id.0)) };
        if self.producers.get(consumer.producer()).is_some() {
            return Err(invalid("consumerId", "has a producer still"));
        }
        let router_of = |key| self.transports.get(key).map(|transport| transport.router());
        if router_of(source.transport()) != router_of(consumer.transport()) {
            return Err(invalid("producerId", "belongs to another router"));
        }
        if !consumer.can_take(source) {
            return Err(invalid("producerId", "sends a codec that the consumer has no payload type for"));
        }
        let (stream, highest_layer) = source.best().ok_or_else(|| not_found("producer", producer.0))?;
        consumer.follow((producer_key, stream, highest_layer), source);
        self.begin_consuming(now, key, (producer_key, stream), outbox);
        Ok(())
    }

    /// The producer of a consumer closes, and the consumer with it, unless it outlives it.
    fn part(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        if !consumer.outlives_producer() {
            self.close_consumer(key);
            return;
        }
        let last = self.streams.get(consumer.last_stream()).filter(|_| consumer.has_begun());
        consumer.part(last.map(|stream| (&**stream, stream.last_reception(&self.history))));
    }

    pub(crate) fn close_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else { return };
        self.consumer_by_id.remove(&consumer.id());
        if let Some(producer) = self.producers.get_mut(consumer.producer()) {
            producer.remove_consumer(key);
            for stream in producer.streams() {
                if let Some(stream) = self.streams.get_mut(*stream) {
                    stream.remove_subscriber(key);
                }
            }
        }
        if let Some(transport) = self.transports.get_mut(consumer.transport()) {
            let (id, sent) = (transport.id(), transport.remove_consumer(key, consumer.ssrcs()));
            self.push_ssrcs(id, sent, FormerSsrc::Sent);
        }
    }

    fn pause_consumer(&mut self, now: Instant, id: ConsumerId, paused: bool, outbox: &mut Outbox) -> Applied {
        let key = self.consumer_key(id)?;
        let Some(consumer) = self.consumers.get_mut(key) else { return Err(not_found("consumer", id.0)) };
        if consumer.set_paused(paused) {
            if let Some(producer) = self.producers.get_mut(consumer.producer()) {
                producer.set_layers_dirty();
            }
            self.want_again(now, key);
            self.want_key_frame_for(now, key, outbox);
        }
        // Also what it was asked to pause for, it may be sent again only if that is looked at.
        self.reallocate_of(now, key, outbox);
        Ok(())
    }
}
