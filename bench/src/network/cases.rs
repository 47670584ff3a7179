//! The cases: RFC 8867 sections 5.1 to 5.8 and 6.1, and a shallow queue. One-way delay 50 ms, jitter up to 30 ms and a
//! queue of 300 ms, unless a case says otherwise; video only.

use super::link::Link;

const DELAY_MS: u64 = 50;
const QUEUE_MS: f64 = 300.0;
/// What limits nothing.
const WIDE_BPS: f64 = 100e6;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FlowKind {
    /// Video that follows the estimate up to a rate.
    Media {
        /// Bits per second at most.
        most_bps: f64,
    },
    /// TCP without end.
    LongTcp,
    /// Transfers by TCP with pauses.
    ShortTcp,
}

/// One flow.
#[derive(Clone, Debug)]
pub(super) struct FlowOf {
    pub(super) kind: FlowKind,
    /// 0 forward, 1 backward.
    pub(super) direction: usize,
    pub(super) delay_ms: u64,
    /// From when to when it sends, in seconds.
    pub(super) active_s: Vec<(f64, f64)>,
}

/// Which lines a case is held to, beside delay and loss.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    pub(super) has_use: bool,
    /// Least share of the fair rate that each media flow gets.
    pub(super) share: Option<f64>,
    pub(super) has_recovery: bool,
    /// Percent of packets that may be lost outside of changes.
    pub(super) loss_pct: f64,
}

/// One case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) seconds: f64,
    /// Capacity in Mbit/s of each direction from each second on.
    pub(super) capacity: [Vec<(f64, f64)>; 2],
    pub(super) queue_ms: f64,
    pub(super) has_jitter: bool,
    pub(super) flows: Vec<FlowOf>,
    pub(super) lines: Lines,
}

impl Case {
    pub(super) fn length_us(&self) -> u64 {
        (self.seconds * 1e6) as u64
    }

    pub(super) fn links(&self) -> [Link; 2] {
        let schedule =
            |of: &Vec<(f64, f64)>| of.iter().map(|(from_s, mbps)| ((from_s * 1e6) as u64, mbps * 1e6)).collect();
        self.capacity.each_ref().map(|capacity| Link::new(schedule(capacity), self.queue_ms))
    }

    fn new(name: &'static str, title: &'static str, seconds: f64, forward: &[(f64, f64)]) -> Self {
        Self {
            name,
            title,
            seconds,
            capacity: [forward.to_vec(), vec![(0.0, WIDE_BPS / 1e6)]],
            queue_ms: QUEUE_MS,
            has_jitter: true,
            flows: Vec::new(),
            lines: Lines { has_use: true, share: None, has_recovery: false, loss_pct: 1.0 },
        }
    }

    fn with(mut self, kind: FlowKind, direction: usize, delay_ms: u64, active_s: &[(f64, f64)]) -> Self {
        self.flows.push(FlowOf { kind, direction, delay_ms, active_s: active_s.to_vec() });
        self
    }

    fn media(self, most_mbps: f64, from_s: f64) -> Self {
        let to_s = self.seconds;
        self.with(FlowKind::Media { most_bps: most_mbps * 1e6 }, 0, DELAY_MS, &[(from_s, to_s)])
    }

    fn held_to(mut self, share: Option<f64>, has_recovery: bool) -> Self {
        (self.lines.share, self.lines.has_recovery) = (share, has_recovery);
        self
    }
}

/// Equal flows get at least this share of the fair rate, and one beside TCP at least that.
const EQUAL: Option<f64> = Some(0.75);
const NOT_STARVED: Option<f64> = Some(0.3);

/// All cases.
pub(super) fn all() -> Vec<Case> {
    let mut cases = vec![
        Case::new("5.1", "variable capacity, one flow", 100.0, &[(0.0, 1.0), (40.0, 2.5), (60.0, 0.6), (80.0, 1.0)])
            .media(5.0, 0.0)
            .held_to(None, true),
        Case::new(
            "5.2",
            "variable capacity, two flows",
            125.0,
            &[(0.0, 4.0), (25.0, 2.0), (50.0, 3.5), (75.0, 1.0), (100.0, 2.0)],
        )
        .media(5.0, 0.0)
        .media(5.0, 0.0)
        .held_to(EQUAL, true),
        Case::new("5.4", "three flows, one after another", 120.0, &[(0.0, 3.5)])
            .media(5.0, 0.0)
            .media(5.0, 20.0)
            .media(5.0, 40.0)
            .held_to(EQUAL, false),
        Case::new("5.6", "beside a long TCP flow", 120.0, &[(0.0, 2.0)])
            .media(5.0, 5.0)
            .with(FlowKind::LongTcp, 0, DELAY_MS, &[(0.0, 120.0)])
            .held_to(NOT_STARVED, false),
    ];
    cases.insert(2, congested_feedback());
    cases.insert(4, round_trips());
    cases.extend([short_tcp(), pause_and_resume(), priorities(), shallow_queue()]);
    cases
}

fn congested_feedback() -> Case {
    let forward = [(0.0, 2.0), (20.0, 1.0), (40.0, 0.5), (60.0, 2.0)];
    let mut case = Case::new("5.3", "congested feedback, a flow each way", 100.0, &forward).media(5.0, 0.0);
    case.capacity[1] = vec![(0.0, 2.0), (35.0, 0.8), (70.0, 2.0)];
    case.with(FlowKind::Media { most_bps: 5e6 }, 1, DELAY_MS, &[(0.0, 100.0)]).held_to(None, true)
}

fn round_trips() -> Case {
    let mut case = Case::new("5.5", "five flows, delays from 10 to 150 ms", 300.0, &[(0.0, 4.0)]);
    for (index, delay_ms) in [10, 25, 50, 100, 150].into_iter().enumerate() {
        case = case.with(FlowKind::Media { most_bps: 5e6 }, 0, delay_ms, &[(index as f64 * 10.0, 300.0)]);
    }
    case.held_to(EQUAL, false)
}

fn short_tcp() -> Case {
    let mut case = Case::new("5.7", "two flows beside ten short TCP flows", 300.0, &[(0.0, 2.0)]);
    case = case.media(5.0, 5.0).media(5.0, 5.0);
    for index in 0..10 {
        case = case.with(FlowKind::ShortTcp, 0, DELAY_MS, &[(f64::from(index), 300.0)]);
    }
    case.held_to(NOT_STARVED, false)
}

fn pause_and_resume() -> Case {
    let paused = [(0.0, 40.0), (60.0, 120.0)];
    Case::new("5.8", "three flows, one pauses", 120.0, &[(0.0, 3.5)])
        .with(FlowKind::Media { most_bps: 5e6 }, 0, DELAY_MS, &paused)
        .media(5.0, 0.0)
        .media(5.0, 0.0)
        .held_to(EQUAL, true)
}

/// Two receivers' paths share the bottleneck. Priorities are dealt out within one receiver's estimate, by the
/// allocator; between receivers they are equal.
fn priorities() -> Case {
    Case::new("6.1", "two flows of equal priority from the start", 120.0, &[(0.0, 2.0)])
        .media(5.0, 0.0)
        .media(5.0, 0.0)
        .held_to(EQUAL, false)
}

fn shallow_queue() -> Case {
    let mut case = Case::new("shallow", "a queue of 15 ms at twice the rate", 60.0, &[(0.0, 4.0)]).media(2.0, 0.0);
    (case.queue_ms, case.has_jitter) = (15.0, false);
    case.lines = Lines { has_use: false, share: None, has_recovery: false, loss_pct: 0.1 };
    case
}
