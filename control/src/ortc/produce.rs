//! A producer's parameters: checked, mapped to the router's numbers, and turned into what consumers choose from.

use std::collections::HashSet;

use corecast_wire::{
    Codec, CodecMapping, EncodingMapping, ExtensionMapping, HeaderExtension, MAX_CNAME_BYTES, MAX_CODECS,
    MAX_ENCODINGS, MAX_HEADER_EXTENSIONS, ProduceOptions,
};
use serde_json::Value;

use super::capabilities::{EXTENSIONS, router_capabilities};
use super::parameters::{
    CodecLike, Direction, Kind, RtcpParameters, RtpCodecCapability, RtpCodecParameters, RtpEncoding,
    RtpHeaderExtensionParameters, RtpParameters,
};
use super::{OrtcError, matching};

const MAX_MID_BYTES: usize = 32;
const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// A producer, as control keeps it and as the data plane is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Produced {
    /// What the data plane is told.
    pub(crate) options: ProduceOptions,
    /// The producer's own parameters, complete.
    pub(crate) rtp_parameters: RtpParameters,
    /// What consumers choose from.
    pub(crate) consumable: RtpParameters,
    /// "simple", "svc" or "simulcast".
    pub(crate) kind_of_streams: &'static str,
}

/// What a producer's packets arrive on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A plain transport: it carries one stream a port, so nothing need tell the streams of a bundle apart.
    Plain,
    /// A WebRTC transport: the data plane reads MID, RIDs, abs-send-time and transport-wide numbers.
    WebRtc,
}

/// Maps a producer. `cname` is used where the parameters have none, `mapped_ssrc` stands in the consumable parameters.
pub(crate) fn produce(
    kind: Kind,
    mut parameters: RtpParameters,
    carrier: Carrier,
    paused: bool,
    cname: &str,
    mapped_ssrc: u32,
) -> Result<Produced, OrtcError> {
    if parameters.encodings.is_empty() {
        parameters.encodings.push(RtpEncoding::default());
    }
    check(kind, &parameters, carrier)?;
    let mapped = map_codecs(&mut parameters)?;
    let media = parameters.codecs.iter().find(|codec| codec.is_primary());
    let asks = |kind, parameter| {
        media.is_some_and(|codec| codec.rtcp_feedback.iter().any(|feedback| feedback.is(kind, parameter)))
    };
    let options = ProduceOptions {
        kind: kind.into(),
        codecs: mapped.iter().map(|(mapping, _)| *mapping).collect(),
        header_extensions: map_extensions(&parameters.header_extensions, carrier),
        encodings: parameters
            .encodings
            .iter()
            .map(|encoding| EncodingMapping {
                ssrc: encoding.ssrc,
                rtx_ssrc: encoding.rtx.map(|rtx| rtx.ssrc),
                rid: encoding.rid.clone(),
            })
            .collect(),
        mid: parameters.mid.clone(),
        nack: asks("nack", ""),
        pli: asks("nack", "pli"),
        fir: asks("ccm", "fir"),
        transport_cc: asks("transport-cc", ""),
        remb: asks("goog-remb", ""),
        key_frame_request_delay_ms: 0,
        paused,
    };
    parameters.rtcp.cname.get_or_insert_with(|| cname.to_owned());
    let consumable = consumable(kind, &parameters, &mapped, mapped_ssrc);
    let scalability = parameters.encodings.first().and_then(|encoding| encoding.scalability_mode.as_deref());
    let layers = scalability.and_then(scalability_layers).unwrap_or((1, 1));
    let kind_of_streams = match parameters.encodings.len() {
        2.. => SIMULCAST,
        _ if layers == (1, 1) => SIMPLE,
        _ => SVC,
    };
    Ok(Produced { options, rtp_parameters: parameters, consumable, kind_of_streams })
}

const SIMPLE: &str = "simple";
const SIMULCAST: &str = "simulcast";
const SVC: &str = "svc";

/// The kind of streams of this name; the simple one, if there is none.
pub(crate) fn kind_of_streams(name: &str) -> &'static str {
    [SIMULCAST, SVC].into_iter().find(|known| *known == name).unwrap_or(SIMPLE)
}

/// Spatial and temporal layers of `L3T3_KEY` and the like.
pub(super) fn scalability_layers(mode: &str) -> Option<(u8, u8)> {
    let (spatial, temporal) = mode.strip_prefix(['L', 'S'])?.split_once('T')?;
    let temporal = temporal.strip_suffix("_KEY").unwrap_or(temporal);
    Some((spatial.parse().ok()?, temporal.parse().ok()?))
}

fn check(kind: Kind, parameters: &RtpParameters, carrier: Carrier) -> Result<(), OrtcError> {
    let codecs = &parameters.codecs;
    if codecs.is_empty() || codecs.len() > MAX_CODECS {
        return Err(OrtcError::invalid("rtpParameters.codecs", format!("must be 1 to {MAX_CODECS} codecs")));
    }
    let mut payload_types = HashSet::new();
    for (index, codec) in codecs.iter().enumerate() {
        let field = |name: &str| format!("rtpParameters.codecs[{index}].{name}");
        let mime_kind = Kind::of_mime_type(&codec.mime_type);
        if mime_kind != Some(kind) {
            let cause = format!("{:?} is not a codec of kind {}", codec.mime_type, kind.name());
            return Err(OrtcError::invalid(field("mimeType"), cause));
        }
        if codec.payload_type > 127 || !payload_types.insert(codec.payload_type) {
            let cause = format!("{} must be 0 to 127 and not given to another codec", codec.payload_type);
            return Err(OrtcError::invalid(field("payloadType"), cause));
        }
        if codec.clock_rate == 0 {
            return Err(OrtcError::invalid(field("clockRate"), "must not be 0"));
        }
        if let Some((name, _)) = codec.parameters.iter().find(|(_, value)| !is_plain(value)) {
            return Err(OrtcError::invalid(field(&format!("parameters.{name}")), "must be text or a number"));
        }
    }
    let Some(first) = codecs.iter().find(|codec| codec.is_primary()) else {
        return Err(OrtcError::invalid("rtpParameters.codecs", "there is no codec but RTX and RED"));
    };
    let of_others = |red: &&RtpCodecParameters| red.is_red() && !red.carries(first.payload_type);
    if let Some(red) = codecs.iter().find(of_others) {
        let (red, first) = (red.payload_type, first.payload_type);
        let cause = format!("blocks of {red} (RFC 2198) must be of the first other codec: {first}/{first}");
        return Err(OrtcError::Unsupported(format!("rtpParameters.codecs: {cause}")));
    }
    check_rest(parameters, carrier)
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Null)
}

fn check_rest(parameters: &RtpParameters, carrier: Carrier) -> Result<(), OrtcError> {
    let mut ids = HashSet::new();
    if parameters.header_extensions.len() > MAX_HEADER_EXTENSIONS {
        let cause = format!("at most {MAX_HEADER_EXTENSIONS}");
        return Err(OrtcError::invalid("rtpParameters.headerExtensions", cause));
    }
    for (index, extension) in parameters.header_extensions.iter().enumerate() {
        if extension.id == 0 || !ids.insert(extension.id) {
            let cause = format!("{} must be 1 to 255 and not given to another extension (RFC 8285)", extension.id);
            return Err(OrtcError::invalid(format!("rtpParameters.headerExtensions[{index}].id"), cause));
        }
    }
    // On a plain transport nothing tells the encodings of a producer apart.
    let max = if carrier == Carrier::WebRtc { MAX_ENCODINGS } else { 1 };
    if parameters.encodings.len() > max {
        let cause = format!("rtpParameters.encodings: at most {max} here; simulcast is for WebRTC transports");
        return Err(OrtcError::Unsupported(cause));
    }
    check_encodings(parameters)?;
    for (field, text, max) in [
        ("rtpParameters.mid", &parameters.mid, MAX_MID_BYTES),
        ("rtpParameters.rtcp.cname", &parameters.rtcp.cname, MAX_CNAME_BYTES),
    ] {
        if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > max) {
            return Err(OrtcError::invalid(field, format!("must be 1 to {max} bytes")));
        }
    }
    Ok(())
}

fn check_encodings(parameters: &RtpParameters) -> Result<(), OrtcError> {
    let (mut ssrcs, mut rids) = (HashSet::new(), HashSet::new());
    for (index, encoding) in parameters.encodings.iter().enumerate() {
        let invalid = |field: &str, cause: &str| {
            Err(OrtcError::invalid(format!("rtpParameters.encodings[{index}].{field}"), cause))
        };
        if encoding.ssrc.is_some() && encoding.ssrc == encoding.rtx.map(|rtx| rtx.ssrc) {
            return invalid("rtx.ssrc", "is the SSRC of the media itself");
        }
        if [encoding.ssrc, encoding.rtx.map(|rtx| rtx.ssrc)].into_iter().flatten().any(|ssrc| !ssrcs.insert(ssrc)) {
            return invalid("ssrc", "is that of another encoding, or its RTX is");
        }
        let known = |payload_type: &u8| parameters.codecs.iter().any(|codec| codec.payload_type == *payload_type);
        if encoding.codec_payload_type.as_ref().is_some_and(|payload_type| !known(payload_type)) {
            return invalid("codecPayloadType", "is no codec's payloadType");
        }
        if let Some(rid) = &encoding.rid {
            if rid.is_empty() || rid.len() > MAX_MID_BYTES {
                return invalid("rid", &format!("must be 1 to {MAX_MID_BYTES} bytes"));
            }
            if !rids.insert(rid) {
                return invalid("rid", "is that of another encoding");
            }
        }
        if encoding.ssrc.is_none() && encoding.rid.is_none() && parameters.encodings.len() > 1 {
            return invalid("rid", "each of several encodings needs a rid or an ssrc");
        }
    }
    Ok(())
}

/// Each codec with the router's codec that it is. H.264 profiles become what an answer would say.
fn map_codecs(parameters: &mut RtpParameters) -> Result<Vec<(CodecMapping, &'static RtpCodecCapability)>, OrtcError> {
    let router = &router_capabilities().codecs;
    let unsupported = |codec: &RtpCodecParameters| {
        OrtcError::Unsupported(format!(
            "rtpParameters.codecs: the router has no {} with clockRate {}, channels {} and these parameters",
            codec.mime_type,
            codec.clock_rate,
            codec.channels.unwrap_or(1)
        ))
    };
    let mut found: Vec<(u8, &RtpCodecCapability)> = Vec::new();
    for codec in parameters.codecs.iter_mut().filter(|codec| !codec.is_rtx()) {
        let (capability, matched) = router
            .iter()
            .filter(|capability| !capability.is_rtx())
            .find_map(|capability| Some((capability, matching::strict(codec, capability)?)))
            .ok_or_else(|| unsupported(codec))?;
        if let Some(profile) = matched.profile_level_id {
            codec.parameters.insert("profile-level-id".into(), Value::String(profile));
        }
        found.push((codec.payload_type, capability));
    }
    let mut mapped = Vec::new();
    for (index, codec) in parameters.codecs.iter().enumerate() {
        let media_type = if codec.is_rtx() { codec.apt() } else { Some(codec.payload_type) };
        let media = media_type.and_then(|wanted| found.iter().find(|(payload_type, _)| *payload_type == wanted));
        let Some((media_type, media)) = media else {
            let field = format!("rtpParameters.codecs[{index}].parameters.apt");
            return Err(OrtcError::invalid(field, "names no media codec's payloadType"));
        };
        let (capability, kind) = if codec.is_rtx() {
            let rtx = router.iter().find(|rtx| rtx.is_rtx() && rtx.apt() == media.preferred_payload_type);
            (rtx.ok_or_else(|| unsupported(codec))?, Codec::Rtx { apt: *media_type })
        } else {
            (*media, codec_of(&codec.mime_type))
        };
        let mapping = CodecMapping {
            payload_type: codec.payload_type,
            mapped_payload_type: capability.preferred_payload_type.unwrap_or_default(),
            codec: kind,
            clock_rate_hz: codec.clock_rate,
        };
        mapped.push((mapping, capability));
    }
    Ok(mapped)
}

/// The codec of a MIME type.
pub(super) fn codec_of(mime_type: &str) -> Codec {
    match mime_type.to_ascii_lowercase().as_str() {
        "video/vp8" => Codec::Vp8,
        "video/vp9" => Codec::Vp9,
        "video/h264" => Codec::H264,
        "video/h265" => Codec::H265,
        "video/av1" => Codec::Av1,
        "audio/red" => Codec::Red,
        _ => Codec::Other,
    }
}

/// The extensions that the data plane reads: known ones; on a plain transport only those that are about the media.
/// Encrypted ones (RFC 6904) are left out.
fn map_extensions(extensions: &[RtpHeaderExtensionParameters], carrier: Carrier) -> Vec<ExtensionMapping> {
    let wanted = |which: HeaderExtension| carrier == Carrier::WebRtc || !which.is_hop_local();
    let known = |uri: &str| EXTENSIONS.iter().zip(1_u8..).find(|((known, ..), _)| *known == uri);
    extensions
        .iter()
        .filter(|extension| !extension.encrypt)
        .filter_map(|extension| {
            let ((_, which, ..), mapped_id) = known(&extension.uri).filter(|((_, which, ..), _)| wanted(*which))?;
            Some(ExtensionMapping { extension: *which, id: extension.id, mapped_id })
        })
        .collect()
}

fn consumable(
    kind: Kind,
    parameters: &RtpParameters,
    mapped: &[(CodecMapping, &RtpCodecCapability)],
    mapped_ssrc: u32,
) -> RtpParameters {
    let router = router_capabilities();
    let mut codecs = Vec::new();
    let mut media: Vec<_> = parameters.codecs.iter().zip(mapped).filter(|(codec, _)| !codec.is_rtx()).collect();
    // What every receiver needs comes first.
    media.sort_by_key(|(codec, _)| codec.is_red());
    let carried = media.first().map_or(0, |(_, (mapping, _))| mapping.mapped_payload_type);
    for (codec, (mapping, capability)) in media {
        let blocks = || [(format!("{carried}/{carried}"), Value::from(""))].into_iter().collect();
        codecs.push(RtpCodecParameters {
            mime_type: capability.mime_type.clone(),
            payload_type: mapping.mapped_payload_type,
            clock_rate: capability.clock_rate,
            channels: capability.channels,
            parameters: if codec.is_red() { blocks() } else { codec.parameters.clone() },
            rtcp_feedback: capability.rtcp_feedback.clone(),
        });
        // Even if the producer has no RTX: each consumer has its own.
        let rtx = router.codecs.iter().find(|rtx| rtx.is_rtx() && rtx.apt() == Some(mapping.mapped_payload_type));
        codecs.extend(rtx.and_then(|rtx| {
            Some(RtpCodecParameters {
                mime_type: rtx.mime_type.clone(),
                payload_type: rtx.preferred_payload_type?,
                clock_rate: rtx.clock_rate,
                channels: None,
                parameters: rtx.parameters.clone(),
                rtcp_feedback: Vec::new(),
            })
        }));
    }
    let negotiated = |uri: &str| parameters.header_extensions.iter().any(|extension| extension.uri == uri);
    let header_extensions = router
        .header_extensions
        .iter()
        .filter(|extension| extension.kind == Some(kind))
        .filter(|extension| matches!(extension.direction, Direction::SendRecv | Direction::SendOnly))
        .filter(|extension| extension.uri != ABS_CAPTURE_TIME || negotiated(ABS_CAPTURE_TIME))
        .map(|extension| RtpHeaderExtensionParameters {
            uri: extension.uri.clone(),
            id: extension.preferred_id,
            encrypt: false,
            parameters: serde_json::Map::new(),
        })
        .collect();
    let encodings = parameters.encodings.iter().zip(0..).map(|(encoding, index)| RtpEncoding {
        ssrc: Some(mapped_ssrc.wrapping_add(index)),
        rid: None,
        rtx: None,
        codec_payload_type: None,
        ..encoding.clone()
    });
    RtpParameters {
        mid: None,
        codecs,
        header_extensions,
        encodings: encodings.collect(),
        rtcp: RtcpParameters { cname: parameters.rtcp.cname.clone(), reduced_size: true, mux: None },
        msid: parameters.msid.clone(),
    }
}
