//! One transport's SCTP association (RFC 9260) as data channels use it (RFC 8831), with partial reliability (RFC 3758),
//! reset of streams (RFC 6525) and interleaving of messages (RFC 8260).
//!
//! Owns what is between messages and packets; the protocol itself is dcsctp's. It takes packets that DTLS has
//! authenticated and gives packets for DTLS to protect. What it holds of either direction is bounded by
//! [`DataLimits`](corecast_wire::DataLimits): what arrives by the window that it announces, what leaves by its buffer.

mod association;
pub(crate) mod dcep;

pub(crate) use association::{Association, Output, SendError};

/// What a message is, by its payload protocol identifier (RFC 8831 section 8). It is passed on as it came: an empty
/// message has a byte of payload, which says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// The Data Channel Establishment Protocol's.
    Dcep,
    Text,
    Binary,
    TextEmpty,
    BinaryEmpty,
}

impl MessageKind {
    pub(crate) const fn of(identifier: u32) -> Option<Self> {
        match identifier {
            50 => Some(Self::Dcep),
            51 => Some(Self::Text),
            53 => Some(Self::Binary),
            56 => Some(Self::TextEmpty),
            57 => Some(Self::BinaryEmpty),
            _ => None,
        }
    }

    pub(crate) const fn identifier(self) -> u32 {
        match self {
            Self::Dcep => 50,
            Self::Text => 51,
            Self::Binary => 53,
            Self::TextEmpty => 56,
            Self::BinaryEmpty => 57,
        }
    }
}
