//! What an error of the library means to an operator.

use corecast_wire::DtlsFailure;
use dimpl::{CryptoError, Error, SecurityError};

/// The cause of a handshake's failure.
pub(super) fn failure_of(error: &Error) -> DtlsFailure {
    match error {
        Error::CertificateError(_) => DtlsFailure::Certificate,
        Error::CryptoError(error) => of_crypto(error),
        Error::SecurityError(error) => of_security(error),
        Error::Timeout(_) => DtlsFailure::Timeout,
        _ => DtlsFailure::Protocol,
    }
}

fn of_crypto(error: &CryptoError) -> DtlsFailure {
    match error {
        CryptoError::UnsupportedPublicKeyAlgorithm
        | CryptoError::UnsupportedEcCurve
        | CryptoError::CertificateParseFailed
        | CryptoError::MissingEcCurveParameter
        | CryptoError::InvalidEcCurveParameter
        | CryptoError::InvalidSubjectPublicKey
        | CryptoError::InvalidSignatureFormat
        | CryptoError::SignatureVerificationFailed { .. }
        | CryptoError::SignatureAlgorithmMismatch { .. }
        | CryptoError::UnsupportedSignatureAlgorithm(_)
        | CryptoError::UnsupportedSignaturePair { .. }
        | CryptoError::UnsupportedSignatureVerification { .. } => DtlsFailure::Certificate,
        CryptoError::NoSupportedKeyExchangeGroups
        | CryptoError::KeyExchangeGroupNotFound(_)
        | CryptoError::UnsupportedKeyExchangeGroup(_)
        | CryptoError::UnsupportedEcdheNamedGroup(_)
        | CryptoError::UnsupportedCipherSuite(_)
        | CryptoError::SignatureAlgorithmNotOfferedByClient => DtlsFailure::Negotiation,
        _ => DtlsFailure::Protocol,
    }
}

fn of_security(error: &SecurityError) -> DtlsFailure {
    match error {
        SecurityError::UnsupportedServerVersion(_)
        | SecurityError::UnsupportedClientVersion(_)
        | SecurityError::UnsupportedKeyExchangeAlgorithm
        | SecurityError::ServerSelectedUnknownCipherSuite
        | SecurityError::ServerSelectedIncompatibleCipherSuite(_)
        | SecurityError::ServerSelectedDisallowedCipherSuite(_)
        | SecurityError::ServerSelectedDisallowedDtls13CipherSuite(_)
        | SecurityError::ExtendedMasterSecretNotNegotiated
        | SecurityError::NoMutuallyAcceptableCipherSuite
        | SecurityError::ClientHelloMissingDtls13SupportedVersions
        | SecurityError::NoCommonCipherSuite
        | SecurityError::NoCommonKeyExchangeGroup
        | SecurityError::ServerDidNotNegotiateDtls13
        | SecurityError::UnsupportedSignatureScheme(_)
        | SecurityError::SignatureSchemeNotOffered(_) => DtlsFailure::Negotiation,
        SecurityError::SignatureAlgorithmMismatch { .. }
        | SecurityError::SignatureSchemeCertificateCurveMismatch { .. } => DtlsFailure::Certificate,
        SecurityError::FatalAlert { .. } => DtlsFailure::Alert,
        _ => DtlsFailure::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use dimpl::CertificateError;

    use super::*;

    #[test]
    fn errors_are_told_apart() {
        for (error, failure) in [
            (Error::CertificateError(CertificateError::NoClientCertificateReceived), DtlsFailure::Certificate),
            (Error::CryptoError(CryptoError::UnsupportedPublicKeyAlgorithm), DtlsFailure::Certificate),
            (Error::CryptoError(CryptoError::InvalidNonce), DtlsFailure::Protocol),
            (Error::SecurityError(SecurityError::NoMutuallyAcceptableCipherSuite), DtlsFailure::Negotiation),
            (Error::SecurityError(SecurityError::FatalAlert { description: 42 }), DtlsFailure::Alert),
            (Error::SecurityError(SecurityError::ClientFinishedVerificationFailed), DtlsFailure::Protocol),
            (Error::RenegotiationAttempt, DtlsFailure::Protocol),
        ] {
            assert_eq!(failure_of(&error), failure, "{error}");
        }
    }
}
