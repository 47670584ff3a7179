//! When a consumer makes its sound redundant (RFC 2198): while its receiver reports that it loses much of it, and for
//! some time after that.
//!
//! What was made is not repeated under its own number: what it was made of may have changed meanwhile, by a packet that
//! came late, and sealing other bytes under the same key, SSRC and index would break GCM.

use std::ops::Range;
use std::time::Duration;

use corecast_wire::RedundancyOptions;

use super::Consumer;
use crate::time::Instant;

/// Most earlier payloads in a packet.
pub(crate) const MAX_MADE_BLOCKS: usize = 2;
/// Loss, of 256, from which on a packet has what the one before it had (over 3 percent), or the two before it (over
/// 10).
const ONE_BLOCK: u8 = 8;
const TWO_BLOCKS: u8 = 26;
/// Loss below which a path counts as calm (under 1 percent), and for how long it has to be calm.
const CALM: u8 = 3;
const CALM_TIME: Duration = Duration::from_secs(10);

/// What a consumer may make, and what it has made.
#[derive(Debug)]
pub(super) struct Redundancy {
    options: Option<RedundancyOptions>,
    /// Since when no more was lost than on a calm path.
    calm_since: Option<Instant>,
    /// All numbers that have left as what was made lie in these.
    made: Range<u64>,
}

impl Redundancy {
    pub(super) const fn new(options: Option<RedundancyOptions>) -> Self {
        Self { options, calm_since: None, made: 0..0 }
    }
}

/// So many earlier payloads from now on, after a report of so much loss, of 256, at a consumer with so many.
fn blocks_after(blocks: u8, loss: u8, is_calm: bool) -> u8 {
    match loss {
        TWO_BLOCKS.. => 2,
        ONE_BLOCK.. => blocks.max(1),
        _ if is_calm => 0,
        _ => blocks,
    }
}

impl Consumer {
    /// What it may make.
    pub(crate) const fn redundancy(&self) -> Option<RedundancyOptions> {
        self.redundancy.options
    }

    /// So many earlier payloads are put into each of its packets at most.
    #[inline]
    pub(crate) const fn redundant_blocks(&self) -> u8 {
        self.redundant_blocks
    }

    /// The first number of its segment.
    pub(crate) const fn first_out(&self) -> u64 {
        self.numbering.first_out()
    }

    /// Its receiver reports that so much was lost, of 256.
    pub(crate) fn hear_loss(&mut self, now: Instant, loss: u8) {
        let Redundancy { options: Some(_), calm_since, .. } = &mut self.redundancy else { return };
        if loss < CALM {
            calm_since.get_or_insert(now);
        } else {
            *calm_since = None;
        }
        let is_calm = calm_since.is_some_and(|since| now.since(since) >= CALM_TIME);
        self.redundant_blocks = blocks_after(self.redundant_blocks, loss, is_calm);
    }

    /// A packet of this number leaves as what was made of it and those before it.
    pub(crate) fn makes_redundant(&mut self, index: u64) {
        let made = &mut self.redundancy.made;
        let first = if made.is_empty() { index } else { made.start.min(index) };
        *made = first..made.end.max(index + 1);
    }

    /// Whether the packet of this number may be repeated to the byte.
    pub(crate) fn may_repeat(&self, index: u64) -> bool {
        !self.redundancy.made.contains(&index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_made_the_more_is_lost_and_none_when_it_was_calm() {
        for (blocks, loss, is_calm, then) in [
            (0, 0, true, 0),
            (0, 7, false, 0),
            (0, 8, false, 1),
            (0, 25, false, 1),
            (0, 26, false, 2),
            (0, 255, false, 2),
            (1, 26, false, 2),
            (2, 8, false, 2),
            (2, 2, false, 2),
            (1, 7, false, 1),
            (1, 0, true, 0),
            (2, 2, true, 0),
        ] {
            assert_eq!(blocks_after(blocks, loss, is_calm), then, "{blocks} and {loss} of 256 lost, calm {is_calm}");
        }
        let of_100 = |loss: u8| f64::from(loss) / 2.56;
        assert!(of_100(ONE_BLOCK) > 3.0 && of_100(ONE_BLOCK - 1) < 3.0);
        assert!(of_100(TWO_BLOCKS) > 10.0 && of_100(CALM - 1) < 1.0);
    }
}
