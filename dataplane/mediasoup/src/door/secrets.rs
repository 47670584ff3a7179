//! What is drawn at random: credentials, keys, numbers of streams.
//!
//! A draw of a few bytes costs the system's generator as much as one of a thousand, so bytes are drawn ahead.

use std::cell::RefCell;

use aws_lc_rs::rand;

use crate::refusal::{Outcome, Refusal};

/// Letters of ICE credentials (RFC 8839 section 5.4 allows two more).
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
/// Bytes that are drawn at once: those of some ten WebRTC transports.
const AHEAD_BYTES: usize = 1_024;

thread_local! {
    /// Bytes that nobody has yet. Each is given once, and kept nowhere when it has been.
    static AHEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// So many random bytes.
///
/// # Errors
/// The system has none.
pub(super) fn bytes(count: usize) -> Outcome<Vec<u8>> {
    drawn(count, <[u8]>::to_vec)
}

/// The same, given to `take` where they lie.
fn drawn<T>(count: usize, take: impl FnOnce(&[u8]) -> T) -> Outcome<T> {
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.len() < count {
            ahead.resize(AHEAD_BYTES.max(count), 0);
            if rand::fill(ahead).is_err() {
                ahead.clear();
                return Err(Refusal::Error("the system gives no random bytes".into()));
            }
        }
        let rest = ahead.len() - count;
        let bytes = ahead.get_mut(rest..).unwrap_or_default();
        let taken = take(bytes);
        bytes.fill(0);
        ahead.truncate(rest);
        Ok(taken)
    })
}

/// A text of letters and digits.
pub(super) fn text(count: usize) -> Outcome<String> {
    Ok(bytes(count)?.into_iter().map(|byte| char::from(LETTERS[usize::from(byte % 62)])).collect())
}

/// An SSRC for our own reports.
pub(super) fn ssrc() -> Outcome<u32> {
    Ok(drawn(4, number)?.max(1))
}

/// A first sequence number, below 2^15 (RFC 3711 section 3.3.1).
pub(super) fn first_sequence() -> Outcome<u16> {
    #[expect(clippy::cast_possible_truncation, reason = "of 15 bits")]
    drawn(2, |bytes| (number(bytes) >> 1) as u16)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_byte_is_given_twice_however_many_are_drawn() {
        let mut seen = BTreeSet::new();
        for count in (0..200).map(|at| 16 + at % 7).chain([AHEAD_BYTES + 1, AHEAD_BYTES * 3, 16]) {
            let drawn = bytes(count).expect("there are some");
            assert_eq!(drawn.len(), count);
            assert!(drawn.chunks_exact(16).all(|part| seen.insert(part.to_vec())), "{count} bytes, some of them again");
        }
        assert!(AHEAD.with_borrow(|ahead| ahead.len() <= AHEAD_BYTES), "what is drawn ahead is bounded");
        let letters = text(1_000).expect("there are some");
        assert!(letters.bytes().all(|letter| letter.is_ascii_alphanumeric()), "{letters}");
        assert!((0..1_000).all(|_| first_sequence().is_ok_and(|first| first < 1 << 15)));
    }
}
