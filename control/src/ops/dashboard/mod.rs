//! `/dashboard`: live plots of each core, the hottest rooms, the unhappiest viewers and why, and of each peer its
//! streams and what was decided for it. The page is plain HTML, CSS and JavaScript modules, embedded into the program;
//! what it shows is `/dashboard/data`, which `corecast top` shows as well.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::PeerCounters;
use super::stats::{Lists, Names};
use super::status::name_objects;
use crate::http::{Answer, AppState, File, HttpError};
use crate::rooms::PeerInfo;
use crate::telemetry::{Present, Wish};

/// Peers of a room that are told of.
const MAX_PEERS: usize = 200;
/// It needs nothing of the machine.
const PERMISSIONS: &str = "camera=(), microphone=(), display-capture=(), geolocation=()";

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(File::new($name, include_bytes!($name), PERMISSIONS)),*] };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    files!["index.html", "style.css", "main.js", "cores.js", "lists.js", "peer.js", "plot.js", "words.js"].into()
});

fn send(name: &str, headers: &HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name() == name) {
        Some(file) => file.answer(headers),
        None => HttpError::no_path().into_response(),
    }
}

/// The page itself.
pub(super) async fn page(headers: HeaderMap) -> Response {
    send("index.html", &headers)
}

/// A file of the page.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    send(&name, &headers)
}

#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct DataQuery {
    /// The history behind this time, in milliseconds since the server started. Without it all of it.
    #[param(nullable = false)]
    since: Option<u64>,
    /// Peers and viewers of this room alone, and more of them.
    #[param(nullable = false)]
    room: Option<String>,
}

/// Everything at a glance. No worker is asked for it.
pub(super) async fn data(State(app): AppState, Query(query): Query<DataQuery>) -> Answer {
    let wish = Wish { since_ms: query.since.unwrap_or(0), room: query.room };
    let mut picture = app.telemetry().picture(app.pool(), app.config().limits.cpu_percent, &wish);
    if let Some(name) = &wish.room {
        // A room that has closed meanwhile has nobody in it.
        let peers = match app.rooms().get(name).await {
            Ok(room) => room.peers().await,
            Err(_) => Vec::new(),
        };
        picture.peers = peers.into_iter().take(MAX_PEERS).map(present).collect();
    }
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(picture)).into_response())
}

fn present(peer: PeerInfo) -> Present {
    Present {
        kind: peer.kind.name().to_owned(),
        publishes: peer.producers.iter().map(|producer| producer.kind.name().to_owned()).collect(),
        peer: peer.name,
        display_name: peer.display_name,
    }
}

/// `GET /rooms/{room}/peers/{peer}`: the counters of everything that one peer has, as `/stats` has them.
pub(super) async fn peer(State(app): AppState, Path((room, peer)): Path<(String, String)>) -> Answer {
    let room = app.rooms().get(&room).await?;
    let counters = room.peer_counters(&peer).await?;
    let mut names = Names::new();
    name_objects(&room.overview().await, &mut names);
    let mut lists = Lists::default();
    counters.objects.iter().for_each(|(worker, object)| lists.push(*worker, object, &names));
    let body = PeerCounters {
        room_id: room.id().to_owned(),
        peer_id: peer,
        display_name: counters.display_name,
        kind: counters.kind.name(),
        objects: lists,
        left_out: counters.left_out,
    };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response())
}
