//! Starting a worker: pinning, limits, which driver, and telling control what came of it.

use std::os::unix::net::UnixStream;

use corecast_wire::{Event, Io, StartError, WorkerConfig};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::driver::{Driver, MAX_SOCKETS, SocketOptions};
use crate::executor;
use crate::link::Link;
use crate::pump::Pump;

/// File descriptors that a process needs besides media sockets.
const SPARE_FILES: usize = 256;
/// Locked memory that glommio asks for, in bytes.
const MIN_LOCKED_BYTES: u64 = 512 * 1024;
/// `CPU_SETSIZE`.
const MAX_CORES: usize = 1_024;
/// Where a socket is opened to see what the system gives.
const PROBE_IP: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Runs a worker on the calling thread until its link ends.
pub(crate) fn run(link: UnixStream) -> Result<(), StartError> {
    // If the first frame does not come, there is nobody to tell.
    let (mut link, config) = Link::accept(link)?;
    let core = config.core;
    match prepare(&config) {
        Ok(ready) => {
            let mut pump = Pump::new(config, ready.driver, link)
                .map_err(|error| StartError::Other(format!("cannot watch the link: {error}")))?;
            let started = Event::Started { io: ready.io, reason: ready.reason, warnings: ready.warnings };
            pump.link_mut().event(started);
            executor::run(Box::new(pump), ready.io, core)
        }
        Err(error) => {
            link.event(Event::StartFailed(error.clone()));
            link.drain();
            Err(error)
        }
    }
}

struct Ready {
    driver: Driver,
    io: Io,
    reason: String,
    warnings: Vec<String>,
}

fn prepare(config: &WorkerConfig) -> Result<Ready, StartError> {
    pin(config.core)?;
    // Timers as precise as the hardware's: the default slack of 50 us is as long as some of our sleeps.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut warnings = Vec::new();
    let max_sockets = raise_file_limit(config, &mut warnings);
    let options = SocketOptions {
        gro: config.gro,
        recv_buffer_bytes: config.recv_buffer_bytes as usize,
        send_buffer_bytes: config.send_buffer_bytes as usize,
    };
    let (mut driver, io, reason) = choose(config.io, options, max_sockets)?;
    try_buffers(&mut driver, &mut warnings);
    Ok(Ready { driver, io, reason, warnings })
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
    let wanted = usize::from(last.saturating_sub(first)) + 1 + SPARE_FILES;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit < wanted {
        warnings.push(format!(
            "{limit} open files are allowed, and the port range alone may need {wanted}: raise RLIMIT_NOFILE \
             (LimitNOFILE=, ulimit -Hn)"
        ));
    }
    limit.saturating_sub(SPARE_FILES).clamp(1, MAX_SOCKETS)
}

fn choose(io: Io, options: SocketOptions, max_sockets: usize) -> Result<(Driver, Io, String), StartError> {
    let refusal = match io {
        Io::Syscalls => None,
        Io::Auto | Io::Uring => match try_uring(options, max_sockets) {
            Ok(driver) => {
                let asked = if io == Io::Auto { "the host allows it" } else { "as configured" };
                return Ok((driver, Io::Uring, format!("io_uring: {asked}")));
            }
            Err(cause) if io == Io::Uring => return Err(StartError::IoUringRefused(cause)),
            Err(cause) => Some(cause),
        },
    };
    let driver = Driver::syscalls(options, max_sockets)
        .map_err(|error| StartError::Other(format!("cannot create an epoll descriptor: {error}")))?;
    let reason = refusal.map_or_else(
        || "system calls: as configured".into(),
        |cause| format!("system calls, because io_uring is refused: {cause}"),
    );
    Ok((driver, Io::Syscalls, reason))
}

/// Tries io_uring before any executor is built: glommio panics, or ends the process, where it is refused.
fn try_uring(options: SocketOptions, max_sockets: usize) -> Result<Driver, String> {
    raise_locked_memory_limit()?;
    Driver::ring(options, max_sockets).map_err(|error| {
        let hint = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => match disabled_sysctl() {
                Some(value) if value != 0 => return format!("sysctl kernel.io_uring_disabled is {value}: set it to 0"),
                _ => "a seccomp profile or security module forbids it: allow io_uring_setup, io_uring_enter and \
                      io_uring_register"
                    .to_owned(),
            },
            Some(libc::ENOSYS) => "this kernel has none, or a seccomp profile hides it".to_owned(),
            Some(libc::EINVAL) => "this kernel's is too old: Linux 6.1 or later is needed".to_owned(),
            Some(libc::ENOMEM) => {
                "not enough locked memory: raise RLIMIT_MEMLOCK (LimitMEMLOCK=, ulimit -l)".to_owned()
            }
            Some(libc::EMFILE) => "too few open files: raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -n)".to_owned(),
            _ => return error.to_string(),
        };
        format!("{error}; {hint}")
    })
}

fn disabled_sysctl() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// glommio does not start with less.
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

/// Opens and closes a socket, to see whether the system gives the buffers that are wanted.
fn try_buffers(driver: &mut Driver, warnings: &mut Vec<String>) {
    if let Ok(endpoint) = driver.open(PROBE_IP, crate::driver::Port::Given(0)) {
        driver.close(endpoint.id);
    }
    warnings.extend(driver.take_warning());
}
