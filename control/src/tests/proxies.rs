//! Behind a proxy: who the client is, and below which path the server is seen.

use super::sessions::{STAYS, offer};
use super::*;
use crate::workers::fake_worker::NEVER_COMES;

const OPEN: &str = "Content-Type: application/sdp\r\n";

fn behind(proxies: &[&str]) -> Config {
    let mut config = Config::default();
    config.http.trusted_proxies = proxies.iter().map(|proxy| proxy.parse().expect("a network")).collect();
    config
}

#[tokio::test]
async fn limits_count_the_clients_of_a_trusted_proxy_and_not_the_proxy() {
    let mut config = behind(&["127.0.0.0/8"]);
    config.limits.sessions_per_second_per_ip = 1;
    let server = Server::start_with(config).await;
    let publish = async |client: &str| {
        let headers = format!("{OPEN}X-Forwarded-For: 198.51.100.9, {client}\r\n");
        server.send("POST", "/whip/r", &headers, &offer("sendonly", NEVER_COMES)).await.status.as_u16()
    };
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(publish("192.0.2.1").await);
    }
    assert_eq!((statuses[..5].to_vec(), statuses[7]), (vec![201; 5], 429), "{statuses:?}");
    assert_eq!(publish("192.0.2.2").await, 201, "another client");
    assert_eq!(publish("2001:db8::1").await, 201, "another client");
}

#[tokio::test]
async fn what_others_say_of_themselves_means_nothing() {
    let mut config = behind(&["10.0.0.0/8"]);
    config.limits.sessions_per_second_per_ip = 1;
    let server = Server::start_with(config).await;
    let mut statuses = Vec::new();
    for client in 0..8 {
        let headers = format!("{OPEN}X-Forwarded-For: 192.0.2.{client}\r\nX-Forwarded-Prefix: /evil\r\n");
        let answer = server.send("POST", "/whip/r", &headers, &offer("sendonly", NEVER_COMES)).await;
        assert!(answer.location.is_none_or(|location| location.starts_with("/whip/r/")));
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses[7], 429, "{statuses:?}");
    let page = "Origin: https://calls.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: calls.example\r\n";
    let answer = server.send("GET", "/rooms", &format!("{page}X-Forwarded-For: 192.0.2.1\r\n"), "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
}

#[tokio::test]
async fn a_page_that_was_called_through_a_proxy_is_the_servers_own() {
    let server = Server::start_with(behind(&["127.0.0.1"])).await;
    let from = "Origin: https://calls.example\r\n";
    for told in [
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: calls.example\r\n",
        "Forwarded: for=192.0.2.1;proto=https;host=calls.example\r\n",
    ] {
        let answer = server.send("GET", "/rooms", &format!("{from}{told}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{told}: {}", answer.text);
        let other = format!("Origin: https://evil.example\r\n{told}");
        assert_eq!(server.send("GET", "/rooms", &other, "").await.status, StatusCode::FORBIDDEN, "{told}");
    }
}

#[tokio::test]
async fn urls_begin_with_the_path_below_which_the_server_is_seen() {
    let mut config = behind(&["127.0.0.1"]);
    config.http.base_path = "/sfu/".parse().expect("a path");
    let server = Server::start_with(config).await;
    // With a proxy that passes the path on as it is, and one that takes the prefix off, without and with a word of it.
    for (asked, told, base) in
        [("/sfu/whip", "", "/sfu"), ("/whip", "", "/sfu"), ("/whip", "X-Forwarded-Prefix: /calls\r\n", "/calls")]
    {
        let headers = format!("{OPEN}X-Forwarded-For: 192.0.2.1\r\n{told}");
        let path = format!("{asked}/r?peer=ann");
        let answer = server.send("POST", &path, &headers, &offer("sendonly", STAYS)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path}: {}", answer.text);
        assert_eq!(answer.all("link"), [format!("<{base}/whep/r/ann>; rel=\"alternate\"")]);
        let location = answer.location.expect("a URL");
        let session = location.strip_prefix(base).unwrap_or_else(|| panic!("{location}"));
        assert!(session.starts_with("/whip/r/"), "{location}");
        let here = if asked.starts_with("/sfu") { location.as_str() } else { session };
        let watch = server.send("POST", "/sfu/whep/r/ann", &headers, &offer("recvonly", STAYS)).await;
        assert!(watch.all("link").iter().all(|link| link.starts_with(&format!("<{base}/"))), "{:?}", watch.all("link"));
        assert_eq!(server.send("DELETE", here, "", "").await.status, StatusCode::OK, "{here}");
    }
    // The page asks for its files beside itself.
    let answer = server.get("/sfu?room=a").await;
    assert_eq!((answer.status.as_u16(), answer.location.as_deref()), (308, Some("/sfu/?room=a")));
    let page = server.get("/sfu/?room=a").await;
    assert!(page.status == StatusCode::OK && page.text.contains("src=\"assets/main.js\""), "{}", page.text);
    assert_eq!(server.get("/sfu/assets/main.js").await.status, StatusCode::OK);
    assert_eq!(server.get("/sfuassets/main.js").await.status, StatusCode::NOT_FOUND);
}
