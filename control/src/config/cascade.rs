//! What the operator may set about other machines.

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::url::{MAX_BYTES, fault_of_base};
use super::{Config, ConfigError, set, set_list};

/// Each is asked for every room that viewers miss.
const MAX_MACHINES: usize = 16;
const MIN_TOKEN_BYTES: usize = 32;
/// Why a URL has none.
const NO_USER: &str = "must not have a user and a password: cascade.token is shown";

/// Machines whose rooms have viewers here, and that have viewers of rooms here.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cascade {
    /// URLs of the others' HTTP API. They are asked for rooms that are not here.
    pub(crate) machines: Vec<String>,
    /// What all of them show each other. Without it nothing crosses.
    pub(crate) token: String,
}

impl std::fmt::Debug for Cascade {
    /// Tokens are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cascade").field("machines", &self.machines).finish_non_exhaustive()
    }
}

impl Cascade {
    /// Whether this machine has anything to do with others.
    pub(crate) fn is_on(&self) -> bool {
        !self.token.is_empty()
    }

    /// What an operator should know of these settings.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let in_clear = self.machines.iter().any(|url| url.starts_with("http:"));
        in_clear.then_some("cascade.machines: keys of media go to URLs with http:// in clear text")
    }
}

impl Config {
    /// Checks that machines can be asked, and that clients cannot ask.
    pub(super) fn check_cascade(&self) -> Result<(), ConfigError> {
        let wrong = |sentence: String| Err(ConfigError(sentence));
        let Cascade { machines, token } = &self.cascade;
        if machines.len() > MAX_MACHINES {
            return wrong(format!("cascade.machines has {} URLs, and {MAX_MACHINES} is the most", machines.len()));
        }
        for (index, url) in machines.iter().enumerate() {
            if let Some(cause) = fault_of_base(url, NO_USER) {
                return wrong(format!("cascade.machines, the URL number {}: {cause}", index + 1));
            }
            if machines.iter().take(index).any(|before| before == url) {
                return wrong(format!("cascade.machines, the URL number {}: stands there twice", index + 1));
            }
        }
        if token.is_empty() {
            return match machines.is_empty() {
                true => Ok(()),
                false => wrong("cascade.machines is set: set cascade.token as well".into()),
            };
        }
        if !super::access::is_token(token) || token.len() < MIN_TOKEN_BYTES {
            return wrong(format!(
                "cascade.token must be {MIN_TOKEN_BYTES} to {MAX_BYTES} letters, digits and -._~+/, such as `openssl \
                 rand -hex 32` gives"
            ));
        }
        let of_clients = [&self.api.tokens, &self.whip.tokens, &self.whep.tokens];
        if of_clients.into_iter().flatten().any(|known| known == token) {
            return wrong("cascade.token must be no token of clients".into());
        }
        if self.rtc.listen_ips.is_empty() {
            return wrong("cascade.token is set: set rtc.listen_ips, where the other machines reach this one".into());
        }
        Ok(())
    }
}

/// Flags of these settings.
#[derive(Clone, Debug, Parser)]
pub(crate) struct CascadeArgs {
    /// Other machines, URLs of their API, whose rooms may have viewers here
    #[arg(long, env = "CORECAST_CASCADE_MACHINES", value_name = "URL", value_delimiter = ',')]
    cascade_machines: Vec<String>,
    /// What machines show each other, 32 characters at least
    #[arg(long, env = "CORECAST_CASCADE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    cascade_token: Option<String>,
}

impl CascadeArgs {
    pub(super) fn overlay(&self, config: &mut Config) {
        set_list(&mut config.cascade.machines, &self.cascade_machines);
        set(&mut config.cascade.token, &self.cascade_token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn said(text: &str) -> Result<(), String> {
        Config::parse(text).expect("file").check_cascade().map_err(|error| error.0)
    }

    #[test]
    fn wrong_machines_and_tokens_are_named_and_not_shown() {
        let with = |machines: &str, token: &str, rest: &str| {
            format!("[cascade]\nmachines = {machines}\ntoken = \"{token}\"\n[rtc]\nlisten_ips = [\"10.0.0.1\"]\n{rest}")
        };
        assert_eq!(said(""), Ok(()));
        assert_eq!(said(&with("[]", TOKEN, "")), Ok(()));
        assert_eq!(said(&with(r#"["https://a.example:4443", "http://10.0.0.2:4080/sfu"]"#, TOKEN, "")), Ok(()));
        for (text, part) in [
            (with(r#"["a.example"]"#, TOKEN, ""), "http://"),
            (with(r#"["https://u:s3cret@a.example/"]"#, TOKEN, ""), "password"),
            (with(r#"["https://a.example/?token=s3cret"]"#, TOKEN, ""), "query"),
            (with(r#"["http://a/", "http://a/"]"#, TOKEN, ""), "number 2"),
            (with(&format!("{:?}", vec!["http://a/"; 17]), TOKEN, ""), "16 is the most"),
            (with(r#"["http://a/"]"#, "", ""), "cascade.token"),
            (with("[]", "short", ""), "cascade.token"),
            (with("[]", "(hidden)", ""), "cascade.token"),
            (with("[]", TOKEN, &format!("[whep]\ntokens = [\"{TOKEN}\"]")), "of clients"),
            (format!("[cascade]\ntoken = \"{TOKEN}\""), "rtc.listen_ips"),
        ] {
            let error = said(&text).expect_err(part);
            assert!(error.contains(part) && !error.contains("s3cret") && !error.contains(TOKEN), "{part} in {error}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let config = Config::parse(&format!("[cascade]\ntoken = \"{TOKEN}\"")).expect("file");
        let shown = toml::to_string_pretty(&config.without_secrets()).expect("prints");
        assert!(!shown.contains(TOKEN) && !format!("{config:?}").contains(TOKEN), "{shown}");
    }
}
