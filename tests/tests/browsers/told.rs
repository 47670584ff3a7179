//! What those in a call are told of each other: a screen beside the camera, who is muted, whose camera is off, who only
//! watches; and that publishers by WHIP and viewers by WHEP are peers among those who use the page.

use std::time::Duration;

use corecast_tests::browser::{Browser, Page};
use serde_json::{Value, json};

use crate::Stage;
use crate::call::{Visitor, Wishes, join, until};
use crate::together::{hears, pictures};

const BOTH: [Browser; 2] = [Browser::Chromium, Browser::Firefox];

fn press(visitor: &Visitor<'_>, button: &str) {
    visitor.page.call("press", &json!([button])).expect("the page is there");
}

/// Waits until the one tile of a peer that shows its screen, or its camera, is as wanted.
fn tile_shows(visitor: &Visitor<'_>, peer: &str, is_screen: bool, wanted: &[(&str, &str)]) {
    let screen = format!("{peer}/screen");
    until(&format!("{} shows {wanted:?} of {peer}", visitor.page.name()), || {
        let seen = visitor.look()?;
        let tiles = seen["tiles"].as_array().cloned().unwrap_or_default();
        let mut own = tiles.iter().filter(|tile| tile["peer"] == peer && tile["screen"] == is_screen);
        let (Some(tile), None) = (own.next(), own.next()) else { return Err(format!("{tiles:?}")) };
        if wanted.iter().all(|(name, value)| tile[*name] == *value) {
            return Ok(());
        }
        let key = if is_screen { &screen } else { peer };
        Err(format!("{tile}, {}", visitor.figures(key)))
    });
}

fn has_no_screen(visitor: &Visitor<'_>, peer: &str) {
    until("the screen is gone", || {
        let seen = visitor.look()?;
        let tiles = seen["tiles"].as_array().cloned().unwrap_or_default();
        let shown = tiles.iter().any(|tile| tile["peer"] == peer && tile["screen"] == true);
        if shown { Err(format!("{tiles:?}")) } else { Ok(()) }
    });
}

pub(crate) fn a_screen(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&[]);
    let wishes = Wishes::default();
    let sharer = join(driver, &server, BOTH[0], ("screen", "Sharer"), &wishes);
    let other = join(driver, &server, BOTH[1], ("screen", "Other"), &wishes);
    let peer = sharer.publishes(&[]);
    let of_other = other.publishes(&[]);
    other.sees(&peer, 10);
    sharer.sees(&of_other, 1);
    let screen = format!("{peer}/screen");
    // The second time its sections are those of the first.
    for turn in 0..2 {
        press(&sharer, "screen-button");
        other.keeps_seeing(&screen, 20);
        hears(&other, &screen);
        tile_shows(&other, &peer, true, &[("state", "connected"), ("camera", "on")]);
        other.keeps_seeing(&peer, 20);
        // Who comes now is shown it too.
        if turn == 0 {
            let watches = Wishes { watches: true, ..Wishes::default() };
            let late = join(driver, &server, BOTH[0], ("screen", "Late"), &watches);
            late.keeps_seeing(&screen, 20);
            pictures(&other.page, "screen");
            pictures(&sharer.page, "screen-own");
        }
        press(&sharer, "screen-button");
        has_no_screen(&other, &peer);
        other.keeps_seeing(&peer, 20);
    }
    assert_eq!(other.look().expect("a look")["connections"], json!(3), "one to ask, one up, one down");
}

pub(crate) fn muted_and_off(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&[]);
    let wishes = Wishes::default();
    let one = join(driver, &server, BOTH[0], ("told", "One"), &wishes);
    let other = join(driver, &server, BOTH[1], ("told", "Other"), &wishes);
    let (of_one, of_other) = (one.publishes(&[]), other.publishes(&[]));
    one.sees(&of_other, 10);
    other.sees(&of_one, 10);
    for (actor, peer, witness) in [(&one, &of_one, &other), (&other, &of_other, &one)] {
        tile_shows(witness, peer, false, &[("camera", "on"), ("sound", "on")]);
        press(actor, "microphone-button");
        tile_shows(witness, peer, false, &[("camera", "on"), ("sound", "muted")]);
        press(actor, "camera-button");
        tile_shows(witness, peer, false, &[("camera", "off"), ("sound", "muted")]);
        // So is who comes later.
        let watches = Wishes { watches: true, ..Wishes::default() };
        let late = join(driver, &server, BOTH[0], ("told", "Late"), &watches);
        tile_shows(&late, peer, false, &[("camera", "off"), ("sound", "muted")]);
        names_watcher(witness, "2 people, Late is watching");
        press(actor, "microphone-button");
        press(actor, "camera-button");
        tile_shows(witness, peer, false, &[("camera", "on"), ("sound", "on")]);
        witness.keeps_seeing(peer, 20);
        hears(witness, peer);
        plays_together(&late, peer);
        drop(late);
        names_watcher(witness, "2 people");
    }
}

/// Sound that was off for a while goes with the pictures, as its receiver, a Chromium, reckons; it is told of the
/// clocks by reports that come every few seconds, and closes the gap in small steps (on a loaded machine for more than
/// ten seconds).
fn plays_together(visitor: &Visitor<'_>, peer: &str) {
    let mut apart_ms = Vec::new();
    for _ in 0..80 {
        let inbound = visitor.connection(Some(peer))["inbound"].clone();
        let of = |kind: &str| inbound[kind]["estimatedPlayoutTimestamp"].as_f64();
        let apart = of("audio").zip(of("video")).map(|(sound, pictures)| sound - pictures);
        apart_ms.push(apart);
        if apart.is_some_and(|ms| ms.abs() < 500.0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("ms apart: {apart_ms:?}");
}

fn names_watcher(visitor: &Visitor<'_>, wanted: &str) {
    until(&format!("{} says {wanted:?}", visitor.page.name()), || {
        let said = visitor.page.call("people", &json!([]))?;
        if said == json!(wanted) { Ok(()) } else { Err(said.to_string()) }
    });
}

pub(crate) fn tokens(stage: &Stage) {
    let driver = stage.with(&BOTH[..1]);
    let server = stage.bed.server(&["--whip-tokens", "all", "--whep-tokens", "all,watch"]);
    let open = |name: &str, token: &str| {
        let url = format!("http://{}/?room=kept&name={name}&auto=1#token={token}", server.address);
        Visitor { page: driver.open(name, BOTH[0], &url, &json!({})) }
    };
    let says = |visitor: &Visitor<'_>, place: &str, wanted: &str| {
        until(&format!("{} says {wanted:?}", visitor.page.name()), || {
            let said = visitor.page.call("says", &json!([place]))?;
            if said.as_str().is_some_and(|said| said.contains(wanted)) { Ok(()) } else { Err(said.to_string()) }
        });
    };
    let watcher = open("Watcher", "watch");
    says(&watcher, "notices", "Your token is for watching: nobody sees or hears you.");
    until("it watches", || {
        let seen = watcher.look()?;
        if seen["state"] == "in" && seen["publisher"].is_null() { Ok(()) } else { Err(seen["state"].to_string()) }
    });
    says(&open("Stranger", "other"), "lobby-message", "Your token is wrong.");
    says(&open("Nobody", ""), "lobby-message", "This call is for people with a token.");
}

/// whip-whep, the clients of the two specifications' authors, unmodified: what they ask is answered, and none of it
/// with what they take for a failure. Its viewer trickles without `If-Match`.
pub(crate) fn published_clients(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&[]);
    let at = |path: &str| format!("http://{}{path}", server.address);
    let opened = |browser: Browser| {
        driver.open(&format!("whip-whep in {}", browser.name()), browser, &at("/status"), &json!({}))
    };
    let pages = BOTH.map(opened);
    let _ = driver.take_log();
    let begins = |page: &Page<'_>, name: &str, url: &str, publishes: bool| {
        page.call("startClient", &json!([name, at(url), publishes]))
            .unwrap_or_else(|why| panic!("{}: {why}", page.name()));
    };
    for (page, peer) in pages.iter().zip(["0", "1"]) {
        begins(page, "sends", &format!("/whip/published?peer={peer}"), true);
    }
    for (page, peer) in pages.iter().zip(["1", "0"]) {
        begins(page, "watches", &format!("/whep/published/{peer}"), false);
        until("the other's camera is seen", || {
            let video = page.call("received", &json!(["watches", "video"]))?;
            if video["framesDecoded"].as_u64() >= Some(30) { Ok(()) } else { Err(Value::to_string(&video)) }
        });
    }
    for page in &pages {
        for name in ["watches", "sends"] {
            page.call("endClient", &json!([name])).unwrap_or_else(|why| panic!("{}: {why}", page.name()));
        }
    }
    // It closes its connection, and then asks for the end: either may come first.
    until("four sessions end as their client wants", || {
        let ends = server.lines(&["session ends", "its client "]);
        if ends.len() == 4 { Ok(()) } else { Err(format!("{ends:?}")) }
    });
    let failed: Vec<_> = driver.take_log().into_iter().filter(|line| line.contains("Request rejected")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

pub(crate) fn whip_and_whep(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&[]);
    let wishes = Wishes::default();
    let url = format!("http://{}/status", server.address);
    let plain = driver.open("plain", BOTH[0], &url, &json!({}));
    let begins = |name: &str, url: &str, publishes: bool| {
        let asked = json!([name, url, publishes, "chat", { "redundancy": publishes }]);
        plain.call("startSession", &asked).unwrap_or_else(|why| panic!("{name}: {why}"))
    };
    let _ = begins("sends", "/whip/mixed?peer=encoder&name=Encoder", true);
    let pages = BOTH.map(|browser| join(driver, &server, browser, ("mixed", browser.name()), &wishes));
    let peers = [pages[0].publishes(&[]), pages[1].publishes(&[])];
    for (page, other) in [(&pages[0], &peers[1]), (&pages[1], &peers[0])] {
        page.keeps_seeing("encoder", 30);
        hears(page, "encoder");
        page.keeps_seeing(other, 30);
    }
    // Its sound is redundant: who can do with that gets all of it, and the pages what they can do with.
    let _ = begins("hears", "/whep/mixed/encoder", false);
    let bytes = |of: &Value| Some(of["bytesReceived"].as_f64()? / of["packetsReceived"].as_f64()?);
    let whole = until("a viewer by WHEP hears redundant sound", || {
        let audio = plain.call("received", &json!(["hears", "audio"]))?;
        let is_enough =
            audio["packetsReceived"].as_u64() >= Some(100) && audio["totalAudioEnergy"].as_f64() > Some(1e-6);
        bytes(&audio).filter(|_| is_enough).ok_or_else(|| Value::to_string(&audio))
    });
    plain.call("endSession", &json!(["hears"])).expect("ends");
    let [of_chromium, of_firefox] = [&pages[0], &pages[1]].map(|page| {
        let audio = page.connection(Some("encoder"))["inbound"]["audio"].clone();
        bytes(&audio).unwrap_or_else(|| panic!("it has come: {audio}"))
    });
    println!("    bytes of sound in a packet: {of_firefox:.1}, and {whole:.1} and {of_chromium:.1} if redundant");
    assert!(whole > 1.5 * of_firefox && of_chromium > 1.5 * of_firefox);
    for peer in &peers {
        let _ = begins(peer, &format!("/whep/mixed/{peer}"), false);
        until("a viewer by WHEP sees the page's camera", || {
            let video = plain.call("received", &json!([peer, "video"]))?;
            if video["framesDecoded"].as_u64() >= Some(30) { Ok(()) } else { Err(Value::to_string(&video)) }
        });
    }
    names_watcher(&pages[0], "3 people, 2 are watching");
    plain.call("endSession", &json!(["sends"])).expect("ends");
    names_watcher(&pages[1], "2 people, 2 are watching");
}
