//! Requests about pipe transports, which join two routers: plain transports whose consumers send all encodings.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::pipe_transport::{ConnectResponse, DumpResponse};
use corecast_mediasoup_worker::fbs::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};
use corecast_mediasoup_worker::fbs::transport::Protocol;
use corecast_wire::{Command, PlainTransportOptions, Reply, TransportId};

use super::objects::{Kind, Plain};
use super::{Answer, Answered, Asked, Door, listen, other_body, plain, secrets, webrtc};
use crate::refusal::{Outcome, Refusal};

/// The suite of pipes with SRTP (mediasoup's).
const SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AeadAes256Gcm;

impl Door {
    pub(super) fn create_pipe_transport(
        &mut self,
        machine: &mut dyn Machine,
        router: &str,
        body: Option<Asked>,
    ) -> Answered {
        let Some(Asked::RouterCreatePipeTransportRequest(request)) = body else {
            return Err(other_body("ROUTER_CREATE_PIPETRANSPORT"));
        };
        let router = self.router_for(router, "Transport", &request.transport_id)?;
        let options = *request.options;
        if options.listen_info.protocol != Protocol::Udp {
            return Err(Refusal::wrong("unsupported listen protocol"));
        }
        let info = listen::listen_info(&options.listen_info, self.ports)?;
        let key = match options.enable_srtp {
            true => {
                let bytes = secrets::bytes(plain::suite(SUITE).key_and_salt_len())?;
                Some(SrtpParameters { crypto_suite: SUITE, key_base64: STANDARD.encode(bytes) })
            }
            false => None,
        };
        let asked = PlainTransportOptions {
            port: (info.ports.0 == info.ports.1).then_some(info.ports.0),
            port_range: Some(info.ports),
            socket: info.socket,
            pipe: true,
            srtp: key.as_ref().map(plain::srtp).transpose()?,
            sctp: webrtc::sctp(&options.base),
            ..PlainTransportOptions::new(info.ip, secrets::ssrc()?)
        };
        let id = TransportId(self.objects.number());
        let command = Command::CreatePlainTransport { router, transport: id, options: asked };
        let Reply::PlainTransport { local, .. } = machine.execute(&command)? else {
            return Err(Refusal::Error("the worker gave another answer".into()));
        };
        let pipe = Plain {
            rtp: listen::listening(&options.listen_info, local),
            rtcp: None,
            is_comedia: false,
            has_rtx: options.enable_rtx,
            remote: None,
            rtcp_remote: None,
            srtp: key,
        };
        let base = *options.base;
        self.add_transport(router, id, &request.transport_id, base, Kind::Pipe(Box::new(pipe)));
        self.dump_pipe(id).map(Some)
    }

    pub(super) fn dump_pipe(&mut self, id: TransportId) -> Outcome<Answer> {
        let base = self.dump_base(id)?;
        let pipe = self.objects.transport(id)?.plain()?;
        Ok(Answer::PipeTransportDumpResponse(Box::new(DumpResponse {
            base: Box::new(base),
            tuple: Box::new(listen::tuple(&pipe.rtp, pipe.remote)),
            rtx: pipe.has_rtx,
            srtp_parameters: pipe.srtp.clone().map(Box::new),
        })))
    }

    pub(super) fn connect_pipe(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::PipeTransportConnectRequest(request)) = body else {
            return Err(other_body("PIPETRANSPORT_CONNECT"));
        };
        let id = self.objects.transport_number(name)?;
        let srtp = self.remote_key(id, request.srtp_parameters.as_deref())?;
        if request.srtp_parameters.is_some_and(|theirs| theirs.crypto_suite != SUITE) {
            return Err(Refusal::wrong("srtpParameters.cryptoSuite: pipes have AEAD_AES_256_GCM alone"));
        }
        let port = request.port.ok_or_else(|| Refusal::wrong("missing port"))?;
        let remote = SocketAddr::new(listen::ip(&request.ip)?, port);
        let command = Command::ConnectPlainTransport { transport: id, remote: Some(remote), rtcp_remote: None, srtp };
        machine.execute(&command)?;
        let transport = self.objects.transport(id)?;
        transport.is_connected = true;
        let pipe = transport.plain()?;
        pipe.remote = Some(remote);
        let tuple = Box::new(listen::tuple(&pipe.rtp, Some(remote)));
        Ok(Some(Answer::PipeTransportConnectResponse(Box::new(ConnectResponse { tuple }))))
    }
}
