//! A participant: its signaling, and its two transports, one up and one down.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use corecast_wire::SrtpCryptoSuite;
use reqwest::Url;
use serde_json::{Value, json};

use super::signaling::{Offered, Signaling, text};
use crate::site::Site;
use crate::webrtc::dtls::Terms;
use crate::webrtc::ice::Credentials;
use crate::webrtc::sdp::{Answer, Setup};
use crate::webrtc::{Identity, Joining, Options, Session};

/// Payload types under which it sends.
pub(super) const OPUS: u8 = 111;
/// The same of pictures.
pub(super) const VP8: u8 = 96;

/// What all participants have in common.
#[derive(Clone, Debug)]
pub struct Common {
    site: Site,
    room: String,
    identity: Arc<Identity>,
    suite: SrtpCryptoSuite,
}

impl Common {
    /// Participants with this certificate and this SRTP profile, in a room of this server.
    #[must_use]
    pub fn new(site: Site, room: &str, identity: Arc<Identity>, suite: SrtpCryptoSuite) -> Self {
        Self { site, room: room.to_owned(), identity, suite }
    }

    /// The same in another room.
    #[must_use]
    pub fn in_room(&self, number: u32) -> Self {
        Self { room: format!("room-{number}"), ..self.clone() }
    }
}

/// A transport that the server has made.
#[derive(Debug)]
struct Transport {
    id: String,
    answer: Answer,
}

/// One who has joined the room.
#[derive(Debug)]
pub struct Participant {
    common: Common,
    signaling: Signaling,
    /// For sending and for receiving; none once it is connected.
    transports: [Option<Transport>; 2],
}

/// What is sent to one who has joined.
#[derive(Clone, Debug)]
pub(super) struct Consumed {
    pub(super) producer: String,
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
}

/// What a client says that it can play: sound and pictures without further extensions, so that no path is estimated and
/// each participant is sent the best encoding.
fn capabilities() -> Value {
    json!({
        "codecs": [
            { "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "clockRate": 48_000,
              "channels": 2 },
            { "kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 101, "clockRate": 90_000,
              "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }] },
        ],
        "headerExtensions": [],
    })
}

/// What the server says of its transport, as an answer in SDP would.
fn answer(made: &Value) -> anyhow::Result<Answer> {
    let ice = &made["iceParameters"];
    let candidates = made["iceCandidates"].as_array().context("candidates")?.iter();
    let udp = candidates.filter(|one| one["protocol"] == json!("udp")).map(|one| {
        let port = one["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("a port")?;
        Ok(SocketAddr::new(text(one, "ip")?.parse()?, port))
    });
    let fingerprints = made["dtlsParameters"]["fingerprints"].as_array().context("fingerprints")?.iter();
    let fingerprints = fingerprints.map(|one| Ok(format!("{} {}", text(one, "algorithm")?, text(one, "value")?)));
    Ok(Answer {
        ice: Credentials {
            ufrag: text(ice, "usernameFragment")?.to_owned(),
            password: text(ice, "password")?.to_owned(),
        },
        fingerprints: fingerprints.collect::<anyhow::Result<_>>()?,
        setup: Setup::Passive,
        ice_lite: true,
        udp: udp.collect::<anyhow::Result<_>>()?,
        tcp: Vec::new(),
        media: Vec::new(),
    })
}

fn consumed(offered: &Offered) -> anyhow::Result<Consumed> {
    let parameters = &offered.data["rtpParameters"];
    let ssrc = parameters["encodings"][0]["ssrc"].as_u64().and_then(|ssrc| u32::try_from(ssrc).ok());
    let payload_type = parameters["codecs"][0]["payloadType"].as_u64().and_then(|number| u8::try_from(number).ok());
    Ok(Consumed {
        producer: text(&offered.data, "producerId")?.to_owned(),
        ssrc: ssrc.context("an SSRC")?,
        payload_type: payload_type.context("a payload type")?,
    })
}

impl Participant {
    /// Joins the room, as applications do: the router's capabilities, a transport for each way, and a place in the
    /// room.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn join(common: &Common, name: &str) -> anyhow::Result<Self> {
        let mut signaling = Signaling::open(&common.site, &common.room, name).await?;
        signaling.request("getRouterRtpCapabilities", json!({})).await?;
        let mut transports = [None, None];
        for (place, sends) in transports.iter_mut().zip([true, false]) {
            let asked = json!({ "forceTcp": false, "producing": sends, "consuming": !sends });
            let made = signaling.request("createWebRtcTransport", asked).await?;
            *place = Some(Transport { id: text(&made, "id")?.to_owned(), answer: answer(&made)? });
        }
        let device = json!({ "flag": "bench", "name": "corecast-bench" });
        let joining = json!({ "displayName": name, "device": device, "rtpCapabilities": capabilities() });
        signaling.request("join", joining).await?;
        Ok(Self { common: common.clone(), signaling, transports })
    }

    /// Joins without transports: what is left is the WebSocket and a place in the room.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn join_idle(common: &Common, name: &str) -> anyhow::Result<Signaling> {
        let mut signaling = Signaling::open(&common.site, &common.room, name).await?;
        let device = json!({ "flag": "bench", "name": "corecast-bench" });
        signaling.request("join", json!({ "displayName": name, "device": device })).await?;
        Ok(signaling)
    }

    /// Announces what it sends: sound under the first SSRC and, if there are more, pictures, an encoding under each of
    /// the others. Returns the producers' names.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn produce(&mut self, ssrcs: &[u32]) -> anyhow::Result<Vec<String>> {
        let transport = self.transports[0].as_ref().context("it sends already")?.id.clone();
        let sound = json!({ "mimeType": "audio/opus", "payloadType": OPUS, "clockRate": 48_000, "channels": 2 });
        let pictures = json!({ "mimeType": "video/VP8", "payloadType": VP8, "clockRate": 90_000 });
        let mut names = Vec::new();
        let (of_sound, of_pictures) = ssrcs.split_at_checked(1).context("an SSRC")?;
        for (kind, codec, ssrcs) in [("audio", sound, of_sound), ("video", pictures, of_pictures)] {
            if ssrcs.is_empty() {
                continue;
            }
            let encodings: Vec<_> = ssrcs.iter().map(|ssrc| json!({ "ssrc": ssrc })).collect();
            let parameters = json!({ "codecs": [codec], "encodings": encodings, "rtcp": { "cname": "bench" } });
            let asked = json!({ "transportId": transport, "kind": kind, "rtpParameters": parameters });
            let made = self.signaling.request("produce", asked).await?;
            names.push(text(&made, "id")?.to_owned());
        }
        Ok(names)
    }

    /// Takes so many consumers as they are offered.
    ///
    /// # Errors
    /// Fewer are offered.
    pub(super) async fn take(&mut self, count: usize) -> anyhow::Result<Vec<Consumed>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let offered = self.signaling.offered().await?;
            self.signaling.accept(&offered).await?;
            all.push(consumed(&offered)?);
        }
        Ok(all)
    }

    /// Takes so many consumers, and looks at none of them.
    ///
    /// # Errors
    /// Fewer are offered.
    pub async fn take_all(&mut self, count: usize) -> anyhow::Result<()> {
        self.take(count).await.map(drop)
    }

    /// Connects the transport on which it sends, or that on which it receives.
    ///
    /// # Errors
    /// A step fails.
    pub async fn connect(&mut self, sends: bool) -> anyhow::Result<Session> {
        let transport = self.transports[usize::from(!sends)].take().context("it is connected already")?;
        let Common { site, identity, suite, .. } = &self.common;
        let fingerprint = identity.fingerprint();
        let (algorithm, value) = fingerprint.split_once(' ').context("a fingerprint")?;
        let dtls = json!({ "role": "client", "fingerprints": [{ "algorithm": algorithm, "value": value }] });
        let asked = json!({ "transportId": transport.id, "dtlsParameters": dtls });
        self.signaling.request("connectWebRtcTransport", asked).await?;
        let terms = Terms { profiles: vec![*suite], ..Terms::default() };
        let options = Options { terms, ..Options::new(identity, Vec::new()) };
        let mut joining = Joining::over(site.base().parse::<Url>()?.join(&transport.id)?, transport.answer, options);
        joining.check().await?;
        let session = joining.shake().await?;
        ensure!(session.keys().local.suite == *suite, "another SRTP profile was chosen");
        Ok(session)
    }

    /// What is left when both transports are connected.
    #[must_use]
    pub fn into_signaling(self) -> Signaling {
        self.signaling
    }
}
