//! Certificates of an endpoint, and their fingerprints (RFC 8122).

use std::fmt::Write as _;

use anyhow::Context as _;
use aws_lc_rs::digest;
use dtls::crypto::Certificate;

/// Fingerprint of a certificate in DER as `a=fingerprint` writes it: `sha-256 AB:CD:…`.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    named_fingerprint("sha-256", &digest::SHA256, der)
}

/// The same with SHA-512.
#[must_use]
pub fn fingerprint_sha512(der: &[u8]) -> String {
    named_fingerprint("sha-512", &digest::SHA512, der)
}

fn named_fingerprint(name: &str, algorithm: &'static digest::Algorithm, der: &[u8]) -> String {
    let mut text = name.to_owned();
    for (index, byte) in digest::digest(algorithm, der).as_ref().iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{byte:02X}", if index == 0 { ' ' } else { ':' });
    }
    text
}

/// Whether a certificate in DER has a fingerprint that was announced.
#[must_use]
pub fn matches(der: &[u8], announced: &str) -> bool {
    let ours = match announced.split_once(' ') {
        Some((name, _)) if name.eq_ignore_ascii_case("sha-256") => fingerprint(der),
        Some((name, _)) if name.eq_ignore_ascii_case("sha-384") => named_fingerprint(name, &digest::SHA384, der),
        Some((name, _)) if name.eq_ignore_ascii_case("sha-512") => fingerprint_sha512(der),
        _ => return false,
    };
    ours.eq_ignore_ascii_case(announced.trim())
}

/// A self-signed certificate and its key. Many endpoints may share one.
#[derive(Clone)]
pub struct Identity {
    pub(crate) certificate: Certificate,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint()).finish()
    }
}

impl Identity {
    /// A new one on P-256.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let certificate = Certificate::generate_self_signed(vec!["corecast-bench".to_owned()]);
        Ok(Self { certificate: certificate.context("certificate")? })
    }

    /// Its fingerprint with SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.der())
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.certificate.certificate.first().map_or(&[], AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_hash_in_pairs() {
        // SHA-256 of "abc", FIPS 180-4.
        let text = fingerprint(b"abc");
        assert!(text.starts_with("sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:"), "{text}");
        assert!(matches(b"abc", &text.to_lowercase()) && !matches(b"abd", &text));
        assert!(matches(b"abc", &fingerprint_sha512(b"abc")));
        assert!(!matches(b"abc", "md5 90:01:50:98") && !matches(b"abc", "sha-256"));
    }

    #[test]
    fn identities_differ() {
        let (one, other) = (Identity::new().expect("made"), Identity::new().expect("made"));
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert!(matches(one.der(), &one.fingerprint()));
    }
}
