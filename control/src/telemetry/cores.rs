//! The last minutes of each core: a point for each heartbeat.

use std::collections::VecDeque;
use std::time::Duration;

use super::picture::{Core, Now, Series, ms, round};
use crate::workers::{Pool, Rates};

/// Points that are kept: three minutes of heartbeats.
const MAX_POINTS: usize = 180;

/// Discards that are no loss: packets that their receivers do not want, or not yet.
const WITHHELD: [&str; 9] = [
    "layer_not_wanted",
    "silence_not_wanted",
    "padding_only",
    "before_sync",
    "consumer_paused",
    "producer_paused",
    "payload_type_not_negotiated",
    "already_received",
    "waiting_for_key_frame",
];

/// Each worker's points.
#[derive(Debug, Default)]
pub(super) struct Cores(Vec<History>);

#[derive(Debug, Default)]
struct History {
    /// The heartbeat that was noted last, by the worker's clock.
    heartbeat_ns: u64,
    points: VecDeque<(u64, Now)>,
}

/// What lies between two heartbeats.
fn now(rates: &Rates) -> Now {
    let seconds = rates.interval_s.max(0.001);
    let discards = rates.discards.iter().filter(|(name, _)| !WITHHELD.contains(name));
    let mut discards: Vec<_> =
        discards.map(|(name, packets)| ((*name).to_owned(), round(*packets as f64 / seconds))).collect();
    discards.sort_by(|a, b| b.1.total_cmp(&a.1));
    Now {
        cpu_percent: round(rates.cpu_percent),
        busy_percent: round(rates.core_busy_percent),
        steal_percent: round(rates.core_steal_percent),
        in_pps: round(rates.packets_received_per_s),
        out_pps: round(rates.packets_sent_per_s),
        in_bps: rates.recv_bitrate_bps.round(),
        out_bps: rates.send_bitrate_bps.round(),
        train: round(rates.train_mean),
        p50_us: rates.latency.map(|latency| latency.p50_us),
        p99_us: rates.latency.map(|latency| latency.p99_us),
        max_us: rates.latency.map(|latency| latency.max_us),
        discards,
    }
}

impl Cores {
    /// Notes the heartbeats that have come since the last time. `at` is since the server started.
    pub(super) fn note(&mut self, pool: &Pool, at: Duration) {
        self.0.resize_with(pool.workers().len(), History::default);
        for (worker, history) in pool.workers().iter().zip(&mut self.0) {
            let Some((usage, rates)) = worker.usage() else { continue };
            // Before there are two heartbeats nothing lies between them.
            if usage.at_ns <= history.heartbeat_ns || rates.interval_s <= 0.0 {
                continue;
            }
            history.heartbeat_ns = usage.at_ns;
            history.points.push_back((ms(at), now(&rates)));
            while history.points.len() > MAX_POINTS {
                history.points.pop_front();
            }
        }
    }

    /// Every worker, with the points behind this time.
    pub(super) fn told(&self, pool: &Pool, since_ms: u64) -> Vec<Core> {
        let empty = History::default();
        let histories = self.0.iter().chain(std::iter::repeat(&empty));
        let core = |(worker, history): (&std::sync::Arc<crate::workers::Worker>, &History)| {
            let usage = worker.usage().map(|(usage, _)| usage).unwrap_or_default();
            Core {
                worker: worker.index(),
                core: worker.core(),
                transports: usage.transports,
                producers: usage.producers,
                consumers: usage.consumers,
                rooms: usage.routers,
                now: history.points.back().map(|(_, now)| now.clone()),
                series: history.series(since_ms),
            }
        };
        pool.workers().iter().zip(histories).map(core).collect()
    }
}

impl History {
    fn series(&self, since_ms: u64) -> Series {
        let mut series = Series::default();
        for (at_ms, now) in self.points.iter().filter(|(at_ms, _)| *at_ms > since_ms) {
            series.at_ms.push(*at_ms);
            series.cpu_percent.push(now.cpu_percent);
            series.busy_percent.push(now.busy_percent);
            series.in_pps.push(now.in_pps);
            series.out_pps.push(now.out_pps);
            series.p50_us.push(now.p50_us);
            series.p99_us.push(now.p99_us);
            series.train.push(now.train);
            series.discards.push(round(now.discards_per_s()));
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wants_is_no_loss() {
        let discards = vec![("layer_not_wanted", 900), ("stale", 10), ("send_refused", 30)];
        let now = now(&Rates { interval_s: 2.0, discards, ..Rates::default() });
        assert_eq!(now.discards, [("send_refused".to_owned(), 15.0), ("stale".to_owned(), 5.0)]);
        assert_eq!(now.discards_per_s(), 20.0);
    }

    #[test]
    fn a_history_is_told_from_where_it_is_known() {
        let mut history = History::default();
        for at in [1_000, 2_000, 3_000] {
            history.points.push_back((at, Now { cpu_percent: at as f64 / 1_000.0, ..Now::default() }));
        }
        assert_eq!(history.series(0).at_ms, [1_000, 2_000, 3_000]);
        let newer = history.series(2_000);
        assert_eq!((newer.at_ms, newer.cpu_percent), (vec![3_000], vec![3.0]));
    }
}
