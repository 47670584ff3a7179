//! A publisher of another machine whom this one sends to its own viewers: a peer of the room like any other that
//! publishes, but that its media comes by a pipe. It leaves when it leaves there, and when nobody here watches it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use corecast_wire::{Command, ProduceOptions, ProducerId};
use serde_json::json;

use super::draw::{next_id, object_name};
use super::ear::PeerEvent;
use super::error::{Code, Error};
use super::machines::{Crossed, Crosser, Details, MAX_CROSSING, OpenedPipe, PipeEnd};
use super::media::Producer;
use super::names::{check_display_name, check_name};
use super::peer::{NewPeer, Peer, PeerHandle, PeerKind};
use super::room::Room;
use crate::ortc::{self, kind_of_streams};

/// Most encodings of one producer.
const MAX_ENCODINGS: usize = 8;

/// A publisher of another machine.
#[derive(Debug)]
pub(crate) struct Incoming {
    peer: PeerHandle,
    /// Name of the pipe's transport.
    transport: String,
    /// Names of its producers here, by the other machine's names.
    taken: BTreeMap<String, String>,
}

impl Details {
    fn check(&self) -> Result<(), Error> {
        let (count, numbers) = (self.encodings.len(), self.numbers.len());
        if count != numbers || !(1..=MAX_ENCODINGS).contains(&count) {
            let cause = format!("{count} of a producer, with numbers of {numbers}");
            return Err(Error::new(Code::Invalid, format!("encodings: {cause}")));
        }
        Ok(())
    }

    fn producer(self, peer: &PeerHandle, transport: &str, paused: bool) -> (Producer, ProduceOptions) {
        let produce = ortc::pipe(self.kind, &self.consumable, &self.numbers).produce;
        let producer = Producer {
            id: ProducerId(next_id()),
            transport: transport.to_owned(),
            owner: peer.shared_name(),
            kind: self.kind,
            streams: kind_of_streams(&self.streams),
            encodings: self.encodings,
            unwanted: None,
            sample: None,
            consumable: self.consumable.into(),
            app_data: None,
            paused,
            muted: false,
            scores: Vec::new(),
            looks: Vec::new(),
            rates: Vec::new(),
        };
        (producer, ProduceOptions { paused, ..produce })
    }
}

impl Room {
    /// Takes in a publisher of another machine, with nothing of it yet. If it cannot be had, the pipe is closed.
    pub(crate) async fn take_in(
        &self,
        pipe: &OpenedPipe,
        crosser: &Crosser,
        remote: &PipeEnd,
    ) -> Result<Incoming, Error> {
        let taken = match self.connect_pipe(pipe, remote).await {
            Ok(()) => self.add_remote(pipe, crosser, remote.ip).await,
            Err(error) => Err(error),
        };
        if taken.is_err() {
            self.close_pipe_out(pipe).await?;
        }
        taken
    }

    async fn add_remote(&self, pipe: &OpenedPipe, crosser: &Crosser, client: IpAddr) -> Result<Incoming, Error> {
        check_name("name", &crosser.name)?;
        check_display_name("display_name", &crosser.display_name)?;
        let mut state = self.state().await;
        state.check_open()?;
        self.removals().check(self.id(), &crosser.name, None)?;
        if state.peers.contains_key(&crosser.name) {
            return Err(Error::new(Code::NameTaken, format!("there is {:?} in the room already", crosser.name)));
        }
        let (mut peer, _) = Peer::new(NewPeer {
            name: crosser.name.clone(),
            kind: PeerKind::Remote,
            display_name: crosser.display_name.clone(),
            app_data: json!({ "device": { "name": "another machine" } }),
            rtp_capabilities: None,
            joined: true,
            credential: None,
            client,
        });
        let (handle, transport) = (peer.handle.clone(), object_name());
        peer.begins(self.id(), Some(&transport));
        state.add_peer(peer);
        state.transports.insert(transport.clone(), pipe.transport(self, &handle));
        state.tell_joined(handle.name());
        Ok(Incoming { peer: handle, transport, taken: BTreeMap::new() })
    }

    /// What the publisher has at the other machine is so here as well. An error if it has left here.
    pub(crate) async fn take_on(&self, incoming: &mut Incoming, crossed: Vec<Crossed>) -> Result<(), Error> {
        let there: HashSet<String> = crossed.iter().map(|one| one.id.clone()).collect();
        let gone: Vec<_> = incoming.taken.iter().filter(|(id, _)| !there.contains(*id)).collect();
        let gone: Vec<(String, String)> = gone.into_iter().map(|(id, name)| (id.clone(), name.clone())).collect();
        for (id, name) in gone {
            self.close_producer(&incoming.peer, &name).await?;
            incoming.taken.remove(&id);
        }
        for Crossed { id, paused, details } in crossed {
            match (incoming.taken.get(&id), details) {
                (Some(name), _) => {
                    let is_paused = self.state().await.producer(name)?.paused;
                    if is_paused != paused {
                        self.pause_producer(&incoming.peer, name, paused).await?;
                    }
                }
                (None, Some(details)) if incoming.taken.len() < MAX_CROSSING => {
                    let name = self.add_taken(incoming, details, paused).await?;
                    incoming.taken.insert(id, name);
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    async fn add_taken(&self, incoming: &Incoming, details: Details, paused: bool) -> Result<String, Error> {
        details.check()?;
        let Incoming { peer, transport, .. } = incoming;
        let mut state = self.state().await;
        let on = state.transport_of(peer, transport)?.id;
        let muted = state.peer(peer)?.muted.has(details.kind);
        let (mut producer, mut options) = details.producer(peer, transport, paused);
        (producer.muted, options.paused) = (muted, paused || muted);
        self.worker().apply(Command::Produce { transport: on, producer: producer.id, options }).await?;
        let name = object_name();
        state.producers.insert(name.clone(), producer);
        state.note_published(&name);
        self.observe(&state, peer.name()).await;
        state.tell_changed(peer.name());
        state.tell_others(peer.name(), || PeerEvent::Produced { producer: name.clone() });
        self.succeed(&mut state).await;
        Ok(name)
    }

    /// What is known here of its producers, by the other machine's names: which are paused. None if it has left.
    pub(crate) async fn known(&self, incoming: &Incoming) -> Option<BTreeMap<String, bool>> {
        let state = self.state().await;
        state.peer(&incoming.peer).ok()?;
        let known = incoming.taken.iter();
        Some(known.filter_map(|(id, name)| Some((id.clone(), state.producers.get(name)?.paused))).collect())
    }

    /// Whether somebody here is sent something of the publisher; an error if it has left.
    pub(crate) async fn is_watched(&self, incoming: &Incoming) -> Result<bool, Error> {
        let state = self.state().await;
        state.peer(&incoming.peer)?;
        let own: HashSet<&String> = incoming.taken.values().collect();
        Ok(state.consumers.values().any(|consumer| own.contains(&consumer.producer)))
    }

    /// The publisher is not sent on any longer: for its viewers it has left.
    pub(crate) async fn take_out(&self, incoming: &Incoming, why: &'static str) -> Result<(), Error> {
        self.remove_peer(&incoming.peer, why).await.map(drop)
    }

    /// Whom viewers want who have nothing to see, each once: a peer, or none for any of the room. Nobody where somebody
    /// publishes who came to this machine: such a room is at home here.
    pub(crate) async fn missing(&self) -> BTreeSet<Option<String>> {
        let state = self.state().await;
        let is_home = state
            .producers
            .values()
            .any(|of| state.peers.get(&*of.owner).is_some_and(|owner| owner.kind != PeerKind::Remote));
        if is_home || !state.has_stranded {
            return BTreeSet::new();
        }
        let fed = state.consumers.values().filter(|consumer| state.producers.contains_key(&consumer.producer));
        let fed: HashSet<&str> = fed.map(|consumer| &*consumer.owner).collect();
        let stranded = state.peers.iter().filter(|(name, peer)| peer.kind.is_viewer() && !fed.contains(name.as_str()));
        stranded.map(|(_, peer)| peer.wanted.clone()).collect()
    }
}
