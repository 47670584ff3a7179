//! SRTP keys as they stand in JSON (mediasoup's `srtpParameters`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::HttpError;

const SUITES: [SrtpCryptoSuite; 3] =
    [SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80];
/// Where none is named, as mediasoup has it.
const DEFAULT: SrtpCryptoSuite = SrtpCryptoSuite::AesCm128HmacSha1_80;

/// `{ cryptoSuite, keyBase64 }`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct SrtpJson {
    /// "AEAD_AES_256_GCM", "AEAD_AES_128_GCM" or "AES_CM_128_HMAC_SHA1_80".
    crypto_suite: String,
    /// Key, then salt.
    key_base64: String,
}

impl std::fmt::Debug for SrtpJson {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpJson").field("crypto_suite", &self.crypto_suite).finish_non_exhaustive()
    }
}

impl SrtpJson {
    pub(super) fn of(parameters: &SrtpParameters) -> Self {
        Self { crypto_suite: parameters.suite.name().into(), key_base64: STANDARD.encode(&parameters.key_and_salt) }
    }

    /// The remote side's key; it must be of `suite` if that is settled.
    pub(super) fn read(&self, suite: Option<SrtpCryptoSuite>) -> Result<SrtpParameters, HttpError> {
        let named = suite_named("srtpParameters.cryptoSuite", &self.crypto_suite)?;
        if let Some(suite) = suite.filter(|suite| *suite != named) {
            let cause = format!("is {}, but the transport was made for {}", named.name(), suite.name());
            return Err(HttpError::field("srtpParameters.cryptoSuite", cause));
        }
        let wrong = |cause: String| HttpError::field("srtpParameters.keyBase64", cause);
        let key_and_salt =
            STANDARD.decode(&self.key_base64).map_err(|error| wrong(format!("is not Base64: {error}")))?;
        let expected = named.key_and_salt_len();
        if key_and_salt.len() != expected {
            let got = key_and_salt.len();
            return Err(wrong(format!("is {got} bytes long; {} takes {expected} (key, then salt)", named.name())));
        }
        Ok(SrtpParameters { suite: named, key_and_salt })
    }
}

/// The suite of that name, or the default.
pub(super) fn suite(name: Option<&str>) -> Result<SrtpCryptoSuite, HttpError> {
    name.map_or(Ok(DEFAULT), |name| suite_named("srtpCryptoSuite", name))
}

fn suite_named(field: &str, name: &str) -> Result<SrtpCryptoSuite, HttpError> {
    SUITES.into_iter().find(|suite| suite.name() == name).ok_or_else(|| {
        let names = SUITES.map(SrtpCryptoSuite::name).join(", ");
        HttpError::field(field, format!("{name:?} must be one of {names}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for suite in SUITES {
            let key = SrtpParameters { suite, key_and_salt: vec![7; suite.key_and_salt_len()] };
            assert_eq!(SrtpJson::of(&key).read(Some(suite)), Ok(key));
        }
    }

    #[test]
    fn wrong_keys_are_named() {
        let read = |suite: &str, key: &str, of| {
            SrtpJson { crypto_suite: suite.into(), key_base64: key.into() }.read(of).expect_err("wrong").to_string()
        };
        assert!(read("AEAD_AES_128_GCM", "AAAA", None).contains("is 3 bytes long; AEAD_AES_128_GCM takes 28"));
        assert!(read("AEAD_AES_128_GCM", "*", None).contains("srtpParameters.keyBase64"));
        assert!(read("DES", "", None).contains("srtpParameters.cryptoSuite"));
        let key = STANDARD.encode([0; 28]);
        assert!(read("AEAD_AES_128_GCM", &key, Some(SrtpCryptoSuite::AeadAes256Gcm)).contains("made for"));
    }
}
