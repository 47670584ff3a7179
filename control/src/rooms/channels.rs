//! Data channels of a room's peers. Clients open them by themselves (RFC 8832), and what is sent on one goes to others
//! of the same label: what a publisher sends to the viewers who watch it, what a viewer sends to that publisher.

use std::collections::HashMap;

use corecast_wire::{
    Command, ConsumeDataOptions, DataConsumerId, DataProducerId, ProduceDataOptions, SctpStreamParameters,
};

use super::draw::next_id;
use super::error::Error;
use super::media::{Channel, ChannelKey, Link};
use super::overview::Named;
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
        let (owner, link) = (peer.shared_name(), None);
        state.channels.insert((transport, stream), Channel { owner, label, parameters, producer, link });
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
        let links: Vec<_> = state.missing_links().into_iter().map(|(viewer, to)| (viewer, Link::new(to))).collect();
        let mut commands = Vec::new();
        for (viewer, link) in &links {
            let ways = [(viewer, &link.to, link.down), (&link.to, viewer, link.up)];
            for (receiver, sender, data_consumer) in ways {
                let (Some(to), Some(from)) = (state.channels.get(receiver), state.channels.get(sender)) else {
                    continue;
                };
                let (transport, stream) = *receiver;
                commands.push(Command::ConsumeData {
                    transport,
                    data_consumer,
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
        for (viewer, link) in links {
            if let Some(channel) = state.channels.get_mut(&viewer) {
                channel.link = Some(link);
            }
        }
        Ok(())
    }
}

impl Link {
    fn new(to: ChannelKey) -> Self {
        Self { to, down: DataConsumerId(next_id()), up: DataConsumerId(next_id()) }
    }
}

impl State {
    /// Names of data producers and data consumers by their number on the link: a channel is called by its peer and its
    /// label, what goes from one to another by both.
    pub(super) fn data_names(&self) -> impl Iterator<Item = (u64, Named)> {
        let named = |name: String, owner: &Channel| Named::new(&name, &owner.owner);
        let producers = self.channels.values().map(move |channel| (channel.producer.0, named(channel.name(), channel)));
        let links = self.channels.values().filter_map(|channel| Some((channel, channel.link?)));
        let consumers = links.filter_map(move |(viewer, link)| {
            let publisher = self.channels.get(&link.to)?;
            let way = |from: &Channel, to: &Channel| named(format!("{} to {}", from.name(), to.owner), to);
            Some([(link.down.0, way(publisher, viewer)), (link.up.0, way(viewer, publisher))])
        });
        producers.chain(consumers.flatten())
    }

    /// Channels of peers that have left are forgotten.
    pub(super) fn remove_channels_without_peer(&mut self) {
        let peers = &self.peers;
        self.channels.retain(|_, channel| peers.contains_key(&*channel.owner));
        self.unlink_channels();
    }

    /// Links to channels that are closed are gone.
    fn unlink_channels(&mut self) {
        let closed: Vec<_> = {
            let linked = self.channels.iter().filter_map(|(key, channel)| Some((*key, channel.link?.to)));
            linked.filter(|(_, to)| !self.channels.contains_key(to)).map(|(key, _)| key).collect()
        };
        for key in closed {
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.link = None;
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
        let unlinked = self.channels.iter().filter(|(_, channel)| channel.link.is_none());
        let link = |(key, channel): (&ChannelKey, &Channel)| {
            let publisher = *watched.get(&*channel.owner).filter(|_| is_viewer(&channel.owner))?;
            Some((*key, *by_label.get(&(publisher, channel.label.as_str()))?))
        };
        unlinked.filter_map(link).collect()
    }
}
