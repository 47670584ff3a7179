//! What a path's capacity is spent on: which step each of a receiver's consumers gets.
//!
//! A *step* is what a consumer can be sent, a layer or part of one, from the least on. First each gets its lowest step,
//! those of higher priority first; then what is left goes upward, to those that are lowest. What does not fit is
//! suspended. Steps up are slow and one at a time, steps down are not: who goes up too early comes back down, and
//! either is seen.

use std::time::Duration;

use crate::time::Instant;

/// Most steps of a consumer.
pub(crate) const MAX_STEPS: usize = 12;

/// What is sent may exceed the estimate by so much, in percent; and of the estimate must be left so much to go up.
const EXCESS_PERCENT: u64 = 105;
const MARGIN_PERCENT: u64 = 115;
/// For how long it must exceed it, or have room.
const EXCESS_TIME: Duration = Duration::from_millis(300);
const ROOM_TIME: Duration = Duration::from_secs(1);
/// The same where only the lowest steps are left: what an estimate falls to when the queue grows is less than the path
/// carries, and a picture that stops is worse than one that is late.
const LAST_EXCESS_PERCENT: u64 = 130;
const LAST_EXCESS_TIME: Duration = Duration::from_secs(2);
/// A queue on the path that makes a step down urgent.
const URGENT_QUEUE: Duration = Duration::from_millis(100);
/// Between a step down and the next: the first must have its effect, for which the other layer's key frame must come.
const SETTLE_TIME: Duration = Duration::from_millis(500);
/// Between a change and a step up; and after a step up that had to be taken back, twice as long each time.
const CALM: Duration = Duration::from_secs(2);
const FIRST_PENALTY: Duration = Duration::from_secs(8);
const LONGEST_PENALTY: Duration = Duration::from_secs(60);
/// A step up that lasts so long was right.
const PROVEN: Duration = Duration::from_secs(10);

/// What one consumer could get, and what it gets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// Higher comes first.
    pub(crate) priority: u8,
    /// Bits per second of each step, from the lowest to the best that is wanted. They grow.
    costs: [u64; MAX_STEPS],
    count: u8,
    /// The step that it gets; `None` if it is suspended.
    pub(crate) step: Option<u8>,
    /// Nothing has been decided for it yet, or it had less by its own wish and would like more: it gets at once what
    /// fits.
    pub(crate) is_new: bool,
}

impl Wish {
    /// One of this priority, with no steps yet.
    pub(crate) fn new(priority: u8) -> Self {
        Self { priority, is_new: true, ..Self::default() }
    }

    /// Adds a step above the others. False if that costs hardly more than the one below it, or there are too many.
    pub(crate) fn add_step(&mut self, bps: u64) -> bool {
        let below = self.cost_of(self.count.checked_sub(1));
        let Some(place) = self.costs.get_mut(usize::from(self.count)).filter(|_| bps > below + below / 10) else {
            return false;
        };
        *place = bps;
        self.count += 1;
        true
    }

    /// The last step costs so much, if that is more than was known.
    pub(crate) fn raise_last(&mut self, bps: u64) {
        let last = self.count.checked_sub(1).and_then(|last| self.costs.get_mut(usize::from(last)));
        if let Some(last) = last {
            *last = bps.max(*last);
        }
    }

    /// How many steps it has.
    pub(crate) const fn count(&self) -> u8 {
        self.count
    }

    fn cost_of(&self, step: Option<u8>) -> u64 {
        step.and_then(|step| self.costs.get(usize::from(step))).copied().unwrap_or(0)
    }

    /// What it costs now.
    pub(crate) fn cost(&self) -> u64 {
        self.cost_of(self.step)
    }

    /// What it would cost to have all that it wants.
    pub(crate) fn wanted(&self) -> u64 {
        self.cost_of(self.count.checked_sub(1))
    }

    fn next(&self) -> Option<u8> {
        let next = self.step.map_or(0, |step| step + 1);
        (next < self.count).then_some(next)
    }

    /// What its next step costs more.
    fn more(&self) -> u64 {
        self.cost_of(self.next()).saturating_sub(self.cost())
    }
}

/// What is known of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// What it carries, in bits per second.
    pub(crate) available_bps: u64,
    /// What sound takes of that, which always goes first.
    pub(crate) sound_bps: u64,
    /// How long packets wait on it.
    pub(crate) queue: Duration,
    /// The receiver has said something of it. Before that nothing is suspended.
    pub(crate) is_heard: bool,
    /// A probe has shown that it carries so much, in bits per second.
    pub(crate) proven_bps: u64,
    /// It can be probed. If not, then nothing is learned of it while nothing is sent.
    pub(crate) can_probe: bool,
}

/// Decides, and remembers when it decided what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allocation {
    over_since: Option<Instant>,
    room_since: Option<Instant>,
    changed_at: Option<Instant>,
    /// The last change was a step up, then.
    rose_at: Option<Instant>,
    /// No step up before; and nothing that is suspended comes back before.
    calm_until: Instant,
    suspended_until: Instant,
    penalty: Option<Duration>,
}

impl Allocation {
    /// Decides what each gets.
    pub(crate) fn decide(&mut self, now: Instant, path: Path, wishes: &mut [Wish]) {
        let before: Vec<_> = wishes.iter().map(|wish| wish.step).collect();
        // What is wanted may have become less.
        for wish in wishes.iter_mut() {
            wish.step = wish.step.filter(|_| wish.count > 0).map(|step| step.min(wish.count - 1));
        }
        let spent = path.sound_bps + wishes.iter().map(Wish::cost).sum::<u64>();
        if wishes.iter().any(|wish| wish.is_new) {
            let highest: Vec<_> =
                wishes.iter().map(|wish| if wish.is_new { wish.count.checked_sub(1) } else { wish.step }).collect();
            fill(path.available_bps.saturating_sub(spent), wishes, &highest);
        } else if spent * 100 > path.available_bps * excess_percent(wishes) && spent > path.sound_bps && path.is_heard {
            self.room_since = None;
            self.step_down(now, path, wishes);
        } else {
            self.over_since = None;
            self.step_up(now, path, wishes);
        }
        if !path.is_heard {
            wishes.iter_mut().filter(|wish| wish.step.is_none() && wish.count > 0).for_each(|wish| wish.step = Some(0));
        }
        if wishes.iter().map(|wish| wish.step).ne(before) {
            self.changed_at = Some(now);
        }
    }

    fn step_down(&mut self, now: Instant, path: Path, wishes: &mut [Wish]) {
        let since = *self.over_since.get_or_insert(now);
        let is_last = are_lowest(wishes);
        let is_urgent = path.queue > URGENT_QUEUE && !is_last;
        let is_settled = self.changed_at.is_none_or(|at| now.since(at) > SETTLE_TIME);
        let patience = if is_last { LAST_EXCESS_TIME } else { EXCESS_TIME };
        if !is_settled || !(is_urgent || now.since(since) >= patience) {
            return;
        }
        self.over_since = None;
        let highest: Vec<_> = wishes.iter().map(|wish| wish.step).collect();
        wishes.iter_mut().for_each(|wish| wish.step = None);
        fill(path.available_bps.saturating_sub(path.sound_bps), wishes, &highest);
        if !is_last {
            let lowest = wishes.iter_mut().zip(highest).filter(|(wish, had)| wish.step.is_none() && had.is_some());
            lowest.for_each(|(wish, _)| wish.step = Some(0));
        }
        // What was entered lately was too much.
        let failed = self.rose_at.take().is_some_and(|at| now.since(at) < PROVEN);
        self.penalty = match self.penalty {
            Some(penalty) if failed => Some((penalty * 2).min(LONGEST_PENALTY)),
            None if failed => Some(FIRST_PENALTY),
            _ => None,
        };
        let penalty = self.penalty.unwrap_or(CALM);
        (self.calm_until, self.suspended_until) = (now + penalty, now + CALM.max(penalty / 4));
    }

    fn step_up(&mut self, now: Instant, path: Path, wishes: &mut [Wish]) {
        let spent: u64 = wishes.iter().map(Wish::cost).sum::<u64>() + path.sound_bps;
        let budget = path.available_bps * 100 / MARGIN_PERCENT;
        let left = budget.saturating_sub(spent);
        let untried = || wishes.iter().position(|wish| wish.step.is_none() && wish.count > 0);
        let Some(at) = next_up(left, wishes).or_else(|| untried().filter(|_| !path.can_probe)) else {
            self.room_since = None;
            return;
        };
        let since = *self.room_since.get_or_insert(now);
        let proven = budget.min(path.proven_bps * 100 / MARGIN_PERCENT);
        let is_proven = wishes.get(at).is_some_and(|wish| wish.more() <= proven.saturating_sub(spent));
        let is_room_sure = is_proven || now.since(since) >= ROOM_TIME;
        let is_suspended = wishes.get(at).is_some_and(|wish| wish.step.is_none());
        let calm_until = if is_suspended { self.suspended_until } else { self.calm_until };
        if !is_room_sure || now < calm_until {
            return;
        }
        if self.rose_at.is_some_and(|rose| now.since(rose) >= PROVEN) {
            self.penalty = None;
        }
        let mut next = Some(at);
        while let Some(wish) = next.and_then(|at| wishes.get_mut(at)) {
            wish.step = wish.next();
            let spent: u64 = wishes.iter().map(Wish::cost).sum::<u64>() + path.sound_bps;
            next = next_up(proven.saturating_sub(spent), wishes).filter(|_| now >= self.calm_until);
        }
        (self.room_since, self.rose_at) = (None, Some(now));
        (self.calm_until, self.suspended_until) = (self.calm_until.max(now + CALM), now + CALM);
    }
}

/// None gets more than its lowest step.
fn are_lowest(wishes: &[Wish]) -> bool {
    wishes.iter().all(|wish| wish.step.is_none_or(|step| step == 0))
}

fn excess_percent(wishes: &[Wish]) -> u64 {
    if are_lowest(wishes) { LAST_EXCESS_PERCENT } else { EXCESS_PERCENT }
}

/// Gives all that fits into what is left, but none more than `highest`.
fn fill(mut left: u64, wishes: &mut [Wish], highest: &[Option<u8>]) {
    let mut closed = vec![false; wishes.len()];
    loop {
        let open = |at: usize, wish: &Wish| {
            let limit = highest.get(at).copied().flatten();
            wish.next().filter(|next| closed.get(at) == Some(&false) && limit.is_some_and(|limit| *next <= limit))
        };
        let candidates = wishes.iter().enumerate().filter_map(|(at, wish)| Some((at, open(at, wish)?, wish.priority)));
        // The lowest step first; of those, the highest priority; of those, the first.
        let Some((at, next, _)) = candidates.min_by_key(|(at, next, priority)| (*next, u8::MAX - priority, *at)) else {
            return;
        };
        let Some(wish) = wishes.get_mut(at) else { return };
        let more = wish.more();
        if more <= left {
            left -= more;
            wish.step = Some(next);
        } else if let Some(closed) = closed.get_mut(at) {
            *closed = true;
        }
    }
}

/// Who goes up next, if somebody's next step fits.
fn next_up(left: u64, wishes: &[Wish]) -> Option<usize> {
    let candidates = wishes.iter().enumerate().filter_map(|(at, wish)| {
        let next = wish.next()?;
        (wish.more() <= left).then_some((at, next, wish.priority))
    });
    candidates.min_by_key(|(at, next, priority)| (*next, u8::MAX - priority, *at)).map(|(at, ..)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn wish(priority: u8, costs: &[u64]) -> Wish {
        let mut wish = Wish::new(priority);
        assert!(costs.iter().all(|cost| wish.add_step(*cost * 1_000)));
        wish
    }

    fn path(kbps: u64) -> Path {
        Path {
            available_bps: kbps * 1_000,
            sound_bps: 40_000,
            queue: Duration::ZERO,
            is_heard: true,
            proven_bps: 0,
            can_probe: true,
        }
    }

    fn steps(wishes: &[Wish]) -> Vec<Option<u8>> {
        wishes.iter().map(|wish| wish.step).collect()
    }

    /// Decides five times a second. Answers when what changed.
    fn run(
        allocation: &mut Allocation,
        wishes: &mut [Wish],
        from: u64,
        to: u64,
        path: Path,
    ) -> Vec<(u64, Vec<Option<u8>>)> {
        let mut changes = Vec::new();
        for now in (from..to).step_by(200) {
            let before = steps(wishes);
            allocation.decide(at(now), path, wishes);
            wishes.iter_mut().for_each(|wish| wish.is_new = false);
            if steps(wishes) != before {
                changes.push((now, steps(wishes)));
            }
        }
        changes
    }

    const LAYERS: &[u64] = &[150, 500, 2_500];

    #[test]
    fn it_begins_with_what_fits_the_lowest_steps_first() {
        let begin = |kbps, wishes: &mut [Wish]| {
            Allocation::default().decide(at(0), path(kbps), wishes);
            steps(wishes)
        };
        let both = || [wish(1, LAYERS), wish(1, LAYERS)];
        assert_eq!(begin(3_000, &mut both()), [Some(1), Some(1)], "not one at the cost of the other");
        assert_eq!(begin(6_000, &mut both()), [Some(2), Some(2)]);
        assert_eq!(begin(3_500, &mut both()), [Some(2), Some(1)]);
        assert_eq!(begin(200, &mut both()), [Some(0), None]);
        assert_eq!(begin(200, &mut [wish(1, LAYERS), wish(9, LAYERS)]), [None, Some(0)], "priority");
        assert_eq!(begin(180, &mut both()), [None, None], "sound goes first");
        assert_eq!(begin(180, &mut [wish(1, &[150]), wish(1, &[50])]), [None, Some(0)], "who fits");
    }

    #[test]
    fn down_soon_and_up_slowly() {
        let (mut allocation, mut wishes) = (Allocation::default(), [wish(1, LAYERS)]);
        assert_eq!(run(&mut allocation, &mut wishes, 0, 10_000, path(4_000)), [(0, vec![Some(2)])]);
        assert_eq!(run(&mut allocation, &mut wishes, 10_000, 12_000, path(1_000)), [(10_400, vec![Some(1)])]);
        let urgent = Path { queue: Duration::from_millis(200), ..path(300) };
        assert_eq!(run(&mut allocation, &mut wishes, 12_000, 13_000, urgent), [(12_000, vec![Some(0)])]);
        let up = run(&mut allocation, &mut wishes, 13_000, 20_000, path(4_000));
        assert_eq!(up, [(14_000, vec![Some(1)]), (16_000, vec![Some(2)])]);
        assert_eq!(run(&mut allocation, &mut wishes, 20_000, 30_000, path(2_450)), [], "less than the excess");
        let gone = run(&mut allocation, &mut wishes, 30_000, 34_000, path(50));
        assert_eq!(gone, [(30_400, vec![Some(0)]), (32_600, vec![None])], "the last step is left late");
        let back = run(&mut allocation, &mut wishes, 34_000, 37_000, path(300));
        assert_eq!(back, [(35_000, vec![Some(0)])]);
        assert_eq!(
            run(&mut allocation, &mut wishes, 37_000, 47_000, path(155)),
            [],
            "what little is missing comes late"
        );
    }

    #[test]
    fn a_step_that_had_to_be_taken_back_is_not_tried_again_soon() {
        let (mut allocation, mut wishes) = (Allocation::default(), [wish(1, LAYERS)]);
        run(&mut allocation, &mut wishes, 0, 1_000, path(600));
        let mut rises = Vec::new();
        for now in (1_000..200_000).step_by(200) {
            // The path seems to carry more until more is sent.
            let kbps = if wishes[0].step == Some(2) { 1_000 } else { 4_000 };
            let before = wishes[0].step;
            allocation.decide(at(now), path(kbps), &mut wishes);
            if wishes[0].step > before {
                rises.push(now / 1_000);
            }
        }
        let apart: Vec<_> = rises.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            apart.iter().zip([8, 16, 32, 60, 60]).all(|(apart, penalty)| (0..=1).contains(&(apart - penalty))),
            "{rises:?}"
        );
        assert_eq!(apart.len(), 5);
    }

    #[test]
    fn who_comes_later_gets_what_is_left_and_a_probe_gives_all_at_once() {
        let (mut allocation, mut wishes) = (Allocation::default(), vec![wish(1, LAYERS)]);
        run(&mut allocation, &mut wishes, 0, 1_000, path(700));
        wishes.push(wish(1, LAYERS));
        assert_eq!(run(&mut allocation, &mut wishes, 1_000, 1_200, path(700)), [(1_000, vec![Some(1), Some(0)])]);
        let proven = Path { proven_bps: 8_000_000, ..path(8_000) };
        assert_eq!(run(&mut allocation, &mut wishes, 1_200, 1_400, proven), [(1_200, vec![Some(2), Some(2)])]);
    }

    #[test]
    fn what_is_estimated_beyond_what_a_probe_has_shown_comes_slowly() {
        let (mut allocation, mut wishes) = (Allocation::default(), [wish(1, LAYERS), wish(1, LAYERS), wish(1, LAYERS)]);
        run(&mut allocation, &mut wishes, 0, 1_000, path(100));
        assert_eq!(steps(&wishes), [None; 3]);
        let proven = Path { proven_bps: 450_000, ..path(1_000) };
        let up = run(&mut allocation, &mut wishes, 1_000, 6_000, proven);
        let two = vec![Some(0), Some(0), None];
        assert_eq!(up, [(1_000, two), (3_000, vec![Some(0); 3]), (5_000, vec![Some(1), Some(0), Some(0)])]);
    }

    /// By wishing more nobody loses what he has, though the estimate is low for a moment.
    #[test]
    fn who_wants_more_gets_what_fits_at_once_and_never_less() {
        for (kbps, gets) in [(100, 0), (500, 0), (550, 1), (4_000, 2)] {
            let mut wishes = [Wish { step: Some(0), ..wish(1, LAYERS) }];
            Allocation::default().decide(at(0), path(kbps), &mut wishes);
            assert_eq!(steps(&wishes), [Some(gets)], "{kbps} kbit/s");
        }
    }

    #[test]
    fn what_cannot_be_probed_for_is_tried() {
        let (mut allocation, mut wishes) = (Allocation::default(), [wish(1, &[2_000])]);
        let mute = Path { can_probe: false, ..path(500) };
        assert_eq!(run(&mut allocation, &mut wishes, 0, 900, mute), [], "it does not begin");
        let tries: Vec<_> =
            run(&mut allocation, &mut wishes, 900, 40_000, mute).iter().map(|(now, _)| now / 1_000).collect();
        assert_eq!(tries, [1, 3, 5, 7, 11, 13, 21, 24, 39]);
    }

    #[test]
    fn nothing_is_suspended_before_the_receiver_has_said_something() {
        let (mut allocation, mut wishes) = (Allocation::default(), [wish(1, &[2_000])]);
        let unheard = Path { is_heard: false, ..path(1_000) };
        assert_eq!(run(&mut allocation, &mut wishes, 0, 1_000, unheard), [(0, vec![Some(0)])]);
        assert_eq!(run(&mut allocation, &mut wishes, 1_000, 4_000, path(1_000)), [(3_000, vec![None])]);
    }

    #[test]
    fn who_wants_less_gets_less_and_costs_that_hardly_grow_are_no_steps() {
        let (mut allocation, mut wishes) = (Allocation::default(), [wish(1, LAYERS)]);
        run(&mut allocation, &mut wishes, 0, 1_000, path(4_000));
        let mut less = [Wish { step: wishes[0].step, is_new: false, ..wish(1, &[150]) }];
        allocation.decide(at(1_000), path(4_000), &mut less);
        assert_eq!((less[0].step, less[0].cost(), less[0].wanted()), (Some(0), 150_000, 150_000));
        let mut one = wish(1, &[100]);
        assert!(!one.add_step(105_000) && one.count() == 1);
    }
}
