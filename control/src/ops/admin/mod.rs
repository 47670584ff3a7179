//! `/v1/…`: the API for operators, on a listener of its own. `corecast ctl` uses it, and docs/openapi.json describes
//! it.

pub(crate) mod bodies;
mod rooms;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use utoipa::{IntoResponses, OpenApi};

use super::access;
use crate::http::App;

/// Why a request is not done. The body is one sentence of plain text.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is for the description of the API")]
enum Refusals {
    /// A parameter or a member of the body is wrong.
    #[response(status = 400, content_type = "text/plain")]
    Wrong(String),
    /// There is no token, or it is not known, not valid yet, or has expired.
    #[response(status = 401, content_type = "text/plain")]
    NoToken(String),
    /// The token does not grant "admin", or not in this room or in all rooms.
    #[response(status = 403, content_type = "text/plain")]
    OtherToken(String),
    /// There is no such room, peer or path.
    #[response(status = 404, content_type = "text/plain")]
    NotFound(String),
    /// Not in this state.
    #[response(status = 409, content_type = "text/plain")]
    WrongState(String),
    /// The body did not come in time.
    #[response(status = 408, content_type = "text/plain")]
    Late(String),
    /// The body is too long.
    #[response(status = 413, content_type = "text/plain")]
    TooLong(String),
    /// Your address asks too often without a right token. `Retry-After` says when to try again.
    #[response(status = 429, content_type = "text/plain")]
    TooMany(String),
    /// A fault of the server's.
    #[response(status = 500, content_type = "text/plain")]
    Fault(String),
    /// Not now. `Retry-After` says when to try again.
    #[response(status = 503, content_type = "text/plain")]
    Unavailable(String),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "corecast's API for operators",
        description = "On the listener that `admin.listen` names. Through a Unix socket it asks for no token: who may \
            open the socket may use it. By TCP it wants a bearer token that grants \"admin\", if there are any tokens.",
        version = "1",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        server::show, server::cordon, server::uncordon, server::drain, server::restart, server::log, rooms::list,
        rooms::close, rooms::loudest, rooms::priority, rooms::peers, rooms::dump, rooms::remove, rooms::invite,
        rooms::mute
    ),
    tags((name = "server"), (name = "rooms"), (name = "peers"))
)]
struct Description;

/// The description of the API: OpenAPI, as JSON with an end of line.
pub(crate) fn description() -> String {
    let text = Description::openapi().to_pretty_json().unwrap_or_default();
    text + "\n"
}

/// Every route. Those who come by TCP need a token where there are any.
pub(crate) fn routes(app: &Arc<App>, asks_for_token: bool) -> Router {
    let routes = Router::new()
        .route("/v1/server", get(server::show))
        .route("/v1/cordon", put(server::cordon).delete(server::uncordon))
        .route("/v1/drain", post(server::drain))
        .route("/v1/restart", post(server::restart))
        .route("/v1/log", put(server::log))
        .route("/v1/rooms", get(rooms::list))
        .route("/v1/rooms/{room}", delete(rooms::close))
        .route("/v1/rooms/{room}/loudest", put(rooms::loudest))
        .route("/v1/priorities/{name}", put(rooms::priority))
        .route("/v1/rooms/{room}/peers", get(rooms::peers))
        .route("/v1/rooms/{room}/dump", get(rooms::dump))
        .route("/v1/rooms/{room}/peers/{peer}", delete(rooms::remove))
        .route("/v1/rooms/{room}/peers/{peer}/invite", post(rooms::invite))
        .route("/v1/rooms/{room}/peers/{peer}/muted", put(rooms::mute));
    let routes = match asks_for_token {
        true => routes.route_layer(middleware::from_fn_with_state(Arc::clone(app), access::operate)),
        false => routes,
    };
    routes.with_state(Arc::clone(app))
}
