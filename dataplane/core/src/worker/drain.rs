//! Packets that had to wait, out of their transport's queue ([`crate::transport::Queue`]).

use std::time::Duration;

use corecast_wire::Discard;

use super::Worker;
use super::forward::Departure;
use super::seal::Unsealed;
use crate::consumer::abs_send_time;
use crate::io::{Outbox, Timer};
use crate::key::TransportKey;
use crate::time::Instant;

/// Between two looks at a queue whose next packet's turn has not come, so that packets leave in groups.
const LEAST_WAIT: Duration = Duration::from_millis(1);

impl Worker {
    pub(super) fn queue_timeout(&mut self, now: Instant, at: Instant, key: TransportKey, outbox: &mut Outbox) {
        let queue = self.transports.get_mut(key).and_then(|transport| transport.queue());
        if queue.is_some_and(|queue| queue.deadline().fires(at)) {
            self.drain(now, key, outbox);
        }
    }

    /// Sends the packets whose turn it is, and comes back for the others. Ends the limit when none are left, and the
    /// round, which may wait for the outbox, brings no more.
    pub(super) fn drain(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let abs_send_time = abs_send_time(self.config.unix_time_ns, now);
        let Self { transports, consumers, producers, history, discards, queue_waits, events, limited, .. } = self;
        let Some(transport) = transports.get_mut(key) else { return };
        let (_, Some(queue), exit) = transport.departure() else { return };
        let mut departure =
            Departure { exit, queue: None, now, abs_send_time, producers, history, discards, events, outbox };
        let mut expired = Vec::new();
        let is_full = loop {
            let Some(packet) = queue.front(now) else { break false };
            let Some(consumer) = consumers.get_mut(packet.consumer) else {
                queue.pop(now, 0);
                continue;
            };
            let sent = if packet.interruptions != consumer.interruptions() {
                Err(Unsealed::Discarded(Discard::BeforeSync))
            } else if packet.has_expired(now) {
                Err(Unsealed::Discarded(Discard::WaitedTooLong))
            } else {
                departure.seal(consumer, packet.slot, packet.numbered)
            };
            let (packets, why) = match sent {
                Ok(()) => {
                    queue.pop(now, departure.payload_len(packet.slot));
                    queue_waits.add(now.since(packet.since));
                    consumer.dequeued(1);
                    continue;
                }
                Err(Unsealed::Full) => break true,
                // It would leave a hole that nobody can fill.
                Err(Unsealed::Discarded(why @ (Discard::WaitedTooLong | Discard::LeftHistory))) => {
                    consumer.interrupt();
                    expired.push(packet.consumer);
                    (queue.remove(packet.consumer), why)
                }
                Err(Unsealed::Discarded(why)) => {
                    queue.pop(now, 0);
                    (1, why)
                }
            };
            consumer.dequeued(packets);
            consumer.discard(why, packets as u64);
            departure.discard(why, packets as u64);
        };
        match queue.next_turn() {
            None if limited.contains(&key) => {}
            None => transport.end_limit(),
            // As soon as the outbox has been sent.
            Some(_) if is_full => queue.deadline().set(&mut self.timers, Some(now), Timer::Queue(key)),
            Some(at) => queue.deadline().arm(&mut self.timers, at.max(now + LEAST_WAIT), Timer::Queue(key)),
        }
        expired.into_iter().for_each(|key| self.want_key_frame_for(now, key, outbox));
    }
}
