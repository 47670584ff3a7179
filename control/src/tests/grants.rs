//! What JSON Web Tokens let their bearers do: each endpoint with each way in which a token can be wrong for it.

use super::protoo::{Client, End, PROTOO, knock};
use super::sessions::{STAYS, offer};
use super::*;
use crate::jwt::tests::{in_s, secret, token};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn server() -> Server {
    let mut config = Config::default();
    config.jwt.keys = vec![secret("k", SECRET)];
    // Guesses are not what is tested here.
    config.limits.sessions_per_second_per_ip = 0;
    Server::start_with(config).await
}

/// A token for this room that allows this.
fn granted(room: &str, grants: &[&str]) -> String {
    token("k", SECRET, &json!({ "exp": in_s(60), "room": room, "grants": grants }))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

async fn refusals(server: &Server) -> Value {
    let all = granted("*", &["admin"]);
    server.send("GET", "/stats?objects=false", &bearer(&all), "").await.json()["refusals"].clone()
}

impl Server {
    async fn offer(&self, path: &str, direction: &str, token: &str) -> Answer {
        let headers = format!("Content-Type: application/sdp\r\n{}", bearer(token));
        self.send("POST", path, &headers, &offer(direction, STAYS)).await
    }
}

#[tokio::test]
async fn each_refusal_of_whip_has_its_status_its_sentence_and_its_counter() {
    let server = server().await;
    let with = |claims: Value| token("k", SECRET, &claims);
    let now = json!(["publish"]);
    for (token, status, part, cause) in [
        (with(json!({ "exp": in_s(-60), "room": "r", "grants": now })), 401, "expired", "expired_token"),
        (
            with(json!({ "exp": in_s(60), "nbf": in_s(45), "room": "r", "grants": now })),
            401,
            "not hold yet",
            "early_token",
        ),
        (with(json!({ "exp": in_s(60), "room": "other", "grants": now })), 403, "not for room \"r\"", "other_room"),
        (with(json!({ "exp": in_s(60), "room": "r", "grants": ["subscribe"] })), 403, "\"publish\"", "other_token"),
        (with(json!({ "exp": in_s(60), "room": "r" })), 401, "grants", "unknown_token"),
        (with(json!({ "room": "r", "grants": now })), 401, "exp", "unknown_token"),
        (token("other", SECRET, &json!({ "exp": in_s(60), "room": "r", "grants": now })), 401, "kid", "unknown_token"),
        ("no-token".into(), 401, "not known", "unknown_token"),
    ] {
        let before = refusals(&server).await[cause].as_u64().unwrap_or(0);
        let answer = server.offer("/whip/r", "sendonly", &token).await;
        assert_eq!(answer.status.as_u16(), status, "{part}: {}", answer.text);
        assert!(answer.text.contains(part), "{part} is not in {}", answer.text);
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.contains("error=")), "{part}");
        assert_eq!(refusals(&server).await[cause], before + 1, "{cause}");
    }
    let answer = server.sdp("/whip/r", &offer("sendonly", STAYS)).await;
    assert_eq!((answer.status, answer.text.contains("give a bearer token")), (StatusCode::UNAUTHORIZED, true));
    let rooms = server.send("GET", "/rooms", &bearer(&granted("*", &["admin"])), "").await.json();
    assert_eq!(rooms["rooms"], json!([]), "no room was made");
    let made = server.offer("/whip/r?peer=ann", "sendonly", &granted("r", &["publish"])).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
}

#[tokio::test]
async fn a_session_goes_on_when_the_token_that_let_it_in_is_over() {
    let server = server().await;
    let made = server.offer("/whip/r?peer=ann", "sendonly", &granted("r", &["publish"])).await;
    let session = made.location.expect("a session");
    let over = token("k", SECRET, &json!({ "exp": in_s(-3_600), "room": "r", "grants": ["publish"] }));
    let look = async |token: &str| server.send("GET", &session, &bearer(token), "").await.status.as_u16();
    assert_eq!(look(&over).await, 204);
    assert_eq!(look(&granted("other", &["publish"])).await, 403);
    assert_eq!(look("no-token").await, 401);
    assert_eq!(server.send("GET", &session, "", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.send("DELETE", &session, &bearer(&over), "").await.status, StatusCode::OK);
    assert_eq!(server.offer("/whip/r", "sendonly", &over).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn viewers_listeners_and_operators_need_their_grants_in_their_rooms() {
    let server = server().await;
    assert_eq!(server.offer("/whip/r?peer=a", "sendonly", &granted("r*", &["publish"])).await.status, 201);
    for (token, status) in [
        (granted("r", &["subscribe"]), 201),
        (granted("s", &["subscribe"]), 403),
        (granted("r", &["publish", "data", "plain"]), 403),
    ] {
        assert_eq!(server.offer("/whep/r", "recvonly", &token).await.status.as_u16(), status);
        assert_eq!(server.offer("/whep/r/a", "recvonly", &token).await.status.as_u16(), status);
    }
    // Who listens needs one of the grants in that room.
    for (token, status) in [
        (granted("s", &["subscribe"]), 403),
        (granted("r", &["data"]), 403),
        (granted("r", &["subscribe"]).replace('.', "x"), 401),
    ] {
        let answer = server.get(&format!("/rooms/r/events?token={token}")).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
    let body = r#"{"id":"b","displayName":"B","device":{"name":"test"}}"#;
    let all = ["publish", "subscribe", "data", "plain", "admin"];
    for (method, path, grant) in [
        ("GET", "/rooms", "admin"),
        ("GET", "/stats", "admin"),
        ("GET", "/metrics", "admin"),
        ("POST", "/rooms/r/broadcasters", "plain"),
        ("GET", "/rooms/r/broadcasters/b/peerProducersInfos", "plain"),
        ("DELETE", "/rooms/r", "admin"),
    ] {
        let send = async |token: String| server.send(method, path, &bearer(&token), body).await.status.as_u16();
        let others: Vec<_> = all.iter().copied().filter(|one| *one != grant).collect();
        assert_eq!(send(granted("*", &others)).await, 403, "{method} {path}");
        assert_eq!(send(granted("s", &[grant])).await, 403, "{method} {path}");
        let right = send(granted(if path.contains("/r") && path != "/rooms" { "r" } else { "*" }, &[grant])).await;
        assert!((200..300).contains(&right), "{method} {path}: {right}");
    }
}

#[tokio::test]
async fn participants_do_what_their_grants_say() {
    let server = server().await;
    let path = |token: &str| format!("/?roomId=r&peerId=p&token={token}");
    let come = async |token: &str| knock(&server, &path(token), &[PROTOO]).await.map_err(|(status, _)| status);
    assert_eq!(come("").await.err(), Some(401));
    assert_eq!(come(&granted("s", &["subscribe"])).await.err(), Some(403));
    assert_eq!(come(&granted("r", &["publish"])).await.err(), Some(403));
    let mut watcher: Client = come(&granted("r", &["subscribe"])).await.expect("comes");
    let send = watcher.transport(true).await;
    watcher.ask("join", json!({ "displayName": "W" })).await;
    let audio = json!({ "transportId": send, "kind": "audio", "rtpParameters": opus()["rtpParameters"] });
    watcher.refused("produce", audio, 403, "watching").await;
    let data =
        json!({ "transportId": send, "sctpStreamParameters": { "streamId": 1 }, "label": "chat", "protocol": "" });
    watcher.refused("produceData", data.clone(), 403, "data").await;
    drop(watcher);
    let speaks = granted("r", &["subscribe", "data"]);
    let path = format!("/?roomId=r&peerId=q&token={speaks}");
    let mut speaker = knock(&server, &path, &[PROTOO]).await.map_err(|refusal| refusal.1).expect("comes");
    let send = speaker.transport(true).await;
    speaker.ask("join", json!({ "displayName": "S" })).await;
    let answer = speaker
        .answer(
            "produceData",
            json!({ "transportId": send, "label": "chat", "protocol": "",
                                                          "sctpStreamParameters": { "streamId": 1 } }),
        )
        .await;
    assert_ne!(answer["errorCode"], 403, "its token is right: {answer}");
}

#[tokio::test]
async fn data_channels_are_rejected_without_their_grant() {
    let server = server().await;
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
                a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=setup:actpass\r\na=mid:2\r\na=sctp-port:5000\r\n";
    let whole = offer("sendonly", STAYS).replace("BUNDLE 0 1", "BUNDLE 0 1 2") + data;
    for (grants, is_rejected) in [(["publish", "data"].as_slice(), false), (&["publish"], true)] {
        let headers = format!("Content-Type: application/sdp\r\n{}", bearer(&granted("r", grants)));
        let answer = server.send("POST", "/whip/r", &headers, &whole).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let section = answer.text.lines().find(|line| line.starts_with("m=application")).expect("is answered");
        assert_eq!(section.starts_with("m=application 0 "), is_rejected, "{grants:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn tokens_of_lists_go_on_beside_keys_and_nothing_is_open_then() {
    let mut config = Config::parse("[whip]\ntokens = [\"old\"]").expect("settings");
    config.jwt.keys = vec![secret("k", SECRET)];
    let server = Server::start_with(config).await;
    assert_eq!(server.offer("/whip/r?peer=a", "sendonly", "old").await.status, StatusCode::CREATED);
    let new = granted("r", &["publish"]);
    assert_eq!(server.offer("/whip/r?peer=b", "sendonly", &new).await.status, StatusCode::CREATED);
    assert_eq!(server.sdp("/whep/r", &offer("recvonly", STAYS)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.offer("/whep/r", "recvonly", "old").await.status, StatusCode::FORBIDDEN);
    assert_eq!(server.offer("/whep/r", "recvonly", &granted("r", &["subscribe"])).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_person_takes_the_place_of_its_own_peer_with_a_newer_token() {
    let server = server().await;
    let of = |sub: &str, exp: i64| {
        let claims = json!({ "exp": in_s(exp), "room": "r", "grants": ["subscribe"], "sub": sub });
        format!("/?roomId=r&peerId=p&token={}", token("k", SECRET, &claims))
    };
    let first = knock(&server, &of("ann", 60), &[PROTOO]).await.map_err(|refusal| refusal.1).expect("comes");
    let (status, _) = knock(&server, &of("ben", 60), &[PROTOO]).await.err().expect("the name is taken");
    assert_eq!(status, 409);
    assert!(knock(&server, &of("ann", 90), &[PROTOO]).await.is_ok(), "with another token of hers");
    assert_eq!(first.end().await, End::Code(4_000));
}
