//! Packets that a receiver asks for again (RFC 4585 section 6.2.1): from the same history as the first time, on the RTX
//! stream (RFC 4588) or, without one, byte for byte the same.
//!
//! Sealing other bytes under the same key, SSRC and index would break GCM. So everything that a packet's bytes depend
//! on is fixed before it is first sealed: its slot, its padding, the consumer's number for it and its extensions.

use corecast_wire::Discard;

use crate::outbox::Outbox;
use crate::seal::{Outgoing, Unsealed, seal};
use crate::time::Instant;
use crate::transport::Flow;
use crate::worker::Worker;

impl Worker {
    /// Repeats packet `out` (as the receiver numbers it) to a consumer.
    pub(crate) fn retransmit(
        &mut self,
        now: Instant,
        key: usize,
        out: u16,
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let consumer = self.consumers.get_mut(key).ok_or(Discard::UnknownFeedback)?;
        let transport = self.transports.get_mut(consumer.transport).ok_or(Discard::NoTransport)?;
        let stream = self.streams.get(consumer.stream).ok_or(Discard::RetransmitNotFound)?;
        let (sequence, index) = consumer.source_of(out).ok_or(Discard::RetransmitNotFound)?;
        let slot = stream.slot(&self.history, sequence).ok_or(Discard::RetransmitNotFound)?;
        let meta = self.history.meta(slot);
        if !meta.settled || consumer.paused || !consumer.accepts(meta.payload_type) {
            return Err(Discard::RetransmitNotFound);
        }
        let path = transport.path(Flow::Rtp).ok_or(Discard::NotConnected)?;
        if !consumer.may_retransmit(now, index, u64::from(meta.payload_len)) {
            return Err(Discard::RetransmitTooOften);
        }
        let mut outgoing = Outgoing::of(consumer, path, &meta, index);
        let rtx = consumer.rtx.as_mut().and_then(|rtx| Some((rtx.payload_type(meta.payload_type)?, rtx)));
        if let Some((payload_type, rtx)) = rtx {
            (outgoing.ssrc, outgoing.payload_type, outgoing.index) = (rtx.ssrc, payload_type, rtx.next_out);
            outgoing.original = Some(out);
            rtx.next_out += 1;
        }
        let sealer = transport.security.as_ref().map(|security| &security.sealer);
        seal(&mut self.history, slot, sealer, &outgoing, outbox, &mut transport.sent).map_err(
            |unsealed| match unsealed {
                Unsealed::Full => Discard::OutboxFull,
                Unsealed::Discarded(why) => why,
            },
        )?;
        consumer.sent.retransmitted += 1;
        Ok(())
    }
}
