//! Statistics and dumps of streams.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::rtp_parameters::{RtpEncodingParameters, RtpParameters, Type};
use corecast_mediasoup_worker::fbs::rtp_stream::{
    BaseStats, BitrateByLayer, Dump, Params, RecvStats, SendStats, Stats, StatsData,
};
use corecast_mediasoup_worker::fbs::{consumer, producer, rtx_stream};
use corecast_wire::{Command, ConsumerStats, Object, ObjectStats, ProducerId, ProducerStats, Reply, StreamStats};

use super::objects::{Consumer, Producer};
use super::transport::now_ms;
use super::{Answer, Answered, Door, rtp};
use crate::refusal::{Outcome, Refusal};

/// Spatial layers of an encoding, and temporal ones, of which bitrates are told: those that the worker counts.
const MAX_TOLD_LAYERS: usize = 4;

impl Door {
    pub(super) fn producer_stats(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.producer_number(name)?;
        let stats = self.received(machine, id)?.into_iter().map(|(_, stats)| stats).collect();
        Ok(Some(Answer::ProducerGetStatsResponse(Box::new(producer::GetStatsResponse { stats }))))
    }

    /// Statistics of a producer's streams that have come, each with the place of its encoding.
    fn received(&mut self, machine: &mut dyn Machine, id: ProducerId) -> Outcome<Vec<(usize, Stats)>> {
        let streams = producer_of(machine.execute(&Command::ObjectStats { object: Object::Producer(id) })?)?.streams;
        let producer = self.objects.producer(id)?;
        let mut stats = Vec::new();
        // As mediasoup does, of those alone that have come.
        let come = |stream: &StreamStats| stream.ssrc.is_some() && stream.packet_count > 0;
        for (index, stream) in streams.iter().enumerate().filter(|(_, stream)| come(stream)) {
            let bytes = stream.layer_bytes.iter().flatten().sum();
            let bitrate = producer.rates.get_mut(index).map_or(0, |rate| rate.of(bytes));
            let layers = layer_bitrates(producer, index, stream);
            let score = producer.scores.get(index).copied().unwrap_or(0);
            stats.push((index, received_stats(producer, stream, (bitrate, layers), score)));
        }
        Ok(stats)
    }

    pub(super) fn consumer_stats(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.consumer_number(name)?;
        let parts = self.objects.consumer(id)?.parts.clone();
        let mut stats = Vec::new();
        for (at, part) in parts.into_iter().enumerate() {
            let reply = machine.execute(&Command::ObjectStats { object: Object::Consumer(part) })?;
            let Reply::ObjectStats(object) = reply else { return Err(none()) };
            let ObjectStats::Consumer(sent) = *object else { return Err(none()) };
            let consumer = self.objects.consumer(id)?;
            let bitrate = consumer.rates.get_mut(at).map_or(0, |rate| rate.of(sent.rtp_byte_count));
            stats.push(sent_stats(consumer, at, &sent, bitrate));
        }
        let consumer = self.objects.consumer(id)?;
        if consumer.type_ != Type::Pipe {
            let (source, current) = (consumer.producer, consumer.current);
            // The one that is sent, if the producer has several.
            let at = current.map_or(0, |current| usize::from(current.encoding));
            let received = self.received(machine, source)?;
            stats.extend(received.into_iter().find(|(index, _)| *index == at).map(|(_, stats)| stats));
        }
        Ok(Some(Answer::ConsumerGetStatsResponse(Box::new(consumer::GetStatsResponse { stats }))))
    }

    /// Streams of a producer that have come, as dumps have them.
    pub(super) fn producer_streams(&mut self, machine: &mut dyn Machine, id: ProducerId) -> Outcome<Vec<Dump>> {
        let streams = producer_of(machine.execute(&Command::ObjectStats { object: Object::Producer(id) })?)?.streams;
        let producer = self.objects.producer(id)?;
        let (mut dumps, shared) = (Vec::new(), params(&producer.rtp_parameters));
        for (index, stream) in (0..).zip(&streams) {
            let Some(ssrc) = stream.ssrc.filter(|_| stream.packet_count > 0) else { continue };
            let place = usize::try_from(index).unwrap_or(usize::MAX);
            let encoding = producer.rtp_parameters.encodings.get(place);
            let (spatial_layers, temporal_layers) = encoding.map_or((1, 1), rtp::layers);
            let params = Params {
                encoding_idx: index,
                ssrc,
                rid: Some(stream.rid.clone().unwrap_or_default()),
                rtx_ssrc: stream.rtx_ssrc,
                use_dtx: encoding.is_some_and(|encoding| encoding.dtx) || shared.use_dtx,
                spatial_layers,
                temporal_layers,
                ..shared.clone()
            };
            let score = producer.scores.get(place).copied().unwrap_or(0);
            dumps.push(dump(params, score));
        }
        Ok(dumps)
    }
}

/// The streams that a consumer sends: one, or those of a pipe.
pub(super) fn sent_streams(parameters: &RtpParameters, score: u8) -> Vec<Dump> {
    let shared = params(parameters);
    let encodings = (0..).zip(&parameters.encodings);
    let streams = encodings.map(|(encoding_idx, encoding)| {
        let (spatial_layers, temporal_layers) = rtp::layers(encoding);
        let params = Params {
            encoding_idx,
            ssrc: encoding.ssrc.unwrap_or(0),
            rtx_ssrc: encoding.rtx.as_ref().map(|rtx| rtx.ssrc),
            use_dtx: encoding.dtx || shared.use_dtx,
            spatial_layers,
            temporal_layers,
            ..shared.clone()
        };
        dump(params, score)
    });
    streams.collect()
}

/// What all streams with these parameters share.
fn params(parameters: &RtpParameters) -> Params {
    let codec = rtp::media_codec(parameters);
    let feedback = codec.and_then(|codec| codec.rtcp_feedback.as_ref());
    let has = |kind: &str, parameter: &str| {
        feedback
            .into_iter()
            .flatten()
            .any(|one| one.type_ == kind && one.parameter.as_deref().unwrap_or_default() == parameter)
    };
    Params {
        payload_type: codec.map_or(0, |codec| codec.payload_type),
        mime_type: codec.map_or_else(String::new, |codec| codec.mime_type.clone()),
        clock_rate: codec.map_or(0, |codec| codec.clock_rate),
        cname: parameters.rtcp.cname.clone().unwrap_or_default(),
        // The library reads it where there is none, too.
        rid: Some(String::new()),
        rtx_payload_type: rtp::rtx_codec(parameters).map(|codec| codec.payload_type),
        use_in_band_fec: codec.is_some_and(|codec| rtp::is_set(codec, "useinbandfec")),
        use_dtx: codec.is_some_and(|codec| rtp::is_set(codec, "usedtx")),
        use_nack: has("nack", ""),
        use_pli: has("nack", "pli"),
        use_fir: has("ccm", "fir"),
        ..Params::default()
    }
}

fn dump(params: Params, score: u8) -> Dump {
    let rtx = params.rtx_ssrc.zip(params.rtx_payload_type).map(|(ssrc, payload_type)| rtx_stream::RtxDump {
        params: Box::new(rtx_stream::Params {
            ssrc,
            payload_type,
            mime_type: params.mime_type.split('/').next().unwrap_or_default().to_owned() + "/rtx",
            clock_rate: params.clock_rate,
            rrid: params.rid.clone(),
            cname: params.cname.clone(),
        }),
    });
    Dump { params: Box::new(params), score, rtx_stream: rtx.map(Box::new) }
}

fn base(mime_type: &str) -> BaseStats {
    BaseStats { timestamp: now_ms(), mime_type: mime_type.to_owned(), ..BaseStats::default() }
}

/// Layers of an encoding of which bitrates are told: none of one without layers. A client may name as many as it likes.
pub(super) fn told_layers(encoding: &RtpEncodingParameters) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (spatial, temporal) = rtp::layers(encoding);
    let told = |layers: u8| if (spatial, temporal) == (1, 1) { 0 } else { usize::from(layers).min(MAX_TOLD_LAYERS) };
    let (spatial, temporal) = (told(spatial), told(temporal));
    (0..spatial).flat_map(move |spatial| (0..temporal).map(move |temporal| (spatial, temporal)))
}

/// What each layer of an encoding takes, as mediasoup counts it: with all of the spatial layers below, and nothing if
/// nothing of the layer itself comes.
fn layer_bitrates(producer: &mut Producer, index: usize, stream: &StreamStats) -> Vec<BitrateByLayer> {
    let layers: Vec<_> = producer.rtp_parameters.encodings.get(index).into_iter().flat_map(told_layers).collect();
    let Some(highest) = layers.last().copied() else { return Vec::new() };
    let rates = producer.layer_rates.get_mut(index).into_iter().flatten();
    let own = layers.iter().zip(rates).map(|(layer, rate)| rate.of(bytes_of(stream, *layer, highest)));
    let own: Vec<u64> = own.collect();
    let bitrates = layers.iter().zip(&own).map(|((spatial, temporal), rate)| {
        let needs = |(other, of): &(usize, usize)| other < spatial || (other == spatial && of <= temporal);
        let with_below = layers.iter().zip(&own).filter(|(layer, _)| needs(layer)).map(|(_, rate)| rate).sum();
        BitrateByLayer { layer: format!("{spatial}.{temporal}"), bitrate: if *rate == 0 { 0 } else { with_below } }
    });
    bitrates.collect()
}

/// Bytes that came of a layer. What is above the highest that the client has named counts as that.
fn bytes_of(stream: &StreamStats, layer: (usize, usize), highest: (usize, usize)) -> u64 {
    let spatial = stream.layer_bytes.iter().enumerate();
    let all = spatial.flat_map(|(spatial, layer)| {
        layer.iter().enumerate().map(move |(temporal, bytes)| ((spatial, temporal), *bytes))
    });
    let counts_as = |(spatial, temporal): (usize, usize)| (spatial.min(highest.0), temporal.min(highest.1));
    all.filter(|(of, _)| counts_as(*of) == layer).map(|(_, bytes)| bytes).sum()
}

fn received_stats(
    producer: &Producer,
    stream: &StreamStats,
    (bitrate, layers): (u64, Vec<BitrateByLayer>),
    score: u8,
) -> Stats {
    let mime_type = rtp::media_codec(&producer.rtp_parameters).map_or("", |codec| &codec.mime_type);
    let base = BaseStats {
        ssrc: stream.ssrc.unwrap_or(0),
        kind: producer.kind,
        packets_lost: i32::try_from(stream.packets_lost).unwrap_or(i32::MAX),
        fraction_lost: stream.fraction_lost,
        jitter: stream.jitter,
        packets_discarded: stream.packets_repeated,
        packets_retransmitted: stream.packets_repaired,
        packets_repaired: stream.packets_repaired,
        nack_count: stream.nack_count,
        nack_packet_count: stream.nack_packet_count,
        pli_count: stream.pli_count,
        fir_count: stream.fir_count,
        rid: stream.rid.clone(),
        rtx_ssrc: stream.rtx_ssrc,
        round_trip_time: millis(stream.round_trip_us),
        score,
        ..base(mime_type)
    };
    Stats {
        data: StatsData::RecvStats(Box::new(RecvStats {
            base: wrapped(base),
            packet_count: stream.packet_count,
            byte_count: stream.layer_bytes.iter().flatten().sum(),
            bitrate,
            bitrate_by_layer: layers,
        })),
    }
}

fn sent_stats(consumer: &Consumer, at: usize, sent: &ConsumerStats, bitrate: u64) -> Stats {
    let base = BaseStats {
        ssrc: sent.ssrc,
        kind: consumer.kind,
        packets_lost: i32::try_from(sent.packets_lost).unwrap_or(i32::MAX),
        fraction_lost: sent.fraction_lost,
        jitter: sent.jitter,
        packets_retransmitted: sent.packets_retransmitted,
        nack_count: sent.nack_count,
        nack_packet_count: sent.nack_packet_count,
        pli_count: sent.pli_count,
        fir_count: sent.fir_count,
        rtx_ssrc: consumer.streams.get(at).and_then(|stream| stream.rtx_ssrc),
        round_trip_time: millis(sent.round_trip_us),
        score: consumer.score,
        ..base(&consumer.mime_type)
    };
    Stats {
        data: StatsData::SendStats(Box::new(SendStats {
            base: wrapped(base),
            packet_count: sent.packet_count,
            byte_count: sent.rtp_byte_count,
            bitrate,
        })),
    }
}

fn wrapped(base: BaseStats) -> Box<Stats> {
    Box::new(Stats { data: StatsData::BaseStats(Box::new(base)) })
}

/// The library has milliseconds.
fn millis(us: Option<u32>) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the field has no more digits")]
    us.map_or(0.0, |us| (f64::from(us) / 1_000.0) as f32)
}

/// What the worker answered about a producer.
pub(super) fn producer_of(reply: Reply) -> Outcome<ProducerStats> {
    let Reply::ObjectStats(stats) = reply else { return Err(none()) };
    match *stats {
        ObjectStats::Producer(stats) => Ok(stats),
        _ => Err(none()),
    }
}

fn none() -> Refusal {
    Refusal::Error("the worker gave no statistics".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mode: &str) -> Vec<(usize, usize)> {
        told_layers(&RtpEncodingParameters { scalability_mode: Some(mode.into()), ..RtpEncodingParameters::default() })
            .collect()
    }

    #[test]
    fn bytes_of_layers_that_were_not_named_count_as_the_highest() {
        let mut stream = StreamStats::default();
        (stream.layer_bytes[0], stream.layer_bytes[1], stream.layer_bytes[3]) = ([1, 2, 4, 8], [16, 0, 0, 32], [64; 4]);
        let of = |layer| bytes_of(&stream, layer, (1, 2));
        assert_eq!([of((0, 0)), of((0, 1)), of((0, 2))], [1, 2, 4 + 8]);
        assert_eq!([of((1, 0)), of((1, 1)), of((1, 2))], [16 + 64, 64, 32 + 2 * 64]);
    }

    #[test]
    fn bitrates_of_layers_are_told_where_there_are_some_and_not_of_as_many_as_a_client_names() {
        assert_eq!(told("L1T1"), []);
        assert_eq!(told("L1T2"), [(0, 0), (0, 1)]);
        assert_eq!(told("L2T1"), [(0, 0), (1, 0)]);
        assert_eq!(told("L99T99").len(), MAX_TOLD_LAYERS * MAX_TOLD_LAYERS);
    }
}
