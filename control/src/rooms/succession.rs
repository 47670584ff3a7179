//! What becomes of viewers whose publisher has left: they keep their sessions for a grace, and go on with the same peer
//! when it comes again, or with another one if they watch the room.
//!
//! To the viewer nothing changes but the pictures: its consumers are moved, and keep their SSRCs and payload types.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use corecast_wire::Command;

use super::error::Error;
use super::media::Consumer;
use super::peer::PeerHandle;
use super::room::Room;
use super::site::Site;
use super::state::State;

/// A consumer that is to be moved, and its next producer, by name. Both are in the tables.
#[derive(Debug)]
struct Move {
    consumer: String,
    producer: String,
}

/// What a viewer has, and what it waits for.
#[derive(Debug, Default)]
struct Watching<'a> {
    /// Name of the peer of whom it still gets something.
    current: Option<&'a str>,
    /// Producers that it gets.
    taken: HashSet<&'a str>,
    /// Its consumers without a producer.
    waiting: Vec<(&'a String, &'a Consumer)>,
}

/// Why a viewer is ended.
pub(crate) const NOTHING_TO_SEE: &str = "its publisher left, and did not come again in time";

impl Room {
    /// Publishers have come or gone: consumers without a producer get one if there is one for them, and viewers that
    /// have had nothing to see for the grace leave.
    pub(super) async fn settle(&self, state: &mut State) -> Result<(), Error> {
        self.prune(state).await?;
        if state.orphans().next().is_some() {
            let of_room = self.liveliest(state.publishers(None)).await?;
            self.apply_moves(state, state.moves(of_room.as_deref())).await?;
        }
        self.link_channels(state).await?;
        self.remove_stranded(state).await
    }

    /// Something new is published: who waits for it gets it. That there is something new stays true if this fails.
    pub(super) async fn succeed(&self, state: &mut State) {
        if let Err(error) = self.settle(state).await {
            tracing::warn!("viewers in room {:?} wait on: {error}", self.id());
        }
    }

    async fn apply_moves(&self, state: &mut State, moves: Vec<Move>) -> Result<(), Error> {
        let mut by_worker: BTreeMap<u32, (Site, Vec<Move>)> = BTreeMap::new();
        for one in moves {
            let Some(Consumer { site, .. }) = state.consumers.get(&one.consumer) else { continue };
            let of_worker = by_worker.entry(site.worker().index());
            of_worker.or_insert_with(|| (site.clone(), Vec::new())).1.push(one);
        }
        for (site, moves) in by_worker.into_values() {
            self.apply_moves_at(state, &site, moves).await?;
        }
        Ok(())
    }

    async fn apply_moves_at(&self, state: &mut State, site: &Site, moves: Vec<Move>) -> Result<(), Error> {
        let producers: BTreeSet<&str> = moves.iter().map(|one| &*one.producer).collect();
        self.reach(state, site, &producers.into_iter().collect::<Vec<_>>()).await?;
        let (mut commands, mut moved) = (Vec::new(), Vec::new());
        for one in moves {
            let source = state.producer_at(site, &one.producer);
            let (producer, consumer) = (state.producers.get(&one.producer), state.consumers.get_mut(&one.consumer));
            let (Some(producer), Some(source), Some(consumer)) = (producer, source, consumer) else { continue };
            let id = consumer.id;
            if producer.is_layered() {
                consumer.layer.get_or_insert_with(|| site.worker().events().consumer(id));
            } else {
                consumer.layer = None;
            }
            commands.push(Command::MoveConsumer { consumer: id, producer: source });
            moved.push(one);
        }
        for (Move { consumer, producer }, result) in moved.into_iter().zip(site.worker().try_all(commands).await?) {
            match (result, state.consumers.get_mut(&consumer)) {
                (Ok(_), Some(moved)) => moved.producer = producer,
                (Err(refused), _) => tracing::debug!("consumer {consumer} waits on: {refused}"),
                (Ok(_), None) => {}
            }
        }
        Ok(())
    }

    /// Viewers that have had nothing to see for the grace leave.
    async fn remove_stranded(&self, state: &mut State) -> Result<(), Error> {
        let stranded = state.stranded(Instant::now(), self.viewer_grace());
        if stranded.is_empty() {
            return Ok(());
        }
        state.close_transports(&stranded).await?;
        state.remove_peers(&stranded, NOTHING_TO_SEE);
        Ok(())
    }

    /// The same for a room in which nothing else happens, and branches that are no longer needed. To be called once a
    /// second.
    pub(super) async fn end_grace(&self) -> Result<(), Error> {
        let mut state = self.state().await;
        if state.has_stranded {
            self.remove_stranded(&mut state).await?;
        }
        self.shrink(&mut state).await
    }
}

impl State {
    /// Consumers that have outlived their producers.
    fn orphans(&self) -> impl Iterator<Item = (&String, &Consumer)> {
        self.consumers.iter().filter(|(_, consumer)| !self.producers.contains_key(&consumer.producer))
    }

    /// Which consumers are moved where. Of one viewer all get media of one peer; `of_room` is the one for those who
    /// watch the room.
    fn moves(&self, of_room: Option<&str>) -> Vec<Move> {
        let mut viewers: HashMap<&str, Watching<'_>> = HashMap::new();
        for (name, consumer) in self.consumers.iter() {
            let watching = viewers.entry(&consumer.owner).or_default();
            match self.producers.get(&consumer.producer) {
                Some(producer) => {
                    watching.current = Some(&producer.owner);
                    watching.taken.insert(&consumer.producer);
                }
                None => watching.waiting.push((name, consumer)),
            }
        }
        let mut moves = Vec::new();
        for (viewer, mut watching) in viewers {
            let wanted = self.peers.get(viewer).and_then(|peer| peer.wanted.as_deref());
            let Some(publisher) = watching.current.or(wanted).or(of_room) else { continue };
            watching.waiting.sort_unstable_by_key(|(_, consumer)| consumer.id);
            let mut own: Vec<_> = self.producers.iter().filter(|(_, producer)| *producer.owner == *publisher).collect();
            own.sort_unstable_by_key(|(_, producer)| producer.id);
            own.retain(|(name, _)| !watching.taken.contains(name.as_str()));
            for (consumer, waiting) in watching.waiting {
                let fits = own.iter().position(|(_, producer)| waiting.can_take(&producer.consumable));
                if let Some((producer, _)) = fits.map(|index| own.remove(index)) {
                    moves.push(Move { consumer: consumer.clone(), producer: producer.clone() });
                }
            }
        }
        moves
    }

    /// Viewers that have had nothing to see for so long. Notes since when others have not.
    fn stranded(&mut self, now: Instant, grace: Duration) -> Vec<PeerHandle> {
        let Self { peers, consumers, producers, .. } = self;
        let fed = consumers.values().filter(|consumer| producers.contains_key(&consumer.producer));
        let busy: HashSet<&str> = fed.map(|consumer| &*consumer.owner).collect();
        let mut stranded = Vec::new();
        self.has_stranded = false;
        for (name, peer) in peers.iter_mut().filter(|(_, peer)| peer.kind.is_viewer()) {
            if busy.contains(name.as_str()) {
                peer.stranded_since = None;
                continue;
            }
            self.has_stranded = true;
            if now.duration_since(*peer.stranded_since.get_or_insert(now)) >= grace {
                stranded.push(peer.handle.clone());
            }
        }
        stranded
    }
}
