//! Who may do what: lists of bearer tokens, keys by which tokens are verified that others have made, and where
//! operators are served.

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::jwt::Key;
use crate::settings::{AdminListen, Grant, Span};

/// Longest bearer token of a list: no client sends a longer one in a header.
const MAX_TOKEN_BYTES: usize = 1_024;
/// Most keys: those of a few issuers, and of each the next one.
const MAX_KEYS: usize = 16;

/// Who may use the WHIP endpoint, the WHEP endpoint, or the rest of the API.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Access {
    /// Bearer tokens, one of which a client must have. Without any every client may come.
    pub(crate) tokens: Vec<String>,
}

impl std::fmt::Debug for Access {
    /// Tokens are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("tokens", &self.tokens.len()).finish()
    }
}

/// The API for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where it listens.
    pub(crate) listen: AdminListen,
}

/// JSON Web Tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Jwt {
    /// By how much the clocks of issuers may differ from this machine's.
    pub(crate) leeway: Span,
    /// Keys by which tokens are verified. Without any there are no such tokens.
    pub(crate) keys: Vec<Key>,
}

impl Default for Jwt {
    fn default() -> Self {
        Self { leeway: Span::from_secs(30), keys: Vec::new() }
    }
}

/// Stands for a secret where settings are shown. It is no token, so that settings that were shown and are given back
/// are refused, and do not become ones that everybody knows the token of.
const HIDDEN: &str = "(hidden)";

impl Config {
    /// The settings as people may see them.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        for access in [&mut shown.api, &mut shown.whip, &mut shown.whep] {
            access.tokens.iter_mut().for_each(|token| HIDDEN.clone_into(token));
        }
        for credential in shown.rtc.ice_servers.iter_mut().filter_map(|server| server.credential.as_mut()) {
            HIDDEN.clone_into(credential);
        }
        if !shown.webhooks.secret.is_empty() {
            HIDDEN.clone_into(&mut shown.webhooks.secret);
        }
        if !shown.cascade.token.is_empty() {
            HIDDEN.clone_into(&mut shown.cascade.token);
        }
        shown.jwt.keys.iter_mut().for_each(|key| key.text.clear());
        shown
    }

    /// Tokens that open the API beside WHIP and WHEP: those of `api.tokens`; if there are none, the publishers'; if
    /// there are none of these either, the viewers'. Without any token at all every client may use it.
    pub(crate) fn api_tokens(&self) -> &[String] {
        let lists = [&self.api.tokens, &self.whip.tokens, &self.whep.tokens];
        lists.into_iter().find(|tokens| !tokens.is_empty()).map_or(&[], Vec::as_slice)
    }

    /// Lists of tokens, each of which allows this in every room.
    pub(crate) fn tokens_for(&self, grant: Grant) -> [&[String]; 2] {
        match grant {
            Grant::Publish => [&self.whip.tokens, &[]],
            Grant::Subscribe => [&self.whep.tokens, &[]],
            Grant::Data => [&self.whip.tokens, &self.whep.tokens],
            Grant::Plain | Grant::Admin => [self.api_tokens(), &[]],
        }
    }

    /// Whether every client may do this, with a token or without.
    pub(crate) fn is_open(&self, grant: Grant) -> bool {
        let is_open = match grant {
            Grant::Publish => self.whip.tokens.is_empty(),
            Grant::Subscribe => self.whep.tokens.is_empty(),
            // Who was let in without a token may speak.
            Grant::Data => self.whip.tokens.is_empty() || self.whep.tokens.is_empty(),
            Grant::Plain | Grant::Admin => self.api_tokens().is_empty(),
        };
        is_open && self.jwt.keys.is_empty()
    }

    /// Reads the files of the keys.
    pub(super) fn load_keys(&mut self) -> Result<(), ConfigError> {
        let Jwt { keys, .. } = &mut self.jwt;
        if keys.len() > MAX_KEYS {
            return Err(ConfigError(format!("jwt.keys: there may be {MAX_KEYS}, and there are {}", keys.len())));
        }
        for key in &mut *keys {
            key.load().map_err(|wrong| ConfigError(format!("jwt.keys {:?}: {wrong}", key.id)))?;
        }
        for (index, key) in keys.iter().enumerate() {
            if key.id.is_empty() || keys.iter().take(index).any(|other| other.id == key.id) {
                return Err(ConfigError(format!("jwt.keys: each must have an id of its own, not {:?}", key.id)));
            }
        }
        Ok(())
    }

    /// Checks that tokens can be sent in a header.
    pub(super) fn check_tokens(&self) -> Result<(), ConfigError> {
        let lists = [("api.tokens", &self.api), ("whip.tokens", &self.whip), ("whep.tokens", &self.whep)];
        match lists.iter().find(|(_, access)| access.tokens.iter().any(|token| !is_token(token))) {
            None => Ok(()),
            Some((name, _)) => {
                let sentence = "tokens are 1 to 1024 letters, digits and -._~+/ (RFC 6750 section 2.1)";
                Err(ConfigError(format!("{name}: {sentence}")))
            }
        }
    }
}

/// RFC 6750 section 2.1: `b64token`.
pub(super) fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let char = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    !body.is_empty() && text.len() <= MAX_TOKEN_BYTES && body.chars().all(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_must_fit_into_a_header() {
        for (text, part) in [
            ("[whip]\ntokens = [\"a b\"]", "whip.tokens"),
            ("[whep]\ntokens = [\"\"]", "whep.tokens"),
            ("[api]\ntokens = [\"a,b\"]", "api.tokens"),
        ] {
            let error = Config::parse(text).expect(text).check_tokens().expect_err(text);
            assert!(error.0.contains(part), "{text}: {}", error.0);
        }
        assert_eq!(Config::parse("[whip]\ntokens = [\"a-b.c_d~e+f/==\"]").expect("file").check_tokens(), Ok(()));
    }

    #[test]
    fn secrets_are_not_shown_and_what_is_shown_is_no_token() {
        let text = "[whip]\ntokens = [\"s3cret1\"]\n[whep]\ntokens = [\"s3cret2\"]\n\
                    [api]\ntokens = [\"s3cret3\", \"s3cret4\"]\n\
                    [jwt]\nkeys = [{ id = \"k\", algorithm = \"HS256\", file = \"f\", text = \"s3cret6\" }]\n\
                    [rtc]\nice_servers = [\"turn:turn.example user s3cret5\"]";
        let config = Config::parse(text).expect("file");
        assert!(!format!("{config:?}").contains("s3cret6"), "{config:?}");
        let shown = toml::to_string_pretty(&config.without_secrets()).expect("prints");
        assert!(!shown.contains("s3cret") && shown.contains("turn:turn.example"), "{shown}");
        let back = Config::parse(&shown).expect("reads");
        assert_eq!((back.api.tokens.len(), back.check_tokens().is_err()), (2, true));
    }

    #[test]
    fn keys_are_read_from_files_and_what_is_wrong_is_named() {
        let folder = std::env::temp_dir().join(format!("corecast-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("is made");
        let config = |algorithm: &str, text: &str| {
            let file = folder.join("key");
            std::fs::write(&file, text).expect("is written");
            let text = format!("[[jwt.keys]]\nid = \"k\"\nalgorithm = \"{algorithm}\"\nfile = {file:?}");
            let mut config = Config::parse(&text).expect("file");
            config.load_keys().map(|()| config)
        };
        let secret = "0123456789abcdef0123456789abcdef";
        assert_eq!(config("HS256", &format!("{secret}\n")).expect("32 bytes").jwt.keys[0].text, secret);
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                   -----END PUBLIC KEY-----\n";
        assert!(config("EdDSA", pem).is_ok());
        for (algorithm, text, part) in [
            ("HS256", "short", "32 bytes"),
            ("HS256", pem, "HS256 wants a secret"),
            ("ES256", pem, "PEM"),
            ("EdDSA", secret, "PEM"),
        ] {
            let error = config(algorithm, text).expect_err(text);
            assert!(error.0.contains("jwt.keys \"k\"") && error.0.contains(part), "{algorithm}: {}", error.0);
        }
        let mut twice = config("HS256", secret).expect("right");
        twice.jwt.keys.push(twice.jwt.keys[0].clone());
        assert!(twice.load_keys().expect_err("one id").0.contains("id of its own"));
        std::fs::remove_dir_all(&folder).expect("is there");
        assert!(twice.load_keys().expect_err("no file").0.contains("cannot read"));
        let wrong = Config::parse("[[jwt.keys]]\nid = \"k\"\nalgorithm = \"none\"\nfile = \"f\"").expect_err("none");
        assert!(wrong.0.contains("HS256"), "{}", wrong.0);
    }
}
