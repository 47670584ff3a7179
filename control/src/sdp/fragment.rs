//! Fragments (`application/trickle-ice-sdpfrag`, RFC 8840 section 9) of PATCH.

use std::fmt::Write as _;

use super::answer::{Bundle, Local, write_candidates, write_credentials};
use super::lines::{self, Attributes, Place, value};
use super::offer::{self, RemoteIce};
use super::{SdpError, answer};

/// A parsed fragment. Candidates are checked and not kept: an ICE-lite side waits for checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Credentials, if it has any.
    pub(crate) ice: Option<RemoteIce>,
}

/// Parses a fragment.
///
/// # Errors
/// Malformed text.
pub(crate) fn parse_fragment(text: &str) -> Result<Fragment, SdpError> {
    let session = lines::split_fragment(text)?;
    let own = Attributes(&session.attributes);
    let mut read = Read::default();
    read.take(own, own, &Place::session())?;
    for (index, media) in session.medias.iter().enumerate() {
        let section = Attributes(&media.attributes);
        let mid = section.first("mid").map(value).unwrap_or_default();
        let place = Place::section(index, &media.media, mid);
        // RFC 8840 section 9.2: the m= line is a placeholder, its MID says whose the candidates are.
        if !lines::is_token(mid) {
            return Err(place.wrong("a=mid is missing or not a token"));
        }
        read.says_something = true;
        read.take(section, own, &place)?;
    }
    if !read.says_something {
        return Err(SdpError::malformed("the fragment has neither credentials nor candidates nor their end"));
    }
    Ok(Fragment { ice: read.ice })
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Read {
    ice: Option<RemoteIce>,
    /// There are credentials, candidates, their end, or sections.
    says_something: bool,
}

impl Read {
    fn take(&mut self, section: Attributes<'_>, session: Attributes<'_>, place: &Place) -> Result<(), SdpError> {
        if section.has("ice-ufrag") || section.has("ice-pwd") {
            let ice = offer::ice(section, session, place)?;
            // One transport: one pair of credentials.
            if self.ice.as_ref().is_some_and(|other| other.ufrag != ice.ufrag || other.pwd != ice.pwd) {
                return Err(
                    place.wrong("has other ICE credentials than stand before; all sections share one transport")
                );
            }
            self.ice.get_or_insert(ice);
            self.says_something = true;
        }
        for attribute in section.all("candidate") {
            let words: Vec<_> = value(attribute).split(' ').filter(|word| !word.is_empty()).collect();
            // RFC 8839 section 5.1: foundation, component, transport, priority, address, port, "typ", type.
            let numbers = [words.get(1), words.get(3), words.get(5)];
            let counted = numbers.iter().all(|word| word.is_some_and(|word| word.parse::<u32>().is_ok()));
            if !counted || words.get(6) != Some(&"typ") || words.len() < 8 {
                return Err(place.malformed(attribute, "must be a candidate (RFC 8839 section 5.1)"));
            }
            self.says_something = true;
        }
        self.says_something |= section.has("end-of-candidates");
        Ok(())
    }
}

/// Our side after an ICE restart: new credentials, the candidates, the end of them.
pub(crate) fn fragment(local: &Local, bundle: &Bundle) -> String {
    let mut text = String::from("a=ice-lite\r\n");
    text.push_str(answer::ICE_OPTIONS);
    // Writing to a string does not fail.
    if bundle.mids.len() > 1 {
        let _ = write!(text, "a=group:BUNDLE {}\r\n", bundle.mids.join(" "));
    }
    let _ = write!(text, "{}\r\n", bundle.line);
    if let Some(mid) = bundle.mids.first().filter(|mid| !mid.is_empty()) {
        let _ = write!(text, "a=mid:{mid}\r\n");
    }
    write_credentials(&mut text, local);
    write_candidates(&mut text, local);
    text
}
