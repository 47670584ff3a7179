//! How active a speaker is, at once, over some seconds and over longer: the three scores of "Dominant speaker
//! identification for multipoint videoconferencing" (I. Volfin, I. Cohen, 2013), with the numbers that Jitsi and
//! mediasoup use.

use std::time::Duration;

use crate::time::Instant;

/// Subunits into which a level is divided, and the count of each step's parts.
const N1: usize = 13;
const N2: usize = 5;
const N3: usize = 10;
const LEVELS: usize = N2 * N3;
/// Loudest level, in dB above the softest.
const MAX_LEVEL: u8 = 127;
const SUBUNIT: u8 = 10;
const _: () = assert!(SUBUNIT as usize == (MAX_LEVEL as usize).div_ceil(N1));
/// A part counts as active above these.
const MEDIUM_THRESHOLD: u8 = 7;
const LONG_THRESHOLD: u8 = 4;
/// Levels are expected so often.
const STEP: Duration = Duration::from_millis(20);
/// Levels of 15 s, after which the floor rises to the softest of them.
const FLOOR_WINDOW: u32 = 15_000 / 20;
const MIN_SCORE: f64 = 1e-10;

/// What is known of one speaker.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) is_paused: bool,
    pub(super) heard_at: Instant,
    /// Newest first.
    levels: [u8; LEVELS],
    immediates: [u8; LEVELS],
    mediums: [u8; N3],
    long: u8,
    /// Immediate, medium and long.
    scores: [f64; 3],
    floor: Floor,
}

/// The softest level that is heard: what is not much above it is background.
#[derive(Debug, Default)]
struct Floor {
    level: u8,
    next: u8,
    count: u32,
}

impl Speaker {
    pub(super) const fn new(now: Instant, is_paused: bool) -> Self {
        Self {
            is_paused,
            heard_at: now,
            levels: [0; LEVELS],
            immediates: [0; LEVELS],
            mediums: [0; N3],
            long: 0,
            scores: [MIN_SCORE; 3],
            floor: Floor { level: 0, next: 0, count: 0 },
        }
    }

    /// A level, in dB above the softest. It stands for the time since the last one, too.
    pub(super) fn record(&mut self, now: Instant, level: u8) {
        let level = level.min(MAX_LEVEL);
        let steps = now.since(self.heard_at).as_millis() / STEP.as_millis();
        let steps = usize::try_from(steps).unwrap_or(LEVELS).clamp(1, LEVELS);
        self.heard_at = now;
        self.levels.copy_within(..LEVELS - steps, steps);
        if let Some(newest) = self.levels.get_mut(..steps) {
            newest.fill(level);
        }
        self.floor.record(level);
    }

    /// Immediate, medium and long activity.
    pub(super) fn scores(&mut self) -> [f64; 3] {
        let least = self.floor.level.saturating_add(SUBUNIT);
        let immediate = |level: u8| if level < least { 0 } else { level / SUBUNIT };
        let immediates = self.levels.map(immediate);
        if std::mem::replace(&mut self.immediates, immediates) == immediates {
            return self.scores;
        }
        let [immediate_score, medium_score, long_score] = &mut self.scores;
        *immediate_score = score(immediates.first().copied().unwrap_or(0), N1, 0.78);
        let mut mediums = [0; N3];
        for (medium, part) in mediums.iter_mut().zip(immediates.chunks(N2)) {
            *medium = active(part, MEDIUM_THRESHOLD);
        }
        if std::mem::replace(&mut self.mediums, mediums) != mediums {
            *medium_score = score(mediums.first().copied().unwrap_or(0), N2, 24.0);
            let long = active(&mediums, LONG_THRESHOLD);
            if std::mem::replace(&mut self.long, long) != long {
                *long_score = score(long, N3, 47.0);
            }
        }
        self.scores
    }
}

impl Floor {
    fn record(&mut self, level: u8) {
        if level == 0 {
            return;
        }
        if self.level == 0 || self.level > level {
            *self = Self { level, next: 0, count: 0 };
        } else if self.next == 0 {
            (self.next, self.count) = (level, 1);
        } else {
            self.next = self.next.min(level);
            self.count += 1;
            if self.count >= FLOOR_WINDOW {
                let raised = (u32::from(self.level) * u32::from(self.next)).isqrt();
                *self = Self { level: u8::try_from(raised).unwrap_or(MAX_LEVEL), next: 0, count: 0 };
            }
        }
    }
}

fn active(parts: &[u8], threshold: u8) -> u8 {
    u8::try_from(parts.iter().filter(|part| **part > threshold).count()).unwrap_or(u8::MAX)
}

/// How much likelier it is that so many of `of` parts are active because somebody speaks than by chance.
fn score(active: u8, of: usize, lambda: f64) -> f64 {
    let (n, v) = (of as u32, u32::from(active).min(of as u32));
    // At most 13 of 13, so nothing is lost in a float.
    let chosen = (0..v).fold(1.0, |product, step| product * f64::from(n - step) / f64::from(step + 1));
    let likelihood = f64::ln(chosen) + f64::from(n) * f64::ln(0.5) - f64::ln(lambda) + lambda * f64::from(v);
    likelihood.max(MIN_SCORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn who_speaks_scores_above_who_breathes() {
        let (mut loud, mut soft) = (Speaker::new(at(0), false), Speaker::new(at(0), false));
        for step in 1..=100 {
            // Sound has pauses, from which the floor is known.
            loud.record(at(step * 20), if step % 10 == 0 { 20 } else { 110 });
            soft.record(at(step * 20), 20);
        }
        let (loud, soft) = (loud.scores(), soft.scores());
        assert!(loud.iter().zip(soft).all(|(loud, soft)| *loud >= soft) && loud[1] > soft[1], "{loud:?} {soft:?}");
        assert_eq!(soft, [MIN_SCORE; 3]);
    }

    #[test]
    fn a_level_stands_for_the_time_before_it() {
        let mut speaker = Speaker::new(at(0), false);
        speaker.record(at(20), 5);
        speaker.record(at(1_020), 120);
        assert!(speaker.levels.iter().all(|level| *level == 120));
    }
}
