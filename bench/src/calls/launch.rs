//! A server of our own: the `corecast` that was built beside this program, on ports of its own, with limits that do not
//! stand in the way of a load from one address.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use corecast_wire::{Coalesce, Io};

use crate::http::Server;
use crate::site::Site;
use crate::target::PARENT_VARIABLE;

/// Where the program is, if it is not beside this one.
const PROGRAM_VARIABLE: &str = "CORECAST_BIN";
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Above what the system draws free ports from (`ip_local_port_range`, by default 32768 to 60999).
const PLAIN_PORTS: &str = "61000-64999";
const OUR_PORTS: RangeInclusive<u16> = 65_000..=65_500;
const SOCKET_BUFFER_BYTES: &str = "8388608";

/// A running server. It ends with this value, and with this process.
#[derive(Debug)]
pub struct Launched {
    supervisor: Child,
    /// Its HTTP API.
    site: Site,
}

fn program() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os(PROGRAM_VARIABLE) {
        Some(path) => path.into(),
        None => std::env::current_exe().context("where this program is")?.with_file_name("corecast"),
    };
    ensure!(
        path.exists(),
        "{} is missing: build it (cargo build --release), set {PROGRAM_VARIABLE}, or give --target",
        path.display()
    );
    Ok(path)
}

/// Two ports that are free for both TCP and UDP: for HTTP and for WebRTC. No client gets one of [`OUR_PORTS`] in the
/// meantime, as the system never draws them.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let is_free = |port: &u16| {
        let here = (Ipv4Addr::LOCALHOST, *port);
        TcpListener::bind(here).is_ok() && UdpSocket::bind(here).is_ok()
    };
    let mut free = OUR_PORTS.filter(is_free);
    let (Some(http), Some(webrtc)) = (free.next(), free.next()) else {
        bail!("of the ports {} to {} no two are free for both TCP and UDP", OUR_PORTS.start(), OUR_PORTS.end());
    };
    Ok((http, webrtc))
}

impl Launched {
    /// Starts it with one worker on `core`, and waits until it answers. Call this before the calling thread is pinned:
    /// a child may run where its parent may.
    ///
    /// # Errors
    /// There is no such program, or it does not start.
    pub fn start(core: u32, io: Io, coalesce: Coalesce) -> anyhow::Result<Self> {
        Self::start_with(core, io, coalesce, &[])
    }

    /// The same with further flags, each with its value, also in the place of ours.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_with(core: u32, io: Io, coalesce: Coalesce, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        let program = program()?;
        let (http_port, webrtc_port) = free_ports()?;
        let (listen, core) = (format!("127.0.0.1:{http_port}"), format!("[{core}]"));
        let (webrtc, coalesce) = (webrtc_port.to_string(), coalesce_name(coalesce));
        let flags = [
            ("--config", "/dev/null"),
            ("--http-listen", &listen),
            ("--admin-listen", "off"),
            ("--workers", &core),
            ("--io", crate::args::io_name(io)),
            ("--coalesce", &coalesce),
            ("--rtc-listen-ips", "127.0.0.1"),
            ("--rtc-webrtc-port", &webrtc),
            ("--rtc-port-range", PLAIN_PORTS),
            ("--rtc-recv-buffer-bytes", SOCKET_BUFFER_BYTES),
            ("--rtc-send-buffer-bytes", SOCKET_BUFFER_BYTES),
            ("--limits-packets-per-second", "1000000"),
            ("--limits-sessions-per-second", "0"),
            ("--limits-sessions-per-second-per-ip", "0"),
            ("--limits-sessions-per-ip", "0"),
            ("--limits-connections-per-ip", "0"),
            ("--log", "warn"),
        ];
        let is_given = |flag: &str| more.iter().any(|(given, _)| *given == flag);
        let site = Site::at(&format!("http://{listen}"))?;
        let supervisor = Command::new(std::env::current_exe()?)
            .arg("__exec")
            .arg(&program)
            .args(flags.iter().filter(|(flag, _)| !is_given(flag)).chain(more).flat_map(|(flag, value)| [flag, value]))
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .stdin(Stdio::null())
            // Our standard output is for results. The server's complaints go where ours go.
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut this = Self { supervisor, site };
        this.wait()?;
        Ok(this)
    }

    /// Its HTTP API.
    #[must_use]
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Process of its supervisor.
    #[must_use]
    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// Resident memory of all its processes, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        self.held().map(|held| held.resident_bytes)
    }

    /// What all its processes hold; none if it has ended.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        held(self.supervisor.id())
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.supervisor.try_wait()? {
                bail!("the server has ended at once: {status}");
            }
            match Server::reach(&self.site) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error.context("the server does not start")),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// What processes hold. Pages that several share count for each.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// User and system time since they were started.
    pub cpu: Duration,
}

/// User and system time of a process, to the hundredth of a second in which Linux counts it (proc(5),
/// `/proc/pid/stat`).
fn cpu_time(pid: u32) -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    const USER_AND_SYSTEM: std::ops::Range<usize> = 11..13;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may hold anything.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let ticks = fields.get(USER_AND_SYSTEM)?.iter().map(|field| field.parse::<u32>().ok());
    Some(TICK * ticks.sum::<Option<u32>>()?)
}

/// What a process holds with all that it has started.
fn held(pid: u32) -> Option<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let own = line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().collect();
    let mut all = Held { resident_bytes: own, descriptors, threads: threads.len(), cpu: cpu_time(pid)? };
    let children = threads.iter().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    for child in children.into_iter().filter_map(held) {
        all.resident_bytes += child.resident_bytes;
        all.descriptors += child.descriptors;
        all.threads += child.threads;
        all.cpu += child.cpu;
    }
    Some(all)
}

fn coalesce_name(coalesce: Coalesce) -> String {
    match coalesce {
        Coalesce::Auto => "auto".into(),
        Coalesce::Off => "off".into(),
        Coalesce::Fixed(microseconds) => microseconds.to_string(),
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // Both fail only if it has ended already. What is below it goes with it.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// The hidden subcommand that becomes the server, so that it dies with us however we end.
///
/// # Errors
/// It cannot be started.
pub fn become_program(arguments: &[String]) -> anyhow::Result<()> {
    let parent = std::env::var(PARENT_VARIABLE).ok().and_then(|text| text.parse().ok());
    let (Some(parent), [program, arguments @ ..]) = (parent, arguments) else {
        bail!("this subcommand is for corecast-bench itself");
    };
    crate::sockets::die_with_parent(parent);
    Err(Command::new(program).args(arguments).env_remove(PARENT_VARIABLE).exec().into())
}
