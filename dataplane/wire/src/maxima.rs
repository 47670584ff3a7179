//! Maxima of the protocol: control refuses more with a sentence, and so does a worker, which trusts no caller. Those of
//! objects are the worker's to be told, with its configuration.

use serde::{Deserialize, Serialize};

/// Objects that a worker holds at most. One more is refused with a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maxima {
    /// Routers of the worker.
    pub routers: usize,
    /// Transports of the worker.
    pub transports: usize,
    /// Consumers of the worker.
    pub consumers: usize,
    /// Producers of a transport that is no pipe.
    pub producers_per_transport: usize,
    /// SSRCs from which they receive, retransmissions included.
    pub ssrcs_per_transport: usize,
    /// Consumers of a transport.
    pub consumers_per_transport: usize,
    /// SSRCs that may ever send on one transport under one SRTP key.
    pub ssrcs_per_key: usize,
}

impl Maxima {
    /// Where it is clients that ask for producers and consumers: more than any of them needs, and what one can cause is
    /// little.
    pub const DEFAULT: Self = Self {
        routers: 10_000,
        transports: 10_000,
        consumers: 50_000,
        producers_per_transport: 16,
        ssrcs_per_transport: 64,
        consumers_per_transport: 1_024,
        ssrcs_per_key: 16_384,
    };
    /// Where an application asks for all objects, and answers for how many there are: more than a core carries.
    pub const WIDE: Self = Self {
        routers: 100_000,
        transports: 100_000,
        consumers: 1_000_000,
        producers_per_transport: 4_096,
        ssrcs_per_transport: 16_384,
        consumers_per_transport: 32_768,
        ssrcs_per_key: 1 << 18,
    };
}

/// Encodings of a producer.
pub const MAX_ENCODINGS: usize = 4;
/// Payload types of a producer.
pub const MAX_CODECS: usize = 32;
/// Header extensions of a producer.
pub const MAX_HEADER_EXTENSIONS: usize = 16;
/// Media payload types of a consumer.
pub const MAX_CONSUMER_PAYLOAD_TYPES: usize = 8;
/// Longest MID that a consumer writes, in bytes: that of the one-byte form (RFC 8285 section 4.2).
pub const MAX_CONSUMER_MID_BYTES: usize = 16;
/// Longest canonical name, in bytes: its length is one byte (RFC 3550 section 6.5).
pub const MAX_CNAME_BYTES: usize = 255;
/// Longest message of a data channel, in bytes: Chromium's maximum, and what we announce (`a=max-message-size`).
pub const MAX_MESSAGE_BYTES: usize = 262_144;
/// Longest label of a data channel, and longest name of its protocol, in bytes. (RFC 8832 has room for 65,535.)
pub const MAX_LABEL_BYTES: usize = 256;
/// Data channels that are open on a transport at a time.
pub const MAX_CHANNELS_PER_TRANSPORT: usize = 64;
/// Producers whose silence is asked for at once: the answer fits a frame with much to spare.
pub const MAX_SILENCES: usize = 1_024;
/// Addresses on which WebRTC transports listen together.
pub const MAX_LISTEN_INFOS: usize = 32;
/// Subchannels of a message, and of a data consumer.
pub const MAX_SUBCHANNELS: usize = 1_024;
