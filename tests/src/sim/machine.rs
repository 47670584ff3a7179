//! The machine under test, as the simulated shell drives it. The real one, or one that is wrong on purpose.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corecast_core::{
    Config, Endpoint, EndpointOp, Forward, Instant, Memory, MemorySource, Outbox, OutboxSize, PLACES, Path, Totals,
    Words, Worker,
};
use corecast_wire::{
    Command, CommandError, ConsumerId, Event, IceProtocol, Record, Records, Reply, TransportId, WebRtcConfig,
};

use super::scenario::Plan;
use super::webrtc;

/// What the shell needs of a worker; the outbox is inside.
pub trait Machine {
    /// See [`Worker::open_webrtc`].
    fn open_webrtc(&mut self, endpoint: Endpoint);
    /// See [`Worker::handle_datagram`].
    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]);
    /// See [`Outbox::wants_flush`].
    fn wants_flush(&self) -> bool;
    /// See [`Worker::forward`].
    fn forward(&mut self, now: Instant) -> Forward;
    /// See [`Worker::handle_timeout`].
    fn handle_timeout(&mut self, now: Instant);
    /// See [`Worker::next_timeout`].
    fn next_timeout(&self) -> Option<Instant>;
    /// See [`Worker::sound_due`].
    fn sound_due(&self) -> Option<Instant>;
    /// See [`Worker::handle_command`].
    ///
    /// # Errors
    /// Every error leaves the machine as it was.
    fn handle_command(&mut self, now: Instant, command: &Command, opened: &[Endpoint]) -> Result<Reply, CommandError>;
    /// Takes everything that is to be sent, in order.
    fn drain(&mut self, packet: &mut dyn FnMut(Path, &[u8]));
    /// See [`Worker::poll_event`].
    fn poll_event(&mut self) -> Option<Event>;
    /// See [`Worker::poll_endpoint_op`].
    fn poll_endpoint_op(&mut self) -> Option<EndpointOp>;
    /// See [`Worker::send_refused`].
    fn send_refused(&mut self, path: Path, packets: u64);
    /// See [`Worker::totals`].
    fn totals(&self) -> Totals;
    /// History slots that hold a packet.
    fn slots_in_use(&self) -> usize;
    /// Dies, and another one takes its place. `opened` says which endpoints the shell has for a plain transport.
    ///
    /// # Errors
    /// What the other one could not be told.
    fn crash(&mut self, now: Instant, opened: &dyn Fn(TransportId) -> Vec<Endpoint>) -> Result<(), String>;
    /// Packets that have crossed from one worker to another, if there are several.
    fn crossed(&self) -> u64 {
        0
    }
    /// Does what it still does before it dies, if it is several workers that do not stop at one point.
    fn die(&mut self, _now: Instant) {}
    /// Packets that found no room on their way from one worker to another, since these were made.
    fn refused_between(&self) -> u64 {
        0
    }
    /// What this consumer sends crosses, and may be late or missing just now, since what crosses finds no room.
    fn is_behind(&self, _consumer: ConsumerId) -> bool {
        false
    }
}

/// The real worker.
#[derive(Debug)]
pub struct RealWorker {
    worker: Worker,
    outbox: Outbox,
    config: Config,
    size: OutboxSize,
    /// When it was made: its clock begins then.
    epoch: Instant,
    /// What outlives it: numbers, and what the next one is told.
    blocks: Blocks,
    records: Records,
    shared: Vec<Endpoint>,
}

type Blocks = Arc<Mutex<Vec<&'static [AtomicU64]>>>;

/// A worker, and where its words will lie.
fn make(config: &Config, left: &[&'static [AtomicU64]]) -> (Worker, Blocks) {
    let blocks = Blocks::default();
    let given = Arc::clone(&blocks);
    let words = Words::new(move || {
        let block: &'static [AtomicU64] = Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect());
        given.lock().expect("nobody panics").push(block);
        Some(block)
    });
    let words = words.following(left.iter().copied());
    (Worker::with_memory(config.clone(), MemorySource::default(), words), blocks)
}

impl RealWorker {
    /// A worker with nothing in it, at a fixed wall-clock time.
    #[must_use]
    pub fn new() -> Self {
        Self::configured(None, Duration::ZERO)
    }

    /// The same, with WebRTC transports if a plan has them.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let max_sound_wait = Duration::from_millis(plan.sound_wait_ms);
        let configured = Self::configured(plan.webrtc.map(webrtc::config), max_sound_wait);
        Self { outbox: outbox(plan.outbox), size: plan.outbox, ..configured }
    }

    fn configured(webrtc: Option<WebRtcConfig>, max_sound_wait: Duration) -> Self {
        let config = Config {
            unix_time_ns: super::extensions::UNIX_TIME_NS,
            webrtc,
            handshake_seed: Some(1),
            // As a server's, so that it shows if anything is ever shed by a worker that is not overloaded.
            max_media_age: Duration::from_millis(200),
            max_packets_per_s: 20_000,
            max_sound_wait,
            ..Config::plain(webrtc::started())
        };
        let (worker, blocks) = make(&config, &[]);
        Self {
            worker,
            outbox: Outbox::new(),
            config,
            size: OutboxSize::default(),
            epoch: Instant::default(),
            blocks,
            records: Records::default(),
            shared: Vec::new(),
        }
    }

    /// A moment of the run on its own clock.
    const fn on_its_clock(&self, now: Instant) -> Instant {
        Instant::from_nanos(now.as_nanos() - self.epoch.as_nanos())
    }

    fn on_ours(&self, at: Instant) -> Instant {
        at + Duration::from_nanos(self.epoch.as_nanos())
    }

    /// What it has learnt outlives it before anything else happens.
    fn record(&mut self) {
        while let Some(record) = self.worker.poll_record() {
            self.records.note(&record);
        }
    }
}

fn outbox(size: OutboxSize) -> Outbox {
    Outbox::in_memory(Memory::boxed(size.bytes), size)
}

impl Default for RealWorker {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for RealWorker {
    fn open_webrtc(&mut self, endpoint: Endpoint) {
        self.shared.push(endpoint);
        self.worker.open_webrtc(endpoint, IceProtocol::Udp);
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let now = self.on_its_clock(now);
        self.worker.handle_datagram(now, now, path, datagram, &mut self.outbox);
        self.record();
    }

    fn wants_flush(&self) -> bool {
        self.outbox.wants_flush()
    }

    fn forward(&mut self, now: Instant) -> Forward {
        self.worker.forward(self.on_its_clock(now), &mut self.outbox)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.worker.handle_timeout(self.on_its_clock(now), &mut self.outbox);
        self.record();
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.worker.next_timeout().map(|at| self.on_ours(at))
    }

    fn sound_due(&self) -> Option<Instant> {
        self.worker.sound_due().map(|at| self.on_ours(at))
    }

    fn handle_command(&mut self, now: Instant, command: &Command, opened: &[Endpoint]) -> Result<Reply, CommandError> {
        let reply = self.worker.handle_command(self.on_its_clock(now), command, opened, &mut self.outbox)?;
        self.record();
        self.records.note(&Record::Command(command.clone()));
        Ok(reply)
    }

    fn drain(&mut self, packet: &mut dyn FnMut(Path, &[u8])) {
        self.outbox.for_each_packet(self.worker.history(), packet);
        self.outbox.clear();
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.worker.poll_event()
    }

    fn poll_endpoint_op(&mut self) -> Option<EndpointOp> {
        self.worker.poll_endpoint_op()
    }

    fn send_refused(&mut self, path: Path, packets: u64) {
        self.worker.send_refused(path, packets);
    }

    fn totals(&self) -> Totals {
        self.worker.totals()
    }

    fn slots_in_use(&self) -> usize {
        self.worker.history().slots_in_use()
    }

    fn crash(&mut self, now: Instant, opened: &dyn Fn(TransportId) -> Vec<Endpoint>) -> Result<(), String> {
        let lived = self.on_its_clock(now);
        self.epoch = now;
        self.config.unix_time_ns += lived.as_nanos();
        self.config.started += Duration::from_nanos(lived.as_nanos());
        let left = std::mem::take(&mut *self.blocks.lock().expect("nobody panics"));
        let (worker, blocks) = make(&self.config, &left);
        // What the dead one knew is gone without a word, as with its process: nothing of it is dropped.
        std::mem::forget(std::mem::replace(&mut self.worker, worker));
        (self.blocks, self.outbox) = (blocks, outbox(self.size));
        for endpoint in &self.shared {
            self.worker.open_webrtc(*endpoint, IceProtocol::Udp);
        }
        for record in self.records.sweep() {
            let opened = match &record {
                Record::Command(Command::CreatePlainTransport { transport, .. }) => opened(*transport),
                _ => Vec::new(),
            };
            let told = self.worker.restore(Instant::default(), &record, &opened, &mut self.outbox);
            told.map_err(|error| format!("cannot be told {record:?}: {error}"))?;
        }
        self.worker.restored();
        self.record();
        Ok(())
    }
}
