//! Scores: whether a producer's streams send, in mediasoup's numbers. How well they do is not measured.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::consumer::ScoreNotification as ConsumerScoreNotification;
use corecast_mediasoup_worker::fbs::producer::{Score, ScoreNotification};
use corecast_wire::{Command, Object, ProducerId, StreamStats};

use super::stats::producer_of;
use super::{Door, Tells, Told, media};

/// Score of a stream that sends, and of one that does not.
const SENDS: u8 = 10;
const SILENT: u8 = 0;

impl Door {
    /// Looks at a tenth of the producers: called ten times a second, at each of them once.
    pub(super) fn follow_scores(&mut self, machine: &mut dyn Machine, tick: u64) {
        let due = self.objects.producers.iter().filter(|(id, one)| id.0 % 10 == tick % 10 && !one.is_paused);
        let due: Vec<ProducerId> = due.map(|(id, _)| *id).collect();
        for id in due {
            let reply = machine.execute(&Command::ObjectStats { object: Object::Producer(id) });
            let stats = reply.ok().and_then(|reply| producer_of(reply).ok());
            if let Some(stats) = stats {
                self.score(id, &stats.streams);
            }
        }
    }

    fn score(&mut self, id: ProducerId, streams: &[StreamStats]) {
        let Some(producer) = self.objects.producers.get_mut(&id) else { return };
        let scores: Vec<u8> = streams.iter().map(score_of).collect();
        if scores == producer.scores {
            return;
        }
        producer.scores.clone_from(&scores);
        let (name, consumers) = (producer.name.clone(), producer.consumers.clone());
        let known = (0..).zip(streams).filter_map(|(encoding_idx, stream)| {
            Some(Score { encoding_idx, ssrc: stream.ssrc?, rid: stream.rid.clone(), score: score_of(stream) })
        });
        let body = Told::ProducerScoreNotification(Box::new(ScoreNotification { scores: known.collect() }));
        self.notify(&name, Tells::ProducerScore, Some(body));
        for consumer in consumers {
            let Some(consumer) = self.objects.consumers.get(&consumer) else { continue };
            let (name, score) =
                (consumer.name.clone(), Box::new(media::score(consumer.type_, consumer.score, scores.clone())));
            let body = Told::ConsumerScoreNotification(Box::new(ConsumerScoreNotification { score }));
            self.notify(&name, Tells::ConsumerScore, Some(body));
        }
    }
}

const fn score_of(stream: &StreamStats) -> u8 {
    if stream.ssrc.is_some() && stream.active { SENDS } else { SILENT }
}
