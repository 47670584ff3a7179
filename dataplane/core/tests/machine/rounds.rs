//! Rounds that pause because the outbox is full, with commands between their parts.

use std::time::Duration;

use corecast_core::{Forward, Path};
use corecast_wire::{Command, ConsumerId, TransportId};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, path, receiver, remote, rtp};

const RECEIVERS: u32 = 60;

/// SSRC, sequence number, and where it goes.
type Sent = (u32, u16, Path);

/// A producer with so many receivers that one batch does not fit the outbox, paused in the middle of its first round.
fn paused() -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.produce(0);
    for number in 1..=RECEIVERS {
        bed.transport(number, false, true);
        bed.consume(number, number * 10).expect("a consumer");
    }
    bed.outbox.clear();
    for sequence in 0..40_u16 {
        let kind = if sequence == 0 { KEY_FRAME } else { DELTA_FRAME };
        bed.arrive(path(0), &rtp(sequence, &[kind.to_vec(), vec![0; 1_200]].concat()));
    }
    assert_eq!(bed.worker.forward(bed.now, &mut bed.outbox), Forward::Full, "the round does not fit");
    bed.outbox.clear();
    bed
}

/// The media of what is left of the round, of the rounds after it, and of what waits.
fn rest(bed: &mut Bed) -> Vec<Sent> {
    let mut sent = Vec::new();
    let until = bed.now + Duration::from_millis(300);
    loop {
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        let done = bed.worker.forward(bed.now, &mut bed.outbox);
        bed.outbox.for_each_packet(bed.worker.history(), |path, bytes| {
            if bytes[1] & 0x7f == 101 {
                let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
                sent.push((ssrc, u16::from_be_bytes([bytes[2], bytes[3]]), path));
            }
        });
        bed.outbox.clear();
        match done {
            Forward::Full => {}
            Forward::Done if bed.now >= until => return sent,
            Forward::Done => bed.now = bed.now + Duration::from_millis(1),
        }
    }
}

#[test]
fn a_consumer_that_takes_a_closed_ones_place_in_a_paused_round_gets_nothing_of_it() {
    let mut bed = paused();
    // The consumer of the last transport has not had its turn.
    bed.command(&Command::CloseConsumer { consumer: ConsumerId(600) }).expect("was there");
    bed.transport(61, false, true);
    bed.consume_as(61, 1, receiver(9_999)).expect("a consumer");
    let sent = rest(&mut bed);
    assert!(sent.iter().all(|(ssrc, _, path)| *ssrc != 600 && path.remote != remote(60)), "its receiver has gone");
    let new: Vec<_> = sent.iter().filter(|(ssrc, ..)| *ssrc == 9_999).collect();
    assert!(new.iter().all(|(.., path)| path.remote == remote(61)), "{new:?}");
    let numbers: Vec<_> = new.iter().map(|(_, sequence, _)| *sequence).collect();
    assert_eq!(numbers, (10..50).collect::<Vec<_>>(), "from the key frame on, once, without a gap");
}

#[test]
fn a_transport_that_takes_a_closed_ones_place_in_a_paused_round_gets_nothing_of_it() {
    let mut bed = paused();
    bed.command(&Command::CloseTransport { transport: TransportId(60) }).expect("was there");
    bed.transport(61, false, true);
    let sent = rest(&mut bed);
    assert!(sent.iter().all(|(ssrc, _, path)| *ssrc != 600 && ![remote(60), remote(61)].contains(&path.remote)));
    assert!(sent.iter().any(|(ssrc, ..)| *ssrc == 590), "the others get theirs");
}
