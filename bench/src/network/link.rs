//! A bottleneck: a capacity that changes with time, and a queue that discards what comes when it is full.

use std::collections::VecDeque;

use super::packet::Packet;

/// Packets of which a queue holds at least so many, however slow the link is.
const LEAST_PACKETS: usize = 3;

/// One direction of the path.
#[derive(Debug)]
pub(super) struct Link {
    /// From when on, in microseconds, and bits per second.
    schedule: Vec<(u64, f64)>,
    queue_ms: f64,
    /// What waits, and since when. The first of them is being sent.
    queue: VecDeque<(u64, Packet)>,
    queued_bytes: u64,
}

impl Link {
    pub(super) const fn new(schedule: Vec<(u64, f64)>, queue_ms: f64) -> Self {
        Self { schedule, queue_ms, queue: VecDeque::new(), queued_bytes: 0 }
    }

    pub(super) fn capacity_bps(&self, now_us: u64) -> f64 {
        let since = self.schedule.iter().take_while(|(from_us, _)| *from_us <= now_us).last();
        since.map_or(0.0, |(_, bps)| *bps)
    }

    /// A packet comes. Gives it back if the queue is full; otherwise says when it has been sent if the link was idle.
    pub(super) fn push(&mut self, now_us: u64, packet: Packet) -> Result<Option<u64>, Packet> {
        let room = self.capacity_bps(now_us) / 8e3 * self.queue_ms;
        if self.queue.len() >= LEAST_PACKETS && (self.queued_bytes + u64::from(packet.bytes)) as f64 > room {
            return Err(packet);
        }
        self.queued_bytes += u64::from(packet.bytes);
        self.queue.push_back((now_us, packet));
        Ok(if self.queue.len() == 1 { self.next_done_us(now_us) } else { None })
    }

    /// The first packet has been sent: it, how long it waited, and when the next one will have been sent.
    pub(super) fn pop(&mut self, now_us: u64) -> Option<(Packet, u64, Option<u64>)> {
        let (since_us, packet) = self.queue.pop_front()?;
        self.queued_bytes -= u64::from(packet.bytes);
        let sending_us = self.sending_us(now_us, packet.bytes);
        let waited_us = (now_us - since_us).saturating_sub(sending_us);
        Some((packet, waited_us, self.next_done_us(now_us)))
    }

    fn next_done_us(&self, now_us: u64) -> Option<u64> {
        let (_, packet) = self.queue.front()?;
        Some(now_us + self.sending_us(now_us, packet.bytes))
    }

    fn sending_us(&self, now_us: u64, bytes: u32) -> u64 {
        (f64::from(bytes) * 8e6 / self.capacity_bps(now_us).max(1e3)) as u64
    }
}
