//! What the operator may set about webhooks.

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::url::{MAX_BYTES, fault};
use super::{Config, ConfigError, set, set_list};

/// Each is sent every event.
const MAX_URLS: usize = 8;
/// RFC 7518 section 3.2: a key of HMAC-SHA256 has 256 bits at least.
const MIN_SECRET_BYTES: usize = 32;
/// Why a URL has none.
const NO_USER: &str = "must not have a user and a password: events are signed";

/// Who is told of events by HTTP.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhooks {
    /// Each event is sent to each of these.
    pub(crate) urls: Vec<String>,
    /// Names the secret: the issuer (`iss`) of the tokens.
    pub(crate) key: String,
    /// Signs the tokens.
    pub(crate) secret: String,
}

impl std::fmt::Debug for Webhooks {
    /// Secrets are not for logs, and a URL may hold one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").field("urls", &self.urls.len()).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Checks that events can be sent to all of the URLs, and signed.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |sentence: String| Err(ConfigError(sentence));
        if self.urls.len() > MAX_URLS {
            return wrong(format!("webhooks.urls has {} URLs, and {MAX_URLS} is the most", self.urls.len()));
        }
        for (index, url) in self.urls.iter().enumerate() {
            let place = format!("webhooks.urls, the URL number {}", index + 1);
            if let Some(cause) = fault(url, NO_USER) {
                return wrong(format!("{place}: {cause}"));
            }
            if self.urls.iter().take(index).any(|before| before == url) {
                return wrong(format!("{place}: stands there twice"));
            }
        }
        let is_key = !self.key.is_empty() && self.key.len() <= MAX_BYTES && !self.key.chars().any(char::is_control);
        match (self.urls.is_empty(), is_key, (MIN_SECRET_BYTES..=MAX_BYTES).contains(&self.secret.len())) {
            (true, ..) | (false, true, true) => Ok(()),
            (false, false, _) => wrong("webhooks.urls is set: set webhooks.key as well, 1 to 1024 characters".into()),
            (false, true, false) => wrong(format!(
                "webhooks.secret must be {MIN_SECRET_BYTES} to {MAX_BYTES} characters, such as `openssl rand -hex 32` \
                 gives"
            )),
        }
    }
}

/// Flags of these settings.
#[derive(Clone, Debug, Parser)]
pub(crate) struct WebhookArgs {
    /// URLs that are sent each event of rooms and peers
    #[arg(long, env = "CORECAST_WEBHOOKS_URLS", value_name = "URL", value_delimiter = ',', hide_env_values = true)]
    webhooks_urls: Vec<String>,
    /// Name of the secret that events are signed with
    #[arg(long, env = "CORECAST_WEBHOOKS_KEY", value_name = "NAME")]
    webhooks_key: Option<String>,
    /// The secret that events are signed with, 32 characters at least
    #[arg(long, env = "CORECAST_WEBHOOKS_SECRET", value_name = "SECRET", hide_env_values = true)]
    webhooks_secret: Option<String>,
}

impl WebhookArgs {
    pub(super) fn overlay(&self, config: &mut Config) {
        set_list(&mut config.webhooks.urls, &self.webhooks_urls);
        set(&mut config.webhooks.key, &self.webhooks_key);
        set(&mut config.webhooks.secret, &self.webhooks_secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn said(urls: &[&str], key: &str, secret: &str) -> Result<(), String> {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Webhooks { urls, key: key.into(), secret: secret.into() }.check().map_err(|error| error.0)
    }

    #[test]
    fn wrong_urls_and_secrets_are_named_and_not_shown() {
        let good = "https://a.example:8443/hook?x=1";
        assert_eq!(said(&[good, "http://127.0.0.1:1/"], "k", SECRET), Ok(()));
        assert_eq!(said(&[], "", ""), Ok(()));
        for (urls, key, secret, part) in [
            (vec!["ftp://a.example/"], "k", SECRET, "http://"),
            (vec!["/hook"], "k", SECRET, "http://"),
            (vec!["https://"], "k", SECRET, "number 1"),
            (vec![good, "not a URL"], "k", SECRET, "number 2"),
            (vec!["https://u:s3cret@a.example/"], "k", SECRET, "password"),
            (vec![good, good], "k", SECRET, "twice"),
            (vec![good; 9], "k", SECRET, "8 is the most"),
            (vec![good], "", SECRET, "webhooks.key"),
            (vec![good], "k", "(hidden)", "webhooks.secret"),
        ] {
            let error = said(&urls, key, secret).expect_err(part);
            assert!(error.contains(part) && !error.contains("s3cret"), "{part} in {error}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_BYTES));
        assert!(said(&[&long], "k", SECRET).is_err_and(|error| error.contains("longer")));
    }

    #[test]
    fn flags_lie_over_the_file_and_the_secret_is_not_shown() {
        let mut config = Config::parse("[webhooks]\nurls = [\"http://a/\"]\nkey = \"k\"").expect("file");
        let flags = ["corecast", "--webhooks-urls", "http://b/,http://c/", "--webhooks-secret", SECRET];
        WebhookArgs::try_parse_from(flags).expect("flags").overlay(&mut config);
        assert_eq!(config.webhooks.urls, ["http://b/", "http://c/"]);
        assert_eq!((config.webhooks.key.as_str(), config.webhooks.check()), ("k", Ok(())));
        let shown = toml::to_string_pretty(&config.without_secrets()).expect("prints");
        assert!(!shown.contains(SECRET) && !format!("{config:?}").contains(SECRET), "{shown}");
        assert!(Config::parse(&shown).expect("reads").webhooks.check().is_err(), "what is shown is no secret");
    }
}
