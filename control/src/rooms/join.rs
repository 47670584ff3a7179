//! A peer joins in one step: it comes with a WebRTC transport and everything that is inside, in one batch of commands.
//!
//! The worker is waited for without the room's lock. What a join is about may go meanwhile, so it is looked at again
//! before anything is entered into the tables.

use std::collections::HashSet;
use std::net::IpAddr;

use corecast_wire::{Command, ConsumeOptions, ConsumerId, TransportId};
use serde_json::json;
use tokio::sync::watch;

use super::draw::{draw_ssrc, next_id, object_name};
use super::error::{Code, Error};
use super::media::{Consumer, Producer};
use super::peer::{Credential, Left, NewPeer, Peer, PeerHandle, PeerKind};
use super::peers::ProducerInfo;
use super::room::Room;
use super::site::Site;
use super::state::{State, close_transport};
use super::transport::{Transport, TransportKind};
use super::webrtc::{LocalParameters, RemoteParameters};
use crate::ortc::{Kind, Produced};
use crate::workers::{ChannelEvents, TransportState, TransportStates};

/// A peer that has joined, with its transport.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) peer: PeerHandle,
    /// Name of its transport.
    pub(crate) transport: String,
    pub(crate) local: LocalParameters,
    pub(crate) states: watch::Receiver<TransportState>,
    pub(crate) left: Left,
}

/// A consumer that a viewer is to be given.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Name of its producer.
    pub(crate) producer: String,
    pub(crate) options: ConsumeOptions,
}

/// What a viewer has been given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Name of the consumer.
    pub(crate) consumer: String,
    /// Name of its producer.
    pub(crate) producer: String,
    /// Its producer is sent in several encodings.
    pub(crate) is_layered: bool,
}

impl Room {
    /// A peer comes and publishes. What becomes of its data channels, if it has asked for any, is for
    /// [`Self::follow_channel`]. The names are those of its producers.
    pub(crate) async fn publish(
        &self,
        new: NewPeer,
        producers: Vec<(Kind, Produced)>,
        remote: RemoteParameters,
    ) -> Result<(Joined, Option<ChannelEvents>, Vec<String>), Error> {
        // The name is taken from here on.
        let (peer, left) = match self.add_peer(new.clone()).await {
            Err(error) if error.code() == Code::NameTaken && self.vacate(&new).await? => self.add_peer(new).await?,
            added => added?,
        };
        let (id, name) = (TransportId(next_id()), object_name());
        let make = |(kind, mut produced): (Kind, Produced)| {
            self.allow_redundancy(&mut produced.consumable);
            let (mut producer, options) = Producer::new(&peer.shared_name(), &name, kind, produced);
            let own_name = object_name();
            producer.follow_wanted(self.worker(), &own_name, None);
            ((own_name, producer), options)
        };
        let (producers, options): (Vec<_>, Vec<_>) = producers.into_iter().map(make).unzip();
        let commands = producers.iter().zip(options);
        let commands = commands.map(|((_, of), options)| Command::Produce { transport: id, producer: of.id, options });
        let ssrc = draw_ssrc(&HashSet::new());
        let channels = remote.sctp.map(|_| self.worker().events().channels(id));
        let (local, states) = match self.make_webrtc(self.home(), (id, ssrc), commands.collect(), remote).await {
            Ok(made) => made,
            Err(error) => {
                self.state().await.remove_peers(std::slice::from_ref(&peer), "its transport could not be made");
                return Err(error);
            }
        };
        let mut state = self.state().await;
        if state.peer(&peer).is_err() {
            // Only the end of the room removes a peer of which no client knows yet; its transport has closed with it.
            return Err(state.check_open().err().unwrap_or_else(|| Error::not_found("peer", peer.name())));
        }
        let receiver = states.receiver();
        state.peer_mut(&peer)?.begins(self.id(), Some(&name));
        state.add_webrtc(&name, (id, self.home().clone()), &peer, HashSet::from([ssrc]), states);
        let names = producers.iter().map(|(name, _)| name.clone()).collect();
        state.producers.extend(producers);
        self.observe(&state, peer.name()).await;
        self.succeed(&mut state).await;
        Ok((Joined { peer, transport: name, local, states: receiver, left }, channels, names))
    }

    /// What there is to watch: the name of the wanted peer, or of the one that has been publishing longest and whose
    /// media comes, and its producers, at least one.
    pub(crate) async fn streams(&self, wanted: Option<&str>) -> Result<(String, Vec<ProducerInfo>), Error> {
        let publishers = {
            let state = self.state().await;
            state.check_open()?;
            state.publishers(wanted)
        };
        let nobody = || Error::no_stream(self.id(), wanted);
        let watched = self.liveliest(publishers).await?.ok_or_else(nobody)?;
        let producers = self.state().await.producer_infos(&watched);
        if producers.is_empty() { Err(nobody()) } else { Ok((watched, producers)) }
    }

    /// From where a viewer is sent these producers. What viewers say goes to the publisher: who has data channels is at
    /// home.
    async fn site_for(&self, state: &mut State, producers: &[&str], has_data: bool) -> Result<Site, Error> {
        state.check_open()?;
        let site = if has_data { self.home().clone() } else { self.place_viewer(state).await };
        self.reach(state, &site, producers).await?;
        Ok(site)
    }

    /// A viewer comes that asked for this peer, or for whichever the room has. It is given all of these consumers; if
    /// one of the producers has gone meanwhile, there is no stream.
    pub(crate) async fn view(
        &self,
        asked: Option<&str>,
        watched: &str,
        wanted: Vec<Wanted>,
        (remote, credential, client): (RemoteParameters, Option<Credential>, IpAddr),
    ) -> Result<(Joined, Option<ChannelEvents>, Vec<Given>), Error> {
        let gone = || Error::no_stream(self.id(), Some(watched));
        let viewer = viewer(credential, client);
        self.removals().check(self.id(), &viewer.name, credential)?;
        let (id, name) = (TransportId(next_id()), object_name());
        let (mut peer, left) = Peer::new(viewer);
        peer.wanted = asked.map(str::to_owned);
        let handle = peer.handle.clone();
        let mut ssrcs: HashSet<u32> = wanted.iter().flat_map(|of| own_ssrcs(&of.options)).collect();
        let rtcp_ssrc = draw_ssrc(&ssrcs);
        ssrcs.insert(rtcp_ssrc);
        let (mut commands, mut consumers) = (Vec::new(), Vec::new());
        let site = {
            let mut state = self.state().await;
            let from: Vec<_> = wanted.iter().map(|wanted| &*wanted.producer).collect();
            let site = self.site_for(&mut state, &from, remote.sctp.is_some()).await?;
            for Wanted { producer: from, options } in wanted {
                let producer = state.producers.get(&from).ok_or_else(gone)?;
                let source = state.producer_at(&site, &from).ok_or_else(gone)?;
                let consumer = ConsumerId(next_id());
                let takes = options.payload_types.iter().map(|one| one.router).collect();
                let rtx_ssrc = options.rtx.as_ref().map(|rtx| rtx.ssrc);
                let options = ConsumeOptions { outlives_producer: true, ..options };
                commands.push(Command::Consume { transport: id, consumer, producer: source, options });
                let layer = producer.is_layered().then(|| site.worker().events().consumer(consumer));
                let consumer = Consumer::new(consumer, (&name, site.clone()), handle.shared_name(), from, layer);
                consumers.push(Consumer { takes: Some(takes), rtx_ssrc, ..consumer });
            }
            site
        };
        let channels = remote.sctp.map(|_| site.worker().events().channels(id));
        let (local, states) = match self.make_webrtc(&site, (id, rtcp_ssrc), commands, remote).await {
            Ok(made) => made,
            Err(error) if error.code() == Code::NotFound => {
                self.state().await.check_open()?;
                return Err(gone());
            }
            Err(error) => return Err(error),
        };
        let mut state = self.state().await;
        state.check_open()?;
        // Something may have closed meanwhile; if all has, there never was a stream.
        if !consumers.iter().any(|consumer| state.producers.contains_key(&consumer.producer)) {
            site.worker().close(vec![close_transport(id)]).await?;
            return Err(gone());
        }
        let receiver = states.receiver();
        peer.begins(self.id(), Some(&name));
        state.add_peer(peer);
        state.tell_joined(handle.name());
        state.add_webrtc(&name, (id, site), &handle, ssrcs, states);
        let mut given = Vec::new();
        for consumer in consumers {
            let (name, producer, is_layered) = (object_name(), consumer.producer.clone(), consumer.layer.is_some());
            state.consumers.insert(name.clone(), consumer);
            given.push(Given { consumer: name, producer, is_layered });
        }
        if !given.iter().all(|one| state.producers.contains_key(&one.producer)) {
            self.succeed(&mut state).await;
        }
        Ok((Joined { peer: handle, transport: name, local, states: receiver, left }, channels, given))
    }
}

impl State {
    fn add_webrtc(
        &mut self,
        name: &str,
        (id, site): (TransportId, Site),
        peer: &PeerHandle,
        ssrcs: HashSet<u32>,
        states: TransportStates,
    ) {
        if let Ok(peer) = self.peer_mut(peer) {
            peer.follow(states.receiver());
        }
        let kind = TransportKind::WebRtc { states, own: None };
        self.transports.insert(name.to_owned(), Transport::new(id, site, peer.shared_name(), kind, ssrcs));
    }
}

/// A viewer: a peer without a name that others know.
fn viewer(credential: Option<Credential>, client: IpAddr) -> NewPeer {
    NewPeer {
        name: object_name(),
        kind: PeerKind::Whep,
        display_name: String::new(),
        app_data: json!({ "device": { "flag": "viewer", "name": "WHEP" } }),
        rtp_capabilities: None,
        joined: false,
        credential,
        client,
    }
}

fn own_ssrcs(options: &ConsumeOptions) -> impl Iterator<Item = u32> {
    [Some(options.ssrc), options.rtx.as_ref().map(|rtx| rtx.ssrc)].into_iter().flatten()
}
