//! What the program shows: its summary, its counters, its settings.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use corecast_bench::webrtc::join;
use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::server::{Server, binary, wait_for};
use serde_json::{Value, json};

use super::told::{options, run};

/// The summary of a server that this starts and ends, and what `ask` makes of it meanwhile.
fn summary<T>(flags: &[&str], ask: impl FnOnce(&[String]) -> T) -> T {
    let mut child = Command::new(binary())
        .args(["--workers", "1", "--rtc-webrtc-port", "20880", "--rtc-port-range", "20800-20879"])
        .args(flags)
        // A server that is killed leaves its socket behind.
        .env("CORECAST_ADMIN_LISTEN", "off")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut summary = Vec::new();
    for line in lines {
        let is_last = line.starts_with("  driver");
        summary.push(line);
        if is_last {
            break;
        }
    }
    let asked = ask(&summary);
    child.kill().expect("is ours");
    child.wait().expect("is ours");
    asked
}

#[test]
fn the_summary_has_addresses_that_can_be_opened_and_those_that_clients_are_told() {
    let flags = ["--http-listen", "0.0.0.0:0", "--rtc-listen-ips", "127.0.0.1=198.51.100.7:50000"];
    let (urls, text) = summary(&flags, |lines| {
        let text = lines.join("\n");
        let page = lines.iter().find(|line| line.starts_with("  page")).expect("a line");
        let urls: Vec<_> = page.split_whitespace().filter_map(|word| word.strip_prefix("http://")).collect();
        let answers = urls.iter().map(|url| {
            let address: SocketAddr = url.trim_end_matches('/').parse().unwrap_or_else(|_| panic!("{url} in {text}"));
            let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{url}: {error}"));
            let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("writes");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("reads");
            assert!(answer.starts_with("HTTP/1.1 200"), "{url}: {answer}");
            (*url).to_owned()
        });
        (answers.collect::<Vec<_>>(), text.clone())
    });
    assert!(urls.iter().any(|url| url.starts_with("127.0.0.1:")), "{text}");
    assert!(!text.contains("0.0.0.0"), "{text}");
    assert!(text.contains("  clients  are told 198.51.100.7:50000, and the next port"), "{text}");
}

#[test]
fn stats_say_of_each_object_whose_it_is_and_what_it_speaks() {
    let server = Server::start(&["--workers", "1"]);
    run(async {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/{path}", server.address);
        let ann = join(&client, &url("whip/r?peer=ann"), options(true)).await.expect("joins");
        let viewer = join(&client, &url("whep/r/ann"), options(false)).await.expect("joins");
        let room = Room::open(&server, "r");
        let transports = room.join("bot");
        let _ = room.produce(&transports, Kind::Vp8);
        let suite = "AEAD_AES_128_GCM";
        let _ = server.post(&transports, &json!({"type": "plain", "rtcpMux": true, "srtpCryptoSuite": suite}));
        let stats = server.stats();
        let list = |name: &str| stats[name].as_array().unwrap_or_else(|| panic!("{name} in {stats}")).clone();
        let of = |name: &str, peer: &str| -> Vec<Value> {
            list(name).into_iter().filter(|one| one["peerId"] == peer).collect()
        };
        let webrtc = json!(["webrtc-transport", "completed", "connected", "udp"]);
        let shown = |one: &Value| json!([one["type"], one["iceState"], one["dtlsState"], one["protocol"]]);
        let [publishing] = of("transports", "ann").try_into().expect("one");
        assert_eq!(shown(&publishing), webrtc, "{publishing}");
        assert!(publishing["srtpCryptoSuite"].as_str().is_some_and(|suite| suite.contains("AES")), "{publishing}");
        let plain = of("transports", "bot");
        assert!(plain.iter().all(|one| one["type"] == "plain-rtp-transport" && one["iceState"].is_null()));
        let suites: Vec<_> = plain.iter().map(|one| one["srtpCryptoSuite"].clone()).collect();
        assert!(suites.contains(&json!(suite)) && suites.contains(&Value::Null), "{suites:?}");
        assert_eq!(of("producers", "ann")[0]["codec"], "audio/opus");
        assert_eq!(of("producers", "bot")[0]["codec"], "video/VP8");
        let consumers = list("consumers");
        assert_eq!(consumers[0]["codec"], "audio/opus");
        let watching = list("transports").into_iter().find(|one| one["id"] == consumers[0]["transportId"]);
        assert_eq!(watching.expect("its transport")["peerId"], consumers[0]["peerId"]);
        for kind in ["transports", "producers", "consumers"] {
            for one in list(kind) {
                assert!(one["id"].is_string() && one["peerId"].is_string() && one["roomId"] == "r", "{one}");
            }
        }
        // What each answers is looked at beside the API's description.
        let [transport, producer] = ["transports", "producers"].map(|name| of(name, "bot")[0]["id"].clone());
        let [transport, producer] = [transport, producer].map(|id| id.as_str().expect("a name").to_owned());
        let watching = consumers[0]["transportId"].as_str().expect("a name");
        let told = server.json("GET", "/rooms/r", "").expect("capabilities");
        let consume = json!({ "producerId": producer, "rtpCapabilities": told });
        let consumer = server.post(&format!("{transports}/{transport}/consume"), &consume);
        let consumer = consumer["id"].as_str().expect("a name").to_owned();
        let bot = "/rooms/r/broadcasters/bot";
        for path in [
            "/health".to_owned(),
            "/rooms".to_owned(),
            "/rooms/r/peers/ann".to_owned(),
            format!("/rooms/r/transports/{watching}/trace"),
            "/dashboard/data?room=r".to_owned(),
            "/stats?objects=false".to_owned(),
            format!("{bot}/transports/{transport}/stats"),
            format!("{bot}/producers/{producer}/stats"),
            format!("{bot}/consumers/{consumer}/stats"),
        ] {
            assert!(server.json("GET", &path, "").is_some(), "{path}");
        }
        drop((ann, viewer));
    });
}

#[test]
fn top_shows_a_server_by_its_url_and_says_what_keeps_it_from_that() {
    let server = Server::start(&["--workers", "1", "--api-tokens", "operate"]);
    run(async {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/{path}", server.address);
        let ann = join(&client, &url("whip/concert?peer=ann"), options(true)).await.expect("joins");
        let viewer = join(&client, &url("whep/concert/ann"), options(false)).await.expect("joins");
        let top = |flags: &[&str]| {
            let url = format!("http://{}", server.address);
            let output = Command::new(binary()).args(["top", "--once", "--url", &url]).args(flags).output();
            let output = output.expect("runs");
            let text = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(text).expect("text"))
        };
        let (_, text) = wait_for("a look at the viewer", || {
            let (code, text) = top(&["--token", "operate"]);
            (code == Some(0) && text.contains("1 room, 1 viewer, ")).then_some((code, text))
        });
        for part in ["up ", "CORE", "DISCARDS/s", "concert", "VIEWER"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        for (flags, part) in [(&[][..], "asks for a token"), (&["--token", "wrong"], "asks for a token")] {
            let (code, text) = top(flags);
            assert_eq!((code, text.contains(part)), (Some(1), true), "{text}");
        }
        drop((ann, viewer));
    });
    let ended = Command::new(binary()).args(["top", "--once", "--url", "nonsense"]).output().expect("runs");
    assert_eq!(ended.status.code(), Some(2), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn top_finds_the_server_of_its_own_settings_by_https() {
    let tls = ["--tls-self-signed", "--workers", "1"];
    let server = Server::start_command(&mut Command::new(binary()), &tls);
    let listen = server.address.to_string();
    let top = || Command::new(binary()).args(["--tls-self-signed", "--http-listen", &listen, "top", "--once"]).output();
    let text = wait_for("a picture", || top().ok().filter(|output| output.status.success()).map(|done| done.stdout));
    assert!(String::from_utf8_lossy(&text).contains("CORE"), "{}", String::from_utf8_lossy(&text));
    let url = format!("https://{listen}");
    let ended = Command::new(binary()).args(["top", "--once", "--url", &url]).output().expect("runs");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("--insecure"), "an unknown certificate is not taken");
}

#[test]
fn settings_are_shown_without_secrets_help_has_groups_and_the_version_its_revision() {
    let run = |flags: &[&str]| {
        let output = Command::new(binary()).args(flags).output().expect("runs");
        assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let turn = "turn:turn.example user s3cret";
    let times = ["--rooms-idle", "1h", "--http-listen", "localhost:4080"];
    let secrets = ["--print-config", "--whip-tokens", "s3cret", "--api-tokens", "s3cret", "--rtc-ice-servers", turn];
    let shown = run(&[secrets.as_slice(), &times].concat());
    assert!(!shown.contains("s3cret") && shown.contains("(hidden)"), "{shown}");
    assert!(shown.contains("idle = \"3600s\"") && shown.contains("listen = \"127.0.0.1:4080\""), "{shown}");
    let everywhere = run(&["--print-config", "--http-listen", ":4080"]);
    assert!(everywhere.contains("listen = \"0.0.0.0:4080\""), "{everywhere}");
    let help = run(&["--help"]);
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("no {text} in {help}"));
    let order = ["Workers:", "--workers", "[rtc]: media:", "--rtc-tcp", "[http]: pages and API:", "--http-listen"];
    assert!(order.map(at).is_sorted(), "{help}");
    let version = run(&["--version"]);
    let (name, revision) = version.trim().split_once(" (").unwrap_or_else(|| panic!("{version}"));
    assert!(name.starts_with("corecast ") && revision.trim_end_matches(')').len() == 12, "{version}");
}

#[test]
fn check_looks_at_the_machine_and_says_what_to_change() {
    let check = |shell: &str| {
        let output = Command::new("sh").args(["-c", shell]).arg(binary()).output().expect("runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, page) = check("exec \"$0\" check");
    let looked_at = ["kernel", "io_uring", "locked memory", "open files", "socket buffers", "UDP GSO, GRO", "clock"];
    for what in looked_at.iter().chain(&["CPU governor"]) {
        let line = page.lines().find(|line| line.get(8..).is_some_and(|rest| rest.starts_with(what)));
        assert!(line.is_some_and(|line| line.starts_with("ok") || line.starts_with("CHANGE")), "{what} in {page}");
    }
    assert_eq!(code, Some(i32::from(page.contains("CHANGE"))), "{page}");
    let (code, page) = check("ulimit -n 1000; ulimit -l 64; exec \"$0\" check");
    assert_eq!(code, Some(1), "{page}");
    for (what, cure) in [("locked memory", "LimitMEMLOCK=8M"), ("open files", "LimitNOFILE=65536")] {
        let mut lines = page.lines().skip_while(|line| !line.contains(what));
        assert!(lines.next().is_some_and(|line| line.starts_with("CHANGE")), "{what} in {page}");
        assert!(lines.next().is_some_and(|line| line.contains(cure)), "{cure} in {page}");
    }
}

#[test]
fn who_listens_to_the_world_without_tokens_is_warned() {
    let start = |ip: Ipv4Addr, flags: &[&str]| {
        let piped = (Stdio::piped(), Stdio::piped());
        let server = Server::start_at(ip, &mut Command::new(binary()), flags, piped);
        wait_for("the summary", || server.lines(&["  sandbox "]).pop());
        wait_for("ready", || server.get("/health"));
        server.lines(&["  warning", "a client that reaches the API can aim media anywhere"]).len()
    };
    assert_eq!(start(Ipv4Addr::UNSPECIFIED, &["--workers", "1"]), 1);
    assert_eq!(start(Ipv4Addr::UNSPECIFIED, &["--workers", "1", "--api-tokens", "abcdefgh12345678"]), 0);
    assert_eq!(start(Ipv4Addr::LOCALHOST, &["--workers", "1"]), 0);
}
