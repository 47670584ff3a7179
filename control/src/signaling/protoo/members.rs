//! The members of what a client is told of peers, consumers and scores: those of both dialects, where they can be
//! merged.

use serde_json::{Value, json};

use super::dialect::Dialect;
use crate::ortc::Kind;
use crate::rooms::{
    ConsumerScore, CreatedConsumer, CreatedDataConsumer, Muted, PeerView, Resumed, StreamScore, Unplayable,
};
use crate::signaling::webrtc::stream_parameters;

/// A peer, for both dialects. Addresses of people are not told to others.
pub(super) fn peer_members(peer: &PeerView) -> Value {
    let device = peer.app_data.get("device").cloned();
    json!({
        "id": peer.name,
        "peerId": peer.name,
        "displayName": peer.display_name,
        "device": device.unwrap_or_else(|| json!({ "flag": "unknown", "name": "unknown" })),
        "remoteAddress": "",
    })
}

/// `muted`.
pub(super) fn muted_members(Muted { audio, video }: Muted) -> Value {
    json!({ "audio": audio, "video": video })
}

/// The answer to `resume`.
pub(super) fn resumed_members(of: &Resumed) -> Value {
    let each = |name: &str, all: &[String]| all.iter().map(|one| json!({ (name): one })).collect::<Vec<_>>();
    let transports = of.transports.iter().map(|(name, sctp)| json!({ "transportId": name, "sctp": sctp }));
    let producers = of.producers.iter().map(|(name, paused, unwanted)| {
        let mut producer = json!({ "producerId": name, "paused": paused });
        if !unwanted.is_empty() {
            producer["unwantedLayers"] = json!(unwanted);
        }
        producer
    });
    let consumers = of.consumers.iter().map(|one| {
        let mut consumer = json!({ "consumerId": one.name, "producerPaused": one.producer_paused });
        if let Some(layers) = one.layers.filter(|_| !one.suspended) {
            consumer["spatialLayer"] = json!(layers.spatial);
        } else if one.suspended {
            consumer["spatialLayer"] = Value::Null;
        }
        consumer
    });
    json!({
        "peers": of.peers.iter().map(peer_members).collect::<Vec<_>>(),
        "transports": transports.collect::<Vec<_>>(),
        "producers": producers.collect::<Vec<_>>(),
        "consumers": consumers.collect::<Vec<_>>(),
        "dataProducers": each("dataProducerId", &of.data_producers),
        "dataConsumers": each("dataConsumerId", &of.data_consumers),
        "muted": muted_members(of.muted),
    })
}

/// mediasoup's `ConsumerScore`.
pub(super) fn score_members(score: &ConsumerScore) -> Value {
    json!({ "score": score.score, "producerScore": score.producer, "producerScores": score.producers })
}

/// mediasoup's `ProducerScore`.
pub(super) fn stream_score_members(of: &StreamScore) -> Value {
    let mut value = json!({ "encodingIdx": of.encoding, "ssrc": of.ssrc, "score": of.score });
    if let Some(rid) = &of.rid {
        value["rid"] = json!(rid);
    }
    value
}

/// What a client is told of a producer's own data.
fn app_data(given: Option<&Value>, peer: &str, kind: Kind, dialect: Dialect) -> Value {
    let mut app_data = given.cloned().unwrap_or_else(|| json!({}));
    app_data["peerId"] = json!(peer);
    // Those that came by another signaling say nothing of it.
    if dialect != Dialect::Legacy && app_data.get("source").is_none() {
        app_data["source"] = json!(kind);
    }
    app_data
}

/// `unplayable`.
pub(super) fn unplayable_members(of: &Unplayable, dialect: Dialect) -> Value {
    json!({
        "peerId": of.peer,
        "producerId": of.producer,
        "kind": of.kind,
        "mimeType": of.mime_type,
        "producerPaused": of.paused,
        "appData": app_data(of.app_data.as_ref(), &of.peer, of.kind, dialect),
    })
}

/// `newConsumer`.
pub(super) fn consumer_members(of: &CreatedConsumer, transport: &str, dialect: Dialect) -> Value {
    json!({
        "peerId": of.peer,
        "transportId": transport,
        "id": of.name,
        "consumerId": of.name,
        "producerId": of.producer,
        "kind": of.kind,
        "rtpParameters": of.rtp_parameters,
        "type": of.streams,
        "producerPaused": of.producer_paused,
        "consumerScore": score_members(&of.score),
        "appData": app_data(of.app_data.as_ref(), &of.peer, of.kind, dialect),
    })
}

/// `newDataConsumer`.
pub(super) fn data_consumer_members(of: &CreatedDataConsumer, transport: &str, dialect: Dialect) -> Value {
    let mut app_data = of.app_data.clone();
    // The typed client looks for the channel there, which is the label's.
    if dialect != Dialect::Legacy && app_data.get("channel").is_none() {
        app_data["channel"] = json!(of.label);
    }
    let mut data = json!({
        "transportId": transport,
        "id": of.name,
        "dataConsumerId": of.name,
        "dataProducerId": of.data_producer,
        "sctpStreamParameters": stream_parameters(of.stream, of.parameters),
        "label": of.label,
        "protocol": of.protocol,
        "appData": app_data,
    });
    match (&of.peer, dialect) {
        (Some(peer), _) => data["peerId"] = json!(peer),
        (None, Dialect::Legacy) => data["peerId"] = Value::Null,
        (None, _) => {}
    }
    data
}
