//! Trace events, for applications that have asked for them: packets of producers and consumers, and what a transport's
//! path is taken to carry.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::common::TraceDirection;
use corecast_mediasoup_worker::fbs::rtp_parameters::{RtpHeaderExtensionParametersRef, RtpHeaderExtensionUri};
use corecast_mediasoup_worker::fbs::transport::{BweTraceInfo, BweType, TraceEventType, TraceInfo, TraceNotification};
use corecast_mediasoup_worker::fbs::{consumer, producer, rtp_packet};
use corecast_wire::{
    Command, ConsumerId, Object, PacketTrace, ProducerId, RtpTrace, TraceEvents, TransportId, VideoOrientation,
};

use super::objects::{Consumer, Producer};
use super::transport::{now_ms, transport_of};
use super::{Answered, Asked, Door, Tells, Told, done, other_body};
use crate::refusal::Outcome;

impl Door {
    /// Tells of the transports whose estimates are traced. Called once a second, which is mediasoup's least.
    pub(super) fn trace(&mut self, machine: &mut dyn Machine) {
        let traced = self.objects.transports.iter().filter(|(_, one)| one.traces.contains(&TraceEventType::Bwe));
        let traced: Vec<TransportId> = traced.map(|(id, _)| *id).collect();
        for id in traced {
            let reply = machine.execute(&Command::ObjectStats { object: Object::Transport(id) });
            let outgoing = reply.ok().and_then(transport_of).and_then(|stats| stats.outgoing);
            let Some((outgoing, available)) = outgoing.and_then(|one| Some((one, one.available_bps?))) else {
                continue;
            };
            let Some(transport) = self.objects.transports.get(&id) else { continue };
            let info = BweTraceInfo {
                bwe_type: BweType::TransportCc,
                desired_bitrate: outgoing.wanted_bps,
                effective_desired_bitrate: outgoing.wanted_bps,
                min_bitrate: transport.outgoing.min_bps,
                max_bitrate: transport.outgoing.max_bps,
                start_bitrate: transport.outgoing.initial_bps,
                max_padding_bitrate: 0,
                available_bitrate: available,
            };
            let name = transport.name.clone();
            self.tell_transport_trace(&name, TraceEventType::Bwe, Some(TraceInfo::BweTraceInfo(Box::new(info))));
        }
    }

    fn tell_transport_trace(&mut self, name: &str, type_: TraceEventType, info: Option<TraceInfo>) {
        let direction = TraceDirection::DirectionOut;
        let notification = TraceNotification { type_, timestamp: now_ms(), direction, info };
        let body = Told::TransportTraceNotification(Box::new(notification));
        self.notify(name, Tells::TransportTrace, Some(body));
    }

    /// Each packet of padding by itself, as mediasoup does.
    pub(super) fn hear_probe(&mut self, id: TransportId, packets: u32) {
        let Some(name) = self.objects.transports.get(&id).map(|transport| transport.name.clone()) else { return };
        for _ in 0..packets {
            self.tell_transport_trace(&name, TraceEventType::Probation, None);
        }
    }

    /// Chooses which packets of a producer or of a consumer are told.
    pub(super) fn trace_media(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        match body {
            Some(Asked::ProducerEnableTraceEventRequest(request)) => {
                let id = self.objects.producer_number(name)?;
                self.trace_producer(machine, id, request.events)?;
                Ok(None)
            }
            Some(Asked::ConsumerEnableTraceEventRequest(request)) => {
                let id = self.objects.consumer_number(name)?;
                let kinds = CONSUMER_KINDS.into_iter().filter(|(kind, _)| request.events.contains(kind));
                let events = kinds.clone().fold(TraceEvents::default(), |events, (_, kind)| events.with(kind));
                for consumer in self.objects.consumer(id)?.parts.clone() {
                    done(machine, &Command::TraceConsumer { consumer, events })?;
                }
                self.objects.consumer(id)?.traces = kinds.map(|(kind, _)| kind).collect();
                Ok(None)
            }
            _ => Err(other_body("ENABLE_TRACE_EVENT")),
        }
    }

    /// The same of a producer. The orientation of a camera is always told, as mediasoup does.
    pub(super) fn trace_producer(
        &mut self,
        machine: &mut dyn Machine,
        id: ProducerId,
        wanted: Vec<producer::TraceEventType>,
    ) -> Outcome<()> {
        let kinds = PRODUCER_KINDS.into_iter().filter(|(kind, _)| wanted.contains(kind));
        let mut events = kinds.clone().fold(TraceEvents::default(), |events, (_, kind)| events.with(kind));
        let producer = self.objects.producer(id)?;
        if has_orientation(producer) {
            events = events.with(corecast_wire::TraceEventType::VideoOrientation);
        }
        machine.execute(&Command::TraceProducer { producer: id, events })?;
        // mediasoup's dumps do not name sender reports.
        let named = kinds.map(|(kind, _)| kind).filter(|kind| *kind != producer::TraceEventType::Sr);
        self.objects.producer(id)?.traces = named.collect();
        Ok(())
    }

    pub(super) fn hear_producer_trace(&mut self, id: ProducerId, trace: PacketTrace) {
        use producer::{TraceEventType as Kind, TraceInfo as Info};
        let Some(name) = self.objects.producers.get(&id).map(|producer| producer.name.clone()) else { return };
        let (inwards, outwards) = (TraceDirection::DirectionIn, TraceDirection::DirectionOut);
        let (type_, direction, info) = match trace {
            PacketTrace::Rtp(trace) if trace.is_key_frame => {
                let (is_rtx, rtp_packet) = (trace.is_rtx, Box::new(packet(trace)));
                let info = producer::KeyFrameTraceInfo { rtp_packet, is_rtx };
                (Kind::Keyframe, inwards, Some(Info::KeyFrameTraceInfo(Box::new(info))))
            }
            PacketTrace::Rtp(trace) => {
                let (is_rtx, rtp_packet) = (trace.is_rtx, Box::new(packet(trace)));
                let info = producer::RtpTraceInfo { rtp_packet, is_rtx };
                (Kind::Rtp, inwards, Some(Info::RtpTraceInfo(Box::new(info))))
            }
            PacketTrace::Nack => (Kind::Nack, outwards, None),
            PacketTrace::Pli { ssrc } => {
                (Kind::Pli, outwards, Some(Info::PliTraceInfo(Box::new(producer::PliTraceInfo { ssrc }))))
            }
            PacketTrace::Fir { ssrc } => {
                (Kind::Fir, outwards, Some(Info::FirTraceInfo(Box::new(producer::FirTraceInfo { ssrc }))))
            }
            PacketTrace::SenderReport { ssrc, ntp, rtp_timestamp, packet_count, octet_count } => {
                #[expect(clippy::cast_possible_truncation, reason = "each half by itself")]
                let (ntp_sec, ntp_frac) = ((ntp >> 32) as u32, ntp as u32);
                let info =
                    producer::SrTraceInfo { ssrc, ntp_sec, ntp_frac, rtp_ts: rtp_timestamp, packet_count, octet_count };
                (Kind::Sr, inwards, Some(Info::SrTraceInfo(Box::new(info))))
            }
        };
        let notification = producer::TraceNotification { type_, timestamp: now_ms(), direction, info };
        let body = Told::ProducerTraceNotification(Box::new(notification));
        self.notify(&name, Tells::ProducerTrace, Some(body));
    }

    pub(super) fn hear_consumer_trace(&mut self, part: ConsumerId, trace: PacketTrace) {
        use consumer::{TraceEventType as Kind, TraceInfo as Info};
        let Some((name, mid)) = self.objects.consumer_of_part(part).map(|one| (one.name.clone(), mid_of(one))) else {
            return;
        };
        let (inwards, outwards) = (TraceDirection::DirectionIn, TraceDirection::DirectionOut);
        let (type_, direction, info) = match trace {
            PacketTrace::Rtp(trace) if trace.is_key_frame => {
                let (is_rtx, rtp_packet) = (trace.is_rtx, Box::new(packet(RtpTrace { mid, ..trace })));
                let info = consumer::KeyFrameTraceInfo { rtp_packet, is_rtx };
                (Kind::Keyframe, outwards, Some(Info::KeyFrameTraceInfo(Box::new(info))))
            }
            PacketTrace::Rtp(trace) => {
                let (is_rtx, rtp_packet) = (trace.is_rtx, Box::new(packet(RtpTrace { mid, ..trace })));
                let info = consumer::RtpTraceInfo { rtp_packet, is_rtx };
                (Kind::Rtp, outwards, Some(Info::RtpTraceInfo(Box::new(info))))
            }
            PacketTrace::Nack => (Kind::Nack, inwards, None),
            PacketTrace::Pli { ssrc } => {
                (Kind::Pli, inwards, Some(Info::PliTraceInfo(Box::new(consumer::PliTraceInfo { ssrc }))))
            }
            PacketTrace::Fir { ssrc } => {
                (Kind::Fir, inwards, Some(Info::FirTraceInfo(Box::new(consumer::FirTraceInfo { ssrc }))))
            }
            // Consumers' receivers send none.
            PacketTrace::SenderReport { .. } => return,
        };
        let notification = consumer::TraceNotification { type_, timestamp: now_ms(), direction, info };
        let body = Told::ConsumerTraceNotification(Box::new(notification));
        self.notify(&name, Tells::ConsumerTrace, Some(body));
    }

    pub(super) fn hear_orientation(&mut self, id: ProducerId, orientation: VideoOrientation) {
        let Some(name) = self.objects.producers.get(&id).map(|producer| producer.name.clone()) else { return };
        let VideoOrientation { camera, flip, rotation } = orientation;
        let body = Box::new(producer::VideoOrientationChangeNotification { camera, flip, rotation });
        let body = Told::ProducerVideoOrientationChangeNotification(body);
        self.notify(&name, Tells::ProducerVideoOrientationChange, Some(body));
    }
}

/// The kinds in the order of mediasoup's dumps, and the worker's words for them.
const PRODUCER_KINDS: [(producer::TraceEventType, corecast_wire::TraceEventType); 6] = [
    (producer::TraceEventType::Rtp, corecast_wire::TraceEventType::Rtp),
    (producer::TraceEventType::Keyframe, corecast_wire::TraceEventType::KeyFrame),
    (producer::TraceEventType::Nack, corecast_wire::TraceEventType::Nack),
    (producer::TraceEventType::Pli, corecast_wire::TraceEventType::Pli),
    (producer::TraceEventType::Fir, corecast_wire::TraceEventType::Fir),
    (producer::TraceEventType::Sr, corecast_wire::TraceEventType::SenderReport),
];
const CONSUMER_KINDS: [(consumer::TraceEventType, corecast_wire::TraceEventType); 5] = [
    (consumer::TraceEventType::Rtp, corecast_wire::TraceEventType::Rtp),
    (consumer::TraceEventType::Keyframe, corecast_wire::TraceEventType::KeyFrame),
    (consumer::TraceEventType::Nack, corecast_wire::TraceEventType::Nack),
    (consumer::TraceEventType::Pli, corecast_wire::TraceEventType::Pli),
    (consumer::TraceEventType::Fir, corecast_wire::TraceEventType::Fir),
];

/// What packets of a consumer name as their media section.
fn mid_of(consumer: &Consumer) -> Option<String> {
    let parameters = consumer.parameters().ok()?;
    let mid = parameters.mid().ok()?.filter(|mid| !mid.is_empty())?;
    let is_mid =
        |extension: RtpHeaderExtensionParametersRef<'_>| matches!(extension.uri(), Ok(RtpHeaderExtensionUri::Mid));
    let mut extensions = parameters.header_extensions().ok()?.iter().flatten();
    extensions.any(is_mid).then(|| mid.to_owned())
}

fn has_orientation(producer: &Producer) -> bool {
    let mut extensions = producer.rtp_parameters.header_extensions.iter();
    extensions.any(|extension| extension.uri == RtpHeaderExtensionUri::VideoOrientation)
}

/// A packet, as the library sees it.
fn packet(trace: RtpTrace) -> rtp_packet::Dump {
    rtp_packet::Dump {
        payload_type: trace.payload_type,
        sequence_number: trace.sequence,
        timestamp: trace.timestamp,
        marker: trace.marker,
        ssrc: trace.ssrc,
        is_key_frame: trace.is_key_frame,
        size: trace.len.into(),
        payload_size: trace.payload_len.into(),
        spatial_layer: trace.spatial,
        temporal_layer: trace.temporal,
        mid: trace.mid,
        rid: trace.rid,
        rrid: trace.repaired_rid,
        wide_sequence_number: trace.transport_cc,
    }
}
