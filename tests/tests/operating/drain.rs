//! The end of a server that people are in: SIGTERM lets them go on for a while, SIGINT does not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use corecast_bench::webrtc::{Joining, join};
use corecast_tests::broadcaster::Room;
use corecast_tests::server::{Server, wait_for};
use reqwest::StatusCode;

use super::told::{options, run};

#[test]
fn sigterm_lets_rooms_go_on_until_nobody_is_in_one_and_makes_no_new_ones() {
    let mut server = Server::start(&["--workers", "1", "--drain-deadline", "60s"]);
    run(async {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/{path}", server.address);
        let ann = join(&client, &url("whip/r?peer=ann"), options(true)).await.expect("joins");
        let mut events = TcpStream::connect(server.address).expect("connects");
        events.set_read_timeout(Some(Duration::from_secs(10))).expect("is set");
        let head = format!("GET /rooms/r/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        events.write_all(head.as_bytes()).expect("writes");
        let mut heard = String::new();
        let mut hear = |word: &str| {
            while !heard.contains(word) {
                let mut part = [0; 1_024];
                let length = events.read(&mut part).unwrap_or_else(|error| panic!("{word}: {error} after {heard}"));
                assert!(length > 0, "{word} is not in {heard}");
                heard.push_str(&String::from_utf8_lossy(&part[..length]));
            }
        };
        hear("event: peers");
        server.signal_supervisor("TERM");
        hear("event: closing");
        let refused = Joining::post(&client, &url("whip/new"), options(true)).await.expect_err("no new room");
        let refused = refused.refused().expect("an answer").clone();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
        assert!(refused.headers.contains_key("retry-after") && refused.body.contains("stop"), "{}", refused.body);
        let (status, health) = server.get("/health").expect("answers");
        assert!(status == 503 && health.contains("\"draining\""), "{health}");
        let viewer = join(&client, &url("whep/r/ann"), options(false)).await.expect("its room goes on");
        sleep(Duration::from_millis(500));
        viewer.leave().await.expect("leaves");
        ann.leave().await.expect("leaves");
    });
    // Long before the deadline.
    assert_eq!(server.exit_code(), Some(0));
    assert!(server.lines(&["is killed"]).is_empty());
}

#[test]
fn the_deadline_ends_a_drain() {
    let mut server = Server::start(&["--workers", "1", "--drain-deadline", "1s"]);
    let _ = Room::open(&server, "r").join("bot");
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.lines(&["session ends", "its room was closed"]).len(), 1);
}

#[test]
fn sigint_does_not_wait_nor_does_a_second_sigterm() {
    let flags = ["--workers", "1", "--drain-deadline", "3600s"];
    for signals in [["INT"].as_slice(), &["TERM", "TERM"]] {
        let mut server = Server::start(&flags);
        let _ = Room::open(&server, "r").join("bot");
        for (number, signal) in signals.iter().enumerate() {
            if number > 0 {
                wait_for("the drain", || server.get("/health").filter(|(status, _)| *status == 503));
                // What comes within a second means the same.
                sleep(Duration::from_millis(1_200));
                assert!(server.get("/rooms").is_some(), "it goes on");
            }
            server.signal_supervisor(signal);
        }
        assert_eq!(server.exit_code(), Some(0), "{signals:?}");
        assert_eq!(server.lines(&["session ends", "its room was closed"]).len(), 1, "{signals:?}");
        assert!(server.lines(&["is killed"]).is_empty(), "{signals:?}");
    }
}

#[test]
fn two_sigterms_close_together_are_one() {
    let mut server = Server::start(&["--workers", "1", "--drain-deadline", "3600s"]);
    run(async {
        let (client, url) = (reqwest::Client::new(), format!("http://{}/whip/r?peer=ann", server.address));
        let ann = join(&client, &url, options(true)).await.expect("joins");
        for _ in 0..3 {
            server.signal_supervisor("TERM");
        }
        wait_for("the drain", || server.get("/health").filter(|(status, _)| *status == 503));
        sleep(Duration::from_millis(300));
        server.signal_supervisor("TERM");
        sleep(Duration::from_millis(1_500));
        let (status, health) = server.get("/health").expect("it goes on");
        assert!(status == 503 && health.contains("\"draining\""), "{health}");
        assert_eq!(server.lines(&["draining: "]).len(), 1, "and says so once");
        assert!(server.lines(&["stopping"]).is_empty());
        ann.leave().await.expect("leaves");
    });
    assert_eq!(server.exit_code(), Some(0));
}
