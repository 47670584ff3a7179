//! How connections end, and what becomes of peers and rooms then.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;
use crate::settings::Span;
use crate::workers::fake_worker::{CLOSES, FAILS, FALLS_SILENT};

#[tokio::test]
async fn a_peer_whose_transport_ends_is_closed_for_good() {
    for client_is in [FAILS, FALLS_SILENT, CLOSES] {
        let server = Server::start().await;
        let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
        let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
        let transport = ben.transport(true).await;
        let value = format!("{client_is:02X}") + &":5A".repeat(31);
        let dtls = json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": value }] });
        ben.next_id += 1;
        let data = json!({ "transportId": transport, "dtlsParameters": dtls });
        ben.send(json!({ "request": true, "id": ben.next_id, "method": "connectWebRtcTransport", "data": data })).await;
        assert_eq!(ben.end().await, End::Code(4_000));
        assert_eq!(ann.told("peerClosed").await, json!({ "peerId": "ben" }));
    }
}

#[tokio::test]
async fn a_client_that_does_not_join_is_closed() {
    let mut config = Config::default();
    config.rooms.join_timeout = Span(Duration::from_millis(50));
    let server = Server::start_with(config).await;
    let client = Client::come(&server, "r", "p").await;
    assert_eq!(client.end().await, End::Code(4_000));
    let (mut joined, _) = Client::join(&server, "r", "q", false).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    joined.ask("getRtcStatsUrl", json!({})).await;
}

#[tokio::test]
async fn the_last_to_leave_closes_the_room() {
    let server = Server::start().await;
    let (ann, _) = Client::join(&server, "r", "ann", false).await;
    let ben = Client::come(&server, "r", "ben").await;
    drop(ann);
    server.until("ann has left", async || server.room("r").await["peers"].as_array().map(Vec::len) == Some(1)).await;
    drop(ben);
    server.until("the room is closed", async || server.room("r").await.is_null()).await;
    assert_eq!(server.get("/stats").await.json()["transports"], json!([]));
    // Somebody else in it keeps it.
    let broadcaster = json!({ "id": "b", "displayName": "B", "device": { "name": "test" } });
    server.made("/rooms/r/broadcasters", broadcaster).await;
    drop(Client::come(&server, "r", "ann").await);
    server.until("ann has left", async || server.room("r").await["peers"] == json!([])).await;
    assert_eq!(server.room("r").await["broadcasters"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_same_peer_comes_again_and_the_room_stays() {
    let server = Server::start().await;
    let (first, _) = Client::join(&server, "r", "ann", false).await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let (_second, there) = Client::join(&server, "r", "ann", true).await;
    assert_eq!(there[0]["id"], "ben");
    assert_eq!(first.end().await, End::Code(4_000));
    assert_eq!(ben.told("peerClosed").await, json!({ "peerId": "ann" }));
    ben.told_that("newPeer", |peer| peer["id"] == "ann").await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let server = Server::start().await;
    let (mut client, _) = Client::join(&server, "r", "ann", false).await;
    let frame = CloseFrame { code: 1_000.into(), reason: "".into() };
    client.socket.close(Some(frame)).await.expect("is open");
    assert_eq!(client.end().await, End::Code(1_000), "a close frame comes back");
    server.until("the room is closed", async || server.room("r").await.is_null()).await;
}

#[tokio::test]
async fn a_room_that_is_closed_closes_its_clients_for_good() {
    let server = Server::start().await;
    let (client, _) = Client::join(&server, "r", "ann", false).await;
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.end().await, End::Code(4_000));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let server = Server::start().await;
    let mut client = Client::come(&server, "r", "ann").await;
    let fits = json!({ "request": true, "id": 1, "method": "nonsense", "data": { "x": "y".repeat(950_000) } });
    client.send(fits).await;
    client.find("an answer", |message| message["id"] == 1).await;
    let long = Message::text("x".repeat(960_001));
    let _ = client.socket.send(long).await;
    assert_ne!(client.end().await, End::Code(4_000), "it may come again");
}

fn told(code: u16, reason: &str) -> (End, String) {
    (End::Code(code), reason.to_owned())
}

#[tokio::test]
async fn each_end_says_why() {
    let mut config = Config::default();
    config.rooms.join_timeout = Span(Duration::from_millis(50));
    let server = Server::start_with(config).await;
    let idle = Client::come(&server, "idle", "p").await;
    assert_eq!(idle.end_with_reason().await, told(4_000, "it did not join in time"));
    let (_stays, _) = Client::join(&server, "r", "host", false).await;
    let (first, _) = Client::join(&server, "r", "ann", false).await;
    let (second, _) = Client::join(&server, "r", "ann", false).await;
    assert_eq!(first.end_with_reason().await, told(4_000, "its client came again"));
    assert_eq!(server.admin("DELETE", "/v1/rooms/r/peers/ann", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(second.end_with_reason().await, told(4_000, "removed by an operator"));
    let (cid, _) = Client::join(&server, "r", "cid", false).await;
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(cid.end_with_reason().await, told(4_000, "its room was closed"));
    // What is no WebSocket (RFC 6455): not masked, no text, too long.
    for (bytes, wanted) in [
        (&b"\x81\x02{}"[..], told(1_002, "its client breaks the WebSocket's protocol")),
        (b"\x81\x82\0\0\0\0\xff\xff", told(1_007, "its client sends text that is not UTF-8")),
        (b"\x81\xff\0\0\0\0\x04\0\0\0\0\0\0\0", told(1_009, "its client sends a message that is too long")),
    ] {
        let (mut wrong, _) = Client::join(&server, "r", "wrong", false).await;
        wrong.socket.get_mut().write_all(bytes).await.expect("writes");
        assert_eq!(wrong.end_with_reason().await, wanted);
    }
}

#[tokio::test]
async fn who_is_closed_as_the_server_ends_is_told_to_come_again() {
    let (server, app) = Server::over_app((0..2).map(fake_worker::spawn).collect(), Config::default()).await;
    let (ann, _) = Client::join(&server, "r", "ann", false).await;
    app.rooms().close_all().await;
    assert_eq!(ann.end_with_reason().await, told(1_012, "the server restarts"));
}

#[tokio::test]
async fn who_is_behind_hears_that_it_is_once_it_reads_again() {
    let server = Server::start().await;
    let mut behind = Client::come(&server, "r", "behind").await;
    let message = json!({ "request": true, "id": 1, "method": "getRouterRtpCapabilities" }).to_string();
    // The connection is closed while it does not read: a write fails, or nothing is taken of it any longer.
    while !server.room("r").await.is_null() {
        let written = timeout(Duration::from_millis(20), behind.socket.send(Message::text(message.clone()))).await;
        if matches!(written, Ok(Err(_))) {
            break;
        }
    }
    assert_eq!(behind.end_with_reason().await, told(1_008, "its client does not take what it is told"));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed() {
    let server = Server::start().await;
    let mut deaf = Client::come(&server, "r", "deaf").await;
    // Answers that fill what the kernel keeps, and then the queue.
    let message = json!({ "request": true, "id": 1, "method": "getRouterRtpCapabilities" }).to_string();
    let filled = async {
        while deaf.socket.send(Message::text(message.clone())).await.is_ok() {
            if server.room("r").await.is_null() {
                return;
            }
        }
    };
    timeout(PATIENCE * 4, filled).await.expect("its connection ends");
    server.until("its peer has left", async || server.room("r").await.is_null()).await;
}

#[tokio::test]
async fn first_comers_at_once_make_one_room() {
    let server = Server::start().await;
    let come = |peer: usize| {
        let path = format!("/?roomId=r&peerId=p{peer}");
        let server = &server;
        async move { knock(server, &path, &[PROTOO]).await.map_err(|refusal| refusal.1).expect("comes") }
    };
    let clients = futures_util::future::join_all((0..20).map(come)).await;
    let rooms = server.get("/rooms").await.json();
    assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(1));
    assert_eq!(rooms["rooms"][0]["peers"].as_array().map(Vec::len), Some(clients.len()));
}
