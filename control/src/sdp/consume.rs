//! WHEP: which section of an offer takes which producer.

use corecast_wire::{
    ConsumeOptions, ConsumerExtension, MAX_CONSUMER_MID_BYTES, PayloadTypeMapping, RedundancyOptions, RtxOptions,
};
use serde_json::Value;

use super::publish::{bare, restrict};
use super::section::{Direction, Extension, Section, SectionKind};
use super::{AnsweredSection, Offer, SdpError, Sending};
use crate::ortc::{self, OrtcError, RtpCodecParameters, RtpParameters};

/// What the caller decides and draws.
#[derive(Clone, Debug)]
pub(crate) struct ConsumeRequest {
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// First sequence number, below 2^15.
    pub(crate) first_sequence: u16,
    /// First sequence number of RTX, below 2^15.
    pub(crate) rtx_first_sequence: u16,
    pub(crate) paused: bool,
    /// MediaStream that the track belongs to: the same for all of a peer, so that browsers play them in step.
    pub(crate) stream: String,
    /// Name of the track.
    pub(crate) track: String,
}

/// A consumer to be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Consumed {
    /// What the data plane is told.
    pub(crate) options: ConsumeOptions,
    /// What the answer says of it.
    pub(crate) answer: AnsweredSection,
}

/// The sections of a viewer's offer that want something, at least one.
///
/// # Errors
/// Unacceptable if there is none, or one that only sends (draft-ietf-wish-whep, section on setting up).
pub(crate) fn viewing(offer: &Offer) -> Result<Vec<&Section>, SdpError> {
    let media = offer.sections.iter().filter(|section| matches!(section.kind, SectionKind::Media(_)));
    let sections: Vec<_> = media.collect();
    if let Some(section) = sections.iter().find(|section| !section.direction.receives()) {
        let cause = format!("a={} watches nothing; offer recvonly", section.direction.name());
        return Err(section.place().unacceptable(cause));
    }
    if sections.is_empty() {
        return Err(SdpError::unacceptable("the offer has no m= line of audio or video that receives anything"));
    }
    Ok(sections)
}

/// Whether a section can take a producer.
pub(crate) fn can_consume(section: &Section, consumable: &RtpParameters) -> bool {
    matches!(section.kind, SectionKind::Media(_)) && !codecs(section, consumable).is_empty()
}

/// A section takes a producer. Payload types and extension ids are the offer's.
///
/// # Errors
/// The section has none of the producer's codecs.
pub(crate) fn consume(
    section: &Section,
    consumable: &RtpParameters,
    request: &ConsumeRequest,
) -> Result<Consumed, OrtcError> {
    let mut codecs = codecs(section, consumable);
    if codecs.is_empty() {
        return Err(not_offered(section, consumable));
    }
    let has_rtx = codecs.iter().any(|chosen| chosen.rtx.is_some());
    let nack = codecs.iter().any(|chosen| chosen.has_feedback("nack", ""));
    let mid = Some(section.mid.clone()).filter(|mid| (1..=MAX_CONSUMER_MID_BYTES).contains(&mid.len()));
    // A packet that is repeated byte for byte cannot say again when it left: the data plane writes no such extension.
    let passed = |uri: &str| match uri {
        ortc::MID => mid.is_some(),
        ortc::ABS_SEND_TIME | ortc::TRANSPORT_CC => has_rtx || !nack,
        _ => true,
    };
    let (extensions, header_extensions): (Vec<_>, Vec<_>) = consumable
        .header_extensions
        .iter()
        .filter(|one| passed(&one.uri))
        .filter_map(|one| {
            let offered = section.extensions.iter().find(|offered| is_taken(offered, &one.uri))?;
            let extension = ortc::extension(&one.uri)?;
            let answered = Extension { direction: offered.direction.map(|_| Direction::SendOnly), ..offered.clone() };
            Some((answered, ConsumerExtension { extension, router_id: one.id, receiver_id: offered.id }))
        })
        .unzip();
    for chosen in &mut codecs {
        restrict(&mut chosen.codec.rtcp_feedback, |uri| extensions.iter().any(|extension| extension.uri == uri));
    }
    let cname = consumable.rtcp.cname.clone().unwrap_or_default();
    let options = ConsumeOptions {
        ssrc: request.ssrc,
        rtx: has_rtx.then(|| RtxOptions {
            ssrc: request.rtx_ssrc,
            payload_types: codecs.iter().filter_map(Chosen::rtx_mapping).collect(),
            first_sequence: request.rtx_first_sequence,
        }),
        payload_types: codecs.iter().map(Chosen::mapping).collect(),
        header_extensions,
        mid: mid.filter(|_| extensions.iter().any(|extension| extension.uri == ortc::MID)),
        nack,
        ccfb: codecs.iter().any(|chosen| chosen.has_feedback("ack", "ccfb")),
        first_sequence: request.first_sequence,
        cname: cname.clone(),
        paused: request.paused,
        encoding: None,
        redundancy: redundancy(section, &codecs),
        ignore_dtx: false,
        outlives_producer: false,
    };
    let answer = AnsweredSection {
        index: section.index,
        direction: Direction::SendOnly,
        codecs: codecs.into_iter().flat_map(|chosen| std::iter::once(chosen.codec).chain(chosen.rtx)).collect(),
        extensions,
        rids: Vec::new(),
        sending: Some(Sending {
            ssrc: request.ssrc,
            rtx_ssrc: has_rtx.then_some(request.rtx_ssrc),
            cname,
            stream: request.stream.clone(),
            track: request.track.clone(),
        }),
    };
    Ok(Consumed { options, answer })
}

fn not_offered(section: &Section, consumable: &RtpParameters) -> OrtcError {
    let wanted = consumable.codecs.first().map_or("", |codec| codec.mime_type.as_str());
    OrtcError::Unsupported(format!("{}: the producer sends {wanted}, which is not offered", section.place().0))
}

/// A codec of the offer that is a codec of the producer.
struct Chosen {
    /// The producer's payload type as the router calls it.
    router: u8,
    /// The offer's codec, with what holds for both.
    codec: RtpCodecParameters,
    /// The offer's RTX.
    rtx: Option<RtpCodecParameters>,
}

impl Chosen {
    fn mapping(&self) -> PayloadTypeMapping {
        PayloadTypeMapping { router: self.router, receiver: self.codec.payload_type }
    }

    fn has_feedback(&self, kind: &str, parameter: &str) -> bool {
        self.codec.rtcp_feedback.iter().any(|entry| entry.is(kind, parameter))
    }

    fn rtx_mapping(&self) -> Option<(u8, u8)> {
        Some((self.router, self.rtx.as_ref()?.payload_type))
    }
}

/// The producer's codecs that a section has, those of media first.
fn codecs(section: &Section, consumable: &RtpParameters) -> Vec<Chosen> {
    let sent = consumable.codecs.iter().filter(|codec| ortc::is_media(codec));
    let chosen = sent.filter_map(|sent| {
        let (offered, matched) = ortc::receiver_of(&section.codecs, sent)?;
        let mut codec = offered.clone();
        // What arrives is the data plane's affair, whatever the producer's sender is told.
        codec.rtcp_feedback.retain(|entry| sent.rtcp_feedback.contains(entry) || entry.is_ccfb());
        if let Some(profile) = matched.profile_level_id {
            codec.parameters.insert("profile-level-id".into(), Value::String(profile));
        }
        // RFC 7587 section 7.1: what the sender is going to send.
        if sent.parameters.get("sprop-stereo").and_then(Value::as_u64) == Some(1) {
            codec.parameters.insert("sprop-stereo".into(), Value::from(1));
        }
        let repeatable = ortc::rtx_of(&consumable.codecs, sent.payload_type).is_some();
        let rtx = ortc::rtx_of(&section.codecs, offered.payload_type).filter(|_| repeatable).map(bare);
        // Without negative acknowledgements nothing is asked for again.
        let rtx = rtx.filter(|_| codec.rtcp_feedback.iter().any(|entry| entry.is("nack", "")));
        Some(Chosen { router: sent.payload_type, codec, rtx })
    });
    let mut codecs: Vec<_> = chosen.collect();
    codecs.extend(red(section, consumable, &codecs));
    codecs
}

/// The offer's redundant audio data, if the producer has it for a codec that both have.
fn red(section: &Section, consumable: &RtpParameters, chosen: &[Chosen]) -> Option<Chosen> {
    let carried = chosen.first()?;
    let router = ortc::red_of(&consumable.codecs, carried.router)?.payload_type;
    let mut codec = ortc::red_of(&section.codecs, carried.codec.payload_type)?.clone();
    codec.rtcp_feedback.clear();
    Some(Chosen { router, codec, rtx: None })
}

/// The redundant sound that may be made for a viewer: its offer names it before the codec of its blocks. Browsers offer
/// it by themselves behind that, also where sound is encrypted from end to end and nobody could read what was made.
fn redundancy(section: &Section, chosen: &[Chosen]) -> Option<RedundancyOptions> {
    let (carried, red) = (chosen.first()?, chosen.iter().find(|one| is_red(&one.codec))?);
    let place = |of: &Chosen| section.codecs.iter().position(|codec| codec.payload_type == of.codec.payload_type);
    let is_asked = place(red) < place(carried);
    is_asked.then_some(RedundancyOptions { router: carried.router, receiver: red.codec.payload_type })
}

fn is_red(codec: &RtpCodecParameters) -> bool {
    codec.mime_type.eq_ignore_ascii_case("audio/red")
}

/// Extensions match by URI. Ids above 14 have no one-byte form (RFC 8285 section 4.2): the data plane writes no other.
fn is_taken(offered: &Extension, uri: &str) -> bool {
    offered.uri == uri && offered.direction.is_none_or(Direction::receives) && (1..=14).contains(&offered.id)
}
