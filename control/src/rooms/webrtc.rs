//! What every WebRTC transport of this server has in common: certificate, addresses, settings.

use std::net::SocketAddr;

use corecast_wire::{DtlsParameters, Fingerprint, IceParameters, IceProtocol, OutgoingBitrates, SctpOptions};

use super::draw::draw_ice;
use super::error::{Code, Error};
use crate::addresses::{Addresses, WebRtcAddress};
use crate::certificate::Certificate;
use crate::config::{self, Config};
use crate::sdp::Candidate;

/// Where clients find the server, and how they know it.
#[derive(Debug)]
pub(crate) struct WebRtc {
    fingerprint: Fingerprint,
    addresses: Vec<WebRtcAddress>,
    settings: config::Rtc,
}

/// The server's side of a WebRTC transport.
#[derive(Clone, Debug)]
pub(crate) struct LocalParameters {
    pub(crate) ice: IceParameters,
    /// Fingerprint of the server's certificate.
    pub(crate) fingerprint: Fingerprint,
    /// Candidates in the order of preference.
    pub(crate) candidates: Vec<Candidate>,
}

/// What a client says of its side of a WebRTC transport.
#[derive(Clone, Debug)]
pub(crate) struct RemoteParameters {
    pub(crate) dtls: DtlsParameters,
    /// Data channels, if it wants any.
    pub(crate) sctp: Option<SctpOptions>,
}

impl WebRtc {
    pub(crate) fn new(config: &Config, addresses: &Addresses, certificate: &Certificate) -> Self {
        Self { fingerprint: certificate.fingerprint(), addresses: addresses.told(), settings: config.rtc.clone() }
    }

    /// What a sender may send; 0 for no limit.
    pub(super) fn max_incoming_bitrate_bps(&self) -> u64 {
        self.settings.max_incoming_bitrate
    }

    /// What a viewer's path is taken to carry at first, and at most.
    pub(super) fn outgoing(&self) -> OutgoingBitrates {
        let config::Rtc { initial_outgoing_bitrate: initial_bps, max_outgoing_bitrate: max_bps, .. } = self.settings;
        OutgoingBitrates { initial_bps, min_bps: 0, max_bps }
    }

    /// The server's side of a new transport on this worker.
    pub(super) fn local(&self, worker: u32) -> Result<LocalParameters, Error> {
        let off = || Error::new(Code::NotSupported, "WebRTC is turned off (rtc.webrtc_port = 0)");
        let port = self.settings.webrtc_port(worker).ok_or_else(off)?;
        let protocols = [Some(IceProtocol::Udp), self.settings.tcp.then_some(IceProtocol::Tcp)];
        let announced = |address: &WebRtcAddress, protocol| {
            let told = address.announced_port.and_then(|base| base.checked_add(u16::try_from(worker).ok()?));
            Candidate { address: SocketAddr::new(address.announced, told.unwrap_or(port)), protocol }
        };
        let candidates = protocols.into_iter().flatten();
        let candidates =
            candidates.flat_map(|protocol| self.addresses.iter().map(move |address| announced(address, protocol)));
        Ok(LocalParameters { ice: draw_ice(), fingerprint: self.fingerprint.clone(), candidates: candidates.collect() })
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
        let ours = webrtc(&["10.0.0.1=192.0.2.7", "::1=[2001:db8::1]:50000"], "webrtc_port = 3000");
        let udp = ["Udp 192.0.2.7:3002", "Udp [2001:db8::1]:50002"];
        assert_eq!(told(&ours, 2)[..2], udp);
        assert_eq!(told(&ours, 2)[2..], udp.map(|address| address.replace("Udp", "Tcp")));
        assert_eq!(told(&webrtc(&["127.0.0.1"], "tcp = false"), 0), ["Udp 127.0.0.1:3480"]);
        assert!(webrtc(&["127.0.0.1"], "webrtc_port = 0").local(0).is_err());
    }
}
