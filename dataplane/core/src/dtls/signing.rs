//! Our own signature in handshakes. A worker reads its key once: dimpl reads it for every handshake, in DTLS 1.2 twice,
//! and reading it (its public half is made again and compared) takes longer than signing.

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::crypto::{Buf, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey, aws_lc_rs as defaults};
use dimpl::{CryptoError, CryptoOperation};

thread_local! {
    /// The key that this worker has read last, with the PKCS #8 DER that it was read from.
    static LAST: RefCell<Option<(Vec<u8>, Arc<EcdsaKeyPair>)>> = const { RefCell::new(None) };
}

/// Reads keys: those on P-256 itself, others as dimpl does.
#[derive(Debug)]
pub(super) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let known = |last: &Option<(Vec<u8>, Arc<EcdsaKeyPair>)>| {
            last.as_ref().filter(|(read, _)| read == der).map(|(_, key)| Arc::clone(key))
        };
        if let Some(key) = LAST.with_borrow(known) {
            return Ok(Box::new(OnP256(key)));
        }
        let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) else {
            return defaults::default_provider().key_provider.load_private_key(der);
        };
        let key = Arc::new(key);
        LAST.set(Some((der.to_vec(), Arc::clone(&key))));
        Ok(Box::new(OnP256(key)))
    }
}

#[derive(Debug)]
struct OnP256(Arc<EcdsaKeyPair>);

impl SigningKey for OnP256 {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != HashAlgorithm::SHA256 {
            return Err(CryptoError::SigningKeyHashMismatch { key_hash: HashAlgorithm::SHA256, requested: hash });
        }
        let signature = self.0.sign(&SystemRandom::new(), data);
        let signature = signature.map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaSigningAlgorithm, KeyPair, UnparsedPublicKey,
    };

    use super::*;

    fn drawn(algorithm: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, Vec<u8>) {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("draws");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("reads");
        (pkcs8.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
    }

    #[test]
    fn each_key_signs_with_itself_whichever_was_read_last() {
        let keys = [drawn(&ECDSA_P256_SHA256_ASN1_SIGNING), drawn(&ECDSA_P256_SHA256_ASN1_SIGNING)];
        for (der, public) in [&keys[0], &keys[0], &keys[1], &keys[0]] {
            let (mut key, mut signature) = (Keys.load_private_key(der).expect("reads"), Buf::new());
            key.sign(b"said", HashAlgorithm::SHA256, &mut signature).expect("signs");
            let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public).verify(b"said", &signature);
            assert!(verified.is_ok());
            assert!(key.sign(b"said", HashAlgorithm::SHA384, &mut signature).is_err());
        }
    }

    #[test]
    fn other_curves_are_read_as_dimpl_reads_them_and_what_is_no_key_is_refused() {
        let (der, _) = drawn(&ECDSA_P384_SHA384_ASN1_SIGNING);
        let key = Keys.load_private_key(&der).expect("reads");
        assert_eq!(key.hash_algorithm(), HashAlgorithm::SHA384);
        assert!(Keys.load_private_key(&der[..40]).is_err());
        assert!(Keys.load_private_key(&[]).is_err());
    }
}
