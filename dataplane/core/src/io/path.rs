//! Where a datagram came from, or goes to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A local socket, as the shell numbers it: small and dense, reused only after it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

impl EndpointId {
    /// Numbers from here on are of transports without sockets, and none of them leaves the machine.
    const FIRST_DIRECT: u32 = 1 << 31;

    /// The endpoint of a transport without sockets, by its place.
    pub(crate) const fn direct(place: u32) -> Self {
        Self(Self::FIRST_DIRECT | place)
    }

    /// The place of the transport without sockets whose endpoint it is.
    pub(crate) const fn direct_place(self) -> Option<u32> {
        if self.0 >= Self::FIRST_DIRECT && self.0 != u32::MAX { Some(self.0 & !Self::FIRST_DIRECT) } else { None }
    }
}

/// A local socket that the shell has opened for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub id: EndpointId,
    /// The address that it is bound to.
    pub local: SocketAddr,
}

/// Local endpoint and remote address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Our side.
    pub local: EndpointId,
    /// The other side.
    pub remote: SocketAddr,
}

/// What the machine wants done to an endpoint; the shell asks for these after every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointOp {
    /// From now on all its traffic is with this address. The kernel may be told (`connect`), which makes sends cheaper;
    /// doing nothing is correct as well.
    Connect(EndpointId, SocketAddr),
    /// The peer of this ICE-TCP connection has shown that it knows a transport's password. The shell limits connections
    /// whose peers have not, in number and age.
    Authenticated(EndpointId),
    /// Nothing more will be sent from it. Close it.
    Close(EndpointId),
}

/// An address of IPv4, or the /64 of one of IPv6: a host has as many addresses there as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// The one that an address is in.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_64_are_one_network() {
        let network = |text: &str| Network::of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
