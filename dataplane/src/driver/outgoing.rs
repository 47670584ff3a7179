//! Trains on their way to the kernel: the `msghdr`s, `iovec`s and control messages that one batch of sends is made of.
//!
//! Owns that memory, made once and reused. A [`SendBatch`] borrows the bytes that it points to for as long as it lives,
//! so the kernel is never shown memory that may have changed. Nothing here calls the kernel.

use std::marker::PhantomData;

use corecast_core::Path;
use corecast_core::limits::{MAX_TRAIN_BYTES, MAX_TRAIN_SEGMENTS};

use super::address::{Name, SegmentControl};

/// Flags of every send: never wait, and no SIGPIPE.
pub(super) const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// Messages in one batch, and so entries of the ring's submission queue.
pub(super) const MAX_MESSAGES: usize = 512;
const MAX_PIECES: usize = 4_096;
/// Header and payload of every segment, and a cut through a piece at every segment's end.
const MAX_PIECES_PER_TRAIN: usize = 3 * MAX_TRAIN_SEGMENTS;

/// A train as the driver takes it, to be sent in one call with `UDP_SEGMENT`: its path and the pieces that make it up.
#[derive(Clone, Copy, Debug)]
pub struct SegmentedSend<P> {
    /// Local endpoint and remote address.
    pub path: Path,
    /// Length of every segment but the last, in bytes. Never 0.
    pub segment_len: u16,
    /// All segments together, in bytes.
    pub len: usize,
    /// The bytes, in order: as many pieces as the caller likes, 192 at most, `len` bytes in all.
    pub pieces: P,
}

impl<P> SegmentedSend<P> {
    pub(super) fn packets(&self) -> u64 {
        self.len.div_ceil(usize::from(self.segment_len).max(1)) as u64
    }
}

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) path: Path,
    pub(super) segment_len: u16,
    pub(super) packets: u16,
    pub(super) bytes: u32,
    first_piece: u32,
    pieces: u32,
    named: bool,
}

/// A message that the kernel refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) index: usize,
    pub(super) errno: i32,
}

/// Memory for one batch of sends at a time.
pub(super) struct SendMemory {
    messages: Vec<Message>,
    refusals: Vec<Refusal>,
    headers: Box<[libc::mmsghdr]>,
    names: Box<[Name]>,
    controls: Box<[SegmentControl]>,
    pieces: Vec<libc::iovec>,
    cut: Vec<libc::iovec>,
}

impl SendMemory {
    pub(super) fn new() -> Self {
        Self {
            messages: Vec::with_capacity(MAX_MESSAGES),
            refusals: Vec::with_capacity(MAX_MESSAGES),
            headers: vec![EMPTY_HEADER; MAX_MESSAGES].into_boxed_slice(),
            names: vec![Name::EMPTY; MAX_MESSAGES].into_boxed_slice(),
            controls: vec![SegmentControl::new(0); MAX_MESSAGES].into_boxed_slice(),
            pieces: Vec::with_capacity(MAX_PIECES),
            cut: Vec::with_capacity(MAX_PIECES_PER_TRAIN),
        }
    }

    /// An empty batch that may point to bytes that live for `'a`.
    pub(super) fn batch<'a>(&mut self) -> SendBatch<'a, '_> {
        let mut batch = SendBatch { memory: self, bytes: PhantomData };
        batch.clear();
        batch
    }
}

/// Sends that are being gathered. Every pointer in it is to bytes that live for `'a`.
pub(super) struct SendBatch<'a, 'm> {
    memory: &'m mut SendMemory,
    bytes: PhantomData<&'a [u8]>,
}

const EMPTY_HEADER: libc::mmsghdr = libc::mmsghdr {
    msg_hdr: libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: std::ptr::null_mut(),
        msg_iovlen: 0,
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    },
    msg_len: 0,
};

impl<'a> SendBatch<'a, '_> {
    /// Forgets the messages.
    pub(super) fn clear(&mut self) {
        self.memory.messages.clear();
        self.memory.refusals.clear();
        self.memory.pieces.clear();
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.memory.messages
    }

    /// Whether any one more train fits, even packet by packet.
    pub(super) fn has_room(&self) -> bool {
        self.memory.messages.len() + MAX_TRAIN_SEGMENTS <= MAX_MESSAGES
            && self.memory.pieces.len() + 2 * MAX_PIECES_PER_TRAIN <= MAX_PIECES
    }

    /// Adds a train: whole, or packet by packet if `singly`. `named` says that the socket must be told the remote
    /// address. False if the pieces do not add up to the train's length: such a train must not be sent, because
    /// the kernel does not check lengths and would send silently corrupted packets.
    pub(super) fn push<P>(&mut self, train: SegmentedSend<P>, named: bool, singly: bool) -> bool
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let SegmentedSend { path, segment_len, len, pieces } = train;
        let memory = &mut *self.memory;
        let first = memory.pieces.len();
        let mut total = 0;
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            if memory.pieces.len() - first >= MAX_PIECES_PER_TRAIN {
                total = usize::MAX;
                break;
            }
            memory.pieces.push(libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
            total += piece.len();
        }
        let segments = len.div_ceil(usize::from(segment_len).max(1));
        let is_valid = (1..=MAX_TRAIN_SEGMENTS).contains(&segments) && segment_len > 0 && len <= MAX_TRAIN_BYTES;
        let (Ok(packets), Ok(bytes)) = (u16::try_from(segments), u32::try_from(len)) else { return false };
        if total != len || !is_valid {
            memory.pieces.truncate(first);
            return false;
        }
        let pieces = count(memory.pieces.len() - first);
        let message = Message { path, segment_len, packets, bytes, first_piece: count(first), pieces, named };
        if singly && packets > 1 {
            self.push_segments(message)
        } else {
            memory.messages.push(message)
        }
        true
    }

    /// Replaces a gathered train by its packets, each a message of its own.
    fn push_segments(&mut self, train: Message) {
        for index in 0..train.packets {
            let bytes = self.cut(&train, index);
            let memory = &mut *self.memory;
            let first_piece = count(memory.pieces.len());
            memory.pieces.extend_from_slice(&memory.cut);
            let pieces = count(memory.cut.len());
            memory.messages.push(Message { packets: 1, bytes, first_piece, pieces, ..train });
        }
    }

    /// Leaves the pieces of one segment of a train in `cut`; returns its length in bytes.
    fn cut(&mut self, train: &Message, index: u16) -> u32 {
        let memory = &mut *self.memory;
        memory.cut.clear();
        let from = usize::from(index) * usize::from(train.segment_len);
        let to = (from + usize::from(train.segment_len)).min(train.bytes as usize);
        let mut at = 0;
        let first = train.first_piece as usize;
        for piece in memory.pieces.iter().skip(first).take(train.pieces as usize) {
            let (start, end) = (from.max(at), to.min(at + piece.iov_len));
            if start < end {
                // Inside the piece: `at <= start < end <= at + iov_len`.
                let iov_base = piece.iov_base.wrapping_byte_add(start - at);
                memory.cut.push(libc::iovec { iov_base, iov_len: end - start });
            }
            at += piece.iov_len;
        }
        count(to - from)
    }

    /// Writes the headers of all messages. From here until the next change of the batch their pointers are good.
    pub(super) fn seal(&mut self) {
        let memory = &mut *self.memory;
        let pieces = memory.pieces.as_mut_ptr();
        let names = memory.names.as_mut_ptr();
        let controls = memory.controls.as_mut_ptr();
        let rooms = memory.names.iter_mut().zip(memory.controls.iter_mut());
        let messages = memory.messages.iter().zip(memory.headers.iter_mut()).zip(rooms);
        for (index, ((message, header), (name, control))) in messages.enumerate() {
            let header = &mut header.msg_hdr;
            *header = EMPTY_HEADER.msg_hdr;
            header.msg_iov = pieces.wrapping_add(message.first_piece as usize);
            header.msg_iovlen = message.pieces as usize;
            if message.named {
                *name = Name::of(message.path.remote);
                header.msg_name = names.wrapping_add(index).cast();
                header.msg_namelen = name.len;
            }
            if message.packets > 1 {
                *control = SegmentControl::new(message.segment_len);
                header.msg_control = controls.wrapping_add(index).cast();
                header.msg_controllen = size_of::<SegmentControl>();
            }
        }
    }

    /// The headers that [`Self::seal`] wrote.
    pub(super) fn sealed(&mut self) -> &mut [libc::mmsghdr] {
        let messages = self.memory.messages.len();
        self.memory.headers.get_mut(..messages).unwrap_or_default()
    }

    /// The header of segment `index` of a sealed message, for sending it alone. Good until the batch changes.
    pub(super) fn seal_segment(&mut self, message: usize, index: u16) -> Option<libc::msghdr> {
        let train = *self.memory.messages.get(message)?;
        let mut header = self.memory.headers.get(message)?.msg_hdr;
        self.cut(&train, index);
        header.msg_iov = self.memory.cut.as_mut_ptr();
        header.msg_iovlen = self.memory.cut.len();
        header.msg_control = std::ptr::null_mut();
        header.msg_controllen = 0;
        Some(header)
    }

    /// Records that the kernel did not take message `index`.
    pub(super) fn refuse(&mut self, index: usize, errno: i32) {
        self.memory.refusals.push(Refusal { index, errno });
    }

    pub(super) fn next_refusal(&mut self) -> Option<Refusal> {
        self.memory.refusals.pop()
    }
}

/// All counts here are below [`MAX_PIECES`] or [`MAX_TRAIN_BYTES`].
fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use corecast_core::EndpointId;

    use super::*;

    fn train<'a>(
        pieces: &'a [&'a [u8]],
        segment_len: u16,
        len: usize,
    ) -> SegmentedSend<impl Iterator<Item = &'a [u8]>> {
        let path = Path { local: EndpointId(0), remote: "192.0.2.1:9".parse().expect("an address") };
        SegmentedSend { path, segment_len, len, pieces: pieces.iter().copied() }
    }

    #[test]
    fn pieces_that_do_not_add_up_are_not_sent() {
        let mut memory = SendMemory::new();
        let mut batch = memory.batch();
        assert!(!batch.push(train(&[&[0; 100], &[0; 99]], 100, 200), true, false), "too short");
        assert!(!batch.push(train(&[&[0; 100], &[0; 101]], 100, 200), true, false), "too long");
        assert!(!batch.push(train(&[], 100, 0), true, false), "nothing");
        assert!(!batch.push(train(&[&[0; 65]], 1, 65), true, false), "65 segments");
        assert!(batch.messages().is_empty());
        assert!(batch.push(train(&[&[0; 100], &[0; 99]], 100, 199), true, false));
        assert_eq!(batch.messages().len(), 1);
        assert_eq!((batch.messages()[0].packets, batch.messages()[0].first_piece), (2, 0));
    }

    #[test]
    fn a_train_is_cut_at_its_segments_wherever_its_pieces_end() {
        let bytes: Vec<u8> = (0..250).collect();
        let (a, rest) = bytes.split_at(30);
        let (b, c) = rest.split_at(130);
        let mut memory = SendMemory::new();
        let mut batch = memory.batch();
        let pieces = [a, b, c];
        assert!(batch.push(train(&pieces, 100, 250), true, true));
        let lens: Vec<_> = batch.messages().iter().map(|message| (message.packets, message.bytes)).collect();
        assert_eq!(lens, [(1, 100), (1, 100), (1, 50)]);
        batch.seal();
        let counts: Vec<_> = batch.sealed().iter().map(|header| header.msg_hdr.msg_iovlen).collect();
        assert_eq!(counts, [2, 2, 1]);
        let starts: Vec<_> =
            batch.messages().iter().map(|m| batch.memory.pieces[m.first_piece as usize].iov_base.addr()).collect();
        let base = bytes.as_ptr().addr();
        assert_eq!(starts, [base, base + 100, base + 200]);
    }
}
