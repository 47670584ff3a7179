//! mediasoup-demo's signaling as a client speaks it: protoo over WebSocket, in the older dialect, in which nobody has
//! data channels who does not ask for them.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::site::{Site, Stream};

/// Longest wait for anything.
const WITHIN: Duration = Duration::from_secs(20);
/// Buffers of a client: there may be thousands.
const BUFFER_BYTES: usize = 4 << 10;

/// A client's WebSocket.
pub struct Signaling {
    socket: WebSocketStream<Box<dyn Stream>>,
    next_id: u64,
    /// What has been offered and not been looked at yet.
    offered: VecDeque<Offered>,
}

impl std::fmt::Debug for Signaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signaling").field("next_id", &self.next_id).finish_non_exhaustive()
    }
}

/// A consumer that the server asks the client to take (`newConsumer`).
#[derive(Debug)]
pub struct Offered {
    id: u64,
    /// Its members.
    pub(super) data: Value,
}

/// A member that is text.
///
/// # Errors
/// It is missing, or something else.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("the server does not say {name}: {value}"))
}

impl Signaling {
    /// Opens a WebSocket of a peer.
    ///
    /// # Errors
    /// Nobody listens there, or the server refuses.
    pub async fn open(site: &Site, room: &str, peer: &str) -> anyhow::Result<Self> {
        let stream = timeout(WITHIN, site.connect()).await??;
        let mut request = site.websocket(&format!("/?roomId={room}&peerId={peer}")).into_client_request()?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("protoo"));
        let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
        let (socket, _) = timeout(WITHIN, client_async_with_config(request, stream, Some(config))).await??;
        Ok(Self { socket, next_id: 0, offered: VecDeque::new() })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub async fn request(&mut self, method: &str, data: Value) -> anyhow::Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.say(&json!({ "request": true, "id": id, "method": method, "data": data })).await?;
        loop {
            let mut message = self.next().await.with_context(|| method.to_owned())?;
            if message["response"] == json!(true) && message["id"] == json!(id) {
                match message["ok"] == json!(true) {
                    true => return Ok(message["data"].take()),
                    false => bail!("{method}: {}", message["errorReason"]),
                }
            }
            self.note(message);
        }
    }

    /// The next consumer that is offered.
    ///
    /// # Errors
    /// Nothing is.
    pub async fn offered(&mut self) -> anyhow::Result<Offered> {
        loop {
            if let Some(offered) = self.offered.pop_front() {
                return Ok(offered);
            }
            let message = self.next().await.context("a consumer")?;
            self.note(message);
        }
    }

    /// Takes a consumer.
    ///
    /// # Errors
    /// The WebSocket has ended.
    pub async fn accept(&mut self, offered: &Offered) -> anyhow::Result<()> {
        self.say(&json!({ "response": true, "id": offered.id, "ok": true, "data": {} })).await
    }

    /// Reads what it is told until the WebSocket ends.
    pub async fn listen(mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    fn note(&mut self, mut message: Value) {
        if let (true, Some(id)) = (message["method"] == json!("newConsumer"), message["id"].as_u64()) {
            self.offered.push_back(Offered { id, data: message["data"].take() });
        }
    }

    async fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        Ok(timeout(WITHIN, self.socket.send(Message::text(message.to_string()))).await??)
    }

    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            match timeout(WITHIN, self.socket.next()).await.context("the server says nothing")? {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(frame))) => bail!("the server has closed: {frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the server has hung up"),
            }
        }
    }
}
