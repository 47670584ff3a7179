//! `GET /rooms/{room}/events`: who is there, as server-sent events.

use std::convert::Infallible;

use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderMap};
use axum::response::sse::Event;
use futures_util::stream;
use serde_json::{Value, json};

use crate::http::{Answer, AppState, ListenQuery, complete, sse};
use crate::ops::access;
use crate::rooms::{Listener, Presence, RoomEvent};
use crate::shares::Share;

/// Makes the room if there is none: a page listens before anybody publishes.
pub(super) async fn listen(
    State(app): AppState,
    Path(room): Path<String>,
    Query(query): Query<ListenQuery>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Answer {
    access::check_listener(app.config(), &headers, query.token.as_deref()).or_else(|refused| {
        app.admit_guess(&extensions, "requests without a right token")?;
        Err(refused)
    })?;
    let place = app.listener_place(&extensions)?;
    let listener = complete(async move { Ok(app.rooms().get_or_create(&room).await?.listen().await?) }).await?;
    Ok(sse(stream::unfold((listener, place), next)))
}

type Listening = (Listener, Share);

async fn next((mut listener, place): Listening) -> Option<(Result<Event, Infallible>, Listening)> {
    let (name, data) = describe(&*listener.next().await?);
    Some((Ok(Event::default().event(name).data(data.to_string())), (listener, place)))
}

fn describe(event: &RoomEvent) -> (&'static str, Value) {
    let peer = |of: &Presence| json!({ "peer": of.name, "name": of.display_name, "tracks": of.tracks });
    match event {
        RoomEvent::List(peers) => ("peers", peers.iter().map(peer).collect()),
        RoomEvent::Joined(of) => ("joined", peer(of)),
        RoomEvent::Changed(of) => ("changed", peer(of)),
        RoomEvent::Left(name) => ("left", json!({ "peer": name })),
    }
}
