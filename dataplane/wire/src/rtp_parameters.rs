//! RTP parameters as the data plane needs them: control has already matched capabilities (mediasoup's "ortc" rules), so
//! that what is here is numbers to look up and to write.

use serde::{Deserialize, Serialize};

/// Kind of a media source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A codec, as far as the data plane must know it (for key frames).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// AOM "RTP Payload Format For AV1".
    Av1,
    /// Any other codec: forwarded as it is, no key frames.
    Other,
    /// Retransmissions (RFC 4588) of the payload type that `apt` names (the sender's number).
    Rtx {
        /// The sender's payload type of the media that is retransmitted.
        apt: u8,
    },
    /// Redundant audio data (RFC 2198): blocks of the first codec of the producer that is neither this nor
    /// retransmissions.
    Red,
}

/// One payload type of a producer and what consumers of it see in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecMapping {
    /// As the producing endpoint sends it, 0 to 127.
    pub payload_type: u8,
    /// As the router calls it, 0 to 127.
    pub mapped_payload_type: u8,
    /// What it is.
    pub codec: Codec,
    /// RTP clock, in Hz. Never 0.
    pub clock_rate_hz: u32,
}

/// RTP header extensions that corecast knows (RFC 8285; mediasoup's list).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HeaderExtension {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    Rid,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852).
    RepairedRid,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`.
    AbsSendTime,
    /// `draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    TransportCc,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    AudioLevel,
    /// AV1 dependency descriptor.
    DependencyDescriptor,
    /// `urn:3gpp:video-orientation`.
    VideoOrientation,
    /// `urn:ietf:params:rtp-hdrext:toffset` (RFC 5450).
    TimeOffset,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time`.
    AbsCaptureTime,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`.
    PlayoutDelay,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00`.
    VideoLayersAllocation,
}

impl HeaderExtension {
    /// Whether it is between two neighbours: it tells streams apart, is for feedback, or says what its sender does.
    /// Never passed on; every consumer writes its own.
    #[must_use]
    pub const fn is_hop_local(self) -> bool {
        let tells_apart = matches!(self, Self::Mid | Self::Rid | Self::RepairedRid);
        tells_apart || matches!(self, Self::AbsSendTime | Self::TransportCc | Self::VideoLayersAllocation)
    }
}

/// One header extension of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionMapping {
    /// Which one.
    pub extension: HeaderExtension,
    /// The sender's id, 1 to 255 (RFC 8285).
    pub id: u8,
    /// The router's id, 1 to 14.
    pub mapped_id: u8,
}

/// One stream (encoding) of a producer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodingMapping {
    /// Its SSRC, if announced. Without one the stream is accepted by payload type (single encoding) or by RID.
    pub ssrc: Option<u32>,
    /// Its RTX SSRC, if announced.
    pub rtx_ssrc: Option<u32>,
    /// Its restriction identifier (RFC 8852), for simulcast.
    pub rid: Option<String>,
}

/// What a producer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProduceOptions {
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Every payload type that may arrive; others are discarded.
    pub codecs: Vec<CodecMapping>,
    /// Header extensions that are known; others are left out. MID, RID and repaired RID tell streams apart,
    /// abs-send-time and transport-cc are for feedback, and video-layers-allocation is a hint: these six are not passed
    /// on.
    pub header_extensions: Vec<ExtensionMapping>,
    /// At least one.
    pub encodings: Vec<EncodingMapping>,
    /// Media identification (RFC 9143), if given.
    pub mid: Option<String>,
    /// The sender answers generic NACKs (RFC 4585 section 6.2.1).
    pub nack: bool,
    /// The sender answers picture loss indications (RFC 4585 section 6.3.1).
    pub pli: bool,
    /// The sender answers full intra requests (RFC 5104 section 4.3.1); used where `pli` is not.
    pub fir: bool,
    /// The sender takes transport-wide congestion control feedback.
    pub transport_cc: bool,
    /// The sender takes receiver estimated maximum bitrate messages (REMB).
    pub remb: bool,
    /// Least time between two requests for key frames of a stream, in milliseconds, if that is more than the machine's
    /// own (mediasoup's `keyFrameRequestDelay`); at most 65,535.
    pub key_frame_request_delay_ms: u16,
    /// Start paused.
    pub paused: bool,
}

impl EncodingMapping {
    /// A stream with an announced SSRC, without retransmissions.
    #[must_use]
    pub const fn announced(ssrc: u32) -> Self {
        Self { ssrc: Some(ssrc), rtx_ssrc: None, rid: None }
    }
}

impl ProduceOptions {
    /// A producer without header extensions, whose sender takes no feedback. Callers set the rest by name.
    #[must_use]
    pub const fn new(kind: MediaKind, codecs: Vec<CodecMapping>, encodings: Vec<EncodingMapping>) -> Self {
        Self {
            kind,
            codecs,
            header_extensions: Vec::new(),
            encodings,
            mid: None,
            nack: false,
            pli: false,
            fir: false,
            transport_cc: false,
            remb: false,
            key_frame_request_delay_ms: 0,
            paused: false,
        }
    }
}

/// Retransmission stream of a consumer (RFC 4588, SSRC-multiplexed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtxOptions {
    /// SSRC of the retransmission stream.
    pub ssrc: u32,
    /// (media payload type as the router calls it, RTX payload type as the receiver calls it).
    pub payload_types: Vec<(u8, u8)>,
    /// First sequence number. Below 2^15, so that receivers guess the SRTP rollover counter right (RFC 3711 3.3.1).
    pub first_sequence: u16,
}

/// One payload type of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadTypeMapping {
    /// As the router calls it, 0 to 127.
    pub router: u8,
    /// As the receiver calls it, 0 to 127.
    pub receiver: u8,
}

impl PayloadTypeMapping {
    /// One that the receiver calls as the router does.
    #[must_use]
    pub const fn same(payload_type: u8) -> Self {
        Self { router: payload_type, receiver: payload_type }
    }
}

/// One header extension of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerExtension {
    /// Which one.
    pub extension: HeaderExtension,
    /// The router's id, 1 to 14.
    pub router_id: u8,
    /// The receiver's id, 1 to 14.
    pub receiver_id: u8,
}

impl ConsumerExtension {
    /// One that the receiver numbers as the router does.
    #[must_use]
    pub const fn same(extension: HeaderExtension, id: u8) -> Self {
        Self { extension, router_id: id, receiver_id: id }
    }
}

/// Redundant audio data (RFC 2198) that a consumer may make of what came without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedundancyOptions {
    /// The router's payload type of what is put into its blocks.
    pub router: u8,
    /// What the receiver calls the packets that are made.
    pub receiver: u8,
}

/// What a consumer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumeOptions {
    /// SSRC that the receiver will see. Never used before on this transport.
    pub ssrc: u32,
    /// Retransmissions on a stream of their own; without it they are repeated byte for byte.
    pub rtx: Option<RtxOptions>,
    /// Media payload types that the receiver accepts, at least one; others are discarded.
    pub payload_types: Vec<PayloadTypeMapping>,
    /// Header extensions that the receiver knows; others are left out. MID, abs-send-time and transport-cc are written
    /// for each consumer.
    pub header_extensions: Vec<ConsumerExtension>,
    /// Media identification (RFC 9143), written into the MID extension if the receiver knows it. At most 16 bytes.
    pub mid: Option<String>,
    /// The receiver may ask for retransmission by generic NACK.
    pub nack: bool,
    /// The receiver says which packets have come, and when, by their SSRC and sequence number (RFC 8888). Of no effect
    /// where packets carry transport-wide numbers: then it says so by these.
    pub ccfb: bool,
    /// First sequence number. Below 2^15 (see [`RtxOptions::first_sequence`]).
    pub first_sequence: u16,
    /// Canonical name for SDES (RFC 3550 section 6.5.1), at most 255 bytes.
    pub cname: String,
    /// If the producer has several encodings, it is sent this one alone, whichever others are active: an index in
    /// [`ProduceOptions::encodings`]. A pipe to another router has a consumer for each.
    pub encoding: Option<u8>,
    /// While the receiver reports that it loses many, packets of sound leave with what those before them had.
    pub redundancy: Option<RedundancyOptions>,
    /// Packets of Opus that say that there is no sound are not sent on.
    pub ignore_dtx: bool,
    /// Start paused.
    pub paused: bool,
    /// When its producer closes, the consumer stays and sends nothing until it is moved to another
    /// ([`crate::Command::MoveConsumer`]).
    pub outlives_producer: bool,
}

impl ConsumeOptions {
    /// A consumer whose receiver knows these payload types and no header extensions, and asks for nothing again.
    /// Callers set the rest by name.
    #[must_use]
    pub const fn new(ssrc: u32, payload_types: Vec<PayloadTypeMapping>, cname: String) -> Self {
        Self {
            ssrc,
            rtx: None,
            payload_types,
            header_extensions: Vec::new(),
            mid: None,
            nack: false,
            ccfb: false,
            first_sequence: 0,
            cname,
            encoding: None,
            redundancy: None,
            ignore_dtx: false,
            paused: false,
            outlives_producer: false,
        }
    }
}

/// SRTP protection profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SrtpCryptoSuite {
    /// RFC 7714: 16 bytes key, 12 bytes salt, 16 bytes tag.
    AeadAes128Gcm,
    /// RFC 7714: 32 bytes key, 12 bytes salt, 16 bytes tag.
    AeadAes256Gcm,
    /// RFC 3711: 16 bytes key, 14 bytes salt, 10 bytes tag.
    AesCm128HmacSha1_80,
    /// The same with a tag of 4 bytes on RTP, which a forger guesses once in four thousand million times (RFC 5764
    /// section 4.1.2). For plain transports that ask for it; never offered in DTLS.
    AesCm128HmacSha1_32,
}

impl SrtpCryptoSuite {
    /// Bytes of master key followed by master salt, as in `keyBase64`.
    #[must_use]
    pub const fn key_and_salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 16 + 12,
            Self::AeadAes256Gcm => 32 + 12,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16 + 14,
        }
    }

    /// The name that mediasoup gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }
}

/// A suite with its master key and salt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpParameters {
    /// Which suite.
    pub suite: SrtpCryptoSuite,
    /// Master key followed by master salt; [`SrtpCryptoSuite::key_and_salt_len`] bytes.
    pub key_and_salt: Vec<u8>,
}

impl std::fmt::Debug for SrtpParameters {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpParameters").field("suite", &self.suite).finish_non_exhaustive()
    }
}
