//! A source with spatial and temporal layers within one encoding (SVC), of VP9 or AV1, as it sends them: which frames
//! there are, what each needs, and how its packets say so. Written from RFC 9628 and appendix A of AOM's "RTP Payload
//! Format For AV1", not from the machine; [`checker`] has what a receiver may be sent of it.

pub mod checker;
mod descriptor;
mod drawing;

use bytes::Bytes;
use corecast_wire::Codec;

use super::random::Random;

/// Bytes before the stamp of a VP9 packet that a router may change: they number pictures.
pub const VP9_HEAD_BYTES: usize = 5;
/// Pictures after which temporal layers repeat themselves.
const PATTERNS: [&[u8]; 3] = [&[0], &[0, 1], &[0, 2, 1, 2]];

/// How many layers there are, and what they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Svc {
    /// Spatial layers, 1 to 3.
    pub spatial: u8,
    /// Temporal layers, 1 to 3.
    pub temporal: u8,
    /// Spatial layers need each other at key frames only.
    pub keyed: bool,
}

/// A frame of one spatial layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of its picture, from 0.
    pub picture: u64,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// It is of a key picture.
    pub key: bool,
    /// The picture before it, in the same spatial layer, that it needs, unless it is of a key picture.
    pub needs: u64,
}

/// A packet's part in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The frame.
    pub frame: Frame,
    /// It is the first packet.
    pub first: bool,
    /// It is the last packet.
    pub last: bool,
    /// What its numbers of pictures are, of VP9: picture ID and TL0PICIDX.
    pub ids: (u16, u8),
    /// Decode targets that the sender calls active, of AV1; bit n is that of target n.
    pub active: u32,
}

impl Svc {
    /// Whether a frame is of a decode target, layers up to these.
    #[must_use]
    pub const fn is_of(self, frame: &Frame, (spatial, temporal): (u8, u8)) -> bool {
        let is_alone = self.keyed && !frame.key && frame.spatial != spatial;
        frame.spatial <= spatial && frame.temporal <= temporal && !is_alone
    }

    /// The decode targets, in the order in which a structure has them.
    pub fn targets(self) -> impl Iterator<Item = (u8, u8)> {
        (0..self.spatial).flat_map(move |spatial| (0..self.temporal).map(move |temporal| (spatial, temporal)))
    }

    /// The targets whose spatial layers are up to this one.
    fn active_up_to(self, highest: u8) -> u32 {
        let bits = (0..).zip(self.targets()).filter(|(_, (spatial, _))| *spatial <= highest);
        bits.fold(0, |bits, (at, _)| bits | 1 << at)
    }
}

/// A sender of layers at work.
#[derive(Debug)]
pub struct Layers {
    svc: Svc,
    codec: Codec,
    picture: u64,
    /// Place in the pattern of temporal layers.
    place: usize,
    /// Newest picture that frames of each temporal layer need.
    newest: [u64; 3],
    /// The best spatial layer that is sent just now.
    highest: u8,
    picture_id: u16,
    tl0: u8,
    frame_number: u16,
}

/// One packet: what is before its stamp, its dependency descriptor, and its part.
#[derive(Debug)]
pub struct Piece {
    /// Before the stamp.
    pub head: Vec<u8>,
    /// Its descriptor, if it is of AV1.
    pub descriptor: Option<Bytes>,
    /// Its part.
    pub part: Part,
}

impl Layers {
    /// A sender that has sent nothing yet.
    #[must_use]
    pub fn new(svc: Svc, codec: Codec, random: &mut Random) -> Self {
        let picture_id = u16::try_from(random.range(0..=0x7fff)).expect("15 bits");
        let tl0 = u8::try_from(random.range(0..=255)).expect("8 bits");
        let highest = svc.spatial - 1;
        Self { svc, codec, picture: 0, place: 0, newest: [0; 3], highest, picture_id, tl0, frame_number: picture_id }
    }

    /// The pieces of the next picture. Now and then the best layers are left out; they come again with a key frame.
    pub fn picture(&mut self, wants_key: bool, random: &mut Random) -> Vec<Piece> {
        let best = self.svc.spatial - 1;
        let wanted =
            if random.percent(2) { u8::try_from(random.range(0..=best.into())).expect("few") } else { self.highest };
        let key = wants_key || wanted > self.highest;
        self.highest = wanted;
        self.place = if key { 0 } else { self.place + 1 };
        let pattern = PATTERNS[usize::from(self.svc.temporal) - 1];
        let temporal = pattern[self.place % pattern.len()];
        // The newest picture of a lower temporal layer; of the lowest, the one before.
        let below = usize::from(temporal.max(1));
        let needs = self.newest[..below].iter().copied().max().unwrap_or(0);
        if key {
            self.newest = [self.picture; 3];
        }
        self.newest[usize::from(temporal)] = self.picture;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        let mut pieces = Vec::new();
        for spatial in 0..=self.highest {
            let frame = Frame { picture: self.picture, spatial, temporal, key, needs };
            let count = random.range(1..=1 + u64::from(spatial));
            pieces.extend((0..count).map(|at| self.piece(frame, at == 0, at + 1 == count)));
            self.frame_number = self.frame_number.wrapping_add(1);
        }
        self.picture += 1;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        pieces
    }

    fn piece(&self, frame: Frame, first: bool, last: bool) -> Piece {
        let active = self.svc.active_up_to(self.highest);
        let part = Part { frame, first, last, ids: (self.picture_id, self.tl0), active };
        match self.codec {
            Codec::Vp9 => Piece { head: self.vp9(&part), descriptor: None, part },
            _ => {
                let descriptor = descriptor::write(self.svc, &part, self.frame_number);
                Piece { head: vec![0x30, 0x30], descriptor: Some(descriptor.into()), part }
            }
        }
    }

    /// A payload descriptor (RFC 9628 section 4.2) with picture ID and layer indices, not flexible.
    fn vp9(&self, part: &Part) -> Vec<u8> {
        let Part { frame, first, last, ids: (picture_id, tl0), .. } = *part;
        let is_alone = self.svc.keyed && !frame.key;
        let is_best = frame.spatial + 1 == self.svc.spatial;
        let bits = [(!frame.key, 0x40), (first, 0x08), (last, 0x04), (is_alone || is_best, 0x01)];
        let flags = bits.iter().fold(0xa0, |flags, (is_set, bit)| if *is_set { flags | bit } else { flags });
        let depends = u8::from(frame.spatial > 0 && !is_alone);
        let [high, low] = picture_id.to_be_bytes();
        // No later picture needs one before this in a layer above its own: switching up is always possible.
        vec![flags, high | 0x80, low, frame.temporal << 5 | 0x10 | frame.spatial << 1 | depends, tl0, 0x86]
    }
}

/// The picture ID and TL0PICIDX of a packet of [`Layers`].
#[must_use]
pub fn ids_of(payload: &[u8]) -> Option<(u16, u8)> {
    let [_, high, low, _, tl0, ..] = *payload else { return None };
    Some((u16::from_be_bytes([high & 0x7f, low]), tl0))
}
