//! Where the API for operators listens.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use super::Listen;

/// Where the API for operators listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum AdminListen {
    /// A Unix socket in the run-time folder, named after the port of HTTP.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// A Unix socket of this path.
    Path(PathBuf),
    /// A TCP address.
    Address(Listen),
}

impl FromStr for AdminListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            path if path.starts_with(['/', '.']) => Ok(Self::Path(path.into())),
            address => address.parse().map(Self::Address).map_err(|_| {
                format!("admin address {address:?} must be \"auto\", \"off\", the path of a Unix socket, or IP:PORT")
            }),
        }
    }
}

impl Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Path(path) => path.display().fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_alike() {
        for text in ["auto", "off", "/run/corecast/admin.sock", "./admin.sock", "127.0.0.1:4081", "[::1]:4081"] {
            assert_eq!(text.parse::<AdminListen>().expect(text).to_string(), text);
        }
        for wrong in ["", "admin.sock", "127.0.0.1", "on"] {
            assert!(wrong.parse::<AdminListen>().expect_err(wrong).contains("Unix socket"), "{wrong}");
        }
    }
}
