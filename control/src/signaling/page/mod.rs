//! The page at `/`: a video call in plain HTML, CSS and JavaScript modules, embedded into the program.
//!
//! Owns the files; what they do is in the files, and how they are sent in `http/files.rs`.

mod presence;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::{App, File, HttpError};

const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), geolocation=()";

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(File::new($name, include_bytes!($name), PERMISSIONS)),*] };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    files![
        "index.html",
        "style.css",
        "icon.svg",
        "main.js",
        "lobby.js",
        "call.js",
        "chat.js",
        "publisher.js",
        "viewer.js",
        "session.js",
        "transports.js",
        "ortc.js",
        "sdp.js",
        "protoo.js",
        "present.js",
        "http.js",
        "media.js",
        "figures.js",
        "speaking.js",
        "talk.js",
        "tiles.js",
        "notices.js",
        "wait.js",
    ]
    .into()
});

/// `/assets/{name}`, and the events of a room.
pub(super) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/assets/{name}", get(asset))
        .route("/rooms/{room}/events", get(presence::listen))
        .with_state(app)
}

/// The page itself.
pub(super) fn index(headers: &HeaderMap) -> Response {
    send("index.html", headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    send(&name, &headers)
}

fn send(name: &str, headers: &HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name() == name) {
        Some(file) => file.answer(headers),
        None => HttpError::no_path().into_response(),
    }
}
