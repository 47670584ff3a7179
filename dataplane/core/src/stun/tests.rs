//! The vectors of RFC 5769, everything that makes a message malformed, and messages of our own.

use std::net::SocketAddr;

use super::*;
use crate::limits::MAX_STUN_ANSWER_BYTES;

/// Password of RFC 5769 section 2.
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: &[u8; 12] = b"transaction!";

/// Bytes of a hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 5769 section 2.1.
fn sample_request() -> Vec<u8> {
    hex("000100582112a442b7e7a701bc34d686fa87dfae\
         802200105354554e207465737420636c69656e74\
         002400046e0001ff\
         80290008932ff9b151263b36\
         000600096576746a3a68367659202020\
         000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
         80280004e57a3bcf")
}

/// RFC 5769 section 2.2.
fn sample_response_ipv4() -> Vec<u8> {
    hex("0101003c2112a442b7e7a701bc34d686fa87dfae\
         8022000b7465737420766563746f7220\
         002000080001a147e112a643\
         000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7\
         80280004c07d4c96")
}

/// RFC 5769 section 2.3.
fn sample_response_ipv6() -> Vec<u8> {
    hex("010100482112a442b7e7a701bc34d686fa87dfae\
         8022000b7465737420766563746f7220\
         002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9\
         00080014a382954e4be67bf11784c97c8292c275bfe3ed41\
         80280004c8fb0b4c")
}

/// A request with these attributes, unsigned.
fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 4_096];
    let mut writer = Writer::request(&mut out, TRANSACTION).unwrap();
    for (kind, value) in attributes {
        writer.push(*kind, value).unwrap();
    }
    let len = writer.len();
    out.truncate(len);
    out
}

/// A check as a browser sends it.
fn check() -> Vec<u8> {
    let mut out = [0; 256];
    let mut writer = Writer::request(&mut out, TRANSACTION).unwrap();
    writer.push(attribute::USERNAME, b"ours:theirs").unwrap();
    writer.push(0xc057, &[0, 2, 0, 0]).unwrap();
    writer.push(attribute::ICE_CONTROLLING, &7u64.to_be_bytes()).unwrap();
    writer.push(attribute::USE_CANDIDATE, &[]).unwrap();
    writer.push(attribute::PRIORITY, &9u32.to_be_bytes()).unwrap();
    writer.push_integrity(&Password::new(PASSWORD)).unwrap();
    writer.push_fingerprint().unwrap();
    let len = writer.len();
    out[..len].to_vec()
}

fn refused(bytes: &[u8]) -> MalformedStun {
    parse(bytes).expect_err("taken")
}

/// Makes the header's length say what is there.
fn set_length(bytes: &mut [u8]) {
    let len = (bytes.len() - HEADER_BYTES) as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
}

#[test]
fn reads_the_request_of_rfc_5769() {
    let bytes = sample_request();
    let message = parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, BINDING));
    assert_eq!(message.transaction()[..], bytes[8..20]);
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.fragments(), Some(("evtj", "h6vY")));
    assert_eq!((message.priority(), message.use_candidate()), (Some(0x6e00_01ff), false));
    assert_eq!((message.controlling(), message.controlled()), (None, Some(0x932f_f9b1_5126_3b36)));
    assert!(message.has_fingerprint() && message.has_integrity() && message.unknown().is_empty());
    assert!(message.verify(&Password::new(PASSWORD)));
    assert!(!message.verify(&Password::new("VOkJxbRl1RmTxUk/WvJxBs")));
}

#[test]
fn reads_the_responses_of_rfc_5769() {
    for bytes in [sample_response_ipv4(), sample_response_ipv6()] {
        let message = parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, BINDING));
        assert!(message.has_fingerprint() && message.verify(&Password::new(PASSWORD)));
    }
}

/// The responses of RFC 5769 have a SOFTWARE that we do not send, padded with a space. The address is the same, and
/// with both in place so is every other byte.
#[test]
fn writes_the_responses_of_rfc_5769() {
    let bytes = sample_request();
    let request = parse(&bytes).unwrap();
    let samples = [
        (sample_response_ipv4(), "192.0.2.1:32853"),
        (sample_response_ipv6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ];
    for (sample, from) in samples {
        let from: SocketAddr = from.parse().unwrap();
        let mut out = [0xff; MAX_STUN_ANSWER_BYTES];
        let len = write_success(&mut out, &request, from, &Password::new(PASSWORD)).unwrap();
        let address = sample.len() - 16 - 32..sample.len() - 32;
        let end = len - 32;
        assert_eq!(out[end - 12..end], sample[address.end - 12..address.end], "as much as both families have");
        let answer = parse(&out[..len]).unwrap();
        assert!(answer.verify(&Password::new(PASSWORD)) && answer.has_fingerprint());

        let mut again = [0; 128];
        let mut writer = Writer::new(&mut again, Class::Success, BINDING, request.transaction()).unwrap();
        writer.push(0x8022, b"test vector").unwrap();
        let padding = writer.len() - 1;
        writer.push_xor_address(from).unwrap();
        let before = writer.len();
        again[padding] = b' ';
        assert_eq!(again[4..before], sample[4..before]);
        let tag = Password::new(PASSWORD).sign(&again[..before]).unwrap();
        assert_eq!(tag.as_ref(), &sample[before + 4..before + 24]);
    }
}

#[test]
fn a_browsers_check() {
    let bytes = check();
    let message = parse(&bytes).unwrap();
    assert_eq!(message.fragments(), Some(("ours", "theirs")));
    assert_eq!((message.controlling(), message.controlled()), (Some(7), None));
    assert_eq!((message.priority(), message.use_candidate(), message.nomination()), (Some(9), true, None));
    assert!(message.verify(&Password::new(PASSWORD)));
}

#[test]
fn every_shorter_and_longer_datagram_is_refused() {
    let mut bytes = check();
    for len in 0..bytes.len() {
        let expected = if len < HEADER_BYTES { MalformedStun::TooShort } else { MalformedStun::Length };
        assert_eq!(refused(&bytes[..len]), expected, "{len} bytes");
    }
    for extra in 1..=8 {
        bytes.push(0);
        assert_eq!(refused(&bytes), MalformedStun::Length, "{extra} bytes behind it");
    }
    assert_eq!(refused(&[0; MAX_STUN_BYTES + 1]), MalformedStun::TooLong);
}

#[test]
fn every_changed_bit_is_refused_or_not_authentic() {
    let good = check();
    let password = Password::new(PASSWORD);
    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // A length may swallow the fingerprint.
        assert!(!parse(&bytes).is_ok_and(|message| message.has_fingerprint()), "bit {bit}");
        // The same by somebody who can compute a CRC.
        let end = bytes.len() - 8;
        let crc = (crc32fast::hash(&bytes[..end]) ^ FINGERPRINT_XOR).to_be_bytes();
        bytes[end + 4..].copy_from_slice(&crc);
        let believed = parse(&bytes).is_ok_and(|message| message.verify(&password));
        assert!(!believed || bit >= 8 * end, "bit {bit}");
    }
}

#[test]
fn headers_are_checked() {
    let good = request(&[]);
    assert!(parse(&good).is_ok(), "a message without attributes");
    for (at, value, expected) in [
        (0, 0x40, MalformedStun::Type),
        (0, 0x80, MalformedStun::Type),
        (4, 0x20, MalformedStun::Cookie),
        (7, 0x43, MalformedStun::Cookie),
        (2, 1, MalformedStun::Length),
        (3, 4, MalformedStun::Length),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(refused(&bytes), expected, "byte {at} is {value}");
    }
    for extra in 1..=3 {
        let mut bytes = [&good[..], &vec![0; extra]].concat();
        set_length(&mut bytes);
        assert_eq!(refused(&bytes), MalformedStun::Length, "not a multiple of four");
    }
}

#[test]
fn class_and_method_are_told_apart() {
    for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
        for method in 0..=0x0fff {
            let mut out = [0; HEADER_BYTES];
            assert_eq!(Writer::new(&mut out, class, method, TRANSACTION).unwrap().len(), HEADER_BYTES);
            let message = parse(&out).unwrap();
            assert_eq!((message.class(), message.method()), (class, method));
        }
    }
    assert!(Writer::new(&mut [0; 20], Class::Request, 0x1000, TRANSACTION).is_none());
}

#[test]
fn attributes_that_run_past_the_message_are_refused() {
    for (len, room) in [(1u16, 0usize), (4, 0), (5, 4), (8, 4), (0xffff, 8), (0xfffd, 8), (0x7fff, 0)] {
        let mut bytes = request(&[(0x8022, &vec![0; room])]);
        bytes[22..24].copy_from_slice(&len.to_be_bytes());
        assert_eq!(refused(&bytes), MalformedStun::Attribute, "{len} in {room}");
    }
}

#[test]
fn values_of_the_wrong_length_are_refused() {
    let lengths = [
        (attribute::PRIORITY, 4),
        (attribute::NOMINATION, 4),
        (attribute::USE_CANDIDATE, 0),
        (attribute::ICE_CONTROLLED, 8),
        (attribute::ICE_CONTROLLING, 8),
        (attribute::MESSAGE_INTEGRITY, 20),
    ];
    for (kind, right) in lengths {
        for len in 0..=40 {
            let taken = parse(&request(&[(kind, &vec![0; len])])).err();
            assert_eq!(taken, (len != right).then_some(MalformedStun::Value), "{kind:#06x} of {len} bytes");
        }
    }
    for len in [0, 1, 3, 5, 8] {
        let fingerprint = request(&[(attribute::FINGERPRINT, &vec![0; len])]);
        assert_eq!(refused(&fingerprint), MalformedStun::Value, "{len} bytes of CRC");
    }
    assert!(parse(&request(&[(attribute::USERNAME, &[b'a'; 508])])).is_ok());
    assert_eq!(refused(&request(&[(attribute::USERNAME, &[b'a'; 509])])), MalformedStun::Value);
}

#[test]
fn usernames_are_split_at_the_first_colon() {
    let cases: [(&[u8], _); 6] = [
        (b"a:b", Some(("a", "b"))),
        (b"a:b:c", Some(("a", "b:c"))),
        (b":", Some(("", ""))),
        (b"ab", None),
        (b"", None),
        (b"\xff:a", None),
    ];
    for (username, expected) in cases {
        let bytes = request(&[(attribute::USERNAME, username)]);
        let message = parse(&bytes).unwrap();
        assert_eq!((message.username(), message.fragments()), (Some(username), expected));
    }
    assert_eq!(parse(&request(&[])).unwrap().fragments(), None);
}

/// RFC 8489 section 14.5: `USE-CANDIDATE` behind the integrity is what somebody on the path appended.
#[test]
fn what_follows_integrity_is_ignored() {
    let mut out = [0; 256];
    let mut writer = Writer::request(&mut out, TRANSACTION).unwrap();
    writer.push(attribute::USERNAME, b"a:b").unwrap();
    writer.push_integrity(&Password::new(PASSWORD)).unwrap();
    writer.push(attribute::MESSAGE_INTEGRITY_SHA256, &[1; 32]).unwrap();
    writer.push(attribute::USE_CANDIDATE, &[]).unwrap();
    writer.push(attribute::PRIORITY, &[1; 4]).unwrap();
    writer.push(attribute::ICE_CONTROLLED, &[1; 8]).unwrap();
    writer.push(attribute::USERNAME, b"c:d").unwrap();
    writer.push(attribute::MESSAGE_INTEGRITY, &[1; 20]).unwrap();
    writer.push(0x0003, &[1; 3]).unwrap();
    writer.push_fingerprint().unwrap();
    let len = writer.len();
    let message = parse(&out[..len]).unwrap();
    assert!(message.verify(&Password::new(PASSWORD)), "the first integrity counts, over what precedes it");
    assert_eq!(message.fragments(), Some(("a", "b")));
    assert_eq!((message.use_candidate(), message.priority(), message.controlled()), (false, None, None));
    assert!(message.unknown().is_empty());
}

#[test]
fn fingerprint_is_right_and_last() {
    let good = check();
    let at = good.len() - 8;
    for byte in at + 4..good.len() {
        let mut bytes = good.clone();
        bytes[byte] ^= 1;
        assert_eq!(refused(&bytes), MalformedStun::Fingerprint);
    }
    let mut behind = [&good[..], &[0x80, 0x22, 0, 0]].concat();
    set_length(&mut behind);
    assert_eq!(refused(&behind), MalformedStun::Fingerprint, "something follows it");
    let mut without = good[..at].to_vec();
    set_length(&mut without);
    let message = parse(&without).unwrap();
    assert!(!message.has_fingerprint(), "lawful STUN; ICE refuses it");
    assert!(message.verify(&Password::new(PASSWORD)), "the length that is hashed ends at the integrity");
}

#[test]
fn first_of_several_counts() {
    let bytes = request(&[
        (attribute::USERNAME, b"a:b"),
        (attribute::PRIORITY, &[0, 0, 0, 1]),
        (attribute::USERNAME, b"c:d"),
        (attribute::PRIORITY, &[0, 0, 0, 2]),
        (attribute::NOMINATION, &[0, 0, 0, 3]),
        (attribute::NOMINATION, &[0, 0, 0, 4]),
    ]);
    let message = parse(&bytes).unwrap();
    assert_eq!(message.fragments(), Some(("a", "b")));
    assert_eq!((message.priority(), message.nomination()), (Some(1), Some(3)));
}

#[test]
fn unknown_attributes_that_must_be_understood_are_listed_once() {
    let optional = request(&[(0x8000, &[]), (0xffff, &[1]), (0xc057, &[0; 4])]);
    assert!(parse(&optional).unwrap().unknown().is_empty());
    let known = request(&[(0x0001, &[]), (0x0014, b"r"), (0x0015, b"n"), (0x001e, &[0; 32])]);
    assert!(parse(&known).unwrap().unknown().is_empty());
    let twice = request(&[(0x0003, &[0; 4]), (0x7fff, &[]), (0x0003, &[]), (0x0000, &[])]);
    assert_eq!(parse(&twice).unwrap().unknown(), [0x0003, 0x7fff, 0x0000]);
    let many: Vec<_> = (0x0100..0x0200).map(|kind| (kind, &[][..])).collect();
    let many = request(&many);
    assert_eq!(parse(&many).unwrap().unknown(), (0x0100..0x0108).collect::<Vec<_>>());
}

#[test]
fn error_responses() {
    let password = Password::new(PASSWORD);
    let kinds: Vec<_> = (0x0100..0x0109).map(|kind| (kind, &[][..])).collect();
    let bytes = request(&kinds);
    let request = parse(&bytes).unwrap();
    let expected: [(_, &[u8]); 3] = [
        (ErrorCode::BadRequest, b"\x00\x09\x00\x0f\x00\x00\x04\x00Bad Request\x00"),
        (ErrorCode::RoleConflict, b"\x00\x09\x00\x11\x00\x00\x04\x57Role Conflict\x00\x00\x00"),
        (
            ErrorCode::UnknownAttribute,
            b"\x00\x09\x00\x15\x00\x00\x04\x14Unknown Attribute\x00\x00\x00\
              \x00\x0a\x00\x10\x01\x00\x01\x01\x01\x02\x01\x03\x01\x04\x01\x05\x01\x06\x01\x07",
        ),
    ];
    for (error, attributes) in expected {
        let mut out = [0xff; MAX_STUN_ANSWER_BYTES];
        let len = write_error(&mut out, &request, error, &password).unwrap();
        assert_eq!(out[HEADER_BYTES..len - 32], *attributes);
        let answer = parse(&out[..len]).unwrap();
        assert_eq!((answer.class(), answer.method(), answer.transaction()), (Class::Error, BINDING, TRANSACTION));
        assert!(answer.verify(&password) && answer.has_fingerprint());
        for short in 0..len {
            assert_eq!(write_error(&mut out[..short], &request, error, &password), None, "{short} of {len} bytes");
        }
    }
}

#[test]
fn success_that_does_not_fit_is_not_written() {
    let bytes = check();
    let request = parse(&bytes).unwrap();
    for (from, len) in [("192.0.2.1:1", 64), ("[2001:db8::1]:1", 76)] {
        let mut out = [0; MAX_STUN_ANSWER_BYTES];
        let from = from.parse().unwrap();
        for short in 0..len {
            assert_eq!(write_success(&mut out[..short], &request, from, &Password::new(PASSWORD)), None);
        }
        assert_eq!(write_success(&mut out[..len], &request, from, &Password::new(PASSWORD)), Some(len));
    }
}

#[test]
fn no_datagram_panics() {
    let corpus = [check(), sample_request(), sample_response_ipv4(), sample_response_ipv6()];
    let mut state = 7u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (mut taken, password) = (0, Password::new(PASSWORD));
    for _ in 0..200_000 {
        let mut bytes = corpus[next() % 4].clone();
        for _ in 0..1 + next() % 4 {
            let at = next() % bytes.len();
            bytes[at] = if next() % 2 == 0 { next() as u8 } else { 0 };
        }
        bytes.truncate(bytes.len() - 4 * (next() % 5));
        set_length(&mut bytes);
        let Ok(message) = parse(&bytes) else { continue };
        taken += 1;
        assert!(!message.verify(&password) || bytes.len() >= 52);
        let mut out = [0; MAX_STUN_ANSWER_BYTES];
        assert!(write_error(&mut out, &message, ErrorCode::UnknownAttribute, &password).is_some());
    }
    assert!(taken > 10_000, "only {taken} were well-formed");
}
