//! Feedback: NACK, PLI (RFC 4585), FIR (RFC 5104) and REMB (draft-alvestrand-rmcat-remb-03).

use std::slice;

use super::ccfb::Ccfb;
use super::transport_cc::TransportCc;
use super::{Packet, entries, feedback_format, packet_type, take_u32};

/// SSRCs of a packet, in order.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a>(slice::Iter<'a, [u8; 4]>);

impl<'a> Ssrcs<'a> {
    pub(super) fn new(ssrcs: &'a [[u8; 4]]) -> Self {
        Self(ssrcs.iter())
    }
}

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|ssrc| u32::from_be_bytes(*ssrc))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Ssrcs<'_> {}

/// A generic NACK (RFC 4585 section 6.2.1).
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// Who misses packets.
    pub sender_ssrc: u32,
    /// Whose.
    pub media_ssrc: u32,
    entries: &'a [[u8; 4]],
}

impl<'a> Nack<'a> {
    /// Sequence numbers of what is missing, in the order of the packet: each entry's PID, then its bits. Nothing keeps
    /// a sender from naming one twice, or all 65,536.
    pub fn lost(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.entries.iter().flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let following = u16::from_be_bytes([b0, b1]);
            let bits = (0..16u16).filter(move |bit| following >> bit & 1 == 1);
            std::iter::once(first).chain(bits.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// The commands of a FIR: for each source, the command's number.
#[derive(Clone, Debug)]
pub struct FirEntries<'a>(slice::Iter<'a, [u8; 8]>);

impl Iterator for FirEntries<'_> {
    /// SSRC and sequence number; a repeated number repeats the command (RFC 5104 section 4.3.1.1).
    type Item = (u32, u8);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|&[a, b, c, d, number, ..]| (u32::from_be_bytes([a, b, c, d]), number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for FirEntries<'_> {}

pub(super) fn read_transport_feedback(format: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (sender_ssrc, rest) = take_u32(body)?;
    // The only one that is about several sources.
    if format == feedback_format::CCFB {
        return Ccfb::read(sender_ssrc, rest).map(Packet::Ccfb);
    }
    let (media_ssrc, fci) = take_u32(rest)?;
    match format {
        feedback_format::NACK => {
            let entries = entries(fci).filter(|entries| !entries.is_empty())?;
            Some(Packet::Nack(Nack { sender_ssrc, media_ssrc, entries }))
        }
        feedback_format::TRANSPORT_CC => TransportCc::read(sender_ssrc, media_ssrc, fci).map(Packet::TransportCc),
        _ => Some(Packet::Other { packet_type: packet_type::TRANSPORT_FEEDBACK }),
    }
}

pub(super) fn read_payload_feedback(format: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (sender_ssrc, rest) = take_u32(body)?;
    let (media_ssrc, fci) = take_u32(rest)?;
    match format {
        feedback_format::PLI => fci.is_empty().then_some(Packet::Pli { sender_ssrc, media_ssrc }),
        feedback_format::FIR => {
            let entries = entries(fci).filter(|entries| !entries.is_empty())?;
            Some(Packet::Fir { sender_ssrc, entries: FirEntries(entries.iter()) })
        }
        feedback_format::APPLICATION => match fci {
            [b'R', b'E', b'M', b'B', rest @ ..] => read_remb(sender_ssrc, rest),
            _ => Some(Packet::Other { packet_type: packet_type::PAYLOAD_FEEDBACK }),
        },
        _ => Some(Packet::Other { packet_type: packet_type::PAYLOAD_FEEDBACK }),
    }
}

/// Reads what follows the identifier: a count of SSRCs, exponent and mantissa in 6 and 18 bits, the SSRCs.
fn read_remb(sender_ssrc: u32, bytes: &[u8]) -> Option<Packet<'_>> {
    let (word, ssrcs) = take_u32(bytes)?;
    let ssrcs = entries(ssrcs).filter(|ssrcs| ssrcs.len() == (word >> 24) as usize)?;
    let exponent = word >> 18 & 0x3f;
    let mantissa = u64::from(word & 0x3_ffff);
    let overflows = mantissa != 0 && exponent > mantissa.leading_zeros();
    let bitrate_bps = if overflows { u64::MAX } else { mantissa << exponent };
    Some(Packet::Remb { sender_ssrc, bitrate_bps, ssrcs: Ssrcs::new(ssrcs) })
}
