//! WHEP: which section of an offer takes which producer.

use corecast_wire::ConsumeOptions;

use super::{AnsweredSection, Offer, SdpError, Section};
use crate::ortc::{OrtcError, RtpCapabilities, RtpParameters};

/// What the caller decides and draws.
#[derive(Clone, Debug)]
pub(crate) struct ConsumeRequest {
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// Below 2^15.
    pub(crate) first_sequence: u16,
    /// Below 2^15.
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
    /// For the data plane.
    pub(crate) options: ConsumeOptions,
    /// What the answer says of it.
    pub(crate) answer: AnsweredSection,
}

/// The sections of a viewer's offer that want something, at least one.
///
/// # Errors
/// 422 where there is none, or one that sends (draft-ietf-wish-whep section 4.2).
pub(crate) fn viewing(offer: &Offer) -> Result<Vec<&Section>, SdpError> {
    let _ = offer;
    todo!()
}

/// What a section can receive, in the offer's numbers.
pub(crate) fn receive_capabilities(section: &Section) -> RtpCapabilities {
    let _ = section;
    todo!()
}

/// Whether a section can take a producer.
pub(crate) fn can_consume(section: &Section, consumable: &RtpParameters) -> bool {
    let _ = (section, consumable);
    todo!()
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
    let _ = (section, consumable, request);
    todo!()
}
