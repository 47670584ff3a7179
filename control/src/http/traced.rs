//! A span for each request.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::rates::source;
use crate::spans;

/// Records a request, up to the head of its answer.
pub(super) async fn record(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let span = spans::request(request.method().as_str(), route, source(request.extensions()));
    spans::follow(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    spans::answered(&span, response.status().as_u16());
    response
}
