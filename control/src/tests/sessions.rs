//! What a WHIP or WHEP client does, and what becomes of its session.

use std::time::Duration;

use super::*;
use crate::workers::fake_worker::{CLOSES, FAILS, FALLS_SILENT, NEVER_COMES, STUMBLES};

const ICE: (&str, &str) = ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1");
/// A client that comes and stays.
pub(super) const STAYS: u8 = 0xAA;

/// An offer of Opus and VP8, as browsers make it. `client` decides what the client does next.
pub(super) fn offer(direction: &str, client: u8) -> String {
    let fingerprint = format!("{client:02X}") + &":5A".repeat(31);
    let section = |mid: u8, media: &str, codec: &str| {
        format!(
            "m={media}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {fingerprint}\r\n\
             a=setup:actpass\r\na=mid:{mid}\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na={direction}\r\n\
             a=rtcp-mux\r\n{codec}",
            ICE.0, ICE.1
        )
    };
    let audio = section(0, "audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2\r\n");
    let vp8 = "a=rtcp-rsize\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
               a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    let video = section(1, "video 9 UDP/TLS/RTP/SAVPF 96 97", vp8);
    format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n{audio}{video}")
}

/// A fragment with these credentials.
pub(super) fn fragment((ufrag, password): (&str, &str)) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"
    )
}

impl Server {
    pub(super) async fn sdp(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "Content-Type: application/sdp\r\n", body).await
    }

    pub(super) async fn patch(&self, path: &str, headers: &str, body: &str) -> Answer {
        let headers = format!("Content-Type: application/trickle-ice-sdpfrag\r\n{headers}");
        self.send("PATCH", path, &headers, body).await
    }

    /// A publisher that comes and stays: the URL of its session.
    async fn publisher(&self, room: &str, peer: &str) -> String {
        let path = format!("/whip/{room}?peer={peer}&name=Somebody");
        let answer = self.sdp(&path, &offer("sendonly", STAYS)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.location.expect("a session URL")
    }

    pub(super) async fn room(&self, id: &str) -> Value {
        let rooms = self.get("/rooms").await.json();
        rooms["rooms"].as_array().expect("list").iter().find(|room| room["id"] == id).cloned().unwrap_or_default()
    }

    /// Waits until it is so: what a worker tells by itself comes when it comes.
    pub(super) async fn until(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        for _ in 0..2_000 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("never: {what}; {}", self.get("/rooms").await.text);
    }
}

#[tokio::test]
async fn a_publisher_and_a_viewer() {
    let server = Server::start().await;
    let answer = server.sdp("/whip/r?peer=ann&name=Ann%20O", &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/sdp"));
    assert_eq!(answer.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(answer.all("link"), ["</whep/r/ann>; rel=\"alternate\""]);
    let etag = answer.header("etag").expect("an ETag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10, "{etag}");
    let session = answer.location.expect("a URL");
    let secret = session.strip_prefix("/whip/r/").expect("below the endpoint");
    assert!(secret.len() >= 22, "128 bits at least: {secret}");
    for line in ["a=ice-lite", "a=setup:passive", "a=recvonly", "a=rtcp-mux", "a=candidate:"] {
        assert!(answer.text.contains(line), "{line} is not in {}", answer.text);
    }
    server.until("connected", async || server.room("r").await["peers"][0]["connected"] == true).await;
    let room = server.room("r").await;
    assert_eq!(room["peers"][0]["displayName"], "Ann O");
    assert_eq!(room["peers"][0]["tracks"], json!(["audio", "video"]));

    for path in ["/whep/r", "/whep/r/ann"] {
        let answer = server.sdp(path, &offer("recvonly", STAYS)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert!(answer.location.as_deref().is_some_and(|url| url.starts_with("/whep/r/s/")));
        assert_eq!(answer.text.matches("a=sendonly").count(), 2, "{}", answer.text);
    }
    let room = server.room("r").await;
    assert_eq!((&room["viewers"], &room["peers"][0]["viewers"]), (&json!(2), &json!(2)));
    assert_eq!((&room["producers"], &room["consumers"], &room["transports"]), (&json!(2), &json!(4), &json!(3)));
    let stats = server.get("/stats").await.json();
    assert!(stats["transports"].as_array().expect("list").iter().all(|of| of["roomId"] == "r"), "all have names");

    // The publisher goes, and its viewers wait for it.
    assert_eq!(server.send("DELETE", &session, "If-Match: \"old\"\r\n", "").await.status, StatusCode::OK);
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::NOT_FOUND);
    let room = server.room("r").await;
    assert_eq!((&room["viewers"], &room["consumers"], &room["peers"]), (&json!(2), &json!(4), &json!([])));
    // Who has asked for nobody in particular goes on with anybody.
    let bob = server.publisher("r", "bob").await;
    assert_eq!(server.room("r").await["peers"][0]["viewers"], 1);
    server.publisher("r", "ann").await;
    let room = server.room("r").await;
    assert_eq!((&room["peers"][0]["id"], &room["peers"][0]["viewers"]), (&json!("ann"), &json!(1)));
    assert_eq!(server.send("DELETE", &bob, "", "").await.status, StatusCode::OK);
    let room = server.room("r").await;
    assert_eq!((&room["viewers"], &room["peers"][0]["viewers"]), (&json!(2), &json!(2)), "also if there is one");
}

#[tokio::test]
async fn without_a_grace_viewers_go_with_their_publisher() {
    let mut config = Config::default();
    config.rooms.viewer_grace = "0s".parse().expect("time");
    let server = Server::start_with(config).await;
    let session = server.publisher("r", "ann").await;
    assert_eq!(server.sdp("/whep/r", &offer("recvonly", STAYS)).await.status, StatusCode::CREATED);
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    let room = server.room("r").await;
    assert_eq!((&room["viewers"], &room["transports"], &room["peers"]), (&json!(0), &json!(0), &json!([])));
    assert_eq!(server.get("/stats").await.json()["transports"], json!([]));
}

#[tokio::test]
async fn a_viewer_sees_a_broadcaster_and_a_broadcaster_a_publisher() {
    let server = Server::start().await;
    let capabilities = server.get("/rooms/r").await.json()["routerRtpCapabilities"].clone();
    let (of, on) = legacy(&server, "r", Some(capabilities)).await;
    let answer = server.sdp("/whep/r", &offer("recvonly", STAYS)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::CONFLICT, Some("2")), "{}", answer.text);
    server.made(&format!("{on}/producers"), vp8()).await;
    let answer = server.sdp("/whep/r", &offer("recvonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.text.matches("a=sendonly").count(), 1, "no sound is published: {}", answer.text);
    let viewer = answer.location.expect("a URL");

    server.publisher("r", "ann").await;
    let taken = json!({ "id": "ann", "displayName": "x", "device": { "name": "x" } });
    server.wrong("/rooms/r/broadcasters", taken, 409, "already").await;
    let body = json!({ "id": "c", "displayName": "C", "device": { "name": "x" },
        "rtpCapabilities": server.get("/rooms/r").await.json()["routerRtpCapabilities"] });
    let peers = server.made("/rooms/r/broadcasters", body).await;
    let ann = peers["peers"].as_array().expect("list").iter().find(|peer| peer["id"] == "ann").expect("ann");
    let producer = ann["producers"][0]["id"].as_str().expect("producer");
    let consumer = server.made(&format!("{on}/consume?producerId={producer}"), json!({})).await;
    assert_eq!(consumer["producerId"], producer);
    // Nobody acts as a publisher by the broadcasters' API.
    server.wrong("/rooms/r/broadcasters/ann/transports", plain(), 404, "ann").await;
    assert_eq!(server.send("DELETE", "/rooms/r/broadcasters/ann", "", "").await.status, StatusCode::NOT_FOUND);

    assert_eq!(server.send("GET", &viewer, "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.send("DELETE", &of, "", "").await.status, StatusCode::OK);
    assert_eq!(server.send("GET", &viewer, "", "").await.status, StatusCode::NO_CONTENT);
    let ann = server.room("r").await["peers"][0].clone();
    assert_eq!((&ann["id"], &ann["viewers"]), (&json!("ann"), &json!(1)), "who watches the room goes on with her");
}

#[tokio::test]
async fn the_longest_standing_publisher_is_watched() {
    let server = Server::start().await;
    for peer in ["zoe", "ann", "mia"] {
        server.publisher("r", peer).await;
    }
    let connected = async || {
        let room = server.room("r").await;
        room["peers"].as_array().expect("list").iter().all(|peer| peer["connected"] == true)
    };
    server.until("all connected", connected).await;
    assert_eq!(server.sdp("/whep/r", &offer("recvonly", STAYS)).await.status, StatusCode::CREATED);
    let peers = server.room("r").await["peers"].clone();
    let watched: Vec<_> = peers.as_array().expect("list").iter().filter(|peer| peer["viewers"] == 1).collect();
    assert_eq!(watched.len(), 1);
    assert_eq!(watched[0]["id"], "zoe");
    let answer = server.sdp("/whep/r/bob", &offer("recvonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
}

#[tokio::test]
async fn ice_trickles_and_restarts() {
    let server = Server::start().await;
    let answer = server.sdp("/whip/r", &offer("sendonly", STAYS)).await;
    let session = answer.location.clone().expect("a URL");
    let etag = answer.header("etag").expect("an ETag").to_owned();
    let same = fragment(ICE);
    let new = fragment(("NeW1", "P2uYro0UCOQ4zxjKXaWCBui2"));
    let matching = |etag: &str| format!("If-Match: {etag}\r\n");
    for (headers, body, status) in [
        (String::new(), same.as_str(), 428),
        (matching("\"other\""), &same, 412),
        (matching(&format!("W/{etag}")), &same, 412),
        (matching("\"other\""), &new, 412),
        (matching(&etag), &same, 204),
        (matching(&format!("\"a\", {etag}")), &same, 204),
        (matching("*"), &same, 204),
        (matching("*"), "nonsense", 400),
        (matching("*"), &fragment((ICE.0, "P2uYro0UCOQ4zxjKXaWCBui2")), 400),
        (matching("*"), "", 400),
    ] {
        let answer = server.patch(&session, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{headers} {body}: {}", answer.text);
        assert_eq!(answer.header("etag"), None);
        assert_eq!(answer.text.is_empty(), status == 204);
    }
    let restarted = server.patch(&session, &matching("*"), &new).await;
    assert_eq!(restarted.status, StatusCode::OK, "{}", restarted.text);
    assert_eq!(restarted.header("content-type"), Some("application/trickle-ice-sdpfrag"));
    let renewed = restarted.header("etag").expect("an ETag").to_owned();
    assert_ne!(renewed, etag);
    let ufrag = |text: &str| text.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:").map(str::to_owned));
    assert!(ufrag(&restarted.text).is_some() && ufrag(&restarted.text) != ufrag(&answer.text));
    for line in ["a=ice-lite", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"] {
        assert!(restarted.text.contains(line), "{line} is not in {}", restarted.text);
    }
    // Candidates of the old ICE session are late, those of the new one are not.
    assert_eq!(server.patch(&session, &matching(&etag), &new).await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(server.patch(&session, &matching(&renewed), &new).await.status, StatusCode::NO_CONTENT);
    let wrong = server.send("PATCH", &session, "Content-Type: application/sdp\r\nIf-Match: *\r\n", &new).await;
    assert_eq!(wrong.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.room("r").await["transports"], 1, "still there");
}

/// RFC 9725 section 4.3.1: a server that restarts ICE answers a `PATCH` without `If-Match` with 428, for trickled
/// candidates too. From a viewer they are taken if their credentials say of which ICE session they are: whip-whep 1.2.0
/// sends them so. In examples of restarts `*` is in quotes.
#[tokio::test]
async fn a_patch_without_if_match_is_refused_and_a_star_in_quotes_is_one() {
    let server = Server::start().await;
    let _ann = server.publisher("r", "ann").await;
    for (endpoint, direction, trickled) in [("/whip/r", "sendonly", 428), ("/whep/r/ann", "recvonly", 204)] {
        let answer = server.sdp(endpoint, &offer(direction, STAYS)).await;
        let session = answer.location.clone().expect("a URL");
        let (same, new) = (fragment(ICE), fragment(("NeW1", "P2uYro0UCOQ4zxjKXaWCBui2")));
        let of_none = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n"
            .to_owned();
        for (headers, body, status) in [
            ("", &same, trickled),
            ("", &new, 428),
            ("", &of_none, 428),
            ("If-Match: \"other\"\r\n", &same, 412),
            ("If-Match: \"*\"\r\n", &same, 204),
            ("If-Match: \"*\"\r\n", &new, 200),
            // These were of the ICE session before.
            ("", &same, 428),
            ("", &new, trickled),
        ] {
            let answer = server.patch(&session, headers, body).await;
            assert_eq!(answer.status.as_u16(), status, "{endpoint} {headers} {body}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn sessions_end_when_their_transport_does() {
    let mut config = Config::default();
    config.rtc.connect_timeout = "60ms".parse().expect("time");
    let server = Server::start_with(config).await;
    for client in [FAILS, FALLS_SILENT, CLOSES, NEVER_COMES] {
        for (endpoint, direction) in [("/whip/r", "sendonly"), ("/whep/r/ann", "recvonly")] {
            let ann = server.publisher("r", "ann").await;
            let answer = server.sdp(endpoint, &offer(direction, client)).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
            let session = answer.location.expect("a URL");
            let gone = async || server.send("GET", &session, "", "").await.status == StatusCode::NOT_FOUND;
            server.until("the session has gone", gone).await;
            assert_eq!(server.room("r").await["transports"], 1, "{client}: only the transport of who stays");
            assert_eq!(server.send("DELETE", &ann, "", "").await.status, StatusCode::OK);
        }
    }
    assert_eq!(server.get("/stats").await.json()["transports"], json!([]));
}

#[tokio::test]
async fn a_session_that_has_ended_says_why_and_a_farewell_by_dtls_is_no_error() {
    let server = Server::start().await;
    let ends = [
        (CLOSES, "closed DTLS", 200),
        (FALLS_SILENT, "nothing was heard", 404),
        (FAILS, "must have an ECDSA key", 404),
    ];
    for (client, why, status) in ends {
        let session = server.sdp("/whip/r", &offer("sendonly", client)).await.location.expect("a URL");
        let gone = async || server.send("GET", &session, "", "").await.status == StatusCode::NOT_FOUND;
        server.until("the session has gone", gone).await;
        let answer = server.send("GET", &session, "", "").await;
        assert!(answer.text.contains("has ended") && answer.text.contains(why), "{}", answer.text);
        let elsewhere = session.replace("/r/", "/other/");
        assert_eq!(server.send("DELETE", &elsewhere, "", "").await.status, StatusCode::NOT_FOUND);
        assert_eq!(server.send("DELETE", &session, "", "").await.status.as_u16(), status);
        assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::NOT_FOUND, "once");
    }
}

#[tokio::test]
async fn who_never_was_connected_is_told_how_far_it_came() {
    let server = Server::start().await;
    let troubled = "ICE completed, DTLS connecting: a fake stumbles";
    for (client, how_far) in [(NEVER_COMES, "ICE new, DTLS new"), (STUMBLES, troubled)] {
        let session = server.sdp("/whip/r", &offer("sendonly", client)).await.location.expect("a URL");
        let mut events = Events::open(&server, &format!("{session}/events?events=ended")).await;
        assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
        let why = format!("its client asked for it ({how_far})");
        assert_eq!(events.next().await, Some(("ended".to_owned(), json!({ "reason": why }))));
        let answer = server.send("GET", &session, "", "").await;
        assert!(answer.text.contains(&format!("the session has ended: {why}")), "{}", answer.text);
    }
    let session = server.publisher("r", "ann").await;
    server.until("connected", async || server.room("r").await["peers"][0]["connected"] == true).await;
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    let answer = server.send("GET", &session, "", "").await;
    assert!(answer.text.contains("its client asked for it") && !answer.text.contains("DTLS"), "{}", answer.text);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing() {
    let server = Server::start().await;
    server.publisher("other", "stays").await;
    let body = offer("sendonly", STAYS);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.expect("connects");
        let head = format!("POST /whip/r HTTP/1.1\r\nHost: {}\r\nContent-Type: application/sdp\r\n", server.address);
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &length).as_bytes()).await.expect("writes");
        // Half of the body: there is nothing to work with.
        stream.write_all(&body.as_bytes()[..body.len() / 2]).await.expect("writes");
        drop(stream);
    }
    server
        .until("idle", async || server.get("/stats").await.json()["transports"].as_array().map(Vec::len) == Some(1))
        .await;
    assert_eq!(server.room("r").await, Value::Null, "not even a room");
}

/// Reads events as they come.
pub(super) struct Events(tokio::io::BufReader<TcpStream>);

impl Events {
    pub(super) async fn open(server: &Server, path: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("connects");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
        stream.write_all(head.as_bytes()).await.expect("writes");
        Self(tokio::io::BufReader::new(stream))
    }

    async fn line(&mut self) -> Option<String> {
        use tokio::io::AsyncBufReadExt as _;
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), self.0.read_line(&mut line)).await.expect("in time");
        (read.expect("reads") > 0).then(|| line.trim_end().to_owned())
    }

    /// Name and data of the next one; none at the end.
    pub(super) async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            }
        }
    }
}

#[tokio::test]
async fn listeners_are_told_who_comes_and_goes() {
    let server = Server::start().await;
    // Makes the room.
    server.sdp("/whip/r?peer=nobody", &offer("sendonly", NEVER_COMES)).await;
    let mut events = Events::open(&server, "/rooms/r/events").await;
    let told = |name: &str, data: Value| Some((name.to_owned(), data));
    assert_eq!(events.next().await, told("peers", json!([])));
    let ann = server.publisher("r", "ann").await;
    let of_ann = json!({ "peer": "ann", "name": "Somebody", "tracks": ["audio", "video"] });
    assert_eq!(events.next().await, told("joined", of_ann.clone()));
    let mut late = Events::open(&server, "/rooms/r/events").await;
    assert_eq!(late.next().await, told("peers", json!([of_ann])));
    let (of, on) = legacy(&server, "r", None).await;
    assert_eq!(events.next().await, told("joined", json!({ "peer": "b", "name": "B", "tracks": [] })));
    let producer = server.made(&format!("{on}/producers"), vp8()).await["id"].as_str().expect("id").to_owned();
    assert_eq!(events.next().await, told("changed", json!({ "peer": "b", "name": "B", "tracks": ["video"] })));
    assert_eq!(server.send("DELETE", &format!("{of}/producers/{producer}"), "", "").await.status.as_u16(), 204);
    assert_eq!(events.next().await, told("changed", json!({ "peer": "b", "name": "B", "tracks": [] })));
    assert_eq!(server.send("DELETE", &of, "", "").await.status, StatusCode::OK);
    assert_eq!(events.next().await, told("left", json!({ "peer": "b" })));
    assert_eq!(server.send("DELETE", &ann, "", "").await.status, StatusCode::OK);
    assert_eq!(events.next().await, told("left", json!({ "peer": "ann" })));
    // One that never connected was never there.
    let ghost = server.sdp("/whip/r?peer=ghost", &offer("sendonly", NEVER_COMES)).await;
    assert_eq!(server.send("DELETE", &ghost.location.expect("a URL"), "", "").await.status, StatusCode::OK);
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status.as_u16(), 204);
    assert_eq!(events.next().await, None, "the room has closed");
}

#[tokio::test]
async fn listening_makes_no_room_and_hears_of_one_that_comes() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "/rooms/r/events").await;
    assert_eq!(events.next().await, Some(("peers".to_owned(), json!([]))));
    assert_eq!(server.get("/rooms").await.json()["rooms"], json!([]));
    server.publisher("r", "ann").await;
    let (name, data) = events.next().await.expect("goes on");
    // The room was heard of before she was connected, or after.
    let ann = if name == "joined" { data } else { data[0].clone() };
    assert_eq!(ann["peer"], "ann", "{name}");
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status.as_u16(), 204);
    while events.next().await.is_some() {}
}
