//! Answers that do not end: server-sent events (the HTML standard, section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Deserialize;
use utoipa::IntoParams;

/// Proxies between server and client wait longer than this for the next byte.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a listener may say in its URL.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct ListenQuery {
    /// Bearer token: a browser's EventSource sends no headers.
    #[param(nullable = false)]
    pub(crate) token: Option<String>,
    /// Names of the wanted events, separated by commas; all without it.
    #[param(nullable = false)]
    pub(crate) events: Option<String>,
}

/// Events as an answer that does not end.
pub(crate) fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    // A proxy that gathers an answer before it passes it on would pass on nothing.
    let plain = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (plain, sse).into_response()
}
