//! What of a stream is kept where another process can read it, beside its indexes, so that a worker that takes this
//! one's place can go on: its SSRCs, and what it was at.

use std::time::Duration;

use corecast_wire::ProducerId;

use super::super::history::{History, PacketMeta};
use super::super::reception::Reception;
use super::super::sequence::Sequence;
use super::Stream;
use crate::codec::PictureIds;
use crate::memory::{Name, What, Word, Words};
use crate::time::Instant;

/// Marks of the numbers that a picture has.
const HAS_PICTURE: u64 = 1 << 63;
const HAS_TL0: u64 = 1 << 62;

/// What of a stream is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// SSRC of its media and of its retransmissions; 0 for none.
    ssrcs: Word,
    /// What is added to the indexes of its media, and the number after its highest.
    cycle: Word,
    end: Word,
    /// Timestamp and picture of the newest packet, and when that came, in nanoseconds since the worker started.
    newest: Word,
    arrived: Word,
}

/// A worker that is no more, as seen from the one that takes its place: when its clock began, on that one's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    /// Nanoseconds from its start to this one's.
    pub(crate) started_ns_ago: u64,
}

impl Kept {
    pub(super) fn new(words: &mut Words, producer: ProducerId, place: u8) -> Self {
        let mut kept = Self::default();
        let Self { ssrcs, cycle, end, newest, arrived } = &mut kept;
        for (what, word) in [
            (What::Ssrcs, ssrcs),
            (What::Cycle, cycle),
            (What::End, end),
            (What::Newest, newest),
            (What::Arrived, arrived),
        ] {
            words.keep(word, Name::new(what, producer.0, place));
        }
        kept
    }

    pub(super) fn set_ssrcs(&mut self, media: Option<u32>, rtx: Option<u32>) {
        self.ssrcs.set(u64::from(media.unwrap_or(0)) << 32 | u64::from(rtx.unwrap_or(0)));
    }

    /// SSRC of its media and of its retransmissions.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(super) fn ssrcs(&self) -> (Option<u32>, Option<u32>) {
        let ssrcs = self.ssrcs.get();
        let known = |ssrc| Some(ssrc).filter(|ssrc| *ssrc != 0);
        (known((ssrcs >> 32) as u32), known(ssrcs as u32))
    }

    /// The newest packet has come.
    pub(super) fn set_newest(&mut self, timestamp: u32, ids: PictureIds, at: Instant) {
        let picture = ids.picture.map_or(0, |picture| HAS_PICTURE | u64::from(picture) << 40);
        let tl0 = ids.tl0.map_or(0, |tl0| HAS_TL0 | u64::from(tl0) << 32);
        self.newest.set(picture | tl0 | u64::from(timestamp));
        self.arrived.set(at.as_nanos());
    }

    /// What the stream was at when its worker ended, as if the newest packet had come now; `None` if none had come.
    #[expect(clippy::cast_possible_truncation, reason = "the parts of a word; RTP time wraps")]
    pub(super) fn last(&self, now: Instant, before: Before, clock_rate_hz: u32) -> Option<Reception> {
        let (newest, arrived_ns) = (self.newest.get(), self.arrived.get());
        if arrived_ns == 0 {
            return None;
        }
        let since = Duration::from_nanos((before.started_ns_ago + now.as_nanos()).saturating_sub(arrived_ns));
        let passed = (Instant::default() + since).ticks(clock_rate_hz) as u32;
        let ids = PictureIds {
            picture: (newest & HAS_PICTURE != 0).then_some((newest >> 40) as u16 & 0x7fff),
            tl0: (newest & HAS_TL0 != 0).then_some((newest >> 32) as u8),
        };
        Some(Reception::ended(now, (newest as u32).wrapping_add(passed), ids))
    }
}

impl Stream {
    /// Keeps its highest SRTP indexes among the worker's words. If the worker before left there what its producer's
    /// stream at this place was at, it goes on from that, as if a packet had come now.
    pub(crate) fn keep(&mut self, words: &mut Words, producer: ProducerId, now: Instant) {
        self.window.keep(words, Name::new(What::EndIn, producer.0, self.place));
        self.rtx_window.keep(words, Name::new(What::EndRtxIn, producer.0, self.place));
        if words.left(Name::new(What::Ssrcs, producer.0, self.place)).is_some() {
            let kept = Kept::new(words, producer, self.place);
            let (ssrc, rtx_ssrc) = kept.ssrcs();
            (self.ssrc, self.rtx_ssrc) = (ssrc.or(self.ssrc), rtx_ssrc.or(self.rtx_ssrc));
            self.cycle = kept.cycle.get();
            if let Some(highest) = kept.end.get().checked_sub(1) {
                (self.highest, self.last_arrival) = (Some(highest), now);
                self.sequence = Sequence::after(highest);
                self.held.refuse_below(highest + 1);
            }
            self.kept = Some(Box::new(kept));
        }
        self.keep_source();
    }

    /// Keeps which SSRCs it has, and how their indexes are counted.
    fn keep_source(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.set_ssrcs(self.ssrc, self.rtx_ssrc);
            kept.cycle.set(self.cycle);
        }
    }

    /// It sends: what it is at is kept from now on.
    pub(crate) fn keep_newest(&mut self, words: &mut Words, producer: ProducerId) {
        if self.kept.is_none() && words.are_kept() {
            self.kept = Some(Box::new(Kept::new(words, producer, self.place)));
            self.keep_source();
        }
    }

    /// Records a packet that was taken in.
    pub(super) fn record_newest(&mut self, history: &History, slot: u32, meta: &PacketMeta) {
        if let Some(kept) = self.kept.as_deref_mut().filter(|_| self.highest == Some(meta.sequence)) {
            let ids = meta.frame.picture_ids(history.sealable(slot, false));
            kept.set_newest(meta.timestamp, ids, meta.arrived);
            kept.end.set(meta.sequence + 1);
        }
    }

    /// What it was at when the worker before ended, as of now; `None` if nobody knows.
    pub(crate) fn last_before(&self, now: Instant, before: Before, clock_rate_hz: u32) -> Option<Reception> {
        self.kept.as_deref()?.last(now, before, clock_rate_hz)
    }

    /// SSRC of its media and of its retransmissions, as far as they are known, and which of the two each is.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = (u32, bool)> + use<> {
        [(self.ssrc, false), (self.rtx_ssrc, true)].into_iter().filter_map(|(ssrc, rtx)| Some((ssrc?, rtx)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_was_at_is_told_as_of_now() {
        let mut kept = Kept::default();
        let before = Before { started_ns_ago: 10_000_000_000 };
        let now = Instant::from_nanos(500_000_000);
        assert!(kept.last(now, before, 90_000).is_none());
        for ids in [
            PictureIds::default(),
            PictureIds { picture: Some(0), tl0: None },
            PictureIds { picture: Some(0x7fff), tl0: Some(255) },
        ] {
            kept.set_newest(u32::MAX, ids, Instant::from_nanos(9_500_000_000));
            let last = kept.last(now, before, 90_000).expect("a packet has come");
            assert_eq!((last.newest(), last.picture_ids()), (Some((89_999, now)), ids), "a second later");
        }
        assert_eq!(kept.ssrcs(), (None, None));
        kept.set_ssrcs(Some(7), None);
        assert_eq!(kept.ssrcs(), (Some(7), None));
        kept.set_ssrcs(Some(u32::MAX), Some(3));
        assert_eq!(kept.ssrcs(), (Some(u32::MAX), Some(3)));
    }
}
