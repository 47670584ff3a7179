//! What consumers withhold of a stream, counted: so that a consumer's sequence numbers have no gaps where it withholds
//! packets, and keep those that losses make.
//!
//! Consumers that withhold the same share a *filter*. The stream keeps, for each filter in use, how many packets it has
//! withheld up to each packet of history. That is one count for each packet that comes, however many consumers there
//! are; a filter that has withheld nothing yet has no counts, and streams without filters pay nothing.
//!
//! The count of a sequence number is fixed when it or a later one comes, and never changes: what left under a number
//! leaves under that number again. So a packet that is withheld and comes late is not counted. It leaves a gap, as one
//! that is lost does.

use corecast_wire::Discard;

use super::history::PacketMeta;
use crate::limits::MAX_FILTERS;

/// A filter is forgotten when no consumer has asked for so many times the packets of history.
const IDLE_WINDOWS: u64 = 8;

/// Which packets of a stream a consumer withholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The spatial layer that passes, with those below as far as it needs them; [`u8::MAX`] for all.
    pub(crate) spatial: u8,
    /// Highest temporal layer that passes.
    pub(crate) temporal: u8,
    /// Bit n is set if the router's payload type n does not pass.
    pub(crate) payload_types: u128,
    /// Sound that no other frame needs does not pass: there is none in it.
    pub(crate) silence: bool,
}

impl Filter {
    /// Withholds nothing but packets without payload, which no filter lets pass.
    pub(crate) const NONE: Self = Self { spatial: u8::MAX, temporal: u8::MAX, payload_types: 0, silence: false };

    /// The spatial and the temporal layer up to which packets pass.
    pub(crate) const fn layers(&self) -> (u8, u8) {
        (self.spatial, self.temporal)
    }

    /// Why a packet does not pass, if it does not.
    pub(crate) fn withholds(&self, packet: &PacketMeta) -> Option<Discard> {
        if packet.frame.is_empty() {
            return Some(Discard::PaddingOnly);
        }
        if self.payload_types.checked_shr(u32::from(packet.payload_type)).is_some_and(|types| types & 1 == 1) {
            return Some(Discard::PayloadTypeNotNegotiated);
        }
        let frame = packet.frame;
        if self.silence && frame.is_discardable() {
            return Some(Discard::SilenceNotWanted);
        }
        let is_below = frame.spatial() < self.spatial && (self.spatial == u8::MAX || !frame.is_unreferenced());
        let passes = (is_below || frame.spatial() == self.spatial) && frame.temporal() <= self.temporal;
        (!passes).then_some(Discard::LayerNotWanted)
    }
}

/// Names the counts of a filter. Those of one that was forgotten are not found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column(u32);

impl Column {
    /// The column of [`Filter::NONE`] while no packet without payload has come.
    pub(crate) const NONE: Self = Self(0);
    /// The column of a filter that is one too many: what it withholds leaves gaps.
    pub(crate) const UNCOUNTED: Self = Self(u32::MAX);
}

/// What a filter has withheld up to a packet, that packet included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    /// Pictures of which it withheld packets, modulo 2^16, of a codec that must not have holes.
    pub(crate) pictures: u16,
}

/// The counts of all filters of a stream.
#[derive(Debug)]
pub(crate) struct Withheld {
    columns: Vec<Counts>,
    /// A packet without payload has come, so [`Filter::NONE`] withholds as well.
    has_empty: bool,
    /// One more than the highest sequence number so far.
    end: u64,
    /// Packets counted.
    packets: u64,
    last_column: u32,
    /// Packets of history, as a power of two: an unconnected session may have many streams.
    window_log2: u8,
}

/// The counts of one filter.
#[derive(Debug)]
struct Counts {
    column: Column,
    filter: Filter,
    /// The count of the newest packet, and the timestamp of the newest picture in it.
    newest: Count,
    newest_picture: Option<u32>,
    /// The count of every sequence number of history, also of those that did not come. Empty while all are zero.
    ring: Box<[Count]>,
    /// Packets that had been counted when a consumer last asked.
    used: u64,
}

impl Withheld {
    /// Nothing, of a stream with so many packets of history, a power of two.
    pub(crate) const fn new(window: u64) -> Self {
        let window_log2 = window.trailing_zeros() as u8;
        Self { columns: Vec::new(), has_empty: false, end: 0, packets: 0, last_column: 0, window_log2 }
    }

    /// Packets of history.
    const fn window(&self) -> u64 {
        1 << self.window_log2
    }

    /// Counts a packet that joins history.
    #[inline]
    pub(crate) fn record(&mut self, packet: &PacketMeta) {
        self.has_empty |= packet.frame.is_empty();
        if !self.columns.is_empty() {
            self.count(packet);
        }
    }

    fn count(&mut self, packet: &PacketMeta) {
        let (from, window) = (self.end, self.window());
        if packet.sequence < from {
            return;
        }
        self.packets += 1;
        let oldest = self.packets.saturating_sub(IDLE_WINDOWS * window);
        self.columns.retain_mut(|counts| {
            counts.add(packet, from, window);
            counts.used >= oldest
        });
        self.end = packet.sequence + 1;
    }

    /// The column of a filter. If it is new, the packets that history holds are counted: up to `highest`, each as
    /// `held` finds it.
    pub(crate) fn column(&mut self, filter: &Filter, highest: u64, held: impl Fn(u64) -> Option<PacketMeta>) -> Column {
        if *filter == Filter::NONE && !self.has_empty {
            return Column::NONE;
        }
        if let Some(counts) = self.columns.iter_mut().find(|counts| counts.filter == *filter) {
            counts.used = self.packets;
            return counts.column;
        }
        if self.columns.len() >= MAX_FILTERS && !self.forget_idle() {
            return Column::UNCOUNTED;
        }
        self.end = highest + 1;
        self.last_column = self.last_column % (u32::MAX - 1) + 1;
        let column = Column(self.last_column);
        let mut counts = Counts {
            column,
            filter: *filter,
            newest: Count::default(),
            newest_picture: None,
            ring: Box::default(),
            used: self.packets,
        };
        let oldest = self.end.saturating_sub(self.window());
        let mut next = oldest;
        for packet in (oldest..self.end).filter_map(held) {
            counts.add(&packet, next, self.window());
            next = packet.sequence + 1;
        }
        self.columns.push(counts);
        column
    }

    /// Forgets the filter that no consumer has asked for the longest, so that another one has room. False if history
    /// may still have something that left through it.
    fn forget_idle(&mut self) -> bool {
        let idle = (0..).zip(&self.columns).min_by_key(|(_, counts)| counts.used);
        let place = idle.filter(|(_, counts)| self.packets - counts.used >= self.window()).map(|(place, _)| place);
        place.map(|place| self.columns.swap_remove(place)).is_some()
    }

    /// The count of a packet, if the filter lets it pass; for a column without counts, `filter` says so.
    #[inline]
    pub(crate) fn pass(&mut self, column: Column, filter: &Filter, packet: &PacketMeta) -> Result<Count, Discard> {
        if column == Column::NONE {
            return Ok(Count::default());
        }
        self.look_up(column, filter, packet)
    }

    fn look_up(&mut self, column: Column, filter: &Filter, packet: &PacketMeta) -> Result<Count, Discard> {
        if column == Column::UNCOUNTED {
            return filter.withholds(packet).map_or_else(|| Ok(Count::default()), Err);
        }
        let (end, window, packets) = (self.end, self.window(), self.packets);
        let counts = self.columns.iter_mut().find(|counts| counts.column == column).ok_or(Discard::LeftHistory)?;
        counts.used = packets;
        match counts.filter.withholds(packet) {
            Some(why) => Err(why),
            None => counts.at(packet.sequence, end, window).ok_or(Discard::LeftHistory),
        }
    }

    /// Whether the counts of a column are still there.
    pub(crate) fn has(&self, column: Column) -> bool {
        column == Column::NONE || column == Column::UNCOUNTED || self.counts(column).is_some()
    }

    /// The count of a sequence number of history, whether its packet came or not.
    pub(crate) fn at(&self, column: Column, sequence: u64) -> Option<Count> {
        if column == Column::NONE || column == Column::UNCOUNTED {
            return Some(Count::default());
        }
        self.counts(column)?.at(sequence, self.end, self.window())
    }

    /// The count of the newest packet.
    pub(crate) fn newest(&self, column: Column) -> Option<Count> {
        if column == Column::NONE || column == Column::UNCOUNTED {
            return Some(Count::default());
        }
        self.counts(column).map(|counts| counts.newest)
    }

    /// The first sequence number that is `position` without what was withheld up to it: the reverse of [`Self::at`].
    pub(crate) fn find(&self, column: Column, position: u64) -> Option<u64> {
        if column == Column::NONE || column == Column::UNCOUNTED {
            return Some(position);
        }
        let counts = self.counts(column)?;
        if counts.ring.is_empty() {
            return Some(position);
        }
        let oldest = self.end.saturating_sub(self.window());
        // With every sequence number the position goes on by one, or stays where it is.
        let (mut low, mut high) = (oldest, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if middle.saturating_sub(counts.at(middle, self.end, self.window())?.packets) < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = counts.at(low, self.end, self.window())?;
        (low.saturating_sub(found.packets) == position).then_some(low)
    }

    fn counts(&self, column: Column) -> Option<&Counts> {
        self.columns.iter().find(|counts| counts.column == column)
    }
}

impl Counts {
    /// Counts a packet that is newer than all before, of which the next one would have been `from`.
    fn add(&mut self, packet: &PacketMeta, from: u64, window: u64) {
        let before = self.newest;
        if self.filter.withholds(packet).is_some() {
            self.newest.packets += 1;
            let is_picture = packet.frame.has_counted_pictures();
            let is_new = is_picture && self.newest_picture.replace(packet.timestamp) != Some(packet.timestamp);
            self.newest.pictures = before.pictures.wrapping_add(u16::from(is_new));
        }
        if self.ring.is_empty() {
            if self.newest == before {
                return;
            }
            self.ring = vec![Count::default(); usize::try_from(window).unwrap_or(0)].into_boxed_slice();
        }
        for missing in from.max(packet.sequence.saturating_sub(window))..packet.sequence {
            self.set(missing, before);
        }
        self.set(packet.sequence, self.newest);
    }

    fn set(&mut self, sequence: u64, count: Count) {
        let place = position(sequence, self.ring.len());
        if let Some(place) = self.ring.get_mut(place) {
            *place = count;
        }
    }

    fn at(&self, sequence: u64, end: u64, window: u64) -> Option<Count> {
        if self.ring.is_empty() {
            return Some(Count::default());
        }
        let is_held = sequence < end && sequence + window >= end;
        self.ring.get(position(sequence, self.ring.len())).copied().filter(|_| is_held)
    }
}

/// Place of a sequence number in a ring whose length is a power of two.
const fn position(sequence: u64, len: usize) -> usize {
    (sequence & (len as u64).wrapping_sub(1)) as usize
}
