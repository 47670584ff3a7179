//! `/rooms/…`: mediasoup-demo's broadcasters, its two generations on the same paths. A body with `id` or `type` is of
//! the older one, with `peerId` or `direction` of the newer; answers carry the names of both, and the broadcaster's
//! form decides statuses.

mod answers;
mod bodies;
mod routes;
mod srtp;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};

pub(super) use answers::{
    Capabilities, ConsumerMade, DataConsumerMade, DataProducerMade, Others, PeerProducersInfos, ProducerMade,
    TransportMade,
};
pub(super) use bodies::{
    BroadcasterBody, ConnectBody, ConsumeBody, ConsumeDataBody, PreferredLayersBody, ProduceBody, ProduceDataBody,
    ResumeBody, TransportBody,
};
pub(super) use routes::ConsumeQuery;

use crate::http::App;
use crate::ops::access;

/// `/rooms/{room}` and what is below, presence aside.
pub(super) fn routes(app: Arc<App>) -> Router {
    use routes as r;
    let broadcaster = Router::new()
        .route("/", delete(r::remove))
        .route("/join", post(r::join))
        .route("/peerProducersInfos", get(r::peer_producers_infos))
        .route("/transports", post(r::create_transport))
        .route("/transports/{transport}", delete(r::close_transport))
        .route("/transports/{transport}/stats", get(r::transport_stats))
        .route("/transports/{transport}/connect", post(r::connect_transport))
        .route("/transports/{transport}/producers", post(r::produce_on))
        .route("/transports/{transport}/consume", post(r::consume_on))
        .route("/transports/{transport}/resume", post(r::resume_on))
        .route("/transports/{transport}/consume/data", post(r::consume_data))
        .route("/transports/{transport}/produce/data", post(r::produce_data))
        .route("/producers", post(r::produce))
        .route("/producers/{producer}", delete(r::close_producer))
        .route("/producers/{producer}/pause", post(r::pause_producer))
        .route("/producers/{producer}/resume", post(r::resume_producer))
        .route("/producers/{producer}/stats", get(r::producer_stats))
        .route("/consumers", post(r::consume))
        .route("/consumers/{consumer}", delete(r::close_consumer))
        .route("/consumers/{consumer}/pause", post(r::pause_consumer))
        .route("/consumers/{consumer}/resume", post(r::resume_consumer))
        .route("/consumers/{consumer}/requestKeyFrame", post(r::request_key_frame))
        .route("/consumers/{consumer}/setPreferredLayers", post(r::set_preferred_layers))
        .route("/consumers/{consumer}/stats", get(r::consumer_stats));
    let operators = Router::new()
        .route("/rooms/{room}", delete(r::close_room))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), access::operate));
    Router::new()
        .route("/rooms/{room}", get(r::capabilities))
        .route("/rooms/{room}/broadcasters", post(r::create))
        .nest("/rooms/{room}/broadcasters/{broadcaster}", broadcaster)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), access::broadcast))
        .merge(operators)
        .with_state(app)
}
