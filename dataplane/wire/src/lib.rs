//! What control and the data plane say to each other: commands, replies, events, the RTP parameters inside them, and
//! the frames in which they travel over a link.
//!
//! Owns the vocabulary; does no I/O and knows no runtime. The nouns are mediasoup's: Worker, Router, Transport,
//! Producer, Consumer.

#![forbid(unsafe_code)]

mod command;
mod data;
mod discard;
mod event;
mod frame;
mod ids;
mod layers;
mod maxima;
mod observers;
mod packet_trace;
mod plain;
mod records;
mod rtp_parameters;
mod score;
mod stats;
mod trace;
mod video_layers;
mod webrtc;
mod worker_config;

pub use command::{Command, CommandError, Poisoner, Reply, TestHook};
pub use data::{
    ConsumeDataOptions, DataConsumerStats, DataLimits, DataProducerStats, ProduceDataOptions, SctpBuffers, SctpOptions,
    SctpState, SctpStreamParameters, StreamClosing, Subchannels,
};
pub use discard::{Discard, Discards};
pub use event::{Event, StartError};
pub use frame::{Frame, FrameDecoder, FrameError, MAX_FRAME_BYTES, encode};
pub use ids::{
    ConsumerId, DataConsumerId, DataProducerId, ProducerId, RouterId, RtpObserverId, TransportId, WebRtcServerId,
};
pub use layers::{CurrentLayer, SpatialLayer};
pub use maxima::{
    MAX_CHANNELS_PER_TRANSPORT, MAX_CNAME_BYTES, MAX_CODECS, MAX_CONSUMER_MID_BYTES, MAX_CONSUMER_PAYLOAD_TYPES,
    MAX_ENCODINGS, MAX_HEADER_EXTENSIONS, MAX_LABEL_BYTES, MAX_LISTEN_INFOS, MAX_MESSAGE_BYTES, MAX_SILENCES,
    MAX_SUBCHANNELS, Maxima,
};
pub use observers::{RtpObserverOptions, Volume};
pub use packet_trace::{PacketTrace, RtpTrace, TraceEventType, TraceEvents, VideoOrientation};
pub use plain::{PlainTransportOptions, worker_at, worker_ip};
pub use records::{Change, FormerSsrc, Record, Records, Subject};
pub use rtp_parameters::{
    Codec, CodecMapping, ConsumeOptions, ConsumerExtension, EncodingMapping, ExtensionMapping, HeaderExtension,
    MediaKind, PayloadTypeMapping, ProduceOptions, RedundancyOptions, RtxOptions, SrtpCryptoSuite, SrtpParameters,
};
pub use score::{BEST_SCORE, Scores};
pub use stats::{
    ConsumerStats, CoreTime, IncomingStats, Limit, Object, ObjectStats, OutgoingCause, OutgoingStats, ProducerStats,
    RtpBytes, Silence, StatsPage, StreamStats, TransportStats, Usage, WAIT_BOUNDS_US, Waits, WebRtcStats,
};
pub use trace::{Decided, Decision};
pub use video_layers::{EncodingTarget, VideoLayers};
pub use webrtc::{
    DtlsFailure, DtlsParameters, DtlsRole, DtlsState, DtlsVersions, Fingerprint, FingerprintAlgorithm, IceParameters,
    IceProtocol, IceState, IceTuple, ListenInfo, OutgoingBitrates, SocketSettings, WebRtcConfig,
    WebRtcTransportOptions,
};
pub use worker_config::{Coalesce, Executor, HugePages, Io, POISON, Sandbox, WorkerConfig};
