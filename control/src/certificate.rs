//! The server's identity for WebRTC clients: a self-signed certificate, new at each start of corecast, and its
//! fingerprint.
//!
//! The key is on P-256 (RFC 8827 section 6.5). Clients check neither names nor dates, only the fingerprint that stands
//! in an answer (RFC 8122).

use aws_lc_rs::digest;
use corecast_wire::{Fingerprint, FingerprintAlgorithm};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};

/// A certificate, in DER, with its key. Every worker has the same.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    /// The key, in PKCS #8 DER.
    pub(crate) private_key: Vec<u8>,
}

impl std::fmt::Debug for Certificate {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Certificate {
    /// A new certificate.
    pub(crate) fn draw() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "corecast");
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { der: certificate.der().to_vec(), private_key: key.serialize_der() })
    }

    /// SHA-256 of the certificate.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let value = digest::digest(&digest::SHA256, &self.der).as_ref().to_vec();
        Fingerprint { algorithm: FingerprintAlgorithm::Sha256, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_a_certificate_of_its_own() {
        let (one, other) = (Certificate::draw().expect("draws"), Certificate::draw().expect("draws"));
        assert_eq!(one.fingerprint().value.len(), 32);
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert!(!format!("{one:?}").contains("private_key"));
    }
}
