//! Congestion control feedback (RFC 8888 section 3.1): for each stream, which of a run of its packets came and when.
//!
//! It names packets by SSRC and sequence number, so that they need no number of their own for it.

use super::{entries, take_u32};

/// Longest run of one stream (RFC 8888 section 3.1).
const MAX_RUN: usize = 16_384;
/// Arrivals that have no time: earlier than can be told, and after the feedback's own time.
const UNTOLD: std::ops::RangeInclusive<u16> = 0x1ffe..=0x1fff;

/// Feedback on packets of some streams.
#[derive(Clone, Copy, Debug)]
pub struct Ccfb<'a> {
    /// Who received.
    pub sender_ssrc: u32,
    /// When it was written, in 1/65,536 s: the middle 32 bits of an NTP time of a clock that nobody knows.
    pub timestamp: u32,
    streams: &'a [u8],
}

/// What feedback says of one stream.
#[derive(Clone, Copy, Debug)]
pub struct CcfbStream<'a> {
    /// Whose packets.
    pub ssrc: u32,
    /// The first that it tells of.
    pub first_sequence: u16,
    reports: &'a [[u8; 2]],
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has not come.
    Missing,
    /// It has.
    Came {
        /// How long before [`Ccfb::timestamp`], in 1/1,024 s; none if that is not told.
        before: Option<u16>,
        /// The ECN bits of its IP header (RFC 3168 section 5): 3 if a router has marked it.
        ecn: u8,
    },
}

impl<'a> Ccfb<'a> {
    /// Verifies that the reports are there for each stream. `body` is what follows the sender's SSRC.
    pub(super) fn read(sender_ssrc: u32, body: &'a [u8]) -> Option<Self> {
        let (streams, timestamp) = body.split_last_chunk()?;
        let mut rest = streams;
        while !rest.is_empty() {
            rest = take_stream(rest)?.1;
        }
        Some(Self { sender_ssrc, timestamp: u32::from_be_bytes(*timestamp), streams })
    }

    /// The streams that it tells of, in the order of the packet. Nothing keeps a sender from naming one twice.
    pub fn streams(&self) -> impl Iterator<Item = CcfbStream<'a>> + use<'a> {
        let mut rest = self.streams;
        std::iter::from_fn(move || {
            let (stream, after) = take_stream(rest)?;
            rest = after;
            Some(stream)
        })
    }
}

impl CcfbStream<'_> {
    /// How many packets it tells of.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.reports.len()
    }

    /// Whether it tells of none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// What became of a packet; none if it is not one of those told of.
    #[must_use]
    pub fn fate(&self, sequence: u16) -> Option<Fate> {
        let report = self.reports.get(usize::from(sequence.wrapping_sub(self.first_sequence)))?;
        let report = u16::from_be_bytes(*report);
        if report & 0x8000 == 0 {
            return Some(Fate::Missing);
        }
        let (ecn, offset) = ((report >> 13 & 3) as u8, report & 0x1fff);
        Some(Fate::Came { before: Some(offset).filter(|offset| !UNTOLD.contains(offset)), ecn })
    }
}

/// The first stream, and what follows it.
fn take_stream(bytes: &[u8]) -> Option<(CcfbStream<'_>, &[u8])> {
    let (ssrc, rest) = take_u32(bytes)?;
    let (&[s0, s1, n0, n1], rest) = rest.split_first_chunk()?;
    let count = usize::from(u16::from_be_bytes([n0, n1]));
    if count > MAX_RUN {
        return None;
    }
    // An odd number of reports is padded to the word.
    let (reports, rest) = rest.split_at_checked(count.next_multiple_of(2) * 2)?;
    let reports = entries(reports)?.get(..count)?;
    Some((CcfbStream { ssrc, first_sequence: u16::from_be_bytes([s0, s1]), reports }, rest))
}
