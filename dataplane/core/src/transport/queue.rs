//! Packets that have their numbers and wait to be sealed.
//!
//! Media is sealed as soon as it is forwarded unless something limits it. Then it waits here, and is sealed and stamped
//! when its turn comes, so that its time and its transport-wide number are those of its departure. A consumer's packets
//! stay in their order. Two things limit: what a consumer is sent of the time before it joined must not leave in one
//! burst that overflows its receiver's path; and once a receiver has said what came, its pictures leave no faster than
//! its path carries them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::consumer::Numbered;
use crate::io::Deadline;
use crate::key::ConsumerKey;
use crate::limits::{MAX_QUEUE_TIME, MAX_QUEUED_PACKETS};
use crate::media::SlotRef;
use crate::time::Instant;

/// What a budget may save up while nothing is sent: packets leave in groups of about this length, as trains.
const BURST: Duration = Duration::from_millis(5);

/// How long packets that wait are let wait for those behind them, so that they leave as one train. The last of a
/// picture leaves no later for that.
const GROUP: Duration = Duration::from_millis(5);

/// A packet whose time comes so soon does not wait for it: nobody looks more often.
const SOON: Duration = Duration::from_millis(1);

/// A packet that has its number and waits to be sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    pub(crate) consumer: ConsumerKey,
    /// See [`crate::consumer::Consumer::interruptions`].
    pub(crate) interruptions: u32,
    pub(crate) slot: SlotRef,
    pub(crate) numbered: Numbered,
    /// Since when it waits.
    pub(crate) since: Instant,
}

impl Queued {
    /// When it is of no use, whether or not its turn has come.
    fn expires(&self) -> Instant {
        self.since + MAX_QUEUE_TIME
    }

    /// Whether it has waited for too long.
    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.expires() <= now
    }
}

/// How fast a queue may be emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    rate_bps: u64,
    /// When what has been sent is paid for.
    free_at: Instant,
}

impl Budget {
    /// `rate_bps` bits per second from `now` on, at least one.
    pub(crate) fn new(now: Instant, rate_bps: u64) -> Self {
        Self { rate_bps: rate_bps.max(1), free_at: now - BURST }
    }

    /// When the next packet may leave.
    pub(crate) const fn next(self) -> Instant {
        self.free_at
    }

    /// What leaves from now on leaves at this rate.
    pub(crate) fn set_rate(&mut self, rate_bps: u64) {
        self.rate_bps = rate_bps.max(1);
    }

    /// How long a packet waits behind so many bytes.
    pub(crate) fn wait(self, now: Instant, bytes: usize) -> Duration {
        self.free_at.since(now) + self.span(bytes)
    }

    const fn span(self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(8_000_000_000) / self.rate_bps)
    }

    /// A packet of so many bytes leaves.
    pub(crate) fn spend(&mut self, now: Instant, bytes: usize) {
        self.free_at = self.free_at.max(now - BURST) + self.span(bytes);
    }

    /// The same for one that has waited for others: a timer that is late takes nothing from what they may send.
    fn spend_in_group(&mut self, now: Instant, bytes: usize) {
        self.free_at = self.free_at.max(now - BURST - GROUP) + self.span(bytes);
    }
}

/// The packets of one transport that wait, and the budget by which they leave.
#[derive(Debug)]
pub(crate) struct Queue {
    packets: VecDeque<Queued>,
    budget: Budget,
    /// Bytes of the packet that left last.
    last_bytes: usize,
    /// Not only what waits already, but every picture takes its turn.
    is_paced: bool,
    deadline: Deadline,
}

impl Queue {
    pub(crate) const fn new(budget: Budget) -> Self {
        Self { packets: VecDeque::new(), budget, last_bytes: 0, is_paced: false, deadline: Deadline::new() }
    }

    /// More is to leave in the same time, unless all is paced.
    pub(crate) const fn add_rate(&mut self, rate_bps: u64) {
        if !self.is_paced {
            self.budget.rate_bps = self.budget.rate_bps.saturating_add(rate_bps);
        }
    }

    /// Every picture takes its turn at this rate from now on.
    pub(crate) fn pace(&mut self, rate_bps: u64) {
        (self.is_paced, self.budget.rate_bps) = (true, rate_bps.max(1));
    }

    /// Whether every picture takes its turn.
    pub(crate) const fn is_paced(&self) -> bool {
        self.is_paced
    }

    /// Whether a picture's packet must take its turn behind others, or wait for its time.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.is_paced && (!self.is_empty() || self.budget.next() > now + SOON)
    }

    /// A packet has left that did not have to wait.
    pub(crate) fn passed(&mut self, now: Instant, bytes: usize) {
        if self.is_paced {
            self.budget.spend(now, bytes);
            self.last_bytes = bytes;
        }
    }

    /// Puts a packet behind the others. False if there are too many.
    #[must_use]
    pub(crate) fn push(&mut self, packet: Queued) -> bool {
        let has_room = self.packets.len() < MAX_QUEUED_PACKETS;
        if has_room {
            self.packets.push_back(packet);
        }
        has_room
    }

    /// Packets for which there is room.
    pub(crate) fn room(&self) -> usize {
        MAX_QUEUED_PACKETS.saturating_sub(self.packets.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The packet whose turn it is at `now`, or whose time is over.
    pub(crate) fn front(&self, now: Instant) -> Option<Queued> {
        let is_due = |packet: &Queued| self.budget.next() <= now || packet.has_expired(now);
        self.packets.front().copied().filter(is_due)
    }

    /// That packet has left, with so many bytes, or never will.
    pub(crate) fn pop(&mut self, now: Instant, bytes: usize) {
        self.packets.pop_front();
        self.budget.spend_in_group(now, bytes);
        self.last_bytes = bytes;
    }

    /// Whether the packet of a consumer's number waits.
    pub(crate) fn holds(&self, consumer: ConsumerKey, index: u64) -> bool {
        self.packets.iter().any(|packet| packet.consumer == consumer && packet.numbered.index == index)
    }

    /// Takes out all packets of a consumer. Returns how many there were.
    pub(crate) fn remove(&mut self, consumer: ConsumerKey) -> usize {
        let before = self.packets.len();
        self.packets.retain(|packet| packet.consumer != consumer);
        before - self.packets.len()
    }

    /// When a group's turn is, as many as wait or what [`GROUP`] has room for, or the first one's time is over; `None`
    /// if none waits.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        let first = self.packets.front()?;
        let behind = self.budget.span(self.last_bytes.saturating_mul(self.packets.len() - 1));
        Some((self.budget.next() + behind.min(GROUP)).min(first.expires()))
    }

    /// When the queue is looked at next.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Change;
    use crate::media::History;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn packet(consumer: u32, index: u64) -> Queued {
        let mut history = History::default();
        let slot = history.allocate().expect("the first");
        Queued {
            consumer: ConsumerKey::for_tests(consumer),
            interruptions: 0,
            slot: history.reference(slot),
            numbered: Numbered { index, timestamp_offset: 0, change: Change::NONE },
            since: at(0),
        }
    }

    /// Indexes of what leaves at `now`, with packets of 1,000 bytes.
    fn leave(queue: &mut Queue, now: Instant) -> Vec<u64> {
        let mut left = Vec::new();
        while let Some(packet) = queue.front(now) {
            queue.pop(now, 1_000);
            left.push(packet.numbered.index);
        }
        left
    }

    #[test]
    fn packets_leave_in_order_at_the_rate_of_the_budget() {
        // A packet takes a millisecond.
        let mut queue = Queue::new(Budget::new(at(10), 8_000_000));
        assert!((0..100).all(|index| queue.push(packet(1, index))));
        assert_eq!(leave(&mut queue, at(10)), (0..6).collect::<Vec<_>>(), "what it has saved up, and one");
        assert_eq!(queue.next_turn(), Some(at(16)), "as many as leave in five milliseconds leave together");
        assert_eq!(leave(&mut queue, at(13)), [6, 7, 8]);
        assert_eq!(leave(&mut queue, at(400)), (9..20).collect::<Vec<_>>(), "a long pause saves up no more than that");
        queue.add_rate(8_000_000);
        assert_eq!(leave(&mut queue, at(405)).len(), 9, "a packet takes half of that");
        assert!((0..2).all(|index| queue.push(packet(2, index))));
        assert_eq!(queue.remove(ConsumerKey::for_tests(1)), 71);
        assert_eq!(queue.next_turn(), Some(at(406)), "the last of two does not wait for a third");
    }

    /// Media that has waited for so long is of no use, though its turn would be later.
    #[test]
    fn a_packet_does_not_wait_for_its_turn_for_ever() {
        let mut queue = Queue::new(Budget::new(at(0), 1_000));
        queue.pop(at(0), 1_000);
        assert!(queue.push(packet(1, 0)));
        assert_eq!(queue.next_turn(), Some(at(500)), "its turn is after eight seconds");
        assert!(queue.front(at(499)).is_none());
        let over = queue.front(at(500)).expect("its time is over");
        assert!(over.has_expired(at(500)) && !over.has_expired(at(499)));
    }

    #[test]
    fn one_consumers_packets_are_taken_out_and_the_others_stay() {
        let mut queue = Queue::new(Budget::new(at(10), 8_000_000));
        assert!((0..6).all(|index| queue.push(packet(1 + index as u32 % 2, index))));
        assert!(queue.holds(ConsumerKey::for_tests(1), 2) && !queue.holds(ConsumerKey::for_tests(2), 2));
        assert_eq!((queue.remove(ConsumerKey::for_tests(1)), queue.remove(ConsumerKey::for_tests(9))), (3, 0));
        assert_eq!(leave(&mut queue, at(10)), [1, 3, 5]);
        assert!(queue.is_empty() && queue.next_turn().is_none());
    }

    /// Sound and data do not wait, but what they take pictures do not have.
    #[test]
    fn pictures_make_room_for_what_passes_them() {
        let mut queue = Queue::new(Budget::new(at(10), 8_000_000));
        queue.passed(at(10), 20_000);
        assert!(!queue.is_busy(at(10)), "nothing is paced");
        queue.pace(8_000_000);
        assert!(!queue.is_busy(at(10)));
        queue.passed(at(10), 20_000);
        assert!(queue.is_busy(at(10)) && queue.is_busy(at(23)), "20 ms, less what it had saved up");
        assert!(!queue.is_busy(at(24)));
    }

    #[test]
    fn a_queue_has_an_end() {
        let mut queue = Queue::new(Budget::new(at(0), 1));
        let pushed = (0..2 * MAX_QUEUED_PACKETS as u64).filter(|index| queue.push(packet(1, *index))).count();
        assert_eq!(pushed, MAX_QUEUED_PACKETS);
    }
}
