//! How loud producers are: the mean of their levels over an interval (mediasoup's AudioLevelObserver).

use std::collections::BTreeMap;

use super::Heard;
use crate::key::ProducerKey;

/// Levels of an interval that make a mean.
const MIN_LEVELS: u32 = 10;

/// Levels of one interval.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// In -dBov.
    level: u32,
    count: u32,
}

/// Mean levels of producers.
#[derive(Debug)]
pub(super) struct AudioLevels {
    max_entries: usize,
    threshold_dbov: i8,
    sums: BTreeMap<ProducerKey, Sum>,
    is_silent: bool,
}

impl AudioLevels {
    pub(super) const fn new(max_entries: usize, threshold_dbov: i8) -> Self {
        Self { max_entries, threshold_dbov, sums: BTreeMap::new(), is_silent: true }
    }

    /// Whether a producer is listened to.
    pub(super) fn set_present(&mut self, producer: ProducerKey, is_present: bool) {
        if is_present {
            self.sums.entry(producer).or_default();
        } else {
            self.sums.remove(&producer);
        }
    }

    pub(super) fn record(&mut self, producer: ProducerKey, level: u8) {
        if let Some(sum) = self.sums.get_mut(&producer) {
            sum.level += u32::from(level);
            sum.count += 1;
        }
    }

    /// An interval is over: the loudest, loudest first; none of them if it has become silent.
    pub(super) fn look(&mut self) -> Option<Vec<(ProducerKey, i8)>> {
        let threshold = self.threshold_dbov;
        let mean = |sum: &Sum| -i8::try_from(sum.level / sum.count.max(1)).unwrap_or(i8::MAX);
        let heard = self.sums.iter().filter(|(_, sum)| sum.count >= MIN_LEVELS);
        let means = heard.map(|(key, sum)| (*key, mean(sum)));
        let mut loud: Vec<_> = means.filter(|(_, dbov)| *dbov >= threshold).collect();
        self.sums.values_mut().for_each(|sum| *sum = Sum::default());
        loud.sort_by_key(|(_, dbov)| std::cmp::Reverse(*dbov));
        loud.truncate(self.max_entries);
        let was_silent = std::mem::replace(&mut self.is_silent, loud.is_empty());
        (!loud.is_empty() || !was_silent).then_some(loud)
    }

    /// Nothing is listened to for a while. Silence, if it was not silent.
    pub(super) fn fall_silent(&mut self) -> Option<Heard> {
        self.sums.values_mut().for_each(|sum| *sum = Sum::default());
        let was_silent = std::mem::replace(&mut self.is_silent, true);
        (!was_silent).then(|| Heard::Levels(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(number: u32) -> ProducerKey {
        ProducerKey::for_tests(number)
    }

    #[test]
    fn the_loudest_come_first_and_silence_comes_once() {
        let mut levels = AudioLevels::new(2, -60);
        for (number, level, count) in [(1, 40, 20), (2, 20, 20), (3, 30, 20), (4, 10, 9), (5, 80, 20)] {
            levels.set_present(producer(number), true);
            (0..count).for_each(|_| levels.record(producer(number), level));
        }
        assert_eq!(levels.look(), Some(vec![(producer(2), -20), (producer(3), -30)]));
        assert_eq!(levels.look(), Some(vec![]));
        assert_eq!(levels.look(), None);
    }

    #[test]
    fn who_is_absent_is_not_heard() {
        let mut levels = AudioLevels::new(1, -127);
        (0..20).for_each(|_| levels.record(producer(1), 0));
        assert_eq!(levels.look(), None);
        levels.set_present(producer(1), true);
        (0..20).for_each(|_| levels.record(producer(1), 127));
        assert_eq!(levels.look(), Some(vec![(producer(1), -127)]));
        assert_eq!(levels.fall_silent(), Some(Heard::Levels(vec![])));
        assert_eq!(levels.fall_silent(), None);
    }
}
