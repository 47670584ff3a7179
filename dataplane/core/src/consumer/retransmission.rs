//! Packets that a consumer repeats: on which stream, how often, and how much of them.

use std::ops::Range;
use std::time::Duration;

use corecast_wire::{ConsumerId, RtxOptions};

use super::Consumer;
use super::numbering::{Located, Numbered};
use crate::limits::{MAX_RETRANSMITS, RETRANSMIT_MEMORY};
use crate::media::{PacketMeta, Stream};
use crate::memory::{Name, What, Word, Words};
use crate::time::Instant;

/// Round trip assumed until a receiver report tells.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(40);
/// Retransmitted bytes may be a quarter of what is sent, after this much to begin with.
pub(super) const ALLOWANCE_BYTES: u64 = 256 * 1024;

/// Retransmission stream of a consumer (RFC 4588).
#[derive(Debug)]
struct Rtx {
    ssrc: u32,
    payload_types: Vec<(u8, u8)>,
    next_out: Word,
}

#[derive(Clone, Copy, Debug, Default)]
struct Retransmitted {
    out: u64,
    at: Instant,
    times: u8,
}

/// What a consumer has repeated, and what it still may.
#[derive(Debug)]
pub(super) struct Retransmissions {
    /// Bytes that may be repeated, as it was when so many had been sent.
    allowance_bytes: u64,
    sent_bytes: u64,
    packets: u64,
    rtx: Option<Rtx>,
    /// The beginning has been repeated.
    is_beginning_repeated: bool,
    recent: Option<Box<[Retransmitted; RETRANSMIT_MEMORY]>>,
}

impl Consumer {
    /// Where a number belongs that has left, or would have left.
    pub(crate) fn locate(&self, out: u16) -> Option<Located> {
        self.numbering.locate(out)
    }

    /// Numbers of all packets since a key frame with which it began, the stream's packet `first`.
    pub(crate) fn beginning(&self, first: u64, stream: &Stream) -> Option<Range<u64>> {
        let (began, numbers) = self.numbering.beginning(stream.withheld())?;
        (began == first).then_some(numbers)
    }

    /// Whether its beginning may be repeated: once.
    pub(crate) const fn may_repeat_beginning(&mut self) -> bool {
        !std::mem::replace(&mut self.retransmissions.is_beginning_repeated, true)
    }

    /// Whether padding may leave on its retransmission stream, and its receiver can say what came of it.
    pub(crate) fn can_carry_padding(&self) -> bool {
        !self.pause_asked && self.extensions.is_reported() && self.rtx_for_padding().is_some()
    }

    /// SSRC, payload type and index of the next packet of the retransmission stream, if there is one, for padding.
    pub(crate) fn rtx_for_padding(&self) -> Option<(u32, u8, u64)> {
        self.retransmissions.next_any()
    }

    /// Counts a packet of padding on the retransmission stream.
    pub(crate) fn count_padding(&mut self) {
        self.retransmissions.count_padding();
    }

    /// A packet as it left under a number, unless it was withheld.
    pub(crate) fn numbered(&self, located: &Located, stream: &mut Stream, packet: &PacketMeta) -> Option<Numbered> {
        located.numbered(stream.withheld_mut(), &self.filter, packet)
    }
}

impl Retransmissions {
    pub(super) fn new(rtx: Option<&RtxOptions>) -> Self {
        let rtx = rtx.map(|rtx| Rtx {
            ssrc: rtx.ssrc,
            payload_types: rtx.payload_types.clone(),
            next_out: Word::new(u64::from(rtx.first_sequence)),
        });
        Self {
            allowance_bytes: ALLOWANCE_BYTES,
            sent_bytes: 0,
            packets: 0,
            rtx,
            is_beginning_repeated: false,
            recent: None,
        }
    }

    /// Keeps the retransmission stream's next number among the worker's words.
    pub(super) fn keep(&mut self, words: &mut Words, consumer: ConsumerId) {
        if let Some(rtx) = &mut self.rtx {
            words.keep(&mut rtx.next_out, Name::new(What::NextRtxOut, consumer.0, 0));
        }
    }

    /// SSRC of the retransmission stream, if there is one.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.rtx.as_ref().map(|rtx| rtx.ssrc)
    }

    /// Packets repeated so far.
    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// A packet was repeated, on the retransmission stream if `rtx`.
    pub(super) fn count(&mut self, rtx: bool) {
        self.packets += 1;
        if let Some(stream) = self.rtx.as_mut().filter(|_| rtx) {
            stream.next_out.set(stream.next_out.get() + 1);
        }
    }

    /// SSRC, payload type and index of the next retransmission of a packet, if its payload type has any.
    pub(super) fn next_rtx(&self, media: u8) -> Option<(u32, u8, u64)> {
        let rtx = self.rtx.as_ref()?;
        let (_, payload_type) = *rtx.payload_types.iter().find(|(from, _)| *from == media)?;
        Some((rtx.ssrc, payload_type, rtx.next_out.get()))
    }

    /// SSRC, payload type and index of the next packet of the stream, whatever is repeated there.
    pub(super) fn next_any(&self) -> Option<(u32, u8, u64)> {
        let rtx = self.rtx.as_ref()?;
        let (_, payload_type) = *rtx.payload_types.first()?;
        Some((rtx.ssrc, payload_type, rtx.next_out.get()))
    }

    /// A packet of padding was sent.
    pub(super) fn count_padding(&mut self) {
        if let Some(stream) = &mut self.rtx {
            stream.next_out.set(stream.next_out.get() + 1);
        }
    }

    /// Whether packet `out` may be repeated now, and if so records it: once per round trip, ten times in all, within
    /// the allowance of bytes. Of the `sent_bytes` that have left so far, a quarter may be repeated.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        sent_bytes: u64,
        (out, bytes): (u64, u64),
    ) -> bool {
        let round_trip = round_trip.unwrap_or(DEFAULT_ROUND_TRIP);
        let recent = self.recent.get_or_insert_with(|| Box::new([Retransmitted::default(); RETRANSMIT_MEMORY]));
        let position = (out % RETRANSMIT_MEMORY as u64) as usize;
        let Some(entry) = recent.get_mut(position) else { return false };
        if entry.times == 0 || entry.out != out {
            *entry = Retransmitted { out, at: now, times: 0 };
        } else if entry.times >= MAX_RETRANSMITS || now.since(entry.at) < round_trip {
            return false;
        }
        let earned = (sent_bytes - self.sent_bytes) / 4;
        self.sent_bytes = sent_bytes;
        self.allowance_bytes = ALLOWANCE_BYTES.min(self.allowance_bytes + earned);
        let Some(allowance) = self.allowance_bytes.checked_sub(bytes) else { return false };
        self.allowance_bytes = allowance;
        entry.at = now;
        entry.times += 1;
        true
    }
}
