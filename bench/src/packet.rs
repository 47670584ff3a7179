//! The packets that publishers send: RTP (RFC 3550) whose payload begins like a VP8 frame (RFC 7741) and then says
//! who sent it, as which, and when, so that what arrives at a subscriber can be checked byte by byte.

use anyhow::{Context as _, bail, ensure};

/// VP8 descriptor and first bytes of a VP8 frame, then length, publisher, index and send stamp.
const STAMP_AT: usize = 4;
const STAMP_BYTES: usize = 2 + 2 + 8 + 8;
const FILLER_AT: usize = STAMP_AT + STAMP_BYTES;
/// Shortest payload that holds a stamp.
pub const MIN_PAYLOAD: usize = 32;
/// Longest payload that, sealed, fits an Ethernet frame: 1,500 less IP, UDP, RTP and tag.
pub const MAX_PAYLOAD: usize = 1_500 - 40 - 8 - 12 - 16;
/// Fixed part of an RTP header.
pub const HEADER_BYTES: usize = 12;
/// Payload type of the publishers.
pub const PAYLOAD_TYPE: u8 = 96;
/// First SSRC of the publishers.
pub const FIRST_SSRC: u32 = 0x1000_0000;

const FILLER_PERIOD: usize = 256;

/// The bytes after the stamp: they depend on the packet's index, so that no two neighbours are alike.
fn filler(index: u64) -> impl Iterator<Item = u8> {
    let start = index as usize % FILLER_PERIOD;
    (start..).map(|at| (at.wrapping_mul(167) ^ (at >> 8)) as u8)
}

/// A packet that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Payload length, in bytes.
    pub payload_len: usize,
    /// First of its frame.
    pub first: bool,
    /// Last of its frame (the RTP marker).
    pub last: bool,
    /// Part of a key frame.
    pub key: bool,
    /// When its frame was made, in nanoseconds.
    pub frame_ns: u64,
}

/// What a publisher has written into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which publisher.
    pub publisher: u16,
    /// Its how many-th packet, from 0.
    pub index: u64,
    /// When it was sent, in nanoseconds since the run began.
    pub sent_ns: u64,
}

/// Header fields of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Stream.
    pub ssrc: u32,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// RTP clock of the frame.
    pub timestamp: u32,
    /// How loud it is (RFC 6464), in -dBov, if it says so.
    pub level: Option<u8>,
}

/// Id of the header extension that says how loud a packet is.
pub const LEVEL_ID: u8 = 1;

/// Writes one packet at the end of `out`.
pub fn write(header: Header, stamp: Stamp, planned: Planned, out: &mut Vec<u8>) {
    let has_extension = u8::from(header.level.is_some()) << 4;
    out.extend_from_slice(&[0x80 | has_extension, header.payload_type & 0x7f | u8::from(planned.last) << 7]);
    out.extend_from_slice(&header.sequence.to_be_bytes());
    out.extend_from_slice(&header.timestamp.to_be_bytes());
    out.extend_from_slice(&header.ssrc.to_be_bytes());
    if let Some(level) = header.level {
        // RFC 8285 section 4.2: one word, in which an element of one byte stands.
        out.extend_from_slice(&[0xbe, 0xde, 0, 1, LEVEL_ID << 4, level & 0x7f, 0, 0]);
    }
    // S bit: a VP8 partition begins. Then a frame tag whose lowest bit, if 0, says key frame.
    out.extend_from_slice(&[u8::from(planned.first) << 4, 0x10 | u8::from(!planned.key), 0x02, 0x00]);
    out.extend_from_slice(&(planned.payload_len as u16).to_be_bytes());
    out.extend_from_slice(&stamp.publisher.to_be_bytes());
    out.extend_from_slice(&stamp.index.to_be_bytes());
    out.extend_from_slice(&stamp.sent_ns.to_be_bytes());
    out.extend(filler(stamp.index).take(planned.payload_len - FILLER_AT));
}

/// Reads a payload back and compares every byte of it with what was sent.
///
/// # Errors
/// It is not what a publisher writes.
pub fn check(payload: &[u8]) -> anyhow::Result<Stamp> {
    let (len, rest) = payload.get(STAMP_AT..).and_then(<[u8]>::split_first_chunk).context("no stamp")?;
    let (publisher, rest) = rest.split_first_chunk().context("no stamp")?;
    let (index, rest) = rest.split_first_chunk().context("no stamp")?;
    let (sent_ns, rest) = rest.split_first_chunk().context("no stamp")?;
    let stamp = Stamp {
        publisher: u16::from_be_bytes(*publisher),
        index: u64::from_be_bytes(*index),
        sent_ns: u64::from_be_bytes(*sent_ns),
    };
    let sent_len = usize::from(u16::from_be_bytes(*len));
    ensure!(payload.len() == sent_len, "the payload has {} bytes, {sent_len} were sent", payload.len());
    if let Some(at) = rest.iter().zip(filler(stamp.index)).position(|(got, sent)| *got != sent) {
        bail!("byte {} of the payload differs from what was sent", FILLER_AT + at);
    }
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_a_changed_byte_is_noticed() {
        let header = Header { ssrc: 7, payload_type: PAYLOAD_TYPE, sequence: 3, timestamp: 9, level: None };
        let stamp = Stamp { publisher: 2, index: 300, sent_ns: 123_456_789 };
        for payload_len in [MIN_PAYLOAD, 120, MAX_PAYLOAD] {
            let mut packet = Vec::new();
            write(header, stamp, Planned { payload_len, first: true, last: true, key: true, frame_ns: 0 }, &mut packet);
            assert_eq!(packet.len(), HEADER_BYTES + payload_len);
            assert_eq!(check(&packet[HEADER_BYTES..]).expect("intact"), stamp);
            assert!(check(&packet[HEADER_BYTES..packet.len() - 1]).is_err(), "cut short");
            *packet.last_mut().expect("not empty") ^= 1;
            assert!(check(&packet[HEADER_BYTES..]).is_err(), "changed");
        }
    }
}
