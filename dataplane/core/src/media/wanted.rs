//! Which encodings of a producer somebody takes, so that its sender can leave out the others.
//!
//! One that nobody has taken for a while is *unwanted*. It is wanted again at once. If it is then not taken after all,
//! more patience is had with it, so that a sender does not switch an encoder on and off for somebody whose path does
//! not carry what it makes.

use std::time::Duration;

use super::layers::bit;
use crate::time::Instant;

/// One that has been sent and not taken for so long is unwanted.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same when it was wanted again: its key frame must come, and it is entered when it has been steady and there has
/// been room for it. In vain, twice as long each time, up to the last.
const PATIENCE_AGAIN: Duration = Duration::from_secs(15);
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);
/// What is taken for so long was wanted rightly.
const PROVEN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Encoding {
    is_unwanted: bool,
    /// Since when it has been sent and not taken, or sent and taken.
    idle_since: Option<Instant>,
    taken_since: Option<Instant>,
    patience: Duration,
    /// Bits per second that it took when it was sent; 0 if that is not known.
    needed_bps: u64,
}

/// What there is to say of one encoding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// It is sent.
    pub(crate) is_active: bool,
    /// Somebody is sent it, or would be if it were there.
    pub(crate) is_taken: bool,
    /// Bits per second that it takes, if that is known.
    pub(crate) needed_bps: Option<u64>,
}

/// The encodings of a producer, in the order in which they were announced; none before they were looked at, so that a
/// producer which has sent nothing takes no memory here.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Vec<Encoding>);

impl Encoding {
    const FRESH: Self =
        Self { is_unwanted: false, idle_since: None, taken_since: None, patience: PATIENCE, needed_bps: 0 };
}

impl Wanted {
    /// Takes in what is seen of each encoding. True if another one is wanted now, or no longer is.
    pub(crate) fn update(&mut self, now: Instant, seen: &[Seen]) -> bool {
        let mut changes = false;
        self.0.resize(seen.len(), Encoding::FRESH);
        for (encoding, seen) in self.0.iter_mut().zip(seen) {
            changes |= encoding.update(now, *seen);
        }
        changes
    }

    /// Nothing is to be said for now: nothing is sent.
    pub(crate) fn rest(&mut self) {
        self.0.iter_mut().for_each(|encoding| (encoding.idle_since, encoding.taken_since) = (None, None));
    }

    /// Whether one is about to be unwanted.
    pub(crate) fn has_idle(&self) -> bool {
        self.0.iter().any(|encoding| encoding.idle_since.is_some() && !encoding.is_unwanted)
    }

    /// Those that are unwanted; bit n is that of encoding n.
    pub(crate) fn unwanted(&self) -> u8 {
        (0..).zip(&self.0).filter(|(_, one)| one.is_unwanted).fold(0, |bits, (at, _)| bits | bit(at))
    }

    /// What an encoding takes that is unwanted, in bits per second; 0 if that is not known, `None` if it is wanted.
    pub(crate) fn unwanted_bps(&self, encoding: u8) -> Option<u64> {
        self.0.get(usize::from(encoding)).filter(|one| one.is_unwanted).map(|one| one.needed_bps)
    }
}

impl Encoding {
    fn update(&mut self, now: Instant, seen: Seen) -> bool {
        let goes_on = |since: Option<Instant>, is: bool| is.then(|| since.unwrap_or(now));
        self.taken_since = goes_on(self.taken_since, seen.is_active && seen.is_taken);
        self.idle_since = goes_on(self.idle_since, seen.is_active && !seen.is_taken);
        if seen.is_active {
            self.needed_bps = seen.needed_bps.unwrap_or(self.needed_bps);
        }
        if self.is_unwanted && seen.is_taken {
            self.is_unwanted = false;
            self.patience = (self.patience * 2).clamp(PATIENCE_AGAIN, LONGEST_PATIENCE);
            return true;
        }
        if self.taken_since.is_some_and(|since| now.since(since) >= PROVEN) {
            self.patience = PATIENCE;
        }
        let becomes = !self.is_unwanted && self.idle_since.is_some_and(|since| now.since(since) >= self.patience);
        self.is_unwanted |= becomes;
        becomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    /// Looks once a second: when something changed, and what is unwanted then.
    fn run(wanted: &mut Wanted, seconds: std::ops::Range<u64>, seen: &[Seen]) -> Vec<(u64, u8)> {
        let mut changes = Vec::new();
        for second in seconds {
            if wanted.update(at(second), seen) {
                changes.push((second, wanted.unwanted()));
            }
        }
        changes
    }

    const TAKEN: Seen = Seen { is_active: true, is_taken: true, needed_bps: Some(100_000) };
    const IDLE: Seen = Seen { is_active: true, is_taken: false, needed_bps: Some(2_000_000) };
    const MISSED: Seen = Seen { is_active: false, is_taken: true, needed_bps: None };
    const GONE: Seen = Seen { is_active: false, is_taken: false, needed_bps: Some(0) };

    #[test]
    fn what_nobody_takes_for_a_while_is_unwanted_and_wanted_again_at_once() {
        let mut wanted = Wanted::default();
        assert_eq!(run(&mut wanted, 0..60, &[TAKEN, IDLE, GONE]), [(5, 0b010)], "what is not sent is not told");
        assert!(!wanted.has_idle());
        assert_eq!(run(&mut wanted, 60..70, &[TAKEN, GONE, GONE]), []);
        assert_eq!((wanted.unwanted_bps(0), wanted.unwanted_bps(1)), (None, Some(2_000_000)), "as it was sent");
        assert_eq!(run(&mut wanted, 70..72, &[TAKEN, MISSED, GONE]), [(70, 0)]);
        assert_eq!(run(&mut wanted, 72..90, &[TAKEN, TAKEN, GONE]), []);
        assert_eq!(run(&mut wanted, 90..100, &[TAKEN, IDLE, GONE]), [(95, 0b010)], "it had been taken");
    }

    #[test]
    fn what_is_wanted_in_vain_is_kept_longer_each_time() {
        let (mut wanted, mut second, mut kept) = (Wanted::default(), 0, Vec::new());
        for _ in 0..6 {
            let changes = run(&mut wanted, second..second + 200, &[IDLE]);
            kept.push(changes[0].0 - second);
            second += 200;
            assert_eq!(run(&mut wanted, second..second + 1, &[MISSED]), [(second, 0)]);
        }
        assert_eq!(kept, [5, 15, 30, 60, 120, 120]);
    }

    #[test]
    fn a_pause_takes_nothing_from_the_patience() {
        let mut wanted = Wanted::default();
        assert_eq!(run(&mut wanted, 0..4, &[IDLE]), []);
        assert!(wanted.has_idle());
        wanted.rest();
        assert!(!wanted.has_idle());
        assert_eq!(run(&mut wanted, 100..110, &[IDLE]), [(105, 1)]);
    }
}
