//! The status page, its JSON, and health.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use corecast_wire::{Command, TestHook};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::bodies::{Health, HealthStatus, RoomShown, Rooms, Stats, WorkerShown};
use super::stats::{Lists, Names};
use crate::http::{Answer, App, AppState, HttpError, WholeBody, parse};
use crate::logging;
use crate::rooms::{Overview, Room};
use crate::shares::Share;

const PAGE: &str = include_str!("status.html");
/// Nothing from elsewhere, and no page may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; frame-ancestors 'none'";
const DEFAULT_STALL_MS: u32 = 60_000;
/// Rooms, transports, producers and consumers, with some 400 bytes each, of an answer that is not long.
const MAX_SHORT: usize = 500;
const PART_BYTES: usize = 64 * 1024;

pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Html(PAGE)).into_response()
}

/// 200 once every worker has answered a heartbeat, until the server is to stop. A worker that stops answering ends the
/// server anyway.
pub(super) async fn health(State(app): AppState) -> Response {
    let workers = app.pool().workers();
    let answering = workers.iter().filter(|worker| worker.usage().is_some()).count();
    let draining = app.rooms().is_draining();
    let healthy = answering == workers.len() && !draining;
    let code = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = match (draining, healthy) {
        (true, _) => HealthStatus::Draining,
        (false, false) => HealthStatus::Starting,
        (false, true) if app.rooms().is_cordoned() => HealthStatus::Cordoned,
        (false, true) => HealthStatus::Ok,
    };
    let body = Health {
        status,
        workers: workers.len(),
        answering,
        uptime_ms: ms(app.uptime()),
        lost_log_lines: logging::lost_lines(),
    };
    (code, Json(body)).into_response()
}

pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a room's objects are called.
pub(super) fn name_objects(room: &Overview, names: &mut Names) {
    names.extend(room.objects.iter().map(|(id, named)| (*id, (named.clone(), room.id.clone()))));
}

pub(super) async fn rooms(State(app): AppState, extensions: Extensions) -> Answer {
    let rooms = app.rooms().all().await;
    let share = share(&app, &extensions, rooms.len())?;
    Ok(answer(&Rooms { rooms: list(&rooms, &mut Names::new()).await }, share))
}

/// The right to an answer about so many objects: long ones are bounded in number while they are made and taken.
pub(super) fn share(app: &App, extensions: &Extensions, objects: usize) -> Result<Option<Share>, HttpError> {
    if objects > MAX_SHORT { app.long_answer(extensions).map(Some) } else { Ok(None) }
}

/// The answer in parts: the share is held until the last of them is taken.
pub(super) fn answer(body: &impl Serialize, share: Option<Share>) -> Response {
    let bytes = match serde_json::to_vec(body) {
        Ok(bytes) => Bytes::from(bytes),
        Err(_) => return HttpError::lost().into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes.len())),
    ];
    let parts = stream::unfold((bytes, share), |(mut left, share)| async move {
        let part = left.split_to(left.len().min(PART_BYTES));
        (!part.is_empty()).then_some((Ok::<_, Infallible>(part), (left, share)))
    });
    (headers, Body::from_stream(parts)).into_response()
}

/// The rooms, and what their objects are called.
async fn list(rooms: &[Arc<Room>], names: &mut Names) -> Vec<RoomShown> {
    let mut list = Vec::with_capacity(rooms.len());
    for room in rooms {
        let overview = room.overview().await;
        name_objects(&overview, names);
        list.push(RoomShown::of(&overview));
    }
    list
}

#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct StatsQuery {
    /// "false" leaves out the counters of each object.
    #[param(nullable = false)]
    objects: Option<bool>,
}

pub(super) async fn stats(State(app): AppState, Query(query): Query<StatsQuery>, extensions: Extensions) -> Answer {
    let (rooms, workers) = (app.rooms().all().await, app.pool().workers());
    let with_objects = query.objects != Some(false);
    let usages = workers.iter().filter_map(|worker| worker.usage()).map(|(usage, _)| usage);
    let objects: u32 = usages.map(|usage| usage.transports + usage.producers + usage.consumers).sum();
    let share = share(&app, &extensions, rooms.len() + if with_objects { objects as usize } else { 0 })?;
    let mut names = Names::new();
    let list = list(&rooms, &mut names).await;
    let body = Stats {
        version: env!("CORECAST_VERSION"),
        pid: std::process::id(),
        uptime_ms: ms(app.uptime()),
        isolation: app.config().isolation.to_string(),
        lost_log_lines: logging::lost_lines(),
        refusals: app.refusals().counts().into_iter().collect(),
        workers: workers.iter().map(|worker| WorkerShown::of(worker)).collect(),
        rooms: list,
        transports: None,
        producers: None,
        consumers: None,
        data_producers: None,
        data_consumers: None,
    };
    if !with_objects {
        return Ok(answer(&body, share));
    }
    let mut lists = Lists::default();
    for worker in workers {
        for object in worker.stats().await? {
            lists.push(worker.index(), &object, &names);
        }
    }
    Ok(answer(&body.with(lists), share))
}

#[derive(Debug, Deserialize)]
struct HookBody {
    hook: String,
    ms: Option<u32>,
}

/// Makes a worker misbehave, where `test_hooks` is on; otherwise this path does not exist.
pub(super) async fn test_hook(
    State(app): AppState,
    Path(index): Path<u32>,
    body: WholeBody,
) -> Result<Response, HttpError> {
    if !app.config().test_hooks {
        return Err(HttpError::no_path());
    }
    let body: HookBody = parse(&body)?;
    let hook = match body.hook.as_str() {
        "panic" => TestHook::Panic,
        "segfault" => TestHook::Segfault,
        "stall" => TestHook::Stall(body.ms.unwrap_or(DEFAULT_STALL_MS)),
        "trespass" => TestHook::Trespass,
        _ => return Err(HttpError::field("hook", "must be \"panic\", \"segfault\", \"stall\" or \"trespass\"")),
    };
    let worker = app.pool().workers().iter().find(|worker| worker.index() == index);
    let worker = worker.ok_or_else(|| HttpError::not_found("worker", &index.to_string()))?;
    // Not waited for: a worker that is told to die does not answer.
    let worker = Arc::clone(worker);
    tokio::spawn(async move { worker.request(Command::TestHook(hook)).await });
    Ok(StatusCode::ACCEPTED.into_response())
}
