//! What an offer says.

use std::collections::{HashMap, HashSet};

use corecast_wire::{DtlsParameters, DtlsRole, Fingerprint, FingerprintAlgorithm, SctpOptions};
use sdp_types::Attribute;
use serde::{Deserialize, Serialize};

use super::SdpError;
use super::lines::{self, Attributes, Place, value};
use super::section::{self, Direction, Section, SectionKind};
use crate::ortc::{RtpCodecParameters, TRANSPORT_CC};

/// Most `m=` lines.
const MAX_SECTIONS: usize = 32;
/// Most fingerprints.
const MAX_FINGERPRINTS: usize = 8;
/// Bytes of a user name and of a password (RFC 8839 section 5.4).
const UFRAG_BYTES: std::ops::RangeInclusive<usize> = 4..=256;
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 22..=256;

/// A parsed offer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Credentials of the section whose transport all share. The server is ICE-lite and uses them only to notice a
    /// restart.
    pub(crate) ice: RemoteIce,
    /// The remote role is never both: `actpass` is answered with `passive`.
    pub(crate) dtls: DtlsParameters,
    /// Sections in the order of the `m=` lines.
    pub(crate) sections: Vec<Section>,
    /// MIDs of `a=group:BUNDLE`, if there is one.
    pub(crate) bundle: Option<Vec<String>>,
    /// `a=extmap-allow-mixed` (RFC 8285 section 6), of the session or of every section.
    pub(crate) extmap_allow_mixed: bool,
}

/// ICE credentials of the remote side (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteIce {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    /// `a=ice-options`.
    pub(crate) options: Vec<String>,
}

impl std::fmt::Debug for RemoteIce {
    /// Passwords are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteIce").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl Offer {
    /// Data channels, if they are offered and taken.
    pub(crate) fn sctp(&self) -> Option<SctpOptions> {
        self.sections.iter().find_map(|section| match section.kind {
            SectionKind::Data(sctp) => Some(sctp),
            _ => None,
        })
    }

    /// The same offer with its data channels rejected.
    ///
    /// # Errors
    /// Unacceptable if the other sections depend on that one.
    pub(crate) fn without_data(mut self) -> Result<Self, SdpError> {
        for section in self.sections.iter_mut().filter(|section| matches!(section.kind, SectionKind::Data(_))) {
            section.kind = SectionKind::Other;
        }
        check_first(self.bundle.as_deref().unwrap_or_default(), &self.sections)?;
        Ok(self)
    }

    /// Parses an offer.
    ///
    /// # Errors
    /// Malformed, or unacceptable if it cannot be answered with one ICE-lite, DTLS-SRTP transport.
    pub(crate) fn parse(text: &str) -> Result<Self, SdpError> {
        let session = lines::split(text)?;
        let (own, place) = (Attributes(&session.attributes), Place::session());
        if session.medias.is_empty() {
            return Err(SdpError::malformed("there is no m= line: the offer has neither sound nor pictures"));
        }
        if session.medias.len() > MAX_SECTIONS {
            return Err(SdpError::unacceptable(format!("at most {MAX_SECTIONS} m= lines")));
        }
        if own.has("ice-lite") {
            return Err(SdpError::unacceptable("a=ice-lite: this server is ICE-lite too; one side has to send checks"));
        }
        let direction = section::direction_of(own).unwrap_or(Direction::SendRecv);
        let parse = |(index, media)| Section::parse(index, media, direction);
        let mut sections = session.medias.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        if let Some(section) = repeated(&sections, |section| (!section.mid.is_empty()).then_some(&section.mid)) {
            return Err(section.place().wrong("another section has the same a=mid"));
        }
        let bundle = bundle(own, &sections)?;
        reject_data(&mut sections, bundle.as_deref());
        choose_feedback(&mut sections);
        check_first(bundle.as_deref().unwrap_or_default(), &sections)?;
        check_shared(&sections)?;
        // RFC 9143 section 7.3.2: the transport is that of the first section of the group which is not rejected.
        let tagged = tagged(&sections, bundle.as_deref());
        let first = session.medias.get(tagged).map_or(own, |media| Attributes(&media.attributes));
        let place = sections.get(tagged).map_or(place, Section::place);
        let ice = ice(first, own, &place)?;
        let all = session.medias.iter().map(|media| Attributes(&media.attributes));
        let fingerprints = fingerprints(std::iter::once(own).chain(all.clone()), &place)?;
        let role = role(first.first("setup").or_else(|| own.first("setup")), &place)?;
        let extmap_allow_mixed =
            own.has("extmap-allow-mixed") || all.clone().all(|section| section.has("extmap-allow-mixed"));
        Ok(Self { ice, dtls: DtlsParameters { role, fingerprints }, sections, bundle, extmap_allow_mixed })
    }
}

/// Rejects all sections of data channels but the first one in the bundle: a transport has one association.
fn reject_data(sections: &mut [Section], bundle: Option<&[String]>) {
    let is_alone = sections.len() == 1;
    let mut taken = false;
    for section in sections.iter_mut().filter(|section| matches!(section.kind, SectionKind::Data(_))) {
        let is_bundled = bundle.map_or(is_alone, |mids| mids.contains(&section.mid));
        if taken || !is_bundled {
            section.kind = SectionKind::Other;
        }
        taken |= is_bundled;
    }
}

/// Who offers transport-wide numbers for any section is not asked for feedback of RFC 8888 for another: a browser gives
/// one kind for all of its transport.
fn choose_feedback(sections: &mut [Section]) {
    let mut extensions = sections.iter().flat_map(|section| &section.extensions);
    if extensions.any(|extension| extension.uri == TRANSPORT_CC) {
        for codec in sections.iter_mut().flat_map(|section| &mut section.codecs) {
            codec.rtcp_feedback.retain(|entry| !entry.is_ccfb());
        }
    }
}

/// The first section whose key another section has as well.
fn repeated<'a, K: Eq + std::hash::Hash>(
    sections: &'a [Section],
    key: impl Fn(&'a Section) -> Option<K>,
) -> Option<&'a Section> {
    let mut seen = HashSet::new();
    sections.iter().find(|section| key(section).is_some_and(|key| !seen.insert(key)))
}

/// `a=group:BUNDLE` (RFC 9143): there must be one over all sound and pictures, unless there is one section.
fn bundle(session: Attributes<'_>, sections: &[Section]) -> Result<Option<Vec<String>>, SdpError> {
    let is_bundle = |attribute: &&Attribute| value(attribute).split(' ').next() == Some("BUNDLE");
    let mut groups = session.all("group").filter(is_bundle);
    let live = || sections.iter().filter(|section| matches!(section.kind, SectionKind::Media(_)));
    let Some(group) = groups.next() else {
        if live().count() <= 1 {
            return Ok(None);
        }
        let cause =
            "there is no a=group:BUNDLE, but all sections share one transport here; offer bundlePolicy max-bundle";
        return Err(SdpError::unacceptable(cause));
    };
    let place = Place::session();
    if groups.next().is_some() {
        return Err(place.unacceptable("there is more than one a=group:BUNDLE; all sections share one transport here"));
    }
    let mids: Vec<String> = value(group).split(' ').skip(1).filter(|mid| !mid.is_empty()).map(str::to_owned).collect();
    let mut named = HashSet::new();
    for mid in &mids {
        if !named.insert(mid.as_str()) {
            return Err(place.malformed(group, format!("mid {mid:?} stands twice")));
        }
        if !sections.iter().any(|section| section.mid == *mid) {
            return Err(place.malformed(group, format!("no section has a=mid:{mid}")));
        }
    }
    if let Some(outside) = live().find(|section| !named.contains(section.mid.as_str())) {
        let cause =
            "is not in a=group:BUNDLE, but all sections share one transport here; offer bundlePolicy max-bundle";
        return Err(outside.place().unacceptable(cause));
    }
    Ok(Some(mids))
}

/// With max-bundle the transport is offered with the group's first section alone. If that is one which has to be
/// rejected, Chromium refuses the answer. Chromium 156 says `a=bundle-only` of none: the others have no candidates
/// then, though some section has. An offer that has no candidates yet tells nothing, and is taken.
fn check_first(mids: &[String], sections: &[Section]) -> Result<(), SdpError> {
    let first = mids.first().and_then(|mid| sections.iter().find(|section| section.mid == *mid));
    let Some(first) = first.filter(|section| section.kind == SectionKind::Other) else { return Ok(()) };
    let is_gathered = sections.iter().any(|section| section.has_candidates);
    let depends = |section: &Section| section.bundle_only || is_gathered && !section.has_candidates;
    let depend = |section: &Section| matches!(section.kind, SectionKind::Media(_)) && depends(section);
    if sections.iter().any(depend) {
        let cause = "is the first of a=group:BUNDLE, but cannot be taken; offer sound, pictures or data channels first";
        return Err(first.place().unacceptable(cause));
    }
    Ok(())
}

/// What sections of one transport must agree on (RFC 9143 sections 9.1 and 9.2, RFC 8285 section 5): otherwise a packet
/// cannot be told from another section's.
fn check_shared(sections: &[Section]) -> Result<(), SdpError> {
    let same = |a: &RtpCodecParameters, b: &RtpCodecParameters| {
        a.mime_type.eq_ignore_ascii_case(&b.mime_type) && a.clock_rate == b.clock_rate && a.channels == b.channels
    };
    let (mut uris, mut codecs, mut ssrcs) = (HashMap::new(), HashMap::new(), HashSet::new());
    for section in sections {
        for extension in &section.extensions {
            let (uri, line) = *uris.entry(extension.id).or_insert((&extension.uri, section.index + 1));
            if *uri != extension.uri {
                let cause = format!("extmap id {} means another URI than in m= line {line}", extension.id);
                return Err(section.place().wrong(cause));
            }
        }
        for codec in &section.codecs {
            let (known, line) = *codecs.entry(codec.payload_type).or_insert((codec, section.index + 1));
            if !same(known, codec) {
                let cause = format!("payload type {} means another codec than in m= line {line}", codec.payload_type);
                return Err(section.place().wrong(cause));
            }
        }
        let own: Vec<u32> = section.ssrcs.iter().flat_map(|(ssrc, rtx)| [Some(*ssrc), *rtx]).flatten().collect();
        if let Some(ssrc) = own.into_iter().find(|ssrc| !ssrcs.insert(*ssrc)) {
            return Err(section.place().wrong(format!("SSRC {ssrc} is announced for another stream as well")));
        }
    }
    Ok(())
}

/// Position of the section whose ICE and DTLS parameters hold.
fn tagged(sections: &[Section], bundle: Option<&[String]>) -> usize {
    let live = |section: &&Section| section.kind != SectionKind::Other;
    let of_mid = |mid: &String| sections.iter().find(|section| section.mid == *mid);
    let tagged = bundle.unwrap_or_default().iter().filter_map(of_mid).find(live);
    tagged.or_else(|| sections.iter().find(live)).map_or(0, |section| section.index)
}

/// Credentials of a section, or of the session if the section has none.
pub(super) fn ice(section: Attributes<'_>, session: Attributes<'_>, place: &Place) -> Result<RemoteIce, SdpError> {
    let find = |name: &str, bytes: std::ops::RangeInclusive<usize>| {
        let found = section.first(name).or_else(|| session.first(name));
        let attribute = found.ok_or_else(|| place.wrong(format!("a={name} is missing")))?;
        let text = value(attribute);
        if bytes.contains(&text.len()) && lines::is_ice_text(text) {
            return Ok(text.to_owned());
        }
        let cause = format!("must be {} to {} letters, digits, + or /", bytes.start(), bytes.end());
        // A password is not repeated in an error.
        Err(if name == "ice-pwd" {
            place.wrong(format!("a={name} {cause}"))
        } else {
            place.malformed(attribute, cause)
        })
    };
    let options = section.all("ice-options").chain(session.all("ice-options"));
    Ok(RemoteIce {
        ufrag: find("ice-ufrag", UFRAG_BYTES)?,
        pwd: find("ice-pwd", PASSWORD_BYTES)?,
        options: options.flat_map(|options| value(options).split(' ')).map(str::to_owned).collect(),
    })
}

/// `a=fingerprint` (RFC 8122 section 5), of the session and of all sections: the certificate has one of them. Hash
/// functions that are too weak, or unknown, are left out.
fn fingerprints<'a>(places: impl Iterator<Item = Attributes<'a>>, place: &Place) -> Result<Vec<Fingerprint>, SdpError> {
    let mut found: Vec<Fingerprint> = Vec::new();
    let mut weak = None;
    for attribute in places.flat_map(|attributes| attributes.all("fingerprint")) {
        let (name, hash) = value(attribute).split_once(' ').unwrap_or_default();
        let (algorithm, bytes) = match name.to_ascii_lowercase().as_str() {
            "sha-256" => (FingerprintAlgorithm::Sha256, 32),
            "sha-384" => (FingerprintAlgorithm::Sha384, 48),
            "sha-512" => (FingerprintAlgorithm::Sha512, 64),
            _ => {
                weak = Some(attribute);
                continue;
            }
        };
        let wrong =
            || place.malformed(attribute, format!("must be {bytes} pairs of hexadecimal digits with colons between"));
        let value = hash.trim().split(':').map(byte).collect::<Option<Vec<u8>>>().ok_or_else(wrong)?;
        if value.len() != bytes {
            return Err(wrong());
        }
        let fingerprint = Fingerprint { algorithm, value };
        if !found.contains(&fingerprint) && found.len() < MAX_FINGERPRINTS {
            found.push(fingerprint);
        }
    }
    match (found.is_empty(), weak) {
        (false, _) => Ok(found),
        (true, Some(attribute)) => {
            Err(SdpError::unacceptable(place.malformed(attribute, "use sha-256, sha-384 or sha-512").sentence))
        }
        (true, None) => Err(place.wrong("a=fingerprint is missing; media is taken over DTLS-SRTP only")),
    }
}

fn byte(digits: &str) -> Option<u8> {
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The remote side's role (RFC 8842 section 5.3). If it leaves the choice, it begins the handshake (RFC 9725
/// section 4.4.4).
fn role(setup: Option<&Attribute>, place: &Place) -> Result<DtlsRole, SdpError> {
    let setup = setup.ok_or_else(|| place.wrong("a=setup is missing; offer a=setup:actpass"))?;
    match value(setup) {
        "actpass" | "active" => Ok(DtlsRole::Client),
        "passive" => Ok(DtlsRole::Server),
        "holdconn" => Err(place.unacceptable("a=setup:holdconn asks for no transport; offer a=setup:actpass")),
        _ => Err(place.malformed(setup, "must be actpass, active or passive")),
    }
}
