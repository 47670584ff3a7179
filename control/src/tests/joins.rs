//! A join is one batch of commands: it waits for its worker once and keeps no other join waiting. What closes while it
//! is under way is not joined.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corecast_wire::Command;
use tokio::time::timeout;

use super::sessions::{STAYS, offer};
use super::*;
use crate::workers::fake_worker::Hold;

/// Far more than any of these takes; less would be as good if the machine were idle.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sections of the offers.
const SECTIONS: usize = 12;

async fn holding(hold: Hold) -> (Server, Arc<AtomicUsize>) {
    let (spawned, kept) = fake_worker::spawn_holding(0, hold);
    (Server::over(vec![spawned], Config::default()).await, kept)
}

/// An offer of sound and so many sections of pictures.
fn offer_of(direction: &str, videos: usize) -> String {
    let whole = offer(direction, STAYS);
    let (before, video) = whole.split_at(whole.find("m=video").expect("has pictures"));
    let mids: Vec<_> = (0..=videos).map(|mid| mid.to_string()).collect();
    let before = before.replace("BUNDLE 0 1", &format!("BUNDLE {}", mids.join(" ")));
    let videos: Vec<_> = (1..=videos).map(|mid| video.replace("a=mid:1\r\n", &format!("a=mid:{mid}\r\n"))).collect();
    before + &videos.concat()
}

async fn join(server: &Server, path: &str, offer: &str) -> Answer {
    timeout(PATIENCE, server.sdp(path, offer)).await.expect("the worker has what it waits for")
}

fn is_create(command: &Command) -> bool {
    matches!(command, Command::CreateWebRtcTransport { .. })
}

fn is_connect(command: &Command) -> bool {
    matches!(command, Command::ConnectWebRtcTransport { .. })
}

#[tokio::test]
async fn a_join_of_many_producers_and_consumers_waits_for_one_round_trip() {
    let (server, _) = holding(Hold { from: is_create, until: is_connect, times: 1 }).await;
    let answer = join(&server, "/whip/r?peer=ann", &offer_of("sendonly", SECTIONS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);

    let (server, _) = holding(Hold { from: |command| matches!(command, Command::Consume { .. }), ..ONE_JOIN }).await;
    join(&server, "/whip/r?peer=ann", &offer_of("sendonly", SECTIONS)).await;
    let answer = join(&server, "/whep/r", &offer_of("recvonly", SECTIONS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(server.room("r").await["consumers"], SECTIONS + 1);
}

const ONE_JOIN: Hold = Hold { from: is_create, until: is_connect, times: 1 };

#[tokio::test]
async fn joins_of_a_room_do_not_wait_for_each_other() {
    let (server, _) = holding(Hold { times: 2, ..ONE_JOIN }).await;
    let body = offer("sendonly", STAYS);
    let (ann, bob) = tokio::join!(join(&server, "/whip/r?peer=ann", &body), join(&server, "/whip/r?peer=bob", &body));
    assert_eq!((ann.status, bob.status), (StatusCode::CREATED, StatusCode::CREATED), "{} {}", ann.text, bob.text);
}

#[tokio::test]
async fn a_join_of_which_a_part_is_refused_leaves_nothing() {
    let server = Server::start().await;
    server.sdp("/whip/r?peer=stays", &offer("sendonly", STAYS)).await;
    let before = server.objects().await;
    // More than the fake worker takes on one transport.
    let answer = server.sdp("/whip/r?peer=ann", &offer_of("sendonly", 20)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    assert!(answer.text.contains("producers"), "{}", answer.text);
    assert_eq!(server.objects().await, before);
    let answer = server.sdp("/whip/r?peer=ann", &offer("sendonly", STAYS)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "the name is free again: {}", answer.text);
}

#[tokio::test]
async fn who_joins_a_room_that_closes_meanwhile_is_told_and_leaves_nothing() {
    let is_close = |command: &Command| matches!(command, Command::CloseRouter { .. });
    let (server, kept) = holding(Hold { from: is_connect, until: is_close, times: 1 }).await;
    let body = offer("sendonly", STAYS);
    let close = async {
        server.until("the join is under way", async || kept.load(Ordering::SeqCst) > 0).await;
        server.send("DELETE", "/rooms/r", "", "").await
    };
    let (joined, closed) = tokio::join!(join(&server, "/whip/r?peer=ann", &body), timeout(PATIENCE, close));
    assert_eq!(closed.expect("in time").status, StatusCode::NO_CONTENT);
    assert_eq!(joined.status, StatusCode::SERVICE_UNAVAILABLE, "{}", joined.text);
    assert!(joined.text.contains("just closed"), "{}", joined.text);
    assert_eq!(server.objects().await, json!([[], 0]));
}

#[tokio::test]
async fn who_comes_to_watch_a_publisher_that_leaves_meanwhile_is_told_and_leaves_nothing() {
    let is_consume = |command: &Command| matches!(command, Command::Consume { .. });
    let is_close = |command: &Command| matches!(command, Command::CloseTransport { .. });
    let (server, kept) = holding(Hold { from: is_consume, until: is_close, times: 1 }).await;
    let publisher = join(&server, "/whip/r?peer=ann", &offer("sendonly", STAYS)).await;
    let session = publisher.location.expect("a URL");
    let body = offer("recvonly", STAYS);
    let leave = async {
        server.until("the join is under way", async || kept.load(Ordering::SeqCst) > 0).await;
        server.send("DELETE", &session, "", "").await
    };
    let (joined, left) = tokio::join!(join(&server, "/whep/r", &body), timeout(PATIENCE, leave));
    assert_eq!(left.expect("in time").status, StatusCode::OK);
    assert_eq!(joined.status, StatusCode::CONFLICT, "{}", joined.text);
    assert_eq!(joined.header("retry-after"), Some("2"));
    assert_eq!(server.room("r").await["transports"], 0);
    assert_eq!(server.get("/stats").await.json()["transports"], json!([]));
}
