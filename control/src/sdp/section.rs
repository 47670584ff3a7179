//! One `m=` line with what belongs to it.

use corecast_wire::{MAX_CNAME_BYTES, MAX_ENCODINGS, SctpOptions};
use sdp_types::{Attribute, Media};

use super::SdpError;
use super::codecs;
use super::lines::{Attributes, Place, is_token, value};
use crate::ortc::{Kind, RtpCodecParameters};

/// Most bytes of a MID. (RFC 9143 section 15 asks for three at most; browsers count, others use names.)
const MAX_MID_BYTES: usize = 255;
/// Most bytes of a RID: what the one-byte form of the extension holds (RFC 8852 section 3.3, RFC 8285).
const MAX_RID_BYTES: usize = 16;
/// Most extensions of a section.
const MAX_EXTENSIONS: usize = 64;
/// Most SSRCs of a section: four encodings, each with repair streams.
const MAX_SSRCS: usize = 16;
/// Restrictions of a stream that are looked at.
const MAX_RESTRICTIONS: usize = 16;
/// Most bytes of an `a=msid` (RFC 8830 section 2: 64 for each part).
const MAX_MSID_BYTES: usize = 129;
/// Ids with which an offer asks to be given others (RFC 8285 section 6).
const RENUMBERED: std::ops::RangeInclusive<u16> = 4_096..=4_351;

/// Profiles that mean RTP over DTLS-SRTP (RFC 9429 section 5.1.2).
const SECURE: [&str; 6] =
    ["UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"];

/// Transports of data channels (RFC 8841 section 4.1).
const DATA: [&str; 2] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"];

/// What an `m=` line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    /// Sound or pictures over DTLS-SRTP.
    Media(Kind),
    /// Data channels: SCTP over DTLS (RFC 8841).
    Data(SctpOptions),
    /// Anything else, or refused by the offer itself (port 0): it is rejected in the answer.
    Other,
}

/// Direction of a section or an extension, as the side that wrote it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// As it stands in a description.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the writer sends.
    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub(crate) const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// One `a=extmap` (RFC 8285).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) id: u8,
    pub(crate) uri: String,
    /// `None` where the line has none: that of the section.
    pub(crate) direction: Option<Direction>,
}

/// One encoding of simulcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rid {
    pub(crate) id: String,
    /// It is not sent for now (`~`, RFC 8853 section 5.1).
    pub(crate) paused: bool,
    /// How large and how much it is at most.
    pub(crate) limits: Limits,
}

/// What restrictions of a stream (RFC 8851 section 5) say of its quality. Such as are malformed say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `max-width` times `max-height`.
    pub(crate) pixels: Option<u64>,
    /// `max-br`, in bits per second.
    pub(crate) bitrate_bps: Option<u64>,
}

impl Limits {
    /// Reads what stands behind the direction.
    fn parse(restrictions: &str) -> Self {
        let number = |name: &str| {
            let mut values =
                restrictions.split(';').take(MAX_RESTRICTIONS).filter_map(|one| one.trim().split_once('='));
            let value = values.find(|(key, _)| *key == name)?.1;
            value.parse::<u32>().ok().filter(|value| *value > 0).map(u64::from)
        };
        let pixels = number("max-width").zip(number("max-height")).map(|(width, height)| width * height);
        Self { pixels, bitrate_bps: number("max-br") }
    }
}

/// One `m=` line with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    /// Position of the `m=` line, from 0.
    pub(crate) index: usize,
    /// Empty where the offer has none (allowed for a single section).
    pub(crate) mid: String,
    pub(crate) kind: SectionKind,
    pub(crate) direction: Direction,
    /// In the order of the `m=` line; RTX (and RED, FEC) among them.
    pub(crate) codecs: Vec<RtpCodecParameters>,
    pub(crate) extensions: Vec<Extension>,
    /// What simulcast sends, in its order; empty without simulcast.
    pub(crate) rids: Vec<Rid>,
    /// (SSRC, SSRC of its retransmissions), where the offer announces them.
    pub(crate) ssrcs: Vec<(u32, Option<u32>)>,
    /// CNAME of the announced SSRCs.
    pub(crate) cname: Option<String>,
    /// "stream track", as in `a=msid`.
    pub(crate) msid: Option<String>,
    /// `a=rtcp-xr:rcvr-rtt` (RFC 3611 section 5.1): who receives wants to know the round trip.
    pub(super) receiver_round_trip: bool,
    /// `a=rtcp-rsize` (RFC 5506): RTCP may be of reduced size.
    pub(super) reduced_size: bool,
    /// `a=bundle-only` (RFC 9143 section 6): it has no transport but that of the group.
    pub(super) bundle_only: bool,
    /// It is offered with candidates.
    pub(super) has_candidates: bool,
    /// The words of the `m=` line that an answer repeats: media, protocol, first format.
    pub(super) line: [String; 3],
}

impl Section {
    /// Name of the place, for sentences.
    pub(super) fn place(&self) -> Place {
        let [media, ..] = &self.line;
        Place::section(self.index, media, &self.mid)
    }

    /// Parses a section. `direction` is that of the session.
    pub(super) fn parse(index: usize, media: &Media, direction: Direction) -> Result<Self, SdpError> {
        let attributes = Attributes(&media.attributes);
        let line = m_line(index, media)?;
        let mid = mid(index, media, attributes)?;
        let place = Place::section(index, &media.media, &mid);
        let mut section = Self {
            index,
            mid,
            kind: SectionKind::Other,
            direction: direction_of(attributes).unwrap_or(direction),
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            cname: None,
            msid: None,
            receiver_round_trip: false,
            reduced_size: attributes.has("rtcp-rsize"),
            bundle_only: attributes.has("bundle-only"),
            has_candidates: attributes.has("candidate"),
            line,
        };
        let kind = match media.media.as_str() {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            "application" => {
                section.kind = data(media, attributes, &place)?;
                return Ok(section);
            }
            _ => return Ok(section),
        };
        if media.port == 0 && !attributes.has("bundle-only") {
            return Ok(section);
        }
        if !SECURE.contains(&media.proto.as_str()) {
            let cause = format!("{} is not RTP over DTLS-SRTP; offer UDP/TLS/RTP/SAVPF", media.proto);
            return Err(place.unacceptable(cause));
        }
        if !attributes.has("rtcp-mux") {
            return Err(place.unacceptable("a=rtcp-mux is missing; RTP and RTCP share one transport here"));
        }
        section.kind = SectionKind::Media(kind);
        section.codecs = codecs::parse(kind, &media.fmt, attributes, &place)?;
        section.extensions = extensions(attributes, &place)?;
        section.rids = simulcast(attributes, &place)?;
        section.streams(attributes, &place)?;
        let is_wish = |format: &str| format == "rcvr-rtt" || format.starts_with("rcvr-rtt=");
        section.receiver_round_trip = attributes.all("rtcp-xr").any(|xr| value(xr).split(' ').any(is_wish));
        Ok(section)
    }

    /// `a=ssrc`, `a=ssrc-group` (RFC 5576) and `a=msid` (RFC 8830).
    fn streams(&mut self, attributes: Attributes<'_>, place: &Place) -> Result<(), SdpError> {
        let mut ssrcs: Vec<u32> = Vec::new();
        for attribute in attributes.all("ssrc") {
            let (ssrc, about) = value(attribute).split_once(' ').unwrap_or_else(|| (value(attribute), ""));
            let cause = "must begin with an SSRC, a number below 2^32";
            let ssrc = ssrc.parse().map_err(|_| place.malformed(attribute, cause))?;
            if !ssrcs.contains(&ssrc) {
                ssrcs.push(ssrc);
            }
            if ssrcs.len() > MAX_SSRCS {
                return Err(place.malformed(attribute, format!("at most {MAX_SSRCS} SSRCs in a section")));
            }
            if let Some(cname) = about.strip_prefix("cname:") {
                self.cname = Some(text(cname, MAX_CNAME_BYTES).map_err(|cause| place.malformed(attribute, cause))?);
            } else if let Some(msid) = about.strip_prefix("msid:") {
                self.msid = Some(text(msid, MAX_MSID_BYTES).map_err(|cause| place.malformed(attribute, cause))?);
            }
        }
        if let Some(attribute) = attributes.first("msid") {
            let msid = text(value(attribute), MAX_MSID_BYTES).map_err(|cause| place.malformed(attribute, cause))?;
            self.msid = Some(msid);
        }
        let mut repairs: Vec<(u32, u32, bool)> = Vec::new();
        let mut simulcast = !self.rids.is_empty();
        for attribute in attributes.all("ssrc-group") {
            let (semantics, members) = value(attribute).split_once(' ').unwrap_or_else(|| (value(attribute), ""));
            let members: Vec<u32> = members
                .split(' ')
                .filter(|member| !member.is_empty())
                .map(|member| member.parse().ok())
                .collect::<Option<_>>()
                .ok_or_else(|| place.malformed(attribute, "must be a word and SSRCs, numbers below 2^32"))?;
            simulcast |= semantics == "SIM";
            if let ("FID" | "FEC-FR", [media, repair]) = (semantics, members.as_slice()) {
                // FFmpeg 8.1 has no a=ssrc line for its retransmissions. The pair is clear if one of the two has.
                if !ssrcs.contains(media) && !ssrcs.contains(repair) {
                    return Err(place.malformed(attribute, "names SSRCs that no a=ssrc line has"));
                }
                for ssrc in [media, repair] {
                    if !ssrcs.contains(ssrc) {
                        ssrcs.push(*ssrc);
                    }
                }
                repairs.push((*media, *repair, semantics == "FID"));
            }
            if ssrcs.len() > MAX_SSRCS {
                return Err(place.malformed(attribute, format!("at most {MAX_SSRCS} SSRCs in a section")));
            }
        }
        let is_repair = |ssrc: &u32| repairs.iter().any(|(media, repair, _)| repair == ssrc && media != ssrc);
        let rtx = |ssrc: u32| repairs.iter().find(|(of, _, fid)| *of == ssrc && *fid).map(|(_, rtx, _)| *rtx);
        self.ssrcs = ssrcs.iter().filter(|ssrc| !is_repair(ssrc)).map(|ssrc| (*ssrc, rtx(*ssrc))).collect();
        if self.ssrcs.len() > 1 && !simulcast {
            let cause =
                format!("announces {} tracks by SSRC; offer an m= line for each (unified plan)", self.ssrcs.len());
            return Err(place.unacceptable(cause));
        }
        Ok(())
    }
}

/// What an application section is about. The port and the longest message have values where the lines are missing
/// (RFC 8841 sections 5.1 and 6.1).
fn data(media: &Media, attributes: Attributes<'_>, place: &Place) -> Result<SectionKind, SdpError> {
    let is_data = DATA.contains(&media.proto.as_str()) && media.fmt.trim() == "webrtc-datachannel";
    if !is_data || (media.port == 0 && !attributes.has("bundle-only")) {
        return Ok(SectionKind::Other);
    }
    let port = match attributes.first("sctp-port") {
        None => 5_000,
        Some(attribute) => {
            let port = value(attribute).parse().ok().filter(|port| *port > 0);
            port.ok_or_else(|| place.malformed(attribute, "must be a number from 1 to 65535"))?
        }
    };
    let max_message_bytes = match attributes.first("max-message-size") {
        None => 65_536,
        Some(attribute) => {
            let size: u64 = value(attribute).parse().map_err(|_| place.malformed(attribute, "must be a number"))?;
            u32::try_from(size).unwrap_or(u32::MAX)
        }
    };
    Ok(SectionKind::Data(SctpOptions::new(port, max_message_bytes)))
}

/// The words that an answer repeats, checked: they go back on a line of ours.
fn m_line(index: usize, media: &Media) -> Result<[String; 3], SdpError> {
    let first = media.fmt.split(' ').find(|format| !format.is_empty()).unwrap_or_default();
    if [&media.media, first].into_iter().chain(media.proto.split('/')).all(is_token) {
        return Ok([&media.media, &media.proto, first].map(str::to_owned));
    }
    let cause = "must be media, port, protocol and formats, each a word of plain characters";
    Err(SdpError::malformed(format!("m= line {}: {cause}", index + 1)))
}

fn mid(index: usize, media: &Media, attributes: Attributes<'_>) -> Result<String, SdpError> {
    let Some(attribute) = attributes.first("mid") else { return Ok(String::new()) };
    let mid = value(attribute);
    if is_token(mid) && mid.len() <= MAX_MID_BYTES {
        return Ok(mid.to_owned());
    }
    let cause = format!("must be a token of 1 to {MAX_MID_BYTES} bytes");
    Err(Place::section(index, &media.media, "").malformed(attribute, cause))
}

/// The direction of a place, if it has one (RFC 8866 section 6.7).
pub(super) fn direction_of(attributes: Attributes<'_>) -> Option<Direction> {
    let is_bare = |attribute: &&Attribute| attribute.value.is_none();
    attributes.0.iter().filter(is_bare).find_map(|attribute| Direction::parse(&attribute.attribute))
}

fn extensions(attributes: Attributes<'_>, place: &Place) -> Result<Vec<Extension>, SdpError> {
    let mut extensions: Vec<Extension> = Vec::new();
    for attribute in attributes.all("extmap") {
        let mut words = value(attribute).split(' ').filter(|word| !word.is_empty());
        let (number, uri) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (id, direction) = match number.split_once('/') {
            Some((id, direction)) => {
                let cause =
                    || place.malformed(attribute, "the direction must be sendrecv, sendonly, recvonly or inactive");
                (id, Some(Direction::parse(direction).ok_or_else(cause)?))
            }
            None => (number, None),
        };
        let cause = "must be an id from 1 to 255 (4096 to 4351 for one to be given) and a URI (RFC 8285)";
        let wrong = || place.malformed(attribute, cause);
        let id: u16 = id.parse().map_err(|_| wrong())?;
        if uri.is_empty() {
            return Err(wrong());
        }
        if RENUMBERED.contains(&id) {
            continue;
        }
        let id = u8::try_from(id).ok().filter(|id| *id > 0).ok_or_else(wrong)?;
        if extensions.iter().any(|other| other.id == id) {
            return Err(place.malformed(attribute, format!("id {id} stands twice")));
        }
        extensions.push(Extension { id, uri: uri.to_owned(), direction });
        if extensions.len() > MAX_EXTENSIONS {
            return Err(place.malformed(attribute, format!("at most {MAX_EXTENSIONS} extensions in a section")));
        }
    }
    Ok(extensions)
}

/// What `a=simulcast` sends (RFC 8853 section 5.1): of alternatives the first.
fn simulcast(attributes: Attributes<'_>, place: &Place) -> Result<Vec<Rid>, SdpError> {
    let Some(attribute) = attributes.first("simulcast") else { return Ok(Vec::new()) };
    let words: Vec<_> = value(attribute).split(' ').filter(|word| !word.is_empty()).collect();
    let wrong = || place.malformed(attribute, "must be send or recv, each once and followed by a list of RIDs");
    let mut sent = None;
    match words.as_slice() {
        ["recv", _] => {}
        ["send", list] | ["send", list, "recv", _] | ["recv", _, "send", list] => sent = Some(*list),
        _ => return Err(wrong()),
    }
    let mut rids: Vec<Rid> = Vec::new();
    for stream in sent.unwrap_or_default().split(';').filter(|_| sent.is_some()) {
        let id = stream.split(',').next().unwrap_or_default();
        let (paused, id) = id.strip_prefix('~').map_or((false, id), |id| (true, id));
        if rids.iter().any(|rid| rid.id == id) {
            return Err(place.malformed(attribute, format!("RID {id:?} stands twice")));
        }
        if rids.len() == MAX_ENCODINGS {
            return Err(place.unacceptable(format!(
                "simulcast of more than {MAX_ENCODINGS} streams; send at most {MAX_ENCODINGS}"
            )));
        }
        let limits = limits(id, attributes).map_err(|cause| place.malformed(attribute, cause))?;
        rids.push(Rid { id: id.to_owned(), paused, limits });
    }
    Ok(rids)
}

/// What the `a=rid` line of a stream that is sent (RFC 8851) says of it.
fn limits(id: &str, attributes: Attributes<'_>) -> Result<Limits, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > MAX_RID_BYTES || !id.bytes().all(plain) {
        return Err(format!("RID {id:?} must be 1 to {MAX_RID_BYTES} letters, digits, - or _"));
    }
    attributes
        .all("rid")
        .find_map(|attribute| {
            let rest = value(attribute).strip_prefix(id)?.strip_prefix(' ')?;
            let (direction, restrictions) = rest.split_once(' ').unwrap_or((rest, ""));
            (direction == "send").then(|| Limits::parse(restrictions))
        })
        .ok_or_else(|| format!("there is no line \"a=rid:{id} send\""))
}

/// Text that may stand on a line of ours.
fn text(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.is_empty() || text.len() > max || !text.bytes().all(visible) {
        return Err(format!("must be 1 to {max} characters of ASCII"));
    }
    Ok(text.to_owned())
}
