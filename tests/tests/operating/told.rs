//! What the log and the counters tell of clients: each refusal by its cause, each session's beginning and end.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use corecast_bench::webrtc::sdp::{Kind, Media};
use corecast_bench::webrtc::{Identity, Joining, Options, Session, join};
use corecast_tests::broadcaster::Room;
use corecast_tests::server::{Server, wait_for};
use serde_json::json;

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("in time") });
}

pub(crate) fn options(send: bool) -> Options {
    let identity = Arc::new(Identity::new().expect("made"));
    Options::new(&identity, vec![Media::plain(Kind::Audio, send, send.then_some(7))])
}

async fn joined(server: &Server, path: &str, send: bool) -> Session {
    let url = format!("http://{}/{path}", server.address);
    join(&reqwest::Client::new(), &url, options(send)).await.expect("joins")
}

#[test]
fn each_session_is_one_line_at_its_beginning_and_one_at_its_end_with_the_ids_of_stats() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let ann = joined(&server, "whip/r?peer=ann", true).await;
        let viewer = joined(&server, "whep/r/ann", false).await;
        let _ = Room::open(&server, "r").join("bot");
        let ids: Vec<_> = server.stats()["transports"].as_array().expect("a list").to_vec();
        let ids: Vec<_> = ids.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        let begun = |kind: &str| server.lines(&["session begins: ", kind, "in room \"r\", address 127.0.0.1"]);
        for (kind, name) in [("publisher", "\"ann\""), ("viewer", "\""), ("broadcaster", "\"bot\"")] {
            let lines = begun(&format!("{kind} {name}"));
            assert_eq!(lines.len(), 1, "{kind}: {lines:?}");
        }
        let of = |line: &str| ids.iter().find(|id| line.ends_with(&format!("transport {id}"))).cloned();
        let publisher = of(&begun("publisher")[0].1).expect("the id that /stats has");
        let watching = of(&begun("viewer")[0].1).expect("the id that /stats has");
        assert_ne!(publisher, watching);
        viewer.leave().await.expect("leaves");
        ann.leave().await.expect("leaves");
        assert_eq!(server.ask("DELETE", "/rooms/r", "").expect("answers").0, 204);
        for (part, why) in [
            (format!("transport {publisher}, after "), ": its client asked for it"),
            (format!("transport {watching}, after "), ": its client asked for it"),
            ("broadcaster \"bot\" in room \"r\", address 127.0.0.1, after ".into(), ": its room was closed"),
        ] {
            let line = wait_for("the end", || server.lines(&["INFO", "session ends: ", &part]).pop()).1;
            assert!(line.ends_with(why), "{line}");
        }
        assert_eq!((server.lines(&["session begins"]).len(), server.lines(&["session ends"]).len()), (3, 3));
    });
}

/// How many of ten checks are answered.
async fn answered(session: &mut Session) -> u64 {
    let before = session.checks_answered();
    for _ in 0..10 {
        session.check().expect("sends");
        let _ = session.recv(Duration::from_millis(50)).await.expect("its socket works");
    }
    session.checks_answered() - before
}

/// Chromium believes in a session for as long as its checks are answered, whatever DTLS has said.
#[test]
fn checks_are_not_answered_once_a_session_has_ended() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let mut leaves = joined(&server, "whip/r?peer=leaves", true).await;
        let mut deleted = joined(&server, "whip/r?peer=deleted", true).await;
        let mut removed = joined(&server, "whip/closed?peer=removed", true).await;
        for session in [&mut leaves, &mut deleted, &mut removed] {
            assert!(answered(session).await >= 9, "{}", session.url());
        }
        leaves.close_dtls().await;
        let address = format!("http://{}", server.address);
        let path = deleted.url().strip_prefix(&address).expect("of this server").to_owned();
        assert_eq!(server.ask("DELETE", &path, "").expect("answers").0, 200);
        assert_eq!(server.ask("DELETE", "/rooms/closed", "").expect("answers").0, 204);
        wait_for("the ends", || (server.lines(&["session ends"]).len() == 3).then_some(()));
        for session in [&mut leaves, &mut deleted, &mut removed] {
            assert_eq!(answered(session).await, 0, "{}", session.url());
        }
    });
}

#[test]
fn the_log_is_json_if_that_is_wanted_and_says_more_when_it_is_told_to() {
    let server = Server::start(&["--workers", "1", "--log-format", "json"]);
    let debug = || server.lines(&["\"level\":\"DEBUG\""]);
    let _ = Room::open(&server, "r").join("bot");
    assert!(debug().is_empty(), "{:?}", debug());
    for (filter, status) in [("", 400), ("corecast=loud", 400), ("debug", 204)] {
        assert_eq!(server.ask("PUT", "/log-filter", filter).expect("answers").0, status, "{filter}");
    }
    // A connection that ends in the middle of a request is told at this level.
    wait_for("a line at level debug", || {
        let mut stream = TcpStream::connect(server.address).expect("connects");
        stream.write_all(b"nonsense\r\n\r\n").expect("writes");
        (!debug().is_empty()).then_some(())
    });
    assert_eq!(server.ask("PUT", "/log-filter", "error").expect("answers").0, 204);
    let _ = Room::open(&server, "quiet").join("bot");
    assert!(server.lines(&["session begins", "quiet"]).is_empty());
    let log: Vec<_> = server.log().into_iter().map(|(_, line)| line).filter(|line| line.starts_with('{')).collect();
    assert!(log.len() >= 4, "{log:#?}");
    for line in log {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn refusals_are_counted_by_cause_and_told_once_in_a_while() {
    let server = Server::start(&["--workers", "1", "--whip-tokens", "publish", "--api-tokens", "operate"]);
    let operate = "Authorization: Bearer operate\r\n";
    run(async {
        for _ in 0..5 {
            assert_eq!(server.ask("DELETE", "/rooms/r", "").expect("answers").0, 401);
        }
        let client = reqwest::Client::new();
        let post = async |path: &str, token: &str, send: bool| {
            let mut options = options(send);
            options.token = Some(token.to_owned());
            let error = Joining::post(&client, &format!("http://{}/{path}", server.address), options).await;
            error.expect_err("refused").refused().expect("an answer").status.as_u16()
        };
        assert_eq!(post("whip/r", "wrong", true).await, 401);
        assert_eq!(post("whip/r", "operate", true).await, 403);
        assert_eq!(post("whep/r", "none", false).await, 409);
        assert_eq!(post("whip/r", "publish", false).await, 422);
        let stats = wait_for("/stats", || server.ask_with("GET", "/stats", operate, ""));
        let stats: serde_json::Value = serde_json::from_str(&stats.1).expect("JSON");
        let counts = json!({"no_token": 5, "unknown_token": 1, "other_token": 1, "no_stream": 1, "unacceptable": 1});
        assert_eq!(stats["refusals"], counts, "{}", stats["refusals"]);
        for (cause, level, route, status) in [
            ("no_token", "WARN", "DELETE /rooms/{room}", "401"),
            ("unknown_token", "WARN", "POST /whip/{room}", "401"),
            ("other_token", "WARN", "POST /whip/{room}", "403"),
            ("no_stream", "INFO", "POST /whep/{room}", "409"),
            ("unacceptable", "WARN", "POST /whip/{room}", "422"),
        ] {
            let parts = [level, &format!("refused ({cause}), the last of 127.0.0.1, {route}: {status} ")];
            let lines = wait_for("the line", || Some(server.lines(&parts)).filter(|lines| !lines.is_empty()));
            assert_eq!(lines.len(), 1, "{lines:?}");
        }
        assert!(server.lines(&["wrong"]).is_empty(), "a token is not logged");
    });
}
