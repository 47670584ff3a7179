//! Rooms and who is in them, as operators list and change them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::Refusals;
use super::bodies::{
    Dump, LoudestBody, MuteBody, MutedBody, PeerBody, PeerList, PriorityBody, ProducerBody, RoomBody, RoomList,
};
use crate::http::{Answer, AppState, HttpError, WholeBody, complete, parse};
use crate::ops::bodies::RoomShown;
use crate::ops::stats::{Lists, Names};
use crate::ops::status;
use crate::ortc::Kind;
use crate::rooms::{Member, MemberProducer, Muted, Room, Size};
use crate::settings::Priority;

/// Lists the rooms.
#[utoipa::path(get, operation_id = "listRooms", path = "/v1/rooms", tag = "rooms", responses(
    (status = 200, description = "every room, by name", body = RoomList), Refusals,
))]
pub(super) async fn list(State(app): AppState, extensions: Extensions) -> Answer {
    let rooms = app.rooms().all().await;
    let share = status::share(&app, &extensions, rooms.len())?;
    let mut list = Vec::with_capacity(rooms.len());
    for room in rooms {
        list.push(room_body(room.size().await, app.rooms().priority(room.id())));
    }
    Ok(status::answer(&RoomList { rooms: list }, share))
}

fn room_body(size: Size, priority: Priority) -> RoomBody {
    let Size { name, worker, loudest, broadcasters, publishers, viewers, participants, consumers } = size;
    RoomBody { id: name, worker, loudest, priority, participants, publishers, broadcasters, viewers, consumers }
}

/// Closes a room with all that is in it.
#[utoipa::path(delete, operation_id = "closeRoom", path = "/v1/rooms/{room}", tag = "rooms",
    params(("room" = String, Path, description = "its name")),
    responses((status = 204, description = "it is closed"), Refusals),
)]
pub(super) async fn close(State(app): AppState, Path(room): Path<String>) -> Answer {
    complete(async move { Ok(app.rooms().close(&room).await?) }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lets the loudest alone of those who speak in a room be heard, or all.
///
/// Those who write no levels (RFC 6464) always are.
#[utoipa::path(put, operation_id = "setLoudest", path = "/v1/rooms/{room}/loudest", tag = "rooms",
    request_body = LoudestBody,
    params(("room" = String, Path, description = "its name")),
    responses((status = 204, description = "it is so"), Refusals),
)]
pub(super) async fn loudest(State(app): AppState, Path(room): Path<String>, body: WholeBody) -> Answer {
    let LoudestBody { speakers } = parse(&body)?;
    complete(async move { Ok(app.rooms().get(&room).await?.set_loudest(speakers).await?) }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Says how much a room matters beside the others.
///
/// The room need not be there: what is said holds for every room of this name until something else is said. One of high
/// priority is made on the least busy worker, and still while others are refused because the server is busy. This is
/// not for tokens that grant "admin" in some rooms.
#[utoipa::path(put, operation_id = "setPriority", path = "/v1/priorities/{name}", tag = "rooms",
    request_body = PriorityBody,
    params(("name" = String, Path, description = "the room's name")),
    responses((status = 204, description = "it is so"), Refusals),
)]
pub(super) async fn priority(State(app): AppState, Path(name): Path<String>, body: WholeBody) -> Answer {
    let PriorityBody { priority } = parse(&body)?;
    app.rooms().set_priority(&name, priority)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lists who is in a room, and who was removed from it.
#[utoipa::path(get, operation_id = "listPeers", path = "/v1/rooms/{room}/peers", tag = "peers",
    params(("room" = String, Path, description = "its name")),
    responses((status = 200, description = "everybody, viewers included", body = PeerList), Refusals),
)]
pub(super) async fn peers(State(app): AppState, Path(room): Path<String>, extensions: Extensions) -> Answer {
    let list = peer_list(app.rooms().get(&room).await?.as_ref()).await;
    let share = status::share(&app, &extensions, list.peers.len())?;
    Ok(status::answer(&list, share))
}

async fn peer_list(room: &Room) -> PeerList {
    let peers = room.members().await.into_iter().map(peer_body).collect();
    PeerList { peers, removed: room.removed() }
}

fn peer_body(member: Member) -> PeerBody {
    let producer = |of: MemberProducer| ProducerBody { id: of.name, kind: of.kind.name().into(), paused: of.paused };
    PeerBody {
        id: member.name,
        kind: member.kind.name().into(),
        display_name: member.display_name,
        joined: member.joined,
        address: member.client.to_string(),
        age_ms: status::ms(member.age),
        muted: muted_body(member.muted),
        producers: member.producers.into_iter().map(producer).collect(),
        transports: member.transports,
        consumers: member.consumers,
    }
}

fn muted_body(Muted { audio, video }: Muted) -> MutedBody {
    MutedBody { audio, video }
}

/// Shows everything that is in a room, with counters.
#[utoipa::path(get, operation_id = "dumpRoom", path = "/v1/rooms/{room}/dump", tag = "rooms",
    params(("room" = String, Path, description = "its name")),
    responses((status = 200, description = "what is there just now", body = Dump), Refusals),
)]
pub(super) async fn dump(State(app): AppState, Path(room): Path<String>, extensions: Extensions) -> Answer {
    let room = app.rooms().get(&room).await?;
    let overview = room.overview().await;
    let share = status::share(&app, &extensions, overview.objects.len())?;
    let mut names = Names::new();
    status::name_objects(&overview, &mut names);
    let mut lists = Lists::default();
    for worker in app.pool().workers() {
        for object in worker.stats().await? {
            lists.push(worker.index(), &object, &names);
        }
    }
    let dump = Dump { room: RoomShown::of(&overview), members: peer_list(&room).await, objects: lists };
    Ok(status::answer(&dump, share))
}

/// How a peer is removed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemoveQuery {
    /// It may come again at once. Otherwise it stays out, by its name and by a token of its own, until it is invited.
    #[serde(default)]
    may_return: bool,
}

/// Removes a peer from a room.
///
/// Its session ends, and it stays out until it is invited again.
#[utoipa::path(delete, operation_id = "removePeer", path = "/v1/rooms/{room}/peers/{peer}", tag = "peers",
    params(("room" = String, Path, description = "its room"), ("peer" = String, Path, description = "its name"),
        RemoveQuery),
    responses((status = 204, description = "it has left"), Refusals),
)]
pub(super) async fn remove(
    State(app): AppState,
    Path((room, peer)): Path<(String, String)>,
    Query(query): Query<RemoveQuery>,
) -> Answer {
    complete(async move { Ok(app.rooms().get(&room).await?.expel(&peer, query.may_return).await?) }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lets a peer come again that was removed.
#[utoipa::path(post, operation_id = "invitePeer", path = "/v1/rooms/{room}/peers/{peer}/invite", tag = "peers",
    params(("room" = String, Path, description = "its room"), ("peer" = String, Path, description = "its name")),
    responses((status = 204, description = "it may come"), Refusals),
)]
pub(super) async fn invite(State(app): AppState, Path((room, peer)): Path<(String, String)>) -> Answer {
    app.rooms().invite(&room, &peer)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Mutes a peer, or lets it be heard and seen again.
///
/// Those who are sent its media are told that it is paused.
#[utoipa::path(put, operation_id = "mutePeer", path = "/v1/rooms/{room}/peers/{peer}/muted", tag = "peers",
    request_body = MuteBody,
    params(("room" = String, Path, description = "its room"), ("peer" = String, Path, description = "its name")),
    responses((status = 200, description = "what is muted now", body = MutedBody), Refusals),
)]
pub(super) async fn mute(State(app): AppState, Path((room, peer)): Path<(String, String)>, body: WholeBody) -> Answer {
    let MuteBody { audio, video } = parse(&body)?;
    let wanted: Vec<_> = [(Kind::Audio, audio), (Kind::Video, video)]
        .into_iter()
        .filter_map(|(kind, muted)| Some((kind, muted?)))
        .collect();
    if wanted.is_empty() {
        return Err(HttpError::field("audio, video", "one of them must be given"));
    }
    let muted = complete(async move {
        let room: Arc<Room> = app.rooms().get(&room).await?;
        let mut now = Muted::default();
        for (kind, muted) in wanted {
            now = room.mute(&peer, &[kind], muted).await?;
        }
        Ok(now)
    });
    Ok(Json(muted_body(muted.await?)).into_response())
}
