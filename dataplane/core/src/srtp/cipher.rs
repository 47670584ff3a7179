//! The two ciphers, over session keys: AES-GCM (RFC 7714) and AES in counter mode with HMAC-SHA1 (RFC 3711 section 4).
//!
//! Both take the nonce apart the same way: salt, SSRC and index. Key schedules are computed once, when the key comes.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::error::{KeyError, OpenError, SealError};

/// Bytes of a GCM tag (RFC 7714 section 13.1).
pub(super) const GCM_TAG_BYTES: usize = 16;
/// Bytes of a truncated HMAC-SHA1 tag (RFC 3711 section 4.2), and where it is a short one (RFC 5764 section 4.1.2).
pub(super) const CM_TAG_BYTES: usize = 10;
pub(super) const CM_SHORT_TAG_BYTES: usize = 4;

/// Session keys of one protocol, RTP or RTCP, in one direction.
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    // Boxed: its contexts are a kilobyte.
    Cm(Box<CounterMode>),
}

/// Session keys of `AES_CM_128_HMAC_SHA1_80` and `AES_CM_128_HMAC_SHA1_32`.
pub(super) struct CounterMode {
    key: EncryptingKey,
    salt: [u8; 14],
    /// Both pads are already hashed in; a packet starts from a copy.
    authentication: hmac::Key,
    tag_bytes: usize,
}

impl Cipher {
    /// AES-GCM under a session key of 16 or 32 bytes.
    pub(super) fn gcm(key: &[u8], salt: [u8; 12]) -> Result<Self, KeyError> {
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        Ok(Self::Gcm { key: LessSafeKey::new(key), salt })
    }

    /// AES-CM and HMAC-SHA1 under session keys, with tags of so many bytes.
    pub(super) fn cm(
        key: &[u8; 16],
        authentication: &[u8; 20],
        salt: [u8; 14],
        tag_bytes: usize,
    ) -> Result<Self, KeyError> {
        let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| KeyError::Refused)?;
        Ok(Self::Cm(Box::new(CounterMode {
            key: EncryptingKey::ctr(key).map_err(|_| KeyError::Refused)?,
            salt,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            tag_bytes,
        })))
    }

    /// Bytes of the tag.
    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG_BYTES,
            Self::Cm(cipher) => cipher.tag_bytes,
        }
    }
}

/// Nonce of RFC 7714 sections 8.1 and 9.1: both layouts are the SSRC followed by the index in 48 bits.
pub(super) fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let plain = u128::from(ssrc) << 48 | u128::from(index);
    let [_, _, _, _, salted @ ..] = (u128::from_be_bytes(widen(salt)) ^ plain).to_be_bytes();
    Nonce::assume_unique_for_key(salted)
}

/// Salt as the low 96 bits of 128.
const fn widen(salt: &[u8; 12]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *salt;
    [0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l]
}

/// Seals out of place with AES-GCM. `tag` must be as long as a tag.
pub(super) fn gcm_seal(
    key: &LessSafeKey,
    nonce: Nonce,
    associated: &[u8],
    plain: &[u8],
    sealed: &mut [u8],
    tag: &mut [u8],
) -> Result<(), SealError> {
    key.seal_out_of_place_scatter(nonce, Aad::from(associated), plain, sealed, &[], tag).map_err(|_| SealError::Refused)
}

/// Seals in place with AES-GCM. `tag` must be as long as a tag.
pub(super) fn gcm_seal_in_place(
    key: &LessSafeKey,
    nonce: Nonce,
    associated: &[u8],
    data: &mut [u8],
    tag: &mut [u8],
) -> Result<(), SealError> {
    key.seal_in_place_scatter(nonce, Aad::from(associated), data, &[], tag).map_err(|_| SealError::Refused)
}

/// Opens out of place with AES-GCM. `out` must be as long as `sealed`.
pub(super) fn gcm_open(
    key: &LessSafeKey,
    nonce: Nonce,
    associated: &[u8],
    sealed: &[u8],
    tag: &[u8],
    out: &mut [u8],
) -> Result<(), OpenError> {
    key.open_separate_gather(nonce, Aad::from(associated), sealed, tag, out)
        .map_err(|_| OpenError::AuthenticationFailed)
}

impl CounterMode {
    /// Encrypts or decrypts in place: RFC 3711 section 4.1.1, the counter in the low 16 bits.
    pub(super) fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), SealError> {
        // The counter would run into the index, and the key stream repeat (RFC 3711 section 4.1.1).
        if data.len() > 16 << 16 {
            return Err(SealError::Length);
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = self.salt;
        let salt = u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, 0, 0]);
        let iv = salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        let context = EncryptionContext::Iv128(FixedLength::from(iv.to_be_bytes()));
        self.key.less_safe_encrypt(data, context).map(|_| ()).map_err(|_| SealError::Refused)
    }

    /// The tag over the concatenation of `parts` (RFC 3711 section 4.2), not yet truncated.
    pub(super) fn tag(&self, parts: [&[u8]; 3]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.authentication);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }

    /// Writes the truncated tag over `parts` into `tag`.
    pub(super) fn write_tag(&self, parts: [&[u8]; 3], tag: &mut [u8]) -> Result<(), SealError> {
        let full = self.tag(parts);
        tag.copy_from_slice(full.as_ref().get(..tag.len()).ok_or(SealError::Length)?);
        Ok(())
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, parts: [&[u8]; 3], tag: &[u8]) -> Result<(), OpenError> {
        let full = self.tag(parts);
        let expected = full.as_ref().get(..self.tag_bytes).ok_or(OpenError::AuthenticationFailed)?;
        verify_slices_are_equal(expected, tag).map_err(|_| OpenError::AuthenticationFailed)
    }
}
