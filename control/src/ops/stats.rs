//! Counters as JSON: mediasoup's names where it has one.

use std::collections::HashMap;

use corecast_wire::{
    ConsumerStats, DataConsumerStats, DataProducerStats, Discards, DtlsState, IceProtocol, IceState, Limit,
    ObjectStats, OutgoingStats, ProducerStats, SrtpCryptoSuite, StreamStats, TransportStats, WebRtcStats,
};
use serde_json::{Map, Value, json};

use crate::rooms::Named;

/// What the API calls an object of the link, and its room, by its number. Numbers are unique over all kinds.
pub(super) type Names = HashMap<u64, (Named, String)>;

fn discards(discards: &Discards) -> Value {
    Value::Object(discards.iter().map(|(name, packets)| (name.to_owned(), json!(packets))).collect::<Map<_, _>>())
}

pub(super) fn transport(stats: &TransportStats) -> Value {
    let mut entry = json!({
        "type": if stats.webrtc.is_some() { "webrtc-transport" } else { "plain-rtp-transport" },
        "local": stats.local,
        "remote": stats.remote,
        "packetsReceived": stats.packets_received,
        "bytesReceived": stats.bytes_received,
        "packetsSent": stats.packets_sent,
        "bytesSent": stats.bytes_sent,
        "discards": discards(&stats.discards),
    });
    if let Some(stats) = &stats.outgoing {
        outgoing(stats, &mut entry);
    }
    if let Some(stats) = &stats.webrtc {
        webrtc(stats, &mut entry);
    }
    entry
}

/// States by mediasoup's names.
fn webrtc(stats: &WebRtcStats, entry: &mut Value) {
    entry["iceState"] = json!(match stats.ice_state {
        IceState::New => "new",
        IceState::Connected => "connected",
        IceState::Completed => "completed",
        IceState::Disconnected => "disconnected",
    });
    entry["dtlsState"] = json!(match stats.dtls_state {
        DtlsState::New => "new",
        DtlsState::Connecting => "connecting",
        DtlsState::Connected => "connected",
        DtlsState::Failed => "failed",
        DtlsState::Closed => "closed",
    });
    entry["protocol"] = json!(stats.protocol.map(protocol));
    entry["srtpCryptoSuite"] = json!(stats.suite.map(SrtpCryptoSuite::name));
}

/// mediasoup's name.
pub(super) fn protocol(protocol: IceProtocol) -> &'static str {
    match protocol {
        IceProtocol::Udp => "udp",
        IceProtocol::Tcp => "tcp",
    }
}

/// What the path carries, where receivers say what it does.
fn outgoing(stats: &OutgoingStats, entry: &mut Value) {
    entry["availableOutgoingBitrate"] = json!(stats.available_bps);
    entry["wantedOutgoingBitrate"] = json!(stats.wanted_bps);
    entry["outgoingBitrateCause"] = json!(stats.cause);
    entry["outgoingQueue"] = json!(ms(stats.queue_us));
}

pub(super) fn stream(stats: &StreamStats, producer: &ProducerStats) -> Value {
    json!({
        "type": "inbound-rtp",
        "kind": kind(producer.kind),
        "ssrc": stats.ssrc,
        "rid": stats.rid,
        "spatialLayer": stats.spatial,
        "active": stats.active,
        "withheld": producer.withheld,
        "frameWidth": stats.picture.map(|(width, _)| width),
        "frameHeight": stats.picture.map(|(_, height)| height),
        "rtxSsrc": stats.rtx_ssrc,
        "packetCount": stats.packet_count,
        "byteCount": stats.byte_count,
        "packetsLost": stats.packets_lost,
        "fractionLost": stats.fraction_lost,
        "jitter": stats.jitter,
        "packetsRepeated": stats.packets_repeated,
        "packetsRepaired": stats.packets_repaired,
        "nackCount": stats.nack_count,
        "nackPacketCount": stats.nack_packet_count,
        "pliCount": stats.pli_count,
        "firCount": stats.fir_count,
        "keyFrames": stats.key_frames,
        "roundTripTime": stats.round_trip_us.map(ms),
    })
}

pub(super) fn consumer(stats: &ConsumerStats) -> Value {
    json!({
        "type": "outbound-rtp",
        "ssrc": stats.ssrc,
        "paused": stats.paused,
        "suspended": stats.suspended,
        "preferredSpatialLayer": stats.preferred_spatial,
        "currentSpatialLayer": stats.current_spatial,
        "limitedBy": stats.limited_by.map(limit),
        "packetCount": stats.packet_count,
        "byteCount": stats.byte_count,
        "packetsRetransmitted": stats.packets_retransmitted,
        "nackCount": stats.nack_count,
        "nackPacketCount": stats.nack_packet_count,
        "pliCount": stats.pli_count,
        "firCount": stats.fir_count,
        "packetsLost": stats.packets_lost,
        "fractionLost": stats.fraction_lost,
        "jitter": stats.jitter,
        "roundTripTime": stats.round_trip_us.map(ms),
        "discards": discards(&stats.discards),
    })
}

/// What keeps a consumer from being sent more.
fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::Path => "path",
        Limit::Preference => "preference",
        Limit::Source => "source",
    }
}

pub(super) fn data_producer(stats: &DataProducerStats) -> Value {
    json!({
        "type": "data-producer",
        "label": stats.label,
        "protocol": stats.protocol,
        "paused": stats.paused,
        "messagesReceived": stats.messages_received,
        "bytesReceived": stats.bytes_received,
    })
}

pub(super) fn data_consumer(stats: &DataConsumerStats) -> Value {
    json!({
        "type": "data-consumer",
        "paused": stats.paused,
        "messagesSent": stats.messages_sent,
        "bytesSent": stats.bytes_sent,
        "bufferedAmount": stats.buffered_amount,
        "discards": discards(&stats.discards),
    })
}

fn kind(kind: corecast_wire::MediaKind) -> &'static str {
    match kind {
        corecast_wire::MediaKind::Audio => "audio",
        corecast_wire::MediaKind::Video => "video",
    }
}

/// mediasoup tells round trips in milliseconds.
fn ms(us: u32) -> f64 {
    f64::from(us) / 1_000.0
}

/// Lists for `/stats`: every object with its name, room and relations.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) transports: Vec<Value>,
    pub(super) producers: Vec<Value>,
    pub(super) consumers: Vec<Value>,
    pub(super) data_producers: Vec<Value>,
    pub(super) data_consumers: Vec<Value>,
}

impl Lists {
    /// Adds an object. One that its room does not know, since it is being made or closed, has no owner and is left out.
    pub(super) fn push(&mut self, worker: u32, stats: &ObjectStats, names: &Names) {
        let name = |id: u64| names.get(&id).map(|(named, _)| &named.name);
        let (id, list, mut entry) = match stats {
            ObjectStats::Transport(stats) => (stats.transport.0, &mut self.transports, transport(stats)),
            ObjectStats::Producer(stats) => {
                let streams: Vec<_> = stats.streams.iter().map(|of| stream(of, stats)).collect();
                let entry = json!({
                    "kind": kind(stats.kind),
                    "paused": stats.paused,
                    "transportId": name(stats.transport.0),
                    "streams": streams,
                });
                (stats.producer.0, &mut self.producers, entry)
            }
            ObjectStats::Consumer(stats) => {
                let mut entry = consumer(stats);
                entry["transportId"] = json!(name(stats.transport.0));
                entry["producerId"] = json!(name(stats.producer.0));
                entry["producerPeerId"] = json!(names.get(&stats.producer.0).map(|(named, _)| &named.peer));
                (stats.consumer.0, &mut self.consumers, entry)
            }
            ObjectStats::DataProducer(stats) => {
                let mut entry = data_producer(stats);
                entry["transportId"] = json!(name(stats.transport.0));
                (stats.data_producer.0, &mut self.data_producers, entry)
            }
            ObjectStats::DataConsumer(stats) => {
                let mut entry = data_consumer(stats);
                entry["transportId"] = json!(name(stats.transport.0));
                entry["dataProducerId"] = json!(name(stats.data_producer.0));
                (stats.data_consumer.0, &mut self.data_consumers, entry)
            }
        };
        let Some((named, room)) = names.get(&id) else { return };
        entry["id"] = json!(named.name);
        entry["roomId"] = json!(room);
        entry["peerId"] = json!(named.peer);
        entry["worker"] = json!(worker);
        if let Some(codec) = &named.codec {
            entry["codec"] = json!(codec);
        }
        if let Some(suite) = named.suite {
            entry["srtpCryptoSuite"] = json!(suite.name());
        }
        list.push(entry);
    }
}
