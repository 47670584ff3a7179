//! AV1: the Alliance for Open Media's "RTP Payload Format For AV1", section 4.

/// OBU type of a sequence header (AV1 bitstream specification section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// A key frame starts where a coded video sequence does: the aggregation header says so (N), and its first temporal
/// unit has a sequence header, which is looked for too, since not every sender sets N.
pub(super) fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (&aggregation, mut rest) = payload.split_first()?;
    // Z: the first element continues one of the packet before. With N it must be clear.
    let continues = aggregation & 0x80 != 0;
    if aggregation & 0x08 != 0 && !continues {
        return Some(!rest.is_empty());
    }
    // W counts elements, of which the last has no length; 0 says that each has one.
    let count = aggregation >> 4 & 0x03;
    let mut index = 0u8;
    while !rest.is_empty() {
        index = index.saturating_add(1);
        let element;
        (element, rest) = if count != 0 && index >= count { (rest, &[][..]) } else { split_element(rest)? };
        let is_start = index > 1 || !continues;
        if is_start && element.first().is_some_and(|header| header >> 3 & 0x0f == SEQUENCE_HEADER) {
            return Some(true);
        }
    }
    Some(false)
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
    use super::{split_element, starts_key_frame};

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
