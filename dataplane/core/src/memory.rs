//! Memory for what is large and lives long: history, outbox. The shell decides where it is (huge pages, or later a file
//! that outlives the process); here it is a slice of bytes that somebody owns.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes that have one owner.
#[derive(Debug)]
pub struct Memory(Place);

#[derive(Debug)]
enum Place {
    Box(Box<[u8]>),
    Process(&'static mut [u8]),
}

impl Memory {
    /// Zeroed memory of the heap, given back when it is dropped.
    #[must_use]
    pub fn boxed(bytes: usize) -> Self {
        Self(Place::Box(vec![0; bytes].into_boxed_slice()))
    }

    /// Memory that is not given back before the process ends, as a worker's need not be.
    #[must_use]
    pub const fn of_process(bytes: &'static mut [u8]) -> Self {
        Self(Place::Process(bytes))
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Box(bytes) => bytes,
            Place::Process(bytes) => bytes,
        }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Place::Box(bytes) => bytes,
            Place::Process(bytes) => bytes,
        }
    }
}

/// Where a worker's history gets more memory.
pub struct MemorySource(Box<dyn FnMut(usize) -> Option<Memory> + Send>);

impl MemorySource {
    /// One that answers with so many zeroed bytes as it is asked for, or with `None` if there are none.
    #[must_use]
    pub fn new(source: impl FnMut(usize) -> Option<Memory> + Send + 'static) -> Self {
        Self(Box::new(source))
    }

    /// Memory of `bytes` bytes; `None` also if the source gives fewer.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Memory> {
        (self.0)(bytes).filter(|memory| memory.len() >= bytes)
    }
}

impl Default for MemorySource {
    /// The heap.
    fn default() -> Self {
        Self::new(|bytes| Some(Memory::boxed(bytes)))
    }
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemorySource")
    }
}
