//! More to forward than the worker can: what is old is shed, once, when a round begins, and what matters less before
//! what matters more.
//!
//! Each stream has an age at which its media is shed while the worker stays behind: sound the highest, pictures lower,
//! upper layers of pictures the lowest, and of two alike one goes first. So the age of what waits settles where the
//! rest is as much as the worker can forward. A stream that is shed comes back when that age has fallen well below its
//! own: one after the other, so that the worker is never without work while their receivers wait for key frames, with
//! which they begin, without a gap in their numbers.

use std::time::Duration;

use corecast_wire::{Discard, MediaKind};

use super::Worker;
use crate::key::StreamKey;
use crate::media::SlotRef;
use crate::time::Instant;

/// Among so many streams alike each is shed at another age.
const STEPS: u32 = 8;

/// How far behind the worker is.
#[derive(Debug)]
pub(super) struct Overload {
    /// Age at which media is of no use.
    max_age: Duration,
    /// What the ages at which streams are shed are parts of: the same, or what history and the kernel's buffers hold if
    /// that is less, for the rest is lost there, of whatever stream it is.
    span: Duration,
    /// Between RTP packets of one transport on average.
    packet_interval: Duration,
    /// Since when all rounds have begun with something that had waited.
    since: Option<Instant>,
    /// When the last round began.
    last: Instant,
    /// Age of the oldest packet of the round that begins, as far as it is known.
    oldest: Duration,
}

impl Overload {
    pub(super) fn new(max_age: Duration, max_packets_per_s: u32) -> Self {
        let packet_interval = Duration::from_secs(1) / max_packets_per_s.max(1);
        Self { max_age, span: max_age, packet_interval, since: None, last: Instant::default(), oldest: Duration::ZERO }
    }

    /// Between RTP packets of one transport on average, at least.
    pub(super) const fn packet_interval(&self) -> Duration {
        self.packet_interval
    }

    /// The age at which a stream is shed while the worker stays behind. Well below the limit, since what is in a round
    /// also waits while the round is sent.
    fn patience(&self, kind: MediaKind, layer: u8, step: u32) -> Duration {
        match (kind, layer) {
            (MediaKind::Audio, _) => self.span / 8 * 5,
            (MediaKind::Video, 0) => self.span / 8 * 3 + self.span / (8 * STEPS) * (step % STEPS),
            (MediaKind::Video, layer) => self.span / 8 * 3 / (u32::from(layer) + 1),
        }
    }

    /// Whether a stream's part of a round that begins is shed, whose oldest packet is of this age; `is_shed` if the
    /// part before was.
    fn sheds(&mut self, now: Instant, age: Duration, patience: Duration, is_shed: bool) -> bool {
        self.oldest = self.oldest.max(age);
        // The worker has caught up if the last round began long before the oldest packet of this one came.
        let since = self.since.filter(|_| now.since(self.last) <= age.saturating_add(self.slack()));
        let Some(since) = since.filter(|_| age <= self.max_age) else { return age > self.max_age };
        if is_shed {
            age > patience.saturating_sub(self.slack())
        } else {
            age > patience && now.since(since) >= self.max_age
        }
    }

    /// A round begins: all of its streams have been asked for.
    fn begin(&mut self, now: Instant) {
        let waited = std::mem::take(&mut self.oldest) > self.slack();
        self.last = now;
        self.since = waited.then(|| self.since.unwrap_or(now));
        if !waited {
            self.span = self.max_age;
        }
    }

    /// What waited no longer than this did not wait.
    fn slack(&self) -> Duration {
        self.span / 8
    }

    /// Packets were lost because what was there to hold them was full, with what had waited for so long.
    fn overflowed(&mut self, waited: Duration) {
        self.span = self.span.min(waited / 2 * 3).max(self.max_age / 4);
    }
}

impl Worker {
    /// Sheds a stream's part of the round that begins, if the worker is too late for it. True if it does.
    pub(super) fn shed(&mut self, now: Instant, key: StreamKey) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return true };
        let Some(oldest) = stream.round().first() else { return false };
        let age = |slot: &SlotRef| self.history.current(*slot).map(|packet| now.since(packet.arrived));
        // What has left history while it waited is as old as can be.
        let (age, held) = match age(oldest) {
            Some(age) => (age, None),
            None => (Duration::MAX, Some(stream.round().iter().find_map(age).unwrap_or_default())),
        };
        if let Some(held) = held {
            self.overload.overflowed(held);
        }
        let was_shed = stream.is_shed();
        if age <= self.overload.slack() && !was_shed {
            return false;
        }
        let Some(producer) = self.producers.get(stream.producer()) else { return false };
        let layer = producer.layer_of(key).unwrap_or_default();
        let patience = self.overload.patience(producer.kind(), layer, key.index());
        let is_shed = self.overload.sheds(now, age, patience, was_shed);
        stream.set_shed(is_shed);
        if is_shed {
            self.discards.add(Discard::Stale, stream.round().len() as u64);
            stream.shed_round();
        }
        if is_shed && !was_shed {
            self.resynchronise_takers(key);
        }
        is_shed
    }

    /// Who is sent a stream begins again: with its next key frame, if there are any.
    pub(super) fn resynchronise_takers(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key) else { return };
        for (subscriber, _) in stream.subscribers() {
            let subscriber = self.consumers.get_mut(*subscriber);
            if let Some(subscriber) = subscriber.filter(|subscriber| subscriber.current() == Some(key)) {
                subscriber.resynchronise();
            }
        }
    }

    /// The kernel has lost datagrams, since its buffers were full; what it hands out has waited for so long.
    pub fn receive_overflowed(&mut self, waited: Duration) {
        self.overload.overflowed(waited);
    }

    /// The round has begun.
    pub(super) fn record_round(&mut self, now: Instant) {
        self.overload.begin(now);
    }
}
