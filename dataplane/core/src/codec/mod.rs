//! Just enough of each video codec's payload format to say what a packet's [`Frame`] is (where a receiver can begin to
//! decode, which layers it may do without), and to change for one receiver what must differ: `Rewrite`. Owns nothing,
//! decodes nothing; no payload makes it panic.

mod av1;
mod bits;
mod decode_targets;
mod dependency_descriptor;
mod frame;
mod h264;
mod h265;
mod pictures;
pub(crate) mod red;
mod rewrite;
mod vp8;
mod vp9;

use corecast_wire::Codec;

pub(crate) use decode_targets::{Limits, MAX_DESCRIPTOR_BYTES, Place, limited, write as write_note};
pub(crate) use dependency_descriptor::Structure;
pub use frame::Frame;
pub(crate) use pictures::PictureIds;
pub(crate) use rewrite::{Change, Rewrite};

/// What one packet says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) frame: Frame,
    /// Width and height of the key frame that it starts, of its highest spatial layer, where the first packet tells
    /// them.
    pub(crate) picture: Option<(u16, u16)>,
    /// What the dependency descriptors of later packets refer to.
    pub(crate) structure: Option<Box<Structure>>,
    /// Where its own descriptor says which decode targets are active; `None` if it has none that can be read.
    pub(crate) place: Option<Place>,
}

/// What `payload` (of one RTP packet, decrypted, without padding) of `codec` says about its frame. A dependency
/// descriptor, if there is one, says it for AV1, H.264 and H.265, and for VP9 where a key frame starts: the payload may
/// be encrypted from end to end. Codecs without key frames and payloads that are too short say nothing; no payload is
/// [`Frame::EMPTY`].
#[must_use]
pub fn frame(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>) -> Frame {
    read(codec, payload, descriptor, None).frame
}

/// The same for a packet of a stream whose newest structure is `known`.
pub(crate) fn read(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>, known: Option<&Structure>) -> Said {
    if payload.is_empty() {
        return Said { frame: Frame::EMPTY, ..Said::default() };
    }
    let frame = of_payload(codec, payload);
    let is_described = matches!(codec, Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1);
    let mut said = Said { frame, ..Said::default() };
    if let Some(descriptor) = descriptor.filter(|_| is_described) {
        match dependency_descriptor::read(descriptor, known) {
            // A receiver that reads descriptors cannot begin with one that refers to what it does not have.
            None => said.frame = frame.key(frame.is_key() && !dependency_descriptor::refers(descriptor)),
            Some(described) => {
                let is_key = described.frame.is_key();
                said.frame = if codec == Codec::Vp9 { frame.key(is_key) } else { described.frame };
                (said.picture, said.structure) = (described.picture, described.structure);
                said.place = Some(described.place);
            }
        }
    }
    let size = if said.frame.is_key() { said.picture.or_else(|| picture_size(codec, payload)) } else { None };
    said.picture = size.filter(|(width, height)| *width > 0 && *height > 0);
    said
}

fn of_payload(codec: Codec, payload: &[u8]) -> Frame {
    let frame = match codec {
        Codec::Vp8 => vp8::frame(payload),
        Codec::Vp9 => vp9::frame(payload),
        Codec::H264 => h264::starts_key_frame(payload).map(|key| Frame::default().key(key)),
        Codec::H265 => h265::starts_key_frame(payload).map(|key| Frame::default().key(key)),
        Codec::Av1 => av1::starts_key_frame(payload).map(|key| Frame::default().key(key)),
        Codec::Other => Some(Frame::default().discardable(is_opus_silence(payload))),
        Codec::Red | Codec::Rtx { .. } => None,
    };
    frame.unwrap_or_default()
}

/// Whether a payload, if it is of Opus, says that there is no sound: all its frames are empty (RFC 6716 section 3.2).
fn is_opus_silence(payload: &[u8]) -> bool {
    match payload {
        [toc] => toc & 0x03 < 2,
        [toc, _] => toc & 0x03 == 2,
        _ => false,
    }
}

fn picture_size(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    match codec {
        Codec::Vp8 => vp8::picture_size(payload),
        Codec::Vp9 => vp9::picture_size(payload),
        Codec::H264 => h264::picture_size(payload),
        Codec::H265 => h265::picture_size(payload),
        Codec::Av1 => av1::picture_size(payload),
        Codec::Other | Codec::Red | Codec::Rtx { .. } => None,
    }
}

/// A NAL unit without its emulation prevention bytes: the 3 of each 0, 0, 3 (ITU-T H.264 and H.265 section 7.3.1).
fn without_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}

/// The NAL units of an aggregation packet of H.264 or H.265: each behind its length in 16 bits. Ends at one that runs
/// past the packet.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, after) = rest.split_first_chunk()?;
        let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        rest = after;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_key_frame(codec: Codec, payload: &[u8]) -> bool {
        frame(codec, payload, None).is_key()
    }

    const ALL: [Codec; 8] = [
        Codec::Vp8,
        Codec::Vp9,
        Codec::H264,
        Codec::H265,
        Codec::Av1,
        Codec::Other,
        Codec::Red,
        Codec::Rtx { apt: 96 },
    ];

    #[test]
    fn other_codecs_have_no_key_frames() {
        for payload in [&[0x10, 0x00, 0x00][..], &[0x65, 0x88, 0x84], &[0x08, 0x0a]] {
            assert!(!is_key_frame(Codec::Other, payload));
            assert!(!is_key_frame(Codec::Rtx { apt: 96 }, payload));
        }
    }

    #[test]
    fn no_payload_of_up_to_three_bytes_panics_and_an_empty_one_is_no_key_frame() {
        for codec in ALL {
            assert!(!is_key_frame(codec, &[]));
            for bytes in 0..1u32 << 24 {
                // Every first byte with a spread of the others: all 2^24 would take minutes unoptimised.
                if bytes & 0xffff < 0x200 || bytes % 251 == 0 {
                    let [_, payload @ ..] = bytes.to_be_bytes();
                    let _ = is_key_frame(codec, &payload);
                    let _ = is_key_frame(codec, &payload[..2]);
                    let _ = is_key_frame(codec, &payload[..1]);
                }
            }
        }
    }

    #[test]
    fn random_payloads_do_not_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut payload = [0u8; 64];
        for round in 0..200_000usize {
            for chunk in payload.chunks_mut(8) {
                // xorshift64: any bytes will do, as long as they are the same each time.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                chunk.copy_from_slice(&state.to_be_bytes());
            }
            for codec in ALL {
                let _ = is_key_frame(codec, &payload[..round % 65]);
                let _ = picture_size(codec, &payload[..round % 65]);
            }
        }
    }
}
