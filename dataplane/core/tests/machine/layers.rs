//! Simulcast: which layer a consumer is sent, and how one goes on where the other ends.

use std::time::Duration;

use corecast_core::rtcp::{self, Packet, SenderInfo, Writer};
use corecast_core::rtp::{Header, RtpView, write_header};
use corecast_wire::{
    Command, CommandError, ConsumerId, EncodingMapping, Event, ExtensionMapping, HeaderExtension, ObjectStats,
    ProduceOptions, Reply, RtxOptions, SpatialLayer,
};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, video};

pub(crate) const OUT: u32 = 21;
/// Clock of the layers' timestamps.
const RATE: u64 = 90_000;

/// A sender of several layers, lowest first. Layer n has SSRC 1,000 + n and a clock of its own.
pub(crate) struct Stage {
    pub(crate) bed: Bed,
    pub(crate) next: [u16; 4],
}

/// A packet of media to the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    sequence: u16,
    timestamp: u32,
    layer: u8,
    key: bool,
}

pub(crate) fn layers(count: u32) -> ProduceOptions {
    let encoding = |layer| EncodingMapping { ssrc: Some(1_000 + layer), rtx_ssrc: Some(2_000 + layer), rid: None };
    ProduceOptions { encodings: (0..count).map(encoding).collect(), ..video() }
}

/// Where a layer's timestamps begin.
fn clock_offset(layer: u8) -> u32 {
    [4_000_000_000, 77, 2_147_483_000, 1_234_567_890][usize::from(layer)]
}

impl Stage {
    fn new(count: u32) -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        bed.produce_as(0, 1, layers(count)).expect("new");
        Self { bed, next: [100, 200, 300, 400] }
    }

    fn with_viewer(count: u32) -> Self {
        let mut stage = Self::new(count);
        stage.bed.consume(1, OUT).expect("new");
        stage
    }

    /// Two layers that have been there for a while, of which the higher one is watched.
    fn playing() -> Self {
        let mut stage = Self::with_viewer(2);
        stage.frame(1, true);
        stage.run(&[0, 1], 2_500);
        stage
    }

    /// The layer's timestamp of a moment.
    fn timestamp(&self, layer: u8, millis_ago: u64) -> u32 {
        let ticks = (self.bed.now.as_nanos() / 1_000_000 - millis_ago) * RATE / 1_000;
        (ticks as u32).wrapping_add(clock_offset(layer))
    }

    fn frame(&mut self, layer: u8, key: bool) {
        self.frame_of(layer, key, 0);
    }

    /// A frame of one packet, of a moment a while ago.
    fn frame_of(&mut self, layer: u8, key: bool, millis_ago: u64) {
        let next = &mut self.next[usize::from(layer)];
        let sequence = *next;
        *next = next.wrapping_add(1);
        self.arrive(layer, key, sequence, self.timestamp(layer, millis_ago));
    }

    fn arrive(&mut self, layer: u8, key: bool, sequence: u16, timestamp: u32) {
        let ssrc = 1_000 + u32::from(layer);
        let header = Header { payload_type: 96, sequence, timestamp, ssrc, ..Header::default() };
        let mut bytes = [0; 17];
        let len = write_header(&mut bytes, &header, &[], &[]).expect("room");
        bytes[len..len + 4].copy_from_slice(if key { &KEY_FRAME } else { &DELTA_FRAME });
        bytes[16] = layer;
        self.bed.arrive(path(0), &bytes);
    }

    fn sent(&mut self) -> Vec<Sent> {
        let sent = self.bed.sent();
        sent.iter()
            .filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101)
            .map(|(_, bytes)| read(bytes))
            .collect()
    }

    /// The last packet that leaves, and how its timestamp is ahead of now.
    fn latest(&mut self) -> Option<(Sent, i32)> {
        let sent = *self.sent().last()?;
        let now = (self.bed.now.as_nanos() / 1_000_000 * RATE / 1_000) as u32;
        Some((sent, sent.timestamp.wrapping_sub(now) as i32))
    }

    /// A key frame of each of two layers, the lower first as encoders send them: how the one that left is ahead of now.
    fn both(&mut self) -> i32 {
        let latest = [0, 1].map(|layer| {
            self.frame(layer, true);
            self.latest()
        });
        latest.into_iter().flatten().last().expect("one of them leaves").1
    }

    /// Lets time pass; what timers have sent, a destination each.
    fn pass(&mut self, millis: u64) -> Vec<(bool, Vec<u8>)> {
        let until = self.bed.now + Duration::from_millis(millis);
        let mut sent = Vec::new();
        while let Some(at) = self.bed.worker.next_timeout().filter(|at| *at <= until) {
            self.bed.now = at.max(self.bed.now);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            sent.extend(self.bed.sent().into_iter().map(|(to, bytes)| (to == remote(1), bytes)));
        }
        self.bed.now = until;
        sent
    }

    /// All of these send for so long, a frame each 100 ms.
    fn run(&mut self, layers: &[u8], millis: u64) -> Vec<Sent> {
        let mut sent = Vec::new();
        for _ in 0..millis / 100 {
            for layer in layers {
                self.frame(*layer, false);
            }
            sent.extend(self.sent());
            self.pass(100);
        }
        sent
    }

    fn prefer(&mut self, spatial: u8) -> Result<Reply, CommandError> {
        self.prefer_by(SpatialLayer::Quality(spatial))
    }

    fn prefer_by(&mut self, spatial: SpatialLayer) -> Result<Reply, CommandError> {
        self.bed.command(&Command::SetPreferredLayers { consumer: ConsumerId(OUT.into()), spatial, temporal: None })
    }

    fn events(&mut self) -> Vec<Option<u8>> {
        let events = std::iter::from_fn(|| self.bed.worker.poll_event());
        events
            .filter_map(|event| match event {
                Event::ConsumerLayersChanged { consumer: ConsumerId(21), current, .. } => {
                    Some(current.map(|current| current.encoding))
                }
                _ => None,
            })
            .collect()
    }

    /// Layers that were asked for a key frame by what has just been sent.
    fn asked(&mut self) -> Vec<u32> {
        let sent = self.bed.sent();
        plis(sent.iter().filter(|(to, _)| *to == remote(0)).map(|(_, bytes)| bytes.as_slice()))
    }

    pub(crate) fn nack(&mut self, sequence: u16) -> Vec<(u32, Vec<u8>)> {
        let mut bytes = [0; 64];
        let mut writer = Writer::new(&mut bytes);
        writer.push_nack(9, OUT, [sequence]);
        let len = writer.len();
        self.bed.arrive(path(1), &bytes[..len]);
        let sent = self.bed.sent();
        let media = sent.into_iter().filter(|(to, bytes)| *to == remote(1) && rtcp::parse(bytes).is_err());
        media.map(|(_, bytes)| (RtpView::parse(&bytes).expect("lawful").ssrc(), bytes)).collect()
    }

    fn sender_report(&mut self, layer: u8, ntp: u64, rtp_timestamp: u32) {
        let ssrc = 1_000 + u32::from(layer);
        let mut bytes = [0; 64];
        let mut writer = Writer::new(&mut bytes);
        writer.push_sender_report(&SenderInfo { ssrc, ntp, rtp_timestamp, packet_count: 1, octet_count: 1 }, []);
        let len = writer.len();
        self.bed.arrive(path(0), &bytes[..len]);
    }
}

fn plis<'a>(sent: impl Iterator<Item = &'a [u8]>) -> Vec<u32> {
    let packets = sent.filter_map(|bytes| rtcp::parse(bytes).ok()).flatten();
    packets
        .filter_map(|packet| if let Packet::Pli { media_ssrc, .. } = packet { Some(media_ssrc - 1_000) } else { None })
        .collect()
}

fn read(bytes: &[u8]) -> Sent {
    let view = RtpView::parse(bytes).expect("lawful");
    let body = view.body();
    Sent { sequence: view.sequence(), timestamp: view.timestamp(), layer: body[4], key: body[1] & 1 == 0 }
}

fn of(sent: &[Sent]) -> Vec<(u16, u8)> {
    sent.iter().map(|one| (one.sequence, one.layer)).collect()
}

#[test]
fn begins_with_the_best_layer_and_switches_at_key_frames_only() {
    let mut stage = Stage::new(3);
    stage.run(&[0, 1, 2], 2_500);
    stage.bed.consume(1, OUT).expect("new");
    assert_eq!(stage.asked(), [2], "only the one that is to be sent");
    (0..3).for_each(|layer| stage.frame(layer, false));
    assert_eq!(stage.sent(), []);
    (0..3).for_each(|layer| stage.frame(layer, layer == 2));
    assert_eq!(of(&stage.sent()), [(10, 2)]);
    (0..3).for_each(|layer| stage.frame(layer, layer == 0));
    assert_eq!(of(&stage.sent()), [(11, 2)]);
    stage.pass(1_000);
    stage.prefer(0).expect("there");
    assert_eq!(stage.asked(), [0]);
    (0..3).for_each(|layer| stage.frame(layer, layer == 1));
    assert_eq!(of(&stage.sent()), [(12, 2)], "the layer of before until then");
    stage.frame(2, false);
    stage.frame(0, true);
    stage.frame(2, true);
    stage.frame(0, false);
    assert_eq!(of(&stage.sent()), [(13, 2), (14, 2), (15, 0), (16, 0)], "in the order of the round");
    (0..3).for_each(|layer| stage.frame(layer, true));
    assert_eq!(of(&stage.sent()), [(17, 0)], "nothing of the abandoned layer");
    stage.prefer(1).expect("there");
    stage.frame(1, false);
    stage.frame(0, false);
    assert_eq!(of(&stage.sent()), [(18, 0)]);
    stage.frame(1, true);
    stage.frame(0, false);
    assert_eq!(of(&stage.sent()).last(), Some(&(19, 1)), "up at its key frame");
}

#[test]
fn a_new_layer_is_waited_for_unless_there_is_nothing() {
    let mut stage = Stage::with_viewer(3);
    stage.frame(0, true);
    assert_eq!(of(&stage.sent()), [(10, 0)], "the first that comes");
    stage.frame(1, true);
    stage.frame(0, false);
    assert_eq!(of(&stage.sent()), [(11, 0)], "media is there: another must prove itself");
    let sent = stage.run(&[0, 1], 1_900);
    assert!(sent.iter().all(|sent| sent.layer == 0));
    stage.run(&[0, 1], 400);
    stage.frame(1, true);
    assert_eq!(stage.sent().last().map(|sent| sent.layer), Some(1));
    assert_eq!(stage.events(), [Some(0)]);
    stage.pass(200);
    assert_eq!(stage.events(), [Some(1)]);
}

#[test]
fn a_layer_dies_and_comes_back() {
    let mut stage = Stage::with_viewer(2);
    stage.frame(1, true);
    stage.run(&[0, 1], 500);
    assert_eq!(stage.events(), [Some(1)]);
    let sent = stage.run(&[0], 1_400);
    assert_eq!(sent, [], "it may be a short pause");
    let asked: Vec<_> = (0..4).flat_map(|_| stage.pass(100)).collect();
    assert_eq!(plis(asked.iter().map(|(_, bytes)| bytes.as_slice())), [0]);
    stage.frame(0, true);
    let sent = stage.sent();
    assert_eq!(sent.iter().map(|sent| sent.layer).collect::<Vec<_>>(), [0]);
    stage.pass(200);
    assert_eq!(stage.events().last(), Some(&Some(0)));
    stage.frame(1, true);
    assert_eq!(of(&stage.sent()), [], "back, but not for long enough");
    stage.run(&[0, 1], 2_500);
    stage.frame(1, true);
    assert_eq!(stage.sent().last().map(|sent| sent.layer), Some(1));
    // Both fall silent: the viewer gets nothing, and whatever comes first then.
    stage.pass(5_300);
    assert_eq!(stage.events(), [Some(1), None]);
    stage.frame(0, true);
    assert_eq!(stage.sent().last().map(|sent| sent.layer), Some(0));
}

#[test]
fn a_nack_is_answered_from_the_layer_that_was_sent_under_that_number() {
    let mut stage = Stage::new(2);
    let options = corecast_wire::ConsumeOptions {
        rtx: Some(RtxOptions { ssrc: 22, payload_types: vec![(101, 102)], first_sequence: 7 }),
        ..receiver(OUT)
    };
    stage.bed.consume_as(1, 1, options).expect("new");
    // The same numbers in both layers.
    stage.next = [500, 500, 0, 0];
    stage.frame(1, true);
    stage.frame(0, false);
    stage.frame(1, false);
    let before = stage.sent();
    assert_eq!(of(&before), [(10, 1), (11, 1)]);
    stage.prefer(0).expect("there");
    stage.frame(0, true);
    let after = stage.sent();
    assert_eq!(of(&after), [(12, 0)]);
    for original in before.iter().chain(&after) {
        let [(22, again)] = &stage.nack(original.sequence)[..] else { panic!("one, on the RTX stream") };
        let view = RtpView::parse(again).expect("lawful");
        let body = view.body();
        assert_eq!(body[..2], original.sequence.to_be_bytes());
        assert_eq!((body[6], view.timestamp()), (original.layer, original.timestamp), "{original:?}");
    }
    assert_eq!(stage.nack(13), [], "not sent yet");
    assert_eq!(stage.nack(9), [], "before the first");
}

#[test]
fn without_rtx_it_is_the_same_to_the_byte_across_switches() {
    let mut stage = Stage::with_viewer(2);
    stage.run(&[0, 1], 2_500);
    let mut first: Vec<Vec<u8>> = Vec::new();
    for round in 0..6 {
        stage.prefer(round % 2).expect("there");
        stage.pass(10);
        (0..2).for_each(|layer| stage.frame(layer, true));
        let sent = stage.bed.sent();
        first
            .extend(sent.into_iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] == 101).map(|(_, bytes)| bytes));
    }
    assert_eq!(first.iter().map(|bytes| bytes[16]).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 1, 0, 0, 1]);
    for original in &first {
        let sequence = RtpView::parse(original).expect("lawful").sequence();
        assert_eq!(stage.nack(sequence), [(OUT, original.clone())]);
    }
}

#[test]
fn time_goes_on_across_switches_by_sender_reports() {
    let mut stage = Stage::playing();
    // NTP: an hour or so, 100 ms before now; the lower layer's report is of another moment.
    let ntp = |stage: &Stage, millis_ago: u64| {
        let millis = 3_600_000 + stage.bed.now.as_nanos() / 1_000_000 - millis_ago;
        ((millis / 1_000) << 32) | (((millis % 1_000) << 32) / 1_000)
    };
    for (layer, millis_ago) in [(1, 100), (0, 370)] {
        let (ntp, rtp) = (ntp(&stage, millis_ago), stage.timestamp(layer, millis_ago));
        stage.sender_report(layer, ntp, rtp);
    }
    stage.frame(1, false);
    let (_, expected) = stage.latest().expect("plays");
    // What is captured at one moment arrives 60 ms later on the lower layer: arrival would mislead.
    for round in 0..20_u8 {
        let layer = round % 2;
        stage.prefer(layer).expect("there");
        stage.pass(500);
        let latest = [(0, 60), (1, 0)].map(|(layer, ago)| {
            stage.frame_of(layer, true, ago);
            stage.latest()
        });
        let (sent, ahead) = latest.into_iter().flatten().last().expect("one of them leaves");
        let late = if layer == 0 { 60 * 90 } else { 0 };
        let error = ahead - expected + late;
        assert_eq!(sent.layer, layer);
        assert!(error.abs() <= 2, "round {round}: {error} ticks off");
    }
}

#[test]
fn time_goes_on_across_switches_by_arrival_without_reports() {
    let mut stage = Stage::playing();
    stage.frame(1, false);
    let (_, expected) = stage.latest().expect("plays");
    for round in 0..20_u8 {
        stage.prefer(round % 2).expect("there");
        stage.pass(500);
        let error = stage.both() - expected;
        // There may be two pictures of one moment: the second is a millisecond later.
        assert!((0..=92).contains(&error), "round {round}: {error} ticks off");
    }
}

#[test]
fn reports_that_cannot_be_true_are_not_believed() {
    let mut stage = Stage::playing();
    stage.frame(1, false);
    let (_, expected) = stage.latest().expect("plays");
    for (round, (ntp, rtp)) in [(0, 0), (u64::MAX, u32::MAX), (1 << 63, 5), (3_600 << 32, 1)].into_iter().enumerate() {
        stage.sender_report(0, ntp, rtp);
        stage.sender_report(1, 1_000 << 32, 0);
        stage.prefer(u8::try_from(round % 2).expect("0 or 1")).expect("there");
        stage.pass(500);
        let error = stage.both() - expected;
        assert!((0..=92).contains(&error), "round {round}: {error} ticks off");
    }
}

#[test]
fn our_sender_reports_tell_the_time_that_our_packets_have() {
    let mut stage = Stage::with_viewer(2);
    stage.frame(0, false);
    stage.frame(1, true);
    stage.sent();
    stage.prefer(0).expect("there");
    stage.pass(300);
    stage.frame(0, true);
    let (sent, _) = stage.latest().expect("a key frame");
    let at = stage.bed.now;
    let reports = stage.pass(1_500);
    let reports = reports.iter().filter(|(to_viewer, _)| *to_viewer).flat_map(|(_, bytes)| rtcp::parse(bytes).ok());
    let found = reports.flatten().find_map(|packet| match packet {
        Packet::SenderReport { ssrc: OUT, ntp, rtp_timestamp, .. } => Some((ntp, rtp_timestamp)),
        _ => None,
    });
    let (ntp, rtp_timestamp) = found.expect("a report within the interval");
    // NTP of the machine is its clock's since 1970.
    let nanos = (ntp >> 32).wrapping_sub(2_208_988_800) * 1_000_000_000 + (((ntp & 0xffff_ffff) * 1_000_000_000) >> 32);
    let ticks = (nanos - at.as_nanos()) * RATE / 1_000_000_000;
    let error = rtp_timestamp.wrapping_sub(sent.timestamp) as i32 - ticks as i32;
    assert!(error.abs() <= 2, "{error} ticks off");
}

#[test]
fn who_is_not_watched_is_not_asked_for_key_frames() {
    let mut stage = Stage::with_viewer(3);
    stage.frame(2, true);
    stage.run(&[0, 1, 2], 3_000);
    let mut asked = Vec::new();
    for _ in 0..20 {
        // Gaps too wide to ask for, in every layer.
        stage.next = stage.next.map(|next| next.wrapping_add(1_200));
        for layer in 0..3 {
            for _ in 0..2 {
                stage.frame(layer, false);
            }
        }
        asked.extend(stage.asked());
        let sent = stage.pass(500);
        asked.extend(plis(sent.iter().filter(|(to_viewer, _)| !to_viewer).map(|(_, bytes)| bytes.as_slice())));
    }
    assert!(asked.len() >= 5 && asked.iter().all(|layer| *layer == 2), "{asked:?}");
}

#[test]
fn a_command_names_a_layer_that_there_is() {
    let mut stage = Stage::with_viewer(2);
    let refused = stage.prefer(2);
    assert!(matches!(refused, Err(CommandError::Invalid { .. })), "{refused:?}");
    let spatial = SpatialLayer::Quality(0);
    let unknown = Command::SetPreferredLayers { consumer: ConsumerId(99), spatial, temporal: None };
    assert!(matches!(stage.bed.command(&unknown), Err(CommandError::NotFound { .. })));
    stage.prefer(0).expect("there");
    stage.frame(1, true);
    assert_eq!(of(&stage.sent()), [(10, 1)], "the lowest above, where none below is active");
    stage.pass(200);
    let Ok(Reply::Stats(page)) = stage.bed.command(&Command::Stats { from: None }) else { panic!("another reply") };
    let (mut layers, mut active) = (None, Vec::new());
    for object in page.objects {
        match object {
            ObjectStats::Consumer(consumer) => layers = Some((consumer.preferred_spatial, consumer.current_spatial)),
            ObjectStats::Producer(producer) => active = producer.streams.iter().map(|stream| stream.active).collect(),
            _ => {}
        }
    }
    assert_eq!((layers, active), (Some((0, Some(1))), vec![false, true]));
    let mut plain = Bed::new();
    plain.transport(0, false, false);
    plain.transport(1, false, false);
    plain.produce(0);
    plain.consume(1, OUT).expect("new");
    let one = |spatial| Command::SetPreferredLayers { consumer: ConsumerId(OUT.into()), spatial, temporal: None };
    for named in [SpatialLayer::Quality, SpatialLayer::Encoding] {
        plain.command(&one(named(0))).expect("there is nothing to choose");
        assert!(plain.command(&one(named(1))).is_err());
    }
}

#[test]
fn pauses_end_and_begin_with_the_layer_of_the_time() {
    let mut stage = Stage::with_viewer(2);
    stage.frame(1, true);
    stage.run(&[0, 1], 2_500);
    let consumer = ConsumerId(OUT.into());
    stage.bed.command(&Command::PauseConsumer { consumer, paused: true }).expect("there");
    stage.prefer(0).expect("there");
    assert_eq!(stage.asked(), Vec::<u32>::new());
    (0..2).for_each(|layer| stage.frame(layer, true));
    assert_eq!(stage.sent(), []);
    stage.pass(2_000);
    assert_eq!(stage.events(), [Some(1), None]);
    (0..2).for_each(|layer| stage.frame(layer, true));
    stage.bed.command(&Command::PauseConsumer { consumer, paused: false }).expect("there");
    assert_eq!(stage.asked(), [0]);
    let next = stage.next;
    (0..2).for_each(|layer| stage.frame(layer, true));
    let sent = stage.sent();
    assert_eq!(sent.iter().map(|sent| sent.layer).collect::<Vec<_>>(), [0]);
    assert!(next > [100; 4]);
}

const RID: u8 = 4;

#[test]
fn layers_without_an_ssrc_wait_for_their_rid() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    let encoding = |rid: &str| EncodingMapping { rid: Some(rid.into()), ..EncodingMapping::default() };
    let options = ProduceOptions {
        header_extensions: vec![ExtensionMapping { extension: HeaderExtension::Rid, id: RID, mapped_id: RID }],
        encodings: vec![encoding("q"), encoding("f")],
        ..video()
    };
    bed.produce_as(0, 1, options).expect("new");
    bed.consume(1, OUT).expect("new");
    let mut stage = Stage { bed, next: [0; 4] };
    // Whom to ask is not known yet.
    for spatial in [0, 1, 0, 1] {
        stage.prefer(spatial).expect("there");
        stage.pass(2_000);
    }
    let frame = |rid: &str, ssrc, sequence, key: bool| {
        let head = if key { KEY_FRAME } else { DELTA_FRAME };
        let payload = [&head[..], &[u8::from(rid == "f")]].concat();
        packet(ssrc, 96, sequence, &[(RID, rid.as_bytes())], &payload)
    };
    stage.bed.arrive(path(0), &frame("x", 1_050, 1, true));
    stage.bed.arrive(path(0), &frame("q", 1_060, 1, true));
    assert_eq!(of(&stage.sent()), [(10, 0)]);
    stage.bed.arrive(path(0), &frame("f", 1_060, 2, true));
    assert_eq!(of(&stage.sent()), [(11, 1)], "an SSRC belongs to its first RID for ever");
    stage.pass(5_100);
    stage.bed.arrive(path(0), &frame("f", 1_061, 1, false));
    assert_eq!(stage.asked(), [61]);
    stage.bed.arrive(path(0), &frame("f", 1_061, 2, true));
    assert_eq!(of(&stage.sent()), [(12, 1)], "the other has fallen silent");
}

/// A small generator: the same each time.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*state >> 33) % below
}

#[test]
fn whatever_happens_numbers_have_no_gap_and_time_does_not_go_back() {
    for seed in 0..40 {
        let mut state = seed;
        let mut stage = Stage::with_viewer(3);
        let (mut last, mut current): (Option<Sent>, Option<u8>) = (None, None);
        let mut left: Vec<u8> = Vec::new();
        for step in 0..1_500 {
            match random(&mut state, 40) {
                0 => _ = stage.prefer(random(&mut state, 3) as u8).expect("there"),
                1 => {
                    let millis = random(&mut state, 2_500);
                    stage.pass(millis);
                }
                2 => {
                    let consumer = ConsumerId(OUT.into());
                    let paused = random(&mut state, 3) == 0;
                    stage.bed.command(&Command::PauseConsumer { consumer, paused }).expect("there");
                }
                3 => {
                    let layer = random(&mut state, 3) as u8;
                    let ntp = (9 << 32) + (stage.bed.now.as_nanos() << 2);
                    let rtp = stage.timestamp(layer, 0);
                    stage.sender_report(layer, ntp, rtp);
                }
                _ => {
                    let (layer, ago) = (random(&mut state, 3) as u8, random(&mut state, 3) * 30);
                    let key = random(&mut state, 6) == 0;
                    stage.pass(7);
                    stage.frame_of(layer, key, ago);
                }
            }
            for sent in stage.sent() {
                if let Some(last) = last {
                    assert_eq!(sent.sequence, last.sequence.wrapping_add(1), "seed {seed}, step {step}");
                    if sent.layer != last.layer {
                        let step_on = sent.timestamp.wrapping_sub(last.timestamp) as i32;
                        assert!(step_on > 0, "seed {seed}, step {step}: {step_on}");
                    }
                }
                if current != Some(sent.layer) {
                    assert!(sent.key, "seed {seed}, step {step}: begins with a key frame");
                    current = Some(sent.layer);
                    left.push(sent.layer);
                }
                last = Some(sent);
            }
        }
        assert!(left.len() > 5, "seed {seed}: {left:?}");
    }
}
