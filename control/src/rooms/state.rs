//! What is in a room: peers, transports, producers and consumers, by name. The caller changes the tables when the
//! worker has agreed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use corecast_wire::{Command, ProducerId, TransportId};

use super::bot::Bot;
use super::ear::PeerEvent;
use super::error::Error;
use super::events::{EventSender, Presence, RoomEvent};
use super::media::{Channel, ChannelKey, Consumer, DataConsumer, DataProducer, Producer};
use super::observers::Observers;
use super::peer::{Peer, PeerHandle, ROOM_CLOSED};
use super::pipe::Branch;
use super::site::Site;
use super::table::Table;
use super::transport::Transport;
use crate::lifecycle::Happened;
use crate::workers::RequestError;

/// A peer that publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) name: String,
    pub(super) producers: Vec<ProducerId>,
}

/// The tables. All names are unique in their table.
#[derive(Debug)]
pub(super) struct State {
    pub(super) peers: Table<Peer>,
    pub(super) transports: Table<Transport>,
    pub(super) producers: Table<Producer>,
    pub(super) consumers: Table<Consumer>,
    /// The room on further workers, by the worker's index.
    pub(super) branches: Table<Branch>,
    /// Data channels that are open.
    pub(super) channels: BTreeMap<ChannelKey, Channel>,
    /// What participants say to each other, and to the bot.
    pub(super) data_producers: HashMap<String, DataProducer>,
    pub(super) data_consumers: HashMap<String, DataConsumer>,
    /// Producers for which a participant has no codec, each with that participant: names.
    pub(super) unplayable: BTreeSet<(String, String)>,
    /// What listens to the room's sound, once a participant is there.
    pub(super) observers: Option<Observers>,
    /// So many of those who speak are heard; 0 for all.
    pub(super) loudest: u16,
    /// Who answers participants, while there are any.
    pub(super) bot: Option<Bot>,
    pub(super) events: EventSender,
    /// What the outside is to be told.
    pub(super) happened: Vec<Happened>,
    /// Some viewer has nothing to see just now.
    pub(super) has_stranded: bool,
    closed: bool,
    /// Since when there has been no peer.
    empty_since: Option<Instant>,
    /// When something of a broadcaster is known to have come last.
    pub(super) heard_at: Option<Instant>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            peers: Table::default(),
            transports: Table::default(),
            producers: Table::default(),
            consumers: Table::default(),
            branches: Table::default(),
            channels: BTreeMap::new(),
            data_producers: HashMap::new(),
            data_consumers: HashMap::new(),
            unplayable: BTreeSet::new(),
            observers: None,
            loudest: 0,
            bot: None,
            events: EventSender::default(),
            happened: Vec::new(),
            has_stranded: false,
            closed: false,
            empty_since: Some(Instant::now()),
            heard_at: None,
        }
    }

    /// An error once the room has closed: nothing may be added.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.closed { Err(Error::unavailable("the room has just closed; try again")) } else { Ok(()) }
    }

    /// The room has closed. Peers that wait for their end, and listeners, see it.
    pub(super) fn close(&mut self) {
        self.note_finished(ROOM_CLOSED);
        let Self { mut peers, mut transports, mut producers, mut consumers, mut branches, happened, .. } =
            std::mem::replace(self, Self::new());
        peers.clear();
        transports.clear();
        producers.clear();
        consumers.clear();
        branches.clear();
        *self = Self { closed: true, peers, transports, producers, consumers, branches, happened, ..Self::new() };
    }

    pub(super) fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        self.events.listeners() == 0 && self.empty_since.is_some_and(|since| now.duration_since(since) >= idle)
    }

    /// A peer that is still there.
    pub(super) fn peer(&self, handle: &PeerHandle) -> Result<&Peer, Error> {
        let found = self.peers.get(handle.name()).filter(|peer| peer.handle == *handle);
        found.ok_or_else(|| Error::not_found("peer", handle.name()))
    }

    pub(super) fn peer_mut(&mut self, handle: &PeerHandle) -> Result<&mut Peer, Error> {
        let found = self.peers.get_mut(handle.name()).filter(|peer| peer.handle == *handle);
        found.ok_or_else(|| Error::not_found("peer", handle.name()))
    }

    /// mediasoup-demo takes everything but transports for a wrong state before this.
    pub(super) fn joined_peer(&self, handle: &PeerHandle) -> Result<&Peer, Error> {
        let peer = self.peer(handle)?;
        if peer.joined { Ok(peer) } else { Err(Error::wrong_state("the peer has not joined yet")) }
    }

    /// A new peer.
    pub(super) fn add_peer(&mut self, peer: Peer) {
        self.peers.insert(peer.handle.name().to_owned(), peer);
        self.empty_since = None;
    }

    /// Peers leave with everything that they have; their transports have been closed.
    pub(super) fn remove_peers(&mut self, gone: &[PeerHandle], why: &'static str) {
        let names: HashSet<&str> = gone.iter().map(PeerHandle::name).collect();
        gone.iter().for_each(|peer| self.note_left(peer.name(), why));
        self.transports.retain(|_, transport| !names.contains(&*transport.owner));
        self.producers.retain(|_, producer| !names.contains(&*producer.owner));
        self.consumers.retain(|_, consumer| !names.contains(&*consumer.owner));
        self.data_producers.retain(|_, one| one.owner.as_ref().is_none_or(|owner| !names.contains(&**owner)));
        self.data_consumers.retain(|_, consumer| !names.contains(&*consumer.owner));
        self.remove_consumers_without_producer();
        for peer in gone {
            let Some(left) = self.peers.remove(peer.name()) else { continue };
            left.leaves(why);
            if left.joined {
                self.events.send(RoomEvent::Left(peer.name().to_owned()));
            }
            if left.is_shown() {
                self.tell_others(peer.name(), || PeerEvent::Left(peer.name().to_owned()));
            }
        }
        gone.iter().for_each(|peer| self.forget_unplayable_of(peer.name()));
        self.remove_channels_without_peer();
        if self.peers.is_empty() {
            self.empty_since.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn transport_of(&mut self, peer: &PeerHandle, name: &str) -> Result<&mut Transport, Error> {
        self.peer(peer)?;
        let found = self.transports.get_mut(name).filter(|found| *found.owner == *peer.name());
        found.ok_or_else(|| Error::not_found("transport", name))
    }

    pub(super) fn producer_of(&mut self, peer: &PeerHandle, name: &str) -> Result<&mut Producer, Error> {
        self.peer(peer)?;
        let found = self.producers.get_mut(name).filter(|found| *found.owner == *peer.name());
        found.ok_or_else(|| Error::not_found("producer", name))
    }

    pub(super) fn consumer_of(&self, peer: &PeerHandle, name: &str) -> Result<&Consumer, Error> {
        self.peer(peer)?;
        let found = self.consumers.get(name).filter(|found| *found.owner == *peer.name());
        found.ok_or_else(|| Error::not_found("consumer", name))
    }

    pub(super) fn consumer_of_mut(&mut self, peer: &PeerHandle, name: &str) -> Result<&mut Consumer, Error> {
        self.peer(peer)?;
        let found = self.consumers.get_mut(name).filter(|found| *found.owner == *peer.name());
        found.ok_or_else(|| Error::not_found("consumer", name))
    }

    pub(super) fn producer(&self, name: &str) -> Result<&Producer, Error> {
        self.producers.get(name).ok_or_else(|| Error::not_found("producer", name))
    }

    /// Closes every transport of these peers, on whichever worker it is.
    pub(super) async fn close_transports(&self, peers: &[PeerHandle]) -> Result<(), RequestError> {
        let names: HashSet<&str> = peers.iter().map(PeerHandle::name).collect();
        let mut closings: BTreeMap<u32, (&Site, Vec<Command>)> = BTreeMap::new();
        for transport in self.transports.values().filter(|transport| names.contains(&*transport.owner)) {
            let of_worker = closings.entry(transport.site.worker().index());
            of_worker.or_insert_with(|| (&transport.site, Vec::new())).1.push(close_transport(transport.id));
        }
        for (site, commands) in closings.into_values() {
            site.worker().close(commands).await?;
        }
        Ok(())
    }

    /// A transport has closed, and with it what was inside.
    pub(super) fn remove_transport(&mut self, transport: &str) {
        self.transports.remove(transport);
        self.consumers.retain(|_, consumer| consumer.transport != transport);
        self.data_consumers.retain(|_, consumer| consumer.transport != transport);
        self.data_producers.retain(|_, one| one.on.as_ref().is_none_or(|(on, _)| on != transport));
        self.remove_data_consumers_without_producer();
        let inside = self.producers.iter().filter(|(_, producer)| producer.transport == transport);
        for producer in inside.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.remove_producer(&producer);
        }
    }

    /// A producer has closed, and with it its consumers, but for those that outlive it.
    pub(super) fn remove_producer(&mut self, producer: &str) {
        if let Some(removed) = self.producers.remove(producer) {
            self.note_unpublished(&removed.owner, removed.told(producer));
        }
        self.remove_consumers_without_producer();
    }

    /// Participants are told which of their consumers these are.
    fn remove_consumers_without_producer(&mut self) {
        let Self { peers, producers, consumers, .. } = self;
        consumers.retain(|name, one| {
            let stays = one.takes.is_some() || producers.contains_key(&one.producer);
            if let Some(ear) = peers.get(&*one.owner).and_then(|peer| peer.ear.as_ref()).filter(|_| !stays) {
                ear.tell(PeerEvent::ConsumerClosed(name.clone()));
            }
            stays
        });
        self.remove_unplayable_without_producer();
        self.remove_data_consumers_without_producer();
    }

    /// The same for data.
    pub(super) fn remove_data_consumers_without_producer(&mut self) {
        let Self { peers, data_producers, data_consumers, .. } = self;
        data_consumers.retain(|name, one| {
            let stays = data_producers.contains_key(&one.data_producer);
            if let Some(ear) = peers.get(&*one.owner).and_then(|peer| peer.ear.as_ref()).filter(|_| !stays) {
                ear.tell(PeerEvent::DataConsumerClosed(name.clone()));
            }
            stays
        });
    }

    /// Peers that may be watched: the wanted one, or all that publish, those that are connected first and then in the
    /// order of coming.
    pub(super) fn publishers(&self, wanted: Option<&str>) -> Vec<Publisher> {
        let owners: HashSet<&str> = self.producers.values().map(|producer| &*producer.owner).collect();
        let matching = owners.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name));
        let mut peers: Vec<_> = matching.filter_map(|name| self.peers.get(name)).collect();
        peers.sort_unstable_by_key(|peer| (!peer.joined, peer.number()));
        let publisher = |peer: &Peer| {
            let name = peer.handle.name().to_owned();
            Publisher { producers: self.producer_ids(&name).collect(), name }
        };
        peers.into_iter().map(publisher).collect()
    }

    /// What a peer publishes.
    pub(super) fn producer_ids(&self, owner: &str) -> impl Iterator<Item = ProducerId> {
        self.producers.values().filter(move |producer| *producer.owner == *owner).map(|producer| producer.id)
    }

    /// Who is there, in the order of coming.
    pub(super) fn list(&self) -> RoomEvent {
        let mut present: Vec<_> = self.peers.values().filter(|peer| peer.joined).collect();
        present.sort_unstable_by_key(|peer| peer.number());
        RoomEvent::List(present.into_iter().filter_map(|peer| self.presence(peer.handle.name())).collect())
    }

    /// Kinds of what a peer publishes, in the order in which it came.
    pub(super) fn tracks(&self, owner: &str) -> Vec<&'static str> {
        let own = self.producers.values().filter(|producer| *producer.owner == *owner);
        let mut tracks: Vec<_> = own.map(|producer| (producer.id, producer.kind.name())).collect();
        tracks.sort_unstable();
        tracks.into_iter().map(|(_, kind)| kind).collect()
    }

    /// A peer that has joined.
    fn presence(&self, name: &str) -> Option<Presence> {
        let peer = self.peers.get(name).filter(|peer| peer.joined)?;
        let display_name = peer.display_name.clone();
        Some(Presence { name: name.to_owned(), display_name, tracks: self.tracks(name) })
    }

    /// Listeners, participants and the outside are told of a peer, as far as they may know of it, and of what it has.
    pub(super) fn tell_joined(&mut self, name: &str) {
        self.note_joined(name);
        if let Some(presence) = self.presence(name) {
            self.events.send(RoomEvent::Joined(presence));
        }
        let Some(peer) = self.peers.get(name).filter(|peer| peer.is_shown()) else { return };
        self.tell_others(name, || PeerEvent::Joined(peer.view()));
        for producer in self.producer_infos(name) {
            self.tell_others(name, || PeerEvent::Produced { producer: producer.name.clone() });
        }
    }

    /// Tells one participant.
    pub(super) fn tell(&self, name: &str, event: PeerEvent) {
        if let Some(ear) = self.peers.get(name).and_then(|peer| peer.ear.as_ref()) {
            ear.tell(event);
        }
    }

    /// Tells every participant that has joined but the one whom it is about.
    pub(super) fn tell_others(&self, but: &str, event: impl Fn() -> PeerEvent) {
        let others = self.peers.values().filter(|peer| peer.joined && peer.handle.name() != but);
        others.filter_map(|peer| peer.ear.as_ref()).for_each(|ear| ear.tell(event()));
    }

    /// Tells every participant that has joined.
    pub(super) fn tell_all(&self, event: impl Fn() -> PeerEvent) {
        // Names are not empty.
        self.tell_others("", event);
    }

    /// Whether somebody hears what happens here.
    pub(super) fn has_participants(&self) -> bool {
        self.peers.values().any(|peer| peer.ear.is_some())
    }

    pub(super) fn tell_changed(&self, name: &str) {
        if let Some(presence) = self.presence(name) {
            self.events.send(RoomEvent::Changed(presence));
        }
    }
}

pub(super) fn close_transport(transport: TransportId) -> Command {
    Command::CloseTransport { transport }
}
