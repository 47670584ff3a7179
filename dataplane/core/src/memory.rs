//! Memory that the shell hands in: bytes for what is large (history, outbox), and places for the numbers on which a
//! call depends. The shell decides where it is (huge pages, or later a file that outlives the process).

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

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

/// What a place holds that no word has. No number of a call gets so high: the longest have 48 bits.
const FREE: u64 = u64::MAX;
/// Places that are asked for at once, at least.
const LEAST_PLACES: usize = 512;

/// A number on which a call depends and that changes with its packets: the next index out, the highest index in.
///
/// It lies in its owner until [`Words::keep`] gives it a place in the shell's memory. Only the worker's thread writes
/// there; the place is atomic so that somebody else may read it.
#[derive(Debug)]
pub(crate) struct Word(Lies);

#[derive(Debug)]
enum Lies {
    Here(u64),
    There(&'static AtomicU64),
}

impl Word {
    pub(crate) const fn new(value: u64) -> Self {
        Self(Lies::Here(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        match self.0 {
            Lies::Here(value) => value,
            Lies::There(place) => place.load(Ordering::Relaxed),
        }
    }

    #[inline]
    pub(crate) fn set(&mut self, value: u64) {
        match &mut self.0 {
            Lies::Here(here) => *here = value,
            Lies::There(place) => place.store(value, Ordering::Relaxed),
        }
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Clone for Word {
    /// The same number, with no place of its own.
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Word {}

impl Drop for Word {
    /// Its place is free.
    fn drop(&mut self) {
        if let Lies::There(place) = self.0 {
            place.store(FREE, Ordering::Relaxed);
        }
    }
}

/// Gives so many places, all zero, or none.
type Places = Box<dyn FnMut(usize) -> Option<&'static [AtomicU64]> + Send>;

/// Where the numbers lie on which a worker's calls depend: next indexes out, highest indexes in.
#[derive(Default)]
pub struct Words {
    source: Option<Places>,
    blocks: Vec<&'static [AtomicU64]>,
    free: Vec<&'static AtomicU64>,
}

impl Words {
    /// In memory of the shell. `source` answers with so many places as it is asked for, all zero, which nobody else
    /// writes to, or with `None` if there is no memory. Without a source ([`Words::default`]) each number lies in its
    /// owner.
    #[must_use]
    pub fn new(source: impl FnMut(usize) -> Option<&'static [AtomicU64]> + Send + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..Self::default() }
    }

    /// Gives a number a place, if it has none and there is one.
    pub(crate) fn keep(&mut self, word: &mut Word) {
        let Lies::Here(value) = word.0 else { return };
        if self.free.is_empty() {
            self.find_places();
        }
        if let Some(place) = self.free.pop() {
            place.store(value, Ordering::Relaxed);
            word.0 = Lies::There(place);
        }
    }

    /// Looks for the places of words that are gone. If those are few, asks for more, so that the search is worth it.
    fn find_places(&mut self) {
        let Some(source) = &mut self.source else { return };
        let all = self.blocks.iter().copied().flatten();
        self.free.extend(all.filter(|place| place.load(Ordering::Relaxed) == FREE));
        let places: usize = self.blocks.iter().map(|block| block.len()).sum();
        if self.free.len() < places / 4 || places == 0 {
            let more = source(LEAST_PLACES.max(places / 2)).unwrap_or_default();
            more.iter().for_each(|place| place.store(FREE, Ordering::Relaxed));
            self.free.extend(more);
            self.blocks.push(more);
        }
    }

    /// Words that have a place.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        let all = self.blocks.iter().copied().flatten();
        all.filter(|place| place.load(Ordering::Relaxed) != FREE).count()
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places for tests, which stay.
    pub(crate) fn places(count: usize) -> Option<&'static [AtomicU64]> {
        Some(Box::leak((0..count).map(|_| AtomicU64::new(0)).collect()))
    }

    #[test]
    fn a_number_goes_on_in_its_place_and_leaves_it_when_it_is_dropped() {
        let mut words = Words::new(places);
        let mut kept: Vec<Word> = (0..10_000).map(Word::new).collect();
        kept.iter_mut().for_each(|word| words.keep(word));
        assert_eq!(words.kept(), 10_000);
        for (value, word) in (0..).zip(&mut kept) {
            assert_eq!(word.get(), value, "a place that two have");
            word.set(value + 1);
        }
        for (value, word) in (1..).zip(&kept) {
            assert_eq!(word.get(), value, "a place that two have");
        }
        words.keep(&mut kept[0]);
        assert_eq!(words.kept(), 10_000, "it has a place already");
        let copy = kept[9].clone();
        kept.truncate(10);
        assert_eq!(words.kept(), 10, "a copy has none");
        assert_eq!((copy.get(), &copy), (10, &kept[9]));
    }

    #[test]
    fn places_are_used_again() {
        let mut asked = 0;
        let mut words = Words::new(move |count| {
            asked += count;
            if asked > 2 * LEAST_PLACES { None } else { places(count) }
        });
        let mut kept: Vec<Word> = Vec::new();
        for value in 0..100_000 {
            let mut word = Word::new(value);
            words.keep(&mut word);
            assert!(matches!(word.0, Lies::There(_)), "{value}");
            kept.push(word);
            if kept.len() == 400 {
                kept.drain(..399);
            }
        }
        assert_eq!(words.kept(), kept.len());
    }

    #[test]
    fn without_memory_a_number_stays_with_its_owner() {
        for mut words in [Words::default(), Words::new(|_| None)] {
            let mut word = Word::new(7);
            words.keep(&mut word);
            word.set(8);
            assert_eq!((word.get(), words.kept()), (8, 0));
        }
    }
}
