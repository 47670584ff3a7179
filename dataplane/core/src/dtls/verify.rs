//! Who signed the handshake: dimpl's verifier, and beside it the curve P-521, on which a client may have its key in
//! DTLS 1.2. What else there is (RSA, other curves) is not taken, as dimpl's request for a certificate tells clients.

use super::signing::Keys;
use aws_lc_rs::signature::{ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, UnparsedPublicKey};
use dimpl::CryptoError;
use dimpl::crypto::{
    CryptoProvider, HashAlgorithm, NamedGroup, SignatureAlgorithm, SignatureVerifier, aws_lc_rs as defaults,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::spki::ObjectIdentifier;

/// The curve P-521 (RFC 5480 section 2.1.1.1).
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// dimpl's provider, or the one that was installed for the process, with our verifier and our key, read once.
pub(super) fn provider() -> CryptoProvider {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(defaults::default_provider);
    CryptoProvider { signature_verification: &Verifier, key_provider: &Keys, ..provider }
}

#[derive(Debug)]
struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let known = defaults::default_provider().signature_verification;
        match known.verify_signature(certificate, data, signature, hash, algorithm) {
            Err(CryptoError::UnsupportedEcCurve) => verify_p521(certificate, data, signature, hash),
            result => result,
        }
    }
}

/// A signature by ECDSA. dimpl has seen that the certificate has a key of that kind, on a curve that it does not know.
fn verify_p521(certificate: &[u8], data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
    let certificate = Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let algorithm = match (curve, hash) {
        (Some(SECP521R1), HashAlgorithm::SHA256) => &ECDSA_P521_SHA256_ASN1,
        (Some(SECP521R1), HashAlgorithm::SHA384) => &ECDSA_P521_SHA384_ASN1,
        _ => return Err(CryptoError::UnsupportedEcCurve),
    };
    let key = key.subject_public_key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
    let refused = |_| CryptoError::SignatureVerificationFailed {
        signature: SignatureAlgorithm::ECDSA,
        hash,
        group: NamedGroup::Secp521r1,
    };
    UnparsedPublicKey::new(algorithm, key).verify(data, signature).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:…`, and `openssl dgst -sign` of
    /// [`SIGNED`].
    const P521: &[u8] = include_bytes!("testdata/secp521r1.der");
    const P224: &[u8] = include_bytes!("testdata/secp224r1.der");
    const SIGNED: &[u8] = b"signed";

    fn verify(certificate: &[u8], data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
        Verifier.verify_signature(certificate, data, signature, hash, SignatureAlgorithm::ECDSA)
    }

    #[test]
    fn a_key_on_p521_is_taken_and_a_wrong_signature_is_not() {
        let of_sha256: &[u8] = include_bytes!("testdata/secp521r1.sha256.sig");
        let of_sha384: &[u8] = include_bytes!("testdata/secp521r1.sha384.sig");
        assert_eq!(verify(P521, SIGNED, of_sha256, HashAlgorithm::SHA256), Ok(()));
        assert_eq!(verify(P521, SIGNED, of_sha384, HashAlgorithm::SHA384), Ok(()));
        for (data, hash) in [(&b"Signed"[..], HashAlgorithm::SHA256), (SIGNED, HashAlgorithm::SHA384)] {
            let refused = verify(P521, data, of_sha256, hash);
            assert!(matches!(refused, Err(CryptoError::SignatureVerificationFailed { .. })), "{refused:?}");
        }
    }

    #[test]
    fn other_curves_and_what_is_no_certificate_are_refused() {
        let signature = include_bytes!("testdata/secp224r1.sha256.sig");
        assert_eq!(verify(P224, SIGNED, signature, HashAlgorithm::SHA256), Err(CryptoError::UnsupportedEcCurve));
        assert!(verify(&P521[..200], SIGNED, signature, HashAlgorithm::SHA256).is_err());
    }
}
