//! Commands from control, and the replies to them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    ConsumeDataOptions, ConsumeOptions, ConsumerId, DataConsumerId, DataProducerId, Decision, DtlsParameters,
    IceParameters, ListenInfo, Object, ObjectStats, OutgoingBitrates, PlainTransportOptions, ProduceDataOptions,
    ProduceOptions, ProducerId, RouterId, RtpObserverId, RtpObserverOptions, Silence, SpatialLayer, SrtpParameters,
    StatsPage, Subchannels, TraceEvents, TransportId, Usage, WebRtcServerId, WebRtcTransportOptions,
};

/// What control may ask of a worker. Applies completely or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Answers [`Reply::Usage`]; control's one-second heartbeat.
    Usage,
    /// Answers [`Reply::Stats`]: counters of the objects from this cursor on.
    Stats {
        /// `None` for the first page, then what the page before named.
        from: Option<Object>,
    },
    /// Answers [`Reply::ObjectStats`]: counters of one object.
    ObjectStats {
        /// Which one.
        object: Object,
    },
    /// Open sockets that WebRTC transports share from now on, beside those of [`crate::WebRtcConfig::listen`]. Answers
    /// [`Reply::Listening`].
    OpenWebRtcServer {
        /// Its identifier.
        server: WebRtcServerId,
        /// Where: 1 to [`MAX_LISTEN_INFOS`](crate::MAX_LISTEN_INFOS).
        listen: Vec<ListenInfo>,
    },
    /// Close such sockets. Transports that are reached there alone no longer are.
    CloseWebRtcServer {
        /// Its identifier.
        server: WebRtcServerId,
    },
    /// Answers [`Reply::Silences`]: for how long nothing has come of these producers.
    Silences {
        /// At most [`MAX_SILENCES`](crate::MAX_SILENCES).
        producers: Vec<ProducerId>,
    },
    /// Answers [`Reply::Trace`]: what was seen of the path to a transport's receivers, and decided for them.
    Trace {
        /// Which transport.
        transport: TransportId,
    },
    /// New router.
    CreateRouter {
        /// Its identifier.
        router: RouterId,
    },
    /// Close a router and everything inside it.
    CloseRouter {
        /// Its identifier.
        router: RouterId,
    },
    /// New plain RTP transport. Answers [`Reply::PlainTransport`].
    CreatePlainTransport {
        /// Router that it belongs to.
        router: RouterId,
        /// Its identifier.
        transport: TransportId,
        /// What it is.
        options: PlainTransportOptions,
    },
    /// Name the remote side of a plain transport, its SRTP key, or both. Once only.
    ConnectPlainTransport {
        /// Which one.
        transport: TransportId,
        /// Where RTP goes; must be absent with comedia.
        remote: Option<SocketAddr>,
        /// Where RTCP goes; must be absent with `rtcp_mux` or comedia.
        rtcp_remote: Option<SocketAddr>,
        /// Key with which the remote side sends.
        srtp: Option<SrtpParameters>,
    },
    /// Replace the key with which a plain transport sends that is not connected yet. The suite may be another one.
    RekeyPlainTransport {
        /// Which one, made with SRTP.
        transport: TransportId,
        /// The new suite and key.
        srtp: SrtpParameters,
    },
    /// New WebRTC transport on the sockets that those of the worker share.
    CreateWebRtcTransport {
        /// Router that it belongs to.
        router: RouterId,
        /// Its identifier.
        transport: TransportId,
        /// What it is.
        options: WebRtcTransportOptions,
    },
    /// Name the remote side's DTLS parameters; the handshake may begin. Once only.
    ConnectWebRtcTransport {
        /// Which one.
        transport: TransportId,
        /// What the remote side said.
        dtls: DtlsParameters,
    },
    /// New ICE credentials (RFC 8445 section 9). The old pair stays in use until a check with the new ones nominates.
    RestartIce {
        /// Which one.
        transport: TransportId,
        /// Our new credentials.
        ice: IceParameters,
    },
    /// What the producers of a WebRTC transport should send together at most (REMB).
    SetMaxIncomingBitrate {
        /// Which transport.
        transport: TransportId,
        /// In bits per second; 0 for no limit.
        bps: u64,
    },
    /// Bounds of what the path to a WebRTC transport's receivers is taken to carry. The initial one counts only if
    /// nothing was sent yet.
    SetOutgoingBitrates {
        /// Which transport.
        transport: TransportId,
        /// The new bounds.
        outgoing: OutgoingBitrates,
    },
    /// New direct transport: it has no sockets. What comes of its producers, control says ([`Self::SendPacket`]); what
    /// its consumers send, control is told ([`crate::Event::DirectPacket`]), and so with RTCP. What its data producers
    /// send, control says ([`Self::SendData`]); what its data consumers are sent, control is told
    /// ([`crate::Event::DataMessage`]). Neither fits a link if it is very long.
    CreateDirectTransport {
        /// Router that it belongs to.
        router: RouterId,
        /// Its identifier.
        transport: TransportId,
    },
    /// A packet of a direct transport's remote side, which control speaks for: RTP of its producers, or RTCP.
    SendPacket {
        /// Which direct transport.
        transport: TransportId,
        /// The packet; RTP and RTCP are told apart as on one port (RFC 5761 section 4).
        packet: Vec<u8>,
    },
    /// Close a transport with its producers and consumers (and the consumers of its producers).
    CloseTransport {
        /// Which one.
        transport: TransportId,
    },
    /// New producer.
    Produce {
        /// Transport on which it arrives.
        transport: TransportId,
        /// Its identifier.
        producer: ProducerId,
        /// What it is.
        options: ProduceOptions,
    },
    /// Close a producer and its consumers, but for those that outlive it.
    CloseProducer {
        /// Which one.
        producer: ProducerId,
    },
    /// Stop or resume forwarding to every consumer.
    PauseProducer {
        /// Which one.
        producer: ProducerId,
        /// True to pause, false to resume.
        paused: bool,
    },
    /// Choose the kinds of packets of a producer that are told ([`crate::Event::ProducerTraced`]), in the place of
    /// those before.
    TraceProducer {
        /// Which one.
        producer: ProducerId,
        /// The kinds.
        events: TraceEvents,
    },
    /// Choose whether padding that probes a transport's path is told ([`crate::Event::Probed`]).
    TraceProbes {
        /// Which one.
        transport: TransportId,
        /// Whether it is.
        traced: bool,
    },
    /// The same as [`Self::TraceProducer`] of a consumer ([`crate::Event::ConsumerTraced`]).
    TraceConsumer {
        /// Which one.
        consumer: ConsumerId,
        /// The kinds.
        events: TraceEvents,
    },
    /// New consumer.
    Consume {
        /// Transport on which it leaves.
        transport: TransportId,
        /// Its identifier.
        consumer: ConsumerId,
        /// Producer whose media it sends; of the same router.
        producer: ProducerId,
        /// What it is.
        options: ConsumeOptions,
    },
    /// Give a consumer that has outlived its producer another one, of which it prefers the highest layer. Its SSRCs,
    /// payload types and extensions stay; sequence numbers, timestamps and numbers of pictures go on, from a key frame.
    MoveConsumer {
        /// Which consumer.
        consumer: ConsumerId,
        /// The new producer, of the same router, with a codec that the consumer has a payload type for.
        producer: ProducerId,
    },
    /// Close a consumer.
    CloseConsumer {
        /// Which one.
        consumer: ConsumerId,
    },
    /// Pause or resume a consumer. Resuming video asks the producer for a key frame.
    PauseConsumer {
        /// Which one.
        consumer: ConsumerId,
        /// True to pause, false to resume.
        paused: bool,
    },
    /// Ask the producer for a key frame (throttled per stream).
    RequestKeyFrame {
        /// Consumer that wants it.
        consumer: ConsumerId,
    },
    /// Choose among the encodings of a producer, and the layers within them. Without it the best is preferred.
    SetPreferredLayers {
        /// Which consumer.
        consumer: ConsumerId,
        /// The best that it wants.
        spatial: SpatialLayer,
        /// Highest temporal layer; all of them if absent.
        temporal: Option<u8>,
    },
    /// New observer of a router's sound.
    CreateRtpObserver {
        /// Router that it belongs to.
        router: RouterId,
        /// Its identifier.
        observer: RtpObserverId,
        /// What it is.
        options: RtpObserverOptions,
    },
    /// Close an observer.
    CloseRtpObserver {
        /// Which one.
        observer: RtpObserverId,
    },
    /// Pause or resume an observer.
    PauseRtpObserver {
        /// Which one.
        observer: RtpObserverId,
        /// True to pause, false to resume.
        paused: bool,
    },
    /// Have an observer listen to a producer of sound of its router, or no longer.
    ObserveProducer {
        /// Which observer.
        observer: RtpObserverId,
        /// Which producer.
        producer: ProducerId,
        /// True to listen, false to stop.
        observed: bool,
    },
    /// Which of a receiver's pictures come first where its path does not carry all.
    SetPriority {
        /// Which consumer.
        consumer: ConsumerId,
        /// The higher comes first; without this command it is 1 (mediasoup).
        priority: u8,
    },
    /// New data producer: messages that come on a stream of a WebRTC transport with data channels.
    ProduceData {
        /// Transport on which they come.
        transport: TransportId,
        /// Its identifier.
        data_producer: DataProducerId,
        /// What it is.
        options: ProduceDataOptions,
    },
    /// Close a data producer and its consumers. Its stream stays open.
    CloseDataProducer {
        /// Which one.
        data_producer: DataProducerId,
    },
    /// Stop or resume forwarding to every data consumer.
    PauseDataProducer {
        /// Which one.
        data_producer: DataProducerId,
        /// True to pause, false to resume.
        paused: bool,
    },
    /// New data consumer.
    ConsumeData {
        /// Transport on which it leaves.
        transport: TransportId,
        /// Its identifier.
        data_consumer: DataConsumerId,
        /// Data producer whose messages it sends; of the same router.
        data_producer: DataProducerId,
        /// What it is.
        options: ConsumeDataOptions,
    },
    /// Close a data consumer. Its stream stays open.
    CloseDataConsumer {
        /// Which one.
        data_consumer: DataConsumerId,
    },
    /// Pause or resume a data consumer.
    PauseDataConsumer {
        /// Which one.
        data_consumer: DataConsumerId,
        /// True to pause, false to resume.
        paused: bool,
    },
    /// Ask for [`crate::Event::DataConsumerBufferedAmountLow`].
    SetBufferedAmountLowThreshold {
        /// Which data consumer; what shares its stream shares its threshold.
        data_consumer: DataConsumerId,
        /// Amount at which it is told, in bytes.
        bytes: u32,
    },
    /// A message of a data producer, beside those that come by SCTP.
    SendData {
        /// Which data producer.
        data_producer: DataProducerId,
        /// What it is (RFC 8831 section 8): 51, 53, 56 or 57.
        ppid: u32,
        /// 1 to [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES).
        payload: Vec<u8>,
        /// To which of its data consumers it goes.
        to: Subchannels,
    },
    /// Choose the subchannels that a data consumer listens to, in the place of those before; none at first.
    SetSubchannels {
        /// Which data consumer.
        data_consumer: DataConsumerId,
        /// Their numbers, at most [`MAX_SUBCHANNELS`](crate::MAX_SUBCHANNELS).
        subchannels: Vec<u16>,
    },
    /// A message to one data consumer alone.
    SendDataTo {
        /// Which data consumer.
        data_consumer: DataConsumerId,
        /// As with [`Self::SendData`].
        ppid: u32,
        /// As with [`Self::SendData`].
        payload: Vec<u8>,
    },
    /// Acknowledge a channel that the remote side has opened ([`crate::Event::DataChannelOpened`]). Until then nothing
    /// that comes on its transport's channels is taken in, so what is made for it meanwhile misses nothing.
    AcceptDataChannel {
        /// Transport on which it was opened.
        transport: TransportId,
        /// Its stream.
        stream: u16,
    },
    /// Close a channel, or refuse one that the remote side has opened: with its data producer, and the data consumers
    /// that leave on its stream.
    CloseDataChannel {
        /// Transport on which it is.
        transport: TransportId,
        /// Its stream.
        stream: u16,
    },
    /// Misbehave on purpose; refused unless [`crate::WorkerConfig::test_hooks`] is set.
    TestHook(TestHook),
    /// Finish and end the worker in good order.
    Shutdown,
    /// Let only the loudest of a router's producers of sound be heard. Those that write no levels (RFC 6464) always
    /// are, and take no place from others.
    SetLoudest {
        /// Router whose sound it is.
        router: RouterId,
        /// So many at most; 0 for all.
        speakers: u16,
    },
    /// Answers [`Reply::Poisoner`]: the transport of which two workers in a row have died, so that this one did not
    /// take it over.
    Poisoner,
    /// For a while take in nothing from an address (IPv6: from its /64) that is of a newcomer: of a transport that
    /// learns its remote side, or is not connected. In the place of what was said of that address before.
    ShutOut {
        /// The address.
        address: IpAddr,
        /// For so long, in milliseconds; 0 to let it in again.
        ms: u32,
    },
}

/// A transport of which two workers in a row have died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poisoner {
    /// Which one it was.
    pub transport: TransportId,
    /// From where its packets came. `None` if the workers have not learnt that from a packet: it is where control, or
    /// who may use its API, has said.
    pub address: Option<IpAddr>,
}

/// Ways to die, for tests of supervision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestHook {
    /// Panic in the media task.
    Panic,
    /// Raise SIGSEGV.
    Segfault,
    /// Stop answering, for this many milliseconds.
    Stall(u32),
    /// Ask the kernel for what no worker does: see whether the sandbox refuses it.
    Trespass,
}

/// The answer to a command that was applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// A plain transport listens here.
    PlainTransport {
        /// RTP (and RTCP if multiplexed).
        local: SocketAddr,
        /// RTCP if not multiplexed.
        rtcp_local: Option<SocketAddr>,
    },
    /// Answer to [`Command::OpenWebRtcServer`]: where each of them listens, in their order.
    Listening(Vec<SocketAddr>),
    /// Answer to [`Command::ObjectStats`].
    ObjectStats(Box<ObjectStats>),
    /// Answer to [`Command::Usage`].
    Usage(Box<Usage>),
    /// Answer to [`Command::Stats`].
    Stats(StatsPage),
    /// Answer to [`Command::Silences`]: one for each producer, in their order.
    Silences(Vec<Silence>),
    /// Answer to [`Command::Trace`]: oldest first.
    Trace(Vec<Decision>),
    /// Answer to [`Command::Poisoner`].
    Poisoner(Option<Poisoner>),
}

/// Why a command was not applied. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CommandError {
    /// No object of that kind and identifier.
    #[error("there is no {kind} {id}")]
    NotFound {
        /// "router", "webRtcServer", "transport", "producer", "consumer", "dataProducer", "dataConsumer" or
        /// "dataChannel".
        kind: String,
        /// The identifier.
        id: u64,
    },
    /// The identifier is in use.
    #[error("{kind} {id} exists already")]
    Exists {
        /// "router", "webRtcServer", "transport", "producer", "consumer", "dataProducer", "dataConsumer" or
        /// "rtpObserver".
        kind: String,
        /// The identifier.
        id: u64,
    },
    /// Every port of the worker's range is taken.
    #[error("no free port between {min} and {max} on {ip}: widen rtc.port_range or close transports")]
    PortRangeExhausted {
        /// Listen address.
        ip: IpAddr,
        /// First port of the range.
        min: u16,
        /// Last port of the range.
        max: u16,
    },
    /// The address could not be bound.
    #[error("cannot listen on {address}: {cause}")]
    CannotListen {
        /// What was tried.
        address: SocketAddr,
        /// What the system said.
        cause: String,
    },
    /// A transport is connected once.
    #[error("the transport is connected already")]
    AlreadyConnected,
    /// An SSRC belongs to one stream of a transport.
    #[error("SSRC {0} is in use, or was used before, on this transport")]
    SsrcTaken(u32),
    /// A maximum is reached.
    #[error("at most {max} {what}")]
    Limit {
        /// What there would be too many of.
        what: String,
        /// How many are allowed.
        max: u64,
    },
    /// A field has a value that makes no sense.
    #[error("{field}: {cause}")]
    Invalid {
        /// Name of the field, as in mediasoup's API.
        field: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Test hooks are off.
    #[error("test hooks are off")]
    HooksOff,
}
