//! Extended reports (RFC 3611): receiver reference time (section 4.4) and DLRR (section 4.5), with which a receiver
//! that sends nothing measures its round trip. Other blocks are passed over.

use std::slice;

use super::{entries, take_u32, take_u64};

/// Block types (RFC 3611 section 4).
pub(super) const RECEIVER_REFERENCE_TIME: u8 = 4;
pub(super) const DLRR: u8 = 5;

/// An extended report.
#[derive(Clone, Copy, Debug)]
pub struct Xr<'a> {
    /// Who reports.
    pub sender_ssrc: u32,
    blocks: &'a [u8],
}

impl<'a> Xr<'a> {
    /// Verifies every block.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, blocks) = take_u32(body)?;
        let xr = Self { sender_ssrc, blocks };
        let mut walk = xr.blocks();
        while walk.next().is_some() {}
        walk.rest.is_empty().then_some(xr)
    }

    /// Its blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> XrBlocks<'a> {
        XrBlocks { rest: self.blocks }
    }
}

/// The blocks of an [`Xr`].
#[derive(Clone, Copy, Debug)]
pub struct XrBlocks<'a> {
    rest: &'a [u8],
}

/// One block of an extended report.
#[derive(Clone, Debug)]
pub enum XrBlock<'a> {
    /// The reporter's clock (RFC 3611 section 4.4).
    ReceiverReferenceTime {
        /// NTP seconds in the upper, fraction in the lower 32 bits.
        ntp: u64,
    },
    /// Answers to receiver reference times (RFC 3611 section 4.5).
    Dlrr(DlrrBlocks<'a>),
    /// Any other block, its contents not looked at.
    Other {
        /// As in the block.
        block_type: u8,
    },
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = XrBlock<'a>;

    /// None at the end, and at a malformed block, which then stays in `rest`.
    fn next(&mut self) -> Option<Self::Item> {
        let (&[block_type, _, high, low], rest) = self.rest.split_first_chunk()?;
        let (contents, rest) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([high, low])))?;
        let block = match block_type {
            RECEIVER_REFERENCE_TIME => {
                let (ntp, after) = take_u64(contents)?;
                after.is_empty().then_some(XrBlock::ReceiverReferenceTime { ntp })?
            }
            DLRR => XrBlock::Dlrr(DlrrBlocks(entries(contents)?.iter())),
            _ => XrBlock::Other { block_type },
        };
        self.rest = rest;
        Some(block)
    }
}

/// One answer to a receiver reference time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DlrrBlock {
    /// Who is answered.
    pub ssrc: u32,
    /// The middle 32 bits of its last reference time; 0 if there was none.
    pub last_rr: u32,
    /// Time since that came in, in 1/65,536 s.
    pub delay_since_last_rr: u32,
}

/// The answers of a DLRR block, in order.
#[derive(Clone, Debug)]
pub struct DlrrBlocks<'a>(slice::Iter<'a, [u8; 12]>);

impl Iterator for DlrrBlocks<'_> {
    type Item = DlrrBlock;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|&[s0, s1, s2, s3, l0, l1, l2, l3, d0, d1, d2, d3]| DlrrBlock {
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            last_rr: u32::from_be_bytes([l0, l1, l2, l3]),
            delay_since_last_rr: u32::from_be_bytes([d0, d1, d2, d3]),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for DlrrBlocks<'_> {}
