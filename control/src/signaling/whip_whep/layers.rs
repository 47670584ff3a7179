//! Extensions of a WHEP session: which layers there are and which is sent (`…/layer`), and what happens to them, as
//! server-sent events (`…/events`), the session's end among them. Both as drafts of WHEP up to draft-ietf-wish-whep-02
//! define them.
//!
//! A layer is an encoding of simulcast, known by its RID, or a spatial layer within an only encoding (SVC), known by
//! its number. An addition tells what keeps a viewer from getting more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use utoipa::ToSchema;

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
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct LayerBody {
    /// Index of the `m=` line; without it the first of pictures.
    media_id: Option<String>,
    /// RID of an encoding of simulcast.
    encoding_id: Option<String>,
    spatial_layer_id: Option<u64>,
    temporal_layer_id: Option<u64>,
    max_spatial_layer_id: Option<u64>,
    max_temporal_layer_id: Option<u64>,
}

/// `POST` of a session's event resource: names of events.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::signaling) struct EventNames(Vec<String>);

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

/// The data of a "layers" event: what a session may choose from, by the index of the `m=` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::signaling) struct Layers(BTreeMap<String, LayerSection>);

/// The layers of one `m=` line: best first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct LayerSection {
    /// Encodings that send.
    active: Vec<NamedLayer>,
    /// Encodings that do not.
    inactive: Vec<NamedLayer>,
    /// What can be chosen.
    layers: Vec<LayerChoice>,
    /// The encoding that is sent; null for none.
    current: Option<String>,
    /// The layer within it that is sent; absent where there are several encodings, and while nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_spatial_layer_id: Option<u8>,
    /// The viewer's path does not carry even the lowest.
    suspended: bool,
    /// What keeps the viewer from getting more: "network", "preference" or "publisher".
    limited_by: &'static str,
}

/// An encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct NamedLayer {
    id: String,
    #[serde(flatten)]
    about: LayerAbout,
}

/// What can be chosen: an encoding, or of an only one a spatial layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LayerChoice {
    encoding_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    spatial_layer_id: Option<u8>,
    #[serde(flatten)]
    about: LayerAbout,
}

/// What is known of an encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LayerAbout {
    /// Rank of its quality, the lowest is 0.
    simulcast_idx: u8,
    /// In bits per second, of one that sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
    /// Size of its pictures, where its codec tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
}

/// What a session may choose from.
async fn describe(session: &Session) -> Result<Layers, HttpError> {
    let reports = session.layers().await?;
    // While a viewer waits for its publisher there is nothing to choose from.
    if session.layered().is_empty() {
        return Err(nothing_layered());
    }
    Ok(Layers(reports.iter().map(|(index, report)| (index.to_string(), section(report))).collect()))
}

/// The layers of one section: best first.
fn section(report: &LayerReport) -> LayerSection {
    let (mut active, mut inactive, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    let mut encodings: Vec<_> = report.names.iter().zip(&report.encodings).collect();
    encodings.sort_by_key(|(_, encoding)| Reverse(encoding.spatial));
    for (name, encoding) in encodings {
        let about = LayerAbout {
            simulcast_idx: encoding.spatial,
            bitrate: encoding.bitrate_bps.filter(|_| encoding.active),
            width: encoding.picture.map(|(width, _)| width),
            height: encoding.picture.map(|(_, height)| height),
        };
        let choice = |spatial_layer_id: Option<u8>| LayerChoice {
            encoding_id: name.clone(),
            spatial_layer_id,
            about: about.clone(),
        };
        let named = NamedLayer { id: name.clone(), about: about.clone() };
        match (encoding.active, encoding.spatial_layers) {
            (false, _) => {
                inactive.push(named);
                continue;
            }
            (true, 0) => layers.push(choice(None)),
            (true, count) => layers.extend((0..count).rev().map(|spatial| choice(Some(spatial)))),
        }
        active.push(named);
    }
    let state = report.state;
    let current = state.current.and_then(|current| report.names.get(usize::from(current.encoding))).cloned();
    let within = state.current.filter(|_| report.names.len() == 1).map(|current| current.spatial);
    let (suspended, limited_by) = (state.suspended, limited_by(report));
    LayerSection { active, inactive, layers, current, current_spatial_layer_id: within, suspended, limited_by }
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
    let EventNames(wanted) = parse(json_text(&at, &parts.headers, body, "[]").await?.as_bytes())?;
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
    told: Option<Layers>,
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
            let data = json!({ "reason": &*left.told() });
            self.queue.push(Event::default().event("ended").data(data.to_string()));
        }
    }

    fn note(&mut self, layers: Layers) {
        let active = layers.0.values().any(|section| !section.active.is_empty());
        let wants = |name: &str| self.wanted.contains(name);
        if wants("layers") && self.told.as_ref() != Some(&layers) {
            self.queue.push(Event::default().event("layers").data(json!(layers).to_string()));
        }
        let name = if active { "active" } else { "inactive" };
        if active != self.active && wants(name) {
            self.queue.push(Event::default().event(name).data("{}"));
        }
        self.active = active;
        self.told = Some(layers);
    }
}
