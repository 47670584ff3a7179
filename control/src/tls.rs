//! The certificate that HTTPS shows: read from files or made here, checked before anything is started.
//!
//! The supervisor reads or makes it once and hands it to each server that it starts, so that a restart shows browsers
//! the same certificate as before, and needs no file. Owns no connection. TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) by
//! rustls.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, crypto};

use crate::addresses::Addresses;
use crate::config::{Config, Http};
use crate::settings::ListenIp;

/// No chain is longer; a wrong path (a disk, a log) is not read into memory.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// Apple's systems refuse what is valid for more than 825 days, others for more than 398.
const SELF_SIGNED_DAYS: i64 = 397;

/// Certificate chain and private key, both as PEM.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    chain: String,
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// What the settings ask for: none is plain HTTP.
    ///
    /// # Errors
    /// A sentence that names the setting and says what to change.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, String> {
        let Http { tls_cert, tls_key, tls_self_signed, .. } = &config.http;
        let identity = match (tls_cert, tls_key, tls_self_signed) {
            (None, None, false) => return Ok(None),
            (None, None, true) => Self::self_signed(&names(config))?,
            (Some(cert), Some(key), false) => {
                let identity = Self { chain: read("http.tls_cert", cert)?, key: read("http.tls_key", key)? };
                check_pem(&identity, cert, key)?;
                identity
            }
            (Some(_), None, _) => return Err("http.tls_cert is set and http.tls_key is not: set both".into()),
            (None, Some(_), _) => return Err("http.tls_key is set and http.tls_cert is not: set both".into()),
            (Some(_), Some(_), true) => {
                return Err("http.tls_self_signed is set, and so is http.tls_cert: remove one of them".into());
            }
        };
        identity.acceptor()?;
        Ok(Some(identity))
    }

    /// Accepts TLS connections for HTTP/1.1.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("http.tls_cert cannot be read: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| format!("http.tls_key cannot be read: {error}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "http.tls_key does not belong to the first certificate of \
                http.tls_cert: the server's own certificate comes first, then those that signed it"
                .to_owned(),
            error => format!("http.tls_cert and http.tls_key cannot be used: {error}"),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn self_signed(names: &[String]) -> Result<Self, String> {
        let make = || {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, "corecast, self-signed");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            // Clocks differ: a client whose clock is behind is not turned away.
            params.not_before = OffsetDateTime::now_utc() - Duration::DAY;
            params.not_after = params.not_before + Duration::days(SELF_SIGNED_DAYS);
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            Ok(Self { chain: certificate.pem(), key: key.serialize_pem() })
        };
        make().map_err(|error: rcgen::Error| format!("http.tls_self_signed: no certificate could be made: {error}"))
    }
}

fn read(setting: &str, path: &Path) -> Result<String, String> {
    let place = format!("{setting} = {}", path.display());
    let wrong = |error: std::io::Error| format!("{place}: cannot read it: {error}");
    let length = std::fs::metadata(path).map_err(wrong)?.len();
    if length > MAX_PEM_BYTES {
        return Err(format!("{place}: has {length} bytes, and no certificate or key is that long"));
    }
    let bytes = std::fs::read(path).map_err(wrong)?;
    String::from_utf8(bytes).map_err(|_| format!("{place}: is not PEM (text with BEGIN and END lines): convert it"))
}

/// Names the file and what is missing in it, which the library does not.
fn check_pem(identity: &Identity, cert: &Path, key: &Path) -> Result<(), String> {
    let cert = format!("http.tls_cert = {}", cert.display());
    match CertificateDer::from_pem_slice(identity.chain.as_bytes()) {
        Ok(_) => {}
        Err(pem::Error::NoItemsFound) if PrivateKeyDer::from_pem_slice(identity.chain.as_bytes()).is_ok() => {
            return Err(format!("{cert}: holds a private key and no certificate: were the two files swapped?"));
        }
        Err(pem::Error::NoItemsFound) => {
            return Err(format!("{cert}: holds no certificate (no line with BEGIN CERTIFICATE)"));
        }
        Err(error) => return Err(format!("{cert}: is damaged PEM: {error}")),
    }
    let key = format!("http.tls_key = {}", key.display());
    match PrivateKeyDer::from_pem_slice(identity.key.as_bytes()) {
        Ok(_) => Ok(()),
        Err(pem::Error::NoItemsFound) if identity.key.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
            Err(format!("{key}: is encrypted, and nobody is there to be asked for the password: store it without"))
        }
        Err(pem::Error::NoItemsFound) => {
            Err(format!("{key}: holds no private key (no line with BEGIN PRIVATE KEY, RSA or EC PRIVATE KEY)"))
        }
        Err(error) => Err(format!("{key}: is damaged PEM: {error}")),
    }
}

/// What this machine is called by those who may reach it.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    names.extend(host.filter(|host| is_name(host)));
    // What is configured first: it says how an address is announced.
    let http = ListenIp::plain(config.http.listen.0.ip());
    let listen: Vec<_> = config.rtc.listen_ips.iter().cloned().chain([http]).collect();
    // Without addresses the names remain.
    if let Ok(addresses) = Addresses::find(&listen) {
        for listen in addresses.iter() {
            names.push(listen.ip.to_string());
            names.extend(listen.announced_address.clone().filter(|name| is_name(name)));
        }
        names.extend(addresses.webrtc_ips().iter().map(ToString::to_string));
        names.extend(addresses.told().iter().map(|address| address.announced.to_string()));
    }
    names.sort();
    names.dedup();
    names
}

fn is_name(name: &str) -> bool {
    let label = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.len() < 254 && name.bytes().all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_certificate_can_be_used_and_names_this_machine() {
        let config = Config {
            http: Http { tls_self_signed: true, ..Http::default() },
            rtc: crate::config::Rtc {
                listen_ips: vec!["127.0.0.1=203.0.113.7:50000".parse().expect("address")],
                ..Default::default()
            },
            ..Config::default()
        };
        let names = names(&config);
        for name in ["localhost", "127.0.0.1", "::1", "203.0.113.7"] {
            assert!(names.iter().any(|known| known == name), "{name} is missing in {names:?}");
        }
        let identity = Identity::of(&config).expect("made").expect("asked for");
        assert!(identity.acceptor().is_ok());
    }

    #[test]
    fn each_wrong_setting_says_what_to_change() {
        let dir = std::env::temp_dir().join(format!("corecast-tls-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let file = |name: &str, text: &[u8]| {
            std::fs::write(dir.join(name), text).expect("writes");
            Some(dir.join(name))
        };
        let one = Identity::self_signed(&["a.example".into()]).expect("made");
        let other = Identity::self_signed(&["b.example".into()]).expect("made");
        let cert = file("cert.pem", one.chain.as_bytes());
        let key = file("key.pem", one.key.as_bytes());
        let foreign = file("foreign.pem", other.key.as_bytes());
        let nothing = file("nothing.pem", b"hello\n");
        let der = file("cert.der", &[0x30, 0x82, 0xff, 0xfe]);
        let cut = file("cut.pem", one.chain.get(..100).expect("long").as_bytes());
        let locked =
            file("locked.pem", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        let gone = Some(dir.join("gone.pem"));
        let said = |tls_cert: &Option<_>, tls_key: &Option<_>, tls_self_signed| {
            let http =
                Http { tls_cert: tls_cert.clone(), tls_key: tls_key.clone(), tls_self_signed, ..Http::default() };
            Identity::of(&Config { http, ..Config::default() }).map(|identity| identity.is_some())
        };
        assert_eq!(said(&cert, &key, false), Ok(true));
        assert_eq!(said(&None, &None, false), Ok(false));
        for (cert, key, self_signed, part) in [
            (&cert, &None, false, "http.tls_key is not"),
            (&None, &key, false, "http.tls_cert is not"),
            (&cert, &key, true, "remove one"),
            (&gone, &key, false, "gone.pem: cannot read it"),
            (&cert, &gone, false, "http.tls_key"),
            (&key, &cert, false, "swapped"),
            (&nothing, &key, false, "no certificate"),
            (&der, &key, false, "not PEM"),
            (&cut, &key, false, "damaged PEM"),
            (&cert, &nothing, false, "no private key"),
            (&cert, &locked, false, "password"),
            (&cert, &foreign, false, "does not belong"),
        ] {
            let error = said(cert, key, self_signed).expect_err(part);
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        std::fs::remove_dir_all(&dir).expect("removes");
    }
}
