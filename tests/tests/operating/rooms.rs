//! Rooms that nobody uses.

use std::net::UdpSocket;
use std::time::Duration;

use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::server::{Server, wait_for};
use serde_json::Value;

fn rooms(server: &Server) -> Vec<String> {
    let list = wait_for("/rooms", || server.json("GET", "/rooms", ""));
    let ids = list["rooms"].as_array().into_iter().flatten().filter_map(|room| room["id"].as_str());
    ids.map(str::to_owned).collect()
}

#[test]
fn broadcasters_that_send_nothing_do_not_keep_their_room_and_one_that_sends_keeps_it() {
    let server = Server::start(&["--workers", "1", "--rooms-silence", "1s"]);
    let (silent, busy) = (Room::open(&server, "silent"), Room::open(&server, "busy"));
    let _ = silent.join("bare");
    let _ = silent.produce(&silent.join("mute"), Kind::Opus);
    let sending = busy.join("sends");
    let (_, [port, _]) = busy.produce(&sending, Kind::Opus);
    let _ = busy.join("receives");
    assert_eq!(rooms(&server), ["busy", "silent"]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let mut packet = vec![0x80, 100, 0, 0, 0, 0, 0, 0, 0, 0, 4, 87, 1, 2, 3, 4];
    let mut number = 0_u16;
    let mut send = || {
        packet[2..4].copy_from_slice(&number.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(number) * 960).to_be_bytes());
        number += 1;
        socket.send_to(&packet, format!("127.0.0.1:{port}")).expect("is sent");
        std::thread::sleep(Duration::from_millis(20));
    };
    wait_for("the end of the silent room", || {
        send();
        (rooms(&server) == ["busy"]).then_some(())
    });
    // Three times as long as a silent one lasts, and both broadcasters are there still: one only receives.
    for _ in 0..150 {
        send();
    }
    let list: Value = wait_for("/rooms", || server.json("GET", "/rooms", ""));
    assert_eq!(list["rooms"][0]["broadcasters"].as_array().map(Vec::len), Some(2), "{list}");
    // Once nothing comes any longer it goes as well.
    wait_for("the end of the room that was busy", || rooms(&server).is_empty().then_some(()));
}

#[test]
fn past_the_mark_of_memory_no_new_room_is_made() {
    // One percent is in use on every machine.
    let server = Server::start(&["--workers", "1", "--limits-memory-percent", "1"]);
    let body = r#"{"id":"b","displayName":"b","device":{"name":"test"}}"#;
    let (status, sentence) = server.ask("POST", "/rooms/r/broadcasters", body).expect("answers");
    assert!(status == 503 && sentence.contains("limits.memory_percent"), "{status} {sentence}");
    assert!(rooms(&server).is_empty());
    wait_for("the log", || server.lines(&["WARN", "refused (unavailable)", "limits.memory_percent"]).pop());
    let server = Server::start(&["--workers", "1", "--limits-memory-percent", "0"]);
    assert!(server.work("r").is_some(), "no limit");
}
