//! VP8: RFC 7741.

/// A key frame starts in the first packet (S) of the first partition (PID 0) of a frame whose header has P clear
/// (RFC 7741 sections 4.2 and 4.3).
pub(super) fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (&descriptor, rest) = payload.split_first()?;
    if descriptor & 0x17 != 0x10 {
        return Some(false);
    }
    Some(frame(descriptor, rest)?.first()? & 0x01 == 0)
}

/// Width and height that a key frame's header tells (RFC 6386 section 9.1).
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let (&descriptor, rest) = payload.split_first()?;
    // Behind the frame tag, the start code and then 14 bits of each with 2 bits of scaling.
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = frame(descriptor, rest)?.first_chunk()? else { return None };
    let side = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
    Some((side(w0, w1), side(h0, h1)))
}

/// The numbers of a picture in the payload descriptor (RFC 7741 section 4.2), as far as they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PictureIds {
    /// PictureID, of 7 or 15 bits.
    pub(crate) picture: Option<u16>,
    /// TL0PICIDX: which base layer picture.
    pub(crate) tl0: Option<u8>,
}

/// What is added to a packet's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PictureShift {
    picture: u16,
    tl0: u8,
}

impl PictureShift {
    /// Nothing.
    pub(crate) const NONE: Self = Self { picture: 0, tl0: 0 };

    /// What makes `first` the numbers after `last`.
    pub(crate) fn behind(last: PictureIds, first: PictureIds) -> Self {
        let picture = last.picture.zip(first.picture).map(|(last, first)| last.wrapping_add(1).wrapping_sub(first));
        let tl0 = last.tl0.zip(first.tl0).map(|(last, first)| last.wrapping_add(1).wrapping_sub(first));
        Self { picture: picture.unwrap_or_default(), tl0: tl0.unwrap_or_default() }
    }

    /// Takes it back.
    pub(crate) const fn inverse(self) -> Self {
        Self { picture: self.picture.wrapping_neg(), tl0: self.tl0.wrapping_neg() }
    }

    /// Numbers that are as much further on.
    pub(crate) fn of(self, ids: PictureIds) -> PictureIds {
        PictureIds {
            picture: ids.picture.map(|picture| picture.wrapping_add(self.picture)),
            tl0: ids.tl0.map(|tl0| tl0.wrapping_add(self.tl0)),
        }
    }
}

/// The numbers of a packet's picture.
pub(crate) fn picture_ids(payload: &[u8]) -> PictureIds {
    let (picture_at, tl0_at) = places(payload);
    let picture = picture_at.and_then(|at| match *payload.get(at..)? {
        [high, low, ..] if high & 0x80 != 0 => Some(u16::from_be_bytes([high & 0x7f, low])),
        [short, ..] if short & 0x80 == 0 => Some(u16::from(short)),
        _ => None,
    });
    PictureIds { picture, tl0: tl0_at.and_then(|at| payload.get(at).copied()) }
}

/// Adds to a packet's numbers, each in as many bits as it has.
pub(crate) fn shift_picture_ids(payload: &mut [u8], shift: PictureShift) {
    let ids = shift.of(picture_ids(payload));
    let (picture_at, tl0_at) = places(payload);
    if let Some((at, [high, low])) = picture_at.zip(ids.picture.map(u16::to_be_bytes)) {
        match payload.get_mut(at..).unwrap_or_default() {
            [first, second, ..] if *first & 0x80 != 0 => (*first, *second) = (high | 0x80, low),
            [short, ..] => *short = low & 0x7f,
            [] => {}
        }
    }
    if let Some((place, tl0)) = tl0_at.and_then(|at| payload.get_mut(at)).zip(ids.tl0) {
        *place = tl0;
    }
}

/// Where PictureID and TL0PICIDX are.
fn places(payload: &[u8]) -> (Option<usize>, Option<usize>) {
    let &[descriptor, present, ..] = payload else { return (None, None) };
    if descriptor & 0x80 == 0 {
        return (None, None);
    }
    let picture_at = (present & 0x80 != 0).then_some(2);
    let picture_len = picture_at.map_or(0, |at| if payload.get(at).is_some_and(|id| id & 0x80 != 0) { 2 } else { 1 });
    (picture_at, (present & 0x40 != 0).then_some(2 + picture_len))
}

/// What is behind the payload descriptor.
fn frame(descriptor: u8, rest: &[u8]) -> Option<&[u8]> {
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
    fn numbers_go_on_in_as_many_bits_as_they_have() {
        let ids = |picture, tl0| PictureIds { picture, tl0 };
        let shift = |last, first| PictureShift::behind(last, first);
        for (payload, before, last, after) in [
            (
                &[0x90, 0xe0, 0xff, 0xff, 0x07, 0x20][..],
                ids(Some(0x7fff), Some(7)),
                (Some(3), Some(255)),
                [0x80, 0x04, 0x00],
            ),
            (
                &[0x90, 0xe0, 0x80, 0x05, 0xff, 0x20],
                ids(Some(5), Some(255)),
                (Some(0x7fff), Some(9)),
                [0x80, 0x00, 0x0a],
            ),
            (
                &[0x90, 0xe0, 0x7f, 0x07, 0x20, 0x01],
                ids(Some(127), Some(7)),
                (Some(0x105), Some(1)),
                [0x06, 0x02, 0x20],
            ),
            (&[0x90, 0x80, 0x80, 0x09, 0x55, 0x01], ids(Some(9), None), (Some(9), Some(1)), [0x80, 0x0a, 0x55]),
            (&[0x90, 0x40, 0x08, 0x55, 0x55, 0x01], ids(None, Some(8)), (Some(1), Some(8)), [0x09, 0x55, 0x55]),
            (&[0x90, 0x20, 0x08, 0x55, 0x55, 0x01], ids(None, None), (Some(1), Some(8)), [0x08, 0x55, 0x55]),
            (&[0x10, 0xe0, 0x08, 0x55, 0x55, 0x01], ids(None, None), (Some(1), Some(8)), [0x08, 0x55, 0x55]),
        ] {
            assert_eq!(picture_ids(payload), before);
            let mut bytes = payload.to_vec();
            let by = shift(ids(last.0, last.1), before);
            shift_picture_ids(&mut bytes, by);
            assert_eq!((&bytes[..2], &bytes[2..5]), (&payload[..2], &after[..]), "{payload:x?}");
            shift_picture_ids(&mut bytes, by.inverse());
            assert_eq!(bytes, payload, "back again");
            for len in 0..payload.len() {
                let mut short = payload[..len].to_vec();
                shift_picture_ids(&mut short, by);
                shift_picture_ids(&mut short, by.inverse());
                assert_eq!(short, payload[..len]);
            }
        }
    }

    #[test]
    fn cut_off_anywhere_is_no_key_frame() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x01, 0x01, 0x50];
        for len in 0..payload.len() {
            assert_eq!(starts_key_frame(&payload[..len]), None, "{len} bytes");
        }
    }
}
