//! SCTP packets out: what associations have to send leaves through DTLS, or as it is from plain transports, as fast as
//! data may.

use corecast_wire::{Discard, SctpState};

use super::Worker;
use crate::consumer::Consumer;
use crate::dtls::Dtls;
use crate::io::{Outbox, Timer};
use crate::key::TransportKey;
use crate::limits::DATA_SHARE_PERCENT;
use crate::sctp::Output;
use crate::time::Instant;
use crate::transport::{Flow, Transport};

impl Worker {
    /// What data may take of what the path to a receiver carries, in bits per second, while it wants pictures.
    fn data_share_bps(&mut self, now: Instant, key: TransportKey) -> Option<u64> {
        let transport = self.transports.get_mut(key)?;
        let sending = transport.sending().filter(|sending| sending.is_heard())?;
        let available_bps = sending.available_bps(now)?;
        let wants_pictures = |consumer: &Consumer| consumer.has_key_frames() && !consumer.is_paused();
        let mut consumers = transport.consumers().iter().filter_map(|key| self.consumers.get(*key));
        consumers.any(wants_pictures).then_some(available_bps / 100 * DATA_SHARE_PERCENT)
    }

    /// Sends what an association has to send, as far as its turn has come, and follows what it tells. False if the
    /// outbox is full, or the packets that may leave in this turn are sent.
    pub(super) fn send_packets(
        &mut self,
        now: Instant,
        key: TransportKey,
        left: &mut usize,
        outbox: &mut Outbox,
    ) -> bool {
        let share_bps = self.data_share_bps(now, key);
        if let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) {
            channels.queue().limit(now, share_bps);
        }
        loop {
            if *left == 0 || outbox.wants_flush() {
                return false;
            }
            let Some(channels) = self.transports.get_mut(key).and_then(Transport::channels_mut) else { return true };
            if let Some(stream) = channels.next_left() {
                self.with_association(now, key, |association| association.reset(now, stream));
                continue;
            }
            if let Some(packet) = channels.queue().pop(now) {
                self.send_sctp(now, key, &packet, outbox);
                *left -= 1;
                continue;
            }
            let Some(association) = channels.association_mut() else { return true };
            let held = association.held_bytes();
            let output = association.poll();
            self.messages.held_bytes = (self.messages.held_bytes + association.held_bytes()).saturating_sub(held);
            match output {
                None => {
                    if let Some(at) = channels.queue().next_turn() {
                        channels.deadline().arm(&mut self.timers, at, Timer::Sctp(key));
                    }
                    return true;
                }
                Some(Output::Packet(packet)) => {
                    if !channels.queue().push(now, packet) {
                        self.discard(key, Discard::DataOverShare);
                    }
                }
                Some(Output::Connected) => self.report_sctp_state(key, SctpState::Connected, String::new()),
                Some(Output::Ended(cause)) => self.end_association(now, key, cause),
                Some(Output::Reset(streams)) => self.streams_reset(now, key, streams),
                Some(Output::BufferedAmountLow(stream)) => self.buffered_amount_low(key, stream),
            }
        }
    }

    /// Tells the other side of a plain transport's association that it is over (RFC 9260 section 9.1).
    pub(super) fn abort_plain_association(&mut self, now: Instant, key: TransportKey, outbox: &mut Outbox) {
        let farewell = self.with_association(now, key, |association| association.close(now)).flatten();
        if let (Some(packet), Some(transport)) = (farewell, self.transports.get_mut(key)) {
            send_plainly(transport, &packet, outbox);
        }
    }

    fn send_sctp(&mut self, now: Instant, key: TransportKey, packet: &[u8], outbox: &mut Outbox) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(webrtc) = transport.webrtc() else { return send_plainly(transport, packet, outbox) };
        // Without a path it is lost, as on the way, and sent again.
        let Some(path) = webrtc.path_of_dtls() else { return };
        let is_last = !webrtc.dtls().is_some_and(Dtls::can_send_data);
        let farewell = if is_last { self.with_association(now, key, |one| one.close(now)).flatten() } else { None };
        let packet = if is_last { farewell.as_deref().unwrap_or_default() } else { packet };
        self.with_dtls(now, key, path, outbox, |dtls, identity, now, send| dtls.send_data(identity, now, packet, send));
        // Pictures that are paced make room for it.
        if let Some(queue) = self.transports.get_mut(key).and_then(|transport| transport.queue()) {
            queue.passed(now, packet.len());
        }
        if is_last {
            self.end_association(now, key, "its key has protected as many records as it may".to_owned());
        }
    }
}

/// Sends a packet of a plain transport. Without a path or room it is lost, as on the way, and sent again.
fn send_plainly(transport: &mut Transport, packet: &[u8], outbox: &mut Outbox) {
    let Some(path) = transport.path(Flow::Rtp) else { return };
    if let Some(room) = outbox.reserve(packet.len()) {
        room.copy_from_slice(packet);
        transport.push_to(path, outbox, packet.len());
    }
}
