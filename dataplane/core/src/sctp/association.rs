//! The association: dcsctp's socket with our clock, our limits and the count of what it holds.

use std::fmt;
use std::time::Duration;

use corecast_wire::{DataLimits, SctpOptions, SctpStreamParameters};
use dcsctp::api::{
    DcSctpSocket, LifecycleId, Message, Options, PpId, SendOptions, SocketEvent, SocketState, SocketTime, StreamId,
};

use super::MessageKind;
use crate::limits::{MAX_MESSAGE_BYTES, SCTP_MTU_BYTES};
use crate::time::Instant;

/// Least window that an association may announce (RFC 9260 section 3.3.2).
const MIN_WINDOW: u32 = 1_500;
/// Bits of a message's number that tell its length.
const LEN_BITS: u32 = 24;

/// What an association has to tell or to send.
#[derive(Debug)]
pub(crate) enum Output {
    /// A packet for the other side.
    Packet(Vec<u8>),
    /// It is established.
    Connected,
    /// It is over, for this reason.
    Ended(String),
    /// The other side has closed these streams; all of them if there is none.
    Reset(Vec<u16>),
    /// What waits to be sent on a stream has fallen to the threshold or below it.
    BufferedAmountLow(u16),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// It would have to wait behind more than may wait.
    BufferFull,
    /// It is empty, or longer than the other side takes, or the association is over.
    Refused,
}

/// An association.
pub(crate) struct Association {
    socket: Box<dyn DcSctpSocket>,
    made: Instant,
    /// Most bytes of a message that the other side takes.
    max_message_bytes: usize,
    /// Most of [`Self::held_bytes`].
    max_held_bytes: usize,
    /// Bytes of messages that were given to the socket and are neither acknowledged nor given up.
    held_bytes: usize,
    /// Messages that were given to the socket.
    sent: u64,
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association").field("held_bytes", &self.held_bytes).finish_non_exhaustive()
    }
}

impl Association {
    /// One that waits for the other side.
    pub(crate) fn new(sctp: SctpOptions, limits: DataLimits, now: Instant) -> Self {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (port, remote) = (sctp.port, size(sctp.max_message_bytes));
        let (max_held_bytes, buffers) = (size(limits.send_buffer_bytes), sctp.buffers);
        let max_message_bytes = if remote == 0 { MAX_MESSAGE_BYTES } else { remote.min(MAX_MESSAGE_BYTES) };
        let options = Options {
            local_port: port,
            remote_port: port,
            mtu: SCTP_MTU_BYTES,
            max_message_size: max_message_bytes,
            max_receiver_window_buffer_size: size(
                buffers.recv_window_bytes.max(MIN_WINDOW).min(limits.recv_window_bytes),
            ),
            max_send_buffer_size: size(buffers.send_bytes).min(max_held_bytes),
            per_stream_send_queue_limit: size(buffers.stream_send_bytes).min(max_held_bytes),
            enable_message_interleaving: true,
            ..Options::default()
        };
        let socket = dcsctp::new_socket("", &options);
        Self { socket, made: now, max_message_bytes, max_held_bytes, held_bytes: 0, sent: 0 }
    }

    /// Begins by itself (RFC 9260 section 5.1). False if it has begun already.
    pub(crate) fn connect(&mut self, now: Instant) -> bool {
        let begins = self.socket.state() == SocketState::Closed;
        if begins {
            self.advance(now);
            self.socket.connect();
        }
        begins
    }

    /// Streams that both sides may use: to the other side, and from it. `None` before it is established.
    pub(crate) fn streams(&self) -> Option<(u16, u16)> {
        let metrics = self.socket.get_metrics()?;
        Some((metrics.negotiated_maximum_outgoing_streams, metrics.negotiated_maximum_incoming_streams))
    }

    /// Bytes of messages that the other side has not acknowledged.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn advance(&mut self, now: Instant) {
        self.socket.advance_time(SocketTime::zero() + now.since(self.made));
    }

    /// Takes in a packet.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        self.advance(now);
        self.socket.handle_input(packet);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let due = self.socket.poll_timeout();
        (due < SocketTime::infinite_future()).then(|| self.made + (due - SocketTime::zero()))
    }

    /// Takes a message to send on a stream.
    ///
    /// # Errors
    /// Nothing has changed.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        stream: u16,
        kind: MessageKind,
        payload: &[u8],
        parameters: SctpStreamParameters,
    ) -> Result<(), SendError> {
        let len = payload.len();
        if len == 0 || len > self.max_message_bytes {
            return Err(SendError::Refused);
        }
        if self.held_bytes + len > self.max_held_bytes {
            return Err(SendError::BufferFull);
        }
        self.advance(now);
        let id = (self.sent + 1) << LEN_BITS | len as u64;
        let options = SendOptions {
            unordered: !parameters.ordered,
            lifetime: parameters.max_packet_life_time.map(|ms| Duration::from_millis(ms.into())),
            max_retransmissions: parameters.max_retransmits,
            lifecycle_id: LifecycleId::new(id),
        };
        // The end of a message that is refused is told as well, so it is counted first.
        self.held_bytes += len;
        self.sent += 1;
        let message = Message::new(StreamId(stream), PpId(kind.identifier()), payload.to_vec());
        self.socket.send(message, &options).map_err(|error| match error {
            dcsctp::api::SendError::ResourceExhaustion => SendError::BufferFull,
            _ => SendError::Refused,
        })
    }

    /// The next whole message that has come: its stream, what it is if that is known, and its payload.
    pub(crate) fn take_message(&mut self) -> Option<(u16, Option<MessageKind>, Vec<u8>)> {
        let message = self.socket.get_next_message()?;
        Some((message.stream_id.0, MessageKind::of(message.ppid.0), message.payload))
    }

    /// Closes our half of a stream (RFC 6525), behind what is under way on it. What has not begun is forgotten.
    pub(crate) fn reset(&mut self, now: Instant, stream: u16) {
        self.advance(now);
        // Fails before it is established and where the other side knows no reset. There is nothing to be done then.
        let _ = self.socket.reset_streams(&[StreamId(stream)]);
    }

    /// Ends it. Returns the packet that says so (ABORT); what else it had to send is lost.
    pub(crate) fn close(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.advance(now);
        self.socket.close();
        let packets = std::iter::from_fn(|| self.socket.poll_event()).filter_map(|event| match event {
            SocketEvent::SendPacket(packet) => Some(packet),
            _ => None,
        });
        packets.last()
    }

    /// Bytes that wait to be sent for the first time on a stream.
    pub(crate) fn buffered_amount(&self, stream: u16) -> usize {
        self.socket.buffered_amount(StreamId(stream))
    }

    /// The amount in bytes at which [`Output::BufferedAmountLow`] is told of a stream.
    pub(crate) fn set_buffered_amount_low_threshold(&mut self, stream: u16, bytes: u32) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.socket.set_buffered_amount_low_threshold(StreamId(stream), bytes);
    }

    /// What it has to tell or to send next.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        loop {
            let output = match self.socket.poll_event()? {
                SocketEvent::SendPacket(packet) => Output::Packet(packet),
                SocketEvent::OnConnected() => Output::Connected,
                SocketEvent::OnClosed() => Output::Ended("the other side has shut it down".to_owned()),
                SocketEvent::OnAborted(_, cause) => Output::Ended(cause),
                SocketEvent::OnIncomingStreamReset(streams) => {
                    Output::Reset(streams.into_iter().map(|stream| stream.0).collect())
                }
                SocketEvent::OnBufferedAmountLow(stream) => Output::BufferedAmountLow(stream.0),
                SocketEvent::OnLifecycleEnd(id) => {
                    let len = usize::try_from(id.value() & ((1 << LEN_BITS) - 1)).unwrap_or(0);
                    self.held_bytes = self.held_bytes.saturating_sub(len);
                    continue;
                }
                SocketEvent::OnConnectionRestarted() => {
                    // What was under way is gone without a word.
                    self.held_bytes = 0;
                    continue;
                }
                SocketEvent::OnError(..)
                | SocketEvent::OnTotalBufferedAmountLow()
                | SocketEvent::OnStreamsResetFailed(_)
                | SocketEvent::OnStreamsResetPerformed(_)
                | SocketEvent::OnLifecycleMessageFullySent(_)
                | SocketEvent::OnLifecycleMessageMaybeExpired(_)
                | SocketEvent::OnLifecycleMessageExpired(_)
                | SocketEvent::OnLifecycleMessageDelivered(_) => continue,
            };
            return Some(output);
        }
    }
}

const _: () = assert!(MAX_MESSAGE_BYTES < 1 << LEN_BITS);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dcsctp::api::{DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketTime, StreamId};

    /// Messages that are sent; all together take more than the receiver holds.
    const MESSAGES: usize = 400;

    /// Carries packets between a sender and a receiver, but for the first one of data; returns how many messages came.
    fn carry(sides: &mut [Box<dyn DcSctpSocket>; 2], lost: &mut bool) -> usize {
        let mut came = 0;
        loop {
            let mut is_quiet = true;
            for from in [0, 1] {
                while let Some(event) = sides[from].poll_event() {
                    let SocketEvent::SendPacket(packet) = event else { continue };
                    is_quiet = false;
                    // A chunk of data (RFC 9260 section 3.3.1), or I-DATA.
                    let is_data = matches!(packet.get(12), Some(0 | 64));
                    if from == 0 && is_data && !std::mem::replace(lost, true) {
                        continue;
                    }
                    sides[1 - from].handle_input(&packet);
                }
            }
            came += std::iter::from_fn(|| sides[1].get_next_message()).count();
            if is_quiet {
                return came;
            }
        }
    }

    /// What waits for a packet that was lost may fill the receiver up to its mark, and that packet is still taken in:
    /// nothing else lets any of it go.
    #[test]
    fn a_lost_packet_is_taken_in_though_much_waits_for_it() {
        let options = [Options::default(), Options { max_receiver_window_buffer_size: 8_000, ..Options::default() }];
        let mut sides = options.map(|options| dcsctp::new_socket("", &options));
        let mut lost = true;
        sides[0].connect();
        carry(&mut sides, &mut lost);
        for _ in 0..MESSAGES {
            let message = Message::new(StreamId(1), PpId(53), vec![7; 100]);
            sides[0].send(message, &SendOptions::default()).expect("there is room");
        }
        lost = false;
        let mut came = 0;
        for tenth in 1..600 {
            came += carry(&mut sides, &mut lost);
            let now = SocketTime::zero() + Duration::from_millis(tenth * 100);
            sides.iter_mut().for_each(|side| side.advance_time(now));
        }
        assert_eq!(came, MESSAGES);
    }
}
