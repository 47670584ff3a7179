//! Tells control which encodings of a producer no consumer takes, so that their sender can leave them out, and when one
//! is wanted again: with the tick of the layers, when a consumer comes or goes on, and when it prefers another layer.
//!
//! The lowest encoding that is sent is always wanted: by it a publisher is seen to be there. A consumer takes what it
//! is sent or waits for. It wants the best that it prefers among those that were left out and are above what it is
//! sent, if its path has room for as much as that took when it was sent; the path is probed for so much. What no sender
//! left out is not missed.

use corecast_wire::{Event, MAX_ENCODINGS};

use super::Worker;
use crate::consumer::Consumer;
use crate::key::{ConsumerKey, ProducerKey};
use crate::media::{Layers, Producer, Seen, bit};
use crate::time::Instant;

/// A path has room for an encoding if it would carry so many percent of it.
const ROOM_PERCENT: u64 = 115;

impl Worker {
    /// Looks at which encodings of a producer are taken, and tells control of changes.
    pub(super) fn look_at_wanted(&mut self, now: Instant, key: ProducerKey) {
        let layers = self.layers(now, key);
        let Self { producers, streams, consumers, .. } = self;
        let Some(producer) = producers.get_mut(key).filter(|producer| producer.streams().len() > 1) else { return };
        let lowest = (0..8).find(|layer| layers.is_active(*layer) && !producer.is_paused());
        let Some(lowest) = lowest else {
            producer.wanted_mut().rest();
            return;
        };
        let all = producer.consumers().iter().filter_map(|key| consumers.get(*key));
        let taken = all.fold(0, |bits, consumer| bits | taken_by(consumer, producer, layers));
        let mut seen = [Seen::default(); MAX_ENCODINGS];
        for (encoding, (stream, seen)) in (0_u8..).zip(producer.streams().iter().zip(&mut seen)) {
            let layer = producer.layer_of(*stream);
            seen.is_active = layer.is_some_and(|layer| layers.is_active(layer));
            seen.is_taken = layer == Some(lowest) || taken & bit(encoding) != 0;
            seen.needed_bps = streams.get_mut(*stream).and_then(|stream| stream.rate(now)?.needed_bps());
        }
        let count = producer.streams().len();
        if producer.wanted_mut().update(now, seen.get(..count).unwrap_or(&seen)) {
            let unwanted = producer.wanted().unwanted();
            let encodings = (0..8).filter(|encoding| unwanted & bit(*encoding) != 0).collect();
            let producer = producer.id();
            self.push_event(Event::ProducerLayersUnwanted { producer, encodings });
        }
    }

    /// A consumer goes on, or prefers another layer: what it wants is wanted, though nobody took it before.
    pub(super) fn want_again(&mut self, now: Instant, key: ConsumerKey) {
        let Some(of) = self.consumers.get(key).map(|consumer| consumer.producer()) else { return };
        let unwanted = self.producers.get(of).map_or(0, |producer| producer.wanted().unwanted());
        if unwanted == 0 {
            return;
        }
        let layers = self.layers(now, of);
        let (Some(consumer), Some(producer)) = (self.consumers.get(key), self.producers.get(of)) else { return };
        if taken_by(consumer, producer, layers) & unwanted != 0 {
            self.look_at_wanted(now, of);
        }
    }
}

/// Encodings that a consumer is sent or waits for, and the one that it would be sent if its sender had not left it out;
/// bit n is that of encoding n.
fn taken_by(consumer: &Consumer, producer: &Producer, layers: Layers) -> u8 {
    if consumer.is_pause_asked() || consumer.is_suspended() {
        return 0;
    }
    let streams = (0_u8..).zip(producer.streams()).filter(|(_, stream)| consumer.takes(**stream));
    let taken = streams.fold(0, |bits, (encoding, _)| bits | bit(encoding));
    taken | missed(consumer, producer, layers).map_or(0, bit)
}

/// The encoding that a consumer would be sent if its sender had not left it out.
fn missed(consumer: &Consumer, producer: &Producer, layers: Layers) -> Option<u8> {
    if consumer.is_pinned() {
        return None;
    }
    let has_room =
        |needed_bps: u64| consumer.usable_bps().is_none_or(|usable_bps| usable_bps >= needed_bps / 100 * ROOM_PERCENT);
    let preferred = consumer.preferred_layer();
    let is_sent = |layer: &u8| layers.is_active(*layer);
    let best_sent = || (0..=preferred.min(7)).rev().find(is_sent);
    let own = producer.layer_of(consumer.target()).filter(is_sent).or_else(best_sent);
    let mut above = producer.left_out(preferred, layers).filter(|missing| own.is_none_or(|own| missing.layer > own));
    above.find(|missing| has_room(missing.needed_bps)).map(|missing| missing.encoding)
}

/// An encoding that is unwanted and not sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftOut {
    encoding: u8,
    layer: u8,
    /// Bits per second that it took when it was sent.
    pub(super) needed_bps: u64,
}

impl Producer {
    /// Encodings that are unwanted and not sent, of layers up to this one. The best first.
    pub(super) fn left_out(&self, preferred: u8, layers: Layers) -> impl Iterator<Item = LeftOut> {
        let ranked = self.by_quality().iter().enumerate().rev();
        let ranked = ranked.map(|(layer, stream)| (u8::try_from(layer).unwrap_or(u8::MAX), stream));
        let missing = ranked.filter(move |(layer, _)| *layer <= preferred && !layers.is_active(*layer));
        missing.filter_map(|(layer, stream)| {
            let encoding = self.encoding_of(*stream)?;
            Some(LeftOut { encoding, layer, needed_bps: self.wanted().unwanted_bps(encoding)? })
        })
    }
}
