//! RTP out, in rounds.
//!
//! A round is what one batch brought: its fresh streams, and the transports that want them. It goes through the
//! transports one by one and gives each all its packets, of all its consumers, so that those which are equally long
//! leave as one train. When the outbox is full, the round stops and goes on later where it was.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use corecast_wire::{Discard, Discards, Event};

use super::blame::Blame;
use super::key_frames::may_cost_key_frame;
use super::round::{Cursor, Forward};
use super::seal::{Made, Outgoing, Unsealed, seal};
use super::{Worker, traces};
use crate::consumer::{Consumer, Numbered, Stamp, abs_send_time};
use crate::io::Outbox;
use crate::key::{ConsumerKey, OfConsumer, OfProducer, OfStream, StreamKey, Table};
use crate::limits::{MAX_PAD_BYTES, MAX_QUEUED_PACKETS, REPLAY_MIN_BPS, REPLAY_SPAN, REPLAY_SPEED};
use crate::media::{History, Producer, SlotRef, Stream};
use crate::time::Instant;
use crate::transport::{Exit, Queue, Queued, Transport};

impl Worker {
    /// Forwards what the batch brought. Call until it says [`Forward::Done`], sending and clearing the outbox between.
    pub fn forward(&mut self, now: Instant, outbox: &mut Outbox) -> Forward {
        self.blame.rest();
        let forward = self.forward_rounds(now, outbox);
        self.blame.rest();
        self.tell_direct(outbox);
        forward
    }

    fn forward_rounds(&mut self, now: Instant, outbox: &mut Outbox) -> Forward {
        loop {
            if !self.advance_round(now, outbox) {
                return Forward::Full;
            }
            self.end_round(now, outbox);
            while let Some(key) = self.limited.pop() {
                self.drain(now, key, outbox);
            }
            self.release_sound(now);
            if self.fresh.is_empty() && self.starting.is_empty() {
                return self.forward_messages(now, outbox);
            }
            self.begin_round(now, outbox);
        }
    }

    /// Makes the fresh packets a round: settles their lengths, asks for what is missing, lists who wants them.
    pub(super) fn begin_round(&mut self, now: Instant, outbox: &mut Outbox) {
        std::mem::swap(&mut self.fresh, &mut self.round);
        for position in 0..self.round.len() {
            let Some(key) = self.round.get(position).copied() else { continue };
            let Some(stream) = self.streams.get_mut(key) else { continue };
            stream.begin_round();
            self.blame.forward(stream.sender());
            if self.shed(now, key) {
                continue;
            }
            self.record_activity(now, key);
            let Some(stream) = self.streams.get_mut(key) else { continue };
            settle(&mut self.history, stream.round());
            let ask = stream.missing().has_new();
            if let Some(producer) = self.producers.get(stream.producer()) {
                if let Some(why) = producer.withheld() {
                    self.discards.add(why, stream.round().len() as u64);
                    stream.end_round();
                }
                for (consumer, transport) in stream.subscribers() {
                    let Some(place) = self.transports.get_mut(*transport) else { continue };
                    if place.add_pending(*consumer, key) {
                        self.round_transports.push(*transport);
                    }
                }
            }
            if ask {
                self.send_nack(now, key, outbox);
            }
        }
        self.settle_sound();
        self.record_round(now);
        self.start_consumers(now, outbox);
    }

    /// Starts new consumers from the newest key frame in history if it is recent enough, so that a join does not cost
    /// every viewer a key frame. All rounds before are over, so the padding of their packets is decided.
    fn start_consumers(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some(key) = self.starting.pop() {
            let Some(gop_replay) = self.gop_replay_of(now, key) else { continue };
            let Some(consumer) = self.consumers.get_mut(key) else { continue };
            let Some(transport) = self.transports.get_mut(consumer.transport()) else { continue };
            // Half of the queue is left for what comes meanwhile.
            let packets = gop_replay.packets.end.saturating_sub(gop_replay.packets.start);
            let room = transport.queue().map_or(MAX_QUEUED_PACKETS, |queue| queue.room());
            if packets > room.saturating_sub(MAX_QUEUED_PACKETS / 2) as u64 {
                self.want_key_frame(now, gop_replay.stream, outbox);
                continue;
            }
            let is_pending = transport.pending().contains(&(key, gop_replay.stream));
            if !is_pending && transport.add_pending(key, gop_replay.stream) {
                self.round_transports.push(consumer.transport());
            }
            let stream = self.streams.get(gop_replay.stream);
            let rate_bps = stream.map_or(0, |stream| replay_rate(now, stream, &self.history, &gop_replay.packets));
            transport.limit(now, rate_bps);
            self.limited.push(consumer.transport());
            consumer.start_replay(gop_replay);
        }
    }

    /// Goes on with the round. False if the outbox is full.
    pub(super) fn advance_round(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        let abs_send_time = abs_send_time(self.config.unix_time_ns, now);
        let Self {
            round_transports,
            transports,
            producers,
            consumers,
            streams,
            history,
            discards,
            events,
            blame,
            cursor,
            limited,
            ..
        } = self;
        let mut round = Round { producers, consumers, streams, history, discards, events, blame, now, abs_send_time };
        while let Some(key) = round_transports.get(cursor.transport) {
            if let Some(transport) = transports.get_mut(*key) {
                if !round.advance(transport, outbox, cursor) {
                    return false;
                }
                transport.clear_pending();
                // What waits is sent from now on when its turn comes.
                if transport.queue().is_some_and(|queue| !queue.is_empty()) {
                    limited.push(*key);
                }
            }
            *cursor = Cursor { transport: cursor.transport + 1, ..Cursor::default() };
        }
        true
    }

    /// Clears the round, and asks for the key frames that it was found to need.
    fn end_round(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some(key) = self.round.pop() {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.end_round();
            }
            self.request_key_frame(now, key, outbox);
        }
        self.round_transports.clear();
        self.cursor = Cursor::default();
    }
}

/// What a round takes packets from, and what they leave with.
struct Round<'a> {
    producers: &'a mut Table<OfProducer, Box<Producer>>,
    consumers: &'a mut Table<OfConsumer, Consumer>,
    streams: &'a mut Table<OfStream, Box<Stream>>,
    history: &'a mut History,
    discards: &'a mut Discards,
    events: &'a mut VecDeque<Event>,
    blame: &'a mut Blame,
    now: Instant,
    abs_send_time: [u8; 3],
}

impl Round<'_> {
    /// Everything that a transport's consumers want of the round. False if the outbox is full.
    fn advance(&mut self, transport: &mut Transport, outbox: &mut Outbox, cursor: &mut Cursor) -> bool {
        let Self { producers, consumers, streams, history, discards, events, blame, now, abs_send_time } = self;
        let (now, abs_send_time) = (*now, *abs_send_time);
        let (pending, queue, exit) = transport.departure();
        let mut departure = Departure { exit, queue, now, abs_send_time, producers, history, discards, events, outbox };
        let mut done = true;
        while let (true, Some((consumer_key, key))) = (done, pending.get(cursor.pending).copied()) {
            // The consumer may have gone since the round began, or switched.
            let consumer = consumers.get_mut(consumer_key).filter(|consumer| consumer.takes(key));
            let ending = consumer.as_ref().and_then(|consumer| match streams.get(consumer.leaves_for(key)?) {
                Some(last) if last.highest().is_some() => Some(consumer.ending(last)),
                _ => consumer.parting(),
            });
            if let (Some(consumer), Some(stream)) = (consumer, streams.get_mut(key)) {
                if let Some(ending) = ending {
                    consumer.align(&ending, &stream.reception());
                }
                blame.forward(stream.sender());
                let before = consumer.segment();
                done = departure.serve((consumer_key, consumer), (key, stream), cursor);
                if consumer.segment() != before {
                    stream.set_switched();
                }
            }
            if done {
                cursor.pending += 1;
                cursor.packet = 0;
            }
        }
        done
    }
}

/// How the packets of a transport leave.
pub(super) struct Departure<'a> {
    pub(super) exit: Option<Exit<'a>>,
    pub(super) queue: Option<&'a mut Queue>,
    pub(super) now: Instant,
    pub(super) abs_send_time: [u8; 3],
    pub(super) producers: &'a mut Table<OfProducer, Box<Producer>>,
    pub(super) history: &'a mut History,
    pub(super) discards: &'a mut Discards,
    pub(super) events: &'a mut VecDeque<Event>,
    pub(super) outbox: &'a mut Outbox,
}

impl Departure<'_> {
    /// A consumer's packets of the round. False if the outbox is full.
    fn serve(
        &mut self,
        (consumer_key, consumer): (ConsumerKey, &mut Consumer),
        (key, stream): (StreamKey, &mut Stream),
        cursor: &mut Cursor,
    ) -> bool {
        while consumer.is_replaying() {
            let Some(sequence) = consumer.next_to_replay(key) else { break };
            if let Some(slot) = stream.past(self.history, sequence)
                && !self.send((consumer_key, consumer), (key, stream), slot)
            {
                return false;
            }
            consumer.replayed();
        }
        while let Some(slot) = stream.round().get(cursor.packet).copied() {
            if !self.send((consumer_key, consumer), (key, stream), slot) {
                return false;
            }
            cursor.packet += 1;
        }
        true
    }

    /// One packet to one consumer, unless it is withheld or has to wait. False if the outbox is full: call again when
    /// it is not.
    fn send(
        &mut self,
        (consumer_key, consumer): (ConsumerKey, &mut Consumer),
        (key, stream): (StreamKey, &mut Stream),
        slot: SlotRef,
    ) -> bool {
        // Before it has a number: much may change until there is room.
        if !self.outbox.has_room() {
            return false;
        }
        // Most packets only go on with what their consumer is sent.
        let packet = self.history.current(slot).filter(|_| self.exit.is_some() && !self.has_to_wait(consumer));
        let numbered = packet.and_then(|packet| consumer.go_on(key, &packet));
        let sent = match numbered {
            Some(numbered) => self.leave(consumer, stream, slot, numbered),
            None => self.decide((consumer_key, consumer), (key, stream), slot),
        };
        match sent {
            Ok(()) => true,
            Err(Unsealed::Full) => false,
            Err(Unsealed::Discarded(why)) => {
                self.withhold(consumer, (key, stream), why);
                true
            }
        }
    }

    /// The same for a packet that begins something, is late or filtered, has to wait or does not leave.
    #[inline(never)]
    fn decide(
        &mut self,
        (consumer_key, consumer): (ConsumerKey, &mut Consumer),
        (key, stream): (StreamKey, &mut Stream),
        slot: SlotRef,
    ) -> Result<(), Unsealed> {
        let numbered = self.number(consumer, (key, stream), slot).map_err(Unsealed::Discarded)?;
        if consumer.must_wait() || self.has_to_wait(consumer) {
            self.wait((consumer_key, consumer), slot, numbered)
        } else {
            self.leave(consumer, stream, slot, numbered)
        }
    }

    /// A packet leaves, with what those before it had if its receiver loses much sound.
    #[inline]
    fn leave(
        &mut self,
        consumer: &mut Consumer,
        stream: &Stream,
        slot: SlotRef,
        numbered: Numbered,
    ) -> Result<(), Unsealed> {
        match consumer.redundant_blocks() {
            0 => self.seal(consumer, slot, numbered),
            _ => self.seal_redundant(consumer, stream, slot, numbered),
        }
    }

    /// Whether pictures are paced, and those of before have used up what may leave. Sound passes them.
    #[inline]
    fn has_to_wait(&self, consumer: &Consumer) -> bool {
        self.queue.as_ref().is_some_and(|queue| consumer.has_key_frames() && queue.is_busy(self.now))
    }

    /// A packet that has its number waits for its turn.
    fn wait(
        &mut self,
        (key, consumer): (ConsumerKey, &mut Consumer),
        slot: SlotRef,
        numbered: Numbered,
    ) -> Result<(), Unsealed> {
        let Some(queue) = &mut self.queue else { return self.seal(consumer, slot, numbered) };
        let interruptions = consumer.interruptions();
        if !queue.push(Queued { consumer: key, interruptions, slot, numbered, since: self.now }) {
            return Err(Unsealed::Discarded(Discard::WaitedTooLong));
        }
        consumer.queued();
        Ok(())
    }

    /// A packet does not leave: counted, and its stream asked for a key frame if that is what the receiver lacks, and
    /// may cost.
    #[cold]
    fn withhold(&mut self, consumer: &mut Consumer, (key, stream): (StreamKey, &mut Stream), why: Discard) {
        consumer.discard(why, 1);
        self.discards.count(why);
        if why == Discard::WaitedTooLong {
            consumer.interrupt();
        }
        let lacks_key_frame = matches!(why, Discard::WaitingForKeyFrame | Discard::WaitedTooLong);
        if lacks_key_frame && may_cost_key_frame(self.now, consumer, (key, stream), self.producers) {
            stream.key_frames().want();
        }
    }

    /// Decides what the receiver gets of a packet.
    fn number(
        &self,
        consumer: &mut Consumer,
        (key, stream): (StreamKey, &mut Stream),
        slot: SlotRef,
    ) -> Result<Numbered, Discard> {
        if consumer.is_paused() {
            return Err(Discard::ConsumerPaused);
        }
        if self.exit.is_none() {
            return Err(Discard::NotConnected);
        }
        let meta = self.history.current(slot).ok_or(Discard::LeftHistory)?;
        if consumer.needs_alignment(key) {
            consumer.record_picture(meta.frame.picture_ids(self.history.sealable(slot.index, false)));
        }
        consumer.rewrite((key, stream), self.history, &meta)
    }

    /// Bytes of a packet's payload.
    pub(super) fn payload_len(&self, slot: SlotRef) -> usize {
        usize::from(self.history.meta(slot.index).payload_len)
    }

    /// Counts packets that do not leave.
    pub(super) fn discard(&mut self, why: Discard, packets: u64) {
        self.discards.add(why, packets);
    }

    /// Stamps and seals a packet into the outbox.
    #[inline]
    pub(super) fn seal(&mut self, consumer: &mut Consumer, slot: SlotRef, numbered: Numbered) -> Result<(), Unsealed> {
        self.seal_as(consumer, slot, numbered, None)
    }

    /// The same, as redundant sound that was made of it if there is any.
    #[inline]
    pub(super) fn seal_as(
        &mut self,
        consumer: &mut Consumer,
        slot: SlotRef,
        numbered: Numbered,
        made: Option<Made>,
    ) -> Result<(), Unsealed> {
        let exit = self.exit.as_mut().ok_or(Unsealed::Discarded(Discard::NotConnected))?;
        let meta = self.history.current(slot).ok_or(Unsealed::Discarded(Discard::LeftHistory))?;
        let stamp = Stamp { abs_send_time: self.abs_send_time, transport_cc: exit.next_transport_cc() };
        let mut outgoing = Outgoing::of(consumer, stamp, (self.history, slot.index, &meta), numbered);
        if let Some(made) = made {
            outgoing = outgoing.redundant(made);
        }
        seal(self.history, slot.index, exit, &outgoing, self.outbox)?;
        if exit.is_traced() {
            traces::sent(self.events, consumer, &outgoing, &meta, exit.last_len());
        }
        if consumer.extensions().is_reported() {
            exit.numbered(self.now, consumer.extensions().name_of(outgoing.ssrc, outgoing.index));
        }
        let payload_bytes = outgoing.payload_len(&meta);
        consumer.count_sent(payload_bytes, exit.last_rtp_len().saturating_sub(payload_bytes));
        if let Some(queue) = self.queue.as_mut().filter(|_| consumer.has_key_frames()) {
            queue.passed(self.now, usize::from(meta.payload_len));
        }
        Ok(())
    }
}

/// Bits per second at which packets of history leave: some times faster than they came, so that a receiver soon gets
/// what comes now, without a burst that its path would have to hold.
fn replay_rate(now: Instant, stream: &Stream, history: &History, packets: &Range<u64>) -> u64 {
    let slots = || packets.clone().filter_map(|sequence| stream.slot(history, sequence)).map(|slot| history.meta(slot));
    let bytes: u64 = slots().map(|packet| u64::from(packet.payload_len)).sum();
    let span = slots().next().map_or(Duration::ZERO, |first| now.since(first.arrived)).max(REPLAY_SPAN);
    let came_bps = bytes * 8_000 / u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    (came_bps * REPLAY_SPEED).max(REPLAY_MIN_BPS)
}

/// Evens out the lengths of neighbouring packets by padding, so that they can leave as one train. The last packet may
/// be shorter as it is. Packets count, not payloads: libwebrtc shortens the payload where an extension is longer.
pub(super) fn settle(history: &mut History, round: &[SlotRef]) {
    let len = |history: &History, slot: &SlotRef| history.meta(slot.index).variable_len();
    let mut rest = round;
    while let Some(first) = rest.first() {
        let (mut shortest, mut longest) = (len(history, first), len(history, first));
        let alike = rest
            .iter()
            .take_while(|slot| {
                let len = len(history, slot);
                let fits = longest.max(len) - shortest.min(len) <= MAX_PAD_BYTES;
                if fits {
                    (shortest, longest) = (shortest.min(len), longest.max(len));
                }
                fits
            })
            .count();
        let (group, others) = rest.split_at(alike);
        for (position, slot) in group.iter().enumerate() {
            let may_be_shorter = position + 1 == group.len();
            let pad = if may_be_shorter { 0 } else { longest - len(history, slot) };
            history.settle(slot.index, u8::try_from(pad).unwrap_or(0));
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::PacketMeta;
    use crate::memory::MemorySource;

    fn pads(lens: &[u16]) -> Vec<u8> {
        let mut history = History::new(lens.len(), MemorySource::default());
        let slots: Vec<SlotRef> = lens
            .iter()
            .map(|len| {
                let index = history.allocate().expect("a few slots");
                *history.meta_mut(index).expect("allocated") =
                    PacketMeta { payload_len: *len, ..PacketMeta::default() };
                history.reference(index)
            })
            .collect();
        settle(&mut history, &slots);
        slots.iter().map(|slot| history.meta(slot.index).pad()).collect()
    }

    #[test]
    fn lengths_a_byte_apart_are_evened_out() {
        assert_eq!(pads(&[1_099, 1_099, 1_100, 1_100]), [1, 1, 0, 0]);
        assert_eq!(pads(&[1_100, 1_099, 1_100]), [0, 1, 0]);
    }

    #[test]
    fn a_short_last_packet_and_single_packets_stay_as_they_are() {
        assert_eq!(pads(&[1_200, 1_200, 300]), [0, 0, 0]);
        assert_eq!(pads(&[120]), [0]);
        assert_eq!(pads(&[1_200, 1_199]), [0, 0]);
    }

    #[test]
    fn frames_of_different_size_do_not_mix() {
        assert_eq!(pads(&[1_000, 1_001, 1_100, 1_101, 1_101]), [1, 0, 1, 0, 0]);
    }
}
