//! WHIP: what an offer publishes.

use super::{AnsweredSection, Offer, SdpError};
use crate::ortc::{Kind, RtpParameters};

/// One producer to be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Publication {
    /// Position of its `m=` line.
    pub(crate) section: usize,
    pub(crate) kind: Kind,
    /// Ready for `ortc::produce` with `Carrier::WebRtc`: one media codec, its RTX, MID, RIDs or SSRCs, extensions.
    pub(crate) parameters: RtpParameters,
    /// What the answer says of it.
    pub(crate) answer: AnsweredSection,
}

/// What an offer publishes: at least one.
///
/// # Errors
/// 422 where a section of sound or pictures cannot be taken: WHIP knows no partial success (RFC 9725 section 4.4.3).
pub(crate) fn publish(offer: &Offer) -> Result<Vec<Publication>, SdpError> {
    let _ = offer;
    todo!()
}
