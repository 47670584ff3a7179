//! RTCP out: reports, NACKs to senders, key frame requests.
//!
//! Feedback leaves as reduced-size RTCP (RFC 5506); reports are compounds that begin with a sender or receiver report
//! and hold a CNAME (RFC 3550 section 6.1).

use std::time::Duration;

use corecast_wire::{Discard, MediaKind, PacketTrace, TraceEventType};

use super::{Worker, traces};
use crate::consumer::Consumer;
use crate::io::{Outbox, Timer};
use crate::key::{ConsumerKey, StreamKey, TransportKey};
use crate::limits::NACK_INTERVAL;
use crate::rtcp::SenderInfo;
use crate::time::{Instant, ntp_time};

/// Interval of reports about video, and of those about audio alone (mediasoup: 1 s and 5 s).
const VIDEO_REPORT_INTERVAL: Duration = Duration::from_secs(1);
const AUDIO_REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Reports leave at multiples of this, those of many transports in one wake-up: a wake-up costs more than a report.
const REPORT_GRID_NS: u64 = 50_000_000;
/// Blocks of one receiver report.
const MAX_REPORT_BLOCKS: usize = 31;
/// A compound is closed when it is longer than this, so that it fits any path.
const COMPOUND_BYTES: usize = 1_000;

impl Worker {
    /// Sets the time of a transport's next reports, or brings it forward: what it carries may have changed.
    pub(crate) fn arm_reports(&mut self, now: Instant, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let video = |kind| kind == MediaKind::Video;
        let has_video = transport
            .producers()
            .iter()
            .filter_map(|key| self.producers.get(*key))
            .any(|one| video(one.kind()))
            || transport.consumers().iter().filter_map(|key| self.consumers.get(*key)).any(Consumer::has_key_frames);
        let interval = if has_video { VIDEO_REPORT_INTERVAL } else { AUDIO_REPORT_INTERVAL };
        // 0.8 to 1.2 of it, so that transports do not report in step (RFC 3550 section 6.3.5).
        let spread = (now.as_nanos() / 1_000 + u64::from(key.index()) * 7_919) % 401;
        let at = now + interval * u32::try_from(800 + spread).unwrap_or(1_000) / 1_000;
        let at = Instant::from_nanos(at.as_nanos().next_multiple_of(REPORT_GRID_NS));
        transport.reports_deadline().arm(&mut self.timers, at, Timer::Reports(key));
    }

    pub(crate) fn reports_timeout(&mut self, now: Instant, at: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        if !transport.reports_deadline().fires(at) {
            return;
        }
        self.follow_media(now, key, outbox);
        if let Err(why) = self.send_reports(now, key, outbox) {
            self.discard(key, why);
        }
        self.arm_reports(now, key);
    }

    fn send_reports(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) -> Result<(), Discard> {
        let Some(transport) = self.transports.get(key).filter(|transport| transport.has_rtcp_path()) else {
            return Ok(());
        };
        let ntp = ntp_time(self.config.unix_time_ns, now);
        let reporting: Vec<_> =
            transport.consumers().iter().filter_map(|key| self.sender_info(now, ntp, *key)).collect();
        let Some(transport) = self.transports.get_mut(key) else { return Ok(()) };
        let (consumers, streams) = (&self.consumers, &mut self.streams);
        let media = transport.inbound().iter().filter(|inbound| !inbound.rtx);
        let blocks: Vec<_> = media
            .filter_map(|inbound| {
                let stream = streams.get_mut(inbound.stream).filter(|stream| !stream.has_ended())?;
                let highest = stream.highest()?;
                Some(stream.reception_mut().report(now, inbound.ssrc, highest))
            })
            .collect();
        let ssrc = transport.rtcp_ssrc();
        // As many as one packet can have: more would not fit a compound.
        for blocks in blocks.chunks(MAX_REPORT_BLOCKS) {
            transport.send_rtcp(outbox, |writer| {
                writer.push_receiver_report(ssrc, blocks.iter().copied());
                writer.push_sdes_cname(ssrc, "corecast");
                writer.push_rrtr(ssrc, ntp);
            })?;
        }
        let mut rest = reporting.as_slice();
        let mut answers: Vec<_> = transport.clocks().answers(now);
        // For the replay windows of SRTP the first SSRC of a compound is the one that sends it. A pipe has more senders
        // than its other side has windows, so there that is always the pipe's own.
        let is_pipe = transport.is_pipe();
        while !rest.is_empty() {
            transport.send_rtcp(outbox, |writer| {
                if is_pipe {
                    writer.push_receiver_report(ssrc, []);
                }
                while let Some(((consumer, info), others)) = rest.split_first() {
                    writer.push_sender_report(info, []);
                    let cname = consumers.get(*consumer).map_or("", |consumer| consumer.cname());
                    writer.push_sdes_cname(info.ssrc, cname);
                    rest = others;
                    if writer.len() > COMPOUND_BYTES {
                        break;
                    }
                }
                // The SSRC is one that the receiver knows: the answers follow a report.
                if writer.push_dlrr(ssrc, answers.iter().copied()) {
                    answers.clear();
                }
            })?;
        }
        if answers.is_empty() {
            transport.clocks_mut().clear();
        }
        Ok(())
    }

    /// What a consumer reports of its clocks: which of its RTP times is now (RFC 3550 section 6.4.1). All that one
    /// sender sends goes by that sender's own clock, so that sound and pictures stay together however long each was on
    /// its way.
    fn sender_info(&self, now: Instant, ntp: u64, key: ConsumerKey) -> Option<(ConsumerKey, SenderInfo)> {
        let consumer = self.consumers.get(key).filter(|consumer| consumer.packets_sent() > 0)?;
        let stream = self.streams.get(consumer.last_stream())?;
        let producer = self.producers.get(stream.producer());
        let sender = producer.and_then(|producer| self.transports.get(producer.transport()));
        let theirs = sender.and_then(|sender| sender.clocks().sender().at(ntp));
        let timestamp = stream.reception().timestamp_at(now, theirs, consumer.clock_rate_hz())?;
        Some((key, consumer.sender_info(ntp, timestamp)))
    }

    pub(crate) fn nack_timeout(&mut self, now: Instant, at: Instant, key: StreamKey, outbox: &mut Outbox) {
        if self.streams.get_mut(key).is_some_and(|stream| stream.nack_deadline().fires(at)) {
            self.send_nack(now, key, outbox);
        }
    }

    /// Asks a stream's sender for what is missing and due, and comes back while anything is.
    pub(crate) fn send_nack(&mut self, now: Instant, key: StreamKey, outbox: &mut Outbox) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (Some(ssrc), Some(highest)) = (stream.ssrc(), stream.highest()) else { return };
        let Some(producer) = self.producers.get(stream.producer()).filter(|one| one.takes_nacks() && !one.is_paused())
        else {
            stream.missing().clear();
            return;
        };
        let transport_key = producer.transport();
        let Some(transport) = self.transports.get_mut(transport_key) else { return };
        if !outbox.has_room() {
            // As soon as the outbox has been sent.
            stream.nack_deadline().arm(&mut self.timers, now, Timer::Nack(key));
            return;
        }
        stream.nack(now, highest, &mut self.nack);
        if !self.nack.is_empty() {
            let (from, lost) = (transport.rtcp_ssrc(), self.nack.iter().copied());
            let result = transport.send_rtcp(outbox, |writer| {
                writer.push_nack(from, ssrc, lost);
            });
            match result {
                Ok(()) => {
                    let (kind, trace) = (TraceEventType::Nack, PacketTrace::Nack);
                    traces::tell_of_producer(&mut self.events, producer, kind, trace);
                }
                Err(why) => {
                    transport.discard(why, 1);
                    self.discards.count(why);
                }
            }
        }
        if !stream.missing().is_empty() {
            stream.nack_deadline().arm(&mut self.timers, now + NACK_INTERVAL, Timer::Nack(key));
        }
    }
}
