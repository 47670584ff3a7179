//! The rules for single codecs and extensions, as descriptions in SDP need them, instead of whole capabilities.

use corecast_wire::HeaderExtension;

use super::capabilities::{EXTENSIONS, router_capabilities};
use super::matching::{self, Match};
use super::parameters::{CodecLike, Direction, Kind, RtpCodecCapability, RtpCodecParameters};

/// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
pub(crate) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// `abs-send-time`: when a packet left.
pub(crate) const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// Transport-wide sequence numbers.
pub(crate) const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Names that stand among codecs and are no media by themselves.
const NOT_MEDIA: [&str; 6] = ["rtx", "red", "ulpfec", "flexfec-03", "CN", "telephone-event"];

/// A codec of the router.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    pub(crate) capability: &'static RtpCodecCapability,
    /// The profile that an answer names (H.264).
    pub(crate) profile_level_id: Option<String>,
    /// The router has RTX for it.
    pub(crate) has_rtx: bool,
}

/// Whether a codec can be the media of a section.
pub(crate) fn is_media(codec: &RtpCodecParameters) -> bool {
    let (_, name) = codec.mime_type.split_once('/').unwrap_or_default();
    !NOT_MEDIA.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The codec of the router that is the same as a codec.
pub(crate) fn match_router(codec: &RtpCodecParameters) -> Option<Matched> {
    let router = &router_capabilities().codecs;
    router.iter().filter(|capability| !capability.is_rtx()).find_map(|capability| {
        let profile_level_id = matching::strict(codec, capability)?.profile_level_id;
        let has_rtx = router.iter().any(|rtx| rtx.is_rtx() && rtx.apt() == capability.preferred_payload_type);
        Some(Matched { capability, profile_level_id, has_rtx })
    })
}

/// The codec of a receiver that takes what a sender sends, and the profile that an answer to it names: the same one,
/// else one of a profile that contains it.
pub(crate) fn receiver_of<'a>(
    offered: &'a [RtpCodecParameters],
    sent: &RtpCodecParameters,
) -> Option<(&'a RtpCodecParameters, Match)> {
    let by = |rule: fn(&RtpCodecParameters, &RtpCodecParameters) -> Option<Match>| {
        offered.iter().find_map(|codec| Some((codec, rule(codec, sent)?)))
    };
    by(matching::strict).or_else(|| by(matching::receives))
}

/// How few receivers there are for a codec among others of its name (H.264).
pub(crate) fn rarity(codec: &RtpCodecParameters) -> (u8, bool) {
    matching::rarity(codec)
}

/// The RTX of a payload type.
pub(crate) fn rtx_of(codecs: &[RtpCodecParameters], payload_type: u8) -> Option<&RtpCodecParameters> {
    codecs.iter().find(|codec| codec.is_rtx() && codec.apt() == Some(payload_type))
}

/// The redundant audio data whose blocks are of a payload type.
pub(crate) fn red_of(codecs: &[RtpCodecParameters], payload_type: u8) -> Option<&RtpCodecParameters> {
    let carried = codecs.iter().find(|codec| codec.payload_type == payload_type)?;
    let fits = |red: &&RtpCodecParameters| {
        // RFC 2198 says nothing of channels; Chromium's has Opus' two.
        red.clock_rate == carried.clock_rate && red.channels == carried.channels && !red.parameters.is_empty()
    };
    codecs.iter().filter(|codec| codec.carries(payload_type)).find(fits)
}

/// The extension that a URI names.
pub(crate) fn extension(uri: &str) -> Option<HeaderExtension> {
    EXTENSIONS.iter().find(|(known, ..)| *known == uri).map(|(_, which, ..)| *which)
}

/// Whether the router takes an extension on media of a kind.
pub(crate) fn receives_extension(kind: Kind, uri: &str) -> bool {
    EXTENSIONS.iter().filter(|(known, ..)| *known == uri).any(|(_, _, audio, video)| {
        let direction = if kind == Kind::Audio { audio } else { video };
        matches!(direction, Some(Direction::SendRecv | Direction::RecvOnly))
    })
}
