//! The ways in which clients speak to rooms: each folder translates one of them to the domain (`rooms`) and back. None
//! knows another, and the domain knows none. What several say in the same words is in `webrtc`.

mod broadcasters;
mod cascade;
pub(crate) mod description;
mod page;
mod protoo;
mod webrtc;
mod whip_whep;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::get;

use crate::http::{Answer, App, AppState, is_upgrade};
use crate::ledger::Rows;

/// Every route of them, with what the server before has left.
pub(crate) async fn routes(app: &Arc<App>, rows: &Rows) -> Router {
    let root = Router::new().route("/", get(root)).with_state(Arc::clone(app));
    root.merge(broadcasters::routes(Arc::clone(app)))
        .merge(cascade::routes(Arc::clone(app)))
        .merge(page::routes(Arc::clone(app)))
        .merge(protoo::routes(Arc::clone(app)))
        .merge(whip_whep::routes(Arc::clone(app), rows).await)
}

/// The page for browsers, and the place where mediasoup-demo's clients look for their WebSocket.
async fn root(State(app): AppState, request: Request) -> Answer {
    match is_upgrade(request.headers()) {
        true => protoo::connect(State(app), request).await,
        false => Ok(page::index(request.headers())),
    }
}
