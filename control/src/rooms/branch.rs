//! A room that is wider than a core: its viewers are sent from other workers as well, once its home is busy. On each
//! such worker the room has a branch: a router, which a pair of pipe transports joins to the home, by way of the memory
//! that the two workers share. What a viewer there watches crosses once, however many watch it, and is sealed where the
//! viewer is.
//!
//! Publishers and participants are at home. A branch is made with its first viewer; what nobody there watches any
//! longer stops to cross, and a branch without viewers is closed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use corecast_wire::{Command, PlainTransportOptions, ProducerId, Reply, RouterId, SctpOptions, TransportId, worker_ip};

use super::draw::{draw_ssrc, next_id};
use super::error::Error;
use super::pipe::{Branch, Crossing, Ends, Pipe};
use super::room::Room;
use super::site::Site;
use super::state::{State, close_transport};
use crate::workers::{RequestError, Worker};

/// Looks, a second apart, for which nobody has watched something before it stops to cross.
const UNWATCHED_LOOKS: u8 = 3;
/// The same for a branch on which nobody is.
const EMPTY_LOOKS: u8 = 5;

/// One end of a pipe: where it listens.
async fn open_end(
    site: &Site,
    transport: TransportId,
    sctp: Option<SctpOptions>,
) -> Result<std::net::SocketAddr, Error> {
    let listen = worker_ip(site.worker().index());
    let rtcp_ssrc = draw_ssrc(&HashSet::new());
    let options = PlainTransportOptions { pipe: true, sctp, ..PlainTransportOptions::new(listen, rtcp_ssrc) };
    let open = Command::CreatePlainTransport { router: site.router(), transport, options };
    match site.worker().request(open).await? {
        Reply::PlainTransport { local, .. } => Ok(local),
        _ => Err(RequestError::WrongReply.into()),
    }
}

impl Room {
    /// From where the next viewer is sent. If the room cannot grow, that is home.
    pub(super) async fn place_viewer(&self, state: &mut State) -> Site {
        let branches: Vec<u32> = state.branches.values().map(|branch| branch.site.worker().index()).collect();
        let Some(worker) = self.pool().place_viewer(self.worker().index(), &branches) else {
            return self.home().clone();
        };
        if self.home().is_on(&worker) {
            return self.home().clone();
        }
        if let Some(branch) = state.branches.values().find(|branch| branch.site.is_on(&worker)) {
            return branch.site.clone();
        }
        match self.branch_out(Arc::clone(&worker)).await {
            Ok(branch) => {
                tracing::info!("room {:?} is on worker {} as well", self.id(), worker.index());
                let site = branch.site.clone();
                state.branches.insert(worker.index().to_string(), branch);
                site
            }
            Err(error) => {
                tracing::warn!("room {:?} cannot grow to worker {}: {error}", self.id(), worker.index());
                self.home().clone()
            }
        }
    }

    async fn branch_out(&self, worker: Arc<Worker>) -> Result<Branch, Error> {
        let site = Site::new(worker, RouterId(next_id()));
        site.worker().apply(site.create()).await?;
        match self.open_pipe(&site, None).await {
            Ok(ends) => Ok(Branch::new(site, Pipe { ends, ssrcs: HashSet::new() }, BTreeMap::new())),
            Err(error) => {
                site.worker().close(vec![site.close()]).await?;
                Err(error)
            }
        }
    }

    /// A new pipe from home to a branch. Nothing is left of it if it cannot be made.
    pub(super) async fn open_pipe(&self, site: &Site, sctp: Option<SctpOptions>) -> Result<Ends, Error> {
        let ends = Ends { near: TransportId(next_id()), far: TransportId(next_id()) };
        let connect = |transport, remote| Command::ConnectPlainTransport {
            transport,
            remote: Some(remote),
            rtcp_remote: None,
            srtp: None,
        };
        let joined = async {
            let far = open_end(site, ends.far, sctp).await?;
            let near = open_end(self.home(), ends.near, sctp).await?;
            self.worker().apply(connect(ends.near, far)).await?;
            site.worker().apply(connect(ends.far, near)).await?;
            Ok(ends)
        };
        let joined = joined.await;
        if joined.is_err() {
            self.worker().close(vec![close_transport(ends.near)]).await?;
            site.worker().close(vec![close_transport(ends.far)]).await?;
        }
        joined
    }

    /// These producers can be consumed there from now on. Those that have closed are left out.
    pub(super) async fn reach(&self, state: &mut State, site: &Site, producers: &[&str]) -> Result<(), Error> {
        let State { branches, producers: there, .. } = state;
        let Some(branch) = branches.get_mut(&site.worker().index().to_string()).filter(|of| of.site == *site) else {
            return Ok(());
        };
        for name in producers {
            if let Some(crossing) = branch.crossing.get_mut(*name) {
                crossing.unwatched = 0;
                continue;
            }
            let Some(producer) = there.get(*name) else { continue };
            let (crossing, produce, consume) = Crossing::new(producer, &mut branch.pipe);
            site.worker().apply(produce).await?;
            let refused = self.worker().try_all(consume).await?.into_iter().find_map(Result::err);
            if let Some(refused) = refused {
                self.worker().close(crossing.close_near().collect()).await?;
                site.worker().close(vec![crossing.close_far()]).await?;
                return Err(RequestError::from(refused).into());
            }
            branch.crossing.insert((*name).to_owned(), crossing);
        }
        branch.empty = 0;
        Ok(())
    }

    /// A producer has been paused at home, or resumed: it is so on the branches.
    pub(super) async fn pause_crossings(&self, state: &State, producer: &str, paused: bool) -> Result<(), Error> {
        for branch in state.branches.values() {
            let Some(Crossing { producer, .. }) = branch.crossing.get(producer) else { continue };
            branch.site.worker().apply(Command::PauseProducer { producer: *producer, paused }).await?;
        }
        Ok(())
    }

    /// What has closed at home closes on the branches.
    pub(super) async fn prune(&self, state: &mut State) -> Result<(), Error> {
        self.prune_data(state).await?;
        let State { branches, producers, .. } = state;
        for index in branches.keys().cloned().collect::<Vec<_>>() {
            let is_gone = |branch: &Branch| branch.crossing.keys().any(|name| !producers.contains_key(name));
            let Some(branch) = branches.get(&index).filter(|branch| is_gone(branch)) else { continue };
            let (worker, mut closings) = (Arc::clone(branch.site.worker()), Vec::new());
            if let Some(branch) = branches.get_mut(&index) {
                branch.crossing.retain(|name, crossing| {
                    let stays = producers.contains_key(name);
                    closings.extend((!stays).then(|| crossing.close_far()));
                    stays
                });
            }
            worker.close(closings).await?;
        }
        Ok(())
    }

    /// What nobody watches no longer crosses, and branches on which nobody is are closed. To be called once a second.
    pub(super) async fn shrink(&self, state: &mut State) -> Result<(), Error> {
        for index in state.branches.keys().cloned().collect::<Vec<_>>() {
            let Some(Branch { site, .. }) = state.branches.get(&index) else { continue };
            let site = site.clone();
            let is_empty = !state.transports.values().any(|transport| transport.site == site);
            let own = state.consumers.values().filter(|consumer| consumer.site == site);
            let watched: HashSet<String> = own.map(|consumer| consumer.producer.clone()).collect();
            // Nothing that is kept changes by a look alone.
            let looked = state.branches.iter_mut().find(|(name, _)| **name == index);
            let Some((_, branch)) = looked else { continue };
            branch.empty = if is_empty { branch.empty + 1 } else { 0 };
            if branch.empty > EMPTY_LOOKS {
                let messages = branch.messages.as_ref().map(|pipe| pipe.ends);
                let ends = [branch.pipe.ends].into_iter().chain(messages);
                self.worker().close(ends.map(|ends| close_transport(ends.near)).collect()).await?;
                site.worker().close(vec![site.close()]).await?;
                state.branches.remove(&index);
                tracing::info!("room {:?} is on worker {index} no longer", self.id());
                continue;
            }
            let mut unwatched = Vec::new();
            for (name, crossing) in &mut branch.crossing {
                crossing.unwatched = if watched.contains(name) { 0 } else { crossing.unwatched + 1 };
                if crossing.unwatched > UNWATCHED_LOOKS {
                    unwatched.push(name.clone());
                }
            }
            for name in unwatched {
                let Some(branch) = state.branches.get_mut(&index) else { continue };
                let Some(crossing) = branch.crossing.remove(&name) else { continue };
                self.worker().close(crossing.close_near().collect()).await?;
                site.worker().close(vec![crossing.close_far()]).await?;
            }
        }
        Ok(())
    }
}

impl State {
    /// A producer as it is called at a site, if it is there.
    pub(super) fn producer_at(&self, site: &Site, name: &str) -> Option<ProducerId> {
        match self.branches.values().find(|branch| branch.site == *site) {
            Some(branch) => Some(branch.crossing.get(name)?.producer),
            None => Some(self.producers.get(name)?.id),
        }
    }
}
