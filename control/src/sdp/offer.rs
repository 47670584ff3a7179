//! What an offer says.

use corecast_wire::DtlsParameters;

use super::SdpError;
use crate::ortc::{Kind, RtpCodecParameters};

/// Most bytes of a description.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// A parsed offer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Credentials of the section whose transport all share. We are ICE-lite: they only tell a restart.
    pub(crate) ice: RemoteIce,
    /// The remote role is never both: we answer `actpass` with `passive`.
    pub(crate) dtls: DtlsParameters,
    /// In the order of the `m=` lines.
    pub(crate) sections: Vec<Section>,
    /// `a=group:BUNDLE`, if there is one.
    pub(crate) bundle: Option<Vec<String>>,
    /// `a=extmap-allow-mixed` of the session (RFC 8285 section 6).
    pub(crate) extmap_allow_mixed: bool,
}

/// ICE credentials of the remote side (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq)]
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

/// What an `m=` line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    /// Sound or pictures over DTLS-SRTP.
    Media(Kind),
    /// Anything else (data channels for one); it is rejected in the answer. Says what, for a sentence.
    Other(String),
}

/// As the offer has it, so seen from the remote side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// One `a=extmap` (RFC 8285).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) id: u8,
    pub(crate) uri: String,
    /// `None` where the line has none: that of the section.
    pub(crate) direction: Option<Direction>,
}

/// One `a=rid` (RFC 8851) that the section sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rid {
    pub(crate) id: String,
    /// Restrictions behind the direction, as they stand.
    pub(crate) restrictions: String,
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
    /// Of the announced SSRCs.
    pub(crate) cname: Option<String>,
    /// "stream track", as in `a=msid`.
    pub(crate) msid: Option<String>,
}

impl Offer {
    /// Parses an offer.
    ///
    /// # Errors
    /// 400 for what is malformed, 422 for what cannot be answered with one ICE-lite, DTLS-SRTP transport.
    pub(crate) fn parse(text: &str) -> Result<Self, SdpError> {
        let _ = text;
        todo!()
    }
}
