//! WebRTC clients that are no browsers: aiortc (Python's own stack) and GStreamer's webrtcbin (libnice, OpenSSL,
//! libsrtp) publish by WHIP and watch each other by WHEP, and both watch a broadcaster who sends plain RTP. What counts
//! is frames decoded on the far side.

use std::process::ExitCode;
use std::time::Instant;

use corecast_tests::bed::{Bed, Entered, enter};
use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::script::{PATIENCE, Script};
use corecast_tests::server::Server;
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

/// One second of pictures at the rate of the scripts, and as much of sound.
const FRAMES: u64 = 15;

fn url(server: &Server, path: &str) -> String {
    format!("http://{}/{path}", server.address)
}

/// Somebody who watches by WHEP.
struct Watcher {
    name: &'static str,
    script: Script,
}

impl Watcher {
    fn aiortc(server: &Server, path: &str) -> Self {
        Self { name: "aiortc", script: Script::client("clients/aiortc_watch.py", &[url(server, path)]) }
    }

    fn gstreamer(server: &Server, path: &str) -> Self {
        Self { name: "GStreamer", script: Script::python("clients/gst_watch.py", &[url(server, path)]) }
    }

    /// Waits until it has decoded a second of both kinds; then it ends its session, and the server agrees.
    fn decodes_and_ends(mut self) {
        let begun = Instant::now();
        loop {
            let line = self.script.line();
            let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if ["audio", "video"].iter().all(|kind| said["frames"][*kind].as_u64() >= Some(FRAMES)) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{} decoded only {said}: {}", self.name, self.script.errors());
        }
        ends(&mut self.script);
    }
}

/// Lets a client end its session. The server answers its DELETE with success.
fn ends(script: &mut Script) {
    script.close_input();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let line = script.line();
        if let Some(status) = line.strip_prefix("ended ") {
            assert!(status.starts_with('2'), "DELETE of the session: {status}");
            return;
        }
    }
    panic!("the client does not end: {}", script.errors());
}

fn publishes(script: &Script) {
    assert_eq!(script.line(), "publishing", "{}", script.errors());
}

fn aiortc_to_gstreamer(bed: Bed) {
    let server = bed.server(&[]);
    let mut publisher = Script::client("clients/aiortc_publish.py", &[url(&server, "whip/a?peer=p"), "vp8".into()]);
    publishes(&publisher);
    let watchers = [Watcher::gstreamer(&server, "whep/a/p"), Watcher::aiortc(&server, "whep/a")];
    watchers.into_iter().for_each(Watcher::decodes_and_ends);
    ends(&mut publisher);
}

/// The watchers are there first: they are told to ask again until there is a publisher.
fn gstreamer_to_aiortc(bed: Bed) {
    let server = bed.server(&[]);
    let early = Watcher::aiortc(&server, "whep/g");
    let mut publisher = Script::python("clients/gst_publish.py", &[url(&server, "whip/g?peer=p")]);
    publishes(&publisher);
    early.decodes_and_ends();
    Watcher::gstreamer(&server, "whep/g/p").decodes_and_ends();
    ends(&mut publisher);
}

fn h264_between_aiortcs(bed: Bed) {
    let (server, other) = bed.machines();
    let mut publisher = Script::client("clients/aiortc_publish.py", &[url(&server, "whip/h?peer=p"), "h264".into()]);
    publishes(&publisher);
    // Who watches comes to another machine.
    Watcher::aiortc(&other, "whep/h/p").decodes_and_ends();
    ends(&mut publisher);
}

/// The channel opens, and the whole connection is connected.
fn aiortc_beside_a_data_channel(bed: Bed) {
    let server = bed.server(&[]);
    let arguments = [url(&server, "whip/d?peer=p"), "vp8".into(), "channel".into()];
    let mut publisher = Script::client("clients/aiortc_publish.py", &arguments);
    publishes(&publisher);
    Watcher::aiortc(&server, "whep/d/p").decodes_and_ends();
    ends(&mut publisher);
}

fn broadcaster_to_both(bed: Bed) {
    let server = bed.server(&[]);
    let room = Room::open(&server, "b");
    let transports = room.join("p");
    let (_, opus) = room.produce(&transports, Kind::Opus);
    let (_, vp8) = room.produce(&transports, Kind::Vp8);
    let arguments = [&["vp8".to_owned(), bed.address.to_string()][..], &vp8, &opus].concat();
    let publisher = Script::python("media/publish.py", &arguments);
    publishes(&publisher);
    let watchers = [Watcher::aiortc(&server, "whep/b/p"), Watcher::gstreamer(&server, "whep/b/p")];
    watchers.into_iter().for_each(Watcher::decodes_and_ends);
}

type Test = (&'static str, fn(Bed));

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bed = match enter() {
        Entered::Inside(bed) => bed,
        Entered::Ran(code) => return code,
    };
    let tests: [Test; 5] = [
        ("aiortc_to_gstreamer", aiortc_to_gstreamer),
        ("gstreamer_to_aiortc", gstreamer_to_aiortc),
        ("h264_between_aiortcs", h264_between_aiortcs),
        ("aiortc_beside_a_data_channel", aiortc_beside_a_data_channel),
        ("a_broadcaster_to_both", broadcaster_to_both),
    ];
    let trial = |(name, test): (&str, fn(Bed))| {
        Trial::test(name, move || {
            test(bed);
            Ok(())
        })
    };
    libtest_mimic::run(&arguments, tests.map(trial).into()).exit_code()
}
