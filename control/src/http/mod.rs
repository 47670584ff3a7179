//! What all signaling by HTTP shares: errors with their statuses, bodies, rates, other origins, streams of
//! events, files of pages.
//!
//! Knows no route, and of rooms only where they are and why they refuse something.

mod admission;
mod app;
mod body;
mod counts;
mod error;
mod files;
mod origins;
mod proxy;
mod rates;
mod refusals;
mod refused;
mod shut_out;
mod sse;
mod traced;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use tower::Layer;
use tracing::Instrument as _;

pub(crate) use admission::Admitted;
pub(crate) use app::{Answer, App, AppState, Order};
pub(crate) use body::{WholeBody, check_type, parse, text, value};
pub(crate) use counts::{SETUP_BOUNDS_S, Sessions as SessionTotals};
pub(crate) use error::{HttpError, NO_PATH};
pub(crate) use files::File;
pub(crate) use origins::{is_preflight, is_upgrade};
pub(crate) use rates::{Bucket, RATE_RETRY_SECS, source};
pub(crate) use sse::{ListenQuery, sse};

/// Routes, with what holds for each of them. What proxies say is looked at before a route is chosen.
pub(crate) fn bounded(routes: Router, app: &Arc<App>) -> Router {
    let routes = routes
        .fallback(async || HttpError::no_path())
        .method_not_allowed_fallback(async || {
            HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(body::MAX_BODY_BYTES))
        .layer(middleware::map_request(body::bound_body))
        .layer(middleware::from_fn_with_state(Arc::clone(app), origins::check))
        .layer(middleware::from_fn_with_state(Arc::clone(app), refusals::watch))
        .layer(middleware::from_fn(traced::record));
    Router::new().fallback_service(middleware::from_fn_with_state(Arc::clone(app), proxy::resolve).layer(routes))
}

/// Does work that may take a while on a thread that no other request waits for.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
) -> Result<T, HttpError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| HttpError::lost())?
}

/// Runs to its end even if the client hangs up: a request applies completely or not at all.
pub(crate) async fn complete<T: Send + 'static>(
    work: impl Future<Output = Result<T, HttpError>> + Send + 'static,
) -> Result<T, HttpError> {
    tokio::spawn(work.in_current_span()).await.map_err(|_| HttpError::lost())?
}

/// Text for a header: everything that a path segment cannot hold as it is becomes `%XX`.
pub(crate) fn path_segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_in_a_path() {
        assert_eq!(path_segment("a b/ü"), "a%20b%2F%C3%BC");
    }
}
