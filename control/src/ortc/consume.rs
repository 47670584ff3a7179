//! A consumer's parameters: the part of a producer that a receiver with these capabilities can be sent.

use std::collections::HashSet;

use corecast_wire::{ConsumeOptions, ConsumerExtension, PayloadTypeMapping, RedundancyOptions, RtxOptions};

use super::negotiate::{ABS_SEND_TIME, TRANSPORT_CC, extension, red_of};
use super::parameters::{
    CodecLike, Kind, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecParameters, RtpEncoding,
    RtpHeaderExtensionParameters, RtpParameters, Rtx,
};
use super::produce::scalability_layers;
use super::{OrtcError, matching};

/// What the caller decides and draws.
#[derive(Clone, Debug)]
pub(crate) struct ConsumeRequest {
    /// RTX if the receiver has it; by default for video only.
    pub(crate) enable_rtx: Option<bool>,
    pub(crate) paused: bool,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    pub(crate) first_sequence: u16,
    pub(crate) rtx_first_sequence: u16,
    pub(crate) mid: u32,
}

/// A consumer, as the receiver and as the data plane are told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Consumed {
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) options: ConsumeOptions,
}

/// Whether a receiver can play a producer at all.
pub(crate) fn can_consume(consumable: &RtpParameters, capabilities: &RtpCapabilities) -> bool {
    let matches =
        |codec: &&RtpCodecParameters| capabilities.codecs.iter().any(|c| matching::strict(c, *codec).is_some());
    consumable.codecs.iter().find(matches).is_some_and(CodecLike::is_primary)
}

/// The parameters of a new consumer.
pub(crate) fn consume(
    kind: Kind,
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
    request: &ConsumeRequest,
) -> Result<Consumed, OrtcError> {
    let enable_rtx = request.enable_rtx.unwrap_or(kind == Kind::Video);
    let mut codecs = choose_codecs(consumable, capabilities, enable_rtx);
    let Some(first) = codecs.first().filter(|codec| codec.is_primary()) else {
        return Err(OrtcError::Unsupported(
            "rtpCapabilities.codecs: none of the producer's codecs is among them".into(),
        ));
    };
    let nack = first.rtcp_feedback.iter().any(|feedback| feedback.is("nack", ""));
    // Extensions match by URI and id, not by kind: a receiver lists each URI once, with the kind of any of its lines.
    let known = |uri: &str, id| capabilities.header_extensions.iter().any(|e| e.uri == uri && e.preferred_id == id);
    let header_extensions: Vec<_> =
        consumable.header_extensions.iter().filter(|e| known(&e.uri, e.id)).cloned().collect();
    let has = |uri| header_extensions.iter().any(|extension| extension.uri == uri);
    let (transport_cc, abs_send_time) = (has(TRANSPORT_CC), has(ABS_SEND_TIME));
    // One kind for all consumers of a receiver, whether or not each producer has such numbers.
    let may_ccfb = !capabilities.header_extensions.iter().any(|extension| extension.uri == TRANSPORT_CC);
    let ccfb = restrict(&mut codecs, (transport_cc, abs_send_time), may_ccfb);
    let rtx_types: Vec<_> =
        codecs.iter().filter(|codec| codec.is_rtx()).filter_map(|rtx| Some((rtx.apt()?, rtx.payload_type))).collect();
    let has_rtx = !rtx_types.is_empty();
    let cname = consumable.rtcp.cname.clone().unwrap_or_default();
    let options = ConsumeOptions {
        ssrc: request.ssrc,
        rtx: has_rtx.then_some(RtxOptions {
            ssrc: request.rtx_ssrc,
            payload_types: rtx_types,
            first_sequence: request.rtx_first_sequence,
        }),
        payload_types: codecs
            .iter()
            .filter(|codec| !codec.is_rtx())
            .map(|codec| PayloadTypeMapping::same(codec.payload_type))
            .collect(),
        header_extensions: header_extensions.iter().filter_map(passed_on).collect(),
        mid: None,
        nack,
        ccfb,
        first_sequence: request.first_sequence,
        cname: cname.clone(),
        paused: request.paused,
        encoding: None,
        redundancy: redundancy(&codecs),
        ignore_dtx: false,
        outlives_producer: false,
    };
    let encoding = RtpEncoding {
        ssrc: Some(request.ssrc),
        rtx: has_rtx.then_some(Rtx { ssrc: request.rtx_ssrc }),
        scalability_mode: scalability_mode(&consumable.encodings),
        max_bitrate: consumable.encodings.iter().filter_map(|encoding| encoding.max_bitrate).max(),
        ..RtpEncoding::default()
    };
    let rtp_parameters = RtpParameters {
        mid: Some(request.mid.to_string()),
        codecs,
        header_extensions,
        encodings: vec![encoding],
        rtcp: RtcpParameters { cname: Some(cname), reduced_size: true, mux: None },
        msid: consumable.msid.clone(),
    };
    Ok(Consumed { rtp_parameters, options })
}

/// One kind of congestion control: transport-wide feedback where packets carry its numbers, else that of RFC 8888 if it
/// may be, else REMB. Returns whether it is the second.
fn restrict(codecs: &mut [RtpCodecParameters], (transport_cc, abs_send_time): (bool, bool), may_ccfb: bool) -> bool {
    let first = codecs.first().map(|codec| codec.rtcp_feedback.as_slice()).unwrap_or_default();
    let ccfb = may_ccfb && first.iter().any(RtcpFeedback::is_ccfb);
    for codec in codecs {
        codec.rtcp_feedback.retain(|feedback| match feedback.kind.as_str() {
            "transport-cc" => transport_cc,
            "goog-remb" => abs_send_time && !transport_cc && !ccfb,
            _ => ccfb || !feedback.is_ccfb(),
        });
    }
    ccfb
}

/// The redundant sound that may be made for a receiver, in the router's numbers.
fn redundancy(codecs: &[RtpCodecParameters]) -> Option<RedundancyOptions> {
    let router = codecs.first()?.payload_type;
    red_of(codecs, router).map(|red| RedundancyOptions { router, receiver: red.payload_type })
}

/// Encodings of simulcast are spatial layers to a consumer.
fn scalability_mode(encodings: &[RtpEncoding]) -> Option<String> {
    let first = encodings.iter().find_map(|encoding| encoding.scalability_mode.as_deref());
    match encodings.len() {
        spatial @ 2.. => {
            let (_, temporal) = first.and_then(scalability_layers).unwrap_or((1, 1));
            Some(format!("L{spatial}T{temporal}"))
        }
        _ => first.map(str::to_owned),
    }
}

/// An extension that the receiver calls as the router does.
fn passed_on(parameters: &RtpHeaderExtensionParameters) -> Option<ConsumerExtension> {
    let extension = extension(&parameters.uri)?;
    Some(ConsumerExtension { extension, router_id: parameters.id, receiver_id: parameters.id })
}

/// The consumable codecs that the receiver has, with the receiver's feedback; RTX only behind its media codec.
fn choose_codecs(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
    enable_rtx: bool,
) -> Vec<RtpCodecParameters> {
    let mut codecs: Vec<RtpCodecParameters> = Vec::new();
    for codec in consumable.codecs.iter().filter(|codec| enable_rtx || !codec.is_rtx()) {
        let Some(capability) = capabilities.codecs.iter().find(|c| matching::strict(*c, codec).is_some()) else {
            continue;
        };
        let mut codec = codec.clone();
        let feedback = capability.rtcp_feedback.iter().filter(|feedback| enable_rtx || !feedback.is("nack", ""));
        codec.rtcp_feedback = feedback.cloned().collect();
        codecs.push(codec);
    }
    let media: HashSet<u8> = codecs.iter().filter(|codec| !codec.is_rtx()).map(|codec| codec.payload_type).collect();
    codecs.retain(|codec| !codec.is_rtx() || codec.apt().is_some_and(|apt| media.contains(&apt)));
    codecs
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
