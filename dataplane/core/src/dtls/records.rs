//! The records of a datagram, as far as they can be told without keys: what is let in to the library.
//!
//! A handshake begins in the clear, so anyone who can send on its path can write into it. What cannot be part of any
//! handshake is kept out: in the library's queue it would keep back what comes after it, or take up memory.

use crate::limits::{MAX_HANDSHAKE_MESSAGE_BYTES, MAX_HANDSHAKE_MESSAGES};

/// Bytes of the header of a record, and of a message in it.
const RECORD_HEADER_BYTES: usize = 13;
const MESSAGE_HEADER_BYTES: usize = 12;
/// Types of records in the clear.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// The level of an alert after which nothing follows.
const FATAL: u8 = 2;
/// The one message that has no bytes and is sent (RFC 5246 section 7.4.5).
const SERVER_HELLO_DONE: u8 = 14;

/// The records of a datagram (RFC 6347 section 4.1, RFC 9147 section 4). What is none, or is cut off, comes last and
/// whole.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let len = match *self.0 {
            [] => return None,
            // DTLSCiphertext: of its flags, C (an identifier: never negotiated) and L (a length) matter here.
            [0x24..=0x27 | 0x34..=0x37, _, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
            [0x2c..=0x2f | 0x3c..=0x3f, _, _, high, low, ..] => 5 + usize::from(u16::from_be_bytes([high, low])),
            [20..=31, _, _, _, _, _, _, _, _, _, _, high, low, ..] => 13 + usize::from(u16::from_be_bytes([high, low])),
            _ => self.0.len(),
        };
        let (record, rest) = self.0.split_at_checked(len).unwrap_or((self.0, &[]));
        self.0 = rest;
        Some(record)
    }
}

/// What a datagram is of a client's first message, which may come in several (RFC 6347 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelloPart {
    /// Its beginning, or all of it.
    Beginning,
    /// What follows the beginning.
    Rest,
    /// Nothing that belongs there.
    None,
}

impl HelloPart {
    /// By its first record: that header, the message's type, length and number, the fragment's place and length.
    pub(super) fn of(datagram: &[u8]) -> Self {
        let [22, _, _, 0, 0, _, _, _, _, _, _, _, _, 1, l0, l1, l2, 0, 0, o0, o1, o2, f0, f1, f2, ..] = *datagram
        else {
            return Self::None;
        };
        let [len, from, fragment_len] = [[0, l0, l1, l2], [0, o0, o1, o2], [0, f0, f1, f2]].map(u32::from_be_bytes);
        match from {
            0 => Self::Beginning,
            _ if from + fragment_len <= len => Self::Rest,
            _ => Self::None,
        }
    }
}

/// Whether a record may be part of a handshake. Those that are encrypted may: only the library can tell. In the clear,
/// alerts can be forged, so they are ignored (RFC 6347 section 4.1.2.7), and messages must be of a known type.
pub(super) fn is_lawful(record: &[u8]) -> bool {
    match *record {
        [ALERT, _, _, 0, 0, ..] => false,
        [HANDSHAKE, _, _, 0, 0, ..] => are_messages(record.get(RECORD_HEADER_BYTES..).unwrap_or_default()),
        _ => true,
    }
}

/// The description of an alert in the clear that ends a handshake, by what it says of itself.
pub(super) fn fatal_alert(record: &[u8]) -> Option<u8> {
    match *record {
        [ALERT, _, _, 0, 0, _, _, _, _, _, _, 0, 2, FATAL, description] => Some(description),
        _ => None,
    }
}

/// Whether these are messages of a handshake, or fragments of such, one at least and none cut off.
fn are_messages(mut body: &[u8]) -> bool {
    let mut count = 0;
    while let Some((header, rest)) = body.split_first_chunk::<MESSAGE_HEADER_BYTES>() {
        let [kind, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = *header;
        let [len, from, fragment_len] = [[0, l0, l1, l2], [0, o0, o1, o2], [0, f0, f1, f2]].map(u32::from_be_bytes);
        let is_there = fragment_len > 0 || (len == 0 && kind == SERVER_HELLO_DONE);
        let fits = from + fragment_len <= len && len <= MAX_HANDSHAKE_MESSAGE_BYTES;
        let Some(rest) = rest.get(fragment_len as usize..).filter(|_| is_there && fits) else { return false };
        if u16::from_be_bytes([s0, s1]) >= MAX_HANDSHAKE_MESSAGES {
            return false;
        }
        (body, count) = (rest, count + 1);
    }
    body.is_empty() && count > 0
}

#[cfg(test)]
mod tests {
    use super::{HelloPart, Records, fatal_alert, is_lawful};

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, body.len() as u8], body].concat()
    }

    fn message(kind: u8, len: u8, number: u8, from: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0, len, 0, number, 0, 0, from, 0, 0, body.len() as u8], body].concat()
    }

    #[test]
    fn records_are_told_apart() {
        let first = record(22, &message(1, 3, 0, 0, &[1, 2, 3]));
        let second = record(20, &[1]);
        let short = [0x2E, 7, 0, 0, 2, 9, 9];
        let short = &short[..];
        let datagram = [&first[..], &second, short, &[0x26, 1, 0, 1, 5], &[0x22, 1, 2, 3]].concat();
        let records: Vec<_> = Records(&datagram).collect();
        assert_eq!(records, [&first[..], &second, short, &[0x26, 1, 0, 1, 5], &[0x22, 1, 2, 3]]);
        for len in 0..datagram.len() {
            assert_eq!(Records(&datagram[..len]).collect::<Vec<_>>().concat(), datagram[..len], "nothing is lost");
        }
        assert_eq!(Records(&[0; 60]).count(), 1);
    }

    #[test]
    fn what_no_handshake_has_is_kept_out() {
        let lawful = |body: &[u8]| is_lawful(&record(22, body));
        assert!(lawful(&message(1, 3, 0, 0, &[1, 2, 3])));
        assert!(lawful(&message(1, 9, 0, 3, &[1, 2, 3])), "a fragment");
        assert!(lawful(&[message(11, 3, 1, 0, &[1, 2, 3]), message(14, 0, 2, 0, &[])].concat()), "two, the last empty");
        assert!(!lawful(&[]));
        assert!(!lawful(&message(1, 0, 0, 0, &[])), "a hello of no bytes");
        assert!(!lawful(&message(1, 9, 0, 3, &[])), "a fragment of no bytes");
        assert!(!lawful(&message(1, 3, 0, 1, &[1, 2, 3])), "beyond its message");
        assert!(!lawful(&message(1, 3, 99, 0, &[1, 2, 3])), "far ahead");
        assert!(!lawful(&[message(1, 3, 0, 0, &[1, 2, 3]), vec![1, 2]].concat()), "bytes behind it");
        assert!(!lawful(&message(1, 3, 0, 0, &[1, 2, 3])[..14]), "cut off");
        assert!(!lawful(&[1, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 1]), "16 MB");
        assert!(!is_lawful(&record(21, &[2, 40])), "an alert in the clear");
        assert_eq!(fatal_alert(&record(21, &[2, 40])), Some(40));
        for other in [record(21, &[1, 0]), record(21, &[2, 40, 0]), record(21, &[2]), record(22, &[2, 40])] {
            assert_eq!(fatal_alert(&other), None, "{other:?}");
        }
        assert_eq!(fatal_alert(&[21, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]), None, "encrypted");
        assert!(is_lawful(&[21, 0xFE, 0xFD, 0, 1, 0]), "an alert that is encrypted");
        assert!(is_lawful(&[22, 0xFE, 0xFD, 0, 1, 0]), "and a Finished");
        assert!(is_lawful(&[0x2F, 1, 2, 3]));
    }

    #[test]
    fn parts_of_a_hello() {
        let of =
            |kind, len, number, from, body: &[u8]| HelloPart::of(&record(22, &message(kind, len, number, from, body)));
        assert_eq!(of(1, 3, 0, 0, &[1, 2, 3]), HelloPart::Beginning);
        assert_eq!(of(1, 9, 0, 0, &[1, 2, 3]), HelloPart::Beginning);
        assert_eq!(of(1, 9, 0, 3, &[1, 2, 3]), HelloPart::Rest);
        assert_eq!(of(1, 9, 0, 7, &[1, 2, 3]), HelloPart::None, "beyond it");
        assert_eq!(of(1, 3, 1, 0, &[1, 2, 3]), HelloPart::None, "the second hello");
        assert_eq!(of(11, 3, 0, 0, &[1, 2, 3]), HelloPart::None);
        assert_eq!(HelloPart::of(&[22, 0xFE, 0xFD, 0, 0]), HelloPart::None);
    }
}
