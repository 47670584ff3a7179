//! What was decided for a receiver, and why.

use serde::{Deserialize, Serialize};

use crate::{ConsumerId, OutgoingCause};

/// One thing that was seen or decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// How long ago, in milliseconds.
    pub ago_ms: u32,
    /// What.
    pub decided: Decided,
}

/// What was seen or decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decided {
    /// The path to the receiver, about once a second and when it changes.
    Path {
        /// What it is taken to carry, in bits per second; `None` if the receiver says nothing.
        available_bps: Option<u64>,
        /// What its consumers may take of that, in bits per second.
        given_bps: u64,
        /// What they would take if all of it were there.
        wanted_bps: u64,
        /// How long packets wait on it, in milliseconds.
        queue_ms: u32,
        /// What changed the estimate last.
        cause: OutgoingCause,
    },
    /// What a consumer may be sent from then on.
    Layers {
        /// Which consumer.
        consumer: ConsumerId,
        /// Highest spatial and temporal layer; 255 for all.
        spatial: u8,
        /// See `spatial`.
        temporal: u8,
        /// Nothing at all.
        suspended: bool,
    },
}
