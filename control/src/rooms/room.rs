//! One room: its broadcasters, and the tables of what they have made.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use corecast_wire::{
    Command, CommandError, ConsumerId, ProducerId, RouterId, SrtpCryptoSuite, SrtpParameters, TransportId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::events::Teller;
use super::layers::Sample;
use super::sessions::{Peer, Session};
use super::webrtc::WebRtc;
use super::{ApiError, check_name, next_id};
use crate::addresses::Addresses;
use crate::ortc::{Kind, RtpCapabilities, RtpParameters, can_consume};
use crate::workers::link::RequestError;
use crate::workers::pool::{LayerWatch, Worker};

pub(super) const MAX_DISPLAY_NAME_BYTES: usize = 256;
const MAX_BROADCASTERS: usize = 10_000;
/// Publishers by WHIP.
pub(super) const MAX_PEERS: usize = 10_000;

/// Which generation of mediasoup-demo a broadcaster speaks (it decides statuses and what joining means).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Plain JavaScript: `id`, in the room at once.
    Legacy,
    /// TypeScript: `peerId`, in the room once joined.
    Typed,
}

/// `POST …/broadcasters`, both forms.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BroadcasterBody {
    id: Option<String>,
    peer_id: Option<String>,
    display_name: String,
    device: Device,
    rtp_capabilities: Option<RtpCapabilities>,
}

impl BroadcasterBody {
    /// What can be known without the room: a wrong body makes no room. Name, form, and the field of the name.
    pub(crate) fn check(&self) -> Result<(String, Form, &'static str), ApiError> {
        let (name, form, field) = match (&self.id, &self.peer_id) {
            (Some(id), None) => (id, Form::Legacy, "id"),
            (None, Some(id)) => (id, Form::Typed, "peerId"),
            _ => return Err(ApiError::field("id", "give either id or peerId")),
        };
        check_name(field, name)?;
        if self.display_name.is_empty() || self.display_name.len() > MAX_DISPLAY_NAME_BYTES {
            let cause = format!("must be 1 to {MAX_DISPLAY_NAME_BYTES} bytes long");
            return Err(ApiError::field("displayName", cause));
        }
        Ok((name.clone(), form, field))
    }
}

/// What a broadcaster says it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    #[serde(default)]
    flag: Option<String>,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Value>,
}

#[derive(Debug)]
pub(crate) struct Broadcaster {
    pub(crate) form: Form,
    pub(crate) display_name: String,
    pub(crate) device: Device,
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
    pub(crate) joined: bool,
    /// The order of coming.
    pub(crate) number: u64,
}

#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) id: TransportId,
    pub(crate) broadcaster: String,
    pub(crate) comedia: bool,
    pub(crate) rtcp_mux: bool,
    pub(crate) suite: Option<SrtpCryptoSuite>,
    /// Key of the remote side, given at creation and kept until the transport is connected.
    pub(crate) remote_srtp: Option<SrtpParameters>,
    pub(crate) connected: bool,
    pub(crate) local: SocketAddr,
    /// Of its first producer, and so of all.
    pub(crate) cname: Option<String>,
    pub(crate) next_mid: u32,
    /// Every SSRC that ever was ours on it.
    pub(crate) ssrcs: HashSet<u32>,
}

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    /// Or session.
    pub(crate) transport: String,
    /// Broadcaster or peer.
    pub(crate) owner: String,
    pub(crate) kind: Kind,
    pub(crate) kind_of_streams: &'static str,
    /// Names of its encodings, lowest quality first: their RIDs, or their numbers.
    pub(crate) encodings: Vec<String>,
    /// What was last seen of them.
    pub(super) sample: Option<Sample>,
    pub(crate) consumable: RtpParameters,
    pub(crate) source: Option<Value>,
    pub(crate) paused: bool,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    /// Or session.
    pub(crate) transport: String,
    /// None for a session's.
    pub(crate) broadcaster: Option<String>,
    pub(crate) producer: String,
    pub(crate) paused: bool,
    /// Index of its m= line, of a session.
    pub(super) section: Option<usize>,
    /// The layer that it is sent, of a producer with several encodings.
    pub(super) layer: Option<LayerWatch>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) broadcasters: BTreeMap<String, Broadcaster>,
    /// Publishers by WHIP. No name is among the broadcasters as well.
    pub(crate) peers: BTreeMap<String, Peer>,
    /// WHIP and WHEP.
    pub(crate) sessions: HashMap<String, Session>,
    pub(crate) transports: HashMap<String, Transport>,
    pub(crate) producers: HashMap<String, Producer>,
    pub(crate) consumers: HashMap<String, Consumer>,
    pub(super) teller: Teller,
    closed: bool,
    /// Since when there has been neither broadcaster nor session.
    empty_since: Option<Instant>,
}

/// A room.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: String,
    pub(crate) worker: Arc<Worker>,
    pub(super) router: RouterId,
    pub(super) addresses: Addresses,
    pub(super) webrtc: Arc<WebRtc>,
    state: Mutex<State>,
}

impl Room {
    pub(super) fn new(
        id: &str,
        worker: Arc<Worker>,
        router: RouterId,
        addresses: Addresses,
        webrtc: Arc<WebRtc>,
    ) -> Self {
        let state = State {
            broadcasters: BTreeMap::new(),
            peers: BTreeMap::new(),
            sessions: HashMap::new(),
            transports: HashMap::new(),
            producers: HashMap::new(),
            consumers: HashMap::new(),
            teller: Teller::default(),
            closed: false,
            empty_since: Some(Instant::now()),
        };
        Self { id: id.to_owned(), worker, router, addresses, webrtc, state: Mutex::new(state) }
    }

    /// For looking at it.
    pub(crate) async fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }

    /// For adding to it.
    pub(super) async fn open_state(&self) -> Result<MutexGuard<'_, State>, ApiError> {
        let state = self.state.lock().await;
        if state.closed {
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the room has just closed; try again"));
        }
        Ok(state)
    }

    /// For changing it: the broadcaster must be there.
    pub(super) async fn state_of(&self, broadcaster: &str) -> Result<MutexGuard<'_, State>, ApiError> {
        let state = self.state.lock().await;
        if state.broadcasters.contains_key(broadcaster) {
            return Ok(state);
        }
        Err(ApiError::not_found("broadcaster", broadcaster))
    }

    /// A new broadcaster: its name, its form, and for the legacy form what it may consume.
    pub(crate) async fn create_broadcaster(&self, body: BroadcasterBody) -> Result<(String, Form, Value), ApiError> {
        let (name, form, field) = body.check()?;
        let mut state = self.open_state().await?;
        if state.has_name(&name) {
            return Err(ApiError::conflict(format!("{field}: there is a broadcaster or peer {name:?} already")));
        }
        if state.broadcasters.len() >= MAX_BROADCASTERS {
            let sentence = format!("the room has {MAX_BROADCASTERS} broadcasters already");
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        let peers = state.peers(body.rtp_capabilities.as_ref());
        let mut device = body.device;
        if form == Form::Legacy {
            device.flag = Some("broadcaster".into());
        }
        let broadcaster = Broadcaster {
            form,
            display_name: body.display_name,
            device,
            rtp_capabilities: body.rtp_capabilities,
            joined: form == Form::Legacy,
            number: next_id(),
        };
        state.broadcasters.insert(name.clone(), broadcaster);
        state.note_use();
        state.tell_of("joined", &name);
        Ok((name, form, json!({ "peers": peers })))
    }

    /// A broadcaster of the typed form is in the room from now on.
    pub(crate) async fn join(&self, broadcaster: &str) -> Result<(), ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        match state.broadcasters.get_mut(broadcaster) {
            Some(broadcaster) if !broadcaster.joined => broadcaster.joined = true,
            _ => return Err(ApiError::conflict("the broadcaster has joined already")),
        }
        state.tell_of("joined", broadcaster);
        Ok(())
    }

    /// A broadcaster leaves with everything that it made. Its form decides the status of the answer.
    pub(crate) async fn remove_broadcaster(&self, broadcaster: &str) -> Result<Form, ApiError> {
        let mut state = self.state_of(broadcaster).await?;
        let of = |transport: &Transport| transport.broadcaster == broadcaster;
        let transports: Vec<_> =
            state.transports.iter().filter(|(_, t)| of(t)).map(|(name, t)| (name.clone(), t.id)).collect();
        for (name, transport) in transports {
            gone_is_closed(self.worker.link.apply(Command::CloseTransport { transport }).await)?;
            state.forget_transport(&name);
        }
        self.end_stranded(&mut state).await?;
        let gone = state.broadcasters.remove(broadcaster);
        if gone.as_ref().is_some_and(|gone| gone.joined) {
            state.tell_left(broadcaster);
        }
        state.note_use();
        Ok(gone.map_or(Form::Legacy, |gone| gone.form))
    }

    /// Of a broadcaster that is there.
    pub(crate) async fn form_of(&self, broadcaster: &str) -> Result<Form, ApiError> {
        let state = self.state_of(broadcaster).await?;
        Ok(state.broadcasters.get(broadcaster).map_or(Form::Legacy, |broadcaster| broadcaster.form))
    }

    /// Everybody who has joined, with their producers.
    pub(crate) async fn peer_producers_infos(&self, broadcaster: &str) -> Result<Value, ApiError> {
        let state = self.state_of(broadcaster).await?;
        state.must_have_joined(broadcaster)?;
        let others = state.broadcasters.iter().filter(|(name, of)| of.joined && *name != broadcaster);
        let names = others.map(|(name, _)| name).chain(state.peers.keys());
        let infos: Vec<_> =
            names.map(|name| json!({ "peerId": name, "producers": state.producers_of(name) })).collect();
        Ok(json!({ "peerProducersInfos": infos }))
    }

    pub(super) async fn close(&self) -> Result<(), ApiError> {
        let mut state = self.state.lock().await;
        self.close_locked(&mut state).await
    }

    pub(super) async fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        self.state.lock().await.idle(now, idle)
    }

    /// True if it is closed now.
    pub(super) async fn close_if_idle(&self, now: Instant, idle: Duration) -> Result<bool, ApiError> {
        let mut state = self.state.lock().await;
        if !state.idle(now, idle) {
            return Ok(false);
        }
        self.close_locked(&mut state).await.map(|()| true)
    }

    async fn close_locked(&self, state: &mut State) -> Result<(), ApiError> {
        gone_is_closed(self.worker.link.apply(Command::CloseRouter { router: self.router }).await)?;
        tracing::info!("room {:?} is closed", self.id);
        state.closed = true;
        for session in state.sessions.values() {
            self.worker.unwatch(session.transport);
        }
        // Whoever waits for the end of a session, or listens, sees it by this.
        state.sessions.clear();
        state.teller = Teller::default();
        state.peers.clear();
        state.broadcasters.clear();
        state.transports.clear();
        state.producers.clear();
        state.consumers.clear();
        Ok(())
    }
}

/// Closing what has closed by itself is no error.
pub(super) fn gone_is_closed(result: Result<(), RequestError>) -> Result<(), RequestError> {
    match result {
        Err(RequestError::Refused(CommandError::NotFound { .. })) => Ok(()),
        other => other,
    }
}

impl State {
    fn idle(&self, now: Instant, idle: Duration) -> bool {
        !self.teller.has_listeners() && self.empty_since.is_some_and(|since| now.duration_since(since) >= idle)
    }

    /// Somebody has come or gone.
    pub(super) fn note_use(&mut self) {
        let empty = self.broadcasters.is_empty() && self.sessions.is_empty();
        self.empty_since = empty.then(|| self.empty_since.unwrap_or_else(Instant::now));
    }

    /// Whether a broadcaster or a peer is called so.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.broadcasters.contains_key(name) || self.peers.contains_key(name)
    }

    /// The demo answers the rest with "wrong state" before this.
    pub(super) fn must_have_joined(&self, broadcaster: &str) -> Result<(), ApiError> {
        match self.broadcasters.get(broadcaster) {
            Some(of) if of.joined => Ok(()),
            _ => Err(ApiError::conflict("the broadcaster has not joined yet")),
        }
    }

    pub(super) fn transport_of(&mut self, broadcaster: &str, transport: &str) -> Result<&mut Transport, ApiError> {
        let found = self.transports.get_mut(transport).filter(|found| found.broadcaster == broadcaster);
        found.ok_or_else(|| ApiError::not_found("transport", transport))
    }

    pub(super) fn producer_of(&mut self, broadcaster: &str, producer: &str) -> Result<&mut Producer, ApiError> {
        let found = self.producers.get_mut(producer).filter(|found| found.owner == broadcaster);
        found.ok_or_else(|| ApiError::not_found("producer", producer))
    }

    pub(super) fn consumer_of(&mut self, broadcaster: &str, consumer: &str) -> Result<&mut Consumer, ApiError> {
        let found = self.consumers.get_mut(consumer);
        let found = found.filter(|found| found.broadcaster.as_deref() == Some(broadcaster));
        found.ok_or_else(|| ApiError::not_found("consumer", consumer))
    }

    /// A transport has closed, and with it what was inside.
    pub(super) fn forget_transport(&mut self, transport: &str) {
        self.transports.remove(transport);
        self.consumers.retain(|_, consumer| consumer.transport != transport);
        let inside = self.producers.iter().filter(|(_, producer)| producer.transport == transport);
        for producer in inside.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.forget_producer(&producer);
        }
    }

    pub(super) fn forget_producer(&mut self, producer: &str) {
        self.producers.remove(producer);
        self.consumers.retain(|_, consumer| consumer.producer != producer);
    }

    /// Whom and what a legacy broadcaster may consume; nothing without capabilities.
    fn peers(&self, capabilities: Option<&RtpCapabilities>) -> Vec<Value> {
        let Some(capabilities) = capabilities else { return Vec::new() };
        let joined = self.broadcasters.iter().filter(|(_, broadcaster)| broadcaster.joined);
        let joined = joined.map(|(name, of)| (name, &of.display_name, json!(of.device)));
        let peers = self.peers.iter().map(|(name, of)| (name, &of.display_name, json!({ "name": "WHIP" })));
        let peer = |(name, display_name, device): (&String, &String, Value)| {
            let theirs = self.producers.iter().filter(|(_, producer)| producer.owner == *name);
            let producers: Vec<_> = theirs
                .filter(|(_, producer)| can_consume(&producer.consumable, capabilities))
                .map(|(id, producer)| json!({ "id": id, "kind": producer.kind }))
                .collect();
            json!({
                "id": name,
                "displayName": display_name,
                "device": device,
                "producers": producers,
            })
        };
        joined.chain(peers).map(peer).collect()
    }

    fn producers_of(&self, broadcaster: &str) -> Vec<Value> {
        let theirs = self.producers.iter().filter(|(_, producer)| producer.owner == broadcaster);
        theirs
            .map(|(id, producer)| {
                json!({
                    "producerId": id,
                    "kind": producer.kind,
                    "source": producer.source,
                    "consumableCodecs": producer.consumable_codecs(),
                })
            })
            .collect()
    }
}

impl Producer {
    /// Codecs as `peerProducersInfos` lists them: without RTX and without feedback.
    fn consumable_codecs(&self) -> Vec<Value> {
        let media = self.consumable.codecs.iter().filter(|codec| !codec.mime_type.ends_with("/rtx"));
        media
            .filter_map(|codec| {
                let mut codec = serde_json::to_value(codec).ok()?;
                codec.as_object_mut()?.remove("rtcpFeedback");
                Some(codec)
            })
            .collect()
    }
}
