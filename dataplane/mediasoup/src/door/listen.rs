//! Where transports listen: what the library asks for, ICE candidates and tuples.

use std::net::{IpAddr, SocketAddr};

use corecast_mediasoup_worker::fbs::transport::{self, Protocol, Tuple};
use corecast_mediasoup_worker::fbs::web_rtc_transport::{IceCandidate, IceCandidateTcpType, IceCandidateType};
use corecast_wire::{IceProtocol, IceTuple, ListenInfo, SocketSettings};

use super::objects::Listening;
use crate::refusal::{Outcome, Refusal};

/// mediasoup's priorities: of host candidates, of the first address, and by how much each further one comes after it.
const TYPE_PREFERENCE: u32 = 64;
const LOCAL_PREFERENCE: u32 = 10_000;
const STEP: u32 = 100;
const PREFERRED: u32 = 1_000;
const COMPONENT: u32 = 1;
const EXPOSED_DECREMENT: u32 = 1_000;

/// Which transports of a server are offered, and which come first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) udp: bool,
    pub(super) tcp: bool,
    pub(super) prefer_udp: bool,
    pub(super) prefer_tcp: bool,
}

impl Wishes {
    /// Everything that listens, in its order.
    pub(super) const ALL: Self = Self { udp: true, tcp: true, prefer_udp: false, prefer_tcp: false };
}

/// The address, if it is one.
pub(super) fn ip(text: &str) -> Outcome<IpAddr> {
    text.parse().map_err(|_| Refusal::wrong(format!("invalid IP '{text}'")))
}

/// What is asked for, with the worker's range where no port is named.
pub(super) fn listen_info(info: &transport::ListenInfo, worker_ports: (u16, u16)) -> Outcome<ListenInfo> {
    let protocol = match info.protocol {
        Protocol::Udp => IceProtocol::Udp,
        Protocol::Tcp => IceProtocol::Tcp,
    };
    let range = (info.port_range.min, info.port_range.max);
    let ports = match (range, info.port) {
        ((min, max), _) if min != 0 && max != 0 => range,
        (_, 0) => worker_ports,
        (_, port) => (port, port),
    };
    if ports.1 < ports.0 {
        return Err(Refusal::wrong("portRange: max is below min"));
    }
    let socket = SocketSettings {
        // It means nothing for TCP, and there it is passed over, as mediasoup does.
        reuse_port: info.flags.udp_reuse_port && protocol == IceProtocol::Udp,
        dual_stack: !info.flags.ipv6_only,
        recv_buffer_bytes: info.recv_buffer_size,
        send_buffer_bytes: info.send_buffer_size,
    };
    Ok(ListenInfo { protocol, ip: ip(&info.ip)?, ports, socket })
}

/// A socket that was opened for this.
pub(super) fn listening(info: &transport::ListenInfo, local: SocketAddr) -> Listening {
    Listening {
        protocol: info.protocol,
        local,
        announced: info.announced_address.clone().filter(|address| !address.is_empty()),
        exposes_internal_ip: info.expose_internal_ip,
    }
}

/// Candidates, in the order of the sockets.
pub(super) fn candidates(listening: &[Listening], wishes: Wishes) -> Vec<IceCandidate> {
    let mut candidates = Vec::new();
    for (place, one) in (0..).zip(listening) {
        let (is_wanted, is_preferred) = match one.protocol {
            Protocol::Udp => (wishes.udp, wishes.prefer_udp),
            Protocol::Tcp => (wishes.tcp, wishes.prefer_tcp),
        };
        if !is_wanted {
            continue;
        }
        let local = LOCAL_PREFERENCE.saturating_sub(STEP * place) + if is_preferred { PREFERRED } else { 0 };
        let priority = (TYPE_PREFERENCE << 24) + (local << 8) + (256 - COMPONENT);
        let internal = one.local.ip().to_string();
        let address = one.announced.clone().unwrap_or_else(|| internal.clone());
        candidates.push(candidate(one, address, priority));
        if one.announced.is_some() && one.exposes_internal_ip {
            candidates.push(candidate(one, internal, priority - EXPOSED_DECREMENT));
        }
    }
    candidates
}

fn candidate(listening: &Listening, address: String, priority: u32) -> IceCandidate {
    let (foundation, tcp_type) = match listening.protocol {
        Protocol::Udp => ("udpcandidate", None),
        Protocol::Tcp => ("tcpcandidate", Some(IceCandidateTcpType::Passive)),
    };
    IceCandidate {
        foundation: foundation.into(),
        priority,
        address,
        protocol: listening.protocol,
        port: listening.local.port(),
        type_: IceCandidateType::Host,
        tcp_type,
    }
}

/// A tuple as the library sees it: our side by the name that is announced.
pub(super) fn tuple(listening: &Listening, remote: Option<SocketAddr>) -> Tuple {
    Tuple {
        local_address: listening.announced.clone().unwrap_or_else(|| listening.local.ip().to_string()),
        local_port: listening.local.port(),
        remote_ip: remote.map(|remote| remote.ip().to_string()),
        remote_port: remote.map_or(0, |remote| remote.port()),
        protocol: listening.protocol,
    }
}

/// The same of a pair that ICE has selected among the server's sockets.
pub(super) fn ice_tuple(sockets: &[Listening], selected: &IceTuple) -> Tuple {
    let protocol = match selected.protocol {
        IceProtocol::Udp => Protocol::Udp,
        IceProtocol::Tcp => Protocol::Tcp,
    };
    let is_it = |one: &&Listening| {
        let has_ip = one.local.ip() == selected.local.ip() || one.local.ip().is_unspecified();
        one.protocol == protocol && one.local.port() == selected.local.port() && has_ip
    };
    let announced = sockets.iter().find(is_it).and_then(|one| one.announced.clone());
    let listening = Listening { protocol, local: selected.local, announced, exposes_internal_ip: false };
    tuple(&listening, Some(selected.remote))
}
