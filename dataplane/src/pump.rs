//! The pump: one turn after another it moves what arrived into the machine, and what the machine says out.
//!
//! Owns driver, machine, outbox and link of a worker. It is the only place where the clock is read, once per batch.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_core::limits::OUTBOX_TRAINS;
use corecast_core::{Config, Endpoint, EndpointOp, Forward, Instant, Outbox, Path, Piece, Worker};
use corecast_wire::{Command, CommandError, IceProtocol, PlainTransportOptions, Reply, TestHook, Usage, WorkerConfig};

use crate::coalesce::{Batch, Coalescer, Plan};
use crate::driver::{Change, Departure, Driver, OpenError, Port};
use crate::link::{Ended, Link};
use crate::usage::{Latency, sample};

/// Housekeeping is done this often even if nobody asks for it, and so a sleep is never longer.
const TICK: Duration = Duration::from_millis(100);
/// A sleep is not longer than this while the link has something to be written.
const BACKLOG_TICK: Duration = Duration::from_millis(5);
/// Commands of one turn: whichever comes first.
const MAX_COMMANDS: usize = 32;
const MAX_COMMANDS_TIME: Duration = Duration::from_micros(200);
/// What is taken in at most before the machine forwards: whichever comes first.
const MAX_BATCH_DATAGRAMS: u64 = 256;
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// The same for packets of TCP connections, so that neither keeps the other waiting.
const MAX_BATCH_PACKETS: usize = 128;

/// What is to be done after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The next turn.
    Media,
    /// [`Pump::housekeep`], then the next turn.
    Housekeep,
}

/// Whether the worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It does.
    GoesOn,
    /// It was told to end, or its link has ended.
    Ends,
}

/// A clock that starts with the worker.
#[derive(Clone, Copy, Debug)]
struct Clock(std::time::Instant);

impl Clock {
    fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A worker's machine with everything around it.
pub(crate) struct Pump {
    config: WorkerConfig,
    clock: Clock,
    driver: Driver,
    worker: Worker,
    outbox: Outbox,
    link: Link,
    coalescer: Coalescer,
    latency: Latency,
    /// When the oldest batch came in that has not been forwarded completely.
    batch_at: Option<Instant>,
    /// Datagrams wait that the last turn had no time for.
    hurry: bool,
    /// Requests wait that the last housekeeping had no time for.
    requests_wait: bool,
    last_tick: Instant,
    /// What the kernel refused of the outbox that is being sent.
    refused: Vec<(Path, u64)>,
}

impl Pump {
    /// `driver` watches `link` already, and has opened `webrtc` for all WebRTC transports together.
    pub(crate) fn new(config: WorkerConfig, driver: Driver, link: Link, webrtc: &[Endpoint]) -> Self {
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = std::time::Instant::now();
        let clock = Clock(started);
        let unix_time_ns = u64::try_from(unix_time.as_nanos()).unwrap_or(u64::MAX);
        let mut worker = Worker::new(Config { webrtc: config.webrtc.clone(), unix_time_ns, ..Config::plain(started) });
        for endpoint in webrtc {
            worker.open_webrtc(*endpoint, IceProtocol::Udp);
        }
        Self {
            clock,
            driver,
            worker,
            outbox: Outbox::new(),
            link,
            coalescer: Coalescer::new(config.coalesce),
            latency: Latency::new(),
            batch_at: None,
            hurry: false,
            // They may have come with the configuration.
            requests_wait: true,
            last_tick: Instant::default(),
            refused: Vec::with_capacity(OUTBOX_TRAINS),
            config,
        }
    }

    /// Sleeps until there is something to do, and does it.
    ///
    /// # Errors
    /// If the kernel no longer lets us wait; the worker cannot go on.
    pub(crate) fn turn(&mut self) -> io::Result<Turn> {
        let slept_at = self.clock.now();
        let patience = self.patience(slept_at);
        let plan = if patience.is_zero() { Plan::default() } else { self.coalescer.plan() };
        let mut woken = self.driver.wait(patience, plan.gather)?;
        let woke_at = self.clock.now();
        let mut now = woke_at;
        if woken.datagrams && !plan.linger.is_zero() {
            woken.link |= self.driver.linger(plan.linger)?.link;
            now = self.clock.now();
        }
        let collected = self.driver.collect();
        self.note_changes();
        if collected {
            // The first may have come when the window opened: waiting is part of the latency that we report.
            self.batch_at.get_or_insert(woke_at - plan.gather);
        }
        let before = self.driver.traffic();
        self.hurry = self.take_in(now);
        self.forward(now);
        self.do_what_is_due();
        let traffic = self.driver.traffic();
        self.coalescer.learn(Batch {
            slept_at: if patience.is_zero() { woke_at } else { slept_at },
            woke_at,
            began_at: now,
            waited: plan != Plan::default(),
            done_at: self.clock.now(),
            received: traffic.packets_received - before.packets_received,
            sent: traffic.packets_sent - before.packets_sent,
        });
        let ticked = now.since(self.last_tick) >= TICK;
        let housekeep = woken.link || ticked || self.requests_wait || self.link.has_backlog();
        Ok(if housekeep { Turn::Housekeep } else { Turn::Media })
    }

    /// How long there is nothing to do unless something arrives.
    fn patience(&self, now: Instant) -> Duration {
        if self.hurry || self.requests_wait {
            return Duration::ZERO;
        }
        let tick = if self.link.has_backlog() { BACKLOG_TICK } else { TICK };
        self.worker.next_timeout().map_or(tick, |due| due.since(now).min(tick))
    }

    /// Hands the machine what has arrived. True if there is more.
    fn take_in(&mut self, now: Instant) -> bool {
        while let Some(path) = self.driver.next_truncated() {
            self.worker.receive_truncated(path);
        }
        let more = self.take_in_datagrams(now);
        self.take_in_packets(now) || more
    }

    fn take_in_datagrams(&mut self, now: Instant) -> bool {
        let (mut datagrams, mut bytes) = (0, 0);
        while let Some((path, datagram)) = self.driver.next_datagram() {
            datagrams += 1;
            bytes += datagram.len();
            self.worker.handle_datagram(now, path, datagram, &mut self.outbox);
            if self.outbox.wants_flush() {
                self.flush();
            }
            if datagrams >= MAX_BATCH_DATAGRAMS || bytes >= MAX_BATCH_BYTES {
                return true;
            }
        }
        false
    }

    /// What has come by TCP. Nothing but a look where there is none.
    fn take_in_packets(&mut self, now: Instant) -> bool {
        for _ in 0..MAX_BATCH_PACKETS {
            let Some((path, packet)) = self.driver.next_packet() else { return false };
            self.worker.handle_datagram(now, path, packet, &mut self.outbox);
            if self.outbox.wants_flush() {
                self.flush();
            }
        }
        true
    }

    /// Tells the machine which TCP connections have come and gone.
    fn note_changes(&mut self) {
        while let Some(change) = self.driver.next_change() {
            match change {
                Change::Accepted(endpoint) => self.worker.open_webrtc(endpoint, IceProtocol::Tcp),
                Change::Gone(id) => self.worker.endpoint_closed(id),
            }
        }
    }

    /// Lets the machine fill the outbox once. If it has more to say, the next turn looks for arrivals without sleeping
    /// and calls again, so that media in stays fresh in the middle of a burst.
    fn forward(&mut self, now: Instant) {
        let done = self.worker.forward(now, &mut self.outbox) == Forward::Done;
        self.flush();
        self.settle();
        if done && !self.hurry {
            self.batch_at = None;
        }
        self.hurry |= !done;
    }

    fn do_what_is_due(&mut self) {
        let now = self.clock.now();
        if self.worker.next_timeout().is_some_and(|due| due <= now) {
            self.worker.handle_timeout(now, &mut self.outbox);
            self.flush();
            self.settle();
        }
    }

    /// Sends the outbox and empties it. All sends are complete when this returns.
    fn flush(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        let (outbox, history) = (&self.outbox, self.worker.history());
        let trains = outbox.trains().iter().map(|train| Departure {
            path: train.path,
            segment_len: train.segment_len,
            len: train.len(),
            pieces: outbox.pieces(train, history).map(Piece::bytes),
        });
        let refused = &mut self.refused;
        self.driver.send(trains, |path, packets| refused.push((path, packets)));
        for (path, packets) in refused.drain(..) {
            self.worker.send_refused(path, packets);
        }
        if let Some(batch_at) = self.batch_at {
            self.latency.record(self.clock.now().since(batch_at), self.outbox.trains().len() as u64);
        }
        self.outbox.clear();
    }

    /// Does to the endpoints what the machine wants, and passes its events on.
    fn settle(&mut self) {
        self.note_changes();
        while let Some(op) = self.worker.poll_endpoint_op() {
            match op {
                EndpointOp::Connect(id, remote) => {
                    if let Err(error) = self.driver.connect(id, remote) {
                        tracing::debug!(%remote, %error, "not connected; sends name their address instead");
                    }
                }
                EndpointOp::Authenticated(id) => self.driver.authenticated(id),
                EndpointOp::Close(id) => self.driver.close(id),
            }
        }
        while let Some(event) = self.worker.poll_event() {
            self.link.event(event);
        }
    }

    /// Reads the link, does what it asks for, and writes what the link takes.
    pub(crate) fn housekeep(&mut self) -> Life {
        let begun = self.clock.now();
        self.last_tick = begun;
        self.requests_wait = false;
        self.driver.tick(begun);
        self.link.read();
        let mut life = Ok(Life::GoesOn);
        for obeyed in 1..=MAX_COMMANDS {
            match self.link.next_request() {
                Ok(Some((id, command))) => life = Ok(self.obey(id, &command)),
                Ok(None) => break,
                Err(ended) => life = Err(ended),
            }
            if life != Ok(Life::GoesOn) {
                break;
            }
            if obeyed == MAX_COMMANDS || self.clock.now().since(begun) >= MAX_COMMANDS_TIME {
                self.requests_wait = true;
                break;
            }
        }
        if let Some(warning) = self.driver.take_warning() {
            tracing::warn!(worker = self.config.index, "{warning}");
        }
        match (life, self.link.flush()) {
            (Ok(Life::GoesOn), Ok(())) => Life::GoesOn,
            (Ok(Life::Ends), _) => {
                self.link.drain();
                Life::Ends
            }
            (Err(Ended), _) | (_, Err(Ended)) => Life::Ends,
        }
    }

    fn obey(&mut self, id: u64, command: &Command) -> Life {
        let result = match command {
            Command::Shutdown => {
                self.link.reply(id, Ok(Reply::Done));
                return Life::Ends;
            }
            Command::Usage => Ok(Reply::Usage(Box::new(self.usage()))),
            Command::TestHook(hook) if self.config.test_hooks => {
                misbehave(*hook);
                Ok(Reply::Done)
            }
            Command::TestHook(_) => Err(CommandError::HooksOff),
            Command::CreatePlainTransport { options, .. } => self.create_plain_transport(command, options),
            _ => self.worker.handle_command(self.clock.now(), command, &[], &mut self.outbox),
        };
        // What the command wants sent (a BYE, say) leaves before its endpoint closes.
        self.flush();
        self.settle();
        self.link.reply(id, result);
        Life::GoesOn
    }

    /// Opens the sockets first, so that the machine never holds a transport without them.
    fn create_plain_transport(
        &mut self,
        command: &Command,
        options: &PlainTransportOptions,
    ) -> Result<Reply, CommandError> {
        let range = || Port::Range(self.config.port_range.0, self.config.port_range.1);
        let ip = options.listen_ip;
        let rtp = self.driver.open(ip, options.port.map_or_else(range, Port::Given)).map_err(command_error)?;
        let mut opened = [rtp; 2];
        let mut count = 1;
        if let (false, [_, second]) = (options.rtcp_mux, &mut opened) {
            *second = self.driver.open(ip, range()).map_err(|error| {
                self.driver.close(rtp.id);
                command_error(error)
            })?;
            count = 2;
        }
        let opened: &[Endpoint] = opened.get(..count).unwrap_or_default();
        let result = self.worker.handle_command(self.clock.now(), command, opened, &mut self.outbox);
        if result.is_err() {
            for endpoint in opened {
                self.driver.close(endpoint.id);
            }
        }
        result
    }

    fn usage(&self) -> Usage {
        let traffic = self.driver.traffic();
        let totals = self.worker.totals();
        Usage {
            at_ns: self.clock.now().as_nanos(),
            packets_received: traffic.packets_received,
            bytes_received: traffic.bytes_received,
            packets_sent: traffic.packets_sent,
            bytes_sent: traffic.bytes_sent,
            trains_sent: traffic.trains_sent,
            receive_overflows: traffic.receive_overflows,
            wakeups: traffic.wakeups,
            discards: totals.discards,
            routers: totals.routers,
            transports: totals.transports,
            producers: totals.producers,
            consumers: totals.consumers,
            ..sample(self.config.core, &self.latency)
        }
    }
}

fn command_error(error: OpenError) -> CommandError {
    match error {
        OpenError::RangeExhausted { ip, min, max } => CommandError::PortRangeExhausted { ip, min, max },
        OpenError::Refused { address, cause } => CommandError::CannotListen { address, cause: cause.to_string() },
    }
}

/// Does what a test of supervision wants to see survived.
fn misbehave(hook: TestHook) {
    match hook {
        TestHook::Panic => panic!("asked to by a test hook"),
        TestHook::Segfault => {
            // The signal, not the write: a write to address 0 is undefined before it is a fault.
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV);
            std::process::abort();
        }
        TestHook::Stall(ms) => std::thread::sleep(Duration::from_millis(u64::from(ms))),
    }
}
