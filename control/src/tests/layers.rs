//! Layer selection of WHEP sessions, and their events.

use super::sessions::{Events, STAYS, offer};
use super::*;

const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// A publisher's offer of Opus and of VP8 in three sizes.
fn simulcast() -> String {
    let rids = "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n";
    format!("{}a=extmap:10 {RID}\r\n{rids}", offer("sendonly", STAYS))
}

/// A server on which "cam" publishes in three sizes, and the answer to somebody who watches.
async fn watched(config: Config) -> (Server, Answer) {
    let publish = |token: &str| format!("Content-Type: application/sdp\r\n{token}");
    let server = Server::start_with(config).await;
    let answer =
        server.send("POST", "/whip/r?peer=cam", &publish("Authorization: Bearer publish\r\n"), &simulcast()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let watch = publish("Authorization: Bearer watch\r\n");
    let answer = server.send("POST", "/whep/r/cam", &watch, &offer("recvonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    (server, answer)
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn a_session_of_several_encodings_links_to_its_extensions() {
    let (server, answer) = watched(Config::default()).await;
    let session = answer.location.clone().expect("a URL");
    let links = answer.all("link");
    let layer = format!("<{session}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"");
    let rel = "urn:ietf:params:whep:ext:core:server-sent-events";
    let events = format!("<{session}/events>; rel=\"{rel}\"; events=\"active,ended,inactive,layers\"");
    assert_eq!(links, [layer, events]);
    // Sound alone: nothing to choose, but an end.
    let sound = |offer: String| offer.split("m=video").next().expect("a part").replace("BUNDLE 0 1", "BUNDLE 0");
    let publishes = server.sdp("/whip/r?peer=one", &sound(offer("sendonly", STAYS))).await;
    assert_eq!(publishes.status, StatusCode::CREATED, "{}", publishes.text);
    let plain = server.sdp("/whep/r/one", &sound(offer("recvonly", STAYS))).await;
    assert_eq!((plain.status, plain.all("link").len()), (StatusCode::CREATED, 1));
    let session = plain.location.expect("a URL");
    for method in ["POST", "GET", "DELETE"] {
        let answer = server.send(method, &format!("{session}/layer"), "", "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}: {}", answer.text);
        assert!(answer.text.contains("no pictures"), "{}", answer.text);
    }
    let mut events = Events::open(&server, &format!("{session}/events")).await;
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    let reason = json!({ "reason": "its client asked for it" });
    assert_eq!(events.next().await, Some(("ended".into(), reason)));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn every_answer_of_the_layer_resource() {
    let (server, answer) = watched(Config::default()).await;
    let session = answer.location.expect("a URL");
    let layer = format!("{session}/layer");
    for (headers, body, status, part) in [
        (JSON, "{\"encodingId\": \"q\"}", 200, ""),
        (JSON, "{\"mediaId\": \"1\", \"encodingId\": \"f\", \"spatialLayerId\": 0, \"maxSpatialLayerId\": 2}", 200, ""),
        ("Content-Type: Application/JSON; charset=utf-8\r\n", "{}", 200, ""),
        (JSON, "", 200, ""),
        ("", "", 200, ""),
        (JSON, "{\"more\": [1]}", 200, ""),
        (JSON, "{", 400, "body"),
        (JSON, "[]", 400, "body"),
        (JSON, "{} {}", 400, "body"),
        (JSON, "{\"encodingId\": 1}", 400, "encodingId"),
        (JSON, "{\"mediaId\": 1}", 400, "mediaId"),
        (JSON, "{\"spatialLayerId\": \"0\"}", 400, "spatialLayerId"),
        (JSON, "{\"spatialLayerId\": -1}", 400, "spatialLayerId"),
        (JSON, "{\"maxTemporalLayerId\": 0.5}", 400, "maxTemporalLayerId"),
        (JSON, "{\"encodingId\": \"x\"}", 422, "encodingId: there is no encoding \"x\"; there are q, h, f"),
        (JSON, "{\"encodingId\": \"\"}", 422, "encodingId"),
        (JSON, "{\"mediaId\": \"0\"}", 422, "mediaId"),
        (JSON, "{\"mediaId\": \"01\"}", 422, "mediaId"),
        (JSON, "{\"spatialLayerId\": 1}", 422, "spatialLayerId"),
        (JSON, "{\"temporalLayerId\": 0}", 200, ""),
        (JSON, "{\"encodingId\": \"q\", \"maxTemporalLayerId\": 1}", 200, ""),
        (JSON, "{\"temporalLayerId\": 18446744073709551615}", 200, ""),
        ("Content-Type: text/plain\r\n", "{}", 415, "application/json"),
        ("", "{}", 415, "application/json"),
        ("Origin: https://elsewhere.example\r\nContent-Type: application/json\r\n", "{}", 403, "elsewhere"),
    ] {
        let answer = server.send("POST", &layer, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{headers} {body}: {}", answer.text);
        assert!(answer.text.contains(part), "{part} is not in {}", answer.text);
        assert_eq!(answer.text.trim_end().lines().count(), usize::from(status != 200), "{}", answer.text);
    }
    let long = format!("{{\"x\": \"{}\"}}", "y".repeat(300 << 10));
    assert_eq!(server.send("POST", &layer, JSON, &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    for (method, path, status) in [
        ("PUT", layer.clone(), 405),
        ("DELETE", layer.clone(), 200),
        ("OPTIONS", layer.clone(), 200),
        ("OPTIONS", format!("{session}/events"), 200),
        ("POST", layer.replace("/s/", "/s/x"), 404),
        ("GET", layer.replace("/r/", "/other/"), 404),
        ("GET", format!("{session}/layers"), 404),
        ("GET", format!("{session}/events?events=layers,viewercount"), 422),
    ] {
        let answer = server.send(method, &path, "", "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
    }
    assert_eq!(server.send("OPTIONS", &layer, "", "").await.header("accept-post"), Some("application/json"));
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    assert_eq!(server.send("POST", &layer, JSON, "{}").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tokens_and_rates_are_those_of_the_session() {
    let mut config = Config::default();
    config.whip.tokens = vec!["publish".into()];
    config.whep.tokens = vec!["watch".into()];
    let (server, answer) = watched(config).await;
    let session = answer.location.expect("a URL");
    let (layer, events) = (format!("{session}/layer"), format!("{session}/events"));
    let with = |token: &str| format!("{JSON}Authorization: Bearer {token}\r\n");
    for (method, path, headers, status) in [
        ("POST", layer.as_str(), JSON.to_owned(), 401),
        ("POST", &layer, with("publish"), 403),
        ("POST", &layer, with("watch"), 200),
        ("GET", &layer, with("guess"), 401),
        ("GET", &layer, with("watch"), 200),
        ("GET", &events, String::new(), 401),
        ("GET", &format!("{events}?token=guess"), String::new(), 401),
        ("POST", &events, JSON.to_owned(), 401),
        ("OPTIONS", &layer, String::new(), 200),
    ] {
        let answer = server.send(method, path, &headers, "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {headers}: {}", answer.text);
    }
    // A page of another origin may, with a token.
    let foreign = format!("{}Origin: https://elsewhere.example\r\n", with("watch"));
    let answer = server.send("POST", &layer, &foreign, "{}").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::OK, Some("*")));
    let mut events = Events::open(&server, &format!("{events}?token=watch")).await;
    assert_eq!(events.next().await.map(|(name, _)| name).as_deref(), Some("active"));
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(server.send("POST", &layer, &with("watch"), "{}").await);
    }
    let slowed = answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!(slowed > 0, "50 at once, and 10 a second");
    assert!(answers.iter().filter(|a| a.status.as_u16() == 429).all(|a| is_soon(a.header("retry-after"))));
}

/// As the fake worker has it: all but the highest are active, and the size of the lowest is known.
fn described(current: &Value) -> Value {
    json!({ "1": {
        "active": [
            { "id": "h", "simulcastIdx": 1 },
            { "id": "q", "simulcastIdx": 0, "width": 160, "height": 90 },
        ],
        "inactive": [{ "id": "f", "simulcastIdx": 2 }],
        "layers": [
            { "encodingId": "h", "simulcastIdx": 1 },
            { "encodingId": "q", "simulcastIdx": 0, "width": 160, "height": 90 },
        ],
        "current": current,
        "suspended": false,
        "limitedBy": if current.is_null() { "publisher" } else { "preference" },
    } })
}

/// Bitrates are whatever they are.
fn without_bitrates(mut layers: Value) -> Value {
    for list in ["active", "layers"] {
        for layer in layers["1"][list].as_array_mut().expect("list") {
            if let Some(bitrate) = layer.as_object_mut().expect("an object").remove("bitrate") {
                assert!(bitrate.as_u64() > Some(0), "{bitrate}");
            }
        }
    }
    layers
}

#[tokio::test]
async fn listeners_are_told_of_layers() {
    let (server, answer) = watched(Config::default()).await;
    let session = answer.location.expect("a URL");
    let once = server.get(&format!("{session}/layer")).await;
    assert_eq!((once.status, once.json()), (StatusCode::OK, described(&Value::Null)));
    let made = server.send("POST", &format!("{session}/events"), JSON, "[\"layers\"]").await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let location = made.location.expect("a URL");
    assert_eq!(location, format!("{session}/events?events=layers"));
    for (body, status) in [("", 201), ("[]", 201), ("{}", 400), ("[1]", 400), ("[\"viewercount\"]", 422)] {
        let answer = server.send("POST", &format!("{session}/events"), JSON, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
    }
    let mut some = Events::open(&server, &location).await;
    let mut all = Events::open(&server, &format!("{session}/events")).await;
    let next = async |events: &mut Events| {
        let (name, data) = events.next().await.expect("goes on");
        (name.clone(), if name == "layers" { without_bitrates(data) } else { data })
    };
    assert_eq!(next(&mut some).await, ("layers".into(), described(&Value::Null)));
    assert_eq!(next(&mut all).await, ("active".into(), json!({})));
    assert_eq!(next(&mut all).await, ("layers".into(), described(&Value::Null)));
    let answer = server.send("POST", &format!("{session}/layer"), JSON, "{\"encodingId\": \"q\"}").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    // Bitrates may change before.
    let now = described(&json!("q"));
    for events in [&mut some, &mut all] {
        while next(events).await != ("layers".into(), now.clone()) {}
    }
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    let (mut some, mut all) = (some, all);
    while some.next().await.is_some() {}
    loop {
        let (name, data) = all.next().await.expect("the end is told");
        if name == "ended" {
            assert_eq!(data, json!({ "reason": "its client asked for it" }));
            break;
        }
    }
    assert_eq!(all.next().await, None);
}

#[tokio::test]
async fn a_preference_is_taken_back_by_delete() {
    let (server, answer) = watched(Config::default()).await;
    let layer = format!("{}/layer", answer.location.expect("a URL"));
    let current = async || server.get(&layer).await.json()["1"]["current"].clone();
    let answer = server.send("POST", &layer, JSON, "{\"encodingId\": \"q\"}").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    server.until("the lowest", async || current().await == "q").await;
    assert_eq!(server.send("DELETE", &layer, "", "").await.status, StatusCode::OK);
    server.until("the best", async || current().await == "f").await;
}

#[tokio::test]
async fn a_broadcaster_consumes_what_is_sent_in_several_encodings() {
    let (server, _) = watched(Config::default()).await;
    let (of, on) =
        legacy(&server, "r", Some(server.get("/rooms/r").await.json()["routerRtpCapabilities"].clone())).await;
    let infos = server.get(&format!("{of}/peerProducersInfos")).await.json();
    let producers = infos["peerProducersInfos"][0]["producers"].as_array().expect("list").clone();
    let video = producers.iter().find(|producer| producer["kind"] == "video").expect("video");
    let id = video["producerId"].as_str().expect("id");
    let consumer = server.made(&format!("{on}/consume?producerId={id}"), json!({})).await;
    assert_eq!(consumer["type"], "simulcast");
    assert_eq!(consumer["rtpParameters"]["encodings"].as_array().map(Vec::len), Some(1));
    assert_eq!(consumer["rtpParameters"]["encodings"][0]["scalabilityMode"], "L3T1");
    let path = format!("{of}/consumers/{}/setPreferredLayers", consumer["id"].as_str().expect("id"));
    for body in [json!({ "spatialLayer": 0 }), json!({ "spatialLayer": 200, "temporalLayer": 1 })] {
        assert_eq!(server.post(&path, body.clone()).await.status, StatusCode::OK, "{body}");
    }
    server.wrong(&path, json!({}), 400, "spatialLayer").await;
    server.wrong(&path, json!({ "spatialLayer": -1 }), 400, "spatialLayer").await;
    server.wrong(&format!("{of}/consumers/x/setPreferredLayers"), json!({ "spatialLayer": 0 }), 404, "x").await;
}

/// An offer of VP9 alone.
fn vp9(direction: &str) -> String {
    offer(direction, STAYS).replace("VP8/90000", "VP9/90000")
}

#[tokio::test]
async fn one_encoding_of_vp9_may_have_spatial_layers() {
    let server = Server::start().await;
    let publishes = server.sdp("/whip/r?peer=cam", &vp9("sendonly")).await;
    assert_eq!(publishes.status, StatusCode::CREATED, "{}", publishes.text);
    let watches = server.sdp("/whep/r/cam", &vp9("recvonly")).await;
    let layer = format!("{}/layer", watches.location.expect("a URL"));
    let section = async || server.get(&layer).await.json()["1"].clone();
    for (body, status, limit) in [
        ("{\"spatialLayerId\": 0}", 200, "preference"),
        ("{\"encodingId\": \"0\", \"spatialLayerId\": 0, \"temporalLayerId\": 1}", 200, "preference"),
        ("{\"encodingId\": \"1\"}", 422, "preference"),
        ("{}", 200, "publisher"),
    ] {
        let answer = server.send("POST", &layer, JSON, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        assert_eq!(section().await["limitedBy"], limit, "{body}");
    }
    assert_eq!(section().await["currentSpatialLayerId"], 2);
}

#[tokio::test]
async fn a_publisher_is_told_which_of_its_encodings_nobody_takes() {
    let server = Server::start_with(Config::default()).await;
    let publishes = server.sdp("/whip/r?peer=cam", &simulcast()).await;
    assert_eq!(publishes.status, StatusCode::CREATED, "{}", publishes.text);
    let session = publishes.location.clone().expect("a URL");
    let rel = "urn:ietf:params:whip:ext:core:server-sent-events";
    let link = format!("<{session}/events>; rel=\"{rel}\"; events=\"encodings,ended\"");
    assert!(publishes.all("link").contains(&&*link), "{:?}", publishes.all("link"));
    let mut events = Events::open(&server, &format!("{session}/events")).await;
    let mut ends = Events::open(&server, &format!("{session}/events?events=ended")).await;
    let told = |wanted: &[&str], unwanted: &[&str]| {
        Some(("encodings".to_owned(), json!({ "1": { "wanted": wanted, "unwanted": unwanted } })))
    };
    assert_eq!(events.next().await, told(&["q", "h", "f"], &[]));
    let watches = server.sdp("/whep/r/cam", &offer("recvonly", STAYS)).await;
    let layer = format!("{}/layer", watches.location.expect("a URL"));
    for (chosen, wanted, unwanted) in [("h", vec!["q", "h"], vec!["f"]), ("f", vec!["q", "h", "f"], vec![])] {
        let body = json!({ "encodingId": chosen }).to_string();
        assert_eq!(server.send("POST", &layer, JSON, &body).await.status, StatusCode::OK);
        assert_eq!(events.next().await, told(&wanted, &unwanted));
    }
    for (method, path, status) in [
        ("GET", format!("{session}/events?events=layers"), 422),
        ("GET", format!("{session}x/events"), 404),
        ("POST", format!("{session}/events"), 405),
        ("OPTIONS", format!("{session}/events"), 200),
    ] {
        let answer = server.send(method, &path, "", "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
    }
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    let end = Some(("ended".into(), json!({ "reason": "its client asked for it" })));
    assert_eq!(events.next().await, end);
    assert_eq!((ends.next().await, ends.next().await), (end, None));
}
