//! Answers.

use std::net::SocketAddr;

use corecast_wire::{Fingerprint, IceParameters, IceProtocol};

use super::{Direction, Extension, Offer};
use crate::ortc::RtpCodecParameters;

/// Our side of a transport.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// For the `o=` line; any number below 2^63.
    pub(crate) session_id: u64,
    pub(crate) ice: IceParameters,
    /// Of our certificate. At least one.
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// In the order of preference; UDP is preferred to TCP whatever the order. At least one.
    pub(crate) candidates: Vec<Candidate>,
}

/// An address at which the transport is reached: as announced, not as bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: IceProtocol,
}

/// A section that is accepted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AnsweredSection {
    /// Position of the `m=` line in the offer.
    pub(super) index: usize,
    /// Ours.
    pub(super) direction: Direction,
    /// In the offer's numbers; at least one.
    pub(super) codecs: Vec<RtpCodecParameters>,
    /// In the offer's numbers, with our direction.
    pub(super) extensions: Vec<Extension>,
    /// What we receive as simulcast.
    pub(super) rids: Vec<String>,
    /// What we send.
    pub(super) sending: Option<Sending>,
}

/// What a section sends to the remote side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    pub(super) cname: String,
    pub(super) stream: String,
    pub(super) track: String,
}

/// The sections that share the transport; what a fragment needs of an offer and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(super) mids: Vec<String>,
    /// `m=` line of the first.
    pub(super) line: String,
}

impl Bundle {
    /// Of an answer.
    pub(crate) fn of(offer: &Offer, accepted: &[AnsweredSection]) -> Self {
        let _ = (offer, accepted);
        todo!()
    }
}

/// The answer to an offer. Sections that are not accepted are rejected (port 0).
pub(crate) fn answer(offer: &Offer, local: &Local, accepted: &[AnsweredSection]) -> String {
    let _ = (offer, local, accepted);
    todo!()
}
