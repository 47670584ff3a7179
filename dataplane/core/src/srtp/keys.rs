//! Session keys from a master key (RFC 3711 section 4.3.1, RFC 6188 for 32-byte keys, RFC 7714 section 11).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};

use super::cipher::{CM_SHORT_TAG_BYTES, CM_TAG_BYTES, Cipher};
use super::error::KeyError;

/// What a session key is for (RFC 3711 sections 4.3.1 and 4.3.2).
#[derive(Clone, Copy)]
enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Labels of one of the two protocols.
struct Labels {
    encryption: Label,
    authentication: Label,
    salt: Label,
}

const RTP: Labels =
    Labels { encryption: Label::RtpEncryption, authentication: Label::RtpAuthentication, salt: Label::RtpSalt };
const RTCP: Labels =
    Labels { encryption: Label::RtcpEncryption, authentication: Label::RtcpAuthentication, salt: Label::RtcpSalt };

/// The ciphers for RTP and for RTCP that a master key stands for.
pub(super) fn derive(parameters: &SrtpParameters) -> Result<(Cipher, Cipher), KeyError> {
    let suite = parameters.suite;
    let expected = suite.key_and_salt_len();
    let given = parameters.key_and_salt.len();
    let wrong_length = KeyError::Length { suite: suite.name(), expected, given };
    if given != expected {
        return Err(wrong_length);
    }
    let key_len = match suite {
        SrtpCryptoSuite::AeadAes256Gcm => 32,
        SrtpCryptoSuite::AeadAes128Gcm
        | SrtpCryptoSuite::AesCm128HmacSha1_80
        | SrtpCryptoSuite::AesCm128HmacSha1_32 => 16,
    };
    let (key, salt) = parameters.key_and_salt.split_at_checked(key_len).ok_or(wrong_length)?;
    let master = MasterKey::new(key, salt)?;
    // RTCP has the long tag in either case (RFC 5764 section 4.1.2).
    let rtp_tag = match suite {
        SrtpCryptoSuite::AesCm128HmacSha1_32 => CM_SHORT_TAG_BYTES,
        _ => CM_TAG_BYTES,
    };
    Ok((cipher(suite, &master, &RTP, rtp_tag)?, cipher(suite, &master, &RTCP, CM_TAG_BYTES)?))
}

/// The cipher of one protocol; `cm_tag_bytes` where it has HMAC.
fn cipher(
    suite: SrtpCryptoSuite,
    master: &MasterKey,
    labels: &Labels,
    cm_tag_bytes: usize,
) -> Result<Cipher, KeyError> {
    match suite {
        SrtpCryptoSuite::AeadAes128Gcm => {
            let key: [u8; 16] = master.session_key(labels.encryption)?;
            Cipher::gcm(&key, master.session_key(labels.salt)?)
        }
        SrtpCryptoSuite::AeadAes256Gcm => {
            let key: [u8; 32] = master.session_key(labels.encryption)?;
            Cipher::gcm(&key, master.session_key(labels.salt)?)
        }
        SrtpCryptoSuite::AesCm128HmacSha1_80 | SrtpCryptoSuite::AesCm128HmacSha1_32 => {
            let key: [u8; 16] = master.session_key(labels.encryption)?;
            let authentication: [u8; 20] = master.session_key(labels.authentication)?;
            Cipher::cm(&key, &authentication, master.session_key(labels.salt)?, cm_tag_bytes)
        }
    }
}

/// The pseudo-random function of RFC 3711 section 4.3.3, keyed.
struct MasterKey {
    prf: EncryptingKey,
    /// Salt as the function wants it: followed by zeros. RFC 7714 section 11 pads its 12 bytes at the same end.
    salt: [u8; 16],
}

impl MasterKey {
    fn new(key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
        let key = UnboundCipherKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        let mut padded = [0; 16];
        padded.get_mut(..salt.len()).ok_or(KeyError::Refused)?.copy_from_slice(salt);
        Ok(Self { prf: EncryptingKey::ctr(key).map_err(|_| KeyError::Refused)?, salt: padded })
    }

    /// With a key derivation rate of 0 the label is all that is mixed in, at byte 7 of the salt.
    fn session_key<const N: usize>(&self, label: Label) -> Result<[u8; N], KeyError> {
        let mut iv = self.salt;
        iv[7] ^= label as u8;
        let mut key = [0; N];
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.prf.less_safe_encrypt(&mut key, context).map_err(|_| KeyError::Refused)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    /// RFC 3711 appendix B.3.
    #[test]
    fn derives_the_session_keys_of_rfc_3711() {
        let master =
            MasterKey::new(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &hex("0EC675AD498AFEEBB6960B3AABE6")).unwrap();
        let key: [u8; 16] = master.session_key(Label::RtpEncryption).unwrap();
        assert_eq!(key, *hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let salt: [u8; 14] = master.session_key(Label::RtpSalt).unwrap();
        assert_eq!(salt, *hex("30CBBC08863D8C85D49DB34A9AE1"));
        let authentication: [u8; 94] = master.session_key(Label::RtpAuthentication).unwrap();
        let expected = hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578E\
                            F72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F\
                            34DB60DBDFB2");
        assert_eq!(authentication.as_slice(), expected);
    }

    /// RFC 6188 section 7.2, the key derivation of 32-byte keys.
    #[test]
    fn derives_the_session_keys_of_rfc_6188() {
        let master = MasterKey::new(
            &hex("F0F04914B513F2763A1B1FA130F10E2998F6F6E43E4309D1E622A0E332B9F1B6"),
            &hex("3B04803DE51EE7C96423AB5B78D2"),
        )
        .unwrap();
        let key: [u8; 32] = master.session_key(Label::RtpEncryption).unwrap();
        assert_eq!(key, *hex("5BA1064E30EC51613CAD926C5A28EF731EC7FB397F70A960653CAF06554CD8C4"));
        let salt: [u8; 14] = master.session_key(Label::RtpSalt).unwrap();
        assert_eq!(salt, *hex("FA31791685CA444A9E07C6C64E93"));
    }

    #[test]
    fn says_which_length_a_key_should_have() {
        for suite in crate::srtp::tests::SUITES {
            let expected = suite.key_and_salt_len();
            for given in (0..64).filter(|given| *given != expected) {
                let error = derive(&SrtpParameters { suite, key_and_salt: vec![0; given] }).err();
                assert_eq!(error, Some(KeyError::Length { suite: suite.name(), expected, given }));
            }
            assert!(derive(&SrtpParameters { suite, key_and_salt: vec![0; expected] }).is_ok());
        }
    }
}
