//! The part of history that one stream holds: its packets by sequence number, in slots that are its own.
//!
//! Nothing is allocated before the stream's first authentic packet. A stream that may hold no more takes the slot of
//! its own oldest packet, never waits for one, and never takes another stream's.

use corecast_wire::{Discard, MediaKind};

use super::history::History;
use super::share::Holder;
use crate::limits::{AUDIO_HISTORY_PACKETS, HISTORY_AGE, VIDEO_HISTORY_PACKETS};
use crate::time::Instant;

const NO_SLOT: u32 = u32::MAX;

/// Slots of one stream.
#[derive(Debug)]
pub(super) struct Held {
    kind: MediaKind,
    /// Slot by sequence number, modulo its length; empty while the stream does not send.
    ring: Box<[u32]>,
    /// Slots in the ring, and those of them that are the stream's own.
    count: usize,
    share: usize,
    /// Who holds the share.
    holder: Option<Holder>,
    /// Packets below this one are refused: they may have been here.
    oldest: u64,
    /// No packet below this one is held. Packets between the two may still come late.
    first: u64,
}

impl Held {
    pub(super) fn new(kind: MediaKind) -> Self {
        Self { kind, ring: Box::default(), count: 0, share: 0, holder: None, oldest: 0, first: 0 }
    }

    /// Packets by which one may be behind the newest and still be taken in.
    pub(super) const fn packets(&self) -> u64 {
        match self.kind {
            MediaKind::Audio => AUDIO_HISTORY_PACKETS as u64,
            MediaKind::Video => VIDEO_HISTORY_PACKETS as u64,
        }
    }

    /// The stream sends: it has its share from now on.
    ///
    /// # Errors
    /// [`Discard::NoHistory`] if all shares are taken.
    pub(super) fn open(&mut self, history: &mut History, holder: Holder) -> Result<(), Discard> {
        self.share = history.shares.claim(holder, self.kind).ok_or(Discard::NoHistory)?;
        self.holder = Some(holder);
        self.ring = vec![NO_SLOT; self.packets() as usize].into_boxed_slice();
        Ok(())
    }

    /// Packets below `next` were another worker's: they are refused.
    pub(super) const fn refuse_below(&mut self, next: u64) {
        self.oldest = next;
    }

    /// The stream has its share.
    pub(super) const fn is_open(&self) -> bool {
        self.holder.is_some()
    }

    const fn position(&self, sequence: u64) -> usize {
        (sequence & (self.packets() - 1)) as usize
    }

    /// The slot that holds packet `sequence`.
    pub(super) fn slot(&self, history: &History, sequence: u64) -> Option<u32> {
        let index = *self.ring.get(self.position(sequence))?;
        (index != NO_SLOT && history.meta(index).sequence == sequence).then_some(index)
    }

    /// Whether a packet may join: not held already, and not older than all that are held. What is refused here once is
    /// refused for ever, so that no consumer seals two payloads under one index.
    pub(super) fn admit(&self, history: &History, highest: Option<u64>, sequence: u64) -> Result<(), Discard> {
        let is_behind = highest.is_some_and(|highest| sequence + self.packets() <= highest);
        if is_behind || sequence < self.oldest {
            return Err(Discard::TooOld);
        }
        if self.slot(history, sequence).is_some() {
            return Err(Discard::Replayed);
        }
        Ok(())
    }

    /// Takes in packet `sequence`, which was admitted and written into the worker's spare slot `index`. Returns the
    /// worker's next spare slot, which holds nothing any longer. `highest` is the newest packet before this one.
    pub(super) fn insert(
        &mut self,
        history: &mut History,
        index: u32,
        (highest, sequence): (Option<u64>, u64),
        now: Instant,
    ) -> Option<u32> {
        if let Some(highest) = highest {
            // The places of what was skipped hold packets that are too old by now.
            let first = (highest + 1).max(sequence.saturating_sub(self.packets()));
            (first..sequence).for_each(|skipped| self.remove(history, skipped));
        }
        self.first = self.first.min(sequence);
        let position = self.position(sequence);
        let held = self.ring.get_mut(position).map_or(NO_SLOT, |held| std::mem::replace(held, index));
        let newest = highest.map_or(sequence, |highest| highest.max(sequence));
        let spare = match held {
            NO_SLOT => self.grow(history, newest, now).or_else(|| self.take_oldest(newest))?,
            displaced => displaced,
        };
        history.retire(spare);
        Some(spare)
    }

    /// A free slot, if the stream may hold one more than it does.
    fn grow(&mut self, history: &mut History, newest: u64, now: Instant) -> Option<u32> {
        if self.count < self.share {
            let slot = history.allocate()?;
            self.count += 1;
            return Some(slot);
        }
        let is_old = |slot: u32| now.since(history.meta(slot).arrived) > HISTORY_AGE;
        if self.find_oldest(newest).and_then(|oldest| self.at(oldest)).is_some_and(is_old) {
            return None;
        }
        let holder = self.holder.filter(|holder| history.shares.grow(*holder))?;
        let slot = history.allocate();
        match slot {
            Some(_) => self.count += 1,
            None => history.shares.shrink(holder),
        }
        slot
    }

    fn at(&self, sequence: u64) -> Option<u32> {
        self.ring.get(self.position(sequence)).copied().filter(|index| *index != NO_SLOT)
    }

    /// The oldest packet that is held.
    fn find_oldest(&mut self, newest: u64) -> Option<u64> {
        self.oldest = self.oldest.max((newest + 1).saturating_sub(self.packets()));
        self.first = self.first.max(self.oldest);
        while self.first <= newest {
            if self.at(self.first).is_some() {
                return Some(self.first);
            }
            self.first += 1;
        }
        None
    }

    /// Takes the slot of the oldest packet out of the ring; another one has come in.
    fn take_oldest(&mut self, newest: u64) -> Option<u32> {
        let oldest = self.find_oldest(newest)?;
        self.oldest = oldest + 1;
        let position = self.position(oldest);
        self.ring.get_mut(position).map(|held| std::mem::replace(held, NO_SLOT))
    }

    /// Gives back the slot in the place of packet `sequence`.
    fn remove(&mut self, history: &mut History, sequence: u64) {
        let position = self.position(sequence);
        let Some(held) = self.ring.get_mut(position) else { return };
        let index = std::mem::replace(held, NO_SLOT);
        if index == NO_SLOT {
            return;
        }
        history.release(index);
        if self.count > self.share
            && let Some(holder) = self.holder
        {
            history.shares.shrink(holder);
        }
        self.count = self.count.saturating_sub(1);
    }

    /// Gives every slot back: packets below `next` are refused from now on.
    pub(super) fn clear(&mut self, history: &mut History, next: u64) {
        (0..self.ring.len() as u64).for_each(|place| self.remove(history, place));
        self.oldest = self.oldest.max(next);
    }

    /// Gives every slot, the share and all memory back: the stream does not send.
    pub(super) fn close(&mut self, history: &mut History, next: u64) {
        self.clear(history, next);
        if let Some(holder) = self.holder.take() {
            history.shares.give_back(holder, self.share);
        }
        self.share = 0;
        self.ring = Box::default();
    }
}
