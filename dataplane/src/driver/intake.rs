//! Results of a wait: reasons to wake up, and receive buffers that the kernel has filled.
//!
//! Owns the list of filled buffers and the counters of receiving. The memory of the buffers is the backend's, `ring` or
//! `mmsg`; both fill this list, and the driver hands out datagrams from it.

use std::collections::VecDeque;
use std::ops::Range;

use corecast_core::{EndpointId, Path};

/// Truncated messages whose paths are remembered until they are asked for; further ones are only counted.
const MAX_TRUNCATED: usize = 256;

/// Reasons why the thread woke up. All false: the time was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// The link can be read.
    pub link: bool,
    /// There are datagrams to collect.
    pub datagrams: bool,
    /// There is something to collect from TCP connections, or from their listeners.
    pub connections: bool,
    /// Another worker has rung.
    pub bell: bool,
}

/// A descriptor besides the sockets that ends a wait when it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Link,
    Connections,
    Bell,
}

impl Watch {
    /// All of them.
    pub(super) const COUNT: usize = 3;
}

/// A message in a receive buffer: one datagram, or several of one length that the kernel has coalesced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Number of the buffer.
    pub(super) buffer: u16,
    pub(super) local: EndpointId,
    pub(super) remote: std::net::SocketAddr,
    /// Where in the buffer the next datagram begins, and where the last one ends.
    pub(super) at: usize,
    pub(super) end: usize,
    /// Length of every datagram but the last, in bytes. Never 0.
    pub(super) segment_len: usize,
    /// Unix time at which the kernel took the message in, in nanoseconds, if it says so.
    pub(super) taken_in_ns: Option<u64>,
}

/// Receive buffers that the kernel has filled and that have not been handed out, oldest first.
#[derive(Debug, Default)]
pub(super) struct ReceiveBuffers {
    filled: VecDeque<Arrival>,
    truncated_from: Vec<Path>,
    truncated: u64,
    overflows: u64,
    rearmed: u64,
}

impl ReceiveBuffers {
    pub(super) fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// A buffer has been filled.
    pub(super) fn push(&mut self, arrival: Arrival) {
        self.filled.push_back(arrival);
    }

    /// The number of the oldest buffer if all of its datagrams have been handed out. The buffer is forgotten.
    pub(super) fn pop_finished(&mut self) -> Option<u16> {
        let finished = self.filled.front().is_some_and(|arrival| arrival.at >= arrival.end);
        if finished { self.filled.pop_front().map(|arrival| arrival.buffer) } else { None }
    }

    /// The next datagram of the oldest buffer: its path, when the kernel took it in, the buffer's number, and where in
    /// the buffer it lies.
    pub(super) fn next_datagram(&mut self) -> Option<(Path, Option<u64>, u16, Range<usize>)> {
        let arrival = self.filled.front_mut()?;
        let from = arrival.at;
        arrival.at = arrival.end.min(from.saturating_add(arrival.segment_len));
        let path = Path { local: arrival.local, remote: arrival.remote };
        Some((path, arrival.taken_in_ns, arrival.buffer, from..arrival.at))
    }

    /// Forgets the buffers of a socket that is being closed; `give_back` is told each buffer's number.
    pub(super) fn drop_socket(&mut self, id: EndpointId, mut give_back: impl FnMut(u16)) {
        self.filled.retain(|arrival| {
            let keep = arrival.local != id;
            if !keep {
                give_back(arrival.buffer);
            }
            keep
        });
    }

    /// Counts a message that did not fit its buffer.
    pub(super) fn record_truncated(&mut self, path: Path) {
        self.truncated += 1;
        if self.truncated_from.len() < MAX_TRUNCATED {
            self.truncated_from.push(path);
        }
    }

    /// The path of a message that did not fit its buffer.
    pub(super) fn next_truncated(&mut self) -> Option<Path> {
        self.truncated_from.pop()
    }

    /// `seen` is the socket's count of lost datagrams at the last message, `count` its count now, modulo 2^32.
    pub(super) fn record_overflows(&mut self, seen: &mut u32, count: Option<u32>) {
        if let Some(count) = count {
            self.overflows += u64::from(count.wrapping_sub(*seen));
            *seen = count;
        }
    }

    /// Counts a receive that ended because all buffers were in use.
    pub(super) const fn record_exhausted(&mut self) {
        self.rearmed += 1;
    }

    /// Messages that were truncated, datagrams that sockets have lost, and receives that had to be armed again.
    pub(super) const fn counts(&self) -> (u64, u64, u64) {
        (self.truncated, self.overflows, self.rearmed)
    }
}
