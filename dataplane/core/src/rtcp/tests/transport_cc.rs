//! Transport-wide feedback: chunks, deltas and their bounds.

use super::super::*;
use super::packet;

/// Feedback on `count` packets from sequence 65,534 on, with these chunks and deltas.
fn feedback(count: u16, tail: &[u8]) -> Vec<u8> {
    let [high, low] = count.to_be_bytes();
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, high, low, 0xff, 0xff, 0xfe, 9];
    body.extend(tail);
    body.resize(body.len().next_multiple_of(4), 0);
    packet(15, 205, &body)
}

fn deltas(compound: &[u8]) -> Vec<Option<i16>> {
    let Some(Packet::TransportCc(cc)) = parse(compound).unwrap().next() else { panic!("not transport-cc") };
    assert_eq!((cc.sender_ssrc, cc.media_ssrc, cc.base_sequence), (1, 2, 0xfffe));
    assert_eq!((cc.reference_time, cc.feedback_count), (-2, 9));
    for (n, status) in cc.statuses().enumerate() {
        assert_eq!(status.sequence, 0xfffeu16.wrapping_add(n as u16));
    }
    cc.statuses().map(|status| status.delta).collect()
}

#[test]
fn run_length_chunks() {
    assert_eq!(deltas(&feedback(3, &[0x20, 3, 1, 2, 255])), [Some(1), Some(2), Some(255)]);
    assert_eq!(deltas(&feedback(2, &[0x40, 2, 0xff, 0xff, 1, 0])), [Some(-1), Some(256)]);
    assert_eq!(deltas(&feedback(221, &[0x00, 0xdd])), [None; 221]);
    assert_eq!(deltas(&feedback(2, &[0x20, 0, 0x3f, 0xff, 1, 2])), [Some(1), Some(2)], "a run of none; one too long");
}

#[test]
fn vector_chunks() {
    // The layouts of the draft's sections 3.1.4: 0 11111 000 111 00; and 0 2 1 1 1 0 0.
    let ones =
        [None, Some(1), Some(2), Some(3), Some(4), Some(5), None, None, None, Some(6), Some(7), Some(8), None, None];
    assert_eq!(deltas(&feedback(14, &[0x9f, 0x1c, 1, 2, 3, 4, 5, 6, 7, 8])), ones);
    let twos = [None, Some(-2), Some(1), Some(2), Some(3), None, None];
    assert_eq!(deltas(&feedback(7, &[0xc9, 0x50, 0xff, 0xfe, 1, 2, 3])), twos);
}

#[test]
fn reserved_symbol_is_refused() {
    assert_eq!(parse(&feedback(1, &[0x60, 1, 0, 0])).unwrap_err(), MalformedRtcp::Body, "in a run");
    assert_eq!(parse(&feedback(7, &[0xff, 0xff, 0, 0, 0, 0, 0, 0])).unwrap_err(), MalformedRtcp::Body, "in a vector");
    assert_eq!(deltas(&feedback(1, &[0xcf, 0xff])), [None], "beyond the last status nobody looks");
}

#[test]
fn chunks_or_deltas_that_are_missing_are_refused() {
    let refused = |count, tail: &[u8]| assert_eq!(parse(&feedback(count, tail)).unwrap_err(), MalformedRtcp::Body);
    refused(1, &[]);
    refused(u16::MAX, &[0x00, 0xdd, 0x00, 0xdd]);
    refused(15, &[0x80, 0, 0x00, 0x00]);
    refused(4, &[0x20, 4, 1, 2]);
    refused(2, &[0x40, 2, 1, 2]);
    assert_eq!(parse(&packet(15, 205, &[0; 12])).unwrap_err(), MalformedRtcp::Body, "half a head");
    assert_eq!(deltas(&feedback(0, &[])), [], "feedback on nothing says nothing");
}

#[test]
fn as_many_statuses_as_there_can_be() {
    let mut tail = [0x1f, 0xff].repeat(8);
    tail.extend([0x00, 0x07]);
    assert_eq!(deltas(&feedback(u16::MAX, &tail)), [None; u16::MAX as usize]);
}

/// Writes statuses and reads them back; gives the bytes that the chunks and deltas took.
fn round_trip(statuses: &[Option<i16>]) -> usize {
    let mut out = vec![0; 300_000];
    let mut writer = Writer::new(&mut out);
    let head =
        TransportCcHead { sender_ssrc: 1, media_ssrc: 2, base_sequence: 0xfffe, reference_time: -2, feedback_count: 9 };
    assert!(writer.push_transport_cc(&head, statuses.iter().copied()));
    assert_eq!(deltas(writer.as_bytes()), statuses);
    writer.len() - 20
}

#[test]
fn written_statuses_are_read_back() {
    assert_eq!(round_trip(&[None]), 4);
    assert_eq!(round_trip(&[Some(0)]), 4);
    assert_eq!(round_trip(&[Some(-1)]), 4);
    assert_eq!(round_trip(&[Some(255), Some(256), Some(i16::MIN), Some(i16::MAX)]), 2 + 7 + 3);
    assert_eq!(round_trip(&[None; 65_535]), 20, "nine runs");
    assert_eq!(round_trip(&[Some(1); 14]), 2 + 14, "one run");
    assert_eq!(round_trip(&[Some(300); 7]), 2 + 14, "one run");
}

#[test]
fn random_statuses_are_read_back() {
    let mut state = 3u32;
    for round in 0..2_000 {
        let mut statuses = vec![];
        for _ in 0..round % 120 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let delta = (state >> 16) as i16;
            let status = [None, Some(delta & 0xff), Some(delta)][(state >> 8) as usize % 3];
            statuses.extend(std::iter::repeat_n(status, (state >> 4) as usize % (1 + round % 20)));
        }
        if !statuses.is_empty() {
            round_trip(&statuses);
        }
    }
}

#[test]
fn more_statuses_than_can_be_counted_are_not_written() {
    let mut out = vec![0; 300_000];
    let mut writer = Writer::new(&mut out);
    assert!(!writer.push_transport_cc(&TransportCcHead::default(), std::iter::repeat_n(None, 65_536)));
    assert!(writer.is_empty());
}
