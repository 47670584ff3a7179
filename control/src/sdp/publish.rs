//! WHIP: what an offer publishes.

use corecast_wire::MAX_ENCODINGS;
use serde_json::{Map, Value};

use super::section::{Direction, Extension, Rid, Section, SectionKind};
use super::{AnsweredSection, Offer, SdpError};
use crate::ortc::{
    self, Kind, RtcpFeedback, RtcpParameters, RtpCodecParameters, RtpEncoding, RtpHeaderExtensionParameters,
    RtpParameters, Rtx,
};
use crate::settings::Redundancy;

/// One producer to be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Publication {
    /// Position of its `m=` line.
    pub(crate) section: usize,
    pub(crate) kind: Kind,
    /// Ready for `ortc::produce` with `Carrier::WebRtc`: one media codec, its RTX and redundancy, MID, RIDs or SSRCs,
    /// extensions.
    pub(crate) parameters: RtpParameters,
    /// Its section in the answer.
    pub(crate) answer: AnsweredSection,
}

/// What an offer publishes: at least one.
///
/// # Errors
/// Unacceptable if a section of sound or pictures cannot be taken: WHIP knows no partial success (RFC 9725 section
/// 4.4.3).
pub(crate) fn publish(offer: &Offer, redundancy: Redundancy) -> Result<Vec<Publication>, SdpError> {
    let mut publications = Vec::new();
    for section in &offer.sections {
        let SectionKind::Media(kind) = section.kind else { continue };
        // RFC 9725 section 4.2: sendonly, or sendrecv.
        if !section.direction.sends() {
            let cause = format!("a={} publishes nothing; offer sendonly", section.direction.name());
            return Err(section.place().unacceptable(cause));
        }
        publications.push(publication(section, kind, redundancy)?);
    }
    if publications.is_empty() {
        return Err(SdpError::unacceptable("the offer has no m= line of audio or video that sends anything"));
    }
    Ok(publications)
}

fn publication(section: &Section, kind: Kind, redundancy: Redundancy) -> Result<Publication, SdpError> {
    let (mut codec, rtx) = choose(section)?;
    let mut extensions = extensions(section, kind);
    let negotiated = |uri: &str| extensions.iter().any(|extension| extension.uri == uri);
    // A sender that estimates by transport-wide feedback takes REMB as a limit: it is asked for less by that.
    let remb = codec.rtcp_feedback.iter().find(|entry| entry.kind == "goog-remb").cloned();
    restrict(&mut codec.rtcp_feedback, negotiated);
    let estimates = codec.rtcp_feedback.iter().any(|entry| entry.kind == "transport-cc");
    codec.rtcp_feedback.extend(remb.filter(|_| estimates));
    let rids = rids(section, &extensions);
    extensions.extend(video_layers(section, &rids));
    let encodings = encodings(section, rtx.is_some(), &rids)?;
    let red = red(section, codec.payload_type, redundancy);
    // A sender has the redundancy if it comes first.
    let codecs: Vec<_> = red.into_iter().chain([codec]).chain(rtx).collect();
    let header_extensions = extensions.iter().map(|extension| RtpHeaderExtensionParameters {
        uri: extension.uri.clone(),
        id: extension.id,
        encrypt: false,
        parameters: Map::new(),
    });
    let parameters = RtpParameters {
        mid: Some(section.mid.clone()).filter(|mid| !mid.is_empty()),
        codecs: codecs.clone(),
        header_extensions: header_extensions.collect(),
        encodings,
        rtcp: RtcpParameters { cname: section.cname.clone(), reduced_size: true, mux: Some(true) },
        msid: section.msid.clone(),
    };
    let answer = AnsweredSection {
        index: section.index,
        direction: Direction::RecvOnly,
        codecs: codecs.into_iter().map(as_receiver).collect(),
        extensions,
        rids,
        sending: None,
    };
    Ok(Publication { section: section.index, kind, parameters, answer })
}

/// The first codec of the offer that the router has, with the profile that an answer names, and its RTX. If that is
/// H.264, it is taken in the profile of the offer that most viewers decode: Safari offers constrained high first.
fn choose(section: &Section) -> Result<(RtpCodecParameters, Option<RtpCodecParameters>), SdpError> {
    let media = section.codecs.iter().filter(|codec| ortc::is_media(codec));
    let known: Vec<_> = media.filter_map(|codec| Some((codec, ortc::match_router(codec)?))).collect();
    let first = known.first().map(|(first, _)| &first.mime_type);
    let alike = known.iter().filter(|(codec, _)| first.is_some_and(|name| name.eq_ignore_ascii_case(&codec.mime_type)));
    if let Some((codec, matched)) = alike.min_by_key(|(codec, _)| is_h264(codec).then(|| ortc::rarity(codec))) {
        let mut codec = (*codec).clone();
        if let Some(profile) = &matched.profile_level_id {
            codec.parameters.insert("profile-level-id".into(), Value::String(profile.clone()));
        }
        codec.rtcp_feedback.retain(|entry| matched.capability.rtcp_feedback.contains(entry));
        let rtx = ortc::rtx_of(&section.codecs, codec.payload_type).filter(|_| matched.has_rtx).map(bare);
        return Ok((codec, rtx));
    }
    let mut offered: Vec<_> =
        section.codecs.iter().filter(|codec| ortc::is_media(codec)).map(|codec| codec.mime_type.as_str()).collect();
    offered.dedup();
    offered.truncate(8);
    let offered = offered.join(", ");
    let cause =
        format!("none of its codecs ({offered}) is one of the room's, in that profile; see GET /rooms/{{room}}");
    Err(section.place().unacceptable(cause))
}

/// RTX as it is answered: what it repeats has the feedback. (Chromium 156 gives that of RFC 8888 for its whole
/// transport as soon as one payload type has it.)
pub(super) fn bare(rtx: &RtpCodecParameters) -> RtpCodecParameters {
    RtpCodecParameters { rtcp_feedback: Vec::new(), ..rtx.clone() }
}

/// The redundant audio data that the publisher is asked for.
fn red(section: &Section, carried: u8, redundancy: Redundancy) -> Option<RtpCodecParameters> {
    let red = ortc::red_of(&section.codecs, carried)?;
    let place = |payload_type| section.codecs.iter().position(|codec| codec.payload_type == payload_type);
    let is_wanted = match redundancy {
        Redundancy::Off => false,
        Redundancy::Asked => place(red.payload_type) < place(carried),
        Redundancy::Always => true,
    };
    is_wanted.then(|| red.clone())
}

fn is_h264(codec: &RtpCodecParameters) -> bool {
    codec.mime_type.eq_ignore_ascii_case("video/H264")
}

/// One kind of congestion control: transport-wide feedback where its numbers are sent, else that of RFC 8888, else REMB
/// (as mediasoup-client).
pub(super) fn restrict(feedback: &mut Vec<RtcpFeedback>, negotiated: impl Fn(&str) -> bool) {
    let (transport_cc, abs_send_time) = (negotiated(ortc::TRANSPORT_CC), negotiated(ortc::ABS_SEND_TIME));
    let has_transport_cc = transport_cc && feedback.iter().any(|entry| entry.kind == "transport-cc");
    let has_ccfb = !has_transport_cc && feedback.iter().any(RtcpFeedback::is_ccfb);
    feedback.retain(|entry| match entry.kind.as_str() {
        "transport-cc" => transport_cc,
        "goog-remb" => abs_send_time && !has_transport_cc && !has_ccfb,
        _ => has_ccfb || !entry.is_ccfb(),
    });
}

/// Extensions that the section sends and the data plane knows. Their ids are the offer's (RFC 8285 section 6).
fn extensions(section: &Section, kind: Kind) -> Vec<Extension> {
    let mut taken: Vec<Extension> = Vec::new();
    for extension in &section.extensions {
        let sends = extension.direction.is_none_or(Direction::sends);
        let first = !taken.iter().any(|other| other.uri == extension.uri);
        if sends && first && ortc::receives_extension(kind, &extension.uri) {
            let direction = extension.direction.map(|_| Direction::RecvOnly);
            taken.push(Extension { direction, ..extension.clone() });
        }
    }
    taken
}

/// The extension in which a sender of simulcast says what it means to send. It counts encodings in the order of its
/// offer: of use where they are in no other order here.
fn video_layers(section: &Section, rids: &[Rid]) -> Option<Extension> {
    let in_order = by_limits(rids).into_iter().eq(rids);
    let mut offered = section.extensions.iter().filter(|_| rids.len() > 1 && in_order);
    let extension = offered.find(|extension| extension.uri == ortc::VIDEO_LAYERS_ALLOCATION)?;
    let sends = extension.direction.is_none_or(Direction::sends);
    sends.then(|| Extension { direction: extension.direction.map(|_| Direction::RecvOnly), ..extension.clone() })
}

/// Simulcast, if its streams can be told apart: without the extension that carries RIDs the section sends one stream.
fn rids(section: &Section, extensions: &[Extension]) -> Vec<Rid> {
    let has = |uri: &str| extensions.iter().any(|extension| extension.uri == uri);
    if section.rids.len() > 1 && has(ortc::RID) && has(ortc::MID) { section.rids.clone() } else { Vec::new() }
}

fn encodings(section: &Section, has_rtx: bool, rids: &[Rid]) -> Result<Vec<RtpEncoding>, SdpError> {
    // SSRCs that stand beside RIDs do not matter: the packets themselves tell which stream is which.
    if !rids.is_empty() {
        let encoding = |rid: &Rid| RtpEncoding { rid: Some(rid.id.clone()), ..RtpEncoding::default() };
        return Ok(by_limits(rids).into_iter().map(encoding).collect());
    }
    if section.rids.is_empty() && section.ssrcs.len() > MAX_ENCODINGS {
        let cause = format!("simulcast of more than {MAX_ENCODINGS} streams; send at most {MAX_ENCODINGS}");
        return Err(section.place().unacceptable(cause));
    }
    // Simulcast that is not accepted is one stream, the first.
    let streams = if section.rids.is_empty() { section.ssrcs.len() } else { 1 };
    let encodings = section.ssrcs.iter().take(streams).map(|(ssrc, rtx)| RtpEncoding {
        ssrc: Some(*ssrc),
        rtx: rtx.filter(|_| has_rtx).map(|ssrc| Rtx { ssrc }),
        ..RtpEncoding::default()
    });
    let encodings: Vec<_> = encodings.collect();
    Ok(if encodings.is_empty() { vec![RtpEncoding::default()] } else { encodings })
}

/// Encodings as they are to be ranked before anything is seen of them, the best last: by the limits that their offer
/// sets, if each has one of the same kind, else as they stand.
fn by_limits(rids: &[Rid]) -> Vec<&Rid> {
    let mut ordered: Vec<_> = rids.iter().collect();
    if rids.iter().all(|rid| rid.limits.pixels.is_some()) {
        ordered.sort_by_key(|rid| rid.limits.pixels);
    } else if rids.iter().all(|rid| rid.limits.bitrate_bps.is_some()) {
        ordered.sort_by_key(|rid| rid.limits.bitrate_bps);
    }
    ordered
}

/// A codec as its receiver asks for it: what the sender is able to send, it may send.
fn as_receiver(mut codec: RtpCodecParameters) -> RtpCodecParameters {
    // RFC 7587 section 7.1: sprop-stereo of the sender, stereo of the receiver.
    if codec.parameters.get("sprop-stereo").and_then(Value::as_u64) == Some(1) {
        codec.parameters.insert("stereo".into(), Value::from(1));
    }
    codec.parameters.retain(|name, _| !name.starts_with("sprop-"));
    codec
}
