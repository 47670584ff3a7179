//! Consumers of one encoding alone: a pipe to another router sends all of a producer's encodings, each as it is.

use std::time::Duration;

use corecast_wire::{Command, ConsumeOptions, ConsumerId, SpatialLayer};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver};
use crate::layers::layers;

/// (SSRC, last byte of the payload) of the packets of video that leave.
fn sent(bed: &mut Bed) -> Vec<(u32, u8)> {
    let sent = bed.sent();
    let media = sent.iter().filter(|(_, bytes)| bytes[1] & 0x7f == 101);
    media
        .map(|(_, bytes)| (u32::from_be_bytes(bytes[8..12].try_into().expect("four")), bytes[bytes.len() - 1]))
        .collect()
}

/// A frame of each of these layers, whose number is in its last byte.
fn frames(bed: &mut Bed, sequence: u16, which: &[u8], payload: [u8; 4]) {
    for layer in which {
        let bytes = packet(1_000 + u32::from(*layer), 96, sequence, &[], &[&payload[..], &[*layer]].concat());
        bed.arrive(path(0), &bytes);
    }
}

#[test]
fn each_is_sent_its_own_encoding_and_no_other_in_its_place() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, layers(3)).expect("new");
    for encoding in 0..3 {
        let options = ConsumeOptions { encoding: Some(encoding), ..receiver(21 + u32::from(encoding)) };
        bed.consume_as(1, 1, options).expect("new");
    }
    let mut got = Vec::new();
    for sequence in 0..400_u16 {
        let payload = if sequence % 50 == 0 { KEY_FRAME } else { DELTA_FRAME };
        // The middle one falls silent for six seconds.
        let which: &[u8] = if (100..300).contains(&sequence) { &[0, 2] } else { &[0, 1, 2] };
        frames(&mut bed, sequence, which, payload);
        got.extend(sent(&mut bed));
        bed.now = bed.now + Duration::from_millis(33);
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        bed.outbox.clear();
    }
    assert!(got.iter().all(|(ssrc, layer)| *ssrc == 21 + u32::from(*layer)), "each under its own SSRC");
    let count = |ssrc| got.iter().filter(|(of, _)| *of == ssrc).count();
    assert_eq!([21, 22, 23].map(count), [400, 200, 400]);
}

#[test]
fn there_is_nothing_to_choose() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    bed.produce_as(0, 1, layers(2)).expect("new");
    assert!(bed.consume_as(1, 1, ConsumeOptions { encoding: Some(2), ..receiver(21) }).is_err(), "there are two");
    bed.consume_as(1, 1, ConsumeOptions { encoding: Some(1), ..receiver(22) }).expect("new");
    let choose =
        Command::SetPreferredLayers { consumer: ConsumerId(22), spatial: SpatialLayer::Quality(0), temporal: None };
    assert!(bed.command(&choose).is_err());
}
