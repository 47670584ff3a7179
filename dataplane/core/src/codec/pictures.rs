//! The numbers of pictures in the payload descriptors of VP8 and VP9: read and written where they stand.

use super::{Frame, vp8, vp9};

/// The numbers of a picture (RFC 7741 section 4.2, RFC 9628 section 4.2), as far as they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PictureIds {
    /// Picture ID, of 7 or 15 bits.
    pub(crate) picture: Option<u16>,
    /// TL0PICIDX: which picture of the lowest temporal layer.
    pub(crate) tl0: Option<u8>,
}

impl Frame {
    /// The numbers of the packet's picture, if a rewrite changes them.
    pub(crate) fn picture_ids(self, payload: &[u8]) -> PictureIds {
        let (picture_at, tl0_at) = self.places(payload);
        let picture = picture_at.and_then(|at| match *payload.get(at..)? {
            [high, low, ..] if high & 0x80 != 0 => Some(u16::from_be_bytes([high & 0x7f, low])),
            [short, ..] if short & 0x80 == 0 => Some(u16::from(short)),
            _ => None,
        });
        PictureIds { picture, tl0: tl0_at.and_then(|at| payload.get(at).copied()) }
    }

    /// Gives the packet's picture other numbers, each in as many bits as it has.
    pub(super) fn set_picture_ids(self, payload: &mut [u8], ids: PictureIds) {
        let (picture_at, tl0_at) = self.places(payload);
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

    /// Where picture ID and TL0PICIDX are.
    fn places(self, payload: &[u8]) -> (Option<usize>, Option<usize>) {
        match (self.is_numbered(), self.has_counted_pictures()) {
            (false, _) => (None, None),
            (true, true) => vp8::places(payload),
            (true, false) => vp9::places(payload),
        }
    }
}
