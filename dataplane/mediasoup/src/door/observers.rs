//! Requests about observers of sound, and what they hear.

use std::collections::BTreeSet;

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::active_speaker_observer::DominantSpeakerNotification;
use corecast_mediasoup_worker::fbs::audio_level_observer::{self, VolumesNotification};
use corecast_wire::{Command, ProducerId, RtpObserverId, RtpObserverOptions, Volume};

use super::objects::{Named, RtpObserver};
use super::{Answered, Asked, Door, Tells, Told, done, other_body};
use crate::refusal::Refusal;

impl Door {
    pub(super) fn create_observer(&mut self, machine: &mut dyn Machine, router: &str, body: Option<Asked>) -> Answered {
        let (name, options) = match body {
            Some(Asked::RouterCreateAudioLevelObserverRequest(request)) => {
                let options = RtpObserverOptions::AudioLevel {
                    max_entries: request.options.max_entries,
                    threshold_dbov: request.options.threshold,
                    interval_ms: request.options.interval,
                };
                (request.rtp_observer_id, options)
            }
            Some(Asked::RouterCreateActiveSpeakerObserverRequest(request)) => {
                (request.rtp_observer_id, RtpObserverOptions::ActiveSpeaker { interval_ms: request.options.interval })
            }
            _ => return Err(other_body("ROUTER_CREATE_RTPOBSERVER")),
        };
        let router = self.router_for(router, "RtpObserver", &name)?;
        let is_of_speakers = matches!(options, RtpObserverOptions::ActiveSpeaker { .. });
        let id = RtpObserverId(self.objects.number());
        machine.execute(&Command::CreateRtpObserver { router, observer: id, options })?;
        self.objects.add(&name, Named::RtpObserver(id));
        self.objects.router(router)?.observers.insert(id);
        self.objects.observers.insert(id, RtpObserver { name, router, is_of_speakers, producers: BTreeSet::new() });
        Ok(None)
    }

    pub(super) fn close_observer(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::RouterCloseRtpObserverRequest(request)) = body else {
            return Err(other_body("ROUTER_CLOSE_RTPOBSERVER"));
        };
        let id = self.objects.observer_number(&request.rtp_observer_id)?;
        machine.execute(&Command::CloseRtpObserver { observer: id })?;
        self.forget_observer(id);
        Ok(None)
    }

    pub(super) fn forget_observer(&mut self, id: RtpObserverId) {
        let Some(observer) = self.objects.observers.remove(&id) else { return };
        self.objects.remove(&observer.name);
        if let Some(router) = self.objects.routers.get_mut(&observer.router) {
            router.observers.remove(&id);
        }
    }

    pub(super) fn pause_observer(&self, machine: &mut dyn Machine, name: &str, paused: bool) -> Answered {
        done(machine, &Command::PauseRtpObserver { observer: self.objects.observer_number(name)?, paused })
    }

    pub(super) fn observe(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let (producer, observed) = match body {
            Some(Asked::RtpObserverAddProducerRequest(request)) => (request.producer_id, true),
            Some(Asked::RtpObserverRemoveProducerRequest(request)) => (request.producer_id, false),
            _ => return Err(other_body("RTPOBSERVER_ADD_PRODUCER")),
        };
        let observer = self.objects.observer_number(name)?;
        let producer = self.objects.producer_number(&producer)?;
        let known = self.objects.observer(observer)?;
        if observed && known.is_of_speakers && known.producers.contains(&producer) {
            return Err(Refusal::Error("Producer already in map".into()));
        }
        machine.execute(&Command::ObserveProducer { observer, producer, observed })?;
        let producers = &mut self.objects.observer(observer)?.producers;
        if observed {
            producers.insert(producer);
        } else {
            producers.remove(&producer);
        }
        Ok(None)
    }

    pub(super) fn hear_levels(&mut self, id: RtpObserverId, volumes: &[Volume]) {
        let Some(name) = self.objects.observers.get(&id).map(|observer| observer.name.clone()) else { return };
        if volumes.is_empty() {
            return self.notify(&name, Tells::AudiolevelobserverSilence, None);
        }
        let named = volumes.iter().filter_map(|volume| {
            let producer_id = self.objects.producers.get(&volume.producer)?.name.clone();
            Some(audio_level_observer::Volume { producer_id, volume: volume.dbov })
        });
        let body = Box::new(VolumesNotification { volumes: named.collect() });
        let body = Told::AudioLevelObserverVolumesNotification(body);
        self.notify(&name, Tells::AudiolevelobserverVolumes, Some(body));
    }

    pub(super) fn hear_dominant(&mut self, id: RtpObserverId, producer: ProducerId) {
        let Some(name) = self.objects.observers.get(&id).map(|observer| observer.name.clone()) else { return };
        let Some(producer_id) = self.objects.producers.get(&producer).map(|producer| producer.name.clone()) else {
            return;
        };
        let body = Box::new(DominantSpeakerNotification { producer_id });
        let body = Told::ActiveSpeakerObserverDominantSpeakerNotification(body);
        self.notify(&name, Tells::ActivespeakerobserverDominantSpeaker, Some(body));
    }
}
