//! What operators let nobody hear or see of a peer.

use serde::{Deserialize, Serialize};

use crate::ortc::Kind;

/// What of a peer is heard and seen by nobody, whatever its client says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Muted {
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

impl Muted {
    /// Whether media of this kind is.
    pub(super) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        }
    }

    pub(super) fn set(&mut self, kind: Kind, muted: bool) {
        match kind {
            Kind::Audio => self.audio = muted,
            Kind::Video => self.video = muted,
        }
    }
}
