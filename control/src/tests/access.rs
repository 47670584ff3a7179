//! What strangers may not do where the server asks for tokens.

use super::*;

/// Every call of the API beside WHIP, WHEP, the page and health.
const GUARDED: [(&str, &str); 9] = [
    ("GET", "/stats"),
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
        assert_eq!(server.get("/health").await.status, StatusCode::OK, "load balancers have no token");
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
