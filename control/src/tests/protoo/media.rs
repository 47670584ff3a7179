//! Producers and consumers, what is told of them, statistics, sound.

use super::*;
use crate::workers::fake_worker::LOUD_DBOV;

/// A publisher of the camera and a viewer, both of this generation, and the ids of producer and consumer.
async fn pair(server: &Server, is_legacy: bool) -> (Client, Client, String, String) {
    let (mut ann, _) = Client::join(server, "r", "ann", is_legacy).await;
    let (mut ben, _) = Client::join(server, "r", "ben", is_legacy).await;
    let send = ann.transport(true).await;
    let made = ann.ask("produce", camera(&send)).await;
    assert_eq!(made["id"], made["producerId"]);
    let offered = ben.takes("newConsumer").await;
    let name = if is_legacy { "id" } else { "consumerId" };
    let consumer = offered[name].as_str().expect("an id").to_owned();
    (ann, ben, made["id"].as_str().expect("an id").to_owned(), consumer)
}

#[tokio::test]
async fn a_new_producer_is_offered_to_others_and_to_those_who_come_later() {
    let server = Server::start().await;
    let (mut ann, mut ben, producer, _) = pair(&server, false).await;
    let (mut eve, _) = Client::join(&server, "r", "eve", true).await;
    let (id, data) = eve.asked("newConsumer").await;
    assert_eq!(
        (&data["peerId"], &data["producerId"], &data["kind"]),
        (&json!("ann"), &json!(producer), &json!("video"))
    );
    assert!(data["id"] == data["consumerId"] && data["transportId"].is_string());
    assert_eq!((&data["type"], &data["producerPaused"]), (&json!("simulcast"), &json!(false)));
    assert_eq!(data["appData"], json!({ "source": "video", "peerId": "ann" }));
    let parameters = &data["rtpParameters"];
    let (media, rtx) = (&parameters["codecs"][0], &parameters["codecs"][1]);
    assert_eq!(
        (&media["mimeType"], &media["payloadType"], &rtx["payloadType"]),
        (&json!("video/VP8"), &json!(101), &json!(102))
    );
    let encoding = &parameters["encodings"][0];
    assert_eq!(encoding["rtx"]["ssrc"].as_u64(), encoding["ssrc"].as_u64().map(|ssrc| ssrc + 1));
    assert_eq!((&encoding["scalabilityMode"], &parameters["mid"]), (&json!("L3T3"), &json!("0")));
    for member in ["score", "producerScore", "producerScores"] {
        assert!(!data["consumerScore"][member].is_null(), "{member}");
    }
    eve.accept(&id).await;
    assert_eq!(eve.told("consumerScore").await["consumerId"], data["id"]);
    // The next has the next mid.
    let send = ann.transport(true).await;
    ann.ask("produce", microphone(&send)).await;
    let sound = eve.takes("newConsumer").await;
    assert_eq!((&sound["kind"], &sound["rtpParameters"]["mid"]), (&json!("audio"), &json!("1")));
    assert_eq!(ben.takes("newConsumer").await["kind"], "audio");
    assert!(!ann.has_been_told("newConsumer").await, "not one's own");
}

#[tokio::test]
async fn pauses_closures_layers_and_priorities() {
    for is_legacy in [false, true] {
        let server = Server::start().await;
        let (mut ann, mut ben, producer, consumer) = pair(&server, is_legacy).await;
        ann.tell("pauseProducer", json!({ "producerId": producer })).await;
        assert_eq!(ben.told("consumerPaused").await, json!({ "consumerId": consumer }));
        ann.tell("resumeProducer", json!({ "producerId": producer })).await;
        assert_eq!(ben.told("consumerResumed").await, json!({ "consumerId": consumer }));
        for method in ["pauseConsumer", "resumeConsumer", "requestConsumerKeyFrame"] {
            ben.tell(method, json!({ "consumerId": consumer })).await;
        }
        ben.tell("setConsumerPriority", json!({ "consumerId": consumer, "priority": 255 })).await;
        let layers = json!({ "consumerId": consumer, "spatialLayer": 1, "temporalLayer": 0 });
        ben.tell("setConsumerPreferredLayers", layers).await;
        let told = ben.told("consumerLayersChanged").await;
        assert_eq!(
            (&told["consumerId"], &told["spatialLayer"], &told["temporalLayer"]),
            (&json!(consumer), &json!(1), &json!(0))
        );
        assert_eq!(told["layers"], json!({ "spatialLayer": 1, "temporalLayer": 0 }));
        let all = json!({ "consumerId": consumer, "spatialLayer": 2 });
        ben.tell("setConsumerPreferredLayers", all).await;
        assert_eq!(ben.told("consumerLayersChanged").await["layers"], json!({ "spatialLayer": 2, "temporalLayer": 2 }));
        // One may want nothing of what is another's.
        ann.refused("pauseConsumer", json!({ "consumerId": consumer }), 500, "no consumer").await;
        ben.refused("closeProducer", json!({ "producerId": producer }), 500, "no producer").await;
        ann.tell("closeProducer", json!({ "producerId": producer })).await;
        assert_eq!(ben.told("consumerClosed").await, json!({ "consumerId": consumer }));
    }
}

#[tokio::test]
async fn what_a_leaving_peer_sent_closes_before_it_leaves() {
    let server = Server::start().await;
    let (ann, mut ben, _, consumer) = pair(&server, false).await;
    drop(ann);
    let closed =
        ben.find("either", |message| message["method"] == "consumerClosed" || message["method"] == "peerClosed");
    assert_eq!(closed.await["data"], json!({ "consumerId": consumer }));
    assert_eq!(ben.told("peerClosed").await, json!({ "peerId": "ann" }));
}

#[tokio::test]
async fn what_is_refused_is_closed() {
    let server = Server::start().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let send = ann.transport(true).await;
    ann.ask("produce", camera(&send)).await;
    let (id, data) = ben.asked("newConsumer").await;
    ben.send(json!({ "response": true, "id": id, "ok": false, "errorCode": 403, "errorReason": "no" })).await;
    // An answer to nothing is let be.
    ben.send(json!({ "response": true, "id": 77, "ok": true })).await;
    ben.refused("pauseConsumer", json!({ "consumerId": data["consumerId"] }), 500, "no consumer").await;
    assert_eq!(server.room("r").await["consumers"], 0);
}

#[tokio::test]
async fn who_gives_no_capabilities_is_sent_no_media() {
    let server = Server::start().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let mut ben = Client::come(&server, "r", "ben").await;
    ben.transport(false).await;
    ben.ask("join", json!({ "displayName": "Ben", "device": { "name": "x" } })).await;
    let send = ann.transport(true).await;
    ann.ask("produce", camera(&send)).await;
    assert!(!ben.has_been_told("newConsumer").await);
}

#[tokio::test]
async fn consumers_wait_for_a_transport_to_receive_on() {
    let server = Server::start().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let send = ann.transport(true).await;
    ann.ask("produce", camera(&send)).await;
    let mut ben = Client::come(&server, "r", "ben").await;
    ben.transport(true).await;
    ben.ask("join", joining(&server.get("/rooms/x").await.json())).await;
    assert!(!ben.has_been_told("newConsumer").await);
    let receives = ben.transport(false).await;
    assert_eq!(ben.takes("newConsumer").await["transportId"], receives);
}

#[tokio::test]
async fn replicas_are_as_many_as_the_first_client_wants() {
    let server = Server::start().await;
    let mut ann = knock(&server, "/?roomId=r&peerId=ann&consumerReplicas=2", &[PROTOO])
        .await
        .map_err(|error| error.1)
        .expect("comes");
    let send = ann.transport(true).await;
    ann.ask("join", json!({})).await;
    ann.ask("produce", camera(&send)).await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let mut mids = Vec::new();
    for _ in 0..3 {
        mids.push(ben.takes("newConsumer").await["rtpParameters"]["mid"].clone());
    }
    assert_eq!(mids, [json!("0"), json!("1"), json!("2")]);
    assert!(!ben.has_been_told("newConsumer").await);
}

#[tokio::test]
async fn statistics_are_bare_for_one_and_wrapped_for_the_other() {
    for is_legacy in [false, true] {
        let server = Server::start().await;
        let (mut ann, mut ben, producer, consumer) = pair(&server, is_legacy).await;
        let transport = ben.transport(false).await;
        let entries = |answer: Value| if is_legacy { answer } else { answer["stats"].clone() };
        let of = entries(ben.ask("getTransportStats", json!({ "transportId": transport })).await);
        assert_eq!((&of[0]["transportId"], of[0]["timestamp"].is_u64()), (&json!(transport), true), "{of}");
        for member in ["bytesReceived", "recvBitrate", "bytesSent", "sendBitrate"] {
            assert!(of[0][member].is_u64(), "{member}: {of}");
        }
        let of = entries(ann.ask("getProducerStats", json!({ "producerId": producer })).await);
        assert!(of.is_array(), "{of}");
        let of = entries(ben.ask("getConsumerStats", json!({ "consumerId": consumer })).await);
        assert_eq!(
            (&of[0]["type"], &of[0]["mimeType"], &of[0]["kind"]),
            (&json!("outbound-rtp"), &json!("video/VP8"), &json!("video")),
            "{of}"
        );
        assert!(of[0]["rtxSsrc"].is_u64() && of[0]["score"] == 10 && of[0]["bitrate"].is_u64(), "{of}");
    }
}

#[tokio::test]
async fn each_generation_hears_who_speaks_in_its_own_words() {
    let server = Server::start().await;
    let (mut typed, _) = Client::join(&server, "r", "typed", false).await;
    let (mut legacy, _) = Client::join(&server, "r", "legacy", true).await;
    let send = typed.transport(true).await;
    typed.ask("produce", microphone(&send)).await;
    assert_eq!(typed.told("activeSpeaker").await, json!({ "peerId": "typed" }));
    let volumes = json!({ "peerVolumes": [{ "peerId": "typed", "volume": LOUD_DBOV }] });
    assert_eq!(typed.told("speakingPeers").await, volumes);
    assert_eq!(legacy.told("activeSpeaker").await, json!({ "peerId": "typed", "volume": LOUD_DBOV }));
    assert!(!legacy.has_been_told("speakingPeers").await);
}

/// What a client without H.265 can be sent.
fn without_h265(capabilities: &Value) -> Value {
    let mut body = joining(capabilities);
    let codecs = body["rtpCapabilities"]["codecs"].as_array_mut().expect("a list");
    codecs.retain(|codec| codec["mimeType"] != "video/H265");
    body
}

fn h265(transport: &str) -> Value {
    json!({ "transportId": transport, "kind": "video", "appData": { "source": "video" }, "rtpParameters": {
        "mid": "0",
        "codecs": [{ "mimeType": "video/H265", "payloadType": 96, "clockRate": 90000, "parameters": {} }],
        "encodings": [{ "ssrc": 2222 }] } })
}

#[tokio::test]
async fn who_has_no_codec_for_a_producer_is_told_so_and_not_offered_it() {
    let server = Server::start().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let send = ann.transport(true).await;
    let mut ben = Client::come(&server, "r", "ben").await;
    ben.transport(false).await;
    ben.ask("join", without_h265(&server.get("/rooms/x").await.json())).await;
    let (mut eve, _) = Client::join(&server, "r", "eve", false).await;
    let made = ann.ask("produce", h265(&send)).await;
    let mut unplayable = json!({ "peerId": "ann", "producerId": made["id"], "kind": "video", "mimeType": "video/H265",
                             "producerPaused": false, "appData": { "source": "video", "peerId": "ann" } });
    assert_eq!(ben.told("unplayable").await, unplayable);
    assert_eq!(eve.takes("newConsumer").await["producerId"], made["id"]);
    for paused in [true, false] {
        let method = if paused { "pauseProducer" } else { "resumeProducer" };
        ann.tell(method, json!({ "producerId": made["id"] })).await;
        unplayable["producerPaused"] = json!(paused);
        assert_eq!(ben.told("unplayable").await, unplayable);
    }
    // The rest of the peer is offered as ever.
    ann.ask("produce", microphone(&send)).await;
    assert_eq!(ben.takes("newConsumer").await["kind"], "audio");
    ann.tell("closeProducer", json!({ "producerId": made["id"] })).await;
    assert_eq!(ben.told("unplayableClosed").await, json!({ "producerId": made["id"] }));
    // Who comes later is told as well, and of a peer that has left as of a producer that has closed.
    let made = ann.ask("produce", h265(&send)).await;
    assert_eq!(ben.told("unplayable").await["producerId"], made["id"]);
    let mut dan = Client::come(&server, "r", "dan").await;
    dan.transport(false).await;
    dan.ask("join", without_h265(&server.get("/rooms/x").await.json())).await;
    assert_eq!(dan.told("unplayable").await["producerId"], made["id"]);
    drop(ann);
    for client in [&mut ben, &mut dan] {
        assert_eq!(client.told("unplayableClosed").await, json!({ "producerId": made["id"] }));
        assert!(!client.has_been_told("unplayable").await, "once each");
    }
    assert!(!eve.has_been_told("unplayable").await);
}
