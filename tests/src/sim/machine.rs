//! The machine under test, as the simulated shell drives it. The real one, or one that is wrong on purpose.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use corecast_core::{
    Config, Endpoint, EndpointOp, Forward, Instant, Memory, MemorySource, Outbox, OutboxSize, Path, Totals, Words,
    Worker,
};
use corecast_wire::{Command, CommandError, Event, IceProtocol, Reply, WebRtcConfig};

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
}

/// The real worker.
#[derive(Debug)]
pub struct RealWorker {
    worker: Worker,
    outbox: Outbox,
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
        Self { outbox: outbox(plan.outbox), ..Self::configured(plan.webrtc.map(webrtc::config), max_sound_wait) }
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
        let words = Words::new(|count| Some(Box::leak((0..count).map(|_| AtomicU64::new(0)).collect())));
        Self { worker: Worker::with_memory(config, MemorySource::default(), words), outbox: Outbox::new() }
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
        self.worker.open_webrtc(endpoint, IceProtocol::Udp);
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.worker.handle_datagram(now, now, path, datagram, &mut self.outbox);
    }

    fn wants_flush(&self) -> bool {
        self.outbox.wants_flush()
    }

    fn forward(&mut self, now: Instant) -> Forward {
        self.worker.forward(now, &mut self.outbox)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.worker.handle_timeout(now, &mut self.outbox);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.worker.next_timeout()
    }

    fn sound_due(&self) -> Option<Instant> {
        self.worker.sound_due()
    }

    fn handle_command(&mut self, now: Instant, command: &Command, opened: &[Endpoint]) -> Result<Reply, CommandError> {
        self.worker.handle_command(now, command, opened, &mut self.outbox)
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
}
