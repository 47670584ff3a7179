//! Simulcast: the layers of a producer are ranked by what is seen of them, wherever they stand in the offer.

use std::time::Duration;

use corecast_wire::{Command, ConsumerId, CurrentLayer, Event, ObjectStats, Reply, SpatialLayer};

use crate::bed::{Bed, packet, path, receiver, remote};
use crate::layers::{OUT, layers};

/// What an encoding looks like: width and height that its key frames tell, if they do, and bytes of a picture.
type Encoding = (Option<(u16, u16)>, usize);

const SIZES: [Encoding; 3] = [(Some((1_280, 720)), 100), (Some((640, 360)), 100), (Some((320, 180)), 100)];

/// A sender of three encodings, each with a picture of one packet every 50 ms and a key frame every 500 ms. The
/// encoding with the index `n` has SSRC 1,000 + `n`.
struct Sender {
    bed: Bed,
    encodings: [Encoding; 3],
    pictures: u16,
}

impl Sender {
    fn new(encodings: [Encoding; 3]) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        bed.produce_as(0, 1, layers(3)).expect("new");
        Self { bed, encodings, pictures: 0 }
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
            for (encoding, (size, len)) in (0..).zip(self.encodings) {
                let mut payload = vec![encoding; len];
                payload[..4].copy_from_slice(&[0x10, u8::from(!key), 0, 0]);
                if let Some((width, height)) = size.filter(|_| key) {
                    payload[4..7].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                    payload[7..9].copy_from_slice(&width.to_le_bytes());
                    payload[9..11].copy_from_slice(&height.to_le_bytes());
                }
                let mut packet = packet(1_000 + u32::from(encoding), 96, self.pictures, &[], &payload);
                packet[4..8].copy_from_slice(&(u32::from(self.pictures) * 4_500).to_be_bytes());
                self.bed.arrive(path(0), &packet);
                let sent = self.bed.sent();
                let media = sent.iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101);
                got.extend(media.filter_map(|(_, bytes)| bytes.last().copied()));
            }
            self.pictures += 1;
            self.bed.now = self.bed.now + Duration::from_millis(50);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
        }
        got.dedup();
        got
    }

    fn watch(&mut self) {
        self.bed.consume_as(1, 1, receiver(OUT)).expect("new");
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
