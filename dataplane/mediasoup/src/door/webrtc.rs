//! Requests about WebRTC transports: made on a WebRTC server or with sockets of their own, connected, restarted.

use aws_lc_rs::digest;
use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::router::CreateWebRtcTransportRequest;
use corecast_mediasoup_worker::fbs::transport::{Options, RestartIceResponse};
use corecast_mediasoup_worker::fbs::web_rtc_transport::{
    self as fbs, ConnectResponse, DtlsParameters, DtlsRole, DumpResponse, Fingerprint, FingerprintAlgorithm, IceRole,
    Listen, WebRtcTransportOptions,
};
use corecast_wire::{
    Command, DtlsState, IceParameters, IceState, OutgoingBitrates, RouterId, SctpBuffers, SctpOptions, StreamClosing,
    TransportId, WebRtcServerId,
};

use super::objects::{Kind, Listening, WebRtc, WebRtcServer};
use super::{Answer, Answered, Asked, Door, listen, other_body, secrets};
use crate::certificate::Certificate;
use crate::refusal::{Outcome, Refusal};

/// SCTP port of data channels (mediasoup's).
const SCTP_PORT: u16 = 5_000;
/// Letters of ICE credentials (mediasoup's).
const CREDENTIAL_LETTERS: usize = 32;

/// Where a new transport is reached.
struct Reached {
    server: WebRtcServerId,
    owns_server: bool,
    candidates: Vec<fbs::IceCandidate>,
}

impl Door {
    pub(super) fn create_webrtc_transport(
        &mut self,
        machine: &mut dyn Machine,
        router: &str,
        body: Option<Asked>,
    ) -> Answered {
        let Some(Asked::RouterCreateWebRtcTransportRequest(request)) = body else {
            return Err(other_body("ROUTER_CREATE_WEBRTCTRANSPORT"));
        };
        let CreateWebRtcTransportRequest { transport_id: name, options } = *request;
        let router = self.router_for(router, "Transport", &name)?;
        super::transport::bitrate(options.base.initial_available_outgoing_bitrate.unwrap_or(0), 0)?;
        let ice = draw_ice()?;
        let reached = self.reach(machine, &name, &options)?;
        if let Err(refusal) = self.make_webrtc(machine, router, &name, *options, &ice, &reached) {
            if reached.owns_server {
                self.objects.own_servers.remove(&reached.server);
                machine.execute(&Command::CloseWebRtcServer { server: reached.server })?;
            }
            return Err(refusal);
        }
        let id = self.objects.transport_number(&name)?;
        self.dump_webrtc(id).map(Some)
    }

    /// Finds the server, or opens sockets for this transport alone.
    fn reach(&mut self, machine: &mut dyn Machine, name: &str, options: &WebRtcTransportOptions) -> Outcome<Reached> {
        match &options.listen {
            Listen::ListenServer(listen) => {
                let server = self.objects.server_number(&listen.web_rtc_server_id);
                let missing = |_| Refusal::Error("wrong webRtcServerId (no associated WebRtcServer found)".into());
                let server = server.map_err(missing)?;
                let wishes = listen::Wishes {
                    udp: options.enable_udp,
                    tcp: options.enable_tcp,
                    prefer_udp: options.prefer_udp,
                    prefer_tcp: options.prefer_tcp,
                };
                let candidates = listen::candidates(&self.objects.server(server)?.listening, wishes);
                if candidates.is_empty() {
                    return Err(Refusal::wrong("empty iceCandidates"));
                }
                Ok(Reached { server, owns_server: false, candidates })
            }
            Listen::ListenIndividual(listen) => {
                let (server, listening) = self.open_server(machine, &listen.listen_infos)?;
                let candidates = listen::candidates(&listening, listen::Wishes::ALL);
                let record =
                    WebRtcServer { name: name.to_owned(), listening, transports: std::collections::BTreeSet::new() };
                self.objects.own_servers.insert(server, record);
                Ok(Reached { server, owns_server: true, candidates })
            }
        }
    }

    fn make_webrtc(
        &mut self,
        machine: &mut dyn Machine,
        router: RouterId,
        name: &str,
        options: WebRtcTransportOptions,
        ice: &IceParameters,
        reached: &Reached,
    ) -> Outcome<()> {
        let id = TransportId(self.objects.number());
        let base = *options.base;
        let outgoing = OutgoingBitrates {
            initial_bps: base.initial_available_outgoing_bitrate.unwrap_or(0),
            ..OutgoingBitrates::default()
        };
        let command = Command::CreateWebRtcTransport {
            router,
            transport: id,
            options: corecast_wire::WebRtcTransportOptions {
                ice: ice.clone(),
                rtcp_ssrc: secrets::ssrc()?,
                max_incoming_bitrate_bps: 0,
                outgoing,
                consent_timeout_ms: Some(u32::from(options.ice_consent_timeout) * 1_000),
                sctp: sctp(&base),
            },
        };
        machine.execute(&command)?;
        let webrtc = WebRtc {
            server: reached.server,
            owns_server: reached.owns_server,
            ice: ice.clone(),
            last_fragment: None,
            candidates: reached.candidates.clone(),
            ice_state: IceState::New,
            tuple: None,
            role: DtlsRole::Auto,
            dtls_state: DtlsState::New,
        };
        self.add_transport(router, id, name, base, Kind::WebRtc(Box::new(webrtc)));
        if let Some(server) = self.objects.servers.get_mut(&reached.server) {
            server.transports.insert(id);
        }
        Ok(())
    }

    /// The sockets on which a WebRTC transport is reached.
    pub(super) fn sockets_of(&self, server: WebRtcServerId) -> &[Listening] {
        let found = self.objects.servers.get(&server).or_else(|| self.objects.own_servers.get(&server));
        found.map_or(&[], |server| &server.listening)
    }

    pub(super) fn dump_webrtc(&mut self, id: TransportId) -> Outcome<Answer> {
        let base = self.dump_base(id)?;
        let webrtc = self.objects.transport(id)?.webrtc()?.clone();
        let tuple = webrtc.tuple.as_ref().map(|tuple| listen::ice_tuple(self.sockets_of(webrtc.server), tuple));
        Ok(Answer::WebRtcTransportDumpResponse(Box::new(DumpResponse {
            base: Box::new(base),
            ice_role: IceRole::Controlled,
            ice_parameters: Box::new(fbs::IceParameters {
                username_fragment: webrtc.ice.username_fragment,
                password: webrtc.ice.password,
                ice_lite: true,
            }),
            ice_candidates: webrtc.candidates,
            ice_state: ice_state(webrtc.ice_state),
            ice_selected_tuple: tuple.map(Box::new),
            dtls_parameters: Box::new(DtlsParameters { fingerprints: self.fingerprints.clone(), role: webrtc.role }),
            dtls_state: dtls_state(webrtc.dtls_state),
        })))
    }

    pub(super) fn connect_webrtc(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::WebRtcTransportConnectRequest(request)) = body else {
            return Err(other_body("WEBRTCTRANSPORT_CONNECT"));
        };
        let id = self.objects.transport_number(name)?;
        let transport = self.objects.transport(id)?;
        if transport.is_connected {
            return Err(Refusal::Error("connect() already called".into()));
        }
        transport.webrtc()?;
        let dtls = remote_dtls(&request.dtls_parameters)?;
        let role = match dtls.role {
            corecast_wire::DtlsRole::Client => DtlsRole::Server,
            corecast_wire::DtlsRole::Server => DtlsRole::Client,
        };
        machine.execute(&Command::ConnectWebRtcTransport { transport: id, dtls })?;
        let transport = self.objects.transport(id)?;
        transport.is_connected = true;
        transport.webrtc()?.role = role;
        Ok(Some(Answer::WebRtcTransportConnectResponse(Box::new(ConnectResponse { dtls_local_role: role }))))
    }

    pub(super) fn restart_ice(&mut self, machine: &mut dyn Machine, name: &str) -> Answered {
        let id = self.objects.transport_number(name)?;
        self.objects.transport(id)?.webrtc()?;
        let ice = draw_ice()?;
        machine.execute(&Command::RestartIce { transport: id, ice: ice.clone() })?;
        let webrtc = self.objects.transport(id)?.webrtc()?;
        let last = std::mem::replace(&mut webrtc.ice, ice.clone());
        webrtc.last_fragment.get_or_insert(last.username_fragment);
        Ok(Some(Answer::TransportRestartIceResponse(Box::new(RestartIceResponse {
            username_fragment: ice.username_fragment,
            password: ice.password,
            ice_lite: true,
        }))))
    }
}

fn draw_ice() -> Outcome<IceParameters> {
    Ok(IceParameters {
        username_fragment: secrets::text(CREDENTIAL_LETTERS)?,
        password: secrets::text(CREDENTIAL_LETTERS)?,
    })
}

/// What an association of a transport with these options is made with, if it has one.
pub(super) fn sctp(base: &Options) -> Option<SctpOptions> {
    base.enable_sctp.then(|| SctpOptions {
        buffers: SctpBuffers {
            send_bytes: base.sctp_send_buffer_size,
            stream_send_bytes: base.sctp_per_stream_send_queue_limit,
            recv_window_bytes: base.sctp_max_receiver_window_buffer_size,
        },
        closing: StreamClosing::ByControl,
        ..SctpOptions::new(SCTP_PORT, base.max_send_message_size)
    })
}

/// What the remote side said of itself. Who says `auto` is answered as a client, since we are the controlled side.
fn remote_dtls(parameters: &DtlsParameters) -> Outcome<corecast_wire::DtlsParameters> {
    let role = match parameters.role {
        DtlsRole::Client => corecast_wire::DtlsRole::Client,
        DtlsRole::Server | DtlsRole::Auto => corecast_wire::DtlsRole::Server,
    };
    if parameters.fingerprints.is_empty() {
        return Err(Refusal::wrong("empty dtlsParameters.fingerprints array"));
    }
    let mut fingerprints = Vec::new();
    for fingerprint in &parameters.fingerprints {
        let algorithm = match fingerprint.algorithm {
            FingerprintAlgorithm::Sha256 => corecast_wire::FingerprintAlgorithm::Sha256,
            FingerprintAlgorithm::Sha384 => corecast_wire::FingerprintAlgorithm::Sha384,
            FingerprintAlgorithm::Sha512 => corecast_wire::FingerprintAlgorithm::Sha512,
            FingerprintAlgorithm::Sha1 | FingerprintAlgorithm::Sha224 => continue,
        };
        let value = bytes_of(&fingerprint.value).ok_or_else(|| Refusal::wrong("a fingerprint is no hash"))?;
        fingerprints.push(corecast_wire::Fingerprint { algorithm, value });
    }
    if fingerprints.is_empty() {
        return Err(Refusal::wrong("dtlsParameters.fingerprints: one with sha-256, sha-384 or sha-512 is needed"));
    }
    Ok(corecast_wire::DtlsParameters { role, fingerprints })
}

/// What pairs of hexadecimal digits say that have colons between them (RFC 8122 section 5).
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len().div_ceil(3));
    let mut rest = text.as_bytes();
    loop {
        let ([high, low], after) = rest.split_first_chunk()?;
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = match after {
            [] => return Some(bytes),
            [b':', after @ ..] => after,
            _ => return None,
        };
    }
}

/// What the library tells clients of our certificate: by each function that it knows.
pub(super) fn fingerprints(certificate: &Certificate) -> Vec<Fingerprint> {
    let hashes: [(FingerprintAlgorithm, &'static digest::Algorithm); 5] = [
        (FingerprintAlgorithm::Sha1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
        (FingerprintAlgorithm::Sha224, &digest::SHA224),
        (FingerprintAlgorithm::Sha256, &digest::SHA256),
        (FingerprintAlgorithm::Sha384, &digest::SHA384),
        (FingerprintAlgorithm::Sha512, &digest::SHA512),
    ];
    hashes.map(|(algorithm, hash)| Fingerprint { algorithm, value: certificate.fingerprint(hash) }).into()
}

/// The library's word for a state.
pub(super) const fn ice_state(state: IceState) -> fbs::IceState {
    match state {
        IceState::New => fbs::IceState::New,
        IceState::Connected => fbs::IceState::Connected,
        IceState::Completed => fbs::IceState::Completed,
        IceState::Disconnected => fbs::IceState::Disconnected,
    }
}

/// The library's word for a state.
pub(super) const fn dtls_state(state: DtlsState) -> fbs::DtlsState {
    match state {
        DtlsState::New => fbs::DtlsState::New,
        DtlsState::Connecting => fbs::DtlsState::Connecting,
        DtlsState::Connected => fbs::DtlsState::Connected,
        DtlsState::Failed => fbs::DtlsState::Failed,
        DtlsState::Closed => fbs::DtlsState::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_pairs_of_digits_and_nothing_else() {
        assert_eq!(bytes_of("00"), Some(vec![0]));
        assert_eq!(bytes_of("0a:Bf:99"), Some(vec![0x0a, 0xbf, 0x99]));
        for wrong in ["", "0", "0a:", ":0a", "0a0b", "0a-0b", "0a::0b", "0g", "+1", "0a:1", "0a:+1", "0a:\u{e9}"] {
            assert_eq!(bytes_of(wrong), None, "{wrong}");
        }
    }
}
