//! Packets that wait for their turn: what a consumer is sent of the time before it joined leaves at a pace.

use std::net::SocketAddr;
use std::time::Duration;

use corecast_core::Instant;
use corecast_core::rtcp::Writer;
use corecast_core::rtp::RtpView;
use corecast_wire::{
    Command, ConsumeOptions, ConsumerExtension, ConsumerId, EncodingMapping, HeaderExtension, ProduceOptions,
    ProducerId, TransportId, WAIT_BOUNDS_US,
};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote, rtp, video};

const PAYLOAD_BYTES: usize = 1_000;

/// A producer whose packets 1 (a key frame) to 100 have come in 100 ms, and a transport without consumers.
fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.produce(0);
    for sequence in 1..=100 {
        arrive(&mut bed, sequence);
        bed.sent();
        bed.now = bed.now + Duration::from_millis(1);
    }
    bed
}

fn arrive(bed: &mut Bed, sequence: u16) {
    let frame = if sequence % 200 == 1 { KEY_FRAME } else { DELTA_FRAME };
    bed.arrive(path(0), &rtp(sequence, &[&frame[..], &[0; PAYLOAD_BYTES - 4]].concat()));
}

/// (SSRC, sequence number, departure) of the media that receiver 1 is sent until `until`, with a look every
/// millisecond.
fn leaves(bed: &mut Bed, until: Instant) -> Vec<(u32, u16, Instant)> {
    let mut left = Vec::new();
    loop {
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        let now = bed.now;
        let media = |(to, bytes): &(SocketAddr, Vec<u8>)| *to == remote(1) && bytes[1] & 0x7f == 101;
        left.extend(bed.sent().iter().filter(|sent| media(sent)).map(|(_, bytes)| {
            let view = RtpView::parse(bytes).expect("lawful");
            (view.ssrc(), view.sequence(), now)
        }));
        if bed.now >= until {
            return left;
        }
        bed.now = bed.now + Duration::from_millis(1);
    }
}

/// Two consumers of one transport, of which the one that was made last is served first.
#[test]
fn who_asks_for_a_key_frame_that_waits_for_its_turn_has_only_to_wait() {
    let mut bed = bed();
    let begin = bed.now;
    bed.consume(1, 21).expect("new");
    bed.consume(1, 22).expect("new");
    let of_first = |left: &[(u32, u16, Instant)]| left.iter().filter(|(ssrc, ..)| *ssrc == 21).count();
    assert_eq!(of_first(&leaves(&mut bed, begin)), 0, "all of it waits");
    assert_eq!(ask(&mut bed, 21), (0, 0));
    let end = bed.now + Duration::from_millis(200);
    assert_eq!(of_first(&leaves(&mut bed, end)), 100);
    assert_eq!(ask(&mut bed, 21), (100, 0), "what it began with is repeated once, if it asks after that");
    assert_eq!(ask(&mut bed, 21), (0, 1));
}

/// Receiver 1 asks for a key frame of this SSRC: packets that it is sent for it, and how often the producer is asked.
fn ask(bed: &mut Bed, ssrc: u32) -> (usize, usize) {
    let mut bytes = [0; 64];
    let mut writer = Writer::new(&mut bytes);
    assert!(writer.push_pli(9, ssrc));
    let len = writer.len();
    bed.arrive(path(1), &bytes[..len]);
    let sent = bed.sent();
    let to = |number| sent.iter().filter(|(to, _)| *to == remote(number)).count();
    (to(1), to(0))
}

#[test]
fn it_leaves_at_a_pace_and_what_comes_meanwhile_follows_in_order() {
    let mut bed = bed();
    let begin = bed.now;
    bed.consume(1, 21).expect("new");
    let mut left = leaves(&mut bed, begin);
    assert!((1..=20).contains(&left.len()), "{} at once", left.len());
    arrive(&mut bed, 101);
    left.extend(leaves(&mut bed, begin + Duration::from_millis(200)));
    let numbers: Vec<_> = left.iter().map(|(_, sequence, _)| *sequence).collect();
    assert_eq!(numbers, (10..111).collect::<Vec<_>>());
    let within = |millis| left.iter().filter(|(.., at)| *at <= begin + Duration::from_millis(millis)).count();
    // 100 packets in 150 ms at least, three times as fast: two a millisecond.
    assert!((30..=60).contains(&within(20)), "{} within 20 ms", within(20));
    assert_eq!(within(70), 101);
    let waits = bed.worker.totals().queue_waits;
    let within_ms = |ms: u64| {
        let counts = waits.counts.iter().zip(WAIT_BOUNDS_US).filter(|(_, us)| *us <= ms * 1_000);
        counts.map(|(count, _)| count).sum::<u64>()
    };
    assert_eq!((within_ms(1), within_ms(100)), (within(1) as u64, 101), "{waits:?}");
    assert!((1_000_000..4_000_000).contains(&waits.sum_us), "two a millisecond wait 25 ms on average: {waits:?}");
    // Nothing is limited when nothing waits.
    arrive(&mut bed, 102);
    let now = bed.now;
    assert_eq!(leaves(&mut bed, now), [(21, 111, now)]);
    assert_eq!(bed.worker.totals().queue_waits, waits, "it has not waited");
}

#[test]
fn other_consumers_of_the_receiver_do_not_wait() {
    let mut bed = bed();
    let other = EncodingMapping { ssrc: Some(2_222), rtx_ssrc: None, rid: None };
    bed.produce_as(0, 2, ProduceOptions { encodings: vec![other], ..video() }).expect("new");
    bed.consume_as(1, 2, receiver(22)).expect("new");
    bed.consume(1, 21).expect("new");
    let now = bed.now;
    leaves(&mut bed, now);
    bed.arrive(path(0), &packet(2_222, 96, 1, &[], &KEY_FRAME));
    assert_eq!(leaves(&mut bed, now), [(22, 10, now)]);
}

#[test]
fn each_packet_carries_the_time_of_its_departure() {
    let mut bed = bed();
    let stamped = ConsumerExtension { extension: HeaderExtension::AbsSendTime, router_id: 3, receiver_id: 3 };
    let options = ConsumeOptions { nack: false, header_extensions: vec![stamped], ..receiver(21) };
    bed.consume_as(1, 1, options).expect("new");
    for _ in 0..30 {
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        let nanos = u128::from(bed.now.as_nanos());
        for (_, bytes) in bed.sent().iter().filter(|(to, _)| *to == remote(1)) {
            let view = RtpView::parse(bytes).expect("lawful");
            let Some(&[a, b, c]) = view.extension(3) else { continue };
            let stamp = u128::from(u32::from_be_bytes([0, a, b, c]));
            assert_eq!(stamp, (nanos << 18) / 1_000_000_000 % (64 << 18), "seconds in 6.18 bits");
        }
        bed.now = bed.now + Duration::from_millis(1);
    }
}

#[test]
fn what_waits_for_a_consumer_that_has_gone_never_leaves() {
    let mut bed = bed();
    let now = bed.now;
    bed.consume(1, 21).expect("new");
    leaves(&mut bed, now);
    bed.command(&Command::CloseConsumer { consumer: ConsumerId(21) }).expect("known");
    assert_eq!(leaves(&mut bed, now + Duration::from_millis(300)), []);
    bed.consume_as(1, 1, receiver(22)).expect("new");
    bed.command(&Command::CloseTransport { transport: TransportId(1) }).expect("known");
    let until = bed.now + Duration::from_millis(300);
    assert_eq!(leaves(&mut bed, until), []);
}

#[test]
fn what_waits_for_a_consumer_that_is_paused_never_leaves() {
    for producer in [false, true] {
        let mut bed = bed();
        let now = bed.now;
        bed.consume(1, 21).expect("new");
        leaves(&mut bed, now);
        let pause = |paused| match producer {
            true => Command::PauseProducer { producer: ProducerId(1), paused },
            false => Command::PauseConsumer { consumer: ConsumerId(21), paused },
        };
        bed.command(&pause(true)).expect("known");
        assert_eq!(leaves(&mut bed, now + Duration::from_millis(5)), []);
        bed.command(&pause(false)).expect("known");
        assert_eq!(leaves(&mut bed, now + Duration::from_millis(300)), []);
        arrive(&mut bed, 201);
        let now = bed.now;
        assert_eq!(leaves(&mut bed, now), [(21, 110, now)], "the next key frame");
    }
}

#[test]
fn what_has_waited_too_long_is_not_sent_and_the_next_key_frame_begins_again() {
    let mut bed = bed();
    let now = bed.now;
    bed.consume(1, 21).expect("new");
    let sent = leaves(&mut bed, now).len();
    // Nobody calls for longer than media is worth.
    bed.now = bed.now + Duration::from_millis(501);
    let now = bed.now;
    assert_eq!(leaves(&mut bed, now), []);
    assert!(bed.discarded().contains(&("waited_too_long", 100 - sent as u64)), "{:?}", bed.discarded());
    for sequence in 101..=202 {
        arrive(&mut bed, sequence);
    }
    assert_eq!(leaves(&mut bed, now), [(21, 110, now), (21, 111, now)], "from the key frame on, without a gap");
}

#[test]
fn what_leaves_history_while_it_waits_leaves_no_hole() {
    let mut bed = bed();
    let now = bed.now;
    bed.consume(1, 21).expect("new");
    leaves(&mut bed, now);
    // More than a stream may hold, in one moment.
    for sequence in 101..=900 {
        arrive(&mut bed, sequence);
    }
    assert_eq!(leaves(&mut bed, now + Duration::from_millis(100)), []);
    assert!(bed.discarded().iter().any(|(why, _)| *why == "left_history"), "{:?}", bed.discarded());
    for sequence in 901..=1_002 {
        arrive(&mut bed, sequence);
    }
    let left = leaves(&mut bed, now + Duration::from_millis(100));
    let numbers: Vec<_> = left.iter().map(|(_, sequence, _)| *sequence).collect();
    assert_eq!(numbers, [910, 911], "from the key frame on");
}
