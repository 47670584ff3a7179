//! Workers come into being here: a thread, or this program again as a child, at the other end of a socket pair.
//!
//! Called from the main thread before a runtime exists: a parent-death signal follows the thread that forked.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use corecast_dataplane::{Ends, Mesh, WaitForKeep, hand_over, take_over};
use corecast_wire::{Maxima, WebRtcConfig, WorkerConfig};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::pool::Spawned;
use crate::addresses::Addresses;
use crate::certificate::Certificate;
use crate::config::Config;
use crate::inherited::Inherited;
use crate::logging;
use crate::settings::{Isolation, SandboxSetting};
use crate::supervisor::fatal;

/// Starts every worker. `report` is where dying processes say why; each takes over what the worker before has left.
pub(crate) fn all(
    config: &Config,
    addresses: &Addresses,
    certificate: &Certificate,
    (report, inherited): (&UnixStream, &mut Inherited),
) -> std::io::Result<Vec<Spawned>> {
    let cores = config.cores().map_err(std::io::Error::other)?;
    let slices = config.port_slices(cores.len()).map_err(std::io::Error::other)?;
    let mesh = mesh(cores.len());
    let mut spawned = Vec::new();
    for ((core, port_range), index) in cores.into_iter().zip(slices).zip(0..) {
        let worker = WorkerConfig {
            index,
            core,
            io: config.io(),
            executor: config.executor.0,
            coalesce: config.coalesce.0,
            gro: config.gro.0,
            huge_pages: config.huge_pages.0,
            sandbox: config.sandbox.0,
            port_range,
            recv_buffer_bytes: config.rtc.recv_buffer_bytes,
            send_buffer_bytes: config.rtc.send_buffer_bytes,
            max_sound_wait_us: u32::try_from(config.sound_wait.0.as_micros()).unwrap_or(u32::MAX),
            max_media_age_ms: u32::try_from(config.limits.media_age.0.as_millis()).unwrap_or(u32::MAX),
            max_packets_per_s: config.limits.packets_per_second,
            data: config.sctp.limits(),
            maxima: Maxima::DEFAULT,
            webrtc: webrtc(config, addresses, certificate, index),
            is_blamed: inherited.is_blamed(index),
            test_hooks: config.test_hooks,
        };
        let (link, theirs) = UnixStream::pair()?;
        let ends = mesh.as_ref().map_or_else(Vec::new, |mesh| mesh.ends_of(index));
        let child = match config.isolation {
            Isolation::Thread => {
                let ends = ends.into_iter().map(|fd| fd.try_clone_to_owned()).collect::<std::io::Result<_>>()?;
                thread(index, core, theirs, (inherited.take_keep(index)?, Ends::of(ends)))?;
                None
            }
            Isolation::Process => {
                let child = process(index, core, theirs, report, config)?;
                let (filters, read) = UnixStream::pair()?;
                filters.set_nonblocking(true)?;
                // A worker that has died by now is told nothing; that it has is seen by the end of its link.
                let _ = hand_over(&link, &inherited.groups_of(index));
                let _ = hand_over(&link, &[vec![read.as_fd()], ends]);
                Some((child, filters))
            }
        };
        let (child, filters) = child.unzip();
        spawned.push(Spawned { config: worker, link, child, filters });
    }
    Ok(spawned)
}

/// What joins so many workers. Without it they work as well, and no room grows beyond one of them.
fn mesh(workers: usize) -> Option<Mesh> {
    let mesh = u32::try_from(workers).map_err(std::io::Error::other).and_then(Mesh::new);
    mesh.inspect_err(|error| tracing::error!("rooms will not grow beyond a worker: {error}")).ok()
}

/// Where a worker listens for WebRTC: the base port and its own number.
fn webrtc(config: &Config, addresses: &Addresses, certificate: &Certificate, index: u32) -> Option<WebRtcConfig> {
    let port = config.rtc.webrtc_port(index)?;
    Some(WebRtcConfig {
        listen: addresses.webrtc_ips().into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        tcp: config.rtc.tcp,
        certificate: certificate.der.clone(),
        private_key: certificate.private_key.clone(),
        dtls_versions: config.dtls.versions.0,
        consent_timeout_ms: u32::try_from(config.rtc.consent_timeout.0.as_millis()).unwrap_or(u32::MAX),
    })
}

fn thread(index: u32, core: u32, link: UnixStream, (keep, ends): (Option<WaitForKeep>, Ends)) -> std::io::Result<()> {
    let run = move || {
        fatal::identify(index, core);
        // The worker has told over the link what it could not do, and the end of the link is the sign of its death.
        if let Err(error) = corecast_dataplane::run_among(link, ends, keep) {
            tracing::debug!("worker {index} did not start: {error}");
        }
    };
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(run).map(drop)
}

fn process(
    index: u32,
    core: u32,
    link: UnixStream,
    report: &UnixStream,
    config: &Config,
) -> std::io::Result<std::process::Child> {
    let (log, sandbox) = (&config.log, config.sandbox);
    Command::new("/proc/self/exe")
        .arg0("corecast")
        .args(["worker", "--parent", &std::process::id().to_string()])
        .args(["--index", &index.to_string(), "--core", &core.to_string()])
        .args(["--filter", &log.filter, "--format", &log.format.to_string()])
        .args(["--sandbox", &sandbox.to_string()])
        .stdin(Stdio::from(OwnedFd::from(link)))
        .stdout(Stdio::from(report.as_fd().try_clone_to_owned()?))
        .spawn()
}

/// The role of a worker process: its link is standard input, and standard output takes its last words.
pub(crate) fn run_worker(parent: i32, index: u32, core: u32, sandbox: SandboxSetting) -> ExitCode {
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        die_with(parent)?;
        fatal::install(libc::STDOUT_FILENO)?;
        fatal::identify(index, core);
        logging::confine(sandbox);
        let link = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let keep = Inherited::of(take_over(&link)?).take_keep(index)?;
        let mut more = take_over(&link)?.into_iter();
        if let Some(filters) = more.next().and_then(|group| group.into_iter().next()) {
            std::thread::Builder::new().name("filters".into()).spawn(move || take_filters(filters.into(), sandbox))?;
        }
        Ok(corecast_dataplane::run_among(link, Ends::of(more.next().unwrap_or_default()), keep)?)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::debug!("worker {index} did not start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs by each filter that the server tells, a line each, until the server has gone.
fn take_filters(told: UnixStream, sandbox: SandboxSetting) {
    logging::confine_reader(sandbox);
    for filter in BufReader::new(told).lines().map_while(Result::ok) {
        // The server has read it before.
        let _ = logging::set_filter(&filter);
    }
}

/// This process shall not outlive its parent. To be called from its main thread.
pub(crate) fn die_with(parent: i32) -> std::io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the signal was asked for.
    if nix::unistd::getppid().as_raw() != parent {
        return Err(std::io::Error::other("the process that started this one has gone"));
    }
    Ok(())
}
