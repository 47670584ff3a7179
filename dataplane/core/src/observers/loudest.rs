//! Which producers of a router are heard, if only the loudest are to be.
//!
//! By the levels that senders write (RFC 6464). How loud somebody is rises with a packet, at once, and falls slowly, so
//! that pauses between words change nothing; and it takes a clear difference to take somebody's place. So a word is not
//! cut at its beginning, unless more speak than are to be heard, and two who are equally loud do not take turns.
//! Who writes no levels is always heard, and takes no place from anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::io::Deadline;
use crate::key::ProducerKey;
use crate::time::Instant;

/// Time from one look to the next.
const INTERVAL: Duration = Duration::from_millis(100);
/// How much softer somebody becomes in an interval in which nothing louder comes, in dB.
const FALL_DB: u8 = 2;
/// By how much one has to be louder to take another's place, in dB.
const MARGIN_DB: u8 = 6;
/// Who has written no level for so long is taken for one who writes none.
const FORGET: Duration = Duration::from_secs(5);
/// Level of silence, in -dBov.
const SILENCE: u8 = 127;

/// How loud a producer is.
#[derive(Clone, Copy, Debug, Default)]
struct Loudness {
    /// In dB above silence.
    level_db: u8,
    /// When the newest level came.
    heard_at: Option<Instant>,
    is_withheld: bool,
    is_paused: bool,
}

impl Loudness {
    /// Whether it is one of those who can take each other's places.
    fn is_ranked(&self, now: Instant) -> bool {
        !self.is_paused && self.heard_at.is_some_and(|at| now.since(at) < FORGET)
    }

    /// Rank: who is heard keeps the place against somebody who is a little louder.
    const fn rank(&self) -> u8 {
        self.level_db + if self.is_withheld { 0 } else { MARGIN_DB }
    }
}

/// The producers of a router, of which only the loudest are heard.
#[derive(Debug)]
pub(crate) struct Loudest {
    max: usize,
    producers: BTreeMap<ProducerKey, Loudness>,
    /// Who is withheld and louder than this takes the place of the softest that is heard.
    enters_above_db: u8,
    deadline: Deadline,
}

/// Producers that are withheld from now on (true), or no longer.
pub(crate) type Changes = Vec<(ProducerKey, bool)>;

impl Loudest {
    /// Without producers yet, of which so many will be heard.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, producers: BTreeMap::new(), enters_above_db: u8::MAX, deadline: Deadline::default() }
    }

    /// When the next look is due.
    pub(crate) const fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Time from one look to the next.
    pub(crate) const fn interval(&self) -> Duration {
        INTERVAL
    }

    /// From now on so many are heard.
    pub(crate) const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// A producer is one of them.
    pub(crate) fn add(&mut self, producer: ProducerKey, is_paused: bool) {
        self.producers.insert(producer, Loudness { is_paused, ..Loudness::default() });
    }

    /// A producer was paused or resumed.
    pub(crate) fn set_paused(&mut self, producer: ProducerKey, is_paused: bool) {
        if let Some(loudness) = self.producers.get_mut(&producer) {
            loudness.is_paused = is_paused;
        }
    }

    /// A packet of a producer has this level, in -dBov. True if that takes somebody's place, so that it is time for a
    /// look.
    pub(crate) fn record(&mut self, now: Instant, producer: ProducerKey, level: u8) -> bool {
        let Some(loudness) = self.producers.get_mut(&producer) else { return false };
        loudness.heard_at = Some(now);
        loudness.level_db = loudness.level_db.max(SILENCE.saturating_sub(level));
        loudness.is_withheld && loudness.level_db > self.enters_above_db
    }

    /// An interval is over: what changes. Those of whom `is_there` says so are forgotten.
    pub(crate) fn look(&mut self, now: Instant, is_there: impl Fn(ProducerKey) -> bool) -> Changes {
        self.producers.retain(|producer, _| is_there(*producer));
        for loudness in self.producers.values_mut() {
            loudness.level_db = loudness.level_db.saturating_sub(FALL_DB);
        }
        self.choose(now)
    }

    /// Who is to be heard now: what changes.
    pub(crate) fn choose(&mut self, now: Instant) -> Changes {
        let ranked = self.producers.iter().filter(|(_, loudness)| loudness.is_ranked(now));
        let mut ranked: Vec<_> = ranked.map(|(producer, loudness)| (*producer, *loudness)).collect();
        // The loudest first; of equals those who are heard.
        ranked.sort_by_key(|(_, loudness)| (std::cmp::Reverse(loudness.rank()), loudness.is_withheld));
        let (heard, withheld) = ranked.split_at(self.max.min(ranked.len()));
        let softest = heard.iter().map(|(_, loudness)| loudness.level_db).min();
        let withheld: BTreeSet<_> = withheld.iter().map(|(producer, _)| *producer).collect();
        self.enters_above_db = softest.map_or(u8::MAX, |level_db| level_db + MARGIN_DB);
        let mut changes = Vec::new();
        for (producer, loudness) in &mut self.producers {
            let is_withheld = withheld.contains(producer);
            if std::mem::replace(&mut loudness.is_withheld, is_withheld) != is_withheld {
                changes.push((*producer, is_withheld));
            }
        }
        changes
    }

    /// Its producers, all of which are heard again without it.
    pub(crate) fn producers(&self) -> impl Iterator<Item = ProducerKey> + '_ {
        self.producers.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speakers who talk at the same time, by number, and who of them is heard.
    struct Room {
        loudest: Loudest,
        now: Instant,
        heard: Vec<bool>,
    }

    impl Room {
        fn new(max: usize, speakers: u32) -> Self {
            let mut loudest = Loudest::new(max);
            (0..speakers).for_each(|number| loudest.add(ProducerKey::for_tests(number), false));
            Self { loudest, now: Instant::from_nanos(0), heard: vec![true; speakers as usize] }
        }

        fn change(&mut self, changes: &Changes) {
            for number in 0..self.heard.len() {
                let key = ProducerKey::for_tests(u32::try_from(number).expect("few"));
                for (_, is_withheld) in changes.iter().filter(|(changed, _)| *changed == key) {
                    assert_eq!(self.heard[number], *is_withheld, "a change changes something");
                    self.heard[number] = !is_withheld;
                }
            }
        }

        /// Each sends so many packets, one each 20 ms, of these levels (-dBov); none for those who send none. Who was
        /// heard at each packet, from that packet on.
        fn talk(&mut self, packets: u32, levels: &[Option<u8>]) -> Vec<Vec<bool>> {
            let mut heard = Vec::new();
            for packet in 0..packets {
                self.now = self.now + Duration::from_millis(20);
                for (number, level) in levels.iter().enumerate() {
                    let key = ProducerKey::for_tests(u32::try_from(number).expect("few"));
                    if level.is_some_and(|level| self.loudest.record(self.now, key, level)) {
                        let changes = self.loudest.choose(self.now);
                        self.change(&changes);
                    }
                }
                if packet % 5 == 4 {
                    let changes = self.loudest.look(self.now, |_| true);
                    self.change(&changes);
                }
                heard.push(self.heard.clone());
            }
            heard
        }

        fn count(&self) -> usize {
            self.heard.iter().filter(|heard| **heard).count()
        }
    }

    const QUIET: Option<u8> = Some(90);
    const SPEECH: Option<u8> = Some(30);

    #[test]
    fn who_begins_to_speak_is_heard_with_the_first_packet() {
        let mut room = Room::new(2, 5);
        room.talk(20, &[QUIET; 5]);
        assert_eq!(room.count(), 2);
        for speaker in (0..5).rev() {
            // Somebody has been silent for a while.
            room.talk(200, &[QUIET; 5]);
            let mut levels = [QUIET; 5];
            levels[speaker] = SPEECH;
            let heard = room.talk(50, &levels);
            assert!(heard.iter().all(|heard| heard[speaker]), "{speaker}, from the first packet on");
            assert!(heard.iter().all(|heard| heard.iter().filter(|heard| **heard).count() == 2));
        }
    }

    #[test]
    fn who_speaks_keeps_the_place_in_pauses_between_words() {
        let mut room = Room::new(1, 3);
        room.talk(20, &[QUIET, SPEECH, QUIET]);
        for _ in 0..20 {
            // Somebody else is as loud; the first one pauses for 200 ms in each second.
            let mut heard = room.talk(40, &[QUIET, SPEECH, SPEECH]);
            heard.extend(room.talk(10, &[QUIET, QUIET, SPEECH]));
            assert!(heard.iter().all(|heard| heard[1] && !heard[2]), "{heard:?}");
        }
        // Who has stopped loses it to who goes on.
        room.talk(100, &[QUIET, QUIET, SPEECH]);
        assert_eq!(room.heard, [false, false, true]);
    }

    #[test]
    fn two_who_are_nearly_as_loud_do_not_take_turns() {
        let mut room = Room::new(1, 2);
        room.talk(20, &[SPEECH, QUIET]);
        let mut changes = 0;
        for turn in 0..200_u8 {
            let before = room.heard.clone();
            room.talk(5, &[Some(30 + turn % 2 * 4), Some(34 - turn % 2 * 4)]);
            changes += usize::from(room.heard != before);
        }
        assert_eq!(changes, 0);
    }

    #[test]
    fn who_writes_no_levels_or_is_paused_takes_nobodys_place() {
        let mut room = Room::new(2, 4);
        room.talk(50, &[SPEECH, SPEECH, None, QUIET]);
        assert_eq!(room.heard, [true, true, true, false]);
        // One who stops to write levels is heard again after a while.
        room.talk(300, &[SPEECH, SPEECH, None, None]);
        assert_eq!(room.heard, [true; 4]);
        room.talk(50, &[SPEECH, SPEECH, None, QUIET]);
        assert!(!room.heard[3]);
        room.loudest.set_paused(ProducerKey::for_tests(0), true);
        room.talk(5, &[None, SPEECH, None, QUIET]);
        assert!(room.heard[3], "there is a place");
    }

    #[test]
    fn no_more_are_heard_than_may_be_whatever_is_written() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state % below).expect("a byte")
        };
        let mut room = Room::new(3, 9);
        room.talk(5, &[QUIET; 9]);
        for _ in 0..2_000 {
            let levels: Vec<_> = (0..9).map(|_| (draw(4) > 0).then(|| draw(128))).collect();
            room.talk(1 + u32::from(draw(7)), &levels);
            assert_eq!(room.count(), 3);
        }
        room.loudest.set_max(9);
        let changes = room.loudest.choose(room.now);
        room.change(&changes);
        assert_eq!(room.count(), 9);
    }
}
