//! VP8: RFC 7741.

use super::Frame;

/// What the payload descriptor says (RFC 7741 section 4.2). A key frame starts in the first packet (S) of the first
/// partition (PID 0) of a frame whose header has P clear (section 4.3).
pub(super) fn frame(payload: &[u8]) -> Option<Frame> {
    let (&descriptor, rest) = payload.split_first()?;
    let begins = descriptor & 0x17 == 0x10;
    let (temporal, enters) = layer(payload);
    let frame = Frame::of_layers(0, temporal)
        .begins(begins)
        .enters(enters)
        .discardable(descriptor & 0x20 != 0)
        .numbered(places(payload) != (None, None))
        .counts_pictures();
    Some(frame.key(begins && behind_descriptor(descriptor, rest)?.first()? & 0x01 == 0))
}

/// Temporal layer (TID), and whether its frame needs the lowest layer only (Y).
fn layer(payload: &[u8]) -> (u8, bool) {
    let &[descriptor, present, ..] = payload else { return (0, false) };
    if descriptor & 0x80 == 0 || present & 0x20 == 0 {
        return (0, false);
    }
    let tl0_len = usize::from(present & 0x40 != 0);
    let byte = payload.get(2 + picture_len(payload, present) + tl0_len).copied().unwrap_or_default();
    (byte >> 6, byte & 0x20 != 0)
}

/// Width and height that a key frame's header tells (RFC 6386 section 9.1).
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let (&descriptor, rest) = payload.split_first()?;
    // Behind the frame tag, the start code and then 14 bits of each with 2 bits of scaling.
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = behind_descriptor(descriptor, rest)?.first_chunk()? else {
        return None;
    };
    let side = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
    Some((side(w0, w1), side(h0, h1)))
}

/// Where PictureID and TL0PICIDX are.
pub(super) fn places(payload: &[u8]) -> (Option<usize>, Option<usize>) {
    let &[descriptor, present, ..] = payload else { return (None, None) };
    if descriptor & 0x80 == 0 {
        return (None, None);
    }
    let picture_at = (present & 0x80 != 0).then_some(2);
    (picture_at, (present & 0x40 != 0).then_some(2 + picture_len(payload, present)))
}

/// Length of the PictureID, of 15 bits if M is set.
fn picture_len(payload: &[u8], present: u8) -> usize {
    match present & 0x80 {
        0 => 0,
        _ => 1 + usize::from(payload.get(2).is_some_and(|id| id & 0x80 != 0)),
    }
}

/// What is behind the payload descriptor.
fn behind_descriptor(descriptor: u8, rest: &[u8]) -> Option<&[u8]> {
    if descriptor & 0x80 == 0 { Some(rest) } else { skip_extension(rest) }
}

/// Passes over the fields that the X bit announces.
fn skip_extension(bytes: &[u8]) -> Option<&[u8]> {
    let (&present, mut rest) = bytes.split_first()?;
    if present & 0x80 != 0 {
        // PictureID, of 15 bits if M is set.
        let id_len = if rest.first()? & 0x80 == 0 { 1 } else { 2 };
        rest = rest.get(id_len..)?;
    }
    // TL0PICIDX, then one byte for TID, Y and KEYIDX if either T or K is set.
    let tail_len = usize::from(present & 0x40 != 0) + usize::from(present & 0x30 != 0);
    rest.get(tail_len..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts_key_frame(payload: &[u8]) -> Option<bool> {
        frame(payload).map(Frame::is_key)
    }

    #[test]
    fn layers_and_their_switching_points() {
        let read = |payload: &[u8]| {
            let frame = frame(payload).expect("not cut off");
            (
                frame.temporal(),
                frame.is_first(),
                frame.is_discardable(),
                frame.entered_temporal(0, 2),
                frame.is_numbered(),
            )
        };
        assert_eq!(read(&[0x90, 0xe0, 0x92, 0x34, 7, 0x60, 1]), (1, true, false, Some(1), true), "TID 1 with Y");
        assert_eq!(read(&[0x90, 0xe0, 0x12, 7, 0x40, 1]), (1, true, false, None, true), "without Y, short PictureID");
        assert_eq!(read(&[0xb0, 0x20, 0x80, 1]), (2, true, true, None, false), "TID alone, N: not needed by others");
        assert_eq!(read(&[0x80, 0xe0, 0x92, 0x34, 7, 0x60, 1]), (1, false, false, None, true), "a later packet");
        assert_eq!(read(&[0x90, 0x10, 0xff, 1]), (0, true, false, None, false), "KEYIDX without TID");
        assert_eq!(read(&[0x90, 0xa0, 0x81, 0x02, 0xc0, 1]), (3, true, false, None, true), "no TL0PICIDX");
    }

    #[test]
    fn bare_descriptor() {
        assert_eq!(starts_key_frame(&[0x10, 0x50, 0xb1]), Some(true));
        assert_eq!(starts_key_frame(&[0x10, 0x51, 0xb1]), Some(false), "P set: an inter frame");
        assert_eq!(starts_key_frame(&[0x00, 0x50]), Some(false), "S clear: not the start of a partition");
        assert_eq!(starts_key_frame(&[0x11, 0x50]), Some(false), "second partition");
        assert_eq!(starts_key_frame(&[0x30, 0x50]), Some(true), "N does not matter");
    }

    /// The examples of RFC 7741 section 4.5, descriptor by descriptor, with the frame header's first byte appended.
    #[test]
    fn extended_descriptors() {
        assert_eq!(starts_key_frame(&[0x90, 0x80, 0x11, 0x50]), Some(true), "7-bit PictureID");
        assert_eq!(starts_key_frame(&[0x90, 0x80, 0x92, 0x34, 0x50]), Some(true), "15-bit PictureID");
        assert_eq!(starts_key_frame(&[0x90, 0x40, 0x01, 0x50]), Some(true), "TL0PICIDX");
        assert_eq!(starts_key_frame(&[0x90, 0x20, 0x01, 0x50]), Some(true), "TID");
        assert_eq!(starts_key_frame(&[0x90, 0x10, 0x01, 0x50]), Some(true), "KEYIDX");
        assert_eq!(starts_key_frame(&[0x90, 0xf0, 0x92, 0x34, 0x01, 0x01, 0x50]), Some(true), "all");
        assert_eq!(starts_key_frame(&[0x90, 0xf0, 0x92, 0x34, 0x01, 0x01, 0x51]), Some(false), "all, inter frame");
    }

    #[test]
    fn a_key_frame_tells_its_size() {
        let payload = [0x90, 0x80, 0x11, 0x50, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41, 0];
        assert_eq!(picture_size(&payload), Some((640, 360)), "without the bits of scaling");
        assert_eq!(picture_size(&payload[..12]), None);
        assert_eq!(picture_size(&[0x10, 0x50, 0, 0, 0x9d, 0x01, 0x2b, 0x80, 0x02, 0x68, 0x01]), None, "no start code");
    }

    #[test]
    fn cut_off_anywhere_is_no_key_frame() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x01, 0x01, 0x50];
        for len in 0..payload.len() {
            assert_eq!(starts_key_frame(&payload[..len]), None, "{len} bytes");
        }
    }
}
