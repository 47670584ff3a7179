//! Sessions of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as their clients know them: by a URL that cannot be
//! guessed, with an entity tag for the ICE session.
//!
//! Owns the table of URLs. What a session does in its room is the room's affair; a task per session waits for the end,
//! whoever brings it about: the client, silence, a failed handshake, the publisher, the room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corecast_wire::{DtlsState, IceState, TransportId};
use rand::RngExt as _;
use tokio::sync::{oneshot, watch};

use crate::rooms::{ApiError, LayerBody, Made, Room, draw_ice, path_segment};
use crate::sdp::{self, Bundle, Fragment, Local, RemoteIce};
use crate::signaling::http::rates::Bucket;
use crate::workers::pool::TransportState;

/// Of a session URL: 192 bits.
const SECRET_BYTES: usize = 24;
const ETAG_BYTES: usize = 12;
/// A client trickles a few times and restarts ICE when its network changes.
const PATCHES_PER_SECOND: u32 = 10;

/// By which of the two protocols a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It publishes.
    Whip,
    /// It watches.
    Whep,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    door: Door,
    room: Arc<Room>,
    id: String,
    transport: TransportId,
    bundle: Bundle,
    patches: Mutex<Bucket>,
    ice: tokio::sync::Mutex<IceSession>,
}

/// What an ICE restart changes.
#[derive(Debug)]
struct IceSession {
    etag: String,
    local: Local,
    remote: RemoteIce,
}

/// What a client is told of its new session.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Arc<Session>,
    pub(crate) location: String,
    pub(crate) etag: String,
    pub(crate) answer: String,
    /// Who publishes, or is watched.
    pub(crate) peer: String,
    /// It watches something that is sent in several encodings.
    pub(crate) has_layers: bool,
}

/// What a PATCH did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Patched {
    /// Candidates were taken note of.
    Trickled,
    /// ICE was restarted.
    Restarted {
        /// Of the new ICE session.
        etag: String,
        /// Our side of it.
        fragment: String,
    },
}

/// The `If-Match` headers of a request (RFC 9110 section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// There is none.
    Absent,
    /// `*`.
    Any,
    /// Entity tags as they stand, quotes included.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Strong comparison: a weak tag matches nothing.
    fn check(&self, etag: &str) -> Result<(), ApiError> {
        match self {
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.iter().any(|tag| tag == etag) => Ok(()),
            Self::Tags(_) => {
                let sentence = "If-Match: is not the ETag of the current ICE session";
                Err(ApiError::new(StatusCode::PRECONDITION_FAILED, sentence))
            }
            Self::Absent => {
                let sentence = "If-Match: is missing; give the session's ETag, or * to restart ICE";
                Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, sentence))
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

/// All sessions, by the secret in their URL.
pub(crate) struct Sessions {
    table: Mutex<HashMap<String, Arc<Session>>>,
    /// A session that is not connected after this time is ended.
    connect_timeout: Duration,
}

impl std::fmt::Debug for Sessions {
    /// Secrets are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("open", &self.table().len()).finish_non_exhaustive()
    }
}

impl Sessions {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self { table: Mutex::default(), connect_timeout }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of that URL.
    pub(crate) fn get(&self, door: Door, room: &str, secret: &str) -> Option<Arc<Session>> {
        self.table().get(secret).filter(|session| session.door == door && session.room.id == room).cloned()
    }

    /// Gives a new session its URL and waits, in the background, for its end.
    pub(crate) fn open(self: &Arc<Self>, door: Door, room: Arc<Room>, made: Made) -> Opened {
        let Made { id, peer, transport, answer, local, remote, bundle, states, has_layers, ended } = made;
        let (secret, etag) = (draw::<SECRET_BYTES>(), draw_etag());
        let room_segment = path_segment(&room.id);
        let location = match door {
            Door::Whip => format!("/whip/{room_segment}/{secret}"),
            Door::Whep => format!("/whep/{room_segment}/s/{secret}"),
        };
        let session = Arc::new(Session {
            door,
            room,
            id,
            transport,
            bundle,
            patches: Mutex::new(Bucket::new(Instant::now())),
            ice: tokio::sync::Mutex::new(IceSession { etag: etag.clone(), local, remote }),
        });
        self.table().insert(secret.clone(), Arc::clone(&session));
        let (sessions, waiting) = (Arc::clone(self), Arc::clone(&session));
        tokio::spawn(async move {
            waiting.until_end(states, ended, sessions.connect_timeout).await;
            sessions.table().remove(&secret);
        });
        Opened { session, location, etag, answer, peer, has_layers }
    }
}

impl Session {
    /// The room that it is in.
    pub(crate) fn room_id(&self) -> &str {
        &self.room.id
    }

    /// Its client chooses a layer.
    pub(crate) async fn select_layer(&self, body: LayerBody) -> Result<(), ApiError> {
        self.room.select_layer(&self.id, body).await
    }

    /// The layers that its client may choose from.
    pub(crate) async fn layers(&self) -> Result<serde_json::Value, ApiError> {
        self.room.layers(&self.id).await
    }

    /// Tells when it is sent another layer.
    pub(crate) async fn watch_layers(&self) -> Result<Vec<watch::Receiver<Option<u8>>>, ApiError> {
        self.room.watch_layers(&self.id).await
    }

    /// Ends it: its transport is closed when this returns. False if it had ended before.
    pub(crate) async fn end(&self, why: &str) -> Result<bool, ApiError> {
        self.room.end_session(&self.id, why).await
    }

    /// Returns when the session has ended, having ended it if its transport has.
    async fn until_end(
        &self,
        mut states: watch::Receiver<TransportState>,
        mut ended: oneshot::Receiver<()>,
        connect_timeout: Duration,
    ) {
        let connect = tokio::time::sleep(connect_timeout);
        tokio::pin!(connect);
        let mut connected = false;
        let why = loop {
            let TransportState { ice, dtls } = *states.borrow_and_update();
            match (ice, dtls) {
                (IceState::Disconnected, _) => break "nothing was heard of the client",
                (_, DtlsState::Failed) => break "the DTLS handshake failed",
                (_, DtlsState::Closed) => break "the client closed DTLS",
                (_, DtlsState::Connected) if !connected => {
                    connected = true;
                    self.room.session_connected(&self.id).await;
                }
                _ => {}
            }
            tokio::select! {
                _ = &mut ended => return,
                () = &mut connect, if !connected => break "it was not connected in time",
                changed = states.changed() => if changed.is_err() {
                    // The room has closed the transport, so the session has ended or is about to.
                    let _ = ended.await;
                    return;
                },
            }
        };
        if let Err(error) = self.end(why).await {
            tracing::warn!("transport {} cannot be closed: {error}", self.transport);
        }
    }

    /// Trickle ICE or an ICE restart (RFC 9725 section 4.3): a fragment with other credentials than the current ones is
    /// a restart. We are ICE-lite and wait for checks, so candidates are not looked at.
    pub(crate) async fn patch(&self, if_match: &IfMatch, fragment: &Fragment) -> Result<Patched, ApiError> {
        let mut ice = self.ice.lock().await;
        if_match.check(&ice.etag)?;
        let remote = match &fragment.ice {
            None => return Ok(Patched::Trickled),
            Some(remote) if remote.ufrag == ice.remote.ufrag && remote.pwd == ice.remote.pwd => {
                return Ok(Patched::Trickled);
            }
            Some(remote) if remote.ufrag == ice.remote.ufrag => {
                let sentence = "a=ice-pwd: is another than before, but a=ice-ufrag is not (RFC 8839 section 4.4.1.1.1)";
                return Err(ApiError::new(StatusCode::BAD_REQUEST, sentence));
            }
            Some(remote) => remote.clone(),
        };
        let local = Local { ice: draw_ice(), ..ice.local.clone() };
        self.room.restart_ice(self.transport, local.ice.clone()).await?;
        let fragment = sdp::fragment(&local, &self.bundle);
        *ice = IceSession { etag: draw_etag(), local, remote };
        Ok(Patched::Restarted { etag: ice.etag.clone(), fragment })
    }

    /// Whether one more PATCH, or question about layers, may be looked at now.
    pub(crate) fn may_ask(&self) -> bool {
        let mut patches = self.patches.lock().unwrap_or_else(PoisonError::into_inner);
        patches.try_take(Instant::now(), PATCHES_PER_SECOND)
    }
}
