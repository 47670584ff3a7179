//! Real media: GStreamer and ffmpeg publish, three GStreamer receivers decode, one of them over SRTP and one that joins
//! late. Needs gst-launch-1.0 with its plugins, ffmpeg, and Python's GStreamer bindings.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::script::{PATIENCE, Script};
use corecast_tests::server::Server;
use serde_json::json;

const FRAMES: u64 = 15;

/// A receiver of all `producers` on one transport.
fn receive(room: &Room<'_>, id: &str, producers: &[(Kind, String)], encrypted: bool) -> Receiver {
    let transports = room.join(id);
    let mut options = json!({"type": "plain", "comedia": false, "rtcpMux": false});
    if encrypted {
        options["enableSrtp"] = json!(true);
        options["srtpCryptoSuite"] = json!("AES_CM_128_HMAC_SHA1_80");
    }
    let transport = room.server.post(&transports, &options);
    let path = format!("{transports}/{}", transport["id"].as_str().expect("an id"));
    let consumers: Vec<_> = producers
        .iter()
        .map(|(kind, producer)| {
            let consume = format!("{path}/consume?producerId={producer}");
            let parameters = room.server.post(&consume, &json!({}))["rtpParameters"].clone();
            let ssrc = parameters["encodings"][0]["ssrc"].as_u64().expect("an SSRC");
            let payload_type = &parameters["codecs"][0]["payloadType"];
            format!("{}:{ssrc}:{payload_type}", kind.name())
        })
        .collect();
    let mut script = Script::python("media/receive.py", &consumers);
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
    let _ = room.server.post(&format!("{path}/connect"), &connect);
    script.tell(&go);
    Receiver { id: id.into(), script, expected: producers.iter().map(|(kind, _)| *kind).collect() }
}

/// Picture loss indications that the server has sent to publishers.
fn plis(server: &Server) -> u64 {
    let stats = server.stats().to_string();
    stats
        .match_indices("\"pliCount\":")
        .map(|(at, name)| {
            let digits = &stats[at + name.len()..];
            let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse::<u64>().unwrap_or(0)
        })
        .sum()
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
        Script::python("media/publish.py", &arguments)
    };
    let first = publish("vp8", &[&vp8_ports, &opus_ports]);
    let second = publish("h264", &[&h264_ports]);
    assert_eq!((first.line().as_str(), second.line().as_str()), ("publishing", "publishing"));
    let producers = [(Kind::Opus, opus), (Kind::Vp8, vp8), (Kind::H264, h264)];

    let plain = receive(&room, "plain", &producers, false);
    let encrypted = receive(&room, "encrypted", &producers, true);
    plain.decodes();
    encrypted.decodes();

    let asked = |script: &Script| script.lines_so_far().iter().filter(|line| *line == "pli").count();
    let (before, _) = (plis(&server), (asked(&first), asked(&second)));
    let late = receive(&room, "late", &producers, false);
    late.decodes();
    assert!(plis(&server) >= before + 2, "the server asked both publishers for a key frame");
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

    let plain = receive(&room, "plain", &producers, false);
    let encrypted = receive(&room, "encrypted", &producers, true);
    plain.decodes();
    encrypted.decodes();
    receive(&room, "late", &producers, false).decodes();
}
