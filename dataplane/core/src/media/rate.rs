//! How much a stream sends, for those who must find room for it: measured when somebody asks, from counters that are
//! kept anyway.

use std::time::Duration;

use super::volume::{ByTemporal, SPATIAL_LAYERS, TEMPORAL_LAYERS, Volume};
use crate::time::Instant;

/// Time of one sample.
const SAMPLE: Duration = Duration::from_millis(200);
/// Samples of a second, and of the time that is remembered.
const SECOND: usize = 5;
const SAMPLES: usize = 15;
/// Share of the busiest second, of the last three, that a stream is taken to need.
const PEAK_SHARE: (u64, u64) = (4, 5);
/// How much a stream sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    last: Volume,
    sampled_at: Instant,
    /// Bits per second, the newest first.
    samples: [u64; SAMPLES],
    count: usize,
    /// Share of the layers up to each, in 1/256.
    shares: [ByTemporal; SPATIAL_LAYERS],
}

impl Rate {
    /// That of a stream that has sent so much, and is looked at for the first time.
    pub(crate) const fn new(volume: &Volume) -> Self {
        let shares = [[256; TEMPORAL_LAYERS]; SPATIAL_LAYERS];
        let since = volume.since();
        Self { last: Volume::beginning(since), sampled_at: since, samples: [0; SAMPLES], count: 0, shares }
    }

    /// Takes a sample, if it is time for one.
    pub(crate) fn sample(&mut self, now: Instant, volume: &Volume) {
        let elapsed = now.since(self.sampled_at);
        if elapsed < SAMPLE {
            return;
        }
        let bytes = volume.on_the_wire().saturating_sub(self.last.on_the_wire());
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let bps = bytes.saturating_mul(8_000) / elapsed_ms.max(1);
        // Each that was missed.
        let missed = (elapsed.as_millis() / SAMPLE.as_millis()) as usize;
        let new = missed.clamp(1, SAMPLES);
        self.samples.rotate_right(new);
        self.samples.iter_mut().take(new).for_each(|sample| *sample = bps);
        self.count = (self.count + new).min(SAMPLES);
        self.learn_shares(volume);
        (self.last, self.sampled_at) = (*volume, now);
    }

    fn learn_shares(&mut self, volume: &Volume) {
        let all = volume.payload().saturating_sub(self.last.payload());
        if all == 0 {
            return;
        }
        let is_first = self.last.payload() == 0;
        for (spatial, layer) in self.shares.iter_mut().enumerate() {
            for (temporal, known) in layer.iter_mut().enumerate() {
                let new = volume.up_to(spatial, temporal).saturating_sub(self.last.up_to(spatial, temporal));
                let share = new * 256 / all;
                *known = if is_first { share } else { (3 * *known + share) / 4 };
            }
        }
    }

    /// Bits per second on the wire that it takes: the last second's, or four fifths of the busiest of the last three
    /// seconds, if that is more. `None` before it has been sampled.
    pub(crate) fn needed_bps(&self) -> Option<u64> {
        let known = self.samples.get(..self.count)?;
        let mean = |window: &[u64]| window.iter().sum::<u64>() / window.len().max(1) as u64;
        let last = known.get(..SECOND).unwrap_or(known);
        let peak = known.windows(SECOND).map(mean).max().unwrap_or(0);
        (!known.is_empty()).then(|| mean(last).max(peak * PEAK_SHARE.0 / PEAK_SHARE.1))
    }

    /// The same for a receiver of a spatial layer and what that needs of those below (of all, if there are fewer), up
    /// to a temporal layer.
    pub(crate) fn needed_up_to_bps(&self, spatial: u8, temporal: u8) -> Option<u64> {
        let layer = self.shares.get(usize::from(spatial)).or_else(|| self.shares.last());
        let share = layer.and_then(|layer| layer.get(usize::from(temporal))).copied().unwrap_or(256);
        self.needed_bps().map(|bps| bps * share / 256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Frame;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Ten packets a sample for so long, of `bytes` each, the temporal layers in turn.
    fn send(rate: &mut Rate, volume: &mut Volume, from: u64, to: u64, bytes: u16) {
        for millis in (from + 200..=to).step_by(200) {
            let temporal = |n: u8| Frame::of_layers(0, [0, 2, 1, 2][usize::from(n % 4)]);
            (0..12).for_each(|n| volume.count(at(millis), bytes - 68, temporal(n)));
            rate.sample(at(millis), volume);
        }
    }

    #[test]
    fn a_second_counts_and_the_busiest_of_three_to_four_fifths() {
        let (mut rate, mut volume) = (Rate::new(&Volume::default()), Volume::default());
        rate.sample(at(100), &volume);
        assert_eq!(rate.needed_bps(), None, "too early");
        send(&mut rate, &mut volume, 0, 1_000, 1_000);
        assert_eq!(rate.needed_bps(), Some(12 * 5 * 8_000));
        send(&mut rate, &mut volume, 1_000, 2_000, 500);
        assert_eq!(rate.needed_bps(), Some(12 * 5 * 8_000 * 4 / 5));
        send(&mut rate, &mut volume, 2_000, 5_000, 500);
        assert_eq!(rate.needed_bps(), Some(12 * 5 * 4_000));
        // Nobody asked for a while.
        send(&mut rate, &mut volume, 14_800, 15_000, 1_000);
        assert!(rate.needed_bps().is_some_and(|bps| bps < 20_000), "{rate:?}");
    }

    #[test]
    fn temporal_layers_have_shares() {
        let (mut rate, mut volume) = (Rate::new(&Volume::default()), Volume::default());
        send(&mut rate, &mut volume, 0, 2_000, 1_000);
        let up_to = [0, 1, 2, 3].map(|temporal| rate.needed_up_to_bps(0, temporal).expect("sampled"));
        assert_eq!(up_to, [120_000, 240_000, 480_000, 480_000]);
    }

    #[test]
    fn spatial_layers_cost_what_they_need_of_those_below() {
        let (mut rate, mut volume) = (Rate::new(&Volume::default()), Volume::default());
        for millis in (200..=1_000).step_by(200) {
            for n in 0..12_u8 {
                // Layer 1 needs every second frame of layer 0.
                let frame = Frame::of_layers(n % 2, 0).unreferenced(n % 4 == 0);
                volume.count(at(millis), 1_000 - 68, frame);
            }
            rate.sample(at(millis), &volume);
        }
        let up_to = [0, 1].map(|spatial| rate.needed_up_to_bps(spatial, 0).expect("sampled"));
        assert_eq!(up_to, [240_000, 360_000]);
    }
}
