//! The most packets a second that a worker forwards without loss: more and more is offered until packets are lost, then
//! the half between what was too much and what was not, for a bounded time.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::generator::{Generator, Timing, Window};
use crate::outcome::Run;
use crate::report::grouped;
use crate::target::Target;

/// What is offered first, in times of what the CPU time per packet of a light load would allow.
const FIRST: f64 = 0.5;
/// The load rises by this factor until packets are lost.
const RISE: f64 = 1.3;
/// It falls by this one while even the first is too much.
const FALL: f64 = 2.0;
/// The search is over when what is too much is no more than this factor above what is not.
const CLOSE: f64 = 1.03;
/// What is measured in one step, which may wait 5 s more for late packets.
const STEP: Duration = Duration::from_millis(1_500);
const WHAT: &str = "the most without loss";
/// Share of what should have arrived that may be lost all the same.
const MAX_LOSS: f64 = 0.000_1;
/// Share of what is offered that this program has to send; if it cannot, more says nothing.
const ENOUGH: f64 = 0.9;

/// Which loads have been offered, in packets a second that arrive.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// The next one.
    offered: f64,
    /// The highest of which nothing was lost, or 0.
    good: f64,
    /// The lowest of which something was lost, twice in a row: once may be the machine's other work.
    bad: Option<f64>,
    was_lost: bool,
}

impl Search {
    const fn from(offered: f64) -> Self {
        Self { offered, good: 0.0, bad: None, was_lost: false }
    }

    /// Takes in what became of the load that was offered. False if the search is over.
    fn goes_on(&mut self, is_lost: bool) -> bool {
        if is_lost && !self.was_lost {
            self.was_lost = true;
            return true;
        }
        self.was_lost = false;
        if is_lost {
            self.bad = Some(self.offered);
        } else {
            self.good = self.offered;
        }
        self.offered = match self.bad {
            None => self.good * RISE,
            Some(bad) if self.good == 0.0 => bad / FALL,
            Some(bad) => (self.good * bad).sqrt(),
        };
        self.bad.is_none_or(|bad| bad > CLOSE * self.good)
    }
}

/// Offers more and more, from what a light load says that the worker can do, and returns the most packets a second of
/// which none was lost by the worker. Takes no further step after so long; says on standard error what came of each.
///
/// # Errors
/// Something cannot be measured, or a subscriber got what it should not have.
pub(super) fn look(
    generator: &mut Generator,
    target: &mut dyn Target,
    run: &Run<'_>,
    (light, within): (&Window, Duration),
) -> anyhow::Result<u64> {
    let cpu_ns = light.cpu_ns_per_packet().context("the worker does not say what it used")?;
    let fan_out = light.expected as f64 / light.sent.max(1) as f64;
    let publishers = f64::from(run.load.publishers);
    // What is too old is left out, and what follows goes on with the next number.
    generator.expect_gaps_closed();
    let (mut search, mut most, begun) = (Search::from(FIRST * 1e9 / cpu_ns), 0.0_f64, Instant::now());
    while begun.elapsed() < within {
        let offered = search.offered;
        generator.set_pps((offered / fan_out / publishers).round().max(1.0) as u32);
        let timing = Timing { warm_up: Duration::ZERO, measured: STEP, ..run.timing() };
        let mut show = |done| run.progress.within(WHAT, done, STEP);
        let window = generator.measure(target, timing, &mut show).context(WHAT)?;
        let (expected, lost) = (window.expected as f64, window.lost_server() as f64);
        let is_lost = lost > MAX_LOSS * expected;
        if !is_lost {
            most = most.max((expected - lost) / window.seconds);
        }
        let (sent, lost) = (grouped((expected / window.seconds) as u64), grouped(window.lost_server()));
        run.progress.note(&format!("{WHAT}: {sent} a second, of which {lost} were lost"));
        if expected / window.seconds < ENOUGH * offered {
            run.progress.note(&format!("{WHAT}: this program cannot send more"));
            break;
        }
        if !search.goes_on(is_lost) {
            break;
        }
    }
    Ok(most as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search finds of a worker that loses packets above so many a second, and in how many steps.
    fn found(most: f64, first: f64) -> (f64, u32) {
        let (mut search, mut steps) = (Search::from(first), 1);
        while search.goes_on(search.offered > most) {
            steps += 1;
        }
        (search.good, steps)
    }

    #[test]
    fn the_most_is_found_in_few_steps_from_wherever_it_begins() {
        for first in [40_000.0, 110_000.0, 222_000.0, 300_000.0, 900_000.0] {
            let (most, steps) = found(223_000.0, first);
            assert!((223_000.0 / CLOSE..=223_000.0).contains(&most), "{most} from {first}");
            assert!(steps <= 18, "{steps} steps from {first}");
        }
    }

    #[test]
    fn one_loss_alone_is_tried_again() {
        let mut search = Search::from(100.0);
        assert!(search.goes_on(true));
        assert_eq!(search.offered, 100.0);
        assert!(search.goes_on(false));
        assert_eq!((search.good, search.bad, search.offered), (100.0, None, 100.0 * RISE));
    }
}
