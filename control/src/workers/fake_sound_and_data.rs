//! What the worker for tests does about observers of sound, direct transports and data: it keeps the identifiers, hears
//! every producer speak as soon as it listens to it, and passes on nothing but what is said to a direct transport.

use std::collections::BTreeMap;

use corecast_wire::{
    Command, CommandError, ConsumerId, ConsumerStats, DataConsumerId, DataConsumerStats, DataProducerId,
    DataProducerStats, Discards, Event, Object, ObjectStats, ProducerId, RtpObserverId, RtpObserverOptions,
    TransportId, Volume,
};

/// How loud every producer is.
pub(crate) const LOUD_DBOV: i8 = -20;

#[derive(Default)]
pub(super) struct SoundAndData {
    observers: BTreeMap<RtpObserverId, RtpObserverOptions>,
    producers: BTreeMap<DataProducerId, (TransportId, String, String)>,
    consumers: BTreeMap<DataConsumerId, (TransportId, DataProducerId)>,
}

fn not_found(kind: &str, id: u64) -> CommandError {
    CommandError::NotFound { kind: kind.into(), id }
}

impl SoundAndData {
    pub(super) fn handle(&mut self, command: Command, events: &mut Vec<Event>) -> Result<(), CommandError> {
        match command {
            Command::CreateRtpObserver { observer, options, .. } => drop(self.observers.insert(observer, options)),
            Command::CloseRtpObserver { observer } => drop(self.observers.remove(&observer)),
            Command::ObserveProducer { observer, producer, .. } => {
                let options = self.observers.get(&observer);
                match options.ok_or_else(|| not_found("rtpObserver", observer.0))? {
                    RtpObserverOptions::AudioLevel { .. } => {
                        let volumes = vec![Volume { producer, dbov: LOUD_DBOV }];
                        events.push(Event::AudioLevels { observer, volumes });
                    }
                    RtpObserverOptions::ActiveSpeaker { .. } => {
                        events.push(Event::DominantSpeaker { observer, producer });
                    }
                }
            }
            Command::SetLoudest { .. } | Command::CreateDirectTransport { .. } | Command::AcceptDataChannel { .. } => {}
            Command::ProduceData { transport, data_producer, options } => {
                self.producers.insert(data_producer, (transport, options.label, options.protocol));
            }
            Command::ConsumeData { transport, data_consumer, data_producer, .. } => {
                self.producers.get(&data_producer).ok_or_else(|| not_found("dataProducer", data_producer.0))?;
                self.consumers.insert(data_consumer, (transport, data_producer));
            }
            Command::CloseDataProducer { data_producer } => {
                self.producers.remove(&data_producer).ok_or_else(|| not_found("dataProducer", data_producer.0))?;
                self.consumers.retain(|_, (_, of)| *of != data_producer);
            }
            Command::CloseDataConsumer { data_consumer } => {
                self.consumers.remove(&data_consumer).ok_or_else(|| not_found("dataConsumer", data_consumer.0))?;
            }
            other => {
                return Err(CommandError::Invalid { field: "command".into(), cause: format!("is unknown: {other:?}") });
            }
        }
        Ok(())
    }

    pub(super) fn stats(&self, object: Object) -> Option<ObjectStats> {
        match object {
            Object::DataProducer(data_producer) => {
                let (transport, label, protocol) = self.producers.get(&data_producer)?.clone();
                Some(ObjectStats::DataProducer(DataProducerStats {
                    data_producer,
                    transport,
                    label,
                    protocol,
                    paused: false,
                    messages_received: 1,
                    bytes_received: 2,
                }))
            }
            Object::DataConsumer(data_consumer) => {
                let (transport, data_producer) = *self.consumers.get(&data_consumer)?;
                Some(ObjectStats::DataConsumer(DataConsumerStats {
                    data_consumer,
                    transport,
                    data_producer,
                    paused: false,
                    messages_sent: 1,
                    bytes_sent: 2,
                    buffered_amount: 0,
                    discards: Discards::default(),
                }))
            }
            _ => None,
        }
    }
}

/// Counters of a consumer that has been sent nothing.
pub(super) fn consumer_stats(consumer: ConsumerId, transport: TransportId, producer: ProducerId) -> ConsumerStats {
    ConsumerStats {
        consumer,
        transport,
        producer,
        ssrc: 1,
        paused: false,
        suspended: false,
        preferred_spatial: 0,
        current_spatial: None,
        limited_by: None,
        packet_count: 0,
        byte_count: 0,
        rtp_byte_count: 0,
        packets_retransmitted: 0,
        nack_count: 0,
        nack_packet_count: 0,
        pli_count: 0,
        fir_count: 0,
        packets_lost: 0,
        fraction_lost: 0,
        jitter: 0,
        round_trip_us: None,
        discards: Discards::default(),
    }
}
