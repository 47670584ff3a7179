//! Answers (RFC 9429 section 5.3).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use corecast_wire::{
    DtlsRole, Fingerprint, FingerprintAlgorithm, IceParameters, IceProtocol, MAX_MESSAGE_BYTES, SctpOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Offer;
use super::lines::is_token;
use super::section::{Direction, Extension, Rid, Section, SectionKind};
use crate::ortc::{self, RtcpFeedback, RtpCodecParameters};

/// The server takes trickled candidates (and has no use for them), and nominates as RFC 8445 has it.
pub(super) const ICE_OPTIONS: &str = "a=ice-options:trickle ice2\r\n";

/// Type preferences (RFC 8445 section 5.1.2.2). RFC 6544 section 4.2 wants TCP below UDP; the values are libwebrtc's.
const UDP_HOST: u32 = 126;
const TCP_HOST: u32 = 90;
/// Direction preference of a passive candidate, at its place in the local preference (RFC 6544 section 4.2).
const TCP_PASSIVE: u32 = 4 << 13;
/// Most characters of a name in `a=msid` (RFC 8830 section 2).
const MAX_NAME_CHARS: usize = 64;

/// The server's side of a transport.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Local {
    /// Number for the `o=` line; any below 2^63.
    pub(crate) session_id: u64,
    pub(crate) ice: IceParameters,
    /// Fingerprints of the server's certificate. At least one.
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// Candidates in the order of preference, at least one. UDP is preferred to TCP in any order.
    pub(crate) candidates: Vec<Candidate>,
}

/// An address at which the transport is reached: as announced, not as bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: IceProtocol,
}

/// A section that is accepted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AnsweredSection {
    /// Position of the `m=` line in the offer.
    pub(super) index: usize,
    /// The server's direction.
    pub(super) direction: Direction,
    /// Codecs in the offer's numbers; at least one.
    pub(super) codecs: Vec<RtpCodecParameters>,
    /// Extensions in the offer's numbers, with the server's direction.
    pub(super) extensions: Vec<Extension>,
    /// Encodings of the simulcast that the server receives.
    pub(super) rids: Vec<Rid>,
    /// Streams that the server sends.
    pub(super) sending: Option<Sending>,
}

/// Streams that a section sends to the remote side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    pub(super) cname: String,
    pub(super) stream: String,
    pub(super) track: String,
}

/// The sections that share the transport; what a fragment needs of an offer and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bundle {
    /// MIDs in the order of the answer's group; the section of the first has the candidates.
    pub(super) mids: Vec<String>,
    /// `m=` line of the first section.
    pub(super) line: String,
}

impl Bundle {
    /// The bundle of an answer.
    pub(crate) fn of(offer: &Offer, accepted: &[AnsweredSection]) -> Self {
        let sections = bundled(offer, &completed(offer, accepted));
        let line = sections.first().map_or_else(
            || "m=audio 9 UDP/TLS/RTP/SAVPF 0".to_owned(),
            |section| {
                let [media, protocol, format] = &section.line;
                format!("m={media} 9 {protocol} {format}")
            },
        );
        Self { mids: sections.iter().map(|section| section.mid.clone()).collect(), line }
    }
}

/// What is accepted, and for sound or pictures that nobody sends a section without either: Chromium (with max-bundle)
/// and aiortc refuse an answer that rejects the first section of the group, whose transport the others were offered on.
fn completed(offer: &Offer, accepted: &[AnsweredSection]) -> Vec<AnsweredSection> {
    let is_left = |section: &&Section| accepted.iter().all(|one| one.index != section.index);
    let idle = |section: &Section| {
        let SectionKind::Media(_) = section.kind else { return None };
        let mut codec = section.codecs.iter().find(|codec| ortc::is_media(codec))?.clone();
        codec.rtcp_feedback.clear();
        let (index, direction) = (section.index, Direction::Inactive);
        let (extensions, rids) = (Vec::new(), Vec::new());
        Some(AnsweredSection { index, direction, codecs: vec![codec], extensions, rids, sending: None })
    };
    accepted.iter().cloned().chain(offer.sections.iter().filter(is_left).filter_map(idle)).collect()
}

/// The accepted sections in the order of the offer's group (RFC 9143 section 7.3), without a group in that of the `m=`
/// lines.
fn bundled<'a>(offer: &'a Offer, accepted: &[AnsweredSection]) -> Vec<&'a Section> {
    let is_accepted = |section: &&Section| {
        matches!(section.kind, SectionKind::Data(_)) || accepted.iter().any(|one| one.index == section.index)
    };
    match &offer.bundle {
        Some(mids) => {
            let of_mid = |mid: &String| offer.sections.iter().find(|section| section.mid == *mid);
            mids.iter().filter_map(of_mid).filter(is_accepted).collect()
        }
        None => offer.sections.iter().filter(is_accepted).collect(),
    }
}

/// The answer to an offer. Of the sections that are not accepted those of sound and pictures are inactive, the others
/// rejected (port 0); data channels are taken.
pub(crate) fn answer(offer: &Offer, local: &Local, accepted: &[AnsweredSection]) -> String {
    let accepted = completed(offer, accepted);
    let bundled = bundled(offer, &accepted);
    let mut text = String::with_capacity(4_096);
    let _ = write!(text, "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", local.session_id);
    if offer.bundle.is_some() {
        let mids: Vec<_> = bundled.iter().map(|section| section.mid.as_str()).collect();
        let _ = write!(text, "a=group:BUNDLE {}\r\n", mids.join(" "));
    }
    text.push_str("a=ice-lite\r\n");
    text.push_str(ICE_OPTIONS);
    if offer.extmap_allow_mixed {
        text.push_str("a=extmap-allow-mixed\r\n");
    }
    let tagged = bundled.first().map(|section| section.index);
    for section in &offer.sections {
        match (section.kind, accepted.iter().find(|one| one.index == section.index)) {
            (SectionKind::Data(sctp), _) => write_data(&mut text, section, sctp, offer, local),
            (_, Some(answered)) => write_section(&mut text, section, answered, offer, local),
            (_, None) => write_rejected(&mut text, section, offer, local),
        }
        if tagged == Some(section.index) {
            write_candidates(&mut text, local);
        }
    }
    text
}

/// A rejected section: port 0 (RFC 3264 section 6). The formats of a rejected line mean nothing, but there must be one.
/// The attributes mean nothing either, but aiortc refuses an answer without them.
fn write_rejected(text: &mut String, section: &Section, offer: &Offer, local: &Local) {
    let [media, protocol, format] = &section.line;
    let _ = write!(text, "m={media} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\n");
    if !section.mid.is_empty() {
        let _ = write!(text, "a=mid:{}\r\n", section.mid);
    }
    text.push_str("a=inactive\r\n");
    write_credentials(text, local);
    write_dtls(text, offer, local);
    text.push_str("a=rtcp-mux\r\n");
}

/// Data channels (RFC 8841).
fn write_data(text: &mut String, section: &Section, sctp: SctpOptions, offer: &Offer, local: &Local) {
    let [media, protocol, format] = &section.line;
    write_line(text, section, &format!("m={media} {} {protocol} {format}", default_address(local).port()), local);
    write_credentials(text, local);
    write_dtls(text, offer, local);
    let _ = write!(text, "a=sctp-port:{}\r\na=max-message-size:{MAX_MESSAGE_BYTES}\r\n", sctp.port);
}

/// An `m=` line of an accepted section, its default address and its MID.
fn write_line(text: &mut String, section: &Section, line: &str, local: &Local) {
    let default = default_address(local);
    let family = if default.is_ipv4() { "IP4" } else { "IP6" };
    let _ = write!(text, "{line}\r\nc=IN {family} {}\r\n", default.ip());
    if !section.mid.is_empty() {
        let _ = write!(text, "a=mid:{}\r\n", section.mid);
    }
}

fn write_section(text: &mut String, section: &Section, answered: &AnsweredSection, offer: &Offer, local: &Local) {
    let [media, protocol, _] = &section.line;
    let mut line = format!("m={media} {} {protocol}", default_address(local).port());
    for codec in &answered.codecs {
        let _ = write!(line, " {}", codec.payload_type);
    }
    write_line(text, section, &line, local);
    let _ = write!(text, "a={}\r\n", answered.direction.name());
    write_credentials(text, local);
    write_dtls(text, offer, local);
    text.push_str("a=rtcp-mux\r\n");
    if section.reduced_size {
        text.push_str("a=rtcp-rsize\r\n");
    }
    if section.receiver_round_trip {
        text.push_str("a=rtcp-xr:rcvr-rtt=all\r\n");
    }
    answered.codecs.iter().for_each(|codec| write_codec(text, codec));
    // All payload types at once (RFC 8888 section 6).
    if answered.codecs.iter().any(|codec| codec.rtcp_feedback.iter().any(RtcpFeedback::is_ccfb)) {
        text.push_str("a=rtcp-fb:* ack ccfb\r\n");
    }
    for extension in &answered.extensions {
        let direction = extension.direction.map_or_else(String::new, |direction| format!("/{}", direction.name()));
        let _ = write!(text, "a=extmap:{}{direction} {}\r\n", extension.id, extension.uri);
    }
    if !answered.rids.is_empty() {
        for rid in &answered.rids {
            let _ = write!(text, "a=rid:{} recv\r\n", rid.id);
        }
        // What is offered as paused stays paused: Chromium 156 begins to send what the answer does not call so.
        let name = |rid: &Rid| format!("{}{}", if rid.paused { "~" } else { "" }, rid.id);
        let names: Vec<_> = answered.rids.iter().map(name).collect();
        let _ = write!(text, "a=simulcast:recv {}\r\n", names.join(";"));
    }
    if let Some(sending) = &answered.sending {
        write_sending(text, sending);
    }
}

/// The address to which a client without ICE would send: a UDP one if there is any.
fn default_address(local: &Local) -> SocketAddr {
    let udp = local.candidates.iter().find(|candidate| candidate.protocol == IceProtocol::Udp);
    let nowhere = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 9);
    udp.or_else(|| local.candidates.first()).map_or(nowhere, |candidate| candidate.address)
}

pub(super) fn write_credentials(text: &mut String, local: &Local) {
    let _ = write!(text, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", local.ice.username_fragment, local.ice.password);
}

/// Host candidates (RFC 8839 section 5.1, RFC 6544 section 4.5), and that there are no more.
pub(super) fn write_candidates(text: &mut String, local: &Local) {
    let mut bases: Vec<(IpAddr, IceProtocol)> = Vec::new();
    for (rank, Candidate { address, protocol }) in (0_u32..).zip(&local.candidates) {
        // RFC 8445 section 5.1.1.3: one foundation for each address and protocol.
        let base = (address.ip(), *protocol);
        let known = bases.iter().position(|other| *other == base);
        let foundation = known.unwrap_or(bases.len()) + 1;
        if known.is_none() {
            bases.push(base);
        }
        let (name, kind, local_preference, tail) = match protocol {
            IceProtocol::Udp => ("udp", UDP_HOST, u32::from(u16::MAX), ""),
            IceProtocol::Tcp => ("tcp", TCP_HOST, TCP_PASSIVE | 0x1FFF, " tcptype passive"),
        };
        let priority = (kind << 24) | (local_preference.saturating_sub(rank) << 8) | 255;
        let (ip, port) = (address.ip(), address.port());
        let _ = write!(text, "a=candidate:{foundation} 1 {name} {priority} {ip} {port} typ host{tail}\r\n");
    }
    text.push_str("a=end-of-candidates\r\n");
}

/// The DTLS role that is left (RFC 8842 section 5), and the server's certificate.
fn write_dtls(text: &mut String, offer: &Offer, local: &Local) {
    for fingerprint in &local.fingerprints {
        let name = match fingerprint.algorithm {
            FingerprintAlgorithm::Sha256 => "sha-256",
            FingerprintAlgorithm::Sha384 => "sha-384",
            FingerprintAlgorithm::Sha512 => "sha-512",
        };
        let pairs: Vec<_> = fingerprint.value.iter().map(|byte| format!("{byte:02X}")).collect();
        let _ = write!(text, "a=fingerprint:{name} {}\r\n", pairs.join(":"));
    }
    let setup = if offer.dtls.role == DtlsRole::Client { "passive" } else { "active" };
    let _ = write!(text, "a=setup:{setup}\r\n");
}

fn write_codec(text: &mut String, codec: &RtpCodecParameters) {
    let (payload_type, clock_rate) = (codec.payload_type, codec.clock_rate);
    let (_, name) = codec.mime_type.split_once('/').unwrap_or_default();
    let channels = codec.channels.filter(|channels| *channels > 1).map_or_else(String::new, |n| format!("/{n}"));
    let _ = write!(text, "a=rtpmap:{payload_type} {name}/{clock_rate}{channels}\r\n");
    let parameters = format_parameters(&codec.parameters);
    if !parameters.is_empty() {
        let _ = write!(text, "a=fmtp:{payload_type} {}\r\n", parameters.join(";"));
    }
    for entry in codec.rtcp_feedback.iter().filter(|entry| !entry.is_ccfb()) {
        let parameter = if entry.parameter.is_empty() { String::new() } else { format!(" {}", entry.parameter) };
        let _ = write!(text, "a=rtcp-fb:{payload_type} {}{parameter}\r\n", entry.kind);
    }
}

/// The parameters that fit on a line: they may come from a body of JSON as well.
fn format_parameters(parameters: &Map<String, Value>) -> Vec<String> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    let write = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Null => return Some(name.clone()),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => return None,
        };
        (visible(&value) && visible(name)).then(|| format!("{name}={value}"))
    };
    parameters.iter().filter_map(write).collect()
}

/// The lines of which browsers make a track and its stream (RFC 8830), and those that tell its packets (RFC 5576).
fn write_sending(text: &mut String, sending: &Sending) {
    let (stream, track) = (name(&sending.stream), name(&sending.track));
    let _ = write!(text, "a=msid:{stream} {track}\r\n");
    if let Some(rtx) = sending.rtx_ssrc {
        let _ = write!(text, "a=ssrc-group:FID {} {rtx}\r\n", sending.ssrc);
    }
    let cname = name(&sending.cname);
    for ssrc in std::iter::once(sending.ssrc).chain(sending.rtx_ssrc) {
        let _ = write!(text, "a=ssrc:{ssrc} cname:{cname}\r\na=ssrc:{ssrc} msid:{stream} {track}\r\n");
    }
}

/// A name as it may stand on a line, even if a client chose it.
fn name(text: &str) -> String {
    let plain = |char: char| if is_token(char.encode_utf8(&mut [0; 4])) { char } else { '_' };
    let name: String = text.chars().take(MAX_NAME_CHARS).map(plain).collect();
    if name.is_empty() { "-".into() } else { name }
}
