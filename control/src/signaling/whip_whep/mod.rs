//! `/whip/…` and `/whep/…`: publishing by WHIP (RFC 9725), watching by WHEP (draft-ietf-wish-whep).
//!
//! A session's URL is in the answer to the request that made it. From the outside in: `endpoints` (requests for a new
//! session), `join` (offer to room to answer), `sessions` (the table of URLs, and what becomes of each session), then
//! `resources`, `layers` and `wanted` (requests to a session).

mod endpoints;
mod join;
mod layers;
mod request;
mod resources;
mod sessions;
mod wanted;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

pub(super) use endpoints::PublishQuery;
pub(super) use layers::{EventNames, LayerBody, Layers};

use crate::http::App;
use crate::ledger::Rows;
use request::WhipWhep;
use sessions::Sessions;

/// Every route of both, and the sessions that the server before has left.
pub(super) async fn routes(app: Arc<App>, rows: &Rows) -> Router {
    use endpoints as e;
    use resources as r;
    let sessions = Arc::new(Sessions::new(app.config().rtc.connect_timeout.0, Arc::clone(app.ledger())));
    sessions.restore(&app, rows).await;
    let whep = || get(e::nothing).options(e::whep_options);
    let whip = || get(e::nothing).options(e::whip_options).post(e::publish);
    Router::new()
        .route("/whip/{room}", whip())
        // As some clients write their endpoint.
        .route("/whip/{room}/", whip())
        .route("/whep/{room}/", whep().post(e::view_room))
        .route(
            "/whip/{room}/{secret}",
            get(r::whip_look).options(r::whip_options).patch(r::whip_patch).delete(r::whip_end),
        )
        .route("/whip/{room}/{secret}/events", get(wanted::listen).options(wanted::options))
        .route("/whep/{room}", whep().post(e::view_room))
        .route("/whep/{room}/{peer}", whep().post(e::view_peer))
        .route(
            "/whep/{room}/s/{secret}",
            get(r::whep_look).options(r::whep_options).patch(r::whep_patch).delete(r::whep_end),
        )
        .route(
            "/whep/{room}/s/{secret}/layer",
            get(layers::layers).options(layers::layer_options).post(layers::select).delete(layers::unselect),
        )
        .route("/whep/{room}/s/{secret}/events", get(layers::listen).options(layers::options).post(layers::create))
        .with_state(WhipWhep { app, sessions })
}
