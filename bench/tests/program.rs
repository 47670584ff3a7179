//! The program as its users run it.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What `fanout --json` prints: these fields, no more and no less.
const FIELDS: [&str; 23] = [
    "sent",
    "expected",
    "received",
    "lost",
    "lost_server",
    "lost_receiver",
    "loss_pct",
    "fwd_pps",
    "p50_us",
    "p99_us",
    "p999_us",
    "max_us",
    "cpu_ns_per_packet",
    "floor_ns_per_packet",
    "ratio_to_floor",
    "train_mean",
    "floor_train_mean",
    "floor_p99_us",
    "steal_pct",
    "io",
    "crypto",
    "subscribers",
    "publishers",
];

/// Who starts a server looks for free ports first: two at a time would find the same.
static SERVER: Mutex<()> = Mutex::new(());

/// The server's program.
fn server() -> PathBuf {
    let built = || concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/corecast").into();
    std::env::var_os("CORECAST_BIN").map_or_else(built, PathBuf::from)
}

fn program(args: &[&str]) -> Output {
    // A measuring run takes seconds; one that hangs must not hang the tests.
    let mut command = Command::new("timeout");
    command
        .env("CORECAST_BIN", server())
        .arg("60")
        .arg(env!("CARGO_BIN_EXE_corecast-bench"))
        .args(args)
        .output()
        .expect("runs")
}

fn json(args: &[&str]) -> Value {
    let [line] = <[Value; 1]>::try_from(json_lines(args)).expect("exactly one line on standard output");
    line
}

fn json_lines(args: &[&str]) -> Vec<Value> {
    let output = program(args);
    let text = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {problem}");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn fanout(args: &[&str]) -> Value {
    let small = ["fanout", "--json", "--subscribers", "12", "--warm-up", "0.3", "--seconds", "0.5", "--retries", "0"];
    json(&[&small, args].concat())
}

#[test]
fn every_crypto_forwards_everything_and_the_figures_are_those_named() {
    for crypto in ["none", "gcm128", "gcm256", "cm80"] {
        let figures = fanout(&["--crypto", crypto, "--publishers", "2", "--profile", "frame", "--gro"]);
        let mut names: Vec<_> = figures.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut expected = FIELDS;
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(figures["crypto"], crypto);
        assert_eq!((&figures["lost"], &figures["lost_server"]), (&0.into(), &0.into()), "{figures}");
        let sent = figures["sent"].as_u64().expect("a number");
        assert!(sent > 200, "two publishers, 300 packets a second each, half a second: {figures}");
        assert_eq!(figures["received"], sent * 12);
        assert!(figures["cpu_ns_per_packet"].as_f64().expect("measured") > 0.0);
        assert!(figures["floor_ns_per_packet"].as_f64().expect("measured") > 0.0);
    }
}

#[test]
fn in_a_meeting_everybody_gets_what_the_others_send() {
    let small = ["meeting", "--json", "--peers", "4", "--warm-up", "0.3", "--seconds", "1", "--retries", "0"];
    for (more, pictures_pps) in [(&["--pps", "100"][..], 100), (&["--audio-only"], 0)] {
        let figures = json(&[&small[..], more].concat());
        assert!(FIELDS.iter().all(|name| figures.get(name).is_some()), "{figures}");
        let sent = figures["sent"].as_u64().expect("a number");
        let due = 4 * (50 + pictures_pps);
        assert!(due * 9 / 10 <= sent && sent <= due * 11 / 10, "{figures}");
        assert_eq!((&figures["received"], &figures["expected"]), (&(sent * 3).into(), &(sent * 3).into()));
        assert!(figures["sound_p50_us"].as_f64().expect("measured") > 0.0);
        assert_eq!(figures["pictures_p50_us"].is_null(), pictures_pps == 0, "{figures}");
    }
}

#[test]
fn a_room_on_several_workers_forwards_everything_and_the_figures_are_those_named() {
    let small = ["wide", "--json", "--workers", "3", "--subscribers", "12", "--retries", "0"];
    for profile in ["frame", "single"] {
        let figures = json(&[&small[..], &["--profile", profile, "--warm-up", "0.3", "--seconds", "0.5"]].concat());
        assert_eq!((&figures["cores"], &figures["lost"]), (&3.into(), &0.into()), "{figures}");
        for name in ["pps", "ratio_to_one_core", "one_ns_per_packet", "wide_ns_per_packet", "cpu_ratio"] {
            assert!(figures[name].as_f64().expect(name) > 0.0, "{figures}");
        }
        for name in ["added_p50_us", "added_p99_us"] {
            assert!(figures[name].is_f64(), "{figures}");
        }
    }
}

#[test]
fn what_is_kept_is_measured_beside_a_worker_that_keeps_nothing() {
    let small = ["fanout", "--json", "--keep", "2", "--subscribers", "4", "--retries", "0", "--profile", "frame"];
    let figures = json(&[&small[..], &["--warm-up", "0.2", "--seconds", "0.4"]].concat());
    assert_eq!(figures["lost"], 0, "{figures}");
    for name in ["kept_ns", "dropped_ns"] {
        let each = figures[name].as_array().expect(name);
        assert!(each.len() == 2 && each.iter().all(|ns| ns.as_f64().is_some_and(|ns| ns > 0.0)), "{figures}");
    }
    assert!(figures["ratio_min"].as_f64() <= figures["ratio_p50"].as_f64(), "{figures}");
}

/// Through mediasoup's Node library, which the tests' setup installs.
#[test]
fn corecast_is_measured_as_mediasoups_worker() {
    let (worker, modules) = ("../target/debug/corecast-mediasoup-worker", "../tests/mediasoup");
    let small = ["mediasoup", "--json", "--worker", worker, "--modules", modules, "--warm-up", "0.3", "--retries", "0"];
    for (shape, receivers) in [(&["--subscribers", "4", "--profile", "frame"][..], 4), (&["--meeting", "3"], 2)] {
        for crypto in ["none", "gcm128"] {
            let figures = json(&[&small[..], shape, &["--seconds", "0.5", "--crypto", crypto]].concat());
            let sent = figures["sent"].as_u64().expect("a number");
            assert!(sent > 100, "{figures}");
            assert_eq!((&figures["received"], &figures["lost"]), (&(sent * receivers).into(), &0.into()), "{figures}");
            for name in ["cpu_ns_per_packet", "create_p50_us", "connect_p99_us", "consume_p50_us"] {
                assert!(figures[name].as_f64().expect(name) > 0.0, "{figures}");
            }
        }
    }
}

/// Their time is measured with both in turn; the load comes one after the other.
#[test]
fn calls_of_viewers_are_measured_with_two_workers_in_turn() {
    let (worker, modules) = ("../target/debug/corecast-mediasoup-worker", "../tests/mediasoup");
    let small = ["mediasoup", "--json", "--worker", worker, "--modules", modules, "--warm-up", "0.3", "--retries", "0"];
    let few = ["--subscribers", "2", "--seconds", "0.5", "--joins", "2", "--join-runs", "2", "--beside", worker];
    let lines = json_lines(&[&small[..], &few].concat());
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (figures, call) in lines.iter().flat_map(|figures| ["create", "connect", "consume"].map(|call| (figures, call)))
    {
        let [p50, p99] = ["p50", "p99"].map(|part| figures[format!("{call}_webrtc_{part}_us")].as_f64());
        assert!(p50.is_some_and(|p50| p50 > 0.0) && p50 <= p99, "{call} of {figures}");
    }
}

/// Few steps are enough to find something, though not the most.
#[test]
fn the_most_without_loss_is_looked_for_within_a_time() {
    let (worker, modules) = ("../target/debug/corecast-mediasoup-worker", "../tests/mediasoup");
    let small = ["mediasoup", "--json", "--worker", worker, "--modules", modules, "--warm-up", "0.3", "--retries", "0"];
    let most = ["--subscribers", "4", "--seconds", "0.5", "--joins", "1", "--most", "--most-within", "2"];
    let figures = json(&[&small[..], &most].concat());
    assert!(figures["most_pps"].as_u64().is_some(), "{figures}");
}

#[test]
fn calls_outlive_a_death_and_the_figures_are_those_named() {
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    for isolation in ["thread", "process"] {
        let figures = json(&["crash", "--json", "--calls", "3", "--death", "sigkill", "--isolation", isolation]);
        assert_eq!((&figures["calls"], &figures["lost"]), (&3.into(), &0.into()), "{figures}");
        for name in ["gap_p50_ms", "gap_p99_ms", "gap_max_ms"] {
            assert!(figures[name].as_f64().expect(name) > 0.0, "{figures}");
        }
    }
}

#[test]
fn calls_in_several_rooms_outlive_deaths_of_the_server_and_are_made_again_after_the_end_of_everything() {
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    for (death, isolation, times) in [("server", "process", 2), ("supervisor", "thread", 1)] {
        let flags = ["--calls", "4", "--rooms", "2", "--times", &times.to_string(), "--death", death];
        let figures = json(&[&["crash", "--json", "--isolation", isolation], &flags[..]].concat());
        for (name, wanted) in [("calls", 4), ("rooms", 2), ("times", times), ("lost", 0)] {
            assert_eq!(figures[name], wanted, "{name} of {figures}");
        }
        assert!(figures["gap_max_ms"].as_f64().is_some_and(|gap| gap > 0.0), "{figures}");
    }
}

#[test]
fn no_number_is_used_twice_and_nothing_forwarded_again_however_a_server_is_killed() {
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let figures = json(&["crash", "--json", "--kills", "2", "--calls", "2", "--isolation", "process"]);
    for name in ["lost", "twice", "unopened", "replayed"] {
        assert_eq!(figures[name], 0, "{figures}");
    }
    for (name, least) in [("kills", 2), ("captured", 200), ("sent_again", 200)] {
        assert!(figures[name].as_u64() >= Some(least), "{figures}");
    }
}

#[test]
fn profiles_payloads_and_drivers_can_be_chosen() {
    let without_floor = ["--no-floor", "--io", "syscalls", "--coalesce", "off"];
    for (profile, payload) in [("pacer", "mix"), ("frame", "mix"), ("single", "120")] {
        let figures = fanout(&[&without_floor[..], &["--profile", profile, "--payload", payload]].concat());
        assert_eq!(figures["lost"], 0, "{figures}");
        assert_eq!(figures["io"], "syscalls");
        assert!(figures["ratio_to_floor"].is_null() && figures["floor_p99_us"].is_null());
    }
}

#[test]
fn the_floor_makes_trains_of_the_length_asked_for() {
    let figures = json(&["floor", "--json", "--subscribers", "8", "--seconds", "0.2", "--pps", "400"]);
    let rows = figures["floor"].as_array().expect("rows");
    assert_eq!(rows.len(), 2 * 2 * 5, "drivers, with and without cipher, train lengths");
    for row in rows {
        assert_eq!(row["lost"], 0, "{row}");
        assert_eq!(row["train_mean"].as_f64(), row["train"].as_f64(), "{row}");
    }
}

#[test]
fn a_picture_is_drawn() {
    let path = std::env::temp_dir().join(format!("corecast-bench-{}.svg", std::process::id()));
    fanout(&["--no-floor", "--plot", path.to_str().expect("UTF-8")]);
    let picture = std::fs::read_to_string(&path).expect("drawn");
    std::fs::remove_file(&path).expect("ours");
    assert!(picture.starts_with("<svg") && picture.contains("p99.9"));
}

#[test]
fn rtp_goes_where_it_is_told_to() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("bind");
    receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    let to = receiver.local_addr().expect("bound").to_string();
    let options =
        ["--json", "--seconds", "0.3", "--profile", "single", "--payload", "100", "--ssrc", "77", "--pt", "5"];
    let figures = json(&[&["rtp", &to], &options[..]].concat());
    assert_eq!(figures["ssrc"], 77);
    let mut packet = [0; 2_000];
    let len = receiver.recv(&mut packet).expect("RTP");
    assert_eq!((len, packet[0], packet[1] & 0x7f, &packet[8..12]), (112, 0x80, 5, &[0, 0, 0, 77][..]));
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    for args in [
        &["fanout", "--payload", "5"][..],
        &["fanout", "--plot", "/tmp/x.gif"],
        &["fanout", "--coalesce", "2000"],
        &["rtp", "127.0.0.1:9", "--srtp-suite", "AEAD_AES_128_GCM", "--srtp-key", "AAAA"],
        &["fanout", "--worker-core", "9999", "--seconds", "0.1"],
        &["__floor"],
        &["__exec", "true"],
        &["webrtc", "--suite", "none"],
        &["webrtc", "--joins-per-second", "0"],
        &["webrtc", "--feedback", "--profile", "single"],
        &["webrtc", "--feedback", "--paced", "1"],
        &["webrtc", "--target", "http://127.0.0.1:1"],
        &["webrtc", "--target", "127.0.0.1:1"],
        &["data", "--target", "https://127.0.0.1:1", "--ca", "/nowhere.pem"],
        &["fanout", "--target", "https://127.0.0.1:1", "--ca", "/dev/null"],
        &["fanout", "--keep", "1", "--target", "http://127.0.0.1:1"],
        &["wide", "--target", "http://127.0.0.1:1"],
        &["mediasoup", "--target", "http://127.0.0.1:1"],
        &["flood", "--kind", "stun", "--target", "192.0.2.1:9"],
    ] {
        let output = program(args);
        assert!(!output.status.success(), "{args:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked") && text.lines().count() <= 4, "{args:?}: {text}");
        // It is the flag that is wrong, and not the server.
        let starts_its_own = args.contains(&"--keep") || ["wide", "mediasoup"].contains(&args[0]);
        assert!(!starts_its_own || text.contains("--target"), "{args:?}: {text}");
    }
}

/// One publisher and three who watch, over WHIP, WHEP, ICE, DTLS and SRTP, against the real server.
fn webrtc(args: &[&str]) -> Value {
    let small = ["webrtc", "--json", "--subscribers", "3", "--joins-per-second", "10", "--no-floor"];
    let short = ["--warm-up", "0.3", "--seconds", "1", "--retries", "0"];
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    json(&[&small[..], &short, args].concat())
}

#[test]
fn endpoints_join_a_real_server_and_get_everything() {
    for (suite, more) in [
        ("gcm128", &["--profile", "frame"][..]),
        ("gcm256", &["--payload", "mix", "--gro"]),
        ("cm80", &["--profile", "single", "--pps", "50", "--payload", "120"]),
    ] {
        let figures = webrtc(&[&["--suite", suite], more].concat());
        let joins = &figures["joins"];
        assert_eq!((&joins["joined"], &joins["failed"]), (&3.into(), &0.into()), "{figures}");
        for phase in ["http", "ice", "dtls", "first_rtp", "total"] {
            assert!(joins[phase]["p50_us"].as_u64().expect("a time") > 0, "{figures}");
        }
        assert!(joins["memory_bytes"].as_u64().is_some(), "the server is on this machine: {figures}");
        let sent = figures["sent"].as_u64().expect("a number");
        assert!(sent > 20 && figures["received"] == sent * 3, "{figures}");
        assert_eq!((&figures["lost"], &figures["lost_sessions"]), (&0.into(), &0.into()), "{figures}");
        assert_eq!(figures["crypto"], suite);
        assert!(figures["handshakes"].is_null() && figures["flood"].is_null());
    }
}

#[test]
fn who_says_what_arrives_has_its_path_estimated_and_may_be_paced() {
    let figures = webrtc(&["--feedback", "--pps", "80"]);
    let feedback = &figures["feedback"];
    let number = |name: &str| feedback[name].as_u64().expect("a number");
    // Each viewer ten to twenty times a second.
    assert!(number("sent") >= 3 * 5 && number("unheard") == 0, "{figures}");
    let beginning = 1_000_000;
    assert!(number("stream_bps") < beginning && number("estimate_min_bps") > beginning, "{figures}");
    let figures = webrtc(&["--feedback", "--pps", "80", "--paced", "3"]);
    let feedback = &figures["feedback"];
    let number = |name: &str| feedback[name].as_u64().expect("a number");
    assert_eq!(number("limit_bps"), number("stream_bps") * 2, "{figures}");
    assert!((1..=number("limit_bps")).contains(&number("estimate_max_bps")), "{figures}");
}

#[test]
fn endpoints_that_join_beside_the_media_leave_again() {
    let figures = webrtc(&["--handshakes", "5"]);
    let handshakes = &figures["handshakes"];
    assert_eq!((&handshakes["joins"]["joined"], &handshakes["joins"]["failed"]), (&5.into(), &0.into()), "{figures}");
    assert_eq!((&figures["lost"], &handshakes["lost_server_with"]), (&0.into(), &0.into()), "{figures}");
    assert_eq!(figures["lost_sessions"], 0, "{figures}");
}

#[test]
fn a_flood_gets_no_answer_and_media_goes_on() {
    for kind in ["stun", "dtls", "srtp"] {
        let figures = webrtc(&["--flood", kind, "--flood-pps", "2000"]);
        let flood = &figures["flood"];
        assert!(flood["sent"].as_u64().expect("a number") > 500, "{figures}");
        assert_eq!(flood["replies"], 0, "{figures}");
        assert_eq!((&figures["lost"], &flood["lost_server_with"]), (&0.into(), &0.into()), "{figures}");
        assert!(!flood["discards"].as_object().expect("by name").is_empty(), "{figures}");
    }
}

/// Figures of `data --json`, by order: a real server, real sessions, SCTP of another library than the server's.
fn data(args: &[&str]) -> Vec<Value> {
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let output = program(&[&["data", "--json", "--subscribers", "3", "--seconds", "1"], args].concat());
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {problem}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn messages_reach_all_who_listen_in_both_orders() {
    let figures = data(&["--rate", "40"]);
    assert_eq!(figures.iter().map(|of| &of["order"]).collect::<Vec<_>>(), ["ordered", "unordered"]);
    for of in &figures {
        assert_eq!((&of["sent"], &of["delivered"], &of["lost"]), (&40.into(), &120.into(), &0.into()), "{of}");
        assert_eq!((&of["repeated"], &of["media"]), (&0.into(), &Value::Null), "{of}");
        assert!(of["cpu_us_per_message"].as_f64().expect("measured") > 0.0);
    }
    assert_eq!(figures[0]["overtaken"], 0, "{figures:?}");
}

#[test]
fn messages_of_many_packets_pass_as_fast_as_they_arrive_beside_media() {
    let figures = data(&["--size", "60000", "--in-flight", "2", "--order", "ordered", "--media", "2"]);
    let [of] = figures.as_slice() else { panic!("{figures:?}") };
    assert!(of["sent"].as_u64().expect("a number") > 10, "{of}");
    assert_eq!(of["lost"], 0, "{of}");
    assert!(of["media"]["p99_us_with"].as_f64().expect("measured") > 0.0, "{of}");
}

/// A server with HTTPS and a certificate of its own making, which is in this file as well. It ends with this value.
struct Https {
    server: Child,
    url: String,
    certificate: PathBuf,
}

impl Https {
    fn start() -> Self {
        let port = || TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("free").port();
        let (http, webrtc) = (format!("127.0.0.1:{}", port()), port().to_string());
        let server = Command::new(server())
            .args(["--config", "/dev/null", "--http-listen", &http, "--tls-self-signed", "true"])
            .args(["--admin-listen", "off", "--workers", "1", "--log", "warn"])
            .args(["--rtc-webrtc-port", &webrtc, "--rtc-port-range", "61000-64999"])
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let certificate = std::env::temp_dir().join(format!("corecast-bench-{}.pem", std::process::id()));
        let this = Self { server, url: format!("https://{http}"), certificate };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&http).is_err() {
            assert!(Instant::now() < until, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut shown = Command::new("openssl");
        shown.args(["s_client", "-showcerts", "-connect", &http]).stdin(Stdio::null()).stderr(Stdio::null());
        let shown = shown.output().expect("openssl runs");
        std::fs::write(&this.certificate, shown.stdout).expect("is written");
        this
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_file(&self.certificate);
    }
}

#[test]
fn a_server_with_https_is_measured_once_its_certificate_is_trusted() {
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let https = Https::start();
    let target = ["--target", &https.url];
    let short = ["--json", "--warm-up", "0.3", "--seconds", "0.5", "--retries", "0"];
    let (webrtc, few) = (["webrtc", "--no-floor", "--joins-per-second", "10"], ["--subscribers", "2"]);
    let output = program(&[&webrtc[..], &few, &target, &short].concat());
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && problem.contains("--insecure") && problem.contains("--ca"), "{problem}");
    let figures = json(&[&webrtc[..], &few, &target, &short, &["--insecure"]].concat());
    assert_eq!((&figures["joins"]["joined"], &figures["lost"]), (&2.into(), &0.into()), "{figures}");
    let trusted = [&target[..], &["--ca", https.certificate.to_str().expect("UTF-8")]].concat();
    let figures = json(&[&["fanout", "--no-floor"], &few[..], &trusted, &short].concat());
    assert!(figures["sent"].as_u64() > Some(50) && figures["lost"] == 0, "{figures}");
    // By WebSocket.
    let figures = json(&[&["room", "--alone", "--audio-only", "--peers", "2"], &trusted[..], &short].concat());
    assert!(figures["sent"].as_u64() > Some(20) && figures["lost"] == 0, "{figures}");
}

/// What this machine can do is not looked for: the load is light, whatever it is called.
#[test]
fn overload_is_offered_step_by_step_and_the_figures_are_those_named() {
    let _alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let picture = std::env::temp_dir().join(format!("corecast-bench-overload-{}.svg", std::process::id()));
    let few = ["--publishers", "2", "--subscribers", "2", "--seconds", "0.5", "--capacity", "1000"];
    let more = ["--ratios", "1.5,0.5", "--plot", picture.to_str().expect("UTF-8")];
    let output = program(&[&["overload", "--json"], &few[..], &more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(steps.len(), 2, "{text}");
    for step in &steps {
        let mut names: Vec<_> = step.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["goodput_ratio", "lost_control", "offered_ratio", "p99_us", "recovery_ms", "stale"]);
        for name in ["offered_ratio", "goodput_ratio", "p99_us"] {
            assert!(step[name].as_f64().expect(name) > 0.0, "{step}");
        }
        assert!(step["stale"].is_u64() && step["lost_control"].is_u64(), "{step}");
    }
    // It is looked for where more than the capacity was offered before.
    assert!(steps[0]["recovery_ms"].is_null(), "{text}");
    let drawn = std::fs::read_to_string(&picture).expect("drawn");
    std::fs::remove_file(&picture).expect("ours");
    assert!(drawn.contains("prefers-color-scheme") && drawn.contains("in times of the capacity"));
}
