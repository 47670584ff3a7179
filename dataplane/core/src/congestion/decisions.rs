//! The newest of what was seen of a path and decided for its receiver: for people who ask why.

use std::collections::VecDeque;
use std::time::Duration;

use corecast_wire::{Decided, Decision};

use crate::limits::MAX_DECISIONS;
use crate::time::Instant;

/// What is seen of a path is noted so often, and when it has changed by more than a tenth.
const INTERVAL: Duration = Duration::from_secs(1);

/// Room for so many more is made when there is none.
const MORE_ROOM: usize = 32;
const _: () = assert!(MAX_DECISIONS.is_multiple_of(MORE_ROOM));

/// What was seen and decided, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    all: VecDeque<(Instant, Decided)>,
    /// What was noted of the path last.
    path: Option<(Instant, Decided)>,
}

impl Decisions {
    /// Notes something; the oldest makes room.
    pub(crate) fn push(&mut self, now: Instant, decided: Decided) {
        if self.all.len() >= MAX_DECISIONS {
            self.all.pop_front();
        } else if self.all.len() == self.all.capacity() {
            // Twice as much room each time would be more than is ever used.
            self.all.reserve_exact(MORE_ROOM);
        }
        self.all.push_back((now, decided));
    }

    /// Notes what is seen of the path, if that is new or was noted a while ago.
    pub(crate) fn push_path(&mut self, now: Instant, seen: Decided) {
        if self.path.is_none_or(|(at, known)| now.since(at) >= INTERVAL || differs(known, seen)) {
            self.path = Some((now, seen));
            self.push(now, seen);
        }
    }

    /// All of it, for control.
    pub(crate) fn told(&self, now: Instant) -> Vec<Decision> {
        let ago_ms = |at: Instant| u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX);
        self.all.iter().map(|(at, decided)| Decision { ago_ms: ago_ms(*at), decided: *decided }).collect()
    }
}

/// Whether the path is by more than a tenth another, or for another reason.
fn differs(known: Decided, seen: Decided) -> bool {
    let (
        Decided::Path { available_bps: before, given_bps: had, cause: why, .. },
        Decided::Path { available_bps, given_bps, cause, .. },
    ) = (known, seen)
    else {
        return true;
    };
    let is_other = |before: u64, now: u64| before.abs_diff(now) > before / 10;
    why != cause || is_other(before.unwrap_or(0), available_bps.unwrap_or(0)) || is_other(had, given_bps)
}

#[cfg(test)]
mod tests {
    use corecast_wire::{ConsumerId, OutgoingCause};

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const fn path(bps: u64, cause: OutgoingCause) -> Decided {
        Decided::Path { available_bps: Some(bps), given_bps: 500, wanted_bps: 900, queue_ms: 1, cause }
    }

    #[test]
    fn a_path_is_noted_once_a_second_and_when_it_changes() {
        let mut decisions = Decisions::default();
        for (millis, bps, cause) in [
            (0, 1_000, OutgoingCause::Start),
            (200, 1_050, OutgoingCause::Start),
            (400, 1_050, OutgoingCause::Increase),
            (600, 800, OutgoingCause::Increase),
            (1_500, 810, OutgoingCause::Increase),
            (1_600, 820, OutgoingCause::Increase),
        ] {
            decisions.push_path(at(millis), path(bps, cause));
        }
        let ago: Vec<_> = decisions.told(at(2_000)).iter().map(|one| one.ago_ms).collect();
        assert_eq!(ago, [2_000, 1_600, 1_400, 400]);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut decisions = Decisions::default();
        for n in 0..MAX_DECISIONS as u64 + 3 {
            let layers = Decided::Layers { consumer: ConsumerId(n), spatial: 1, temporal: 255, suspended: false };
            decisions.push(at(n), layers);
        }
        let told = decisions.told(at(1_000));
        assert_eq!((told.len(), told[0].ago_ms), (MAX_DECISIONS, 997));
    }
}
