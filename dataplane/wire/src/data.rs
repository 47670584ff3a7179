//! Data channels: what control and a worker tell each other about SCTP (RFC 8831) and the messages that it carries.

use serde::{Deserialize, Serialize};

use crate::{DataConsumerId, DataProducerId, Discards, TransportId};

/// What a transport's SCTP association is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SctpOptions {
    /// SCTP port of both sides (`a=sctp-port`, RFC 8841 section 5).
    pub port: u16,
    /// Longest message that the remote side takes, in bytes (`a=max-message-size`, RFC 8841 section 6); 0 for any.
    pub max_message_bytes: u32,
    /// What this association alone may hold.
    pub buffers: SctpBuffers,
    /// Who closes what is on a stream.
    pub closing: StreamClosing,
}

impl SctpOptions {
    /// One with this port, to a side that takes messages of so many bytes.
    #[must_use]
    pub const fn new(port: u16, max_message_bytes: u32) -> Self {
        Self { port, max_message_bytes, buffers: SctpBuffers::OF_WORKER, closing: StreamClosing::WithStream }
    }
}

/// Bounds of what one association holds, beside [`DataLimits`], above which they count for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SctpBuffers {
    /// Nothing more is taken to send while so many bytes wait to be sent for the first time.
    pub send_bytes: u32,
    /// The same of one stream.
    pub stream_send_bytes: u32,
    /// Bytes that the remote side may send before they are taken; 1,500 at least.
    pub recv_window_bytes: u32,
}

impl SctpBuffers {
    /// No others than those of the worker.
    pub const OF_WORKER: Self = Self { send_bytes: u32::MAX, stream_send_bytes: u32::MAX, recv_window_bytes: u32::MAX };
}

/// Who closes the data producer and the data consumers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamClosing {
    /// They close with their stream, when the remote side has closed it or the association is over.
    WithStream,
    /// As with mediasoup: control closes them, and their stream is reset when it does. A data channel that the remote
    /// side closes takes its data consumers with it, and leaves its data producer.
    ByControl,
}

/// What data channels may hold of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLimits {
    /// Bytes that a transport's remote side may send before they are taken: the window that is announced. Twice
    /// [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES) at least.
    pub recv_window_bytes: u32,
    /// Bytes of messages to a transport's remote side that it has not acknowledged; one message at least.
    pub send_buffer_bytes: u32,
    /// The same of all transports of a worker together.
    pub worker_bytes: u64,
}

impl DataLimits {
    /// 512 KiB, 1 MiB and 256 MiB.
    pub const DEFAULT: Self =
        Self { recv_window_bytes: 512 << 10, send_buffer_bytes: 1 << 20, worker_bytes: 256 << 20 };
}

impl Default for DataLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How messages of a stream are delivered (mediasoup's `sctpStreamParameters`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SctpStreamParameters {
    /// They arrive in the order in which they were sent.
    pub ordered: bool,
    /// Time after which one that has not arrived is given up, in milliseconds.
    pub max_packet_life_time: Option<u16>,
    /// Times that one is sent again before it is given up.
    pub max_retransmits: Option<u16>,
}

impl SctpStreamParameters {
    /// In order, and as often as it takes.
    pub const RELIABLE: Self = Self { ordered: true, max_packet_life_time: None, max_retransmits: None };
}

/// States of an SCTP association (mediasoup's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SctpState {
    /// Nothing has come of the other side, and nobody has asked for it.
    New,
    /// It is about to be established.
    Connecting,
    /// Messages pass.
    Connected,
    /// It has ended. The other side may begin another one.
    Closed,
}

/// How a data producer is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProduceDataOptions {
    /// Stream on which its messages come.
    pub stream: u16,
    /// Name of the channel, at most [`MAX_LABEL_BYTES`](crate::MAX_LABEL_BYTES).
    pub label: String,
    /// Name of what is spoken on it, at most the same.
    pub protocol: String,
    /// Its messages are not forwarded at first.
    pub paused: bool,
}

/// How a data consumer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumeDataOptions {
    /// Stream on which messages leave. Several consumers of a transport may share one.
    pub stream: u16,
    /// How they are delivered.
    pub parameters: SctpStreamParameters,
    /// It is sent nothing at first.
    pub paused: bool,
}

/// To which data consumers a message of control's goes (mediasoup's subchannels); the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subchannels {
    /// Those that listen to one of these at least, if any is named. At most
    /// [`MAX_SUBCHANNELS`](crate::MAX_SUBCHANNELS).
    pub any: Vec<u16>,
    /// Those that listen to this one.
    pub required: Option<u16>,
    /// Those that do not listen to this one.
    pub ignored: Option<u16>,
}

impl Subchannels {
    /// Whether nobody is left out.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.any.is_empty() && self.required.is_none() && self.ignored.is_none()
    }
}

/// Counters of a data producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataProducerStats {
    /// Which one.
    pub data_producer: DataProducerId,
    /// Its transport.
    pub transport: TransportId,
    /// Name of the channel.
    pub label: String,
    /// Name of what is spoken on it.
    pub protocol: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Messages received.
    pub messages_received: u64,
    /// Their payload, in bytes.
    pub bytes_received: u64,
}

/// Counters of a data consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataConsumerStats {
    /// Which one.
    pub data_consumer: DataConsumerId,
    /// Its transport.
    pub transport: TransportId,
    /// Its producer.
    pub data_producer: DataProducerId,
    /// Whether it is paused.
    pub paused: bool,
    /// Messages that were given to its association to send.
    pub messages_sent: u64,
    /// Their payload, in bytes.
    pub bytes_sent: u64,
    /// Bytes that wait to be sent for the first time on its stream.
    pub buffered_amount: u32,
    /// What it was not sent, by reason.
    pub discards: Discards,
}
