//! Who talks and who listens, on the one thread that reads the media as well.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use super::Order;
use crate::calls::joins::Joiner;
use crate::clock::Clock;
use crate::generator::{Beside, Ends};
use crate::sockets::RecvBatch;
use crate::webrtc::talking::Talking;
use crate::webrtc::upkeep::Upkeep;

/// Number and time in front of what is in a message.
pub(super) const HEADER_BYTES: u32 = 16;
/// Receivers that are read before the schedule is looked at again.
const LISTEN_AT_ONCE: usize = 8;
/// A buffer holds a train as the kernel has put it together.
const BUFFER_BYTES: usize = 65_536;
const BUFFERS: usize = 8;
const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// Silence after which nothing more is expected.
const QUIET_NS: u64 = 3_000_000_000;
const MAX_LATENCY_NS: u64 = 60_000_000_000;

/// How fast messages are sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many per second.
    Rate(u32),
    /// As fast as they arrive, so many under way to the slowest receiver.
    InFlight(u32),
}

/// One who listens.
struct Listener {
    talking: Talking,
    inbox: Inbox,
}

/// What has arrived at one who listens since the measurement began.
#[derive(Default)]
struct Inbox {
    arrived: u64,
    highest: Option<u64>,
    /// Bit n of word m: message 64 m + n has arrived.
    seen: Vec<u64>,
}

/// What came of a measurement.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Messages that were sent.
    pub(super) sent: u64,
    /// Messages that arrived, at all receivers together.
    pub(super) delivered: u64,
    /// Messages that arrived once more.
    pub(super) repeated: u64,
    /// Messages that arrived behind a later one.
    pub(super) overtaken: u64,
    /// Bytes of a message.
    pub(super) size: u32,
    /// From being given to the sender's association to having come whole, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// From the first message to the last arrival, in nanoseconds.
    pub(super) span_ns: u64,
    /// The longest that a message was sent after its time, in nanoseconds.
    pub(super) latest_send_ns: u64,
}

impl Tally {
    fn new(size: u32) -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).context("histogram")?;
        let (sent, delivered, repeated, overtaken, span_ns, latest_send_ns) = (0, 0, 0, 0, 0, 0);
        Ok(Self { sent, delivered, repeated, overtaken, size, latency, span_ns, latest_send_ns })
    }

    fn restart(&mut self, size: u32) {
        self.latency.reset();
        (self.sent, self.delivered, self.repeated, self.overtaken) = (0, 0, 0, 0);
        (self.size, self.span_ns, self.latest_send_ns) = (size, 0, 0);
    }
}

/// Opens a channel, and waits until it is acknowledged.
fn open(
    talking: &mut Talking,
    stream: u16,
    (label, ordered): (&str, bool),
    (clock, batch): (Clock, &mut RecvBatch),
    deadline: Instant,
) -> anyhow::Result<()> {
    let mut asked = false;
    while !talking.channels().is_open(stream) {
        if talking.channels().is_connected() && !asked {
            talking.channels_mut().open(stream, label, ordered)?;
            asked = true;
        }
        talking.turn(clock.now_ns(), batch, |_, _| anyhow::bail!("a message before its channel is open"))?;
        ensure!(Instant::now() < deadline, "a channel is not open within {OPEN_WITHIN:?}");
    }
    Ok(())
}

/// A publisher with a channel, and all who listen to it.
pub(super) struct Talk {
    clock: Clock,
    talker: Talking,
    listeners: Vec<Listener>,
    next_listener: usize,
    batch: RecvBatch,
    stream: u16,
    pace: Pace,
    message: Vec<u8>,
    measured: Duration,
    begun: bool,
    begun_ns: u64,
    until_ns: u64,
    next_ns: u64,
    last_arrival_ns: u64,
    tally: Tally,
}

impl Talk {
    /// Has all join, one after the other.
    pub(super) fn join(joiner: &Joiner, listeners: u32, clock: Clock) -> anyhow::Result<Self> {
        let talker = joiner.talk(true, clock.now_ns()).context("who talks cannot join")?;
        let listen = |number| {
            let talking = joiner.talk(false, clock.now_ns());
            let talking = talking.with_context(|| format!("listener {number} cannot join"))?;
            Ok(Listener { talking, inbox: Inbox::default() })
        };
        Ok(Self {
            clock,
            talker,
            listeners: (0..listeners).map(listen).collect::<anyhow::Result<_>>()?,
            next_listener: 0,
            batch: RecvBatch::new(BUFFERS, BUFFER_BYTES),
            stream: 0,
            pace: Pace::Rate(1),
            message: Vec::new(),
            measured: Duration::ZERO,
            begun: false,
            begun_ns: 0,
            until_ns: 0,
            next_ns: 0,
            last_arrival_ns: 0,
            tally: Tally::new(HEADER_BYTES)?,
        })
    }

    /// Who listens.
    pub(super) const fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// What came of the last measurement.
    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Opens a channel of this order at everybody, on a stream of its own.
    pub(super) fn open(&mut self, order: Order) -> anyhow::Result<()> {
        let (stream, label, ordered) = match order {
            Order::Ordered => (0, "ordered", true),
            Order::Unordered => (2, "unordered", false),
        };
        self.stream = stream;
        let deadline = Instant::now() + OPEN_WITHIN;
        open(&mut self.talker, stream, (label, ordered), (self.clock, &mut self.batch), deadline)?;
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            open(&mut listener.talking, stream, (label, ordered), (self.clock, &mut self.batch), deadline)
                .with_context(|| format!("listener {number}"))?;
        }
        Ok(())
    }

    /// The next turn begins a measurement.
    pub(super) fn prepare(&mut self, pace: Pace, size: u32, measured: Duration) {
        (self.pace, self.measured, self.begun) = (pace, measured, false);
        self.message = (0..size).map(|index| index as u8).collect();
        self.tally.restart(size);
        for listener in &mut self.listeners {
            listener.inbox = Inbox::default();
        }
    }

    fn begin(&mut self, now_ns: u64) {
        self.begun = true;
        (self.begun_ns, self.next_ns, self.last_arrival_ns) = (now_ns, now_ns, now_ns);
        self.until_ns = now_ns + u64::try_from(self.measured.as_nanos()).unwrap_or(u64::MAX / 2);
    }

    /// Messages that every receiver has.
    fn arrived_everywhere(&self) -> u64 {
        self.listeners.iter().map(|listener| listener.inbox.arrived).min().unwrap_or(0)
    }

    fn is_due(&self, now_ns: u64) -> bool {
        match self.pace {
            Pace::Rate(_) => self.next_ns < self.until_ns && now_ns >= self.next_ns,
            Pace::InFlight(count) => {
                now_ns < self.until_ns && self.tally.sent < self.arrived_everywhere() + u64::from(count)
            }
        }
    }

    fn send_due(&mut self, now_ns: u64) -> anyhow::Result<()> {
        while self.is_due(now_ns) {
            if let Pace::Rate(rate) = self.pace {
                self.tally.latest_send_ns = self.tally.latest_send_ns.max(now_ns - self.next_ns);
                self.next_ns = self.begun_ns + (self.tally.sent + 1) * 1_000_000_000 / u64::from(rate);
            }
            self.message[..8].copy_from_slice(&self.tally.sent.to_be_bytes());
            self.message[8..16].copy_from_slice(&self.clock.now_ns().to_be_bytes());
            self.talker.channels_mut().send(self.stream, &self.message)?;
            self.tally.sent += 1;
        }
        Ok(())
    }

    /// All who have joined, who listen first: the publisher's end may be theirs.
    pub(super) fn into_upkeep(self) -> [Vec<Upkeep>; 2] {
        let listeners = self.listeners.into_iter().map(|listener| listener.talking.into_upkeep());
        [listeners.collect(), vec![self.talker.into_upkeep()]]
    }
}

impl Inbox {
    fn take(&mut self, (now_ns, expected): (u64, &[u8]), message: &[u8], tally: &mut Tally) -> anyhow::Result<()> {
        let (Some(number), Some(sent_ns)) = (message.first_chunk::<8>(), message.get(8..16)) else {
            anyhow::bail!("a message of {} bytes, which was not sent", message.len());
        };
        let header = HEADER_BYTES as usize;
        ensure!(message.len() == expected.len() && message[header..] == expected[header..], "a message was changed");
        let (number, sent_ns) = (u64::from_be_bytes(*number), u64::from_be_bytes(sent_ns.try_into()?));
        ensure!(number < tally.sent, "message {number} was not sent");
        let (word, bit) = (usize::try_from(number / 64)?, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            tally.repeated += 1;
            return Ok(());
        }
        self.seen[word] |= bit;
        tally.overtaken += u64::from(self.highest.is_some_and(|highest| number < highest));
        self.highest = self.highest.max(Some(number));
        self.arrived += 1;
        tally.delivered += 1;
        tally.latency.saturating_record(now_ns.saturating_sub(sent_ns).max(1));
        Ok(())
    }
}

impl Beside for Talk {
    fn turn(&mut self, now_ns: u64, _: &mut Ends) -> anyhow::Result<()> {
        if !self.begun {
            self.begin(now_ns);
        }
        self.send_due(now_ns)?;
        self.talker.turn(now_ns, &mut self.batch, |_, _| anyhow::bail!("a message to who only talks"))?;
        for _ in 0..LISTEN_AT_ONCE.min(self.listeners.len()) {
            self.next_listener = (self.next_listener + 1) % self.listeners.len();
            let Listener { talking, inbox } = &mut self.listeners[self.next_listener];
            let before = self.tally.delivered;
            let (clock, tally, expected) = (self.clock, &mut self.tally, &self.message);
            talking
                .turn(now_ns, &mut self.batch, |_, message| inbox.take((clock.now_ns(), expected), message, tally))?;
            if self.tally.delivered > before {
                self.last_arrival_ns = self.clock.now_ns();
                self.tally.span_ns = self.last_arrival_ns - self.begun_ns;
            }
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        let now_ns = self.clock.now_ns();
        let complete = self.tally.delivered >= self.tally.sent * self.listeners.len() as u64;
        !self.begun
            || now_ns < self.until_ns
            || !complete && now_ns - self.last_arrival_ns.max(self.until_ns) < QUIET_NS
    }
}
