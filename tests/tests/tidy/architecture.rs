//! The design's order inside of the packages, checked: circles, layers, fields, prose, and the page that follows a
//! packet.

use crate::circles::circles;
use crate::fields::visible_fields;
use crate::layers::{Row, backwards, outside, upwards};
use crate::modules::Package;
use crate::prose::banned_phrases;
use crate::way::wrong_steps;
use crate::workspace::{assert_none, files, read, rust_files};

/// Areas that a check does not hold in yet: the check's name, and what the paths of the files begin with. To be empty.
const NOT_YET: &[(&str, &str)] = &[];

/// Packages' sources without circles.
const PACKAGES: &[&str] = &[
    "dataplane/wire/src",
    "dataplane/core/src",
    "dataplane/src",
    "dataplane/mediasoup/src",
    "control/src",
    "bench/src",
    "tests/src",
];

/// Packages' sources in which fields are private to their folder. (What wire holds is written out as it is.)
const PRIVATE: &[&str] =
    &["dataplane/core/src", "dataplane/src", "dataplane/mediasoup/src", "control/src", "bench/src"];

/// Folder or file of the core, and what it may use beside itself, from the bottom to the top: formats, engines, what is
/// known of transports and media, and behaviour.
const CORE: &[Row<'_>] = &[
    ("limits", &[]),
    ("time", &[]),
    ("key", &[]),
    ("memory", &[]),
    ("ration", &["time"]),
    ("rtp", &["limits", "time"]),
    ("rtcp", &["limits", "time"]),
    ("stun", &["limits", "time"]),
    ("codec", &["limits", "time", "rtp"]),
    ("io/path", &["limits", "time"]),
    ("io/timers", &["limits", "time", "key"]),
    ("srtp", &["limits", "time", "memory", "rtp", "rtcp"]),
    ("dtls", &["limits", "time", "srtp"]),
    ("ice", &["limits", "time", "stun", "io/path"]),
    ("sctp", &["limits", "time"]),
    ("data", &["limits", "time", "key"]),
    ("config", &["limits", "time", "dtls", "ice"]),
    ("media", &["limits", "time", "key", "memory", "ration", "rtp", "rtcp", "codec", "srtp", "io/path", "io/timers"]),
    ("io", &["limits", "time", "key", "memory", "rtp", "rtcp", "stun", "media"]),
    ("congestion", &["limits", "time", "key", "ration", "rtp", "rtcp", "io", "media"]),
    ("consumer", &["limits", "time", "key", "memory", "ration", "rtp", "rtcp", "codec", "srtp", "io", "media"]),
    (
        "transport",
        &[
            "limits",
            "time",
            "key",
            "memory",
            "rtp",
            "rtcp",
            "srtp",
            "dtls",
            "ice",
            "sctp",
            "io",
            "media",
            "congestion",
            "consumer",
        ],
    ),
    ("observers", &["limits", "time", "key", "io"]),
    ("worker", &["*"]),
];

/// Folder or file of control, and what it may use beside itself, from the bottom to the top: settings, the texts of
/// sessions, workers, the domain, how it all does, what all HTTP
/// shares, operators, and the ways of signaling.
const CONTROL: &[Row<'_>] = &[
    ("exit", &[]),
    ("settings", &[]),
    ("logging", &["settings"]),
    ("jwt", &["settings"]),
    ("shares", &[]),
    ("outbound", &[]),
    ("ortc", &[]),
    ("sdp", &["settings", "ortc"]),
    ("config", &["settings", "jwt", "sdp"]),
    ("spans", &["logging", "config", "outbound"]),
    ("addresses", &["settings", "config"]),
    ("certificate", &[]),
    ("ledger", &[]),
    ("lifecycle", &["ledger"]),
    ("inherited", &[]),
    ("tls", &["settings", "config", "addresses"]),
    ("connections", &["settings", "shares", "config"]),
    ("check", &["config"]),
    ("admin_socket", &["settings"]),
    ("supervisor", &["check", "exit", "ledger", "logging", "settings", "config", "addresses", "admin_socket", "tls"]),
    ("workers", &["settings", "logging", "config", "spans", "addresses", "certificate", "inherited", "supervisor"]),
    ("heart", &["exit", "supervisor", "workers"]),
    ("webhooks", &["config", "ledger", "lifecycle", "outbound", "spans"]),
    (
        "rooms",
        &["settings", "shares", "config", "addresses", "certificate", "ledger", "lifecycle", "ortc", "sdp", "workers"],
    ),
    ("cascade", &["config", "outbound", "rooms"]),
    ("telemetry", &["workers", "rooms"]),
    (
        "http",
        &[
            "settings",
            "shares",
            "config",
            "spans",
            "addresses",
            "certificate",
            "ledger",
            "lifecycle",
            "connections",
            "sdp",
            "workers",
            "webhooks",
            "rooms",
            "cascade",
            "telemetry",
        ],
    ),
    (
        "ops",
        &[
            "settings",
            "logging",
            "jwt",
            "shares",
            "config",
            "spans",
            "lifecycle",
            "ortc",
            "workers",
            "webhooks",
            "rooms",
            "telemetry",
            "http",
        ],
    ),
    ("top", &["exit", "logging", "config", "telemetry"]),
    ("ctl", &["exit", "settings", "config", "admin_socket", "http", "ops"]),
    ("signaling", &["*"]),
    ("server", &["*"]),
];

/// Package, text, and the folders that alone may have it.
const ONLY_IN: &[(&str, &str, &[&str])] = &[
    ("dataplane/core/src", "impl Worker", &["worker"]),
    ("control/src", "axum", &["http", "signaling", "ops", "server", "connections"]),
    ("control/src", "StatusCode", &["http", "signaling", "ops", "connections", "ctl", "webhooks", "cascade"]),
];

/// Leaves out what is known not to hold yet.
fn assert_holds(check: &str, mut problems: Vec<String>) {
    problems.retain(|problem| !NOT_YET.iter().any(|(name, area)| *name == check && problem.contains(area)));
    assert_none(&problems);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let files = rust_files();
    let problems = PACKAGES.iter().flat_map(|src| circles(&Package::read(src, &files))).collect();
    assert_holds("circles", problems);
}

#[test]
fn the_layers_go_upwards() {
    let problems: Vec<String> = [CORE, CONTROL].into_iter().flat_map(upwards).collect();
    assert_none(&problems);
}

#[test]
fn folders_use_what_is_below_them() {
    let files = rust_files();
    let mut problems = Vec::new();
    for (src, rows) in [("dataplane/core/src", CORE), ("control/src", CONTROL)] {
        problems.extend(backwards(src, &Package::read(src, &files), rows));
    }
    assert_holds("layers", problems);
}

#[test]
fn each_thing_is_named_in_its_own_folders() {
    let files = rust_files();
    let mut problems = Vec::new();
    for (src, text, folders) in ONLY_IN {
        for (_, file, code) in Package::read(src, &files).modules() {
            problems.extend(outside(src, code, file, text, folders));
        }
    }
    assert_holds("layers", problems);
}

#[test]
fn fields_are_private_to_their_folder() {
    let files = rust_files();
    let mut problems = Vec::new();
    for src in PRIVATE {
        for (module, file, code) in Package::read(src, &files).modules() {
            let folder = file.ends_with("/mod.rs") || file.ends_with("/lib.rs") || file.ends_with("/main.rs");
            for (line, field) in visible_fields(code, module, folder) {
                problems.push(format!("{file}:{line}: {field}"));
            }
        }
    }
    assert_holds("fields", problems);
}

#[test]
fn prose_is_plain() {
    let is_prose = |file: &String| file.ends_with(".rs") || file.ends_with(".md");
    let files = files();
    let problems = files.iter().filter(|file| is_prose(file)).flat_map(|file| banned_phrases(file, &read(file)));
    assert_holds("prose", problems.collect());
}

#[test]
fn the_page_that_follows_a_packet_names_what_is_there() {
    let roots = ["dataplane/core/src", "dataplane/src"];
    let problems = wrong_steps(&read("docs/design.md"), &roots, &rust_files());
    assert_holds("way", problems.iter().map(|problem| format!("docs/design.md: {problem}")).collect());
}
