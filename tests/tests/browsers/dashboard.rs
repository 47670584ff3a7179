//! The operator's dashboard beside a call: it says who suffers and why, in figures that the server counts as well.

use corecast_tests::browser::{Browser, Page};
use corecast_tests::server::Server;
use serde_json::{Value, json};

use crate::Stage;
use crate::call::until;
use crate::together::pictures;

fn shown(page: &Page<'_>) -> Value {
    page.call("dashboard", &json!([])).expect("it is shown")
}

/// While the viewer of this name is sent sound alone, since its path carries no more.
pub(crate) fn says_who_suffers(stage: &Stage, server: &Server, viewer: &str) {
    let url = format!("http://{}/dashboard", server.address);
    let page = stage.driver.open("dashboard", Browser::Chromium, &url, &json!({}));
    until("a viewer who suffers", || {
        let seen = shown(&page);
        let suffers = seen["viewers"][0][3] == "network" && seen["answers"][3] == "1 of 1";
        if suffers && seen["lines"].as_u64() >= Some(5) { Ok(()) } else { Err(seen.to_string()) }
    });
    let seen = shown(&page);
    assert_eq!(seen["viewers"][0][0], viewer, "{seen}");
    assert!(seen["viewers"][0][4].as_str().is_some_and(|what| what.contains("1 of 1 pictures are not sent")), "{seen}");
    assert_eq!((&seen["answers"][2], &seen["rooms"][0][0]), (&json!("narrow"), &json!("narrow")), "{seen}");
    let stats = server.stats();
    let worker = &stats["workers"][0];
    let per_s = |text: &Value| text.as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    assert!(per_s(&seen["rooms"][0][3]) > 0.0 && worker["rates"]["packetsReceivedPerS"].as_f64() > Some(0.0), "{seen}");
    pictures(&page, "dashboard");
    assert_eq!(page.call("open", &json!([viewer])), Ok(json!(true)));
    until("what was decided for it", || {
        let seen = shown(&page);
        let peer = seen["peer"].as_str().unwrap_or_default();
        let is_told = peer.contains("Streams that it is sent") && peer.contains("suspended");
        if is_told && seen["decisions"].as_u64() >= Some(3) { Ok(()) } else { Err(seen.to_string()) }
    });
    pictures(&page, "dashboard-peer");
    for (width, height) in [(1_280, 800), (390, 844)] {
        page.resize(width, height);
        let barriers = page.barriers();
        assert!(barriers.is_empty(), "{width} wide: {barriers:#?}");
    }
    println!("    the dashboard: {}", seen["viewers"][0]);
}
