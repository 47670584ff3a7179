//! What the machine tells of WebRTC transports, held against what has arrived there.

use corecast_core::{EndpointId, Path};
use corecast_wire::{DtlsState, IceState, IceTuple, TransportId};

use super::keys;
use super::paths::Check;
use super::plan::SERVER;
use crate::sim::consumer::{Broken, check};
use crate::sim::delivery::About;
use crate::sim::machine::Machine;
use crate::sim::wire::Wire;
use crate::sim::world::{Act, State, World};

fn path_of(tuple: IceTuple) -> Result<Path, Broken> {
    let Some((number, _)) = (0..).zip(SERVER).find(|(_, local)| *local == tuple.local) else {
        return Err(format!("selected {}, which is not ours", tuple.local));
    };
    Ok(Path { local: EndpointId(number), remote: tuple.remote })
}

impl<M: Machine> World<M> {
    /// A check is about to arrive. Answers what must then be selected, and for whom.
    pub(in crate::sim) fn arriving(&mut self, path: Path, about: &About, datagram: &[u8]) -> Option<(usize, Path)> {
        keys::forget();
        let About::Check { peer, check } = about else {
            let mut proves = false;
            for web in self.peers.iter_mut().filter_map(|peer| peer.web.as_deref_mut()) {
                proves |= web.paths.packet(self.now_ns, path, datagram);
            }
            if proves {
                self.refresh();
            }
            return None;
        };
        let at = *peer;
        let joined = self.peers[at].state == State::Joined;
        let web = self.peers[at].web.as_deref_mut().filter(|_| joined)?;
        self.trace.note(self.now_ns, "check", at as u64, u64::from(path.remote.port()), u64::from(check.nominates));
        let before = web.paths.counts();
        let expected = web.paths.arrive(self.now_ns, path, check, datagram.len());
        let after = web.paths.counts();
        self.web.outdated += after.outdated - before.outdated;
        self.web.restarted += after.restarted - before.restarted;
        self.web.copied_checks += u64::from(path.remote == super::stranger(at));
        expected.map(|path| (at, path))
    }

    /// A check that decides where media goes has been taken in.
    pub(in crate::sim) fn check_selected(&self, expected: Option<(usize, Path)>) -> Result<(), Broken> {
        let Some((at, path)) = expected else { return Ok(()) };
        let selected = self.peers[at].web.as_ref().and_then(|web| web.paths.selected());
        check!(selected == Some(path), "peer {at} nominated {}, selected is {selected:?}", path.remote);
        Ok(())
    }

    pub(in crate::sim) fn ice_told(
        &mut self,
        transport: TransportId,
        state: IceState,
        tuple: Option<IceTuple>,
    ) -> Result<(), Broken> {
        let at = usize::try_from(transport.0).expect("a peer's number");
        self.trace.note(self.now_ns, "ice", transport.0, state as u64, 0);
        let selected = tuple.map(path_of).transpose()?;
        let Some(web) = &mut self.peers[at].web else { return Err(format!("told of ICE of peer {at}")) };
        let before = web.paths.selected();
        let lost = web.expiries > 0;
        web.paths.told(self.now_ns, state, selected).map_err(|broken| format!("peer {at}: {broken}"))?;
        self.web.reselected += u64::from(before.is_some() && selected.is_some() && selected != before);
        self.web.returned += u64::from(lost && before.is_none() && selected.is_some());
        if state == IceState::Disconnected {
            web.expiries += 1;
            self.web.expired += 1;
            let returns = self.peers[at].plan.webrtc.as_ref().is_some_and(|plan| plan.outage.is_some());
            if !returns {
                self.act_in(0, Act::HangUp(at));
            }
        }
        self.refresh();
        Ok(())
    }

    pub(in crate::sim) fn dtls_told(
        &mut self,
        transport: TransportId,
        state: DtlsState,
        detail: &str,
    ) -> Result<(), Broken> {
        let at = usize::try_from(transport.0).expect("a peer's number");
        self.trace.note(self.now_ns, "dtls", transport.0, state as u64, 0);
        let peer = &mut self.peers[at];
        let (Some(web), Some(plan)) = (&mut peer.web, &peer.plan.webrtc) else {
            return Err(format!("told of DTLS of peer {at}"));
        };
        match state {
            DtlsState::Connected => {
                let Some((client, server)) = keys::heard(detail) else {
                    return Err(format!("peer {at} is connected by {detail}, and no keys were derived"));
                };
                let (ours, theirs) = if plan.dtls_client { (client, server) } else { (server, client) };
                web.up = Wire::new(Some(&(theirs.clone(), ours.clone())));
                peer.wire = Wire::new(Some(&(ours, theirs)));
                peer.key_known = true;
                web.paths.keyed();
                self.web.dtls_12 += u64::from(detail.starts_with("DTLS 1.2"));
                self.web.dtls_13 += u64::from(detail.starts_with("DTLS 1.3"));
                self.web.server_began += u64::from(!plan.dtls_client);
            }
            DtlsState::Closed => {
                check!(web.gone, "peer {at} is said to have closed");
                web.closed = true;
                self.web.goodbyes_heard += 1;
                self.act_in(0, Act::HangUp(at));
            }
            // It fell silent in the middle, or moved.
            DtlsState::Failed if web.gone || web.disturbed => self.act_in(0, Act::HangUp(at)),
            DtlsState::Failed => return Err(format!("the handshake of peer {at} failed: {detail}")),
            DtlsState::New | DtlsState::Connecting => {}
        }
        self.refresh();
        Ok(())
    }
}

impl About {
    /// A participant's check, if it is one.
    pub(super) fn check(peer: usize, message: &[u8]) -> Self {
        Check::of(message).map_or(Self::Other, |check| Self::Check { peer, check })
    }
}
