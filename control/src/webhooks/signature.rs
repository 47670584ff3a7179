//! How a receiver knows that an event is ours: LiveKit's way, a JSON Web Token (RFC 7519) with a digest of the body.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

/// For so long a token is valid, in seconds; and before it was made, since clocks differ.
const VALID_S: u64 = 300;
const EARLIER_S: u64 = 60;

/// Makes tokens.
pub(super) struct Signer {
    key: String,
    secret: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    nbf: u64,
    exp: u64,
    /// The body's digest, in base64.
    sha256: String,
}

impl Signer {
    pub(super) fn new(key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: EncodingKey::from_secret(secret.as_bytes()) }
    }

    /// The token of a request with this body that is sent now.
    pub(super) fn sign(&self, body: &[u8]) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let sha256 = STANDARD.encode(digest::digest(&digest::SHA256, body));
        let claims = Claims { iss: &self.key, nbf: now.saturating_sub(EARLIER_S), exp: now + VALID_S, sha256 };
        encode(&Header::new(Algorithm::HS256), &claims, &self.secret).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_token_is_signed_and_has_the_body_s_digest() {
        let token = Signer::new("key", "secret").sign(b"abc").expect("signs");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let (head, claims) = signed.split_once('.').expect("three parts");
        let read = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
        };
        assert_eq!(read(head), json!({ "typ": "JWT", "alg": "HS256" }));
        let claims = read(claims);
        // The digest of "abc", as FIPS 180-4's examples have it.
        assert_eq!(claims["sha256"], "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(claims["iss"], "key");
        assert_eq!(claims["exp"].as_u64().zip(claims["nbf"].as_u64()).map(|(exp, nbf)| exp - nbf), Some(360));
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        assert!(hmac::verify(&key, signed.as_bytes(), &signature).is_ok());
    }
}
