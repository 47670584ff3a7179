//! Control's end of a link to one worker: requests with an id each, their replies, events.
//!
//! Owns the socket and what is outstanding on it. The end of the stream is the sign of the worker's death; nothing here
//! decides what to do about it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corecast_wire::{Command, CommandError, Event, Frame, FrameDecoder, FrameError, Reply, WorkerConfig, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::spans;

/// Requests that may wait for their reply on one link; further ones wait for their turn.
const MAX_OUTSTANDING: usize = 256;
const READ_BYTES: usize = 64 * 1024;

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The worker refused; nothing has changed.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The link ended first.
    #[error("the worker has gone; the server restarts")]
    Gone,
    /// The worker answered something else than what was asked.
    #[error("the worker gave an answer of the wrong kind")]
    WrongReply,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<Result<Reply, CommandError>>,
}

/// Handle to a worker. Clones share the link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Which worker it leads to.
    worker: u32,
    /// Batches: what stands in one is written at once.
    requests: mpsc::Sender<Vec<Request>>,
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

/// What a link tells without being asked.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// From the worker.
    Event(Event),
    /// The link has ended, and why; nothing follows.
    Ended(String),
}

impl Link {
    /// Opens the link over `stream`: the worker is told what it is, then requests may follow.
    pub(crate) fn open(stream: UnixStream, config: WorkerConfig) -> (Self, mpsc::UnboundedReceiver<LinkEvent>) {
        let worker = config.index;
        let (requests, requested) = mpsc::channel(MAX_OUTSTANDING);
        let (tell, events) = mpsc::unbounded_channel();
        let (reading, writing) = stream.into_split();
        let (sent, waiting) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            if let Err(error) = write(writing, config, requested, sent).await {
                tracing::debug!("link cannot be written: {error}");
            }
        });
        tokio::spawn(async move {
            let end = read(reading, waiting, &tell).await;
            let why = end.map_or_else(|error| error.to_string(), |()| "its link ended".to_owned());
            let _ = tell.send(LinkEvent::Ended(why));
        });
        (Self { worker, requests, turn: Arc::new(Semaphore::new(MAX_OUTSTANDING)) }, events)
    }

    /// Asks and waits for the answer.
    pub(crate) async fn request(&self, command: Command) -> Result<Reply, RequestError> {
        let result = self.request_all(vec![command]).await?.pop();
        Ok(result.ok_or(RequestError::WrongReply)??)
    }

    /// Asks for all of these at once and waits for all answers, which come in the same order. The worker knows of no
    /// batch: it applies what it does not refuse.
    pub(crate) async fn request_all(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Reply, CommandError>>, RequestError> {
        let span = spans::batch(self.worker, &commands);
        let results = spans::within(span.clone(), self.round_trip(commands)).await;
        if let Some(refusal) = results.iter().flatten().find_map(|one| one.as_ref().err()) {
            spans::failed(&span, refusal);
        }
        results
    }

    async fn round_trip(&self, commands: Vec<Command>) -> Result<Vec<Result<Reply, CommandError>>, RequestError> {
        // A batch that is longer than all turns together takes all of them.
        let turns = u32::try_from(commands.len().min(MAX_OUTSTANDING)).unwrap_or(u32::MAX);
        let _turns = self.turn.acquire_many(turns).await.map_err(|_| RequestError::Gone)?;
        let ask = |command| {
            let (reply, answer) = oneshot::channel();
            (Request { command, reply }, answer)
        };
        let (requests, answers): (Vec<_>, Vec<_>) = commands.into_iter().map(ask).unzip();
        self.requests.send(requests).await.map_err(|_| RequestError::Gone)?;
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(answer.await.map_err(|_| RequestError::Gone)?);
        }
        Ok(results)
    }

    /// Asks for something that is answered with [`Reply::Done`].
    pub(crate) async fn apply(&self, command: Command) -> Result<(), RequestError> {
        match self.request(command).await? {
            Reply::Done => Ok(()),
            _ => Err(RequestError::WrongReply),
        }
    }
}

type Waiting = (u64, oneshot::Sender<Result<Reply, CommandError>>);

async fn write(
    mut stream: OwnedWriteHalf,
    config: WorkerConfig,
    mut requests: mpsc::Receiver<Vec<Request>>,
    sent: mpsc::UnboundedSender<Waiting>,
) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = Vec::new();
    let frame_error = |error: FrameError| io::Error::new(io::ErrorKind::InvalidInput, error);
    encode(&Frame::Config(config), &mut bytes).map_err(frame_error)?;
    stream.write_all(&bytes).await?;
    while let Some(batch) = requests.recv().await {
        bytes.clear();
        for Request { command, reply } in batch {
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = encode(&Frame::Request { id, command }, &mut bytes) {
                let cause = format!("cannot be sent to the worker: {error}");
                let _ = reply.send(Err(CommandError::Invalid { field: "request".into(), cause }));
                continue;
            }
            // Before the bytes leave: the reader must know of the request when its reply comes.
            if sent.send((id, reply)).is_err() {
                return Ok(());
            }
        }
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

async fn read(
    mut stream: OwnedReadHalf,
    mut sent: mpsc::UnboundedReceiver<Waiting>,
    tell: &mpsc::UnboundedSender<LinkEvent>,
) -> Result<(), LinkError> {
    let mut decoder = FrameDecoder::default();
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let length = stream.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        decoder.push(bytes.get(..length).unwrap_or_default());
        while let Some(frame) = decoder.next_frame()? {
            match frame {
                Frame::Event(event) => drop(tell.send(LinkEvent::Event(event))),
                Frame::Reply { id, result } => {
                    while let Ok(request) = sent.try_recv() {
                        waiting.push_back(request);
                    }
                    // Replies come in the order of the requests.
                    match waiting.pop_front() {
                        Some((asked, reply)) if asked == id => drop(reply.send(result)),
                        _ => return Err(LinkError::UnexpectedReply(id)),
                    }
                }
                Frame::Config(_) | Frame::Request { .. } => return Err(LinkError::NotForControl),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("its link failed: {0}")]
    Io(#[from] io::Error),
    #[error("its link is damaged: {0}")]
    Frame(#[from] FrameError),
    #[error("its link is damaged: a reply to request {0}, which was not asked")]
    UnexpectedReply(u64),
    #[error("its link is damaged: a frame that only control sends")]
    NotForControl,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::fake_worker;

    fn config() -> WorkerConfig {
        fake_worker::config(0)
    }

    #[tokio::test]
    async fn replies_find_their_requests() {
        let (link, mut events) = fake_worker::open(config());
        assert!(matches!(events.recv().await, Some(LinkEvent::Event(Event::Started { .. }))));
        let asks = (0..1_000).map(|router| {
            let link = link.clone();
            tokio::spawn(async move {
                let router = corecast_wire::RouterId(router % 500);
                link.apply(Command::CreateRouter { router }).await
            })
        });
        let mut refused = 0;
        for ask in asks.collect::<Vec<_>>() {
            match ask.await.expect("runs") {
                Ok(()) => {}
                Err(RequestError::Refused(CommandError::Exists { .. })) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 500);
    }

    #[tokio::test]
    async fn a_batch_is_answered_in_order_with_its_refusals() {
        let (link, _events) = fake_worker::open(config());
        let create = |router| Command::CreateRouter { router: corecast_wire::RouterId(router) };
        let results = link.request_all(vec![create(1), create(1), create(2)]).await.expect("is answered");
        assert!(matches!(results[..], [Ok(Reply::Done), Err(CommandError::Exists { .. }), Ok(Reply::Done)]));
        let long = (10..10 + 2 * MAX_OUTSTANDING as u64).map(create).collect();
        let results = link.request_all(long).await.expect("is answered, though it is longer than all turns");
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2 * MAX_OUTSTANDING);
    }

    #[tokio::test]
    async fn the_end_of_the_stream_ends_every_request() {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let (link, mut events) = Link::open(ours, config());
        let asked = tokio::spawn(async move { link.request(Command::Usage).await });
        tokio::task::yield_now().await;
        drop(theirs);
        assert_eq!(asked.await.expect("runs"), Err(RequestError::Gone));
        assert!(matches!(events.recv().await, Some(LinkEvent::Ended(_))));
    }

    #[tokio::test]
    async fn a_damaged_stream_ends_the_link() {
        let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
        let (_link, mut events) = Link::open(ours, config());
        theirs.write_all(&[0xFF; 64]).await.expect("writes");
        let Some(LinkEvent::Ended(why)) = events.recv().await else { panic!("no end") };
        assert!(why.contains("damaged"), "{why}");
    }
}
