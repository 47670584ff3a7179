//! Traces of packets, of those producers and consumers alone for which control has asked for them.

use std::collections::VecDeque;

use corecast_wire::{
    ConsumerId, Event, PacketTrace, ProducerId, RtpTrace, TraceEventType, TraceEvents, TransportId, VideoOrientation,
};

use super::Worker;
use super::refused::{Applied, not_found};
use super::seal::Outgoing;
use crate::consumer::Consumer;
use crate::key::{ConsumerKey, TransportKey};
use crate::limits::MAX_EVENTS;
use crate::media::{PacketMeta, Producer};
use crate::rtp::RtpView;
use crate::transport::Inbound;

/// Events of traces are told as long as no more wait: the others are worth more.
const MAX_TRACES: usize = MAX_EVENTS / 2;

/// Tells a trace, if there is room.
pub(super) fn tell(events: &mut VecDeque<Event>, event: Event) {
    if events.len() < MAX_TRACES {
        events.push_back(event);
    }
}

/// Tells a trace of a producer, if that kind is traced.
pub(super) fn tell_of_producer(
    events: &mut VecDeque<Event>,
    producer: &Producer,
    kind: TraceEventType,
    trace: PacketTrace,
) {
    if producer.traces().has(kind) {
        tell(events, Event::ProducerTraced { producer: producer.id(), trace });
    }
}

/// An RTP packet that has come of a producer, and the orientation that it names.
pub(super) struct Received {
    producer: ProducerId,
    trace: Option<RtpTrace>,
    orientation: Option<u8>,
}

/// Looks at a packet that has come, if its producer is traced.
#[inline]
pub(super) fn of(
    producer: &Producer,
    view: &RtpView<'_>,
    meta: &PacketMeta,
    inbound: Inbound,
) -> Option<Box<Received>> {
    if producer.traces().looks_at_rtp() { Some(received(producer, view, meta, inbound)) } else { None }
}

#[cold]
fn received(
    producer: &Producer,
    view: &RtpView<'_>,
    meta: &PacketMeta,
    Inbound { ssrc, rtx: is_rtx, .. }: Inbound,
) -> Box<Received> {
    let (ids, traces) = (producer.ids(), producer.traces());
    let text = |id| view.extension(id).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
    let is_key_frame = meta.frame.is_key() && traces.has(TraceEventType::KeyFrame);
    let number = view.extension(ids.transport_cc).and_then(|bytes| bytes.first_chunk().copied());
    let payload_len = u32::from(meta.payload_len);
    let trace = (is_key_frame || traces.has(TraceEventType::Rtp)).then(|| RtpTrace {
        is_key_frame,
        is_rtx,
        payload_type: view.payload_type(),
        #[expect(clippy::cast_possible_truncation, reason = "RTP carries the lower 16 bits")]
        sequence: meta.sequence as u16,
        timestamp: meta.timestamp,
        marker: meta.marker,
        ssrc,
        len: u32::try_from(view.header().len() + view.body().len()).unwrap_or(u32::MAX),
        payload_len,
        spatial: meta.frame.spatial(),
        temporal: meta.frame.temporal(),
        mid: text(ids.mid),
        rid: text(ids.rid),
        repaired_rid: text(ids.repaired_rid),
        transport_cc: number.map(u16::from_be_bytes),
    });
    let orientation = traces.has(TraceEventType::VideoOrientation).then(|| view.extension(ids.video_orientation));
    Box::new(Received {
        producer: producer.id(),
        trace,
        orientation: orientation.flatten().and_then(|bytes| bytes.first().copied()),
    })
}

/// Tells of a packet that was sealed for a consumer that is traced.
#[cold]
pub(super) fn sent(
    events: &mut VecDeque<Event>,
    consumer: &Consumer,
    outgoing: &Outgoing<'_>,
    meta: &PacketMeta,
    len: usize,
) {
    let traces = consumer.traces();
    let is_key_frame = meta.frame.is_key() && traces.has(TraceEventType::KeyFrame);
    if !is_key_frame && !traces.has(TraceEventType::Rtp) {
        return;
    }
    let has_number = consumer.extensions().has_transport_cc();
    let trace = RtpTrace {
        is_key_frame,
        is_rtx: outgoing.original.is_some(),
        payload_type: outgoing.payload_type,
        #[expect(clippy::cast_possible_truncation, reason = "RTP carries the lower 16 bits")]
        sequence: outgoing.index as u16,
        timestamp: meta.timestamp.wrapping_add(outgoing.timestamp_offset),
        marker: meta.marker || outgoing.change.marks(meta.frame),
        ssrc: outgoing.ssrc,
        len: u32::try_from(len).unwrap_or(u32::MAX),
        payload_len: u32::from(meta.payload_len),
        spatial: meta.frame.spatial(),
        temporal: meta.frame.temporal(),
        mid: None,
        rid: None,
        repaired_rid: None,
        transport_cc: has_number.then_some(outgoing.stamp.transport_cc),
    };
    tell(events, Event::ConsumerTraced { consumer: consumer.id(), trace: PacketTrace::Rtp(trace) });
}

impl Worker {
    pub(super) fn trace_producer(&mut self, id: ProducerId, events: TraceEvents) -> Applied {
        let key = self.producer_by_id.get(&id).ok_or_else(|| not_found("producer", id.0))?;
        if let Some(producer) = self.producers.get_mut(*key) {
            producer.set_traces(events);
        }
        Ok(())
    }

    pub(super) fn trace_probes(&mut self, id: TransportId, traced: bool) -> Applied {
        let key = self.transport_key(id)?;
        if let Some(transport) = self.transports.get_mut(key) {
            transport.set_probes_traced(traced);
        }
        Ok(())
    }

    /// Tells that so many packets of padding have left, if that is traced.
    pub(super) fn tell_probe(&mut self, key: TransportKey, packets: u32) {
        if let Some(transport) = self.transports.get(key).filter(|one| packets > 0 && one.has_traced_probes()) {
            tell(&mut self.events, Event::Probed { transport: transport.id(), packets });
        }
    }

    pub(super) fn trace_consumer(&mut self, id: ConsumerId, events: TraceEvents) -> Applied {
        let key = self.consumer_key(id)?;
        let Some(consumer) = self.consumers.get_mut(key) else { return Err(not_found("consumer", id.0)) };
        consumer.set_traces(events);
        if let Some(transport) = self.transports.get_mut(consumer.transport()) {
            let mut siblings = transport.consumers().iter().filter_map(|key| self.consumers.get(*key));
            let is_traced = siblings.any(|sibling| sibling.traces().looks_at_rtp());
            transport.set_traced(is_traced);
        }
        Ok(())
    }

    /// Tells of a packet that has come, if it was looked at.
    #[inline]
    pub(super) fn tell_received(&mut self, received: Option<Box<Received>>) {
        if let Some(received) = received {
            self.tell(*received);
        }
    }

    #[cold]
    fn tell(&mut self, received: Received) {
        let id = received.producer;
        if let Some(trace) = received.trace {
            tell(&mut self.events, Event::ProducerTraced { producer: id, trace: PacketTrace::Rtp(trace) });
        }
        let Some(orientation) = received.orientation else { return };
        let producer = self.producer_by_id.get(&id).and_then(|key| self.producers.get_mut(*key));
        if producer.is_some_and(|producer| producer.update_orientation(orientation)) {
            let orientation = VideoOrientation {
                camera: orientation & 0x08 != 0,
                flip: orientation & 0x04 != 0,
                rotation: u16::from(orientation & 0x03) * 90,
            };
            self.push_event(Event::VideoOrientationChanged { producer: id, orientation });
        }
    }

    /// Tells of what a consumer's receiver has asked for.
    pub(super) fn tell_feedback(&mut self, key: ConsumerKey, kind: TraceEventType, trace: PacketTrace) {
        if let Some(consumer) = self.consumers.get(key).filter(|consumer| consumer.traces().has(kind)) {
            tell(&mut self.events, Event::ConsumerTraced { consumer: consumer.id(), trace });
        }
    }
}
