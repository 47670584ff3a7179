//! What a consumer changes in the payloads of its stream.
//!
//! VP8 numbers its pictures: PictureID counts all, TL0PICIDX those of the lowest temporal layer (RFC 7741 section 4.2).
//! Receivers (libwebrtc's for one) drop for seconds what seems to be older than what they had, and hold back what
//! follows a hole. So the numbers go on across a switch of streams, and without holes where pictures are withheld.

use corecast_wire::Codec;

use super::Frame;
use super::vp8::{PictureIds, picture_ids, set_picture_ids};

/// What a consumer's receiver needs changed. Chosen once, when the consumer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Payloads leave as they came.
    Nothing,
    /// VP8's pictures get numbers of the consumer's.
    PictureNumbers,
}

impl Rewrite {
    /// What media of these codecs needs.
    pub(crate) fn of(mut codecs: impl Iterator<Item = Codec>) -> Self {
        if codecs.any(|codec| codec == Codec::Vp8) { Self::PictureNumbers } else { Self::Nothing }
    }

    /// What makes a stream that begins with the numbers `first` go on behind `last`, of what was sent before.
    pub(crate) fn behind(self, last: PictureIds, first: PictureIds) -> Change {
        match self {
            Self::Nothing => Change::NONE,
            Self::PictureNumbers => Change::behind(last, first),
        }
    }
}

/// What is added to the numbers of a packet's picture: to PictureID in the lower 16 bits, to TL0PICIDX in the 8 above.
/// One word, since every packet of every consumer has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change(u32);

impl Change {
    /// The payload stays as it is.
    pub(crate) const NONE: Self = Self::new(0, 0);

    const fn new(picture: u16, tl0: u8) -> Self {
        Self((tl0 as u32) << 16 | picture as u32)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
    const fn picture(self) -> u16 {
        self.0 as u16
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
    const fn tl0(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// What makes `first` the numbers after `last`.
    fn behind(last: PictureIds, first: PictureIds) -> Self {
        let picture = last.picture.zip(first.picture).map(|(last, first)| last.wrapping_add(1).wrapping_sub(first));
        let tl0 = last.tl0.zip(first.tl0).map(|(last, first)| last.wrapping_add(1).wrapping_sub(first));
        Self::new(picture.unwrap_or_default(), tl0.unwrap_or_default())
    }

    /// The same where so many more pictures have been withheld. None of them is of the lowest temporal layer, the only
    /// one that TL0PICIDX counts.
    pub(crate) const fn after_withheld(self, pictures: u16) -> Self {
        Self::new(self.picture().wrapping_sub(pictures), self.tl0())
    }

    /// The change that this packet's payload needs: none if it has no numbers.
    pub(crate) fn of(self, frame: Frame) -> Self {
        if frame.is_numbered() { self } else { Self::NONE }
    }

    /// Takes it back.
    pub(crate) const fn inverse(self) -> Self {
        Self::new(self.picture().wrapping_neg(), self.tl0().wrapping_neg())
    }

    /// Numbers that are as much further on.
    pub(crate) fn applied_to(self, ids: PictureIds) -> PictureIds {
        PictureIds {
            picture: ids.picture.map(|picture| picture.wrapping_add(self.picture())),
            tl0: ids.tl0.map(|tl0| tl0.wrapping_add(self.tl0())),
        }
    }

    /// Changes a payload that has numbers.
    pub(crate) fn apply(self, payload: &mut [u8]) {
        let ids = self.applied_to(picture_ids(payload));
        set_picture_ids(payload, ids);
    }
}

impl Frame {
    /// The numbers of the packet's picture, if a rewrite changes them.
    pub(crate) fn picture_ids(self, payload: &[u8]) -> PictureIds {
        if self.is_numbered() { picture_ids(payload) } else { PictureIds::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERED: [u8; 7] = [0x90, 0xe0, 0x80, 0x09, 7, 0x20, 1];

    fn numbered() -> Frame {
        super::super::frame(Codec::Vp8, &NUMBERED, None)
    }

    #[test]
    fn only_vp8_is_rewritten() {
        assert_eq!(Rewrite::of([Codec::H264, Codec::Vp8].into_iter()), Rewrite::PictureNumbers);
        assert_eq!(Rewrite::of([Codec::H264, Codec::Other].into_iter()), Rewrite::Nothing);
        let last = PictureIds { picture: Some(500), tl0: Some(50) };
        let first = numbered().picture_ids(&NUMBERED);
        assert_eq!(first, PictureIds { picture: Some(9), tl0: Some(7) });
        assert_eq!(Rewrite::Nothing.behind(last, first), Change::NONE);
        assert_eq!(Frame::default().picture_ids(&NUMBERED), PictureIds::default());
    }

    #[test]
    fn a_change_is_of_packets_that_have_numbers() {
        let last = PictureIds { picture: Some(500), tl0: Some(50) };
        let change = Rewrite::PictureNumbers.behind(last, numbered().picture_ids(&NUMBERED));
        let mut later = [0x90, 0xe0, 0x80, 0x0d, 8, 0x20, 1];
        change.of(numbered()).apply(&mut later);
        assert_eq!(picture_ids(&later), PictureIds { picture: Some(505), tl0: Some(52) });
        assert_eq!(change.of(Frame::default()), Change::NONE);
        change.inverse().apply(&mut later);
        change.after_withheld(3).apply(&mut later);
        assert_eq!(picture_ids(&later), PictureIds { picture: Some(502), tl0: Some(52) }, "three were withheld");
    }

    #[test]
    fn numbers_go_on_in_as_many_bits_as_they_have() {
        let ids = |picture, tl0| PictureIds { picture, tl0 };
        let shift = |last, first| Change::behind(last, first);
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
            by.apply(&mut bytes);
            assert_eq!((&bytes[..2], &bytes[2..5]), (&payload[..2], &after[..]), "{payload:x?}");
            by.inverse().apply(&mut bytes);
            assert_eq!(bytes, payload, "back again");
            for len in 0..payload.len() {
                let mut short = payload[..len].to_vec();
                by.apply(&mut short);
                by.inverse().apply(&mut short);
                assert_eq!(short, payload[..len]);
            }
        }
    }
}
