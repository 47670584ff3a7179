//! Why a request is not accepted: mediasoup's three kinds of errors.

use corecast_wire::CommandError;

/// A refused request. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The library makes an `Error` of it.
    #[error("{0}")]
    Error(String),
    /// The library makes a `TypeError` of it: a value makes no sense.
    #[error("{0}")]
    Type(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
}

/// What a request comes to.
pub(crate) type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    /// What mediasoup's worker calls this kind.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Error(_) => "Error",
            Self::Type(_) => "TypeError",
            Self::NotFound(_) => "NotFoundError",
        }
    }

    pub(crate) fn wrong(cause: impl Into<String>) -> Self {
        Self::Type(cause.into())
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        match &error {
            CommandError::NotFound { .. } => Self::NotFound(error.to_string()),
            CommandError::Invalid { .. } => Self::Type(error.to_string()),
            _ => Self::Error(error.to_string()),
        }
    }
}

impl From<planus::Error> for Refusal {
    fn from(error: planus::Error) -> Self {
        Self::Type(format!("the message cannot be read: {error}"))
    }
}
