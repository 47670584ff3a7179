//! Routers of which only the loudest producers are heard: the command, levels, and what changes for consumers.
//!
//! A producer that is withheld is withheld from all, as one that is paused is: no packet of it costs a consumer
//! anything. When it is heard again, each of its consumers begins a segment with the next number.

use corecast_wire::{Discard, MediaKind, RouterId};

use super::Worker;
use super::refused::{Applied, not_found};
use crate::io::Timer;
use crate::key::ProducerKey;
use crate::observers::{Changes, Loudest};
use crate::time::Instant;

impl Worker {
    /// From now on so many producers of a router's sound are heard; 0 for all.
    pub(super) fn set_loudest(&mut self, now: Instant, router: RouterId, max: u16) -> Applied {
        let transports = self.routers.get(&router).ok_or_else(|| not_found("router", router.0))?;
        if max == 0 {
            self.forget_loudest(router);
            return Ok(());
        }
        if let Some(loudest) = self.loudest.get_mut(&router) {
            loudest.set_max(max.into());
            let changes = loudest.choose(now);
            self.apply_loudest(&changes);
            return Ok(());
        }
        let on = transports.iter().filter_map(|key| self.transports.get(*key));
        let producers: Vec<_> = on.flat_map(|transport| transport.producers().iter().copied()).collect();
        let mut loudest = Loudest::new(max.into());
        let due = now + loudest.interval();
        loudest.deadline().arm(&mut self.timers, due, Timer::Loudest(router));
        self.loudest.insert(router, loudest);
        producers.into_iter().for_each(|key| self.rank_producer(key));
        Ok(())
    }

    /// All producers of a router are heard.
    pub(super) fn forget_loudest(&mut self, router: RouterId) {
        let Some(loudest) = self.loudest.remove(&router) else { return };
        for key in loudest.producers() {
            self.set_withheld(key, false);
            if let Some(producer) = self.producers.get_mut(key) {
                producer.set_ranked(false);
            }
        }
    }

    /// A producer is one of those of which the loudest are heard, if it is sound with levels on such a router.
    pub(super) fn rank_producer(&mut self, key: ProducerKey) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        let router = self.transports.get(producer.transport()).map(|transport| transport.router());
        let loudest = router.and_then(|router| self.loudest.get_mut(&router));
        let writes_levels = producer.kind() == MediaKind::Audio && producer.ids().audio_level != 0;
        if let Some(loudest) = loudest.filter(|_| writes_levels) {
            loudest.add(key, producer.is_paused());
            producer.set_ranked(true);
        }
    }

    /// A packet of such a producer has this level, in -dBov. If that takes somebody's place, this packet is the first
    /// that is heard.
    pub(super) fn rank_level(&mut self, now: Instant, key: ProducerKey, level: u8) {
        let Some(loudest) = self.loudest_of(key) else { return };
        if loudest.record(now, key, level) {
            let changes = loudest.choose(now);
            self.apply_loudest(&changes);
        }
    }

    /// Such a producer was paused or resumed.
    pub(super) fn rank_pause(&mut self, key: ProducerKey, is_paused: bool) {
        if let Some(loudest) = self.loudest_of(key) {
            loudest.set_paused(key, is_paused);
        }
    }

    fn loudest_of(&mut self, key: ProducerKey) -> Option<&mut Loudest> {
        let transport = self.producers.get(key)?.transport();
        let router = self.transports.get(transport)?.router();
        self.loudest.get_mut(&router)
    }

    pub(super) fn loudest_timeout(&mut self, now: Instant, at: Instant, router: RouterId) {
        let Some(loudest) = self.loudest.get_mut(&router) else { return };
        if !loudest.deadline().fires(at) {
            return;
        }
        let changes = loudest.look(now, |key| self.producers.get(key).is_some());
        let due = now + loudest.interval();
        loudest.deadline().arm(&mut self.timers, due, Timer::Loudest(router));
        self.apply_loudest(&changes);
    }

    fn apply_loudest(&mut self, changes: &Changes) {
        changes.iter().for_each(|(key, is_withheld)| self.set_withheld(*key, *is_withheld));
    }

    fn set_withheld(&mut self, key: ProducerKey, is_withheld: bool) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        if !producer.set_withheld(is_withheld) {
            return;
        }
        if is_withheld {
            // What a round has not sent yet no longer leaves.
            for stream in producer.streams() {
                if let Some(stream) = self.streams.get_mut(*stream) {
                    self.discards.add(Discard::NotAmongLoudest, stream.round().len() as u64);
                    stream.end_round();
                }
            }
            return;
        }
        for consumer in producer.consumers() {
            if let Some(consumer) = self.consumers.get_mut(*consumer) {
                consumer.resynchronise();
            }
        }
    }
}
