//! Asks a server for what its dashboard shows, by HTTP or HTTPS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::{Args, Config, Top};
use crate::telemetry::Picture;

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A server to ask.
pub(super) struct Source {
    /// Host and port to connect to.
    host: String,
    port: u16,
    /// The same, as requests have it.
    authority: String,
    tls: Option<TlsConnector>,
    /// Path below which the server is shown.
    base: String,
    token: Option<String>,
}

impl Source {
    /// The server that is asked for: by its URL, or that of these settings. The error is a sentence.
    pub(super) fn find(args: &Args, asked: &Top) -> Result<Self, String> {
        if let Some(url) = &asked.url {
            return Self::at(url, asked.token.clone(), asked.insecure);
        }
        let config = Config::load(args).map_err(|error| format!("{error}; or name the server by --url"))?;
        let scheme = if config.http.is_https() { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", reaching(config.http.listen.0), config.http.base_path.as_str());
        let token = asked.token.clone().or_else(|| config.api_tokens().first().cloned());
        // It is on this machine, where its certificate names other hosts.
        Self::at(&url, token, true)
    }

    fn at(url: &str, token: Option<String>, is_any_certificate_fine: bool) -> Result<Self, String> {
        let wrong = || format!("--url: {url:?} is no URL such as http://127.0.0.1:4080 or https://sfu.example");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (is_https, default_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let tls = if is_https { Some(connector(is_any_certificate_fine)?) } else { None };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            authority: authority.to_string(),
            tls,
            base: uri.path().trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The picture, with the history behind this time. The error is a sentence.
    pub(super) async fn picture(&self, since_ms: u64) -> Result<Picture, String> {
        let answer = timeout(PATIENCE, self.ask(since_ms)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        answer.map_err(|cause| format!("{}: {cause}", self.authority))
    }

    async fn ask(&self, since_ms: u64) -> Result<Picture, String> {
        let none = |error| format!("no server answers ({error}): start one, or name another by --url");
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(none)?;
        let Some(connector) = &self.tls else { return self.ask_on(stream, since_ms).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| format!("{error} (--insecure takes any certificate)"))?;
        self.ask_on(stream, since_ms).await
    }

    async fn ask_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        since_ms: u64,
    ) -> Result<Picture, String> {
        let io = TokioIo::new(stream);
        let (mut sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let mut request = Request::get(format!("{}/dashboard/data?since={since_ms}", self.base))
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        match status.as_u16() {
            200 => {
                serde_json::from_slice(&body).map_err(|error| format!("this is no corecast of this version: {error}"))
            }
            401 | 403 => Err("the server asks for a token of api.tokens: --token, or CORECAST_TOP_TOKEN".to_owned()),
            404 => Err("there is no dashboard: is this the address of a corecast?".to_owned()),
            other => {
                let said: String =
                    String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(200).collect();
                Err(format!("the server answers {other}: {said}"))
            }
        }
    }
}

/// Where a server is reached that listens there.
fn reaching(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

/// TLS to a server whose certificate the system trusts, or to any.
fn connector(is_any_certificate_fine: bool) -> Result<TlsConnector, String> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let config = if is_any_certificate_fine {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Any(provider))).with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes every certificate, and looks whether the server has its key.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_to_connect() {
        let at = |url: &str| Source::at(url, None, true).map(|of| (of.host, of.port, of.base, of.tls.is_some()));
        assert_eq!(at("http://127.0.0.1:4080"), Ok(("127.0.0.1".into(), 4080, String::new(), false)));
        assert_eq!(at("https://sfu.example/sfu/"), Ok(("sfu.example".into(), 443, "/sfu".into(), true)));
        assert_eq!(at("http://[::1]:5/"), Ok(("::1".into(), 5, String::new(), false)));
        for wrong in ["", "sfu.example", "ftp://sfu.example", "http://", "/x"] {
            assert!(at(wrong).is_err_and(|sentence| sentence.contains("--url")), "{wrong}");
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")] {
            assert_eq!(reaching(listen.parse().expect("an address")).to_string(), asked);
        }
    }
}
