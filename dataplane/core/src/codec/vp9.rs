//! VP9: RFC 9628.

use super::Frame;

/// What the payload descriptor says (RFC 9628 section 4.2). A key frame starts at the start (B) of a frame of the
/// lowest spatial layer that is not predicted from earlier pictures (P clear).
pub(super) fn frame(payload: &[u8]) -> Option<Frame> {
    let (&descriptor, mut rest) = payload.split_first()?;
    let [has_picture_id, predicted, has_layers, flexible, begins, ends] =
        [0x80, 0x40, 0x20, 0x10, 0x08, 0x04].map(|bit| descriptor & bit != 0);
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
    Some(frame.begins(begins).ends(ends).enters(!predicted).key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(upper.enters_spatial(), "needs the layer below only");
        let predicted = frame(&[0xec, 0x91, 0x22, 0x43, 0x01, 0x82]);
        assert_eq!((predicted.spatial(), predicted.temporal(), predicted.is_last()), (1, 2, true));
        assert!(!predicted.enters_spatial());
        let base = frame(&[0xe8, 0x91, 0x22, 0x10, 0x01, 0x82]);
        assert_eq!(base.entered_temporal(0, 2), Some(2), "U");
        assert_eq!(frame(&[0xe8, 0x91, 0x22, 0x00, 0x01, 0x82]).entered_temporal(0, 2), None);
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
