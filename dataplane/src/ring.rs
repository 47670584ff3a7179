//! The driver over io_uring: one multishot receive for each socket into shared provided buffers, and all sends of all
//! sockets in one entry of the kernel.
//!
//! Owns the ring, its table of registered files (a socket's slot is its number) and the receive buffers. Must be used
//! on the thread that made it. Nothing but receives and the polls of what is watched is in flight between calls: sends
//! carry MSG_DONTWAIT, never ASYNC or LINK, and are all reaped before [`Ring::transmit`] returns.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use corecast_core::{EndpointId, Path};
use io_uring::types::{CancelBuilder, Fd, Fixed, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::address::{CONTROL_BYTES, NAME_BYTES, parse_control, parse_name};
use crate::arena::Arena;
use crate::driver::{Arrival, Intake, Watch, Woken};
use crate::mmsg::SEND_FLAGS;
use crate::outgoing::{Batch, MAX_MESSAGES};

/// Submissions that one entry may carry: a batch of sends, and receives to arm.
const SUBMISSIONS: u32 = 1_024;
/// More than may complete between two reapings: sends of a batch, a receive per buffer, polls and cancellations.
const COMPLETIONS: u32 = 4_096;
const _: () = assert!(SUBMISSIONS as usize >= MAX_MESSAGES);
const BUFFER_GROUP: u16 = 0;

/// Receive buffers where `UDP_GRO` may fill one with 64 KiB, and where a buffer is one datagram.
const GRO_BUFFERS: (u16, usize) = (64, 65_536 + OVERHEAD_BYTES);
const BUFFERS: (u16, usize) = (256, 2_048 + OVERHEAD_BYTES);
/// Room for what the kernel writes before the payload: its own header of 16 bytes, name and control messages.
const OVERHEAD_BYTES: usize = 128;
const _: () = assert!(16 + NAME_BYTES + CONTROL_BYTES <= OVERHEAD_BYTES);

/// A wait for more than can complete: sleeps until its time is up.
const MORE_THAN_COMES: usize = COMPLETIONS as usize;

/// What a completion is about: the upper half of its user data. The lower half is an index.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const WATCH: u64 = 3 << 32;
const CANCEL: u64 = 4 << 32;

/// The receive of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Receive {
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

/// A descriptor that is polled: one shot, so that armed again it tells at once if there is still something to read.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    fd: Option<RawFd>,
    armed: bool,
    readable: bool,
}

/// A ring, and what belongs to it.
pub(crate) struct Ring {
    ring: IoUring,
    state: ManuallyDrop<State>,
    has_min_wait: bool,
}

/// What completions change.
struct State {
    arena: Arena,
    /// Says how the kernel lays out a buffer; boxed because submissions point to it.
    template: Box<libc::msghdr>,
    receives: Vec<Receive>,
    /// Last `SO_RXQ_OVFL` count of each socket.
    overflows: Vec<u32>,
    ended: Vec<u32>,
    closed: Vec<u32>,
    armed: usize,
    /// By [`Watch`].
    watched: [Watched; 2],
}

impl Ring {
    /// # Errors
    /// Where the host refuses io_uring or knows too old a version of it (Linux 6.1 is needed).
    pub(crate) fn new(gro: bool, max_sockets: usize) -> io::Result<Self> {
        let mut ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(u32::try_from(max_sockets).unwrap_or(u32::MAX))?;
        let (count, bytes) = if gro { GRO_BUFFERS } else { BUFFERS };
        let arena = Arena::new(count, bytes);
        // SAFETY: the arena's ring has `count` entries and stays where it is until `drop` has ended all receives.
        unsafe { ring.submitter().register_buf_ring_with_flags(arena.ring_address(), arena.count(), BUFFER_GROUP, 0) }?;
        try_enter(&mut ring)?;
        // SAFETY: msghdr is plain old data; all zeroes is a valid value (null pointers, zero lengths).
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = u32::try_from(NAME_BYTES).unwrap_or(0);
        template.msg_controllen = CONTROL_BYTES;
        let has_min_wait = ring.params().is_feature_min_timeout();
        let state = ManuallyDrop::new(State {
            arena,
            template,
            receives: Vec::new(),
            overflows: Vec::new(),
            ended: Vec::new(),
            closed: Vec::new(),
            armed: 0,
            watched: [Watched::default(); 2],
        });
        Ok(Self { ring, state, has_min_wait })
    }

    /// Wakes up when `fd` can be read.
    pub(crate) fn watch(&mut self, what: Watch, fd: BorrowedFd<'_>) {
        if let Some(watched) = self.state.watched.get_mut(what as usize) {
            watched.fd = Some(fd.as_raw_fd());
        }
    }

    /// Receives from a socket from now on.
    pub(crate) fn add(&mut self, id: EndpointId, fd: &OwnedFd) -> io::Result<()> {
        self.ring.submitter().register_files_update(id.0, &[fd.as_raw_fd()])?;
        let index = id.0 as usize;
        if self.state.receives.len() <= index {
            self.state.receives.resize(index + 1, Receive::None);
            self.state.overflows.resize(index + 1, 0);
        }
        if let Some(overflows) = self.state.overflows.get_mut(index) {
            *overflows = 0;
        }
        self.arm(id.0);
        // At once, so that a socket that is open is heard even if the thread does not sleep soon.
        self.submit();
        Ok(())
    }

    fn arm(&mut self, id: u32) {
        let template: *const libc::msghdr = &raw const *self.state.template;
        let receive = opcode::RecvMsgMulti::new(Fixed(id), template, BUFFER_GROUP).build();
        // The template is read when the submission is consumed, and lives in a box of `self.state`.
        self.push(&receive.user_data(RECEIVE | u64::from(id)));
        if let Some(receive) = self.state.receives.get_mut(id as usize) {
            *receive = Receive::Armed;
            self.state.armed += 1;
        }
    }

    /// Ends the receive of a socket. Its number is free once [`Self::next_closed`] has named it.
    pub(crate) fn close(&mut self, id: EndpointId) {
        let Some(receive) = self.state.receives.get_mut(id.0 as usize) else { return };
        match std::mem::replace(receive, Receive::Closing) {
            Receive::Armed => {
                let which = CancelBuilder::user_data(RECEIVE | u64::from(id.0));
                self.push(&opcode::AsyncCancel2::new(which).build().user_data(CANCEL));
            }
            Receive::Ended | Receive::None => self.state.closed.push(id.0),
            Receive::Closing => {}
        }
    }

    /// The number of a socket whose receive has ended since it was closed.
    pub(crate) fn next_closed(&mut self) -> Option<EndpointId> {
        let id = self.state.closed.pop()?;
        if let Some(receive) = self.state.receives.get_mut(id as usize) {
            *receive = Receive::None;
        }
        // Releases the socket and its port. Cannot fail for a slot within the table.
        let _ = self.ring.submitter().register_files_update(id, &[-1]);
        Some(EndpointId(id))
    }

    /// Sleeps until something completes, at most `at_most`; but for `gather` even if something does.
    pub(crate) fn wait(&mut self, at_most: Duration, gather: Duration, intake: &mut Intake) -> io::Result<Woken> {
        self.rearm();
        self.reap(intake, None);
        let found = !intake.arrived.is_empty() || self.state.watched.iter().any(|watched| watched.readable);
        if !gather.is_zero() && (found || !self.has_min_wait) {
            self.sleep(MORE_THAN_COMES, gather, Duration::ZERO)?;
        } else if !found && !at_most.is_zero() {
            let want = if gather.is_zero() { 1 } else { MORE_THAN_COMES };
            self.sleep(want, at_most, gather)?;
        }
        self.look();
        self.reap(intake, None);
        Ok(self.state.woken(intake))
    }

    /// Sleeps for `window`, whatever completes.
    pub(crate) fn linger(&mut self, window: Duration, intake: &mut Intake) -> io::Result<Woken> {
        self.sleep(MORE_THAN_COMES, window, Duration::ZERO)?;
        self.reap(intake, None);
        Ok(self.state.woken(intake))
    }

    fn sleep(&mut self, want: usize, at_most: Duration, gather: Duration) -> io::Result<()> {
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

    /// Runs what the kernel has put off for us and submits what waits, without sleeping. No system call if there is
    /// neither. Twice, because a cancellation that is submitted puts off its effect.
    fn look(&mut self) {
        for _ in 0..2 {
            let queue = self.ring.submission();
            if !queue.is_empty() || queue.taskrun() || queue.cq_overflow() {
                drop(queue);
                self.submit();
            }
        }
    }

    /// Arms what has ended, now that buffers have been given back, and the polls that have told.
    fn rearm(&mut self) {
        while let Some(id) = self.state.ended.pop() {
            if self.state.receives.get(id as usize) == Some(&Receive::Ended) {
                self.arm(id);
            }
        }
        for index in 0..self.state.watched.len() {
            let Some(watched) = self.state.watched.get_mut(index) else { break };
            if let (Some(fd), false) = (watched.fd, watched.armed) {
                watched.armed = true;
                let poll = opcode::PollAdd::new(Fd(fd), u32::from(libc::POLLIN.cast_unsigned())).build();
                self.push(&poll.user_data(WATCH | index as u64));
            }
        }
    }

    fn reap(&mut self, intake: &mut Intake, mut batch: Option<&mut Batch<'_, '_>>) -> usize {
        let mut sends = 0;
        for completion in self.ring.completion() {
            let (user_data, result) = (completion.user_data(), completion.result());
            let index = u32::try_from(user_data & u64::from(u32::MAX)).unwrap_or(0);
            match user_data & !u64::from(u32::MAX) {
                RECEIVE => self.state.received(index, result, completion.flags(), intake),
                SEND => {
                    sends += 1;
                    if let (Some(batch), true) = (&mut batch, result < 0) {
                        batch.refuse(index as usize, -result);
                    }
                }
                WATCH => {
                    if let Some(watched) = self.state.watched.get_mut(index as usize) {
                        *watched = Watched { armed: false, readable: true, ..*watched };
                    }
                }
                _ => {}
            }
        }
        sends
    }

    pub(crate) fn bytes(&self, slot: u16) -> &[u8] {
        self.state.arena.bytes(slot)
    }

    pub(crate) fn give_back(&mut self, slot: u16) {
        self.state.arena.give_back(slot);
    }

    /// Sends a batch in one entry of the kernel, and reaps every completion.
    pub(crate) fn transmit(&mut self, batch: &mut Batch<'_, '_>, intake: &mut Intake) {
        batch.seal();
        let messages = batch.messages().len();
        for index in 0..messages {
            let Some(message) = batch.messages().get(index).map(|message| message.path.local) else { break };
            let Some(header) = batch.sealed().get(index) else { break };
            let send = opcode::SendMsg::new(Fixed(message.0), &raw const header.msg_hdr);
            let send = send.flags(SEND_FLAGS.cast_unsigned()).build();
            // The header and all that it points to belong to the batch or are borrowed by it until this function
            // returns, and it does not return before the send has completed.
            self.push(&send.user_data(SEND | index as u64));
        }
        let mut reaped = 0;
        while reaped < messages {
            self.submit();
            let more = self.reap(intake, Some(batch));
            reaped += more;
            if more == 0 && reaped < messages {
                // Not seen yet: with MSG_DONTWAIT sends complete while they are submitted.
                self.await_one();
            }
        }
    }

    fn await_one(&mut self) {
        if let Err(error) = self.ring.submit_and_wait(1) {
            fail_unless_passing(&error);
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the entry points to lives until its completion: the receive template as long as the ring, a
            // send's header until `transmit` returns, which waits for it. Other entries point to nothing.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    /// Hands all submissions to the kernel.
    fn submit(&mut self) {
        loop {
            match self.ring.submit() {
                Ok(_) if self.ring.submission().is_empty() => return,
                Ok(_) => {}
                // Completions must be reaped first; the caller does that and comes again.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return,
                Err(error) => fail_unless_passing(&error),
            }
        }
    }
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

/// Submissions that the kernel did not take point to memory that is about to change: better an end than that.
fn fail_unless_passing(error: &io::Error) {
    let passing = matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME));
    assert!(passing, "io_uring does not take submissions any more: {error}");
}

impl State {
    fn woken(&mut self, intake: &Intake) -> Woken {
        let mut is_readable = |what: Watch| {
            let watched = self.watched.get_mut(what as usize);
            watched.is_some_and(|watched| std::mem::take(&mut watched.readable))
        };
        let (link, connections) = (is_readable(Watch::Link), is_readable(Watch::Connections));
        Woken { link, connections, datagrams: !intake.arrived.is_empty() }
    }

    /// A completion of socket `id`'s receive.
    fn received(&mut self, id: u32, result: i32, flags: u32, intake: &mut Intake) {
        let receive = self.receives.get(id as usize).copied().unwrap_or_default();
        if let Some(slot) = cqueue::buffer_select(flags) {
            // SAFETY: a completion names the buffer, this is the only place that looks at it, and the ring was
            // registered without IOU_PBUF_RING_INC.
            unsafe { self.arena.claim(slot) };
            let open = receive == Receive::Armed && result >= 0;
            match open.then(|| self.arrival(EndpointId(id), slot, result, intake)).flatten() {
                Some(arrival) => intake.arrived.push_back(arrival),
                None => self.arena.give_back(slot),
            }
        }
        if cqueue::more(flags) {
            return;
        }
        self.armed = self.armed.saturating_sub(1);
        intake.rearmed += u64::from(result == -libc::ENOBUFS);
        match receive {
            Receive::Closing => self.closed.push(id),
            _ => {
                if let Some(receive) = self.receives.get_mut(id as usize) {
                    *receive = Receive::Ended;
                    self.ended.push(id);
                }
            }
        }
    }

    fn arrival(&mut self, local: EndpointId, slot: u16, result: i32, intake: &mut Intake) -> Option<Arrival> {
        let filled = self.arena.bytes(slot).get(..usize::try_from(result).ok()?)?;
        let message = RecvMsgOut::parse(filled, &self.template).ok()?;
        let remote = parse_name(message.name_data())?;
        let ancillary = parse_control(message.control_data());
        intake.note_overflows(self.overflows.get_mut(local.0 as usize)?, ancillary.overflows);
        if message.is_payload_truncated() {
            intake.truncated(Path { local, remote });
            return None;
        }
        let len = message.payload_data().len();
        let at = filled.len() - len;
        let segment_len = ancillary.segment_len.unwrap_or(len).max(1);
        Some(Arrival { slot, local, remote, at, end: at + len, segment_len })
    }
}

impl Drop for Ring {
    /// Ends all receives before the buffers go: the kernel takes a ring apart later than its descriptor is closed.
    fn drop(&mut self) {
        let all = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        self.push(&all.user_data(CANCEL));
        self.state.watched = [Watched::default(); 2];
        let mut intake = Intake::default();
        for _ in 0..100 {
            self.look();
            self.reap(&mut intake, None);
            if self.state.armed == 0 {
                // SAFETY: dropped here and nowhere else, and `self` is not used again. No receive is in flight.
                unsafe { ManuallyDrop::drop(&mut self.state) };
                return;
            }
            if self.sleep(1, Duration::from_millis(10), Duration::ZERO).is_err() {
                break;
            }
        }
        // Better to leak the buffers than to have the kernel write into memory that belongs to somebody else.
        tracing::error!(receives = self.state.armed, "receives did not end; their buffers are not given back");
    }
}
