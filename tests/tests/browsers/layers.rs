//! Simulcast: a page publishes in two sizes, and each page that watches gets the one that fits its window; and in as
//! many sizes as its camera's picture is worth, the full one always.

use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_bench::webrtc::sdp::{Kind, Media};
use corecast_bench::webrtc::{self, Identity, Options};
use corecast_tests::browser::Browser;
use corecast_tests::script::PATIENCE;
use corecast_tests::server::Server;
use serde_json::{Value, json};

use crate::Stage;
use crate::call::{Visitor, Wishes, join, until};
use crate::together::pictures;

const LARGE: (u32, u32) = (1280, 800);
/// A tile of it is narrower than the smaller layer.
const SMALL: (u32, u32) = (300, 400);
/// The name of the lower of two layers, and of the higher.
const LOWER: &str = "h";
const HIGHER: &str = "f";
/// Frames that a viewer may miss of those that are sent while it changes from one layer to the other: half of a second.
/// What is asked of two pages is not of one moment, which counts as well.
const MAY_MISS: u64 = 15;

/// What a page sends in a layer.
fn sent(publisher: &Visitor<'_>, rid: &str) -> Value {
    let outbound = publisher.connection(None)["outbound"].clone();
    let streams = outbound.as_array().cloned().unwrap_or_default();
    streams.into_iter().find(|stream| stream["rid"] == rid).unwrap_or_else(|| panic!("no {rid} in {outbound}"))
}

/// Frames that it has encoded so far: of the lower layer, which is always sent.
fn encoded(publisher: &Visitor<'_>) -> u64 {
    let stream = sent(publisher, LOWER);
    stream["framesEncoded"].as_u64().unwrap_or_else(|| panic!("no frames are counted in {stream}"))
}

fn inbound(viewer: &Visitor<'_>, peer: &str) -> Value {
    viewer.connection(Some(peer))["inbound"]["video"].clone()
}

/// Gives a viewer's window this size and waits until it decodes the layer that fits. Frames that it missed meanwhile.
fn switches(publisher: &Visitor<'_>, viewer: &Visitor<'_>, peer: &str, (size, rid): ((u32, u32), &str)) -> u64 {
    let before = inbound(viewer, peer);
    let encoded_before = encoded(publisher);
    viewer.page.resize(size.0, size.1);
    let name = viewer.page.name();
    until(&format!("{name} gets layer {rid}"), || {
        let (layer, video) = (sent(publisher, rid), inbound(viewer, peer));
        let fits = video["frameWidth"].is_u64() && video["frameWidth"] == layer["frameWidth"];
        if fits { Ok(()) } else { Err(format!("{layer} is sent: {video}")) }
    });
    // It goes on.
    let now = viewer.sees(peer, before["framesDecoded"].as_u64().unwrap_or_default() + 60);
    let after = inbound(viewer, peer);
    let encoded = encoded(publisher) - encoded_before;
    let decoded = now.frames.max(after["framesDecoded"].as_u64().unwrap_or_default())
        - before["framesDecoded"].as_u64().unwrap_or_default();
    let missed = encoded.saturating_sub(decoded);
    println!(
        "    {name} to {rid}, {} wide: {decoded} frames decoded of {encoded}, freezes {} and then {}",
        after["frameWidth"], before["freezeCount"], after["freezeCount"]
    );
    missed
}

pub(crate) fn sizes_that_fit(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let server = stage.bed.server(&[]);
    for sender in [Browser::Chromium, Browser::Firefox] {
        // Two sizes are worth encoding of a picture that is small.
        let publisher = join(driver, &server, sender, (sender.name(), "Publisher"), &Wishes::default());
        let peer = publisher.publishes(&[]);
        let (_, answer) = publisher.agreed(None);
        assert!(answer.contains("a=simulcast:recv f;h;q"), "the full size first: {answer}");
        for (browser, name) in [(Browser::Chromium, "Chromium"), (Browser::Firefox, "Firefox")] {
            println!("    {name} watches {}:", sender.name());
            let watches = Wishes { watches: true, ..Wishes::default() };
            let viewer = join(driver, &server, browser, (sender.name(), name), &watches);
            changes_size(&publisher, &viewer, &peer);
            if browser == Browser::Chromium {
                leaves_out(&publisher, &viewer, &peer);
            }
            pictures(&viewer.page, &format!("layers-{}", browser.name()));
        }
    }
}

/// Frames of the higher layer that a page has encoded so far.
fn higher(publisher: &Visitor<'_>) -> u64 {
    sent(publisher, HIGHER)["framesEncoded"].as_u64().unwrap_or_default()
}

/// Nobody takes the higher layer: it is not encoded, until somebody does, who sees the lower one until then.
fn leaves_out(publisher: &Visitor<'_>, viewer: &Visitor<'_>, peer: &str) {
    until("the higher layer rests", || {
        let before = (higher(publisher), encoded(publisher));
        std::thread::sleep(Duration::from_secs(1));
        let after = (higher(publisher), encoded(publisher));
        let rests = after.0 == before.0 && after.1 > before.1;
        if rests { Ok(()) } else { Err(format!("{before:?}, then {after:?}: {}", publisher.figures(peer))) }
    });
    let rested = higher(publisher);
    viewer.keeps_seeing(peer, 30);
    let missed = switches(publisher, viewer, peer, (LARGE, HIGHER));
    let figures = || format!("{}\n{}", viewer.figures(peer), publisher.figures(peer));
    assert!(higher(publisher) > rested && missed <= MAY_MISS, "{missed} frames missed: {}", figures());
    println!("    and rests at {rested} frames while nobody takes it");
}

/// From large to small, large and small again, without a gap that would be seen.
fn changes_size(publisher: &Visitor<'_>, viewer: &Visitor<'_>, peer: &str) {
    viewer.sees(peer, 10);
    // Both layers are sent, and have been for long enough, before anything is counted.
    switches(publisher, viewer, peer, (LARGE, HIGHER));
    for wanted in [(SMALL, LOWER), (LARGE, HIGHER), (SMALL, LOWER)] {
        let missed = switches(publisher, viewer, peer, wanted);
        let figures = || format!("{}\n{}", viewer.figures(peer), publisher.figures(peer));
        assert!(missed <= MAY_MISS, "{missed} frames missed on the way to {wanted:?}: {}", figures());
    }
    viewer.page.call("press", &json!(["figures-button"])).expect("the page is there");
    until("a page that says which layer it is", || {
        let seen = viewer.look()?;
        let tile = seen["tiles"].as_array().into_iter().flatten().find(|tile| tile["peer"] == *peer).cloned();
        // Which number it has depends on whether a third, which is not worth sending, was ever sent.
        let told = (seen["viewers"][peer]["layer"].is_u64(), tile.unwrap_or_default()["layer"] == "1 of 2");
        if told == (true, true) { Ok(()) } else { Err(format!("{told:?} {}", seen["tiles"])) }
    });
}

/// Cameras, one after the other, and in how many sizes each is sent. Chromium leaves out the last encodings of a small
/// picture, whatever the page says.
const SIZES: [&str; 3] = ["f", "h", "q"];
const CAMERAS: [((u32, u32), usize); 5] =
    [((800, 600), 2), ((640, 480), 2), ((320, 240), 1), ((1280, 720), 3), ((640, 480), 2)];

fn camera((width, height): (u32, u32)) -> Value {
    json!({"width": width, "height": height, "frameRate": 15})
}

pub(crate) fn modest_cameras(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&[]);
    let (width, height) = CAMERAS[0].0;
    let sends = Wishes { camera: (width, height, 15), ..Wishes::default() };
    let publisher = join(driver, &server, Browser::Chromium, ("modest", "Publisher"), &sends);
    let peer = publisher.publishes(&[]);
    let watches = Wishes { watches: true, ..Wishes::default() };
    let viewer = join(driver, &server, Browser::Chromium, ("modest", "Viewer"), &watches);
    for (turn, (size, sizes)) in CAMERAS.into_iter().enumerate() {
        if turn > 0 {
            publisher.page.call("changeCamera", &json!([camera(size)])).expect("another camera");
        }
        until(&format!("a camera of {size:?} arrives as it is"), || {
            let video = inbound(&viewer, &peer);
            let arrives = (video["frameWidth"] == size.0, video["frameHeight"] == size.1);
            if arrives == (true, true) { Ok(()) } else { Err(viewer.figures(&peer) + &publisher.figures(&peer)) }
        });
        viewer.keeps_seeing(&peer, 30);
        let outbound = publisher.connection(None)["outbound"].clone();
        let active = outbound.as_array().into_iter().flatten().filter(|stream| stream["active"] == true);
        let active: Vec<_> = active.filter_map(|stream| stream["rid"].as_str()).collect();
        // The full one and the smallest that is worth it, and between them what is wanted.
        let (worth, others) = SIZES.split_at(sizes);
        let has = |rid: &&str| active.contains(rid);
        let ends = worth.first().is_some_and(has) && worth.last().is_some_and(has);
        assert!(ends && !others.iter().any(has), "sizes of {size:?}: {outbound}");
        println!("    {size:?} arrives, sent in {active:?}");
    }
}

/// A viewer's offer, as Chromium made it.
const OFFER: &str = include_str!("../../../control/src/sdp/offers/chromium-watch.sdp");

/// The answer to a choice waits neither for the change nor for the viewer's path: here nothing can reach the viewer,
/// who sends no checks. And a viewer on another machine chooses among the same layers, and is sent what it chooses.
pub(crate) fn chosen_before_it_is_sent(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let (server, other) = stage.bed.machines();
    let publisher = join(driver, &server, Browser::Chromium, ("chosen", "Publisher"), &Wishes::default());
    let peer = publisher.publishes(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (http, api) = (reqwest::Client::new(), format!("http://{}", server.address));
        let offered = http.post(format!("{api}/whep/chosen/{peer}")).header("Content-Type", "application/sdp");
        let made = offered.body(OFFER).send().await.expect("an answer");
        assert_eq!(made.status(), 201);
        let session = made.headers()["location"].to_str().expect("text");
        let layer = format!("{api}{session}/layer");
        for rid in [LOWER, HIGHER] {
            let choice = http.post(&layer).header("Content-Type", "application/json");
            let chosen = choice.body(json!({"encodingId": rid}).to_string()).send().await.expect("an answer");
            assert_eq!(chosen.status(), 200, "{rid}");
            let told = http.get(&layer).send().await.expect("an answer").text().await.expect("text");
            let told: Value = serde_json::from_str(&told).expect("JSON");
            let section = told.as_object().and_then(|sections| sections.values().next()).expect("a section");
            assert_eq!(section["current"], Value::Null, "{rid} cannot be sent: {told}");
        }
        for rid in [LOWER, HIGHER, LOWER] {
            chosen_on_another_machine(&other, &peer, rid).await;
        }
    });
}

async fn chosen_on_another_machine(other: &Server, peer: &str, rid: &str) {
    let identity = Arc::new(Identity::new().expect("made"));
    let options = Options::new(&identity, vec![Media::plain(Kind::Video, false, None)]);
    let (http, url) = (reqwest::Client::new(), format!("http://{}/whep/chosen/{peer}", other.address));
    let mut viewer = webrtc::join(&http, &url, options).await.expect("watches");
    let layer = format!("{}/layer", viewer.url());
    let choice = http.post(&layer).header("Content-Type", "application/json");
    let chosen = choice.body(json!({"encodingId": rid}).to_string()).send().await.expect("an answer");
    assert_eq!(chosen.status(), 200, "{rid}");
    let begun = Instant::now();
    loop {
        let _ = viewer.recv_rtp(PATIENCE).await.expect("packets come");
        let told = http.get(&layer).send().await.expect("an answer").text().await.expect("text");
        let told: Value = serde_json::from_str(&told).expect("JSON");
        if told["0"]["current"] == rid {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{rid} was chosen: {told}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    viewer.leave().await.expect("leaves");
}
