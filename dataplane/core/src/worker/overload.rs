//! More to forward than the worker can: what is old is shed, once, when a round begins, and what matters less before
//! what matters more.
//!
//! Each stream has an age at which its media is shed while the worker stays behind: sound the highest, pictures lower,
//! upper layers of pictures the lowest, and of two alike one goes first. So the age of what waits settles where the
//! rest is as much as the worker can forward. A stream that is shed comes back when the worker has caught up; its
//! receivers then begin with a key frame, without a gap in their numbers.

use std::time::Duration;

use corecast_wire::{Discard, MediaKind};

use super::Worker;
use crate::key::StreamKey;
use crate::time::Instant;

/// Among so many streams alike each is shed at another age.
const STEPS: u32 = 8;

/// How far behind the worker is.
#[derive(Debug)]
pub(super) struct Overload {
    /// Age at which media is of no use.
    max_age: Duration,
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
        Self { max_age, packet_interval, since: None, last: Instant::default(), oldest: Duration::ZERO }
    }

    /// Between RTP packets of one transport on average, at least.
    pub(super) const fn packet_interval(&self) -> Duration {
        self.packet_interval
    }

    /// The age at which a stream is shed while the worker stays behind. Well below the limit, since what is in a round
    /// also waits while the round is sent.
    fn patience(&self, kind: MediaKind, layer: u8, step: u32) -> Duration {
        match (kind, layer) {
            (MediaKind::Audio, _) => self.max_age / 8 * 5,
            (MediaKind::Video, 0) => self.max_age / 8 * 3 + self.max_age / (8 * STEPS) * (step % STEPS),
            (MediaKind::Video, layer) => self.max_age / 8 * 3 / (u32::from(layer) + 1),
        }
    }

    /// Whether a stream's part of a round that begins is shed, whose oldest packet is of this age; `is_shed` if the
    /// part before was.
    fn sheds(&mut self, now: Instant, age: Duration, patience: Duration, is_shed: bool) -> bool {
        self.oldest = self.oldest.max(age);
        // The worker has caught up if the last round began long before the oldest packet of this one came.
        let since = self.since.filter(|_| now.since(self.last) <= age.saturating_add(self.max_age / 8));
        let Some(since) = since.filter(|_| age <= self.max_age) else { return age > self.max_age };
        is_shed || age > patience && now.since(since) >= self.max_age
    }

    /// A round begins: all of its streams have been asked for.
    fn begin(&mut self, now: Instant) {
        let waited = std::mem::take(&mut self.oldest) > self.max_age / 8;
        self.last = now;
        self.since = waited.then(|| self.since.unwrap_or(now));
    }
}

impl Worker {
    /// Sheds a stream's part of the round that begins, if the worker is too late for it. True if it does.
    pub(super) fn shed(&mut self, now: Instant, key: StreamKey) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return true };
        let Some(oldest) = stream.round().first() else { return false };
        // What has left history while it waited is as old as can be.
        let age = self.history.current(*oldest).map_or(Duration::MAX, |oldest| now.since(oldest.arrived));
        let was_shed = stream.is_shed();
        if age <= self.overload.max_age / 8 && !was_shed {
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

    /// The round has begun.
    pub(super) fn record_round(&mut self, now: Instant) {
        self.overload.begin(now);
    }
}
