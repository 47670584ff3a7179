//! When something is next due: a heap with lazy deletion. The object that arms a timer keeps its [`Deadline`]; an entry
//! of the heap that names another time is stale.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use corecast_wire::{RouterId, RtpObserverId};

use crate::key::{ProducerKey, StreamKey, TransportKey};
use crate::time::Instant;

/// What is due, and of which object.
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
    /// What an SCTP association has to send again.
    Sctp(TransportKey),
    /// Feedback about what arrived on a transport.
    TransportCc(TransportKey),
    /// A look at how much arrives on a transport.
    Remb(TransportKey),
    /// A look at which of a producer's streams are active.
    Layers(ProducerKey),
    /// Packets that wait to be sealed.
    Queue(TransportKey),
    /// A key frame that a stream was asked for, or will be.
    KeyFrame(StreamKey),
    /// A look at what the path to a transport's receivers carries.
    Sending(TransportKey),
    /// An observer's interval.
    Observer(RtpObserverId),
    /// A look at who of a router is loudest.
    Loudest(RouterId),
    /// A look at whether a stream still sends.
    Idle(StreamKey),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// How many wait, stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
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

/// When an object's timer fires next; kept with the object. The heap's entries for any other time are stale.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// One that is not armed.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// When it fires, if it does.
    pub(crate) const fn at(self) -> Option<Instant> {
        self.0
    }

    /// Fires at `at` if it would not fire earlier. Arming it again and again costs one entry of the heap.
    pub(crate) fn arm(&mut self, timers: &mut Timers, at: Instant, timer: Timer) {
        if self.0.is_none_or(|due| at < due) {
            self.set(timers, Some(at), timer);
        }
    }

    /// Fires at `at`, or never, whatever was armed before.
    pub(crate) fn set(&mut self, timers: &mut Timers, at: Option<Instant>, timer: Timer) {
        if self.0 != at {
            self.0 = at;
            if let Some(at) = at {
                timers.arm(at, timer);
            }
        }
    }

    /// Whether an entry of the heap for `at` is the one that counts. If so, the timer is no longer armed.
    pub(crate) fn fires(&mut self, at: Instant) -> bool {
        let fires = self.0 == Some(at);
        if fires {
            self.0 = None;
        }
        fires
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn arming_a_timer_again_adds_no_entry() {
        let (mut timers, mut deadline, timer) =
            (Timers::default(), Deadline::default(), Timer::Nack(Key::for_tests(1)));
        for later in 0..1_000 {
            deadline.arm(&mut timers, at(100 + later), timer);
        }
        assert_eq!((timers.heap.len(), deadline.at()), (1, Some(at(100))));
    }

    #[test]
    fn only_the_last_time_set_fires_and_once() {
        let (mut timers, mut deadline, timer) =
            (Timers::default(), Deadline::default(), Timer::Nack(Key::for_tests(1)));
        deadline.set(&mut timers, Some(at(1)), timer);
        deadline.set(&mut timers, Some(at(2)), timer);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop(at(3))).map(|(at, _)| at).collect();
        assert_eq!(due, [at(1), at(2)]);
        let fired: Vec<_> = due.into_iter().map(|at| deadline.fires(at)).collect();
        assert_eq!((fired, deadline.fires(at(2))), (vec![false, true], false));
        deadline.set(&mut timers, Some(at(5)), timer);
        deadline.set(&mut timers, None, timer);
        assert!(!deadline.fires(at(5)), "disarmed");
    }
}
