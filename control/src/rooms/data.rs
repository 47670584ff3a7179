//! Data producers and data consumers of participants: channels whose stream both sides know by signaling, and which no
//! one opens (RFC 8831 section 6.5). What one participant sends, every other one may be sent.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataProducerId, ProduceDataOptions, SctpStreamParameters, TransportId,
};
use serde_json::Value;
use tokio::sync::watch;

use super::draw::{next_id, object_name};
use super::ear::PeerEvent;
use super::error::{Code, Error};
use super::media::{DataConsumer, DataProducer};
use super::peer::PeerHandle;
use super::room::Room;
use super::site::Site;
use super::state::State;
use super::transport::{OwnWebRtc, TransportKind};
use crate::workers::{ChannelEvent, ChannelEvents, TransportState};

/// Streams that a client can have: Chromium's highest is 1,023.
const STREAMS: u16 = 1_024;
/// Data producers of a participant.
const MAX_DATA_PRODUCERS: usize = 16;

/// A data producer that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewDataProducer {
    /// Its stream on its transport.
    pub(crate) stream: u16,
    pub(crate) parameters: SctpStreamParameters,
    pub(crate) label: String,
    pub(crate) protocol: String,
    /// What others are told of it.
    pub(crate) app_data: Value,
}

/// A data consumer that has been made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedDataConsumer {
    pub(crate) name: String,
    /// Name of its data producer.
    pub(crate) data_producer: String,
    /// Name of the peer who sends; none of the bot.
    pub(crate) peer: Option<String>,
    /// Its stream on its transport.
    pub(crate) stream: u16,
    pub(crate) parameters: SctpStreamParameters,
    pub(crate) label: String,
    pub(crate) protocol: String,
    /// What others are told of the data producer.
    pub(crate) app_data: Value,
}

impl Room {
    /// A new data producer: its name. What is said to the bot goes to the bot alone.
    pub(crate) async fn produce_data(
        &self,
        peer: &PeerHandle,
        transport: &str,
        new: NewDataProducer,
    ) -> Result<String, Error> {
        let mut state = self.state().await;
        state.joined_peer(peer)?;
        let own = state.data_producers.values().filter(|one| one.owner.as_deref() == Some(peer.name())).count();
        if own >= MAX_DATA_PRODUCERS {
            return Err(Error::new(Code::TooMany, format!("the peer has {MAX_DATA_PRODUCERS} data producers already")));
        }
        let (on, site, _) = state.data_transport(peer, transport)?;
        self.check_home(&site)?;
        let id = DataProducerId(next_id());
        let options = ProduceDataOptions {
            stream: new.stream,
            label: new.label.clone(),
            protocol: new.protocol.clone(),
            paused: false,
        };
        self.worker().apply(Command::ProduceData { transport: on, data_producer: id, options }).await?;
        let name = object_name();
        let mut producer = DataProducer {
            id,
            on: Some((transport.to_owned(), new.stream)),
            owner: Some(peer.shared_name()),
            label: new.label,
            protocol: new.protocol,
            parameters: new.parameters,
            app_data: new.app_data,
            to_bot: None,
        };
        if producer.is_for_bot() {
            producer.to_bot = self.speak_to_bot(&mut state, peer, id).await;
        }
        state.data_producers.insert(name.clone(), producer);
        if state.data_producers.get(&name).is_some_and(|one| !one.is_for_bot()) {
            state.tell_others(peer.name(), || PeerEvent::ProducedData { data_producer: name.clone() });
        }
        Ok(name)
    }

    /// A new data consumer, with the delivery that its data producer has, on a stream that is free.
    pub(crate) async fn consume_data(
        &self,
        peer: &PeerHandle,
        transport: &str,
        data_producer: &str,
    ) -> Result<CreatedDataConsumer, Error> {
        let mut guard = self.state().await;
        let state = &mut *guard;
        state.joined_peer(peer)?;
        let used = state.data_consumers.values().filter(|one| one.transport == transport).map(|one| one.stream);
        let used: HashSet<u16> = used.collect();
        let (on, site, own) = state.data_transport(peer, transport)?;
        // Not the one that was closed last: its client may still be closing it.
        let free = (0..STREAMS).map(|step| (own.next_stream + step) % STREAMS).find(|stream| !used.contains(stream));
        let full = || Error::new(Code::TooMany, format!("the transport has {STREAMS} data consumers already"));
        let stream = free.ok_or_else(full)?;
        own.next_stream = (stream + 1) % STREAMS;
        let source = self.reach_data(state, &site, data_producer).await?;
        let missing = || Error::not_found("data producer", data_producer);
        let producer = state.data_producers.get(data_producer).ok_or_else(missing)?;
        let (id, name) = (DataConsumerId(next_id()), object_name());
        let created = CreatedDataConsumer {
            name: name.clone(),
            data_producer: data_producer.to_owned(),
            peer: producer.owner.as_ref().map(ToString::to_string),
            stream,
            parameters: producer.parameters,
            label: producer.label.clone(),
            protocol: producer.protocol.clone(),
            app_data: producer.app_data.clone(),
        };
        let options = ConsumeDataOptions { stream, parameters: producer.parameters, paused: false };
        let command = Command::ConsumeData { transport: on, data_consumer: id, data_producer: source, options };
        site.worker().apply(command).await?;
        let consumer = DataConsumer {
            id,
            transport: transport.to_owned(),
            site,
            stream,
            owner: peer.shared_name(),
            data_producer: data_producer.to_owned(),
        };
        state.data_consumers.insert(name, consumer);
        Ok(created)
    }

    /// Closes a data consumer whose receiver does not want it.
    pub(crate) async fn close_data_consumer(&self, peer: &PeerHandle, name: &str) -> Result<(), Error> {
        let mut state = self.state().await;
        let DataConsumer { id, site, .. } = state.data_consumer_of(peer, name)?;
        site.worker().close(vec![Command::CloseDataConsumer { data_consumer: *id }]).await?;
        state.data_consumers.remove(name);
        Ok(())
    }

    /// Watches, in the background, what the client of a participant's transport does with streams by itself.
    pub(super) fn follow_streams(
        self: &Arc<Self>,
        name: &str,
        (transport, site): (TransportId, Site),
        channels: ChannelEvents,
        states: watch::Receiver<TransportState>,
    ) {
        tokio::spawn(follow(Arc::downgrade(self), name.to_owned(), (transport, site), channels, states));
    }

    async fn stream_closed(&self, transport: &str, stream: u16) {
        let mut state = self.state().await;
        let is_it = |on: &str, of: u16| on == transport && of == stream;
        state.data_producers.retain(|_, one| one.on.as_ref().is_none_or(|(on, of)| !is_it(on, *of)));
        state.data_consumers.retain(|_, one| !is_it(&one.transport, one.stream));
        state.remove_data_consumers_without_producer();
        if let Err(error) = self.prune_data(&mut state).await {
            tracing::debug!("messages in room {:?}: {error}", self.id());
        }
    }
}

/// Returns when the transport has closed.
async fn follow(
    room: Weak<Room>,
    name: String,
    (transport, site): (TransportId, Site),
    mut channels: ChannelEvents,
    mut states: watch::Receiver<TransportState>,
) {
    loop {
        let event = tokio::select! {
            event = channels.next() => event,
            changed = states.changed() => if changed.is_ok() { continue } else { return },
        };
        let Some(room) = room.upgrade() else { return };
        match event {
            // The worker takes in no message before it is answered. Nobody is sent what comes on such a channel.
            ChannelEvent::Opened { stream, .. } => {
                let accepted = site.worker().apply(Command::AcceptDataChannel { transport, stream }).await;
                if let Err(error) = accepted {
                    tracing::debug!("a data channel in room {:?}: {error}", room.id());
                }
            }
            ChannelEvent::Closed { stream } => room.stream_closed(&name, stream).await,
        }
    }
}

impl State {
    /// A participant's transport that can carry data channels.
    fn data_transport(&mut self, peer: &PeerHandle, name: &str) -> Result<(TransportId, Site, &mut OwnWebRtc), Error> {
        let transport = self.transport_of(peer, name)?;
        match &mut transport.kind {
            TransportKind::WebRtc { own: Some(own), .. } if own.has_sctp => {
                Ok((transport.id, transport.site.clone(), own))
            }
            _ => Err(Error::wrong_state("the transport was made without data channels (sctpCapabilities)")),
        }
    }

    /// Whether a participant is sent what comes of a data producer.
    pub(super) fn is_for_others(&self, producer: &DataProducer, peer: &str) -> bool {
        match &producer.owner {
            // The bot's own.
            None => true,
            Some(owner) => **owner != *peer && !producer.is_for_bot(),
        }
    }

    pub(super) fn data_consumer_of(&self, peer: &PeerHandle, name: &str) -> Result<&DataConsumer, Error> {
        self.peer(peer)?;
        let found = self.data_consumers.get(name).filter(|found| *found.owner == *peer.name());
        found.ok_or_else(|| Error::not_found("data consumer", name))
    }

    pub(super) fn data_producer_of(&self, peer: &PeerHandle, name: &str) -> Result<&DataProducer, Error> {
        self.peer(peer)?;
        let found = self.data_producers.get(name).filter(|one| one.owner.as_deref() == Some(peer.name()));
        found.ok_or_else(|| Error::not_found("data producer", name))
    }
}
