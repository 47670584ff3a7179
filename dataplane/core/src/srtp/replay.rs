//! The replay window of one stream (RFC 3711 section 3.3.2) and the guess of a packet's index (appendix A).

use corecast_wire::Discard;

use super::END_OF_RTP_INDEXES;
use crate::memory::{Name, Word, Words};

/// Indexes that a window covers, the highest included.
const WINDOW: u64 = 2_048;
const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;
/// Half of the 48-bit index space. What is further ahead than that is behind, one round earlier.
const HALF: u64 = 1 << 47;
/// Half of the 16-bit sequence number space.
const MEDIAN: u16 = 1 << 15;

/// Why an index is not to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Replay {
    /// Accepted before.
    #[error("index seen before")]
    Seen,
    /// Behind the window: nobody can tell.
    #[error("index behind the replay window")]
    TooOld,
}

impl Replay {
    /// The counter to which the packet belongs.
    #[must_use]
    pub const fn discard(self) -> Discard {
        match self {
            Self::Seen => Discard::Replayed,
            Self::TooOld => Discard::TooOld,
        }
    }
}

/// Which of the last 2,048 indexes of a stream have been accepted.
///
/// A packet that arrives is `guess`ed, `check`ed, opened, and only then `accept`ed: what has not been authenticated
/// leaves no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    /// One more than the highest index accepted; 0 before there is one.
    end: Word,
    /// A ring: index `i` is bit `i % WINDOW`. `None` until a packet has been accepted.
    seen: Option<Box<[u64; WORDS]>>,
}

impl ReplayWindow {
    /// A window that continues after `highest`: that index and all before it count as seen, whether they were or not.
    #[must_use]
    pub fn restore(highest: u64) -> Self {
        Self { end: Word::new(highest.saturating_add(1)), seen: Some(Box::new([u64::MAX; WORDS])) }
    }

    /// Highest index accepted so far. With [`ReplayWindow::restore`], all that needs to outlive a crash.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.end.get().checked_sub(1)
    }

    /// Keeps the highest index among the worker's words. All before one that was left there count as seen.
    pub(crate) fn keep(&mut self, words: &mut Words, name: Name) {
        if let Some(end) = words.left(name)
            && let Some(highest) = end.checked_sub(1)
        {
            *self = Self::restore(highest);
        }
        words.keep(&mut self.end, name);
    }

    /// The 48-bit index (rollover counter, then sequence number) that a packet most likely has (RFC 3711 appendix A).
    ///
    /// Before the first packet the rollover counter is 0. A packet from before the first round is guessed as in the
    /// RFC, modulo 2^32; `check` calls it too old.
    #[must_use]
    pub fn guess(&self, sequence: u16) -> u64 {
        let Some(highest) = self.highest() else { return sequence.into() };
        let newest = highest as u16;
        let rollover = (highest >> 16) as u32;
        let rollover = if newest < MEDIAN {
            if sequence > newest && sequence - newest > MEDIAN { rollover.wrapping_sub(1) } else { rollover }
        } else if newest - MEDIAN > sequence {
            rollover.wrapping_add(1)
        } else {
            rollover
        };
        u64::from(rollover) << 16 | u64::from(sequence)
    }

    /// Whether a packet of this index may be accepted.
    ///
    /// # Errors
    ///
    /// [`Replay`] if it was accepted before, is 2,048 or more behind the highest, or has more than 48 bits.
    pub fn check(&self, index: u64) -> Result<(), Replay> {
        if index >= END_OF_RTP_INDEXES {
            return Err(Replay::TooOld);
        }
        let Some(highest) = self.highest() else { return Ok(()) };
        if index > highest {
            return if index - highest > HALF { Err(Replay::TooOld) } else { Ok(()) };
        }
        if highest - index >= WINDOW {
            return Err(Replay::TooOld);
        }
        let (word, mask) = place(index);
        let seen = self.seen.as_ref().and_then(|seen| seen.get(word));
        if seen.is_some_and(|bits| bits & mask != 0) { Err(Replay::Seen) } else { Ok(()) }
    }

    /// Remembers a packet that has been authenticated. Call only after `check` said that it may be.
    pub fn accept(&mut self, index: u64) {
        if index >= END_OF_RTP_INDEXES {
            return;
        }
        let highest = self.highest();
        let seen = self.seen.get_or_insert_with(|| Box::new([0; WORDS]));
        match highest {
            Some(highest) if index <= highest => {
                if highest - index >= WINDOW {
                    return;
                }
            }
            Some(highest) => {
                // The ring's places between the two held indexes one round earlier.
                if index - highest < WINDOW {
                    forget(seen, highest + 1, index)
                } else {
                    **seen = [0; WORDS]
                }
                self.end.set(index + 1);
            }
            None => self.end.set(index + 1),
        }
        let (word, mask) = place(index);
        if let Some(bits) = seen.get_mut(word) {
            *bits |= mask;
        }
    }
}

/// Clears the places of `from` to `to`, the latter included. A word at a time: a burst of loss costs no more than 33.
fn forget(seen: &mut [u64; WORDS], from: u64, to: u64) {
    let mut at = from;
    while at <= to {
        let first_bit = at % WORD_BITS;
        let bits = (WORD_BITS - first_bit).min(to - at + 1);
        let (word, _) = place(at);
        if let Some(word) = seen.get_mut(word) {
            *word &= !((u64::MAX >> (WORD_BITS - bits)) << first_bit);
        }
        let Some(next) = at.checked_add(bits) else { return };
        at = next;
    }
}

/// Word and bit of an index.
const fn place(index: u64) -> (usize, u64) {
    ((index / WORD_BITS % WORDS as u64) as usize, 1 << (index % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::srtp::tests::Random;

    /// What the window should do, said as plainly as can be.
    #[derive(Default)]
    struct Model {
        accepted: BTreeSet<u64>,
    }

    impl Model {
        fn check(&self, index: u64) -> Result<(), Replay> {
            match self.accepted.last() {
                Some(highest) if index + WINDOW <= *highest => Err(Replay::TooOld),
                _ if self.accepted.contains(&index) => Err(Replay::Seen),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn agrees_with_a_naive_model() {
        for seed in 0..40 {
            let mut random = Random(seed);
            // Small steps keep the window full; large ones reach over it and far beyond.
            let spread = [3, 64, 300, 2_047, 2_048, 2_049, 5_000, 70_000][seed as usize % 8];
            let (mut window, mut model) = (ReplayWindow::default(), Model::default());
            let mut around = random.below(1 << 20);
            for step in 0..4_000 {
                around += random.below(3);
                let index = (around + random.below(spread)).saturating_sub(random.below(spread));
                let verdict = window.check(index);
                assert_eq!(verdict, model.check(index), "seed {seed}, step {step}, index {index}");
                // Not every packet authenticates.
                if verdict.is_ok() && random.below(8) > 0 {
                    window.accept(index);
                    model.accepted.insert(index);
                }
                assert_eq!(window.highest(), model.accepted.last().copied(), "seed {seed}, step {step}");
            }
        }
    }

    /// Every index is accepted once if it comes late by less than the window, in whatever order (S12).
    #[test]
    fn accepts_late_packets_once() {
        let mut random = Random(12);
        let mut window = ReplayWindow::default();
        let mut order: Vec<u64> = (0..200_000).collect();
        for block in order.chunks_mut(WINDOW as usize) {
            for at in (1..block.len()).rev() {
                block.swap(at, random.below(at as u64 + 1) as usize);
            }
        }
        for index in &order {
            assert_eq!(window.check(*index), Ok(()));
            window.accept(*index);
        }
        assert!(order.iter().all(|index| window.check(*index).is_err()));
    }

    #[test]
    fn an_index_behind_the_window_changes_nothing() {
        let mut window = ReplayWindow::default();
        window.accept(10_000);
        let before = window.clone();
        window.accept(10_000 - WINDOW);
        assert_eq!(window, before);
        assert_eq!(window.check(10_000 - WINDOW), Err(Replay::TooOld));
        assert_eq!(window.check(10_000 - WINDOW + 1), Ok(()));
    }

    #[test]
    fn takes_any_index_without_harm() {
        let edges = [0, 1, 63, 64, 2_047, 2_048, HALF - 1, HALF, HALF + 1, END_OF_RTP_INDEXES - 1];
        for first in edges {
            for second in edges {
                let mut window = ReplayWindow::default();
                window.accept(first);
                window.accept(second);
                assert_eq!(window.highest(), Some(first.max(second)));
                assert_eq!(window.check(first.max(second)), Err(Replay::Seen));
                let _ = window.guess(0);
                let before = window.clone();
                for index in [END_OF_RTP_INDEXES, u64::MAX - 1, u64::MAX] {
                    assert_eq!(window.check(index), Err(Replay::TooOld));
                    window.accept(index);
                }
                assert_eq!(window, before);
            }
        }
    }

    #[test]
    fn restored_windows_accept_only_what_is_newer() {
        let window = ReplayWindow::restore(70_000);
        assert_eq!(window.highest(), Some(70_000));
        for index in 0..=70_000 {
            assert!(window.check(index).is_err(), "index {index}");
        }
        let mut window = window;
        window.accept(70_003);
        assert_eq!(window.check(70_001), Ok(()));
        assert_eq!(window.check(70_002), Ok(()));
        assert_eq!(window.check(70_000), Err(Replay::Seen));
    }

    /// RFC 3711 appendix A, each of its branches at its edges.
    #[test]
    fn guesses_as_in_rfc_3711() {
        let guess = |highest: Option<u64>, sequence| {
            let mut window = ReplayWindow::default();
            if let Some(highest) = highest {
                window.accept(highest);
            }
            window.guess(sequence)
        };
        assert_eq!(guess(None, 65_535), 65_535, "before the first packet the rollover counter is 0");
        assert_eq!(guess(Some(65_535), 0), 1 << 16);
        assert_eq!(guess(Some(65_535), 32_766), 1 << 16 | 32_766);
        assert_eq!(guess(Some(65_535), 32_767), 32_767);
        assert_eq!(guess(Some(32_768), 0), 0, "exactly half ahead is half behind");
        assert_eq!(guess(Some(32_769), 0), 1 << 16);
        assert_eq!(guess(Some(5 << 16), 32_768), 5 << 16 | 32_768);
        assert_eq!(guess(Some(5 << 16), 32_769), 4 << 16 | 32_769);
        assert_eq!(guess(Some(5 << 16 | 32_767), 65_535), 5 << 16 | 65_535);
    }

    /// At rollover counter 0 a packet of the round before is guessed as one of round 2^32 - 1, which is too old.
    #[test]
    fn a_packet_from_before_the_first_round_is_too_old() {
        let mut window = ReplayWindow::default();
        window.accept(10);
        let index = window.guess(65_530);
        assert_eq!(index, 0xffff_ffff << 16 | 65_530);
        assert_eq!(window.check(index), Err(Replay::TooOld));
        // And at the very end the counter does not start again.
        let last = (1 << 48) - 1;
        let window = ReplayWindow::restore(last);
        assert_eq!(window.check(window.guess(3)), Err(Replay::TooOld));
    }

    /// Bursts of loss up to 2^15 - 1 and reordering, over many wraps: never a wrong guess (S13).
    #[test]
    fn follows_wraps_through_loss_and_reordering() {
        for seed in 0..16 {
            let mut random = Random(seed);
            let mut window = ReplayWindow::default();
            let mut newest = random.below(1 << 15);
            window.accept(newest);
            for step in 0..40_000 {
                newest += 1 + if random.below(50) == 0 { random.below((1 << 15) - 1) } else { random.below(3) };
                assert_eq!(window.guess(newest as u16), newest, "seed {seed}, step {step}");
                window.accept(newest);
                let late = newest - random.below(WINDOW).min(newest);
                assert_eq!(window.guess(late as u16), late, "seed {seed}, step {step}");
                if window.check(late).is_ok() {
                    window.accept(late);
                }
            }
            assert!(newest >> 16 > 100, "too few wraps: {}", newest >> 16);
        }
    }
}
