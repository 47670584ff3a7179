//! Observers of sound: commands, what producers' packets say of their level, and what is told.

use corecast_wire::{
    Command, CommandError, Event, MediaKind, ProducerId, RouterId, RtpObserverId, RtpObserverOptions, Volume,
};

use super::Worker;
use super::refused::{Applied, exists, invalid, limit, not_found};
use crate::io::Timer;
use crate::key::ProducerKey;
use crate::limits::{MAX_OBSERVED_PRODUCERS, MAX_OBSERVERS, MAX_OBSERVERS_PER_PRODUCER};
use crate::observers::{Heard, Observer};
use crate::time::Instant;

impl Worker {
    /// Applies a command that is about who is heard, and what is told of it; nothing if it is another.
    pub(super) fn sound_command(&mut self, now: Instant, command: &Command) -> Option<Applied> {
        Some(match command {
            Command::CreateRtpObserver { router, observer, options } => {
                self.create_observer(now, *router, *observer, options)
            }
            Command::CloseRtpObserver { observer } => self.close_observer(*observer),
            Command::PauseRtpObserver { observer, paused } => self.pause_observer(now, *observer, *paused),
            Command::ObserveProducer { observer, producer, observed } => {
                self.observe_producer(now, *observer, *producer, *observed)
            }
            Command::SetLoudest { router, speakers } => self.set_loudest(now, *router, *speakers),
            _ => return None,
        })
    }

    fn create_observer(
        &mut self,
        now: Instant,
        router: RouterId,
        id: RtpObserverId,
        options: &RtpObserverOptions,
    ) -> Applied {
        if self.observers.contains_key(&id) {
            return Err(exists("rtpObserver", id.0));
        }
        if !self.routers.contains_key(&router) {
            return Err(not_found("router", router.0));
        }
        limit(self.observers.len(), MAX_OBSERVERS, "RTP observers on a worker")?;
        if matches!(options, RtpObserverOptions::AudioLevel { threshold_dbov, .. } if *threshold_dbov > 0) {
            return Err(invalid("threshold", "must not be above 0"));
        }
        let mut observer = Observer::new(router, options);
        let due = now + observer.interval();
        observer.deadline().arm(&mut self.timers, due, Timer::Observer(id));
        self.observers.insert(id, observer);
        Ok(())
    }

    fn close_observer(&mut self, id: RtpObserverId) -> Applied {
        let observer = self.observers.remove(&id).ok_or_else(|| not_found("rtpObserver", id.0))?;
        for key in observer.producers() {
            if let Some(producer) = self.producers.get_mut(*key) {
                producer.observers_mut().retain(|observer| *observer != id);
            }
        }
        Ok(())
    }

    /// A router closes: its observers with it.
    pub(super) fn close_observers_of(&mut self, router: RouterId) {
        self.observers.retain(|_, observer| observer.router() != router);
    }

    fn pause_observer(&mut self, now: Instant, id: RtpObserverId, paused: bool) -> Applied {
        let observer = self.observers.get_mut(&id).ok_or_else(|| not_found("rtpObserver", id.0))?;
        let heard = observer.set_paused(paused);
        let due = (!paused).then(|| now + observer.interval());
        observer.deadline().set(&mut self.timers, due, Timer::Observer(id));
        self.tell_heard(id, heard);
        Ok(())
    }

    fn observe_producer(
        &mut self,
        now: Instant,
        id: RtpObserverId,
        producer: ProducerId,
        is_observed: bool,
    ) -> Applied {
        let missing = || not_found("producer", producer.0);
        let key = self.producer_by_id.get(&producer).copied().ok_or_else(missing)?;
        let observer = self.observers.get_mut(&id).ok_or_else(|| not_found("rtpObserver", id.0))?;
        let source = self.producers.get_mut(key).ok_or_else(missing)?;
        if !is_observed {
            source.observers_mut().retain(|observer| *observer != id);
            let heard = observer.remove(key);
            self.tell_heard(id, heard);
            return Ok(());
        }
        if source.kind() != MediaKind::Audio {
            return Err(invalid("producerId", "not an audio Producer"));
        }
        if self.transports.get(source.transport()).map(|transport| transport.router()) != Some(observer.router()) {
            return Err(invalid("producerId", "belongs to another router"));
        }
        if source.observers().contains(&id) {
            return Ok(());
        }
        limit(source.observers().len(), MAX_OBSERVERS_PER_PRODUCER, "RTP observers of a producer")?;
        if !observer.add(now, key, source.is_paused()) {
            let max = MAX_OBSERVED_PRODUCERS as u64;
            return Err(CommandError::Limit { what: "producers of an RTP observer".into(), max });
        }
        source.observers_mut().push(id);
        Ok(())
    }

    /// A packet of a producer that is listened to says how loud it is.
    pub(super) fn hear_level(&mut self, now: Instant, level: Option<(ProducerKey, u8)>) {
        let Some((key, level)) = level else { return };
        let Some(producer) = self.producers.get(key).filter(|producer| !producer.is_paused()) else { return };
        for id in producer.observers() {
            if let Some(observer) = self.observers.get_mut(id) {
                observer.record(now, key, level);
            }
        }
        if producer.is_ranked() {
            self.rank_level(now, key, level);
        }
    }

    /// A producer was paused or resumed.
    pub(super) fn hear_pause(&mut self, key: ProducerKey) {
        let Some(producer) = self.producers.get(key) else { return };
        for id in producer.observers() {
            if let Some(observer) = self.observers.get_mut(id) {
                observer.set_producer_paused(key, producer.is_paused());
            }
        }
        if producer.is_ranked() {
            let is_paused = producer.is_paused();
            self.rank_pause(key, is_paused);
        }
    }

    /// A producer has closed.
    pub(super) fn hear_end(&mut self, key: ProducerKey, observers: &[RtpObserverId]) {
        for id in observers {
            let heard = self.observers.get_mut(id).and_then(|observer| observer.remove(key));
            self.tell_heard(*id, heard);
        }
    }

    pub(super) fn observer_timeout(&mut self, now: Instant, at: Instant, id: RtpObserverId) {
        let Some(observer) = self.observers.get_mut(&id) else { return };
        if !observer.deadline().fires(at) || observer.is_paused() {
            return;
        }
        let heard = observer.look(now);
        let due = now + observer.interval();
        observer.deadline().arm(&mut self.timers, due, Timer::Observer(id));
        self.tell_heard(id, heard);
    }

    fn tell_heard(&mut self, observer: RtpObserverId, heard: Option<Heard>) {
        let named = |key: ProducerKey| self.producers.get(key).map(|producer| producer.id());
        let event = match heard {
            None => return,
            Some(Heard::Levels(levels)) => {
                let volumes = levels.into_iter().filter_map(|(key, dbov)| Some(Volume { producer: named(key)?, dbov }));
                Event::AudioLevels { observer, volumes: volumes.collect() }
            }
            Some(Heard::Dominant(key)) => match named(key) {
                Some(producer) => Event::DominantSpeaker { observer, producer },
                None => return,
            },
        };
        self.push_event(event);
    }
}
