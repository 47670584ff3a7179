//! HTTP connections: taken from the listener, decrypted where HTTPS is on, and given to the routes.
//!
//! Owns the bounds on what a stranger may hold: how many connections, and how long for a TLS handshake or a request's
//! head (RFC 9112). Knows no route. With HTTPS on, a plain request on the same port is sent to the https address.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// First byte of a TLS connection: the content type of a handshake record (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// A peer that acknowledges nothing for this long, or takes nothing, has gone.
const SILENCE_MS: u32 = 30_000;

/// By what a request came. In the extensions of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In clear.
    Http,
    /// Inside TLS, with a certificate of ours.
    Https,
}

/// What a stranger may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// At a time; those beyond wait in the kernel's queue.
    pub(crate) connections: u32,
    /// For a TLS handshake, and for a request's head, the wait for the next request included.
    pub(crate) head: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 4_096, head: Duration::from_secs(5) }
    }
}

/// Serves until told to stop, then lets requests end that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = end_silent_ones(&listener) {
        tracing::warn!("connections of peers that have gone stay open: {error}");
    }
    let places = Arc::new(Semaphore::new(bounds.connections as usize));
    let stopping = stop.clone();
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("no HTTP connection can be taken: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let connection = Connection { remote, bounds, stop: stopping.clone() };
            let (tls, routes) = (tls.clone(), routes.clone());
            tokio::spawn(async move {
                if let Err(error) = connection.run(stream, tls, routes).await {
                    tracing::debug!("HTTP connection of {remote}: {error}");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Each gives its place back when it ends.
    let _ = places.acquire_many(bounds.connections).await;
}

/// Set on the listener: what it accepts inherits it.
fn end_silent_ones(listener: &TcpListener) -> nix::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
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
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router) -> io::Result<()> {
        let Some(tls) = tls else { return self.answer(stream, Scheme::Http, routes).await };
        let mut first = [0];
        timeout(self.bounds.head, stream.peek(&mut first)).await??;
        if first == [TLS_HANDSHAKE] {
            let stream = timeout(self.bounds.head, tls.accept(stream)).await??;
            self.answer(stream, Scheme::Https, routes).await
        } else {
            self.answer(stream, Scheme::Http, Router::new().fallback(to_https)).await
        }
    }

    async fn answer<S>(mut self, stream: S, scheme: Scheme, routes: Router) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let remote = self.remote;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            request.extensions_mut().insert(scheme);
            routes.clone().call(request)
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.bounds.head);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let told = async { drop(self.stop.wait_for(|stop| *stop).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
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

    const BOUNDS: Bounds = Bounds { connections: 2, head: Duration::from_millis(50) };

    async fn start() -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let who = async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.ip().to_string();
        let (stop, stopping) = watch::channel(false);
        let routes = Router::new().route("/", get(who));
        (address, stop, tokio::spawn(serve(listener, None, routes, BOUNDS, stopping)))
    }

    #[tokio::test]
    async fn a_head_that_never_ends_holds_no_place() {
        let (address, stop, serving) = start().await;
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
    async fn plain_requests_on_the_https_port_are_sent_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let config = crate::config::Config::parse("[http]\ntls_self_signed = true").expect("settings");
        let identity = crate::tls::Identity::of(&config).expect("made").expect("asked for");
        let tls = identity.acceptor().expect("usable");
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(serve(listener, Some(tls), Router::new(), BOUNDS, stopping));
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET /?room=a HTTP/1.1\r\nHost: sfu.example:4080\r\n\r\n").await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers");
        assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
        assert!(answer.contains("location: https://sfu.example:4080/?room=a\r\n"), "{answer}");
    }
}
