//! What a participant is told of its room: a peer that came by a signaling with messages in both directions.
//!
//! Events are sent under the room's lock, so that a participant that begins with a list misses nothing. One that does
//! not take them is told that it is too slow, and nothing more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use super::muted::Muted;
use crate::ortc::Kind;

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

/// A producer that a participant cannot be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unplayable {
    /// Its name.
    pub(crate) producer: String,
    /// Name of the peer who sends it.
    pub(crate) peer: String,
    pub(crate) kind: Kind,
    /// The codec that the participant would need: `video/H265`.
    pub(crate) mime_type: String,
    pub(crate) paused: bool,
    /// What others are told of it.
    pub(crate) app_data: Option<Value>,
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
    /// The participant is not sent this, since its client has no codec for it, or it is paused or resumed.
    Unplayable(Box<Unplayable>),
    /// A producer that the participant could not be sent has closed.
    UnplayableClosed(String),
    /// A consumer is sent other layers; none while it is sent nothing.
    LayersChanged { consumer: String, layers: Option<Layers> },
    /// How well a consumer does.
    ConsumerScored { consumer: String, score: ConsumerScore },
    /// How well a producer does.
    ProducerScored { producer: String, scores: Vec<StreamScore> },
    /// Nobody takes these encodings of a producer, and somebody all others: their names.
    Unwanted { producer: String, encodings: Vec<String> },
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

/// Where a participant's events go. It stays the same when another WebSocket takes them.
#[derive(Clone, Debug)]
pub(super) struct Ear(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    line: Mutex<Line>,
    /// Changes when somebody else takes the events.
    taken: watch::Sender<()>,
}

/// To whom events go just now.
#[derive(Debug)]
struct Line {
    events: mpsc::Sender<PeerEvent>,
    too_slow: Arc<Notify>,
}

/// The events of a participant.
#[derive(Debug)]
pub(crate) struct PeerEvents {
    events: mpsc::Receiver<PeerEvent>,
    too_slow: Arc<Notify>,
    taken: Absence,
}

/// Tells whether somebody else has taken a participant's events since one had them.
#[derive(Clone, Debug)]
pub(crate) struct Absence(watch::Receiver<()>);

fn line() -> (Line, mpsc::Receiver<PeerEvent>) {
    let (events, receiver) = mpsc::channel(BACKLOG);
    (Line { events, too_slow: Arc::new(Notify::new()) }, receiver)
}

impl Ear {
    pub(super) fn new() -> (Self, PeerEvents) {
        let (line, events) = line();
        let too_slow = Arc::clone(&line.too_slow);
        let (taken, absence) = watch::channel(());
        (
            Self(Arc::new(Shared { line: Mutex::new(line), taken })),
            PeerEvents { events, too_slow, taken: Absence(absence) },
        )
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events go there from now on, and no longer to who took them before.
    pub(super) fn take(&self) -> PeerEvents {
        let (line, events) = line();
        let too_slow = Arc::clone(&line.too_slow);
        *self.line() = line;
        self.0.taken.send_replace(());
        PeerEvents { events, too_slow, taken: Absence(self.0.taken.subscribe()) }
    }

    pub(super) fn tell(&self, event: PeerEvent) {
        let line = self.line();
        if let Err(mpsc::error::TrySendError::Full(_)) = line.events.try_send(event) {
            line.too_slow.notify_one();
        }
    }
}

impl Absence {
    /// Whether somebody else takes the events.
    pub(crate) fn is_over(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// Returns when somebody else takes them.
    pub(super) async fn over(&mut self) {
        if self.0.changed().await.is_err() {
            // The participant has left.
            std::future::pending::<()>().await;
        }
    }
}

impl PeerEvents {
    /// Tells whether somebody else takes them.
    pub(crate) fn absence(&self) -> Absence {
        self.taken.clone()
    }

    /// The next one. None once the participant was too slow, or has left, or once somebody else takes its events.
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
    async fn who_comes_later_takes_the_events() {
        let (ear, mut first) = Ear::new();
        let (clone, mut absence) = (ear.clone(), first.absence());
        ear.tell(PeerEvent::Connected);
        assert!(!absence.is_over());
        let mut second = ear.take();
        clone.tell(PeerEvent::Left("a".into()));
        absence.over().await;
        assert!(first.absence().is_over(), "the first one knows");
        assert_eq!(first.next().await, Some(PeerEvent::Connected), "what it was told before");
        assert_eq!(first.next().await, None);
        assert_eq!(second.next().await, Some(PeerEvent::Left("a".into())), "by whichever clone");
        assert!(!second.absence().is_over());
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
