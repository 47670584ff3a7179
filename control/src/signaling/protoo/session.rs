//! One client: what it asks, what it is told, and the end of both.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tracing::Instrument as _;

use super::dialect::Dialect;
use super::message::{Message, Refusal, notification, response};
use super::pending::Offer;
use super::socket::{self, End, Heard, Incoming, MALFORMED, NO_TEXT, Outgoing, TOO_LONG};
use crate::http::{Admitted, App, Bucket};
use crate::rooms::{self, Absence, Entered, Left, PeerEvent, PeerEvents, PeerHandle, Room, Rooms};
use crate::spans;

/// Interval of pings; a client that has given no sign since the last one has gone (protoo-server's).
const PING: Duration = Duration::from_secs(60);
/// Requests and notifications of a client. A join is a burst of some ten.
const MESSAGES_PER_SECOND: u32 = 100;
/// What a client says is read in parts of this many bytes, and so many of them per second: reading takes time that
/// others want too.
const PART_BYTES: usize = 16 << 10;
const PARTS_PER_SECOND: u32 = 64;
/// Until it is looked at again whether more may be read.
const PAUSE: Duration = Duration::from_millis(20);
/// protoo-client does not come again by itself after this one, and does after any other.
const FOR_GOOD: u16 = 4_000;
/// RFC 6455 section 7.4.1: the protocol is broken, a text is none, what is not wanted, a message is too long; and its
/// registry: the server restarts.
const MALFORMED_CODE: u16 = 1_002;
const NO_TEXT_CODE: u16 = 1_007;
const UNWANTED_CODE: u16 = 1_008;
const TOO_LONG_CODE: u16 = 1_009;
const RESTARTS_CODE: u16 = 1_012;

const HUNG_UP: &str = "its client closed the connection";
/// The same, without a word.
const BROKEN: &str = "the connection to its client broke";
/// Another WebSocket of the same client has taken its place; the peer stays.
const RESUMED: &str = "its client goes on by another connection";
const NOT_JOINED: &str = "it did not join in time";
const NO_SIGN: &str = "its client gave no sign of life";
const TOO_SLOW: &str = "its client does not take what it is told";

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coming {
    /// As a new peer.
    Afresh,
    /// As the peer that it was.
    Back,
}

/// What a client may do beside watching.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    /// Produce media.
    pub(super) publish: bool,
    /// Produce data.
    pub(super) data: bool,
    /// Be sent redundant sound.
    pub(super) red: bool,
}

/// A client's session.
pub(super) struct Session {
    pub(super) app: Arc<App>,
    pub(super) room: Arc<Room>,
    pub(super) peer: PeerHandle,
    pub(super) dialect: Dialect,
    pub(super) has_joined: bool,
    pub(super) rights: Rights,
    /// It takes media, and data.
    pub(super) takes_media: bool,
    pub(super) takes_data: bool,
    /// It has not been told yet what has changed while it was away.
    pub(super) may_resume: bool,
    /// Its place is kept if its connection breaks.
    pub(super) keeps_place: bool,
    /// Names of the transports on which it receives media, and data.
    pub(super) receives_on: [Option<String>; 2],
    /// What it is to be offered: producers and data producers.
    pub(super) wishes: VecDeque<String>,
    pub(super) data_wishes: VecDeque<String>,
    /// What it has been offered and not answered yet.
    pub(super) offers: HashMap<u64, Offer>,
    /// Highest temporal layers of its consumers: what they have, and what it wants.
    pub(super) temporal: HashMap<String, (Option<u8>, Option<u8>)>,
    incoming: Incoming,
    outgoing: Outgoing,
    is_taking: bool,
    /// It has just been told what has changed while it was away.
    is_back: bool,
    pub(super) events: PeerEvents,
    left: Left,
    messages: Bucket,
    parts: Bucket,
}

/// A peer leaves, once the grace is over if it has one, unless its client has come by another connection. Its room
/// closes if it was the last one there.
pub(super) async fn leave(
    rooms: &Rooms,
    room: &Arc<Room>,
    (peer, absence): (&PeerHandle, Absence),
    why: &'static str,
    keeps_place: bool,
) {
    let left = async {
        if keeps_place {
            room.keep_place(peer, absence, why).await?;
        } else {
            room.part(peer, &absence, why).await?;
        }
        rooms.close_if_left(room).await
    };
    if let Err(error) = left.await {
        tracing::warn!("{:?} cannot leave room {:?}: {error}", peer.name(), room.id());
    }
}

impl Session {
    pub(super) fn new(
        app: Arc<App>,
        room: Arc<Room>,
        (entered, coming): (Entered, Coming),
        socket: WebSocket,
        rights: Rights,
    ) -> Self {
        let (peer, left, events) = entered;
        let (incoming, outgoing) = socket::open(socket);
        Self {
            app,
            room,
            peer,
            dialect: Dialect::Unknown,
            has_joined: false,
            rights,
            takes_media: false,
            takes_data: false,
            may_resume: coming == Coming::Back,
            keeps_place: coming == Coming::Back,
            receives_on: [None, None],
            wishes: VecDeque::new(),
            data_wishes: VecDeque::new(),
            offers: HashMap::new(),
            temporal: HashMap::new(),
            incoming,
            outgoing,
            is_taking: true,
            is_back: false,
            events,
            left,
            messages: Bucket::new(std::time::Instant::now()),
            parts: Bucket::new(std::time::Instant::now()),
        }
    }

    /// Serves the client to the end.
    pub(super) async fn run(mut self, mut admitted: Admitted) {
        admitted.begins("participant");
        let version = json!({ "version": env!("CORECAST_VERSION") });
        self.tell("mediasoup-version", &version);
        self.tell("mediasoupVersion", &version);
        let why = self.serve(&mut admitted).await;
        let why = why.unwrap_or_else(|| self.left.why());
        let Self { app, room, peer, incoming, outgoing, keeps_place, events, .. } = self;
        let end = end(why, app.rooms().is_draining());
        let absence = events.absence();
        drop(events);
        if keeps_place && matches!(why, BROKEN | NO_SIGN | MALFORMED | NO_TEXT | TOO_LONG) {
            tracing::info!("participant {:?} in room {:?} keeps its place: {why}", peer.name(), room.id());
            // Meanwhile it counts as the session that it was.
            tokio::spawn(async move {
                leave(app.rooms(), &room, (&peer, absence), why, true).await;
                admitted.ends(cause(why));
            });
        } else {
            admitted.ends(cause(why));
            leave(app.rooms(), &room, (&peer, absence), why, false).await;
        }
        outgoing.close(incoming, end).await;
    }

    /// It hears these events from now on, and no others. Its transports were connected before.
    pub(super) fn goes_on_with(&mut self, events: PeerEvents) {
        self.events = events;
        self.is_back = true;
    }

    /// Why it has ended; none if its peer has left for a reason of its own.
    async fn serve(&mut self, admitted: &mut Admitted) -> Option<&'static str> {
        let join_by = Instant::now() + self.app.config().rooms.join_timeout.0;
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_sign = true;
        loop {
            let overdue = self.offers.values().map(|offer| offer.until).min();
            tokio::select! {
                heard = self.incoming.next() => {
                    has_sign = true;
                    match heard {
                        Heard::Text(text) => self.hear(&text).await,
                        Heard::Sign => {}
                        Heard::Leave => return Some(HUNG_UP),
                        Heard::Wrong(why) => return Some(why),
                        Heard::End => return Some(BROKEN),
                    }
                }
                event = self.events.next() => match event {
                    Some(PeerEvent::Connected) => admitted.connects(),
                    Some(PeerEvent::Disconnected(why)) => return Some(why),
                    Some(event) => self.told(event),
                    None if self.events.absence().is_over() => return Some(RESUMED),
                    None if self.room.check_present(&self.peer).await.is_ok() => return Some(TOO_SLOW),
                    None => {
                        self.left.over().await;
                        return None;
                    }
                },
                () = self.left.over() => return None,
                () = sleep_until(join_by), if !self.has_joined => return Some(NOT_JOINED),
                () = due(overdue) => self.expire().await,
                _ = ping.tick() => {
                    if !std::mem::replace(&mut has_sign, false) {
                        return Some(NO_SIGN);
                    }
                    self.is_taking &= self.outgoing.ping();
                }
            }
            if std::mem::take(&mut self.is_back) {
                admitted.connects();
            }
            // What has come meanwhile is offered in one batch.
            while let Some(event) = self.events.try_next() {
                match event {
                    PeerEvent::Connected => admitted.connects(),
                    PeerEvent::Disconnected(why) => return Some(why),
                    event => self.told(event),
                }
            }
            self.offer().await;
            if !self.is_taking {
                return Some(TOO_SLOW);
            }
        }
    }

    async fn hear(&mut self, text: &str) {
        for _ in 0..text.len() / PART_BYTES {
            while !self.parts.try_take(std::time::Instant::now(), PARTS_PER_SECOND) {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let message = match Message::parse(text) {
            Some(Message::Response { id, result }) => return self.answered(id, result).await,
            Some(message) => message,
            None => {
                tracing::debug!("{:?} in room {:?} says what is no message", self.peer.name(), self.room.id());
                return;
            }
        };
        let is_within = self.messages.try_take(std::time::Instant::now(), MESSAGES_PER_SECOND);
        match message {
            Message::Request { id, method, data } => {
                let span = spans::message(&method, self.room.id(), self.peer.name());
                let request =
                    async { if is_within { self.request(&method, data).await } else { Err(Refusal::too_fast()) } };
                let result = request.instrument(span.clone()).await;
                if let Err(Refusal { reason, .. }) = &result {
                    spans::failed(&span, reason);
                    tracing::debug!("{method} of {:?} in room {:?}: {reason}", self.peer.name(), self.room.id());
                }
                self.say(response(&id, result));
            }
            Message::Notification { method, data } if is_within => {
                if let Err(Refusal { reason, .. }) = self.notified(&method, data).await {
                    tracing::debug!("{method} of {:?} in room {:?}: {reason}", self.peer.name(), self.room.id());
                }
            }
            Message::Notification { .. } | Message::Response { .. } => {}
        }
    }

    /// Tells the client something.
    pub(super) fn tell(&mut self, method: &str, data: &Value) {
        self.say(notification(method, data));
    }

    /// Sends a message.
    pub(super) fn say(&mut self, text: String) {
        self.is_taking = self.is_taking && self.outgoing.text(text);
    }
}

/// Returns at that time, or never.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How a client is told why its session has ended.
fn end(why: &'static str, is_draining: bool) -> End {
    match why {
        HUNG_UP | BROKEN => End::Answer,
        NO_SIGN => End::Gone,
        MALFORMED => End::Code(MALFORMED_CODE, why),
        NO_TEXT => End::Code(NO_TEXT_CODE, why),
        TOO_LONG => End::Code(TOO_LONG_CODE, why),
        TOO_SLOW => End::Overtaking(UNWANTED_CODE, why),
        rooms::ROOM_CLOSED if is_draining => End::Code(RESTARTS_CODE, "the server restarts"),
        rooms::REMOVED => End::Code(FOR_GOOD, "removed by an operator"),
        _ => End::Code(FOR_GOOD, why),
    }
}

/// One word for why a session has ended, for counters.
fn cause(why: &str) -> &'static str {
    match why {
        HUNG_UP | BROKEN | MALFORMED | NO_TEXT | TOO_LONG => "client",
        NO_SIGN | rooms::SILENT => "silence",
        rooms::HANDSHAKE_FAILED => "handshake",
        NOT_JOINED => "not_connected",
        rooms::CAME_AGAIN | RESUMED => "replaced",
        rooms::ROOM_CLOSED => "room",
        rooms::REMOVED => "removed",
        TOO_SLOW => "too_slow",
        _ => "other",
    }
}
