//! VP9: RFC 9628.

/// A key frame starts at the start (B) of a frame of the lowest spatial layer that is not predicted from earlier
/// pictures (P clear; RFC 9628 section 4.2).
pub(super) fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (&descriptor, mut rest) = payload.split_first()?;
    let [has_picture_id, predicted, has_layers, flexible, begins] =
        [0x80, 0x40, 0x20, 0x10, 0x08].map(|bit| descriptor & bit != 0);
    if predicted || !begins {
        return Some(false);
    }
    if has_picture_id {
        // Of 15 bits if M is set.
        let id_len = if rest.first()? & 0x80 == 0 { 1 } else { 2 };
        rest = rest.get(id_len..)?;
    }
    if has_layers {
        // TID, U, SID, D; then TL0PICIDX in non-flexible mode.
        let spatial = rest.first()? >> 1 & 0x07;
        if spatial != 0 {
            return Some(false);
        }
        rest = rest.get(if flexible { 1 } else { 2 }..)?;
    }
    // Scalability structure or frame: something must follow.
    Some(!rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::starts_key_frame;

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
    fn cut_off_anywhere_is_no_key_frame() {
        let payload = [0xaa, 0x91, 0x22, 0x00, 0x01, 0x18];
        assert_eq!(starts_key_frame(&payload), Some(true));
        for len in 0..payload.len() {
            assert_ne!(starts_key_frame(&payload[..len]), Some(true), "{len} bytes");
        }
    }
}
