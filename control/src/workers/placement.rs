//! On which worker the next room is made: a function of whose turn it is, what is drawn, and how busy each worker is.

use crate::settings::Placement;

/// What a room that has just been made is thought to take of a core until the next heartbeat, in percent: so that rooms
/// that are made at once do not all go where it was least busy.
const NEW_ROOM_PERCENT: f64 = 1.0;

/// A worker, as far as it matters for where a room is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// CPU that it used of its core at the last heartbeat, in percent.
    pub(super) cpu_percent: f64,
    /// Rooms that were made there since.
    pub(super) new_rooms: u32,
    /// How much its core can do beside the others: at least 1.
    pub(super) weight: u32,
}

impl Load {
    fn of_weight(self) -> f64 {
        (self.cpu_percent + NEW_ROOM_PERCENT * f64::from(self.new_rooms)) / f64::from(self.weight.max(1))
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
        let load =
            |(cpu_percent, weight): (&f64, &u32)| Load { cpu_percent: *cpu_percent, new_rooms: 0, weight: *weight };
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
