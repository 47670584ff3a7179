//! When something is next due. A heap with lazy deletion: whoever arms a timer remembers the time, and an entry that
//! names another time than the one remembered is stale.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::key::{ProducerKey, StreamKey, TransportKey};
use crate::time::Instant;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Sender and receiver reports of a transport.
    Reports(TransportKey),
    /// Packets that a stream still misses.
    Nack(StreamKey),
    /// Consent of a WebRTC transport's other side.
    Consent(TransportKey),
    /// What a DTLS association has to send again.
    Dtls(TransportKey),
    /// Feedback about what arrived on a transport.
    TransportCc(TransportKey),
    /// A look at how much arrives on a transport.
    Remb(TransportKey),
    /// A look at which of a producer's streams are active.
    Layers(ProducerKey),
    /// A key frame that a stream was asked for, or will be.
    KeyFrame(StreamKey),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// A timer that is due at `now`, with the time at which it was to fire.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
