//! Simulcast: which layers nobody takes, as control is told of it for their sender.

use std::time::Duration;

use corecast_core::rtcp::Writer;
use corecast_wire::{Command, ConsumerId, Event, SpatialLayer};

use crate::active_layers::Sender;
use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver};
use crate::layers::{OUT, layers};

const CONSUMER: ConsumerId = ConsumerId(OUT as u64);

impl Sender {
    /// What control was told of unwanted layers since it was asked last.
    fn told(&mut self) -> Vec<Vec<u8>> {
        let events = std::iter::from_fn(|| self.bed.worker.poll_event());
        let unwanted = events.filter_map(|event| match event {
            Event::ProducerLayersUnwanted { encodings, .. } => Some(encodings),
            _ => None,
        });
        unwanted.collect()
    }

    fn prefer(&mut self, layer: u8) {
        let spatial = SpatialLayer::Quality(layer);
        let command = Command::SetPreferredLayers { consumer: CONSUMER, spatial, temporal: None };
        self.bed.command(&command).expect("there");
        self.leave();
    }

    fn pause(&mut self, paused: bool) {
        self.bed.command(&Command::PauseConsumer { consumer: CONSUMER, paused }).expect("there");
        self.leave();
    }
}

#[test]
fn without_viewers_the_lowest_layer_alone_is_wanted_until_one_comes() {
    let mut sender = Sender::new();
    sender.run_of(&[0, 1], 4_500);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.run_of(&[0, 1], 1_000);
    assert_eq!(sender.told(), [[1]]);
    // The sender leaves it out.
    sender.run_of(&[0], 20_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.watch();
    assert_eq!(sender.told(), [[]], "at once");
    sender.run_of(&[0, 1], 10_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0], "it is taken");
    assert_eq!(sender.picture(1, false).last(), Some(&1));
}

#[test]
fn a_layer_that_is_preferred_again_is_wanted_though_it_is_not_sent() {
    let mut sender = Sender::new();
    sender.watch();
    sender.run_of(&[0, 1], 3_000);
    sender.prefer(0);
    sender.run_of(&[0, 1], 6_000);
    assert_eq!(sender.told(), [[1]]);
    sender.run_of(&[0], 5_000);
    sender.prefer(1);
    assert_eq!(sender.told(), [[]]);
    sender.run_of(&[0], 60_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0], "what does not come is not taken for unwanted");
}

#[test]
fn who_has_paused_takes_nothing() {
    let mut sender = Sender::new();
    sender.watch();
    sender.run_of(&[0, 1], 3_000);
    sender.pause(true);
    sender.run_of(&[0, 1], 6_000);
    assert_eq!(sender.told(), [[1]]);
    sender.run_of(&[0], 3_000);
    sender.pause(false);
    assert_eq!(sender.told(), [[]], "before the first key frame of the other layer");
    assert!(sender.wanted[0], "which is asked for meanwhile");
}

#[test]
fn a_paused_producer_is_not_judged() {
    let mut sender = Sender::new();
    sender.watch();
    sender.run_of(&[0, 1], 3_000);
    sender.prefer(0);
    sender.run_of(&[0, 1], 3_000);
    let command = |paused| Command::PauseProducer { producer: corecast_wire::ProducerId(1), paused };
    sender.bed.command(&command(true)).expect("there");
    sender.run_of(&[0, 1], 20_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.bed.command(&command(false)).expect("there");
    sender.run_of(&[0, 1], 4_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.run_of(&[0, 1], 2_000);
    assert_eq!(sender.told(), [[1]]);
}

/// Packets a picture of three encodings, of 1,200 bytes at 25 pictures a second: 0.24, 0.72 and 1.92 Mbit/s.
const PACKETS: [usize; 3] = [1, 3, 8];
const WIDE_BPS: u64 = 10_000_000;
/// What carries the second encoding.
const NARROW_BPS: u64 = 1_200_000;
const NARROW: u32 = 31;

/// A sender of three encodings to one who takes what comes and one who says what its path carries.
struct Three {
    bed: Bed,
    sequences: [u16; 3],
    step: u32,
    path_bps: u64,
    told: Vec<Vec<u8>>,
    layer: Option<u8>,
}

impl Three {
    fn new() -> Self {
        let mut bed = Bed::new();
        (0..3).for_each(|transport| bed.transport(transport, false, false));
        bed.produce_as(0, 1, layers(3)).expect("new");
        for (transport, ssrc) in [(1, OUT), (2, NARROW)] {
            bed.consume_as(transport, 1, receiver(ssrc)).expect("new");
        }
        Self { bed, sequences: [0; 3], step: 0, path_bps: WIDE_BPS, told: Vec::new(), layer: None }
    }

    /// So many seconds pass in which these encodings are sent.
    fn play(&mut self, seconds: u32, sent: [bool; 3]) {
        for _ in 0..seconds * 25 {
            self.step += 1;
            for (layer, packets) in (0_u32..).zip(PACKETS).filter(|(layer, _)| sent[*layer as usize]) {
                for at in 0..packets {
                    let sequence = &mut self.sequences[layer as usize];
                    *sequence = sequence.wrapping_add(1);
                    let mut payload = vec![0; 1_200];
                    let head = if self.step.is_multiple_of(25) { KEY_FRAME } else { DELTA_FRAME };
                    payload[..head.len()].copy_from_slice(&head);
                    if at > 0 {
                        // Not the beginning of a partition.
                        payload[0] &= !0x10;
                    }
                    let mut bytes = packet(1_000 + layer, 96, *sequence, &[], &payload);
                    bytes[4..8].copy_from_slice(&(self.step * 3_600).to_be_bytes());
                    self.bed.arrive(path(0), &bytes);
                }
            }
            if self.step.is_multiple_of(5) {
                let mut bytes = [0; 256];
                let mut writer = Writer::new(&mut bytes);
                writer.push_remb(9, self.path_bps, [NARROW]);
                let len = writer.len();
                self.bed.arrive(path(2), &bytes[..len]);
            }
            self.bed.sent();
            self.bed.now = self.bed.now + Duration::from_millis(40);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.bed.sent();
        }
        while let Some(event) = self.bed.worker.poll_event() {
            match event {
                Event::ProducerLayersUnwanted { encodings, .. } => self.told.push(encodings),
                Event::ConsumerLayersChanged { consumer, current, .. } if consumer.0 == u64::from(NARROW) => {
                    self.layer = current.map(|current| current.spatial);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_left_out_between_two_that_are_sent_is_missed_by_who_can_only_have_that() {
    let mut three = Three::new();
    three.play(12, [true; 3]);
    assert_eq!((&three.told[..], three.layer), (&[vec![1]][..], Some(2)), "both take the best");
    three.play(5, [true, false, true]);
    three.path_bps = NARROW_BPS;
    three.play(8, [true, false, true]);
    assert_eq!((&three.told[1..], three.layer), (&[vec![]][..], Some(0)), "the best is sent to the other one");
    three.play(8, [true; 3]);
    assert_eq!(three.layer, Some(1));
    three.play(20, [true; 3]);
    assert_eq!(three.told[2..], [] as [Vec<u8>; 0], "all are taken");
}
