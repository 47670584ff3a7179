//! Certificates: S8. A peer that does not show the announced certificate gets no keys and no media, whichever side
//! begins and in both versions. (A hash that is too weak does not come as far as the machine: `control` refuses the
//! SDP.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corecast_core::stun::Class;
use corecast_tests::bare::{BarePeer, certificate, fingerprint, message};
use corecast_tests::webrtc::{Bench, SET_UP, address};
use corecast_wire::{Discard, DtlsState, DtlsVersions, Fingerprint, FingerprintAlgorithm, RouterId};
use dimpl::DtlsCertificate;
use dtls::config::Config;
use dtls::conn::DTLSConn;
use dtls::crypto::Certificate;
use dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use str0m::config::DtlsVersion;
use webrtc_util::conn::Conn;
use webrtc_util::conn::conn_pipe::pipe;

const COMBINATIONS: [(DtlsVersions, DtlsVersion, bool); 4] = [
    (DtlsVersions::V12, DtlsVersion::Dtls12, true),
    (DtlsVersions::V12, DtlsVersion::Dtls12, false),
    (DtlsVersions::V13, DtlsVersion::Dtls13, true),
    (DtlsVersions::V13, DtlsVersion::Dtls13, false),
];

fn sha256(value: Vec<u8>) -> Fingerprint {
    Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value }
}

/// Peer 1 has been honest and publishes; `number` has not been, and watches: the association has failed, no media has
/// left for its address, and there is no key with which its own could be opened.
fn assert_refused(bench: &mut Bench, number: u8, at: SocketAddr, what: &str) {
    for sequence in 0..5 {
        bench.send_media(sequence, &[9; 20]);
    }
    let (_, state, cause) = bench.state_of(number.into());
    assert_eq!(state, DtlsState::Failed, "{what}: {cause}");
    assert_eq!(bench.media_to.get(&at), None, "{what}: media went out");
    let before = bench.worker.totals().discards.get(Discard::NoKey);
    bench.inject(at, &[0x80; 60]);
    bench.inject(at, &[&[0x80, 200][..], &[0; 60]].concat());
    assert_eq!(bench.worker.totals().discards.get(Discard::NoKey), before + 2, "{what}: there are keys");
}

#[test]
fn s8_another_certificate_than_announced_is_refused() {
    for (versions, theirs, client) in COMBINATIONS {
        let wrong: [fn(Vec<u8>) -> Fingerprint; 5] = [
            |_| sha256(vec![7; 32]),
            |_| sha256(Vec::new()),
            |right| sha256(right[..31].to_vec()),
            |right| sha256([right, vec![0]].concat()),
            |right| Fingerprint { algorithm: FingerprintAlgorithm::Sha384, value: right },
        ];
        for (at, wrong) in wrong.into_iter().enumerate() {
            let mut bench = Bench::new(versions);
            bench.join(1, client, theirs);
            let right = bench.join_unconnected(2, client, theirs);
            bench.connect(2, client, vec![wrong(right)]);
            bench.publish_and_watch();
            bench.run(SET_UP);
            assert_refused(&mut bench, 2, address(12, 5_000), &format!("{versions:?} {client} {at}"));
            assert_eq!(bench.peers[1].received, Vec::<Vec<u8>>::new());
        }
    }
}

/// RFC 8122 section 5: several may be announced, the certificate has one of them.
#[test]
fn s8_one_of_several_fingerprints_is_enough() {
    for (versions, theirs, client) in COMBINATIONS {
        let mut bench = Bench::new(versions);
        let right = bench.join_unconnected(1, client, theirs);
        let wrong = Fingerprint { algorithm: FingerprintAlgorithm::Sha512, value: vec![1; 64] };
        bench.connect(1, client, vec![sha256(vec![7; 32]), wrong, sha256(right)]);
        bench.run(SET_UP);
        assert_eq!(bench.state_of(1).1, DtlsState::Connected, "{versions:?} {client}: {}", bench.state_of(1).2);
    }
}

#[test]
fn s8_swapped_certificates_are_refused() {
    for (versions, theirs, client) in COMBINATIONS {
        let mut bench = Bench::new(versions);
        bench.join(1, client, theirs);
        let second = bench.join_unconnected(2, client, theirs);
        let third = bench.join_unconnected(3, client, theirs);
        bench.connect(2, client, vec![sha256(third)]);
        bench.connect(3, client, vec![sha256(second)]);
        bench.publish_and_watch();
        bench.run(SET_UP);
        for number in [2, 3] {
            assert_refused(&mut bench, number, address(number + 10, 5_000), &format!("{versions:?} {client}"));
        }
    }
}

/// Rewrites the handshake messages in the clear: gives for each (type, whole message) what takes its place.
fn rewrite(datagram: &[u8], with: impl Fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), datagram);
    while rest.len() > 13 {
        let len = 13 + usize::from(u16::from_be_bytes([rest[11], rest[12]]));
        let (record, behind) = rest.split_at(len.min(rest.len()));
        rest = behind;
        if record[0] != 22 || record[3..5] != [0, 0] {
            out.extend(record);
            continue;
        }
        let (mut body, mut messages) = (Vec::new(), &record[13..]);
        while messages.len() >= 12 {
            let len = 12 + usize::from(u16::from_be_bytes([messages[10], messages[11]]));
            let (message, behind) = messages.split_at(len.min(messages.len()));
            body.extend(with(message[0], message));
            messages = behind;
        }
        if !body.is_empty() {
            out.extend(&record[..11]);
            out.extend((body.len() as u16).to_be_bytes());
            out.extend(body);
        }
    }
    out
}

const CERTIFICATE: u8 = 11;

/// The Certificate message has no certificate in it.
fn emptied(datagram: Vec<u8>) -> Vec<u8> {
    rewrite(&datagram, |kind, message| match kind {
        CERTIFICATE => [&[kind, 0, 0, 3], &message[4..6], &[0, 0, 0, 0, 0, 3, 0, 0, 0]].concat(),
        _ => message.to_vec(),
    })
}

/// The Certificate message is not there, and the next one has its number.
fn left_out(datagram: Vec<u8>) -> Vec<u8> {
    let hello = [1, 2];
    rewrite(&datagram, |kind, message| match kind {
        CERTIFICATE => Vec::new(),
        _ if hello.contains(&kind) => message.to_vec(),
        _ => [&message[..4], &(u16::from_be_bytes([message[4], message[5]]) - 1).to_be_bytes(), &message[6..]].concat(),
    })
}

/// Everything as it should be, but for the certificate.
fn tries_without(versions: DtlsVersions, theirs: DtlsVersion, client: bool, mangle: fn(Vec<u8>) -> Vec<u8>) {
    let mut bench = Bench::new(versions);
    bench.join(1, true, theirs);
    bench.create_transport(RouterId(1), 2);
    let mut own = certificate();
    let announced = fingerprint(&own);
    if versions == DtlsVersions::V13 {
        // dimpl as the client then sends a Certificate message without any and no CertificateVerify (RFC 8446 section
        // 4.4.2), as the server one of no bytes; both with a Finished that is right.
        own = DtlsCertificate { certificate: Vec::new(), ..own };
    }
    let nothing = fingerprint(&DtlsCertificate { certificate: Vec::new(), private_key: Vec::new() });
    bench.connect(2, client, vec![announced, nothing]);
    let mut peer = BarePeer::new(&bench, 2, client, versions, own);
    peer.mangle = mangle;
    bench.publish();
    bench.watch(2);
    peer.check(&mut bench);
    peer.handshake(&mut bench);
    assert!(peer.sent.len() > 1 || !client, "it came no further than its hello");
    bench.run(Duration::from_secs(11));
    assert_refused(&mut bench, 2, peer.address, &format!("{versions:?} {client}"));
}

#[test]
fn s8_a_client_without_a_certificate_is_refused() {
    tries_without(DtlsVersions::V12, DtlsVersion::Dtls12, true, emptied);
    tries_without(DtlsVersions::V12, DtlsVersion::Dtls12, true, left_out);
    tries_without(DtlsVersions::V13, DtlsVersion::Dtls13, true, |datagram| datagram);
}

#[test]
fn s8_a_server_without_a_certificate_is_refused() {
    tries_without(DtlsVersions::V12, DtlsVersion::Dtls12, false, emptied);
    tries_without(DtlsVersions::V12, DtlsVersion::Dtls12, false, left_out);
    tries_without(DtlsVersions::V13, DtlsVersion::Dtls13, false, |datagram| datagram);
}

/// A whole handshake of DTLS 1.2 with another library, its transcript and its Finished as they should be. Without a
/// certificate it sends an empty Certificate message and goes on as if nothing were missing.
fn with_another_library(certificates: Vec<Certificate>, announced: Fingerprint) -> (Bench, SocketAddr) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut bench = Bench::new(DtlsVersions::V12);
    bench.join(1, true, DtlsVersion::Dtls12);
    bench.create_transport(RouterId(1), 2);
    bench.connect(2, true, vec![announced]);
    bench.publish();
    bench.watch(2);
    let (at, ice) = (address(12, 6_000), Bench::ice_of(2));
    bench.inject(at, &message(Class::Request, &ice.username_fragment, &ice.password, true));
    bench.astray.clear();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (ours, theirs) = pipe();
        let srtp_protection_profiles = vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm];
        let config = Config { certificates, insecure_skip_verify: true, srtp_protection_profiles, ..Config::default() };
        let client = tokio::spawn(DTLSConn::new(Arc::new(theirs), config, true, None));
        let mut datagram = vec![0; 2_048];
        // Two flights: its hello, and all the rest, which it may send again.
        let mut answers = 0;
        for _ in 0..20 {
            let len = ours.recv(&mut datagram).await.expect("a flight");
            bench.inject(at, &datagram[..len]);
            let is_last = datagram[..len].windows(3).any(|bytes| bytes == [20, 0xFE, 0xFD]);
            answers += bench.astray.len();
            for (_, answer) in bench.astray.split_off(0) {
                ours.send(&answer).await.expect("taken");
            }
            if is_last {
                break;
            }
        }
        assert!(answers > 0, "its hello was not answered");
        client.abort();
    });
    (bench, at)
}

#[test]
fn s8_a_whole_handshake_of_1_2_without_a_certificate_is_refused() {
    let (mut bench, at) = with_another_library(Vec::new(), sha256(vec![7; 32]));
    bench.run(Duration::from_secs(11));
    assert_refused(&mut bench, 2, at, "dtls 0.17");
}

/// The same with one.
#[test]
fn s8_a_whole_handshake_of_1_2_with_a_certificate_is_not() {
    let own = Certificate::generate_self_signed(Vec::new()).expect("a certificate");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, own.certificate[0].as_ref());
    let (bench, _) = with_another_library(vec![own], sha256(hash.as_ref().to_vec()));
    assert_eq!(bench.state_of(2).1, DtlsState::Connected, "{}", bench.state_of(2).2);
}
