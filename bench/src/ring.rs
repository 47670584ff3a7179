//! The floor's io_uring: multishot receive into provided buffers, and segmented sends that are all complete when the
//! call returns. With [`crate::sockets`] the only unsafe code of the load generator.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::sockets::{SegmentControl, segment_control, train_message};

const BUFFER_GROUP: u16 = 0;
/// Buffers for receiving. A power of two.
const BUFFERS: u16 = 1_024;
const BUFFER_BYTES: usize = 2_048;
/// Most sends given to one `io_uring_enter`.
const SENDS: usize = 128;

fn build(entries: u32, completions: u32) -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(completions).build(entries)
}

fn descriptors(sockets: &[UdpSocket]) -> Vec<RawFd> {
    sockets.iter().map(AsRawFd::as_raw_fd).collect()
}

/// Segments for one subscriber that leave in one send.
#[derive(Clone, Copy, Debug)]
pub struct OutTrain<'a> {
    /// Index of the socket.
    pub subscriber: usize,
    /// The bytes, gathered in this order.
    pub pieces: &'a [IoSlice<'a>],
    /// Length of each packet but the last.
    pub segment_len: u16,
    /// How many packets.
    pub packets: u64,
}

/// The shared memory in which the kernel finds receive buffers.
struct BufferRing {
    base: NonNull<BufRingEntry>,
    tail: u16,
    memory: Box<[u8]>,
}

impl BufferRing {
    fn layout() -> Layout {
        const PAGE: usize = 4_096;
        let size = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        Layout::from_size_align(size, PAGE).unwrap_or_else(|_| unreachable!("constant size and alignment"))
    }

    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(Self::layout()) }.cast();
        let Some(base) = NonNull::new(base) else { handle_alloc_error(Self::layout()) };
        let memory = vec![0; usize::from(BUFFERS) * BUFFER_BYTES].into_boxed_slice();
        let mut ring = Self { base, tail: 0, memory };
        (0..BUFFERS).for_each(|id| ring.give(id));
        ring.publish();
        ring
    }

    fn span(id: u16) -> std::ops::Range<usize> {
        let start = usize::from(id) * BUFFER_BYTES;
        start..start + BUFFER_BYTES
    }

    /// Lets the kernel write into buffer `id` again, after the next [`Self::publish`].
    fn give(&mut self, id: u16) {
        let address = self.memory[Self::span(id)].as_mut_ptr();
        let slot = usize::from(self.tail % BUFFERS);
        // SAFETY: the slot lies within the allocation.
        let mut entry = unsafe { self.base.add(slot) };
        // SAFETY: the entry is initialised, and the kernel reads it only after the tail has passed it.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the base is the first entry of an initialised ring.
        let tail = unsafe { BufRingEntry::tail(self.base.as_ptr()) }.cast_mut();
        // SAFETY: the tail is aligned, lives as long as the allocation, and is only ever accessed atomically.
        unsafe { AtomicU16::from_ptr(tail) }.store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; the io_uring that referred to it is dropped before (field order of
        // [`RecvRing`]).
        unsafe { dealloc(self.base.as_ptr().cast(), Self::layout()) };
    }
}

/// Receives on many sockets.
pub struct RecvRing {
    ring: IoUring,
    buffers: BufferRing,
    /// (buffer, length) of what has been received and not been given back.
    received: Vec<(u16, usize)>,
    rearm: Vec<u32>,
}

impl std::fmt::Debug for RecvRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvRing").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

impl RecvRing {
    /// Begins to receive on every socket.
    ///
    /// # Errors
    /// The host refuses io_uring.
    pub fn new(sockets: &[UdpSocket]) -> io::Result<Self> {
        let ring = build(256, 4_096)?;
        ring.submitter().register_files(&descriptors(sockets))?;
        let buffers = BufferRing::new();
        // SAFETY: the ring of buffers is as long as stated and outlives the io_uring (field order).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(buffers.base.as_ptr() as u64, BUFFERS, BUFFER_GROUP, 0)?;
        }
        let rearm = (0..sockets.len() as u32).collect();
        let mut this = Self { ring, buffers, received: Vec::with_capacity(usize::from(BUFFERS)), rearm };
        this.arm()?;
        Ok(this)
    }

    fn arm(&mut self) -> io::Result<()> {
        for socket in self.rearm.drain(..) {
            let entry = opcode::RecvMulti::new(Fixed(socket), BUFFER_GROUP).build().user_data(u64::from(socket));
            // SAFETY: the entry names registered files and buffers only, both of which live as long as the ring.
            while unsafe { self.ring.submission().push(&entry) }.is_err() {
                self.ring.submit()?;
            }
        }
        Ok(())
    }

    /// Gives all buffers back to the kernel.
    pub fn release(&mut self) {
        for (id, _) in self.received.drain(..) {
            self.buffers.give(id);
        }
        self.buffers.publish();
    }

    /// Waits for a datagram, or for `limit`, or (`settle`) for the whole of it whatever comes; says how many there are
    /// now that have not been released.
    ///
    /// # Errors
    /// What the system says, other than that time has passed.
    pub fn wait(&mut self, limit: Duration, settle: bool) -> io::Result<usize> {
        self.arm()?;
        let timespec = Timespec::from(limit);
        let want = if settle { 4_096 } else { 1 };
        match self.ring.submitter().submit_with_args(want, &SubmitArgs::new().timespec(&timespec)) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {}
            result => drop(result?),
        }
        for entry in self.ring.completion() {
            if !cqueue::more(entry.flags()) {
                self.rearm.push(entry.user_data() as u32);
            }
            match (usize::try_from(entry.result()), cqueue::buffer_select(entry.flags())) {
                (Ok(len), Some(id)) => self.received.push((id, len)),
                _ if entry.result() == -libc::ENOBUFS || entry.result() == -libc::ECONNREFUSED => {}
                _ => return Err(io::Error::from_raw_os_error(-entry.result())),
            }
        }
        Ok(self.received.len())
    }

    /// Datagrams that have been received and not been released.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.received.len()
    }

    /// None.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Datagram `index` of what has been received.
    #[must_use]
    pub fn packet(&self, index: usize) -> &[u8] {
        let (id, len) = self.received[index];
        &self.buffers.memory[BufferRing::span(id)][..len]
    }

    /// The whole buffer of datagram `index`, and its length, for changing it.
    pub fn packet_mut(&mut self, index: usize) -> (&mut [u8], &mut usize) {
        let (id, len) = &mut self.received[index];
        (&mut self.buffers.memory[BufferRing::span(*id)], len)
    }
}

/// Sends on many connected sockets.
pub struct SendRing {
    ring: IoUring,
    messages: Box<[libc::msghdr]>,
    controls: Box<[SegmentControl]>,
}

impl std::fmt::Debug for SendRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendRing").finish_non_exhaustive()
    }
}

impl SendRing {
    /// For these sockets, each connected.
    ///
    /// # Errors
    /// The host refuses io_uring.
    pub fn new(sockets: &[UdpSocket]) -> io::Result<Self> {
        let ring = build(SENDS as u32, 2 * SENDS as u32)?;
        ring.submitter().register_files(&descriptors(sockets))?;
        Ok(Self {
            ring,
            messages: vec![train_message(&[], &[0; 3]); SENDS].into_boxed_slice(),
            controls: vec![[0; 3]; SENDS].into_boxed_slice(),
        })
    }

    /// Sends every train. Nothing is in flight when this returns. Says how many packets the kernel refused.
    ///
    /// # Errors
    /// io_uring itself fails.
    pub fn send(&mut self, trains: &[OutTrain<'_>]) -> io::Result<u64> {
        let mut refused = 0;
        for chunk in trains.chunks(SENDS) {
            let slots = self.messages.iter_mut().zip(&mut self.controls);
            for ((index, train), (message, control)) in chunk.iter().enumerate().zip(slots) {
                *control = segment_control(train.segment_len);
                *message = train_message(train.pieces, control);
                if train.packets == 1 {
                    message.msg_controllen = 0;
                }
                let entry = opcode::SendMsg::new(Fixed(train.subscriber as u32), message)
                    .flags(libc::MSG_DONTWAIT as u32)
                    .build()
                    .flags(squeue::Flags::SKIP_SUCCESS)
                    .user_data(index as u64);
                // SAFETY: message, control and pieces stay where they are until the loop below has seen the kernel
                // take every entry; with MSG_DONTWAIT a send is over when it has been taken.
                let pushed = unsafe { self.ring.submission().push(&entry) };
                pushed.map_err(|_| io::Error::other("the submission queue is full"))?;
            }
            let mut taken = 0;
            while taken < chunk.len() {
                taken += self.ring.submit()?;
            }
            for entry in self.ring.completion() {
                refused += chunk.get(entry.user_data() as usize).map_or(0, |train| train.packets);
            }
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_and_buffers_come_back() {
        let receivers: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").expect("bind")).collect();
        let senders: Vec<_> = receivers
            .iter()
            .map(|receiver| {
                let sender = UdpSocket::bind("127.0.0.1:0").expect("bind");
                sender.connect(receiver.local_addr().expect("bound")).expect("connect");
                sender
            })
            .collect();
        let mut incoming = RecvRing::new(&receivers).expect("io_uring");
        let mut outgoing = SendRing::new(&senders).expect("io_uring");
        // More in all than there are buffers, so that they must come back.
        for round in 0..1_000_u16 {
            let body = [round as u8; 500];
            let pieces = [IoSlice::new(&body[..250]), IoSlice::new(&body[..250]), IoSlice::new(&body[..100])];
            let trains: Vec<_> = (0..3)
                .map(|subscriber| OutTrain { subscriber, pieces: &pieces, segment_len: 250, packets: 3 })
                .collect();
            assert_eq!(outgoing.send(&trains).expect("send"), 0);
            while incoming.wait(Duration::from_secs(5), false).expect("receive") < 9 {}
            for index in 0..9 {
                let packet = incoming.packet(index);
                assert!(matches!(packet.len(), 250 | 100) && packet.iter().all(|byte| *byte == round as u8));
            }
            incoming.release();
        }
    }
}
