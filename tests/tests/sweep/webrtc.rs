//! F0 on the endpoint that WebRTC transports share: every first two bytes, at every length at which something is
//! decided, from a stranger, on a validated path without keys, in a handshake, and with keys, sealed and not. No panic,
//! the class that RFC 7983 (as updated by RFC 9443) gives, and each datagram is counted once.

use std::net::SocketAddr;

use corecast_core::rtp::RtpView;
use corecast_tests::bare::{BarePeer, certificate, fingerprint};
use corecast_tests::webrtc::{Bench, address};
use corecast_wire::{
    Codec, CodecMapping, Command, Discard, Discards, DtlsState, DtlsVersions, EncodingMapping, IceState, MediaKind,
    ProduceOptions, ProducerId, RouterId, TransportId,
};

const LENGTHS: [usize; 22] =
    [0, 1, 2, 7, 8, 11, 12, 13, 14, 19, 20, 21, 27, 28, 29, 43, 44, 64, 1_200, 1_500, 1_501, 1_529];

/// RFC 7983 section 7 and RFC 5761 section 4, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Stun,
    Dtls,
    Media,
    /// ZRTP and TURN channels.
    Refused,
    Unknown,
}

fn class(first: u8, second: u8, len: usize) -> Class {
    let rtcp = (192..=223).contains(&second);
    match first {
        _ if len == 0 => Class::Unknown,
        0..=3 if len >= 20 => Class::Stun,
        16..=19 | 64..=79 => Class::Refused,
        20..=63 if len >= 13 => Class::Dtls,
        128..=191 if len >= 2 && len >= if rtcp { 8 } else { 12 } => Class::Media,
        _ => Class::Unknown,
    }
}

/// A datagram of SSRC 42 or from it, whose length field says what is there.
fn datagram([first, second]: [u8; 2], sequence: u16, len: usize, bytes: &mut [u8]) {
    let words = u16::try_from(len / 4).unwrap_or(1).saturating_sub(1).to_be_bytes();
    let rtcp = (192..=223).contains(&second);
    let middle = if rtcp { words } else { sequence.to_be_bytes() };
    let after = if rtcp { 42 } else { 1_u32 };
    let head = [&[first, second], &middle[..], &after.to_be_bytes(), &42_u32.to_be_bytes()].concat();
    bytes[..head.len()].copy_from_slice(&head);
}

fn discards(bench: &Bench) -> Discards {
    bench.worker.totals().discards
}

/// Plays everything from an address. `expected` says under what a datagram of a class is counted; `None` for those that
/// are DTLS's own business, and are counted nowhere.
fn sweep(bench: &mut Bench, from: SocketAddr, expected: fn(Class) -> Option<&'static [Discard]>) {
    let mut bytes = vec![0x5A; 2_048];
    for first in 0..=255 {
        for second in 0..=255 {
            let before = discards(bench);
            let mut classes = [Class::Unknown; LENGTHS.len()];
            for (len, class_of) in LENGTHS.into_iter().zip(&mut classes) {
                datagram([first, second], 1, len, &mut bytes);
                *class_of = class(first, second, len);
                bench.inject(from, &bytes[..len]);
            }
            let after = discards(bench);
            let counted = classes.iter().filter(|class| expected(**class).is_some()).count() as u64;
            assert_eq!(after.total() - before.total(), counted, "first bytes {first} {second}");
            for class in [Class::Stun, Class::Dtls, Class::Media, Class::Refused, Class::Unknown] {
                let Some(why) = expected(class) else { continue };
                // Those of other classes may be counted so as well.
                let may = |other: &&Class| expected(**other).is_some_and(|other| other[0] == why[0]);
                let most = classes.iter().filter(may).count() as u64;
                let found: u64 = why.iter().map(|why| after.get(*why) - before.get(*why)).sum();
                assert_eq!(found, most, "{class:?} of {first} {second}");
            }
        }
    }
}

fn join(bench: &mut Bench) -> BarePeer {
    let peer = BarePeer::join(bench, RouterId(1), 1);
    let codecs =
        vec![CodecMapping { payload_type: 96, mapped_payload_type: 100, codec: Codec::Vp8, clock_rate_hz: 90_000 }];
    let options = ProduceOptions::new(MediaKind::Video, codecs, vec![EncodingMapping::announced(42)]);
    bench.must(&Command::Produce { transport: TransportId(1), producer: ProducerId(1), options });
    peer
}

fn still_connected(bench: &Bench) {
    let (ice, dtls, cause) = bench.state_of(1);
    assert_eq!((ice, dtls), (IceState::Completed, DtlsState::Connected), "{cause}");
    assert!(bench.astray.iter().all(|(to, _)| *to == address(11, 6_000)), "sent to a stranger");
}

#[test]
fn from_a_stranger() {
    let mut bench = Bench::new(DtlsVersions::V12);
    join(&mut bench);
    sweep(&mut bench, address(200, 1), |class| {
        Some(match class {
            Class::Stun => &[Discard::MalformedStun],
            Class::Dtls | Class::Media => &[Discard::UnvalidatedPath],
            Class::Refused => &[Discard::UnexpectedProtocol],
            Class::Unknown => &[Discard::UnknownProtocol],
        })
    });
    still_connected(&bench);
}

#[test]
fn on_a_validated_path_without_keys() {
    let mut bench = Bench::new(DtlsVersions::V12);
    bench.create_transport(RouterId(1), 1);
    let mut peer = BarePeer::new(&bench, 1, true, DtlsVersions::V12, certificate());
    peer.check(&mut bench);
    sweep(&mut bench, peer.address, |class| {
        Some(match class {
            Class::Stun => &[Discard::MalformedStun],
            Class::Dtls => &[Discard::UnexpectedDtls],
            Class::Media => &[Discard::NoKey],
            Class::Refused => &[Discard::UnexpectedProtocol],
            Class::Unknown => &[Discard::UnknownProtocol],
        })
    });
    assert_eq!(bench.state_of(1).1, DtlsState::New);
}

#[test]
fn in_a_handshake() {
    for versions in [DtlsVersions::V12, DtlsVersions::V13] {
        let mut bench = Bench::new(versions);
        let own = certificate();
        bench.create_transport(RouterId(1), 1);
        bench.connect(1, true, vec![fingerprint(&own)]);
        let mut peer = BarePeer::new(&bench, 1, true, versions, own);
        peer.check(&mut bench);
        for hello in peer.speak(&bench) {
            bench.inject(peer.address, &hello);
        }
        assert_eq!(bench.state_of(1).1, DtlsState::Connecting);
        sweep(&mut bench, peer.address, |class| match class {
            Class::Stun => Some(&[Discard::MalformedStun]),
            Class::Dtls => None,
            Class::Media => Some(&[Discard::NoKey]),
            Class::Refused => Some(&[Discard::UnexpectedProtocol]),
            Class::Unknown => Some(&[Discard::UnknownProtocol]),
        });
        peer.handshake(&mut bench);
        still_connected(&bench);
    }
}

#[test]
fn with_keys_and_not_sealed() {
    for versions in [DtlsVersions::V12, DtlsVersions::V13] {
        let mut bench = Bench::new(versions);
        let own = certificate();
        bench.create_transport(RouterId(1), 1);
        bench.connect(1, true, vec![fingerprint(&own)]);
        let mut peer = BarePeer::new(&bench, 1, true, versions, own);
        peer.check(&mut bench);
        peer.handshake(&mut bench);
        let history = bench.worker.totals().history_bytes;
        sweep(&mut bench, peer.address, |class| match class {
            Class::Stun => Some(&[Discard::MalformedStun]),
            Class::Dtls => None,
            Class::Media => Some(&[
                Discard::UnknownSsrc,
                Discard::MalformedRtp,
                Discard::AuthenticationFailed,
                Discard::TooShort,
                Discard::TooLong,
            ]),
            Class::Refused => Some(&[Discard::UnexpectedProtocol]),
            Class::Unknown => Some(&[Discard::UnknownProtocol]),
        });
        assert_eq!(bench.worker.totals().history_bytes, history, "nothing was kept");
        still_connected(&bench);
    }
}

/// With tags that are right, of whatever they protect: everything behind authentication is reached, and every packet is
/// either taken in or counted.
#[test]
fn with_keys_and_sealed() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let mut peer = join(&mut bench);
    let (mut bytes, mut index, mut taken) = (vec![0x5A; 2_048], 0_u64, 0);
    for first in 128..=191 {
        for second in 0..=255 {
            for len in [12, 13, 16, 20, 28, 33, 64] {
                index += 1;
                let [.., high, low] = index.to_be_bytes();
                datagram([first, second], u16::from_be_bytes([high, low]), len, &mut bytes);
                let plain = &bytes[..len];
                let before = discards(&bench);
                let sealed = if (192..=223).contains(&second) {
                    peer.rtcp(plain)
                } else if let Ok(view) = RtpView::parse(plain) {
                    peer.seal(view.header(), index, view.body())
                } else {
                    plain.to_vec()
                };
                bench.inject(peer.address, &sealed);
                let after = discards(&bench);
                // Feedback counts each stream of which nobody knows anything; that is another matter.
                let feedback = after.get(Discard::UnknownFeedback) - before.get(Discard::UnknownFeedback);
                let counted = after.total() - before.total() - feedback.saturating_sub(1);
                assert!(counted <= 1, "first bytes {first} {second}, length {len}: counted {counted} times");
                taken += 1 - counted;
                for never in [Discard::UnknownProtocol, Discard::UnexpectedProtocol, Discard::AuthenticationFailed] {
                    assert_eq!(after.get(never), before.get(never), "first bytes {first} {second}, length {len}");
                }
            }
        }
        bench.skip(std::time::Duration::ZERO);
    }
    assert!(taken > 1_000, "{taken} taken in");
    still_connected(&bench);
}
