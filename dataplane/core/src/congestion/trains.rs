//! What was sent to one receiver, by train: a run of transport-wide numbers whose packets left together and are equally
//! long. Feedback names numbers; a train says when they left and how long they were, in the space of two packets.

use std::collections::VecDeque;

use super::send::ClusterId;
use crate::limits::MAX_SENT_TRAINS;
use crate::time::Instant;

/// Packets that left together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Train {
    /// Transport-wide number of the first, unwrapped.
    first: u64,
    pub(super) at: Instant,
    pub(super) packets: u16,
    /// Bytes of each, with headers of UDP and IP.
    pub(super) bytes: u16,
    pub(super) cluster: Option<ClusterId>,
}

impl Train {
    /// The number after that of its last packet.
    const fn end(&self) -> u64 {
        self.first + self.packets as u64
    }
}

/// The newest trains, at most [`MAX_SENT_TRAINS`] that have ended. The one that has not lies beside what each packet
/// changes anyway: what has ended is memory that is cold when a packet leaves.
#[derive(Debug)]
pub(super) struct Trains {
    /// The number of the next packet, unwrapped. It begins one cycle up, so that there is a number before each.
    next: u64,
    current: Option<Train>,
    ended: VecDeque<Train>,
}

impl Trains {
    /// None yet; the next packet has this transport-wide number.
    pub(super) fn new(next: u16) -> Self {
        Self { next: (1 << 16) | u64::from(next), current: None, ended: VecDeque::new() }
    }

    /// The number of the next packet, unwrapped.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The number from which on it is known what left.
    pub(super) fn first(&self) -> u64 {
        self.ended.front().or(self.current.as_ref()).map_or(self.next, |train| train.first)
    }

    /// The next packet has left. Returns the train before, if it does not belong to that.
    #[inline]
    pub(super) fn record(&mut self, now: Instant, bytes: u16, cluster: Option<ClusterId>) -> Option<Train> {
        let number = self.next;
        self.next += 1;
        if let Some(current) = &mut self.current
            && (current.at, current.bytes, current.cluster) == (now, bytes, cluster)
            && current.packets < u16::MAX
        {
            current.packets += 1;
            return None;
        }
        let ended = self.take_ended();
        self.current = Some(Train { first: number, at: now, packets: 1, bytes, cluster });
        ended
    }

    /// The last train, once: it gets no further packets. Before this, nothing is known of what it was.
    pub(super) fn take_ended(&mut self) -> Option<Train> {
        let ended = self.current.take()?;
        if self.ended.len() >= MAX_SENT_TRAINS {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
        Some(ended)
    }

    /// A number that feedback begins with, unwrapped; `None` if none of the last 2^15 packets had it.
    pub(super) fn unwrap(&self, number: u16) -> Option<u64> {
        let last = self.next - 1;
        let back = (last as u16).wrapping_sub(number);
        (back < 1 << 15).then(|| last - u64::from(back))
    }

    /// Feedback has begun with this number: what is before it and left before `old` is forgotten. A receiver that tells
    /// of what came late goes back half a second (libwebrtc).
    pub(super) fn forget(&mut self, number: u64, old: Instant) {
        while self.ended.front().is_some_and(|train| train.end() <= number && train.at < old) {
            self.ended.pop_front();
        }
    }

    /// The trains of numbers from `first` on that have ended, in order.
    pub(super) fn from(&self, first: u64) -> Walk<'_> {
        let at = self.ended.partition_point(|train| train.end() <= first);
        Walk { trains: &self.ended, at }
    }
}

/// Goes through the trains by numbers that grow.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    trains: &'a VecDeque<Train>,
    at: usize,
}

impl Walk<'_> {
    /// The train of a number; `None` if it is too old, or has not been sent.
    pub(super) fn train_of(&mut self, number: u64) -> Option<Train> {
        while self.trains.get(self.at).is_some_and(|train| train.end() <= number) {
            self.at += 1;
        }
        self.trains.get(self.at).copied().filter(|train| train.first <= number)
    }

    /// Whether no number from here on was sent.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.trains.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_leaves_together_is_one_train() {
        let mut trains = Trains::new(65_534);
        assert_eq!(trains.take_ended(), None);
        assert!((0..3).all(|_| trains.record(at(1), 1_000, None).is_none()));
        let first = trains.record(at(1), 500, None).expect("another length");
        assert_eq!((first.packets, first.bytes), (3, 1_000));
        assert_eq!(trains.record(at(2), 500, None).map(|train| train.packets), Some(1), "another time");
        assert_eq!(trains.take_ended().map(|train| train.at), Some(at(2)));
        assert_eq!(trains.take_ended(), None, "once");
        assert_eq!(trains.record(at(2), 500, None), None, "a train that was told of is over");
        assert!(trains.take_ended().is_some(), "and another has begun");
        let base = trains.unwrap(65_534).expect("sent");
        let mut walk = trains.from(base);
        let trains_of: Vec<_> = (0..7).map(|n| walk.train_of(base + n).map(|one| (one.at, one.bytes))).collect();
        let [one, two, three] = [(at(1), 1_000), (at(1), 500), (at(2), 500)].map(Some);
        assert_eq!(trains_of, [one, one, one, two, three, three, None]);
        assert!(walk.is_over());
        assert_eq!(trains.unwrap(3).map(|number| number - base), Some(5), "across the wrap");
        assert_eq!(trains.unwrap(4), None, "not sent yet");
    }

    #[test]
    fn what_feedback_is_past_is_forgotten_after_a_while() {
        let mut trains = Trains::new(0);
        (0..100).for_each(|number| _ = trains.record(at(number * 10), 100, None));
        trains.take_ended();
        let first = trains.first();
        trains.forget(first + 80, at(500));
        assert_eq!(trains.first(), first + 50, "what is younger stays");
        trains.forget(first + 60, at(5_000));
        assert_eq!(trains.first(), first + 60, "and what may still be told of");
        trains.forget(first + 1_000, at(5_000));
        assert_eq!((trains.first(), trains.next()), (first + 100, first + 100));
    }

    #[test]
    fn the_oldest_trains_are_forgotten() {
        let mut trains = Trains::new(0);
        for number in 0..3 * MAX_SENT_TRAINS as u64 {
            trains.record(at(number), 100, None);
        }
        trains.take_ended();
        let first = trains.unwrap(0).expect("a number that was sent");
        let mut walk = trains.from(first);
        assert_eq!(walk.train_of(first), None);
        assert_eq!(walk.train_of(first + 3 * MAX_SENT_TRAINS as u64 - 1).map(|train| train.packets), Some(1));
    }
}
