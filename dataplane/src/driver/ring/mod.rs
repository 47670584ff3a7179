//! The backend over io_uring: one multishot receive for each socket into shared provided buffers, and all sends of all
//! sockets in one entry of the kernel.
//!
//! Owns the ring (`submit`), the receives (`receive`) with their `buffers`, and the polls of watched descriptors. Must
//! be used on the thread that made it. Only receives and polls are in flight between calls: sends carry MSG_DONTWAIT,
//! never ASYNC or LINK, and are all reaped before [`Ring::transmit`] returns.

mod buffers;
mod receive;
mod submit;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use corecast_core::EndpointId;

use super::arena::Region;
use super::intake::{ReceiveBuffers, Wakeup, Watch};
use super::outgoing::SendBatch;
use receive::Receiver;
use submit::{Completion, MORE_THAN_COMES, Queue, Subject};

/// A descriptor that is polled: one shot, so that armed again it tells at once if there is still something to read.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    fd: Option<RawFd>,
    armed: bool,
    readable: bool,
}

/// A ring with its receives and polls.
pub(super) struct Ring {
    queue: Queue,
    has_min_wait: bool,
    /// Dropped by hand, when no receive is in flight.
    receiver: ManuallyDrop<Receiver>,
    /// By [`Watch`].
    watched: [Watched; Watch::COUNT],
}

impl Ring {
    /// Receives into `memory`, which has [`Self::memory_bytes`].
    ///
    /// # Errors
    /// Where the host refuses io_uring or knows too old a version of it (Linux 6.1 is needed).
    pub(super) fn new(gro: bool, max_sockets: usize, memory: Region) -> io::Result<Self> {
        let queue = Queue::new(max_sockets)?;
        let receiver = ManuallyDrop::new(Receiver::new(gro, memory, &queue)?);
        Ok(Self { has_min_wait: queue.has_min_wait(), queue, receiver, watched: [Watched::default(); Watch::COUNT] })
    }

    /// Memory that [`Self::new`] needs, in bytes.
    pub(super) const fn memory_bytes(gro: bool) -> usize {
        Receiver::memory_bytes(gro)
    }

    /// Wakes up when `fd` can be read.
    pub(super) fn watch(&mut self, what: Watch, fd: BorrowedFd<'_>) {
        if let Some(watched) = self.watched.get_mut(what as usize) {
            watched.fd = Some(fd.as_raw_fd());
        }
    }

    /// Receives from a socket from now on.
    pub(super) fn add(&mut self, id: EndpointId, fd: &OwnedFd) -> io::Result<()> {
        self.receiver.add(id, fd, &mut self.queue)
    }

    /// Ends the receive of a socket. The socket's number is free once [`Self::next_closed`] has named it.
    pub(super) fn close(&mut self, id: EndpointId) {
        self.receiver.close(id, &mut self.queue);
    }

    /// The number of a socket whose receive has ended since it was closed.
    pub(super) fn next_closed(&mut self) -> Option<EndpointId> {
        self.receiver.next_closed(&self.queue)
    }

    /// Sleeps until something completes, at most `at_most`; but for `gather` even if something does.
    pub(super) fn wait(
        &mut self,
        at_most: Duration,
        gather: Duration,
        receive_buffers: &mut ReceiveBuffers,
    ) -> io::Result<Wakeup> {
        self.rearm();
        self.reap(receive_buffers);
        let found = !receive_buffers.is_empty() || self.watched.iter().any(|watched| watched.readable);
        if !gather.is_zero() && (found || !self.has_min_wait) {
            self.queue.sleep(MORE_THAN_COMES, gather, Duration::ZERO)?;
        } else if !found && !at_most.is_zero() {
            let want = if gather.is_zero() { 1 } else { MORE_THAN_COMES };
            self.queue.sleep(want, at_most, gather)?;
        }
        self.queue.run_deferred();
        self.reap(receive_buffers);
        Ok(self.wakeup(receive_buffers))
    }

    /// Sleeps for `window`, whatever completes.
    pub(super) fn linger(&mut self, window: Duration, receive_buffers: &mut ReceiveBuffers) -> io::Result<Wakeup> {
        self.queue.sleep(MORE_THAN_COMES, window, Duration::ZERO)?;
        self.reap(receive_buffers);
        Ok(self.wakeup(receive_buffers))
    }

    fn wakeup(&mut self, receive_buffers: &ReceiveBuffers) -> Wakeup {
        let mut is_readable = |what: Watch| {
            let watched = self.watched.get_mut(what as usize);
            watched.is_some_and(|watched| std::mem::take(&mut watched.readable))
        };
        let (link, connections) = (is_readable(Watch::Link), is_readable(Watch::Connections));
        let bell = is_readable(Watch::Bell);
        Wakeup { link, connections, bell, datagrams: !receive_buffers.is_empty() }
    }

    /// Arms receives that have ended, and polls that have told.
    fn rearm(&mut self) {
        self.receiver.rearm(&mut self.queue);
        for (index, watched) in self.watched.iter_mut().enumerate() {
            if let (Some(fd), false) = (watched.fd, watched.armed) {
                watched.armed = true;
                self.queue.poll(index, fd);
            }
        }
    }

    fn reap(&mut self, receive_buffers: &mut ReceiveBuffers) {
        for completion in self.queue.completions() {
            completed(completion, &mut self.receiver, &mut self.watched, receive_buffers);
        }
    }

    /// Ends all receives and polls: what arrives from now on stays in its socket. What came before is taken in.
    pub(super) fn stop(&mut self, receive_buffers: &mut ReceiveBuffers) {
        self.queue.cancel_all();
        self.watched = [Watched::default(); Watch::COUNT];
        for _ in 0..100 {
            self.queue.run_deferred();
            self.reap(receive_buffers);
            let is_over = self.receiver.in_flight() == 0;
            if is_over || self.queue.sleep(1, Duration::from_millis(10), Duration::ZERO).is_err() {
                return;
            }
        }
    }

    /// Bytes of a filled buffer.
    pub(super) fn bytes(&self, buffer: u16) -> &[u8] {
        self.receiver.bytes(buffer)
    }

    /// Hands a buffer back to the kernel.
    pub(super) fn give_back(&mut self, buffer: u16) {
        self.receiver.give_back(buffer);
    }

    /// Sends a batch in one entry of the kernel, and reaps every completion.
    pub(super) fn transmit(&mut self, batch: &mut SendBatch<'_, '_>, receive_buffers: &mut ReceiveBuffers) {
        let Self { queue, receiver, watched, .. } = self;
        queue.transmit(batch, |completion| completed(completion, receiver, watched, receive_buffers));
    }
}

/// A completion of a receive or a poll.
fn completed(
    completion: Completion,
    receiver: &mut Receiver,
    watched: &mut [Watched],
    receive_buffers: &mut ReceiveBuffers,
) {
    match completion.subject {
        Subject::Receive(id) => receiver.completed(id, completion, receive_buffers),
        Subject::Watch(index) => {
            if let Some(watched) = watched.get_mut(index) {
                *watched = Watched { armed: false, readable: true, ..*watched };
            }
        }
        Subject::Send(_) | Subject::Cancel => {}
    }
}

impl Drop for Ring {
    /// Ends all receives before the buffers are freed: the kernel takes a ring apart later than its descriptor is
    /// closed.
    fn drop(&mut self) {
        self.stop(&mut ReceiveBuffers::default());
        let receives = self.receiver.in_flight();
        if receives == 0 {
            // SAFETY: dropped here and nowhere else, and `self` is not used again. No receive is in flight.
            unsafe { ManuallyDrop::drop(&mut self.receiver) };
        } else {
            // Better to leak the buffers than to have the kernel write into memory that has a new owner.
            tracing::error!(receives, "receives did not end; their buffers are not given back");
        }
    }
}
