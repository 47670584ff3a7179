//! Known attacks on a WebRTC server, played to the real machine: strangers with no credentials, strangers with forged
//! ones, and participants who misbehave. Each test counts what was discarded and why, looks for a single byte that went
//! to the attacker, and then for the media of those who are honest.

use std::net::SocketAddr;
use std::time::Duration;

use corecast_core::stun::{Class, Password, Writer, attribute};
use corecast_tests::webrtc::{Bench, address};
use corecast_wire::{Discard, DtlsState, DtlsVersions, Fingerprint, FingerprintAlgorithm, IceState};
use str0m::config::DtlsVersion;

/// Two who are connected, 1 publishing and 2 watching, and how much media they have exchanged.
struct Call {
    bench: Bench,
    sent: u64,
}

impl Call {
    fn new() -> Self {
        let mut bench = Bench::new(DtlsVersions::V12);
        bench.join(1, true, DtlsVersion::Dtls12);
        bench.join(2, true, DtlsVersion::Dtls12);
        bench.publish_and_watch();
        bench.run(Duration::from_secs(2));
        let mut call = Self { bench, sent: 0 };
        call.media_goes_on();
        call
    }

    /// Ten more packets arrive, each once and in order, and nothing has ever gone anywhere else.
    fn media_goes_on(&mut self) {
        for _ in 0..10 {
            self.bench.send_media(self.sent, &self.sent.to_be_bytes());
            self.sent += 1;
        }
        let expected: Vec<_> = (0..self.sent).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(self.bench.peers[1].received, expected);
        assert_eq!(self.bench.astray, Vec::new(), "not one byte to a stranger");
        for number in [1, 2] {
            let (ice, dtls, _) = self.bench.state_of(number);
            assert_eq!((ice, dtls), (IceState::Completed, DtlsState::Connected), "{number}");
        }
    }

    fn discarded(&self, why: Discard) -> u64 {
        self.bench.worker.totals().discards.get(why)
    }

    /// What the publisher sent last that begins with an RTP header.
    fn captured(&self) -> Vec<Vec<u8>> {
        let is_rtp = |sent: &&Vec<u8>| sent.first() == Some(&0x90) || sent.first() == Some(&0x80);
        let is_media = |sent: &&Vec<u8>| sent.get(1).is_some_and(|second| !(192..=223).contains(second));
        self.bench.peers[0].sent.iter().filter(is_rtp).filter(is_media).cloned().collect()
    }
}

fn stranger(port: u16) -> SocketAddr {
    address(200, port)
}

fn message(class: Class, fragment: &str, password: &str) -> Vec<u8> {
    let mut out = [0; 256];
    let mut writer = Writer::new(&mut out, class, 1, b"transaction!").expect("room");
    writer.push(attribute::USERNAME, format!("{fragment}:theirs").as_bytes()).expect("room");
    writer.push(attribute::ICE_CONTROLLING, &[7; 8]).expect("room");
    writer.push(attribute::PRIORITY, &100_u32.to_be_bytes()).expect("room");
    writer.push_integrity(&Password::new(password)).expect("room");
    writer.push_fingerprint().expect("room");
    let len = writer.len();
    out[..len].to_vec()
}

/// Small and seeded (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }
}

#[test]
fn s1_checks_without_the_password_change_nothing() {
    let mut call = Call::new();
    for port in 1..=1_000 {
        call.bench.inject(stranger(port), &message(Class::Request, "transport1", "an invented password...."));
        call.bench.inject(stranger(port), &message(Class::Request, "nobody", "0123456789abcdefghijklmn"));
    }
    assert_eq!(call.discarded(Discard::StunIntegrityFailed), 1_000);
    assert_eq!(call.discarded(Discard::UnknownUsername), 1_000);
    // None of the paths has become known.
    call.bench.inject(stranger(1), &[0x80; 40]);
    assert_eq!(call.discarded(Discard::UnvalidatedPath), 1);
    call.media_goes_on();
}

#[test]
fn s2_garbage_and_forged_responses_are_passed_over() {
    let mut call = Call::new();
    let password = Bench::ice_of(1).password;
    let before = call.bench.worker.totals().discards.total();
    for class in [Class::Success, Class::Error, Class::Indication] {
        call.bench.inject(stranger(1), &message(class, "transport1", &password));
    }
    assert_eq!(call.bench.worker.totals().discards.total(), before + 3);
    let valid = message(Class::Request, "transport1", "an invented password....");
    let mut random = Random(2);
    for _ in 0..100_000 {
        let mut mutated = valid.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(mutated.len());
            mutated[at] = random.byte();
        }
        mutated.truncate(mutated.len() - random.below(2) * random.below(mutated.len()));
        call.bench.inject(stranger(2), &mutated);
    }
    assert_eq!(call.bench.worker.totals().discards.total(), before + 100_003, "each is discarded once");
    call.media_goes_on();
}

#[test]
fn s3_many_paths_with_valid_credentials_leave_the_selected_one() {
    let mut call = Call::new();
    let check = message(Class::Request, "transport1", &Bench::ice_of(1).password);
    for port in 1..=100 {
        call.bench.inject(stranger(port), &check);
    }
    // Each is answered, once and with not much more than it sent; the last seven and the selected one are known.
    assert_eq!(call.bench.astray.len(), 100);
    assert!(call.bench.astray.iter().all(|(_, answer)| answer.len() <= check.len()));
    call.bench.astray.clear();
    for port in 1..=100 {
        call.bench.inject(stranger(port), &[0x80; 40]);
    }
    assert_eq!(call.discarded(Discard::UnvalidatedPath), 93);
    call.media_goes_on();
}

#[test]
fn s4_media_from_elsewhere_neither_bleeds_nor_is_injected() {
    let mut call = Call::new();
    let captured = call.captured();
    assert!(captured.len() >= 10);
    for packet in &captured {
        call.bench.inject(stranger(1), packet);
        call.bench.inject(stranger(1), &[&[0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 42][..], &[0; 20]].concat());
    }
    assert_eq!(call.discarded(Discard::UnvalidatedPath), 2 * captured.len() as u64);
    call.media_goes_on();
}

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

#[test]
fn s8_another_certificate_than_announced_is_refused() {
    for wrong in [vec![7; 32], Vec::new()] {
        let mut bench = Bench::new(DtlsVersions::V12);
        bench.join_unconnected(1, true, DtlsVersion::Dtls12);
        bench.connect(1, true, vec![Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: wrong }]);
        bench.run(Duration::from_secs(2));
        let (_, state, cause) = bench.state_of(1);
        assert_eq!(state, DtlsState::Failed, "{cause}");
        assert_eq!(bench.peers[0].received, Vec::<Vec<u8>>::new());
    }
}

#[test]
fn s10_forged_media_on_the_live_path_is_counted_and_no_more() {
    let mut call = Call::new();
    let from = call.bench.peers[0].address;
    let history = call.bench.worker.totals().history_bytes;
    let mut random = Random(10);
    for sequence in 0..10_000_u16 {
        let mut packet: Vec<u8> = (0..60).map(|_| random.byte()).collect();
        let [high, low] = (100 + sequence % 50).to_be_bytes();
        packet[..12].copy_from_slice(&[0x80, 111, high, low, 0, 0, 0, 1, 0, 0, 0, 42]);
        call.bench.inject(from, &packet);
        packet[8..12].copy_from_slice(&[9, 9, high, low]);
        call.bench.inject(from, &packet);
    }
    assert_eq!(call.discarded(Discard::AuthenticationFailed), 10_000);
    assert_eq!(call.discarded(Discard::UnknownSsrc), 10_000);
    assert_eq!(call.bench.worker.totals().history_bytes, history);
    call.media_goes_on();
}

#[test]
fn s12_what_was_captured_is_accepted_once() {
    let mut call = Call::new();
    let (from, mut captured) = (call.bench.peers[0].address, call.captured());
    captured.iter().for_each(|packet| call.bench.inject(from, packet));
    let mut random = Random(12);
    for at in (1..captured.len()).rev() {
        captured.swap(at, random.below(at + 1));
    }
    captured.iter().for_each(|packet| call.bench.inject(from, packet));
    assert_eq!(call.discarded(Discard::Replayed), 2 * captured.len() as u64);
    call.media_goes_on();
}

#[test]
fn s14_a_path_is_not_taken_with_anothers_credentials() {
    let mut call = Call::new();
    let (victim, intruder) = (call.bench.peers[0].address, call.bench.peers[1].address);
    let check = message(Class::Request, "transport2", &Bench::ice_of(2).password);
    call.bench.inject(victim, &check);
    assert_eq!(call.discarded(Discard::WrongRemote), 1);
    // The publisher's own packets from the watcher's path are under the wrong key, and the SSRC is not the watcher's.
    let captured = call.captured();
    captured.iter().for_each(|packet| call.bench.inject(intruder, packet));
    assert_eq!(call.discarded(Discard::UnknownSsrc), captured.len() as u64);
    call.media_goes_on();
}
