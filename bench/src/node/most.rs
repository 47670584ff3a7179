//! The most packets a second that a worker forwards without loss.

use std::time::Duration;

use anyhow::Context as _;

use crate::generator::{Generator, Window};
use crate::outcome::Run;
use crate::target::Target;

/// What is offered first, in times of what the CPU time per packet of a light load would allow.
const FIRST: f64 = 0.3;
/// The load rises by this factor until packets are lost twice in a row: once may be the machine's other work.
const RISE: f64 = 1.08;
const MAX_RISES: u32 = 40;
const RISE_TIME: Duration = Duration::from_secs(3);
/// Share of what should have arrived that may be lost all the same.
const MAX_LOSS: f64 = 0.000_1;
/// Share of what is offered that this program has to send; if it cannot, more says nothing.
const ENOUGH: f64 = 0.9;

/// Offers more and more, from what `light` says that the worker can do, and returns the most packets a second of which
/// none was lost by the worker.
///
/// # Errors
/// Something cannot be measured, or a subscriber got what it should not have.
pub(super) fn look(
    generator: &mut Generator,
    target: &mut dyn Target,
    run: &Run<'_>,
    light: &Window,
) -> anyhow::Result<u64> {
    let cpu_ns = light.cpu_ns_per_packet().context("the worker does not say what it used")?;
    let fan_out = light.expected as f64 / light.sent.max(1) as f64;
    let publishers = f64::from(run.load.publishers);
    // What is too old is left out, and what follows goes on with the next number.
    generator.expect_gaps_closed();
    let (mut offered, mut most, mut was_lost) = (FIRST * 1e9 / cpu_ns, 0.0_f64, false);
    for _ in 0..MAX_RISES {
        generator.set_pps((offered / fan_out / publishers).round().max(1.0) as u32);
        let mut timing = run.timing();
        timing.measured = RISE_TIME;
        let window = run.attempt("the most without loss", |show| generator.measure(target, timing, show))?;
        let (expected, lost) = (window.expected as f64, window.lost_server() as f64);
        let is_lost = lost > MAX_LOSS * expected;
        if !is_lost {
            most = most.max((expected - lost) / window.seconds);
        }
        let is_behind = expected / window.seconds < ENOUGH * offered;
        if is_behind {
            run.progress.note("the most without loss: this program cannot send more");
        }
        if is_behind || (is_lost && was_lost) {
            break;
        }
        was_lost = is_lost;
        offered *= RISE;
    }
    Ok(most as u64)
}
