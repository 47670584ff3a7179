//! Sessions of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as their clients know them: by a URL that cannot be
//! guessed, with an entity tag for the ICE session.
//!
//! Owns the table of URLs. What a session does in its room is the room's affair; a task per session waits for the end,
//! whatever brings it about: the client, silence, a failed handshake, the publisher, the room.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corecast_wire::{DtlsState, IceState};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::join::{Answered, LayeredSection};
use crate::http::{Admitted, App, Bucket, HttpError, path_segment};
use crate::ledger::{About, Key, Ledger, Rows};
use crate::rooms::{self, Code, EncodingsWanted, Error, Joined, LayerReport, LayerWish, Left, PeerHandle, Room};
use crate::sdp::{self, Bundle, Fragment, Local, RemoteIce};
use crate::settings::Grant;
use crate::workers::{ChannelEvent, ChannelEvents, ConsumerState, TransportState};

/// Why a session ends whose handshake came to nothing. What the client dislikes it seldom says, so the likeliest cause
/// is named.
const HANDSHAKE_FAILED: &str = "the DTLS handshake failed; the client's certificate must have an ECDSA key on the \
    curve P-256, P-384 or (in DTLS 1.2) P-224 or P-521, or of RSA with at least 2,048 bits";

/// Random bytes of a session URL: 192 bits.
const SECRET_BYTES: usize = 24;
const ETAG_BYTES: usize = 12;
/// For so long it is remembered that a session has ended, and why.
const REMEMBERED: Duration = Duration::from_secs(60);
const CLOSED_BY_CLIENT: &str = "its client closed DTLS";
/// Why a session ends whose client has ended it by `DELETE`.
pub(super) const ASKED_FOR: &str = "its client asked for it";
/// Why a session ends whose client did not wait for the answer.
pub(super) const HUNG_UP: &str = "its client hung up";
/// Why a session ends whose client has another one in its place.
pub(super) const CAME_AGAIN: &str = "its client came again";
const SILENT: &str = "nothing was heard of the client";
const NO_CHECKS: &str = "no ICE check of its client came in time";
const NOT_CONNECTED: &str = "its client has not shaken hands in time";
/// A client trickles a few times and restarts ICE when its network changes.
const PATCHES_PER_SECOND: u32 = 10;

/// Which of the two protocols a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Endpoint {
    /// It publishes.
    Whip,
    /// It watches.
    Whep,
}

impl Endpoint {
    /// What its sessions are counted as.
    fn kind(self) -> &'static str {
        match self {
            Self::Whip => "publisher",
            Self::Whep => "viewer",
        }
    }

    /// What a token must allow.
    pub(super) fn grant(self) -> Grant {
        match self {
            Self::Whip => Grant::Publish,
            Self::Whep => Grant::Subscribe,
        }
    }
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    endpoint: Endpoint,
    room: Arc<Room>,
    peer: PeerHandle,
    /// Name of its transport.
    transport: String,
    bundle: Bundle,
    layered: Vec<LayeredSection>,
    patches: Mutex<Bucket>,
    left: Left,
    ice: tokio::sync::Mutex<IceSession>,
    /// Where it stands in the ledger. Its name there is the secret of its URL.
    row: Key,
    client: IpAddr,
    ledger: Arc<Ledger>,
}

/// What an ICE restart changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct IceSession {
    etag: String,
    local: Local,
    remote: RemoteIce,
}

/// What a client is told of its new session.
#[derive(Debug)]
pub(super) struct CreatedSession {
    pub(super) session: Arc<Session>,
    pub(super) location: String,
    pub(super) etag: String,
    pub(super) answer: String,
    /// Who publishes, or is watched.
    pub(super) peer: String,
    /// It watches something that is sent in several encodings.
    pub(super) has_layers: bool,
}

/// What a PATCH did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Patched {
    /// Candidates were taken note of.
    Trickled,
    /// ICE was restarted.
    Restarted {
        /// Tag of the new ICE session.
        etag: String,
        /// The server's side of it.
        fragment: String,
    },
}

/// The `If-Match` headers of a request (RFC 9110 section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// There is none.
    Absent,
    /// `*`.
    Any,
    /// Entity tags as they stand, quotes included.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Strong comparison: a weak tag matches nothing.
    fn check(&self, etag: &str) -> Result<(), HttpError> {
        match self {
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.iter().any(|tag| tag == etag) => Ok(()),
            Self::Tags(_) => {
                let sentence = "If-Match: is not the ETag of the current ICE session";
                Err(HttpError::new(StatusCode::PRECONDITION_FAILED, sentence))
            }
            Self::Absent => {
                let sentence = "If-Match: is missing; give the session's ETag, or * to restart ICE";
                Err(HttpError::new(StatusCode::PRECONDITION_REQUIRED, sentence))
            }
        }
    }
}

/// Random text for URLs and tags.
fn draw<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    rand::rng().fill(&mut bytes[..]);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn draw_etag() -> String {
    format!("\"{}\"", draw::<ETAG_BYTES>())
}

/// What a URL is of.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// A session.
    Open(Arc<Session>),
    /// One that ended a moment ago.
    Ended {
        endpoint: Endpoint,
        room: String,
        /// Why it has ended.
        why: &'static str,
        /// The same with how far its client came, if it was never connected.
        told: Arc<str>,
    },
}

impl Entry {
    fn is_at(&self, endpoint: Endpoint, room: &str) -> bool {
        match self {
            Self::Open(session) => session.endpoint == endpoint && session.room.id() == room,
            Self::Ended { endpoint: its, room: of, .. } => *its == endpoint && of == room,
        }
    }
}

/// All sessions, by the secret in their URL.
pub(super) struct Sessions {
    table: Mutex<HashMap<String, Entry>>,
    /// A session that is not connected after this time is ended.
    connect_timeout: Duration,
    /// Where is kept what outlives the server.
    ledger: Arc<Ledger>,
}

impl std::fmt::Debug for Sessions {
    /// Secrets are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("open", &self.table().len()).finish_non_exhaustive()
    }
}

impl Sessions {
    pub(super) fn new(connect_timeout: Duration, ledger: Arc<Ledger>) -> Self {
        Self { table: Mutex::default(), connect_timeout, ledger }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is, or was, at that URL.
    pub(super) fn entry(&self, endpoint: Endpoint, room: &str, secret: &str) -> Option<Entry> {
        self.table().get(secret).filter(|entry| entry.is_at(endpoint, room)).cloned()
    }

    /// The session of that URL.
    pub(super) fn get(&self, endpoint: Endpoint, room: &str, secret: &str) -> Option<Arc<Session>> {
        match self.entry(endpoint, room, secret) {
            Some(Entry::Open(session)) => Some(session),
            _ => None,
        }
    }

    /// Whether a session ended because its client closed DTLS. Its client is told once that it has ended.
    pub(super) fn take_farewell(&self, endpoint: Endpoint, room: &str, secret: &str) -> bool {
        let mut table = self.table();
        let ended = table.get(secret).filter(|entry| entry.is_at(endpoint, room));
        let said = matches!(ended, Some(Entry::Ended { why: CLOSED_BY_CLIENT, .. }));
        if said {
            table.remove(secret);
        }
        said
    }

    /// Gives a new session its URL and waits, in the background, for its end.
    pub(super) fn open(
        self: &Arc<Self>,
        endpoint: Endpoint,
        room: Arc<Room>,
        answered: Answered,
        mut admitted: Admitted,
    ) -> CreatedSession {
        let Answered { joined, channels, peer, answer, local, remote, bundle, layered } = answered;
        let Joined { peer: handle, transport, states, left, .. } = joined;
        let (secret, etag) = (draw::<SECRET_BYTES>(), draw_etag());
        admitted.begins(endpoint.kind());
        let (room_segment, room_id) = (path_segment(room.id()), room.id().to_owned());
        let location = match endpoint {
            Endpoint::Whip => format!("/whip/{room_segment}/{secret}"),
            Endpoint::Whep => format!("/whep/{room_segment}/s/{secret}"),
        };
        let has_layers = !layered.is_empty();
        let session = Arc::new(Session {
            endpoint,
            room,
            peer: handle,
            transport,
            bundle,
            layered,
            patches: Mutex::new(Bucket::new(Instant::now())),
            left: left.clone(),
            ice: tokio::sync::Mutex::new(IceSession { etag: etag.clone(), local, remote }),
            row: Key::new(About::Session, &room_id, &secret),
            client: admitted.client(),
            ledger: Arc::clone(&self.ledger),
        });
        session.save_first();
        self.follow(Arc::clone(&session), (states, channels), left, admitted);
        CreatedSession { session, location, etag, answer, peer, has_layers }
    }

    /// Has the session at its URL, and waits, in the background, for its end.
    fn follow(
        self: &Arc<Self>,
        session: Arc<Session>,
        told: (watch::Receiver<TransportState>, Option<ChannelEvents>),
        left: Left,
        mut admitted: Admitted,
    ) {
        let (sessions, secret) = (Arc::clone(self), session.row.name.clone());
        self.table().insert(secret.clone(), Entry::Open(Arc::clone(&session)));
        tokio::spawn(async move {
            session.until_end(told, left.clone(), &mut admitted, sessions.connect_timeout).await;
            admitted.ends(cause(left.why()));
            sessions.ledger.remove(session.row.clone());
            let (endpoint, room) = (session.endpoint, session.room.id().to_owned());
            drop(session);
            sessions
                .table()
                .insert(secret.clone(), Entry::Ended { endpoint, room, why: left.why(), told: left.told() });
            tokio::time::sleep(REMEMBERED).await;
            sessions.table().remove(&secret);
        });
    }

    /// Goes on with the sessions of the server before whose peers are in their rooms. To be called before requests are
    /// answered.
    pub(super) async fn restore(self: &Arc<Self>, app: &App, rows: &Rows) {
        let mut there = HashSet::new();
        for (row, saved) in rows.of::<SavedSession>(About::Session, None) {
            let room = app.rooms().get(&row.room).await.ok();
            let found = match &room {
                Some(room) => room.find_session(&saved.peer, &saved.transport).await,
                None => None,
            };
            let (Some(room), Some((peer, left, states))) = (room, found) else {
                self.ledger.remove(row);
                continue;
            };
            there.insert((room.id().to_owned(), peer.name().to_owned()));
            let mut admitted = app.readmit_session(saved.client);
            admitted.begins(saved.endpoint.kind());
            let session = Session {
                endpoint: saved.endpoint,
                room,
                peer,
                transport: saved.transport,
                bundle: saved.bundle,
                layered: saved.layered,
                patches: Mutex::new(Bucket::new(Instant::now())),
                left: left.clone(),
                ice: tokio::sync::Mutex::new(saved.ice),
                row,
                client: saved.client,
                ledger: Arc::clone(&self.ledger),
            };
            self.follow(Arc::new(session), (states, None), left, admitted);
        }
        app.rooms().keep_sessions(&there).await;
    }
}

/// What is kept of a session.
#[derive(Debug, Serialize, Deserialize)]
struct SavedSession {
    endpoint: Endpoint,
    peer: String,
    transport: String,
    bundle: Bundle,
    layered: Vec<LayeredSection>,
    ice: IceSession,
    client: IpAddr,
}

impl Session {
    fn save_first(&self) {
        // Nobody else has it yet.
        if let Ok(ice) = self.ice.try_lock() {
            self.save(&ice);
        }
    }

    /// Keeps it for the next server.
    fn save(&self, ice: &IceSession) {
        let saved = SavedSession {
            endpoint: self.endpoint,
            peer: self.peer.name().to_owned(),
            transport: self.transport.clone(),
            bundle: self.bundle.clone(),
            layered: self.layered.clone(),
            ice: ice.clone(),
            client: self.client,
        };
        self.ledger.put(self.row.clone(), &saved);
    }

    /// The room that it is in.
    pub(super) fn room_id(&self) -> &str {
        self.room.id()
    }

    /// What others call its peer.
    pub(super) fn peer_name(&self) -> &str {
        self.peer.name()
    }

    /// Its sections of pictures, of which there may be several layers.
    pub(super) fn layered(&self) -> &[LayeredSection] {
        &self.layered
    }

    /// Its client chooses layers for a consumer, or leaves the choice to the server.
    pub(super) async fn select_layer(&self, consumer: &str, wish: LayerWish<'_>) -> Result<(), Error> {
        self.room.wish_layers(&self.peer, consumer, wish).await
    }

    /// The encodings that each of its sections may be sent, with the sections' indices. None of what has gone; an error
    /// if the session has ended.
    pub(super) async fn layers(&self) -> Result<Vec<(usize, LayerReport)>, Error> {
        self.room.check_present(&self.peer).await?;
        let mut reports = Vec::new();
        for section in &self.layered {
            match self.room.layers(&self.peer, &section.of).await {
                Ok(report) => reports.push((section.index, report)),
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reports)
    }

    /// Tells which encodings nobody takes, of each of its sections that has several.
    pub(super) async fn watch_wanted(&self) -> Result<Vec<(usize, EncodingsWanted)>, Error> {
        self.room.check_present(&self.peer).await?;
        let mut sections = Vec::new();
        for section in &self.layered {
            let encodings = self.room.watch_wanted(&self.peer, &section.of).await?;
            sections.extend(encodings.map(|encodings| (section.index, encodings)));
        }
        Ok(sections)
    }

    /// Tells when it is sent another layer, or nothing.
    pub(super) async fn watch_layers(&self) -> Result<Vec<watch::Receiver<ConsumerState>>, Error> {
        let mut receivers = Vec::new();
        for section in &self.layered {
            match self.room.watch_layer(&self.peer, &section.of).await {
                Ok(receiver) => receivers.push(receiver),
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(receivers)
    }

    /// Tells when it has ended, and why.
    pub(super) fn left(&self) -> Left {
        self.left.clone()
    }

    /// Ends it: its transport is closed when this returns. False if it had ended before.
    pub(super) async fn end(&self, why: &'static str) -> Result<bool, Error> {
        self.room.remove_peer(&self.peer, why).await
    }

    /// Returns when the session has ended, having ended it if its transport has.
    async fn until_end(
        &self,
        (mut states, mut channels): (watch::Receiver<TransportState>, Option<ChannelEvents>),
        mut left: Left,
        admitted: &mut Admitted,
        connect_timeout: Duration,
    ) {
        let connect = tokio::time::sleep(connect_timeout);
        tokio::pin!(connect);
        let mut connected = false;
        let why = loop {
            let (ice, dtls) = {
                let state = states.borrow_and_update();
                (state.ice, state.dtls)
            };
            match (ice, dtls) {
                (IceState::Disconnected, _) => break SILENT,
                (_, DtlsState::Failed) => break HANDSHAKE_FAILED,
                (_, DtlsState::Closed) => break CLOSED_BY_CLIENT,
                (_, DtlsState::Connected) if !connected => {
                    connected = true;
                    admitted.connects();
                    if self.endpoint == Endpoint::Whip {
                        // Others are told of it. An error: it has left.
                        let _ = self.room.join(&self.peer).await;
                    }
                }
                _ => {}
            }
            tokio::select! {
                () = left.over() => return,
                event = next(&mut channels) => {
                    self.room.follow_channel(&self.peer, &self.transport, event).await;
                }
                () = &mut connect, if !connected => break if ice == IceState::New { NO_CHECKS } else { NOT_CONNECTED },
                changed = states.changed() => if changed.is_err() {
                    // The room has closed the transport, so the session has ended or is about to.
                    left.over().await;
                    return;
                },
            }
        };
        if let Err(error) = self.end(why).await {
            tracing::warn!("a session of {:?} cannot be ended: {error}", self.peer.name());
        }
    }

    /// Trickle ICE or an ICE restart (RFC 9725 section 4.3): a fragment with other credentials than the current ones is
    /// a restart. The server is ICE-lite and waits for checks, so candidates are not looked at.
    pub(super) async fn patch(&self, if_match: &IfMatch, fragment: &Fragment) -> Result<Patched, HttpError> {
        let mut ice = self.ice.lock().await;
        let remote = fragment.ice.as_ref();
        let current = remote.is_some_and(|own| own.ufrag == ice.remote.ufrag && own.pwd == ice.remote.pwd);
        // The client of WHEP's authors (whip-whep 1.2.0) has none when it watches, and takes a refusal for a failure.
        if current && self.endpoint == Endpoint::Whep && *if_match == IfMatch::Absent {
            return Ok(Patched::Trickled);
        }
        if_match.check(&ice.etag)?;
        let remote = match remote {
            None => return Ok(Patched::Trickled),
            Some(_) if current => return Ok(Patched::Trickled),
            Some(remote) if remote.ufrag == ice.remote.ufrag => {
                let sentence = "a=ice-pwd: is another than before, but a=ice-ufrag is not (RFC 8839 section 4.4.1.1.1)";
                return Err(HttpError::new(StatusCode::BAD_REQUEST, sentence));
            }
            Some(remote) => remote.clone(),
        };
        let renewed = self.room.restart_ice(&self.peer, &self.transport).await?;
        let local = Local { ice: renewed, ..ice.local.clone() };
        let fragment = sdp::fragment(&local, &self.bundle);
        *ice = IceSession { etag: draw_etag(), local, remote };
        self.save(&ice);
        Ok(Patched::Restarted { etag: ice.etag.clone(), fragment })
    }

    /// Whether one more PATCH, or question about layers, may be looked at now.
    pub(super) fn may_ask(&self) -> bool {
        let mut patches = self.patches.lock().unwrap_or_else(PoisonError::into_inner);
        patches.try_take(Instant::now(), PATCHES_PER_SECOND)
    }
}

/// One word for why a session has ended, for counters.
fn cause(why: &str) -> &'static str {
    match why {
        ASKED_FOR | CLOSED_BY_CLIENT | HUNG_UP => "client",
        SILENT => "silence",
        HANDSHAKE_FAILED => "handshake",
        NO_CHECKS => "no_checks",
        NOT_CONNECTED => "not_connected",
        CAME_AGAIN | rooms::FELL_SILENT => "replaced",
        rooms::NOTHING_TO_SEE => "nothing_to_see",
        rooms::ROOM_CLOSED => "room",
        rooms::REMOVED => "removed",
        _ => "other",
    }
}

/// What becomes next of a session's data channels: nothing ever, if it has none.
async fn next(channels: &mut Option<ChannelEvents>) -> ChannelEvent {
    match channels {
        Some(channels) => channels.next().await,
        None => std::future::pending().await,
    }
}
