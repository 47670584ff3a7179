//! Every state of the page, as people with all kinds of windows find it: axe-core has nothing serious to say, and there
//! are pictures to look at (`target/screenshots`).

use std::path::{Path, PathBuf};
use std::process::Command;

use corecast_tests::browser::{Browser, Driver, Page};
use corecast_tests::server::{Server, binary};
use serde_json::{Value, json};

use crate::Stage;
use crate::call::{Visitor, Wishes, join, until};

/// A desktop, a phone, and a phone on its side; and whether its colours are dark.
const WINDOWS: [(&str, u32, u32, bool); 4] = [
    ("phone-dark", 390, 844, true),
    ("landscape", 844, 390, false),
    ("desktop-dark", 1_280, 800, true),
    ("desktop", 1_280, 800, false),
];
/// Pictures that cost the machine little.
const CAMERA: (u32, u32, u32) = (320, 180, 10);

/// Where the server takes commands.
fn admin_socket() -> PathBuf {
    std::env::temp_dir().join(format!("corecast-states-{}.sock", std::process::id()))
}

/// What axe-core found in which state.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    /// Looks at a page in a state, in every window.
    fn look(&mut self, page: &Page<'_>, state: &str) {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace").join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("a directory for pictures");
        for (window, width, height, dark) in WINDOWS {
            page.scheme(dark);
            page.screenshot(&folder.join(format!("state-{state}-{window}.png")), width, height);
            let found = page.barriers();
            self.0.extend(found.iter().map(|finding| format!("{state}, {window}: {finding:#}")));
        }
    }
}

fn press(page: &Page<'_>, button: &str) {
    page.call("press", &json!([button])).expect("the page is there");
}

/// Waits until as many tiles as wanted are of this camera and sound.
fn tiles(visitor: &Visitor<'_>, count: usize, wanted: &[(&str, &str)]) {
    until(&format!("{} shows {count} tiles of {wanted:?}", visitor.page.name()), || {
        let seen = visitor.look()?;
        let all = seen["tiles"].as_array().cloned().unwrap_or_default();
        let is_it = |tile: &&Value| wanted.iter().all(|(name, value)| tile[*name] == *value);
        if all.iter().filter(is_it).count() == count { Ok(()) } else { Err(seen["tiles"].to_string()) }
    });
}

/// A page that has just opened, once it is in the lobby.
fn lobby<'a>(driver: &'a Driver, server: &Server, name: &str, query: &str) -> Page<'a> {
    let page = driver.open(name, Browser::Chromium, &format!("http://{}/?{query}", server.address), &json!({}));
    until("the lobby", || {
        let lobby = page.call("visible", &json!(["#lobby"]))?;
        if lobby == json!(true) { Ok(()) } else { Err(lobby.to_string()) }
    });
    page
}

pub(crate) fn all(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&["--admin-listen", admin_socket().to_str().expect("text")]);
    let mut findings = Findings::default();
    before_a_call(driver, &server, stage, &mut findings);
    let wishes = Wishes { camera: CAMERA, ..Wishes::default() };
    let ann = join(driver, &server, Browser::Chromium, ("states", "Ann"), &wishes);
    let _ = ann.publishes(&[]);
    until("alone", || ann.page.call("visible", &json!(["#alone"]))?.as_bool().filter(|is| *is).ok_or_else(String::new));
    findings.look(&ann.page, "alone");
    let ben = join(driver, &server, Browser::Chromium, ("states", "Ben <b>Bold</b> with a long name"), &wishes);
    let of_ben = ben.publishes(&[]);
    ann.sees(&of_ben, 1);
    tiles(&ann, 2, &[("camera", "on")]);
    findings.look(&ann.page, "two");
    of_two(&ann, &ben, &mut findings);
    of_many(driver, &server, (&ann, &ben), &mut findings);
    assert!(findings.0.is_empty(), "{}", findings.0.join("\n"));
}

fn before_a_call(driver: &Driver, server: &Server, stage: &Stage, findings: &mut Findings) {
    let page = lobby(driver, server, "lobby", "room=states");
    findings.look(&page, "lobby");
    let page = driver.open("status", Browser::Chromium, &format!("http://{}/status", server.address), &json!({}));
    findings.look(&page, "status");
    let closed = stage.bed.server(&["--whep-tokens", "secret", "--whip-tokens", "secret"]);
    let url = format!("http://{}/?room=states&name=Ann&watch=1&auto=1#token=wrong", closed.address);
    let page = driver.open("refused", Browser::Chromium, &url, &json!({}));
    until("the token is asked for", || {
        let asked = page.call("visible", &json!(["#token-field"]))?;
        if asked == json!(true) { Ok(()) } else { Err(asked.to_string()) }
    });
    findings.look(&page, "refused");
}

fn of_two(ann: &Visitor<'_>, ben: &Visitor<'_>, findings: &mut Findings) {
    press(&ben.page, "hand-button");
    press(&ben.page, "microphone-button");
    tiles(ann, 1, &[("sound", "muted")]);
    ann.chats("Hello Ben, can you hear me?");
    ben.chats("Yes, https://example.org/a-long-address-that-does-not-fit-into-one-line-of-the-chat works");
    press(&ann.page, "chat-button");
    findings.look(&ann.page, "chat");
    press(&ann.page, "chat-button");
    press(&ann.page, "react-button");
    findings.look(&ann.page, "reactions");
    press(&ann.page, "react-button");
    press(&ben.page, "camera-button");
    tiles(ann, 1, &[("camera", "off")]);
    findings.look(&ann.page, "camera-off");
    findings.look(&ben.page, "muted");
    press(&ben.page, "camera-button");
    press(&ben.page, "microphone-button");
    tiles(ann, 2, &[("camera", "on"), ("sound", "on")]);
    press(&ann.page, "figures-button");
    findings.look(&ann.page, "figures");
    press(&ann.page, "figures-button");
    press(&ann.page, "devices-button");
    findings.look(&ann.page, "devices");
    press(&ann.page, "devices-done");
    press(&ben.page, "screen-button");
    tiles(ann, 3, &[("camera", "on")]);
    findings.look(&ann.page, "screen");
    findings.look(&ben.page, "screen-own");
    press(&ben.page, "screen-button");
    tiles(ann, 2, &[("camera", "on")]);
    press(&ben.page, "hand-button");
}

fn of_many(driver: &Driver, server: &Server, (ann, ben): (&Visitor<'_>, &Visitor<'_>), findings: &mut Findings) {
    let url = format!("http://{}/status", server.address);
    let plain = driver.open("many", Browser::Chromium, &url, &json!({}));
    for number in 1..=5 {
        let name = format!("Person {number}");
        let url = format!("/whip/states?peer=p{number}&name=Person%20{number}");
        // The last one's picture never comes: its tile waits.
        let asked = json!([name, url, true, "chat", {"sendsNothing": number == 5}]);
        plain.call("startSession", &asked).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    // A machine that is busy may carry none of their pictures.
    tiles(ann, 7, &[("state", "connected")]);
    tiles(ann, 1, &[("peer", "p5"), ("camera", "loading")]);
    findings.look(&ann.page, "many");
    press(&ann.page, "view-button");
    findings.look(&ann.page, "speaker");
    press(&ann.page, "view-button");
    let watches = Wishes { watches: true, ..Wishes::default() };
    let cat = join(driver, server, Browser::Chromium, ("states", "Cat"), &watches);
    tiles(&cat, 7, &[("state", "connected")]);
    findings.look(&cat.page, "watching");
    // What is said in the call: by an operator, and when a link is to be copied.
    let own = ben.publishes(&[]);
    let mut ctl = Command::new(binary());
    let muted = ctl.args(["ctl", "--at"]).arg(admin_socket()).args(["mute", "states", &own]).output().expect("runs");
    assert!(muted.status.success(), "{muted:?}");
    ben.page.call("click", &json!([".bar .invite"])).expect("the page is there");
    until("two notices", || {
        let seen = ben.page.call("visible", &json!([".notice + .notice"]))?;
        if seen == json!(true) { Ok(()) } else { Err(seen.to_string()) }
    });
    findings.look(&ben.page, "notices");
}
