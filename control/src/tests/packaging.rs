//! What a package installs beside the program: it must say what the program does.

use std::path::Path;

use clap_complete::Shell;

use crate::config::{Args, Config};
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

/// Manual pages and completions, as the command line is now: the file below `packaging`, and what is in it.
fn of_the_command_line() -> Vec<(String, String)> {
    // The revision changes with each commit.
    let command = || Args::described().version(env!("CARGO_PKG_VERSION"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is text");
    let page = |command: clap::Command| {
        let (mut bytes, page) = (Vec::new(), clap_mangen::Man::new(command));
        page.render(&mut bytes).expect("to memory");
        (format!("man/{}", page.get_filename()), text(bytes))
    };
    let mut files = vec![page(command())];
    let mut built = command();
    built.build();
    let shown = built.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    files.extend(shown.map(|sub| page(sub.clone())));
    for (name, shell) in [("corecast.bash", Shell::Bash), ("_corecast", Shell::Zsh), ("corecast.fish", Shell::Fish)] {
        let mut bytes = Vec::new();
        clap_complete::generate(shell, &mut shown_of(&command()), "corecast", &mut bytes);
        files.push((format!("completions/{name}"), text(bytes)));
    }
    files
}

/// The command line without what is hidden, which shells would offer.
fn shown_of(command: &clap::Command) -> clap::Command {
    clap::Command::new("corecast")
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned())
}

/// With `CORECAST_WRITE=1` it writes them instead.
#[test]
fn manual_pages_and_completions_are_those_of_the_command_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for (name, wanted) in of_the_command_line() {
        let file = folder.join(&name);
        if std::env::var_os("CORECAST_WRITE").is_some() {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("is made");
            std::fs::write(&file, &wanted).expect("is written");
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == wanted, "{name} is not up to date: run this test with CORECAST_WRITE=1, and commit it");
    }
}
