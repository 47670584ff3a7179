//! The dependency descriptor, a header extension of AV1 that VP9 carries too (AOM "RTP Payload Format For AV1",
//! appendix A): all that is to be seen of a stream whose payload is encrypted from end to end.
//!
//! Read for two questions: does this packet start a key frame, and how large is the picture? Such a packet attaches the
//! structure of templates that the frames after it refer to (a receiver without it can read none of them), and its
//! frame depends on no other. So nothing needs to be remembered from packet to packet. Everything is bounded by the
//! bits that there are.

use super::bits::Bits;

/// Templates that six bits tell apart (section A.8.3).
const MAX_TEMPLATES: u32 = 64;

/// Whether the packet with this descriptor starts a key frame: its frame's first packet, of the lowest spatial layer,
/// with a structure attached and without dependencies. `None` if it is malformed.
pub(super) fn starts_key_frame(descriptor: &[u8]) -> Option<bool> {
    let mut bits = Bits::new(descriptor);
    // mandatory_descriptor_fields (section A.8.2): start and end of frame, template, frame number.
    let start_of_frame = bits.flag()?;
    bits.skip(1)?;
    let template_id = bits.take(6)?;
    bits.skip(16)?;
    if descriptor.len() <= 3 || !start_of_frame {
        return Some(false);
    }
    // extended_descriptor_fields: structure and active decode targets are present; DTIs, frame differences and chains
    // are the frame's own.
    let [has_structure, has_targets, own_dtis, own_differences, _] = bits.flags()?;
    if !has_structure {
        return Some(false);
    }
    let structure = Structure::read(&mut bits, template_id)?;
    if !own_differences {
        return Some(structure.spatial_layer == 0 && structure.differences == 0);
    }
    if has_targets {
        bits.skip(structure.targets)?;
    }
    if own_dtis {
        bits.skip(2 * structure.targets)?;
    }
    // frame_fdiffs: the first size is 0 if there is none.
    Some(structure.spatial_layer == 0 && bits.take(2)? == 0)
}

/// Width and height of the highest spatial layer, if the packet with this descriptor attaches a structure that tells
/// them.
pub(super) fn picture_size(descriptor: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::new(descriptor);
    bits.skip(2)?;
    let template_id = bits.take(6)?;
    bits.skip(16)?;
    let [has_structure, _, _, _, _] = bits.flags()?;
    if has_structure { Structure::read(&mut bits, template_id)?.picture } else { None }
}

/// What a template dependency structure says of one template.
struct Structure {
    targets: u32,
    spatial_layer: u32,
    /// Frames that a frame of the template depends on.
    differences: u32,
    /// Width and height of the highest spatial layer, if they are told.
    picture: Option<(u16, u16)>,
}

impl Structure {
    /// Reads a whole structure (section A.8.3), `None` if it is malformed or does not have the template.
    fn read(bits: &mut Bits<'_>, template_id: u32) -> Option<Self> {
        let offset = bits.take(6)?;
        let wanted = (template_id + MAX_TEMPLATES - offset) % MAX_TEMPLATES;
        let targets = bits.take(5)? + 1;
        // template_layers
        let (mut templates, mut layer, mut spatial_layer) = (0, 0, None);
        loop {
            if templates == wanted {
                spatial_layer = Some(layer);
            }
            templates += 1;
            match bits.take(2)? {
                3 => break,
                2 => layer += 1,
                // The same layers, or the next temporal one.
                _ => {}
            }
            if templates == MAX_TEMPLATES {
                return None;
            }
        }
        // template_dtis
        bits.skip(2 * templates * targets)?;
        // template_fdiffs
        let mut differences = 0;
        for template in 0..templates {
            while bits.flag()? {
                bits.skip(4)?;
                differences += u32::from(template == wanted);
            }
        }
        // template_chains
        let chains = bits.take_non_symmetric(targets + 1)?;
        if chains > 0 {
            for _ in 0..targets {
                bits.take_non_symmetric(chains)?;
            }
            bits.skip(4 * templates * chains)?;
        }
        // render_resolutions: width and height of each spatial layer, less one
        let mut picture = None;
        if bits.flag()? {
            bits.skip(32 * layer)?;
            let mut side = || u16::try_from(bits.take(16)? + 1).ok();
            picture = Some((side()?, side()?));
        }
        Some(Self { targets, spatial_layer: spatial_layer?, differences, picture })
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::written;
    use super::*;

    /// Start and end of frame, template, frame number 0x1234.
    fn mandatory(start: u32, template: u32) -> Vec<(u32, u32)> {
        vec![(start, 1), (1, 1), (template, 6), (0x1234, 16)]
    }

    /// Two spatial layers in two decode targets with a chain each, from template 60 on: 60 and 61 of the lower layer,
    /// the first without dependencies; 62 and 63 of the upper one.
    fn structure() -> Vec<(u32, u32)> {
        let mut fields = vec![(60, 6), (1, 5)];
        fields.extend([(0, 2), (2, 2), (0, 2), (3, 2)]);
        fields.extend([(0b10, 2); 8]);
        fields.extend([(0, 1)]);
        fields.extend([(1, 1), (3, 4), (0, 1)]);
        fields.extend([(1, 1), (1, 4), (0, 1)]);
        fields.extend([(1, 1), (1, 4), (1, 1), (3, 4), (0, 1)]);
        // Two chains of three possible values: in two bits; then targets protected by 0 and 1 of two, in one bit each.
        fields.extend([(0b11, 2), (0, 1), (1, 1)]);
        fields.extend([(0b0101, 4); 8]);
        fields.extend([(1, 1), (639, 16), (359, 16), (1_279, 16), (719, 16)]);
        fields
    }

    /// Flags: structure, targets, DTIs, differences, chains.
    fn descriptor(template: u32, flags: u32, rest: &[(u32, u32)]) -> Vec<u8> {
        written(&[mandatory(1, template), vec![(flags, 5)], structure(), rest.to_vec()].concat())
    }

    #[test]
    fn a_key_frame_attaches_the_structure_and_depends_on_nothing() {
        assert_eq!(starts_key_frame(&descriptor(60, 0b10000, &[])), Some(true));
        assert_eq!(starts_key_frame(&descriptor(61, 0b10000, &[])), Some(false), "depends on another frame");
        assert_eq!(starts_key_frame(&descriptor(62, 0b10000, &[])), Some(false), "of the upper layer");
        assert_eq!(starts_key_frame(&descriptor(5, 0b10000, &[])), None, "a template that there is not");
        assert_eq!(starts_key_frame(&written(&mandatory(1, 60))), Some(false), "no structure");
        assert_eq!(starts_key_frame(&written(&[mandatory(1, 60), vec![(0b01000, 5), (3, 2)]].concat())), Some(false));
        let later = [mandatory(0, 60), vec![(0b10000, 5)], structure()].concat();
        assert_eq!(starts_key_frame(&written(&later)), Some(false), "not the frame's first packet");
    }

    #[test]
    fn a_frame_may_have_dependencies_of_its_own() {
        assert_eq!(starts_key_frame(&descriptor(61, 0b10010, &[(0, 2)])), Some(true), "none after all");
        assert_eq!(starts_key_frame(&descriptor(60, 0b10010, &[(1, 2), (3, 4), (0, 2)])), Some(false));
        let targets_and_dtis = [(0b11, 2), (0b1010, 4), (0, 2)];
        assert_eq!(starts_key_frame(&descriptor(61, 0b11110, &targets_and_dtis)), Some(true));
        assert_eq!(starts_key_frame(&descriptor(62, 0b10010, &[(0, 2)])), Some(false), "of the upper layer");
    }

    #[test]
    fn cut_off_anywhere_is_no_key_frame() {
        let whole = descriptor(61, 0b11110, &[(0b11, 2), (0b1010, 4), (0, 2)]);
        for len in 0..whole.len() {
            let expected = (len == 3).then_some(false);
            assert_eq!(starts_key_frame(&whole[..len]), expected, "{len} bytes");
        }
    }

    #[test]
    fn too_many_templates_are_malformed() {
        let endless = [mandatory(1, 0), vec![(0b10000, 5), (0, 6), (0, 5)], vec![(0, 2); 900]].concat();
        assert_eq!(starts_key_frame(&written(&endless)), None);
    }

    #[test]
    fn the_structure_tells_the_size_of_the_highest_layer() {
        assert_eq!(picture_size(&descriptor(60, 0b10000, &[])), Some((1_280, 720)));
        assert_eq!(picture_size(&descriptor(61, 0b11110, &[(0b11, 2), (0b1010, 4), (0, 2)])), Some((1_280, 720)));
        assert_eq!(picture_size(&written(&mandatory(1, 60))), None, "no structure");
        let whole = descriptor(60, 0b10000, &[]);
        for len in 0..whole.len() - 1 {
            assert_eq!(picture_size(&whole[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn random_descriptors_do_not_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut bytes = [0u8; 255];
        for round in 0..100_000usize {
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            // The flags say that there is a structure, so that it is read.
            bytes[0] |= 0x80;
            bytes[3] |= 0x80;
            let _ = starts_key_frame(&bytes[..round % 256]);
            let _ = picture_size(&bytes[..round % 256]);
        }
    }
}
