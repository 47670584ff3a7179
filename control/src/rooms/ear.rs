//! What a participant is told of its room: a peer that came by a signaling with messages in both directions.
//!
//! Events are sent under the room's lock, so that a participant that begins with a list misses nothing. One that does
//! not take them is told that it is too slow, and nothing more.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::muted::Muted;

/// Events that may wait for a participant: of a room of hundreds that all come at once, some for each.
const BACKLOG: usize = 4_096;

/// A peer as participants know it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeerView {
    pub(crate) name: String,
    pub(crate) display_name: String,
    /// What its signaling tells others of it.
    pub(crate) app_data: Value,
}

/// A layer that a consumer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    /// Rank by quality, the lowest is 0.
    pub(crate) spatial: u8,
}

/// How well a stream of a producer arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamScore {
    /// Its place among the producer's encodings.
    pub(crate) encoding: usize,
    pub(crate) ssrc: u32,
    pub(crate) rid: Option<String>,
    /// 0 (nothing comes) to 10.
    pub(crate) score: u8,
}

/// How well a consumer is sent what it is sent, 0 to 10 each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerScore {
    /// The consumer's own stream.
    pub(crate) score: u8,
    /// The producer's stream that it is sent.
    pub(crate) producer: u8,
    /// Each stream of the producer, in the order of its encodings.
    pub(crate) producers: Vec<u8>,
}

/// What a participant is told. Names are those of its own objects, where it is about consumers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PeerEvent {
    /// A peer has joined. What it publishes follows.
    Joined(PeerView),
    /// The peer of this name has left.
    Left(String),
    /// A peer is called by another name from now on.
    Renamed { peer: String, display_name: String, old: String },
    /// A peer publishes this.
    Produced { producer: String },
    /// A peer has a data producer.
    ProducedData { data_producer: String },
    /// The producer of a consumer has closed, and the consumer with it.
    ConsumerClosed(String),
    /// The producer of a consumer was paused or resumed.
    ProducerPaused { consumer: String, paused: bool },
    /// A consumer is sent other layers; none while it is sent nothing.
    LayersChanged { consumer: String, layers: Option<Layers> },
    /// How well a consumer does.
    ConsumerScored { consumer: String, score: ConsumerScore },
    /// How well a producer does.
    ProducerScored { producer: String, scores: Vec<StreamScore> },
    /// The producer of a data consumer has closed, and the data consumer with it.
    DataConsumerClosed(String),
    /// A transport of its own is connected.
    Connected,
    /// A transport of its own has ended, and why.
    Disconnected(&'static str),
    /// How loud peers are, in dBov, loudest first. None when all are silent.
    Volumes(Arc<[(String, i8)]>),
    /// Another peer speaks; none when all are silent.
    Speaker(Option<String>),
    /// An operator lets nobody hear or see this of the participant; what it does not name is as its client has it.
    Muted(Muted),
    /// The server stops at this time, at the latest.
    Closing(Instant),
}

/// Where a participant's events go.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    events: mpsc::Sender<PeerEvent>,
    too_slow: Arc<Notify>,
}

/// The events of a participant.
#[derive(Debug)]
pub(crate) struct PeerEvents {
    events: mpsc::Receiver<PeerEvent>,
    too_slow: Arc<Notify>,
}

impl Ear {
    pub(super) fn new() -> (Self, PeerEvents) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let too_slow = Arc::new(Notify::new());
        (Self { events: sender, too_slow: Arc::clone(&too_slow) }, PeerEvents { events: receiver, too_slow })
    }

    /// Whether somebody takes what is told.
    pub(super) fn is_heard(&self) -> bool {
        !self.events.is_closed()
    }

    pub(super) fn tell(&self, event: PeerEvent) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.too_slow.notify_one();
        }
    }
}

impl PeerEvents {
    /// The next one. None once the participant was too slow, or has left.
    pub(crate) async fn next(&mut self) -> Option<PeerEvent> {
        tokio::select! {
            biased;
            () = self.too_slow.notified() => None,
            event = self.events.recv() => event,
        }
    }

    /// One that has come already.
    pub(crate) fn try_next(&mut self) -> Option<PeerEvent> {
        self.events.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_told_so() {
        let (ear, mut events) = Ear::new();
        for _ in 0..BACKLOG {
            ear.tell(PeerEvent::Connected);
        }
        assert_eq!(events.next().await, Some(PeerEvent::Connected));
        ear.tell(PeerEvent::Connected);
        ear.tell(PeerEvent::Connected);
        assert_eq!(events.next().await, None, "one was lost");
    }

    #[tokio::test]
    async fn who_has_left_hears_the_end() {
        let (ear, mut events) = Ear::new();
        ear.tell(PeerEvent::Left("a".into()));
        drop(ear);
        assert_eq!(events.next().await, Some(PeerEvent::Left("a".into())));
        assert_eq!(events.next().await, None);
    }
}
