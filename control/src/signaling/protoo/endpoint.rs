//! A client that asks for a WebSocket: whether it may come, and as whom.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, Request};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::session::{Coming, Rights, Session, leave};
use crate::connections::Place;
use crate::http::{Admitted, Answer, App, HttpError, complete, is_upgrade, source};
use crate::ops::access::{self, Wish};
use crate::rooms::{Entered, NewPeer, PeerKind, Room, Rooms, check_name};
use crate::settings::{Grant, Redundancy};

/// The sub-protocol.
const PROTOO: &str = "protoo";
/// Longest message, as in mediasoup-demo.
const MAX_MESSAGE_BYTES: usize = 960_000;
/// Buffers of a connection: there may be thousands that say little.
const BUFFER_BYTES: usize = 4 << 10;
/// A client that comes as the last one leaves finds its room closed, and makes it again.
const ATTEMPTS: usize = 3;
/// Most further consumers of each producer that a client may ask for.
const MAX_CONSUMER_REPLICAS: usize = 16;

/// Whether one of the sub-protocols that a client offers is protoo's.
fn offers_protoo(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    offered.flat_map(|line| line.split(',')).any(|name| name.trim() == PROTOO)
}

/// What the client says in its URL. The legacy application writes values as they are, and `undefined` for none.
struct Asked {
    room: String,
    peer: String,
    token: Option<String>,
    /// By which it goes on as the peer that it was.
    resume: Option<String>,
    consumer_replicas: usize,
    /// It can do with redundant sound.
    red: bool,
}

impl Asked {
    fn read(uri: &axum::http::Uri) -> Result<Self, HttpError> {
        let query = Query::<HashMap<String, String>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
        let text = |name: &str| query.get(name).filter(|value| !value.is_empty()).cloned();
        let missing = |name: &str| HttpError::field(name, "is missing in the URL");
        let (room, peer) = (text("roomId"), text("peerId"));
        let (room, peer) = (room.ok_or_else(|| missing("roomId"))?, peer.ok_or_else(|| missing("peerId"))?);
        check_name("roomId", &room)?;
        check_name("peerId", &peer)?;
        let consumer_replicas = text("consumerReplicas").and_then(|text| text.parse().ok()).unwrap_or(0);
        if consumer_replicas > MAX_CONSUMER_REPLICAS {
            return Err(HttpError::field("consumerReplicas", format!("must be at most {MAX_CONSUMER_REPLICAS}")));
        }
        Ok(Self {
            room,
            peer,
            token: text("token"),
            resume: text("resume"),
            consumer_replicas,
            red: text("red").as_deref() == Some("true"),
        })
    }
}

/// The right to go on as a peer that was let in: all of a server that has died come again at once.
async fn readmit(app: &App, extensions: &Extensions, asked: &Asked, secret: &str) -> Result<Admitted, HttpError> {
    let found = async { app.rooms().get(&asked.room).await?.check_resume(&asked.peer, secret).await };
    if let Err(refused) = found.await {
        app.admit_guess(extensions, "requests to resume what is not there")?;
        return Err(refused.into());
    }
    Ok(app.readmit_session(source(extensions)))
}

/// A new peer in a room that there is, or is made.
async fn enter(rooms: &Rooms, asked: &Asked, new: &NewPeer) -> Result<(Arc<Room>, Entered), HttpError> {
    let mut attempts = ATTEMPTS;
    loop {
        let room = rooms.get_or_create_with(&asked.room, new.client, asked.consumer_replicas).await?;
        attempts -= 1;
        match room.enter(new.clone()).await {
            Ok(entered) => return Ok((room, entered)),
            // The last one there has just left.
            Err(_) if attempts > 0 && room.is_closed().await => {}
            Err(refused) => {
                rooms.close_if_left(&room).await?;
                return Err(refused.into());
            }
        }
    }
}

/// Who takes part needs the right to watch. What else it may do.
fn authorize(app: &App, request: &Request, asked: &Asked) -> Result<Rights, HttpError> {
    let config = app.config();
    let wish = |grant| Wish::new(grant, Some(&asked.room), request.headers()).with_token(asked.token.as_deref());
    wish(Grant::Subscribe).admit(app, request.extensions())?;
    let may = |grant| wish(grant).check(&config).is_ok();
    let red = asked.red && config.rooms.red != Redundancy::Off;
    Ok(Rights { publish: may(Grant::Publish), data: may(Grant::Data), red })
}

/// Lets the client in: its peer is in the room, and its WebSocket is served until one of both ends.
///
/// A page is not told why its WebSocket was refused. It may ask by a plain request, which is refused for the same
/// reasons and, if there is none, for not being an upgrade (RFC 9110 section 15.5.22).
pub(super) async fn connect(app: Arc<App>, request: Request) -> Answer {
    let is_socket = is_upgrade(request.headers());
    if is_socket && !offers_protoo(request.headers()) {
        let sentence = "Sec-WebSocket-Protocol: must be protoo";
        return Err(HttpError::new(StatusCode::FORBIDDEN, sentence).because("no_subprotocol"));
    }
    let asked = Asked::read(request.uri())?;
    let rights = authorize(&app, &request, &asked)?;
    let credential = access::credential(&app.config(), request.headers(), asked.token.as_deref());
    let admitted = match &asked.resume {
        Some(secret) => readmit(&app, request.extensions(), &asked, secret).await?,
        None => app.admit_session(request.extensions())?,
    };
    app.rooms().check_may_come(&asked.room, &asked.peer, credential)?;
    if !is_socket {
        app.rooms().check_room(&asked.room, source(request.extensions())).await?;
        let upgrade = HttpError::new(StatusCode::UPGRADE_REQUIRED, "Upgrade: must be websocket");
        return Err(upgrade.with_header(header::UPGRADE, HeaderValue::from_static("websocket")));
    }
    let client = source(request.extensions());
    let (mut parts, _) = request.into_parts();
    let place = parts.extensions.get::<Place>().cloned();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|wrong| HttpError::new(StatusCode::BAD_REQUEST, format!("Upgrade: this is for WebSocket: {wrong}")))?;
    let upgrade = upgrade.protocols([PROTOO]).max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    let upgrade = upgrade.read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    complete(async move {
        let rooms = Arc::clone(app.rooms());
        let new = NewPeer {
            name: asked.peer.clone(),
            kind: PeerKind::Participant,
            display_name: String::new(),
            app_data: json!({}),
            rtp_capabilities: None,
            joined: false,
            credential,
            client,
        };
        let (room, entered, coming) = match &asked.resume {
            Some(secret) => {
                let room = rooms.get(&asked.room).await?;
                let entered = room.resume(new, secret).await?;
                (room, entered, Coming::Back)
            }
            None => {
                let (room, entered) = enter(&rooms, &asked, &new).await?;
                (room, entered, Coming::Afresh)
            }
        };
        let (of, peer, absence) = (Arc::clone(&room), entered.0.clone(), entered.2.absence());
        let upgrade = upgrade.on_failed_upgrade(move |error| {
            tracing::debug!("{:?} in room {:?} has no WebSocket: {error}", peer.name(), of.id());
            let (peer, keeps_place) = ((peer, absence), coming == Coming::Back);
            tokio::spawn(async move {
                leave(&rooms, &of, (&peer.0, peer.1), "its client hung up", keeps_place).await;
            });
        });
        Ok(upgrade.on_upgrade(async move |socket| {
            Session::new(app, room, (entered, coming), socket, rights).run(admitted).await;
            drop(place);
        }))
    })
    .await
}
