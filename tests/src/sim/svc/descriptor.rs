//! Dependency descriptors of a source with layers, written and read bit by bit.

use super::{Frame, Part, Svc};

/// Bits, the most significant first.
#[derive(Debug, Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        self.0.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(8), false);
        self.0.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
    }
}

/// What the templates stand for, in their order: per spatial layer a frame of a key picture, then one of each temporal
/// layer.
fn templates(svc: Svc) -> Vec<Frame> {
    let of = |spatial, temporal, key| Frame { picture: 0, spatial, temporal, key, needs: 0 };
    let layer =
        |spatial| std::iter::once(of(spatial, 0, true)).chain((0..svc.temporal).map(move |t| of(spatial, t, false)));
    (0..svc.spatial).flat_map(layer).collect()
}

/// What a frame is to a target (table A.1): not present, discardable, switch, required.
fn indication(svc: Svc, frame: &Frame, target: (u8, u8)) -> u32 {
    let (spatial, temporal) = target;
    if !svc.is_of(frame, target) {
        return 0;
    }
    let is_needed = frame.temporal < temporal || frame.temporal == 0;
    match (frame.key || frame.spatial == spatial, is_needed && frame.temporal < 2) {
        (true, true) => 2,
        (true, false) => 1,
        (false, _) => 3,
    }
}

fn structure(svc: Svc, bits: &mut Bits) {
    let templates = templates(svc);
    bits.put(0, 6);
    bits.put(u32::from(svc.spatial * svc.temporal) - 1, 5);
    for (at, template) in templates.iter().enumerate() {
        let next = match templates.get(at + 1) {
            None => 3,
            Some(next) if next.spatial > template.spatial => 2,
            Some(next) => u32::from(next.temporal > template.temporal),
        };
        bits.put(next, 2);
    }
    for template in &templates {
        svc.targets().for_each(|target| bits.put(indication(svc, template, target), 2));
    }
    for template in &templates {
        if !template.key || template.spatial > 0 {
            bits.put(1, 1);
            bits.put(0, 4);
        }
        bits.put(0, 1);
    }
    // No chains: one of so many values and one more; no resolutions.
    bits.put(0, (u32::from(svc.spatial * svc.temporal) + 1).ilog2());
    bits.put(0, 1);
}

/// The descriptor of a packet. The first of a key picture attaches the structure, and the first of each frame says
/// which targets are active where these are not all.
pub(super) fn write(svc: Svc, part: &Part, frame_number: u16) -> Vec<u8> {
    let Part { frame, first, last, active, .. } = part;
    let same = |one: &Frame| (one.spatial, one.temporal, one.key) == (frame.spatial, frame.temporal, frame.key);
    let template = templates(svc).iter().position(same).expect("all frames have one");
    let mut bits = Bits::default();
    bits.put(u32::from(*first), 1);
    bits.put(u32::from(*last), 1);
    bits.put(u32::try_from(template).expect("few"), 6);
    bits.put(frame_number.into(), 16);
    let (has_structure, has_targets) = (attaches_structure(part), *first && *active != all(svc));
    if has_structure || has_targets {
        bits.put(u32::from(has_structure) << 4 | u32::from(has_targets) << 3, 5);
    }
    if has_structure {
        structure(svc, &mut bits);
    }
    if has_targets {
        bits.put(*active, u32::from(svc.spatial * svc.temporal));
    }
    bits.bytes()
}

fn attaches_structure(part: &Part) -> bool {
    part.first && part.frame.key && part.frame.spatial == 0
}

/// Whether the descriptor of a packet, as the sender wrote it, says which targets are active: a structure makes all so.
pub(super) fn tells_active(svc: Svc, part: &Part) -> bool {
    attaches_structure(part) || part.first && part.active != all(svc)
}

fn all(svc: Svc) -> u32 {
    svc.active_up_to(svc.spatial)
}

/// Which targets are active from a packet on, if its descriptor says so; and whether it attaches the structure.
///
/// # Errors
/// If it is not what [`write()`] wrote for this packet, but for the active targets.
pub(super) fn read(svc: Svc, part: &Part, descriptor: &[u8]) -> Result<(Option<u32>, bool), String> {
    let number = descriptor.get(1..3).map_or(0, |number| u16::from_be_bytes([number[0], number[1]]));
    let bit = |at: usize| descriptor.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let has_flags = descriptor.len() > 3;
    let (has_structure, has_targets) = (has_flags && bit(24), has_flags && bit(25));
    let mut expected = Bits::default();
    if has_structure {
        structure(svc, &mut expected);
    }
    let (from, width) = (29 + expected.0.len(), usize::from(svc.spatial * svc.temporal));
    let said = has_targets.then(|| (0..width).fold(0, |said, at| said << 1 | u32::from(bit(from + at))));
    let is_same = (29..from).zip(&expected.0).all(|(at, is_set)| bit(at) == *is_set);
    let sent = write(svc, part, number);
    let attaches = sent.len() > 3 && sent[3] & 0x80 != 0;
    let end = if has_targets {
        from + width
    } else if has_flags {
        from
    } else {
        24
    };
    let is_right =
        descriptor.get(..3) == sent.get(..3) && is_same && has_structure == attaches && !(bit(26) && has_flags);
    if !is_right || descriptor.len() != end.div_ceil(8) && descriptor.len() != end.div_ceil(8) + 1 {
        return Err(format!("descriptor {descriptor:02x?} of a packet that was sent with {sent:02x?}"));
    }
    Ok((said.or_else(|| has_structure.then(|| all(svc))), has_structure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (spatial, temporal, keyed) in [(1, 1, false), (2, 2, true), (3, 3, false), (3, 3, true)] {
            let svc = Svc { spatial, temporal, keyed };
            for frame in templates(svc) {
                for active in [all(svc), 1] {
                    let part = Part { frame, first: true, last: false, ids: (0, 0), active };
                    let (said, attaches) = read(svc, &part, &write(svc, &part, 7)).expect("its own");
                    assert_eq!(attaches, frame.key && frame.spatial == 0);
                    assert_eq!(said, (attaches || active != all(svc)).then_some(active));
                }
            }
        }
    }
}
