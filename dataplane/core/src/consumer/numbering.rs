//! Sequence numbers of a consumer: `out = in - withheld up to in - base`.
//!
//! The base is fixed while a consumer is sent one stream through one filter: that is a *segment*. A switch of stream or
//! filter and a pause each begin another segment. How many packets the filter has withheld up to a packet is
//! counted by the stream ([`Withheld`]), once for all consumers with that filter. So packets that are withheld leave no
//! gap, at no cost to the consumer. A packet that is lost on its way to us stays a gap, so that the receiver asks for
//! it, and the packet lands in that gap if it comes late.
//!
//! The same counts say which packet left under a number, without a note per packet. The last sixteen segments are
//! remembered. No number is ever given to two packets: the sequence number is the SRTP index, and sealing other bytes
//! under the same index breaks GCM.

use std::ops::Range;

use corecast_wire::{ConsumerId, Discard};

use crate::codec::Change;
use crate::key::StreamKey;
use crate::media::{Column, Count, Filter, PacketMeta, Withheld, nearest};
use crate::memory::{Name, What, Word, Words};

/// Segments before the current one that are remembered: packets of older ones cannot be retransmitted.
const MAX_OLDER_SEGMENTS: usize = 15;

/// Numbers of one stream through one filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// What is taken from a packet's position (its sequence number without what was withheld up to it), modulo 2^64.
    base: u64,
    first_out: u64,
    stream: StreamKey,
    column: Column,
    timestamp_offset: u32,
    /// What is changed in the newest packet's payload, and the pictures that were withheld up to it.
    change: Change,
    pictures: u16,
}

/// A packet's number, and what else of it depends on the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// The sequence number with its rollover count: the SRTP index.
    pub(crate) index: u64,
    /// Added to the packet's timestamp.
    pub(crate) timestamp_offset: u32,
    pub(crate) change: Change,
}

/// Where a number belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    segment: Segment,
    index: u64,
}

/// The numbers of a consumer. What every packet needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Numbering {
    segment: Segment,
    next_out: Word,
    /// The segments before, oldest first.
    older: Vec<Segment>,
    /// The place of the current segment's stream among its producer's, and what of the segment the next worker has to
    /// know.
    place: u8,
    kept: Word,
}

/// What is kept of the segment in which a worker ended: of which stream it was, by its place among its producer's, and
/// by what it differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) place: u8,
    pub(super) timestamp_offset: u32,
    pub(super) change: Change,
}

impl Last {
    /// As a word; 0 is for none.
    fn word(self) -> u64 {
        u64::from(self.place + 1) << 56 | u64::from(self.change.of_numbers()) << 32 | u64::from(self.timestamp_offset)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
    fn of(word: u64) -> Option<Self> {
        let place = ((word >> 56) as u8).checked_sub(1)?;
        Some(Self { place, timestamp_offset: word as u32, change: Change::with_numbers((word >> 32) as u32) })
    }
}

impl Segment {
    /// Before the first packet.
    const fn none(stream: StreamKey) -> Self {
        Self {
            base: 0,
            first_out: u64::MAX,
            stream,
            column: Column::NONE,
            timestamp_offset: 0,
            change: Change::NONE,
            pictures: 0,
        }
    }

    const fn is_none(&self) -> bool {
        self.first_out == u64::MAX
    }

    /// The number of a packet, if it belongs to this segment.
    const fn index(&self, sequence: u64, count: Count) -> u64 {
        sequence.wrapping_sub(count.packets).wrapping_sub(self.base)
    }

    const fn change(&self, count: Count) -> Change {
        self.change.after_withheld(count.pictures.wrapping_sub(self.pictures))
    }

    const fn numbered(&self, index: u64, count: Count) -> Numbered {
        Numbered { index, timestamp_offset: self.timestamp_offset, change: self.change(count) }
    }

    /// The packet of a number of this segment.
    fn sequence(&self, index: u64, withheld: &Withheld) -> Option<u64> {
        withheld.find(self.column, index.wrapping_add(self.base))
    }
}

/// Whether a number that may be below zero is before another.
const fn is_before(index: u64, other: u64) -> bool {
    index.wrapping_sub(other).cast_signed() < 0
}

impl Numbering {
    /// Bytes that every packet needs.
    pub(crate) const HOT_BYTES: usize = std::mem::offset_of!(Self, older);

    pub(crate) const fn new(stream: StreamKey, first_out: u64) -> Self {
        Self {
            segment: Segment::none(stream),
            next_out: Word::new(first_out),
            older: Vec::new(),
            place: 0,
            kept: Word::new(0),
        }
    }

    /// Keeps the next number among the worker's words, and how the current segment is made. If a worker before left
    /// them there, says how its last segment was made.
    pub(super) fn keep(&mut self, words: &mut Words, consumer: ConsumerId) -> Option<Last> {
        words.keep(&mut self.next_out, Name::new(What::NextOut, consumer.0, 0));
        words.keep(&mut self.kept, Name::new(What::Segment, consumer.0, 0));
        Last::of(self.kept.get())
    }

    /// Goes on after the last segment of a worker before, which was of this stream. Nothing is left of what it sent.
    pub(super) fn follow(&mut self, last: Last, stream: StreamKey) {
        let Last { place, timestamp_offset, change } = last;
        let first_out = self.next_out.get();
        // No packet of the stream is at or before the newest number.
        let base = 1_u64.wrapping_sub(first_out);
        self.place = place;
        self.segment = Segment { base, first_out, timestamp_offset, change, ..Segment::none(stream) };
    }

    /// The next worker is to know how the current segment is made.
    fn keep_segment(&mut self) {
        let Segment { timestamp_offset, change, .. } = self.segment;
        self.kept.set(Last { place: self.place, timestamp_offset, change }.word());
    }

    /// The stream of the current segment; before the first packet, the one that was named last.
    pub(crate) const fn stream(&self) -> StreamKey {
        self.segment.stream
    }

    /// The first number of the current segment.
    pub(crate) const fn first_out(&self) -> u64 {
        self.segment.first_out
    }

    /// Names the stream that comes first.
    pub(crate) const fn name_stream(&mut self, stream: StreamKey) {
        if self.segment.is_none() {
            self.segment.stream = stream;
        }
    }

    /// A packet has a number.
    pub(crate) const fn has_begun(&self) -> bool {
        !self.segment.is_none()
    }

    /// What is added to the timestamps of the current segment.
    pub(crate) const fn timestamp_offset(&self) -> u32 {
        self.segment.timestamp_offset
    }

    /// The filter's counts.
    pub(crate) const fn column(&self) -> Column {
        self.segment.column
    }

    /// What would be changed in the stream's newest packet.
    pub(crate) fn newest_change(&self, withheld: &Withheld) -> Change {
        withheld.newest(self.segment.column).map_or(self.segment.change, |count| self.segment.change(count))
    }

    /// The number of a packet of the current segment's stream if no filter counts in the segment and the packet is not
    /// older.
    #[inline]
    pub(crate) fn go_on(&mut self, packet: &PacketMeta) -> Option<Numbered> {
        let Self { segment, next_out, .. } = self;
        let index = segment.index(packet.sequence, Count::default());
        if segment.column != Column::NONE || is_before(index, segment.first_out) {
            return None;
        }
        next_out.set(next_out.get().max(index + 1));
        Some(segment.numbered(index, Count::default()))
    }

    /// The number of a packet of the current segment's stream: in that segment, or if the packet is late in one before.
    pub(crate) fn number(
        &mut self,
        withheld: &mut Withheld,
        filter: &Filter,
        packet: &PacketMeta,
    ) -> Result<Numbered, Discard> {
        let segment = &mut self.segment;
        let count = withheld.pass(segment.column, filter, packet)?;
        let index = segment.index(packet.sequence, count);
        if is_before(index, segment.first_out) {
            return self.number_late(withheld, filter, packet);
        }
        if index >= self.next_out.get() {
            self.next_out.set(index + 1);
            if count.pictures != segment.pictures {
                segment.change = segment.change(count);
                segment.pictures = count.pictures;
                self.keep_segment();
            }
        }
        Ok(self.segment.numbered(index, count))
    }

    fn number_late(&self, withheld: &mut Withheld, filter: &Filter, packet: &PacketMeta) -> Result<Numbered, Discard> {
        let mut end = self.segment.first_out;
        for segment in self.older.iter().rev() {
            if segment.stream == self.segment.stream
                && let Ok(count) = withheld.pass(segment.column, filter, packet)
            {
                let index = segment.index(packet.sequence, count);
                if !is_before(index, segment.first_out) && is_before(index, end) {
                    return Ok(segment.numbered(index, count));
                }
            }
            end = segment.first_out;
        }
        Err(Discard::BeforeSync)
    }

    /// Begins a segment of these spatial and temporal layers with a packet of a stream, which gets the next number. Its
    /// timestamps and its payloads go on as those of the segment before, unless `offsets` says how they differ.
    pub(crate) fn begin(
        &mut self,
        (stream, place): (StreamKey, u8),
        (column, (spatial, temporal)): (Column, (u8, u8)),
        (sequence, count): (u64, Count),
        offsets: Option<(u32, Change)>,
    ) {
        self.place = place;
        let (timestamp_offset, change) = offsets.unwrap_or((self.segment.timestamp_offset, self.segment.change));
        let change = change.up_to(spatial, temporal);
        let first_out = self.next_out.get();
        let base = sequence.wrapping_sub(count.packets).wrapping_sub(first_out);
        let pictures = count.pictures;
        self.push(Segment { base, first_out, stream, column, timestamp_offset, change, pictures });
    }

    /// Begins a segment of the same stream through another filter, with a packet that this one lets pass. The numbers
    /// go on as they would have without it, so that losses stay gaps.
    pub(crate) fn begin_filter(
        &mut self,
        withheld: &Withheld,
        (column, (spatial, temporal)): (Column, (u8, u8)),
        (sequence, count): (u64, Count),
    ) {
        let Segment { stream, timestamp_offset, .. } = self.segment;
        // The old filter may withhold the packet itself, so its position is reckoned from the number before.
        let (before, next_out) = (sequence.saturating_sub(1), self.next_out.get());
        let previous = withheld.at(self.segment.column, before);
        let next = previous.map_or(next_out, |count| self.segment.index(before, count).wrapping_add(1));
        let first_out = if is_before(next, next_out) { next_out } else { next };
        self.next_out.set(first_out);
        let change = previous.map_or(self.segment.change, |count| self.segment.change(count));
        let change = change.now_up_to(spatial, temporal);
        let base = sequence.wrapping_sub(count.packets).wrapping_sub(first_out);
        let pictures = count.pictures;
        self.push(Segment { base, first_out, stream, column, timestamp_offset, change, pictures });
    }

    /// Goes on with counts of what is withheld, in a segment without any: its filter had withheld nothing up to the
    /// newest number. Numbers after that belong to the new segment, so a packet that comes late finds its gap.
    pub(crate) fn begin_column(&mut self, column: Column, (sequence, count): (u64, Count), withheld: &Withheld) {
        let newest = self.next_out.get().wrapping_sub(1);
        let before = self.segment.sequence(newest, withheld).and_then(|sequence| withheld.at(column, sequence));
        let Some(before) = before else { return };
        if column == self.segment.column || column == Column::UNCOUNTED {
            return;
        }
        // The newest number is at the same place by both.
        let base = self.segment.base.wrapping_sub(before.packets);
        let first_out = self.next_out.get();
        if is_before(sequence.wrapping_sub(count.packets).wrapping_sub(base), first_out) {
            return;
        }
        self.push(Segment { base, first_out, column, pictures: before.pictures, ..self.segment });
    }

    fn push(&mut self, segment: Segment) {
        let ended = std::mem::replace(&mut self.segment, segment);
        self.keep_segment();
        if ended.is_none() {
            return;
        }
        if self.older.len() == MAX_OLDER_SEGMENTS {
            self.older.remove(0);
        }
        self.older.push(ended);
    }

    /// The newest packet of a stream that has a number, as far as history reaches. One that was late when the consumer
    /// was interrupted must not begin a segment: it would be numbered behind what followed it.
    pub(crate) fn newest_in(&self, stream: StreamKey, withheld: &Withheld) -> Option<u64> {
        let mut end = self.next_out.get();
        for segment in self.segments() {
            if segment.stream == stream {
                return segment.sequence(end.wrapping_sub(1), withheld);
            }
            end = segment.first_out;
        }
        None
    }

    /// The first packet that it sent, as the stream numbers it, and all numbers so far; until another segment begins.
    /// `None` if layers are withheld: then not all of them have left.
    pub(crate) fn beginning(&self, withheld: &Withheld) -> Option<(u64, Range<u64>)> {
        let segment = Some(&self.segment).filter(|segment| !segment.is_none() && self.older.is_empty())?;
        if segment.column != Column::NONE {
            return None;
        }
        Some((segment.sequence(segment.first_out, withheld)?, segment.first_out..self.next_out.get()))
    }

    /// The segments that there have been, newest first.
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.segment).filter(|segment| !segment.is_none()).chain(self.older.iter().rev())
    }

    /// Where a number belongs that has left, or would have left.
    pub(crate) fn locate(&self, out: u16) -> Option<Located> {
        let newest = self.next_out.get().checked_sub(1)?;
        let index = nearest(newest, out);
        let segment = self.segments().find(|segment| segment.first_out <= index).filter(|_| index <= newest)?;
        Some(Located { segment: *segment, index })
    }
}

impl Located {
    pub(crate) const fn stream(&self) -> StreamKey {
        self.segment.stream
    }

    /// The stream's number of the packet, if its history reaches so far back. It may be one that never came.
    pub(crate) fn sequence(&self, withheld: &Withheld) -> Option<u64> {
        self.segment.sequence(self.index, withheld)
    }

    /// The packet as it left, unless it was withheld.
    pub(crate) fn numbered(&self, withheld: &mut Withheld, filter: &Filter, packet: &PacketMeta) -> Option<Numbered> {
        let count = withheld.pass(self.segment.column, filter, packet).ok()?;
        Some(self.segment.numbered(self.index, count))
    }
}

#[cfg(test)]
mod tests;
