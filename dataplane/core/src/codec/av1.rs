//! AV1: the Alliance for Open Media's "RTP Payload Format For AV1", section 4.

use super::bits::Bits;

/// OBU type of a sequence header (AV1 bitstream specification section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// A key frame starts where a coded video sequence does: the aggregation header says so (N), and its first temporal
/// unit has a sequence header, which is looked for too, since not every sender sets N.
pub(super) fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (&aggregation, rest) = payload.split_first()?;
    // Z: the first element continues one of the packet before. With N it must be clear.
    if aggregation & 0x88 == 0x08 {
        return Some(!rest.is_empty());
    }
    Some(sequence_header(payload)?.is_some())
}

/// Width and height that a sequence header tells: the most of all frames of the sequence.
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let header = sequence_header(payload)??;
    let (&head, mut rest) = header.split_first()?;
    // The OBU's header (section 5.3.2): an extension, and a length, if the element has one.
    if head & 0x04 != 0 {
        rest = rest.get(1..)?;
    }
    if head & 0x02 != 0 {
        (rest, _) = split_element(rest)?;
    }
    size_in_header(&mut Bits::new(rest))
}

/// sequence_header_obu (section 5.5.1).
fn size_in_header(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    bits.skip(4)?;
    if bits.flag()? {
        bits.skip(5)?;
    } else {
        let mut delay_bits = None;
        if bits.flag()? {
            bits.skip(64)?;
            if bits.flag()? {
                bits.take_exp_golomb()?;
            }
            if bits.flag()? {
                delay_bits = Some(bits.take(5)? + 1);
                bits.skip(42)?;
            }
        }
        let has_delays = bits.flag()?;
        for _ in 0..=bits.take(5)? {
            bits.skip(12)?;
            if bits.take(5)? > 7 {
                bits.skip(1)?;
            }
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.skip(2 * delay_bits + 1)?;
            }
            if has_delays && bits.flag()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    let mut side = |count| u16::try_from(bits.take(count)? + 1).ok();
    Some((side(width_bits)?, side(height_bits)?))
}

/// The sequence header that starts in a packet, if one does. `None` if the packet is malformed.
fn sequence_header(payload: &[u8]) -> Option<Option<&[u8]>> {
    let (&aggregation, mut rest) = payload.split_first()?;
    let continues = aggregation & 0x80 != 0;
    // W counts elements, of which the last has no length; 0 says that each has one.
    let count = aggregation >> 4 & 0x03;
    let mut index = 0u8;
    while !rest.is_empty() {
        index = index.saturating_add(1);
        let element;
        (element, rest) = if count != 0 && index >= count { (rest, &[][..]) } else { split_element(rest)? };
        let is_start = index > 1 || !continues;
        if is_start && element.first().is_some_and(|header| header >> 3 & 0x0f == SEQUENCE_HEADER) {
            return Some(Some(element));
        }
    }
    Some(None)
}

/// Takes an element off the front: its length in LEB128 (AV1 bitstream specification section 4.10.5) and its bytes.
fn split_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0usize;
    // No packet needs more than three bytes of seven bits; the format allows eight, with leading zeros.
    for (position, byte) in bytes.iter().enumerate().take(8) {
        let bits = usize::from(byte & 0x7f);
        len |= if bits == 0 { 0 } else { bits.checked_shl(7 * position as u32).filter(|_| position < 3)? };
        if byte & 0x80 == 0 {
            return bytes.get(position + 1..)?.split_at_checked(len);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::{golomb, written};
    use super::{picture_size, split_element, starts_key_frame};

    #[test]
    fn a_sequence_header_tells_the_size() {
        // As libaom writes it: one operating point, 11 and 10 bits for 1,280x720.
        let simple = [vec![(0, 5), (0, 1), (0, 1), (0, 5), (0, 12), (8, 5), (0, 1)], vec![(10, 4), (9, 4)]];
        let size = [(1_279, 11), (719, 10), (0, 8)];
        let simple = written(&[simple.concat(), size.to_vec()].concat());
        let len = u8::try_from(simple.len()).expect("short");
        assert_eq!(picture_size(&[&[0x18, 0x08][..], &simple].concat()), Some((1_280, 720)), "N, no length");
        assert_eq!(picture_size(&[&[0x18, 0x0a, len][..], &simple].concat()), Some((1_280, 720)), "with a length");
        let element = [&[0x28, len + 2, 0x0c, 0x00][..], &simple, &[0x30, 0x01]].concat();
        assert_eq!(picture_size(&element), Some((1_280, 720)), "with an extension, before a frame");
        assert_eq!(picture_size(&[0x18, 0x30, 0x01]), None, "a frame");
        for len in 0..simple.len() - 1 {
            assert_eq!(picture_size(&[&[0x18, 0x08], &simple[..len]].concat()), None, "{len} bytes");
        }
        let timing = [(0, 5), (1, 1), (1, 32), (60, 32), (1, 1), golomb(1), (1, 1), (9, 5), (0, 32), (0, 10), (1, 1)];
        let points =
            [(1, 5), (0, 12), (4, 5), (1, 1), (0, 21), (1, 1), (3, 4), (0, 12), (9, 5), (0, 1), (0, 1), (0, 1)];
        let whole = [&timing[..], &points, &[(10, 4), (9, 4)], &size].concat();
        assert_eq!(picture_size(&[&[0x18, 0x08][..], &written(&whole)].concat()), Some((1_280, 720)));
        let still = [(0, 3), (1, 1), (1, 1), (0, 5), (5, 4), (4, 4), (39, 6), (19, 5), (0, 8)];
        assert_eq!(picture_size(&[&[0x18, 0x08][..], &written(&still)].concat()), Some((40, 20)));
    }

    #[test]
    fn new_coded_video_sequence() {
        assert_eq!(starts_key_frame(&[0x08, 0x01, 0x30]), Some(true), "N");
        assert_eq!(starts_key_frame(&[0x88, 0x01, 0x30]), Some(false), "N and Z contradict each other");
        assert_eq!(starts_key_frame(&[0x08]), Some(false), "nothing follows");
    }

    #[test]
    fn sequence_header_without_the_bit() {
        assert_eq!(starts_key_frame(&[0x10, 0x08, 0x00]), Some(true), "the only element, no length");
        assert_eq!(starts_key_frame(&[0x20, 0x01, 0x30, 0x08, 0x00]), Some(true), "the last of two");
        assert_eq!(starts_key_frame(&[0x00, 0x02, 0x08, 0x00, 0x01, 0x30]), Some(true), "each with a length");
        assert_eq!(starts_key_frame(&[0x10, 0x30, 0x08]), Some(false), "a frame");
        assert_eq!(starts_key_frame(&[0x90, 0x08, 0x00]), Some(false), "continues another packet's element");
        assert_eq!(starts_key_frame(&[0xa0, 0x01, 0x08, 0x08, 0x00]), Some(true), "after a continued element");
    }

    #[test]
    fn elements_with_impossible_lengths() {
        assert_eq!(starts_key_frame(&[0x00, 0x03, 0x30, 0x00]), None, "runs past the packet");
        assert_eq!(starts_key_frame(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(starts_key_frame(&[0x00, 0x80]), None, "length without an end");
        assert_eq!(starts_key_frame(&[0x00, 0x00, 0x00]), Some(false), "empty elements");
        assert_eq!(split_element(&[0x82, 0x00, 1, 2, 3]), Some((&[1, 2][..], &[3][..])), "padded LEB128");
        assert_eq!(split_element(&[0x80, 0x80, 0x80, 0x01]), None, "two million bytes");
    }
}
