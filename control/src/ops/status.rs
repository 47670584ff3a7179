//! The status page, its JSON, and health.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use corecast_wire::{Command, TestHook};
use serde::Deserialize;
use serde_json::{Value, json};

use super::stats::{Lists, Names};
use crate::rooms::{ApiError, Room};
use crate::server::{App, io_name};
use crate::signaling::parse;
use crate::workers::pool::Worker;

const PAGE: &str = include_str!("status.html");
/// Nothing from elsewhere, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; frame-ancestors 'none'";
const DEFAULT_STALL_MS: u32 = 60_000;

pub(crate) async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Html(PAGE)).into_response()
}

/// 200 once every worker has answered a heartbeat. One that stops answering ends the server anyway.
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    let workers = app.pool.workers();
    let answering = workers.iter().filter(|worker| worker.usage().is_some()).count();
    let healthy = answering == workers.len();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if healthy { "ok" } else { "starting" },
        "workers": workers.len(),
        "answering": answering,
        "uptimeMs": ms(app.started.elapsed()),
    });
    (status, Json(body)).into_response()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn worker(worker: &Worker) -> Value {
    let started = worker.started();
    let mut value = json!({
        "index": worker.index,
        "core": worker.core,
        "pid": worker.pid.unwrap_or_else(std::process::id),
        "portRange": { "min": worker.ports.0, "max": worker.ports.1 },
        "io": started.as_ref().map(|started| io_name(started.io)),
        "reason": started.as_ref().map(|started| &started.reason),
        "warnings": started.as_ref().map(|started| &started.warnings),
    });
    if let Some((usage, rates)) = worker.usage() {
        let discards: serde_json::Map<_, _> =
            usage.discards.iter().map(|(name, packets)| (name.to_owned(), json!(packets))).collect();
        value["usage"] = json!({
            "atNs": usage.at_ns,
            "userNs": usage.user_ns,
            "systemNs": usage.system_ns,
            "voluntarySwitches": usage.voluntary_switches,
            "involuntarySwitches": usage.involuntary_switches,
            "packetsReceived": usage.packets_received,
            "bytesReceived": usage.bytes_received,
            "packetsSent": usage.packets_sent,
            "bytesSent": usage.bytes_sent,
            "trainsSent": usage.trains_sent,
            "receiveOverflows": usage.receive_overflows,
            "wakeups": usage.wakeups,
            "discards": discards,
            "routers": usage.routers,
            "transports": usage.transports,
            "producers": usage.producers,
            "consumers": usage.consumers,
        });
        value["rates"] = json!(rates);
    }
    value
}

/// A room for the list, and what its objects are called.
async fn room(room: &Room, names: &mut Names) -> Value {
    let state = room.state().await;
    let named = |name: &str| (name.to_owned(), room.id.clone());
    names.extend(state.transports.iter().map(|(name, of)| (of.id.0, named(name))));
    names.extend(state.producers.iter().map(|(name, of)| (of.id.0, named(name))));
    names.extend(state.consumers.iter().map(|(name, of)| (of.id.0, named(name))));
    names.extend(state.sessions.iter().map(|(name, of)| (of.transport.0, named(name))));
    let peers: Vec<_> = state
        .peers
        .iter()
        .map(|(name, of)| {
            json!({
                "id": name,
                "displayName": of.display_name,
                "connected": of.live,
                "tracks": state.tracks(name),
                "viewers": state.viewers_of(name),
            })
        })
        .collect();
    let broadcasters: Vec<_> = state
        .broadcasters
        .iter()
        .map(|(name, of)| {
            json!({ "id": name, "displayName": of.display_name, "device": of.device, "joined": of.joined })
        })
        .collect();
    json!({
        "id": room.id,
        "worker": room.worker.index,
        "broadcasters": broadcasters,
        "peers": peers,
        "viewers": state.sessions.len() - state.peers.len(),
        "transports": state.transports.len() + state.sessions.len(),
        "producers": state.producers.len(),
        "consumers": state.consumers.len(),
    })
}

pub(crate) async fn rooms(State(app): State<Arc<App>>) -> Json<Value> {
    let mut list = Vec::new();
    for of in app.rooms.all().await {
        list.push(room(&of, &mut Names::new()).await);
    }
    Json(json!({ "rooms": list }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct StatsQuery {
    /// "false": leave out the counters of each object.
    objects: Option<bool>,
}

pub(crate) async fn stats(
    State(app): State<Arc<App>>,
    Query(query): Query<StatsQuery>,
) -> Result<Json<Value>, ApiError> {
    let mut names = Names::new();
    let mut list = Vec::new();
    for of in app.rooms.all().await {
        list.push(room(&of, &mut names).await);
    }
    let mut body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptimeMs": ms(app.started.elapsed()),
        "isolation": app.config.isolation.to_string(),
        "workers": app.pool.workers().iter().map(|of| worker(of)).collect::<Vec<_>>(),
        "rooms": list,
    });
    if query.objects != Some(false) {
        let mut lists = Lists::default();
        for worker in app.pool.workers() {
            for object in worker.stats().await? {
                lists.push(worker.index, &object, &names);
            }
        }
        body["transports"] = Value::Array(lists.transports);
        body["producers"] = Value::Array(lists.producers);
        body["consumers"] = Value::Array(lists.consumers);
    }
    Ok(Json(body))
}

#[derive(Debug, Deserialize)]
struct HookBody {
    hook: String,
    ms: Option<u32>,
}

/// Makes a worker misbehave, where `test_hooks` is on; otherwise this path does not exist.
pub(crate) async fn test_hook(
    State(app): State<Arc<App>>,
    Path(index): Path<u32>,
    body: Bytes,
) -> Result<Response, ApiError> {
    if !app.config.test_hooks {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path"));
    }
    let body: HookBody = parse(&body)?;
    let hook = match body.hook.as_str() {
        "panic" => TestHook::Panic,
        "segfault" => TestHook::Segfault,
        "stall" => TestHook::Stall(body.ms.unwrap_or(DEFAULT_STALL_MS)),
        _ => return Err(ApiError::field("hook", "must be \"panic\", \"segfault\" or \"stall\"")),
    };
    let worker = app.pool.workers().iter().find(|worker| worker.index == index);
    let worker = worker.ok_or_else(|| ApiError::not_found("worker", &index.to_string()))?;
    // Not waited for: who is told to die does not answer.
    let link = worker.link.clone();
    tokio::spawn(async move { link.request(Command::TestHook(hook)).await });
    Ok(StatusCode::ACCEPTED.into_response())
}
