//! Receive buffers that the kernel picks from by itself: a provided-buffer ring (`IORING_REGISTER_PBUF_RING`) and the
//! memory that its entries point to.
//!
//! A buffer is either the kernel's, and then nothing here touches it, or ours, between the completion that hands it
//! over ([`ProvidedBuffers::claim`]) and [`ProvidedBuffers::give_back`]. Only our buffers can be read.

use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::driver::arena::Region;

/// Buffers for receiving, all of one size.
pub(super) struct ProvidedBuffers {
    buffers: Region,
    entries: Region,
    count: u16,
    buffer_bytes: usize,
    tail: u16,
    /// Whether a buffer is ours.
    ours: Box<[bool]>,
}

impl ProvidedBuffers {
    /// Makes `count`, a power of two, buffers of `buffer_bytes` in `memory`, which has [`Self::memory_bytes`]. All are
    /// the kernel's as soon as the ring is registered.
    pub(super) fn new(memory: Region, count: u16, buffer_bytes: usize) -> Self {
        assert!(count.is_power_of_two(), "the kernel masks indexes");
        assert!(memory.len() >= Self::memory_bytes(count, buffer_bytes), "{} bytes are too few", memory.len());
        // The entries come first: a region begins on a page, and the kernel wants the ring to do so.
        let mut entries = memory;
        let buffers = entries.split_off(entries_bytes(count));
        let ours = vec![true; usize::from(count)].into_boxed_slice();
        let mut provided = Self { buffers, entries, count, buffer_bytes, tail: 0, ours };
        for id in 0..count {
            provided.give_back(id);
        }
        provided
    }

    /// Memory that [`Self::new`] needs, in bytes.
    pub(super) const fn memory_bytes(count: u16, buffer_bytes: usize) -> usize {
        entries_bytes(count) + count as usize * buffer_bytes
    }

    /// Where the kernel finds the ring. The memory stays there as long as `self` lives.
    pub(super) fn ring_address(&self) -> u64 {
        self.entries.start().as_ptr().addr() as u64
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// Takes a buffer over from the kernel.
    ///
    /// # Safety
    /// A completion must have named `id`, once for each call, and the kernel's ring must not pack several completions
    /// into one buffer (`IOU_PBUF_RING_INC`).
    pub(super) unsafe fn claim(&mut self, id: u16) {
        if let Some(ours) = self.ours.get_mut(usize::from(id)) {
            assert!(!*ours, "the kernel filled buffer {id}, which is not its own");
            *ours = true;
        }
    }

    /// The bytes of a buffer of ours; none if it is the kernel's.
    pub(super) fn bytes(&self, id: u16) -> &[u8] {
        if !self.ours.get(usize::from(id)).copied().unwrap_or(false) {
            return &[];
        }
        let start = self.buffers.start().as_ptr().wrapping_add(usize::from(id) * self.buffer_bytes);
        // SAFETY: `ours` has an entry for `id`, so the buffer lies within `buffers`, which the kernel gave zeroed and
        // so is initialised. It is ours: the kernel writes to it only after `give_back`, which takes `&mut self` and so
        // ends this borrow.
        unsafe { std::slice::from_raw_parts(start, self.buffer_bytes) }
    }

    /// Hands a buffer of ours to the kernel.
    pub(super) fn give_back(&mut self, id: u16) {
        let Some(ours) = self.ours.get_mut(usize::from(id)) else { return };
        if !std::mem::replace(ours, false) {
            return;
        }
        let address = self.buffers.start().as_ptr().wrapping_add(usize::from(id) * self.buffer_bytes);
        let ring = self.entries.start().as_ptr().cast::<BufRingEntry>();
        let entry = ring.wrapping_add(usize::from(self.tail & (self.count - 1)));
        // SAFETY: the masked tail is below `count`, so the entry lies within `entries`, which is aligned and
        // initialised. The kernel reads entries below the published tail only, so it does not read this one now, and
        // no other reference to it exists.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address.addr() as u64);
        entry.set_len(u32::try_from(self.buffer_bytes).unwrap_or(u32::MAX));
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.publish(ring);
    }

    fn publish(&self, ring: *const BufRingEntry) {
        // SAFETY: `ring` is the start of `entries`, which holds at least one entry.
        let tail = unsafe { BufRingEntry::tail(ring) };
        // SAFETY: the tail lies in `entries`: aligned, and shared with nobody but the kernel, which reads it
        // atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entry is whole before the kernel sees it.
        tail.store(self.tail, Ordering::Release);
    }
}

const fn entries_bytes(count: u16) -> usize {
    count as usize * size_of::<BufRingEntry>()
}

#[cfg(test)]
mod tests {
    use corecast_wire::HugePages;

    use super::*;

    fn four() -> ProvidedBuffers {
        let memory = Region::new(ProvidedBuffers::memory_bytes(4, 100), HugePages::Off).expect("memory");
        ProvidedBuffers::new(memory, 4, 100)
    }

    #[test]
    fn only_buffers_of_ours_can_be_read() {
        let mut provided = four();
        assert!((0..5).all(|id| provided.bytes(id).is_empty()), "all are the kernel's, and there is no fifth");
        // SAFETY: no kernel knows of these buffers.
        unsafe { provided.claim(2) };
        assert_eq!(provided.bytes(2), [0; 100]);
        provided.give_back(2);
        provided.give_back(2);
        assert!(provided.bytes(2).is_empty());
        assert_eq!(provided.tail, 5, "given back once");
    }

    #[test]
    #[should_panic(expected = "not its own")]
    fn a_buffer_cannot_be_claimed_twice() {
        let mut provided = four();
        for _ in 0..2 {
            // SAFETY: no kernel knows of these buffers.
            unsafe { provided.claim(2) };
        }
    }
}
