//! Maxima of the protocol: control refuses more with a sentence, and so does a worker, which trusts no caller.

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
