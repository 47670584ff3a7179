//! What each thread of each process has given up, and that the server lives with it: in every life, in both isolations.

use std::fs;

use corecast_tests::server::{Server, group, kill, wait_for};

use crate::call::Call;
use crate::{ISOLATIONS, hook};

/// What the supervisor keeps for the servers that it starts: CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN
/// and CAP_IPC_LOCK.
const KEPT: u64 = 1 << 2 | 1 << 10 | 1 << 12 | 1 << 14;

/// What a worker tries that is told to trespass, and the error that it gets: Landlock's or seccomp's.
const TRESPASSES: [(&str, i32); 11] = [
    ("reads a file", libc::EACCES),
    ("writes a file", libc::EACCES),
    ("connects", libc::EACCES),
    ("binds a TCP port", libc::EACCES),
    ("listens", libc::EPERM),
    ("makes a local socket", libc::EPERM),
    ("runs a program", libc::EPERM),
    ("traces a process", libc::EPERM),
    ("signals its parent", libc::EPERM),
    ("makes a ring", libc::EPERM),
    ("changes its root", libc::EPERM),
];
/// What the log names of it.
const REFUSED_CALLS: [&str; 7] = ["listen", "socketpair", "execve", "ptrace", "kill", "io_uring_setup", "chroot"];

/// A field of what the kernel says of each thread of a process, behind the thread's name.
fn of_threads(pid: u32, field: &str) -> Vec<(String, String)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
    let value = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("is told").trim().to_owned()
    };
    statuses.map(|status| (value(&status, "Name"), value(&status, field))).collect()
}

/// Every thread of this process has given up what it should.
fn assert_confined(pid: u32, kept: u64) {
    for (field, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let others: Vec<_> = of_threads(pid, field).into_iter().filter(|(_, value)| value != wanted).collect();
        assert!(others.is_empty(), "{field} of process {pid}: {others:?}");
    }
    for field in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        for (thread, value) in of_threads(pid, field) {
            let has = u64::from_str_radix(&value, 16).expect("a set");
            assert_eq!(has & !kept, 0, "{field} of {thread} in process {pid}");
        }
    }
}

fn assert_all_confined(server: &Server, isolation: &str) {
    assert_confined(server.supervisor_pid(), KEPT);
    let main = server.pid();
    let all = group(main);
    let workers = server.stats()["workers"].as_array().map_or(0, Vec::len);
    assert_eq!(all.len(), if isolation == "process" { 1 + workers } else { 1 }, "{all:?}");
    all.into_iter().for_each(|pid| assert_confined(pid, 0));
}

#[test]
fn every_thread_is_confined_in_every_life() {
    for isolation in ISOLATIONS {
        let server = Server::start(&["--isolation", isolation, "--test-hooks", "true", "--worker-heartbeat", "200ms"]);
        let mut call = Call::begin(&server, "call");
        assert!(!server.lines(&["sandbox  on"]).is_empty());
        assert!(server.lines(&["sandbox is incomplete"]).is_empty(), "this kernel does all of it");
        assert_all_confined(&server, isolation);
        // A worker that does what none does is refused, and the log says what.
        let first = server.pid();
        hook(&server, 0, "trespass");
        for (what, errno) in TRESPASSES {
            let told = [format!("trespassing: {what}: "), format!("(os error {errno})")];
            wait_for(what, || server.lines(&told.each_ref().map(String::as_str)).pop());
        }
        for call in REFUSED_CALLS {
            let told = ["the sandbox has refused a worker", &format!("the system call {call} (")];
            wait_for(call, || server.lines(&told).pop());
        }
        call.goes_on();
        assert_eq!(server.pid(), first);
        // The next server, and the next program.
        kill("KILL", first);
        wait_for("another server", || Some(server.json("GET", "/stats", "")?["pid"] != first).filter(|is_new| *is_new));
        call.goes_on();
        assert_all_confined(&server, isolation);
        let second = server.pid();
        server.signal_supervisor("USR2");
        wait_for("another server", || {
            Some(server.json("GET", "/stats", "")?["pid"] != second).filter(|is_new| *is_new)
        });
        call.goes_on();
        assert_all_confined(&server, isolation);
        let refused = server.lines(&["the sandbox has refused"]).len();
        assert_eq!(refused, REFUSED_CALLS.len(), "nothing but what was asked for is refused");
    }
}

#[test]
fn a_sandbox_that_only_logs_refuses_nothing_and_one_that_is_off_is_none() {
    for (how, filters) in [("log", "2"), ("off", "0")] {
        let server = Server::start(&["--sandbox", how, "--test-hooks", "true", "--workers", "1"]);
        hook(&server, 0, "trespass");
        for (what, result) in [
            ("reads a file", "done"),
            ("writes a file", "done"),
            ("connects", "Connection refused"),
            ("binds a TCP port", "done"),
            ("listens", "done"),
            ("makes a local socket", "done"),
            ("runs a program", "No such file"),
            ("traces a process", "No such process"),
            ("signals its parent", "done"),
        ] {
            wait_for(what, || server.lines(&[&format!("trespassing: {what}: {result}")]).pop());
        }
        let here = of_threads(std::process::id(), "Seccomp").pop().expect("a thread").1;
        if here == "0" {
            assert!(of_threads(server.pid(), "Seccomp").iter().all(|(_, value)| value == filters), "{how}");
        }
        assert!(server.lines(&["the sandbox has refused"]).is_empty());
    }
}
