//! Capability mapping: which codec a producer's numbers mean, and what a consumer is given (mediasoup's "ortc" rules).
//!
//! Owns the router's capabilities and the mapping from text to the numbers of `corecast_wire`. Does no I/O and keeps no
//! state. SSRCs and first sequence numbers are drawn by the caller.

mod capabilities;
mod consume;
mod h264;
mod matching;
mod negotiate;
mod parameters;
mod pipe;
mod produce;
mod redundancy;

pub(crate) use capabilities::{VIDEO_LAYERS_ALLOCATION, router_capabilities, told_capabilities};
pub(crate) use consume::{ConsumeRequest, can_consume, consume};
pub(crate) use negotiate::{
    ABS_SEND_TIME, MID, RID, TRANSPORT_CC, extension, is_media, match_router, rarity, receiver_of, receives_extension,
    red_of, rtx_of,
};
pub(crate) use parameters::{
    Kind, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters, RtpEncoding,
    RtpHeaderExtension, RtpHeaderExtensionParameters, RtpParameters, Rtx,
};
pub(crate) use pipe::{Piped, pipe};
pub(crate) use produce::{Carrier, Produced, kind_of_streams, produce};
pub(crate) use redundancy::{allow_redundancy, name_lists};

/// Parameters that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrtcError {
    /// A field is wrong in itself.
    #[error("{field}: {cause}")]
    Invalid {
        /// Path of the field, as in the request's body.
        field: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Well-formed, but not something that this router does.
    #[error("{0}")]
    Unsupported(String),
}

impl OrtcError {
    fn invalid(field: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), cause: cause.into() }
    }
}
