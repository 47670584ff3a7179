//! A log that cannot be written, or that nobody reads, ends and stops nothing.

use std::fs::File;
use std::io::{PipeReader, Read, pipe};
use std::process::{Command, Stdio};

use corecast_tests::server::{Server, binary, wait_for};

use super::{hook, workers};

/// More lines than a pipe and the server's queue hold together.
const ROOMS: usize = 900;

/// Starts a server whose standard output and error go there.
fn start(stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Server {
    start_with(Command::new(binary()), stdout, stderr)
}

fn start_with(mut command: Command, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Server {
    let server = Server::start_command_into(&mut command, &["--test-hooks"], stdout.into(), stderr.into());
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    server
}

/// Rooms come and go, which is logged.
fn log_much(server: &Server) {
    let name = "a".repeat(100);
    for room in 0..ROOMS {
        let path = format!("/rooms/{name}{room}");
        let body = r#"{"id":"b","displayName":"b","device":{"name":"test"}}"#;
        assert!(server.json("POST", &format!("{path}/broadcasters"), body).is_some(), "room {room}");
        assert_eq!(server.ask("DELETE", &path, "").map(|(status, _)| status), Some(204), "room {room}");
    }
}

/// What [`lives`] says, and lost lines are counted.
fn loses_and_lives(server: Server) {
    let first = server.pid();
    log_much(&server);
    assert_eq!(server.pid(), first, "it was restarted");
    let lost = server.json("GET", "/health", "").expect("healthy")["lostLogLines"].as_u64();
    assert!(lost.is_some_and(|lines| lines > 0), "{lost:?}");
    lives(server);
}

/// The server works, the supervisor restarts it when a worker dies, and stops when told.
fn lives(mut server: Server) {
    let first = server.pid();
    hook(&server, 0, "panic");
    let second = wait_for("another server", || {
        let stats = server.json("GET", "/stats", "")?;
        stats["pid"].as_u64().filter(|pid| *pid != u64::from(first))
    });
    assert!(!workers(&server.stats()).is_empty(), "server {second}");
    assert!(server.work("after").is_some(), "it takes new work");
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_full_disk_stops_nothing() {
    let full = || File::options().write(true).open("/dev/full").expect("Linux has it");
    loses_and_lives(start(full(), full()));
}

#[test]
fn a_log_reader_that_has_gone_stops_nothing() {
    let gone = || pipe().expect("pipe").1;
    loses_and_lives(start(gone(), gone()));
}

#[test]
fn a_log_reader_that_sleeps_stops_nothing() {
    let ((_log, stderr), (_output, stdout)) = (pipe().expect("pipe"), pipe().expect("pipe"));
    loses_and_lives(start(stdout, stderr));
}

/// Nor do descriptors that are not there, of which others could take the place.
#[test]
fn a_log_that_was_closed_stops_nothing() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"]).arg(binary());
    lives(start_with(command, Stdio::null(), Stdio::null()));
}

#[test]
fn lost_lines_are_told_once_the_log_can_be_written_again() {
    let (reading, stderr) = pipe().expect("pipe");
    let server = start(Stdio::null(), stderr);
    log_much(&server);
    let log = read_on(reading);
    wait_for("the count", || {
        // A line that comes later: the count stands before it.
        let _ = server.work("later");
        log.lock().expect("whole").contains(" lines of this log could not be written and are lost").then_some(())
    });
}

/// Reads in the background from now on.
fn read_on(mut from: PipeReader) -> std::sync::Arc<std::sync::Mutex<String>> {
    let text = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let shared = std::sync::Arc::clone(&text);
    std::thread::spawn(move || {
        let mut part = [0; 4_096];
        while let Ok(length @ 1..) = from.read(&mut part) {
            shared.lock().expect("whole").push_str(&String::from_utf8_lossy(&part[..length]));
        }
    });
    text
}
