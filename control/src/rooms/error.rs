//! Why something asked over HTTP was not done: a status and one sentence.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use corecast_wire::CommandError;

use crate::ortc::OrtcError;
use crate::workers::link::RequestError;

/// Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) sentence: String,
    /// A header that says more, such as `Retry-After`.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
}

/// Seconds after which one who was refused for lack of room may try again.
const RETRY_AFTER_SECS: u32 = 5;

impl ApiError {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        let lack = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let error = Self { status, sentence: sentence.into(), header: None };
        if lack { error.retry_after(RETRY_AFTER_SECS) } else { error }
    }

    /// Says when to try again.
    pub(crate) fn retry_after(mut self, secs: u32) -> Self {
        self.header = Some((header::RETRY_AFTER, HeaderValue::from(secs)));
        self
    }

    /// 400: a field is wrong in itself.
    pub(crate) fn field(field: &str, cause: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{field}: {cause}"))
    }

    /// 404.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} {id:?}"))
    }

    /// 409: not in this state.
    pub(crate) fn conflict(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, sentence)
    }

    /// 501: may come later.
    pub(crate) fn not_yet(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, sentence)
    }
}

impl From<OrtcError> for ApiError {
    fn from(error: OrtcError) -> Self {
        let status = match error {
            OrtcError::Invalid { .. } => StatusCode::BAD_REQUEST,
            OrtcError::Unsupported(_) => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let status = match &error {
            RequestError::Refused(refused) => match refused {
                CommandError::NotFound { .. } => StatusCode::NOT_FOUND,
                CommandError::Exists { .. } | CommandError::AlreadyConnected | CommandError::SsrcTaken(_) => {
                    StatusCode::CONFLICT
                }
                CommandError::Invalid { .. } => StatusCode::BAD_REQUEST,
                CommandError::HooksOff => StatusCode::FORBIDDEN,
                CommandError::PortRangeExhausted { .. } | CommandError::Limit { .. } => StatusCode::SERVICE_UNAVAILABLE,
                CommandError::CannotListen { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            },
            RequestError::Gone => StatusCode::SERVICE_UNAVAILABLE,
            RequestError::WrongReply => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let mut response =
            (self.status, [(header::CONTENT_TYPE, text)], format!("{}\n", self.sentence)).into_response();
        response.headers_mut().extend(self.header);
        response
    }
}
