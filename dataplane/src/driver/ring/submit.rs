//! The ring's two queues: submissions, completions, and sleeping until there are some.
//!
//! Owns the ring and its table of registered files (a socket's slot is its number). Every submission is made here, so
//! the rules for memory that the kernel reads are kept in this file: a send is complete when [`Queue::transmit`]
//! returns.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use corecast_core::EndpointId;
use io_uring::register::Restriction;
use io_uring::types::{CancelBuilder, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

use crate::driver::outgoing::{MAX_MESSAGES, SEND_FLAGS, SendBatch};

/// Submissions that one entry of the kernel may carry: a batch of sends, and receives to arm.
const SUBMISSIONS: u32 = 1_024;
/// More than may complete between two reapings: sends of a batch, a receive per buffer, polls and cancellations.
const COMPLETIONS: u32 = 4_096;
const _: () = assert!(SUBMISSIONS as usize >= MAX_MESSAGES);

/// A wait for more than can complete: sleeps until its time is up.
pub(super) const MORE_THAN_COMES: usize = COMPLETIONS as usize;
/// `IORING_REGISTER_FILES_UPDATE`, `IORING_REGISTER_PBUF_RING` and `IORING_UNREGISTER_PBUF_RING`.
const REGISTER_FILES_UPDATE: u8 = 6;
const REGISTER_BUFFER_RING: u8 = 22;
const UNREGISTER_BUFFER_RING: u8 = 23;
/// Buffers for receiving are the only group.
const BUFFER_GROUP: u16 = 0;

/// The subject of a completion is the upper half of its user data. The lower half is an index.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const WATCH: u64 = 3 << 32;
const CANCEL: u64 = 4 << 32;

/// What a completion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The receive of this socket.
    Receive(EndpointId),
    /// A message of the batch that is being sent.
    Send(usize),
    /// The poll of a watched descriptor.
    Watch(usize),
    /// A cancellation. The completion of the cancelled submission tells its outcome.
    Cancel,
}

/// The end of a submission, or one of the many results of a multishot receive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) subject: Subject,
    pub(super) result: i32,
    pub(super) flags: u32,
}

/// A ring.
pub(super) struct Queue {
    ring: IoUring,
}

impl Queue {
    /// # Errors
    /// Where the host refuses io_uring or knows too old a version of it (Linux 6.1 is needed).
    pub(super) fn new(max_sockets: usize) -> io::Result<Self> {
        let mut ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .setup_r_disabled()
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(u32::try_from(max_sockets).unwrap_or(u32::MAX))?;
        // For ever: by a ring calls could be made that no filter of system calls sees.
        ring.submitter().register_restrictions(&mut restrictions())?;
        ring.submitter().register_enable_rings()?;
        try_enter(&mut ring)?;
        Ok(Self { ring })
    }

    /// The kernel can gather completions for a minimum time (Linux 6.12).
    pub(super) fn has_min_wait(&self) -> bool {
        self.ring.params().is_feature_min_timeout()
    }

    /// Lets receives pick buffers from a ring of `count` entries at `address`.
    ///
    /// # Safety
    /// The ring, and the buffers that its entries name, must stay where they are until no receive is in flight.
    pub(super) unsafe fn register_buffers(&self, address: u64, count: u16) -> io::Result<()> {
        // SAFETY: the caller promises it.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(address, count, BUFFER_GROUP, 0) }
    }

    /// Puts a descriptor into a socket's slot, or with -1 takes it out, which releases the socket and its port.
    pub(super) fn register_socket(&self, id: EndpointId, fd: RawFd) -> io::Result<()> {
        self.ring.submitter().register_files_update(id.0, &[fd]).map(drop)
    }

    /// Submits a receive that goes on until it is cancelled or fails.
    ///
    /// # Safety
    /// `template` must be valid until the receive has ended, and [`Self::register_buffers`] must have been called.
    pub(super) unsafe fn receive(&mut self, id: EndpointId, template: *const libc::msghdr) {
        let receive = opcode::RecvMsgMulti::new(Fixed(id.0), template, BUFFER_GROUP).build();
        // SAFETY: the caller promises it.
        unsafe { self.push(&receive.user_data(RECEIVE | u64::from(id.0))) };
    }

    /// Cancels the receive of a socket.
    pub(super) fn cancel_receive(&mut self, id: EndpointId) {
        self.cancel(CancelBuilder::user_data(RECEIVE | u64::from(id.0)));
    }

    /// Cancels all receives and polls.
    pub(super) fn cancel_all(&mut self) {
        self.cancel(CancelBuilder::any().all());
    }

    fn cancel(&mut self, which: CancelBuilder) {
        let cancel = opcode::AsyncCancel2::new(which).build();
        // SAFETY: a cancellation points to nothing.
        unsafe { self.push(&cancel.user_data(CANCEL)) };
    }

    /// Completes once, when `fd` can be read.
    pub(super) fn poll(&mut self, index: usize, fd: RawFd) {
        let poll = opcode::PollAdd::new(Fd(fd), u32::from(libc::POLLIN.cast_unsigned())).build();
        // SAFETY: a poll points to nothing.
        unsafe { self.push(&poll.user_data(WATCH | index as u64)) };
    }

    /// Sends a batch in one entry of the kernel, and reaps every completion. Those of other submissions that come
    /// meanwhile go to `other`.
    pub(super) fn transmit(&mut self, batch: &mut SendBatch<'_, '_>, mut other: impl FnMut(Completion)) {
        batch.seal();
        let messages = batch.messages().len();
        for index in 0..messages {
            let Some(message) = batch.messages().get(index).map(|message| message.path.local) else { break };
            let Some(header) = batch.sealed().get(index) else { break };
            let send = opcode::SendMsg::new(Fixed(message.0), &raw const header.msg_hdr);
            let send = send.flags(SEND_FLAGS.cast_unsigned()).build();
            // SAFETY: the header and all that it points to belong to the batch or are borrowed by it until this
            // function returns, and it does not return before the send has completed.
            unsafe { self.push(&send.user_data(SEND | index as u64)) };
        }
        let mut reaped = 0;
        while reaped < messages {
            self.submit();
            let before = reaped;
            for completion in self.completions() {
                match completion.subject {
                    Subject::Send(index) => {
                        reaped += 1;
                        if completion.result < 0 {
                            batch.refuse(index, -completion.result);
                        }
                    }
                    _ => other(completion),
                }
            }
            if reaped == before && reaped < messages {
                // Not seen yet: with MSG_DONTWAIT sends complete while they are submitted.
                self.wait_for_one();
            }
        }
    }

    fn wait_for_one(&mut self) {
        if let Err(error) = self.ring.submit_and_wait(1) {
            assert_passing(&error);
        }
    }

    /// # Safety
    /// Memory that the entry points to must stay valid until the entry has completed.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: the caller promises it.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    /// Hands all submissions to the kernel.
    pub(super) fn submit(&mut self) {
        loop {
            match self.ring.submit() {
                Ok(_) if self.ring.submission().is_empty() => return,
                Ok(_) => {}
                // Completions must be reaped first; the caller does that and comes again.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return,
                Err(error) => assert_passing(&error),
            }
        }
    }

    /// Runs the work that the kernel has deferred and submits what waits, without sleeping. No system call if there is
    /// neither. Twice, because a submitted cancellation defers its effect.
    pub(super) fn run_deferred(&mut self) {
        for _ in 0..2 {
            let queue = self.ring.submission();
            if !queue.is_empty() || queue.taskrun() || queue.cq_overflow() {
                drop(queue);
                self.submit();
            }
        }
    }

    /// Submits what waits, and sleeps until there are `want` completions, at most `at_most`; or until there is one, but
    /// for `gather` at least, if that is not zero.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn sleep(&self, want: usize, at_most: Duration, gather: Duration) -> io::Result<()> {
        let timespec = Timespec::from(at_most);
        let mut args = SubmitArgs::new().timespec(&timespec);
        if !gather.is_zero() {
            args = args.min_wait_usec(u32::try_from(gather.as_micros()).unwrap_or(u32::MAX));
        }
        match self.ring.submitter().submit_with_args(want, &args) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes the completions that are there.
    pub(super) fn completions(&mut self) -> impl Iterator<Item = Completion> {
        self.ring.completion().map(|completion| {
            let user_data = completion.user_data();
            let index = u32::try_from(user_data & u64::from(u32::MAX)).unwrap_or(0);
            let subject = match user_data & !u64::from(u32::MAX) {
                RECEIVE => Subject::Receive(EndpointId(index)),
                SEND => Subject::Send(index as usize),
                WATCH => Subject::Watch(index as usize),
                _ => Subject::Cancel,
            };
            Completion { subject, result: completion.result(), flags: completion.flags() }
        })
    }
}

/// What the ring is for, and nothing else.
fn restrictions() -> [Restriction; 9] {
    let flags = squeue::Flags::FIXED_FILE | squeue::Flags::BUFFER_SELECT;
    [
        Restriction::sqe_op(opcode::Nop::CODE),
        Restriction::sqe_op(opcode::RecvMsgMulti::CODE),
        Restriction::sqe_op(opcode::SendMsg::CODE),
        Restriction::sqe_op(opcode::PollAdd::CODE),
        Restriction::sqe_op(opcode::AsyncCancel2::CODE),
        Restriction::sqe_flags_allowed(flags.bits()),
        Restriction::register_op(REGISTER_FILES_UPDATE),
        Restriction::register_op(REGISTER_BUFFER_RING),
        Restriction::register_op(UNREGISTER_BUFFER_RING),
    ]
}

/// A profile may allow a ring to be made and not to be entered.
fn try_enter(ring: &mut IoUring) -> io::Result<()> {
    // SAFETY: a no-op points to nothing.
    let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    pushed.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    ring.completion().for_each(drop);
    Ok(())
}

/// Ends the process on an error that will not pass: submissions that the kernel did not take point to memory that is
/// about to change.
fn assert_passing(error: &io::Error) {
    let passing = matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME));
    assert!(passing, "io_uring no longer takes submissions: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_takes_what_it_is_for_and_nothing_else_for_ever() {
        let mut queue = match Queue::new(4) {
            Ok(queue) => queue,
            Err(error) => {
                println!("io_uring is refused here: not tested: {error}");
                return;
            }
        };
        let mut result = |entry: squeue::Entry| {
            // SAFETY: none of these points to anything.
            unsafe { queue.ring.submission().push(&entry) }.expect("has room");
            queue.ring.submit_and_wait(1).expect("is taken");
            queue.ring.completion().next().expect("completes").result()
        };
        assert_eq!(result(opcode::Nop::new().build()), 0);
        for (what, entry) in [
            ("a socket", opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build()),
            ("a write", opcode::Write::new(Fd(2), std::ptr::null(), 0).build()),
            ("a close", opcode::Close::new(Fd(i32::MAX)).build()),
            ("no operation, linked", opcode::Nop::new().build().flags(squeue::Flags::IO_LINK)),
        ] {
            assert_eq!(result(entry), -libc::EACCES, "{what}");
        }
        let mut more = [Restriction::sqe_op(opcode::Socket::CODE)];
        assert!(queue.ring.submitter().register_restrictions(&mut more).is_err());
        assert!(queue.ring.submitter().register_files_sparse(8).is_err());
    }
}
