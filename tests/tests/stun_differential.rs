//! STUN against the crate `stun`: what we write it reads as we meant it, what it writes we read as it meant it, and of
//! damaged messages we believe none that it does not. It takes no part in the server (see `listed_crates_stun.rs` for
//! why), so the two share no code.

use std::net::SocketAddr;

use corecast_core::limits::MAX_STUN_ANSWER_BYTES;
use corecast_core::stun::{self as ours, BINDING, Class, ErrorCode, Password, Writer};
use corecast_tests::sim::random::Random;
use stun::attributes::*;
use stun::error_code::ErrorCodeAttribute;
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_REQUEST, Getter, Message, MessageType, Setter};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;

const NOMINATION: AttrType = AttrType(0xc001);

fn password(random: &mut Random) -> String {
    let len = 22 + random.index(235);
    (0..len).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyzABCXYZ0123456789+/"[random.index(44)])).collect()
}

fn integrity(password: &str) -> MessageIntegrity {
    MessageIntegrity::new_short_term_integrity(password.to_owned())
}

fn bytes(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.next_u64() as u8).collect()
}

fn transaction(random: &mut Random) -> [u8; 12] {
    std::array::from_fn(|_| random.next_u64() as u8)
}

/// Attributes in any order, each that counts with the length that it must have. Repetitions included.
fn attributes(random: &mut Random) -> Vec<(u16, Vec<u8>)> {
    let mut attributes = vec![];
    for _ in 0..random.index(10) {
        let (kind, len) = match random.index(9) {
            0 | 1 => (ATTR_USERNAME, random.index(60)),
            2 => (ATTR_PRIORITY, 4),
            3 => (NOMINATION, 4),
            4 => (ATTR_USE_CANDIDATE, 0),
            5 => (ATTR_ICE_CONTROLLED, 8),
            6 => (ATTR_ICE_CONTROLLING, 8),
            7 => (ATTR_CHANGE_REQUEST, random.index(9)),
            _ => (ATTR_SOFTWARE, random.index(40)),
        };
        attributes.push((kind.0, bytes(random, len)));
    }
    attributes
}

/// Their reading of what a message says, in the form of ours. Only what precedes MESSAGE-INTEGRITY counts.
fn assert_same(theirs: &Message, message: &ours::Message<'_>) {
    assert_eq!(theirs.transaction_id.0, *message.transaction());
    let class = match message.class() {
        Class::Request => stun::message::CLASS_REQUEST,
        Class::Indication => stun::message::CLASS_INDICATION,
        Class::Success => stun::message::CLASS_SUCCESS_RESPONSE,
        Class::Error => stun::message::CLASS_ERROR_RESPONSE,
    };
    assert_eq!(theirs.typ.class, class);
    assert_eq!(theirs.typ.value() & !0x0110, {
        let method = message.method();
        method & 0xf | (method & 0x70) << 1 | (method & 0xf80) << 2
    });
    let covered = || theirs.attributes.0.iter().take_while(|attribute| attribute.typ != ATTR_MESSAGE_INTEGRITY);
    let first = |kind| covered().find(|attribute| attribute.typ == kind).map(|attribute| &attribute.value[..]);
    assert_eq!(message.username(), first(ATTR_USERNAME));
    assert_eq!(message.priority().map(u32::to_be_bytes).as_ref().map(|value| &value[..]), first(ATTR_PRIORITY));
    assert_eq!(message.nomination().map(u32::to_be_bytes).as_ref().map(|value| &value[..]), first(NOMINATION));
    assert_eq!(message.controlled().map(u64::to_be_bytes).as_ref().map(|value| &value[..]), first(ATTR_ICE_CONTROLLED));
    let controlling = message.controlling().map(u64::to_be_bytes);
    assert_eq!(controlling.as_ref().map(|value| &value[..]), first(ATTR_ICE_CONTROLLING));
    assert_eq!(message.use_candidate(), first(ATTR_USE_CANDIDATE).is_some());
    assert_eq!(message.has_integrity(), theirs.contains(ATTR_MESSAGE_INTEGRITY));
    assert_eq!(message.has_fingerprint(), theirs.contains(ATTR_FINGERPRINT));
    assert!(message.unknown().iter().all(|kind| first(AttrType(*kind)).is_some()));
}

#[test]
fn what_the_crate_writes_we_read() {
    let mut random = Random::new(1);
    for round in 0..20_000 {
        let mut theirs = Message::new();
        theirs.typ = BINDING_REQUEST;
        if round % 4 == 0 {
            theirs.typ.read_value(random.next_u64() as u16 & 0x3fff);
        }
        theirs.transaction_id.0 = transaction(&mut random);
        theirs.write_header();
        for (kind, value) in attributes(&mut random) {
            theirs.add(AttrType(kind), &value);
        }
        let password = password(&mut random);
        if round % 5 != 0 {
            integrity(&password).add_to(&mut theirs).unwrap();
        }
        if round % 7 != 0 {
            FINGERPRINT.add_to(&mut theirs).unwrap();
        }
        let message = ours::parse(&theirs.raw).unwrap();
        assert_same(&theirs, &message);
        assert_eq!(message.verify(&Password::new(&password)), round % 5 != 0);
        assert!(!message.verify(&Password::new(&password[1..])));
        assert_eq!(message.unknown(), if theirs.contains(ATTR_CHANGE_REQUEST) { &[3][..] } else { &[] });
    }
}

#[test]
fn requests_that_we_write_the_crate_reads() {
    let mut random = Random::new(2);
    for round in 0..20_000 {
        let mut out = [0xa5; 1_024];
        let class = [Class::Request, Class::Indication, Class::Success, Class::Error][random.index(4)];
        let method = if round % 2 == 0 { BINDING } else { random.next_u64() as u16 & 0x0fff };
        let mut writer = Writer::new(&mut out, class, method, &transaction(&mut random)).unwrap();
        let attributes = attributes(&mut random);
        for (kind, value) in &attributes {
            writer.push(*kind, value).unwrap();
        }
        let password = password(&mut random);
        writer.push_integrity(&Password::new(&password)).unwrap();
        writer.push_fingerprint().unwrap();
        let len = writer.len();

        let mut theirs = Message::new();
        theirs.unmarshal_binary(&out[..len]).unwrap();
        assert!(FINGERPRINT.check(&theirs).is_ok() && integrity(&password).check(&mut theirs).is_ok());
        let read: Vec<_> =
            theirs.attributes.0.iter().map(|attribute| (attribute.typ.0, attribute.value.clone())).collect();
        assert_eq!(read[..attributes.len()], attributes);
        assert_eq!(read.len(), attributes.len() + 2);
        assert_same(&theirs, &ours::parse(&out[..len]).unwrap());
    }
}

#[test]
fn answers_that_we_write_the_crate_reads() {
    let mut random = Random::new(3);
    for round in 0..20_000 {
        let mut request = Message::new();
        request.typ = BINDING_REQUEST;
        request.transaction_id.0 = transaction(&mut random);
        request.write_header();
        let unknown: Vec<_> =
            (0..random.index(9) as u16).map(|n| 0x0100 * (n + 1) + random.index(256) as u16).collect();
        for kind in &unknown {
            request.add(AttrType(*kind), &[]);
        }
        let password = password(&mut random);
        let key = Password::new(&password);
        let message = ours::parse(&request.raw).unwrap();
        let mut out = [0xa5; MAX_STUN_ANSWER_BYTES];
        let ip: std::net::IpAddr = if round % 2 == 0 {
            std::net::Ipv4Addr::from_bits(random.next_u64() as u32).into()
        } else {
            std::net::Ipv6Addr::from_bits(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).into()
        };
        let from = SocketAddr::new(ip, random.next_u64() as u16);
        let error =
            [None, Some(ErrorCode::BadRequest), Some(ErrorCode::UnknownAttribute), Some(ErrorCode::RoleConflict)]
                [random.index(4)];
        let len = match error {
            None => ours::write_success(&mut out, &message, from, &key),
            Some(error) => ours::write_error(&mut out, &message, error, &key),
        }
        .unwrap();

        let mut theirs = Message::new();
        theirs.unmarshal_binary(&out[..len]).unwrap();
        assert!(FINGERPRINT.check(&theirs).is_ok() && integrity(&password).check(&mut theirs).is_ok());
        assert_eq!(theirs.transaction_id, request.transaction_id);
        let Some(error) = error else {
            assert_eq!(theirs.typ, stun::message::BINDING_SUCCESS);
            let mut address = XorMappedAddress::default();
            address.get_from(&theirs).unwrap();
            assert_eq!(SocketAddr::new(address.ip, address.port), from);
            continue;
        };
        assert_eq!(theirs.typ, stun::message::BINDING_ERROR);
        let mut code = ErrorCodeAttribute::default();
        code.get_from(&theirs).unwrap();
        let expected = match error {
            ErrorCode::BadRequest => 400,
            ErrorCode::UnknownAttribute => 420,
            ErrorCode::RoleConflict => 487,
        };
        assert_eq!(code.code.0, expected);
        assert!(String::from_utf8(code.reason).is_ok_and(|reason| !reason.is_empty()));
        let mut list = UnknownAttributes(vec![]);
        if error == ErrorCode::UnknownAttribute {
            list.get_from(&theirs).unwrap();
            assert_eq!(list.0.iter().map(|kind| kind.0).collect::<Vec<_>>(), unknown);
        } else {
            assert!(list.get_from(&theirs).is_err());
        }
    }
}

/// A check as a browser sends it, with what an attacker on the path may have appended.
fn check(random: &mut Random, password: &str) -> Message {
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    message.transaction_id.0 = transaction(random);
    message.write_header();
    TextAttribute::new(ATTR_USERNAME, "ours:theirs".to_owned()).add_to(&mut message).unwrap();
    message.add(AttrType(0xc057), &[0, 2, 0, 0]);
    message.add(ATTR_ICE_CONTROLLING, &bytes(random, 8));
    message.add(ATTR_PRIORITY, &bytes(random, 4));
    integrity(password).add_to(&mut message).unwrap();
    if random.percent(30) {
        message.add(ATTR_USE_CANDIDATE, &[]);
    }
    if random.percent(70) {
        FINGERPRINT.add_to(&mut message).unwrap();
    }
    message
}

/// Makes length and fingerprint say what is there, as any attacker can.
fn repair(bytes: &mut [u8]) {
    let len = (bytes.len().max(20) - 20) as u16;
    if let Some(field) = bytes.get_mut(2..4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
    let Some((before, [0x80, 0x28, 0, 4, crc @ ..])) = bytes.split_last_chunk_mut::<8>() else { return };
    *crc = stun::fingerprint::fingerprint_value(before).to_be_bytes();
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.index(4) {
        let at = random.index(bytes.len());
        match random.index(5) {
            0 => bytes[at] ^= 1 << random.index(8),
            1 => bytes[at] = [0, 1, 3, 4, 8, 0x7f, 0x80, 0xff][random.index(8)],
            2 => bytes.truncate((at & !3).max(20)),
            3 => {
                // Whole attributes, now and then.
                let to = (at + random.index(bytes.len() - at + 1)) & !3;
                let again = bytes[(at & !3).min(to)..to].to_vec();
                bytes.splice(to..to, again);
            }
            _ => bytes.extend([0; 4]),
        }
    }
    if random.percent(80) {
        repair(bytes);
    }
}

#[test]
fn of_damaged_messages_both_believe_the_same() {
    let mut random = Random::new(4);
    let (mut taken, mut believed) = (0, 0);
    for _ in 0..300_000 {
        let password = "aVeryLongPasswordForIce";
        let mut bytes = check(&mut random, password).raw;
        damage(&mut random, &mut bytes);
        let mut theirs = Message::new();
        let decoded = theirs.unmarshal_binary(&bytes).is_ok();
        let their_belief = decoded && integrity(password).check(&mut theirs).is_ok();
        // RFC 8489 section 5 leaves no room for these, and the crate does not look: a first bit, bytes behind it.
        let lawful =
            bytes[0] & 0xc0 == 0 && theirs.length as usize + 20 == bytes.len() && bytes.len().is_multiple_of(4);
        let Ok(message) = ours::parse(&bytes) else {
            // What we refuse it may take apart; it has a wrong fingerprint, or a length that only we look at.
            continue;
        };
        assert!(decoded && lawful, "taken by us alone");
        taken += 1;
        if message.has_fingerprint() {
            assert!(FINGERPRINT.check(&theirs).is_ok());
        }
        let belief = message.verify(&Password::new(password));
        assert_eq!(belief, their_belief);
        if belief {
            believed += 1;
            assert_eq!((message.fragments(), message.use_candidate()), (Some(("ours", "theirs")), false));
        }
        if !theirs.attributes.0.iter().any(|attribute| attribute.typ == AttrType(0x8020)) {
            let fingerprints = theirs.attributes.0.iter().filter(|attribute| attribute.typ == ATTR_FINGERPRINT).count();
            assert!(fingerprints <= 1);
            assert_same(&theirs, &message);
        }
    }
    assert!(taken > 50_000 && believed > 10_000, "{taken} taken, {believed} believed: too few to compare");
}

/// Every type field, in both readings.
#[test]
fn types_mean_the_same() {
    for value in 0..0x4000u16 {
        let mut out = [0; 20];
        let mut theirs = MessageType::default();
        theirs.read_value(value);
        let writer = Writer::request(&mut out, b"transaction!").unwrap();
        assert_eq!(writer.len(), 20);
        out[..2].copy_from_slice(&value.to_be_bytes());
        let mut message = Message::new();
        message.unmarshal_binary(&out).unwrap();
        assert_eq!((message.typ, message.typ.value()), (theirs, value));
        assert_same(&message, &ours::parse(&out).unwrap());
    }
}
