//! A flow that behaves as TCP does: NewReno (RFC 6582) with exact knowledge of what was lost (RFC 6675), without
//! delayed acknowledgements.

use std::collections::VecDeque;

/// Bytes of a segment on the wire.
pub(super) const SEGMENT_BYTES: u32 = 1_500;
/// Segments that may be sent at first (RFC 6928).
const INITIAL_WINDOW: f64 = 10.0;
/// An acknowledgement of this many later segments means that one was lost.
const DUPLICATES: u8 = 3;
/// Least time after which what was not acknowledged counts as lost (RFC 6298).
const LEAST_TIMEOUT_US: u64 = 1_000_000;

/// A segment under way.
#[derive(Debug)]
struct Segment {
    sequence: u64,
    sent_us: u64,
    later: u8,
}

/// The sending side.
#[derive(Debug)]
pub(super) struct Tcp {
    window: f64,
    threshold: f64,
    next: u64,
    /// Losses before this one belong to a reduction that was made.
    recover: u64,
    under_way: VecDeque<Segment>,
    /// Bytes that are still to be sent; `None` if there is no end.
    left: Option<u64>,
    round_trip_us: u64,
}

impl Tcp {
    /// A connection that sends so many bytes, or without end.
    pub(super) const fn new(bytes: Option<u64>) -> Self {
        Self {
            window: INITIAL_WINDOW,
            threshold: f64::MAX,
            next: 0,
            recover: 0,
            under_way: VecDeque::new(),
            left: bytes,
            round_trip_us: LEAST_TIMEOUT_US,
        }
    }

    /// The number of a segment that may leave now.
    pub(super) fn poll(&mut self, now_us: u64) -> Option<u64> {
        if self.left == Some(0) || self.under_way.len() as f64 >= self.window.floor().max(1.0) {
            return None;
        }
        self.left = self.left.map(|left| left.saturating_sub(u64::from(SEGMENT_BYTES)));
        let sequence = self.next;
        self.next += 1;
        self.under_way.push_back(Segment { sequence, sent_us: now_us, later: 0 });
        Some(sequence)
    }

    /// A segment was acknowledged.
    pub(super) fn acknowledged(&mut self, now_us: u64, sequence: u64) {
        let Some(at) = self.under_way.iter().position(|segment| segment.sequence == sequence) else { return };
        if let Some(segment) = self.under_way.remove(at) {
            self.round_trip_us = now_us - segment.sent_us;
        }
        self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        for segment in self.under_way.iter_mut().take(at) {
            segment.later += 1;
        }
        while let Some(segment) = self.under_way.front().filter(|segment| segment.later >= DUPLICATES) {
            let is_new = segment.sequence >= self.recover;
            self.under_way.pop_front();
            self.again(1);
            if is_new {
                self.threshold = (self.window / 2.0).max(2.0);
                (self.window, self.recover) = (self.threshold, self.next);
            }
        }
    }

    /// Looks whether nothing has been acknowledged for too long.
    pub(super) fn check(&mut self, now_us: u64) {
        let timeout_us = LEAST_TIMEOUT_US.max(self.round_trip_us * 2);
        if self.under_way.front().is_some_and(|segment| now_us - segment.sent_us > timeout_us) {
            self.again(self.under_way.len() as u64);
            self.under_way.clear();
            self.threshold = (self.window / 2.0).max(2.0);
            (self.window, self.recover) = (1.0, self.next);
        }
    }

    fn again(&mut self, segments: u64) {
        self.left = self.left.map(|left| left + segments * u64::from(SEGMENT_BYTES));
    }

    /// Everything has been acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.left == Some(0) && self.under_way.is_empty()
    }
}
