//! By what a client shows that it is the one that joined as a peer.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// Random bytes of a secret: 192 bits.
const SECRET_BYTES: usize = 24;

/// By which a client shows that it is the one that joined as a peer. Who guesses it learns nothing from the time that
/// the comparison takes.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(hidden)")
    }
}

impl Secret {
    /// A new one.
    pub(super) fn draw() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        rand::rng().fill(&mut bytes[..]);
        Self(bytes)
    }

    /// As clients are told it.
    pub(super) fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Whether this is it.
    pub(super) fn is(self, text: &str) -> bool {
        verify_slices_are_equal(self.text().as_bytes(), text.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_text_alone() {
        let (secret, other) = (Secret::draw(), Secret::draw());
        assert!(secret.is(&secret.text()) && !secret.is(&other.text()));
        assert!(!secret.is("") && !secret.is(&secret.text()[1..]) && !secret.is(&format!("{}A", secret.text())));
        assert_eq!((secret.text().len(), format!("{secret:?}").as_str()), (32, "(hidden)"));
        let kept = serde_json::to_string(&secret).expect("can be kept");
        let again: Secret = serde_json::from_str(&kept).expect("can be read");
        assert!(again.is(&secret.text()));
    }
}
