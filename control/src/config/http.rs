//! What the operator may set about HTTP: where it listens, HTTPS, pages of other origins; and the flags of `access`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, set, set_list};
use crate::settings::{AdminListen, BasePath, Listen, Network};

/// The pages and the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// On loopback by default: who reaches the API can aim media anywhere.
    pub(crate) listen: Listen,
    /// Origins of web pages that may call the API, beside the server's own.
    pub(crate) origins: Vec<String>,
    /// Proxies in front, whose word about clients is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Path below which a proxy shows the server.
    pub(crate) base_path: BasePath,
    /// HTTPS with this certificate chain, a PEM file, the server's own certificate first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// HTTPS with a certificate that is made at each start of the supervisor.
    pub(crate) tls_self_signed: bool,
}

impl Http {
    pub(crate) fn is_https(&self) -> bool {
        self.tls_self_signed || self.tls_cert.is_some()
    }

    /// Checks that a browser may send each origin: another one would let no page in, and nobody would know why.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |origin: &String, how: &str| {
            let sentence = "is no origin as browsers send them, such as https://app.example or http://10.0.0.5:8080";
            Err(ConfigError(format!("http.origins: {origin:?} {sentence}{how}")))
        };
        for origin in &self.origins {
            let Some((scheme, host)) = origin.trim_end_matches('/').split_once("://") else { return wrong(origin, "") };
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]+".contains(c);
            if scheme.is_empty() || host.is_empty() || !(scheme.chars().all(is_plain) && host.chars().all(is_plain)) {
                return wrong(origin, "");
            }
            if [("http", ":80"), ("https", ":443")].iter().any(|(of, port)| scheme == *of && host.ends_with(port)) {
                return wrong(origin, ": write it without its port");
            }
        }
        Ok(())
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 4080))),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            base_path: BasePath::default(),
            tls_cert: None,
            tls_key: None,
            tls_self_signed: false,
        }
    }
}

/// Flags of these settings.
#[derive(Clone, Debug, Parser)]
pub(crate) struct HttpArgs {
    /// Address of the pages and the HTTP API [default: 127.0.0.1:4080]
    #[arg(long, env = "CORECAST_HTTP_LISTEN", value_name = "IP:PORT")]
    http_listen: Option<Listen>,
    /// Further origins of web pages that may call the API
    #[arg(long, env = "CORECAST_HTTP_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    http_origins: Vec<String>,
    /// Proxies in front that say who the client is (Forwarded, X-Forwarded-For), addresses or networks
    #[arg(long, env = "CORECAST_HTTP_TRUSTED_PROXIES", value_name = "NET", value_delimiter = ',')]
    http_trusted_proxies: Vec<Network>,
    /// Path below which a proxy shows the server, such as /sfu
    #[arg(long, env = "CORECAST_HTTP_BASE_PATH", value_name = "PATH")]
    http_base_path: Option<BasePath>,
    /// HTTPS with this certificate chain (PEM)
    #[arg(long, env = "CORECAST_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate (PEM)
    #[arg(long, env = "CORECAST_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// HTTPS with a certificate made at start: browsers warn, and then allow camera and microphone
    #[arg(long, env = "CORECAST_TLS_SELF_SIGNED", num_args = 0..=1, default_missing_value = "true")]
    tls_self_signed: Option<bool>,
    /// Where the API for operators listens: auto (a Unix socket), off, a path or IP:PORT [default: auto]
    #[arg(long, env = "CORECAST_ADMIN_LISTEN", value_name = "WHERE")]
    admin_listen: Option<AdminListen>,
    /// Bearer tokens of publishers; without any everybody may publish
    #[arg(long, env = "CORECAST_WHIP_TOKENS", value_name = "TOKEN", value_delimiter = ',', hide_env_values = true)]
    whip_tokens: Vec<String>,
    /// Bearer tokens of viewers; without any everybody may watch
    #[arg(long, env = "CORECAST_WHEP_TOKENS", value_name = "TOKEN", value_delimiter = ',', hide_env_values = true)]
    whep_tokens: Vec<String>,
    /// Bearer tokens of the rest of the API [default: the tokens of publishers, or else of viewers]
    #[arg(long, env = "CORECAST_API_TOKENS", value_name = "TOKEN", value_delimiter = ',', hide_env_values = true)]
    api_tokens: Vec<String>,
}

impl HttpArgs {
    pub(super) fn overlay(&self, config: &mut Config) {
        set(&mut config.http.listen, &self.http_listen);
        set(&mut config.admin.listen, &self.admin_listen);
        set(&mut config.http.tls_cert, &self.tls_cert.clone().map(Some));
        set(&mut config.http.tls_key, &self.tls_key.clone().map(Some));
        set(&mut config.http.tls_self_signed, &self.tls_self_signed);
        set_list(&mut config.http.trusted_proxies, &self.http_trusted_proxies);
        set(&mut config.http.base_path, &self.http_base_path);
        set_list(&mut config.http.origins, &self.http_origins);
        set_list(&mut config.whip.tokens, &self.whip_tokens);
        set_list(&mut config.whep.tokens, &self.whep_tokens);
        set_list(&mut config.api.tokens, &self.api_tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_no_browser_sends_is_refused() {
        let checked = |origin: &str| {
            let config = Config::parse(&format!("[http]\norigins = [{origin:?}]")).expect("file");
            config.check()
        };
        for origin in
            ["https://app.example", "http://app.example:8080/", "http://[2001:db8::1]:8080", "app+x://localhost"]
        {
            assert_eq!(checked(origin), Ok(()), "{origin}");
        }
        for origin in ["app.example", "*", "https://", "https://App.example", "https://app.example/room", ""] {
            let error = checked(origin).expect_err(origin).0;
            assert!(error.contains("http.origins") && error.contains("https://app.example"), "{origin}: {error}");
        }
        // Browsers leave the scheme's own port out.
        assert!(checked("https://app.example:443").expect_err("443").0.contains("without its port"));
    }

    #[test]
    fn flags_lie_over_the_file_and_tokens_of_the_api_fall_back_on_the_others() {
        let mut config = Config::parse("[whep]\ntokens = [\"watch\"]").expect("file");
        assert_eq!(config.api_tokens(), ["watch"]);
        let overlay = |config: &mut Config, flags: &[&str]| {
            let flags = std::iter::once(&"corecast").chain(flags);
            HttpArgs::try_parse_from(flags).expect("flags").overlay(config);
        };
        overlay(&mut config, &["--whip-tokens", "a,b"]);
        assert_eq!(config.api_tokens(), ["a", "b"]);
        overlay(&mut config, &["--api-tokens", "c"]);
        assert_eq!((config.api_tokens(), config.whip.tokens.len()), (["c".to_owned()].as_slice(), 2));
        assert!(Config::default().api_tokens().is_empty());
    }
}
