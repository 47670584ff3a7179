//! A server by its URL: how requests and WebSockets reach it, by HTTP or HTTPS (rustls), and whose certificates count.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use reqwest::Url;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The server that is measured, where it is not one of our own.
#[derive(Clone, Debug, clap::Args)]
pub struct Named {
    /// Measure the server that runs at this address (http://… or https://…) instead of one of our own; floor and steal
    /// time are still this machine's
    #[arg(long, value_name = "URL", value_parser = url)]
    target: Option<Url>,
    /// Trust the certificates in this file (PEM), too: that of an authority, or the server's own
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust whatever certificate the server shows
    #[arg(long, requires = "target")]
    insecure: bool,
}

impl Named {
    /// Whether a server is named.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.target.is_some()
    }

    /// The server that is named, if one is.
    ///
    /// # Errors
    /// The file of certificates cannot be used.
    pub fn site(&self) -> anyhow::Result<Option<Site>> {
        let site = self.target.as_ref().map(|url| Site::new(url, self.ca.as_ref(), self.insecure));
        site.transpose()
    }
}

/// A server's address, below which its paths are.
///
/// # Errors
/// Says what is allowed.
pub fn url(text: &str) -> Result<Url, String> {
    let wrong = || "give an address like http://127.0.0.1:4080 or https://sfu.example".to_owned();
    let url: Url = text.parse().map_err(|_| wrong())?;
    let is_fine = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if is_fine && url.has_host() { Ok(url) } else { Err(wrong()) }
}

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A server, and how it is reached.
#[derive(Clone)]
pub struct Site {
    url: Url,
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Site").field(&self.url.as_str()).finish()
    }
}

impl Site {
    /// The server at this URL, whose certificate the system trusts.
    ///
    /// # Errors
    /// This is no such URL.
    pub fn at(text: &str) -> anyhow::Result<Self> {
        Self::new(&url(text).map_err(anyhow::Error::msg)?, None, false)
    }

    fn new(url: &Url, ca: Option<&PathBuf>, any: bool) -> anyhow::Result<Self> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        if url.scheme() == "https" && !any {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let mut listed = Vec::new();
        if let Some(path) = ca {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            listed = read.with_context(|| format!("--ca {}", path.display()))?;
            ensure!(!listed.is_empty(), "--ca {}: no certificate is in there (PEM)", path.display());
            roots.add_parsable_certificates(listed.clone());
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        // Without any roots there is none.
        let verifier = Verifier { any, listed, chains: builder.build().ok(), provider: Arc::clone(&provider) };
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { url: url.clone(), tls: Arc::new(tls) })
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// A client for requests to it. A connection is used once: servers close one that rests for a few seconds, and it
    /// must not be used again just then.
    pub fn client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder().tls_backend_preconfigured(ClientConfig::clone(&self.tls)).pool_max_idle_per_host(0)
    }

    /// The URL of a WebSocket with this path and query.
    #[must_use]
    pub fn websocket(&self, path: &str) -> String {
        // The schemes are http and https, so this makes ws and wss.
        self.base().replacen("http", "ws", 1) + path
    }

    /// A connection to it.
    ///
    /// # Errors
    /// Nobody listens there, or its certificate is not trusted.
    pub async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let host = self.url.host_str().context("the server's name")?.trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().context("the server's port")?;
        let stream = TcpStream::connect((host, port)).await.context("the server")?;
        stream.set_nodelay(true)?;
        if self.url.scheme() == "http" {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned())?;
        let shaken = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        Ok(Box::new(shaken.map_err(explained)?))
    }
}

/// An error of a request or a connection, with what can be done about it where that is known.
#[must_use]
pub fn explained(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error: anyhow::Error = error.into();
    match error.chain().find_map(of_tls) {
        Some(rustls::Error::InvalidCertificate(_)) => error.context(
            "the server's certificate is not trusted: give --ca FILE with it or its authority's, or --insecure",
        ),
        Some(rustls::Error::InvalidMessage(_)) => error.context("what answers does not speak TLS: is it http://?"),
        _ => error,
    }
}

/// What TLS says, if this is an error of it, however often it is wrapped.
fn of_tls(cause: &(dyn std::error::Error + 'static)) -> Option<rustls::Error> {
    match cause.downcast_ref::<io::Error>() {
        Some(wrapped) => of_tls(wrapped.get_ref()?),
        None => cause.downcast_ref().cloned(),
    }
}

/// Takes what is listed, and what the roots have signed for the server's name; or everything.
#[derive(Debug)]
struct Verifier {
    any: bool,
    listed: Vec<CertificateDer<'static>>,
    chains: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.any || self.listed.iter().any(|listed| listed == leaf) {
            return Ok(ServerCertVerified::assertion());
        }
        let chains = self.chains.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        chains.verify_server_cert(leaf, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_http_servers() {
        for right in ["http://127.0.0.1:4080", "https://sfu.example/below/", "http://[::1]:5"] {
            assert!(url(right).is_ok(), "{right}");
        }
        for wrong in ["", "sfu.example", "ftp://sfu.example", "wss://sfu.example", "https://", "http://a/?b", "/x"] {
            assert!(url(wrong).is_err_and(|sentence| sentence.contains("https://")), "{wrong}");
        }
    }

    #[test]
    fn websockets_are_below_the_same_path() {
        for (base, expected) in [
            ("http://127.0.0.1:4080", "ws://127.0.0.1:4080/?roomId=r"),
            ("https://sfu.example/http/", "wss://sfu.example/http/?roomId=r"),
        ] {
            assert_eq!(Site::at(base).expect("a site").websocket("/?roomId=r"), expected);
        }
    }
}
