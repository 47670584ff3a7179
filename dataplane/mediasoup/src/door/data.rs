//! Requests about data producers and data consumers, whose messages go by SCTP.

use std::collections::BTreeSet;

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::sctp_parameters::SctpStreamParameters;
use corecast_mediasoup_worker::fbs::{data_consumer, data_producer};
use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataConsumerStats, DataProducerId, Object, ObjectStats,
    ProduceDataOptions, Reply, TransportId,
};

use super::objects::{DataConsumer, DataProducer, Named};
use super::transport::now_ms;
use super::{Answer, Answered, Asked, Door, Tells, other_body};
use crate::refusal::{Outcome, Refusal};

/// The last stream that SCTP can use for a channel (RFC 8832 section 6).
const MAX_STREAM: u16 = u16::MAX - 1;

impl Door {
    pub(super) fn produce_data(&mut self, machine: &mut dyn Machine, transport: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportProduceDataRequest(request)) = body else {
            return Err(other_body("TRANSPORT_PRODUCE_DATA"));
        };
        let transport = self.objects.transport_number(transport)?;
        self.objects.check_free("DataProducer", &request.data_producer_id)?;
        let is_direct = request.type_ == data_producer::Type::Direct;
        self.check_data(transport, is_direct)?;
        let parameters = stream_of(is_direct, request.sctp_stream_parameters.as_deref())?;
        let stream = parameters.as_ref().map_or(0, |parameters| parameters.stream_id);
        let others = self.objects.transport(transport)?.data_producers.clone();
        let others = others.iter().filter_map(|id| self.objects.data_producers.get(id)?.stream.as_ref());
        if parameters.is_some() && others.into_iter().any(|other| other.stream_id == stream) {
            return Err(Refusal::Error(format!("a DataProducer uses the same streamId already: {stream}")));
        }
        let (label, protocol) = (request.label.unwrap_or_default(), request.protocol.unwrap_or_default());
        let id = DataProducerId(self.objects.number());
        let options =
            ProduceDataOptions { stream, label: label.clone(), protocol: protocol.clone(), paused: request.paused };
        machine.execute(&Command::ProduceData { transport, data_producer: id, options })?;
        self.objects.add(&request.data_producer_id, Named::DataProducer(id));
        self.objects.transport(transport)?.data_producers.insert(id);
        let producer = DataProducer {
            name: request.data_producer_id,
            transport,
            type_: request.type_,
            stream: parameters,
            label,
            protocol,
            is_paused: request.paused,
            consumers: BTreeSet::new(),
        };
        let dump = dump_data_producer(&producer);
        self.objects.data_producers.insert(id, producer);
        Ok(Some(dump))
    }

    pub(super) fn consume_data(&mut self, machine: &mut dyn Machine, transport: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportConsumeDataRequest(request)) = body else {
            return Err(other_body("TRANSPORT_CONSUME_DATA"));
        };
        let transport = self.objects.transport_number(transport)?;
        self.objects.check_free("DataConsumer", &request.data_consumer_id)?;
        let producer = self.objects.data_producer_number(&request.data_producer_id)?;
        let is_direct = request.type_ == data_consumer::Type::Direct;
        self.check_data(transport, is_direct)?;
        let parameters = stream_of(is_direct, request.sctp_stream_parameters.as_deref())?;
        let stream = parameters.as_ref().map_or(0, |parameters| parameters.stream_id);
        let others = self.objects.transport(transport)?.data_consumers.clone();
        let others = others.iter().filter_map(|id| self.objects.data_consumers.get(id)?.stream.as_ref());
        if parameters.is_some() && others.into_iter().any(|other| other.stream_id == stream) {
            return Err(Refusal::Error(format!("an SCTP DataConsumer with same streamId {stream} already exists")));
        }
        let id = DataConsumerId(self.objects.number());
        let delivered = parameters.as_ref().map_or(corecast_wire::SctpStreamParameters::RELIABLE, delivery);
        let options = ConsumeDataOptions { stream, parameters: delivered, paused: request.paused };
        let command = Command::ConsumeData { transport, data_consumer: id, data_producer: producer, options };
        machine.execute(&command)?;
        let subchannels: BTreeSet<u16> = request.subchannels.unwrap_or_default().into_iter().collect();
        let listened = subchannels.iter().copied().collect();
        let low_threshold = match is_direct {
            true => 0,
            false => self.objects.transport(transport)?.options.sctp_default_stream_buffered_amount_low_threshold,
        };
        let mut commands = vec![Command::SetSubchannels { data_consumer: id, subchannels: listened }];
        if !is_direct {
            commands.push(Command::SetBufferedAmountLowThreshold { data_consumer: id, bytes: low_threshold });
        }
        for command in commands {
            if let Err(error) = machine.execute(&command) {
                machine.execute(&Command::CloseDataConsumer { data_consumer: id })?;
                return Err(error.into());
            }
        }
        self.objects.add(&request.data_consumer_id, Named::DataConsumer(id));
        self.objects.transport(transport)?.data_consumers.insert(id);
        self.objects.data_producer(producer)?.consumers.insert(id);
        let consumer = DataConsumer {
            name: request.data_consumer_id,
            transport,
            producer,
            type_: request.type_,
            stream: parameters,
            label: request.label.unwrap_or_default(),
            protocol: request.protocol.unwrap_or_default(),
            is_paused: request.paused,
            low_threshold,
            subchannels,
        };
        self.objects.data_consumers.insert(id, consumer);
        self.dump_data_consumer(machine, id).map(Some)
    }

    /// A data consumer that sends by SCTP, which is asked for what others have not.
    pub(super) fn sctp_consumer(&mut self, name: &str) -> Outcome<DataConsumerId> {
        let id = self.objects.data_consumer_number(name)?;
        match self.objects.data_consumer(id)?.type_ {
            data_consumer::Type::Sctp => Ok(id),
            data_consumer::Type::Direct => Err(Refusal::wrong("invalid DataConsumer type")),
        }
    }

    /// Refuses data on a transport that carries none of that kind.
    fn check_data(&mut self, id: TransportId, is_direct: bool) -> Outcome<()> {
        let transport = self.objects.transport(id)?;
        match (transport.options.enable_sctp, transport.options.direct) {
            (false, false) => Err(Refusal::Error("SCTP not enabled and not a direct Transport".into())),
            (false, true) if !is_direct => Err(Refusal::wrong("type 'sctp': SCTP not enabled in this Transport")),
            (true, false) if is_direct => Err(Refusal::wrong("type 'direct': not a direct Transport")),
            _ => Ok(()),
        }
    }

    pub(super) fn dump_data_producer(&mut self, name: &str) -> Answered {
        let id = self.objects.data_producer_number(name)?;
        Ok(Some(dump_data_producer(self.objects.data_producer(id)?)))
    }

    /// A data consumer and what waits for it.
    pub(super) fn dump_data_consumer(&mut self, machine: &mut dyn Machine, id: DataConsumerId) -> Outcome<Answer> {
        let stats = sent_data(machine, id)?;
        let consumer = self.objects.data_consumer(id)?.clone();
        let producer = self.objects.data_producer(consumer.producer)?;
        Ok(Answer::DataConsumerDumpResponse(Box::new(data_consumer::DumpResponse {
            id: consumer.name,
            data_producer_id: producer.name.clone(),
            type_: consumer.type_,
            sctp_stream_parameters: consumer.stream.map(Box::new),
            label: consumer.label,
            protocol: consumer.protocol,
            buffered_amount: stats.buffered_amount,
            buffered_amount_low_threshold: consumer.low_threshold,
            paused: consumer.is_paused,
            data_producer_paused: producer.is_paused,
            subchannels: consumer.subchannels.into_iter().collect(),
        })))
    }

    pub(super) fn data_producer_stats(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.data_producer_number(name)?;
        let Reply::ObjectStats(stats) = machine.execute(&Command::ObjectStats { object: Object::DataProducer(id) })?
        else {
            return Err(none());
        };
        let ObjectStats::DataProducer(stats) = *stats else { return Err(none()) };
        Ok(Some(Answer::DataProducerGetStatsResponse(Box::new(data_producer::GetStatsResponse {
            timestamp: now_ms(),
            label: stats.label,
            protocol: stats.protocol,
            messages_received: stats.messages_received,
            bytes_received: stats.bytes_received,
            buffered_amount: 0,
        }))))
    }

    pub(super) fn data_consumer_stats(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.data_consumer_number(name)?;
        let stats = sent_data(machine, id)?;
        let consumer = self.objects.data_consumer(id)?;
        Ok(Some(Answer::DataConsumerGetStatsResponse(Box::new(data_consumer::GetStatsResponse {
            timestamp: now_ms(),
            label: consumer.label.clone(),
            protocol: consumer.protocol.clone(),
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            buffered_amount: stats.buffered_amount,
        }))))
    }

    pub(super) fn buffered_amount(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.sctp_consumer(name)?;
        let buffered_amount = sent_data(machine, id)?.buffered_amount;
        let response = data_consumer::GetBufferedAmountResponse { buffered_amount };
        Ok(Some(Answer::DataConsumerGetBufferedAmountResponse(Box::new(response))))
    }

    pub(super) fn set_low_threshold(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::DataConsumerSetBufferedAmountLowThresholdRequest(request)) = body else {
            return Err(other_body("DATACONSUMER_SET_BUFFERED_AMOUNT_LOW_THRESHOLD"));
        };
        let id = self.sctp_consumer(name)?;
        let bytes = request.threshold;
        machine.execute(&Command::SetBufferedAmountLowThreshold { data_consumer: id, bytes })?;
        self.objects.data_consumer(id)?.low_threshold = bytes;
        Ok(None)
    }

    pub(super) fn pause_data_producer(&mut self, machine: &mut dyn Machine, name: &str, paused: bool) -> Answered {
        let id = self.objects.data_producer_number(name)?;
        machine.execute(&Command::PauseDataProducer { data_producer: id, paused })?;
        let producer = self.objects.data_producer(id)?;
        if std::mem::replace(&mut producer.is_paused, paused) == paused {
            return Ok(None);
        }
        let event = if paused { Tells::DataconsumerDataproducerPause } else { Tells::DataconsumerDataproducerResume };
        for consumer in producer.consumers.clone() {
            let name = self.objects.data_consumer(consumer)?.name.clone();
            self.notify(&name, event, None);
        }
        Ok(None)
    }

    pub(super) fn pause_data_consumer(&mut self, machine: &mut dyn Machine, name: &str, paused: bool) -> Answered {
        let id = self.objects.data_consumer_number(name)?;
        machine.execute(&Command::PauseDataConsumer { data_consumer: id, paused })?;
        self.objects.data_consumer(id)?.is_paused = paused;
        Ok(None)
    }

    pub(super) fn close_data_producer(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportCloseDataProducerRequest(request)) = body else {
            return Err(other_body("TRANSPORT_CLOSE_DATAPRODUCER"));
        };
        let id = self.objects.data_producer_number(&request.data_producer_id)?;
        machine.execute(&Command::CloseDataProducer { data_producer: id })?;
        self.forget_data_producer(id);
        Ok(None)
    }

    pub(super) fn close_data_consumer(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportCloseDataConsumerRequest(request)) = body else {
            return Err(other_body("TRANSPORT_CLOSE_DATACONSUMER"));
        };
        let id = self.objects.data_consumer_number(&request.data_consumer_id)?;
        machine.execute(&Command::CloseDataConsumer { data_consumer: id })?;
        self.forget_data_consumer(id);
        Ok(None)
    }
}

fn dump_data_producer(producer: &DataProducer) -> Answer {
    Answer::DataProducerDumpResponse(Box::new(data_producer::DumpResponse {
        id: producer.name.clone(),
        type_: producer.type_,
        sctp_stream_parameters: producer.stream.clone().map(Box::new),
        label: producer.label.clone(),
        protocol: producer.protocol.clone(),
        paused: producer.is_paused,
    }))
}

/// Counters of a data consumer.
pub(super) fn sent_data(machine: &mut dyn Machine, id: DataConsumerId) -> Outcome<DataConsumerStats> {
    let reply = machine.execute(&Command::ObjectStats { object: Object::DataConsumer(id) })?;
    let Reply::ObjectStats(stats) = reply else { return Err(none()) };
    match *stats {
        ObjectStats::DataConsumer(stats) => Ok(stats),
        _ => Err(none()),
    }
}

/// A stream's parameters as mediasoup dumps them: what is not said follows from the rest, and a limit of 0 is none.
/// Direct transports do without.
fn stream_of(is_direct: bool, given: Option<&SctpStreamParameters>) -> Outcome<Option<SctpStreamParameters>> {
    if is_direct {
        return Ok(None);
    }
    let given = given.ok_or_else(|| Refusal::wrong("missing sctpStreamParameters"))?;
    if given.stream_id > MAX_STREAM {
        return Err(Refusal::wrong(format!("streamId must be at most {MAX_STREAM}")));
    }
    let limit = |limit: Option<u16>| limit.filter(|limit| *limit > 0);
    let (life_time, retransmits) = (limit(given.max_packet_life_time), limit(given.max_retransmits));
    let is_limited = life_time.is_some() || retransmits.is_some();
    if life_time.is_some() && retransmits.is_some() {
        return Err(Refusal::wrong("maxPacketLifeTime and maxRetransmits exclude each other"));
    }
    if given.ordered == Some(true) && is_limited {
        return Err(Refusal::wrong("ordered excludes maxPacketLifeTime and maxRetransmits"));
    }
    Ok(Some(SctpStreamParameters {
        stream_id: given.stream_id,
        ordered: Some(given.ordered.unwrap_or(!is_limited)),
        max_packet_life_time: life_time,
        max_retransmits: retransmits,
    }))
}

fn delivery(stream: &SctpStreamParameters) -> corecast_wire::SctpStreamParameters {
    corecast_wire::SctpStreamParameters {
        ordered: stream.ordered.unwrap_or(true),
        max_packet_life_time: stream.max_packet_life_time,
        max_retransmits: stream.max_retransmits,
    }
}

fn none() -> Refusal {
    Refusal::Error("the worker gave no statistics".into())
}
