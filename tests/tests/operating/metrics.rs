//! `/metrics`, the dashboard of Grafana and the alert rules, as others read them: Prometheus' own parser of
//! OpenMetrics, and one of PromQL (`tests/clients/metrics.py`).

use std::net::UdpSocket;
use std::path::Path;

use corecast_bench::webrtc::join;
use corecast_tests::script::Script;
use corecast_tests::server::{Server, wait_for};
use serde_json::Value;

use super::told::{options, run};

/// What has no samples as long as nobody is told anything and nothing is traced.
const NOT_HERE: [&str; 3] = ["corecast_trace_spans_total", "corecast_webhook_events_total", "corecast_webhook_waiting"];

#[test]
fn metrics_and_what_is_asked_of_them_are_what_prometheus_takes() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/{path}", server.address);
        let ann = join(&client, &url("whip/r?peer=ann"), options(true)).await.expect("joins");
        let viewer = join(&client, &url("whep/r/ann"), options(false)).await.expect("joins");
        viewer.leave().await.expect("leaves");
        join(&client, &url("whep/r/nobody"), options(false)).await.expect_err("refused");
        let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        stranger.send_to(&[0x80; 20], ("127.0.0.1", server.webrtc_port)).expect("sent");
        // With the worker's next heartbeat and the next look at the viewers.
        let page = wait_for("a scrape with everything in it", || {
            let page = server.get("/metrics")?.1;
            let is_there = |name: &str| page.lines().any(|line| line.starts_with(name));
            ["corecast_packets_total{", "corecast_discards_total{", "corecast_sessions_ended_total{"]
                .iter()
                .all(|name| is_there(name))
                .then_some(page)
        });
        drop(ann);
        let read = read(&page);
        assert!(read["families"].as_u64() > Some(20) && read["expressions"].as_u64() > Some(40), "{read}");
        let silent = read["without_samples"].as_array().expect("a list");
        assert!(silent.iter().all(|name| NOT_HERE.iter().any(|known| name == known)), "{read}");
    });
}

/// What the script says of a page, the dashboard and the rules.
fn read(page: &str) -> Value {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let files = ["grafana.json", "alerts.yml"].map(|name| docs.join(name).display().to_string());
    let mut script = Script::client("clients/metrics.py", &files);
    script.tell(page.trim_end());
    script.close_input();
    let first = script.line();
    serde_json::from_str(&first).unwrap_or_else(|_| panic!("{first}; {:?}", script.lines_so_far()))
}
