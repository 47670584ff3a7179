//! Scores of media that arrives and is sent (`corecast_wire`'s), as they change.

use std::collections::BTreeMap;

use corecast_wire::{Command, ConsumerId, ConsumerStats, Object, ObjectStats, ProducerId, Reply, Scores, StreamStats};

use super::ear::{ConsumerScore, PeerEvent, StreamScore};
use super::error::Error;
use super::media::Producer;
use super::peer::PeerHandle;
use super::room::Room;
use super::site::Site;
use super::state::State;

/// Objects that are asked about in one interval: in rooms with more they take turns.
const AT_ONCE: usize = 256;

/// Those whose turn it is.
fn due<T: Copy>(all: &[T], turn: usize) -> Vec<T> {
    let parts = all.len().div_ceil(AT_ONCE).max(1);
    all.iter().skip(turn % parts * AT_ONCE).take(AT_ONCE).copied().collect()
}

impl Room {
    /// How well a consumer of a participant does.
    pub(crate) async fn consumer_score(&self, peer: &PeerHandle, consumer: &str) -> Result<ConsumerScore, Error> {
        let state = self.state().await;
        let found = state.consumer_of(peer, consumer)?;
        Ok(found.scored(state.producer(&found.producer)?))
    }

    /// Looks at producers and consumers, and tells participants whose scores are others than before.
    pub(super) async fn score(&self, turn: usize) -> Result<(), Error> {
        let mut by_worker: BTreeMap<u32, (Site, Vec<Command>)> = BTreeMap::new();
        {
            let state = self.state().await;
            let mut producers: Vec<ProducerId> = state.producers.values().map(|producer| producer.id).collect();
            let participant = |owner: &str| state.peers.get(owner).is_some_and(|peer| peer.ear.is_some());
            let consumers = state.consumers.values().filter(|consumer| participant(&consumer.owner));
            let mut consumers: Vec<(ConsumerId, &Site)> = consumers.map(|of| (of.id, &of.site)).collect();
            producers.sort_unstable();
            consumers.sort_unstable_by_key(|(id, _)| *id);
            let producers = due(&producers, turn).into_iter().map(|id| (Object::Producer(id), self.home()));
            let consumers = due(&consumers, turn).into_iter().map(|(id, site)| (Object::Consumer(id), site));
            for (object, site) in producers.chain(consumers) {
                let of_worker = by_worker.entry(site.worker().index());
                let (_, commands) = of_worker.or_insert_with(|| (site.clone(), Vec::new()));
                commands.push(Command::ObjectStats { object });
            }
        }
        let mut replies = Vec::new();
        for (site, commands) in by_worker.into_values() {
            replies.extend(site.worker().try_all(commands).await?);
        }
        let mut state = self.state().await;
        for reply in replies {
            // One that is refused has closed meanwhile.
            let Ok(Reply::ObjectStats(stats)) = reply else { continue };
            match *stats {
                ObjectStats::Producer(stats) => state.score_producer(stats.producer, &stats.streams),
                ObjectStats::Consumer(stats) => state.score_consumer(&stats),
                _ => {}
            }
        }
        Ok(())
    }
}

impl State {
    fn score_producer(&mut self, id: ProducerId, streams: &[StreamStats]) {
        let Some((name, producer)) = self.producers.iter_mut().find(|(_, producer)| producer.id == id) else { return };
        if !producer.is_rescored(streams) {
            return;
        }
        let (name, owner, scores) = (name.clone(), producer.owner.clone(), producer.scores.clone());
        self.tell(&owner, PeerEvent::ProducerScored { producer: name.clone(), scores });
        for (consumer, of) in self.consumers.iter().filter(|(_, of)| of.producer == name) {
            if let Some(producer) = self.producers.get(&name) {
                let score = of.scored(producer);
                self.tell(&of.owner, PeerEvent::ConsumerScored { consumer: consumer.clone(), score });
            }
        }
    }

    fn score_consumer(&mut self, stats: &ConsumerStats) {
        let found = self.consumers.iter_mut().find(|(_, consumer)| consumer.id == stats.consumer);
        let Some((name, consumer)) = found else { return };
        let score = consumer.looks.of_report(stats.fraction_lost);
        if std::mem::replace(&mut consumer.score, score) == score {
            return;
        }
        let (name, owner) = (name.clone(), consumer.owner.clone());
        if let Some(score) = self.consumer_score(&name) {
            self.tell(&owner, PeerEvent::ConsumerScored { consumer: name, score });
        }
    }

    fn consumer_score(&self, name: &str) -> Option<ConsumerScore> {
        let consumer = self.consumers.get(name)?;
        Some(consumer.scored(self.producers.get(&consumer.producer)?))
    }
}

impl Producer {
    /// Whether its streams do otherwise than when they were last looked at.
    fn is_rescored(&mut self, streams: &[StreamStats]) -> bool {
        self.looks.resize(streams.len(), Scores::default());
        let mut scores = Vec::new();
        for (encoding, (stream, looks)) in streams.iter().zip(&mut self.looks).enumerate() {
            let score = looks.of_stream(stream, streams.len() > 1);
            if let Some(ssrc) = stream.ssrc {
                scores.push(StreamScore { encoding, ssrc, rid: stream.rid.clone(), score });
            }
        }
        let is_new = scores != self.scores;
        self.scores = scores;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_large_rooms_objects_take_turns() {
        let all: Vec<usize> = (0..2 * AT_ONCE + 1).collect();
        let seen: Vec<usize> = (0..3).flat_map(|turn| due(&all, turn)).collect();
        assert_eq!(seen, all);
        assert_eq!(due(&all, 3), due(&all, 0));
        assert_eq!(due::<u8>(&[], 7), Vec::<u8>::new());
    }
}
