//! Who is in a room.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use corecast_wire::{DtlsState, IceState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::draw::next_id;
use super::ear::{Ear, PeerView};
use super::muted::Muted;
use super::secret::Secret;
use crate::ortc::RtpCapabilities;
use crate::workers::TransportState;

/// By which signaling a peer came. One signaling must not act for the peers of another, and viewers are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PeerKind {
    /// mediasoup-demo's broadcaster API, the JavaScript demo's form.
    LegacyBroadcaster,
    /// mediasoup-demo's broadcaster API, the TypeScript demo's form.
    TypedBroadcaster,
    /// WHIP: it publishes.
    Whip,
    /// WHEP: it watches, and has no name that others know.
    Whep,
    /// mediasoup's signaling by WebSocket: it publishes and is sent what others publish, each by an object of its own,
    /// and hears what happens in the room.
    Participant,
    /// It stands for another machine, which is sent one of the room's publishers for its own viewers.
    Machine,
    /// It publishes at another machine.
    Remote,
}

impl PeerKind {
    /// Whether it came by the broadcaster API.
    pub(crate) fn is_broadcaster(self) -> bool {
        matches!(self, Self::LegacyBroadcaster | Self::TypedBroadcaster)
    }

    /// Whether it only watches. Such a peer leaves when it has nothing left to see.
    pub(super) fn is_viewer(self) -> bool {
        self == Self::Whep
    }

    /// Whether others know it by a name. Those of the rest are drawn for each coming.
    pub(super) fn is_named(self) -> bool {
        !matches!(self, Self::Whep | Self::Machine)
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LegacyBroadcaster | Self::TypedBroadcaster => "broadcaster",
            Self::Whip => "publisher",
            Self::Whep => "viewer",
            Self::Participant => "participant",
            Self::Machine => "machine",
            Self::Remote => "remote publisher",
        }
    }

    /// For people.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::LegacyBroadcaster | Self::TypedBroadcaster => "broadcasters",
            Self::Whip => "publishers",
            Self::Whep => "viewers",
            Self::Participant => "participants",
            Self::Machine => "machines",
            Self::Remote => "remote publishers",
        }
    }
}

/// Why a peer leaves that has been given no reason of its own.
pub(crate) const ROOM_CLOSED: &str = "its room was closed";

/// What a client has shown to be let in. Who shows the same may take the place of one that has vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// A digest of it.
    pub(crate) digest: [u8; 32],
    /// Nobody else shows the same.
    pub(crate) is_personal: bool,
}

/// A peer that is about to come.
#[derive(Clone, Debug)]
pub(crate) struct NewPeer {
    pub(crate) name: String,
    pub(crate) kind: PeerKind,
    pub(crate) display_name: String,
    /// What its signaling tells others of it.
    pub(crate) app_data: Value,
    /// What it can receive, if it said so.
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
    /// Others are told of it from the start.
    pub(crate) joined: bool,
    /// What it was let in by, if it showed anything.
    pub(crate) credential: Option<Credential>,
    /// Address of its client.
    pub(crate) client: IpAddr,
}

/// One coming of a peer. A later peer of the same name has another handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerHandle {
    name: Arc<str>,
    number: u64,
}

impl PeerHandle {
    /// What others call the peer.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name, for tables that keep it.
    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

/// Why a peer has left.
#[derive(Clone, Debug)]
struct End {
    why: &'static str,
    /// The same with how far its client came, if it was never connected.
    told: Arc<str>,
}

/// Tells when a peer has left, and why.
#[derive(Clone, Debug)]
pub(crate) struct Left(watch::Receiver<Option<End>>);

impl Left {
    /// Returns when the peer has left.
    pub(crate) async fn over(&mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// Why it has left.
    pub(crate) fn why(&self) -> &'static str {
        self.0.borrow().as_ref().map_or(ROOM_CLOSED, |end| end.why)
    }

    /// Why it has left, for people: with how far its client came, if it was never connected.
    pub(crate) fn told(&self) -> Arc<str> {
        self.0.borrow().as_ref().map_or_else(|| ROOM_CLOSED.into(), |end| Arc::clone(&end.told))
    }
}

/// A peer that is there.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) handle: PeerHandle,
    pub(super) kind: PeerKind,
    pub(super) display_name: String,
    pub(super) app_data: Value,
    pub(super) rtp_capabilities: Option<Arc<RtpCapabilities>>,
    pub(super) joined: bool,
    pub(super) credential: Option<Credential>,
    /// When it came.
    pub(super) since: Instant,
    /// The name of the peer that a viewer asked for; none if it watches the room.
    pub(super) wanted: Option<String>,
    /// Since when there has been nothing to see for a viewer.
    pub(super) stranded_since: Option<Instant>,
    /// What operators let nobody hear or see of it.
    pub(super) muted: Muted,
    /// Where the events of a participant go.
    pub(super) ear: Option<Ear>,
    /// By which its client can go on as this peer, if it asked for that.
    pub(super) secret: Option<Secret>,
    client: IpAddr,
    /// Told why when the peer leaves, and dropped then.
    present: watch::Sender<Option<End>>,
    /// None before it has been told in the log that the peer is there.
    session: Option<Session>,
}

/// One peer's life in a room as the log tells it: one line at its beginning, and one at its end.
#[derive(Debug)]
struct Session {
    what: String,
    begun: Instant,
    left: watch::Receiver<Option<End>>,
    /// The states of its WebRTC transports.
    states: Vec<watch::Receiver<TransportState>>,
    /// One that is there no longer was connected.
    was_connected: bool,
}

impl Session {
    fn follow(&mut self, states: watch::Receiver<TransportState>) {
        self.was_connected |= self.states.iter().any(|one| one.borrow().shortfall().is_none());
        // There is nothing else to tell of those that have gone.
        self.states.retain(|one| one.has_changed().is_ok());
        self.states.push(states);
    }

    /// Why it ends, with how far the client came on the transport that came farthest, if it was never connected.
    fn tell(&self, why: &'static str) -> String {
        let states: Vec<_> = self.states.iter().map(|one| one.borrow().clone()).collect();
        let was_connected = self.was_connected || states.iter().any(|one| one.shortfall().is_none());
        let farthest = states.iter().max_by_key(|one| (one.dtls != DtlsState::New, one.ice != IceState::New));
        match farthest.filter(|_| !was_connected).and_then(TransportState::shortfall) {
            Some(how_far) => format!("{why} ({how_far})"),
            None => why.to_owned(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let end = self.left.borrow().clone();
        let why = end.map_or_else(|| self.tell(ROOM_CLOSED), |end| end.told.to_string());
        tracing::info!("session ends: {}, after {:.1} s: {why}", self.what, self.begun.elapsed().as_secs_f32());
    }
}

impl Peer {
    /// The peer, and what tells that it has left.
    pub(super) fn new(new: NewPeer) -> (Self, Left) {
        let peer = Self::again(new, next_id());
        let left = peer.left();
        (peer, left)
    }

    /// One that was there when the server before died.
    pub(super) fn again(new: NewPeer, number: u64) -> Self {
        Self {
            handle: PeerHandle { name: new.name.into(), number },
            kind: new.kind,
            display_name: new.display_name,
            app_data: new.app_data,
            rtp_capabilities: new.rtp_capabilities.map(Arc::new),
            joined: new.joined,
            credential: new.credential,
            since: Instant::now(),
            wanted: None,
            stranded_since: None,
            muted: Muted::default(),
            ear: None,
            secret: None,
            client: new.client,
            present: watch::Sender::new(None),
            session: None,
        }
    }

    /// What tells that it has left.
    pub(super) fn left(&self) -> Left {
        Left(self.present.subscribe())
    }

    /// Address of its client.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Its client comes from there from now on, and shows this.
    pub(super) fn comes_from(&mut self, client: IpAddr, credential: Option<Credential>) {
        (self.client, self.credential) = (client, credential);
    }

    /// It is there from now on; the log says so, and when it leaves. The transport is that which it came with, by the
    /// name that `/stats` has.
    pub(super) fn begins(&mut self, room: &str, transport: Option<&str>) {
        self.tell_session("begins", room, transport);
    }

    /// The same of one that was there when the server before died.
    pub(super) fn goes_on(&mut self, room: &str) {
        self.tell_session("goes on", room, None);
    }

    fn tell_session(&mut self, how: &str, room: &str, transport: Option<&str>) {
        let (kind, name, client) = (self.kind.name(), self.handle.name(), self.client);
        let transport = transport.map(|transport| format!(", transport {transport}")).unwrap_or_default();
        let what = format!("{kind} {name:?} in room {room:?}, address {client}{transport}");
        tracing::info!("session {how}: {what}");
        let (begun, left) = (Instant::now(), self.present.subscribe());
        self.session = Some(Session { what, begun, left, states: Vec::new(), was_connected: false });
    }

    /// It has another WebRTC transport, whose states these are. It has begun.
    pub(super) fn follow(&mut self, states: watch::Receiver<TransportState>) {
        if let Some(session) = &mut self.session {
            session.follow(states);
        }
    }

    /// It leaves, for this reason.
    pub(super) fn leaves(&self, why: &'static str) {
        let told = self.session.as_ref().map_or_else(|| why.to_owned(), |session| session.tell(why));
        self.present.send_replace(Some(End { why, told: told.into() }));
    }

    /// Whether participants know of it: once it has joined and, of viewers, from the start.
    pub(super) fn is_shown(&self) -> bool {
        self.joined || self.kind.is_viewer()
    }

    /// The peer as participants know it.
    pub(super) fn view(&self) -> PeerView {
        let display_name = match self.display_name.as_str() {
            "" => self.kind.name().to_owned(),
            name => name.to_owned(),
        };
        PeerView { name: self.handle.name().to_owned(), display_name, app_data: self.app_data.clone() }
    }

    /// The order of coming.
    pub(super) fn number(&self) -> u64 {
        self.handle.number
    }
}
