//! Applications on `mediasoup-client` and `protoo-client`, both unmodified, against corecast alone: the tests of
//! `tests/mediasoup/protoo.mjs` in Chromium and Firefox, in a network of their own (`bed`), since Firefox does not
//! connect to a loopback address.
//!
//! `tests/run setup` installs the packages and the browsers.

use std::path::Path;
use std::process::{Command, ExitCode};

use corecast_tests::bed::{Bed, Entered, enter};
use libtest_mimic::{Arguments, Trial};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mediasoup");
/// Seconds that one test may take.
const PATIENCE: &str = "240";
/// Tests that need a network of their own: they drop packets by rule.
const DROPPING: [&str; 2] = ["silence", "redundant"];
/// Tests of a room that is wider than a core: those who receive are sent from another worker than their senders'.
const WIDE: [&str; 2] = ["call", "restart"];
/// Names of the program's tests, and what each is about.
const TESTS: [(&str, &str); 11] = [
    ("one_of_each_generation_meets_the_other", "call"),
    ("spatial_layers_of_vp9_and_av1_and_vp9_of_firefox", "codecs"),
    ("a_client_may_be_the_dtls_server_or_come_by_tcp", "roles"),
    ("a_peer_that_comes_again_takes_its_own_place", "again"),
    ("consumers_are_as_many_as_the_first_client_wants", "replicas"),
    ("the_servers_own_page_is_a_peer_like_others", "page"),
    ("whip_and_whep_are_peers_like_others", "whip"),
    ("a_client_that_falls_silent_is_closed", "silence"),
    ("where_the_loudest_is_heard_who_is_not_has_paused", "loudest"),
    ("a_client_that_loses_sound_and_asks_for_it_is_sent_it_twice", "redundant"),
    ("clients_come_again_when_the_server_was_killed", "restart"),
];

/// Runs one of the program's tests against a server of its own.
fn run(bed: &Bed, test: &str) -> Result<(), libtest_mimic::Failed> {
    let wide = ["--workers", "2", "--rooms-widen-percent", "1", "--worker-heartbeat", "60s"];
    let settings = std::env::temp_dir().join(format!("corecast-protoo-{}.toml", std::process::id()));
    std::fs::write(&settings, "[rooms]\nloudest = 1\n").expect("is written");
    let alone = ["--config", settings.to_str().expect("UTF-8")];
    let server = bed.server(match test {
        "loudest" => &alone,
        _ if WIDE.contains(&test) => &wide,
        _ => &[],
    });
    let url = format!("http://{}", server.address);
    let output = Command::new("timeout")
        .args(["-k", "5", PATIENCE, "node", "protoo.mjs", &url, test])
        .current_dir(DIRECTORY)
        .output()
        .expect("timeout runs");
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    let grew = !server.lines(&["is on worker", "as well"]).is_empty();
    if output.status.success() && grew == WIDE.contains(&test) {
        return Ok(());
    }
    let lines: Vec<_> = server.log().into_iter().map(|(_, line)| line).collect();
    Err(format!("{}, the room grew: {grew}:\n{said}\n{log}\n{}", output.status, lines.join("\n")).into())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bed = match enter() {
        Entered::Inside(bed) => bed,
        Entered::Ran(code) => return code,
    };
    let packages = Path::new(DIRECTORY).join("node_modules/protoo-client");
    assert!(packages.exists(), "{} is missing: tests/run setup installs it", packages.display());
    let trial = |(name, test): (&str, &'static str)| {
        let ignored = DROPPING.contains(&test) && !bed.isolated;
        Trial::test(name, move || run(&bed, test)).with_ignored_flag(ignored)
    };
    libtest_mimic::run(&arguments, TESTS.map(trial).into()).exit_code()
}
