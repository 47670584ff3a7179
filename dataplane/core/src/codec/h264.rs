//! H.264: RFC 6184, packetization modes 0 and 1.

use super::aggregated;

/// NAL unit types (ITU-T H.264 table 7-1; RFC 6184 section 5.2).
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// A key frame starts with a sequence parameter set, or with the first slice of an IDR picture.
pub(super) fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (&header, rest) = payload.split_first()?;
    match header & 0x1f {
        STAP_A => Some(
            aggregated(rest)
                .any(|unit| unit.split_first().and_then(|(header, rest)| starts(header & 0x1f, rest)).unwrap_or(false)),
        ),
        FU_A => {
            let (&fragment, rest) = rest.split_first()?;
            if fragment & 0x80 == 0 { Some(false) } else { starts(fragment & 0x1f, rest) }
        }
        unit_type => starts(unit_type, rest),
    }
}

/// The same for a NAL unit without its header.
fn starts(unit_type: u8, rest: &[u8]) -> Option<bool> {
    match unit_type {
        SEQUENCE_PARAMETERS => Some(true),
        // A slice begins with first_mb_in_slice, an Exp-Golomb number whose zero is a set bit (ITU-T H.264 section
        // 7.3.3).
        IDR_SLICE => Some(rest.first()? & 0x80 != 0),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::starts_key_frame;

    #[test]
    fn single_units() {
        assert_eq!(starts_key_frame(&[0x67, 0x42, 0xe0, 0x1f]), Some(true), "SPS");
        assert_eq!(starts_key_frame(&[0x65, 0x88, 0x84]), Some(true), "first slice of an IDR picture");
        assert_eq!(starts_key_frame(&[0x65, 0x1b, 0x84]), Some(false), "a later slice of an IDR picture");
        assert_eq!(starts_key_frame(&[0x68, 0xce]), Some(false), "PPS");
        assert_eq!(starts_key_frame(&[0x41, 0x9a]), Some(false), "slice of another picture");
        assert_eq!(starts_key_frame(&[0x06, 0x05]), Some(false), "SEI");
    }

    #[test]
    fn aggregation_packets() {
        let parameters = [0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce];
        assert_eq!(starts_key_frame(&parameters), Some(true));
        assert_eq!(starts_key_frame(&[0x78, 0, 2, 0x06, 0x05, 0, 2, 0x65, 0x88]), Some(true), "second unit");
        assert_eq!(starts_key_frame(&[0x78, 0, 2, 0x06, 0x05, 0, 2, 0x41, 0x9a]), Some(false));
        assert_eq!(starts_key_frame(&[0x78, 0, 0, 0, 2, 0x67, 0x42]), Some(true), "an empty unit is passed over");
        for len in 0..5 {
            assert_ne!(starts_key_frame(&parameters[..len]), Some(true), "{len} bytes");
        }
    }

    #[test]
    fn a_unit_that_runs_past_the_aggregation_packet_is_not_read() {
        assert_eq!(starts_key_frame(&[0x78, 0xff, 0xff, 0x67, 0x42]), Some(false));
        assert_eq!(starts_key_frame(&[0x78, 0, 3, 0x67, 0x42]), Some(false));
    }

    #[test]
    fn fragments() {
        assert_eq!(starts_key_frame(&[0x7c, 0x85, 0x88]), Some(true), "start of an IDR slice");
        assert_eq!(starts_key_frame(&[0x7c, 0x05, 0x88]), Some(false), "middle");
        assert_eq!(starts_key_frame(&[0x7c, 0x45, 0x88]), Some(false), "end");
        assert_eq!(starts_key_frame(&[0x7c, 0x85, 0x08]), Some(false), "start of a later slice");
        assert_eq!(starts_key_frame(&[0x7c, 0x87, 0x42]), Some(true), "start of an SPS");
        assert_eq!(starts_key_frame(&[0x7c, 0x81, 0x88]), Some(false), "start of another slice");
        for len in 0..3 {
            assert_eq!(starts_key_frame(&[0x7c, 0x85, 0x88][..len]), None);
        }
    }
}
