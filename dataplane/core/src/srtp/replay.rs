//! The replay window of one stream (RFC 3711 section 3.3.2) and the guess of a packet's index (appendix A).

use corecast_wire::Discard;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayWindow {
    highest: Option<u64>,
    /// A ring: index `i` is bit `i % WINDOW`.
    seen: [u64; WORDS],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { highest: None, seen: [0; WORDS] }
    }
}

impl ReplayWindow {
    /// A window that continues after `highest`: that index and all before it count as seen, whether they were or not.
    #[must_use]
    pub const fn restore(highest: u64) -> Self {
        Self { highest: Some(highest), seen: [u64::MAX; WORDS] }
    }

    /// Highest index accepted so far. With [`ReplayWindow::restore`], all that needs to outlive a crash.
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The 48-bit index (rollover counter, then sequence number) that a packet most likely has (RFC 3711 appendix A).
    ///
    /// Before the first packet the rollover counter is 0. A packet from before the first round is guessed as in the
    /// RFC, modulo 2^32; `check` calls it too old.
    #[must_use]
    pub const fn guess(&self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else { return sequence as u64 };
        let newest = highest as u16;
        let rollover = (highest >> 16) as u32;
        let rollover = if newest < MEDIAN {
            if sequence > newest && sequence - newest > MEDIAN { rollover.wrapping_sub(1) } else { rollover }
        } else if newest - MEDIAN > sequence {
            rollover.wrapping_add(1)
        } else {
            rollover
        };
        (rollover as u64) << 16 | sequence as u64
    }

    /// Whether a packet of this index may be accepted.
    ///
    /// # Errors
    ///
    /// [`Replay`] if it was accepted before, or is 2,048 or more behind the highest.
    pub fn check(&self, index: u64) -> Result<(), Replay> {
        let Some(highest) = self.highest else { return Ok(()) };
        if index > highest {
            return if index - highest > HALF { Err(Replay::TooOld) } else { Ok(()) };
        }
        if highest - index >= WINDOW {
            return Err(Replay::TooOld);
        }
        let (word, mask) = place(index);
        if self.seen.get(word).is_some_and(|bits| bits & mask != 0) { Err(Replay::Seen) } else { Ok(()) }
    }

    /// Remembers a packet that has been authenticated. Call only after `check` said that it may be.
    pub fn accept(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                if highest - index >= WINDOW {
                    return;
                }
            }
            Some(highest) => {
                // The ring's places between the two held indexes one round earlier.
                if index - highest < WINDOW {
                    self.forget(highest + 1, index)
                } else {
                    self.seen = [0; WORDS]
                }
                self.highest = Some(index);
            }
            None => self.highest = Some(index),
        }
        let (word, mask) = place(index);
        if let Some(bits) = self.seen.get_mut(word) {
            *bits |= mask;
        }
    }

    /// Clears the places of `from` to `to`, the latter included. A word at a time: a burst of loss costs no more than 33.
    fn forget(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at <= to {
            let first_bit = at % WORD_BITS;
            let bits = (WORD_BITS - first_bit).min(to - at + 1);
            let (word, _) = place(at);
            if let Some(word) = self.seen.get_mut(word) {
                *word &= !((u64::MAX >> (WORD_BITS - bits)) << first_bit);
            }
            let Some(next) = at.checked_add(bits) else { return };
            at = next;
        }
    }
}

/// Word and bit of an index.
const fn place(index: u64) -> (usize, u64) {
    ((index / WORD_BITS % WORDS as u64) as usize, 1 << (index % WORD_BITS))
}
