//! A client's WebSocket: what it says, and a bounded queue of what it is told.
//!
//! A client that does not read fills its queue, and its connection is closed. Where the server closes one, the close
//! frame says why (RFC 6455 section 5.5.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

/// Messages that may wait for a client, and their bytes.
const MAX_MESSAGES: usize = 2_048;
const MAX_BYTES: usize = 4 << 20;
/// A client that takes nothing of a message for so long has gone.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// Time for a client to answer that the connection is to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Time for a client that is behind with what it takes to take that the connection is to close.
const OVERTAKE_LIMIT: Duration = Duration::from_secs(10);
/// Longest reason in a close frame: a control frame has 125 bytes, two of them for the code (RFC 6455 section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// What a client sends that is no message of a WebSocket.
pub(super) const MALFORMED: &str = "its client breaks the WebSocket's protocol";
pub(super) const NO_TEXT: &str = "its client sends text that is not UTF-8";
pub(super) const TOO_LONG: &str = "its client sends a message that is too long";

/// What comes of a client.
#[derive(Debug)]
pub(super) enum Heard {
    Text(Utf8Bytes),
    /// Anything else, such as the answer to a ping.
    Sign,
    /// The client closes, since it leaves.
    Leave,
    /// What can be no message, for this reason. Nothing comes after it.
    Wrong(&'static str),
    /// The connection is over.
    End,
}

/// Codes of a client that leaves: it is done, or its page goes, or it names none (RFC 6455 section 7.4.1).
const LEAVES: [u16; 3] = [1_000, 1_001, 1_005];

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client has closed.
    Answer,
    /// The client is told why.
    Code(u16, &'static str),
    /// The same, and nothing of what else it was to be told.
    Overtaking(u16, &'static str),
    /// The client has gone, or does not listen.
    Gone,
}

/// What comes of a client.
pub(super) struct Incoming(SplitStream<WebSocket>);

/// What a client is told.
pub(super) struct Outgoing {
    queue: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    /// Closes the connection without writing what waits.
    overtaking: oneshot::Sender<CloseFrame>,
    writer: tokio::task::JoinHandle<()>,
}

/// Both halves of a connection.
pub(super) fn open(socket: WebSocket) -> (Incoming, Outgoing) {
    let (mut sink, stream) = socket.split();
    let (queue, queued) = mpsc::channel::<Message>(MAX_MESSAGES);
    let (overtaking, overtaken) = oneshot::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let written = Arc::clone(&waiting);
    let writer = tokio::spawn(async move {
        let frame = tokio::select! {
            () = write(&mut sink, queued, &written) => return,
            Ok(frame) = overtaken => frame,
        };
        let close = async {
            if sink.send(Message::Close(Some(frame))).await.is_ok() {
                let _ = sink.close().await;
            }
        };
        let _ = timeout(OVERTAKE_LIMIT, close).await;
    });
    (Incoming(stream), Outgoing { queue, waiting, overtaking, writer })
}

/// Writes until the connection is to close, or the client takes no more.
async fn write(sink: &mut SplitSink<WebSocket, Message>, mut queued: mpsc::Receiver<Message>, written: &AtomicUsize) {
    while let Some(message) = queued.recv().await {
        if let Message::Close(why) = message {
            // Without a reason the client has closed, and is answered.
            if why.is_some() {
                let _ = timeout(WRITE_LIMIT, sink.send(Message::Close(why))).await;
            }
            let _ = timeout(WRITE_LIMIT, sink.close()).await;
            return;
        }
        let bytes = length(&message);
        match timeout(WRITE_LIMIT, sink.send(message)).await {
            Ok(Ok(())) => drop(written.fetch_sub(bytes, Ordering::Relaxed)),
            Ok(Err(_)) => {
                // Nothing is sent to a client that has closed but the answer to that.
                let _ = timeout(WRITE_LIMIT, sink.close()).await;
                return;
            }
            Err(_) => return,
        }
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

impl Incoming {
    /// The next that comes.
    pub(super) async fn next(&mut self) -> Heard {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Close(None))) => Heard::Leave,
            Some(Ok(Message::Close(Some(frame)))) if LEAVES.contains(&frame.code) => Heard::Leave,
            Some(Ok(Message::Close(_))) | None => Heard::End,
            Some(Ok(_)) => Heard::Sign,
            Some(Err(error)) => wrong(error).map_or(Heard::End, Heard::Wrong),
        }
    }
}

/// What is wrong with what the client has sent; none if the connection is.
fn wrong(error: axum::Error) -> Option<&'static str> {
    use tungstenite::Error;
    match *error.into_inner().downcast().ok()? {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(MALFORMED),
        Error::Utf8(_) => Some(NO_TEXT),
        Error::Capacity(_) => Some(TOO_LONG),
        _ => None,
    }
}

impl Outgoing {
    /// False if the client does not take what it is told, or has gone.
    #[must_use]
    pub(super) fn text(&self, text: String) -> bool {
        self.put(Message::Text(text.into()))
    }

    /// Asks whether the client is there.
    #[must_use]
    pub(super) fn ping(&self) -> bool {
        self.put(Message::Ping(Vec::new().into()))
    }

    fn put(&self, message: Message) -> bool {
        let bytes = length(&message);
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_BYTES {
            return false;
        }
        self.queue.try_send(message).is_ok()
    }

    /// Closes the connection, with a code where the client is to know why (RFC 6455 section 7.4), and waits a moment
    /// for the client to have taken that. A client that has closed is answered; one that has gone is told nothing.
    pub(super) async fn close(mut self, mut incoming: Incoming, end: End) {
        let frame = |code, reason: &'static str| {
            let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
            CloseFrame { code, reason: reason.into() }
        };
        let limit = match end {
            End::Gone => {
                self.writer.abort();
                return;
            }
            End::Overtaking(code, reason) => {
                let _ = self.overtaking.send(frame(code, reason));
                OVERTAKE_LIMIT
            }
            End::Answer | End::Code(..) => {
                let frame = if let End::Code(code, reason) = end { Some(frame(code, reason)) } else { None };
                // Fails if the writer has ended or is about to.
                let _ = self.queue.try_send(Message::Close(frame));
                CLOSE_LIMIT
            }
        };
        let answered = async { while !matches!(incoming.next().await, Heard::Leave | Heard::Wrong(_) | Heard::End) {} };
        if timeout(limit, &mut self.writer).await.is_err() {
            self.writer.abort();
        } else {
            let _ = timeout(CLOSE_LIMIT, answered).await;
        }
    }
}
