//! Where a datagram came from, or goes to.

use std::net::SocketAddr;

/// A local socket, as the shell numbers it: small and dense, reused only after it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

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
