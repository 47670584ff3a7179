//! Producers, consumers and data channels as a room keeps them.

use std::sync::Arc;

use corecast_wire::{ConsumerId, DataProducerId, ProduceOptions, ProducerId, SctpStreamParameters, TransportId};
use serde_json::Value;

use super::draw::next_id;
use super::sample::Sample;
use crate::ortc::{Kind, Produced, RtpParameters};
use crate::workers::ConsumerLayers;

/// Media that a peer sends.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) id: ProducerId,
    /// Name of its transport.
    pub(super) transport: String,
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    pub(super) kind: Kind,
    /// "simple", "simulcast" or "svc".
    pub(super) streams: &'static str,
    /// Names of its encodings, lowest quality first: their RIDs, or their numbers.
    pub(super) encodings: Vec<String>,
    /// What was last seen of the encodings.
    pub(super) sample: Option<Sample>,
    pub(super) consumable: Arc<RtpParameters>,
    pub(super) app_data: Option<Value>,
    pub(super) paused: bool,
}

impl Producer {
    /// A producer, and what its worker is told of it.
    pub(super) fn new(owner: &Arc<str>, transport: &str, kind: Kind, produced: Produced) -> (Self, ProduceOptions) {
        let options = produced.options;
        let producer = Self {
            id: ProducerId(next_id()),
            transport: transport.to_owned(),
            owner: Arc::clone(owner),
            kind,
            streams: produced.kind_of_streams,
            encodings: encoding_names(&options),
            sample: None,
            consumable: Arc::new(produced.consumable),
            app_data: None,
            paused: options.paused,
        };
        (producer, options)
    }

    /// Whether it is sent in several encodings, of which a consumer gets one.
    pub(super) fn is_layered(&self) -> bool {
        self.encodings.len() > 1
    }
}

/// What clients call the encodings of a producer.
fn encoding_names(options: &ProduceOptions) -> Vec<String> {
    let names = options.encodings.iter().enumerate();
    names.map(|(index, encoding)| encoding.rid.clone().unwrap_or_else(|| index.to_string())).collect()
}

/// Media that a peer is sent.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) id: ConsumerId,
    /// Name of its transport.
    pub(super) transport: String,
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    /// Name of its producer.
    pub(super) producer: String,
    /// The layer that it is sent, of a producer with several encodings.
    pub(super) layer: Option<ConsumerLayers>,
    /// The router's payload types that its receiver takes, if it outlives its producer.
    pub(super) takes: Option<Vec<u8>>,
}

impl Consumer {
    /// Whether it can be moved to a producer: its receiver takes the codec that comes first there.
    pub(super) fn can_take(&self, consumable: &RtpParameters) -> bool {
        let preferred = consumable.codecs.first().map(|codec| codec.payload_type);
        preferred.is_some_and(|preferred| self.takes.as_ref().is_some_and(|takes| takes.contains(&preferred)))
    }
}

/// A data channel's place: its transport and its stream.
pub(super) type ChannelKey = (TransportId, u16);

/// A data channel that is open.
#[derive(Debug)]
pub(super) struct Channel {
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    pub(super) label: String,
    pub(super) parameters: SctpStreamParameters,
    pub(super) producer: DataProducerId,
    /// A viewer's: the publisher's channel with which it exchanges messages.
    pub(super) linked: Option<ChannelKey>,
}
