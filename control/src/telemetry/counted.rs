//! What a look keeps of each object, to be compared with the next look.

use std::collections::HashMap;

use corecast_wire::{
    ConsumerId, ConsumerStats, Discard, Discards, IceProtocol, IceState, Limit, MediaKind, ObjectStats, OutgoingCause,
    ProducerId, ProducerStats, StreamStats, TransportId, TransportStats,
};

/// Packets that were not sent for reasons of the server's own.
const OWN: [Discard; 5] =
    [Discard::LeftHistory, Discard::SendRefused, Discard::NoHistory, Discard::SealFailed, Discard::KeyExhausted];

/// Counters of all objects of all workers at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) transports: HashMap<TransportId, Transport>,
    pub(super) producers: HashMap<ProducerId, Producer>,
    pub(super) consumers: HashMap<ConsumerId, Consumer>,
}

/// A transport.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transport {
    pub(super) packets_in: u64,
    pub(super) packets_out: u64,
    pub(super) bytes_out: u64,
    pub(super) available_bps: Option<u64>,
    pub(super) wanted_bps: u64,
    pub(super) queue_us: u32,
    pub(super) is_unheard: bool,
    pub(super) is_disconnected: bool,
    pub(super) is_tcp: bool,
}

/// A producer.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) kind: MediaKind,
    pub(super) paused: bool,
    pub(super) streams: Vec<Stream>,
}

/// A stream of a producer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    pub(super) spatial: u8,
    pub(super) active: bool,
    pub(super) received: u64,
    /// Packets that have not come, not even when they were asked for.
    pub(super) missing: i64,
}

/// A consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consumer {
    pub(super) transport: TransportId,
    pub(super) producer: ProducerId,
    pub(super) paused: bool,
    pub(super) suspended: bool,
    /// The path keeps it from being sent more.
    pub(super) reduced: bool,
    pub(super) current_spatial: Option<u8>,
    pub(super) sent: u64,
    /// What was not sent for reasons of the server's own.
    pub(super) kept_back: u64,
    /// What was not sent since it would have waited too long: for a path that carries less, or for the server.
    pub(super) waited: u64,
    pub(super) key_frames_asked: u64,
    /// Share of lost packets that its receiver reported last, 0 to 1.
    pub(super) loss: f64,
    pub(super) round_trip_us: Option<u32>,
}

impl Counted {
    /// Takes in what a worker has said of an object. Data is not looked at.
    pub(super) fn add(&mut self, stats: ObjectStats) {
        match stats {
            ObjectStats::Transport(stats) => drop(self.transports.insert(stats.transport, Transport::of(&stats))),
            ObjectStats::Producer(stats) => drop(self.producers.insert(stats.producer, Producer::of(&stats))),
            ObjectStats::Consumer(stats) => drop(self.consumers.insert(stats.consumer, Consumer::of(&stats))),
            ObjectStats::DataProducer(_) | ObjectStats::DataConsumer(_) => {}
        }
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.transports.len() + self.producers.len() + self.consumers.len()
    }
}

impl Transport {
    fn of(stats: &TransportStats) -> Self {
        let outgoing = stats.outgoing.as_ref();
        let webrtc = stats.webrtc.as_ref();
        Self {
            packets_in: stats.packets_received,
            packets_out: stats.packets_sent,
            bytes_out: stats.bytes_sent,
            available_bps: outgoing.and_then(|of| of.available_bps),
            wanted_bps: outgoing.map_or(0, |of| of.wanted_bps),
            queue_us: outgoing.map_or(0, |of| of.queue_us),
            is_unheard: outgoing.is_some_and(|of| of.cause == OutgoingCause::Silence),
            is_disconnected: webrtc.is_some_and(|of| of.ice_state == IceState::Disconnected),
            is_tcp: webrtc.is_some_and(|of| of.protocol == Some(IceProtocol::Tcp)),
        }
    }
}

impl Producer {
    fn of(stats: &ProducerStats) -> Self {
        let stream = |of: &StreamStats| Stream {
            spatial: of.spatial,
            active: of.active,
            received: of.packet_count,
            missing: of.packets_lost.saturating_sub_unsigned(of.packets_repaired).max(0),
        };
        Self { kind: stats.kind, paused: stats.paused, streams: stats.streams.iter().map(stream).collect() }
    }

    /// Nothing comes of it, though it has not paused.
    pub(super) fn is_silent(&self) -> bool {
        !self.paused && self.streams.iter().all(|stream| !stream.active)
    }

    /// Where the stream is that a consumer is sent: that of its layer, or else that of which most has come.
    fn stream_at(&self, spatial: Option<u8>) -> Option<usize> {
        let streams = self.streams.iter().enumerate();
        let most = streams.clone().max_by_key(|(_, stream)| stream.received).map(|(at, _)| at);
        let of_layer = |spatial| streams.clone().find(|(_, stream)| stream.spatial == spatial).map(|(at, _)| at);
        spatial.and_then(of_layer).or(most)
    }

    /// Share of the packets of such a stream that were lost on their way here since `before`, 0 to 1.
    pub(super) fn loss_since(&self, before: &Self, spatial: Option<u8>) -> f64 {
        let at = self.stream_at(spatial);
        let pair = at.and_then(|at| Some((self.streams.get(at)?, before.streams.get(at)?)));
        let Some((now, before)) = pair else { return 0.0 };
        let received = now.received.saturating_sub(before.received);
        let missing = u64::try_from(now.missing.saturating_sub(before.missing)).unwrap_or(0);
        share(missing, received + missing)
    }
}

impl Consumer {
    fn of(stats: &ConsumerStats) -> Self {
        Self {
            transport: stats.transport,
            producer: stats.producer,
            paused: stats.paused,
            suspended: stats.suspended,
            reduced: stats.limited_by == Some(Limit::Path) && !stats.suspended,
            current_spatial: stats.current_spatial,
            sent: stats.packet_count,
            kept_back: own(&stats.discards),
            waited: stats.discards.get(Discard::WaitedTooLong),
            key_frames_asked: stats.pli_count + stats.fir_count,
            loss: f64::from(stats.fraction_lost) / 256.0,
            round_trip_us: stats.round_trip_us,
        }
    }
}

fn own(discards: &Discards) -> u64 {
    OWN.iter().map(|why| discards.get(*why)).sum()
}

/// A part of a whole, 0 to 1; 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_on_the_way_here_is_that_of_the_stream_that_is_sent() {
        let stream = |spatial, received, missing| Stream { spatial, active: true, received, missing };
        let producer = |streams| Producer { kind: MediaKind::Video, paused: false, streams };
        let before = producer(vec![stream(1, 1_000, 0), stream(0, 100, 0)]);
        let now = producer(vec![stream(1, 1_090, 10), stream(0, 200, 0)]);
        assert_eq!(now.loss_since(&before, Some(1)), 0.1);
        assert_eq!(now.loss_since(&before, Some(0)), 0.0);
        assert_eq!(now.loss_since(&before, None), 0.1, "most has come of it");
        assert_eq!(now.loss_since(&producer(vec![]), None), 0.0, "it is new");
        assert!(!now.is_silent());
    }
}
