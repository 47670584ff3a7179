//! `/rooms/…`: mediasoup-demo's two generations on the same paths. A body with `id` or `type` is of the older one, with
//! `peerId` or `direction` of the newer; answers carry the names of both, and the broadcaster's form decides statuses.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{complete, parse};
use crate::ops::stats;
use crate::ortc::router_capabilities;
use crate::rooms::{
    ApiError, BroadcasterBody, ConnectBody, ConsumeBody, ConsumeTarget, Form, PreferredLayersBody, ProduceBody,
    TransportBody,
};
use crate::rooms::{Room, path_segment};
use crate::server::App;

type AppState = State<Arc<App>>;
type Answer = Result<Response, ApiError>;

/// In the URL: names of a room and a broadcaster, perhaps of something that is the broadcaster's.
type Two = Path<(String, String)>;
type Three = Path<(String, String, String)>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumeQuery {
    producer_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResumeBody {
    consumer_id: String,
}

fn text(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

/// 200 with JSON for the older form, 201 with a Location for the newer.
fn created(form: Form, room: &Room, broadcaster: &str, rest: &[&str], body: Value) -> Response {
    match form {
        Form::Legacy => Json(body).into_response(),
        Form::Typed => (StatusCode::CREATED, [(header::LOCATION, location(&room.id, broadcaster, rest))], Json(body))
            .into_response(),
    }
}

fn location(room: &str, broadcaster: &str, rest: &[&str]) -> String {
    let mut path = format!("/rooms/{}/broadcasters/{}", path_segment(room), path_segment(broadcaster));
    for part in rest {
        path.push('/');
        path.push_str(&path_segment(part));
    }
    path
}

pub(crate) async fn capabilities(State(app): AppState, Path(room): Path<String>) -> Answer {
    complete(async move { app.rooms.get_or_create(&room).await }).await?;
    let capabilities = router_capabilities();
    // The older form wants them bare, the newer wrapped: each reads the names that it knows.
    let body = json!({
        "routerRtpCapabilities": capabilities,
        "codecs": capabilities.codecs,
        "headerExtensions": capabilities.header_extensions,
    });
    Ok(Json(body).into_response())
}

pub(crate) async fn close_room(State(app): AppState, Path(room): Path<String>) -> Answer {
    complete(async move { app.rooms.close(&room).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn create(State(app): AppState, Path(room): Path<String>, body: Bytes) -> Answer {
    let body: BroadcasterBody = parse(&body)?;
    body.check()?;
    complete(async move {
        let room = app.rooms.get_or_create(&room).await?;
        let (name, form, peers) = room.create_broadcaster(body).await?;
        Ok(match form {
            Form::Legacy => Json(peers).into_response(),
            Form::Typed => {
                let location = location(&room.id, &name, &[]);
                (StatusCode::CREATED, [(header::LOCATION, location)], "BroadcasterPeer created").into_response()
            }
        })
    })
    .await
}

pub(crate) async fn remove(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    complete(async move {
        Ok(match app.rooms.get(&room).await?.remove_broadcaster(&broadcaster).await? {
            Form::Legacy => text(StatusCode::OK, "broadcaster deleted"),
            Form::Typed => StatusCode::NO_CONTENT.into_response(),
        })
    })
    .await
}

pub(crate) async fn join(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    complete(async move { app.rooms.get(&room).await?.join(&broadcaster).await }).await?;
    Ok(text(StatusCode::OK, "BroadcasterPeer joined"))
}

pub(crate) async fn peer_producers_infos(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    Ok(Json(app.rooms.get(&room).await?.peer_producers_infos(&broadcaster).await?).into_response())
}

pub(crate) async fn create_transport(State(app): AppState, Path((room, broadcaster)): Two, body: Bytes) -> Answer {
    let body: TransportBody = parse(&body)?;
    complete(async move {
        let room = app.rooms.get(&room).await?;
        let form = room.form_of(&broadcaster).await?;
        let (name, answer) = room.create_transport(&broadcaster, body).await?;
        Ok(created(form, &room, &broadcaster, &["transports", &name], answer))
    })
    .await
}

pub(crate) async fn connect_transport(
    State(app): AppState,
    Path((room, broadcaster, transport)): Three,
    body: Bytes,
) -> Answer {
    let body: ConnectBody = parse(&body)?;
    complete(async move {
        let room = app.rooms.get(&room).await?;
        room.connect_transport(&broadcaster, &transport, body).await?;
        Ok(match room.form_of(&broadcaster).await? {
            Form::Legacy => StatusCode::OK.into_response(),
            Form::Typed => text(StatusCode::OK, "PlainTransport connected"),
        })
    })
    .await
}

pub(crate) async fn close_transport(State(app): AppState, Path((room, broadcaster, transport)): Three) -> Answer {
    complete(async move { app.rooms.get(&room).await?.close_transport(&broadcaster, &transport).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn produce_with(
    app: Arc<App>,
    room: String,
    broadcaster: String,
    transport: String,
    body: ProduceBody,
) -> Answer {
    complete(async move {
        let room = app.rooms.get(&room).await?;
        let name = room.produce(&broadcaster, &transport, body).await?;
        let form = room.form_of(&broadcaster).await?;
        let answer = json!({ "id": name, "producerId": name });
        Ok(created(form, &room, &broadcaster, &["producers", &name], answer))
    })
    .await
}

pub(crate) async fn produce_on(State(app): AppState, Path((room, of, transport)): Three, body: Bytes) -> Answer {
    produce_with(app, room, of, transport, parse(&body)?).await
}

pub(crate) async fn produce(State(app): AppState, Path((room, of)): Two, body: Bytes) -> Answer {
    let mut body: ProduceBody = parse(&body)?;
    let transport = body.transport_id.take().ok_or_else(|| ApiError::field("transportId", "is missing"))?;
    produce_with(app, room, of, transport, body).await
}

async fn consume_with(
    app: Arc<App>,
    room: String,
    broadcaster: String,
    to: ConsumeTarget,
    body: ConsumeBody,
) -> Answer {
    complete(async move {
        let room = app.rooms.get(&room).await?;
        let (name, answer) = room.consume(&broadcaster, &to, body).await?;
        let form = room.form_of(&broadcaster).await?;
        Ok(created(form, &room, &broadcaster, &["consumers", &name], answer))
    })
    .await
}

/// The producer stands in the query (older form) or in the body.
pub(crate) async fn consume_on(
    State(app): AppState,
    Path((room, of, transport)): Three,
    Query(query): Query<ConsumeQuery>,
    body: Bytes,
) -> Answer {
    let mut body: ConsumeBody = parse(&body)?;
    let producer = query.producer_id.or_else(|| body.producer_id.take());
    let producer = producer.ok_or_else(|| ApiError::field("producerId", "is missing, in query and body"))?;
    consume_with(app, room, of, ConsumeTarget { transport, producer }, body).await
}

pub(crate) async fn consume(State(app): AppState, Path((room, of)): Two, body: Bytes) -> Answer {
    let mut body: ConsumeBody = parse(&body)?;
    let missing = |field: &str| ApiError::field(field, "is missing");
    let transport = body.transport_id.take().ok_or_else(|| missing("transportId"))?;
    let producer = body.producer_id.take().ok_or_else(|| missing("producerId"))?;
    consume_with(app, room, of, ConsumeTarget { transport, producer }, body).await
}

pub(crate) async fn resume_on(State(app): AppState, Path((room, of, _)): Three, body: Bytes) -> Answer {
    let body: ResumeBody = parse(&body)?;
    complete(async move { app.rooms.get(&room).await?.pause_consumer(&of, &body.consumer_id, false).await }).await?;
    Ok(text(StatusCode::OK, "Consumer resumed"))
}

pub(crate) async fn set_preferred_layers(
    State(app): AppState,
    Path((room, of, consumer)): Three,
    body: Bytes,
) -> Answer {
    let body: PreferredLayersBody = parse(&body)?;
    complete(async move { app.rooms.get(&room).await?.set_preferred_layers(&of, &consumer, body).await }).await?;
    Ok(text(StatusCode::OK, "preferred layers set"))
}

pub(crate) async fn no_data() -> ApiError {
    ApiError::not_yet("data producers and consumers are not supported yet")
}

macro_rules! acts {
    ($($name:ident: $method:ident($($argument:expr)?) => $answer:expr;)*) => {$(
        pub(crate) async fn $name(State(app): AppState, Path((room, of, what)): Three) -> Answer {
            complete(async move { app.rooms.get(&room).await?.$method(&of, &what $(, $argument)?).await }).await?;
            Ok($answer)
        }
    )*};
}

acts! {
    pause_producer: pause_producer(true) => text(StatusCode::OK, "Producer paused");
    resume_producer: pause_producer(false) => text(StatusCode::OK, "Producer resumed");
    close_producer: close_producer() => StatusCode::NO_CONTENT.into_response();
    pause_consumer: pause_consumer(true) => text(StatusCode::OK, "Consumer paused");
    resume_consumer: pause_consumer(false) => text(StatusCode::OK, "Consumer resumed");
    close_consumer: close_consumer() => StatusCode::NO_CONTENT.into_response();
    request_key_frame: request_key_frame() => text(StatusCode::OK, "key frame requested");
}

/// A bare array, as mediasoup's `getStats()` gives it.
macro_rules! stats_of {
    ($($name:ident: $method:ident;)*) => {$(
        pub(crate) async fn $name(State(app): AppState, Path((room, of, what)): Three) -> Answer {
            let found = app.rooms.get(&room).await?.$method(&of, &what).await?;
            Ok(Json(stats::mediasoup(&what, &found)).into_response())
        }
    )*};
}

stats_of! {
    transport_stats: transport_stats;
    producer_stats: producer_stats;
    consumer_stats: consumer_stats;
}
