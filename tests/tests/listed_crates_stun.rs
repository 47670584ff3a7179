//! Whether `stun` 0.17.2 may decode hostile bytes in the server: seeded sweeps of everything that an ICE agent calls.
//! No sweep has found a panic. What its caller must know is in the named tests.

use corecast_tests::sim::random::Random;
use stun::addr::MappedAddress;
use stun::attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME};
use stun::error_code::ErrorCodeAttribute;
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{BINDING_REQUEST, Getter, Message, Setter};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;

fn integrity() -> MessageIntegrity {
    MessageIntegrity::new_short_term_integrity("aVeryLongPasswordForIce".to_owned())
}

/// A connectivity check as a browser sends it.
fn request(attributes: &[(u16, &[u8])]) -> Message {
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    message.transaction_id.0 = *b"transaction!";
    message.write_header();
    message.add(ATTR_USERNAME, b"remote:local");
    for (kind, value) in attributes {
        message.add(stun::attributes::AttrType(*kind), value);
    }
    message
}

fn signed(mut message: Message) -> Message {
    integrity().add_to(&mut message).unwrap();
    FINGERPRINT.add_to(&mut message).unwrap();
    message
}

/// What an ICE agent does with a message. Returns whether it would have believed it.
fn take(message: &mut Message, bytes: &[u8]) -> bool {
    if message.unmarshal_binary(bytes).is_err() {
        return false;
    }
    let believed = FINGERPRINT.check(message).is_ok() & integrity().check(message).is_ok();
    let _ = TextAttribute::get_from_as(message, ATTR_USERNAME);
    let _ = XorMappedAddress::default().get_from(message);
    let _ = MappedAddress::default().get_from(message);
    let _ = ErrorCodeAttribute::default().get_from(message);
    let _ = UnknownAttributes(Vec::new()).get_from(message);
    let _ = message.typ.to_string();
    believed
}

/// Good messages to start from: each kind of attribute that is looked at.
fn corpus() -> Vec<Vec<u8>> {
    let attributes: [&[(u16, &[u8])]; 5] = [
        &[(0x0024, &[0x6e, 0, 0x1e, 0xff]), (0x802a, &[9; 8]), (0x0025, &[])],
        &[(0x0020, &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]), (0x8022, b"agent")],
        &[(0x0020, &[2; 20]), (0x0001, &[0, 2, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3])],
        &[(0x0009, &[0, 0, 4, 1, b'n', b'o']), (0x000a, &[0, 1, 0, 2])],
        &[(0xc057, &[0, 2, 0, 0]), (0x0014, b"realm"), (0x0015, b"nonce"), (0x0006, b"another")],
    ];
    attributes.iter().map(|attributes| signed(request(attributes)).raw).collect()
}

/// One to six changes of a good message: a bit, a byte, a length, an attribute's head, a cut, bytes repeated.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.index(6) {
        if bytes.is_empty() {
            return;
        }
        let at = random.index(bytes.len());
        match random.index(7) {
            0 => bytes[at] ^= 1 << random.index(8),
            1 => bytes[at] = [0, 1, 3, 4, 0x7f, 0x80, 0xff][random.index(7)],
            2 if bytes.len() > 3 => bytes[2 + random.index(2)] = random.next_u64() as u8,
            3 => {
                // Where an attribute's type and length may stand.
                let word = at & !3;
                for byte in bytes.iter_mut().skip(word).take(4) {
                    *byte = if random.index(2) == 0 { 0 } else { random.next_u64() as u8 };
                }
            }
            4 => bytes.truncate(at),
            5 => {
                let to = at + random.index(bytes.len() - at + 1);
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
                set_length(bytes);
            }
            _ => set_length(bytes),
        }
    }
    // A mutation that the first check refuses tests nothing else.
    if random.index(2) == 0 {
        set_length(bytes);
    }
}

/// Makes the length field say what is there.
fn set_length(bytes: &mut [u8]) {
    let len = bytes.len().saturating_sub(20) as u16;
    if let Some(field) = bytes.get_mut(2..4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

#[test]
fn stun_survives_a_million_mutated_messages() {
    let corpus = corpus();
    let mut message = Message::new();
    for good in &corpus {
        assert!(take(&mut message, good), "a message of the corpus is not believed");
    }
    let mut random = Random::new(17);
    let mut decoded = 0;
    let mut bytes = Vec::new();
    for _ in 0..1_000_000 {
        let good = &corpus[random.index(corpus.len())];
        bytes.clone_from(good);
        mutate(&mut random, &mut bytes);
        let believed = take(&mut message, &bytes);
        // What changed was authenticated, or came after what is: never a forgery of the protected part.
        if believed {
            assert_eq!(bytes[20..36], good[20..36], "the user name was forged");
        }
        decoded += usize::from(!message.attributes.0.is_empty());
    }
    assert!(decoded > 200_000, "too few got past the header: {decoded}");
}

#[test]
fn stun_survives_noise_of_every_length() {
    let mut random = Random::new(18);
    let mut message = Message::new();
    for len in 0..1_500 {
        for _ in 0..40 {
            let mut bytes: Vec<u8> = (0..len).map(|_| random.next_u64() as u8).collect();
            if let Some(cookie) = bytes.get_mut(4..8) {
                cookie.copy_from_slice(&stun::message::MAGIC_COOKIE.to_be_bytes());
            }
            set_length(&mut bytes);
            assert!(!take(&mut message, &bytes));
        }
    }
}

/// An attribute behind MESSAGE-INTEGRITY is not authenticated and must be ignored (RFC 8489 section 14.5), but `get`
/// returns it and `check` passes. The crate's user has to look at the order.
#[test]
fn stun_returns_attributes_that_integrity_does_not_cover() {
    let mut message = request(&[]);
    integrity().add_to(&mut message).unwrap();
    // What an attacker on the path could append.
    message.add(ATTR_USE_CANDIDATE, &[]);
    FINGERPRINT.add_to(&mut message).unwrap();

    let mut received = Message::new();
    received.unmarshal_binary(&message.raw).unwrap();
    assert!(integrity().check(&mut received).is_ok());
    assert!(FINGERPRINT.check(&received).is_ok());
    assert!(received.contains(ATTR_USE_CANDIDATE), "no longer returned: the caller need not look");
}

/// Bytes behind the message are kept in `raw` and do not stop it from decoding (RFC 8489 section 5 wants the length to
/// be exact over UDP). FINGERPRINT then fails, integrity does not.
#[test]
fn stun_decodes_a_message_with_bytes_behind_it() {
    let mut bytes = signed(request(&[])).raw;
    bytes.extend([0; 5]);
    let mut received = Message::new();
    received.unmarshal_binary(&bytes).unwrap();
    assert!(integrity().check(&mut received).is_ok());
    assert!(FINGERPRINT.check(&received).is_err());
}
