//! H.264: RFC 6184, packetization modes 0 and 1.

use super::bits::Bits;
use super::{aggregated, without_emulation_prevention};

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

/// Bytes of a sequence parameter set that are looked at. The size stands in the first few; scaling lists may be before.
const MAX_PARAMETER_BYTES: usize = 512;

/// Width and height that a sequence parameter set tells.
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let (&header, rest) = payload.split_first()?;
    let parameters = match header & 0x1f {
        SEQUENCE_PARAMETERS => Some(rest),
        STAP_A => aggregated(rest)
            .filter_map(<[u8]>::split_first)
            .find_map(|(header, rest)| (header & 0x1f == SEQUENCE_PARAMETERS).then_some(rest)),
        _ => None,
    }?;
    let parameters = without_emulation_prevention(parameters.get(..MAX_PARAMETER_BYTES).unwrap_or(parameters));
    size_in_parameters(&mut Bits::new(&parameters))
}

/// seq_parameter_set_data (ITU-T H.264 section 7.3.2.1.1).
fn size_in_parameters(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.take_exp_golomb()?;
    let (mut chroma_format, mut planes_apart) = (1, false);
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.take_exp_golomb()?;
        planes_apart = chroma_format == 3 && bits.flag()?;
        bits.take_exp_golomb()?;
        bits.take_exp_golomb()?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.take_exp_golomb()?;
    match bits.take_exp_golomb()? {
        0 => _ = bits.take_exp_golomb()?,
        1 => {
            bits.skip(1)?;
            bits.take_exp_golomb()?;
            bits.take_exp_golomb()?;
            for _ in 0..bits.take_exp_golomb()?.min(255) {
                bits.take_exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.take_exp_golomb()?;
    bits.skip(1)?;
    let (width, height) = (bits.take_exp_golomb()?.checked_add(1)?, bits.take_exp_golomb()?.checked_add(1)?);
    let fields = if bits.flag()? { 1 } else { 2 };
    if fields == 2 {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut cropped = [0; 4];
    if bits.flag()? {
        for side in &mut cropped {
            *side = bits.take_exp_golomb()?;
        }
    }
    let [left, right, top, bottom] = cropped;
    // Table 6-1: samples of luma for one of chroma.
    let (across, down) = match chroma_format {
        1 if !planes_apart => (2, 2),
        2 if !planes_apart => (2, 1),
        _ => (1, 1),
    };
    let cut = |blocks: u32, per_block: u32, first: u32, last: u32, unit: u32| {
        let side = blocks.checked_mul(per_block)?.checked_sub(first.checked_add(last)?.checked_mul(unit)?)?;
        u16::try_from(side).ok()
    };
    Some((cut(width, 16, left, right, across)?, cut(height, 16 * fields, top, bottom, down * fields)?))
}

/// scaling_list (section 7.3.2.1.1.1): ends early where the next scale is 0.
fn skip_scaling_list(bits: &mut Bits<'_>, len: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..len {
        if next != 0 {
            // se(v): odd numbers count up, even ones down.
            let coded = i64::from(bits.take_exp_golomb()?);
            let delta = if coded % 2 == 1 { (coded + 1) / 2 } else { -coded / 2 };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::{golomb, written};
    use super::{picture_size, starts_key_frame};

    /// 1,280x720, constrained baseline.
    const SPS_720: [u8; 13] = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x00, 0xf0, 0x88];
    /// x264 (core 164): 1,920x1,080, high profile, cropped; 640x360, high 4:4:4 predictive profile.
    const SPS_1080: [u8; 16] =
        [0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03];
    const SPS_444: [u8; 15] =
        [0x67, 0xf4, 0x00, 0x16, 0x91, 0x9b, 0x28, 0x14, 0x05, 0xff, 0x13, 0x80, 0x88, 0x00, 0x00];

    #[test]
    fn sequence_parameters_tell_the_size() {
        assert_eq!(picture_size(&SPS_720), Some((1_280, 720)));
        assert_eq!(picture_size(&SPS_1080), Some((1_920, 1_080)));
        assert_eq!(picture_size(&SPS_444), Some((640, 360)));
        let aggregated = [&[0x78, 0, 2, 0x06, 0x05, 0, 13][..], &SPS_720, &[0, 2, 0x68, 0xce]].concat();
        assert_eq!(picture_size(&aggregated), Some((1_280, 720)));
        assert_eq!(picture_size(&[0x65, 0x88, 0x84]), None, "a slice");
        for len in 0..8 {
            assert_eq!(picture_size(&SPS_720[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn sequence_parameters_of_every_shape() {
        // High profile: 4:4:4 with a scaling list, picture order of the second kind, fields, cropped by 2 and 4.
        let list = [vec![(1, 1)], vec![golomb(0); 16]].concat();
        let fields = [
            vec![(0x67, 8), (244, 8), (0, 16), golomb(0), golomb(3), (0, 1), golomb(0), golomb(0), (0, 1), (1, 1)],
            list,
            vec![(0, 11), golomb(0), golomb(1), (0, 1), golomb(0), golomb(0), golomb(2), golomb(1), golomb(2)],
            vec![golomb(1), (0, 1), golomb(19), golomb(8), (0, 1), (0, 1), (0, 1), (1, 1)],
            vec![golomb(0), golomb(2), golomb(1), golomb(1), (0, 1), (1, 1)],
        ];
        assert_eq!(picture_size(&written(&fields.concat())), Some((318, 284)));
        let huge = [(0x67, 8), (66, 8), (0, 16), golomb(0), golomb(0), golomb(2), golomb(0), (0, 1), golomb(70_000)];
        assert_eq!(picture_size(&written(&[&huge[..], &[golomb(1), (1, 1), (0, 8)]].concat())), None);
    }

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
