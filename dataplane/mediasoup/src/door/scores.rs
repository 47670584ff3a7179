//! Scores of streams that come and are sent, in mediasoup's numbers, as they change.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::consumer::ScoreNotification as ConsumerScoreNotification;
use corecast_mediasoup_worker::fbs::producer::{Score, ScoreNotification};
use corecast_mediasoup_worker::fbs::rtp_parameters::Type;
use corecast_wire::{Command, ConsumerId, Object, ObjectStats, ProducerId, Reply, StreamStats};

use super::stats::producer_of;
use super::{Door, Tells, Told, media};

/// Each object is looked at once in so many ticks.
const TURNS: u64 = 10;
/// Objects of a kind that are looked at in one tick; if there are more, then each is looked at less often.
const AT_ONCE: u64 = 256;

/// Producers at most that are looked at in one tick, the newest, because nothing is known of them yet.
const NEW_AT_ONCE: usize = 64;

/// In how many ticks each of so many objects has its turn.
const fn turns(objects: usize) -> u64 {
    let needed = (objects as u64).div_ceil(AT_ONCE);
    if needed > TURNS { needed } else { TURNS }
}

impl Door {
    /// Looks at the producers and consumers whose turn it is: called at every tick.
    pub(super) fn follow_scores(&mut self, machine: &mut dyn Machine, tick: u64) {
        let turns_of_producers = turns(self.objects.producers.len());
        let due = |number: u64, turns: u64| number % turns == tick % turns;
        let producers = self.objects.producers.iter();
        let producers = producers.filter(|(id, one)| due(id.0, turns_of_producers) && !one.is_paused);
        let mut producers: Vec<ProducerId> = producers.map(|(id, _)| *id).collect();
        // What begins is told at once, as mediasoup does.
        let newest = self.objects.producers.iter().rev().filter(|(id, one)| {
            let is_unknown = one.scores.iter().all(|score| *score == 0);
            is_unknown && !one.is_paused && !due(id.0, turns_of_producers)
        });
        producers.extend(newest.take(NEW_AT_ONCE).map(|(id, _)| *id));
        for id in producers {
            let reply = machine.execute(&Command::ObjectStats { object: Object::Producer(id) });
            let stats = reply.ok().and_then(|reply| producer_of(reply).ok());
            if let Some(stats) = stats {
                self.score_producer(id, &stats.streams);
            }
        }
        let turns_of_consumers = turns(self.objects.consumers.len());
        let consumers = self.objects.consumers.iter().filter(|(id, one)| {
            // Those of a pipe are the best, always.
            due(id.0, turns_of_consumers) && !one.is_paused && one.type_ != Type::Pipe
        });
        let consumers: Vec<ConsumerId> = consumers.map(|(id, _)| *id).collect();
        for id in consumers {
            let Ok(Reply::ObjectStats(stats)) = machine.execute(&Command::ObjectStats { object: Object::Consumer(id) })
            else {
                continue;
            };
            if let ObjectStats::Consumer(stats) = *stats {
                self.score_consumer(id, stats.fraction_lost);
            }
        }
    }

    fn score_producer(&mut self, id: ProducerId, streams: &[StreamStats]) {
        let Some(producer) = self.objects.producers.get_mut(&id) else { return };
        let of_several = streams.len() > 1;
        let looks = producer.looks.iter_mut().zip(streams);
        let scores: Vec<u8> = looks.map(|(looks, stream)| looks.of_stream(stream, of_several)).collect();
        if scores == producer.scores {
            return;
        }
        producer.scores.clone_from(&scores);
        let (name, consumers) = (producer.name.clone(), producer.consumers.clone());
        let known = (0..).zip(streams.iter().zip(scores)).filter_map(|(encoding_idx, (stream, score))| {
            Some(Score { encoding_idx, ssrc: stream.ssrc?, rid: stream.rid.clone(), score })
        });
        let body = Told::ProducerScoreNotification(Box::new(ScoreNotification { scores: known.collect() }));
        self.notify(&name, Tells::ProducerScore, Some(body));
        for consumer in consumers {
            self.tell_score(consumer);
        }
    }

    fn score_consumer(&mut self, id: ConsumerId, fraction_lost: u8) {
        let Some(consumer) = self.objects.consumers.get_mut(&id) else { return };
        let score = consumer.looks.of_report(fraction_lost);
        if std::mem::replace(&mut consumer.score, score) != score {
            self.tell_score(id);
        }
    }

    /// Tells of a consumer's score, and those of its producer.
    pub(super) fn tell_score(&mut self, id: ConsumerId) {
        let Some(consumer) = self.objects.consumers.get(&id) else { return };
        let Some(producer) = self.objects.producers.get(&consumer.producer) else { return };
        let score = media::score(consumer, producer.scores.clone());
        let name = consumer.name.clone();
        let body = Told::ConsumerScoreNotification(Box::new(ConsumerScoreNotification { score: Box::new(score) }));
        self.notify(&name, Tells::ConsumerScore, Some(body));
    }
}
