//! Counters as JSON: mediasoup's names where it has one. Members without a value are null, or absent where this says
//! so.

use std::collections::{BTreeMap, HashMap};

use corecast_wire::{
    ConsumerStats, DataConsumerStats, DataProducerStats, Discards, DtlsState, IceProtocol, IceState, Limit, MediaKind,
    ObjectStats, OutgoingCause, ProducerStats, SrtpCryptoSuite, StreamStats, TransportStats,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ortc::Kind;
use crate::rooms::Named;

/// What the API calls an object of the link, and its room, by its number. Numbers are unique over all kinds.
pub(super) type Names = HashMap<u64, (Named, String)>;

/// What a transport speaks.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) enum TransportType {
    #[serde(rename = "webrtc-transport")]
    WebRtc,
    /// Also one with SRTP.
    #[serde(rename = "plain-rtp-transport")]
    Plain,
}

/// Says that counters are those of a received stream.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StreamType {
    InboundRtp,
}

/// Says that counters are those of a consumer.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConsumerType {
    OutboundRtp,
}

/// Says that counters are those of a data producer.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DataProducerType {
    DataProducer,
}

/// Says that counters are those of a data consumer.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DataConsumerType {
    DataConsumer,
}

/// Packets that were not forwarded, by reason.
pub(super) fn by_reason(discards: &Discards) -> BTreeMap<&'static str, u64> {
    discards.iter().collect()
}

/// A transport.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransportCounters {
    pub(crate) r#type: TransportType,
    /// Address where the server listens.
    pub(crate) local: String,
    /// Address to which it sends, once that is known.
    pub(crate) remote: Option<String>,
    pub(crate) packets_received: u64,
    /// UDP payload, in bytes.
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    /// UDP payload, in bytes.
    pub(crate) bytes_sent: u64,
    /// Received datagrams that were discarded, by reason.
    pub(crate) discards: BTreeMap<&'static str, u64>,
    /// What its path carries, in bits per second. This and the next three are absent where its receivers do not tell
    /// what the path does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) available_outgoing_bitrate: Option<u64>,
    /// What its consumers would take if all of it were there, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wanted_outgoing_bitrate: Option<u64>,
    /// What changed the estimate last: "start", "increase", "delay", "ecn", "loss", "probe", "remb" or "silence".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) outgoing_bitrate_cause: Option<OutgoingCause>,
    /// How long packets wait in the path, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outgoing_queue: Option<f64>,
    /// "new", "connected", "completed" or "disconnected". This and the next are absent of a plain transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ice_state: Option<&'static str>,
    /// "new", "connecting", "connected", "failed" or "closed".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dtls_state: Option<&'static str>,
    /// "udp" or "tcp"; absent of a plain transport, and until ICE has a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<&'static str>,
    /// Absent until there are keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) srtp_crypto_suite: Option<&'static str>,
}

impl TransportCounters {
    pub(super) fn of(stats: &TransportStats) -> Self {
        let (outgoing, webrtc) = (stats.outgoing.as_ref(), stats.webrtc.as_ref());
        Self {
            r#type: if webrtc.is_some() { TransportType::WebRtc } else { TransportType::Plain },
            local: stats.local.to_string(),
            remote: stats.remote.map(|remote| remote.to_string()),
            packets_received: stats.packets_received,
            bytes_received: stats.bytes_received,
            packets_sent: stats.packets_sent,
            bytes_sent: stats.bytes_sent,
            discards: by_reason(&stats.discards),
            available_outgoing_bitrate: outgoing.and_then(|path| path.available_bps),
            wanted_outgoing_bitrate: outgoing.map(|path| path.wanted_bps),
            outgoing_bitrate_cause: outgoing.map(|path| path.cause),
            outgoing_queue: outgoing.map(|path| ms(path.queue_us)),
            ice_state: webrtc.map(|states| ice_state(states.ice_state)),
            dtls_state: webrtc.map(|states| dtls_state(states.dtls_state)),
            protocol: webrtc.and_then(|states| states.protocol).map(protocol),
            srtp_crypto_suite: webrtc.and_then(|states| states.suite).map(SrtpCryptoSuite::name),
        }
    }
}

/// mediasoup's name.
fn ice_state(state: IceState) -> &'static str {
    match state {
        IceState::New => "new",
        IceState::Connected => "connected",
        IceState::Completed => "completed",
        IceState::Disconnected => "disconnected",
    }
}

/// mediasoup's name.
fn dtls_state(state: DtlsState) -> &'static str {
    match state {
        DtlsState::New => "new",
        DtlsState::Connecting => "connecting",
        DtlsState::Connected => "connected",
        DtlsState::Failed => "failed",
        DtlsState::Closed => "closed",
    }
}

/// mediasoup's name.
pub(super) fn protocol(protocol: IceProtocol) -> &'static str {
    match protocol {
        IceProtocol::Udp => "udp",
        IceProtocol::Tcp => "tcp",
    }
}

/// A stream of a producer: an encoding.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamCounters {
    pub(crate) r#type: StreamType,
    pub(crate) kind: Kind,
    /// Null until its first packet has come.
    pub(crate) ssrc: Option<u32>,
    pub(crate) rid: Option<String>,
    /// Rank of its quality among the producer's encodings, the lowest is 0.
    pub(crate) spatial_layer: u8,
    /// It sends.
    pub(crate) active: bool,
    /// Nobody is sent it, because others are louder.
    pub(crate) withheld: bool,
    /// Size of its newest key frame, where its codec tells.
    pub(crate) frame_width: Option<u16>,
    pub(crate) frame_height: Option<u16>,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) packet_count: u64,
    /// Payload, in bytes.
    pub(crate) byte_count: u64,
    pub(crate) packets_lost: i64,
    /// Loss since the last report, in 1/256.
    pub(crate) fraction_lost: u8,
    /// In units of the codec's clock.
    pub(crate) jitter: u32,
    /// Packets that came twice.
    pub(crate) packets_repeated: u64,
    /// Packets that came after they had been asked for again.
    pub(crate) packets_repaired: u64,
    pub(crate) nack_count: u64,
    /// Packets that were asked for in them.
    pub(crate) nack_packet_count: u64,
    pub(crate) pli_count: u64,
    pub(crate) fir_count: u64,
    pub(crate) key_frames: u64,
    /// In milliseconds.
    pub(crate) round_trip_time: Option<f64>,
}

impl StreamCounters {
    pub(super) fn of(stats: &StreamStats, producer: &ProducerStats) -> Self {
        Self {
            r#type: StreamType::InboundRtp,
            kind: kind(producer.kind),
            ssrc: stats.ssrc,
            rid: stats.rid.clone(),
            spatial_layer: stats.spatial,
            active: stats.active,
            withheld: producer.withheld,
            frame_width: stats.picture.map(|(width, _)| width),
            frame_height: stats.picture.map(|(_, height)| height),
            rtx_ssrc: stats.rtx_ssrc,
            packet_count: stats.packet_count,
            byte_count: stats.byte_count,
            packets_lost: stats.packets_lost,
            fraction_lost: stats.fraction_lost,
            jitter: stats.jitter,
            packets_repeated: stats.packets_repeated,
            packets_repaired: stats.packets_repaired,
            nack_count: stats.nack_count,
            nack_packet_count: stats.nack_packet_count,
            pli_count: stats.pli_count,
            fir_count: stats.fir_count,
            key_frames: stats.key_frames,
            round_trip_time: stats.round_trip_us.map(ms),
        }
    }
}

/// A consumer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumerCounters {
    pub(crate) r#type: ConsumerType,
    pub(crate) ssrc: u32,
    pub(crate) paused: bool,
    /// The path to its receiver does not carry it, so nothing is sent until it does.
    pub(crate) suspended: bool,
    /// Spatial layer that it is to be sent at most, the lowest is 0.
    pub(crate) preferred_spatial_layer: u8,
    /// Spatial layer that it is sent, of a producer with several.
    pub(crate) current_spatial_layer: Option<u8>,
    /// What keeps it from being sent more, of pictures: "path", "preference" or "source".
    pub(crate) limited_by: Option<&'static str>,
    pub(crate) packet_count: u64,
    /// Payload, in bytes.
    pub(crate) byte_count: u64,
    pub(crate) packets_retransmitted: u64,
    pub(crate) nack_count: u64,
    /// Packets that were asked for in them.
    pub(crate) nack_packet_count: u64,
    pub(crate) pli_count: u64,
    pub(crate) fir_count: u64,
    /// As its receiver reports.
    pub(crate) packets_lost: i64,
    /// The same of its last report, in 1/256.
    pub(crate) fraction_lost: u8,
    /// In units of the codec's clock.
    pub(crate) jitter: u32,
    /// In milliseconds.
    pub(crate) round_trip_time: Option<f64>,
    /// What was withheld from it or could not be sent, by reason.
    pub(crate) discards: BTreeMap<&'static str, u64>,
}

impl ConsumerCounters {
    pub(super) fn of(stats: &ConsumerStats) -> Self {
        Self {
            r#type: ConsumerType::OutboundRtp,
            ssrc: stats.ssrc,
            paused: stats.paused,
            suspended: stats.suspended,
            preferred_spatial_layer: stats.preferred_spatial,
            current_spatial_layer: stats.current_spatial,
            limited_by: stats.limited_by.map(limit),
            packet_count: stats.packet_count,
            byte_count: stats.byte_count,
            packets_retransmitted: stats.packets_retransmitted,
            nack_count: stats.nack_count,
            nack_packet_count: stats.nack_packet_count,
            pli_count: stats.pli_count,
            fir_count: stats.fir_count,
            packets_lost: stats.packets_lost,
            fraction_lost: stats.fraction_lost,
            jitter: stats.jitter,
            round_trip_time: stats.round_trip_us.map(ms),
            discards: by_reason(&stats.discards),
        }
    }
}

/// What keeps a consumer from being sent more.
fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::Path => "path",
        Limit::Preference => "preference",
        Limit::Source => "source",
    }
}

/// A data producer: what a client sends on a channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DataProducerCounters {
    pub(crate) r#type: DataProducerType,
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) paused: bool,
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
}

impl DataProducerCounters {
    pub(super) fn of(stats: &DataProducerStats) -> Self {
        Self {
            r#type: DataProducerType::DataProducer,
            label: stats.label.clone(),
            protocol: stats.protocol.clone(),
            paused: stats.paused,
            messages_received: stats.messages_received,
            bytes_received: stats.bytes_received,
        }
    }
}

/// A data consumer: what a client is sent on a channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DataConsumerCounters {
    pub(crate) r#type: DataConsumerType,
    pub(crate) paused: bool,
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    /// Bytes that wait to be sent.
    pub(crate) buffered_amount: u32,
    /// Messages that were not sent, by reason.
    pub(crate) discards: BTreeMap<&'static str, u64>,
}

impl DataConsumerCounters {
    pub(super) fn of(stats: &DataConsumerStats) -> Self {
        Self {
            r#type: DataConsumerType::DataConsumer,
            paused: stats.paused,
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            buffered_amount: stats.buffered_amount,
            discards: by_reason(&stats.discards),
        }
    }
}

fn kind(kind: MediaKind) -> Kind {
    match kind {
        MediaKind::Audio => Kind::Audio,
        MediaKind::Video => Kind::Video,
    }
}

/// mediasoup tells round trips in milliseconds.
fn ms(us: u32) -> f64 {
    f64::from(us) / 1_000.0
}

/// Which object it is, and whose.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owned {
    /// Its name.
    pub(crate) id: String,
    pub(crate) room_id: String,
    /// Name of its peer; empty of what crosses between workers.
    pub(crate) peer_id: String,
    /// Index of its worker.
    pub(crate) worker: u32,
}

/// A transport of a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ListedTransport {
    #[serde(flatten)]
    pub(crate) of: Owned,
    #[serde(flatten)]
    pub(crate) counters: TransportCounters,
}

/// A producer of a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedProducer {
    #[serde(flatten)]
    pub(crate) of: Owned,
    pub(crate) kind: Kind,
    /// MIME type of what it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<String>,
    pub(crate) paused: bool,
    pub(crate) transport_id: Option<String>,
    /// One for each encoding.
    pub(crate) streams: Vec<StreamCounters>,
}

/// A consumer of a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedConsumer {
    #[serde(flatten)]
    pub(crate) of: Owned,
    #[serde(flatten)]
    pub(crate) counters: ConsumerCounters,
    /// MIME type of what it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<String>,
    pub(crate) transport_id: Option<String>,
    pub(crate) producer_id: Option<String>,
    /// Name of the peer whose media it is.
    pub(crate) producer_peer_id: Option<String>,
}

/// A data producer of a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedDataProducer {
    #[serde(flatten)]
    pub(crate) of: Owned,
    #[serde(flatten)]
    pub(crate) counters: DataProducerCounters,
    pub(crate) transport_id: Option<String>,
}

/// A data consumer of a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedDataConsumer {
    #[serde(flatten)]
    pub(crate) of: Owned,
    #[serde(flatten)]
    pub(crate) counters: DataConsumerCounters,
    pub(crate) transport_id: Option<String>,
    pub(crate) data_producer_id: Option<String>,
}

/// Every object with its name, room and relations.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lists {
    pub(crate) transports: Vec<ListedTransport>,
    pub(crate) producers: Vec<ListedProducer>,
    pub(crate) consumers: Vec<ListedConsumer>,
    pub(crate) data_producers: Vec<ListedDataProducer>,
    pub(crate) data_consumers: Vec<ListedDataConsumer>,
}

impl Lists {
    /// Adds an object. One that its room does not know, since it is being made or closed, has no owner and is left out.
    pub(super) fn push(&mut self, worker: u32, stats: &ObjectStats, names: &Names) {
        let name = |id: u64| names.get(&id).map(|(named, _)| named.name.clone());
        let find = |id: u64| {
            let (named, room) = names.get(&id)?;
            let (id, room_id, peer_id) = (named.name.clone(), room.clone(), named.peer.clone());
            Some((Owned { id, room_id, peer_id, worker }, named))
        };
        match stats {
            ObjectStats::Transport(stats) => {
                let Some((of, named)) = find(stats.transport.0) else { return };
                let mut counters = TransportCounters::of(stats);
                counters.srtp_crypto_suite = named.suite.map(SrtpCryptoSuite::name).or(counters.srtp_crypto_suite);
                self.transports.push(ListedTransport { of, counters });
            }
            ObjectStats::Producer(stats) => {
                let Some((of, named)) = find(stats.producer.0) else { return };
                self.producers.push(ListedProducer {
                    of,
                    kind: kind(stats.kind),
                    codec: named.codec.clone(),
                    paused: stats.paused,
                    transport_id: name(stats.transport.0),
                    streams: stats.streams.iter().map(|stream| StreamCounters::of(stream, stats)).collect(),
                });
            }
            ObjectStats::Consumer(stats) => {
                let Some((of, named)) = find(stats.consumer.0) else { return };
                self.consumers.push(ListedConsumer {
                    of,
                    counters: ConsumerCounters::of(stats),
                    codec: named.codec.clone(),
                    transport_id: name(stats.transport.0),
                    producer_id: name(stats.producer.0),
                    producer_peer_id: names.get(&stats.producer.0).map(|(named, _)| named.peer.clone()),
                });
            }
            ObjectStats::DataProducer(stats) => {
                let Some((of, _)) = find(stats.data_producer.0) else { return };
                let (counters, transport_id) = (DataProducerCounters::of(stats), name(stats.transport.0));
                self.data_producers.push(ListedDataProducer { of, counters, transport_id });
            }
            ObjectStats::DataConsumer(stats) => {
                let Some((of, _)) = find(stats.data_consumer.0) else { return };
                self.data_consumers.push(ListedDataConsumer {
                    of,
                    counters: DataConsumerCounters::of(stats),
                    transport_id: name(stats.transport.0),
                    data_producer_id: name(stats.data_producer.0),
                });
            }
        }
    }
}
