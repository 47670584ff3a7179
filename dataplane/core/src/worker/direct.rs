//! Direct transports: messages that control sends to those who consume a data producer, and those that it is told.

use corecast_wire::{
    CommandError, ConsumeDataOptions, DataConsumerId, DataProducerId, Discard, Event, ProduceDataOptions, RouterId,
    Subchannels, TransportId,
};

use super::Worker;
use super::connect::NOWHERE;
use super::data_commands::check_subchannels;
use super::refused::{Applied, exists, invalid, limit, not_found};
use crate::data::{DataConsumer, DataProducer};
use crate::key::{DataConsumerKey, DataProducerKey, TransportKey};
use crate::limits::{MAX_DATA_CONSUMERS_PER_TRANSPORT, MAX_MESSAGE_BYTES, MAX_TRANSPORTS};
use crate::sctp::MessageKind;
use crate::time::Instant;
use crate::transport::{Direct, Transport};

impl Worker {
    pub(super) fn create_direct_transport(&mut self, router: RouterId, id: TransportId) -> Applied {
        limit(self.transports.len(), MAX_TRANSPORTS, "transports on a worker")?;
        if self.transport_by_id.contains_key(&id) {
            return Err(exists("transport", id.0));
        }
        let siblings = self.routers.get_mut(&router).ok_or_else(|| not_found("router", router.0))?;
        let key = self.transports.insert(Transport::new(id, router, 0, NOWHERE).direct());
        siblings.push(key);
        self.transport_by_id.insert(id, key);
        Ok(())
    }

    /// The direct transport of this number, if it is one.
    pub(super) fn direct_of(&mut self, id: TransportId) -> Option<(TransportKey, &mut Direct)> {
        let key = self.transport_key(id).ok()?;
        Some((key, self.transports.get_mut(key)?.direct_mut()?))
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
