//! What a consumer changes in the packets of its stream.
//!
//! VP8 and VP9 number their pictures: the picture ID counts all, TL0PICIDX those of the lowest temporal layer (RFC 7741
//! section 4.2, RFC 9628 section 4.2). Receivers (libwebrtc's for one) drop for seconds what seems to be older than
//! what they had. So the numbers go on across a switch of streams. With VP8 they also hold back what follows a hole, so
//! there are none where pictures are withheld; VP9's frames name those that they need by the differences of numbers,
//! which must stay.
//!
//! The last packet of a picture has the marker. Where upper spatial layers are withheld, the last packet of the highest
//! that is not gets it instead. And where layers are withheld, a dependency descriptor says what is left
//! ([`super::limited`]).

use corecast_wire::Codec;

use super::decode_targets::Limits;
use super::{Frame, PictureIds};

/// What a consumer's receiver needs changed. Chosen once, when the consumer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Payloads leave as they came.
    Nothing,
    /// Pictures get numbers of the consumer's.
    PictureNumbers,
}

impl Rewrite {
    /// What media of these codecs needs.
    pub(crate) fn of(mut codecs: impl Iterator<Item = Codec>) -> Self {
        let is_numbered = |codec| matches!(codec, Codec::Vp8 | Codec::Vp9);
        if codecs.any(is_numbered) { Self::PictureNumbers } else { Self::Nothing }
    }

    /// What makes a stream that begins with the numbers `first` go on behind `last`, of what was sent before.
    pub(crate) fn behind(self, last: PictureIds, first: PictureIds) -> Change {
        match self {
            Self::Nothing => Change::NONE,
            Self::PictureNumbers => Change::behind(last, first),
        }
    }
}

/// What is added to the numbers of a packet's picture: to the picture ID in the lower 16 bits, to TL0PICIDX in the 8
/// above. In the highest 8 the layers up to which packets are sent: four bits for one more than the spatial layer,
/// which gets the marker, and four for one more than the temporal layer; 0 for all. One word, since every packet of
/// every consumer has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change(u32);

/// The part of a change that is not about the payload.
const LAYERS: u32 = 0xff << 24;
/// The spatial layer in it.
const SPATIAL: u32 = 0xf0 << 24;
/// No temporal layer is above.
const HIGHEST_TEMPORAL: u8 = 7;

impl Change {
    /// The packet stays as it is.
    pub(crate) const NONE: Self = Self::new(0, 0);

    const fn new(picture: u16, tl0: u8) -> Self {
        Self((tl0 as u32) << 16 | picture as u32)
    }

    /// What it does to the numbers of pictures, in 24 bits.
    pub(crate) const fn of_numbers(self) -> u32 {
        self.0 & !LAYERS
    }

    /// One that does this to the numbers of pictures, and nothing else.
    pub(crate) const fn with_numbers(numbers: u32) -> Self {
        Self(numbers & !LAYERS)
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
        let numbers = Self::new(self.picture().wrapping_sub(pictures), self.tl0());
        Self(numbers.0 | self.0 & LAYERS)
    }

    /// The same where spatial and temporal layers up to these are sent; [`u8::MAX`] for all. It begins at a key frame,
    /// with which all layers begin.
    pub(crate) const fn up_to(self, spatial: u8, temporal: u8) -> Self {
        const fn nibble(layer: u8) -> u32 {
            if layer > HIGHEST_TEMPORAL { 0 } else { layer as u32 + 1 }
        }
        Self(self.0 & !LAYERS | nibble(spatial) << 28 | nibble(temporal) << 24)
    }

    /// The same behind other layers: even where all are sent now, a receiver has to hear that.
    pub(crate) const fn now_up_to(self, spatial: u8, temporal: u8) -> Self {
        self.up_to(spatial, if temporal > HIGHEST_TEMPORAL { HIGHEST_TEMPORAL } else { temporal })
    }

    /// The change that a packet of this frame needs: of its numbers only if it has some.
    #[inline]
    pub(crate) const fn of(self, frame: Frame) -> Self {
        Self(if frame.is_numbered() { self.0 } else { self.0 & LAYERS })
    }

    /// Whether it sets the marker of a packet of this frame: the last of a picture whose upper layers are withheld.
    #[inline]
    pub(crate) const fn marks(self, frame: Frame) -> bool {
        let spatial = self.0 & SPATIAL;
        spatial != 0 && frame.is_last() && (frame.spatial() as u32 + 1) << 28 == spatial
    }

    /// Up to which layers packets are sent, where their dependency descriptors have to say that.
    #[inline]
    pub(crate) fn limits(self) -> Option<Limits> {
        let nibble = |shift: u32| ((self.0 >> shift & 0x0f) as u8).checked_sub(1);
        let (spatial, temporal) = (nibble(28), nibble(24));
        let is_limited = self.0 & LAYERS != 0;
        is_limited.then_some(Limits { spatial, temporal: temporal.unwrap_or(HIGHEST_TEMPORAL) })
    }

    /// Whether the payload of a packet is another one.
    pub(crate) const fn alters_payload(self) -> bool {
        self.0 & !LAYERS != 0
    }

    /// Takes back what is changed in the payload.
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

    /// Changes the payload of a packet of this frame.
    pub(crate) fn apply(self, frame: Frame, payload: &mut [u8]) {
        let ids = self.applied_to(frame.picture_ids(payload));
        frame.set_picture_ids(payload, ids);
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
    fn vp8_and_vp9_are_rewritten() {
        assert_eq!(Rewrite::of([Codec::H264, Codec::Vp8].into_iter()), Rewrite::PictureNumbers);
        assert_eq!(Rewrite::of([Codec::Vp9].into_iter()), Rewrite::PictureNumbers);
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
        change.of(numbered()).apply(numbered(), &mut later);
        let ids = |payload: &[u8]| numbered().picture_ids(payload);
        assert_eq!(ids(&later), PictureIds { picture: Some(505), tl0: Some(52) });
        assert_eq!(change.of(Frame::default()), Change::NONE);
        change.inverse().apply(numbered(), &mut later);
        change.after_withheld(3).apply(numbered(), &mut later);
        assert_eq!(ids(&later), PictureIds { picture: Some(502), tl0: Some(52) }, "three were withheld");
    }

    #[test]
    fn the_last_packet_of_the_highest_layer_that_is_sent_gets_the_marker() {
        let change = Change::behind(PictureIds::default(), PictureIds::default()).up_to(1, u8::MAX);
        let frame = |spatial| Frame::of_layers(spatial, 0).numbered(true);
        let marks = |frame| change.of(frame).marks(frame);
        assert!(marks(frame(1).ends(true)) && !marks(frame(1)) && !marks(frame(0).ends(true)));
        assert!(marks(Frame::of_layers(1, 0).ends(true)), "without numbers");
        assert!(change.after_withheld(2).marks(frame(1).ends(true)));
        assert!(!change.up_to(u8::MAX, 1).marks(frame(1).ends(true)), "all layers: the sender's markers");
        assert!(!change.of(frame(1).ends(true)).alters_payload());
        assert!(change.after_withheld(2).of(frame(1)).alters_payload());
    }

    #[test]
    fn layers_are_told_where_they_are_fewer_or_were() {
        let limits = |spatial, temporal| Some(Limits { spatial, temporal });
        assert_eq!(Change::NONE.limits(), None);
        assert_eq!(Change::NONE.up_to(1, 2).limits(), limits(Some(1), 2));
        assert_eq!(Change::NONE.up_to(u8::MAX, 0).limits(), limits(None, 0));
        assert_eq!(Change::NONE.up_to(7, u8::MAX).limits(), limits(Some(7), 7));
        assert_eq!(Change::NONE.up_to(1, 2).up_to(u8::MAX, u8::MAX).limits(), None, "from a key frame on");
        assert_eq!(Change::NONE.up_to(1, 2).now_up_to(u8::MAX, u8::MAX).limits(), limits(None, 7), "in between");
        assert_eq!(Change::NONE.up_to(1, 2).after_withheld(9).of(Frame::default()).limits(), limits(Some(1), 2));
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
            let frame = Frame::default().numbered(true).counts_pictures();
            assert_eq!(frame.picture_ids(payload), before);
            let mut bytes = payload.to_vec();
            let by = shift(ids(last.0, last.1), before);
            by.apply(frame, &mut bytes);
            assert_eq!((&bytes[..2], &bytes[2..5]), (&payload[..2], &after[..]), "{payload:x?}");
            by.inverse().apply(frame, &mut bytes);
            assert_eq!(bytes, payload, "back again");
            for len in 0..payload.len() {
                let mut short = payload[..len].to_vec();
                by.apply(frame, &mut short);
                by.inverse().apply(frame, &mut short);
                assert_eq!(short, payload[..len]);
            }
        }
    }
}
