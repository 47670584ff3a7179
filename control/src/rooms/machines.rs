//! What two machines tell each other of a publisher that crosses from one to the other, and the transports of the pipe
//! between them. Each publisher has a pipe of its own: SRTP over UDP, with keys that are drawn for it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use corecast_wire::{Command, PlainTransportOptions, Reply, SrtpCryptoSuite, SrtpParameters, TransportId};
use serde::{Deserialize, Serialize};

use super::draw::{draw_key, draw_ssrc, next_id};
use super::error::{Code, Error};
use super::peer::{PeerHandle, PeerKind};
use super::room::Room;
use super::state::{State, close_transport};
use super::transport::{Plain, Transport, TransportKind};
use crate::ortc::{Kind, RtpParameters};
use crate::workers::RequestError;

/// Most producers of one publisher that cross; what it has beyond stays where it is.
pub(super) const MAX_CROSSING: usize = 16;

const SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AeadAes256Gcm;

/// Why what stands for another machine, or for one of its publishers, leaves when a server goes on that had died.
const NOT_KEPT: &str = "its pipe did not outlive the server";

/// One end of a pipe: where it can be reached, and the key with which it sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipeEnd {
    pub(super) ip: IpAddr,
    port: u16,
    srtp: SrtpParameters,
}

/// A publisher that crosses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crosser {
    /// Its name in the room.
    pub(crate) name: String,
    /// What people call it.
    pub(crate) display_name: String,
}

/// A producer that crosses, as it is just now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Crossed {
    /// What the machine calls it that sends.
    pub(crate) id: String,
    pub(crate) paused: bool,
    /// The rest, if the other machine does not know it yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) details: Option<Details>,
}

/// What does not change of a producer that crosses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(super) kind: Kind,
    /// "simple", "simulcast" or "svc".
    pub(super) streams: String,
    /// Names of its encodings, lowest quality first.
    pub(super) encodings: Vec<String>,
    pub(super) consumable: RtpParameters,
    /// SSRC and first sequence number on the pipe, for each encoding.
    pub(super) numbers: Vec<(u32, u16)>,
}

/// A transport of a pipe to another machine that has no owner yet.
#[derive(Debug)]
pub(crate) struct OpenedPipe {
    pub(super) id: TransportId,
    pub(super) local: SocketAddr,
    pub(super) rtcp_ssrc: u32,
    own: PipeEnd,
}

impl OpenedPipe {
    /// This side, for the other machine.
    pub(crate) fn own(&self) -> &PipeEnd {
        &self.own
    }

    /// The row of its transport.
    pub(super) fn transport(&self, room: &Room, owner: &PeerHandle) -> Transport {
        let plain = Plain {
            comedia: false,
            rtcp_mux: true,
            suite: Some(SUITE),
            remote_srtp: None,
            connected: true,
            local: self.local,
        };
        let (kind, ssrcs) = (TransportKind::Plain(plain), HashSet::from([self.rtcp_ssrc]));
        Transport::new(self.id, room.home().clone(), owner.shared_name(), kind, ssrcs)
    }
}

impl Room {
    /// Opens this side of a pipe, on an address of the same family as that of the other side, if that is known.
    pub(crate) async fn open_pipe_out(&self, like: Option<&PipeEnd>) -> Result<OpenedPipe, Error> {
        let family = like.map(|end| end.ip.is_ipv4());
        let (listen_ip, announced) = self.addresses().for_pipes(family).ok_or_else(|| {
            let family = if family == Some(true) { "IPv4" } else { "IPv6" };
            let reason = format!("ip: this machine has no {family} address for media (rtc.listen_ips)");
            Error::new(Code::Unacceptable, reason)
        })?;
        let (id, rtcp_ssrc, srtp) = (TransportId(next_id()), draw_ssrc(&HashSet::new()), draw_key(SUITE));
        let options = PlainTransportOptions {
            pipe: true,
            srtp: Some(srtp.clone()),
            ..PlainTransportOptions::new(listen_ip, rtcp_ssrc)
        };
        let open = Command::CreatePlainTransport { router: self.home().router(), transport: id, options };
        match self.worker().request(open).await? {
            Reply::PlainTransport { local, .. } => {
                Ok(OpenedPipe { id, local, rtcp_ssrc, own: PipeEnd { ip: announced, port: local.port(), srtp } })
            }
            _ => Err(RequestError::WrongReply.into()),
        }
    }

    /// Gives up a pipe that has no owner yet.
    pub(crate) async fn close_pipe_out(&self, pipe: &OpenedPipe) -> Result<(), Error> {
        Ok(self.worker().close(vec![close_transport(pipe.id)]).await?)
    }

    /// Tells this side of a pipe where the other one is, and its key.
    pub(super) async fn connect_pipe(&self, pipe: &OpenedPipe, remote: &PipeEnd) -> Result<(), Error> {
        let (ip, expected) = (remote.ip, SUITE.key_and_salt_len());
        if !self.addresses().may_send(pipe.local.ip(), ip) {
            let cause = format!("{ip} is not an address that plain transports may send to (rtc.plain_networks)");
            return Err(Error::field("ip", cause));
        }
        if ip.is_ipv4() != pipe.local.is_ipv4() {
            let cause = format!("{ip} is of another family than {}", pipe.local.ip());
            return Err(Error::field("ip", cause));
        }
        if remote.port == 0 {
            return Err(Error::field("port", "must be 1 to 65535"));
        }
        if remote.srtp.suite != SUITE || remote.srtp.key_and_salt.len() != expected {
            return Err(Error::field("srtp", format!("must be {} with {expected} bytes", SUITE.name())));
        }
        let connect = Command::ConnectPlainTransport {
            transport: pipe.id,
            remote: Some(SocketAddr::new(ip, remote.port)),
            rtcp_remote: None,
            srtp: Some(remote.srtp.clone()),
        };
        Ok(self.worker().apply(connect).await?)
    }

    /// Pipes to other machines do not outlive the server: what stood for these leaves, and comes again by new pipes.
    pub(super) async fn forget_machines(&self, state: &mut State) -> Result<(), Error> {
        let of_machines = |kind| matches!(kind, PeerKind::Machine | PeerKind::Remote);
        let gone = state.peers.values().filter(|peer| of_machines(peer.kind)).map(|peer| peer.handle.clone());
        let gone: Vec<_> = gone.collect();
        state.close_transports(&gone).await?;
        state.remove_peers(&gone, NOT_KEPT);
        Ok(())
    }
}
