//! Temporal layers: which pictures a consumer is sent, and that their numbers go on without holes.

use std::time::Duration;

use corecast_core::rtp::RtpView;
use corecast_core::srtp::Opener;
use corecast_wire::{Codec, CodecMapping, Command, ConsumerId, Event, ProduceOptions, SpatialLayer};

use crate::bed::{Bed, packet, path, receiver, remote, rtp, srtp, video};
use crate::layers::{OUT, Stage, layers};

/// Temporal layers of eight pictures in a row, and which of them need the lowest layer only: libvpx's pattern of three.
const PATTERN: [(u8, bool); 8] =
    [(0, false), (2, true), (1, true), (2, false), (0, false), (2, false), (1, false), (2, false)];

/// Two packets of a picture of VP8, of which the first is a key frame every 400 pictures.
fn picture(number: u16) -> [Vec<u8>; 2] {
    let (temporal, sync) = PATTERN[usize::from(number % 8)];
    let [high, low] = ((number + 0x7ff0) & 0x7fff).to_be_bytes();
    let tl0 = (number / 4) as u8;
    let layer = temporal << 6 | u8::from(sync) << 5;
    [0x90, 0x80].map(|first| {
        let sequence = (number * 2 + u16::from(first == 0x80)).wrapping_add(65_000);
        let delta = u8::from(!number.is_multiple_of(400));
        let payload = [first, 0xe0, high | 0x80, low, tl0, layer, delta, 0x9d, 0x01, 0x2a, number as u8];
        let mut packet = packet(1_000, 96, sequence, &[], &payload);
        packet[4..8].copy_from_slice(&(u32::from(number) * 3_000).to_be_bytes());
        packet
    })
}

/// A packet as it reached a receiver.
#[derive(Clone, Debug)]
struct Got {
    sequence: u16,
    id: u16,
    tl0: u8,
    temporal: u8,
    /// Which picture it was when it was sent.
    number: u8,
    bytes: Vec<u8>,
}

fn got(view: &RtpView<'_>, payload: &[u8], bytes: &[u8]) -> Got {
    let id = u16::from_be_bytes([payload[2] & 0x7f, payload[3]]);
    let [tl0, temporal, number] = [payload[4], payload[5] >> 6, payload[10]];
    Got { sequence: view.sequence(), id, tl0, temporal, number, bytes: bytes.to_vec() }
}

/// A plain receiver and one with SRTP, which prefer what `preferred` says of a picture's number.
fn play(pictures: u16, preferred: impl Fn(u16) -> Option<Option<u8>>) -> (Bed, [Vec<Got>; 2]) {
    let mut bed = Bed::new();
    for (transport, encrypted) in [(0, false), (1, false), (2, true)] {
        bed.transport(transport, false, encrypted);
    }
    bed.produce_as(0, 1, layers(1)).expect("new");
    bed.consume_as(1, 1, receiver(OUT)).expect("new");
    bed.consume_as(2, 1, receiver(OUT + 1)).expect("new");
    let opener = Opener::new(&srtp(2)).expect("a lawful key");
    let mut received = [vec![], vec![]];
    for number in 0..pictures {
        for consumer in [OUT, OUT + 1] {
            if let Some(temporal) = preferred(number) {
                let consumer = ConsumerId(consumer.into());
                bed.command(&Command::SetPreferredLayers { consumer, spatial: SpatialLayer::Quality(0), temporal })
                    .expect("there");
            }
        }
        for packet in picture(number) {
            bed.arrive(path(0), &packet);
            for (to, bytes) in bed.sent().into_iter().filter(|(_, bytes)| bytes[1] & 0x7f == 101) {
                let view = RtpView::parse(&bytes).expect("lawful");
                if to == remote(1) {
                    received[0].push(got(&view, view.body(), &bytes));
                } else {
                    let mut open = [0; 64];
                    let index = u64::from(view.sequence());
                    let len = opener.open_rtp(view.ssrc(), index, view.header(), view.body(), &mut open);
                    received[1].push(got(&view, &open[..len.expect("authentic")], &bytes));
                }
            }
        }
    }
    (bed, received)
}

fn assert_no_holes(received: &[Got]) {
    for pair in received.windows(2) {
        let [before, after] = pair else { continue };
        assert_eq!(after.sequence, before.sequence.wrapping_add(1), "{before:?} {after:?}");
        let step = u16::from(after.number != before.number);
        assert_eq!(after.id, (before.id + step) & 0x7fff, "{before:?} {after:?}");
        let base = u8::from(step == 1 && after.temporal == 0);
        assert_eq!(after.tl0, before.tl0.wrapping_add(base), "{before:?} {after:?}");
    }
}

#[test]
fn a_viewer_of_the_lowest_temporal_layer_sees_no_holes() {
    let (_, received) = play(1_600, |number| (number == 0).then_some(Some(0)));
    for received in received {
        assert!(received.iter().all(|one| one.temporal == 0));
        assert_eq!(received.len(), 1_600 / 4 * 2);
        assert_no_holes(&received);
    }
}

#[test]
fn layers_are_left_with_the_next_picture_and_entered_where_they_need_nothing_of_before() {
    let down = |number| number == 21;
    let up = |number| number == 41;
    let preferred = |number| if down(number) { Some(Some(0)) } else { up(number).then_some(None) };
    let (_, received) = play(64, preferred);
    for received in received {
        assert_no_holes(&received);
        let seen: Vec<u8> = (0..64).filter(|number| received.iter().any(|one| one.number == *number)).collect();
        // Picture 24 is the next one of the lowest layer. Picture 42, of layer 1, needs layer 0 only; picture 49 is
        // such a one of layer 2.
        let all = 0..24_u8;
        let lowest = (24..42).filter(|number| number % 4 == 0);
        let middle = (42..49).filter(|number| number % 2 == 0);
        assert_eq!(seen, all.chain(lowest).chain(middle).chain(49..64).collect::<Vec<_>>());
    }
}

#[test]
fn what_left_before_and_after_a_change_of_layers_is_repeated_to_the_byte() {
    let (bed, [plain, _]) = play(200, |number| match number % 50 {
        10 => Some(Some(0)),
        30 => Some(Some(1)),
        45 => Some(None),
        _ => None,
    });
    assert_no_holes(&plain);
    let mut stage = Stage { bed, next: [0; 4] };
    for one in plain.iter().rev().take(100) {
        assert_eq!(stage.nack(one.sequence), [(OUT, one.bytes.clone())], "{one:?}");
    }
}

/// The pictures of VP9 by their numbers, each of one packet, of temporal layers 0, 2, 1, 2: each lets receivers in.
fn arrive_vp9(bed: &mut Bed, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        let temporal = [0, 2, 1, 2][usize::from(number % 4)];
        let delta = if number == 0 { 0 } else { 0x40 };
        let head = [0xac | delta, 0x80, number, temporal << 5 | 0x10, number / 4, 0x86, number];
        bed.arrive(path(0), &rtp(number.into(), &head));
    }
}

/// Numbers of pictures that have reached the viewer, and under which numbers.
fn pictures_got(bed: &mut Bed) -> Vec<(u8, u16)> {
    let sent = bed.sent().into_iter().filter(|(to, bytes)| *to == remote(1) && bytes[1] & 0x7f == 101);
    sent.map(|(_, bytes)| RtpView::parse(&bytes).map(|view| (view.body()[6], view.sequence())).expect("lawful"))
        .collect()
}

#[test]
fn layers_are_not_entered_with_a_late_picture_behind_which_some_were_withheld() {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    let codec = CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Vp9, clock_rate_hz: 90_000 };
    bed.produce_as(0, 1, ProduceOptions { codecs: vec![codec], ..video() }).expect("new");
    bed.consume_as(1, 1, receiver(OUT)).expect("new");
    let prefer = |bed: &mut Bed, temporal| {
        let (consumer, spatial) = (ConsumerId(OUT.into()), SpatialLayer::Quality(0));
        bed.command(&Command::SetPreferredLayers { consumer, spatial, temporal }).expect("there");
    };
    prefer(&mut bed, Some(0));
    arrive_vp9(&mut bed, 0..6);
    assert_eq!(pictures_got(&mut bed), [(0, 10), (4, 11)]);
    prefer(&mut bed, None);
    // Picture 8 comes after 9, in a later batch than that, and after 10, in the same one. 11 would need 10.
    arrive_vp9(&mut bed, [6, 7, 9]);
    assert_eq!(pictures_got(&mut bed), []);
    arrive_vp9(&mut bed, [10, 8, 11, 12, 13]);
    assert_eq!(pictures_got(&mut bed), [(8, 12), (12, 13), (13, 14)]);
    arrive_vp9(&mut bed, 14..17);
    assert_eq!(pictures_got(&mut bed), [(14, 15), (15, 16), (16, 17)]);
}

/// Pictures of an only encoding, a hundred milliseconds each; the temporal layers that control is told of.
fn told(bed: &mut Bed, numbers: std::ops::Range<u16>) -> Vec<Option<u8>> {
    let mut told = Vec::new();
    for number in numbers {
        picture(number).iter().for_each(|packet| bed.arrive(path(0), packet));
        bed.sent();
        bed.now = bed.now + Duration::from_millis(100);
        while bed.worker.next_timeout().is_some_and(|at| at <= bed.now) {
            bed.worker.handle_timeout(bed.now, &mut bed.outbox);
            bed.sent();
        }
        told.extend(std::iter::from_fn(|| bed.worker.poll_event()).filter_map(|event| match event {
            Event::ConsumerLayersChanged { current, temporal, .. } => {
                assert_eq!(current, None, "it has no spatial layers");
                Some(temporal)
            }
            _ => None,
        }));
    }
    told
}

#[test]
fn the_temporal_layer_that_is_sent_is_told_whenever_it_changes() {
    let mut bed = Bed::new();
    for transport in [0, 1] {
        bed.transport(transport, false, false);
    }
    bed.produce_as(0, 1, layers(1)).expect("new");
    bed.consume_as(1, 1, receiver(OUT)).expect("new");
    assert_eq!(told(&mut bed, 0..16).last(), Some(&Some(2)), "all that there are");
    assert_eq!(told(&mut bed, 16..32), [], "nothing changes");
    let consumer = ConsumerId(OUT.into());
    let prefer = |temporal| Command::SetPreferredLayers { consumer, spatial: SpatialLayer::Quality(0), temporal };
    bed.command(&prefer(Some(0))).expect("there");
    assert_eq!(told(&mut bed, 32..48), [Some(0)]);
    bed.command(&prefer(None)).expect("there");
    assert_eq!(told(&mut bed, 48..64).last(), Some(&Some(2)));
    bed.command(&Command::PauseConsumer { consumer, paused: true }).expect("there");
    assert_eq!(told(&mut bed, 64..72), [None]);
}
