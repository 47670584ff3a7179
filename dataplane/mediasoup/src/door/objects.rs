//! What there is, by the library's names and by the worker's numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use corecast_mediasoup_worker::fbs::rtp_parameters::{MediaKind, RtpMapping, RtpParameters, Type};
use corecast_mediasoup_worker::fbs::sctp_parameters::SctpStreamParameters;
use corecast_mediasoup_worker::fbs::srtp_parameters::SrtpParameters;
use corecast_mediasoup_worker::fbs::transport::{Options, Protocol, TraceEventType};
use corecast_mediasoup_worker::fbs::web_rtc_transport::{DtlsRole, IceCandidate};
use corecast_mediasoup_worker::fbs::{consumer, data_consumer, data_producer, producer};
use corecast_wire::{
    ConsumerId, CurrentLayer, DataConsumerId, DataProducerId, DtlsState, IceParameters, IceState, IceTuple,
    OutgoingBitrates, ProducerId, RouterId, RtpObserverId, Scores, SctpState, TransportId, WebRtcServerId,
};

use super::rates::Rate;
use crate::refusal::{Outcome, Refusal};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    WebRtcServer(WebRtcServerId),
    Router(RouterId),
    Transport(TransportId),
    Producer(ProducerId),
    Consumer(ConsumerId),
    DataProducer(DataProducerId),
    DataConsumer(DataConsumerId),
    RtpObserver(RtpObserverId),
}

/// A socket, and what the library calls its address.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
    pub(super) announced: Option<String>,
    pub(super) exposes_internal_ip: bool,
}

#[derive(Clone, Debug)]
pub(super) struct WebRtcServer {
    pub(super) name: String,
    pub(super) listening: Vec<Listening>,
    pub(super) transports: BTreeSet<TransportId>,
}

#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) name: String,
    pub(super) transports: BTreeSet<TransportId>,
    pub(super) observers: BTreeSet<RtpObserverId>,
}

#[derive(Clone, Debug)]
pub(super) struct RtpObserver {
    pub(super) name: String,
    pub(super) router: RouterId,
    /// It tells who speaks, and takes no producer twice.
    pub(super) is_of_speakers: bool,
    pub(super) producers: BTreeSet<ProducerId>,
}

#[derive(Clone, Debug)]
pub(super) struct Transport {
    pub(super) name: String,
    pub(super) router: RouterId,
    pub(super) kind: Kind,
    pub(super) options: Options,
    pub(super) producers: BTreeSet<ProducerId>,
    pub(super) consumers: BTreeSet<ConsumerId>,
    pub(super) data_producers: BTreeSet<DataProducerId>,
    pub(super) data_consumers: BTreeSet<DataConsumerId>,
    pub(super) is_connected: bool,
    /// `None` without SCTP.
    pub(super) sctp_state: Option<SctpState>,
    /// Streams that both sides may use, to the other side and from it, when it is connected.
    pub(super) sctp_streams: (u16, u16),
    pub(super) traces: Vec<TraceEventType>,
    /// What its senders are told of the path from them: as the first producer that takes anything takes it.
    pub(super) feedback: Option<Feedback>,
    /// Bounds of what it takes and gives. Those of kinds on which nothing is estimated are told, and mean nothing.
    pub(super) max_incoming_bps: u64,
    pub(super) outgoing: OutgoingBitrates,
    pub(super) received: Rate,
    pub(super) sent: Rate,
    pub(super) rtp: RtpRates,
}

/// Rates of what a transport carries of RTP.
#[derive(Clone, Debug)]
pub(super) struct RtpRates {
    pub(super) received: Rate,
    pub(super) rtx_received: Rate,
    pub(super) sent: Rate,
    pub(super) rtx_sent: Rate,
    pub(super) probation_sent: Rate,
}

/// What senders are told of the path from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feedback {
    /// Which packets came, and when (transport-wide congestion control).
    Packets,
    /// How much gets through (REMB).
    Bitrate,
}

/// What a transport has that others have not.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    WebRtc(Box<WebRtc>),
    Plain(Box<Plain>),
    Pipe(Box<Plain>),
    Direct,
}

#[derive(Clone, Debug)]
pub(super) struct WebRtc {
    /// Where it is reached, and whether that is its own alone.
    pub(super) server: WebRtcServerId,
    pub(super) owns_server: bool,
    pub(super) ice: IceParameters,
    /// The fragment of before a restart, while the new one has not been used.
    pub(super) last_fragment: Option<String>,
    pub(super) candidates: Vec<IceCandidate>,
    pub(super) ice_state: IceState,
    pub(super) tuple: Option<IceTuple>,
    pub(super) role: DtlsRole,
    pub(super) dtls_state: DtlsState,
}

#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) rtp: Listening,
    pub(super) rtcp: Option<Listening>,
    pub(super) is_comedia: bool,
    /// A pipe's consumers retransmit on streams of their own.
    pub(super) has_rtx: bool,
    pub(super) remote: Option<SocketAddr>,
    pub(super) rtcp_remote: Option<SocketAddr>,
    pub(super) srtp: Option<SrtpParameters>,
}

#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) name: String,
    pub(super) transport: TransportId,
    pub(super) kind: MediaKind,
    pub(super) type_: Type,
    pub(super) rtp_parameters: RtpParameters,
    pub(super) rtp_mapping: RtpMapping,
    pub(super) is_paused: bool,
    pub(super) traces: Vec<producer::TraceEventType>,
    pub(super) consumers: BTreeSet<ConsumerId>,
    /// One for each encoding, and the last looks at it.
    pub(super) scores: Vec<u8>,
    pub(super) looks: Vec<Scores>,
    pub(super) rates: Vec<Rate>,
    /// Those of each layer of an encoding with layers: the temporal ones of the lowest spatial first.
    pub(super) layer_rates: Vec<Vec<Rate>>,
}

/// A stream that a consumer sends, and that on which it sends of it again.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentStream {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) transport: TransportId,
    pub(super) producer: ProducerId,
    pub(super) kind: MediaKind,
    pub(super) type_: Type,
    /// The message that asked for it: parameters are read of it when they are asked for.
    pub(super) asked: Box<[u8]>,
    /// What it sends, and under what: one stream, and for a pipe one for each encoding.
    pub(super) mime_type: String,
    pub(super) streams: Vec<SentStream>,
    /// Spatial and temporal layers of its first encoding.
    pub(super) named_layers: (u8, u8),
    /// The worker's consumers: its own number, and for a pipe one more for each further encoding.
    pub(super) parts: Vec<ConsumerId>,
    pub(super) is_paused: bool,
    pub(super) traces: Vec<consumer::TraceEventType>,
    pub(super) priority: u8,
    pub(super) preferred: Option<consumer::ConsumerLayers>,
    pub(super) current: Option<CurrentLayer>,
    /// The highest temporal layer of that.
    pub(super) temporal: Option<u8>,
    pub(super) score: u8,
    pub(super) looks: Scores,
    /// One for each part.
    pub(super) rates: Vec<Rate>,
}

#[derive(Clone, Debug)]
pub(super) struct DataProducer {
    pub(super) name: String,
    pub(super) transport: TransportId,
    pub(super) type_: data_producer::Type,
    pub(super) stream: Option<SctpStreamParameters>,
    pub(super) label: String,
    pub(super) protocol: String,
    pub(super) is_paused: bool,
    pub(super) consumers: BTreeSet<DataConsumerId>,
}

#[derive(Clone, Debug)]
pub(super) struct DataConsumer {
    pub(super) name: String,
    pub(super) transport: TransportId,
    pub(super) producer: DataProducerId,
    pub(super) type_: data_consumer::Type,
    pub(super) stream: Option<SctpStreamParameters>,
    pub(super) label: String,
    pub(super) protocol: String,
    pub(super) is_paused: bool,
    pub(super) low_threshold: u32,
    /// Messages of these are for it, of those that the application sends.
    pub(super) subchannels: BTreeSet<u16>,
}

/// All objects of the worker.
#[derive(Debug, Default)]
pub(super) struct Objects {
    names: HashMap<String, Named>,
    pub(super) servers: BTreeMap<WebRtcServerId, WebRtcServer>,
    /// Sockets of transports that share them with no other.
    pub(super) own_servers: BTreeMap<WebRtcServerId, WebRtcServer>,
    pub(super) routers: BTreeMap<RouterId, Router>,
    pub(super) transports: BTreeMap<TransportId, Transport>,
    pub(super) producers: BTreeMap<ProducerId, Producer>,
    pub(super) consumers: BTreeMap<ConsumerId, Consumer>,
    /// The library's consumer of each of the worker's that has another number.
    further_parts: BTreeMap<ConsumerId, ConsumerId>,
    pub(super) data_producers: BTreeMap<DataProducerId, DataProducer>,
    pub(super) data_consumers: BTreeMap<DataConsumerId, DataConsumer>,
    pub(super) observers: BTreeMap<RtpObserverId, RtpObserver>,
    last_number: u64,
}

/// For each kind, the number of the object of a name, and the object of a number.
macro_rules! find {
    ($($number:ident, $get:ident, $table:ident, $variant:ident, $id:ident, $record:ident;)*) => {$(
        pub(super) fn $number(&self, name: &str) -> Outcome<$id> {
            match self.names.get(name) {
                Some(Named::$variant(id)) => Ok(*id),
                _ => Err(Refusal::NotFound(format!("{} with ID {name} not found", stringify!($variant)))),
            }
        }

        pub(super) fn $get(&mut self, id: $id) -> Outcome<&mut $record> {
            let missing = || Refusal::NotFound(format!("{} {id} not found", stringify!($variant)));
            self.$table.get_mut(&id).ok_or_else(missing)
        }
    )*};
}

impl Objects {
    /// A number that no object has had.
    pub(super) const fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Refuses a name that is taken.
    pub(super) fn check_free(&self, kind: &str, name: &str) -> Outcome<()> {
        if self.names.contains_key(name) {
            return Err(Refusal::Error(format!("a {kind} with same id already exists: {name}")));
        }
        Ok(())
    }

    pub(super) fn add(&mut self, name: &str, named: Named) {
        self.names.insert(name.to_owned(), named);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// The library's consumer that one of the worker's is part of.
    pub(super) fn consumer_of_part(&self, part: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(&part).or_else(|| self.consumers.get(self.further_parts.get(&part)?))
    }

    /// Enters a consumer of the library.
    pub(super) fn add_consumer(&mut self, id: ConsumerId, consumer: Consumer) {
        let further = consumer.parts.iter().filter(|part| **part != id);
        self.further_parts.extend(further.map(|part| (*part, id)));
        self.consumers.insert(id, consumer);
    }

    /// Takes a consumer of the library out.
    pub(super) fn remove_consumer(&mut self, id: ConsumerId) -> Option<Consumer> {
        let consumer = self.consumers.remove(&id)?;
        consumer.parts.iter().for_each(|part| {
            self.further_parts.remove(part);
        });
        Some(consumer)
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = (&String, &Named)> {
        self.names.iter()
    }

    find! {
        server_number, server, servers, WebRtcServer, WebRtcServerId, WebRtcServer;
        router_number, router, routers, Router, RouterId, Router;
        transport_number, transport, transports, Transport, TransportId, Transport;
        producer_number, producer, producers, Producer, ProducerId, Producer;
        consumer_number, consumer, consumers, Consumer, ConsumerId, Consumer;
        data_producer_number, data_producer, data_producers, DataProducer, DataProducerId, DataProducer;
        observer_number, observer, observers, RtpObserver, RtpObserverId, RtpObserver;
        data_consumer_number, data_consumer, data_consumers, DataConsumer, DataConsumerId, DataConsumer;
    }
}

impl Consumer {
    /// What the library calls the layers that it is sent, if it has any: the spatial one (an encoding, or the layer
    /// within an only one) and the highest temporal one, no higher than its encodings say.
    pub(super) fn layers(&self) -> Option<(u8, u8)> {
        let spatial = |current: CurrentLayer| if self.type_ == Type::Svc { current.spatial } else { current.encoding };
        // An only encoding may have temporal layers alone.
        let spatial = self.current.map(spatial).or_else(|| self.temporal.map(|_| 0))?;
        let (spatial_layers, temporal_layers) = self.named_layers;
        Some((spatial.min(spatial_layers - 1), self.temporal.unwrap_or(0).min(temporal_layers - 1)))
    }
}

impl Transport {
    /// What only a WebRTC transport has.
    ///
    /// # Errors
    /// It is another kind.
    pub(super) fn webrtc(&mut self) -> Outcome<&mut WebRtc> {
        match &mut self.kind {
            Kind::WebRtc(webrtc) => Ok(webrtc),
            Kind::Plain(_) | Kind::Pipe(_) | Kind::Direct => {
                Err(Refusal::Error("the transport is no WebRtcTransport".into()))
            }
        }
    }

    /// What a plain transport has, and a pipe.
    ///
    /// # Errors
    /// It is another kind.
    pub(super) fn plain(&mut self) -> Outcome<&mut Plain> {
        match &mut self.kind {
            Kind::Plain(plain) | Kind::Pipe(plain) => Ok(plain),
            Kind::WebRtc(_) | Kind::Direct => Err(Refusal::Error("the transport is no PlainTransport".into())),
        }
    }
}
