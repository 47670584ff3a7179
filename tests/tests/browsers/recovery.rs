//! What goes wrong in a call, and that pictures come again: loss, another path, a reload, a server that dies, a network
//! without UDP.

use std::process::Command;
use std::time::Duration;

use corecast_tests::browser::Browser;
use corecast_tests::relay::Path;
use corecast_tests::server::{kill, wait_for};
use serde_json::{Value, json};

use crate::Stage;
use crate::call::{Visitor, Wishes, join, rates, until};

const BOTH: [Browser; 2] = [Browser::Chromium, Browser::Firefox];
/// Least frame rate with loss: a picture that stutters more is no picture.
const FRAMES_A_SECOND: f64 = 10.0;

pub(crate) fn loss(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let (server, bound, behind) = stage.bed.server_behind_relay(&["--rtc-tcp", "false"]);
    let lossy = Path { loss_percent: 5, ..Path::default() };
    let relay = bound.start(behind, 20_261, lossy, lossy).expect("the relay starts");
    let wishes = Wishes::default();
    let chromium = join(driver, &server, BOTH[0], ("loss", "Chromium"), &wishes);
    let firefox = join(driver, &server, BOTH[1], ("loss", "Firefox"), &wishes);
    let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
    chromium.sees(&of_firefox, 1);
    firefox.sees(&of_chromium, 1);
    let who = [(&chromium, of_firefox.as_str()), (&firefox, of_chromium.as_str())];
    for _ in 0..3 {
        let found = rates(&who, Duration::from_secs(4));
        println!("    with 5 percent loss each way: {:.1} and {:.1} frames a second", found[0], found[1]);
        let why = || who.map(|(visitor, peer)| visitor.figures(peer)).join("\n");
        assert!(found.iter().all(|rate| *rate >= FRAMES_A_SECOND), "pictures keep coming: {found:.1?}\n{}", why());
    }
    gets_redundant_sound(&chromium, (&firefox, &of_firefox));
    let (up, down) = relay.counts();
    assert!(up.lost > 20 && down.lost > 20, "packets were lost each way: {up:?} {down:?}");
    let pair = chromium.connection(None)["pair"].clone();
    assert_eq!(pair["remote"]["port"], relay.address().port(), "through the relay: {pair}");
    for (visitor, peer) in who {
        let video = visitor.connection(Some(peer))["inbound"]["video"].clone();
        assert!(video["nackCount"].as_u64() > Some(0), "{} asked again: {video}", visitor.page.name());
        let sent = visitor.connection(None)["outbound"].clone();
        let asked = sent.as_array().is_some_and(|all| all.iter().any(|stream| stream["nackCount"].as_u64() > Some(0)));
        assert!(asked, "the server asked {} again: {sent}", visitor.page.name());
    }
}

/// Chromium loses much sound and can do with redundancy: it is sent more than Firefox, which has none, sends.
fn gets_redundant_sound(viewer: &Visitor<'_>, (sender, peer): (&Visitor<'_>, &str)) {
    let each = |of: &Value, bytes: &str, packets: &str| Some(of[bytes].as_f64()? / of[packets].as_f64()?);
    let (sent, got) = until("what was lost comes with the next packet", || {
        let outbound = sender.connection(None)["outbound"].clone();
        let sent = outbound.as_array().and_then(|all| all.iter().find(|stream| stream["kind"] == "audio").cloned());
        let sent = sent.and_then(|sent| each(&sent, "bytesSent", "packetsSent")).ok_or("nothing is sent")?;
        let audio = viewer.connection(Some(peer))["inbound"]["audio"].clone();
        let got = each(&audio, "bytesReceived", "packetsReceived").ok_or("nothing has come")?;
        if got > 1.2 * sent { Ok((sent, got)) } else { Err(format!("{sent:.1} bytes sent: {audio}")) }
    });
    println!("    bytes of sound in a packet: {sent:.1} as it is sent, {got:.1} as it comes");
}

/// The name by which the server knows a connection's ICE session.
fn ufrag(visitor: &Visitor<'_>, peer: Option<&str>) -> String {
    let (_, servers) = visitor.agreed(peer);
    let ufrag = servers.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    ufrag.unwrap_or_else(|| panic!("no ufrag in {servers}")).to_owned()
}

pub(crate) fn restart_and_reload(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&[]);
    let wishes = Wishes::default();
    let chromium = join(driver, &server, BOTH[0], ("restart", "Chromium"), &wishes);
    let firefox = join(driver, &server, BOTH[1], ("restart", "Firefox"), &wishes);
    let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
    chromium.sees(&of_firefox, 10);
    firefox.sees(&of_chromium, 10);

    for (visitor, peer) in [(&chromium, of_firefox.as_str()), (&firefox, of_chromium.as_str())] {
        let before = [ufrag(visitor, None), ufrag(visitor, Some(peer))];
        visitor.page.call("restartIce", &json!([])).unwrap_or_else(|why| panic!("{}: {why}", visitor.page.name()));
        let after = [ufrag(visitor, None), ufrag(visitor, Some(peer))];
        assert!(before[0] != after[0] && before[1] != after[1], "new credentials: {before:?} {after:?}");
        chromium.keeps_seeing(&of_firefox, 30);
        firefox.keeps_seeing(&of_chromium, 30);
    }
    // They are the sessions that were there before, not new ones.
    assert_eq!((chromium.publishes(&[]), firefox.publishes(&[])), (of_chromium.clone(), of_firefox.clone()));

    chromium.page.reload();
    let again = chromium.publishes(&[&of_chromium]);
    chromium.keeps_seeing(&of_firefox, 30);
    firefox.keeps_seeing(&again, 30);
    firefox.page.reload();
    let again = firefox.publishes(&[&of_firefox]);
    chromium.keeps_seeing(&again, 30);
}

/// What a page asks of its probe.
fn does(visitor: &Visitor<'_>, function: &str) -> Value {
    visitor.page.call(function, &json!([])).unwrap_or_else(|why| panic!("{}: {function}: {why}", visitor.page.name()))
}

/// Waits until the pages have other WebSockets than they had, so many in all, and pictures go on.
fn come_back(sockets: u64, who: &[(&Visitor<'_>, &str)]) {
    for (visitor, _) in who {
        until(&format!("{} has another WebSocket", visitor.page.name()), || {
            let watched = does(visitor, "watched");
            let is_open = watched["open"] == true && watched["sockets"].as_u64() >= Some(sockets);
            if is_open { Ok(()) } else { Err(watched.to_string()) }
        });
    }
    who.iter().for_each(|(visitor, peer)| visitor.keeps_seeing(peer, 30));
}

/// Nobody has seen anybody leave or come, and every connection is the one that it was.
fn nothing_happened(what: &str, who: &[(&Visitor<'_>, &str)]) {
    for (visitor, peer) in who {
        let watched = does(visitor, "watched");
        println!(
            "    {what}: {} was without a picture for {} ms at most",
            visitor.page.name(),
            watched["longest"][peer]
        );
        assert_eq!(watched["same"], true, "{what}: {} has other connections: {watched}", visitor.page.name());
        for of in ["states", "tiles", "notices"] {
            assert_eq!(watched[of], json!([]), "{what}: {} sees {of}: {watched}", visitor.page.name());
        }
    }
}

pub(crate) fn server_dies(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&[]);
    // Slow enough for others to come and go while an offer is made.
    let wishes = Wishes { slower_offers: 200, ..Wishes::default() };
    let chromium = join(driver, &server, BOTH[0], ("dies", "Chromium"), &wishes);
    let firefox = join(driver, &server, BOTH[1], ("dies", "Firefox"), &wishes);
    let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
    let who = [(&chromium, of_firefox.as_str()), (&firefox, of_chromium.as_str())];
    for (visitor, peer) in &who {
        visitor.sees(peer, 10);
    }

    // A WebSocket alone: everything else goes on.
    who.iter().for_each(|(visitor, _)| drop(does(visitor, "watch")));
    who.iter().for_each(|(visitor, _)| drop(does(visitor, "breakSocket")));
    come_back(2, &who);
    chromium.chats("before");
    firefox.shows("lines", &json!([["Chromium", "before"]]));
    nothing_happened("without a WebSocket", &who);

    // The server: everything goes on but messages, which get connections of their own.
    let connections = does(&chromium, "look")["connections"].as_u64();
    for death in 1..=2 {
        let old = server.pid();
        let what = if death == 1 { "after a death" } else { "after an upgrade" };
        if death == 1 {
            kill("KILL", old)
        } else {
            server.signal_supervisor("USR2")
        }
        wait_for("another server", || (server.pid() != old).then_some(()));
        come_back(2 + death, &who);
        nothing_happened(what, &who);
        let text = format!("after {death}");
        firefox.chats(&text);
        chromium.shows_last("lines", &json!(["Firefox", text]));
    }
    assert_eq!(does(&chromium, "look")["connections"].as_u64(), connections.map(|before| before + 4), "for messages");
    assert_eq!((chromium.publishes(&[]), firefox.publishes(&[])), (of_chromium.clone(), of_firefox.clone()));
    let joined = server.lines(&["session begins: participant"]);
    assert_eq!(joined.len(), 2, "each joins once: {joined:#?}");

    // Whom the server does not know by now joins again.
    let operator = server.ask("DELETE", "/rooms/dies", "");
    assert_eq!(operator.map(|answer| answer.0), Some(204));
    until("other connections", || {
        let (seen, watched) = (chromium.look()?, does(&chromium, "watched"));
        let connected = seen["publisher"]["connectionState"] == "connected";
        if connected && watched["same"] == false { Ok(()) } else { Err(format!("{} {watched}", seen["state"])) }
    });
    who.iter().for_each(|(visitor, peer)| visitor.keeps_seeing(peer, 30));
}

/// The same for a worker that has a process of its own: nobody notices.
pub(crate) fn worker_dies(stage: &Stage) {
    let driver = stage.with(&BOTH);
    let server = stage.bed.server(&["--isolation", "process"]);
    let wishes = Wishes::default();
    let chromium = join(driver, &server, BOTH[0], ("process", "Chromium"), &wishes);
    let firefox = join(driver, &server, BOTH[1], ("process", "Firefox"), &wishes);
    let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
    let who = [(&chromium, of_firefox.as_str()), (&firefox, of_chromium.as_str())];
    for (visitor, peer) in &who {
        visitor.sees(peer, 10);
    }
    who.iter().for_each(|(visitor, _)| drop(does(visitor, "watch")));
    let (old, worker) = (server.pid(), server.stats()["workers"][0]["pid"].as_u64().expect("a pid"));
    assert_ne!(worker, u64::from(old), "it has a process of its own");
    kill("KILL", u32::try_from(worker).expect("a pid"));
    wait_for("another server", || (server.pid() != old).then_some(()));
    come_back(2, &who);
    nothing_happened("after the death of a worker's process", &who);
    let joined = server.lines(&["session begins: participant"]);
    assert_eq!(joined.len(), 2, "each joins once: {joined:#?}");
}

/// Drops every UDP packet of the network that this test is in, until it is dropped itself.
struct NoUdp;

fn nft(rules: &str) {
    let status = Command::new("nft").arg(rules).status().expect("nft runs");
    assert!(status.success(), "nft {rules}");
}

impl NoUdp {
    fn new() -> Self {
        nft("add table inet corecast; add chain inet corecast in { type filter hook input priority 0; }; \
             add rule inet corecast in meta l4proto udp drop");
        Self
    }
}

impl Drop for NoUdp {
    fn drop(&mut self) {
        nft("delete table inet corecast");
    }
}

pub(crate) fn tcp(stage: &Stage) {
    assert!(stage.bed.isolated, "UDP is blocked in a network of our own only");
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&[]);
    let _blocked = NoUdp::new();
    let wishes = Wishes::default();
    let publisher = join(driver, &server, Browser::Chromium, ("tcp", "Publisher"), &wishes);
    let peer = publisher.publishes(&[]);
    let watches = Wishes { watches: true, ..Wishes::default() };
    let viewer = join(driver, &server, Browser::Chromium, ("tcp", "Viewer"), &watches);
    viewer.keeps_seeing(&peer, 60);
    for (visitor, of) in [(&publisher, None), (&viewer, Some(peer.as_str()))] {
        let pair = visitor.connection(of)["pair"].clone();
        assert_eq!(pair["remote"]["protocol"], "tcp", "{pair}");
        assert!(visitor.security(of).starts_with("DTLS"));
    }
}
