//! What a worker tells control by itself.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    ConsumerId, CurrentLayer, DataConsumerId, DtlsFailure, DtlsState, IceState, IceTuple, Io, PacketTrace, ProducerId,
    RtpObserverId, SctpState, SctpStreamParameters, TransportId, VideoOrientation, Volume,
};

/// What a worker tells without being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The worker runs.
    Started {
        /// Which driver (never [`Io::Auto`]).
        io: Io,
        /// Why this one, in a sentence for the operator.
        reason: String,
        /// Things that the operator should change, a sentence each (sysctls, limits).
        warnings: Vec<String>,
    },
    /// The worker could not start; the link ends after this.
    StartFailed(StartError),
    /// A comedia transport has learnt where its remote side is.
    RemoteLearnt {
        /// Which transport.
        transport: TransportId,
        /// The address.
        remote: SocketAddr,
        /// True if it is the RTCP address of a transport without `rtcp_mux`.
        rtcp: bool,
    },
    /// A WebRTC transport's ICE state or selected pair has changed.
    IceStateChanged {
        /// Which transport.
        transport: TransportId,
        /// The state that it is in.
        state: IceState,
        /// The pair in use, if there is one.
        tuple: Option<IceTuple>,
    },
    /// A WebRTC transport's DTLS state has changed.
    DtlsStateChanged {
        /// Which transport.
        transport: TransportId,
        /// The state that it is in.
        state: DtlsState,
        /// Why it failed; none in other states.
        failure: Option<DtlsFailure>,
        /// Version, cipher and SRTP profile when it is connected; the cause, in words, when it failed.
        detail: String,
        /// The remote side's certificate in DER when it is connected, if it is not very long; empty otherwise.
        certificate: Vec<u8>,
    },
    /// The state of a transport's SCTP association has changed.
    SctpStateChanged {
        /// Which transport.
        transport: TransportId,
        /// The state that it is in.
        state: SctpState,
        /// Why it has closed.
        detail: String,
        /// Streams that both sides may use when it is connected: to the other side, and from it.
        streams: Option<(u16, u16)>,
    },
    /// The remote side has opened a channel (RFC 8832) and is answered when control has said what becomes of it.
    DataChannelOpened {
        /// On which transport.
        transport: TransportId,
        /// On which stream.
        stream: u16,
        /// Its label, as the remote side chose it.
        label: String,
        /// Name of what is spoken on it.
        protocol: String,
        /// How its messages are to be delivered.
        parameters: SctpStreamParameters,
    },
    /// A channel was closed by the remote side, or with its association: its data producer is gone with its consumers,
    /// and so are the data consumers that left on its stream. The stream may be used for another one.
    DataChannelClosed {
        /// On which transport.
        transport: TransportId,
        /// Its stream.
        stream: u16,
    },
    /// A packet for the remote side of a direct transport, which control speaks for. They are left out while many
    /// events wait.
    DirectPacket {
        /// Which direct transport.
        transport: TransportId,
        /// The consumer that sends it; `None` if it is RTCP.
        consumer: Option<ConsumerId>,
        /// The packet.
        packet: Vec<u8>,
    },
    /// A message for a data consumer of a direct transport.
    DataMessage {
        /// Which one.
        data_consumer: DataConsumerId,
        /// What it is (RFC 8831 section 8).
        ppid: u32,
        /// What it says.
        payload: Vec<u8>,
    },
    /// A data consumer is not sent messages because its receiver is too slow. Told once until the amount that waits is
    /// low again.
    DataConsumerSendBufferFull {
        /// Which one.
        data_consumer: DataConsumerId,
    },
    /// What waits to be sent on a data consumer's stream has fallen to the threshold or below it.
    DataConsumerBufferedAmountLow {
        /// Which one.
        data_consumer: DataConsumerId,
        /// Bytes that still wait.
        buffered_amount: u32,
    },
    /// A consumer of a producer with several layers is sent another one, or the rank of that one has changed.
    ConsumerLayersChanged {
        /// Which consumer.
        consumer: ConsumerId,
        /// What it is sent, of several encodings or spatial layers. `None` while it gets nothing.
        current: Option<CurrentLayer>,
        /// The highest temporal layer of that. `None` while it gets nothing.
        temporal: Option<u8>,
    },
    /// A consumer's path is what keeps it from being sent all the layers that it prefers, or no longer is.
    ConsumerLimited {
        /// Which consumer.
        consumer: ConsumerId,
        /// Whether it is.
        limited: bool,
    },
    /// An observer's interval is over: the loudest of its producers, loudest first; none, once, when all are silent.
    AudioLevels {
        /// Which observer.
        observer: RtpObserverId,
        /// The producers and how loud they are.
        volumes: Vec<Volume>,
    },
    /// Another producer's speaker dominates.
    DominantSpeaker {
        /// Which observer.
        observer: RtpObserverId,
        /// The producer.
        producer: ProducerId,
    },
    /// A packet of a producer's sender, or to it, that control has asked to be told of.
    ProducerTraced {
        /// Which producer.
        producer: ProducerId,
        /// The packet.
        trace: PacketTrace,
    },
    /// The same of a consumer's receiver.
    ConsumerTraced {
        /// Which consumer.
        consumer: ConsumerId,
        /// The packet.
        trace: PacketTrace,
    },
    /// Padding has left to probe the path to a transport's receiver, and control has asked to be told.
    Probed {
        /// Which transport.
        transport: TransportId,
        /// How many packets.
        packets: u32,
    },
    /// A producer's sender holds its camera otherwise, or has said for the first time how.
    VideoOrientationChanged {
        /// Which producer.
        producer: ProducerId,
        /// How.
        orientation: VideoOrientation,
    },
    /// The path to a consumer's receiver no longer carries the least that there is of it, or does again.
    ConsumerSuspended {
        /// Which consumer.
        consumer: ConsumerId,
        /// Whether nothing is sent for that.
        suspended: bool,
    },
    /// Other encodings of a producer than before are taken by no consumer: its sender may leave them out.
    ProducerLayersUnwanted {
        /// Which producer.
        producer: ProducerId,
        /// All that are unwanted now, by their places among those that were announced. The lowest that is sent is not.
        encodings: Vec<u8>,
    },
    /// A WebRTC transport's DTLS handshake has stumbled. It may still come to a good end. Told at most four times of a
    /// transport.
    HandshakeTroubled {
        /// Which transport.
        transport: TransportId,
        /// Over what, in words for people. Anybody on the path may have caused it.
        trouble: String,
    },
}

/// Why a worker could not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StartError {
    /// `--io uring` was asked for and the host refuses it.
    #[error("io_uring is refused: {0}")]
    IoUringRefused(String),
    /// An address or port of WebRTC cannot be had.
    #[error("{0}")]
    CannotListen(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
