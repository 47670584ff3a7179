//! The server's WebRTC configuration.

use std::sync::LazyLock;

use corecast_wire::{DtlsVersions, WebRtcConfig};

use super::keys;
use super::plan::SERVER;
use crate::webrtc::configure;

/// One certificate for all runs of a process.
pub(super) static IDENTITY: LazyLock<(WebRtcConfig, Vec<u8>)> =
    LazyLock::new(|| configure(SERVER.to_vec(), DtlsVersions::Both));

/// A worker's WebRTC, whose keys are heard.
#[must_use]
pub fn config(dtls_versions: DtlsVersions) -> WebRtcConfig {
    keys::listen();
    WebRtcConfig { dtls_versions, ..IDENTITY.0.clone() }
}
