//! A sender of one encoding that is more than any of its viewers can take is asked for less, and for no less than the
//! best of them can.

use std::time::Duration;

use corecast_core::rtcp::{self, Packet, Writer};
use corecast_core::rtp::{Header, write_header};
use corecast_wire::{EncodingMapping, Event, ProduceOptions};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, remote, video};

const SENT: u32 = 1_000;
/// A picture of one packet every 20 ms.
const PICTURES_A_SECOND: u64 = 50;
/// What the sender sends if nobody asks for less.
const FULL_BPS: u64 = 500_000;
/// Around a payload: IP, UDP, RTP.
const OVERHEAD_BYTES: u64 = 68;

/// A sender that does as it is told, and viewers who say what their paths carry.
struct Stage {
    bed: Bed,
    sequence: u16,
    paths_bps: Vec<u64>,
    asked_bps: u64,
    suspended: Vec<bool>,
}

impl Stage {
    fn new(encodings: u32, paths_bps: &[u64]) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        let encoding = |n| EncodingMapping { ssrc: Some(SENT + n), ..EncodingMapping::default() };
        let options = ProduceOptions { remb: true, encodings: (0..encodings).map(encoding).collect(), ..video() };
        bed.produce_as(0, 1, options).expect("new");
        for viewer in 1..=u32::try_from(paths_bps.len()).expect("few") {
            bed.transport(viewer, false, false);
            bed.consume_as(viewer, 1, receiver(20 + viewer)).expect("new");
        }
        let suspended = vec![false; paths_bps.len()];
        Self { bed, sequence: 0, paths_bps: paths_bps.to_vec(), asked_bps: u64::MAX, suspended }
    }

    fn play(&mut self, seconds: u64) {
        for step in 0..seconds * PICTURES_A_SECOND {
            let bytes = FULL_BPS.min(self.asked_bps) / 8 / PICTURES_A_SECOND - OVERHEAD_BYTES;
            let timestamp = u32::from(self.sequence) * 1_800;
            let header =
                Header { payload_type: 96, sequence: self.sequence, timestamp, ssrc: SENT, ..Header::default() };
            let mut packet = vec![0; 12 + usize::try_from(bytes).expect("short")];
            let at = write_header(&mut packet, &header, &[], &[]).expect("room");
            packet[at..at + 4].copy_from_slice(if step % 50 == 0 { &KEY_FRAME } else { &DELTA_FRAME });
            self.bed.arrive(path(0), &packet);
            self.sequence = self.sequence.wrapping_add(1);
            for (viewer, bps) in (1..).zip(self.paths_bps.clone()).filter(|_| step % 10 == 0) {
                let mut bytes = [0; 256];
                let mut writer = Writer::new(&mut bytes);
                writer.push_remb(9, bps, [20 + viewer]);
                let len = writer.len();
                self.bed.arrive(path(viewer), &bytes[..len]);
            }
            self.take();
            self.bed.now = self.bed.now + Duration::from_millis(20);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.take();
        }
    }

    fn take(&mut self) {
        for (_, bytes) in self.bed.sent().into_iter().filter(|(to, bytes)| *to == remote(0) && bytes[1] >= 200) {
            for packet in rtcp::parse(&bytes).expect("lawful") {
                if let Packet::Remb { bitrate_bps, .. } = packet {
                    self.asked_bps = bitrate_bps;
                }
            }
        }
        while let Some(event) = self.bed.worker.poll_event() {
            if let Event::ConsumerSuspended { consumer, suspended } = event {
                self.suspended[usize::try_from(consumer.0).expect("small") - 21] = suspended;
            }
        }
    }
}

#[test]
fn a_sender_is_asked_for_what_the_best_of_its_viewers_can_take() {
    let mut stage = Stage::new(1, &[150_000, 300_000]);
    stage.play(20);
    assert!((200_000..300_000).contains(&stage.asked_bps), "{}", stage.asked_bps);
    assert_eq!(stage.suspended, [true, false], "the one that can gets a picture");
    stage.paths_bps = vec![400_000, 150_000];
    stage.play(10);
    assert!((300_000..400_000).contains(&stage.asked_bps), "{}", stage.asked_bps);
    stage.paths_bps = vec![2_000_000, 150_000];
    stage.play(10);
    assert!(stage.asked_bps > FULL_BPS, "all fits again: {}", stage.asked_bps);
    assert_eq!(stage.suspended, [false, true]);
}

#[test]
fn a_sender_of_which_one_viewer_can_take_all_is_not_asked() {
    let mut stage = Stage::new(1, &[200_000, 2_000_000]);
    stage.play(20);
    assert!(stage.asked_bps > FULL_BPS, "{}", stage.asked_bps);
    assert_eq!(stage.suspended, [true, false]);
}

#[test]
fn a_sender_of_several_encodings_is_not_asked() {
    let mut stage = Stage::new(2, &[200_000]);
    stage.play(20);
    assert!(stage.asked_bps > FULL_BPS, "{}", stage.asked_bps);
}
