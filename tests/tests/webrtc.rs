//! WebRTC transports of the real machine against str0m, without sockets: one publishes, one watches. (Loss, reorder,
//! restarts and churn are the simulation's.)

use std::time::Duration;

use corecast_tests::webrtc::Bench;
use corecast_wire::{DtlsState, DtlsVersions, IceState};
use str0m::config::DtlsVersion;

/// What peer 1 sends reaches peer 2, over the versions and roles given; `detail` is what the two agreed on.
fn publishes_and_watches(versions: DtlsVersions, client: bool, theirs: DtlsVersion, detail: &str) {
    let mut bench = Bench::new(versions);
    bench.join(1, client, theirs);
    bench.join(2, client, theirs);
    bench.publish_and_watch();
    bench.run(Duration::from_secs(2));
    for number in [1, 2] {
        let (ice, dtls, found) = bench.state_of(number);
        assert_eq!((ice, dtls, found.as_str()), (IceState::Completed, DtlsState::Connected, detail), "{number}");
    }
    for number in 0..50_u8 {
        bench.send_media(number.into(), &[number; 20]);
    }
    let expected: Vec<_> = (0..50_u8).map(|number| vec![number; 20]).collect();
    assert_eq!(bench.peers[1].received, expected);
    assert_eq!(bench.peers[0].received, Vec::<Vec<u8>>::new(), "nobody sends to the publisher");
}

#[test]
fn dtls_1_2_as_server_agrees_on_gcm_256() {
    publishes_and_watches(DtlsVersions::V12, true, DtlsVersion::Dtls12, "DTLS 1.2, AEAD_AES_256_GCM");
}

#[test]
fn dtls_1_3_as_server() {
    publishes_and_watches(DtlsVersions::V13, true, DtlsVersion::Dtls13, "DTLS 1.3, AEAD_AES_256_GCM");
}

#[test]
fn both_versions_as_server_to_a_client_of_either() {
    publishes_and_watches(DtlsVersions::Both, true, DtlsVersion::Dtls12, "DTLS 1.2, AEAD_AES_256_GCM");
    publishes_and_watches(DtlsVersions::Both, true, DtlsVersion::Auto, "DTLS 1.3, AEAD_AES_256_GCM");
}

#[test]
fn both_roles() {
    publishes_and_watches(DtlsVersions::V12, false, DtlsVersion::Dtls12, "DTLS 1.2, AEAD_AES_256_GCM");
    // Where the machine begins, it begins in 1.2: a hello of 1.3 is longer than one check pays for.
    publishes_and_watches(DtlsVersions::Both, false, DtlsVersion::Auto, "DTLS 1.2, AEAD_AES_256_GCM");
}

/// What a receiver missed while its consent was lost was withheld: no gap in its numbers, which after 2^15 packets
/// would lead its rollover counter astray (and video would go on in the middle). Found by the simulation.
#[test]
fn who_comes_back_after_its_consent_was_lost_finds_no_gap() {
    let mut bench = Bench::new(DtlsVersions::V12);
    bench.join(1, true, DtlsVersion::Dtls12);
    bench.join(2, true, DtlsVersion::Dtls12);
    bench.publish_and_watch();
    bench.run(Duration::from_secs(2));
    (0..10).for_each(|number| bench.send_media(number, b"before"));
    let watcher = bench.peers.pop().expect("the second");
    bench.run(Duration::from_secs(31));
    assert_eq!(bench.state_of(2).0, IceState::Disconnected);
    (10..30).for_each(|number| bench.send_media(number, b"meanwhile"));
    bench.peers.push(watcher);
    bench.run(Duration::from_secs(1));
    assert_eq!(bench.state_of(2).0, IceState::Completed);
    (30..40).for_each(|number| bench.send_media(number, b"after"));
    let watcher = &bench.peers[1];
    assert_eq!(watcher.numbers, (7..27).collect::<Vec<_>>());
    assert_eq!(watcher.received[10..], [b"after"; 10]);
}

/// A transport may have a consent timeout of its own, and none.
#[test]
fn a_transports_own_consent_timeout_counts() {
    for (own, silent_s, state) in [
        (None, 20, IceState::Completed),
        (Some(5_000), 8, IceState::Disconnected),
        (Some(60_000), 40, IceState::Completed),
        (Some(0), 200, IceState::Completed),
    ] {
        let mut bench = Bench::new(DtlsVersions::V12);
        bench.consent_timeout_ms = own;
        bench.join(1, true, DtlsVersion::Dtls12);
        bench.run(Duration::from_secs(2));
        assert_eq!(bench.state_of(1).0, IceState::Completed);
        bench.peers.clear();
        bench.run(Duration::from_secs(silent_s));
        assert_eq!(bench.state_of(1).0, state, "{own:?} after {silent_s} s");
    }
}
