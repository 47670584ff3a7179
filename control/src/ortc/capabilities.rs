//! The routers' capabilities: the codecs of mediasoup-demo first, with its payload types, then further ones.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::OrtcError;
use super::parameters::{
    CodecLike, Direction, Kind, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension,
};
use corecast_wire::HeaderExtension;

/// Dynamic payload types, in the order in which they are handed out.
const DYNAMIC: [std::ops::RangeInclusive<u8>; 2] = [100..=127, 96..=99];

/// What a sender means to send of each encoding.
pub(crate) const VIDEO_LAYERS_ALLOCATION: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00";

/// (uri, extension, audio, video); the position is the router's id, from 1.
pub(super) const EXTENSIONS: [(&str, HeaderExtension, Option<Direction>, Option<Direction>); 12] = {
    use Direction::{RecvOnly, SendRecv};
    use HeaderExtension as E;
    [
        ("urn:ietf:params:rtp-hdrext:sdes:mid", E::Mid, Some(SendRecv), Some(SendRecv)),
        ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", E::Rid, None, Some(RecvOnly)),
        ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", E::RepairedRid, None, Some(RecvOnly)),
        ("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", E::AbsSendTime, Some(SendRecv), Some(SendRecv)),
        (
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            E::TransportCc,
            Some(RecvOnly),
            Some(SendRecv),
        ),
        ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", E::AudioLevel, Some(SendRecv), None),
        (
            "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            E::DependencyDescriptor,
            None,
            // mediasoup does not pass it on; Chromium decodes no AV1 with spatial layers without it.
            Some(SendRecv),
        ),
        ("urn:3gpp:video-orientation", E::VideoOrientation, None, Some(SendRecv)),
        ("urn:ietf:params:rtp-hdrext:toffset", E::TimeOffset, None, Some(SendRecv)),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            E::AbsCaptureTime,
            Some(SendRecv),
            Some(SendRecv),
        ),
        ("http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", E::PlayoutDelay, Some(SendRecv), Some(SendRecv)),
        // No capability: it is taken of a publisher whose offer has it, see `sdp::publish`.
        (VIDEO_LAYERS_ALLOCATION, E::VideoLayersAllocation, None, None),
    ]
};

/// Most of each that an endpoint may list. Chromium 156 has 45 codecs, RTX included, and 17 extensions.
const MAX_CODECS: usize = 128;
const MAX_EXTENSIONS: usize = 64;
/// Most parameters, and kinds of feedback, of a codec.
const MAX_PARAMETERS: usize = 32;
/// Longest name or value, in bytes.
const MAX_TEXT_BYTES: usize = 256;

impl RtpCapabilities {
    /// Whether there is no more of anything than endpoints have: rooms keep it for as long as the endpoint is there.
    ///
    /// # Errors
    /// The field of which there is too much.
    pub(crate) fn check(&self) -> Result<(), OrtcError> {
        let within = |field: &str, count: usize, max: usize, what: &str| match count <= max {
            true => Ok(()),
            false => Err(OrtcError::invalid(format!("rtpCapabilities.{field}"), format!("at most {max} {what}"))),
        };
        within("codecs", self.codecs.len(), MAX_CODECS, "codecs")?;
        within("headerExtensions", self.header_extensions.len(), MAX_EXTENSIONS, "extensions")?;
        let bytes = |field: &str, text: &str| within(field, text.len(), MAX_TEXT_BYTES, "bytes");
        for (index, codec) in self.codecs.iter().enumerate() {
            let field = |name: &str| format!("codecs[{index}].{name}");
            bytes(&field("mimeType"), &codec.mime_type)?;
            within(&field("parameters"), codec.parameters.len(), MAX_PARAMETERS, "parameters")?;
            within(&field("rtcpFeedback"), codec.rtcp_feedback.len(), MAX_PARAMETERS, "kinds")?;
            for (name, value) in &codec.parameters {
                bytes(&field("parameters"), name)?;
                bytes(&field("parameters"), &value.to_string())?;
            }
            for feedback in &codec.rtcp_feedback {
                bytes(&field("rtcpFeedback"), &feedback.kind)?;
                bytes(&field("rtcpFeedback"), &feedback.parameter)?;
            }
        }
        let mut uris = self.header_extensions.iter().enumerate();
        uris.try_for_each(|(index, extension)| bytes(&format!("headerExtensions[{index}].uri"), &extension.uri))
    }
}

/// A codec: mime type, clock, channels, fixed payload type, parameters.
type Media = (&'static str, u32, Option<u8>, Option<u8>, Value);

fn media() -> Vec<Media> {
    let h264 = |mode: u8, profile: &str| {
        let parameters = json!({
            "packetization-mode": mode, "profile-level-id": profile,
            "level-asymmetry-allowed": 1, "x-google-start-bitrate": 1000,
        });
        ("video/H264", 90_000, None, None, parameters)
    };
    let start = json!({ "x-google-start-bitrate": 1000 });
    vec![
        ("audio/opus", 48_000, Some(2), None, json!({})),
        ("video/VP8", 90_000, None, None, start),
        ("video/VP9", 90_000, None, None, json!({ "profile-id": 2, "x-google-start-bitrate": 1000 })),
        h264(1, "4d0032"),
        h264(1, "42e01f"),
        // Codecs that the demo does not have.
        ("video/VP9", 90_000, None, None, json!({ "profile-id": 0 })),
        ("video/AV1", 90_000, None, None, json!({ "profile": 0 })),
        ("video/H265", 90_000, None, None, json!({ "profile-id": 1, "tier-flag": 0 })),
        h264(1, "64001f"),
        h264(1, "640c1f"),
        h264(1, "42001f"),
        h264(0, "42e01f"),
        ("audio/PCMU", 8_000, None, Some(0), json!({})),
        ("audio/PCMA", 8_000, None, Some(8), json!({})),
        ("audio/G722", 8_000, None, Some(9), json!({})),
        ("audio/telephone-event", 48_000, None, None, json!({})),
        ("audio/telephone-event", 8_000, None, None, json!({})),
        h264(0, "42001f"),
        // Blocks of Opus (RFC 2198).
        ("audio/red", 48_000, Some(2), None, json!({})),
    ]
}

fn feedback(mime_type: &str) -> Vec<RtcpFeedback> {
    let list: &[(&str, &str)] = match mime_type {
        "audio/opus" => &[("nack", ""), ("transport-cc", "")],
        "audio/telephone-event" | "audio/red" => &[],
        _ if mime_type.starts_with("audio/") => &[("transport-cc", "")],
        _ => &[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("goog-remb", ""), ("transport-cc", "")],
    };
    list.iter().map(|(kind, parameter)| RtcpFeedback::new(kind, parameter)).collect()
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// Capabilities of every router, as clients are told that do not ask for more. Redundant audio data is not among them,
/// as it is not among mediasoup's. A client that lists it in its own, under the router's payload type, is sent it.
pub(crate) fn told_capabilities() -> &'static RtpCapabilities {
    static CAPABILITIES: OnceLock<RtpCapabilities> = OnceLock::new();
    CAPABILITIES.get_or_init(|| {
        let mut told = router_capabilities().clone();
        told.codecs.retain(|codec| !codec.is_red());
        told
    })
}

/// Capabilities of every router, redundant audio data included.
pub(crate) fn router_capabilities() -> &'static RtpCapabilities {
    static CAPABILITIES: OnceLock<RtpCapabilities> = OnceLock::new();
    CAPABILITIES.get_or_init(build)
}

fn build() -> RtpCapabilities {
    let mut dynamic = DYNAMIC.into_iter().flatten();
    let mut codecs = Vec::new();
    for (mime_type, clock_rate, channels, fixed, parameters) in media() {
        let kind = Kind::of_mime_type(mime_type);
        let payload_type = fixed.or_else(|| dynamic.next());
        codecs.push(RtpCodecCapability {
            kind,
            mime_type: mime_type.into(),
            preferred_payload_type: payload_type,
            clock_rate,
            channels,
            parameters: object(parameters),
            rtcp_feedback: feedback(mime_type),
        });
        if kind == Some(Kind::Video) {
            codecs.push(RtpCodecCapability {
                kind,
                mime_type: "video/rtx".into(),
                preferred_payload_type: dynamic.next(),
                clock_rate,
                channels: None,
                parameters: object(json!({ "apt": payload_type })),
                rtcp_feedback: Vec::new(),
            });
        }
    }
    let mut header_extensions = Vec::new();
    for ((uri, _, audio, video), id) in EXTENSIONS.iter().zip(1_u8..) {
        for (kind, direction) in [(Kind::Audio, audio), (Kind::Video, video)] {
            let Some(direction) = *direction else { continue };
            header_extensions.push(RtpHeaderExtension {
                kind: Some(kind),
                uri: (*uri).into(),
                preferred_id: id,
                preferred_encrypt: false,
                direction,
            });
        }
    }
    RtpCapabilities { codecs, header_extensions }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_demos_codecs_have_the_demos_payload_types() {
        let codecs = &router_capabilities().codecs;
        let first: Vec<_> = codecs.iter().take(9).map(|c| (c.mime_type.as_str(), c.preferred_payload_type)).collect();
        let rtx = "video/rtx";
        let expected = [
            ("audio/opus", 100),
            ("video/VP8", 101),
            (rtx, 102),
            ("video/VP9", 103),
            (rtx, 104),
            ("video/H264", 105),
            (rtx, 106),
            ("video/H264", 107),
            (rtx, 108),
        ];
        assert_eq!(first, expected.map(|(mime, payload_type)| (mime, Some(payload_type))));
        assert_eq!(codecs[2].apt(), Some(101));
        assert_eq!(codecs[5].parameters["profile-level-id"], "4d0032");
    }

    #[test]
    fn every_codec_has_a_payload_type_of_its_own() {
        let codecs = &router_capabilities().codecs;
        let types: HashSet<u8> = codecs.iter().filter_map(|codec| codec.preferred_payload_type).collect();
        assert_eq!(types.len(), codecs.len());
    }

    #[test]
    fn extension_ids_follow_the_table() {
        let ids: Vec<_> = router_capabilities()
            .header_extensions
            .iter()
            .filter(|extension| extension.kind == Some(Kind::Video))
            .map(|extension| extension.preferred_id)
            .collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
    }
}
