//! A peer produces and consumes on its transports.

use std::sync::{Mutex, PoisonError};

use corecast_wire::{Command, ConsumerId};
use serde_json::Value;

use super::draw::{draw_cname, draw_first_sequence, draw_ssrc, next_id, object_name};
use super::ear::{ConsumerScore, Ear, Layers, PeerEvent};
use super::error::Error;
use super::media::{Consumer, Producer};
use super::peer::PeerHandle;
use super::room::Room;
use super::state::State;
use crate::ortc::{self, ConsumeRequest, Kind, OrtcError, RtpCapabilities, RtpParameters};
use crate::workers::{ConsumerState, RequestError};

const MID_LIMIT: u32 = 100_000_000;

/// A producer that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewProducer {
    pub(crate) kind: Kind,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) paused: bool,
    /// What others are told of it.
    pub(crate) app_data: Option<Value>,
}

/// A consumer that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewConsumer {
    pub(crate) producer: String,
    /// What the receiver can do; by default what its peer can do.
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
    /// RTX if the receiver has it; by default for video only.
    pub(crate) enable_rtx: Option<bool>,
    pub(crate) paused: bool,
}

/// A consumer that has been made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedConsumer {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Name of its producer.
    pub(crate) producer: String,
    /// Name of the peer who sends that.
    pub(crate) peer: String,
    /// What others are told of the producer.
    pub(crate) app_data: Option<Value>,
    pub(crate) rtp_parameters: RtpParameters,
    /// "simple", "simulcast" or "svc".
    pub(crate) streams: &'static str,
    pub(crate) producer_paused: bool,
    pub(crate) score: ConsumerScore,
}

/// A consumer that is about to be made.
struct Draft {
    command: Command,
    consumer: Consumer,
    created: CreatedConsumer,
    ssrc: u32,
}

/// Tells a participant of the layers that its consumer is sent, when they change.
pub(super) fn layers_told(ear: Ear, consumer: String) -> impl Fn(&ConsumerState) + Send + Sync {
    let told = Mutex::new(None);
    move |state| {
        let layers = state.current.filter(|_| !state.suspended).map(|current| current.spatial);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.replace(layers) != Some(layers) {
            let layers = layers.map(|spatial| Layers { spatial });
            ear.tell(PeerEvent::LayersChanged { consumer: consumer.clone(), layers });
        }
    }
}

impl Room {
    /// A new producer: its name.
    pub(crate) async fn produce(&self, peer: &PeerHandle, transport: &str, new: NewProducer) -> Result<String, Error> {
        let mut state = self.state().await;
        let own = state.joined_peer(peer)?;
        let (muted, ear) = (own.muted.has(new.kind), own.ear.clone());
        let on = state.transport_of(peer, transport)?;
        self.check_home(&on.site)?;
        let mut parameters = new.rtp_parameters;
        // The first producer fixes the name; all of a transport have the same.
        if let Some(cname) = &on.cname {
            parameters.rtcp.cname = Some(cname.clone());
        }
        let mapped_ssrc = draw_ssrc(&on.ssrcs);
        let mut produced =
            ortc::produce(new.kind, parameters, on.carrier(), new.paused || muted, &draw_cname(), mapped_ssrc)?;
        self.allow_redundancy(&mut produced.consumable);
        let cname = produced.rtp_parameters.rtcp.cname.clone();
        let (mut producer, options) = Producer::new(&peer.shared_name(), transport, new.kind, produced);
        let name = object_name();
        producer.follow_wanted(self.worker(), &name, ear);
        self.worker().apply(Command::Produce { transport: on.id, producer: producer.id, options }).await?;
        on.cname = cname;
        (producer.paused, producer.muted, producer.app_data) = (new.paused, muted, new.app_data);
        state.producers.insert(name.clone(), producer);
        state.note_published(&name);
        self.observe(&state, peer.name()).await;
        state.tell_changed(peer.name());
        state.tell_others(peer.name(), || PeerEvent::Produced { producer: name.clone() });
        self.succeed(&mut state).await;
        Ok(name)
    }

    /// A new consumer.
    pub(crate) async fn consume(
        &self,
        peer: &PeerHandle,
        transport: &str,
        new: NewConsumer,
    ) -> Result<CreatedConsumer, Error> {
        let made = self.consume_all(peer, transport, vec![new]).await?.pop();
        made.unwrap_or_else(|| Err(RequestError::WrongReply.into()))
    }

    /// New consumers, in one batch: what became of each, in order. An error if none can be made.
    pub(crate) async fn consume_all(
        &self,
        peer: &PeerHandle,
        transport: &str,
        new: Vec<NewConsumer>,
    ) -> Result<Vec<Result<CreatedConsumer, Error>>, Error> {
        let mut guard = self.state().await;
        let state = &mut *guard;
        state.joined_peer(peer)?;
        let site = state.transport_of(peer, transport)?.site.clone();
        self.reach(state, &site, &new.iter().map(|new| &*new.producer).collect::<Vec<_>>()).await?;
        let drafts: Vec<_> = new.into_iter().map(|new| self.draft(state, peer, transport, new)).collect();
        let commands = drafts.iter().filter_map(|draft| Some(draft.as_ref().ok()?.command.clone())).collect();
        let mut results = site.worker().try_all(commands).await?.into_iter();
        let mut made = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let applied = draft.and_then(|draft| match results.next() {
                Some(Ok(_)) => Ok(draft),
                Some(Err(refused)) => Err(RequestError::from(refused).into()),
                None => Err(RequestError::WrongReply.into()),
            });
            made.push(applied.map(|draft| {
                if let Some(on) = state.transports.get_mut(transport) {
                    on.ssrcs.extend([draft.ssrc, draft.ssrc + 1]);
                }
                state.consumers.insert(draft.created.name.clone(), draft.consumer);
                draft.created
            }));
        }
        Ok(made)
    }

    fn draft(&self, state: &mut State, peer: &PeerHandle, transport: &str, new: NewConsumer) -> Result<Draft, Error> {
        new.rtp_capabilities.as_ref().map_or(Ok(()), RtpCapabilities::check)?;
        let missing = |kind: &str, name: &str| Error::not_found(kind, name);
        let site = state.transport_of(peer, transport)?.site.clone();
        let source = state.producer_at(&site, &new.producer);
        let State { peers, producers, transports, .. } = state;
        let own = peers.get(peer.name()).ok_or_else(|| missing("peer", peer.name()))?;
        let capabilities = new
            .rtp_capabilities
            .as_ref()
            .or(own.rtp_capabilities.as_deref())
            .ok_or_else(|| Error::field("rtpCapabilities", "are missing, here and of the peer"))?;
        let producer = producers.get(&new.producer).ok_or_else(|| missing("producer", &new.producer))?;
        let source = source.ok_or_else(|| missing("producer", &new.producer))?;
        let on = transports.get_mut(transport).ok_or_else(|| missing("transport", transport))?;
        let ssrc = draw_ssrc(&on.ssrcs);
        let request = ConsumeRequest {
            enable_rtx: new.enable_rtx,
            paused: new.paused,
            ssrc,
            rtx_ssrc: ssrc + 1,
            first_sequence: draw_first_sequence(),
            rtx_first_sequence: draw_first_sequence(),
            mid: on.next_mid,
        };
        let consumed = ortc::consume(producer.kind, &producer.consumable, capabilities, &request);
        let consumed = match consumed {
            Ok(consumed) => consumed,
            Err(error) => {
                if matches!(error, OrtcError::Unsupported(_)) {
                    state.note_unplayable(&new.producer, peer.name());
                }
                return Err(error.into());
            }
        };
        on.next_mid = (on.next_mid + 1) % MID_LIMIT;
        let (id, name) = (ConsumerId(next_id()), object_name());
        let events = site.worker().events();
        let layer = producer.is_layered().then(|| match &own.ear {
            Some(ear) => events.consumer_with(id, Box::new(layers_told(ear.clone(), name.clone()))),
            None => events.consumer(id),
        });
        let rtx_ssrc = consumed.options.rtx.as_ref().map(|rtx| rtx.ssrc);
        let consumer = Consumer::new(id, (transport, site), peer.shared_name(), new.producer.clone(), layer);
        let consumer = Consumer { rtx_ssrc, ..consumer };
        let created = CreatedConsumer {
            name,
            kind: producer.kind,
            producer: new.producer,
            peer: producer.owner.to_string(),
            app_data: producer.app_data.clone(),
            rtp_parameters: consumed.rtp_parameters,
            streams: producer.streams,
            producer_paused: producer.is_paused(),
            score: consumer.scored(producer),
        };
        let options = consumed.options;
        let command = Command::Consume { transport: on.id, consumer: id, producer: source, options };
        Ok(Draft { command, consumer, created, ssrc })
    }

    pub(crate) async fn pause_producer(&self, peer: &PeerHandle, name: &str, paused: bool) -> Result<(), Error> {
        let mut state = self.state().await;
        let producer = state.producer_of(peer, name)?;
        let (id, is_paused) = (producer.id, paused || producer.muted);
        self.worker().apply(Command::PauseProducer { producer: id, paused: is_paused }).await?;
        self.pause_crossings(&state, name, is_paused).await?;
        state.change_pause(name, |producer| producer.paused = paused);
        Ok(())
    }

    pub(crate) async fn close_producer(&self, peer: &PeerHandle, name: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let producer = state.producer_of(peer, name)?.id;
        self.worker().close(vec![Command::CloseProducer { producer }]).await?;
        state.remove_producer(name);
        state.tell_changed(peer.name());
        self.settle(&mut state).await
    }

    pub(crate) async fn pause_consumer(&self, peer: &PeerHandle, name: &str, paused: bool) -> Result<(), Error> {
        let state = self.state().await;
        let Consumer { id, site, .. } = state.consumer_of(peer, name)?;
        Ok(site.worker().apply(Command::PauseConsumer { consumer: *id, paused }).await?)
    }

    pub(crate) async fn close_consumer(&self, peer: &PeerHandle, name: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let Consumer { id, site, .. } = state.consumer_of(peer, name)?;
        site.worker().close(vec![Command::CloseConsumer { consumer: *id }]).await?;
        state.consumers.remove(name);
        Ok(())
    }

    pub(crate) async fn request_key_frame(&self, peer: &PeerHandle, consumer: &str) -> Result<(), Error> {
        let state = self.state().await;
        let Consumer { id, site, .. } = state.consumer_of(peer, consumer)?;
        Ok(site.worker().apply(Command::RequestKeyFrame { consumer: *id }).await?)
    }

    /// Which of a receiver's pictures come first where its path does not carry all; the higher comes first.
    pub(crate) async fn set_priority(&self, peer: &PeerHandle, consumer: &str, priority: u8) -> Result<(), Error> {
        let state = self.state().await;
        let Consumer { id, site, .. } = state.consumer_of(peer, consumer)?;
        Ok(site.worker().apply(Command::SetPriority { consumer: *id, priority }).await?)
    }
}

impl State {
    /// A producer was paused or resumed, by its client or by an operator: those who are sent it are told, if that makes
    /// a difference for them.
    pub(super) fn change_pause(&mut self, name: &str, change: impl FnOnce(&mut Producer)) {
        let Some(producer) = self.producers.get_mut(name) else { return };
        let before = producer.is_paused();
        change(producer);
        let paused = producer.is_paused();
        for (consumer, of) in self.consumers.iter().filter(|(_, of)| of.producer == name && paused != before) {
            self.tell(&of.owner, PeerEvent::ProducerPaused { consumer: consumer.clone(), paused });
        }
        if paused != before {
            self.tell_unplayable_changed(name);
        }
    }
}
