//! Data channels of browsers: a publisher's messages reach who watches it, and theirs reach the publisher.

use corecast_tests::browser::{Browser, Driver, Page};
use corecast_tests::relay::Path;
use corecast_tests::script::Script;
use corecast_tests::server::{Server, wait_for};
use serde_json::{Value, json};

use crate::Stage;

const LABEL: &str = "chat";

/// A page with one session of its own, which has a channel "chat".
struct Talker<'a> {
    page: Page<'a>,
    name: &'static str,
}

impl<'a> Talker<'a> {
    fn new(driver: &'a Driver, server: &Server, browser: Browser, name: &'static str) -> Self {
        let page = driver.open(name, browser, &format!("http://{}/status", server.address), &json!({}));
        Self { page, name }
    }

    fn call(&self, function: &str, with: &[Value]) -> Value {
        let args: Vec<_> = std::iter::once(json!(self.name)).chain(with.iter().cloned()).collect();
        let answer = self.page.call(function, &Value::Array(args));
        answer.unwrap_or_else(|error| panic!("{}: {function}: {error}", self.name))
    }

    /// Publishes to a room, or watches it. The m= lines of offer and answer.
    fn start(&self, room: &str, publishes: bool, config: &Value) -> Value {
        let url = format!("/{}/{room}", if publishes { "whip" } else { "whep" });
        self.call("startSession", &[json!(url), json!(publishes), json!(LABEL), config.clone()])
    }

    fn say(&self, messages: &[Value]) {
        messages.iter().for_each(|message| drop(self.call("say", &[json!(LABEL), message.clone()])));
    }

    fn hears(&self, expected: &[Value]) {
        let heard = self.call("heard", &[json!(LABEL), json!(expected.len())]);
        assert_eq!(heard, json!(expected), "{}", self.name);
    }
}

/// Text, empty text, text that is no ASCII, binary data, empty binary data, and the longest message of both.
fn messages() -> ([Value; 6], [Value; 6]) {
    let long = "a".repeat(262_144);
    let said = [json!("hello"), json!(""), json!("grüße 👋"), json!(3), json!(0), json!(262_144)];
    let heard = [
        json!("hello"),
        json!(""),
        json!("grüße 👋"),
        json!({"bytes": 3, "sum": 21}),
        json!({"bytes": 0, "sum": 0}),
        json!({"bytes": 262_144, "sum": 7 * long.len()}),
    ];
    (said, heard)
}

/// A channel is open to who opened it as soon as it has said so, and on a busy machine that has not come yet.
fn wait_for_viewers_channel(server: &Server) {
    wait_for("the viewer's channel to be known", || {
        let consumers = server.stats()["dataConsumers"].as_array().map_or(0, Vec::len);
        (consumers > 0).then_some(())
    });
}

fn both_ways(stage: &Stage, publisher: Browser, viewer: Browser) {
    let driver = stage.with(&[publisher, viewer]);
    let server = stage.bed.server(&[]);
    let (one, two) = (Talker::new(driver, &server, publisher, "one"), Talker::new(driver, &server, viewer, "two"));
    one.start("talk", true, &json!({}));
    let agreed = two.start("talk", false, &json!({}));
    assert_eq!(agreed["max"], json!(262_144), "{agreed}");
    wait_for_viewers_channel(&server);
    let (said, heard) = messages();
    one.say(&said);
    two.hears(&heard);
    two.say(&said);
    one.hears(&heard);
    // The viewer closes its channel and opens another one: its stream is used again.
    let first = two.call("channelOpens", &[json!(LABEL)]);
    two.call("closeChannel", &[json!(LABEL)]);
    two.call("openChannel", &[json!(LABEL), json!(LABEL)]);
    assert_eq!(two.call("channelOpens", &[json!(LABEL)]), first, "the id is used again");
    one.say(&[json!("again")]);
    two.hears(&[json!("again")]);
    two.say(&[json!("yes")]);
    one.hears(&[&heard[..], &[json!("yes")]].concat());
    // The publisher does the same; the viewer's channel stays.
    one.call("closeChannel", &[json!(LABEL)]);
    one.call("openChannel", &[json!(LABEL), json!(LABEL), json!({"ordered": false, "maxRetransmits": 3})]);
    one.call("channelOpens", &[json!(LABEL)]);
    one.say(&[json!("here again")]);
    two.hears(&[json!("again"), json!("here again")]);
    two.say(&[json!("good")]);
    one.hears(&[json!("good")]);
    // It leaves and comes again.
    one.call("endSession", &[]);
    one.start("talk", true, &json!({}));
    one.say(&[json!("back")]);
    two.hears(&[json!("again"), json!("here again"), json!("back")]);
    two.say(&[json!("welcome")]);
    one.hears(&[json!("welcome")]);
    for talker in [&two, &one] {
        talker.call("endSession", &[]);
    }
}

pub(crate) fn chromium_to_firefox(stage: &Stage) {
    both_ways(stage, Browser::Chromium, Browser::Firefox);
}

pub(crate) fn firefox_to_chromium(stage: &Stage) {
    both_ways(stage, Browser::Firefox, Browser::Chromium);
}

/// With max-bundle and alwaysNegotiateDataChannels Chromium offers the transport with the data section alone, first.
pub(crate) fn data_first(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&[]);
    let config = json!({"bundlePolicy": "max-bundle", "alwaysNegotiateDataChannels": true});
    let one = Talker::new(driver, &server, Browser::Chromium, "one");
    let agreed = one.start("first", true, &config);
    assert!(agreed["offer"][0].as_str().is_some_and(|line| line.starts_with("application")), "{agreed}");
    let two = Talker::new(driver, &server, Browser::Chromium, "two");
    two.start("first", false, &config);
    wait_for_viewers_channel(&server);
    one.say(&[json!("hello")]);
    two.hears(&[json!("hello")]);
}

/// Messages of a test with loss.
const NUMBERED: usize = 300;
/// An unordered channel beside the first.
const LOOSE: &str = "loose";

/// One of twenty datagrams is lost each way, and reliable channels of both orders lose nothing, both ways.
pub(crate) fn under_loss(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let (server, bound, behind) = stage.bed.server_behind_relay(&["--rtc-tcp", "false"]);
    let lossy = Path { loss_percent: 5, ..Path::default() };
    let relay = bound.start(behind, 20_264, lossy, lossy).expect("the relay starts");
    let one = Talker::new(driver, &server, Browser::Chromium, "one");
    let two = Talker::new(driver, &server, Browser::Firefox, "two");
    one.start("lossy", true, &json!({}));
    two.start("lossy", false, &json!({}));
    for talker in [&one, &two] {
        talker.call("openChannel", &[json!(LOOSE), json!(LOOSE), json!({"ordered": false})]);
    }
    for talker in [&one, &two] {
        talker.call("channelOpens", &[json!(LOOSE)]);
    }
    let numbered: Vec<_> = (0..NUMBERED).map(|number| json!(format!("{number:04}{}", "x".repeat(900)))).collect();
    for talker in [&one, &two] {
        for channel in [LABEL, LOOSE] {
            talker.call("sayAll", &[json!(channel), json!(numbered)]);
        }
    }
    for talker in [&one, &two] {
        let heard = |channel| talker.call("heard", &[json!(channel), json!(NUMBERED)]);
        assert_eq!(heard(LABEL), json!(numbered), "{}: in order", talker.name);
        let mut loose = heard(LOOSE).as_array().expect("a list").clone();
        let number = |message: &Value| message.as_str().and_then(|text| text.get(..4)).map(str::to_owned);
        loose.sort_by_key(number);
        assert_eq!(loose, numbered, "{}: all of them, once", talker.name);
    }
    let (up, down) = relay.counts();
    assert!(up.lost > 20 && down.lost > 20, "packets were lost each way: {up:?} {down:?}");
}

/// A program that sends back what it hears.
fn echo(program: &str, what: &str, url: &str) -> Script {
    let libdatachannel = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/libdatachannel_talk.mjs");
    let arguments = [libdatachannel, what, url, LABEL].map(str::to_owned);
    let script = match program {
        "aiortc" => Script::client("clients/aiortc_talk.py", &arguments[1..]),
        _ => Script::start("node", &arguments),
    };
    assert_eq!(script.line(), "open", "{program}: {}", script.errors());
    script
}

/// What Chromium and Firefox say comes back from aiortc and libdatachannel as it was, also where these publish.
pub(crate) fn other_clients(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let server = stage.bed.server(&[]);
    let (said, heard) = messages();
    for (program, browser) in [("aiortc", Browser::Chromium), ("libdatachannel", Browser::Firefox)] {
        let url = |path: &str, room: &str| format!("http://{}/{path}/{program}{room}", server.address);
        let one = Talker::new(driver, &server, browser, "one");
        one.start(&format!("{program}1"), true, &json!({}));
        let viewer = echo(program, "watch", &url("whep", "1"));
        one.say(&said);
        one.hears(&heard);
        drop(viewer);
        one.call("endSession", &[]);
        let publisher = echo(program, "publish", &url("whip", "2"));
        let two = Talker::new(driver, &server, browser, "two");
        two.start(&format!("{program}2"), false, &json!({}));
        two.say(&said);
        two.hears(&heard);
        two.call("endSession", &[]);
        drop(publisher);
    }
}
