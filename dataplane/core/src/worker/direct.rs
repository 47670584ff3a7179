//! Direct transports: packets and messages that control sends, and those that it is told.

use corecast_wire::{
    CommandError, ConsumeDataOptions, DataConsumerId, DataProducerId, Discard, Event, ProduceDataOptions, RouterId,
    Subchannels, TransportId,
};

use super::Worker;
use super::connect::NOWHERE;
use super::data_commands::check_subchannels;
use super::refused::{Applied, exists, invalid, limit, not_found};
use crate::consumer::Consumer;
use crate::data::{DataConsumer, DataProducer};
use crate::io::demux::{Protocol, protocol_of};
use crate::io::{Endpoint, EndpointId, Outbox};
use crate::key::{DataConsumerKey, DataProducerKey, TransportKey};
use crate::limits::{MAX_DATA_CONSUMERS_PER_TRANSPORT, MAX_EVENTS, MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES};
use crate::sctp::MessageKind;
use crate::time::Instant;
use crate::transport::{Direct, Flow, Transport};

/// SSRC of our RTCP on a transport without sockets, where nobody else's is.
const RTCP_SSRC: u32 = 1;
/// Longest packet that control may send: the longest payload with the longest header.
const MAX_DIRECT_PACKET_BYTES: usize = MAX_PAYLOAD_BYTES + 512;

impl Worker {
    pub(super) fn create_direct_transport(&mut self, now: Instant, router: RouterId, id: TransportId) -> Applied {
        limit(self.transports.len(), self.config.maxima.transports, "transports on a worker")?;
        if self.transport_by_id.contains_key(&id) {
            return Err(exists("transport", id.0));
        }
        let siblings = self.routers.get_mut(&router).ok_or_else(|| not_found("router", router.0))?;
        let key = self.transports.insert(Transport::new(id, router, RTCP_SSRC, NOWHERE).direct());
        siblings.push(key);
        self.transport_by_id.insert(id, key);
        self.directs += 1;
        if let Some(transport) = self.transports.get_mut(key) {
            transport.set_local(Endpoint { id: EndpointId::direct(key.index()), local: NOWHERE.local });
            transport.set_remote(Flow::Rtp, NOWHERE.local);
        }
        self.arm_reports(now, key);
        Ok(())
    }

    /// The direct transport of this number, if it is one.
    pub(super) fn direct_of(&mut self, id: TransportId) -> Option<(TransportKey, &mut Direct)> {
        let key = self.transport_key(id).ok()?;
        Some((key, self.transports.get_mut(key)?.direct_mut()?))
    }

    /// A packet that control sends for the remote side of a direct transport.
    pub(super) fn send_packet(&mut self, now: Instant, id: TransportId, packet: &[u8], outbox: &mut Outbox) -> Applied {
        let key = self.transport_key(id)?;
        let transport = self.transports.get_mut(key).filter(|transport| transport.direct_ref().is_some());
        let transport = transport.ok_or_else(|| invalid("transportId", "is not a direct transport"))?;
        if packet.len() > MAX_DIRECT_PACKET_BYTES {
            return Err(invalid("packet", format!("must be at most {MAX_DIRECT_PACKET_BYTES} bytes")));
        }
        let Some(path) = transport.path(Flow::Rtp) else { return Ok(()) };
        self.arrived = now;
        if let Err(why) = self.receive(now, key, Flow::Rtp, path, packet, outbox) {
            self.discard(key, why);
        }
        Ok(())
    }

    /// Tells control the packets of transports without sockets that the outbox holds.
    #[inline]
    pub(super) fn tell_direct(&mut self, outbox: &mut Outbox) {
        if self.directs > 0 {
            self.tell_direct_packets(outbox);
        }
    }

    #[cold]
    fn tell_direct_packets(&mut self, outbox: &mut Outbox) {
        for (place, packet) in outbox.take_direct(&self.history) {
            let transport = self.transports.at(place).and_then(|key| self.transports.get(key));
            let Some(transport) = transport.filter(|_| self.events.len() < MAX_EVENTS / 2) else {
                self.discards.count(Discard::OutboxFull);
                continue;
            };
            let ssrc = match protocol_of(&packet) {
                Protocol::Rtp => packet.get(8..12).and_then(|ssrc| ssrc.first_chunk().copied()),
                _ => None,
            };
            let consumer = ssrc.and_then(|ssrc| transport.consumer_of(u32::from_be_bytes(ssrc)));
            let consumer = consumer.and_then(|key| self.consumers.get(key)).map(Consumer::id);
            let transport = transport.id();
            self.push_event(Event::DirectPacket { transport, consumer, packet });
        }
    }

    /// A data producer whose messages control sends. There may be as many as there may be data consumers.
    pub(super) fn produce_direct(
        &mut self,
        key: TransportKey,
        id: DataProducerId,
        options: &ProduceDataOptions,
    ) -> Applied {
        let direct = self.transports.get(key).and_then(Transport::direct_ref);
        let count = direct.map_or(0, |direct| direct.producers().len());
        limit(count, MAX_DATA_CONSUMERS_PER_TRANSPORT, "data producers on a transport")?;
        let producer = self.messages.producers.insert(DataProducer::new(id, key, options));
        self.messages.producer_by_id.insert(id, producer);
        if let Some(direct) = self.transports.get_mut(key).and_then(Transport::direct_mut) {
            direct.add_producer(producer);
        }
        Ok(())
    }

    /// A data consumer whose messages control is told.
    pub(super) fn consume_direct(
        &mut self,
        key: TransportKey,
        id: DataConsumerId,
        producer: DataProducerKey,
        options: ConsumeDataOptions,
    ) -> Applied {
        let direct = self.transports.get(key).and_then(Transport::direct_ref);
        let count = direct.map_or(0, |direct| direct.consumers().len());
        limit(count, MAX_DATA_CONSUMERS_PER_TRANSPORT, "data consumers on a transport")?;
        let consumer = self.messages.consumers.insert(DataConsumer::new(id, key, producer, options));
        self.messages.consumer_by_id.insert(id, consumer);
        if let Some(direct) = self.transports.get_mut(key).and_then(Transport::direct_mut) {
            direct.add_consumer(consumer);
        }
        if let Some(producer) = self.messages.producers.get_mut(producer) {
            producer.add_consumer(consumer);
        }
        Ok(())
    }

    /// A message of a data producer that control sends. Who cannot take it goes without, as when it comes by SCTP.
    pub(super) fn send_data(
        &mut self,
        now: Instant,
        id: DataProducerId,
        ppid: u32,
        payload: &[u8],
        to: &Subchannels,
    ) -> Applied {
        let kind = check_message(ppid, payload)?;
        check_subchannels(&to.any)?;
        let missing = || not_found("dataProducer", id.0);
        let key = self.messages.producer_by_id.get(&id).copied().ok_or_else(missing)?;
        if let Err(why) = self.pass_on(now, key, kind, payload, to) {
            self.discards.count(why);
        }
        Ok(())
    }

    /// A message to one data consumer alone.
    pub(super) fn send_data_to(&mut self, now: Instant, id: DataConsumerId, ppid: u32, payload: &[u8]) -> Applied {
        let kind = check_message(ppid, payload)?;
        let missing = || not_found("dataConsumer", id.0);
        let key = self.messages.consumer_by_id.get(&id).copied().ok_or_else(missing)?;
        self.send_message(now, key, kind, payload).map_err(|why| match why {
            Discard::SendBufferFull => invalid("message", "sctpsendbufferfull"),
            why => invalid("message", why.name()),
        })
    }

    /// Tells control a message for a consumer of a direct transport. False if its transport is another.
    pub(super) fn deliver(&mut self, key: DataConsumerKey, kind: MessageKind, payload: &[u8]) -> bool {
        let Some(consumer) = self.messages.consumers.get_mut(key) else { return false };
        let transport = self.transports.get(consumer.transport());
        if transport.and_then(Transport::direct_ref).is_none() {
            return false;
        }
        if self.events.len() >= MAX_EVENTS {
            self.discards.count(Discard::SendBufferFull);
            return true;
        }
        consumer.count(payload.len());
        let (data_consumer, ppid) = (consumer.id(), kind.identifier());
        self.push_event(Event::DataMessage { data_consumer, ppid, payload: payload.to_vec() });
        true
    }
}

fn check_message(ppid: u32, payload: &[u8]) -> Result<MessageKind, CommandError> {
    if payload.is_empty() || payload.len() > MAX_MESSAGE_BYTES {
        return Err(invalid("message", format!("must be 1 to {MAX_MESSAGE_BYTES} bytes")));
    }
    let kind = MessageKind::of(ppid).filter(|kind| *kind != MessageKind::Dcep);
    kind.ok_or_else(|| invalid("ppid", "must be 51, 53, 56 or 57 (RFC 8831 section 8)"))
}
