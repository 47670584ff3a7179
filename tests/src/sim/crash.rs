//! The worker of a run dies, in the middle of its work, and another one takes its place: calls go on, under the same
//! rules.

use corecast_core::{Endpoint, EndpointId};
use corecast_wire::TransportId;

use super::consumer::{Broken, check};
use super::machine::Machine;
use super::numbers::MS;
use super::random::Random;
use super::scenario::Plan;
use super::world::{Act, Death, State, World};

impl Plan {
    /// The same with one to three crashes, while participants come and go and after.
    #[must_use]
    pub fn crashing(mut self, random: &mut Random) -> Self {
        let crashes = random.range(1..=3);
        self.crashes_ns = (0..crashes).map(|_| random.range(100 * MS..=self.heal_ns)).collect();
        self.crashes_ns.sort_unstable();
        self
    }
}

impl<M: Machine> World<M> {
    /// The worker is to die: now, or in the next turn.
    pub(super) fn plan_death(&mut self) -> Result<(), Broken> {
        match self.random.range(0..=2) {
            0 => self.crash(Death::Idle),
            1 => {
                self.dies = Some(Death::TakenIn);
                Ok(())
            }
            _ => {
                self.dies = Some(Death::Forwarded);
                Ok(())
            }
        }
    }

    /// Whether the worker dies at this point of its turn.
    pub(super) fn dies_at(&mut self, point: Death) -> bool {
        self.dies == Some(point)
    }

    /// The worker dies with what it has in its hands, and another one takes its place.
    pub(super) fn crash(&mut self, at: Death) -> Result<(), Broken> {
        self.dies = None;
        self.crashes += 1;
        self.refused_before = self.coverage.refused;
        self.machine.die(self.now());
        self.refused_between_before += self.machine.refused_between();
        // What has a number must not get it twice, whether it has left or not.
        self.lose_outbox()?;
        self.trace.note(self.now_ns, "crash", at as u64, 0, 0);
        let endpoints: Vec<_> = (0..self.sockets.len())
            .filter_map(|number| {
                let id = EndpointId(u32::try_from(number).expect("few sockets"));
                let socket = self.socket(id)?;
                Some((socket.peer?, socket.rtcp, Endpoint { id, local: socket.local }))
            })
            .collect();
        let opened = |transport: TransportId| {
            let of_peer = endpoints.iter().filter(|(peer, ..)| *peer as u64 == transport.0);
            let mut of_peer: Vec<_> = of_peer.map(|(_, rtcp, endpoint)| (*rtcp, *endpoint)).collect();
            of_peer.sort_unstable_by_key(|(rtcp, _)| *rtcp);
            of_peer.into_iter().map(|(_, endpoint)| endpoint).collect()
        };
        self.machine.crash(self.now(), &opened)?;
        self.fresh.clear();
        self.full_in_a_row = 0;
        self.forwarded = self.arrivals;
        for source in &mut self.sources {
            source.key_asked_ns = None;
            source.refused_below = source.newest_arrived.map_or(0, |newest| newest + 1);
        }
        for consumer in &mut self.consumers {
            (consumer.suspended_ns, consumer.given_up) = (None, 0);
            consumer.ready_since_ns = None;
        }
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            let Some(web) = peer.web.as_mut().filter(|_| peer.state == State::Joined) else { continue };
            // One that still waits for the last word of its handshake waits for ever.
            if web.worker_died(!peer.key_known) && peer.key_known {
                self.act_in(0, Act::HangUp(at));
            }
        }
        self.refresh();
        self.flush()?;
        self.poll()?;
        check!(self.machine.totals().routers > 0 || self.plan.routers == 0, "the rooms are gone");
        Ok(())
    }
}
