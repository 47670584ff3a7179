//! A peer of our own for attacks: ICE by hand, DTLS by dimpl, SRTP by the machine's own sealer. It has credentials and
//! keys, and no manners. (Those who behave are str0m's: [`crate::webrtc::Peer`].) What the machine sends it is among
//! what [`Bench`] calls astray, and is taken from there.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use corecast_core::srtp::Sealer;
use corecast_core::stun::{Class, Password, Writer, attribute};
use corecast_wire::{
    DtlsState, DtlsVersions, Fingerprint, FingerprintAlgorithm, RouterId, SrtpCryptoSuite, SrtpParameters,
};
use dimpl::{Dtls, DtlsCertificate, Output, SrtpProfile};

use crate::webrtc::{Bench, address};

/// Rounds of a handshake; an honest one takes three.
const MAX_ROUNDS: usize = 20;
/// Room for one datagram of a handshake.
const MTU_BYTES: usize = 1_150;

/// An ICE check, or what passes for one: `fragment` is the receiver's. Nominates if `nominate`.
///
/// # Panics
/// Never: a check has room.
#[must_use]
pub fn message(class: Class, fragment: &str, password: &str, nominate: bool) -> Vec<u8> {
    let mut out = [0; 256];
    let mut writer = Writer::new(&mut out, class, 1, b"transaction!").expect("room");
    writer.push(attribute::USERNAME, format!("{fragment}:theirs").as_bytes()).expect("room");
    writer.push(attribute::ICE_CONTROLLING, &[7; 8]).expect("room");
    writer.push(attribute::PRIORITY, &100_u32.to_be_bytes()).expect("room");
    if nominate {
        writer.push(attribute::USE_CANDIDATE, &[]).expect("room");
    }
    writer.push_integrity(&Password::new(password)).expect("room");
    writer.push_fingerprint().expect("room");
    let len = writer.len();
    out[..len].to_vec()
}

/// A certificate of its own.
///
/// # Panics
/// If none can be made.
#[must_use]
pub fn certificate() -> DtlsCertificate {
    let made = rcgen::generate_simple_self_signed(Vec::new()).expect("a certificate");
    DtlsCertificate { certificate: made.cert.der().to_vec(), private_key: made.signing_key.serialize_der() }
}

/// SHA-256 of a certificate, as it would be announced.
#[must_use]
pub fn fingerprint(certificate: &DtlsCertificate) -> Fingerprint {
    let hash = digest::digest(&digest::SHA256, &certificate.certificate);
    Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value: hash.as_ref().to_vec() }
}

/// A peer of our own.
pub struct BarePeer {
    /// Number of its transport.
    pub number: u8,
    /// Where it is.
    pub address: SocketAddr,
    engine: Dtls,
    /// What its outgoing DTLS datagrams are turned into.
    pub mangle: fn(Vec<u8>) -> Vec<u8>,
    /// Its key and the machine's, when there are any.
    pub keys: Option<(SrtpParameters, SrtpParameters)>,
    sealer: Option<Sealer>,
    client: bool,
    /// How many checks it sends at once: where the machine begins in 1.3 its hello takes what several have brought.
    checks: usize,
    /// What has come that is neither STUN nor DTLS.
    pub media: Vec<Vec<u8>>,
    /// Every DTLS datagram that it has sent.
    pub sent: Vec<Vec<u8>>,
    /// Explicit nonces of the machine's DTLS 1.2 records.
    pub heard_nonces: Vec<[u8; 8]>,
    application_data: Vec<Vec<u8>>,
}

impl std::fmt::Debug for BarePeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BarePeer").field("number", &self.number).field("address", &self.address).finish_non_exhaustive()
    }
}

impl BarePeer {
    /// The peer of a transport that exists, or will.
    ///
    /// # Panics
    /// If dimpl refuses.
    #[must_use]
    pub fn new(bench: &Bench, number: u8, client: bool, version: DtlsVersions, certificate: DtlsCertificate) -> Self {
        let config =
            Arc::new(dimpl::Config::builder().mtu(MTU_BYTES).use_server_cookie(false).build().expect("lawful"));
        let at = bench.started + bench.now;
        let mut engine = match version {
            DtlsVersions::V12 => Dtls::new_12(config, certificate, at),
            DtlsVersions::V13 => Dtls::new_13(config, certificate, at),
            DtlsVersions::Both => Dtls::new_auto(config, certificate, at),
        };
        engine.set_active(client);
        Self {
            number,
            address: address(number + 10, 6_000),
            engine,
            mangle: |datagram| datagram,
            keys: None,
            sealer: None,
            client,
            checks: if version == DtlsVersions::V13 && !client { 5 } else { 1 },
            media: Vec::new(),
            sent: Vec::new(),
            heard_nonces: Vec::new(),
            application_data: Vec::new(),
        }
    }

    /// One that is connected by DTLS 1.2 as the client, in a room of its choice.
    ///
    /// # Panics
    /// If the machine refuses.
    pub fn join(bench: &mut Bench, router: RouterId, number: u8) -> Self {
        let certificate = certificate();
        bench.create_transport(router, number);
        bench.connect(number, true, vec![fingerprint(&certificate)]);
        let mut peer = Self::new(bench, number, true, DtlsVersions::V12, certificate);
        peer.check(bench);
        peer.handshake(bench);
        assert_eq!(bench.state_of(number.into()).1, DtlsState::Connected);
        assert!(peer.keys.is_some());
        peer
    }

    /// Checks with the right password that nominate their path.
    pub fn check(&mut self, bench: &mut Bench) {
        for _ in 0..self.checks {
            self.check_once(bench);
        }
    }

    fn check_once(&self, bench: &mut Bench) {
        let ice = Bench::ice_of(self.number);
        bench.inject(self.address, &message(Class::Request, &ice.username_fragment, &ice.password, true));
    }

    /// What the machine has sent here since the last time; STUN is thrown away.
    pub fn arrived(&mut self, bench: &mut Bench) -> Vec<Vec<u8>> {
        let here = |(to, _): &mut (SocketAddr, Vec<u8>)| *to == self.address;
        let arrived: Vec<_> = bench.astray.extract_if(.., here).map(|(_, datagram)| datagram).collect();
        let (media, rest): (Vec<_>, Vec<_>) = arrived.into_iter().partition(|datagram| datagram[0] >= 128);
        self.media.extend(media);
        let dtls: Vec<_> = rest.into_iter().filter(|datagram| datagram[0] >= 20).collect();
        dtls.iter().for_each(|datagram| self.note_nonces(datagram));
        dtls
    }

    fn note_nonces(&mut self, datagram: &[u8]) {
        let mut rest = datagram;
        while let Some((head, behind)) = rest.split_first_chunk::<13>() {
            let len = usize::from(u16::from_be_bytes([head[11], head[12]]));
            let (record, behind) = behind.split_at(len.min(behind.len()));
            if let (1, Some(nonce)) = (u16::from_be_bytes([head[3], head[4]]), record.first_chunk()) {
                self.heard_nonces.push(*nonce);
            }
            rest = behind;
        }
    }

    /// Application data of the machine that has come.
    pub fn take_application_data(&mut self, bench: &Bench) -> Vec<Vec<u8>> {
        let _ = self.speak(bench);
        std::mem::take(&mut self.application_data)
    }

    /// What DTLS has to say now.
    ///
    /// # Panics
    /// If dimpl exports a key of a profile that does not exist.
    pub fn speak(&mut self, bench: &Bench) -> Vec<Vec<u8>> {
        let at = bench.started + bench.now;
        let mut outgoing = Vec::new();
        if self.engine.handle_timeout(at).is_err() {
            return outgoing;
        }
        let mut room = [0; 2_048];
        loop {
            match self.engine.poll_output(&mut room) {
                Output::Packet(packet) => outgoing.push((self.mangle)(packet.to_vec())),
                Output::KeyingMaterial(secret, profile) => {
                    let (client, server) = split(&secret, profile);
                    let (own, other) = if self.client { (client, server) } else { (server, client) };
                    self.sealer = Some(Sealer::new(&own).expect("a key of the right length"));
                    self.keys = Some((own, other));
                }
                Output::ApplicationData(data) => self.application_data.push(data.to_vec()),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        self.sent.extend(outgoing.iter().cloned());
        outgoing
    }

    /// The datagrams that carry application data.
    ///
    /// # Panics
    /// If it is not connected.
    pub fn protect(&mut self, bench: &Bench, data: &[u8]) -> Vec<Vec<u8>> {
        let accepted = self.engine.send_application_data(data).expect("connected");
        assert_eq!(accepted, data.len());
        self.speak(bench)
    }

    /// Gives back the memory of what it has kept of its own datagrams.
    pub fn forget_what_was_sent(&mut self) {
        (self.sent, self.heard_nonces) = (Vec::new(), Vec::new());
    }

    /// Takes in a DTLS datagram.
    pub fn hear(&mut self, bench: &Bench, datagram: &[u8]) {
        // What the machine says cannot be wrong unless we were; then it is of no interest.
        let _ =
            self.engine.handle_timeout(bench.started + bench.now).and_then(|()| self.engine.handle_packet(datagram));
    }

    /// Exchanges datagrams with the machine until neither has anything to say.
    pub fn handshake(&mut self, bench: &mut Bench) {
        for _ in 0..MAX_ROUNDS {
            for datagram in self.arrived(bench) {
                self.hear(bench, &datagram);
            }
            let outgoing = self.speak(bench);
            if outgoing.is_empty() {
                return;
            }
            for datagram in outgoing {
                bench.inject(self.address, &datagram);
            }
        }
    }

    /// The sealer under its key.
    ///
    /// # Panics
    /// If there is no key.
    pub fn sealer(&mut self) -> &mut Sealer {
        self.sealer.as_mut().expect("connected")
    }

    /// SRTP of a header and a payload.
    ///
    /// # Panics
    /// If there is no key, or no whole header.
    #[must_use]
    pub fn seal(&self, header: &[u8], index: u64, payload: &[u8]) -> Vec<u8> {
        let sealer = self.sealer.as_ref().expect("connected");
        let ssrc = u32::from_be_bytes(*header[8..].first_chunk().expect("a header"));
        let mut packet = header.to_vec();
        packet.resize(header.len() + payload.len() + sealer.rtp_overhead(), 0);
        sealer.seal_rtp(ssrc, index, &mut packet, header.len(), payload).expect("lengths that add up");
        packet
    }

    /// SRTP without extensions.
    #[must_use]
    pub fn rtp(&self, ssrc: u32, payload_type: u8, index: u64, payload: &[u8]) -> Vec<u8> {
        self.seal(&header(0x80, ssrc, payload_type, index, &[]), index, payload)
    }

    /// SRTCP of a compound.
    ///
    /// # Panics
    /// If there is no key, or no compound.
    pub fn rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        let sealer = self.sealer();
        let mut packet = compound.to_vec();
        packet.resize(compound.len() + sealer.rtcp_overhead(), 0);
        let len = sealer.seal_rtcp(&mut packet, compound.len()).expect("lengths that add up");
        packet.truncate(len);
        packet
    }
}

/// An RTP header: first byte, then as said, then whatever follows the fixed part.
#[must_use]
pub fn header(first: u8, ssrc: u32, payload_type: u8, index: u64, rest: &[u8]) -> Vec<u8> {
    let [.., high, low] = index.to_be_bytes();
    let timestamp = [0, 0, high, low];
    [&[first, payload_type, high, low], &timestamp[..], &ssrc.to_be_bytes(), rest].concat()
}

/// The client's and the server's part of what DTLS exports (RFC 5764 section 4.2).
fn split(secret: &[u8], profile: SrtpProfile) -> (SrtpParameters, SrtpParameters) {
    let (suite, key) = match profile {
        SrtpProfile::AEAD_AES_128_GCM => (SrtpCryptoSuite::AeadAes128Gcm, 16),
        SrtpProfile::AEAD_AES_256_GCM => (SrtpCryptoSuite::AeadAes256Gcm, 32),
        SrtpProfile::AES128_CM_SHA1_80 => (SrtpCryptoSuite::AesCm128HmacSha1_80, 16),
        _ => panic!("{profile:?}"),
    };
    let salt = suite.key_and_salt_len() - key;
    let of = |side: usize| {
        let (keys, salts) = secret.split_at(2 * key);
        [&keys[side * key..][..key], &salts[side * salt..][..salt]].concat()
    };
    (SrtpParameters { suite, key_and_salt: of(0) }, SrtpParameters { suite, key_and_salt: of(1) })
}
