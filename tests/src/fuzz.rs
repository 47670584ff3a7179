//! Bodies of the fuzz targets. They live here so that they always compile; `tests/fuzz` only names them, and what is in
//! its corpora is replayed by an ordinary test. A target fails by panicking.

mod parsers;
mod sctp;
pub mod stage;

pub use parsers::{frames, rtcp, rtp, stun};
pub use sctp::sctp;

use stage::Stage;

/// Most records of one input: longer ones only cost time.
const MAX_RECORDS: usize = 200;
/// Bytes of a record before its content: what, where, length.
const HEAD: usize = 4;

/// The whole receive path with keys: a worker with plain and SRTP transports, producers and consumers. The input is a
/// list of records, each a kind, a place, a length (little-endian) and so many bytes.
pub fn receive(data: &[u8]) {
    let mut stage = Stage::new();
    let mut rest = data;
    for _ in 0..MAX_RECORDS {
        let Some((&[kind, place, low, high], tail)) = rest.split_first_chunk::<HEAD>() else { break };
        let len = usize::from(u16::from_le_bytes([low, high])) % 1_600;
        let (bytes, tail) = tail.split_at(len.min(tail.len()));
        rest = tail;
        stage.play(kind, place, bytes);
    }
    stage.settle();
    stage.check();
}

/// A record of [`receive`].
#[must_use]
pub fn record(kind: u8, place: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a datagram");
    [&[kind, place], &len.to_le_bytes()[..], bytes].concat()
}
