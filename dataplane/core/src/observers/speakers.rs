//! Who dominates among the speakers of an observer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::speaker::Speaker;
use crate::key::ProducerKey;
use crate::time::Instant;

/// By how much a speaker's immediate, medium and long scores must exceed those of the one who dominates (logarithms).
const NEEDED: [f64; 3] = [3.0, 2.0, 0.0];
/// Who says nothing for so long is at the softest level, and after an hour no candidate.
const IDLE: Duration = Duration::from_millis(40);
const GONE: Duration = Duration::from_hours(1);
/// Loudest level (RFC 6464 has it as 0, and the softest as 127).
const MAX_LEVEL: u8 = 127;

/// The speakers of an observer.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    speakers: BTreeMap<ProducerKey, Speaker>,
    dominant: Option<ProducerKey>,
}

impl Speakers {
    pub(super) fn add(&mut self, now: Instant, producer: ProducerKey, is_paused: bool) {
        self.speakers.entry(producer).or_insert_with(|| Speaker::new(now, is_paused));
    }

    /// The one who dominates from now on, if the one who did has gone.
    pub(super) fn remove(&mut self, producer: ProducerKey) -> Option<ProducerKey> {
        self.speakers.remove(&producer)?;
        if self.dominant != Some(producer) {
            return None;
        }
        self.dominant = None;
        self.choose()
    }

    pub(super) fn set_paused(&mut self, producer: ProducerKey, is_paused: bool) {
        if let Some(speaker) = self.speakers.get_mut(&producer) {
            speaker.is_paused = is_paused;
        }
    }

    pub(super) fn record(&mut self, now: Instant, producer: ProducerKey, level: u8) {
        if let Some(speaker) = self.speakers.get_mut(&producer) {
            speaker.record(now, MAX_LEVEL.saturating_sub(level));
        }
    }

    /// The one who dominates, if that is another one than before.
    pub(super) fn look(&mut self, now: Instant) -> Option<ProducerKey> {
        for (producer, speaker) in &mut self.speakers {
            let idle = now.since(speaker.heard_at);
            if idle > GONE && self.dominant != Some(*producer) {
                speaker.is_paused = true;
            } else if idle > IDLE {
                speaker.record(now, 0);
            }
        }
        self.choose()
    }

    fn choose(&mut self) -> Option<ProducerKey> {
        let found = self.find()?;
        (self.dominant.replace(found) != Some(found)).then_some(found)
    }

    fn find(&mut self) -> Option<ProducerKey> {
        let first = *self.speakers.keys().next()?;
        if self.speakers.len() == 1 {
            return Some(first);
        }
        let reigning = self.dominant.unwrap_or(first);
        let reference = self.speakers.get_mut(&reigning)?.scores();
        let [immediate_needed, medium_needed, long_needed] = NEEDED;
        // Somebody always dominates: the first, until another one does.
        let (mut best, mut best_medium) = (self.dominant.is_none().then_some(first), medium_needed);
        for (producer, speaker) in &mut self.speakers {
            if Some(*producer) == self.dominant || speaker.is_paused {
                continue;
            }
            let scores = speaker.scores();
            let [immediate, medium, long] = [0, 1, 2].map(|step: usize| {
                let of = |scores: &[f64; 3]| scores.get(step).copied().unwrap_or(1.0);
                f64::ln(of(&scores) / of(&reference))
            });
            if immediate > immediate_needed && long > long_needed && medium > best_medium {
                (best, best_medium) = (Some(*producer), medium);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn producer(number: u32) -> ProducerKey {
        ProducerKey::for_tests(number)
    }

    /// Both are heard for some time, one of them speaks.
    fn speaks(speakers: &mut Speakers, who: u32, from_ms: u64, told: &mut Vec<ProducerKey>) {
        for step in 0..150_u64 {
            let now = at(from_ms + step * 20);
            for number in [1, 2] {
                let is_loud = number == who && step % 10 != 0;
                speakers.record(now, producer(number), if is_loud { 10 } else { 100 });
            }
            if step % 15 == 14 {
                told.extend(speakers.look(now));
            }
        }
    }

    #[test]
    fn the_one_who_speaks_dominates_and_is_told_once() {
        let mut speakers = Speakers::default();
        let mut told = Vec::new();
        assert_eq!(speakers.look(at(0)), None);
        speakers.add(at(0), producer(1), false);
        assert_eq!(speakers.look(at(0)), Some(producer(1)), "the only one");
        speakers.add(at(0), producer(2), false);
        speaks(&mut speakers, 2, 1_000, &mut told);
        assert_eq!(told, [producer(2)]);
        speaks(&mut speakers, 1, 5_000, &mut told);
        assert_eq!(told, [producer(2), producer(1)]);
        assert_eq!(speakers.remove(producer(1)), Some(producer(2)));
        assert_eq!(speakers.remove(producer(1)), None);
    }

    #[test]
    fn who_is_paused_is_no_candidate() {
        let mut speakers = Speakers::default();
        let mut told = Vec::new();
        speakers.add(at(0), producer(1), false);
        speakers.add(at(0), producer(2), true);
        speaks(&mut speakers, 2, 1_000, &mut told);
        assert_eq!(told, [producer(1)], "the first, and no other");
    }
}
