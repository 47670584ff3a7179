//! Usage of a worker: CPU time of its thread and of its core, context switches, and the latency of its packets.

use corecast_wire::{CoreTime, Usage};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// `USER_HZ`, the unit of `/proc/stat`: 100 on every architecture that we run on.
const TICK_NS: u64 = 1_000_000_000 / 100;
/// Longest latency that is told apart, in microseconds.
const MAX_LATENCY_US: u64 = 10_000_000;

/// Time from a batch's receipt to the completion of each send, in microseconds.
pub(crate) struct Latency {
    histogram: Option<Histogram<u64>>,
}

impl Latency {
    pub(crate) fn new() -> Self {
        // The bounds are lawful, so this does not fail.
        Self { histogram: Histogram::new_with_bounds(1, MAX_LATENCY_US, 2).ok() }
    }

    /// Records `sends` sends of one latency.
    pub(crate) fn record(&mut self, latency: std::time::Duration, sends: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, MAX_LATENCY_US);
        if let Some(histogram) = &mut self.histogram {
            // Within bounds, so this does not fail.
            let _ = histogram.record_n(us, sends);
        }
    }

    fn serialize(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(histogram) = &self.histogram {
            // Writing to memory does not fail.
            let _ = V2Serializer::new().serialize(histogram, &mut bytes);
        }
        bytes
    }
}

/// Figures of the system and of the histogram; the pump adds its counters.
pub(crate) fn sample(core: u32, latency: &Latency) -> Usage {
    let mut usage = Usage { core_time: core_time(core), latency_us: latency.serialize(), ..Usage::default() };
    if let Ok(thread) = getrusage(UsageWho::RUSAGE_THREAD) {
        usage.user_ns = nanos(thread.user_time());
        usage.system_ns = nanos(thread.system_time());
        usage.voluntary_switches = u64::try_from(thread.voluntary_context_switches()).unwrap_or(0);
        usage.involuntary_switches = u64::try_from(thread.involuntary_context_switches()).unwrap_or(0);
    }
    usage
}

fn nanos(time: TimeVal) -> u64 {
    let us = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
    u64::try_from(us).unwrap_or(0).saturating_mul(1_000)
}

fn core_time(core: u32) -> CoreTime {
    std::fs::read_to_string("/proc/stat").ok().and_then(|stat| parse_stat(&stat, core)).unwrap_or_default()
}

/// Line `cpuN`: user, nice, system, idle, iowait, irq, softirq, steal; guest time after that is part of user time.
fn parse_stat(stat: &str, core: u32) -> Option<CoreTime> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split_ascii_whitespace().next() == Some(&name))?;
    let mut ticks = [0_u64; 8];
    for (tick, field) in ticks.iter_mut().zip(line.split_ascii_whitespace().skip(1)) {
        *tick = field.parse().ok()?;
    }
    let total: u64 = ticks.iter().sum();
    let [_, _, _, idle, iowait, _, softirq, steal] = ticks;
    Some(CoreTime {
        busy_ns: (total - idle - iowait) * TICK_NS,
        softirq_ns: softirq * TICK_NS,
        steal_ns: steal * TICK_NS,
        total_ns: total * TICK_NS,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_core_is_found_by_its_whole_name() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu10 1 1 1 1 1 1 1 1 0 0\ncpu1 10 2 30 400 5 6 70 8 99 99\nintr 1\n";
        let core = parse_stat(stat, 1).expect("there is a cpu1");
        let ticks = |ns: u64| ns / TICK_NS;
        assert_eq!((ticks(core.total_ns), ticks(core.busy_ns)), (531, 126));
        assert_eq!((ticks(core.softirq_ns), ticks(core.steal_ns)), (70, 8));
        assert_eq!(parse_stat(stat, 2), None);
    }

    #[test]
    fn a_full_histogram_fits_a_frame() {
        let mut latency = Latency::new();
        for us in 0..200_000_u64 {
            latency.record(Duration::from_micros(us * 53), 1 << 40);
        }
        let bytes = latency.serialize();
        assert!(bytes.len() < 40 * 1024, "{} bytes", bytes.len());
        assert!(bytes.len() > 100, "something is in it");
    }

    #[test]
    fn this_threads_time_is_known() {
        let before = sample(0, &Latency::new());
        let mut sum = 0_u64;
        while sample(0, &Latency::new()).user_ns + sample(0, &Latency::new()).system_ns
            <= before.user_ns + before.system_ns
        {
            sum = sum.wrapping_add(1);
        }
        assert!(before.core_time.total_ns >= before.core_time.busy_ns);
    }
}
