//! Real media: GStreamer and ffmpeg publish, three GStreamer receivers decode, one of them over SRTP and one that joins
//! late. Needs gst-launch-1.0 with its plugins, ffmpeg, and Python's GStreamer bindings.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver as Lines, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corecast_tests::server::Server;
use serde_json::{Value, json};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/media");
const PATIENCE: Duration = Duration::from_secs(20);
const FRAMES: u64 = 15;

/// A child whose lines are read by a thread; it ends when this is dropped.
struct Script {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<String>,
}

impl Script {
    fn start(program: &str, arguments: &[String]) -> Self {
        let mut process = Command::new("timeout")
            .args(["-k", "2", "90", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let stdout = process.stdout.take().expect("piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = process.stdin.take();
        Self { process, stdin, lines }
    }

    fn python(script: &str, arguments: &[String]) -> Self {
        let arguments: Vec<String> = [format!("{SCRIPTS}/{script}")].iter().chain(arguments).cloned().collect();
        Self::start("/usr/bin/python3", &arguments)
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the script says something")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // `timeout` passes it on, and kills what does not heed it; killed itself, it would leave an orphan.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Opus,
    Vp8,
    H264,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
        }
    }

    /// kind and rtpParameters as its sender would give them.
    fn parameters(self) -> (&'static str, Value) {
        let feedback =
            json!([{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "ccm", "parameter": "fir"}]);
        let (kind, ssrc, codec) = match self {
            Self::Opus => (
                "audio",
                1111,
                json!({"mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                    "parameters": {"sprop-stereo": 1}}),
            ),
            Self::Vp8 => (
                "video",
                2222,
                json!({"mimeType": "video/vp8", "payloadType": 101, "clockRate": 90000, "rtcpFeedback": feedback}),
            ),
            Self::H264 => (
                "video",
                3333,
                json!({"mimeType": "video/h264", "payloadType": 107, "clockRate": 90000, "rtcpFeedback": feedback,
                    "parameters":
                        {"packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1}}),
            ),
        };
        (kind, json!({"codecs": [codec], "encodings": [{"ssrc": ssrc}]}))
    }
}

/// A room of the server, through the HTTP API that mediasoup-demo's broadcasters use.
struct Room<'a> {
    server: &'a Server,
    path: String,
}

impl<'a> Room<'a> {
    fn open(server: &'a Server, name: &str) -> Self {
        Self { server, path: format!("/rooms/{name}") }
    }

    fn join(&self, id: &str) -> String {
        let capabilities = self.server.json("GET", &self.path, "").expect("capabilities");
        let device = json!({"name": "test"});
        let peer = json!({"id": id, "displayName": id, "device": device, "rtpCapabilities": capabilities});
        let _ = self.server.post(&format!("{}/broadcasters", self.path), &peer);
        format!("{}/broadcasters/{id}/transports", self.path)
    }

    /// A comedia transport with one producer: producer id and its two ports.
    fn produce(&self, transports: &str, kind: Kind) -> (String, [String; 2]) {
        let options = json!({"type": "plain", "comedia": true, "rtcpMux": false});
        let transport = self.server.post(transports, &options);
        let (kind, parameters) = kind.parameters();
        let path = format!("{transports}/{}/producers", transport["id"].as_str().expect("an id"));
        let producer = self.server.post(&path, &json!({"kind": kind, "rtpParameters": parameters}));
        let port = |name: &str| transport[name].as_u64().expect("a port").to_string();
        (producer["id"].as_str().expect("an id").to_owned(), [port("port"), port("rtcpPort")])
    }

    /// A receiver of all `producers` on one transport.
    fn receive(&self, id: &str, producers: &[(Kind, String)], encrypted: bool) -> Receiver {
        let transports = self.join(id);
        let mut options = json!({"type": "plain", "comedia": false, "rtcpMux": false});
        if encrypted {
            options["enableSrtp"] = json!(true);
            options["srtpCryptoSuite"] = json!("AES_CM_128_HMAC_SHA1_80");
        }
        let transport = self.server.post(&transports, &options);
        let path = format!("{transports}/{}", transport["id"].as_str().expect("an id"));
        let consumers: Vec<_> = producers
            .iter()
            .map(|(kind, producer)| {
                let consume = format!("{path}/consume?producerId={producer}");
                let parameters = self.server.post(&consume, &json!({}))["rtpParameters"].clone();
                let ssrc = parameters["encodings"][0]["ssrc"].as_u64().expect("an SSRC");
                let payload_type = &parameters["codecs"][0]["payloadType"];
                format!("{}:{ssrc}:{payload_type}", kind.name())
            })
            .collect();
        let mut script = Script::python("receive.py", &consumers);
        let line = script.line();
        let [_, rtp, rtcp] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("not ports: {line}") };
        let number = |port: &str| port.parse::<u16>().expect("a port");
        let mut connect = json!({"ip": "127.0.0.1", "port": number(rtp), "rtcpPort": number(rtcp)});
        let mut go = format!("{} {}", transport["port"], transport["rtcpPort"]);
        if encrypted {
            let key = BASE64.encode([0x5a; 30]);
            connect["srtpParameters"] = json!({"cryptoSuite": "AES_CM_128_HMAC_SHA1_80", "keyBase64": key});
            let ours = transport["srtpParameters"]["keyBase64"].as_str().expect("the server's key");
            go = format!("{go} {key} {ours}");
        }
        let _ = self.server.post(&format!("{path}/connect"), &connect);
        writeln!(script.stdin.as_mut().expect("piped"), "{go}").expect("the script reads");
        Receiver { id: id.into(), script, expected: producers.iter().map(|(kind, _)| *kind).collect() }
    }

    /// Picture loss indications that the server has sent to publishers.
    fn plis(&self) -> u64 {
        let stats = self.server.stats().to_string();
        stats
            .match_indices("\"pliCount\":")
            .map(|(at, name)| {
                let digits = &stats[at + name.len()..];
                let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
                digits[..end].parse::<u64>().unwrap_or(0)
            })
            .sum()
    }
}

struct Receiver {
    id: String,
    script: Script,
    expected: Vec<Kind>,
}

impl Receiver {
    /// Waits until every stream has brought [`FRAMES`] decoded frames.
    fn decodes(&self) {
        let begun = Instant::now();
        let mut frames: BTreeMap<String, u64> = BTreeMap::new();
        let enough = |frames: &BTreeMap<String, u64>| {
            self.expected.iter().all(|kind| frames.get(kind.name()).is_some_and(|count| *count >= FRAMES))
        };
        while !enough(&frames) {
            assert!(begun.elapsed() < PATIENCE, "{} decoded only {frames:?}", self.id);
            let line = self.script.line();
            if let [kind, _, count] = line.split(' ').collect::<Vec<_>>()[..] {
                frames.insert(kind.into(), count.parse().unwrap_or(0));
            }
        }
    }
}

#[test]
fn gstreamer_to_three_receivers_one_over_srtp_one_late() {
    let server = Server::start(&["--workers", "1"]);
    let room = Room::open(&server, "gst");
    let transports = room.join("publisher");
    let (opus, opus_ports) = room.produce(&transports, Kind::Opus);
    let (vp8, vp8_ports) = room.produce(&transports, Kind::Vp8);
    let (h264, h264_ports) = room.produce(&transports, Kind::H264);
    let publish = |codec: &str, ports: &[&[String; 2]]| {
        let mut arguments = vec![codec.to_owned(), "127.0.0.1".into()];
        arguments.extend(ports.iter().flat_map(|pair| pair.iter().cloned()));
        Script::python("publish.py", &arguments)
    };
    let first = publish("vp8", &[&vp8_ports, &opus_ports]);
    let second = publish("h264", &[&h264_ports]);
    assert_eq!((first.line().as_str(), second.line().as_str()), ("publishing", "publishing"));
    let producers = [(Kind::Opus, opus), (Kind::Vp8, vp8), (Kind::H264, h264)];

    let plain = room.receive("plain", &producers, false);
    let encrypted = room.receive("encrypted", &producers, true);
    plain.decodes();
    encrypted.decodes();

    let asked = |script: &Script| script.lines.try_iter().filter(|line| line == "pli").count();
    let (before, _) = (room.plis(), (asked(&first), asked(&second)));
    let late = room.receive("late", &producers, false);
    late.decodes();
    assert!(room.plis() >= before + 2, "the server asked both publishers for a key frame");
    assert!(asked(&first) > 0 && asked(&second) > 0, "and both saw it");
}

#[test]
fn ffmpeg_to_three_receivers_one_over_srtp_one_late() {
    let server = Server::start(&["--workers", "1"]);
    let room = Room::open(&server, "ffmpeg");
    let transports = room.join("publisher");
    let (opus, opus_ports) = room.produce(&transports, Kind::Opus);
    let (vp8, vp8_ports) = room.produce(&transports, Kind::Vp8);
    let (h264, h264_ports) = room.produce(&transports, Kind::H264);
    let video = "-map 0:v -s 320x240 -r 15 -g 30 -b:v 400k";
    let arguments = format!(
        "-nostdin -hide_banner -loglevel error -re \
         -f lavfi -i testsrc=size=320x240:rate=15 -f lavfi -i sine=frequency=440 \
         -map 1:a -c:a libopus -ar 48000 -ac 2 -f rtp -ssrc 1111 -payload_type 100 rtp://127.0.0.1:{}?rtcpport={} \
         {video} -c:v libvpx -deadline realtime -cpu-used 8 -f rtp -ssrc 2222 -payload_type 101 \
         rtp://127.0.0.1:{}?rtcpport={} \
         {video} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline \
         -bsf:v dump_extra -f rtp -ssrc 3333 -payload_type 107 rtp://127.0.0.1:{}?rtcpport={}",
        opus_ports[0], opus_ports[1], vp8_ports[0], vp8_ports[1], h264_ports[0], h264_ports[1],
    );
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let _publisher = Script::start("ffmpeg", &arguments);
    let producers = [(Kind::Opus, opus), (Kind::Vp8, vp8), (Kind::H264, h264)];

    let plain = room.receive("plain", &producers, false);
    let encrypted = room.receive("encrypted", &producers, true);
    plain.decodes();
    encrypted.decodes();
    room.receive("late", &producers, false).decodes();
}
