//! What operators see and decide: the dashboard, the status page, counters as JSON, health, who may do what, and their
//! own API.

pub(crate) mod access;
pub(crate) mod admin;
mod bodies;
mod dashboard;
mod events;
mod get_stats;
mod metrics;
mod stats;
mod status;
mod trace;
mod verbosity;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post, put};

pub(crate) use bodies::{Health, PeerCounters, Rooms, Stats};
pub(crate) use dashboard::DataQuery;
pub(crate) use events::EventsQuery;
pub(crate) use get_stats::{Entry, get_stats};
pub(crate) use status::StatsQuery;
pub(crate) use trace::{Trace, TraceQuery};
pub(crate) use verbosity::set_log_filter;

use crate::http::App;

/// The pages, `/health`, and for those who have a token what the pages show, `/stats`, `/metrics`, `/rooms`, `/events`,
/// the filter of the log, traces of decisions, and the test hooks.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/stats", get(status::stats))
        .route("/metrics", get(metrics::metrics))
        .route("/dashboard/data", get(dashboard::data))
        .route("/log-filter", put(verbosity::set))
        .route("/test-hooks/worker/{index}", post(status::test_hook))
        .route("/events", get(events::listen))
        .route("/rooms", get(status::rooms))
        .route("/rooms/{room}/peers/{peer}", get(dashboard::peer))
        .route("/rooms/{room}/transports/{transport}/trace", get(trace::trace))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), access::operate))
        .route("/dashboard", get(dashboard::page))
        .route("/dashboard/assets/{name}", get(dashboard::asset))
        .route("/status", get(status::page))
        .route("/health", get(status::health))
        .with_state(app)
}
