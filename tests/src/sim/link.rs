//! A network link in one direction: loss, delay, jitter, duplication, reordering, a rate and a drop-tail queue.

use super::random::Random;

/// Nanoseconds in a microsecond.
const US: u64 = 1_000;

/// How a link loses packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Never.
    None,
    /// Each packet on its own, so many of a million.
    Bernoulli(u32),
    /// In bursts (Gilbert-Elliott): per packet, the chance of a good spell's end, of a bad spell's end, and of loss in
    /// a bad spell, all of a million.
    Bursts {
        /// Good to bad.
        begin: u32,
        /// Bad to good.
        end: u32,
        /// Loss while bad.
        loss: u32,
    },
}

/// What a link does.
#[derive(Clone, Copy, Debug)]
pub struct LinkModel {
    /// Least time from end to end, in µs.
    pub delay_us: u64,
    /// Up to this much more, evenly; order is kept.
    pub jitter_us: u64,
    /// Loss.
    pub loss: Loss,
    /// Packets that arrive twice, of a million.
    pub duplicate_ppm: u32,
    /// Packets that are overtaken by later ones, of a million.
    pub reorder_ppm: u32,
    /// How long those are held back at most, in µs.
    pub reorder_us: u64,
    /// Bottleneck in bits per second; 0 for none.
    pub rate_bps: u64,
    /// Bytes that may wait at the bottleneck; what comes on top is dropped.
    pub queue_bytes: u64,
}

impl LinkModel {
    /// A link that only takes its time.
    #[must_use]
    pub const fn clean(delay_us: u64) -> Self {
        Self {
            delay_us,
            jitter_us: 0,
            loss: Loss::None,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            reorder_us: 0,
            rate_bps: 0,
            queue_bytes: 0,
        }
    }

    /// Anything from a perfect link to a bad one.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let mut link = Self::clean(random.range(50..=60_000));
        if random.percent(50) {
            link.jitter_us = random.range(10..=20_000);
        }
        link.loss = match random.range(0..=3) {
            0 | 1 => Loss::None,
            2 => Loss::Bernoulli(u32::try_from(random.range(1_000..=100_000)).expect("small")),
            _ => Loss::Bursts { begin: 5_000, end: 200_000, loss: 500_000 },
        };
        if random.percent(30) {
            link.duplicate_ppm = 20_000;
        }
        if random.percent(40) {
            link.reorder_ppm = 20_000;
            link.reorder_us = random.range(100..=30_000);
        }
        if random.percent(20) {
            link.rate_bps = random.range(3_000_000..=50_000_000);
            link.queue_bytes = random.range(20_000..=200_000);
        }
        link
    }
}

/// When a packet arrives: not at all, once or twice.
pub type Arrivals = [Option<u64>; 2];

/// A link at work.
#[derive(Clone, Debug)]
pub struct Link {
    model: LinkModel,
    bad_spell: bool,
    free_at_ns: u64,
    last_arrival_ns: u64,
}

impl Link {
    /// An idle link.
    #[must_use]
    pub const fn new(model: LinkModel) -> Self {
        Self { model, bad_spell: false, free_at_ns: 0, last_arrival_ns: 0 }
    }

    /// From now on it loses, repeats and reorders nothing, and has no bottleneck.
    pub fn heal(&mut self) {
        self.model = LinkModel { jitter_us: self.model.jitter_us, ..LinkModel::clean(self.model.delay_us) };
    }

    /// Sends a packet of `len` bytes.
    pub fn send(&mut self, now_ns: u64, len: usize, random: &mut Random) -> Arrivals {
        if self.loses(random) {
            return [None, None];
        }
        let Some(sent_ns) = self.through_bottleneck(now_ns, len) else { return [None, None] };
        let mut arrival_ns = sent_ns + self.model.delay_us * US + random.range(0..=self.model.jitter_us * US);
        if random.chance_ppm(self.model.reorder_ppm) {
            arrival_ns += random.range(0..=self.model.reorder_us * US);
        } else {
            arrival_ns = arrival_ns.max(self.last_arrival_ns);
            self.last_arrival_ns = arrival_ns;
        }
        let again = random.chance_ppm(self.model.duplicate_ppm).then(|| arrival_ns + random.range(0..=5_000) * US);
        [Some(arrival_ns), again]
    }

    fn loses(&mut self, random: &mut Random) -> bool {
        match self.model.loss {
            Loss::None => false,
            Loss::Bernoulli(ppm) => random.chance_ppm(ppm),
            Loss::Bursts { begin, end, loss } => {
                let turn = if self.bad_spell { end } else { begin };
                self.bad_spell ^= random.chance_ppm(turn);
                self.bad_spell && random.chance_ppm(loss)
            }
        }
    }

    /// When the last bit has left, or `None` if the queue is full.
    fn through_bottleneck(&mut self, now_ns: u64, len: usize) -> Option<u64> {
        if self.model.rate_bps == 0 {
            return Some(now_ns);
        }
        let ns_of = |bytes: u64| bytes * 8 * 1_000_000_000 / self.model.rate_bps;
        let begin = self.free_at_ns.max(now_ns);
        if begin - now_ns > ns_of(self.model.queue_bytes) {
            return None;
        }
        self.free_at_ns = begin + ns_of(len as u64);
        Some(self.free_at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(model: LinkModel, packets: u64, gap_ns: u64) -> Vec<Arrivals> {
        let (mut link, mut random) = (Link::new(model), Random::new(3));
        (0..packets).map(|n| link.send(n * gap_ns, 1_000, &mut random)).collect()
    }

    fn lost(arrivals: &[Arrivals]) -> usize {
        arrivals.iter().filter(|arrival| arrival[0].is_none()).count()
    }

    #[test]
    fn single_losses_have_their_rate() {
        let model = LinkModel { loss: Loss::Bernoulli(50_000), ..LinkModel::clean(10) };
        assert!((4_700..5_300).contains(&lost(&arrivals(model, 100_000, 1_000))));
    }

    #[test]
    fn bursts_have_their_rate_and_their_length() {
        let model =
            LinkModel { loss: Loss::Bursts { begin: 10_000, end: 200_000, loss: 1_000_000 }, ..LinkModel::clean(10) };
        let got = arrivals(model, 200_000, 1_000);
        // Share of bad spells 1/(1+20), mean length 5.
        assert!((8_800..10_300).contains(&lost(&got)), "{}", lost(&got));
        let bursts = got.windows(2).filter(|pair| pair[0][0].is_some() && pair[1][0].is_none()).count();
        let mean = lost(&got) as f64 / bursts as f64;
        assert!((4.6..5.4).contains(&mean), "{mean}");
    }

    #[test]
    fn order_is_kept_with_jitter_and_lost_with_reordering() {
        let model = LinkModel { jitter_us: 20_000, ..LinkModel::clean(10) };
        let times = |model| arrivals(model, 10_000, 1_000_000).iter().filter_map(|a| a[0]).collect::<Vec<_>>();
        assert!(times(model).is_sorted());
        let model = LinkModel { reorder_ppm: 50_000, reorder_us: 10_000, ..model };
        assert!(!times(model).is_sorted());
    }

    #[test]
    fn the_bottleneck_delays_then_drops() {
        let model = LinkModel { rate_bps: 8_000_000, queue_bytes: 10_000, ..LinkModel::clean(0) };
        // 1,000 bytes take 1 ms; 2,000 of them offered at twice the rate.
        let got = arrivals(model, 2_000, 500_000);
        assert!((980..1_020).contains(&lost(&got)), "{}", lost(&got));
        let worst = got.iter().enumerate().filter_map(|(n, a)| a[0].map(|at| at - n as u64 * 500_000)).max();
        assert!((10_000_000..=12_000_000).contains(&worst.expect("some arrive")), "{worst:?}");
    }

    #[test]
    fn some_arrive_twice() {
        let model = LinkModel { duplicate_ppm: 100_000, ..LinkModel::clean(10) };
        let twice = arrivals(model, 10_000, 1_000).iter().filter(|a| a[1].is_some()).count();
        assert!((900..1_100).contains(&twice));
    }
}
