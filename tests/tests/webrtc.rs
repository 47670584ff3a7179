//! WebRTC transports of the real machine against str0m, without sockets: one publishes, one watches. (Loss, reorder,
//! restarts and churn are the simulation's.)

use std::time::Duration;

use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, DtlsState, DtlsVersions, EncodingMapping, Fingerprint,
    FingerprintAlgorithm, IceState, MediaKind, Object, ObjectStats, PayloadTypeMapping, ProduceOptions, ProducerId,
    Reply, RouterId, TransportId,
};
use str0m::config::DtlsVersion;
use str0m::media::Mid;
use str0m::rtp::RtpWrite;

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

/// How often the publisher of producer 1 has been asked for a key frame.
fn asked(bench: &mut Bench) -> u64 {
    let producer = Command::ObjectStats { object: Object::Producer(ProducerId(1)) };
    let Ok(Reply::ObjectStats(stats)) = bench.ask(&producer) else { panic!("another reply") };
    let ObjectStats::Producer(producer) = *stats else { panic!("other statistics") };
    producer.streams.iter().map(|stream| stream.pli_count).sum()
}

/// Peer 1 sends a picture of VP8 in one packet.
fn send_picture(bench: &mut Bench, sequence: u64, picture: &[u8]) {
    let at = bench.clock();
    let mut api = bench.peers[0].rtc.direct_api();
    let stream = api.stream_tx(&43.into()).expect("declared");
    stream.write_rtp(RtpWrite::new(96.into(), sequence.into(), 3_000 * sequence as u32, at, picture));
    bench.prompt(1);
    bench.run(Duration::from_millis(20));
}

/// A machine on which peer 1 sends VP8 as producer 1.
fn published() -> Bench {
    let mut bench = Bench::new(DtlsVersions::V12);
    bench.join(1, true, DtlsVersion::Dtls12);
    let codec = CodecMapping { payload_type: 96, mapped_payload_type: 101, codec: Codec::Vp8, clock_rate_hz: 90_000 };
    let encodings = vec![EncodingMapping::announced(43)];
    let options = ProduceOptions { pli: true, ..ProduceOptions::new(MediaKind::Video, vec![codec], encodings) };
    bench.must(&Command::Produce { transport: TransportId(1), producer: ProducerId(1), options });
    bench.peers[0].rtc.direct_api().declare_stream_tx(43.into(), None, Mid::from("0"), None);
    bench.run(Duration::from_secs(2));
    send_picture(&mut bench, 1, &KEY_FRAME);
    bench.run(Duration::from_secs(1));
    bench
}

const KEY_FRAME: [u8; 5] = [0x10, 0x00, 0x9d, 0x01, 0x2a];

fn consume(number: u8) -> Command {
    let mapped = vec![PayloadTypeMapping { router: 101, receiver: 96 }];
    let options = ConsumeOptions { paused: true, ..ConsumeOptions::new(4_343, mapped, "one".to_owned()) };
    let (transport, consumer) = (TransportId(number.into()), ConsumerId(number.into()));
    Command::Consume { transport, consumer, producer: ProducerId(1), options }
}

/// A request over HTTP is all that it takes: everybody who watches would pay for each.
#[test]
fn who_never_connects_costs_few_key_frames() {
    let mut bench = published();
    let before = asked(&mut bench);
    for number in 3..63 {
        bench.create_transport(RouterId(1), number);
        bench.must(&consume(number));
        bench.run(Duration::from_secs(1));
    }
    let asked = asked(&mut bench) - before;
    assert!((6..=6 + 15).contains(&asked), "{asked} in a minute");
}

/// The handshake and the key frame take their time together: it is asked for as soon as somebody is to watch, once, and
/// history has it when there are keys. As in mediasoup-demo the consumer is paused until the receiver has set it up.
#[test]
fn for_who_has_not_connected_yet_a_key_frame_is_asked_for() {
    let mut bench = published();
    let resume = |number: u8| Command::PauseConsumer { consumer: ConsumerId(number.into()), paused: false };

    // None comes, and nobody is there who could be sent it.
    bench.create_transport(RouterId(1), 3);
    bench.must(&consume(3));
    assert_eq!(asked(&mut bench), 1);
    bench.must(&resume(3));
    bench.run(Duration::from_secs(5));
    assert_eq!(asked(&mut bench), 1);

    let theirs = bench.join_unconnected(2, true, DtlsVersion::Dtls12);
    bench.peers[1].rtc.direct_api().expect_stream_rx(4_343.into(), None, Mid::from("0"), None);
    bench.must(&consume(2));
    bench.must(&resume(2));
    assert_eq!(asked(&mut bench), 2);
    bench.connect(2, true, vec![Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: theirs }]);
    while bench.state_of(2).0 == IceState::New {
        bench.run(Duration::from_millis(1));
    }
    assert_ne!(bench.state_of(2).1, DtlsState::Connected);
    send_picture(&mut bench, 2, &KEY_FRAME);
    bench.run(Duration::from_millis(400));
    assert_eq!(bench.state_of(2).1, DtlsState::Connected);
    assert_eq!(bench.peers[1].received, [KEY_FRAME]);
    assert_eq!(asked(&mut bench), 2);
}
