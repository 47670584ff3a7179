//! Commands about data channels, data producers and data consumers.

use corecast_wire::{
    Command, CommandError, ConsumeDataOptions, DataConsumerId, DataProducerId, ProduceDataOptions, TransportId,
};

use super::Worker;
use super::refused::{Applied, exists, invalid, limit, not_found};
use crate::data::{DataConsumer, DataProducer};
use crate::key::{DataConsumerKey, DataProducerKey, TransportKey};
use crate::limits::{
    MAX_ASSOCIATIONS, MAX_CHANNELS_PER_TRANSPORT, MAX_DATA_CONSUMERS, MAX_DATA_CONSUMERS_PER_TRANSPORT,
    MAX_LABEL_BYTES, MAX_SUBCHANNELS,
};
use crate::time::Instant;
use crate::transport::{Channels, Transport};

/// The stream that SCTP cannot use for a channel (RFC 8832 section 6).
const NO_STREAM: u16 = u16::MAX;

impl Worker {
    /// Applies a command about data. `None` if it is about something else.
    pub(super) fn data_command(&mut self, now: Instant, command: &Command) -> Option<Applied> {
        Some(match command {
            Command::ProduceData { transport, data_producer, options } => {
                self.produce_data(now, *transport, *data_producer, options)
            }
            Command::CloseDataProducer { data_producer } => {
                self.data_producer_key(*data_producer).map(|key| self.close_data_producer(key))
            }
            Command::PauseDataProducer { data_producer, paused } => self.pause_data_producer(*data_producer, *paused),
            Command::ConsumeData { transport, data_consumer, data_producer, options } => {
                self.consume_data(now, *transport, *data_consumer, *data_producer, *options)
            }
            Command::CloseDataConsumer { data_consumer } => {
                self.data_consumer_key(*data_consumer).map(|key| self.close_data_consumer(key))
            }
            Command::PauseDataConsumer { data_consumer, paused } => self.pause_data_consumer(*data_consumer, *paused),
            Command::SetBufferedAmountLowThreshold { data_consumer, bytes } => {
                self.set_buffered_amount_low_threshold(now, *data_consumer, *bytes)
            }
            Command::CreateDirectTransport { router, transport } => {
                self.create_direct_transport(now, *router, *transport)
            }
            Command::SendData { data_producer, ppid, payload, to } => {
                self.send_data(now, *data_producer, *ppid, payload, to)
            }
            Command::SetSubchannels { data_consumer, subchannels } => self.set_subchannels(*data_consumer, subchannels),
            Command::SendDataTo { data_consumer, ppid, payload } => {
                self.send_data_to(now, *data_consumer, *ppid, payload)
            }
            Command::AcceptDataChannel { transport, stream } => self.accept_data_channel(now, *transport, *stream),
            Command::CloseDataChannel { transport, stream } => self.close_data_channel(now, *transport, *stream),
            _ => return None,
        })
    }

    fn data_producer_key(&self, id: DataProducerId) -> Applied<DataProducerKey> {
        self.messages.producer_by_id.get(&id).copied().ok_or_else(|| not_found("dataProducer", id.0))
    }

    fn data_consumer_key(&self, id: DataConsumerId) -> Applied<DataConsumerKey> {
        self.messages.consumer_by_id.get(&id).copied().ok_or_else(|| not_found("dataConsumer", id.0))
    }

    fn channels_of(&mut self, id: TransportId) -> Applied<(TransportKey, &mut Channels)> {
        let key = self.transport_key(id)?;
        let channels = self.transports.get_mut(key).and_then(Transport::channels_mut);
        Ok((key, channels.ok_or_else(|| invalid("transportId", "has no data channels (enableSctp)"))?))
    }

    /// The association that a command needs, begun by us if the other side has not.
    fn need_association(&mut self, now: Instant, key: TransportKey) -> Applied {
        let channels = self.transports.get(key).and_then(Transport::channels);
        if channels.is_some_and(|channels| channels.association().is_none()) {
            let full =
                || CommandError::Limit { what: "SCTP associations on a worker".into(), max: MAX_ASSOCIATIONS as u64 };
            self.begin_association(now, key).map_err(|_| full())?;
            if self.transports.get(key).is_some_and(Transport::can_send_sctp) {
                self.connect_association(now, key);
            }
        }
        Ok(())
    }

    fn produce_data(
        &mut self,
        now: Instant,
        transport: TransportId,
        id: DataProducerId,
        options: &ProduceDataOptions,
    ) -> Applied {
        if self.messages.producer_by_id.contains_key(&id) {
            return Err(exists("dataProducer", id.0));
        }
        for (field, text) in [("label", &options.label), ("protocol", &options.protocol)] {
            if text.len() > MAX_LABEL_BYTES {
                return Err(invalid(field, format!("must have at most {MAX_LABEL_BYTES} bytes")));
            }
        }
        if let Some((key, _)) = self.direct_of(transport) {
            return self.produce_direct(key, id, options);
        }
        check_stream(options.stream)?;
        let (key, channels) = self.channels_of(transport)?;
        let count = channels.producer_count();
        let is_pipe = self.transports.get(key).is_some_and(Transport::is_pipe);
        let max = if is_pipe { MAX_DATA_CONSUMERS_PER_TRANSPORT } else { MAX_CHANNELS_PER_TRANSPORT };
        limit(count, max, "data producers on a transport")?;
        let (_, channels) = self.channels_of(transport)?;
        if channels.producer(options.stream).is_some() {
            return Err(invalid("sctpStreamParameters.streamId", "is another data producer's"));
        }
        self.need_association(now, key)?;
        let producer = self.messages.producers.insert(DataProducer::new(id, key, options));
        self.messages.producer_by_id.insert(id, producer);
        let (_, channels) = self.channels_of(transport)?;
        channels.add_producer(options.stream, producer);
        Ok(())
    }

    fn consume_data(
        &mut self,
        now: Instant,
        transport: TransportId,
        id: DataConsumerId,
        producer: DataProducerId,
        options: ConsumeDataOptions,
    ) -> Applied {
        let producer_key = self.data_producer_key(producer)?;
        if self.messages.consumer_by_id.contains_key(&id) {
            return Err(exists("dataConsumer", id.0));
        }
        if options.parameters.max_packet_life_time.is_some() && options.parameters.max_retransmits.is_some() {
            let cause = "maxPacketLifeTime and maxRetransmits exclude each other";
            return Err(invalid("sctpStreamParameters", cause));
        }
        limit(self.messages.consumers.len(), MAX_DATA_CONSUMERS, "data consumers on a worker")?;
        let key = self.transport_key(transport)?;
        let router_of = |key| self.transports.get(key).map(|transport| transport.router());
        let source = self.messages.producers.get(producer_key).map(DataProducer::transport);
        if source.and_then(router_of) != router_of(key) {
            return Err(invalid("dataProducerId", "belongs to another router"));
        }
        if self.direct_of(transport).is_some() {
            return self.consume_direct(key, id, producer_key, options);
        }
        check_stream(options.stream)?;
        let (_, channels) = self.channels_of(transport)?;
        limit(channels.consumers().count(), MAX_DATA_CONSUMERS_PER_TRANSPORT, "data consumers on a transport")?;
        self.need_association(now, key)?;
        let is_pipe = self.transports.get(key).is_some_and(Transport::is_pipe);
        let consumer = DataConsumer::new(id, key, producer_key, options).piping(is_pipe);
        let consumer = self.messages.consumers.insert(consumer);
        self.messages.consumer_by_id.insert(id, consumer);
        let (_, channels) = self.channels_of(transport)?;
        channels.add_consumer(options.stream, consumer);
        if let Some(producer) = self.messages.producers.get_mut(producer_key) {
            producer.add_consumer(consumer);
        }
        Ok(())
    }

    fn pause_data_producer(&mut self, id: DataProducerId, paused: bool) -> Applied {
        let key = self.data_producer_key(id)?;
        if let Some(producer) = self.messages.producers.get_mut(key) {
            producer.set_paused(paused);
        }
        Ok(())
    }

    fn pause_data_consumer(&mut self, id: DataConsumerId, paused: bool) -> Applied {
        let key = self.data_consumer_key(id)?;
        if let Some(consumer) = self.messages.consumers.get_mut(key) {
            consumer.set_paused(paused);
        }
        Ok(())
    }

    fn set_subchannels(&mut self, id: DataConsumerId, subchannels: &[u16]) -> Applied {
        let key = self.data_consumer_key(id)?;
        check_subchannels(subchannels)?;
        if let Some(consumer) = self.messages.consumers.get_mut(key) {
            consumer.set_subchannels(subchannels);
        }
        Ok(())
    }

    fn set_buffered_amount_low_threshold(&mut self, now: Instant, id: DataConsumerId, bytes: u32) -> Applied {
        let key = self.data_consumer_key(id)?;
        let Some(consumer) = self.messages.consumers.get_mut(key) else { return Err(not_found("dataConsumer", id.0)) };
        consumer.tell_low(bytes);
        let (transport, stream) = (consumer.transport(), consumer.stream());
        self.with_association(now, transport, |association| {
            association.set_buffered_amount_low_threshold(stream, bytes);
        });
        Ok(())
    }

    fn accept_data_channel(&mut self, now: Instant, transport: TransportId, stream: u16) -> Applied {
        let (key, channels) = self.channels_of(transport)?;
        if !channels.accept(stream) {
            return Err(not_found("dataChannel", stream.into()));
        }
        self.acknowledge(now, key, stream);
        Ok(())
    }

    fn close_data_channel(&mut self, now: Instant, transport: TransportId, stream: u16) -> Applied {
        let (key, channels) = self.channels_of(transport)?;
        if !channels.streams().contains(&stream) {
            return Err(not_found("dataChannel", stream.into()));
        }
        self.with_association(now, key, |association| association.reset(now, stream));
        self.close_channel(key, stream);
        Ok(())
    }

    /// A stream is no longer in use: its data producer and the data consumers that leave on it are closed.
    pub(super) fn close_channel(&mut self, key: TransportKey, stream: u16) {
        let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) else { return };
        channels.close(stream);
        let (producer, consumers) = (channels.producer(stream), channels.consumers_on(stream));
        producer.into_iter().for_each(|key| self.close_data_producer(key));
        consumers.into_iter().for_each(|key| self.close_data_consumer(key));
    }

    pub(super) fn close_data_producer(&mut self, key: DataProducerKey) {
        let Some(producer) = self.messages.producers.remove(key) else { return };
        self.messages.producer_by_id.remove(&producer.id());
        producer.consumers().iter().for_each(|consumer| self.close_data_consumer(*consumer));
        if let Some(channels) = self.transports.get_mut(producer.transport()).and_then(Transport::channels_mut) {
            channels.remove_producer(producer.stream());
        }
        if self.has_data_channels(producer.transport()) {
            self.leave_stream(producer.transport(), producer.stream());
        }
        if let Some(direct) = self.transports.get_mut(producer.transport()).and_then(Transport::direct_mut) {
            direct.remove_producer(key);
        }
    }

    pub(super) fn close_data_consumer(&mut self, key: DataConsumerKey) {
        let Some(consumer) = self.messages.consumers.remove(key) else { return };
        self.messages.consumer_by_id.remove(&consumer.id());
        if let Some(producer) = self.messages.producers.get_mut(consumer.producer()) {
            producer.remove_consumer(key);
        }
        if let Some(channels) = self.transports.get_mut(consumer.transport()).and_then(Transport::channels_mut) {
            channels.remove_consumer(key);
        }
        self.leave_stream(consumer.transport(), consumer.stream());
        if let Some(direct) = self.transports.get_mut(consumer.transport()).and_then(Transport::direct_mut) {
            direct.remove_consumer(key);
        }
    }
}

pub(super) fn check_subchannels(subchannels: &[u16]) -> Applied {
    if subchannels.len() > MAX_SUBCHANNELS {
        return Err(invalid("subchannels", format!("must be at most {MAX_SUBCHANNELS}")));
    }
    Ok(())
}

fn check_stream(stream: u16) -> Applied {
    if stream == NO_STREAM {
        return Err(invalid("sctpStreamParameters.streamId", "must be below 65535"));
    }
    Ok(())
}
