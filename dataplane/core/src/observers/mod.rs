//! Observers of sound: how loud producers are (mediasoup's AudioLevelObserver), and who speaks (its
//! ActiveSpeakerObserver). Beside them, who is heard at all where only the loudest are ([`Loudest`]). They see the
//! levels that senders write into header extensions (RFC 6464), and nothing else.
//!
//! Owns what is remembered of the producers that an observer was given. Never knows a packet.

mod audio_level;
mod loudest;
mod speaker;
mod speakers;

use std::collections::BTreeSet;
use std::time::Duration;

use corecast_wire::{RouterId, RtpObserverOptions};

use crate::io::Deadline;
use crate::key::ProducerKey;
use crate::limits::MAX_OBSERVED_PRODUCERS;
use crate::time::Instant;
use audio_level::AudioLevels;
pub(crate) use loudest::{Changes, Loudest};
use speakers::Speakers;

/// What an observer has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The loudest producers, loudest first, with their mean levels in dBov; none when it became silent.
    Levels(Vec<(ProducerKey, i8)>),
    /// Another producer's speaker dominates.
    Dominant(ProducerKey),
}

#[derive(Debug)]
enum Kind {
    Levels(AudioLevels),
    Speakers(Speakers),
}

/// An observer.
#[derive(Debug)]
pub(crate) struct Observer {
    router: RouterId,
    kind: Kind,
    producers: BTreeSet<ProducerKey>,
    interval: Duration,
    paused: bool,
    deadline: Deadline,
}

impl Observer {
    pub(crate) fn new(router: RouterId, options: &RtpObserverOptions) -> Self {
        let (kind, interval_ms, least_ms) = match *options {
            RtpObserverOptions::AudioLevel { max_entries, threshold_dbov, interval_ms } => {
                (Kind::Levels(AudioLevels::new(max_entries.into(), threshold_dbov)), interval_ms, 250)
            }
            RtpObserverOptions::ActiveSpeaker { interval_ms } => {
                (Kind::Speakers(Speakers::default()), interval_ms, 100)
            }
        };
        let interval = Duration::from_millis(interval_ms.clamp(least_ms, 5_000).into());
        let (producers, deadline) = (BTreeSet::new(), Deadline::default());
        Self { router, kind, producers, interval, paused: false, deadline }
    }

    /// The router to which it belongs.
    pub(crate) const fn router(&self) -> RouterId {
        self.router
    }

    /// The producers that it watches.
    pub(crate) const fn producers(&self) -> &BTreeSet<ProducerKey> {
        &self.producers
    }

    /// Time from one look at the levels to the next.
    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next look is due.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Stops or goes on. What it has to say because of that.
    pub(crate) fn set_paused(&mut self, paused: bool) -> Option<Heard> {
        if std::mem::replace(&mut self.paused, paused) == paused || !paused {
            return None;
        }
        match &mut self.kind {
            Kind::Levels(levels) => levels.fall_silent(),
            Kind::Speakers(_) => None,
        }
    }

    /// Watches a producer. False if it watches as many as it may.
    pub(crate) fn add(&mut self, now: Instant, producer: ProducerKey, is_paused: bool) -> bool {
        if self.producers.len() >= MAX_OBSERVED_PRODUCERS {
            return false;
        }
        self.producers.insert(producer);
        match &mut self.kind {
            Kind::Levels(levels) => levels.set_present(producer, !is_paused),
            Kind::Speakers(speakers) => speakers.add(now, producer, is_paused),
        }
        true
    }

    /// Watches a producer no longer. What it has to say because of that.
    pub(crate) fn remove(&mut self, producer: ProducerKey) -> Option<Heard> {
        self.producers.remove(&producer);
        match &mut self.kind {
            Kind::Levels(levels) => {
                levels.set_present(producer, false);
                None
            }
            Kind::Speakers(speakers) => speakers.remove(producer).map(Heard::Dominant),
        }
    }

    /// A producer that it watches was paused or resumed.
    pub(crate) fn set_producer_paused(&mut self, producer: ProducerKey, is_paused: bool) {
        match &mut self.kind {
            Kind::Levels(levels) => levels.set_present(producer, !is_paused),
            Kind::Speakers(speakers) => speakers.set_paused(producer, is_paused),
        }
    }

    /// A packet of a producer has this level, in -dBov (RFC 6464 section 3).
    pub(crate) fn record(&mut self, now: Instant, producer: ProducerKey, level: u8) {
        if self.paused {
            return;
        }
        match &mut self.kind {
            Kind::Levels(levels) => levels.record(producer, level),
            Kind::Speakers(speakers) => speakers.record(now, producer, level),
        }
    }

    /// An interval is over. What is to be told.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Heard> {
        match &mut self.kind {
            Kind::Levels(levels) => levels.look().map(Heard::Levels),
            Kind::Speakers(speakers) => speakers.look(now).map(Heard::Dominant),
        }
    }
}
