//! The SRTP keys of an association at the moment in which the machine has them, so that what it sends can be opened as
//! it leaves, whatever the network does to it then, and by cryptography that is not its own.
//!
//! The DTLS library derives them by HMAC (RFC 5705, RFC 8446 section 7.5). It is given one here that listens: what
//! comes of the label "EXTRACTOR-dtls_srtp" is the key block (RFC 5764 section 4.2).

use std::cell::RefCell;
use std::sync::Once;

use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use dimpl::CryptoError;
use dimpl::crypto::{CryptoProvider, HashAlgorithm, HmacProvider, aws_lc_rs};

const LABEL: &[u8] = b"EXTRACTOR-dtls_srtp";
/// Behind length and length of the label (RFC 8446 section 7.1 with the prefix of RFC 9147 section 5.9).
const LABEL_13: &[u8] = b"dtls13exporter";

/// What has been heard on this thread.
#[derive(Debug, Default)]
struct Heard {
    /// Label and randoms of DTLS 1.2's exporter.
    seed: Vec<u8>,
    block: Vec<u8>,
}

thread_local! {
    static HEARD: RefCell<Heard> = RefCell::default();
}

#[derive(Debug)]
struct Listening(&'static dyn HmacProvider);

impl HmacProvider for Listening {
    fn hmac(&self, hash: HashAlgorithm, key: &[u8], data: &[u8], out: &mut [u8]) -> Result<usize, CryptoError> {
        let len = self.0.hmac(hash, key, data, out)?;
        HEARD.with_borrow_mut(|heard| heard.listen(data, &out[..len]));
        Ok(len)
    }
}

impl Heard {
    fn listen(&mut self, data: &[u8], out: &[u8]) {
        if data.starts_with(LABEL) {
            *self = Self { seed: data.to_vec(), block: Vec::new() };
        } else if !self.seed.is_empty() && data.len() > self.seed.len() && data.ends_with(&self.seed) {
            self.block.extend_from_slice(out);
        } else if let Some(at) = data.windows(LABEL_13.len()).position(|window| window == LABEL_13) {
            // The first block has nothing before the length.
            if at == 3 {
                *self = Self::default();
            }
            self.block.extend_from_slice(out);
        }
    }
}

/// From now on every association of this process is heard.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut provider = aws_lc_rs::default_provider();
        let listening: &'static Listening = Box::leak(Box::new(Listening(provider.hmac_provider)));
        provider.hmac_provider = listening;
        CryptoProvider::install_default(provider);
    });
}

/// Forgets what was heard so far.
pub fn forget() {
    HEARD.take();
}

/// The client's and the server's key that were heard last, of the suite that `detail` (of the machine's event) names.
#[must_use]
pub fn heard(detail: &str) -> Option<(SrtpParameters, SrtpParameters)> {
    let suites = [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80];
    let suite = suites.into_iter().find(|suite| detail.ends_with(suite.name()))?;
    let (key, salt) = match suite {
        SrtpCryptoSuite::AeadAes128Gcm => (16, 12),
        SrtpCryptoSuite::AeadAes256Gcm => (32, 12),
        SrtpCryptoSuite::AesCm128HmacSha1_80 | SrtpCryptoSuite::AesCm128HmacSha1_32 => (16, 14),
    };
    let block = HEARD.take().block;
    let part = |key_at: usize, salt_at: usize| {
        let key_and_salt = [block.get(key_at..key_at + key)?, block.get(salt_at..salt_at + salt)?].concat();
        Some(SrtpParameters { suite, key_and_salt })
    };
    Some((part(0, 2 * key)?, part(key, 2 * key + salt)?))
}
