//! A consumer that joins begins with the newest key frame of history, if that is recent enough.

use std::collections::BTreeSet;
use std::time::Duration;

use corecast_core::Forward;
use corecast_core::rtcp::{self, Packet, Writer};
use corecast_core::rtp::RtpView;
use corecast_wire::{Command, ConsumeOptions, ConsumerId, ProducerId, SpatialLayer};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, rtp};
use crate::layers::layers;

/// A producer whose packets 1 (a key frame) to `packets` have come, and a transport without consumers.
fn bed(packets: u16) -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.produce(0);
    for sequence in 1..=packets {
        arrive(&mut bed, sequence, if sequence == 1 { KEY_FRAME } else { DELTA_FRAME });
    }
    assert!(bed.sent().is_empty(), "nobody watches");
    bed
}

/// A packet whose payload ends in its sequence number.
fn arrive(bed: &mut Bed, sequence: u16, frame: [u8; 4]) {
    bed.arrive(path(0), &rtp(sequence, &[&frame[..], &sequence.to_be_bytes()].concat()));
}

/// Sequence numbers as receiver 1 gets them, beside the producer's; and whether a key frame was asked for.
fn got(bed: &mut Bed) -> (Vec<(u16, u16)>, bool) {
    let sent = bed.sent();
    let asked = sent.iter().any(|(to, _)| *to == remote(0));
    (sent.iter().filter(|(to, _)| *to == remote(1)).map(|(_, bytes)| numbers(bytes)).collect(), asked)
}

fn numbers(bytes: &[u8]) -> (u16, u16) {
    let view = RtpView::parse(bytes).expect("lawful");
    let source = view.body().last_chunk().expect("its number");
    (view.sequence(), u16::from_be_bytes(*source))
}

#[test]
fn it_gets_what_has_come_since_the_key_frame_and_then_what_comes() {
    let mut bed = bed(3);
    // 4 is late; 6 comes in the same batch as the consumer.
    arrive(&mut bed, 5, DELTA_FRAME);
    bed.sent();
    arrive(&mut bed, 6, DELTA_FRAME);
    bed.now = bed.now + Duration::from_millis(400);
    bed.consume(1, 21).expect("new");
    assert_eq!(got(&mut bed), (vec![(10, 1), (11, 2), (12, 3), (14, 5), (15, 6)], false));
    arrive(&mut bed, 7, DELTA_FRAME);
    arrive(&mut bed, 4, DELTA_FRAME);
    assert_eq!(got(&mut bed), (vec![(16, 7), (13, 4)], false));
}

/// Receiver 1 asks for a key frame: numbers of what it is sent for it, and how often the producer is asked.
fn ask(bed: &mut Bed) -> (Vec<u16>, usize) {
    let mut bytes = [0; 64];
    let mut writer = Writer::new(&mut bytes);
    assert!(writer.push_pli(9, 21));
    let len = writer.len();
    bed.arrive(path(1), &bytes[..len]);
    let is_asked =
        |bytes: &[u8]| rtcp::parse(bytes).is_ok_and(|mut all| all.any(|one| matches!(one, Packet::Pli { .. })));
    let sent = bed.sent();
    let asked = sent.iter().filter(|(to, bytes)| *to == remote(0) && is_asked(bytes)).count();
    (sent.iter().filter(|(to, _)| *to == remote(1)).map(|(_, bytes)| numbers(bytes).0).collect(), asked)
}

/// Firefox drops the pictures that come in the first milliseconds after the handshake.
#[test]
fn who_asks_for_a_key_frame_at_once_gets_the_one_that_it_began_with_again() {
    let mut bed = bed(3);
    bed.consume(1, 21).expect("new");
    assert_eq!(got(&mut bed), (vec![(10, 1), (11, 2), (12, 3)], false));
    arrive(&mut bed, 4, DELTA_FRAME);
    assert_eq!(got(&mut bed), (vec![(13, 4)], false));
    bed.now = bed.now + Duration::from_millis(60);
    assert_eq!(ask(&mut bed), (vec![10, 11, 12, 13], 0));
    // Whatever it misses now is something else.
    assert_eq!(ask(&mut bed), (vec![], 1));
}

#[test]
fn who_asks_for_a_key_frame_later_gets_the_next() {
    let mut late = bed(3);
    late.consume(1, 21).expect("new");
    late.sent();
    late.now = late.now + Duration::from_millis(501);
    assert_eq!(ask(&mut late), (vec![], 1));
}

#[test]
fn a_key_frame_that_is_old_or_far_behind_is_not_begun_with() {
    let mut old = bed(3);
    old.now = old.now + Duration::from_millis(501);
    old.consume(1, 21).expect("new");
    assert_eq!(got(&mut old), (vec![], true));
    let mut near = bed(256);
    near.consume(1, 21).expect("new");
    assert_eq!(got(&mut near).0.len(), 256);
    let mut far = bed(257);
    far.consume(1, 21).expect("new");
    assert_eq!(got(&mut far), (vec![], true));
}

#[test]
fn what_came_before_a_pause_of_the_producer_is_nobodys() {
    let mut bed = bed(3);
    for paused in [true, false] {
        bed.command(&Command::PauseProducer { producer: ProducerId(1), paused }).expect("known");
    }
    bed.consume(1, 21).expect("new");
    assert_eq!(got(&mut bed), (vec![], true));
}

#[test]
fn a_consumer_begins_so_once_and_resumes_with_the_next_key_frame() {
    let mut bed = bed(3);
    bed.consume_as(1, 1, ConsumeOptions { paused: true, ..receiver(21) }).expect("new");
    assert_eq!(got(&mut bed), (vec![], false));
    let pause = |paused| Command::PauseConsumer { consumer: ConsumerId(21), paused };
    bed.command(&pause(false)).expect("known");
    assert_eq!(got(&mut bed), (vec![(10, 1), (11, 2), (12, 3)], false));
    bed.command(&pause(true)).expect("known");
    bed.command(&pause(false)).expect("known");
    assert_eq!(got(&mut bed), (vec![], true));
    arrive(&mut bed, 4, KEY_FRAME);
    assert_eq!(got(&mut bed), (vec![(13, 4)], false));
}

#[test]
fn no_packet_leaves_twice_when_the_outbox_is_full_in_between() {
    let mut bed = bed(200);
    for consumer in 0..30 {
        bed.consume(1, 21 + consumer).expect("new");
    }
    let (mut seen, mut next, mut full) = (BTreeSet::new(), 201, false);
    for turn in 0..200 {
        // Packets come while others wait, and when they no longer do, more than the outbox takes.
        let come = if turn == 100 { 80 } else { u16::from(turn % 20 == 0) };
        for sequence in next..next + come {
            arrive(&mut bed, sequence, DELTA_FRAME);
        }
        next += come;
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        loop {
            let forward = bed.worker.forward(bed.now, &mut bed.outbox);
            bed.outbox.for_each_packet(bed.worker.history(), |path, bytes| {
                if path.remote == remote(1) && bytes[1] & 0x7f == 101 {
                    let ssrc = RtpView::parse(bytes).expect("lawful").ssrc();
                    let (sequence, source) = numbers(bytes);
                    assert_eq!(sequence, source + 9);
                    assert!(seen.insert((ssrc, source)), "{ssrc} got {source} twice");
                }
            });
            bed.outbox.clear();
            if forward == Forward::Done {
                break;
            }
            full = true;
        }
        bed.now = bed.now + Duration::from_millis(1);
    }
    assert!(full, "the outbox was never full");
    assert_eq!(seen.len(), 30 * usize::from(next - 1), "each got each");
}

/// A packet of one of two layers.
fn arrive_of(bed: &mut Bed, layer: u32, sequence: u16, frame: [u8; 4]) {
    let payload = [&frame[..], &sequence.to_be_bytes()].concat();
    bed.arrive(path(0), &packet(1_000 + layer, 96, sequence, &[], &payload));
}

/// The lower layer's packets are numbered from 1, the higher one's from 1,001.
fn bed_of_layers(packets: u16) -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, layers(2)).expect("new");
    for sequence in 1..=packets {
        for layer in 0..2 {
            arrive_of(
                &mut bed,
                layer,
                sequence + 1_000 * layer as u16,
                if sequence == 1 { KEY_FRAME } else { DELTA_FRAME },
            );
        }
    }
    assert!(bed.sent().is_empty(), "nobody watches");
    bed
}

#[test]
fn it_begins_with_the_key_frame_of_its_layer_and_switches_from_there() {
    let mut bed = bed_of_layers(3);
    bed.consume(1, 21).expect("new");
    assert_eq!(got(&mut bed), (vec![(10, 1_001), (11, 1_002), (12, 1_003)], false));
    bed.command(&Command::SetPreferredLayers {
        consumer: ConsumerId(21),
        spatial: SpatialLayer::Quality(0),
        temporal: None,
    })
    .expect("there are two");
    arrive_of(&mut bed, 0, 4, DELTA_FRAME);
    arrive_of(&mut bed, 1, 1_004, DELTA_FRAME);
    assert_eq!(got(&mut bed), (vec![(13, 1_004)], true), "what is in history is not for a switch");
    arrive_of(&mut bed, 0, 5, KEY_FRAME);
    arrive_of(&mut bed, 1, 1_005, DELTA_FRAME);
    assert_eq!(got(&mut bed).0.last(), Some(&(14, 5)));
}

#[test]
fn a_change_of_layers_in_the_middle_of_it_repeats_nothing() {
    let mut bed = bed_of_layers(200);
    let consumers = 21..51_u32;
    for consumer in consumers.clone() {
        bed.consume(1, consumer).expect("new");
    }
    let mut seen = BTreeSet::new();
    for turn in 0..100 {
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        bed.worker.forward(bed.now, &mut bed.outbox);
        bed.now = bed.now + Duration::from_millis(1);
        bed.outbox.for_each_packet(bed.worker.history(), |path, bytes| {
            if path.remote == remote(1) {
                let view = RtpView::parse(bytes).expect("lawful");
                assert!(seen.insert((view.ssrc(), view.sequence())), "{} sent {} twice", view.ssrc(), view.sequence());
            }
        });
        bed.outbox.clear();
        for consumer in consumers.clone() {
            let spatial = SpatialLayer::Quality(u8::try_from((consumer + turn) % 2).expect("one of two"));
            let command =
                Command::SetPreferredLayers { consumer: ConsumerId(consumer.into()), spatial, temporal: None };
            bed.command(&command).expect("there are two");
        }
        let sequence = 201 + u16::try_from(turn).expect("few");
        let frame = if turn % 3 == 0 { KEY_FRAME } else { DELTA_FRAME };
        arrive_of(&mut bed, 0, sequence, frame);
        arrive_of(&mut bed, 1, 1_000 + sequence, frame);
    }
    for consumer in consumers {
        assert!(seen.iter().filter(|(ssrc, _)| *ssrc == consumer).count() > 100, "{consumer} gets pictures");
    }
}
