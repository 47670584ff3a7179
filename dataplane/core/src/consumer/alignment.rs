//! How timestamps and numbers of pictures go on where a consumer switches from one stream to another.

use crate::codec::PictureIds;
use crate::media::Reception;

/// The least time between the last picture of one stream and the first of another: a thousandth of a second.
const LEAST_STEP_PER_S: u32 = 1_000;

/// How the timestamps of a stream go on where those of the one before end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alignment {
    /// The offset by which the same moment has the same timestamp, if it is known.
    pub(super) exact: Option<u32>,
    /// The highest timestamp that may have left.
    pub(super) floor: u32,
    /// The newest picture that may have left, and the one that comes.
    pub(super) last_picture: PictureIds,
    pub(super) next_picture: PictureIds,
}

impl Alignment {
    /// The offset for a segment that begins with this timestamp. Time does not stand still, nor go back: of two
    /// pictures of one moment the second is later by a millisecond.
    pub(super) fn offset(self, timestamp: u32, clock_rate_hz: u32) -> u32 {
        let least = self.floor.wrapping_add((clock_rate_hz / LEAST_STEP_PER_S).max(1)).wrapping_sub(timestamp);
        let exact = self.exact.unwrap_or(least);
        if exact.wrapping_sub(least).cast_signed() < 0 { least } else { exact }
    }
}

/// What a stream was at when it was left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(super) reception: Reception,
    /// The numbers of the newest picture that may have left, as the receiver has them.
    pub(super) picture: PictureIds,
}
