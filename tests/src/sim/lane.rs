//! A lane from one worker to the other, which now and then is full for a while: its reader has other things to do, and
//! what finds no room is refused.

use std::time::Duration;

use corecast_core::{EndpointId, Instant};

use super::numbers::MS;
use super::random::Random;

/// Until so long after a lane was full what it did not take may still be asked for and sent again.
const REPAIR: Duration = Duration::from_secs(1);

/// Nothing is read from then until then, and so many packets wait at most.
#[derive(Clone, Copy, Debug)]
struct Jam {
    begins: Instant,
    ends: Instant,
    room: usize,
}

/// What one worker has written for the other.
#[derive(Debug, Default)]
pub(super) struct Lane {
    jams: Vec<Jam>,
    waiting: Vec<(EndpointId, Vec<u8>)>,
}

impl Lane {
    /// One that is full once to four times, for up to 150 ms each, before this moment.
    pub(super) fn draw(random: &mut Random, end_ns: u64) -> Self {
        let jams = (0..random.range(1..=4)).map(|_| {
            let ends = random.range(100 * MS..=end_ns);
            let begins = ends.saturating_sub(random.range(1..=150) * MS);
            let room = usize::try_from(random.pick(&[0, 1, 8, 64])).expect("small");
            Jam { begins: Instant::from_nanos(begins), ends: Instant::from_nanos(ends), room }
        });
        Self { jams: jams.collect(), waiting: Vec::new() }
    }

    /// Whether and how it is full now, as far as readers are concerned.
    fn jam(&self, now: Instant) -> Option<&Jam> {
        self.jams.iter().find(|jam| jam.begins <= now && now < jam.ends)
    }

    /// False if there is no room for this packet.
    pub(super) fn write(&mut self, now: Instant, end: EndpointId, packet: Vec<u8>) -> bool {
        let has_room = self.jam(now).is_none_or(|jam| self.waiting.len() < jam.room);
        if has_room {
            self.waiting.push((end, packet));
        }
        has_room
    }

    /// All that waits; nothing while it is not read.
    pub(super) fn read(&mut self, now: Instant) -> Vec<(EndpointId, Vec<u8>)> {
        if self.jam(now).is_some() { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }

    /// When what waits is read; none if nothing waits.
    pub(super) fn is_read_at(&self, now: Instant) -> Option<Instant> {
        let ends = self.jam(now).map_or(now, |jam| jam.ends);
        (!self.waiting.is_empty()).then_some(ends)
    }

    /// Both workers are gone, and so is what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// It is full, or was so lately that what it has not taken may not have been repaired.
    pub(super) fn is_behind(&self, now: Instant) -> bool {
        self.jams.iter().any(|jam| jam.begins <= now && now < jam.ends + REPAIR)
    }
}
