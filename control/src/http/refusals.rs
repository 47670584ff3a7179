//! Answers that refuse something, as they leave: counted by cause, and told in the log once in a while, so that an
//! operator sees what clients run into and a flood of them does not fill the disk.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::app::App;
use super::error::Refusal;
use super::rates::source;

/// What a client runs into without being wrong in itself: no access, another state, a limit. (What is malformed, or not
/// there, is for the client alone to see.)
fn is_told(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 409 | 422 | 429 | 503)
}

/// Counts and tells the refusals among the answers.
pub(super) async fn watch(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let client = source(request.extensions());
    // The route, and not the path: a session's URL is its key.
    let route = request.extensions().get::<MatchedPath>().map(|path| format!("{} {}", request.method(), path.as_str()));
    let response = next.run(request).await;
    if let Some(refusal) = response.extensions().get::<Refusal>().filter(|_| is_told(response.status()))
        && let Some(times) = app.refusals().count(refusal.cause, Instant::now())
    {
        tell(times, (client, route.as_deref().unwrap_or("-")), response.status(), refusal);
    }
    response
}

fn tell(times: u32, (client, route): (IpAddr, &str), status: StatusCode, refusal: &Refusal) {
    let Refusal { cause, sentence } = refusal;
    let sentence = sentence.replace(char::is_control, " ");
    let status = status.as_u16();
    let line = format!("{times} refused ({cause}), the last of {client}, {route}: {status} {sentence}");
    // Those who poll for a stream are told 409 every time.
    if status == 409 {
        tracing::info!("{line}");
    } else {
        tracing::warn!("{line}");
    }
}
