//! The API for operators, and what those notice whom it is about.

use super::protoo::{Client, End, PROTOO, camera, knock};
use super::sessions::{STAYS, offer};
use super::*;
use crate::jwt::tests::{in_s, secret, token};
use crate::ops::admin;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn rooms_and_peers_are_listed() {
    let server = Server::start().await;
    assert_eq!(server.admin("GET", "/v1/rooms", "").await.json(), json!({ "rooms": [] }));
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let send = ann.transport(true).await;
    ann.ask("produce", camera(&send)).await;
    assert_eq!(server.sdp("/whip/r?peer=ben&name=Ben", &offer("sendonly", STAYS)).await.status, StatusCode::CREATED);
    assert_eq!(server.sdp("/whep/r/ben", &offer("recvonly", STAYS)).await.status, StatusCode::CREATED);
    let rooms = server.admin("GET", "/v1/rooms", "").await.json();
    let room = &rooms["rooms"][0];
    assert_eq!((&room["id"], &room["participants"], &room["publishers"]), (&json!("r"), &json!(1), &json!(1)));
    assert_eq!((&room["viewers"], &room["broadcasters"]), (&json!(1), &json!(0)));
    let list = server.admin("GET", "/v1/rooms/r/peers", "").await.json();
    let kinds: Vec<_> = list["peers"].as_array().expect("a list").iter().map(|peer| peer["kind"].clone()).collect();
    assert_eq!(kinds, ["participant", "publisher", "viewer"]);
    let ann = &list["peers"][0];
    assert_eq!((&ann["id"], &ann["address"], &ann["joined"]), (&json!("ann"), &json!("127.0.0.1"), &json!(true)));
    assert_eq!((&ann["producers"][0]["kind"], &ann["muted"]["video"]), (&json!("video"), &json!(false)));
    let dump = server.admin("GET", "/v1/rooms/r/dump", "").await.json();
    assert_eq!(dump["room"]["id"], "r");
    assert_eq!(dump["members"]["peers"].as_array().map(Vec::len), Some(3));
    assert_eq!(dump["transports"].as_array().map(Vec::len), Some(5), "three of ann's: {dump}");
    let shown = server.admin("GET", "/v1/server", "").await.json();
    assert_eq!(
        (&shown["state"], &shown["rooms"], &shown["pid"]),
        (&json!("open"), &json!(1), &json!(std::process::id()))
    );
    assert_eq!(shown["workers"].as_array().map(Vec::len), Some(2));
    for (method, path) in [
        ("GET", "/v1/rooms/none/peers"),
        ("GET", "/v1/rooms/none/dump"),
        ("DELETE", "/v1/rooms/none"),
        ("DELETE", "/v1/rooms/r/peers/none"),
        ("POST", "/v1/rooms/r/peers/none/invite"),
        ("GET", "/v1/none"),
        ("GET", "/rooms"),
    ] {
        let answer = server.admin(method, path, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.text);
        assert_eq!(answer.text.trim_end().lines().count(), 1, "{}", answer.text);
    }
    assert_eq!(server.get("/v1/rooms").await.status, StatusCode::NOT_FOUND, "it has a listener of its own");
    assert_eq!(server.admin("DELETE", "/v1/rooms/r", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.admin("GET", "/v1/rooms", "").await.json(), json!({ "rooms": [] }));
}

#[tokio::test]
async fn who_was_removed_stays_out_until_invited_again() {
    let server = Server::start().await;
    let (_stays, _) = Client::join(&server, "r", "host", false).await;
    let (mut sees, _) = Client::join(&server, "r", "sees", false).await;
    let (ann, _) = Client::join(&server, "r", "ann", false).await;
    sees.told("newPeer").await;
    assert_eq!(server.admin("DELETE", "/v1/rooms/r/peers/ann", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(ann.end().await, End::Code(4_000), "its client does not come again by itself");
    assert_eq!(sees.told("peerClosed").await["peerId"], "ann");
    let path = "/?roomId=r&peerId=ann";
    let (status, sentence) = knock(&server, path, &[PROTOO]).await.err().expect("is out");
    assert!(status == 403 && sentence.contains("removed"), "{status} {sentence}");
    let plain = server.get("/protoo?roomId=r&peerId=ann").await;
    assert_eq!((plain.status, plain.text.contains("removed")), (StatusCode::FORBIDDEN, true), "a page is told why");
    let whip = server.sdp("/whip/r?peer=ann", &offer("sendonly", STAYS)).await;
    assert_eq!(whip.status, StatusCode::FORBIDDEN, "by another way neither: {}", whip.text);
    let body = json!({ "id": "ann", "displayName": "A", "device": { "name": "test" } });
    assert_eq!(server.post("/rooms/r/broadcasters", body).await.status, StatusCode::FORBIDDEN);
    assert!(knock(&server, "/?roomId=other&peerId=ann", &[PROTOO]).await.is_ok(), "another room is another matter");
    assert_eq!(server.get("/stats?objects=false").await.json()["refusals"]["removed"], 4);
    let list = server.admin("GET", "/v1/rooms/r/peers", "").await.json();
    assert_eq!(list["removed"], json!(["ann"]));
    assert_eq!(server.admin("POST", "/v1/rooms/r/peers/ann/invite", "").await.status, StatusCode::NO_CONTENT);
    assert!(knock(&server, path, &[PROTOO]).await.is_ok());
    let ben = Client::come(&server, "r", "ben").await;
    let answer = server.admin("DELETE", "/v1/rooms/r/peers/ben?mayReturn=true", "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(ben.end().await, End::Code(4_000));
    assert!(knock(&server, "/?roomId=r&peerId=ben", &[PROTOO]).await.is_ok());
}

#[tokio::test]
async fn a_removed_person_does_not_come_by_another_name() {
    let mut config = Config::default();
    config.jwt.keys = vec![secret("k", SECRET)];
    let server = Server::start_with(config).await;
    let path = |sub: &str, peer: &str| {
        let claims = json!({ "exp": in_s(60), "room": "r", "grants": ["subscribe", "publish"], "sub": sub });
        format!("/?roomId=r&peerId={peer}&token={}", token("k", SECRET, &claims))
    };
    let _host = knock(&server, &path("host", "host"), &[PROTOO]).await.map_err(|refusal| refusal.1).expect("comes");
    let ann = knock(&server, &path("ann", "a"), &[PROTOO]).await.map_err(|refusal| refusal.1).expect("comes");
    assert_eq!(server.admin("DELETE", "/v1/rooms/r/peers/a", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(ann.end().await, End::Code(4_000));
    for (sub, peer, may) in [("ann", "b", false), ("ben", "a", false), ("ben", "b", true)] {
        assert_eq!(knock(&server, &path(sub, peer), &[PROTOO]).await.is_ok(), may, "{sub} as {peer}");
    }
    // A viewer has no name of its own: its token tells who it is.
    let publisher =
        server.send("POST", "/whip/r?peer=p", &sdp_with("host", &["publish"]), &offer("sendonly", STAYS)).await;
    assert_eq!(publisher.status, StatusCode::CREATED, "{}", publisher.text);
    let watch =
        async || server.send("POST", "/whep/r/p", &sdp_with("cid", &["subscribe"]), &offer("recvonly", STAYS)).await;
    assert_eq!(watch().await.status, StatusCode::CREATED);
    let list = server.admin("GET", "/v1/rooms/r/peers", "").await.json();
    let viewers = list["peers"].as_array().expect("a list").iter().filter(|peer| peer["kind"] == "viewer");
    let viewer = viewers.map(|peer| peer["id"].as_str().expect("a name")).next().expect("is there").to_owned();
    let removed = server.admin("DELETE", &format!("/v1/rooms/r/peers/{viewer}"), "").await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{}", removed.text);
    assert_eq!(watch().await.status, StatusCode::FORBIDDEN);
}

fn sdp_with(sub: &str, grants: &[&str]) -> String {
    let claims = json!({ "exp": in_s(60), "room": "r", "grants": grants, "sub": sub });
    format!("Content-Type: application/sdp\r\nAuthorization: Bearer {}\r\n", token("k", SECRET, &claims))
}

#[tokio::test]
async fn who_is_muted_is_told_and_cannot_undo_it() {
    let server = Server::start().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let send = ann.transport(true).await;
    let producer = ann.ask("produce", camera(&send)).await["producerId"].clone();
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let consumer = ben.takes("newConsumer").await["consumerId"].clone();
    let muted = "/v1/rooms/r/peers/ann/muted";
    let put = async |path: &str, body: Value| server.admin("PUT", path, &body.to_string()).await;
    let answer = put(muted, json!({ "video": true })).await;
    assert_eq!(answer.json(), json!({ "audio": false, "video": true }), "{}", answer.text);
    assert_eq!(ann.told("muted").await, json!({ "audio": false, "video": true }));
    assert_eq!(ben.told("consumerPaused").await["consumerId"], consumer);
    // Neither by resuming nor by another producer.
    let of = json!({ "producerId": producer });
    ann.ask("pauseProducer", of.clone()).await;
    ann.ask("resumeProducer", of).await;
    ann.ask("produce", camera(&send)).await;
    let second = ben.takes("newConsumer").await;
    assert_eq!(second["producerPaused"], true, "{second}");
    assert_eq!(put(muted, json!({ "video": false })).await.json(), json!({ "audio": false, "video": false }));
    assert_eq!(ann.told("muted").await["video"], false);
    for _ in 0..2 {
        ben.told("consumerResumed").await;
    }
    let list = server.admin("GET", "/v1/rooms/r/peers", "").await.json();
    assert_eq!(list["peers"][0]["muted"], json!({ "audio": false, "video": false }));
    let answer = put("/v1/rooms/r/loudest", json!({ "speakers": 3 })).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    assert_eq!(server.admin("GET", "/v1/rooms", "").await.json()["rooms"][0]["loudest"], 3);
    for (path, body, status, part) in [
        ("/v1/rooms/r/loudest", json!({}), 400, "speakers"),
        ("/v1/rooms/r/loudest", json!({ "speakers": -1 }), 400, "speakers"),
        ("/v1/rooms/none/loudest", json!({ "speakers": 3 }), 404, "none"),
        (muted, json!({}), 400, "audio, video"),
        (muted, json!({ "sound": true }), 400, "sound"),
        ("/v1/rooms/r/peers/none/muted", json!({ "audio": true }), 404, "none"),
    ] {
        let answer = put(path, body).await;
        assert!(answer.status.as_u16() == status && answer.text.contains(part), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_room_of_high_priority_is_made_where_others_are_not() {
    let mut config = Config::default();
    // More than this is in use on every machine, and never more than all.
    (config.limits.memory_percent, config.limits.reserved_percent) = (1, 99);
    let server = Server::start_with(config).await;
    let put =
        async |name: &str, body: Value| server.admin("PUT", &format!("/v1/priorities/{name}"), &body.to_string()).await;
    let comes = async || knock(&server, "/?roomId=board&peerId=ann", &[PROTOO]).await;
    assert_eq!(comes().await.err().map(|refusal| refusal.0), Some(503));
    for _ in 0..2 {
        let answer = put("board", json!({ "priority": "high" })).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    }
    let ann = comes().await.map_err(|refusal| refusal.1).expect("is let in");
    assert_eq!(server.admin("GET", "/v1/rooms", "").await.json()["rooms"][0]["priority"], "high");
    let normal = put("board", json!({ "priority": "normal" })).await;
    assert_eq!(normal.status, StatusCode::NO_CONTENT, "{}", normal.text);
    assert_eq!(server.admin("GET", "/v1/rooms", "").await.json()["rooms"][0]["priority"], "normal", "it goes on");
    drop(ann);
    for (name, body, part) in [
        ("board", json!({}), "priority"),
        ("board", json!({ "priority": "highest" }), "highest"),
        ("board", json!({ "priority": "high", "until": 1 }), "until"),
        (&*"x".repeat(129), json!({ "priority": "high" }), "128 bytes"),
    ] {
        let answer = put(name, body).await;
        let is_right = answer.status == StatusCode::BAD_REQUEST && answer.text.contains(part);
        assert!(is_right, "{part}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn a_cordoned_server_makes_no_rooms_and_those_that_are_there_grow() {
    let server = Server::start().await;
    let _ann = Client::join(&server, "r", "ann", false).await;
    assert_eq!(server.admin("PUT", "/v1/cordon", "").await.status, StatusCode::NO_CONTENT);
    let refused = server.sdp("/whip/new", &offer("sendonly", STAYS)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
    assert!(refused.header("retry-after").is_some() && refused.text.contains("cordoned"), "{}", refused.text);
    assert_eq!(knock(&server, "/?roomId=new&peerId=p", &[PROTOO]).await.err().map(|refusal| refusal.0), Some(503));
    let _ben = Client::join(&server, "r", "ben", false).await;
    assert_eq!(server.admin("GET", "/v1/server", "").await.json()["state"], "cordoned");
    assert_ne!(server.get("/health").await.json()["status"], "draining");
    assert_eq!(server.admin("DELETE", "/v1/cordon", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.sdp("/whip/new", &offer("sendonly", STAYS)).await.status, StatusCode::CREATED);
    assert_eq!(server.admin("GET", "/v1/server", "").await.json()["state"], "open");
}

#[tokio::test]
async fn orders_and_filters_are_taken_or_refused() {
    let server = Server::start().await;
    for path in ["/v1/drain", "/v1/restart"] {
        assert_eq!(server.admin("POST", path, "").await.status, StatusCode::ACCEPTED);
        assert_eq!(server.admin("GET", path, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    for (body, part) in [("{}", "filter"), (r#"{"filter":" "}"#, "filter"), (r#"{"filter":"info","x":1}"#, "x")] {
        let answer = server.admin("PUT", "/v1/log", body).await;
        assert!(answer.status == StatusCode::BAD_REQUEST && answer.text.contains(part), "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn by_tcp_the_api_for_operators_asks_for_a_token_where_there_are_some() {
    let mut config = Config::parse("[api]\ntokens = [\"operate\"]\n[whip]\ntokens = [\"publish\"]").expect("settings");
    config.jwt.keys = vec![secret("k", SECRET)];
    let server = Server::start_with(config).await;
    let granted =
        |room: &str, grant: &str| token("k", SECRET, &json!({ "exp": in_s(60), "room": room, "grants": [grant] }));
    let ask = async |path: &str, token: &str| {
        let headers = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let stream = TcpStream::connect(server.admin_by_tcp).await.expect("connects");
        server.send_on(stream, "GET", path, &headers, "").await.status.as_u16()
    };
    for (path, token, status) in [
        ("/v1/rooms", String::new(), 401),
        ("/v1/rooms", "operate".into(), 200),
        ("/v1/rooms", "publish".into(), 403),
        ("/v1/rooms", granted("*", "admin"), 200),
        ("/v1/rooms", granted("r", "admin"), 403),
        ("/v1/rooms", granted("*", "publish"), 403),
        ("/v1/rooms/r/peers", granted("r", "admin"), 404),
        ("/v1/rooms/s/peers", granted("r", "admin"), 403),
    ] {
        assert_eq!(ask(path, &token).await, status, "{path}");
    }
    assert_eq!(server.admin("GET", "/v1/rooms", "").await.status, StatusCode::OK, "by a Unix socket it asks for none");
}

#[test]
fn the_description_that_is_checked_in_is_what_the_program_makes() {
    let checked_in = include_str!("../../../docs/openapi.json");
    let made = admin::description();
    assert!(made.contains("\"/v1/rooms/{room}/peers/{peer}\""), "{made}");
    assert!(checked_in == made, "write it again: corecast openapi > docs/openapi.json");
}
