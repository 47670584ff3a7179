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
use corecast_wire::{Command, DtlsState, Object, ObjectStats, Reply, TransportId, TransportStats};
use nix::time::{ClockId, clock_gettime};

use super::objects::{Feedback, Kind, Producer};
use super::webrtc::{dtls_state, ice_state};
use super::{Answer, Answered, Asked, Door, listen, other_body};
use crate::refusal::{Outcome, Refusal};

/// Bounds of bitrates: mediasoup's.
const MAX_BITRATE: u64 = i64::MAX as u64 - 1;
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
        let objects = &self.objects;
        let missing = || Refusal::NotFound(format!("Transport {id} not found"));
        let transport = objects.transports.get(&id).ok_or_else(missing)?;
        let producers: Vec<&Producer> = transport.producers.iter().filter_map(|id| objects.producers.get(id)).collect();
        let consumers: Vec<_> = transport.consumers.iter().filter_map(|id| objects.consumers.get(id)).collect();
        let data_producers = transport.data_producers.iter().filter_map(|id| objects.data_producers.get(id));
        let data_producers: Vec<_> = data_producers.collect();
        let data_consumers = transport.data_consumers.iter().filter_map(|id| objects.data_consumers.get(id));
        let streams = consumers.iter().flat_map(|consumer| consumer.streams.iter().map(|one| (one, &consumer.name)));
        let named = |(ssrc, name): (Option<u32>, &String)| Some(Uint32String { key: ssrc?, value: name.clone() });
        let ssrcs = streams.clone().map(|(stream, name)| (Some(stream.ssrc), name)).filter_map(named);
        let rtx_ssrcs = streams.map(|(stream, name)| (stream.rtx_ssrc, name));
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
                // Unlike dumps, once it is known where the other side is.
                rtcp_tuple: plain
                    .rtcp
                    .as_ref()
                    .zip(plain.rtcp_remote)
                    .map(|(rtcp, remote)| Box::new(listen::tuple(rtcp, Some(remote)))),
            })),
        }))
    }

    fn base_stats(&mut self, id: TransportId, stats: &TransportStats) -> Outcome<Stats> {
        let transport = self.objects.transport(id)?;
        let (received, sent) = (transport.received.of(stats.bytes_received), transport.sent.of(stats.bytes_sent));
        let (rtp, rates) = (stats.rtp, &mut transport.rtp);
        // Before it is connected it carries nothing.
        let is_connected = match &transport.kind {
            Kind::WebRtc(webrtc) => webrtc.dtls_state == DtlsState::Connected,
            _ => true,
        };
        let carried = |bps: u64| if is_connected { bps } else { 0 };
        let limit = |bps: u64| Some(bps).filter(|bps| *bps > 0);
        // What is not estimated here is told as 0, as mediasoup does.
        let incoming = |feedback: Feedback| match (feedback, stats.incoming) {
            (Feedback::Packets, Some(incoming)) => (0, f64::from(incoming.lost_share) / 65_536.0),
            (Feedback::Bitrate, Some(incoming)) => (incoming.available_bps.unwrap_or(0), 0.0),
            (_, None) => (0, 0.0),
        };
        let (available_incoming_bitrate, rtp_packet_loss_received) = transport.feedback.map(incoming).unzip();
        let bounds = [transport.max_incoming_bps, transport.outgoing.max_bps, transport.outgoing.min_bps];
        let [max_incoming_bitrate, max_outgoing_bitrate, min_outgoing_bitrate] = bounds.map(limit);
        Ok(Stats {
            transport_id: transport.name.clone(),
            timestamp: now_ms(),
            sctp_state: transport.sctp_state.map(sctp_state),
            bytes_received: stats.bytes_received,
            recv_bitrate: received,
            bytes_sent: stats.bytes_sent,
            send_bitrate: sent,
            rtp_bytes_received: rtp.received,
            rtp_recv_bitrate: rates.received.of(rtp.received),
            rtp_bytes_sent: rtp.sent,
            rtp_send_bitrate: rates.sent.of(rtp.sent),
            rtx_bytes_received: rtp.rtx_received,
            rtx_recv_bitrate: rates.rtx_received.of(rtp.rtx_received),
            rtx_bytes_sent: rtp.rtx_sent,
            rtx_send_bitrate: rates.rtx_sent.of(rtp.rtx_sent),
            probation_bytes_sent: rtp.probation_sent,
            probation_send_bitrate: rates.probation_sent.of(rtp.probation_sent),
            available_outgoing_bitrate: stats.outgoing.and_then(|outgoing| outgoing.available_bps).map(carried),
            available_incoming_bitrate,
            rtp_packet_loss_received,
            rtp_packet_loss_sent: stats.outgoing.map(|outgoing| f64::from(outgoing.lost_share) / 65_536.0),
            max_incoming_bitrate,
            max_outgoing_bitrate,
            min_outgoing_bitrate,
        })
    }

    pub(super) fn set_bitrate(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let id = self.objects.transport_number(name)?;
        let transport = self.objects.transport(id)?;
        // Elsewhere nothing is estimated, in mediasoup as here.
        let is_estimated = matches!(transport.kind, Kind::WebRtc(_));
        let mut outgoing = transport.outgoing;
        match body {
            Some(Asked::TransportSetMaxIncomingBitrateRequest(request)) => {
                let bps = bitrate(request.max_incoming_bitrate, 0)?;
                if is_estimated {
                    machine.execute(&Command::SetMaxIncomingBitrate { transport: id, bps })?;
                }
                transport.max_incoming_bps = bps;
                return Ok(None);
            }
            Some(Asked::TransportSetMaxOutgoingBitrateRequest(request)) => {
                outgoing.max_bps = bitrate(request.max_outgoing_bitrate, MIN_OUTGOING_BITRATE)?;
            }
            Some(Asked::TransportSetMinOutgoingBitrateRequest(request)) => {
                outgoing.min_bps = bitrate(request.min_outgoing_bitrate, MIN_OUTGOING_BITRATE)?;
            }
            _ => return Err(other_body("TRANSPORT_SET_BITRATE")),
        }
        if outgoing.max_bps > 0 && outgoing.min_bps > outgoing.max_bps {
            let (min, max) = (transport.outgoing.min_bps, transport.outgoing.max_bps);
            return Err(Refusal::wrong(format!(
                "bitrate: min outgoing bitrate must be <= max outgoing bitrate (they are {min} and {max} now)"
            )));
        }
        if is_estimated {
            machine.execute(&Command::SetOutgoingBitrates { transport: id, outgoing })?;
        }
        transport.outgoing = outgoing;
        Ok(None)
    }

    pub(super) fn trace_transport(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::TransportEnableTraceEventRequest(request)) = body else {
            return Err(other_body("TRANSPORT_ENABLE_TRACE_EVENT"));
        };
        let id = self.objects.transport_number(name)?;
        let traced = request.events.contains(&TraceEventType::Probation);
        machine.execute(&Command::TraceProbes { transport: id, traced })?;
        let kinds = [TraceEventType::Probation, TraceEventType::Bwe];
        let wanted = kinds.into_iter().filter(|kind| request.events.contains(kind));
        self.objects.transport(id)?.traces = wanted.collect();
        Ok(None)
    }
}

/// A bitrate that is asked for, 0 for no limit.
pub(super) fn bitrate(bps: u64, min: u64) -> Outcome<u64> {
    if bps > MAX_BITRATE {
        return Err(Refusal::wrong(format!("bitrate must be <= {MAX_BITRATE} or 0 (unlimited)")));
    }
    if bps > 0 && bps < min {
        return Err(Refusal::wrong(format!("bitrate must be >= {min} or 0 (unlimited)")));
    }
    Ok(bps)
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
