//! Simulation of whole calls: a thousand seeds in the ordinary run, any number by `CORECAST_SEEDS`, one with its
//! figures by `CORECAST_SEED` (`tests/run sim --seeds N`, `--seed N`).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use corecast_tests::sim::machine::RealWorker;
use corecast_tests::sim::random::Random;
use corecast_tests::sim::sabotage::{Saboteur, Wrong};
use corecast_tests::sim::scenario::Plan;
use corecast_tests::sim::trace::Coverage;
use corecast_tests::sim::{Failed, run, run_with};

const SEEDS: u64 = 1_000;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

#[test]
fn seeds_break_no_rule() {
    if let Some(seed) = setting("CORECAST_SEED") {
        let passed = run(seed).unwrap_or_else(|failed| panic!("{failed}"));
        println!("seed {seed} passed: {:#?}", passed.coverage);
        return;
    }
    let first = setting("CORECAST_FROM").unwrap_or(0);
    let count = setting("CORECAST_SEEDS").unwrap_or(SEEDS);
    let (next, failures, total) = (AtomicU64::new(first), Mutex::new(Vec::new()), Mutex::new(Coverage::default()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&next, first + count, &failures, &total));
        }
    });
    let failures: Vec<Failed> = failures.into_inner().expect("no thread panicked");
    if let Some(worst) = failures.iter().min_by_key(|failed| failed.trace.len()) {
        let list: Vec<String> = failures.iter().map(|failed| format!("{}: {}", failed.seed, failed.broken)).collect();
        panic!("{} seeds of {count} failed\n{}\n\n{worst}", failures.len(), list.join("\n"));
    }
    let coverage = total.into_inner().expect("no thread panicked");
    println!("{count} seeds passed: {coverage:#?}");
    if count >= SEEDS {
        for (name, times) in coverage.figures() {
            assert!(times > 0, "{name} never happened: the rules about it were not put to the test");
        }
    }
}

fn work(next: &AtomicU64, end: u64, failures: &Mutex<Vec<Failed>>, total: &Mutex<Coverage>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || failures.lock().expect("no thread panicked").len() >= 20 {
            return;
        }
        match run(seed) {
            Ok(passed) => total.lock().expect("no thread panicked").add(&passed.coverage),
            Err(failed) => failures.lock().expect("no thread panicked").push(*failed),
        }
    }
}

/// Two thousand packets a second until the numbers of the source and of its consumers have gone round (RFC 3711 section
/// 3.3.1), with losses, and with retransmissions on a stream of their own or without.
#[test]
fn numbers_go_round() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let plan = Plan::long(&mut random, seed);
        let passed = run_with(seed, plan, RealWorker::new(), random).unwrap_or_else(|failed| panic!("{failed}"));
        let Coverage { media, repeated, retransmitted, wrapped, .. } = passed.coverage;
        assert!(media > 100_000 && repeated + retransmitted > 1_000 && wrapped == 1, "{:?}", passed.coverage);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

fn sabotaged(wrong: Wrong) -> Result<u64, String> {
    let mut random = Random::new(11);
    let plan = Plan::plain(&mut random);
    run_with(11, plan, Saboteur::new(wrong), random).map(|passed| passed.coverage.media).map_err(|failed| failed.broken)
}

#[test]
fn checkers_notice_what_is_done_wrong() {
    let media = sabotaged(Wrong::Nothing).expect("nothing is wrong");
    assert!(media > 200, "{media} packets are too few to see anything");
    let cases = [
        (Wrong::Duplicate, "again, 0 times asked for"),
        (Wrong::Omit, "did not send packet"),
        (Wrong::Corrupt, "changed the payload"),
        (Wrong::Gap, "left 2 apart"),
        (Wrong::Reuse, "was used for two different packets"),
        (Wrong::WrongSsrc, "which is no consumer's"),
        (Wrong::Unmark, "changed the marker"),
        (Wrong::Retime, "changed the offset of timestamps"),
        (Wrong::WrongRemote, "instead of"),
        (Wrong::Leak, "left when everything is closed"),
    ];
    for (wrong, expected) in cases {
        let Err(broken) = sabotaged(wrong) else { panic!("{wrong:?} was not noticed") };
        assert!(broken.contains(expected), "{wrong:?}: {broken}");
    }
}
