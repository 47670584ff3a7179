//! Keys at work between one participant and the server: the participant's own sealing, and a tap on what the server
//! sends that opens every packet and watches that no (key, SSRC, index) protects two different ones (RFC 3711 section
//! 9.1). The cryptography is that of `webrtc-srtp`, so that the two ends of a run share none.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::consumer::{Broken, check};
use super::numbers::extend;
use super::random::fingerprint;

/// Smallest RTP packet.
const RTP_BYTES: usize = 12;
/// Smallest RTCP packet.
const RTCP_BYTES: usize = 8;

/// Second byte says RTCP (RFC 5761 section 4).
#[must_use]
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

fn context(key: &SrtpParameters) -> Context {
    let (profile, key_len) = match key.suite {
        SrtpCryptoSuite::AeadAes128Gcm => (ProtectionProfile::AeadAes128Gcm, 16),
        SrtpCryptoSuite::AeadAes256Gcm => (ProtectionProfile::AeadAes256Gcm, 32),
        SrtpCryptoSuite::AesCm128HmacSha1_80 => (ProtectionProfile::Aes128CmHmacSha1_80, 16),
        SrtpCryptoSuite::AesCm128HmacSha1_32 => (ProtectionProfile::Aes128CmHmacSha1_32, 16),
    };
    let (master_key, salt) = key.key_and_salt.split_at(key_len);
    Context::new(master_key, salt, profile, None, None).expect("a key of the right length")
}

/// One participant's side of SRTP, and the tap.
pub struct Wire {
    seal: Option<Context>,
    open: Option<Context>,
    suite: Option<SrtpCryptoSuite>,
    highest: HashMap<u32, u64>,
    protected: HashMap<(u32, u64), u64>,
    protected_rtcp: HashSet<(u32, u32)>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Wire {
    /// Keys of the participant and of the server, or plain RTP.
    #[must_use]
    pub fn new(keys: Option<&(SrtpParameters, SrtpParameters)>) -> Self {
        Self {
            seal: keys.map(|(ours, _)| context(ours)),
            open: keys.map(|(_, theirs)| context(theirs)),
            suite: keys.map(|(ours, _)| ours.suite),
            highest: HashMap::new(),
            protected: HashMap::new(),
            protected_rtcp: HashSet::new(),
        }
    }

    /// What protects it.
    #[must_use]
    pub const fn suite(&self) -> Option<SrtpCryptoSuite> {
        self.suite
    }

    /// Seals what the participant sends.
    pub fn seal(&mut self, plain: &Bytes) -> Bytes {
        match &mut self.seal {
            None => plain.clone(),
            Some(context) if is_rtcp(plain) => context.encrypt_rtcp(plain).expect("RTCP of ours"),
            Some(context) => context.encrypt_rtp(plain).expect("RTP of ours"),
        }
    }

    /// Opens what the server sends.
    ///
    /// # Errors
    /// If it cannot be opened, or its index has protected something else.
    pub fn open(&mut self, packet: &[u8]) -> Result<Bytes, Broken> {
        if is_rtcp(packet) { self.open_rtcp(packet) } else { self.open_rtp(packet) }
    }

    fn open_rtp(&mut self, packet: &[u8]) -> Result<Bytes, Broken> {
        check!(packet.len() >= RTP_BYTES, "sent {} bytes of RTP", packet.len());
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let highest = self.highest.entry(ssrc).or_insert_with(|| u64::from(sequence));
        let index = extend(*highest, sequence);
        *highest = index.max(*highest);
        let print = fingerprint(packet);
        let first = *self.protected.entry((ssrc, index)).or_insert(print);
        check!(first == print, "index {index} of SSRC {ssrc:#x} was used for two different packets");
        match &mut self.open {
            None => Ok(Bytes::copy_from_slice(packet)),
            Some(context) => context.decrypt_rtp(packet).map_err(|error| format!("RTP cannot be opened: {error}")),
        }
    }

    fn open_rtcp(&mut self, packet: &[u8]) -> Result<Bytes, Broken> {
        check!(packet.len() >= RTCP_BYTES, "sent {} bytes of RTCP", packet.len());
        let Some(context) = &mut self.open else { return Ok(Bytes::copy_from_slice(packet)) };
        // E flag and index come before the tag of AES-CM, and last with GCM (RFC 3711 section 3.4, RFC 7714 section 9).
        let behind = if self.suite == Some(SrtpCryptoSuite::AesCm128HmacSha1_80) { 10 } else { 0 };
        let trailer = packet.len().checked_sub(behind + 4).and_then(|at| packet.get(at..at + 4));
        let Some(&[a, b, c, d]) = trailer else { return Err("SRTCP without an index".to_owned()) };
        let (ssrc, index) = ([packet[4], packet[5], packet[6], packet[7]], u32::from_be_bytes([a, b, c, d]));
        check!(index >> 31 == 1, "SRTCP is not encrypted");
        check!(
            self.protected_rtcp.insert((u32::from_be_bytes(ssrc), index)),
            "SRTCP index {} was used twice",
            index & 0x7FFF_FFFF
        );
        context.decrypt_rtcp(packet).map_err(|error| format!("RTCP cannot be opened: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(suite: SrtpCryptoSuite, fill: u8) -> SrtpParameters {
        SrtpParameters { suite, key_and_salt: vec![fill; suite.key_and_salt_len()] }
    }

    #[test]
    fn the_tap_notices_an_index_that_is_used_twice() {
        for suite in
            [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80]
        {
            let mut server = Wire::new(Some(&(key(suite, 2), key(suite, 1))));
            let mut peer = Wire::new(Some(&(key(suite, 1), key(suite, 2))));
            let mut plain = vec![0x80, 96, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7, 1, 2, 3];
            let first = server.seal(&plain.clone().into());
            assert_eq!(peer.open(&first), Ok(plain.clone().into()));
            assert!(peer.open(&first).is_ok(), "byte for byte the same is allowed");
            plain[14] = 4;
            assert!(peer.open(&server.seal(&plain.into())).is_err());

            let report = Bytes::from_static(&[0x80, 201, 0, 1, 0, 0, 0, 7]);
            let sealed = server.seal(&report);
            assert_eq!(peer.open(&sealed), Ok(report));
            assert!(peer.open(&sealed).is_err(), "an SRTCP index is used once");
        }
    }
}
