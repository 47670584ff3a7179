//! Keys, and sealing for the floor: SRTP (RFC 3711, RFC 7714) with the server's cipher library and nothing around it.
//!
//! The load generator's own ends use `webrtc-srtp` instead, so that they share no protocol code with the server.

use anyhow::{Context as _, anyhow, bail};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

/// How packets are encrypted, as the command line calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Crypto {
    /// Plain RTP.
    None,
    /// AEAD_AES_128_GCM (RFC 7714).
    Gcm128,
    /// AEAD_AES_256_GCM (RFC 7714).
    Gcm256,
    /// AES_CM_128_HMAC_SHA1_80 (RFC 3711).
    Cm80,
}

impl Crypto {
    /// As the command line and the figures name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gcm128 => "gcm128",
            Self::Gcm256 => "gcm256",
            Self::Cm80 => "cm80",
        }
    }

    /// The suite as the link names it; none for plain RTP.
    #[must_use]
    pub const fn suite(self) -> Option<SrtpCryptoSuite> {
        match self {
            Self::None => None,
            Self::Gcm128 => Some(SrtpCryptoSuite::AeadAes128Gcm),
            Self::Gcm256 => Some(SrtpCryptoSuite::AeadAes256Gcm),
            Self::Cm80 => Some(SrtpCryptoSuite::AesCm128HmacSha1_80),
        }
    }

    /// A new random master key and salt; none for plain RTP.
    #[must_use]
    pub fn new_key(self) -> Option<SrtpParameters> {
        let suite = self.suite()?;
        let mut key_and_salt = vec![0; suite.key_and_salt_len()];
        rand::rng().fill_bytes(&mut key_and_salt);
        Some(SrtpParameters { suite, key_and_salt })
    }
}

const fn key_len(suite: SrtpCryptoSuite) -> usize {
    match suite {
        SrtpCryptoSuite::AeadAes256Gcm => 32,
        SrtpCryptoSuite::AeadAes128Gcm
        | SrtpCryptoSuite::AesCm128HmacSha1_80
        | SrtpCryptoSuite::AesCm128HmacSha1_32 => 16,
    }
}

fn split_key(key: &SrtpParameters) -> anyhow::Result<(&[u8], &[u8])> {
    let expected = key.suite.key_and_salt_len();
    if key.key_and_salt.len() != expected {
        bail!("an SRTP key for {} has {expected} bytes, not {}", key.suite.name(), key.key_and_salt.len());
    }
    Ok(key.key_and_salt.split_at(key_len(key.suite)))
}

/// An independent SRTP endpoint (`webrtc-srtp`), for sealing what publishers send and for opening what subscribers get.
///
/// # Errors
/// The key has the wrong length.
pub fn endpoint(key: &SrtpParameters) -> anyhow::Result<Context> {
    let (master, salt) = split_key(key)?;
    let profile = match key.suite {
        SrtpCryptoSuite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpCryptoSuite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpCryptoSuite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpCryptoSuite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    Context::new(master, salt, profile, None, None).context("SRTP key")
}

fn counter_mode(key: &[u8]) -> anyhow::Result<EncryptingKey> {
    let algorithm = if key.len() == 32 { &cipher::AES_256 } else { &cipher::AES_128 };
    let unbound = UnboundCipherKey::new(algorithm, key).map_err(|_| anyhow!("AES key of {} bytes", key.len()))?;
    EncryptingKey::ctr(unbound).map_err(|_| anyhow!("AES in counter mode"))
}

fn encrypt(key: &EncryptingKey, iv: [u8; 16], in_out: &mut [u8]) -> anyhow::Result<()> {
    key.less_safe_encrypt(in_out, EncryptionContext::Iv128(iv.into())).map(drop).map_err(|_| anyhow!("AES failed"))
}

/// RFC 3711 section 4.3: `len` bytes of session key for `label`.
fn derive(master: &[u8], salt: &[u8], label: u8, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut iv = [0; 16];
    iv[..salt.len()].copy_from_slice(salt);
    iv[7] ^= label;
    let mut out = vec![0; len];
    encrypt(&counter_mode(master)?, iv, &mut out)?;
    Ok(out)
}

/// Length of the RTP header that the floor takes for granted.
pub const HEADER_BYTES: usize = 12;

/// Seals packets under one key, without looking at more than it must.
#[derive(Debug)]
pub enum Sealer {
    /// RFC 7714.
    Gcm {
        /// Session key.
        key: LessSafeKey,
        /// Session salt.
        salt: [u8; 12],
    },
    /// RFC 3711.
    Cm {
        /// Session encryption key.
        key: Box<EncryptingKey>,
        /// Session authentication key.
        authentication: Box<hmac::Key>,
        /// Session salt.
        salt: [u8; 14],
    },
}

impl Sealer {
    /// Derives the session keys.
    ///
    /// # Errors
    /// The key has the wrong length.
    pub fn new(key: &SrtpParameters) -> anyhow::Result<Self> {
        let (master, salt) = split_key(key)?;
        let session = derive(master, salt, 0, master.len())?;
        let algorithm = match key.suite {
            SrtpCryptoSuite::AeadAes128Gcm => &aead::AES_128_GCM,
            SrtpCryptoSuite::AeadAes256Gcm => &aead::AES_256_GCM,
            SrtpCryptoSuite::AesCm128HmacSha1_32 => bail!("the load generator does not seal with short tags"),
            SrtpCryptoSuite::AesCm128HmacSha1_80 => {
                let secret = derive(master, salt, 1, 20)?;
                let authentication = Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret));
                let salt = derive(master, salt, 2, 14)?.try_into().map_err(|_| anyhow!("salt"))?;
                return Ok(Self::Cm { key: Box::new(counter_mode(&session)?), authentication, salt });
            }
        };
        let unbound = UnboundKey::new(algorithm, &session).map_err(|_| anyhow!("AES-GCM key"))?;
        let salt = derive(master, salt, 2, 12)?.try_into().map_err(|_| anyhow!("salt"))?;
        Ok(Self::Gcm { key: LessSafeKey::new(unbound), salt })
    }

    /// Bytes by which a sealed packet is longer.
    #[must_use]
    pub const fn overhead(&self) -> usize {
        match self {
            Self::Gcm { .. } => 16,
            Self::Cm { .. } => 10,
        }
    }

    /// Seals an RTP packet with a 12-byte header into `out`, which is exactly [`Self::overhead`] longer.
    ///
    /// # Errors
    /// The lengths do not fit, or the cipher fails.
    pub fn seal(&self, packet: &[u8], rollovers: u32, out: &mut [u8]) -> anyhow::Result<()> {
        let (header, payload) = packet.split_first_chunk::<HEADER_BYTES>().context("shorter than an RTP header")?;
        let (out_header, rest) = out.split_first_chunk_mut::<HEADER_BYTES>().context("no room for the header")?;
        let (out_payload, tag) = rest.split_at_mut_checked(payload.len()).context("no room for the payload")?;
        *out_header = *header;
        match self {
            Self::Gcm { key, salt } => {
                let nonce = Nonce::assume_unique_for_key(gcm_nonce(header, rollovers, salt));
                key.seal_out_of_place_scatter(nonce, Aad::from(header), payload, out_payload, &[], tag)
                    .map_err(|_| anyhow!("AES-GCM failed"))
            }
            Self::Cm { key, authentication, salt } => {
                out_payload.copy_from_slice(payload);
                encrypt(key, cm_iv(header, rollovers, salt), out_payload)?;
                let mut context = hmac::Context::with_key(authentication);
                context.update(out_header);
                context.update(out_payload);
                context.update(&rollovers.to_be_bytes());
                tag.copy_from_slice(context.sign().as_ref().get(..tag.len()).context("tag")?);
                Ok(())
            }
        }
    }
}

/// RFC 7714 section 8.1: two zero bytes, SSRC, rollover counter and sequence number, with the salt.
fn gcm_nonce(header: &[u8; HEADER_BYTES], rollovers: u32, salt: &[u8; 12]) -> [u8; 12] {
    let mut nonce = *salt;
    let index = header[8..12].iter().chain(&rollovers.to_be_bytes()).chain(&header[2..4]).copied().collect_array();
    nonce[2..].iter_mut().zip(index).for_each(|(byte, index)| *byte ^= index);
    nonce
}

/// RFC 3711 section 4.1.1: salt, SSRC and packet index, each in its place.
fn cm_iv(header: &[u8; HEADER_BYTES], rollovers: u32, salt: &[u8; 14]) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    let index = header[8..12].iter().chain(&rollovers.to_be_bytes()).chain(&header[2..4]).copied().collect_array();
    iv[4..14].iter_mut().zip(index).for_each(|(byte, index)| *byte ^= index);
    iv
}

/// Ten bytes from an iterator that has them.
trait CollectArray: Iterator<Item = u8> + Sized {
    fn collect_array(self) -> [u8; 10] {
        let mut array = [0; 10];
        array.iter_mut().zip(self).for_each(|(to, from)| *to = from);
        array
    }
}

impl<T: Iterator<Item = u8>> CollectArray for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_keys_are_those_of_rfc_3711_appendix_b_3() {
        let master = 0xE1F9_7A0D_3E01_8BE0_D64F_A32C_06DE_4139_u128.to_be_bytes();
        let salt = &0x0EC6_75AD_498A_FEEB_B696_0B3A_ABE6_u128.to_be_bytes()[2..];
        let key = derive(&master, salt, 0, 16).expect("derive");
        assert_eq!(key, 0xC61E_7A93_744F_39EE_1073_4AFE_3FF7_A087_u128.to_be_bytes());
        let session_salt = derive(&master, salt, 2, 14).expect("derive");
        assert_eq!(session_salt, 0x30CB_BC08_863D_8C85_D49D_B34A_9AE1_u128.to_be_bytes()[2..]);
        let authentication = derive(&master, salt, 1, 20).expect("derive");
        assert_eq!(authentication[..8], 0xCEBE_321F_6FF7_716B_u64.to_be_bytes());
    }

    #[test]
    fn an_independent_endpoint_opens_what_the_floor_seals() {
        for crypto in [Crypto::Gcm128, Crypto::Gcm256, Crypto::Cm80] {
            let key = crypto.new_key().expect("a suite");
            let (sealer, mut endpoint) = (Sealer::new(&key).expect("key"), endpoint(&key).expect("key"));
            for (rollovers, sequence) in [(0, 65_535_u16), (1, 0), (1, 1)] {
                let mut packet = vec![0x80, 96, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4];
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                packet.extend((0..200).map(|byte| byte as u8));
                let mut sealed = vec![0; packet.len() + sealer.overhead()];
                sealer.seal(&packet, rollovers, &mut sealed).expect("seal");
                assert_eq!(endpoint.decrypt_rtp(&sealed).expect("opens"), packet, "{crypto:?}");
            }
        }
    }
}
