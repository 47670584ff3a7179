//! H.265: RFC 7798, without DON fields (sprop-max-don-diff 0, as WebRTC has it).

use super::bits::Bits;
use super::{aggregated, without_emulation_prevention};

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

/// Bytes of a sequence parameter set that are looked at: the size stands in the first few dozen.
const MAX_PARAMETER_BYTES: usize = 256;

/// Width and height that a sequence parameter set tells.
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let (header, rest) = payload.split_first_chunk()?;
    let parameters = match unit_type(header) {
        SEQUENCE_PARAMETERS => Some(rest),
        AGGREGATION => aggregated(rest)
            .filter_map(<[u8]>::split_first_chunk)
            .find_map(|(header, rest)| (unit_type(header) == SEQUENCE_PARAMETERS).then_some(rest)),
        _ => None,
    }?;
    let parameters = without_emulation_prevention(parameters.get(..MAX_PARAMETER_BYTES).unwrap_or(parameters));
    size_in_parameters(&mut Bits::new(&parameters))
}

/// The begin of seq_parameter_set_rbsp (ITU-T H.265 section 7.3.2.2.1).
fn size_in_parameters(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    bits.skip(4)?;
    let sub_layers = bits.take(3)?;
    bits.skip(1)?;
    // profile_tier_level (section 7.3.3): 88 bits of profile and 8 of level, for all and for sub-layers that have them.
    bits.skip(96)?;
    let mut present = 0;
    for _ in 0..sub_layers {
        present += if bits.flag()? { 88 } else { 0 } + if bits.flag()? { 8 } else { 0 };
    }
    if sub_layers > 0 {
        bits.skip(2 * (8_u32.checked_sub(sub_layers)?))?;
    }
    bits.skip(present)?;
    bits.take_exp_golomb()?;
    let chroma_format = bits.take_exp_golomb()?;
    if chroma_format == 3 {
        bits.skip(1)?;
    }
    let (width, height) = (bits.take_exp_golomb()?, bits.take_exp_golomb()?);
    let mut cropped = [0; 4];
    if bits.flag()? {
        for side in &mut cropped {
            *side = bits.take_exp_golomb()?;
        }
    }
    let [left, right, top, bottom] = cropped;
    // Table 6-1: samples of luma for one of chroma.
    let (across, down) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let cut = |side: u32, first: u32, last: u32, unit: u32| {
        u16::try_from(side.checked_sub(first.checked_add(last)?.checked_mul(unit)?)?).ok()
    };
    Some((cut(width, left, right, across)?, cut(height, top, bottom, down)?))
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::{golomb, written};
    use super::{picture_size, starts_key_frame};

    /// A sequence parameter set with `sub_layers` more temporal layers than one.
    fn parameters(sub_layers: u32) -> Vec<u8> {
        let layers = match sub_layers {
            0 => vec![],
            // The first has profile and level, the others nothing.
            _ => [vec![(0b11, 2)], vec![(0, 2); 7], vec![(0xffff_ffff, 32); 3]].concat(),
        };
        let fields = [
            vec![(0x42, 8), (1, 8), (0, 4), (sub_layers, 3), (1, 1)],
            vec![(0xffff_ffff, 32); 3],
            layers,
            vec![golomb(0), golomb(1), golomb(1_920), golomb(1_088), (1, 1)],
            vec![golomb(0), golomb(0), golomb(0), golomb(4), (1, 1)],
        ];
        written(&fields.concat())
    }

    #[test]
    fn sequence_parameters_tell_the_size() {
        for sub_layers in [0, 1, 2] {
            assert_eq!(picture_size(&parameters(sub_layers)), Some((1_920, 1_080)), "{sub_layers}");
        }
        let unit = parameters(0);
        let len = u8::try_from(unit.len()).expect("short");
        let aggregated = [&[0x60, 0x01, 0, 3, 0x40, 0x01, 0x0c, 0, len][..], &unit].concat();
        assert_eq!(picture_size(&aggregated), Some((1_920, 1_080)));
        assert_eq!(picture_size(&[0x26, 0x01, 0xaf]), None, "a slice");
        for len in 0..unit.len() - 2 {
            assert_eq!(picture_size(&unit[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        // What x265 3.5 writes for 640x360 of 4:4:4: 0, 0, 3 stands twice before the size.
        let unit = [
            0x42, 0x01, 0x01, 0x04, 0x08, 0x00, 0x00, 0x03, 0x00, 0x9e, 0x08, 0x00, 0x00, 0x03, 0x00, 0x00, 0x3f, 0x90,
            0x00, 0xa0, 0x40, 0x2d, 0x2c, 0xb2, 0xb3, 0x49, 0x26, 0x57,
        ];
        assert_eq!(picture_size(&unit), Some((640, 360)));
    }

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
