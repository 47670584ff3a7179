//! Producers, consumers and data channels as a room keeps them.

use std::sync::Arc;

use corecast_wire::{
    BEST_SCORE, ConsumerId, DataConsumerId, DataProducerId, ProduceOptions, ProducerId, Scores, SctpStreamParameters,
    SpatialLayer, TransportId,
};
use serde_json::Value;

use super::draw::next_id;
use super::ear::{ConsumerScore, StreamScore};
use super::rate::Rate;
use super::sample::Sample;
use super::site::Site;
use crate::ortc::{Kind, Produced, RtpParameters};
use crate::workers::{ConsumerStates, MessageRoute, ProducerStates};

/// Label of the bot's channel, and of those on which it is spoken to (mediasoup-demo's).
pub(super) const BOT: &str = "bot";

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
    /// Which of them nobody takes, if there are several.
    pub(super) unwanted: Option<ProducerStates>,
    /// What was last seen of the encodings.
    pub(super) sample: Option<Sample>,
    pub(super) consumable: Arc<RtpParameters>,
    pub(super) app_data: Option<Value>,
    /// By its client.
    pub(super) paused: bool,
    /// By an operator.
    pub(super) muted: bool,
    /// How its streams do, and the last looks at them.
    pub(super) scores: Vec<StreamScore>,
    pub(super) looks: Vec<Scores>,
    /// Bit rates of its streams.
    pub(super) rates: Vec<Rate>,
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
            unwanted: None,
            sample: None,
            consumable: Arc::new(produced.consumable),
            app_data: None,
            paused: options.paused,
            muted: false,
            scores: Vec::new(),
            looks: Vec::new(),
            rates: Vec::new(),
        };
        (producer, options)
    }

    /// Scores of its streams in the order of its encodings; 0 for one of which nothing has come.
    pub(super) fn scores_by_encoding(&self) -> Vec<u8> {
        let of = |encoding| self.scores.iter().find(|of| of.encoding == encoding).map_or(0, |of| of.score);
        (0..self.encodings.len()).map(of).collect()
    }

    /// Whether nothing of it is sent to its consumers.
    pub(super) fn is_paused(&self) -> bool {
        self.paused || self.muted
    }

    /// Whether its consumers may be sent less than all of it: some layers, or nothing if their path carries no more.
    pub(super) fn is_layered(&self) -> bool {
        self.kind == Kind::Video
    }
}

impl Producer {
    /// Whether it has one encoding, of a codec that can have spatial layers within it.
    pub(super) fn may_have_spatial_layers(&self) -> bool {
        let is_scalable = |mime: &str| ["video/VP9", "video/AV1"].iter().any(|known| known.eq_ignore_ascii_case(mime));
        self.encodings.len() == 1 && self.consumable.codecs.iter().any(|codec| is_scalable(&codec.mime_type))
    }

    /// The spatial layer of this number or, if there is none, the highest.
    pub(super) fn spatial_layer(&self, spatial: u8) -> SpatialLayer {
        let highest = u8::try_from(self.encodings.len().saturating_sub(1)).unwrap_or(0);
        // Nobody announces how many layers there are within an encoding.
        SpatialLayer::Quality(if self.may_have_spatial_layers() { spatial } else { spatial.min(highest) })
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
    /// That of its transport.
    pub(super) site: Site,
    /// Name of its transport.
    pub(super) transport: String,
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    /// Name of its producer.
    pub(super) producer: String,
    /// What it is sent of a producer of pictures.
    pub(super) layer: Option<ConsumerStates>,
    /// Its receiver has asked for less than the best.
    pub(super) wishes_less: bool,
    /// The router's payload types that its receiver takes, if it outlives its producer.
    pub(super) takes: Option<Vec<u8>>,
    /// Its bit rate, and how well its own stream arrives, 0 to 10, as last looked at.
    pub(super) rate: Rate,
    pub(super) score: u8,
    pub(super) looks: Scores,
    /// SSRC of its retransmissions.
    pub(super) rtx_ssrc: Option<u32>,
}

impl Consumer {
    /// A consumer that closes with its producer, of whose stream nothing is known yet.
    pub(super) fn new(
        id: ConsumerId,
        (transport, site): (&str, Site),
        owner: Arc<str>,
        producer: String,
        layer: Option<ConsumerStates>,
    ) -> Self {
        let (rate, looks, transport) = (Rate::default(), Scores::default(), transport.to_owned());
        let (takes, rtx_ssrc, wishes_less) = (None, None, false);
        Self {
            id,
            site,
            transport,
            owner,
            producer,
            layer,
            wishes_less,
            takes,
            rate,
            score: BEST_SCORE,
            looks,
            rtx_ssrc,
        }
    }

    /// Whether it can be moved to a producer: its receiver takes the codec that comes first there.
    pub(super) fn can_take(&self, consumable: &RtpParameters) -> bool {
        let preferred = consumable.codecs.first().map(|codec| codec.payload_type);
        preferred.is_some_and(|preferred| self.takes.as_ref().is_some_and(|takes| takes.contains(&preferred)))
    }

    /// How well it does. Of a producer of several encodings the one that it is sent counts, or else the best.
    pub(super) fn scored(&self, producer: &Producer) -> ConsumerScore {
        let producers = producer.scores_by_encoding();
        let sent = self.layer.as_ref().and_then(|layer| layer.receiver().borrow().current);
        let sent = sent.and_then(|current| producers.get(usize::from(current.encoding)).copied());
        let producer = sent.or_else(|| producers.iter().copied().max()).unwrap_or(0);
        ConsumerScore { score: self.score, producer, producers }
    }
}

/// Messages that a participant sends, or the room's bot.
#[derive(Debug)]
pub(super) struct DataProducer {
    pub(super) id: DataProducerId,
    /// Name of its transport, and the stream on it. None of the bot.
    pub(super) on: Option<(String, u16)>,
    /// Name of its peer. None of the bot.
    pub(super) owner: Option<Arc<str>>,
    pub(super) label: String,
    pub(super) protocol: String,
    pub(super) parameters: SctpStreamParameters,
    pub(super) app_data: Value,
    /// What is said to the bot goes there.
    pub(super) to_bot: Option<MessageRoute>,
}

impl DataProducer {
    /// Whether it is said to the room's bot, and to nobody else.
    pub(super) fn is_for_bot(&self) -> bool {
        self.owner.is_some() && (self.label == BOT || self.app_data["channel"] == BOT)
    }
}

/// Messages that a participant is sent.
#[derive(Debug)]
pub(super) struct DataConsumer {
    pub(super) id: DataConsumerId,
    /// Name of its transport, and where that is.
    pub(super) transport: String,
    pub(super) site: Site,
    /// Its stream there.
    pub(super) stream: u16,
    /// Name of its peer.
    pub(super) owner: Arc<str>,
    /// Name of its data producer.
    pub(super) data_producer: String,
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
    /// A viewer's: its link to the publisher's channel of the same label.
    pub(super) link: Option<Link>,
}

impl Channel {
    /// What people and statistics call its data producer: whose it is, and its label.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.owner, self.label)
    }
}

/// Two channels that exchange messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The publisher's channel.
    pub(super) to: ChannelKey,
    /// What the viewer is sent of it.
    pub(super) down: DataConsumerId,
    /// What it is sent of the viewer's.
    pub(super) up: DataConsumerId,
}
