//! The way of a packet through the machine, and what it asks of senders.

use std::time::Duration;

use corecast_core::Path;
use corecast_core::rtcp::Writer;
use corecast_core::rtp::RtpView;
use corecast_core::srtp::{Opener, ReplayWindow, Sealer};
use corecast_wire::{Command, CommandError, ConsumerId, RouterId, TransportId};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, remote, rtp, srtp};

#[test]
fn plain_rtp_reaches_every_consumer_rewritten_and_in_one_train() {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.transport(2, false, false);
    bed.produce(0);
    bed.consume(1, 21).expect("first");
    bed.consume(2, 22).expect("second");
    assert!(bed.sent().is_empty(), "the producer's address is not known yet");

    bed.arrive(path(0), &rtp(65_535, &KEY_FRAME));
    bed.arrive(path(0), &rtp(0, &DELTA_FRAME));
    bed.worker.forward(bed.now, &mut bed.outbox);
    assert_eq!(bed.outbox.trains().len(), 2, "one train each");
    let sent = bed.sent();
    assert_eq!(sent.len(), 4);
    for (position, (to, bytes)) in sent.iter().enumerate() {
        let view = RtpView::parse(bytes).expect("we write lawful packets");
        let receiver = 1 + u32::try_from(position / 2).expect("small");
        assert_eq!((*to, view.ssrc()), (remote(receiver), 20 + receiver));
        assert_eq!((view.payload_type(), usize::from(view.sequence())), (101, 10 + position % 2));
        assert_eq!(view.body(), if position % 2 == 0 { KEY_FRAME } else { DELTA_FRAME });
    }
}

#[test]
fn a_late_joiner_gets_a_key_frame_that_was_asked_for_once() {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.produce(0);
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    assert!(bed.sent().is_empty());
    bed.now = bed.now + Duration::from_secs(1);
    bed.consume(1, 21).expect("first");
    let asked = bed.sent();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].0, &asked[0].1[..2]), (remote(0), &[0x81, 206][..]), "a PLI to the producer");
    bed.arrive(path(0), &rtp(2, &DELTA_FRAME));
    assert!(bed.sent().is_empty());
    bed.arrive(path(0), &rtp(3, &KEY_FRAME));
    assert_eq!(bed.sent().len(), 1);
    assert_eq!(bed.discarded(), [("waiting_for_key_frame", 1)]);
}

#[test]
fn sealed_in_sealed_out_and_repeated_byte_for_byte() {
    let mut bed = Bed::new();
    bed.transport(0, true, true);
    bed.transport(1, false, true);
    bed.produce(0);
    bed.consume(1, 21).expect("first");
    let publisher = Sealer::new(&srtp(100)).expect("a lawful key");
    let mut packet = rtp(5, &[]);
    let payload = [&KEY_FRAME[..], &[7; 900]].concat();
    packet.resize(12 + payload.len() + publisher.rtp_overhead(), 0);
    publisher.seal_rtp(1_111, 5, &mut packet, 12, &payload).expect("fits");

    let mut forged = packet.clone();
    *forged.last_mut().expect("not empty") ^= 1;
    let attacker = Path { remote: "127.0.0.9:9".parse().expect("an address"), ..path(0) };
    bed.arrive(attacker, &forged);
    assert!(bed.sent().is_empty(), "nothing is learnt from a forged packet");
    bed.arrive(path(0), &packet);
    bed.arrive(path(0), &packet);
    bed.arrive(attacker, &packet);
    let first = bed.sent();
    let first: Vec<_> = first.into_iter().filter(|(to, _)| *to == remote(1)).collect();
    assert_eq!(first.len(), 1);
    assert_eq!(bed.discarded(), [("wrong_remote", 1), ("authentication_failed", 1), ("replayed", 1)]);
    let view = RtpView::parse(&first[0].1).expect("lawful");
    let receiver = Opener::new(&srtp(1)).expect("a lawful key");
    let mut opened = vec![0; 1_500];
    let index = ReplayWindow::default().guess(view.sequence());
    let len = receiver.open_rtp(21, index, view.header(), view.body(), &mut opened).expect("our key");
    assert_eq!(&opened[..len], payload);

    let mut nack = [0; 64];
    let mut writer = Writer::new(&mut nack);
    assert!(writer.push_nack(1, 21, [10]));
    let len = writer.len();
    let len = Sealer::new(&srtp(101)).expect("a lawful key").seal_rtcp(&mut nack, len).expect("fits");
    bed.arrive(path(1), &nack[..len]);
    assert_eq!(bed.sent(), first);
}

#[test]
fn a_gap_is_asked_for_at_once() {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.produce(0);
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    bed.arrive(path(0), &rtp(4, &DELTA_FRAME));
    let sent = bed.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((&sent[0].1[..2], &sent[0].1[12..]), (&[0x81, 205][..], &[0, 2, 0, 1][..]));
}

/// RFC 4588 section 4: the original sequence number, then the original payload.
fn rtx(original: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = rtp(1, &[&original.to_be_bytes(), payload].concat());
    packet[1] = 97;
    packet[8..12].copy_from_slice(&1_112_u32.to_be_bytes());
    packet
}

#[test]
fn a_retransmission_fills_its_gap_and_cannot_run_ahead() {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.produce(0);
    bed.consume(1, 21).expect("first");
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    bed.arrive(path(0), &rtp(3, &DELTA_FRAME));
    bed.sent();
    bed.arrive(path(0), &rtx(30_000, &DELTA_FRAME));
    assert_eq!(bed.discarded(), [("malformed_rtx", 1)]);
    bed.arrive(path(0), &rtx(2, &DELTA_FRAME));
    bed.arrive(path(0), &rtp(4, &DELTA_FRAME));
    let sequences: Vec<_> = bed
        .sent()
        .iter()
        .filter(|(to, _)| *to == remote(1))
        .map(|(_, bytes)| RtpView::parse(bytes).expect("lawful").sequence())
        .collect();
    assert_eq!(sequences, [11, 13], "10 and 12 had left before");
}

#[test]
fn reports_come_by_themselves() {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, false);
    bed.produce(0);
    bed.consume(1, 21).expect("first");
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    bed.sent();
    bed.now = bed.now + Duration::from_secs(6);
    assert!(bed.worker.next_timeout().is_some_and(|at| at <= bed.now));
    bed.worker.handle_timeout(bed.now, &mut bed.outbox);
    let kinds: Vec<_> = bed.sent().into_iter().map(|(to, bytes)| (to, bytes[1])).collect();
    assert!(kinds.contains(&(remote(0), 201)), "a receiver report to the publisher: {kinds:?}");
    assert!(kinds.contains(&(remote(1), 200)), "a sender report to the receiver: {kinds:?}");
}

#[test]
fn wrong_commands_change_nothing() {
    let mut bed = Bed::new();
    bed.transport(0, true, false);
    bed.transport(1, false, true);
    bed.produce(0);
    bed.consume(1, 21).expect("first");
    assert_eq!(bed.consume(1, 21), Err(CommandError::Exists { kind: "consumer".into(), id: 21 }));
    bed.command(&Command::CloseConsumer { consumer: ConsumerId(21) }).expect("there");
    assert_eq!(bed.consume(1, 21), Err(CommandError::SsrcTaken(21)), "the key has sealed under it");
    let connect = Command::ConnectPlainTransport {
        transport: TransportId(1),
        remote: Some(remote(1)),
        rtcp_remote: None,
        srtp: None,
    };
    assert_eq!(bed.command(&connect), Err(CommandError::AlreadyConnected));
    let close = Command::CloseRouter { router: RouterId(1) };
    bed.command(&close).expect("there");
    let totals = bed.worker.totals();
    assert_eq!((totals.transports, totals.producers, totals.consumers), (0, 0, 0));
    assert!(bed.command(&close).is_err());
    bed.arrive(path(0), &rtp(1, &KEY_FRAME));
    assert_eq!(bed.discarded(), [("no_transport", 1)]);
}

/// A plain packet in the outbox may name a slot of history, which the next packet of the sender may take.
#[test]
fn a_retransmission_whose_slot_is_displaced_before_it_is_sent_is_sent_as_it_was() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce(0);
    bed.consume(1, 77).expect("a consumer");
    for sequence in 0..512_u16 {
        let frame = if sequence == 0 { KEY_FRAME } else { DELTA_FRAME };
        bed.arrive(path(0), &rtp(sequence, &[frame.to_vec(), sequence.to_be_bytes().repeat(50)].concat()));
        bed.sent();
    }
    // One batch: a NACK for the oldest packet (10 as the receiver numbers it), then two new packets of the sender.
    bed.arrive(path(1), &[0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 77, 0, 10, 0, 0]);
    for sequence in 512..514_u16 {
        bed.arrive(path(0), &rtp(sequence, &[DELTA_FRAME.to_vec(), vec![1; 100]].concat()));
    }
    let sent = bed.sent();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[0].1[12..], [KEY_FRAME.to_vec(), vec![0; 100]].concat(), "the packet that was asked for");
}
