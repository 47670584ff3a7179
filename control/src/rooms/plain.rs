//! Plain transports of a peer: made, connected; and transports of any kind closed.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use corecast_wire::{Command, PlainTransportOptions, Reply, SrtpCryptoSuite, SrtpParameters, TransportId};

use super::draw::{draw_key, draw_ssrc, next_id, object_name};
use super::error::Error;
use super::peer::PeerHandle;
use super::room::Room;
use super::state::close_transport;
use super::transport::{Plain, Transport, TransportKind};
use crate::addresses::Addresses;
use crate::workers::RequestError;

/// A plain transport that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewPlainTransport {
    /// One of the addresses that the server listens on; the first one if none is given.
    pub(crate) listen_ip: Option<IpAddr>,
    /// The remote address is learnt from the first packets.
    pub(crate) comedia: bool,
    pub(crate) rtcp_mux: bool,
    /// Crypto suite of SRTP; without one the transport is plain RTP.
    pub(crate) suite: Option<SrtpCryptoSuite>,
    /// Key of the remote side, if it is known.
    pub(crate) remote_srtp: Option<SrtpParameters>,
}

/// A plain transport that has been made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedPlain {
    pub(crate) name: String,
    /// Address or name that clients are told.
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) rtcp_port: Option<u16>,
    /// Key of the server's side.
    pub(crate) srtp: Option<SrtpParameters>,
}

/// The remote side of a plain transport, as far as the peer names it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainRemote {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) rtcp_port: Option<u16>,
    pub(crate) srtp: Option<SrtpParameters>,
}

impl Room {
    /// A new plain transport of a peer.
    pub(crate) async fn create_plain(&self, peer: &PeerHandle, new: NewPlainTransport) -> Result<CreatedPlain, Error> {
        self.state().await.peer(peer)?;
        let listen = self.addresses().choose(new.listen_ip).ok_or_else(|| {
            Error::field("listenIp", "is not an address that this server listens on (rtc.listen_ips)")
        })?;
        let own_srtp = new.suite.map(draw_key);
        let rtcp_ssrc = draw_ssrc(&HashSet::new());
        let id = TransportId(next_id());
        let options = PlainTransportOptions {
            rtcp_mux: new.rtcp_mux,
            comedia: new.comedia,
            srtp: own_srtp.clone(),
            ..PlainTransportOptions::new(listen.ip, rtcp_ssrc)
        };
        let mut commands = vec![Command::CreatePlainTransport { router: self.home().router(), transport: id, options }];
        // With comedia nothing but the key is missing, and here it is.
        let connected = new.comedia && new.remote_srtp.is_some();
        if connected {
            commands.push(connect(id, None, None, new.remote_srtp.clone()));
        }
        let replies = self.worker().apply_all(commands, close_transport(id)).await?;
        let Some(&Reply::PlainTransport { local, rtcp_local }) = replies.first() else {
            return Err(RequestError::WrongReply.into());
        };
        let plain = Plain {
            comedia: new.comedia,
            rtcp_mux: new.rtcp_mux,
            suite: new.suite,
            remote_srtp: new.remote_srtp.filter(|_| !connected),
            connected,
            local,
        };
        let mut state = self.state().await;
        // The peer may have left meanwhile.
        let owner = match state.peer(peer) {
            Ok(_) => peer.shared_name(),
            Err(gone) => {
                self.worker().close(vec![close_transport(id)]).await?;
                return Err(gone);
            }
        };
        let kind = TransportKind::Plain(plain);
        let ssrcs = HashSet::from([rtcp_ssrc]);
        let name = object_name();
        state.transports.insert(name.clone(), Transport::new(id, self.home().clone(), owner, kind, ssrcs));
        Ok(CreatedPlain {
            name,
            ip: listen.announced_address.clone().unwrap_or_else(|| local.ip().to_string()),
            port: local.port(),
            rtcp_port: rtcp_local.map(|local| local.port()),
            srtp: own_srtp,
        })
    }

    /// Names the remote side, its key, or both. A transport is connected once.
    pub(crate) async fn connect_plain(
        &self,
        peer: &PeerHandle,
        transport: &str,
        remote: PlainRemote,
    ) -> Result<(), Error> {
        let mut state = self.state().await;
        let transport = state.transport_of(peer, transport)?;
        let id = transport.id;
        let TransportKind::Plain(plain) = &mut transport.kind else {
            return Err(Error::wrong_state("the transport is not a plain one"));
        };
        if plain.connected {
            return Err(Error::wrong_state("the transport is connected already"));
        }
        let (rtp, rtcp) =
            if plain.comedia { remote.learnt(plain)? } else { remote.addresses(plain, self.addresses())? };
        let srtp = match (remote.srtp, &plain.remote_srtp, plain.suite) {
            (Some(_), _, None) => {
                return Err(Error::field("srtpParameters", "the transport was made without enableSrtp"));
            }
            (Some(given), _, Some(suite)) if given.suite != suite => {
                let cause = format!("is {}, but the transport was made for {}", given.suite.name(), suite.name());
                return Err(Error::field("srtpParameters.cryptoSuite", cause));
            }
            (Some(given), _, Some(_)) => Some(given),
            (None, Some(kept), _) => Some(kept.clone()),
            (None, None, Some(suite)) => {
                let cause = format!("is missing: the transport was made with enableSrtp ({})", suite.name());
                return Err(Error::field("srtpParameters", cause));
            }
            (None, None, None) => None,
        };
        self.worker().apply(connect(id, rtp, rtcp, srtp)).await?;
        plain.connected = true;
        plain.remote_srtp = None;
        Ok(())
    }

    /// Closes a transport of any kind and everything inside it.
    pub(crate) async fn close_transport(&self, peer: &PeerHandle, transport: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let Transport { id, site, .. } = state.transport_of(peer, transport)?;
        site.worker().close(vec![close_transport(*id)]).await?;
        state.remove_transport(transport);
        state.tell_changed(peer.name());
        self.settle(&mut state).await
    }
}

fn connect(
    transport: TransportId,
    remote: Option<SocketAddr>,
    rtcp_remote: Option<SocketAddr>,
    srtp: Option<SrtpParameters>,
) -> Command {
    Command::ConnectPlainTransport { transport, remote, rtcp_remote, srtp }
}

type Remotes = (Option<SocketAddr>, Option<SocketAddr>);

impl PlainRemote {
    /// With comedia the address is learnt; only a key may be named.
    fn learnt(&self, transport: &Plain) -> Result<Remotes, Error> {
        let absent = "must be absent: the transport learns its remote side (comedia)";
        for (field, given) in
            [("ip", self.ip.is_some()), ("port", self.port.is_some()), ("rtcpPort", self.rtcp_port.is_some())]
        {
            if given {
                return Err(Error::field(field, absent));
            }
        }
        if transport.suite.is_none() {
            let reason = "there is nothing to connect: the transport learns its remote side (comedia)";
            return Err(Error::wrong_state(reason));
        }
        Ok((None, None))
    }

    fn addresses(&self, transport: &Plain, addresses: &Addresses) -> Result<Remotes, Error> {
        let ip = self.ip.ok_or_else(|| Error::field("ip", "is missing"))?;
        if !addresses.may_send(transport.local.ip(), ip) {
            let cause = format!("{ip} is not an address that plain transports may send to (rtc.plain_networks)");
            return Err(Error::field("ip", cause));
        }
        if ip.is_ipv4() != transport.local.is_ipv4() {
            let cause = format!("{ip} is of another family than the transport's {}", transport.local.ip());
            return Err(Error::field("ip", cause));
        }
        let port = |field: &str, port: Option<u16>| match port {
            Some(0) => Err(Error::field(field, "must be 1 to 65535")),
            other => Ok(other),
        };
        let rtp = port("port", self.port)?.ok_or_else(|| Error::field("port", "is missing"))?;
        let rtcp = port("rtcpPort", self.rtcp_port)?;
        match (transport.rtcp_mux, rtcp) {
            (true, Some(_)) => Err(Error::field("rtcpPort", "must be absent: the transport has rtcpMux")),
            (false, None) => Err(Error::field("rtcpPort", "is missing: the transport has no rtcpMux")),
            (_, rtcp) => Ok((Some(SocketAddr::new(ip, rtp)), rtcp.map(|rtcp| SocketAddr::new(ip, rtcp)))),
        }
    }
}
