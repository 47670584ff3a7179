//! Why a room did not do something: a code for programs and one sentence for people. What a client of some signaling is
//! answered (a status, a number) is for that signaling to say.

use corecast_wire::CommandError;

use crate::ortc::OrtcError;
use crate::workers::RequestError;

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A field is wrong in itself.
    Invalid,
    /// There is no such room, peer, transport, producer or consumer.
    NotFound,
    /// Not in this state.
    WrongState,
    /// A peer of that name is there.
    NameTaken,
    /// An operator has removed the peer from the room.
    Removed,
    /// The peer publishes nothing yet.
    NoStream,
    /// Well-formed, but not something that this server does.
    Unacceptable,
    /// May come in a later version.
    NotSupported,
    /// This client has too many of these.
    TooMany,
    /// Not now: a maximum is reached, the room has just closed, or its worker has gone.
    Unavailable,
    /// The server's own fault.
    Internal,
}

/// Something was not done, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Error {
    code: Code,
    reason: String,
}

impl Error {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// A field is wrong in itself.
    pub(crate) fn field(field: &str, cause: impl std::fmt::Display) -> Self {
        Self::new(Code::Invalid, format!("{field}: {cause}"))
    }

    pub(super) fn not_found(kind: &str, name: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {kind} {name:?}"))
    }

    /// There is no stream to watch yet (draft-ietf-wish-whep section 4.2).
    pub(crate) fn no_stream(room: &str, peer: Option<&str>) -> Self {
        let reason = match peer {
            Some(peer) => format!("{peer:?} does not publish in room {room:?} yet"),
            None => format!("nobody publishes in room {room:?} yet"),
        };
        Self::new(Code::NoStream, reason)
    }

    pub(super) fn wrong_state(reason: impl Into<String>) -> Self {
        Self::new(Code::WrongState, reason)
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, reason)
    }

    /// For programs.
    pub(crate) fn code(&self) -> Code {
        self.code
    }
}

impl From<OrtcError> for Error {
    fn from(error: OrtcError) -> Self {
        let code = match error {
            OrtcError::Invalid { .. } => Code::Invalid,
            OrtcError::Unsupported(_) => Code::WrongState,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::Refused(refused) => match refused {
                CommandError::NotFound { .. } => Code::NotFound,
                CommandError::Exists { .. }
                | CommandError::AlreadyConnected
                | CommandError::SsrcTaken(_)
                | CommandError::HooksOff => Code::WrongState,
                CommandError::Invalid { .. } => Code::Invalid,
                CommandError::PortRangeExhausted { .. } | CommandError::Limit { .. } => Code::Unavailable,
                CommandError::CannotListen { .. } => Code::Internal,
            },
            RequestError::Gone => Code::Unavailable,
            RequestError::WrongReply => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}
