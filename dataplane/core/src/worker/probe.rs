//! Probes: padding on a retransmission stream, sent faster than the estimate, to learn whether the path carries more.

use corecast_wire::Discard;

use super::Worker;
use crate::consumer::{Consumer, Passed, Stamp, abs_send_time};
use crate::io::Outbox;
use crate::key::{ConsumerKey, TransportKey};
use crate::rtp::{FIXED_HEADER_BYTES, Header, begin_header};
use crate::srtp::SealError;
use crate::time::Instant;

/// Padding of one packet; libwebrtc sends as much. Its last byte says how much (RFC 3550 section 5.1).
const PADDING: [u8; PADDING_BYTES] = {
    let mut padding = [0; PADDING_BYTES];
    padding[PADDING_BYTES - 1] = PADDING_BYTES as u8;
    padding
};
const PADDING_BYTES: usize = 224;

impl Worker {
    /// Begins a probe that is due, and goes on with one that is under way.
    pub(super) fn probe(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) else { return };
        let Some(bytes) = sending.begin_probe(now) else { return };
        let carrier = self.carrier_of(key);
        let (mut sent, mut packets) = (0, 0);
        while sent < bytes {
            match carrier.ok_or(Discard::NotConnected).and_then(|carrier| self.send_padding(now, carrier, outbox)) {
                Ok(len) => (sent, packets) = (sent + len, packets + 1),
                Err(_) => break,
            }
        }
        if let Some(sending) = self.transports.get_mut(key).and_then(|transport| transport.sending()) {
            sending.end_probe(sent, packets);
        }
        self.tell_probe(key, packets);
    }

    /// The consumer on whose retransmission stream padding leaves. Receivers know that stream, and throw away what has
    /// no payload there; on the stream of media some lose a frame by it.
    pub(super) fn carrier_of(&self, key: TransportKey) -> Option<ConsumerKey> {
        let consumers = self.transports.get(key)?.consumers().iter().copied();
        consumers.into_iter().find(|key| {
            let consumer = self.consumers.get(*key);
            consumer.is_some_and(Consumer::can_carry_padding)
        })
    }

    /// Sends one packet of padding. Answers how many bytes it has.
    fn send_padding(&mut self, now: Instant, key: ConsumerKey, outbox: &mut Outbox) -> Result<usize, Discard> {
        let abs_send_time = abs_send_time(self.config.unix_time_ns, now);
        let consumer = self.consumers.get_mut(key).ok_or(Discard::UnknownFeedback)?;
        let transport = self.transports.get_mut(consumer.transport()).ok_or(Discard::NoTransport)?;
        let (ssrc, payload_type, index) = consumer.rtx_for_padding().ok_or(Discard::NotConnected)?;
        let mut exit = transport.exit().ok_or(Discard::NotConnected)?;
        if !outbox.has_room() {
            return Err(Discard::OutboxFull);
        }
        let timestamp = consumer.newest_timestamp(self.streams.get(consumer.last_stream()).map(|stream| &**stream));
        #[expect(clippy::cast_possible_truncation, reason = "RTP carries the lower 16 bits")]
        let header = Header { payload_type, marker: false, padding: true, sequence: index as u16, timestamp, ssrc };
        let stamp = Stamp { abs_send_time, transport_cc: exit.next_transport_cc() };
        let block_len = consumer.extensions().block_len(Passed::default());
        let header_len = FIXED_HEADER_BYTES + block_len;
        let sealer = exit.sealer();
        let len = header_len + PADDING_BYTES + sealer.map_or(0, |sealer| sealer.rtp_overhead());
        let room = outbox.reserve(len).ok_or(Discard::OutboxFull)?;
        let written = begin_header(room, &header, &[], block_len)
            .and_then(|room| consumer.extensions().write(Passed::default(), stamp, room));
        written.ok_or(Discard::SealFailed)?;
        match sealer {
            Some(sealer) => sealer.seal_rtp(ssrc, index, room, header_len, &PADDING).map_err(SealError::discard)?,
            None => room.get_mut(header_len..).ok_or(Discard::SealFailed)?.copy_from_slice(&PADDING),
        }
        exit.push(outbox, len, None);
        exit.was_padding();
        exit.numbered(now, consumer.extensions().name_of(ssrc, index));
        consumer.count_padding();
        Ok(len)
    }
}
