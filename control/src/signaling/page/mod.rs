//! The page at `/`: a video call in plain HTML, CSS and JavaScript modules, embedded into the program.
//!
//! Owns the files and how they are sent; what they do is in the files. Nothing is loaded from elsewhere, and the policy
//! that goes with them (Content Security Policy Level 3) lets nothing else be loaded. Files are named by each other
//! without a version, so a browser asks each time whether its copy still is the one (RFC 9110 section 13.1.2).

mod presence;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::{App, HttpError};

/// Own files only, no inline code, and no page may frame it. Media elements play streams, which are no sources.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), geolocation=()";

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(File::new($name, include_bytes!($name))),*] };
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

struct File {
    name: &'static str,
    bytes: &'static [u8],
    tag: String,
}

impl File {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { name, bytes, tag: format!("\"{:016x}\"", hasher.finish()) }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let headers = |response: Response| {
            let mut response = response;
            let fixed: [(HeaderName, &'static str); 6] = [
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (HeaderName::from_static("permissions-policy"), PERMISSIONS),
                (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                // The name of a room is in the address.
                (header::REFERRER_POLICY, "no-referrer"),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            for (name, value) in fixed {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            if let Ok(tag) = HeaderValue::from_str(&self.tag) {
                response.headers_mut().insert(header::ETAG, tag);
            }
            response
        };
        let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        if known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == self.tag) {
            return headers(StatusCode::NOT_MODIFIED.into_response());
        }
        headers(([(header::CONTENT_TYPE, self.content_type())], self.bytes).into_response())
    }
}

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
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => file.answer(headers),
        None => HttpError::no_path().into_response(),
    }
}
