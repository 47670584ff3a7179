//! How the program ends: what is wrong from the start is one error with a code of its own, a signal that comes twice is
//! one.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use corecast_tests::server::{Server, binary, kill, wait_for};

/// Started with what cannot work: its exit code and its log.
fn ends(command: &mut Command, flags: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut server = Server::start_command_into(command, flags, Stdio::null(), Stdio::piped());
    let code = server.exit_code();
    // The last line may be read a moment after the end.
    let lines = wait_for("the error", || Some(server.log()).filter(|log| !log.is_empty()));
    (code, lines.into_iter().map(|(_, line)| line).collect())
}

#[test]
fn what_is_wrong_from_the_start_is_one_error_with_its_own_exit_code() {
    for (flags, code, parts) in [
        (["--rtc-listen-ips", "203.0.113.99"], 6, ["203.0.113.99", "rtc.listen_ips"]),
        (["--rtc-listen-ips", "127.0.0.1=nosuch.invalid"], 7, ["nosuch.invalid", "rtc.listen_ips"]),
        (["--http-listen", "203.0.113.99:4080"], 3, ["203.0.113.99", "http.listen"]),
    ] {
        let mut command = Command::new(binary());
        let (ended, log) = match flags[0] {
            // Given once already by the way a server is started here.
            "--http-listen" => {
                let output = command.args(flags).output().expect("runs");
                let log = String::from_utf8(output.stderr).expect("text");
                (output.status.code(), log.lines().map(str::to_owned).collect())
            }
            _ => ends(&mut command, &flags),
        };
        assert_eq!(ended, Some(code), "{log:#?}");
        assert_eq!(log.len(), 1, "one error: {log:#?}");
        assert!(parts.iter().all(|part| log[0].contains(part)), "{log:#?}");
    }
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(binary());
    let (ended, log) = ends(&mut few, &[]);
    assert_eq!((ended, log.len()), (Some(8), 1), "{log:#?}");
    assert!(log[0].contains("RLIMIT_NOFILE"), "{log:#?}");
}

#[test]
fn two_signals_close_together_are_one() {
    let mut server = Server::start(&["--workers", "1"]);
    // A request that never becomes whole: the server waits two seconds for it before it ends.
    let mut held = TcpStream::connect(server.address).expect("connects");
    held.write_all(b"GET /health HTTP/1.1\r\n").expect("writes");
    wait_for("work", || server.work("r"));
    server.signal_supervisor("INT");
    wait_for("the first", || server.lines(&["stopping"]).pop());
    server.signal_supervisor("INT");
    sleep(Duration::from_millis(100));
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert!(server.lines(&["is killed"]).is_empty(), "it ended by itself");
    assert_eq!(server.lines(&["session ends", "its room was closed"]).len(), 1, "in good order");
}

#[test]
fn a_second_signal_that_means_it_ends_the_server_at_once() {
    let mut server = Server::start(&["--workers", "1"]);
    // It does not hear of the first one.
    kill("STOP", server.pid());
    server.signal_supervisor("INT");
    let first = wait_for("the first", || server.lines(&["stopping"]).pop()).0;
    while first.elapsed() < Duration::from_millis(1_200) {
        sleep(Duration::from_millis(20));
    }
    server.signal_supervisor("INT");
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.lines(&["is killed"]).len(), 1);
}
