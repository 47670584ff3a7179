//! Every video codec that the browsers encode, seen by the other one where it decodes it.

use std::time::Duration;

use corecast_tests::browser::Browser;
use serde_json::json;

use crate::Stage;
use crate::call::{Visitor, Wishes, join, reach, until};
use crate::together::pictures;

const SPAN: Duration = Duration::from_secs(4);
/// Fewer than of VP8: two encoders of AV1 and two decoders share two cores with everything else.
const FRAMES_A_SECOND: f64 = 10.0;
const DEPENDENCY_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Both publish and see each other's pictures, in this codec.
fn both_ways(codec: &str, (one, of_one): (&Visitor<'_>, &str), (other, of_other): (&Visitor<'_>, &str)) {
    one.sees(of_other, 10);
    other.sees(of_one, 10);
    let found = reach(FRAMES_A_SECOND, SPAN, &[(one, of_other), (other, of_one)]);
    println!("    {codec}: {:.1} and {:.1} frames a second", found[0], found[1]);
    for (visitor, peer) in [(one, of_other), (other, of_one)] {
        let video = &visitor.connection(Some(peer))["inbound"]["video"];
        assert_eq!(video["codec"], codec, "{video}");
    }
}

fn meet(stage: &Stage, codec: &'static str, name: &str, browsers: [Browser; 2]) {
    let driver = stage.with(&browsers);
    let server = stage.bed.server(&[]);
    let wishes = Wishes { codec, ..Wishes::default() };
    let one = join(driver, &server, browsers[0], (codec, "One"), &wishes);
    let other = join(driver, &server, browsers[1], (codec, "Other"), &wishes);
    let (of_one, of_other) = (one.publishes(&[]), other.publishes(&[]));
    both_ways(name, (&one, &of_one), (&other, &of_other));
}

pub(crate) fn vp9_and_av1(stage: &Stage) {
    meet(stage, "vp9", "VP9", [Browser::Chromium, Browser::Firefox]);
    meet(stage, "av1", "AV1", [Browser::Chromium, Browser::Firefox]);
}

/// Debian's Firefox has no H.264, and says so to people.
pub(crate) fn h264(stage: &Stage) {
    meet(stage, "h264", "H264", [Browser::Chromium; 2]);
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let server = stage.bed.server(&[]);
    let sends = Wishes { codec: "h264", ..Wishes::default() };
    let watches = Wishes { watches: true, ..Wishes::default() };
    let sender = join(driver, &server, Browser::Chromium, ("unseen", "Sender"), &sends);
    let peer = sender.publishes(&[]);
    let viewer = join(driver, &server, Browser::Firefox, ("unseen", "Viewer"), &watches);
    let shows = |camera: &str| {
        until(&format!("the tile says that the camera is {camera}"), || {
            let seen = viewer.look()?;
            let tile = seen["tiles"].as_array().and_then(|tiles| tiles.first().cloned()).unwrap_or_default();
            let is_it = tile["peer"] == json!(peer) && tile["camera"] == camera && tile["sound"] == "on";
            // While it connects, it says that.
            if is_it && tile["state"] == "connected" {
                Ok(tile["note"].as_str().unwrap_or_default().to_owned())
            } else {
                Err(seen["tiles"].to_string())
            }
        })
    };
    assert_eq!(shows("unplayable"), "Your browser cannot show this picture (H.264).");
    pictures(&viewer.page, "unplayable");
    for camera in ["off", "unplayable"] {
        sender.page.call("press", &json!(["camera-button"])).expect("the page is there");
        let _ = shows(camera);
    }
}

/// Spatial layers of AV1 cannot be decoded without the extension that says which frame needs which.
pub(crate) fn av1_layers(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&[]);
    // Below 960 pixels an encoder leaves out the third layer.
    let camera = (960, 540, 15);
    let sends = Wishes { codec: "av1", camera, scalability_mode: Some("L3T3"), ..Wishes::default() };
    let publisher = join(driver, &server, Browser::Chromium, ("layers", "Publisher"), &sends);
    let peer = publisher.publishes(&[]);
    let watches = Wishes { watches: true, ..Wishes::default() };
    let viewer = join(driver, &server, Browser::Chromium, ("layers", "Viewer"), &watches);
    viewer.keeps_seeing(&peer, 30);
    for (who, of) in [(&publisher, None), (&viewer, Some(peer.as_str()))] {
        let (own, servers) = who.agreed(of);
        let both = own.contains(DEPENDENCY_DESCRIPTOR) && servers.contains(DEPENDENCY_DESCRIPTOR);
        assert!(both, "{} agreed on the descriptor: {own}{servers}", who.page.name());
    }
    let sent = publisher.connection(None)["outbound"].clone();
    let sent = sent.as_array().and_then(|all| all.iter().find(|stream| stream["kind"] == "video").cloned());
    let sent = sent.expect("sends video");
    assert_eq!(sent["scalabilityMode"], "L3T3", "{sent}");
    let video = &viewer.connection(Some(&peer))["inbound"]["video"];
    assert_eq!(video["codec"], "AV1", "{video}");
    println!("    AV1 L3T3: {} wide of {}", video["frameWidth"], sent["frameWidth"]);
}
