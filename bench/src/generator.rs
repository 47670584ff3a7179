//! Publishers and subscribers on one pinned thread: it sends what is due and polls in between, and never sleeps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
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
use crate::subscribers::{Arrivals, Promised, Subscribers};
use crate::target::{Counters, Peer, Plan, Published, Target};
use crate::webrtc::session::Parts;
use crate::webrtc::upkeep::Upkeep;

/// Sockets that are read before the schedule is looked at again.
const POLL_AT_ONCE: usize = 8;
/// Silence after which nothing more is expected.
const QUIET_NS: u64 = 1_000_000_000;
const DRAIN_LIMIT_NS: u64 = 5_000_000_000;
const PROGRESS_NS: u64 = 500_000_000;
const FRAME_NS: u64 = 33_333_333;

/// Packets of sound per second: one per 20 ms, as Opus is sent.
pub const SOUND_PPS: u32 = 50;
/// Payload of a packet of sound, in bytes.
pub const SOUND_BYTES: usize = 120;

/// Who gets what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each publisher sends one stream, and each subscriber gets all of them.
    Broadcast,
    /// Each publisher is a subscriber too: it sends sound, and gets everybody's streams but its own.
    Meeting {
        /// It sends pictures beside the sound.
        pictures: bool,
    },
}

/// What is sent, and to how many.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Who gets what.
    pub shape: Shape,
    /// How many send.
    pub publishers: u16,
    /// How many receive each of them.
    pub subscribers: usize,
    /// Packets per second of each publisher; in a meeting, of its pictures.
    pub pps: u32,
    /// How packets are spread over time; in a meeting, those of pictures.
    pub profile: Profile,
    /// How long they are; in a meeting, those of pictures.
    pub payload: Payload,
    /// So many of those who speak may be heard, the loudest; 0 for all.
    pub loudest: u16,
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

/// A stream of a load.
#[derive(Clone, Copy, Debug)]
struct Stream {
    profile: Profile,
    payload: Payload,
    pps: u32,
    /// The subscriber whose own it is.
    own_of: Option<usize>,
}

impl Stream {
    const fn is_sound(&self) -> bool {
        matches!(self.profile, Profile::Single)
    }
}

impl Load {
    /// What is published, in the order of the publishers' numbers.
    fn streams(&self) -> Vec<Stream> {
        let numbers = 0..usize::from(self.publishers);
        let own = Stream { profile: self.profile, payload: self.payload, pps: self.pps, own_of: None };
        let sound =
            Stream { profile: Profile::Single, payload: Payload::Fixed(SOUND_BYTES), pps: SOUND_PPS, own_of: None };
        let of_all = |stream| numbers.clone().map(move |number| Stream { own_of: Some(number), ..stream });
        match self.shape {
            Shape::Broadcast => vec![own; numbers.len()],
            Shape::Meeting { pictures: false } => of_all(sound).collect(),
            Shape::Meeting { pictures: true } => of_all(sound).chain(of_all(own)).collect(),
        }
    }
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
    /// The same of sound alone.
    pub sound_latency: Histogram<u64>,
    /// What the target did.
    pub counters: Counters,
    /// How long publishers sent.
    pub seconds: f64,
    /// From then on until the last packet arrived.
    pub drained: Duration,
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

    /// Lost packets that no subscriber's socket lost.
    #[must_use]
    pub fn lost_server(&self) -> u64 {
        self.lost().saturating_sub(self.lost_receiver)
    }
}

/// Both ends of the media.
pub struct Ends {
    clock: Clock,
    publishers: Vec<Publisher>,
    subscribers: Subscribers,
}

impl Ends {
    /// Publishers and subscribers, all by one clock.
    #[must_use]
    pub const fn new(clock: Clock, publishers: Vec<Publisher>, subscribers: Subscribers) -> Self {
        Self { clock, publishers, subscribers }
    }

    /// Takes in a subscriber that has joined over WebRTC.
    ///
    /// # Errors
    /// The socket refuses options.
    pub fn join(&mut self, parts: Parts, promised: Vec<Promised>, now_ns: u64) -> anyhow::Result<()> {
        self.subscribers.join(parts, promised, now_ns)
    }
}

/// Something that goes on beside the media, on the same thread: whatever it does must be short.
pub trait Beside {
    /// Does a little.
    ///
    /// # Errors
    /// What ends the measurement.
    fn turn(&mut self, now_ns: u64, ends: &mut Ends) -> anyhow::Result<()>;

    /// Whether media must go on although its time is up.
    fn is_busy(&self) -> bool;
}

impl Beside for () {
    fn turn(&mut self, _: u64, _: &mut Ends) -> anyhow::Result<()> {
        Ok(())
    }

    fn is_busy(&self) -> bool {
        false
    }
}

/// What had been sent and had arrived at some time.
struct Mark {
    sent: Vec<u64>,
    arrivals: Arrivals,
}

/// Sends and receives.
pub struct Generator {
    ends: Ends,
    next_publisher: usize,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    latest_send_ns: u64,
    seed: u64,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("subscribers", &self.ends.subscribers).finish_non_exhaustive()
    }
}

impl Generator {
    /// Opens all sockets and has `target` forward between them.
    ///
    /// # Errors
    /// Sockets are not to be had, or the target refuses.
    pub fn connect(load: &Load, target: &mut dyn Target) -> anyhow::Result<Self> {
        let (mut publishers, mut published) = (Vec::new(), Vec::new());
        for (number, stream) in (0..).zip(load.streams()) {
            let key = load.publisher_crypto.new_key();
            let srtp = key.as_ref().map(crypto::endpoint).transpose()?;
            let seed = load.seed.wrapping_add(u64::from(number));
            let source = Source::new(stream.profile, stream.payload, stream.pps, 0, seed);
            let mut publisher = Publisher::new(number, source, srtp, (load.ip, 0).into())?;
            if load.loudest > 0 && stream.is_sound() {
                publisher = publisher.speaking_among(load.publishers);
            }
            let peer = Peer { address: publisher.local_address()?, key };
            published.push(Published { peer, video: !stream.is_sound(), own_of: stream.own_of });
            publishers.push(publisher);
        }
        let keys: Vec<_> = (0..load.subscribers).map(|_| load.crypto.new_key()).collect();
        let srtp = keys.iter().map(|key| key.as_ref().map(crypto::endpoint).transpose());
        let mut subscribers = Subscribers::new(srtp.collect::<Result<_, _>>()?, load.gro, load.ip)?;
        let addresses = subscribers.local_addresses()?;
        let plan = Plan {
            publishers: published,
            subscribers: addresses.into_iter().zip(keys).map(|(address, key)| Peer { address, key }).collect(),
            crypto: load.crypto,
            loudest: load.loudest,
        };
        let route = target.connect(&plan)?;
        for (publisher, address) in publishers.iter().zip(route.publish_to) {
            publisher.connect(address).with_context(|| format!("publisher to {address}"))?;
        }
        subscribers.receive_from(&route.send_from)?;
        subscribers.promise(route.promised);
        subscribers.open_with(&route.keys)?;
        if load.loudest > 0 {
            subscribers.expect_gaps_closed();
        }
        Ok(Self::between(Ends::new(Clock::default(), publishers, subscribers), load.seed))
    }

    /// Between ends that are connected already, or that join while it runs.
    #[must_use]
    pub const fn between(ends: Ends, seed: u64) -> Self {
        Self { ends, next_publisher: 0, due: BinaryHeap::new(), latest_send_ns: 0, seed }
    }

    /// Sends and receives until `beside` is done.
    ///
    /// # Errors
    /// A socket fails, or something arrives that was not sent.
    pub fn run(&mut self, beside: &mut dyn Beside) -> anyhow::Result<()> {
        self.send_for(Duration::ZERO, &mut |_| {}, beside).map(drop)
    }

    /// Sends for so long while what arrives is neither compared nor counted, so that viewers of several encodings get
    /// the best.
    ///
    /// # Errors
    /// A socket fails, or what arrives does not open.
    pub fn settle(&mut self, duration: Duration) -> anyhow::Result<()> {
        self.ends.subscribers.set_settling(true);
        self.send_for(duration, &mut |_| {}, &mut ())?;
        let until_ns = self.ends.clock.now_ns() + QUIET_NS;
        while self.ends.clock.now_ns() < until_ns {
            self.poll(self.ends.subscribers.len())?;
        }
        self.ends.subscribers.set_settling(false);
        Ok(())
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
        self.measure_beside(target, timing, progress, &mut ())
    }

    /// The same while something goes on beside: from the beginning of what is measured until its end, and until
    /// `beside` is done.
    ///
    /// # Errors
    /// Nothing arrives, or something else than was sent, or `beside` fails.
    pub fn measure_beside(
        &mut self,
        target: &mut dyn Target,
        timing: Timing,
        progress: &mut dyn FnMut(Duration),
        beside: &mut dyn Beside,
    ) -> anyhow::Result<Window> {
        if !timing.warm_up.is_zero() {
            let mark = self.mark();
            self.send_for(timing.warm_up, &mut |_| {}, &mut ())?;
            self.drain(&mark)?;
            let (counters, arrived) =
                (target.counters()?, self.ends.subscribers.arrivals().since(mark.arrivals).packets);
            ensure!(
                arrived > 0 || self.expected_since(&mark) == 0,
                "nothing arrives; what the target did: {counters:?}"
            );
        }
        let cores_before = CoreTicks::read(&timing.cores)?;
        let (counters_before, mark) = (target.counters()?, self.mark());
        let drops_before = self.ends.subscribers.receive_drops()?;
        self.ends.subscribers.reset_latency();
        self.latest_send_ns = 0;
        let seconds = self.send_for(timing.measured, progress, beside)?;
        let drained = self.drain(&mark)?;
        let counters = target.counters()?.since(&counters_before);
        Ok(Window {
            sent: self.sent_since(&mark).sum(),
            expected: self.expected_since(&mark),
            arrivals: self.ends.subscribers.arrivals().since(mark.arrivals),
            lost_receiver: self.ends.subscribers.receive_drops()? - drops_before,
            latency: self.ends.subscribers.latency().clone(),
            sound_latency: self.ends.subscribers.sound_latency().clone(),
            counters,
            seconds,
            drained,
            steal_pct: CoreTicks::read(&timing.cores)?.steal_pct_since(cores_before),
            latest_send_ns: self.latest_send_ns,
        })
    }

    /// Keeps latencies by group of subscribers (see [`Subscribers::tell_apart`]).
    ///
    /// # Errors
    /// None that is known.
    pub fn tell_apart(&mut self, groups: usize) -> anyhow::Result<()> {
        self.ends.subscribers.tell_apart(groups)
    }

    /// Those latencies.
    #[must_use]
    pub fn latency_of(&self) -> &[Histogram<u64>] {
        self.ends.subscribers.latency_of()
    }

    /// From now on latency ends when the kernel takes a packet in (see [`Subscribers::trust_time_stamps`]).
    ///
    /// # Errors
    /// The kernel does not know time stamps.
    pub fn trust_time_stamps(&mut self) -> anyhow::Result<()> {
        self.ends.subscribers.trust_time_stamps(&self.ends.clock)
    }

    /// Sockets of the publishers.
    #[must_use]
    pub fn publisher_sockets(&self) -> Vec<Arc<UdpSocket>> {
        self.ends.publishers.iter().map(|publisher| Arc::clone(publisher.socket())).collect()
    }

    /// See [`Subscribers::expect_shedding`].
    pub const fn expect_shedding(&mut self) {
        self.ends.subscribers.expect_shedding();
    }

    /// See [`Subscribers::expect_gaps_closed`].
    pub const fn expect_gaps_closed(&mut self) {
        self.ends.subscribers.expect_gaps_closed();
    }

    /// So many packets a second of each publisher, from the next measurement on.
    pub fn set_pps(&mut self, pps: u32) {
        self.ends.publishers.iter_mut().for_each(|publisher| publisher.set_pps(pps));
    }

    /// Consent checks that all who joined over WebRTC have asked, and how many of them were answered.
    #[must_use]
    pub fn consent(&self) -> (u64, u64) {
        self.upkeep().map(Upkeep::consent).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// The checks that were not answered within a second.
    #[must_use]
    pub fn lost_checks(&self) -> u64 {
        self.upkeep().map(Upkeep::lost_checks).sum()
    }

    fn upkeep(&self) -> impl Iterator<Item = &Upkeep> {
        let publishers = self.ends.publishers.iter().filter_map(Publisher::upkeep);
        publishers.chain(self.ends.subscribers.upkeep())
    }

    /// Removes all subscribers and publishers. The caller has those that joined over WebRTC leave the server, in this
    /// order: a publisher's end may be its viewers' end.
    pub fn dissolve(&mut self) -> [Vec<Upkeep>; 2] {
        let publishers = self.ends.publishers.drain(..).filter_map(Publisher::into_upkeep).collect();
        [self.ends.subscribers.dissolve(), publishers]
    }

    fn mark(&self) -> Mark {
        let sent = self.ends.publishers.iter().map(Publisher::sent).collect();
        Mark { sent, arrivals: self.ends.subscribers.arrivals() }
    }

    /// Packets of each publisher since then.
    fn sent_since(&self, mark: &Mark) -> impl Iterator<Item = u64> {
        self.ends.publishers.iter().zip(&mark.sent).map(|(publisher, before)| publisher.sent() - before)
    }

    /// What subscribers should have got since then, if all of them were there.
    fn expected_since(&self, mark: &Mark) -> u64 {
        self.sent_since(mark).enumerate().map(|(number, sent)| sent * self.ends.subscribers.watchers(number)).sum()
    }

    fn poll(&mut self, count: usize) -> anyhow::Result<()> {
        let Ends { clock, publishers, subscribers } = &mut self.ends;
        subscribers.poll(count, clock, publishers)
    }

    /// Gives one publisher the opportunity to read its feedback.
    fn turn_publisher(&mut self, now_ns: u64) -> anyhow::Result<()> {
        self.next_publisher = (self.next_publisher + 1) % self.ends.publishers.len().max(1);
        let publisher = self.ends.publishers.get_mut(self.next_publisher);
        publisher.map_or(Ok(()), |publisher| publisher.turn(now_ns))
    }

    /// Starts every publisher again, at a phase of its own, and sends for so long, or longer if `beside` takes longer.
    /// Returns for how many seconds it sent.
    fn send_for(
        &mut self,
        duration: Duration,
        progress: &mut dyn FnMut(Duration),
        beside: &mut dyn Beside,
    ) -> anyhow::Result<f64> {
        let start_ns = self.ends.clock.now_ns() + 1_000_000;
        let end_ns = start_ns + duration.as_nanos() as u64;
        let mut rng = StdRng::seed_from_u64(self.seed);
        self.due.clear();
        for (index, publisher) in self.ends.publishers.iter_mut().enumerate() {
            publisher.restart(start_ns + rng.random_range(0..FRAME_NS));
            self.due.push(Reverse((publisher.next_ns(), index)));
        }
        let mut next_progress_ns = start_ns;
        loop {
            let now_ns = self.ends.clock.now_ns();
            if now_ns >= end_ns && !beside.is_busy() {
                return Ok((now_ns - start_ns) as f64 / 1e9);
            }
            if now_ns >= next_progress_ns {
                progress(Duration::from_nanos(now_ns - start_ns));
                next_progress_ns += PROGRESS_NS;
            }
            while let Some(Reverse((due_ns, index))) = self.due.peek().copied().filter(|next| next.0.0 <= now_ns) {
                self.due.pop();
                let publisher = &mut self.ends.publishers[index];
                publisher.send_due(now_ns, &self.ends.clock)?;
                self.latest_send_ns = self.latest_send_ns.max(now_ns - due_ns);
                self.due.push(Reverse((publisher.next_ns(), index)));
            }
            self.turn_publisher(now_ns)?;
            beside.turn(now_ns, &mut self.ends)?;
            self.poll(POLL_AT_ONCE)?;
        }
    }

    /// Receives until everything that was sent since `mark` has arrived and the server has been told so, or nothing has
    /// arrived for a while. Returns the time until the last arrival.
    fn drain(&mut self, mark: &Mark) -> anyhow::Result<Duration> {
        let start_ns = self.ends.clock.now_ns();
        let (expected, arrived_before) = (self.expected_since(mark), mark.arrivals.packets);
        let (mut last, mut last_ns) = (self.ends.subscribers.arrivals().packets, start_ns);
        loop {
            self.poll(self.ends.subscribers.len())?;
            let (now_ns, arrived) = (self.ends.clock.now_ns(), self.ends.subscribers.arrivals().packets);
            if arrived > last {
                (last, last_ns) = (arrived, now_ns);
            }
            let complete = arrived - arrived_before >= expected && self.ends.subscribers.have_told();
            if complete || now_ns - last_ns > QUIET_NS || now_ns - start_ns > DRAIN_LIMIT_NS {
                return Ok(Duration::from_nanos(last_ns - start_ns));
            }
        }
    }
}
