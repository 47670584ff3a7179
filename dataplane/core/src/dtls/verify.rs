//! Who signed the handshake: dimpl's verifier, and beside it, for clients of ours as the server, keys of RSA, and in
//! DTLS 1.2 those on the curves P-521 and P-224 (the latter of servers, too). Other curves are not taken.

use super::signing::Keys;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
    VerificationAlgorithm,
};
use dimpl::crypto::{
    CryptoProvider, HashAlgorithm, NamedGroup, SignatureAlgorithm, SignatureVerifier, aws_lc_rs as defaults,
};
use dimpl::{CryptoError, CryptoOperation};
use p224::ecdsa::signature::hazmat::PrehashVerifier;
use p224::ecdsa::{DerSignature, VerifyingKey};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::spki::ObjectIdentifier;

/// The curve P-224, on which FFmpeg with GnuTLS draws its key (RFC 5480 section 2.1.1.1).
const SECP224R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
/// The curve P-521 (as above).
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const P224: NamedGroup = NamedGroup::Secp224r1;
const P521: NamedGroup = NamedGroup::Secp521r1;
/// A key for RSA (RFC 8017 appendix A.1).
pub(super) const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// What is signed in DTLS 1.3 begins with this (RFC 8446 section 4.4.3), and in DTLS 1.2 with the type of a message.
const BEFORE_1_3: [u8; 64] = [0x20; 64];

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
        if algorithm == SignatureAlgorithm::RSA {
            return verify_rsa(certificate, data, signature, hash);
        }
        let known = defaults::default_provider().signature_verification;
        match known.verify_signature(certificate, data, signature, hash, algorithm) {
            Err(CryptoError::UnsupportedEcCurve) => verify_ecdsa(certificate, data, signature, hash),
            result => result,
        }
    }
}

/// A signature by RSA, with PKCS #1 v1.5 in DTLS 1.2 (RFC 5246 section 4.7), with PSS in DTLS 1.3 (RFC 8446 section
/// 4.2.3). Keys of 2,048 to 8,192 bits are taken.
fn verify_rsa(certificate: &[u8], data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
    let certificate = read(certificate)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    if key.algorithm.oid != RSA_ENCRYPTION {
        return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
    }
    let algorithm: &dyn VerificationAlgorithm = match (data.starts_with(&BEFORE_1_3), hash) {
        (false, HashAlgorithm::SHA256) => &RSA_PKCS1_2048_8192_SHA256,
        (false, HashAlgorithm::SHA384) => &RSA_PKCS1_2048_8192_SHA384,
        (true, HashAlgorithm::SHA256) => &RSA_PSS_2048_8192_SHA256,
        (true, HashAlgorithm::SHA384) => &RSA_PSS_2048_8192_SHA384,
        _ => return Err(CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::RSA)),
    };
    let key = key.subject_public_key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
    let refused = |_| CryptoError::OperationFailed(CryptoOperation::VerifySignature);
    UnparsedPublicKey::new(algorithm, key).verify(data, signature).map_err(refused)
}

fn read(certificate: &[u8]) -> Result<Certificate, CryptoError> {
    Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)
}

/// A signature by ECDSA. dimpl has seen that the certificate has a key of that kind, on a curve that it does not know.
fn verify_ecdsa(certificate: &[u8], data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
    let certificate = read(certificate)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let key = key.subject_public_key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
    let (holds, group) = match (curve, hash) {
        (Some(SECP521R1), HashAlgorithm::SHA256) => (on_p521(&ECDSA_P521_SHA256_ASN1, key, data, signature), P521),
        (Some(SECP521R1), HashAlgorithm::SHA384) => (on_p521(&ECDSA_P521_SHA384_ASN1, key, data, signature), P521),
        (Some(SECP224R1), HashAlgorithm::SHA256) => (on_p224(&digest::SHA256, key, data, signature), P224),
        (Some(SECP224R1), HashAlgorithm::SHA384) => (on_p224(&digest::SHA384, key, data, signature), P224),
        _ => return Err(CryptoError::UnsupportedEcCurve),
    };
    let refused = CryptoError::SignatureVerificationFailed { signature: SignatureAlgorithm::ECDSA, hash, group };
    if holds { Ok(()) } else { Err(refused) }
}

fn on_p521(algorithm: &'static EcdsaVerificationAlgorithm, key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(data, signature).is_ok()
}

/// aws-lc-rs has no signatures on this curve. Nothing here is secret.
fn on_p224(hash: &'static digest::Algorithm, key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    let (key, signature) = (VerifyingKey::from_sec1_bytes(key), DerSignature::try_from(signature));
    let hashed = digest::digest(hash, data);
    key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify_prehash(hashed.as_ref(), &signature).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:…`, and `openssl dgst -sign` of
    /// [`SIGNED`].
    const ON_P521: &[u8] = include_bytes!("testdata/secp521r1.der");
    const ON_P224: &[u8] = include_bytes!("testdata/secp224r1.der");
    const ON_SECP256K1: &[u8] = include_bytes!("testdata/secp256k1.der");
    const SIGNED: &[u8] = b"signed";

    /// `openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=client -outform der`, and one of 1,024 bits, of which
    /// nothing is taken.
    const RSA: &[u8] = include_bytes!("testdata/rsa.der");
    const SMALL_RSA: &[u8] = include_bytes!("testdata/rsa1024.der");

    fn verify_by_rsa(
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
    ) -> Result<(), CryptoError> {
        Verifier.verify_signature(certificate, data, signature, hash, SignatureAlgorithm::RSA)
    }

    fn verify(certificate: &[u8], data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
        Verifier.verify_signature(certificate, data, signature, hash, SignatureAlgorithm::ECDSA)
    }

    #[test]
    fn a_key_on_p521_is_taken_and_a_wrong_signature_is_not() {
        let of_sha256: &[u8] = include_bytes!("testdata/secp521r1.sha256.sig");
        let of_sha384: &[u8] = include_bytes!("testdata/secp521r1.sha384.sig");
        assert_eq!(verify(ON_P521, SIGNED, of_sha256, HashAlgorithm::SHA256), Ok(()));
        assert_eq!(verify(ON_P521, SIGNED, of_sha384, HashAlgorithm::SHA384), Ok(()));
        for (data, hash) in [(&b"Signed"[..], HashAlgorithm::SHA256), (SIGNED, HashAlgorithm::SHA384)] {
            let refused = verify(ON_P521, data, of_sha256, hash);
            assert!(matches!(refused, Err(CryptoError::SignatureVerificationFailed { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_key_on_p224_is_taken_and_a_wrong_signature_is_not() {
        let signature: &[u8] = include_bytes!("testdata/secp224r1.sha256.sig");
        assert_eq!(verify(ON_P224, SIGNED, signature, HashAlgorithm::SHA256), Ok(()));
        let cut = &signature[..signature.len() - 1];
        for (data, signature, hash) in [
            (&b"Signed"[..], signature, HashAlgorithm::SHA256),
            (SIGNED, signature, HashAlgorithm::SHA384),
            (SIGNED, cut, HashAlgorithm::SHA256),
            (SIGNED, &[], HashAlgorithm::SHA256),
            (SIGNED, include_bytes!("testdata/secp521r1.sha256.sig"), HashAlgorithm::SHA256),
        ] {
            let refused = verify(ON_P224, data, signature, hash);
            assert!(matches!(refused, Err(CryptoError::SignatureVerificationFailed { .. })), "{refused:?}");
        }
    }

    #[test]
    fn other_curves_and_what_is_no_certificate_are_refused() {
        let signature = include_bytes!("testdata/secp256k1.sha256.sig");
        let refused = verify(ON_SECP256K1, SIGNED, signature, HashAlgorithm::SHA256);
        assert_eq!(refused, Err(CryptoError::UnsupportedEcCurve));
        assert!(verify(&ON_P521[..200], SIGNED, signature, HashAlgorithm::SHA256).is_err());
    }

    #[test]
    fn a_key_of_rsa_signs_with_pkcs1_in_1_2_and_with_pss_in_1_3() {
        let of_sha256: &[u8] = include_bytes!("testdata/rsa.sha256.sig");
        let of_sha384: &[u8] = include_bytes!("testdata/rsa.sha384.sig");
        // openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32
        let pss: &[u8] = include_bytes!("testdata/rsa.pss.sha256.sig");
        let in_1_3 = [&BEFORE_1_3[..], SIGNED].concat();
        assert_eq!(verify_by_rsa(RSA, SIGNED, of_sha256, HashAlgorithm::SHA256), Ok(()));
        assert_eq!(verify_by_rsa(RSA, SIGNED, of_sha384, HashAlgorithm::SHA384), Ok(()));
        assert_eq!(verify_by_rsa(RSA, &in_1_3, pss, HashAlgorithm::SHA256), Ok(()));
        let refused = Err(CryptoError::OperationFailed(CryptoOperation::VerifySignature));
        for (data, signature, hash) in [
            (&b"Signed"[..], of_sha256, HashAlgorithm::SHA256),
            (SIGNED, of_sha256, HashAlgorithm::SHA384),
            (SIGNED, &of_sha256[..255], HashAlgorithm::SHA256),
            (SIGNED, &[][..], HashAlgorithm::SHA256),
            (SIGNED, pss, HashAlgorithm::SHA256),
            (&in_1_3, of_sha256, HashAlgorithm::SHA256),
            (&in_1_3, pss, HashAlgorithm::SHA384),
        ] {
            assert_eq!(verify_by_rsa(RSA, data, signature, hash), refused);
        }
    }

    #[test]
    fn short_keys_of_rsa_other_hashes_and_other_keys_are_refused() {
        let signature: &[u8] = include_bytes!("testdata/rsa1024.sha256.sig");
        assert!(verify_by_rsa(SMALL_RSA, SIGNED, signature, HashAlgorithm::SHA256).is_err());
        let of_sha256: &[u8] = include_bytes!("testdata/rsa.sha256.sig");
        for hash in [HashAlgorithm::SHA1, HashAlgorithm::SHA512, HashAlgorithm::MD5] {
            let refused = Err(CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::RSA));
            assert_eq!(verify_by_rsa(RSA, SIGNED, of_sha256, hash), refused);
        }
        let refused = Err(CryptoError::UnsupportedPublicKeyAlgorithm);
        assert_eq!(verify_by_rsa(ON_P521, SIGNED, of_sha256, HashAlgorithm::SHA256), refused);
        assert!(verify(RSA, SIGNED, of_sha256, HashAlgorithm::SHA256).is_err());
    }
}
