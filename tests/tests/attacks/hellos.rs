//! DTLS hellos and records: S5 and S6.

use std::time::Duration;

use corecast_core::stun::Class;
use corecast_tests::bare::{BarePeer, certificate, fingerprint, message};
use corecast_tests::webrtc::{Bench, SET_UP};
use corecast_wire::{Discard, DtlsState, DtlsVersions, Fingerprint, FingerprintAlgorithm, RouterId};
use str0m::config::DtlsVersion;

use crate::{Call, Random, stranger};

#[test]
fn s5_hellos_from_unvalidated_paths_get_no_answer() {
    let mut call = Call::new();
    let hello = call.bench.peers[0].sent.iter().find(|sent| sent.first() == Some(&22)).expect("a hello").clone();
    let mut bad_version = hello.clone();
    bad_version[25..27].fill(0x77);
    for port in 1..=500 {
        call.bench.inject(stranger(port), &hello);
        call.bench.inject(stranger(port), &bad_version);
    }
    assert_eq!(call.discarded(Discard::UnvalidatedPath), 1_000);
    call.media_goes_on();
}

#[test]
fn s6_forged_alerts_and_records_do_not_end_a_call() {
    let mut call = Call::new();
    let from = call.bench.peers[0].address;
    let fatal = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    let close = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 98, 0, 2, 1, 0];
    let mut random = Random(6);
    for _ in 0..1_000 {
        call.bench.inject(from, &fatal);
        call.bench.inject(from, &close);
        let mut record: Vec<u8> = (0..60).map(|_| random.byte()).collect();
        let kind = [20, 21, 22, 23][random.below(4)];
        record[..13].copy_from_slice(&[kind, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 1, random.byte(), 0, 47]);
        call.bench.inject(from, &record);
    }
    call.media_goes_on();
}

/// The library was given room for as much as we send ourselves, and asked again for ever about a record that did not
/// fit.
#[test]
fn s6_application_data_of_any_length_does_not_hold_up_the_worker() {
    let mut call = Call::new();
    for (number, version) in [(3, DtlsVersions::V12), (4, DtlsVersions::V13)] {
        let (mut bench, own) = (Bench::new(version), certificate());
        bench.create_transport(RouterId(1), number);
        bench.connect(number, true, vec![fingerprint(&own)]);
        let mut peer = BarePeer::new(&bench, number, true, version, own);
        peer.check(&mut bench);
        peer.handshake(&mut bench);
        assert_eq!(bench.state_of(number.into()).1, DtlsState::Connected);
        for len in [1, 1_150, 1_151, 1_191, 1_400, 1_450, 1_463] {
            for datagram in peer.protect(&bench, &vec![7; len]) {
                bench.inject(peer.address, &datagram);
            }
            assert_eq!(bench.state_of(number.into()).1, DtlsState::Connected, "{len}");
        }
    }
    call.media_goes_on();
}

/// A ClientHello of DTLS 1.2 (RFC 6347 section 4.2.2) in a record of its own.
fn hello(version: [u8; 2], suites: &[u16], extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = [&version[..], &[0x55; 32], &[0, 0]].concat();
    body.extend(length(2 * suites.len()));
    suites.iter().for_each(|suite| body.extend(suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut block = Vec::new();
    for (kind, data) in extensions {
        block.extend(kind.to_be_bytes());
        block.extend(length(data.len()));
        block.extend(*data);
    }
    body.extend(length(block.len()));
    body.extend(block);
    let [high, low] = length(body.len());
    record([0xFE, 0xFD], 0, &[&[1, 0, high, low, 0, 0, 0, 0, 0, 0, high, low], &body[..]].concat())
}

fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("short").to_be_bytes()
}

/// A handshake record of epoch 0.
fn record(version: [u8; 2], sequence: u8, body: &[u8]) -> Vec<u8> {
    [&[22, version[0], version[1], 0, 0, 0, 0, 0, 0, 0, sequence], &length(body.len())[..], body].concat()
}

/// secp256r1; ecdsa_secp256r1_sha256; AEAD_AES_128_GCM; extended master secret; uncompressed points; no renegotiation.
const EXTENSIONS: [(u16, &[u8]); 6] =
    [(10, &[0, 2, 0, 23]), (13, &[0, 2, 4, 3]), (14, &[0, 2, 0, 7, 0]), (23, &[]), (11, &[1, 0]), (0xFF01, &[0])];
/// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.
const GOOD_SUITE: u16 = 0xC02B;

/// Hellos that cannot lead to anything, each with its name.
fn bad_hellos() -> Vec<(&'static str, Vec<u8>)> {
    let good = || hello([0xFE, 0xFD], &[GOOD_SUITE], &EXTENSIONS);
    let changed = |at: usize, bytes: &[u8]| {
        let mut hello = good();
        hello[at..at + bytes.len()].copy_from_slice(bytes);
        hello
    };
    let mut all = vec![
        ("NULL suites (CVE-2023-51275)", hello([0xFE, 0xFD], &[0x0000, 0x0001, 0x0002, 0xC006], &EXTENSIONS)),
        ("no suite in common", hello([0xFE, 0xFD], &[0x002F, 0x0035, 0x009C, 0x000A], &EXTENSIONS)),
        ("no suites", hello([0xFE, 0xFD], &[], &EXTENSIONS)),
        ("suites that nobody knows", hello([0xFE, 0xFD], &[0x5A5A; 60], &EXTENSIONS)),
        ("no extensions", hello([0xFE, 0xFD], &[0x002F], &[])),
        ("DTLS 1.0", hello([0xFE, 0xFF], &[0x002F], &EXTENSIONS)),
        ("TLS 1.2", hello([3, 3], &[0x002F], &EXTENSIONS)),
        ("a version that does not exist", hello([0x77, 0x77], &[0x002F], &EXTENSIONS)),
        ("a curve that nobody has", hello([0xFE, 0xFD], &[0xC02B], &[(10, &[0, 2, 0, 1]), (13, &[0, 2, 4, 3])])),
        ("an extension twice", hello([0xFE, 0xFD], &[0x002F], &[EXTENSIONS[0], EXTENSIONS[0]])),
        ("an extension beyond its block", changed(good().len() - 3, &[0xFF, 0xFF])),
        ("a record beyond the datagram", changed(11, &[0x40, 0])),
        ("a record of no bytes", record([0xFE, 0xFD], 0, &[])),
        ("a message beyond its record", changed(14, &[0xFF, 0xFF, 0xFF])),
        ("a fragment beyond its message", changed(19, &[0, 0xFF, 0xFF])),
        ("a fragment of no bytes (CVE-2022-29190)", record([0xFE, 0xFD], 0, &[1, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a message of no bytes", record([0xFE, 0xFD], 0, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a message that is no hello", changed(13, &[20])),
        ("a message far ahead", changed(17, &[0x7F, 0xFF])),
        ("a fatal alert", vec![21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]),
        ("a goodbye", vec![21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 1, 0]),
        ("change of cipher", vec![20, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 1]),
        ("application data", vec![23, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 6, 0, 3, 1, 2, 3]),
        ("a record of the next epoch", vec![22, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 5, 0, 3, 1, 2, 3]),
    ];
    let mut random = Random(5);
    for len in [13, 14, 25, 26, 40, 60, 90, good().len() - 1] {
        let mut garbage = good();
        garbage[13..].iter_mut().for_each(|byte| *byte = random.byte());
        all.push(("garbage", garbage[..len].to_vec()));
        all.push(("cut off", good()[..len].to_vec()));
    }
    all
}

const VERSIONS: [(DtlsVersions, DtlsVersion); 3] = [
    (DtlsVersions::V12, DtlsVersion::Dtls12),
    (DtlsVersions::V13, DtlsVersion::Dtls13),
    (DtlsVersions::Both, DtlsVersion::Auto),
];

/// Each bad hello, then all of them, on the validated path of a transport that waits for its first: the honest one
/// that follows connects.
#[test]
fn s5_bad_hellos_on_the_validated_path_do_not_keep_the_honest_one_out() {
    let mut kept_out = Vec::new();
    for (versions, theirs) in VERSIONS {
        let hellos = bad_hellos();
        let single = hellos.iter().map(|one| (one.0, std::slice::from_ref(one), 3));
        for (name, hellos, times) in single.chain([("all of them", &hellos[..], 2)]) {
            let mut bench = Bench::new(versions);
            let own = bench.join_unconnected(1, true, theirs);
            bench.connect(1, true, vec![Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: own }]);
            let at = bench.peers[0].address;
            let ice = Bench::ice_of(1);
            bench.inject(at, &message(Class::Request, &ice.username_fragment, &ice.password, false));
            for _ in 0..times {
                hellos.iter().for_each(|(_, hello)| bench.inject(at, hello));
            }
            bench.run(Duration::from_secs(3));
            if bench.state_of(1).1 != DtlsState::Connected {
                kept_out.push(format!("{versions:?}, {name}: {}", bench.state_of(1).2));
            }
        }
    }
    assert_eq!(kept_out, Vec::<String>::new());
}

/// The same in the middle of the handshake: behind every datagram that the honest one sends.
#[test]
fn s5_bad_records_between_the_flights_do_not_end_a_handshake() {
    let mut ended = Vec::new();
    for (versions, _) in VERSIONS {
        for (name, bad) in bad_hellos() {
            let mut bench = Bench::new(versions);
            let certificate = certificate();
            bench.create_transport(RouterId(1), 1);
            bench.connect(1, true, vec![fingerprint(&certificate)]);
            let mut peer = BarePeer::new(&bench, 1, true, versions, certificate);
            peer.check(&mut bench);
            for _ in 0..6 {
                for datagram in peer.speak(&bench) {
                    bench.inject(peer.address, &datagram);
                    bench.inject(peer.address, &bad);
                }
                for datagram in peer.arrived(&mut bench) {
                    peer.hear(&bench, &datagram);
                }
            }
            if bench.state_of(1).1 != DtlsState::Connected {
                ended.push(format!("{versions:?}, {name}: {}", bench.state_of(1).2));
            }
        }
    }
    assert_eq!(ended, Vec::<String>::new());
}

/// On a live association of either version and role: none of them ends it, however many and with whatever numbers.
#[test]
fn s5_hellos_of_epoch_0_do_not_end_a_live_association() {
    for (versions, theirs) in VERSIONS {
        for client in [true, false] {
            let mut bench = Bench::new(versions);
            bench.join(1, client, theirs);
            bench.join(2, client, theirs);
            bench.publish_and_watch();
            bench.run(SET_UP);
            let mut hellos: Vec<_> = bad_hellos().into_iter().map(|(_, hello)| hello).collect();
            hellos.push(hello([0xFE, 0xFD], &[GOOD_SUITE], &EXTENSIONS));
            let handshake = |sent: &&Vec<u8>| (20..64).contains(&sent[0]);
            hellos.extend(bench.peers[0].sent.iter().filter(handshake).cloned());
            for number in [1, 2] {
                let at = bench.peers[number - 1].address;
                for round in 0..=255 {
                    for mut hello in hellos.clone() {
                        hello[10] = round;
                        if hello.len() > 18 && round % 2 == 1 {
                            hello[18] = round;
                        }
                        bench.inject(at, &hello);
                    }
                }
            }
            for sequence in 0..10 {
                bench.send_media(sequence, &[1; 20]);
            }
            let what = format!("{versions:?} {client}");
            assert_eq!(bench.peers[1].received.len(), 10, "{what}");
            for number in [1, 2] {
                let (_, state, cause) = bench.state_of(number);
                assert_eq!(state, DtlsState::Connected, "{what}: {cause}");
            }
        }
    }
}
