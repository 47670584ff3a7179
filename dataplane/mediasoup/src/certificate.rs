//! The worker's identity for DTLS: the certificate that the library names, or one that is drawn at the start.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::options::Options;

/// A certificate with its key, which is on P-256.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// In DER.
    pub(crate) der: Vec<u8>,
    /// The key, in PKCS #8 DER.
    pub(crate) private_key: Vec<u8>,
    /// It was drawn at the start.
    pub(crate) is_drawn: bool,
}

impl Certificate {
    /// The one that the settings name, or a new one.
    ///
    /// # Errors
    /// A sentence about what is wrong with the files.
    pub(crate) fn of(options: &Options) -> Result<Self, String> {
        let read = match (&options.certificate_file, &options.private_key_file) {
            (Some(certificate), Some(key)) => Self::read(certificate, key)?,
            _ => None,
        };
        let draw = || Self::draw().map_err(|error| format!("cannot draw a certificate: {error}"));
        read.map_or_else(draw, Ok)
    }

    fn draw() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "corecast");
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { der: certificate.der().to_vec(), private_key: key.serialize_der(), is_drawn: true })
    }

    /// The certificate of these files; `None` if its key is of a kind that DTLS does not take here.
    ///
    /// # Errors
    /// One cannot be read, or the key is another certificate's.
    fn read(certificate: &str, key: &str) -> Result<Option<Self>, String> {
        let text = |file: &str| std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
        let der = unwrap_pem(&text(certificate)?, "CERTIFICATE").ok_or_else(|| format!("{certificate}: no PEM"))?;
        let pair = KeyPair::from_pem(&text(key)?).map_err(|error| format!("{key}: {error}"))?;
        let public_key = pair.public_key_raw();
        if !der.windows(public_key.len()).any(|part| part == public_key) {
            return Err(format!("{key}: it is not the key of {certificate}"));
        }
        let is_on_p256 = pair.is_compatible(&PKCS_ECDSA_P256_SHA256);
        Ok(is_on_p256.then(|| Self { der, private_key: pair.serialize_der(), is_drawn: false }))
    }

    /// Its fingerprint under a hash function, as in `a=fingerprint` (RFC 8122 section 5).
    pub(crate) fn fingerprint(&self, hash: &'static digest::Algorithm) -> String {
        let bytes = digest::digest(hash, &self.der);
        bytes.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

/// The bytes of the first PEM block of this kind (RFC 7468).
fn unwrap_pem(text: &str, kind: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// A certificate as a PEM block (RFC 7468).
pub(crate) fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_survives_pem() {
        let drawn = Certificate::draw().expect("draws");
        assert_eq!(unwrap_pem(&pem(&drawn.der), "CERTIFICATE").as_ref(), Some(&drawn.der));
        assert_eq!(drawn.fingerprint(&digest::SHA256).len(), 32 * 3 - 1);
    }

    #[test]
    fn a_key_has_to_be_that_of_its_certificate() {
        let folder = std::env::temp_dir().join(format!("corecast-certificate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            path.into_os_string().into_string().expect("UTF-8")
        };
        let key = |kind| KeyPair::generate_for(kind).expect("drawn");
        let (own, other, odd) = (key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ECDSA_P256_SHA256), key(&rcgen::PKCS_ED25519));
        let certificate = CertificateParams::default().self_signed(&own).expect("signed");
        let certificate = file("certificate", &pem(certificate.der()));
        let read = |name, key: &KeyPair| Certificate::read(&certificate, &file(name, &key.serialize_pem()));
        assert!(read("own", &own).is_ok_and(|read| read.is_some_and(|read| !read.is_drawn)));
        for (name, key) in [("other", &other), ("odd", &odd)] {
            assert!(read(name, key).is_err_and(|why| why.ends_with(&format!("is not the key of {certificate}"))));
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
