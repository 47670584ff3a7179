//! Data channels of a room's peers. Clients open them by themselves (RFC 8832), and what is sent on one goes to others
//! of the same label: what a publisher sends to the viewers who watch it, what a viewer sends to that publisher.

use std::collections::HashMap;

use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataProducerId, ProduceDataOptions, SctpStreamParameters,
};

use super::draw::next_id;
use super::error::Error;
use super::media::{Channel, ChannelKey};
use super::peer::PeerHandle;
use super::room::Room;
use super::state::State;
use crate::workers::ChannelEvent;

impl Room {
    /// Does what there is to do about a channel of a peer.
    pub(crate) async fn follow_channel(&self, peer: &PeerHandle, transport: &str, event: ChannelEvent) {
        let followed = match event {
            ChannelEvent::Opened { stream, label, protocol, parameters } => {
                self.open_channel(peer, transport, stream, (label, protocol), parameters).await
            }
            ChannelEvent::Closed { stream } => self.channel_closed(peer, transport, stream).await,
        };
        if let Err(error) = followed {
            tracing::debug!("a data channel of {:?} in room {:?}: {error}", peer.name(), self.id());
        }
    }

    async fn open_channel(
        &self,
        peer: &PeerHandle,
        transport: &str,
        stream: u16,
        (label, protocol): (String, String),
        parameters: SctpStreamParameters,
    ) -> Result<(), Error> {
        let mut state = self.state().await;
        let transport = state.transport_of(peer, transport)?.id;
        let producer = DataProducerId(next_id());
        let options = ProduceDataOptions { stream, label: label.clone(), protocol, paused: false };
        let produce = Command::ProduceData { transport, data_producer: producer, options };
        if let Err(refused) = self.worker().apply(produce).await {
            self.worker().close(vec![Command::CloseDataChannel { transport, stream }]).await?;
            return Err(refused.into());
        }
        let (owner, linked) = (peer.shared_name(), None);
        state.channels.insert((transport, stream), Channel { owner, label, parameters, producer, linked });
        self.link_channels(&mut state).await?;
        // Acknowledged last: until then the worker keeps back what its client sends.
        Ok(self.worker().apply(Command::AcceptDataChannel { transport, stream }).await?)
    }

    async fn channel_closed(&self, peer: &PeerHandle, transport: &str, stream: u16) -> Result<(), Error> {
        let mut state = self.state().await;
        let transport = state.transport_of(peer, transport)?.id;
        state.channels.remove(&(transport, stream));
        state.unlink_channels();
        Ok(())
    }

    /// Viewers' channels that are not linked are linked with their publishers'.
    pub(super) async fn link_channels(&self, state: &mut State) -> Result<(), Error> {
        let links = state.missing_links();
        let mut commands = Vec::new();
        for (viewer, publisher) in &links {
            for (receiver, sender) in [(viewer, publisher), (publisher, viewer)] {
                let (Some(to), Some(from)) = (state.channels.get(receiver), state.channels.get(sender)) else {
                    continue;
                };
                let (transport, stream) = *receiver;
                commands.push(Command::ConsumeData {
                    transport,
                    data_consumer: DataConsumerId(next_id()),
                    data_producer: from.producer,
                    options: ConsumeDataOptions { stream, parameters: to.parameters, paused: false },
                });
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        // One that is refused has lost its channel meanwhile, of which we are about to be told.
        for refused in self.worker().try_all(commands).await?.into_iter().filter_map(Result::err) {
            tracing::debug!("a data consumer in room {:?}: {refused}", self.id());
        }
        for (viewer, publisher) in links {
            if let Some(channel) = state.channels.get_mut(&viewer) {
                channel.linked = Some(publisher);
            }
        }
        Ok(())
    }
}

impl State {
    /// Channels of peers that have left are forgotten.
    pub(super) fn remove_channels_without_peer(&mut self) {
        let peers = &self.peers;
        self.channels.retain(|_, channel| peers.contains_key(&*channel.owner));
        self.unlink_channels();
    }

    /// Links to channels that are closed are gone.
    fn unlink_channels(&mut self) {
        let closed: Vec<_> = {
            let linked = self.channels.iter().filter_map(|(key, channel)| Some((*key, channel.linked?)));
            linked.filter(|(_, to)| !self.channels.contains_key(to)).map(|(key, _)| key).collect()
        };
        for key in closed {
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.linked = None;
            }
        }
    }

    /// Viewers' channels without a link whose publisher has one of the same label.
    fn missing_links(&self) -> Vec<(ChannelKey, ChannelKey)> {
        let is_viewer = |name: &str| self.peers.get(name).is_some_and(|peer| peer.kind.is_viewer());
        let mut by_label: HashMap<(&str, &str), ChannelKey> = HashMap::new();
        for (key, channel) in self.channels.iter().filter(|(_, channel)| !is_viewer(&channel.owner)) {
            by_label.entry((&channel.owner, &channel.label)).or_insert(*key);
        }
        if by_label.is_empty() {
            return Vec::new();
        }
        let mut watched: HashMap<&str, &str> = HashMap::new();
        for consumer in self.consumers.values() {
            if let Some(producer) = self.producers.get(&consumer.producer) {
                watched.insert(&consumer.owner, &producer.owner);
            }
        }
        let unlinked = self.channels.iter().filter(|(_, channel)| channel.linked.is_none());
        let link = |(key, channel): (&ChannelKey, &Channel)| {
            let publisher = *watched.get(&*channel.owner).filter(|_| is_viewer(&channel.owner))?;
            Some((*key, *by_label.get(&(publisher, channel.label.as_str()))?))
        };
        unlinked.filter_map(link).collect()
    }
}
