//! A viewer on a narrow path: it gets what fits, its sound goes on, and all comes back with the path.

use std::time::Duration;

use corecast_tests::browser::Browser;
use corecast_tests::relay::{Path, Relay};
use corecast_tests::server::Server;
use serde_json::Value;

use crate::call::{Visitor, Wishes, join, rates, until};
use crate::{Stage, dashboard};

/// A path on which the queue holds 300 ms, and which carries as much as is sent.
const WIDE: Path = Path {
    delay: Duration::from_millis(20),
    loss_percent: 0,
    reorder_percent: 0,
    reorder_by: Duration::ZERO,
    rate_bps: 0,
    queue: Duration::from_millis(300),
};
/// What carries all of the layers but the highest, the lowest alone, and not even that beside sound.
const RATES: [(u64, u64); 2] = [(800_000, 640), (300_000, 320)];
const SOUND_ALONE: u64 = 120_000;
/// Least frame rate: the camera's is 30.
const FRAMES_A_SECOND: f64 = 20.0;
/// A packet of sound is sent every 20 ms.
const SOUND_A_SECOND: u64 = 40;

fn inbound(viewer: &Visitor<'_>, peer: &str, kind: &str) -> Value {
    viewer.connection(Some(peer))["inbound"][kind].clone()
}

fn narrow(relay: &Relay, rate_bps: u64) {
    relay.set(WIDE, Path { rate_bps, ..WIDE });
}

/// Waits until the picture is so wide.
fn is_wide(viewer: &Visitor<'_>, peer: &str, width: u64) {
    until(&format!("a picture that is {width} wide"), || {
        let video = inbound(viewer, peer, "video");
        if video["frameWidth"] == width { Ok(()) } else { Err(video.to_string()) }
    });
}

/// Packets of sound that come within two seconds.
fn sound(viewer: &Visitor<'_>, peer: &str) -> u64 {
    let packets = || inbound(viewer, peer, "audio")["packetsReceived"].as_u64().unwrap_or_default();
    let before = packets();
    std::thread::sleep(Duration::from_secs(2));
    packets() - before
}

pub(crate) fn gets_what_fits(stage: &Stage) {
    for browser in [Browser::Chromium, Browser::Firefox] {
        let driver = stage.with(&[Browser::Chromium, browser]);
        let (server, bound, behind) = stage.bed.server_behind_relay(&["--rtc-tcp", "false"]);
        let relay = bound.start(behind, 20_262, WIDE, WIDE).expect("the relay starts");
        let sends = Wishes { camera: (1280, 720, 30), ..Wishes::default() };
        let publisher = join(driver, &server, Browser::Chromium, ("narrow", "Publisher"), &sends);
        let peer = publisher.publishes(&[]);
        let watches = Wishes { watches: true, ..Wishes::default() };
        let viewer = join(driver, &server, browser, ("narrow", "Viewer"), &watches);
        viewer.page.resize(1280, 800);
        is_wide(&viewer, &peer, 1280);
        for (rate_bps, width) in RATES {
            narrow(&relay, rate_bps);
            is_wide(&viewer, &peer, width);
            let found = rates(&[(&viewer, peer.as_str())], Duration::from_secs(6))[0];
            let heard = sound(&viewer, &peer);
            println!("    {} at {} kbit/s: {width} wide, {found:.1} frames a second", browser.name(), rate_bps / 1_000);
            assert!(found >= FRAMES_A_SECOND, "{found:.1} at {rate_bps} bit/s: {}", viewer.figures(&peer));
            assert!(heard >= SOUND_A_SECOND * 2, "{heard} packets of sound at {rate_bps} bit/s");
        }
        narrow(&relay, SOUND_ALONE);
        until("pictures that are suspended", || {
            let stats = server.stats();
            let consumers = stats["consumers"].as_array().cloned().unwrap_or_default();
            let suspended = consumers.iter().any(|consumer| consumer["suspended"] == true);
            if suspended { Ok(()) } else { Err(stats["transports"].to_string()) }
        });
        let heard = sound(&viewer, &peer);
        assert!(heard >= SOUND_A_SECOND * 2, "{heard} packets of sound where pictures do not fit");
        if browser == Browser::Chromium {
            dashboard::says_who_suffers(stage, &server, "Viewer");
        }
        narrow(&relay, 0);
        is_wide(&viewer, &peer, 1280);
        viewer.keeps_seeing(&peer, 30);
        println!("    {}: sound alone at {} kbit/s, and all is back", browser.name(), SOUND_ALONE / 1_000);
    }
}

/// The server tells what it has decided for the viewer, and why.
fn traces(server: &Server) {
    let stats = server.stats();
    let transports = stats["transports"].as_array().cloned().unwrap_or_default();
    let viewed = transports.iter().find(|one| one["availableOutgoingBitrate"].is_u64()).expect("a viewer's transport");
    let of = |name: &str| viewed[name].as_str().expect("a name").to_owned();
    let path = format!("/rooms/{}/transports/{}/trace", of("roomId"), of("id"));
    let trace = server.json("GET", &path, "").expect("a trace");
    let decisions = trace["decisions"].as_array().expect("a list");
    let has = |what: &str| decisions.iter().any(|decision| decision["type"] == what);
    assert!(has("path") && has("layers"), "{trace}");
    let (status, picture) = server.get(&format!("{path}?format=svg")).expect("an answer");
    assert!(status == 200 && picture.starts_with("<svg"), "{status} {picture}");
}

/// Modes in which one encoding has spatial layers, with the width of each, and what carries the one below the best.
const SPATIAL: [(&str, &str, u64); 3] =
    [("vp9", "L3T3_KEY", 600_000), ("vp9", "L3T3", 600_000), ("av1", "L2T2", 500_000)];
/// Half of the camera's 15: temporal layers are left out before a picture of half the size is.
const SPATIAL_FRAMES: f64 = 7.0;

/// A viewer of one encoding with spatial layers gets those that fit.
pub(crate) fn spatial_layers(stage: &Stage) {
    for (codec, mode, rate_bps) in SPATIAL {
        let driver = stage.with(&[Browser::Chromium]);
        let (server, bound, behind) = stage.bed.server_behind_relay(&["--rtc-tcp", "false"]);
        let relay = bound.start(behind, 20_262, WIDE, WIDE).expect("the relay starts");
        let sends = Wishes { codec, camera: (960, 540, 15), scalability_mode: Some(mode), ..Wishes::default() };
        let publisher = join(driver, &server, Browser::Chromium, ("spatial", "Publisher"), &sends);
        let peer = publisher.publishes(&[]);
        let watches = Wishes { watches: true, ..Wishes::default() };
        let viewer = join(driver, &server, Browser::Chromium, ("spatial", "Viewer"), &watches);
        viewer.page.resize(1280, 800);
        is_wide(&viewer, &peer, 960);
        narrow(&relay, rate_bps);
        is_wide(&viewer, &peer, 480);
        let found = rates(&[(&viewer, peer.as_str())], Duration::from_secs(6))[0];
        assert!(found >= SPATIAL_FRAMES, "{found:.1} at {rate_bps} bit/s: {}", viewer.figures(&peer));
        narrow(&relay, 0);
        is_wide(&viewer, &peer, 960);
        viewer.keeps_seeing(&peer, 30);
        traces(&server);
        let freezes = inbound(&viewer, &peer, "video")["freezeCount"].clone();
        println!("    {codec} {mode}: 480 wide at {} kbit/s, {found:.1} a second, {freezes} freezes", rate_bps / 1_000);
    }
}

/// What a publisher of one encoding sends of its own accord, at least; and what it sends for the narrow path, at most.
const OWN_BPS: u64 = 900_000;
const ASKED_BPS: u64 = 400_000;
/// Least frame rate where it has been asked for less.
const FEWER_FRAMES: f64 = 5.0;

/// One encoding of one layer, whose only viewer is on a narrow path: its sender sends less.
pub(crate) fn one_encoding(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let (server, bound, behind) = stage.bed.server_behind_relay(&["--rtc-tcp", "false"]);
    let relay = bound.start(behind, 20_262, WIDE, WIDE).expect("the relay starts");
    let sends = Wishes { camera: (1280, 720, 30), scalability_mode: Some("L1T1"), ..Wishes::default() };
    let publisher = join(driver, &server, Browser::Chromium, ("single", "Publisher"), &sends);
    let peer = publisher.publishes(&[]);
    let watches = Wishes { watches: true, ..Wishes::default() };
    let viewer = join(driver, &server, Browser::Chromium, ("single", "Viewer"), &watches);
    viewer.page.resize(1280, 800);
    is_wide(&viewer, &peer, 1280);
    let target_bps = || {
        let sent = publisher.connection(None)["outbound"].clone();
        let video = sent.as_array().and_then(|all| all.iter().find(|stream| stream["kind"] == "video").cloned());
        video.and_then(|video| video["targetBitrate"].as_f64()).unwrap_or_default() as u64
    };
    until("all that it sends", || if target_bps() >= OWN_BPS { Ok(()) } else { Err(target_bps().to_string()) });
    narrow(&relay, ASKED_BPS);
    until("less", || if target_bps() < ASKED_BPS { Ok(()) } else { Err(target_bps().to_string()) });
    until("a picture again", || {
        let found = rates(&[(&viewer, peer.as_str())], Duration::from_secs(3))[0];
        if found >= FEWER_FRAMES { Ok(()) } else { Err(viewer.figures(&peer)) }
    });
    println!("    {} kbit/s asked for {}", target_bps() / 1_000, ASKED_BPS / 1_000);
    narrow(&relay, 0);
    until("all that it sends again", || if target_bps() >= OWN_BPS { Ok(()) } else { Err(target_bps().to_string()) });
    viewer.keeps_seeing(&peer, 30);
}
