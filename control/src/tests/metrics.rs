//! `/metrics`, and that what the dashboard and the alert rules name is there.

use std::collections::BTreeSet;

use super::sessions::{STAYS, offer};
use super::*;

const DASHBOARD: &str = include_str!("../../../docs/grafana.json");
const ALERTS: &str = include_str!("../../../docs/alerts.yml");

/// A scrape, once the workers have told their usage.
async fn scrape(server: &Server) -> Answer {
    while server.get("/health").await.status != StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server.get("/metrics").await
}

/// Value of a sample, by its name and labels as they stand.
fn value(page: &str, sample: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// Names of the metrics in a page.
fn families(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[tokio::test]
async fn a_scrape_counts_what_happened() {
    let server = Server::start().await;
    let session = server.sdp("/whip/r?peer=ann", &offer("sendonly", STAYS)).await.location.expect("a URL");
    assert_eq!(server.sdp("/whep/r", &offer("recvonly", STAYS)).await.status, StatusCode::CREATED);
    assert_eq!(server.sdp("/whep/none", &offer("recvonly", STAYS)).await.status, StatusCode::CONFLICT);
    let page = scrape(&server).await.text;
    for (sample, expected) in [
        ("corecast_rooms", 1.0),
        ("corecast_peers{kind=\"publisher\"}", 1.0),
        ("corecast_peers{kind=\"viewer\"}", 1.0),
        ("corecast_sessions_begun_total{kind=\"publisher\"}", 1.0),
        ("corecast_sessions_connected_total{kind=\"viewer\"}", 1.0),
        ("corecast_session_setup_seconds_count", 2.0),
        ("corecast_session_setup_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("corecast_room_viewers{room=\"r\",worker=\"0\"}", 1.0),
        ("corecast_refusals_total{cause=\"no_stream\"}", 1.0),
    ] {
        assert_eq!(value(&page, sample), Some(expected), "{sample} in {page}");
    }
    for worker in ["0", "1"] {
        let sample = format!("corecast_packets_total{{worker=\"{worker}\",direction=\"in\"}}");
        assert!(value(&page, &sample).is_some(), "{sample} in {page}");
    }
    assert_eq!(server.send("DELETE", &session, "", "").await.status, StatusCode::OK);
    let ended = "corecast_sessions_ended_total{kind=\"publisher\",cause=\"client\"}";
    // The session's task hears of its end a moment after the answer.
    while value(&scrape(&server).await.text, ended) != Some(1.0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_scrape_is_well_formed_open_metrics() {
    let server = Server::start().await;
    assert_eq!(server.sdp("/whip/r", &offer("sendonly", STAYS)).await.status, StatusCode::CREATED);
    let answer = scrape(&server).await;
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let page = &answer.text;
    assert!(page.ends_with("# EOF\n"), "{page}");
    let families = families(page);
    let different: BTreeSet<_> = families.iter().collect();
    assert_eq!(different.len(), families.len(), "{families:?}");
    assert!(families.iter().all(|family| family.starts_with("corecast_")), "{families:?}");
    // Counters are known by their ending, times and sizes by their unit.
    assert!(families.iter().all(|family| !family.ends_with("_total") && !family.ends_with("_ms")), "{families:?}");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        assert!(families.iter().any(|family| name.starts_with(family)), "{line} has no family");
        assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
    }
}

#[tokio::test]
async fn rooms_that_clients_name_are_few_and_quoted() {
    let server = Server::start().await;
    for number in 0..30 {
        let room = format!("/whip/a%22%5C{number}");
        assert_eq!(server.sdp(&room, &offer("sendonly", STAYS)).await.status, StatusCode::CREATED);
    }
    let page = scrape(&server).await.text;
    assert_eq!(value(&page, "corecast_rooms"), Some(30.0));
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("corecast_room_consumers{")).collect();
    assert_eq!(rows.len(), 20, "{rows:#?}");
    assert!(rows.iter().all(|row| row.starts_with(r#"corecast_room_consumers{room="a\"\\"#)), "{rows:#?}");
}

#[tokio::test]
async fn what_the_dashboard_and_the_alerts_name_is_there() {
    let server = Server::start().await;
    let page = scrape(&server).await.text;
    let families = families(&page);
    let mut named = BTreeSet::new();
    for text in [DASHBOARD, ALERTS] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        named.extend(words.filter(|word| word.starts_with("corecast_")));
    }
    let family = |name: &'static str| {
        let endings = ["_total", "_bucket", "_count", "_sum"];
        endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
    };
    let named: BTreeSet<_> = named.into_iter().map(family).collect();
    let missing: Vec<_> = named.iter().filter(|name| !families.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} in {families:?}");
    let unseen: Vec<_> = families.iter().filter(|family| !named.contains(*family)).collect();
    assert!(unseen.is_empty(), "no panel shows {unseen:?}");
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 10));
}
