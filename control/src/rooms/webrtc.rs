//! What every WebRTC transport of this server has in common, and how one is made.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use corecast_wire::{
    Command, DtlsParameters, Fingerprint, IceParameters, IceProtocol, TransportId, WebRtcTransportOptions,
};
use rand::RngExt as _;
use tokio::sync::watch;

use super::room::gone_is_closed;
use super::{ApiError, Room};
use crate::addresses::{Addresses, WebRtcAddress};
use crate::certificate::Certificate;
use crate::config::Config;
use crate::sdp::{Candidate, Local};
use crate::workers::pool::TransportState;

/// Bytes of randomness in a user name fragment: 16 ice-chars.
const UFRAG_BYTES: usize = 12;
/// In a password: 32 ice-chars. RFC 8839 section 5.4 wants 16 bytes at least.
const PASSWORD_BYTES: usize = 24;

/// Where clients find us, and how they know us.
#[derive(Debug)]
pub(crate) struct WebRtc {
    fingerprint: Fingerprint,
    addresses: Vec<WebRtcAddress>,
    settings: crate::config::Rtc,
}

/// ICE credentials of our own, new ones.
pub(crate) fn draw_ice() -> IceParameters {
    fn draw<const N: usize>() -> String {
        let mut bytes = [0_u8; N];
        rand::rng().fill(&mut bytes[..]);
        STANDARD_NO_PAD.encode(bytes)
    }
    IceParameters { username_fragment: draw::<UFRAG_BYTES>(), password: draw::<PASSWORD_BYTES>() }
}

impl WebRtc {
    pub(crate) fn new(config: &Config, addresses: &Addresses, certificate: &Certificate) -> Self {
        Self {
            fingerprint: certificate.fingerprint(),
            addresses: addresses.webrtc().to_vec(),
            settings: config.rtc.clone(),
        }
    }

    /// Our side of a new transport on this worker.
    fn local(&self, worker: u32) -> Result<Local, ApiError> {
        let off = || ApiError::not_yet("WebRTC is turned off (rtc.webrtc_port = 0)");
        let port = self.settings.webrtc_port(worker).ok_or_else(off)?;
        let protocols = [Some(IceProtocol::Udp), self.settings.tcp.then_some(IceProtocol::Tcp)];
        let announced = |address: &WebRtcAddress, protocol| {
            let told = address.announced_port.and_then(|base| base.checked_add(u16::try_from(worker).ok()?));
            Candidate { address: SocketAddr::new(address.announced, told.unwrap_or(port)), protocol }
        };
        let candidates = protocols.into_iter().flatten();
        let candidates =
            candidates.flat_map(|protocol| self.addresses.iter().map(move |address| announced(address, protocol)));
        Ok(Local {
            session_id: rand::random::<u64>() >> 1,
            ice: draw_ice(),
            fingerprints: vec![self.fingerprint.clone()],
            candidates: candidates.collect(),
        })
    }
}

/// A WebRTC transport that has been made and connected.
#[derive(Debug)]
pub(super) struct MadeTransport {
    pub(super) local: Local,
    pub(super) states: watch::Receiver<TransportState>,
}

impl Room {
    /// Makes a transport, what is inside it, and connects it: all of it or nothing.
    pub(super) async fn make_webrtc(
        &self,
        transport: TransportId,
        rtcp_ssrc: u32,
        inside: Vec<Command>,
        dtls: DtlsParameters,
    ) -> Result<MadeTransport, ApiError> {
        let local = self.webrtc.local(self.worker.index)?;
        let options = WebRtcTransportOptions {
            ice: local.ice.clone(),
            rtcp_ssrc,
            max_incoming_bitrate_bps: self.webrtc.settings.max_incoming_bitrate,
        };
        let states = self.worker.watch(transport);
        let create = Command::CreateWebRtcTransport { router: self.router, transport, options };
        if let Err(error) = self.worker.link.apply(create).await {
            self.worker.unwatch(transport);
            return Err(error.into());
        }
        // Connected last: media that arrives finds its producers, and the first key frame its consumers.
        for command in inside.into_iter().chain([Command::ConnectWebRtcTransport { transport, dtls }]) {
            if let Err(error) = self.worker.link.apply(command).await {
                self.close_webrtc(transport).await?;
                return Err(error.into());
            }
        }
        Ok(MadeTransport { local, states })
    }

    /// Closes it and everything inside.
    pub(super) async fn close_webrtc(&self, transport: TransportId) -> Result<(), ApiError> {
        gone_is_closed(self.worker.link.apply(Command::CloseTransport { transport }).await)?;
        self.worker.unwatch(transport);
        Ok(())
    }

    /// Our new credentials hold from now on; the old pair stays in use until the client has nominated another.
    pub(crate) async fn restart_ice(&self, transport: TransportId, ice: IceParameters) -> Result<(), ApiError> {
        Ok(self.worker.link.apply(Command::RestartIce { transport, ice }).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webrtc(listen: &[&str], rtc: &str) -> WebRtc {
        let listen: Vec<_> = listen.iter().map(|text| text.parse().expect(text)).collect();
        let addresses = Addresses::find(&listen).expect("addresses");
        let config = Config { rtc: toml::from_str(rtc).expect(rtc), ..Config::default() };
        WebRtc::new(&config, &addresses, &Certificate::draw().expect("draws"))
    }

    fn told(webrtc: &WebRtc, worker: u32) -> Vec<String> {
        let candidates = webrtc.local(worker).expect("is on").candidates;
        candidates.iter().map(|candidate| format!("{:?} {}", candidate.protocol, candidate.address)).collect()
    }

    #[test]
    fn each_worker_has_a_port_of_its_own() {
        let ours = webrtc(&["127.0.0.1", "10.0.0.1=192.0.2.7", "::1=[2001:db8::1]:50000"], "webrtc_port = 3000");
        let udp = ["Udp 127.0.0.1:3002", "Udp 192.0.2.7:3002", "Udp [2001:db8::1]:50002"];
        assert_eq!(told(&ours, 2)[..3], udp);
        assert_eq!(told(&ours, 2)[3..], udp.map(|address| address.replace("Udp", "Tcp")));
        assert_eq!(told(&webrtc(&["127.0.0.1"], "tcp = false"), 0), ["Udp 127.0.0.1:3480"]);
        assert!(webrtc(&["127.0.0.1"], "webrtc_port = 0").local(0).is_err());
    }

    #[test]
    fn credentials_are_long_enough_and_never_the_same() {
        let (one, other) = (draw_ice(), draw_ice());
        assert_eq!((one.username_fragment.len(), one.password.len()), (16, 32));
        let ice_char = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        assert!(one.username_fragment.chars().chain(one.password.chars()).all(ice_char));
        assert_ne!((one.username_fragment, one.password), (other.username_fragment, other.password));
    }
}
