//! Why a description was refused: a status and one sentence.

use axum::http::StatusCode;

use crate::rooms::ApiError;

/// A session description that cannot be used. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct SdpError {
    /// 400 where the text is wrong in itself, 422 where it asks for what is not done here (RFC 9725 section 4.2).
    pub(crate) status: StatusCode,
    /// Which line, what is wrong with it, and what to change.
    pub(crate) sentence: String,
}

impl SdpError {
    /// 400: wrong in itself.
    pub(crate) fn malformed(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, sentence: sentence.into() }
    }

    /// 422: well-formed, but not something that this server does.
    pub(crate) fn unacceptable(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, sentence: sentence.into() }
    }
}

impl From<SdpError> for ApiError {
    fn from(error: SdpError) -> Self {
        Self::new(error.status, error.sentence)
    }
}
