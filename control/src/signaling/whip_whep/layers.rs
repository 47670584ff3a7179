//! Extensions of a WHEP session: which layers there are and which is sent (`…/layer`), and what happens to them, as
//! server-sent events (`…/events`), the session's end among them. Both as drafts of WHEP up to draft-ietf-wish-whep-02
//! define them.
//!
//! A layer is an encoding of simulcast, known by its RID, or a spatial layer within an only encoding (SVC), known by
//! its number. An addition tells what keeps a viewer from getting more.

use std::cmp::Reverse;
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
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::request;
use super::request::{ACCEPT_POST, WhipWhep, may_ask};
use super::sessions::{Endpoint, Session};
use crate::http::{Answer, HttpError, ListenQuery, check_type, complete, parse, path_segment, sse, text};
use crate::rooms::{LayerReport, LayerWish, Left};
use crate::shares::Share;
use crate::workers::ConsumerState;

const JSON: &str = "application/json";
/// At least between two looks at what has changed by itself.
const LOOK: Duration = Duration::from_secs(2);
/// The events that there are.
const EVENTS: [&str; 4] = ["active", "ended", "inactive", "layers"];

/// `POST` of a session's layer resource.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerBody {
    media_id: Option<String>,
    encoding_id: Option<String>,
    spatial_layer_id: Option<u64>,
    temporal_layer_id: Option<u64>,
    max_spatial_layer_id: Option<u64>,
    max_temporal_layer_id: Option<u64>,
}

/// More layers than any codec has: the highest.
const ALL: u8 = 7;

fn unprocessable(field: &str, cause: impl std::fmt::Display) -> HttpError {
    HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{field}: {cause}"))
}

impl LayerBody {
    /// What it asks for. A layer is the highest that is wanted; what is called the maximum counts where no layer is
    /// named.
    fn wish(&self) -> LayerWish<'_> {
        let layer =
            |layer: Option<u64>, max: Option<u64>| layer.or(max).map(|id| u8::try_from(id).unwrap_or(ALL).min(ALL));
        LayerWish {
            encoding: self.encoding_id.as_deref(),
            spatial: layer(self.spatial_layer_id, self.max_spatial_layer_id.filter(|_| self.encoding_id.is_none())),
            temporal: layer(self.temporal_layer_id, self.max_temporal_layer_id),
        }
    }

    /// The client chooses; with an empty body it leaves the choice to the server again, which is the best.
    async fn apply(&self, session: &Session) -> Result<(), HttpError> {
        let layered = session.layered();
        if layered.is_empty() {
            return Err(nothing_layered());
        }
        let wanted = self.media_id.as_deref();
        let found = layered.iter().find(|section| wanted.is_none_or(|wanted| wanted == section.index.to_string()));
        let section = found.ok_or_else(|| {
            let there: Vec<_> = layered.iter().map(|section| section.index.to_string()).collect();
            let there = there.join(", ");
            unprocessable("mediaId", format!("is the index of no m= line of pictures; there are {there}"))
        })?;
        Ok(session.select_layer(&section.of, self.wish()).await?)
    }
}

fn nothing_layered() -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, "this session watches no pictures, so there are no layers")
}

/// The data of a "layers" event: what a session may choose from.
async fn describe(session: &Session) -> Result<Value, HttpError> {
    let reports = session.layers().await?;
    // While a viewer waits for its publisher there is nothing to choose from.
    if session.layered().is_empty() {
        return Err(nothing_layered());
    }
    Ok(Value::Object(reports.iter().map(|(index, report)| (index.to_string(), section(report))).collect()))
}

/// The layers of one section: best first.
fn section(report: &LayerReport) -> Value {
    let (mut active, mut inactive, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    let mut encodings: Vec<_> = report.names.iter().zip(&report.encodings).collect();
    encodings.sort_by_key(|(_, encoding)| Reverse(encoding.spatial));
    for (name, encoding) in encodings {
        let mut layer = Map::new();
        layer.insert("simulcastIdx".into(), json!(encoding.spatial));
        if let Some(bitrate) = encoding.bitrate_bps.filter(|_| encoding.active) {
            layer.insert("bitrate".into(), json!(bitrate));
        }
        if let Some((width, height)) = encoding.picture {
            layer.insert("width".into(), json!(width));
            layer.insert("height".into(), json!(height));
        }
        let with = |field: &str| {
            let mut layer = layer.clone();
            layer.insert(field.into(), json!(name));
            Value::Object(layer)
        };
        if encoding.active {
            active.push(with("id"));
            let mut one = with("encodingId");
            match encoding.spatial_layers {
                0 => layers.push(one),
                count => layers.extend((0..count).rev().map(|spatial| {
                    one["spatialLayerId"] = json!(spatial);
                    one.clone()
                })),
            }
        } else {
            inactive.push(with("id"));
        }
    }
    let state = report.state;
    let current = state.current.and_then(|current| report.names.get(usize::from(current.encoding)));
    let mut section = json!({ "active": active, "inactive": inactive, "layers": layers, "current": current });
    if let Some(current) = state.current.filter(|_| report.names.len() == 1) {
        section["currentSpatialLayerId"] = json!(current.spatial);
    }
    section["suspended"] = json!(state.suspended);
    section["limitedBy"] = json!(limited_by(report));
    section
}

/// What keeps a viewer from getting more.
fn limited_by(report: &LayerReport) -> &'static str {
    match (report.state.limited, report.wishes_less) {
        (true, _) => "network",
        (false, true) => "preference",
        (false, false) => "publisher",
    }
}

/// `Link` headers of a session; `location` is its URL. Not every one has layers to choose from.
pub(super) fn links(location: &str, has_layers: bool) -> Vec<String> {
    let events = EVENTS.join(",");
    let layer = format!("<{location}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"");
    let sse = "urn:ietf:params:whep:ext:core:server-sent-events";
    let events = format!("<{location}/events>; rel=\"{sse}\"; events=\"{events}\"");
    has_layers.then_some(layer).into_iter().chain([events]).collect()
}

fn session(
    at: &WhipWhep,
    path: &(String, String),
    request: &Request,
    token: Option<&str>,
) -> Result<Arc<Session>, HttpError> {
    let session = request::session(at, Endpoint::Whep, path, (request.headers(), request.extensions()), token)?;
    may_ask(&session)?;
    Ok(session)
}

/// A JSON body; an empty one is `default`. Without one there need be no `Content-Type`.
async fn json_text(
    at: &WhipWhep,
    headers: &HeaderMap,
    body: axum::body::Body,
    default: &str,
) -> Result<String, HttpError> {
    let text = text(at.app.config().limits.sdp_bytes, body).await?;
    if text.trim().is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(default.to_owned());
    }
    check_type(headers, JSON)?;
    Ok(if text.trim().is_empty() { default.to_owned() } else { text })
}

/// `POST …/layer`: chooses.
pub(super) async fn select(
    State(at): State<WhipWhep>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, HttpError> {
    let session = session(&at, &path, &request, None)?;
    let (parts, body) = request.into_parts();
    let body: LayerBody = parse(json_text(&at, &parts.headers, body, "{}").await?.as_bytes())?;
    complete(async move { body.apply(&session).await }).await?;
    Ok(StatusCode::OK)
}

/// `DELETE …/layer`: no preference for any section; the choice is the server's again, which is the best.
pub(super) async fn unselect(
    State(at): State<WhipWhep>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, HttpError> {
    let session = session(&at, &path, &request, None)?;
    if session.layered().is_empty() {
        return Err(nothing_layered());
    }
    let all = async move {
        for section in session.layered() {
            session.select_layer(&section.of, LayerWish::default()).await?;
        }
        Ok(())
    };
    complete(all).await?;
    Ok(StatusCode::OK)
}

/// `GET …/layer`: what a "layers" event says, once. (An addition: browsers open few connections to one server.)
pub(super) async fn layers(State(at): State<WhipWhep>, Path(path): Path<(String, String)>, request: Request) -> Answer {
    let session = session(&at, &path, &request, None)?;
    let layers = complete(async move { describe(&session).await }).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(layers)).into_response())
}

/// `OPTIONS …/layer`. Asks for no token.
pub(super) async fn layer_options() -> Response {
    allow("GET, HEAD, POST, DELETE, OPTIONS")
}

/// `OPTIONS …/events`. Asks for no token.
pub(super) async fn options() -> Response {
    allow("GET, HEAD, POST, OPTIONS")
}

fn allow(methods: &'static str) -> Response {
    (StatusCode::OK, [(header::ALLOW, methods), (ACCEPT_POST, JSON)]).into_response()
}

/// `POST …/events`: says where the events of this list are to be had. The list is in that URL, so that there is nothing
/// to keep.
pub(super) async fn create(State(at): State<WhipWhep>, Path(path): Path<(String, String)>, request: Request) -> Answer {
    session(&at, &path, &request, None)?;
    let (parts, body) = request.into_parts();
    let wanted: Vec<String> = parse(json_text(&at, &parts.headers, body, "[]").await?.as_bytes())?;
    let wanted = if wanted.is_empty() { EVENTS.map(str::to_owned).to_vec() } else { wanted };
    let wanted: Vec<_> = known(&EVENTS, wanted.iter().map(String::as_str))?.into_iter().collect();
    let (room, secret) = (path_segment(&path.0), path_segment(&path.1));
    let location = format!("/whep/{room}/s/{secret}/events?events={}", wanted.join(","));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

/// Those of a list of events, each once.
pub(super) fn known<'a>(
    events: &[&'static str],
    wanted: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<&'static str>, HttpError> {
    let one = |name: &str| {
        let sentence = || format!("events: there is no event {name:?}; there are {}", events.join(", "));
        let found = events.iter().copied().find(|known| *known == name);
        found.ok_or_else(|| HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence()))
    };
    wanted.map(one).collect()
}

/// `GET …/events`: the events, until the session ends.
pub(super) async fn listen(
    State(at): State<WhipWhep>,
    Path(path): Path<(String, String)>,
    Query(query): Query<ListenQuery>,
    request: Request,
) -> Answer {
    let session = session(&at, &path, &request, query.token.as_deref())?;
    let wanted = match &query.events {
        Some(list) => known(&EVENTS, list.split(','))?,
        None => EVENTS.into(),
    };
    let current = session.watch_layers().await?;
    let place = at.app.listener_place(request.extensions())?;
    let left = session.left();
    let listening = Listening {
        session,
        wanted,
        left: Some(left),
        current,
        told: None,
        active: false,
        queue: Vec::new(),
        _place: place,
    };
    Ok(sse(stream::unfold(listening, next)))
}

/// A listener to a session.
struct Listening {
    session: Arc<Session>,
    wanted: BTreeSet<&'static str>,
    /// Tells of the session's end, which has not been told yet.
    left: Option<Left>,
    /// What it is sent.
    current: Vec<watch::Receiver<ConsumerState>>,
    /// What it was told last.
    told: Option<Value>,
    active: bool,
    /// Events to be sent, last first.
    queue: Vec<Event>,
    _place: Share,
}

/// Something of them has changed, or a while has passed.
pub(super) async fn change<T>(current: &mut [&mut watch::Receiver<T>]) {
    let mut changes: Vec<_> = current.iter_mut().map(|one| Box::pin(one.changed())).collect();
    let any = poll_fn(|cx| {
        let mut ready = changes.iter_mut().filter_map(|change| match change.as_mut().poll(cx) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        });
        ready.next().map_or(Poll::Pending, Poll::Ready)
    });
    // A consumer that has gone no longer changes; what that means the next look tells.
    if let Ok(Err(_)) = tokio::time::timeout(LOOK, any).await {
        tokio::time::sleep(LOOK).await;
    }
}

async fn next(mut listening: Listening) -> Option<(Result<Event, Infallible>, Listening)> {
    loop {
        if let Some(event) = listening.queue.pop() {
            return Some((Ok(event), listening));
        }
        let left = listening.left.as_mut()?;
        if listening.told.is_some() {
            let mut current: Vec<_> = listening.current.iter_mut().collect();
            tokio::select! {
                () = left.over() => {}
                () = change(&mut current) => {}
            }
        }
        match describe(&listening.session).await {
            Ok(layers) => listening.note(layers),
            // The session has ended.
            Err(_) => listening.end().await,
        }
    }
}

impl Listening {
    /// The last event.
    async fn end(&mut self) {
        let Some(mut left) = self.left.take() else { return };
        left.over().await;
        if self.wanted.contains("ended") {
            let data = json!({ "reason": left.why() });
            self.queue.push(Event::default().event("ended").data(data.to_string()));
        }
    }

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
