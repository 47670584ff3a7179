//! Publishers of whom nothing comes: a worker gives one up after a long silence only, and until then it is in the
//! room. Who comes to watch is given another, and its client may have its name again. Broadcasters are never given up
//! one by one, since one that only receives is silent by nature; a room that has nothing else, and in which nothing
//! comes, is closed.

use std::time::{Duration, Instant};

use corecast_wire::{MAX_SILENCES, ProducerId, Silence};

use super::error::Error;
use super::peer::{NewPeer, PeerHandle, PeerKind};
use super::room::Room;
use super::state::{Publisher, State};

/// A publisher of whom nothing has come for so long has vanished, as far as can be known: clients that send media also
/// send reports or checks more often.
const VANISHED: Duration = Duration::from_secs(3);

/// Why such a publisher leaves.
pub(crate) const FELL_SILENT: &str = "it fell silent, and its client came again";

fn is_recent(since_ms: Option<u32>) -> bool {
    since_ms.is_some_and(|ms| Duration::from_millis(ms.into()) < VANISHED)
}

/// The least of a peer's producers.
fn least(silences: &[Silence], of: impl Fn(&Silence) -> Option<u32>) -> Option<u32> {
    silences.iter().filter_map(of).min()
}

impl Room {
    /// For how long nothing has come of each of these.
    async fn silences(&self, producers: Vec<ProducerId>) -> Result<Vec<Silence>, Error> {
        Ok(self.worker().silences(producers).await?)
    }

    /// The publisher to watch, of several in the order of preference: the first whose media comes, else the first of
    /// whom anything comes. Those after the first [`MAX_SILENCES`] producers are not asked about.
    pub(super) async fn liveliest(&self, publishers: Vec<Publisher>) -> Result<Option<String>, Error> {
        if publishers.len() < 2 {
            return Ok(publishers.into_iter().next().map(|only| only.name));
        }
        let mut asked: Vec<_> = publishers.iter().flat_map(|one| one.producers.iter().copied()).collect();
        asked.truncate(MAX_SILENCES);
        let silences = self.silences(asked).await?;
        let mut rest = silences.as_slice();
        let ranked = publishers.into_iter().map(|one| {
            let (own, others) = rest.split_at(one.producers.len().min(rest.len()));
            rest = others;
            let (media, life) = (least(own, |of| of.media_ms), least(own, |of| of.life_ms));
            ((!is_recent(media), !is_recent(life)), one.name)
        });
        // The first of equals.
        Ok(ranked.min_by_key(|(rank, _)| *rank).map(|(_, name)| name))
    }

    /// Ends the peer whose name a newcomer wants if that one has vanished and came with what the newcomer shows. False
    /// if it stays.
    pub(super) async fn vacate(&self, newcomer: &NewPeer) -> Result<bool, Error> {
        let Some((holder, age, producers)) = self.holder(newcomer).await else { return Ok(false) };
        let life = least(&self.silences(producers).await?, |of| of.life_ms);
        // Who never came counts from when it was expected.
        let silence = life.map_or(age, |ms| Duration::from_millis(ms.into()));
        if silence < VANISHED {
            return Ok(false);
        }
        self.remove_peer(&holder, FELL_SILENT).await
    }

    /// Whether only broadcasters are here, and nothing has come of any of them for so long. The worker is asked at most
    /// once in that time for as long as something comes.
    pub(super) async fn is_silent(&self, limit: Duration) -> Result<bool, Error> {
        let producers = {
            let state = self.state().await;
            if !state.may_be_silent(limit) {
                return Ok(false);
            }
            state.producers.values().map(|producer| producer.id).collect::<Vec<_>>()
        };
        let mut silence = None;
        for some in producers.chunks(MAX_SILENCES) {
            let media = least(&self.silences(some.to_vec()).await?, |of| of.media_ms);
            silence = [silence, media].into_iter().flatten().min();
        }
        let Some(silence) = silence.map(|ms| Duration::from_millis(ms.into())) else { return Ok(true) };
        self.state().await.heard_at = Instant::now().checked_sub(silence);
        Ok(silence >= limit)
    }

    /// Closes the room, unless somebody has come since it was found silent. True if it is closed now.
    pub(super) async fn close_if_silent(&self, limit: Duration) -> Result<bool, Error> {
        let mut state = self.state().await;
        if !state.may_be_silent(limit) {
            return Ok(false);
        }
        tracing::info!("room {:?}: nothing has come of its broadcasters for {} s", self.id(), limit.as_secs());
        self.close_locked(&mut state).await.map(|()| true)
    }

    /// The peer whose name a newcomer wants, if the newcomer may take it: how old it is, and what it publishes.
    async fn holder(&self, newcomer: &NewPeer) -> Option<(PeerHandle, Duration, Vec<ProducerId>)> {
        let state = self.state().await;
        let peer = state.peers.get(&newcomer.name)?;
        let is_same = peer.kind == newcomer.kind && peer.credential == newcomer.credential;
        let producers = state.producer_ids(&newcomer.name).take(MAX_SILENCES).collect();
        is_same.then(|| (peer.handle.clone(), peer.since.elapsed(), producers))
    }
}

impl State {
    /// Whether only broadcasters are here, all for at least so long, and nothing is known to have come of them since.
    fn may_be_silent(&self, limit: Duration) -> bool {
        let is_old = |at: Instant| at.elapsed() >= limit;
        self.events.listeners() == 0
            && self.peers.values().any(|peer| peer.kind.is_broadcaster())
            && self.peers.values().all(|peer| {
                // Who is sent something is not heard.
                peer.kind == PeerKind::Machine || (peer.kind.is_broadcaster() && is_old(peer.since))
            })
            && self.heard_at.is_none_or(is_old)
    }
}
