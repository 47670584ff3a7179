//! mediasoup-demo's signaling over a real WebSocket: every request and notification, in both dialects, and every error.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;

mod calls;
mod data;
mod doors;
mod ends;
mod media;
mod resume;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of either generation.
pub(crate) struct Client {
    socket: tokio_tungstenite::WebSocketStream<TcpStream>,
    next_id: u64,
    /// What has come and was not asked for yet.
    waiting: VecDeque<Value>,
    pub(super) is_legacy: bool,
    /// Why the server has closed the connection, if it has said so.
    reason: String,
}

/// How a connection ended: the code, if the server gave one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(u16),
    Dropped,
}

/// Asks for a WebSocket: it, or the status and sentence of the refusal.
pub(crate) async fn knock(server: &Server, path: &str, headers: &[(&str, &str)]) -> Result<Client, (u16, String)> {
    let stream = TcpStream::connect(server.address).await.expect("connects");
    let mut request = format!("ws://{}{path}", server.address).into_client_request().expect("a URL");
    for (name, value) in headers {
        let name = axum::http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    match client_async(request, stream).await {
        Ok((socket, answer)) => {
            assert_eq!(answer.headers()["sec-websocket-protocol"], "protoo");
            Ok(Client { socket, next_id: 0, waiting: VecDeque::new(), is_legacy: false, reason: String::new() })
        }
        Err(tungstenite::Error::Http(answer)) => {
            let text = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            Err((answer.status().as_u16(), text.trim_end().to_owned()))
        }
        Err(error) => panic!("{path}: {error}"),
    }
}

/// The sub-protocol.
pub(crate) const PROTOO: (&str, &str) = ("Sec-WebSocket-Protocol", "protoo");

impl Client {
    /// A client that has come, and not joined.
    pub(crate) async fn come(server: &Server, room: &str, peer: &str) -> Self {
        let path = format!("/?roomId={room}&peerId={peer}");
        knock(server, &path, &[PROTOO]).await.unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"))
    }

    /// A client of a generation with both transports and its place in the room, and the others that were there.
    pub(crate) async fn join(server: &Server, room: &str, peer: &str, is_legacy: bool) -> (Self, Value) {
        let mut client = Self::come(server, room, peer).await;
        client.is_legacy = is_legacy;
        for sends in [true, false] {
            client.transport(sends).await;
        }
        let joined = client.ask("join", joining(&server.get("/rooms/x").await.json())).await;
        (client, joined["peers"].clone())
    }

    /// The name of a new transport.
    pub(crate) async fn transport(&mut self, sends: bool) -> String {
        let direction = if sends { "producer" } else { "consumer" };
        let body = match self.is_legacy {
            true => json!({ "forceTcp": false, "producing": sends, "consuming": !sends,
                            "sctpCapabilities": { "numStreams": { "OS": 1024, "MIS": 1024 } } }),
            false => json!({ "forceTcp": false, "appData": { "direction": direction } }),
        };
        let made = self.ask("createWebRtcTransport", body).await;
        made[if self.is_legacy { "id" } else { "transportId" }].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("is open");
    }

    /// The next message, or how the connection ended.
    async fn next(&mut self) -> Result<Value, End> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => {
                    self.reason = frame.reason.to_string();
                    return Err(End::Code(frame.code.into()));
                }
                Some(Ok(Message::Close(None))) => return Err(End::Dropped),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(End::Dropped),
            }
        }
    }

    /// The first message that is it, now or later; others wait.
    async fn find(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&is_it) {
            return self.waiting.remove(at).expect("is there");
        }
        loop {
            let message = self.next().await.unwrap_or_else(|end| panic!("{what}: {end:?} after {:?}", self.waiting));
            if is_it(&message) {
                return message;
            }
            self.waiting.push_back(message);
        }
    }

    /// A request, and what came of it.
    pub(crate) async fn answer(&mut self, method: &str, data: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send(json!({ "request": true, "id": id, "method": method, "data": data })).await;
        self.find(method, |message| message["response"] == true && message["id"] == id).await
    }

    /// A request that is granted: its data.
    pub(crate) async fn ask(&mut self, method: &str, data: Value) -> Value {
        let answer = self.answer(method, data).await;
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["data"].clone()
    }

    /// A request that is refused with this code and words.
    pub(crate) async fn refused(&mut self, method: &str, data: Value, code: u16, part: &str) {
        let answer = self.answer(method, data).await;
        assert_eq!((&answer["ok"], &answer["errorCode"]), (&json!(false), &json!(code)), "{method}: {answer}");
        assert!(answer["errorReason"].as_str().expect("text").contains(part), "{method}: {part} is not in {answer}");
    }

    /// Something that the legacy client asks for and the typed one says.
    pub(crate) async fn tell(&mut self, method: &str, data: Value) {
        if self.is_legacy {
            assert_eq!(self.ask(method, data).await, json!({}), "{method}");
        } else {
            self.send(json!({ "notification": true, "method": method, "data": data })).await;
        }
    }

    /// The data of a notification.
    pub(crate) async fn told(&mut self, method: &str) -> Value {
        self.told_that(method, |_| true).await
    }

    /// The data of the first notification of that name that is it.
    pub(crate) async fn told_that(&mut self, method: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is =
            |message: &Value| message["notification"] == true && message["method"] == method && is_it(&message["data"]);
        self.find(method, is).await["data"].clone()
    }

    /// Whether such a notification has come by now: the answer to a request comes behind it.
    pub(crate) async fn has_been_told(&mut self, method: &str) -> bool {
        self.ask("getRouterRtpCapabilities", json!({})).await;
        self.waiting.iter().any(|message| message["method"] == method)
    }

    /// What the server asks for: its id and data.
    pub(crate) async fn asked(&mut self, method: &str) -> (Value, Value) {
        let message = self.find(method, |message| message["request"] == true && message["method"] == method).await;
        (message["id"].clone(), message["data"].clone())
    }

    pub(crate) async fn accept(&mut self, id: &Value) {
        self.send(json!({ "response": true, "id": id, "ok": true, "data": {} })).await;
    }

    /// The next consumer that it is offered, and takes.
    pub(crate) async fn takes(&mut self, method: &str) -> Value {
        let (id, data) = self.asked(method).await;
        self.accept(&id).await;
        data
    }

    /// How the connection ends.
    pub(crate) async fn end(self) -> End {
        self.end_with_reason().await.0
    }

    /// The same, with the reason that the server gave.
    pub(crate) async fn end_with_reason(mut self) -> (End, String) {
        loop {
            if let Err(end) = self.next().await {
                return (end, self.reason);
            }
        }
    }
}

/// What a client says of itself when it joins: it can do what the router can.
fn joining(capabilities: &Value) -> Value {
    json!({
        "displayName": "Somebody",
        "device": { "flag": "chrome", "name": "Chrome", "version": "1" },
        "rtpCapabilities": { "codecs": capabilities["codecs"], "headerExtensions": capabilities["headerExtensions"] },
        "sctpCapabilities": { "numStreams": { "OS": 1024, "MIS": 1024 } },
    })
}

/// What a client sends of a camera: three encodings by RID.
pub(crate) fn camera(transport: &str) -> Value {
    json!({ "transportId": transport, "kind": "video", "appData": { "source": "video" }, "rtpParameters": {
        "mid": "0",
        "codecs": [{ "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "parameters": {},
                     "rtcpFeedback": [{ "type": "nack", "parameter": "pli" }] },
                   { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } }],
        "headerExtensions": [{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4 }],
        "encodings": [{ "rid": "r0", "scalabilityMode": "L1T3" }, { "rid": "r1", "scalabilityMode": "L1T3" },
                      { "rid": "r2", "scalabilityMode": "L1T3" }],
        "rtcp": { "cname": "c" } } })
}

/// What a client sends of a microphone.
pub(super) fn microphone(transport: &str) -> Value {
    json!({ "transportId": transport, "kind": "audio", "appData": { "source": "audio" }, "rtpParameters": {
        "mid": "1",
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
        "encodings": [{ "ssrc": 1111 }] } })
}
