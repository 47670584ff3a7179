//! Receive buffers that the kernel picks from by itself: a provided-buffer ring (`IORING_REGISTER_PBUF_RING`) and the
//! memory that its entries point to.
//!
//! A buffer is either the kernel's, and then nothing here touches it, or ours, between the completion that hands it
//! over ([`Arena::claim`]) and [`Arena::give_back`]. Only ours can be read.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// The kernel wants the ring on a page; larger pages than this are aligned as well.
const PAGE_BYTES: usize = 65_536;

/// Zeroed memory at a fixed place.
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), PAGE_BYTES).unwrap_or_else(|_| Layout::new::<u8>());
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, and dropped once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Buffers for receiving, all of one size.
pub(crate) struct Arena {
    buffers: Memory,
    entries: Memory,
    count: u16,
    buffer_bytes: usize,
    tail: u16,
    /// Whether a buffer is ours.
    ours: Box<[bool]>,
}

impl Arena {
    /// `count`, a power of two, buffers of `buffer_bytes`. All are the kernel's as soon as the ring is registered.
    pub(crate) fn new(count: u16, buffer_bytes: usize) -> Self {
        assert!(count.is_power_of_two(), "the kernel masks indexes");
        let buffers = Memory::new(usize::from(count) * buffer_bytes);
        let entries = Memory::new(usize::from(count) * size_of::<BufRingEntry>());
        let ours = vec![true; usize::from(count)].into_boxed_slice();
        let mut arena = Self { buffers, entries, count, buffer_bytes, tail: 0, ours };
        for id in 0..count {
            arena.give_back(id);
        }
        arena
    }

    /// Where the kernel finds the ring. The memory stays there as long as the arena lives.
    pub(crate) fn ring_address(&self) -> u64 {
        self.entries.start.as_ptr().addr() as u64
    }

    pub(crate) const fn count(&self) -> u16 {
        self.count
    }

    /// Takes a buffer over from the kernel.
    ///
    /// # Safety
    /// A completion must have named `id`, once for each call, and the kernel's ring must not pack several completions
    /// into one buffer (`IOU_PBUF_RING_INC`).
    pub(crate) unsafe fn claim(&mut self, id: u16) {
        if let Some(ours) = self.ours.get_mut(usize::from(id)) {
            assert!(!*ours, "the kernel filled buffer {id}, which was not its own");
            *ours = true;
        }
    }

    /// What is in a buffer of ours; nothing if it is the kernel's.
    pub(crate) fn bytes(&self, id: u16) -> &[u8] {
        if !self.ours.get(usize::from(id)).copied().unwrap_or(false) {
            return &[];
        }
        let start = self.buffers.start.as_ptr().wrapping_add(usize::from(id) * self.buffer_bytes);
        // SAFETY: `ours` has an entry for `id`, so the buffer lies within `buffers`, which was zeroed when made and so
        // is initialised. It is ours: the kernel writes to it only after `give_back`, which takes `&mut self` and so
        // ends this borrow.
        unsafe { std::slice::from_raw_parts(start, self.buffer_bytes) }
    }

    /// Hands a buffer of ours to the kernel.
    pub(crate) fn give_back(&mut self, id: u16) {
        let Some(ours) = self.ours.get_mut(usize::from(id)) else { return };
        if !std::mem::replace(ours, false) {
            return;
        }
        let address = self.buffers.start.as_ptr().wrapping_add(usize::from(id) * self.buffer_bytes);
        let ring = self.entries.start.as_ptr().cast::<BufRingEntry>();
        let entry = ring.wrapping_add(usize::from(self.tail & (self.count - 1)));
        // SAFETY: the masked tail is below `count`, so the entry lies within `entries`, which is aligned and
        // initialised. The kernel reads entries below the published tail only, so it does not read this one now; nobody
        // else has a reference to it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_buffers_of_ours_can_be_read() {
        let mut arena = Arena::new(4, 100);
        assert!((0..5).all(|id| arena.bytes(id).is_empty()), "all are the kernel's, and there is no fifth");
        // SAFETY: no kernel knows of this arena.
        unsafe { arena.claim(2) };
        assert_eq!(arena.bytes(2), [0; 100]);
        arena.give_back(2);
        arena.give_back(2);
        assert!(arena.bytes(2).is_empty());
        assert_eq!(arena.tail, 5, "given back once");
    }

    #[test]
    #[should_panic(expected = "not its own")]
    fn a_buffer_cannot_be_claimed_twice() {
        let mut arena = Arena::new(4, 100);
        for _ in 0..2 {
            // SAFETY: no kernel knows of this arena.
            unsafe { arena.claim(2) };
        }
    }
}
