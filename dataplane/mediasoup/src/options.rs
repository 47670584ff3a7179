//! The command line that the library gives: long options with one or two dashes, values behind `=`, names that may be
//! cut short (the library says `logTag` for `logTags`), as GNU's `getopt_long_only` takes them.

use corecast_wire::Sandbox;

use crate::log::{Level, Tags};

/// Whether the worker gives up what it does not need once it runs: `on` (without it), `log` or `off`.
pub(crate) const SANDBOX_VARIABLE: &str = "CORECAST_SANDBOX";

/// Ports from which transports are given theirs, unless they name some: mediasoup's default.
const PORTS: (u16, u16) = (10_000, 59_999);
const NAMES: [&str; 7] = [
    "logLevel",
    "logTags",
    "rtcMinPort",
    "rtcMaxPort",
    "dtlsCertificateFile",
    "dtlsPrivateKeyFile",
    "libwebrtcFieldTrials",
];

/// Settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) log_level: Level,
    pub(crate) log_tags: Tags,
    /// First and last port.
    pub(crate) ports: (u16, u16),
    pub(crate) certificate_file: Option<String>,
    pub(crate) private_key_file: Option<String>,
    /// Names of options that were given and change nothing.
    pub(crate) ignored: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_level: Level::Error,
            log_tags: Tags::default(),
            ports: PORTS,
            certificate_file: None,
            private_key_file: None,
            ignored: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut tags = Vec::new();
        for argument in arguments {
            let Some(option) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else { continue };
            let (name, value) = option.split_once('=').ok_or_else(|| format!("option {option} has no value"))?;
            let port = || value.parse::<u16>().map_err(|_| format!("{name} is no port: {value}"));
            match full_name(name)? {
                "logLevel" => options.log_level = value.parse()?,
                "logTags" => tags.push(value.to_owned()),
                "rtcMinPort" => options.ports.0 = port()?,
                "rtcMaxPort" => options.ports.1 = port()?,
                "dtlsCertificateFile" => options.certificate_file = Some(value.to_owned()),
                "dtlsPrivateKeyFile" => options.private_key_file = Some(value.to_owned()),
                other => options.ignored.push(other.to_owned()),
            }
        }
        options.log_tags = Tags::of(&tags);
        if options.ports.1 < options.ports.0 {
            return Err("rtcMaxPort cannot be less than rtcMinPort".into());
        }
        if options.certificate_file.is_some() != options.private_key_file.is_some() {
            return Err("dtlsCertificateFile and dtlsPrivateKeyFile need each other".into());
        }
        Ok(options)
    }
}

/// What the worker gives up, by [`SANDBOX_VARIABLE`]: the library gives no options of other programs.
///
/// # Errors
/// A sentence about what is wrong with it.
pub(crate) fn sandbox(value: Option<&str>) -> Result<Sandbox, String> {
    match value {
        None | Some("on") => Ok(Sandbox::On),
        Some("log") => Ok(Sandbox::Log),
        Some("off") => Ok(Sandbox::Off),
        Some(other) => Err(format!("{SANDBOX_VARIABLE} must be on, log or off, not {other}")),
    }
}

fn full_name(name: &str) -> Result<&'static str, String> {
    let mut found = NAMES.into_iter().filter(|full| full.starts_with(name));
    match (found.next(), found.next()) {
        (Some(full), None) => Ok(full),
        (Some(full), Some(_)) if full == name => Ok(full),
        _ => Err(format!("unknown option {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn what_the_library_gives_is_understood() {
        let given = ["--logLevel=debug", "--logTag=ice", "--logTag=info", "--rtcMinPort=40000", "--rtcMaxPort=40100"];
        let options = parse(&given).expect("all of it is known");
        assert_eq!(options.log_level, Level::Debug);
        assert!(options.log_tags.has("ice") && options.log_tags.has("info") && !options.log_tags.has("dtls"));
        assert_eq!(options.ports, (40_000, 40_100));
        let options = parse(&["--libwebrtcFieldTrials=WebRTC-Bwe-AlrLimitedBackoff/Enabled/"]).expect("known");
        assert_eq!(options.ignored, ["libwebrtcFieldTrials"]);
        assert_eq!(parse(&[]), Ok(Options::default()));
    }

    #[test]
    fn the_sandbox_is_on_unless_it_is_told_otherwise() {
        assert_eq!((sandbox(None), sandbox(Some("off"))), (Ok(Sandbox::On), Ok(Sandbox::Off)));
        assert!(sandbox(Some("no")).is_err_and(|error| error.contains(SANDBOX_VARIABLE)));
    }

    #[test]
    fn wrong_settings_are_refused() {
        for wrong in [
            &["--logLevel=loud"][..],
            &["--rtcMinPort=70000"],
            &["--rtcMinPort=2000", "--rtcMaxPort=1000"],
            &["--rtc=1000"],
            &["--colour=red"],
            &["--logLevel"],
            &["--dtlsCertificateFile=cert.pem"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
