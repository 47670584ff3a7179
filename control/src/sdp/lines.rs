//! The lines of a description: bounds, values and tokens that the parser of the line grammar does not check, and how
//! an error names a line.

use std::fmt;

use sdp_types::{Attribute, ParserError, Session};

use super::SdpError;

/// Most bytes of a description.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// Most lines of a description. Chromium's longest offers have some 300 for a section.
const MAX_LINES: usize = 8_192;
/// Most characters of a line that an error repeats.
const MAX_QUOTED_CHARS: usize = 120;

/// Splits a description into lines (RFC 8866 section 9), with a bound on both.
pub(super) fn split(text: &str) -> Result<Session, SdpError> {
    check_size(text)?;
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("v=") {
        let cause = "a description begins with v=0 (send the sdp text itself, not JSON around it)";
        return Err(SdpError::malformed(format!("line 1 {}: {cause}", quoted(first))));
    }
    Session::parse(text.as_bytes()).map_err(|error| malformed(text, 0, &error))
}

/// Splits a fragment (RFC 8840 section 9.1): a description without the lines that are always the same.
pub(super) fn split_fragment(text: &str) -> Result<Session, SdpError> {
    check_size(text)?;
    let whole = format!("v=0\r\n{text}");
    Session::parse(whole.as_bytes()).map_err(|error| malformed(&whole, 1, &error))
}

fn check_size(text: &str) -> Result<(), SdpError> {
    if text.len() > MAX_BYTES {
        return Err(SdpError::malformed(format!("the description has {} bytes; at most {MAX_BYTES}", text.len())));
    }
    if text.lines().nth(MAX_LINES).is_some() {
        return Err(SdpError::malformed(format!("the description has more than {MAX_LINES} lines")));
    }
    Ok(())
}

/// `ours` lines stand before those that were sent.
fn malformed(text: &str, ours: usize, error: &ParserError) -> SdpError {
    use ParserError as E;
    let (number, what) = match error {
        E::InvalidLineFormat(number, what) => (*number, format!("is not of the form x=value ({what})")),
        E::InvalidFieldEncoding(number, what) => (*number, format!("{what} is not UTF-8")),
        E::InvalidFieldFormat(number, what) => (*number, format!("{what} is malformed")),
        E::MissingField(number, what) => (*number, format!("{what} is missing")),
        E::FieldTrailingData(number, what) => (*number, format!("{what} is followed by something")),
        E::InvalidVersion(number, _) => (*number, "the version must be 0".into()),
        E::MultipleVersions(number)
        | E::MultipleOrigins(number)
        | E::MultipleSessionNames(number)
        | E::MultipleSessionDescription(number)
        | E::MultipleUris(number)
        | E::MultipleConnections(number)
        | E::MultipleTimeZones(number)
        | E::MultipleMediaTitles(number)
        | E::MultipleKeys(number) => (*number, "a line of this kind stood before".into()),
        E::RepeatWithoutTime(number) => (*number, "stands before any t= line".into()),
        other => return SdpError::malformed(other.to_string()),
    };
    let line = number.checked_sub(1).and_then(|index| text.lines().nth(index)).unwrap_or_default();
    SdpError::malformed(format!("line {} {}: {what}", number.saturating_sub(ours), quoted(line)))
}

/// A line as an error repeats it: escaped and cut.
pub(super) fn quoted(line: &str) -> String {
    let mut chars = line.chars();
    let start: String = chars.by_ref().take(MAX_QUOTED_CHARS).collect();
    if chars.next().is_some() { format!("{start:?} …") } else { format!("{start:?}") }
}

/// Where attributes stand: an error begins with it.
#[derive(Clone, Debug)]
pub(super) struct Place(pub(super) String);

impl Place {
    /// Before the first `m=` line.
    pub(super) fn session() -> Self {
        Self("session".into())
    }

    /// A section.
    pub(super) fn section(index: usize, media: &str, mid: &str) -> Self {
        let mid = if mid.is_empty() { String::new() } else { format!(", mid {mid}") };
        Self(format!("m= line {} ({media}{mid})", index + 1))
    }

    /// An attribute is wrong in itself.
    pub(super) fn malformed(&self, attribute: &Attribute, cause: impl fmt::Display) -> SdpError {
        SdpError::malformed(format!("{}, {}: {cause}", self.0, name_of(attribute)))
    }

    /// The place is wrong as a whole.
    pub(super) fn wrong(&self, cause: impl fmt::Display) -> SdpError {
        SdpError::malformed(format!("{}: {cause}", self.0))
    }

    /// Well-formed, but not done here.
    pub(super) fn unacceptable(&self, cause: impl fmt::Display) -> SdpError {
        SdpError::unacceptable(format!("{}: {cause}", self.0))
    }
}

fn name_of(attribute: &Attribute) -> String {
    match &attribute.value {
        Some(value) => quoted(&format!("a={}:{value}", attribute.attribute)),
        None => quoted(&format!("a={}", attribute.attribute)),
    }
}

/// Attributes of a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a [Attribute]);

impl<'a> Attributes<'a> {
    /// All attributes of a name, in order.
    pub(super) fn all(self, name: &str) -> impl Iterator<Item = &'a Attribute> {
        self.0.iter().filter(move |attribute| attribute.attribute == name)
    }

    /// The first attribute of a name.
    pub(super) fn first(self, name: &str) -> Option<&'a Attribute> {
        self.all(name).next()
    }

    /// Whether there is an attribute of a name.
    pub(super) fn has(self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

/// The value of an attribute; empty where it has none.
pub(super) fn value(attribute: &Attribute) -> &str {
    attribute.value.as_deref().unwrap_or_default()
}

/// Whether it is a `token` of RFC 8866 section 9.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            matches!(byte, 0x21 | 0x23..=0x27 | 0x2A | 0x2B | 0x2D | 0x2E
            | b'0'..=b'9' | b'A'..=b'Z' | 0x5E..=0x7E)
        })
}

/// Whether it is an `ice-char` of RFC 8839 section 5.1.
pub(super) fn is_ice_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
