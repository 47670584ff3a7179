//! What the worker has counted of a peer's object, with what only the room knows of it.

use std::time::Instant;

use corecast_wire::{
    ConsumerStats, DataConsumerStats, DataProducerStats, Object, ObjectStats, ProducerStats, TransportStats,
};

use super::ear::ConsumerScore;
use super::error::Error;
use super::media::Consumer;
use super::peer::PeerHandle;
use super::room::Room;
use super::site::Site;
use crate::ortc::{Kind, RtpParameters};
use crate::workers::RequestError;

/// Counters of one object.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    Transport(Box<TransportReport>),
    Producer(ProducerReport),
    Consumer(Box<ConsumerReport>),
    DataProducer(DataProducerStats),
    DataConsumer {
        stats: DataConsumerStats,
        /// Label and protocol of its data producer.
        label: String,
        protocol: String,
    },
}

/// Counters of a transport.
#[derive(Clone, Debug)]
pub(crate) struct TransportReport {
    /// Its name.
    pub(crate) name: String,
    pub(crate) stats: TransportStats,
    /// Since the report before; 0 in the first.
    pub(crate) received_bps: u64,
    pub(crate) sent_bps: u64,
    /// Most that its producers are asked to send; 0 for no limit.
    pub(crate) max_incoming_bps: u64,
    /// Most that its consumers are sent; 0 for no limit.
    pub(crate) max_outgoing_bps: u64,
}

/// Counters of a producer.
#[derive(Clone, Debug)]
pub(crate) struct ProducerReport {
    pub(crate) mime_type: String,
    pub(crate) stats: ProducerStats,
    /// Each stream's score, and its bit rate since the report before.
    pub(crate) streams: Vec<(u8, u64)>,
}

/// Counters of a consumer, and of the producer that it is sent.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerReport {
    pub(crate) kind: Kind,
    pub(crate) mime_type: String,
    pub(crate) stats: ConsumerStats,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) score: ConsumerScore,
    /// Since the report before.
    pub(crate) bps: u64,
    /// The producer, and the index of the stream that is sent.
    pub(crate) producer: Option<(ProducerReport, usize)>,
}

fn media_type(parameters: &RtpParameters) -> String {
    parameters.codecs.first().map(|codec| codec.mime_type.clone()).unwrap_or_default()
}

impl Room {
    /// Counters of a transport of a peer.
    pub(crate) async fn transport_report(&self, peer: &PeerHandle, name: &str) -> Result<Report, Error> {
        let mut state = self.state().await;
        let transport = state.transport_of(peer, name)?;
        let found = count(&transport.site, Object::Transport(transport.id)).await?;
        let ObjectStats::Transport(stats) = found else { return Err(RequestError::WrongReply.into()) };
        let now = Instant::now();
        Ok(Report::Transport(Box::new(TransportReport {
            name: name.to_owned(),
            received_bps: transport.received.of(stats.bytes_received, now),
            sent_bps: transport.sent.of(stats.bytes_sent, now),
            max_incoming_bps: self.webrtc().max_incoming_bitrate_bps(),
            max_outgoing_bps: self.webrtc().outgoing().max_bps,
            stats,
        })))
    }

    /// Counters of a producer of a peer.
    pub(crate) async fn producer_report(&self, peer: &PeerHandle, name: &str) -> Result<Report, Error> {
        self.state().await.producer_of(peer, name)?;
        Ok(Report::Producer(self.producer_counted(name).await?))
    }

    async fn producer_counted(&self, name: &str) -> Result<ProducerReport, Error> {
        let mut state = self.state().await;
        let missing = || Error::not_found("producer", name);
        let producer = state.producers.get_mut(name).ok_or_else(missing)?;
        let found = count(self.home(), Object::Producer(producer.id)).await?;
        let ObjectStats::Producer(stats) = found else { return Err(RequestError::WrongReply.into()) };
        let now = Instant::now();
        let scores = producer.scores_by_encoding();
        producer.rates.resize_with(stats.streams.len(), Default::default);
        let rates = stats.streams.iter().zip(&mut producer.rates).map(|(of, rate)| rate.of(of.byte_count, now));
        let streams = rates.enumerate().map(|(at, bps)| (scores.get(at).copied().unwrap_or(0), bps)).collect();
        Ok(ProducerReport { mime_type: media_type(&producer.consumable), stats, streams })
    }

    /// Counters of a consumer of a peer.
    pub(crate) async fn consumer_report(&self, peer: &PeerHandle, name: &str) -> Result<Report, Error> {
        let (mut report, of, encoding) = {
            let mut guard = self.state().await;
            let state = &mut *guard;
            let Consumer { id, site, .. } = state.consumer_of(peer, name)?;
            let found = count(site, Object::Consumer(*id)).await?;
            let ObjectStats::Consumer(stats) = found else { return Err(RequestError::WrongReply.into()) };
            let consumer = state.consumers.get_mut(name).ok_or_else(|| Error::not_found("consumer", name))?;
            let bps = consumer.rate.of(stats.byte_count, Instant::now());
            let producer = state.producers.get(&consumer.producer);
            let current = consumer.layer.as_ref().and_then(|layer| layer.receiver().borrow().current);
            let report = ConsumerReport {
                kind: producer.map_or(Kind::Audio, |producer| producer.kind),
                mime_type: producer.map(|producer| media_type(&producer.consumable)).unwrap_or_default(),
                rtx_ssrc: consumer.rtx_ssrc,
                score: producer.map(|producer| consumer.scored(producer)).unwrap_or_default(),
                stats,
                bps,
                producer: None,
            };
            (report, consumer.producer.clone(), current.map_or(0, |current| usize::from(current.encoding)))
        };
        // One that outlives its producer may have none.
        report.producer = self.producer_counted(&of).await.ok().map(|producer| (producer, encoding));
        Ok(Report::Consumer(Box::new(report)))
    }

    /// Counters of a data producer of a peer.
    pub(crate) async fn data_producer_report(&self, peer: &PeerHandle, name: &str) -> Result<Report, Error> {
        let state = self.state().await;
        let id = state.data_producer_of(peer, name)?.id;
        match count(self.home(), Object::DataProducer(id)).await? {
            ObjectStats::DataProducer(stats) => Ok(Report::DataProducer(stats)),
            _ => Err(RequestError::WrongReply.into()),
        }
    }

    /// Counters of a data consumer of a peer.
    pub(crate) async fn data_consumer_report(&self, peer: &PeerHandle, name: &str) -> Result<Report, Error> {
        let state = self.state().await;
        let consumer = state.data_consumer_of(peer, name)?;
        let found = count(&consumer.site, Object::DataConsumer(consumer.id)).await?;
        let ObjectStats::DataConsumer(stats) = found else { return Err(RequestError::WrongReply.into()) };
        let of = state.data_producers.get(&consumer.data_producer);
        let (label, protocol) = of.map(|of| (of.label.clone(), of.protocol.clone())).unwrap_or_default();
        Ok(Report::DataConsumer { stats, label, protocol })
    }
}

async fn count(site: &Site, object: Object) -> Result<ObjectStats, Error> {
    site.worker().stats_of(object).await?.ok_or_else(|| Error::unavailable("the object has just closed"))
}
