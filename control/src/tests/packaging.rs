//! What a package installs beside the program: it must say what the program does.

use crate::config::Config;
use crate::exit;

const EXAMPLE: &str = include_str!("../../packaging/corecast.toml");
const UNIT: &str = include_str!("../../packaging/corecast.service");

/// The example with every key taken in: a key's line begins with its mark and no blank.
fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_alphabetic()) => key,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Names of all keys, tables included.
fn keys(table: &toml::Table, before: &str) -> Vec<String> {
    let named = |(key, value): (&String, &toml::Value)| match value.as_table() {
        Some(inner) => keys(inner, &format!("{before}{key}.")),
        None => vec![format!("{before}{key}")],
    };
    table.iter().flat_map(named).collect()
}

#[test]
fn the_example_has_every_key_with_its_default() {
    assert_eq!(Config::parse(EXAMPLE).expect("as it is installed"), Config::default());
    let text = uncommented();
    let mut config = Config::parse(&text).expect("with every key");
    assert!(config.http.tls_cert.take().is_some() && config.http.tls_key.take().is_some(), "files have no default");
    assert_eq!(config, Config::default());
    let given = keys(&text.parse().expect("TOML"), "");
    let known = keys(&toml::Table::try_from(Config::default()).expect("TOML"), "");
    let missing: Vec<_> = known.iter().filter(|key| !given.contains(key)).collect();
    assert!(missing.is_empty() && known.len() > 40, "{missing:?}");
}

#[test]
fn the_unit_knows_the_exit_codes_that_no_restart_cures_and_waits_for_a_drain() {
    let value = |key: &str| UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("is set");
    let codes = [
        exit::WRONG_SETTING,
        exit::CANNOT_LISTEN,
        exit::IO_URING_REFUSED,
        exit::CANNOT_LISTEN_FOR_MEDIA,
        exit::TOO_FEW_FILES,
    ];
    assert_eq!(value("RestartPreventExitStatus"), codes.map(|code| code.to_string()).join(" "));
    let drain = Config::default().drain.deadline.0.as_secs();
    assert_eq!(value("TimeoutStopSec"), (drain + 10).to_string());
    assert!(value("ExecReload").contains("-HUP"));
}
