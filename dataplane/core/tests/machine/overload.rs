//! A worker that is asked for more than it can do: what it sheds, and how it comes back.

use std::time::Duration;

use corecast_core::rtcp::Writer;
use corecast_core::rtp::RtpView;
use corecast_wire::{
    Codec, CodecMapping, ConsumeOptions, EncodingMapping, MediaKind, PayloadTypeMapping, ProduceOptions,
};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, rtp};

const MAX_AGE: Duration = Duration::from_millis(200);
/// The receiver of everything is transport 9.
const VIEWER: u32 = 9;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn sound() -> ProduceOptions {
    let codec =
        CodecMapping { payload_type: 111, mapped_payload_type: 100, codec: Codec::Other, clock_rate_hz: 48_000 };
    ProduceOptions::new(MediaKind::Audio, vec![codec], vec![EncodingMapping::announced(3_333)])
}

/// Pictures (transport 0, producer 1, consumer 21) and sound (transport 1, producer 2, consumer 22) to one viewer.
fn bed() -> Bed {
    let mut bed = Bed::with_config(|config| config.max_media_age = MAX_AGE);
    for number in [0, 1, VIEWER] {
        bed.transport(number, false, false);
    }
    bed.produce(0);
    bed.produce_as(1, 2, sound()).expect("new");
    bed.consume(VIEWER, 21).expect("new");
    let listens = ConsumeOptions {
        first_sequence: 10,
        ..ConsumeOptions::new(22, vec![PayloadTypeMapping::same(100)], "c".into())
    };
    bed.consume_as(VIEWER, 2, listens).expect("new");
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    bed.arrive(path(1), &voice(1));
    assert_eq!(media(&mut bed), [(21, 10), (22, 10)]);
    bed
}

fn voice(sequence: u16) -> Vec<u8> {
    packet(3_333, 111, sequence, &[], &[7; 40])
}

/// SSRC and sequence number of the media that leaves, in the order of SSRCs.
fn media(bed: &mut Bed) -> Vec<(u32, u16)> {
    let packets =
        bed.sent().into_iter().filter(|(to, bytes)| *to == remote(VIEWER) && !(192..=223).contains(&bytes[1]));
    let mut media: Vec<_> = packets
        .map(|(_, bytes)| {
            let view = RtpView::parse(&bytes).expect("RTP");
            (view.ssrc(), view.sequence())
        })
        .collect();
    media.sort_unstable();
    media
}

fn stale(bed: &Bed) -> u64 {
    bed.discarded().into_iter().find(|(name, _)| *name == "stale").map_or(0, |(_, packets)| packets)
}

/// One of each that has waited so long. Returns what leaves.
fn waited(bed: &mut Bed, age: Duration, sequence: u16) -> Vec<(u32, u16)> {
    bed.now = bed.now + millis(20);
    bed.arrive_late(age, path(0), &rtp(sequence, &DELTA_FRAME));
    bed.arrive_late(age, path(1), &voice(sequence));
    media(bed)
}

#[test]
fn what_is_too_old_is_shed_once_and_its_stream_begins_again_without_a_gap() {
    let mut bed = bed();
    assert_eq!(waited(&mut bed, millis(201), 2), []);
    assert_eq!(stale(&bed), 2, "once, however many would have got it");
    assert_eq!(waited(&mut bed, millis(1), 3), [(22, 11)], "sound goes on; pictures wait for a key frame");
    bed.arrive(path(0), &rtp(4, &KEY_FRAME));
    bed.arrive(path(1), &voice(4));
    assert_eq!(media(&mut bed), [(21, 11), (22, 12)]);
    assert_eq!(waited(&mut bed, millis(1), 5), [(21, 12), (22, 13)]);
    assert_eq!(stale(&bed), 2);
}

/// The sender is not asked for what came and was shed, but for a key frame.
#[test]
fn what_was_shed_is_not_asked_for() {
    let mut bed = bed();
    bed.now = bed.now + millis(20);
    for sequence in [2, 3, 5] {
        bed.arrive_late(millis(250), path(0), &rtp(sequence, &DELTA_FRAME));
    }
    assert_eq!(media(&mut bed), []);
    let mut asked = Vec::new();
    for sequence in 6..30 {
        bed.now = bed.now + millis(100);
        bed.arrive(path(0), &rtp(sequence, &DELTA_FRAME));
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        asked.extend(bed.sent().into_iter().filter(|(to, _)| *to == remote(0)).map(|(_, bytes)| bytes));
    }
    let mut pli = [0; 64];
    let mut writer = Writer::new(&mut pli);
    assert!(writer.push_pli(7, 1_111));
    let is_pli = |bytes: &Vec<u8>| bytes.windows(12).any(|part| part == writer.as_bytes());
    assert!(asked.iter().any(is_pli), "{asked:?}");
    let is_nack = |bytes: &&Vec<u8>| bytes.windows(2).any(|part| part == [0x81, 205]);
    assert_eq!(asked.iter().find(is_nack), None);
}

#[test]
fn pictures_go_before_sound_while_the_worker_stays_behind() {
    let mut bed = bed();
    // Behind by 110 ms, but not for so long as the limit: it may be a burst.
    for sequence in 2..12 {
        assert_eq!(waited(&mut bed, millis(110), sequence).len(), 2, "{sequence}");
    }
    // It stays behind: pictures are shed, sound is not.
    for sequence in 12..25 {
        let left = waited(&mut bed, millis(110), sequence);
        let sound = left.iter().filter(|(ssrc, _)| *ssrc == 22).count();
        assert_eq!((left.len(), sound), (if sequence < 13 { left.len() } else { 1 }, 1), "{sequence}: {left:?}");
    }
    assert!((12..=13).contains(&stale(&bed)), "{}", stale(&bed));
}

#[test]
fn upper_layers_go_first() {
    let mut bed = Bed::with_config(|config| config.max_media_age = MAX_AGE);
    (0..3).for_each(|number| bed.transport(number, false, false));
    bed.produce_as(0, 1, crate::layers::layers(2)).expect("new");
    bed.consume(1, 21).expect("new");
    let layer = |sequence, number: u32, payload: &[u8]| packet(1_000 + number, 96, sequence, &[], payload);
    for number in 0..2 {
        bed.arrive(path(0), &layer(1, number, &KEY_FRAME));
    }
    bed.sent();
    for sequence in 2..40 {
        bed.now = bed.now + millis(20);
        for number in 0..2 {
            bed.arrive_late(millis(40), path(0), &layer(sequence, number, &DELTA_FRAME));
        }
        bed.sent();
    }
    // 200 ms of patience, then the upper layer alone.
    assert!((25..=30).contains(&stale(&bed)), "{}", stale(&bed));
}

#[test]
fn a_worker_that_is_not_behind_sheds_nothing() {
    let mut bed = bed();
    // Rounds that wait for up to 190 ms, as a burst makes them, with one between that did not.
    for (sequence, age) in (2..200).zip([190, 1, 100, 20, 60, 24, 199, 3].into_iter().cycle()) {
        assert_eq!(waited(&mut bed, millis(age), sequence).len(), 2, "{age} ms");
    }
    assert_eq!(stale(&bed), 0);
}

/// Eight publishers of pictures and one who watches them.
fn alike() -> Bed {
    let mut bed = Bed::with_config(|config| config.max_media_age = MAX_AGE);
    (0..8).chain([VIEWER]).for_each(|number| bed.transport(number, false, false));
    for number in 0..8 {
        let encodings = vec![EncodingMapping::announced(5_000 + number)];
        let options = ProduceOptions { encodings, ..crate::bed::video() };
        bed.produce_as(number, u64::from(number) + 1, options).expect("new");
        bed.consume_as(VIEWER, u64::from(number) + 1, receiver(30 + number)).expect("new");
        bed.arrive(path(number), &packet(5_000 + number, 96, 1, &[], &KEY_FRAME));
    }
    assert_eq!(media(&mut bed).len(), 8);
    bed
}

/// One packet of each that has waited so long. Returns how many leave.
fn all_waited(bed: &mut Bed, age: Duration, sequence: u16, payload: &[u8]) -> usize {
    bed.now = bed.now + millis(20);
    for number in 0..8 {
        bed.arrive_late(age, path(number), &packet(5_000 + number, 96, sequence, &[], payload));
    }
    media(bed).len()
}

/// Some of the streams that are alike are shed and the others are not: each has its own patience.
#[test]
fn streams_alike_are_not_shed_all_at_once() {
    let mut bed = alike();
    let left = (2..40).map(|sequence| all_waited(&mut bed, millis(86), sequence, &DELTA_FRAME)).last();
    assert_eq!(left, Some(4));
}

/// As what waits gets younger, one stream after the other begins again, with a key frame; none goes and comes all the
/// time.
#[test]
fn streams_alike_do_not_come_back_all_at_once() {
    let mut bed = alike();
    let left: Vec<_> = (2..20).map(|sequence| all_waited(&mut bed, millis(99), sequence, &DELTA_FRAME)).collect();
    assert_eq!((left.first(), left.last()), (Some(&8), Some(&0)));
    let ages = [80, 70, 66, 60, 54, 60, 70, 74];
    let left = (20..).zip(ages).map(|(sequence, age)| all_waited(&mut bed, millis(age), sequence, &KEY_FRAME));
    assert_eq!(left.collect::<Vec<_>>(), [0, 1, 2, 4, 6, 6, 6, 6]);
}

/// Where the kernel's buffers hold less than streams have patience for, it would lose packets of all of them.
#[test]
fn streams_are_shed_before_the_kernel_loses_what_it_has_no_room_for() {
    let mut bed = alike();
    let left = (2..20).map(|sequence| all_waited(&mut bed, millis(40), sequence, &DELTA_FRAME)).last();
    assert_eq!(left, Some(8), "40 ms are nothing");
    bed.worker.receive_overflowed(millis(40));
    let left = (20..30).map(|sequence| all_waited(&mut bed, millis(26), sequence, &DELTA_FRAME)).last();
    assert_eq!(left, Some(4), "buffers of 40 ms");
    let left = (30..60).map(|sequence| all_waited(&mut bed, millis(1), sequence, &KEY_FRAME)).last();
    assert_eq!(left, Some(8));
    let left = (60..90).map(|sequence| all_waited(&mut bed, millis(40), sequence, &DELTA_FRAME)).last();
    assert_eq!(left, Some(8), "until it happens again");
}

#[test]
fn a_transport_that_sends_too_much_is_capped_and_the_others_are_not() {
    let mut bed = Bed::with_config(|config| config.max_packets_per_s = 100);
    for number in [0, 1, VIEWER] {
        bed.transport(number, false, false);
    }
    bed.produce_as(0, 2, sound()).expect("new");
    let other = ProduceOptions { encodings: vec![EncodingMapping::announced(4_444)], ..sound() };
    bed.produce_as(1, 3, other).expect("new");
    for (ssrc, producer) in [(22, 2), (23, 3)] {
        let options = ConsumeOptions::new(ssrc, vec![PayloadTypeMapping::same(100)], "c".into());
        bed.consume_as(VIEWER, producer, options).expect("new");
    }
    let mut left = [0; 2];
    for sequence in 0..2_000 {
        bed.now = bed.now + millis(1);
        bed.arrive(path(0), &voice(sequence));
        if sequence % 20 == 0 {
            bed.arrive(path(1), &packet(4_444, 111, sequence / 20, &[], &[7; 40]));
        }
        for (ssrc, _) in media(&mut bed) {
            left[usize::from(ssrc == 23)] += 1;
        }
    }
    // A second's worth at once, and then 100 per second.
    assert!((290..=310).contains(&left[0]), "{left:?}");
    assert_eq!(left[1], 100);
    assert_eq!(bed.discarded(), [("over_rate", 2_000 - left[0])]);
}
