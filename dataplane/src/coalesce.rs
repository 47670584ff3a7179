//! Whether to wait a moment for more datagrams, as a network card moderates its interrupts.
//!
//! A packet that joins a batch saves a wake-up, and at every receiver of its stream it joins a train instead of leaving
//! in a send of its own. With a fan-out of hundreds that is worth a hundred wake-ups; with a fan-out of one it is worth
//! less than the second sleep that waiting costs. So there are two things to know, both learnt from the batches before:
//! how many sends a packet causes, and how likely another one follows soon. Neither is known for a core that has
//! nothing to do, and then nobody waits.
//!
//! Pure: told what happened and when, it says how long to wait.

use std::time::Duration;

use corecast_core::Instant;
use corecast_wire::Coalesce;

/// Longest window.
const MAX_WINDOW: Duration = Duration::from_micros(1_000);
/// Window of a core with time to spare: long enough for the packets of one video frame, sent back to back, to arrive.
const MIN_WINDOW: Duration = Duration::from_micros(150);
/// Below this share of time spent working, the window is [`MIN_WINDOW`]; it reaches [`MAX_WINDOW`] at the second.
const GROWS_FROM: f32 = 0.4;
const GROWS_TO: f32 = 0.9;

/// What one sleep costs, in nanoseconds of CPU (measured: 8,000 to 12,000 virtualised; about half on bare metal).
const WAKE_NS: f32 = 8_000.0;
/// What a packet saves when it joins a train, in nanoseconds (measured: a send of one 2,900, a segment 250 to 700).
const JOIN_NS: f32 = 2_000.0;

/// Weight of a new observation.
const WEIGHT: f32 = 1.0 / 16.0;

/// How to wait for the next batch. At most one of the two is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sleep at least this long, even if something arrives: for steady traffic, where something will.
    pub gather: Duration,
    /// Once something has arrived, sleep this much longer: for bursts, whose beginning nobody can foresee.
    pub linger: Duration,
}

/// What a turn of the pump was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch {
    /// When it fell asleep.
    pub slept_at: Instant,
    /// When it woke up.
    pub woke_at: Instant,
    /// When all had been sent.
    pub done_at: Instant,
    /// Datagrams taken in.
    pub received: u64,
    /// Datagrams sent on.
    pub sent: u64,
}

/// Learns from batches and plans the next wait.
#[derive(Debug)]
pub struct Coalescer {
    mode: Coalesce,
    last: Batch,
    /// Mean datagrams sent per datagram received.
    fan_out: f32,
    /// How often a datagram was followed by another within [`MIN_WINDOW`].
    followed: f32,
    /// Mean datagrams received per second.
    rate: f32,
    /// Mean share of time spent working.
    load: f32,
}

impl Coalescer {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(mode: Coalesce) -> Self {
        Self { mode, last: Batch::default(), fan_out: 0.0, followed: 0.0, rate: 0.0, load: 0.0 }
    }

    /// How to wait for the next batch.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let window = match self.mode {
            Coalesce::Off => Duration::ZERO,
            Coalesce::Fixed(us) => Duration::from_micros(u64::from(us)).min(MAX_WINDOW),
            Coalesce::Auto if self.pays() => self.window(),
            Coalesce::Auto => Duration::ZERO,
        };
        let expected = self.rate * window.as_secs_f32();
        if expected >= 2.0 {
            Plan { gather: window, linger: Duration::ZERO }
        } else {
            Plan { gather: Duration::ZERO, linger: window }
        }
    }

    /// What waiting is likely to save is more than one sleep.
    fn pays(&self) -> bool {
        self.followed * self.fan_out.mul_add(JOIN_NS, WAKE_NS) > WAKE_NS
    }

    /// The busier, the longer: latency is only worth giving away where the core is short of time.
    fn window(&self) -> Duration {
        let share = ((self.load - GROWS_FROM) / (GROWS_TO - GROWS_FROM)).clamp(0.0, 1.0);
        MIN_WINDOW + (MAX_WINDOW - MIN_WINDOW).mul_f32(share)
    }

    /// Takes in how a batch went.
    pub fn learn(&mut self, batch: Batch) {
        if batch.received == 0 {
            return;
        }
        let received = batch.received as f32;
        let period = batch.done_at.since(self.last.done_at).as_secs_f32().max(1e-6);
        let worked = batch.done_at.since(batch.woke_at).as_secs_f32();
        // A batch of several: all but the last were followed. The last one of the batch before was followed if this
        // batch was there soon after it.
        let soon = batch.woke_at.since(self.last.woke_at) <= MIN_WINDOW || batch.slept_at == batch.woke_at;
        let followed = (received - 1.0 + if soon { 1.0 } else { 0.0 }) / received;
        blend(&mut self.fan_out, batch.sent as f32 / received, WEIGHT);
        blend(&mut self.followed, followed, WEIGHT);
        // Rates are means over time, not over batches: a long silence weighs as much as it lasts.
        let weight = (period / RATE_MEMORY_S).min(1.0);
        blend(&mut self.rate, received / period, weight);
        blend(&mut self.load, (worked / period).min(1.0), weight);
        self.last = batch;
    }
}

/// Time over which rate and load are averaged, in seconds.
const RATE_MEMORY_S: f32 = 0.1;

fn blend(mean: &mut f32, value: f32, weight: f32) {
    *mean += (value - *mean) * weight;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1_000)
    }

    /// `count` batches of `received` datagrams, `period_us` apart, each of which takes `work_us` and sends `sent`.
    fn after(mode: Coalesce, count: u64, period_us: u64, received: u64, sent: u64, work_us: u64) -> Plan {
        let mut coalescer = Coalescer::new(mode);
        for index in 1..=count {
            let woke_at = at(index * period_us);
            let done_at = at(index * period_us + work_us);
            let slept_at = at(index * period_us - (period_us - work_us));
            coalescer.learn(Batch { slept_at, woke_at, done_at, received, sent });
        }
        coalescer.plan()
    }

    #[test]
    fn an_idle_core_does_not_wait() {
        assert_eq!(Coalescer::new(Coalesce::Auto).plan(), Plan::default());
        let sparse = after(Coalesce::Auto, 1_000, 20_000, 1, 400, 800);
        assert_eq!(sparse, Plan::default(), "single packets 20 ms apart: nobody would come, whatever the fan-out");
    }

    #[test]
    fn the_burst_of_a_video_frame_is_waited_for_where_its_packets_go_to_many() {
        // A frame's ten packets, each woken up for on its own, 60 us apart; then 33 ms of silence.
        let burst = |fan_out: u64| {
            let mut coalescer = Coalescer::new(Coalesce::Auto);
            for index in 0..300_u64 {
                let woke = index / 10 * 33_000 + index % 10 * 60;
                let slept_at = at(woke.saturating_sub(20));
                coalescer.learn(Batch {
                    slept_at,
                    woke_at: at(woke),
                    done_at: at(woke + 40),
                    received: 1,
                    sent: fan_out,
                });
            }
            coalescer.plan()
        };
        assert_eq!(burst(400), Plan { gather: Duration::ZERO, linger: MIN_WINDOW });
        assert_eq!(burst(0).linger, Duration::ZERO, "nobody listens: a second sleep would be pure cost");
    }

    #[test]
    fn a_whole_frame_in_one_batch_is_still_waited_for() {
        let plan = after(Coalesce::Auto, 300, 33_000, 10, 4_000, 3_000);
        assert_eq!(plan, Plan { gather: Duration::ZERO, linger: MIN_WINDOW });
    }

    #[test]
    fn steady_traffic_is_gathered_and_the_window_grows_with_the_load() {
        let light = after(Coalesce::Auto, 2_000, 500, 10, 100, 100);
        assert_eq!(light, Plan { gather: MIN_WINDOW, linger: Duration::ZERO });
        let heavy = after(Coalesce::Auto, 2_000, 500, 10, 100, 325);
        assert!(heavy.gather > MIN_WINDOW && heavy.gather < MAX_WINDOW, "{heavy:?}");
        let full = after(Coalesce::Auto, 2_000, 500, 10, 100, 490);
        assert_eq!(full.gather, MAX_WINDOW);
    }

    #[test]
    fn off_and_fixed_do_as_they_are_told() {
        assert_eq!(after(Coalesce::Off, 2_000, 500, 10, 100, 490), Plan::default());
        assert_eq!(after(Coalesce::Fixed(300), 0, 0, 0, 0, 0).linger, Duration::from_micros(300));
        assert_eq!(after(Coalesce::Fixed(5_000), 0, 0, 0, 0, 0).linger, MAX_WINDOW);
    }
}
