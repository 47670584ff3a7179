//! Joining, transports, names, who is there; what is refused.

use super::*;
use crate::tests::sessions::{STAYS, offer};
use crate::workers::fake_worker::NEVER_COMES;

fn dtls(first: u8, role: &str) -> Value {
    let value = format!("{first:02X}") + &":5A".repeat(31);
    json!({ "role": role, "fingerprints": [{ "algorithm": "sha-1", "value": "00" },
                                           { "algorithm": "sha-256", "value": value }] })
}

#[tokio::test]
async fn answers_have_the_members_of_both_generations() {
    let server = Server::start().await;
    let mut client = Client::come(&server, "r", "p").await;
    assert!(client.told("mediasoup-version").await["version"].is_string());
    assert!(client.told("mediasoupVersion").await["version"].is_string());
    assert_eq!(client.ask("getRtcStatsUrl", json!({})).await, json!({}));
    let capabilities = client.ask("getRouterRtpCapabilities", json!({})).await;
    assert_eq!(capabilities["routerRtpCapabilities"]["codecs"], capabilities["codecs"]);
    assert!(capabilities["headerExtensions"].is_array());
    let body = json!({ "forceTcp": false, "appData": { "direction": "producer" } });
    let made = client.ask("createWebRtcTransport", body).await;
    assert!(made["id"].is_string() && made["id"] == made["transportId"]);
    assert_eq!(made["iceParameters"]["iceLite"], true);
    let first = &made["iceCandidates"][0];
    assert_eq!(
        (&first["foundation"], &first["protocol"], &first["type"]),
        (&json!("udpcandidate"), &json!("udp"), &json!("host"))
    );
    assert_eq!(first["priority"], (64_u64 << 24) + (10_000 << 8) + 255);
    assert!(first["ip"] == first["address"] && first["port"].is_u64());
    assert_eq!(
        (&made["dtlsParameters"]["role"], &made["dtlsParameters"]["fingerprints"][0]["algorithm"]),
        (&json!("auto"), &json!("sha-256"))
    );
    let sctp = &made["sctpParameters"];
    for member in [
        "port",
        "OS",
        "MIS",
        "maxMessageSize",
        "maxSendMessageSize",
        "maxReceiveMessageSize",
        "sendBufferSize",
        "perStreamSendQueueLimit",
        "maxReceiverWindowBufferSize",
    ] {
        assert!(sctp[member].as_u64().is_some_and(|value| value > 0), "{member}: {sctp}");
    }
    let tcp =
        client.ask("createWebRtcTransport", json!({ "forceTcp": true, "producing": true, "consuming": false })).await;
    assert!(tcp["sctpParameters"].is_null(), "the legacy client asks for data channels");
    let candidates = tcp["iceCandidates"].as_array().expect("list");
    assert!(candidates.iter().all(|one| one["protocol"] == "tcp" && one["tcpType"] == "passive"), "{candidates:?}");
    let ice = client.ask("restartIce", json!({ "transportId": made["id"] })).await;
    assert!(ice["usernameFragment"] == ice["iceParameters"]["usernameFragment"] && ice["password"].is_string());
    assert_ne!(ice["usernameFragment"], made["iceParameters"]["usernameFragment"]);
}

#[tokio::test]
async fn who_is_there_and_who_comes_and_goes() {
    let server = Server::start().await;
    let (mut ann, none) = Client::join(&server, "r", "ann", false).await;
    assert_eq!(none, json!([]));
    let (mut ben, there) = Client::join(&server, "r", "ben", true).await;
    let device = json!({ "flag": "chrome", "name": "Chrome", "version": "1" });
    let expected =
        json!([{ "id": "ann", "peerId": "ann", "displayName": "Somebody", "device": device, "remoteAddress": "" }]);
    assert_eq!(there, expected);
    let new = ann.told("newPeer").await;
    assert_eq!((&new["id"], &new["peer"]["peerId"], &new["peer"]["device"]), (&json!("ben"), &json!("ben"), &device));
    // Who has not joined is not known.
    let third = Client::come(&server, "r", "eve").await;
    ben.tell("changeDisplayName", json!({ "displayName": "Benjamin" })).await;
    let renamed = json!({ "peerId": "ben", "displayName": "Benjamin", "oldDisplayName": "Somebody" });
    assert_eq!(ann.told("peerDisplayNameChanged").await, renamed);
    drop(third);
    drop(ben);
    assert_eq!(ann.told("peerClosed").await, json!({ "peerId": "ben" }));
    ann.tell("changeDisplayName", json!({ "displayName": "" })).await;
    assert!(!ann.has_been_told("peerDisplayNameChanged").await && !ann.has_been_told("newPeer").await);
}

#[tokio::test]
async fn whip_and_whep_are_peers() {
    let server = Server::start().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let answer = server.sdp("/whip/r?peer=cam&name=Camera", &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let new = ann.told("newPeer").await;
    assert_eq!((&new["peer"]["peerId"], &new["peer"]["displayName"]), (&json!("cam"), &json!("Camera")));
    let kinds = [ann.takes("newConsumer").await, ann.takes("newConsumer").await].map(|data| {
        assert_eq!((&data["peerId"], &data["appData"]["peerId"]), (&json!("cam"), &json!("cam")));
        data["kind"].clone()
    });
    assert!(kinds.contains(&json!("audio")) && kinds.contains(&json!("video")));
    let answer = server.sdp("/whep/r/cam", &offer("recvonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let viewer = ann.told("newPeer").await["peer"].clone();
    assert_eq!((&viewer["displayName"], &viewer["device"]["flag"]), (&json!("viewer"), &json!("viewer")));
    // The other way round: what a participant publishes is watched.
    let send = ann.transport(true).await;
    ann.ask("produce", camera(&send)).await;
    let answer = server.sdp("/whep/r/ann", &offer("recvonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let publisher = server.sdp("/whip/r?peer=ann", &offer("sendonly", STAYS)).await;
    assert_eq!(publisher.status, StatusCode::CONFLICT, "the name is taken");
}

#[tokio::test]
async fn requests_about_what_is_not_there() {
    let server = Server::start().await;
    let mut client = Client::come(&server, "r", "p").await;
    let unknown = json!({ "transportId": "x", "producerId": "x", "consumerId": "x", "dataProducerId": "x",
        "dataConsumerId": "x", "spatialLayer": 0, "priority": 1, "displayName": "x" });
    for (method, part) in [
        ("nonsense", "nonsense"),
        ("restartIce", "no transport"),
        ("closeProducer", "no producer"),
        ("pauseProducer", "no producer"),
        ("resumeProducer", "no producer"),
        ("pauseConsumer", "no consumer"),
        ("resumeConsumer", "no consumer"),
        ("setConsumerPreferredLayers", "no consumer"),
        ("setConsumerPriority", "no consumer"),
        ("requestConsumerKeyFrame", "no consumer"),
        ("changeDisplayName", "not joined"),
        ("getTransportStats", "no transport"),
        ("getProducerStats", "no producer"),
        ("getConsumerStats", "no consumer"),
        ("getDataProducerStats", "no data producer"),
        ("getDataConsumerStats", "no data consumer"),
    ] {
        client.refused(method, unknown.clone(), 500, part).await;
        if method != "nonsense" {
            client.refused(method, json!({}), 500, "missing field").await;
        }
    }
}

#[tokio::test]
async fn wrong_bodies_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let mut client = Client::come(&server, "r", "p").await;
    let send = client.transport(true).await;
    client
        .refused(
            "connectWebRtcTransport",
            json!({ "transportId": "x", "dtlsParameters": dtls(1, "client") }),
            500,
            "no transport",
        )
        .await;
    for (wrong, part) in [
        (json!({ "role": "client", "fingerprints": [] }), "fingerprints"),
        (json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-1", "value": "00" }] }), "sha-256"),
        (json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": "00:11" }] }), "32 bytes"),
        (dtls(1, "other"), "role"),
    ] {
        client
            .refused("connectWebRtcTransport", json!({ "transportId": send, "dtlsParameters": wrong }), 500, part)
            .await;
    }
    client.refused("produce", camera(&send), 500, "not joined").await;
    client.refused("setConsumerPriority", json!({ "consumerId": "x", "priority": 0 }), 500, "1 to 255").await;
    for method in ["applyNetworkThrottle", "resetNetworkThrottle", "stopNetworkThrottle"] {
        client.refused(method, json!({ "secret": "x", "options": {} }), 403, "throttle").await;
    }
    let long = json!({ "displayName": "x".repeat(257), "device": {} });
    client.refused("join", long, 500, "displayName").await;
    client.refused("join", json!({ "displayName": "x", "device": { "name": "x".repeat(5_000) } }), 500, "device").await;
    client.refused("join", json!({ "displayName": "x", "device": "phone" }), 500, "device").await;
    client.ask("join", json!({})).await;
    client.refused("join", json!({}), 500, "joined already").await;
    client
        .refused(
            "produce",
            json!({ "transportId": send, "kind": "video", "rtpParameters": { "codecs": [] } }),
            500,
            "codecs",
        )
        .await;
    let mut loud = microphone(&send);
    loud["appData"] = json!({ "x": "y".repeat(5_000) });
    client.refused("produce", loud, 500, "appData").await;
    // What is no message at all is dropped, and the connection stays.
    for text in ["x", "[]", "{\"request\":true}"] {
        client.socket.send(Message::text(text)).await.expect("is open");
    }
    client.socket.send(Message::binary(vec![1, 2, 3])).await.expect("is open");
    for _ in 0..6 {
        client.transport(true).await;
    }
    client.transport(true).await;
    client
        .refused("createWebRtcTransport", json!({ "appData": { "direction": "producer" } }), 500, "8 transports")
        .await;
    let rooms = server.get("/rooms").await.json();
    assert_eq!((&rooms["rooms"][0]["producers"], &rooms["rooms"][0]["transports"]), (&json!(0), &json!(8)));
}

#[tokio::test]
async fn transports_are_connected_once() {
    let server = Server::start().await;
    let mut client = Client::come(&server, "r", "p").await;
    for role in ["client", "server", "auto"] {
        let transport = client.transport(true).await;
        let body = json!({ "transportId": transport, "dtlsParameters": dtls(NEVER_COMES, role) });
        assert_eq!(client.ask("connectWebRtcTransport", body.clone()).await, json!({}));
        client.refused("connectWebRtcTransport", body, 500, "connected already").await;
    }
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_slowed_down() {
    let server = Server::start().await;
    let mut client = Client::come(&server, "r", "p").await;
    let mut slowed = false;
    for _ in 0..2_000 {
        let answer = client.answer("getRtcStatsUrl", json!({})).await;
        slowed |= answer["errorCode"] == 429;
    }
    assert!(slowed);
}
