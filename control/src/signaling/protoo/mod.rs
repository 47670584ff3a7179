//! `/` with an upgrade, and `/protoo`: mediasoup-demo's signaling, protoo over WebSocket (RFC 6455), for applications
//! on `mediasoup-client` and `protoo-client`.
//!
//! Both generations of the demo are spoken, the JavaScript one's (here "legacy") and the TypeScript one's ("typed").
//! Answers and notifications carry the members of both, and each client reads those that it knows; the few that cannot
//! be merged are as the dialect of the client's first requests wants them.
//!
//! From the outside in: `endpoint` (who may come, and by which name), `session` (one peer: what comes in, what goes
//! out, the end), `requests` and `notifications` (what a client may ask), `offers` (consumers that a client is asked to
//! take), `told` (what happens in the room). The texts are in `message`, `bodies` and `members`, the WebSocket in
//! `socket`.

mod bodies;
mod dialect;
mod endpoint;
mod members;
mod message;
mod notifications;
mod offers;
mod pending;
mod requests;
mod session;
mod socket;
mod told;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::get;

use crate::http::{Answer, App, AppState};

/// `/protoo`.
pub(super) fn routes(app: Arc<App>) -> Router {
    Router::new().route("/protoo", get(connect)).with_state(app)
}

/// A client that asks for an upgrade, at whatever path.
pub(super) async fn connect(State(app): AppState, request: Request) -> Answer {
    endpoint::connect(app, request).await
}
