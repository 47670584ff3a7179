//! Sound and pictures of one sender stay together at a receiver, however long each was on its way to us: our sender
//! reports go by the sender's own clock.

use std::time::Duration;

use corecast_core::rtcp::{self, Packet, SenderInfo, Writer};
use corecast_core::rtp::{Header, write_header};
use corecast_wire::{Codec, CodecMapping, EncodingMapping, MediaKind, ProduceOptions};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, remote, video};

const SOUND: u32 = 2_000;
const PICTURES: u32 = 1_111;
/// Sound is sent as soon as it is taken, pictures only when they have been encoded.
const SOUND_DELAY_MS: u64 = 20;
const PICTURE_DELAY_MS: u64 = 400;
/// By how much the sender's clock is ahead of ours.
const AHEAD_S: u64 = 7_200;

/// RTP time of media that are taken `millis` after the begin.
const fn rtp_time(ssrc: u32, millis: u64) -> u32 {
    let (start, per_ms): (u32, u64) = if ssrc == SOUND { (77, 48) } else { (4_000_000_000, 90) };
    start.wrapping_add((millis * per_ms) as u32)
}

struct Stage {
    bed: Bed,
    sequence: u16,
    /// Our reports, by the receiver's SSRC: NTP and RTP time.
    reports: Vec<(u32, u64, u32)>,
}

impl Stage {
    fn new() -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        bed.produce_as(0, 1, video()).expect("new");
        let opus =
            CodecMapping { payload_type: 111, mapped_payload_type: 101, codec: Codec::Other, clock_rate_hz: 48_000 };
        let encodings = vec![EncodingMapping { ssrc: Some(SOUND), ..EncodingMapping::default() }];
        bed.produce_as(0, 2, ProduceOptions::new(MediaKind::Audio, vec![opus], encodings)).expect("new");
        bed.consume_as(1, 1, receiver(21)).expect("new");
        bed.consume_as(1, 2, receiver(22)).expect("new");
        Self { bed, sequence: 1, reports: vec![] }
    }

    fn now_ms(&self) -> u64 {
        self.bed.now.as_nanos() / 1_000_000
    }

    /// A packet that was taken so long ago.
    fn packet(&mut self, ssrc: u32, delay_ms: u64) {
        let timestamp = rtp_time(ssrc, self.now_ms() - delay_ms);
        let payload_type = if ssrc == SOUND { 111 } else { 96 };
        let header = Header { payload_type, sequence: self.sequence, timestamp, ssrc, ..Header::default() };
        let mut bytes = [0; 16];
        let len = write_header(&mut bytes, &header, &[], &[]).expect("room");
        bytes[len..].copy_from_slice(if self.sequence == 1 { &KEY_FRAME } else { &DELTA_FRAME });
        self.bed.arrive(path(0), &bytes);
        self.take();
    }

    /// A sender report that was so long on its way.
    fn report(&mut self, ssrc: u32, way_ms: u64) {
        let millis = self.now_ms() - way_ms;
        let ntp = ((AHEAD_S + millis / 1_000) << 32) + ((millis % 1_000) << 32) / 1_000;
        let rtp_timestamp = rtp_time(ssrc, millis);
        let info = SenderInfo { ssrc, ntp, rtp_timestamp, packet_count: 1, octet_count: 1 };
        let mut bytes = [0; 256];
        let mut writer = Writer::new(&mut bytes);
        writer.push_sender_report(&info, []);
        let len = writer.len();
        self.bed.arrive(path(0), &bytes[..len]);
    }

    fn take(&mut self) {
        for (_, bytes) in self.bed.sent().into_iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] == 200) {
            for packet in rtcp::parse(&bytes).expect("lawful") {
                if let Packet::SenderReport { ssrc, ntp, rtp_timestamp, .. } = packet {
                    self.reports.push((ssrc, ntp, rtp_timestamp));
                }
            }
        }
    }

    /// Media of both kinds for so many seconds, and reports of both every second if there are any.
    fn play(&mut self, seconds: u64, has_reports: bool) {
        for step in 0..seconds * 25 {
            self.packet(PICTURES, PICTURE_DELAY_MS);
            self.packet(SOUND, SOUND_DELAY_MS);
            self.sequence += 1;
            if has_reports && step % 25 == 0 {
                self.report(PICTURES, 30 + step % 40);
                self.report(SOUND, 20 + step % 70);
            }
            self.bed.now = self.bed.now + Duration::from_millis(40);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.take();
        }
    }

    /// By how many milliseconds pictures are shown too early or too late beside sound, by the last reports of both.
    fn apart_ms(&self) -> i64 {
        let taken = |receives: u32, ssrc: u32, per_ms: u32| {
            let (_, ntp, timestamp) = self.reports.iter().rfind(|report| report.0 == receives).expect("a report");
            let ours_ms = (u128::from(*ntp) * 1_000) >> 32;
            // When what is heard or seen "now" was taken, against our clock.
            let taken_ms = timestamp.wrapping_sub(rtp_time(ssrc, 0)).cast_signed() / per_ms.cast_signed();
            i64::from(taken_ms) - (ours_ms % 100_000_000) as i64
        };
        taken(21, PICTURES, 90) - taken(22, SOUND, 48)
    }
}

#[test]
fn reports_go_by_the_senders_clock() {
    let mut stage = Stage::new();
    stage.bed.now = stage.bed.now + Duration::from_secs(1);
    stage.play(10, true);
    assert!(stage.apart_ms().abs() <= 20, "{} ms", stage.apart_ms());
}

#[test]
fn reports_go_by_arrival_while_the_sender_has_said_nothing() {
    let mut stage = Stage::new();
    stage.bed.now = stage.bed.now + Duration::from_secs(1);
    stage.play(10, false);
    let apart = (SOUND_DELAY_MS as i64) - PICTURE_DELAY_MS as i64;
    assert!((stage.apart_ms() - apart).abs() <= 50, "{} ms", stage.apart_ms());
}
