//! Every first two bytes, at every length at which a parser decides, through the real receive path with keys: no panic,
//! and the class that RFC 7983 (as updated by RFC 9443) gives.

mod webrtc;

use corecast_tests::fuzz::stage::{Stage, path, video_ssrc};
use corecast_wire::Discard;

/// 0 to 64, then around the longest that is taken and the longest that there is.
fn lengths() -> Vec<usize> {
    (0..=64)
        .chain([127, 128, 255, 256, 1_199, 1_200, 1_499, 1_500, 1_501, 1_512, 1_513, 1_528, 1_529, 65_507])
        .collect()
}

/// A datagram of a known SSRC. Its RTCP length field says what is there, so that parsing goes on behind the header.
fn datagram(transport: u8, [first, second]: [u8; 2], sequence: u16, len: usize, bytes: &mut [u8]) {
    let ssrc = video_ssrc(transport).to_be_bytes();
    let words = u16::try_from(len / 4).unwrap_or(1).saturating_sub(1).to_be_bytes();
    let rtcp = (192..=223).contains(&second);
    let middle = if rtcp { words } else { sequence.to_be_bytes() };
    let after = if rtcp { ssrc } else { [0, 0, 0, 1] };
    let head = [&[first, second], &middle[..], &after, &ssrc].concat();
    bytes[..head.len()].copy_from_slice(&head);
}

/// Discards of each class that RFC 7983 leaves no choice about: (unknown, unexpected).
fn classes(stage: &Stage) -> (u64, u64) {
    let discards = stage.totals().discards;
    (discards.get(Discard::UnknownProtocol), discards.get(Discard::UnexpectedProtocol))
}

fn expected(first: u8, second: u8, len: usize) -> (u64, u64) {
    let rtcp = (192..=223).contains(&second);
    match (first, len) {
        (_, 0) => (1, 0),
        // The second byte is not there.
        (128..=191, 1) => (1, 0),
        (128..=191, _) if len >= if rtcp { 8 } else { 12 } => (0, 0),
        (0..=3, 20..) | (20..=63, 13..) | (16..=19 | 64..=79, _) => (0, 1),
        _ => (1, 0),
    }
}

fn sweep(transport: u8) {
    let mut bytes = vec![0x5A; 65_507];
    let lengths = lengths();
    for first in 0..=255 {
        let mut stage = Stage::new();
        let (mut unknown, mut unexpected) = (0, 0);
        for second in 0..=255 {
            for &len in &lengths {
                datagram(transport, [first, second], 1, len, &mut bytes);
                stage.receive(path(transport, false), &bytes[..len]);
                let (more_unknown, more_unexpected) = expected(first, second, len);
                (unknown, unexpected) = (unknown + more_unknown, unexpected + more_unexpected);
            }
        }
        stage.settle();
        stage.check();
        assert_eq!(classes(&stage), (unknown, unexpected), "first byte {first}");
    }
}

#[test]
fn plain() {
    sweep(0);
}

#[test]
fn srtp_gcm_unsealed() {
    sweep(2);
}

#[test]
fn srtp_cm_unsealed() {
    sweep(6);
}

/// RTP and RTCP that the right key has sealed: everything behind authentication is reached.
#[test]
fn sealed() {
    let mut bytes = vec![0; 2_000];
    for transport in [0, 2, 6] {
        for first in 128..=191 {
            let (mut stage, mut sequence) = (Stage::new(), 0);
            for second in 0..=255 {
                for len in (12..=64).step_by(1 + usize::from(second % 3)) {
                    sequence += 1;
                    datagram(transport, [first, second], sequence, len, &mut bytes);
                    stage.receive_sealed(transport, &bytes[..len]);
                }
            }
            stage.settle();
            stage.check();
            let (taken_in, padding_or_cut_off) = (stage.taken_in(), first & 0x3F != 0);
            assert!(
                taken_in > 60 || padding_or_cut_off,
                "transport {transport}, first byte {first}: {taken_in} taken in"
            );
        }
    }
}
