//! What crosses a pipe from one router to another: all encodings of a producer, under the router's own numbers, so that
//! a consumer is the same on either side (mediasoup's `getPipeConsumerRtpParameters`, without RTX).

use corecast_wire::{
    CodecMapping, ConsumeOptions, ConsumerExtension, EncodingMapping, ExtensionMapping, PayloadTypeMapping,
    ProduceOptions,
};

use super::negotiate::extension;
use super::parameters::{CodecLike, Kind, RtpParameters};
use super::produce::codec_of;

/// A producer as it crosses a pipe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piped {
    /// Consumers of the producer, one for each encoding.
    pub(crate) consume: Vec<ConsumeOptions>,
    /// The producer on the far side.
    pub(crate) produce: ProduceOptions,
}

/// A producer crosses under these SSRCs, one for each of its encodings, with these first sequence numbers.
pub(crate) fn pipe(kind: Kind, consumable: &RtpParameters, streams: &[(u32, u16)]) -> Piped {
    let media: Vec<_> = consumable.codecs.iter().filter(|codec| !codec.is_rtx()).collect();
    let codec = |codec: &&super::parameters::RtpCodecParameters| CodecMapping {
        payload_type: codec.payload_type,
        mapped_payload_type: codec.payload_type,
        codec: codec_of(&codec.mime_type),
        clock_rate_hz: codec.clock_rate,
    };
    let known = consumable.header_extensions.iter().filter_map(|known| Some((extension(&known.uri)?, known.id)));
    let extensions: Vec<_> = known.filter(|(which, _)| !which.is_hop_local()).collect();
    let is_video = kind == Kind::Video;
    let encodings = streams.iter().map(|(ssrc, _)| EncodingMapping::announced(*ssrc)).collect();
    let produce = ProduceOptions {
        header_extensions: extensions
            .iter()
            .map(|(which, id)| ExtensionMapping { extension: *which, id: *id, mapped_id: *id })
            .collect(),
        nack: true,
        pli: is_video,
        fir: is_video,
        ..ProduceOptions::new(kind.into(), media.iter().map(codec).collect(), encodings)
    };
    let payload_types: Vec<_> = media.iter().map(|codec| PayloadTypeMapping::same(codec.payload_type)).collect();
    let cname = consumable.rtcp.cname.clone().unwrap_or_default();
    let consume = streams.iter().zip(0_u8..).map(|((ssrc, first_sequence), encoding)| ConsumeOptions {
        header_extensions: extensions.iter().map(|(which, id)| ConsumerExtension::same(*which, *id)).collect(),
        nack: true,
        first_sequence: *first_sequence,
        encoding: (streams.len() > 1).then_some(encoding),
        ..ConsumeOptions::new(*ssrc, payload_types.clone(), cname.clone())
    });
    Piped { consume: consume.collect(), produce }
}
