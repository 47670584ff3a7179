//! What the WHIP and WHEP endpoints refuse, and what they tell those who ask.

use super::sessions::{STAYS, fragment, offer};
use super::*;
use crate::workers::fake_worker::NEVER_COMES;

const OPEN: &str = "Content-Type: application/sdp\r\n";

fn with_tokens() -> Config {
    let mut config = Config::default();
    config.whip.tokens = vec!["publish".into()];
    config.whep.tokens = vec!["watch".into()];
    config
}

#[tokio::test]
async fn wrong_offers_are_answered_with_a_sentence_and_make_nothing() {
    let server = Server::start().await;
    let good = offer("sendonly", STAYS);
    let watching = offer("recvonly", STAYS);
    let long = format!("{good}a=x:{}\r\n", "y".repeat(64 << 10));
    let name = "n".repeat(64 << 10);
    for (path, headers, body, status, part) in [
        ("/whip/r", "", good.as_str(), 415, "application/sdp"),
        ("/whip/r", "Content-Type: text/plain\r\n", &good, 415, "application/sdp"),
        ("/whip/r", "Content-Type: application/sdpx\r\n", &good, 415, "application/sdp"),
        ("/whip/r", OPEN, "", 400, ""),
        ("/whip/r", OPEN, "v=0", 400, ""),
        ("/whip/r", OPEN, "{\"type\":\"offer\"}", 400, ""),
        ("/whip/r", OPEN, "\u{0}\u{1}\u{2}", 400, ""),
        ("/whip/r", OPEN, &watching, 422, ""),
        ("/whip/r", OPEN, &good.replace("opus", "speex"), 422, ""),
        ("/whip/r", OPEN, &good.replace("sha-256", "sha-1"), 422, ""),
        ("/whip/r", OPEN, &good.replace("EsAw", "E"), 400, "ice-ufrag"),
        ("/whip/r", OPEN, &long, 413, "65536"),
        ("/whip/r?peer=", OPEN, &good, 400, "peer"),
        ("/whip/r?peer=a%0Ab", OPEN, &good, 400, "peer"),
        ("/whip/r?name=a%1Bb", OPEN, &good, 400, "name"),
        (&format!("/whip/r?peer={}", "p".repeat(129)), OPEN, &good, 400, "peer"),
        (&format!("/whip/r?name={}", "p".repeat(257)), OPEN, &good, 400, "name"),
        (&format!("/whip/{}", "r".repeat(129)), OPEN, &good, 400, "roomId"),
        ("/whip/%FF", OPEN, &good, 400, ""),
        ("/whip/r%00", OPEN, &good, 400, "roomId"),
        ("/whep/r", OPEN, &good, 422, ""),
        ("/whep/r", OPEN, "v=0", 400, ""),
        ("/whep/r", OPEN, &watching, 409, "nobody publishes"),
        ("/whep/r/ann", OPEN, &watching, 409, "ann"),
        (&format!("/whep/r/{}", "p".repeat(129)), OPEN, &watching, 400, "peer"),
        ("/whip/r/a/b", OPEN, &good, 404, "nothing"),
        ("/whip", OPEN, &good, 404, "nothing"),
        (&format!("/whip/r{}", "/a".repeat(2_000)), OPEN, &good, 404, "nothing"),
    ] {
        let answer = server.send("POST", path, headers, body).await;
        let of = &path[..path.len().min(40)];
        assert_eq!(answer.status.as_u16(), status, "{of} {headers}: {}", answer.text);
        assert!(answer.text.contains(part), "{of}: {part} is not in {}", answer.text);
        assert_eq!(answer.text.trim_end().lines().count(), 1, "{of}: one sentence: {}", answer.text);
    }
    for (path, headers, status) in
        [(&format!("/whip/{name}"), OPEN, [400, 414, 431]), (&format!("/whep/r?x={name}"), OPEN, [409, 414, 431])]
    {
        let answer = server.send("POST", path, headers, &watching).await;
        assert!(status.contains(&answer.status.as_u16()), "{}", answer.status);
    }
    assert_eq!(server.get("/rooms").await.json()["rooms"], json!([]), "not even a room");
}

/// Some clients write their endpoint so.
#[tokio::test]
async fn a_slash_behind_the_room_is_none_of_its_name() {
    let server = Server::start().await;
    for (path, direction, begin) in [("/whip/r/", "sendonly", "/whip/r/"), ("/whep/r/", "recvonly", "/whep/r/s/")] {
        let answer = server.send("POST", path, OPEN, &offer(direction, STAYS)).await;
        assert_eq!(answer.status.as_u16(), 201, "{path}: {}", answer.text);
        let location = answer.header("location").expect("a session");
        assert!(location.starts_with(begin), "{path}: {location}");
    }
    assert_eq!(server.get("/rooms").await.json()["rooms"][0]["id"], "r");
}

#[tokio::test]
async fn binary_is_no_offer() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let head = format!("POST /whip/r HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.address);
    let bytes = [0xFF, 0xFE, 0x00, 0x80].repeat(1_000);
    stream.write_all(format!("{head}{OPEN}Content-Length: {}\r\n\r\n", bytes.len()).as_bytes()).await.expect("writes");
    stream.write_all(&bytes).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("UTF-8"), "{answer}");
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let server = Server::start().await;
    let good = offer("sendonly", STAYS);
    assert_eq!(server.sdp("/whip/r?peer=ann", &good).await.status, StatusCode::CREATED);
    let again = server.sdp("/whip/r?peer=ann", &good).await;
    assert_eq!((again.status, again.header("retry-after")), (StatusCode::CONFLICT, Some("3")), "{}", again.text);
    assert_eq!(server.sdp("/whip/other?peer=ann", &good).await.status, StatusCode::CREATED);
    // Without a name each is drawn one.
    let links = [server.sdp("/whip/r", &good).await, server.sdp("/whip/r", &good).await];
    assert_ne!(links[0].header("link"), links[1].header("link"));
    assert_eq!(server.get("/stats").await.json()["transports"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn odd_names_survive_in_headers() {
    let server = Server::start().await;
    let answer = server.sdp("/whip/a%20b%2Fc?peer=%C3%BC%22%3E", &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.all("link"), ["</whep/a%20b%2Fc/%C3%BC%22%3E>; rel=\"alternate\""]);
    let session = answer.location.expect("a URL");
    assert!(session.starts_with("/whip/a%20b%2Fc/"));
    assert_eq!(server.send("GET", &session, "", "").await.status, StatusCode::NO_CONTENT);
    let watch = server.sdp("/whep/a%20b%2Fc/%C3%BC%22%3E", &offer("recvonly", STAYS)).await;
    assert_eq!(watch.status, StatusCode::CREATED, "{}", watch.text);
}

#[tokio::test]
async fn other_methods() {
    let server = Server::start().await;
    let session = server.sdp("/whip/r?peer=ann", &offer("sendonly", STAYS)).await.location.expect("a URL");
    let viewer = server.sdp("/whep/r", &offer("recvonly", STAYS)).await.location.expect("a URL");
    for (method, path, status) in [
        ("GET", "/whip/r", 204),
        ("HEAD", "/whip/r", 204),
        ("GET", "/whep/r", 204),
        ("HEAD", "/whep/r/ann", 204),
        ("PUT", "/whip/r", 405),
        ("DELETE", "/whip/r", 405),
        ("PATCH", "/whep/r", 405),
        ("DELETE", "/whep/r/ann", 405),
        ("GET", &session, 204),
        ("HEAD", &viewer, 204),
        ("POST", &session, 405),
        ("PUT", &viewer, 405),
        ("GET", &session.replace("/whip/r/", "/whip/q/"), 404),
        ("GET", &session.replace("/whip/r/", "/whep/r/s/"), 404),
        ("DELETE", &viewer.replace("/whep/r/s/", "/whip/r/"), 404),
        ("PATCH", "/whip/r/guess", 404),
        ("DELETE", "/whep/r/s/guess", 404),
    ] {
        let answer = server.send(method, path, "", "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
        assert!(status != 204 || answer.text.is_empty());
    }
    for (path, accept, media) in [
        ("/whip/r", "accept-post", "application/sdp"),
        ("/whep/r/ann", "accept-post", "application/sdp"),
        (&session, "accept-patch", "application/trickle-ice-sdpfrag"),
        (&viewer, "accept-patch", "application/trickle-ice-sdpfrag"),
    ] {
        let answer = server.send("OPTIONS", path, "", "").await;
        assert_eq!((answer.status, answer.header(accept)), (StatusCode::OK, Some(media)), "{path}");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("OPTIONS")));
    }
}

#[tokio::test]
async fn tokens_are_asked_for() {
    let server = Server::start_with(with_tokens()).await;
    let (publish, watch) = (offer("sendonly", STAYS), offer("recvonly", STAYS));
    let bearer = |token: &str| format!("{OPEN}Authorization: Bearer {token}\r\n");
    for (path, headers, body, status, challenge) in [
        ("/whip/r", OPEN.to_owned(), &publish, 401, Some("Bearer realm=\"corecast\"")),
        ("/whip/r", bearer("wrong"), &publish, 401, Some("Bearer realm=\"corecast\", error=\"invalid_token\"")),
        ("/whip/r", bearer("watch"), &publish, 403, Some("Bearer realm=\"corecast\", error=\"insufficient_scope\"")),
        ("/whip/r", bearer("publish"), &publish, 201, None),
        ("/whep/r", OPEN.to_owned(), &watch, 401, Some("Bearer realm=\"corecast\"")),
        ("/whep/r?token=watch", OPEN.to_owned(), &watch, 401, Some("Bearer realm=\"corecast\"")),
        ("/whep/r", bearer("watch"), &watch, 201, None),
    ] {
        let answer = server.send("POST", path, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {headers}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    let session = server.send("POST", "/whip/r", &bearer("publish"), &publish).await.location.expect("a URL");
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        server.patch(&session, "If-Match: *\r\n", &fragment(("ABCD", &"x".repeat(24)))).await.status.as_u16(),
        401
    );
    let ours = "Authorization: Bearer publish\r\n";
    assert_eq!(server.send("DELETE", &session, ours, "").await.status, StatusCode::OK);
    assert_eq!(server.get("/rooms/r/events").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/rooms/r/events?token=wrong").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.send("OPTIONS", "/whip/r", "", "").await.status, StatusCode::OK, "asks for no token");
}

#[tokio::test]
async fn ice_servers_are_told_to_those_who_may_know() {
    let mut config = with_tokens();
    config.rtc.ice_servers = vec!["turn:turn.example user secret".parse().expect("server")];
    let server = Server::start_with(config).await;
    let link = "<turn:turn.example>; rel=\"ice-server\"; username=\"user\"; credential=\"secret\"; \
                credential-type=\"password\"";
    let headers = format!("{OPEN}Authorization: Bearer publish\r\n");
    let answer = server.send("POST", "/whip/r?peer=a", &headers, &offer("sendonly", STAYS)).await;
    assert_eq!(answer.all("link"), ["</whep/r/a>; rel=\"alternate\"", link]);
    let preflight = "Origin: http://page.example\r\nAccess-Control-Request-Method: POST\r\n";
    for (headers, links) in [
        ("Authorization: Bearer publish\r\n".to_owned(), vec![link]),
        (String::new(), vec![]),
        (preflight.to_owned(), vec![]),
        (format!("Authorization: Bearer publish\r\n{preflight}"), vec![]),
    ] {
        assert_eq!(server.send("OPTIONS", "/whip/r", &headers, "").await.all("link"), links, "{headers}");
    }
}

#[tokio::test]
async fn pages_of_other_origins() {
    let open = Server::start().await;
    let foreign = "Origin: http://page.example\r\n";
    let preflight = format!("{foreign}Access-Control-Request-Method: POST\r\n");
    for path in ["/whip/r", "/whep/r", "/rooms/r/events"] {
        assert_eq!(open.send("OPTIONS", path, &preflight, "").await.status, StatusCode::FORBIDDEN, "{path}");
    }
    // The page's own files are no secret: called by a name, or through a proxy, it must not stay blank.
    for path in ["/", "/assets/main.js"] {
        assert_eq!(open.send("GET", path, foreign, "").await.status, StatusCode::OK, "{path}");
    }
    // With tokens a page of any origin may ask; without one it gets nothing.
    let guarded = Server::start_with(with_tokens()).await;
    let answer = guarded.send("OPTIONS", "/whip/r", &preflight, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::OK, Some("*")));
    assert!(answer.header("access-control-allow-headers").is_some_and(|list| list.contains("Authorization")));
    assert!(answer.header("access-control-allow-methods").is_some_and(|list| list.contains("PATCH")));
    assert_eq!(guarded.send("GET", "/rooms", foreign, "").await.status, StatusCode::UNAUTHORIZED);
    let refused = guarded.send("POST", "/whip/r", &format!("{OPEN}{foreign}"), "").await;
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (401, Some("*")));
    assert!(refused.header("access-control-expose-headers").is_some_and(|list| list.contains("WWW-Authenticate")));

    let mut config = Config::default();
    config.http.origins = vec!["http://page.example".into()];
    let named = Server::start_with(config).await;
    let answer = named.send("POST", "/whip/r", &format!("{OPEN}{foreign}"), &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://page.example"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let exposed = answer.header("access-control-expose-headers").expect("a list");
    for header in ["Location", "ETag", "Link", "Retry-After"] {
        assert!(exposed.contains(header), "{header}");
    }
    let answer = named.send("OPTIONS", "/rooms/r/broadcasters", &preflight, "").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[tokio::test]
async fn floods_are_slowed_down() {
    let mut config = Config::default();
    config.limits.sessions_per_second_per_ip = 2;
    let server = Server::start_with(config).await;
    let good = offer("sendonly", NEVER_COMES);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let answer = server.sdp("/whip/r", &good).await;
        assert_eq!(is_soon(answer.header("retry-after")), answer.status.as_u16() == 429);
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses[..10], [201; 10], "a burst may come");
    assert!(statuses.contains(&429) && statuses.iter().all(|status| [201, 429].contains(status)), "{statuses:?}");
    let session = server.get("/rooms").await.json();
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(session["rooms"][0]["transports"], json!(made));
    // Who guesses session URLs is answered 404, and soon 429.
    let mut guesses = Vec::new();
    for guess in 0..30 {
        guesses.push(server.send("DELETE", &format!("/whip/r/{guess}"), "", "").await.status.as_u16());
    }
    assert!(guesses.contains(&429) && guesses.iter().all(|status| [404, 429].contains(status)), "{guesses:?}");

    let mut config = Config::default();
    (config.limits.sessions_per_second, config.limits.sessions_per_second_per_ip) = (1, 0);
    let server = Server::start_with(config).await;
    let mut refused = Vec::new();
    for _ in 0..20 {
        let answer = server.sdp("/whip/r", &good).await;
        refused.extend(
            (answer.status.as_u16() != 201).then(|| (answer.status.as_u16(), answer.header("retry-after").is_some())),
        );
    }
    assert!(!refused.is_empty() && refused.iter().all(|refusal| *refusal == (503, true)), "{refused:?}");
}

#[tokio::test]
async fn strangers_take_nothing_of_what_those_with_a_token_may_ask() {
    let mut config = with_tokens();
    config.limits.sessions_per_second = 2;
    let server = Server::start_with(config).await;
    for guess in 0..120 {
        let headers = format!("{OPEN}Authorization: Bearer guess-{guess}\r\n");
        let status = server.send("POST", "/whip/r", &headers, &offer("sendonly", STAYS)).await.status.as_u16();
        assert!([401, 503].contains(&status), "{status}");
    }
    let headers = format!("{OPEN}Authorization: Bearer publish\r\n");
    let answer = server.send("POST", "/whip/r", &headers, &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
}

#[tokio::test]
async fn one_session_takes_only_so_many_patches() {
    let server = Server::start().await;
    let session = server.sdp("/whip/r", &offer("sendonly", STAYS)).await.location.expect("a URL");
    let mut statuses = Vec::new();
    for _ in 0..120 {
        statuses.push(server.patch(&session, "", "").await.status.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK, "it may end all the same");
}

#[tokio::test]
async fn without_webrtc_the_doors_say_so() {
    let mut config = Config::default();
    config.rtc.webrtc_port = 0;
    let server = Server::start_with(config).await;
    let answer = server.sdp("/whip/r", &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{}", answer.text);
    assert_eq!(server.get("/stats").await.json()["transports"], json!([]));
}

/// Bodies that are late, too long or no JSON are answered alike at every door (RFC 9110 sections 15.5.9 and 15.5.14).
#[tokio::test]
async fn wrong_bodies_are_answered_alike_at_every_door() {
    const B: &str = "/rooms/r/broadcasters/b";
    let mut config = Config { test_hooks: true, ..Config::default() };
    config.cascade.token = "0123456789abcdef0123456789abcdef".into();
    let server = Server::start_with(config).await;
    let doors = [
        ("POST", "/rooms/r/broadcasters".to_owned()),
        ("POST", format!("{B}/transports")),
        ("POST", format!("{B}/transports/t/connect")),
        ("POST", format!("{B}/transports/t/producers")),
        ("POST", format!("{B}/transports/t/consume")),
        ("POST", format!("{B}/transports/t/resume")),
        ("POST", format!("{B}/transports/t/produce/data")),
        ("POST", format!("{B}/transports/t/consume/data")),
        ("POST", format!("{B}/producers")),
        ("POST", format!("{B}/consumers")),
        ("POST", format!("{B}/consumers/c/setPreferredLayers")),
        ("POST", "/test-hooks/worker/0".to_owned()),
        ("PUT", "/log-filter".to_owned()),
        ("POST", "/cascade/look".to_owned()),
        ("POST", "/cascade/open".to_owned()),
        ("POST", "/cascade/renew".to_owned()),
        ("POST", "/cascade/end".to_owned()),
        ("POST", "/whip/r".to_owned()),
        ("POST", "/whep/r".to_owned()),
        ("PUT", "/v1/rooms/r/loudest".to_owned()),
        ("PUT", "/v1/priorities/r".to_owned()),
        ("PUT", "/v1/rooms/r/peers/p/muted".to_owned()),
        ("PUT", "/v1/log".to_owned()),
    ];
    // Which length is announced, and what comes.
    for (length, body, status) in [(9, &b"{"[..], 408), (1 << 20, &[b' '; 200_000], 413), (2, b"\xff\xfe", 400)] {
        let ask = async |(method, path): &(&str, String)| {
            let address = if path.starts_with("/v1/") { server.admin } else { server.address };
            let mut stream = TcpStream::connect(address).await.expect("connects");
            let (kind, token) = ("application/sdp", "0123456789abcdef0123456789abcdef");
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
                 Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
            );
            // One that is refused may have closed before it has read all.
            let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            let (head, text) = answer.split_once("\r\n\r\n").expect("an answer");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
            assert!(text.starts_with("body: ") && text.trim_end().lines().count() == 1, "{method} {path}: {text}");
        };
        futures_util::future::join_all(doors.iter().map(ask)).await;
    }
}
