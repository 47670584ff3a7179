//! The worker: one state machine that owns everything of one core. Told what arrived and what time it is, it says what
//! to send. It has no sockets, threads, clock or randomness of its own.

use corecast_wire::{Command, CommandError, Discards, Event, Reply};

use crate::history::History;
use crate::outbox::Outbox;
use crate::path::{Endpoint, EndpointOp, Path};
use crate::time::Instant;

/// What a worker is told when it is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Unix time at [`Instant`] zero, in nanoseconds; for the NTP timestamps of sender reports.
    pub unix_time_ns: u64,
}

/// Whether [`Worker::forward`] has more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The outbox is full: send it, clear it, take in what has arrived and call again.
    Full,
    /// Everything that arrived has been forwarded.
    Done,
}

/// Totals of a worker.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Everything that was discarded, by reason.
    pub discards: Discards,
    /// Routers alive.
    pub routers: u32,
    /// Transports alive.
    pub transports: u32,
    /// Producers alive.
    pub producers: u32,
    /// Consumers alive.
    pub consumers: u32,
}

/// The state machine of one worker.
#[derive(Debug, Default)]
pub struct Worker {
    history: History,
    discards: Discards,
}

impl Worker {
    /// A worker with nothing in it.
    #[must_use]
    pub fn new(_config: Config) -> Self {
        Self::default()
    }

    /// Takes in one datagram of a batch. RTP is noted and leaves with the next [`Self::forward`]; answers to RTCP
    /// (retransmissions) go straight to the outbox.
    pub fn handle_datagram(&mut self, _now: Instant, _path: Path, _datagram: &[u8], _outbox: &mut Outbox) {}

    /// Forwards what the batch brought. Call until it says [`Forward::Done`], sending and clearing the outbox between.
    pub fn forward(&mut self, _now: Instant, _outbox: &mut Outbox) -> Forward {
        Forward::Done
    }

    /// Applies a command completely or not at all. `opened` are the endpoints that the shell has opened for it, in the
    /// order RTP, RTCP; on an error the shell closes them again.
    ///
    /// # Errors
    /// Every error leaves the machine as it was.
    pub fn handle_command(
        &mut self,
        _now: Instant,
        _command: &Command,
        _opened: &[Endpoint],
        _outbox: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        Err(CommandError::HooksOff)
    }

    /// Does what is due: reports, NACKs, key frame requests.
    pub fn handle_timeout(&mut self, _now: Instant, _outbox: &mut Outbox) {}

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// What happened without being asked for.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// What is to be done to the shell's endpoints.
    pub fn poll_endpoint_op(&mut self) -> Option<EndpointOp> {
        None
    }

    /// Payloads that the outbox refers to.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Records that the kernel refused `packets` packets of a path.
    pub fn send_refused(&mut self, _path: Path, packets: u64) {
        self.discards.add(corecast_wire::Discard::SendRefused, packets);
    }

    /// Counters of the whole worker.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { discards: self.discards.clone(), ..Totals::default() }
    }
}
