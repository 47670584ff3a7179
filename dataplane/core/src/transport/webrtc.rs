//! ICE and DTLS of one WebRTC transport.

use std::net::IpAddr;

use corecast_wire::{DtlsState, IceParameters};

use crate::dtls::Dtls;
use crate::ice::Ice;
use crate::io::Path;
use crate::time::Instant;

/// What a WebRTC transport has beyond a plain one.
#[derive(Debug)]
pub(crate) struct WebRtc {
    pub(crate) ice: Ice,
    pub(crate) dtls: Option<Dtls>,
    pub(crate) dtls_state: DtlsState,
    /// Where our part of the handshake goes while nothing is nominated: where the last DTLS datagram came from.
    pub(crate) dtls_path: Option<Path>,
    pub(crate) dtls_due: Option<Instant>,
    pub(crate) consent_due: Option<Instant>,
    /// Counted as a handshake with this address.
    pub(crate) handshake_with: Option<IpAddr>,
}

impl WebRtc {
    pub(crate) fn new(ice: &IceParameters) -> Self {
        Self {
            ice: Ice::new(ice),
            dtls: None,
            dtls_state: DtlsState::New,
            dtls_path: None,
            dtls_due: None,
            consent_due: None,
            handshake_with: None,
        }
    }

    /// Where DTLS goes: to the nominated path, else to where it came from, else to any that is valid.
    pub(crate) fn path_of_dtls(&self) -> Option<Path> {
        let nominated = self.ice.selected().map(|(path, _)| path);
        let latest = self.dtls_path.filter(|path| self.ice.is_valid(*path));
        nominated.or(latest).or_else(|| self.ice.paths().next())
    }
}
