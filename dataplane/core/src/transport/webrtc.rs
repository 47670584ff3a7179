//! ICE and DTLS of one WebRTC transport.

use std::time::Duration;

use corecast_wire::{DtlsState, IceParameters, SrtpCryptoSuite, WebRtcStats};

use crate::dtls::Dtls;
use crate::ice::Ice;
use crate::io::{Deadline, Network, Path};

/// What a WebRTC transport has beyond a plain one.
#[derive(Debug)]
pub(crate) struct WebRtc {
    ice: Ice,
    dtls: Option<Dtls>,
    dtls_state: DtlsState,
    /// Where our part of the handshake goes while nothing is nominated: where the last DTLS datagram came from.
    dtls_path: Option<Path>,
    dtls_deadline: Deadline,
    consent_deadline: Deadline,
    /// Time without a sign of life after which there is no consent; `None` for ever.
    consent_timeout: Option<Duration>,
    /// Counted as a handshake with this network.
    handshake_with: Option<Network>,
    /// Packets that its consumers had sent when that was last looked at.
    media_sent: u64,
}

impl WebRtc {
    pub(crate) fn new(ice: &IceParameters, consent_timeout: Option<Duration>) -> Self {
        Self {
            ice: Ice::new(ice),
            dtls: None,
            dtls_state: DtlsState::New,
            dtls_path: None,
            dtls_deadline: Deadline::default(),
            consent_deadline: Deadline::default(),
            consent_timeout,
            handshake_with: None,
            media_sent: 0,
        }
    }

    pub(crate) const fn ice(&self) -> &Ice {
        &self.ice
    }

    pub(crate) const fn ice_mut(&mut self) -> &mut Ice {
        &mut self.ice
    }

    /// The association, once the other side's fingerprints are known.
    pub(crate) const fn dtls(&self) -> Option<&Dtls> {
        self.dtls.as_ref()
    }

    /// The association and the agent that lets out what it says.
    pub(crate) const fn dtls_and_ice(&mut self) -> (Option<&mut Dtls>, &mut Ice) {
        (self.dtls.as_mut(), &mut self.ice)
    }

    /// The other side's fingerprints are known.
    pub(crate) fn set_dtls(&mut self, dtls: Dtls) {
        self.dtls = Some(dtls);
    }

    pub(crate) const fn set_dtls_state(&mut self, state: DtlsState) {
        self.dtls_state = state;
    }

    /// A DTLS datagram that is expected has come this way.
    pub(crate) const fn set_dtls_path(&mut self, path: Path) {
        self.dtls_path = Some(path);
    }

    /// Whether the last DTLS datagram came this way.
    pub(crate) fn is_dtls_path(&self, path: Path) -> bool {
        self.dtls_path == Some(path)
    }

    /// When the association has something to send again.
    pub(crate) const fn dtls_deadline(&mut self) -> &mut Deadline {
        &mut self.dtls_deadline
    }

    /// Its consumers have sent so many packets. Whether they are others than at the last call.
    pub(crate) const fn has_sent_more(&mut self, packets: u64) -> bool {
        let last = std::mem::replace(&mut self.media_sent, packets);
        last != packets
    }

    /// When consent is looked at next.
    pub(crate) const fn consent_deadline(&mut self) -> &mut Deadline {
        &mut self.consent_deadline
    }

    /// Time without a sign of life after which there is no consent (RFC 7675); `None` for ever.
    pub(crate) const fn consent_timeout(&self) -> Option<Duration> {
        self.consent_timeout
    }

    /// A handshake with this network begins.
    pub(crate) const fn begin_handshake(&mut self, network: Network) {
        self.handshake_with = Some(network);
        self.dtls_state = DtlsState::Connecting;
    }

    /// Others take the place of its handshake, which may begin again until its time is over.
    pub(crate) fn put_off_handshake(&mut self) {
        self.handshake_with = None;
        if let Some(dtls) = &mut self.dtls {
            dtls.put_off();
        }
    }

    /// The network of the handshake that has just ended, once.
    pub(crate) fn ended_handshake(&mut self) -> Option<Network> {
        let is_over = self.dtls.as_ref().is_none_or(|dtls| !dtls.is_handshaking());
        self.handshake_with.take_if(|_| is_over)
    }

    /// The network with which a handshake is under way.
    pub(crate) const fn handshake_with(&self) -> Option<Network> {
        self.handshake_with
    }

    /// Where DTLS goes: to the nominated path, else to where it came from, else to any that is valid.
    pub(crate) fn path_of_dtls(&self) -> Option<Path> {
        let nominated = self.ice.selected().map(|(path, _)| path);
        let latest = self.dtls_path.filter(|path| self.ice.is_valid(*path));
        nominated.or(latest).or_else(|| self.ice.paths().next())
    }

    /// Its states, for control; `suite` is that of the transport's keys.
    pub(crate) fn stats(&self, suite: Option<SrtpCryptoSuite>) -> WebRtcStats {
        WebRtcStats {
            ice_state: self.ice.state(),
            protocol: self.ice.selected().map(|(_, protocol)| protocol),
            dtls_state: self.dtls_state,
            suite,
        }
    }
}
