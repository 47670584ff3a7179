//! Simulation: the real state machine of a worker between participants over a seeded network, on a virtual clock.
//!
//! A seed draws the participants, their links and what they do; the same seed gives the same run, to the byte. Every
//! packet that leaves the machine is opened by other people's cryptography and checked against what was sent to it (see
//! [`consumer`]); a broken rule ends the run, which prints its seed and its last events.

pub mod consumer;
mod control;
mod crash;
mod delivery;
pub mod extensions;
pub mod feedback;
mod lane;
pub mod link;
pub mod machine;
pub mod numbers;
pub mod random;
pub mod sabotage;
pub mod scenario;
pub mod sink;
pub mod source;
pub mod svc;
pub mod trace;
mod traffic;
pub mod webrtc;
pub mod wide;
pub mod wire;
mod world;

use std::fmt;

use consumer::Departure;
use machine::{Machine, RealWorker};
use random::Random;
use scenario::Plan;
use svc::checker::Figures;
use trace::{Coverage, WebRtcCoverage};
use wide::WideRoom;
use world::World;

/// A run that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Fingerprint of all that happened.
    pub trace: u64,
    /// What was put to the test.
    pub coverage: Coverage,
    /// What was put to the test of WebRTC.
    pub webrtc: WebRtcCoverage,
    /// Times that the worker died and another one took its place.
    pub crashes: u64,
    /// Packets that crossed from one worker to another.
    pub crossed: u64,
    /// What was seen of layers within one encoding.
    pub layers: Figures,
    /// Packets that found no room there.
    pub refused_between: u64,
}

/// A run that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its seed.
    pub seed: u64,
    /// Which rule, and when.
    pub broken: String,
    /// The last events before.
    pub trace: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, broken, trace } = self;
        writeln!(f, "seed {seed}: {broken}")?;
        write!(f, "{trace}again with: tests/run sim --seed {seed}")
    }
}

/// Runs the real machine through the scenario of a seed.
///
/// # Errors
/// The rule that was broken.
pub fn run(seed: u64) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    let machine = RealWorker::of(&plan);
    run_with(seed, plan, machine, random)
}

/// The same with WebRTC participants.
///
/// # Errors
/// The rule that was broken.
pub fn run_webrtc(seed: u64) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = Plan::draw_webrtc(&mut random);
    let machine = RealWorker::of(&plan);
    run_with(seed, plan, machine, random)
}

/// Rooms in which a WebRTC participant sends layers within one encoding (SVC).
///
/// # Errors
/// The rule that was broken.
pub fn run_svc(seed: u64) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = Plan::draw_svc(&mut random);
    let machine = RealWorker::of(&plan);
    run_with(seed, plan, machine, random)
}

/// The same scenarios as [`run`] on two workers.
///
/// # Errors
/// The rule that was broken.
pub fn run_wide(seed: u64) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = Plan { limits_sound: false, ..Plan::draw(&mut random) };
    let machine = WideRoom::of(&plan);
    run_with(seed, plan, machine, random)
}

/// The same on two workers that die now and then, both at once.
///
/// # Errors
/// The rule that was broken.
pub fn run_wide_crashing(seed: u64) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = Plan { limits_sound: false, ..Plan::draw(&mut random) }.crashing(&mut Random::new(!seed));
    let machine = WideRoom::of(&plan);
    run_with(seed, plan, machine, random)
}

/// The same on two workers whose lanes are full for a while, now and then. With every other seed both workers die,
/// too, one of them further on in its work than the other.
///
/// # Errors
/// The rule that was broken.
pub fn run_wide_full(seed: u64) -> Result<Passed, Box<Failed>> {
    let (mut random, mut own) = (Random::new(seed), Random::new(!seed));
    let plan = Plan { limits_sound: false, ..Plan::draw(&mut random) };
    let plan = if seed.is_multiple_of(2) { plan } else { plan.crashing(&mut own) };
    let machine = WideRoom::with_full_lanes(&plan, own);
    run_with(seed, plan, machine, random)
}

/// The same scenarios as [`run`], with a worker that dies now and then.
///
/// # Errors
/// The rule that was broken.
pub fn run_crashing(seed: u64) -> Result<Passed, Box<Failed>> {
    crashing(seed, Plan::draw)
}

/// The same as [`run_crashing`] with WebRTC participants.
///
/// # Errors
/// The rule that was broken.
pub fn run_webrtc_crashing(seed: u64) -> Result<Passed, Box<Failed>> {
    crashing(seed, Plan::draw_webrtc)
}

fn crashing(seed: u64, draw: fn(&mut Random) -> Plan) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = draw(&mut random).crashing(&mut Random::new(!seed));
    let machine = RealWorker::of(&plan);
    run_with(seed, plan, machine, random)
}

/// Runs any machine through any scenario.
///
/// # Errors
/// The rule that was broken.
pub fn run_with(seed: u64, plan: Plan, machine: impl Machine, random: Random) -> Result<Passed, Box<Failed>> {
    webrtc::repeat(seed);
    finish(seed, &mut World::new(plan, machine, random))
}

/// What a receiver sees of a video that it joins late, over links that lose 5 percent each way.
#[derive(Clone, Debug)]
pub struct Late {
    /// The run.
    pub passed: Passed,
    /// What left for it, from its first key frame on, and how long it was on its way; None if it never arrived.
    pub delays_ns: Vec<(Departure, Option<u64>)>,
}

/// Runs [`Plan::late_and_lossy`].
///
/// # Errors
/// The rule that was broken.
pub fn run_late(seed: u64) -> Result<Late, Box<Failed>> {
    let mut random = Random::new(seed);
    let plan = Plan::late_and_lossy(&mut random);
    webrtc::repeat(seed);
    let machine = RealWorker::of(&plan);
    let mut world = World::new(plan, machine, random);
    let passed = finish(seed, &mut world)?;
    let delays_ns = world.consumers.iter().flat_map(|consumer| world.delays(consumer)).collect();
    Ok(Late { passed, delays_ns })
}

fn finish<M: Machine>(seed: u64, world: &mut World<M>) -> Result<Passed, Box<Failed>> {
    match world.run() {
        Ok(()) => Ok(Passed {
            trace: world.trace.hash(),
            coverage: world.coverage,
            webrtc: world.web,
            crashes: world.crashes,
            crossed: world.machine.crossed(),
            layers: world.layers,
            refused_between: world.refused_between_before + world.machine.refused_between(),
        }),
        Err(broken) => {
            let broken = format!("{broken} (at {:.3} ms)", world.now_ns as f64 / 1e6);
            Err(Box::new(Failed { seed, broken, trace: world.trace.to_string() }))
        }
    }
}
