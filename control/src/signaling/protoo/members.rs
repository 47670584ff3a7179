//! The members of what a client is told of peers, consumers and scores: those of both dialects, where they can be
//! merged.

use serde_json::{Value, json};

use super::dialect::Dialect;
use crate::rooms::{ConsumerScore, CreatedConsumer, CreatedDataConsumer, PeerView, StreamScore};
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

/// `newConsumer`.
pub(super) fn consumer_members(of: &CreatedConsumer, transport: &str, dialect: Dialect) -> Value {
    let mut app_data = of.app_data.clone().unwrap_or_else(|| json!({}));
    app_data["peerId"] = json!(of.peer);
    // Those that came by another signaling say nothing of it.
    if dialect != Dialect::Legacy && app_data.get("source").is_none() {
        app_data["source"] = json!(of.kind);
    }
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
        "appData": app_data,
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
