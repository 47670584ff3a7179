//! WebRTC participants of a run: str0m over the same links, on the same clock, under the same checkers.
//!
//! What the machine sends is opened as it leaves, with the keys that its handshake came to ([`keys`]), and held against
//! what its sources sent; where it may go is known from the checks that have arrived ([`paths`]); and what str0m opens
//! in the end is held against the source once more.
//!
//! The same seed gives the same run: time, path, kind and length of every datagram. Excepted are handshakes, which
//! contain signatures of random length: their bytes, and their lengths, by which nothing here is timed. What str0m
//! draws from hash maps and from the system's clock cannot be fixed, and shows rarely (docs/testing.md).

pub mod client;
mod datagrams;
mod drawing;
mod events;
mod identity;
pub mod keys;
mod participant;
pub mod paths;
pub mod plan;
mod traffic;

use std::collections::HashMap;
use std::net::SocketAddr;

use corecast_core::{Endpoint, EndpointId};
use corecast_wire::{
    Command, ConsumeOptions, DtlsParameters, DtlsRole, Fingerprint, FingerprintAlgorithm, IceParameters,
    OutgoingBitrates, RouterId, TransportId, WebRtcTransportOptions,
};

use super::consumer::{Broken, Consumer, Departure, check};
use super::control::SERVER_SSRC;
use super::machine::Machine;
use super::numbers::MS;
use super::wire::Wire;
use super::world::{Act, Socket, State, World};
use crate::webrtc::Machine as Known;
use client::Client;
pub use client::started;
pub(super) use datagrams::{order, wire_len};
use identity::IDENTITY;
pub use identity::config;
pub(super) use participant::{Web, WebAct};
use paths::Paths;
use plan::{Leave, Move, SERVER};

/// How long a consumer may be without a key frame once everything is in place; and if the kernel refuses some sends,
/// which costs a second each time that it is a request.
const KEY_FRAME_NS: (u64, u64) = (2_000 * MS, 5_000 * MS);

/// Makes what str0m draws on this thread the same in every run of a seed.
pub fn repeat(seed: u64) {
    fastrand::seed(seed);
}

/// The address from which a stranger overhears and replays what a participant sends.
pub(super) fn stranger(at: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], 4_000 + u16::try_from(at).expect("few peers")))
}

impl<M: Machine> World<M> {
    /// The endpoints that all WebRTC transports share.
    pub(super) fn open_webrtc(&mut self) {
        for (number, local) in SERVER.into_iter().enumerate() {
            let id = EndpointId(u32::try_from(number).expect("two endpoints"));
            self.machine.open_webrtc(Endpoint { id, local });
            self.place_socket(number, Socket::shared(local));
        }
    }

    pub(super) fn join_webrtc(&mut self, at: usize) -> Result<(), Broken> {
        let plan = self.peers[at].plan.clone();
        let Some(webrtc) = plan.webrtc else { return Ok(()) };
        let ice = self.credentials(at, 0);
        let options = WebRtcTransportOptions {
            ice: ice.clone(),
            rtcp_ssrc: SERVER_SSRC,
            max_incoming_bitrate_bps: 0,
            outgoing: OutgoingBitrates::default(),
            consent_timeout_ms: None,
            sctp: None,
        };
        let command = |router| Command::CreateWebRtcTransport {
            router: RouterId(router),
            transport: TransportId(at as u64),
            options: options.clone(),
        };
        self.must_fail(&command(99), &[])?;
        self.must(&command(plan.router))?;
        let machine = Known { addresses: &SERVER, ice: &ice, fingerprint: &IDENTITY.1 };
        let mut client = Client::new(self.now_ns, plan.rtp, &webrtc, &machine);
        for (number, source) in plan.sources.iter().enumerate() {
            client.will_send(number, source.is_video(), source.ssrc, source.rtx.map(|(ssrc, _)| ssrc));
        }
        let mut paths = Paths::default();
        paths.restart(&ice.username_fragment);
        let peer = &mut self.peers[at];
        (peer.state, peer.key_known) = (State::Joined, false);
        peer.local = Some(SERVER[usize::from(plan.rtp.is_ipv6())]);
        peer.web = Some(Box::new(Web {
            client,
            paths,
            up: Wire::new(None),
            ice,
            restarts: 0,
            public: plan.rtp,
            moves: 0,
            cut: false,
            gone: false,
            disturbed: false,
            missed: false,
            closed: false,
            expiries: 0,
            settled_ns: None,
            scheduled_ns: u64::MAX,
            opened: HashMap::new(),
        }));
        self.peer_by_address.insert(plan.rtp, at);
        self.peer_by_address.insert(stranger(at), at);
        let mut acts: Vec<_> = webrtc.moves.iter().map(|(at_ns, how)| (*at_ns, WebAct::Move(*how))).collect();
        acts.extend(webrtc.restarts.iter().map(|at_ns| (*at_ns, WebAct::Restart)));
        if let Some((from_ns, to_ns)) = webrtc.outage {
            acts.extend([(from_ns, WebAct::Cut(true)), (to_ns - 1, WebAct::Cut(false))]);
        }
        for (at_ns, act) in acts {
            self.act_in(at_ns.saturating_sub(self.now_ns), Act::Web(at, act));
        }
        self.act_in(plan.connect_after_ns, Act::Connect(at));
        self.talk(at, |client, now_ns| client.wake(now_ns))
    }

    /// Credentials of the server for a participant.
    fn credentials(&mut self, at: usize, restarts: u32) -> IceParameters {
        let mut secret = [0; 12];
        self.random.fill(&mut secret);
        let password = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        IceParameters { username_fragment: format!("transport{at}x{restarts}"), password }
    }

    pub(super) fn connect_webrtc(&mut self, at: usize) -> Result<(), Broken> {
        let peer = &self.peers[at];
        let (Some(web), Some(plan)) = (&peer.web, &peer.plan.webrtc) else { return Ok(()) };
        let role = if plan.dtls_client { DtlsRole::Client } else { DtlsRole::Server };
        let value = web.client.fingerprint.clone();
        let dtls =
            DtlsParameters { role, fingerprints: vec![Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value }] };
        let command = Command::ConnectWebRtcTransport { transport: TransportId(at as u64), dtls };
        self.must(&command)?;
        self.must_fail(&command, &[])
    }

    pub(super) fn web_act(&mut self, at: usize, act: WebAct) -> Result<(), Broken> {
        let now_ns = self.now_ns;
        let (joined, connected) = (self.peers[at].state == State::Joined, self.peers[at].connected);
        let Some(web) = self.peers[at].web.as_deref_mut().filter(|web| !web.gone) else { return Ok(()) };
        match act {
            WebAct::Wake if now_ns < web.scheduled_ns => Ok(()),
            WebAct::Wake => {
                web.scheduled_ns = u64::MAX;
                if web.client.wake_ns <= now_ns {
                    return self.talk(at, |client, now_ns| client.wake(now_ns));
                }
                self.schedule(at);
                Ok(())
            }
            _ if !joined => Ok(()),
            WebAct::Cut(cut) => {
                // In the middle of a handshake it would not come back; its end comes later for the participant.
                web.cut = cut && connected && web.client.is_connected();
                Ok(())
            }
            WebAct::Move(how) => self.change_address(at, how),
            WebAct::Restart => {
                web.restarts += 1;
                let restarts = web.restarts;
                let ice = self.credentials(at, restarts);
                self.must(&Command::RestartIce { transport: TransportId(at as u64), ice: ice.clone() })?;
                let Some(web) = &mut self.peers[at].web else { return Ok(()) };
                web.paths.restart(&ice.username_fragment);
                web.ice = ice;
                let wait_ns = self.random.range(0..=200) * MS;
                self.act_in(wait_ns, Act::Web(at, WebAct::Restarted));
                Ok(())
            }
            WebAct::Restarted => {
                let ice = web.ice.clone();
                self.talk(at, |client, now_ns| {
                    client.restart(&ice);
                    client.wake(now_ns)
                })
            }
        }
    }

    /// A participant is told of a consumer before there is one.
    pub(super) fn await_webrtc(&mut self, at: usize, options: &ConsumeOptions, video: bool) {
        let peer = &mut self.peers[at];
        let (Some(web), Some(mid)) = (&mut peer.web, &options.mid) else { return };
        web.client.will_receive(mid, video, options.ssrc, options.rtx.as_ref().map(|rtx| rtx.ssrc));
        self.web.waited += u64::from(!peer.connected);
    }

    fn change_address(&mut self, at: usize, how: Move) -> Result<(), Broken> {
        let peer = &mut self.peers[at];
        let Some(web) = &mut peer.web else { return Ok(()) };
        web.settled_ns = None;
        web.disturbed |= !peer.key_known;
        match how {
            Move::Rebound => {
                self.web.rebound += 1;
                web.public.set_port(web.public.port() + 1);
                self.peer_by_address.insert(web.public, at);
                Ok(())
            }
            Move::Moved => {
                self.web.moved += 1;
                web.moves += 1;
                let host = peer.plan.address_after(at, web.moves);
                web.public = host;
                self.peer_by_address.insert(host, at);
                self.talk(at, |client, now_ns| {
                    client.go_to(host);
                    client.wake(now_ns)
                })
            }
        }
    }

    /// A participant leaves of its own accord. False if it leaves that to control.
    pub(super) fn web_leaves(&mut self, at: usize) -> Result<bool, Broken> {
        let peer = &mut self.peers[at];
        let (Some(web), Some(plan)) = (&mut peer.web, &peer.plan.webrtc) else { return Ok(false) };
        if web.gone || plan.leave == Leave::Closed {
            return Ok(false);
        }
        web.missed = peer.connected;
        if plan.leave == Leave::Goodbye {
            self.talk(at, Client::close)?;
        }
        if let Some(web) = &mut self.peers[at].web {
            web.gone = true;
        }
        Ok(true)
    }

    /// Media goes to where a participant is, or not: as [`World::refresh`] for consumers.
    pub(super) fn refresh_webrtc(&mut self) {
        for peer in &mut self.peers {
            let Some(web) = &mut peer.web else { continue };
            let selected = web.paths.selected();
            peer.connected = peer.key_known && !web.closed && selected.is_some();
            peer.rtcp_connected = peer.connected;
            let here = selected.is_some_and(|path| path.remote == web.public);
            let settled = peer.connected && here && web.paths.is_settled();
            web.settled_ns = settled.then(|| web.settled_ns.unwrap_or(self.now_ns));
        }
    }

    /// A participant is one to count on: there, and where media goes.
    pub(super) fn is_reachable(&self, at: usize) -> bool {
        self.reachable_since_ns(at).is_some()
    }

    /// Since when it is.
    pub(super) fn reachable_since_ns(&self, at: usize) -> Option<u64> {
        let peer = &self.peers[at];
        let is_there = peer.state == State::Joined && peer.web.as_ref().is_none_or(|web| !web.gone);
        let since_ns = peer.web.as_ref().map_or(Some(0), |web| web.settled_ns);
        since_ns.filter(|_| is_there)
    }

    /// The links have been good for a while: where participants are is selected; video has begun soon after all was in
    /// place; what leaves is opened.
    pub(super) fn check_alive_webrtc(&self, consumer: &Consumer) -> Result<(), Broken> {
        let Consumer { number, peer, source, .. } = consumer;
        let settled_ns = |at: usize| match &self.peers[at].web {
            Some(web) => web.settled_ns,
            None => Some(0),
        };
        let from = &self.sources[*source];
        let (Some(here_ns), Some(there_ns)) = (settled_ns(*peer), settled_ns(from.peer)) else { return Ok(()) };
        let ready_ns = consumer.ready_since_ns.unwrap_or(self.now_ns);
        let in_place_ns = self.plan.heal_ns.max(ready_ns).max(here_ns).max(there_ns);
        let begun_ns = consumer.synced_ns.unwrap_or(self.now_ns);
        let most_ns = if self.plan.refuse_ppm == 0 { KEY_FRAME_NS.0 } else { KEY_FRAME_NS.1 };
        check!(
            !from.plan.is_video() || begun_ns <= in_place_ns + most_ns,
            "consumer {number} of source {source} to peer {peer} has waited {} ms for a key frame",
            (begun_ns - in_place_ns) / MS
        );
        if self.peers[*peer].web.is_some() {
            let last_ns = consumer.sink.last_ns.unwrap_or_default();
            let silent = (self.now_ns - last_ns.max(in_place_ns)) / MS;
            let most = if from.plan.svc.is_some() { 2_500 } else { 1_200 };
            check!(silent < most, "peer {peer} has opened nothing of consumer {number} for {silent} ms");
        }
        Ok(())
    }

    /// The address of every participant that is there is selected. (Media goes there with its next report, of which it
    /// may send one in 5 s.)
    pub(super) fn check_settled(&self) -> Result<(), Broken> {
        for (at, peer) in self.peers.iter().enumerate() {
            let Some(web) = &peer.web else { continue };
            let (selected, public) = (web.paths.selected(), web.public);
            let waits = web.disturbed && !peer.key_known;
            let lives = peer.state == State::Joined && !web.gone && !waits;
            let is_found = peer.key_known && !web.closed && selected.is_some_and(|path| path.remote == public);
            check!(!lives || is_found, "peer {at} is at {public}, selected is {selected:?}");
        }
        Ok(())
    }

    /// The packets of a consumer, and how long they were on their way; None for those that str0m has not opened.
    pub(super) fn delays(&self, consumer: &Consumer) -> Vec<(Departure, Option<u64>)> {
        let Some(web) = &self.peers[consumer.peer].web else { return Vec::new() };
        let key = usize::try_from(consumer.number).expect("few consumers");
        let opened = web.opened.get(&key);
        let delay = |one: &Departure| Some(opened?.get(&one.index)? - one.left_ns);
        consumer.departures().map(|one| (one, delay(&one))).collect()
    }

    /// Every participant that left without a word that was heard has been noticed.
    pub(super) fn check_noticed(&self) -> Result<(), Broken> {
        for (at, peer) in self.peers.iter().enumerate() {
            let missed = peer.web.as_ref().is_some_and(|web| web.missed);
            check!(!missed || peer.state == State::Left, "nobody has noticed that peer {at} is gone");
        }
        Ok(())
    }
}
