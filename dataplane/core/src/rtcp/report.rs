//! Sender and receiver reports, source description and goodbye: RFC 3550 sections 6.4 to 6.6.

use std::slice;

use super::feedback::Ssrcs;
use super::{Packet, entries, take_u32, take_u64};

/// Bytes of a report block.
pub(super) const REPORT_BLOCK_BYTES: usize = 24;

/// Reception of one source, as a receiver sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start, -2^23 to 2^23 - 1: duplicates make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the number of its wraparounds in the upper 16 bits.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the media clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP timestamp of the last sender report; 0 if there was none.
    pub last_sr: u32,
    /// Time since that report came in, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn read(block: &[u8; REPORT_BLOCK_BYTES]) -> Self {
        let (words, _) = block.as_chunks::<4>();
        let word = |n: usize| words.get(n).map_or(0, |word| u32::from_be_bytes(*word));
        Self {
            ssrc: word(0),
            fraction_lost: (word(1) >> 24) as u8,
            // The sign is bit 23: up to the top and arithmetically down again.
            cumulative_lost: ((word(1) << 8) as i32) >> 8,
            highest_sequence: word(2),
            jitter: word(3),
            last_sr: word(4),
            delay_since_last_sr: word(5),
        }
    }

    pub(super) fn to_bytes(self) -> [[u8; 4]; REPORT_BLOCK_BYTES / 4] {
        // RFC 3550 appendix A.3 clamps at both ends of 24 bits.
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        [
            self.ssrc,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ]
        .map(u32::to_be_bytes)
    }
}

/// The report blocks of an SR or RR, at most 31.
#[derive(Clone, Debug, Default)]
pub struct ReportBlocks<'a>(slice::Iter<'a, [u8; REPORT_BLOCK_BYTES]>);

impl<'a> ReportBlocks<'a> {
    /// The first `count` blocks of `bytes`. Profile-specific extensions may follow them (RFC 3550 section 6.4.3).
    fn read(count: u8, bytes: &'a [u8]) -> Option<Self> {
        let (blocks, _) = bytes.as_chunks::<REPORT_BLOCK_BYTES>();
        blocks.get(..usize::from(count)).map(|blocks| Self(blocks.iter()))
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(ReportBlock::read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for ReportBlocks<'_> {}

pub(super) fn read_sender_report(count: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (ssrc, rest) = take_u32(body)?;
    let (ntp, rest) = take_u64(rest)?;
    let (rtp_timestamp, rest) = take_u32(rest)?;
    let (packet_count, rest) = take_u32(rest)?;
    let (octet_count, rest) = take_u32(rest)?;
    let reports = ReportBlocks::read(count, rest)?;
    Some(Packet::SenderReport { ssrc, ntp, rtp_timestamp, packet_count, octet_count, reports })
}

pub(super) fn read_receiver_report(count: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (ssrc, rest) = take_u32(body)?;
    Some(Packet::ReceiverReport { ssrc, reports: ReportBlocks::read(count, rest)? })
}

pub(super) fn read_bye(count: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (ssrcs, rest) = body.split_at_checked(4 * usize::from(count))?;
    let reason = match rest {
        [] => rest,
        [len, rest @ ..] => rest.get(..usize::from(*len))?,
    };
    Some(Packet::Bye { ssrcs: Ssrcs::new(entries(ssrcs)?), reason })
}

/// Source descriptions: an iterator over chunks, one per source, at most 31.
#[derive(Clone, Copy, Debug)]
pub struct Sdes<'a> {
    chunks: u8,
    rest: &'a [u8],
}

impl<'a> Sdes<'a> {
    /// Verifies every chunk. What follows the last one counted is not looked at.
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let sdes = Self { chunks: count, rest: body };
        (sdes.count() == usize::from(count)).then_some(sdes)
    }
}

impl<'a> Iterator for Sdes<'a> {
    type Item = SdesChunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks = self.chunks.checked_sub(1)?;
        let (ssrc, rest) = take_u32(self.rest)?;
        let mut items = SdesItems { rest };
        while items.next().is_some() {}
        // A chunk ends in one to four zero bytes, on a word boundary (RFC 3550 section 6.5). Some senders leave them
        // out behind the last one if its items end on a word.
        if self.chunks == 0 && items.rest.is_empty() && !rest.is_empty() {
            self.rest = items.rest;
            return Some(SdesChunk { ssrc, items: SdesItems { rest } });
        }
        let [0, ..] = items.rest else { return None };
        let items_len = rest.len() - items.rest.len();
        let (_, after) = rest.split_at_checked((items_len + 1).next_multiple_of(4))?;
        self.rest = after;
        Some(SdesChunk { ssrc, items: SdesItems { rest } })
    }
}

/// What one source says about itself.
#[derive(Clone, Copy, Debug)]
pub struct SdesChunk<'a> {
    /// The source.
    pub ssrc: u32,
    /// Its items.
    pub items: SdesItems<'a>,
}

/// The items of a chunk, in order.
#[derive(Clone, Copy, Debug)]
pub struct SdesItems<'a> {
    /// From the next item on; reaches beyond the chunk, which ends where an item's type is 0.
    rest: &'a [u8],
}

impl<'a> Iterator for SdesItems<'a> {
    type Item = SdesItem<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let [kind @ 1..=255, len, rest @ ..] = self.rest else { return None };
        let (text, rest) = rest.split_at_checked(usize::from(*len))?;
        self.rest = rest;
        Some(SdesItem { kind: *kind, text })
    }
}

/// One item of a source description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesItem<'a> {
    /// What it is: 1 for CNAME (RFC 3550 section 12.2).
    pub kind: u8,
    /// UTF-8 that nobody has checked, at most 255 bytes.
    pub text: &'a [u8],
}

impl SdesItem<'_> {
    /// [`SdesItem::kind`] of a canonical name (RFC 3550 section 6.5.1).
    pub const CNAME: u8 = 1;
}
