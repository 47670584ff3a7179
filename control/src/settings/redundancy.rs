//! When publishers are asked for redundant sound.

use std::fmt::{self, Display};
use std::str::FromStr;

/// Whether an answer asks a publisher for redundant audio data (RFC 2198), which it has offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Redundancy {
    /// Never.
    Off,
    /// If the offer names it before the codec that it carries: then its client wants it.
    #[default]
    Asked,
    /// Whenever it is offered.
    Always,
}

impl FromStr for Redundancy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "asked" => Ok(Self::Asked),
            "always" => Ok(Self::Always),
            _ => Err(format!("rooms.red {text:?} must be \"off\", \"asked\" or \"always\"")),
        }
    }
}

impl Display for Redundancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Asked => "asked",
            Self::Always => "always",
        })
    }
}
