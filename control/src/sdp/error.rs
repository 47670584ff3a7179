//! Why a description was refused: whose fault it is, and one sentence.

/// What is wrong with a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The text is wrong in itself.
    Malformed,
    /// It asks for what is not done here.
    Unacceptable,
}

/// A session description that cannot be used. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct SdpError {
    /// RFC 9725 section 4.2 has a status for each.
    pub(crate) fault: Fault,
    /// Which line, what is wrong with it, and what to change.
    pub(crate) sentence: String,
}

impl SdpError {
    /// Wrong in itself.
    pub(crate) fn malformed(sentence: impl Into<String>) -> Self {
        Self { fault: Fault::Malformed, sentence: sentence.into() }
    }

    /// Well-formed, but not something that this server does.
    pub(crate) fn unacceptable(sentence: impl Into<String>) -> Self {
        Self { fault: Fault::Unacceptable, sentence: sentence.into() }
    }
}
