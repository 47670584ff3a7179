//! Hosts that refuse io_uring, or a part of it (by a filter of system calls, as container runtimes set one), or that
//! give too little memory. What the program makes of each.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use corecast_tests::server::{Server, binary, wait_for};

use super::{ISOLATIONS, workers};

/// `IORING_REGISTER_RESTRICTIONS`, `IORING_REGISTER_FILES2` and `IORING_REGISTER_PBUF_RING`.
const RESTRICTIONS: u32 = 11;
const FILES2: u32 = 13;
const BUFFER_RING: u32 = 22;

/// A system call that is refused, if its second argument is this one, with this error; and what the operator is told.
const REFUSALS: [(libc::c_long, Option<u32>, i32, &str); 10] = [
    (libc::SYS_io_uring_setup, None, libc::EPERM, "seccomp"),
    (libc::SYS_io_uring_setup, None, libc::ENOSYS, "this kernel has none"),
    (libc::SYS_io_uring_setup, None, libc::ENOMEM, "RLIMIT_MEMLOCK"),
    (libc::SYS_io_uring_setup, None, libc::EMFILE, "RLIMIT_NOFILE"),
    (libc::SYS_io_uring_setup, None, libc::EINVAL, "Linux 6.1"),
    (libc::SYS_io_uring_enter, None, libc::EPERM, "seccomp"),
    (libc::SYS_io_uring_register, None, libc::EPERM, "seccomp"),
    // What older kernels have not.
    (libc::SYS_io_uring_register, Some(FILES2), libc::EINVAL, "Linux 6.1"),
    (libc::SYS_io_uring_register, Some(RESTRICTIONS), libc::EINVAL, "Linux 6.1"),
    (libc::SYS_io_uring_register, Some(BUFFER_RING), libc::EINVAL, "Linux 6.1"),
];

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// If what was loaded is this, go on with the next statement, otherwise skip so many.
const fn if_it_is(k: u32, skip: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: skip, k }
}

/// Loads a word of seccomp_data: the number of the system call is at 0, its second argument at 24.
const fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// To the child, and to everything that it starts, this system call fails with this error.
fn refuse(command: &mut Command, call: libc::c_long, argument: Option<u32>, errno: i32) -> &mut Command {
    let ends = [
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let mut filter = vec![load(0), if_it_is(call as u32, if argument.is_some() { 3 } else { 1 })];
    filter.extend(argument.into_iter().flat_map(|argument| [load(24), if_it_is(argument, 1)]));
    filter.extend(ends);
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: a plain prctl with integer arguments.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `program` and the filter that it points to outlive the call; the kernel copies them.
        if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(install) }
}

/// The exit code and the one line of a server that is to use io_uring and cannot.
fn ends(command: &mut Command, isolation: &str) -> (Option<i32>, String) {
    let mut server = Server::start_command(command, &["--io", "uring", "--isolation", isolation]);
    let code = server.exit_code();
    let said = wait_for("the cause", || server.log().pop());
    assert_eq!(server.log().len(), 1, "one line: {:?}", server.log());
    (code, said.1)
}

/// A server that does without: what its worker says about why.
fn does_without(command: &mut Command) -> String {
    let server = Server::start_command(command, &["--io", "auto", "--workers", "1"]);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    assert!(server.work("r").is_some());
    let stats = server.stats();
    assert_eq!(workers(&stats)[0]["io"], "system calls");
    workers(&stats)[0]["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_host_that_refuses_io_uring_has_its_own_exit_code() {
    for isolation in ISOLATIONS {
        let (started_at, mut command) = (Instant::now(), Command::new(binary()));
        let command = refuse(&mut command, libc::SYS_io_uring_setup, None, libc::EPERM);
        assert_eq!(ends(command, isolation).0, Some(4));
        assert!(started_at.elapsed() < Duration::from_secs(1), "it took {:?}", started_at.elapsed());
    }
}

#[test]
fn whatever_of_io_uring_is_refused_there_are_system_calls_and_a_line_that_says_what_to_change() {
    for (call, argument, errno, part) in REFUSALS {
        let (mut first, mut second) = (Command::new(binary()), Command::new(binary()));
        let reason = does_without(refuse(&mut first, call, argument, errno));
        assert!(reason.contains("io_uring is refused") && reason.contains(part), "{call} {argument:?}: {reason}");
        let (code, said) = ends(refuse(&mut second, call, argument, errno), "thread");
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("io_uring is refused") && said.contains(part), "{call} {argument:?}: {said}");
    }
}

#[test]
fn too_little_locked_memory_is_told_and_done_without() {
    for (kib, enough) in [("0", false), ("64", false), ("512", true), ("8192", true)] {
        let limited = || {
            let mut command = Command::new("sh");
            command.args(["-c", "ulimit -l $LOCKED && exec \"$0\" \"$@\""]).arg(binary()).env("LOCKED", kib);
            command
        };
        if enough {
            let server = Server::start_command(&mut limited(), &["--io", "uring", "--workers", "1"]);
            wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
            assert_eq!(workers(&server.stats())[0]["io"], "io_uring", "{kib} KiB");
            continue;
        }
        let reason = does_without(&mut limited());
        assert!(reason.contains("RLIMIT_MEMLOCK"), "{kib} KiB: {reason}");
        let (code, said) = ends(&mut limited(), "process");
        assert!(code == Some(4) && said.contains("RLIMIT_MEMLOCK"), "{kib} KiB: {code:?} {said}");
    }
}

#[test]
fn too_little_memory_ends_with_a_line_or_is_enough() {
    // What each is enough for depends on the C library and the build; that it neither hangs nor panics does not.
    for mib in [128, 256, 512, 1_024, 4_096] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v $MEMORY && exec \"$0\" \"$@\""]).arg(binary());
        command.env("MEMORY", (mib << 10).to_string());
        let mut server = Server::start_command(&mut command, &["--workers", "1"]);
        let is_ready = wait_for("a word", || match server.get("/health") {
            Some((200, _)) => Some(true),
            _ => server.has_ended().then_some(false),
        });
        println!("{mib} MiB: {is_ready} {:?}", server.log().last());
        if is_ready {
            assert!(server.work("r").is_some(), "{mib} MiB");
        } else {
            assert!(matches!(server.exit_code(), Some(1..=127)), "{mib} MiB");
            assert!(!server.log().is_empty(), "{mib} MiB: it says why");
        }
        assert!(server.lines(&["panicked"]).is_empty() && server.lines(&["panic: "]).is_empty(), "{mib} MiB");
    }
}
