//! Senders whose clocks jump: our reports, switches of layers and what we measure stay on the new timeline.

use std::time::Duration;

use corecast_core::rtcp::{self, Packet, SenderInfo, Writer};
use corecast_core::rtp::{Header, RtpView, write_header};
use corecast_wire::{Command, ConsumerId, EncodingMapping, ObjectStats, ProduceOptions, Reply, SpatialLayer};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, remote, video};

const RATE: u32 = 90_000;
const FRAME: Duration = Duration::from_millis(40);
const FRAME_TICKS: u32 = RATE / 25;

/// A sender of one or two layers, the upper of which is watched.
struct Stage {
    bed: Bed,
    sequence: [u16; 2],
    clock: [u32; 2],
    /// Timestamp of the last picture that left.
    left: Option<u32>,
    /// By how much our last report was ahead of the last picture that left.
    reported: Option<i32>,
}

impl Stage {
    fn new(layers: u32) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        let encoding = |layer| EncodingMapping { ssrc: Some(1_000 + layer), ..EncodingMapping::default() };
        let options = ProduceOptions { encodings: (0..layers).map(encoding).collect(), ..video() };
        bed.produce_as(0, 1, options).expect("new");
        bed.consume_as(1, 1, receiver(21)).expect("new");
        Self { bed, sequence: [100, 200], clock: [7, 4_000_000_000], left: None, reported: None }
    }

    /// One picture of a layer.
    fn frame(&mut self, layer: usize, key: bool) {
        let (sequence, timestamp, ssrc) = (self.sequence[layer], self.clock[layer], 1_000 + layer as u32);
        self.sequence[layer] = sequence.wrapping_add(1);
        let header = Header { payload_type: 96, sequence, timestamp, ssrc, ..Header::default() };
        let mut bytes = [0; 16];
        let len = write_header(&mut bytes, &header, &[], &[]).expect("room");
        bytes[len..].copy_from_slice(if key { &KEY_FRAME } else { &DELTA_FRAME });
        self.bed.arrive(path(0), &bytes);
        self.take();
    }

    fn take(&mut self) {
        for (_, bytes) in self.bed.sent().into_iter().filter(|(to, _)| *to == remote(1)) {
            if bytes[1] & 0x7f == 101 {
                self.left = Some(RtpView::parse(&bytes).expect("lawful").timestamp());
            } else if let Some(Packet::SenderReport { rtp_timestamp, .. }) = rtcp::parse(&bytes).expect("lawful").next()
            {
                self.reported = self.left.map(|left| rtp_timestamp.wrapping_sub(left).cast_signed());
            }
        }
    }

    /// Pictures of all layers, for so long.
    fn play(&mut self, layers: usize, seconds: u32, key: bool) {
        for _ in 0..seconds * 25 {
            (0..layers).for_each(|layer| self.frame(layer, key));
            let until = self.bed.now + FRAME;
            while let Some(at) = self.bed.worker.next_timeout().filter(|at| *at <= until) {
                self.bed.now = at.max(self.bed.now);
                self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
                self.take();
            }
            self.bed.now = until;
            (0..layers).for_each(|layer| self.clock[layer] = self.clock[layer].wrapping_add(FRAME_TICKS));
        }
    }

    /// A layer's clock is by so many seconds ahead of what it was.
    fn jump(&mut self, layer: usize, seconds: i32) {
        self.clock[layer] = self.clock[layer].wrapping_add_signed(seconds * RATE.cast_signed());
    }

    /// A layer's sender says what its clock shows.
    fn report(&mut self, layer: usize) {
        let ntp = (u128::from(self.bed.now.as_nanos()) << 32) / 1_000_000_000;
        let (ntp, rtp_timestamp, ssrc) = (ntp as u64, self.clock[layer], 1_000 + layer as u32);
        let mut bytes = [0; 64];
        let mut writer = Writer::new(&mut bytes);
        writer.push_sender_report(&SenderInfo { ssrc, ntp, rtp_timestamp, packet_count: 0, octet_count: 0 }, []);
        let len = writer.len();
        self.bed.arrive(path(0), &bytes[..len]);
    }

    /// Another layer is watched for a second: by how much timestamps go on.
    fn switch(&mut self, spatial: u8) -> u32 {
        let before = self.left.expect("pictures");
        let spatial = SpatialLayer::Quality(spatial);
        self.bed
            .command(&Command::SetPreferredLayers { consumer: ConsumerId(21), spatial, temporal: None })
            .expect("there is");
        self.play(2, 1, true);
        self.left.expect("pictures").wrapping_sub(before)
    }

    fn jitter(&mut self) -> u32 {
        let Ok(Reply::Stats(page)) = self.bed.command(&Command::Stats { from: None }) else { panic!("another reply") };
        let streams = page.objects.into_iter().filter_map(|object| match object {
            ObjectStats::Producer(producer) => Some(producer.streams),
            _ => None,
        });
        streams.flatten().next().expect("one").jitter
    }
}

#[test]
fn our_reports_follow_a_clock_that_jumps() {
    for seconds in [-60, 60, -3, 3] {
        let mut stage = Stage::new(1);
        stage.play(1, 3, true);
        stage.jump(0, seconds);
        stage.reported = None;
        stage.play(1, 3, true);
        let ahead = stage.reported.expect("a report");
        assert!((0..=2 * FRAME_TICKS.cast_signed()).contains(&ahead), "jump of {seconds} s: {ahead} ticks ahead");
    }
}

#[test]
fn one_wrong_timestamp_does_not_lead_reports_astray() {
    let mut stage = Stage::new(1);
    stage.play(1, 3, true);
    stage.jump(0, 60);
    stage.frame(0, true);
    stage.jump(0, -60);
    stage.reported = None;
    stage.play(1, 3, true);
    let ahead = stage.reported.expect("a report");
    assert!((0..=2 * FRAME_TICKS.cast_signed()).contains(&ahead), "{ahead} ticks ahead");
}

/// The floor of timestamps was the highest one that had ever left: 54 s ahead of the new timeline.
#[test]
fn a_switch_of_layers_stays_on_the_new_timeline() {
    for (seconds, reports) in [(-60, false), (-60, true), (-3, true), (60, false), (60, true)] {
        let mut stage = Stage::new(2);
        stage.play(2, 3, true);
        if reports {
            (0..2).for_each(|layer| stage.report(layer));
        }
        stage.jump(1, seconds);
        stage.play(2, 3, true);
        for layer in [0, 1] {
            let went_on = stage.switch(layer);
            assert!((RATE / 2..2 * RATE).contains(&went_on), "jump of {seconds} s: {went_on} ticks in 1 s");
        }
    }
}

#[test]
fn jitter_that_a_hostile_sender_makes_does_not_wrap() {
    let mut stage = Stage::new(1);
    let mut most = 0;
    for _ in 0..200 {
        stage.clock[0] ^= 0x8000_0000;
        stage.frame(0, true);
        let jitter = stage.jitter();
        assert!(jitter >= most / 2, "{jitter} after {most}");
        most = most.max(jitter);
    }
}

/// A sender that starts again has another timeline; its report of before would align a switch on the old one.
#[test]
fn a_report_of_before_a_restart_says_nothing_about_what_follows() {
    let mut stage = Stage::new(2);
    stage.play(2, 3, true);
    (0..2).for_each(|layer| stage.report(layer));
    stage.sequence[0] = stage.sequence[0].wrapping_add(20_000);
    stage.jump(0, 4);
    stage.play(2, 3, true);
    let went_on = stage.switch(0);
    assert!((RATE / 2..2 * RATE).contains(&went_on), "{went_on} ticks in 1 s");
}
