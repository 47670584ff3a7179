//! Sessions that last: every client that can be had here publishes and watches for a minute and a half in one room.
//! That is three times the 30 s after which a server that misreads a client's signs of life ends its session: libnice,
//! for one, sends no check once a pair is nominated.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use corecast_tests::browser::Browser;
use corecast_tests::script::Script;
use corecast_tests::server::Server;
use serde_json::Value;

use crate::Stage;
use crate::call::{PATIENCE, Visitor, Wishes, join};

const LASTS: Duration = Duration::from_secs(90);
/// Pictures and packets of sound that must still come after that, of each kind: less than a second's.
const MORE: u64 = 10;
/// A camera that costs little: the encoders and decoders of all share two cores.
const CAMERA: (u32, u32, u32) = (320, 240, 15);

/// A client that is a program.
struct Client {
    name: &'static str,
    script: Script,
    /// What it has said last.
    last: Value,
}

impl Client {
    fn watching(name: &'static str, script: Script) -> Self {
        Self { name, script, last: Value::Null }
    }

    fn publishing(name: &'static str, script: Script) -> Self {
        assert_eq!(script.line(), "publishing", "{name}: {}", script.errors());
        Self::watching(name, script)
    }

    /// What it says now. Once it has media, it must be connected, if it says whether it is.
    fn hear(&mut self) {
        let lines = self.script.lines_so_far();
        for line in if lines.is_empty() { vec![self.script.line()] } else { lines } {
            let said: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name));
            let lost = self.counts()[1] > 0 && said["state"].as_str().is_some_and(|state| state != "connected");
            assert!(!lost, "{} has lost its connection: {said} {}", self.name, self.script.errors());
            self.last = said;
        }
    }

    /// How much of each kind it has sent, or else received.
    fn counts(&self) -> [u64; 2] {
        let of = if self.last["sent"].is_object() { "sent" } else { "frames" };
        ["audio", "video"].map(|kind| self.last[of][kind].as_u64().unwrap_or_default())
    }

    /// Waits until it has sent or received more of both kinds than it has now.
    fn goes_on(&mut self) {
        self.hear();
        let before = self.counts();
        let end = Instant::now() + PATIENCE;
        while !self.counts().iter().zip(before).all(|(now, before)| *now >= before + MORE) {
            assert!(Instant::now() < end, "{}: {before:?}, then {}: {}", self.name, self.last, self.script.errors());
            self.hear();
        }
    }

    /// Lets it end its session, its first. The server must still have it: it answers with success.
    fn ends(mut self) {
        self.script.close_input();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.script.line().strip_prefix("ended") {
                // FFmpeg keeps the status to itself.
                let fine = status.is_empty() || status.starts_with(" 2");
                assert!(fine, "{}: DELETE of the session: {status}", self.name);
                return;
            }
        }
        panic!("{} does not end: {}", self.name, self.script.errors());
    }
}

/// A port of 127.0.0.1 that nobody uses.
fn free_port() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("bound").port().to_string()
}

fn libdatachannel(arguments: &[&str]) -> Script {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/libdatachannel.mjs");
    let arguments: Vec<String> = [script].iter().chain(arguments).map(|one| (*one).to_owned()).collect();
    Script::start("node", &arguments)
}

/// Packets for libdatachannel, which has no encoders.
fn packets(video: &str, audio: &str) -> Script {
    let text = format!(
        "-q videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 \
         ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=30 target-bitrate=200000 \
         ! rtpvp8pay pt=96 ssrc=2222 picture-id-mode=2 mtu=1200 ! udpsink host=127.0.0.1 port={video} sync=false \
         audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=97 ssrc=1111 \
         ! udpsink host=127.0.0.1 port={audio} sync=false"
    );
    let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    Script::start("gst-launch-1.0", &arguments)
}

/// The programs: four that publish as the peers `webrtcbin`, `aiortc`, `ffmpeg` and `libdatachannel`, and who watches
/// them. FFmpeg's WHIP can only publish.
fn programs(server: &Server, ports: [&str; 2]) -> Vec<Client> {
    let url = |path: &str| format!("http://{}/{path}", server.address);
    let whip = |peer: &str| url(&format!("whip/lasting?peer={peer}"));
    let whep = |peer: &str| url(&format!("whep/lasting/{peer}"));
    let [video, audio] = ports;
    vec![
        Client::publishing("webrtcbin", Script::python("clients/gst_publish.py", &[whip("webrtcbin")])),
        Client::publishing("aiortc", Script::client("clients/aiortc_publish.py", &[whip("aiortc"), "vp8".into()])),
        Client::publishing("FFmpeg", Script::client("clients/ffmpeg_publish.py", &[whip("ffmpeg")])),
        Client::publishing("libdatachannel", libdatachannel(&["publish", &whip("libdatachannel"), video, audio])),
        Client::watching("webrtcbin of aiortc", Script::python("clients/gst_watch.py", &[whep("aiortc")])),
        Client::watching("aiortc of FFmpeg", Script::client("clients/aiortc_watch.py", &[whep("ffmpeg")])),
        Client::watching("libdatachannel of webrtcbin", libdatachannel(&["watch", &whep("webrtcbin")])),
    ]
}

/// What a page has agreed on with the server, as publisher and as viewer of each of these. Another session has another.
fn sessions(page: &Visitor<'_>, peers: &[&str]) -> Vec<(String, String)> {
    let viewers = peers.iter().copied().map(Some);
    std::iter::once(None).chain(viewers).map(|peer| page.agreed(peer)).collect()
}

pub(crate) fn every_client_lasts(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let server = stage.bed.server(&[]);
    let (video, audio) = (free_port(), free_port());
    let _packets = packets(&video, &audio);
    let mut clients = programs(&server, [&video, &audio]);
    let wishes = Wishes { camera: CAMERA, ..Wishes::default() };
    let chromium = join(driver, &server, Browser::Chromium, ("lasting", "Chromium"), &wishes);
    let firefox = join(driver, &server, Browser::Firefox, ("lasting", "Firefox"), &wishes);
    let (of_chromium, of_firefox) = (chromium.publishes(&[]), firefox.publishes(&[]));
    // Debian's Firefox has no H.264, which is all that FFmpeg publishes.
    let calls = [
        (&chromium, vec!["webrtcbin", "aiortc", "libdatachannel", of_firefox.as_str(), "ffmpeg"]),
        (&firefox, vec!["webrtcbin", "aiortc", "libdatachannel", of_chromium.as_str()]),
    ];
    let all_go_on = |clients: &mut [Client]| {
        clients.iter_mut().for_each(Client::goes_on);
        for (page, peers) in &calls {
            peers.iter().for_each(|peer| page.keeps_seeing(peer, MORE));
        }
    };
    all_go_on(&mut clients);
    let before: Vec<_> = calls.iter().map(|(page, peers)| sessions(page, peers)).collect();

    let end = Instant::now() + LASTS;
    while Instant::now() < end {
        thread::sleep(Duration::from_secs(5));
        clients.iter_mut().for_each(Client::hear);
    }

    all_go_on(&mut clients);
    for ((page, peers), before) in calls.iter().zip(&before) {
        assert!(sessions(page, peers) == *before, "{} has had to connect again", page.page.name());
    }
    for client in &clients {
        println!("    {}: {}", client.name, client.last);
    }
    clients.into_iter().rev().for_each(Client::ends);
}
