//! Counters of one object as mediasoup's `getStats()` answers: an array of entries, each with a type and a timestamp.
//! Beside mediasoup's members there are some of corecast's own; what is not counted here is left out.

use corecast_wire::StreamStats;
use serde_json::{Value, json};

use super::stats;
use crate::rooms::{ConsumerReport, ProducerReport, Report, TransportReport};

/// Adds members to an entry.
fn with(mut entry: Value, members: Value) -> Value {
    if let (Some(entry), Value::Object(members)) = (entry.as_object_mut(), members) {
        entry.extend(members);
    }
    entry
}

/// Leaves members out that have no value: mediasoup's optional ones are absent then.
fn without_null(entry: Value) -> Value {
    match entry {
        Value::Object(members) => Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

/// Where both sides of a WebRTC transport are, once it is known.
fn tuple(report: &TransportReport) -> Value {
    let stats = &report.stats;
    let Some((webrtc, remote)) = stats.webrtc.as_ref().zip(stats.remote) else { return Value::Null };
    json!({
        "localIp": stats.local.ip(),
        "localAddress": stats.local.ip(),
        "localPort": stats.local.port(),
        "remoteIp": remote.ip(),
        "remotePort": remote.port(),
        "protocol": webrtc.protocol.map(stats::protocol),
    })
}

fn transport(report: &TransportReport) -> Value {
    let limit = |bps: u64| (bps > 0).then_some(bps);
    let is_webrtc = report.stats.webrtc.is_some();
    let members = json!({
        "transportId": report.name,
        "recvBitrate": report.received_bps,
        "sendBitrate": report.sent_bps,
        "maxIncomingBitrate": limit(report.max_incoming_bps),
        "maxOutgoingBitrate": limit(report.max_outgoing_bps),
        "iceRole": is_webrtc.then_some("controlled"),
        "iceSelectedTuple": tuple(report),
    });
    without_null(with(stats::transport(&report.stats), members))
}

fn inbound(report: &ProducerReport, at: usize, stream: &StreamStats) -> Value {
    let (score, bitrate) = report.streams.get(at).copied().unwrap_or_default();
    let members = json!({
        "kind": report.kind,
        "mimeType": report.mime_type,
        "score": score,
        "bitrate": bitrate,
        // Layers are not counted apart: all of a stream's are its lowest.
        "bitrateByLayer": { "0.0": bitrate },
        "packetsDiscarded": stream.packets_repeated,
        "packetsRetransmitted": stream.packets_repaired,
    });
    without_null(with(stats::stream(stream, &report.stats), members))
}

fn producer(report: &ProducerReport) -> Vec<Value> {
    let streams = report.stats.streams.iter().enumerate();
    // mediasoup tells of a stream when its first packet has come.
    streams.filter(|(_, stream)| stream.ssrc.is_some()).map(|(at, stream)| inbound(report, at, stream)).collect()
}

fn consumer(report: &ConsumerReport) -> Vec<Value> {
    let members = json!({
        "kind": report.kind,
        "mimeType": report.mime_type,
        "rtxSsrc": report.rtx_ssrc,
        "score": report.score.score,
        "bitrate": report.bps,
    });
    let sent = without_null(with(stats::consumer(&report.stats), members));
    let source = report.producer.as_ref().and_then(|(producer, at)| {
        let stream = producer.stats.streams.get(*at).filter(|stream| stream.ssrc.is_some())?;
        Some(inbound(producer, *at, stream))
    });
    [sent].into_iter().chain(source).collect()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One object's entries.
pub(crate) fn get_stats(report: &Report) -> Value {
    let mut entries = match report {
        Report::Transport(report) => vec![transport(report)],
        Report::Producer(report) => producer(report),
        Report::Consumer(report) => consumer(report),
        Report::DataProducer(stats) => vec![stats::data_producer(stats)],
        Report::DataConsumer { stats, label, protocol } => {
            vec![with(stats::data_consumer(stats), json!({ "label": label, "protocol": protocol }))]
        }
    };
    let timestamp = now_ms();
    entries.iter_mut().for_each(|entry| entry["timestamp"] = json!(timestamp));
    Value::Array(entries)
}
