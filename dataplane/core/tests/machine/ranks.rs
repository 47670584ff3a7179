//! Simulcast: the layers of a producer are ranked by what is seen of them, wherever they stand in the offer.

use std::time::Duration;

use corecast_core::rtp::RtpView;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerExtension, ConsumerId, CurrentLayer, Event, ExtensionMapping,
    HeaderExtension, ObjectStats, ProduceOptions, Reply, SpatialLayer,
};

use crate::bed::{Bed, packet, path, receiver, remote};
use crate::layers::{OUT, layers};

/// What an encoding looks like: width and height that its key frames tell, if they do, and bytes of a picture.
type Encoding = (Option<(u16, u16)>, usize);

const SIZES: [Encoding; 3] = [(Some((1_280, 720)), 100), (Some((640, 360)), 100), (Some((320, 180)), 100)];

/// How pictures are coded: what the first packet of a key frame begins with, at 1,280x720, 640x360 and 320x180, and
/// that of another frame.
struct Coded {
    codec: Codec,
    keys: [&'static [u8]; 3],
    other: &'static [u8],
}

/// x264 (core 164), as FFmpeg 5.1 packs it: sequence and picture parameters in a STAP-A.
const H264: Coded = Coded {
    codec: Codec::H264,
    keys: [
        &[
            0x18, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
            0x10, 0x00, 0x00, 0x03, 0x00, 0x20, 0xf1, 0x83, 0x24, 0x80, 0x00, 0x05, 0x68, 0xcb, 0x83, 0xcb, 0x20,
        ],
        &[
            0x18, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x16, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
            0x01, 0x00, 0x00, 0x03, 0x00, 0x02, 0x0f, 0x16, 0x2e, 0x48, 0x00, 0x05, 0x68, 0xcb, 0x83, 0xcb, 0x20,
        ],
        &[
            0x18, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0b, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
            0x10, 0x00, 0x00, 0x03, 0x00, 0x20, 0xf1, 0x42, 0xa4, 0x80, 0x00, 0x05, 0x68, 0xcb, 0x83, 0xcb, 0x20,
        ],
    ],
    other: &[0x41, 0x9a, 0x21, 0x6c],
};

/// libvpx 1.12, as FFmpeg 5.1 packs it.
const VP9: Coded = Coded {
    codec: Codec::Vp9,
    keys: [
        &[
            0x08, 0x82, 0x49, 0x83, 0x42, 0x00, 0x4f, 0xf0, 0x2c, 0xf6, 0x06, 0x38, 0x24, 0x1c, 0x18, 0x4a, 0x18, 0x05,
            0xa8, 0x5f, 0xf9, 0xcf, 0xbf, 0xa7,
        ],
        &[
            0x08, 0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x76, 0x06, 0x38, 0x24, 0x1c, 0x18, 0x4a, 0x10, 0x09,
            0x00, 0x5f, 0xcd, 0xf7, 0xf7, 0xff,
        ],
        &[
            0x08, 0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0b, 0x36, 0x06, 0x38, 0x24, 0x1c, 0x18, 0x4a, 0x00, 0x0c,
            0xe0, 0x5f, 0xcd, 0xf7, 0xfb, 0xfc,
        ],
    ],
    other: &[0x48, 0x86, 0x00, 0x40],
};

/// libaom 3.6: a sequence header, and the beginning of a frame.
const AV1: Coded = Coded {
    codec: Codec::Av1,
    keys: [
        &[
            0x28, 0x0d, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x2d, 0x4c, 0xff, 0xb3, 0xcd, 0xaf, 0x90, 0x04, 0x32, 0xbc, 0xec,
            0x01, 0x10, 0x00, 0x85,
        ],
        &[
            0x28, 0x0d, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10, 0x32, 0xa6, 0x56,
            0x10, 0x00, 0x85, 0x00,
        ],
        &[
            0x28, 0x0d, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x00, 0x40, 0x32, 0x8b, 0x2a,
            0x10, 0x00, 0x84, 0x00, 0x02,
        ],
    ],
    other: &[0x10, 0x30, 0x30, 0x00],
};

/// What Chromium 156 says of AV1 in three encodings of 320x180, 640x360 and 1,280x720 in the dependency descriptor of a
/// key frame, with a size for its only decode target, and of the frame behind it.
const DESCRIBED: Extended = Extended {
    extension: HeaderExtension::DependencyDescriptor,
    keys: [
        &[0x80, 0x00, 0x05, 0x80, 0x00, 0x3a, 0x41, 0x01, 0x82, 0x7f, 0x81, 0x67, 0x80],
        &[0x80, 0x00, 0x04, 0x80, 0x00, 0x3a, 0x41, 0x01, 0x81, 0x3f, 0x80, 0xb3, 0x80],
        &[0xc0, 0x00, 0x01, 0x80, 0x00, 0x3a, 0x41, 0x01, 0x80, 0x9f, 0x80, 0x59, 0x80],
    ],
    other: &[0xc0, 0x00, 0x06, 0x1a, 0x40, 0x18],
};

/// What Chromium 156 says of VP8 in three encodings of 320x180, 640x360 and 1,280x720, the smallest first, in its
/// allocation of layers: in key frames with sizes, and then, with other rates, without.
const ALLOCATED: Extended = Extended {
    extension: HeaderExtension::VideoLayersAllocation,
    keys: [
        &[
            0x21, 0xa8, 0x3c, 0x5a, 0x96, 0x01, 0xc8, 0x01, 0xac, 0x02, 0xf4, 0x03, 0xf4, 0x03, 0xae, 0x04, 0xa2, 0x07,
            0x01, 0x3f, 0x00, 0xb3, 0x17, 0x02, 0x7f, 0x01, 0x67, 0x17, 0x04, 0xff, 0x02, 0xcf, 0x17,
        ],
        &[],
        &[],
    ],
    other: &[],
};

/// A header extension, in key frames of three encodings and in other frames.
#[derive(Clone, Copy)]
struct Extended {
    extension: HeaderExtension,
    keys: [&'static [u8]; 3],
    other: &'static [u8],
}

/// The sender's number of it.
const EXTENSION: u8 = 14;

/// A sender of three encodings, each with a picture of one packet every 50 ms and a key frame every 500 ms. The
/// encoding with the index `n` has SSRC 1,000 + `n`.
struct Sender {
    bed: Bed,
    encodings: [Encoding; 3],
    /// What their packets begin with, if not with what VP8 does.
    coded: Option<([&'static [u8]; 3], &'static [u8])>,
    extended: Option<Extended>,
    /// It sends its first encoding and no other.
    only_first: bool,
    /// Header extensions of what the viewer has got.
    extensions: Vec<Vec<u8>>,
    pictures: u16,
}

impl Sender {
    fn new(encodings: [Encoding; 3]) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        bed.produce_as(0, 1, layers(3)).expect("new");
        Self { bed, encodings, coded: None, extended: None, only_first: false, extensions: vec![], pictures: 0 }
    }

    /// A sender of another codec than VP8, best first or the other way round.
    fn coded(coded: &Coded, best_first: bool) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        let codec =
            CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: coded.codec, clock_rate_hz: 90_000 };
        bed.produce_as(0, 1, ProduceOptions { codecs: vec![codec], ..layers(3) }).expect("new");
        let mut keys = coded.keys;
        if !best_first {
            keys.reverse();
        }
        Self {
            bed,
            encodings: [(None, 100); 3],
            coded: Some((keys, coded.other)),
            extended: None,
            only_first: false,
            extensions: vec![],
            pictures: 0,
        }
    }

    /// A sender of something in which nothing is to be seen, with a header extension.
    fn extended(codec: Codec, mut extended: Extended, best_first: bool) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        let codecs = vec![CodecMapping { payload_type: 96, mapped_payload_type: 101, codec, clock_rate_hz: 90_000 }];
        let known = ExtensionMapping { extension: extended.extension, id: EXTENSION, mapped_id: 12 };
        bed.produce_as(0, 1, ProduceOptions { codecs, header_extensions: vec![known], ..layers(3) }).expect("new");
        if !best_first {
            extended.keys.reverse();
        }
        let coded = Some(([&[0xff; 4][..]; 3], &[0xff; 4][..]));
        let (extended, encodings) = (Some(extended), [(None, 100); 3]);
        Self { bed, encodings, coded, extended, only_first: false, extensions: vec![], pictures: 0 }
    }

    fn reversed(mut encodings: [Encoding; 3]) -> Self {
        encodings.reverse();
        Self::new(encodings)
    }

    /// Sends for so long; the encodings whose pictures reach the viewer, each once in a row.
    fn play(&mut self, millis: u64) -> Vec<u8> {
        let mut got = Vec::new();
        for _ in 0..millis / 50 {
            let key = self.pictures.is_multiple_of(10);
            let sent = if self.only_first { 1 } else { self.encodings.len() };
            for (encoding, (size, len)) in (0..).zip(self.encodings).take(sent) {
                let mut payload = vec![encoding; len];
                payload[..4].copy_from_slice(&[0x10, u8::from(!key), 0, 0]);
                if let Some((width, height)) = size.filter(|_| key) {
                    payload[4..7].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                    payload[7..9].copy_from_slice(&width.to_le_bytes());
                    payload[9..11].copy_from_slice(&height.to_le_bytes());
                }
                if let Some((keys, other)) = self.coded {
                    let begin = if key { keys[usize::from(encoding)] } else { other };
                    payload[..begin.len()].copy_from_slice(begin);
                }
                let said = |one: Extended| if key { one.keys[usize::from(encoding)] } else { one.other };
                let said = self.extended.map(said).filter(|said| !said.is_empty());
                let extensions: Vec<_> = said.map(|said| (EXTENSION, said)).into_iter().collect();
                let mut packet = packet(1_000 + u32::from(encoding), 96, self.pictures, &extensions, &payload);
                packet[4..8].copy_from_slice(&(u32::from(self.pictures) * 4_500).to_be_bytes());
                self.bed.arrive(path(0), &packet);
                let sent = self.bed.sent();
                let media = sent.iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101);
                for (_, bytes) in media {
                    got.extend(bytes.last().copied());
                    self.extensions.push(RtpView::parse(bytes).expect("lawful").extension_block().to_vec());
                }
            }
            self.pictures += 1;
            self.bed.now = self.bed.now + Duration::from_millis(50);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
        }
        got.dedup();
        got
    }

    fn watch(&mut self) {
        self.watch_as(OUT);
    }

    fn watch_as(&mut self, ssrc: u32) {
        self.bed.consume_as(1, 1, receiver(ssrc)).expect("new");
    }

    fn prefer(&mut self, spatial: SpatialLayer) {
        let consumer = ConsumerId(OUT.into());
        let command = Command::SetPreferredLayers { consumer, spatial, temporal: None };
        self.bed.command(&command).expect("there");
    }

    /// What control was told last.
    fn told(&mut self) -> Option<CurrentLayer> {
        let events = std::iter::from_fn(|| self.bed.worker.poll_event());
        let layers = events.filter_map(|event| match event {
            Event::ConsumerLayersChanged { current, .. } => Some(current),
            _ => None,
        });
        layers.last().flatten()
    }

    /// Rank and size of each encoding, as statistics have them.
    fn ranks(&mut self) -> Vec<(u8, Option<(u16, u16)>)> {
        let Ok(Reply::Stats(page)) = self.bed.command(&Command::Stats { from: None }) else { panic!("another reply") };
        let producer = page.objects.into_iter().find_map(|object| match object {
            ObjectStats::Producer(producer) => Some(producer),
            _ => None,
        });
        producer.expect("one").streams.iter().map(|stream| (stream.spatial, stream.picture)).collect()
    }
}

#[test]
fn the_largest_picture_is_the_best_wherever_it_stands() {
    for (mut sender, best) in [(Sender::new(SIZES), 0), (Sender::reversed(SIZES), 2)] {
        sender.play(3_000);
        sender.watch();
        assert_eq!(sender.play(1_000), [best], "the largest to who has not chosen");
        assert_eq!(sender.told(), Some(CurrentLayer { encoding: best, spatial: 2 }));
        sender.prefer(SpatialLayer::Quality(0));
        assert_eq!(sender.play(1_000).last(), Some(&(2 - best)), "the smallest of all");
        assert_eq!(sender.told(), Some(CurrentLayer { encoding: 2 - best, spatial: 0 }));
        sender.prefer(SpatialLayer::Encoding(best));
        assert_eq!(sender.play(1_000).last(), Some(&best), "by name");
        assert_eq!(sender.ranks()[usize::from(best)], (2, Some((1_280, 720))));
    }
}

#[test]
fn who_is_there_from_the_start_gets_the_largest_picture_too() {
    for (mut sender, best) in [(Sender::new(SIZES), 0), (Sender::reversed(SIZES), 2)] {
        sender.watch();
        assert_eq!(sender.play(5_000).last(), Some(&best));
    }
}

#[test]
fn sizes_are_read_of_h264_vp9_and_av1_too() {
    for coded in [H264, VP9, AV1] {
        for (best_first, best) in [(true, 0), (false, 2)] {
            let mut sender = Sender::coded(&coded, best_first);
            sender.watch();
            assert_eq!(sender.play(5_000).last(), Some(&best), "{:?}", coded.codec);
            assert_eq!(sender.told(), Some(CurrentLayer { encoding: best, spatial: 2 }), "{:?}", coded.codec);
            let mut ranks = [(2, Some((1_280, 720))), (1, Some((640, 360))), (0, Some((320, 180)))];
            if !best_first {
                ranks.reverse();
            }
            assert_eq!(sender.ranks(), ranks, "{:?}", coded.codec);
        }
    }
}

impl Sender {
    /// One that means to send encodings of these sizes, and sends the first alone. It says so in its first key frame.
    fn announcing(sizes: [(u16, u16); 3], own: u8) -> Self {
        let said = ALLOCATED.keys[0];
        let (rates, _) = said.split_at(said.len() - 15);
        let sizes = sizes.iter().flat_map(|(width, height)| {
            let [w1, w0] = (width - 1).to_be_bytes();
            let [h1, h0] = (height - 1).to_be_bytes();
            [w1, w0, h1, h0, 30]
        });
        let mut said: Vec<u8> = rates.iter().copied().chain(sizes).collect();
        said[0] |= own << 6;
        let keys = [&*said.leak(), &[], &[]];
        Self::extended(Codec::Vp8, Extended { keys, ..ALLOCATED }, true)
    }
}

#[test]
fn what_a_sender_means_to_send_ranks_what_it_has_not_sent_yet() {
    let best_first = [(1_280, 720), (640, 360), (320, 180)];
    let mut worst_first = best_first;
    worst_first.reverse();
    for (sizes, own, expected) in [
        (best_first, 0, [2, 1, 0]),
        (worst_first, 0, [0, 1, 2]),
        // It counts encodings in another order, or other encodings.
        (best_first, 1, [0, 1, 2]),
    ] {
        let mut sender = Sender::announcing(sizes, own);
        sender.watch();
        sender.only_first = true;
        sender.play(50);
        sender.watch_as(OUT + 1);
        assert_eq!(sender.ranks().iter().map(|(rank, _)| *rank).collect::<Vec<_>>(), expected, "{sizes:?} {own}");
    }
}

#[test]
fn what_is_seen_outdoes_what_a_sender_means_to_send() {
    let mut sender = Sender::announcing([(1_280, 720), (640, 360), (320, 180)], 0);
    sender.watch();
    sender.coded = None;
    sender.encodings = SIZES;
    sender.encodings.reverse();
    assert_eq!(sender.play(5_000).last(), Some(&2), "the largest in truth");
    assert_eq!(sender.ranks().iter().map(|(rank, _)| *rank).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn what_a_sender_means_to_send_is_told_to_no_viewer() {
    let mut sender = Sender::announcing([(1_280, 720), (640, 360), (320, 180)], 0);
    let known = ConsumerExtension::same(HeaderExtension::VideoLayersAllocation, 12);
    let options = ConsumeOptions { header_extensions: vec![known], ..receiver(OUT) };
    sender.bed.consume_as(1, 1, options).expect("new");
    sender.coded = None;
    sender.encodings = SIZES;
    assert_ne!(sender.play(1_000), [], "it is sent pictures");
    assert!(sender.extensions.iter().all(Vec::is_empty), "{:?}", sender.extensions);
}

/// Payloads that are encrypted end to end show nothing.
#[test]
fn sizes_are_read_of_dependency_descriptors_where_the_payload_shows_none() {
    for (best_first, best) in [(true, 0), (false, 2)] {
        let mut sender = Sender::extended(Codec::Av1, DESCRIBED, best_first);
        sender.watch();
        assert_eq!(sender.play(5_000).last(), Some(&best));
        let mut ranks = [(2, Some((1_280, 720))), (1, Some((640, 360))), (0, Some((320, 180)))];
        if !best_first {
            ranks.reverse();
        }
        assert_eq!(sender.ranks(), ranks);
    }
}

#[test]
fn without_sizes_the_bitrate_decides() {
    let encodings = [(None, 900), (None, 300), (None, 100)];
    for (mut sender, best) in [(Sender::new(encodings), 0), (Sender::reversed(encodings), 2)] {
        sender.watch();
        assert_eq!(sender.play(5_000).last(), Some(&best));
        assert_eq!(sender.told(), Some(CurrentLayer { encoding: best, spatial: 2 }));
    }
}

#[test]
fn position_breaks_ties_only() {
    let mut sender = Sender::new([(Some((640, 360)), 100); 3]);
    sender.watch();
    assert_eq!(sender.play(5_000).last(), Some(&2));
    assert_eq!(sender.ranks().iter().map(|(rank, _)| *rank).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_choice_by_name_outlives_a_change_of_ranks() {
    let mut sender = Sender::new(SIZES);
    sender.watch();
    sender.prefer(SpatialLayer::Encoding(2));
    assert_eq!(sender.play(5_000).last(), Some(&2), "the smallest, chosen while it stood last");
    sender.encodings.reverse();
    assert_eq!(sender.play(3_000), [2], "the same, though it is the largest now");
    assert_eq!(sender.told(), Some(CurrentLayer { encoding: 2, spatial: 2 }), "control learns the new rank");
}
