//! Sound that waits a moment for more sound.

use std::time::Duration;

use corecast_core::Forward;
use corecast_wire::{
    Codec, CodecMapping, ConsumeOptions, EncodingMapping, MediaKind, PayloadTypeMapping, ProduceOptions,
};

use crate::bed::{Bed, KEY_FRAME, packet, path, remote, rtp};

const WAIT: Duration = Duration::from_millis(5);
/// Pictures come by transport 0 and sound by the others; transport 9 receives.
const SPEAKERS: u32 = 8;
const LISTENER: u32 = 9;

fn ssrc(speaker: u32) -> u32 {
    3_000 + speaker
}

fn bed() -> Bed {
    let mut bed = Bed::with_config(|config| config.max_sound_wait = WAIT);
    for number in (0..=SPEAKERS).chain([LISTENER]) {
        bed.transport(number, false, false);
    }
    bed.produce(0);
    bed.consume(LISTENER, 21).expect("new");
    for speaker in 1..=SPEAKERS {
        let codec =
            CodecMapping { payload_type: 111, mapped_payload_type: 100, codec: Codec::Other, clock_rate_hz: 48_000 };
        let encoding = EncodingMapping::announced(ssrc(speaker));
        let producer = u64::from(speaker) + 1;
        bed.produce_as(speaker, producer, ProduceOptions::new(MediaKind::Audio, vec![codec], vec![encoding]))
            .expect("new");
        let options = ConsumeOptions::new(100 + speaker, vec![PayloadTypeMapping::same(100)], "c".into());
        bed.consume_as(LISTENER, producer, options).expect("new");
    }
    bed
}

fn speak(bed: &mut Bed, speaker: u32, sequence: u16) {
    speak_so_long(bed, speaker, sequence, 40);
}

fn speak_so_long(bed: &mut Bed, speaker: u32, sequence: u16, bytes: usize) {
    bed.arrive(path(speaker), &packet(ssrc(speaker), 111, sequence, &[], &vec![7; bytes]));
}

/// Trains that leave for the listener now, as numbers of packets.
fn trains(bed: &mut Bed) -> Vec<u16> {
    assert_eq!(bed.worker.forward(bed.now, &mut bed.outbox), Forward::Done);
    let trains = bed.outbox.trains().iter().filter(|train| train.path.remote == remote(LISTENER));
    let trains = trains.map(|train| train.segments).collect();
    bed.outbox.clear();
    trains
}

/// So many speak, one a millisecond in turn, for `millis`. What left, and when, in milliseconds.
fn conversation(bed: &mut Bed, speakers: u32, millis: u64, sequence: u16) -> Vec<(u64, Vec<u16>)> {
    let mut left = Vec::new();
    for milli in 0..millis {
        bed.now = bed.now + Duration::from_millis(1);
        let turn = u32::try_from(milli % 20).expect("small");
        if turn < speakers {
            speak(bed, 1 + turn, sequence + u16::try_from(milli / 20).expect("short"));
        }
        let trains = trains(bed);
        if !trains.is_empty() {
            left.push((milli, trains));
        }
    }
    left
}

#[test]
fn few_who_speak_do_not_wait() {
    let mut bed = bed();
    for (milli, trains) in conversation(&mut bed, 2, 2_000, 1) {
        assert!(milli % 20 < 2, "at once");
        assert_eq!(trains, [1]);
    }
}

#[test]
fn many_who_speak_leave_together_and_none_waits_longer_than_it_may() {
    let mut bed = bed();
    conversation(&mut bed, SPEAKERS, 2_000, 1);
    let left = conversation(&mut bed, SPEAKERS, 2_000, 101);
    let packets: u16 = left.iter().flat_map(|(_, trains)| trains).sum();
    let sent = u16::try_from(SPEAKERS).expect("few") * 100;
    assert!(packets <= sent && packets + 5 >= sent, "{packets} of {sent}: all, but for those that wait at the end");
    assert!(left.len() * 3 <= usize::from(sent), "three and more together: {} rounds", left.len());
    assert!(left.iter().all(|(_, trains)| trains.len() == 1), "one train each time: they are equally long");
    // What came in the first milliseconds of 20 has left 5 ms later.
    let last = |milli: u64| u64::from(SPEAKERS) - 1 + 5 >= milli % 20;
    assert!(left.iter().all(|(milli, _)| last(*milli)), "{left:?}");
}

/// Opus of a variable bit rate, and somebody who is silent (a packet of 3 bytes).
#[test]
fn sound_of_nearly_equal_length_is_padded_into_one_train() {
    let mut bed = bed();
    conversation(&mut bed, SPEAKERS, 2_000, 1);
    bed.now = bed.now + WAIT;
    trains(&mut bed);
    for (speaker, bytes) in [(1, 71), (2, 62), (3, 3), (4, 70), (5, 66)] {
        speak_so_long(&mut bed, speaker, 101, bytes);
    }
    bed.now = bed.now + WAIT;
    let sent = bed.sent();
    let to_listener = sent.into_iter().filter(|(to, _)| *to == remote(LISTENER)).map(|(_, bytes)| bytes);
    let mut lens: Vec<_> = to_listener
        .map(|bytes| {
            let view = corecast_core::rtp::RtpView::parse(&bytes).expect("RTP");
            let padding = if view.has_padding() { usize::from(bytes[bytes.len() - 1]) } else { 0 };
            assert!(view.body()[..view.body().len() - padding].iter().all(|byte| *byte == 7), "the sound is whole");
            (bytes.len(), padding)
        })
        .collect();
    lens.sort_unstable();
    assert_eq!(lens, [(15, 0), (83, 0), (83, 1), (83, 5), (83, 9)]);
}

/// The shell sleeps until then, and forwards then whatever else happens.
#[test]
fn the_end_of_the_window_is_announced() {
    let mut bed = bed();
    conversation(&mut bed, SPEAKERS, 2_000, 1);
    bed.now = bed.now + WAIT;
    trains(&mut bed);
    speak(&mut bed, 1, 101);
    let came = bed.now;
    assert_eq!(trains(&mut bed), [], "it waits");
    let at = bed.worker.sound_alone_until(bed.now).expect("no pictures have come: the shell may sleep on");
    assert!(at <= came + WAIT);
    assert!(bed.worker.next_timeout().is_some_and(|due| due <= at));
    bed.now = at;
    assert_eq!(bed.worker.waiting_since(bed.now), Some(came));
    assert_eq!(trains(&mut bed), [1]);
    // The next window began at once. Nothing comes in it, so it wakes nobody up, and the next packet begins another.
    assert_eq!((bed.worker.sound_due(), bed.worker.sound_alone_until(bed.now)), (None, Some(at + WAIT)));
    bed.now = at + WAIT * 2;
    assert_eq!(bed.worker.sound_alone_until(bed.now), None, "the shell waits as it does without sound");
    speak(&mut bed, 1, 102);
    assert_eq!(trains(&mut bed), []);
    assert_eq!(bed.worker.sound_due(), Some(bed.now + WAIT));
}

#[test]
fn pictures_do_not_wait_and_sound_is_not_alone_beside_them() {
    let mut bed = bed();
    conversation(&mut bed, SPEAKERS, 2_000, 1);
    bed.now = bed.now + WAIT;
    trains(&mut bed);
    speak(&mut bed, 1, 101);
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    assert_eq!(trains(&mut bed), [1], "the picture");
    assert_eq!(bed.worker.sound_alone_until(bed.now), None, "pictures must not wait for the shell");
    bed.now = bed.now + WAIT;
    assert_eq!(trains(&mut bed), [1], "the sound");
}

#[test]
fn a_producer_that_closes_while_its_sound_waits_is_forgotten() {
    let mut bed = bed();
    conversation(&mut bed, SPEAKERS, 2_000, 1);
    bed.now = bed.now + WAIT;
    trains(&mut bed);
    (1..=3).for_each(|speaker| speak(&mut bed, speaker, 101));
    let producer = corecast_wire::ProducerId(2);
    bed.command(&corecast_wire::Command::CloseProducer { producer }).expect("it is there");
    bed.outbox.clear();
    bed.now = bed.now + WAIT;
    assert_eq!(trains(&mut bed).iter().sum::<u16>(), 2, "the others' sound leaves");
}
