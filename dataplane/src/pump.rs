//! The pump: in every turn it moves datagrams that arrived into the machine, and the machine's outbox to the kernel.
//!
//! Owns driver, machine, outbox and control of a worker. The only place where the clock is read, once per batch.

mod keeping;

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_core::limits::OUTBOX_TRAINS;
use corecast_core::{
    Config, Endpoint, EndpointOp, Forward, Instant, Memory, MemorySource, Outbox, OutboxSize, Path, Piece, Words,
    Worker,
};
use corecast_wire::{
    Command, CommandError, Event, IceProtocol, ListenInfo, POISON, PlainTransportOptions, Reply, TestHook, Usage,
    WebRtcServerId, WorkerConfig,
};

use crate::coalesce::{Coalescer, NO_SLEEP, Plan, TurnRecord};
use crate::control::{Control, Machine, Served};
use crate::driver::{Change, Driver, Port, SegmentedSend};
use crate::keep::Kept;
use crate::memory::WorkerMemory;
use crate::sandbox;
use crate::servers::{self, Opened, Servers, command_error};
use crate::trespass::trespass;
use crate::usage::{Latency, sample};

/// Housekeeping is done this often even if nothing asks for it, and so a sleep is never longer.
const TICK: Duration = Duration::from_millis(100);
/// A sleep is not longer than this while control has something to be written.
const BACKLOG_TICK: Duration = Duration::from_millis(5);
/// Commands of one housekeeping, and time for them: whichever limit is reached first.
const MAX_COMMANDS: usize = 32;
const MAX_COMMANDS_TIME: Duration = Duration::from_micros(200);
/// Datagrams and bytes taken in before the machine forwards: whichever limit is reached first.
const MAX_BATCH_DATAGRAMS: u64 = 256;
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Packets of TCP connections taken in before the machine forwards, so that TCP does not keep UDP waiting.
const MAX_BATCH_PACKETS: usize = 128;

/// What to do after a turn.
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
    /// The worker goes on.
    GoesOn,
    /// The worker was told to end, or control has gone.
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
    servers: Servers,
    /// Taken out while it is served.
    control: Option<Box<dyn Control>>,
    coalescer: Coalescer,
    latency: Latency,
    /// When the oldest batch came in that has not been forwarded completely.
    batch_at: Option<Instant>,
    /// When the thread fell asleep last, and nothing waited.
    idle_at: Instant,
    /// The longest time for which a datagram of the newest batch had waited.
    waited: Duration,
    /// Datagrams wait that the last turn had no time for, or the machine has more to forward.
    more_pending: bool,
    /// Requests wait that the last housekeeping had no time for.
    requests_wait: bool,
    last_tick: Instant,
    /// Commands of this housekeeping.
    commands: usize,
    /// Packets of the outbox being sent that the kernel refused, by path.
    refused: Vec<(Path, u64)>,
    /// What outlives the worker, if anything does.
    kept: Option<Kept>,
}

impl Pump {
    /// `driver` watches `control` already, and has opened `webrtc` for all WebRTC transports together.
    pub(crate) fn new(
        config: WorkerConfig,
        driver: Driver,
        control: Box<dyn Control>,
        webrtc: &[Endpoint],
        kept: Option<(Kept, Words)>,
    ) -> Self {
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = std::time::Instant::now();
        let clock = Clock(started);
        let unix_time_ns = u64::try_from(unix_time.as_nanos()).unwrap_or(u64::MAX);
        let mut memory = WorkerMemory::new(config.huge_pages);
        let size = OutboxSize::default();
        let outbox = Outbox::in_memory(memory.take(size.bytes).unwrap_or_else(|| Memory::boxed(size.bytes)), size);
        let core_config = Config {
            webrtc: config.webrtc.clone(),
            unix_time_ns,
            max_media_age: Duration::from_millis(config.max_media_age_ms.into()),
            max_sound_wait: Duration::from_micros(config.max_sound_wait_us.into()),
            max_packets_per_s: config.max_packets_per_s,
            data: config.data,
            maxima: config.maxima,
            is_blamed: config.is_blamed,
            ..Config::plain(started)
        };
        let source = MemorySource::new(move |bytes| memory.take(bytes));
        let (kept, words) = kept.map_or_else(|| (None, Words::default()), |(kept, words)| (Some(kept), words));
        let mut worker = Worker::with_memory(core_config, source, words);
        for endpoint in webrtc {
            worker.open_webrtc(*endpoint, IceProtocol::Udp);
        }
        Self {
            clock,
            driver,
            worker,
            outbox,
            servers: Servers::default(),
            control: Some(control),
            coalescer: Coalescer::new(config.coalesce),
            latency: Latency::new(),
            batch_at: None,
            idle_at: Instant::default(),
            waited: Duration::ZERO,
            more_pending: false,
            // Requests may have come with the configuration.
            requests_wait: true,
            last_tick: Instant::default(),
            commands: 0,
            refused: Vec::with_capacity(OUTBOX_TRAINS),
            kept,
            config,
        }
    }

    /// Sleeps until there is something to do, and does it.
    ///
    /// # Errors
    /// If the kernel no longer lets us wait; the worker cannot go on.
    pub(crate) fn turn(&mut self) -> io::Result<Turn> {
        let slept_at = self.clock.now();
        let wait_budget = self.wait_budget(slept_at);
        let plan = self.plan(slept_at, wait_budget);
        let mut wakeup = self.driver.wait(wait_budget, plan.gather)?;
        let woke_at = self.clock.now();
        let mut now = woke_at;
        if !wait_budget.is_zero() && woke_at.since(slept_at) >= NO_SLEEP {
            self.idle_at = slept_at;
        }
        if wakeup.datagrams && !plan.linger.is_zero() {
            wakeup.link |= self.driver.linger(plan.linger)?.link;
            now = self.clock.now();
        }
        let collected = self.driver.collect();
        self.record_connections();
        if collected {
            // The first datagram may have come when the window opened: waiting is part of the latency that is reported.
            self.batch_at.get_or_insert(woke_at - plan.gather);
        }
        let before = self.driver.traffic();
        self.more_pending = self.take_in(now);
        if self.driver.traffic().receive_overflows > before.receive_overflows {
            self.worker.receive_overflowed(self.waited);
        }
        if let Some(since) = self.worker.waiting_since(now) {
            self.batch_at = Some(self.batch_at.map_or(since, |at| at.min(since)));
        }
        self.forward(now);
        self.handle_timeouts();
        let traffic = self.driver.traffic();
        self.coalescer.update(TurnRecord {
            slept_at: if wait_budget.is_zero() { woke_at } else { slept_at },
            woke_at,
            began_at: now,
            waited: plan != Plan::default(),
            done_at: self.clock.now(),
            received: traffic.packets_received - before.packets_received,
            sent: traffic.packets_sent - before.packets_sent,
        });
        let ticked = now.since(self.last_tick) >= TICK;
        let housekeep = wakeup.link || ticked || self.requests_wait || self.has_backlog();
        Ok(if housekeep { Turn::Housekeep } else { Turn::Media })
    }

    /// How to wait for the next batch. While sound waits and there is nothing else, what arrives would only wait too.
    fn plan(&self, now: Instant, wait_budget: Duration) -> Plan {
        if wait_budget.is_zero() {
            return Plan::default();
        }
        match self.worker.sound_alone_until(now) {
            Some(due) => Plan { gather: due.since(now).min(wait_budget), linger: Duration::ZERO },
            None => self.coalescer.plan(),
        }
    }

    fn has_backlog(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.has_backlog())
    }

    /// How long there is nothing to do if nothing arrives.
    fn wait_budget(&self, now: Instant) -> Duration {
        if self.more_pending || self.requests_wait {
            return Duration::ZERO;
        }
        let tick = if self.has_backlog() { BACKLOG_TICK } else { TICK };
        self.worker.next_timeout().map_or(tick, |due| due.since(now).min(tick))
    }

    /// Hands the machine the datagrams and packets that have arrived. True if there are more.
    fn take_in(&mut self, now: Instant) -> bool {
        while let Some(path) = self.driver.next_truncated() {
            self.worker.receive_truncated(path);
        }
        let more = self.take_in_datagrams(now);
        self.take_in_packets(now) || more
    }

    fn take_in_datagrams(&mut self, now: Instant) -> bool {
        let (mut datagrams, mut bytes) = (0, 0);
        self.waited = Duration::ZERO;
        let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.driver.set_time(unix_now);
        while let Some(datagram) = self.driver.next_datagram() {
            datagrams += 1;
            bytes += datagram.bytes.len();
            let waited =
                datagram.taken_in_ns.map_or(Duration::ZERO, |at| unix_now.saturating_sub(Duration::from_nanos(at)));
            // No longer than since nothing waited, whatever becomes of the system's clock meanwhile.
            let arrived = (now - waited).max(self.idle_at);
            self.waited = self.waited.max(now.since(arrived));
            self.worker.handle_datagram(now, arrived, datagram.path, datagram.bytes, &mut self.outbox);
            assert!(!self.config.test_hooks || !datagram.bytes.ends_with(POISON), "it was poison");
            if self.outbox.wants_flush() {
                self.flush();
            }
            if datagrams >= MAX_BATCH_DATAGRAMS || bytes >= MAX_BATCH_BYTES {
                return true;
            }
        }
        false
    }

    /// Packets of TCP connections. Costs one look where there are none.
    fn take_in_packets(&mut self, now: Instant) -> bool {
        for _ in 0..MAX_BATCH_PACKETS {
            let Some((path, packet)) = self.driver.next_packet() else { return false };
            self.worker.handle_datagram(now, now, path, packet, &mut self.outbox);
            if self.outbox.wants_flush() {
                self.flush();
            }
        }
        true
    }

    /// Tells the machine which TCP connections were accepted and which have ended.
    fn record_connections(&mut self) {
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
        self.apply_effects();
        if done && !self.more_pending {
            self.batch_at = None;
        }
        self.more_pending |= !done;
    }

    fn handle_timeouts(&mut self) {
        let now = self.clock.now();
        if self.worker.next_timeout().is_some_and(|due| due <= now) {
            self.worker.handle_timeout(now, &mut self.outbox);
            self.flush();
            self.apply_effects();
        }
    }

    /// Sends the outbox and empties it. All sends are complete when this returns.
    fn flush(&mut self) {
        self.keep_learnt();
        if self.outbox.is_empty() {
            return;
        }
        let (outbox, history) = (&self.outbox, self.worker.history());
        let trains = outbox.trains().iter().map(|train| SegmentedSend {
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

    /// Carries out the endpoint operations that the machine wants, and passes its events on.
    fn apply_effects(&mut self) {
        self.apply_endpoint_ops();
        let Some(control) = &mut self.control else { return };
        while let Some(event) = self.worker.poll_event() {
            control.tell(event);
        }
    }

    fn apply_endpoint_ops(&mut self) {
        self.record_connections();
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
    }

    /// Serves control: executes what it asks for, and lets it write.
    pub(crate) fn housekeep(&mut self) -> Life {
        self.last_tick = self.clock.now();
        self.commands = 0;
        self.driver.tick(self.last_tick);
        let Some(mut control) = self.control.take() else { return Life::Ends };
        let served = control.serve(self);
        self.control = Some(control);
        sandbox::tell_refused();
        if let Some(warning) = self.driver.take_warning() {
            tracing::warn!(worker = self.config.index, "{warning}");
        }
        self.requests_wait = served == Served::More;
        if served == Served::Ended { Life::Ends } else { Life::GoesOn }
    }

    /// Opens the endpoints first, so that the machine never holds a transport without them.
    fn create_plain_transport(
        &mut self,
        options: &PlainTransportOptions,
        create: impl FnOnce(&mut Self, &[Endpoint]) -> Result<Reply, CommandError>,
    ) -> Result<Reply, CommandError> {
        let (first, last) = options.port_range.unwrap_or(self.config.port_range);
        let port = |given: Option<u16>| given.map_or(Port::Range(first, last), Port::Given);
        let ip = options.listen_ip;
        let rtp = self.driver.open(ip, port(options.port), options.socket).map_err(command_error)?;
        let mut opened = [rtp; 2];
        let mut count = 1;
        if let (false, [_, second]) = (options.rtcp_mux, &mut opened) {
            *second = self.driver.open(ip, port(options.rtcp_port), options.rtcp_socket).map_err(|error| {
                self.driver.close(rtp.id);
                command_error(error)
            })?;
            count = 2;
        }
        let opened: &[Endpoint] = opened.get(..count).unwrap_or_default();
        let result = create(self, opened);
        if result.is_err() {
            for endpoint in opened {
                self.driver.close(endpoint.id);
            }
        }
        result
    }

    fn open_webrtc_server(&mut self, server: WebRtcServerId, listen: &[ListenInfo]) -> Result<Reply, CommandError> {
        let opened = self.servers.open(&mut self.driver, server, listen)?;
        for one in opened {
            if let Opened::Udp(endpoint) = one {
                self.worker.open_webrtc(*endpoint, IceProtocol::Udp);
            }
        }
        Ok(Reply::Listening(opened.iter().map(|one| one.local()).collect()))
    }

    fn close_webrtc_server(&mut self, server: WebRtcServerId) -> Result<Reply, CommandError> {
        for opened in self.servers.take(server)? {
            if let Some(endpoint) = opened.endpoint() {
                self.worker.endpoint_closed(endpoint);
            }
            servers::close(&mut self.driver, opened);
        }
        Ok(Reply::Done)
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
            queue_waits: totals.queue_waits,
            routers: totals.routers,
            transports: totals.transports,
            producers: totals.producers,
            consumers: totals.consumers,
            timers: totals.timers,
            ..sample(self.config.core, &self.latency)
        }
    }
}

impl Machine for Pump {
    fn execute(&mut self, command: &Command) -> Result<Reply, CommandError> {
        // Two pages of counters in one turn, if two ask for them, would make media wait for both.
        self.commands += if matches!(command, Command::Stats { .. }) { MAX_COMMANDS } else { 1 };
        let result = match command {
            Command::Usage => Ok(Reply::Usage(Box::new(self.usage()))),
            Command::TestHook(hook) if self.config.test_hooks => {
                run_test_hook(*hook);
                Ok(Reply::Done)
            }
            Command::TestHook(_) => Err(CommandError::HooksOff),
            Command::CreatePlainTransport { options, .. } => self.create_plain_transport(options, |pump, opened| {
                pump.worker.handle_command(pump.clock.now(), command, opened, &mut pump.outbox)
            }),
            Command::OpenWebRtcServer { server, listen } => self.open_webrtc_server(*server, listen),
            Command::CloseWebRtcServer { server } => self.close_webrtc_server(*server),
            _ => self.worker.handle_command(self.clock.now(), command, &[], &mut self.outbox),
        };
        if let Ok(reply) = &result {
            self.keep_applied(command, reply);
        }
        // Packets that the command causes (a BYE, say) leave before their endpoint closes.
        self.flush();
        self.apply_endpoint_ops();
        result
    }

    fn next_event(&mut self) -> Option<Event> {
        self.worker.poll_event()
    }

    fn has_time(&mut self) -> bool {
        self.commands < MAX_COMMANDS && self.clock.now().since(self.last_tick) < MAX_COMMANDS_TIME
    }

    fn leave(&mut self) {
        self.take_in_rest();
    }
}

/// Fails in the way that a test of supervision asks for.
fn run_test_hook(hook: TestHook) {
    match hook {
        TestHook::Panic => panic!("asked to by a test hook"),
        TestHook::Segfault => {
            // Raises the signal, because in Rust a write to address 0 is undefined before it is a fault.
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV);
            std::process::abort();
        }
        TestHook::Stall(ms) => std::thread::sleep(Duration::from_millis(u64::from(ms))),
        TestHook::Trespass => trespass(),
    }
}
