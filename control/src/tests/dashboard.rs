//! The dashboard: its files, what it shows, and who may see it.

use std::time::Duration;

use super::sessions::{STAYS, offer};
use super::*;
use crate::settings::Span;
use crate::workers::fake_worker::LOSES;

/// A server that is watched, with quick heartbeats.
async fn watched() -> Server {
    let mut config = Config::default();
    config.worker.heartbeat = Span(Duration::from_millis(20));
    Server::start_watched(config).await
}

impl Server {
    /// What the dashboard shows, once this is so.
    async fn shown(&self, query: &str, so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let data = self.get(&format!("/dashboard/data{query}")).await.json();
            if so(&data) {
                return data;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never: {}", self.get(&format!("/dashboard/data{query}")).await.text);
    }

    async fn comes(&self, path: &str, direction: &str, client: u8) {
        let answer = self.sdp(path, &offer(direction, client)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
}

#[tokio::test]
async fn who_suffers_is_told_with_the_reason_and_worst_first() {
    let server = watched().await;
    server.comes("/whip/r?peer=ann&name=Ann", "sendonly", STAYS).await;
    for client in [STAYS, LOSES, STAYS] {
        server.comes("/whep/r", "recvonly", client).await;
    }
    server.comes("/whip/quiet?peer=bob", "sendonly", STAYS).await;
    let data = server.shown("", |data| data["viewers"][0]["lossPercent"] == 25.0).await;
    assert_eq!(data["viewersTotal"], 3);
    let worst = &data["viewers"][0];
    assert_eq!((&worst["room"], &worst["wantedBps"]), (&json!("r"), &json!(2_000_000)), "{worst}");
    let complaints = worst["complaints"].as_array().expect("a list");
    let lost = complaints.iter().find(|one| one["what"] == "25.0 % of its packets are lost");
    assert_eq!(lost.expect("is told")["reason"], "network", "{worst}");
    assert!(worst["pain"].as_u64() > data["viewers"][1]["pain"].as_u64(), "{data}");
    // The fake publisher's best encoding never comes, and it has no other.
    assert_eq!(data["viewers"][1]["complaints"][0]["what"], "nothing comes from \"Ann\" (video)");
    assert_eq!(data["viewers"][1]["reason"], "publisher");
    assert_eq!(data["unhappy"]["publisher"].as_u64().map(|many| many >= 2), Some(true), "{data}");
    let room = &data["rooms"][0];
    assert_eq!((&room["room"], &room["viewers"], &data["roomsTotal"]), (&json!("r"), &json!(3), &json!(2)));
    assert!(room["outPps"].as_f64().is_some_and(|pps| pps > 0.0), "{room}");
    // One room alone, with those who do not only watch.
    let data = server.shown("?room=quiet", |_| true).await;
    assert_eq!((&data["viewers"], &data["peers"][0]["peer"]), (&json!([]), &json!("bob")));
    assert_eq!(data["peers"][0]["publishes"], json!(["audio", "video"]));
    assert_eq!(server.shown("?room=none", |_| true).await["peers"], json!([]));
}

#[tokio::test]
async fn the_history_goes_on_from_where_it_is_known() {
    let server = watched().await;
    let points = |data: &Value| data["cores"][1]["series"]["atMs"].as_array().map_or(0, Vec::len);
    let data = server.shown("", |data| points(data) >= 3).await;
    let series = &data["cores"][1]["series"];
    let lists = series.as_object().expect("lists");
    assert!(lists.values().all(|list| list.as_array().map(Vec::len) == Some(points(&data))), "{series}");
    assert_eq!(series["cpuPercent"][0], 10.0);
    assert_eq!(data["cores"][1]["now"]["cpuPercent"], 10.0);
    let newest = series["atMs"].as_array().and_then(|all| all.last()).and_then(Value::as_u64).expect("points");
    let newer = server.shown(&format!("?since={newest}"), |data| points(data) > 0).await;
    assert!(newer["cores"][1]["series"]["atMs"][0].as_u64().is_some_and(|at| at > newest), "{newer}");
    assert_eq!(server.get("/dashboard/data?since=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn metrics_count_viewers_by_what_they_suffer_from() {
    let server = watched().await;
    server.comes("/whip/r?peer=ann", "sendonly", STAYS).await;
    server.comes("/whep/r", "recvonly", LOSES).await;
    server.shown("", |data| data["viewers"][0]["lossPercent"] == 25.0).await;
    let page = server.get("/metrics").await.text;
    for sample in ["corecast_viewers{state=\"content\"} 0", "corecast_viewer_loss_ratio_bucket{le=\"0.2\"} 0"] {
        assert!(page.lines().any(|line| line.starts_with(sample)), "{sample} in {page}");
    }
    for above_zero in [
        "corecast_viewer_loss_ratio_bucket{le=\"0.5\"}",
        "corecast_viewer_available_bits_per_second_bucket{le=\"1000000.0\"}",
        "corecast_viewer_freezes_total{sign=\"no_media\"}",
    ] {
        let value = page.lines().find_map(|line| line.strip_prefix(above_zero)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value > 0.0), "{above_zero} in {page}");
    }
    let names = ["ann", "\"r\"}"];
    let viewers = page.lines().filter(|line| line.starts_with("corecast_viewer"));
    assert!(viewers.into_iter().all(|line| names.iter().all(|name| !line.contains(name))), "{page}");
}

#[tokio::test]
async fn a_peer_is_shown_with_everything_that_it_has() {
    let server = Server::start().await;
    server.comes("/whip/a%20b?peer=ann%2F1&name=Ann", "sendonly", STAYS).await;
    server.comes("/whep/a%20b", "recvonly", STAYS).await;
    let ann = server.get("/rooms/a%20b/peers/ann%2F1").await.json();
    assert_eq!((&ann["kind"], &ann["displayName"], &ann["leftOut"]), (&json!("publisher"), &json!("Ann"), &json!(0)));
    assert_eq!(ann["transports"].as_array().map(Vec::len), Some(1));
    assert_eq!(ann["producers"].as_array().map(Vec::len), Some(2), "{ann}");
    assert_eq!(ann["consumers"], json!([]));
    let viewer = server.get("/stats").await.json()["transports"]
        .as_array()
        .expect("list")
        .iter()
        .find_map(|one| Some(one["peerId"].as_str()?.to_owned()).filter(|peer| peer != "ann/1"));
    let viewer = server.get(&format!("/rooms/a%20b/peers/{}", viewer.expect("a viewer"))).await.json();
    assert_eq!(viewer["kind"], "viewer");
    assert_eq!(
        (&viewer["consumers"][0]["producerPeerId"], &viewer["consumers"][0]["limitedBy"]),
        (&json!("ann/1"), &Value::Null)
    );
    for (path, part) in [("/rooms/none/peers/ann", "none"), ("/rooms/a%20b/peers/none", "none")] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text.contains(part)), (StatusCode::NOT_FOUND, true), "{}", answer.text);
    }
}

#[tokio::test]
async fn files_are_for_everybody_and_figures_for_those_who_have_a_token() {
    let mut config = Config::default();
    config.api.tokens = vec!["operate".into()];
    let server = Server::start_with(config).await;
    for path in ["/dashboard/data", "/rooms/r/peers/p"] {
        assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let answer = server.send("GET", "/dashboard/data", "Authorization: Bearer operate\r\n", "").await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let page = server.get("/dashboard").await;
    let mut wanted: Vec<_> = named(&page.text);
    assert!(wanted.len() > 6, "{wanted:?}");
    wanted.push("/dashboard".into());
    for path in wanted {
        let file = server.send("GET", &path, "Origin: http://sfu.example\r\n", "").await;
        assert_eq!(file.status, StatusCode::OK, "{path}");
        let policy = file.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        let outside = file.text.matches("://").count() - file.text.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(outside, 0, "{path} names something elsewhere");
        assert!(!file.text.contains("innerHTML") && !file.text.contains(" style="), "{path}: the policy forbids it");
        for module in file.text.split("from \"./").skip(1).filter_map(|rest| rest.split_once('"')) {
            assert!(page.text.contains(module.0), "{} is not fetched early", module.0);
        }
    }
    assert_eq!(server.get("/dashboard/assets/nothing.js").await.status, StatusCode::NOT_FOUND);
}

/// Paths of the files that the page names.
fn named(page: &str) -> Vec<String> {
    let named = page.split("\"dashboard/assets/").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0));
    let mut named: Vec<_> = named.map(|name| format!("/dashboard/assets/{name}")).collect();
    named.dedup();
    named
}
