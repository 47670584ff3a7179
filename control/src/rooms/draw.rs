//! What the server draws for its objects: ids, names, SSRCs, sequence numbers, credentials.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use corecast_wire::{IceParameters, SrtpCryptoSuite, SrtpParameters};
use rand::RngExt as _;
use uuid::Uuid;

/// First sequence numbers stay below this, so that receivers guess the SRTP rollover counter right (RFC 3711 section
/// 3.3.1).
const FIRST_SEQUENCE_LIMIT: u16 = 1 << 15;
const CNAME_CHARS: usize = 8;
/// Random bytes in a user name fragment: 16 ice-chars.
const UFRAG_BYTES: usize = 12;
/// Random bytes in a password: 32 ice-chars. RFC 8839 section 5.4 wants 16 bytes at least.
const PASSWORD_BYTES: usize = 24;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// Numbers of one server: more than it can use up, and JSON holds those of two million servers.
const IDS_OF_A_LIFE: u64 = 1 << 32;

/// A number that no other object of any worker has.
pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// So many servers have been here before: their objects have other numbers.
pub(crate) fn begin_life(before: u32) {
    NEXT_ID.store(u64::from(before) * IDS_OF_A_LIFE + 1, Ordering::Relaxed);
}

/// The name of a new object, which cannot be guessed.
pub(super) fn object_name() -> String {
    Uuid::new_v4().to_string()
}

/// A random SSRC that is not taken, and whose successor is not taken either.
pub(crate) fn draw_ssrc(taken: &HashSet<u32>) -> u32 {
    loop {
        let ssrc: u32 = rand::random();
        if (1..u32::MAX).contains(&ssrc) && !taken.contains(&ssrc) && !taken.contains(&(ssrc + 1)) {
            return ssrc;
        }
    }
}

/// The first sequence number of a stream that the server sends.
pub(crate) fn draw_first_sequence() -> u16 {
    rand::random::<u16>() % FIRST_SEQUENCE_LIMIT
}

/// A CNAME for a peer that gives none.
pub(crate) fn draw_cname() -> String {
    Uuid::new_v4().simple().to_string().chars().take(CNAME_CHARS).collect()
}

/// ICE credentials of the server's side.
pub(super) fn draw_ice() -> IceParameters {
    fn text<const N: usize>() -> String {
        let mut bytes = [0_u8; N];
        rand::rng().fill(&mut bytes[..]);
        STANDARD_NO_PAD.encode(bytes)
    }
    IceParameters { username_fragment: text::<UFRAG_BYTES>(), password: text::<PASSWORD_BYTES>() }
}

/// An SRTP key of the server's side.
pub(super) fn draw_key(suite: SrtpCryptoSuite) -> SrtpParameters {
    let mut key_and_salt = vec![0; suite.key_and_salt_len()];
    rand::rng().fill(&mut key_and_salt[..]);
    SrtpParameters { suite, key_and_salt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_long_enough_and_never_the_same() {
        let (one, other) = (draw_ice(), draw_ice());
        assert_eq!((one.username_fragment.len(), one.password.len()), (16, 32));
        let ice_char = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        assert!(one.username_fragment.chars().chain(one.password.chars()).all(ice_char));
        assert_ne!((one.username_fragment, one.password), (other.username_fragment, other.password));
    }

    #[test]
    fn keys_have_the_length_of_their_suite_and_are_never_the_same() {
        for suite in
            [SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80]
        {
            let (one, other) = (draw_key(suite), draw_key(suite));
            assert_eq!(one.key_and_salt.len(), suite.key_and_salt_len());
            assert_ne!(one, other);
        }
    }
}
