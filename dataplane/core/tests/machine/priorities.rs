//! Which of a receiver's pictures come first where its path does not carry all.

use std::time::Duration;

use corecast_core::rtcp::Writer;
use corecast_core::rtp::{Header, write_header};
use corecast_wire::{Command, ConsumerId, EncodingMapping, Event, ProduceOptions, ProducerId, SpatialLayer};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, video};

/// Two producers, and what the receiver calls their media.
const SENT: [u32; 2] = [1_000, 2_000];
const RECEIVED: [u32; 2] = [21, 22];
/// A picture of one packet every 40 ms: 240 kbit/s.
const PICTURE_BYTES: usize = 1_200;
/// What carries one of the two.
const PATH_BPS: u64 = 330_000;

struct Stage {
    bed: Bed,
    sequence: u16,
    suspended: [bool; 2],
    /// What the receiver says that its path carries.
    path_bps: u64,
    /// Bytes of a picture of each.
    sizes: [usize; 2],
    /// The layer that it is sent.
    layer: Option<u8>,
}

impl Stage {
    fn new() -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        for (number, (sent, received)) in (1..).zip(SENT.into_iter().zip(RECEIVED)) {
            let encodings = vec![EncodingMapping { ssrc: Some(sent), ..EncodingMapping::default() }];
            let options = ProduceOptions { encodings, mid: Some(number.to_string()), ..video() };
            bed.produce_as(0, number, options).expect("new");
            bed.consume_as(1, number, receiver(received)).expect("new");
        }
        Self { bed, sequence: 0, suspended: [false; 2], path_bps: PATH_BPS, sizes: [PICTURE_BYTES; 2], layer: None }
    }

    /// Both send for so many seconds, and the receiver says five times a second what its path carries.
    fn play(&mut self, seconds: u32) {
        for step in 0..seconds * 25 {
            for (ssrc, size) in SENT.into_iter().zip(self.sizes) {
                let header = Header {
                    payload_type: 96,
                    sequence: self.sequence,
                    timestamp: u32::from(self.sequence) * 3_600,
                    ssrc,
                    ..Header::default()
                };
                let mut bytes = vec![0; 12 + size];
                let at = write_header(&mut bytes, &header, &[], &[]).expect("room");
                let start = if step % 25 == 0 { KEY_FRAME } else { DELTA_FRAME };
                bytes[at..at + 4].copy_from_slice(&start);
                self.bed.arrive(path(0), &bytes);
            }
            self.sequence += 1;
            if step % 5 == 0 {
                let mut bytes = [0; 256];
                let mut writer = Writer::new(&mut bytes);
                writer.push_remb(9, self.path_bps, RECEIVED);
                let len = writer.len();
                self.bed.arrive(path(1), &bytes[..len]);
            }
            self.bed.sent();
            self.bed.now = self.bed.now + Duration::from_millis(40);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.bed.sent();
        }
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(event) = self.bed.worker.poll_event() {
            if let Event::ConsumerLayersChanged { current, .. } = &event {
                self.layer = current.map(|current| current.spatial);
            }
            if let Event::ConsumerSuspended { consumer, suspended } = event {
                let at = RECEIVED.iter().position(|ssrc| u64::from(*ssrc) == consumer.0).expect("one of both");
                self.suspended[at] = suspended;
            }
        }
    }

    fn prefer(&mut self, which: usize, priority: u8) {
        let consumer = ConsumerId(RECEIVED[which].into());
        self.bed.command(&Command::SetPriority { consumer, priority }).expect("there");
    }
}

#[test]
fn the_higher_priority_gets_what_the_path_carries() {
    for first in [0, 1] {
        let mut stage = Stage::new();
        stage.prefer(first, 2);
        stage.play(10);
        let mut expected = [true; 2];
        expected[first] = false;
        assert_eq!(stage.suspended, expected);
    }
}

#[test]
fn one_that_comes_first_later_takes_from_the_other() {
    let mut stage = Stage::new();
    stage.play(10);
    stage.prefer(1, 200);
    stage.play(5);
    assert_eq!(stage.suspended, [true, false]);
    stage.prefer(0, 255);
    stage.play(5);
    assert_eq!(stage.suspended, [false, true]);
}

/// A look at very many takes its time, so there is not one for each wish; but none is missed, although nothing comes.
#[test]
fn in_a_crowd_the_last_wish_counts_as_well() {
    let mut stage = Stage::new();
    let encodings = vec![EncodingMapping { ssrc: Some(3_000), ..EncodingMapping::default() }];
    stage.bed.produce_as(0, 3, ProduceOptions { encodings, mid: Some("3".into()), ..video() }).expect("new");
    for ssrc in 1_000..1_200 {
        stage.bed.consume_as(1, 3, receiver(ssrc)).expect("new");
    }
    stage.play(10);
    stage.bed.now = stage.bed.now + Duration::from_millis(10);
    stage.prefer(1, 200);
    stage.prefer(0, 255);
    stage.hear();
    assert_eq!(stage.suspended, [true, false], "the second wish is looked at later");
    for _ in 0..10 {
        stage.bed.now = stage.bed.now + Duration::from_millis(1);
        stage.bed.worker.handle_timeout(stage.bed.now, &mut stage.bed.outbox);
    }
    stage.hear();
    assert_eq!(stage.suspended, [false, true]);
}

#[test]
fn without_priorities_the_first_stays() {
    let mut stage = Stage::new();
    stage.play(10);
    assert_eq!(stage.suspended, [false, true]);
}

/// One producer with two encodings, and a path that carries both.
fn two_encodings(sizes: [usize; 2]) -> Stage {
    let mut stage = Stage::new();
    let encoding = |ssrc| EncodingMapping { ssrc: Some(ssrc), ..EncodingMapping::default() };
    stage.bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
    stage.bed.command(&Command::CloseProducer { producer: ProducerId(2) }).expect("there");
    let options = ProduceOptions { encodings: SENT.map(encoding).to_vec(), ..video() };
    stage.bed.produce_as(0, 3, options).expect("new");
    stage.bed.consume_as(1, 3, receiver(RECEIVED[0])).expect("new");
    (stage.path_bps, stage.sizes) = (5_000_000, sizes);
    stage.play(10);
    stage
}

#[test]
fn of_two_encodings_that_take_the_same_the_better_one_is_sent() {
    assert_eq!(two_encodings([PICTURE_BYTES; 2]).layer, Some(1));
}

/// Steps up are slow since a path may not carry them. One that was not taken since nobody wanted it is another thing.
#[test]
fn who_wants_more_again_gets_it_with_the_next_key_frame() {
    let mut stage = two_encodings([PICTURE_BYTES / 4, PICTURE_BYTES]);
    for wanted in [0, 1, 0, 1] {
        let (consumer, spatial) = (ConsumerId(RECEIVED[0].into()), SpatialLayer::Quality(wanted));
        stage.bed.command(&Command::SetPreferredLayers { consumer, spatial, temporal: None }).expect("there");
        stage.play(1);
        assert_eq!(stage.layer, Some(wanted));
    }
}

/// And more than the path carries is not to be had by wishing.
#[test]
fn who_wants_more_than_the_path_carries_does_not_get_it() {
    let mut stage = two_encodings([PICTURE_BYTES / 4, PICTURE_BYTES]);
    stage.path_bps = 150_000;
    stage.play(10);
    for wanted in [0, 1, 0, 1] {
        let (consumer, spatial) = (ConsumerId(RECEIVED[0].into()), SpatialLayer::Quality(wanted));
        stage.bed.command(&Command::SetPreferredLayers { consumer, spatial, temporal: None }).expect("there");
        stage.play(1);
        assert_eq!(stage.layer, Some(0));
    }
}

/// Nor does who wishes lose what there is, though what the path is said to carry is too little for a moment.
#[test]
fn who_wants_more_keeps_the_last_layer_as_who_wants_nothing_does() {
    let mut stage = two_encodings([PICTURE_BYTES / 4, PICTURE_BYTES]);
    for (wanted, path_bps) in [(0, 5_000_000), (0, 40_000), (1, 40_000)] {
        let (consumer, spatial) = (ConsumerId(RECEIVED[0].into()), SpatialLayer::Quality(wanted));
        stage.bed.command(&Command::SetPreferredLayers { consumer, spatial, temporal: None }).expect("there");
        stage.path_bps = path_bps;
        stage.play(1);
        assert_eq!((stage.layer, stage.suspended[0]), (Some(0), false));
    }
}
