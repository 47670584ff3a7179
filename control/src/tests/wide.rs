//! Rooms that are wider than a core: from where their viewers are sent.

use std::time::Duration;

use super::sessions::{STAYS, offer};
use super::*;
use crate::settings::Span;

/// Time between two looks at what closes by itself.
const LOOK: Duration = Duration::from_millis(100);

/// A server whose rooms grow from their eleventh viewer on.
async fn server() -> Server {
    let mut config = Config::default();
    config.rooms.widen_percent = 1;
    // Viewers count one by one until the next heartbeat, and there is none.
    config.worker.heartbeat = Span::from_secs(3_600);
    Server::start_with(config).await
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
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(server.joins("/whep/r/ann", "recvonly").await);
    }
    assert_eq!(server.room("r").await["branches"], json!([]), "home has room");
    assert_eq!(server.transports_of(1).await, Vec::<String>::new());
    viewers.push(server.joins("/whep/r/ann", "recvonly").await);
    viewers.push(server.joins("/whep/r/ann", "recvonly").await);
    let room = server.room("r").await;
    assert_eq!((&room["worker"], &room["branches"], &room["viewers"]), (&json!(0), &json!([1]), &json!(12)));
    assert_eq!(server.transports_of(0).await.iter().filter(|name| *name == "pipe to worker 1").count(), 1);
    assert_eq!(server.transports_of(1).await, ["peer", "peer", "pipe to worker 1"]);

    // Those on the branch go on with the publisher that comes again, as those at home do.
    server.leaves(&publisher).await;
    let publisher = server.joins("/whip/r?peer=ann", "sendonly").await;
    assert_eq!(server.room("r").await["peers"][0]["viewers"], 12);

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
    for _ in 0..12 {
        server.joins("/whep/r", "recvonly").await;
    }
    assert_eq!(server.room("r").await["branches"], json!([1]));
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
