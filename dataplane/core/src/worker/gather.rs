//! Sound waits a moment for more sound.
//!
//! Each packet of a conversation comes alone, and alone it costs a send at each of its receivers. What comes within a
//! few milliseconds of it, from whomever, can leave with it: one wake-up for all, and one train for each receiver. So
//! if so much sound comes that others are likely to come meanwhile, it waits until a window ends that began with it, or
//! when the last window ended. Pictures never wait for it.

use std::time::Duration;

use super::Worker;
use super::forward::settle;
use crate::key::StreamKey;
use crate::media::SlotRef;
use crate::time::Instant;

/// Weight of a new gap in the mean: 1 of so many.
const MEMORY: u64 = 16;
/// Longest gap that is taken at its length: after a silence the mean follows soon.
const LONGEST_GAP_NS: u64 = 100_000_000;
/// Packets that wait at most, however many come.
const MAX_WAITING: usize = 1_024;
/// Without a packet of pictures for so long, sound is all there is.
const ALONE: Duration = Duration::from_millis(100);

/// The sound that waits.
#[derive(Debug)]
pub(super) struct Gather {
    /// Length of a window, and so the longest that a packet waits; zero if none does.
    limit: Duration,
    /// Streams with packets that wait.
    streams: Vec<StreamKey>,
    /// Streams whose packets are in the round that begins, after they have waited; and those packets.
    released: Vec<StreamKey>,
    slots: Vec<SlotRef>,
    /// Packets that wait.
    packets: usize,
    /// When the window began.
    opened: Option<Instant>,
    /// When the first packet that waits came.
    first: Option<Instant>,
    /// When the last packet of sound came, and how long after the one before on average, in nanoseconds.
    last: Instant,
    gap_ns: u64,
    /// When the last packet of pictures came.
    pictures: Option<Instant>,
}

impl Gather {
    pub(super) const fn new(limit: Duration) -> Self {
        Self {
            limit,
            streams: Vec::new(),
            released: Vec::new(),
            slots: Vec::new(),
            packets: 0,
            opened: None,
            first: None,
            last: Instant::from_nanos(0),
            gap_ns: LONGEST_GAP_NS,
            pictures: None,
        }
    }

    /// Takes note of a packet of pictures.
    pub(super) const fn record_pictures(&mut self, arrived: Instant) {
        self.pictures = Some(arrived);
    }

    /// Takes note of a packet of sound, which is its stream's first since that last left if `begins`. True if its
    /// stream waits from now on.
    pub(super) fn record_sound(&mut self, arrived: Instant, stream: StreamKey, begins: bool) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        let gap_ns = arrived.as_nanos().saturating_sub(self.last.as_nanos()).min(LONGEST_GAP_NS);
        self.gap_ns = (self.gap_ns * (MEMORY - 1) + gap_ns) / MEMORY;
        self.last = self.last.max(arrived);
        let waits = begins && self.pays();
        if waits {
            self.streams.push(stream);
        }
        if waits && self.first.is_none() {
            self.first = Some(arrived);
            self.opened = self.opened.filter(|opened| arrived < *opened + self.limit).or(self.first);
        }
        self.packets += usize::from(self.first.is_some());
        waits
    }

    /// What a stream has that waits is gone.
    pub(super) fn forget(&mut self, stream: StreamKey) {
        self.streams.retain(|waiting| *waiting != stream);
        self.first = self.first.filter(|_| !self.streams.is_empty());
    }

    /// Whether another packet is likely to come while one waits.
    fn pays(&self) -> bool {
        u128::from(self.gap_ns) <= self.limit.as_nanos()
    }

    /// When the window ends, or has ended.
    fn end(&self) -> Option<Instant> {
        let opened = self.opened?;
        Some(if self.packets < MAX_WAITING { opened + self.limit } else { opened })
    }

    /// When what waits is to go on.
    fn due(&self) -> Option<Instant> {
        self.end().filter(|_| self.first.is_some())
    }

    /// What waits goes on, if the window has ended: packets that are nearly as long as each other together, by the
    /// length of a stream's first. The next window begins at once.
    fn release(&mut self, now: Instant, fresh: &mut Vec<StreamKey>, first_len: impl Fn(StreamKey) -> usize) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.streams.sort_unstable_by_key(|stream| first_len(*stream));
        fresh.extend_from_slice(&self.streams);
        self.released.append(&mut self.streams);
        self.packets = 0;
        self.first = None;
        self.opened = Some(now).filter(|_| self.pays());
    }
}

impl Worker {
    /// Sound that has waited for long enough is part of the next round.
    pub(super) fn release_sound(&mut self, now: Instant) {
        let Self { gather, fresh, streams, history, .. } = self;
        gather.release(now, fresh, |stream| {
            let first = streams.get(stream).and_then(|stream| stream.fresh().first());
            first.map_or(0, |slot| history.meta(slot.index).variable_len())
        });
    }

    /// Evens out the lengths of packets that have waited for each other, so that they leave as one train: before any of
    /// the round has left.
    pub(super) fn settle_sound(&mut self) {
        let Gather { released, slots, .. } = &mut self.gather;
        for stream in released.drain(..) {
            slots.extend(self.streams.get(stream).into_iter().flat_map(|stream| stream.round()));
        }
        settle(&mut self.history, slots);
        slots.clear();
    }

    /// When the sound that waits is to be forwarded.
    #[must_use]
    pub fn sound_due(&self) -> Option<Instant> {
        self.gather.due()
    }

    /// When the sound came that [`Self::forward`] now has to forward because it has waited for long enough.
    #[must_use]
    pub fn waiting_since(&self, now: Instant) -> Option<Instant> {
        self.gather.first.filter(|_| self.gather.due().is_some_and(|due| due <= now))
    }

    /// Until when nothing needs to be taken in, because what comes is sound that would only wait: no pictures have
    /// come for a while. `None` if there is no such time.
    #[must_use]
    pub fn sound_alone_until(&self, now: Instant) -> Option<Instant> {
        let is_alone = self.gather.pictures.is_none_or(|at| now.since(at) >= ALONE);
        self.gather.end().filter(|end| is_alone && *end > now)
    }
}
