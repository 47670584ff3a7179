//! DTLS 1.2 by the crate `dtls` over a socket that its owner reads, and the SRTP keys that come of it (RFC 5764).

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Once};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use dtls::cipher_suite::CipherSuiteId;
use dtls::config::{ClientAuthType, Config, ExtendedMasterSecretType};
use dtls::conn::DTLSConn;
use dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use tokio::sync::{Mutex, mpsc};
use webrtc_util::conn::Conn;
use webrtc_util::{Error, KeyingMaterialExporter as _};

use super::identity::{self, Identity};
use super::records::Records;

/// Datagrams that wait for the crate; what is more is lost, as on a network.
const MAX_WAITING: usize = 64;
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// Longest record that we read: one datagram.
const RECORD_BYTES: usize = 2_048;

/// Whether a datagram is DTLS's (RFC 7983 section 7).
#[must_use]
pub fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// How a handshake is to go.
#[derive(Clone, Debug)]
pub struct Terms {
    /// SRTP profiles that are offered, or accepted as the server, the most preferred first. None: no `use_srtp`.
    pub profiles: Vec<SrtpCryptoSuite>,
    /// Cipher suites; none for those of the crate.
    pub cipher_suites: Vec<CipherSuiteId>,
    /// Whether extended master secret (RFC 7627) is required; otherwise it is not even offered.
    pub extended_master_secret: bool,
    /// Longest handshake fragment, in bytes: small ones split a ClientHello over many records.
    pub mtu: usize,
    /// Time after which a flight is sent again.
    pub resend_after: Duration,
    /// Time that it may take.
    pub within: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            profiles: vec![SrtpCryptoSuite::AeadAes128Gcm],
            cipher_suites: Vec::new(),
            extended_master_secret: true,
            mtu: 1_200,
            resend_after: Duration::from_millis(400),
            within: Duration::from_secs(10),
        }
    }
}

const fn profile_of(suite: SrtpCryptoSuite) -> SrtpProtectionProfile {
    match suite {
        SrtpCryptoSuite::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpCryptoSuite::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        SrtpCryptoSuite::AesCm128HmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        SrtpCryptoSuite::AesCm128HmacSha1_32 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
    }
}

const fn suite_of(profile: SrtpProtectionProfile) -> Option<SrtpCryptoSuite> {
    match profile {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Some(SrtpCryptoSuite::AeadAes128Gcm),
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Some(SrtpCryptoSuite::AeadAes256Gcm),
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Some(SrtpCryptoSuite::AesCm128HmacSha1_80),
        _ => None,
    }
}

/// The crate's verifiers ask for the process's cipher library, and panic when two are compiled in and none was chosen.
fn choose_ciphers() {
    static ONCE: Once = Once::new();
    // Fails only if the library has been chosen already.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

impl Terms {
    fn config(&self, identity: &Identity, client: bool) -> Config {
        let extended_master_secret = match self.extended_master_secret {
            true => ExtendedMasterSecretType::Require,
            false => ExtendedMasterSecretType::Disable,
        };
        Config {
            certificates: vec![identity.certificate.clone()],
            cipher_suites: self.cipher_suites.clone(),
            srtp_protection_profiles: self.profiles.iter().copied().map(profile_of).collect(),
            client_auth: if client { ClientAuthType::NoClientCert } else { ClientAuthType::RequireAnyClientCert },
            extended_master_secret,
            flight_interval: self.resend_after,
            // No authority vouches for the certificates of WebRTC: their fingerprints count.
            insecure_skip_verify: true,
            server_name: "corecast".into(),
            mtu: self.mtu,
            ..Config::default()
        }
    }
}

/// What the crate believes to be a socket: it sends on ours, and gets what our reader takes for DTLS.
struct Pipe {
    socket: Arc<UdpSocket>,
    waiting: Mutex<mpsc::Receiver<Vec<u8>>>,
}

#[async_trait]
impl Conn for Pipe {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        // The crate's reader tries again at once after an error, so the end of everything must look like silence.
        let Some(datagram) = self.waiting.lock().await.recv().await else { return std::future::pending().await };
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        Ok((self.recv(buffer).await?, self.socket.peer_addr()?))
    }

    async fn send(&self, buffer: &[u8]) -> Result<usize, Error> {
        // What the socket does not take is lost, as on a network; a flight is sent again.
        Ok(self.socket.send(buffer).unwrap_or(buffer.len()))
    }

    async fn send_to(&self, buffer: &[u8], _: SocketAddr) -> Result<usize, Error> {
        self.send(buffer).await
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

/// Keys of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// With which we seal.
    pub local: SrtpParameters,
    /// With which the other side seals.
    pub remote: SrtpParameters,
}

/// An association that is to be: hand [`Self::feed`] what arrives while [`Self::shake`] runs.
pub struct Handshake {
    pipe: Pipe,
    feed: Feed,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

/// Where datagrams of DTLS are handed in.
#[derive(Clone, Debug)]
pub struct Feed(mpsc::Sender<Vec<u8>>);

impl Feed {
    /// Hands one in, without waiting.
    pub fn take(&self, datagram: &[u8]) {
        // Full or closed: lost.
        let _ = self.0.try_send(datagram.to_vec());
    }
}

/// An association.
pub struct Association {
    connection: DTLSConn,
    /// Where its datagrams are handed in.
    pub(super) feed: Feed,
    /// SRTP keys; none if no profile was chosen.
    pub(super) keys: Option<Keys>,
    /// The other side's certificate in DER.
    pub(super) certificate: Vec<u8>,
    /// We are the client.
    client: bool,
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Handshake {
    /// Over a connected, non-blocking socket.
    #[must_use]
    pub fn over(socket: Arc<UdpSocket>) -> Self {
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        Self { pipe: Pipe { socket, waiting: Mutex::new(waiting) }, feed: Feed(sender) }
    }

    /// Where to hand in what arrives.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Does it, as client or server. The other side's certificate must have one of `fingerprints`; with none, any will
    /// do.
    ///
    /// # Errors
    /// It fails or takes too long, or the certificate is another one.
    pub async fn shake(
        self,
        identity: &Identity,
        client: bool,
        terms: &Terms,
        fingerprints: &[String],
    ) -> anyhow::Result<Association> {
        choose_ciphers();
        let shaking = DTLSConn::new(Arc::new(self.pipe), terms.config(identity, client), client, None);
        let connection = match tokio::time::timeout(terms.within, shaking).await {
            Ok(done) => done.context("DTLS handshake")?,
            Err(_) => bail!("the DTLS handshake is not done within {:?}", terms.within),
        };
        let state = connection.connection_state().await;
        let certificate = state.peer_certificates.first().cloned().context("the other side has no certificate")?;
        if !fingerprints.is_empty() && !fingerprints.iter().any(|announced| identity::matches(&certificate, announced))
        {
            bail!("the certificate is not the one that was announced");
        }
        let keys = match suite_of(connection.selected_srtpprotection_profile()) {
            None => None,
            Some(suite) => {
                let len = 2 * suite.key_and_salt_len();
                let material = state.export_keying_material(EXPORTER_LABEL, &[], len).await;
                Some(split(suite, &material.context("SRTP keys")?, client)?)
            }
        };
        Ok(Association { connection, feed: self.feed, keys, certificate, client })
    }
}

/// RFC 5764 section 4.2: client's key, server's key, client's salt, server's salt.
fn split(suite: SrtpCryptoSuite, material: &[u8], client: bool) -> anyhow::Result<Keys> {
    let salt_len = if suite == SrtpCryptoSuite::AesCm128HmacSha1_80 { 14 } else { 12 };
    let key_len = suite.key_and_salt_len().checked_sub(salt_len).context("salt")?;
    let (keys, salts) = material.split_at_checked(2 * key_len).context("too little key material")?;
    let (client_key, server_key) = keys.split_at(key_len);
    let (client_salt, server_salt) = salts.split_at_checked(salt_len).context("too little key material")?;
    let of = |key: &[u8], salt: &[u8]| SrtpParameters { suite, key_and_salt: [key, salt].concat() };
    let (clients, servers) = (of(client_key, client_salt), of(server_key, server_salt));
    Ok(if client { Keys { local: clients, remote: servers } } else { Keys { local: servers, remote: clients } })
}

impl Association {
    /// Returns when the other side has closed it, or it has failed. What it sends as application data is dropped.
    pub async fn ended(&self) {
        let mut record = vec![0; RECORD_BYTES];
        while self.connection.read(&mut record, None).await.is_ok() {}
    }

    /// Records of application data, for a loop without a runtime. Its cipher suite must be
    /// [`SUITE`](super::records::SUITE), which is all that the terms may have allowed.
    ///
    /// # Errors
    /// The crate does not tell its secrets.
    pub(super) async fn records(&self) -> anyhow::Result<Records> {
        let secrets = self.connection.connection_state().await.key_log_data().context("secrets of DTLS")?;
        Records::new(&secrets, self.client)
    }

    /// Says that we are leaving (`close_notify`).
    pub async fn close(&self) {
        // It fails if it is closed already.
        let _ = self.connection.close().await;
    }
}

/// The first datagram that a client sends.
///
/// # Errors
/// It sends none.
pub fn client_hello(identity: &Identity, terms: &Terms) -> anyhow::Result<Vec<u8>> {
    choose_ciphers();
    let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    ours.connect(theirs.local_addr()?)?;
    theirs.connect(ours.local_addr()?)?;
    ours.set_nonblocking(true)?;
    theirs.set_read_timeout(Some(terms.within))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handshake = Handshake::over(Arc::new(ours));
    // Nobody answers: it has sent its hello by then.
    let alone = Terms { within: Duration::from_millis(100), ..terms.clone() };
    let shaken = runtime.block_on(handshake.shake(identity, true, &alone, &[]));
    anyhow::ensure!(shaken.is_err(), "a handshake with nobody");
    let mut hello = vec![0; RECORD_BYTES];
    let len = theirs.recv(&mut hello)?;
    hello.truncate(len);
    Ok(hello)
}
