//! What is measured: something that takes publishers' packets in and sends them to subscribers.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, bail};
use corecast_wire::{Coalesce, Executor, Io, Sandbox, SrtpParameters};

use crate::crypto::Crypto;
use crate::subscribers::Promised;

/// One end that the target is to talk to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it sends from and listens.
    pub address: SocketAddr,
    /// Key of the packets between it and the target; none for plain RTP.
    pub key: Option<SrtpParameters>,
}

/// A stream that is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Who sends it.
    pub peer: Peer,
    /// Pictures rather than sound.
    pub video: bool,
    /// The subscriber that does not get it, because it is its own.
    pub own_of: Option<usize>,
}

/// The publishers and subscribers of a measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// They send stream [`crate::packet::FIRST_SSRC`] plus their index.
    pub publishers: Vec<Published>,
    /// Each gets every publisher's stream but its own.
    pub subscribers: Vec<Peer>,
    /// How packets to subscribers are encrypted.
    pub crypto: Crypto,
    /// So many of those who say how loud they are may be heard; 0: nobody says so, and all are heard.
    pub loudest: u16,
}

impl Plan {
    /// What a subscriber gets: the numbers of the publishers, and what they publish.
    pub fn streams_of(&self, subscriber: usize) -> impl Iterator<Item = (usize, &Published)> {
        self.publishers.iter().enumerate().filter(move |(_, published)| published.own_of != Some(subscriber))
    }
}

/// Where packets go and how they come out.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Where each publisher sends.
    pub publish_to: Vec<SocketAddr>,
    /// Where each subscriber's packets come from; what comes from elsewhere is not ours.
    pub send_from: Vec<SocketAddr>,
    /// What each subscriber gets.
    pub promised: Vec<Vec<Promised>>,
    /// Keys with which subscribers open, if the target has chosen them; otherwise those of the plan.
    pub keys: Vec<Option<SrtpParameters>>,
}

/// What a target has done since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// User and system time of its thread; unknown for a target on another machine.
    pub cpu: Option<Duration>,
    /// Packets that the kernel took from it.
    pub packets_sent: u64,
    /// Sends in which they left.
    pub trains_sent: u64,
    /// Packets that it received.
    pub packets_received: u64,
    /// What it discarded or could not send, by name.
    pub discards: Vec<(String, u64)>,
}

impl Counters {
    /// What was done since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &str| earlier.discards.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
        Self {
            cpu: self.cpu.zip(earlier.cpu).map(|(now, then)| now.saturating_sub(then)),
            packets_sent: self.packets_sent - earlier.packets_sent,
            trains_sent: self.trains_sent - earlier.trains_sent,
            packets_received: self.packets_received - earlier.packets_received,
            discards: (self.discards.iter())
                .map(|(name, packets)| (name.clone(), packets - before(name)))
                .filter(|(_, packets)| *packets > 0)
                .collect(),
        }
    }
}

/// Something to measure.
pub trait Target {
    /// Makes it ready to forward.
    ///
    /// # Errors
    /// It refuses.
    fn connect(&mut self, plan: &Plan) -> anyhow::Result<Route>;

    /// What it has done so far.
    ///
    /// # Errors
    /// It does not answer.
    fn counters(&mut self) -> anyhow::Result<Counters>;
}

/// Most that a packet of sound waits by default, as in the server.
pub const SOUND_WAIT_US: u32 = 5_000;

/// How a worker, or the floor in its place, is to run.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSetup {
    /// CPU to pin to.
    pub core: u32,
    /// Driver.
    pub io: Io,
    /// Executor of the worker; the floor is a plain loop.
    pub executor: Executor,
    /// Whether it waits a moment for more datagrams.
    pub coalesce: Coalesce,
    /// Most that a packet of sound waits for others, in microseconds; 0 for never.
    pub sound_wait_us: u32,
    /// What the worker gives up; the floor gives up nothing.
    pub sandbox: Sandbox,
}

/// This program once more, as a child whose standard input is a link. It dies with us.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Our end of the link.
    link: UnixStream,
}

/// Name of the variable that names the hidden subcommand and our process, so that the child can tell a parent that is
/// gone already.
pub const PARENT_VARIABLE: &str = "CORECAST_BENCH_PARENT";
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

impl Child {
    /// Starts the hidden subcommand `role`.
    ///
    /// # Errors
    /// The program cannot be started again.
    pub fn start(role: &str) -> anyhow::Result<Self> {
        let (link, theirs) = UnixStream::pair()?;
        link.set_read_timeout(Some(ANSWER_WITHIN))?;
        link.set_write_timeout(Some(ANSWER_WITHIN))?;
        let program = program()?;
        let process = Command::new(&program)
            .arg(role)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { process, link })
    }

    /// Hands groups of descriptors over, which the child has to take before anything else.
    ///
    /// # Errors
    /// The child is gone.
    pub fn hand_over(&self, groups: &[Vec<BorrowedFd<'_>>]) -> anyhow::Result<()> {
        Ok(corecast_dataplane::hand_over(&self.link, groups)?)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The child is gone.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = self.link.write_all(bytes);
        sent.map_err(|error| self.explain(&error))
    }

    /// Receives some bytes.
    ///
    /// # Errors
    /// The child is gone or does not answer.
    pub fn receive(&mut self, buffer: &mut [u8]) -> anyhow::Result<usize> {
        match self.link.read(buffer) {
            Ok(0) => Err(self.explain(&std::io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => Ok(count),
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn explain(&mut self, error: &std::io::Error) -> anyhow::Error {
        std::thread::sleep(Duration::from_millis(50));
        match self.process.try_wait() {
            Ok(Some(status)) => anyhow::anyhow!("the measured process has ended: {status}"),
            _ => anyhow::anyhow!("the measured process does not answer: {error}"),
        }
    }
}

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Where corecast-bench is, for callers that are another program (the benches).
pub fn set_program(path: impl Into<PathBuf>) {
    // Set once or not at all: the first caller knows.
    let _ = PROGRAM.set(path.into());
}

fn program() -> anyhow::Result<PathBuf> {
    match PROGRAM.get() {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe().context("where this program is"),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a child does first: it makes sure to die with its parent, and takes its link.
///
/// # Errors
/// It was not started by [`Child::start`].
pub fn child_link() -> anyhow::Result<UnixStream> {
    let Some(parent) = std::env::var(PARENT_VARIABLE).ok().and_then(|text| text.parse().ok()) else {
        bail!("this subcommand is for corecast-bench itself");
    };
    crate::sockets::die_with_parent(parent);
    let link = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
    Ok(UnixStream::from(link))
}
