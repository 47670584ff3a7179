//! What strangers may not do where the server asks for tokens, and what one address may not do anywhere.

use super::*;

/// Every call of the API beside WHIP, WHEP, the page and health.
const GUARDED: [(&str, &str); 14] = [
    ("GET", "/stats"),
    ("GET", "/metrics"),
    ("GET", "/events"),
    ("GET", "/dashboard/data"),
    ("GET", "/rooms/r/peers/p"),
    ("PUT", "/log-filter"),
    ("GET", "/rooms"),
    ("GET", "/rooms/r"),
    ("DELETE", "/rooms/r"),
    ("GET", "/rooms/r/transports/t/trace"),
    ("POST", "/rooms/new/broadcasters"),
    ("DELETE", "/rooms/r/broadcasters/b"),
    ("POST", "/rooms/r/broadcasters/b/transports"),
    ("POST", "/test-hooks/worker/0"),
];

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

async fn with(whip: &[&str], whep: &[&str], api: &[&str]) -> Server {
    let owned = |tokens: &[&str]| tokens.iter().map(|token| (*token).to_owned()).collect();
    let mut config = Config::default();
    config.whip.tokens = owned(whip);
    config.whep.tokens = owned(whep);
    config.api.tokens = owned(api);
    Server::start_with(config).await
}

#[tokio::test]
async fn the_api_asks_for_a_token_where_one_is_set() {
    let body = r#"{"id":"b","displayName":"B","device":{"name":"test"}}"#;
    for (server, right, other) in [
        (with(&[], &[], &["operate"]).await, "operate", None),
        (with(&["publish"], &["watch"], &["operate"]).await, "operate", Some("publish")),
        (with(&["publish"], &["watch"], &[]).await, "publish", Some("watch")),
        (with(&[], &["watch"], &[]).await, "watch", None),
    ] {
        let made = server.send("POST", "/rooms/r/broadcasters", &bearer(right), body).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.text);
        for (method, path) in GUARDED {
            let refused = server.send(method, path, "", body).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}: {}", refused.text);
            assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"corecast\""));
            let unknown = server.send(method, path, &bearer("unknown"), body).await;
            assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            if let Some(other) = other {
                let other = server.send(method, path, &bearer(other), body).await;
                assert_eq!(other.status, StatusCode::FORBIDDEN, "{method} {path}: {}", other.text);
            }
        }
        let rooms = server.send("GET", "/rooms", &bearer(right), "").await.json();
        assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(1), "nothing was made or closed: {rooms}");
        assert_eq!(rooms["rooms"][0]["broadcasters"][0]["id"], "b");
        // Load balancers have no token. A worker may not have answered its first heartbeat yet.
        server.until("healthy", async || server.get("/health").await.status == StatusCode::OK).await;
        assert_eq!(server.get("/status").await.status, StatusCode::OK, "the page itself holds nothing");
        let closed = server.send("DELETE", "/rooms/r", &bearer(right), "").await;
        assert_eq!(closed.status, StatusCode::NO_CONTENT, "{}", closed.text);
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_use_the_api_with_a_token_and_are_preflighted_without() {
    let server = with(&[], &[], &["operate"]).await;
    let origin = "Origin: https://app.example\r\n";
    let asks = format!("{origin}Access-Control-Request-Method: DELETE\r\n");
    let answer = server.send("OPTIONS", "/rooms/r", &asks, "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let answer = server.send("GET", "/stats", &format!("{origin}{}", bearer("operate")), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer = server.send("GET", "/stats", origin, "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
}

#[tokio::test]
async fn tokens_of_the_api_cannot_be_guessed_fast() {
    let server = with(&[], &[], &["operate"]).await;
    let mut refused = StatusCode::UNAUTHORIZED;
    for attempt in 0..1_000 {
        if refused != StatusCode::UNAUTHORIZED {
            break;
        }
        refused = server.send("GET", "/stats", &bearer(&format!("guess{attempt}")), "").await.status;
    }
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn plain_transports_send_only_where_they_may() {
    for (networks, to, status) in [
        (vec![], "169.254.169.254", 400),
        (vec![], "::ffff:169.254.169.254", 400),
        (vec![], "127.0.0.1", 200),
        (vec![], "192.0.2.7", 200),
        (vec!["192.0.2.0/24"], "192.0.2.7", 200),
        (vec!["192.0.2.0/24"], "127.0.0.1", 400),
        (vec!["192.0.2.0/24"], "198.51.100.7", 400),
    ] {
        let mut config = Config::default();
        config.rtc.plain_networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
        let server = Server::start_with(config).await;
        let (of, _) = legacy(&server, "r", None).await;
        let body = json!({ "type": "plain", "comedia": false, "rtcpMux": true });
        let transport = server.made(&format!("{of}/transports"), body).await;
        let connect = format!("{of}/transports/{}/connect", transport["id"].as_str().expect("an id"));
        let answer = server.post(&connect, json!({ "ip": to, "port": 5_004 })).await;
        assert_eq!(answer.status.as_u16(), status, "{to} of {networks:?}: {}", answer.text);
        assert_eq!(answer.text.contains("rtc.plain_networks"), status == 400, "{}", answer.text);
    }
}

/// A read by a host name, as a page makes it whose name was made to point to this server: without an origin.
async fn read_by(server: &Server, host: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("status");
    Answer { status, location: None, head: Vec::new(), text: text.to_owned() }
}

#[tokio::test]
async fn a_page_whose_name_was_made_to_point_here_reads_nothing() {
    let mut config = Config::default();
    config.http.origins = vec!["http://sfu.example:4080".into()];
    let server = Server::start_with(config).await;
    for path in ["/rooms", "/stats", "/metrics", "/rooms/r", "/whep/r/s/secret"] {
        let refused = read_by(&server, "evil.example:4080", path).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.text);
        for host in ["127.0.0.1", "127.0.0.1:4080", "[::1]:4080", "localhost:4080", "sfu.example:4080"] {
            let answer = read_by(&server, host, path).await;
            assert_ne!(answer.status, StatusCode::FORBIDDEN, "{path} by {host}: {}", answer.text);
        }
    }
    // The page's files and health hold nothing.
    for path in ["/", "/assets/main.js", "/health", "/status"] {
        assert_ne!(read_by(&server, "evil.example", path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let guarded = with(&[], &[], &["operate"]).await;
    for (_, path) in GUARDED.iter().filter(|(method, _)| *method == "GET") {
        let refused = read_by(&guarded, "evil.example", path).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}, where a token is asked for: {}", refused.text);
    }
}

/// A request for a broadcaster from this address of loopback.
async fn post_from(server: &Server, from: [u8; 4], room: &str) -> Answer {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("binds");
    let stream = socket.connect(server.address).await.expect("connects");
    let body = r#"{"id":"b","displayName":"B","device":{"name":"test"}}"#;
    server.send_on(stream, "POST", &format!("/rooms/{room}/broadcasters"), "", body).await
}

#[tokio::test]
async fn one_address_leaves_rooms_for_others() {
    let mut config = Config::default();
    config.rooms.max = 5;
    config.rooms.max_per_ip = 3;
    let server = Server::start_with(config).await;
    let (one, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    for room in ["a", "b", "c"] {
        assert_eq!(post_from(&server, one, room).await.status, StatusCode::OK);
    }
    let refused = post_from(&server, one, "d").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    assert!(refused.text.contains("rooms.max_per_ip") && refused.header("retry-after").is_some(), "{}", refused.text);
    // Another address has its own, until there are no more for anybody.
    assert_eq!(post_from(&server, other, "d").await.status, StatusCode::OK);
    assert_eq!(post_from(&server, other, "e").await.status, StatusCode::OK);
    let full = post_from(&server, other, "f").await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE, "{}", full.text);
    // A room that is there already is no new one, and one that has closed counts no longer.
    let there = post_from(&server, one, "d").await;
    assert_eq!(there.status, StatusCode::CONFLICT, "the name is taken, the room is not refused: {}", there.text);
    assert_eq!(server.send("DELETE", "/rooms/a", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(post_from(&server, one, "g").await.status, StatusCode::OK);
}
