//! JSON Web Tokens (RFC 7519) that say what their bearer may do: keys, and what a token claims once a key has verified
//! it. Which client may do what with them is for `ops`.
//!
//! The algorithm is the key's and never the token's (RFC 8725 section 3.1): a token is verified by those keys alone
//! that are for the algorithm that it names. Nothing of a token is looked at before a key has verified it, except which
//! key that would be.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};

use crate::settings::Grant;

/// Longest token. No client sends a longer one in a header.
const MAX_TOKEN_BYTES: usize = 4_096;
/// Shortest secret: as long as the hash (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// Longest file of a key.
const MAX_KEY_BYTES: u64 = 16 * 1_024;
/// Most rooms, or patterns of rooms, of a token.
const MAX_ROOMS: usize = 64;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    /// HMAC with SHA-256 under a secret that issuer and server share.
    HS256,
    /// ECDSA on the curve P-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A key by which tokens are verified.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// What tokens call it (`kid`).
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    /// Where it is read from: a secret as it is, or a public key in PEM.
    pub(crate) file: PathBuf,
    /// What the file holds. Filled in when the settings are read, and in no settings file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) text: String,
}

impl fmt::Debug for Key {
    /// Secrets are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Key {
    /// Reads its file, and checks that the key is one of its algorithm.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn load(&mut self) -> Result<(), String> {
        let path = self.file.display();
        let length = fs::metadata(&self.file).map_err(|error| format!("cannot read {path}: {error}"))?.len();
        if length > MAX_KEY_BYTES {
            return Err(format!("{path} is longer than {MAX_KEY_BYTES} bytes"));
        }
        let text = fs::read_to_string(&self.file).map_err(|error| format!("cannot read {path}: {error}"))?;
        // An editor, or a shell, ends a file with an end of line that is no part of a secret.
        text.trim_end_matches(['\r', '\n']).clone_into(&mut self.text);
        self.decoding().map(drop).map_err(|wrong| format!("{path}: {wrong}"))
    }

    /// The key as the library wants it.
    fn decoding(&self) -> Result<DecodingKey, String> {
        let bytes = self.text.as_bytes();
        let wrong = |error: &dyn fmt::Display| format!("is no public key in PEM for {:?}: {error}", self.algorithm);
        let key = match self.algorithm {
            Algorithm::HS256 if bytes.len() < MIN_SECRET_BYTES => {
                return Err(format!("a secret for HS256 must have {MIN_SECRET_BYTES} bytes, this has {}", bytes.len()));
            }
            // Who finds the public key of another algorithm here could sign with it.
            Algorithm::HS256 if self.text.contains("-----BEGIN") => {
                return Err("is a key in PEM, and HS256 wants a secret".into());
            }
            Algorithm::HS256 => return Ok(DecodingKey::from_secret(bytes)),
            Algorithm::ES256 => DecodingKey::from_ec_pem(bytes).map_err(|error| wrong(&error))?,
            Algorithm::EdDSA => DecodingKey::from_ed_pem(bytes).map_err(|error| wrong(&error))?,
        };
        let (length, curve) = match self.algorithm {
            Algorithm::EdDSA => (32, "Ed25519"),
            // An uncompressed point.
            _ => (65, "P-256"),
        };
        if key.as_bytes().len() == length { Ok(key) } else { Err(format!("is a key of another curve than {curve}")) }
    }
}

/// Rooms that a token is for: names, or beginnings of names that end with `*`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Rooms {
    One(String),
    Several(Vec<String>),
}

impl Rooms {
    fn patterns(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// What a verified token says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Claims {
    room: Rooms,
    grants: Vec<Grant>,
    /// Who its bearer is: the same for all tokens of one person.
    sub: Option<String>,
}

impl Claims {
    /// Whether its bearer may do this.
    pub(crate) fn allows(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }

    /// Whether it is for this room; without one, whether it is for every room.
    pub(crate) fn is_for(&self, room: Option<&str>) -> bool {
        self.room.patterns().iter().any(|pattern| match (pattern.strip_suffix('*'), room) {
            (Some(""), _) => true,
            (Some(beginning), Some(room)) => room.starts_with(beginning),
            (None, Some(room)) => pattern == room,
            (_, None) => false,
        })
    }

    /// Who its bearer is, if the token says so.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.sub.as_deref()
    }
}

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// It is no token, or no key has signed it, or it does not say what it must. The text says what is wrong.
    #[error("{0}")]
    Unknown(String),
    /// Its time is over (`exp`).
    #[error("this token has expired")]
    Expired,
    /// Its time has not come (`nbf`).
    #[error("this token does not hold yet")]
    Early,
}

/// Whether the time of a token matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// It must have begun and not be over, but for so many seconds by which clocks may differ.
    Within(u64),
    /// It may be over: it let in what the request is about.
    Whenever,
}

/// Whether a text has the form of a token.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN_BYTES && text.split('.').count() == 3 && decode_header(text).is_ok()
}

/// What a token says.
///
/// # Errors
/// Why it does not count.
pub(crate) fn verify(keys: &[Key], token: &str, time: Time) -> Result<Claims, Wrong> {
    let unknown = |sentence: &str| Wrong::Unknown(sentence.to_owned());
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Wrong::Unknown(format!("this token is longer than {MAX_TOKEN_BYTES} bytes")));
    }
    let header = decode_header(token).map_err(|_| unknown("this token is not known"))?;
    let named = keys.iter().filter(|key| header.kid.as_ref().is_none_or(|kid| *kid == key.id));
    let mut wrong = match named.clone().next() {
        None => return Err(unknown("this token names a key (kid) that is not known")),
        Some(_) => unknown("this token names an algorithm (alg) that its key is not for"),
    };
    for key in named.filter(|key| key.algorithm.of_library() == header.alg) {
        match verify_by(key, &header, token, time) {
            Ok(claims) => return Ok(claims),
            Err(error) => wrong = error,
        }
        // Only one of several keys can have signed it.
        if !matches!(&wrong, Wrong::Unknown(sentence) if sentence == NOT_SIGNED) {
            break;
        }
    }
    Err(wrong)
}

const NOT_SIGNED: &str = "this token is not signed by a key that is known";

fn verify_by(key: &Key, header: &Header, token: &str, time: Time) -> Result<Claims, Wrong> {
    let mut validation = Validation::new(key.algorithm.of_library());
    validation.set_required_spec_claims(&["exp"]);
    // The server has no name that issuers know: rooms and grants say what a token is for.
    validation.validate_aud = false;
    match time {
        Time::Within(leeway_s) => {
            validation.validate_nbf = true;
            validation.leeway = leeway_s;
        }
        Time::Whenever => validation.validate_exp = false,
    }
    debug_assert!(validation.algorithms == [header.alg], "the caller has compared them");
    let decoding = key.decoding().map_err(Wrong::Unknown)?;
    let claims = decode::<Claims>(token, &decoding, &validation).map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => Wrong::Expired,
        ErrorKind::ImmatureSignature => Wrong::Early,
        ErrorKind::InvalidSignature => Wrong::Unknown(NOT_SIGNED.into()),
        ErrorKind::MissingRequiredClaim(claim) => Wrong::Unknown(format!("this token has no {claim}")),
        ErrorKind::Json(error) => Wrong::Unknown(format!("this token's claims cannot be read: {error}")),
        _ => Wrong::Unknown("this token cannot be read".into()),
    })?;
    let claims = claims.claims;
    if claims.room.patterns().len() > MAX_ROOMS {
        return Err(Wrong::Unknown(format!("this token names more than {MAX_ROOMS} rooms")));
    }
    Ok(claims)
}

#[cfg(test)]
pub(crate) mod tests {
    use jsonwebtoken::{EncodingKey, encode, get_current_timestamp};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// A key for HS256.
    pub(crate) fn secret(id: &str, text: &str) -> Key {
        Key { id: id.into(), algorithm: Algorithm::HS256, file: "f".into(), text: text.into() }
    }

    /// Seconds from now, as claims have times.
    pub(crate) fn in_s(seconds: i64) -> u64 {
        get_current_timestamp().saturating_add_signed(seconds)
    }

    /// A token, signed with the secret; its header names the key.
    pub(crate) fn token(id: &str, text: &str, claims: &Value) -> String {
        let header = Header { kid: Some(id.into()), ..Header::default() };
        encode(&header, claims, &EncodingKey::from_secret(text.as_bytes())).expect("signs")
    }

    fn pair(algorithm: &'static SignatureAlgorithm, of: Algorithm, id: &str) -> (Key, EncodingKey) {
        let pair = KeyPair::generate_for(algorithm).expect("is drawn");
        let (public, private) = (pair.public_key_pem(), pair.serialize_pem());
        let signs = match of {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(private.as_bytes()),
            _ => EncodingKey::from_ec_pem(private.as_bytes()),
        };
        (Key { id: id.into(), algorithm: of, file: "f".into(), text: public }, signs.expect("a key"))
    }

    fn claims() -> Value {
        json!({ "exp": in_s(60), "room": "demo", "grants": ["publish", "subscribe"] })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    }

    #[test]
    fn a_token_says_what_it_allows_and_where() {
        let verified = |claims: &Value| verify(&[secret("k", SECRET)], &token("k", SECRET, claims), Time::Within(30));
        let read = verified(&with("sub", json!("ann"))).expect("right");
        assert!(read.allows(Grant::Publish) && read.allows(Grant::Subscribe) && !read.allows(Grant::Admin));
        assert_eq!(read.subject(), Some("ann"));
        for (room, asked, is_for) in [
            (json!("demo"), Some("demo"), true),
            (json!("demo"), Some("demo2"), false),
            (json!("demo"), None, false),
            (json!("demo*"), Some("demo2"), true),
            (json!("demo*"), Some("dem"), false),
            (json!("demo*"), None, false),
            (json!("*"), Some("x"), true),
            (json!("*"), None, true),
            (json!(["a", "b-*"]), Some("b-7"), true),
            (json!(["a", "b-*"]), Some("b"), false),
            (json!([]), Some("a"), false),
        ] {
            let read = verified(&with("room", room.clone())).expect("right");
            assert_eq!(read.is_for(asked), is_for, "{asked:?} by {room}");
        }
    }

    #[test]
    fn each_way_in_which_a_token_is_wrong_has_its_sentence() {
        let many: Vec<_> = (0..=MAX_ROOMS).map(|number| number.to_string()).collect();
        for (claims, part) in [
            (with("exp", json!(in_s(-31))), "expired"),
            (with("nbf", json!(in_s(40))), "not hold yet"),
            (without("exp"), "exp"),
            (without("room"), "room"),
            (without("grants"), "grants"),
            (with("grants", json!(["publish", "fly"])), "fly"),
            (with("room", json!(many)), "64 rooms"),
            (with("exp", json!("soon")), "exp"),
        ] {
            let error = verify(&[secret("k", SECRET)], &token("k", SECRET, &claims), Time::Within(30));
            let error = error.expect_err(part).to_string();
            assert!(error.contains(part), "{claims}: {error}");
        }
        for (claims, part) in [(with("exp", json!(in_s(-20))), "exp"), (with("nbf", json!(in_s(20))), "nbf")] {
            let token = token("k", SECRET, &claims);
            assert!(verify(&[secret("k", SECRET)], &token, Time::Within(30)).is_ok(), "{part}: clocks differ");
        }
        let long_over = token("k", SECRET, &with("exp", json!(in_s(-86_400))));
        assert!(verify(&[secret("k", SECRET)], &long_over, Time::Whenever).is_ok());
        let other = "another secret of thirty-two bytes";
        for text in ["", "a.b", "a.b.c", "no token", &"x".repeat(10_000), &token("k", other, &claims())] {
            let wrong = verify(&[secret("k", SECRET)], text, Time::Whenever);
            assert!(matches!(wrong, Err(Wrong::Unknown(_))), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn a_key_verifies_by_its_own_algorithm_alone() {
        let (ec, ec_signs) = pair(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256, "ec");
        let (ed, ed_signs) = pair(&PKCS_ED25519, Algorithm::EdDSA, "ed");
        let signed = |algorithm, kid: Option<&str>, key: &EncodingKey| {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
            encode(&header, &claims(), key).expect("signs")
        };
        let (es256, eddsa) = (jsonwebtoken::Algorithm::ES256, jsonwebtoken::Algorithm::EdDSA);
        let keys = [ec.clone(), ed, secret("hs", SECRET), secret("next", "another secret of thirty-two bytes")];
        let is_right = |token: &str| verify(&keys, token, Time::Within(0)).is_ok();
        assert!(is_right(&signed(es256, Some("ec"), &ec_signs)) && is_right(&signed(es256, None, &ec_signs)));
        assert!(is_right(&signed(eddsa, Some("ed"), &ed_signs)) && is_right(&signed(eddsa, None, &ed_signs)));
        // A token does not say which of two secrets it is signed with.
        for text in [SECRET, "another secret of thirty-two bytes"] {
            let signs = EncodingKey::from_secret(text.as_bytes());
            assert!(is_right(&signed(jsonwebtoken::Algorithm::HS256, None, &signs)));
        }
        // A public key is no secret (RFC 8725 section 2.1).
        let forged = EncodingKey::from_secret(ec.text.as_bytes());
        let wrong = |token: &str| verify(&keys, token, Time::Within(0)).expect_err("is refused").to_string();
        assert!(wrong(&signed(jsonwebtoken::Algorithm::HS256, Some("ec"), &forged)).contains("alg"));
        let signs = EncodingKey::from_secret(SECRET.as_bytes());
        assert!(wrong(&signed(jsonwebtoken::Algorithm::HS512, Some("hs"), &signs)).contains("alg"));
        assert!(wrong(&signed(es256, Some("gone"), &ec_signs)).contains("kid"));
        // {"alg":"none","typ":"JWT"}
        assert!(!is_right("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJleHAiOjk5OTk5OTk5OTksInJvb20iOiIqIn0."));
    }

    #[test]
    fn a_key_of_another_curve_is_refused_when_it_is_read() {
        let (p384, _) = pair(&PKCS_ECDSA_P384_SHA384, Algorithm::ES256, "k");
        assert!(p384.decoding().expect_err("is refused").contains("P-256"));
        let (ec, _) = pair(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256, "k");
        let private = KeyPair::generate().expect("is drawn").serialize_pem();
        for (key, is_right) in [
            (ec.clone(), true),
            (Key { algorithm: Algorithm::EdDSA, ..ec.clone() }, false),
            (Key { algorithm: Algorithm::HS256, ..ec.clone() }, false),
            (Key { text: private, ..ec }, false),
        ] {
            assert_eq!(key.decoding().is_ok(), is_right, "{key:?}");
        }
    }
}
