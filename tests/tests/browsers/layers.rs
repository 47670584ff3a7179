//! Simulcast: a page publishes in two sizes, and each page that watches gets the one that fits its window.

use corecast_tests::browser::Browser;
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
        assert!(answer.contains("a=simulcast:recv h;f"), "the lower first: {answer}");
        for (browser, name) in [(Browser::Chromium, "Chromium"), (Browser::Firefox, "Firefox")] {
            println!("    {name} watches {}:", sender.name());
            let watches = Wishes { watches: true, ..Wishes::default() };
            let viewer = join(driver, &server, browser, (sender.name(), name), &watches);
            changes_size(&publisher, &viewer, &peer);
            pictures(&viewer.page, &format!("layers-{}", browser.name()));
        }
    }
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
        let told = (seen["viewers"][peer]["layer"] == LOWER, tile.unwrap_or_default()["layer"] == "1 of 2");
        if told == (true, true) { Ok(()) } else { Err(format!("{told:?} {}", seen["tiles"])) }
    });
}
