//! Observers of sound: how loud a router's producers are, and who speaks (mediasoup's RtpObservers). They read the
//! levels that senders write into a header extension (RFC 6464).

use serde::{Deserialize, Serialize};

use crate::ProducerId;

/// What an observer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RtpObserverOptions {
    /// The loudest producers, once an interval ([`crate::Event::AudioLevels`]).
    AudioLevel {
        /// So many at most.
        max_entries: u16,
        /// Softer ones are left out: mean level, -127 to 0 dBov.
        threshold_dbov: i8,
        /// In milliseconds: 250 to 5,000, what is below or above becomes that.
        interval_ms: u16,
    },
    /// Who dominates, when another one does ([`crate::Event::DominantSpeaker`]).
    ActiveSpeaker {
        /// In milliseconds: 100 to 5,000, what is below or above becomes that.
        interval_ms: u16,
    },
}

/// How loud a producer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Which one.
    pub producer: ProducerId,
    /// Mean level over an interval, -127 (silence) to 0 dBov.
    pub dbov: i8,
}
