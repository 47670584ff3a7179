//! Keys that outlive what they name: a table hands out a key for each object, and once the object is gone its key finds
//! nothing, even if another object has its place by then.
//!
//! What refers to an object across calls of the machine holds such a key: relations between objects, timers, rounds,
//! paths, endpoints.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

/// Marks keys of transports.
#[derive(Debug)]
pub(crate) enum OfTransport {}
/// Marks keys of producers.
#[derive(Debug)]
pub(crate) enum OfProducer {}
/// Marks keys of streams.
#[derive(Debug)]
pub(crate) enum OfStream {}
/// Marks keys of consumers.
#[derive(Debug)]
pub(crate) enum OfConsumer {}

/// Marks keys of data producers.
#[derive(Debug)]
pub(crate) enum OfDataProducer {}
/// Marks keys of data consumers.
#[derive(Debug)]
pub(crate) enum OfDataConsumer {}

/// Key of a transport.
pub(crate) type TransportKey = Key<OfTransport>;
/// Key of a producer.
pub(crate) type ProducerKey = Key<OfProducer>;
/// Key of a stream.
pub(crate) type StreamKey = Key<OfStream>;
/// Key of a consumer.
pub(crate) type ConsumerKey = Key<OfConsumer>;

/// Key of a data producer.
pub(crate) type DataProducerKey = Key<OfDataProducer>;
/// Key of a data consumer.
pub(crate) type DataConsumerKey = Key<OfDataConsumer>;

/// Names one object of a [`Table`] for good.
pub(crate) struct Key<Of> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> Of>,
}

impl<Of> Key<Of> {
    const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation, of: PhantomData }
    }

    /// A key that finds nothing.
    pub(crate) const GONE: Self = Self::new(u32::MAX, 0);

    /// The object's place: small and dense, given to another object once this one is gone.
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    const fn bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// A key of no table.
    #[cfg(test)]
    pub(crate) const fn for_tests(index: u32) -> Self {
        Self::new(index, 1)
    }
}

// By hand, because a derive would ask the same of the mark.
impl<Of> Clone for Key<Of> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Of> Copy for Key<Of> {}

impl<Of> PartialEq for Key<Of> {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl<Of> Eq for Key<Of> {}

impl<Of> PartialOrd for Key<Of> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Of> Ord for Key<Of> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits().cmp(&other.bits())
    }
}

impl<Of> fmt::Debug for Key<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Objects by key. The generations lie apart from the objects, which are large: a lookup costs one more load, from a
/// line that it shares with the generations of fifteen neighbours.
#[derive(Debug)]
pub(crate) struct Table<Of, T> {
    /// Odd while the place is taken.
    generations: Vec<u32>,
    objects: Vec<Option<T>>,
    free: Vec<u32>,
    of: PhantomData<fn() -> Of>,
}

impl<Of, T> Default for Table<Of, T> {
    fn default() -> Self {
        Self { generations: Vec::new(), objects: Vec::new(), free: Vec::new(), of: PhantomData }
    }
}

impl<Of, T> Table<Of, T> {
    /// The key of the object that has a place now.
    pub(crate) fn at(&self, place: u32) -> Option<Key<Of>> {
        let generation = *self.generations.get(place as usize)?;
        (generation % 2 == 1).then(|| Key::new(place, generation))
    }

    /// Objects in the table.
    pub(crate) const fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }

    /// Takes an object in and names it. A table has room for 2^32 objects; the limits of the machine are far below.
    pub(crate) fn insert(&mut self, object: T) -> Key<Of> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.objects.push(None);
            u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(generation) = self.generations.get_mut(index as usize) else { return Key::new(index, 0) };
        *generation = generation.wrapping_add(1);
        let key = Key::new(index, *generation);
        if let Some(place) = self.objects.get_mut(index as usize) {
            *place = Some(object);
        }
        key
    }

    fn is_current(&self, key: Key<Of>) -> bool {
        self.generations.get(key.index as usize) == Some(&key.generation)
    }

    /// The object of a key, unless it is gone.
    #[inline]
    pub(crate) fn get(&self, key: Key<Of>) -> Option<&T> {
        if !self.is_current(key) {
            return None;
        }
        self.objects.get(key.index as usize)?.as_ref()
    }

    /// The same, to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key<Of>) -> Option<&mut T> {
        if !self.is_current(key) {
            return None;
        }
        self.objects.get_mut(key.index as usize)?.as_mut()
    }

    /// Every object, for tests that wind the machine forward.
    #[cfg(test)]
    pub(crate) fn objects_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.objects.iter_mut().flatten()
    }

    /// Takes an object out. Its key finds nothing from now on.
    pub(crate) fn remove(&mut self, key: Key<Of>) -> Option<T> {
        if !self.is_current(key) {
            return None;
        }
        let object = self.objects.get_mut(key.index as usize)?.take()?;
        if let Some(generation) = self.generations.get_mut(key.index as usize) {
            *generation = generation.wrapping_add(1);
        }
        self.free.push(key.index);
        Some(object)
    }
}

/// Takes one out of a list in the order in which they came, if it is there. What closes is mostly the oldest or the
/// newest, so it is looked for from both ends.
pub(crate) fn take_out<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool) {
    let places = (0..list.len().div_ceil(2)).flat_map(|at| [at, list.len() - 1 - at]);
    let found = places.into_iter().find(|at| list.get(*at).is_some_and(&is_it));
    if let Some(at) = found {
        list.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;

    type Numbers = Table<OfStream, u64>;

    #[test]
    fn what_closes_in_order_is_found_at_once() {
        let orders: [Vec<u32>; 2] = [(0..1_000).collect(), (0..1_000).rev().collect()];
        for order in orders {
            let (mut list, looks): (Vec<u32>, _) = ((0..1_000).collect(), Cell::new(0));
            for (left, one) in (0..1_000).rev().zip(order) {
                take_out(&mut list, |other| {
                    looks.set(looks.get() + 1);
                    *other == one
                });
                assert_eq!((list.len(), list.contains(&one)), (left, false));
            }
            assert!(looks.get() <= 2_000, "{} looks for 1,000", looks.get());
        }
        let mut odd = vec![1, 2, 3];
        take_out(&mut odd, |one| *one == 4);
        take_out(&mut odd, |one| *one == 2);
        assert_eq!(odd, [1, 3]);
    }

    #[test]
    fn an_old_key_finds_nothing_after_its_place_was_given_away() {
        let mut table = Numbers::default();
        let old = table.insert(1);
        assert_eq!((table.remove(old), table.remove(old)), (Some(1), None));
        let new = table.insert(2);
        assert_eq!(old.index(), new.index(), "the place is used again");
        assert_eq!(table.get_mut(old), None);
        assert_eq!((table.get(old), table.get(new)), (None, Some(&2)));
        assert_eq!(table.remove(old), None);
        assert_eq!((table.len(), table.get(new)), (1, Some(&2)));
    }

    /// A table beside a naive model, in which no key is ever used twice, under seeded random insertions and removals.
    #[test]
    fn a_table_agrees_with_a_map_that_never_forgets() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..50 {
            let (mut table, mut model, mut keys) = (Numbers::default(), BTreeMap::new(), Vec::new());
            for number in 0..400 {
                if random(3) < 2 || keys.is_empty() {
                    let key = table.insert(number);
                    assert_eq!(model.insert(key, number), None, "a key is handed out once");
                    keys.push(key);
                } else {
                    let key = keys[random(keys.len() as u64) as usize];
                    assert_eq!(table.remove(key), model.remove(&key));
                }
                assert_eq!(table.len(), model.len());
            }
            for key in keys {
                assert_eq!(table.get_mut(key).copied(), model.get(&key).copied());
                assert_eq!(table.get(key), model.get(&key));
            }
        }
    }
}
