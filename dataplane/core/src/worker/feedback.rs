//! RTCP in: what senders and receivers report, and what receivers ask for.

use corecast_wire::{Discard, PacketTrace, TraceEventType};

use super::{Worker, traces};
use crate::consumer::Consumer;
use crate::io::{Outbox, Path};
use crate::key::{ConsumerKey, TransportKey};
use crate::media::SenderReport;
use crate::rtcp::{self, Packet, ReportBlock};
use crate::srtp::OpenError;
use crate::time::{Instant, middle, ntp_time};

impl Worker {
    pub(crate) fn receive_rtcp(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: Path,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let transport = self.transports.get_mut(key).ok_or(Discard::NoTransport)?;
        let (flow, id) = (transport.rtcp_flow(), transport.id());
        let len = if let Some(security) = transport.security_mut() {
            let opener = security.opener_mut().ok_or(Discard::NoKey)?;
            let len = opener.open_rtcp(datagram, &mut self.rtcp).map_err(OpenError::discard)?;
            opener.keep_newest(&mut self.words, id);
            len
        } else {
            self.rtcp.get_mut(..datagram.len()).ok_or(Discard::TooLong)?.copy_from_slice(datagram);
            datagram.len()
        };
        // Taken out while it is read, so that the machine can be changed by what it says.
        let opened = std::mem::take(&mut self.rtcp);
        let result = match opened.get(..len).map(rtcp::parse) {
            Some(Ok(packets)) => {
                self.learn_remote(now, key, flow, path);
                packets.for_each(|packet| self.take_feedback(now, key, &packet, outbox));
                Ok(())
            }
            _ => Err(Discard::MalformedRtcp),
        };
        self.rtcp = opened;
        result
    }

    fn take_feedback(&mut self, now: Instant, key: TransportKey, packet: &Packet<'_>, outbox: &mut Outbox) {
        match packet {
            Packet::SenderReport { ssrc, ntp, rtp_timestamp, packet_count, octet_count, reports } => {
                let (ssrc, ntp, rtp_timestamp) = (*ssrc, *ntp, *rtp_timestamp);
                self.take_sender_report(now, key, ssrc, SenderReport { ntp, rtp_timestamp, at: now });
                let (packet_count, octet_count) = (*packet_count, *octet_count);
                self.trace_report(
                    key,
                    PacketTrace::SenderReport { ssrc, ntp, rtp_timestamp, packet_count, octet_count },
                );
                reports.clone().for_each(|report| self.take_report(now, key, &report));
            }
            Packet::ReceiverReport { reports, .. } => {
                reports.clone().for_each(|report| self.take_report(now, key, &report));
            }
            Packet::Nack(nack) => self.take_nack(now, key, nack, outbox),
            Packet::Pli { media_ssrc, .. } => self.take_key_frame_request(now, key, *media_ssrc, false, outbox),
            Packet::Fir { entries, .. } => {
                for (ssrc, _) in entries.clone() {
                    self.take_key_frame_request(now, key, ssrc, true, outbox);
                }
            }
            Packet::Bye { ssrcs, .. } => ssrcs.clone().for_each(|ssrc| self.take_bye(key, ssrc)),
            Packet::Xr(report) => self.take_extended_report(now, key, *report),
            Packet::Remb { bitrate_bps, .. } => self.take_remb(now, key, *bitrate_bps, outbox),
            Packet::Ccfb(feedback) => self.take_ccfb(now, key, feedback, outbox),
            Packet::TransportCc(feedback) => self.take_transport_cc(now, key, feedback, outbox),
            Packet::Sdes(_) | Packet::Other { .. } => {}
        }
    }

    fn take_sender_report(&mut self, now: Instant, key: TransportKey, ssrc: u32, report: SenderReport) {
        let inbound = self.transports.get(key).and_then(|transport| transport.inbound_of(ssrc));
        let stream = inbound.filter(|inbound| !inbound.rtx).and_then(|inbound| self.streams.get_mut(inbound.stream));
        if let Some(stream) = stream {
            stream.reception_mut().set_sender_report(report);
            if let Some(transport) = self.transports.get_mut(key) {
                transport.clocks_mut().sender_mut().record(now, ntp_time(self.config.unix_time_ns, now), report.ntp);
            }
        }
    }

    /// A sender report has come: told, if its producer is traced.
    fn trace_report(&mut self, key: TransportKey, trace: PacketTrace) {
        let PacketTrace::SenderReport { ssrc, .. } = trace else { return };
        let inbound = self.transports.get(key).and_then(|transport| transport.inbound_of(ssrc));
        let stream = inbound.filter(|inbound| !inbound.rtx).and_then(|inbound| self.streams.get(inbound.stream));
        if let Some(producer) = stream.and_then(|stream| self.producers.get(stream.producer())) {
            traces::tell_of_producer(&mut self.events, producer, TraceEventType::SenderReport, trace);
        }
    }

    /// A receiver's view of one consumer (RFC 3550 section 6.4.1).
    fn take_report(&mut self, now: Instant, key: TransportKey, report: &ReportBlock) {
        let ntp = middle(ntp_time(self.config.unix_time_ns, now));
        let Some(consumer) = self.consumer_of(key, report.ssrc).and_then(|key| self.consumers.get_mut(key)) else {
            return;
        };
        if consumer.ssrc() == report.ssrc {
            consumer.feedback_mut().report(ntp, report);
            consumer.hear_loss(now, report.fraction_lost);
            self.take_loss(now, key, report);
        }
    }

    fn take_nack(&mut self, now: Instant, key: TransportKey, nack: &rtcp::Nack<'_>, outbox: &mut Outbox) {
        let consumer = self.consumer_of(key, nack.media_ssrc);
        let Some(consumer_key) = consumer.filter(|key| self.consumers.get(*key).is_some_and(Consumer::takes_nacks))
        else {
            self.discard(key, Discard::UnknownFeedback);
            return;
        };
        if let Some(consumer) = self.consumers.get_mut(consumer_key) {
            consumer.feedback_mut().count_nack();
        }
        self.tell_feedback(consumer_key, TraceEventType::Nack, PacketTrace::Nack);
        for (position, out) in nack.lost().enumerate() {
            let may_ask = self.consumers.get_mut(consumer_key).is_some_and(|one| one.feedback_mut().may_ask(now));
            let result = if may_ask && position < crate::limits::MAX_RETRANSMITS_PER_NACK {
                self.retransmit(now, consumer_key, out, outbox)
            } else {
                Err(Discard::RetransmitTooOften)
            };
            if let Some(consumer) = self.consumers.get_mut(consumer_key) {
                consumer.feedback_mut().count_nacked_packet();
                if result == Err(Discard::RetransmitNotFound) {
                    consumer.feedback_mut().count_vain_request(now);
                }
                if let Err(why) = result {
                    consumer.discard(why, 1);
                    self.discards.count(why);
                }
            }
        }
    }

    fn take_key_frame_request(&mut self, now: Instant, key: TransportKey, ssrc: u32, fir: bool, outbox: &mut Outbox) {
        let consumer_key = self.consumer_of(key, ssrc);
        if let Some(consumer_key) = consumer_key {
            let (kind, trace) = match fir {
                true => (TraceEventType::Fir, PacketTrace::Fir { ssrc }),
                false => (TraceEventType::Pli, PacketTrace::Pli { ssrc }),
            };
            self.tell_feedback(consumer_key, kind, trace);
        }
        let Some(consumer) = consumer_key.and_then(|key| self.consumers.get_mut(key)) else {
            self.discard(key, Discard::UnknownFeedback);
            return;
        };
        consumer.feedback_mut().count_key_frame_request(fir);
        let key = consumer.decoded_stream();
        if consumer_key.is_some_and(|key| self.repeat_beginning(now, key, outbox)) {
            return;
        }
        if consumer_key.is_some_and(|consumer| self.may_cost_key_frame(now, consumer, key)) {
            self.want_key_frame(now, key, outbox);
            return;
        }
        if let Some(consumer) = consumer_key.and_then(|key| self.consumers.get_mut(key)) {
            consumer.discard(Discard::KeyFrameTooOften, 1);
            self.discards.count(Discard::KeyFrameTooOften);
        }
    }

    /// A source leaves (RFC 3550 section 6.6): its stream is no longer reported on, and nothing is asked for that it
    /// still misses. If it sends again, it goes on as before: a forged BYE on a plain transport does no harm.
    pub(crate) fn take_bye(&mut self, key: TransportKey, ssrc: u32) {
        let inbound = self.transports.get(key).and_then(|transport| transport.inbound_of(ssrc));
        let stream = inbound.filter(|inbound| !inbound.rtx).and_then(|inbound| self.streams.get_mut(inbound.stream));
        if let Some(stream) = stream {
            stream.end();
        }
    }
    fn consumer_of(&self, transport: TransportKey, ssrc: u32) -> Option<ConsumerKey> {
        self.transports.get(transport)?.consumer_of(ssrc)
    }
}
