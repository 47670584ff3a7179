//! What becomes of a train: it leaves through a socket, by a TCP connection, or to another worker. Owns nothing; it is
//! the part of the driver that sends.

use corecast_core::Path;

use super::intake::ReceiveBuffers;
use super::lanes::Lanes;
use super::mmsg::{Mmsg, send_again, send_segment};
use super::outgoing::{SegmentedSend, SendBatch};
use super::sockets::Sockets;
use super::tcp::Tcp;
use super::{Backend, Traffic};

/// Trains of one call of [`super::Driver::send`] on their way to the kernel, and all that sending them needs.
pub(super) struct SendQueue<'d, 'a> {
    pub(super) batch: SendBatch<'a, 'd>,
    pub(super) sockets: &'d mut Sockets,
    pub(super) traffic: &'d mut Traffic,
    pub(super) backend: &'d mut Backend,
    pub(super) receive_buffers: &'d mut ReceiveBuffers,
    pub(super) tcp: &'d mut Option<Box<Tcp>>,
    pub(super) lanes: &'d mut Option<Box<Lanes>>,
}

impl<'a> SendQueue<'_, 'a> {
    /// Queues a train. The kernel is called only if the batch has no room for it.
    pub(super) fn push<P>(&mut self, train: SegmentedSend<P>, refused: &mut impl FnMut(Path, u64))
    where
        P: Iterator<Item = &'a [u8]>,
    {
        if !self.batch.has_room() {
            self.transmit(refused);
        }
        let (path, packets) = (train.path, train.packets());
        let Some(socket) = self.sockets.get(path.local) else { return self.send_elsewhere(train, refused) };
        let named = !socket.is_connected_to(path.remote);
        let singly = train.segment_len > socket.segment_limit(path.remote.ip());
        if !self.batch.push(train, named, singly) {
            debug_assert!(false, "a train whose pieces do not add up");
            self.refuse(path, packets, refused);
        }
    }

    fn refuse(&mut self, path: Path, packets: u64, refused: &mut impl FnMut(Path, u64)) {
        self.traffic.packets_refused += packets;
        refused(path, packets);
    }

    /// Sends a train from an endpoint that is no UDP socket.
    fn send_elsewhere<P>(&mut self, train: SegmentedSend<P>, refused: &mut impl FnMut(Path, u64))
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let (path, packets) = (train.path, train.packets());
        let (taken, bytes) = match self.lanes {
            Some(lanes) if lanes.has(path.local) => lanes.send(train),
            _ => {
                let taken = self.tcp.as_mut().and_then(|tcp| tcp.send(train)).unwrap_or_default();
                (taken.packets, taken.bytes)
            }
        };
        self.traffic.packets_sent += taken;
        self.traffic.bytes_sent += bytes;
        self.traffic.trains_sent += u64::from(taken > 0);
        if taken < packets {
            self.refuse(path, packets - taken, refused);
        }
    }

    /// Sends what is left.
    pub(super) fn finish(mut self, refused: &mut impl FnMut(Path, u64)) {
        // First the other workers, which then work at the same time.
        if let Some(lanes) = self.lanes {
            lanes.ring();
        }
        self.transmit(refused);
    }

    /// Sends the batch, and tries refused messages again where that makes sense.
    fn transmit(&mut self, refused: &mut impl FnMut(Path, u64)) {
        match &mut self.backend {
            Backend::Mmsg(_) => Mmsg::transmit(self.sockets, &mut self.batch),
            Backend::Ring(ring) => ring.transmit(&mut self.batch, self.receive_buffers),
        }
        for message in self.batch.messages() {
            self.traffic.packets_sent += u64::from(message.packets);
            self.traffic.bytes_sent += u64::from(message.bytes);
        }
        self.traffic.trains_sent += self.batch.messages().len() as u64;
        while let Some(refusal) = self.batch.next_refusal() {
            let Some(message) = self.batch.messages().get(refusal.index).copied() else { continue };
            self.traffic.trains_sent -= 1;
            let accepted = self.send_refused_again(refusal.index, refusal.errno);
            let lost = message.packets - accepted.packets;
            self.traffic.packets_sent -= u64::from(lost);
            self.traffic.bytes_sent -= u64::from(message.bytes) - accepted.bytes;
            self.traffic.trains_sent += accepted.sends;
            if lost > 0 {
                self.refuse(message.path, u64::from(lost), refused);
            }
        }
        self.batch.clear();
    }

    /// Tries a refused message once more where that makes sense; returns the part that the kernel accepted.
    fn send_refused_again(&mut self, index: usize, errno: i32) -> Accepted {
        let nothing = Accepted::default();
        let Some(message) = self.batch.messages().get(index).copied() else { return nothing };
        let Some(socket) = self.sockets.get_mut(message.path.local) else { return nothing };
        match errno {
            // Full queues. Media that would have to wait is media that nobody wants.
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => return nothing,
            // The device or route cannot take trains.
            libc::EIO if message.packets > 1 => socket.lower_segment_limit(message.path.remote.ip(), 0),
            // The segments are longer than the path's MTU allows in a train. Kernels before 6.2 say EINVAL, and for
            // nothing else that we send. IP fragments such packets if they are sent singly.
            libc::EMSGSIZE | libc::EINVAL if message.packets > 1 => {
                socket.lower_segment_limit(message.path.remote.ip(), message.segment_len - 1);
            }
            _ => {
                // A connected socket reports ICMP errors of earlier packets once, in place of a later send.
                let sent = send_again(socket.raw_fd(), &mut self.batch, index).is_ok();
                let (packets, sends) = (message.packets, 1);
                return if sent { Accepted { packets, bytes: u64::from(message.bytes), sends } } else { nothing };
            }
        }
        let (fd, batch) = (socket.raw_fd(), &mut self.batch);
        let mut accepted = nothing;
        for segment in 0..message.packets {
            let sent = send_segment(fd, batch, index, segment)
                .or_else(|again| if is_pending(again) { send_segment(fd, batch, index, segment) } else { Err(again) });
            debug_assert!(sent != Err(libc::EINVAL), "a packet that the kernel does not understand");
            if sent.is_ok() {
                let before = u32::from(segment) * u32::from(message.segment_len);
                accepted.packets += 1;
                accepted.bytes += u64::from((message.bytes - before).min(u32::from(message.segment_len)));
                accepted.sends += 1;
            }
        }
        accepted
    }
}

/// The part of a message that the kernel accepted at the second try.
#[derive(Clone, Copy, Default)]
struct Accepted {
    packets: u16,
    bytes: u64,
    sends: u64,
}

/// Errors that may be the echo of an earlier packet.
const fn is_pending(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EPROTO | libc::EHOSTDOWN | libc::EMSGSIZE
    )
}
