//! On which worker the next room is made: a function of whose turn it is, what is drawn, and how busy each worker is.

use crate::settings::{Placement, Priority};

/// What a room that has just been made is thought to take of a core until the next heartbeat, in percent: so that rooms
/// that are made at once do not all go where it was least busy.
const NEW_ROOM_PERCENT: f64 = 1.0;
/// The same for a viewer.
const NEW_VIEWER_PERCENT: f64 = 0.1;

/// A worker, as far as it matters for where a room is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// CPU that it used of its core at the last heartbeat, in percent.
    pub(super) cpu_percent: f64,
    /// Rooms that were made there since.
    pub(super) new_rooms: u32,
    /// Viewers that were placed there since.
    pub(super) new_viewers: u32,
    /// How much its core can do beside the others: at least 1.
    pub(super) weight: u32,
}

impl Load {
    fn of_weight(self) -> f64 {
        self.percent() / f64::from(self.weight.max(1))
    }

    /// What it uses of its core, with what has been put there since the last heartbeat.
    fn percent(self) -> f64 {
        let new = NEW_ROOM_PERCENT * f64::from(self.new_rooms) + NEW_VIEWER_PERCENT * f64::from(self.new_viewers);
        self.cpu_percent + new
    }
}

/// How a room of this priority is placed where others are placed so: one of high priority gets the least busy worker.
pub(super) const fn of(others: Placement, priority: Priority) -> Placement {
    match priority {
        Priority::Normal => others,
        Priority::High => Placement::LeastLoaded,
    }
}

/// The place of the worker among these; `None` if there are none. `turn` counts rooms, and `draw` is random.
pub(super) fn choose(placement: Placement, turn: usize, draw: [usize; 2], loads: &[Load]) -> Option<usize> {
    let least = |among: &mut dyn Iterator<Item = usize>| {
        among.filter_map(|at| Some((at, loads.get(at)?.of_weight()))).min_by(|one, other| one.1.total_cmp(&other.1))
    };
    let count = loads.len();
    let found = match placement {
        Placement::RoundRobin => return in_turn(turn, loads),
        // If some are equally busy, the one whose turn it is.
        Placement::LeastLoaded => least(&mut (0..count).map(|at| turn.wrapping_add(at) % count)),
        Placement::PowerOfTwo => {
            let [first, second] = draw;
            let first = first.checked_rem(count)?;
            // Another one than the first, if there is one.
            let second = second.checked_rem(count - 1).map_or(first, |second| (first + 1 + second) % count);
            least(&mut [first, second].into_iter())
        }
    };
    found.map(|(at, _)| at)
}

/// The place of the worker from which a room's next viewer is sent: the room's home until that is past this mark, in
/// percent of its core; then the least busy of those on which the room has branches; and if those are past the mark
/// too, the least busy of all. 0 is no mark: it is home always.
pub(super) fn choose_for_viewer(mark: u8, home: usize, branches: &[usize], loads: &[Load]) -> Option<usize> {
    let has_room = |at: &usize| loads.get(*at).is_some_and(|load| load.percent() < f64::from(mark));
    if mark == 0 || has_room(&home) {
        return Some(home);
    }
    let least = |among: &mut dyn Iterator<Item = usize>| {
        let weighed = among.filter_map(|at| Some((at, loads.get(at)?.of_weight())));
        weighed.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(at, _)| at)
    };
    let ready = least(&mut branches.iter().copied().filter(has_room));
    // Home before others that are as busy.
    ready.or_else(|| least(&mut [home].into_iter().chain((0..loads.len()).filter(|at| *at != home))))
}

/// Each worker comes as often as its weight says, as evenly as can be: one after the other if all weigh the same.
fn in_turn(turn: usize, loads: &[Load]) -> Option<usize> {
    let weights: Vec<i64> = loads.iter().map(|load| i64::from(load.weight.max(1))).collect();
    if weights.windows(2).all(|pair| pair.first() == pair.last()) {
        return turn.checked_rem(loads.len());
    }
    let total: i64 = weights.iter().sum();
    // Smooth weighted round-robin: everybody earns its weight, the richest is chosen and pays for all.
    let mut earned = vec![0; weights.len()];
    let mut chosen = None;
    for _ in 0..=turn.checked_rem(usize::try_from(total).ok()?)? {
        earned.iter_mut().zip(&weights).for_each(|(earned, weight)| *earned += weight);
        let richest = (0..earned.len()).rev().max_by_key(|at| earned.get(*at))?;
        *earned.get_mut(richest)? -= total;
        chosen = Some(richest);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(percents: &[f64], weights: &[u32]) -> Vec<Load> {
        let load = |(cpu_percent, weight): (&f64, &u32)| Load {
            cpu_percent: *cpu_percent,
            new_rooms: 0,
            new_viewers: 0,
            weight: *weight,
        };
        percents.iter().zip(weights).map(load).collect()
    }

    fn turns(placement: Placement, loads: &[Load], count: usize) -> Vec<usize> {
        (0..count).map(|turn| choose(placement, turn, [turn, 3 * turn], loads).expect("there are workers")).collect()
    }

    #[test]
    fn without_workers_nobody_is_chosen() {
        for placement in [Placement::RoundRobin, Placement::LeastLoaded, Placement::PowerOfTwo] {
            assert_eq!(choose(placement, 5, [1, 2], &[]), None);
            assert_eq!(choose(placement, 5, [1, 2], &loads(&[50.0], &[1])), Some(0));
        }
    }

    #[test]
    fn round_robin_takes_one_after_the_other_whatever_they_do() {
        let loads = loads(&[90.0, 0.0, 10.0], &[4, 4, 4]);
        assert_eq!(turns(Placement::RoundRobin, &loads, 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn round_robin_takes_a_worker_as_often_as_it_weighs() {
        let loads = loads(&[0.0; 3], &[4, 2, 1]);
        let taken = turns(Placement::RoundRobin, &loads, 14);
        assert_eq!(taken[..7], [0, 1, 0, 2, 0, 1, 0]);
        assert_eq!(taken[7..], taken[..7]);
    }

    #[test]
    fn the_least_busy_is_taken_for_what_its_core_can_do() {
        assert_eq!(choose(Placement::LeastLoaded, 0, [0, 0], &loads(&[40.0, 30.0, 50.0], &[1; 3])), Some(1));
        assert_eq!(choose(Placement::LeastLoaded, 0, [0, 0], &loads(&[40.0, 30.0, 50.0], &[1, 1, 2])), Some(2));
        // Those that are equally busy take turns.
        assert_eq!(turns(Placement::LeastLoaded, &loads(&[0.0; 3], &[1; 3]), 4), [0, 1, 2, 0]);
    }

    #[test]
    fn a_room_of_high_priority_gets_the_least_busy_worker() {
        let loads = loads(&[40.0, 5.0, 50.0], &[1; 3]);
        for others in [Placement::RoundRobin, Placement::LeastLoaded, Placement::PowerOfTwo] {
            let taken = (0..3).map(|turn| choose(of(others, Priority::High), turn, [0, 1], &loads));
            assert!(taken.into_iter().all(|at| at == Some(1)), "{others:?}");
            assert_eq!(of(others, Priority::Normal), others);
        }
    }

    #[test]
    fn a_room_grows_when_its_home_is_busy() {
        let place = |percents: &[f64], branches: &[usize]| {
            choose_for_viewer(60, 1, branches, &loads(percents, &[1; 3])).expect("there are workers")
        };
        assert_eq!(place(&[0.0, 59.0, 0.0], &[]), 1, "home has room");
        assert_eq!(place(&[20.0, 61.0, 10.0], &[]), 2, "the least busy of the others");
        assert_eq!(place(&[20.0, 61.0, 10.0], &[0]), 0, "the one that has the streams already");
        assert_eq!(place(&[70.0, 61.0, 10.0], &[0]), 2, "that one is busy, too");
        assert_eq!(place(&[70.0, 61.0, 80.0], &[0, 2]), 1, "all are busy, home the least");
        assert_eq!(place(&[70.0, 30.0, 80.0], &[0, 2]), 1, "home has room again");
        assert_eq!(choose_for_viewer(0, 1, &[], &loads(&[0.0, 99.0], &[1; 2])), Some(1), "turned off");
        assert_eq!(choose_for_viewer(60, 0, &[], &[]), None);
    }

    #[test]
    fn viewers_that_come_at_once_are_spread() {
        let mut loads = loads(&[59.0, 0.0, 0.0], &[1; 3]);
        let mut placed = [0; 3];
        for _ in 0..1_400 {
            let branches: Vec<usize> = (1..3).filter(|at| placed[*at] > 0).collect();
            let at = choose_for_viewer(60, 0, &branches, &loads).expect("there are workers");
            loads[at].new_viewers += 1;
            placed[at] += 1;
        }
        // Home until it is past the mark, then where there is more room, until all are as busy.
        assert!(placed[0] < 100 && placed[1] >= 600 && placed[2] >= 600, "{placed:?}");
    }

    #[test]
    fn rooms_that_are_made_at_once_are_spread() {
        let mut loads = loads(&[5.0, 1.0, 3.5], &[1; 3]);
        let mut taken = Vec::new();
        for turn in 0..9 {
            let at = choose(Placement::LeastLoaded, turn, [0, 0], &loads).expect("there are workers");
            loads[at].new_rooms += 1;
            taken.push(at);
        }
        assert_eq!(taken.iter().filter(|at| **at == 1).count(), 5, "{taken:?}");
        assert!(taken.contains(&0) && taken.contains(&2), "{taken:?}");
    }

    #[test]
    fn of_two_that_are_drawn_the_less_busy_is_taken() {
        let loads = loads(&[10.0, 90.0, 50.0, 20.0], &[1; 4]);
        // The second draw is counted from behind the first, so the two differ.
        for (draw, expected) in [([1, 0], 2), ([1, 1], 3), ([1, 2], 0), ([3, 2], 2), ([5, 0], 2), ([1, 3], 2)] {
            let expected = if draw == [3, 2] { 3 } else { expected };
            assert_eq!(choose(Placement::PowerOfTwo, 0, draw, &loads), Some(expected), "{draw:?}");
        }
        let busiest = (0..400).filter(|n| choose(Placement::PowerOfTwo, 0, [*n, *n / 4], &loads) == Some(1)).count();
        assert_eq!(busiest, 0, "the busiest is never less busy than another");
    }
}
