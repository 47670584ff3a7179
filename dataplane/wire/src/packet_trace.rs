//! Traces of single packets of a producer or a consumer, for those who look for a fault (mediasoup's
//! `enableTraceEvent`), and the orientation of a sender's camera.

use serde::{Deserialize, Serialize};

/// A kind of packet that can be traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceEventType {
    /// Every RTP packet.
    Rtp,
    /// RTP packets that begin a key frame.
    KeyFrame,
    /// Requests for lost packets.
    Nack,
    /// Requests for a key frame because pictures were lost.
    Pli,
    /// Requests for a key frame.
    Fir,
    /// Sender reports.
    SenderReport,
    /// Not a packet: the orientation of the camera, when it changes.
    VideoOrientation,
}

/// Which kinds are traced; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvents(u8);

impl TraceEvents {
    /// These and one more.
    #[must_use]
    pub const fn with(self, kind: TraceEventType) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether a kind is traced.
    #[must_use]
    pub const fn has(self, kind: TraceEventType) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Whether RTP packets have to be looked at.
    #[must_use]
    pub const fn looks_at_rtp(self) -> bool {
        self.has(TraceEventType::Rtp)
            || self.has(TraceEventType::KeyFrame)
            || self.has(TraceEventType::VideoOrientation)
    }
}

/// One packet that was traced: received of a producer's sender or sent to it, or the same of a consumer's receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketTrace {
    /// An RTP packet.
    Rtp(RtpTrace),
    /// A request for lost packets.
    Nack,
    /// A request for a key frame because pictures were lost.
    Pli {
        /// SSRC of the media.
        ssrc: u32,
    },
    /// A request for a key frame.
    Fir {
        /// SSRC of the media.
        ssrc: u32,
    },
    /// A sender report.
    SenderReport {
        /// SSRC of the media.
        ssrc: u32,
        /// Wall clock: NTP seconds in the upper, fraction in the lower 32 bits.
        ntp: u64,
        /// The same moment in units of the media clock.
        rtp_timestamp: u32,
        /// Packets sent.
        packet_count: u32,
        /// Payload bytes sent.
        octet_count: u32,
    },
}

/// What is told of an RTP packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpTrace {
    /// It begins a key frame, and those are traced.
    pub is_key_frame: bool,
    /// It was a retransmission.
    pub is_rtx: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker.
    pub marker: bool,
    /// SSRC.
    pub ssrc: u32,
    /// Length with headers, in bytes.
    pub len: u32,
    /// Length of its payload, in bytes.
    pub payload_len: u32,
    /// Spatial layer within its encoding.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Media identification.
    pub mid: Option<String>,
    /// Identification of its encoding.
    pub rid: Option<String>,
    /// The same of a retransmission.
    pub repaired_rid: Option<String>,
    /// Transport-wide sequence number.
    pub transport_cc: Option<u16>,
}

/// How a sender holds its camera (3GPP TS 26.114 section 7.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoOrientation {
    /// It faces away from its user.
    pub camera: bool,
    /// Pictures are mirrored.
    pub flip: bool,
    /// Degrees, counter-clockwise, by which pictures are turned: 0, 90, 180 or 270.
    pub rotation: u16,
}
