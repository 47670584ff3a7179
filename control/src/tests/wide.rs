//! Rooms that are wider than a core: from where their viewers are sent.

use std::time::Duration;

use super::protoo::{Client, camera};
use super::sessions::{STAYS, offer};
use super::*;
use crate::settings::Span;

/// Time between two looks at what closes by itself.
const LOOK: Duration = Duration::from_millis(100);

/// Viewers that home has room for at most, at a tenth of a percent each.
const MAX_AT_HOME: usize = 10;

/// A server whose rooms grow with few viewers.
async fn server() -> Server {
    let mut config = Config::default();
    config.rooms.widen_percent = 1;
    // Viewers count one by one until the next heartbeat, and there is none.
    config.worker.heartbeat = Span::from_secs(3_600);
    let server = Server::start_with(config).await;
    // The only heartbeat is over, so that what is placed from now on counts.
    server.until("the first heartbeat", async || server.get("/health").await.status == StatusCode::OK).await;
    server
}

impl Server {
    async fn joins(&self, path: &str, direction: &str) -> String {
        let answer = self.sdp(path, &offer(direction, STAYS)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.location.expect("a session URL")
    }

    async fn leaves(&self, session: &str) {
        assert_eq!(self.send("DELETE", session, "", "").await.status, StatusCode::OK);
    }

    /// Names of the transports of a worker, those of viewers as "viewer".
    async fn transports_of(&self, worker: u32) -> Vec<String> {
        let stats = self.get("/stats").await.json();
        let all = stats["transports"].as_array().expect("list").iter();
        let own = all.filter(|transport| transport["worker"] == worker);
        let name = |transport: &Value| transport["id"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<_> =
            own.map(name).map(|name| if name.starts_with("pipe") { name } else { "peer".into() }).collect();
        names.sort_unstable();
        names
    }
}

#[tokio::test]
async fn a_busy_room_sends_viewers_from_another_worker() {
    let server = server().await;
    let publisher = server.joins("/whip/r?peer=ann", "sendonly").await;
    assert_eq!(server.transports_of(1).await, Vec::<String>::new());
    let mut viewers = Vec::new();
    while server.room("r").await["branches"] == json!([]) {
        viewers.push(server.joins("/whep/r/ann", "recvonly").await);
    }
    viewers.push(server.joins("/whep/r/ann", "recvonly").await);
    assert!(viewers.len() <= MAX_AT_HOME + 2, "{}", viewers.len());
    let (room, count) = (server.room("r").await, viewers.len());
    assert_eq!((&room["worker"], &room["branches"], &room["viewers"]), (&json!(0), &json!([1]), &json!(count)));
    assert_eq!(server.transports_of(0).await.iter().filter(|name| *name == "pipe to worker 1").count(), 1);
    assert_eq!(server.transports_of(1).await, ["peer", "peer", "pipe to worker 1"]);

    // Those on the branch go on with the publisher that comes again, as those at home do.
    server.leaves(&publisher).await;
    let publisher = server.joins("/whip/r?peer=ann", "sendonly").await;
    assert_eq!(server.room("r").await["peers"][0]["viewers"], count);

    for viewer in viewers {
        server.leaves(&viewer).await;
    }
    let so = async || server.room("r").await["branches"] == json!([]);
    server
        .until("the branch is closed", async || {
            tokio::time::sleep(LOOK).await;
            so().await
        })
        .await;
    assert_eq!(server.transports_of(0).await, ["peer"], "the publisher alone");
    assert_eq!(server.transports_of(1).await, Vec::<String>::new());
    server.leaves(&publisher).await;
}

#[tokio::test]
async fn a_room_that_closes_closes_its_branches() {
    let server = server().await;
    server.joins("/whip/r?peer=ann", "sendonly").await;
    while server.room("r").await["branches"] == json!([]) {
        server.joins("/whep/r", "recvonly").await;
    }
    assert_eq!(server.send("DELETE", "/rooms/r", "", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.transports_of(0).await, Vec::<String>::new());
    assert_eq!(server.transports_of(1).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_viewer_of_a_room_that_cannot_grow_is_at_home() {
    let mut config = Config::default();
    config.rooms.widen_percent = 1;
    config.worker.heartbeat = Span::from_secs(3_600);
    let one = Server::over(vec![fake_worker::spawn(0)], config).await;
    one.joins("/whip/r?peer=ann", "sendonly").await;
    for _ in 0..15 {
        one.joins("/whep/r", "recvonly").await;
    }
    assert_eq!(one.room("r").await["branches"], json!([]));
    assert_eq!(one.transports_of(0).await.len(), 16);
}

#[tokio::test]
async fn participants_on_a_branch_see_and_hear_those_at_home() {
    let server = server().await;
    let (mut ann, _) = Client::join(&server, "r", "ann", false).await;
    let send = ann.transport(true).await;
    ann.ask("produce", camera(&send)).await;
    let chat = json!({ "transportId": send, "sctpStreamParameters": { "streamId": 1, "ordered": true }, "label": "chat",
                       "protocol": "", "appData": {} });
    ann.ask("produceData", chat).await;
    let mut others = Vec::new();
    // One at least of each dialect, until one is on the branch.
    while server.room("r").await["branches"] == json!([]) || others.len() < 2 {
        let (other, _) = Client::join(&server, "r", &format!("p{}", others.len()), others.len() % 2 == 0).await;
        others.push(other);
    }
    assert!(others.len() <= MAX_AT_HOME + 1, "{}", others.len());
    for other in &mut others {
        let seen = other.takes("newConsumer").await;
        assert_eq!(seen["peerId"].as_str().or_else(|| seen["appData"]["peerId"].as_str()), Some("ann"), "{seen}");
        let heard = [other.takes("newDataConsumer").await, other.takes("newDataConsumer").await];
        assert_eq!(heard.map(|of| of["label"].clone()), [json!("bot"), json!("chat")]);
    }
    // One pipe for media and one for messages.
    for worker in [0, 1] {
        let pipes = server.transports_of(worker).await;
        assert_eq!(pipes.iter().filter(|name| *name == "pipe to worker 1").count(), 2, "{worker}: {pipes:?}");
    }
    // What is on a branch receives only.
    let mut last = others.pop().expect("somebody");
    let receives = last.transport(false).await;
    last.refused("produce", camera(&receives), 500, "receive only").await;
    let stats = last.ask("getTransportStats", json!({ "transportId": receives })).await;
    assert!(!stats.is_null(), "its own worker knows it");
    drop(ann);
    last.told("consumerClosed").await;
    last.told("dataConsumerClosed").await;
}
