//! What no worker does, tried for a test that asks whether the sandbox refuses it. Where nothing refuses, nothing comes
//! of it: what is run is not there, and what is changed stays as it was.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socket};
use nix::sys::{ptrace, signal};
use nix::unistd::{Pid, chroot, execv, getppid};

/// Tries each, and logs what has come of it.
pub(crate) fn trespass() {
    let tried: [(&str, io::Result<()>); 11] = [
        ("reads a file", File::open("/etc/hostname").map(drop)),
        ("writes a file", OpenOptions::new().write(true).open("/dev/null").map(drop)),
        ("connects", TcpStream::connect("127.0.0.1:9").map(drop)),
        ("binds a TCP port", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("listens", listens().map_err(io::Error::from)),
        ("makes a local socket", UnixStream::pair().map(drop)),
        ("runs a program", execv(c"/corecast/none", &[c"none"]).map(drop).map_err(io::Error::from)),
        ("traces a process", ptrace::attach(Pid::from_raw(i32::MAX)).map_err(io::Error::from)),
        ("signals its parent", signal::kill(getppid(), None).map_err(io::Error::from)),
        ("makes a ring", io_uring::IoUring::new(2).map(drop)),
        ("changes its root", chroot("/").map_err(io::Error::from)),
    ];
    for (what, result) in tried {
        let result = result.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        tracing::warn!("trespassing: {what}: {result}");
    }
}

/// On a port of the system's choice: without a bind, of which the system may be told who may.
fn listens() -> Result<(), Errno> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    listen(&socket, Backlog::new(1)?)
}
