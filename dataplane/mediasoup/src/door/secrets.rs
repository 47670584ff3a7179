//! What is drawn at random: credentials, keys, numbers of streams.

use aws_lc_rs::rand;

use crate::refusal::{Outcome, Refusal};

/// Letters of ICE credentials (RFC 8839 section 5.4 allows two more).
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

/// So many random bytes.
///
/// # Errors
/// The system has none.
pub(super) fn bytes(count: usize) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).map_err(|_| Refusal::Error("the system gives no random bytes".into()))?;
    Ok(bytes)
}

/// A text of letters and digits.
pub(super) fn text(count: usize) -> Outcome<String> {
    Ok(bytes(count)?.into_iter().map(|byte| char::from(LETTERS[usize::from(byte % 62)])).collect())
}

/// An SSRC for our own reports.
pub(super) fn ssrc() -> Outcome<u32> {
    let drawn = bytes(4)?.into_iter().fold(0_u32, |number, byte| number << 8 | u32::from(byte));
    Ok(drawn.max(1))
}

/// A first sequence number, below 2^15 (RFC 3711 section 3.3.1).
pub(super) fn first_sequence() -> Outcome<u16> {
    Ok(bytes(2)?.into_iter().fold(0_u16, |number, byte| number << 8 | u16::from(byte)) >> 1)
}
