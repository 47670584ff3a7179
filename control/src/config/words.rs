//! The words of the command line, before they are read, and the groups that help shows its flags in.

use std::ffi::OsString;

use clap::Command;

/// A flag that may stand without its value (`--gro`, `--gro false`) takes the next word only if that is one: not the
/// command behind it (`--tls-self-signed top`).
pub(super) fn without_swallowing(command: &Command, words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let may_stand_alone = |word: &str| {
        let named = command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| word == format!("--{long}")));
        named.and_then(|arg| arg.get_num_args()).is_some_and(|count| (count.min_values(), count.max_values()) == (0, 1))
    };
    let is_value = |word: Option<&OsString>| word.is_some_and(|word| word == "true" || word == "false");
    let mut words = words.into_iter().peekable();
    let mut separate = Vec::new();
    while let Some(word) = words.next() {
        let stands_alone = word.to_str().is_some_and(may_stand_alone) && !is_value(words.peek());
        separate.push(word);
        if let (true, Some(flag)) = (stands_alone, separate.last_mut()) {
            flag.push("=true");
        }
    }
    separate
}

/// The heading of a flag; none for those that are no settings.
pub(super) fn group(id: &str) -> Option<&'static str> {
    Some(match id.split('_').next()? {
        "config" | "print" | "version" | "help" => return None,
        "http" | "tls" => "[http]: pages and API",
        "whip" | "whep" | "api" | "admin" => "[whip], [whep], [api], [admin]: who may do what",
        "webhooks" => "[webhooks]: who is told of events",
        "cascade" => "[cascade]: other machines",
        "rtc" => "[rtc]: media",
        "dtls" | "sctp" => "[dtls], [sctp]: security and data channels",
        "limits" => "[limits]: what clients may ask",
        "rooms" => "[rooms]: life of rooms",
        "worker" | "usage" | "failover" | "drain" => "[worker], [usage], [failover], [drain]: supervision",
        "log" | "telemetry" => "[log], [telemetry]: what the server tells",
        _ => "Workers",
    })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::config::{Args, Config, Role};

    fn read(words: &[&str]) -> (Args, Config) {
        let command = Args::described();
        let words = without_swallowing(&command, words.iter().map(OsString::from));
        let matches = command.try_get_matches_from(words).expect("is right");
        let args = Args::from_arg_matches(&matches).expect("is right");
        let mut config = Config::default();
        config.overlay(&args);
        (args, config)
    }

    #[test]
    fn a_flag_does_not_swallow_the_command_behind_it() {
        let (args, config) = read(&["corecast", "--tls-self-signed", "check"]);
        assert!(matches!(args.role, Some(Role::Check)) && config.http.tls_self_signed);
        let (args, config) = read(&["corecast", "--tls-self-signed", "--gro", "false", "--rtc-tcp", "true", "top"]);
        assert!(matches!(args.role, Some(Role::Top(_))));
        assert!(config.http.tls_self_signed && !config.gro.0 && config.rtc.tcp);
        let (args, config) = read(&["corecast", "--tls-self-signed=false", "--gro", "--isolation", "process"]);
        assert!(args.role.is_none() && !config.http.tls_self_signed && config.gro.0);
    }
}
