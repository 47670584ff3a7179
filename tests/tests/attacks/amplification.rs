//! Traffic for one who has not asked for it: S15. The owner of a session writes the victim's address into his checks
//! and, as far as he can, into what belongs to a handshake. Nothing that the victim gets can be answered from there.

use std::net::SocketAddr;
use std::time::Duration;

use corecast_core::stun::Class;
use corecast_tests::bare::{BarePeer, certificate, fingerprint, message};
use corecast_tests::webrtc::Bench;
use corecast_wire::{DtlsState, DtlsVersions, IceState, RouterId};

use crate::pair::Pair;
use crate::stranger;

const VERSIONS: [DtlsVersions; 3] = [DtlsVersions::V12, DtlsVersions::V13, DtlsVersions::Both];
/// Bytes of a picture's packet.
const PACKET_BYTES: usize = 1_000;

/// A check for a transport of the bench.
fn check_of(number: u8, nominate: bool) -> Vec<u8> {
    let ice = Bench::ice_of(number);
    message(Class::Request, &ice.username_fragment, &ice.password, nominate)
}

/// What has been sent to the victim since the last time, without the answers to checks.
#[derive(Debug, Default)]
struct Victim {
    brought: usize,
    got: usize,
}

impl Victim {
    fn at() -> SocketAddr {
        stranger(7)
    }

    /// A datagram with the victim's address as its source.
    fn inject(&mut self, bench: &mut Bench, datagram: &[u8]) {
        self.brought += datagram.len();
        bench.inject(Self::at(), datagram);
        self.count(bench);
    }

    fn count(&mut self, bench: &mut Bench) {
        for (_, datagram) in bench.astray.extract_if(.., |(to, _)| *to == Self::at()) {
            let is_answer = datagram[0] < 4;
            assert!(!is_answer || datagram.len() <= self.brought, "an answer that is longer than its check");
            self.got += if is_answer { 0 } else { datagram.len() };
        }
        assert!(self.got <= 3 * self.brought, "{self:?}");
    }
}

/// Half a minute of media, ten packets a second, with checks of the viewer's from the victim. Answers how much of it
/// came where the viewer is.
fn half_a_minute(pair: &mut Pair, victim: &mut Victim, first: u64, says: impl Fn(&mut Pair)) -> usize {
    let mut came = 0;
    for index in first..first + 300 {
        let packet = pair.media(index, &[0x10; PACKET_BYTES]);
        pair.publish(&packet);
        pair.bench.skip(Duration::from_millis(100));
        if index % 25 == 0 {
            victim.inject(&mut pair.bench, &check_of(2, true));
            pair.publisher.check(&mut pair.bench);
            says(pair);
        }
        victim.count(&mut pair.bench);
        came += pair.watched().len();
        let _ = pair.publisher.arrived(&mut pair.bench);
    }
    came
}

/// One check brought 2 MB within 30 s, and each further one as much again.
#[test]
fn s15_checks_from_elsewhere_do_not_bring_media_there() {
    let mut pair = Pair::new(true);
    let mut victim = Victim::default();
    let here = pair.viewer.peer.address;
    let came = half_a_minute(&mut pair, &mut victim, 0, |pair| pair.bench.inject(here, &check_of(2, false)));
    assert!(came >= 300, "the viewer keeps his media: {came}");
    let state = pair.bench.state_of(2);
    assert_eq!((state.0, state.1), (IceState::Completed, DtlsState::Connected));
    // Without a word from where he is, nothing goes anywhere after 30 s more.
    half_a_minute(&mut pair, &mut victim, 300, |_| {});
    let came = half_a_minute(&mut pair, &mut victim, 600, |_| {});
    assert!(came <= 20, "{came} packets for an address that has been silent");
    assert!(victim.got <= 3 * victim.brought && victim.brought < 10_000, "{victim:?}");
}

/// The viewer has moved and says so by a report: media goes there.
#[test]
fn s15_a_report_from_elsewhere_brings_media_there() {
    let mut pair = Pair::new(true);
    pair.publish(&pair.media(0, &[0x10; PACKET_BYTES]));
    assert_eq!(pair.watched().len(), 1);
    let before = pair.viewer.peer.address;
    pair.viewer.peer.address = stranger(8);
    pair.viewer.peer.check(&mut pair.bench);
    pair.publish(&pair.media(1, &[0x10; PACKET_BYTES]));
    assert_eq!(pair.watched().len(), 0, "the path is not proven yet");
    assert!(pair.bench.astray.iter().any(|(to, datagram)| *to == before && datagram.len() > PACKET_BYTES));
    let report = pair.viewer.peer.rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9]);
    pair.bench.inject(stranger(8), &report);
    pair.publish(&pair.media(2, &[0x10; PACKET_BYTES]));
    let came = pair.watched();
    assert_eq!(came.iter().map(|(_, sequence, _)| *sequence).collect::<Vec<_>>(), [9]);
}

/// A hello brought fourteen times its bytes.
#[test]
fn s15_a_handshake_from_elsewhere_brings_no_more_than_three_times_its_bytes() {
    for versions in VERSIONS {
        for client in [true, false] {
            let mut bench = Bench::new(versions);
            let own = certificate();
            bench.create_transport(RouterId(1), 1);
            bench.connect(1, client, vec![fingerprint(&own)]);
            let mut peer = BarePeer::new(&bench, 1, client, versions, own);
            let mut victim = Victim::default();
            let long_hello = versions == DtlsVersions::V13 && !client;
            for _ in 0..if long_hello { 5 } else { 1 } {
                victim.inject(&mut bench, &check_of(1, true));
            }
            for hello in peer.speak(&bench) {
                victim.inject(&mut bench, &hello);
            }
            assert!(victim.got > 0, "{versions:?}, {client}");
            for _ in 0..120 {
                bench.skip(Duration::from_millis(100));
                victim.count(&mut bench);
            }
        }
    }
}

/// If nothing is lost, one check pays for all that a handshake takes, but where we begin in 1.3.
#[test]
fn s15_an_honest_handshake_is_not_held_up() {
    for versions in VERSIONS {
        for client in [true, false] {
            let mut bench = Bench::new(versions);
            let own = certificate();
            bench.create_transport(RouterId(1), 1);
            bench.connect(1, client, vec![fingerprint(&own)]);
            let mut peer = BarePeer::new(&bench, 1, client, versions, own);
            peer.check(&mut bench);
            peer.handshake(&mut bench);
            assert_eq!(bench.state_of(1).1, DtlsState::Connected, "{versions:?}, client {client}, at once");
        }
    }
}
