//! Session descriptions (RFC 8866) of WHIP and WHEP: offers are parsed and answered.
//!
//! Owns every line of SDP that comes in or goes out, and the fragments of PATCH (RFC 8840). Pure functions: no I/O, no
//! state, nothing drawn at random. What may be negotiated is decided by the capabilities in `ortc`; SSRCs, first
//! sequence numbers, credentials and addresses come from the caller. Follows JSEP (RFC 9429) where it speaks of
//! answers, RFC 9143 for BUNDLE, RFC 8839 and 8840 for ICE, RFC 8842 for DTLS, RFC 8853 for simulcast.
//!
//! How a caller uses it:
//! - WHIP: [`Offer::parse`], [`publish()`], `ortc::produce` with the `parameters` of each publication, [`answer()`]
//!   with the `answer` of each.
//! - WHEP: [`Offer::parse`], [`viewing`], for each pair of a section and a producer that [`can_consume`] allows
//!   [`consume()`] (a section takes one producer), [`answer()`] with the `answer` of each. Sections left over are
//!   inactive.
//! - PATCH: [`parse_fragment`]; an ICE restart is a fragment whose `ice` has another user name than
//!   [`Offer::ice`], and is answered with [`fragment()`].

mod answer;
mod codecs;
mod consume;
mod error;
mod fragment;
mod lines;
mod offer;
mod publish;
mod section;

pub(crate) use answer::{AnsweredSection, Bundle, Candidate, Local, Sending, answer};
pub(crate) use consume::{ConsumeRequest, can_consume, consume, viewing};
pub(crate) use error::{Fault, SdpError};
pub(crate) use fragment::{Fragment, fragment, parse_fragment};
pub(crate) use lines::MAX_BYTES;
pub(crate) use offer::{Offer, RemoteIce};
pub(crate) use publish::publish;

#[cfg(test)]
mod tests;
