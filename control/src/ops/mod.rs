//! What operators see and decide: the status page, counters as JSON, health, and who may do what.

pub(crate) mod access;
pub(crate) mod stats;
mod status;
mod trace;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::http::App;

/// `/status`, `/health`, `/stats`, `/rooms`, traces of decisions, and the test hooks.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/status", get(status::page))
        .route("/health", get(status::health))
        .route("/stats", get(status::stats))
        .route("/test-hooks/worker/{index}", post(status::test_hook))
        .route("/rooms", get(status::rooms))
        .route("/rooms/{room}/transports/{transport}/trace", get(trace::trace))
        .with_state(app)
}
