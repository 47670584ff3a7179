//! Spatial layers within one encoding (SVC): which frames of VP9 and AV1 a consumer is sent, where it changes, that its
//! numbers have no holes, that each picture ends with the marker, and that its dependency descriptors say what it can
//! decode.

use std::time::Duration;

use corecast_core::rtp::{Header, RtpView, write_extension_block, write_header};
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerExtension, ConsumerId, Event, ExtensionMapping,
    HeaderExtension, ObjectStats, PayloadTypeMapping, ProduceOptions, Reply, SpatialLayer,
};

use crate::bed::{Bed, path, receiver, remote, video};

const OUT: u32 = 21;
const DESCRIPTOR: u8 = 9;

/// How a sender makes its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// VP9, each layer needs the one below (L3T1).
    Full,
    /// VP9, at key frames only (L3T1_KEY).
    Independent,
    /// AV1, at key frames only (L2T1_KEY).
    Av1,
}

/// A frame that reached the receiver: picture, spatial layer.
type Got = (u16, u8);

struct Stage {
    bed: Bed,
    mode: Mode,
    sequence: u16,
    picture: u16,
    got: Vec<Got>,
    numbers: Vec<u16>,
    /// Pictures, and the layer of each of which the last packet had the marker.
    ends: Vec<Got>,
    /// Decode targets that the receiver takes to be active, by what it was told until a picture; bit n is that of layer
    /// n.
    active: Vec<(u16, u32)>,
    asked: usize,
}

/// Bits of the structure below, which begins behind those of the fields that each descriptor has and the flags.
const STRUCTURE_BITS: usize = 56;
const HEAD_BITS: usize = 24 + 5;

/// What a descriptor says of the two targets, if it does; those of a structure are active.
fn said_active(descriptor: &[u8]) -> Option<u32> {
    let bit = |at: usize| u32::from(descriptor[at / 8] >> (7 - at % 8) & 1);
    let [has_structure, has_targets] = [24, 25].map(|at| descriptor.len() > 3 && bit(at) == 1);
    let at = HEAD_BITS + if has_structure { STRUCTURE_BITS } else { 0 };
    match (has_structure, has_targets) {
        (_, true) => Some(bit(at) << 1 | bit(at + 1)),
        (true, false) => Some(0b11),
        (false, false) => None,
    }
}

/// The structure of L2T1_KEY: a key frame of both layers, then each for itself.
fn structure() -> Vec<u8> {
    let mut fields = vec![(0b1100_0000, 8), (0, 16), (0b10000, 5), (0, 6), (1, 5)];
    // The layers of four templates; what each is to both targets; what it depends on: nothing, or one frame before.
    fields.extend([(0, 2), (2, 2), (0, 2), (3, 2)]);
    fields.extend([(2, 2), (2, 2), (2, 2), (0, 2), (0, 2), (2, 2), (0, 2), (2, 2)]);
    fields.extend([(0, 1), (1, 1), (1, 4), (0, 1), (1, 1), (0, 4), (0, 1), (1, 1), (1, 4), (0, 1)]);
    // No chains, no resolutions.
    fields.extend([(0, 1), (0, 1), (0, 1)]);
    let mut bits: Vec<bool> =
        fields.iter().flat_map(|&(value, width)| (0..width).rev().map(move |bit| value >> bit & 1 == 1)).collect();
    bits.resize(bits.len().next_multiple_of(8), false);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

impl Stage {
    fn new(mode: Mode) -> Self {
        Self::with_receiver(mode, true)
    }

    fn with_receiver(mode: Mode, knows_descriptor: bool) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        let codec = if mode == Mode::Av1 { Codec::Av1 } else { Codec::Vp9 };
        let mapping = CodecMapping { payload_type: 96, mapped_payload_type: 101, codec, clock_rate_hz: 90_000 };
        let extension = HeaderExtension::DependencyDescriptor;
        let options = ProduceOptions {
            codecs: vec![mapping],
            header_extensions: vec![ExtensionMapping { extension, id: DESCRIPTOR, mapped_id: 7 }],
            ..video()
        };
        bed.produce_as(0, 1, options).expect("new");
        let known = ConsumerExtension::same(extension, 7);
        let options = ConsumeOptions {
            payload_types: vec![PayloadTypeMapping::same(101)],
            header_extensions: if knows_descriptor { vec![known] } else { vec![] },
            ..receiver(OUT)
        };
        bed.consume_as(1, 1, options).expect("new");
        bed.sent();
        let (got, numbers, ends, active) = (vec![], vec![], vec![], vec![]);
        Self { bed, mode, sequence: 60_000, picture: 0, got, numbers, ends, active, asked: 0 }
    }

    /// Two packets of a frame. Each carries the number of its picture and its layer behind what the codec says.
    fn frame(&mut self, spatial: u8, is_key: bool, is_last: bool) {
        for first in [true, false] {
            let (picture, note) = (self.picture.to_be_bytes(), [self.picture as u8, spatial]);
            let mut elements: Vec<(u8, Vec<u8>)> = Vec::new();
            let payload = match self.mode {
                Mode::Full | Mode::Independent => {
                    let bits = [
                        (true, 0xa0),
                        (!is_key, 0x40),
                        (first, 0x08),
                        (!first, 0x04),
                        (self.mode == Mode::Independent && !is_key, 0x01),
                    ];
                    let head = bits.iter().fold(0, |head, (is_set, bit)| if *is_set { head | bit } else { head });
                    let depends = u8::from(spatial > 0 && (is_key || self.mode == Mode::Full));
                    vec![
                        head,
                        picture[0] | 0x80,
                        picture[1],
                        spatial << 1 | depends,
                        self.picture as u8,
                        0x82,
                        note[0],
                        note[1],
                    ]
                }
                Mode::Av1 => {
                    // Templates: 0 key of layer 0, 1 layer 0, 2 key of layer 1, 3 layer 1.
                    let template = match (is_key, spatial) {
                        (true, 0) => 0,
                        (false, 0) => 1,
                        (true, _) => 2,
                        (false, _) => 3,
                    };
                    let edges = if first { 0x80 } else { 0x40 };
                    let mut descriptor = vec![edges | template, picture[0], picture[1]];
                    if is_key && spatial == 0 && first {
                        descriptor = structure();
                        descriptor[0] = edges;
                        descriptor[1..3].copy_from_slice(&picture);
                    }
                    elements.push((DESCRIPTOR, descriptor));
                    vec![0x30, 0x30, note[0], note[1]]
                }
            };
            let mut block = [0; 256];
            let len = write_extension_block(&mut block, elements.iter().map(|(id, data)| (*id, &data[..])));
            let header = Header {
                payload_type: 96,
                marker: is_last && !first,
                sequence: self.sequence,
                timestamp: u32::from(self.picture) * 3_000,
                ssrc: 1_111,
                ..Header::default()
            };
            let mut packet = vec![0; 12 + len + payload.len()];
            let at = write_header(&mut packet, &header, &[], &block[..len]).expect("room");
            packet[at..].copy_from_slice(&payload);
            self.bed.arrive(path(0), &packet);
            self.sequence = self.sequence.wrapping_add(1);
            self.take();
        }
    }

    /// A picture of spatial layers up to one, and 40 ms.
    fn picture(&mut self, highest: u8, is_key: bool) {
        for spatial in 0..=highest {
            self.frame(spatial, is_key, spatial == highest);
        }
        self.picture += 1;
        self.bed.now = self.bed.now + Duration::from_millis(40);
        self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
        self.take();
    }

    fn pictures(&mut self, count: usize, highest: u8) {
        (0..count).for_each(|_| self.picture(highest, false));
    }

    /// Notes what has left.
    fn take(&mut self) {
        for (to, bytes) in self.bed.sent() {
            if to != remote(1) {
                self.asked += usize::from(bytes[1] == 206);
                continue;
            }
            if bytes[1] & 0x7f != 101 {
                continue;
            }
            let view = RtpView::parse(&bytes).expect("lawful");
            let &[.., number, spatial] = view.body() else { panic!("too short") };
            let got = (u16::from(number), spatial);
            if self.got.last() != Some(&got) {
                self.got.push(got);
            }
            let before = self.active.last().map_or(0, |(_, active)| *active);
            let said = view.extension(7).and_then(said_active);
            self.active.push((got.0, said.unwrap_or(before)));
            self.numbers.push(view.sequence());
            if view.marker() {
                self.ends.push(got);
            }
        }
    }

    fn prefer(&mut self, spatial: u8) {
        let (consumer, spatial) = (ConsumerId(OUT.into()), SpatialLayer::Quality(spatial));
        self.bed.command(&Command::SetPreferredLayers { consumer, spatial, temporal: None }).expect("there");
        self.take();
    }

    /// The layers of one picture that reached the receiver.
    fn layers_of(&self, picture: u16) -> Vec<u8> {
        self.got.iter().filter(|(number, _)| *number == picture).map(|(_, spatial)| *spatial).collect()
    }

    /// The receiver of AV1 can decode what it takes to be active of a picture whose layers up to `highest` were sent,
    /// and was sent nothing else.
    fn assert_told(&self, picture: u16, highest: u8, is_key: bool) {
        let got = self.layers_of(picture).into_iter().fold(0, |bits, layer| bits | 1_u32 << layer);
        let said: Vec<_> = self.active.iter().filter(|(number, _)| *number == picture).map(|(_, said)| *said).collect();
        let Some(active) = said.last().copied().filter(|_| self.mode == Mode::Av1) else { return };
        // A key frame of the upper layer needs that of the lower one. In the middle of a picture there may be fewer.
        let needs = |active: u32| if is_key && active & 0b10 != 0 { active | 1 } else { active };
        let (sent, all) = ((1_u32 << (highest + 1)) - 1, said.iter().fold(0, |all, said| all | needs(*said)));
        let is_told = active != 0 && needs(active) & sent & !got == 0 && got & !all == 0;
        assert!(is_told, "picture {picture}: got {got:02b}, active {said:?}");
    }

    fn assert_whole(&self) {
        for pair in self.numbers.windows(2) {
            assert_eq!(pair[1], pair[0].wrapping_add(1), "numbers have no holes");
        }
        for picture in 0..self.picture {
            let highest = self.layers_of(picture).into_iter().max();
            let ends: Vec<_> = self.ends.iter().filter(|(number, _)| *number == picture).collect();
            assert_eq!(ends.iter().map(|(_, spatial)| *spatial).collect::<Vec<_>>(), Vec::from_iter(highest));
        }
    }

    fn layer_events(&mut self) -> Vec<Option<u8>> {
        let events = std::iter::from_fn(|| self.bed.worker.poll_event());
        let changes = events.filter_map(|event| match event {
            Event::ConsumerLayersChanged { current, .. } => Some(current.map(|current| current.spatial)),
            _ => None,
        });
        changes.collect()
    }
}

#[test]
fn a_lower_layer_is_entered_with_the_next_picture_and_a_higher_one_at_a_key_frame() {
    let mut stage = Stage::new(Mode::Full);
    stage.picture(2, true);
    stage.pictures(60, 2);
    stage.prefer(1);
    stage.pictures(1, 2);
    assert_eq!((stage.layers_of(60), stage.layers_of(61)), (vec![0, 1, 2], vec![0, 1]));
    stage.pictures(20, 2);
    let asked = stage.asked;
    stage.prefer(2);
    assert_eq!(stage.asked, asked + 1, "a key frame is needed to go up");
    stage.pictures(2, 2);
    assert_eq!(stage.layers_of(83), [0, 1]);
    stage.picture(2, true);
    stage.pictures(1, 2);
    assert_eq!((stage.layers_of(84), stage.layers_of(85)), (vec![0, 1, 2], vec![0, 1, 2]));
    stage.assert_whole();
    assert_eq!(stage.layer_events(), [Some(2), Some(1), Some(2)]);
}

#[test]
fn layers_that_need_each_other_at_key_frames_only_are_sent_alone() {
    let mut stage = Stage::new(Mode::Independent);
    stage.picture(2, true);
    stage.pictures(60, 2);
    assert_eq!((stage.layers_of(0), stage.layers_of(60)), (vec![0, 1, 2], vec![2]));
    let asked = stage.asked;
    stage.prefer(0);
    assert_eq!(stage.asked, asked + 1, "to go down as well");
    stage.pictures(2, 2);
    assert_eq!(stage.layers_of(62), [2]);
    stage.picture(2, true);
    stage.pictures(2, 2);
    assert_eq!((stage.layers_of(63), stage.layers_of(65)), (vec![0], vec![0]));
    stage.prefer(1);
    stage.picture(2, true);
    stage.pictures(5, 2);
    assert_eq!((stage.layers_of(66), stage.layers_of(68)), (vec![0, 1], vec![1]));
    stage.assert_whole();
    assert_eq!(stage.layer_events(), [Some(2), Some(0), Some(1)]);
}

#[test]
fn a_dependency_descriptor_tells_the_layers_of_av1() {
    let mut stage = Stage::new(Mode::Av1);
    stage.picture(1, true);
    stage.pictures(60, 1);
    assert_eq!((stage.layers_of(0), stage.layers_of(60)), (vec![0, 1], vec![1]));
    stage.prefer(0);
    stage.picture(1, true);
    stage.pictures(1, 1);
    assert_eq!((stage.layers_of(61), stage.layers_of(62)), (vec![0], vec![0]));
    stage.assert_whole();
    let active = |picture: u16| stage.active.iter().rfind(|(number, _)| *number == picture).map(|(_, active)| *active);
    assert_eq!([0, 60, 61, 62].map(active), [Some(0b11), Some(0b10), Some(0b01), Some(0b01)]);
}

#[test]
fn without_a_descriptor_a_receiver_gets_av1s_lowest_layer() {
    let mut stage = Stage::with_receiver(Mode::Av1, false);
    stage.picture(1, true);
    stage.pictures(10, 1);
    stage.picture(1, true);
    stage.pictures(10, 1);
    assert_eq!((stage.layers_of(11), stage.layers_of(20)), (vec![0], vec![0]));
}

#[test]
fn a_layer_that_the_sender_leaves_out_is_not_waited_for() {
    let mut stage = Stage::new(Mode::Independent);
    stage.picture(2, true);
    stage.pictures(60, 2);
    let asked = stage.asked;
    stage.pictures(60, 1);
    assert!(stage.asked > asked, "the layers below have not come");
    stage.picture(1, true);
    stage.pictures(2, 1);
    assert_eq!((stage.layers_of(121), stage.layers_of(123)), (vec![0, 1], vec![1]));
    stage.pictures(10, 2);
    stage.picture(2, true);
    stage.pictures(80, 2);
    stage.picture(2, true);
    stage.pictures(1, 2);
    assert_eq!(stage.layers_of(stage.picture - 1), [2], "and comes back");
    stage.assert_whole();
}

#[test]
fn statistics_tell_the_layers_that_are_preferred_and_sent() {
    let mut stage = Stage::new(Mode::Full);
    stage.picture(2, true);
    stage.pictures(20, 2);
    stage.prefer(1);
    stage.pictures(20, 2);
    let Ok(Reply::Stats(page)) = stage.bed.command(&Command::Stats { from: None }) else { panic!("another reply") };
    let told = page.objects.iter().find_map(|object| match object {
        ObjectStats::Consumer(consumer) => Some((consumer.preferred_spatial, consumer.current_spatial)),
        _ => None,
    });
    assert_eq!(told, Some((1, Some(1))));
}

/// Numbers that are the same for the same seed (xorshift64).
struct Dice(u64);

impl Dice {
    /// Below `below`.
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Whether all frames that a frame needs are among those that came, of a picture that is a key frame or not.
fn is_decodable(mode: Mode, came: &[Got], (picture, spatial): Got, is_key: bool) -> bool {
    let has = |got: Got| came.contains(&got);
    let below = spatial == 0 || has((picture, spatial - 1));
    let before = has((picture.wrapping_sub(1), spatial));
    match (is_key, mode) {
        (true, _) => below,
        (false, Mode::Full) => below && before,
        (false, Mode::Independent | Mode::Av1) => before,
    }
}

/// A sender whose best layers come and go, and a receiver who changes its mind and pauses. Frames that came.
fn play_at_random(mode: Mode, seed: u64) -> usize {
    let (mut stage, mut dice) = (Stage::new(mode), Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let best = if mode == Mode::Av1 { 1 } else { 2 };
    let (mut highest, mut keys, mut asked, mut sent) = (best, Vec::new(), 0, Vec::new());
    for picture in 0..240 {
        let wanted = if dice.roll(40) == 0 { dice.roll(u64::from(best) + 1) as u8 } else { highest };
        // A layer that comes back begins at a key frame; so does what was asked for, at last.
        let is_key =
            picture == 0 || wanted > highest || dice.roll(60) == 0 || (stage.asked > asked && dice.roll(3) == 0);
        if is_key {
            (asked, highest) = (stage.asked, wanted);
            keys.push(stage.picture);
        } else {
            highest = highest.min(wanted);
        }
        stage.picture(highest, is_key);
        sent.push(highest);
        match dice.roll(30) {
            0 => stage.prefer(dice.roll(4) as u8),
            1 => {
                let (consumer, paused) = (ConsumerId(OUT.into()), dice.roll(2) == 0);
                stage.bed.command(&Command::PauseConsumer { consumer, paused }).expect("there");
                stage.take();
            }
            _ => {}
        }
    }
    for pair in stage.numbers.windows(2) {
        assert_eq!(pair[1], pair[0].wrapping_add(1), "{mode:?} {seed}");
    }
    for (at, got) in stage.got.iter().enumerate() {
        let came = &stage.got[..at];
        assert!(
            is_decodable(mode, came, *got, keys.contains(&got.0)),
            "{mode:?} {seed}: {got:?} {:?}",
            &came[at.saturating_sub(12)..]
        );
        let is_last = stage.got.get(at + 1).is_none_or(|next| next.0 != got.0);
        assert_eq!(stage.ends.contains(got), is_last, "{mode:?} {seed}: {got:?}");
    }
    for (picture, highest) in (0..).zip(sent) {
        stage.assert_told(picture, highest, keys.contains(&picture));
    }
    stage.got.len()
}

#[test]
fn whatever_is_sent_can_be_decoded() {
    for mode in [Mode::Full, Mode::Independent, Mode::Av1] {
        let came: usize = (0..200).map(|seed| play_at_random(mode, seed)).sum();
        assert!(came > 200 * 100, "{mode:?}: {came}");
    }
}
