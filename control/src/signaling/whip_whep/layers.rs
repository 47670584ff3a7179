//! Extensions of a WHEP session: which layers there are and which is sent (`…/layer`), and what happens to them, as
//! server-sent events (`…/events`). Both as drafts of WHEP up to draft-ietf-wish-whep-02 define them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::endpoints::{self as doors, Answer, AppState};
use crate::rooms::{ApiError, LayerBody, path_segment};
use crate::server::App;
use crate::signaling::page::presence::{place, sse};
use crate::signaling::whip_whep::sessions::{Door, Session};
use crate::signaling::{complete, parse};

const JSON: &str = "application/json";
/// At least between two looks at what has changed by itself.
const LOOK: Duration = Duration::from_secs(2);
/// The events that there are.
const EVENTS: [&str; 3] = ["active", "inactive", "layers"];

/// `Link` headers of a session that has layers to choose from; `location` is its URL.
pub(crate) fn links(location: &str) -> [String; 2] {
    let events = EVENTS.join(",");
    [
        format!("<{location}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\""),
        format!("<{location}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"{events}\""),
    ]
}

fn session(
    app: &App,
    path: &(String, String),
    request: &Request,
    token: Option<&str>,
) -> Result<Arc<Session>, ApiError> {
    let session = doors::session(app, Door::Whep, path, (request.headers(), request.extensions()), token)?;
    doors::may_ask(&session)?;
    Ok(session)
}

/// A JSON body; an empty one is `default`. Without one there need be no `Content-Type`.
async fn json(app: &App, headers: &HeaderMap, body: axum::body::Body, default: &str) -> Result<String, ApiError> {
    let text = doors::text(app, body).await?;
    if text.trim().is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(default.to_owned());
    }
    doors::check_type(headers, JSON)?;
    Ok(if text.trim().is_empty() { default.to_owned() } else { text })
}

/// `POST …/layer`: chooses.
pub(crate) async fn select(
    State(app): AppState,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let session = session(&app, &path, &request, None)?;
    let (parts, body) = request.into_parts();
    let body: LayerBody = parse(json(&app, &parts.headers, body, "{}").await?.as_bytes())?;
    complete(async move { session.select_layer(body).await }).await?;
    Ok(StatusCode::OK)
}

/// `GET …/layer`: what a "layers" event says, once. (An addition: browsers open few connections to one server.)
pub(crate) async fn layers(State(app): AppState, Path(path): Path<(String, String)>, request: Request) -> Answer {
    let session = session(&app, &path, &request, None)?;
    let layers = complete(async move { session.layers().await }).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(layers)).into_response())
}

/// `OPTIONS` of both. Asks for no token.
pub(crate) async fn options() -> Response {
    let headers = [(header::ALLOW, "GET, HEAD, POST, OPTIONS"), (doors::ACCEPT_POST, JSON)];
    (StatusCode::OK, headers).into_response()
}

/// `POST …/events`: says where the events of this list are to be had. The list is in that URL, so that there is nothing
/// to keep.
pub(crate) async fn create(State(app): AppState, Path(path): Path<(String, String)>, request: Request) -> Answer {
    let session = session(&app, &path, &request, None)?;
    let (parts, body) = request.into_parts();
    let wanted: Vec<String> = parse(json(&app, &parts.headers, body, "[]").await?.as_bytes())?;
    session.watch_layers().await?;
    let wanted = if wanted.is_empty() { EVENTS.map(str::to_owned).to_vec() } else { wanted };
    let wanted: Vec<_> = known(wanted.iter().map(String::as_str))?.into_iter().collect();
    let (room, secret) = (path_segment(&path.0), path_segment(&path.1));
    let location = format!("/whep/{room}/s/{secret}/events?events={}", wanted.join(","));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

/// Those of a list, each once.
fn known<'a>(wanted: impl Iterator<Item = &'a str>) -> Result<BTreeSet<&'static str>, ApiError> {
    let one = |name: &str| {
        let sentence = || format!("events: there is no event {name:?}; there are {}", EVENTS.join(", "));
        let found = EVENTS.into_iter().find(|known| *known == name);
        found.ok_or_else(|| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence()))
    };
    wanted.map(one).collect()
}

#[derive(Debug, Deserialize)]
pub(crate) struct EventsQuery {
    /// Separated by commas; all of them without it.
    events: Option<String>,
    /// Bearer token: a browser's EventSource sends no headers.
    token: Option<String>,
}

/// `GET …/events`: the events, until the session ends.
pub(crate) async fn listen(
    State(app): AppState,
    Path(path): Path<(String, String)>,
    Query(query): Query<EventsQuery>,
    request: Request,
) -> Answer {
    let session = session(&app, &path, &request, query.token.as_deref())?;
    let wanted = match &query.events {
        Some(list) => known(list.split(','))?,
        None => EVENTS.into(),
    };
    let current = session.watch_layers().await?;
    let place = place(&app)?;
    let listening = Listening { session, wanted, current, told: None, active: false, queue: Vec::new(), _place: place };
    Ok(sse(stream::unfold(listening, next)))
}

/// Somebody who listens to a session.
struct Listening {
    session: Arc<Session>,
    wanted: BTreeSet<&'static str>,
    /// Which layers it is sent.
    current: Vec<watch::Receiver<Option<u8>>>,
    /// What it was told last.
    told: Option<Value>,
    active: bool,
    /// To be told, last first.
    queue: Vec<Event>,
    _place: OwnedSemaphorePermit,
}

/// Something of them has changed, or a while has passed.
async fn change(current: &mut [watch::Receiver<Option<u8>>]) {
    let mut changes: Vec<_> = current.iter_mut().map(|one| Box::pin(one.changed())).collect();
    let any = poll_fn(|cx| {
        let mut ready = changes.iter_mut().filter_map(|change| match change.as_mut().poll(cx) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        });
        ready.next().map_or(Poll::Pending, Poll::Ready)
    });
    // A consumer that has gone changes no more; what that means the next look tells.
    if let Ok(Err(_)) = tokio::time::timeout(LOOK, any).await {
        tokio::time::sleep(LOOK).await;
    }
}

async fn next(mut listening: Listening) -> Option<(Result<Event, Infallible>, Listening)> {
    loop {
        if let Some(event) = listening.queue.pop() {
            return Some((Ok(event), listening));
        }
        if listening.told.is_some() {
            change(&mut listening.current).await;
        }
        // An error: the session has ended.
        let layers = listening.session.layers().await.ok()?;
        listening.note(layers);
    }
}

impl Listening {
    fn note(&mut self, layers: Value) {
        let is_active = |of: &Value| of["active"].as_array().is_some_and(|active| !active.is_empty());
        let active = layers.as_object().is_some_and(|sections| sections.values().any(is_active));
        let wants = |name: &str| self.wanted.contains(name);
        if wants("layers") && self.told.as_ref() != Some(&layers) {
            self.queue.push(Event::default().event("layers").data(layers.to_string()));
        }
        let name = if active { "active" } else { "inactive" };
        if active != self.active && wants(name) {
            self.queue.push(Event::default().event(name).data("{}"));
        }
        self.active = active;
        self.told = Some(layers);
    }
}
