//! Rate limit of key frame requests: one per [`KEY_FRAME_INTERVAL`] while the sender does not answer, half of it after
//! an answer, however many receivers ask.

use crate::limits::KEY_FRAME_INTERVAL;
use crate::time::Instant;

/// State of the requests of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyFrameRequests {
    /// When the last request was sent, and whether a key frame has come since.
    sent: Option<(Instant, bool)>,
    wanted: bool,
}

impl KeyFrameRequests {
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
        let at = match self.sent {
            None => Instant::default(),
            Some((at, true)) => at + KEY_FRAME_INTERVAL / 2,
            Some((at, false)) => at + KEY_FRAME_INTERVAL,
        };
        self.wanted.then_some(at)
    }

    /// A request was sent. It stays wanted until it is answered, if `retry` says so.
    pub(crate) fn sent(&mut self, now: Instant, retry: bool) {
        self.sent = Some((now, false));
        self.wanted = retry;
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
    fn a_storm_becomes_one_request_a_second_or_two_if_answered() {
        assert_eq!(storm(10_000, None), 10);
        assert_eq!(storm(10_000, Some(50)), 20);
    }

    #[test]
    fn an_answer_ends_the_wish() {
        let mut requests = KeyFrameRequests::default();
        requests.want();
        requests.sent(at(0), true);
        assert_eq!(requests.due(), Some(at(1_000)));
        requests.received();
        assert_eq!(requests.due(), None);
    }
}
