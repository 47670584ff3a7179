//! What a browser gets of the page: HTTPS, asked by a real TLS client, and modules that parse.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corecast_tests::server::{Server, binary, kill, wait_for};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned,
};

/// Takes every certificate and keeps it, like a user who clicks on "accept".
#[derive(Debug)]
struct Accepting {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Accepting {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().expect("whole") = Some(leaf.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// One request by https. The error is that of the handshake or the connection.
fn ask(server: &Server, config: Arc<ClientConfig>, name: &str, path: &str, headers: &str) -> Result<String, String> {
    let stream = TcpStream::connect(server.address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let tls = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(tls, stream);
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", server.address);
    stream.write_all(head.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer)
}

fn trusting(roots: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).expect("a certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_root_certificates(store).with_no_client_auth())
}

/// The certificate that the server shows.
fn shown(server: &Server) -> Option<CertificateDer<'static>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let accepting = Arc::new(Accepting { provider: Arc::clone(&provider), seen: Mutex::default() });
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let config =
        builder.dangerous().with_custom_certificate_verifier(Arc::clone(&accepting) as _).with_no_client_auth();
    let answer = ask(server, Arc::new(config), "localhost", "/health", "").ok()?;
    let seen = accepting.seen.lock().expect("whole").clone();
    seen.filter(|_| answer.starts_with("HTTP/1.1 200"))
}

/// A folder of its own, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("corecast-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("writes");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_given_certificate_is_shown_with_those_that_signed_it() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&ca_key).expect("signs");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(["sfu.example".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &Issuer::new(params, ca_key)).expect("signs");
    let folder = Folder::new("given");
    let cert_file = folder.write("chain.pem", &format!("{}{}", leaf.pem(), root.pem()));
    let key_file = folder.write("key.pem", &key.serialize_pem());
    let server = Server::start_command(
        &mut Command::new(binary()),
        &["--workers", "1", "--tls-cert", &cert_file, "--tls-key", &key_file],
    );
    let config = trusting(&[root.der().clone()]);
    let get = |path: &str, headers: &str| ask(&server, Arc::clone(&config), "sfu.example", path, headers);
    let page = wait_for("the page", || get("/", "").ok());
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>corecast</title>"), "{page}");
    let origin = |scheme: &str| get("/rooms", &format!("Origin: {scheme}://{}\r\n", server.address)).expect("answers");
    assert!(origin("https").starts_with("HTTP/1.1 200"), "the page itself may ask");
    assert!(origin("http").starts_with("HTTP/1.1 403"), "a page that came in clear may not");
    let error = ask(&server, config.clone(), "other.example", "/", "").expect_err("another name");
    assert!(error.contains("not valid for name"), "{error}");
    let (status, body) = server.get("/?room=a").expect("answers in clear");
    assert_eq!((status, body.as_str()), (308, "This server speaks https only.\n"));
}

#[test]
fn a_made_certificate_outlives_a_restart_of_the_server() {
    let server = Server::start_command(&mut Command::new(binary()), &["--workers", "1", "--tls-self-signed"]);
    let first = wait_for("https", || shown(&server));
    // A client that has accepted the certificate treats it as a root; so its names can be checked.
    let config = trusting(std::slice::from_ref(&first));
    for name in ["localhost", "127.0.0.1"] {
        let stats = ask(&server, Arc::clone(&config), name, "/stats", "").expect(name);
        assert!(stats.starts_with("HTTP/1.1 200"), "{name}: {stats}");
    }
    let stats = ask(&server, Arc::clone(&config), "localhost", "/stats", "").expect("answers");
    let (_, body) = stats.split_once("\r\n\r\n").expect("a body");
    let stats: serde_json::Value = serde_json::from_str(body).expect("JSON");
    kill("KILL", u32::try_from(stats["pid"].as_u64().expect("a pid")).expect("a pid"));
    wait_for("the restart", || server.lines(&["the server is ready again"]).pop());
    assert_eq!(wait_for("https again", || shown(&server)), first, "what was accepted is accepted still");
}

#[test]
fn a_wrong_file_ends_the_start_with_a_sentence() {
    let folder = Folder::new("wrong");
    let nothing = folder.write("nothing.pem", "hello\n");
    let gone = folder.0.join("gone.pem").display().to_string();
    for (flags, part) in [
        (vec!["--tls-cert", nothing.as_str()], "http.tls_key is not: set both"),
        (vec!["--tls-cert", nothing.as_str(), "--tls-key", nothing.as_str()], "holds no certificate"),
        (vec!["--tls-cert", gone.as_str(), "--tls-key", nothing.as_str()], "gone.pem: cannot read it"),
    ] {
        let ended = Command::new(binary()).args(&flags).stdin(Stdio::null()).output().expect("runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

/// The modules of the pages, which no compiler reads.
#[test]
fn every_module_of_the_pages_parses() {
    let control = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the workspace").join("control/src");
    let mut modules = 0;
    let folders = ["signaling/page", "ops/dashboard"].map(|page| fs::read_dir(control.join(page)).expect("a page"));
    for entry in folders.into_iter().flatten() {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|ending| ending != "js") {
            continue;
        }
        let module = fs::File::open(&path).expect("opens");
        let node = Command::new("node").args(["--input-type=module", "--check"]).stdin(module).output();
        let checked = node.expect("node is installed (tests/run setup)");
        assert!(checked.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&checked.stderr));
        for (number, line) in fs::read_to_string(&path).expect("text").lines().enumerate() {
            assert!(line.chars().count() <= 120, "{}:{} is too long", path.display(), number + 1);
        }
        modules += 1;
    }
    assert!(modules > 5, "{modules} modules");
}
