//! The server as a whole, as operators see and steer it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::Refusals;
use super::bodies::{LogBody, ServerBody, ServerState, WorkerBody};
use crate::http::{Answer, AppState, Order, WholeBody, parse};
use crate::ops::{status, verbosity};
use crate::workers::Worker;

fn worker(worker: &Worker) -> WorkerBody {
    let usage = worker.usage();
    let counted = usage.as_ref().map(|(usage, _)| usage);
    WorkerBody {
        index: worker.index(),
        core: worker.core(),
        pid: worker.pid().unwrap_or_else(std::process::id),
        cpu_percent: usage.as_ref().map_or(0.0, |(_, rates)| rates.cpu_percent),
        rooms: counted.map_or(0, |usage| usage.routers),
        transports: counted.map_or(0, |usage| usage.transports),
        producers: counted.map_or(0, |usage| usage.producers),
        consumers: counted.map_or(0, |usage| usage.consumers),
    }
}

/// Shows the server and its workers.
#[utoipa::path(get, operation_id = "showServer", path = "/v1/server", tag = "server", responses(
    (status = 200, description = "as it is just now", body = ServerBody), Refusals,
))]
pub(super) async fn show(State(app): AppState) -> Answer {
    let rooms = app.rooms();
    let state = match (rooms.is_draining(), rooms.is_cordoned()) {
        (true, _) => ServerState::Draining,
        (false, true) => ServerState::Cordoned,
        (false, false) => ServerState::Open,
    };
    let body = ServerBody {
        version: env!("CORECAST_VERSION").into(),
        pid: std::process::id(),
        uptime_ms: status::ms(app.uptime()),
        state,
        isolation: app.config().isolation.to_string(),
        rooms: rooms.all().await.len(),
        workers: app.pool().workers().iter().map(|of| worker(of)).collect(),
    };
    Ok(Json(body).into_response())
}

/// Makes no new rooms from now on.
///
/// Rooms that are there go on and grow; what would make one gets 503.
#[utoipa::path(put, operation_id = "cordon", path = "/v1/cordon", tag = "server", responses(
    (status = 204, description = "no new rooms"), Refusals,
))]
pub(super) async fn cordon(State(app): AppState) -> StatusCode {
    app.rooms().cordon(true);
    StatusCode::NO_CONTENT
}

/// Makes new rooms again.
#[utoipa::path(delete, operation_id = "uncordon", path = "/v1/cordon", tag = "server", responses(
    (status = 204, description = "new rooms again"), Refusals,
))]
pub(super) async fn uncordon(State(app): AppState) -> StatusCode {
    app.rooms().cordon(false);
    StatusCode::NO_CONTENT
}

/// Drains and stops corecast, as SIGTERM does.
///
/// No new rooms are made, and the end comes when nobody is in one or `drain.deadline` is over.
#[utoipa::path(post, operation_id = "drain", path = "/v1/drain", tag = "server", responses(
    (status = 202, description = "the supervisor is told"), Refusals,
))]
pub(super) async fn drain(State(app): AppState) -> StatusCode {
    app.order(Order::Drain);
    StatusCode::ACCEPTED
}

/// Starts the server and its workers again.
///
/// Calls go on as in an upgrade if `failover.calls` is "keep", and end
/// otherwise.
#[utoipa::path(post, operation_id = "restart", path = "/v1/restart", tag = "server", responses(
    (status = 202, description = "the supervisor is told"), Refusals,
))]
pub(super) async fn restart(State(app): AppState) -> StatusCode {
    app.order(Order::Restart);
    StatusCode::ACCEPTED
}

/// Sets what the server and its workers log.
///
/// It holds until the next start or the next reading of the settings.
#[utoipa::path(put, operation_id = "setLogFilter", path = "/v1/log", tag = "server", request_body = LogBody, responses(
    (status = 204, description = "it is logged so from now on"), Refusals,
))]
pub(super) async fn log(State(app): AppState, body: WholeBody) -> Answer {
    let LogBody { filter } = parse(&body)?;
    verbosity::apply(&app, &filter, "filter")?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
