//! When the sender of a stream is asked for a key frame, however many receivers want one.
//!
//! A request names one encoding of a producer. Chromium (156) and Firefox (153) answer it with key frames of all of
//! them, and Chromium passes over for good a request that comes within 300 ms of one that it answered. So a request
//! counts as one to all encodings. It is repeated after [`KEY_FRAME_RETRY`] for those from which no key frame has come;
//! after an answer the next one leaves [`KEY_FRAME_INTERVAL`] after the last.

use std::time::Duration;

use super::history::PacketMeta;
use crate::limits::{KEY_FRAME_INTERVAL, KEY_FRAME_RETRY};
use crate::time::Instant;

/// First packet of a key frame that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyFrame {
    sequence: u64,
    timestamp: u32,
    arrived: Instant,
}

impl KeyFrame {
    /// The newest, when a packet has come that starts one. Several may, of one frame: the first counts.
    pub(super) fn begun(newest: Option<Self>, meta: &PacketMeta) -> Self {
        let PacketMeta { sequence, timestamp, arrived, .. } = *meta;
        let stays = |known: &Self| match known.timestamp == timestamp {
            true => known.sequence <= sequence,
            false => known.sequence >= sequence,
        };
        newest.filter(stays).unwrap_or(Self { sequence, timestamp, arrived })
    }

    /// Its first packet, and when that came.
    pub(super) const fn first(self) -> (u64, Instant) {
        (self.sequence, self.arrived)
    }
}

/// State of the requests of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyFrameRequests {
    /// When its producer's sender was last asked, and whether a key frame has come since.
    sent: Option<(Instant, bool)>,
    wanted: bool,
    /// Least time between two requests that control has asked for, in milliseconds.
    delay_ms: u16,
}

impl KeyFrameRequests {
    /// None yet; at most one in so many milliseconds, if that is more than our own least time.
    pub(crate) const fn every(delay_ms: u16) -> Self {
        Self { sent: None, wanted: false, delay_ms }
    }

    /// Somebody needs a key frame.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// A key frame has come, so none is wanted.
    pub(crate) fn received(&mut self) {
        self.wanted = false;
        if let Some((_, answered)) = &mut self.sent {
            *answered = true;
        }
    }

    /// When to send the next request, if one is wanted; `now` or earlier means at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        let delay = Duration::from_millis(self.delay_ms.into());
        let at = match self.sent {
            None => Instant::default(),
            Some((at, true)) => at + KEY_FRAME_INTERVAL.max(delay),
            Some((at, false)) => at + KEY_FRAME_RETRY.max(delay),
        };
        self.wanted.then_some(at)
    }

    /// Whether a key frame is wanted or has been asked for and may still come: one more receiver that wants it costs
    /// nothing.
    pub(crate) fn is_under_way(&self, now: Instant) -> bool {
        self.wanted || self.sent.is_some_and(|(at, answered)| !answered && now < at + KEY_FRAME_RETRY)
    }

    /// A request for this stream was sent. It stays wanted until it is answered, if `retry` says so.
    pub(crate) fn sent(&mut self, now: Instant, retry: bool) {
        self.sent = Some((now, false));
        self.wanted = retry;
    }

    /// A request for another stream of the producer was sent. What was wanted here stays wanted until it comes.
    pub(crate) fn sent_for_another(&mut self, now: Instant) {
        self.sent = Some((now, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Sends whenever allowed while somebody asks every 10 ms; returns how many requests left in `millis`.
    fn storm(millis: u64, answer_after: Option<u64>) -> usize {
        let mut requests = KeyFrameRequests::default();
        let mut sent = Vec::new();
        for now in (0..millis).step_by(10) {
            if let (Some(delay), Some(last)) = (answer_after, sent.last())
                && now == last + delay
            {
                requests.received();
            }
            requests.want();
            if requests.due().is_some_and(|due| due <= at(now)) {
                requests.sent(at(now), true);
                sent.push(now);
            }
        }
        sent.len()
    }

    #[test]
    fn a_storm_becomes_two_requests_a_second() {
        assert_eq!(storm(10_000, None), 25);
        assert_eq!(storm(10_000, Some(50)), 20);
    }

    #[test]
    fn control_may_ask_for_fewer() {
        let mut requests = KeyFrameRequests::every(2_000);
        requests.want();
        requests.sent(at(0), true);
        assert_eq!(requests.due(), Some(at(2_000)));
        requests.received();
        requests.want();
        assert_eq!(requests.due(), Some(at(2_000)));
    }

    #[test]
    fn an_answer_ends_the_wish() {
        let mut requests = KeyFrameRequests::default();
        requests.want();
        requests.sent(at(0), true);
        assert_eq!(requests.due(), Some(at(400)));
        requests.received();
        assert_eq!(requests.due(), None);
    }

    #[test]
    fn a_request_for_another_stream_counts_here() {
        let mut requests = KeyFrameRequests::default();
        requests.want();
        requests.sent_for_another(at(1_000));
        assert_eq!(requests.due(), Some(at(1_400)), "if none comes with the other's");
        assert!(requests.is_under_way(at(1_000)));
        requests.received();
        assert!(!requests.is_under_way(at(1_100)));
        requests.want();
        assert_eq!(requests.due(), Some(at(1_500)));
    }
}
