//! What a room does by itself while participants are in it: it tells them who speaks, how loud each is, and how well
//! everything arrives; and its bot answers them. One task does it, which begins with the first participant and ends
//! after the last.

use std::sync::{Arc, Weak};
use std::time::Duration;

use corecast_wire::{DataConsumerId, ProducerId, RtpObserverId};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::ear::PeerEvent;
use super::observers::Observers;
use super::room::Room;
use super::state::State;
use crate::ortc::Kind;
use crate::workers::{Message, Sound};

/// Interval at which scores are looked at (mediasoup's).
const SCORES: Duration = Duration::from_secs(1);
/// Sounds, and messages to the bot, that may wait; further ones are lost.
const BACKLOG: usize = 64;

/// Who speaks, by name.
#[derive(Debug, Default)]
struct Speaking {
    /// Who dominated last.
    dominant: Option<String>,
    /// Whom participants were told of last; none in silence.
    told: Option<String>,
}

impl Room {
    /// The room begins to listen to its sound, if it does not yet.
    pub(super) async fn attend(self: &Arc<Self>, state: &mut State) {
        if state.observers.is_some() {
            return;
        }
        let observers = Observers::draw();
        let (sound, sounds) = mpsc::channel(BACKLOG);
        let (message, messages) = mpsc::channel(BACKLOG);
        let events = self.worker().events();
        let routes = [observers.levels, observers.speaker].map(|one| events.sounds(one, sound.clone()));
        let mut commands = observers.make(self.home().router()).to_vec();
        let audio = state.producers.values().filter(|producer| producer.kind == Kind::Audio);
        commands.extend(audio.flat_map(|producer| observers.listen(producer.id)));
        match self.worker().try_all(commands).await {
            Ok(results) => {
                for refused in results.into_iter().filter_map(Result::err) {
                    tracing::warn!("room {:?} does not hear all of its sound: {refused}", self.id());
                }
            }
            Err(error) => tracing::warn!("room {:?} does not hear its sound: {error}", self.id()),
        }
        state.observers = Some(observers);
        self.wake_bot(state, message).await;
        let room = Arc::downgrade(self);
        tokio::spawn(async move {
            run(room, observers, sounds, messages).await;
            drop(routes);
        });
    }

    /// The same for a room whose server has died: what listened for that one is closed.
    pub(super) async fn attend_again(self: &Arc<Self>, state: &mut State) {
        let Some(before) = state.observers.take() else { return };
        if let Err(error) = self.worker().close(before.close()).await {
            tracing::debug!("room {:?}: {error}", self.id());
        }
        self.attend(state).await;
    }

    /// The room listens to what a peer publishes of sound, if it listens at all.
    pub(super) async fn observe(&self, state: &State, owner: &str) {
        let Some(observers) = state.observers else { return };
        let own = state.producers.values().filter(|one| *one.owner == *owner && one.kind == Kind::Audio);
        let commands: Vec<_> = own.flat_map(|producer| observers.listen(producer.id)).collect();
        if commands.is_empty() {
            return;
        }
        if let Err(error) = self.worker().try_all(commands).await {
            tracing::debug!("sound in room {:?}: {error}", self.id());
        }
    }

    /// Ends with the last participant. Whether it has.
    async fn rest(&self, observers: Observers) -> bool {
        let mut state = self.state().await;
        if state.has_participants() {
            return false;
        }
        state.observers = None;
        let bot = state.bot.take();
        state.data_producers.retain(|_, one| one.owner.is_some());
        let closings = observers.close().into_iter().chain(bot.map(|bot| bot.close()));
        if let Err(error) = self.worker().close(closings.collect()).await {
            tracing::debug!("room {:?}: {error}", self.id());
        }
        true
    }

    async fn hear(&self, sound: Sound, Speaking { dominant, told }: &mut Speaking) {
        let state = self.state().await;
        let peer = |producer: ProducerId| {
            state.producers.values().find(|one| one.id == producer).map(|one| one.owner.to_string())
        };
        let speaker = match sound {
            Sound::Levels(volumes) => {
                let volumes = volumes.iter().filter_map(|volume| Some((peer(volume.producer)?, volume.dbov)));
                let volumes: Arc<[(String, i8)]> = volumes.collect();
                state.tell_all(|| PeerEvent::Volumes(Arc::clone(&volumes)));
                // Who dominated before the silence does so after it, until another one does.
                match volumes.is_empty() {
                    true => None,
                    false => told.clone().or_else(|| dominant.clone().filter(|peer| state.peers.contains_key(peer))),
                }
            }
            Sound::Speaker(producer) => {
                *dominant = peer(producer);
                dominant.clone()
            }
        };
        if *told != speaker {
            told.clone_from(&speaker);
            state.tell_all(|| PeerEvent::Speaker(speaker.clone()));
        }
    }
}

async fn run(
    room: Weak<Room>,
    observers: Observers,
    mut sounds: mpsc::Receiver<(RtpObserverId, Sound)>,
    mut messages: mpsc::Receiver<(DataConsumerId, Message)>,
) {
    let mut tick = interval(SCORES);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut speaking = Speaking::default();
    let mut turn = 0;
    loop {
        tokio::select! {
            Some((_, sound)) = sounds.recv() => match room.upgrade() {
                Some(room) => room.hear(sound, &mut speaking).await,
                None => return,
            },
            Some((from, message)) = messages.recv() => match room.upgrade() {
                Some(room) => room.answer(from, &message).await,
                None => return,
            },
            _ = tick.tick() => {
                let Some(room) = room.upgrade() else { return };
                if room.rest(observers).await {
                    return;
                }
                turn += 1;
                if let Err(error) = room.score(turn).await {
                    tracing::debug!("scores of room {:?}: {error}", room.id());
                }
            }
        }
    }
}
