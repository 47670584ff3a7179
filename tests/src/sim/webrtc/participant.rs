//! What a WebRTC participant has and does beyond a plain one.

use std::collections::HashMap;
use std::net::SocketAddr;

use corecast_wire::IceParameters;

use super::client::Client;
use super::paths::Paths;
use super::plan::Move;
use crate::sim::wire::Wire;

/// What only WebRTC participants do.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) enum WebAct {
    /// Its timer is due.
    Wake,
    /// Its address changes.
    Move(Move),
    /// Its transport gets new credentials.
    Restart,
    /// It learns of them.
    Restarted,
    /// Its links are cut, or mended.
    Cut(bool),
}

/// What a WebRTC participant has beyond a plain one.
#[derive(Debug)]
pub(in crate::sim) struct Web {
    pub(in crate::sim) client: Client,
    pub(in crate::sim) paths: Paths,
    /// Opens what it sends.
    pub(super) up: Wire,
    pub(super) ice: IceParameters,
    pub(super) restarts: u32,
    /// Where its packets come from, as the server sees it.
    pub(in crate::sim) public: SocketAddr,
    pub(super) moves: u16,
    pub(super) cut: bool,
    /// The participant has gone, and sends nothing.
    pub(in crate::sim) gone: bool,
    /// Its address changed in the middle of the handshake, which may then take until it is given up: flights went
    /// astray, and are repeated ever more slowly.
    pub(super) disturbed: bool,
    /// It had keys and a path when it went.
    pub(super) missed: bool,
    /// It has said goodbye, and was heard.
    pub(super) closed: bool,
    /// Times that its consent was lost.
    pub(super) expiries: u32,
    /// Since when media goes to where it is.
    pub(super) settled_ns: Option<u64>,
    pub(super) scheduled_ns: u64,
    /// When it has opened which packets, by consumer.
    pub(super) opened: HashMap<usize, HashMap<u64, u64>>,
}

impl Web {
    /// The worker has died. A handshake that is under way does not go on. Returns whether it is, for the participant.
    pub(in crate::sim) fn worker_died(&mut self, is_shaking_hands: bool) -> bool {
        self.paths.crashed();
        self.disturbed |= is_shaking_hands;
        !self.client.is_connected()
    }
}
