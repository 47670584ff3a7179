//! Looks at the counters of all objects and compares them with those of the look before.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use corecast_wire::{MediaKind, TransportId};

use super::complaints::{Facts, complaints, verdict};
use super::counted::{Consumer, Counted, Producer, Transport, share};
use super::distributions::Observations;
use super::picture::{Looking, Picture, RoomLoad, Unhappy, Viewer, ms, round};
use super::{MAX_OF_ROOM, MAX_ROWS};
use crate::rooms::{Occupant, Rooms, Roster};
use crate::workers::{Pool, RequestError};

/// The look before.
#[derive(Debug, Default)]
pub(super) struct Looks {
    before: Option<(Instant, Counted)>,
}

/// What a look has found.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    at: Instant,
    took: Duration,
    objects: usize,
    over: Duration,
    /// The hottest first.
    rooms: Vec<RoomLoad>,
    /// The unhappiest first.
    viewers: Vec<Viewer>,
    pub(super) unhappy: Unhappy,
}

/// What is known of a worker as a whole.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    cpu_percent: f64,
    is_shedding: bool,
    p99_us: u64,
}

/// Two looks, and who has what.
struct Comparison<'a> {
    now: &'a Counted,
    before: Counted,
    seconds: f64,
    loads: HashMap<u32, Load>,
    /// Consumers by their transport.
    taken: HashMap<TransportId, Vec<(&'a Consumer, Option<Consumer>)>>,
}

impl Looks {
    /// Looks at every object of every worker.
    pub(super) async fn look(&mut self, pool: &Pool, rooms: &Rooms) -> Result<(Looked, Observations), RequestError> {
        let at = Instant::now();
        let mut rosters = Vec::new();
        for room in rooms.all().await {
            rosters.push(room.roster().await);
        }
        let mut now = Counted::default();
        for worker in pool.workers() {
            worker.each_stats(|page| page.into_iter().for_each(|stats| now.add(stats))).await?;
        }
        let took = at.elapsed();
        let (over, before) = self.before.take().map_or_else(Default::default, |(before, counted)| {
            let over = at.duration_since(before);
            (over, counted)
        });
        let comparison = Comparison::new(&now, before, over, loads(pool));
        let (mut observed, mut unhappy) = (Observations::default(), Unhappy::default());
        let (mut loads, mut viewers, mut packets) = (Vec::new(), Vec::new(), Vec::new());
        for roster in &rosters {
            let here = comparison.viewers(roster, &mut observed);
            here.iter().for_each(|viewer| unhappy.count(viewer.reason));
            let (load, by_worker) = comparison.room(roster, &here);
            loads.push(load);
            packets.push(by_worker);
            viewers.extend(here);
        }
        let cpu = cpu_shares(&packets, &comparison.loads);
        loads.iter_mut().zip(cpu).for_each(|(room, cpu)| room.cpu_percent = round(cpu));
        loads.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent).then(b.out_pps.total_cmp(&a.out_pps)));
        viewers.sort_by_key(|viewer| std::cmp::Reverse(viewer.pain));
        let looked = Looked { at, took, objects: now.len(), over, rooms: loads, viewers, unhappy };
        self.before = Some((at, now));
        Ok((looked, observed))
    }
}

/// How each worker does, by its last heartbeats.
fn loads(pool: &Pool) -> HashMap<u32, Load> {
    let load = |worker: &std::sync::Arc<crate::workers::Worker>| {
        let (_, rates) = worker.usage()?;
        let is_shedding = rates.discards.iter().any(|(name, _)| *name == "stale");
        let p99_us = rates.latency.map_or(0, |latency| latency.p99_us);
        Some((worker.index(), Load { cpu_percent: rates.cpu_percent, is_shedding, p99_us }))
    };
    pool.workers().iter().filter_map(load).collect()
}

/// Packets of a room per second, by the index of the worker.
type Packets = HashMap<u32, f64>;

/// The part of the workers' CPU time that each room has by its packets, in percent of a core.
fn cpu_shares(rooms: &[Packets], loads: &HashMap<u32, Load>) -> Vec<f64> {
    let mut all = Packets::new();
    for (worker, packets) in rooms.iter().flatten() {
        *all.entry(*worker).or_default() += packets;
    }
    let part = |(worker, packets): (&u32, &f64)| {
        let all = all.get(worker).copied().unwrap_or_default();
        let cpu = loads.get(worker).map_or(0.0, |load| load.cpu_percent);
        if all > 0.0 { cpu * packets / all } else { 0.0 }
    };
    rooms.iter().map(|packets| packets.iter().map(part).sum()).collect()
}

impl<'a> Comparison<'a> {
    fn new(now: &'a Counted, before: Counted, over: Duration, loads: HashMap<u32, Load>) -> Self {
        let mut taken: HashMap<_, Vec<_>> = HashMap::new();
        for (id, consumer) in &now.consumers {
            let earlier = before.consumers.get(id).copied();
            taken.entry(consumer.transport).or_default().push((consumer, earlier));
        }
        Self { now, before, seconds: over.as_secs_f64(), loads, taken }
    }

    /// So many per second; 0 at the first look.
    fn per_s(&self, now: u64, before: Option<u64>) -> f64 {
        match before {
            Some(before) if self.seconds > 0.0 => now.saturating_sub(before) as f64 / self.seconds,
            _ => 0.0,
        }
    }

    /// Every transport of a room that is sent media, by name.
    fn viewers(&self, roster: &Roster, observed: &mut Observations) -> Vec<Viewer> {
        let mut found = Vec::new();
        for (id, occupant) in &roster.transports {
            let Some((consumers, transport)) = self.taken.get(id).zip(self.now.transports.get(id)) else { continue };
            let facts = self.facts(roster, occupant.worker, transport, consumers);
            self.observe(roster, transport, consumers, &facts, observed);
            let sent = self.per_s(transport.bytes_out, self.before.transports.get(id).map(|of| of.bytes_out));
            found.push(viewer(roster, occupant, (transport, consumers.len(), sent * 8.0), &facts));
        }
        found.sort_by(|a, b| (&a.peer, &a.transport).cmp(&(&b.peer, &b.transport)));
        found
    }

    /// Sums up what a viewer is sent.
    fn facts(
        &self,
        roster: &Roster,
        worker: u32,
        transport: &Transport,
        consumers: &[(&Consumer, Option<Consumer>)],
    ) -> Facts {
        let load = self.loads.get(&worker).copied().unwrap_or_default();
        let mut facts = Facts {
            available_bps: transport.available_bps,
            queue_ms: f64::from(transport.queue_us) / 1_000.0,
            is_unheard: transport.is_unheard,
            is_disconnected: transport.is_disconnected,
            is_tcp: transport.is_tcp,
            worker,
            is_shedding: load.is_shedding,
            p99_us: load.p99_us,
            ..Facts::default()
        };
        let (mut sent, mut kept_back, mut waited, mut worst_source, mut silent) = (0, 0, 0, 0.0, HashSet::new());
        for (consumer, before) in consumers.iter().filter(|(consumer, _)| !consumer.paused) {
            let origin = roster.origin(consumer.producer);
            let Some(producer) = self.now.producers.get(&origin) else { continue };
            let is_picture = producer.kind == MediaKind::Video;
            facts.pictures += usize::from(is_picture);
            facts.suspended += usize::from(consumer.suspended);
            facts.reduced += usize::from(consumer.reduced);
            if let Some(us) = consumer.round_trip_us {
                let longest = facts.round_trip_ms.unwrap_or_default().max(f64::from(us) / 1_000.0);
                facts.round_trip_ms = Some(longest);
            }
            let name = roster.producers.get(&origin);
            let earlier = self.before.producers.get(&origin);
            if producer.is_silent() && earlier.is_some_and(Producer::is_silent) {
                let what = if is_picture { "video" } else { "audio" };
                silent.extend(name.map(|name| format!("{name:?} ({what})")));
            }
            let Some(before) = before else { continue };
            let packets = consumer.sent.saturating_sub(before.sent);
            let source_loss = earlier.map_or(0.0, |earlier| producer.loss_since(earlier, consumer.current_spatial));
            facts.loss += consumer.loss * packets as f64;
            facts.source_loss += source_loss * packets as f64;
            if source_loss > worst_source {
                worst_source = source_loss;
                facts.lossy_source = name.cloned();
            }
            facts.key_frames_asked += consumer.key_frames_asked.saturating_sub(before.key_frames_asked);
            kept_back += consumer.kept_back.saturating_sub(before.kept_back);
            waited += consumer.waited.saturating_sub(before.waited);
            sent += packets;
        }
        facts.loss /= sent.max(1) as f64;
        facts.source_loss /= sent.max(1) as f64;
        if transport.available_bps.is_none_or(|bps| bps >= transport.wanted_bps) {
            // The path would have carried it.
            kept_back += std::mem::take(&mut waited);
        }
        let all = sent + kept_back + waited;
        (facts.own_loss, facts.path_loss) = (share(kept_back, all), share(waited, all));
        facts.silent_sources = silent.into_iter().collect();
        facts.silent_sources.sort();
        facts
    }

    /// Adds a viewer to the distributions.
    fn observe(
        &self,
        roster: &Roster,
        transport: &Transport,
        consumers: &[(&Consumer, Option<Consumer>)],
        facts: &Facts,
        to: &mut Observations,
    ) {
        to.available_bps.extend(transport.available_bps);
        let is_sent = consumers.iter().any(|(now, before)| before.is_some_and(|before| now.sent > before.sent));
        to.loss.extend(is_sent.then_some(facts.loss));
        for (consumer, before) in consumers.iter().filter(|(consumer, _)| !consumer.paused) {
            let Some(producer) = self.now.producers.get(&roster.origin(consumer.producer)) else { continue };
            if producer.kind != MediaKind::Video {
                continue;
            }
            let asked = before.is_some_and(|before| consumer.key_frames_asked > before.key_frames_asked);
            to.freezes.key_frame += u64::from(asked);
            to.freezes.suspended += u64::from(consumer.suspended);
            to.freezes.no_media += u64::from(producer.is_silent() && before.is_some());
        }
    }

    /// How much a room takes, but for its part of the CPU time, and its packets by worker.
    fn room(&self, roster: &Roster, viewers: &[Viewer]) -> (RoomLoad, Packets) {
        let mut load = RoomLoad {
            room: roster.room.clone(),
            worker: roster.worker,
            branches: roster.branches.clone(),
            viewers: viewers.len(),
            unhappy: viewers.iter().filter(|viewer| viewer.reason.is_some()).count(),
            producers: roster.producers.len(),
            consumers: viewers.iter().map(|viewer| viewer.consumers).sum(),
            ..RoomLoad::default()
        };
        let mut packets = Packets::new();
        for (id, occupant) in &roster.transports {
            let Some(now) = self.now.transports.get(id) else { continue };
            let before = self.before.transports.get(id);
            let received = self.per_s(now.packets_in, before.map(|of| of.packets_in));
            let sent = self.per_s(now.packets_out, before.map(|of| of.packets_out));
            *packets.entry(occupant.worker).or_default() += received + sent;
            load.in_pps += received;
            load.out_pps += sent;
            load.out_bps += self.per_s(now.bytes_out, before.map(|of| of.bytes_out)) * 8.0;
        }
        (load.in_pps, load.out_pps, load.out_bps) = (round(load.in_pps), round(load.out_pps), load.out_bps.round());
        (load, packets)
    }
}

fn viewer(
    roster: &Roster,
    occupant: &Occupant,
    (transport, consumers, sent_bps): (&Transport, usize, f64),
    facts: &Facts,
) -> Viewer {
    let complaints = complaints(facts);
    let (pain, reason) = verdict(&complaints);
    Viewer {
        room: roster.room.clone(),
        peer: occupant.peer.to_string(),
        display_name: occupant.display_name.clone(),
        transport: occupant.transport.clone(),
        worker: occupant.worker,
        pain,
        reason,
        complaints,
        consumers,
        available_bps: transport.available_bps,
        wanted_bps: transport.wanted_bps,
        sent_bps: sent_bps.round(),
        loss_percent: round(facts.loss * 100.0),
        round_trip_ms: facts.round_trip_ms.map(round),
    }
}

impl Looked {
    /// Puts what was found into the picture: of one room, or of all.
    pub(super) fn tell(&self, picture: &mut Picture, room: Option<&str>) {
        picture.look = Some(Looking {
            ago_ms: ms(self.at.elapsed()),
            took_ms: ms(self.took),
            objects: self.objects,
            over_ms: ms(self.over),
        });
        picture.rooms = self.rooms.iter().take(MAX_ROWS).cloned().collect();
        picture.rooms_total = self.rooms.len();
        let most = if room.is_some() { MAX_OF_ROOM } else { MAX_ROWS };
        // Who is content is told of in a room alone.
        let is_wanted = |viewer: &&Viewer| room.map_or(viewer.pain > 0, |room| viewer.room == room);
        let wanted = self.viewers.iter().filter(is_wanted);
        picture.viewers = wanted.take(most).cloned().collect();
        picture.viewers_total = self.viewers.len();
        picture.unhappy = self.unhappy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_share_their_workers_cpu_time_by_packets() {
        let load = |cpu_percent| Load { cpu_percent, ..Load::default() };
        let loads = HashMap::from([(0, load(80.0)), (1, load(5.0))]);
        let rooms = [Packets::from([(0, 300.0), (1, 10.0)]), Packets::from([(0, 100.0)]), Packets::from([(2, 0.0)])];
        assert_eq!(cpu_shares(&rooms, &loads), [65.0, 20.0, 0.0]);
    }
}
