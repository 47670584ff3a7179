//! Memory that the kernel writes to: zeroed, page aligned, and at one place for as long as its owner lives.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// The kernel wants a ring of buffers on a page; this is aligned for larger pages as well.
const PAGE_BYTES: usize = 65_536;

/// A region of memory.
pub(super) struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

impl Region {
    pub(super) fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), PAGE_BYTES).unwrap_or_else(|_| Layout::new::<u8>());
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }

    pub(super) const fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, and dropped once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
