//! The backend over plain system calls: `epoll`, `recvmmsg`, `sendmmsg`.
//!
//! Owns the receive slots and the list of sockets that are ready. All sends have happened when a call returns.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use corecast_core::{EndpointId, Path};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::address::{CONTROL_BYTES, Name, parse_control, parse_name};
use super::arena::Region;
use super::intake::{Arrival, ReceiveBuffers, Wakeup, Watch};
use super::outgoing::{SEND_FLAGS, SendBatch};
use super::sockets::Sockets;

/// Receive slots where `UDP_GRO` may fill one with 64 KiB.
const GRO_SLOTS: usize = 64;
const GRO_SLOT_BYTES: usize = 65_536;
/// Receive slots where a slot is one datagram.
const SLOTS: usize = 256;
const SLOT_BYTES: usize = 2_048;
/// Sockets that one wait may report.
const MAX_READY: usize = 64;
/// Names of the other descriptors among the endpoints.
const LINK: u64 = u64::MAX;
const CONNECTIONS: u64 = u64::MAX - 1;
const BELL: u64 = u64::MAX - 2;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// System calls, and the memory that they fill.
pub(super) struct Mmsg {
    epoll: Epoll,
    /// The system has `epoll_pwait2` (Linux 5.11; seccomp profiles may not know it).
    precise: bool,
    events: Box<[libc::epoll_event]>,
    ready: usize,
    slot_bytes: usize,
    memory: Region,
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
}

impl Mmsg {
    /// Receives into `memory`, which has [`Self::memory_bytes`].
    pub(super) fn new(gro: bool, memory: Region) -> io::Result<Self> {
        let (slots, slot_bytes) = slots(gro);
        // SAFETY: mmsghdr is plain old data; all zeroes is a valid value (null pointers, zero lengths).
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            precise: true,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; MAX_READY].into_boxed_slice(),
            ready: 0,
            slot_bytes,
            memory,
            headers: vec![header; slots].into_boxed_slice(),
            iovecs: vec![iovec; slots].into_boxed_slice(),
            names: vec![Name::EMPTY; slots].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); slots].into_boxed_slice(),
        })
    }

    /// Memory that [`Self::new`] needs, in bytes.
    pub(super) const fn memory_bytes(gro: bool) -> usize {
        let (slots, slot_bytes) = slots(gro);
        slots * slot_bytes
    }

    /// Wakes up when `fd` can be read.
    pub(super) fn watch(&self, what: Watch, fd: BorrowedFd<'_>) -> io::Result<()> {
        let name = match what {
            Watch::Link => LINK,
            Watch::Connections => CONNECTIONS,
            Watch::Bell => BELL,
        };
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, name))?)
    }

    /// Receives from a socket from now on.
    pub(super) fn add(&self, id: EndpointId, fd: &OwnedFd) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, u64::from(id.0)))?)
    }

    /// Stops receiving from a socket that is about to be closed.
    pub(super) fn remove(&self, fd: &OwnedFd) {
        // Closing the last descriptor of a socket takes it out of the set anyway.
        let _ = self.epoll.delete(fd);
    }

    /// Sleeps until a descriptor is ready, at most `at_most`.
    pub(super) fn wait(&mut self, at_most: Duration) -> io::Result<Wakeup> {
        let mut ready = if self.precise { self.wait_precisely(at_most) } else { self.wait_ms(at_most) };
        if self.precise && ready.as_ref().is_err_and(is_unknown) {
            self.precise = false;
            ready = self.wait_ms(at_most);
        }
        self.ready = match ready {
            Ok(ready) => ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let ready = self.events.get(..self.ready).unwrap_or_default();
        let is_ready = |name| ready.iter().any(|event| event.u64 == name);
        let (link, connections, bell) = (is_ready(LINK), is_ready(CONNECTIONS), is_ready(BELL));
        let others: usize = [link, connections, bell].into_iter().map(usize::from).sum();
        Ok(Wakeup { link, connections, bell, datagrams: ready.len() > others })
    }

    fn wait_precisely(&mut self, at_most: Duration) -> io::Result<usize> {
        let timeout = timespec(at_most);
        // SAFETY: epoll_pwait2 writes at most `events.len()` events into `events`, which is borrowed mutably, and reads
        // `timeout`, which outlives the call; a null signal mask is allowed.
        let ready = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.0.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len(),
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        usize::try_from(ready).map_err(|_| io::Error::last_os_error())
    }

    /// Rounds up to the next millisecond: better late than awake too early.
    fn wait_ms(&mut self, at_most: Duration) -> io::Result<usize> {
        let ms = libc::c_int::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX);
        let max = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: epoll_wait writes at most `max` events into `events`, which is borrowed mutably and that long.
        let ready = unsafe { libc::epoll_wait(self.epoll.0.as_raw_fd(), self.events.as_mut_ptr(), max, ms) };
        usize::try_from(ready).map_err(|_| io::Error::last_os_error())
    }

    /// Receives from the sockets that are ready. All datagrams must have been handed out.
    pub(super) fn collect(&mut self, sockets: &mut Sockets, receive_buffers: &mut ReceiveBuffers) {
        let mut used = 0;
        for index in 0..std::mem::take(&mut self.ready) {
            let Some(event) = self.events.get(index).copied() else { break };
            if used >= self.headers.len() {
                break; // Level-triggered: the others are reported again.
            }
            let Ok(number) = u32::try_from(event.u64) else { continue };
            let id = EndpointId(number);
            let Some(socket) = sockets.get_mut(id) else { continue };
            let received = self.receive(socket.raw_fd(), used);
            for slot in used..used + received {
                if let Some(arrival) = self.arrival(id, slot, socket.overflows_mut(), receive_buffers) {
                    receive_buffers.push(arrival);
                }
            }
            used += received;
        }
    }

    /// One `recvmmsg` into the slots from `first` on. Returns how many were filled.
    fn receive(&mut self, fd: RawFd, first: usize) -> usize {
        self.prepare(first);
        let headers = self.headers.get_mut(first..).unwrap_or_default();
        let max = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        // SAFETY: `prepare` has pointed the headers from `first` on at slots, names and controls of their own, all of
        // which live as long as `self`, which is borrowed mutably; the kernel fills at most `max` headers.
        let received =
            unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), max, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        // An error is EAGAIN, or the ICMP answer to an earlier send, which this call has cleared.
        usize::try_from(received).unwrap_or(0)
    }

    fn prepare(&mut self, first: usize) {
        let slots = self.memory.chunks_exact_mut(self.slot_bytes).zip(self.iovecs.iter_mut());
        let names = self.names.iter_mut().zip(self.controls.iter_mut());
        for ((header, (slot, iovec)), (name, control)) in self.headers.iter_mut().zip(slots).zip(names).skip(first) {
            *iovec = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = name.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = u32::try_from(name.bytes.len()).unwrap_or(0);
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control.0.len();
            header.msg_hdr.msg_flags = 0;
        }
    }

    fn arrival(
        &self,
        id: EndpointId,
        slot: usize,
        overflows: &mut u32,
        receive_buffers: &mut ReceiveBuffers,
    ) -> Option<Arrival> {
        let header = self.headers.get(slot)?;
        let control = self.controls.get(slot)?.0.get(..header.msg_hdr.msg_controllen)?;
        let ancillary = parse_control(control);
        receive_buffers.record_overflows(overflows, ancillary.overflows);
        let remote = parse_name(self.names.get(slot)?.bytes.get(..header.msg_hdr.msg_namelen as usize)?)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            receive_buffers.record_truncated(Path { local: id, remote });
            return None;
        }
        let len = header.msg_len as usize;
        Some(Arrival {
            buffer: u16::try_from(slot).ok()?,
            local: id,
            remote,
            at: 0,
            end: len,
            segment_len: ancillary.segment_len.unwrap_or(len).max(1),
            taken_in_ns: ancillary.taken_in_ns,
        })
    }

    /// Bytes of a filled buffer.
    pub(super) fn bytes(&self, buffer: u16) -> &[u8] {
        let from = usize::from(buffer) * self.slot_bytes;
        self.memory.get(from..from + self.slot_bytes).unwrap_or_default()
    }

    /// Sends a batch: one `sendmmsg` for each run of messages of one socket.
    pub(super) fn transmit(sockets: &Sockets, batch: &mut SendBatch<'_, '_>) {
        batch.seal();
        let mut from = 0;
        while let Some(local) = batch.messages().get(from).map(|message| message.path.local) {
            let run = batch.messages().iter().skip(from).take_while(|message| message.path.local == local).count();
            let fd = sockets.get(local).map_or(-1, |socket| socket.raw_fd());
            transmit_run(fd, batch, from, from + run);
            from += run;
        }
    }
}

const fn slots(gro: bool) -> (usize, usize) {
    if gro { (GRO_SLOTS, GRO_SLOT_BYTES) } else { (SLOTS, SLOT_BYTES) }
}

fn transmit_run(fd: RawFd, batch: &mut SendBatch<'_, '_>, mut from: usize, to: usize) {
    while from < to {
        let headers = batch.sealed().get_mut(from..to).unwrap_or_default();
        let count = u32::try_from(headers.len()).unwrap_or(0);
        // SAFETY: a sealed batch's headers point to memory that the batch owns or has borrowed (`'a`), and `count` of
        // them follow the pointer. MSG_DONTWAIT: the kernel has let go of all of it when the call returns.
        let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, SEND_FLAGS) };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => from += sent,
            // The error is that of the first message; those before it, if any, were counted by an earlier call.
            _ => {
                batch.refuse(from, last_errno());
                from += 1;
            }
        }
    }
}

/// Sends message `index` of a sealed batch again, at once.
///
/// # Errors
/// The error number of the kernel.
pub(super) fn send_again(fd: RawFd, batch: &mut SendBatch<'_, '_>, index: usize) -> Result<(), i32> {
    let Some(header) = batch.sealed().get(index).map(|header| header.msg_hdr) else { return Err(libc::EINVAL) };
    send_header(fd, batch, &header)
}

/// Sends one segment of message `index` of a sealed batch, at once and alone.
///
/// # Errors
/// The error number of the kernel.
pub(super) fn send_segment(fd: RawFd, batch: &mut SendBatch<'_, '_>, index: usize, segment: u16) -> Result<(), i32> {
    let Some(header) = batch.seal_segment(index, segment) else { return Err(libc::EINVAL) };
    send_header(fd, batch, &header)
}

/// `header` must come from `batch`, which must not have changed since; private to this file for that reason.
fn send_header(fd: RawFd, _batch: &SendBatch<'_, '_>, header: &libc::msghdr) -> Result<(), i32> {
    // SAFETY: both callers took the header from the batch just now, so it points to memory that the batch owns or has
    // borrowed; MSG_DONTWAIT: the kernel has let go of it when the call returns.
    let sent = unsafe { libc::sendmsg(fd, header, SEND_FLAGS) };
    if sent < 0 { Err(last_errno()) } else { Ok(()) }
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use corecast_wire::HugePages;

    use super::*;

    #[test]
    fn both_ways_to_wait_see_the_link() {
        for precise in [true, false] {
            let memory = Region::new(Mmsg::memory_bytes(false), HugePages::Off).expect("memory");
            let mut mmsg = Mmsg::new(false, memory).expect("epoll");
            mmsg.precise = precise;
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
            mmsg.watch(Watch::Link, ours.as_fd()).expect("epoll takes it");
            assert_eq!(mmsg.wait(Duration::from_micros(100)).expect("waits"), Wakeup::default());
            drop(theirs);
            let wakeup = mmsg.wait(Duration::from_secs(20)).expect("waits");
            assert_eq!(wakeup, Wakeup { link: true, ..Wakeup::default() });
        }
    }
}
