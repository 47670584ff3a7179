//! An extension of a WHIP session: which of its encodings nobody takes, as server-sent events (`…/events`), the
//! session's end among them. A sender that leaves those out saves its encoder and its path; it is told at once when one
//! is wanted again.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::extract::{Path, Query, Request, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::layers::{change, known};
use super::request;
use super::request::{WhipWhep, may_ask};
use super::sessions::Endpoint;
use crate::http::{Answer, ListenQuery, sse};
use crate::rooms::{EncodingsWanted, Left};
use crate::shares::Share;

/// The events that there are.
const EVENTS: &[&str] = &["encodings", "ended"];

/// `Link` header of a session; `location` is its URL.
pub(super) fn link(location: &str) -> String {
    let (rel, events) = ("urn:ietf:params:whip:ext:core:server-sent-events", EVENTS.join(","));
    format!("<{location}/events>; rel=\"{rel}\"; events=\"{events}\"")
}

/// `OPTIONS …/events`. Asks for no token.
pub(super) async fn options() -> Response {
    ([(axum::http::header::ALLOW, "GET, HEAD, OPTIONS")], ()).into_response()
}

/// `GET …/events`: the events, until the session ends.
pub(super) async fn listen(
    State(at): State<WhipWhep>,
    Path(path): Path<(String, String)>,
    Query(query): Query<ListenQuery>,
    request: Request,
) -> Answer {
    let asked = (request.headers(), request.extensions());
    let session = request::session(&at, Endpoint::Whip, &path, asked, query.token.as_deref())?;
    may_ask(&session)?;
    let wanted = match &query.events {
        Some(list) => known(EVENTS, list.split(','))?,
        None => EVENTS.iter().copied().collect(),
    };
    let encodings = session.watch_wanted().await?;
    let place = at.app.listener_place(request.extensions())?;
    let listening = Listening { left: Some(session.left()), wanted, encodings, told: None, _place: place };
    Ok(sse(stream::unfold(listening, next)))
}

/// A listener to a session.
struct Listening {
    /// Tells of the session's end, which has not been told yet.
    left: Option<Left>,
    wanted: BTreeSet<&'static str>,
    /// The encodings of each of its sections that has several, with the section's index.
    encodings: Vec<(usize, EncodingsWanted)>,
    /// What it was told last.
    told: Option<Value>,
    _place: Share,
}

async fn next(mut listening: Listening) -> Option<(Result<Event, Infallible>, Listening)> {
    loop {
        let mut left = listening.left.take()?;
        let now = listening.describe();
        if listening.wanted.contains("encodings") && listening.told.as_ref() != Some(&now) {
            let event = Event::default().event("encodings").data(now.to_string());
            (listening.left, listening.told) = (Some(left), Some(now));
            return Some((Ok(event), listening));
        }
        let mut changes: Vec<_> = listening.encodings.iter_mut().map(|(_, one)| &mut one.unwanted).collect();
        tokio::select! {
            () = left.over() => {
                let is_wanted = listening.wanted.contains("ended");
                let event = Event::default().event("ended").data(json!({ "reason": &*left.told() }).to_string());
                return is_wanted.then_some((Ok(event), listening));
            }
            () = change(&mut changes) => listening.left = Some(left),
        }
    }
}

impl Listening {
    fn describe(&self) -> Value {
        let section = |of: &EncodingsWanted| {
            let is_unwanted = of.unwanted.borrow().clone();
            let named = |wanted: bool| {
                let places = (0_u8..).zip(&of.names).filter(|(place, _)| is_unwanted.contains(place) != wanted);
                places.map(|(_, name)| name).collect::<Vec<_>>()
            };
            json!({ "wanted": named(true), "unwanted": named(false) })
        };
        let sections = self.encodings.iter().map(|(index, of)| (index.to_string(), section(of)));
        Value::Object(sections.collect::<Map<_, _>>())
    }
}
