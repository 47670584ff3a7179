//! Whether to wait a moment for more datagrams, as a network card moderates its interrupts.
//!
//! A packet that joins a batch saves a wake-up, and at every receiver of its stream it joins a train instead of
//! leaving in a send of its own. With a fan-out of hundreds that is worth a hundred wake-ups; with a fan-out of one
//! it is worth less than the second sleep that waiting costs. So the coalescer estimates two things from earlier turns:
//! how many sends a packet causes, and how likely a turn that does not wait is followed by another packet soon. The
//! second can only be seen by not waiting, so now and then a turn does not wait.
//!
//! Pure: told what happened and when, the coalescer says how long to wait.

use std::time::Duration;

use corecast_core::Instant;
use corecast_wire::Coalesce;

/// Longest window.
const MAX_WINDOW: Duration = Duration::from_micros(1_000);
/// Window of a core with time to spare: long enough for the packets of one video frame, sent back to back, to arrive.
const MIN_WINDOW: Duration = Duration::from_micros(150);
/// Window while most of what arrives is reports: none of them is in a hurry, and where there are enough for several to
/// share a wake-up, that costs them half of what they cost alone.
const REPORTS_WINDOW: Duration = Duration::from_micros(500);
/// So many have to come within it, by their rate.
const REPORTS_IN_WINDOW: f32 = 1.5;
/// Share of turns that sent nothing, from which on it is reports that arrive.
const MOSTLY: f32 = 0.5;
/// Below this share of time spent working, the window is [`MIN_WINDOW`]; it reaches [`MAX_WINDOW`] at the second.
const GROWS_FROM: f32 = 0.4;
const GROWS_TO: f32 = 0.9;

/// Cost of one sleep, in nanoseconds of CPU (measured: 8,000 to 12,000 virtualised; about half on bare metal).
const WAKE_NS: f32 = 8_000.0;
/// Saving of a packet that joins a train, in nanoseconds (measured: a send of one 2,900, a segment 250 to 700).
const JOIN_NS: f32 = 2_000.0;

/// Weight of a new observation, and of one that is rare because most turns wait.
const WEIGHT: f32 = 1.0 / 16.0;
const SELDOM_WEIGHT: f32 = 1.0 / 4.0;
/// While waiting pays, one turn of this many does not wait, to see whether waiting still pays.
const LOOK_EVERY: u32 = 16;
/// A sleep that is over this soon was none: a datagram was there already.
pub const NO_SLEEP: Duration = Duration::from_micros(20);
/// Time over which rate and load are averaged, in seconds.
const RATE_MEMORY_S: f32 = 0.1;

/// How to wait for the next batch. At most one of the two is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sleep at least this long, even if something arrives: for steady traffic, where something surely arrives.
    pub gather: Duration,
    /// Once something has arrived, sleep this much longer: for bursts, whose beginning cannot be foreseen.
    pub linger: Duration,
}

/// Times and counts of one turn of the pump.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnRecord {
    /// When the thread fell asleep.
    pub slept_at: Instant,
    /// When the thread woke up.
    pub woke_at: Instant,
    /// When the thread began to work, after lingering if it lingered.
    pub began_at: Instant,
    /// When everything had been sent.
    pub done_at: Instant,
    /// The turn waited for more datagrams, as planned.
    pub waited: bool,
    /// Datagrams taken in.
    pub received: u64,
    /// Datagrams sent on.
    pub sent: u64,
}

/// Plans the next wait from the turns before.
#[derive(Debug)]
pub struct Coalescer {
    mode: Coalesce,
    last: TurnRecord,
    /// Mean datagrams sent per datagram received.
    fan_out: f32,
    /// Share of the turns without waiting that were followed by another packet within [`MIN_WINDOW`].
    followed: f32,
    /// Share of the turns in which something arrived, but nothing was sent.
    unsent: f32,
    turns: u32,
    /// Mean datagrams received per second.
    rate: f32,
    /// Mean share of time spent working.
    load: f32,
}

impl Coalescer {
    /// A coalescer that has seen no turn yet.
    #[must_use]
    pub fn new(mode: Coalesce) -> Self {
        let last = TurnRecord::default();
        Self { mode, last, fan_out: 0.0, followed: 0.0, unsent: 0.0, turns: 0, rate: 0.0, load: 0.0 }
    }

    /// How to wait for the next batch.
    #[must_use]
    pub fn plan(&self) -> Plan {
        if self.mode == Coalesce::Auto && self.is_of_reports() {
            return Plan { gather: REPORTS_WINDOW, linger: Duration::ZERO };
        }
        let window = match self.mode {
            Coalesce::Off => Duration::ZERO,
            Coalesce::Fixed(us) => Duration::from_micros(u64::from(us)).min(MAX_WINDOW),
            Coalesce::Auto if self.pays() && !self.turns.is_multiple_of(LOOK_EVERY) => self.window(),
            Coalesce::Auto => Duration::ZERO,
        };
        let expected = self.rate * window.as_secs_f32();
        // After a turn that did not wait, only a plain sleep tells when the next packet came.
        if expected >= 2.0 && self.last.waited {
            Plan { gather: window, linger: Duration::ZERO }
        } else {
            Plan { gather: Duration::ZERO, linger: window }
        }
    }

    /// Whether waiting is likely to save more than it costs. With steady traffic it costs latency only. Otherwise it
    /// costs a second sleep too, and a bet at even odds would give latency away for nothing.
    fn pays(&self) -> bool {
        let steady = self.rate * MIN_WINDOW.as_secs_f32() >= 2.0;
        let cost = if steady { WAKE_NS } else { 2.0 * WAKE_NS };
        self.followed * self.fan_out.mul_add(JOIN_NS, WAKE_NS) > cost
    }

    /// Whether most of what arrives is reports, and enough for several to come within their window.
    fn is_of_reports(&self) -> bool {
        self.unsent > MOSTLY && self.rate * REPORTS_WINDOW.as_secs_f32() >= REPORTS_IN_WINDOW
    }

    /// The busier, the longer: latency is only worth giving away where the core is short of time.
    fn window(&self) -> Duration {
        let share = ((self.load - GROWS_FROM) / (GROWS_TO - GROWS_FROM)).clamp(0.0, 1.0);
        MIN_WINDOW + (MAX_WINDOW - MIN_WINDOW).mul_f32(share)
    }

    /// Takes in how a turn went.
    pub fn update(&mut self, turn: TurnRecord) {
        if turn.received == 0 {
            return;
        }
        let received = turn.received as f32;
        let period = turn.done_at.since(self.last.done_at).as_secs_f32().max(1e-6);
        let worked = turn.done_at.since(turn.began_at).as_secs_f32();
        if !self.last.waited {
            let soon =
                turn.woke_at.since(self.last.woke_at) <= MIN_WINDOW || turn.woke_at.since(turn.slept_at) <= NO_SLEEP;
            let weight = if self.pays() { SELDOM_WEIGHT } else { WEIGHT };
            blend(&mut self.followed, if soon { 1.0 } else { 0.0 }, weight);
        }
        blend(&mut self.unsent, if turn.sent == 0 { 1.0 } else { 0.0 }, WEIGHT);
        blend(&mut self.fan_out, turn.sent as f32 / received, WEIGHT);
        // Rates are means over time, not over turns: a long silence weighs as much as it lasts.
        let weight = (period / RATE_MEMORY_S).min(1.0);
        blend(&mut self.rate, received / period, weight);
        blend(&mut self.load, (worked / period).min(1.0), weight);
        self.turns = self.turns.wrapping_add(1);
        self.last = turn;
    }
}

fn blend(mean: &mut f32, value: f32, weight: f32) {
    *mean += (value - *mean) * weight;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The work of a simulated worker: batches, how often it waited, and time from arrival to the end of the work.
    #[derive(Debug, Default)]
    struct Seen {
        packets: u64,
        batches: u64,
        gathered: u64,
        lingered: u64,
        longest_window: Duration,
        latency_us: u64,
    }

    impl Seen {
        fn packets_per_batch(&self) -> f64 {
            self.packets as f64 / self.batches as f64
        }
    }

    /// A worker for which packets arrive at these times, in us. A batch costs
    /// `fan_out * (2 + packets * per_packet_us)`.
    fn work(mode: Coalesce, arrivals: &[u64], fan_out: u64, per_packet_ns: u64) -> Seen {
        let mut coalescer = Coalescer::new(mode);
        let (mut now, mut next) = (0, 0);
        let mut seen = Seen::default();
        while let Some(first) = arrivals.get(next).map(|us| us * 1_000) {
            let plan = coalescer.plan();
            let slept_at = Instant::from_nanos(now);
            now = first.max(now + u64::try_from(plan.gather.as_nanos()).expect("short"));
            let woke_at = Instant::from_nanos(now);
            now += u64::try_from(plan.linger.as_nanos()).expect("short");
            let began_at = Instant::from_nanos(now);
            let received = arrivals[next..].iter().take_while(|us| **us * 1_000 <= now).count() as u64;
            let end = now + fan_out * (2_000 + received * per_packet_ns);
            let come = &arrivals[next..next + usize::try_from(received).expect("few")];
            seen.latency_us += come.iter().map(|us| end / 1_000 - us).sum::<u64>();
            now = end;
            next += come.len();
            seen.packets += received;
            seen.batches += 1;
            seen.gathered += u64::from(!plan.gather.is_zero());
            seen.lingered += u64::from(!plan.linger.is_zero());
            seen.longest_window = seen.longest_window.max(plan.gather + plan.linger);
            let waited = plan != Plan::default();
            let done_at = Instant::from_nanos(now);
            coalescer.update(TurnRecord {
                slept_at,
                woke_at,
                began_at,
                done_at,
                waited,
                received,
                sent: received * fan_out,
            });
        }
        seen
    }

    /// Bursts of `count` packets, `spacing` us apart, every `period` us, for `seconds`.
    fn bursts(count: u64, spacing: u64, period: u64, seconds: u64) -> Vec<u64> {
        let starts = (1..seconds * 1_000_000 / period).map(|index| index * period);
        starts.flat_map(|start| (0..count).map(move |index| start + index * spacing)).collect()
    }

    #[test]
    fn packets_that_come_alone_are_not_waited_for() {
        let seen = work(Coalesce::Auto, &bursts(1, 0, 20_000, 20), 400, 300);
        assert_eq!((seen.gathered, seen.lingered), (0, 0), "whatever the fan-out");
    }

    #[test]
    fn the_burst_of_a_video_frame_is_waited_for_where_its_packets_go_to_many() {
        let arrivals = bursts(10, 12, 33_333, 20);
        let (off, auto) = (work(Coalesce::Off, &arrivals, 400, 300), work(Coalesce::Auto, &arrivals, 400, 300));
        assert!(off.packets_per_batch() < 6.0, "{off:?}");
        assert!(auto.packets_per_batch() > 8.5 && auto.gathered == 0, "{auto:?}");
        assert!(auto.latency_us < off.latency_us, "less work is also less latency: {auto:?} {off:?}");
        let few = work(Coalesce::Auto, &arrivals, 0, 300);
        assert_eq!(few.lingered, 0, "no consumers: a second sleep would be pure cost");
    }

    #[test]
    fn a_burst_that_is_there_all_at_once_is_not_waited_for() {
        let seen = work(Coalesce::Auto, &bursts(10, 0, 33_333, 20), 400, 300);
        assert_eq!((seen.lingered, seen.packets_per_batch()), (0, 10.0));
    }

    #[test]
    fn steady_traffic_is_gathered_and_the_window_grows_with_the_load() {
        let light = work(Coalesce::Auto, &bursts(1, 0, 40, 5), 3, 500);
        assert!(light.gathered * 10 > light.batches * 8, "{light:?}");
        assert_eq!(light.longest_window, MIN_WINDOW);
        let heavy = work(Coalesce::Auto, &bursts(1, 0, 40, 5), 40, 600);
        assert!(heavy.longest_window > MIN_WINDOW && heavy.longest_window <= MAX_WINDOW, "{heavy:?}");
    }

    #[test]
    fn reports_wait_for_each_other_where_there_are_many() {
        let many = work(Coalesce::Auto, &bursts(1, 0, 230, 5), 0, 0);
        assert!(many.gathered * 10 > many.batches * 9 && many.packets_per_batch() > 1.8, "{many:?}");
        assert_eq!(many.longest_window, REPORTS_WINDOW);
        for (mode, period) in [(Coalesce::Auto, 500), (Coalesce::Off, 230)] {
            assert_eq!(work(mode, &bursts(1, 0, period, 5), 0, 0).gathered, 0, "{mode:?}, {period} us apart");
        }
        let media = work(Coalesce::Auto, &bursts(1, 0, 230, 5), 1, 0);
        assert_eq!(media.gathered, 0, "what is forwarded does not wait for reports");
    }

    #[test]
    fn a_burst_that_has_ended_is_forgotten() {
        let mut arrivals = bursts(10, 12, 33_333, 10);
        let end = arrivals.last().copied().unwrap_or(0);
        let before = work(Coalesce::Auto, &arrivals, 400, 300).lingered;
        arrivals.extend(bursts(1, 0, 20_000, 60).iter().map(|us| end + us));
        let alone = work(Coalesce::Auto, &arrivals, 400, 300).lingered - before;
        assert!(alone < 300, "{alone} of 3,000");
    }

    #[test]
    fn off_and_fixed_do_as_they_are_told() {
        assert_eq!(work(Coalesce::Off, &bursts(10, 12, 33_333, 5), 400, 300).longest_window, Duration::ZERO);
        assert_eq!(Coalescer::new(Coalesce::Fixed(300)).plan().linger, Duration::from_micros(300));
        assert_eq!(Coalescer::new(Coalesce::Fixed(5_000)).plan().linger, MAX_WINDOW);
    }
}
