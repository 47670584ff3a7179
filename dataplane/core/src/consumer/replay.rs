//! The packets of history with which a consumer begins.

use std::ops::Range;

use super::Consumer;
use crate::key::StreamKey;

/// What came before a consumer did and is sent to it all the same.
#[derive(Clone, Debug)]
pub(crate) struct GopReplay {
    pub(crate) stream: StreamKey,
    pub(crate) packets: Range<u64>,
}

impl Consumer {
    /// Begins with these packets, before those of the next round.
    pub(crate) fn start_replay(&mut self, packets: GopReplay) {
        (self.replaying, self.gop_replay) = (true, Some(packets));
    }

    /// The next packet of a stream that it begins with. Once there is none, there never is.
    pub(crate) fn next_to_replay(&mut self, stream: StreamKey) -> Option<u64> {
        let replay = self.gop_replay.as_ref().filter(|replay| replay.stream == stream && !replay.packets.is_empty());
        let next = replay.map(|replay| replay.packets.start);
        if next.is_none() {
            (self.replaying, self.gop_replay) = (false, None);
        }
        next
    }

    /// That packet has been seen to.
    pub(crate) fn replayed(&mut self) {
        if let Some(gop_replay) = &mut self.gop_replay {
            gop_replay.packets.start += 1;
        }
    }
}
