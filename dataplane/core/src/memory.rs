//! Memory that the shell hands in: bytes for what is large (history, outbox), and places for the numbers on which a
//! call depends. The shell decides where it is (huge pages, a file that outlives the process).

use std::collections::BTreeMap;
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

/// What a place holds that no word has. No number of a call gets so high.
const FREE: u64 = u64::MAX;
/// Places that are asked for at once. A half of them is for numbers, the other for their names.
pub const PLACES: usize = 512;

/// Which number of which object lies in a place: by its name the next worker finds it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(u64);

/// What a number is of its object.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum What {
    /// Unix time in nanoseconds at which the worker's clock began.
    Started = 1,
    /// The next index out of a consumer, of its media and of its retransmissions; how its last segment was made.
    NextOut,
    NextRtxOut,
    Segment,
    /// The index after the highest in of a stream, by its place among its producer's: of its media and of its
    /// retransmissions; its SSRCs; what is added to its indexes; the number after its highest; its newest picture, and
    /// when that came.
    EndIn,
    EndRtxIn,
    Ssrcs,
    Cycle,
    End,
    Newest,
    Arrived,
    /// The next RTCP index out of a transport; its senders of RTCP, each with the index after its highest; the next
    /// transport-wide number.
    NextRtcpOut,
    RtcpIn,
    TransportCc,
    /// What the path to a transport's receivers was last taken to carry, in bits per second.
    Estimate,
    /// The transport whose packet is taken in; the one whose packet was, when a worker last died by itself. One more
    /// than its number, 0 for none.
    Serving,
    Suspect,
}

impl Name {
    /// The number `what` of object `id`, of which 48 bits count: no worker lives to see so many objects. `place` says
    /// which, where an object has several.
    pub(crate) const fn new(what: What, id: u64, place: u8) -> Self {
        let [.., a, b, c, d, e, f] = id.to_be_bytes();
        Self(u64::from_be_bytes([what as u8, a, b, c, d, e, f, place]))
    }
}

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

/// Gives [`PLACES`] places, all zero, or none.
type Places = Box<dyn FnMut() -> Option<&'static [AtomicU64]> + Send>;

/// A place for a name, and one for its number.
type Pair = (&'static AtomicU64, &'static AtomicU64);

/// Where the numbers lie on which a worker's calls depend: next indexes out, highest indexes in.
#[derive(Default)]
pub struct Words {
    source: Option<Places>,
    blocks: Vec<&'static [AtomicU64]>,
    free: Vec<Pair>,
    /// Numbers of a worker that is no more, whose place this one takes.
    left: BTreeMap<Name, u64>,
}

/// The places of a block.
fn places_of(block: &[AtomicU64]) -> impl Iterator<Item = (&AtomicU64, &AtomicU64)> {
    let (numbers, names) = block.split_at(block.len() / 2);
    names.iter().zip(numbers)
}

impl Words {
    /// In memory of the shell. `source` answers with [`PLACES`] places, all zero, which nobody else writes to, or with
    /// `None` if there is no memory. Without a source ([`Words::default`]) each number lies in its owner.
    #[must_use]
    pub fn new(source: impl FnMut() -> Option<&'static [AtomicU64]> + Send + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..Self::default() }
    }

    /// The same, of a worker that takes the place of one that is no more. `left` are all the places that that one was
    /// given, as it left them: what it kept there, this one's objects of the same names begin with.
    #[must_use]
    pub fn following<'a>(mut self, left: impl IntoIterator<Item = &'a [AtomicU64]>) -> Self {
        let places = left.into_iter().flat_map(|block| block.chunks_exact(PLACES)).flat_map(places_of);
        let words = places.map(|(name, word)| (Name(name.load(Ordering::Relaxed)), word.load(Ordering::Relaxed)));
        self.left = words.filter(|(name, word)| name.0 != 0 && *word != FREE).collect();
        self
    }

    /// Gives a number a place, if it has none and there is one. If the worker before kept a number of this name, it is
    /// that one from now on.
    pub(crate) fn keep(&mut self, word: &mut Word, name: Name) {
        let Lies::Here(value) = word.0 else { return };
        let value = self.left.remove(&name).unwrap_or(value);
        word.set(value);
        if self.free.is_empty() {
            self.find_places();
        }
        if let Some((name_place, place)) = self.free.pop() {
            name_place.store(name.0, Ordering::Relaxed);
            place.store(value, Ordering::Release);
            word.0 = Lies::There(place);
        }
    }

    /// Whether numbers are kept where somebody else can read them.
    pub(crate) const fn are_kept(&self) -> bool {
        self.source.is_some()
    }

    /// A number that the worker before kept under this name and that nobody has taken over.
    pub(crate) fn left(&self, name: Name) -> Option<u64> {
        self.left.get(&name).copied()
    }

    /// Everything has been taken over: nothing is left of the worker before.
    pub(crate) fn forget_left(&mut self) {
        self.left.clear();
    }

    /// Looks for the places of words that are gone. If those are few, asks for more, so that the search is worth it.
    fn find_places(&mut self) {
        let Some(source) = &mut self.source else { return };
        let all = self.blocks.iter().copied().flat_map(places_of);
        self.free.extend(all.filter(|(_, place)| place.load(Ordering::Relaxed) == FREE));
        let wanted = (self.blocks.len() * PLACES / 8).max(1);
        while self.free.len() < wanted
            && let Some(more) = source()
        {
            places_of(more).for_each(|(_, place)| place.store(FREE, Ordering::Relaxed));
            self.free.extend(places_of(more));
            self.blocks.push(more);
        }
    }

    /// Words that have a place.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        let all = self.blocks.iter().copied().flat_map(places_of);
        all.filter(|(_, place)| place.load(Ordering::Relaxed) != FREE).count()
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
    fn places() -> Option<&'static [AtomicU64]> {
        Some(Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect()))
    }

    fn name(id: u64) -> Name {
        Name::new(What::NextOut, id, 0)
    }

    #[test]
    fn a_number_goes_on_in_its_place_and_leaves_it_when_it_is_dropped() {
        let mut words = Words::new(places);
        let mut kept: Vec<Word> = (0..10_000).map(Word::new).collect();
        (0..).zip(&mut kept).for_each(|(id, word)| words.keep(word, name(id)));
        assert_eq!(words.kept(), 10_000);
        for (value, word) in (0..).zip(&mut kept) {
            assert_eq!(word.get(), value, "a place that two have");
            word.set(value + 1);
        }
        for (value, word) in (1..).zip(&kept) {
            assert_eq!(word.get(), value, "a place that two have");
        }
        words.keep(&mut kept[0], name(0));
        assert_eq!(words.kept(), 10_000, "it has a place already");
        let copy = kept[9].clone();
        kept.truncate(10);
        assert_eq!(words.kept(), 10, "a copy has none");
        assert_eq!((copy.get(), &copy), (10, &kept[9]));
    }

    #[test]
    fn places_are_used_again() {
        let mut asked = 0;
        let mut words = Words::new(move || {
            asked += 1;
            if asked > 2 { None } else { places() }
        });
        let mut kept: Vec<Word> = Vec::new();
        for value in 0..100_000 {
            let mut word = Word::new(value);
            words.keep(&mut word, name(value));
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
        for mut words in [Words::default(), Words::new(|| None)] {
            let mut word = Word::new(7);
            words.keep(&mut word, name(1));
            word.set(8);
            assert_eq!((word.get(), words.kept()), (8, 0));
        }
    }

    #[test]
    fn who_follows_finds_what_is_kept_by_its_name_and_nothing_that_is_gone() {
        let block = places().expect("places");
        let mut given = Some(block);
        let mut words = Words::new(move || given.take());
        let mut kept: Vec<Word> = (0..40).map(|_| Word::new(3)).collect();
        (0..).zip(&mut kept).for_each(|(id, word)| words.keep(word, name(id)));
        (100..).zip(&mut kept).for_each(|(value, word)| word.set(value));
        drop(kept.pop());
        // It dies: nothing is dropped, and nothing more is written.
        std::mem::forget(kept);
        let mut next = Words::new(places).following([block]);
        let take_over = |next: &mut Words, name| {
            let mut word = Word::new(1);
            next.keep(&mut word, name);
            word.get()
        };
        assert_eq!(next.left(name(7)), Some(107));
        assert_eq!(take_over(&mut next, name(7)), 107);
        assert_eq!(take_over(&mut next, name(7)), 1, "once");
        assert_eq!(take_over(&mut next, name(39)), 1, "gone before");
        for (what, id, place) in [(What::NextRtxOut, 8, 0), (What::NextOut, 8, 1), (What::NextOut, 8 << 8, 0)] {
            assert_eq!(take_over(&mut next, Name::new(what, id, place)), 1, "another number");
        }
        assert_eq!(take_over(&mut next, name(8)), 108);
        next.forget_left();
        assert_eq!(take_over(&mut next, name(9)), 1, "too late");
    }
}
