//! Data producers and data consumers; the bot.

use super::*;

fn channel(transport: &str, stream: u16, label: &str) -> Value {
    json!({ "transportId": transport, "sctpStreamParameters": { "streamId": stream, "ordered": true }, "label": label,
            "protocol": "p", "appData": { "channel": label } })
}

/// A client with a transport to send on.
async fn speaker(server: &Server, peer: &str, is_legacy: bool) -> (Client, String) {
    let (mut client, _) = Client::join(server, "r", peer, is_legacy).await;
    let send = client.transport(true).await;
    (client, send)
}

#[tokio::test]
async fn what_one_says_the_others_are_sent() {
    let server = Server::start().await;
    let (mut ann, send) = speaker(&server, "ann", false).await;
    let (mut ben, _) = speaker(&server, "ben", true).await;
    let bot = ann.takes("newDataConsumer").await;
    assert_eq!(
        (&bot["label"], &bot["peerId"], &bot["appData"]),
        (&json!("bot"), &Value::Null, &json!({ "channel": "bot" }))
    );
    assert!(!bot.as_object().expect("members").contains_key("peerId"), "the typed client finds none");
    let bot = ben.takes("newDataConsumer").await;
    assert!(bot["label"] == "bot" && bot.as_object().expect("members")["peerId"].is_null());
    let made = ann.ask("produceData", channel(&send, 3, "chat")).await;
    assert_eq!(made["id"], made["dataProducerId"]);
    let offered = ben.takes("newDataConsumer").await;
    assert_eq!(
        (&offered["peerId"], &offered["label"], &offered["protocol"]),
        (&json!("ann"), &json!("chat"), &json!("p"))
    );
    assert!(offered["id"] == offered["dataConsumerId"] && offered["dataProducerId"] == made["id"]);
    assert_eq!(offered["sctpStreamParameters"], json!({ "streamId": 1, "ordered": true }), "one more than the bot's");
    assert_eq!(offered["appData"], json!({ "channel": "chat", "peerId": "ann" }));
    let (mut eve, _) = speaker(&server, "eve", false).await;
    let labels = [eve.takes("newDataConsumer").await, eve.takes("newDataConsumer").await].map(|of| of["label"].clone());
    assert_eq!(labels, [json!("bot"), json!("chat")]);
    let stats = ann.ask("getDataProducerStats", json!({ "dataProducerId": made["id"] })).await["stats"].clone();
    assert_eq!(
        (&stats[0]["type"], &stats[0]["label"], &stats[0]["protocol"]),
        (&json!("data-producer"), &json!("chat"), &json!("p"))
    );
    let stats = ben.ask("getDataConsumerStats", json!({ "dataConsumerId": offered["id"] })).await;
    assert_eq!(
        (&stats[0]["type"], &stats[0]["label"], &stats[0]["messagesSent"]),
        (&json!("data-consumer"), &json!("chat"), &json!(1))
    );
    drop(ann);
    assert_eq!(ben.told("dataConsumerClosed").await, json!({ "dataConsumerId": offered["id"] }));
}

#[tokio::test]
async fn what_is_said_to_the_bot_is_offered_to_nobody() {
    let server = Server::start().await;
    let (mut ann, send) = speaker(&server, "ann", false).await;
    let (mut ben, _) = speaker(&server, "ben", false).await;
    assert_eq!(ben.takes("newDataConsumer").await["label"], "bot");
    ann.ask("produceData", channel(&send, 0, "bot")).await;
    ann.ask("produceData", channel(&send, 1, "chat")).await;
    assert_eq!(ben.takes("newDataConsumer").await["label"], "chat");
}

#[tokio::test]
async fn wrong_channels_are_refused() {
    let server = Server::start().await;
    let (mut ann, send) = speaker(&server, "ann", false).await;
    for (parameters, part) in [
        (json!({ "streamId": 0, "maxRetransmits": 1, "maxPacketLifeTime": 1 }), "both"),
        (json!({ "streamId": 0, "ordered": true, "maxRetransmits": 1 }), "ordered"),
        (json!({ "streamId": 70_000 }), "streamId"),
        (json!({}), "streamId"),
    ] {
        let mut body = channel(&send, 0, "chat");
        body["sctpStreamParameters"] = parameters;
        ann.refused("produceData", body, 500, part).await;
    }
    ann.refused("produceData", channel("x", 0, "chat"), 500, "no transport").await;
    let without = ann.ask("createWebRtcTransport", json!({ "producing": true, "consuming": false })).await;
    ann.refused("produceData", channel(without["id"].as_str().expect("an id"), 0, "chat"), 500, "data channels").await;
    // A limit and no word on order makes it unordered.
    let mut body = channel(&send, 0, "chat");
    body["sctpStreamParameters"] = json!({ "streamId": 0, "maxRetransmits": 1 });
    ann.ask("produceData", body).await;
    let (mut ben, _) = speaker(&server, "ben", false).await;
    let is_chat = async |client: &mut Client| loop {
        let data = client.takes("newDataConsumer").await;
        if data["label"] == "chat" {
            break data;
        }
    };
    let parameters = is_chat(&mut ben).await["sctpStreamParameters"].clone();
    assert_eq!(parameters, json!({ "streamId": 1, "ordered": false, "maxRetransmits": 1 }));
}

#[tokio::test]
async fn the_legacy_client_says_whether_it_takes_data() {
    let server = Server::start().await;
    let (mut ann, send) = speaker(&server, "ann", false).await;
    let mut ben = Client::come(&server, "r", "ben").await;
    ben.is_legacy = true;
    ben.transport(false).await;
    ben.ask("join", json!({ "displayName": "Ben", "device": { "name": "x" } })).await;
    ann.ask("produceData", channel(&send, 0, "chat")).await;
    assert!(!ben.has_been_told("newDataConsumer").await);
}

#[tokio::test]
async fn a_broadcaster_with_webrtc_and_channels_takes_part() {
    let server = Server::start().await;
    let (mut ann, send) = speaker(&server, "ann", false).await;
    let broadcaster = json!({ "id": "b", "displayName": "B", "device": { "name": "libmediasoupclient" } });
    server.made("/rooms/r/broadcasters", broadcaster).await;
    assert_eq!(ann.told("newPeer").await["peer"]["device"]["flag"], "broadcaster");
    let of = "/rooms/r/broadcasters/b";
    let wanted =
        json!({ "type": "webrtc", "rtcpMux": true, "sctpCapabilities": { "numStreams": { "OS": 1024, "MIS": 1024 } } });
    let made = server.made(&format!("{of}/transports"), wanted).await;
    for member in ["iceParameters", "iceCandidates", "dtlsParameters", "sctpParameters"] {
        assert!(!made[member].is_null(), "{member}: {made}");
    }
    let on = format!("{of}/transports/{}", made["id"].as_str().expect("an id"));
    let dtls =
        json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": "5A:".repeat(31) + "5A" }] });
    let connect = json!({ "dtlsParameters": dtls });
    assert_eq!(server.post(&format!("{on}/connect"), connect.clone()).await.status, StatusCode::OK);
    server.wrong(&format!("{on}/connect"), connect, 409, "connected already").await;
    let producer = server.made(&format!("{on}/producers"), camera("-")).await["id"].clone();
    assert_eq!(ann.takes("newConsumer").await["producerId"], producer);
    let stream = json!({ "streamId": 0, "ordered": true });
    let chat = json!({ "label": "chat", "protocol": "", "sctpStreamParameters": stream, "appData": {} });
    let data_producer = server.made(&format!("{on}/produce/data"), chat).await["id"].clone();
    let offered = ann.find("chat", |message| message["data"]["label"] == "chat").await;
    assert_eq!(offered["data"]["dataProducerId"], data_producer);
    let said = ann.ask("produceData", channel(&send, 1, "chat")).await;
    let heard = server.made(&format!("{on}/consume/data"), json!({ "dataProducerId": said["id"] })).await;
    assert!(heard["id"].is_string() && heard["streamId"].is_u64(), "{heard}");
}
