//! Fragments (`application/trickle-ice-sdpfrag`, RFC 8840 section 4.4) of PATCH.

use super::{Bundle, Local, RemoteIce, SdpError};

/// A parsed fragment. Candidates are counted and not kept: an ICE-lite side waits for checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Credentials, if it has any.
    pub(crate) ice: Option<RemoteIce>,
    pub(crate) mids: Vec<String>,
    pub(crate) candidates: usize,
    pub(crate) end_of_candidates: bool,
}

/// Parses a fragment.
///
/// # Errors
/// 400 for what is malformed.
pub(crate) fn parse_fragment(text: &str) -> Result<Fragment, SdpError> {
    let _ = text;
    todo!()
}

/// Our side after an ICE restart: new credentials, the candidates, the end of them.
pub(crate) fn fragment(local: &Local, bundle: &Bundle) -> String {
    let _ = (local, bundle);
    todo!()
}
