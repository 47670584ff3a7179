//! `corecast ctl` and the API that it uses, against a running server.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::server::{Server, ask_operators, binary, wait_for};
use serde_json::Value;

use super::reload::Folder;

fn start(socket: &Path, flags: &[&str]) -> Server {
    let socket = socket.to_str().expect("text");
    let server = Server::start(&[&["--workers", "1", "--admin-listen", socket], flags].concat());
    wait_for("its line in the summary", || server.lines(&["  admin    ", socket]).pop());
    server
}

fn ctl(socket: &Path, words: &[&str]) -> Output {
    Command::new(binary()).args(["ctl", "--at"]).arg(socket).args(words).output().expect("runs")
}

/// What is said about something that is done.
fn done(socket: &Path, words: &[&str]) -> String {
    let output = ctl(socket, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{words:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// The sentence about something that is not done.
fn refused(socket: &Path, words: &[&str]) -> String {
    let output = ctl(socket, words);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), [].as_slice()), "{words:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn an_operator_lists_mutes_removes_and_closes() {
    let folder = Folder::new();
    let socket = folder.path("admin.sock");
    let server = start(&socket, &[]);
    assert_eq!(done(&socket, &["rooms"]), "no rooms\n");
    let room = Room::open(&server, "r");
    let _ = room.produce(&room.join("ann"), Kind::Opus);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let is_listed = |row: [&str; 3]| words(&done(&socket, &["rooms"])).windows(3).any(|words| words == row);
    assert!(is_listed(["r", "normal", "0"]));
    done(&socket, &["priority", "r", "high"]);
    assert!(is_listed(["r", "high", "0"]));
    assert!(words(&done(&socket, &["peers", "r"])).windows(2).any(|two| two == ["ann", "broadcaster"]));
    let is_paused = || server.stats()["producers"][0]["paused"].clone();
    assert_eq!(done(&socket, &["mute", "r", "ann", "audio"]), "ann: audio muted\n");
    assert_eq!(is_paused(), true, "on the worker");
    assert_eq!(done(&socket, &["mute", "r", "ann", "video"]), "ann: muted\n");
    assert_eq!(done(&socket, &["unmute", "r", "ann"]), "ann: not muted\n");
    assert_eq!(is_paused(), false);
    // Each of these looks whether the answer is as the API's description has it.
    for (method, path, body, status) in [
        ("GET", "/v1/server", "", 200),
        ("GET", "/v1/rooms", "", 200),
        ("GET", "/v1/rooms/r/peers", "", 200),
        ("GET", "/v1/rooms/r/dump", "", 200),
        ("PUT", "/v1/rooms/r/peers/ann/muted", r#"{"video":false}"#, 200),
        ("PUT", "/v1/rooms/r/loudest", r#"{"speakers":3}"#, 204),
        ("PUT", "/v1/priorities/r", r#"{"priority":"urgent"}"#, 400),
        ("GET", "/v1/rooms/none/dump", "", 404),
    ] {
        let (answered, text) = ask_operators(&socket, method, path, body).expect("answers");
        assert_eq!(answered, status, "{method} {path}: {text}");
    }
    let dump: Value = serde_json::from_str(&done(&socket, &["dump", "r"])).expect("JSON");
    assert_eq!(dump["members"]["peers"][0]["id"], "ann");
    let rooms: Value = serde_json::from_str(&done(&socket, &["rooms", "--json"])).expect("JSON");
    assert_eq!(rooms["rooms"][0]["broadcasters"], 1);
    assert_eq!(done(&socket, &["close", "r", "ann"]), "\"ann\" has left room \"r\"\n");
    let again = r#"{"id":"ann","displayName":"a","device":{"name":"test"}}"#;
    let come = || server.ask("POST", "/rooms/r/broadcasters", again).expect("answers").0;
    assert_eq!(come(), 403);
    assert!(done(&socket, &["peers", "r"]).contains("removed, until invited: ann"));
    // It stays out when the server and its workers have started again.
    let before = server.pid();
    assert!(done(&socket, &["restart"]).contains("has started again"));
    assert_ne!(server.pid(), before);
    assert_eq!(server.lines(&["died"]).len(), 0, "that is no death");
    assert_eq!(come(), 403);
    assert!(done(&socket, &["invite", "r", "ann"]).contains("may come"));
    assert_eq!(come(), 200);
    assert_eq!(done(&socket, &["close", "r"]), "room \"r\" is closed\n");
    assert!(refused(&socket, &["close", "r"]).contains("no room \"r\""));
    assert!(refused(&socket, &["log", "corecast=loud"]).contains("filter"));
}

#[test]
fn an_operator_cordons_and_drains() {
    let folder = Folder::new();
    let socket = folder.path("admin.sock");
    let mut server = start(&socket, &["--failover-calls", "drop"]);
    let _ = Room::open(&server, "r").join("ann");
    done(&socket, &["cordon"]);
    assert!(server.work("new").is_none(), "no new rooms");
    assert!(done(&socket, &["server"]).contains("cordoned"));
    done(&socket, &["uncordon"]);
    assert!(server.work("new").is_some());
    // Where calls do not outlive a server, everybody is told of the end.
    let before = server.pid();
    done(&socket, &["restart"]);
    assert_ne!(server.pid(), before);
    assert_eq!(server.lines(&["session ends", "its room was closed"]).len(), 2);
    done(&socket, &["drain"]);
    assert_eq!(server.exit_code(), Some(0));
    assert!(!socket.exists(), "its file goes with it");
    assert!(refused(&socket, &["server"]).contains("no server answers"));
}

#[test]
fn the_socket_is_found_in_the_run_time_folder_by_the_port_of_http() {
    let folder = Folder::new();
    let run_time = folder.path("");
    let mut command = Command::new(binary());
    let flags = ["--workers", "1", "--admin-listen", "auto"];
    let server = Server::start_command(command.env("RUNTIME_DIRECTORY", &run_time), &flags);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let socket = folder.path(&format!("corecast-{}.sock", server.address.port()));
    assert_eq!(fs::metadata(&socket).expect("is there").permissions().mode() & 0o777, 0o600);
    let output = Command::new(binary())
        .env("RUNTIME_DIRECTORY", &run_time)
        .args(["--http-listen", &server.address.to_string(), "ctl", "server"])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("process {}", server.pid())), "{text} {output:?}");
}

#[test]
fn worker_processes_log_what_the_operator_says() {
    let folder = Folder::new();
    let socket = folder.path("admin.sock");
    let server = start(&socket, &["--isolation", "process", "--log", "info"]);
    // A client of ICE-TCP that says nothing that is understood: its worker tells of it at the level debug.
    let knock = || {
        let mut stream = TcpStream::connect(("127.0.0.1", server.webrtc_port)).expect("connects");
        let _ = stream.write_all(&[0xff; 64]);
    };
    knock();
    done(&socket, &["log", "corecast=info,corecast_dataplane=debug"]);
    let told = || server.lines(&["DEBUG", "TCP connection"]).pop();
    assert!(told().is_none());
    wait_for("a line of the worker", || {
        knock();
        told()
    });
}
