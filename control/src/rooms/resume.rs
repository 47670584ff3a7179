//! Participants whose client is away: its WebSocket has broken, or the server has died. Such a peer keeps its place,
//! and its media goes on, for a grace; a client that shows the secret which it was told when it joined goes on as that
//! peer, and is told what has changed meanwhile.
//!
//! A client that did not ask for such a secret has none, and its peer leaves with its WebSocket.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use corecast_wire::Command;

use super::ear::{Absence, Layers, PeerEvents, PeerView};
use super::error::{Code, Error};
use super::muted::Muted;
use super::participants::Entered;
use super::peer::{NewPeer, Peer, PeerHandle, PeerKind};
use super::room::Room;
use super::secret::Secret;
use super::site::Site;
use super::state::State;
use super::transport::TransportKind;
use super::webrtc_transport::end_of;

/// What a client that goes on has, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// On which it is sent media, and data.
    pub(crate) receives_on: [Option<String>; 2],
    /// With whether it is paused each.
    pub(crate) consumers: BTreeMap<String, bool>,
    pub(crate) data_consumers: BTreeSet<String>,
}

/// A consumer that goes on.
#[derive(Clone, Debug)]
pub(crate) struct HeldConsumer {
    pub(crate) name: String,
    pub(crate) producer_paused: bool,
    /// What it is sent of several layers, if that is known.
    pub(crate) layers: Option<Layers>,
    /// Its path does not carry any of it.
    pub(crate) suspended: bool,
}

/// What a participant has, and who is there, when its client goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resumed {
    /// The others, in the order of coming.
    pub(crate) peers: Vec<PeerView>,
    /// Its transports, and whether they carry data channels.
    pub(crate) transports: Vec<(String, bool)>,
    /// Its producers, whether it has paused them, and names of their encodings that nobody takes.
    pub(crate) producers: Vec<(String, bool, Vec<String>)>,
    pub(crate) data_producers: Vec<String>,
    pub(crate) consumers: Vec<HeldConsumer>,
    pub(crate) data_consumers: Vec<String>,
    /// Producers of others that it is to be offered, as often as they stand here; none if it takes no media.
    pub(crate) missing: Vec<String>,
    /// The same of data producers.
    pub(crate) missing_data: Vec<String>,
    pub(crate) takes_media: bool,
    pub(crate) muted: Muted,
}

impl Room {
    /// A secret by which the client of a participant can go on as that.
    pub(crate) async fn let_resume(&self, peer: &PeerHandle) -> Result<String, Error> {
        let secret = Secret::draw();
        self.state().await.peer_mut(peer)?.secret = Some(secret);
        Ok(secret.text())
    }

    /// An error if nobody can go on as this participant with this secret.
    pub(crate) async fn check_resume(&self, name: &str, secret: &str) -> Result<(), Error> {
        self.state().await.resumable(name, secret).map(|_| ())
    }

    /// A client goes on as the participant of that name: it takes its events from now on, and who took them before is
    /// told no more.
    pub(crate) async fn resume(&self, new: NewPeer, secret: &str) -> Result<Entered, Error> {
        let mut state = self.state().await;
        state.check_open()?;
        self.removals().check(self.id(), &new.name, new.credential)?;
        let handle = state.resumable(&new.name, secret)?.handle.clone();
        let peer = state.peer_mut(&handle)?;
        let events = peer.ear.as_ref().ok_or_else(no_such_peer)?.take();
        // A token may have been renewed, and an address changed.
        peer.comes_from(new.client, new.credential);
        tracing::info!("participant {:?} in room {:?} is back, address {}", new.name, self.id(), new.client);
        Ok((handle, peer.left(), events))
    }

    /// What a client has missed, and what happens from now on. What it does not have closes, and is to be offered
    /// again. An error if it is too late: another client takes the events, or a transport has ended.
    pub(crate) async fn catch_up(
        &self,
        peer: &PeerHandle,
        held: &Held,
        absence: &Absence,
    ) -> Result<(PeerEvents, Resumed), Error> {
        let mut guard = self.state().await;
        let state = &mut *guard;
        if absence.is_over() || state.has_ended(peer.name()) {
            return Err(no_such_peer());
        }
        for name in held.receives_on.iter().flatten() {
            state.transport_of(peer, name)?;
        }
        state.agree(peer, held).await?;
        state.forget_unplayable_of(peer.name());
        let there = state.there(peer);
        let own = state.peer(peer)?;
        let (takes_media, muted) = (own.rtp_capabilities.is_some(), own.muted);
        let events = own.ear.as_ref().ok_or_else(no_such_peer)?.take();
        let is_own = |owner: &str| owner == peer.name();
        let mut given: HashMap<&str, usize> = HashMap::new();
        let (peers, missing_data) = (there.peers, there.data_producers);
        let mut resumed = Resumed { peers, missing_data, takes_media, muted, ..Resumed::default() };
        for (name, transport) in state.transports.iter().filter(|(_, one)| is_own(&one.owner)) {
            if let TransportKind::WebRtc { own: Some(own), .. } = &transport.kind {
                resumed.transports.push((name.clone(), own.has_sctp));
            }
        }
        for (name, producer) in state.producers.iter().filter(|(_, one)| is_own(&one.owner)) {
            resumed.producers.push((name.clone(), producer.paused, producer.unwanted()));
        }
        for (name, consumer) in state.consumers.iter().filter(|(_, one)| is_own(&one.owner)) {
            *given.entry(&consumer.producer).or_default() += 1;
            let producer_paused = state.producers.get(&consumer.producer).is_some_and(|one| one.is_paused());
            let sent = consumer.layer.as_ref().map(|layer| *layer.receiver().borrow()).unwrap_or_default();
            let layers = sent.current.map(|current| Layers { spatial: current.spatial });
            let suspended = sent.suspended;
            resumed.consumers.push(HeldConsumer { name: name.clone(), producer_paused, layers, suspended });
        }
        for producer in there.producers.into_iter().filter(|_| takes_media) {
            let times = (1 + self.consumer_replicas()).saturating_sub(given.get(&*producer).copied().unwrap_or(0));
            resumed.missing.extend(std::iter::repeat_n(producer, times));
        }
        for (name, _) in state.data_producers.iter().filter(|(_, one)| one.owner.as_deref().is_some_and(is_own)) {
            resumed.data_producers.push(name.clone());
        }
        for (name, consumer) in state.data_consumers.iter().filter(|(_, one)| is_own(&one.owner)) {
            resumed.data_consumers.push(name.clone());
            resumed.missing_data.retain(|producer| *producer != consumer.data_producer);
        }
        Ok((events, resumed))
    }

    /// Keeps the place of a participant whose client is away, for the grace. Returns when its client is back, or the
    /// peer has left.
    pub(crate) async fn keep_place(
        &self,
        peer: &PeerHandle,
        mut absence: Absence,
        why: &'static str,
    ) -> Result<(), Error> {
        let Ok(mut left) = self.state().await.peer(peer).map(Peer::left) else { return Ok(()) };
        tokio::select! {
            () = absence.over() => return Ok(()),
            () = left.over() => return Ok(()),
            () = tokio::time::sleep(self.resume_grace()) => {}
        }
        self.part(peer, &absence, why).await
    }

    /// A participant leaves, unless another client takes its events by now.
    pub(crate) async fn part(&self, peer: &PeerHandle, absence: &Absence, why: &'static str) -> Result<(), Error> {
        let mut state = self.state().await;
        if !absence.is_over() {
            self.remove_locked(&mut state, peer, why).await?;
        }
        Ok(())
    }
}

fn no_such_peer() -> Error {
    Error::new(Code::NotFound, "resume: there is no such peer to go on as; join again")
}

impl State {
    /// The participant of that name, if this is its secret and its transports are alive. Which of it is not so is not
    /// told.
    fn resumable(&self, name: &str, secret: &str) -> Result<&Peer, Error> {
        let found = self.peers.get(name).filter(|peer| peer.kind == PeerKind::Participant && peer.joined);
        let peer = found.filter(|peer| peer.secret.is_some_and(|own| own.is(secret))).ok_or_else(no_such_peer)?;
        if self.has_ended(name) { Err(no_such_peer()) } else { Ok(peer) }
    }

    /// Whether a transport of the participant has ended by itself.
    fn has_ended(&self, name: &str) -> bool {
        let mut own = self.transports.values().filter(|one| *one.owner == *name);
        own.any(|transport| match &transport.kind {
            TransportKind::WebRtc { states, .. } => end_of(&states.receiver().borrow()).is_some(),
            TransportKind::Plain(_) => false,
        })
    }

    /// Closes consumers that a client does not have, and pauses and resumes the others as it says.
    async fn agree(&mut self, peer: &PeerHandle, held: &Held) -> Result<(), Error> {
        let mut commands: BTreeMap<u32, (Site, Vec<Command>)> = BTreeMap::new();
        let mut tell = |site: &Site, command| {
            let of_worker = commands.entry(site.worker().index());
            of_worker.or_insert_with(|| (site.clone(), Vec::new())).1.push(command);
        };
        for (name, one) in self.consumers.iter().filter(|(_, one)| *one.owner == *peer.name()) {
            let consumer = one.id;
            match held.consumers.get(name) {
                Some(paused) => tell(&one.site, Command::PauseConsumer { consumer, paused: *paused }),
                None => tell(&one.site, Command::CloseConsumer { consumer }),
            }
        }
        let data = self.data_consumers.iter().filter(|(_, one)| *one.owner == *peer.name());
        for (_, one) in data.filter(|(name, _)| !held.data_consumers.contains(*name)) {
            tell(&one.site, Command::CloseDataConsumer { data_consumer: one.id });
        }
        for (site, commands) in commands.into_values() {
            for refused in site.worker().try_all(commands).await?.into_iter().filter_map(Result::err) {
                tracing::debug!("what {:?} has had: {refused}", peer.name());
            }
        }
        self.consumers.retain(|name, one| *one.owner != *peer.name() || held.consumers.contains_key(name));
        self.data_consumers.retain(|name, one| *one.owner != *peer.name() || held.data_consumers.contains(name));
        Ok(())
    }
}
