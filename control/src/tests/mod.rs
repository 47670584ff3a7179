//! The API over real HTTP, with workers that keep identifiers and forward nothing.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

mod access;
mod admin;
mod dashboard;
#[path = "../../../tests/src/described.rs"]
mod described;
mod endpoints;
mod grants;
mod joins;
mod layers;
mod lifecycle;
mod metrics;
mod packaging;
mod protoo;
mod proxies;
mod sessions;
mod wide;

use crate::addresses::Addresses;
use crate::certificate::Certificate;
use crate::config::Config;
use crate::http::App;
use crate::ledger::Rows;
use crate::rooms::Rooms;
use crate::server::{operators, router};
use crate::workers::fake_worker;
use crate::workers::{Pool, Spawned, Watch};

/// A server on a port of its own.
struct Server {
    address: std::net::SocketAddr,
    /// The API for operators, as it is served by a Unix socket and by TCP.
    admin: std::net::SocketAddr,
    admin_by_tcp: std::net::SocketAddr,
}

struct Answer {
    status: StatusCode,
    location: Option<String>,
    /// Lines of the head, in lower case up to the colon.
    head: Vec<String>,
    text: String,
}

impl Answer {
    /// Every value of a header.
    fn all(&self, name: &str) -> Vec<&str> {
        self.head.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

impl Server {
    async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    async fn start_with(config: Config) -> Self {
        Self::over((0..2).map(fake_worker::spawn).collect(), config).await
    }

    /// One whose viewers are looked at.
    async fn start_watched(config: Config) -> Self {
        let heartbeat = config.worker.heartbeat.0;
        let (server, app) = Self::over_app((0..2).map(fake_worker::spawn).collect(), config).await;
        tokio::spawn(async move { app.telemetry().watch(app.pool(), app.rooms(), heartbeat).await });
        server
    }

    async fn over(spawned: Vec<Spawned>, config: Config) -> Self {
        Self::over_app(spawned, config).await.0
    }

    async fn over_app(spawned: Vec<Spawned>, config: Config) -> (Self, Arc<App>) {
        let watch = Watch {
            heartbeat: config.worker.heartbeat.0,
            timeout: config.worker.timeout.0,
            usage_interval: config.usage.interval.0,
        };
        let (pool, _deaths, _starts) = Pool::open(spawned, watch).expect("opens");
        let pool = Arc::new(pool.placing(config.rooms.placement, Vec::new(), config.rooms.widen_percent));
        let addresses =
            Addresses::find(&config.rtc.listen_ips).expect("loopback").sending_to(&config.rtc.plain_networks);
        let certificate = Certificate::draw().expect("draws");
        let app = Arc::new(App::new(config, pool, addresses, &certificate, (Arc::default(), &Rows::default())));
        tokio::spawn(Rooms::close_idle(Arc::clone(app.rooms())));
        let address = serve(router(&app, &Rows::default()).await).await;
        let (admin, admin_by_tcp) =
            (serve(operators::routes(&app, false)).await, serve(operators::routes(&app, true)).await);
        (Self { address, admin, admin_by_tcp }, app)
    }

    /// A request to the API for operators, as by a Unix socket.
    async fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let stream = TcpStream::connect(self.admin).await.expect("connects");
        self.send_on(stream, method, path, "", body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("connects");
        self.send_on(stream, method, path, headers, body).await
    }

    async fn send_on(&self, mut stream: TcpStream, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        let is_for_clients = stream.peer_addr().is_ok_and(|address| address == self.address);
        // A server that refuses a long body may close before it has read it.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let answer = String::from_utf8(bytes).expect("text");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a whole answer");
        let status: StatusCode = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("status");
        let location = head.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
        let (asked, answered) = ((method, path, body), (status.as_u16(), head, text));
        let fault = match is_for_clients {
            true => described::fault_of_clients(asked, answered),
            false => described::fault_of_operators(asked, answered),
        };
        assert_eq!(fault, None, "{method} {path} {body}: {status} {text}");
        let head = head.lines().skip(1).map(str::to_owned).collect();
        Answer { status, location, head, text: text.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, "Content-Type: application/json\r\n", &body.to_string()).await
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    /// A wrong request: its status and a part of its sentence; `/stats` says the same before and after.
    async fn wrong(&self, path: &str, body: Value, status: u16, part: &str) {
        let before = self.objects().await;
        let answer = self.post(path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.text);
        assert!(answer.text.contains(part), "{part} is not in: {}", answer.text);
        assert_eq!(answer.text.trim_end().lines().count(), 1, "one sentence: {}", answer.text);
        assert_eq!(self.objects().await, before, "{path} changed something");
    }

    async fn objects(&self) -> Value {
        let stats = self.get("/stats").await.json();
        json!([stats["rooms"], stats["transports"].as_array().map(Vec::len)])
    }
}

/// Serves these routes: where.
async fn serve(routes: Router) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let service = routes.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    address
}

/// Whether a client is told to come again after some seconds.
fn is_soon(retry_after: Option<&str>) -> bool {
    retry_after.is_some_and(|secs| secs.parse().is_ok_and(|secs: u32| (1..=3).contains(&secs)))
}

fn opus() -> Value {
    json!({ "kind": "audio", "rtpParameters": {
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                     "parameters": { "sprop-stereo": 1 } }],
        "encodings": [{ "ssrc": 1111 }] } })
}

fn vp8() -> Value {
    json!({ "kind": "video", "rtpParameters": {
        "codecs": [{ "mimeType": "video/vp8", "payloadType": 101, "clockRate": 90000 }],
        "encodings": [{ "ssrc": 2222 }] } })
}

fn plain() -> Value {
    json!({ "type": "plain", "comedia": true, "rtcpMux": false })
}

/// A legacy broadcaster with one transport: its path and the transport's.
async fn legacy(server: &Server, room: &str, capabilities: Option<Value>) -> (String, String) {
    let mut body = json!({ "id": "b", "displayName": "B", "device": { "name": "test" } });
    if let Some(capabilities) = capabilities {
        body["rtpCapabilities"] = capabilities;
    }
    server.made(&format!("/rooms/{room}/broadcasters"), body).await;
    let of = format!("/rooms/{room}/broadcasters/b");
    let transport = server.made(&format!("{of}/transports"), plain()).await;
    let on = format!("{of}/transports/{}", transport["id"].as_str().expect("has an id"));
    (of, on)
}

#[tokio::test]
async fn the_legacy_scripts_calls() {
    let server = Server::start().await;
    assert!(server.get("/rooms/r").await.json()["codecs"].is_array());
    let broadcaster = json!({ "id": "abc", "displayName": "Broadcaster", "device": { "name": "FFmpeg" } });
    assert_eq!(server.made("/rooms/r/broadcasters", broadcaster).await, json!({ "peers": [] }));
    for (mut producer, port) in [(opus(), 40_000), (vp8(), 40_002)] {
        let transport = server.made("/rooms/r/broadcasters/abc/transports", plain()).await;
        assert_eq!((&transport["ip"], &transport["port"]), (&json!("127.0.0.1"), &json!(port)));
        assert_eq!(transport["rtcpPort"], json!(port + 1));
        producer["appData"] = json!({ "source": "x" });
        let path = format!("/rooms/r/broadcasters/abc/transports/{}/producers", transport["id"].as_str().expect("id"));
        assert!(server.made(&path, producer).await["id"].is_string());
    }
    let answer = server.send("DELETE", "/rooms/r/broadcasters/abc", "", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.get("/stats").await.json()["transports"], json!([]));
}

#[tokio::test]
async fn the_typed_scripts_calls() {
    let server = Server::start().await;
    assert!(server.get("/rooms/r").await.json()["routerRtpCapabilities"]["codecs"].is_array());
    let broadcaster =
        json!({ "peerId": "p", "displayName": "GStreamer", "device": { "name": "g", "flag": "gstreamer" } });
    let answer = server.post("/rooms/r/broadcasters", broadcaster).await;
    assert_eq!((answer.status, answer.location.as_deref()), (StatusCode::CREATED, Some("/rooms/r/broadcasters/p")));
    let of = "/rooms/r/broadcasters/p";
    let body = json!({ "direction": "producer", "comedia": true, "rtcpMux": false });
    let answer = server.post(&format!("{of}/transports"), body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let transport = answer.json()["transportId"].as_str().expect("id").to_owned();
    assert_eq!(answer.location, Some(format!("{of}/transports/{transport}")));
    let produce = format!("{of}/transports/{transport}/producers");
    server.wrong(&produce, vp8(), 409, "not joined").await;
    assert_eq!(server.post(&format!("{of}/join"), json!({})).await.status, StatusCode::OK);
    server.wrong(&format!("{of}/join"), json!({}), 409, "joined already").await;
    let producer = server.made(&produce, vp8()).await["producerId"].clone();

    let body = json!({ "direction": "consumer", "comedia": false, "rtcpMux": false });
    let to = server.made(&format!("{of}/transports"), body).await["transportId"].clone();
    let on = format!("{of}/transports/{}", to.as_str().expect("id"));
    let connect = json!({ "ip": "127.0.0.1", "port": 10_002, "rtcpPort": 10_003 });
    assert_eq!(server.post(&format!("{on}/connect"), connect.clone()).await.status, StatusCode::OK);
    server.wrong(&format!("{on}/connect"), connect, 409, "connected already").await;
    let capabilities = json!({ "codecs": [{ "kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 101,
        "clockRate": 90000, "parameters": {}, "rtcpFeedback": [{ "type": "nack" }] }] });
    let body = json!({ "transportId": to, "producerId": producer, "paused": true, "rtpCapabilities": capabilities });
    let consumer = server.made(&format!("{of}/consumers"), body.clone()).await;
    assert_eq!(consumer["rtpParameters"]["codecs"][0]["payloadType"], 101);
    let id = consumer["consumerId"].as_str().expect("id");
    for act in ["resume", "pause", "requestKeyFrame"] {
        let answer = server.post(&format!("{of}/consumers/{id}/{act}"), json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{act}");
    }
    // As ffmpeg-receiver.sh has it.
    let second = server.made(&format!("{on}/consume"), body).await;
    assert_ne!(second["rtpParameters"]["encodings"][0]["ssrc"], consumer["rtpParameters"]["encodings"][0]["ssrc"]);
    assert_eq!(second["rtpParameters"]["mid"], "1");
    let resume = json!({ "consumerId": second["consumerId"] });
    assert_eq!(server.post(&format!("{on}/resume"), resume).await.status, StatusCode::OK);
    let infos = server.get(&format!("{of}/peerProducersInfos")).await.json();
    assert_eq!(infos, json!({ "peerProducersInfos": [] }), "one's own are not among them");
    assert_eq!(server.send("DELETE", of, "", "").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_legacy_consumer() {
    let server = Server::start().await;
    let capabilities = server.get("/rooms/r").await.json();
    let capabilities =
        json!({ "codecs": capabilities["codecs"], "headerExtensions": capabilities["headerExtensions"] });
    let (_, on) = legacy(&server, "r", None).await;
    let producer = server.made(&format!("{on}/producers"), vp8()).await["id"].as_str().expect("id").to_owned();
    let body = json!({ "id": "c", "displayName": "C", "device": { "name": "test" }, "rtpCapabilities": capabilities });
    let peers = server.made("/rooms/r/broadcasters", body).await;
    assert_eq!(peers["peers"][0]["producers"], json!([{ "id": producer, "kind": "video" }]));
    let to = server.made("/rooms/r/broadcasters/c/transports", plain()).await["id"].clone();
    let to = format!("/rooms/r/broadcasters/c/transports/{}", to.as_str().expect("id"));
    let consumer = server.made(&format!("{to}/consume?producerId={producer}"), json!({})).await;
    assert_eq!((&consumer["kind"], &consumer["type"]), (&json!("video"), &json!("simple")));
    assert_eq!(consumer["rtpParameters"]["codecs"][1]["mimeType"], "video/rtx");
    // Closing the producer's transport closes the consumer.
    assert_eq!(server.send("DELETE", &on, "", "").await.status, StatusCode::NO_CONTENT);
    let id = consumer["id"].as_str().expect("id");
    server.wrong(&format!("/rooms/r/broadcasters/c/consumers/{id}/resume"), json!({}), 404, id).await;
}

#[tokio::test]
async fn srtp_keys_are_exchanged() {
    let server = Server::start().await;
    let (of, _) = legacy(&server, "r", None).await;
    let transports = format!("{of}/transports");
    let key = |bytes: usize| {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]);
        json!({ "cryptoSuite": "AEAD_AES_128_GCM", "keyBase64": key })
    };
    let body = json!({ "type": "plain", "enableSrtp": true, "srtpCryptoSuite": "AEAD_AES_128_GCM" });
    let made = server.made(&transports, body).await;
    assert_eq!(made["srtpParameters"]["cryptoSuite"], "AEAD_AES_128_GCM");
    assert_eq!(made["srtpParameters"]["keyBase64"].as_str().map(str::len), Some(40));
    let connect = format!("{transports}/{}/connect", made["id"].as_str().expect("id"));
    server.wrong(&connect, json!({}), 400, "srtpParameters").await;
    server.wrong(&connect, json!({ "srtpParameters": key(27) }), 400, "is 27 bytes long").await;
    server.wrong(&connect, json!({ "ip": "127.0.0.1", "srtpParameters": key(28) }), 400, "ip: ").await;
    assert_eq!(server.post(&connect, json!({ "srtpParameters": key(28) })).await.status, StatusCode::OK);
    server.wrong(&connect, json!({ "srtpParameters": key(28) }), 409, "connected already").await;
    // The key may be given at once.
    let made = server.made(&transports, json!({ "type": "plain", "srtpParameters": key(28) })).await;
    assert_eq!(made["srtpParameters"]["cryptoSuite"], "AEAD_AES_128_GCM");
    server.wrong(&transports, json!({ "type": "plain", "srtpParameters": key(3) }), 400, "keyBase64").await;
    let body = json!({ "type": "plain", "srtpCryptoSuite": "ROT13" });
    server.wrong(&transports, body, 400, "srtpCryptoSuite").await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let server = Server::start().await;
    let (of, on) = legacy(&server, "r", None).await;
    let device = json!({ "name": "x" });
    let rooms = "/rooms/r/broadcasters";
    for (path, body, status, part) in [
        (rooms, json!({ "displayName": "x", "device": device }), 400, "peerId"),
        (rooms, json!({ "id": "x", "peerId": "x", "displayName": "x", "device": device }), 400, "id"),
        (rooms, json!({ "id": "x", "displayName": 7, "device": device }), 400, "displayName"),
        (rooms, json!({ "id": "x", "displayName": "x" }), 400, "device"),
        (rooms, json!({ "id": "x", "displayName": "x", "device": { "name": "x".repeat(257) } }), 400, "device.name"),
        (
            rooms,
            json!({ "id": "x", "displayName": "x", "device": { "name": "x" }, "rtpCapabilities": {
                "headerExtensions": [{ "uri": "x".repeat(257), "preferredId": 1 }] } }),
            400,
            "rtpCapabilities.headerExtensions[0].uri",
        ),
        (
            rooms,
            json!({ "id": "x", "displayName": "x", "device": { "name": "x", "version": [1] } }),
            400,
            "device.version",
        ),
        (rooms, json!({ "id": "b", "displayName": "x", "device": device }), 409, "already"),
        ("/rooms/none/broadcasters/b/transports", plain(), 404, "none"),
        ("/rooms/r/broadcasters/none/transports", plain(), 404, "none"),
        (&format!("{of}/transports"), json!({}), 400, "type"),
        (&format!("{of}/transports"), json!({ "type": "pipe" }), 400, "pipe"),
        (&format!("{of}/transports"), json!({ "direction": "up" }), 400, "direction"),
        (&format!("{of}/transports"), json!({ "type": "plain", "rtcpMux": "no" }), 400, "rtcpMux"),
        (&format!("{of}/transports"), json!({ "type": "plain", "listenIp": "192.0.2.1" }), 400, "listenIp"),
        (&format!("{on}/connect"), json!({}), 409, "nothing to connect"),
        (&format!("{of}/producers"), vp8(), 400, "transportId"),
        (&format!("{on}/producers"), json!({ "kind": "text" }), 400, "kind"),
        (&format!("{on}/consume"), json!({}), 400, "producerId"),
        (&format!("{on}/consume?producerId=none"), json!({}), 400, "rtpCapabilities"),
        (&format!("{on}/consume/data"), json!({}), 400, "dataProducerId"),
        (&format!("{on}/consume/data"), json!({ "dataProducerId": "none" }), 409, "data channels"),
        (&format!("{on}/produce/data"), json!({ "label": "x" }), 400, "sctpStreamParameters"),
        (&format!("{on}/produce/data"), json!({ "sctpStreamParameters": { "streamId": 0 } }), 409, "data channels"),
        (&format!("{on}/connect"), json!({ "dtlsParameters": { "fingerprints": [] } }), 400, "fingerprints"),
        (&format!("{of}/consumers/none/resume"), json!({}), 404, "none"),
        ("/test-hooks/worker/0", json!({ "hook": "panic" }), 404, "nothing"),
        ("/nowhere", json!({}), 404, "nothing"),
    ] {
        server.wrong(path, body, status, part).await;
    }
    let mut wrong = vp8();
    wrong["rtpParameters"]["codecs"][0]["payloadType"] = json!("x");
    server.wrong(&format!("{on}/producers"), wrong, 400, "rtpParameters.codecs[0].payloadType").await;
    server.made(&format!("{on}/producers"), vp8()).await;
    server.wrong(&format!("{on}/producers"), vp8(), 409, "2222").await;
    assert_eq!(server.send("PUT", "/rooms/r", "", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn connect_takes_addresses_that_media_can_be_sent_to() {
    let server = Server::start().await;
    let (of, _) = legacy(&server, "r", None).await;
    let body = json!({ "type": "plain", "comedia": false, "rtcpMux": false });
    let made = server.made(&format!("{of}/transports"), body).await;
    let connect = format!("{of}/transports/{}/connect", made["id"].as_str().expect("id"));
    for (body, part) in [
        (json!({ "port": 5, "rtcpPort": 6 }), "ip: "),
        (json!({ "ip": "127.0.0.1", "rtcpPort": 6 }), "port: "),
        (json!({ "ip": "127.0.0.1", "port": 5 }), "rtcpPort: "),
        (json!({ "ip": "127.0.0.1", "port": 0, "rtcpPort": 6 }), "port: "),
        (json!({ "ip": "127.0.0.1", "port": 65_536, "rtcpPort": 6 }), "port: "),
        (json!({ "ip": "localhost", "port": 5, "rtcpPort": 6 }), "ip: "),
        (json!({ "ip": "::1", "port": 5, "rtcpPort": 6 }), "family"),
        (json!({ "ip": "224.0.0.1", "port": 5, "rtcpPort": 6 }), "rtc.plain_networks"),
        (json!({ "ip": "0.0.0.0", "port": 5, "rtcpPort": 6 }), "rtc.plain_networks"),
        (json!({ "ip": "255.255.255.255", "port": 5, "rtcpPort": 6 }), "rtc.plain_networks"),
        (json!({ "ip": "127.0.0.1", "port": 5, "rtcpPort": 6, "dtlsParameters": {} }), "dtlsParameters"),
    ] {
        server.wrong(&connect, body, 400, part).await;
    }
}

#[tokio::test]
async fn ports_run_out_with_a_clear_word() {
    let server = Server::start().await;
    let (of, _) = legacy(&server, "r", None).await;
    for _ in 1..50 {
        server.made(&format!("{of}/transports"), plain()).await;
    }
    server.wrong(&format!("{of}/transports"), plain(), 503, "rtc.port_range").await;
    let stats = server.get("/stats").await.json();
    assert_eq!(stats["transports"].as_array().map(Vec::len), Some(50), "all pages");
    assert!(stats["transports"].as_array().expect("list").iter().all(|of| of["id"].is_string()));
}

#[tokio::test]
async fn bodies_that_are_no_json_or_too_much() {
    let server = Server::start().await;
    for (body, status) in [
        ("{".to_owned(), 400),
        ("{} x".to_owned(), 400),
        ("[".repeat(100_000), 400),
        (r#"{"id":"a","id":"b","displayName":"x","device":{"name":"x"}}"#.to_owned(), 400),
        ("x".repeat((128 << 10) + 1), 413),
    ] {
        let answer = server.send("POST", "/rooms/r/broadcasters", "", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{}: {}", &body[..20.min(body.len())], answer.text);
    }
    assert_eq!(server.get("/stats").await.json()["rooms"], json!([]), "a wrong body makes no room");
}

#[tokio::test]
async fn rooms_go_round_and_origins_are_checked() {
    let server = Server::start().await;
    for room in ["a", "b", "c", "a"] {
        assert_eq!(server.get(&format!("/rooms/{room}")).await.status, StatusCode::OK);
    }
    assert_eq!(server.get("/rooms").await.json()["rooms"], json!([]), "a GET makes no room");
    for (room, id) in [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y")] {
        let body = json!({ "id": id, "displayName": "x", "device": { "name": "x" } });
        server.made(&format!("/rooms/{room}/broadcasters"), body).await;
    }
    let rooms = server.get("/rooms").await.json()["rooms"].clone();
    let workers: Vec<_> = rooms.as_array().expect("list").iter().map(|room| room["worker"].clone()).collect();
    assert_eq!(workers, [0, 1, 0]);
    let origin = |origin: &str| format!("Origin: {origin}\r\n");
    for (sent, status) in [
        (origin("http://evil.example"), 403),
        (origin("null"), 403),
        (origin(&format!("http://{}", server.address)), 200),
    ] {
        assert_eq!(server.send("GET", "/rooms/a", &sent, "").await.status.as_u16(), status, "{sent}");
    }
    assert_eq!(server.send("DELETE", "/rooms/a", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.send("DELETE", "/rooms/a", "", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_status_page_stands_alone() {
    let server = Server::start().await;
    let page = server.get("/status").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<title>corecast status</title>"));
    let outside = page.text.matches("://").count() - page.text.matches("http://www.w3.org/2000/svg").count();
    assert_eq!(outside, 0, "nothing is loaded from elsewhere");
    while server.get("/health").await.status != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

/// Paths below `/assets/` and names of modules that a file of the page names.
fn named_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for before in ["\"assets/", "from \"./"] {
        names.extend(text.split(before).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    names
}

#[tokio::test]
async fn every_file_of_the_page_is_served_under_its_policy() {
    let server = Server::start().await;
    let mut wanted = vec!["/".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = wanted.pop() {
        let file = server.get(&path).await;
        assert_eq!(file.status, StatusCode::OK, "{path}");
        let content_type = match path.rsplit_once('.').map(|(_, ending)| ending) {
            None => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some(other) => panic!("{path}: what is {other}?"),
        };
        assert_eq!(file.header("content-type"), Some(content_type), "{path}");
        let policy = file.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let outside = file.text.matches("://").count() - file.text.matches("http://www.w3.org/2000/svg").count();
        let own = file.text.matches("https://${location.host}").count();
        assert_eq!(outside, own, "{path} names something elsewhere");
        let asks = format!("If-None-Match: \"other\", {}\r\n", file.header("etag").expect("an ETag"));
        let again = server.send("GET", &path, &asks, "").await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        wanted.extend(named_in(&file.text).into_iter().map(|name| format!("/assets/{name}")));
        seen.push(path);
        wanted.retain(|path| !seen.contains(path));
    }
    assert!(seen.len() > 10, "{seen:?}");
    let page = server.get("/").await.text;
    for module in seen.iter().filter(|path| path.ends_with(".js")) {
        assert!(page.contains(&format!("\"{}\"", &module[1..])), "{module} is not fetched early");
    }
    assert_eq!(server.get("/assets/nothing.js").await.status, StatusCode::NOT_FOUND);
}
