//! Media without keys: S4 and S10.

use corecast_wire::Discard;

use crate::{Call, Random, stranger};

#[test]
fn s4_media_from_elsewhere_neither_bleeds_nor_is_injected() {
    let mut call = Call::new();
    let captured = call.captured();
    assert!(captured.len() >= 10);
    for packet in &captured {
        call.bench.inject(stranger(1), packet);
        call.bench.inject(stranger(1), &[&[0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 42][..], &[0; 20]].concat());
    }
    assert_eq!(call.discarded(Discard::UnvalidatedPath), 2 * captured.len() as u64);
    call.media_goes_on();
}

#[test]
fn s10_forged_media_on_the_live_path_is_counted_and_no_more() {
    let mut call = Call::new();
    let from = call.bench.peers[0].address;
    let history = call.bench.worker.totals().history_bytes;
    let mut random = Random(10);
    for sequence in 0..10_000_u16 {
        let mut packet: Vec<u8> = (0..60).map(|_| random.byte()).collect();
        let [high, low] = (100 + sequence % 50).to_be_bytes();
        packet[..12].copy_from_slice(&[0x80, 111, high, low, 0, 0, 0, 1, 0, 0, 0, 42]);
        call.bench.inject(from, &packet);
        packet[8..12].copy_from_slice(&[9, 9, high, low]);
        call.bench.inject(from, &packet);
    }
    assert_eq!(call.discarded(Discard::AuthenticationFailed), 10_000);
    assert_eq!(call.discarded(Discard::UnknownSsrc), 10_000);
    assert_eq!(call.bench.worker.totals().history_bytes, history);
    call.media_goes_on();
}
