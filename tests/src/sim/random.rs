//! The one source of chance of a run: everything drawn comes from its seed, in the order in which it was asked for.

use std::ops::RangeInclusive;

/// Seeded generator (xoshiro256**, seeded through splitmix64). Not for keys of anything real.
#[derive(Clone, Debug)]
pub struct Random([u64; 4]);

impl Random {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            mix(state)
        }))
    }

    /// A generator of its own for one part of a run, so that a draw more in one part does not change the others.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    /// 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// A number of the range.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (from, to) = range.into_inner();
        let span = u128::from(to - from) + 1;
        let scaled = (u128::from(self.next_u64()) * span) >> 64;
        from + u64::try_from(scaled).expect("less than the span")
    }

    /// An index below `len`, which is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.range(0..=len as u64 - 1)).expect("an index fits")
    }

    /// True in so many of a million cases.
    pub fn chance_ppm(&mut self, ppm: u32) -> bool {
        self.range(0..=999_999) < u64::from(ppm)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.chance_ppm(percent * 10_000)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next_u64() >> 32).expect("32 bits")
    }

    /// Fills a buffer.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// Stirs 64 bits (splitmix64's last step).
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A fast fingerprint of bytes: not cryptographic, the same on every machine and in every run.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut hash = 0x243F_6A88_85A3_08D3 ^ bytes.len() as u64;
    for word in words {
        hash = (hash.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix(hash.rotate_left(29) ^ u64::from_le_bytes(last))
}

/// Adds a value to a running fingerprint.
#[must_use]
pub const fn fold(hash: u64, value: u64) -> u64 {
    mix(hash.rotate_left(7) ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_and_all_of_a_range() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            let value = a.range(5..=14);
            assert_eq!(value, b.range(5..=14));
            seen[usize::try_from(value - 5).expect("small")] += 1;
        }
        assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
        assert_ne!(Random::new(1).next_u64(), Random::new(2).next_u64());
    }

    #[test]
    fn fingerprints_differ_in_every_byte() {
        let mut bytes = [0_u8; 37];
        let plain = fingerprint(&bytes);
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert_ne!(fingerprint(&bytes), plain, "byte {at}");
            bytes[at] = 0;
        }
        assert_ne!(fingerprint(&bytes[..36]), plain);
    }
}
