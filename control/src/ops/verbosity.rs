//! What the server and its workers log from now on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::http::{Answer, App, AppState, HttpError, WholeBody};
use crate::logging;

/// Another filter holds from now on, in this process and in those of workers.
///
/// # Errors
/// It cannot be read, and the one before holds.
pub(crate) fn set_log_filter(app: &App, filter: &str) -> Result<(), String> {
    logging::set_filter(filter)?;
    for worker in app.pool().workers() {
        if let Err(error) = worker.set_log_filter(filter) {
            tracing::warn!("worker {} logs as before: {error}", worker.index());
        }
    }
    Ok(())
}

/// The same, as an operator wants it in this field.
pub(super) fn apply(app: &App, filter: &str, field: &str) -> Result<(), HttpError> {
    let filter = filter.trim();
    if filter.is_empty() {
        return Err(HttpError::field(field, "must be a filter such as debug, or corecast=debug,warn"));
    }
    set_log_filter(app, filter).map_err(|error| HttpError::field(field, error))?;
    tracing::info!("the log's filter is {filter:?} from now on");
    Ok(())
}

/// `PUT /log-filter`: the body is a filter as `log.filter` has it.
pub(super) async fn set(State(app): AppState, filter: WholeBody) -> Answer {
    apply(&app, &filter.text()?, "body")?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
