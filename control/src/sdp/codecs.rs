//! Codecs of a section: `a=rtpmap`, `a=fmtp` (RFC 8866 sections 6.6 and 6.15) and `a=rtcp-fb` (RFC 4585 section 4.2).

use std::collections::{BTreeMap, HashSet};

use sdp_types::Attribute;
use serde_json::{Map, Value};

use super::SdpError;
use super::lines::{Attributes, Place, is_token, value};
use crate::ortc::{Kind, RtcpFeedback, RtpCodecParameters};

/// Most payload types of a section: all that there are.
const MAX_FORMATS: usize = 128;
/// Most parameters in one `a=fmtp`.
const MAX_PARAMETERS: usize = 32;
/// Most bytes of one `a=fmtp`: parameter sets of H.265 are long.
const MAX_FORMAT_BYTES: usize = 4_096;
/// Most entries of feedback of one codec.
const MAX_FEEDBACK: usize = 32;
/// Most different lines about feedback in a section. Chromium's longest have some 100.
const MAX_FEEDBACK_LINES: usize = 512;
/// Payload types that cannot be told from RTCP (RFC 5761 section 4).
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 64..=95;

/// Payload types that need no `a=rtpmap` (RFC 3551 section 6), of those that the router has.
const STATIC: [(u8, &str, u32); 3] = [(0, "audio/PCMU", 8_000), (8, "audio/PCMA", 8_000), (9, "audio/G722", 8_000)];

/// The codecs of a section, in the order of its `m=` line.
pub(super) fn parse(
    kind: Kind,
    formats: &str,
    attributes: Attributes<'_>,
    place: &Place,
) -> Result<Vec<RtpCodecParameters>, SdpError> {
    let order = order(formats, place)?;
    let mut named = rtpmaps(kind, attributes, place)?;
    for (payload_type, mime_type, clock_rate) in STATIC {
        if Kind::of_mime_type(mime_type) == Some(kind) {
            named.entry(payload_type).or_insert_with(|| plain(mime_type.into(), payload_type, clock_rate, None));
        }
    }
    // Only what the m= line names is on offer; the rest of the lines about it is without effect.
    let mut codecs: Vec<_> = order.iter().filter_map(|payload_type| named.remove(payload_type)).collect();
    for attribute in attributes.all("fmtp") {
        let (payload_type, rest) = number_and_rest(attribute, place)?;
        if let Some(codec) = codecs.iter_mut().find(|codec| codec.payload_type == payload_type) {
            parameters(codec, rest).map_err(|cause| place.malformed(attribute, cause))?;
        }
    }
    feedback(&mut codecs, attributes, place)?;
    Ok(codecs)
}

/// Each line costs as much as there are codecs, so lines that stand again are left out and the others are counted.
fn feedback(codecs: &mut [RtpCodecParameters], attributes: Attributes<'_>, place: &Place) -> Result<(), SdpError> {
    let mut seen = HashSet::new();
    for attribute in attributes.all("rtcp-fb") {
        if !seen.insert(value(attribute)) {
            continue;
        }
        if seen.len() > MAX_FEEDBACK_LINES {
            return Err(place.malformed(attribute, format!("at most {MAX_FEEDBACK_LINES} such lines in a section")));
        }
        let (to, rest) = value(attribute).split_once(' ').unwrap_or_else(|| (value(attribute), ""));
        let to = if to == "*" { None } else { Some(payload_type(to).ok_or_else(|| wrong_type(attribute, place))?) };
        let entry = feedback_entry(rest)
            .ok_or_else(|| place.malformed(attribute, "must be a payload type (or *) and a word"))?;
        for codec in codecs.iter_mut().filter(|codec| to.is_none_or(|to| codec.payload_type == to)) {
            if codec.rtcp_feedback.len() < MAX_FEEDBACK && !codec.rtcp_feedback.contains(&entry) {
                codec.rtcp_feedback.push(entry.clone());
            }
        }
    }
    Ok(())
}

/// The payload types of an `m=` line.
fn order(formats: &str, place: &Place) -> Result<Vec<u8>, SdpError> {
    let mut order = Vec::new();
    for format in formats.split(' ').filter(|format| !format.is_empty()) {
        let cause = || format!("format {format:?} must be a payload type from 0 to 127");
        let payload_type = payload_type(format).ok_or_else(|| place.wrong(cause()))?;
        if order.contains(&payload_type) {
            return Err(place.wrong(format!("payload type {payload_type} stands twice")));
        }
        if RTCP_TYPES.contains(&payload_type) {
            let cause =
                format!("payload type {payload_type} cannot be told from RTCP (RFC 5761); use 96 to 127 or 35 to 63");
            return Err(place.wrong(cause));
        }
        order.push(payload_type);
    }
    debug_assert!(order.len() <= MAX_FORMATS, "each stands once");
    if order.is_empty() { Err(place.wrong("names no payload type")) } else { Ok(order) }
}

fn rtpmaps(
    kind: Kind,
    attributes: Attributes<'_>,
    place: &Place,
) -> Result<BTreeMap<u8, RtpCodecParameters>, SdpError> {
    let mut named = BTreeMap::new();
    for attribute in attributes.all("rtpmap") {
        let (payload_type, rest) = number_and_rest(attribute, place)?;
        let codec = rtpmap(kind, payload_type, rest.trim_end())
            .ok_or_else(|| place.malformed(attribute, "must be name/clock rate, for audio also /channels"))?;
        if named.insert(payload_type, codec).is_some() {
            return Err(place.malformed(attribute, format!("payload type {payload_type} was named before")));
        }
    }
    Ok(named)
}

/// `opus/48000/2`.
fn rtpmap(kind: Kind, payload_type: u8, text: &str) -> Option<RtpCodecParameters> {
    let mut parts = text.split('/');
    let name = parts.next().filter(|name| is_token(name))?;
    let clock_rate = parts.next()?.parse().ok().filter(|rate| *rate > 0)?;
    let channels = match parts.next() {
        Some(channels) => Some(channels.parse().ok().filter(|channels| *channels > 0)?),
        None => None,
    };
    let mime_type = format!("{}/{name}", kind.name());
    // Opus always has two here (RFC 7587 section 4.1), also where it is forgotten.
    let channels = channels.or_else(|| name.eq_ignore_ascii_case("opus").then_some(2));
    let channels = channels.filter(|_| kind == Kind::Audio);
    parts.next().is_none().then(|| plain(mime_type, payload_type, clock_rate, channels))
}

fn plain(mime_type: String, payload_type: u8, clock_rate: u32, channels: Option<u8>) -> RtpCodecParameters {
    let (parameters, rtcp_feedback) = (Map::new(), Vec::new());
    RtpCodecParameters { mime_type, payload_type, clock_rate, channels, parameters, rtcp_feedback }
}

/// `minptime=10;useinbandfec=1`. What is not of that form (`0-15` of telephone events) stays as a name without a value.
fn parameters(codec: &mut RtpCodecParameters, text: &str) -> Result<(), String> {
    if text.len() > MAX_FORMAT_BYTES {
        return Err(format!("at most {MAX_FORMAT_BYTES} bytes"));
    }
    for parameter in text.split(';').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), number_or_text(value.trim())),
            None => (parameter, Value::Null),
        };
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("parameter {name:?} has characters that a name does not have"));
        }
        codec.parameters.insert(name.to_owned(), value);
    }
    if codec.parameters.len() > MAX_PARAMETERS {
        return Err(format!("at most {MAX_PARAMETERS} parameters"));
    }
    Ok(())
}

/// A number only where it is written back as it was.
fn number_or_text(text: &str) -> Value {
    match text.parse::<u32>() {
        Ok(number) if number.to_string() == text => Value::from(number),
        _ => Value::String(text.to_owned()),
    }
}

fn feedback_entry(text: &str) -> Option<RtcpFeedback> {
    let text = text.trim();
    let (kind, parameter) = text.split_once(' ').unwrap_or((text, ""));
    is_token(kind).then(|| RtcpFeedback::new(kind, parameter.trim()))
}

fn number_and_rest<'a>(attribute: &'a Attribute, place: &Place) -> Result<(u8, &'a str), SdpError> {
    let (number, rest) = value(attribute).split_once(' ').unwrap_or_else(|| (value(attribute), ""));
    Ok((payload_type(number).ok_or_else(|| wrong_type(attribute, place))?, rest.trim_start()))
}

fn wrong_type(attribute: &Attribute, place: &Place) -> SdpError {
    place.malformed(attribute, "must begin with a payload type from 0 to 127")
}

fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number <= 127)
}
