//! What a worker used between two heartbeats: rates for the status page, and the line for the log.

use std::fmt::Write;

use corecast_wire::{CoreTime, Discards, Usage};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::Serialize;
use utoipa::ToSchema;

/// Usage over an interval. Percentages are of one core.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rates {
    pub(crate) interval_s: f64,
    pub(crate) cpu_percent: f64,
    pub(crate) user_percent: f64,
    pub(crate) system_percent: f64,
    pub(crate) core_busy_percent: f64,
    pub(crate) core_softirq_percent: f64,
    pub(crate) core_steal_percent: f64,
    pub(crate) packets_received_per_s: f64,
    pub(crate) packets_sent_per_s: f64,
    pub(crate) recv_bitrate_bps: f64,
    pub(crate) send_bitrate_bps: f64,
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) train_mean: f64,
    pub(crate) wakeups_per_s: f64,
    pub(crate) receive_overflows: u64,
    pub(crate) latency: Option<Latency>,
    /// Reason and packets, of those that occurred.
    pub(crate) discards: Vec<(&'static str, u64)>,
}

/// Receipt of a batch to completion of the send, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    pub(crate) count: u64,
}

fn histogram(bytes: &[u8]) -> Option<Histogram<u64>> {
    if bytes.is_empty() {
        return None;
    }
    Deserializer::new().deserialize(&mut std::io::Cursor::new(bytes)).ok()
}

/// Upper bounds of the buckets of latency, in microseconds.
pub(crate) const LATENCY_BOUNDS_US: [u64; 12] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000];

/// How many values of a serialized histogram are within each of these bounds and not within the one before, then how
/// many are above all; and the mean in microseconds. None if it cannot be read.
pub(crate) fn latency_buckets(bytes: &[u8]) -> Option<(Vec<u64>, f64)> {
    let latencies = histogram(bytes)?;
    let mut counts = vec![0; LATENCY_BOUNDS_US.len() + 1];
    for value in latencies.iter_recorded() {
        let us = value.value_iterated_to();
        let at = LATENCY_BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(LATENCY_BOUNDS_US.len());
        *counts.get_mut(at)? += value.count_since_last_iteration();
    }
    Some((counts, latencies.mean()))
}

impl Latency {
    fn between(earlier: &[u8], later: &[u8]) -> Option<Self> {
        let mut later = histogram(later)?;
        if let Some(earlier) = histogram(earlier) {
            later.subtract(&earlier).ok()?;
        }
        (!later.is_empty()).then(|| Self {
            p50_us: later.value_at_quantile(0.50),
            p99_us: later.value_at_quantile(0.99),
            max_us: later.max(),
            count: later.len(),
        })
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

impl Rates {
    /// Usage from `earlier` to `later` of one worker.
    pub(crate) fn between(earlier: &Usage, later: &Usage) -> Self {
        let ns = later.at_ns.saturating_sub(earlier.at_ns);
        let seconds = ns as f64 / 1e9;
        let per_s = |count: u64| if ns == 0 { 0.0 } else { count as f64 / seconds };
        let since = |of: fn(&Usage) -> u64| of(later).saturating_sub(of(earlier));
        let core = |of: fn(&CoreTime) -> u64| {
            let part = of(&later.core_time).saturating_sub(of(&earlier.core_time));
            percent(part, later.core_time.total_ns.saturating_sub(earlier.core_time.total_ns))
        };
        let (user, system) = (since(|usage| usage.user_ns), since(|usage| usage.system_ns));
        let (packets_sent, bytes_sent) = (since(|usage| usage.packets_sent), since(|usage| usage.bytes_sent));
        let (packets_received, bytes_received) =
            (since(|usage| usage.packets_received), since(|usage| usage.bytes_received));
        let trains = since(|usage| usage.trains_sent);
        Self {
            interval_s: seconds,
            cpu_percent: percent(user + system, ns),
            user_percent: percent(user, ns),
            system_percent: percent(system, ns),
            core_busy_percent: core(|time| time.busy_ns),
            core_softirq_percent: core(|time| time.softirq_ns),
            core_steal_percent: core(|time| time.steal_ns),
            packets_received_per_s: per_s(packets_received),
            packets_sent_per_s: per_s(packets_sent),
            recv_bitrate_bps: per_s(bytes_received) * 8.0,
            send_bitrate_bps: per_s(bytes_sent) * 8.0,
            packets_received,
            bytes_received,
            packets_sent,
            bytes_sent,
            train_mean: if trains == 0 { 0.0 } else { packets_sent as f64 / trains as f64 },
            wakeups_per_s: per_s(since(|usage| usage.wakeups)),
            receive_overflows: since(|usage| usage.receive_overflows),
            latency: Latency::between(&earlier.latency_us, &later.latency_us),
            discards: discards_between(&earlier.discards, &later.discards),
        }
    }

    /// One readable line.
    pub(crate) fn line(&self, index: u32, core: u32, later: &Usage) -> String {
        let mut line = format!(
            "usage worker={index} core={core} interval={:.1}s cpu={:.1}% (user {:.1}%, system {:.1}%) \
             core_busy={:.1}% softirq={:.1}% steal={:.1}%",
            self.interval_s,
            self.cpu_percent,
            self.user_percent,
            self.system_percent,
            self.core_busy_percent,
            self.core_softirq_percent,
            self.core_steal_percent,
        );
        let _ = write!(
            line,
            " in={:.0}pps {} ({} packets, {} bytes) out={:.0}pps {} ({} packets, {} bytes, {:.1} per train)",
            self.packets_received_per_s,
            bitrate(self.recv_bitrate_bps),
            self.packets_received,
            self.bytes_received,
            self.packets_sent_per_s,
            bitrate(self.send_bitrate_bps),
            self.packets_sent,
            self.bytes_sent,
            self.train_mean,
        );
        match self.latency {
            Some(Latency { p50_us, p99_us, max_us, .. }) => {
                let _ = write!(line, " latency_us p50={p50_us} p99={p99_us} max={max_us}");
            }
            None => line.push_str(" latency_us none"),
        }
        let _ = write!(
            line,
            " routers={} transports={} producers={} consumers={} overflows={} discards:",
            later.routers, later.transports, later.producers, later.consumers, self.receive_overflows
        );
        if self.discards.is_empty() {
            line.push_str(" none");
        }
        for (name, packets) in &self.discards {
            let _ = write!(line, " {name}={packets}");
        }
        line
    }
}

fn discards_between(earlier: &Discards, later: &Discards) -> Vec<(&'static str, u64)> {
    let before = |name| earlier.iter().find(|(known, _)| *known == name).map_or(0, |(_, packets)| packets);
    let since = later.iter().map(|(name, packets)| (name, packets.saturating_sub(before(name))));
    since.filter(|(_, packets)| *packets > 0).collect()
}

fn bitrate(bps: f64) -> String {
    match bps {
        _ if bps >= 1e9 => format!("{:.2}Gbit/s", bps / 1e9),
        _ if bps >= 1e6 => format!("{:.2}Mbit/s", bps / 1e6),
        _ => format!("{:.1}kbit/s", bps / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use corecast_wire::Discard;
    use hdrhistogram::serialization::{Serializer, V2Serializer};

    use super::*;

    fn latencies(values: &[u64]) -> Vec<u8> {
        let mut histogram = Histogram::<u64>::new(3).expect("bounds");
        values.iter().for_each(|value| histogram.record(*value).expect("within bounds"));
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).expect("serializes");
        bytes
    }

    fn samples() -> (Usage, Usage) {
        let mut earlier = Usage { latency_us: latencies(&[9_000]), packets_sent: 5, ..Usage::default() };
        earlier.discards.add(Discard::TooShort, 3);
        let mut later = Usage {
            at_ns: 2_000_000_000,
            user_ns: 100_000_000,
            system_ns: 300_000_000,
            core_time: CoreTime { busy_ns: 500, softirq_ns: 100, steal_ns: 20, total_ns: 2_000 },
            packets_received: 600,
            bytes_received: 250_000,
            packets_sent: 2_005,
            bytes_sent: 2_000_000,
            trains_sent: 200,
            latency_us: latencies(&[9_000, 100, 100, 100, 400]),
            ..Usage::default()
        };
        later.discards.add(Discard::TooShort, 3);
        later.discards.add(Discard::UnknownSsrc, 7);
        (earlier, later)
    }

    #[test]
    fn rates_are_those_of_the_interval() {
        let (earlier, later) = samples();
        let rates = Rates::between(&earlier, &later);
        assert_eq!((rates.cpu_percent, rates.user_percent, rates.system_percent), (20.0, 5.0, 15.0));
        assert_eq!((rates.core_busy_percent, rates.core_softirq_percent, rates.core_steal_percent), (25.0, 5.0, 1.0));
        assert_eq!((rates.packets_received_per_s, rates.recv_bitrate_bps), (300.0, 1_000_000.0));
        assert_eq!((rates.packets_sent, rates.train_mean), (2_000, 10.0));
        assert_eq!(rates.discards, [("unknown_ssrc", 7)]);
        let latency = rates.latency.expect("sends were made");
        assert_eq!((latency.count, latency.p50_us), (4, 100));
        assert!((400..=401).contains(&latency.max_us), "what came before the interval is not in it");
    }

    #[test]
    fn latencies_fall_into_buckets() {
        let (counts, mean_us) = latency_buckets(&latencies(&[50, 51, 400, 600_000])).expect("a histogram");
        assert_eq!((counts.iter().sum::<u64>(), counts[0], counts[1], counts[3]), (4, 1, 1, 1));
        assert_eq!(counts.last(), Some(&1), "above all bounds");
        assert!((149_000.0..152_000.0).contains(&mean_us), "{mean_us}");
        assert_eq!(latency_buckets(&[]), None);
    }

    #[test]
    fn the_line_says_it_all() {
        let (earlier, later) = samples();
        let line = Rates::between(&earlier, &later).line(1, 3, &later);
        for part in ["worker=1 core=3", "cpu=20.0%", "in=300pps 1.00Mbit/s", "out=1000pps", "p50=100", "unknown_ssrc=7"]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains('\n'));
    }

    #[test]
    fn an_interval_of_nothing_divides_by_nothing() {
        let rates = Rates::between(&Usage::default(), &Usage::default());
        assert_eq!((rates.cpu_percent, rates.packets_sent_per_s, rates.latency), (0.0, 0.0, None));
    }
}
