//! Why a key, a packet to seal or a packet to open was refused.

use corecast_wire::Discard;

use super::replay::Replay;

/// A master key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not as long as the suite wants it.
    #[error("{suite} wants {expected} bytes of key and salt, given {given}")]
    Length {
        /// Name of the suite.
        suite: &'static str,
        /// Bytes of key and salt that the suite wants.
        expected: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// The cipher library would not take it.
    #[error("the cipher library refused the key")]
    Refused,
}

/// A packet that was not sealed. Its bytes are not to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key has protected all packets that it may (RFC 3711 section 9.2).
    #[error("the key has protected as many packets as it may")]
    KeyExhausted,
    /// The buffer does not fit header, payload and tag, or the compound is no compound.
    #[error("the buffer does not fit the packet")]
    Length,
    /// The cipher library refused.
    #[error("the cipher library refused the packet")]
    Refused,
}

impl SealError {
    /// The counter to which the packet belongs.
    #[must_use]
    pub const fn discard(self) -> Discard {
        match self {
            Self::KeyExhausted => Discard::KeyExhausted,
            Self::Length | Self::Refused => Discard::SealFailed,
        }
    }
}

/// A packet that was not opened. What is in the output buffer is not to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than a tag (SRTCP: than a header, the index and a tag).
    #[error("too short")]
    TooShort,
    /// Plain text longer than the output buffer.
    #[error("too long for the output buffer")]
    TooLong,
    /// Index beyond what the protocol can count.
    #[error("index out of range")]
    IndexOutOfRange,
    /// SRTCP without the flag "encrypted".
    #[error("not encrypted")]
    NotEncrypted,
    /// The tag did not verify.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// SRTCP index that was seen before, or is too old to tell.
    #[error("replayed")]
    Replay(#[from] Replay),
    /// SRTCP of one SSRC more than one key is allowed.
    #[error("too many SSRCs")]
    TooManySources,
}

impl OpenError {
    /// The counter to which the packet belongs.
    #[must_use]
    pub const fn discard(self) -> Discard {
        match self {
            Self::TooShort => Discard::TooShort,
            Self::TooLong => Discard::TooLong,
            Self::IndexOutOfRange | Self::NotEncrypted | Self::AuthenticationFailed => Discard::AuthenticationFailed,
            Self::Replay(replay) => replay.discard(),
            Self::TooManySources => Discard::UnknownSsrc,
        }
    }
}
