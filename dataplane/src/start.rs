//! Starting a worker: pinning, limits, the choice of a driver, and telling control the outcome.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use corecast_core::{Endpoint, Words, gather_randomness};
use corecast_wire::{Event, Executor, Io, Record, SocketSettings, StartError, WebRtcConfig, WorkerConfig};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::control::Control;
use crate::driver::{Driver, DriverOptions, MAX_CONNECTIONS, MAX_SOCKETS, OpenError, Port, SocketOptions};
use crate::executor::{self, Runner};
use crate::keep::{Keep, Kept, WaitForKeep};
use crate::link::Link;
use crate::mesh::Ends;
use crate::pump::Pump;
use crate::sandbox::{self, Part};

/// File descriptors that a process needs besides media sockets.
const SPARE_FILES: usize = 256;
/// Locked memory that glommio asks for, in bytes.
const MIN_LOCKED_BYTES: u64 = 512 * 1024;
/// Which cores there are.
const CORES: &str = "/sys/devices/system/cpu/online";
/// `CPU_SETSIZE`.
const MAX_CORES: usize = 1_024;
/// How long an earlier worker may still hold a port (the kernel takes an io_uring apart, and releases its sockets,
/// after the end of its process), and an IPv6 address may be tentative (RFC 4862 section 5.4).
const BIND_TIME: Duration = Duration::from_secs(3);
const BIND_INTERVAL: Duration = Duration::from_millis(20);
/// Address of the socket that is opened to see which buffers the system gives.
const PROBE_IP: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Runs a worker on the calling thread until its link ends. If the worker before left something in what is kept, this
/// one goes on with that one's calls.
pub(crate) fn run(link: UnixStream, keep: Option<WaitForKeep>, ends: Option<Ends>) -> Result<(), StartError> {
    // While control prepares what it has to say.
    gather_randomness();
    // If the first frame does not come, there is no control to tell.
    let (link, config) = Link::accept(link)?;
    run_with(config, Box::new(link), keep, ends)
}

/// Runs a worker on the calling thread until the one that commands it ends it.
pub(crate) fn run_with(
    config: WorkerConfig,
    mut control: Box<dyn Control>,
    keep: Option<WaitForKeep>,
    ends: Option<Ends>,
) -> Result<(), StartError> {
    match prepare(&config, &*control, keep, ends) {
        Ok(Ready { driver, webrtc, runner, io, reason, warnings, kept }) => {
            control.tell(Event::Started { io, reason, warnings });
            let (kept, records) =
                kept.map_or((None, Vec::new()), |(kept, words, records)| (Some((kept, words)), records));
            let mut pump = Box::new(Pump::new(config, driver, control, &webrtc, kept));
            pump.take_over(&records);
            executor::run(runner, pump)
        }
        Err(error) => {
            control.tell(Event::StartFailed(error.clone()));
            control.drain();
            Err(error)
        }
    }
}

struct Ready {
    driver: Driver,
    webrtc: Vec<Endpoint>,
    runner: Runner,
    io: Io,
    reason: String,
    warnings: Vec<String>,
    kept: Option<(Kept, Words, Vec<Record>)>,
}

fn prepare(
    config: &WorkerConfig,
    control: &dyn Control,
    keep: Option<WaitForKeep>,
    ends: Option<Ends>,
) -> Result<Ready, StartError> {
    pin(config.core)?;
    // Timers as precise as the hardware's: the default slack of 50 us is as long as some of our sleeps.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut warnings = Vec::new();
    let max_sockets = raise_file_limit(config, &mut warnings);
    let sockets = SocketOptions {
        gro: config.gro,
        recv_buffer_bytes: config.recv_buffer_bytes as usize,
        send_buffer_bytes: config.send_buffer_bytes as usize,
        reuse_port: false,
        dual_stack: false,
    };
    let options = DriverOptions { sockets, max_sockets, huge_pages: config.huge_pages };
    let (mut driver, io, reason) = choose(config, options)?;
    driver.watch_link(control.fd()).map_err(|error| StartError::Other(format!("cannot watch the link: {error}")))?;
    let joined = ends.map_or(Ok(()), |ends| driver.join(config.index, ends));
    joined.map_err(|error| StartError::Other(format!("cannot be joined to the other workers: {error}")))?;
    // All is prepared that does not need the end of the worker before.
    let kept = keep.map(|wait| open_kept(&mut driver, wait()?)).transpose();
    let kept = kept.map_err(|error| StartError::Other(format!("what is kept cannot be used: {error}")))?;
    let webrtc = config.webrtc.as_ref().map_or(Ok(Vec::new()), |webrtc| open_webrtc(&mut driver, webrtc))?;
    // All that needs a privilege is done. The executor has threads of its own, which are not to have more.
    let listens = opens_servers(config);
    warnings.extend(sandbox::confine(Part::Starting { listens }, config.sandbox));
    try_buffers(&mut driver, &mut warnings);
    let runner = executor::make(config.executor, io, config.core)?;
    warnings.extend(sandbox::confine(Part::Worker { io, listens }, config.sandbox));
    warnings.dedup();
    Ok(Ready { driver, webrtc, runner, io, reason, warnings, kept })
}

/// Whether sockets for WebRTC are opened while it runs, and not before: mediasoup's servers, of which some are on TCP.
fn opens_servers(config: &WorkerConfig) -> bool {
    config.webrtc.as_ref().is_some_and(|webrtc| webrtc.listen.is_empty())
}

fn pin(core: u32) -> Result<(), StartError> {
    // A CPU set holds no more, and core_affinity panics on a number beyond.
    let id = usize::try_from(core).ok().filter(|id| *id < MAX_CORES);
    let pinned = id.is_some_and(|id| core_affinity::set_for_current(core_affinity::CoreId { id }));
    if pinned { Ok(()) } else { Err(StartError::Other(format!("cannot run on core {core}: is it there and allowed?"))) }
}

/// How many sockets the worker may hold.
fn raise_file_limit(config: &WorkerConfig, warnings: &mut Vec<String>) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return MAX_SOCKETS };
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let (first, last) = config.port_range;
    let webrtc = config.webrtc.as_ref().map_or(0, |webrtc| {
        let (sockets, connections) = if webrtc.tcp { (2, MAX_CONNECTIONS) } else { (1, 0) };
        webrtc.listen.len() * sockets + connections
    });
    let wanted = usize::from(last.saturating_sub(first)) + 1 + webrtc + SPARE_FILES;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit < wanted {
        warnings.push(format!(
            "{limit} open files are allowed, and the port range and TCP connections alone may need {wanted}: raise \
             RLIMIT_NOFILE (LimitNOFILE=, ulimit -Hn)"
        ));
    }
    limit.saturating_sub(SPARE_FILES).clamp(1, MAX_SOCKETS)
}

fn choose(config: &WorkerConfig, options: DriverOptions) -> Result<(Driver, Io, String), StartError> {
    let refusal = match config.io {
        Io::Syscalls => None,
        Io::Auto | Io::Uring => match try_uring(config.executor, options) {
            Ok(driver) => {
                let asked = if config.io == Io::Auto { "the host allows it" } else { "as configured" };
                return Ok((driver, Io::Uring, format!("io_uring: {asked}")));
            }
            Err(cause) if config.io == Io::Uring => return Err(StartError::IoUringRefused(cause)),
            Err(cause) => Some(cause),
        },
    };
    let driver = Driver::syscalls(options)
        .map_err(|error| StartError::Other(format!("cannot make a driver over system calls: {error}")))?;
    let reason = refusal.map_or_else(
        || "system calls: as configured".into(),
        |cause| format!("system calls, because io_uring is refused: {cause}"),
    );
    Ok((driver, Io::Syscalls, reason))
}

/// Tries io_uring before any executor is built: glommio panics, or ends the process, where it is refused.
fn try_uring(executor: Executor, options: DriverOptions) -> Result<Driver, String> {
    if executor == Executor::Glommio {
        raise_locked_memory_limit()?;
        knows_cores(Path::new(CORES))?;
    }
    Driver::ring(options).map_err(|error| explain(&error, disabled_sysctl()))
}

/// glommio reads there which cores there are, and panics where it cannot.
fn knows_cores(file: &Path) -> Result<(), String> {
    let read = std::fs::read_to_string(file).map(drop);
    read.map_err(|error| {
        format!("{}: {error}; mount /sys, or set executor = \"thread\", which does not read it", file.display())
    })
}

/// Says what the operator should do about a refusal. `disabled` is the value of `kernel.io_uring_disabled`.
fn explain(error: &std::io::Error, disabled: Option<u32>) -> String {
    let hint = match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM | libc::EACCES), Some(value)) if value != 0 => {
            return format!("sysctl kernel.io_uring_disabled is {value}: set it to 0");
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "a seccomp profile or a security module forbids it: allow io_uring_setup, io_uring_enter and \
             io_uring_register"
        }
        (Some(libc::ENOSYS), _) => "this kernel has none, or a seccomp profile hides it",
        (Some(libc::EINVAL), _) => "this kernel's is too old: Linux 6.1 or later is needed",
        (Some(libc::ENOMEM), _) => "not enough locked memory: raise RLIMIT_MEMLOCK (LimitMEMLOCK=, ulimit -l)",
        (Some(libc::EMFILE), _) => "too few open files: raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -n)",
        _ => return error.to_string(),
    };
    format!("{error}; {hint}")
}

fn disabled_sysctl() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// Raises the limit of locked memory, because glommio does not start with less.
fn raise_locked_memory_limit() -> Result<(), String> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return Ok(()) };
    let limit = if setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_ok() { hard } else { soft };
    if limit >= MIN_LOCKED_BYTES {
        return Ok(());
    }
    Err(format!(
        "{limit} bytes of locked memory are allowed, {MIN_LOCKED_BYTES} are needed: raise RLIMIT_MEMLOCK \
         (LimitMEMLOCK=, ulimit -l)"
    ))
}

/// What the worker before left, where this one keeps the same, and the sockets at whose addresses it may listen.
fn open_kept(driver: &mut Driver, keep: Keep) -> std::io::Result<(Kept, Words, Vec<Record>)> {
    let (memory, sockets, keeper) = keep.into_parts();
    driver.inherit(sockets, keeper)?;
    let (kept, (left, records)) = Kept::open(memory)?;
    let words = kept.words()?.following([left]);
    Ok((kept, words, records))
}

/// Opens the sockets that all WebRTC transports share.
fn open_webrtc(driver: &mut Driver, config: &WebRtcConfig) -> Result<Vec<Endpoint>, StartError> {
    let mut opened = Vec::new();
    for address in &config.listen {
        let endpoint =
            retry_bind(|| driver.open_shared(address.ip(), Port::Given(address.port()), SocketSettings::default()))
                .map_err(|error| cannot_listen("UDP", &error))?;
        opened.push(endpoint);
        if config.tcp {
            retry_bind(|| driver.listen(endpoint.local)).map_err(|error| cannot_listen("TCP", &error))?;
        }
    }
    Ok(opened)
}

/// Tries again for a while if the error may pass.
fn retry_bind<T>(mut open: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let end = Instant::now() + BIND_TIME;
    // A port may be a predecessor's still, and an IPv6 address may be tentative; an IPv4 address is there or is not.
    let may_pass = |error: &OpenError| match error {
        OpenError::Refused { address, cause } => match cause.raw_os_error() {
            Some(libc::EADDRINUSE) => true,
            Some(libc::EADDRNOTAVAIL) => address.is_ipv6(),
            _ => false,
        },
        OpenError::RangeExhausted { .. } => false,
    };
    loop {
        let done = open();
        if Instant::now() >= end || !done.as_ref().is_err_and(may_pass) {
            return done;
        }
        std::thread::sleep(BIND_INTERVAL);
    }
}

fn errno(error: &OpenError) -> Option<i32> {
    match error {
        OpenError::Refused { cause, .. } => cause.raw_os_error(),
        OpenError::RangeExhausted { .. } => None,
    }
}

/// An error that says what the operator should do about an address that cannot be bound.
fn cannot_listen(protocol: &str, error: &OpenError) -> StartError {
    let hint = match errno(error) {
        Some(libc::EADDRINUSE) => "; another program has this port: choose another rtc.webrtc_port",
        Some(libc::EADDRNOTAVAIL) => "; this host does not have this address: correct rtc.listen_ips",
        Some(libc::EAFNOSUPPORT) => "; this host has no such addresses: correct rtc.listen_ips",
        Some(libc::EACCES) => "; only CAP_NET_BIND_SERVICE may have this port: choose a higher rtc.webrtc_port",
        _ => "",
    };
    StartError::CannotListen(format!("WebRTC over {protocol}: {error}{hint}"))
}

/// Checks whether the system gives the socket buffers that are wanted. WebRTC's sockets have the largest; if there are
/// none, a socket is opened for the check.
fn try_buffers(driver: &mut Driver, warnings: &mut Vec<String>) {
    let mut warning = driver.take_warning();
    if warning.is_none() {
        if let Ok(endpoint) = driver.open(PROBE_IP, Port::Given(0), SocketSettings::default()) {
            driver.close(endpoint.id);
        }
        warning = driver.take_warning();
    }
    warnings.extend(warning);
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use corecast_wire::HugePages;

    use super::*;

    #[test]
    fn a_refusal_names_what_the_operator_should_change() {
        let said = |errno, disabled| explain(&Error::from_raw_os_error(errno), disabled);
        assert!(said(libc::EPERM, Some(2)).contains("kernel.io_uring_disabled is 2"));
        assert!(said(libc::EPERM, Some(0)).contains("seccomp"));
        assert!(said(libc::EPERM, None).contains("seccomp"));
        assert!(said(libc::ENOSYS, Some(0)).contains("seccomp"));
        assert!(said(libc::ENOMEM, Some(0)).contains("RLIMIT_MEMLOCK"));
        assert!(said(libc::EINVAL, Some(0)).contains("6.1"));
    }

    #[test]
    fn without_sys_glommio_is_not_tried() {
        knows_cores(Path::new(CORES)).expect("it is mounted here");
        let said = knows_cores(Path::new("/nonexistent/online")).expect_err("there is none");
        assert!(said.contains("mount /sys") && said.contains("executor"), "{said}");
    }

    #[test]
    fn a_port_range_that_no_limit_can_hold_is_warned_of() {
        let mut warnings = Vec::new();
        let config = crate::tests::config();
        let max = raise_file_limit(&config, &mut warnings);
        assert!((1..=MAX_SOCKETS).contains(&max));
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
        let wide = WorkerConfig { port_range: (1, u16::MAX), ..config };
        raise_file_limit(&wide, &mut warnings);
        assert_eq!(warnings.is_empty(), hard >= 65_535 + SPARE_FILES as u64, "{warnings:?}");
    }

    #[test]
    fn buffers_that_the_system_does_not_give_are_warned_of() {
        let sockets = SocketOptions {
            gro: true,
            recv_buffer_bytes: 1 << 30,
            send_buffer_bytes: 1 << 16,
            reuse_port: false,
            dual_stack: false,
        };
        let options = DriverOptions { sockets, max_sockets: 16, huge_pages: HugePages::Off };
        let mut driver = Driver::syscalls(options).expect("epoll");
        let mut warnings = Vec::new();
        try_buffers(&mut driver, &mut warnings);
        // With CAP_NET_ADMIN the system gives what is asked for.
        assert!(warnings.len() <= 1 && warnings.iter().all(|it| it.contains("net.core.rmem_max")), "{warnings:?}");
    }
}
