//! What each request of the broadcaster API does.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bodies::{
    BroadcasterBody, ConnectBody, ConsumeBody, ConsumeDataBody, PreferredLayersBody, ProduceBody, ProduceDataBody,
    ResumeBody, TransportBody,
};
use super::srtp::SrtpJson;
use crate::http::{Answer, App, AppState, HttpError, complete, parse, path_segment, source};
use crate::ops::get_stats;
use crate::ortc::{RtpCodecParameters, RtpParameters, can_consume, told_capabilities};
use crate::rooms::{Code, NewConsumer, NewProducer, PeerHandle, PeerInfo, PeerKind, ProducerInfo, Room, check_name};
use crate::signaling::webrtc::{sctp_options, transport};
use crate::spans;

/// In the URL: names of a room and a broadcaster, perhaps of something that is the broadcaster's.
type Two = Path<(String, String)>;
type Three = Path<(String, String, String)>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumeQuery {
    producer_id: Option<String>,
}

/// The broadcaster that a request is about.
struct Broadcaster {
    room: Arc<Room>,
    peer: PeerHandle,
    kind: PeerKind,
}

impl Broadcaster {
    /// A peer that came by another way is not to be found here.
    async fn find(app: &App, room: &str, name: &str) -> Result<Self, HttpError> {
        let room = app.rooms().get(room).await?;
        let found = room.find_peer(name).await.filter(|(_, kind)| kind.is_broadcaster());
        let (peer, kind) = found.ok_or_else(|| HttpError::not_found("broadcaster", name))?;
        Ok(Self { room, peer, kind })
    }

    fn is_legacy(&self) -> bool {
        self.kind == PeerKind::LegacyBroadcaster
    }

    /// 200 with JSON for the older form, 201 with a Location for the newer.
    fn created(&self, rest: &[&str], body: Value) -> Response {
        if self.is_legacy() {
            return Json(body).into_response();
        }
        let location = location(self.room.id(), self.peer.name(), rest);
        (StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response()
    }
}

fn text(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

fn location(room: &str, broadcaster: &str, rest: &[&str]) -> String {
    let mut path = format!("/rooms/{}/broadcasters/{}", path_segment(room), path_segment(broadcaster));
    for part in rest {
        path.push('/');
        path.push_str(&path_segment(part));
    }
    path
}

/// The same for every room, also for one that is not there: a GET makes none.
pub(super) async fn capabilities(Path(room): Path<String>) -> Answer {
    check_name("roomId", &room)?;
    let capabilities = told_capabilities();
    // The older form wants them bare, the newer wrapped: each reads the names that it knows.
    let body = json!({
        "routerRtpCapabilities": capabilities,
        "codecs": capabilities.codecs,
        "headerExtensions": capabilities.header_extensions,
    });
    Ok(Json(body).into_response())
}

pub(super) async fn close_room(State(app): AppState, Path(room): Path<String>) -> Answer {
    complete(async move { Ok(app.rooms().close(&room).await?) }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Broadcasters that have joined, then publishers by WHIP.
fn others(peers: Vec<PeerInfo>) -> impl Iterator<Item = PeerInfo> {
    let (broadcasters, publishers): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| peer.kind.is_broadcaster());
    broadcasters.into_iter().filter(|peer| peer.joined).chain(publishers)
}

pub(super) async fn create(
    State(app): AppState,
    Path(room): Path<String>,
    extensions: Extensions,
    body: Bytes,
) -> Answer {
    let body: BroadcasterBody = parse(&body)?;
    let client = source(&extensions);
    let (new, field) = body.read(client)?;
    complete(async move {
        let room = app.rooms().get_or_create(&room, client).await?;
        let (name, capabilities) = (new.name.clone(), new.rtp_capabilities.clone());
        let is_legacy = new.kind == PeerKind::LegacyBroadcaster;
        let peers = others(room.peers().await).filter(|peer| peer.name != name);
        let can_consume = |producer: &&ProducerInfo| {
            capabilities.as_ref().is_some_and(|capabilities| can_consume(&producer.consumable, capabilities))
        };
        let peer = |peer: PeerInfo| {
            let producers = peer.producers.iter().filter(can_consume);
            json!({
                "id": peer.name,
                "displayName": peer.display_name,
                "device": peer.app_data["device"],
                "producers": producers.map(|of| json!({ "id": of.name, "kind": of.kind })).collect::<Vec<_>>(),
            })
        };
        // A broadcaster that gives no capabilities is not told what it may consume.
        let peers: Vec<_> = peers.filter(|_| capabilities.is_some()).map(peer).collect();
        let span = spans::join(room.id(), &name, "broadcaster");
        spans::within(span, room.add_peer(new)).await.map_err(|error| match error.code() {
            Code::NameTaken => {
                let sentence = format!("{field}: there is a broadcaster or peer {name:?} already");
                HttpError::new(StatusCode::CONFLICT, sentence)
            }
            _ => error.into(),
        })?;
        if is_legacy {
            return Ok(Json(json!({ "peers": peers })).into_response());
        }
        let location = location(room.id(), &name, &[]);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], "BroadcasterPeer created").into_response())
    })
    .await
}

pub(super) async fn remove(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        if !of.room.remove_peer(&of.peer, "its client asked for it").await? {
            return Err(HttpError::not_found("broadcaster", &broadcaster));
        }
        Ok(match of.is_legacy() {
            true => text(StatusCode::OK, "broadcaster deleted"),
            false => StatusCode::NO_CONTENT.into_response(),
        })
    })
    .await
}

pub(super) async fn join(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        of.room.join(&of.peer).await?;
        Ok(text(StatusCode::OK, "BroadcasterPeer joined"))
    })
    .await
}

/// Codecs as `peerProducersInfos` lists them: without RTX, without redundancy, which mediasoup has not, and without
/// feedback.
fn consumable_codecs(consumable: &RtpParameters) -> Vec<Value> {
    let about_media = |codec: &&RtpCodecParameters| ["/rtx", "/red"].iter().any(|end| codec.mime_type.ends_with(end));
    let media = consumable.codecs.iter().filter(|codec| !about_media(codec));
    media
        .filter_map(|codec| {
            let mut codec = serde_json::to_value(codec).ok()?;
            codec.as_object_mut()?.remove("rtcpFeedback");
            Some(codec)
        })
        .collect()
}

pub(super) async fn peer_producers_infos(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    let of = Broadcaster::find(&app, &room, &broadcaster).await?;
    let peers = of.room.peers().await;
    if !peers.iter().any(|peer| peer.name == broadcaster && peer.joined) {
        return Err(HttpError::new(StatusCode::CONFLICT, "the broadcaster has not joined yet"));
    }
    let producer = |producer: &ProducerInfo| {
        json!({
            "producerId": producer.name,
            "kind": producer.kind,
            "source": producer.app_data.as_ref().and_then(|data| data.get("source")),
            "consumableCodecs": consumable_codecs(&producer.consumable),
        })
    };
    let others = others(peers).filter(|peer| peer.name != broadcaster);
    let info = |peer: PeerInfo| {
        let producers: Vec<_> = peer.producers.iter().map(producer).collect();
        json!({ "peerId": peer.name, "producers": producers })
    };
    let infos: Vec<_> = others.map(info).collect();
    Ok(Json(json!({ "peerProducersInfos": infos })).into_response())
}

pub(super) async fn create_transport(State(app): AppState, Path((room, broadcaster)): Two, body: Bytes) -> Answer {
    let body: TransportBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        if let Some(has_sctp) = body.webrtc() {
            let made = of.room.create_webrtc(&of.peer, has_sctp.then(sctp_options), false).await?;
            let config = app.config();
            let answer = transport(&made, false, has_sctp.then_some(&config.sctp));
            return Ok(of.created(&["transports", &made.name], answer));
        }
        let made = of.room.create_plain(&of.peer, body.read()?).await?;
        let mut answer = json!({ "id": made.name, "transportId": made.name, "ip": made.ip, "port": made.port });
        if let Some(port) = made.rtcp_port {
            answer["rtcpPort"] = json!(port);
        }
        if let Some(srtp) = &made.srtp {
            answer["srtpParameters"] = json!(SrtpJson::of(srtp));
        }
        Ok(of.created(&["transports", &made.name], answer))
    })
    .await
}

pub(super) async fn connect_transport(
    State(app): AppState,
    Path((room, broadcaster, transport)): Three,
    body: Bytes,
) -> Answer {
    let body: ConnectBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        match &body.dtls_parameters {
            Some(dtls) => of.room.connect_webrtc(&of.peer, &transport, dtls.read()?).await?,
            None => of.room.connect_plain(&of.peer, &transport, body.read()?).await?,
        }
        Ok(match of.is_legacy() {
            true => StatusCode::OK.into_response(),
            false => text(StatusCode::OK, "PlainTransport connected"),
        })
    })
    .await
}

async fn produce_with(
    app: Arc<App>,
    (room, broadcaster, transport): (String, String, String),
    new: NewProducer,
) -> Answer {
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        let name = of.room.produce(&of.peer, &transport, new).await?;
        Ok(of.created(&["producers", &name], json!({ "id": name, "producerId": name })))
    })
    .await
}

pub(super) async fn produce_on(State(app): AppState, Path(on): Three, body: Bytes) -> Answer {
    produce_with(app, on, parse::<ProduceBody>(&body)?.into()).await
}

pub(super) async fn produce(State(app): AppState, Path((room, of)): Two, body: Bytes) -> Answer {
    let mut body: ProduceBody = parse(&body)?;
    let transport = body.transport_id.take().ok_or_else(|| HttpError::field("transportId", "is missing"))?;
    produce_with(app, (room, of, transport), body.into()).await
}

async fn consume_with(
    app: Arc<App>,
    (room, broadcaster, transport): (String, String, String),
    new: NewConsumer,
) -> Answer {
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        let (producer, paused) = (new.producer.clone(), new.paused);
        let made = of.room.consume(&of.peer, &transport, new).await?;
        let answer = json!({
            "id": made.name,
            "consumerId": made.name,
            "producerId": producer,
            "kind": made.kind,
            "rtpParameters": made.rtp_parameters,
            "type": made.streams,
            "paused": paused,
            "producerPaused": made.producer_paused,
        });
        Ok(of.created(&["consumers", &made.name], answer))
    })
    .await
}

/// The producer stands in the query (older form) or in the body.
pub(super) async fn consume_on(
    State(app): AppState,
    Path(on): Three,
    Query(query): Query<ConsumeQuery>,
    body: Bytes,
) -> Answer {
    let mut body: ConsumeBody = parse(&body)?;
    let producer = query.producer_id.or_else(|| body.producer_id.take());
    let producer = producer.ok_or_else(|| HttpError::field("producerId", "is missing, in query and body"))?;
    consume_with(app, on, body.of(producer)).await
}

pub(super) async fn consume(State(app): AppState, Path((room, of)): Two, body: Bytes) -> Answer {
    let mut body: ConsumeBody = parse(&body)?;
    let missing = |field: &str| HttpError::field(field, "is missing");
    let transport = body.transport_id.take().ok_or_else(|| missing("transportId"))?;
    let producer = body.producer_id.take().ok_or_else(|| missing("producerId"))?;
    consume_with(app, (room, of, transport), body.of(producer)).await
}

pub(super) async fn resume_on(State(app): AppState, Path((room, of, _)): Three, body: Bytes) -> Answer {
    let body: ResumeBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &of).await?;
        of.room.pause_consumer(&of.peer, &body.consumer_id, false).await?;
        Ok(text(StatusCode::OK, "Consumer resumed"))
    })
    .await
}

pub(super) async fn set_preferred_layers(
    State(app): AppState,
    Path((room, of, consumer)): Three,
    body: Bytes,
) -> Answer {
    let body: PreferredLayersBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &of).await?;
        let layers = (body.spatial_layer, body.temporal_layer);
        of.room.set_preferred_layers(&of.peer, &consumer, layers).await?;
        Ok(text(StatusCode::OK, "preferred layers set"))
    })
    .await
}

pub(super) async fn produce_data(
    State(app): AppState,
    Path((room, broadcaster, transport)): Three,
    body: Bytes,
) -> Answer {
    let body: ProduceDataBody = parse(&body)?;
    let new = body.read()?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        let name = of.room.produce_data(&of.peer, &transport, new).await?;
        Ok(Json(json!({ "id": name })).into_response())
    })
    .await
}

pub(super) async fn consume_data(
    State(app): AppState,
    Path((room, broadcaster, transport)): Three,
    body: Bytes,
) -> Answer {
    let body: ConsumeDataBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        let made = of.room.consume_data(&of.peer, &transport, &body.data_producer_id).await?;
        Ok(Json(json!({ "id": made.name, "streamId": made.stream })).into_response())
    })
    .await
}

macro_rules! acts {
    ($($name:ident: $method:ident($($argument:expr)?) => $answer:expr;)*) => {$(
        pub(super) async fn $name(State(app): AppState, Path((room, of, what)): Three) -> Answer {
            complete(async move {
                let of = Broadcaster::find(&app, &room, &of).await?;
                of.room.$method(&of.peer, &what $(, $argument)?).await?;
                Ok($answer)
            })
            .await
        }
    )*};
}

acts! {
    close_transport: close_transport() => StatusCode::NO_CONTENT.into_response();
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
        pub(super) async fn $name(State(app): AppState, Path((room, of, what)): Three) -> Answer {
            let of = Broadcaster::find(&app, &room, &of).await?;
            let found = of.room.$method(&of.peer, &what).await?;
            Ok(Json(get_stats(&found)).into_response())
        }
    )*};
}

stats_of! {
    transport_stats: transport_report;
    producer_stats: producer_report;
    consumer_stats: consumer_report;
}
