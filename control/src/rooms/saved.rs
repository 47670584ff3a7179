//! What of a room outlives the server: rows of the ledger, written when the room's lock is given back, and the room
//! that a server makes of the rows that the one before has left.
//!
//! Not here is what can be known again (counters, scores, layers), and what a client has to make again (data channels).

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use corecast_wire::{ConsumerId, ProducerId, RouterId, RtpObserverId, TransportId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ear::{Absence, Ear};
use super::media::{Consumer, Producer};
use super::muted::Muted;
use super::observers::Observers;
use super::peer::{Credential, NewPeer, Peer, PeerHandle, PeerKind};
use super::pipe::{Branch, Crossing, Pipe};
use super::produce_consume::layers_told;
use super::room::Room;
use super::secret::Secret;
use super::site::Site;
use super::state::State;
use super::transport::{OwnWebRtc, Plain, Transport, TransportKind};
use super::webrtc_transport::follow;
use crate::ledger::{About, Key, Ledger, Rows};
use crate::ortc::{Kind, RtpCapabilities, RtpParameters, kind_of_streams};

/// A room.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedRoom {
    pub(super) worker: u32,
    pub(super) router: RouterId,
    /// Who has made it.
    pub(super) client: IpAddr,
    pub(super) consumer_replicas: usize,
    observers: Option<[RtpObserverId; 2]>,
    #[serde(default)]
    loudest: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedPeer {
    number: u64,
    kind: PeerKind,
    display_name: String,
    app_data: Value,
    rtp_capabilities: Option<RtpCapabilities>,
    joined: bool,
    credential: Option<Credential>,
    wanted: Option<String>,
    muted: Muted,
    secret: Option<Secret>,
    client: IpAddr,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedTransport {
    id: TransportId,
    router: RouterId,
    owner: String,
    kind: SavedKind,
    cname: Option<String>,
    next_mid: u32,
    ssrcs: HashSet<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedBranch {
    worker: u32,
    router: RouterId,
    pipe: Pipe,
    crossing: BTreeMap<String, Crossing>,
}

#[derive(Debug, Serialize, Deserialize)]
enum SavedKind {
    Plain(Plain),
    WebRtc { own: Option<Box<OwnWebRtc>> },
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedProducer {
    id: ProducerId,
    transport: String,
    owner: String,
    kind: Kind,
    streams: String,
    encodings: Vec<String>,
    consumable: RtpParameters,
    app_data: Option<Value>,
    paused: bool,
    muted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedConsumer {
    id: ConsumerId,
    transport: String,
    owner: String,
    producer: String,
    wishes_less: bool,
    takes: Option<Vec<u8>>,
    rtx_ssrc: Option<u32>,
}

impl Room {
    /// Writes to the ledger what has changed in the tables.
    pub(super) fn save(&self, state: &mut State) {
        let (ledger, room) = (self.ledger(), self.id());
        if state.check_open().is_err() {
            ledger.remove(Key::new(About::Room, room, ""));
        } else {
            let observers = state.observers.map(|observers| [observers.levels, observers.speaker]);
            ledger.put(Key::new(About::Room, room, ""), &self.saved(observers, state.loudest));
        }
        let State { peers, branches, transports, producers, consumers, .. } = state;
        keep(ledger, About::Peer, room, peers.take_changed().map(|(name, row)| (name, row.map(Peer::saved))));
        keep(ledger, About::Branch, room, branches.take_changed().map(|(name, row)| (name, row.map(of_branch))));
        keep(
            ledger,
            About::Transport,
            room,
            transports.take_changed().map(|(name, row)| (name, row.map(of_transport))),
        );
        keep(ledger, About::Producer, room, producers.take_changed().map(|(name, row)| (name, row.map(of_producer))));
        keep(ledger, About::Consumer, room, consumers.take_changed().map(|(name, row)| (name, row.map(of_consumer))));
    }

    fn saved(&self, observers: Option<[RtpObserverId; 2]>, loudest: u16) -> SavedRoom {
        SavedRoom {
            worker: self.worker().index(),
            router: self.home().router(),
            client: self.client(),
            consumer_replicas: self.consumer_replicas(),
            observers,
            loudest,
        }
    }

    /// Fills the tables with what was kept of the room. Returns the participants, whose clients are awaited.
    pub(super) fn fill(&self, state: &mut State, saved: &SavedRoom, rows: &Rows) -> Vec<(PeerHandle, Absence)> {
        let mut awaited = Vec::new();
        for (Key { name, .. }, row) in rows.of::<SavedPeer>(About::Peer, Some(self.id())) {
            let mut peer = row.peer(&name);
            if peer.kind == PeerKind::Participant {
                // Nobody hears what is told before the client comes again.
                let (ear, events) = Ear::new();
                peer.ear = Some(ear);
                awaited.push((peer.handle.clone(), events.absence()));
            }
            peer.goes_on(self.id());
            state.add_peer(peer);
        }
        let owners: BTreeMap<String, Arc<str>> =
            state.peers.values().map(|peer| (peer.handle.name().to_owned(), peer.handle.shared_name())).collect();
        let ear = |state: &State, owner: &str| state.peers.get(owner).and_then(|peer| peer.ear.clone());
        for (Key { name, .. }, row) in rows.of::<SavedBranch>(About::Branch, Some(self.id())) {
            let Some(worker) = self.pool().workers().get(row.worker as usize) else { continue };
            let site = Site::new(Arc::clone(worker), row.router);
            state.branches.insert(name, Branch::new(site, row.pipe, row.crossing));
        }
        for (Key { name, .. }, row) in rows.of::<SavedTransport>(About::Transport, Some(self.id())) {
            let branches = state.branches.values().map(|branch| &branch.site);
            let site = branches.chain([self.home()]).find(|site| site.router() == row.router).cloned();
            let (Some(owner), Some(site)) = (owners.get(&row.owner), site) else { continue };
            let transport = row.transport(site, owner, ear(state, owner));
            state.transports.insert(name, transport);
        }
        for (Key { name, .. }, row) in rows.of::<SavedProducer>(About::Producer, Some(self.id())) {
            let Some(owner) = owners.get(&row.owner) else { continue };
            let (mut producer, ear) = (row.producer(owner), ear(state, owner));
            producer.follow_wanted(self.worker(), &name, ear);
            state.producers.insert(name, producer);
        }
        for (Key { name, .. }, row) in rows.of::<SavedConsumer>(About::Consumer, Some(self.id())) {
            let site = state.transports.get(&row.transport).map(|transport| transport.site.clone());
            let (Some(owner), Some(site)) = (owners.get(&row.owner), site) else { continue };
            let is_layered = state.producers.get(&row.producer).is_some_and(Producer::is_layered);
            let consumer = row.consumer(site, owner, (&name, is_layered), ear(state, owner));
            state.consumers.insert(name, consumer);
        }
        state.loudest = saved.loudest;
        state.observers = saved.observers.map(|[levels, speaker]| Observers { levels, speaker });
        awaited
    }
}

fn keep<T: Serialize>(ledger: &Ledger, about: About, room: &str, changed: impl Iterator<Item = (String, Option<T>)>) {
    for (name, row) in changed {
        let key = Key { about, room: room.to_owned(), name };
        match row {
            Some(row) => ledger.put(key, &row),
            None => ledger.remove(key),
        }
    }
}

impl Peer {
    fn saved(&self) -> SavedPeer {
        SavedPeer {
            number: self.number(),
            kind: self.kind,
            display_name: self.display_name.clone(),
            app_data: self.app_data.clone(),
            rtp_capabilities: self.rtp_capabilities.as_deref().cloned(),
            joined: self.joined,
            credential: self.credential,
            wanted: self.wanted.clone(),
            muted: self.muted,
            secret: self.secret,
            client: self.client(),
        }
    }
}

impl SavedPeer {
    fn peer(self, name: &str) -> Peer {
        let new = NewPeer {
            name: name.to_owned(),
            kind: self.kind,
            display_name: self.display_name,
            app_data: self.app_data,
            rtp_capabilities: self.rtp_capabilities,
            joined: self.joined,
            credential: self.credential,
            client: self.client,
        };
        let mut peer = Peer::again(new, self.number);
        (peer.wanted, peer.muted, peer.secret) = (self.wanted, self.muted, self.secret);
        peer
    }
}

fn of_branch(branch: &Branch) -> SavedBranch {
    SavedBranch {
        worker: branch.site.worker().index(),
        router: branch.site.router(),
        pipe: branch.pipe.clone(),
        crossing: branch.crossing.clone(),
    }
}

fn of_transport(transport: &Transport) -> SavedTransport {
    SavedTransport {
        id: transport.id,
        router: transport.site.router(),
        owner: transport.owner.to_string(),
        kind: match &transport.kind {
            TransportKind::Plain(plain) => SavedKind::Plain(plain.clone()),
            TransportKind::WebRtc { own, .. } => SavedKind::WebRtc { own: own.clone() },
        },
        cname: transport.cname.clone(),
        next_mid: transport.next_mid,
        ssrcs: transport.ssrcs.clone(),
    }
}

impl SavedTransport {
    fn transport(self, site: Site, owner: &Arc<str>, ear: Option<Ear>) -> Transport {
        let kind = match self.kind {
            SavedKind::Plain(plain) => TransportKind::Plain(plain),
            SavedKind::WebRtc { mut own } => {
                // Its association is gone.
                own.iter_mut().for_each(|own| own.has_sctp = false);
                let states = match ear {
                    Some(ear) => site.worker().events().transport_with(self.id, Box::new(follow(ear))),
                    None => site.worker().events().transport(self.id),
                };
                TransportKind::WebRtc { states, own }
            }
        };
        let transport = Transport::new(self.id, site, Arc::clone(owner), kind, self.ssrcs);
        Transport { cname: self.cname, next_mid: self.next_mid, ..transport }
    }
}

fn of_producer(producer: &Producer) -> SavedProducer {
    SavedProducer {
        id: producer.id,
        transport: producer.transport.clone(),
        owner: producer.owner.to_string(),
        kind: producer.kind,
        streams: producer.streams.to_owned(),
        encodings: producer.encodings.clone(),
        consumable: (*producer.consumable).clone(),
        app_data: producer.app_data.clone(),
        paused: producer.paused,
        muted: producer.muted,
    }
}

impl SavedProducer {
    fn producer(self, owner: &Arc<str>) -> Producer {
        Producer {
            id: self.id,
            transport: self.transport,
            owner: Arc::clone(owner),
            kind: self.kind,
            streams: kind_of_streams(&self.streams),
            encodings: self.encodings,
            unwanted: None,
            sample: None,
            consumable: Arc::new(self.consumable),
            app_data: self.app_data,
            paused: self.paused,
            muted: self.muted,
            scores: Vec::new(),
            looks: Vec::new(),
            rates: Vec::new(),
        }
    }
}

fn of_consumer(consumer: &Consumer) -> SavedConsumer {
    SavedConsumer {
        id: consumer.id,
        transport: consumer.transport.clone(),
        owner: consumer.owner.to_string(),
        producer: consumer.producer.clone(),
        wishes_less: consumer.wishes_less,
        takes: consumer.takes.clone(),
        rtx_ssrc: consumer.rtx_ssrc,
    }
}

impl SavedConsumer {
    fn consumer(self, site: Site, owner: &Arc<str>, (name, is_layered): (&str, bool), ear: Option<Ear>) -> Consumer {
        let layer = is_layered.then(|| match ear {
            Some(ear) => site.worker().events().consumer_with(self.id, Box::new(layers_told(ear, name.to_owned()))),
            None => site.worker().events().consumer(self.id),
        });
        let consumer = Consumer::new(self.id, (&self.transport, site), Arc::clone(owner), self.producer, layer);
        Consumer { wishes_less: self.wishes_less, takes: self.takes, rtx_ssrc: self.rtx_ssrc, ..consumer }
    }
}
