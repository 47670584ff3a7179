//! STUN (RFC 8489) as far as ICE needs it (RFC 8445 section 7): connectivity checks, read where they lie, and answers.
//!
//! [`parse`] verifies a whole message, FINGERPRINT included, before it hands out anything, and looks at no attribute
//! that MESSAGE-INTEGRITY would not cover. Whether a message is authentic is [`Message::verify`]; nothing that it says
//! counts before. [`write_success`] and [`write_error`] answer a request, [`Writer`] makes any message. Owns nothing
//! but the hashed key in [`Password`], allocates nothing, and no bytes, however wrong, make it panic.
//!
//! Not here: long-term credentials, MESSAGE-INTEGRITY-SHA256 (ICE has short-term ones and HMAC-SHA1, RFC 8445 section
//! 7.1), SOFTWARE.

mod writer;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::limits::{MAX_STUN_BYTES, MAX_UNKNOWN_ATTRIBUTES};

pub use writer::{ErrorCode, Writer, write_error, write_success};

/// Bytes of the header (RFC 8489 section 5).
pub const HEADER_BYTES: usize = 20;
/// Bytes of a transaction id.
pub const TRANSACTION_BYTES: usize = 12;
/// The method Binding (RFC 8489 section 18.2).
pub const BINDING: u16 = 1;

/// In every message, so that STUN is told from its predecessor (RFC 8489 section 5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Bytes of an attribute before its value: type and length.
const ATTRIBUTE_HEAD_BYTES: usize = 4;
/// Bytes of a MESSAGE-INTEGRITY value: HMAC-SHA1 (RFC 8489 section 14.5).
const INTEGRITY_BYTES: usize = 20;
/// What the CRC is combined with (RFC 8489 section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Longest USERNAME (RFC 8489 section 14.3: less than 509 bytes).
const MAX_USERNAME_BYTES: usize = 508;

/// Types of attributes (RFC 8489 section 18.3, RFC 8445 section 16.1). Below 0x8000, one that is not known fails a
/// request; from there on it is passed over (RFC 8489 section 14).
pub mod attribute {
    /// MAPPED-ADDRESS.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// USERNAME.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// REALM.
    pub const REALM: u16 = 0x0014;
    /// NONCE.
    pub const NONCE: u16 = 0x0015;
    /// MESSAGE-INTEGRITY-SHA256.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// PASSWORD-ALGORITHM.
    pub const PASSWORD_ALGORITHM: u16 = 0x001d;
    /// USERHASH.
    pub const USERHASH: u16 = 0x001e;
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// PRIORITY of the candidate that a check would make (RFC 8445 section 7.1.1).
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE (RFC 8445 section 7.1.2).
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// FINGERPRINT.
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED (RFC 8445 section 7.1.3).
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING (RFC 8445 section 7.1.3).
    pub const ICE_CONTROLLING: u16 = 0x802a;
    /// NOMINATION (draft-thatcher-ice-renomination-01; libwebrtc's number).
    pub const NOMINATION: u16 = 0xc001;
}

/// Why bytes are not a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedStun {
    /// Shorter than the header.
    #[error("shorter than a STUN header")]
    TooShort,
    /// Longer than [`MAX_STUN_BYTES`].
    #[error("longer than a STUN message that is looked at")]
    TooLong,
    /// The first two bits are not zero.
    #[error("first two bits of the STUN type are not zero")]
    Type,
    /// No magic cookie: something else, or the STUN of RFC 3489.
    #[error("no STUN magic cookie")]
    Cookie,
    /// Length is not a multiple of four, or not what there is.
    #[error("STUN length is not the datagram's")]
    Length,
    /// An attribute runs past the message.
    #[error("STUN attribute runs past the message")]
    Attribute,
    /// An attribute that counts is not as long as it must be.
    #[error("value of a STUN attribute has the wrong length")]
    Value,
    /// FINGERPRINT is not the last attribute, or is not the message's.
    #[error("STUN fingerprint is not last or does not match")]
    Fingerprint,
}

/// Classes of messages (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// Answer to a request that succeeded.
    Success,
    /// Answer to one that failed.
    Error,
}

/// A password of ICE, as the key of HMAC-SHA1 (RFC 8489 section 9.1.1: short-term, the password itself).
#[derive(Clone)]
pub struct Password {
    /// Both pads are already hashed in; a message starts from a copy.
    key: hmac::Key,
}

impl std::fmt::Debug for Password {
    /// Passwords are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

impl Password {
    /// From ICE's characters, which `OpaqueString` (RFC 8265) leaves as they are.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()) }
    }

    /// MESSAGE-INTEGRITY of what precedes it, the whole header included. Hashes the length that the header would have
    /// if the message ended with the attribute (RFC 8489 section 14.5).
    fn sign(&self, before: &[u8]) -> Option<hmac::Tag> {
        let (kind, rest) = before.split_first_chunk::<2>()?;
        let (_, rest) = rest.split_first_chunk::<2>()?;
        let len = before.len() + ATTRIBUTE_HEAD_BYTES + INTEGRITY_BYTES - HEADER_BYTES;
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind);
        context.update(&u16::try_from(len).ok()?.to_be_bytes());
        context.update(rest);
        Some(context.sign())
    }
}

/// A well-formed STUN message in the datagram that brought it. Of attributes that stand twice the first counts (RFC
/// 8489 section 14).
#[derive(Clone, Debug)]
pub struct Message<'a> {
    kind: u16,
    transaction: &'a [u8; TRANSACTION_BYTES],
    username: Option<&'a [u8]>,
    priority: Option<u32>,
    nomination: Option<u32>,
    controlling: Option<u64>,
    controlled: Option<u64>,
    use_candidate: bool,
    fingerprint: bool,
    /// What precedes MESSAGE-INTEGRITY, and its value.
    integrity: Option<(&'a [u8], &'a [u8])>,
    unknown: [u16; MAX_UNKNOWN_ATTRIBUTES],
    unknown_count: usize,
}

/// Reads a message. Its attributes are walked once; the CRC of FINGERPRINT, if there is one, is checked.
///
/// # Errors
/// If header, lengths or FINGERPRINT do not add up. Nothing about authenticity: see [`Message::verify`].
pub fn parse(datagram: &[u8]) -> Result<Message<'_>, MalformedStun> {
    if datagram.len() > MAX_STUN_BYTES {
        return Err(MalformedStun::TooLong);
    }
    let (&[k0, k1, l0, l1], rest) = datagram.split_first_chunk::<4>().ok_or(MalformedStun::TooShort)?;
    let (cookie, rest) = rest.split_first_chunk::<4>().ok_or(MalformedStun::TooShort)?;
    let (transaction, attributes) = rest.split_first_chunk().ok_or(MalformedStun::TooShort)?;
    if k0 & 0xc0 != 0 {
        return Err(MalformedStun::Type);
    }
    if *cookie != MAGIC_COOKIE {
        return Err(MalformedStun::Cookie);
    }
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    if !len.is_multiple_of(4) || len != attributes.len() {
        return Err(MalformedStun::Length);
    }
    let mut message = Message::new(u16::from_be_bytes([k0, k1]), transaction);
    let mut rest = attributes;
    while !rest.is_empty() {
        let (before, _) = datagram.split_at_checked(datagram.len() - rest.len()).ok_or(MalformedStun::Attribute)?;
        let (kind, value, tail) = split_attribute(rest).ok_or(MalformedStun::Attribute)?;
        if kind == attribute::FINGERPRINT {
            message.take_fingerprint(before, value, tail.is_empty())?;
        } else if message.integrity.is_none() {
            message.take(before, kind, value)?;
        }
        // Else RFC 8489 section 14.5: what follows MESSAGE-INTEGRITY is not covered by it and must be ignored.
        rest = tail;
    }
    Ok(message)
}

/// Type, value, and what follows the padding. The value of padding does not matter (RFC 8489 section 14).
fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[k0, k1, l0, l1], rest) = bytes.split_first_chunk::<ATTRIBUTE_HEAD_BYTES>()?;
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let (padded, tail) = rest.split_at_checked(len.next_multiple_of(4))?;
    Some((u16::from_be_bytes([k0, k1]), padded.get(..len)?, tail))
}

/// A value that must be so many bytes.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], MalformedStun> {
    value.try_into().map_err(|_| MalformedStun::Value)
}

impl<'a> Message<'a> {
    const fn new(kind: u16, transaction: &'a [u8; TRANSACTION_BYTES]) -> Self {
        Self {
            kind,
            transaction,
            username: None,
            priority: None,
            nomination: None,
            controlling: None,
            controlled: None,
            use_candidate: false,
            fingerprint: false,
            integrity: None,
            unknown: [0; MAX_UNKNOWN_ATTRIBUTES],
            unknown_count: 0,
        }
    }

    fn take_fingerprint(&mut self, before: &[u8], value: &[u8], last: bool) -> Result<(), MalformedStun> {
        let expected = crc32fast::hash(before) ^ FINGERPRINT_XOR;
        if !last || u32::from_be_bytes(exactly(value)?) != expected {
            return Err(MalformedStun::Fingerprint);
        }
        self.fingerprint = true;
        Ok(())
    }

    /// An attribute that MESSAGE-INTEGRITY covers, or that one itself.
    fn take(&mut self, before: &'a [u8], kind: u16, value: &'a [u8]) -> Result<(), MalformedStun> {
        match kind {
            attribute::USERNAME if value.len() > MAX_USERNAME_BYTES => return Err(MalformedStun::Value),
            attribute::USERNAME => _ = self.username.get_or_insert(value),
            attribute::PRIORITY => _ = self.priority.get_or_insert(u32::from_be_bytes(exactly(value)?)),
            attribute::NOMINATION => _ = self.nomination.get_or_insert(u32::from_be_bytes(exactly(value)?)),
            attribute::ICE_CONTROLLING => _ = self.controlling.get_or_insert(u64::from_be_bytes(exactly(value)?)),
            attribute::ICE_CONTROLLED => _ = self.controlled.get_or_insert(u64::from_be_bytes(exactly(value)?)),
            attribute::USE_CANDIDATE => {
                exactly::<0>(value)?;
                self.use_candidate = true;
            }
            attribute::MESSAGE_INTEGRITY => {
                exactly::<INTEGRITY_BYTES>(value)?;
                self.integrity = Some((before, value));
            }
            // Known, but of no meaning here: answers, long-term credentials, the other integrity.
            attribute::MAPPED_ADDRESS
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::REALM
            | attribute::NONCE
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::PASSWORD_ALGORITHM
            | attribute::USERHASH
            | attribute::XOR_MAPPED_ADDRESS
            | 0x8000.. => {}
            unknown => self.take_unknown(unknown),
        }
        Ok(())
    }

    fn take_unknown(&mut self, kind: u16) {
        if !self.unknown().contains(&kind)
            && let Some(place) = self.unknown.get_mut(self.unknown_count)
        {
            *place = kind;
            self.unknown_count += 1;
        }
    }

    /// Class (RFC 8489 section 5: bits 4 and 8 of the type).
    #[must_use]
    pub const fn class(&self) -> Class {
        match (self.kind & 0x0100 != 0, self.kind & 0x0010 != 0) {
            (false, false) => Class::Request,
            (false, true) => Class::Indication,
            (true, false) => Class::Success,
            (true, true) => Class::Error,
        }
    }

    /// Method: the other twelve bits.
    #[must_use]
    pub const fn method(&self) -> u16 {
        self.kind & 0x000f | (self.kind & 0x00e0) >> 1 | (self.kind & 0x3e00) >> 2
    }

    /// Transaction id.
    #[must_use]
    pub const fn transaction(&self) -> &'a [u8; TRANSACTION_BYTES] {
        self.transaction
    }

    /// USERNAME.
    #[must_use]
    pub const fn username(&self) -> Option<&'a [u8]> {
        self.username
    }

    /// The username fragments of a check (RFC 8445 section 7.2.2): of its receiver, and of its sender. None if there is
    /// no USERNAME or it is not two texts with a colon between them.
    #[must_use]
    pub fn fragments(&self) -> Option<(&'a str, &'a str)> {
        std::str::from_utf8(self.username?).ok()?.split_once(':')
    }

    /// PRIORITY.
    #[must_use]
    pub const fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// USE-CANDIDATE is there.
    #[must_use]
    pub const fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// NOMINATION.
    #[must_use]
    pub const fn nomination(&self) -> Option<u32> {
        self.nomination
    }

    /// The tie-breaker of ICE-CONTROLLING.
    #[must_use]
    pub const fn controlling(&self) -> Option<u64> {
        self.controlling
    }

    /// The tie-breaker of ICE-CONTROLLED.
    #[must_use]
    pub const fn controlled(&self) -> Option<u64> {
        self.controlled
    }

    /// FINGERPRINT is there, and is right.
    #[must_use]
    pub const fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// MESSAGE-INTEGRITY is there, right or wrong.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Attributes before MESSAGE-INTEGRITY that must be understood and are not (RFC 8489 section 6.3), each once, the
    /// first [`MAX_UNKNOWN_ATTRIBUTES`].
    #[must_use]
    pub fn unknown(&self) -> &[u16] {
        self.unknown.get(..self.unknown_count).unwrap_or_default()
    }

    /// Whether somebody who knows the password has written this: MESSAGE-INTEGRITY is there and right. Compares in
    /// constant time.
    #[must_use]
    pub fn verify(&self, password: &Password) -> bool {
        self.integrity.is_some_and(|(before, value)| {
            password.sign(before).is_some_and(|tag| verify_slices_are_equal(tag.as_ref(), value).is_ok())
        })
    }
}

#[cfg(test)]
mod tests;
