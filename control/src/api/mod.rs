//! The HTTP API: mediasoup-demo's broadcasters in both generations, status and health.
//!
//! Owns routes, bodies and statuses; what they mean is in `rooms`. A wrong request is answered with 4xx and one
//! sentence, and nothing has changed.

mod broadcasters;
mod stats;
mod status;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;

use crate::connections::Scheme;
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
        .route("/consumers/{consumer}/stats", get(b::consumer_stats));
    Router::new()
        .merge(crate::page::routes())
        .route("/status", get(status::page))
        .route("/health", get(status::health))
        .route("/stats", get(status::stats))
        .route("/test-hooks/worker/{index}", post(status::test_hook))
        .route("/rooms", get(status::rooms))
        .route("/rooms/{room}", get(b::capabilities).delete(b::close_room))
        .route("/rooms/{room}/broadcasters", post(b::create))
        .nest("/rooms/{room}/broadcasters/{broadcaster}", broadcaster)
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .layer(middleware::from_fn(take_body))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), check_origin))
        .with_state(app)
}

/// Whole, before anything is done with it; whoever sends it one byte at a time holds nothing for long.
async fn take_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let refused = match tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => return next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(error)) => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body: {error}")),
        Err(_) => {
            let sentence = format!("the body did not arrive within {} s", BODY_LIMIT.as_secs());
            ApiError::new(StatusCode::REQUEST_TIMEOUT, sentence)
        }
    };
    refused.into_response()
}

/// A web page of another origin may not use the API. Programs send no Origin and are not asked for one.
async fn check_origin(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("(unreadable)");
        let scheme = request.extensions().get().copied().unwrap_or(Scheme::Http);
        if !origin_is_ours(origin, request.headers(), scheme, &app.config.http.origins) {
            let sentence = format!("Origin: {origin:?} may not use this API (http.origins)");
            return ApiError::new(StatusCode::FORBIDDEN, sentence).into_response();
        }
    }
    next.run(request).await
}

/// Ours is what is configured, and the address that was called if it is one that no foreign page can have for a name:
/// an IP address or localhost. (A name that is made to point here is not ours: DNS rebinding.) By https every name that
/// was called is ours: the browser has found it in our certificate.
fn origin_is_ours(origin: &str, headers: &HeaderMap, scheme: Scheme, configured: &[String]) -> bool {
    if configured.iter().any(|ours| ours.trim_end_matches('/') == origin) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if scheme == Scheme::Https {
        return origin.strip_prefix("https://") == Some(host);
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    (literal || name == "localhost") && origin.strip_prefix("http://") == Some(host)
}

/// A JSON body; an empty one is `{}`. The error names the field.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
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
async fn complete<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let lost = |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was lost");
    tokio::spawn(work).await.map_err(lost)?
}
