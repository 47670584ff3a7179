//! What transports of all kinds have in common: dumps, statistics, bitrates, traces.

use std::time::Duration;

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::common::{StringString, Uint16String, Uint32String};
use corecast_mediasoup_worker::fbs::rtp_parameters::RtpHeaderExtensionUri;
use corecast_mediasoup_worker::fbs::sctp_association::{SctpNegotiatedCapabilities, SctpState};
use corecast_mediasoup_worker::fbs::sctp_parameters::SctpParameters;
use corecast_mediasoup_worker::fbs::transport::{
    Dump, RecvRtpHeaderExtensions, RtpListener, SctpListener, Stats, TraceEventType,
};
use corecast_mediasoup_worker::fbs::{direct_transport, pipe_transport, plain_transport, web_rtc_transport};
use corecast_wire::{Command, Object, ObjectStats, Reply, TransportId, TransportStats};
use nix::time::{ClockId, clock_gettime};

use super::objects::{Kind, Producer};
use super::webrtc::{dtls_state, ice_state};
use super::{Answer, Answered, Asked, Door, listen, other_body};
use crate::refusal::{Outcome, Refusal};

/// Bounds of bitrates: mediasoup's.
const MAX_BITRATE: u64 = 2_147_483_647;
const MIN_OUTGOING_BITRATE: u64 = 30_000;

impl Door {
    pub(super) fn dump_transport(&mut self, name: &str) -> Answered {
        let id = self.objects.transport_number(name)?;
        match self.objects.transport(id)?.kind {
            Kind::WebRtc(_) => self.dump_webrtc(id).map(Some),
            Kind::Plain(_) => self.dump_plain(id).map(Some),
            Kind::Pipe(_) => self.dump_pipe(id).map(Some),
            Kind::Direct => self.dump_direct(id).map(Some),
        }
    }

    /// What all kinds of transports have.
    pub(super) fn dump_base(&mut self, id: TransportId) -> Outcome<Dump> {
        let transport = self.objects.transport(id)?.clone();
        let objects = &self.objects;
        let producers: Vec<&Producer> = transport.producers.iter().filter_map(|id| objects.producers.get(id)).collect();
        let consumers: Vec<_> = transport.consumers.iter().filter_map(|id| objects.consumers.get(id)).collect();
        let data_producers = transport.data_producers.iter().filter_map(|id| objects.data_producers.get(id));
        let data_producers: Vec<_> = data_producers.collect();
        let data_consumers = transport.data_consumers.iter().filter_map(|id| objects.data_consumers.get(id));
        let encodings = consumers
            .iter()
            .flat_map(|consumer| consumer.rtp_parameters.encodings.iter().map(|encoding| (encoding, &consumer.name)));
        let named = |(ssrc, name): (Option<u32>, &String)| Some(Uint32String { key: ssrc?, value: name.clone() });
        let ssrcs = encodings.clone().map(|(encoding, name)| (encoding.ssrc, name)).filter_map(named);
        let rtx_ssrcs = encodings.map(|(encoding, name)| (encoding.rtx.as_ref().map(|rtx| rtx.ssrc), name));
        let sctp_state = transport.sctp_state.map(sctp_state);
        let options = &transport.options;
        Ok(Dump {
            id: transport.name.clone(),
            direct: options.direct,
            producer_ids: producers.iter().map(|producer| producer.name.clone()).collect(),
            consumer_ids: consumers.iter().map(|consumer| consumer.name.clone()).collect(),
            map_ssrc_consumer_id: ssrcs.collect(),
            map_rtx_ssrc_consumer_id: rtx_ssrcs.filter_map(named).collect(),
            data_producer_ids: data_producers.iter().map(|producer| producer.name.clone()).collect(),
            data_consumer_ids: data_consumers.map(|consumer| consumer.name.clone()).collect(),
            recv_rtp_header_extensions: Box::new(received_extensions(&producers)),
            rtp_listener: Box::new(rtp_listener(&producers)),
            max_send_message_size: options.max_send_message_size,
            max_receive_message_size: options.max_receive_message_size,
            sctp_parameters: sctp_state.map(|_| {
                Box::new(SctpParameters {
                    port: 5_000,
                    max_send_message_size: options.max_send_message_size,
                    max_receive_message_size: options.max_receive_message_size,
                    send_buffer_size: options.sctp_send_buffer_size,
                    per_stream_send_queue_limit: options.sctp_per_stream_send_queue_limit,
                    max_receiver_window_buffer_size: options.sctp_max_receiver_window_buffer_size,
                    is_data_channel: options.is_data_channel,
                })
            }),
            sctp_state,
            sctp_negotiated_capabilities: sctp_state.map(|_| Box::new(negotiated(transport.sctp_streams))),
            sctp_listener: sctp_state.map(|_| {
                let streams = data_producers.iter().filter_map(|producer| {
                    let key = producer.stream.as_ref()?.stream_id;
                    Some(Uint16String { key, value: producer.name.clone() })
                });
                Box::new(SctpListener { stream_id_table: streams.collect() })
            }),
            trace_event_types: transport.traces.clone(),
        })
    }

    pub(super) fn transport_stats(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.transport_number(name)?;
        let reply = machine.execute(&Command::ObjectStats { object: Object::Transport(id) })?;
        let Some(stats) = transport_of(reply) else { return Err(Refusal::Error("no statistics".into())) };
        let base = self.base_stats(id, &stats)?;
        let transport = self.objects.transport(id)?.clone();
        Ok(Some(match &transport.kind {
            Kind::WebRtc(webrtc) => {
                let tuple = webrtc.tuple.as_ref().map(|tuple| listen::ice_tuple(self.sockets_of(webrtc.server), tuple));
                Answer::WebRtcTransportGetStatsResponse(Box::new(web_rtc_transport::GetStatsResponse {
                    base: Box::new(base),
                    ice_role: web_rtc_transport::IceRole::Controlled,
                    ice_state: ice_state(webrtc.ice_state),
                    ice_selected_tuple: tuple.map(Box::new),
                    dtls_state: dtls_state(webrtc.dtls_state),
                }))
            }
            Kind::Direct => {
                let stats = direct_transport::GetStatsResponse { base: Box::new(base) };
                Answer::DirectTransportGetStatsResponse(Box::new(stats))
            }
            Kind::Pipe(pipe) => {
                let tuple = Box::new(listen::tuple(&pipe.rtp, pipe.remote));
                let stats = pipe_transport::GetStatsResponse { base: Box::new(base), tuple };
                Answer::PipeTransportGetStatsResponse(Box::new(stats))
            }
            Kind::Plain(plain) => Answer::PlainTransportGetStatsResponse(Box::new(plain_transport::GetStatsResponse {
                base: Box::new(base),
                rtcp_mux: plain.rtcp.is_none(),
                comedia: plain.is_comedia,
                tuple: Box::new(listen::tuple(&plain.rtp, plain.remote)),
                rtcp_tuple: plain.rtcp.as_ref().map(|rtcp| Box::new(listen::tuple(rtcp, plain.rtcp_remote))),
            })),
        }))
    }

    fn base_stats(&mut self, id: TransportId, stats: &TransportStats) -> Outcome<Stats> {
        let transport = self.objects.transport(id)?;
        let (received, sent) = (transport.received.of(stats.bytes_received), transport.sent.of(stats.bytes_sent));
        let limit = |bps: u64| Some(bps).filter(|bps| *bps > 0);
        let mut limits = [None; 3];
        if let Kind::WebRtc(webrtc) = &transport.kind {
            limits = [webrtc.max_incoming_bps, webrtc.outgoing.max_bps, webrtc.outgoing.min_bps].map(limit);
        }
        let [max_incoming_bitrate, max_outgoing_bitrate, min_outgoing_bitrate] = limits;
        Ok(Stats {
            transport_id: transport.name.clone(),
            timestamp: now_ms(),
            sctp_state: transport.sctp_state.map(sctp_state),
            bytes_received: stats.bytes_received,
            recv_bitrate: received,
            bytes_sent: stats.bytes_sent,
            send_bitrate: sent,
            available_outgoing_bitrate: stats.outgoing.and_then(|outgoing| outgoing.available_bps),
            max_incoming_bitrate,
            max_outgoing_bitrate,
            min_outgoing_bitrate,
            ..Stats::default()
        })
    }

    pub(super) fn set_bitrate(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let id = self.objects.transport_number(name)?;
        let check = |bps: u64, min: u64| {
            if bps > MAX_BITRATE || (bps > 0 && bps < min) {
                return Err(Refusal::wrong(format!("bitrate must be {min} to {MAX_BITRATE} or 0 (unlimited)")));
            }
            Ok(bps)
        };
        let webrtc = match &mut self.objects.transport(id)?.kind {
            Kind::WebRtc(webrtc) => webrtc,
            // Nothing is estimated there, in mediasoup as here.
            Kind::Plain(_) | Kind::Pipe(_) | Kind::Direct => return Ok(None),
        };
        let mut outgoing = webrtc.outgoing;
        match body {
            Some(Asked::TransportSetMaxIncomingBitrateRequest(request)) => {
                let bps = check(request.max_incoming_bitrate, 0)?;
                machine.execute(&Command::SetMaxIncomingBitrate { transport: id, bps })?;
                webrtc.max_incoming_bps = bps;
                return Ok(None);
            }
            Some(Asked::TransportSetMaxOutgoingBitrateRequest(request)) => {
                outgoing.max_bps = check(request.max_outgoing_bitrate, MIN_OUTGOING_BITRATE)?;
            }
            Some(Asked::TransportSetMinOutgoingBitrateRequest(request)) => {
                outgoing.min_bps = check(request.min_outgoing_bitrate, MIN_OUTGOING_BITRATE)?;
            }
            _ => return Err(other_body("TRANSPORT_SET_BITRATE")),
        }
        if outgoing.max_bps > 0 && outgoing.min_bps > outgoing.max_bps {
            return Err(Refusal::wrong("the minimum outgoing bitrate must not be above the maximum"));
        }
        machine.execute(&Command::SetOutgoingBitrates { transport: id, outgoing })?;
        webrtc.outgoing = outgoing;
        Ok(None)
    }

    pub(super) fn trace_transport(&mut self, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportEnableTraceEventRequest(request)) = body else {
            return Err(other_body("TRANSPORT_ENABLE_TRACE_EVENT"));
        };
        let id = self.objects.transport_number(name)?;
        if request.events.contains(&TraceEventType::Probation) {
            self.say_once("trace events of type probation are not told: probes go out as retransmissions here");
        }
        let kinds = [TraceEventType::Probation, TraceEventType::Bwe];
        let wanted = kinds.into_iter().filter(|kind| request.events.contains(kind));
        self.objects.transport(id)?.traces = wanted.collect();
        Ok(None)
    }
}

/// What the worker answered about a transport.
pub(super) fn transport_of(reply: Reply) -> Option<TransportStats> {
    match reply {
        Reply::ObjectStats(stats) => match *stats {
            ObjectStats::Transport(stats) => Some(stats),
            _ => None,
        },
        _ => None,
    }
}

fn received_extensions(producers: &[&Producer]) -> RecvRtpHeaderExtensions {
    let id = |uri: RtpHeaderExtensionUri| {
        let extensions = producers.iter().flat_map(|producer| &producer.rtp_parameters.header_extensions);
        extensions.rev().find(|extension| extension.uri == uri).map(|extension| extension.id)
    };
    RecvRtpHeaderExtensions {
        mid: id(RtpHeaderExtensionUri::Mid),
        rid: id(RtpHeaderExtensionUri::RtpStreamId),
        rrid: id(RtpHeaderExtensionUri::RepairRtpStreamId),
        abs_send_time: id(RtpHeaderExtensionUri::AbsSendTime),
        transport_wide_cc01: id(RtpHeaderExtensionUri::TransportWideCcDraft01),
    }
}

/// By what packets are told to be a producer's.
fn rtp_listener(producers: &[&Producer]) -> RtpListener {
    let mut listener = RtpListener::default();
    for producer in producers {
        let (parameters, value) = (&producer.rtp_parameters, &producer.name);
        if let Some(mid) = parameters.mid.as_ref().filter(|mid| !mid.is_empty()) {
            listener.mid_table.push(StringString { key: mid.clone(), value: value.clone() });
        }
        for encoding in &parameters.encodings {
            let ssrcs = [encoding.ssrc, encoding.rtx.as_ref().map(|rtx| rtx.ssrc)];
            let ssrcs = ssrcs.into_iter().flatten().map(|key| Uint32String { key, value: value.clone() });
            listener.ssrc_table.extend(ssrcs);
            if let Some(rid) = encoding.rid.as_ref().filter(|rid| !rid.is_empty()) {
                listener.rid_table.push(StringString { key: rid.clone(), value: value.clone() });
            }
        }
    }
    listener
}

/// The library's word for a state.
pub(super) const fn sctp_state(state: corecast_wire::SctpState) -> SctpState {
    match state {
        corecast_wire::SctpState::New => SctpState::New,
        corecast_wire::SctpState::Connecting => SctpState::Connecting,
        corecast_wire::SctpState::Connected => SctpState::Connected,
        corecast_wire::SctpState::Closed => SctpState::Closed,
    }
}

/// Streams of an association, to the other side and from it.
pub(super) const fn negotiated((outbound, inbound): (u16, u16)) -> SctpNegotiatedCapabilities {
    SctpNegotiatedCapabilities { negotiated_max_outbound_streams: outbound, negotiated_max_inbound_streams: inbound }
}

/// Milliseconds of the monotonic clock, which mediasoup's statistics are stamped with.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
