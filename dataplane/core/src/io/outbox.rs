//! What the machine wants sent: packets, grouped into trains.
//!
//! Neighbouring packets with one destination and one length form a train, which leaves in a single segmented send
//! (`UDP_SEGMENT`). A train's segments are equally long; only the last may be shorter. The kernel does not check that,
//! so it is made true here and nowhere else.
//!
//! The outbox is small and reused. While the shell sends, nothing in it changes. What it names in history is named by
//! [`crate::Worker::forward`] alone, and sent before the machine is called again: history may change with every call.

use std::ops::Range;

use super::path::Path;
use crate::limits::{
    MAX_PACKET_BYTES, MAX_TRAIN_BYTES, MAX_TRAIN_SEGMENTS, OUTBOX_BYTES, OUTBOX_SEGMENTS, OUTBOX_TRAINS,
};
use crate::media::{History, SlotRef};
use crate::memory::Memory;

/// Packets for one destination that leave in one send.
#[derive(Clone, Copy, Debug)]
pub struct Train {
    /// From where, to where.
    pub path: Path,
    /// Length of every segment but the last, in bytes (`gso_size`).
    pub segment_len: u16,
    /// Length of the last segment, at most `segment_len`.
    pub last_len: u16,
    /// Number of segments, 1 to [`MAX_TRAIN_SEGMENTS`].
    pub segments: u16,
    first_segment: u32,
    closed: bool,
}

impl Train {
    /// All segments together, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.segment_len) * usize::from(self.segments - 1) + usize::from(self.last_len)
    }

    /// Never: a train has at least one segment.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// One packet of a train: bytes in the outbox, and for plain RTP a payload that stays in history.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: u32,
    to: u32,
    payload: Option<SlotRef>,
}

/// A piece of a train, in order: gather these and the train is complete.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Bytes of the outbox.
    Bytes(&'a [u8]),
    /// Bytes of history.
    Payload(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// The bytes, wherever they are.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) | Self::Payload(bytes) => bytes,
        }
    }
}

/// How much an outbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSize {
    /// Bytes of packets, 4,096 or more: twice what the longest packet takes.
    pub bytes: usize,
    /// Packets.
    pub segments: usize,
    /// Trains.
    pub trains: usize,
}

impl Default for OutboxSize {
    /// The size that stays in a core's second-level cache and is worth a batch of sends.
    fn default() -> Self {
        Self { bytes: OUTBOX_BYTES, segments: OUTBOX_SEGMENTS, trains: OUTBOX_TRAINS }
    }
}

/// Packets to send. Made once per worker.
#[derive(Debug)]
pub struct Outbox {
    bytes: Memory,
    size: OutboxSize,
    used: usize,
    segments: Vec<Segment>,
    trains: Vec<Train>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty outbox, with all the memory that it will ever have.
    #[must_use]
    pub fn new() -> Self {
        let size = OutboxSize::default();
        Self::in_memory(Memory::boxed(size.bytes), size)
    }

    /// An empty outbox whose packets are in `memory`, and no more of them than that takes.
    #[must_use]
    pub fn in_memory(memory: Memory, size: OutboxSize) -> Self {
        Self {
            size: OutboxSize { bytes: size.bytes.min(memory.len()), ..size },
            bytes: memory,
            used: 0,
            segments: Vec::with_capacity(size.segments),
            trains: Vec::with_capacity(size.trains),
        }
    }

    /// Forgets everything, once it has been sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.segments.clear();
        self.trains.clear();
    }

    /// Nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// Half full or more: a good moment to send what is there before the next datagram is handled.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        self.used * 2 >= self.size.bytes
            || self.trains.len() * 2 >= self.size.trains
            || self.segments.len() * 2 >= self.size.segments
    }

    /// The trains, in the order in which they are to leave.
    #[must_use]
    pub fn trains(&self) -> &[Train] {
        &self.trains
    }

    /// Packets in all trains.
    #[must_use]
    pub const fn packets(&self) -> usize {
        self.segments.len()
    }

    /// There is room for one more packet, however long.
    pub(crate) fn has_room(&self) -> bool {
        self.trains.len() < self.size.trains
            && self.segments.len() < self.size.segments
            && self.used + MAX_PACKET_BYTES <= self.size.bytes
    }

    /// Room for one more packet of `len` bytes, at the end of the outbox; `None` if it is full. The caller writes the
    /// packet there and then either [`Self::push`]es it or leaves it.
    pub(crate) fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.trains.len() >= self.size.trains || self.segments.len() >= self.size.segments {
            return None;
        }
        let end = self.used + len;
        if end > self.size.bytes {
            return None;
        }
        self.bytes.get_mut(self.used..end)
    }

    /// Appends the packet that was written into the last reservation: `len` bytes there, and `payload_len` bytes of
    /// history after them.
    pub(crate) fn push(&mut self, path: Path, len: usize, payload: Option<(SlotRef, usize)>) {
        let total = len + payload.map_or(0, |(_, payload_len)| payload_len);
        let Ok(packet_len) = u16::try_from(total) else { return };
        let (Ok(from), Ok(to)) = (u32::try_from(self.used), u32::try_from(self.used + len)) else { return };
        let Ok(first_segment) = u32::try_from(self.segments.len()) else { return };
        self.segments.push(Segment { from, to, payload: payload.map(|(slot, _)| slot) });
        self.used += len;
        if !self.trains.last_mut().is_some_and(|train| train.join(path, packet_len)) {
            self.trains.push(Train {
                path,
                segment_len: packet_len,
                last_len: packet_len,
                segments: 1,
                first_segment,
                closed: false,
            });
        }
    }

    fn segments_of(&self, train: &Train) -> &[Segment] {
        let first = train.first_segment as usize;
        self.segments.get(first..first + usize::from(train.segments)).unwrap_or_default()
    }

    /// The pieces of a train, in order. A train without payloads in history is one piece.
    pub fn pieces<'a>(&'a self, train: &Train, history: &'a History) -> impl Iterator<Item = Piece<'a>> {
        let segments = self.segments_of(train);
        let gathered = segments.iter().any(|segment| segment.payload.is_some());
        let whole = (!gathered).then(|| Piece::Bytes(self.span(segments)));
        let parts = if gathered { segments } else { &[] };
        whole.into_iter().chain(parts.iter().flat_map(move |segment| self.segment_pieces(segment, history)))
    }

    /// The pieces of segment `index` of a train, for sending it alone.
    pub fn pieces_of_segment<'a>(
        &'a self,
        train: &Train,
        index: usize,
        history: &'a History,
    ) -> impl Iterator<Item = Piece<'a>> {
        self.segments_of(train).get(index).into_iter().flat_map(move |segment| self.segment_pieces(segment, history))
    }

    fn segment_pieces<'a>(&'a self, segment: &Segment, history: &'a History) -> impl Iterator<Item = Piece<'a>> {
        let head = Piece::Bytes(self.slice(segment.from as usize..segment.to as usize));
        let payload = segment.payload.map(|slot| {
            debug_assert!(history.is_current(slot), "a packet left history before it was sent");
            Piece::Payload(history.payload(slot))
        });
        std::iter::once(head).chain(payload)
    }

    fn span(&self, segments: &[Segment]) -> &[u8] {
        match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => self.slice(first.from as usize..last.to as usize),
            _ => &[],
        }
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Takes out the trains to transports without sockets: each packet with the place of its transport.
    pub(crate) fn take_direct(&mut self, history: &History) -> Vec<(u32, Vec<u8>)> {
        let mut packets = Vec::new();
        for train in &self.trains {
            let Some(place) = train.path.local.direct_place() else { continue };
            for index in 0..usize::from(train.segments) {
                let pieces = self.pieces_of_segment(train, index, history);
                packets.push((place, pieces.flat_map(|piece| piece.bytes().iter().copied()).collect()));
            }
        }
        self.trains.retain(|train| train.path.local.direct_place().is_none());
        if self.trains.is_empty() {
            self.clear();
        }
        packets
    }

    /// Every packet on its own, copied together: for simulation and tests, not for sending.
    pub fn for_each_packet(&self, history: &History, mut packet: impl FnMut(Path, &[u8])) {
        let mut bytes = Vec::with_capacity(2_048);
        for train in &self.trains {
            for index in 0..usize::from(train.segments) {
                bytes.clear();
                for piece in self.pieces_of_segment(train, index, history) {
                    bytes.extend_from_slice(piece.bytes());
                }
                packet(train.path, &bytes);
            }
        }
    }
}

impl Train {
    /// Takes one more packet if that keeps the train's lengths lawful.
    fn join(&mut self, path: Path, packet_len: u16) -> bool {
        let fits = !self.closed
            && self.path == path
            && packet_len <= self.segment_len
            && usize::from(self.segments) < MAX_TRAIN_SEGMENTS
            && self.len() + usize::from(packet_len) <= MAX_TRAIN_BYTES;
        if fits {
            self.segments += 1;
            self.last_len = packet_len;
            self.closed = packet_len < self.segment_len;
        }
        fits
    }
}
