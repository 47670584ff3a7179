//! `GET /rooms/{room}/events`: who is there, as server-sent events (the HTML standard, section 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::ops::access as tokens;
use crate::rooms::{ApiError, Listener};
use crate::server::App;
use crate::signaling::complete;
use crate::signaling::whip_whep::endpoints as doors;

/// Shorter than the patience of whatever is in between.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub(crate) struct EventsQuery {
    /// Bearer token: a browser's EventSource sends no headers.
    token: Option<String>,
}

/// Makes the room if there is none: a page listens before anybody publishes.
pub(crate) async fn listen(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    Query(query): Query<EventsQuery>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    tokens::check_listener(&app.config, &headers, query.token.as_deref()).or_else(|refused| {
        doors::within(&app.guess_rates, doors::source(&extensions), "requests without a right token")?;
        Err(refused)
    })?;
    let place = place(&app)?;
    let listener = complete(async move { app.rooms.get_or_create(&room).await?.listen().await }).await?;
    Ok(sse(stream::unfold((listener, place), next)))
}

/// A place among those who listen.
pub(crate) fn place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let full = |_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many listen already");
    Arc::clone(&app.listeners).try_acquire_owned().map_err(full)
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

type Listening = (Listener, OwnedSemaphorePermit);

async fn next((mut listener, place): Listening) -> Option<(Result<Event, Infallible>, Listening)> {
    let event = listener.next().await?;
    Some((Ok(Event::default().event(event.name).data(event.data)), (listener, place)))
}
