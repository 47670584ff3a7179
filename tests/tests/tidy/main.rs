//! What no compiler checks: the arrows between packages and between folders, circles of files, fields that are open to
//! all, the top level, size budgets, banned calls and words, where unsafe code may be, and that every module says what
//! it is. Reads the sources as text; takes about a second.

mod architecture;
mod circles;
mod fields;
mod layers;
mod links;
mod modules;
mod prose;
mod source;
mod way;
mod workspace;

use std::fs;

use source::{blank, functions, line_of, without_tests, words};
use workspace::{assert_none, files, read, root, rust_files};

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_LINE_CHARS: usize = 120;

/// Package folder, then what its manifest must not name (design, "The crates").
const ARROWS: &[(&str, &[&str])] = &[
    ("dataplane/wire", &["corecast*", "glommio", "io-uring", "tokio", "libc", "axum"]),
    (
        "dataplane/core",
        &[
            "corecast",
            "corecast-dataplane",
            "corecast-bench",
            "corecast-tests",
            "glommio",
            "io-uring",
            "tokio",
            "libc",
            "axum",
            "core_affinity",
            "futures",
            "async-trait",
        ],
    ),
    ("dataplane", &["corecast", "corecast-bench", "corecast-tests", "tokio", "axum"]),
    (
        "dataplane/mediasoup",
        &["corecast", "corecast-core", "corecast-bench", "corecast-tests", "glommio", "io-uring", "tokio", "axum"],
    ),
    ("control", &["corecast-core", "corecast-bench", "corecast-tests", "io-uring", "glommio"]),
    ("bench", &["corecast", "corecast-tests"]),
    ("tests", &[]),
];

/// Files that may hold unsafe code, and why each must.
const UNSAFE: &[(&str, &str)] = &[
    ("dataplane/src/driver/arena.rs", "owns the memory that the kernel writes"),
    ("dataplane/src/driver/mmsg.rs", "hands buffers to the kernel"),
    ("dataplane/src/driver/ring/mod.rs", "frees buffers only when no receive is in flight"),
    ("dataplane/src/driver/ring/submit.rs", "submissions hold pointers"),
    ("dataplane/src/driver/ring/receive.rs", "receives point to a template and to buffers"),
    ("dataplane/src/driver/ring/buffers.rs", "shares memory with the kernel"),
    ("dataplane/src/sandbox/refused.rs", "a handler of refused system calls has no safe interface"),
    ("dataplane/mediasoup/src/descriptors.rs", "the channel's descriptors are known by number alone"),
    ("control/src/supervisor/fatal.rs", "a handler of fatal signals has no safe interface"),
    ("bench/src/ring.rs", "the floor is measured over the same ring"),
    ("bench/src/sockets.rs", "segmented sends, receive time stamps and pinning without the product's code"),
    ("tests/tests/supervision/hosts.rs", "refuses io_uring to a child before it starts"),
    ("tests/tests/allocation.rs", "a counting allocator, for Rust and for C"),
    ("tests/tests/handshakes.rs", "asks C's allocator what is allocated"),
];

/// Never outside of tests: each ends the process, or was left behind.
const BANNED: &[&str] = &[".unwrap()", "todo!", "unimplemented!", "dbg!"];
/// Nor these in the packages that read packets and frames: any byte string may come in.
const BANNED_WHERE_BYTES_ARE_READ: &[&str] = &[".expect(", "panic!", "unreachable!"];
/// Nor these in the machine, which knows no clock, no thread and no chance.
const BANNED_IN_CORE: &[&str] = &[
    "std::time::Instant",
    "SystemTime",
    "thread::",
    "async fn",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::env",
    "UdpSocket",
    "println!",
];

/// Code that is compiled into something that is shipped, unit tests in files of their own left out.
fn is_product(file: &str) -> bool {
    let product = (file.starts_with("dataplane/") || file.starts_with("control/")) && file.contains("/src/");
    product && !file.ends_with("/tests.rs") && !file.contains("/tests/")
}

#[test]
fn import_arrows_hold() {
    let mut problems = Vec::new();
    for (folder, banned) in ARROWS {
        let manifest = format!("{folder}/Cargo.toml");
        let table: toml::Table = read(&manifest).parse().unwrap_or_else(|error| panic!("{manifest}: {error}"));
        for name in dependencies(&table) {
            let hit = banned.iter().any(|banned| match banned.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == *banned,
            });
            if hit {
                problems.push(format!("{manifest}: {folder} must not import {name}"));
            }
        }
    }
    assert_none(&problems);
}

/// Names of the packages in every dependency table, those behind a `target` included.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in table {
        let Some(inner) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            for (name, entry) in inner {
                let package = entry.get("package").and_then(toml::Value::as_str);
                names.push(package.unwrap_or(name).to_owned());
            }
        } else if key == "target" {
            names.extend(inner.values().filter_map(toml::Value::as_table).flat_map(dependencies));
        }
    }
    names
}

/// What control may use of the data plane: to start a worker, what outlives one, and what all parts give up.
const OF_DATA_PLANE: [&str; 10] =
    ["run_among", "Mesh", "Ends", "Keep", "WaitForKeep", "Keeper", "HeldSockets", "hand_over", "take_over", "sandbox"];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn control_starts_workers_and_holds_what_outlives_them_and_sees_no_more_of_the_data_plane() {
    let mut problems = Vec::new();
    for (file, text) in rust_files().iter().filter(|(file, _)| file.starts_with("control/src/")) {
        let code = without_tests(&blank(text));
        for at in words(&code, "corecast_dataplane") {
            let used = code[at + "corecast_dataplane".len()..].trim_start_matches(':');
            let end = if used.starts_with('{') { used.find('}') } else { used.find(|c: char| !is_name(c)) };
            let names = used[..end.unwrap_or(0)].split(|c| !is_name(c)).filter(|name| !name.is_empty());
            for name in names.filter(|name| !OF_DATA_PLANE.contains(name)) {
                problems.push(format!("{file}:{}: of the data plane {name} may not be used", line_of(&code, at)));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn top_level_is_short() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "dataplane",
        "control",
        "bench",
        "tests",
        "docs",
        "findings",
        "target",
    ];
    let mut problems = Vec::new();
    for entry in fs::read_dir(root()).expect("the root can be read") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if !allowed.contains(&name.as_str()) && !name.starts_with('.') && !name.starts_with("LICENSE-") {
            problems.push(format!("{name} does not belong at the top level"));
        }
    }
    for name in allowed.iter().filter(|name| **name != "target") {
        if !root().join(name).exists() {
            problems.push(format!("{name} is missing at the top level"));
        }
    }
    assert_none(&problems);
}

#[test]
fn files_and_functions_keep_their_budget() {
    let mut problems = Vec::new();
    for (file, text) in rust_files() {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            problems.push(format!("{file}: {lines} lines, at most {MAX_FILE_LINES}"));
        }
        for (number, line) in text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > MAX_LINE_CHARS {
                problems.push(format!("{file}:{}: {chars} characters, at most {MAX_LINE_CHARS}", number + 1));
            }
        }
        for function in functions(&blank(&text)) {
            let lines = function.last - function.first + 1;
            if lines > MAX_FUNCTION_LINES {
                let (first, name) = (function.first, function.name);
                problems.push(format!("{file}:{first}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn banned_calls_are_absent() {
    let mut problems = Vec::new();
    for (file, text) in rust_files().iter().filter(|(file, _)| is_product(file)) {
        let code = without_tests(&blank(text));
        let core = file.starts_with("dataplane/core/");
        let reads_bytes = core || file.starts_with("dataplane/wire/");
        let banned = BANNED
            .iter()
            .chain(BANNED_WHERE_BYTES_ARE_READ.iter().filter(|_| reads_bytes))
            .chain(BANNED_IN_CORE.iter().filter(|_| core));
        for call in banned {
            for (at, _) in code.match_indices(call) {
                let part_of_word = call.starts_with(|c: char| c.is_ascii_alphabetic())
                    && at > 0
                    && source::is_word(code.as_bytes()[at - 1]);
                // Named once, for the clock of the DTLS library; nothing there reads it.
                let named = file == "dataplane/core/src/time.rs" && *call == "std::time::Instant";
                if !part_of_word && !named {
                    problems.push(format!("{file}:{}: {call}", line_of(&code, at)));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn unsafe_code_is_where_the_design_puts_it() {
    let mut problems = Vec::new();
    for (file, text) in rust_files() {
        if UNSAFE.iter().any(|(allowed, _)| *allowed == file) {
            continue;
        }
        let code = blank(&text);
        for at in words(&code, "unsafe") {
            problems.push(format!("{file}:{}: unsafe code", line_of(&code, at)));
        }
    }
    assert_none(&problems);
    for package in ["dataplane/wire", "dataplane/core"] {
        let lib = read(&format!("{package}/src/lib.rs"));
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{package} forbids unsafe code");
    }
}

#[test]
fn every_module_and_document_says_what_it_is() {
    let mut problems = Vec::new();
    for (file, text) in rust_files() {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let said = first.strip_prefix("//!").map(str::trim).unwrap_or_default();
        if said.len() < 10 && !first.starts_with("#![no_main]") {
            problems.push(format!("{file}: does not begin with a comment that says what it is"));
        }
    }
    for file in files().iter().filter(|file| file.starts_with("docs/") && file.ends_with(".md")) {
        if !read(file).starts_with("# ") {
            problems.push(format!("{file}: does not begin with a title"));
        }
    }
    assert_none(&problems);
}

#[test]
fn troubleshooting_names_every_discard() {
    let (source, docs) = (read("dataplane/wire/src/discard.rs"), read("docs/troubleshoot.md"));
    let names = source.lines().filter_map(|line| line.split_once(" = \"")?.1.strip_suffix("\","));
    let missing: Vec<_> =
        names.clone().filter(|name| !docs.contains(&format!("`{name}`"))).map(str::to_owned).collect();
    assert!(names.count() > 30, "the names are written in another way");
    assert_none(&missing);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Put together here, so that this file does not hold them.
    let private =
        [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/tmp/", "wt-"].concat(), ["/fa", "rm/"].concat()];
    let kinds = [".rs", ".toml", ".md", ".sh", ".lock", ".yml", "/run"];
    let mut problems = Vec::new();
    for file in files().iter().filter(|file| kinds.iter().any(|kind| file.ends_with(kind))) {
        let text = read(file);
        for (number, line) in text.lines().enumerate() {
            if private.iter().any(|path| line.contains(path.as_str())) {
                problems.push(format!("{file}:{}: a path of one machine: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none(&problems);
}
