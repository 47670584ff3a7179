//! What each thread of each process has given up, and that the server lives with it: in every life, in both isolations.

use std::fs;

use corecast_tests::server::{Server, group, kill, wait_for};

use crate::call::Call;
use crate::{ISOLATIONS, hook};

/// What the supervisor keeps for the servers that it starts: CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN
/// and CAP_IPC_LOCK.
const KEPT: u64 = 1 << 2 | 1 << 10 | 1 << 12 | 1 << 14;

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
        let refused = "Err(Os { code: 13, kind: PermissionDenied";
        let told = ["trespassing: ", &format!("a file: {refused}"), &format!("a connection: {refused}"), "Err(EPERM)"];
        wait_for("the refusals", || server.lines(&told).pop());
        wait_for("the call's name", || server.lines(&["the sandbox has refused a worker", "chroot"]).pop());
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
        assert_eq!(server.lines(&["the sandbox has refused"]).len(), 1, "nothing but what was asked for is refused");
    }
}

#[test]
fn a_sandbox_that_only_logs_refuses_nothing_and_one_that_is_off_is_none() {
    for (how, filters) in [("log", "2"), ("off", "0")] {
        let server = Server::start(&["--sandbox", how, "--test-hooks", "true", "--workers", "1"]);
        hook(&server, 0, "trespass");
        let told = ["trespassing: ", "a file: Ok", "ConnectionRefused"];
        wait_for("what it could do", || server.lines(&told).pop());
        let here = of_threads(std::process::id(), "Seccomp").pop().expect("a thread").1;
        if here == "0" {
            assert!(of_threads(server.pid(), "Seccomp").iter().all(|(_, value)| value == filters), "{how}");
        }
        assert!(server.lines(&["the sandbox has refused"]).is_empty());
    }
}
