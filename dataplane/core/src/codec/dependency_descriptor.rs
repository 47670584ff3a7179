//! The dependency descriptor, a header extension of AV1 that VP9 and H.264 carry too (AOM "RTP Payload Format For AV1",
//! appendix A): all that is to be seen of a stream whose payload is encrypted from end to end.
//!
//! Most descriptors only name one of the *templates* of a structure, which the first packet of a key frame attaches. So
//! each stream remembers its newest [`Structure`]; a descriptor that has none to refer to says little. A *decode
//! target* is what a receiver may want, layers up to a spatial and a temporal one, and a frame says for each target
//! what it is to it. Everything is bounded by the bits that there are and by 64 templates of 32 targets.

use super::Frame;
use super::bits::Bits;
use super::decode_targets::{Active, Place, Reach};

/// Templates that six bits tell apart (section A.8.3).
const MAX_TEMPLATES: u32 = 64;
/// Decode targets that five bits count.
const MAX_TARGETS: u32 = 32;

/// What frames are to decode targets (section A.8.3, table A.1), in two bits for each target: not present, discardable,
/// switch, required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Indications(u64);

const NOT_PRESENT: u8 = 0;
const DISCARDABLE: u8 = 1;
const SWITCH: u8 = 2;

impl Indications {
    fn read(bits: &mut Bits<'_>, targets: u32) -> Option<Self> {
        (0..targets).try_fold(Self::default(), |all, target| Some(all.with(target, bits.take(2)?)))
    }

    const fn with(self, target: u32, indication: u32) -> Self {
        Self(self.0 | (indication as u64) << (2 * (target % MAX_TARGETS)))
    }

    const fn of(self, target: u32) -> u8 {
        (self.0 >> (2 * (target % MAX_TARGETS)) & 3) as u8
    }
}

/// The frames that a sender makes, in classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    offset: u32,
    targets: u32,
    templates: Vec<Template>,
    /// Highest spatial and temporal layer of each target.
    highest: Vec<(u8, u8)>,
    /// What a receiver of each target must be sent.
    reach: Vec<Reach>,
    active: Active,
    /// Width and height of the highest spatial layer, if they are told.
    picture: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Indications,
    /// Frames that one of this template depends on.
    differences: u8,
}

/// What a descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) frame: Frame,
    /// The structure that it attaches.
    pub(super) structure: Option<Box<Structure>>,
    /// Width and height of the highest spatial layer, if it attaches a structure that tells them.
    pub(super) picture: Option<(u16, u16)>,
    /// Where it says, or would say, which decode targets are active.
    pub(super) place: Place,
}

/// Reads a descriptor, which refers to `known` unless it attaches a structure. `None` if it is malformed or refers to
/// what is not known.
pub(super) fn read(descriptor: &[u8], known: Option<&Structure>) -> Option<Descriptor> {
    let mut bits = Bits::new(descriptor);
    // mandatory_descriptor_fields (section A.8.2): start and end of frame, template, frame number.
    let [begins, ends] = bits.flags()?;
    let template_id = bits.take(6)?;
    bits.skip(16)?;
    // extended_descriptor_fields: structure and active decode targets are present; DTIs, frame differences and chains
    // are the frame's own.
    let [has_structure, has_targets, own_indications, own_differences, _] =
        if descriptor.len() > 3 { bits.flags()? } else { [false; 5] };
    let mut attached = if has_structure { Some(Box::new(Structure::read(&mut bits)?)) } else { None };
    let structure = attached.as_deref().or(known)?;
    let place = (template_id + MAX_TEMPLATES - structure.offset) % MAX_TEMPLATES;
    let template = structure.templates.get(place as usize)?;
    let at = bits.position();
    let said = if has_targets { Some(bits.take(structure.targets)?) } else { None };
    let mut indications = template.indications;
    if own_indications {
        indications = Indications::read(&mut bits, structure.targets)?;
    }
    let mut depends = template.differences > 0;
    if own_differences {
        // frame_fdiffs: the first size is 0 if there is none.
        depends = bits.take(2)? != 0;
    }
    let key = has_structure && begins && template.spatial == 0 && !depends;
    let frame = structure.frame(*template, indications).begins(begins).ends(ends).key(key);
    let picture = attached.as_deref().and_then(|structure| structure.picture);
    if let (Some(attached), Some(said)) = (&mut attached, said) {
        attached.active = Active::new(said);
    }
    Some(Descriptor { frame, picture, structure: attached, place: Place::new(at, said) })
}

/// Whether a descriptor refers to a structure that came before, attaching none.
pub(super) fn refers(descriptor: &[u8]) -> bool {
    match descriptor {
        [_, _, _] => true,
        [_, _, _, flags, ..] => flags & 0x80 == 0,
        _ => false,
    }
}

impl Structure {
    /// Reads a whole structure (section A.8.3), `None` if it is malformed.
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let offset = bits.take(6)?;
        let targets = bits.take(5)? + 1;
        // template_layers
        let mut templates = Vec::new();
        let mut layers = Template::default();
        loop {
            templates.push(layers);
            match bits.take(2)? {
                0 => {}
                1 => layers.temporal += 1,
                2 => (layers.spatial, layers.temporal) = (layers.spatial + 1, 0),
                _ => break,
            }
            if templates.len() >= MAX_TEMPLATES as usize {
                return None;
            }
        }
        // template_dtis
        for template in &mut templates {
            template.indications = Indications::read(bits, targets)?;
        }
        // template_fdiffs
        for template in &mut templates {
            while bits.flag()? {
                bits.skip(4)?;
                template.differences = template.differences.saturating_add(1);
            }
        }
        // template_chains
        let count = u32::try_from(templates.len()).ok()?;
        let chains = bits.take_non_symmetric(targets + 1)?;
        if chains > 0 {
            for _ in 0..targets {
                bits.take_non_symmetric(chains)?;
            }
            bits.skip(4 * count * chains)?;
        }
        // render_resolutions: width and height of each spatial layer, less one
        let mut picture = None;
        if bits.flag()? {
            bits.skip(32 * u32::from(layers.spatial))?;
            let mut side = || u16::try_from(bits.take(16)? + 1).ok();
            picture = Some((side()?, side()?));
        }
        let of_target = |target| {
            let present = templates.iter().filter(|one| one.indications.of(target) != NOT_PRESENT);
            present.fold((0, 0), |(spatial, temporal), one: &Template| {
                (one.spatial.max(spatial), one.temporal.max(temporal))
            })
        };
        let highest = (0..targets).map(of_target).collect();
        let active = Active::new(u32::MAX.checked_shr(u32::BITS - targets).unwrap_or(0));
        let mut structure = Self { offset, targets, templates, highest, reach: Vec::new(), active, picture };
        structure.reach = (0..targets).map(|target| structure.reach_of(target)).collect();
        Some(structure)
    }

    /// What a receiver of a target must be sent.
    fn reach_of(&self, target: u32) -> Reach {
        let present = self.templates.iter().filter(|one| one.indications.of(target) != NOT_PRESENT);
        let frames = present.map(|template| self.frame(*template, template.indications));
        frames.fold(Reach::default(), Reach::with)
    }

    /// What a receiver of each target must be sent.
    pub(crate) fn reach(&self) -> &[Reach] {
        &self.reach
    }

    /// Which targets are active.
    pub(crate) const fn active(&self) -> Active {
        self.active
    }

    pub(crate) const fn active_mut(&mut self) -> &mut Active {
        &mut self.active
    }

    /// What a frame of a template is to its receivers.
    fn frame(&self, template: Template, indications: Indications) -> Frame {
        let Template { spatial, temporal, .. } = template;
        let to = || (0..).zip(&self.highest).map(|(target, highest)| (*highest, indications.of(target)));
        let present = || to().filter(|(_, indication)| *indication != NOT_PRESENT);
        let mut above = to().filter(|((other, _), _)| *other > spatial).peekable();
        let is_unreferenced = above.peek().is_some() && above.all(|(_, indication)| indication == NOT_PRESENT);
        // Whether a receiver may switch to all targets to which it is something, of those that `concerns` says.
        let switches = |concerns: fn(u8, u8) -> bool| {
            let mut some = present().filter(|((_, other), _)| concerns(*other, temporal)).peekable();
            some.peek().is_some() && some.all(|(_, indication)| indication == SWITCH)
        };
        let opens = switches(|other, own| other > own);
        let enters = temporal > 0 && switches(|other, own| other == own);
        Frame::of_layers(spatial, temporal)
            .unreferenced(is_unreferenced)
            .opens(opens)
            .enters(enters)
            .discardable(to().all(|(_, indication)| indication <= DISCARDABLE))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::bits::tests::written;
    use super::*;

    fn starts_key_frame(descriptor: &[u8]) -> Option<bool> {
        read(descriptor, None).map(|said| said.frame.is_key())
    }

    fn picture_size(descriptor: &[u8]) -> Option<(u16, u16)> {
        read(descriptor, None)?.picture
    }

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
            assert_eq!(starts_key_frame(&whole[..len]), None, "{len} bytes");
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

    /// What a descriptor without a structure of its own says.
    fn said(structure: &Structure, template: u32) -> Frame {
        read(&written(&mandatory(1, template)), Some(structure)).expect("a template of it").frame
    }

    /// The bits of a structure of so many decode targets, and per template: how the layers go on to the next one, and
    /// what it is to each target, as the specification writes that down.
    pub(in crate::codec) fn fields_of(targets: u32, templates: &[(u32, &str)]) -> Vec<(u32, u32)> {
        let mut fields = vec![(0, 6), (targets - 1, 5)];
        fields.extend(templates.iter().map(|(next, _)| (*next, 2)));
        let indication = |letter| ("-DSR".find(letter).expect("one of four") as u32, 2);
        fields.extend(templates.iter().flat_map(|(_, indications)| indications.chars().map(indication)));
        fields.extend(templates.iter().map(|_| (0, 1)));
        // No chains: one of so many values and one more, in as many bits as that takes at least; and no resolutions.
        fields.extend([(0, (targets + 1).ilog2()), (0, 1)]);
        fields
    }

    fn of_templates(targets: u32, templates: &[(u32, &str)]) -> Structure {
        Structure::read(&mut Bits::new(&written(&fields_of(targets, templates)))).expect("whole")
    }

    #[test]
    fn templates_tell_layers_and_where_they_may_be_entered() {
        // Three temporal layers, as libwebrtc's L1T3 has them.
        let l1t3 = of_templates(3, &[(0, "SSS"), (1, "SSS"), (1, "-DS"), (0, "--D"), (3, "--D")]);
        assert_eq!(l1t3.highest, [(0, 0), (0, 1), (0, 2)]);
        let frames = [0, 2, 3].map(|template| said(&l1t3, template));
        assert_eq!(frames.map(Frame::temporal), [0, 1, 2]);
        assert_eq!(frames.map(Frame::is_discardable), [false, false, true]);
        assert_eq!(frames.map(|frame| frame.entered_temporal(0, 2)), [Some(2), None, None]);
        assert_eq!(frames.map(|frame| frame.entered_temporal(1, 2)), [Some(2), Some(2), None]);
        assert!(frames.iter().all(|frame| frame.is_first() && !frame.is_key() && !frame.is_unreferenced()));
    }

    #[test]
    fn a_frame_that_no_higher_layer_needs_is_told_apart() {
        // Two spatial layers that need each other at key frames only (L2T1_KEY), and always (L2T1).
        let key = of_templates(2, &[(0, "SS"), (2, "S-"), (0, "-S"), (3, "-S")]);
        assert_eq!(key.highest, [(0, 0), (1, 0)]);
        let frames = [0, 1, 2].map(|template| said(&key, template));
        assert_eq!(frames.map(Frame::spatial), [0, 0, 1]);
        assert_eq!(frames.map(Frame::is_unreferenced), [false, true, false]);
        let full = of_templates(2, &[(0, "SS"), (2, "SR"), (0, "-S"), (3, "-R")]);
        assert_eq!([0, 1, 2].map(|template| said(&full, template).is_unreferenced()), [false; 3]);
    }

    #[test]
    fn without_a_structure_it_says_nothing() {
        assert_eq!(read(&written(&mandatory(1, 0)), None), None);
        let structure = of_templates(1, &[(3, "S")]);
        assert_eq!(read(&written(&mandatory(1, 1)), Some(&structure)), None, "a template that it does not have");
        let own = written(&[mandatory(1, 0), vec![(0b00100, 5), (1, 2)]].concat());
        assert!(
            read(&own, Some(&structure)).is_some_and(|said| said.frame.is_discardable()),
            "an indication of its own"
        );
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
            if let Some(said) = read(&bytes[..round % 256], None) {
                let _ = read(&[0x05; 3], said.structure.as_deref());
            }
        }
    }
}
