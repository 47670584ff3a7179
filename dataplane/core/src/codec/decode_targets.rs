//! Which decode targets of a dependency descriptor a receiver can decode, where it is sent fewer layers than there are
//! (AOM "RTP Payload Format For AV1", appendix A.8.2: active_decode_targets_bitmask).
//!
//! What a sender says holds until it says something else, and a structure makes all targets active again. What is
//! written for one receiver must not depend on what it got before, since packets are lost and repeated. So every
//! packet for a receiver of some layers says what this one can decode: of the targets that the sender calls active,
//! those for which all frames are sent. The structure and everything else of the descriptor stays as it came.
//!
//! Structures are the stream's, and it may have another one when a packet leaves. So what is needed is noted with the
//! packet when it comes: [`write()`] into the slot, [`limited`] for each such receiver.

use super::Frame;
use super::bits::{Bits, Writer};

/// The longest descriptor that an element of a header extension holds.
pub(crate) const MAX_DESCRIPTOR_BYTES: usize = 255;
/// Bits of mandatory_descriptor_fields, and of the flags behind them.
const MANDATORY_BITS: u32 = 24;
const FLAG_BITS: u32 = 5;
/// active_decode_targets_present_flag, the second of five flags.
const HAS_TARGETS: u32 = 1 << 3;
/// A note: how many targets, where they are said, which are active, then what each needs.
const HEAD_BYTES: usize = 7;
/// In a note's place: the descriptor says itself which targets are active.
const SAYS: u16 = 1 << 15;

/// Where a descriptor says, or would say, which decode targets are active, in bits; what it says, and which are where
/// it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    at: u32,
    said: Option<u32>,
    active: u32,
}

impl Place {
    pub(super) const fn new(at: u32, said: Option<u32>) -> Self {
        Self { at, said, active: u32::MAX }
    }

    /// What the descriptor says.
    pub(crate) const fn said(self) -> Option<u32> {
        self.said
    }

    /// The same where these targets are active if it says nothing.
    pub(crate) const fn or(self, active: u32) -> Self {
        Self { active, ..self }
    }
}

/// Which decode targets a sender calls active, as far as it has said. Bit n is that of target n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Active {
    targets: u32,
    /// The sequence number from which on they are, and those of before, for packets that come late.
    since: u64,
    before: u32,
}

impl Active {
    /// These from the beginning on.
    pub(super) const fn new(targets: u32) -> Self {
        Self { targets, since: 0, before: targets }
    }

    /// The newest packet says that these are active.
    pub(crate) const fn say(&mut self, sequence: u64, targets: u32) {
        if targets != self.targets {
            *self = Self { targets, since: sequence, before: self.targets };
        }
    }

    /// Those that are active with a packet that does not say so.
    pub(crate) const fn at(self, sequence: u64) -> u32 {
        if sequence < self.since { self.before } else { self.targets }
    }
}

/// Up to which layers a receiver is sent a stream: a spatial one, with what that needs of those below, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(super) spatial: Option<u8>,
    pub(super) temporal: u8,
}

/// Which frames a receiver of a decode target must be sent, in 16 bits: the highest spatial layer, the highest temporal
/// layer above it, and above that one more than the lowest spatial layer with frames that no higher layer needs, 0 for
/// none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach(u16);

impl Reach {
    const fn new(spatial: u8, temporal: u8, alone: Option<u8>) -> Self {
        let alone = match alone {
            Some(alone) => alone as u16 + 1,
            None => 0,
        };
        Self(spatial as u16 | (temporal as u16) << 4 | alone << 8)
    }

    const fn spatial(self) -> u8 {
        (self.0 & 0x0f) as u8
    }

    const fn temporal(self) -> u8 {
        (self.0 >> 4 & 0x0f) as u8
    }

    const fn alone(self) -> Option<u8> {
        ((self.0 >> 8 & 0x0f) as u8).checked_sub(1)
    }

    /// The same with this frame.
    pub(super) fn with(self, frame: Frame) -> Self {
        let own = frame.is_unreferenced().then_some(frame.spatial());
        let alone = self.alone().into_iter().chain(own).min();
        Self::new(self.spatial().max(frame.spatial()), self.temporal().max(frame.temporal()), alone)
    }

    /// Whether a receiver of these layers is sent all of it. Of a spatial layer below the highest that it gets it is
    /// sent only what higher ones need.
    fn is_within(self, limits: Limits) -> bool {
        let has_all_below = |highest| self.spatial() <= highest && self.alone().is_none_or(|alone| alone >= highest);
        self.temporal() <= limits.temporal && limits.spatial.is_none_or(has_all_below)
    }
}

/// Notes what is needed to say in a packet's descriptor what a receiver of some layers can decode: where that is said,
/// and what each target needs of the structure to which the descriptor refers. A note that says nothing if there is
/// only one target or no room.
pub(crate) fn write(targets: &[Reach], place: Place, room: &mut [u8]) {
    if write_whole(targets, place, room).is_none()
        && let Some(count) = room.first_mut()
    {
        *count = 0;
    }
}

fn write_whole(targets: &[Reach], place: Place, room: &mut [u8]) -> Option<()> {
    (targets.len() > 1).then_some(())?;
    let (head, rest) = room.split_first_chunk_mut::<HEAD_BYTES>()?;
    let at = u16::try_from(place.at).ok().filter(|at| at & SAYS == 0)?;
    let [a, b] = (if place.said.is_some() { at | SAYS } else { at }).to_be_bytes();
    let [c, d, e, f] = place.said.unwrap_or(place.active).to_be_bytes();
    let reach = rest.get_mut(..2 * targets.len())?;
    *head = [u8::try_from(targets.len()).ok()?, a, b, c, d, e, f];
    for (to, reach) in reach.chunks_exact_mut(2).zip(targets) {
        to.copy_from_slice(&reach.0.to_be_bytes());
    }
    Some(())
}

/// A packet's descriptor for a receiver of these layers, by what was noted of it: its length in `out`. `None` if it
/// stays as it is: nothing was noted, the receiver can decode nothing whole, or there is no room.
pub(crate) fn limited(
    descriptor: &[u8],
    note: &[u8],
    limits: Limits,
    out: &mut [u8; MAX_DESCRIPTOR_BYTES],
) -> Option<usize> {
    let (&[count, a, b, c, d, e, f], rest) = note.split_first_chunk::<HEAD_BYTES>()?;
    let (place, active) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
    let reach = rest.get(..2 * usize::from(count))?.chunks_exact(2);
    let within = (0..).zip(reach).filter_map(|(target, reach)| {
        let reach = Reach(u16::from_be_bytes(reach.try_into().ok()?));
        reach.is_within(limits).then_some(1_u32.checked_shl(target)?)
    });
    let targets = Some(active & within.fold(0, |all, one| all | one)).filter(|targets| *targets != 0)?;
    let (at, said) = (u32::from(place & !SAYS), place & SAYS != 0);

    let (mut bits, mut to) = (Bits::new(descriptor), Writer::new(out));
    to.put(bits.take(MANDATORY_BITS)?, MANDATORY_BITS)?;
    // A descriptor that ends here has no flags: nothing of its own.
    let flags = if at == MANDATORY_BITS { 0 } else { bits.take(FLAG_BITS)? };
    to.put(flags | HAS_TARGETS, FLAG_BITS)?;
    to.copy(&mut bits, at.saturating_sub(MANDATORY_BITS + FLAG_BITS))?;
    to.put(targets, count.into())?;
    if said {
        bits.skip(count.into())?;
    }
    let left = bits.left();
    to.copy(&mut bits, left)?;
    Some(to.len())
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::written;
    use super::super::dependency_descriptor::tests::fields_of;
    use super::super::dependency_descriptor::{Descriptor, Structure, read};
    use super::*;

    /// Two spatial and two temporal layers that need each other at key frames only (L2T2_KEY), and always (L2T2). The
    /// targets are S0T0, S0T1, S1T0, S1T1.
    const KEY: [(u32, &str); 6] = [(0, "SSSS"), (1, "SS--"), (2, "-D--"), (0, "--SS"), (1, "--SS"), (3, "---D")];
    const FULL: [(u32, &str); 6] = [(0, "SSSS"), (1, "SSRR"), (2, "-D-R"), (0, "--SS"), (1, "--SS"), (3, "---D")];

    /// The first packet of a frame of a template.
    fn mandatory(template: u32) -> Vec<(u32, u32)> {
        vec![(0b10, 2), (template, 6), (0x1234, 16)]
    }

    /// A key frame; flags: targets, DTIs, differences, chains.
    fn key(templates: &[(u32, &str)], flags: u32, rest: &[(u32, u32)]) -> Vec<u8> {
        written(&[mandatory(0), vec![(0b10000 | flags, 5)], fields_of(4, templates), rest.to_vec()].concat())
    }

    fn said(descriptor: &[u8], known: Option<&Structure>) -> Descriptor {
        read(descriptor, known).expect("whole")
    }

    /// A descriptor as a receiver of these layers gets it.
    fn of(descriptor: &[u8], known: Option<&Structure>, limits: Limits) -> Option<Vec<u8>> {
        let (mut note, mut out) = ([0xff; 80], [0; MAX_DESCRIPTOR_BYTES]);
        let said = read(descriptor, known)?;
        let structure = said.structure.as_deref().or(known)?;
        write(structure.reach(), said.place.or(structure.active().at(7)), &mut note);
        let len = limited(descriptor, &note, limits, &mut out)?;
        Some(out[..len].to_vec())
    }

    const fn up_to(spatial: Option<u8>, temporal: u8) -> Limits {
        Limits { spatial, temporal }
    }

    /// The targets, S1T1 first, that a receiver of these layers can decode of a stream.
    fn targets(templates: &[(u32, &str)], spatial: Option<u8>, temporal: u8) -> u32 {
        let sent = key(templates, 0, &[]);
        let got = of(&sent, None, up_to(spatial, temporal)).expect("there is one");
        said(&got, None).place.said().expect("it says")
    }

    #[test]
    fn those_are_active_of_which_all_frames_are_sent() {
        let (low, high) = (Some(0), Some(1));
        let all = |templates| {
            [(None, 7), (None, 0), (high, 7), (high, 0), (low, 7), (low, 0)].map(|(s, t)| targets(templates, s, t))
        };
        assert_eq!(all(&FULL), [0b1111, 0b0101, 0b1111, 0b0101, 0b0011, 0b0001]);
        // Who gets layer 1 is sent nothing of layer 0 but key frames.
        assert_eq!(all(&KEY), [0b1111, 0b0101, 0b1100, 0b0100, 0b0011, 0b0001]);
    }

    #[test]
    fn a_key_frame_keeps_its_structure_and_a_later_frame_refers_to_it() {
        let sent = key(&FULL, 0, &[]);
        let structure = said(&sent, None).structure.expect("it attaches one");
        let got = of(&sent, None, up_to(Some(0), 7)).expect("limited");
        let limited = said(&got, None);
        assert_eq!((limited.frame, limited.picture), (said(&sent, None).frame, None));
        let attached = limited.structure.expect("the same");
        assert_eq!((attached.active().at(0), attached.reach()), (0b0011, structure.reach()));
        // A descriptor of three bytes gets flags.
        let later = written(&mandatory(1));
        assert_eq!(later.len(), 3);
        let got = of(&later, Some(&structure), up_to(Some(0), 0)).expect("limited");
        assert_eq!(got, written(&[mandatory(1), vec![(0b01000, 5), (0b0001, 4)]].concat()));
        assert_eq!(said(&got, Some(&structure)).frame, said(&later, Some(&structure)).frame);
    }

    #[test]
    fn what_a_frame_has_of_its_own_stays_behind() {
        let structure = said(&key(&FULL, 0, &[]), None).structure.expect("it attaches one");
        // Indications of its own, one difference, no chains.
        let own = [(0b1000_1100, 8), (1, 2), (9, 4), (0, 2)];
        let sent = written(&[mandatory(2), vec![(0b00110, 5)], own.to_vec()].concat());
        let got = of(&sent, Some(&structure), up_to(None, 0)).expect("limited");
        assert_eq!(got, written(&[mandatory(2), vec![(0b01110, 5), (0b0101, 4)], own.to_vec()].concat()));
    }

    #[test]
    fn what_the_sender_has_stopped_is_not_active() {
        let sent = key(&FULL, 0b01000, &[(0b0111, 4)]);
        let structure = said(&sent, None).structure.expect("it attaches one");
        assert_eq!(structure.active().at(0), 0b0111);
        let got = of(&sent, None, up_to(Some(1), 7)).expect("limited");
        assert_eq!(got, sent, "what it says is what can be decoded");
        let got = of(&sent, None, up_to(Some(1), 0)).expect("limited");
        assert_eq!((got.len(), said(&got, None).place.said()), (sent.len(), Some(0b0101)), "in the same place");
        // A later one says nothing, and means the same.
        let got = of(&written(&mandatory(1)), Some(&structure), up_to(Some(1), 7)).expect("limited");
        assert_eq!(said(&got, Some(&structure)).place.said(), Some(0b0111));
    }

    #[test]
    fn it_stays_as_it_is_where_there_is_nothing_to_say() {
        let mut stopped = said(&key(&KEY, 0, &[]), None).structure.expect("it attaches one");
        stopped.active_mut().say(7, 0b0011);
        assert_eq!([6, 7].map(|at| stopped.active().at(at)), [0b1111, 0b0011], "late ones are of before");
        assert_eq!(of(&written(&mandatory(1)), Some(&stopped), up_to(Some(1), 7)), None, "nothing whole is left");
        let one = written(&[mandatory(0), vec![(0b10000, 5)], fields_of(1, &[(3, "S")])].concat());
        assert_eq!(of(&one, None, up_to(Some(0), 0)), None, "one target");
        let (sent, mut note, mut out) = (key(&FULL, 0, &[]), [0xff; 80], [0; MAX_DESCRIPTOR_BYTES]);
        let described = said(&sent, None);
        for room in 0..HEAD_BYTES + 8 {
            let reach = described.structure.as_deref().map(Structure::reach).unwrap_or_default();
            write(reach, described.place, &mut note[..room]);
            assert_eq!(limited(&sent, &note[..room], up_to(Some(0), 0), &mut out), None, "{room} bytes of room");
        }
        write(&[], Place::default(), &mut note);
        assert_eq!(limited(&sent, &note, up_to(Some(0), 0), &mut out), None, "of a packet that has none");
        let longest = [sent, vec![0; MAX_DESCRIPTOR_BYTES]].concat();
        assert_eq!(of(&longest[..MAX_DESCRIPTOR_BYTES], None, up_to(Some(0), 0)), None, "it would be too long");
    }

    #[test]
    fn whatever_a_sender_writes_is_the_same_but_for_the_targets() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let (mut known, mut changed): (Option<Box<Structure>>, u32) = (None, 0);
        for round in 0..60_000 {
            let mut sent: Vec<u8> = (0..round % 100).map(|_| random()).collect();
            // One in three attaches a structure, if it is lawful.
            if let (0, Some(flags)) = (round % 3, sent.get_mut(3)) {
                *flags |= 0x80;
            }
            let limits = up_to(Some(random() % 4).filter(|spatial| *spatial < 3), random() % 4);
            let Some(before) = read(&sent, known.as_deref()) else { continue };
            if let Some(got) = of(&sent, known.as_deref(), limits) {
                let after = said(&got, known.as_deref());
                let known_active = known.as_deref().map_or(u32::MAX, |known| known.active().at(7));
                let unsaid = if before.structure.is_some() { u32::MAX } else { known_active };
                let active = before.place.said().unwrap_or(unsaid);
                assert_eq!(after.frame, before.frame);
                assert_eq!(after.place.said().map(|said| said & !active), Some(0), "no target that was not active");
                let reach = |said: &Descriptor| said.structure.as_deref().map(|one| one.reach().to_vec());
                assert_eq!(reach(&after), reach(&before));
                changed += 1;
            }
            known = before.structure.or(known);
        }
        assert!(changed > 1_000, "{changed}");
    }

    #[test]
    fn no_note_makes_it_panic() {
        let mut state = 1_u64;
        let sent = key(&FULL, 0, &[]);
        for round in 0..50_000 {
            let note: Vec<u8> = (0..round % 80)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let _ = limited(&sent, &note, up_to(Some(1), 1), &mut [0; MAX_DESCRIPTOR_BYTES]);
        }
    }
}
