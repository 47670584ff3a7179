//! Why something asked over HTTP was not done: a status, one sentence, and perhaps a header.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rand::RngExt as _;

use crate::rooms::{self, Code};
use crate::sdp::{self, SdpError};
use crate::workers::RequestError;

/// Seconds after which a client that was refused for lack of room may try again.
const RETRY_AFTER_SECS: u32 = 5;
/// Clients that were refused together come again within so many seconds, at the least.
const RETRY_SPREAD_SECS: u32 = 2;
/// Seconds after which a viewer may ask again for a stream that is not there.
const NO_STREAM_RETRY_SECS: u32 = 2;

/// Seconds after which a name may be free again whose peer has vanished.
const NAME_TAKEN_RETRY_SECS: u32 = 3;

/// What is answered where there is no route.
pub(crate) const NO_PATH: &str = "there is nothing at this path";

/// Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct HttpError {
    status: StatusCode,
    /// One word for what stands in the way, for counters.
    cause: &'static str,
    sentence: String,
    /// A header that says more, such as `Retry-After`.
    header: Option<(HeaderName, HeaderValue)>,
}

/// Goes with the answer to a refused request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// One word, see docs/troubleshoot.md.
    pub(super) cause: &'static str,
    /// What the client is told.
    pub(super) sentence: String,
}

impl HttpError {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        let lack = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let error = Self { status, cause: usual_cause(status), sentence: sentence.into(), header: None };
        if lack { error.retry_about(RETRY_AFTER_SECS) } else { error }
    }

    /// Names the cause more exactly than the status does.
    pub(crate) fn because(self, cause: &'static str) -> Self {
        Self { cause, ..self }
    }

    /// Says when to try again.
    pub(crate) fn retry_after(self, secs: u32) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(secs))
    }

    /// Says when to try again, at the earliest after so many seconds, to each client something else: those who were
    /// refused together must not come again together.
    pub(crate) fn retry_about(self, secs: u32) -> Self {
        self.retry_after(secs + rand::rng().random_range(0..=secs.max(RETRY_SPREAD_SECS)))
    }

    /// Says more in a header. There is one at most.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
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

    /// 404: no route.
    pub(crate) fn no_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, NO_PATH)
    }

    /// 500: the task that worked on the request has gone.
    pub(crate) fn lost() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was lost")
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

/// What a refusal counts as that has no cause of its own.
fn usual_cause(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "no_token",
        403 => "other_token",
        409 => "wrong_state",
        422 => "unacceptable",
        429 => "too_many_of_address",
        _ => "unavailable",
    }
}

impl From<rooms::Error> for HttpError {
    fn from(error: rooms::Error) -> Self {
        let status = match error.code() {
            Code::Invalid => StatusCode::BAD_REQUEST,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::WrongState | Code::NameTaken | Code::NoStream => StatusCode::CONFLICT,
            Code::Removed => StatusCode::FORBIDDEN,
            Code::Unacceptable => StatusCode::UNPROCESSABLE_ENTITY,
            Code::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Code::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let answer = Self::new(status, error.to_string());
        match error.code() {
            Code::NoStream => answer.retry_after(NO_STREAM_RETRY_SECS).because("no_stream"),
            Code::NameTaken => answer.retry_after(NAME_TAKEN_RETRY_SECS).because("name_taken"),
            Code::Removed => answer.because("removed"),
            _ => answer,
        }
    }
}

impl From<RequestError> for HttpError {
    fn from(error: RequestError) -> Self {
        rooms::Error::from(error).into()
    }
}

impl From<SdpError> for HttpError {
    /// RFC 9725 section 4.2: 400 if the text is wrong in itself, 422 if it asks for what is not done here.
    fn from(error: SdpError) -> Self {
        let status = match error.fault {
            sdp::Fault::Malformed => StatusCode::BAD_REQUEST,
            sdp::Fault::Unacceptable => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.sentence)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let mut response =
            (self.status, [(header::CONTENT_TYPE, text)], format!("{}\n", self.sentence)).into_response();
        response.headers_mut().extend(self.header);
        response.extensions_mut().insert(Refusal { cause: self.cause, sentence: self.sentence });
        response
    }
}
