//! `GET /events`: what happens to rooms and peers of the whole server, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::sse::Event as Line;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use crate::http::{Answer, AppState, HttpError, sse};
use crate::lifecycle::{Event, Journal};
use crate::shares::Share;

/// The header by which a client that comes again says what it has (the HTML standard, section 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct EventsQuery {
    /// Name of the only room whose events are wanted.
    #[param(nullable = false)]
    room: Option<String>,
}

/// A client that listens.
struct Listening {
    journal: Arc<Journal>,
    room: Option<String>,
    /// Number of the last event that was looked at.
    position: u64,
    /// What is told before anything else is looked for.
    waiting: Option<Arc<Event>>,
    _place: Share,
}

/// Events from now on, or behind the one that the client had last.
pub(super) async fn listen(
    State(app): AppState,
    Query(query): Query<EventsQuery>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Answer {
    let journal = Arc::clone(app.journal());
    let (origin, last) = (journal.origin(), journal.last());
    let position = match headers.get(LAST_EVENT_ID).map(|given| given.to_str().ok().and_then(|id| id.parse().ok())) {
        None => last,
        // No server has told it whose events are here: all of them are new to the client.
        Some(Some(number)) if number > last => origin,
        Some(Some(number)) => number,
        Some(None) => {
            let sentence = "Last-Event-ID: must be the number of an event";
            return Err(HttpError::new(StatusCode::BAD_REQUEST, sentence));
        }
    };
    let place = app.listener_place(&extensions)?;
    let listening = Listening { journal, room: query.room, position, waiting: None, _place: place };
    Ok(sse(stream::unfold(listening, next)))
}

async fn next(mut listening: Listening) -> Option<(Result<Line, Infallible>, Listening)> {
    if let Some(event) = listening.waiting.take() {
        return Some((Ok(line(&event)), listening));
    }
    loop {
        let (lost, event) = listening.journal.next(listening.position).await?;
        let after = std::mem::replace(&mut listening.position, event.number);
        let is_wanted = listening.room.is_none() || listening.room == event.room || event.room.is_none();
        if lost > 0 {
            let told = json!({ "after": after, "before": event.number });
            listening.waiting = is_wanted.then_some(event);
            return Some((Ok(Line::default().event("events_lost").data(told.to_string())), listening));
        }
        if is_wanted {
            return Some((Ok(line(&event)), listening));
        }
    }
}

fn line(event: &Event) -> Line {
    Line::default().event(&event.name).id(event.number.to_string()).data(&event.body)
}
