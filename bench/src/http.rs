//! A running server, driven over its HTTP API as broadcaster scripts drive it (the older of its two forms), with the
//! extras for SRTP.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corecast_wire::{Io, SrtpParameters};
use serde_json::{Value, json};

use crate::packet::{FIRST_SSRC, PAYLOAD_TYPE};
use crate::site::{Site, explained};
use crate::subscribers::Promised;
use crate::target::{Counters, Peer, Plan, Route, Target};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The server samples its workers' usage once a second: what it says is at most this old.
const USAGE_AGE: Duration = Duration::from_millis(1_300);

/// A server and the room that we have made in it.
#[derive(Debug)]
pub struct Server {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    base: String,
    room: String,
}

fn srtp_json(key: &SrtpParameters) -> Value {
    json!({ "cryptoSuite": key.suite.name(), "keyBase64": STANDARD.encode(&key.key_and_salt) })
}

fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("the server's answer has no {name}: {value}"))
}

fn number<T: TryFrom<u64>>(value: &Value, name: &str) -> anyhow::Result<T> {
    let number = value[name].as_u64().and_then(|number| T::try_from(number).ok());
    number.with_context(|| format!("the server's answer has no {name}: {value}"))
}

/// What the server knows of the path to one who watches.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// What it is taken to carry, in bits per second of UDP and IP; none if the viewer says nothing of it.
    pub available_bps: Option<u64>,
    /// Consumers of it that are sent nothing, since they would take more.
    pub suspended: usize,
}

/// What is named in a plain transport's answer.
struct Made {
    id: String,
    address: std::net::SocketAddr,
    /// Key with which the server sends.
    key: Option<SrtpParameters>,
}

impl Server {
    /// Looks whether a server answers there.
    ///
    /// # Errors
    /// No server answers there.
    pub fn reach(site: &Site) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = site.client().timeout(ANSWER_WITHIN).build()?;
        let this = Self {
            runtime,
            client,
            base: site.base().to_owned(),
            room: format!("bench-{:08x}", rand::random::<u32>()),
        };
        this.get("/stats?objects=false").context("no corecast answers there")?;
        Ok(this)
    }

    /// The room.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The driver of its first worker.
    ///
    /// # Errors
    /// It does not say.
    pub fn io(&self) -> anyhow::Result<Io> {
        let stats = self.get("/stats?objects=false")?;
        let name = text(&stats["workers"][0], "io")?;
        Ok(if name.contains("uring") { Io::Uring } else { Io::Syscalls })
    }

    /// Transports, producers and consumers of all workers, and their timers.
    ///
    /// # Errors
    /// It does not say.
    pub fn objects_and_timers(&self) -> anyhow::Result<(u64, u64)> {
        let stats = self.get("/stats?objects=false")?;
        let workers = stats["workers"].as_array().context("the server's /stats names no workers")?;
        let kinds = ["transports", "producers", "consumers"];
        let sum = |kinds: &[&str]| -> anyhow::Result<u64> {
            let counts =
                workers.iter().flat_map(|worker| kinds.iter().map(|kind| number::<u64>(&worker["usage"], kind)));
            counts.sum()
        };
        Ok((sum(&kinds)?, sum(&["timers"])?))
    }

    /// The paths to all who watch by WebRTC, in whichever room.
    ///
    /// # Errors
    /// It does not say.
    pub fn paths(&self) -> anyhow::Result<Vec<Path>> {
        let stats = self.get("/stats")?;
        let of = |kind: &str| stats[kind].as_array().with_context(|| format!("the server's /stats names no {kind}"));
        let mut suspended: HashMap<&str, usize> = HashMap::new();
        for consumer in of("consumers")? {
            *suspended.entry(text(consumer, "transportId")?).or_default() += usize::from(consumer["suspended"] == true);
        }
        let path = |transport: &Value| {
            let suspended = *suspended.get(transport["id"].as_str()?)?;
            Some(Path { available_bps: transport["availableOutgoingBitrate"].as_u64(), suspended })
        };
        Ok(of("transports")?.iter().filter_map(path).collect())
    }

    /// Makes the room with a broadcaster and a transport in it. It is closed with this value.
    ///
    /// # Errors
    /// The server refuses.
    pub fn visit(&self) -> anyhow::Result<()> {
        let joining = json!({ "id": "guest", "displayName": "guest", "device": { "name": "corecast-bench" } });
        self.post("/broadcasters", &joining)?;
        self.post("/broadcasters/guest/transports", &json!({ "type": "plain", "rtcpMux": true })).map(drop)
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.client.get(format!("{}{path}", self.base));
        self.answer(request, path)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}/rooms/{}{path}", self.base, self.room)).json(body);
        self.answer(request, path)
    }

    fn answer(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<Value> {
        self.runtime.block_on(async {
            let response = request.send().await.map_err(explained).with_context(|| path.to_owned())?;
            let (status, body) = (response.status(), response.text().await?);
            ensure!(status.is_success(), "{path}: {status}: {body}");
            // Some answers are a sentence, or nothing.
            Ok(serde_json::from_str(&body).unwrap_or(Value::Null))
        })
    }

    /// A broadcaster with one transport, connected to `peer`.
    fn join(&self, name: &str, peer: &Peer, capabilities: &Value) -> anyhow::Result<Made> {
        let device = json!({ "name": "corecast-bench" });
        let joining = json!({ "id": name, "displayName": name, "device": device, "rtpCapabilities": capabilities });
        self.post("/broadcasters", &joining)?;
        let mut wanted = json!({ "type": "plain", "rtcpMux": true, "comedia": false });
        if let Some(key) = &peer.key {
            wanted["enableSrtp"] = json!(true);
            wanted["srtpCryptoSuite"] = json!(key.suite.name());
        }
        let made = self.post(&format!("/broadcasters/{name}/transports"), &wanted)?;
        let id = text(&made, "id")?.to_owned();
        let mut remote = json!({ "ip": peer.address.ip(), "port": peer.address.port() });
        if let Some(key) = &peer.key {
            remote["srtpParameters"] = srtp_json(key);
        }
        self.post(&format!("/broadcasters/{name}/transports/{id}/connect"), &remote)?;
        let key = match &peer.key {
            None => None,
            Some(ours) => {
                let key_and_salt = STANDARD.decode(text(&made["srtpParameters"], "keyBase64")?)?;
                Some(SrtpParameters { suite: ours.suite, key_and_salt })
            }
        };
        let ip = text(&made, "ip")?.parse().context("the server announces a name, not an address")?;
        Ok(Made { id, address: std::net::SocketAddr::new(ip, number(&made, "port")?), key })
    }

    fn produce(&self, name: &str, transport: &str, ssrc: u32, video: bool) -> anyhow::Result<String> {
        let codec = match video {
            true => json!({ "mimeType": "video/VP8", "payloadType": PAYLOAD_TYPE, "clockRate": 90_000 }),
            false => {
                json!({ "mimeType": "audio/opus", "payloadType": PAYLOAD_TYPE, "clockRate": 48_000, "channels": 2 })
            }
        };
        let parameters = json!({ "codecs": [codec], "encodings": [{ "ssrc": ssrc }], "rtcp": { "cname": name } });
        let body = json!({ "kind": if video { "video" } else { "audio" }, "rtpParameters": parameters });
        let made = self.post(&format!("/broadcasters/{name}/transports/{transport}/producers"), &body)?;
        Ok(text(&made, "id")?.to_owned())
    }

    fn consume(&self, name: &str, transport: &str, publisher: usize, producer: &str) -> anyhow::Result<Promised> {
        let path = format!("/broadcasters/{name}/transports/{transport}/consume?producerId={producer}");
        let parameters = &self.post(&path, &json!({}))?["rtpParameters"];
        let ssrc = number(&parameters["encodings"][0], "ssrc")?;
        Ok(Promised { publisher, ssrc, payload_type: number(&parameters["codecs"][0], "payloadType")? })
    }
}

impl Target for Server {
    fn connect(&mut self, plan: &Plan) -> anyhow::Result<Route> {
        let capabilities = self.get(&format!("/rooms/{}", self.room))?;
        let mut route = Route::default();
        let mut producers = Vec::new();
        for (index, published) in plan.publishers.iter().enumerate() {
            let name = format!("publisher-{index}");
            let made = self.join(&name, &published.peer, &capabilities)?;
            producers.push(self.produce(&name, &made.id, FIRST_SSRC + index as u32, published.video)?);
            route.publish_to.push(made.address);
        }
        for (index, peer) in plan.subscribers.iter().enumerate() {
            let name = format!("subscriber-{index}");
            let made = self.join(&name, peer, &capabilities)?;
            let streams = plan.streams_of(index).filter_map(|(number, _)| Some((number, producers.get(number)?)));
            let promised = streams.map(|(publisher, producer)| self.consume(&name, &made.id, publisher, producer));
            route.promised.push(promised.collect::<Result<_, _>>()?);
            route.send_from.push(made.address);
            route.keys.push(made.key);
        }
        Ok(route)
    }

    /// All workers of the server together: nothing else should use it meanwhile.
    fn counters(&mut self) -> anyhow::Result<Counters> {
        std::thread::sleep(USAGE_AGE);
        let stats = self.get("/stats?objects=false")?;
        let Some(workers) = stats["workers"].as_array() else { bail!("the server's /stats names no workers") };
        let mut counters = Counters { cpu: Some(Duration::ZERO), ..Counters::default() };
        for usage in workers.iter().map(|worker| &worker["usage"]).filter(|usage| usage.is_object()) {
            let cpu = Duration::from_nanos(number::<u64>(usage, "userNs")? + number::<u64>(usage, "systemNs")?);
            counters.cpu = counters.cpu.map(|sum| sum + cpu);
            counters.packets_sent += number::<u64>(usage, "packetsSent")?;
            counters.trains_sent += number::<u64>(usage, "trainsSent")?;
            counters.packets_received += number::<u64>(usage, "packetsReceived")?;
            for (name, packets) in usage["discards"].as_object().into_iter().flatten() {
                let packets = packets.as_u64().unwrap_or(0);
                match counters.discards.iter_mut().find(|(known, _)| known == name) {
                    Some(known) => known.1 += packets,
                    None => counters.discards.push((name.clone(), packets)),
                }
            }
        }
        Ok(counters)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The room goes with us; if the server is gone, so is the room.
        let request = self.client.delete(format!("{}/rooms/{}", self.base, self.room));
        let _ = self.answer(request, "the room");
    }
}
