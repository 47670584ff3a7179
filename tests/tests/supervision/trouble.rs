//! Trouble that passes, and signals: the supervisor goes on where it can and ends where it is told to.

use std::process::Command;

use corecast_tests::server::{Server, binary, limit_files, wait_for};

use super::hook;

#[test]
fn a_server_that_cannot_be_started_just_now_is_started_later() {
    let mut server = Server::start(&["--test-hooks"]);
    // Nothing more can be opened, so that no server can be started; as little as when there is no process left.
    limit_files(server.supervisor_pid(), 3);
    hook(&server, 0, "panic");
    // More often than it would try for a server that never came up.
    wait_for("the trouble in the log", || (server.lines(&["the server cannot be started"]).len() > 1).then_some(()));
    limit_files(server.supervisor_pid(), 1_000);
    wait_for("new work", || server.work("after"));
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn the_first_signal_ends_the_supervisor() {
    for signal in ["SEGV", "BUS"] {
        let mut server = Server::start(&[]);
        server.signal_supervisor(signal);
        assert_eq!(server.exit_code(), None, "by the signal");
        wait_for("free ports", || server.bound_ports().is_empty().then_some(()));
    }
}

#[test]
fn nohup_holds_sighup() {
    let mut server = Server::start_command(Command::new("nohup").arg(binary()), &[]);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let pid = server.pid();
    server.signal_supervisor("HUP");
    // A server that stopped would not take work any longer.
    assert!(server.work("after").is_some());
    assert_eq!(server.pid(), pid);
    assert!(server.lines(&["stopping"]).is_empty());
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn sighup_lets_it_read_its_settings_again_otherwise() {
    // Also where these tests themselves run under nohup.
    let mut server = Server::start_command(Command::new("env").arg("--default-signal=HUP").arg(binary()), &[]);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let pid = server.pid();
    server.signal_supervisor("HUP");
    wait_for("the renewal", || server.lines(&["settings were read again"]).pop());
    assert_eq!(server.pid(), pid, "it goes on");
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
}
