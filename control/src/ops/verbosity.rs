//! `PUT /log-filter`: what the server logs from now on.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::http::{Answer, HttpError};
use crate::logging;

/// The body is a filter as `log.filter` has it.
pub(super) async fn set(filter: String) -> Answer {
    let filter = filter.trim();
    if filter.is_empty() {
        return Err(HttpError::field("body", "must be a filter such as debug, or corecast=debug,warn"));
    }
    logging::set_filter(filter).map_err(|error| HttpError::field("body", error))?;
    tracing::info!("the log's filter is {filter:?} from now on");
    Ok(StatusCode::NO_CONTENT.into_response())
}
