//! What a handshake has stumbled over, in words for those who ask why a session came to nothing.
//!
//! What comes in the clear anybody on the path can have written. So nothing is decided by any of this.

use std::fmt;

use dimpl::{CertificateError, Error};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::verify::RSA_ENCRYPTION;

/// Alerts by which one says that the two sides have no kind of key or signature in common (RFC 5246 section 7.2).
const WITHOUT_A_KEY: [u8; 3] = [40, 42, 43];

/// Why a handshake does not go on. What says more comes later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What the library has against it.
    Refused(String),
    /// The other side has given up, with this description (RFC 5246 section 7.2).
    Alert(u8),
    /// It has shown no certificate.
    NoCertificate,
    /// Its certificate has an RSA key, and the signature does not hold or is of a kind that is not taken.
    RsaKey,
}

impl Trouble {
    /// What the library has refused, and the certificate that it was shown before, in DER, if any.
    pub(super) fn of(error: &Error, certificate: &[u8]) -> Self {
        match error {
            Error::CryptoError(_) if has_rsa_key(certificate) => Self::RsaKey,
            Error::CertificateError(CertificateError::NoClientCertificateReceived) => Self::NoCertificate,
            error => Self::Refused(error.to_string()),
        }
    }

    /// Whether it says more than another does.
    pub(super) fn outdoes(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Refused(_) => 0,
            Self::Alert(_) => 1,
            Self::NoCertificate => 2,
            Self::RsaKey => 3,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "its part was refused ({why})"),
            Self::Alert(description) => {
                match name(*description) {
                    Some(name) => write!(f, "it gave up with the alert {name}")?,
                    None => write!(f, "it gave up with the alert {description}")?,
                }
                if WITHOUT_A_KEY.contains(description) {
                    f.write_str(", as one does that has no kind of key in common with us")?;
                }
                Ok(())
            }
            Self::NoCertificate => {
                f.write_str("it showed no certificate, as one does whose key is neither for ECDSA nor for RSA")
            }
            Self::RsaKey => f.write_str(
                "its signature by RSA was refused: keys of 2,048 to 8,192 bits are taken, with SHA-256 or SHA-384",
            ),
        }
    }
}

/// Alerts that end handshakes (RFC 8446 section 6.2).
const fn name(description: u8) -> Option<&'static str> {
    Some(match description {
        10 => "unexpected_message",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        116 => "certificate_required",
        _ => return None,
    })
}

fn has_rsa_key(certificate: &[u8]) -> bool {
    let parsed = Certificate::from_der(certificate);
    parsed.is_ok_and(|one| one.tbs_certificate().subject_public_key_info().algorithm.oid == RSA_ENCRYPTION)
}

#[cfg(test)]
mod tests {
    use dimpl::{CryptoError, CryptoOperation};

    use super::*;

    #[test]
    fn troubles_name_the_key_where_it_is_the_likeliest_cause() {
        // openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=client -outform der
        let rsa: &[u8] = include_bytes!("testdata/rsa.der");
        let p521: &[u8] = include_bytes!("testdata/secp521r1.der");
        let no_certificate = Error::CertificateError(CertificateError::NoClientCertificateReceived);
        let of = |error: &Error, certificate: &[u8]| Trouble::of(error, certificate).to_string();
        let signature = Error::CryptoError(CryptoError::OperationFailed(CryptoOperation::VerifySignature));
        assert!(of(&signature, rsa).starts_with("its signature by RSA was refused: keys of 2,048"));
        assert!(of(&no_certificate, &[]).starts_with("it showed no certificate"));
        for (error, certificate) in [(&signature, p521), (&signature, &rsa[..90]), (&Error::ReceiveQueueFull, rsa)] {
            assert!(of(error, certificate).starts_with("its part was refused ("), "{}", of(error, certificate));
        }
        assert!(Trouble::Alert(40).to_string().contains("alert handshake_failure, as one does that"));
        assert_eq!(Trouble::Alert(80).to_string(), "it gave up with the alert internal_error");
        assert_eq!(Trouble::Alert(200).to_string(), "it gave up with the alert 200");
    }
}
