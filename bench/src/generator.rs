//! Publishers and subscribers on one pinned thread: it sends what is due and polls in between, and never sleeps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::clock::Clock;
use crate::cpu::CoreTicks;
use crate::crypto::{self, Crypto};
use crate::publishers::Publisher;
use crate::schedule::{Payload, Profile, Source};
use crate::subscribers::{Arrivals, Subscribers};
use crate::target::{Counters, Peer, Plan, Target};

/// Sockets that are read before the schedule is looked at again.
const POLL_AT_ONCE: usize = 8;
/// Silence after which nothing more is expected.
const QUIET_NS: u64 = 1_000_000_000;
const DRAIN_LIMIT_NS: u64 = 5_000_000_000;
const PROGRESS_NS: u64 = 500_000_000;
const FRAME_NS: u64 = 33_333_333;

/// What is sent, and to how many.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many send.
    pub publishers: u16,
    /// How many receive each of them.
    pub subscribers: usize,
    /// Packets per second of each publisher.
    pub pps: u32,
    /// How packets are spread over time.
    pub profile: Profile,
    /// How long they are.
    pub payload: Payload,
    /// How they are encrypted on their way to subscribers.
    pub crypto: Crypto,
    /// How they are encrypted on their way to the target.
    pub publisher_crypto: Crypto,
    /// Receive with `UDP_GRO`.
    pub gro: bool,
    /// For the publishers' phases and the sizes of frames.
    pub seed: u64,
    /// Address of all sockets.
    pub ip: Ipv4Addr,
}

/// Cores and times of one measurement.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Before what is measured.
    pub warm_up: Duration,
    /// What is measured.
    pub measured: Duration,
    /// The generator's core and the target's, for steal time.
    pub cores: [u32; 2],
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Window {
    /// Packets that publishers sent.
    pub sent: u64,
    /// What subscribers should have got.
    pub expected: u64,
    /// What they got.
    pub arrivals: Arrivals,
    /// What their own sockets lost.
    pub lost_receiver: u64,
    /// From send stamp to being read, in nanoseconds.
    pub latency: Histogram<u64>,
    /// What the target did.
    pub counters: Counters,
    /// How long publishers sent.
    pub seconds: f64,
    /// Time that the hypervisor took, in percent.
    pub steal_pct: f64,
    /// The longest that a packet left after its time, in nanoseconds: the generator's own lateness.
    pub latest_send_ns: u64,
}

impl Window {
    /// CPU time per packet sent, in nanoseconds.
    #[must_use]
    pub fn cpu_ns_per_packet(&self) -> Option<f64> {
        let packets = (self.counters.packets_sent > 0).then_some(self.counters.packets_sent)?;
        Some(self.counters.cpu?.as_nanos() as f64 / packets as f64)
    }

    /// Packets per send.
    #[must_use]
    pub fn train_mean(&self) -> Option<f64> {
        let trains = (self.counters.trains_sent > 0).then_some(self.counters.trains_sent)?;
        Some(self.counters.packets_sent as f64 / trains as f64)
    }

    /// Packets that did not arrive.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.arrivals.packets)
    }

    /// Those of them that no subscriber's socket lost.
    #[must_use]
    pub fn lost_server(&self) -> u64 {
        self.lost().saturating_sub(self.lost_receiver)
    }
}

/// Both ends of the media.
pub struct Generator {
    clock: Clock,
    publishers: Vec<Publisher>,
    subscribers: Subscribers,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    latest_send_ns: u64,
    seed: u64,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("subscribers", &self.subscribers).finish_non_exhaustive()
    }
}

impl Generator {
    /// Opens all sockets and has `target` forward between them.
    ///
    /// # Errors
    /// Sockets are not to be had, or the target refuses.
    pub fn connect(load: &Load, target: &mut dyn Target) -> anyhow::Result<Self> {
        let (mut publishers, mut publisher_peers) = (Vec::new(), Vec::new());
        for number in 0..load.publishers {
            let key = load.publisher_crypto.new_key();
            let srtp = key.as_ref().map(crypto::endpoint).transpose()?;
            let seed = load.seed.wrapping_add(number.into());
            let source = Source::new(load.profile, load.payload, load.pps, 0, seed);
            let publisher = Publisher::new(number, source, srtp, (load.ip, 0).into())?;
            publisher_peers.push(Peer { address: publisher.local_address()?, key });
            publishers.push(publisher);
        }
        let keys: Vec<_> = (0..load.subscribers).map(|_| load.crypto.new_key()).collect();
        let srtp = keys.iter().map(|key| key.as_ref().map(crypto::endpoint).transpose());
        let mut subscribers = Subscribers::new(srtp.collect::<Result<_, _>>()?, load.gro, load.ip)?;
        let addresses = subscribers.local_addresses()?;
        let plan = Plan {
            publishers: publisher_peers,
            subscribers: addresses.into_iter().zip(keys).map(|(address, key)| Peer { address, key }).collect(),
            crypto: load.crypto,
            video: load.profile != Profile::Single,
        };
        let route = target.connect(&plan)?;
        for (publisher, address) in publishers.iter().zip(route.publish_to) {
            publisher.socket.connect(address).with_context(|| format!("publisher to {address}"))?;
        }
        subscribers.receive_from(&route.send_from)?;
        subscribers.promise(route.promised);
        subscribers.open_with(&route.keys)?;
        let (clock, due) = (Clock::default(), BinaryHeap::new());
        Ok(Self { clock, publishers, subscribers, due, latest_send_ns: 0, seed: load.seed })
    }

    /// Warms up, then measures; between the two and at the end it waits until everything has arrived, so that what was
    /// sent and what arrived can be told exactly.
    ///
    /// # Errors
    /// Nothing arrives, or something else than was sent.
    pub fn measure(
        &mut self,
        target: &mut dyn Target,
        timing: Timing,
        progress: &mut dyn FnMut(Duration),
    ) -> anyhow::Result<Window> {
        if !timing.warm_up.is_zero() {
            self.send_for(timing.warm_up, &mut |_| {})?;
            self.drain()?;
            let counters = target.counters()?;
            ensure!(self.subscribers.arrivals.packets > 0, "nothing arrives; what the target did: {counters:?}");
        }
        let cores_before = CoreTicks::read(&timing.cores)?;
        let (counters_before, sent_before) = (target.counters()?, self.sent());
        let (arrivals_before, drops_before) = (self.subscribers.arrivals, self.subscribers.receive_drops()?);
        self.subscribers.latency.reset();
        self.latest_send_ns = 0;
        let seconds = self.send_for(timing.measured, progress)?;
        self.drain()?;
        let counters = target.counters()?.since(&counters_before);
        let (sent, now) = (self.sent() - sent_before, self.subscribers.arrivals);
        Ok(Window {
            sent,
            expected: sent * self.subscribers.len() as u64,
            arrivals: now.since(arrivals_before),
            lost_receiver: self.subscribers.receive_drops()? - drops_before,
            latency: self.subscribers.latency.clone(),
            counters,
            seconds,
            steal_pct: CoreTicks::read(&timing.cores)?.steal_pct_since(cores_before),
            latest_send_ns: self.latest_send_ns,
        })
    }

    fn sent(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.sent).sum()
    }

    fn poll(&mut self, count: usize) -> anyhow::Result<()> {
        self.subscribers.poll(count, &self.clock, &self.publishers)
    }

    /// Starts every publisher anew, at a phase of its own, and sends for so long; says for how many seconds it did.
    fn send_for(&mut self, duration: Duration, progress: &mut dyn FnMut(Duration)) -> anyhow::Result<f64> {
        let start_ns = self.clock.now_ns() + 1_000_000;
        let end_ns = start_ns + duration.as_nanos() as u64;
        let mut rng = StdRng::seed_from_u64(self.seed);
        self.due.clear();
        for (index, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.source.restart(start_ns + rng.random_range(0..FRAME_NS));
            self.due.push(Reverse((publisher.source.next_ns(), index)));
        }
        let mut next_progress_ns = start_ns;
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= end_ns {
                return Ok((now_ns - start_ns) as f64 / 1e9);
            }
            if now_ns >= next_progress_ns {
                progress(Duration::from_nanos(now_ns - start_ns));
                next_progress_ns += PROGRESS_NS;
            }
            while let Some(Reverse((due_ns, index))) = self.due.peek().copied().filter(|next| next.0.0 <= now_ns) {
                self.due.pop();
                let publisher = &mut self.publishers[index];
                publisher.send_due(now_ns, &self.clock)?;
                self.latest_send_ns = self.latest_send_ns.max(now_ns - due_ns);
                self.due.push(Reverse((publisher.source.next_ns(), index)));
            }
            self.poll(POLL_AT_ONCE)?;
        }
    }

    /// Receives until everything that was sent has arrived, or nothing has for a while.
    fn drain(&mut self) -> anyhow::Result<()> {
        let start_ns = self.clock.now_ns();
        let (mut last, mut last_ns) = (self.subscribers.arrivals.packets, start_ns);
        loop {
            self.poll(self.subscribers.len())?;
            let (now_ns, arrived) = (self.clock.now_ns(), self.subscribers.arrivals.packets);
            if arrived > last {
                (last, last_ns) = (arrived, now_ns);
            }
            let complete = arrived >= self.sent() * self.subscribers.len() as u64;
            if complete || now_ns - last_ns > QUIET_NS || now_ns - start_ns > DRAIN_LIMIT_NS {
                return Ok(());
            }
        }
    }
}

impl Arrivals {
    /// What arrived since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            repeated: self.repeated - earlier.repeated,
            reordered: self.reordered - earlier.reordered,
            rtcp: self.rtcp - earlier.rtcp,
            compared: self.compared - earlier.compared,
        }
    }
}
