//! Packet history: the payloads that producers sent, as plain text, from which every consumer's packets are sealed and
//! retransmitted.
//!
//! Owns all slots of a worker; a stream holds indexes into it. A slot joins a stream's history only when its packet has
//! been authenticated. Memory grows by chunks up to the number of slots that the worker was given and is reused, never
//! moved.

use corecast_wire::MediaKind;

use super::share::Shares;
use crate::codec::{Change, Frame, red};
use crate::limits::{
    HEADROOM_BYTES, MAX_HEADER_EXTRA_BYTES, MAX_MADE_BYTES, MAX_PAD_BYTES, MAX_PAYLOAD_BYTES, MAX_SLOTS,
    SLOTS_PER_CHUNK,
};
use crate::memory::{Memory, MemorySource};
use crate::time::Instant;

const PAYLOAD_AT: usize = HEADROOM_BYTES;
const EXTRA_AT: usize = PAYLOAD_AT + MAX_PAYLOAD_BYTES + MAX_PAD_BYTES;
const STRIDE: usize = EXTRA_AT + MAX_HEADER_EXTRA_BYTES;

/// A packet in history. Stale, and so harmless, once its slot has been given to another packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRef {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Header of a packet in history, as the router sees it (mapped payload type and extension ids).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketMeta {
    /// Extended sequence number of the producer's stream.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) arrived: Instant,
    pub(crate) payload_len: u16,
    /// 0 until its padding is decided; then one more than the bytes of it.
    pub(crate) settled: u8,
    /// Blocks of redundant audio data (RFC 2198), the primary one included; 0 if it is none.
    pub(crate) blocks: u8,
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    /// What it says about its frame.
    pub(crate) frame: Frame,
    /// Contributing sources in the slot's extra bytes.
    pub(crate) csrc_count: u8,
    /// Bytes of the extension block (with its 4-byte head) that follow them; 0 for none.
    pub(crate) extension_len: u8,
    /// Bit n is set if the block holds the extension with the router's id n.
    pub(crate) extension_ids: u16,
}

impl PacketMeta {
    /// Padding to add so that a train is of one length (RFC 3550 section 5.1). Decided once, before the first send.
    #[inline]
    pub(crate) const fn pad(&self) -> u8 {
        self.settled.saturating_sub(1)
    }

    /// The padding is decided: the packet may be sealed, and from now on always to the same bytes.
    #[inline]
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled > 0
    }

    /// Bytes of its contributing sources and its extension block.
    fn extra_len(&self) -> usize {
        usize::from(self.csrc_count) * 4 + usize::from(self.extension_len)
    }

    /// Its length after the fixed header, as a receiver of all that it carries gets it, without padding. What we add
    /// for a receiver is equally long for all packets.
    pub(crate) fn variable_len(&self) -> usize {
        self.extra_len() + usize::from(self.payload_len)
    }
}

const _: () = assert!(size_of::<PacketMeta>() == 32, "half a line of the cache: each consumer reads it");

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    meta: PacketMeta,
}

/// All slots of a worker.
#[derive(Debug)]
pub struct History {
    max_slots: usize,
    source: MemorySource,
    chunks: Vec<Memory>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Which stream may hold how many.
    pub(super) shares: Shares,
    /// The redundant sound that was made last.
    made: Box<[u8]>,
}

impl Default for History {
    fn default() -> Self {
        Self::new(MAX_SLOTS, MemorySource::default())
    }
}

impl History {
    /// A history of at most so many slots, none of which has memory yet.
    pub(crate) fn new(max_slots: usize, source: MemorySource) -> Self {
        Self {
            max_slots,
            source,
            chunks: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            shares: Shares::new(max_slots),
            made: vec![0; MAX_MADE_BYTES].into(),
        }
    }

    /// Whether so many more streams could have their shares of it, if they began to send now.
    pub(crate) fn has_room(&self, kind: MediaKind, streams: usize) -> bool {
        self.shares.have_room(kind, streams)
    }

    /// Streams of this kind that can have their shares of it.
    pub(crate) const fn max_streams(&self, kind: MediaKind) -> usize {
        self.shares.max_streams(kind)
    }

    /// An empty slot, or `None` if all are in use.
    pub(crate) fn allocate(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            self.grow()?;
        }
        self.free.pop()
    }

    fn grow(&mut self) -> Option<()> {
        let first = self.slots.len();
        let more = SLOTS_PER_CHUNK.min(self.max_slots.saturating_sub(first));
        if more == 0 {
            return None;
        }
        self.chunks.push(self.source.take(STRIDE * SLOTS_PER_CHUNK)?);
        self.slots.resize(first + more, Slot::default());
        self.free.extend((first..first + more).rev().filter_map(|index| u32::try_from(index).ok()));
        Some(())
    }

    /// Gives a slot back. References to it are stale from now on.
    pub(crate) fn release(&mut self, index: u32) {
        self.retire(index);
        self.free.push(index);
    }

    /// Makes references to the slot's packet stale, so that it can be written again.
    pub(crate) fn retire(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.generation = slot.generation.wrapping_add(1);
        }
    }

    /// The slot's bytes: 2 of headroom, then payload, then room for padding.
    pub(crate) fn bytes_mut(&mut self, index: u32) -> &mut [u8] {
        let (chunk, at) = place(index);
        self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(at..at + EXTRA_AT)).unwrap_or_default()
    }

    /// The same, to read.
    pub(crate) fn bytes(&self, index: u32) -> &[u8] {
        let (chunk, at) = place(index);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(at..at + EXTRA_AT)).unwrap_or_default()
    }

    /// Room for contributing sources and the extension block.
    pub(crate) fn extra_mut(&mut self, index: u32) -> &mut [u8] {
        let (chunk, at) = place(index);
        self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(at + EXTRA_AT..at + STRIDE)).unwrap_or_default()
    }

    /// Contributing sources followed by the extension block.
    pub(crate) fn extra(&self, index: u32) -> &[u8] {
        let len = self.meta(index).extra_len();
        let (chunk, at) = place(index);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(at + EXTRA_AT..at + EXTRA_AT + len)).unwrap_or_default()
    }

    /// What was noted of a packet's dependency descriptor, behind those: of no meaning if it has none.
    pub(crate) fn note(&self, index: u32) -> &[u8] {
        let len = self.meta(index).extra_len();
        let (chunk, at) = place(index);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(at + EXTRA_AT + len..at + STRIDE)).unwrap_or_default()
    }

    pub(crate) fn meta(&self, index: u32) -> PacketMeta {
        self.slots.get(index as usize).map(|slot| slot.meta).unwrap_or_default()
    }

    pub(crate) fn meta_mut(&mut self, index: u32) -> Option<&mut PacketMeta> {
        self.slots.get_mut(index as usize).map(|slot| &mut slot.meta)
    }

    pub(crate) fn reference(&self, index: u32) -> SlotRef {
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        SlotRef { index, generation }
    }

    pub(crate) fn is_current(&self, slot: SlotRef) -> bool {
        self.slots.get(slot.index as usize).is_some_and(|held| held.generation == slot.generation)
    }

    /// The header of a packet that is still in history.
    #[inline]
    pub(crate) fn current(&self, slot: SlotRef) -> Option<PacketMeta> {
        self.slots.get(slot.index as usize).filter(|held| held.generation == slot.generation).map(|held| held.meta)
    }

    /// Payload and padding of a packet, empty if the reference is stale.
    #[must_use]
    pub fn payload(&self, slot: SlotRef) -> &[u8] {
        if !self.is_current(slot) {
            return &[];
        }
        let meta = self.meta(slot.index);
        let (chunk, at) = place(slot.index);
        let from = at + PAYLOAD_AT;
        let to = from + usize::from(meta.payload_len) + usize::from(meta.pad());
        self.chunks.get(chunk).and_then(|chunk| chunk.get(from..to)).unwrap_or_default()
    }

    /// What is sealed of a packet: payload and padding, after the original sequence number in the headroom for RTX.
    pub(crate) fn sealable(&self, index: u32, with_headroom: bool) -> &[u8] {
        let meta = self.meta(index);
        let (chunk, at) = place(index);
        let from = if with_headroom { at } else { at + PAYLOAD_AT };
        let to = at + PAYLOAD_AT + usize::from(meta.payload_len) + usize::from(meta.pad());
        self.chunks.get(chunk).and_then(|chunk| chunk.get(from..to)).unwrap_or_default()
    }

    /// Changes a packet's payload for one receiver. The inverse of the change takes it back.
    pub(crate) fn change(&mut self, index: u32, change: Change) {
        let PacketMeta { frame, payload_len, .. } = self.meta(index);
        let len = usize::from(payload_len);
        change.apply(frame, self.bytes_mut(index).get_mut(PAYLOAD_AT..PAYLOAD_AT + len).unwrap_or_default());
    }

    /// Gives the blocks of a packet of redundant audio data another payload type.
    pub(crate) fn rename_blocks(&mut self, index: u32, to: u8) {
        let PacketMeta { blocks, payload_len, .. } = self.meta(index);
        let len = usize::from(payload_len);
        red::rename(self.bytes_mut(index).get_mut(PAYLOAD_AT..PAYLOAD_AT + len).unwrap_or_default(), blocks, to);
    }

    /// Makes redundant audio data (RFC 2198) of a packet and these before it, the oldest first, each with how much
    /// older it is. Its length; `None` if it would be too long.
    pub(crate) fn make_redundant(&mut self, carried: u8, earlier: &[(u32, u32)], primary: u32) -> Option<u16> {
        let mut room = std::mem::take(&mut self.made);
        let blocks = earlier.iter().map(|(age, index)| (*age, self.unpadded(*index)));
        let len = red::write(&mut room, carried, blocks, self.unpadded(primary));
        self.made = room;
        len.and_then(|len| u16::try_from(len).ok())
    }

    /// So many bytes of what was made last.
    pub(crate) fn made(&self, len: u16) -> &[u8] {
        self.made.get(..usize::from(len)).unwrap_or_default()
    }

    /// A packet's payload without its padding.
    fn unpadded(&self, index: u32) -> &[u8] {
        let payload_len = usize::from(self.meta(index).payload_len);
        self.sealable(index, false).get(..payload_len).unwrap_or_default()
    }

    /// Writes the original sequence number of an RTX packet before the payload, or before what is left of it without so
    /// many bytes. What was there.
    pub(crate) fn write_headroom(&mut self, index: u32, without: usize, original: [u8; HEADROOM_BYTES]) -> [u8; 2] {
        let place = self.bytes_mut(index).get_mut(without..).and_then(|rest| rest.first_chunk_mut::<HEADROOM_BYTES>());
        place.map_or(original, |headroom| std::mem::replace(headroom, original))
    }

    /// Decides a packet's padding, once, before it is first sent (RFC 3550 section 5.1).
    pub(crate) fn settle(&mut self, index: u32, pad: u8) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        slot.meta.settled = pad + 1;
        if pad == 0 {
            return;
        }
        let from = PAYLOAD_AT + usize::from(slot.meta.payload_len);
        let padding = self.bytes_mut(index).get_mut(from..from + usize::from(pad)).unwrap_or_default();
        padding.fill(0);
        if let Some(last) = padding.last_mut() {
            *last = pad;
        }
    }

    /// Slots that hold, or are about to hold, a packet.
    #[must_use]
    pub const fn slots_in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Bytes of memory in use for slots.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.chunks.len() * STRIDE * SLOTS_PER_CHUNK + self.slots.len() * size_of::<Slot>()
    }
}

/// Chunk of a slot, and offset within it.
const fn place(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index / SLOTS_PER_CHUNK, index % SLOTS_PER_CHUNK * STRIDE)
}
