//! STUN: S1 to S3.

use std::time::Duration;

use corecast_core::stun::Class;
use corecast_tests::bare::{BarePeer, message};
use corecast_tests::webrtc::Bench;
use corecast_wire::{Discard, DtlsVersions, IceState, RouterId};

use crate::pair::Pair;
use crate::{Call, Random, stranger};

#[test]
fn s1_checks_without_the_password_change_nothing() {
    let mut call = Call::new();
    for port in 1..=1_000 {
        call.bench.inject(stranger(port), &message(Class::Request, "transport1", "an invented password....", false));
        call.bench.inject(stranger(port), &message(Class::Request, "nobody", "0123456789abcdefghijklmn", false));
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
        call.bench.inject(stranger(1), &message(class, "transport1", &password, false));
    }
    assert_eq!(call.bench.worker.totals().discards.total(), before + 3);
    let valid = message(Class::Request, "transport1", "an invented password....", false);
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
    let check = message(Class::Request, "transport1", &Bench::ice_of(1).password, false);
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

/// CRC-32 of ISO 3309, bit by bit: what an attacker can compute as well (RFC 8489 section 14.7).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Bytes of FINGERPRINT, and of MESSAGE-INTEGRITY.
const FINGERPRINT_BYTES: usize = 8;
const INTEGRITY_BYTES: usize = 24;

/// A message without its FINGERPRINT: attributes are put behind its MESSAGE-INTEGRITY and a right FINGERPRINT is added.
fn finished(covered: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut message = [covered, behind].concat();
    let len = u16::try_from(message.len() - 20 + FINGERPRINT_BYTES).expect("short");
    message[2..4].copy_from_slice(&len.to_be_bytes());
    let value = (crc32(&message) ^ 0x5354_554E).to_be_bytes();
    [&message, &[0x80, 0x28, 0, 4][..], &value].concat()
}

fn without_fingerprint(message: &[u8]) -> &[u8] {
    &message[..message.len() - FINGERPRINT_BYTES]
}

/// Every byte of a check made with the right password, changed to every other value, with a FINGERPRINT that is right
/// again and with the one that was there.
#[test]
fn s2_no_byte_of_a_check_can_be_changed() {
    let mut call = Call::new();
    let check = message(Class::Request, "transport1", &Bench::ice_of(1).password, true);
    let before = call.bench.worker.totals().discards.total();
    let mut tried = 0;
    for at in 0..check.len() {
        for change in 1..=255 {
            let mut mutated = check.clone();
            mutated[at] ^= change;
            call.bench.inject(stranger(1), &mutated);
            tried += 1;
            if at >= check.len() - FINGERPRINT_BYTES || (2..4).contains(&at) {
                continue;
            }
            call.bench.inject(stranger(1), &finished(without_fingerprint(&mutated), &[]));
            tried += 1;
        }
    }
    assert_eq!(call.bench.worker.totals().discards.total(), before + tried, "each is refused");
    let before = call.discarded(Discard::UnvalidatedPath);
    call.bench.inject(stranger(1), &[0x80; 40]);
    assert_eq!(call.discarded(Discard::UnvalidatedPath), before + 1, "and nothing was learnt");
    call.media_goes_on();
    // The identical message is the check that it was; and it nominates, as the last one of that password does.
    let before = call.bench.worker.totals().discards.total();
    call.bench.inject(stranger(1), &finished(without_fingerprint(&check), &[]));
    assert_eq!(call.bench.worker.totals().discards.total(), before);
    assert_eq!(call.bench.astray.len(), 1, "the answer to it");
}

/// RFC 8489 section 14.5: attributes behind MESSAGE-INTEGRITY are not authenticated.
#[test]
fn s2_what_stands_behind_integrity_is_ignored() {
    let mut call = Call::new();
    let plain = message(Class::Request, "transport1", &Bench::ice_of(1).password, false);
    let covered = without_fingerprint(&plain);
    let use_candidate: &[u8] = &[0, 0x25, 0, 0];
    let behind: [&[u8]; 7] = [
        use_candidate,
        // NOMINATION 9, ICE-CONTROLLED, a higher PRIORITY, another's USERNAME, an unknown one that must be understood.
        &[0xC0, 1, 0, 4, 0, 0, 0, 9],
        &[0x80, 0x29, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 0x24, 0, 4, 0x7F, 0xFF, 0xFF, 0xFF],
        b"\x00\x06\x00\x0Ctransport2:t",
        &[0x7F, 0xF0, 0, 4, 1, 1, 1, 1],
        &[use_candidate, &[0xC0, 1, 0, 4, 0, 0, 0, 9]].concat(),
    ];
    for behind in behind {
        call.bench.inject(stranger(1), &finished(covered, behind));
        let (_, answer) = call.bench.astray.pop().expect("an answer: the check itself is good");
        assert_eq!(answer[..2], [1, 1], "a success: {behind:02x?}");
        assert_eq!(call.bench.astray, Vec::new());
        // The selected path is still the publisher's.
        call.media_goes_on();
    }
    // With a second MESSAGE-INTEGRITY behind them they are as little covered.
    let again = [use_candidate, &covered[covered.len() - INTEGRITY_BYTES..]].concat();
    call.bench.inject(stranger(1), &finished(covered, &again));
    call.bench.astray.clear();
    call.media_goes_on();
}

/// Responses and indications with the right password: no path becomes known by them, and none is kept alive.
#[test]
fn s2_forged_responses_are_no_sign_of_life() {
    let mut bench = Bench::new(DtlsVersions::V12);
    let mut peer = BarePeer::join(&mut bench, RouterId(1), 1);
    let ice = Bench::ice_of(1);
    for second in 1..=40 {
        bench.skip(Duration::from_secs(1));
        for class in [Class::Success, Class::Error, Class::Indication] {
            let forged = message(class, &ice.username_fragment, &ice.password, true);
            bench.inject(peer.address, &forged);
            bench.inject(stranger(1), &forged);
        }
        let expected = if second < 30 { IceState::Completed } else { IceState::Disconnected };
        assert_eq!(bench.state_of(1).0, expected, "after {second} s");
    }
    assert_eq!(bench.worker.totals().discards.get(Discard::MalformedStun), 40 * 6);
    bench.inject(stranger(1), &[0x80; 40]);
    assert_eq!(bench.worker.totals().discards.get(Discard::UnvalidatedPath), 1);
    assert!(bench.astray.iter().all(|(to, _)| *to == peer.address));
    peer.check(&mut bench);
    assert_eq!(bench.state_of(1).0, IceState::Completed);
}

/// Stock webrtcbin (libnice 0.1.21) sends no check once a pair is nominated.
#[test]
fn who_sends_no_more_checks_lives_by_its_media_and_its_reports() {
    let mut pair = Pair::new(false);
    let states = |pair: &Pair| [1, 2].map(|number| pair.bench.state_of(number).0);
    for second in 0..90 {
        pair.bench.skip(Duration::from_secs(1));
        pair.publish(&pair.media(second, &[1, 2, 3]));
        if second % 5 == 0 {
            let report = pair.viewer.peer.rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9]);
            pair.bench.inject(pair.viewer.peer.address, &report);
        }
        assert_eq!(pair.watched().len(), 1, "after {second} s");
        assert_eq!(states(&pair), [IceState::Completed; 2], "after {second} s");
    }
    // What anybody could have made of it keeps nobody alive.
    let mut forged = pair.media(90, &[1, 2, 3]);
    *forged.last_mut().expect("a tag") ^= 1;
    for _ in 0..31 {
        pair.bench.skip(Duration::from_secs(1));
        pair.publish(&forged);
    }
    assert_eq!(states(&pair), [IceState::Disconnected; 2]);
}
