//! What adds up over all looks, for `/metrics`: each look observes each viewer once, so that rates of the buckets are
//! distributions over viewers. No label names a person or a room.

/// Upper bounds of the buckets of what a path carries, in bits per second.
pub(crate) const AVAILABLE_BOUNDS_BPS: [u64; 8] =
    [100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000];
/// Upper bounds of the buckets of the share of packets that are lost.
pub(crate) const LOSS_BOUNDS: [f64; 7] = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// What one look has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observations {
    /// What each viewer's path carries, where its receiver tells, in bits per second.
    pub(crate) available_bps: Vec<u64>,
    /// Share of lost packets of each viewer that was sent something.
    pub(crate) loss: Vec<f64>,
    pub(crate) freezes: Freezes,
}

/// Consumers of pictures that probably stood still, by the sign of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freezes {
    /// Its receiver asked for a key frame.
    pub(crate) key_frame: u64,
    /// The path does not carry it.
    pub(crate) suspended: u64,
    /// Nothing comes of the publisher.
    pub(crate) no_media: u64,
}

/// Values of a bucket each, not cumulated, with those above all bounds last; and the sum of all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Buckets<const N: usize> {
    pub(crate) counts: [u64; N],
    pub(crate) above: u64,
    pub(crate) sum: f64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: [0; N], above: 0, sum: 0.0 }
    }
}

impl<const N: usize> Buckets<N> {
    fn add(&mut self, bounds: [f64; N], value: f64) {
        let bucket = bounds.iter().position(|bound| value <= *bound).and_then(|at| self.counts.get_mut(at));
        *bucket.unwrap_or(&mut self.above) += 1;
        self.sum += value;
    }
}

/// Sums since the server started.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Distributions {
    pub(crate) available_bps: Buckets<8>,
    pub(crate) loss: Buckets<7>,
    pub(crate) freezes: Freezes,
}

impl Distributions {
    /// Adds what one look has seen.
    pub(super) fn add(&mut self, seen: &Observations) {
        let bounds = AVAILABLE_BOUNDS_BPS.map(|bps| bps as f64);
        seen.available_bps.iter().for_each(|bps| self.available_bps.add(bounds, *bps as f64));
        seen.loss.iter().for_each(|loss| self.loss.add(LOSS_BOUNDS, *loss));
        self.freezes.key_frame += seen.freezes.key_frame;
        self.freezes.suspended += seen.freezes.suspended;
        self.freezes.no_media += seen.freezes.no_media;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_buckets_and_add_up() {
        let mut sums = Distributions::default();
        let freezes = Freezes { key_frame: 2, suspended: 0, no_media: 1 };
        let seen = Observations { available_bps: vec![100_000, 100_001, 90_000_000], loss: vec![0.0, 0.03], freezes };
        sums.add(&seen);
        sums.add(&seen);
        assert_eq!((sums.available_bps.counts, sums.available_bps.above), ([2, 2, 0, 0, 0, 0, 0, 0], 2));
        assert_eq!(sums.loss.counts, [2, 0, 0, 2, 0, 0, 0]);
        assert!((sums.loss.sum - 0.06).abs() < 1e-9);
        assert_eq!(sums.freezes, Freezes { key_frame: 4, suspended: 0, no_media: 2 });
    }
}
