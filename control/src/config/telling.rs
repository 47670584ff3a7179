//! What the operator may set about what the server tells of itself: its log, and traces.

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::url::fault_of_base;
use super::{Config, ConfigError, set};
use crate::settings::{LogFormat, Span};

/// Why a URL has none.
const NO_USER: &str = "must not have a user and a password: give headers by OTEL_EXPORTER_OTLP_HEADERS";

/// The usage log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UsageLog {
    /// Interval of one line per worker.
    pub(crate) interval: Span,
}

impl Default for UsageLog {
    fn default() -> Self {
        Self { interval: Span::from_secs(120) }
    }
}

/// The log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// As `tracing-subscriber` reads it: `info`, `corecast=debug,warn`.
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

impl Log {
    /// Checks that the filter can be read.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let read = tracing_subscriber::EnvFilter::try_new(&self.filter);
        read.map(drop).map_err(|error| ConfigError(format!("log.filter {:?} cannot be read: {error}", self.filter)))
    }
}

/// Traces of the control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// URL of a collector that takes OTLP over HTTP; `/v1/traces` is added. Empty: no traces.
    pub(crate) otlp_endpoint: String,
    /// Share of the traces that are recorded, 0 to 1.
    pub(crate) sample: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), sample: 1.0 }
    }
}

impl Telemetry {
    /// Checks that traces can be sent there, by this program.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |sentence: &str| Err(ConfigError(sentence.to_owned()));
        if !(0.0..=1.0).contains(&self.sample) {
            return wrong("telemetry.sample must be 0 to 1");
        }
        if self.otlp_endpoint.is_empty() {
            return Ok(());
        }
        if let Some(cause) = fault_of_base(&self.otlp_endpoint, NO_USER) {
            return Err(ConfigError(format!("telemetry.otlp_endpoint {cause}")));
        }
        match cfg!(feature = "otlp") {
            true => Ok(()),
            false => wrong(
                "telemetry.otlp_endpoint is set, and this program was built without traces: build it with \
                 `--features otlp`",
            ),
        }
    }
}

/// Flags of these settings.
#[derive(Clone, Debug, Parser)]
pub(crate) struct TellingArgs {
    /// Interval of the usage log [default: 120s]
    #[arg(long, env = "CORECAST_USAGE_INTERVAL", value_name = "TIME")]
    usage_interval: Option<Span>,
    /// Log filter, as in RUST_LOG [default: info]
    #[arg(long, env = "CORECAST_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Lines of the log: text or json [default: text]
    #[arg(long, env = "CORECAST_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// URL of a collector that is sent traces, by OTLP over HTTP, where the program was built with `otlp`
    #[arg(long, env = "CORECAST_TELEMETRY_OTLP_ENDPOINT", value_name = "URL")]
    telemetry_otlp_endpoint: Option<String>,
    /// Share of the traces that are recorded, 0 to 1 [default: 1]
    #[arg(long, env = "CORECAST_TELEMETRY_SAMPLE", value_name = "SHARE")]
    telemetry_sample: Option<f64>,
}

impl TellingArgs {
    pub(super) fn overlay(&self, config: &mut Config) {
        set(&mut config.usage.interval, &self.usage_interval);
        set(&mut config.log.filter, &self.log);
        set(&mut config.log.format, &self.log_format);
        set(&mut config.telemetry.otlp_endpoint, &self.telemetry_otlp_endpoint);
        set(&mut config.telemetry.sample, &self.telemetry_sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(endpoint: &str, sample: f64) -> Result<(), String> {
        Telemetry { otlp_endpoint: endpoint.into(), sample }.check().map_err(|error| error.0)
    }

    #[test]
    fn wrong_endpoints_are_refused_and_not_shown() {
        assert_eq!(said("", 0.5), Ok(()));
        for (endpoint, sample, part) in [
            ("localhost:4318", 1.0, "http://"),
            ("grpc://a:4317", 1.0, "http://"),
            ("http://u:s3cret@a:4318", 1.0, "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://a/?key=s3cret", 1.0, "query"),
            ("http://a:4318", 1.5, "0 to 1"),
            ("http://a:4318", f64::NAN, "0 to 1"),
        ] {
            let error = said(endpoint, sample).expect_err(endpoint);
            assert!(error.contains(part) && !error.contains("s3cret"), "{part} in {error}");
        }
    }

    #[test]
    fn a_program_without_traces_says_so() {
        let said = said("https://collector.example:4318/otlp", 0.1);
        match cfg!(feature = "otlp") {
            true => assert_eq!(said, Ok(())),
            false => assert!(said.is_err_and(|error| error.contains("--features otlp"))),
        }
    }

    #[test]
    fn a_share_may_be_a_whole_number() {
        let config = Config::parse("[telemetry]\nsample = 1").expect("file");
        assert_eq!(config.telemetry, Telemetry::default());
    }
}
