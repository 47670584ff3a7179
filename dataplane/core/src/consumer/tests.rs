//! What leaves under which number.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use corecast_wire::{
    Codec, CodecMapping, EncodingMapping, MediaKind, PayloadTypeMapping, ProduceOptions, ProducerId, TransportId,
};

use super::retransmission::ALLOWANCE_BYTES;
use super::*;
use crate::codec::frame;
use crate::limits::MAX_RETRANSMITS;
use crate::media::Arrival;

const STREAM: StreamKey = StreamKey::for_tests(5);
const OTHER: StreamKey = StreamKey::for_tests(6);

/// A consumer, and the streams of which it is sent something.
struct Case {
    consumer: Consumer,
    streams: BTreeMap<StreamKey, Stream>,
    history: History,
}

impl Deref for Case {
    type Target = Consumer;

    fn deref(&self) -> &Consumer {
        &self.consumer
    }
}

impl DerefMut for Case {
    fn deref_mut(&mut self) -> &mut Consumer {
        &mut self.consumer
    }
}

impl Case {
    /// What becomes of a packet that joins the history of its stream.
    fn numbered(&mut self, key: StreamKey, packet: &PacketMeta) -> Result<Numbered, Discard> {
        let of = (ProducerKey::for_tests(0), TransportId(0));
        let new = || Stream::new(of, MediaKind::Video, (0, &EncodingMapping::default()));
        let stream = self.streams.entry(key).or_insert_with(new);
        let slot = self.history.allocate().expect("a few slots");
        let arrival = Arrival { rtx: false, restart: false, clock_rate_hz: 90_000, sound: false, rtp_len: 0 };
        stream.take_in(&mut self.history, slot, packet, arrival);
        if let Some(last) = self.consumer.leaves_for(key) {
            let ending = self.consumer.ending(&self.streams[&last]);
            self.consumer.align(&ending, &self.streams[&key].reception());
        }
        let stream = self.streams.get_mut(&key).expect("just made");
        let goes_on = self.consumer.go_on(key, packet);
        let numbered = self.consumer.rewrite((key, stream), &self.history, packet);
        assert!(goes_on.is_none_or(|goes_on| numbered == Ok(goes_on)), "{goes_on:?} without a decision: {numbered:?}");
        numbered
    }

    fn rewrite(&mut self, key: StreamKey, packet: &PacketMeta) -> Result<u64, Discard> {
        self.numbered(key, packet).map(|numbered| numbered.index)
    }

    fn found(&self, out: u16) -> Option<(StreamKey, u64)> {
        let located = self.consumer.locate(out)?;
        Some((located.stream(), located.sequence(self.streams[&located.stream()].withheld())?))
    }
}

fn producer(codec: Codec) -> Producer {
    let mapping = |payload_type, mapped_payload_type, codec| CodecMapping {
        payload_type,
        mapped_payload_type,
        codec,
        clock_rate_hz: 90_000,
    };
    let codecs = vec![mapping(96, 100, codec), mapping(97, 13, Codec::Other)];
    let options = ProduceOptions {
        kind: MediaKind::Video,
        codecs,
        header_extensions: vec![],
        encodings: vec![],
        mid: None,
        nack: true,
        pli: true,
        fir: true,
        transport_cc: false,
        remb: false,
        paused: false,
        key_frame_request_delay_ms: 0,
    };
    Producer::new(ProducerId(1), TransportKey::for_tests(0), &options)
}

fn consumer(has_key_frames: bool) -> Case {
    let options = ConsumeOptions {
        nack: true,
        first_sequence: 500,
        ..ConsumeOptions::new(1, vec![PayloadTypeMapping { router: 100, receiver: 100 }], String::new())
    };
    let source = producer(if has_key_frames { Codec::Vp8 } else { Codec::Other });
    let from = (ProducerKey::for_tests(0), STREAM, 0);
    let consumer = Consumer::new(ConsumerId(1), TransportKey::for_tests(0), from, &source, &options);
    Case { consumer, streams: BTreeMap::new(), history: History::default() }
}

fn packet(sequence: u64) -> PacketMeta {
    PacketMeta { sequence, payload_type: 100, ..PacketMeta::default() }
}

fn key_frame(sequence: u64) -> PacketMeta {
    PacketMeta { frame: frame(Codec::Vp8, &[0x10, 0], None), ..packet(sequence) }
}

#[test]
fn a_loss_upstream_stays_a_gap_and_a_late_packet_fills_it() {
    let mut consumer = consumer(false);
    assert_eq!(consumer.rewrite(STREAM, &packet(70_000)), Ok(500));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_003)), Ok(503));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_001)), Ok(501));
    assert_eq!(consumer.rewrite(STREAM, &packet(69_999)), Err(Discard::BeforeSync));
}

#[test]
fn video_begins_and_resumes_at_a_key_frame_without_a_gap() {
    let mut consumer = consumer(true);
    assert_eq!(consumer.rewrite(STREAM, &packet(70_000)), Err(Discard::WaitingForKeyFrame));
    assert_eq!(consumer.rewrite(STREAM, &key_frame(70_001)), Ok(500));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_002)), Ok(501));
    consumer.resynchronise();
    assert_eq!(consumer.rewrite(STREAM, &packet(70_010)), Err(Discard::WaitingForKeyFrame));
    assert_eq!(consumer.rewrite(STREAM, &key_frame(70_020)), Ok(502));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_019)), Err(Discard::BeforeSync), "its number is another packet's");
}

#[test]
fn who_is_interrupted_does_not_begin_with_what_came_before() {
    let mut consumer = consumer(true);
    consumer.start_replay(GopReplay { stream: STREAM, packets: 70_000..70_005 });
    assert_eq!((consumer.next_to_replay(STREAM), consumer.must_wait()), (Some(70_000), true));
    consumer.set_paused(true);
    consumer.set_paused(false);
    assert_eq!((consumer.next_to_replay(STREAM), consumer.must_wait()), (None, false));
}

#[test]
fn a_late_packet_does_not_begin_a_run() {
    let mut consumer = consumer(false);
    assert_eq!(consumer.rewrite(STREAM, &packet(70_000)), Ok(500));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_002)), Ok(502));
    consumer.resynchronise();
    assert_eq!(
        consumer.rewrite(STREAM, &packet(70_001)),
        Err(Discard::BeforeSync),
        "it would follow what came after it"
    );
    assert_eq!(consumer.rewrite(STREAM, &packet(70_005)), Ok(503));
}

#[test]
fn a_withheld_payload_type_leaves_no_gap() {
    let mut consumer = consumer(false);
    let noise = |sequence| PacketMeta { payload_type: 13, ..packet(sequence) };
    assert_eq!(consumer.rewrite(STREAM, &packet(70_000)), Ok(500));
    assert_eq!(consumer.rewrite(STREAM, &noise(70_001)), Err(Discard::PayloadTypeNotNegotiated));
    assert_eq!(consumer.rewrite(STREAM, &noise(70_002)), Err(Discard::PayloadTypeNotNegotiated));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_003)), Ok(501));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_005)), Ok(503));
    assert_eq!(consumer.rewrite(STREAM, &noise(70_006)), Err(Discard::PayloadTypeNotNegotiated));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_007)), Ok(504));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_004)), Ok(502), "late, of the run before");
}

#[test]
fn payload_types_that_are_withheld_now_and_then_are_not_forgotten() {
    let mut consumer = consumer(false);
    let noise = |sequence| PacketMeta { payload_type: 13, ..packet(sequence) };
    for round in 0..50 {
        assert_eq!(consumer.rewrite(STREAM, &packet(70_000 + 2 * round)), Ok(500 + round));
        assert!(consumer.rewrite(STREAM, &noise(70_001 + 2 * round)).is_err());
    }
    for round in 0..50 {
        let out = u16::try_from(500 + round).expect("small");
        assert_eq!(consumer.found(out), Some((STREAM, 70_000 + 2 * round)));
    }
}

#[test]
fn a_late_packet_leaves_as_the_others_of_its_segment() {
    let mut consumer = consumer(true);
    let at = |packet: PacketMeta, timestamp| PacketMeta { timestamp, ..packet };
    let first = consumer.numbered(STREAM, &at(key_frame(100), 9_000)).expect("begins");
    assert_eq!(consumer.rewrite(STREAM, &at(packet(103), 9_000)), Ok(503));
    consumer.set_target(OTHER);
    assert_eq!(consumer.rewrite(OTHER, &at(key_frame(100), 2_000_000)), Ok(504));
    consumer.set_target(STREAM);
    let back = consumer.numbered(STREAM, &at(key_frame(110), 12_000)).expect("switches");
    assert_ne!(back.timestamp_offset, first.timestamp_offset);
    let late = consumer.numbered(STREAM, &at(packet(101), 9_000)).expect("has a number");
    assert_eq!((late.index, late.timestamp_offset), (501, first.timestamp_offset), "as when it is repeated");
}

#[test]
fn what_left_is_found_again_across_runs() {
    let mut consumer = consumer(true);
    assert_eq!(consumer.rewrite(STREAM, &key_frame(70_000)), Ok(500));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_001)), Ok(501));
    consumer.resynchronise();
    assert_eq!(consumer.rewrite(STREAM, &key_frame(80_000)), Ok(502));
    assert_eq!(consumer.found(501), Some((STREAM, 70_001)));
    assert_eq!(consumer.found(502), Some((STREAM, 80_000)));
    assert_eq!(consumer.found(503), None, "not sent yet");
    assert_eq!(consumer.found(499), None, "before the first");
}

#[test]
fn a_packet_is_repeated_once_per_round_trip_ten_times_in_all() {
    let mut consumer = consumer(false);
    assert_eq!(consumer.rewrite(STREAM, &packet(70_000)), Ok(500));
    let repeated =
        (0..10_000).filter(|millis| consumer.may_retransmit(Instant::from_nanos(millis * 1_000_000), 500, 1_000));
    assert_eq!(repeated.count(), usize::from(MAX_RETRANSMITS));
}

#[test]
fn retransmissions_are_bounded_by_what_is_sent() {
    let mut consumer = consumer(false);
    let mut bytes = 0;
    for out in 0..10_000 {
        if consumer.may_retransmit(Instant::default(), out, 1_000) {
            bytes += 1_000;
        }
    }
    assert!(bytes <= ALLOWANCE_BYTES);
}

#[test]
fn a_switch_waits_for_a_key_frame_and_leaves_no_gap() {
    let mut consumer = consumer(true);
    assert_eq!(consumer.rewrite(STREAM, &key_frame(70_000)), Ok(500));
    consumer.set_target(OTHER);
    assert_eq!(
        (consumer.takes(STREAM), consumer.takes(OTHER), consumer.takes(StreamKey::for_tests(7))),
        (true, true, false)
    );
    assert!(consumer.awaits_key_frame_of(OTHER) && !consumer.awaits_key_frame_of(STREAM));
    assert_eq!(consumer.rewrite(OTHER, &packet(80)), Err(Discard::WaitingForKeyFrame));
    assert_eq!(consumer.rewrite(STREAM, &packet(70_001)), Ok(501));
    assert_eq!(consumer.rewrite(OTHER, &key_frame(81)), Ok(502));
    assert_eq!((consumer.takes(STREAM), consumer.takes(OTHER)), (false, true));
    assert!(!consumer.awaits_key_frame_of(OTHER));
    assert_eq!(consumer.rewrite(OTHER, &packet(80)), Err(Discard::BeforeSync));
    assert_eq!(consumer.rewrite(OTHER, &packet(83)), Ok(504));
    assert_eq!((consumer.found(501), consumer.found(503)), (Some((STREAM, 70_001)), Some((OTHER, 82))));
}

#[test]
fn a_stream_that_was_left_comes_back_behind_what_was_sent_of_it() {
    let mut consumer = consumer(true);
    assert_eq!(consumer.rewrite(STREAM, &key_frame(100)), Ok(500));
    assert_eq!(consumer.rewrite(STREAM, &packet(105)), Ok(505));
    consumer.set_target(OTHER);
    assert_eq!(consumer.rewrite(OTHER, &key_frame(100)), Ok(506));
    consumer.set_target(STREAM);
    assert_eq!(consumer.rewrite(STREAM, &key_frame(104)), Err(Discard::BeforeSync), "late: it has a number");
    assert_eq!(consumer.rewrite(STREAM, &key_frame(110)), Ok(507));
    assert_eq!(consumer.rewrite(STREAM, &packet(104)), Ok(504), "late, of the run before");
    assert_eq!(consumer.rewrite(STREAM, &packet(107)), Err(Discard::BeforeSync), "of no run");
    assert_eq!(consumer.found(506), Some((OTHER, 100)));
}

#[test]
fn timestamps_keep_the_moment_and_do_not_stand_still() {
    let exact = |exact, floor| Alignment { exact, floor, ..Alignment::default() };
    assert_eq!(exact(Some(5_000), 10_000).offset(6_000, 90_000), 5_000, "11,000 is behind 10,000");
    assert_eq!(exact(Some(4_000), 10_000).offset(6_000, 90_000), 4_090, "a millisecond behind, not the same");
    assert_eq!(exact(Some(1_000), 10_000).offset(6_000, 90_000), 4_090, "not back");
    assert_eq!(exact(None, 10_000).offset(6_000, 90_000), 4_090, "nothing is known");
    let wrapped = exact(Some(20), u32::MAX).offset(u32::MAX - 10, 90_000);
    assert_eq!(u32::wrapping_add(u32::MAX - 10, wrapped), 89, "across the end of RTP time");
}

#[test]
fn small_steps_do_not_add_up() {
    let mut consumer = consumer(true);
    // Both clocks are the same, and every switch finds a picture of the same moment.
    let at = |sequence| PacketMeta { timestamp: 9_000, ..key_frame(sequence) };
    assert_eq!(consumer.rewrite(STREAM, &at(1)), Ok(500));
    for round in 1..50 {
        for stream in [OTHER, STREAM] {
            consumer.set_target(stream);
            assert!(consumer.rewrite(stream, &at(1 + round)).is_ok());
        }
    }
    assert_eq!(consumer.exact_offset, 0);
}

#[test]
fn bytes_are_counted_beyond_what_lies_with_every_packet() {
    let mut case = consumer(true);
    for _ in 0..5 {
        case.count_sent(2_000_000_000, 7);
    }
    assert_eq!((case.packets_sent(), case.payload_sent(), case.other_sent()), (5, 10_000_000_000, 35));
}
