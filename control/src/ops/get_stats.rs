//! Counters of one object as mediasoup's `getStats()` answers: an array of entries, each with a type and a timestamp.
//! Beside mediasoup's members there are some of corecast's own; what is not counted here is left out.

use std::collections::BTreeMap;

use corecast_wire::StreamStats;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::stats::{
    self, ConsumerCounters, DataConsumerCounters, DataProducerCounters, StreamCounters, TransportCounters,
};
use crate::ortc::Kind;
use crate::rooms::{ConsumerReport, ProducerReport, Report, TransportReport};

/// Where both sides of a WebRTC transport are.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransportTuple {
    local_ip: String,
    /// The same as `localIp`.
    local_address: String,
    local_port: u16,
    remote_ip: String,
    remote_port: u16,
    /// "udp" or "tcp".
    protocol: Option<&'static str>,
}

impl TransportTuple {
    /// None until it is known.
    fn of(report: &TransportReport) -> Option<Self> {
        let (webrtc, remote) = report.stats.webrtc.as_ref().zip(report.stats.remote)?;
        let local = report.stats.local;
        Some(Self {
            local_ip: local.ip().to_string(),
            local_address: local.ip().to_string(),
            local_port: local.port(),
            remote_ip: remote.ip().to_string(),
            remote_port: remote.port(),
            protocol: webrtc.protocol.map(stats::protocol),
        })
    }
}

/// A transport's entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransportEntry {
    #[serde(flatten)]
    counters: TransportCounters,
    timestamp: u64,
    transport_id: String,
    /// Bits per second since the entry before; 0 in the first.
    recv_bitrate: u64,
    send_bitrate: u64,
    /// Most that its producers are asked to send, in bits per second.
    max_incoming_bitrate: Option<u64>,
    /// Most that its consumers are sent, in bits per second.
    max_outgoing_bitrate: Option<u64>,
    /// "controlled", of a WebRTC transport.
    ice_role: Option<&'static str>,
    ice_selected_tuple: Option<TransportTuple>,
}

/// The entry of a received stream: of a producer's, and of the one that a consumer is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamEntry {
    #[serde(flatten)]
    counters: StreamCounters,
    timestamp: u64,
    mime_type: String,
    /// From 0 to 10.
    score: u8,
    /// Bits per second since the entry before.
    bitrate: u64,
    /// Layers are not counted apart: all of a stream's are its lowest, "0.0".
    bitrate_by_layer: BTreeMap<&'static str, u64>,
    /// The same as `packetsRepeated`.
    packets_discarded: u64,
    /// The same as `packetsRepaired`.
    packets_retransmitted: u64,
}

/// A consumer's entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumerEntry {
    #[serde(flatten)]
    counters: ConsumerCounters,
    timestamp: u64,
    kind: Kind,
    mime_type: String,
    rtx_ssrc: Option<u32>,
    /// From 0 to 10.
    score: u8,
    /// Bits per second since the entry before.
    bitrate: u64,
}

/// A data producer's entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DataProducerEntry {
    #[serde(flatten)]
    counters: DataProducerCounters,
    timestamp: u64,
}

/// A data consumer's entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DataConsumerEntry {
    #[serde(flatten)]
    counters: DataConsumerCounters,
    timestamp: u64,
    /// Label and protocol of its data producer.
    label: String,
    protocol: String,
}

/// One entry; members without a value are absent, as mediasoup's optional ones are.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Entry {
    Transport(Box<TransportEntry>),
    Stream(Box<StreamEntry>),
    Consumer(Box<ConsumerEntry>),
    DataProducer(DataProducerEntry),
    DataConsumer(DataConsumerEntry),
}

fn transport(report: &TransportReport, timestamp: u64) -> Entry {
    let limit = |bps: u64| (bps > 0).then_some(bps);
    Entry::Transport(Box::new(TransportEntry {
        counters: TransportCounters::of(&report.stats),
        timestamp,
        transport_id: report.name.clone(),
        recv_bitrate: report.received_bps,
        send_bitrate: report.sent_bps,
        max_incoming_bitrate: limit(report.max_incoming_bps),
        max_outgoing_bitrate: limit(report.max_outgoing_bps),
        ice_role: report.stats.webrtc.is_some().then_some("controlled"),
        ice_selected_tuple: TransportTuple::of(report),
    }))
}

fn inbound(report: &ProducerReport, at: usize, stream: &StreamStats, timestamp: u64) -> Entry {
    let (score, bitrate) = report.streams.get(at).copied().unwrap_or_default();
    Entry::Stream(Box::new(StreamEntry {
        counters: StreamCounters::of(stream, &report.stats),
        timestamp,
        mime_type: report.mime_type.clone(),
        score,
        bitrate,
        bitrate_by_layer: BTreeMap::from([("0.0", bitrate)]),
        packets_discarded: stream.packets_repeated,
        packets_retransmitted: stream.packets_repaired,
    }))
}

fn producer(report: &ProducerReport, timestamp: u64) -> Vec<Entry> {
    // mediasoup tells of a stream when its first packet has come.
    let streams = report.stats.streams.iter().enumerate().filter(|(_, stream)| stream.ssrc.is_some());
    streams.map(|(at, stream)| inbound(report, at, stream, timestamp)).collect()
}

fn consumer(report: &ConsumerReport, timestamp: u64) -> Vec<Entry> {
    let sent = Entry::Consumer(Box::new(ConsumerEntry {
        counters: ConsumerCounters::of(&report.stats),
        timestamp,
        kind: report.kind,
        mime_type: report.mime_type.clone(),
        rtx_ssrc: report.rtx_ssrc,
        score: report.score.score,
        bitrate: report.bps,
    }));
    let source = report.producer.as_ref().and_then(|(producer, at)| {
        let stream = producer.stats.streams.get(*at).filter(|stream| stream.ssrc.is_some())?;
        Some(inbound(producer, *at, stream, timestamp))
    });
    [sent].into_iter().chain(source).collect()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Leaves out what has no value, in all depths.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(known.map(|(name, value)| (name, without_null(value))).collect())
        }
        Value::Array(values) => values.into_iter().map(without_null).collect(),
        other => other,
    }
}

/// One object's entries: an array of [`Entry`].
pub(crate) fn get_stats(report: &Report) -> Value {
    let timestamp = now_ms();
    let entries = match report {
        Report::Transport(report) => vec![transport(report, timestamp)],
        Report::Producer(report) => producer(report, timestamp),
        Report::Consumer(report) => consumer(report, timestamp),
        Report::DataProducer(stats) => {
            vec![Entry::DataProducer(DataProducerEntry { counters: DataProducerCounters::of(stats), timestamp })]
        }
        Report::DataConsumer { stats, label, protocol } => vec![Entry::DataConsumer(DataConsumerEntry {
            counters: DataConsumerCounters::of(stats),
            timestamp,
            label: label.clone(),
            protocol: protocol.clone(),
        })],
    };
    without_null(serde_json::to_value(entries).unwrap_or_default())
}
