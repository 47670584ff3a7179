//! SCTP packets that wait for their turn, while data may take no more than its share of what the path carries.

use std::collections::VecDeque;
use std::time::Duration;

use super::queue::Budget;
use crate::limits::MAX_DATA_QUEUE_TIME;
use crate::time::Instant;

/// The packets of one transport's association that wait, and the budget by which they leave.
#[derive(Debug, Default)]
pub(crate) struct DataQueue {
    packets: VecDeque<Vec<u8>>,
    bytes: usize,
    /// None while nothing limits data.
    budget: Option<Budget>,
}

impl DataQueue {
    /// Packets leave at so many bits per second from now on, or as they come.
    pub(crate) fn limit(&mut self, now: Instant, rate_bps: Option<u64>) {
        match (rate_bps, &mut self.budget) {
            (Some(rate_bps), Some(budget)) => budget.set_rate(rate_bps),
            (rate_bps, budget) => *budget = rate_bps.map(|rate_bps| Budget::new(now, rate_bps)),
        }
    }

    /// The next packet whose turn it is at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.budget.is_some_and(|budget| budget.next() > now) {
            return None;
        }
        let packet = self.packets.pop_front()?;
        self.bytes = self.bytes.saturating_sub(packet.len());
        if let Some(budget) = &mut self.budget {
            budget.spend(now, packet.len());
        }
        Some(packet)
    }

    /// Puts a packet behind the others. False if it would wait for too long: it is lost, as at a link that carries no
    /// more, and the association slows down.
    #[must_use]
    pub(crate) fn push(&mut self, now: Instant, packet: Vec<u8>) -> bool {
        let wait = self.budget.map_or(Duration::ZERO, |budget| budget.wait(now, self.bytes));
        let has_room = self.packets.is_empty() || wait <= MAX_DATA_QUEUE_TIME;
        if has_room {
            self.bytes += packet.len();
            self.packets.push_back(packet);
        }
        has_room
    }

    /// When the next packet's turn is; `None` if none waits.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        (!self.packets.is_empty()).then(|| self.budget.map_or_else(Instant::default, Budget::next))
    }

    /// The association is over: what waits is of no use.
    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Packets of 1,000 bytes that leave at `now`.
    fn leave(queue: &mut DataQueue, now: Instant) -> usize {
        std::iter::from_fn(|| queue.pop(now)).count()
    }

    #[test]
    fn packets_leave_at_the_rate_and_those_that_would_wait_too_long_are_lost() {
        let mut queue = DataQueue::default();
        assert!((0..500).all(|_| queue.push(at(10), vec![0; 1_000])), "nothing limits");
        assert_eq!(leave(&mut queue, at(10)), 500);
        queue.limit(at(10), Some(800_000));
        let taken = (0..500).filter(|_| queue.push(at(10), vec![0; 1_000])).count();
        assert_eq!(taken, 21, "200 ms, and one that is on its way");
        assert_eq!(leave(&mut queue, at(10)), 1);
        assert_eq!(queue.next_turn(), Some(at(15)), "what it had saved up is spent");
        assert_eq!((leave(&mut queue, at(15)), leave(&mut queue, at(16)), leave(&mut queue, at(25))), (1, 0, 1));
        queue.limit(at(25), Some(8_000_000));
        assert_eq!(leave(&mut queue, at(36)), 2, "a millisecond each");
        queue.limit(at(36), None);
        assert_eq!(leave(&mut queue, at(36)), 16, "nothing limits");
        assert_eq!(queue.next_turn(), None);
    }
}
