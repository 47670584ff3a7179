//! mediasoup's own Node library with corecast as its worker: programs of `tests/mediasoup` that use the library as
//! applications do, each of which ends without an error if all is as it should be.
//!
//! `tests/run setup` installs the library, without its own worker. The worker is the dev build, or what
//! `MEDIASOUP_WORKER_BIN` names.

use std::path::{Path, PathBuf};
use std::process::Command;

use corecast_tests::bed;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mediasoup");
/// Seconds that one program may take.
const PATIENCE: &str = "400";

fn worker() -> PathBuf {
    let built = Path::new(DIRECTORY).join("../../target/debug/corecast-mediasoup-worker");
    let path = std::env::var_os("MEDIASOUP_WORKER_BIN").map_or(built, PathBuf::from);
    assert!(path.exists(), "{} is missing: build it (tests/run build)", path.display());
    path
}

/// Runs one of the programs, and shows what it said if it fails.
fn run(program: &str) {
    run_by(Command::new("timeout"), &[program]);
}

/// The same in a network with an address that is not loopback: a program and its arguments.
fn run_apart(program: &[&str]) {
    let (mut command, address) = bed::outside();
    command.arg("timeout").env("CORECAST_TEST_ADDRESS", address.to_string());
    run_by(command, program);
}

/// `command` ends with `timeout`.
fn run_by(mut command: Command, program: &[&str]) {
    let packages = Path::new(DIRECTORY).join("node_modules/mediasoup");
    assert!(packages.exists(), "{} is missing: tests/run setup installs it", packages.display());
    let output = command
        .args(["-k", "5", PATIENCE, "node"])
        .args(program)
        .current_dir(DIRECTORY)
        .env("MEDIASOUP_WORKER_BIN", worker())
        .env("DEBUG", "mediasoup:ERROR*,mediasoup:WARN*")
        .output()
        .expect("timeout runs");
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{program:?}: {said}");
    assert!(output.status.success(), "{program:?} ended with {}:\n{said}\n{log}", output.status);
}

/// Start, settings, exit codes, signals, messages that cannot be read.
#[test]
fn the_worker_is_a_process_as_mediasoups_is() {
    run("process.mjs");
}

/// Plain transports with real RTP: pauses, layers, closures, statistics, refusals.
#[test]
fn rtp_goes_through_plain_transports() {
    run("plain.mjs");
}

/// What new objects are, what is refused and how, what is told when something is asked for twice, suites, dual stack.
#[test]
fn an_application_cannot_tell_the_workers_apart() {
    run("likeness.mjs");
}

/// Audio level and active speaker, from levels in real packets.
#[test]
fn observers_hear_who_is_loud_and_who_speaks() {
    run("observers.mjs");
}

/// Messages between the application and data producers and consumers.
#[test]
fn messages_go_through_direct_transports() {
    run("direct.mjs");
}

/// Traces of packets, and the orientation of cameras.
#[test]
fn packets_that_an_application_asks_for_are_told() {
    run("traces.mjs");
}

/// Messages through pipes and plain transports, subchannels, sockets that share a port, another suite of SRTP.
#[test]
fn messages_go_from_worker_to_worker() {
    run("data.mjs");
}

/// Rooms wider than a worker: pipes between routers of two workers.
#[test]
fn a_pipe_joins_routers_of_two_workers() {
    run("pipe.mjs");
}

/// Hundreds of producers and more than a thousand consumers on a transport, all of them through a pipe with SRTP.
#[test]
fn an_application_does_not_meet_the_limits_of_clients() {
    run("crowd.mjs");
}

/// A pool of workers, rooms on them in turn, and two pages of Chromium with mediasoup-client.
#[test]
fn browsers_meet_through_a_server_with_a_pool_of_workers() {
    run("call.mjs");
}

/// Layers within one encoding of VP9 and AV1 in Chromium, and Firefox on either side.
#[test]
fn layers_and_firefox_go_through_the_worker() {
    run_apart(&["layers.mjs"]);
}

/// The tests that mediasoup has for its Node library, of the version that is in use.
#[test]
fn mediasoups_own_tests_pass() {
    run_apart(&["suites.mjs", "3.27.1"]);
}

/// Those of an older version, as a package of their own, but for what the library no longer does.
#[test]
fn mediasoups_older_tests_pass_where_the_library_does_as_they_want() {
    run_apart(&["suites.mjs", "3.14.7"]);
}

/// Every method and notification once, by name.
#[test]
fn every_method_and_notification_is_exercised() {
    run("every.mjs");
}

/// The schemas' methods and notifications, the page that lists them, and what the worker says of each.
#[test]
fn every_method_and_notification_is_named() {
    run("methods.mjs");
}
