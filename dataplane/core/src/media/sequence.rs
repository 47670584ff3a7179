//! Sequence numbers of plain RTP, extended to 64 bits (RFC 3550 appendix A.1). SRTP streams take theirs from the replay
//! window instead.

/// A stream's numbering begins one cycle up, so that what was sent just before its first packet has a number too.
pub(crate) const FIRST_CYCLE: u64 = 1 << 16;

/// Forward jump from which on a plain stream is suspected to have started again (RFC 3550: MAX_DROPOUT).
const MAX_DROPOUT: u64 = 3_000;

/// What a 16-bit sequence number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extended {
    /// Part of the stream.
    Usual(u64),
    /// Too far away; the next packet decides whether the stream has started again.
    Jump,
    /// The sender has started again. Always beyond everything seen before.
    Restart(u64),
}

/// The highest sequence number of a stream, and what may follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    /// The number of a first packet is reckoned from this.
    cycle: u64,
    highest: Option<u64>,
    /// After a jump: the number that would confirm it.
    suspect: Option<u16>,
}

impl Default for Sequence {
    fn default() -> Self {
        Self::starting_in(FIRST_CYCLE)
    }
}

/// A cycle in which every number is beyond `highest`, also for packets that were sent before the first that comes.
pub(crate) const fn cycle_beyond(highest: u64) -> u64 {
    ((highest >> 16) + 2) << 16
}

impl Sequence {
    /// The numbers of a stream of which nothing has come, and whose first packet is in this cycle.
    pub(crate) const fn starting_in(cycle: u64) -> Self {
        Self { cycle, highest: None, suspect: None }
    }

    /// The numbers of a stream that goes on after this one.
    pub(crate) const fn after(highest: u64) -> Self {
        Self { cycle: FIRST_CYCLE, highest: Some(highest), suspect: None }
    }

    /// Extends `sequence`. `window` packets behind the highest are still part of the stream.
    pub(crate) fn extend(&mut self, sequence: u16, window: u64) -> Extended {
        let Some(highest) = self.highest else {
            return Extended::Usual(u64::from(sequence) + self.cycle);
        };
        let extended = nearest(highest, sequence);
        let usual = extended <= highest + MAX_DROPOUT && extended + window > highest;
        if usual {
            return Extended::Usual(extended);
        }
        if self.suspect.replace(sequence.wrapping_add(1)) == Some(sequence) {
            return Extended::Restart(cycle_beyond(highest) + u64::from(sequence));
        }
        Extended::Jump
    }

    /// Notes that a packet of the stream was taken in.
    pub(crate) fn accept(&mut self, extended: u64) {
        self.suspect = None;
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
    }
}

/// The extended number nearest to `highest` whose lower 16 bits are `sequence`.
pub(crate) fn nearest(highest: u64, sequence: u16) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower 16 bits are meant")]
    let delta = sequence.wrapping_sub(highest as u16).cast_signed();
    highest.saturating_add_signed(i64::from(delta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(at: u64) -> Sequence {
        let mut sequence = Sequence::default();
        sequence.accept(at);
        sequence
    }

    #[test]
    fn wraps_forwards_and_backwards() {
        let mut sequence = started((1 << 16) + 65_535);
        assert_eq!(sequence.extend(0, 512), Extended::Usual(2 << 16));
        sequence.accept(2 << 16);
        assert_eq!(sequence.extend(65_530, 512), Extended::Usual((2 << 16) - 6));
    }

    #[test]
    fn a_jump_needs_two_packets_in_a_row() {
        let mut sequence = started((1 << 16) + 100);
        assert_eq!(sequence.extend(40_000, 512), Extended::Jump);
        assert_eq!(sequence.extend(50_000, 512), Extended::Jump);
        assert_eq!(sequence.extend(50_001, 512), Extended::Restart((3 << 16) + 50_001));
        sequence.accept((3 << 16) + 50_001);
        assert_eq!(sequence.extend(50_002, 512), Extended::Usual((3 << 16) + 50_002));
    }

    #[test]
    fn a_stray_packet_does_not_confirm_a_jump_across_a_usual_one() {
        let mut sequence = started((1 << 16) + 100);
        assert_eq!(sequence.extend(40_000, 512), Extended::Jump);
        assert_eq!(sequence.extend(101, 512), Extended::Usual((1 << 16) + 101));
        sequence.accept((1 << 16) + 101);
        assert_eq!(sequence.extend(40_001, 512), Extended::Jump);
    }

    #[test]
    fn far_behind_is_a_jump_too() {
        let mut sequence = started((1 << 16) + 1_000);
        assert_eq!(sequence.extend(489, 512), Extended::Usual((1 << 16) + 489));
        assert_eq!(sequence.extend(488, 512), Extended::Jump);
    }
}
