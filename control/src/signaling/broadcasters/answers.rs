//! What requests of the broadcaster API are answered, both forms: an object that was made has its name as `id`, for the
//! older form, and under its longer name, for the newer.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::srtp::SrtpJson;
use crate::ortc::{
    Kind, RtpCapabilities, RtpCodecCapability, RtpCodecParameters, RtpHeaderExtension, RtpParameters, can_consume,
    told_capabilities,
};
use crate::rooms::{CreatedConsumer, CreatedPlain, PeerInfo, ProducerInfo};
use crate::signaling::webrtc::CreatedTransport;

/// What may be sent in a room. The older form wants it bare, the newer wrapped: each reads the names that it knows.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct Capabilities {
    #[schema(value_type = RtpCapabilities)]
    router_rtp_capabilities: &'static RtpCapabilities,
    #[schema(value_type = Vec<RtpCodecCapability>)]
    codecs: &'static [RtpCodecCapability],
    #[schema(value_type = Vec<RtpHeaderExtension>)]
    header_extensions: &'static [RtpHeaderExtension],
}

impl Capabilities {
    pub(super) fn told() -> Self {
        let told = told_capabilities();
        Self { router_rtp_capabilities: told, codecs: &told.codecs, header_extensions: &told.header_extensions }
    }
}

/// What a broadcaster of the older form may consume.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::signaling) struct Others {
    pub(super) peers: Vec<Other>,
}

/// Somebody who publishes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct Other {
    id: String,
    display_name: String,
    /// What its client says it is; null of one that does not say.
    #[schema(value_type = Option<Object>)]
    device: Value,
    producers: Vec<OtherProducer>,
}

/// Something that is published.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::signaling) struct OtherProducer {
    id: String,
    kind: Kind,
}

impl Other {
    /// The peer with what one of these capabilities can consume.
    pub(super) fn of(peer: PeerInfo, capabilities: &RtpCapabilities) -> Self {
        let producers = peer.producers.into_iter().filter(|producer| can_consume(&producer.consumable, capabilities));
        Self {
            id: peer.name,
            display_name: peer.display_name,
            device: peer.app_data["device"].clone(),
            producers: producers.map(|producer| OtherProducer { id: producer.name, kind: producer.kind }).collect(),
        }
    }
}

/// What everybody else publishes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct PeerProducersInfos {
    pub(super) peer_producers_infos: Vec<PeerProducers>,
}

/// What a peer publishes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct PeerProducers {
    peer_id: String,
    producers: Vec<PeerProducer>,
}

/// A producer of a peer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct PeerProducer {
    producer_id: String,
    kind: Kind,
    /// `source` of the producer's `appData`, whatever it is.
    source: Option<Value>,
    consumable_codecs: Vec<ConsumableCodec>,
}

/// A codec that a consumer may choose: one of media by itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ConsumableCodec {
    mime_type: String,
    payload_type: u8,
    clock_rate: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u8>,
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

/// Without RTX, without redundancy, which mediasoup has not, and without feedback.
fn consumable_codecs(consumable: &RtpParameters) -> Vec<ConsumableCodec> {
    let about_media = |codec: &&RtpCodecParameters| ["/rtx", "/red"].iter().any(|end| codec.mime_type.ends_with(end));
    let media = consumable.codecs.iter().filter(|codec| !about_media(codec)).cloned();
    media
        .map(|codec| {
            let RtpCodecParameters { mime_type, payload_type, clock_rate, channels, parameters, .. } = codec;
            ConsumableCodec { mime_type, payload_type, clock_rate, channels, parameters }
        })
        .collect()
}

impl PeerProducers {
    pub(super) fn of(peer: PeerInfo) -> Self {
        let producer = |producer: &ProducerInfo| PeerProducer {
            producer_id: producer.name.clone(),
            kind: producer.kind,
            source: producer.app_data.as_ref().and_then(|data| data.get("source")).cloned(),
            consumable_codecs: consumable_codecs(&producer.consumable),
        };
        Self { producers: peer.producers.iter().map(producer).collect(), peer_id: peer.name }
    }
}

/// A transport that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::signaling) enum TransportMade {
    WebRtc(Box<CreatedTransport>),
    Plain(PlainMade),
}

/// A plain transport that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct PlainMade {
    id: String,
    transport_id: String,
    /// Where media is to be sent: an address or a name.
    ip: String,
    port: u16,
    /// Absent where RTCP goes with RTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtcp_port: Option<u16>,
    /// Key of what the server sends; absent without SRTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    srtp_parameters: Option<SrtpJson>,
}

impl PlainMade {
    pub(super) fn of(made: &CreatedPlain) -> Self {
        Self {
            id: made.name.clone(),
            transport_id: made.name.clone(),
            ip: made.ip.clone(),
            port: made.port,
            rtcp_port: made.rtcp_port,
            srtp_parameters: made.srtp.as_ref().map(SrtpJson::of),
        }
    }
}

/// A producer that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ProducerMade {
    pub(super) id: String,
    pub(super) producer_id: String,
}

/// A consumer that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ConsumerMade {
    id: String,
    consumer_id: String,
    producer_id: String,
    kind: Kind,
    rtp_parameters: RtpParameters,
    /// "simple", "simulcast" or "svc".
    r#type: &'static str,
    paused: bool,
    producer_paused: bool,
}

impl ConsumerMade {
    pub(super) fn of(made: CreatedConsumer, paused: bool) -> Self {
        Self {
            id: made.name.clone(),
            consumer_id: made.name,
            producer_id: made.producer,
            kind: made.kind,
            rtp_parameters: made.rtp_parameters,
            r#type: made.streams,
            paused,
            producer_paused: made.producer_paused,
        }
    }
}

/// A data producer that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::signaling) struct DataProducerMade {
    pub(super) id: String,
}

/// A data consumer that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct DataConsumerMade {
    pub(super) id: String,
    /// Its stream on its transport.
    pub(super) stream_id: u16,
}
