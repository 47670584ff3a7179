//! HTTP connections: taken from the listener, decrypted where HTTPS is on, and given to the routes.
//!
//! Owns the bounds on what a stranger may hold: how many connections, how long for a TLS handshake, a request's head
//! (RFC 9112) or the taking of an answer, and how much memory meanwhile. Knows no route. With HTTPS on, a plain request
//! on the same port is sent to the https address.

mod first;
mod patience;
mod warning;

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use self::first::First;
use self::patience::{Patience, Turn};
pub(crate) use self::warning::Warning;
use crate::config::Limits;
use crate::settings::Isolation;
use crate::shares::{Share, Shares, TooMany};

/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// A peer that acknowledges nothing for this long, or takes nothing, has gone.
const SILENCE_MS: u32 = 30_000;
/// Bytes of a connection's buffer in the kernel, which doubles it: what one who reads slowly may hold.
const BUFFER_BYTES: usize = 64 * 1024;
/// Longest head of a request, and longest TLS hello. Bytes of a connection's buffers here.
const HEAD_BYTES: usize = 32 * 1024;
/// Connections that hold buffers here, some 40 KB (in TLS 60), while their client is to do something.
const WAITING: usize = 768;
/// Descriptors that are for no connection: listener, links, log, and whatever a library opens for a moment.
const SPARE_FILES: u64 = 64;

/// By what a request came. In the extensions of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In clear.
    Http,
    /// Inside TLS, with a certificate of ours.
    Https,
}

/// A connection's place among all of them. In the extensions of each request: what goes on with the connection when
/// HTTP is over holds it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    _held: Arc<(Option<Share>, OwnedSemaphorePermit)>,
}

/// What a stranger may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at a time; those beyond wait in the kernel's queue.
    pub(crate) connections: usize,
    /// Connections of one address (IPv6: of one /64) at a time; those beyond are closed.
    pub(crate) of_one: usize,
    /// For a TLS handshake, and for a request's head, the wait for the next request included.
    pub(crate) head: Duration,
    /// Time for an answer to be taken; streams of events have no end.
    pub(crate) answer: Duration,
}

impl Bounds {
    /// By the settings, and by how many files the system lets this process open. Workers that are threads have sockets
    /// among them.
    pub(crate) fn new(limits: &Limits, isolation: Isolation) -> Self {
        let files = raise_file_limit().saturating_sub(SPARE_FILES);
        let files = if isolation == Isolation::Thread { files / 4 } else { files };
        Self::within(limits, usize::try_from(files).unwrap_or(usize::MAX))
    }

    fn within(limits: &Limits, files: usize) -> Self {
        let connections = limits.connections.min(files).max(1);
        let of_one = match limits.connections_per_ip {
            0 => connections,
            // Where files are short nobody takes all of them.
            each => each.min(connections.div_ceil(4)),
        };
        Self { connections, of_one, head: Duration::from_secs(5), answer: Duration::from_secs(30) }
    }

    /// How many of them may be streams of events, which stay: of all, and of one address.
    pub(crate) fn listeners(&self) -> (usize, usize) {
        let part = |connections: usize| (connections - connections / 4).max(1);
        (part(self.connections), part(self.of_one))
    }
}

/// The soft limit becomes the hard one, which is returned.
fn raise_file_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Serves until told to stop, each connection by the certificate that there is when it comes. Then lets requests end
/// that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Option<TlsAcceptor>>,
    routes: Router,
    bounds: Bounds,
    is_proxy: impl Fn(IpAddr) -> bool,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = bound_sockets(&listener) {
        tracing::warn!("connections of peers that have gone stay open: {error}");
    }
    let places = Arc::new(Semaphore::new(bounds.connections));
    let shares = Shares::new(bounds.connections, bounds.of_one);
    let patience = Patience::new(WAITING);
    // A quarter is always left for those who say something.
    let silence = Patience::new(bounds.connections - bounds.connections / 4);
    let stopping = stop.clone();
    let (mut failed, mut greedy) = (Warning::default(), Warning::default());
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(times) = failed.due(Instant::now()) {
                        tracing::warn!("no HTTP connection can be taken, {times} times: {error}");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // A proxy's connections are those of many clients.
            let share = match (!is_proxy(remote.ip())).then(|| shares.take(remote.ip())).transpose() {
                Ok(share) => share,
                Err(TooMany::OfOne | TooMany::OfAll) => {
                    if let Some(times) = greedy.due(Instant::now()) {
                        let (ip, each) = (remote.ip(), bounds.of_one);
                        let setting = "limits.connections_per_ip";
                        tracing::warn!("{times} HTTP connections closed, the last of {ip}: it has {each} ({setting})");
                    }
                    continue;
                }
            };
            let place = Place { _held: Arc::new((share, place)) };
            let (patience, silence) = (Arc::clone(&patience), Arc::clone(&silence));
            let connection = Connection { remote, bounds, stop: stopping.clone(), place, patience, silence };
            let (tls, routes) = (tls.borrow().clone(), routes.clone());
            tokio::spawn(async move {
                if let Err(error) = connection.run(stream, tls, routes).await {
                    tracing::debug!("HTTP connection of {remote}: {error}");
                }
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Each gives its place back when it ends.
    let _ = places.acquire_many(u32::try_from(bounds.connections).unwrap_or(u32::MAX)).await;
}

/// Set on the listener: what it accepts inherits it.
fn bound_sockets(listener: &TcpListener) -> nix::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(listener, sockopt::SndBuf, &BUFFER_BYTES)?;
    setsockopt(listener, sockopt::TcpNoDelay, &true)?;
    setsockopt(listener, sockopt::KeepAlive, &true)?;
    setsockopt(listener, sockopt::TcpKeepIdle, &(SILENCE_MS / 1_000))?;
    setsockopt(listener, sockopt::TcpUserTimeout, &SILENCE_MS)
}

#[derive(Clone)]
struct Connection {
    remote: SocketAddr,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
    place: Place,
    /// Those that have asked for something, and wait for their client.
    patience: Arc<Patience>,
    /// Those that have not.
    silence: Arc<Patience>,
}

impl Connection {
    /// Small until the client has said something: there may be thousands that say nothing.
    async fn run(mut self, stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router) -> io::Result<()> {
        let turn = Turn::new(Arc::clone(&self.silence));
        let first = timeout(self.bounds.head, first::arrives::<HEAD_BYTES>(&stream, tls.is_some()));
        let first = tokio::select! {
            first = first => first.unwrap_or_else(|late| Err(late.into())),
            () = turn.over() => Err(too_long()),
            _ = self.stop.wait_for(|stop| *stop) => Err(io::Error::other("the server stops")),
        };
        drop(turn);
        match first {
            Ok(First { is_tls: true, is_whole: false }) => {
                first::forget::<HEAD_BYTES>(&stream);
                Err(io::Error::other("it sends no whole hello"))
            }
            Ok(First { is_tls, .. }) => Box::pin(self.talk(stream, tls, routes, is_tls)).await,
            Err(error) => {
                first::forget::<HEAD_BYTES>(&stream);
                Err(error)
            }
        }
    }

    async fn talk(self, stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router, is_tls: bool) -> io::Result<()> {
        let turn = Turn::new(Arc::clone(&self.patience));
        match tls {
            None => self.answer(stream, Scheme::Http, routes, turn).await,
            Some(_) if !is_tls => self.answer(stream, Scheme::Http, Router::new().fallback(to_https), turn).await,
            Some(tls) => {
                let stream = tokio::select! {
                    stream = timeout(self.bounds.head, tls.accept(stream)) => stream??,
                    () = turn.over() => return Err(too_long()),
                };
                self.answer(stream, Scheme::Https, routes, turn).await
            }
        }
    }

    async fn answer<S>(mut self, stream: S, scheme: Scheme, routes: Router, turn: Arc<Turn>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (remote, limit, place) = (self.remote, self.bounds.answer, self.place);
        let (until, mut taken_until) = watch::channel(None);
        let waits = Arc::clone(&turn);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            request.extensions_mut().insert(scheme);
            request.extensions_mut().insert(place.clone());
            // The answer to the request before it has been taken.
            until.send_replace(None);
            let request = request.map(|body| Body::new(Coming::new(body, &waits)));
            let (answer, until, waits) = (routes.clone().call(request), until.clone(), Arc::clone(&waits));
            async move {
                let mut answer = answer.await;
                match &mut answer {
                    Ok(answer) if is_taken_once(answer) => {
                        if waits.are_many() {
                            // What fits into the kernel's buffer is taken from there, at any speed.
                            answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
                        }
                        until.send_replace(Some(Instant::now() + limit));
                        waits.waits();
                    }
                    _ => waits.works(),
                }
                answer
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.bounds.head).max_buf_size(HEAD_BYTES);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let told = async { drop(self.stop.wait_for(|stop| *stop).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = late(&mut taken_until) => return Err(io::Error::other("its answer is not taken")),
            () = turn.over() => return Err(too_long()),
            () = told => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(io::Error::other)
    }
}

/// The end of a connection whose client is to do something, if there are too many.
fn too_long() -> io::Error {
    io::Error::other("too many wait for their client, and it has waited longest")
}

/// A body of which the rest is waited for.
struct Coming {
    body: Incoming,
    turn: Arc<Turn>,
}

impl Coming {
    fn new(body: Incoming, turn: &Arc<Turn>) -> Self {
        if body.is_end_stream() {
            turn.works()
        } else {
            turn.waits()
        }
        Self { body, turn: Arc::clone(turn) }
    }
}

impl hyper::body::Body for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            self.turn.works();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether an answer has an end, and the connection goes on with HTTP after it.
fn is_taken_once(answer: &Response<Body>) -> bool {
    answer.status() != StatusCode::SWITCHING_PROTOCOLS && !is_event_stream(answer.headers())
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|of| of.as_bytes().starts_with(b"text/event-stream"))
}

/// Returns when the time is over that stands there.
async fn late(until: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let over = *until.borrow_and_update();
        let over = async { if let Some(over) = over { sleep_until(over).await } else { pending().await } };
        tokio::select! {
            () = over => return,
            // Without the sender there are no answers.
            changed = until.changed() => if changed.is_err() { pending().await },
        }
    }
}

/// Sends a client that came without https to the https address. (308: RFC 9110 section 15.4.9.)
async fn to_https(request: Request<Body>) -> Response<Body> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let location = host.and_then(|host| header::HeaderValue::try_from(format!("https://{host}{path}")).ok());
    let mut response = Response::new(Body::from("This server speaks https only.\n"));
    *response.status_mut() = match location {
        Some(location) => {
            response.headers_mut().insert(header::LOCATION, location);
            StatusCode::PERMANENT_REDIRECT
        }
        None => StatusCode::BAD_REQUEST,
    };
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const BOUNDS: Bounds =
        Bounds { connections: 2, of_one: 2, head: Duration::from_millis(50), answer: Duration::from_millis(200) };

    async fn start(bounds: Bounds, routes: Router) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (stop, stopping) = watch::channel(false);
        (address, stop, tokio::spawn(serve(listener, watch::channel(None).1, routes, bounds, |_| false, stopping)))
    }

    fn who() -> Router {
        Router::new().route("/", get(async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.ip().to_string()))
    }

    #[tokio::test]
    async fn one_address_has_no_more_than_its_share() {
        let bounds = Bounds { connections: 8, of_one: 2, head: Duration::from_secs(60), ..BOUNDS };
        let (address, _stop, _serving) = start(bounds, who()).await;
        let connect = async |from: [u8; 4]| {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind((from, 0).into()).expect("binds");
            let mut stream = socket.connect(address).await.expect("connects");
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let mut answer = [0; 12];
            let answered = stream.read_exact(&mut answer).await.is_ok();
            (stream, answered)
        };
        let mut held = Vec::new();
        for (from, served) in [
            ([127, 0, 0, 1], true),
            ([127, 0, 0, 1], true),
            ([127, 0, 0, 1], false),
            ([127, 0, 0, 2], true),
            ([127, 0, 0, 1], false),
        ] {
            let (stream, answered) = connect(from).await;
            assert_eq!(answered, served, "{from:?}");
            held.push(stream);
        }
        drop(held.remove(0));
        while !connect([127, 0, 0, 1]).await.1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_is_not_kept() {
        let kept = Arc::new(());
        let mine = Arc::downgrade(&kept);
        // Without an end, and more than any buffer holds.
        let parts = futures_util::stream::repeat_with(move || {
            let _kept = &kept;
            Ok::<_, io::Error>(vec![0_u8; 64 * 1024])
        });
        let body = Arc::new(std::sync::Mutex::new(Some(Body::from_stream(parts))));
        let routes = Router::new().route("/", get(async move || body.lock().expect("whole").take().expect("once")));
        let (address, _stop, _serving) = start(BOUNDS, routes).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");
        while mine.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn files_bound_connections_and_listeners_are_fewer() {
        let limits = Limits::default();
        let plenty = Bounds::within(&limits, 1 << 20);
        assert_eq!((plenty.connections, plenty.of_one), (4_096, 1_024));
        assert_eq!(plenty.listeners(), (3_072, 768));
        let few = Bounds::within(&limits, 40);
        assert_eq!((few.connections, few.of_one, few.listeners()), (40, 10, (30, 8)));
        let proxy = Bounds::within(&Limits { connections_per_ip: 0, ..limits }, 40);
        assert_eq!((proxy.connections, proxy.of_one), (40, 40));
        let none = Bounds::within(&Limits::default(), 0);
        assert_eq!((none.connections, none.of_one, none.listeners()), (1, 1, (1, 1)));
    }

    #[tokio::test]
    async fn a_head_that_never_ends_holds_no_place() {
        let (address, stop, serving) = start(BOUNDS, who()).await;
        let mut slow = Vec::new();
        for part in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(part.as_bytes()).await.expect("writes");
            slow.push(stream);
        }
        // Both places are held: this one gets its turn only when one of them is given up.
        let mut honest = TcpStream::connect(address).await.expect("connects");
        honest.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("writes");
        let mut answer = String::new();
        honest.read_to_string(&mut answer).await.expect("answers");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
        for mut stream in slow {
            let _ = stream.read_to_end(&mut Vec::new()).await.expect("ends");
        }
        stop.send_replace(true);
        serving.await.expect("ends");
    }

    #[tokio::test]
    async fn who_says_nothing_keeps_nobody_out() {
        let bounds = Bounds { connections: 8, of_one: 8, head: Duration::from_secs(600), ..BOUNDS };
        let (address, _stop, _serving) = start(bounds, who()).await;
        let mut silent = Vec::new();
        for at in 0..20 {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            // Some begin a head.
            stream.write_all(if at % 2 == 0 { b"" } else { b"GET / HT" }).await.expect("writes");
            silent.push(stream);
        }
        let mut honest = TcpStream::connect(address).await.expect("connects");
        honest.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("writes");
        let mut answer = String::new();
        let answered = timeout(Duration::from_secs(60), honest.read_to_string(&mut answer)).await;
        assert!(answered.is_ok() && answer.starts_with("HTTP/1.1 200"), "{answer}");
        // The last of them are still there.
        let last = silent.last_mut().expect("there are twenty");
        last.write_all(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("writes");
        let mut answer = String::new();
        last.read_to_string(&mut answer).await.expect("answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Who takes an answer slowly is not the one that has waited longest then: the kernel has all of it.
    #[tokio::test]
    async fn where_many_wait_connections_end_with_their_answer() {
        let minute = Duration::from_secs(60);
        let bounds = Bounds { connections: 2_000, of_one: 2_000, head: minute, answer: minute };
        let long = "a".repeat(50_000);
        let routes = Router::new().route("/", get(async move || long));
        let (address, _stop, _serving) = start(bounds, routes).await;
        let mut held = Vec::new();
        for at in 0..=WAITING {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");
            let mut head = [0; 200];
            stream.read_exact(&mut head).await.expect("answers");
            let ends = String::from_utf8_lossy(&head).to_lowercase().contains("connection: close");
            // Where it ends it is not among those that wait.
            assert_eq!(ends, at > WAITING / 2, "{at}");
            held.push(stream);
        }
        // All others have waited for less.
        let mut first = held.swap_remove(0);
        let mut rest = vec![0; 50_000 - 200];
        first.read_exact(&mut rest).await.expect("the rest of its answer");
        first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it goes on");
        first.read_exact(&mut rest).await.expect("and is answered");
        let mut last = held.pop().expect("there are many");
        assert!(last.read_to_end(&mut Vec::new()).await.expect("all of its answer") > 50_000 - 200);
    }

    #[tokio::test]
    async fn requests_may_come_in_any_parts() {
        let bounds = Bounds { head: Duration::from_secs(60), answer: Duration::from_secs(60), ..BOUNDS };
        let routes = Router::new().route("/", get(async || "got").post(async |body: String| body));
        let (address, _stop, _serving) = start(bounds, routes).await;
        let (get, last) = ("GET / HTTP/1.1\r\nHost: x\r\n", "Connection: close\r\n\r\n");
        let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
        let long = format!("X-Long: {}\r\n", "a".repeat(HEAD_BYTES - 100));
        let too_long = format!("X-Long: {}\r\n", "a".repeat(HEAD_BYTES));
        for (request, part, wanted) in [
            (format!("\r\n{get}{last}"), 1, &["200"][..]),
            (format!("{get}{long}{last}"), 2_000, &["200"]),
            (format!("{post}{get}\r\n{get}{last}"), usize::MAX, &["200", "body", "200", "got", "200", "got"]),
            (format!("{post}{get}{last}"), 7, &["200", "body", "200", "got"]),
            (format!("{get}{too_long}"), 2_000, &["431"]),
            ("nonsense\r\n\r\n".to_owned(), 1, &["400"]),
            // Then the client sends no more.
            (get.to_owned(), usize::MAX, &[]),
            (String::new(), 1, &[]),
        ] {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.set_nodelay(true).expect("is set");
            for part in request.as_bytes().chunks(part) {
                stream.write_all(part).await.expect("writes");
                tokio::task::yield_now().await;
            }
            if wanted.is_empty() {
                stream.shutdown().await.expect("shuts down");
            }
            let mut answers = String::new();
            stream.read_to_string(&mut answers).await.expect("answers");
            let mut rest = answers.as_str();
            for part in wanted {
                let (_, next) = rest.split_once(part).unwrap_or_else(|| panic!("{part} is not in {answers}"));
                rest = next;
            }
            assert_eq!(
                answers.matches("HTTP/1.1").count(),
                wanted.iter().filter(|of| of.len() == 3 && **of != "got").count()
            );
        }
    }

    #[tokio::test]
    async fn plain_requests_on_the_https_port_are_sent_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let config = crate::config::Config::parse("[http]\ntls_self_signed = true").expect("settings");
        let identity = crate::tls::Identity::of(&config).expect("made").expect("asked for");
        let tls = identity.acceptor().expect("usable");
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(serve(listener, watch::channel(Some(tls)).1, Router::new(), BOUNDS, |_| false, stopping));
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET /?room=a HTTP/1.1\r\nHost: sfu.example:4080\r\n\r\n").await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers");
        assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
        assert!(answer.contains("location: https://sfu.example:4080/?room=a\r\n"), "{answer}");
    }
}
