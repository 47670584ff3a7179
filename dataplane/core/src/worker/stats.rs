//! Counters of every object, a page at a time; and for how long producers have been silent.

use corecast_wire::{
    ConsumerId, DataConsumerId, DataProducerId, MAX_SILENCES, Object, ObjectStats, ProducerId, ProducerStats, Silence,
    StatsPage, StreamStats, TransportId,
};

use super::Worker;
use super::refused::{Applied, at_most, not_found};
use crate::consumer::Consumer;
use crate::data::{DataConsumer, DataProducer};
use crate::key::{StreamKey, TransportKey};
use crate::limits::STATS_PAGE_OBJECTS;
use crate::media::Producer;
use crate::time::Instant;

impl Worker {
    /// The page that begins with the first object at or after `from`: transports, then producers, then consumers.
    pub(crate) fn stats_page(&self, now: Instant, from: Option<Object>) -> StatsPage {
        let from = from.unwrap_or(Object::Transport(TransportId(0)));
        // The first of each kind that may be on the page: the cursor, if it is of that kind, all of those kinds behind
        // its own, and none of those before.
        let (all, none) = (0, u64::MAX);
        let (transport, [producer, consumer, data_producer, data_consumer]) = match from {
            Object::Transport(id) => (Some(id), [all; 4]),
            Object::Producer(id) => (None, [id.0, all, all, all]),
            Object::Consumer(id) => (None, [none, id.0, all, all]),
            Object::DataProducer(id) => (None, [none, none, id.0, all]),
            Object::DataConsumer(id) => (None, [none, none, none, id.0]),
        };
        let transports = transport.into_iter().flat_map(|id| self.transport_by_id.range(id..)).map(|(id, key)| {
            (
                Object::Transport(*id),
                self.transports.get(*key).map(|transport| ObjectStats::Transport(transport.stats(now))),
            )
        });
        let producers = self.producer_by_id.range(ProducerId(producer)..).map(|(id, key)| {
            (Object::Producer(*id), self.producers.get(*key).map(|producer| self.producer_stats(now, producer)))
        });
        let consumers = self.consumer_by_id.range(ConsumerId(consumer)..).map(|(id, key)| {
            (Object::Consumer(*id), self.consumers.get(*key).map(|consumer| self.consumer_stats(consumer)))
        });
        let data_producers = self.messages.producer_by_id.range(DataProducerId(data_producer)..).map(|(id, key)| {
            (Object::DataProducer(*id), self.messages.producers.get(*key).map(|one| self.data_producer_stats(one)))
        });
        let data_consumers = self.messages.consumer_by_id.range(DataConsumerId(data_consumer)..).map(|(id, key)| {
            (Object::DataConsumer(*id), self.messages.consumers.get(*key).map(|one| self.data_consumer_stats(one)))
        });
        let mut page = StatsPage::default();
        for (object, stats) in transports.chain(producers).chain(consumers).chain(data_producers).chain(data_consumers)
        {
            if page.objects.len() == STATS_PAGE_OBJECTS {
                page.next = Some(object);
                break;
            }
            page.objects.extend(stats);
        }
        page
    }

    /// Counters of one object.
    pub(crate) fn object_stats(&self, now: Instant, object: Object) -> Applied<ObjectStats> {
        let (kind, id, stats) = match object {
            Object::Transport(id) => {
                let found = self.transport_by_id.get(&id).and_then(|key| self.transports.get(*key));
                ("transport", id.0, found.map(|transport| ObjectStats::Transport(transport.stats(now))))
            }
            Object::Producer(id) => {
                let found = self.producer_by_id.get(&id).and_then(|key| self.producers.get(*key));
                ("producer", id.0, found.map(|producer| self.producer_stats(now, producer)))
            }
            Object::Consumer(id) => {
                let found = self.consumer_by_id.get(&id).and_then(|key| self.consumers.get(*key));
                ("consumer", id.0, found.map(|consumer| self.consumer_stats(consumer)))
            }
            Object::DataProducer(id) => {
                let found = self.messages.producer_by_id.get(&id).and_then(|key| self.messages.producers.get(*key));
                ("dataProducer", id.0, found.map(|producer| self.data_producer_stats(producer)))
            }
            Object::DataConsumer(id) => {
                let found = self.messages.consumer_by_id.get(&id).and_then(|key| self.messages.consumers.get(*key));
                ("dataConsumer", id.0, found.map(|consumer| self.data_consumer_stats(consumer)))
            }
        };
        stats.ok_or_else(|| not_found(kind, id))
    }

    /// For how long nothing has come of each of these.
    pub(crate) fn silences(&self, now: Instant, producers: &[ProducerId]) -> Applied<Vec<Silence>> {
        at_most(producers.len(), MAX_SILENCES, "producers to ask about at once")?;
        let of = |id: &ProducerId| self.producer_by_id.get(id).and_then(|key| self.producers.get(*key));
        Ok(producers.iter().map(|id| of(id).map_or_else(Silence::default, |one| self.silence(now, one))).collect())
    }

    fn silence(&self, now: Instant, producer: &Producer) -> Silence {
        let streams = producer.streams().iter().filter_map(|key| self.streams.get(*key));
        let webrtc = self.transports.get(producer.transport()).and_then(|transport| transport.webrtc());
        let since = |at: Instant| u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX);
        Silence {
            media_ms: streams.filter_map(|stream| stream.last_arrival()).max().map(since),
            life_ms: webrtc.and_then(|webrtc| webrtc.ice().last_sign_of_life()).map(since),
        }
    }

    fn transport_id(&self, key: TransportKey) -> TransportId {
        self.transports.get(key).map_or(TransportId(0), |transport| transport.id())
    }

    fn producer_stats(&self, now: Instant, producer: &Producer) -> ObjectStats {
        ObjectStats::Producer(ProducerStats {
            producer: producer.id(),
            transport: self.transport_id(producer.transport()),
            kind: producer.kind(),
            paused: producer.is_paused(),
            streams: {
                let stats = |key: &StreamKey| {
                    let spatial = producer.layer_of(*key).unwrap_or_default();
                    let unwanted =
                        producer.encoding_of(*key).and_then(|at| producer.wanted().unwanted_bps(at)).is_some();
                    Some(StreamStats { spatial, unwanted, ..self.streams.get(*key)?.stats(now, producer.pictures()) })
                };
                producer.streams().iter().filter_map(stats).collect()
            },
            withheld: producer.is_withheld(),
        })
    }

    fn consumer_stats(&self, consumer: &Consumer) -> ObjectStats {
        let producer = self.producers.get(consumer.producer()).map_or(ProducerId(0), |producer| producer.id());
        let from = (producer, self.highest_layer(consumer.producer()));
        ObjectStats::Consumer(consumer.stats(self.transport_id(consumer.transport()), from))
    }

    fn data_producer_stats(&self, producer: &DataProducer) -> ObjectStats {
        ObjectStats::DataProducer(producer.stats(self.transport_id(producer.transport())))
    }

    fn data_consumer_stats(&self, consumer: &DataConsumer) -> ObjectStats {
        let producer = self.messages.producers.get(consumer.producer()).map_or(DataProducerId(0), DataProducer::id);
        let association = self.transports.get(consumer.transport()).and_then(|transport| {
            let channels = transport.channels()?;
            channels.association()
        });
        let buffered_amount = association.map_or(0, |association| association.buffered_amount(consumer.stream()));
        ObjectStats::DataConsumer(consumer.stats(self.transport_id(consumer.transport()), producer, buffered_amount))
    }
}
