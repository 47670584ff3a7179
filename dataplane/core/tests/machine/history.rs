//! History: what one stream may hold of it, and that packets pass whatever others hold.

use std::time::Duration;

use corecast_core::limits::{HISTORY_AGE, IDLE_TIME, LEAST_SHARE_PACKETS, VIDEO_HISTORY_PACKETS, VIDEO_SHARE_PACKETS};
use corecast_wire::{CommandError, EncodingMapping, MediaKind, ProduceOptions};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, rtp, video};

/// Slots of history: as many of shares as of growth, and the spare one.
const SLOTS: usize = 1_025;

fn streams(kind: MediaKind, first_ssrc: u32, count: u32) -> ProduceOptions {
    let encoding = |number| EncodingMapping { ssrc: Some(first_ssrc + number), ..EncodingMapping::default() };
    ProduceOptions { kind, encodings: (0..count).map(encoding).collect(), ..video() }
}

/// So many packets of a stream, with what is forwarded of them.
fn send(bed: &mut Bed, transport: u32, ssrc: u32, sequences: std::ops::Range<u16>) -> usize {
    let mut forwarded = 0;
    for sequence in sequences {
        bed.arrive(path(transport), &packet(ssrc, 96, sequence, &[], &KEY_FRAME));
        forwarded += bed.sent().iter().filter(|(_, bytes)| bytes[1] & 0x7f == 101).count();
    }
    forwarded
}

fn held(bed: &Bed) -> usize {
    bed.worker.history().slots_in_use()
}

/// Time passes, and what is due is done.
fn pass(bed: &mut Bed, time: Duration) {
    let until = bed.now + time;
    while let Some(at) = bed.worker.next_timeout().filter(|at| *at <= until) {
        bed.now = at.max(bed.now);
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        bed.sent();
    }
    bed.now = until;
}

/// One viewer of a video stream with SSRC 1,111.
fn watched(slots: usize) -> Bed {
    let mut bed = Bed::with_history(slots);
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce(0);
    bed.consume(1, 77).expect("a consumer");
    bed
}

/// Asks for the packet that left as number `out`; whether it is sent again.
fn is_repeated(bed: &mut Bed, out: u16) -> bool {
    let [high, low] = out.to_be_bytes();
    bed.arrive(path(1), &[0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 77, high, low, 0, 0]);
    !bed.sent().is_empty()
}

#[test]
fn what_silent_attackers_hold_stops_no_packet_of_others() {
    let mut bed = Bed::with_history(SLOTS);
    for attacker in 0..3 {
        bed.transport(attacker, false, false);
        bed.produce_as(attacker, u64::from(attacker) + 1, streams(MediaKind::Video, 100, 4)).expect("new");
        for ssrc in 100..104 {
            send(&mut bed, attacker, ssrc, 0..600);
        }
    }
    bed.transport(10, false, false);
    bed.transport(11, false, false);
    bed.produce_as(10, 20, streams(MediaKind::Audio, 500, 1)).expect("has its share");
    bed.produce_as(10, 21, streams(MediaKind::Video, 600, 1)).expect("has its share");
    bed.consume_as(11, 20, receiver(20)).expect("a consumer");
    bed.consume_as(11, 21, receiver(21)).expect("a consumer");
    assert_eq!(send(&mut bed, 10, 500, 0..1_000), 1_000, "sound");
    assert_eq!(send(&mut bed, 10, 600, 0..1_000), 1_000, "and pictures");
    let of_attackers = VIDEO_SHARE_PACKETS + 3 * LEAST_SHARE_PACKETS + SLOTS / 2 / 8;
    // Here a transport's shares are as large as one video stream's.
    let of_others = VIDEO_SHARE_PACKETS + SLOTS / 2 / 8;
    assert_eq!(held(&bed), 3 * of_attackers + of_others + 1, "each transport holds what it may, and one is spare");
    assert_eq!(bed.discarded(), []);
}

#[test]
fn a_batch_of_a_full_stream_passes_while_history_is_full() {
    let mut bed = watched(2 * VIDEO_SHARE_PACKETS + 1);
    send(&mut bed, 0, 1_111, 0..1_000);
    let batch = VIDEO_SHARE_PACKETS as u16;
    (1_000..1_000 + batch).for_each(|sequence| bed.arrive(path(0), &rtp(sequence, &DELTA_FRAME)));
    assert_eq!(bed.sent().len(), VIDEO_SHARE_PACKETS);
}

#[test]
fn a_full_stream_takes_its_own_oldest_slot() {
    let mut bed = watched(SLOTS);
    let most = VIDEO_SHARE_PACKETS + SLOTS / 2 / 8;
    send(&mut bed, 0, 1_111, 0..400);
    assert_eq!(held(&bed), most + 1);
    // The consumer's numbers are the sender's and ten more.
    assert!(is_repeated(&mut bed, 10 + 400 - most as u16), "the oldest that is held");
    assert!(!is_repeated(&mut bed, 10 + 399 - most as u16), "the one before it has left");
    assert_eq!(bed.discarded(), [("retransmit_not_found", 1)]);
}

/// Another payload under a number that was sealed once would break AES-GCM.
#[test]
fn a_number_that_has_left_history_is_not_taken_again() {
    let mut bed = watched(SLOTS);
    send(&mut bed, 0, 1_111, 0..400);
    bed.arrive(path(0), &rtp(100, &DELTA_FRAME));
    assert_eq!(bed.sent(), vec![]);
    pass(&mut bed, IDLE_TIME * 2);
    bed.arrive(path(0), &rtp(399, &DELTA_FRAME));
    assert_eq!(bed.sent(), vec![], "nor after the stream was idle");
    assert_eq!(bed.discarded(), [("too_old", 2)]);
}

#[test]
fn a_late_packet_is_taken_while_history_is_full() {
    let mut bed = watched(SLOTS);
    send(&mut bed, 0, 1_111, 0..390);
    send(&mut bed, 0, 1_111, 391..400);
    assert_eq!(send(&mut bed, 0, 1_111, 390..391), 1);
    assert_eq!(bed.discarded(), []);
}

#[test]
fn a_producer_whose_share_is_not_to_be_had_is_refused() {
    let mut bed = Bed::with_history(4 * VIDEO_SHARE_PACKETS + 1);
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, streams(MediaKind::Video, 100, 1)).expect("there is room");
    send(&mut bed, 0, 100, 0..1);
    let refused = bed.produce_as(1, 2, streams(MediaKind::Video, 200, 2)).expect_err("two of two shares are left");
    let CommandError::Limit { what, max: 2 } = refused else { panic!("{refused:?}") };
    assert!(what.contains("history"), "{what}");
    bed.produce_as(1, 2, streams(MediaKind::Video, 200, 1)).expect("one is left");
}

#[test]
fn an_idle_stream_gives_its_history_back_and_goes_on_later() {
    let mut bed = watched(SLOTS);
    send(&mut bed, 0, 1_111, 0..400);
    pass(&mut bed, IDLE_TIME / 2);
    assert!(held(&bed) > VIDEO_SHARE_PACKETS, "not yet");
    pass(&mut bed, IDLE_TIME);
    assert_eq!(held(&bed), 1, "the spare one");
    assert_eq!(send(&mut bed, 0, 1_111, 400..500), 100);
    assert!(is_repeated(&mut bed, 10 + 450));
    assert!(bed.sent().iter().all(|(to, _)| *to == remote(1)));
}

#[test]
fn a_slow_stream_keeps_no_packets_that_nobody_asks_for() {
    let mut bed = watched(1 << 16);
    let interval = HISTORY_AGE / VIDEO_SHARE_PACKETS as u32;
    for sequence in 0..2 * VIDEO_HISTORY_PACKETS as u16 {
        assert_eq!(send(&mut bed, 0, 1_111, sequence..sequence + 1), 1);
        bed.now = bed.now + interval;
    }
    assert!(held(&bed) <= VIDEO_SHARE_PACKETS + 3, "{}", held(&bed));
}

#[test]
fn a_late_packet_is_taken_that_is_older_than_all_that_are_held() {
    let mut bed = watched(100 * SLOTS);
    assert_eq!(send(&mut bed, 0, 1_111, 0..1), 1);
    // A gap, so wide that nothing before it is held any longer when 600 has come.
    assert_eq!(send(&mut bed, 0, 1_111, 100..601), 501);
    assert_eq!(send(&mut bed, 0, 1_111, 89..100), 11, "history is {VIDEO_HISTORY_PACKETS} packets long");
    assert_eq!(send(&mut bed, 0, 1_111, 88..89), 0);
}
