//! What each part of the server gives up.

use std::fmt::{self, Display};
use std::str::FromStr;

use corecast_wire::Sandbox;

/// Whether each part of the server gives up what it does not need, once it has what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SandboxSetting(pub(crate) Sandbox);

impl Default for SandboxSetting {
    fn default() -> Self {
        Self(Sandbox::On)
    }
}

impl FromStr for SandboxSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self(Sandbox::On)),
            "log" => Ok(Self(Sandbox::Log)),
            "off" => Ok(Self(Sandbox::Off)),
            _ => Err(format!("sandbox {text:?} must be \"on\", \"log\" or \"off\"")),
        }
    }
}

impl Display for SandboxSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Sandbox::On => "on",
            Sandbox::Log => "log",
            Sandbox::Off => "off",
        })
    }
}
