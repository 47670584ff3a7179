//! mediasoup's `RtpCapabilities` and `RtpParameters`, as they stand in JSON.

use corecast_wire::MediaKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// "audio" or "video".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Audio,
    Video,
}

impl From<Kind> for MediaKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Audio => Self::Audio,
            Kind::Video => Self::Video,
        }
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    pub(crate) fn of_mime_type(mime_type: &str) -> Option<Self> {
        let (kind, codec) = mime_type.split_once('/')?;
        match kind {
            _ if codec.is_empty() => None,
            _ if kind.eq_ignore_ascii_case("audio") => Some(Self::Audio),
            _ if kind.eq_ignore_ascii_case("video") => Some(Self::Video),
            _ => None,
        }
    }
}

/// One entry of a codec's feedback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RtcpFeedback {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) parameter: String,
}

impl RtcpFeedback {
    pub(crate) fn new(kind: &str, parameter: &str) -> Self {
        Self { kind: kind.into(), parameter: parameter.into() }
    }

    pub(crate) fn is(&self, kind: &str, parameter: &str) -> bool {
        self.kind == kind && self.parameter == parameter
    }

    /// Congestion control feedback of RFC 8888 (section 6).
    pub(crate) fn is_ccfb(&self) -> bool {
        self.is("ack", "ccfb")
    }
}

/// What an endpoint can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RtpCapabilities {
    pub(crate) codecs: Vec<RtpCodecCapability>,
    pub(crate) header_extensions: Vec<RtpHeaderExtension>,
}

/// A codec that an endpoint has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtpCodecCapability {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    pub(crate) mime_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) preferred_payload_type: Option<u8>,
    pub(crate) clock_rate: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<u8>,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) parameters: Map<String, Value>,
    #[serde(default)]
    pub(crate) rtcp_feedback: Vec<RtcpFeedback>,
}

/// A header extension that an endpoint has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtpHeaderExtension {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    pub(crate) uri: String,
    pub(crate) preferred_id: u8,
    #[serde(default)]
    pub(crate) preferred_encrypt: bool,
    #[serde(default)]
    pub(crate) direction: Direction,
}

/// Direction of a header extension, seen from the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// What a producer sends or a consumer is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtpParameters {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mid: Option<String>,
    pub(crate) codecs: Vec<RtpCodecParameters>,
    #[serde(default)]
    pub(crate) header_extensions: Vec<RtpHeaderExtensionParameters>,
    #[serde(default)]
    pub(crate) encodings: Vec<RtpEncoding>,
    #[serde(default)]
    pub(crate) rtcp: RtcpParameters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) msid: Option<String>,
}

/// A payload type of `RtpParameters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtpCodecParameters {
    pub(crate) mime_type: String,
    pub(crate) payload_type: u8,
    pub(crate) clock_rate: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<u8>,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) parameters: Map<String, Value>,
    #[serde(default)]
    pub(crate) rtcp_feedback: Vec<RtcpFeedback>,
}

/// A header extension of `RtpParameters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RtpHeaderExtensionParameters {
    pub(crate) uri: String,
    pub(crate) id: u8,
    #[serde(default)]
    pub(crate) encrypt: bool,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) parameters: Map<String, Value>,
}

/// A stream of `RtpParameters`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtpEncoding {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ssrc: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) codec_payload_type: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rtx: Option<Rtx>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dtx: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scalability_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scale_resolution_down_by: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_bitrate: Option<u64>,
}

/// Retransmission stream of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Rtx {
    pub(crate) ssrc: u32,
}

/// RTCP of `RtpParameters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtcpParameters {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cname: Option<String>,
    #[serde(default = "yes")]
    pub(crate) reduced_size: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mux: Option<bool>,
}

impl Default for RtcpParameters {
    fn default() -> Self {
        Self { cname: None, reduced_size: true, mux: None }
    }
}

fn yes() -> bool {
    true
}

/// What matching needs to know of a codec, in capabilities and in parameters.
pub(crate) trait CodecLike {
    fn mime_type(&self) -> &str;
    fn clock_rate(&self) -> u32;
    fn channels(&self) -> Option<u8>;
    fn parameters(&self) -> &Map<String, Value>;

    /// Whether it is RTX (RFC 4588).
    fn is_rtx(&self) -> bool {
        self.mime_type().split_once('/').is_some_and(|(_, codec)| codec.eq_ignore_ascii_case("rtx"))
    }

    /// Whether it is redundant audio data (RFC 2198).
    fn is_red(&self) -> bool {
        self.mime_type().eq_ignore_ascii_case("audio/red")
    }

    /// Whether it is media by itself, and not about other media: no retransmissions and no redundancy.
    fn is_primary(&self) -> bool {
        !self.is_rtx() && !self.is_red()
    }

    /// Whether all blocks of redundant audio data are of this payload type, as far as its parameters tell: `111/111`.
    fn carries(&self, payload_type: u8) -> bool {
        let is_list = |name: &&String| name.contains('/');
        let types = self.parameters().keys().filter(is_list).flat_map(|name| name.split('/'));
        self.is_red() && types.into_iter().all(|one| one.parse() == Ok(payload_type))
    }

    /// Payload type that RTX repeats.
    fn apt(&self) -> Option<u8> {
        self.parameters().get("apt").and_then(Value::as_u64).and_then(|apt| u8::try_from(apt).ok())
    }

    /// A numeric parameter, even if it stands as text.
    fn number(&self, name: &str) -> Option<i64> {
        let value = self.parameters().get(name)?;
        value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
    }
}

macro_rules! codec_like {
    ($($name:ty),*) => {$(
        impl CodecLike for $name {
            fn mime_type(&self) -> &str {
                &self.mime_type
            }
            fn clock_rate(&self) -> u32 {
                self.clock_rate
            }
            fn channels(&self) -> Option<u8> {
                self.channels
            }
            fn parameters(&self) -> &Map<String, Value> {
                &self.parameters
            }
        }
    )*};
}

codec_like!(RtpCodecCapability, RtpCodecParameters);
