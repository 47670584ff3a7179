//! A publisher of this machine that another machine is sent, for the viewers there. In the room a peer stands for the
//! other machine, which has the pipe's transport and a consumer for each encoding.
//!
//! What is published here is sent on; what has come from another machine never is, so no two machines send each other
//! the same.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use corecast_wire::{Command, ConsumerId};
use serde_json::json;

use super::draw::{draw_first_sequence, draw_ssrc, next_id, object_name};
use super::error::{Code, Error};
use super::machines::{Crossed, Crosser, Details, MAX_CROSSING, OpenedPipe, PipeEnd};
use super::media::{Consumer, Producer};
use super::peer::{NewPeer, Peer, PeerHandle, PeerKind};
use super::room::Room;
use super::state::{Publisher, State};
use crate::ortc;
use crate::workers::RequestError;

/// A publisher that another machine is sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What stands for the other machine.
    machine: PeerHandle,
    publisher: PeerHandle,
    /// Name of the pipe's transport.
    transport: String,
    /// What crosses, by the name of its producer.
    sent: BTreeMap<String, Sent>,
}

/// A producer that crosses.
#[derive(Debug)]
struct Sent {
    numbers: Vec<(u32, u16)>,
    consumers: Vec<ConsumerId>,
    /// The other machine can take it.
    running: bool,
}

impl State {
    /// Peers that publish at this machine.
    fn own_publishers(&self, wanted: Option<&str>) -> Vec<Publisher> {
        let is_own = |name: &str| self.peers.get(name).is_some_and(|peer| peer.kind != PeerKind::Remote);
        let mut publishers = self.publishers(wanted);
        publishers.retain(|publisher| is_own(&publisher.name));
        publishers
    }
}

fn details(producer: &Producer, numbers: &[(u32, u16)]) -> Details {
    Details {
        kind: producer.kind,
        streams: producer.streams.to_owned(),
        encodings: producer.encodings.clone(),
        consumable: (*producer.consumable).clone(),
        numbers: numbers.to_vec(),
    }
}

impl Room {
    /// Whether somebody publishes here, at this machine: the wanted peer, or any.
    pub(crate) async fn has_own_stream(&self, wanted: Option<&str>) -> bool {
        !self.state().await.own_publishers(wanted).is_empty()
    }

    /// Sends another machine the wanted publisher, or the one whom viewers of the room would be sent here. Nothing
    /// leaves before the other machine says that it is ready.
    pub(crate) async fn send_out(
        &self,
        wanted: Option<&str>,
        remote: &PipeEnd,
        client: IpAddr,
    ) -> Result<(Outgoing, Crosser, PipeEnd), Error> {
        let publishers = self.state().await.own_publishers(wanted);
        let nobody = || Error::no_stream(self.id(), wanted);
        let name = self.liveliest(publishers).await?.ok_or_else(nobody)?;
        let pipe = self.open_pipe_out(Some(remote)).await?;
        let sent = match self.connect_pipe(&pipe, remote).await {
            Ok(()) => self.begin_sending(&name, &pipe, client).await,
            Err(error) => Err(error),
        };
        if sent.is_err() {
            self.close_pipe_out(&pipe).await?;
        }
        let (outgoing, crosser) = sent?;
        Ok((outgoing, crosser, pipe.own().clone()))
    }

    async fn begin_sending(&self, name: &str, pipe: &OpenedPipe, client: IpAddr) -> Result<(Outgoing, Crosser), Error> {
        let mut state = self.state().await;
        state.check_open()?;
        let publisher = state.peers.get(name).ok_or_else(|| Error::no_stream(self.id(), Some(name)))?;
        let crosser = Crosser { name: name.to_owned(), display_name: publisher.display_name.clone() };
        let publisher = publisher.handle.clone();
        let (mut peer, _) = Peer::new(NewPeer {
            name: object_name(),
            kind: PeerKind::Machine,
            display_name: format!("machine {client}"),
            app_data: json!({}),
            rtp_capabilities: None,
            joined: false,
            credential: None,
            client,
        });
        let (machine, transport) = (peer.handle.clone(), object_name());
        peer.begins(self.id(), Some(&transport));
        state.add_peer(peer);
        state.transports.insert(transport.clone(), pipe.transport(self, &machine));
        Ok((Outgoing { machine, publisher, transport, sent: BTreeMap::new() }, crosser))
    }

    /// What crosses now. What the other machine knows already is told in short, and begins to flow if it did not
    /// before. An error if the publisher has left, or what stands for the other machine.
    pub(crate) async fn send_on(&self, outgoing: &mut Outgoing, known: &HashSet<&str>) -> Result<Vec<Crossed>, Error> {
        let mut guard = self.state().await;
        let state = &mut *guard;
        state.peer(&outgoing.machine)?;
        state.peer(&outgoing.publisher)?;
        let mut own = state.producer_infos(outgoing.publisher.name());
        if own.is_empty() {
            return Err(Error::no_stream(self.id(), Some(outgoing.publisher.name())));
        }
        own.truncate(MAX_CROSSING);
        outgoing.sent.retain(|name, _| own.iter().any(|info| info.name == *name));
        let mut crossed = Vec::new();
        for info in own {
            if !outgoing.sent.contains_key(&info.name) {
                let sent = self.add_sent(state, outgoing, &info.name).await?;
                outgoing.sent.insert(info.name.clone(), sent);
            }
            let Some(sent) = outgoing.sent.get_mut(&info.name) else { continue };
            let is_known = known.contains(&*info.name);
            if is_known && !sent.running {
                let resume = |consumer: &ConsumerId| Command::PauseConsumer { consumer: *consumer, paused: false };
                self.worker().try_all(sent.consumers.iter().map(resume).collect()).await?;
                sent.running = true;
            }
            let producer = state.producer(&info.name)?;
            crossed.push(Crossed {
                id: info.name,
                paused: producer.is_paused(),
                details: (!is_known).then(|| details(producer, &sent.numbers)),
            });
        }
        Ok(crossed)
    }

    async fn add_sent(&self, state: &mut State, outgoing: &Outgoing, name: &str) -> Result<Sent, Error> {
        let State { producers, transports, consumers, .. } = state;
        let producer = producers.get(name).ok_or_else(|| Error::not_found("producer", name))?;
        let gone = || Error::new(Code::NotFound, "the pipe has closed");
        let on = transports.get_mut(&outgoing.transport).ok_or_else(gone)?;
        let mut numbers = Vec::new();
        for _ in &producer.encodings {
            let ssrc = draw_ssrc(&on.ssrcs);
            on.ssrcs.insert(ssrc);
            numbers.push((ssrc, draw_first_sequence()));
        }
        let piped = ortc::pipe(producer.kind, &producer.consumable, &numbers);
        let ids: Vec<_> = numbers.iter().map(|_| ConsumerId(next_id())).collect();
        let commands = ids.iter().zip(piped.consume).map(|(consumer, options)| Command::Consume {
            transport: on.id,
            consumer: *consumer,
            producer: producer.id,
            options: corecast_wire::ConsumeOptions { paused: true, ..options },
        });
        let refused = self.worker().try_all(commands.collect()).await?.into_iter().find_map(Result::err);
        if let Some(refused) = refused {
            let close = |consumer: &ConsumerId| Command::CloseConsumer { consumer: *consumer };
            self.worker().close(ids.iter().map(close).collect()).await?;
            return Err(RequestError::from(refused).into());
        }
        for id in &ids {
            let (at, owner) = ((&*outgoing.transport, self.home().clone()), outgoing.machine.shared_name());
            consumers.insert(object_name(), Consumer::new(*id, at, owner, name.to_owned(), None));
        }
        Ok(Sent { numbers, consumers: ids, running: false })
    }

    /// The other machine is sent this no longer.
    pub(crate) async fn end_sending(&self, outgoing: &Outgoing, why: &'static str) -> Result<(), Error> {
        self.remove_peer(&outgoing.machine, why).await.map(drop)
    }
}
