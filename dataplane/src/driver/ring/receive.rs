//! Receiving through the ring: one multishot receive for each socket, into provided buffers that all sockets share.
//!
//! Owns the buffers and the state of each socket's receive.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use corecast_core::{EndpointId, Path};
use io_uring::cqueue;
use io_uring::types::RecvMsgOut;

use super::buffers::ProvidedBuffers;
use super::submit::{Completion, Queue};
use crate::driver::address::{CONTROL_BYTES, NAME_BYTES, parse_control, parse_name};
use crate::driver::arena::Region;
use crate::driver::intake::{Arrival, ReceiveBuffers};

/// Receive buffers where `UDP_GRO` may fill one with 64 KiB, and where a buffer is one datagram.
const GRO_BUFFERS: (u16, usize) = (64, 65_536 + OVERHEAD_BYTES);
const BUFFERS: (u16, usize) = (256, 2_048 + OVERHEAD_BYTES);
/// Room for what the kernel writes before the payload: its own header of 16 bytes, name and control messages.
const OVERHEAD_BYTES: usize = 128;
const _: () = assert!(16 + NAME_BYTES + CONTROL_BYTES <= OVERHEAD_BYTES);

/// State of a socket's receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No socket has this number.
    #[default]
    None,
    /// The kernel has it.
    Armed,
    /// It ended (no buffers, or an error of the socket) and is armed again before the next sleep.
    Ended,
    /// It was cancelled with its socket. Until its end the slot cannot be used.
    Closing,
}

/// The receive of one socket.
#[derive(Clone, Copy, Debug, Default)]
struct Receive {
    state: State,
    /// Last `SO_RXQ_OVFL` count of the socket.
    overflows: u32,
}

/// Receives of all sockets.
pub(super) struct Receiver {
    buffers: ProvidedBuffers,
    /// Says how the kernel lays out a buffer; boxed because submissions point to it.
    template: Box<libc::msghdr>,
    receives: Vec<Receive>,
    ended: Vec<EndpointId>,
    closed: Vec<EndpointId>,
    in_flight: usize,
}

const fn buffers(gro: bool) -> (u16, usize) {
    if gro { GRO_BUFFERS } else { BUFFERS }
}

impl Receiver {
    /// Registers buffers with the ring. The receiver must not be dropped while a receive is in flight.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn new(gro: bool, memory: Region, queue: &Queue) -> io::Result<Self> {
        let (count, bytes) = buffers(gro);
        let buffers = ProvidedBuffers::new(memory, count, bytes);
        // SAFETY: the buffers' ring has `count` entries and stays where it is; `Ring::drop` leaks the receiver rather
        // than free it while a receive is in flight.
        unsafe { queue.register_buffers(buffers.ring_address(), buffers.count()) }?;
        // SAFETY: msghdr is plain old data; all zeroes is a valid value (null pointers, zero lengths).
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = u32::try_from(NAME_BYTES).unwrap_or(0);
        template.msg_controllen = CONTROL_BYTES;
        let (receives, ended, closed) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { buffers, template, receives, ended, closed, in_flight: 0 })
    }

    /// Memory that [`Self::new`] needs, in bytes.
    pub(super) const fn memory_bytes(gro: bool) -> usize {
        let (count, bytes) = buffers(gro);
        ProvidedBuffers::memory_bytes(count, bytes)
    }

    /// Receives from a socket from now on.
    pub(super) fn add(&mut self, id: EndpointId, fd: &OwnedFd, queue: &mut Queue) -> io::Result<()> {
        queue.register_socket(id, fd.as_raw_fd())?;
        let index = id.0 as usize;
        if self.receives.len() <= index {
            self.receives.resize(index + 1, Receive::default());
        }
        if let Some(receive) = self.receives.get_mut(index) {
            receive.overflows = 0;
        }
        self.arm(id, queue);
        // At once, so that an open socket is heard even if the thread does not sleep soon.
        queue.submit();
        Ok(())
    }

    fn arm(&mut self, id: EndpointId, queue: &mut Queue) {
        // SAFETY: the template lives in a box of the receiver, which lives as long as its receives; `new` has
        // registered the buffers.
        unsafe { queue.receive(id, &raw const *self.template) };
        if let Some(receive) = self.receives.get_mut(id.0 as usize) {
            receive.state = State::Armed;
            self.in_flight += 1;
        }
    }

    /// Arms receives that have ended, now that buffers have been given back.
    pub(super) fn rearm(&mut self, queue: &mut Queue) {
        // In the order in which they ended: one that took the last buffers comes behind those that found none.
        let mut ended = std::mem::take(&mut self.ended);
        for id in ended.drain(..) {
            if self.receives.get(id.0 as usize).is_some_and(|receive| receive.state == State::Ended) {
                self.arm(id, queue);
            }
        }
        self.ended = ended;
    }

    /// Ends the receive of a socket. The socket's number is free once [`Self::next_closed`] has named it.
    pub(super) fn close(&mut self, id: EndpointId, queue: &mut Queue) {
        let Some(receive) = self.receives.get_mut(id.0 as usize) else { return };
        match std::mem::replace(&mut receive.state, State::Closing) {
            State::Armed => queue.cancel_receive(id),
            State::Ended | State::None => self.closed.push(id),
            State::Closing => {}
        }
    }

    /// The number of a socket whose receive has ended since it was closed.
    pub(super) fn next_closed(&mut self, queue: &Queue) -> Option<EndpointId> {
        let id = self.closed.pop()?;
        if let Some(receive) = self.receives.get_mut(id.0 as usize) {
            receive.state = State::None;
        }
        // Releases the socket and its port. Cannot fail for a slot within the table.
        let _ = queue.register_socket(id, -1);
        Some(id)
    }

    /// Receives that the kernel has.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Bytes of a filled buffer.
    pub(super) fn bytes(&self, buffer: u16) -> &[u8] {
        self.buffers.bytes(buffer)
    }

    /// Hands a buffer back to the kernel.
    pub(super) fn give_back(&mut self, buffer: u16) {
        self.buffers.give_back(buffer);
    }

    /// A completion of socket `id`'s receive.
    pub(super) fn completed(&mut self, id: EndpointId, completion: Completion, receive_buffers: &mut ReceiveBuffers) {
        let Completion { result, flags, .. } = completion;
        let state = self.receives.get(id.0 as usize).copied().unwrap_or_default().state;
        if let Some(buffer) = cqueue::buffer_select(flags) {
            // SAFETY: a completion names the buffer, this is the only place that looks at it, and the ring was
            // registered without IOU_PBUF_RING_INC.
            unsafe { self.buffers.claim(buffer) };
            let open = state == State::Armed && result >= 0;
            match open.then(|| self.arrival(id, buffer, result, receive_buffers)).flatten() {
                Some(arrival) => receive_buffers.push(arrival),
                None => self.buffers.give_back(buffer),
            }
        }
        if cqueue::more(flags) {
            return;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if result == -libc::ENOBUFS {
            receive_buffers.record_exhausted();
        }
        match state {
            State::Closing => self.closed.push(id),
            _ => {
                if let Some(receive) = self.receives.get_mut(id.0 as usize) {
                    receive.state = State::Ended;
                    self.ended.push(id);
                }
            }
        }
    }

    fn arrival(
        &mut self,
        local: EndpointId,
        buffer: u16,
        result: i32,
        receive_buffers: &mut ReceiveBuffers,
    ) -> Option<Arrival> {
        let filled = self.buffers.bytes(buffer).get(..usize::try_from(result).ok()?)?;
        let message = RecvMsgOut::parse(filled, &self.template).ok()?;
        let remote = parse_name(message.name_data())?;
        let ancillary = parse_control(message.control_data());
        let seen = &mut self.receives.get_mut(local.0 as usize)?.overflows;
        receive_buffers.record_overflows(seen, ancillary.overflows);
        if message.is_payload_truncated() {
            receive_buffers.record_truncated(Path { local, remote });
            return None;
        }
        let len = message.payload_data().len();
        let at = filled.len() - len;
        let segment_len = ancillary.segment_len.unwrap_or(len).max(1);
        let taken_in_ns = ancillary.taken_in_ns;
        Some(Arrival { buffer, local, remote, at, end: at + len, segment_len, taken_in_ns })
    }
}
