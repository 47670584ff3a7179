//! H.265: RFC 7798, without DON fields (sprop-max-don-diff 0, as WebRTC has it).

use super::aggregated;

/// NAL unit types (ITU-T H.265 table 7-1; RFC 7798 section 4.4).
const VIDEO_PARAMETERS: u8 = 32;
const SEQUENCE_PARAMETERS: u8 = 33;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

/// A key frame starts with video or sequence parameters, or with the first slice segment of an IRAP picture.
pub(super) fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (header, rest) = payload.split_first_chunk()?;
    match unit_type(header) {
        AGGREGATION => Some(aggregated(rest).any(|unit| {
            unit.split_first_chunk().and_then(|(header, rest)| starts(unit_type(header), rest)).unwrap_or(false)
        })),
        FRAGMENTATION => {
            let (&fragment, rest) = rest.split_first()?;
            if fragment & 0x80 == 0 { Some(false) } else { starts(fragment & 0x3f, rest) }
        }
        unit_type => starts(unit_type, rest),
    }
}

/// The type in a NAL unit's header of two bytes.
fn unit_type(header: &[u8; 2]) -> u8 {
    header[0] >> 1 & 0x3f
}

/// The same for a NAL unit without its header.
fn starts(unit_type: u8, rest: &[u8]) -> Option<bool> {
    match unit_type {
        VIDEO_PARAMETERS | SEQUENCE_PARAMETERS => Some(true),
        // IRAP pictures (BLA, IDR, CRA): a slice segment begins with first_slice_segment_in_pic_flag.
        16..=23 => Some(rest.first()? & 0x80 != 0),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::starts_key_frame;

    #[test]
    fn single_units() {
        assert_eq!(starts_key_frame(&[0x40, 0x01, 0x0c]), Some(true), "VPS");
        assert_eq!(starts_key_frame(&[0x42, 0x01, 0x01]), Some(true), "SPS");
        assert_eq!(starts_key_frame(&[0x44, 0x01, 0xc0]), Some(false), "PPS");
        for irap in 16..=23 {
            assert_eq!(starts_key_frame(&[irap << 1, 0x01, 0x80]), Some(true), "type {irap}");
            assert_eq!(starts_key_frame(&[irap << 1, 0x01, 0x40]), Some(false), "later segment of type {irap}");
        }
        assert_eq!(starts_key_frame(&[0x02, 0x01, 0xd0]), Some(false), "TRAIL_R");
    }

    #[test]
    fn aggregation_packets() {
        assert_eq!(starts_key_frame(&[0x60, 0x01, 0, 3, 0x40, 0x01, 0x0c]), Some(true));
        assert_eq!(starts_key_frame(&[0x60, 0x01, 0, 2, 0x4e, 0x01, 0, 3, 0x26, 0x01, 0xaf]), Some(true), "SEI, IDR");
        assert_eq!(starts_key_frame(&[0x60, 0x01, 0, 3, 0x02, 0x01, 0xd0]), Some(false));
        assert_eq!(starts_key_frame(&[0x60, 0x01, 0, 4, 0x40, 0x01, 0x0c]), Some(false), "runs past the packet");
        assert_eq!(starts_key_frame(&[0x60, 0x01, 0, 1, 0x40]), Some(false), "unit without a whole header");
    }

    #[test]
    fn fragments() {
        assert_eq!(starts_key_frame(&[0x62, 0x01, 0x93, 0xaf]), Some(true), "start of IDR_W_RADL");
        assert_eq!(starts_key_frame(&[0x62, 0x01, 0x13, 0xaf]), Some(false), "middle");
        assert_eq!(starts_key_frame(&[0x62, 0x01, 0x93, 0x2f]), Some(false), "start of a later segment");
        assert_eq!(starts_key_frame(&[0x62, 0x01, 0x81, 0xaf]), Some(false), "start of another slice");
        for len in 0..4 {
            assert_eq!(starts_key_frame(&[0x62, 0x01, 0x93, 0xaf][..len]), None);
        }
    }
}
