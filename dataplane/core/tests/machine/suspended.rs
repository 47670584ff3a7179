//! What is suspended comes back. Nothing is sent of it and so its receiver may say nothing: the worker has to look at
//! it again by itself, whatever its producer did meanwhile.

use std::time::Duration;

use corecast_core::rtcp::Writer;
use corecast_core::rtp::{Header, write_header};
use corecast_wire::{Command, ConsumerId, EncodingMapping, Event, ProduceOptions, ProducerId};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, video};

const LOW: u32 = 1_000;
const HIGH: u32 = 2_000;
const RECEIVED: u32 = 21;
const PRODUCER: ProducerId = ProducerId(1);
const CONSUMER: ConsumerId = ConsumerId(RECEIVED as u64);
/// A packet every 40 ms: 240 kbit/s.
const PACKET_BYTES: usize = 1_200;
/// What carries the low encoding.
const PATH_BPS: u64 = 330_000;

/// One sends two encodings to one who says what its path carries, if it has been sent something.
struct Stage {
    bed: Bed,
    sequences: [u16; 2],
    step: u32,
    suspended: bool,
    layer: Option<u8>,
    limited: bool,
    was_sent: bool,
    path_bps: u64,
}

impl Stage {
    fn new() -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        let encoding = |ssrc| EncodingMapping { ssrc: Some(ssrc), ..EncodingMapping::default() };
        let options = ProduceOptions { encodings: [LOW, HIGH].map(encoding).to_vec(), ..video() };
        bed.produce_as(0, PRODUCER.0, options).expect("new");
        bed.consume_as(1, PRODUCER.0, receiver(RECEIVED)).expect("new");
        let mut stage = Self {
            bed,
            sequences: [0; 2],
            step: 0,
            suspended: false,
            layer: None,
            limited: false,
            was_sent: false,
            path_bps: PATH_BPS,
        };
        stage.play(10, [1, 5]);
        stage.is_sent(0);
        stage
    }

    /// So many seconds pass in which so many packets a picture are sent of each encoding.
    fn play(&mut self, seconds: u32, packets: [usize; 2]) {
        for _ in 0..seconds * 25 {
            self.step += 1;
            for ((ssrc, sequence), packets) in [LOW, HIGH].into_iter().zip(&mut self.sequences).zip(packets) {
                for packet in 0..packets {
                    let header = Header {
                        payload_type: 96,
                        marker: packet + 1 == packets,
                        sequence: *sequence,
                        timestamp: self.step * 3_600,
                        ssrc,
                        ..Header::default()
                    };
                    let mut bytes = vec![0; 12 + PACKET_BYTES];
                    let at = write_header(&mut bytes, &header, &[], &[]).expect("room");
                    let start = if self.step.is_multiple_of(25) { KEY_FRAME } else { DELTA_FRAME };
                    bytes[at..at + 4].copy_from_slice(&start);
                    if packet > 0 {
                        // Not the beginning of a partition.
                        bytes[at] &= !0x10;
                    }
                    self.bed.arrive(path(0), &bytes);
                    *sequence = sequence.wrapping_add(1);
                }
            }
            if self.was_sent && self.step.is_multiple_of(5) {
                self.was_sent = false;
                let mut bytes = [0; 256];
                let mut writer = Writer::new(&mut bytes);
                writer.push_remb(9, self.path_bps, [RECEIVED]);
                let len = writer.len();
                self.bed.arrive(path(1), &bytes[..len]);
            }
            self.was_sent |= !self.bed.sent().is_empty();
            self.bed.now = self.bed.now + Duration::from_millis(40);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.was_sent |= !self.bed.sent().is_empty();
        }
        while let Some(event) = self.bed.worker.poll_event() {
            match event {
                Event::ConsumerLayersChanged { current, .. } => self.layer = current.map(|current| current.spatial),
                Event::ConsumerLimited { limited, .. } => self.limited = limited,
                Event::ConsumerSuspended { suspended, .. } => self.suspended = suspended,
                _ => {}
            }
        }
    }

    fn pause_producer(&mut self, paused: bool) {
        self.bed.command(&Command::PauseProducer { producer: PRODUCER, paused }).expect("there");
    }

    fn pause_consumer(&mut self, paused: bool) {
        self.bed.command(&Command::PauseConsumer { consumer: CONSUMER, paused }).expect("there");
    }

    fn is_sent(&self, layer: u8) {
        assert_eq!((self.suspended, self.layer), (false, Some(layer)));
    }
}

/// A camera that is switched off: its encodings end one after the other, and then it is paused.
#[test]
fn what_ended_with_an_encoding_too_large_comes_back() {
    let mut stage = Stage::new();
    stage.play(5, [0, 5]);
    assert!(stage.suspended, "the path does not carry it");
    stage.pause_producer(true);
    stage.play(5, [0, 0]);
    stage.pause_producer(false);
    stage.play(5, [1, 5]);
    stage.is_sent(0);
}

/// The same while the receiver's page does not show it.
#[test]
fn what_was_paused_while_it_was_suspended_comes_back() {
    let mut stage = Stage::new();
    stage.play(5, [0, 5]);
    assert!(stage.suspended, "the path does not carry it");
    stage.pause_consumer(true);
    stage.play(5, [1, 5]);
    stage.pause_consumer(false);
    stage.play(5, [1, 5]);
    stage.is_sent(0);
}

/// Encodings seldom begin together: who can have the low one does not stop for a moment in which the other is alone.
#[test]
fn an_encoding_that_is_away_for_a_moment_suspends_nothing() {
    let mut stage = Stage::new();
    stage.play(2, [0, 5]);
    assert!(!stage.suspended);
    stage.play(5, [1, 5]);
    stage.is_sent(0);
}

/// A small camera is sent in fewer encodings than were announced.
#[test]
fn who_gets_all_that_is_sent_is_not_limited() {
    let mut stage = Stage::new();
    assert!(stage.limited, "the high encoding is sent, and does not fit");
    stage.play(5, [1, 0]);
    stage.is_sent(0);
    assert!(!stage.limited, "there is no other");
    stage.play(5, [1, 5]);
    assert!(stage.limited);
}
