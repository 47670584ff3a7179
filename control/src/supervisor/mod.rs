//! The first process: keeps the HTTP listener, starts the server, and restarts it whole when any part of it dies.
//!
//! Single-threaded and small, so that nothing in it can die. Nothing of a dead server is left behind when the next one
//! starts: it is a subreaper, and everything that a server starts is in that server's process group.

mod backoff;
pub(crate) mod fatal;
mod kept;
mod notify;
pub(crate) mod report;
mod run;
pub(crate) mod upgrade;

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corecast_dataplane::sandbox::{self, Part};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{Backlog, listen};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2};

use crate::addresses::Names;
use crate::admin_socket::AdminSocket;
use crate::config::Config;
use crate::settings::AdminListen;
use crate::tls::Identity;
use crate::{exit, logging};
use backoff::Backoff;
use kept::Kept;
use notify::Notify;
use run::{Death, End, Run};

/// Connections that the kernel may hold until they are accepted, as far as `net.core.somaxconn` allows. After a restart
/// everybody comes at once, and one who finds the queue full waits for a second or more.
const BACKLOG: i32 = 4_096;
/// A server before us, or something of it, may not have let go of the address yet.
const LISTEN_LIMIT: Duration = Duration::from_secs(3);
const LISTEN_RETRY: Duration = Duration::from_millis(20);
/// For the workers of a server to prepare themselves while the one before lives.
const PREPARE_LIMIT: Duration = Duration::from_secs(2);
/// What a worker keeps for other things than sockets (256), its sockets of WebRTC, and a few of HTTP.
const MIN_FILES: u64 = 288;

/// Signals that have come, and a socket that can be read when one has. It is one for all of them: poll(2) refuses more
/// sockets than a process may open files.
#[derive(Debug)]
struct Signals {
    came: UnixStream,
    /// SIGTERM: drain.
    drain: Arc<AtomicBool>,
    /// SIGINT.
    stop: Arc<AtomicBool>,
    /// SIGHUP: read the settings again.
    renew: Arc<AtomicBool>,
    /// SIGUSR2: go on as the program that is there now.
    upgrade: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let (came, write) = UnixStream::pair()?;
        came.set_nonblocking(true)?;
        let wake = |signal| signal_hook::low_level::pipe::register(signal, write.try_clone()?);
        let caught = |signal| {
            let flag = Arc::default();
            // First the flag: who is woken finds it.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            wake(signal)?;
            Ok::<_, io::Error>(flag)
        };
        let (drain, stop) = (caught(SIGTERM)?, caught(SIGINT)?);
        wake(SIGCHLD)?;
        // nohup(1) asks for this.
        let renew = if fatal::is_ignored(SIGHUP) { Arc::default() } else { caught(SIGHUP)? };
        let upgrade = caught(SIGUSR2)?;
        Ok(Self { came, drain, stop, renew, upgrade })
    }

    /// Forgets that one has come: to be called before it is looked which.
    fn clear(&self) {
        let (mut came, mut bytes) = (&self.came, [0; 64]);
        while let Ok(1..) = came.read(&mut bytes) {}
    }

    /// Whether this one has come since the last call.
    fn taken(signal: &AtomicBool) -> bool {
        signal.swap(false, Ordering::Relaxed)
    }

    /// Waits; true if told to stop meanwhile.
    fn stop_within(&self, wait: Duration, notify: &mut Notify) -> io::Result<bool> {
        let until = Instant::now() + wait;
        loop {
            notify.keep_alive();
            self.clear();
            if Self::taken(&self.stop) | Self::taken(&self.drain) {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            readable(&[self.came.as_fd()], left.min(notify.interval()))?;
        }
    }
}

/// Waits until one of these can be read, at most for `wait` (and a millisecond).
fn readable(sockets: &[BorrowedFd<'_>], wait: Duration) -> io::Result<()> {
    let mut watched: Vec<_> = sockets.iter().map(|socket| PollFd::new(*socket, PollFlags::POLLIN)).collect();
    let wait_ms = u16::try_from(wait.as_millis()).unwrap_or(u16::MAX - 1).saturating_add(1);
    match poll(&mut watched, PollTimeout::from(wait_ms)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The HTTP listener.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + LISTEN_LIMIT;
    let listener = loop {
        match TcpListener::bind(address) {
            Ok(listener) => break listener,
            Err(error) => {
                let may_pass = match error.kind() {
                    io::ErrorKind::AddrInUse => true,
                    // An IPv6 address may be tentative.
                    io::ErrorKind::AddrNotAvailable => address.is_ipv6(),
                    _ => false,
                };
                if !may_pass || Instant::now() >= until {
                    return Err(error);
                }
                std::thread::sleep(LISTEN_RETRY);
            }
        }
    };
    // std asks for 128; asked again, the kernel takes the new number.
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}

/// The limit of open files, if it is too low for any server.
fn too_few_files() -> Option<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    (hard < MIN_FILES).then_some(hard)
}

/// What servers are started with, and how it is read again.
pub(crate) struct Settings<'a> {
    config: Config,
    identity: Option<Identity>,
    read: &'a dyn Fn() -> Result<(Config, Option<Identity>), String>,
}

impl<'a> Settings<'a> {
    /// `read` reads file, environment, flags and certificate again; its error is a sentence for the operator.
    pub(crate) fn new(
        config: Config,
        identity: Option<Identity>,
        read: &'a dyn Fn() -> Result<(Config, Option<Identity>), String>,
    ) -> Self {
        Self { config, identity, read }
    }

    /// Takes over what can change while a server runs. An error leaves everything as it was.
    fn renew(&mut self) -> Result<(), String> {
        let (new, identity) = (self.read)()?;
        let (config, others) = self.config.renewed(&new);
        if !others.is_empty() {
            let how = "can only be taken over by a new start of corecast, or, but for where it listens, by SIGUSR2";
            tracing::warn!("{} {how}, which calls survive", others.join(", "));
        }
        // One that was made at start is kept; and HTTPS stays on or off.
        if !config.http.tls_self_signed && self.identity.is_some() && identity.is_some() {
            self.identity = identity;
        }
        logging::set_filter(&config.log.filter)?;
        self.config = config;
        Ok(())
    }
}

/// Runs until told to stop, or until it makes no sense to go on.
pub(crate) fn supervise(settings: Settings<'_>) -> ExitCode {
    let config = &settings.config;
    fatal::die_of_faults();
    if let Some(files) = too_few_files() {
        let cure = "raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -Hn)";
        logging::say(&format!("{files} open files are allowed, at least {MIN_FILES} are needed: {cure}"));
        return ExitCode::from(exit::TOO_FEW_FILES);
    }
    let listener = match bind(config.http.listen.0) {
        Ok(listener) => listener,
        Err(error) => {
            logging::say(&format!("cannot listen on http.listen = {}: {error}", config.http.listen));
            return ExitCode::from(exit::CANNOT_LISTEN);
        }
    };
    let port = listener.local_addr().map_or_else(|_| config.http.listen.0.port(), |address| address.port());
    let admin = match AdminSocket::bind(&config.admin.listen, port) {
        Ok(admin) => admin,
        Err(sentence) => {
            logging::say(&sentence);
            return ExitCode::from(exit::CANNOT_LISTEN);
        }
    };
    if admin.is_none() && config.admin.listen == AdminListen::Auto {
        tracing::warn!("there is no folder for a socket of the API for operators: name one by admin.listen");
    }
    let sockets = Sockets { listener, admin };
    let begun = Kept::new(config).and_then(|kept| supervise_on(settings, &sockets, kept, None));
    ended(begun)
}

/// Goes on where the program stopped that this one replaces.
pub(crate) fn take_over(settings: Settings<'_>) -> ExitCode {
    fatal::die_of_faults();
    ended(upgrade::unpack(&settings.config).and_then(|taken| {
        let upgrade::Taken { sockets, kept, run, names } = taken;
        supervise_on(settings, &sockets, kept, Some((run, names)))
    }))
}

fn ended(result: io::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            logging::say(&format!("the supervisor failed: {error}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

/// What servers listen on, one after the other.
#[derive(Debug)]
struct Sockets {
    /// HTTP.
    listener: TcpListener,
    /// The API for operators.
    admin: Option<AdminSocket>,
}

/// `before` is the server of the program before, which still lives, and the names that it has looked up.
fn supervise_on(
    mut settings: Settings<'_>,
    sockets: &Sockets,
    mut kept: Kept,
    before: Option<(Run, Names)>,
) -> io::Result<u8> {
    let program = upgrade::program()?;
    prctl::set_child_subreaper(true)?;
    let sandbox = settings.config.sandbox;
    logging::confine(sandbox);
    for missing in sandbox::confine(Part::Supervisor, sandbox.0) {
        tracing::warn!("{missing}");
    }
    let signals = Signals::catch()?;
    upgrade::hear_signals();
    let mut notify = Notify::new();
    let mut backoff = Backoff::new(settings.config.restart.clone());
    let mut was_ready = before.is_some();
    let (mut before, mut names) = before.map_or_else(Default::default, |(run, names)| (Some(run), names));
    loop {
        let started = match before.take() {
            Some(old) => succeed(old, &settings, sockets, (&names, &mut kept)),
            None => Run::start(&settings, sockets, &names, &mut kept),
        };
        let end = match started {
            Ok(run) => live(run, (&signals, &mut settings), &mut notify, (&program, sockets, &mut names, &mut kept))?,
            // The system has no process or file descriptor left for it just now.
            Err(error) => End::Died(Death::of_start(&error)),
        };
        let death = match end {
            // A program that replaces this one does not come back here.
            End::Asked | End::Replaced => return Ok(exit::STOPPED),
            End::Again(old) => {
                tracing::info!("the server restarts, as an operator wants");
                notify.status("restarting, as asked");
                before = old.map(|old| *old);
                continue;
            }
            End::Died(death) => death,
        };
        was_ready |= death.ready_for.is_some();
        // What does not pass by itself ends a start at once. A server that was there once comes again when it can; but
        // without io_uring it was told to be none.
        if let Some(code) = death.exit.filter(|code| !was_ready || *code == exit::IO_URING_REFUSED) {
            logging::say(&death.cause);
            return Ok(code);
        }
        let Some(wait) = backoff.after_death(Instant::now(), death.ready_for.is_some()) else {
            let attempts = settings.config.restart.attempts;
            logging::say(&format!("the server never came up, {attempts} times in a row: {}", death.cause));
            return Ok(exit::NEVER_CAME_UP);
        };
        let grace = settings.config.failover.grace.0.unwrap_or_default().saturating_sub(death.at.elapsed());
        let wait = wait.max(grace);
        let when = if wait.is_zero() { "now".into() } else { format!("in {:.1} s", wait.as_secs_f32()) };
        tracing::error!("{}; the whole server restarts {when}", death.cause);
        notify.status(&format!("restarting {when}: {}", death.cause));
        if signals.stop_within(wait, &mut notify)? {
            return Ok(exit::STOPPED);
        }
    }
}

/// One life of the server. `names` become those that it has looked up, and `kept` holds what outlives it.
fn live(
    mut run: Run,
    (signals, settings): (&Signals, &mut Settings<'_>),
    notify: &mut Notify,
    (program, sockets, names, kept): (&Path, &Sockets, &mut Names, &mut Kept),
) -> io::Result<End> {
    let end = loop {
        match run.watch(signals, settings, (notify, kept))? {
            End::Replaced => {
                if let Err(why) = upgrade::replace(program, sockets, (&run, run.names().unwrap_or(names)), kept) {
                    tracing::error!("no upgrade: {why}");
                }
            }
            // It goes on until the next one is loaded.
            End::Again(_) if kept.holds_sockets() => {
                if let Some(found) = run.names() {
                    names.clone_from(found);
                }
                return Ok(End::Again(Some(Box::new(run))));
            }
            end => break end,
        }
    };
    run.clean_up(kept);
    if let End::Died(death) = &end {
        kept.server_died(death.ready_for, run.blamed());
    }
    if let Some(found) = run.into_names() {
        *names = found;
    }
    Ok(end)
}

/// The next server in the place of one that lives.
fn succeed(
    mut old: Run,
    settings: &Settings<'_>,
    sockets: &Sockets,
    (names, kept): (&Names, &mut Kept),
) -> io::Result<Run> {
    if !kept.holds_sockets() {
        old.leave(kept);
        return Run::start(settings, sockets, names, kept);
    }
    // While this one is loaded and prepares itself, that one goes on.
    let next = Run::prepare(settings, sockets, names, kept);
    // One that waits for longer than its own server waits for its answer is taken for dead.
    kept.await_workers(PREPARE_LIMIT.min(settings.config.worker.timeout.0 / 2))?;
    old.leave(kept);
    let mut next = next?;
    next.go_on(kept);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_still_taken_is_tried_again() {
        let first = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = first.local_addr().expect("bound");
        let release = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(first);
        });
        assert_eq!(bind(address).expect("binds").local_addr().expect("bound"), address);
        release.join().expect("runs");
    }
}
