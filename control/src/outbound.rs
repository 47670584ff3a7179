//! Requests that the server sends: a client for HTTP/1.1, with TLS by the system's roots (rustls). Knows no request.
//!
//! A name that cannot be looked up holds up one thread, whichever and however many requests want it, so that none is
//! taken from work that clients wait for.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto};

/// What clients call themselves.
pub(crate) const AGENT: &str = concat!("corecast/", env!("CARGO_PKG_VERSION"));
/// A connection on which nothing is sent is closed after so long.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// A client. Its copies share their connections.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// A client whose connections are made within this time. Where TLS is wanted, the system's certificates are read;
/// without any, no URL with `https` is reached.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn client(wants_tls: bool, connect_limit: Duration) -> Result<Client, rustls::Error> {
    let mut roots = RootCertStore::empty();
    if wants_tls {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!("some of the system's certificates cannot be read: {error}");
        }
        roots.add_parsable_certificates(found.certs);
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new_with_resolver(Resolver(Arc::new(Semaphore::new(1))));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_limit));
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_LIMIT).pool_max_idle_per_host(1);
    Ok(builder.build(connector.wrap_connector(tcp)))
}

/// Looks names up, one at a time.
#[derive(Clone, Debug)]
pub(crate) struct Resolver(Arc<Semaphore>);

impl tower::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let turns = Arc::clone(&self.0);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            // The turn is over when the thread is free again, also if nobody waits any longer.
            let look_up = move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(turn);
                found
            };
            tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
        })
    }
}

/// An error with its causes. The libraries' own sentences leave them out.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(of) = cause {
        sentence.push_str(": ");
        sentence.push_str(&of.to_string());
        cause = of.source();
    }
    sentence
}
