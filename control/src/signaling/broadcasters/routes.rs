//! What each request of the broadcaster API does.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::answers::{
    Capabilities, ConsumerMade, DataConsumerMade, DataProducerMade, Other, Others, PeerProducers, PeerProducersInfos,
    PlainMade, ProducerMade, TransportMade,
};
use super::bodies::{
    BroadcasterBody, ConnectBody, ConsumeBody, ConsumeDataBody, PreferredLayersBody, ProduceBody, ProduceDataBody,
    ResumeBody, TransportBody,
};
use crate::http::{Answer, App, AppState, HttpError, WholeBody, complete, parse, path_segment, source};
use crate::ops::get_stats;
use crate::rooms::{Code, NewConsumer, NewProducer, PeerHandle, PeerInfo, PeerKind, Room, check_name};
use crate::signaling::webrtc::{sctp_options, transport};
use crate::spans;

/// In the URL: names of a room and a broadcaster, perhaps of something that is the broadcaster's.
type Two = Path<(String, String)>;
type Three = Path<(String, String, String)>;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct ConsumeQuery {
    /// The producer, if the body does not name it.
    #[param(nullable = false)]
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
    fn created(&self, rest: &[&str], body: impl Serialize) -> Response {
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
    Ok(Json(Capabilities::told()).into_response())
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
    body: WholeBody,
) -> Answer {
    let body: BroadcasterBody = parse(&body)?;
    let client = source(&extensions);
    let (new, field) = body.read(client)?;
    complete(async move {
        let room = app.rooms().get_or_create(&room, client).await?;
        let (name, capabilities) = (new.name.clone(), new.rtp_capabilities.clone());
        let is_legacy = new.kind == PeerKind::LegacyBroadcaster;
        let peers = others(room.peers().await).filter(|peer| peer.name != name);
        // A broadcaster that gives no capabilities is not told what it may consume.
        let peers = match &capabilities {
            Some(capabilities) => peers.map(|peer| Other::of(peer, capabilities)).collect(),
            None => Vec::new(),
        };
        let span = spans::join(room.id(), &name, "broadcaster");
        spans::within(span, room.add_peer(new)).await.map_err(|error| match error.code() {
            Code::NameTaken => {
                let sentence = format!("{field}: there is a broadcaster or peer {name:?} already");
                HttpError::new(StatusCode::CONFLICT, sentence)
            }
            _ => error.into(),
        })?;
        if is_legacy {
            return Ok(Json(Others { peers }).into_response());
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

pub(super) async fn peer_producers_infos(State(app): AppState, Path((room, broadcaster)): Two) -> Answer {
    let of = Broadcaster::find(&app, &room, &broadcaster).await?;
    let peers = of.room.peers().await;
    if !peers.iter().any(|peer| peer.name == broadcaster && peer.joined) {
        return Err(HttpError::new(StatusCode::CONFLICT, "the broadcaster has not joined yet"));
    }
    let others = others(peers).filter(|peer| peer.name != broadcaster);
    let infos = PeerProducersInfos { peer_producers_infos: others.map(PeerProducers::of).collect() };
    Ok(Json(infos).into_response())
}

pub(super) async fn create_transport(State(app): AppState, Path((room, broadcaster)): Two, body: WholeBody) -> Answer {
    let body: TransportBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        if let Some(has_sctp) = body.webrtc() {
            let made = of.room.create_webrtc(&of.peer, has_sctp.then(sctp_options), false).await?;
            let config = app.config();
            let answer = transport(&made, false, has_sctp.then_some(&config.sctp));
            return Ok(of.created(&["transports", &made.name], TransportMade::WebRtc(Box::new(answer))));
        }
        let made = of.room.create_plain(&of.peer, body.read()?).await?;
        Ok(of.created(&["transports", &made.name], TransportMade::Plain(PlainMade::of(&made))))
    })
    .await
}

pub(super) async fn connect_transport(
    State(app): AppState,
    Path((room, broadcaster, transport)): Three,
    body: WholeBody,
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
        Ok(of.created(&["producers", &name], ProducerMade { id: name.clone(), producer_id: name.clone() }))
    })
    .await
}

pub(super) async fn produce_on(State(app): AppState, Path(on): Three, body: WholeBody) -> Answer {
    produce_with(app, on, parse::<ProduceBody>(&body)?.into()).await
}

pub(super) async fn produce(State(app): AppState, Path((room, of)): Two, body: WholeBody) -> Answer {
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
        let paused = new.paused;
        let made = of.room.consume(&of.peer, &transport, new).await?;
        let name = made.name.clone();
        Ok(of.created(&["consumers", &name], ConsumerMade::of(made, paused)))
    })
    .await
}

/// The producer stands in the query (older form) or in the body.
pub(super) async fn consume_on(
    State(app): AppState,
    Path(on): Three,
    Query(query): Query<ConsumeQuery>,
    body: WholeBody,
) -> Answer {
    let mut body: ConsumeBody = parse(&body)?;
    let producer = query.producer_id.or_else(|| body.producer_id.take());
    let producer = producer.ok_or_else(|| HttpError::field("producerId", "is missing, in query and body"))?;
    consume_with(app, on, body.of(producer)).await
}

pub(super) async fn consume(State(app): AppState, Path((room, of)): Two, body: WholeBody) -> Answer {
    let mut body: ConsumeBody = parse(&body)?;
    let missing = |field: &str| HttpError::field(field, "is missing");
    let transport = body.transport_id.take().ok_or_else(|| missing("transportId"))?;
    let producer = body.producer_id.take().ok_or_else(|| missing("producerId"))?;
    consume_with(app, (room, of, transport), body.of(producer)).await
}

pub(super) async fn resume_on(State(app): AppState, Path((room, of, _)): Three, body: WholeBody) -> Answer {
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
    body: WholeBody,
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
    body: WholeBody,
) -> Answer {
    let body: ProduceDataBody = parse(&body)?;
    let new = body.read()?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        let name = of.room.produce_data(&of.peer, &transport, new).await?;
        Ok(Json(DataProducerMade { id: name }).into_response())
    })
    .await
}

pub(super) async fn consume_data(
    State(app): AppState,
    Path((room, broadcaster, transport)): Three,
    body: WholeBody,
) -> Answer {
    let body: ConsumeDataBody = parse(&body)?;
    complete(async move {
        let of = Broadcaster::find(&app, &room, &broadcaster).await?;
        let made = of.room.consume_data(&of.peer, &transport, &body.data_producer_id).await?;
        Ok(Json(DataConsumerMade { id: made.name, stream_id: made.stream }).into_response())
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
