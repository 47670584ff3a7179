//! A call in one room of a server: who is in it, and what each decodes of the others.

use std::thread;
use std::time::{Duration, Instant};

use corecast_tests::browser::{Browser, Driver, Page};
use corecast_tests::server::Server;
use serde_json::{Value, json};

/// Encoders of this many pixels leave the machine time for the server.
const CAMERA: (u32, u32, u32) = (640, 360, 30);
/// For what happens when it happens: a page that loads and connects while four encoders run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One page in a room.
pub(crate) struct Visitor<'a> {
    pub(crate) page: Page<'a>,
}

/// How a page joins.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) codec: &'static str,
    /// Width, height and frames a second of its camera.
    pub(crate) camera: (u32, u32, u32),
    pub(crate) scalability_mode: Option<&'static str>,
    /// Without camera and microphone.
    pub(crate) watches: bool,
    /// Milliseconds that each of its offers takes longer to make.
    pub(crate) slower_offers: u32,
    /// Its certificate has an RSA key.
    pub(crate) rsa: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { codec: "vp8", camera: CAMERA, scalability_mode: None, watches: false, slower_offers: 0, rsa: false }
    }
}

/// What has been decoded of a peer until a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded {
    /// Time on the browser's clock, in milliseconds.
    at: f64,
    pub(crate) frames: u64,
    pub(crate) energy: f64,
}

/// Asks until it gets something.
pub(crate) fn until<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}: {why}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Opens the server's page in a room.
pub(crate) fn join<'a>(
    driver: &'a Driver,
    server: &Server,
    browser: Browser,
    (room, name): (&str, &str),
    wishes: &Wishes,
) -> Visitor<'a> {
    let watch = if wishes.watches { "&watch=1" } else { "" };
    let codec = wishes.codec;
    let url = format!("http://{}/?room={room}&name={name}&auto=1&codec={codec}{watch}", server.address);
    let (width, height, rate) = wishes.camera;
    let camera = json!({"width": width, "height": height, "frameRate": rate});
    let slower = wishes.slower_offers;
    let (mode, rsa) = (wishes.scalability_mode, wishes.rsa);
    let wishes = json!({"scalabilityMode": mode, "camera": camera, "slowerOffers": slower, "rsa": rsa});
    Visitor { page: driver.open(name, browser, &url, &wishes) }
}

impl Visitor<'_> {
    /// What its page shows of itself.
    pub(crate) fn look(&self) -> Result<Value, String> {
        self.page.look()
    }

    /// The peer that it publishes as, once it is connected; not one of these, which it was before.
    pub(crate) fn publishes(&self, not: &[&str]) -> String {
        until(&format!("{} publishes", self.page.name()), || {
            let seen = self.look()?;
            let publisher = &seen["publisher"];
            let peer = publisher["peer"].as_str().unwrap_or_default().to_owned();
            let connected = publisher["connectionState"] == "connected" && !not.contains(&peer.as_str());
            connected.then_some(peer).ok_or_else(|| format!("{}, {}", seen["state"], short(publisher)))
        })
    }

    /// What it has decoded of a peer.
    pub(crate) fn decoded(&self, peer: &str) -> Result<Decoded, String> {
        let seen = self.look()?;
        let viewer = &seen["viewers"][peer];
        let (video, audio) = (&viewer["inbound"]["video"], &viewer["inbound"]["audio"]);
        let number = |of: &Value, name: &str| of[name].as_f64();
        let found = || {
            let frames = video["framesDecoded"].as_u64()?;
            Some(Decoded { at: number(video, "timestamp")?, frames, energy: number(audio, "totalAudioEnergy")? })
        };
        found().ok_or_else(|| format!("{}, nothing of {peer}: {}", seen["state"], short(viewer)))
    }

    /// What it sends and what it receives of a peer, for a failure.
    pub(crate) fn figures(&self, peer: &str) -> String {
        let [sends, receives] = [None, Some(peer)].map(|of| short(&self.connection(of)));
        format!("{} sends {sends}, receives {receives}", self.page.name())
    }

    /// Waits until it has decoded so many frames of a peer.
    pub(crate) fn sees(&self, peer: &str, frames: u64) -> Decoded {
        until(&format!("{} sees {peer}", self.page.name()), || {
            let now = self.decoded(peer)?;
            let viewer = || self.look().map(|seen| short(&seen["viewers"][peer]));
            if now.frames >= frames { Ok(now) } else { Err(format!("{now:?} {}", viewer()?)) }
        })
    }

    /// Waits until it decodes more of a peer than it does now.
    pub(crate) fn keeps_seeing(&self, peer: &str, frames: u64) {
        let now = self.sees(peer, 1);
        self.sees(peer, now.frames + frames);
    }

    /// What getStats says of the connection on which it receives, and of what comes of a peer there, or of the one that
    /// it publishes on.
    pub(crate) fn connection(&self, peer: Option<&str>) -> Value {
        let seen = until("a look at the page", || self.look());
        peer.map_or_else(|| seen["publisher"].clone(), |peer| seen["viewers"][peer].clone())
    }

    /// What the page and the server say of a connection, as it is now.
    pub(crate) fn agreed(&self, peer: Option<&str>) -> (String, String) {
        let agreed = self.page.call("agreed", &json!([peer])).expect("the page is there");
        let text = |name: &str| agreed[name].as_str().unwrap_or_default().to_owned();
        (text("own"), text("servers"))
    }

    /// What this browser got of DTLS and SRTP, in words, after a check that it is what was meant for it.
    pub(crate) fn security(&self, peer: Option<&str>) -> String {
        let connection = self.connection(peer);
        let transport = &connection["transport"];
        let text = |name: &str| transport[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("dtlsState"), "connected", "{transport}");
        let version = match text("tlsVersion").as_str() {
            "FEFD" => "DTLS 1.2",
            "FEFC" => "DTLS 1.3",
            other => panic!("DTLS version {other}"),
        };
        let srtp = text("srtpCipher");
        assert!(srtp.contains("AEAD_AES"), "{srtp} authenticates and encrypts in one");
        format!("{version}, {}, {srtp}, role {}", text("dtlsCipher"), text("dtlsRole"))
    }
}

/// The figures of a connection that a failure needs, in one line.
fn short(connection: &Value) -> String {
    let states = ["connectionState", "iceConnectionState"].map(|name| connection[name].to_string()).join(" ");
    let streams = [&connection["inbound"], &connection["outbound"]].map(Value::to_string).join(" ");
    format!("{states} {} {} {streams}", connection["transport"], connection["pair"])
}

/// Frames a second that each of these decodes of a peer, over `span`.
pub(crate) fn rates(who: &[(&Visitor<'_>, &str)], span: Duration) -> Vec<f64> {
    let before: Vec<_> = who.iter().map(|(visitor, peer)| visitor.sees(peer, 1)).collect();
    thread::sleep(span);
    let pairs = who.iter().zip(before);
    pairs
        .map(|((visitor, peer), before)| {
            let now = visitor.sees(peer, 1);
            let frames = u32::try_from(now.frames.saturating_sub(before.frames)).expect("few");
            f64::from(frames) * 1_000.0 / (now.at - before.at)
        })
        .collect()
}

/// Waits for a span in which each decodes so many frames a second of a peer. What each did in it.
pub(crate) fn reach(rate: f64, span: Duration, who: &[(&Visitor<'_>, &str)]) -> Vec<f64> {
    let mut all = Vec::new();
    // A page that has just begun, or another program, may cost the first span its pace.
    for _ in 0..3 {
        let found = rates(who, span);
        if found.iter().all(|found| *found >= rate) {
            return found;
        }
        all.push(found);
    }
    panic!("frames a second over {span:?}, three times, of {rate} wanted: {all:.1?}");
}
