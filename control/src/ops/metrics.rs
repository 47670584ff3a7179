//! `/metrics`: what workers and the control plane have counted, in OpenMetrics text, made when it is asked for.
//!
//! Workers are not asked: their last heartbeat and the last look at the viewers have everything. So a scrape costs the
//! packet path nothing. Most labels have few values by nature; of rooms, which clients name, only the busiest are
//! there.

use std::collections::BTreeMap;
use std::fmt;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use corecast_wire::{DtlsFailure, Usage, WAIT_BOUNDS_US};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::http::{Answer, AppState, HttpError, SETUP_BOUNDS_S, SessionTotals};
use crate::logging;
use crate::rooms::Size;
use crate::spans;
use crate::telemetry::{AVAILABLE_BOUNDS_BPS, Buckets, Distributions, LOSS_BOUNDS, Unhappy};
use crate::webhooks;
use crate::workers::{LATENCY_BOUNDS_US, latency_buckets};

/// Rooms that have metrics of their own: those with the most consumers.
const MAX_ROOMS: usize = 20;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn metrics(State(app): AppState) -> Answer {
    let mut rooms = Vec::new();
    for room in app.rooms().all().await {
        rooms.push(room.size().await);
    }
    let workers = app.pool().workers().iter();
    let (viewers, unhappy) = app.telemetry().distributions();
    let snapshot = Snapshot {
        uptime_s: app.uptime().as_secs_f64(),
        workers: workers.filter_map(|of| Some((of.index(), of.core(), of.usage()?.0))).collect(),
        rooms,
        refusals: app.refusals().counts(),
        sessions: app.session_counts().now(),
        dtls_failures: app.pool().workers().iter().map(|of| (of.index(), of.dtls_failures())).collect(),
        viewers,
        unhappy,
        webhooks: app.webhooks().counts(),
        lost_lines: logging::lost_lines(),
        spans: spans::counts(),
    };
    let mut registry = Registry::with_prefix("corecast");
    registry.register_collector(Box::new(snapshot));
    let mut page = String::new();
    let wrong = |_| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written");
    text::encode(&mut page, &registry).map_err(wrong)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], page).into_response())
}

/// What a scrape tells.
#[derive(Debug)]
struct Snapshot {
    uptime_s: f64,
    /// Number, core and usage of each.
    workers: Vec<(u32, u32, Usage)>,
    rooms: Vec<Size>,
    refusals: Vec<(&'static str, u64)>,
    sessions: SessionTotals,
    /// By worker.
    dtls_failures: Vec<(u32, BTreeMap<DtlsFailure, u64>)>,
    viewers: Distributions,
    unhappy: Unhappy,
    webhooks: Vec<webhooks::Counts>,
    lost_lines: u64,
    /// What became of traces, where they are sent.
    spans: Option<spans::Counts>,
}

type Labels = Vec<(&'static str, String)>;
/// Buckets with their upper bounds, not cumulated, and the sum of all values.
type Distribution = (Vec<(f64, u64)>, f64);

fn labels(pairs: &[(&'static str, &dyn fmt::Display)]) -> Labels {
    pairs.iter().map(|(name, value)| (*name, value.to_string())).collect()
}

/// Buckets with their bounds.
fn distribution<const N: usize>(of: &Buckets<N>, bounds: [f64; N]) -> (Labels, Distribution) {
    let above = [(f64::INFINITY, of.above)];
    (Labels::new(), (bounds.into_iter().zip(of.counts).chain(above).collect(), of.sum))
}

/// Writes families of metrics.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counters(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        rows.into_iter().try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
    }

    fn gauges(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.into_iter().try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
    }

    fn histograms(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, Distribution)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        rows.into_iter().try_for_each(|(labels, (buckets, sum))| {
            let count = buckets.iter().map(|(_, count)| count).sum();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let page = &mut Page(encoder);
        page.gauges("build_info", "Version that runs", [(labels(&[("version", &env!("CORECAST_VERSION"))]), 1.0)])?;
        page.gauges("uptime_seconds", "Time since the server started", [(Labels::new(), self.uptime_s)])?;
        let lost = [(Labels::new(), self.lost_lines as f64)];
        page.counters("lost_log_lines", "Lines of the log that could not be written", lost)?;
        let spans = self.spans.iter().flat_map(|of| {
            [("exported", of.exported), ("failed", of.failed), ("dropped", of.dropped)]
                .map(|(result, number)| (labels(&[("result", &result)]), number as f64))
        });
        page.counters("trace_spans", "Spans of traces that the collector took, or that are lost", spans)?;
        self.encode_workers(page)?;
        self.encode_objects(page)?;
        self.encode_rooms(page)?;
        self.encode_viewers(page)?;
        self.encode_sessions(page)?;
        self.encode_webhooks(page)
    }
}

impl Snapshot {
    /// Some counters of each worker, each by another value of one label.
    fn each<'a, const N: usize>(
        &'a self,
        label: &'static str,
        of: impl Fn(&Usage) -> [(&'static str, f64); N] + 'a,
    ) -> impl Iterator<Item = (Labels, f64)> + 'a {
        self.workers.iter().flat_map(move |(index, _, usage)| {
            of(usage).map(|(value, number)| (labels(&[("worker", index), (label, &value)]), number))
        })
    }

    /// One counter of each worker.
    fn one<'a>(&'a self, of: impl Fn(&Usage) -> u64 + 'a) -> impl Iterator<Item = (Labels, f64)> + 'a {
        self.workers.iter().map(move |(index, _, usage)| (labels(&[("worker", index)]), of(usage) as f64))
    }

    fn encode_workers(&self, page: &mut Page<'_>) -> fmt::Result {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let cpu = self.each("mode", move |of| [("user", seconds(of.user_ns)), ("system", seconds(of.system_ns))]);
        page.counters("worker_cpu_seconds", "CPU time of the worker's thread", cpu)?;
        let core = self.each("state", move |of| {
            let time = of.core_time;
            let states = [("busy", time.busy_ns), ("softirq", time.softirq_ns), ("steal", time.steal_ns)];
            let [busy, softirq, steal] = states.map(|(state, ns)| (state, seconds(ns)));
            [busy, softirq, steal, ("all", seconds(time.total_ns))]
        });
        page.counters("core_seconds", "Time of the worker's core; busy has softirq and steal in it", core)?;
        let packets =
            self.each("direction", |of| [("in", of.packets_received as f64), ("out", of.packets_sent as f64)]);
        page.counters("packets", "Datagrams received, and sent", packets)?;
        let bytes = self.each("direction", |of| [("in", of.bytes_received as f64), ("out", of.bytes_sent as f64)]);
        page.counters("payload_bytes", "UDP payload received, and sent", bytes)?;
        page.counters(
            "trains",
            "Segmented sends; packets sent by trains is their length",
            self.one(|of| of.trains_sent),
        )?;
        let overflows = self.one(|of| of.receive_overflows);
        page.counters("receive_overflows", "Losses in the receive queues of the worker's sockets", overflows)?;
        page.counters("wakeups", "Times that the worker's thread woke up", self.one(|of| of.wakeups))?;
        let discards = self.workers.iter().flat_map(|(index, _, usage)| {
            usage
                .discards
                .iter()
                .map(move |(name, packets)| (labels(&[("worker", index), ("reason", &name)]), packets as f64))
        });
        page.counters("discards", "Packets that were not forwarded", discards)?;
        let latencies = self.workers.iter().filter_map(|(index, _, usage)| {
            let (counts, mean_us) = latency_buckets(&usage.latency_us)?;
            let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
            let sum_s = mean_us * counts.iter().sum::<u64>() as f64 / 1e6;
            Some((labels(&[("worker", index)]), (bounds.zip(counts).collect(), sum_s)))
        });
        page.histograms("latency_seconds", "From the receipt of a batch to the completion of a send", latencies)?;
        let waits = self.workers.iter().map(|(index, _, Usage { queue_waits, .. })| {
            let bounds = WAIT_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
            let sum_s = queue_waits.sum_us as f64 / 1e6;
            (labels(&[("worker", index)]), (bounds.zip(queue_waits.counts).collect(), sum_s))
        });
        page.histograms("queue_wait_seconds", "Wait of packets that had to wait for their turn, until they left", waits)
    }

    fn encode_objects(&self, page: &mut Page<'_>) -> fmt::Result {
        let objects = self.each("kind", |of| {
            let kinds = [("router", of.routers), ("transport", of.transports)];
            let [routers, transports] = kinds.map(|(kind, count)| (kind, f64::from(count)));
            [routers, transports, ("producer", f64::from(of.producers)), ("consumer", f64::from(of.consumers))]
        });
        page.gauges("objects", "Objects that are there", objects)?;
        let timers = self.one(|of| of.timers.into());
        page.gauges("timers", "Timers that wait, those included that no longer count", timers)?;
        let cores = self.workers.iter().map(|(index, core, _)| (labels(&[("worker", index), ("core", core)]), 1.0));
        page.gauges("worker_info", "Core that a worker runs on", cores)
    }

    fn encode_rooms(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauges("rooms", "Rooms that are there", [(Labels::new(), self.rooms.len() as f64)])?;
        let sum = |of: fn(&Size) -> usize| self.rooms.iter().map(of).sum::<usize>() as f64;
        let peers = [
            ("broadcaster", sum(|of| of.broadcasters)),
            ("publisher", sum(|of| of.publishers)),
            ("viewer", sum(|of| of.viewers)),
            ("participant", sum(|of| of.participants)),
        ];
        let peers = peers.map(|(kind, number)| (labels(&[("kind", &kind)]), number));
        page.gauges("peers", "Peers that are there", peers)?;
        let mut largest: Vec<_> = self.rooms.iter().collect();
        largest.sort_by_key(|room| std::cmp::Reverse((room.consumers, room.viewers)));
        largest.truncate(MAX_ROOMS);
        let name = |room: &Size| labels(&[("room", &room.name), ("worker", &room.worker)]);
        let consumers = largest.iter().map(|room| (name(room), room.consumers as f64));
        page.gauges("room_consumers", "Consumers of the 20 rooms that have the most", consumers)?;
        let viewers = largest.iter().map(|room| (name(room), room.viewers as f64));
        page.gauges("room_viewers", "Viewers of these rooms", viewers)
    }

    fn encode_webhooks(&self, page: &mut Page<'_>) -> fmt::Result {
        let events = self.webhooks.iter().flat_map(|of| {
            let results = [("delivered", of.delivered), ("failed", of.failed), ("dropped", of.dropped)];
            results.map(|(result, events)| (labels(&[("url", &of.url), ("result", &result)]), events as f64))
        });
        page.counters("webhook_events", "Events that a webhook was sent, or was not sent", events)?;
        let waiting = self.webhooks.iter().map(|of| (labels(&[("url", &of.url)]), of.waiting as f64));
        page.gauges("webhook_waiting", "Events that a webhook is to be sent yet", waiting)
    }

    fn encode_viewers(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = self.unhappy;
        let states =
            [("content", of.content), ("network", of.network), ("publisher", of.publisher), ("server", of.server)];
        let states = states.map(|(state, number)| (labels(&[("state", &state)]), number as f64));
        page.gauges("viewers", "Transports that are sent media, by what they suffer from", states)?;
        let available = distribution(&self.viewers.available_bps, AVAILABLE_BOUNDS_BPS.map(|bps| bps as f64));
        let help = "What viewers' paths carry, as estimated: each viewer once for each look";
        page.histograms("viewer_available_bits_per_second", help, [available])?;
        let loss = distribution(&self.viewers.loss, LOSS_BOUNDS);
        let help = "Share of packets that viewers say they lost: each viewer once for each look";
        page.histograms("viewer_loss_ratio", help, [loss])?;
        let of = self.viewers.freezes;
        let freezes = [("key_frame", of.key_frame), ("suspended", of.suspended), ("no_media", of.no_media)];
        let freezes = freezes.map(|(sign, number)| (labels(&[("sign", &sign)]), number as f64));
        page.counters("viewer_freezes", "Pictures that probably stood still at a look, by the sign of it", freezes)
    }

    fn encode_sessions(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = &self.sessions;
        let by_kind = |(kind, number): (&&'static str, &u64)| (labels(&[("kind", kind)]), *number as f64);
        page.counters("sessions_begun", "Sessions that were made", of.begun.iter().map(by_kind))?;
        page.counters("sessions_connected", "Sessions that were connected", of.connected.iter().map(by_kind))?;
        let ended = of.ended.iter();
        let ended = ended.map(|((kind, cause), number)| (labels(&[("kind", kind), ("cause", cause)]), *number as f64));
        page.counters("sessions_ended", "Sessions that have ended", ended)?;
        let failures = self.dtls_failures.iter().flat_map(|(worker, failures)| {
            let row = |(failure, number): (&DtlsFailure, &u64)| {
                (labels(&[("worker", worker), ("cause", &failure.name())]), *number as f64)
            };
            failures.iter().map(row).collect::<Vec<_>>()
        });
        page.counters("dtls_failures", "Handshakes that came to nothing, by what was wrong", failures)?;
        let bounds = SETUP_BOUNDS_S.into_iter().chain([f64::INFINITY]);
        let setup = [(Labels::new(), (bounds.zip(of.setup).collect(), of.setup_sum_s))];
        page.histograms("session_setup_seconds", "From the answer to a session to its connection", setup)?;
        let refusals = self.refusals.iter().map(|(cause, times)| (labels(&[("cause", cause)]), *times as f64));
        page.counters("refusals", "Requests that were refused", refusals)
    }
}
