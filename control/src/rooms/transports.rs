//! Plain transports of a room: made, connected, closed.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use corecast_wire::{Command, PlainTransportOptions, Reply, SrtpCryptoSuite, TransportId};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::room::{Transport, gone_is_closed};
use super::srtp::{self, SrtpJson};
use super::{ApiError, Room, next_id};
use crate::workers::link::RequestError;

/// `POST …/transports`, both forms.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransportBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    direction: Option<String>,
    comedia: Option<bool>,
    rtcp_mux: Option<bool>,
    enable_srtp: Option<bool>,
    srtp_crypto_suite: Option<String>,
    srtp_parameters: Option<SrtpJson>,
    listen_ip: Option<IpAddr>,
}

/// `POST …/transports/:id/connect`, both forms.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectBody {
    ip: Option<IpAddr>,
    port: Option<u16>,
    rtcp_port: Option<u16>,
    srtp_parameters: Option<SrtpJson>,
    dtls_parameters: Option<Value>,
}

/// A random SSRC that is in nobody's use here, and whose successor is free as well.
pub(super) fn draw_ssrc(taken: &HashSet<u32>) -> u32 {
    loop {
        let ssrc: u32 = rand::random();
        if (1..u32::MAX).contains(&ssrc) && !taken.contains(&ssrc) && !taken.contains(&(ssrc + 1)) {
            return ssrc;
        }
    }
}

impl TransportBody {
    /// Defaults differ: the legacy demo's own, and those of mediasoup, which the typed one passes on to.
    fn check(&self) -> Result<(bool, bool), ApiError> {
        match (self.kind.as_deref(), self.direction.as_deref()) {
            (Some("plain"), _) => Ok((self.comedia.unwrap_or(true), self.rtcp_mux.unwrap_or(false))),
            (Some("webrtc"), _) => Err(ApiError::not_yet("type: \"webrtc\" is not supported yet; use \"plain\"")),
            (Some(other), _) => Err(ApiError::field("type", format!("{other:?} must be \"plain\" or \"webrtc\""))),
            (None, Some("producer" | "consumer")) => Ok((self.comedia.unwrap_or(false), self.rtcp_mux.unwrap_or(true))),
            (None, Some(other)) => {
                Err(ApiError::field("direction", format!("{other:?} must be \"producer\" or \"consumer\"")))
            }
            (None, None) => Err(ApiError::field("type", "give type (\"plain\") or direction")),
        }
    }

    /// The suite, if SRTP is on: by `enableSrtp`, or because something about it is given and nobody said no.
    fn suite(&self) -> Result<Option<SrtpCryptoSuite>, ApiError> {
        let named = self.srtp_crypto_suite.as_deref().map(|name| srtp::suite(Some(name))).transpose()?;
        match (self.enable_srtp, named, &self.srtp_parameters) {
            (Some(false), _, Some(_)) => Err(ApiError::field("enableSrtp", "is false, but srtpParameters are given")),
            (Some(false), _, None) | (None, None, None) => Ok(None),
            (_, Some(suite), _) => Ok(Some(suite)),
            (_, None, Some(remote)) => Ok(Some(remote.read(None)?.suite)),
            (Some(true), None, None) => srtp::suite(None).map(Some),
        }
    }
}

impl Room {
    /// A new plain transport: its name, and what both forms of the API answer.
    pub(crate) async fn create_transport(
        &self,
        broadcaster: &str,
        body: TransportBody,
    ) -> Result<(String, Value), ApiError> {
        let (comedia, rtcp_mux) = body.check()?;
        let suite = body.suite()?;
        let remote_srtp = body.srtp_parameters.map(|remote| remote.read(suite)).transpose()?;
        let listen = self.addresses.choose(body.listen_ip).ok_or_else(|| {
            ApiError::field("listenIp", "is not an address that this server listens on (rtc.listen_ips)")
        })?;
        let own_srtp = suite.map(srtp::generate);
        let mut ssrcs = HashSet::new();
        let rtcp_ssrc = draw_ssrc(&ssrcs);
        ssrcs.insert(rtcp_ssrc);
        let options = PlainTransportOptions {
            listen_ip: listen.ip,
            port: None,
            rtcp_mux,
            comedia,
            srtp: own_srtp.clone(),
            rtcp_ssrc,
        };
        let id = TransportId(next_id());

        let mut state = self.state_of(broadcaster).await?;
        let create = Command::CreatePlainTransport { router: self.router, transport: id, options };
        let Reply::PlainTransport { local, rtcp_local } = self.worker.link.request(create).await? else {
            return Err(RequestError::WrongReply.into());
        };
        // With comedia nothing but the key is missing, and here it is.
        let connected = comedia && remote_srtp.is_some();
        if connected {
            let connect = connect(id, None, None, remote_srtp.clone());
            if let Err(error) = self.worker.link.apply(connect).await {
                gone_is_closed(self.worker.link.apply(Command::CloseTransport { transport: id }).await)?;
                return Err(error.into());
            }
        }
        let name = Uuid::new_v4().to_string();
        let ip = listen.announced_address.clone().unwrap_or_else(|| local.ip().to_string());
        let mut answer = json!({ "id": name, "transportId": name, "ip": ip, "port": local.port() });
        if let Some(rtcp_local) = rtcp_local {
            answer["rtcpPort"] = json!(rtcp_local.port());
        }
        if let Some(own) = &own_srtp {
            answer["srtpParameters"] = json!(SrtpJson::of(own));
        }
        let transport = Transport {
            id,
            broadcaster: broadcaster.to_owned(),
            comedia,
            rtcp_mux,
            suite,
            remote_srtp: remote_srtp.filter(|_| !connected),
            connected,
            local,
            cname: None,
            next_mid: 0,
            ssrcs,
        };
        state.transports.insert(name.clone(), transport);
        Ok((name, answer))
    }

    /// Names the remote side, its key, or both. Once.
    pub(crate) async fn connect_transport(
        &self,
        broadcaster: &str,
        transport: &str,
        body: ConnectBody,
    ) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let transport = state.transport_of(broadcaster, transport)?;
        if transport.connected {
            return Err(ApiError::conflict("the transport is connected already"));
        }
        if body.dtls_parameters.is_some() {
            return Err(ApiError::field("dtlsParameters", "is for WebRTC transports, and this one is plain"));
        }
        let (remote, rtcp_remote) = if transport.comedia { body.learnt(transport)? } else { body.remote(transport)? };
        let srtp = match (body.srtp_parameters, &transport.remote_srtp, transport.suite) {
            (Some(_), _, None) => {
                return Err(ApiError::field("srtpParameters", "the transport was made without enableSrtp"));
            }
            (Some(given), _, suite) => Some(given.read(suite)?),
            (None, Some(kept), _) => Some(kept.clone()),
            (None, None, Some(suite)) => {
                let cause = format!("is missing: the transport was made with enableSrtp ({})", suite.name());
                return Err(ApiError::field("srtpParameters", cause));
            }
            (None, None, None) => None,
        };
        self.worker.link.apply(connect(transport.id, remote, rtcp_remote, srtp)).await?;
        transport.connected = true;
        transport.remote_srtp = None;
        Ok(())
    }

    /// Closes it and everything inside.
    pub(crate) async fn close_transport(&self, broadcaster: &str, transport: &str) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let id = state.transport_of(broadcaster, transport)?.id;
        gone_is_closed(self.worker.link.apply(Command::CloseTransport { transport: id }).await)?;
        state.forget_transport(transport);
        state.tell_of("changed", broadcaster);
        self.end_stranded(&mut state).await
    }
}

fn connect(
    transport: TransportId,
    remote: Option<SocketAddr>,
    rtcp_remote: Option<SocketAddr>,
    srtp: Option<corecast_wire::SrtpParameters>,
) -> Command {
    Command::ConnectPlainTransport { transport, remote, rtcp_remote, srtp }
}

type Remotes = (Option<SocketAddr>, Option<SocketAddr>);

impl ConnectBody {
    /// With comedia the address is learnt; only a key may be named.
    fn learnt(&self, transport: &Transport) -> Result<Remotes, ApiError> {
        let absent = "must be absent: the transport learns its remote side (comedia)";
        for (field, given) in
            [("ip", self.ip.is_some()), ("port", self.port.is_some()), ("rtcpPort", self.rtcp_port.is_some())]
        {
            if given {
                return Err(ApiError::field(field, absent));
            }
        }
        if transport.suite.is_none() {
            return Err(ApiError::conflict(
                "there is nothing to connect: the transport learns its remote side (comedia)",
            ));
        }
        Ok((None, None))
    }

    fn remote(&self, transport: &Transport) -> Result<Remotes, ApiError> {
        let ip = self.ip.ok_or_else(|| ApiError::field("ip", "is missing"))?;
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || broadcast {
            return Err(ApiError::field("ip", format!("{ip} is not the address of one host")));
        }
        if ip.is_ipv4() != transport.local.is_ipv4() {
            let cause = format!("{ip} is of another family than the transport's {}", transport.local.ip());
            return Err(ApiError::field("ip", cause));
        }
        let port = |field: &str, port: Option<u16>| match port {
            Some(0) => Err(ApiError::field(field, "must be 1 to 65535")),
            other => Ok(other),
        };
        let rtp = port("port", self.port)?.ok_or_else(|| ApiError::field("port", "is missing"))?;
        let rtcp = port("rtcpPort", self.rtcp_port)?;
        match (transport.rtcp_mux, rtcp) {
            (true, Some(_)) => Err(ApiError::field("rtcpPort", "must be absent: the transport has rtcpMux")),
            (false, None) => Err(ApiError::field("rtcpPort", "is missing: the transport has no rtcpMux")),
            (_, rtcp) => Ok((Some(SocketAddr::new(ip, rtp)), rtcp.map(|rtcp| SocketAddr::new(ip, rtcp)))),
        }
    }
}
