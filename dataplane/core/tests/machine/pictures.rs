//! The numbers of VP8's pictures across switches between layers.

use std::time::Duration;

use corecast_core::rtp::RtpView;
use corecast_core::srtp::Opener;
use corecast_wire::{Command, ConsumerId, SpatialLayer};

use crate::bed::{Bed, packet, path, receiver, remote, srtp};
use crate::layers::{OUT, Stage, layers};

/// A picture of VP8 in one packet, numbered by its encoder.
fn picture(layer: u32, sequence: u16, key: bool, (id, tl0): (u16, u8)) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let frame = u8::from(!key);
    packet(1_000 + layer, 96, sequence, &[], &[0x90, 0xe0, high | 0x80, low, tl0, 0x20, frame, 0x9d, 0x01, 0x2a, 7])
}

/// The numbers of a picture, in what is sent of it.
fn numbers(payload: &[u8]) -> (u16, u8) {
    assert_eq!((&payload[..2], payload[10]), (&[0x90, 0xe0][..], 7), "{payload:x?}");
    (u16::from_be_bytes([payload[2] & 0x7f, payload[3]]), payload[4])
}

/// To a receiver each switch is one picture further on, whatever the encoders' numbers are; to each receiver by itself,
/// and the same again when it is repeated.
#[test]
fn pictures_are_numbered_on_across_switches() {
    let mut bed = Bed::new();
    for (transport, encrypted) in [(0, false), (1, false), (2, true)] {
        bed.transport(transport, false, encrypted);
    }
    bed.produce_as(0, 1, layers(2)).expect("new");
    bed.consume_as(1, 1, receiver(OUT)).expect("new");
    bed.consume_as(2, 1, receiver(OUT + 1)).expect("new");
    let opener = Opener::new(&srtp(2)).expect("a lawful key");
    let mut pictures: Vec<Vec<(u16, u16, u8)>> = vec![vec![], vec![]];
    let mut originals = Vec::new();
    for round in 0..60_u16 {
        // The upper layer's numbers end while the lower layer's are in the middle; and are behind.
        let ids = [(20_000 + round, 100 + round as u8), ((0x7fe0 + round) & 0x7fff, 90 + round as u8)];
        for (layer, ids) in (0..2).zip(ids) {
            bed.arrive(path(0), &picture(layer, 500 + round, round % 4 == 0, ids));
            for (to, bytes) in bed.sent().into_iter().filter(|(_, bytes)| bytes[1] & 0x7f == 101) {
                let view = RtpView::parse(&bytes).expect("lawful");
                let mut open = [0; 64];
                let (at, payload) = if to == remote(1) {
                    (0, view.body())
                } else {
                    let index = u64::from(view.sequence());
                    let len = opener.open_rtp(view.ssrc(), index, view.header(), view.body(), &mut open);
                    (1, &open[..len.expect("authentic")])
                };
                let (id, tl0) = numbers(payload);
                pictures[at].push((view.sequence(), id, tl0));
                if at == 0 {
                    originals.push(bytes.clone());
                }
            }
        }
        bed.now = bed.now + Duration::from_millis(100);
        // One changes often, the other seldom.
        for (consumer, every) in [(OUT, 5), (OUT + 1, 11)] {
            let spatial = SpatialLayer::Quality(u8::from(round / every % 2 == 0));
            bed.command(&Command::SetPreferredLayers {
                consumer: ConsumerId(consumer.into()),
                spatial,
                temporal: None,
            })
            .expect("there");
        }
    }
    let mut switches = 0;
    for pictures in &pictures {
        assert!(pictures.len() > 50);
        for pair in pictures.windows(2) {
            let [(sequence, id, tl0), (next_sequence, next_id, next_tl0)] = *pair else { continue };
            assert_eq!(next_sequence, sequence + 1);
            let step = (next_id.wrapping_sub(id) & 0x7fff, next_tl0.wrapping_sub(tl0));
            // If both layers have a picture of one moment, the second may follow the first.
            assert!((1..=2).contains(&step.0) && (1..=2).contains(&step.1), "{pair:?}");
            switches += u32::from(step != (1, 1));
        }
    }
    assert!(switches <= 12, "{switches}");
    let mut stage = Stage { bed, next: [0; 4] };
    for original in &originals[originals.len() - 40..] {
        let sequence = RtpView::parse(original).expect("lawful").sequence();
        assert_eq!(stage.nack(sequence), [(OUT, original.clone())], "the same to the byte");
    }
}
