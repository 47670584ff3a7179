//! One life of the server: from its start until nothing of it is left.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use corecast_dataplane::{hand_over, sandbox};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::kept::Kept;
use super::notify::Notify;
use super::report::{Died, Report, Reports};
use super::{Settings, Signals, Sockets, readable};
use crate::addresses::Names;
use crate::check;
use crate::config::Config;
use crate::logging;
use crate::settings::PortRange;

/// A server that is not ready by then never will be.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Time to end in good order.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The same for one whose calls the next one takes over.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);
/// Signals that come within this time of the first say the same.
const SAME_WISH: Duration = Duration::from_secs(1);
/// Between last words and the end of a process.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(100);
/// For the kernel to end what was killed.
const REAP_LIMIT: Duration = Duration::from_secs(5);
/// Ordinary lateness of a wake-up.
const SLACK: Duration = Duration::from_millis(200);
/// For the kernel to close the sockets of what has ended.
const PORTS_LIMIT: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_millis(2);
/// The same while everybody waits for the end of a process.
const LEAVE_TICK: Duration = Duration::from_micros(200);

/// How a life ended.
#[derive(Debug)]
pub(super) enum End {
    /// As asked.
    Asked,
    /// It lives, and another program is to go on with it.
    Replaced,
    /// Another server is to take its place: it lives, or has ended.
    Again(Option<Box<Run>>),
    Died(Death),
}

/// What the operator is told of a death.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) cause: String,
    pub(super) at: Instant,
    /// For how long the server had been ready; none if it never was.
    pub(super) ready_for: Option<Duration>,
    /// The exit code for it, unless it can pass.
    pub(super) exit: Option<u8>,
}

impl Death {
    /// The death of a server that could not even be started.
    pub(super) fn of_start(error: &std::io::Error) -> Self {
        Self {
            cause: format!("the server cannot be started: {error}"),
            at: Instant::now(),
            ready_for: None,
            exit: None,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Run {
    server: Pid,
    reports: Reports,
    started: Instant,
    ready_at: Option<Instant>,
    beat: Instant,
    beat_limit: Duration,
    grace: Duration,
    ports: PortRange,
    /// The first and most exact word about a death, and when to wait no longer for the rest.
    died: Option<(String, Instant, Instant)>,
    /// The worker that it died of, if that died of something that it did itself.
    blamed: Option<u32>,
    /// The names that it has looked up, once it is ready.
    names: Option<Names>,
    /// The exit code for why it could not start.
    exit: Option<u8>,
    ended: Option<WaitStatus>,
    /// How it was told to end, and when to wait no longer.
    stopping: Option<Stopping>,
    /// Another server is to take its place.
    is_to_restart: bool,
    /// For so long those who are in rooms may stay once it is told to drain.
    drain: Duration,
}

/// What is to be known of a server in another process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct RunParts {
    server: i32,
}

/// An end that was asked for.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// Those who are in rooms may stay for a while.
    is_draining: bool,
    asked_at: Instant,
    until: Instant,
}

/// What the server tells its C library: blocks of up to 8 KiB that a thread has freed are kept for the next time, which
/// is 1 KiB by default. A record of DTLS needs several of 4 KiB. The operator's own words come last and so count.
fn tunables() -> OsString {
    let mut tunables = OsString::from("glibc.malloc.tcache_max=8192");
    if let Some(own) = std::env::var_os("GLIBC_TUNABLES") {
        tunables.push(":");
        tunables.push(own);
    }
    tunables
}

impl Run {
    /// Starts the server: this program again, with the listener as its standard input and our socket as its output.
    /// Through the socket it is handed what outlived the server before it, and told its settings, its certificate, and
    /// what names meant to that one, one line each.
    pub(super) fn start(
        settings: &Settings<'_>,
        sockets: &Sockets,
        names: &Names,
        kept: &mut Kept,
    ) -> std::io::Result<Self> {
        let mut run = Self::prepare(settings, sockets, names, kept)?;
        run.go_on(kept);
        Ok(run)
    }

    /// The same of a server that prepares itself and then waits for [`Self::go_on`].
    pub(super) fn prepare(
        settings: &Settings<'_>,
        sockets: &Sockets,
        names: &Names,
        kept: &mut Kept,
    ) -> std::io::Result<Self> {
        let mut run = Self::spawn(&settings.config, sockets)?;
        run.begin(settings, sockets, (names, kept))?;
        Ok(run)
    }

    fn spawn(config: &Config, sockets: &Sockets) -> std::io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0("corecast")
            .args(["server", "--parent", &std::process::id().to_string()])
            .env("GLIBC_TUNABLES", tunables())
            .stdin(Stdio::from(sockets.listener.as_fd().try_clone_to_owned()?))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .process_group(0)
            .spawn()?;
        let server = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        Self::of(server, ours, config)
    }

    /// Tells it what there is to be told.
    fn begin(
        &mut self,
        settings: &Settings<'_>,
        sockets: &Sockets,
        (names, kept): (&Names, &mut Kept),
    ) -> std::io::Result<()> {
        let Settings { config, identity, .. } = settings;
        let told = [serde_json::to_string(config)?, serde_json::to_string(identity)?, serde_json::to_string(names)?];
        let blamed = serde_json::to_string(&kept.take_blamed())?;
        let mut stream = self.reports.stream();
        stream.set_nonblocking(false)?;
        // A server that has died by now is told nothing; that it has is seen when it is watched.
        if let Err(error) = kept.hand_over(stream) {
            tracing::warn!("the server is not handed what outlived the one before: {error}");
        }
        let admin: Vec<_> = sockets.admin.iter().map(AsFd::as_fd).collect();
        if let Err(error) = hand_over(stream, &[admin]) {
            tracing::warn!("the server is not handed the socket for operators: {error}");
        }
        let _ = stream.write_all(format!("{}\n{blamed}\n", told.join("\n")).as_bytes());
        stream.set_nonblocking(true)?;
        Ok(())
    }

    /// The server before has ended: this one takes its place.
    pub(super) fn go_on(&mut self, kept: &mut Kept) {
        kept.give();
        (self.started, self.beat) = (Instant::now(), Instant::now());
    }

    fn of(server: Pid, stream: UnixStream, config: &Config) -> std::io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            server,
            reports: Reports::new(stream)?,
            started: now,
            ready_at: None,
            beat: now,
            // Control beats once in a heartbeat; it may be as slow as a worker may.
            beat_limit: config.worker.heartbeat.0 + config.worker.timeout.0.max(Duration::from_secs(1)),
            grace: config.failover.grace.0.unwrap_or_default(),
            ports: config.rtc.port_range,
            died: None,
            blamed: None,
            names: None,
            exit: None,
            ended: None,
            stopping: None,
            is_to_restart: false,
            drain: config.drain.deadline.0,
        })
    }

    /// What it takes to go on with it in another process, beside its stream.
    pub(super) fn parts(&self) -> RunParts {
        RunParts { server: self.server.as_raw() }
    }

    /// The names that it has looked up, once it is ready.
    pub(super) fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.reports.stream().as_fd()
    }

    /// The server that another program has started of which this process is the next one.
    pub(super) fn of_parts(parts: RunParts, stream: UnixStream, config: &Config) -> std::io::Result<Self> {
        let run = Self::of(Pid::from_raw(parts.server), stream, config)?;
        Ok(Self { ready_at: Some(run.started), ..run })
    }

    /// Has the server end between two batches, with everything as it is for the next one.
    pub(super) fn leave(&mut self, kept: &mut Kept) {
        let until = Instant::now() + LEAVE_LIMIT;
        let _ = kill(self.server, Signal::SIGUSR2);
        while self.ended.is_none() && Instant::now() < until {
            std::thread::sleep(LEAVE_TICK);
            self.reap();
        }
        self.end_processes();
        kept.take();
    }

    /// Watches until the server has died, has been declared dead, or has stopped as asked.
    pub(super) fn watch(
        &mut self,
        signals: &Signals,
        settings: &mut Settings<'_>,
        (notify, kept): (&mut Notify, &mut Kept),
    ) -> std::io::Result<End> {
        let mut waited = (Instant::now(), Duration::ZERO);
        loop {
            notify.keep_alive();
            sandbox::tell_refused();
            // A machine that was halted halted the server too: it has not missed its beat.
            self.beat += waited.0.elapsed().saturating_sub(waited.1 + SLACK);
            signals.clear();
            if Signals::taken(&signals.drain) {
                self.stop(true, notify);
            }
            if Signals::taken(&signals.stop) {
                self.stop(false, notify);
            }
            if Signals::taken(&signals.upgrade) && self.ready_at.is_some() && self.stopping.is_none() {
                return Ok(End::Replaced);
            }
            if Signals::taken(&signals.renew) {
                self.renew(settings);
            }
            self.reap();
            // After the reaping: what a process wrote before its end is there by now.
            for report in self.reports.take() {
                self.hear(report, &settings.config, notify);
            }
            if self.is_to_restart && self.stopping.is_none() {
                if kept.holds_sockets() {
                    // Calls go on, and clients are told nothing.
                    return Ok(End::Again(None));
                }
                self.end_by(Signal::SIGINT, STOP_LIMIT);
            }
            self.check_time();
            if let Some(end) = self.end() {
                return Ok(end);
            }
            kept.take();
            waited = (Instant::now(), self.next_check().min(notify.interval()));
            readable(&[signals.came.as_fd(), self.reports.stream().as_fd(), kept.inbox()], waited.1)?;
        }
    }

    /// Ends what is left of the server. When this returns, its ports are free (or somebody else's), or held for the
    /// next one.
    pub(super) fn clean_up(&mut self, kept: &Kept) {
        self.end_processes();
        if kept.holds_sockets() {
            return;
        }
        // A ring outlives its process by a moment: the kernel takes it down on a thread of its own, and the ring holds
        // the sockets that were received on (seen: 5 to 50 ms). Others may have sockets in the range; hence the limit.
        let until = Instant::now() + PORTS_LIMIT;
        while !self.ports.is_empty_of_sockets() && Instant::now() < until {
            std::thread::sleep(TICK);
        }
    }

    /// The worker that it died of, if that died of something that it did itself.
    pub(super) fn blamed(&self) -> Option<u32> {
        self.blamed
    }

    /// The names that it had looked up, if it was ever ready.
    pub(super) fn into_names(self) -> Option<Names> {
        self.names
    }

    fn end_processes(&mut self) {
        let until = Instant::now() + REAP_LIMIT;
        loop {
            // Again and again: a process may have been started between two signals.
            let gone = killpg(self.server, Signal::SIGKILL) == Err(Errno::ESRCH);
            self.reap();
            if gone {
                return;
            }
            if Instant::now() > until {
                tracing::error!("something of the server (process group {}) cannot be ended", self.server);
                return;
            }
            std::thread::sleep(LEAVE_TICK);
        }
    }

    /// Reads the settings again and tells the server of those that it can take over.
    fn renew(&self, settings: &mut Settings<'_>) {
        let told = settings.renew().and_then(|()| {
            let Settings { config, identity, .. } = &*settings;
            let told = json!({ "config": config, "identity": identity });
            let mut stream = self.reports.stream();
            stream
                .write_all(format!("{told}\n").as_bytes())
                .map_err(|error| format!("the server cannot be told: {error}"))
        });
        if let Err(sentence) = told {
            tracing::error!("the settings stay as they were: {sentence}");
        }
    }

    /// Asked to end: first a drain, if that is what is wanted, then at once, then by force.
    fn stop(&mut self, drain: bool, notify: &Notify) {
        notify.stopping();
        self.is_to_restart = false;
        let now = Instant::now();
        let (is_draining, limit) = match self.stopping {
            None => (drain, if drain { self.drain + STOP_LIMIT } else { STOP_LIMIT }),
            // A terminal, a shell and systemd may each pass on the same wish.
            Some(Stopping { asked_at, .. }) if now.duration_since(asked_at) < SAME_WISH => return,
            Some(Stopping { is_draining: true, .. }) => (false, STOP_LIMIT),
            Some(Stopping { is_draining: false, .. }) => (false, Duration::ZERO),
        };
        if is_draining {
            tracing::info!("draining: rooms that are there may go on for {:.0} s", self.drain.as_secs_f32());
        } else if !limit.is_zero() {
            tracing::info!("stopping");
        }
        self.end_by(if is_draining { Signal::SIGTERM } else { Signal::SIGINT }, limit);
    }

    /// Tells the server to end, within this time.
    fn end_by(&mut self, signal: Signal, limit: Duration) {
        let now = Instant::now();
        self.stopping = Some(Stopping { is_draining: signal == Signal::SIGTERM, asked_at: now, until: now + limit });
        let _ = kill(self.server, signal);
    }

    fn reap(&mut self) {
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(status) if status.pid() == Some(self.server) => self.ended = Some(status),
                Ok(status) => tracing::debug!("reaped {status:?}"),
            }
        }
    }

    fn hear(&mut self, report: Report, config: &Config, notify: &mut Notify) {
        match report {
            Report::Ready { summary, names } => {
                self.ready_at = Some(Instant::now());
                self.names = Some(names);
                self.beat = Instant::now();
                if notify.ready() {
                    logging::print(summary.trim_end());
                    let findings = check::look(config).into_iter();
                    for finding in findings.filter(|finding| finding.is_bad() && !finding.is_in_summary()) {
                        tracing::warn!("{finding} (corecast check)");
                    }
                } else {
                    tracing::info!(
                        "the server is ready again, {} ms after its start",
                        self.started.elapsed().as_millis()
                    );
                }
            }
            Report::Beat => self.beat = Instant::now(),
            Report::Drain => self.stop(true, notify),
            Report::Restart => self.is_to_restart = self.stopping.is_none(),
            Report::StartFailed { exit, cause } => {
                self.exit = exit;
                self.note_death(cause, Duration::ZERO);
            }
            Report::LastWords(died) => {
                self.blamed = died.worker;
                self.note_death(died.to_string(), LAST_WORDS_LIMIT.max(self.grace));
            }
            Report::Stalled(died) => {
                self.blamed = died.worker;
                self.note_death(died.to_string(), Duration::ZERO);
            }
            Report::Died(died) => self.note_death(died.to_string(), Duration::ZERO),
        }
    }

    /// The first word about a death is kept: it comes from nearest by.
    fn note_death(&mut self, cause: String, wait: Duration) {
        let now = Instant::now();
        let (cause, at) = self.died.take().map_or((cause, now), |(first, at, _)| (first, at));
        self.died = Some((cause, at, at + wait));
    }

    fn check_time(&mut self) {
        if self.died.is_some() || self.stopping.is_some() {
            return;
        }
        let declare = |cause: String, pid: Pid| Died {
            worker: None,
            core: None,
            pid: pid.as_raw().unsigned_abs(),
            cause,
            place: None,
        };
        if self.ready_at.is_none() && self.started.elapsed() > START_LIMIT {
            let cause = format!("it was not ready within {} s", START_LIMIT.as_secs());
            self.note_death(declare(cause, self.server).to_string(), Duration::ZERO);
        } else if self.ready_at.is_some() && self.beat.elapsed() > self.beat_limit {
            let cause = format!("no sign of life for {:.1} s (stalled)", self.beat.elapsed().as_secs_f32());
            self.note_death(declare(cause, self.server).to_string(), Duration::ZERO);
        }
    }

    fn end(&mut self) -> Option<End> {
        if let Some(Stopping { until, .. }) = self.stopping {
            let late = Instant::now() >= until;
            if late && self.ended.is_none() {
                tracing::warn!("the server did not stop by itself and is killed");
            }
            let end = if self.is_to_restart { End::Again(None) } else { End::Asked };
            return (late || self.ended.is_some()).then_some(end);
        }
        let (ready_for, exit) = (self.ready_at.map(|at| at.elapsed()), self.exit);
        match (self.died.take(), self.ended) {
            (Some((cause, at, until)), ended) if ended.is_some() || Instant::now() >= until => {
                Some(End::Died(Death { cause, at, ready_for, exit }))
            }
            (None, Some(status)) => {
                let cause = format!("server (pid {}) died: {}", self.server, how(status));
                Some(End::Died(Death { cause, at: Instant::now(), ready_for, exit }))
            }
            (died, _) => {
                self.died = died;
                None
            }
        }
    }

    fn next_check(&self) -> Duration {
        let deadlines = [
            self.died.as_ref().map(|(.., until)| *until),
            self.stopping.map(|stopping| stopping.until),
            self.ready_at.is_none().then(|| self.started + START_LIMIT),
            self.ready_at.map(|_| self.beat + self.beat_limit),
        ];
        let now = Instant::now();
        let next = deadlines.into_iter().flatten().map(|deadline| deadline.saturating_duration_since(now)).min();
        next.unwrap_or(Duration::from_secs(1))
    }
}

impl PortRange {
    /// Whether no UDP socket of this machine (of this network namespace) is bound to one of these ports.
    fn is_empty_of_sockets(self) -> bool {
        let bound = |table: &str| {
            let table = std::fs::read_to_string(table).unwrap_or_default();
            table.lines().skip(1).filter_map(local_port).any(|port| (self.min..=self.max).contains(&port))
        };
        !bound("/proc/net/udp") && !bound("/proc/net/udp6")
    }
}

/// From a line of `/proc/net/udp`: number, then local address and port in hexadecimal.
fn local_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}

fn how(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("it ended with exit code {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_in_the_range_are_seen() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let port = socket.local_addr().expect("bound").port();
        assert!(!PortRange { min: port, max: port }.is_empty_of_sockets());
        assert_eq!(local_port("  12: 0100007F:9C40 00000000:0000 07"), Some(40_000));
        assert_eq!(local_port("nonsense"), None);
    }
}
