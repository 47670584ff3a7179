//! VP9: RFC 9628.

use super::Frame;
use super::bits::Bits;

/// What the payload descriptor says (RFC 9628 section 4.2): Z is set where no frame of a higher layer needs this one,
/// as between the key frames of a sender whose layers need each other there only. A key frame starts at the start (B)
/// of a frame of the lowest spatial layer that is not predicted from earlier pictures (P clear).
pub(super) fn frame(payload: &[u8]) -> Option<Frame> {
    let (&descriptor, mut rest) = payload.split_first()?;
    let [has_picture_id, predicted, has_layers, flexible, begins, ends, unreferenced] =
        [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x01].map(|bit| descriptor & bit != 0);
    if has_picture_id {
        // The picture id has 15 bits if M is set.
        let id_len = if rest.first()? & 0x80 == 0 { 1 } else { 2 };
        rest = rest.get(id_len..)?;
    }
    let mut frame = Frame::default();
    if has_layers {
        // TID, U, SID, D; then TL0PICIDX in non-flexible mode.
        let layers = *rest.first()?;
        frame = Frame::of_layers(layers >> 1, layers >> 5).opens(layers & 0x10 != 0);
        rest = rest.get(if flexible { 1 } else { 2 }..)?;
    }
    // Scalability structure or frame: something must follow.
    let key = begins && !predicted && frame.spatial() == 0 && !rest.is_empty();
    let frame = frame.begins(begins).ends(ends).enters(!predicted).key(key);
    Some(frame.unreferenced(has_layers && unreferenced).numbered(has_picture_id))
}

/// Where picture ID and TL0PICIDX are.
pub(super) fn places(payload: &[u8]) -> (Option<usize>, Option<usize>) {
    let &[descriptor, first, ..] = payload else { return (None, None) };
    if descriptor & 0x80 == 0 {
        return (None, None);
    }
    // TL0PICIDX is behind the layers, in non-flexible mode alone.
    let id_len = if first & 0x80 == 0 { 1 } else { 2 };
    (Some(1), (descriptor & 0x30 == 0x20).then_some(1 + id_len + 1))
}

/// Width and height of a key frame: what the scalability structure says of the highest layer (RFC 9628 section 4.2.1),
/// else what the frame's own header does.
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let (&descriptor, mut rest) = payload.split_first()?;
    let [has_picture_id, predicted, has_layers, flexible, begins, has_structure] =
        [0x80, 0x40, 0x20, 0x10, 0x08, 0x02].map(|bit| descriptor & bit != 0);
    if has_picture_id {
        rest = rest.get(if rest.first()? & 0x80 == 0 { 1 } else { 2 }..)?;
    }
    if has_layers {
        rest = rest.get(if flexible { 1 } else { 2 }..)?;
    }
    if predicted || !begins {
        return None;
    }
    if !has_structure {
        return size_in_header(&mut Bits::new(rest));
    }
    let (&structure, mut rest) = rest.split_first()?;
    let layers = usize::from(structure >> 5) + 1;
    if structure & 0x10 != 0 {
        let (sizes, _) = rest.split_at_checked(4 * layers)?;
        let &[w0, w1, h0, h1] = sizes.last_chunk()?;
        return Some((u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1])));
    }
    if structure & 0x08 != 0 {
        // Pictures of a group, each with the count of those that it refers to.
        let (&pictures, mut group) = rest.split_first()?;
        for _ in 0..pictures {
            let (&picture, after) = group.split_first()?;
            group = after.get(usize::from(picture >> 2 & 0x03)..)?;
        }
        rest = group;
    }
    size_in_header(&mut Bits::new(rest))
}

/// The begin of uncompressed_header of a key frame (VP9 bitstream specification section 6.2).
fn size_in_header(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    (bits.take(2)? == 2).then_some(())?;
    let [low, high] = bits.flags()?;
    let profile = u8::from(low) + 2 * u8::from(high);
    if profile == 3 {
        bits.skip(1)?;
    }
    // show_existing_frame and frame_type are clear; show_frame and error_resilient_mode do not matter.
    let [shows_existing, not_key, _, _] = bits.flags()?;
    (!shows_existing && !not_key && bits.take(24)? == 0x49_8342).then_some(())?;
    if profile >= 2 {
        bits.skip(1)?;
    }
    let is_rgb = bits.take(3)? == 7;
    bits.skip(match (is_rgb, profile) {
        (false, 1 | 3) => 4,
        (false, _) | (true, 1 | 3) => 1,
        (true, _) => 0,
    })?;
    let mut side = || u16::try_from(bits.take(16)? + 1).ok();
    Some((side()?, side()?))
}

#[cfg(test)]
mod tests {
    use super::super::PictureIds;
    use super::super::bits::tests::written;
    use super::*;

    #[test]
    fn a_key_frame_tells_its_size() {
        // 15-bit picture ID, layers, structure of three sizes.
        let sizes = [0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0];
        let structured = [&[0xaa, 0x91, 0x22, 0x00, 0x01, 0x50][..], &sizes, &[0x82]].concat();
        assert_eq!(picture_size(&structured), Some((1_280, 720)));
        assert_eq!(picture_size(&structured[..15]), None);
        let header = written(&[(0b1000_0010, 8), (0x49_8342, 24), (1, 3), (0, 1), (639, 16), (359, 16), (0, 8)]);
        assert_eq!(picture_size(&[&[0x08][..], &header].concat()), Some((640, 360)), "the frame's own header");
        let group = [0x0a, 0x08, 0x02, 0x04, 0x01, 0x08, 0x01, 0x02];
        assert_eq!(picture_size(&[&group[..], &header].concat()), Some((640, 360)), "behind a group without sizes");
        assert_eq!(picture_size(&[&[0x48][..], &header].concat()), None, "predicted");
        for len in 0..header.len() - 1 {
            assert_eq!(picture_size(&[&[0x08], &header[..len]].concat()), None, "{len} bytes");
        }
        let profile_3 = [(0b1011_0001, 8), (0, 1), (0x49_8342, 24), (0, 1), (7, 3), (0, 1), (63, 16), (31, 16)];
        assert_eq!(picture_size(&[&[0x08][..], &written(&profile_3)].concat()), Some((64, 32)));
    }

    fn starts_key_frame(payload: &[u8]) -> Option<bool> {
        frame(payload).map(Frame::is_key)
    }

    #[test]
    fn what_makes_a_key_frame() {
        assert_eq!(starts_key_frame(&[0x08, 0x82]), Some(true), "B only");
        assert_eq!(starts_key_frame(&[0x48, 0x86]), Some(false), "P: predicted from an earlier picture");
        assert_eq!(starts_key_frame(&[0x04, 0x82]), Some(false), "E without B: the last packet of a frame");
        assert_eq!(starts_key_frame(&[0x88, 0x11, 0x82]), Some(true), "7-bit picture ID");
        assert_eq!(starts_key_frame(&[0x88, 0x91, 0x22, 0x82]), Some(true), "15-bit picture ID");
    }

    #[test]
    fn only_the_lowest_spatial_layer_starts_one() {
        assert_eq!(starts_key_frame(&[0xa8, 0x91, 0x22, 0x00, 0x01, 0x82]), Some(true), "SID 0, TL0PICIDX");
        assert_eq!(starts_key_frame(&[0xa8, 0x91, 0x22, 0x03, 0x01, 0x82]), Some(false), "SID 1, from the layer below");
        assert_eq!(starts_key_frame(&[0xb8, 0x91, 0x22, 0x00, 0x82]), Some(true), "flexible: no TL0PICIDX");
        assert_eq!(starts_key_frame(&[0xb8, 0x91, 0x22, 0x04, 0x82]), Some(false), "flexible, SID 2");
    }

    #[test]
    fn layers_and_their_switching_points() {
        let frame = |payload: &[u8]| frame(payload).expect("not cut off");
        let upper = frame(&[0xa8, 0x91, 0x22, 0x03, 0x01, 0x82]);
        assert_eq!((upper.spatial(), upper.temporal(), upper.is_first(), upper.is_last()), (1, 0, true, false));
        assert!(!upper.is_unreferenced());
        let predicted = frame(&[0xec, 0x91, 0x22, 0x43, 0x01, 0x82]);
        assert_eq!((predicted.spatial(), predicted.temporal(), predicted.is_last()), (1, 2, true));
        assert!(frame(&[0xed, 0x91, 0x22, 0x43, 0x01, 0x82]).is_unreferenced(), "Z");
        let base = frame(&[0xe8, 0x91, 0x22, 0x10, 0x01, 0x82]);
        assert_eq!(base.entered_temporal(0, 2), Some(2), "U");
        assert_eq!(frame(&[0xe8, 0x91, 0x22, 0x00, 0x01, 0x82]).entered_temporal(0, 2), None);
    }

    #[test]
    fn numbers_of_pictures_are_where_the_mode_puts_them() {
        let ids = |payload: &[u8]| {
            let ids = frame(payload).unwrap_or_default().picture_ids(payload);
            (ids.picture, ids.tl0)
        };
        assert_eq!(ids(&[0xa8, 0x91, 0x22, 0x00, 7, 0x82]), (Some(0x1122), Some(7)));
        assert_eq!(ids(&[0xa8, 0x11, 0x00, 7, 0x82]), (Some(0x11), Some(7)), "7 bits");
        assert_eq!(ids(&[0xb8, 0x91, 0x22, 0x00, 0x82]), (Some(0x1122), None), "flexible");
        assert_eq!(ids(&[0x88, 0x91, 0x22, 0x82]), (Some(0x1122), None), "no layers");
        assert_eq!(ids(&[0x08, 0x82]), (None, None), "none");
        let mut payload = [0xa8, 0x91, 0x22, 0x00, 7, 0x82];
        frame(&payload).expect("whole").set_picture_ids(&mut payload, PictureIds { picture: Some(3), tl0: Some(9) });
        assert_eq!(payload, [0xa8, 0x80, 3, 0x00, 9, 0x82]);
    }

    #[test]
    fn cut_off_anywhere_is_no_key_frame() {
        let payload = [0xaa, 0x91, 0x22, 0x00, 0x01, 0x18];
        assert_eq!(starts_key_frame(&payload), Some(true));
        for len in 0..payload.len() {
            assert_ne!(starts_key_frame(&payload[..len]), Some(true), "{len} bytes");
        }
    }
}
