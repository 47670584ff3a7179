//! One transport's DTLS association (RFC 6347, RFC 9147), and the SRTP keys that come of it (RFC 5764).
//!
//! Owns the state of the handshake; the protocol itself is dimpl's. Never sees a datagram from a path that ICE has not
//! validated, and lets no key out before the certificate's fingerprint has been checked (RFC 8122 section 5).
//!
//! The randomness and the handshake bytes are the library's: they are the one part of the machine that differs from run
//! to run. (A simulation may fix the timers' jitter: [`crate::Config::handshake_seed`].)

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use corecast_wire::{
    DtlsFailure, DtlsParameters, DtlsRole, DtlsVersions, Fingerprint, FingerprintAlgorithm, SrtpCryptoSuite,
    SrtpParameters, WebRtcConfig,
};
use dimpl::{Output, ProtocolVersion, SrtpProfile};

use failures::failure_of;

use crate::limits::{
    DTLS_MTU_BYTES, HANDSHAKE_RESTART_INTERVAL, HANDSHAKE_TIMEOUT, MAX_DTLS_BYTES, MAX_HANDSHAKE_RESTARTS,
    MAX_HELLO_RECORDS, MAX_QUEUED_RECORDS_12, MAX_QUEUED_RECORDS_13, MAX_RECORDS_PER_DATAGRAM,
};
use crate::time::{Instant, SystemInstant};
use records::{HelloPart, Records};
use trouble::Trouble;

mod failures;
mod records;
mod signing;
mod trouble;
mod verify;

/// Time after which a flight is sent again for the first time; it doubles (RFC 9147 section 5.8.2).
const FLIGHT_TIMEOUT: Duration = Duration::from_millis(100);
/// Times that one flight is sent again.
const FLIGHT_RETRIES: usize = 7;

/// Bytes of a hello of ours in 1.2, at most. No more than three times what came may leave, and the shortest check is 80
/// bytes.
const HELLO_BYTES: usize = 240;
/// Longest certificate that is told: a chain of any length verifies, but one event fits one frame.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1_024;

/// Has the cipher library gather the randomness that it begins with. The first call in a process takes some 25 ms: to
/// be made while nobody waits.
pub fn gather_randomness() {
    // If there is none, who needs it is told so.
    let _ = aws_lc_rs::rand::fill(&mut [0]);
}

/// What all associations of a worker share.
#[derive(Debug)]
pub(crate) struct Identity {
    config: Arc<dimpl::Config>,
    certificate: dimpl::DtlsCertificate,
    versions: DtlsVersions,
    started: SystemInstant,
    max_data_records: u32,
}

impl Identity {
    /// `seed` as in [`crate::Config::handshake_seed`]; a key of DTLS 1.2 protects so many records of application data.
    pub(crate) fn new(
        webrtc: &WebRtcConfig,
        started: SystemInstant,
        seed: Option<u64>,
        max_data_records: u32,
    ) -> Option<Self> {
        let queue = match webrtc.dtls_versions {
            DtlsVersions::V12 => MAX_QUEUED_RECORDS_12,
            DtlsVersions::V13 | DtlsVersions::Both => MAX_QUEUED_RECORDS_13,
        };
        let mut config = dimpl::Config::builder()
            .mtu(DTLS_MTU_BYTES)
            .max_queue_rx(queue)
            .with_crypto_provider(verify::provider())
            // With cookies a forged hello on a validated path would hold up the honest one: the library keeps state.
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_TIMEOUT)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT);
        if let Some(seed) = seed {
            config = config.dangerously_set_rng_seed(seed);
        }
        let certificate =
            dimpl::DtlsCertificate { certificate: webrtc.certificate.clone(), private_key: webrtc.private_key.clone() };
        let (config, versions) = (Arc::new(config.build().ok()?), webrtc.dtls_versions);
        Some(Self { config, certificate, versions, started, max_data_records })
    }

    fn at(&self, now: Instant) -> SystemInstant {
        self.started + Duration::from_nanos(now.as_nanos())
    }

    fn engine(&self, role: DtlsRole, now: Instant) -> dimpl::Dtls {
        let (config, certificate, now) = (Arc::clone(&self.config), self.certificate.clone(), self.at(now));
        let begins = role == DtlsRole::Client;
        let mut engine = match self.versions {
            DtlsVersions::V12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersions::V13 => dimpl::Dtls::new_13(config, certificate, now),
            // The hello would be one of 1.3, for which several checks must have come.
            DtlsVersions::Both if begins => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersions::Both => dimpl::Dtls::new_auto(config, certificate, now),
        };
        engine.set_active(begins);
        engine
    }

    /// Bytes of our first datagram, if we begin, at most: the library pads a hello of 1.3 to the longest datagram.
    pub(crate) const fn hello_bytes(&self) -> usize {
        match self.versions {
            DtlsVersions::V12 | DtlsVersions::Both => HELLO_BYTES,
            DtlsVersions::V13 => DTLS_MTU_BYTES,
        }
    }
}

/// What a handshake has come to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Keys for both directions. The fingerprint has been checked.
    Connected(Box<Keys>),
    /// Why there will be none, also in words.
    Failed(DtlsFailure, String),
    /// The other side has closed.
    Closed,
}

/// The keys of an association.
#[derive(Debug)]
pub(crate) struct Keys {
    /// With which we send.
    local: SrtpParameters,
    /// With which the other side sends.
    remote: SrtpParameters,
    /// For the operator: version and suite.
    detail: String,
    /// The other side's certificate in DER, unless it is very long.
    certificate: Vec<u8>,
}

impl Keys {
    /// Keys of our side, keys of the other side, what was agreed, in words, and the other side's certificate.
    pub(crate) fn into_parts(self) -> (SrtpParameters, SrtpParameters, String, Vec<u8>) {
        (self.local, self.remote, self.detail, self.certificate)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come or gone.
    Idle,
    Handshake,
    Connected,
    /// Failed or closed: for good.
    Over,
}

/// An association.
#[derive(Debug)]
pub(crate) struct Dtls {
    /// Made when the handshake begins: it costs as much time as all the rest of a transport. `None` also after an error
    /// until the handshake begins again, and once it is over: the memory of a failed handshake must not wait for its
    /// transport to be closed.
    engine: Option<dimpl::Dtls>,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    state: State,
    verified: bool,
    /// What was verified, until the handshake is over.
    certificate: Vec<u8>,
    secret: Option<(dimpl::KeyingMaterial, SrtpProfile)>,
    /// Times that the handshake has begun again, and when it last did.
    restarts: u8,
    restarted: Instant,
    /// As the server: records of a hello that the library has taken in.
    hello_records: u8,
    /// As the server: what was wrong with the last handshake that came to nothing, while another one may come.
    last_failure: Option<DtlsFailure>,
    /// Something has been sent.
    has_spoken: bool,
    /// What the handshake has stumbled over, and whether that is still to be told.
    trouble: Option<Trouble>,
    has_news: bool,
    /// See [`Self::take_authentic`].
    authentic: bool,
    deadline: Option<Instant>,
    /// Application data that has come since the last time that it was taken.
    received: VecDeque<Vec<u8>>,
    /// Records of application data that the key may still protect.
    data_records_left: u32,
    /// So many of DTLS 1.2.
    max_data_records: u32,
    /// When the library wants to be called.
    due: Option<Instant>,
}

impl Dtls {
    /// Takes the role that the remote side has left.
    pub(crate) fn new(identity: &Identity, remote: &DtlsParameters, now: Instant) -> Self {
        let role = match remote.role {
            DtlsRole::Client => DtlsRole::Server,
            DtlsRole::Server => DtlsRole::Client,
        };
        Self {
            engine: None,
            role,
            fingerprints: remote.fingerprints.clone(),
            state: State::Idle,
            verified: false,
            certificate: Vec::new(),
            secret: None,
            restarts: 0,
            restarted: now,
            hello_records: 0,
            last_failure: None,
            has_spoken: false,
            trouble: None,
            has_news: false,
            authentic: false,
            deadline: None,
            received: VecDeque::new(),
            data_records_left: 0,
            max_data_records: identity.max_data_records,
            due: None,
        }
    }

    /// Nothing has come or gone yet.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether a datagram may be the first: as the server, a hello. As the client we begin ourselves.
    pub(crate) fn may_begin_with(&self, datagram: &[u8]) -> bool {
        !self.is_client() && HelloPart::of(datagram) == HelloPart::Beginning && datagram.len() <= MAX_DTLS_BYTES
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.state == State::Handshake
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// We begin.
    pub(crate) fn is_client(&self) -> bool {
        self.role == DtlsRole::Client
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match (self.due, self.deadline) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        }
    }

    fn begin(&mut self, identity: &Identity, now: Instant) {
        if self.state == State::Idle {
            self.state = State::Handshake;
            self.engine = Some(identity.engine(self.role, now));
            self.deadline.get_or_insert(now + HANDSHAKE_TIMEOUT);
        }
    }

    /// Forgets the handshake, which may begin again as if for the first time. Its time goes on.
    pub(crate) fn put_off(&mut self) {
        if self.state == State::Handshake {
            self.state = State::Idle;
            (self.engine, self.due, self.secret, self.verified) = (None, None, None, false);
            (self.has_spoken, self.hello_records) = (false, 0);
        }
    }

    /// As the client: says hello.
    pub(crate) fn start(&mut self, identity: &Identity, now: Instant, send: &mut dyn FnMut(&[u8])) -> Option<Outcome> {
        self.begin(identity, now);
        let result = self.engine.as_mut()?.handle_timeout(identity.at(now));
        self.proceed(identity, now, result, send)
    }

    /// Whether an authenticated record has come since the last call, after the handshake: application data, or the
    /// other side's last flight again, to which ours is the answer.
    pub(crate) const fn take_authentic(&mut self) -> bool {
        std::mem::replace(&mut self.authentic, false)
    }

    /// Takes in a datagram from a validated path.
    pub(crate) fn handle_datagram(
        &mut self,
        identity: &Identity,
        now: Instant,
        datagram: &[u8],
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<Outcome> {
        if datagram.len() > MAX_DTLS_BYTES {
            return None;
        }
        self.begin(identity, now);
        let result = self.engine.as_mut().map_or(Ok(()), |engine| engine.handle_timeout(identity.at(now)));
        let mut outcome = self.proceed(identity, now, result, send);
        // What a timer said answers nothing.
        self.authentic = false;
        // One by one: the library queues what comes together as one, however much that is, until it is polled.
        for record in Records(datagram).take(MAX_RECORDS_PER_DATAGRAM) {
            if let Some(description) = records::fatal_alert(record) {
                self.stumble(Trouble::Alert(description));
            }
            if outcome.is_none() && records::is_lawful(record) && self.admits(identity, now, record) {
                let result = self.engine.as_mut().map_or(Ok(()), |engine| engine.handle_packet(record));
                outcome = self.proceed(identity, now, result, send);
            }
        }
        outcome
    }

    /// Whether a record is of use. A server that has not answered waits for a hello, whole or in its parts, and for
    /// nothing else. One that begins takes the place of one that has begun, which it would be put together with.
    fn admits(&mut self, identity: &Identity, now: Instant, record: &[u8]) -> bool {
        if self.state != State::Handshake || self.is_client() || self.has_spoken {
            return true;
        }
        let part = HelloPart::of(record);
        let is_due = match part {
            HelloPart::Beginning if self.hello_records == 0 && self.engine.is_some() => true,
            HelloPart::Beginning => self.begin_again(identity, now),
            HelloPart::Rest => (1..MAX_HELLO_RECORDS).contains(&self.hello_records),
            HelloPart::None => false,
        };
        self.hello_records += u8::from(is_due);
        is_due
    }

    /// As the server: forgets what has come. Not as often as anybody likes, since it costs more than a datagram does.
    fn begin_again(&mut self, identity: &Identity, now: Instant) -> bool {
        if self.restarts >= MAX_HANDSHAKE_RESTARTS && now < self.restarted + HANDSHAKE_RESTART_INTERVAL {
            return false;
        }
        let mut engine = identity.engine(self.role, now);
        let is_ready = engine.handle_timeout(identity.at(now)).is_ok();
        self.engine = Some(engine);
        (self.restarts, self.restarted) = (self.restarts.saturating_add(1), now);
        (self.verified, self.secret, self.hello_records) = (false, None, 0);
        is_ready
    }

    /// Sends again what was lost, and gives up at the deadline.
    pub(crate) fn handle_timeout(
        &mut self,
        identity: &Identity,
        now: Instant,
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<Outcome> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            // The library says nothing of a hello that it can do nothing with.
            let is_refused = self.hello_records > 0 && !self.has_spoken;
            let unsaid = if is_refused { DtlsFailure::Negotiation } else { DtlsFailure::Timeout };
            let failure = self.last_failure.take().unwrap_or(unsaid);
            let why = match &self.trouble {
                Some(trouble) => format!(": {trouble}"),
                None if is_refused => ": nothing in the hello is common".to_owned(),
                None => String::new(),
            };
            return Some(self.fail(failure, &format!("the handshake took too long{why}")));
        }
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let result = self.engine.as_mut()?.handle_timeout(identity.at(now));
        self.proceed(identity, now, result, send)
    }

    /// Whether application data may be sent: there are keys, and they may protect more than a farewell.
    pub(crate) fn can_send_data(&self) -> bool {
        self.state == State::Connected && self.data_records_left > 1
    }

    /// Protects and sends application data: one record, in a datagram of its own.
    pub(crate) fn send_data(
        &mut self,
        identity: &Identity,
        now: Instant,
        data: &[u8],
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<Outcome> {
        if self.state != State::Connected || self.data_records_left == 0 || data.is_empty() {
            return None;
        }
        if self.data_records_left < u32::MAX {
            self.data_records_left -= 1;
        }
        let engine = self.engine.as_mut()?;
        let result = engine.handle_timeout(identity.at(now)).and_then(|()| engine.send_application_data(data));
        self.proceed(identity, now, result.map(drop), send)
    }

    /// Application data that has come, in order: what one record held.
    pub(crate) fn take_data(&mut self) -> Option<Vec<u8>> {
        self.received.pop_front()
    }

    /// Says goodbye (close_notify), once.
    pub(crate) fn close(&mut self, identity: &Identity, now: Instant, send: &mut dyn FnMut(&[u8])) {
        if self.state == State::Connected
            && let Some(engine) = &mut self.engine
            && engine.handle_timeout(identity.at(now)).is_ok()
        {
            let _ = engine.close();
            self.drain(identity, now, send);
        }
        self.end();
    }

    /// Ends the association and frees what it has kept.
    fn end(&mut self) {
        self.state = State::Over;
        (self.engine, self.due, self.deadline, self.secret) = (None, None, None, None);
        self.trouble = None;
    }

    /// Sends what the library has to send, and reads what it has to tell. Nobody can say who caused an
    /// error in a handshake: any datagram of the path may have, so a server waits for a better hello until the deadline
    /// (a bad ClientHello must not end a call: CVE-2023-51275).
    fn proceed(
        &mut self,
        identity: &Identity,
        now: Instant,
        result: Result<(), dimpl::Error>,
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<Outcome> {
        let outcome = self.drain(identity, now, send);
        if outcome.is_some() {
            return outcome;
        }
        let error = result.err()?;
        if self.state == State::Handshake && !self.is_client() {
            let certificate = if self.verified { self.certificate.as_slice() } else { &[] };
            self.stumble(Trouble::of(&error, certificate));
            (self.engine, self.due, self.has_spoken) = (None, None, false);
            self.last_failure = Some(failure_of(&error));
            return None;
        }
        Some(self.fail(failure_of(&error), &error.to_string()))
    }

    /// Notes what the handshake has stumbled over, if that says more than what is known.
    fn stumble(&mut self, trouble: Trouble) {
        if self.state == State::Handshake && self.trouble.as_ref().is_none_or(|known| trouble.outdoes(known)) {
            (self.trouble, self.has_news) = (Some(trouble), true);
        }
    }

    /// What the handshake has stumbled over since the last call, in words. It may yet come to a good end.
    pub(crate) fn take_trouble(&mut self) -> Option<String> {
        let news = std::mem::take(&mut self.has_news) && self.state == State::Handshake;
        self.trouble.as_ref().filter(|_| news).map(ToString::to_string)
    }

    fn fail(&mut self, failure: DtlsFailure, cause: &str) -> Outcome {
        self.end();
        Outcome::Failed(failure, cause.to_owned())
    }

    fn drain(&mut self, identity: &Identity, now: Instant, send: &mut dyn FnMut(&[u8])) -> Option<Outcome> {
        let mut room = [0; MAX_DTLS_BYTES];
        let mut outcome = None;
        let mut connected = false;
        loop {
            match self.engine.as_mut()?.poll_output(&mut room) {
                Output::Packet(packet) => {
                    self.has_spoken = true;
                    self.authentic |= self.state == State::Connected;
                    send(packet);
                }
                Output::PeerCert(certificate) => {
                    if !self.fingerprints.iter().any(|fingerprint| matches(fingerprint, certificate)) {
                        let cause = "the certificate has another fingerprint than was announced";
                        return Some(self.fail(DtlsFailure::Fingerprint, cause));
                    }
                    self.verified = true;
                    self.certificate =
                        if certificate.len() <= MAX_CERTIFICATE_BYTES { certificate.to_vec() } else { Vec::new() };
                }
                Output::KeyingMaterial(secret, profile) => self.secret = Some((secret, profile)),
                Output::Connected => connected = true,
                Output::CloseNotify => outcome = Some(Outcome::Closed),
                Output::Timeout(at) => {
                    let nanos = at.saturating_duration_since(identity.started).as_nanos();
                    let at = Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                    // One that is far away is no timer at all: an idle association costs nothing.
                    self.due = Some(at).filter(|at| at.since(now) <= HANDSHAKE_TIMEOUT);
                    break;
                }
                // There is room for what any datagram holds. If there were not, the library would say so for ever.
                Output::BufferTooSmall { .. } => {
                    return Some(self.fail(DtlsFailure::Protocol, "a record is longer than a datagram"));
                }
                // Nobody knows whose it is before the certificate has been checked.
                Output::ApplicationData(data) if self.verified => {
                    self.authentic |= self.state == State::Connected;
                    if self.received.len() < MAX_RECORDS_PER_DATAGRAM {
                        self.received.push_back(data.to_vec());
                    }
                }
                _ => {}
            }
        }
        if matches!(outcome, Some(Outcome::Closed)) {
            self.end();
        } else if connected && self.state == State::Handshake {
            outcome = Some(self.connected());
        }
        outcome
    }

    fn connected(&mut self) -> Outcome {
        if !self.verified {
            return self.fail(DtlsFailure::Certificate, "the other side showed no certificate");
        }
        let Some((secret, profile)) = self.secret.take() else {
            let cause = "the other side offered no SRTP profile that we have (use_srtp)";
            return self.fail(DtlsFailure::SrtpProfile, cause);
        };
        let Some((client, server)) = split(&secret, profile) else {
            return self.fail(DtlsFailure::Protocol, "the keying material is of the wrong length");
        };
        let (local, remote) = if self.is_client() { (client, server) } else { (server, client) };
        self.state = State::Connected;
        (self.deadline, self.trouble) = (None, None);
        let (version, records) = match self.engine.as_ref().and_then(dimpl::Dtls::protocol_version) {
            // The library changes its keys in time (RFC 9147 section 4.5.3).
            Some(ProtocolVersion::DTLS1_3) => ("DTLS 1.3", u32::MAX),
            _ => ("DTLS 1.2", self.max_data_records),
        };
        self.data_records_left = records;
        let detail = format!("{version}, {}", local.suite.name());
        let certificate = std::mem::take(&mut self.certificate);
        Outcome::Connected(Box::new(Keys { local, remote, detail, certificate }))
    }
}

/// Whether a certificate has this fingerprint. In constant time, though nothing secret is compared.
fn matches(fingerprint: &Fingerprint, certificate: &[u8]) -> bool {
    let algorithm = match fingerprint.algorithm {
        FingerprintAlgorithm::Sha256 => &digest::SHA256,
        FingerprintAlgorithm::Sha384 => &digest::SHA384,
        FingerprintAlgorithm::Sha512 => &digest::SHA512,
    };
    let found = digest::digest(algorithm, certificate);
    constant_time::verify_slices_are_equal(found.as_ref(), &fingerprint.value).is_ok()
}

/// The client's and the server's key with its salt. The exported block is client key, server key, client salt, server
/// salt (RFC 5764 section 4.2).
fn split(secret: &[u8], profile: SrtpProfile) -> Option<(SrtpParameters, SrtpParameters)> {
    let (suite, key_len) = match profile {
        SrtpProfile::AEAD_AES_128_GCM => (SrtpCryptoSuite::AeadAes128Gcm, 16),
        SrtpProfile::AEAD_AES_256_GCM => (SrtpCryptoSuite::AeadAes256Gcm, 32),
        SrtpProfile::AES128_CM_SHA1_80 => (SrtpCryptoSuite::AesCm128HmacSha1_80, 16),
        _ => return None,
    };
    let salt_len = suite.key_and_salt_len() - key_len;
    let (client_key, rest) = secret.split_at_checked(key_len)?;
    let (server_key, rest) = rest.split_at_checked(key_len)?;
    let (client_salt, rest) = rest.split_at_checked(salt_len)?;
    let (server_salt, _) = rest.split_at_checked(salt_len)?;
    let parameters = |key: &[u8], salt: &[u8]| SrtpParameters { suite, key_and_salt: [key, salt].concat() };
    Some((parameters(client_key, client_salt), parameters(server_key, server_salt)))
}
