//! What the worker tells by itself, as the library's notifications.

use corecast_mediasoup_worker::fbs::consumer::{ConsumerLayers, LayersChangeNotification};
use corecast_mediasoup_worker::fbs::data_consumer::BufferedAmountLowNotification;
use corecast_mediasoup_worker::fbs::plain_transport::{RtcpTupleNotification, TupleNotification};
use corecast_mediasoup_worker::fbs::rtp_parameters::Type;
use corecast_mediasoup_worker::fbs::sctp_association as fbs;
use corecast_mediasoup_worker::fbs::transport::{SctpNegotiatedCapabilitiesNotification, SctpStateChangeNotification};
use corecast_mediasoup_worker::fbs::web_rtc_transport::{
    DtlsStateChangeNotification, IceSelectedTupleChangeNotification, IceStateChangeNotification,
};
use corecast_wire::{
    Command, ConsumerId, CurrentLayer, DataConsumerId, DtlsState, Event, IceState, IceTuple, SctpState, TransportId,
};

use super::objects::Consumer;
use super::transport::{negotiated, sctp_state};
use super::webrtc::{dtls_state, ice_state};
use super::{Door, Tells, Told, listen};
use crate::certificate::pem;

impl Door {
    /// Tells the library, if it knows what this is about: an object may have closed meanwhile.
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Started { reason, warnings, .. } => {
                tracing::debug!("{reason}");
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                self.notify(&std::process::id().to_string(), Tells::WorkerRunning, None);
            }
            Event::StartFailed(error) => eprintln!("{error}"),
            Event::RemoteLearnt { transport, remote, rtcp } => self.hear_remote(transport, remote, rtcp),
            Event::IceStateChanged { transport, state, tuple } => self.hear_ice(transport, state, tuple),
            Event::DtlsStateChanged { transport, state, detail, certificate, .. } => {
                self.hear_dtls(transport, state, &detail, &certificate);
            }
            Event::SctpStateChanged { transport, state, streams, .. } => self.hear_sctp(transport, state, streams),
            Event::DataChannelOpened { transport, stream, .. } => {
                // mediasoup's channels are negotiated by the application, and those that a client opens itself wait for
                // a data producer of their stream.
                self.waiting.push(Command::AcceptDataChannel { transport, stream });
            }
            Event::DataChannelClosed { transport, stream } => self.hear_channel_closed(transport, stream),
            Event::DirectPacket { transport, consumer, packet } => self.hear_packet(transport, consumer, packet),
            Event::DataMessage { data_consumer, ppid, payload } => self.hear_message(data_consumer, ppid, payload),
            Event::DataConsumerSendBufferFull { data_consumer } => {
                if let Some(consumer) = self.objects.data_consumers.get(&data_consumer) {
                    let name = consumer.name.clone();
                    self.notify(&name, Tells::DataconsumerSctpSendbufferFull, None);
                }
            }
            Event::DataConsumerBufferedAmountLow { data_consumer, buffered_amount } => {
                if let Some(consumer) = self.objects.data_consumers.get(&data_consumer) {
                    let name = consumer.name.clone();
                    let body = Box::new(BufferedAmountLowNotification { buffered_amount });
                    let body = Told::DataConsumerBufferedAmountLowNotification(body);
                    self.notify(&name, Tells::DataconsumerBufferedAmountLow, Some(body));
                }
            }
            Event::AudioLevels { observer, volumes } => self.hear_levels(observer, &volumes),
            Event::DominantSpeaker { observer, producer } => self.hear_dominant(observer, producer),
            Event::ProducerTraced { producer, trace } => self.hear_producer_trace(producer, trace),
            Event::ConsumerTraced { consumer, trace } => self.hear_consumer_trace(consumer, trace),
            Event::Probed { transport, packets } => self.hear_probe(transport, packets),
            Event::VideoOrientationChanged { producer, orientation } => self.hear_orientation(producer, orientation),
            Event::ConsumerLayersChanged { consumer, current, temporal } => {
                self.hear_layers(consumer, current, temporal)
            }
            // mediasoup tells it as layers that change to none, which comes beside this.
            Event::ConsumerSuspended { .. } => {}
            // mediasoup does not tell why a layer is not a better one.
            Event::ConsumerLimited { .. } => {}
            // Nor what nobody takes.
            Event::ProducerLayersUnwanted { .. } => {}
            Event::HandshakeTroubled { transport, trouble } => {
                if let Ok(transport) = self.objects.transport(transport) {
                    tracing::debug!(transport = transport.name, "DTLS has stumbled: {trouble}");
                }
            }
        }
    }

    fn hear_remote(&mut self, id: TransportId, remote: std::net::SocketAddr, is_rtcp: bool) {
        let Ok(transport) = self.objects.transport(id) else { return };
        let name = transport.name.clone();
        let Ok(plain) = transport.plain() else { return };
        if is_rtcp {
            plain.rtcp_remote = Some(remote);
            let Some(rtcp) = &plain.rtcp else { return };
            let tuple = Box::new(listen::tuple(rtcp, Some(remote)));
            let body = Told::PlainTransportRtcpTupleNotification(Box::new(RtcpTupleNotification { tuple }));
            self.notify(&name, Tells::PlaintransportRtcpTuple, Some(body));
        } else {
            plain.remote = Some(remote);
            let tuple = Box::new(listen::tuple(&plain.rtp, Some(remote)));
            let body = Told::PlainTransportTupleNotification(Box::new(TupleNotification { tuple }));
            self.notify(&name, Tells::PlaintransportTuple, Some(body));
        }
    }

    fn hear_ice(&mut self, id: TransportId, state: IceState, tuple: Option<IceTuple>) {
        let Ok(transport) = self.objects.transport(id) else { return };
        let name = transport.name.clone();
        let Ok(webrtc) = transport.webrtc() else { return };
        let (has_moved, has_changed) = (tuple.is_some() && webrtc.tuple != tuple, webrtc.ice_state != state);
        (webrtc.tuple, webrtc.ice_state) = (tuple, state);
        webrtc.last_fragment = None;
        let server = webrtc.server;
        if let Some(selected) = tuple.filter(|_| has_moved) {
            let tuple = Box::new(listen::ice_tuple(self.sockets_of(server), &selected));
            let body = Box::new(IceSelectedTupleChangeNotification { tuple });
            let body = Told::WebRtcTransportIceSelectedTupleChangeNotification(body);
            self.notify(&name, Tells::WebrtctransportIceSelectedTupleChange, Some(body));
        }
        if has_changed {
            let body = Box::new(IceStateChangeNotification { ice_state: ice_state(state) });
            let body = Told::WebRtcTransportIceStateChangeNotification(body);
            self.notify(&name, Tells::WebrtctransportIceStateChange, Some(body));
        }
    }

    fn hear_dtls(&mut self, id: TransportId, state: DtlsState, detail: &str, certificate: &[u8]) {
        let Ok(transport) = self.objects.transport(id) else { return };
        let name = transport.name.clone();
        let Ok(webrtc) = transport.webrtc() else { return };
        if std::mem::replace(&mut webrtc.dtls_state, state) == state {
            return;
        }
        if state == DtlsState::Failed {
            tracing::warn!(transport = name, "DTLS failed: {detail}");
        }
        let remote_cert = (!certificate.is_empty()).then(|| pem(certificate));
        let body = Box::new(DtlsStateChangeNotification { dtls_state: dtls_state(state), remote_cert });
        let body = Told::WebRtcTransportDtlsStateChangeNotification(body);
        self.notify(&name, Tells::WebrtctransportDtlsStateChange, Some(body));
    }

    fn hear_sctp(&mut self, id: TransportId, state: SctpState, streams: Option<(u16, u16)>) {
        let Ok(transport) = self.objects.transport(id) else { return };
        let name = transport.name.clone();
        // What ends before it is connected has failed. The library is told so, and dumps say that it is closed.
        let has_failed = transport.sctp_state == Some(SctpState::Connecting) && state == SctpState::Closed;
        transport.sctp_state = Some(state);
        transport.sctp_streams = streams.unwrap_or_default();
        if streams.is_some() {
            let negotiated_capabilities = Some(Box::new(negotiated(transport.sctp_streams)));
            let body = Box::new(SctpNegotiatedCapabilitiesNotification { negotiated_capabilities });
            let body = Told::TransportSctpNegotiatedCapabilitiesNotification(body);
            self.notify(&name, Tells::TransportSctpNegotiatedCapabilities, Some(body));
        }
        let told = if has_failed { fbs::SctpState::Failed } else { sctp_state(state) };
        let body = Box::new(SctpStateChangeNotification { sctp_state: told });
        let body = Told::TransportSctpStateChangeNotification(body);
        self.notify(&name, Tells::TransportSctpStateChange, Some(body));
    }

    /// The client has closed a data channel: its data consumers have closed in the worker. Its data producer is the
    /// application's to close. mediasoup tells the library neither.
    fn hear_channel_closed(&mut self, id: TransportId, stream: u16) {
        let Some(transport) = self.objects.transports.get(&id) else { return };
        let is_on = |id: &DataConsumerId| {
            let consumer = self.objects.data_consumers.get(id);
            consumer.and_then(|one| one.stream.as_ref()).is_some_and(|parameters| parameters.stream_id == stream)
        };
        let consumers: Vec<_> = transport.data_consumers.iter().copied().filter(is_on).collect();
        consumers.into_iter().for_each(|consumer| self.forget_data_consumer(consumer));
    }

    fn hear_layers(&mut self, id: ConsumerId, current: Option<CurrentLayer>, temporal: Option<u8>) {
        let has_layers = |consumer: &&mut Consumer| matches!(consumer.type_, Type::Simulcast | Type::Svc);
        let Some(consumer) = self.objects.consumers.get_mut(&id).filter(has_layers) else { return };
        let before = consumer.layers();
        // What is sent of now is not lossy yet, and its producer's score is that of another encoding.
        let has_switched = current.is_some() && consumer.current != current && consumer.type_ == Type::Simulcast;
        (consumer.current, consumer.temporal) = (current, temporal);
        let layers = consumer.layers();
        if layers == before {
            return;
        }
        let layers = layers.map(|(spatial_layer, temporal)| {
            Box::new(ConsumerLayers { spatial_layer, temporal_layer: Some(temporal) })
        });
        let name = consumer.name.clone();
        let body = Told::ConsumerLayersChangeNotification(Box::new(LayersChangeNotification { layers }));
        self.notify(&name, Tells::ConsumerLayersChange, Some(body));
        if has_switched {
            self.tell_score(id);
        }
    }
}
