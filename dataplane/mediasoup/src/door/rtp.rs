//! RTP parameters: the library's, which a client knows, as the numbers that the worker needs.

use std::borrow::Cow;

use corecast_mediasoup_worker::fbs::rtp_parameters::{
    MediaKind, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionUri, RtpMapping, RtpParameters, Type, Value,
};
use corecast_wire::{Codec, CodecMapping, EncodingMapping, ExtensionMapping, HeaderExtension, ProduceOptions};

use crate::refusal::{Outcome, Refusal};

/// Sound or pictures.
pub(super) const fn kind(kind: MediaKind) -> corecast_wire::MediaKind {
    match kind {
        MediaKind::Audio => corecast_wire::MediaKind::Audio,
        MediaKind::Video => corecast_wire::MediaKind::Video,
    }
}

/// A header extension and the id that mediasoup's routers have for it; its debugging aid `packet-id` is not known.
pub(super) const fn extension(uri: RtpHeaderExtensionUri) -> Option<(HeaderExtension, u8)> {
    Some(match uri {
        RtpHeaderExtensionUri::Mid => (HeaderExtension::Mid, 1),
        RtpHeaderExtensionUri::RtpStreamId => (HeaderExtension::Rid, 2),
        RtpHeaderExtensionUri::RepairRtpStreamId => (HeaderExtension::RepairedRid, 3),
        RtpHeaderExtensionUri::AbsSendTime => (HeaderExtension::AbsSendTime, 4),
        RtpHeaderExtensionUri::TransportWideCcDraft01 => (HeaderExtension::TransportCc, 5),
        RtpHeaderExtensionUri::SsrcAudioLevel => (HeaderExtension::AudioLevel, 6),
        RtpHeaderExtensionUri::DependencyDescriptor => (HeaderExtension::DependencyDescriptor, 7),
        RtpHeaderExtensionUri::VideoOrientation => (HeaderExtension::VideoOrientation, 8),
        RtpHeaderExtensionUri::TimeOffset => (HeaderExtension::TimeOffset, 9),
        RtpHeaderExtensionUri::AbsCaptureTime => (HeaderExtension::AbsCaptureTime, 10),
        RtpHeaderExtensionUri::PlayoutDelay => (HeaderExtension::PlayoutDelay, 11),
        RtpHeaderExtensionUri::MediasoupPacketId => return None,
    })
}

/// Spatial and temporal layers of a scalability mode: `L2T3`, `S3T3`, `L3T3_KEY`; one of each otherwise.
pub(super) fn layers(encoding: &RtpEncodingParameters) -> (u8, u8) {
    layers_of(encoding.scalability_mode.as_deref())
}

/// The same of a mode, if one is named.
pub(super) fn layers_of(mode: Option<&str>) -> (u8, u8) {
    mode.and_then(read_layers).unwrap_or((1, 1))
}

fn read_layers(mode: &str) -> Option<(u8, u8)> {
    let (spatial, rest) = mode.strip_prefix(['L', 'S'])?.split_once('T')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = |text: &str| text.parse::<u8>().ok().filter(|number| (1..=99).contains(number));
    Some((number(spatial)?, number(rest.get(..digits)?)?))
}

/// What mediasoup's worker calls layers that are not named, or not as it knows them.
pub(super) fn name_mode(encoding: &mut RtpEncodingParameters) {
    if encoding.scalability_mode.as_deref().and_then(read_layers).is_none() {
        encoding.scalability_mode = Some("S1T1".into());
    }
}

/// What mediasoup calls a producer with these parameters.
///
/// # Errors
/// Its first codec cannot be sent in such encodings.
pub(super) fn type_of(parameters: &RtpParameters) -> Outcome<Type> {
    let first = parameters.encodings.first().ok_or_else(|| Refusal::wrong("empty rtpParameters.encodings"))?;
    let codec = parameters.codecs.iter().find(|codec| Some(codec.payload_type) == first.codec_payload_type);
    let codec = codec.map_or("", |codec| codec.mime_type.as_str());
    let (type_, cause, codecs) = match parameters.encodings.len() {
        1 if layers(first) == (1, 1) => return Ok(Type::Simple),
        1 => (Type::Svc, "invalid RTP parameters: layers", &["video/VP8", "video/VP9", "video/H264", "video/AV1"][..]),
        _ => (Type::Simulcast, "codec not supported for simulcast", &["video/VP8", "video/H264"][..]),
    };
    match codecs.contains(&codec) {
        true => Ok(type_),
        false => Err(Refusal::wrong(format!("{cause} ({codec})"))),
    }
}

/// Subtypes as mediasoup writes them in what it tells, whatever the case in which they were given.
const SUBTYPES: [&str; 18] = [
    "opus",
    "multiopus",
    "PCMA",
    "PCMU",
    "ISAC",
    "G722",
    "iLBC",
    "SILK",
    "VP8",
    "VP9",
    "H264",
    "AV1",
    "CN",
    "telephone-event",
    "rtx",
    "ulpfec",
    "flexfec",
    "red",
];
/// Those that are no media by themselves.
const NO_MEDIA: [&str; 6] = ["CN", "telephone-event", "rtx", "ulpfec", "flexfec", "red"];

/// The name of a codec in mediasoup's writing.
///
/// # Errors
/// It is no name of one.
pub(super) fn written(mime_type: &str) -> Outcome<Cow<'_, str>> {
    let (kind, subtype) = mime_type.split_once('/').ok_or_else(|| Refusal::wrong("wrong codec MIME"))?;
    let written = SUBTYPES.iter().find(|written| written.eq_ignore_ascii_case(subtype)).unwrap_or(&subtype);
    // Nearly always it is written so already.
    Ok(match *written != subtype || kind.bytes().any(|letter| letter.is_ascii_uppercase()) {
        true => format!("{}/{written}", kind.to_ascii_lowercase()).into(),
        false => mime_type.into(),
    })
}

/// Fills in what mediasoup's worker does: names of codecs in its writing, and the first media codec for encodings that
/// name none.
pub(super) fn normalise(parameters: &mut RtpParameters) -> Outcome<()> {
    for codec in &mut parameters.codecs {
        if let Cow::Owned(written) = written(&codec.mime_type)? {
            codec.mime_type = written;
        }
        codec.channels = codec.channels.filter(|channels| *channels > 1);
        for feedback in codec.rtcp_feedback.iter_mut().flatten() {
            feedback.parameter = feedback.parameter.take().filter(|parameter| !parameter.is_empty());
        }
    }
    let media = parameters.codecs.iter().filter(|codec| is_media(&codec.mime_type));
    let media: Vec<u8> = media.map(|codec| codec.payload_type).collect();
    let first = media.first().copied().ok_or_else(|| Refusal::wrong("no media codecs found"))?;
    for encoding in &mut parameters.encodings {
        name_mode(encoding);
        if !media.contains(encoding.codec_payload_type.get_or_insert(first)) {
            return Err(Refusal::wrong("unknown codecPayloadType"));
        }
    }
    Ok(())
}

/// Whether a codec, in mediasoup's writing, is more than something beside media.
pub(super) fn is_media(mime_type: &str) -> bool {
    let subtype = mime_type.split_once('/').map_or("", |(_, subtype)| subtype);
    !NO_MEDIA.contains(&subtype)
}

/// Whether a codec repeats what others send.
pub(super) fn is_rtx(mime_type: &str) -> bool {
    mime_type.split_once('/').is_some_and(|(_, subtype)| subtype.eq_ignore_ascii_case("rtx"))
}

fn apt(codec: &RtpCodecParameters) -> Outcome<u8> {
    let parameters = codec.parameters.iter().flatten();
    let value = parameters.filter(|parameter| parameter.name == "apt").find_map(|parameter| match &parameter.value {
        Value::Integer32(number) => u8::try_from(number.value).ok(),
        _ => None,
    });
    value.ok_or_else(no_apt)
}

/// The refusal of an RTX codec that does not say what it repeats.
pub(super) fn no_apt() -> Refusal {
    Refusal::wrong("missing apt parameter in an RTX codec")
}

fn codec_of(codec: &RtpCodecParameters) -> Outcome<Codec> {
    if is_rtx(&codec.mime_type) {
        return Ok(Codec::Rtx { apt: apt(codec)? });
    }
    Ok(match codec.mime_type.to_ascii_lowercase().as_str() {
        "video/vp8" => Codec::Vp8,
        "video/vp9" => Codec::Vp9,
        "video/h264" => Codec::H264,
        "video/h265" => Codec::H265,
        "video/av1" => Codec::Av1,
        _ => Codec::Other,
    })
}

/// Whether any codec but RTX has this feedback.
fn has_feedback(parameters: &RtpParameters, kind: &str, parameter: &str) -> bool {
    let feedback = parameters.codecs.iter().filter_map(|codec| codec.rtcp_feedback.as_ref()).flatten();
    feedback.into_iter().any(|one| one.type_ == kind && one.parameter.as_deref().unwrap_or_default() == parameter)
}

/// Whether a codec's parameter is 1.
pub(super) fn is_set(codec: &RtpCodecParameters, name: &str) -> bool {
    let mut parameters = codec.parameters.iter().flatten();
    parameters.any(|one| one.name == name && matches!(&one.value, Value::Integer32(number) if number.value == 1))
}

/// The first codec that is no RTX.
pub(super) fn media_codec(parameters: &RtpParameters) -> Option<&RtpCodecParameters> {
    parameters.codecs.iter().find(|codec| !is_rtx(&codec.mime_type))
}

/// The first RTX codec.
pub(super) fn rtx_codec(parameters: &RtpParameters) -> Option<&RtpCodecParameters> {
    parameters.codecs.iter().find(|codec| is_rtx(&codec.mime_type))
}

/// A producer's parameters and the library's mapping of them.
pub(super) fn produce(
    media: MediaKind,
    parameters: &RtpParameters,
    mapping: &RtpMapping,
    is_paused: bool,
) -> Outcome<ProduceOptions> {
    if parameters.encodings.len() != mapping.encodings.len() {
        return Err(Refusal::wrong("rtpParameters.encodings size does not match rtpMapping.encodings size"));
    }
    let mapped = |payload_type: u8| {
        let found = mapping.codecs.iter().find(|codec| codec.payload_type == payload_type);
        let missing = || Refusal::wrong(format!("rtpMapping.codecs has no payload type {payload_type}"));
        found.map(|codec| codec.mapped_payload_type).ok_or_else(missing)
    };
    let mut codecs = Vec::new();
    for codec in &parameters.codecs {
        codecs.push(CodecMapping {
            payload_type: codec.payload_type,
            mapped_payload_type: mapped(codec.payload_type)?,
            codec: codec_of(codec)?,
            clock_rate_hz: codec.clock_rate,
        });
    }
    let known = parameters.header_extensions.iter().filter_map(|one| Some((one.id, extension(one.uri)?)));
    let header_extensions: Vec<_> =
        known.map(|(id, (extension, mapped_id))| ExtensionMapping { extension, id, mapped_id }).collect();
    let has = |wanted| header_extensions.iter().any(|one| one.extension == wanted);
    let encodings = parameters.encodings.iter().map(|encoding| EncodingMapping {
        ssrc: encoding.ssrc,
        rtx_ssrc: encoding.rtx.as_ref().map(|rtx| rtx.ssrc),
        rid: encoding.rid.clone().filter(|rid| !rid.is_empty()),
    });
    Ok(ProduceOptions {
        kind: kind(media),
        codecs,
        encodings: encodings.collect(),
        mid: parameters.mid.clone().filter(|mid| !mid.is_empty()),
        nack: has_feedback(parameters, "nack", ""),
        pli: has_feedback(parameters, "nack", "pli"),
        fir: has_feedback(parameters, "ccm", "fir"),
        transport_cc: has(HeaderExtension::TransportCc) && has_feedback(parameters, "transport-cc", ""),
        remb: has(HeaderExtension::AbsSendTime) && has_feedback(parameters, "goog-remb", ""),
        key_frame_request_delay_ms: 0,
        paused: is_paused,
        header_extensions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> RtpEncodingParameters {
        RtpEncodingParameters { scalability_mode: Some(text.into()), ..RtpEncodingParameters::default() }
    }

    #[test]
    fn layers_are_read_as_mediasoup_reads_them() {
        let cases = [
            ("L1T3", (1, 3)),
            ("S3T3", (3, 3)),
            ("L3T2_KEY", (3, 2)),
            ("L0T1", (1, 1)),
            ("", (1, 1)),
            ("X1T2", (1, 1)),
        ];
        for (text, expected) in cases {
            assert_eq!(layers(&mode(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_type_follows_from_the_encodings_if_the_codec_knows_them() {
        let of = |codec: &str, modes: &[&str]| {
            type_of(&RtpParameters {
                codecs: vec![RtpCodecParameters { mime_type: codec.into(), ..RtpCodecParameters::default() }],
                encodings: modes
                    .iter()
                    .map(|text| RtpEncodingParameters { codec_payload_type: Some(0), ..mode(text) })
                    .collect(),
                ..RtpParameters::default()
            })
        };
        assert_eq!(of("audio/opus", &["L1T1"]), Ok(Type::Simple));
        assert_eq!(of("video/VP8", &["L1T3"]), Ok(Type::Svc));
        assert_eq!(of("video/VP8", &["L1T3", "L1T3"]), Ok(Type::Simulcast));
        for (codec, modes) in [("video/VP8", &[][..]), ("audio/opus", &["L1T3"]), ("video/VP9", &["L1T1", "L1T1"])] {
            assert!(of(codec, modes).is_err(), "{codec}");
        }
    }
}
