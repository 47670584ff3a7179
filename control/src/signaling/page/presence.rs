//! `GET /rooms/{room}/events`: who is there, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderMap};
use axum::response::sse::Event;
use futures_util::stream;
use serde_json::{Value, json};

use crate::http::{Answer, App, AppState, ListenQuery, sse};
use crate::ops::access::{self, Wish};
use crate::rooms::{Listener, Presence, RoomEvent, check_name};
use crate::settings::Grant;
use crate::shares::Share;

/// A page listens before anybody publishes. That makes no room: it hears that nobody is there, and waits for the room.
pub(super) async fn listen(
    State(app): AppState,
    Path(room): Path<String>,
    Query(query): Query<ListenQuery>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Answer {
    let wish = Wish::new(Grant::Subscribe, Some(&room), &headers).with_token(query.token.as_deref());
    access::check_listener(&app.config(), wish).or_else(|refused| {
        app.admit_guess(&extensions, "requests without a right token")?;
        Err(refused)
    })?;
    check_name("roomId", &room)?;
    let place = app.listener_place(&extensions)?;
    let state = match app.rooms().get(&room).await {
        Ok(found) => Hearing::Room(found.listen().await?),
        Err(_) => Hearing::Nothing,
    };
    Ok(sse(stream::unfold(Listening { app, room, state, _place: place }, next)))
}

/// A client that listens to a room.
struct Listening {
    app: Arc<App>,
    room: String,
    state: Hearing,
    _place: Share,
}

enum Hearing {
    /// There is no room, which has not been told yet.
    Nothing,
    /// There is no room.
    Silence,
    Room(Listener),
}

async fn next(mut listening: Listening) -> Option<(Result<Event, Infallible>, Listening)> {
    let event = loop {
        match &mut listening.state {
            Hearing::Nothing => {
                listening.state = Hearing::Silence;
                break Arc::new(RoomEvent::List(Vec::new()));
            }
            Hearing::Silence => {
                let room = listening.app.rooms().appears(&listening.room).await?;
                let mut listener = room.listen().await.ok()?;
                let list = listener.next().await?;
                listening.state = Hearing::Room(listener);
                // That nobody is there has been told.
                if !matches!(&*list, RoomEvent::List(peers) if peers.is_empty()) {
                    break list;
                }
            }
            Hearing::Room(listener) => break listener.next().await?,
        }
    };
    let (name, data) = describe(&event);
    Some((Ok(Event::default().event(name).data(data.to_string())), listening))
}

fn describe(event: &RoomEvent) -> (&'static str, Value) {
    let peer = |of: &Presence| json!({ "peer": of.name, "name": of.display_name, "tracks": of.tracks });
    match event {
        RoomEvent::List(peers) => ("peers", peers.iter().map(peer).collect()),
        RoomEvent::Joined(of) => ("joined", peer(of)),
        RoomEvent::Changed(of) => ("changed", peer(of)),
        RoomEvent::Left(name) => ("left", json!({ "peer": name })),
        RoomEvent::Closing(at) => {
            let left = at.saturating_duration_since(Instant::now());
            ("closing", json!({ "seconds": left.as_secs_f64().round() }))
        }
    }
}
