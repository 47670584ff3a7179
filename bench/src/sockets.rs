//! The system calls that the standard library does not have: many datagrams per call, segmented sends, socket options,
//! CPU time of a thread. All of the load generator's unsafe code is here and in [`crate::ring`].

use std::io::{self, IoSlice};
use std::mem::{size_of, zeroed};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;
/// Index of the drop counter in what `SO_MEMINFO` returns (`SK_MEMINFO_DROPS`).
const MEMINFO_DROPS: usize = 8;
/// Room for the control messages of `UDP_GRO` and of a time stamp.
const CONTROL_BYTES: usize = 64;
/// Most packets given to one `sendmmsg`.
const BURST: usize = 64;

/// Space for the one control message that a segmented send carries, as `CMSG_SPACE(2)` lays it out on 64-bit Linux.
pub type SegmentControl = [u64; 3];

/// The control message that asks for segments of `segment_len` bytes.
#[must_use]
pub const fn segment_control(segment_len: u16) -> SegmentControl {
    const HEADER_AND_VALUE: u64 = 16 + 2;
    let level_and_type = (libc::SOL_UDP as u64) | ((UDP_SEGMENT as u64) << 32);
    [HEADER_AND_VALUE, level_and_type, segment_len as u64]
}

fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn set_option(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value lives across the call and its length is given.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) }).map(drop)
}

/// Sets both socket buffers to `bytes`, beyond the sysctl maximum where the process may.
///
/// # Errors
/// The system refuses even the ordinary option.
pub fn set_buffers(socket: &UdpSocket, bytes: i32) -> io::Result<()> {
    for (forced, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        set_option(socket, libc::SOL_SOCKET, forced, bytes)
            .or_else(|_| set_option(socket, libc::SOL_SOCKET, plain, bytes))?;
    }
    Ok(())
}

/// Lets the kernel hand over trains whole (`UDP_GRO`).
///
/// # Errors
/// The kernel does not know the option.
pub fn set_gro(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, UDP_GRO, 1)
}

/// Has the kernel say when each datagram came in (`SO_TIMESTAMPNS`): on loopback, when the other side sent it.
///
/// # Errors
/// The kernel does not know the option.
pub fn set_time_stamps(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// A socket that an async runtime waits for, without giving it away.
///
/// # Errors
/// The runtime cannot watch more.
pub fn awaited(socket: Arc<UdpSocket>) -> io::Result<AsyncFd<Arc<UdpSocket>>> {
    // SAFETY: a `UdpSocket` keeps its descriptor open and the same for as long as it lives, and the `Arc` lives as long
    // as the registration.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// Datagrams that this socket has lost because its receive buffer was full, since it was made.
///
/// # Errors
/// The kernel does not know `SO_MEMINFO` (before Linux 4.12).
pub fn receive_drops(socket: &UdpSocket) -> io::Result<u32> {
    let mut info = [0_u32; 16];
    let mut len = size_of::<[u32; 16]>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info` and the length into `len`.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, info.as_mut_ptr().cast(), &raw mut len)
    })?;
    Ok(info[MEMINFO_DROPS])
}

/// User and system CPU time of the calling thread, as the worker's usage counts it.
///
/// # Errors
/// None that Linux documents.
pub fn thread_cpu_time() -> io::Result<Duration> {
    // SAFETY: all zeroes is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { zeroed() };
    // SAFETY: `usage` is writable for the length of the call.
    check(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) })?;
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs()) + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}

/// The same by the thread's own clock, to the nanosecond: for what takes microseconds.
///
/// # Errors
/// None that Linux documents.
pub fn thread_cpu_clock() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable for the length of the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    Ok(Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs()))
}

/// Has the kernel kill this process when the thread that started it ends, and ends it at once if that is over already.
pub fn die_with_parent(parent: u32) {
    // SAFETY: takes plain values only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if std::os::unix::process::parent_id() != parent {
        std::process::exit(1);
    }
}

/// Lets the calling thread's sleeps end when they should: the default slack of 50 us is as long as some of them.
pub fn precise_timers() {
    // SAFETY: takes plain values only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// A datagram, or several of one length that the kernel has put together.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Length of each datagram but the last.
    pub segment_len: usize,
    /// When the kernel took it in, in nanoseconds since 1970, if it was asked to say.
    pub stamp_ns: Option<u64>,
}

/// Buffers for one `recvmmsg`, filled again and again.
pub struct RecvBatch {
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    controls: Box<[[u8; CONTROL_BYTES]]>,
    buffers: Box<[u8]>,
    buffer_len: usize,
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch").field("buffers", &self.headers.len()).finish_non_exhaustive()
    }
}

impl RecvBatch {
    /// `count` buffers of `buffer_len` bytes each.
    #[must_use]
    pub fn new(count: usize, buffer_len: usize) -> Self {
        // SAFETY: all zeroes is a valid `mmsghdr`.
        let empty: libc::mmsghdr = unsafe { zeroed() };
        Self {
            headers: vec![empty; count].into_boxed_slice(),
            iovecs: vec![libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; count].into_boxed_slice(),
            controls: vec![[0; CONTROL_BYTES]; count].into_boxed_slice(),
            buffers: vec![0; count * buffer_len].into_boxed_slice(),
            buffer_len,
        }
    }

    /// Buffers in the batch.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Receives into the buffers from `from` on, without waiting; says how many were filled, 0 if nothing was there.
    ///
    /// # Errors
    /// What the socket says, other than that it is empty.
    pub fn receive(&mut self, socket: &UdpSocket, from: usize) -> io::Result<usize> {
        let buffers = self.buffers.chunks_exact_mut(self.buffer_len);
        for (((header, iovec), control), buffer) in
            self.headers.iter_mut().zip(&mut self.iovecs).zip(&mut self.controls).zip(buffers).skip(from)
        {
            iovec.iov_base = buffer.as_mut_ptr().cast();
            iovec.iov_len = buffer.len();
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        let Some(headers) = self.headers.get_mut(from..).filter(|headers| !headers.is_empty()) else { return Ok(0) };
        let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
        let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: every header points to its own iovec, control and buffer, all of which this batch owns and nothing
        // else refers to during the call.
        let got = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count, flags, std::ptr::null_mut()) };
        match check(got) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            // What a closed port of the other side left behind (ICMP); the socket itself is well.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(0),
            result => result,
        }
    }

    /// What buffer `index` holds since the last receive.
    #[must_use]
    pub fn datagram(&self, index: usize) -> Datagram<'_> {
        let header = &self.headers[index];
        let start = index * self.buffer_len;
        let bytes = &self.buffers[start..start + (header.msg_len as usize).min(self.buffer_len)];
        let control = match header.msg_hdr.msg_controllen {
            0 => Control::default(),
            len => Control::read(&self.controls[index][..len.min(CONTROL_BYTES)]),
        };
        let segment_len = control.segment_len.unwrap_or(bytes.len()).max(1);
        Datagram { bytes, segment_len, stamp_ns: control.stamp_ns }
    }

    /// The whole of buffer `index`.
    #[must_use]
    pub fn buffer(&self, index: usize) -> &[u8] {
        let start = index * self.buffer_len;
        &self.buffers[start..start + self.buffer_len]
    }

    /// The whole of buffer `index`, for changing what was received.
    pub fn buffer_mut(&mut self, index: usize) -> &mut [u8] {
        let start = index * self.buffer_len;
        &mut self.buffers[start..start + self.buffer_len]
    }
}

/// What control messages say: each has a header of 16 bytes (length, level, type) and begins at a multiple of 8.
#[derive(Clone, Copy, Debug, Default)]
struct Control {
    segment_len: Option<usize>,
    stamp_ns: Option<u64>,
}

impl Control {
    const HEADER_BYTES: usize = 16;

    fn read(mut bytes: &[u8]) -> Self {
        let mut found = Self::default();
        while let Some(len) = found.read_one(bytes).filter(|len| *len >= Self::HEADER_BYTES) {
            bytes = bytes.get(len.next_multiple_of(8)..).unwrap_or_default();
        }
        found
    }

    /// Reads the first message; its length.
    fn read_one(&mut self, bytes: &[u8]) -> Option<usize> {
        let int = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        let len = usize::try_from(long(0)?).ok()?;
        match (int(8)?, int(12)?) {
            (libc::SOL_UDP, UDP_GRO) => self.segment_len = usize::try_from(int(Self::HEADER_BYTES)?).ok(),
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => {
                let (seconds, ns) = (long(Self::HEADER_BYTES)?, long(Self::HEADER_BYTES + 8)?);
                self.stamp_ns = Some(seconds * 1_000_000_000 + ns);
            }
            _ => {}
        }
        Some(len)
    }
}

/// Sends every packet on a connected socket, without waiting, many per call; says how many the kernel took.
///
/// # Errors
/// What the socket says, other than that it is full.
pub fn send_burst(socket: &UdpSocket, packets: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut sent = 0;
    for chunk in packets.chunks(BURST) {
        // SAFETY: all zeroes is a valid `mmsghdr`.
        let mut headers: [libc::mmsghdr; BURST] = unsafe { zeroed() };
        for (header, packet) in headers.iter_mut().zip(chunk) {
            // The kernel only reads what a send's iovec points to.
            header.msg_hdr.msg_iov = std::ptr::from_ref(packet).cast_mut().cast();
            header.msg_hdr.msg_iovlen = 1;
        }
        let count = chunk.len() as libc::c_uint;
        // SAFETY: the first `count` headers point to iovecs (as which `IoSlice` is laid out) that outlive the call.
        let result = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        match check(result) {
            Ok(taken) => {
                sent += taken;
                if taken < chunk.len() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Sends the pieces as one segmented send on a connected socket, without waiting.
///
/// # Errors
/// What the socket says.
pub fn send_train(socket: &UdpSocket, pieces: &[IoSlice<'_>], segment_len: u16) -> io::Result<()> {
    let control = segment_control(segment_len);
    let message = train_message(pieces, &control);
    // SAFETY: the message points to pieces and a control message that outlive the call, which only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The message header of a segmented send. It points to `pieces` and `control`, which must outlive its use.
#[must_use]
pub(crate) fn train_message(pieces: &[IoSlice<'_>], control: &SegmentControl) -> libc::msghdr {
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len();
    message.msg_control = control.as_ptr().cast_mut().cast();
    message.msg_controllen = size_of::<SegmentControl>();
    message
}

/// Which of several sockets can be read.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Watches every socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(sockets: &[UdpSocket]) -> io::Result<Self> {
        // SAFETY: takes plain values only.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })? as libc::c_int;
        // SAFETY: the descriptor was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        for (index, socket) in sockets.iter().enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            let (epoll, add, socket) = (fd.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd());
            // SAFETY: `event` is readable during the call.
            check(unsafe { libc::epoll_ctl(epoll, add, socket, &raw mut event) })?;
        }
        Ok(Self { fd, events: Vec::with_capacity(sockets.len().max(1)) })
    }

    /// Waits until sockets can be read, or for `limit`; then their indexes.
    ///
    /// # Errors
    /// What the system says, other than that a signal came.
    pub fn wait(&mut self, limit: Duration) -> io::Result<impl Iterator<Item = usize> + '_> {
        let milliseconds = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
        let capacity = self.events.capacity() as libc::c_int;
        self.events.clear();
        let buffer = self.events.as_mut_ptr();
        // SAFETY: the kernel writes at most as many events as the vector has room for.
        let result = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), buffer, capacity, milliseconds) };
        let ready = match check(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        // SAFETY: the kernel has written this many events.
        unsafe { self.events.set_len(ready) };
        Ok(self.events.iter().map(|event| event.u64 as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bind");
        sender.connect(receiver.local_addr().expect("bound")).expect("connect");
        (sender, receiver)
    }

    #[test]
    fn a_train_arrives_as_its_segments() {
        let (sender, receiver) = pair();
        let pieces = [IoSlice::new(&[1; 100]), IoSlice::new(&[2; 100]), IoSlice::new(&[3; 60])];
        send_train(&sender, &pieces, 100).expect("segmented send");
        let mut batch = RecvBatch::new(8, 2_048);
        assert_eq!(batch.receive(&receiver, 0).expect("receive"), 3);
        for (index, (value, len)) in [(1, 100), (2, 100), (3, 60)].into_iter().enumerate() {
            assert_eq!(batch.datagram(index).bytes, vec![value; len]);
        }
        assert_eq!(batch.receive(&receiver, 0).expect("receive"), 0, "nothing is left");
    }

    #[test]
    fn a_gro_socket_gets_a_train_whole() {
        let (sender, receiver) = pair();
        set_gro(&receiver).expect("UDP_GRO");
        let pieces = [IoSlice::new(&[1; 100]), IoSlice::new(&[2; 100]), IoSlice::new(&[3; 60])];
        send_train(&sender, &pieces, 100).expect("segmented send");
        let mut batch = RecvBatch::new(2, 65_536);
        assert_eq!(batch.receive(&receiver, 0).expect("receive"), 1);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.bytes.len(), datagram.segment_len), (260, 100));
    }

    #[test]
    fn a_time_stamp_comes_beside_a_train() {
        let (sender, receiver) = pair();
        set_gro(&receiver).expect("UDP_GRO");
        set_time_stamps(&receiver).expect("SO_TIMESTAMPNS");
        let pieces = [IoSlice::new(&[1; 100]), IoSlice::new(&[2; 100]), IoSlice::new(&[3; 60])];
        send_train(&sender, &pieces, 100).expect("segmented send");
        let mut batch = RecvBatch::new(2, 65_536);
        assert_eq!(batch.receive(&receiver, 0).expect("receive"), 1);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.bytes.len(), datagram.segment_len), (260, 100));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let age = now.as_nanos() as u64 - datagram.stamp_ns.expect("a stamp");
        assert!(age < 60_000_000_000, "{age} ns ago");
    }

    #[test]
    fn an_overflowing_receiver_is_seen() {
        let (sender, receiver) = pair();
        set_buffers(&receiver, 4_096).expect("buffers");
        let packets = vec![[0_u8; 1_000]; 100];
        let slices: Vec<_> = packets.iter().map(|packet| IoSlice::new(packet)).collect();
        assert_eq!(send_burst(&sender, &slices).expect("burst"), 100);
        let mut batch = RecvBatch::new(128, 1_024);
        let received = batch.receive(&receiver, 0).expect("receive");
        assert_eq!(received + receive_drops(&receiver).expect("SO_MEMINFO") as usize, 100);
        assert!(received < 100, "a buffer of 4 KiB cannot have held all");
    }
}
