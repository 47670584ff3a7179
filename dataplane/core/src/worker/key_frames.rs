//! Key frames: who needs one, whether history has it, and when its sender is asked.

use corecast_wire::{PacketTrace, TraceEventType};

use super::{Worker, traces};
use crate::consumer::{Consumer, GopReplay};
use crate::io::{Outbox, Timer};
use crate::key::{ConsumerKey, OfProducer, StreamKey, Table};
use crate::media::{Producer, Stream};
use crate::time::Instant;
use crate::transport::Flow;

impl Worker {
    /// A consumer needs a key frame: the newest one of history if it has none yet and that will do, else the next.
    pub(crate) fn want_key_frame_for(&mut self, now: Instant, key: ConsumerKey, outbox: &mut Outbox) {
        let Some(consumer) = self.consumers.get(key).filter(|one| one.has_key_frames()) else { return };
        let stream = consumer.decoded_stream();
        if self.is_joining(consumer) {
            // It may still be paused until its receiver has set it up.
            let producer = consumer.producer();
            if !self.has_key_frame(now, stream)
                && !self.is_asked(now, stream)
                && self.producers.get_mut(producer).is_some_and(|producer| producer.may_ask_early(now))
            {
                self.want_key_frame(now, stream, outbox);
            }
            return;
        }
        // Where there is no path, it would come in vain; a packet that finds the consumer waiting asks again.
        if consumer.is_paused() || !self.is_connected(consumer) {
            return;
        }
        if self.gop_replay_of(now, key).is_some() {
            self.starting.push(key);
        } else if self.may_cost_key_frame(now, key, stream) {
            self.want_key_frame(now, stream, outbox);
        }
    }

    /// Whether a key frame of a stream may be asked for because a consumer needs it, or its receiver wants it.
    pub(crate) fn may_cost_key_frame(&mut self, now: Instant, key: ConsumerKey, stream_key: StreamKey) -> bool {
        let Self { consumers, streams, producers, .. } = self;
        let (Some(consumer), Some(stream)) = (consumers.get_mut(key), streams.get_mut(stream_key)) else {
            return false;
        };
        may_cost_key_frame(now, consumer, (stream_key, stream), producers)
    }

    /// Whether a key frame has been asked for that may still come.
    fn is_asked(&mut self, now: Instant, stream: StreamKey) -> bool {
        self.streams.get_mut(stream).is_some_and(|stream| stream.key_frames().is_under_way(now))
    }

    /// Whether the receiver is about to connect for the first time. A key frame that is asked for now comes meanwhile,
    /// and history has it for the moment at which there are keys.
    fn is_joining(&self, consumer: &Consumer) -> bool {
        let transport = self.transports.get(consumer.transport());
        transport.is_some_and(|transport| transport.webrtc().is_some() && transport.security().is_none())
    }

    /// Whether history has a key frame with which a receiver may begin.
    fn has_key_frame(&self, now: Instant, stream: StreamKey) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.since_key_frame(now, &self.history).is_some())
    }

    /// What a consumer that has sent nothing yet can begin with, of what came before it did.
    pub(crate) fn gop_replay_of(&self, now: Instant, key: ConsumerKey) -> Option<GopReplay> {
        let consumer = self.consumers.get(key)?;
        let (stream, producer) = (consumer.target(), self.producers.get(consumer.producer())?);
        let begins = consumer.awaits_key_frame_of(stream) && !consumer.has_begun();
        if !begins || producer.is_paused() || !self.is_connected(consumer) {
            return None;
        }
        let packets = self.streams.get(stream)?.since_key_frame(now, &self.history)?;
        Some(GopReplay { stream, packets })
    }

    /// Whether something that is sent to a consumer leaves.
    pub(crate) fn is_connected(&self, consumer: &Consumer) -> bool {
        self.transports.get(consumer.transport()).is_some_and(|transport| transport.path(Flow::Rtp).is_some())
    }

    /// Somebody needs a key frame of a stream.
    pub(crate) fn want_key_frame(&mut self, now: Instant, key: StreamKey, outbox: &mut Outbox) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.key_frames().want();
        }
        self.request_key_frame(now, key, outbox);
    }

    pub(crate) fn key_frame_timeout(&mut self, now: Instant, at: Instant, key: StreamKey, outbox: &mut Outbox) {
        if self.streams.get_mut(key).is_some_and(|stream| stream.key_frame_deadline().fires(at)) {
            self.request_key_frame(now, key, outbox);
        }
    }

    /// Sends the wanted request if it is due, or comes back when it is. One packet asks for all encodings of the
    /// producer for which a request is due, and counts as a request to the others.
    pub(crate) fn request_key_frame(&mut self, now: Instant, key: StreamKey, outbox: &mut Outbox) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(due) = stream.key_frames().due() else { return };
        let Some(producer) = self.producers.get(stream.producer()) else { return };
        let (Some(_), false, Some(fir)) = (stream.ssrc(), producer.is_paused(), producer.takes_fir()) else { return };
        let Some(transport) = self.transports.get_mut(producer.transport()) else { return };
        if transport.path(transport.rtcp_flow()).is_none() {
            return;
        }
        if due > now || !outbox.has_room() {
            // Without room, as soon as the outbox has been sent.
            stream.key_frame_deadline().arm(&mut self.timers, due.max(now), Timer::KeyFrame(key));
            return;
        }
        let mut asked = Vec::with_capacity(producer.streams().len());
        for key in producer.streams() {
            let Some(stream) = self.streams.get_mut(*key) else { continue };
            let is_due = stream.key_frames().due().is_some_and(|due| due <= now);
            asked.extend(stream.ssrc().filter(|_| is_due).map(|ssrc| (*key, ssrc, stream.next_fir())));
        }
        let from = transport.rtcp_ssrc();
        let result = transport.send_rtcp(outbox, |writer| {
            for (_, ssrc, fir_sequence) in &asked {
                if fir {
                    writer.push_fir(from, *ssrc, *fir_sequence);
                } else {
                    writer.push_pli(from, *ssrc);
                }
            }
        });
        if let Err(why) = result {
            transport.discard(why, 1);
            self.discards.count(why);
        }
        for key in producer.streams() {
            let Some(stream) = self.streams.get_mut(*key) else { continue };
            if !asked.iter().any(|(one, ..)| one == key) {
                stream.key_frames().sent_for_another(now);
                continue;
            }
            if result.is_ok() {
                stream.count_key_frame_request(fir);
                let ssrc = stream.ssrc().unwrap_or_default();
                let (kind, trace) = match fir {
                    true => (TraceEventType::Fir, PacketTrace::Fir { ssrc }),
                    false => (TraceEventType::Pli, PacketTrace::Pli { ssrc }),
                };
                traces::tell_of_producer(&mut self.events, producer, kind, trace);
            }
            let mut subscribers = stream.subscribers().iter().filter_map(|(one, _)| self.consumers.get(*one));
            // Not again for who may never connect.
            let is_awaited = subscribers.any(|subscriber| {
                let transport = self.transports.get(subscriber.transport());
                let is_awaited = subscriber.awaits_key_frame_of(*key) && !subscriber.is_on_account();
                is_awaited && transport.is_some_and(|one| one.path(Flow::Rtp).is_some())
            });
            stream.key_frames().sent(now, is_awaited);
            if let Some(at) = stream.key_frames().due() {
                stream.key_frame_deadline().arm(&mut self.timers, at, Timer::KeyFrame(*key));
            }
        }
    }
}

/// Whether a key frame of a stream may be asked for because a consumer needs it, or its receiver wants it: everybody
/// pays for it. One that comes anyway is free, and so is one that the receiver has not brought about. Anything else is
/// granted out of the receiver's ration.
pub(super) fn may_cost_key_frame(
    now: Instant,
    consumer: &mut Consumer,
    (key, stream): (StreamKey, &mut Stream),
    producers: &mut Table<OfProducer, Box<Producer>>,
) -> bool {
    let is_needed = consumer.awaits_key_frame_of(key) && !consumer.is_on_account();
    if is_needed || stream.key_frames().is_under_way(now) {
        return true;
    }
    let producer = producers.get_mut(consumer.producer());
    let is_granted = producer.is_some_and(|of| consumer.feedback_mut().may_cause_key_frame(now, of.key_frames_mut()));
    if is_granted {
        consumer.grant();
    }
    is_granted
}
