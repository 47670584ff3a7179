//! The call that matters most: Chromium and Firefox in one room; and people who watch what no browser sent.

use std::path::Path;
use std::time::Duration;

use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::browser::{Browser, Page};
use corecast_tests::script::Script;
use serde_json::json;

use crate::Stage;
use crate::call::{Visitor, Wishes, join, reach, until};

/// What a call is held to, of the 30 that a camera gives.
const FRAMES_A_SECOND: f64 = 20.0;
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// The sound of a peer is heard: its energy grows.
pub(crate) fn hears(visitor: &Visitor<'_>, peer: &str) {
    let before = visitor.sees(peer, 1).energy;
    until(&format!("{} hears {peer}", visitor.page.name()), || {
        let now = visitor.decoded(peer)?.energy;
        if now > before + 1e-6 { Ok(()) } else { Err(format!("energy {before} and then {now}")) }
    });
}

/// A person would see that it works: the peer's tile says so.
fn tile_is_connected(visitor: &Visitor<'_>, peer: &str) {
    until("a tile that says it is connected", || {
        let seen = visitor.look()?;
        let tiles = seen["tiles"].as_array().cloned().unwrap_or_default();
        let fine = tiles.iter().any(|tile| tile["peer"] == peer && tile["state"] == "connected");
        if fine { Ok(()) } else { Err(format!("{tiles:?}")) }
    });
}

pub(crate) fn watch_each_other(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let server = stage.bed.server(&[]);
    let wishes = Wishes::default();
    let chromium = join(driver, &server, Browser::Chromium, ("both", "Chromium"), &wishes);
    let firefox = join(driver, &server, Browser::Firefox, ("both", "Firefox"), &wishes);
    let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
    chromium.sees(&of_firefox, 10);
    firefox.sees(&of_chromium, 10);

    let found = reach(FRAMES_A_SECOND, TEN_SECONDS, &[(&chromium, &of_firefox), (&firefox, &of_chromium)]);
    println!("    frames a second over {TEN_SECONDS:?}: Chromium {:.1}, Firefox {:.1}", found[0], found[1]);
    for (visitor, peer) in [(&chromium, of_firefox.as_str()), (&firefox, of_chromium.as_str())] {
        hears(visitor, peer);
        tile_is_connected(visitor, peer);
        let name = visitor.page.name();
        println!("    {name} sends:    {}", visitor.security(None));
        println!("    {name} receives: {}", visitor.security(Some(peer)));
        let video = &visitor.connection(Some(peer))["inbound"]["video"];
        // How large it is, the sender's encoder decides by the machine's load.
        assert_eq!(video["codec"], "VP8", "{video}");
    }
    let lobby = driver.open("lobby", Browser::Chromium, &format!("http://{}/?room=both", server.address), &json!({}));
    for (page, name) in [(&lobby, "lobby"), (&chromium.page, "chromium"), (&firefox.page, "firefox")] {
        pictures(page, name);
    }
}

/// A page may have drawn an RSA key for its certificate (W3C webrtc, section 4.10); GStreamer always does. In DTLS 1.3
/// Chromium names AES-CM before the suites that authenticate and encrypt in one, and gets one of these all the same.
pub(crate) fn rsa_keys(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    for (flag, version) in [("1.2", "DTLS 1.2"), ("1.3", "DTLS 1.3")] {
        let server = stage.bed.server(&["--dtls-versions", flag]);
        let wishes = Wishes { rsa: true, ..Wishes::default() };
        let chromium = join(driver, &server, Browser::Chromium, (flag, "Chromium"), &wishes);
        let firefox = join(driver, &server, Browser::Firefox, (flag, "Firefox"), &wishes);
        let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
        for (visitor, peer) in [(&chromium, of_firefox.as_str()), (&firefox, of_chromium.as_str())] {
            visitor.keeps_seeing(peer, 10);
            hears(visitor, peer);
            for security in [visitor.security(None), visitor.security(Some(peer))] {
                println!("    {} with an RSA key: {security}", visitor.page.name());
                assert!(security.starts_with(version), "{security}");
            }
        }
    }
}

/// Takes pictures of a page for people to look at.
pub(crate) fn pictures(page: &Page<'_>, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace").join("target/screenshots");
    std::fs::create_dir_all(&folder).expect("a directory for pictures");
    for (what, width, height) in [("phone", 390, 844), ("desktop", 1280, 800)] {
        page.screenshot(&folder.join(format!("{name}-{what}.png")), width, height);
    }
}

pub(crate) fn broadcaster(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&[]);
    let room = Room::open(&server, "broadcast");
    let transports = room.join("publisher");
    let (_, opus) = room.produce(&transports, Kind::Opus);
    let (_, vp8) = room.produce(&transports, Kind::Vp8);
    let address = stage.bed.address.to_string();
    let arguments = [&["vp8".to_owned(), address][..], &vp8, &opus].concat();
    let publisher = Script::python("media/publish.py", &arguments);
    assert_eq!(publisher.line(), "publishing");
    let wishes = Wishes { watches: true, ..Wishes::default() };
    let viewer = join(driver, &server, Browser::Chromium, ("broadcast", "Viewer"), &wishes);
    viewer.keeps_seeing("publisher", 30);
    hears(&viewer, "publisher");
}
