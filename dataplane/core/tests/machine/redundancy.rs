//! Redundant audio data (RFC 2198): passed on to who has it, without the redundancy to who has not, else to nobody.

use std::collections::BTreeMap;

use corecast_core::rtcp::{self, Writer};
use corecast_core::rtp::RtpView;
use corecast_core::srtp::{Opener, Sealer};
use corecast_wire::{
    Codec, CodecMapping, ConsumeOptions, EncodingMapping, MediaKind, PayloadTypeMapping, ProduceOptions, RtxOptions,
};

use crate::bed::{Bed, packet, path, remote, srtp};

/// The sender's payload types, and the router's.
const OPUS: (u8, u8) = (111, 100);
const RED: (u8, u8) = (63, 120);
/// What receivers call them.
const OPUS_THERE: u8 = 96;
const RED_THERE: u8 = 97;
const RTX_THERE: u8 = 98;

/// Receivers by transport: whether they have redundancy, keys, and a stream for retransmissions.
const RECEIVERS: [(u32, bool, bool, bool); 6] = [
    (1, true, false, false),
    (2, false, false, false),
    (3, true, true, false),
    (4, false, true, false),
    (5, false, true, true),
    (6, true, true, true),
];

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    let codec = |(payload_type, mapped_payload_type), codec| CodecMapping {
        payload_type,
        mapped_payload_type,
        codec,
        clock_rate_hz: 48_000,
    };
    let codecs = vec![codec(RED, Codec::Red), codec(OPUS, Codec::Other)];
    bed.produce_as(0, 1, ProduceOptions::new(MediaKind::Audio, codecs, vec![EncodingMapping::announced(1_111)]))
        .expect("new");
    for (number, has_redundancy, encrypted, has_rtx) in RECEIVERS {
        bed.transport(number, false, encrypted);
        let opus = PayloadTypeMapping { router: OPUS.1, receiver: OPUS_THERE };
        let red = PayloadTypeMapping { router: RED.1, receiver: RED_THERE };
        let types = [red, opus].into_iter().filter(|one| has_redundancy || one.router == OPUS.1).collect();
        let rtx = RtxOptions {
            ssrc: 200 + number,
            payload_types: vec![(RED.1, RTX_THERE), (OPUS.1, RTX_THERE)],
            first_sequence: 1,
        };
        let options = ConsumeOptions {
            nack: true,
            rtx: has_rtx.then_some(rtx),
            first_sequence: 10,
            ..ConsumeOptions::new(100 + number, types, "c".into())
        };
        bed.consume_as(number, 1, options).expect("new");
    }
    bed.sent();
    bed
}

/// A payload of two blocks whose payload type is this.
fn redundant(payload_type: u8, before: &[u8], primary: &[u8]) -> Vec<u8> {
    let word = 0x8000_0000 | u32::from(payload_type) << 24 | 960 << 10 | u32::try_from(before.len()).expect("short");
    [&word.to_be_bytes()[..], &[payload_type], before, primary].concat()
}

/// What a receiver got: payload type, number and payload.
type Got = (u8, u16, Vec<u8>);

/// What leaves, by receiver, opened; and as it was on the wire.
fn leave(bed: &mut Bed) -> BTreeMap<u32, Vec<(Got, Vec<u8>)>> {
    let mut got: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (to, bytes) in bed.sent() {
        let Some((number, _, encrypted, _)) = RECEIVERS.into_iter().find(|one| remote(one.0) == to) else { continue };
        if rtcp::parse(&bytes).is_ok() {
            continue;
        }
        let view = RtpView::parse(&bytes).expect("lawful");
        let payload = if encrypted {
            let opener = Opener::new(&srtp(u8::try_from(number).expect("few"))).expect("a lawful key");
            let mut plain = [0; 1_500];
            let index = view.sequence().into();
            let len = opener.open_rtp(view.ssrc(), index, view.header(), view.body(), &mut plain).expect("authentic");
            plain[..len].to_vec()
        } else {
            view.body().to_vec()
        };
        got.entry(number).or_default().push(((view.payload_type(), view.sequence(), payload), bytes.clone()));
    }
    got
}

/// What each receiver is to get of a packet with its number.
fn expected(has_redundancy: bool, sequence: u16, (before, primary): (&[u8], &[u8])) -> Got {
    match has_redundancy {
        true => (RED_THERE, sequence, redundant(OPUS_THERE, before, primary)),
        false => (OPUS_THERE, sequence, primary.to_vec()),
    }
}

#[test]
fn it_goes_to_who_has_it_and_the_primary_block_alone_to_who_has_not() {
    let mut bed = bed();
    for sequence in 1..=3_u16 {
        let (before, primary) = ([7; 30], [u8::try_from(sequence).expect("small"); 41]);
        bed.arrive(path(0), &packet(1_111, RED.0, sequence, &[], &redundant(OPUS.0, &before, &primary)));
        let got = leave(&mut bed);
        for (number, has_redundancy, ..) in RECEIVERS {
            let got: Vec<_> = got[&number].iter().map(|(got, _)| got.clone()).collect();
            assert_eq!(got, [expected(has_redundancy, sequence + 9, (&before, &primary))], "{number}");
        }
    }
    // The sender goes on without redundancy.
    bed.arrive(path(0), &packet(1_111, OPUS.0, 4, &[], b"sound"));
    for got in leave(&mut bed).values() {
        assert_eq!(got[0].0, (OPUS_THERE, 13, b"sound".to_vec()));
    }
    assert_eq!(bed.discarded(), []);
}

#[test]
fn what_is_asked_for_again_comes_as_it_came_first() {
    let mut bed = bed();
    let (before, primary) = (&[7; 30][..], &[8; 41][..]);
    bed.arrive(path(0), &packet(1_111, RED.0, 1, &[], &redundant(OPUS.0, before, primary)));
    let first = leave(&mut bed);
    bed.arrive(path(0), &packet(1_111, RED.0, 2, &[], &redundant(OPUS.0, primary, before)));
    leave(&mut bed);
    for (number, has_redundancy, encrypted, has_rtx) in RECEIVERS {
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out);
        writer.push_receiver_report(9, []);
        writer.push_nack(9, 100 + number, [10]);
        let len = writer.len();
        let asked = if encrypted {
            let key = srtp(u8::try_from(number).expect("few") + 100);
            let mut sealed = [0; 128];
            sealed[..len].copy_from_slice(&out[..len]);
            let len = Sealer::new(&key).expect("a lawful key").seal_rtcp(&mut sealed, len).expect("room");
            sealed[..len].to_vec()
        } else {
            out[..len].to_vec()
        };
        bed.arrive(path(number), &asked);
        let again = leave(&mut bed).remove(&number).unwrap_or_default();
        let [((payload_type, sequence, payload), bytes)] = &again[..] else { panic!("{number}: {again:?}") };
        if has_rtx {
            let (_, original, media) = expected(has_redundancy, 10, (before, primary));
            assert_eq!((*payload_type, *sequence), (RTX_THERE, 1));
            assert_eq!(*payload, [&original.to_be_bytes()[..], &media].concat(), "{number}");
        } else {
            assert_eq!(*bytes, first[&number][0].1, "{number}: to the byte");
        }
    }
    // What is in history is as it was.
    bed.arrive(path(0), &packet(1_111, RED.0, 3, &[], &redundant(OPUS.0, before, primary)));
    assert_eq!(leave(&mut bed)[&1][0].0, expected(true, 12, (before, primary)));
}

#[test]
fn what_does_not_add_up_goes_to_nobody() {
    let mut bed = bed();
    let whole = redundant(OPUS.0, &[7; 30], &[8; 41]);
    let wrong = [
        whole[..35].to_vec(),
        redundant(OPUS.0 + 1, &[7; 30], &[8; 41]),
        redundant(RED.0, &[7; 30], &[8; 41]),
        vec![0xff; 900],
        vec![OPUS.0],
    ];
    for (sequence, payload) in (1..).zip(&wrong) {
        bed.arrive(path(0), &packet(1_111, RED.0, sequence, &[], payload));
        assert!(leave(&mut bed).is_empty(), "{payload:?}");
    }
    assert_eq!(bed.discarded(), [("malformed_red", wrong.len() as u64)]);
    bed.arrive(path(0), &packet(1_111, RED.0, 9, &[], &whole));
    assert_eq!(leave(&mut bed).len(), RECEIVERS.len(), "the next one goes on");
}

/// Payloads that are nearly right: whatever comes, a receiver without redundancy gets the end of a payload, under
/// Opus' payload type, and one with it the payload as it came but for the payload types of its blocks.
#[test]
fn no_payload_is_mistaken_for_another() {
    let mut bed = bed();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let (mut passed, rounds) = (0, 4_000_u16);
    for sequence in 1..=rounds {
        let byte = |draw: &mut dyn FnMut(u64) -> u64| u8::try_from(draw(256)).expect("a byte");
        let before: Vec<u8> = (0..draw(40)).map(|_| byte(&mut draw)).collect();
        let primary: Vec<u8> = (0..draw(40)).map(|_| byte(&mut draw)).collect();
        let mut payload = redundant(OPUS.0, &before, &primary);
        for _ in 0..draw(3) {
            let place = usize::try_from(draw(6)).expect("small").min(payload.len() - 1);
            payload[place] = byte(&mut draw);
        }
        bed.now = bed.now + std::time::Duration::from_millis(20);
        bed.arrive(path(0), &packet(1_111, RED.0, sequence, &[], &payload));
        let got = leave(&mut bed);
        passed += u16::from(!got.is_empty());
        for (number, has_redundancy, ..) in RECEIVERS {
            for ((payload_type, _, out), _) in got.get(&number).into_iter().flatten() {
                if has_redundancy {
                    assert_eq!((*payload_type, out.len()), (RED_THERE, payload.len()));
                    let changed = out.iter().zip(&payload).filter(|(one, other)| one != other);
                    assert!(changed.clone().count() <= 10, "payload types of blocks alone");
                    assert!(changed.clone().all(|(one, other)| one & 0x7f == OPUS_THERE && other & 0x7f == OPUS.0));
                } else {
                    assert_eq!(*payload_type, OPUS_THERE);
                    assert!(!out.is_empty() && payload.ends_with(out) && out.len() < payload.len());
                }
            }
        }
    }
    assert!((500..rounds).contains(&passed), "{passed} of {rounds} passed");
}
