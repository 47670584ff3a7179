//! Rooms of the server before: made again of the rows that it left, and compared with what the workers have taken over.
//! What one side alone knows does not stay.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use corecast_wire::{Command, ConsumerId, ObjectStats, ProducerId, TransportId};

use super::ear::Absence;
use super::error::Error;
use super::peer::{Left, PeerHandle, PeerKind};
use super::pipe::Branch;
use super::registry::Rooms;
use super::room::Room;
use super::saved::SavedRoom;
use super::site::Site;
use super::state::{State, close_transport};
use super::transport::TransportKind;
use crate::ledger::{About, Rows};
use crate::workers::{ConsumerState, TransportState, Worker};

/// Why a peer leaves whose transport its worker did not take over.
const NOT_TAKEN_OVER: &str = "its connection was lost when the server restarted";
/// Why a participant leaves whose client has not come again.
const NOT_BACK: &str = "its client did not come again after the restart";

/// What each worker has, by its index.
type Found = BTreeMap<u32, Objects>;

/// What a worker has, by number.
#[derive(Debug, Default)]
struct Objects {
    transports: HashSet<TransportId>,
    producers: HashSet<ProducerId>,
    consumers: HashSet<ConsumerId>,
}

impl Rooms {
    /// Makes the rooms of the server before again. To be called before anybody is let in.
    pub(crate) async fn restore(&self, rows: &Rows) -> Result<(), Error> {
        self.restore_orders(rows);
        let mut rooms = Vec::new();
        for (key, saved) in rows.of::<SavedRoom>(About::Room, None) {
            let Some(room) = self.make_again(&key.room, &saved).await else { continue };
            let mut state = room.state().await;
            let awaited = room.fill(&mut state, &saved, rows);
            drop(state);
            rooms.push((room, awaited));
        }
        let unknown = compare(self.pool().workers(), rooms.iter().map(|(room, _)| room)).await?;
        let mut peers = 0;
        for (room, awaited) in rooms {
            peers += room.go_on(awaited).await?;
        }
        if peers > 0 || unknown > 0 {
            tracing::info!(
                "calls go on: {peers} peers are there again ({unknown} objects of workers belonged to nobody)"
            );
        }
        Ok(())
    }
}

impl Rooms {
    /// Publishers and viewers by WHIP and WHEP are there for as long as their sessions: those leave that are in none of
    /// these rooms under one of these names. A death may have come before their client was answered.
    pub(crate) async fn keep_sessions(&self, sessions: &HashSet<(String, String)>) {
        for room in self.all().await {
            for peer in room.peers_by_session().await {
                if sessions.contains(&(room.id().to_owned(), peer.name().to_owned())) {
                    continue;
                }
                if let Err(error) = room.remove_peer(&peer, NOT_TAKEN_OVER).await {
                    tracing::warn!("{:?} cannot leave room {:?}: {error}", peer.name(), room.id());
                }
            }
        }
    }
}

impl Objects {
    fn of(stats: &[ObjectStats]) -> Self {
        let mut objects = Self::default();
        for object in stats {
            match object {
                ObjectStats::Transport(of) => drop(objects.transports.insert(of.transport)),
                ObjectStats::Producer(of) => drop(objects.producers.insert(of.producer)),
                ObjectStats::Consumer(of) => drop(objects.consumers.insert(of.consumer)),
                ObjectStats::DataProducer(_) | ObjectStats::DataConsumer(_) => {}
            }
        }
        objects
    }

    /// What closes all of them.
    fn closings(self) -> Vec<Command> {
        let transports = self.transports.into_iter().map(close_transport);
        let producers = self.producers.into_iter().map(|producer| Command::CloseProducer { producer });
        let consumers = self.consumers.into_iter().map(|consumer| Command::CloseConsumer { consumer });
        transports.chain(producers).chain(consumers).collect()
    }
}

/// Removes from the rooms what the workers do not have, and from the workers what no room has: returns how much. What
/// is there is as the workers say.
async fn compare<'a>(workers: &[Arc<Worker>], rooms: impl Iterator<Item = &'a Arc<Room>>) -> Result<usize, Error> {
    let (mut found, mut stats) = (Found::new(), Vec::new());
    for worker in workers {
        let of_worker = worker.stats().await?;
        found.insert(worker.index(), Objects::of(&of_worker));
        stats.push((worker, of_worker));
    }
    for room in rooms {
        let mut state = room.state().await;
        for broken in state.keep_branches(room.worker().index(), &mut found) {
            broken.worker().close(vec![broken.close()]).await?;
        }
        state.keep_only(room.worker().index(), &mut found);
    }
    let mut unknown = 0;
    for (worker, stats) in stats {
        stats.iter().for_each(|object| tell_found(worker, object));
        // What is left has no row.
        let closings = found.remove(&worker.index()).unwrap_or_default().closings();
        unknown += closings.len();
        worker.close(closings).await?;
    }
    Ok(unknown)
}

fn tell_found(worker: &Worker, object: &ObjectStats) {
    match object {
        ObjectStats::Transport(of) => {
            if let Some(webrtc) = &of.webrtc {
                let state = TransportState { ice: webrtc.ice_state, dtls: webrtc.dtls_state, trouble: None };
                worker.events().found_transport(of.transport, state);
            }
        }
        ObjectStats::Producer(of) => {
            let unwanted = (0..).zip(&of.streams).filter(|(_, stream)| stream.unwanted).map(|(place, _)| place);
            worker.events().found_producer(of.producer, unwanted.collect());
        }
        ObjectStats::Consumer(of) => {
            let state = ConsumerState { suspended: of.suspended, ..ConsumerState::default() };
            worker.events().found_consumer(of.consumer, state);
        }
        _ => {}
    }
}

impl State {
    /// Takes from what was found the pipes and what crosses them, as far as both sides are there. Returns the sites of
    /// branches whose pipe is not whole, which are no more.
    fn keep_branches(&mut self, home: u32, found: &mut Found) -> Vec<Site> {
        let mut broken = Vec::new();
        self.branches.retain(|_, Branch { site, pipe, crossing, .. }| {
            let Some(mut near) = found.remove(&home) else { return false };
            let far = found.entry(site.worker().index()).or_default();
            let is_whole = near.transports.contains(&pipe.ends.near) && far.transports.contains(&pipe.ends.far);
            if is_whole {
                near.transports.remove(&pipe.ends.near);
                far.transports.remove(&pipe.ends.far);
                crossing.retain(|_, of| {
                    let crosses = far.producers.contains(&of.producer)
                        && of.consumers.iter().all(|consumer| near.consumers.contains(consumer));
                    if crosses {
                        far.producers.remove(&of.producer);
                        near.consumers.retain(|consumer| !of.consumers.contains(consumer));
                    }
                    crosses
                });
            } else {
                broken.push(site.clone());
            }
            found.insert(home, near);
            is_whole
        });
        broken
    }

    /// Forgets what was not found, and takes from it what is here.
    fn keep_only(&mut self, home: u32, found: &mut Found) {
        let Self { branches, transports, producers, consumers, .. } = self;
        let is_site = |site: &Site| site.worker().index() == home || branches.values().any(|of| of.site == *site);
        let mut lost: HashSet<Arc<str>> = HashSet::new();
        transports.retain(|_, transport| {
            let objects = found.get_mut(&transport.site.worker().index()).filter(|_| is_site(&transport.site));
            let is_there = objects.is_some_and(|objects| objects.transports.remove(&transport.id));
            if !is_there && !transport.is_own() && matches!(transport.kind, TransportKind::WebRtc { .. }) {
                lost.insert(Arc::clone(&transport.owner));
            }
            is_there
        });
        let mut ended = Vec::new();
        producers.retain(|name, producer| {
            let is_there = found.get_mut(&home).is_some_and(|objects| objects.producers.remove(&producer.id));
            if !is_there {
                ended.push((Arc::clone(&producer.owner), producer.told(name)));
            }
            is_there
        });
        consumers.retain(|_, consumer| {
            let objects = found.get_mut(&consumer.site.worker().index()).filter(|_| is_site(&consumer.site));
            objects.is_some_and(|objects| objects.consumers.remove(&consumer.id))
        });
        ended.into_iter().for_each(|(owner, track)| self.note_unpublished(&owner, track));
        // WHIP and WHEP: a session is its transport.
        let gone = self.peers.values().map(|peer| &peer.handle).filter(|handle| lost.contains(handle.name()));
        let gone: Vec<_> = gone.cloned().collect();
        self.remove_peers(&gone, NOT_TAKEN_OVER);
    }
}

impl Room {
    /// Goes on with what there is. Returns the number of its peers.
    async fn go_on(self: &Arc<Self>, awaited: Vec<(PeerHandle, Absence)>) -> Result<usize, Error> {
        let mut state = self.state().await;
        self.attend_again(&mut state).await;
        self.forget_machines(&mut state).await?;
        self.settle(&mut state).await?;
        for (peer, absence) in awaited {
            let room = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = room.keep_place(&peer, absence, NOT_BACK).await {
                    tracing::warn!("{:?} cannot leave room {:?}: {error}", peer.name(), room.id());
                }
            });
        }
        Ok(state.peers.len())
    }

    /// Peers that came by WHIP or WHEP.
    async fn peers_by_session(&self) -> Vec<PeerHandle> {
        let state = self.state().await;
        let own = state.peers.values().filter(|peer| matches!(peer.kind, PeerKind::Whip | PeerKind::Whep));
        own.map(|peer| peer.handle.clone()).collect()
    }

    /// A session of the server before: its peer's handle, what tells that it has left, and the states of its transport.
    pub(crate) async fn find_session(
        &self,
        peer: &str,
        transport: &str,
    ) -> Option<(PeerHandle, Left, tokio::sync::watch::Receiver<TransportState>)> {
        let state = self.state().await;
        let found = state.peers.get(peer)?;
        let on = state.transports.get(transport).filter(|on| *on.owner == *peer)?;
        let TransportKind::WebRtc { states, .. } = &on.kind else { return None };
        Some((found.handle.clone(), found.left(), states.receiver()))
    }
}
