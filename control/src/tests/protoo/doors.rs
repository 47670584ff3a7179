//! Who may come, and as whom.

use super::*;

#[tokio::test]
async fn what_a_client_must_say_to_come() {
    let server = Server::start().await;
    for path in ["/", "/protoo"] {
        let whole = format!("{path}?roomId=r&peerId=p");
        let (status, sentence) = knock(&server, &whole, &[]).await.err().expect("no sub-protocol");
        assert_eq!((status, sentence.contains("protoo")), (403, true), "{sentence}");
        let (status, _) = knock(&server, &whole, &[(PROTOO.0, "other")]).await.err().expect("another sub-protocol");
        assert_eq!(status, 403);
        for (query, part) in [
            ("", "roomId"),
            ("?roomId=r", "peerId"),
            ("?peerId=p", "roomId"),
            ("?roomId=&peerId=p", "roomId"),
            ("?roomId=r&peerId=%0A", "peerId"),
            ("?roomId=r&peerId=p&consumerReplicas=17", "consumerReplicas"),
        ] {
            let refusal = knock(&server, &format!("{path}{query}"), &[PROTOO]).await.err().expect(query);
            assert!(refusal.0 == 400 && refusal.1.contains(part), "{path}{query}: {refusal:?}");
        }
        assert!(knock(&server, &whole, &[(PROTOO.0, "x, protoo")]).await.is_ok());
    }
    assert_eq!(server.get("/rooms").await.json()["rooms"], json!([]), "nobody stayed");
    // What the legacy application writes for what it does not have.
    let odd = "/?roomId=r r&peerId=ü&consumerReplicas=undefined";
    let odd = odd.replace(' ', "%20").replace('ü', "%C3%BC");
    assert!(knock(&server, &odd, &[PROTOO]).await.is_ok());
}

#[tokio::test]
async fn the_page_stays_at_the_root() {
    let server = Server::start().await;
    assert!(server.get("/").await.text.contains("<!doctype html>"));
}

#[tokio::test]
async fn a_plain_request_tells_why_a_websocket_is_refused() {
    let path = "/protoo?roomId=r&peerId=p";
    let server = Server::start().await;
    let answer = server.get(path).await;
    assert_eq!(answer.status, StatusCode::UPGRADE_REQUIRED, "nothing else stands in the way: {}", answer.text);
    assert_eq!(server.get("/protoo?roomId=r").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.get("/rooms").await.json()["rooms"], json!([]), "it makes no room");

    let config = Config::parse("[whep]\ntokens = [\"abcdefgh12345678\"]").expect("settings");
    let server = Server::start_with(config).await;
    assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED);
    let with = format!("{path}&token=abcdefgh12345678");
    assert_eq!(server.get(&with).await.status, StatusCode::UPGRADE_REQUIRED);
    // A room that would not be made is no reason for those who come to one that is there.
    let config = Config::parse("[rooms]\nmax = 1").expect("settings");
    let server = Server::start_with(config).await;
    let created =
        server.post("/rooms/there/broadcasters", json!({"peerId": "b", "displayName": "b", "device": {"name": "d"}}));
    assert_eq!(created.await.status, StatusCode::CREATED);
    let refused = server.get("/protoo?roomId=new&peerId=p").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
    assert!(refused.text.contains("rooms.max"), "{}", refused.text);
    assert_eq!(server.get("/protoo?roomId=there&peerId=p").await.status, StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn pages_of_other_hosts_may_not_come() {
    let server = Server::start().await;
    let port = server.address.port();
    let of = async |origin: &str| {
        let headers = [PROTOO, ("Origin", origin)];
        knock(&server, "/?roomId=r&peerId=p", &headers).await.map_or_else(|(status, _)| status, |_| 101)
    };
    assert_eq!(of(&format!("http://127.0.0.1:{port}")).await, 101);
    assert_eq!(of("http://127.0.0.1:3000").await, 101, "the port is not looked at");
    assert_eq!(of("http://localhost:3000").await, 403, "another name");
    assert_eq!(of("https://evil.example").await, 403);
    assert_eq!(of("null").await, 403);

    let config = Config::parse("[http]\norigins = [\"https://app.example\"]").expect("settings");
    let server = Server::start_with(config).await;
    let headers = [PROTOO, ("Origin", "https://app.example")];
    assert!(knock(&server, "/?roomId=r&peerId=p", &headers).await.is_ok());
}

#[tokio::test]
async fn who_takes_part_needs_a_token_to_watch_and_who_publishes_one_for_that() {
    let tokens = "[whip]\ntokens = [\"both\", \"send\"]\n[whep]\ntokens = [\"both\", \"see\"]";
    let config = Config::parse(tokens).expect("settings");
    let server = Server::start_with(config).await;
    let with = async |token: &str| {
        let path = format!("/?roomId=r&peerId=p{token}");
        knock(&server, &path, &[PROTOO]).await.map_or_else(|(status, _)| status, |_| 101)
    };
    assert_eq!(with("").await, 401);
    assert_eq!(with("&token=wrong").await, 401);
    assert_eq!(with("&token=send").await, 403);
    assert_eq!(with("&token=both").await, 101);
    let path = "/?roomId=r&peerId=watcher&token=see";
    let mut watcher = knock(&server, path, &[PROTOO]).await.map_err(|refusal| refusal.1).expect("may watch");
    let send = watcher.transport(true).await;
    watcher.ask("join", json!({ "displayName": "Watcher" })).await;
    watcher.refused("produce", camera(&send), 403, "watching").await;
    let headers = [PROTOO, ("Authorization", "Bearer both"), ("Origin", "https://any.example")];
    assert!(knock(&server, "/?roomId=r&peerId=q", &headers).await.is_ok(), "a token says who may");
}

#[tokio::test]
async fn nobody_takes_the_name_of_another() {
    let config = Config::parse("[whip]\ntokens = [\"one\", \"two\"]").expect("settings");
    let server = Server::start_with(config).await;
    let come = async |token: &str| knock(&server, &format!("/?roomId=r&peerId=p&token={token}"), &[PROTOO]).await;
    let first = come("one").await.map_err(|refusal| refusal.1).expect("comes");
    let (status, sentence) = come("two").await.err().expect("the name is taken");
    assert!(status == 409 && sentence.contains("\"p\""), "{sentence}");
    let second = come("one").await.map_err(|refusal| refusal.1).expect("comes again");
    assert_eq!(first.end().await, End::Code(4_000));
    drop(second);
}

#[tokio::test]
async fn clients_are_counted_like_sessions() {
    let config = Config::parse("[limits]\nsessions_per_ip = 2").expect("settings");
    let server = Server::start_with(config).await;
    let one = Client::come(&server, "r", "one").await;
    let _two = Client::come(&server, "r", "two").await;
    let (status, sentence) = knock(&server, "/?roomId=r&peerId=three", &[PROTOO]).await.err().expect("too many");
    assert!(status == 429 && sentence.contains("limits.sessions_per_ip"), "{sentence}");
    drop(one);
    let again = async || knock(&server, "/?roomId=r&peerId=three", &[PROTOO]).await.is_ok();
    server.until("a place is free again", again).await;
}
