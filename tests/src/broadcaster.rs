//! A broadcaster: publishes plain RTP into a room, through the HTTP API that mediasoup-demo's broadcasters use.

use serde_json::{Value, json};

use crate::server::Server;

/// What is published, with the numbers of `tests/media`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sound.
    Opus,
    /// Video.
    Vp8,
    /// Pictures, constrained baseline.
    H264,
}

impl Kind {
    /// What scripts call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
        }
    }

    /// kind and rtpParameters as its sender would give them.
    #[must_use]
    pub fn parameters(self) -> (&'static str, Value) {
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
pub struct Room<'a> {
    /// The server that it is in.
    pub server: &'a Server,
    path: String,
}

impl<'a> Room<'a> {
    /// The room of that name.
    #[must_use]
    pub fn open(server: &'a Server, name: &str) -> Self {
        Self { server, path: format!("/rooms/{name}") }
    }

    /// Makes a broadcaster. The path of its transports.
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn join(&self, id: &str) -> String {
        let capabilities = self.server.json("GET", &self.path, "").expect("capabilities");
        let device = json!({"name": "test"});
        let peer = json!({"id": id, "displayName": id, "device": device, "rtpCapabilities": capabilities});
        let _ = self.server.post(&format!("{}/broadcasters", self.path), &peer);
        format!("{}/broadcasters/{id}/transports", self.path)
    }

    /// A comedia transport with one producer: producer id and its two ports.
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn produce(&self, transports: &str, kind: Kind) -> (String, [String; 2]) {
        let options = json!({"type": "plain", "comedia": true, "rtcpMux": false});
        let transport = self.server.post(transports, &options);
        let (kind, parameters) = kind.parameters();
        let path = format!("{transports}/{}/producers", transport["id"].as_str().expect("an id"));
        let producer = self.server.post(&path, &json!({"kind": kind, "rtpParameters": parameters}));
        let port = |name: &str| transport[name].as_u64().expect("a port").to_string();
        (producer["id"].as_str().expect("an id").to_owned(), [port("port"), port("rtcpPort")])
    }
}
