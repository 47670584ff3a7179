//! Requests about plain transports: RTP as it is, or with SRTP under keys that the application exchanges.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::plain_transport::{ConnectResponse, DumpResponse, PlainTransportOptions};
use corecast_mediasoup_worker::fbs::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};
use corecast_mediasoup_worker::fbs::transport::Protocol;
use corecast_wire::{Command, Reply, TransportId};

use super::objects::{Kind, Plain};
use super::{Answer, Answered, Asked, Door, listen, other_body, secrets, webrtc};
use crate::refusal::{Outcome, Refusal};

impl Door {
    pub(super) fn create_plain_transport(
        &mut self,
        machine: &mut dyn Machine,
        router: &str,
        body: Option<Asked>,
    ) -> Answered {
        let Some(Asked::RouterCreatePlainTransportRequest(request)) = body else {
            return Err(other_body("ROUTER_CREATE_PLAINTRANSPORT"));
        };
        let router = self.router_for(router, "Transport", &request.transport_id)?;
        let options = *request.options;
        let (asked, key) = self.plain_options(&options)?;
        let id = TransportId(self.objects.number());
        let command = Command::CreatePlainTransport { router, transport: id, options: asked };
        let Reply::PlainTransport { local, rtcp_local } = machine.execute(&command)? else {
            return Err(Refusal::Error("the worker gave another answer".into()));
        };
        let rtcp_info = options.rtcp_listen_info.as_deref().unwrap_or(&options.listen_info);
        let plain = Plain {
            rtp: listen::listening(&options.listen_info, local),
            rtcp: rtcp_local.map(|local| listen::listening(rtcp_info, local)),
            is_comedia: options.comedia,
            has_rtx: false,
            remote: None,
            rtcp_remote: None,
            srtp: key,
        };
        let base = *options.base;
        self.add_transport(router, id, &request.transport_id, base, Kind::Plain(Box::new(plain)));
        self.dump_plain(id).map(Some)
    }

    /// What the worker is asked for, and the key with which we send.
    fn plain_options(
        &self,
        options: &PlainTransportOptions,
    ) -> Outcome<(corecast_wire::PlainTransportOptions, Option<SrtpParameters>)> {
        let rtcp = options.rtcp_listen_info.as_deref().filter(|_| !options.rtcp_mux);
        for info in [Some(&*options.listen_info), rtcp].into_iter().flatten() {
            if info.protocol != Protocol::Udp {
                return Err(Refusal::wrong("unsupported listen protocol"));
            }
        }
        let rtp = listen::listen_info(&options.listen_info, self.ports)?;
        let rtcp = rtcp.map(|info| listen::listen_info(info, self.ports)).transpose()?;
        if rtcp.is_some_and(|rtcp| rtcp.ip != rtp.ip) {
            return Err(Refusal::wrong("rtcpListenInfo.ip: corecast's worker needs that of listenInfo"));
        }
        let given = |ports: (u16, u16)| (ports.0 == ports.1).then_some(ports.0);
        let key = match (options.enable_srtp, options.srtp_crypto_suite) {
            (false, _) => None,
            (true, None) => return Err(Refusal::wrong("missing srtpCryptoSuite")),
            (true, Some(crypto_suite)) => Some(draw_key(crypto_suite)?),
        };
        let asked = corecast_wire::PlainTransportOptions {
            listen_ip: rtp.ip,
            port: given(rtp.ports),
            rtcp_port: rtcp.and_then(|rtcp| given(rtcp.ports)),
            port_range: Some(if given(rtp.ports).is_some() { self.ports } else { rtp.ports }),
            socket: rtp.socket,
            rtcp_socket: rtcp.map(|rtcp| rtcp.socket).unwrap_or_default(),
            rtcp_mux: options.rtcp_mux,
            comedia: options.comedia,
            pipe: false,
            srtp: key.as_ref().map(srtp).transpose()?,
            sctp: webrtc::sctp(&options.base),
            rtcp_ssrc: secrets::ssrc()?,
        };
        Ok((asked, key))
    }

    pub(super) fn dump_plain(&mut self, id: TransportId) -> Outcome<Answer> {
        let base = self.dump_base(id)?;
        let plain = self.objects.transport(id)?.plain()?;
        Ok(Answer::PlainTransportDumpResponse(Box::new(DumpResponse {
            base: Box::new(base),
            rtcp_mux: plain.rtcp.is_none(),
            comedia: plain.is_comedia,
            tuple: Box::new(listen::tuple(&plain.rtp, plain.remote)),
            rtcp_tuple: plain.rtcp.as_ref().map(|rtcp| Box::new(listen::tuple(rtcp, plain.rtcp_remote))),
            srtp_parameters: plain.srtp.clone().map(Box::new),
        })))
    }

    /// The key of the other side of a transport that is to be connected.
    pub(super) fn remote_key(
        &mut self,
        id: TransportId,
        theirs: Option<&SrtpParameters>,
    ) -> Outcome<Option<corecast_wire::SrtpParameters>> {
        let transport = self.objects.transport(id)?;
        if transport.is_connected {
            return Err(Refusal::Error("connect() already called".into()));
        }
        match (&transport.plain()?.srtp, theirs) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Refusal::wrong("invalid srtpParameters (SRTP not enabled)")),
            (Some(_), None) => Err(Refusal::wrong("missing srtpParameters (SRTP enabled)")),
            (Some(_), Some(theirs)) => srtp(theirs).map(Some),
        }
    }

    pub(super) fn connect_plain(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::PlainTransportConnectRequest(request)) = body else {
            return Err(other_body("PLAINTRANSPORT_CONNECT"));
        };
        let id = self.objects.transport_number(name)?;
        let key = self.remote_key(id, request.srtp_parameters.as_deref())?;
        let plain = self.objects.transport(id)?.plain()?;
        let (mut remote, mut rtcp_remote) = (None, None);
        if !plain.is_comedia {
            let missing = |what: &str| Refusal::wrong(format!("missing {what}"));
            let ip = listen::ip(request.ip.as_deref().ok_or_else(|| missing("ip"))?)?;
            remote = Some(SocketAddr::new(ip, request.port.ok_or_else(|| missing("port"))?));
            rtcp_remote = match (&plain.rtcp, request.rtcp_port) {
                (None, None) => None,
                (None, Some(_)) => return Err(Refusal::wrong("cannot set rtcpPort with rtcpMux enabled")),
                (Some(_), None) => return Err(missing("rtcpPort (required with rtcpMux disabled)")),
                (Some(_), Some(port)) => Some(SocketAddr::new(ip, port)),
            };
        }
        // The other side may choose another suite, and then we draw a key for that.
        let ours = plain.srtp.clone();
        let theirs = request.srtp_parameters.as_deref().map(|theirs| theirs.crypto_suite);
        let other = theirs.filter(|theirs| ours.as_ref().is_some_and(|ours| ours.crypto_suite != *theirs));
        let drawn = other.map(draw_key).transpose()?;
        if let Some(drawn) = &drawn {
            machine.execute(&Command::RekeyPlainTransport { transport: id, srtp: srtp(drawn)? })?;
        }
        // With comedia and without keys there is nothing to tell the worker.
        if remote.is_some() || key.is_some() {
            let connect = Command::ConnectPlainTransport { transport: id, remote, rtcp_remote, srtp: key };
            if let Err(error) = machine.execute(&connect) {
                if let Some(ours) = ours.filter(|_| drawn.is_some()) {
                    machine.execute(&Command::RekeyPlainTransport { transport: id, srtp: srtp(&ours)? })?;
                }
                return Err(error.into());
            }
        }
        let transport = self.objects.transport(id)?;
        transport.is_connected = true;
        let plain = transport.plain()?;
        plain.srtp = drawn.or(ours);
        (plain.remote, plain.rtcp_remote) = (remote.or(plain.remote), rtcp_remote.or(plain.rtcp_remote));
        let tuple = plain.remote.map(|remote| Box::new(listen::tuple(&plain.rtp, Some(remote))));
        let rtcp = plain.rtcp.as_ref().zip(plain.rtcp_remote);
        Ok(Some(Answer::PlainTransportConnectResponse(Box::new(ConnectResponse {
            tuple,
            rtcp_tuple: rtcp.map(|(rtcp, remote)| Box::new(listen::tuple(rtcp, Some(remote)))),
            srtp_parameters: plain.srtp.clone().map(Box::new),
        }))))
    }
}

/// A key of our own for a suite.
fn draw_key(crypto_suite: SrtpCryptoSuite) -> Outcome<SrtpParameters> {
    let bytes = secrets::bytes(suite(crypto_suite).key_and_salt_len())?;
    Ok(SrtpParameters { crypto_suite, key_base64: STANDARD.encode(bytes) })
}

/// The worker's word for a suite.
pub(super) const fn suite(suite: SrtpCryptoSuite) -> corecast_wire::SrtpCryptoSuite {
    match suite {
        SrtpCryptoSuite::AeadAes256Gcm => corecast_wire::SrtpCryptoSuite::AeadAes256Gcm,
        SrtpCryptoSuite::AeadAes128Gcm => corecast_wire::SrtpCryptoSuite::AeadAes128Gcm,
        SrtpCryptoSuite::AesCm128HmacSha180 => corecast_wire::SrtpCryptoSuite::AesCm128HmacSha1_80,
        SrtpCryptoSuite::AesCm128HmacSha132 => corecast_wire::SrtpCryptoSuite::AesCm128HmacSha1_32,
    }
}

/// A suite with its key.
pub(super) fn srtp(parameters: &SrtpParameters) -> Outcome<corecast_wire::SrtpParameters> {
    let suite = suite(parameters.crypto_suite);
    let key_and_salt = STANDARD.decode(&parameters.key_base64);
    let key_and_salt = key_and_salt.map_err(|_| Refusal::wrong("srtpParameters.keyBase64 is no Base64"))?;
    if key_and_salt.len() != suite.key_and_salt_len() {
        return Err(Refusal::wrong("invalid decoded SRTP key length"));
    }
    Ok(corecast_wire::SrtpParameters { suite, key_and_salt })
}
