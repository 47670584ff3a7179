//! What a thread of ours may still do once it has what it needs: no new privileges, no capabilities, no files but those
//! that are named, and the system calls that it makes. Each thread confines itself, for all of it is the thread's own.
//!
//! What the kernel cannot do is said and left out: a server without a sandbox is better than none.

mod calls;
mod files;
mod refused;

use corecast_wire::{Io, Sandbox};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

pub use refused::tell as tell_refused;

/// What the supervisor keeps, because the servers that it starts need it until their sockets are open: low ports, large
/// buffers, locked memory; and files of settings that belong to others.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The supervisor: it starts programs, reads settings from anywhere, and parses nothing of strangers.
    Supervisor,
    /// The control plane; whether it connects to other hosts (webhooks, traces, other machines).
    Server {
        /// It does.
        connects: bool,
    },
    /// A worker that has its sockets and is about to make its executor; whether it may listen on TCP later.
    Starting {
        /// It may.
        listens: bool,
    },
    /// A worker that runs. It has been `Starting` before.
    Worker {
        /// Its driver.
        io: Io,
        /// It may listen on TCP.
        listens: bool,
    },
    /// A thread that writes lines, or reads them.
    Aside,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "the supervisor",
            Self::Server { .. } => "the server",
            Self::Starting { .. } => "a worker that starts",
            Self::Worker { .. } => "a worker",
            Self::Aside => "a thread of lines",
        }
    }
}

/// Confines the calling thread, and those that it starts, for ever. Returns what this kernel could not do of it: a
/// sentence each.
#[must_use]
pub fn confine(part: Part, sandbox: Sandbox) -> Vec<String> {
    let mut missing = Vec::new();
    if sandbox == Sandbox::Off {
        return missing;
    }
    if let Err(error) = set_no_new_privs(true) {
        missing.push(format!("the sandbox is off: new privileges cannot be given up: {error}"));
        return missing;
    }
    if sandbox == Sandbox::On && !matches!(part, Part::Worker { .. }) {
        let kept = if part == Part::Supervisor { KEPT } else { CapabilitySet::empty() };
        if let Err(error) = drop_capabilities(kept) {
            missing.push(format!("the sandbox is incomplete: capabilities cannot be dropped: {error}"));
        }
        missing.extend(files::close(part).err());
    }
    refused::catch(part);
    missing.extend(calls::filter(part, sandbox).err());
    missing
}

/// The calling thread has none but these, if it has had them.
fn drop_capabilities(kept: CapabilitySet) -> rustix::io::Result<()> {
    let had = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: had.effective & kept,
            permitted: had.permitted & kept,
            inheritable: had.inheritable & kept,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own: what is given up does not come back.
    fn confined<T: Send + 'static>(part: Part, sandbox: Sandbox, then: impl FnOnce() -> T + Send + 'static) -> T {
        let run = move || {
            assert_eq!(confine(part, sandbox), [""; 0], "this kernel does all of it");
            then()
        };
        std::thread::spawn(run).join().expect("runs")
    }

    fn field(name: &str) -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("is readable");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("has it").trim().to_owned()
    }

    #[test]
    fn a_worker_keeps_nothing_but_what_it_works_with() {
        confined(Part::Starting { listens: false }, Sandbox::On, || {
            assert_eq!(confine(Part::Worker { io: Io::Uring, listens: false }, Sandbox::On), [""; 0]);
            assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".into(), "2".into()));
            assert_eq!(field("CapEff").trim_start_matches('0'), "");
            let refused = |result: std::io::Result<()>| result.expect_err("is refused").raw_os_error();
            assert_eq!(refused(std::fs::read("/etc/hostname").map(drop)), Some(libc::EACCES));
            assert_eq!(refused(std::fs::write("/tmp/corecast-sandbox", "")), Some(libc::EACCES));
            assert_eq!(refused(std::net::TcpStream::connect("127.0.0.1:9").map(drop)), Some(libc::EACCES));
            assert_eq!(refused(std::net::TcpListener::bind("127.0.0.1:0").map(drop)), Some(libc::EACCES));
            assert_eq!(nix::unistd::chroot("/"), Err(nix::errno::Errno::EPERM));
            assert_eq!(refused(std::os::unix::net::UnixStream::connect("/run/x").map(drop)), Some(libc::EPERM));
            std::net::UdpSocket::bind("127.0.0.1:0").expect("its own work goes on");
            std::fs::read("/proc/stat").expect("so does this");
        });
        assert!(refused::count(libc::SYS_chroot) > 0, "it is counted under its number");
    }

    #[test]
    fn a_worker_listens_on_tcp_where_it_is_to() {
        confined(Part::Starting { listens: true }, Sandbox::On, || {
            assert_eq!(confine(Part::Worker { io: Io::Syscalls, listens: true }, Sandbox::On), [""; 0]);
            std::net::TcpListener::bind("127.0.0.1:0").expect("mediasoup's servers do");
            assert!(std::net::TcpStream::connect("127.0.0.1:9").is_err());
        });
    }

    #[test]
    fn a_server_starts_threads_and_no_programs() {
        confined(Part::Server { connects: false }, Sandbox::On, || {
            std::thread::spawn(|| ()).join().expect("a thread");
            std::fs::read("/etc/hostname").expect("for names of hosts");
            assert!(std::fs::write("/tmp/corecast-sandbox", "").is_err());
            assert!(
                std::net::TcpStream::connect("127.0.0.1:9").is_err_and(|it| it.raw_os_error() == Some(libc::EACCES))
            );
        });
        confined(Part::Server { connects: true }, Sandbox::On, || {
            let refused = std::net::TcpStream::connect("127.0.0.1:9").expect_err("nobody is there");
            assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
        });
    }

    #[test]
    fn the_supervisor_starts_programs() {
        confined(Part::Supervisor, Sandbox::On, || {
            assert!(std::process::Command::new("true").status().expect("starts").success());
            assert_eq!(nix::unistd::chroot("/"), Err(nix::errno::Errno::EPERM));
        });
    }

    #[test]
    fn a_log_of_what_would_be_refused_refuses_nothing() {
        confined(Part::Aside, Sandbox::Log, || {
            std::fs::read("/etc/hostname").expect("is there");
            assert_eq!(field("Seccomp"), "2");
        });
        confined(Part::Aside, Sandbox::Off, || std::fs::read("/etc/hostname").expect("is there"));
    }
}
