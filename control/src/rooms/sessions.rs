//! WHIP and WHEP in a room: who publishes, who watches whom.
//!
//! A publisher is a peer beside the broadcasters; its producers are among theirs, so that either kind can consume the
//! other's. A viewer takes whatever producers of one peer its offer has room for, and goes when they have gone.

use std::collections::HashSet;

use axum::http::StatusCode;
use corecast_wire::{Command, ConsumerId, ProducerId, TransportId};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::media::{encoding_names, first_sequence, random_cname};
use super::room::{Consumer, MAX_DISPLAY_NAME_BYTES, MAX_PEERS, Producer, State};
use super::transports::draw_ssrc;
use super::{ApiError, Room, check_name, next_id};
use crate::ortc::{Carrier, Kind, Produced, produce};
use crate::sdp::{self, AnsweredSection, Bundle, Local, Offer, RemoteIce};
use crate::workers::pool::TransportState;

/// Seconds after which a viewer may ask again for a stream that is not there.
const NO_STREAM_RETRY_SECS: u32 = 2;
/// Characters of a name that the server draws.
const DRAWN_NAME_CHARS: usize = 12;

/// Somebody who publishes by WHIP.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) display_name: String,
    /// The order of coming.
    pub(crate) number: u64,
    /// Its transport is connected: others have been told of it.
    pub(crate) live: bool,
}

/// What a session is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It publishes, as this peer.
    Publish(String),
    /// It watches this one.
    View(String),
}

/// A WHIP or WHEP session. Its name is that of its transport.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) transport: TransportId,
    pub(crate) purpose: Purpose,
    /// Whoever waits for the end of the session sees this go.
    _alive: oneshot::Sender<()>,
}

/// A new session, for whoever speaks to its client.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    /// Who publishes, or is watched.
    pub(crate) peer: String,
    pub(crate) transport: TransportId,
    pub(crate) answer: String,
    pub(crate) local: Local,
    pub(crate) remote: RemoteIce,
    pub(crate) bundle: Bundle,
    pub(crate) states: watch::Receiver<TransportState>,
    /// It watches something that is sent in several encodings.
    pub(crate) has_layers: bool,
    /// Resolves when the session has ended.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// A publisher's request, checked as far as it can be without the room: a wrong one makes no room.
#[derive(Debug)]
pub(crate) struct Publishing {
    peer: String,
    display_name: String,
    offer: Offer,
    parts: Vec<(Kind, Produced)>,
    answers: Vec<AnsweredSection>,
}

impl Publishing {
    /// Reads an offer. Without a name of the peer one is drawn.
    pub(crate) fn read(peer: Option<String>, name: Option<String>, offer: &str) -> Result<Self, ApiError> {
        let drawn = || Uuid::new_v4().simple().to_string().chars().take(DRAWN_NAME_CHARS).collect();
        let peer = peer.unwrap_or_else(drawn);
        check_name("peer", &peer)?;
        let display_name = name.unwrap_or_else(|| peer.clone());
        if display_name.is_empty()
            || display_name.len() > MAX_DISPLAY_NAME_BYTES
            || display_name.chars().any(char::is_control)
        {
            let cause = format!("must be 1 to {MAX_DISPLAY_NAME_BYTES} bytes long and without control characters");
            return Err(ApiError::field("name", cause));
        }
        let offer = Offer::parse(offer)?;
        let publications = sdp::publish(&offer)?;
        let named = publications.iter().find_map(|publication| publication.parameters.rtcp.cname.clone());
        let cname = named.unwrap_or_else(random_cname);
        let (mut parts, mut answers) = (Vec::new(), Vec::new());
        for publication in publications {
            let mut parameters = publication.parameters;
            // All of a transport have one: it is what receivers tell belonging together by (RFC 3550 section 6.5.1).
            parameters.rtcp.cname = Some(cname.clone());
            let ssrc = draw_ssrc(&HashSet::new());
            let produced = produce(publication.kind, parameters, Carrier::WebRtc, false, &cname, ssrc)
                .map_err(|error| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
            parts.push((publication.kind, produced));
            answers.push(publication.answer);
        }
        Ok(Self { peer, display_name, offer, parts, answers })
    }
}

/// A viewer's offer, checked as far as it can be without the room.
#[derive(Debug)]
pub(crate) struct Viewing {
    offer: Offer,
}

impl Viewing {
    /// Reads an offer.
    pub(crate) fn read(offer: &str) -> Result<Self, ApiError> {
        let offer = Offer::parse(offer)?;
        sdp::viewing(&offer)?;
        Ok(Self { offer })
    }
}

/// Nobody publishes there yet (draft-ietf-wish-whep section 4.2).
pub(crate) fn no_stream(room: &str, peer: Option<&str>) -> ApiError {
    let sentence = match peer {
        Some(peer) => format!("{peer:?} does not publish in room {room:?} yet"),
        None => format!("nobody publishes in room {room:?} yet"),
    };
    ApiError::conflict(sentence).retry_after(NO_STREAM_RETRY_SECS)
}

/// What a viewer will be given: commands for the worker, sections of the answer, and what to remember.
struct Taken {
    commands: Vec<Command>,
    answers: Vec<AnsweredSection>,
    consumers: Vec<(String, Consumer)>,
}

impl Room {
    /// A new publisher.
    pub(crate) async fn publish(&self, publishing: Publishing) -> Result<Made, ApiError> {
        let Publishing { peer, display_name, offer, parts, answers } = publishing;
        let mut state = self.open_state().await?;
        if state.has_name(&peer) {
            return Err(ApiError::conflict(format!("peer: there is {peer:?} in the room already")));
        }
        if state.peers.len() >= MAX_PEERS {
            let sentence = format!("the room has {MAX_PEERS} publishers already");
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        let transport = TransportId(next_id());
        let id = Uuid::new_v4().to_string();
        let (mut commands, mut producers) = (Vec::new(), Vec::new());
        for (kind, produced) in parts {
            let producer = ProducerId(next_id());
            let encodings = encoding_names(&produced.options);
            commands.push(Command::Produce { transport, producer, options: produced.options });
            producers.push(Producer {
                id: producer,
                transport: id.clone(),
                owner: peer.clone(),
                kind,
                kind_of_streams: produced.kind_of_streams,
                encodings,
                sample: None,
                consumable: produced.consumable,
                source: None,
                paused: false,
            });
        }
        let ssrc = draw_ssrc(&HashSet::new());
        let made = self.make_webrtc(transport, ssrc, commands, offer.dtls.clone()).await?;
        let number = next_id();
        state.peers.insert(peer.clone(), Peer { display_name, number, live: false });
        state.producers.extend(producers.into_iter().map(|producer| (Uuid::new_v4().to_string(), producer)));
        let ended = state.open_session(&id, transport, Purpose::Publish(peer.clone()));
        tracing::info!("{peer:?} publishes in room {:?}, transport {transport}", self.id);
        Ok(Made {
            answer: sdp::answer(&offer, &made.local, &answers),
            bundle: Bundle::of(&offer, &answers),
            remote: offer.ice,
            local: made.local,
            states: made.states,
            has_layers: false,
            id,
            peer,
            transport,
            ended,
        })
    }

    /// A new viewer of this peer, or of whoever has been publishing longest.
    pub(crate) async fn view(&self, peer: Option<&str>, viewing: Viewing) -> Result<Made, ApiError> {
        let Viewing { offer } = viewing;
        let mut state = self.open_state().await?;
        let watched = state.publisher(peer).ok_or_else(|| no_stream(&self.id, peer))?;
        let transport = TransportId(next_id());
        let id = Uuid::new_v4().to_string();
        let mut ssrcs = HashSet::new();
        let rtcp_ssrc = draw_ssrc(&ssrcs);
        ssrcs.insert(rtcp_ssrc);
        let mut taken = state.take(&offer, &watched, transport, &id, &mut ssrcs)?;
        for (_, consumer) in &mut taken.consumers {
            let producer = state.producers.get(&consumer.producer);
            let is_layered = producer.is_some_and(|producer| producer.encodings.len() > 1);
            consumer.layer = is_layered.then(|| self.worker.watch_layer(consumer.id));
        }
        let has_layers = taken.consumers.iter().any(|(_, consumer)| consumer.layer.is_some());
        let made = self.make_webrtc(transport, rtcp_ssrc, taken.commands, offer.dtls.clone()).await?;
        state.consumers.extend(taken.consumers);
        let ended = state.open_session(&id, transport, Purpose::View(watched.clone()));
        tracing::debug!("somebody watches {watched:?} in room {:?}, transport {transport}", self.id);
        Ok(Made {
            answer: sdp::answer(&offer, &made.local, &taken.answers),
            bundle: Bundle::of(&offer, &taken.answers),
            remote: offer.ice,
            local: made.local,
            states: made.states,
            has_layers,
            peer: watched,
            id,
            transport,
            ended,
        })
    }

    /// The session's transport is connected: if it publishes, everybody is told.
    pub(crate) async fn session_connected(&self, id: &str) {
        let mut state = self.state().await;
        let Some(Session { purpose: Purpose::Publish(peer), .. }) = state.sessions.get(id) else { return };
        let peer = peer.clone();
        if let Some(of) = state.peers.get_mut(&peer).filter(|of| !of.live) {
            of.live = true;
            state.tell_of("joined", &peer);
        }
    }

    /// Ends a session with everything in it, and the viewers that it leaves without anything to see. False if there is
    /// none (any more).
    pub(crate) async fn end_session(&self, id: &str, why: &str) -> Result<bool, ApiError> {
        let mut state = self.state().await;
        let Some(session) = state.sessions.get(id) else { return Ok(false) };
        tracing::info!("room {:?}: session of transport {} ends: {why}", self.id, session.transport);
        self.close_webrtc(session.transport).await?;
        state.forget_session(id);
        self.end_stranded(&mut state).await?;
        Ok(true)
    }

    /// Viewers with nothing left to see are ended.
    pub(super) async fn end_stranded(&self, state: &mut State) -> Result<(), ApiError> {
        for (id, transport) in state.stranded() {
            self.close_webrtc(transport).await?;
            state.forget_session(&id);
        }
        Ok(())
    }
}

impl State {
    fn open_session(&mut self, id: &str, transport: TransportId, purpose: Purpose) -> oneshot::Receiver<()> {
        let (alive, ended) = oneshot::channel();
        self.sessions.insert(id.to_owned(), Session { transport, purpose, _alive: alive });
        self.note_use();
        ended
    }

    /// A session's transport has closed, and with it what was inside.
    fn forget_session(&mut self, id: &str) {
        self.forget_transport(id);
        if let Some(Session { purpose: Purpose::Publish(peer), .. }) = self.sessions.remove(id)
            && self.peers.remove(&peer).is_some_and(|peer| peer.live)
        {
            self.tell_left(&peer);
        }
        self.note_use();
    }

    fn stranded(&self) -> Vec<(String, TransportId)> {
        let busy: HashSet<&str> = self.consumers.values().map(|consumer| consumer.transport.as_str()).collect();
        let idle = self
            .sessions
            .iter()
            .filter(|(id, session)| matches!(session.purpose, Purpose::View(_)) && !busy.contains(id.as_str()));
        idle.map(|(id, session)| (id.clone(), session.transport)).collect()
    }

    /// How many watch somebody.
    pub(crate) fn viewers_of(&self, name: &str) -> usize {
        let watches = |session: &&Session| matches!(&session.purpose, Purpose::View(watched) if watched == name);
        self.sessions.values().filter(watches).count()
    }

    /// Who is to be watched: the one that is wanted, or the first come of those that are connected, if any.
    fn publisher(&self, wanted: Option<&str>) -> Option<String> {
        let publishing: HashSet<&str> = self.producers.values().map(|producer| producer.owner.as_str()).collect();
        let broadcasters = self.broadcasters.iter().map(|(name, of)| (!of.joined, of.number, name));
        let peers = self.peers.iter().map(|(name, of)| (!of.live, of.number, name));
        let matching = broadcasters
            .chain(peers)
            .filter(|(.., name)| publishing.contains(name.as_str()) && wanted.is_none_or(|wanted| wanted == *name));
        matching.min().map(|(.., name)| name.clone())
    }

    /// Producers of a peer for the sections of an offer, in the order of both; no producer twice.
    fn take(
        &self,
        offer: &Offer,
        watched: &str,
        transport: TransportId,
        session: &str,
        ssrcs: &mut HashSet<u32>,
    ) -> Result<Taken, ApiError> {
        let mut producers: Vec<_> = self.producers.iter().filter(|(_, of)| of.owner == watched).collect();
        producers.sort_by_key(|(_, of)| of.id.0);
        // A name of a peer may have characters that a description cannot hold; what is worth telling apart has a
        // number.
        let stream = producers.first().map_or_else(String::new, |(_, of)| format!("peer-{}", of.id.0));
        let mut taken = Taken { commands: Vec::new(), answers: Vec::new(), consumers: Vec::new() };
        for section in sdp::viewing(offer)? {
            let fits = producers.iter().position(|(_, of)| sdp::can_consume(section, &of.consumable));
            let Some((name, producer)) = fits.map(|index| producers.remove(index)) else { continue };
            let ssrc = draw_ssrc(ssrcs);
            ssrcs.extend([ssrc, ssrc + 1]);
            let request = sdp::ConsumeRequest {
                ssrc,
                rtx_ssrc: ssrc + 1,
                first_sequence: first_sequence(),
                rtx_first_sequence: first_sequence(),
                paused: false,
                stream: stream.clone(),
                track: name.clone(),
            };
            let consumed = sdp::consume(section, &producer.consumable, &request)?;
            let consumer = ConsumerId(next_id());
            let options = consumed.options;
            taken.commands.push(Command::Consume { transport, consumer, producer: producer.id, options });
            taken.answers.push(consumed.answer);
            let consumer = Consumer {
                id: consumer,
                transport: session.to_owned(),
                broadcaster: None,
                producer: name.clone(),
                paused: false,
                section: Some(section.index),
                layer: None,
            };
            taken.consumers.push((Uuid::new_v4().to_string(), consumer));
        }
        if taken.commands.is_empty() {
            let sentence = format!("the offer has no codec in common with what {watched:?} publishes");
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence));
        }
        Ok(taken)
    }
}
