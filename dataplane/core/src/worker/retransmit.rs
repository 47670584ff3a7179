//! Packets that a receiver asks for again (RFC 4585 section 6.2.1): from the same history as the first time, on the RTX
//! stream (RFC 4588) or, without one, byte for byte the same.
//!
//! Sealing other bytes under the same key, SSRC and index would break GCM. So everything that a packet's bytes depend
//! on is fixed before it is first sealed: its slot, its padding, the consumer's number and timestamp for it and its
//! extensions.

use corecast_wire::Discard;

use super::seal::{Outgoing, Unsealed, seal};
use super::{Worker, traces};
use crate::consumer::{Stamp, abs_send_time};
use crate::io::Outbox;
use crate::key::ConsumerKey;
use crate::time::Instant;
use crate::transport::Transport;

impl Worker {
    /// A receiver asks for a key frame that has just been sent one. Some drop what comes right after the handshake
    /// (Firefox 153, while its page works on): what the consumer began with is repeated, once, if history has it and it
    /// is recent enough to begin with. Who is not even sent that yet, because it waits for its turn, has only to wait.
    /// False if there is nothing to repeat.
    pub(crate) fn repeat_beginning(&mut self, now: Instant, key: ConsumerKey, outbox: &mut Outbox) -> bool {
        let Some(consumer) = self.consumers.get_mut(key).filter(|one| one.takes_nacks()) else { return false };
        let Some(stream) = self.streams.get(consumer.decoded_stream()) else { return false };
        let Some(packets) = stream.since_key_frame(now, &self.history) else { return false };
        let Some(numbers) = consumer.beginning(packets.start, stream) else { return false };
        let queue = self.transports.get_mut(consumer.transport()).and_then(Transport::queue);
        if queue.is_some_and(|queue| queue.holds(key, numbers.start)) {
            return true;
        }
        if !consumer.may_repeat_beginning() {
            return false;
        }
        let mut repeated = false;
        for out in numbers {
            #[expect(clippy::cast_possible_truncation, reason = "as it is on the wire")]
            match self.retransmit(now, key, out as u16, outbox) {
                Ok(()) => repeated = true,
                // The receiver will miss the rest, and ask for it.
                Err(Discard::OutboxFull) => break,
                Err(_) => {}
            }
        }
        repeated
    }

    /// Repeats packet `out` (as the receiver numbers it) to a consumer.
    pub(crate) fn retransmit(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        out: u16,
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let consumer = self.consumers.get_mut(key).ok_or(Discard::UnknownFeedback)?;
        let transport = self.transports.get_mut(consumer.transport()).ok_or(Discard::NoTransport)?;
        let located = consumer.locate(out).ok_or(Discard::RetransmitNotFound)?;
        let stream = self.streams.get_mut(located.stream()).ok_or(Discard::RetransmitNotFound)?;
        let sequence = located.sequence(stream.withheld()).ok_or(Discard::RetransmitNotFound)?;
        let slot = stream.slot(&self.history, sequence).ok_or(Discard::RetransmitNotFound)?;
        let meta = self.history.meta(slot);
        if !meta.is_settled() || consumer.is_paused() {
            return Err(Discard::RetransmitNotFound);
        }
        let numbered = consumer.numbered(&located, stream, &meta).ok_or(Discard::RetransmitNotFound)?;
        // Nobody misses what has still to leave: with the round, or when its turn comes.
        let is_pending = transport.pending().contains(&(key, located.stream()));
        let is_queued = transport.queue().is_some_and(|queue| queue.holds(key, numbered.index));
        if is_queued || (is_pending && stream.past(&self.history, sequence).is_none()) {
            return Err(Discard::RetransmitNotFound);
        }
        let mut exit = transport.exit().ok_or(Discard::NotConnected)?;
        if !outbox.has_room() {
            return Err(Discard::OutboxFull);
        }
        if !consumer.may_retransmit(now, numbered.index, u64::from(meta.payload_len)) {
            return Err(Discard::RetransmitTooOften);
        }
        let rtx = consumer.next_rtx(meta.payload_type);
        if rtx.is_none() && !consumer.may_repeat(numbered.index) {
            return Err(Discard::RetransmitNotFound);
        }
        let abs_send_time = abs_send_time(self.config.unix_time_ns, now);
        let stamp = Stamp { abs_send_time, transport_cc: exit.next_transport_cc() };
        let mut outgoing = Outgoing::of(consumer, stamp, (&self.history, slot, &meta), numbered);
        // It waits in the outbox while the rest of the batch comes in.
        outgoing.is_copied = true;
        if let Some((ssrc, payload_type, index)) = rtx {
            outgoing = Outgoing { ssrc, payload_type, index, original: Some(out), ..outgoing };
        }
        seal(&mut self.history, slot, &mut exit, &outgoing, outbox).map_err(|unsealed| match unsealed {
            Unsealed::Full => Discard::OutboxFull,
            Unsealed::Discarded(why) => why,
        })?;
        exit.was_repeated();
        if exit.is_traced() {
            traces::sent(&mut self.events, consumer, &outgoing, &meta, exit.last_len());
        }
        // One that is repeated under its own number is named once, when it leaves for the first time.
        let is_new = rtx.is_some() || consumer.extensions().has_transport_cc();
        if is_new && consumer.extensions().is_reported() {
            exit.numbered(now, consumer.extensions().name_of(outgoing.ssrc, outgoing.index));
        }
        consumer.count_retransmitted(rtx.is_some());
        Ok(())
    }
}
