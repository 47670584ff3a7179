//! A client whose WebSocket breaks, and that goes on as the peer that it was.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;
use crate::settings::Span;

/// A participant that may resume, its secret, and its transports: to send and to receive.
async fn join(server: &Server, peer: &str) -> (Client, String, [String; 2]) {
    let mut client = Client::come(server, "r", peer).await;
    let transports = [client.transport(true).await, client.transport(false).await];
    let mut body = joining(&server.get("/rooms/x").await.json());
    body["resume"] = json!(true);
    let joined = client.ask("join", body).await;
    (client, joined["resume"].as_str().expect("a secret").to_owned(), transports)
}

fn url(room: &str, peer: &str, secret: &str) -> String {
    format!("/protoo?roomId={room}&peerId={peer}&resume={secret}")
}

async fn back(server: &Server, peer: &str, secret: &str) -> Client {
    knock(server, &url("r", peer, secret), &[PROTOO]).await.unwrap_or_else(|refusal| panic!("{peer}: {refusal:?}"))
}

/// Names of the room's peers.
async fn peers(server: &Server) -> Value {
    let room = server.room("r").await;
    let names = room["peers"].as_array().map(|all| all.iter().map(|peer| peer["id"].clone()).collect::<Vec<_>>());
    json!(names)
}

#[tokio::test]
async fn a_client_goes_on_as_the_peer_that_it_was() {
    let server = Server::start().await;
    let (mut ann, secret, [send, receive]) = join(&server, "ann").await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let own = ann.ask("produce", camera(&send)).await["producerId"].clone();
    let bens = ben.takes("newConsumer").await["consumerId"].clone();
    let first = camera(&ben.transport(true).await);
    let first = ben.ask("produce", first).await["producerId"].clone();
    let taken = ann.takes("newConsumer").await;
    assert_eq!(taken["producerId"], first);
    ann.told("consumerScore").await;
    drop(ann);
    // What happens while it is away.
    let sound = microphone(&ben.transport(true).await);
    let second = ben.ask("produce", sound).await["producerId"].clone();
    ben.tell("pauseProducer", json!({ "producerId": first })).await;
    ben.tell("changeDisplayName", json!({ "displayName": "Benjamin" })).await;
    let (eve, _) = Client::join(&server, "r", "eve", false).await;
    assert!(!ben.has_been_told("peerClosed").await);

    let mut ann = back(&server, "ann", &secret).await;
    let consumers = json!([{ "consumerId": taken["consumerId"], "paused": false }, { "consumerId": "unknown" }]);
    let now = ann.ask("resume", json!({ "consumerTransportId": receive, "consumers": consumers })).await;
    assert_eq!((&now["peers"][0]["displayName"], &now["peers"][1]["id"]), (&json!("Benjamin"), &json!("eve")));
    assert_eq!(now["producers"], json!([{ "producerId": own, "paused": false }]));
    assert_eq!(
        (now["consumers"].as_array().map(Vec::len), &now["consumers"][0]["producerPaused"]),
        (Some(1), &json!(true))
    );
    assert_eq!(now["consumers"][0]["consumerId"], taken["consumerId"]);
    let mut transports = [send.as_str(), receive.as_str()];
    transports.sort_unstable();
    let sctp = transports.iter().map(|id| json!({ "transportId": id, "sctp": true })).collect::<Vec<_>>();
    assert_eq!((&now["transports"], &now["muted"]), (&json!(sctp), &json!({ "audio": false, "video": false })));
    assert_eq!(ann.takes("newConsumer").await["producerId"], second, "what it has missed");
    // It goes on, both ways.
    drop(eve);
    assert_eq!(ann.told("peerClosed").await["peerId"], "eve");
    ann.tell("pauseProducer", json!({ "producerId": own })).await;
    assert_eq!(ben.told("consumerPaused").await["consumerId"], bens);
    assert!(!ann.has_been_told("newConsumer").await, "each is offered once");
    ben.ask("getRouterRtpCapabilities", json!({})).await;
    let left = |message: &&Value| message["method"] == "peerClosed" && message["data"]["peerId"] == "ann";
    assert_eq!(ben.waiting.iter().find(left), None, "nobody has seen it leave");
    ann.refused("resume", json!({}), 500, "nothing to resume").await;
    ann.refused("join", json!({}), 500, "joined already").await;
}

#[tokio::test]
async fn what_a_client_does_not_have_is_closed_and_offered_again() {
    let server = Server::start().await;
    let (mut ann, secret, [_, receive]) = join(&server, "ann").await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let send = ben.transport(true).await;
    ben.ask("produce", camera(&send)).await;
    let channel = json!({ "transportId": send, "label": "chat", "sctpStreamParameters": { "streamId": 3 } });
    ben.ask("produceData", channel).await;
    let (_, unanswered) = ann.asked("newConsumer").await;
    let (_, data) = ann.asked("newDataConsumer").await;
    ann.asked("newDataConsumer").await;
    drop(ann);
    let mut ann = back(&server, "ann", &secret).await;
    ann.refused("resume", json!({ "consumerTransportId": send }), 500, "transport").await;
    let held =
        json!({ "consumerTransportId": receive, "dataConsumers": [{ "dataConsumerId": data["dataConsumerId"] }] });
    let now = ann.ask("resume", held).await;
    assert_eq!((&now["consumers"], now["dataConsumers"].as_array().map(Vec::len)), (&json!([]), Some(1)));
    let again = ann.takes("newConsumer").await;
    assert_eq!(again["producerId"], unanswered["producerId"]);
    assert_ne!(again["consumerId"], unanswered["consumerId"]);
    let other = ann.takes("newDataConsumer").await;
    assert_ne!(other["dataProducerId"], data["dataProducerId"], "that which it has is not offered again");
    // Media and data may come on transports of their own; one that is closed is not missed.
    let alone = json!({ "appData": { "direction": "consumer", "carries": "data" } });
    let alone = ann.ask("createWebRtcTransport", alone).await["transportId"].clone();
    ben.ask("produceData", json!({ "transportId": send, "sctpStreamParameters": { "streamId": 4 } })).await;
    assert_eq!(ann.takes("newDataConsumer").await["transportId"], alone);
    ben.ask("produce", microphone(&send)).await;
    assert_eq!(ann.takes("newConsumer").await["transportId"], json!(receive));
    ann.ask("closeWebRtcTransport", json!({ "transportId": alone })).await;
    ann.refused("closeWebRtcTransport", json!({ "transportId": alone }), 500, "transport").await;
    ann.refused("closeWebRtcTransport", json!({ "transportId": send }), 500, "transport").await;
}

#[tokio::test]
async fn nobody_goes_on_as_somebody_else() {
    let server = Server::start().await;
    let (ann, secret, _) = join(&server, "ann").await;
    let (mut ben, bens, _) = join(&server, "ben").await;
    let waits = Client::come(&server, "r", "eve").await;
    let cut = &secret[..secret.len() - 1];
    let long = format!("{secret}{secret}");
    for (room, peer, shown) in [
        ("r", "ann", bens.as_str()),
        ("r", "ann", cut),
        ("r", "ann", &long),
        ("r", "eve", &secret),
        ("r", "nobody", &secret),
        ("elsewhere", "ann", &secret),
    ] {
        let (status, sentence) = knock(&server, &url(room, peer, shown), &[PROTOO]).await.err().expect("refused");
        assert_eq!(status, 404, "{room} {peer} {shown}: {sentence}");
        assert_eq!(server.get(&url(room, peer, shown)).await.status, StatusCode::NOT_FOUND, "and a page is told");
    }
    assert_eq!(peers(&server).await, json!(["ann", "ben", "eve"]), "nothing has changed");
    assert!(server.room("elsewhere").await.is_null(), "no room was made");
    assert!(!ben.has_been_told("peerClosed").await);
    // It is good for one stay.
    drop(waits);
    let (again, other, _) = join(&server, "ann").await;
    assert_eq!(ann.end().await, End::Code(4_000), "without the secret it is another peer");
    assert_eq!(knock(&server, &url("r", "ann", &secret), &[PROTOO]).await.err().map(|refusal| refusal.0), Some(404));
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(again.end().await, End::Code(4_000));
    assert_eq!(knock(&server, &url("r", "ann", &other), &[PROTOO]).await.err().map(|refusal| refusal.0), Some(404));
}

#[tokio::test]
async fn the_second_connection_takes_the_place_of_the_first() {
    let server = Server::start().await;
    let (first, secret, [_, receive]) = join(&server, "ann").await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let mut second = back(&server, "ann", &secret).await;
    assert_eq!(first.end().await, End::Code(4_000));
    second.ask("resume", json!({ "consumerTransportId": receive })).await;
    // One that does not say what it has can still give way.
    let _silent = back(&server, "ann", &secret).await;
    let mut third = back(&server, "ann", &secret).await;
    third.ask("resume", json!({ "consumerTransportId": receive })).await;
    ben.tell("changeDisplayName", json!({ "displayName": "B" })).await;
    assert_eq!(third.told("peerDisplayNameChanged").await["displayName"], "B");
    assert!(!ben.has_been_told("peerClosed").await);
    assert_eq!(second.end().await, End::Code(4_000));
}

#[tokio::test]
async fn a_place_is_kept_for_the_grace_and_not_for_who_leaves() {
    let mut config = Config::default();
    config.rooms.resume_grace = Span(Duration::from_millis(100));
    let server = Server::start_with(config).await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let (ann, secret, _) = join(&server, "ann").await;
    drop(ann);
    assert_eq!(ben.told("peerClosed").await["peerId"], "ann", "the grace is over");
    assert_eq!(knock(&server, &url("r", "ann", &secret), &[PROTOO]).await.err().map(|refusal| refusal.0), Some(404));

    let server = Server::start().await;
    let (mut ben, _) = Client::join(&server, "r", "ben", false).await;
    let (mut ann, _, _) = join(&server, "ann").await;
    let frame = CloseFrame { code: 1_001.into(), reason: "".into() };
    ann.socket.close(Some(frame)).await.expect("is open");
    assert_eq!(ben.told("peerClosed").await["peerId"], "ann", "its page has gone");
    let (eve, _) = Client::join(&server, "r", "eve", false).await;
    drop(eve);
    assert_eq!(ben.told("peerClosed").await["peerId"], "eve", "it has not asked for its place to be kept");
    // A client that gives up a connection which is dead, to go on by another, says so.
    let (mut ann, secret, [_, receive]) = join(&server, "ann").await;
    let frame = CloseFrame { code: 4_001.into(), reason: "".into() };
    ann.socket.close(Some(frame)).await.expect("is open");
    let _ = ann.end().await;
    back(&server, "ann", &secret).await.ask("resume", json!({ "consumerTransportId": receive })).await;
    assert!(!ben.has_been_told("peerClosed").await);
}
