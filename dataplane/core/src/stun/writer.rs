//! Writing STUN messages into a buffer of the caller. What does not fit is not written, and says so.

use std::net::{IpAddr, SocketAddr};

use super::{
    ATTRIBUTE_HEAD_BYTES, BINDING, Class, FINGERPRINT_XOR, HEADER_BYTES, INTEGRITY_BYTES, MAGIC_COOKIE, Message,
    Password, TRANSACTION_BYTES, attribute,
};
use crate::limits::{MAX_STUN_ANSWER_BYTES, MAX_UNKNOWN_ATTRIBUTES};

/// Family in an address attribute (RFC 8489 section 14.1).
const FAMILY_IPV4: u8 = 1;
/// The other one.
const FAMILY_IPV6: u8 = 2;
/// Longest phrase that goes with an error code.
const MAX_REASON_BYTES: usize = 20;

const _: () = assert!(
    HEADER_BYTES
        + (ATTRIBUTE_HEAD_BYTES + 4 + MAX_REASON_BYTES)
        + (ATTRIBUTE_HEAD_BYTES + 2 * MAX_UNKNOWN_ATTRIBUTES).next_multiple_of(4)
        + (ATTRIBUTE_HEAD_BYTES + INTEGRITY_BYTES)
        + (ATTRIBUTE_HEAD_BYTES + 4)
        <= MAX_STUN_ANSWER_BYTES,
    "the longest answer fits"
);

/// Errors that we answer with (RFC 8489 section 14.8, RFC 8445 section 7.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// 400: something that the request must have is not there.
    BadRequest,
    /// 420: an attribute that must be understood is not.
    UnknownAttribute,
    /// 487: both sides have the same role.
    RoleConflict,
}

impl ErrorCode {
    /// Hundreds, the rest, and the phrase.
    const fn parts(self) -> (u8, u8, &'static str) {
        match self {
            Self::BadRequest => (4, 0, "Bad Request"),
            Self::UnknownAttribute => (4, 20, "Unknown Attribute"),
            Self::RoleConflict => (4, 87, "Role Conflict"),
        }
    }
}

/// Answers a request: where it came from, MESSAGE-INTEGRITY, FINGERPRINT (RFC 8489 section 6.3.1.1, RFC 8445 section
/// 7.3). Returns the length, or None if `out` is too short.
#[must_use]
pub fn write_success(out: &mut [u8], request: &Message<'_>, from: SocketAddr, password: &Password) -> Option<usize> {
    let mut writer = Writer::new(out, Class::Success, request.method(), request.transaction())?;
    writer.push_xor_address(from)?;
    writer.push_integrity(password)?;
    writer.push_fingerprint()?;
    Some(writer.len())
}

/// Answers an authentic request that cannot be served (RFC 8489 section 6.3.1.2); which attributes were not known is
/// said with [`ErrorCode::UnknownAttribute`]. Returns the length, or None if `out` is too short.
#[must_use]
pub fn write_error(out: &mut [u8], request: &Message<'_>, error: ErrorCode, password: &Password) -> Option<usize> {
    let mut writer = Writer::new(out, Class::Error, request.method(), request.transaction())?;
    writer.push_error(error)?;
    if error == ErrorCode::UnknownAttribute {
        writer.push_unknown(request.unknown())?;
    }
    writer.push_integrity(password)?;
    writer.push_fingerprint()?;
    Some(writer.len())
}

/// Writes one message. Its header's length is right after every attribute; a push that returns None has no effect.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A header. None if `out` is too short for it or `method` is wider than twelve bits.
    #[must_use]
    pub fn new(out: &'a mut [u8], class: Class, method: u16, transaction: &[u8; TRANSACTION_BYTES]) -> Option<Self> {
        if method > 0x0fff {
            return None;
        }
        let class_bits = match class {
            Class::Request => 0,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let kind: u16 = class_bits | method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2;
        let (head, rest) = out.split_first_chunk_mut::<4>()?;
        let (cookie, rest) = rest.split_first_chunk_mut::<4>()?;
        let (id, _) = rest.split_first_chunk_mut::<TRANSACTION_BYTES>()?;
        let [k0, k1] = kind.to_be_bytes();
        *head = [k0, k1, 0, 0];
        *cookie = MAGIC_COOKIE;
        *id = *transaction;
        Some(Self { out, len: HEADER_BYTES })
    }

    /// A Binding request's header.
    #[must_use]
    pub fn request(out: &'a mut [u8], transaction: &[u8; TRANSACTION_BYTES]) -> Option<Self> {
        Self::new(out, Class::Request, BINDING, transaction)
    }

    /// Bytes so far.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty: it begins with a header")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Any attribute, padded with zeros.
    #[must_use]
    pub fn push(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        let padded = value.len().next_multiple_of(4);
        let end = self.len + ATTRIBUTE_HEAD_BYTES + padded;
        let len = u16::try_from(value.len()).ok()?;
        let total = u16::try_from(end - HEADER_BYTES).ok()?;
        let (head, rest) = self.out.get_mut(self.len..end)?.split_first_chunk_mut::<ATTRIBUTE_HEAD_BYTES>()?;
        let ([k0, k1], [l0, l1]) = (kind.to_be_bytes(), len.to_be_bytes());
        *head = [k0, k1, l0, l1];
        let (room, padding) = rest.split_at_mut_checked(value.len())?;
        room.copy_from_slice(value);
        padding.fill(0);
        *self.out.get_mut(2..)?.first_chunk_mut()? = total.to_be_bytes();
        self.len = end;
        Some(())
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 section 14.2): port and address combined with cookie and transaction id.
    #[must_use]
    pub fn push_xor_address(&mut self, address: SocketAddr) -> Option<()> {
        let [c0, c1, ..] = MAGIC_COOKIE;
        let [p0, p1] = address.port().to_be_bytes();
        let (p0, p1) = (p0 ^ c0, p1 ^ c1);
        // What came over IPv4 to a socket of both is told what it knows.
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = (ip.to_bits() ^ u32::from_be_bytes(MAGIC_COOKIE)).to_be_bytes();
                self.push(attribute::XOR_MAPPED_ADDRESS, &[0, FAMILY_IPV4, p0, p1, a, b, c, d])
            }
            IpAddr::V6(ip) => {
                let pad = u128::from_be_bytes(*self.out.get(4..)?.first_chunk()?);
                let mut value = [0; 20];
                let (head, room) = value.split_first_chunk_mut::<4>()?;
                *head = [0, FAMILY_IPV6, p0, p1];
                room.copy_from_slice(&(ip.to_bits() ^ pad).to_be_bytes());
                self.push(attribute::XOR_MAPPED_ADDRESS, &value)
            }
        }
    }

    /// ERROR-CODE (RFC 8489 section 14.8).
    #[must_use]
    pub fn push_error(&mut self, error: ErrorCode) -> Option<()> {
        let (hundreds, rest, reason) = error.parts();
        let mut value = [0; 4 + MAX_REASON_BYTES];
        let (head, room) = value.split_first_chunk_mut::<4>()?;
        *head = [0, 0, hundreds, rest];
        room.get_mut(..reason.len())?.copy_from_slice(reason.as_bytes());
        self.push(attribute::ERROR_CODE, value.get(..4 + reason.len())?)
    }

    /// UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13), [`MAX_UNKNOWN_ATTRIBUTES`] at most.
    #[must_use]
    pub fn push_unknown(&mut self, kinds: &[u16]) -> Option<()> {
        let mut value = [0; 2 * MAX_UNKNOWN_ATTRIBUTES];
        for (room, kind) in value.chunks_exact_mut(2).zip(kinds) {
            room.copy_from_slice(&kind.to_be_bytes());
        }
        self.push(attribute::UNKNOWN_ATTRIBUTES, value.get(..2 * kinds.len())?)
    }

    /// MESSAGE-INTEGRITY of what there is so far. After it only [`Self::push_fingerprint`] makes sense.
    #[must_use]
    pub fn push_integrity(&mut self, password: &Password) -> Option<()> {
        let tag = password.sign(self.out.get(..self.len)?)?;
        self.push(attribute::MESSAGE_INTEGRITY, tag.as_ref())
    }

    /// FINGERPRINT, the end of a message.
    #[must_use]
    pub fn push_fingerprint(&mut self) -> Option<()> {
        // The CRC covers a header whose length counts this attribute (RFC 8489 section 14.7): written first, then
        // filled.
        let before = self.len;
        self.push(attribute::FINGERPRINT, &[0; 4])?;
        let crc = crc32fast::hash(self.out.get(..before)?) ^ FINGERPRINT_XOR;
        *self.out.get_mut(before + ATTRIBUTE_HEAD_BYTES..)?.first_chunk_mut()? = crc.to_be_bytes();
        Some(())
    }
}
