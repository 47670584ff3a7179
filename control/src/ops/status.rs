//! The status page, its JSON, and health.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use corecast_wire::{Command, Io, TestHook};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::stats::{Lists, Names};
use crate::http::{Answer, App, AppState, HttpError, parse};
use crate::logging;
use crate::rooms::{Overview, PeerInfo, Room};
use crate::shares::Share;
use crate::workers::Worker;

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
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": match (draining, healthy) {
            (true, _) => "draining",
            (false, false) => "starting",
            (false, true) if app.rooms().is_cordoned() => "cordoned",
            (false, true) => "ok",
        },
        "workers": workers.len(),
        "answering": answering,
        "uptimeMs": ms(app.uptime()),
        "lostLogLines": logging::lost_lines(),
    });
    (status, Json(body)).into_response()
}

pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn worker(worker: &Worker) -> Value {
    let (started, ports) = (worker.started(), worker.ports());
    let mut value = json!({
        "index": worker.index(),
        "core": worker.core(),
        "pid": worker.pid().unwrap_or_else(std::process::id),
        "portRange": { "min": ports.0, "max": ports.1 },
        "io": started.as_ref().map(|started| io_name(started.io)),
        "reason": started.as_ref().map(|started| &started.reason),
        "warnings": started.as_ref().map(|started| &started.warnings),
    });
    if let Some((usage, rates)) = worker.usage() {
        let discards: Map<_, _> =
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
            "timers": usage.timers,
        });
        value["rates"] = json!(rates);
    }
    value
}

/// For people.
fn io_name(io: Io) -> &'static str {
    match io {
        Io::Auto => "auto",
        Io::Uring => "io_uring",
        Io::Syscalls => "system calls",
    }
}

/// What a room's objects are called.
pub(super) fn name_objects(room: &Overview, names: &mut Names) {
    names.extend(room.objects.iter().map(|(id, named)| (*id, (named.clone(), room.id.clone()))));
}

/// A room for the list, and what its objects are called.
pub(super) fn room(room: &Overview, names: &mut Names) -> Value {
    name_objects(room, names);
    let (broadcasters, peers): (Vec<_>, Vec<_>) = room.peers.iter().partition(|peer| peer.kind.is_broadcaster());
    let broadcaster = |peer: &&PeerInfo| {
        json!({
            "id": peer.name,
            "displayName": peer.display_name,
            "device": peer.app_data["device"],
            "joined": peer.joined,
        })
    };
    let peer = |peer: &&PeerInfo| {
        json!({
            "id": peer.name,
            "displayName": peer.display_name,
            "connected": peer.joined,
            "tracks": peer.producers.iter().map(|producer| producer.kind).collect::<Vec<_>>(),
            "viewers": room.viewers_of.get(&peer.name).copied().unwrap_or_default(),
        })
    };
    json!({
        "id": room.id,
        "worker": room.worker,
        "loudest": room.loudest,
        "branches": room.branches,
        "broadcasters": broadcasters.iter().map(broadcaster).collect::<Vec<_>>(),
        "peers": peers.iter().map(peer).collect::<Vec<_>>(),
        "viewers": room.viewers,
        "transports": room.transports,
        "producers": room.producers,
        "consumers": room.consumers,
    })
}

pub(super) async fn rooms(State(app): AppState, extensions: Extensions) -> Answer {
    let rooms = app.rooms().all().await;
    let share = share(&app, &extensions, rooms.len())?;
    Ok(answer(&json!({ "rooms": list(&rooms, &mut Names::new()).await }), share))
}

/// The right to an answer about so many objects: long ones are bounded in number while they are made and taken.
pub(super) fn share(app: &App, extensions: &Extensions, objects: usize) -> Result<Option<Share>, HttpError> {
    if objects > MAX_SHORT { app.long_answer(extensions).map(Some) } else { Ok(None) }
}

/// The answer in parts: the share is held until the last of them is taken.
pub(super) fn answer(body: &Value, share: Option<Share>) -> Response {
    let bytes = Bytes::from(body.to_string());
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

async fn list(rooms: &[Arc<Room>], names: &mut Names) -> Vec<Value> {
    let mut list = Vec::new();
    for of in rooms {
        list.push(room(&of.overview().await, names));
    }
    list
}

#[derive(Debug, Deserialize)]
pub(super) struct StatsQuery {
    /// "false": leave out the counters of each object.
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
    let refusals: Map<_, _> =
        app.refusals().counts().into_iter().map(|(cause, times)| (cause.to_owned(), json!(times))).collect();
    let mut body = json!({
        "version": env!("CORECAST_VERSION"),
        "pid": std::process::id(),
        "uptimeMs": ms(app.uptime()),
        "isolation": app.config().isolation.to_string(),
        "lostLogLines": logging::lost_lines(),
        "refusals": refusals,
        "workers": workers.iter().map(|of| worker(of)).collect::<Vec<_>>(),
        "rooms": list,
    });
    if with_objects {
        let mut lists = Lists::default();
        for worker in workers {
            for object in worker.stats().await? {
                lists.push(worker.index(), &object, &names);
            }
        }
        body["transports"] = Value::Array(lists.transports);
        body["producers"] = Value::Array(lists.producers);
        body["consumers"] = Value::Array(lists.consumers);
        body["dataProducers"] = Value::Array(lists.data_producers);
        body["dataConsumers"] = Value::Array(lists.data_consumers);
    }
    Ok(answer(&body, share))
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
    body: Bytes,
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
