//! The HTTP API: mediasoup-demo's broadcasters in both generations, status and health.
//!
//! Owns routes, bodies and statuses; what they mean is in `rooms`. A wrong request is answered with 4xx and one
//! sentence, and nothing has changed.

pub(crate) mod broadcasters;
pub(crate) mod http;
pub(crate) mod page;
#[cfg(test)]
mod tests;
pub(crate) mod whip_whep;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{delete, get, post};
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use self::http::origins;
use self::page::presence as events;
use crate::ops::status;
use crate::rooms::ApiError;
use crate::server::App;

/// Longest body. JSON may be nested 128 deep (serde_json's limit).
const MAX_BODY_BYTES: usize = 1 << 20;
/// For a body to arrive in.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Everything.
pub(crate) fn router(app: Arc<App>) -> Router {
    use broadcasters as b;
    let broadcaster = Router::new()
        .route("/", delete(b::remove))
        .route("/join", post(b::join))
        .route("/peerProducersInfos", get(b::peer_producers_infos))
        .route("/transports", post(b::create_transport))
        .route("/transports/{transport}", delete(b::close_transport))
        .route("/transports/{transport}/stats", get(b::transport_stats))
        .route("/transports/{transport}/connect", post(b::connect_transport))
        .route("/transports/{transport}/producers", post(b::produce_on))
        .route("/transports/{transport}/consume", post(b::consume_on))
        .route("/transports/{transport}/resume", post(b::resume_on))
        .route("/transports/{transport}/consume/data", post(b::no_data))
        .route("/transports/{transport}/produce/data", post(b::no_data))
        .route("/producers", post(b::produce))
        .route("/producers/{producer}", delete(b::close_producer))
        .route("/producers/{producer}/pause", post(b::pause_producer))
        .route("/producers/{producer}/resume", post(b::resume_producer))
        .route("/producers/{producer}/stats", get(b::producer_stats))
        .route("/consumers", post(b::consume))
        .route("/consumers/{consumer}", delete(b::close_consumer))
        .route("/consumers/{consumer}/pause", post(b::pause_consumer))
        .route("/consumers/{consumer}/resume", post(b::resume_consumer))
        .route("/consumers/{consumer}/requestKeyFrame", post(b::request_key_frame))
        .route("/consumers/{consumer}/setPreferredLayers", post(b::set_preferred_layers))
        .route("/consumers/{consumer}/stats", get(b::consumer_stats));
    Router::new()
        .merge(page::routes())
        .route("/status", get(status::page))
        .route("/health", get(status::health))
        .route("/stats", get(status::stats))
        .route("/test-hooks/worker/{index}", post(status::test_hook))
        .route("/rooms", get(status::rooms))
        .route("/rooms/{room}", get(b::capabilities).delete(b::close_room))
        .route("/rooms/{room}/broadcasters", post(b::create))
        .nest("/rooms/{room}/broadcasters/{broadcaster}", broadcaster)
        .route("/rooms/{room}/events", get(events::listen))
        .merge(doors())
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::map_request(bound_body))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), origins::check))
        .with_state(app)
}

/// Whoever sends a body one byte at a time holds nothing for long.
async fn bound_body(request: Request) -> Request {
    let until = Instant::now() + BODY_LIMIT;
    request.map(|body| {
        let parts = stream::unfold(Some(body.into_data_stream()), move |parts| async move {
            let mut parts = parts?;
            match timeout_at(until, parts.next()).await {
                Ok(part) => part.map(|part| (part, Some(parts))),
                Err(late) => Some((Err(axum::Error::new(late)), None)),
            }
        });
        Body::from_stream(parts)
    })
}

/// WHIP and WHEP. A session's URL is in the answer to the request that made it.
fn doors() -> Router<Arc<App>> {
    use whip_whep::endpoints as d;
    use whip_whep::layers;
    let whep = || get(d::nothing).options(d::whep_options);
    Router::new()
        .route("/whip/{room}", get(d::nothing).options(d::whip_options).post(d::publish))
        .route(
            "/whip/{room}/{secret}",
            get(d::whip_look).options(d::whip_session_options).patch(d::whip_patch).delete(d::whip_end),
        )
        .route("/whep/{room}", whep().post(d::view_room))
        .route("/whep/{room}/{peer}", whep().post(d::view_peer))
        .route(
            "/whep/{room}/s/{secret}",
            get(d::whep_look).options(d::whep_session_options).patch(d::whep_patch).delete(d::whep_end),
        )
        .route("/whep/{room}/s/{secret}/layer", get(layers::layers).options(layers::options).post(layers::select))
        .route("/whep/{room}/s/{secret}/events", get(layers::listen).options(layers::options).post(layers::create))
}

/// A JSON body; an empty one is `{}`. The error names the field.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if cause.is_syntax() || cause.is_eof() || path == "." {
            ApiError::new(StatusCode::BAD_REQUEST, format!("body: {cause}"))
        } else {
            ApiError::field(&path, cause)
        }
    })?;
    json.end().map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, format!("body: {error}")))?;
    Ok(value)
}

/// Runs to its end even if whoever asked hangs up: a request applies completely or not at all.
pub(crate) async fn complete<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let lost = |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was lost");
    tokio::spawn(work).await.map_err(lost)?
}
