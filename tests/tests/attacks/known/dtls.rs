//! What other servers did wrong around keys and addresses: one test, one case each.

use std::time::Duration;

use corecast_core::stun::Class;
use corecast_tests::bare::{BarePeer, certificate, fingerprint, message};
use corecast_tests::webrtc::{Bench, address};
use corecast_wire::{Command, Discard, DtlsState, DtlsVersions, IceState, RouterId, TransportId};

use crate::pair::{Pair, ROOM};
use crate::stranger;

/// Tests of this file.
pub(super) const CASES: usize = 8;

/// SIPSorcery #1559, SRS #4722, libpeer #274: DTLS began before ICE had validated a path.
#[test]
fn f5_dtls_before_a_check_is_not_answered() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let own = certificate();
    bench.create_transport(ROOM, 1);
    bench.connect(1, true, vec![fingerprint(&own)]);
    let mut peer = BarePeer::new(&bench, 1, true, DtlsVersions::V12, own);
    for hello in peer.speak(&bench) {
        bench.inject(peer.address, &hello);
    }
    assert_eq!(bench.worker.totals().discards.get(Discard::UnvalidatedPath), 1);
    assert_eq!(bench.astray, Vec::new());
    assert_eq!(bench.state_of(1).1, DtlsState::New);
}

/// SRS #4722, metaRTC #113, CVE-2025-53399 (RTP Bleed): media went to where the first RTP or the first STUN came from.
#[test]
fn f5_media_does_not_follow_the_first_packet() {
    let mut pair = Pair::new(true);
    let ice = Bench::ice_of(2);
    let unsigned = message(Class::Request, &ice.username_fragment, "an invented password....", true);
    let not_nominating = message(Class::Request, &ice.username_fragment, &ice.password, false);
    for datagram in [&unsigned, &not_nominating, &pair.media(1, &[0x10, 0, 1]), &vec![0x80; 60]] {
        pair.bench.inject(stranger(1), datagram);
    }
    pair.bench.astray.clear();
    for index in 2..20 {
        pair.publish(&pair.media(index, &[0x10, 0, 1]));
    }
    assert_eq!(pair.watched().len(), 18);
    assert_eq!(pair.bench.astray, Vec::new());
}

/// libpeer #274: what SRTP refused was passed on.
#[test]
fn f5_what_srtp_refuses_is_not_passed_on() {
    let mut pair = Pair::new(true);
    for index in 0..20 {
        let packet = pair.media(index, &[0x10, 0, 1]);
        for at in 0..packet.len() {
            let mut forged = packet.clone();
            forged[at] ^= 1;
            pair.publish(&forged);
        }
        assert!(pair.watched().is_empty());
        pair.publish(&packet);
        assert_eq!(pair.watched().len(), 1);
    }
}

/// webrtc-srtp 0.17 and mediasoup: every forged SSRC left a state behind.
#[test]
fn f5_forged_ssrcs_leave_nothing_behind() {
    let mut pair = Pair::new(true);
    let history = pair.bench.worker.totals().history_bytes;
    for ssrc in 0..20_000_u32 {
        let ssrc = ssrc.wrapping_mul(0x9E37_79B9).to_be_bytes();
        pair.publish(&[&[0x80, 96, 0, 1, 0, 0, 0, 1], &ssrc[..], &[7; 40]].concat());
        pair.publish(&[&[0x80, 201, 0, 1], &ssrc[..], &[0xFF; 40]].concat());
    }
    assert_eq!(pair.bench.worker.totals().discards.total(), 40_000);
    assert_eq!(pair.bench.worker.totals().history_bytes, history);
    // The machine takes RTCP of 64 senders: had the forged ones counted there would be no place for a true one.
    let report = pair.publisher.rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 42]);
    pair.publish(&report);
    assert_eq!(pair.bench.worker.totals().discards.total(), 40_000);
}

/// mediasoup: a crash on renomination, and on a consent that timed out while the transport closed.
#[test]
fn f5_renomination_and_consent_of_a_closed_transport() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let mut peer = BarePeer::join(&mut bench, RouterId(1), 1);
    let ice = Bench::ice_of(1);
    for port in 1..=20 {
        let check = message(Class::Request, &ice.username_fragment, &ice.password, true);
        bench.inject(stranger(port), &check);
        peer.check(&mut bench);
    }
    assert_eq!(bench.state_of(1).0, IceState::Completed);
    bench.skip(Duration::from_secs(29));
    bench.must(&Command::CloseTransport { transport: TransportId(1) });
    bench.create_transport(RouterId(1), 1);
    bench.skip(Duration::from_secs(60));
    assert_eq!(bench.worker.totals().transports, 1);
    peer.check(&mut bench);
    assert_eq!(bench.state_of(1).0, IceState::Completed, "the new transport is not the old one's");
}

/// libwebrtc keeps a test in which feedback is 300 s late.
#[test]
fn f5_feedback_that_is_300_s_late() {
    let mut pair = Pair::new(true);
    for index in 0..600 {
        pair.publish(&pair.media(index, &[0x10, 0, 1]));
    }
    assert_eq!(pair.watched().len(), 600);
    for _ in 0..15 {
        pair.bench.skip(Duration::from_secs(20));
        pair.publisher.check(&mut pair.bench);
        pair.viewer.peer.check(&mut pair.bench);
    }
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0x10, 0x92, 0, 8, 0xFF, 0xFF];
    let cc = [0x8F, 205, 0, 5, 0, 0, 0, 9, 0, 0, 0x10, 0x92, 0, 0, 0, 7, 0, 0, 1, 0, 0x20, 7, 1, 1];
    let report = [&[0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0x10, 0x92][..], &[0xFF; 20]].concat();
    for compound in [&nack[..], &cc, &report] {
        let (packet, from) = (pair.viewer.peer.rtcp(compound), pair.viewer.peer.address);
        pair.bench.inject(from, &packet);
    }
    pair.publish(&pair.media(600, &[0x10, 0, 1]));
    assert!(!pair.watched().is_empty());
}

/// CVE-2026-26014 (Pion): explicit nonces of GCM that are drawn at random come twice, in time. dimpl draws its own at
/// random, too. But here a key protects few records: a Finished, the same Finished again for a peer that repeats its
/// last flight (ever more seldom), and a goodbye.
#[test]
fn f5_a_dtls_key_protects_few_records() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let mut peer = BarePeer::join(&mut bench, RouterId(1), 1);
    let flights = peer.sent.clone();
    for _ in 0..200 {
        flights.iter().for_each(|flight| bench.inject(peer.address, flight));
        bench.skip(Duration::from_millis(100));
    }
    bench.must(&Command::CloseTransport { transport: TransportId(1) });
    let _ = peer.arrived(&mut bench);
    let mut nonces = peer.heard_nonces.clone();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(peer.heard_nonces.len(), nonces.len(), "a nonce came twice");
    assert!((2..=16).contains(&nonces.len()), "{} records", nonces.len());
}

/// rtpengine, Asterisk, FreeSWITCH (CVE-2023-51275): a hello from anywhere reset the DTLS context of a new call, which
/// then had no sound.
#[test]
fn f5_a_hello_from_anywhere_does_not_reset_a_new_call() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let own = certificate();
    bench.create_transport(ROOM, 1);
    bench.connect(1, true, vec![fingerprint(&own)]);
    let mut peer = BarePeer::new(&bench, 1, true, DtlsVersions::V12, own);
    let mut other = BarePeer::new(&bench, 2, true, DtlsVersions::V12, certificate());
    let hello = other.speak(&bench).remove(0);
    peer.check(&mut bench);
    for _ in 0..8 {
        for port in 1..50 {
            bench.inject(address(200, port), &hello);
        }
        for datagram in peer.speak(&bench) {
            bench.inject(peer.address, &datagram);
        }
        for datagram in peer.arrived(&mut bench) {
            peer.hear(&bench, &datagram);
        }
    }
    assert_eq!(bench.state_of(1).1, DtlsState::Connected);
    assert_eq!(bench.astray, Vec::new());
}
